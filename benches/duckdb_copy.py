"""How fast does COPY load TPC-H's files, which it distributes, sorts and encodes, against DuckDB, which sorts nothing?

Makes the files with `blueshift tpch` and UNLOAD, then runs each side in turn, every time in a process of its own and into a
new warehouse or database file, and prints medians and their ratios: of the time that passed, and of the processors' time
(user and system), which other work on the machine disturbs less. Both sides have two threads. Counts and sums of what was
loaded must agree.

    cargo build --release
    pip install duckdb==2.0.0
    python benches/duckdb_copy.py [--scale 1] [--runs 3] [--only parquet,csv,tables,files,cores,memory,unload]

The files are kept in --directory; scale 10 takes about 30 GB there.
"""

import argparse
import glob
import os
import shutil
import statistics
import subprocess
import sys
import time

from duckdb_size import PRIMARY_KEYS

COLUMNS = {
    "region": "r_regionkey integer, r_name char(25), r_comment varchar(152)",
    "nation": "n_nationkey integer, n_name char(25), n_regionkey integer, n_comment varchar(152)",
    "supplier": "s_suppkey integer, s_name char(25), s_address varchar(40), s_nationkey integer, s_phone char(15), "
    "s_acctbal decimal(15,2), s_comment varchar(101)",
    "customer": "c_custkey integer, c_name varchar(25), c_address varchar(40), c_nationkey integer, c_phone char(15), "
    "c_acctbal decimal(15,2), c_mktsegment char(10), c_comment varchar(117)",
    "part": "p_partkey integer, p_name varchar(55), p_mfgr char(25), p_brand char(10), p_type varchar(25), p_size integer, "
    "p_container char(10), p_retailprice decimal(15,2), p_comment varchar(23)",
    "partsupp": "ps_partkey integer, ps_suppkey integer, ps_availqty integer, ps_supplycost decimal(15,2), "
    "ps_comment varchar(199)",
    "orders": "o_orderkey bigint, o_custkey integer, o_orderstatus char(1), o_totalprice decimal(15,2), o_orderdate date, "
    "o_orderpriority char(15), o_clerk char(15), o_shippriority integer, o_comment varchar(79)",
    "lineitem": "l_orderkey bigint, l_partkey integer, l_suppkey integer, l_linenumber integer, l_quantity decimal(15,2), "
    "l_extendedprice decimal(15,2), l_discount decimal(15,2), l_tax decimal(15,2), l_returnflag char(1), "
    "l_linestatus char(1), l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct char(25), "
    "l_shipmode char(10), l_comment varchar(44)",
}
# How our tables are laid out.
LAYOUT = {
    "region": "diststyle all sortkey(r_regionkey)",
    "nation": "diststyle all sortkey(n_nationkey)",
    "supplier": "diststyle all sortkey(s_suppkey)",
    "customer": "distkey(c_custkey) sortkey(c_custkey)",
    "part": "distkey(p_partkey) sortkey(p_partkey)",
    "partsupp": "distkey(ps_partkey) sortkey(ps_partkey)",
    "orders": "distkey(o_orderkey) sortkey(o_orderdate)",
    "lineitem": "distkey(l_orderkey) sortkey(l_shipdate)",
}
CHECK = (
    "select count(*), sum(l_orderkey), sum(l_extendedprice), sum(l_tax), min(l_shipdate), max(l_receiptdate), "
    "sum(length(l_comment)) from lineitem"
)
NEW = {"blueshift": "warehouse", "duckdb": "tpch.duckdb"}


def columns(table):
    """With NOT NULL, which all columns of TPC-H are."""
    parts = COLUMNS[table].replace("(15,2)", "(15;2)").split(",")
    return ", ".join(part.strip().replace(";", ",") + " not null" for part in parts)


def duckdb_job():
    """In a process of its own: statements of standard input, one a line, in a database file."""
    import duckdb

    connection = duckdb.connect(sys.argv[2])
    connection.execute("set threads = 2")
    row = None
    for statement in sys.stdin:
        row = connection.execute(statement).fetchone()
    connection.close()
    if row:
        print(",".join(str(value) for value in row))


