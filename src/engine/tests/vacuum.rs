//! VACUUM: what it leaves, and who is about meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Int32Type;
use tokio::task::JoinSet;

use super::util::*;
use crate::catalog::SegmentRef;
use crate::common::ErrorKind;
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;
use crate::storage::merge::SegmentRows;
use crate::storage::writer::LoadLayout;
use crate::testing::long::seeds;
use crate::testing::rng::Rng;

async fn values(session: &Session, sql: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for batch in batches(session, sql).await {
        let column = batch.column(0).as_primitive::<Int32Type>().clone();
        found.extend(column.values().iter().copied());
    }
    found.sort();
    found
}

/// Each run of `public.t` is in order within each slice; returns how many runs there are, and how many segments.
async fn check_order(warehouse: &Warehouse) -> (usize, usize) {
    let (pin, table) = state(warehouse, "t").await;
    let geometry = warehouse.geometry().unwrap();
    let layout = LoadLayout::new(&table.def, geometry, pin.info.slices, 0).unwrap().ranked(table.rank_map.clone());
    let encoder = layout.key_encoder().unwrap();
    let mut runs: BTreeMap<_, Vec<Arc<SegmentRef>>> = BTreeMap::new();
    for segment in table.segments.iter() {
        runs.entry((segment.run, segment.slice)).or_default().push(Arc::clone(segment));
    }
    for ((run, slice), segments) in &runs {
        if segments.iter().any(|s| s.rank_map != table.rank_version()) || layout.sort_columns().is_empty() {
            continue;
        }
        let mut last = None;
        for segment in segments {
            let store = warehouse.inner.segments.at(pin.clone());
            let mut rows = SegmentRows::open(SegmentRef::clone(segment), layout.clone(), store).await.unwrap();
            while let Some(columns) = rows.next().await.unwrap() {
                let key: Vec<ArrayRef> = layout.sort_columns().iter().map(|i| Arc::clone(&columns[*i])).collect();
                let keys = encoder.encode(&key).unwrap();
                for row in 0..keys.len() {
                    let key = Some(keys.key(row));
                    assert!(last <= key, "run {run:?} of slice {slice}: {last:?} stands before {key:?}");
                    last = key;
                }
            }
        }
    }
    (table.segments.iter().map(|s| s.run).collect::<std::collections::BTreeSet<_>>().len(), table.segments.len())
}

/// Whatever the key is like and however small the steps are: the same rows, in order, in one run, none of them dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_vacuum_leaves_one_run_of_living_rows() {
    for seed in seeds(1, 16) {
        let mut rng = Rng::new(seed);
        let warehouse = warehouse(1 + rng.below(3) as u32, 1 + rng.below(3), Geometry::TINY).await;
        let session = warehouse.session();
        let dist = ["distkey(k)", "diststyle even", "diststyle all"][rng.below(3)];
        let sort =
            ["sortkey(k)", "sortkey(few, k)", "sortkey(name, few)", "interleaved sortkey(k, few)", ""][rng.below(5)];
        all(&session, &[&format!("create table t (k int, few int, name varchar(40)) {dist} {sort}")]).await;
        all(&session, &[&format!("set blueshift.vacuum_rows = {}", 1 + rng.below(400))]).await;
        let mut next = 0;
        let mut live: Vec<i32> = Vec::new();
        for round in 0..3 {
            for _ in 0..1 + rng.below(6) {
                let (from, n) = (next, 1 + rng.below(150) as i32);
                next += n;
                live.extend(from..from + n);
                let rows = format!(
                    "insert into t select v, case when v % 9 = 0 then null else v % 3 end, \
                     case when v % 5 = 0 then null else 'name ' || (v * 7919 % 1000) end \
                     from generate_series({from}, {}) s(v)",
                    from + n - 1
                );
                all(&session, &[&rows]).await;
            }
            let m = 2 + rng.below(7) as i32;
            live.retain(|k| k % m != 1);
            all(&session, &[&format!("delete from t where k % {m} = 1")]).await;
            let what = format!("seed {seed}, round {round}, {dist} {sort}");
            match rng.below(4) {
                0 => {
                    all(
                        &session,
                        &["vacuum recluster t"][..usize::from(dist != "diststyle all" && !sort.starts_with("inter"))],
                    )
                    .await
                }
                1 => all(&session, &["vacuum delete only t to 100 percent"]).await,
                2 => all(&session, &["vacuum sort only t to 100 percent"]).await,
                _ => {}
            }
            check_order(&warehouse).await;
            assert_eq!(values(&session, "select k from t").await, live, "{what}");
            let mode =
                if sort.starts_with("inter") && rng.one_in(2) { "vacuum reindex t" } else { "vacuum t to 100 percent" };
            all(&session, &[mode]).await;
            let (runs, _) = check_order(&warehouse).await;
            let (_, table) = state(&warehouse, "t").await;
            assert!(runs <= 1 || sort.is_empty(), "{what}: {runs} runs");
            assert_eq!((table.stored_rows(), table.live_rows()), (live.len() as u64, live.len() as u64), "{what}");
            assert_eq!(values(&session, "select k from t").await, live, "{what}");
            let ordered = "select k, few, name from t order by few nulls last, k limit 50";
            assert_eq!(ours(&session, ordered).await.len(), ours(&session, ordered).await.len());
        }
    }
}

