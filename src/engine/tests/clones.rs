//! CREATE TABLE … CLONE: two tables of the same objects, each of which goes its own way.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;

use super::past::{NEW_YEAR, one, quiet, run, version};
use super::util::*;
use crate::catalog::{Catalog, OpenMode, WarehouseStore, paths};
use crate::common::{ErrorKind, SqlState};
use crate::engine::{Session, Warehouse};
use crate::testing::TestClock;
use crate::testing::long::seeds;
use crate::testing::rng::Rng;

async fn objects(warehouse: &Warehouse) -> usize {
    let store = warehouse.inner.catalog.store().objects();
    store.list(Some(&paths::data_folder())).try_collect::<Vec<_>>().await.unwrap().len()
}

async fn fill(session: &Session, table: &str, rows: usize) {
    let text = "md5(cast(i as varchar)) || md5(cast(i + 1 as varchar))";
    run(session, &format!("insert into {table} select i, {text} from generate_series(1, {rows}) s(i)")).await;
}

#[tokio::test]
async fn a_clone_shares_objects_for_as_long_as_either_needs_them() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&session, "create schema s").await;
    run(&session, "create table t (k int, v varchar(64)) distkey(k) sortkey(k)").await;
    fill(&session, "t", 4000).await;
    let before = objects(&warehouse).await;
    assert!(before > 0);
    let full = version(&warehouse);
    run(&session, "create table s.c clone t").await;
    assert_eq!(objects(&warehouse).await, before, "metadata only");
    assert_eq!(version(&warehouse), full + 1);
    let rows = ours(&session, "select * from t").await;
    assert_eq!(ours(&session, "select * from s.c").await, rows);
    // Each side is changed without the other.
    run(&session, "delete from t where k <= 2000").await;
    run(&session, "update s.c set v = 'x' where k > 3990").await;
    assert_eq!(one(&session, "select count(*) from s.c").await, 4000);
    assert_eq!(one(&session, "select count(*) from t where v = 'x'").await, 0);
    run(&session, &format!("create table u clone t for system_time as of {full}")).await;
    assert_eq!(ours(&session, "select * from u").await, rows);
    run(&session, "vacuum full t to 100 percent").await;
    run(&session, "truncate t").await;
    run(&session, "drop table t").await;
    warehouse.collect().await.unwrap();
    assert_eq!(ours(&session, "select * from u").await, rows);
    assert_eq!(one(&session, "select count(*) from s.c").await, 4000);
    run(&session, "drop table u").await;
    warehouse.collect().await.unwrap();
    assert_eq!(one(&session, "select count(*) from s.c where v <> 'x'").await, 3990);
    run(&session, "drop table s.c").await;
    run(&session, "create table empty (k int)").await;
    warehouse.collect().await.unwrap();
    assert_eq!(objects(&warehouse).await, 0, "nobody needs them");
}

#[tokio::test]
async fn what_belongs_to_a_table_goes_along() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&session, "create table p (k int not null, primary key (k) verified)").await;
    run(&session, "insert into p values (1), (2)").await;
    run(
        &session,
        "create table t (id int identity(10, 5), k int not null default 7, v varchar(20) encode zstd, up int, \
        constraint own primary key (id) verified, constraint fk foreign key (k) references p (k) verified, \
        constraint self foreign key (up) references t (id)) interleaved sortkey (k, v)",
    )
    .await;
    run(&session, "comment on table t is 'of t'").await;
    run(&session, "comment on column t.v is 'of v'").await;
    run(&session, "insert into t (k, v) values (1, 'a'), (2, 'b')").await;
    run(&session, "analyze t").await;
    let made = session.sql("create table c clone t").await.unwrap();
    assert!(made.notices.iter().any(|n| n.contains("\"fk\" is not VERIFIED of the clone")), "{:?}", made.notices);
    let ddl = |name: &'static str| {
        let session = &session;
        async move {
            let lines = batches(session, &format!("show table {name}")).await;
            lines[0].column(0).as_any().downcast_ref::<arrow::array::StringArray>().unwrap().value(0).to_string()
        }
    };
    let got = ddl("c").await;
    assert!(got.contains("CONSTRAINT own PRIMARY KEY (id) VERIFIED") && got.contains("REFERENCES public.c"), "{got}");
    let snapshot = warehouse.inner.catalog.snapshot();
    let mut comments: Vec<&String> = snapshot.comments.values().collect();
    comments.sort();
    assert_eq!(comments, ["of t", "of t", "of v", "of v"]);
    // Values of the identity go on from where both were.
    run(&session, "insert into c (k, v) values (1, 'c')").await;
    let last = one(&session, "select cast(max(id) as bigint) from c").await;
    assert!(last > one(&session, "select cast(max(id) as bigint) from t").await);
    let e = error(&session, "insert into c (k, v) select k, v from c where false union all select null, 'x'").await;
    assert_eq!(e.kind(), ErrorKind::Invalid, "{e:?}");
    let (t, c) = (state(&warehouse, "t").await.1, state(&warehouse, "c").await.1);
    assert_eq!(t.statistics.map(|s| s.extent), c.statistics.map(|s| s.extent));
    // What a foreign key refers to may be gone.
    let before = version(&warehouse);
    run(&session, "drop table p cascade").await;
    let made = session.sql(&format!("create table d clone t for system_time as of {before}")).await.unwrap();
    assert!(made.notices.iter().any(|n| n.contains("\"fk\" is left out")), "{:?}", made.notices);
    warehouse.inner.catalog.snapshot().check_invariants().unwrap();
}

