"""Whether two engines' answers, both CSV, are the same."""

import csv
import io
from decimal import Decimal, InvalidOperation

# Averages and divisions, which engines compute with types of their own.
QUOTIENTS = {"avg_qty", "avg_price", "avg_disc", "mkt_share", "promo_revenue", "avg_yearly"}
TOLERANCE = Decimal("1e-9")
# The last digit shown may differ, where it is no earlier one: a float that needs few digits says nothing of its precision.
LAST_DIGIT = Decimal("1e-4")


def rows_of(answer):
    """The names of the columns, and the rows."""
    header, *rows = csv.reader(io.StringIO(answer.decode(), newline=""))
    return header, rows


def number(text):
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def same(ours, theirs, name):
    if ours == theirs:
        return True
    a, b = number(ours), number(theirs)
    if a is None or b is None:
        return False
    if name not in QUOTIENTS:
        return a == b
    last_digit = min(Decimal(1).scaleb(a.as_tuple().exponent), LAST_DIGIT)
    return abs(a - b) <= max(TOLERANCE * max(abs(a), abs(b)), last_digit)


def shown(row):
    return "(" + ", ".join(row) + ")"


def sortable(row):
    """Numbers to six digits, so that those that are the same within the tolerance nearly always sort alike."""
    return [text if number(text) is None else f"{number(text):.5e}" for text in row]


def difference(query, ours, theirs):
    """The first difference in words; `None` when the answers are the same. Rows that ORDER BY leaves tied may stand in any
    order, and of those tied at a LIMIT any may be there."""
    (header, ours), (their_header, theirs) = rows_of(ours), rows_of(theirs)
    if len(header) != len(their_header):
        return f"{len(header)} columns instead of {len(their_header)}"
    order = [header.index(name) for name in query.order]
    for place, (a, b) in enumerate(zip(ours, theirs), 1):
        if any(not same(a[column], b[column], header[column]) for column in order):
            return f"row {place} is {shown(a)} instead of {shown(b)}"
    if len(ours) != len(theirs):
        place = min(len(ours), len(theirs))
        first = f"ours has {shown(ours[place])}" if len(ours) > place else f"theirs has {shown(theirs[place])}"
        return f"{len(ours)} rows instead of {len(theirs)}; at row {place + 1} {first}"
    if query.limit is not None and len(ours) == query.limit:
        last = [ours[-1][column] for column in order]
        tied = [row for row in ours if [row[column] for column in order] == last]
        ours, theirs = ours[: -len(tied)], theirs[: -len(tied)]
    for a, b in zip(sorted(ours, key=sortable), sorted(theirs, key=sortable)):
        for name, cell, their_cell in zip(header, a, b):
            if not same(cell, their_cell, name):
                return f"{name} is {cell} instead of {their_cell}, in {shown(a)} and {shown(b)}"
    return None
