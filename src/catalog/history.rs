//! What versions did to a table, as the log tells it.

use futures::{StreamExt, stream};

use super::apply::{apply_action, begin};
use super::commit::Catalog;
use super::entry::{Action, TransactionRecord};
use super::load;
use super::model::{Snapshot, TableState};
use super::paths;
use super::view::CommentOn;
use crate::common::{CommitId, Error, Result, TableId, UserId, Version};

/// A transaction that has changed a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub version: Version,
    /// Microseconds since 1970, UTC.
    pub time_us: i64,
    pub author: UserId,
    pub transaction: CommitId,
    pub what: &'static str,
    pub rows_added: u64,
    pub rows_removed: u64,
}

/// Entries read ahead.
const AHEAD: usize = 32;

impl Catalog {
    /// The changes of a table up to the version `last`, oldest first, as far back as the log is kept.
    pub async fn history(&self, table: TableId, last: Version) -> Result<Vec<Change>> {
        let store = self.store();
        let gone =
            || Error::unavailable("the log was collected while it was read").with_hint("run the statement again");
        let objects = store.list_direct(&paths::log_folder()).await?;
        let mut there: Vec<Version> = objects.iter().filter_map(|o| paths::parse_log_entry(&o.location)).collect();
        there.sort_unstable();
        there.retain(|version| *version <= last);
        // Below, single entries may be kept for the rows in them.
        let whole = there.chunk_by(|a, b| a.next() == *b).last().and_then(|run| run.first()).copied();
        let first = whole.ok_or_else(gone)?;
        let loaded = load::load(store, first).await?.filter(|loaded| loaded.snapshot.version == first);
        let loaded = match loaded {
            Some(loaded) => loaded,
            None => {
                let horizon = self.refresh().await?.horizon;
                load::load(store, horizon).await?.filter(|l| l.snapshot.version == horizon).ok_or_else(gone)?
            }
        };
        let mut snapshot = loaded.snapshot;
        let mut changes = Vec::new();
        let versions = (snapshot.version.0 + 1..=last.0).map(Version);
        let mut entries = stream::iter(versions).map(|version| load::read_entry(store, version)).buffered(AHEAD);
        while let Some(entry) = entries.next().await {
            let entry = entry?.ok_or_else(gone)?;
            begin(&mut snapshot, entry.version, entry.id, entry.time_us);
            for transaction in &entry.transactions {
                let before = snapshot.table(table).cloned();
                for action in &transaction.actions {
                    apply_action(&mut snapshot, action).map_err(|e| e.in_object(paths::log_entry(entry.version), 0))?;
                }
                changes.extend(change(transaction, table, before.as_deref(), &snapshot));
            }
        }
        Ok(changes)
    }
}

/// What a transaction has done to a table, if anything.
fn change(of: &TransactionRecord, table: TableId, before: Option<&TableState>, after: &Snapshot) -> Option<Change> {
    let (mut created, mut altered, mut moved, mut told, mut commented) = (false, false, false, false, false);
    let (mut cloned, mut vectors, mut emptied) = (false, false, false);
    let mut rows_added = 0;
    for action in &of.actions {
        match action {
            Action::CreateTable(def) if def.id == table => created = true,
            Action::AlterTable(def) if def.id == table => altered = true,
            Action::Moved { table: of, .. } if *of == table => moved = true,
            Action::SetStatistics { table: of, .. } if *of == table => told = true,
            Action::SetComment(CommentOn::Relation(of) | CommentOn::Column(of, _), _) if *of == table => {
                commented = true
            }
            Action::AddSegments { table: of, segments, data_change: true } if *of == table => {
                cloned |= created && segments.iter().any(|s| s.added < after.version);
                rows_added += segments.iter().map(|s| u64::from(s.rows - s.deleted.map_or(0, |d| d.rows))).sum::<u64>();
            }
            Action::SetDeleteVectors { table: of, data_change: true, .. } if *of == table => vectors = true,
            Action::RemoveSegments { table: of, data_change: true, .. } if *of == table => emptied = true,
            _ => {}
        }
    }
    let live = |state: Option<&TableState>| state.map_or(0, TableState::live_rows);
    let now = after.table(table).map(|state| state.as_ref());
    let rows_removed = (live(before) + rows_added).saturating_sub(live(now));
    let what = match () {
        _ if cloned => "clone",
        _ if created => "create",
        _ if (vectors || emptied) && rows_added > 0 => "update",
        _ if emptied && !vectors && now.is_some_and(|state| state.segments.is_empty()) => "truncate",
        _ if vectors || emptied => "delete",
        _ if rows_added > 0 => "insert",
        _ if altered => "alter",
        _ if moved => "vacuum",
        _ if told => "analyze",
        _ if commented => "comment",
        _ => return None,
    };
    let (version, time_us) = (after.version, after.time_us);
    Some(Change { version, time_us, author: of.author, transaction: of.commit, what, rows_added, rows_removed })
}
