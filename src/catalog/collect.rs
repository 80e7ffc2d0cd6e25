//! Collection: deleting what nobody can see.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use super::checkpoint::{self, PARALLEL};
use super::commit::Catalog;
use super::entry::{Action, MaintenanceLease};
use super::lease::Lease;
use super::load;
use super::model::{ObjectId, SegmentRef, Snapshot};
use super::paths;
use super::store::WarehouseStore;
use super::transaction::{Intent, Transaction};
use crate::common::{Error, ErrorKind, Result, UserId, Version};

/// What a collection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Snapshots below it may have lost objects.
    pub horizon: Version,
    pub data_objects: usize,
    pub log_entries: usize,
    pub checkpoint_objects: usize,
    pub leases: usize,
}

impl Catalog {
    /// Deletes what no snapshot from the horizon on needs.
    ///
    /// Guarantees:
    /// 1. the horizon is committed before anything is deleted, and is not above what any live lease needs;
    /// 2. a data object is deleted only if its transaction began before the horizon, and no snapshot from the horizon
    ///    to the horizon's own commit refers to it; later commits refer only to what those do, or to objects of
    ///    transactions that began at the horizon or after it;
    /// 3. log entries go only below the newest checkpoint that is not above the horizon, never entry 0, never one
    ///    with inline rows that guarantee 2 would keep; that checkpoint and its tables stay;
    /// 4. names that Blueshift does not give are not touched;
    /// 5. who said in a lease that it needs a past version, and found afterwards that the horizon has not passed it, keeps
    ///    it, even if the collector had read the leases before: it reads them again behind the horizon's commit, and sweeps
    ///    below the lowest version that they name instead.
    ///
    /// Conflict when another process is at it. Any error leaves the warehouse whole and the rest for the next time.
    pub async fn collect(&self) -> Result<Collected> {
        self.collect_up_to(None).await
    }

