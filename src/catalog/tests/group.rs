//! Concurrent commits share log entries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::memory::InMemory;

use super::util::*;
use crate::catalog::*;
use crate::testing::LatencyStore;

async fn commits_per_second() -> (f64, u64) {
    let memory: Arc<InMemory> = Arc::default();
    let plain = WarehouseStore::new(memory.clone());
    create_table(&create(&plain).await, "t").await;
    let store = WarehouseStore::new(LatencyStore::over(memory, Duration::from_millis(50)));
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
    (160.0 / seconds, snapshot.version.0 - before)
}

#[tokio::test]
async fn eight_committers_share_entries_on_one_thread() {
    let (rate, entries) = commits_per_second().await;
    println!("{rate:.0} commits/s in {entries} entries");
    assert!(rate >= 100.0, "{rate} commits/s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_committers_share_entries_on_several_threads() {
    let (rate, entries) = commits_per_second().await;
    println!("{rate:.0} commits/s in {entries} entries");
    assert!(rate >= 100.0, "{rate} commits/s");
}
