//! How good are estimates of filters and joins?
//!
//! TPC-H at scale 0.1 (or `BLUESHIFT_SCALE`), and tables whose columns depend on each other or are skewed. Each filter and
//! each join of two tables is estimated from the loads' sketches alone, then after ANALYZE, and counted. Prints the median
//! and the 95th percentile of the q-error, which is how many times an estimate is too high or too low: at least one row
//! each. Wanted after ANALYZE: a median of at most 2, a 95th percentile of at most 16.
//!
//! Run with `cargo bench --bench estimates`.

use std::sync::Arc;

use blueshift::engine::{Session, Warehouse, tpch};
use blueshift::optimizer::estimate::physical::PlanEstimator;
use blueshift::physical_plan::estimate::TableView;
use blueshift::physical_plan::scan::SliceScan;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;

#[path = "common/tpch.rs"]
mod tpch_rows;

/// Filters of TPC-H's queries, by table.
const FILTERS: [(&str, &str); 36] = [
    ("lineitem", "l_shipdate <= date '1998-09-02'"),
    ("lineitem", "l_shipdate > date '1995-03-15'"),
    ("lineitem", "l_commitdate < l_receiptdate"),
    ("lineitem", "l_shipdate >= date '1994-01-01' and l_shipdate < date '1995-01-01'"),
    ("lineitem", "l_discount between 0.05 and 0.07"),
    ("lineitem", "l_quantity < 24"),
    (
        "lineitem",
        "l_shipdate >= date '1994-01-01' and l_shipdate < date '1995-01-01' and l_discount between 0.05 and 0.07 \
         and l_quantity < 24",
    ),
    ("lineitem", "l_shipdate between date '1995-01-01' and date '1996-12-31'"),
    ("lineitem", "l_returnflag = 'R'"),
    (
        "lineitem",
        "l_shipmode in ('MAIL', 'SHIP') and l_receiptdate >= date '1994-01-01' and l_receiptdate < date '1995-01-01'",
    ),
    ("lineitem", "l_shipdate >= date '1995-09-01' and l_shipdate < date '1995-10-01'"),
    ("lineitem", "l_shipmode in ('AIR', 'AIR REG') and l_shipinstruct = 'DELIVER IN PERSON'"),
    ("lineitem", "l_quantity >= 1 and l_quantity <= 11"),
    ("lineitem", "l_extendedprice > 90000"),
    ("lineitem", "l_comment like 'carefully%'"),
    ("orders", "o_orderdate < date '1995-03-15'"),
    ("orders", "o_orderdate >= date '1993-07-01' and o_orderdate < date '1993-10-01'"),
    ("orders", "o_orderdate between date '1995-01-01' and date '1996-12-31'"),
    ("orders", "o_comment not like '%special%requests%'"),
    ("orders", "o_comment like '%special%requests%'"),
    ("orders", "o_orderstatus = 'F'"),
    ("orders", "o_orderpriority = '1-URGENT' or o_orderpriority = '2-HIGH'"),
    ("orders", "o_totalprice > 300000"),
    ("customer", "c_mktsegment = 'BUILDING'"),
    ("customer", "c_acctbal > 0.00"),
    ("customer", "c_nationkey = 7 and c_mktsegment = 'MACHINERY'"),
    ("customer", "c_phone like '13%'"),
    ("part", "p_size = 15 and p_type like '%BRASS'"),
    ("part", "p_name like '%green%'"),
    ("part", "p_name like 'forest%'"),
    ("part", "p_brand = 'Brand#23' and p_container = 'MED BOX'"),
    (
        "part",
        "p_brand <> 'Brand#45' and p_type not like 'MEDIUM POLISHED%' and p_size in (49, 14, 23, 45, 19, 3, 36, 9)",
    ),
    ("part", "p_brand = 'Brand#12' and p_size between 1 and 5"),
    ("partsupp", "ps_availqty < 100"),
    ("supplier", "s_comment like '%Customer%Complaints%'"),
    ("supplier", "s_nationkey = 20"),
];

