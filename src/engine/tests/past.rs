//! FOR SYSTEM_TIME AS OF: what a query sees of the past, and what it cannot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use super::util::*;
use crate::catalog::{CatalogOptions, WarehouseStore};
use crate::common::{Clock, ErrorKind, SqlState};
use crate::engine::{Session, Warehouse, WarehouseBuilder};
use crate::format::Geometry;
use crate::testing::TestClock;
use crate::testing::long::seeds;
use crate::testing::rng::Rng;

/// 2026-01-01 00:00:00
pub const NEW_YEAR: i64 = 1_767_225_600_000_000;
pub const HOUR: i64 = 3_600_000_000;

pub fn quiet(clock: &Arc<TestClock>) -> WarehouseBuilder {
    let options = CatalogOptions {
        clock: Arc::clone(clock) as _,
        background: false,
        retry_delay: Duration::ZERO,
        ..Default::default()
    };
    Warehouse::builder().catalog_options(options).slices(2).threads(2).geometry(Geometry::TINY)
}

pub async fn run(session: &Session, sql: &str) {
    session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
}

/// The newest version.
pub fn version(warehouse: &Warehouse) -> u64 {
    warehouse.inner.catalog.snapshot().version.0
}

pub async fn one(session: &Session, sql: &str) -> i64 {
    let rows = batches(session, sql).await;
    rows.iter().find(|b| b.num_rows() > 0).unwrap().column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test]
async fn a_query_reads_tables_as_they_were() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&session, "create table t (k int, v varchar(10))").await;
    run(&session, "insert into t values (1, 'one'), (2, 'two')").await;
    let first = version(&warehouse);
    clock.advance(HOUR);
    run(&session, "delete from t where k = 1").await;
    run(&session, "insert into t values (3, 'three')").await;
    clock.advance(HOUR);
    let whole = ours(&session, "select k, v from (values (1, 'one'), (2, 'two')) x (k, v)").await;
    for at in [
        first.to_string(),
        format!("{first} + 0"),
        "timestamp '2026-01-01 00:30:00'".into(),
        "'2026-01-01 00:59:59.999999'".into(),
        "timestamptz '2026-01-01 01:30:00+01'".into(),
        "date '2026-01-01'".into(),
        format!("(select {first})"),
    ] {
        let sql = format!("select * from t for system_time as of {at}");
        assert_eq!(ours(&session, &sql).await, whole, "{sql}");
        // A name of its own, its schema, a CTE, a subquery, a join with itself.
        for (sql, count) in [
            (format!("select count(*) from public.t for system_time as of {at} as old where old.k < 3"), 2),
            (format!("select count(*) from dev.public.t for system_time as of {at} where t.k = 1"), 1),
            (format!("with t as (select * from t for system_time as of {at}) select count(*) from t"), 2),
            (format!("select count(*) from t where k in (select k from t for system_time as of {at})"), 1),
            (format!("select count(*) from t now join t for system_time as of {at} old on now.k = old.k"), 1),
            (format!("select count(*) from t for system_time as of {at} a full join t b using (k)"), 3),
            (format!("select count(*) from t for system_time as of {at} old, t for system_time as of {first} o2"), 4),
        ] {
            assert_eq!(one(&session, &sql).await, count, "{sql}");
        }
    }
    // The session's zone is that of a time without one.
    run(&session, "set timezone to 'Europe/Berlin'").await;
    assert_eq!(ours(&session, "select * from t for system_time as of timestamp '2026-01-01 01:30:00'").await, whole);
    run(&session, "reset timezone").await;
    // As written in a statement that runs later, and in a prepared one of the application's.
    let prepared = session.prepare(&format!("select count(*) from t for system_time as of {first}")).await.unwrap();
    assert_eq!(prepared.schema().fields().len(), 1);
    drop(prepared);
    run(&session, "prepare p as delete from t where k in (select k from t for system_time as of 3)").await;
    assert_eq!(one(&session, "select count(*) from t for system_time as of 3").await, 1);
    run(&session, "execute p").await;
    assert_eq!(one(&session, "select count(*) from t").await, 1);
}

