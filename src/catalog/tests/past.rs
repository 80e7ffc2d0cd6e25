//! Versions of the past while collectors are about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::util::*;
use crate::catalog::*;
use crate::common::*;
use crate::testing::wrapper::{Call, StoreWrapper, Wrapped};
use crate::testing::{Rng, ScheduledStore, Scheduler, TestClock, seeds};

/// A warehouse whose versions each replace the one segment of a table.
async fn history(store: &WarehouseStore, clock: &Arc<TestClock>, versions: u32) -> Catalog {
    let catalog = Catalog::open(store.clone(), OpenMode::Create(genesis()), options_at(clock.clone())).await.unwrap();
    let table = create_table(&catalog, "t").await;
    for version in 0..versions {
        clock.advance(1_000_000);
        let mut transaction = catalog.begin(USER);
        let state = catalog.snapshot().table(table.def.id).unwrap().clone();
        let stored = put_object(store, transaction.object(0)).await.unwrap();
        transaction.append(&table.def, vec![new_segment(stored, 1, 10)]);
        let old: Vec<_> = state.segments.iter().map(|s| (s.id, s.deleted)).collect();
        if !old.is_empty() {
            transaction.remove(&table.def, old);
        }
        catalog.commit(transaction).await.unwrap();
        if version % 3 == 2 {
            catalog.checkpoint().await.unwrap();
        }
    }
    catalog
}

/// Reads a version of the past, or collects so many times.
async fn process(
    seed: u64,
    store: WarehouseStore,
    options: CatalogOptions,
    outcomes: Arc<Mutex<Vec<bool>>>,
    read: Option<AsOf>,
    rounds: usize,
) {
    let Ok(catalog) = Catalog::open(store.clone(), OpenMode::Existing, options).await else { return };
    let Some(at) = read else {
        for _ in 0..rounds {
            let _ = catalog.collect().await;
        }
        return;
    };
    for _ in 0..30 * rounds {
        store.checkpoints().await.unwrap();
    }
    match catalog.pin_past(at).await {
        Ok(pin) => {
            for _ in 0..3 {
                for _ in 0..25 * rounds {
                    store.checkpoints().await.unwrap();
                }
                read_everything(&store, &pin).await.unwrap_or_else(|e| panic!("seed {seed}: {at:?}: {e}"));
            }
            outcomes.lock().push(true);
        }
        Err(e) => {
            let gone = e.state() == SqlState::SNAPSHOT_TOO_OLD || e.kind() == ErrorKind::Unavailable;
            assert!(gone, "seed {seed}: {e:?}");
            outcomes.lock().push(false);
        }
    }
}

/// Whoever has got a version of the past can read it to its end, whenever collectors of any process came between.
#[test]
fn no_collector_takes_what_is_read() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut read, mut gone) = (0, 0);
    for seed in seeds(1, 400) {
        let outcomes = runtime.block_on(async {
            let objects: Arc<dyn object_store::ObjectStore> = Arc::new(object_store::memory::InMemory::new());
            let clock = Arc::new(TestClock::at(1_000_000));
            let first = history(&WarehouseStore::new(objects.clone()), &clock, 8).await;
            first.close().await.unwrap();
            let mut rng = Rng::new(seed);
            let scheduler = Scheduler::new();
            let store = WarehouseStore::new(ScheduledStore::over(objects, scheduler.clone(), clock.clone(), 10));
            let outcomes: Arc<Mutex<Vec<bool>>> = Arc::default();
            let mut processes: Vec<BoxFuture<'static, ()>> = Vec::new();
            for collector in [false, false, true, true] {
                let (store, options, outcomes) = (store.clone(), options_at(clock.clone()), outcomes.clone());
                let at = match rng.one_in(2) {
                    true => AsOf::Version(Version(2 + rng.below(7) as u64)),
                    false => AsOf::Time(1_000_000 * (2 + rng.below(7) as i64)),
                };
                let rounds = 1 + rng.below(4);
                processes.push(process(seed, store, options, outcomes, (!collector).then_some(at), rounds).boxed());
            }
            scheduler.run(seed, processes).await;
            Arc::try_unwrap(outcomes).unwrap().into_inner()
        });
        read += outcomes.iter().filter(|read| **read).count();
        gone += outcomes.iter().filter(|read| !**read).count();
    }
    assert!(read > 50 && gone > 50, "{read} reads, {gone} too late");
}

