//! The handle of a warehouse's catalog, and how transactions become versions.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use roaring::RoaringBitmap;
use tokio::sync::oneshot;

use super::apply::begin;
use super::entry::{Action, Blobs, Entry, TransactionRecord};
use super::fence::{Fence, Fences};
use super::lease::{self, PinnedSnapshot, Pins, Renewed};
use super::load;
use super::model::{DeleteVectorRef, Extent, Move, Schema, Snapshot, WarehouseInfo};
use super::options::{CatalogOptions, Genesis, OpenMode};
use super::past;
use super::paths;
use super::positions::Positions;
use super::resolve::{Resolved, Vectors, resolve};
use super::store::WarehouseStore;
use super::transaction::{Committed, Transaction};
use super::{checkpoint, delete_vector};
use crate::common::{CommitId, Error, ErrorKind, Result, SchemaId, SqlState, TableId, UserId, Version};

/// The catalog of one warehouse, as this process knows it. Clones share everything.
///
/// Guarantees:
/// 1. the snapshots that it shows are versions of the log, and never get older;
/// 2. a commit that returned survives, and is seen by every refresh that begins afterwards, in any process;
/// 3. a commit that failed changed nothing, unless the error is Unavailable and says that the outcome is unknown;
/// 4. a snapshot's objects exist while it is pinned and the lease is kept.
///
/// It needs a tokio runtime: commits and background work run in tasks of it.
#[derive(Clone)]
pub struct Catalog {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct State {
    pub current: Arc<Snapshot>,
    pub pins: Pins,
    pub renewed: Renewed,
    /// Below it nothing is kept any more for this process, whatever it pins: its lease had lapsed when a collector passed.
    pub forfeited: Version,
    /// The name of this process's lease.
    pub lease: CommitId,
    /// The tables' objects that the last known checkpoint names.
    pub checkpointed: Arc<BTreeMap<TableId, Version>>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub store: WarehouseStore,
    pub options: CatalogOptions,
    pub process: CommitId,
    pub state: Mutex<State>,
    /// Held while the lease is written.
    pub renewing: tokio::sync::Mutex<()>,
    queue: Mutex<Queue>,
    /// Delete vectors that commits were merged with.
    vectors: Cache<Extent, Arc<RoaringBitmap>>,
    /// Where vacuums moved rows that commits were about.
    positions: Cache<Extent, Arc<Positions>>,
    /// Past versions that were read.
    pub(super) past: Cache<Version, Arc<Snapshot>>,
    checkpointing: AtomicBool,
    fences: Fences,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Pending>,
    led: bool,
}

#[derive(Debug)]
struct Pending {
    transaction: Transaction,
    reply: oneshot::Sender<Result<Committed>>,
}

/// Transactions of one entry, at most, and about how many bytes they may need together.
const GROUP: usize = 256;
const GROUP_BYTES: usize = 16 << 20;
/// Delete vectors kept: those of segments that several sessions delete from at a time.
const VECTORS: usize = 256;
/// Of vacuums; each takes four bytes a row that it wrote.
const POSITIONS: usize = 4;

impl Catalog {
    /// Opens a warehouse.
    ///
    /// Invalid when there is none and none may be made, when there is one and a new one is wanted, or when the place
    /// holds something else, which is left as it is; Unsupported when a newer Blueshift wrote it; Corrupt when its log
    /// is damaged.
    pub async fn open(store: WarehouseStore, mode: OpenMode, options: CatalogOptions) -> Result<Catalog> {
        let entry = match store.get(&paths::log_entry(Version(0))).await? {
            Some(bytes) => Some(Entry::decode(Version(0), &bytes)?),
            None => None,
        };
        match (entry, mode) {
            (Some(_), OpenMode::Create(_)) => {
                return Err(Error::invalid(SqlState::INVALID_PARAMETER, "there is a warehouse already"));
            }
            (Some(_), _) => store.prepare().await?,
            (None, mode) => {
                if !store.is_empty().await? {
                    return Err(Error::invalid(
                        SqlState::UNDEFINED_FILE,
                        "the place holds files but is not a Blueshift warehouse",
                    )
                    .with_hint("name an empty directory or prefix, or one that Blueshift made"));
                }
                match mode {
                    OpenMode::Existing => {
                        return Err(Error::invalid(SqlState::UNDEFINED_FILE, "there is no warehouse here")
                            .with_hint("check the location, or create the warehouse"));
                    }
                    OpenMode::OpenOrCreate(genesis) => {
                        create(&store, &options, genesis).await?;
                    }
                    OpenMode::Create(genesis) => {
                        if !create(&store, &options, genesis).await? {
                            return Err(Error::invalid(SqlState::INVALID_PARAMETER, "there is a warehouse already"));
                        }
                    }
                }
            }
        }
        store.make_durable(&paths::log_entry(Version(0))).await?;
        // The lease comes first: from here on no collector passes what is about to be read.
        let process = options.ids.next();
        let renewed = Renewed::now(&options);
        let lease = lease::opening(process, options.clock.now_us(), options.lease_ttl);
        store.replace(&paths::lease(process), lease.encode()?).await?;
        let loaded = load_newest(&store).await?;
        let inner = Arc::new(Inner {
            store,
            process,
            state: Mutex::new(State {
                current: Arc::new(loaded.snapshot),
                pins: Pins::default(),
                renewed,
                forfeited: Version(0),
                lease: process,
                checkpointed: Arc::new(loaded.checkpointed),
            }),
            renewing: tokio::sync::Mutex::default(),
            queue: Mutex::default(),
            vectors: Cache::new(VECTORS),
            positions: Cache::new(POSITIONS),
            past: Cache::new(past::KEPT),
            checkpointing: AtomicBool::new(false),
            fences: Fences::default(),
            options,
        });
        inner.renew().await?;
        if inner.options.background {
            tokio::spawn(lease::keep(Arc::downgrade(&inner), inner.options.lease_ttl));
        }
        Ok(Catalog { inner })
    }