class Process:
    """A process that has ended: what it printed, and what it took."""

    def __init__(self, command, text="", by_core=False):
        began = time.monotonic()
        with open("out", "w+") as out, open("in", "w+") as given, open("told", "w+") as told:
            given.write(text)
            given.flush()
            given.seek(0)
            child = subprocess.Popen(command, stdin=given, stdout=out, stderr=told)
            self.by_core = cores_of(child.pid) if by_core else None
            _, status, usage = os.wait4(child.pid, 0)
            self.wall = time.monotonic() - began
            out.seek(0)
            self.printed = out.read()
            if status != 0:
                told.seek(0)
                sys.exit(f"{command} failed: {told.read()}")
        self.cpu = usage.ru_utime + usage.ru_stime
        self.resident = usage.ru_maxrss * 1024


def cores_of(pid):
    """The time that a process spends on each core until it ends: that of each thread, where it was seen last."""
    spent, known = {}, {}
    while True:
        try:
            # Neither waits for the end nor takes it.
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return spent
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/stat") as stat:
                    fields = stat.read().rpartition(")")[2].split()
                ticks, core = int(fields[11]) + int(fields[12]), int(fields[36])
                spent[core] = spent.get(core, 0) + ticks - known.get(thread, 0)
                known[thread] = ticks
        except (FileNotFoundError, ProcessLookupError):
            pass
        time.sleep(0.02)


