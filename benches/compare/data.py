"""A benchmark's rows: in a warehouse, and in DuckDB's files, which are loaded from the same Parquet files.

A command of `blueshift` makes the warehouse, and Parquet files in the order of its sort keys. DuckDB's tables are declared as
ours are. `sorted.duckdb` has the rows in the order of our sort keys. TPC-H's are in `natural.duckdb`, too, in the order of the
orders' keys, as they are generated.
"""

import datetime
import json
import os
import shutil
import subprocess
import sys

from csv_rows import rows_of
from engines import Blueshift, DuckDB

# The other tables are generated in the order of their sort keys.
GENERATED_ORDER = {"orders": "o_orderkey", "lineitem": "l_orderkey, l_linenumber"}
DUCKDB = "duckdb==2.0.0"
COLUMNS = """select tablename, "column", type, "notnull", sortkey from pg_table_def where schemaname = 'public'"""


class Data:
    """The places of one benchmark's rows."""

    def __init__(self, directory, load, orders):
        """`load` has the arguments with which `blueshift` loads them, `orders` of each of DuckDB's files the tables that it has
        in another order than ours, and by what."""
        self.directory = directory
        self.load = load
        self.warehouse = os.path.join(directory, "warehouse")
        self.parquet = self.warehouse + "-parquet"
        self.orders = orders
        self.files = {name: os.path.join(directory, f"{name}.duckdb") for name in orders}
        self.note = os.path.join(directory, "made.json")

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
            load = [binary, *self.load, "-w", self.warehouse, "--threads", str(threads), "--load-only", "--compare", "parquet"]
            subprocess.run(load, check=True, stdout=sys.stderr)
            now = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
            noted = {"build": build, "loaded": now, "sort_keys": noted.get("sort_keys")}
        tables = self.tables(binary, threads)
        keys = {name: key for name, (_, key) in tables.items()}
        for name, file in self.files.items():
            in_our_order = not self.orders[name]
            if not os.path.exists(file) or (in_our_order and noted["sort_keys"] != keys):
                self.copy(python, file, tables, self.orders[name], threads)
        noted["sort_keys"] = keys
        with open(self.note, "w") as file:
            json.dump(noted, file)

    def tables(self, binary, threads):
        """Of each table the columns' declarations, and the sort key."""
        ours = Blueshift(binary, self.warehouse, threads, None, statements=2)
        declared, keys = {}, {}
        for table, column, kind, not_null, place in rows_of(ours.ask(COLUMNS).csv)[1]:
            declared.setdefault(table, []).append(f'"{column}" {kind}' + (" not null" if not_null == "true" else ""))
            # Of an interleaved key every other column has a negative place.
            keys.setdefault(table, []).extend([(abs(int(place)), column)] if place != "0" else [])
        ours.stop()
        return {table: (", ".join(declared[table]), [column for _, column in sorted(keys[table])]) for table in declared}

    def copy(self, python, file, tables, orders, threads):
        print(f"loading {file}", file=sys.stderr)
        partial = file + ".partial"
        for name in (partial, partial + ".wal"):
            if os.path.exists(name):
                os.remove(name)
        theirs = DuckDB(python, partial, threads, None, access="write")
        for name, (columns, key) in tables.items():
            theirs.ask(f'create table "{name}" ({columns})')
            source = os.path.join(self.parquet, ".".join([name, *key, "parquet"])).replace("'", "''")
            order = f" order by {orders[name]}" if name in orders else ""
            theirs.ask(f"insert into \"{name}\" select * from read_parquet('{source}'){order}")
        theirs.ask("checkpoint")
        theirs.stop()
        os.replace(partial, file)


def tpch(directory, scale):
    load = ["tpch", "--scale", f"{scale:g}"]
    return Data(os.path.join(directory, f"sf{scale:g}"), load, {"natural": GENERATED_ORDER, "sorted": {}})


def tpcds(directory, scale):
    load = ["tpcds", "--scale", f"{scale:g}"]
    return Data(os.path.join(directory, f"tpcds-sf{scale:g}"), load, {"sorted": {}})


def suite(directory, place):
    """The tables of a benchmark's directory; its last part names them."""
    name = os.path.basename(os.path.abspath(place))
    return Data(os.path.join(directory, f"bench-{name}"), ["bench", place], {"sorted": {}})


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
