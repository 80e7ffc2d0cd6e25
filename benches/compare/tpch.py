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

import argparse
import datetime
import json
import math
import os
import platform
import random
import shlex
import signal
import statistics
import subprocess
import sys

# The modules beside this one leave no files there.
sys.dont_write_bytecode = True

import answers
import data
import queries
from engines import Blueshift, DuckDB, EngineError

# A ratio matters where it is more than this slower, too.
NOTICED_SECONDS = 0.015


class Contender:
    """A process with one engine's rows of one scale."""

    def __init__(self, name, engine, scale):
        self.name = name
        self.engine = engine
        self.scale = scale

    def ask(self, statement, rows):
        """`rows` is how many the answer had before; DuckDB wants to know."""
        if isinstance(self.engine, DuckDB):
            return self.engine.ask(statement, rows=rows)
        return self.engine.ask(statement)


class Measured:
    """What the runs of one query found."""

    def __init__(self, number, contenders):
        self.number = number
        self.seconds = {contender.name: [] for contender in contenders}
        self.own_seconds = {contender.name: [] for contender in contenders}
        self.parameters = []
        self.rows = []
        self.failures = []

    def median(self, *names):
        """The fastest one's; `None` without figures."""
        medians = [statistics.median(self.seconds[name]) for name in names if self.seconds[name]]
        return min(medians) if medians else None

    def ratio(self, ours, *theirs):
        a, b = self.median(ours), self.median(*theirs)
        return None if a is None or b is None else a / b


class Comparison:
    def __init__(self, options, contenders):
        self.contenders = contenders
        self.runs = options.runs
        self.random = random.Random(options.seed)

    def measure(self, number):
        """Runs one query. After an error it has no figures."""
        query = queries.Query(number, ".")
        measured = Measured(number, self.contenders)
        rows = {contender: 0 for contender in self.contenders}
        for run in range(self.runs + 1):
            drawn = query.draw(self.random)
            measured.parameters.append(list(drawn.values()))
            given = {}
            try:
                for contender in self.turn(run):
                    given[contender] = contender.ask(query.text(drawn, contender.scale), rows[contender])
            except EngineError as error:
                self.failed(measured, f"{contender.name}: {error}")
                contender.engine.restart()
                for seconds in measured.seconds.values():
                    seconds.clear()
                return measured
            self.compare(query, measured, given)
            for contender, answer in given.items():
                rows[contender] = len(answers.rows_of(answer.csv)[1])
                if run > 0:
                    measured.seconds[contender.name].append(answer.seconds)
                    measured.own_seconds[contender.name].append(answer.own_seconds)
            measured.rows.append(rows[self.contenders[0]])
        return measured

    def turn(self, run):
        """The contenders, each first and last as often as the others."""
        first = run // 2 % len(self.contenders)
        turned = self.contenders[first:] + self.contenders[:first]
        return turned if run % 2 == 0 else turned[::-1]

    def compare(self, query, measured, given):
        """Ours with each of DuckDB's at the same scale."""
        for ours in self.contenders:
            if isinstance(ours.engine, DuckDB):
                continue
            for theirs in self.contenders:
                if isinstance(theirs.engine, DuckDB) and theirs.scale == ours.scale:
                    found = answers.difference(query, given[ours].csv, given[theirs].csv)
                    if found:
                        self.failed(measured, f"{ours.name} against {theirs.name}: {found}")

    def failed(self, measured, what):
        parameters = ", ".join(value.strip() for value in measured.parameters[-1])
        failure = f"query {measured.number} with {parameters}: {what}"
        measured.failures.append(failure)
        print(f"FAILED: {failure}", file=sys.stderr, flush=True)


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def milliseconds(seconds):
    return "-" if seconds is None else f"{seconds * 1e3:,.1f}"


def of(ratio):
    return "-" if ratio is None else f"{ratio:.2f}"


def span(values):
    """Numbers of rows."""
    return f"{min(values):,}" if min(values) == max(values) else f"{min(values):,}-{max(values):,}"


