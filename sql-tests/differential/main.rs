//! The same rows and queries in Blueshift and in plain DataFusion: every answer must be the same.

mod tpch;

use std::sync::Arc;

use blueshift::engine::{Session, Warehouse};
use blueshift::format::Geometry;
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int32Type;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::{SessionConfig, SessionContext};

/// What is compared of an answer: its rows as text, sorted, since most queries leave ties in any order.
fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).expect("rows can be shown").to_string();
    let mut lines: Vec<String> = text.lines().filter(|l| l.starts_with('|')).map(str::to_string).collect();
    lines.sort();
    lines
}

async fn ours(session: &Session, sql: &str) -> Vec<String> {
    let output = session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e:?}"));
    rows(&output.collect().await.unwrap_or_else(|e| panic!("{sql}\n{e:?}")))
}

async fn theirs(context: &SessionContext, sql: &str) -> Vec<String> {
    rows(&context.sql(sql).await.expect(sql).collect().await.expect(sql))
}

/// DataFusion with the settings of our sessions that change what SQL means.
fn plain(partitions: usize) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(partitions);
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    SessionContext::new_with_config(config)
}

async fn warehouse(slices: u32, threads: usize, geometry: Geometry) -> Warehouse {
    Warehouse::builder().slices(slices).threads(threads).geometry(geometry).open("memory://").await.expect("it opens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tpch_answers_are_datafusions() {
    let data = tpch::Data::generate(0.01);
    let context = plain(2);
    data.register(&context);
    let mut expected = Vec::new();
    for (number, sql) in tpch::queries() {
        expected.push((number, sql, theirs(&context, sql).await));
    }
    for (slices, threads) in [(1, 1), (3, 2), (4, 2), (4, 4), (8, 2), (7, 2)] {
        let session = warehouse(slices, threads, Geometry::new(1024, 8192).expect("valid")).await.session();
        data.load(&session).await;
        for (number, sql, answer) in &expected {
            assert_eq!(ours(&session, sql).await, *answer, "Q{number} with {slices} slices, {threads} threads");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_context_with_only_the_provider() {
    let data = tpch::Data::generate(0.01);
    let reference = plain(2);
    data.register(&reference);
    let warehouse = warehouse(4, 2, Geometry::new(1024, 8192).expect("valid")).await;
    data.load(&warehouse.session()).await;
    for partitions in [1, 2, 4, 5] {
        let context = plain(partitions);
        for table in tpch::TABLES {
            let provider = warehouse.table(table).await.expect("it is there");
            context.register_table(table, provider).expect("it registers");
        }
        for (number, sql) in tpch::queries() {
            let (ours, expected) = (theirs(&context, sql).await, theirs(&reference, sql).await);
            assert_eq!(ours, expected, "Q{number} with {partitions} partitions");
        }
    }
}

/// Half of the tables ours, half DataFusion's: joins where only one side claims to be hashed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_with_other_tables() {
    let data = tpch::Data::generate(0.01);
    let reference = plain(2);
    data.register(&reference);
    let folder = tempfile::tempdir().expect("a directory");
    for (slices, foreign) in [(4, ["orders", "part"]), (3, ["lineitem", "customer"])] {
        let session = warehouse(slices, 2, Geometry::new(1024, 8192).expect("valid")).await.session();
        data.load(&session).await;
        for table in foreign {
            let file = folder.path().join(format!("{table}.parquet"));
            let file = file.to_str().expect("a path in UTF-8");
            theirs(&reference, &format!("COPY {table} TO '{file}'")).await;
            session.sql(&format!("DROP TABLE {table}")).await.expect("it drops");
            session.context().register_parquet(table, file, Default::default()).await.expect("it registers");
        }
        for (number, sql) in tpch::queries() {
            let expected = theirs(&reference, sql).await;
            assert_eq!(ours(&session, sql).await, expected, "Q{number} with {foreign:?} as Parquet");
        }
    }
}

/// A load far larger than its memory is stored as many runs and merged into one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_beyond_its_memory_is_one_sorted_run() {
    let builder = Warehouse::builder().slices(3).threads(2).geometry(Geometry::new(64, 512).expect("valid"));
    let session = builder.load_memory(200_000).open("memory://").await.expect("it opens").session();
    let rows = "select v * 7919 % 20011 as k, 'text ' || v as t, case when v % 11 = 0 then null else v end as n \
                from generate_series(1, 20000) as s(v)";
    for (table, keys) in
        [("by_number", "distkey(k) sortkey(k)"), ("by_text", "distkey(k) sortkey(t, n)"), ("even", "diststyle even")]
    {
        session.sql(&format!("create table {table} (k int, t varchar(20), n bigint) {keys}")).await.expect("created");
        session.sql(&format!("insert into {table} {rows}")).await.unwrap_or_else(|e| panic!("{table}: {e:?}"));
        let sql = "select count(*) a, sum(k) b, sum(n) c, min(t) d, max(t) e, count(distinct t) f from T";
        let answer = ours(&session, &sql.replace('T', table)).await;
        assert_eq!(answer, theirs(&plain(2), &sql.replace('T', &format!("({rows})"))).await, "{table}");
    }
    // One run on one slice in a partition: the plan needs no sort, and the order is right.
    let session = Warehouse::builder()
        .slices(2)
        .threads(2)
        .load_memory(200_000)
        .open("memory://")
        .await
        .expect("it opens")
        .session();
    session.sql("create table by_number (k int distkey sortkey, t varchar(20), n bigint)").await.expect("created");
    session.sql(&format!("insert into by_number {rows}")).await.expect("inserted");
    let plan = ours(&session, "explain format indent select k from by_number order by k").await.join("\n");
    assert!(!plan.contains("SortExec"), "{plan}");
    let batches = session.sql("select k from by_number order by k").await.expect("sql").collect().await.expect("rows");
    let keys: Vec<i32> =
        batches.iter().flat_map(|b| b.column(0).as_primitive::<Int32Type>().values().to_vec()).collect();
    assert_eq!(keys.len(), 20_000);
    assert!(keys.is_sorted());
}

/// Keys of many types, with NULLs and negative numbers, joined with themselves on one and on two keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_on_keys_of_every_type() {
    let session = warehouse(4, 2, Geometry::TINY).await.session();
    let context = plain(2);
    let rows = "select case when v % 7 = 0 then null else v - 50 end as k, v % 5 as x, v as payload \
                from generate_series(0, 120) as s(v)";
    for (name, sql_type) in [
        ("small", "smallint"),
        ("int", "int"),
        ("big", "bigint"),
        ("dec", "decimal(12,2)"),
        ("wide", "decimal(30,4)"),
        ("text", "varchar(20)"),
        ("double", "double precision"),
    ] {
        session
            .sql(&format!("create table t_{name} (k {sql_type} distkey sortkey, x int, payload int)"))
            .await
            .expect("created");
        session.sql(&format!("insert into t_{name} {rows}")).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let all = session.sql(&format!("select * from t_{name}")).await.expect("read").collect().await.expect("read");
        let table = datafusion::datasource::MemTable::try_new(all[0].schema(), vec![all]).expect("a table");
        context.register_table(format!("t_{name}"), Arc::new(table)).expect("it registers");
        for sql in [
            "select count(*), sum(a.payload), sum(b.payload) from T a join T b on a.k = b.k",
            "select count(*), sum(a.payload) from T a join T b on a.k = b.k and a.x = b.x where b.payload < 40",
            "select count(*), sum(b.payload) from T a left join T b on a.k = b.k and b.x = 1",
            "select count(*) from T a full join T b on a.k = b.k and a.x = b.x + 1",
            "select count(*), sum(payload) from T where k in (select k from T where x = 2)",
            "select count(*), sum(payload) from T where k not in (select k from T where x = 2 and k is not null)",
            "select k, count(*), sum(payload) from T group by k",
            "select count(distinct k) from T",
            "select count(*) from (select k, x from T union select k, x + 1 from T)",
        ] {
            let sql = sql.replace('T', &format!("t_{name}"));
            assert_eq!(ours(&session, &sql).await, theirs(&context, &sql).await, "{sql}");
        }
    }
}
