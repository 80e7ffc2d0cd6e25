"""How many short queries a second do sessions at the same time get answered, and how long does each wait, against DuckDB?

200 different point, range and small-group queries over TPC-H's tables, drawn with --seed, are run by --sessions sessions of one
process at the same time: by each session all of them, --iterations times in orders of its own, after one time that is not
counted. Blueshift's sessions are those of `blueshift bench`, DuckDB's are cursors of one connection on threads of Python,
which lets them run at the same time but for making Python's values of the rows. Either engine computes with --threads threads.
It is asked of DuckDB on two files, of the rows as they are generated and in the order of our sort keys; the one with more
queries a second counts. The engines run in turn, --rounds times, and the medians of the rounds' ratios count.

    cargo build --release
    python benches/compare/dashboards.py [--scale 1] [--sessions 8] [--rounds 3] [--iterations 2] [--threads 2] [--json FILE]

Prints queries a second, and of the times that single queries take the median and the 99th percentile, and the ratios, ours over
DuckDB's. Before, one session of each engine answers all queries, and the answers are compared; those that differ and errors are
printed, and fail the run in the end. The rows are those of tpch.py in the same --directory, and are made if they are not there.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile

# The modules beside this one leave no files there.
sys.dont_write_bytecode = True

import dashboard_queries
import data
import options as common
import report
from engines import Blueshift, DuckDB
from measure import Comparison, Contender
from statements import statements

QUERIES = 200
FIGURES = {"per_second": "queries/s", "p50_ms": "median ms", "p99_ms": "99th percentile ms"}


def parse():
    parser = common.parser(__doc__)
    common.add_scale(parser)
    parser.add_argument("--sessions", type=int, default=8, help="at the same time (default: 8)")
    parser.add_argument("--rounds", type=int, default=3, help="how often the engines run in turn (default: 3)")
    parser.add_argument("--iterations", type=int, default=2, help="of all queries, by each session in a round (default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the queries that are drawn (default: 1)")
    return common.parse(parser, ["sessions", "rounds", "iterations", "threads"])


def check(options, python, rows, texts):
    """Answers all queries once in each engine; gives what is not the same."""
    ours = Blueshift(options.blueshift, rows.warehouse, options.threads, None, len(texts) + 20)
    theirs = [DuckDB(python, rows.files[name], options.threads, None) for name in rows.files]
    contenders = [Contender("blueshift", ours), *map(Contender, rows.files, theirs)]
    comparison = Comparison(contenders, runs=0)
    failures = []
    for number, text in enumerate(texts, 1):
        failures += comparison.measure(number, lambda: ([], lambda contender: statements(text))).failures
    for contender in contenders:
        contender.engine.stop()
    print(f"answers of {len(texts)} queries compared: {len(failures)} failed")
    return failures


def bench(options, rows, place):
    """One run of ours."""
    report_file = os.path.join(place, "blueshift.json")
    command = [options.blueshift, "bench", place, "-w", rows.warehouse, "--threads", str(options.threads)]
    command += ["--sessions", str(options.sessions), "--iterations", str(options.iterations), "--json", report_file]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with open(report_file) as file:
        return json.load(file)["sessions"]


def bench_duckdb(options, python, file, place):
    """One run of DuckDB's."""
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "duckdb_sessions.py")
    counts = map(str, (options.threads, options.sessions, options.iterations))
    command = [python, program, file, *counts, os.path.join(place, "queries.sql")]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(ran.stdout)["sessions"]


def measure(options, python, rows, place):
    """Of each contender the figures of its rounds."""
    runs = {"blueshift": lambda: bench(options, rows, place)}
    for name, file in rows.files.items():
        runs[name] = lambda file=file: bench_duckdb(options, python, file, place)
    print(f"{'round':>5} {'':>10}" + "".join(f" {title:>19}" for title in FIGURES.values()))
    found = {name: [] for name in runs}
    for number in range(options.rounds):
        # Each is first and last as often as the others.
        for name in list(runs) if number % 2 == 0 else list(runs)[::-1]:
            one = runs[name]()
            found[name].append(one)
            print(f"{number + 1:>5} {name:>10}" + "".join(f" {one[key]:>19,.2f}" for key in FIGURES), flush=True)
    return found


def compare(found):
    """Ours against DuckDB's on the file on which it answers more; printed, and given as figures."""
    median = lambda name, key: statistics.median(one[key] for one in found[name])
    faster = max((name for name in found if name != "blueshift"), key=lambda name: median(name, "per_second"))
    pairs = list(zip(found["blueshift"], found[faster]))
    ratios = {key: statistics.median(ours[key] / theirs[key] for ours, theirs in pairs) for key in FIGURES}
    print(f"medians; DuckDB on the {faster} file:")
    for key, title in FIGURES.items():
        print(f"{title}: {median('blueshift', key):,.2f} against {median(faster, key):,.2f}, ratio {ratios[key]:.2f}")
    medians = {name: {key: median(name, key) for key in FIGURES} for name in found}
    return {"duckdb_file": faster, "ratios": ratios, "medians": medians}


def main():
    options = parse()
    python, build = common.prepare(options)
    rows = data.tpch(options.directory, options.scale)
    rows.make(options.blueshift, build, python, options.threads)
    settings = {name: getattr(options, name) for name in ("scale", "threads", "sessions", "iterations", "rounds", "seed")}
    about = report.about("dashboards", build, python, rows, **settings)
    texts = dashboard_queries.queries(QUERIES, options.scale, options.seed)
    failures = check(options, python, rows, texts)
    with tempfile.TemporaryDirectory(prefix="blueshift-compare-") as place:
        with open(os.path.join(place, "queries.sql"), "w") as file:
            file.writelines(f"{text};\n" for text in texts)
        found = measure(options, python, rows, place)
    figures = compare(found)
    if options.json:
        report.write(options.json, {**about, **figures, "rounds_of": found, "failures": failures})
    report.fail(failures)


if __name__ == "__main__":
    common.run(main)