    /// The newest snapshot known. Costs nothing.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.state.lock().current.clone()
    }

    /// The newest snapshot there is: asks the store for later versions. Unavailable when the store refuses.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>> {
        self.inner.refresh().await
    }

    pub fn store(&self) -> &WarehouseStore {
        &self.inner.store
    }

    pub fn options(&self) -> &CatalogOptions {
        &self.inner.options
    }

    /// A transaction on the newest snapshot known, which it pins.
    pub fn begin(&self, author: UserId) -> Transaction {
        let pin = self.inner.pin(true);
        let mut transaction = Transaction::new(self.inner.options.ids.next(), pin.version, author);
        transaction.pin = Some(pin);
        transaction
    }

    /// A transaction on a version that was read, which it pins.
    pub fn begin_at(&self, author: UserId, read: &PinnedSnapshot) -> Transaction {
        let pin = read.for_transaction();
        let mut transaction = Transaction::new(self.inner.options.ids.next(), pin.version, author);
        transaction.pin = Some(pin);
        transaction
    }

    /// Commits a transaction, in one log entry with others that come at the same time. One without wishes commits at
    /// once and nothing is written.
    ///
    /// Conflict: another transaction got there first, nothing was changed. Invalid: a wish cannot be granted, nothing
    /// was changed. Unavailable: the store failed; unless the message says that the outcome is unknown, nothing was
    /// changed. Dropping the future does not stop the commit.
    pub async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        if transaction.is_empty() {
            let snapshot = self.snapshot();
            return Ok(Committed {
                version: snapshot.version,
                time_us: snapshot.time_us,
                snapshot,
                tables: BTreeMap::new(),
                schemas: BTreeMap::new(),
                segments: Vec::new(),
                identities: Vec::new(),
                demoted: Vec::new(),
            });
        }
        self.inner.fences.wait(&transaction).await;
        let (reply, outcome) = oneshot::channel();
        let lead = {
            let mut queue = self.inner.queue.lock();
            queue.waiting.push_back(Pending { transaction, reply });
            !std::mem::replace(&mut queue.led, true)
        };
        if lead {
            tokio::spawn(self.inner.clone().lead());
        }
        outcome.await.unwrap_or_else(|_| Err(unknown_outcome("the commit was interrupted")))
    }

    /// Keeps other transactions of this process from changing these tables, or all, until it is dropped: for one that has to
    /// finish with all of their rows. They wait at their commits.
    pub fn fence(&self, tables: Option<BTreeSet<TableId>>) -> Fence {
        self.inner.fences.put(tables)
    }

    /// Writes a checkpoint of the newest snapshot known. Failing, it leaves nothing that matters.
    pub async fn checkpoint(&self) -> Result<Version> {
        let snapshot = self.snapshot();
        self.inner.checkpoint(&snapshot).await?;
        Ok(snapshot.version)
    }

    /// Gives the lease back. Pinned snapshots lose their protection.
    pub async fn close(self) -> Result<()> {
        // A renewal that is under way would bring it back.
        let _turn = self.inner.renewing.lock().await;
        let lease = self.inner.state.lock().lease;
        self.inner.store.delete(&paths::lease(lease)).await
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("process", &self.inner.process).finish_non_exhaustive()
    }
}

