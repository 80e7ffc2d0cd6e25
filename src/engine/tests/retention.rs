//! How long rows are kept, and versions.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use object_store::ObjectStoreExt;

use super::past::{HOUR, NEW_YEAR, one, quiet, run, version};
use super::util::*;
use crate::catalog::{Catalog, OpenMode, WarehouseStore};
use crate::common::{ErrorKind, SqlState};
use crate::testing::TestClock;

#[tokio::test]
async fn rows_that_are_too_old_go_in_the_background_and_by_vacuum() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let store = WarehouseStore::memory();
    let warehouse = quiet(&clock).store(store.clone()).open("memory://").await.unwrap();
    let session = warehouse.session();
    for (table, of) in [("days", "date"), ("times", "timestamp"), ("zones", "timestamptz")] {
        run(&session, &format!("create table {table} (at {of}, k int) sortkey(at)")).await;
        // A row for each day of December, and one that tells none.
        let days =
            "select timestamp '2025-12-01' + cast(i as int) * interval '1 day', i from generate_series(0, 30) s(i)";
        run(&session, &format!("insert into {table} {days}")).await;
        run(&session, &format!("insert into {table} values (null, 100)")).await;
        run(&session, &format!("alter table {table} retain 10 days on at")).await;
        assert_eq!(one(&session, &format!("select count(*) from {table}")).await, 32, "nothing happens at once");
        let shown = batches(&session, &format!("show table {table}")).await;
        let ddl = shown[0].column(0).as_string::<i32>().value(0);
        assert!(ddl.ends_with(&format!(";\nALTER TABLE public.{table} RETAIN 10 DAYS ON at;")), "{ddl}");
    }
    assert!(warehouse.maintain().await.unwrap() >= 3);
    // From 22 December on, midnight: ten days ago, and not more.
    for table in ["days", "times", "zones"] {
        assert_eq!(one(&session, &format!("select count(*) from {table}")).await, 11, "{table}");
        assert_eq!(one(&session, &format!("select count(*) from {table} where at is null")).await, 1);
    }
    // A day later one more is too old. The background looks once an hour.
    let before = version(&warehouse);
    clock.advance(HOUR / 2);
    warehouse.maintain().await.unwrap();
    assert_eq!(one(&session, "select count(*) from times").await, 11);
    clock.advance(24 * HOUR);
    warehouse.maintain().await.unwrap();
    assert!(version(&warehouse) > before);
    assert_eq!(one(&session, "select count(*) from days").await, 10);
    assert_eq!(one(&session, "select count(*) from times").await, 9);
    assert_eq!(one(&session, "select count(*) from zones").await, 9);
    clock.advance(24 * HOUR);
    run(&session, "vacuum days").await;
    assert_eq!(one(&session, "select count(*) from days").await, 9);
    assert_eq!(one(&session, "select count(*) from times").await, 9);
    // Taken back, it is another's word no longer.
    run(&session, "alter table times retain none").await;
    clock.advance(100 * 24 * HOUR);
    warehouse.maintain().await.unwrap();
    assert_eq!(one(&session, "select count(*) from times").await, 9);
    assert_eq!(one(&session, "select count(*) from zones").await, 1);
    // A clone keeps what it has; the word lasts, also in a checkpoint.
    let made = session.sql("create table kept clone days").await.unwrap();
    assert!(made.notices.iter().any(|n| n.contains("RETAIN 10 DAYS is not taken along")), "{:?}", made.notices);
    run(&session, "create table like_days (like days)").await;
    warehouse.inner.catalog.checkpoint().await.unwrap();
    let opened = Catalog::open(store, OpenMode::Existing, warehouse.inner.catalog.options().clone()).await.unwrap();
    let snapshot = opened.snapshot();
    let retaining: Vec<_> =
        snapshot.tables.values().filter(|t| t.def.retain.is_some()).map(|t| t.def.name.as_str()).collect();
    assert_eq!(retaining, ["days", "zones"]);
}

