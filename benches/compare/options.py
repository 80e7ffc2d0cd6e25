"""What the commands have in common: options, what they prepare, and how they end."""

import argparse
import os
import signal
import subprocess
import sys

import data
import report
from engines import EngineError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def parser(documentation):
    """With the options that all have."""
    found = argparse.ArgumentParser(
        description=documentation.splitlines()[0], epilog="The file's head says how it is measured."
    )
    found.add_argument("--threads", type=int, default=2, help="of each engine (default: 2)")
    found.add_argument("--json", help="write the figures to this file")
    found.add_argument("--directory", default="target/compare", help="of the rows (default: target/compare)")
    target = os.environ.get("CARGO_TARGET_DIR") or "target"
    found.add_argument("--blueshift", default=os.path.join(target, "release", "blueshift"), help="the binary")
    return found


def add_scale(to):
    to.add_argument("--scale", type=float, default=1.0, help="1 is about 1 GB of text (default: 1)")


def add_runs(to, runs):
    to.add_argument("--runs", type=int, default=runs, help=f"timed runs of each query (default: {runs})")
    to.add_argument("--memory", help="each engine's limit, as 4GiB (default: their own)")
    to.add_argument("--reload", action="store_true", help="load the warehouse anew")


def parse(of, counts):
    """`counts` are the options that are at least 1."""
    options = of.parse_args()
    for name in counts:
        if getattr(options, name) < 1:
            of.error(f"--{name} is at least 1")
    if not os.path.exists(options.blueshift):
        of.error(f"there is no {options.blueshift}; cargo build --release makes it")
    options.blueshift = os.path.abspath(options.blueshift)
    os.makedirs(options.directory, exist_ok=True)
    return options


def prepare(options):
    """An interpreter that has DuckDB, and which build this is."""
    return data.python_with_duckdb(options.directory), report.build_of(options.blueshift)


def run(main):
    # So that the engines' processes end with this one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        main()
    except (EngineError, subprocess.CalledProcessError) as error:
        sys.exit(f"{error}\nShould another build have loaded the warehouse, --reload of tpch.py or suite.py loads it anew.")