/// Whether it was this call that made the warehouse.
async fn create(store: &WarehouseStore, options: &CatalogOptions, genesis: Genesis) -> Result<bool> {
    if genesis.info.slices == 0 || genesis.info.slices > WarehouseInfo::MAX_SLICES {
        return Err(Error::invalid(
            SqlState::INVALID_PARAMETER,
            format!("a warehouse has 1 to {} slices, not {}", WarehouseInfo::MAX_SLICES, genesis.info.slices),
        ));
    }
    store.prepare().await?;
    let mut actions =
        vec![Action::Genesis(genesis.info.clone()), Action::DefineUser(genesis.owner, genesis.owner_name)];
    for (id, name) in (1..).zip(genesis.schemas) {
        actions.push(Action::CreateSchema(Schema { id: SchemaId(id), name, owner: genesis.owner }));
    }
    let id = options.ids.next();
    let entry = Entry {
        version: Version(0),
        id,
        previous: CommitId(0),
        time_us: options.clock.now_us(),
        transactions: vec![TransactionRecord { commit: id, start: Version(0), author: genesis.owner, actions }],
    };
    let bytes = entry.encode(&Blobs::default())?;
    match put_entry(store, options, Version(0), id, bytes).await {
        Put::Ours => Ok(true),
        Put::Lost => Ok(false),
        Put::Unknown(e) => Err(e),
    }
}

/// Loads until what was loaded is not behind a checkpoint: a collector may have removed entries meanwhile.
async fn load_newest(store: &WarehouseStore) -> Result<load::Loaded> {
    let mut last_error = None;
    for _ in 0..8 {
        match load::load(store, Version(u64::MAX)).await {
            Ok(Some(loaded)) => match store.checkpoints().await?.last() {
                Some(newest) if *newest > loaded.snapshot.version => {}
                _ => return Ok(loaded),
            },
            Ok(None) => {
                return Err(Error::corrupt(0, "the first log entry is gone").in_object(paths::log_entry(Version(0)), 0));
            }
            Err(e) if e.kind() == ErrorKind::Unavailable => last_error = Some(e),
            Err(e) => return Err(e),
        }
    }
    Err(last_error.unwrap_or_else(|| Error::unavailable("the log moves faster than it can be read")))
}

/// What became of a conditional put.
enum Put {
    Ours,
    /// Another entry has the name, or had it.
    Lost,
    Unknown(Error),
}

/// Puts an entry, and finds out by reading back when the store does not tell.
async fn put_entry(
    store: &WarehouseStore,
    options: &CatalogOptions,
    version: Version,
    id: CommitId,
    bytes: Bytes,
) -> Put {
    let path = paths::log_entry(version);
    let mut delay = options.retry_delay;
    let mut error = None;
    for attempt in 0..=options.retries {
        if attempt > 0 {
            match delay.is_zero() {
                true => tokio::task::yield_now().await,
                false => tokio::time::sleep(delay).await,
            }
            delay *= 2;
        }
        let taken = match store.create(&path, bytes.clone()).await {
            Ok(true) => return Put::Ours,
            Ok(false) => true,
            Err(e) => {
                error = Some(e);
                false
            }
        };
        match load::read_entry(store, version).await {
            Ok(Some(entry)) if entry.id == id => match store.make_durable(&path).await {
                Ok(()) => return Put::Ours,
                Err(e) => return Put::Unknown(unknown_outcome(e.message()).with_source(e)),
            },
            Ok(Some(_)) => return Put::Lost,
            // It was there and is not any more: collected.
            Ok(None) if taken => return Put::Lost,
            Ok(None) => {}
            Err(e) => error = Some(e),
        }
    }
    let error = error.unwrap_or_else(|| Error::internal("a put failed without error"));
    Put::Unknown(unknown_outcome(error.message()).with_source(error))
}

