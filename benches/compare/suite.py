"""How fast are the queries of a benchmark's directory, or of TPC-DS, against DuckDB on its own file?

Each engine is a process that stays alive and has the same threads. For each query the engines run in turn, one run untimed
and then --runs timed ones. Times are those from sending a statement to having read all of its answer, which both engines
write as CSV into a pipe; those of a query's statements add up. DuckDB has one file, of the rows in the order of our sort keys.
All answers are compared. Neither engine keeps results or plans between statements.

    cargo build --release
    python benches/compare/suite.py DIR|tpcds [--scale 1] [--runs 3] [--threads 2] [--queries 1,5-7,q14]

DIR has what `blueshift bench DIR` runs: schema.sql and load.sql, and either queries.sql, whose statements are named 1, 2 and
so on, or queries/*.sql, which are named as the files are. TPC-DS is that of `blueshift tpcds`. --queries takes names, places
counted from 1, and ranges of either.

Prints of each query the medians in milliseconds and the ratio, ours over DuckDB's, and in the end the geometric mean of the
ratios, the slowest one, the totals, and how many queries have answers that differ or fail. Both are printed where they are
found, and fail the run in the end. What --memory limits is not the same: DuckDB counts the data that it keeps in memory,
Blueshift what queries take.

Rows are made once, in --directory, in a place that is named as DIR's last part is, or by TPC-DS's scale; --reload makes them
anew, as a changed DIR and another build's way of storing need. DuckDB is installed in a virtual environment there if Python
does not have it.
"""

import glob
import os
import re
import shutil
import sys

# The modules beside this one leave no files there.
sys.dont_write_bytecode = True

import data
import options as common
import report
from engines import Blueshift, DuckDB
from measure import Comparison, Contender
from statements import statements

TPCDS = os.path.join(common.ROOT, "src/bin/blueshift/tpcds/queries")


def queries_of(place):
    """The statements of each query by its name, in order."""
    if place == "tpcds":
        return by_file(TPCDS)
    together = os.path.join(place, "queries.sql")
    if not os.path.exists(together):
        return by_file(os.path.join(place, "queries"))
    return {str(number): [statement] for number, statement in enumerate(read(together), 1)}


def by_file(directory):
    files = sorted(glob.glob(os.path.join(glob.escape(directory), "*.sql")))
    return {os.path.splitext(os.path.basename(file))[0]: read(file) for file in files}


def read(file):
    with open(file) as text:
        return statements(text.read())


def chosen(names, wanted):
    """Those of a list of names, places counted from 1 as 3 or q3, and ranges; `None` where one is not there."""

    def place(part):
        if part.lower() in lower:
            return lower.index(part.lower())
        number = re.fullmatch(r"q?(\d+)", part, re.IGNORECASE)
        return int(number[1]) - 1 if number and 0 < int(number[1]) <= len(names) else None

    lower = [name.lower() for name in names]
    found = []
    for part in wanted.split(","):
        first = last = place(part.strip())
        if first is None and "-" in part:
            first, last = (place(end.strip()) for end in part.split("-", 1))
        if first is None or last is None or first > last:
            return None
        found.extend(names[first : last + 1])
    return found


def parse():
    parser = common.parser(__doc__)
    parser.add_argument("benchmark", metavar="DIR|tpcds", help="a directory of a schema, a load and queries, or TPC-DS")
    common.add_scale(parser)
    common.add_runs(parser, runs=3)
    parser.add_argument("--queries", help="as 1,6 or q01-q05 (default: all)")
    options = common.parse(parser, ["runs", "threads"])
    if options.benchmark != "tpcds" and not os.path.isdir(options.benchmark):
        parser.error(f"there is no directory {options.benchmark}")
    found = queries_of(options.benchmark)
    if not found:
        parser.error(f"{options.benchmark} has no queries")
    names = chosen(list(found), options.queries) if options.queries else list(found)
    if names is None:
        parser.error(f"{options.queries} is no list of queries, which are {', '.join(found)}")
    return options, {name: found[name] for name in names}


def main():
    options, wanted = parse()
    python, build = common.prepare(options)
    if options.benchmark == "tpcds":
        rows = data.tpcds(options.directory, options.scale)
    else:
        rows = data.suite(options.directory, options.benchmark)
    if options.reload:
        shutil.rmtree(rows.directory, ignore_errors=True)
    rows.make(options.blueshift, build, python, options.threads)
    about = report.about(
        "against DuckDB",
        build,
        python,
        rows,
        benchmark=f"TPC-DS at scale {options.scale:g}" if options.benchmark == "tpcds" else options.benchmark,
        threads=options.threads,
        runs=options.runs,
        memory=options.memory or "each engine's default",
    )
    # Two of them: the settings, and their change.
    count = sum(map(len, wanted.values())) * (options.runs + 1) + 20
    ours = Blueshift(options.blueshift, rows.warehouse, options.threads, options.memory, count)
    theirs = DuckDB(python, rows.files["sorted"], options.threads, options.memory)
    contenders = [Contender("blueshift", ours), Contender("duckdb", theirs)]
    comparison = Comparison(contenders, options.runs)
    rivals = report.Rivals(wanted, "blueshift", ["duckdb"])
    rivals.head()
    found = []
    for name, its_statements in wanted.items():
        found.append(comparison.measure(name, lambda: ([], lambda contender: its_statements)))
        rivals.line(found[-1])
    report.conclude(options.json, {**about, **rivals.together(found)}, contenders, found)


if __name__ == "__main__":
    common.run(main)
