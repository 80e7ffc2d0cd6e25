//! ALTER that writes rows anew, beside sessions that change them, in little memory, and given up halfway.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use tokio::task::JoinSet;

use super::util::*;
use crate::catalog::{CatalogOptions, WarehouseStore};
use crate::common::ErrorKind;
use crate::engine::{Session, Warehouse, WarehouseBuilder};
use crate::format::Geometry;
use crate::testing::rng::Rng;
use crate::testing::{Fault, FaultyStore, seeds};

/// A change of the layout, by chance.
fn alteration(rng: &mut Rng) -> String {
    let dist = ["diststyle even", "diststyle all", "distkey k", "distkey v", "diststyle auto"];
    let sort = [
        "sortkey (v)",
        "sortkey (k, v)",
        "sortkey (s, k)",
        "interleaved sortkey (k, s)",
        "sortkey none",
        "sortkey auto",
    ];
    match rng.below(6) {
        0 => format!("alter table t alter {}", dist[rng.below(5)]),
        1 | 2 => format!("alter table t alter {}", sort[rng.below(6)]),
        3 => format!("alter table t alter {}, alter {}", dist[rng.below(5)], sort[rng.below(6)]),
        4 => {
            let encoding = ["raw", "zstd", "az64", "lzo", "delta"][rng.below(5)];
            format!(
                "alter table t alter column v encode {encoding}, alter s encode {}",
                ["raw", "lzo", "text255"][rng.below(3)]
            )
        }
        _ => format!("alter warehouse set slices {}", 1 + rng.below(9)),
    }
}

type Row = (i32, i64, Option<String>);

async fn rows(session: &Session, query: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches(session, query).await {
        let (k, v) = (batch.column(0).as_primitive::<Int32Type>(), batch.column(1).as_primitive::<Int64Type>());
        let texts = arrow::compute::cast(batch.column(2), &arrow::datatypes::DataType::Utf8).unwrap();
        let texts = texts.as_string::<i32>();
        let text = |i: usize| texts.iter().nth(i).unwrap().map(str::to_string);
        rows.extend((0..batch.num_rows()).map(|i| (k.value(i), v.value(i), text(i))));
    }
    rows
}

async fn all_rows(session: &Session) -> Vec<Row> {
    let mut found = rows(session, "select k, v, s from t").await;
    found.sort();
    found
}

/// What order plans may rely on.
async fn check_orders(session: &Session, context: &str) {
    for key in ["k, v", "v", "s, k"] {
        let sorted = rows(session, &format!("select k, v, s from t order by {key}")).await;
        let mut expected = sorted.clone();
        match key {
            "k, v" => expected.sort_by_key(|(k, v, _)| (*k, *v)),
            "v" => expected.sort_by_key(|(_, v, _)| *v),
            // NULL last.
            _ => expected.sort_by_key(|(k, _, s)| (s.is_none(), s.clone(), *k)),
        }
        assert_eq!(sorted, expected, "{context}: order by {key}");
    }
}

async fn filled(builder: WarehouseBuilder, rng: &mut Rng) -> (Warehouse, Session) {
    let warehouse = builder.upkeep(false).open("memory://").await.unwrap();
    let session = warehouse.session();
    let dist = ["distkey(k)", "distkey(v)", "diststyle even", "diststyle all", ""][rng.below(5)];
    let sort = ["", "sortkey(v)", "sortkey(k, v)", "interleaved sortkey(k, s)"][rng.below(4)];
    all(&session, &[&format!("create table t (k int not null, v bigint, s varchar(9)) {dist} {sort}")]).await;
    for part in 0..1 + rng.below(4) {
        let (from, to) = (part * 500, part * 500 + rng.below(500));
        let insert = format!(
            "insert into t select g, g * 7919 % 1009, case when g % 13 = 0 then null else 's' || g % 17 end \
             from generate_series({from}, {to}) s(g)"
        );
        all(&session, &[&insert]).await;
    }
    (warehouse, session)
}

