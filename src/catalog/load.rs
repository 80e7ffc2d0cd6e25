//! From stored objects to a snapshot: the newest checkpoint, then the entries after it until there is none.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};

use super::apply::{apply, apply_genesis};
use super::checkpoint::{self, Root};
use super::entry::Entry;
use super::model::Snapshot;
use super::paths;
use super::store::WarehouseStore;
use crate::common::{Error, ErrorKind, Result, TableId, Version};

/// A snapshot and the tables' objects that the newest checkpoint below it names.
#[derive(Debug)]
pub(super) struct Loaded {
    pub snapshot: Snapshot,
    pub checkpointed: BTreeMap<TableId, Version>,
}

/// Entries read ahead, at most.
const AHEAD: u64 = 32;

/// Reads a log entry; `None` when there is none.
pub(super) async fn read_entry(store: &WarehouseStore, version: Version) -> Result<Option<Entry>> {
    match store.get(&paths::log_entry(version)).await? {
        Some(bytes) => Entry::decode(version, &bytes).map(Some),
        None => Ok(None),
    }
}

/// Applies the entries after `snapshot`, up to `last` or until there is none. `ahead` of them are read at once, then
/// more. What was found is durable when this returns: somebody else may have written it a moment ago.
pub(super) async fn catch_up(
    store: &WarehouseStore,
    snapshot: &Snapshot,
    last: Version,
    mut ahead: u64,
) -> Result<Option<Snapshot>> {
    let mut newest: Option<Snapshot> = None;
    loop {
        let current = newest.as_ref().unwrap_or(snapshot);
        let from = current.version.0.saturating_add(1);
        let to = from.saturating_add(ahead - 1).min(last.0);
        let versions = (from..=to).map(Version);
        let mut entries = stream::iter(versions).map(|v| read_entry(store, v)).buffered(ahead as usize);
        let mut next: Option<Snapshot> = None;
        let mut ended = from > to;
        while let Some(entry) = entries.next().await {
            let Some(entry) = entry? else {
                ended = true;
                break;
            };
            let before = next.as_ref().or(newest.as_ref()).unwrap_or(snapshot);
            next = Some(apply(before, &entry).map_err(|e| e.in_object(paths::log_entry(entry.version), 0))?);
        }
        drop(entries);
        ended |= to == last.0;
        newest = next.or(newest);
        if ended {
            break;
        }
        ahead = (ahead * 4).min(AHEAD);
    }
    if let Some(newest) = &newest {
        store.make_durable(&paths::log_entry(newest.version)).await?;
    }
    Ok(newest)
}

/// The snapshot of `last`, or the newest before it. `None` when the warehouse's first entry does not exist.
///
/// A damaged checkpoint is passed over when the log still reaches its version without it.
pub(super) async fn load(store: &WarehouseStore, last: Version) -> Result<Option<Loaded>> {
    let mut needed = Version(0);
    let mut failure: Option<Error> = None;
    for version in store.checkpoints().await?.into_iter().rev().filter(|v| *v <= last) {
        needed = needed.max(version);
        match from_checkpoint(store, version).await {
            Ok(Some((root, snapshot))) => {
                let loaded = finish(store, snapshot, root.tables, last).await?;
                return enough(loaded, needed, failure).map(Some);
            }
            Ok(None) => {}
            Err(e) if e.kind() == ErrorKind::Corrupt => failure = failure.or(Some(e)),
            Err(e) => return Err(e),
        }
    }
    let Some(first) = read_entry(store, Version(0)).await? else { return Ok(None) };
    let genesis = apply_genesis(&first).map_err(|e| e.in_object(paths::log_entry(Version(0)), 0))?;
    let loaded = finish(store, genesis, BTreeMap::new(), last).await?;
    enough(loaded, needed, failure).map(Some)
}

async fn from_checkpoint(store: &WarehouseStore, version: Version) -> Result<Option<(Root, Snapshot)>> {
    let Some(root) = checkpoint::read_root(store, version).await? else { return Ok(None) };
    Ok(checkpoint::read_snapshot(store, &root).await?.map(|snapshot| (root, snapshot)))
}

async fn finish(
    store: &WarehouseStore,
    snapshot: Snapshot,
    checkpointed: BTreeMap<TableId, Version>,
    last: Version,
) -> Result<Loaded> {
    let newest = catch_up(store, &snapshot, last, AHEAD).await?;
    Ok(Loaded { snapshot: newest.unwrap_or(snapshot), checkpointed })
}

/// A snapshot older than a checkpoint that exists is not the warehouse's newest.
fn enough(loaded: Loaded, needed: Version, failure: Option<Error>) -> Result<Loaded> {
    if loaded.snapshot.version >= needed {
        return Ok(loaded);
    }
    Err(failure.unwrap_or_else(|| {
        Error::unavailable(format!("checkpoint {needed} vanished while it was read")).with_hint("open it again")
    }))
}