#[tokio::test]
async fn what_retain_cannot_be_says_so() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&session, "create table t (k int, d date, s time)").await;
    run(&session, "create view v as select * from t").await;
    for (sql, state, part) in [
        ("alter table t retain 3 days on k", SqlState::DATATYPE_MISMATCH, "tells no day"),
        ("alter table t retain 3 days on s", SqlState::DATATYPE_MISMATCH, "tells no day"),
        ("alter table t retain 3 days on x", SqlState::UNDEFINED_COLUMN, "does not exist"),
        ("alter table t retain 0 days on d", SqlState::INVALID_PARAMETER, "0 days are not between"),
        ("alter table t retain days on d", SqlState::SYNTAX_ERROR, "expected NONE or a number of days"),
        ("alter table t retain 3 on d", SqlState::SYNTAX_ERROR, "expected DAYS"),
        ("alter table v retain 3 days on d", SqlState::WRONG_OBJECT_TYPE, "is not a table"),
        ("alter table nothing retain none", SqlState::UNDEFINED_TABLE, "does not exist"),
    ] {
        let e = error(&session, sql).await;
        assert!(e.kind() == ErrorKind::Invalid && e.state() == state && e.message().contains(part), "{sql}: {e:?}");
        assert!(e.position().is_some(), "{sql}");
    }
    run(&session, "create temp table own (k int, d date)").await;
    let e = error(&session, "alter table own retain 3 days on d").await;
    assert!(e.kind() == ErrorKind::Unsupported && e.message().contains("temporary table \"own\""), "{e:?}");
    assert!(e.position().is_some(), "{e:?}");
    run(&session, "alter table own retain none").await;
    run(&session, "vacuum own").await;
    // In a transaction, too.
    run(&session, "begin").await;
    run(&session, "alter table t retain 3 day on d").await;
    run(&session, "insert into t values (1, '2020-01-01', null)").await;
    run(&session, "commit").await;
    run(&session, "alter table t retain 3 days on d").await;
    assert_eq!(warehouse.maintain().await.unwrap(), 1);
    assert_eq!(one(&session, "select count(*) from t").await, 0);
}

/// The background has seen the table a while ago: what it says by now counts, and of the table of that number.
#[tokio::test]
async fn rows_go_by_what_their_table_says_by_now() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    for sql in [
        "create table t (k int, d date)",
        "create table other (k int, d date)",
        "insert into t values (1, '2020-01-01')",
        "insert into other values (1, '2020-01-01'), (2, '2020-01-01')",
        "alter table t retain 3 days on d",
    ] {
        run(&session, sql).await;
    }
    let (pin, table) = state(&warehouse, "t").await;
    let (id, retain) = (table.def.id, table.def.retain.unwrap());
    for word in ["retain none", "retain 36500 days on d"] {
        let before = state(&warehouse, "t").await.0;
        run(&session, &format!("alter table t {word}")).await;
        assert_eq!(warehouse.expire(id, retain, true).await.unwrap(), 0, "{word}");
        // It is said between the look and the commit.
        if before.table(id).unwrap().def.retain == Some(retain) {
            let e = warehouse.expire_at(before, id, retain, true).await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Conflict, "{word}: {e:?}");
        }
        assert_eq!(one(&session, "select count(*) from t").await, 1, "{word}");
    }
    // What was kept by a word is what that table has; another one of its name is none of it.
    run(&session, "alter table t retain 3 days on d").await;
    run(&session, "alter table t swap with other").await;
    let e = warehouse.expire_at(pin, id, retain, true).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}");
    assert_eq!(one(&session, "select count(*) from t").await, 2);
    assert_eq!(warehouse.expire(id, retain, true).await.unwrap(), 1);
    assert_eq!(one(&session, "select count(*) from t").await, 2);
    assert_eq!(one(&session, "select count(*) from other").await, 0);
    run(&session, "drop table other").await;
    assert_eq!(warehouse.expire(id, retain, true).await.unwrap(), 0);
}

#[tokio::test]
async fn rows_are_kept_for_longer_than_there_are_years() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    for of in ["date", "timestamp", "timestamptz"] {
        run(&session, &format!("create table t (at {of})")).await;
        run(&session, "insert into t values ('1200-03-01'), ('2025-12-31')").await;
        for (days, left) in [(3_652_059, 2), (800_000, 2), (739_000, 2), (200_000, 1), (120_000, 1)] {
            run(&session, &format!("alter table t retain {days} days on at")).await;
            run(&session, "vacuum t").await;
            assert_eq!(one(&session, "select count(*) from t").await, left, "{of}, {days} days");
        }
        run(&session, "drop table t").await;
    }
}