/// Whatever the memory: parts, ranges of keys and runs that are stored for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_stay_the_same_in_every_layout() {
    for seed in seeds(1, 10) {
        let mut rng = Rng::new(seed);
        let memory = [1 << 10, 16 << 10, 64 << 10, 1 << 30][rng.below(4)];
        let builder = Warehouse::builder().slices(1 + rng.below(8) as u32).threads(1 + rng.below(3));
        let builder = builder.geometry(Geometry::TINY).load_memory(memory);
        let (_warehouse, session) = filled(builder, &mut rng).await;
        let mut model = all_rows(&session).await;
        let mut done = Vec::new();
        for _ in 0..6 {
            if rng.one_in(2) {
                let (m, r) = (3 + rng.below(20) as i32, rng.below(3) as i32);
                let delete = format!("delete from t where k % {m} = {r}");
                model.retain(|(k, _, _)| k % m != r);
                all(&session, &[&delete]).await;
                done.push(delete);
            }
            let alter = alteration(&mut rng);
            done.push(alter.clone());
            all(&session, &[&alter]).await;
            let context = format!("seed {seed}, {memory} bytes: {done:#?}");
            assert_eq!(all_rows(&session).await, model, "{context}");
            check_orders(&session, &context).await;
        }
        let unsorted =
            "select coalesce(unsorted, 0) > 0 from svv_table_info where \"table\" = 't' and sortkey1 is not null";
        assert!(!ours(&session, unsorted).await.contains(&"| true |".to_string()), "{done:#?}");
    }
}

/// Sessions insert, update and delete while the table gets one layout after the other, and another process vacuums it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_go_on_while_rows_are_written_anew() {
    for seed in seeds(1, 3) {
        let mut rng = Rng::new(seed);
        let objects = WarehouseStore::memory();
        let open = async |builder: WarehouseBuilder| {
            let store = WarehouseStore::new(Arc::clone(objects.objects()));
            let builder = builder.threads(2).geometry(Geometry::TINY).upkeep(false);
            builder.load_memory(32 << 10).store(store).open("memory://").await.unwrap()
        };
        let warehouse = open(Warehouse::builder().slices(3)).await;
        let session = warehouse.session();
        all(&session, &["create table t (k int not null, v bigint, s varchar(9)) distkey(k) sortkey(v)"]).await;
        all(&session, &["insert into t select g, g % 50, 'old' from generate_series(1, 3000) s(g)"]).await;
        let over = Arc::new(AtomicBool::new(false));
        let mut writers: JoinSet<Vec<Row>> = JoinSet::new();
        for writer in 0..2 {
            let (session, over) = (warehouse.session(), Arc::clone(&over));
            let mut rng = Rng::new(seed * 10 + writer);
            writers.spawn(async move {
                // Each has rows of its own, which nobody else changes.
                let mine = |k: i32| k % 2 == writer as i32;
                let mut model: Vec<Row> =
                    (1..=3000).filter(|k| mine(*k)).map(|k| (k, i64::from(k % 50), Some("old".to_string()))).collect();
                let mut next = 10_000 + writer as i32;
                while !over.load(Ordering::Relaxed) {
                    let (m, r) = (5 + rng.below(40) as i32, rng.below(5) as i32);
                    let statement = match rng.below(4) {
                        0 | 1 => {
                            let k = next;
                            next += 2;
                            model.push((k, 7, Some("new".into())));
                            format!("insert into t values ({k}, 7, 'new')")
                        }
                        2 => {
                            model.iter_mut().filter(|(k, _, _)| k % m == r).for_each(|(_, v, _)| *v += 1);
                            format!("update t set v = v + 1 where k % {m} = {r} and k % 2 = {writer}")
                        }
                        _ => {
                            model.retain(|(k, _, _)| k % (m * 7) != r);
                            format!("delete from t where k % {} = {r} and k % 2 = {writer}", m * 7)
                        }
                    };
                    all(&session, &[&statement]).await;
                }
                model
            });
        }
        let (other, stop) = (open(Warehouse::builder()).await, Arc::clone(&over));
        let vacuuming = tokio::spawn(async move {
            let session = other.session();
            while !stop.load(Ordering::Relaxed) {
                match session.sql("vacuum t to 100 percent").await {
                    Ok(_) => {}
                    Err(e) => assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}"),
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        });
        let mut done = Vec::new();
        for _ in 0..6 {
            let alter = alteration(&mut rng);
            done.push(alter.clone());
            all(&session, &[&alter]).await;
        }
        over.store(true, Ordering::Relaxed);
        let mut model = Vec::new();
        while let Some(rows) = writers.join_next().await {
            model.extend(rows.unwrap());
        }
        vacuuming.await.unwrap();
        model.sort();
        assert_eq!(all_rows(&session).await, model, "seed {seed}: {done:#?}");
        check_orders(&session, &format!("seed {seed}: {done:#?}")).await;
        assert_eq!(all_rows(&open(Warehouse::builder()).await.session()).await, model, "seed {seed}");
    }
}