/// Joins of two tables: a table, its column, its filter; the same of the other.
const JOINS: [[&str; 6]; 14] = [
    ["lineitem", "l_orderkey", "", "orders", "o_orderkey", ""],
    [
        "lineitem",
        "l_orderkey",
        "l_shipdate > date '1995-03-15'",
        "orders",
        "o_orderkey",
        "o_orderdate < date '1995-03-15'",
    ],
    ["orders", "o_custkey", "", "customer", "c_custkey", "c_mktsegment = 'BUILDING'"],
    ["lineitem", "l_partkey", "", "part", "p_partkey", "p_name like '%green%'"],
    ["lineitem", "l_suppkey", "", "supplier", "s_suppkey", "s_nationkey = 20"],
    ["partsupp", "ps_partkey", "", "part", "p_partkey", "p_size = 15 and p_type like '%BRASS'"],
    ["customer", "c_nationkey", "", "nation", "n_nationkey", "n_name = 'FRANCE'"],
    ["supplier", "s_nationkey", "", "customer", "c_nationkey", ""],
    ["lineitem", "l_shipdate", "l_quantity < 2", "orders", "o_orderdate", "o_totalprice > 400000"],
    [
        "lineitem",
        "l_orderkey",
        "l_returnflag = 'R'",
        "orders",
        "o_orderkey",
        "o_orderdate >= date '1993-10-01' and o_orderdate < date '1994-01-01'",
    ],
    ["skewed", "v", "", "skewed_too", "v", ""],
    ["skewed", "v", "v < 100", "skewed_too", "v", ""],
    ["skewed", "v", "", "even", "v", ""],
    ["even", "v", "w = 3", "skewed", "v", "v between 10 and 500"],
];

fn main() {
    let scale: f64 = std::env::var("BLUESHIFT_SCALE").ok().and_then(|s| s.parse().ok()).unwrap_or(0.1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let warehouse = Warehouse::builder().slices(4).open("memory://").await.expect("it opens");
        let session = warehouse.session();
        for table in tpch::tables() {
            tpch_rows::load(&session, &table, scale).await;
        }
        generate(&session, (scale * 2_000_000.0) as u64).await;
        println!("TPC-H at scale {scale}, and generated tables");
        for analyzed in [false, true] {
            if analyzed {
                run(&session, "analyze").await;
            }
            let when = if analyzed { "after ANALYZE" } else { "after loading" };
            let mut of_tpch = Vec::new();
            for (table, filter) in FILTERS {
                of_tpch.push(filter_error(&session, table, filter).await);
            }
            report(&format!("filters of TPC-H, {when}"), of_tpch);
            let mut of_generated = Vec::new();
            for (table, filter) in generated() {
                of_generated.push(filter_error(&session, table, &filter).await);
            }
            report(&format!("correlated and skewed filters, {when}"), of_generated);
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for join in JOINS {
                let (own, datafusion) = join_errors(&session, join).await;
                ours.push(own);
                theirs.extend(datafusion);
            }
            report(&format!("joins, {when}"), ours);
            report(&format!("the same joins in plans, {when}"), theirs);
        }
    });
}

/// Columns that depend on each other, and values of which few have most rows.
async fn generate(session: &Session, rows: u64) {
    run(session, "create table even (v int, w int) diststyle even").await;
    run(session, &format!("insert into even select v % 1000, v / 7 % 10 from generate_series(1, {rows}) s(v)")).await;
    for (name, seed) in [("skewed", 7919), ("skewed_too", 104729)] {
        run(session, &format!("create table {name} (v int, city varchar(20)) diststyle even")).await;
        // The n-th value has about 1/n of the first's rows.
        let value = format!("cast(exp((v * {seed} % 1000003) / 1000003.0 * ln(10000.0)) as int)");
        let insert = format!(
            "insert into {name} select x, 'city ' || (x / 10) from (select {value} as x from generate_series(1, {rows}) s(v)) g"
        );
        run(session, &insert).await;
    }
    let create = "create table correlated (country int, city int, zip int, ordered date, shipped date) diststyle even";
    run(session, create).await;
    let insert = format!(
        "insert into correlated select v * 7919 % 50, (v * 7919 % 50) * 20 + v % 20, \
         ((v * 7919 % 50) * 20 + v % 20) * 10 + v % 7, date '2020-01-01' + cast(v % 1500 as int), \
         date '2020-01-01' + cast(v % 1500 + v % 30 as int) from generate_series(1, {rows}) s(v)"
    );
    run(session, &insert).await;
}

fn generated() -> Vec<(&'static str, String)> {
    let mut filters = Vec::new();
    for v in [1, 2, 5, 20, 100, 1000, 5000] {
        filters.push(("skewed", format!("v = {v}")));
        filters.push(("skewed", format!("v < {v} + 1")));
        filters.push(("skewed", format!("v between {v} and {v} * 2")));
        filters.push(("skewed", format!("city = 'city {}'", v / 10)));
    }
    for v in [3, 17, 42] {
        filters.push(("correlated", format!("country = {v}")));
        filters.push(("correlated", format!("country = {v} and city between {} and {}", v * 20, v * 20 + 19)));
        filters.push(("correlated", format!("country = {v} and city = {}", v * 20 + 3)));
        filters.push(("correlated", format!("country <> {v} and city > {}", v * 20)));
        filters.push(("correlated", format!("country = {v} or city = {}", v * 20 + 3)));
    }
    for day in ["2020-03-01", "2021-06-01", "2023-01-01"] {
        filters.push(("correlated", format!("ordered >= date '{day}' and shipped >= date '{day}'")));
        filters.push(("correlated", format!("ordered >= date '{day}' and ordered < date '{day}' + 30")));
    }
    filters
}

