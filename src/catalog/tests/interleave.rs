//! Two writers and a collector on one store, in an order that a seed decides; processes sleep past their leases.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use parking_lot::Mutex;

use super::util::*;
use crate::catalog::*;
use crate::common::*;
use crate::testing::{CountedIds, Rng, ScheduledStore, Scheduler, TestClock, seeds};

/// Milliseconds.
const TTL: u64 = 1000;

/// What the processes were told of rows: each is a number, written in a delete vector's row count of its own segment.
#[derive(Default, Debug)]
pub struct Told {
    pub acknowledged: BTreeSet<u32>,
    unknown: BTreeSet<u32>,
    conflicts: usize,
    too_old: usize,
    pub collected: usize,
    newest: Version,
}

struct Process {
    store: WarehouseStore,
    options: CatalogOptions,
    clock: Arc<TestClock>,
    told: Arc<Mutex<Told>>,
    rng: Rng,
    first_row: u32,
    sleeps: bool,
}

/// The rows of a table, as the segments' row counts tell them: a merged segment has a column for each.
fn rows(table: &TableState) -> Vec<u32> {
    table.segments.iter().flat_map(|s| s.columns.iter().map(|c| c.bytes as u32)).collect()
}

fn segment_of(blob: Blob, rows: &[u32]) -> NewSegment {
    let columns = rows
        .iter()
        .map(|row| SegmentColumn { id: ColumnId(1), bounds: Bounds::unknown(1, 0), bytes: u64::from(*row) })
        .collect();
    NewSegment { columns, ..new_segment(blob, 0, 100) }
}

impl Process {
    async fn open(&self) -> Catalog {
        loop {
            match Catalog::open(self.store.clone(), OpenMode::Existing, self.options.clone()).await {
                Ok(catalog) => return catalog,
                Err(e) => assert_eq!(e.kind(), ErrorKind::Unavailable, "{e:?}"),
            }
        }
    }

    fn maybe_sleep(&mut self) {
        if self.sleeps && self.rng.one_in(6) {
            self.clock.advance(2 * TTL as i64 * 1000);
        }
    }

    fn tell(&self, outcome: &Result<Committed>, row: Option<u32>) {
        let mut told = self.told.lock();
        match outcome {
            Ok(committed) => {
                told.acknowledged.extend(row);
                told.newest = told.newest.max(committed.version);
            }
            Err(e) if e.message().contains("unknown") => told.unknown.extend(row),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}");
                told.conflicts += 1;
            }
        }
    }

    async fn write(mut self) {
        let catalog = self.open().await;
        for round in 0..7 {
            let seen = self.told.lock().newest;
            let snapshot = catalog.refresh().await.unwrap();
            assert!(snapshot.version >= seen, "a commit that was acknowledged is not seen");
            catalog.renew_lease().await.unwrap();
            let mut txn = catalog.begin(USER);
            let snapshot = txn.snapshot().unwrap().clone();
            let table = snapshot.tables.values().next().unwrap().clone();
            self.maybe_sleep();
            match self.rng.below(5) {
                0 | 1 => {
                    let row = self.first_row + round;
                    let blob = put_object(&self.store, txn.object(0)).await.unwrap();
                    self.maybe_sleep();
                    txn.append(&table.def, vec![segment_of(blob, &[row])]);
                    self.tell(&catalog.commit(txn).await, Some(row));
                }
                2 => {
                    let row = self.first_row + round;
                    txn.append(&table.def, vec![segment_of(inline("inline"), &[row])]);
                    self.tell(&catalog.commit(txn).await, Some(row));
                }
                3 => {
                    let Some(segment) = table.segments.first() else { continue };
                    let rows = segment.deleted.map_or(1, |d| d.rows + 1);
                    let blob = put_dead(&self.store, txn.object(0), rows).await.unwrap();
                    let vector =
                        NewDeleteVector { segment: segment.id, expected: segment.deleted, blob, rows, killed: None };
                    txn.set_delete_vectors(&table.def, vec![vector]);
                    self.tell(&catalog.commit(txn).await, None);
                }
                _ => {
                    let removed: Vec<_> = table.segments.iter().map(|s| s.id).collect();
                    let blob = put_object(&self.store, txn.object(0)).await.unwrap();
                    let added = segment_of(blob, &rows(&table));
                    rewrite(&self.store, &mut txn, &table, &removed, added).await.unwrap();
                    self.tell(&catalog.commit(txn).await, None);
                }
            }
            if self.rng.one_in(3) {
                catalog.checkpoint().await.unwrap();
            }
        }
    }

    /// Pins, waits, and reads what it pinned.
    async fn read(mut self) {
        let catalog = self.open().await;
        for _ in 0..4 {
            catalog.refresh().await.unwrap();
            catalog.renew_lease().await.unwrap();
            let pin = catalog.pin();
            self.maybe_sleep();
            for _ in 0..self.rng.below(120) {
                self.store.checkpoints().await.unwrap();
            }
            for table in pin.tables.values() {
                for segment in table.segments.iter() {
                    if self.store.read(&segment.extent).await.unwrap().is_none() {
                        let e = catalog.missing_object(pin.version, &segment.extent.object).await;
                        assert_eq!(e.state(), SqlState::SNAPSHOT_TOO_OLD, "{e:?}");
                        assert!(self.sleeps, "a pinned snapshot lost an object");
                        self.told.lock().too_old += 1;
                    }
                }
            }
        }
    }

    async fn collect(mut self) {
        let catalog = self.open().await;
        for _ in 0..5 {
            catalog.renew_lease().await.unwrap();
            if self.rng.one_in(2) {
                catalog.checkpoint().await.unwrap();
            }
            match catalog.collect().await {
                Ok(c) => self.told.lock().collected += c.data_objects + c.log_entries + c.checkpoint_objects,
                Err(e) => assert!(matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Conflict), "{e:?}"),
            }
        }
    }
}

