"""SQL as text: the statements of a file, and which columns of an answer a statement's ORDER BY is about."""

import re

TOKEN = re.compile(
    r"""(?P<gap>\s+|--[^\n]*|/\*.*?\*/)
      | (?P<text>'(?:[^']|'')*')
      | (?P<name>"(?:[^"]|"")*"|[^\W\d]\w*)
      | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)
      | (?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)
# Where a list of SELECT or ORDER BY ends.
CLAUSES = set("from where group having window qualify union except intersect order limit offset fetch for into".split())
# Words behind which a name goes on with an expression, and those that end one: neither makes the last word an alias.
INNER_WORDS = "and or not like ilike similar to escape is in between when then else case div interval date timestamp"
INNER_WORDS = set(INNER_WORDS.split())
LAST_WORDS = {"end", "null", "true", "false", "unknown"}


def statements(sql):
    """Those of a text, each behind a semicolon or at the end."""
    found, pieces = [], []
    for match in TOKEN.finditer(sql + "\n;"):
        if match[0] == ";":
            if any(kind != "gap" for kind, _ in pieces):
                found.append(Statement(pieces))
            pieces = []
        else:
            pieces.append((match.lastgroup, match[0]))
    return found


class Statement:
    def __init__(self, pieces):
        # Without comments, and on one line: the shell looks at each line of a text, which is no part of the question.
        whole = []
        for kind, text in pieces:
            if kind != "gap":
                whole.append(text)
            elif whole and whole[-1] != " ":
                whole.append(" ")
        self.text = "".join(whole).strip()
        self.tokens = nested([folded(text) if kind == "name" else text for kind, text in pieces if kind != "gap"])
        # How many rows there are at most, and how many are left out before them.
        self.limit = self.number_behind(("limit",), ("fetch", "first"), ("fetch", "next"))
        self.offset = self.number_behind(("offset",)) or 0

    def gives_rows(self):
        return isinstance(self.tokens[0], list) or self.tokens[0] in ("select", "with", "values")

    def number_behind(self, *phrases):
        """That behind one of these words outside of all parentheses; `None` without one."""
        tokens = self.tokens
        for words in map(list, phrases):
            for place in range(len(words), len(tokens)):
                number = tokens[place]
                if tokens[place - len(words) : place] == words and isinstance(number, str) and number.isdigit():
                    return int(number)
        return None

    def order(self, header):
        """The places of the columns that the last ORDER BY names; what it has besides them, as expressions, is left out."""
        tokens = self.tokens
        starts = [place + 2 for place in range(len(tokens) - 1) if tokens[place : place + 2] == ["order", "by"]]
        if not starts:
            return []
        header = [name.lower() for name in header]
        selected = self.selected()
        places = (place_of(without_direction(item), selected, header) for item in split(clause(tokens, starts[-1])))
        return list(dict.fromkeys(place for place in places if place is not None))

    def selected(self):
        """What the first SELECT outside of all parentheses lists."""
        tokens = self.tokens
        if "select" not in tokens:
            return [["*"]]
        start = tokens.index("select") + 1
        if tokens[start : start + 2] == ["distinct", "on"]:
            start += 3
        elif tokens[start : start + 1] in (["distinct"], ["all"]):
            start += 1
        return split(clause(tokens, start))


def folded(name):
    """Names that differ in case are the same, as are quoted ones, where they are no words of SQL."""
    plain = name.lower().strip('"')
    return plain if plain.isidentifier() and plain not in CLAUSES | INNER_WORDS | LAST_WORDS else name.lower()


def nested(tokens):
    """What parentheses hold, as lists."""
    stack = [[]]
    for token in tokens:
        if token in "([":
            stack.append([])
        elif token in ")]" and len(stack) > 1:
            inner = stack.pop()
            stack[-1].append(inner)
        else:
            stack[-1].append(token)
    return stack[0]


def clause(tokens, start):
    end = next((place for place in range(start, len(tokens)) if is_word(tokens[place], CLAUSES)), len(tokens))
    return tokens[start:end]


def is_word(token, words):
    return isinstance(token, str) and token in words


def split(tokens):
    """At commas."""
    items = [[]]
    for token in tokens:
        if token == ",":
            items.append([])
        else:
            items[-1].append(token)
    return [item for item in items if item]


def without_direction(item):
    if item[-2:] in (["nulls", "first"], ["nulls", "last"]):
        item = item[:-2]
    return item[:-1] if is_word(item[-1], {"asc", "desc"}) else item


def place_of(item, selected, header):
    """Which column an item of ORDER BY is; `None` where this is not certain."""
    if len(item) == 1 and isinstance(item[0], str) and item[0].isdigit():
        place = int(item[0]) - 1
        return place if place < len(header) else None
    path = is_path(item)
    if len(selected) != len(header) or any(one[-1] == "*" for one in selected):
        # The columns that * stands for are known by their names alone.
        tables = {one[0] for one in selected if one[-1] == "*"}
        sure = path and (len(item) == 1 or not tables or tables & {"*", item[0]})
        return header.index(bare(item[-1])) if sure and header.count(bare(item[-1])) == 1 else None
    parts = [expression_and_name(one) for one in selected]
    for place, (_, name) in enumerate(parts):
        if path and len(item) == 1 and name == bare(item[0]):
            return place
    for place, (expression, _) in enumerate(parts):
        # A name without its table is that of the only column that has it.
        one_bare = path and is_path(expression) and 1 in (len(item), len(expression))
        if expression == item or (one_bare and expression[-1] == item[-1]):
            return place
    return None


def expression_and_name(item):
    """Of an item of SELECT; the name is `None` where the engine makes one."""
    last = item[-1]
    if len(item) > 2 and item[-2] == "as":
        return item[:-2], bare(last)
    if len(item) > 1 and is_name(last) and last not in LAST_WORDS and ends_value(item[-2]):
        return item[:-1], bare(last)
    return item, bare(last) if is_path(item) else None


def bare(name):
    return name.strip('"')


def is_name(token):
    return isinstance(token, str) and (token.isidentifier() or token.startswith('"'))


def is_path(item):
    """Whether this is a column's name, with its table's or without."""
    return len(item) % 2 == 1 and all(map(is_name, item[::2])) and all(token == "." for token in item[1::2])


def ends_value(token):
    if isinstance(token, list):
        return True
    return token not in INNER_WORDS and (is_name(token) or token[0].isdigit() or token[0] == "'")
