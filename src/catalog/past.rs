//! Versions of the past: found by number or time, loaded and pinned.

use std::sync::Arc;

use super::commit::{Catalog, Inner};
use super::lease::{Hold, PinnedSnapshot};
use super::load;
use super::model::Snapshot;
use crate::common::{Error, Result, SqlState, Version};

/// Snapshots of past versions that are kept at hand: of a few queries that compare versions.
pub(super) const KEPT: usize = 8;

/// Names a version of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    Version(Version),
    /// The last version that was there at this time, in microseconds since 1970, UTC.
    Time(i64),
}

impl Catalog {
    /// The snapshot of a version of the past, kept whole until the guard is dropped.
    ///
    /// Errors: Invalid where the version was collected (with the state of "snapshot too old"), is not there yet, or is of a
    /// time before the warehouse was made.
    pub async fn pin_past(&self, at: AsOf) -> Result<PinnedSnapshot> {
        // The lease comes first: from here on no collector passes what is about to be read.
        let mut lowest = match at {
            AsOf::Version(version) => version,
            AsOf::Time(_) => self.refresh().await?.horizon,
        };
        let (hold, newest) = loop {
            let hold = Hold::new(&self.inner, lowest);
            self.inner.renew().await?;
            let newest = self.inner.refresh().await?;
            match at {
                // A collector was first: what is named must be there.
                AsOf::Time(_) if newest.horizon > lowest => lowest = newest.horizon,
                _ => break (hold, newest),
            }
        };
        let version = match at {
            AsOf::Version(version) if version > newest.version => return Err(not_yet(version, &newest)),
            AsOf::Version(version) if version < newest.horizon => return Err(self.inner.collected(at, &newest).await),
            AsOf::Version(version) => version,
            AsOf::Time(time_us) if time_us > self.options().clock.now_us().max(newest.time_us) => {
                return Err(in_the_future(time_us, &newest));
            }
            AsOf::Time(time_us) => match self.inner.version_at(time_us, &newest).await? {
                Some(version) => version,
                None => return Err(self.inner.collected(at, &newest).await),
            },
        };
        let pin = self.inner.pin_loaded(version, &newest).await?;
        drop(hold);
        pin.ok_or_else(|| Error::unavailable(format!("version {version} vanished while it was looked up")))
    }

    /// The last version of a time, of those that are not collected; `None` of a time before them.
    pub async fn version_at(&self, time_us: i64) -> Result<Option<Version>> {
        let newest = self.inner.refresh().await?;
        self.inner.version_at(time_us, &newest).await
    }
}

impl Inner {
    /// The snapshot of a version that is held, pinned. `None` where it is not there.
    pub(super) async fn pin_loaded(
        self: &Arc<Self>,
        version: Version,
        newest: &Arc<Snapshot>,
    ) -> Result<Option<PinnedSnapshot>> {
        let snapshot = if version == newest.version {
            Arc::clone(newest)
        } else if let Some(kept) = self.past.get(&version) {
            kept
        } else {
            let loaded = load::load(&self.store, version).await?.filter(|loaded| loaded.snapshot.version == version);
            let Some(loaded) = loaded else { return Ok(None) };
            let snapshot = Arc::new(loaded.snapshot);
            self.past.insert(version, Arc::clone(&snapshot));
            snapshot
        };
        Ok(Some(PinnedSnapshot::of(self, snapshot)))
    }

    /// The last version from the horizon to `newest` whose time is not after `time_us`: times never decrease.
    pub(super) async fn version_at(&self, time_us: i64, newest: &Snapshot) -> Result<Option<Version>> {
        if newest.time_us <= time_us {
            return Ok(Some(newest.version));
        }
        // Of `below` it is known that its time is not after, of `above` that it is.
        let (mut below, mut above) = (None, newest.version.0);
        let mut from = newest.horizon.0;
        while from < above {
            let middle = from + (above - from) / 2;
            match self.time_of(Version(middle)).await? <= time_us {
                true => (below, from) = (Some(Version(middle)), middle + 1),
                false => above = middle,
            }
        }
        Ok(below)
    }

    async fn time_of(&self, version: Version) -> Result<i64> {
        let entry = load::read_entry(&self.store, version).await?;
        let gone = || {
            let error = Error::unavailable(format!("version {version} was collected while it was looked up"));
            error.with_hint("run the statement again")
        };
        entry.map(|entry| entry.time_us).ok_or_else(gone)
    }

    /// The error of a version below the horizon.
    async fn collected(&self, at: AsOf, newest: &Snapshot) -> Error {
        let horizon = newest.horizon;
        let since = match self.time_of(horizon).await {
            Ok(time_us) => format!(" of {}", shown(time_us)),
            Err(_) => String::new(),
        };
        let there = format!("{horizon}{since} is the oldest that is there");
        match at {
            AsOf::Time(time_us) if horizon == Version(0) => Error::invalid(
                SqlState::INVALID_PARAMETER,
                format!("the warehouse was made after {}: version {there}", shown(time_us)),
            ),
            AsOf::Time(time_us) => too_old(format!("the version of {} was collected: {there}", shown(time_us))),
            AsOf::Version(version) => too_old(format!("version {version} was collected: {there}")),
        }
    }
}

fn too_old(what: String) -> Error {
    Error::invalid(SqlState::SNAPSHOT_TOO_OLD, format!("snapshot too old: {what}"))
        .with_hint("keep versions for longer, or keep one as a clone: CREATE TABLE … CLONE … FOR SYSTEM_TIME AS OF …")
}

fn not_yet(version: Version, newest: &Snapshot) -> Error {
    let newest = format!("the newest is {} of {}", newest.version, shown(newest.time_us));
    Error::invalid(SqlState::INVALID_PARAMETER, format!("version {version} is not there yet: {newest}"))
        .with_hint("SHOW HISTORY of a table lists versions; a time is written as TIMESTAMP '…'")
}

fn in_the_future(time_us: i64, newest: &Snapshot) -> Error {
    let newest = format!("the newest version is {} of {}", newest.version, shown(newest.time_us));
    Error::invalid(SqlState::INVALID_PARAMETER, format!("{} is in the future: {newest}", shown(time_us)))
        .with_hint("a TIMESTAMP without zone is taken for one of the session's time zone")
}

fn shown(time_us: i64) -> String {
    match chrono::DateTime::from_timestamp_micros(time_us) {
        Some(time) => format!("{} UTC", time.format("%Y-%m-%d %H:%M:%S%.6f")),
        None => format!("microsecond {time_us}"),
    }
}
