"""How fast are the 22 queries of TPC-H against DuckDB on its own file?

Each engine is a process that stays alive and has the same threads. For each query the engines run in turn, one run untimed
and then --runs timed ones, each time with newly drawn parameters, and all of them with the same text. Times are those from
sending a statement to having read all of its answer, which both engines write as CSV into a pipe. DuckDB runs on two files of
the same rows, in the order in which they are generated and in the order of our sort keys; of its two medians the faster
counts. All answers are compared. Neither engine keeps results or plans between statements: Blueshift has no setting for such
caches, and were there one with `result_cache` or `plan_cache` in its name, it would be switched off. Data that was read stays
in memory in both.

    cargo build --release
    python benches/compare/tpch.py [--scale 1] [--runs 5] [--threads 2] [--queries 1,6] [--memory 4GiB] [--json FILE]

Prints of each query the medians in milliseconds and the ratio, ours over DuckDB's, and in the end the geometric mean of the
ratios, the slowest one, and the totals. Answers that differ and errors are printed with the query's parameters, and fail the
run in the end.

With --scaling it asks another question: what does a second thread gain, and what does a row cost where there are more? It runs
the same queries with one thread and with --threads at --scale, and with --threads at a tenth of it, and prints of either engine
how many times as fast more threads are, and the time per row at the larger scale over that at the smaller. DuckDB has the
natural order then.

Rows are made once a scale, in --directory; --reload loads the warehouse anew, as another build's way of storing needs. Scale
10 takes about 11 GB there. DuckDB is installed in a virtual environment there if Python does not have it. What --memory limits
is not the same: DuckDB counts the data that it keeps in memory, Blueshift what queries take. Without it each has its own
default.
"""

import random
import sys

# The modules beside this one leave no files there.
sys.dont_write_bytecode = True

import data
import options as common
import queries
import report
from engines import Blueshift, DuckDB
from measure import Comparison, Contender
from statements import statements


def parse():
    parser = common.parser(__doc__)
    common.add_scale(parser)
    common.add_runs(parser, runs=5)
    parser.add_argument("--queries", type=queries.numbers, default=list(queries.DRAWS), help="as 1,6 or 1-5 (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="of the parameters that are drawn (default: 1)")
    parser.add_argument("--scaling", action="store_true", help="compare threads and scales instead")
    options = common.parse(parser, ["runs", "threads"])
    if options.scaling and options.threads < 2:
        parser.error("--scaling compares one thread with more")
    return options


def measure_with(comparison, seed):
    """Measures queries by their numbers, with parameters drawn anew for each run."""
    source = random.Random(seed)

    def measure(number):
        query = queries.Query(number, common.ROOT)

        def draw():
            drawn = query.draw(source)
            return list(drawn.values()), lambda contender: statements(query.text(drawn, contender.scale))

        return comparison.measure(number, draw)

    return measure


def run_rivals(measure, wanted):
    """The 22 against DuckDB; what was measured, and the figures of all."""
    rivals = report.Rivals(wanted, "blueshift", ["natural", "sorted"])
    rivals.head()
    found = []
    for number in wanted:
        found.append(measure(number))
        rivals.line(found[-1])
    return found, rivals.together(found)


def run_scaling(measure, wanted, scale, threads):
    """One thread against more, and more rows against fewer."""
    names = [("one", "many", "small"), ("duckdb one", "duckdb many", "duckdb small")]
    print(f"{'':>5} {f'1 thread / {threads} threads':>24} {f'time a row, scale {scale:g} / {scale / 10:g}':>32}")
    print(f"{'query':>5} {'Blueshift':>14} {'DuckDB':>9} {'Blueshift':>22} {'DuckDB':>9}")
    found, columns = [], [[], [], [], []]
    for number in wanted:
        measured = measure(number)
        found.append(measured)
        figures = []
        for one, many, _ in names:
            figures.append(measured.ratio(one, many))
        for _, many, small in names:
            ratio = measured.ratio(many, small)
            figures.append(None if ratio is None else ratio / 10)
        for column, figure in zip(columns, figures):
            column.extend([] if figure is None else [figure])
        shown = [report.of(figure) for figure in figures]
        print(f"{number:>5} {shown[0]:>14} {shown[1]:>9} {shown[2]:>22} {shown[3]:>9}", flush=True)
    if not all(columns):
        return found, {}
    means = [report.geometric_mean(column) for column in columns]
    print(f"geometric means: with {threads} threads {means[0]:.2f} × as fast, DuckDB {means[1]:.2f} ×")
    print(f"time a row at scale {scale:g} over that at {scale / 10:g}: {means[2]:.2f}, DuckDB {means[3]:.2f}")
    keys = ("more_threads", "duckdb_more_threads", "time_a_row", "duckdb_time_a_row")
    return found, dict(zip(keys, means))


def enter(options, python, rows, smaller):
    """Starts the processes."""
    # Two of them: the settings, and their change.
    count = len(options.queries) * (options.runs + 1) + 20
    ours = lambda name, place, scale, threads: Contender(
        name, Blueshift(options.blueshift, place.warehouse, threads, options.memory, count), scale
    )
    theirs = lambda name, place, file, scale, threads: Contender(
        name, DuckDB(python, place.files[file], threads, options.memory), scale
    )
    threads, scale = options.threads, options.scale
    if not options.scaling:
        return [
            ours("blueshift", rows, scale, threads),
            theirs("natural", rows, "natural", scale, threads),
            theirs("sorted", rows, "sorted", scale, threads),
        ]
    return [
        ours("one", rows, scale, 1),
        theirs("duckdb one", rows, "natural", scale, 1),
        ours("many", rows, scale, threads),
        theirs("duckdb many", rows, "natural", scale, threads),
        ours("small", smaller, scale / 10, threads),
        theirs("duckdb small", smaller, "natural", scale / 10, threads),
    ]


def main():
    options = parse()
    python, build = common.prepare(options)
    rows = data.tpch(options.directory, options.scale)
    smaller = data.tpch(options.directory, options.scale / 10)
    for place in [rows, smaller] if options.scaling else [rows]:
        place.make(options.blueshift, build, python, options.threads, options.reload)
    about = report.about(
        "scaling" if options.scaling else "against DuckDB",
        build,
        python,
        rows,
        scale=options.scale,
        threads=options.threads,
        runs=options.runs,
        memory=options.memory or "each engine's default",
        seed=options.seed,
    )
    contenders = enter(options, python, rows, smaller)
    measure = measure_with(Comparison(contenders, options.runs), options.seed)
    if options.scaling:
        found, figures = run_scaling(measure, options.queries, options.scale, options.threads)
    else:
        found, figures = run_rivals(measure, options.queries)
    report.conclude(options.json, {**about, **figures}, contenders, found)


if __name__ == "__main__":
    common.run(main)