class Bench:
    def __init__(self, options):
        self.binary = os.path.abspath(options.blueshift)
        self.runs = options.runs
        self.scale = options.scale

    def blueshift(self, statements, warehouse=NEW["blueshift"], more=(), **given):
        command = [self.binary, "sql", "-w", warehouse, "--threads", "2", "--format", "csv", *more]
        for statement in statements:
            command += ["-c", statement]
        return Process(command, **given)

    def duckdb(self, statements, file=NEW["duckdb"]):
        return Process([sys.executable, os.path.join(HERE, "duckdb_copy.py"), "duckdb-job", file], "\n".join(statements))

    def files(self):
        """Makes the files in the order of the primary keys, which the generator has, too."""
        if os.path.exists("complete"):
            return
        keys = [f"--sort-key={table}={key.replace(' ', '')}" for table, key in PRIMARY_KEYS.items()]
        made = [self.binary, "tpch", "--scale", self.scale, "-w", "generated", "--load-only", *keys]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        for table, key in PRIMARY_KEYS.items():
            unload = f"unload ('select * from {table} order by {key}') to '{os.path.abspath(table)}_' parallel off allowoverwrite "
            self.blueshift([unload + "format parquet"], "generated")
        unload = f"unload ('select * from lineitem order by l_orderkey, l_linenumber') to '{os.path.abspath('text_')}' "
        self.blueshift([unload + "parallel off allowoverwrite extension 'csv' csv delimiter '|'"], "generated")
        open("complete", "w").close()

    def split(self, parts):
        """The rows of lineitem's CSV in so many files, in a folder of their own."""
        folder = f"parts{parts}"
        if os.path.exists(folder):
            return folder
        os.mkdir("cutting")
        whole = sorted(glob.glob("text_*csv"))
        most = sum(os.path.getsize(name) for name in whole) / parts
        part, size = 0, 0
        out = open(f"cutting/{part:04}.csv", "wb")
        for name in whole:
            for line in open(name, "rb"):
                if size >= most and part + 1 < parts:
                    part, size = part + 1, 0
                    out.close()
                    out = open(f"cutting/{part:04}.csv", "wb")
                out.write(line)
                size += len(line)
        out.close()
        os.rename("cutting", folder)
        return folder

    def load_ours(self, tables, source, form, **given):
        """The arguments of a load of tables from the files that `source` names for each."""
        fresh(NEW["blueshift"])
        statements = []
        for table in tables:
            statements.append(f"create table {table} ({columns(table)}) {LAYOUT[table]}")
            statements.append(f"copy {table} from '{os.getcwd()}/{source(table)}' {form}")
        return self.blueshift(statements, **given)

    def load_theirs(self, tables, copy):
        fresh(NEW["duckdb"])
        statements = []
        for table in tables:
            statements.append(f"create table {table} ({columns(table)})")
            statements.append(copy(table))
        return self.duckdb(statements + ["checkpoint"])

    def in_turn(self, name, wanted, first, second):
        """Prints the ratios of two that run in turn."""
        ran = ([], [])
        for run in range(self.runs):
            for of, job in [(0, first), (1, second)][:: 1 if run % 2 == 0 else -1]:
                ran[of].append(job())
        middle = lambda of, what: statistics.median(getattr(process, what) for process in ran[of])
        wall, cpu = [middle(0, what) / middle(1, what) for what in ("wall", "cpu")]
        times = " against ".join(f"{middle(of, 'wall'):.1f} s, {middle(of, 'cpu'):.1f} s of processors" for of in (0, 1))
        print(f"{name}: {wall:.2f} × the time, {cpu:.2f} × the processors' time, wanted {wanted} ({times})", flush=True)

    def agree(self):
        rounded = lambda line: [float(value) if value[0] != "1" or "-" not in value else value for value in line.split(",")]
        ours = self.blueshift([CHECK]).printed.strip().splitlines()[-1]
        theirs = self.duckdb([CHECK]).printed.strip()
        if rounded(ours) != rounded(theirs):
            sys.exit(f"the rows differ: {ours} here, {theirs} in DuckDB")

    def parquet(self, tables=("lineitem",), name="COPY of lineitem, Parquet"):
        theirs = lambda table: f"insert into {table} select * from read_parquet('{table}_*parquet')"
        self.in_turn(
            name,
            "1.0, 0.65",
            lambda: self.load_ours(tables, lambda table: f"{table}_", "format parquet"),
            lambda: self.load_theirs(tables, theirs),
        )
        self.agree()

    def tables(self):
        self.parquet(tuple(COLUMNS), "COPY of all eight tables, Parquet")

    def csv(self):
        theirs = lambda table: f"copy {table} from 'text_*csv' (delimiter '|', header false)"
        self.in_turn(
            "COPY of lineitem, CSV",
            "1.0, 0.65",
            self.load_csv,
            lambda: self.load_theirs(["lineitem"], theirs),
        )
        self.agree()

    def load_csv(self, source="text_", **given):
        return self.load_ours(["lineitem"], lambda _: source, "csv delimiter '|'", **given)

    def small_files(self):
        many, few = self.split(1000), self.split(2)
        size = sum(entry.stat().st_size for entry in os.scandir(many)) / 1000
        self.in_turn(
            f"COPY of 1,000 files of {size / 1e6:.1f} MB against 2 of the same rows, CSV",
            "1.5, 1.1",
            lambda: self.load_csv(many + "/"),
            lambda: self.load_csv(few + "/"),
        )

    def cores(self):
        spent = sorted(self.load_csv(by_core=True).by_core.values())
        print(f"busier core over the other, one file of CSV: {spent[-1] / max(spent[-2], 1):.2f}, wanted 1.3, 1.1")

    def memory(self):
        for name, load in [
            ("CSV", lambda more: self.load_csv(more=more)),
            ("Parquet", lambda more: self.load_ours(["lineitem"], lambda _: "lineitem_", "format parquet", more=more)),
        ]:
            resident = load(("--memory-limit", "1GiB")).resident / 2**30
            print(f"most resident memory of a COPY of {name} with 1 GiB: {resident:.2f} GiB, wanted 2, 1.5", flush=True)

    def unload(self):
        self.load_ours(["lineitem"], lambda table: f"{table}_", "format parquet")
        self.load_theirs(["lineitem"], lambda table: f"insert into {table} select * from read_parquet('{table}_*parquet')")
        fresh("unloaded")
        os.mkdir("unloaded")
        to = os.path.abspath("unloaded")
        ours = f"unload ('select * from lineitem') to '{to}/ours_' format parquet allowoverwrite"
        self.in_turn(
            "UNLOAD of lineitem to Parquet",
            "1.5, 1.0",
            lambda: self.blueshift([ours]),
            lambda: self.duckdb([f"copy lineitem to '{to}/theirs.parquet' (format parquet)"]),
        )


def fresh(place):
    if os.path.isdir(place):
        shutil.rmtree(place)
    elif os.path.exists(place):
        os.remove(place)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", default="1")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--blueshift", default="target/release/blueshift")
    parser.add_argument("--directory", default="target/duckdb_copy")
    parser.add_argument("--only", default="parquet,csv,tables,files,cores,memory,unload")
    options = parser.parse_args()
    bench = Bench(options)
    place = os.path.join(options.directory, f"sf{options.scale}")
    os.makedirs(place, exist_ok=True)
    os.chdir(place)
    bench.files()
    questions = {"files": bench.small_files}
    for question in options.only.split(","):
        questions.get(question, getattr(bench, question, None))()


HERE = os.path.dirname(os.path.abspath(__file__))
if len(sys.argv) > 1 and sys.argv[1] == "duckdb-job":
    duckdb_job()
elif __name__ == "__main__":
    main()