#[tokio::test]
async fn changes_take_rows_of_the_past_and_give_back_what_is_gone() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&session, "create table t (k int, v int)").await;
    run(&session, "insert into t select i, i from generate_series(1, 100) s(i)").await;
    let before = version(&warehouse);
    run(&session, "update t set v = 0 where k <= 50").await;
    run(&session, "delete from t where k > 90").await;
    run(&session, &format!("insert into t select * from t for system_time as of {before} where k > 90")).await;
    run(
        &session,
        &format!("update t set v = old.v from t for system_time as of {before} old where t.k = old.k and t.k < 10"),
    )
    .await;
    assert_eq!(one(&session, "select sum(v) from t").await, (51..=100).sum::<i64>() + (1..10).sum::<i64>());
    run(&session, &format!("merge into t using t for system_time as of {before} as old on t.k = old.k when matched then update set v = old.v when not matched then insert values (old.k, old.v)")).await;
    assert_eq!(one(&session, "select sum(v) from t").await, (1..=100).sum::<i64>());
    run(
        &session,
        &format!("delete from t using t for system_time as of {} as old where t.k = old.k and old.v = 0", before + 1),
    )
    .await;
    assert_eq!(one(&session, "select count(*) from t").await, 50);
    run(&session, &format!("create table c as select * from t for system_time as of {before}")).await;
    assert_eq!(one(&session, "select count(*) from c").await, 100);
    for sql in [
        "insert into t for system_time as of 3 values (1, 1)",
        "update t for system_time as of 3 set v = 1",
        "delete from t for system_time as of 3",
        "truncate t for system_time as of 3",
        "merge into t for system_time as of 3 using c on c.k = t.k when matched then delete",
    ] {
        let e = error(&session, sql).await;
        assert!(e.message().contains("past version of a table cannot be changed"), "{sql}: {e:?}");
        assert!(e.position().is_some());
    }
}

#[tokio::test]
async fn names_are_looked_up_in_the_version() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&session, "create schema s").await;
    run(&session, "create table s.gone (k int)").await;
    run(&session, "insert into s.gone values (7)").await;
    run(&session, "create view s.seen as select k * 2 as twice from s.gone").await;
    run(&session, "create view s.late as select k from s.gone with no schema binding").await;
    let before = version(&warehouse);
    run(&session, "insert into s.gone values (8)").await;
    assert_eq!(one(&session, &format!("select sum(twice) from s.seen for system_time as of {before}")).await, 14);
    assert_eq!(one(&session, "select sum(twice) from s.seen").await, 30);
    let late = error(&session, &format!("select * from s.late for system_time as of {before}")).await;
    assert_eq!(late.kind(), ErrorKind::Unsupported, "{late:?}");
    run(&session, "drop schema s cascade").await;
    let old = format!("for system_time as of {before}");
    assert_eq!(one(&session, &format!("select sum(k) from s.gone {old}")).await, 7);
    assert_eq!(one(&session, &format!("select sum(twice) from s.seen {old}")).await, 14);
    run(&session, "create table gone (a int, b int)").await;
    let e = error(&session, &format!("select * from gone {old}")).await;
    assert_eq!((e.kind(), e.state()), (ErrorKind::Invalid, SqlState::UNDEFINED_TABLE));
    assert!(e.message().contains(&format!("does not exist in version {before}")), "{e:?}");
    assert!(e.position().is_some());
    run(&session, "set search_path to s, public").await;
    assert_eq!(one(&session, &format!("select sum(k) from gone {old}")).await, 7);
    // What has no past.
    run(&session, "create temp table tmp (k int)").await;
    for sql in ["select * from tmp for system_time as of 1", "select * from svv_table_info for system_time as of 1"] {
        let e = error(&session, sql).await;
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{sql}: {e:?}");
        assert!(e.message().contains("no versions"), "{e:?}");
    }
    for (sql, message) in [
        ("with x as (select 1) select * from x for system_time as of 1", "which WITH defines"),
        ("create view v as select * from gone for system_time as of 1", "in a view"),
        ("create view v as select * from public.gone for system_time as of 1 with no schema binding", "in a view"),
        ("prepare q as select * from gone for system_time as of 1", "planned once"),
        ("select * from gone for system_time as of null", "NULL is no version"),
        ("select * from gone for system_time as of -1", "-1 is no version"),
        ("select * from gone for system_time as of 1.5", "1.5 is no version"),
        ("select * from gone for system_time as of $1", "a parameter"),
    ] {
        let e = error(&session, sql).await;
        assert!(e.message().contains(message), "{sql}: {e:?}");
        assert!(matches!(e.kind(), ErrorKind::Invalid | ErrorKind::Unsupported));
    }
}

