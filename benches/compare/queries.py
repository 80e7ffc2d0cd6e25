"""The 22 queries of TPC-H with parameters drawn from the ranges of the specification.

Basis: TPC Benchmark H specification 3.0.1, clauses 2.4.1.3 to 2.4.22.3 (parameters) and 4.2.2.13, 4.2.3 (words). The texts
are those of `blueshift tpch`, which have the parameters of the specification's validation runs: a draw is a new value for each.
"""

import argparse
import os
import re

# Each nation's key is its place.
NATIONS = (
    "ALGERIA ARGENTINA BRAZIL CANADA EGYPT ETHIOPIA FRANCE GERMANY INDIA INDONESIA IRAN IRAQ JAPAN JORDAN KENYA MOROCCO "
    "MOZAMBIQUE PERU CHINA ROMANIA SAUDI_ARABIA VIETNAM RUSSIA UNITED_KINGDOM UNITED_STATES"
)
NATIONS = [nation.replace("_", " ") for nation in NATIONS.split()]
REGIONS = ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"]
REGION_OF_NATION = [0, 1, 1, 1, 4, 0, 3, 3, 2, 2, 4, 4, 2, 4, 0, 0, 0, 1, 2, 3, 4, 2, 3, 3, 1]
SEGMENTS = ["AUTOMOBILE", "BUILDING", "FURNITURE", "MACHINERY", "HOUSEHOLD"]
MODES = ["REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"]
TYPES = [
    ["STANDARD", "SMALL", "MEDIUM", "LARGE", "ECONOMY", "PROMO"],
    ["ANODIZED", "BURNISHED", "PLATED", "POLISHED", "BRUSHED"],
    ["TIN", "NICKEL", "BRASS", "STEEL", "COPPER"],
]
CONTAINERS = [["SM", "LG", "MED", "JUMBO", "WRAP"], ["CASE", "BOX", "BAG", "JAR", "PKG", "PACK", "CAN", "DRUM"]]
COLORS = (
    "almond antique aquamarine azure beige bisque black blanched blue blush brown burlywood burnished chartreuse "
    "chiffon chocolate coral cornflower cornsilk cream cyan dark deep dim dodger drab firebrick floral forest frosted "
    "gainsboro ghost goldenrod green grey honeydew hot indian ivory khaki lace lavender lawn lemon light lime linen "
    "magenta maroon medium metallic midnight mint misty moccasin navajo navy olive orange orchid pale papaya peach peru "
    "pink plum powder puff purple red rose rosy royal saddle salmon sandy seashell sienna sky slate smoke snow spring "
    "steel tan thistle tomato turquoise violet wheat white yellow"
).split()

# How often another draw is tried where all have been taken; some ranges have only four.
TRIES = 50


def year(random):
    return f"{random.randint(1993, 1997)}-01-01"


def month(random, first, last):
    """The first day of a month; months are counted as year * 12 + month - 1."""
    one = random.randint(first[0] * 12 + first[1] - 1, last[0] * 12 + last[1] - 1)
    return f"{one // 12}-{one % 12 + 1:02}-01"


def brand(random):
    return f"Brand#{random.randint(1, 5)}{random.randint(1, 5)}"


def words(random, lists):
    return " ".join(random.choice(words) for words in lists)


def q7(random):
    first, second = random.sample(NATIONS, 2)
    return {"FRANCE": first, "GERMANY": second}


def q8(random):
    key = random.randrange(len(NATIONS))
    region = REGIONS[REGION_OF_NATION[key]]
    return {"BRAZIL": NATIONS[key], "AMERICA": region, "ECONOMY ANODIZED STEEL": words(random, TYPES)}


def q12(random):
    first, second = random.sample(MODES, 2)
    return {"MAIL": first, "SHIP": second, "1994-01-01": year(random)}


def q13(random):
    first = random.choice(["special", "pending", "unusual", "express"])
    return {"special%requests": first + "%" + random.choice(["packages", "requests", "accounts", "deposits"])}


def q16(random):
    sizes = ", ".join(map(str, random.sample(range(1, 51), 8)))
    return {"Brand#45": brand(random), "MEDIUM POLISHED": words(random, TYPES[:2]), "49, 14, 23, 45, 19, 3, 36, 9": sizes}