/// A store that fails at any put, as a full disk does, leaves the table as it was and the session usable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_changes_nothing() {
    for alter in [
        "alter table t alter sortkey (s, k)",
        "alter table t alter distkey v",
        "alter table t alter column v encode zstd",
        "alter warehouse set slices 5",
        "vacuum t to 100 percent",
        "update t set v = v + 1 where k % 3 = 0",
        "insert into t select k + 1000, v, s from t",
    ] {
        let mut put = 1;
        loop {
            let objects = WarehouseStore::memory();
            let options = || CatalogOptions { retry_delay: Duration::ZERO, ..CatalogOptions::default() };
            let builder = || {
                let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY).load_memory(4096);
                builder.catalog_options(options())
            };
            let (rows, first) = {
                let store = WarehouseStore::new(Arc::clone(objects.objects()));
                let warehouse = builder().upkeep(false).store(store).open("memory://").await.unwrap();
                let session = warehouse.session();
                all(&session, &["create table t (k int not null, v bigint, s varchar(9)) distkey(k) sortkey(v)"]).await;
                let insert = "insert into t select g, g * 7 % 101, 's' || g % 7 from generate_series(1, 400) s(g)";
                all(&session, &[insert, "delete from t where k % 7 = 1"]).await;
                let found = (all_rows(&session).await, ours(&session, "show table t").await);
                warehouse.close().await.unwrap();
                found
            };
            let faulty = FaultyStore::new(Arc::clone(objects.objects()), None);
            let store = WarehouseStore::new(faulty.store());
            let warehouse = builder().upkeep(false).store(store).open("memory://").await.unwrap();
            let opened = faulty.puts();
            faulty.fail(opened + put, Fault::NoEffect);
            let session = warehouse.session();
            let outcome = session.sql(alter).await;
            let context = format!("{alter}, put {put}");
            let same = !alter.starts_with(['u', 'i']);
            let found = all_rows(&session).await;
            assert!(found == rows || (outcome.is_ok() && !same), "{context}: {found:?}");
            match outcome {
                Ok(_) if faulty.puts() < opened + put => break,
                // What is retried is not lost.
                Ok(_) => {}
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::Unavailable, "{context}: {e:?}");
                    assert_eq!(ours(&session, "show table t").await, first, "{context}");
                    all(&session, &[alter]).await;
                    assert_eq!(all_rows(&session).await == rows, same, "{context}");
                }
            }
            put += 1;
        }
        assert!(put > 2, "{alter}: {put} puts");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_way_is_told() {
    let mut rng = Rng::new(1);
    let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY);
    let (warehouse, session) = filled(builder, &mut rng).await;
    let altering = warehouse.inner.upkeep.alter(None).unwrap();
    let e = error(&session, "alter table t alter sortkey (s)").await;
    assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}");
    assert!(e.message().contains("being altered"), "{e:?}");
    let e = error(&session, "vacuum t").await;
    assert!(e.message().contains("being altered"), "{e:?}");
    drop(altering);
    let heard = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    session.on_notice(move |notice| hears.lock().push(notice.to_string()));
    let output = session.sql("alter table t alter sortkey (s)").await.unwrap();
    let heard = heard.lock().clone();
    assert!(heard.len() == 1 && heard[0].contains("rows anew: about"), "{heard:?}");
    assert!(output.notices.len() == 1 && output.notices[0].contains("were written anew"), "{:?}", output.notices);
    session.cancel();
    all(&session, &["alter table t alter distkey v"]).await;
}

