"""DuckDB with sessions at the same time: python duckdb_sessions.py FILE THREADS SESSIONS ITERATIONS QUERIES

Each session is a thread with a cursor of one connection. It runs all statements of the file QUERIES in orders of its own, once
untimed and, when all sessions are done with that, ITERATIONS times, and fetches all rows. Prints what `blueshift bench` with
--sessions writes, as JSON.
"""

import json
import math
import random
import sys
import threading
import time

# The modules beside this one leave no files there.
sys.dont_write_bytecode = True

import duckdb

from duckdb_connection import connect
from statements import statements


class Session(threading.Thread):
    def __init__(self, number, cursor, texts, iterations, together):
        super().__init__(daemon=True)
        self.random = random.Random(number)
        self.cursor = cursor
        self.texts = list(texts)
        self.iterations = iterations
        self.together = together
        self.seconds = []
        self.error = None

    def run(self):
        try:
            self.round()
            self.seconds.clear()
            self.together.wait()
            for _ in range(self.iterations):
                self.round()
        except duckdb.Error as error:
            self.error = error
            self.together.abort()
        except threading.BrokenBarrierError:
            # Another session tells why.
            pass

    def round(self):
        self.random.shuffle(self.texts)
        for text in self.texts:
            began = time.perf_counter()
            self.cursor.execute(text).fetchall()
            self.seconds.append(time.perf_counter() - began)


def percentile(ordered, percent):
    """The smallest one that so many are not above."""
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


def main():
    file, threads, count, iterations, queries = sys.argv[1:]
    connection = connect(file, threads, "read")
    with open(queries) as texts:
        texts = [statement.text for statement in statements(texts.read())]
    begins = []
    together = threading.Barrier(int(count), action=lambda: begins.append(time.perf_counter()))
    sessions = [Session(number, connection.cursor(), texts, int(iterations), together) for number in range(int(count))]
    for session in sessions:
        session.start()
    for session in sessions:
        session.join()
    took = time.perf_counter() - begins[0] if begins else None
    for session in sessions:
        if session.error:
            sys.exit(f"ERROR: {session.error}")
    ordered = sorted(seconds for session in sessions for seconds in session.seconds)
    figures = {
        "sessions": len(sessions),
        "queries": len(ordered),
        "seconds": took,
        "per_second": len(ordered) / took,
        "p50_ms": percentile(ordered, 50) * 1e3,
        "p99_ms": percentile(ordered, 99) * 1e3,
        "max_ms": ordered[-1] * 1e3,
    }
    print(json.dumps({"sessions": figures}))


main()