/// The q-error of a filter's estimate, and what it is of.
async fn filter_error(session: &Session, table: &str, filter: &str) -> (f64, String) {
    let plan = plan(session, &format!("select * from {table} where {filter}")).await;
    let scan = nodes::<DataSourceExec>(&plan).pop().expect("a scan");
    let truth = count(session, &format!("select count(*) from {table} where {filter}")).await;
    (q_error(estimated(&scan), truth), format!("{table}: {filter}"))
}

/// The q-errors of a join's estimate, of the two tables alone and as plans are chosen by it.
async fn join_errors(session: &Session, join: [&str; 6]) -> ((f64, String), Option<(f64, String)>) {
    let [left, l, left_filter, right, r, right_filter] = join;
    let filters: Vec<&str> = [left_filter, right_filter].into_iter().filter(|f| !f.is_empty()).collect();
    let condition = if filters.is_empty() { String::new() } else { format!(" where {}", filters.join(" and ")) };
    // Names of columns are told apart by their table.
    let (alias_left, alias_right) = ("one", "two");
    let qualify = |text: &str| match (left, right) {
        ("lineitem" | "orders" | "partsupp" | "customer" | "supplier", _) => text.to_string(),
        _ => text.replacen("v <", "one.v <", 1).replacen("w =", "one.w =", 1).replacen("v between", "two.v between", 1),
    };
    let from = format!(
        "from {left} {alias_left} join {right} {alias_right} on {alias_left}.{l} = {alias_right}.{r}{}",
        qualify(&condition)
    );
    let truth = count(session, &format!("select count(*) {from}")).await;
    let rows = |table: &str, filter: &str| match filter {
        "" => format!("select * from {table}"),
        filter => format!("select * from {table} where {filter}"),
    };
    let left_plan = plan(session, &rows(left, left_filter)).await;
    let right_plan = plan(session, &rows(right, right_filter)).await;
    let (left_scan, right_scan) = (slice_scan(&left_plan), slice_scan(&right_plan));
    let (left_view, right_view) = (TableView::new(left_scan.table()), TableView::new(right_scan.table()));
    let ordinal = |scan: &SliceScan, name: &str| scan.table().def.columns.iter().position(|c| c.name == name);
    let (at_left, at_right) = (ordinal(&left_scan, l).expect("a column"), ordinal(&right_scan, r).expect("a column"));
    let pairs = left_view.estimate(left_scan.filters()).rows * right_view.estimate(right_scan.filters()).rows;
    let own = pairs * left_view.join_selectivity(at_left, &right_view, at_right);
    let what = format!("{left} {left_filter} | {right} {right_filter}");
    let whole = plan(session, &format!("select * {from}")).await;
    let theirs = nodes::<HashJoinExec>(&whole).pop().map(|node| (q_error(estimated(&node), truth), what.clone()));
    ((q_error(own, truth), what), theirs)
}

fn report(what: &str, mut errors: Vec<(f64, String)>) {
    errors.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at = |share: f64| errors[((errors.len() - 1) as f64 * share).ceil() as usize].0;
    println!("{what}: {} of them, median {:.2}, 95th percentile {:.2}", errors.len(), at(0.5), at(0.95));
    for (error, of) in errors.iter().rev().take(3) {
        println!("    {error:.1}  {of}");
    }
}

fn q_error(estimate: f64, truth: f64) -> f64 {
    let (estimate, truth) = (estimate.max(1.0), truth.max(1.0));
    (estimate / truth).max(truth / estimate)
}

fn estimated(node: &Arc<dyn ExecutionPlan>) -> f64 {
    PlanEstimator::default().estimate(node).expect("an estimate").rows
}

fn nodes<T: ExecutionPlan + 'static>(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
    let mut found = Vec::new();
    plan.apply(|node| {
        if node.is::<T>() {
            found.push(Arc::clone(node));
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .expect("a plan");
    found.truncate(1);
    found
}

fn slice_scan(plan: &Arc<dyn ExecutionPlan>) -> SliceScan {
    let node = nodes::<DataSourceExec>(plan).pop().expect("a scan");
    let exec = node.downcast_ref::<DataSourceExec>().expect("a scan");
    exec.data_source().downcast_ref::<SliceScan>().expect("a scan of ours").clone()
}

async fn plan(session: &Session, sql: &str) -> Arc<dyn ExecutionPlan> {
    Arc::clone(session.sql(sql).await.expect(sql).plan().expect("a query"))
}

async fn run(session: &Session, sql: &str) {
    session.sql(sql).await.expect(sql).collect().await.expect(sql);
}

async fn count(session: &Session, sql: &str) -> f64 {
    let rows = session.sql(sql).await.expect(sql).collect().await.expect(sql);
    rows[0].column(0).as_primitive::<Int64Type>().value(0) as f64
}