#[tokio::test]
async fn what_cannot_be_cloned_says_so() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let other = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&other.session(), "create table far (k int)").await;
    session.attach("o", &other).unwrap();
    run(&session, "create table t (k int)").await;
    run(&session, "create view v as select * from t").await;
    run(&session, "create temp table tmp (k int)").await;
    for (sql, kind, part) in [
        ("create table c clone nothing", ErrorKind::Invalid, "does not exist"),
        ("create table t clone t", ErrorKind::Invalid, "already exists"),
        ("create table c clone v", ErrorKind::Invalid, "is not a table"),
        ("create table c clone o.public.far", ErrorKind::Unsupported, "in another database"),
        ("create table c clone tmp", ErrorKind::Unsupported, "in another database"),
        ("create temp table c clone t", ErrorKind::Unsupported, "in another database"),
        ("create table c clone t for system_time as of 99", ErrorKind::Invalid, "is not there yet"),
        ("create table c clone t for system_time as of 0", ErrorKind::Invalid, "does not exist in version 0"),
        ("create table c clone svv_table_info", ErrorKind::Invalid, "does not exist"),
        ("create table nowhere.c clone t", ErrorKind::Invalid, "does not exist"),
        ("create table c clone", ErrorKind::Invalid, "expected the name of the table"),
        ("create table c clone t where k = 1", ErrorKind::Invalid, "statement's end"),
    ] {
        let e = error(&session, sql).await;
        assert!(e.kind() == kind && e.message().contains(part), "{sql}: {e:?}");
    }
    run(&session, "create table if not exists t clone t").await;
    run(&session, "create temp table tmp2 clone tmp").await;
}

#[tokio::test]
async fn a_transaction_clones_and_goes_on_with_the_clone() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let store = WarehouseStore::memory();
    let warehouse = quiet(&clock).store(store.clone()).open("memory://").await.unwrap();
    let (session, other) = (warehouse.session(), warehouse.session());
    run(&session, "create table t (k int, v varchar(64)) sortkey(k)").await;
    fill(&session, "t", 3000).await;
    let full = version(&warehouse);
    run(&session, "delete from t where k % 2 = 0").await;
    run(&session, "begin").await;
    run(&session, &format!("create table c clone t for system_time as of {full}")).await;
    assert_eq!(one(&session, "select count(*) from c").await, 3000);
    run(&session, "delete from c where k <= 1000").await;
    run(&session, "insert into c values (5000, 'new')").await;
    run(&session, "update c set v = 'changed' where k > 2990").await;
    assert_eq!(one(&session, "select count(*) from c").await, 2001);
    run(&session, "insert into t values (1, 'own')").await;
    let e = error(&session, "create table d clone t").await;
    assert!(e.message().contains("was changed by the transaction"), "{e:?}");
    run(&session, "rollback").await;
    run(&session, "begin").await;
    run(&session, &format!("create table c clone t for system_time as of {full}")).await;
    run(&session, "delete from c where k <= 1000").await;
    run(&session, "insert into c values (5000, 'new')").await;
    run(&session, "update c set v = 'changed' where k > 2990").await;
    // A collector does not pass the version that it has cloned.
    run(&other, "insert into t values (7, 'seven')").await;
    warehouse.collect().await.unwrap();
    assert!(warehouse.inner.catalog.snapshot().horizon.0 <= full);
    run(&session, "commit").await;
    warehouse.collect().await.unwrap();
    warehouse.collect().await.unwrap();
    assert_eq!(one(&session, "select count(*) from c").await, 2001);
    assert_eq!(one(&session, "select count(*) from c where v = 'changed'").await, 11);
    // Undo: a clone of what was, under the old name.
    let opened = Catalog::open(store, OpenMode::Existing, warehouse.inner.catalog.options().clone()).await.unwrap();
    assert_eq!(*opened.snapshot(), *warehouse.inner.catalog.snapshot());
    opened.snapshot().check_invariants().unwrap();
}

