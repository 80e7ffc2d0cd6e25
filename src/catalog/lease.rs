//! Leases: what each process still reads, so that a collector knows what nobody can see.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;

use super::commit::{Catalog, Inner};
use super::convert::{self, damaged};
use super::frame::{self, HEADER_BYTES, Magic};
use super::model::{ObjectId, Snapshot};
use super::options::CatalogOptions;
use super::overlay::Overlay;
use super::{paths, proto};
use crate::common::{CommitId, Error, Result, SqlState, Version};

/// A process's promise of what it needs.
///
/// Until `until_us`, a collector keeps whatever snapshots from `oldest_pinned` and objects of transactions from
/// `oldest_transaction` need. The process itself stops relying on it at half of that time, so that the clocks of two
/// processes may differ by the other half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub process: CommitId,
    /// When it was written.
    pub time_us: i64,
    pub until_us: i64,
    pub oldest_pinned: Version,
    pub oldest_transaction: Option<Version>,
}

impl Lease {
    /// Above every version: nothing is pinned.
    const NOTHING: Version = Version(u64::MAX);

    /// The oldest version that must stay whole.
    pub fn floor(&self) -> Version {
        self.oldest_transaction.map_or(self.oldest_pinned, |t| t.min(self.oldest_pinned))
    }

    /// Whether its process is only about to read the log: it needs no version of its own, but that the horizon stays.
    pub fn is_opening(&self) -> bool {
        self.oldest_transaction == Some(Version(0))
    }

    /// A wish that versions be kept for so long, which needs no version itself: one object for all processes that say the same.
    pub fn wish(time_us: i64, keep_us: i64) -> Lease {
        Lease {
            process: CommitId(u128::from(keep_us.unsigned_abs())),
            time_us,
            until_us: time_us.saturating_add(keep_us),
            oldest_pinned: Lease::NOTHING,
            oldest_transaction: None,
        }
    }

    fn is_wish(&self) -> bool {
        self.oldest_pinned == Lease::NOTHING
    }

    /// For how long versions are to be kept, if it is a wish that still holds.
    pub fn asked_us(&self, now_us: i64) -> Option<i64> {
        let holds = self.is_wish() && self.until_us >= now_us;
        holds.then(|| self.until_us.saturating_sub(self.time_us))
    }

    /// Whether its object may go. That of a wish may be written again at any time, and there are few of them.
    pub fn is_stale(&self, now_us: i64) -> bool {
        self.until_us < now_us && !self.is_wish()
    }

    pub fn encode(&self) -> Result<Bytes> {
        let message = proto::Lease {
            process: convert::id_bytes(self.process.0),
            time_us: self.time_us,
            oldest_pinned: self.oldest_pinned.0,
            oldest_transaction: self.oldest_transaction.map(|v| v.0),
            until_us: self.until_us,
        };
        frame::encode(Magic::Lease, &[], &message.encode_to_vec())
    }

    /// Reads the lease of `process`. Corrupt or Unsupported, as [`frame::decode`] says.
    pub fn decode(process: CommitId, bytes: &Bytes) -> Result<Lease> {
        let read = |body: Bytes| {
            let message = proto::Lease::decode(body).map_err(|e| damaged(&e.to_string()))?;
            if convert::read_id(&message.process)? != process.0 {
                return Err(damaged("the lease is another process's"));
            }
            Ok(Lease {
                process,
                time_us: message.time_us,
                until_us: message.until_us,
                oldest_pinned: Version(message.oldest_pinned),
                oldest_transaction: message.oldest_transaction.map(Version),
            })
        };
        let named = |e: Error, base: usize| e.in_object(paths::lease(process), base as u64);
        let frame = frame::decode(Magic::Lease, bytes).map_err(|e| named(e, 0))?;
        read(frame.body).map_err(|e| named(e, HEADER_BYTES))
    }
}

/// How many readers and transactions hold each version.
#[derive(Debug, Default)]
pub(super) struct Pins(BTreeMap<Version, (usize, usize)>);

impl Pins {
    fn add(&mut self, version: Version, transaction: bool) {
        let (pins, transactions) = self.0.entry(version).or_default();
        *pins += 1;
        *transactions += usize::from(transaction);
    }

    fn remove(&mut self, version: Version, transaction: bool) {
        if let Some((pins, transactions)) = self.0.get_mut(&version) {
            *pins = pins.saturating_sub(1);
            *transactions = transactions.saturating_sub(usize::from(transaction));
            if *pins == 0 {
                self.0.remove(&version);
            }
        }
    }

    fn oldest(&self) -> Option<Version> {
        self.0.keys().next().copied()
    }

    fn oldest_transaction(&self) -> Option<Version> {
        self.0.iter().find(|(_, (_, transactions))| *transactions > 0).map(|(version, _)| *version)
    }
}

/// A snapshot whose objects stay while this exists (and the process renews its lease).
#[derive(Debug)]
pub struct PinnedSnapshot {
    inner: Arc<Inner>,
    snapshot: Arc<Snapshot>,
    /// What a transaction has written over it, which is seen in its place.
    overlay: Option<Arc<Overlay>>,
    transaction: bool,
}

