//! A view over many tables opens those that its filter needs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::memory::InMemory;

use super::util::*;
use crate::catalog::WarehouseStore;
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;
use crate::testing::{Call, CountingStore};

const DAYS: usize = 100;

async fn open(store: &Arc<CountingStore>) -> Session {
    let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY);
    builder.store(WarehouseStore::new(store.store())).open("memory://").await.unwrap().session()
}

/// A table a day, each of a day's rows, and a view of all.
async fn days(session: &Session) {
    for day in 0..DAYS {
        session.sql(&format!("create table d{day} (at timestamp, id int, v varchar(9)) sortkey(at)")).await.unwrap();
        session
            .sql(&format!(
                "insert into d{day} values (timestamp '2026-01-01' + interval '{day} days 1 hour', {day}, 'x'), \
                 (timestamp '2026-01-01' + interval '{day} days 2 hours', {day}, null)"
            ))
            .await
            .unwrap();
    }
    let branches: Vec<String> = (0..DAYS).map(|day| format!("select at, id, v from d{day}")).collect();
    session.sql(&format!("create view days as {}", branches.join(" union all "))).await.unwrap();
}

/// The log entries and objects that a statement got from the store.
async fn opened(store: &Arc<CountingStore>, session: &Session, sql: &str) -> usize {
    ours(session, "select 1").await;
    store.take();
    ours(session, sql).await;
    let entry = session.warehouse().inner.catalog.snapshot().version.next();
    let next = crate::catalog::paths::log_entry(entry);
    store.take().into_iter().filter(|(call, path)| *call == Call::Get && *path != next).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn branches_that_hold_nothing_are_not_opened() {
    let store = CountingStore::new(Arc::new(InMemory::new()));
    days(&open(&store).await).await;
    for (filter, tables) in [
        ("at >= '2026-01-31' and at < '2026-02-01'", 1),
        ("at between timestamp '2026-01-31' and timestamp '2026-02-01 23:00:00'", 2),
        ("id = 30 and at > '2026-01-01'", 1),
        ("id in (3, 30, 60)", 3),
        ("id + 0 = 30", DAYS),
        ("id < 0", 0),
        ("v is null and id > 97", 2),
        ("v = 'x' or id = 3", DAYS),
        ("at < '2020-01-01' or id = 5", 1),
    ] {
        // Cold caches each time.
        let session = open(&store).await;
        let sql = format!("select count(*) as n, min(at) as a from days where {filter}");
        assert_eq!(opened(&store, &session, &sql).await > 0, tables > 0, "{filter}");
        let session = open(&store).await;
        let plan = ours(&session, &format!("explain format indent select * from days where {filter}")).await.join("\n");
        assert_eq!(plan.matches("SliceScan").count(), tables, "{filter}\n{plan}");
        let one = ours(&session, &sql).await;
        session.sql("set blueshift.pruning = false").await.unwrap();
        assert_eq!(ours(&session, &sql).await, one, "{filter}");
    }
    let (view, table) =
        ("select * from days where at = '2026-01-31 01:00:00'", "select * from d30 where at = '2026-01-31 01:00:00'");
    let opened_by_view = opened(&store, &open(&store).await, view).await;
    assert_eq!(opened_by_view, opened(&store, &open(&store).await, table).await);
    // Prepared, the plan has its filters in the scans already.
    let session = open(&store).await;
    session.sql(&format!("prepare day as {view}")).await.unwrap();
    let session_of_table = open(&store).await;
    session_of_table.sql(&format!("prepare day as {table}")).await.unwrap();
    assert_eq!(ours(&session, "execute day").await, ours(&session_of_table, "execute day").await);
    assert_eq!(opened(&store, &session, "execute day").await, opened(&store, &session_of_table, "execute day").await);
    let session = open(&store).await;
    session.sql(&format!("prepare day as {view}")).await.unwrap();
    assert_eq!(opened(&store, &session, "execute day").await, opened_by_view);
}

/// Prints what a day costs through the view and by itself; says so in `--nocapture` only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hundred_branches_cost() {
    let store = CountingStore::new(Arc::new(InMemory::new()));
    let session = open(&store).await;
    days(&session).await;
    let day = "at >= '2026-01-31' and at < '2026-02-01'";
    let (view, table) =
        (format!("select count(*) as n from days where {day}"), format!("select count(*) as n from d30 where {day}"));
    assert_eq!(ours(&session, &view).await, ours(&session, &table).await);
    let mut best = [Duration::MAX; 2];
    for _ in 0..20 {
        for (sql, best) in [&view, &table].into_iter().zip(&mut best) {
            let start = Instant::now();
            ours(&session, sql).await;
            *best = start.elapsed().min(*best);
        }
    }
    let ratio = best[0].as_secs_f64() / best[1].as_secs_f64();
    println!("view {:?}, table {:?}, ratio {ratio:.2}", best[0], best[1]);
    // Planned one by one, a hundred branches cost tens of times as much.
    assert!(ratio < 5.0, "ratio {ratio:.2}");
}