/// A table that fails, here by an object that is gone, keeps no other one from what is to be done.
#[tokio::test]
async fn upkeep_goes_on_behind_a_table_that_fails() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let store = WarehouseStore::memory();
    let warehouse = quiet(&clock).store(store.clone()).open("memory://").await.unwrap();
    let session = warehouse.session();
    for table in ["bad", "good"] {
        run(&session, &format!("create table {table} (k int, d date)")).await;
        let rows = "select i, case when i % 2 = 0 then date '2020-01-01' else date '2025-12-31' end";
        run(&session, &format!("insert into {table} {rows} from generate_series(1, 20000) s(i)")).await;
        run(&session, &format!("alter table {table} retain 3 days on d")).await;
    }
    let (_, table) = state(&warehouse, "bad").await;
    for segment in table.segments.iter() {
        let name = segment.extent.object.to_string();
        assert!(name.starts_with("data/"), "{name}");
        store.objects().delete(&name.as_str().into()).await.unwrap();
    }
    let fresh = quiet(&clock).store(store).open("memory://").await.unwrap();
    let e = fresh.maintain().await.unwrap_err();
    assert!(e.kind() == ErrorKind::Corrupt && e.to_string().contains("table \"bad\""), "{e:?}");
    assert_eq!(one(&session, "select count(*) from good").await, 10_000);
}

#[tokio::test]
async fn versions_are_kept_for_as_long_as_the_warehouse_says() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).keep_versions(Duration::from_secs(3 * 3600)).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&session, "create table t (k int)").await;
    let mut versions = Vec::new();
    for hour in 0..6 {
        run(&session, &format!("insert into t values ({hour})")).await;
        versions.push(version(&warehouse));
        clock.advance(HOUR);
    }
    // It is hour 6: what was there at hour 3 is the oldest that is needed.
    let collected = warehouse.collect_expired().await.unwrap().unwrap();
    assert_eq!(collected.horizon.0, versions[3]);
    assert_eq!(one(&session, &format!("select count(*) from t for system_time as of {}", versions[3])).await, 4);
    let e = error(&session, &format!("select * from t for system_time as of {}", versions[2])).await;
    assert_eq!(e.state(), SqlState::SNAPSHOT_TOO_OLD);
    let before = version(&warehouse);
    assert_eq!(warehouse.collect_expired().await.unwrap(), None, "nothing is old enough");
    assert_eq!(version(&warehouse), before);
    // Who reads an older one keeps it.
    let old = session.sql(&format!("select * from t for system_time as of {}", versions[3])).await.unwrap();
    clock.advance(2 * HOUR);
    warehouse.inner.catalog.renew_lease().await.unwrap();
    warehouse.collect_expired().await.unwrap();
    assert_eq!(warehouse.inner.catalog.snapshot().horizon.0, versions[3]);
    drop(old);
    warehouse.collect_expired().await.unwrap();
    assert_eq!(warehouse.inner.catalog.snapshot().horizon.0, versions[5]);
    // At once, whatever is kept.
    warehouse.collect().await.unwrap();
    assert!(warehouse.inner.catalog.snapshot().horizon.0 > versions[5]);
}

/// A shell that is open for a while does not take what an application keeps, though that one has ended.
#[tokio::test]
async fn of_several_processes_the_longest_time_counts() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let store = WarehouseStore::memory();
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let shell = quiet(&clock).store(store.clone()).open("memory://").await.unwrap();
    let session = shell.session();
    run(&session, "create table t (k int)").await;
    let application = quiet(&clock).keep_versions(hours(72)).store(store.clone()).open("memory://").await.unwrap();
    application.close().await.unwrap();
    let mut versions = Vec::new();
    for hour in 0..100 {
        run(&session, &format!("insert into t values ({hour})")).await;
        versions.push(version(&shell));
        clock.advance(HOUR);
        shell.inner.catalog.renew_lease().await.unwrap();
        // What a day's default would take from the 25th hour on.
        if hour < 71 {
            assert_eq!(shell.collect_expired().await.unwrap(), None, "{hour}");
        }
    }
    // The application's word holds no longer: what it has seen is older than it has asked for.
    assert_eq!(shell.collect_expired().await.unwrap().unwrap().horizon.0, versions[76]);
    // Who asks for less takes nothing from whom is there.
    let brief = quiet(&clock).keep_versions(hours(1)).store(store.clone()).open("memory://").await.unwrap();
    assert_eq!(brief.collect_expired().await.unwrap(), None);
    // At once, whatever is asked.
    brief.collect().await.unwrap();
    assert!(brief.inner.catalog.snapshot().horizon.0 > versions[90]);
}
