//! ANALYZE COMPRESSION: what it promises holds, for nobody else to wait.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Decimal128Type, Int64Type};
use futures::StreamExt;

use super::util::*;
use crate::common::{EncodingName, SqlState};
use crate::engine::analyze::sampled;
use crate::engine::{Output, Session, Warehouse};
use crate::format::Geometry;
use crate::sql::{self, Statement};

/// One row of the advice.
#[derive(Debug, Clone, PartialEq)]
struct Advice {
    encoding: String,
    reduction: i128,
    error: Option<i128>,
    bytes: Option<i64>,
    stored: i64,
}

async fn advice(output: Output) -> BTreeMap<String, Advice> {
    let mut rows = BTreeMap::new();
    for batch in output.collect().await.unwrap() {
        let percents = |i: usize| batch.column(i).as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>();
        let bytes = |i: usize| batch.column(i).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
        let (reductions, errors) = (percents(3), percents(4));
        let (estimated, stored) = (bytes(5), bytes(6));
        for i in 0..batch.num_rows() {
            let name = batch.column(1).as_string::<i32>().value(i).to_string();
            let encoding = batch.column(2).as_string::<i32>().value(i).to_string();
            let (reduction, error) = (reductions[i].unwrap(), errors[i]);
            let row = Advice { encoding, reduction, error, bytes: estimated[i], stored: stored[i].unwrap() };
            assert!(rows.insert(name, row).is_none());
        }
    }
    rows
}

async fn analyze(session: &Session, sql: &str) -> BTreeMap<String, Advice> {
    advice(session.sql(sql).await.unwrap()).await
}

/// With a smaller sample of each slice than SQL can ask for.
async fn analyze_few(session: &Session, sql: &str, rows_per_slice: u64) -> BTreeMap<String, Advice> {
    let running = session.begin_at(session.warehouse().pin_newest().await.unwrap()).unwrap();
    let Ok(Statement::AnalyzeCompression(statement)) = sql::parse_one(sql) else { panic!("{sql}") };
    advice(sampled(&running, statement, rows_per_slice).await.unwrap()).await
}

/// The encoded bytes of a table's columns.
async fn stored_bytes(session: &Session, table: &str) -> u64 {
    let (_, state) = state(session.warehouse(), table).await;
    state.segments.iter().flat_map(|s| &s.columns).map(|c| c.bytes).sum()
}

/// Makes the table anew with the encodings advised; the bytes that were promised, and those it takes.
async fn applied(session: &Session, table: &str, layout: &str, advice: &BTreeMap<String, Advice>) -> (f64, f64) {
    let (_, old) = state(session.warehouse(), table).await;
    let columns: Vec<String> = old
        .def
        .columns
        .iter()
        .map(|c| format!("{} {} encode {}", c.name, c.sql_type, advice[&c.name].encoding))
        .collect();
    session.sql("drop table if exists applied").await.unwrap();
    session.sql(&format!("create table applied ({}) {layout}", columns.join(", "))).await.unwrap();
    session.sql(&format!("insert into applied select * from {table}")).await.unwrap();
    let promised: i64 = advice.values().map(|a| a.bytes.unwrap()).sum();
    (promised as f64, stored_bytes(session, "applied").await as f64)
}

#[cfg(feature = "cli")]
async fn lineitem(session: &Session, layout: &str) {
    use arrow::array::RecordBatch;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use tpchgen::generators::LineItemGenerator;
    use tpchgen_arrow::LineItemArrow;

    let table = crate::engine::tpch::tables().into_iter().find(|t| t.name == "lineitem").unwrap();
    let create = table.create();
    let columns = &create[..create.find(") DISTKEY").unwrap() + 1];
    session.sql(&format!("{columns} {layout}")).await.unwrap();
    let batches: Vec<RecordBatch> =
        LineItemArrow::new(LineItemGenerator::new(0.02, 1, 1)).map(|batch| batch.unwrap()).collect();
    let rows = futures::stream::iter(batches.clone().into_iter().map(Ok));
    session.load("lineitem", vec![Box::pin(RecordBatchStreamAdapter::new(batches[0].schema(), rows))]).await.unwrap();
}