async fn run(seed: u64, sleeps: bool) -> Told {
    run_on(Arc::new(InMemory::new()), seed, sleeps).await
}

/// Two writers, a collector and a reader on an empty store.
pub async fn run_on(objects: Arc<dyn ObjectStore>, seed: u64, sleeps: bool) -> Told {
    let clock = Arc::new(TestClock::at(1_000_000));
    let options = |space| CatalogOptions {
        ids: Arc::new(CountedIds::new(space)),
        lease_ttl: Duration::from_millis(TTL),
        ..options_at(clock.clone())
    };
    let plain = WarehouseStore::new(objects.clone());
    let first = Catalog::open(plain.clone(), OpenMode::Create(genesis()), options(1)).await.unwrap();
    create_table(&first, "t").await;
    first.close().await.unwrap();
    let scheduler = Scheduler::new();
    let told = Arc::new(Mutex::new(Told::default()));
    let process = |space: u64| Process {
        store: WarehouseStore::new(ScheduledStore::over(objects.clone(), scheduler.clone(), clock.clone(), 10)),
        options: options(space),
        clock: clock.clone(),
        told: told.clone(),
        rng: Rng::new(seed << 8 | space),
        first_row: space as u32 * 100,
        sleeps,
    };
    let processes: Vec<BoxFuture<'static, ()>> = vec![
        process(2).write().boxed(),
        process(3).write().boxed(),
        process(4).collect().boxed(),
        process(5).read().boxed(),
    ];
    scheduler.run(seed, processes).await;
    drop(scheduler);

    let reopened = Catalog::open(plain.clone(), OpenMode::Existing, options(9)).await.unwrap();
    let snapshot = reopened.snapshot();
    read_everything(&plain, &snapshot).await.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    let told = std::mem::take(&mut *told.lock());
    let found = rows(snapshot.tables.values().next().unwrap());
    let distinct: BTreeSet<u32> = found.iter().copied().collect();
    assert_eq!(found.len(), distinct.len(), "seed {seed}: a row twice");
    assert!(distinct.is_superset(&told.acknowledged), "seed {seed}: {told:?} but {distinct:?}");
    let possible: BTreeSet<u32> = told.acknowledged.union(&told.unknown).copied().collect();
    assert!(distinct.is_subset(&possible), "seed {seed}: {told:?} but {distinct:?}");
    assert!(snapshot.version >= told.newest);
    told
}

#[tokio::test]
async fn two_writers_a_reader_and_a_collector_in_any_order() {
    let mut all = Told::default();
    for seed in seeds(0, 60) {
        let told = run(seed, false).await;
        assert!(told.unknown.is_empty(), "seed {seed}: leases were kept, so every outcome is known");
        all.conflicts += told.conflicts;
        all.collected += told.collected;
        all.acknowledged.extend(told.acknowledged);
    }
    assert!(all.conflicts > 0 && all.collected > 0, "nothing interesting happened: {all:?}");
}

#[tokio::test]
async fn processes_that_sleep_past_their_leases_lose_nothing_that_was_acknowledged() {
    let mut all = Told::default();
    for seed in seeds(1000, 80) {
        let told = run(seed, true).await;
        all.conflicts += told.conflicts;
        all.collected += told.collected;
        all.too_old += told.too_old;
    }
    assert!(all.conflicts > 0 && all.collected > 0 && all.too_old > 0, "nothing interesting happened: {all:?}");
}

#[tokio::test]
async fn one_seed_gives_one_history() {
    for sleeps in [false, true] {
        assert_eq!(format!("{:?}", run(7, sleeps).await), format!("{:?}", run(7, sleeps).await));
    }
}