fn unknown_outcome(why: &str) -> Error {
    Error::unavailable(format!("the outcome of the commit is unknown: {why}"))
        .with_state(SqlState::OUTCOME_UNKNOWN)
        .with_hint("look whether the transaction took effect before running it again")
}

/// Ends the leadership when the task ends in another way than by finding the queue empty: whoever waits is told.
struct Leading<'a>(&'a Inner);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let abandoned = std::mem::take(&mut *self.0.queue.lock());
        drop(abandoned);
    }
}

impl Inner {
    fn current(&self) -> Arc<Snapshot> {
        self.state.lock().current.clone()
    }

    /// Shows a newer snapshot. An older one changes nothing.
    fn publish(&self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        let mut state = self.state.lock();
        if snapshot.version > state.current.version {
            state.current = snapshot;
        }
        state.current.clone()
    }

    pub(super) async fn refresh(&self) -> Result<Arc<Snapshot>> {
        let current = self.current();
        let newer = load::catch_up(&self.store, &current, Version(u64::MAX), 1).await;
        if self.lapsed() {
            // Nobody waited for this process: that the next entry is not there may mean that it was collected, and
            // what is there may have been put by another such process. Both happen only below a checkpoint.
            let reached = match &newer {
                Ok(Some(newer)) => newer.version,
                _ => current.version,
            };
            if self.store.checkpoints().await?.last().is_some_and(|newest| *newest > reached) {
                let loaded = load_newest(&self.store).await?;
                self.state.lock().checkpointed = Arc::new(loaded.checkpointed);
                return Ok(self.publish(Arc::new(loaded.snapshot)));
            }
        }
        Ok(match newer? {
            Some(newer) => self.publish(Arc::new(newer)),
            None => current,
        })
    }