def run_rivals(comparison, wanted):
    """The 22 against DuckDB; what was measured, and the figures of all."""
    heads = f"{'query':>5} {'rows':>13} {'Blueshift':>10} {'natural':>9} {'sorted':>9} {'ratio':>6}"
    print(heads + "   (ms; natural, sorted: DuckDB)")
    found = []
    for number in wanted:
        one = comparison.measure(number)
        found.append(one)
        times = [milliseconds(one.median(name)) for name in ("blueshift", "natural", "sorted")]
        ratio = of(one.ratio("blueshift", "natural", "sorted"))
        rows = span(one.rows) if one.rows else "-"
        print(f"{number:>5} {rows:>13} {times[0]:>10} {times[1]:>9} {times[2]:>9} {ratio:>6}", flush=True)
    done = [one for one in found if one.ratio("blueshift", "natural", "sorted") is not None]
    ratios = {one.number: one.ratio("blueshift", "natural", "sorted") for one in done}
    ours = [one.median("blueshift") for one in done]
    theirs = [one.median("natural", "sorted") for one in done]
    if not done:
        return found, {}
    figures = {
        "queries": len(done),
        "geomean_ratio": geometric_mean(list(ratios.values())),
        "total_s": sum(ours),
        "duckdb_total_s": sum(theirs),
        "geomean_s": geometric_mean(ours),
        "duckdb_geomean_s": geometric_mean(theirs),
    }
    print(f"geometric mean of {len(done)} ratios: {figures['geomean_ratio']:.3f}")
    slowest = max(ratios, key=ratios.get)
    figures["slowest"] = {"query": slowest, "ratio": ratios[slowest]}
    line = f"slowest ratio: {ratios[slowest]:.2f} (Q{slowest})"
    noticed = [one.number for one, a, b in zip(done, ours, theirs) if a - b > NOTICED_SECONDS]
    if noticed and slowest not in noticed:
        slowest = max(noticed, key=ratios.get)
        line += f"; of those more than {NOTICED_SECONDS * 1e3:.0f} ms slower: {ratios[slowest]:.2f} (Q{slowest})"
    elif not noticed:
        line += f"; none is more than {NOTICED_SECONDS * 1e3:.0f} ms slower"
    figures["slowest_noticed"] = {"query": slowest, "ratio": ratios[slowest]} if noticed else None
    print(line)
    print(f"total: {sum(ours):.3f} s against {sum(theirs):.3f} s, {sum(ours) / sum(theirs):.2f}")
    return found, figures


def run_scaling(comparison, wanted, scale, threads):
    """One thread against more, and more rows against fewer."""
    names = [("one", "many", "small"), ("duckdb one", "duckdb many", "duckdb small")]
    print(f"{'':>5} {f'1 thread / {threads} threads':>24} {f'time a row, scale {scale:g} / {scale / 10:g}':>32}")
    print(f"{'query':>5} {'Blueshift':>14} {'DuckDB':>9} {'Blueshift':>22} {'DuckDB':>9}")
    found, columns = [], [[], [], [], []]
    for number in wanted:
        measured = comparison.measure(number)
        found.append(measured)
        figures = []
        for one, many, _ in names:
            figures.append(measured.ratio(one, many))
        for _, many, small in names:
            ratio = measured.ratio(many, small)
            figures.append(None if ratio is None else ratio / 10)
        for column, figure in zip(columns, figures):
            column.extend([] if figure is None else [figure])
        print(f"{number:>5} {of(figures[0]):>14} {of(figures[1]):>9} {of(figures[2]):>22} {of(figures[3]):>9}", flush=True)
    if not all(columns):
        return found, {}
    means = [geometric_mean(column) for column in columns]
    print(f"geometric means: with {threads} threads {means[0]:.2f} × as fast, DuckDB {means[1]:.2f} ×")
    print(f"time a row at scale {scale:g} over that at {scale / 10:g}: {means[2]:.2f}, DuckDB {means[3]:.2f}")
    keys = ("more_threads", "duckdb_more_threads", "time_a_row", "duckdb_time_a_row")
    return found, dict(zip(keys, means))