/// What is stored for a while takes little room besides the new table, however little memory there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_room_is_taken_besides_the_new_table() {
    fn files(directory: &std::path::Path) -> BTreeMap<std::ffi::OsString, u64> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some((entry.file_name(), entry.metadata().ok()?.len()))).collect()
    }
    let bytes = |directory: &std::path::Path| files(directory).values().sum::<u64>();
    for (slices, alter) in
        [(8, "alter table t alter distkey v, alter sortkey (s, k)"), (2, "alter table t alter sortkey (s, v)")]
    {
        let directory = tempfile::tempdir().unwrap();
        let builder = Warehouse::builder().slices(slices).threads(2).geometry(Geometry::new(64, 1024).unwrap());
        let builder = builder.load_memory(256 << 10).upkeep(false);
        let warehouse = builder.open(directory.path().to_str().unwrap()).await.unwrap();
        let session = warehouse.session();
        all(&session, &["create table t (k int not null, v bigint, s varchar(40)) distkey(k) sortkey(k)"]).await;
        let insert =
            "insert into t select g, g * 7919 % 100003, md5(cast(g as varchar)) from generate_series(1, 40000) s(g)";
        all(&session, &[insert]).await;
        let data = directory.path().join("data");
        let before = bytes(&data);
        let over = Arc::new(AtomicBool::new(false));
        let (watched, stop) = (data.clone(), Arc::clone(&over));
        let watching = std::thread::spawn(move || {
            let (mut most, mut seen) = (0, BTreeMap::new());
            while !stop.load(Ordering::Relaxed) {
                let now = files(&watched);
                most = most.max(now.values().sum::<u64>());
                seen.extend(now);
                std::thread::sleep(Duration::from_millis(1));
            }
            (most, seen)
        });
        all(&session, &[alter]).await;
        over.store(true, Ordering::Relaxed);
        let (most, seen) = watching.join().unwrap();
        let (most, taken, left) = (most - before, bytes(&data) - before, files(&data));
        assert!(seen.keys().any(|name| !left.contains_key(name)), "{alter}: no runs were stored for a while");
        assert!(most * 10 <= taken * 12, "{alter}: {most} bytes for {taken}");
    }
}

/// Rows are where the number of slices of their version puts them: joins of two versions meet all the same, and a clone would not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_on_other_slices_are_read_and_not_shared() {
    let warehouse = warehouse(4, 2, Geometry::TINY).await;
    let session = warehouse.session();
    all(&session, &["create table t (k int, v int) distkey(k)", "create table u (k int) diststyle all"]).await;
    all(&session, &["insert into t select g, g % 5 from generate_series(1, 500) s(g)", "insert into u values (1)"])
        .await;
    let version = warehouse.inner.catalog.snapshot().version.0;
    all(&session, &["alter warehouse set slices 6", "delete from t where k % 2 = 0"]).await;
    let joined = format!("select count(*) from t a join t for system_time as of {version} b on a.k = b.k");
    assert!(ours(&session, &joined).await.contains(&"| 250      |".to_string()), "{:?}", ours(&session, &joined).await);
    let e = error(&session, &format!("create table c clone t for system_time as of {version}")).await;
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
    assert!(e.message().contains("are on 4 slices"), "{e:?}");
    // On slice 0 they are in any case.
    all(&session, &[&format!("create table d clone u for system_time as of {version}"), "create table c clone t"])
        .await;
    let met = ours(&session, "select count(*) from c join t on c.k = t.k").await;
    assert!(met.contains(&"| 250      |".to_string()), "{met:?}");
}

/// A column may be called as a distribution is.
#[tokio::test]
async fn append_tells_distributions_from_names() {
    let warehouse = Warehouse::builder().slices(4).geometry(Geometry::TINY).open("memory://").await.unwrap();
    let session = warehouse.session();
    for sql in [
        "create table b (k int, \"EVEN\" int) diststyle key distkey (\"EVEN\")",
        "create table a (k int, \"EVEN\" int) diststyle even",
        "insert into a select g, g from generate_series(1, 100) s(g)",
    ] {
        session.sql(sql).await.unwrap();
    }
    let error = session.sql("alter table b append from a").await.unwrap_err();
    assert!(error.message().contains("distribution"), "{error:?}");
}