#[cfg(feature = "cli")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_size_promised_holds() {
    let layout = "distkey(l_orderkey) sortkey(l_shipdate)";
    let session = warehouse(2, 2, Geometry::new(512, 4096).unwrap()).await.session();
    lineitem(&session, layout).await;
    // All rows are read, then two chunks of each slice's fifteen.
    let (whole, few) = ("analyze compression lineitem", "analyze compression lineitem for space");
    let all = analyze(&session, whole).await;
    let part = analyze_few(&session, few, 1).await;
    for (advice, within) in [(&all, 0.01), (&part, 0.05)] {
        let (promised, taken) = applied(&session, "lineitem", layout, advice).await;
        assert!((promised - taken).abs() <= within * taken, "{promised} promised, {taken} taken: {advice:#?}");
    }
    // What AUTO stores is never smaller than the best.
    let (_, fits) = applied(&session, "lineitem", layout, &all).await;
    assert!(fits <= stored_bytes(&session, "lineitem").await as f64);
    for (name, column) in &all {
        let of_part = &part[name];
        assert_eq!((column.stored, &column.encoding == "auto"), (of_part.stored, name == "l_shipdate"), "{name}");
        if name == "l_shipdate" {
            assert_eq!((column.reduction, column.error, column.bytes), (0, None, Some(column.stored)));
            continue;
        }
        assert_eq!(column.error, Some(0), "{name}");
        // An interval of 95 % misses one column in twenty; twice as wide, of fifteen next to none.
        let error = of_part.error.unwrap();
        assert!((column.reduction - of_part.reduction).abs() <= 2 * error + 100, "{name}: {column:?} {of_part:?}");
    }
    assert!(part.values().any(|c| c.error > Some(0)), "{part:?}");

    // By AUTO's weights: of nearly all columns what AUTO took for most values, of the others what takes hardly more.
    let speed = analyze(&session, "analyze compression lineitem for speed").await;
    let mut otherwise = Vec::new();
    for batch in batches(&session, "select \"column\", encoding from pg_table_def where tablename = 'lineitem'").await {
        for i in 0..batch.num_rows() {
            let name = batch.column(0).as_string::<i32>().value(i).to_string();
            let taken = batch.column(1).as_string::<i32>().value(i).replace("none", "raw");
            assert!(speed[&name].bytes >= all[&name].bytes, "{name}");
            if name != "l_shipdate" && speed[&name].encoding != taken {
                otherwise.push((name, taken));
            }
        }
    }
    let total = |of: fn(&Advice) -> i64| speed.values().map(of).sum::<i64>() as f64;
    let (promised, stored) = (total(|a| a.bytes.unwrap()), total(|a| a.stored));
    assert!(otherwise.len() <= 3, "{otherwise:?}: {speed:#?}");
    assert!((promised - stored).abs() <= 0.02 * stored, "{promised} promised, {stored} by AUTO: {otherwise:?}");
    let (promised, taken) = applied(&session, "lineitem", layout, &speed).await;
    assert!((promised - taken).abs() <= 0.01 * taken, "{promised} promised, {taken} taken");
}

const TEXT: &str = "create table t (k int distkey, d int, w varchar(40), n bigint) sortkey(k)";

