"""Times the UPDATE of `benches/changes.rs` in DuckDB, with the same rows: python benches/duckdb_update.py [rows in millions]

Needs the Python package `duckdb`.
"""

import sys
import tempfile
import time

import duckdb

rows = int(sys.argv[1] if len(sys.argv) > 1 else 60) * 1_000_000
users, hundredth = max(rows // 100, 1), rows // 100
at = "make_timestamp((1600000000 + v * 2) * 1000000)"


def seconds(connection, sql):
    began = time.monotonic()
    connection.execute(sql)
    connection.execute("checkpoint")
    return time.monotonic() - began


with tempfile.TemporaryDirectory() as directory:
    connection = duckdb.connect(f"{directory}/events.db")
    connection.execute("set threads = 2")
    connection.execute(
        f"create table events as select v as id, {at} as at, v * 7919 % {users} as customer, "
        f"cast(v % 1000 as integer) as amount, 'note ' || v % 977 as note from range({rows}) s(v)"
    )
    connection.execute(
        "create table scattered as select v * 100 as id, make_timestamp((1600000000 + v * 200) * 1000000) as at, "
        f"-1 as amount from range({hundredth}) s(v)"
    )
    connection.execute(
        f"create table recent as select v as id, {at} as at, -2 as amount from range({rows - hundredth}, {rows}) s(v)"
    )
    connection.execute("checkpoint")
    scattered = seconds(connection, "update events set amount = s.amount from scattered s where events.id = s.id")
    recent = seconds(
        connection,
        "update events set amount = s.amount from recent s where events.id = s.id and events.at = s.at",
    )
    print(f"DuckDB {duckdb.__version__}, {rows} rows: UPDATE of scattered keys {scattered:.2f} s, of the last ones {recent:.2f} s")
