"""What does DuckDB's file of TPC-H's rows take?

Reads the Parquet files that `blueshift tpch --scale S --compare parquet` keeps beside its warehouse, whose rows are in
the order of the warehouse's sort keys, makes DuckDB's file of them with the same types, and prints its bytes; then the
same of the rows in the order of the primary keys.

    pip install duckdb==2.0.0
    python benches/duckdb_size.py DIRECTORY_OF_PARQUET
"""

import os
import sys
import tempfile

import duckdb

PRIMARY_KEYS = {
    "region": "r_regionkey",
    "nation": "n_nationkey",
    "supplier": "s_suppkey",
    "customer": "c_custkey",
    "part": "p_partkey",
    "partsupp": "ps_partkey, ps_suppkey",
    "orders": "o_orderkey",
    "lineitem": "l_orderkey, l_linenumber",
}


def size(parquet: str, by_primary_key: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "tpch.duckdb")
        connection = duckdb.connect(file)
        for table, key in PRIMARY_KEYS.items():
            order = f" order by {key}" if by_primary_key else ""
            connection.execute(f"create table {table} as select * from read_parquet('{parquet}/{table}.*')" + order)
        connection.execute("checkpoint")
        connection.close()
        return os.path.getsize(file)


if __name__ == "__main__":
    print(f"in the order of the files: {size(sys.argv[1], False):,} bytes")
    print(f"in the order of the primary keys: {size(sys.argv[1], True):,} bytes")
