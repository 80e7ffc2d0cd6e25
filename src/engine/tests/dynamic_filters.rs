//! Filters that joins and TopKs give while a query runs must save the work that they are for.

use datafusion::prelude::SessionContext;

use super::util::*;
use crate::engine::Warehouse;
use crate::format::Geometry;
use crate::physical_plan::config::BlueshiftOptions;

/// Rows of the fact table; zones of 64 rows.
const ROWS: usize = 40_000;

async fn tables() -> Warehouse {
    let warehouse = warehouse(4, 4, Geometry::new(64, 1024).unwrap()).await;
    let session = warehouse.session();
    for (create, rows) in [
        (
            "create table fact (k bigint, ts timestamp, x int, payload varchar(60)) distkey(k) sortkey(k)",
            format!(
                "insert into fact select v / 4, to_timestamp_micros(v), v % 5, 'payload ' || v \
                 from generate_series(0, {}) g(v)",
                ROWS - 1
            ),
        ),
        (
            "create table log (ts timestamp, payload varchar(60)) diststyle even sortkey(ts)",
            format!(
                "insert into log select to_timestamp_micros(v), 'payload ' || v from generate_series(0, {}) g(v)",
                ROWS - 1
            ),
        ),
        (
            "create table dim (k bigint, name varchar(10)) distkey(k)",
            "insert into dim select v * 1000 + 17, 'n' || v from generate_series(0, 7) g(v)".to_string(),
        ),
        (
            "create table spread (k bigint, name varchar(10)) distkey(name)",
            "insert into spread select v * 1000 + 17, 'n' || v from generate_series(0, 7) g(v)".to_string(),
        ),
    ] {
        session.sql(create).await.unwrap();
        session.sql(&rows).await.unwrap();
    }
    warehouse
}

fn context(warehouse: &Warehouse, partitioned: bool) -> SessionContext {
    let context = warehouse.session().context().clone();
    let state = context.state_ref();
    let mut state = state.write();
    let options = state.config_mut().options_mut();
    let most = if partitioned { 0 } else { 1 << 20 };
    options.optimizer.hash_join_single_partition_threshold = most;
    options.optimizer.hash_join_single_partition_threshold_rows = most;
    // Which would join sides where they are, however small.
    options.extensions.get_mut::<BlueshiftOptions>().unwrap().movement = partitioned;
    drop(state);
    context
}

async fn selective_join(warehouse: &Warehouse, partitioned: bool, dimension: &str) {
    let context = context(warehouse, partitioned);
    let sql = format!("select fact.payload, d.name from {dimension} d join fact on d.k = fact.k");
    let (rows, plan) = measured(&context, &sql).await;
    let shown = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
    let mode = if partitioned { "mode=Partitioned" } else { "mode=CollectLeft" };
    assert!(shown.contains(mode), "{shown}");
    assert_eq!(rows.iter().map(|b| b.num_rows()).sum::<usize>(), 32, "four rows a key");
    let decoded = counted(&plan, "fact", "rows_decoded[payload]");
    assert_eq!(decoded, 32, "{mode} with {dimension}\n{shown}");
    let (zones, pruned) = (counted(&plan, "fact", "zones"), counted(&plan, "fact", "zones_pruned_dynamic"));
    assert!(zones >= ROWS / 2 / 64 && pruned + 64 >= zones, "{pruned} of {zones} zones pruned\n{shown}");
}

