"""Figures in words and as JSON."""

import datetime
import json
import math
import os
import platform
import shlex
import subprocess
import sys

import data

# A ratio matters where it is more than this slower, too.
NOTICED_SECONDS = 0.015


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def milliseconds(seconds):
    return "-" if seconds is None else f"{seconds * 1e3:,.1f}"


def of(ratio):
    return "-" if ratio is None else f"{ratio:.2f}"


def span(values):
    """Numbers of rows."""
    return f"{min(values):,}" if min(values) == max(values) else f"{min(values):,}-{max(values):,}"


class Rivals:
    """A line a query, and what they say together: `ours` against the faster one of `theirs`; they are contenders' names."""

    def __init__(self, names, ours, theirs):
        self.width = max([5] + [len(str(name)) for name in names])
        self.ours = ours
        self.theirs = theirs

    def head(self):
        theirs = "".join(f" {name:>9}" for name in self.theirs)
        unit = f"(ms; {', '.join(self.theirs)}: DuckDB)"
        print(f"{'query':>{self.width}} {'rows':>13} {'Blueshift':>10}{theirs} {'ratio':>6}   {unit}")

    def line(self, one):
        rows = span(one.rows) if one.rows else "-"
        theirs = "".join(f" {milliseconds(one.median(name)):>9}" for name in self.theirs)
        ratio = of(one.ratio(self.ours, *self.theirs))
        print(f"{one.name:>{self.width}} {rows:>13} {milliseconds(one.median(self.ours)):>10}{theirs} {ratio:>6}", flush=True)

    def together(self, found):
        """Prints what all queries say, and gives it as figures."""
        done = [one for one in found if one.ratio(self.ours, *self.theirs) is not None]
        differing = [one.name for one in found if one.differences]
        failing = {name: [one.name for one in found if name in one.errors] for name in (self.ours, *self.theirs)}
        figures = {"queries": len(done), "differing": differing, "failing": failing}
        if done:
            figures.update(self.ratios(done))
        errors = ", ".join(f"{name} {len(queries)}" for name, queries in failing.items())
        print(f"queries whose answers differ: {len(differing)}; that fail: {errors}")
        return figures

    def ratios(self, done):
        ratios = {one.name: one.ratio(self.ours, *self.theirs) for one in done}
        ours = [one.median(self.ours) for one in done]
        theirs = [one.median(*self.theirs) for one in done]
        mean = geometric_mean(list(ratios.values()))
        print(f"geometric mean of {len(done)} ratios: {mean:.3f}")
        slowest = max(ratios, key=ratios.get)
        line = f"slowest ratio: {ratios[slowest]:.2f} (query {slowest})"
        noticed = [one.name for one, a, b in zip(done, ours, theirs) if a - b > NOTICED_SECONDS]
        slowest_noticed = max(noticed, key=ratios.get) if noticed else None
        if not noticed:
            line += f"; none is more than {NOTICED_SECONDS * 1e3:.0f} ms slower"
        elif slowest_noticed != slowest:
            line += f"; of those more than {NOTICED_SECONDS * 1e3:.0f} ms slower: "
            line += f"{ratios[slowest_noticed]:.2f} (query {slowest_noticed})"
        print(line)
        print(f"total: {sum(ours):.3f} s against {sum(theirs):.3f} s, {sum(ours) / sum(theirs):.2f}")
        return {
            "geomean_ratio": mean,
            "total_s": sum(ours),
            "duckdb_total_s": sum(theirs),
            "geomean_s": geometric_mean(ours),
            "duckdb_geomean_s": geometric_mean(theirs),
            "slowest": {"query": slowest, "ratio": ratios[slowest]},
            "slowest_noticed": {"query": slowest_noticed, "ratio": ratios[slowest_noticed]} if noticed else None,
        }


def about(question, build, python, rows, **settings):
    """What the figures are of: printed, and given for the report."""
    found = {
        "question": question,
        "date": datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
        "machine": machine(),
        "build": build,
        "duckdb": data.version(python),
        "warehouse": "loaded {loaded} by {build}".format(**rows.made()),
        **settings,
        "command": "python " + shlex.join(sys.argv),
    }
    for name, value in found.items():
        print(f"{name}: {value}")
    return found


def conclude(path, figures, contenders, found):
    """Ends the processes, says what memory they took at most, and writes the report."""
    resident = {contender.name: contender.engine.resident() for contender in contenders}
    print("most resident memory: " + ", ".join(f"{name} {held / 2**30:.2f} GiB" for name, held in resident.items()))
    for contender in contenders:
        contender.engine.stop()
    if path:
        write(path, {**figures, "resident_bytes": resident, "measured": list(map(in_json, found))})
    fail([failure for one in found for failure in one.failures])


def fail(failures):
    """Any fails the run."""
    if failures:
        sys.exit(f"{len(failures)} failed, the first: {failures[0]}")


def in_json(one):
    """One query's figures."""
    figures = {
        "query": one.name,
        "rows": one.rows,
        "medians": {name: one.median(name) for name in one.seconds},
        "seconds": one.seconds,
        "own_seconds": one.own_seconds,
        "failures": one.failures,
    }
    return {**figures, "parameters": one.parameters} if any(one.parameters) else figures


def write(path, report):
    with open(path, "w") as file:
        json.dump(report, file, indent=1)
        file.write("\n")


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