#[tokio::test]
async fn a_clone_of_what_a_collector_has_passed_is_a_conflict() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let store = WarehouseStore::memory();
    let warehouse = quiet(&clock).store(store.clone()).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&session, "create table t (k int)").await;
    run(&session, "insert into t values (1)").await;
    let old = version(&warehouse);
    run(&session, "delete from t").await;
    run(&session, "begin").await;
    run(&session, &format!("create table c clone t for system_time as of {old}")).await;
    // The process sleeps; nobody waits for it.
    let ttl = warehouse.inner.catalog.options().lease_ttl.as_micros() as i64;
    clock.advance(3 * ttl);
    let awake = quiet(&clock).store(store).open("memory://").await.unwrap();
    run(&awake.session(), "insert into t values (2)").await;
    awake.collect().await.unwrap();
    let e = error(&session, "commit").await;
    assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}");
    let e = error(&session, &format!("create table c clone t for system_time as of {old}")).await;
    assert_eq!((e.kind(), e.state()), (ErrorKind::Invalid, SqlState::SNAPSHOT_TOO_OLD), "{e:?}");
}

/// Each table beside one that shares nothing and is changed alike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_their_clones_hold_what_each_was_given() {
    for seed in seeds(1, 10) {
        let mut rng = Rng::new(seed);
        let clock = Arc::new(TestClock::at(NEW_YEAR));
        let warehouse = quiet(&clock).open("memory://").await.unwrap();
        let session = warehouse.session();
        let layout = ["distkey(k) sortkey(k)", "diststyle all", "interleaved sortkey(k, v)"][rng.below(3)];
        run(&session, &format!("create table t0 (k int, v int) {layout}")).await;
        run(&session, "create table m0 (k int, v int)").await;
        run(&session, "set blueshift.vacuum_rows = 200").await;
        // Of each table the versions at which it and its model held the same.
        let mut tables: BTreeMap<usize, Vec<u64>> = BTreeMap::from([(0, vec![version(&warehouse)])]);
        for step in 1..40 {
            let n = *tables.keys().nth(rng.below(tables.len())).unwrap();
            let (from, to) = (rng.below(200), rng.below(200));
            let both = async |sql: String| {
                for table in [format!("t{n}"), format!("m{n}")] {
                    run(&session, &sql.replace("$t", &table)).await;
                }
            };
            match rng.below(10) {
                0..=2 => {
                    let to = from + rng.below(150);
                    both(format!("insert into $t select i, {step} from generate_series({from}, {to}) s(i)")).await;
                }
                3 | 4 => both(format!("delete from $t where k between {from} and {to}")).await,
                5 => both(format!("update $t set v = -{step} where k between {from} and {to}")).await,
                6 => run(&session, &format!("vacuum full t{n} to 100 percent")).await,
                7 => {
                    warehouse.collect().await.unwrap();
                    let horizon = warehouse.inner.catalog.snapshot().horizon.0;
                    tables.values_mut().for_each(|versions| versions.retain(|v| *v >= horizon));
                }
                8 if tables.len() < 5 => {
                    let as_of = match (rng.one_in(2), tables[&n].as_slice()) {
                        (true, known @ [_, ..]) => format!(" for system_time as of {}", known[rng.below(known.len())]),
                        _ => String::new(),
                    };
                    run(&session, &format!("create table t{step} clone t{n}{as_of}")).await;
                    run(&session, &format!("create table m{step} as select * from m{n}{as_of}")).await;
                    tables.insert(step, Vec::new());
                }
                9 if tables.len() > 1 => {
                    run(&session, &format!("drop table t{n}")).await;
                    run(&session, &format!("drop table m{n}")).await;
                    tables.remove(&n);
                }
                _ => continue,
            }
            let newest = version(&warehouse);
            for (n, versions) in &mut tables {
                let sql = |name: &str| format!("select * from {name}{n}");
                let (ours_, model) = (ours(&session, &sql("t")).await, ours(&session, &sql("m")).await);
                assert_eq!(ours_, model, "seed {seed}, step {step}: table {n}");
                versions.push(newest);
            }
            warehouse.inner.catalog.snapshot().check_invariants().unwrap();
        }
    }
}