#[tokio::test]
async fn a_time_means_the_last_version_of_it() {
    let store = WarehouseStore::memory();
    let clock = Arc::new(TestClock::at(1_000_000));
    let catalog = history(&store, &clock, 8).await;
    let newest = catalog.snapshot();
    // Entry 0 and the table's are of second 1, the others of one each.
    for second in 1..=9 {
        let version = catalog.pin_past(AsOf::Time(second * 1_000_000 + 5)).await;
        if second == 9 {
            clock.advance(1_000_000);
        }
        let expected = Version(second as u64).min(newest.version);
        match version {
            Ok(pin) => assert_eq!((pin.version, pin.time_us), (expected, second * 1_000_000)),
            Err(e) => assert_eq!((second, e.state()), (9, SqlState::INVALID_PARAMETER), "{e:?}"),
        }
    }
    assert_eq!(catalog.pin_past(AsOf::Time(999_999)).await.unwrap_err().state(), SqlState::INVALID_PARAMETER);
    assert_eq!(catalog.pin_past(AsOf::Version(Version(99))).await.unwrap_err().state(), SqlState::INVALID_PARAMETER);
    let kept = catalog.pin_past(AsOf::Version(Version(4))).await.unwrap();
    catalog.collect().await.unwrap();
    assert_eq!(catalog.snapshot().horizon, Version(4));
    read_everything(&store, &kept).await.unwrap();
    let e = catalog.pin_past(AsOf::Version(Version(3))).await.unwrap_err();
    assert_eq!(
        e.message(),
        "snapshot too old: version 3 was collected: 4 of 1970-01-01 00:00:04.000000 UTC is the oldest that is there"
    );
    drop(kept);
    catalog.collect().await.unwrap();
    let e = catalog.pin_past(AsOf::Time(4_000_000)).await.unwrap_err();
    assert_eq!(e.state(), SqlState::SNAPSHOT_TOO_OLD, "{e:?}");
}

/// A store whose next put of a lease waits until it may go on.
#[derive(Debug)]
struct HeldStore {
    inner: Arc<dyn ObjectStore>,
    holds: AtomicBool,
    held: Notify,
    released: Notify,
}

#[async_trait::async_trait]
impl StoreWrapper for HeldStore {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn before(&self, call: Call, location: &Path) -> object_store::Result<()> {
        let lease = paths::parse_lease(location).is_some();
        if call == Call::Put && lease && self.holds.swap(false, Ordering::SeqCst) {
            self.held.notify_one();
            self.released.notified().await;
        }
        Ok(())
    }
}

/// A renewal that takes long says less than a later one of what is needed: it must not have the last word.
#[tokio::test]
async fn a_slow_renewal_takes_back_nothing_that_a_later_one_says() {
    let held = Arc::new(HeldStore {
        inner: Arc::new(object_store::memory::InMemory::new()),
        holds: AtomicBool::new(false),
        held: Notify::new(),
        released: Notify::new(),
    });
    let store = WarehouseStore::new(Arc::new(Wrapped(Arc::clone(&held))));
    let clock = Arc::new(TestClock::at(1_000_000));
    let catalog = history(&store, &clock, 8).await;
    held.holds.store(true, Ordering::SeqCst);
    let slow = tokio::spawn({
        let catalog = catalog.clone();
        async move { catalog.renew_lease().await }
    });
    held.held.notified().await;
    let past = tokio::spawn({
        let catalog = catalog.clone();
        async move { catalog.pin_past(AsOf::Version(Version(4))).await }
    });
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    held.released.notify_one();
    slow.await.unwrap().unwrap();
    let pin = past.await.unwrap().unwrap();
    let collector = reopen(&store).await;
    let collected = collector.collect().await.unwrap();
    assert!(collected.horizon <= Version(4), "{collected:?}");
    read_everything(&store, &pin).await.unwrap();
    collector.close().await.unwrap();
}

/// Of what was given up it is not known whether it reaches the store later: the next lease is another object.
#[tokio::test]
async fn a_renewal_that_was_given_up_replaces_no_later_one() {
    let inner: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
    let held = HeldStore { inner, holds: AtomicBool::new(false), held: Notify::new(), released: Notify::new() };
    let held = Arc::new(held);
    let store = WarehouseStore::new(Arc::new(Wrapped(Arc::clone(&held))));
    let catalog = history(&store, &Arc::new(TestClock::at(1_000_000)), 3).await;
    let leases = async || store.list(&paths::lease_folder()).await.unwrap().len();
    assert_eq!(leases().await, 1);
    held.holds.store(true, Ordering::SeqCst);
    let slow = tokio::spawn({
        let catalog = catalog.clone();
        async move { catalog.renew_lease().await }
    });
    held.held.notified().await;
    slow.abort();
    assert!(slow.await.is_err());
    catalog.renew_lease().await.unwrap();
    assert_eq!(leases().await, 2);
    catalog.renew_lease().await.unwrap();
    assert_eq!(leases().await, 2);
}