def q19(random):
    drawn = {f"Brand#{number}": brand(random) for number in (12, 23, 34)}
    for given, most in [(1, 10), (10, 20), (20, 30)]:
        quantity = random.randint(given, most)
        drawn[f"l_quantity >= {given}\n"] = f"l_quantity >= {quantity}\n"
        drawn[f"l_quantity <= {given} + 10"] = f"l_quantity <= {quantity} + 10"
    return drawn


def q22(random):
    codes = random.sample(range(10, 10 + len(NATIONS)), 7)
    return {"'13', '31', '23', '29', '30', '18', '17'": ", ".join(f"'{code}'" for code in codes)}


# What of each text is a parameter, and its new value.
DRAWS = {
    1: lambda random: {"'90' day": f"'{random.randint(60, 120)}' day"},
    2: lambda random: {
        "p_size = 15": f"p_size = {random.randint(1, 50)}",
        "BRASS": random.choice(TYPES[2]),
        "EUROPE": random.choice(REGIONS),
    },
    3: lambda random: {"BUILDING": random.choice(SEGMENTS), "1995-03-15": f"1995-03-{random.randint(1, 31):02}"},
    4: lambda random: {"1993-07-01": month(random, (1993, 1), (1997, 10))},
    5: lambda random: {"ASIA": random.choice(REGIONS), "1994-01-01": year(random)},
    6: lambda random: {
        "1994-01-01": year(random),
        "0.06": f"0.0{random.randint(2, 9)}",
        "l_quantity < 24": f"l_quantity < {random.randint(24, 25)}",
    },
    7: q7,
    8: q8,
    9: lambda random: {"green": random.choice(COLORS)},
    10: lambda random: {"1993-10-01": month(random, (1993, 2), (1995, 1))},
    11: lambda random: {"GERMANY": random.choice(NATIONS)},
    12: q12,
    13: q13,
    14: lambda random: {"1995-09-01": month(random, (1993, 1), (1997, 12))},
    15: lambda random: {"1996-01-01": month(random, (1993, 1), (1997, 10))},
    16: q16,
    17: lambda random: {"Brand#23": brand(random), "MED BOX": words(random, CONTAINERS)},
    18: lambda random: {"> 300": f"> {random.randint(312, 315)}"},
    19: q19,
    20: lambda random: {"forest": random.choice(COLORS), "1994-01-01": year(random), "CANADA": random.choice(NATIONS)},
    21: lambda random: {"SAUDI ARABIA": random.choice(NATIONS)},
    22: q22,
}


class Query:
    """One of the 22, and the parameters that it has had."""

    def __init__(self, number, root):
        with open(os.path.join(root, f"src/engine/tpch/queries/q{number:02}.sql")) as file:
            lines = [line for line in file.read().splitlines() if not line.strip().startswith("--")]
        self.number = number
        self.template = "\n".join(lines).strip().rstrip(";")
        self.taken = set()

    def draw(self, random):
        """New parameters, as what they stand for and what they are: none a second time until all are taken."""
        for _ in range(TRIES):
            drawn = DRAWS[self.number](random)
            if tuple(drawn.values()) not in self.taken:
                break
        self.taken.add(tuple(drawn.values()))
        return drawn

    def text(self, drawn, scale):
        """The query with these parameters. Query 11 has one that follows from the scale."""
        drawn = dict(drawn)
        if self.number == 11:
            drawn["0.0001000000"] = f"{0.0001 / scale:.10f}"
        for given in drawn:
            if given not in self.template:
                raise ValueError(f"query {self.number} has no {given!r} for its parameter")
        # At once, for one parameter's value may be another's in the text.
        return re.sub("|".join(map(re.escape, drawn)), lambda found: drawn[found[0]], self.template)


def numbers(text):
    """The queries of a list as 1,6 or 1-5."""
    found = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            found.extend(range(int(first), int(last or first) + 1))
    except ValueError:
        found = []
    if not found or not set(found) <= set(DRAWS):
        raise argparse.ArgumentTypeError(f"{text} is no list of queries as 1,6 or 1-5")
    return found
