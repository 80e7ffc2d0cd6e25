//! Dead rows: no scan shows them, no filter meets them.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use object_store::{ObjectStoreExt, PutPayload};

use super::util::*;
use crate::catalog::{ObjectId, WarehouseStore, paths};
use crate::common::{ErrorKind, SqlState};
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;

/// A column of every type and encoding; `k` distributes.
const COLUMNS: &str = "k int encode az64, b boolean encode runlength, s smallint encode mostly8, \
    i int encode runlength, i2 int encode bytedict, l bigint encode mostly16, l2 bigint encode delta32k, \
    d decimal(12,2) encode delta, w decimal(30,4) encode mostly32, r real encode alp, f double precision encode zstd, \
    c char(6) encode fsstdict, v varchar(40) encode fsst, u varchar(20) encode text32k, \
    t2 varchar(20) encode text255, z varchar(20) encode raw, day date encode bytedict, \
    ts timestamp encode runlength, a varchar(12) encode lzo";

const ROWS: &str = "select v % 97 - 40, v % 3 = 0, v % 100 - 50, v * 3, v % 500, v % 1000, v * 70000, \
    v * 1.25, v * 1000.5, v % 17, case when v % 13 = 0 then null else v / 8.0 end, 'c' || (v % 9), \
    'a longer text ' || (v % 31), case when v % 5 = 0 then null else 'w' || (v % 7) end, 'x' || (v % 11), 'z' || v, \
    cast('2024-01-01' as date) + cast(v % 40 as int), to_timestamp_micros(v % 6 * 1000000), \
    case when v % 2 = 0 then '' else null end from generate_series(0, 349) as g(v)";

const QUERIES: [&str; 34] = [
    "select count(*) from t",
    "select count(*), count(v), count(f), count(a), sum(k), min(k), max(k) from t",
    "select min(l2) from t",
    "select max(l2), min(i), max(i) from t",
    "select min(b), max(b), min(s), max(s), min(d), max(d), min(w), max(w) from t",
    "select min(r), max(r), min(f), max(f), min(day), max(day), min(ts), max(ts) from t",
    "select min(c), max(c), min(v), max(v), min(u), max(z) from t",
    "select count(distinct k), count(distinct c) from t",
    "select * from t",
    "select v, k from t where k = 5",
    "select k, i from t where k in (1, 2, 3, 50) and b",
    "select i, l2 from t where i between 300 and 420",
    "select i from t where not b and s < -20",
    "select i from t where i = 3 or l2 > 24000000 or s is null",
    "select z from t where (k = 7 and b) or (f is null and d > 800.0)",
    "select f from t order by f limit 7",
    "select i2, l from t where l > 990 or i2 = 7",
    "select d, w from t where d >= 500.00 and w < 600000.0",
    "select r, f from t where f > 40.0 and r <= 9",
    "select c, v from t where c = 'c4' and v like 'a longer text 1%'",
    "select u, t2, z from t where u = 'w3' and t2 <> 'x5'",
    "select z from t where z like '%9'",
    "select day, ts from t where day < cast('2024-01-05' as date)",
    "select count(*) from t where a is null",
    "select count(*) from t where f is not null and u is null",
    "select count(*) from t where a = ''",
    "select k, count(*), sum(l2), min(z) from t group by k",
    "select c, b, avg(f) from t group by c, b",
    "select count(*) from (select k from t limit 13) x",
    "select count(*) from (select k from t where b limit 13) x",
    "select i from t order by i limit 9",
    "select i from t order by i desc limit 9",
    "select count(*), sum(x.i + y.l) from t x join t y on x.k = y.k and x.i2 < y.i2",
    "select count(*) from t x where not exists (select 1 from t y where y.k = x.k + 1 and y.b)",
];