#[tokio::test]
async fn a_version_is_there_or_the_error_says_which_are() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&session, "create table t (k int)").await;
    run(&session, "insert into t values (1)").await;
    let first = version(&warehouse);
    clock.advance(HOUR);
    run(&session, "insert into t values (2)").await;
    let newest = version(&warehouse);
    for (at, part) in [
        ("1000", format!("version 1000 is not there yet: the newest is {newest} of 2026-01-01 01:00:00")),
        ("timestamp '2026-01-01 02:00:00'", "is in the future".into()),
        ("timestamp '2025-12-31 23:59:59'", "the warehouse was made after 2025-12-31 23:59:59".into()),
    ] {
        let e = error(&session, &format!("select * from t for system_time as of {at}")).await;
        assert_eq!((e.kind(), e.state()), (ErrorKind::Invalid, SqlState::INVALID_PARAMETER), "{e:?}");
        assert!(e.message().contains(&part), "{e:?}");
    }
    // While a query reads a version, it stays.
    let old = session.sql(&format!("select * from t for system_time as of {first}")).await.unwrap();
    warehouse.collect().await.unwrap();
    run(&session, "delete from t").await;
    warehouse.collect().await.unwrap();
    assert_eq!(lines(&old.collect().await.unwrap()).len(), 2);
    run(&session, "insert into t values (5)").await;
    warehouse.collect().await.unwrap();
    for at in [first.to_string(), "timestamp '2026-01-01 00:00:00'".into()] {
        let e = error(&session, &format!("select * from t for system_time as of {at}")).await;
        assert_eq!((e.kind(), e.state()), (ErrorKind::Invalid, SqlState::SNAPSHOT_TOO_OLD), "{e:?}");
        assert!(e.message().contains("is the oldest that is there"), "{e:?}");
    }
    assert_eq!(one(&session, "select count(*) from t").await, 1);
}

#[tokio::test]
async fn plans_of_the_past_say_so_and_believe_nothing_of_the_present() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&session, "create table p (k int not null, primary key (k) rely)").await;
    run(&session, "create table c (k int not null, foreign key (k) references p (k) rely)").await;
    run(&session, "insert into p values (1)").await;
    let before = version(&warehouse);
    run(&session, "insert into p values (2)").await;
    run(&session, "insert into c values (2)").await;
    // The key refers to a row that was not there: a join of two versions is not left out.
    let join = format!("select count(*) from c join p for system_time as of {before} old on c.k = old.k");
    assert_eq!(one(&session, &join).await, 0);
    let join = format!("select count(c.k) from c join p for system_time as of {before} old on c.k = old.k");
    assert_eq!(one(&session, &join).await, 0);
    let plan = ours(&session, &format!("explain select * from p for system_time as of {before} old")).await.join("\n");
    assert!(plan.contains(&format!("Seq Scan on p FOR SYSTEM_TIME AS OF {before} old")), "{plan}");
    let plan =
        ours(&session, &format!("explain verbose select * from p for system_time as of {before}")).await.join("\n");
    assert!(plan.contains(&format!("version={before}")) || plan.contains("AS OF"), "{plan}");
    // A past in which there is nothing: bounds are those of the version.
    let union = format!("select k from c union all select k from p for system_time as of {before}");
    assert_eq!(one(&session, &format!("select count(*) from ({union}) u where k = 2")).await, 1);
}

#[tokio::test]
async fn a_transaction_reads_the_past_and_no_conflict_comes_of_it() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let (session, other) = (warehouse.session(), warehouse.session());
    run(&session, "create table t (k int)").await;
    run(&session, "create table log (n bigint)").await;
    run(&session, "insert into t values (1)").await;
    let before = version(&warehouse);
    run(&session, "begin isolation level serializable").await;
    run(&session, "insert into log select 100").await;
    run(&session, &format!("insert into log select count(*) from t for system_time as of {before}")).await;
    run(&other, "insert into t values (2)").await;
    let later = version(&warehouse);
    assert_eq!(one(&session, &format!("select count(*) from t for system_time as of {later}")).await, 2);
    run(&session, "commit").await;
    assert_eq!(one(&session, "select sum(n) from log").await, 101);
}

