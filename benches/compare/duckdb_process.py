"""DuckDB as a process that answers statements: python duckdb_process.py FILE THREADS read|write [MEMORY]

Reads lines of standard input, each a JSON array of a statement and how its answer goes to standard output, always as CSV with a
header: "rows" makes Python's values of the rows, which is fastest for few; "copy" lets DuckDB's own writer write them, which is
fastest for many; "none" runs a statement without an answer. Behind each answer a line on standard error tells DuckDB's time.
"""

import csv
import json
import sys
import time

import duckdb


def write_rows(result):
    rows = result.fetchall()
    writer = csv.writer(sys.stdout)
    writer.writerow([column[0] for column in result.description])
    writer.writerows(rows)
    sys.stdout.flush()


def main():
    file, threads, access, *memory = sys.argv[1:]
    connection = duckdb.connect(file, read_only=access == "read")
    connection.execute(f"set threads = {int(threads)}")
    if memory:
        connection.execute(f"set memory_limit = '{memory[0]}'")
    for line in sys.stdin:
        statement, how = json.loads(line)
        began = time.perf_counter()
        try:
            if how == "rows":
                write_rows(connection.execute(statement))
            elif how == "copy":
                connection.execute(f"copy ({statement}) to '/dev/stdout' (format csv, header)")
            else:
                connection.execute(statement)
        except duckdb.Error as error:
            sys.exit(f"ERROR: {error}")
        print(f"Time: {(time.perf_counter() - began) * 1e3:.3f} ms", file=sys.stderr, flush=True)
    connection.close()


main()