    /// The same of versions that are older than `keep`, or than any process of that long ago has asked by
    /// [`Catalog::ask_to_keep`]: the newest of them stays, which was the present one then. `None` where there is none below it,
    /// and nothing is done.
    pub async fn collect_older(&self, keep: Duration) -> Result<Option<Collected>> {
        self.ask_to_keep(keep).await?;
        let newest = self.refresh().await?;
        let now_us = self.options().clock.now_us();
        let asked = read_leases(self.store()).await?.into_iter().filter_map(|lease| lease.asked_us(now_us)).max();
        let keep_us = micros(keep).max(asked.unwrap_or(0));
        match self.inner.version_at(now_us.saturating_sub(keep_us), &newest).await? {
            Some(version) if version > newest.horizon => self.collect_up_to(Some(version)).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Has every process's [`Catalog::collect_older`] keep versions for so long, until that time from now has passed. By then what
    /// is there now is older than that, and nothing is left of the wish.
    pub async fn ask_to_keep(&self, keep: Duration) -> Result<()> {
        let wish = Lease::wish(self.options().clock.now_us(), micros(keep));
        self.store().replace(&paths::lease(wish.process), wish.encode()?).await
    }

    async fn collect_up_to(&self, most: Option<Version>) -> Result<Collected> {
        let newest = self.refresh().await?;
        let now_us = self.options().clock.now_us().max(newest.time_us);
        let leases = read_leases(self.store()).await?;
        let own_lease = self.inner.state.lock().lease;
        let live = leases.iter().filter(|lease| lease.until_us >= now_us && lease.process != own_lease);
        let (own, own_transaction) = self.inner.own_floor();
        let own = own.min(own_transaction.unwrap_or(own));
        let floor = live
            .map(Lease::floor)
            .min()
            .unwrap_or(own)
            .min(own)
            .min(most.unwrap_or(newest.version))
            .min(newest.version);

        let ttl_us = i64::try_from(self.options().lease_ttl.as_micros()).unwrap_or(i64::MAX);
        let holder = self.inner.process;
        let maintenance = MaintenanceLease { holder, until_us: now_us.saturating_add(ttl_us) };
        let mut transaction = Transaction::new(self.options().ids.next(), newest.version, UserId(0));
        transaction.push(Intent::SetMaintenance { holder, lease: Some(maintenance) });
        transaction.push(Intent::SetHorizon(floor));
        let committed = self.commit(transaction).await?;

        let collected = match self.needed_from(committed.snapshot.horizon, newest.horizon, now_us).await {
            Ok(from) => self.sweep(committed.snapshot.horizon, &from, committed.version, &leases, now_us).await,
            Err(e) => Err(e),
        };
        let mut release = Transaction::new(self.options().ids.next(), committed.version, UserId(0));
        release.push(Intent::SetMaintenance { holder, lease: None });
        match self.commit(release).await {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Unavailable => tracing::warn!("the maintenance lease is kept: {e}"),
            Err(e) => return Err(e),
        }
        collected
    }

    /// The versions up to the horizon that are still read, ascending, the horizon last. It has been moved from `before` to where
    /// it is: whoever looked up a past version meanwhile has seen it `before`.
    async fn needed_from(&self, horizon: Version, before: Version, now_us: i64) -> Result<Vec<Version>> {
        let leases = read_leases(self.store()).await?;
        let now_us = self.options().clock.now_us().max(now_us);
        let own_lease = self.inner.state.lock().lease;
        let live = leases.iter().filter(|lease| lease.until_us >= now_us && lease.process != own_lease);
        let floors = live.map(|lease| if lease.is_opening() { before } else { lease.floor() });
        let mut needed: Vec<Version> = floors.chain([self.inner.own_floor().0]).filter(|v| *v < horizon).collect();
        needed.sort_unstable();
        needed.dedup();
        needed.push(horizon);
        Ok(needed)
    }

    async fn sweep(
        &self,
        horizon: Version,
        needed: &[Version],
        last: Version,
        leases: &[Lease],
        now_us: i64,
    ) -> Result<Collected> {
        let store = self.store();
        let roots = store.checkpoints().await?;
        let mut from = horizon;
        let mut kept = None;
        for version in needed {
            match referenced(store, *version, last).await {
                // Of who slept longer than its lease, or has named what was gone already, there may be nothing to keep.
                Err(e) if e.kind() == ErrorKind::Unavailable && *version < horizon => {}
                found => {
                    (from, kept) = (*version, Some(found?));
                    break;
                }
            }
        }
        let referenced = kept.ok_or_else(|| Error::internal("a collection needs a horizon"))?;
        let kept_root = roots.iter().rev().find(|v| **v <= from).copied();

        let data = store.list(&paths::data_folder()).await?.into_iter().map(|o| o.location);
        let dead = |path: &Path| match paths::parse_data(path) {
            Some(id @ ObjectId::Data { start, .. }) => start < from && !referenced.contains(&id),
            _ => false,
        };
        let data: Vec<Path> = data.filter(dead).collect();

        let (mut log, mut checkpoints) = (Vec::new(), Vec::new());
        if let Some(kept) = kept_root {
            // Another process may have written it just now: what it replaces goes only once it is safe.
            store.make_durable(&paths::checkpoint_root(kept)).await?;
            let mut named = BTreeSet::new();
            for version in roots.iter().filter(|v| **v >= kept) {
                let root = checkpoint::read_root(store, *version).await?;
                named.extend(root.into_iter().flat_map(|r| r.tables));
            }
            for object in store.list_direct(&paths::log_folder()).await? {
                if let Some(version) = paths::parse_log_entry(&object.location)
                    && version > Version(0)
                    && version < kept
                    && !referenced.contains(&ObjectId::Log(version))
                {
                    log.push(object.location);
                }
            }
            checkpoints.extend(roots.iter().filter(|v| **v < kept).map(|v| paths::checkpoint_root(*v)));
            // Tables changed after the kept checkpoint may belong to one that is being written.
            for object in store.list_direct(&paths::checkpoint_table_folder()).await? {
                if let Some((table, changed)) = paths::parse_checkpoint_table(&object.location)
                    && changed <= kept
                    && !named.contains(&(table, changed))
                {
                    checkpoints.push(object.location);
                }
            }
        }
        let stale: Vec<Path> =
            leases.iter().filter(|lease| lease.is_stale(now_us)).map(|lease| paths::lease(lease.process)).collect();

        let collected = Collected {
            horizon,
            data_objects: data.len(),
            log_entries: log.len(),
            checkpoint_objects: checkpoints.len(),
            leases: stale.len(),
        };
        for paths in [data, checkpoints, log, stale] {
            let deletes = stream::iter(paths).map(|path| async move { store.delete(&path).await });
            deletes.buffer_unordered(PARALLEL).try_collect::<()>().await?;
        }
        Ok(collected)
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// Every lease there is.
async fn read_leases(store: &WarehouseStore) -> Result<Vec<Lease>> {
    let mut leases = Vec::new();
    for object in store.list(&paths::lease_folder()).await? {
        let Some(process) = paths::parse_lease(&object.location) else { continue };
        // Gone since it was listed: the process has closed.
        if let Some(bytes) = store.get(&object.location).await? {
            leases.push(Lease::decode(process, &bytes)?);
        }
    }
    Ok(leases)
}

/// The objects that any snapshot from `from` to `last` refers to.
async fn referenced(store: &WarehouseStore, from: Version, last: Version) -> Result<BTreeSet<ObjectId>> {
    let incomplete = || Error::unavailable("the log changed while it was read for collection");
    let loaded = load::load(store, from).await?.ok_or_else(incomplete)?;
    if loaded.snapshot.version != from {
        return Err(incomplete());
    }
    let mut objects = BTreeSet::new();
    add_snapshot(&loaded.snapshot, &mut objects);
    for version in (from.0 + 1..=last.0).map(Version) {
        let entry = load::read_entry(store, version).await?.ok_or_else(incomplete)?;
        for action in entry.transactions.iter().flat_map(|t| &t.actions) {
            match action {
                Action::AddSegments { segments, .. } => segments.iter().for_each(|s| add_segment(s, &mut objects)),
                Action::SetDeleteVectors { vectors, .. } => {
                    objects.extend(vectors.iter().flat_map(|(_, v)| v.map(|v| v.extent.object)));
                }
                Action::SetStatistics { statistics, .. } => drop(objects.insert(statistics.extent.object)),
                Action::Moved { positions, .. } => drop(objects.insert(positions.object)),
                _ => {}
            }
        }
    }
    Ok(objects)
}

fn add_snapshot(snapshot: &Snapshot, objects: &mut BTreeSet<ObjectId>) {
    for table in snapshot.tables.values() {
        table.segments.iter().for_each(|s| add_segment(s, objects));
        objects.extend(table.statistics.map(|s| s.extent.object));
        objects.extend(table.moves.iter().map(|m| m.positions.object));
    }
}

fn add_segment(segment: &SegmentRef, objects: &mut BTreeSet<ObjectId>) {
    objects.insert(segment.extent.object);
    objects.extend(segment.deleted.map(|d| d.extent.object));
}
