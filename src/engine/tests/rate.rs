//! How many round trips and bytes small statements cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, PutOptions, PutPayload, PutResult, Result};

use crate::catalog::WarehouseStore;
use crate::engine::Warehouse;
use crate::testing::wrapper::Wrapped;
use crate::testing::{Call, LatencyStore, StoreWrapper};

/// Counts what is asked of a store.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn ObjectStore>,
    puts: AtomicUsize,
    others: AtomicUsize,
    log_bytes: AtomicUsize,
    log_entries: AtomicUsize,
}

#[async_trait]
impl StoreWrapper for Counting {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn before(&self, call: Call, _: &Path) -> Result<()> {
        let counter = if call == Call::Put { &self.puts } else { &self.others };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn put(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if crate::catalog::paths::parse_log_entry(location).is_some() {
            self.log_bytes.fetch_add(payload.content_length(), Ordering::Relaxed);
            self.log_entries.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.put_opts(location, payload, opts).await
    }
}

impl Counting {
    fn over(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        let zero = || AtomicUsize::new(0);
        Arc::new(Counting { inner, puts: zero(), others: zero(), log_bytes: zero(), log_entries: zero() })
    }

    fn take(&self) -> (usize, usize, usize, usize) {
        let take = |n: &AtomicUsize| n.swap(0, Ordering::Relaxed);
        (take(&self.puts), take(&self.others), take(&self.log_bytes), take(&self.log_entries))
    }
}

async fn open(latency: Duration) -> (Warehouse, Arc<Counting>) {
    let counting = Counting::over(LatencyStore::over(Arc::new(InMemory::new()), latency));
    let store = WarehouseStore::new(Arc::new(Wrapped(Arc::clone(&counting))));
    (Warehouse::builder().slices(4).threads(2).store(store).open("memory://").await.unwrap(), counting)
}

/// It asks for nothing: that the table is still as it is known shows when it puts. One that reads asks once for later
/// versions. With more tables, neither the number nor the size grows.
#[tokio::test]
async fn an_insert_of_few_rows_is_one_put() {
    let (warehouse, counting) = open(Duration::ZERO).await;
    let session = warehouse.session();
    let mut sizes = Vec::new();
    // Fewer versions than make a checkpoint due.
    for tables in [1, 50] {
        for n in 0..tables {
            session.sql(&format!("create table if not exists t{n} (k bigint, v varchar(20))")).await.unwrap();
        }
        counting.take();
        session.sql("insert into t0 values (1, 'one'), (2, 'two')").await.unwrap();
        let (puts, others, bytes, entries) = counting.take();
        assert_eq!((puts, others, entries), (1, 0, 1));
        sizes.push(bytes);
        session.sql("insert into t0 select 3, 'three'").await.unwrap();
        let (puts, others, _, entries) = counting.take();
        assert_eq!((puts, others, entries), (1, 1, 1));
    }
    assert!(sizes[1] <= sizes[0] + 16, "log entries of {sizes:?} bytes with 1 and with 50 tables");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_go_together() {
    const TABLES: usize = 40;
    const LOADS: usize = 3;
    let (warehouse, counting) = open(Duration::from_millis(50)).await;
    let mut creators = tokio::task::JoinSet::new();
    for n in 0..TABLES {
        let session = warehouse.session();
        creators.spawn(async move {
            session.sql(&format!("create table t{n} (k bigint, v varchar(20)) distkey(k)")).await.unwrap();
        });
    }
    creators.join_all().await;
    counting.take();
    let began = Instant::now();
    let mut loaders = tokio::task::JoinSet::new();
    for loader in 0..8 {
        let session = warehouse.session();
        loaders.spawn(async move {
            for load in 0..LOADS {
                for n in (loader..TABLES).step_by(8) {
                    let rows = format!("insert into t{n} values ({load}, 'a'), ({n}, 'b'), (7, 'c')");
                    session.sql(&rows).await.unwrap();
                }
            }
        });
    }
    loaders.join_all().await;
    let rate = (TABLES * LOADS) as f64 / began.elapsed().as_secs_f64();
    let (puts, others, bytes, entries) = counting.take();
    println!("{rate:.0} commits/s; {puts} puts, {others} other calls, {entries} entries of {} bytes", bytes / entries);
    assert!(rate >= 20.0, "{rate:.1} commits/s");
}
