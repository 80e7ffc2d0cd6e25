//! Concurrent commits share log entries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::util::*;
use crate::catalog::*;
use crate::testing::LatencyStore;

/// Of eight committers with twenty commits each: commits a second, and the entries that hold them.
pub async fn commits_per_second(inner: Arc<dyn ObjectStore>) -> (f64, u64) {
    let plain = WarehouseStore::new(inner.clone());
    create_table(&create(&plain).await, "t").await;
    let store = WarehouseStore::new(LatencyStore::over(inner, Duration::from_millis(50)));
    let catalog = reopen(&store).await;
    let table = catalog.snapshot().tables.values().next().unwrap().clone();
    let before = catalog.snapshot().version.0;
    let start = Instant::now();
    let committers = (0..8).map(|_| {
        let (catalog, table) = (catalog.clone(), table.clone());
        tokio::spawn(async move {
            for _ in 0..20 {
                append(&catalog, &table.def, "inline").await.unwrap();
            }
        })
    });
    for committer in committers.collect::<Vec<_>>() {
        committer.await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    let snapshot = catalog.snapshot();
    assert_eq!(snapshot.table(table.def.id).unwrap().segments.len(), 160);
    assert_eq!(*reopen(&plain).await.snapshot(), *snapshot);
    (160.0 / seconds, snapshot.version.0 - before)
}

#[tokio::test]
async fn eight_committers_share_entries_on_one_thread() {
    let (rate, entries) = commits_per_second(Arc::new(InMemory::new())).await;
    println!("{rate:.0} commits/s in {entries} entries");
    assert!(rate >= 100.0, "{rate} commits/s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_committers_share_entries_on_several_threads() {
    let (rate, entries) = commits_per_second(Arc::new(InMemory::new())).await;
    println!("{rate:.0} commits/s in {entries} entries");
    assert!(rate >= 100.0, "{rate} commits/s");
}
