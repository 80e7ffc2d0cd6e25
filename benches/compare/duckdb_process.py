"""DuckDB as a process that answers statements: python duckdb_process.py FILE THREADS read|write [MEMORY]

Reads lines of standard input, each a JSON array of a statement and how its answer goes to standard output, always as CSV with a
header: "rows" makes Python's values of the rows, which is fastest for few; "copy" lets DuckDB's own writer write them, which is
fastest for many; "none" runs a statement without an answer. Behind each answer a line on standard error tells DuckDB's time.
"""

import json
import sys
import time

# The modules beside this one leave no files there.
sys.dont_write_bytecode = True

import duckdb

from csv_rows import write_rows
from duckdb_connection import connect


def main():
    connection = connect(*sys.argv[1:])
    for line in sys.stdin:
        statement, how = json.loads(line)
        began = time.perf_counter()
        try:
            if how == "rows":
                result = connection.execute(statement)
                rows = result.fetchall()
                write_rows(sys.stdout, [column[0] for column in result.description], rows)
                sys.stdout.flush()
            elif how == "copy":
                connection.execute(f"copy ({statement}) to '/dev/stdout' (format csv, header)")
            else:
                connection.execute(statement)
        except duckdb.Error as error:
            sys.exit(f"ERROR: {error}")
        print(f"Time: {(time.perf_counter() - began) * 1e3:.3f} ms", file=sys.stderr, flush=True)
    connection.close()


main()
