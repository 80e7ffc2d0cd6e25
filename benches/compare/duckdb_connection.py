"""DuckDB's file, opened so that statements mean the same as here."""

import duckdb


def connect(file, threads, access, memory=None):
    """`access` is "read" or "write"."""
    connection = duckdb.connect(file, read_only=access == "read")
    connection.execute(f"set threads = {int(threads)}")
    if memory:
        connection.execute(f"set memory_limit = '{memory}'")
    # NULLs are last in ascending order and first in descending order, and integers divide to integers. Cursors have it, too.
    connection.execute("set global default_null_order = 'postgres'")
    connection.execute("set global integer_division = true")
    return connection