/// A join on the distribution key and another: where both sides are in place, and where one of them is moved there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_on_several_keys_decodes_only_what_it_returns() {
    let warehouse = tables().await;
    let session = warehouse.session();
    for (create, rows) in [
        (
            "create table two (k bigint, x int) distkey(k)",
            "insert into two select v * 1000 + 17, v % 5 from generate_series(0, 7) g(v)",
        ),
        ("create table elsewhere (k bigint, x int) diststyle even", "insert into elsewhere select * from two"),
        (
            "create table spread_fact (k bigint, x int, payload varchar(60)) diststyle even sortkey(k)",
            "insert into spread_fact select k, x, payload from fact",
        ),
    ] {
        session.sql(create).await.unwrap();
        session.sql(rows).await.unwrap();
    }
    let context = context(&warehouse, true);
    for (few, many) in [("two", "fact"), ("elsewhere", "fact"), ("two", "spread_fact")] {
        let sql = format!("select f.payload from {few} d join {many} f on d.k = f.k and d.x = f.x");
        let (rows, plan) = measured(&context, &sql).await;
        let shown = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
        assert!(shown.contains("CollocatedJoinExec: by=(k@0, k@0)"), "{shown}");
        let rows = rows.iter().map(|b| b.num_rows()).sum::<usize>();
        let decoded = counted(&plan, many, "rows_decoded[payload]");
        // Four rows a key have other values of `x`, of which one at most is the wanted one.
        assert!(rows > 0 && rows <= 8, "{rows}");
        assert_eq!(decoded, rows, "{few} with {many}\n{shown}");
        // Of a partition the bounds of its own build side count.
        if many == "fact" {
            let (zones, pruned) = (counted(&plan, many, "zones"), counted(&plan, many, "zones_pruned_dynamic"));
            assert!(pruned * 2 > zones, "{pruned} of {zones} zones pruned\n{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selective_join_decodes_only_what_it_returns() {
    let warehouse = tables().await;
    // Both sides where the join wants them: the filter comes as CASE, of which each partition takes its own branch.
    selective_join(&warehouse, true, "dim").await;
    selective_join(&warehouse, false, "dim").await;
    selective_join(&warehouse, true, "spread").await;
    selective_join(&warehouse, false, "spread").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topk_prunes_what_cannot_be_among_the_first() {
    let warehouse = tables().await;
    let context = context(&warehouse, false);
    // The heap's bound is known after the first batch.
    {
        let state = context.state_ref();
        let mut state = state.write();
        *state.config_mut() = state.config().clone().with_batch_size(128);
    }
    for (sql, table) in [
        ("select payload from log order by ts desc limit 5", "log"),
        ("select payload from log order by ts desc nulls last limit 5", "log"),
        ("select payload from fact order by k desc, ts desc limit 5", "fact"),
    ] {
        let (rows, plan) = measured(&context, sql).await;
        assert_eq!(lines(&rows).last().map(String::as_str), Some("| payload 39999 |"), "{sql}");
        let decoded = counted(&plan, table, "rows_decoded[payload]");
        let (zones, pruned) = (counted(&plan, table, "zones"), counted(&plan, table, "zones_pruned_dynamic"));
        assert!(
            decoded <= ROWS / 20 && pruned >= zones * 9 / 10,
            "{sql}: {decoded} decoded, {pruned} of {zones} pruned"
        );
    }
}

/// Of a segment read from its wanted end, a TopK sees little: of one chunk the last zones, of many chunks the last ones.
#[tokio::test]
async fn a_topk_reads_from_the_wanted_end() {
    for (zone, chunk) in [(64, 1024), (64, 64)] {
        let warehouse = warehouse(1, 1, Geometry::new(zone, chunk).unwrap()).await;
        let session = warehouse.session();
        session.sql("create table log (ts bigint sortkey, payload varchar(20)) diststyle even").await.unwrap();
        session.sql("insert into log select v, 'p' || v from generate_series(1, 1024) g(v)").await.unwrap();
        let context = context(&warehouse, false);
        {
            let state = context.state_ref();
            let mut state = state.write();
            *state.config_mut() = state.config().clone().with_batch_size(zone as usize);
        }
        let (rows, plan) = measured(&context, "select payload from log order by ts desc limit 5").await;
        assert_eq!(lines(&rows)[4], "| p1024   |");
        let decoded = counted(&plan, "log", "rows_decoded[payload]");
        assert!(decoded <= 2 * zone as usize, "chunks of {chunk} rows: {decoded} rows decoded");
    }
}

/// Joins on two keys route by a hash of both, which is not where the rows are: nothing may be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_on_several_keys_lose_nothing() {
    let warehouse = tables().await;
    let session = warehouse.session();
    session.sql("create table pairs (k bigint, x int, y int) distkey(k)").await.unwrap();
    session.sql("insert into pairs select v * 3, v % 5, v from generate_series(0, 999) g(v)").await.unwrap();
    let plain = plain(2);
    for table in ["fact", "pairs", "dim"] {
        copy_to(&session, &format!("select * from {table}"), &plain, table).await;
    }
    for sql in [
        "select count(*), sum(y) from pairs p join fact f on p.k = f.k and p.x = f.x",
        "select count(*), sum(y) from pairs p join fact f on p.x = f.x and p.k = f.k where p.y < 9",
        "select count(*), sum(y) from pairs p left join fact f on p.k = f.k and p.x = f.x where p.y < 9",
        "select count(*) from fact f where exists (select 1 from pairs p where p.k = f.k and p.x = f.x and p.y < 20)",
        "select count(*) from fact f right join pairs p on p.k = f.k and p.x = f.x",
        "select count(*), sum(y) from dim d join pairs p on d.k = p.k join fact f on p.k = f.k and p.x = f.x",
        "select count(*) from fact f where k not in (select k from dim)",
        "select x, count(*) from fact where k < 100 group by x order by count(*) desc, x limit 2",
    ] {
        let expected = theirs(&plain, sql).await;
        for partitioned in [true, false] {
            let context = context(&warehouse, partitioned);
            assert_eq!(theirs(&context, sql).await, expected, "partitioned {partitioned}: {sql}");
        }
    }
}

/// The bounds that DataFusion's aggregates push down leave out those aggregates that have none yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aggregates_bounds_lose_nothing() {
    let warehouse = warehouse(2, 2, Geometry::new(64, 1024).unwrap()).await;
    let session = warehouse.session();
    session.sql("create table t (a int, b int, s varchar(9)) diststyle even sortkey(a)").await.unwrap();
    session
        .sql("insert into t select v, case when v >= 10000 then v end, 's' || v from generate_series(0, 19999) g(v)")
        .await
        .unwrap();
    let plain = plain(2);
    copy_to(&session, "select * from t", &plain, "t").await;
    let bare = super::util::plain(2);
    bare.register_table("t", warehouse.table("t").await.unwrap()).unwrap();
    let small_batches = |context: &SessionContext| {
        let state = context.state_ref();
        let mut state = state.write();
        *state.config_mut() = state.config().clone().with_batch_size(64);
    };
    small_batches(session.context());
    small_batches(&bare);
    for sql in [
        "select min(a), max(b) from t where a >= 0",
        "select min(a), max(a + 1) from t where a >= 0",
        "select min(a), max(length(s)) from t where a >= 0",
        "select min(a) filter (where b is null), max(a) filter (where b > 19000) from t where a >= 0",
        "select min(c), max(d) from (select a + 1 as c, -b as d from t) u where c >= 0",
        "select max(a) from t where a >= 0",
    ] {
        let expected = theirs(&plain, sql).await;
        assert_eq!(ours(&session, sql).await, expected, "in a session: {sql}");
        assert_eq!(theirs(&bare, sql).await, expected, "in a plain context: {sql}");
    }
}
