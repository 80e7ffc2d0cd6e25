"""Answers as CSV, as both engines write it: NULL is an empty field, an empty text is a quoted one.

Python's own module takes both for the same.
"""

import csv
import re

CELL = re.compile(r'("[^"]*(?:""[^"]*)*"|[^",\r\n]*)(,|\r?\n|\Z)')
QUOTED = re.compile('[",\r\n]')


def rows_of(answer):
    """The names of the columns, and the rows of texts, NULL as `None`."""
    rows, row = [], []
    for cell, end in CELL.findall(answer.decode()):
        if not (row or cell or end):
            break
        row.append(cell[1:-1].replace('""', '"') if cell.startswith('"') else cell or None)
        if end != ",":
            rows.append(row)
            row = []
    return rows[0], rows[1:]


def write_rows(out, header, rows):
    writer = csv.writer(out)
    writer.writerow(header)
    # Python's writer is much faster, and writes one NULL alone as an empty text, and an empty text among others as a NULL.
    if len(header) > 1 and not any("" in row for row in rows):
        writer.writerows(rows)
    else:
        out.writelines(",".join(map(shown, row)) + "\r\n" for row in rows)


def shown(value):
    if value is None:
        return ""
    text = str(value)
    if text == "" or QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text