/// What each version held is what it holds, whatever was changed, vacuumed and collected since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_there_is_there_as_long_as_it_is_kept() {
    for seed in seeds(1, 12) {
        let mut rng = Rng::new(seed);
        let clock = Arc::new(TestClock::at(NEW_YEAR));
        let store = WarehouseStore::memory();
        let warehouse = quiet(&clock).store(store.clone()).open("memory://").await.unwrap();
        let reader = quiet(&clock).store(store).open("memory://").await.unwrap();
        let (session, far) = (warehouse.session(), reader.session());
        let sort = ["sortkey(k)", "interleaved sortkey(k, v)", ""][rng.below(3)];
        run(
            &session,
            &format!(
                "create table t (k int, v int) {} {sort}",
                ["distkey(k)", "diststyle all", "diststyle even"][rng.below(3)]
            ),
        )
        .await;
        run(&session, "set blueshift.vacuum_rows = 100").await;
        let mut held: BTreeMap<u64, (i64, Vec<String>)> = BTreeMap::new();
        for step in 0..30 {
            clock.advance(1_000_000);
            let (from, to) = (rng.below(100), rng.below(100));
            match rng.below(8) {
                0..=2 => {
                    run(
                        &session,
                        &format!(
                            "insert into t select i, {step} from generate_series({from}, {}) s(i)",
                            from + rng.below(60)
                        ),
                    )
                    .await
                }
                3 => run(&session, &format!("delete from t where k between {from} and {to}")).await,
                4 => run(&session, &format!("update t set v = -{step} where k between {from} and {to}")).await,
                5 => run(&session, "vacuum full t").await,
                6 => drop(warehouse.collect().await.unwrap()),
                _ => drop(warehouse.inner.catalog.checkpoint().await.unwrap()),
            }
            let horizon = warehouse.inner.catalog.snapshot().horizon.0;
            held.retain(|v, _| *v >= horizon);
            held.insert(version(&warehouse), (clock.now_us(), ours(&session, "select * from t").await));
            let at = held.keys().copied().nth(rng.below(held.len())).unwrap();
            let (time, rows) = &held[&at];
            let session = if rng.one_in(2) { &session } else { &far };
            let sql = format!("select * from t for system_time as of {at}");
            assert_eq!(ours(session, &sql).await, *rows, "seed {seed}, step {step}: {sql}");
            // Several steps of a vacuum have one time, the last of which is meant.
            let seconds = (time - NEW_YEAR) / 1_000_000;
            let sql = format!(
                "select * from t for system_time as of timestamp '2026-01-01 00:00:00' + interval '{seconds} seconds'"
            );
            assert_eq!(ours(session, &sql).await, *rows, "seed {seed}, step {step}: {sql}");
        }
    }
}

#[tokio::test]
async fn the_history_of_a_table_tells_its_changes() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&session, "create table t (k int, constraint u unique (k))").await;
    run(&session, "create table other (k int)").await;
    for sql in [
        "insert into t select i from generate_series(1, 10) s(i)",
        "insert into other values (1)",
        "delete from t where k > 8",
        "update t set k = k + 100 where k < 4",
        "alter table t alter constraint u rely",
        "comment on table t is 'x'",
        "analyze t",
        "vacuum full t to 100 percent",
        "truncate t",
    ] {
        clock.advance(HOUR);
        run(&session, sql).await;
    }
    run(&session, "begin").await;
    run(&session, "insert into t values (1), (2)").await;
    run(&session, "insert into other values (3)").await;
    run(&session, "commit").await;
    run(&session, "create table c clone t").await;
    let rows = |text: &'static str| {
        let session = &session;
        async move {
            let found = batches(session, text).await;
            let mut rows = Vec::new();
            for batch in found {
                let numbers = |n: usize| batch.column(n).as_primitive::<Int64Type>().clone();
                for row in 0..batch.num_rows() {
                    let what = batch.column(3).as_string::<i32>().value(row).to_string();
                    assert_eq!(batch.column(2).as_string::<i32>().value(row), "admin");
                    assert_eq!(batch.column(6).as_string::<i32>().value(row).len(), 32);
                    rows.push((what, numbers(4).value(row), numbers(5).value(row)));
                }
            }
            rows
        }
    };
    let of = |what: &str, added, removed| (what.to_string(), added, removed);
    let all = rows("show history t").await;
    let expected = [
        of("insert", 2, 0),
        of("truncate", 0, 8),
        of("vacuum", 0, 0),
        of("analyze", 0, 0),
        of("comment", 0, 0),
        of("alter", 0, 0),
        of("update", 3, 3),
        of("delete", 0, 2),
        of("insert", 10, 0),
        of("create", 0, 0),
    ];
    assert_eq!(all, expected);
    assert_eq!(rows("show history of public.t limit 2").await, expected[..2]);
    assert_eq!(rows("show history c").await, [of("clone", 2, 0)]);
    // As far back as the log goes.
    for _ in 0..3 {
        warehouse.inner.catalog.checkpoint().await.unwrap();
        run(&session, "insert into t values (9)").await;
        warehouse.collect().await.unwrap();
    }
    let later = rows("show history t").await;
    assert!(!later.is_empty() && later.len() < 10, "{later:?}");
    let e = error(&session, "show history nothing").await;
    assert_eq!(e.state(), SqlState::UNDEFINED_TABLE);
    run(&session, "begin").await;
    run(&session, "create table own (k int)").await;
    assert_eq!(rows("show history own").await, []);
    run(&session, "rollback").await;
}