/// Numbers, few values and words, some NULL.
fn rows(from: u64, to: u64) -> String {
    format!(
        "insert into t select v, v % 100 * 1000003, case when v % 7 = 0 then null else 'word ' || (v * 7919 % 5000) end, \
         case when v % 3 = 0 then null else v * 7919 % 1000003 end from generate_series({from}, {to}) g(v)"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_rows_and_small_loads_are_not_promised() {
    let session = warehouse(3, 2, Geometry::new(64, 1024).unwrap()).await.session();
    session.sql(TEXT).await.unwrap();
    // Many small segments, which one load makes into few; then a third of the rows dies, and a whole segment.
    for part in 0..12 {
        session.sql(&rows(part * 500, part * 500 + 499)).await.unwrap();
    }
    let gone = "k % 3 = 1 or k < 600";
    assert!(delete_where(session.warehouse(), "t", gone, Place::LogEntry).await.unwrap() > 2000);
    let advice = analyze(&session, "analyze compression t").await;
    session.sql(&format!("create table living as select * from t where not ({gone})")).await.unwrap();
    let columns = advice.iter().filter(|(name, _)| *name != "k");
    for (name, column) in columns {
        assert_eq!(column.error, Some(0), "{name}");
        assert!(column.bytes.unwrap() < column.stored, "{name}: {column:?}");
    }
    let (promised, taken) = applied(&session, "t", "distkey(k) sortkey(k)", &advice).await;
    assert!((promised - taken).abs() <= 0.05 * taken, "{promised} promised, {taken} taken: {advice:#?}");
    // All of them.
    delete_where(session.warehouse(), "t", "true", Place::Object).await.unwrap();
    let output = session.sql("analyze compression t").await.unwrap();
    assert_eq!(output.notices, ["table \"t\" has 0 rows: advice takes 1000 at least"]);
    assert!(self::advice(output).await.values().all(|a| a.encoding == "N/A" && a.bytes.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_and_the_version_stays() {
    let session = warehouse(2, 2, Geometry::new(64, 1024).unwrap()).await.session();
    session.sql(TEXT).await.unwrap();
    session.sql(&rows(0, 4999)).await.unwrap();
    let before = analyze(&session, "analyze compression t").await;
    let mut output = session.sql("analyze compression t").await.unwrap();
    assert!(futures::poll!(output.next()).is_pending());
    let other = session.warehouse().session();
    other.sql(&rows(5000, 5999)).await.unwrap();
    other.sql("drop table t").await.unwrap();
    assert_eq!(advice(output).await, before);
    assert!(session.sql("analyze compression t").await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_when_it_is_cancelled() {
    let session = warehouse(2, 2, Geometry::new(64, 1024).unwrap()).await.session();
    session.sql(TEXT).await.unwrap();
    session.sql(&rows(0, 9999)).await.unwrap();
    let mut output = session.sql("analyze compression t").await.unwrap();
    assert!(futures::poll!(output.next()).is_pending());
    session.cancel();
    assert_eq!(output.next().await.unwrap().unwrap_err().state(), SqlState::QUERY_CANCELED);
    assert!(output.next().await.is_none());
    // Threads that were encoding end soon, and hold nothing then.
    let pool = &session.warehouse().inner.runtime.memory_pool;
    for _ in 0..500 {
        if pool.reserved() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(pool.reserved(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_taken_from_the_warehouse() {
    let builder = Warehouse::builder().slices(1).threads(1).geometry(Geometry::new(64, 1024).unwrap());
    let session = builder.memory_limit(16 << 10).open("memory://").await.unwrap().session();
    session.sql(TEXT).await.unwrap();
    for part in 0..4 {
        session.sql(&rows(part * 500, part * 500 + 499)).await.unwrap();
    }
    let error = error(&session, "analyze compression t").await;
    assert_eq!(error.state(), SqlState::OUT_OF_MEMORY, "{error}");
    assert!(error.message().contains("ANALYZE COMPRESSION"), "{error}");
}

/// Every type's advice can be declared, and is among those that its values were tried in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_advised_can_be_declared() {
    let session = warehouse(2, 2, Geometry::new(64, 1024).unwrap()).await.session();
    session
        .sql(
            "create table t (k int, b boolean, s smallint, l bigint, d decimal(9,2), w decimal(30,4), r real, \
             f double precision, c char(8), v varchar(60), day date, tm time, ts timestamp, tz timestamptz, \
             x varbyte(20), j super, nothing varchar(9), e varchar(9)) distkey(k) sortkey(k)",
        )
        .await
        .unwrap();
    session
        .sql(
            "insert into t select v, v % 2 = 0, v % 300, v * 7919, v * 1.25, v * 1000000007.5, v / 7.0, v / 100.0, \
             'c' || (v % 9), 'text of ' || (v * 31 % 977), cast('2024-01-01' as date) + cast(v % 99 as int), \
             cast('10:00:00' as time), to_timestamp_micros(v * 1000003), to_timestamp_micros(v), \
             ('a' || v)::varbyte(20), json_parse('{\"a\": ' || v || '}'), null, '' \
             from generate_series(0, 2499) g(v)",
        )
        .await
        .unwrap();
    for objective in ["space", "speed"] {
        let advice = analyze(&session, &format!("analyze compression t for {objective}")).await;
        assert_eq!(advice.len(), 18);
        for (name, column) in &advice {
            assert!(column.encoding.parse::<EncodingName>().is_ok(), "{name}: {column:?}");
            assert!((0..=10_000).contains(&column.reduction), "{name}: {column:?}");
        }
        assert_eq!((advice["nothing"].encoding.as_str(), advice["nothing"].reduction), ("raw", 0));
        // EVEN would place the rows in the order that a query gives them in.
        let (promised, taken) = applied(&session, "t", "distkey(k) sortkey(k)", &advice).await;
        assert!((promised - taken).abs() <= 0.02 * taken, "{promised} promised, {taken} taken: {advice:#?}");
    }
}
