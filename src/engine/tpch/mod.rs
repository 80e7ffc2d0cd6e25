//! The TPC-H benchmark's text: its tables as Blueshift keeps them, and its 22 queries.
//!
//! Basis: TPC Benchmark H specification 3.0.1, clauses 1.4 (tables) and 2.4 (queries, with the validation parameters).

/// A table and how its rows are laid out.
#[derive(Debug, Clone)]
pub struct Table {
    pub name: &'static str,
    columns: &'static str,
    distribution: &'static str,
    /// The columns of its compound sort key; none for no order.
    pub sort: Vec<String>,
    /// Rows at scale 1.
    pub rows: u64,
}

impl Table {
    /// Its CREATE TABLE statement.
    pub fn create(&self) -> String {
        let Table { name, columns, distribution, sort, .. } = self;
        let mut ddl = format!("CREATE TABLE {name} ({columns}) {distribution}");
        if !sort.is_empty() {
            ddl.push_str(&format!(" COMPOUND SORTKEY ({})", sort.join(", ")));
        }
        ddl
    }
}

/// The eight tables, in an order in which they can be loaded.
///
/// Joins on l_orderkey = o_orderkey and ps_partkey = p_partkey move no rows, since both sides are distributed by the
/// key; the tables that everything joins and that are small stand on every slice. Orders follow o_orderdate and
/// line items l_shipdate, which most queries restrict. Keys of parts, suppliers, customers and nations fit INTEGER up
/// to scale 10,000, order keys only up to scale 357.
pub fn tables() -> Vec<Table> {
    let table = |name, rows, distribution, sort: &str, columns| Table {
        name,
        columns,
        distribution,
        sort: sort.split_whitespace().map(str::to_string).collect(),
        rows,
    };
    vec![
        table(
            "region",
            5,
            "DISTSTYLE ALL",
            "r_regionkey",
            "r_regionkey INTEGER NOT NULL, r_name CHAR(25) NOT NULL, r_comment VARCHAR(152) NOT NULL",
        ),
        table(
            "nation",
            25,
            "DISTSTYLE ALL",
            "n_nationkey",
            "n_nationkey INTEGER NOT NULL, n_name CHAR(25) NOT NULL, n_regionkey INTEGER NOT NULL, \
             n_comment VARCHAR(152) NOT NULL",
        ),
        table(
            "supplier",
            10_000,
            "DISTSTYLE ALL",
            "s_suppkey",
            "s_suppkey INTEGER NOT NULL, s_name CHAR(25) NOT NULL, s_address VARCHAR(40) NOT NULL, \
             s_nationkey INTEGER NOT NULL, s_phone CHAR(15) NOT NULL, s_acctbal DECIMAL(15,2) NOT NULL, \
             s_comment VARCHAR(101) NOT NULL",
        ),
        table(
            "customer",
            150_000,
            "DISTKEY (c_custkey)",
            "c_custkey",
            "c_custkey INTEGER NOT NULL, c_name VARCHAR(25) NOT NULL, c_address VARCHAR(40) NOT NULL, \
             c_nationkey INTEGER NOT NULL, c_phone CHAR(15) NOT NULL, c_acctbal DECIMAL(15,2) NOT NULL, \
             c_mktsegment CHAR(10) NOT NULL, c_comment VARCHAR(117) NOT NULL",
        ),
        table(
            "part",
            200_000,
            "DISTKEY (p_partkey)",
            "p_partkey",
            "p_partkey INTEGER NOT NULL, p_name VARCHAR(55) NOT NULL, p_mfgr CHAR(25) NOT NULL, \
             p_brand CHAR(10) NOT NULL, p_type VARCHAR(25) NOT NULL, p_size INTEGER NOT NULL, \
             p_container CHAR(10) NOT NULL, p_retailprice DECIMAL(15,2) NOT NULL, p_comment VARCHAR(23) NOT NULL",
        ),
        table(
            "partsupp",
            800_000,
            "DISTKEY (ps_partkey)",
            "ps_partkey",
            "ps_partkey INTEGER NOT NULL, ps_suppkey INTEGER NOT NULL, ps_availqty INTEGER NOT NULL, \
             ps_supplycost DECIMAL(15,2) NOT NULL, ps_comment VARCHAR(199) NOT NULL",
        ),
        table(
            "orders",
            1_500_000,
            "DISTKEY (o_orderkey)",
            "o_orderdate",
            "o_orderkey BIGINT NOT NULL, o_custkey INTEGER NOT NULL, o_orderstatus CHAR(1) NOT NULL, \
             o_totalprice DECIMAL(15,2) NOT NULL, o_orderdate DATE NOT NULL, o_orderpriority CHAR(15) NOT NULL, \
             o_clerk CHAR(15) NOT NULL, o_shippriority INTEGER NOT NULL, o_comment VARCHAR(79) NOT NULL",
        ),
        table(
            "lineitem",
            6_001_215,
            "DISTKEY (l_orderkey)",
            "l_shipdate",
            "l_orderkey BIGINT NOT NULL, l_partkey INTEGER NOT NULL, l_suppkey INTEGER NOT NULL, \
             l_linenumber INTEGER NOT NULL, l_quantity DECIMAL(15,2) NOT NULL, \
             l_extendedprice DECIMAL(15,2) NOT NULL, l_discount DECIMAL(15,2) NOT NULL, l_tax DECIMAL(15,2) NOT NULL, \
             l_returnflag CHAR(1) NOT NULL, l_linestatus CHAR(1) NOT NULL, l_shipdate DATE NOT NULL, \
             l_commitdate DATE NOT NULL, l_receiptdate DATE NOT NULL, l_shipinstruct CHAR(25) NOT NULL, \
             l_shipmode CHAR(10) NOT NULL, l_comment VARCHAR(44) NOT NULL",
        ),
    ]
}

/// A query, and what its ORDER BY promises.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// 1 to 22.
    pub number: usize,
    pub sql: &'static str,
    /// The result's columns, counted from 0, that the rows are ordered by.
    pub order: &'static [usize],
}

macro_rules! queries {
    ($($number:literal $file:literal $order:expr;)*) => {
        [$(Query { number: $number, sql: include_str!(concat!("queries/q", $file, ".sql")), order: &$order }),*]
    };
}

/// The queries 1 to 22.
pub const QUERIES: [Query; 22] = queries! {
    1 "01" [0, 1];
    2 "02" [0, 2, 1, 3];
    3 "03" [1, 2];
    4 "04" [0];
    5 "05" [1];
    6 "06" [];
    7 "07" [0, 1, 2];
    8 "08" [0];
    9 "09" [0, 1];
    10 "10" [2];
    11 "11" [1];
    12 "12" [0];
    13 "13" [1, 0];
    14 "14" [];
    15 "15" [0];
    16 "16" [3, 0, 1, 2];
    17 "17" [];
    18 "18" [4, 3];
    19 "19" [];
    20 "20" [0];
    21 "21" [1, 0];
    22 "22" [0];
};