impl PinnedSnapshot {
    /// A version that is held until then.
    pub(super) fn of(inner: &Arc<Inner>, snapshot: Arc<Snapshot>) -> Self {
        inner.state.lock().pins.add(snapshot.version, false);
        PinnedSnapshot { inner: Arc::clone(inner), snapshot, overlay: None, transaction: false }
    }

    /// What is seen.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        self.overlay.as_ref().map_or(&self.snapshot, |overlay| overlay.snapshot())
    }

    /// The committed version that it is, or that a transaction's writes stand over.
    pub fn base(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The writes of the transaction that sees it, if it has any.
    pub fn overlay(&self) -> Option<&Arc<Overlay>> {
        self.overlay.as_ref()
    }

    /// The same, which also keeps what a transaction that read it writes.
    pub(super) fn for_transaction(&self) -> PinnedSnapshot {
        self.with(None, true)
    }

    /// The committed version alone.
    pub(super) fn committed(&self) -> PinnedSnapshot {
        self.with(None, false)
    }

    /// With what a transaction has written over it.
    pub(crate) fn overlaid(&self, overlay: Arc<Overlay>) -> PinnedSnapshot {
        self.with(Some(overlay), self.transaction)
    }

    fn with(&self, overlay: Option<Arc<Overlay>>, transaction: bool) -> PinnedSnapshot {
        self.inner.state.lock().pins.add(self.snapshot.version, transaction);
        PinnedSnapshot { inner: self.inner.clone(), snapshot: self.snapshot.clone(), overlay, transaction }
    }

    /// The newest snapshot of its warehouse. Unavailable when the store refuses.
    pub(super) async fn newest(&self) -> Result<Arc<Snapshot>> {
        self.inner.refresh().await
    }

    /// See [`Catalog::missing_object`].
    pub async fn missing_object(&self, object: &ObjectId) -> Error {
        self.inner.missing_object(self.snapshot.version, object).await
    }
}

impl std::ops::Deref for PinnedSnapshot {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        self.snapshot()
    }
}

impl Clone for PinnedSnapshot {
    fn clone(&self) -> Self {
        self.with(self.overlay.clone(), self.transaction)
    }
}

impl Drop for PinnedSnapshot {
    fn drop(&mut self) {
        self.inner.state.lock().pins.remove(self.snapshot.version, self.transaction);
    }
}

/// A version that this process needs while its snapshot is being read.
pub(super) struct Hold {
    inner: Arc<Inner>,
    version: Version,
}

impl Hold {
    pub fn new(inner: &Arc<Inner>, version: Version) -> Self {
        inner.state.lock().pins.add(version, false);
        Hold { inner: Arc::clone(inner), version }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.inner.state.lock().pins.remove(self.version, false);
    }
}

/// When the lease was last renewed, by both clocks: neither going back nor sleeping may prolong it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Renewed {
    at: Instant,
    at_us: i64,
}

impl Renewed {
    pub fn now(options: &CatalogOptions) -> Self {
        Renewed { at: Instant::now(), at_us: options.clock.now_us() }
    }
}

impl Inner {
    /// Whether a collector may have stopped counting on this process.
    pub(super) fn lapsed(&self) -> bool {
        let half = self.options.lease_ttl / 2;
        let half_us = i64::try_from(half.as_micros()).unwrap_or(i64::MAX);
        let renewed = self.state.lock().renewed;
        renewed.at.elapsed() > half || self.options.clock.now_us().abs_diff(renewed.at_us) > half_us.unsigned_abs()
    }

    pub(super) fn pin(self: &Arc<Self>, transaction: bool) -> PinnedSnapshot {
        let mut state = self.state.lock();
        let snapshot = state.current.clone();
        state.pins.add(snapshot.version, transaction);
        drop(state);
        PinnedSnapshot { inner: self.clone(), snapshot, overlay: None, transaction }
    }

    /// What this process needs at present.
    pub(super) fn own_floor(&self) -> (Version, Option<Version>) {
        let state = self.state.lock();
        let oldest = state.pins.oldest().map_or(state.current.version, |pin| pin.min(state.current.version));
        let kept = |version: Version| version.max(state.forfeited);
        (kept(oldest), state.pins.oldest_transaction().map(kept))
    }

    /// One renewal after the other, each of what is needed when its turn comes: an earlier one that took longer would take back
    /// what a later one has asked for.
    pub(super) async fn renew(&self) -> Result<()> {
        let _turn = self.renewing.lock().await;
        let renewed = Renewed::now(&self.options);
        let (oldest_pinned, oldest_transaction) = self.own_floor();
        let lapsed = self.lapsed();
        if lapsed {
            // A collector may be about to delete the old lease, and would delete what is written in its place.
            self.state.lock().lease = self.options.ids.next();
        }
        self.write_lease(renewed.at_us, oldest_pinned, oldest_transaction).await?;
        if lapsed {
            // A collector may have passed this process before the new lease was there: see where the log is now.
            let horizon = self.refresh().await?.horizon;
            self.state.lock().forfeited = horizon;
            let (now_pinned, now_transaction) = self.own_floor();
            if (now_pinned, now_transaction) != (oldest_pinned, oldest_transaction) {
                self.write_lease(renewed.at_us, now_pinned, now_transaction).await?;
            }
        }
        self.state.lock().renewed = renewed;
        Ok(())
    }

