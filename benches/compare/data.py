"""TPC-H's rows, once a scale: in a warehouse, and in two of DuckDB's files, which both are loaded from the same Parquet files.

`blueshift tpch` makes the warehouse, and Parquet files in the order of its sort keys. DuckDB's tables are declared as ours are.
`sorted.duckdb` has the rows in the order of our sort keys, `natural.duckdb` in that of the orders' keys, as they are generated.
"""

import datetime
import json
import os
import re
import shutil
import subprocess
import sys

from answers import rows_of
from engines import Blueshift, DuckDB

# The other tables are generated in the order of their sort keys.
GENERATED_ORDER = {"orders": "o_orderkey", "lineitem": "l_orderkey, l_linenumber"}
DUCKDB = "duckdb==2.0.0"


class Data:
    """The places of one scale's rows."""

    def __init__(self, directory, scale):
        self.scale = scale
        self.directory = os.path.join(directory, f"sf{scale:g}")
        self.warehouse = os.path.join(self.directory, "warehouse")
        self.parquet = self.warehouse + "-parquet"
        self.natural = os.path.join(self.directory, "natural.duckdb")
        self.sorted = os.path.join(self.directory, "sorted.duckdb")
        self.note = os.path.join(self.directory, "made.json")

    def made(self):
        """By which build the warehouse was loaded, and with which sort keys."""
        if not os.path.exists(self.note):
            return {}
        with open(self.note) as file:
            return json.load(file)

    def make(self, binary, build, python, threads, reload=False):
        """Makes what is missing; with `reload` the warehouse anew, too."""
        if reload:
            shutil.rmtree(self.warehouse, ignore_errors=True)
        noted = self.made()
        if not noted or not os.path.exists(self.warehouse):
            # What is noted of a warehouse is not true while it is loaded; an interrupted load goes on.
            if os.path.exists(self.note):
                os.remove(self.note)
            os.makedirs(self.directory, exist_ok=True)
            load = [binary, "tpch", "--scale", f"{self.scale:g}", "-w", self.warehouse, "--threads", str(threads)]
            subprocess.run(load + ["--load-only", "--compare", "parquet"], check=True, stdout=sys.stderr)
            now = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
            noted = {"build": build, "loaded": now, "sort_keys": noted.get("sort_keys")}
        tables = self.tables(binary, threads)
        keys = {name: key for name, (_, key) in tables.items()}
        for file, orders in [(self.natural, GENERATED_ORDER), (self.sorted, {})]:
            if not os.path.exists(file) or (file == self.sorted and noted["sort_keys"] != keys):
                self.load(python, file, tables, orders, threads)
        noted["sort_keys"] = keys
        with open(self.note, "w") as file:
            json.dump(noted, file)

    def tables(self, binary, threads):
        """Of each table what CREATE TABLE has in parentheses, and the sort key."""
        ours = Blueshift(binary, self.warehouse, threads, None, statements=20)
        _, listed = rows_of(ours.ask("show tables").csv)
        found = {}
        for name in [row[2] for row in listed]:
            statement = rows_of(ours.ask(f"show table {name}").csv)[1][0][0]
            key = re.search(r"SORTKEY \((.*)\)", statement)
            found[name] = (re.search(r"\n\((.*?)\n\)\n", statement, re.DOTALL)[1], key[1].split(", ") if key else [])
        ours.stop()
        return found

    def load(self, python, file, tables, orders, threads):
        print(f"loading {file}", file=sys.stderr)
        partial = file + ".partial"
        for name in (partial, partial + ".wal"):
            if os.path.exists(name):
                os.remove(name)
        theirs = DuckDB(python, partial, threads, None, access="write")
        for name, (columns, key) in tables.items():
            theirs.ask(f"create table {name} ({columns})")
            source = os.path.join(self.parquet, ".".join([name, *key, "parquet"])).replace("'", "''")
            order = f" order by {orders[name]}" if name in orders else ""
            theirs.ask(f"insert into {name} select * from read_parquet('{source}'){order}")
        theirs.ask("checkpoint")
        theirs.stop()
        os.replace(partial, file)



def python_with_duckdb(directory):
    """An interpreter that has DuckDB: this one, or that of a virtual environment made for it."""
    if has_duckdb(sys.executable):
        return sys.executable
    place = os.path.join(directory, "venv")
    python = os.path.join(place, "bin", "python")
    if has_duckdb(python):
        return python
    print(f"installing {DUCKDB} in {place}", file=sys.stderr)
    try:
        subprocess.run([sys.executable, "-m", "venv", place], check=True, stdout=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "--quiet", DUCKDB], check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError):
        sys.exit(f"DuckDB cannot be installed; make it importable in {sys.executable}, as by: pip install {DUCKDB}")
    return python


def has_duckdb(python):
    return os.path.exists(python) and version(python) is not None


def version(python):
    """DuckDB's, where it can be imported."""
    program = [python, "-c", "import duckdb; print(duckdb.__version__)"]
    ran = subprocess.run(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True)
    return ran.stdout.strip() if ran.returncode == 0 else None