#[tokio::test]
async fn a_process_left_behind_the_collected_log_does_not_fork_it() {
    let clock = Arc::new(TestClock::at(1_000_000));
    let options = || CatalogOptions { lease_ttl: Duration::from_millis(TTL), ..options_at(clock.clone()) };
    let store = WarehouseStore::memory();
    let sleeper = Catalog::open(store.clone(), OpenMode::Create(genesis()), options()).await.unwrap();
    let table = create_table(&sleeper, "t").await;
    let mut old = sleeper.begin(USER);
    old.append(&table.def, vec![new_segment(put_object(&store, old.object(0)).await.unwrap(), 0, 1)]);
    clock.advance(3 * TTL as i64 * 1000);
    let awake = Catalog::open(store.clone(), OpenMode::Existing, options()).await.unwrap();
    for _ in 0..3 {
        append(&awake, &table.def, "inline").await.unwrap();
        awake.checkpoint().await.unwrap();
    }
    let mut vacuum = awake.begin(USER);
    let full = awake.snapshot().table(table.def.id).unwrap().clone();
    let removed: Vec<_> = full.segments.iter().map(|s| s.id).collect();
    rewrite(&store, &mut vacuum, &full, &removed, new_segment(inline("inline"), 0, 30)).await.unwrap();
    awake.commit(vacuum).await.unwrap();
    awake.checkpoint().await.unwrap();
    let collected = awake.collect().await.unwrap();
    assert!(collected.log_entries > 0 && collected.data_objects == 1, "{collected:?}");
    assert!(store.get(&paths::log_entry(Version(2))).await.unwrap().is_none());

    let e = sleeper.commit(old).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}");
    assert!(store.get(&paths::log_entry(Version(2))).await.unwrap().is_none(), "nothing was put where entries were");
    assert_eq!(*sleeper.refresh().await.unwrap(), *awake.snapshot());
    append(&sleeper, &table.def, "inline").await.unwrap();
    read_everything(&store, &awake.refresh().await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn entries_that_a_late_process_put_where_others_were_collected_mislead_nobody() {
    let clock = Arc::new(TestClock::at(1_000_000));
    let options = || CatalogOptions { lease_ttl: Duration::from_millis(TTL), ..options_at(clock.clone()) };
    // How many of the three collected entries are there again.
    for again in 1..=3 {
        let store = WarehouseStore::memory();
        let sleeper = Catalog::open(store.clone(), OpenMode::Create(genesis()), options()).await.unwrap();
        let table = create_table(&sleeper, "t").await;
        let left = sleeper.snapshot();
        clock.advance(3 * TTL as i64 * 1000);
        let awake = Catalog::open(store.clone(), OpenMode::Existing, options()).await.unwrap();
        for text in ["a", "b", "c", "d"] {
            let mut txn = awake.begin(USER);
            let blob = put_object(&store, txn.object(0)).await.unwrap();
            txn.append(&table.def, vec![new_segment(blob, 0, text.len() as u32)]);
            awake.commit(txn).await.unwrap();
        }
        let kept = awake.checkpoint().await.unwrap();
        assert_eq!(awake.collect().await.unwrap().log_entries, 4, "1 to 4, of which 1 is the sleeper's last");
        let mut previous = left.entry;
        for version in (left.version.0 + 1..).take(again).map(Version) {
            assert!(version < kept);
            let id = CommitId::random();
            let entry = Entry { version, id, previous, time_us: left.time_us, transactions: Vec::new() };
            let bytes = entry.encode(&Default::default()).unwrap();
            assert!(store.create(&paths::log_entry(version), bytes).await.unwrap());
            previous = id;
        }
        assert_eq!(*sleeper.refresh().await.unwrap(), *awake.snapshot(), "{again} entries");
        let fresh = Catalog::open(store.clone(), OpenMode::Existing, options()).await.unwrap();
        assert_eq!(*fresh.snapshot(), *awake.snapshot());
    }
}

#[tokio::test]
async fn a_pin_holds_the_horizon_and_its_end_lets_it_go() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let table = create_table(&catalog, "t").await;
    let mut txn = catalog.begin(USER);
    let blob = put_object(&store, txn.object(0)).await.unwrap();
    let object = txn.object(0);
    txn.append(&table.def, vec![new_segment(blob, 0, 1)]);
    catalog.commit(txn).await.unwrap();
    let other = reopen(&store).await;
    let pin = other.pin();
    other.renew_lease().await.unwrap();
    let mut txn = catalog.begin(USER);
    txn.remove(&table.def, vec![(SegmentId(1), None)]);
    catalog.commit(txn).await.unwrap();
    assert_eq!(catalog.collect().await.unwrap().data_objects, 0);
    assert!(store.get(&paths::object(&object)).await.unwrap().is_some());
    read_everything(&store, &pin).await.unwrap();
    // A name that Blueshift would not give is nobody's business.
    store.replace(&"data/mine.txt".into(), "x".into()).await.unwrap();
    let old = pin.version;
    drop(pin);
    other.refresh().await.unwrap();
    other.renew_lease().await.unwrap();
    assert_eq!(catalog.collect().await.unwrap().data_objects, 1);
    assert!(store.get(&"data/mine.txt".into()).await.unwrap().is_some());
    let e = other.missing_object(old, &object).await;
    assert_eq!((e.kind(), e.state()), (ErrorKind::Conflict, SqlState::SNAPSHOT_TOO_OLD));
    let e = other.missing_object(other.snapshot().version, &object).await;
    assert_eq!(e.kind(), ErrorKind::Corrupt);
}