    async fn missing_object(&self, version: Version, object: &ObjectId) -> Error {
        match self.refresh().await {
            Ok(newest) if version < newest.horizon => Error::conflict(format!(
                "snapshot too old: version {version} is older than the horizon {}, and {object} was collected",
                newest.horizon
            ))
            .with_state(SqlState::SNAPSHOT_TOO_OLD)
            .with_hint("run the statement again; it will read the present version"),
            Ok(_) => Error::corrupt(0, "an object of the warehouse is missing").in_object(object, 0),
            Err(e) => e,
        }
    }

    async fn write_lease(&self, time_us: i64, oldest_pinned: Version, oldest: Option<Version>) -> Result<()> {
        let ttl_us = i64::try_from(self.options.lease_ttl.as_micros()).unwrap_or(i64::MAX);
        let writing = Writing::begin(self);
        let lease = Lease {
            process: writing.name,
            time_us,
            until_us: time_us.saturating_add(ttl_us),
            oldest_pinned,
            oldest_transaction: oldest,
        };
        self.store.replace(&paths::lease(writing.name), lease.encode()?).await?;
        writing.ended();
        Ok(())
    }
}

/// A lease that is being written. One that was given up, or failed, may reach the store yet: the next has another name then, so
/// that it is not replaced by an older one.
struct Writing<'a> {
    inner: &'a Inner,
    name: CommitId,
    ended: bool,
}

impl<'a> Writing<'a> {
    fn begin(inner: &'a Inner) -> Self {
        Writing { inner, name: inner.state.lock().lease, ended: false }
    }

    fn ended(mut self) {
        self.ended = true;
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.inner.state.lock().lease = self.inner.options.ids.next();
        }
    }
}

/// The lease of a process that is about to read the log: it keeps the horizon where it is.
pub(super) fn opening(process: CommitId, time_us: i64, ttl: Duration) -> Lease {
    let ttl_us = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
    Lease {
        process,
        time_us,
        until_us: time_us.saturating_add(ttl_us),
        oldest_pinned: Version(0),
        oldest_transaction: Some(Version(0)),
    }
}

/// Renews at a quarter of the lease's time until the catalog is gone. Each time it looks for newer versions first, so
/// that an idle process does not hold the horizon back.
pub(super) async fn keep(inner: Weak<Inner>, ttl: Duration) {
    loop {
        tokio::time::sleep(ttl / 4).await;
        let Some(inner) = inner.upgrade() else { return };
        let outcome = match inner.refresh().await {
            Ok(_) => inner.renew().await,
            Err(e) => Err(e),
        };
        if let Err(e) = outcome {
            tracing::warn!("the lease could not be renewed: {e}");
        }
    }
}

impl Catalog {
    /// The newest snapshot known, kept whole until the guard is dropped.
    pub fn pin(&self) -> PinnedSnapshot {
        self.inner.pin(false)
    }

    /// The snapshot of `version`, as another process named it, kept whole until the guard is dropped.
    ///
    /// Errors: Unavailable when the version is not there yet, or was collected.
    pub async fn pin_at(&self, version: Version) -> Result<PinnedSnapshot> {
        if self.snapshot().version < version {
            self.refresh().await?;
        }
        let newest = self.pin();
        if newest.version == version {
            return Ok(newest);
        }
        if newest.version < version {
            let message = format!("version {version} is not there yet: the newest is {}", newest.version);
            return Err(Error::unavailable(message).with_hint("try again; see that it is the same warehouse"));
        }
        // The lease comes first: from here on no collector passes what is about to be read.
        let hold = Hold::new(&self.inner, version);
        self.inner.renew().await?;
        let newest = self.refresh().await?;
        let horizon = newest.horizon;
        let pin = if version < horizon { None } else { self.inner.pin_loaded(version, &newest).await? };
        drop(hold);
        pin.ok_or_else(|| {
            Error::unavailable(format!("version {version} was collected: those from {horizon} on are kept"))
                .with_state(SqlState::SNAPSHOT_TOO_OLD)
                .with_hint("plan the query again, and keep its version pinned where it was planned until it has run")
        })
    }

    /// Says what this process needs, as the background task does. Unavailable when the store refuses.
    pub async fn renew_lease(&self) -> Result<()> {
        self.inner.renew().await
    }

    /// The error for an object that a snapshot names and the store does not have: Conflict when the snapshot was too
    /// old for that, Corrupt when the object ought to be there.
    pub async fn missing_object(&self, version: Version, object: &ObjectId) -> Error {
        self.inner.missing_object(version, object).await
    }
}