async fn compare(session: &Session, table: &str, gone: &str, what: &str) {
    let context = plain(2);
    copy_to(session, "select * from whole", &context, "whole").await;
    let view = format!("create view {table} as select * from whole where not coalesce({gone}, false)");
    context.sql(&view).await.unwrap().collect().await.unwrap();
    for sql in QUERIES {
        let sql = format!("{sql} ").replace(" t ", &format!(" {table} "));
        let expected = theirs(&context, &sql).await;
        for pruning in [true, false] {
            session.sql(&format!("set blueshift.pruning = {pruning}")).await.unwrap();
            let answer = ours(session, &sql).await;
            assert_eq!(answer, expected, "{what}, {gone} deleted, pruning {pruning}: {sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_rows_vanish_from_every_scan() {
    let layouts = [
        "distkey(k) sortkey(k)",
        "distkey(k) sortkey(day, k)",
        "diststyle even sortkey(i)",
        "diststyle all",
        "distkey(c)",
    ];
    for (i, (slices, threads)) in [(1, 1), (4, 2), (3, 3)].into_iter().enumerate() {
        let geometry = [Geometry::TINY, Geometry::new(64, 256).unwrap(), Geometry::TINY][i];
        let session = warehouse(slices, threads, geometry).await.session();
        session.sql(&format!("create table whole ({COLUMNS})")).await.unwrap();
        session.sql(&format!("insert into whole {ROWS}")).await.unwrap();
        for (n, layout) in layouts.iter().enumerate().filter(|(n, _)| (n + i).is_multiple_of(2)) {
            let table = format!("t{n}");
            let what = format!("{layout} on {slices} slices");
            session.sql(&format!("create table {table} ({COLUMNS}) {layout}")).await.unwrap();
            session.sql(&format!("insert into {table} {ROWS}")).await.unwrap();
            // The extremes go, of every column, and rows in the middle; then more of the same segments.
            let first = "i = 0 or i > 1000 or k = -40 or k = 56 or z = 'z99'";
            delete_where(session.warehouse(), &table, first, Place::LogEntry).await.unwrap();
            compare(&session, &table, first, &what).await;
            let second = "b or k in (3, 4, 5, 6) or l2 < 7000000";
            let deleted = delete_where(session.warehouse(), &table, second, Place::Object).await.unwrap();
            assert!(deleted > 0);
            compare(&session, &table, &format!("({first}) or ({second})"), &what).await;
            let (_, state) = state(session.warehouse(), &table).await;
            let counted = ours(&session, &format!("select count(*) as n from {table}")).await;
            assert!(counted.contains(&format!("| {:<1} |", state.live_rows())), "{counted:?}");
            // All of them: whole segments are dead.
            delete_where(session.warehouse(), &table, "true", Place::Object).await.unwrap();
            compare(&session, &table, "true", &what).await;
        }
    }
}

/// Order that a scan claims holds of what is left.
#[tokio::test]
async fn the_order_of_the_living_is_kept() {
    let session = warehouse(2, 2, Geometry::TINY).await.session();
    session.sql("create table t (k bigint distkey sortkey)").await.unwrap();
    session.sql("insert into t select v * 7919 % 1009 from generate_series(0, 999) g(v)").await.unwrap();
    delete_where(session.warehouse(), "t", "k % 3 <> 1", Place::LogEntry).await.unwrap();
    let plan = ours(&session, "explain format indent select k from t order by k").await.join("\n");
    assert!(!plan.contains("SortExec"), "{plan}");
    for (sql, count) in [("select k from t order by k", None), ("select k from t order by k limit 10", Some(10))] {
        let rows = batches(&session, sql).await;
        let keys: Vec<i64> =
            rows.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert!(keys.is_sorted() && keys.iter().all(|k| k % 3 == 1));
        assert_eq!(keys[..3], [1, 4, 7]);
        assert!(count.is_none_or(|n| n == keys.len()));
    }
}

/// A filter that would raise for a row is not asked about it when the row is dead, or when an earlier conjunct has
/// excluded it.
#[tokio::test]
async fn filters_do_not_raise_for_rows_that_are_not_there() {
    for (slices, layout) in [(1, "distkey(x)"), (3, "diststyle even"), (2, "sortkey(n)")] {
        let session = warehouse(slices, 2, Geometry::TINY).await.session();
        session.sql(&format!("create table t (x int, s varchar(10), n int) {layout}")).await.unwrap();
        let rows = "select v % 10, case when v % 10 = 0 then 'bad' else cast(v % 10 as varchar) end, v \
                    from generate_series(0, 199) g(v)";
        session.sql(&format!("insert into t {rows}")).await.unwrap();
        let raising = ["10 / x > 1", "cast(s as int) > 4", "x + 1 > 10 / x", "n > 5 and 100 / x > 20"];
        for filter in raising {
            let e = error(&session, &format!("select count(*) from t where {filter}")).await;
            assert_ne!(e.kind(), ErrorKind::Internal, "{e:?}");
        }
        for guarded in [
            "x <> 0 and 10 / x > 1",
            "x > 0 and cast(s as int) > 4",
            "x + 0 > 0 and 10 / x > 1",
            "s <> 'bad' and cast(s as int) > 4 and 10 / x > 1",
        ] {
            let sql = format!("select n from t where {guarded}");
            batches(&session, &sql).await;
        }
        delete_where(session.warehouse(), "t", "x = 0", Place::LogEntry).await.unwrap();
        let context = plain(1);
        copy_to(&session, "select * from t", &context, "t").await;
        for filter in raising {
            for columns in ["n", "count(*)", "s, x", "max(x)"] {
                let sql = format!("select {columns} from t where {filter}");
                assert_eq!(ours(&session, &sql).await, theirs(&context, &sql).await, "{layout}: {sql}");
            }
        }
    }
}

/// DataFusion's PushDownFilter puts conjuncts with function calls behind the others before any scan sees them.
#[tokio::test]
async fn a_guard_that_calls_a_function_guards() {
    let session = warehouse(1, 1, Geometry::TINY).await.session();
    session.sql("create table t (x int, y int)").await.unwrap();
    session.sql("insert into t values (0, 1), (1, 0), (2, 2), (null, 3)").await.unwrap();
    for (condition, expected) in [
        ("abs(x) > 0 and 10 / x > 1", &["| 1 |", "| 2 |"][..]),
        ("10 / x > 1 and abs(x) > 0", &["| 1 |", "| 2 |"]),
        ("abs(x) > 0 and 10 / x > 1 and abs(y) > 0 and 10 / y > 1", &["| 2 |"]),
        ("10 / x > 10 and abs(x) > 1", &[]),
    ] {
        let mut rows = ours(&session, &format!("select x from t where {condition}")).await;
        rows.retain(|line| line != "| x |");
        assert_eq!(rows, expected, "{condition}");
    }
    // A row that nothing excludes raises.
    for condition in ["abs(x) >= 0 and 10 / x > 1", "10 / x > 1", "10 / x > 1 and 10 / y > 1"] {
        let raised = error(&session, &format!("select x from t where {condition}")).await;
        assert_eq!(raised.state(), SqlState::DIVISION_BY_ZERO, "{condition}: {raised}");
    }
}

/// Of the same store, for another process.
async fn open_again(store: &WarehouseStore) -> Warehouse {
    Warehouse::builder().store(store.clone()).open("memory://").await.unwrap()
}

#[tokio::test]
async fn a_delete_vector_survives_and_its_damage_is_found() {
    let store = WarehouseStore::memory();
    let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY).store(store.clone());
    let session = builder.open("memory://").await.unwrap().session();
    session.sql("create table t (x int distkey, n int)").await.unwrap();
    session.sql("insert into t select v % 10, v from generate_series(0, 199) g(v)").await.unwrap();
    let count = "select count(*), sum(n) from t where x < 5";
    delete_where(session.warehouse(), "t", "x = 3", Place::Object).await.unwrap();
    let answer = ours(&session, count).await;
    assert!(answer[0].contains(" 80 "), "{answer:?}");
    assert_eq!(ours(&open_again(&store).await.session(), count).await, answer);
    // And from a checkpoint.
    session.warehouse().inner.catalog.checkpoint().await.unwrap();
    assert_eq!(ours(&open_again(&store).await.session(), count).await, answer);

    let (_, state) = state(session.warehouse(), "t").await;
    let vector = state.segments.iter().find_map(|s| s.deleted).unwrap();
    assert!(matches!(vector.extent.object, ObjectId::Data { .. }));
    let path = paths::object(&vector.extent.object);
    let good = store.objects().get(&path).await.unwrap().bytes().await.unwrap();
    for flipped in [0, 5, good.len() - 1] {
        let mut bad = good.to_vec();
        bad[flipped] ^= 4;
        store.objects().put(&path, PutPayload::from(bad)).await.unwrap();
        let e = error(&open_again(&store).await.session(), count).await;
        assert_eq!(e.kind(), ErrorKind::Corrupt, "{e:?}");
        assert_eq!(e.object(), Some(path.as_ref()), "{e:?}");
        assert!(e.offset().is_some(), "{e:?}");
    }
    // A wrong count is found in a vector whose bytes are whole, and so is a position that the segment does not have.
    store.objects().put(&path, PutPayload::from(good.slice(..good.len() - 1))).await.unwrap();
    let e = error(&open_again(&store).await.session(), count).await;
    assert_eq!(e.kind(), ErrorKind::Corrupt, "{e:?}");
    store.objects().delete(&path).await.unwrap();
    let e = error(&open_again(&store).await.session(), count).await;
    assert_eq!((e.kind(), e.object()), (ErrorKind::Corrupt, Some(path.as_ref())), "{e:?}");
    store.objects().put(&path, PutPayload::from(good)).await.unwrap();
    assert_eq!(ours(&open_again(&store).await.session(), count).await, answer);
}