    /// Commits what is waiting, group by group, until nothing is.
    async fn lead(self: Arc<Self>) {
        let leading = Leading(&self);
        loop {
            // Those that the last group woke, and those that run at this moment, join the next one.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            let group = {
                let mut queue = self.queue.lock();
                let mut group = Vec::new();
                let mut bytes = 0;
                while let Some(next) = queue.waiting.front() {
                    bytes += next.transaction.weight();
                    if group.len() == GROUP || (bytes > GROUP_BYTES && !group.is_empty()) {
                        break;
                    }
                    group.extend(queue.waiting.pop_front());
                }
                if group.is_empty() {
                    queue.led = false;
                }
                group
            };
            if group.is_empty() {
                // Another task may lead already.
                std::mem::forget(leading);
                return;
            }
            if let Some(snapshot) = self.commit_group(group).await {
                self.checkpoint_if_due(snapshot);
            }
        }
    }

    async fn commit_group(&self, mut group: Vec<Pending>) -> Option<Arc<Snapshot>> {
        let mut snapshot = self.current();
        // Whether `snapshot` is the newest of a moment within this call, so that what fails on it truly fails.
        let mut fresh = false;
        let mut read = AtHand::default();
        if self.lapsed() {
            match self.refresh().await {
                Ok(newest) => (snapshot, fresh) = (newest, true),
                Err(e) => return fail(group, &e),
            }
        }
        loop {
            let attempt = match self.attempt(&snapshot, &mut group, fresh, &read) {
                Attempt::Stale => {
                    match self.refresh().await {
                        Ok(newest) => (snapshot, fresh) = (newest, true),
                        Err(e) => return fail(group, &e),
                    }
                    continue;
                }
                Attempt::Unread { of, wanted } => {
                    for wanted in wanted {
                        let e = match self.read_wanted(&wanted, &mut read).await {
                            Ok(true) => continue,
                            // It was replaced and collected since: then there is a newer version.
                            Ok(false) => match self.refresh().await {
                                Ok(newest) if newest.version > snapshot.version => {
                                    (snapshot, fresh) = (newest, true);
                                    break;
                                }
                                Ok(_) => wanted.missing(),
                                Err(e) => return fail(group, &e),
                            },
                            Err(e) => e,
                        };
                        // The others need none of it.
                        fail(vec![group.remove(of)], &e);
                        break;
                    }
                    if group.is_empty() {
                        return None;
                    }
                    continue;
                }
                Attempt::Nobody => return None,
                // One of them makes the entry too large: each is to have its own.
                Attempt::Failed(_) if group.len() > 1 => {
                    let mut newest = None;
                    for pending in group {
                        newest = Box::pin(self.commit_group(vec![pending])).await.or(newest);
                    }
                    return newest;
                }
                Attempt::Failed(e) => return fail(group, &e),
                Attempt::Made(made) => made,
            };
            let Made { entry, bytes, next, resolved } = *attempt;
            match put_entry(&self.store, &self.options, entry.version, entry.id, bytes).await {
                Put::Ours => {
                    if let Err(e) = self.confirm(&entry).await {
                        return fail(group, &e);
                    }
                    let next = Arc::new(next);
                    self.publish(next.clone());
                    for (pending, resolved) in group.into_iter().zip(resolved) {
                        let committed = Committed {
                            version: next.version,
                            time_us: next.time_us,
                            snapshot: next.clone(),
                            tables: resolved.tables,
                            schemas: resolved.schemas,
                            segments: resolved.segments,
                            identities: resolved.identities,
                            demoted: resolved.demoted,
                        };
                        // Whoever no longer waits does not need to know.
                        let _ = pending.reply.send(Ok(committed));
                    }
                    return Some(next);
                }
                Put::Lost => match self.refresh().await {
                    Ok(newest) if newest.version >= entry.version => (snapshot, fresh) = (newest, true),
                    Ok(_) => return fail(group, &Error::unavailable("a log entry came and went")),
                    Err(e) => return fail(group, &e),
                },
                Put::Unknown(e) => return fail(group, &e),
            }
        }
    }

    /// Makes an entry of those transactions that hold on `snapshot`; the others are told and leave the group.
    fn attempt(&self, snapshot: &Snapshot, group: &mut Vec<Pending>, fresh: bool, read: &AtHand) -> Attempt {
        let version = snapshot.version.next();
        let id = self.options.ids.next();
        let time_us = self.options.clock.now_us().max(snapshot.time_us);
        let mut next = snapshot.clone();
        begin(&mut next, version, id, time_us);
        let mut blobs = Blobs::default();
        let mut outcomes = Vec::with_capacity(group.len());
        let mut known = Known { inner: self, read, unread: Vec::new() };
        for (of, pending) in group.iter().enumerate() {
            // A clone shares what the transaction does not change, so that its failing costs nothing.
            let mut scratch = next.clone();
            let blobs_before = blobs.len();
            let outcome = resolve(&pending.transaction, &mut scratch, &mut blobs, &mut known);
            match &outcome {
                Ok(_) => next = scratch,
                Err(_) if !fresh => return Attempt::Stale,
                Err(_) if !known.unread.is_empty() => return Attempt::Unread { of, wanted: known.unread },
                Err(_) => blobs.truncate(blobs_before),
            }
            outcomes.push(outcome);
        }
        let mut resolved = Vec::with_capacity(outcomes.len());
        for (pending, outcome) in std::mem::take(group).into_iter().zip(outcomes) {
            match outcome {
                Ok(held) => {
                    group.push(pending);
                    resolved.push(held);
                }
                Err(e) => {
                    let _ = pending.reply.send(Err(e));
                }
            }
        }
        if group.is_empty() {
            return Attempt::Nobody;
        }
        let transactions =
            resolved.iter_mut().map(|r: &mut Resolved| std::mem::replace(&mut r.record, none())).collect();
        let entry = Entry { version, id, previous: snapshot.entry, time_us, transactions };
        match entry.encode(&blobs) {
            Ok(bytes) => Attempt::Made(Box::new(Made { entry, bytes, next, resolved })),
            Err(e) => Attempt::Failed(e),
        }
    }

    /// Reads what commits are to be merged with; whether it is there.
    async fn read_wanted(&self, wanted: &Wanted, read: &mut AtHand) -> Result<bool> {
        let extent = wanted.extent();
        let Some(bytes) = self.store.read(&extent).await? else { return Ok(false) };
        let named = |e: Error| e.in_object(extent.object, extent.offset);
        match wanted {
            Wanted::Dead(vector, rows) => {
                let dead = Arc::new(delete_vector::decode(&bytes, vector.rows, *rows).map_err(named)?);
                read.dead.insert(extent, Arc::clone(&dead));
                self.vectors.insert(extent, dead);
            }
            Wanted::Positions(_) => {
                let positions = Arc::new(Positions::decode(&bytes).map_err(named)?);
                read.positions.insert(extent, Arc::clone(&positions));
                self.positions.insert(extent, positions);
            }
        }
        Ok(true)
    }

    /// After a put by a process that collectors no longer wait for: was the entry's name free because the entry was
    /// new, or because an older one of that name had been collected?
    async fn confirm(&self, entry: &Entry) -> Result<()> {
        if !self.lapsed() {
            return Ok(());
        }
        let unknown = |e: Error| unknown_outcome(e.message()).with_source(e);
        match self.store.checkpoints().await.map_err(unknown)?.last() {
            Some(newest) if *newest > entry.version => {
                match load::read_entry(&self.store, entry.version.next()).await.map_err(unknown)? {
                    Some(successor) if successor.previous == entry.id => Ok(()),
                    _ => Err(unknown_outcome("this process was too slow to know")),
                }
            }
            _ => Ok(()),
        }
    }

    fn checkpoint_if_due(self: &Arc<Self>, snapshot: Arc<Snapshot>) {
        let every = self.options.checkpoint_every;
        if !self.options.background || every == 0 || !snapshot.version.0.is_multiple_of(every) {
            return;
        }
        if self.checkpointing.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = self.clone();
        tokio::spawn(async move {
            if let Err(e) = inner.checkpoint(&snapshot).await {
                tracing::warn!("checkpoint {} could not be written: {e}", snapshot.version);
            }
            inner.checkpointing.store(false, Ordering::Release);
        });
    }

    async fn checkpoint(&self, snapshot: &Snapshot) -> Result<()> {
        let before = self.state.lock().checkpointed.clone();
        let tables = checkpoint::write(&self.store, snapshot, &before).await?;
        self.state.lock().checkpointed = Arc::new(tables);
        Ok(())
    }
}

