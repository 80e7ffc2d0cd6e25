"""Whether two engines' answers, both CSV, are the same.

DuckDB's types say how the values of a column compare. Integers and decimals are the same or not. A number that DuckDB computes
as a float, or ours does, is the same within a millionth, and within the last digit that ours shows where ours is a decimal:
Redshift's quotients and averages are decimals, and its averages of integers integers.
"""

import collections
import itertools
import re
from decimal import Decimal, InvalidOperation

from csv_rows import rows_of

TOLERANCE = Decimal("1e-6")
# What is left out of an average of integers, at most.
FRACTION = 1 - TOLERANCE
EXACT_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$|DECIMAL\(\d+,(\d+)\)$")
MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:([+-]\d\d)(?::00)?)?)?$")
TRUTH = {"t": "true", "true": "true", "f": "false", "false": "false"}


def number(text):
    try:
        found = Decimal(text)
    except InvalidOperation:
        return text
    return found if found.is_finite() else str(found).lower()


def moment(text):
    """A date, or a timestamp without what may be left out: zeros of a fraction, and midnight."""
    found = MOMENT.match(text)
    if not found:
        return text
    day, time, fraction, zone = found.groups("")
    fraction = fraction.rstrip("0")
    if time in ("", "00:00:00") and not fraction and not zone:
        return day
    return f"{day} {time}" + (f".{fraction}" if fraction else "") + zone


def truth(text):
    return TRUTH.get(text.lower(), text)


def decimals(text):
    """Digits behind the point; more than any decimal has where there is an exponent."""
    return 99 if "e" in text.lower() else len(text.partition(".")[2])


class Column:
    """How the values of one column are read and compared, by DuckDB's type and what ours shows."""

    def __init__(self, name, kind, shown):
        self.name = name
        self.digits_tolerance = None
        self.read = str
        exact = EXACT_NUMBER.match(kind)
        if exact or kind in ("DOUBLE", "FLOAT"):
            self.read = number
            digits = max((decimals(text) for text in shown if text is not None), default=0)
            if not exact:
                self.digits_tolerance = tolerance_of_digits(digits)
            elif digits > int(exact[3] or 0):
                self.digits_tolerance = Decimal(0)
        elif kind == "BOOLEAN":
            self.read = truth
        elif kind == "DATE" or kind.startswith("TIMESTAMP"):
            self.read = moment
        self.exact = self.digits_tolerance is None

    def same(self, ours, theirs):
        if ours == theirs:
            return True
        if self.exact or not isinstance(ours, Decimal) or not isinstance(theirs, Decimal):
            return False
        return abs(ours - theirs) <= max(TOLERANCE * max(abs(ours), abs(theirs)), self.digits_tolerance)


def tolerance_of_digits(digits):
    if digits == 0:
        return FRACTION
    # A float shows one digit of a whole number or a half, which says nothing of its precision.
    return Decimal(0) if digits == 1 else Decimal(1).scaleb(-digits)


def shown(row):
    return "(" + ", ".join("NULL" if value is None else str(value) for value in row) + ")"


def difference(statement, types, ours, theirs):
    """The first difference in words; `None` when the answers are the same. `types` are DuckDB's. Rows that ORDER BY leaves tied
    may stand in any order, and of those tied at a LIMIT or an OFFSET any may be there."""
    (header, our_texts), (their_header, their_texts) = rows_of(ours), rows_of(theirs)
    if len(header) != len(their_header):
        return f"{len(header)} columns instead of {len(their_header)}"
    columns = [Column(name, kind, [row[i] for row in our_texts]) for i, (name, kind) in enumerate(zip(header, types))]
    ours, theirs = values(columns, our_texts), values(columns, their_texts)
    order = statement.order(header)
    place = first_out_of_order(columns, order, ours, theirs)
    if place is not None:
        return f"row {place + 1} is {shown(ours[place])} instead of {shown(theirs[place])}"
    if len(ours) != len(theirs):
        place = min(len(ours), len(theirs))
        first = f"ours has {shown(ours[place])}" if len(ours) > place else f"theirs has {shown(theirs[place])}"
        return f"{len(ours)} rows instead of {len(theirs)}; at row {place + 1} {first}"
    if len(ours) == statement.limit:
        kept = len(ours) - tied(columns, order, ours[::-1])
        ours, theirs = ours[:kept], theirs[:kept]
    if statement.offset:
        skipped = tied(columns, order, ours)
        ours, theirs = ours[skipped:], theirs[skipped:]
    return unmatched(columns, ours, theirs)


def values(columns, rows):
    return [tuple(None if text is None else column.read(text) for column, text in zip(columns, row)) for row in rows]


def first_out_of_order(columns, order, ours, theirs):
    """The first row that differs in a column by which the rows are in order."""
    for place, (a, b) in enumerate(zip(ours, theirs)):
        for i in order:
            if not columns[i].same(a[i], b[i]):
                return place
            if blurred(columns[i], i, ours, place) or blurred(columns[i], i, theirs, place):
                # Which of two rows comes first is within the tolerance, so that what orders them further does not follow.
                break
    return None


def blurred(column, i, rows, place):
    """Whether the row before or behind has a value that only the tolerance takes for the same."""
    if column.exact:
        return False
    beside = [rows[other][i] for other in (place - 1, place + 1) if 0 <= other < len(rows)]
    return any(value != rows[place][i] and column.same(value, rows[place][i]) for value in beside)


def tied(columns, order, rows):
    """How many rows are as the first one in the columns by which they are in order."""
    same = lambda row: all(columns[i].same(row[i], rows[0][i]) for i in order)
    return sum(1 for _ in itertools.takewhile(same, rows))


def unmatched(columns, ours, theirs):
    """A row of ours that is not among theirs, of which each is for one of ours."""
    exact = [i for i, column in enumerate(columns) if column.exact]
    inexact = [i for i, column in enumerate(columns) if not column.exact]
    key = lambda row: tuple(row[i] for i in exact)
    our_keys, their_keys = (collections.Counter(map(key, rows)) for rows in (ours, theirs))
    if our_keys != their_keys:
        more = lambda rows, keys: [row for row in rows if key(row) in keys]
        return in_words(columns, more(ours, our_keys - their_keys)[0], more(theirs, their_keys - our_keys))
    # By value, so that the first one left is nearly always the one; NULL and what is no number come first.
    rank = lambda row: [(isinstance(row[i], Decimal), row[i] if isinstance(row[i], Decimal) else str(row[i])) for i in inexact]
    left = collections.defaultdict(list)
    for row in sorted(theirs, key=rank):
        left[key(row)].append(row)
    for row in sorted(ours, key=rank):
        candidates = left[key(row)]
        fits = lambda other: all(columns[i].same(row[i], other[i]) for i in inexact)
        place = next((place for place, other in enumerate(candidates) if fits(other)), None)
        if place is None:
            return in_words(columns, row, candidates)
        candidates.pop(place)
    return None


def in_words(columns, row, candidates):
    """A row that theirs lacks, against that of theirs which is most like it."""
    differing = lambda other: [i for i, column in enumerate(columns) if not column.same(row[i], other[i])]
    nearest = min(candidates, key=lambda other: len(differing(other)))
    i = differing(nearest)[0]
    a, b = ("NULL" if value is None else value for value in (row[i], nearest[i]))
    return f"{columns[i].name} is {a} instead of {b}, in {shown(row)} and {shown(nearest)}"