def machine():
    """In words, where the system tells."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name, memory = platform.processor() or platform.machine(), ""
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
        with open("/proc/meminfo") as file:
            memory = f", {int(file.readline().split()[1]) / 2**20:.0f} GiB"
    except (OSError, StopIteration):
        pass
    return f"{name}, {cores} cores{memory}, {platform.system()} {platform.release()}"


def build_of(binary):
    """Which build this is: its version, when it was made, and what the checkout is at."""
    version = subprocess.run([binary, "--version"], stdout=subprocess.PIPE, universal_newlines=True, check=True).stdout.strip()
    made = datetime.datetime.fromtimestamp(os.path.getmtime(binary)).strftime("%Y-%m-%d %H:%M")
    describe = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True).stdout.strip()
    return f"{version} of {made}" + (f", checkout at {commit}" if commit else "")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="The file's head says how it is measured.")
    parser.add_argument("--scale", type=float, default=1.0, help="1 is about 1 GB of text (default: 1)")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each query (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="of each engine (default: 2)")
    parser.add_argument("--queries", type=queries.numbers, default=list(queries.DRAWS), help="as 1,6 or 1-5 (default: all)")
    parser.add_argument("--memory", help="each engine's limit, as 4GiB (default: their own)")
    parser.add_argument("--seed", type=int, default=1, help="of the parameters that are drawn (default: 1)")
    parser.add_argument("--scaling", action="store_true", help="compare threads and scales instead")
    parser.add_argument("--reload", action="store_true", help="load the warehouse anew")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--directory", default="target/compare", help="of the rows (default: target/compare)")
    target = os.environ.get("CARGO_TARGET_DIR") or "target"
    parser.add_argument("--blueshift", default=os.path.join(target, "release", "blueshift"), help="the binary")
    options = parser.parse_args()
    if options.runs < 1 or options.threads < (2 if options.scaling else 1):
        parser.error("there is at least one run and one thread, and with --scaling two threads")
    if not os.path.exists("src/engine/tpch/queries"):
        parser.error("this runs from the root of the repository")
    if not os.path.exists(options.blueshift):
        parser.error(f"there is no {options.blueshift}; cargo build --release makes it")
    return options


def enter(options, binary, python, rows, smaller):
    """Starts the processes."""
    # Two of them: the settings, and their change.
    statements = len(options.queries) * (options.runs + 1) + 20
    memory = options.memory
    ours = lambda name, place, threads: Contender(
        name, Blueshift(binary, place.warehouse, threads, memory, statements), place.scale
    )
    theirs = lambda name, file, scale, threads: Contender(name, DuckDB(python, file, threads, memory), scale)
    threads, scale = options.threads, options.scale
    if not options.scaling:
        return [
            ours("blueshift", rows, threads),
            theirs("natural", rows.natural, scale, threads),
            theirs("sorted", rows.sorted, scale, threads),
        ]
    return [
        ours("one", rows, 1),
        theirs("duckdb one", rows.natural, scale, 1),
        ours("many", rows, threads),
        theirs("duckdb many", rows.natural, scale, threads),
        ours("small", smaller, threads),
        theirs("duckdb small", smaller.natural, smaller.scale, threads),
    ]


def main():
    options = parse()
    binary = os.path.abspath(options.blueshift)
    os.makedirs(options.directory, exist_ok=True)
    python = data.python_with_duckdb(options.directory)
    build = build_of(binary)
    rows = data.Data(options.directory, options.scale)
    smaller = data.Data(options.directory, options.scale / 10)
    for place in [rows, smaller] if options.scaling else [rows]:
        place.make(binary, build, python, options.threads, options.reload)
    about = {
        "question": "scaling" if options.scaling else "against DuckDB",
        "date": datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
        "machine": machine(),
        "build": build,
        "duckdb": data.version(python),
        "warehouse": "loaded {loaded} by {build}".format(**rows.made()),
        "scale": options.scale,
        "threads": options.threads,
        "runs": options.runs,
        "memory": options.memory or "each engine's default",
        "seed": options.seed,
        "command": "python " + shlex.join(sys.argv),
    }
    for name, value in about.items():
        print(f"{name}: {value}")
    contenders = enter(options, binary, python, rows, smaller)
    for contender in contenders:
        if isinstance(contender.engine, Blueshift):
            for cache in contender.engine.plain():
                print(f"{contender.name}: {cache} is off")
    comparison = Comparison(options, contenders)
    if options.scaling:
        found, figures = run_scaling(comparison, options.queries, options.scale, options.threads)
    else:
        found, figures = run_rivals(comparison, options.queries)
    resident = {contender.name: contender.engine.resident() for contender in contenders}
    print("most resident memory: " + ", ".join(f"{name} {held / 2**30:.2f} GiB" for name, held in resident.items()))
    for contender in contenders:
        contender.engine.stop()
    failures = [failure for one in found for failure in one.failures]
    if options.json:
        one_query = lambda one: {
            "query": one.number,
            "rows": one.rows,
            "parameters": one.parameters,
            "medians": {name: one.median(name) for name in one.seconds},
            "seconds": one.seconds,
            "own_seconds": one.own_seconds,
            "failures": one.failures,
        }
        report = {**about, **figures, "resident_bytes": resident, "measured": [one_query(one) for one in found]}
        with open(options.json, "w") as file:
            json.dump(report, file, indent=1)
            file.write("\n")
    if failures:
        sys.exit(f"{len(failures)} failed, the first: {failures[0]}")


if __name__ == "__main__":
    # So that the engines' processes end with this one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        main()
    except (EngineError, subprocess.CalledProcessError) as error:
        sys.exit(f"{error}\nShould another build have loaded the warehouse, --reload loads it anew.")
