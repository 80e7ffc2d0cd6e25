//! How many small loads a second does a warehouse take over a store with 50 ms a call, and how large are their log
//! entries, with one table and with a thousand?
//!
//! `cargo bench --bench commits --features testing -- [tables] [loads] [sessions] [milliseconds]`

use std::sync::Arc;
use std::time::{Duration, Instant};

use blueshift::catalog::WarehouseStore;
use blueshift::engine::Warehouse;
use blueshift::testing::LatencyStore;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let number = |i: usize, default| numbers.get(i).copied().unwrap_or(default);
    let (tables, loads, sessions, latency) = (number(0, 1000), number(1, 10), number(2, 8), number(3, 50));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for tables in [1, tables] {
        let latency = Duration::from_millis(latency as u64);
        let (rate, bytes, entries) = runtime.block_on(measure(tables, loads, sessions, latency));
        println!(
            "{tables} tables × {loads} loads, {sessions} sessions: {rate:.1} commits/s, {entries} log entries of {bytes} bytes on average"
        );
    }
    runtime.block_on(async {
        for tables in [1, tables] {
            let bytes = one_alone(tables).await;
            println!("a load of 3 rows by itself with {tables} tables: a log entry of {bytes} bytes");
        }
    });
}

async fn warehouse(inner: &Arc<InMemory>, latency: Duration, tables: usize) -> Warehouse {
    // Made without latency, then opened again with it.
    let quick = WarehouseStore::new(Arc::clone(inner) as Arc<dyn ObjectStore>);
    let made = Warehouse::builder().slices(4).store(quick).open("memory://").await.expect("it opens");
    for n in 0..tables {
        let create = format!("create table t{n} (k bigint, v varchar(20)) distkey(k)");
        made.session().sql(&create).await.expect("created");
    }
    let slow = WarehouseStore::new(LatencyStore::over(Arc::clone(inner) as Arc<dyn ObjectStore>, latency));
    Warehouse::builder().store(slow).open("memory://").await.expect("it opens")
}

async fn load(warehouse: &Warehouse, table: usize, n: usize) {
    let rows = format!("insert into t{table} values ({n}, 'a'), ({table}, 'b'), (7, 'c')");
    warehouse.session().sql(&rows).await.expect("inserted");
}

async fn log(inner: &InMemory) -> (usize, u64) {
    let objects: Vec<_> = inner.list(Some(&Path::from("_log"))).try_collect().await.expect("listed");
    let entries = objects.iter().filter(|o| o.location.parts().count() == 2);
    entries.fold((0, 0), |(n, bytes), o| (n + 1, bytes + o.size))
}

async fn measure(tables: usize, loads: usize, sessions: usize, latency: Duration) -> (f64, u64, usize) {
    let inner = Arc::new(InMemory::new());
    let warehouse = warehouse(&inner, latency, tables).await;
    let before = log(&inner).await;
    let began = Instant::now();
    let jobs: Vec<usize> = (0..loads).flat_map(|_| 0..tables).collect();
    let mut running = tokio::task::JoinSet::new();
    for session in 0..sessions {
        let jobs: Vec<usize> = jobs.iter().copied().skip(session).step_by(sessions).collect();
        let warehouse = warehouse.clone();
        running.spawn(async move {
            for (n, table) in jobs.into_iter().enumerate() {
                load(&warehouse, table, n).await;
            }
        });
    }
    running.join_all().await;
    let rate = (tables * loads) as f64 / began.elapsed().as_secs_f64();
    let after = log(&inner).await;
    let entries = after.0 - before.0;
    (rate, (after.1 - before.1) / entries.max(1) as u64, entries)
}

async fn one_alone(tables: usize) -> u64 {
    let inner = Arc::new(InMemory::new());
    let warehouse = warehouse(&inner, Duration::ZERO, tables).await;
    let before = log(&inner).await;
    load(&warehouse, 0, 1).await;
    let newest = log(&inner).await.0 - 1;
    assert_eq!(newest, before.0);
    inner.head(&Path::from(format!("_log/{newest:020}"))).await.expect("the entry").size
}