/// What commits are merged with and has to be read first.
enum Wanted {
    /// With the rows of its segment.
    Dead(DeleteVectorRef, u32),
    Positions(Extent),
}

impl Wanted {
    fn extent(&self) -> Extent {
        match self {
            Wanted::Dead(vector, _) => vector.extent,
            Wanted::Positions(extent) => *extent,
        }
    }

    fn missing(&self) -> Error {
        let Extent { object, offset, .. } = self.extent();
        Error::corrupt(0, "an object of the warehouse is missing").in_object(object, offset)
    }
}

/// What was read of it for a group of commits.
#[derive(Default)]
struct AtHand {
    dead: HashMap<Extent, Arc<RoaringBitmap>>,
    positions: HashMap<Extent, Arc<Positions>>,
}

/// What is known of it.
struct Known<'a> {
    inner: &'a Inner,
    read: &'a AtHand,
    unread: Vec<Wanted>,
}

impl Vectors for Known<'_> {
    fn dead(&mut self, vector: &DeleteVectorRef, rows: u32) -> Option<Arc<RoaringBitmap>> {
        let known = self.read.dead.get(&vector.extent).cloned();
        let known = known.or_else(|| self.inner.vectors.get(&vector.extent));
        if known.is_none() {
            self.unread.push(Wanted::Dead(*vector, rows));
        }
        known
    }

    fn positions(&mut self, of: &Move) -> Option<Arc<Positions>> {
        let known = self.read.positions.get(&of.positions).cloned();
        let known = known.or_else(|| self.inner.positions.get(&of.positions));
        if known.is_none() {
            self.unread.push(Wanted::Positions(of.positions));
        }
        known
    }
}

enum Attempt {
    /// This is to be read first, for the one at this place of the group.
    Unread {
        of: usize,
        wanted: Vec<Wanted>,
    },
    /// A transaction fails, but perhaps only on a snapshot that is not the newest.
    Stale,
    /// None of the group is left.
    Nobody,
    Failed(Error),
    Made(Box<Made>),
}

struct Made {
    entry: Entry,
    bytes: Bytes,
    next: Snapshot,
    resolved: Vec<Resolved>,
}

fn none() -> TransactionRecord {
    TransactionRecord { commit: CommitId(0), start: Version(0), author: UserId(0), actions: Vec::new() }
}

/// Tells everyone of the group that the store failed.
fn fail(group: Vec<Pending>, e: &Error) -> Option<Arc<Snapshot>> {
    for pending in group {
        let mut copy = Error::new(e.kind(), e.message()).with_state(e.state());
        if let Some(hint) = e.hint() {
            copy = copy.with_hint(hint);
        }
        let _ = pending.reply.send(Err(copy));
    }
    None
}
