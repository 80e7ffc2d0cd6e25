"""The tables of benches/README.md and its chart, measured anew by one command.

    cargo build --release
    python benches/figures.py [--scale 10] [--only tpch,scaling,tpcds,clickbench,dashboards] [--draw]

Runs each benchmark against DuckDB (benches/compare) and, in the same order of things, against DataFusion on Parquet (the binary's
own --compare parquet), keeps what they report in target/compare/figures, and writes a table of each, with machine, build, data,
date and command, between the marks of its name in benches/README.md. The chart is benches/tpch.svg. --draw measures nothing: it
writes tables and chart of the reports that are there. At scale 10 all of it takes about half an hour, and 30 GB of disk.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys

# The modules beside leave no files there.
sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "compare"))

from report import geometric_mean

README = os.path.join(HERE, "README.md")
CHART = os.path.join("benches", "tpch.svg")


class Benchmark:
    """Commands that write reports, and the table of them."""

    def __init__(self, commands, table):
        self.commands = commands
        self.table = table


def compare(script, *arguments):
    # As one types it: the command is told.
    return lambda file: [sys.executable, os.path.join("benches", "compare", script), *arguments, "--json", file]


def blueshift(binary, *arguments):
    return lambda file: [binary, *arguments, "--compare", "parquet", "--json", file]


def benchmarks(options):
    scale, binary = f"{options.scale:g}", options.blueshift
    places = "target/compare"
    tpch = ["tpch", "--scale", scale, "-w", f"{places}/sf{scale}/warehouse", "--check"]
    tpcds = ["tpcds", "--scale", "1", "-w", f"{places}/tpcds-sf1/warehouse", "--check"]
    clickbench = ["bench", "benches/clickbench", "-w", f"{places}/bench-clickbench/warehouse"]
    return {
        "tpch": Benchmark(
            {"duckdb": compare("tpch.py", "--scale", scale, "--runs", "3"), "parquet": blueshift(binary, *tpch)}, queries
        ),
        "scaling": Benchmark({"duckdb": compare("tpch.py", "--scale", scale, "--scaling", "--runs", "3")}, scaling),
        "tpcds": Benchmark({"duckdb": compare("suite.py", "tpcds"), "parquet": blueshift(binary, *tpcds)}, queries),
        "clickbench": Benchmark(
            {"duckdb": compare("suite.py", "benches/clickbench"), "parquet": blueshift(binary, *clickbench)}, queries
        ),
        "dashboards": Benchmark({"duckdb": compare("dashboards.py", "--scale", "1")}, dashboards),
    }


def facts(report, *more):
    """What the figures are of."""
    data = report.get("benchmark") or f"TPC-H at scale {report['scale']:g}"
    said = [report["machine"], report["build"], f"DuckDB {report['duckdb']}", data, f"{report['threads']} threads", report["date"]]
    # Where Python is, is nobody's business.
    commands = [f"`{command}`" for command in (report["command"], *more)]
    return ["; ".join(said) + f". {', '.join(commands)}", ""]


def plain(name):
    """As the binary calls a query."""
    return str(name).lstrip("q").lstrip("0")


def table(head, rows):
    line = lambda cells: "| " + " | ".join(map(str, cells)) + " |"
    return [line(head), line(["---"] * len(head)), *map(line, rows)]


def number(value, digits=2):
    return "-" if value is None else f"{value:,.{digits}f}"


def queries(reports):
    """A line a query, against both rivals."""
    duckdb, parquet = reports["duckdb"], reports.get("parquet", {"queries": []})
    beside = {plain(one["query"]): one.get("ratio") for one in parquet["queries"]}
    rows, against_duckdb, against_parquet = [], [], []
    for one in duckdb["measured"]:
        ours = one["medians"].get("blueshift")
        theirs = [median for name, median in one["medians"].items() if name != "blueshift" and median is not None]
        ratio = ours / min(theirs) if ours and theirs else None
        other = beside.get(plain(one["query"]))
        against_duckdb += [] if ratio is None else [ratio]
        against_parquet += [] if other is None else [other]
        times = [None if time is None else time * 1e3 for time in (ours, min(theirs, default=None))]
        count = max(one["rows"], default=0)
        rows.append([plain(one["query"]), f"{count:,}", number(times[0], 1), number(times[1], 1), number(ratio), number(other)])
    means = [geometric_mean(ratios) if ratios else None for ratios in (against_duckdb, against_parquet)]
    rows.append(["geometric mean", "", "", "", f"**{number(means[0])}**", f"**{number(means[1])}**"])
    head = ["query", "rows", "Blueshift ms", "DuckDB ms", "against DuckDB", "against DataFusion on Parquet"]
    lines = table(head, rows)
    if len(rows) > 30:
        said = f"{len(rows) - 1} queries: geometric mean {number(means[0])} of DuckDB's time, {number(means[1])} of DataFusion's on Parquet"
        lines = [f"{said}.", "", "<details><summary>each query</summary>", "", *lines, "", "</details>"]
    return lines


def scaling(reports):
    report = reports["duckdb"]
    rows = [
        [f"{report['threads']} threads against 1: times as fast", "more_threads"],
        [f"time a row at scale {report['scale']:g} against {report['scale'] / 10:g}", "time_a_row"],
    ]
    cells = [[text, number(report.get(key)), number(report.get("duckdb_" + key))] for text, key in rows]
    return table(["geometric mean of the 22", "Blueshift", "DuckDB"], cells)


def dashboards(reports):
    report = reports["duckdb"]
    titles = {"per_second": "queries a second", "p50_ms": "half of them within ms", "p99_ms": "99 of 100 within ms"}
    medians = report["medians"]
    rows = []
    for key, title in titles.items():
        ours, theirs = medians["blueshift"][key], medians[report["duckdb_file"]][key]
        rows.append([title, number(ours), number(theirs), number(report["ratios"][key])])
    return table(["", "Blueshift", f"DuckDB ({report['duckdb_file']} file)", "ratio"], rows)


def place(name, which, options):
    return os.path.join(options.reports, f"{name}-{which}.json")


def measure(name, benchmark, options):
    for which, command in benchmark.commands.items():
        file = place(name, which, options)
        line = command(file)
        if name == "tpch" and which == "parquet":
            line += ["--chart", CHART, "--beside", place(name, "duckdb", options)]
        print("$ " + shlex.join(line), file=sys.stderr, flush=True)
        # Answers that differ fail the command, but its report is there.
        subprocess.run(line)
        report = read(file)
        if report and which == "parquet":
            # The words behind the binary's name, up to where the report goes.
            report["command"] = "cargo run --release -- " + shlex.join(command(file)[1:-2])
            with open(file, "w") as out:
                json.dump(report, out)


def read(file):
    """A report; `None` where there is none."""
    if not os.path.exists(file) or not os.path.getsize(file):
        return None
    with open(file) as report:
        return json.load(report)


def write(name, benchmark, options):
    found = {which: read(place(name, which, options)) for which in benchmark.commands}
    reports = {which: report for which, report in found.items() if report}
    if "duckdb" not in reports:
        return
    more = [reports["parquet"]["command"]] if "parquet" in reports else []
    lines = facts(reports["duckdb"], *more) + benchmark.table(reports)
    with open(README) as file:
        text = file.read()
    begin, end = f"<!-- figures: {name} -->\n", f"<!-- end of figures: {name} -->\n"
    if begin not in text or end not in text:
        sys.exit(f"benches/README.md has no marks for the figures {name}")
    before, rest = text.split(begin, 1)
    after = rest.split(end, 1)[1]
    with open(README, "w") as file:
        file.write(before + begin + "\n".join(lines) + "\n" + end + after)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=10.0, help="of TPC-H (default: 10)")
    parser.add_argument("--only", help="some of them, as tpch,tpcds")
    parser.add_argument("--draw", action="store_true", help="write tables of what was measured before")
    target = os.environ.get("CARGO_TARGET_DIR") or "target"
    parser.add_argument("--blueshift", default=os.path.join(target, "release", "blueshift"), help="the binary")
    parser.add_argument("--reports", default="target/compare/figures", help="where reports are kept")
    options = parser.parse_args()
    options.all = benchmarks(options)
    options.wanted = options.only.split(",") if options.only else list(options.all)
    unknown = [name for name in options.wanted if name not in options.all]
    if unknown:
        parser.error(f"{', '.join(unknown)} is none of {', '.join(options.all)}")
    if not os.path.exists(README) or not os.path.exists("benches/README.md"):
        parser.error("this runs from the root of the repository")
    if not options.draw and not os.path.exists(options.blueshift):
        parser.error(f"there is no {options.blueshift}; cargo build --release makes it")
    os.makedirs(options.reports, exist_ok=True)
    return options


def main():
    options = parse()
    for name in options.wanted:
        if not options.draw:
            measure(name, options.all[name], options)
        write(name, options.all[name], options)


if __name__ == "__main__":
    main()