/// What a transaction deletes that began before, it deletes where it is now; what another has deleted is still a conflict.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_follow_rows_that_were_moved() {
    for vacuums in 1..4 {
        let warehouse = warehouse(2, 2, Geometry::TINY).await;
        let [one, two, three, four, five] = &std::array::from_fn(|_| warehouse.session());
        all(one, &["create table t (k int, v int) distkey(k) sortkey(v)", "set blueshift.vacuum_rows = 100"]).await;
        for part in 0..4 {
            all(one, &[&format!("insert into t select g, g * 31 % 100 from generate_series({part}, 999, 4) s(g)")])
                .await;
        }
        all(one, &["delete from t where k % 10 = 9"]).await;
        for session in [two, three, four, five] {
            all(session, &["begin"]).await;
            assert_eq!(values(session, "select k from t").await.len(), 900);
        }
        all(two, &["delete from t where k % 10 = 0", "update t set v = -1 where k % 10 = 1"]).await;
        all(three, &["delete from t where k % 10 = 2", "delete from t where k % 10 = 3"]).await;
        all(four, &["update t set v = -2 where k = 12"]).await;
        for round in 0..vacuums {
            all(one, &["vacuum t to 100 percent"]).await;
            all(
                one,
                &[&format!("insert into t select g, g from generate_series({0}, {0} + 9) s(g)", 1000 + round * 10)],
            )
            .await;
        }
        // Whole segments, too.
        all(five, &["delete from t where k < 0", "truncate t"]).await;
        all(two, &["commit"]).await;
        all(three, &["commit"]).await;
        for session in [four, five] {
            let error = session.sql("commit").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
        }
        let kept = |k: &i32| *k >= 1000 || ![0, 2, 3, 9].contains(&(k % 10));
        let expected: Vec<i32> = (0..1000 + vacuums * 10).filter(kept).collect();
        assert_eq!(values(one, "select k from t").await, expected, "{vacuums} vacuums");
        assert_eq!(values(one, "select k from t where v = -1").await.len(), 100);
        all(one, &["vacuum t to 100 percent"]).await;
        assert_eq!(values(one, "select k from t").await, expected, "{vacuums} vacuums");
        check_order(&warehouse).await;
    }
}

/// However often rows come between the same two segments, there is a place for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_always_room_between_segments() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    all(&session, &["create table t (k int) diststyle all sortkey(k)"]).await;
    all(&session, &["insert into t select g from generate_series(1, 1000) s(g)", "insert into t values (1000000)"])
        .await;
    for k in 1001..1060 {
        all(&session, &[&format!("insert into t values ({k})"), "vacuum sort only t to 100 percent"]).await;
    }
    let expected: Vec<i32> = (1..1060).chain([1_000_000]).collect();
    assert_eq!(values(&session, "select k from t").await, expected);
    check_order(&warehouse).await;
}

/// Sessions that insert, delete and update meet no error by vacuums that go on all the time, and lose nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_fails_by_a_vacuum() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    all(&session, &["create table t (k int, v int) distkey(k) sortkey(v, k)"]).await;
    all(&session, &["insert into t select g, g % 10 from generate_series(0, 1999) s(g)"]).await;
    let mut tasks = JoinSet::new();
    for worker in 0..3 {
        let session = Arc::new(warehouse.session());
        tasks.spawn(async move {
            for i in 0..12 {
                let (low, high) = (worker * 400 + i * 30, worker * 400 + i * 30 + 9);
                let deleted = session.sql(&format!("delete from t where k between {low} and {high}")).await.unwrap();
                assert_eq!(deleted.changed, Some(10));
                let first = 10_000 * (worker + 1) + i * 10;
                let insert = format!("insert into t select g, g % 10 from generate_series({first}, {first} + 9) s(g)");
                session.sql(&insert).await.unwrap();
                let (low, high) = (high + 1, high + 10);
                let update = format!("update t set v = v + 100 where k between {low} and {high}");
                assert_eq!(session.sql(&update).await.unwrap().changed, Some(10));
                assert!(values(&session, "select k from t").await.len() >= 1900);
            }
        });
    }
    let vacuuming = warehouse.session();
    all(&vacuuming, &["set blueshift.vacuum_rows = 300"]).await;
    while !tasks.is_empty() {
        all(&vacuuming, &["vacuum t to 100 percent"]).await;
        while let Some(task) = tasks.try_join_next() {
            task.unwrap();
        }
    }
    all(&vacuuming, &["vacuum t to 100 percent"]).await;
    let deleted = |k: i32| k < 1200 && k % 400 < 360 && k % 400 % 30 < 10;
    let inserted = (1..4).flat_map(|w| 10_000 * w..10_000 * w + 120);
    let expected: Vec<i32> = (0..2000).filter(|k| !deleted(*k)).chain(inserted).collect();
    assert_eq!(values(&session, "select k from t").await, expected);
    assert_eq!(values(&session, "select k from t where v >= 100").await.len(), 360);
    assert_eq!(check_order(&warehouse).await.0, 1);
    let (_, table) = state(&warehouse, "t").await;
    assert_eq!(table.stored_rows(), table.live_rows());
    // What was moved is remembered until nobody can have read it from before.
    assert!(!table.moves.is_empty());
    warehouse.collect().await.unwrap();
    warehouse.collect().await.unwrap();
    let (_, table) = state(&warehouse, "t").await;
    assert!(table.moves.is_empty());
    assert_eq!(values(&session, "select k from t").await, expected);
}
