//! Where objects stand. The only place that builds or reads an object's path.
//!
//! ```text
//! _log/<version, 20 digits>                              log entries; entry 0 marks a directory as a warehouse
//! _log/checkpoint/<version, 20 digits>                   checkpoint roots
//! _log/checkpoint/table/<id, 8 hex>-<version, 20 digits> a table as the version that last changed it left it
//! _lease/<process, 32 hex>                               what a process still reads
//! data/<start, 16 hex>-<transaction, 32 hex>-<sequence, at least 4 hex>
//! _backup/<version, 20 digits>                           backups (in a place of backups, which is no warehouse)
//! _backup/table/<id, 8 hex>-<version, 20 digits>         a table as that version left it
//! _sys/...                                               operational logs, outside the version chain
//! _tmp/...                                               files being written (local store only)
//! ```

use object_store::path::Path;

use super::model::ObjectId;
use crate::common::{CommitId, TableId, Version};

/// The local store's directory for files being written; they are never listed.
pub const TEMPORARY: &str = "_tmp";
const LOG: &str = "_log";
const CHECKPOINT: &str = "_log/checkpoint";
const CHECKPOINT_TABLE: &str = "_log/checkpoint/table";
const LEASE: &str = "_lease";
const DATA: &str = "data";
const SYS: &str = "_sys";
const BACKUP: &str = "_backup";
const BACKUP_TABLE: &str = "_backup/table";

/// The folder of log entries (and, below it, checkpoints).
pub fn log_folder() -> Path {
    Path::from(LOG)
}

/// The log entry of a version.
pub fn log_entry(version: Version) -> Path {
    Path::from(format!("{LOG}/{:020}", version.0))
}

/// The version whose log entry stands at `path`.
pub fn parse_log_entry(path: &Path) -> Option<Version> {
    digits(path.as_ref().strip_prefix(LOG)?.strip_prefix('/')?)
}

/// The folder of checkpoint roots.
pub fn checkpoint_folder() -> Path {
    Path::from(CHECKPOINT)
}

/// The checkpoint root of a version.
pub fn checkpoint_root(version: Version) -> Path {
    Path::from(format!("{CHECKPOINT}/{:020}", version.0))
}

/// The version whose checkpoint root stands at `path`.
pub fn parse_checkpoint_root(path: &Path) -> Option<Version> {
    digits(path.as_ref().strip_prefix(CHECKPOINT)?.strip_prefix('/')?)
}

/// The folder of tables in checkpoints.
pub fn checkpoint_table_folder() -> Path {
    Path::from(CHECKPOINT_TABLE)
}

/// A table as `changed` left it. The name determines the content: two processes that write it write the same.
pub fn checkpoint_table(table: TableId, changed: Version) -> Path {
    Path::from(format!("{CHECKPOINT_TABLE}/{:08x}-{:020}", table.0, changed.0))
}

/// The inverse of [`checkpoint_table`].
pub fn parse_checkpoint_table(path: &Path) -> Option<(TableId, Version)> {
    let name = path.as_ref().strip_prefix(CHECKPOINT_TABLE)?.strip_prefix('/')?;
    let (table, changed) = name.split_once('-')?;
    Some((TableId(u32::try_from(hex(table, 8)?).ok()?), digits(changed)?))
}

/// The folder of leases.
pub fn lease_folder() -> Path {
    Path::from(LEASE)
}

/// A process's lease.
pub fn lease(process: CommitId) -> Path {
    Path::from(format!("{LEASE}/{process}"))
}

/// The process whose lease stands at `path`.
pub fn parse_lease(path: &Path) -> Option<CommitId> {
    hex(path.as_ref().strip_prefix(LEASE)?.strip_prefix('/')?, 32).map(CommitId)
}

/// The folder of data objects.
pub fn data_folder() -> Path {
    Path::from(DATA)
}

/// Where an object's bytes stand.
pub fn object(id: &ObjectId) -> Path {
    Path::from(id.to_string())
}

/// The data object at `path`; `None` for names that no transaction gives.
pub fn parse_data(path: &Path) -> Option<ObjectId> {
    let name = path.as_ref().strip_prefix(DATA)?.strip_prefix('/')?;
    let mut parts = name.split('-');
    let start = Version(u64::try_from(hex(parts.next()?, 16)?).ok()?);
    let txn = CommitId(hex(parts.next()?, 32)?);
    let sequence = parts.next()?;
    let sequence = u32::try_from(hex(sequence, sequence.len())?).ok()?;
    let id = ObjectId::Data { start, txn, sequence };
    (parts.next().is_none() && id.to_string() == path.as_ref()).then_some(id)
}

/// The folder of backups.
pub fn backup_folder() -> Path {
    Path::from(BACKUP)
}

/// The backup of a version.
pub fn backup(version: Version) -> Path {
    Path::from(format!("{BACKUP}/{:020}", version.0))
}

/// The version whose backup stands at `path`.
pub fn parse_backup(path: &Path) -> Option<Version> {
    digits(path.as_ref().strip_prefix(BACKUP)?.strip_prefix('/')?)
}

/// A table as `changed` left it, in a place of backups.
pub fn backup_table(table: TableId, changed: Version) -> Path {
    Path::from(format!("{BACKUP_TABLE}/{:08x}-{:020}", table.0, changed.0))
}

/// An operational log's object: `_sys/<log>/<name>`.
pub fn system_log(log: &str, name: &str) -> Path {
    Path::from(SYS).join(log).join(name)
}

/// The folder of an operational log.
pub fn system_log_folder(log: &str) -> Path {
    Path::from(SYS).join(log)
}

/// Whether a file in `_tmp` has a name that the local store gives.
pub fn is_temporary(name: &str) -> bool {
    hex(name, 32).is_some()
}

fn digits(name: &str) -> Option<Version> {
    (name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit())).then(|| name.parse().ok().map(Version))?
}

fn hex(name: &str, len: usize) -> Option<u128> {
    let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (name.len() == len && !name.is_empty() && name.bytes().all(lower)).then(|| u128::from_str_radix(name, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_read_as_it_was_built() {
        let v = Version(u64::MAX);
        assert_eq!(parse_log_entry(&log_entry(v)), Some(v));
        assert_eq!(parse_log_entry(&checkpoint_root(v)), None);
        assert_eq!(parse_checkpoint_root(&checkpoint_root(v)), Some(v));
        assert_eq!(parse_checkpoint_table(&checkpoint_table(TableId(7), v)), Some((TableId(7), v)));
        assert_eq!(parse_lease(&lease(CommitId(5))), Some(CommitId(5)));
        for sequence in [0, 1, 0xffff, 0x1_0000, u32::MAX] {
            let id = ObjectId::Data { start: Version(9), txn: CommitId(u128::MAX), sequence };
            assert_eq!(parse_data(&object(&id)), Some(id));
        }
        for other in ["data/x", "data/00", "data/-0-0", "data", "data/0000000000000001-1-1", "_log/1"] {
            assert_eq!(parse_data(&Path::from(other)), None, "{other}");
        }
        assert_eq!(object(&ObjectId::Log(v)), log_entry(v));
        assert!(is_temporary(&CommitId(7).to_string()));
        assert!(!is_temporary("notes.txt") && !is_temporary(&"0".repeat(31)) && !is_temporary(&"A".repeat(32)));
    }
}
