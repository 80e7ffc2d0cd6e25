//! Reading ranges of immutable objects: mapped files where the store is a local directory, range requests elsewhere.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;
use quick_cache::sync::Cache;

use crate::catalog::model::ObjectId;
use crate::common::{Error, Result, SqlState};

/// Mapped files kept open.
const MAX_MAPPED: usize = 4096;

/// Reads ranges of objects. Objects never change, so what was read may be kept.
pub struct BlockStore {
    store: Arc<dyn ObjectStore>,
    /// Where the objects are files, the directory they stand in.
    local: Option<PathBuf>,
    mapped: Cache<ObjectId, Bytes>,
    bytes_read: AtomicU64,
}

impl BlockStore {
    /// `local` is the directory whose files are the store's objects, if there is one.
    pub fn new(store: Arc<dyn ObjectStore>, local: Option<PathBuf>) -> Self {
        BlockStore { store, local, mapped: Cache::new(MAX_MAPPED), bytes_read: AtomicU64::new(0) }
    }

    /// Whether reading costs no round trip.
    pub fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// Bytes handed out so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The bytes of each range of `object`, in the order given.
    ///
    /// Errors: Conflict (snapshot too old) when the object is gone, Corrupt when it is too short, Unavailable when the
    /// store does not answer.
    pub async fn read(&self, object: ObjectId, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.bytes_read.fetch_add(ranges.iter().map(|r| r.end - r.start).sum(), Ordering::Relaxed);
        if self.local.is_some() {
            let mapped = self.map(object)?;
            return ranges.iter().map(|range| cut(&mapped, object, range)).collect();
        }
        let path = Path::from(object.to_string());
        let answers = self.store.get_ranges(&path, ranges).await.map_err(|e| read_error(e, object))?;
        for (bytes, range) in answers.iter().zip(ranges) {
            if bytes.len() as u64 != range.end - range.start {
                return Err(short(object, range));
            }
        }
        Ok(answers)
    }

    fn map(&self, object: ObjectId) -> Result<Bytes> {
        if let Some(mapped) = self.mapped.get(&object) {
            return Ok(mapped);
        }
        let Some(root) = &self.local else { return Err(Error::internal("no local directory to map from")) };
        let path = root.join(object.to_string());
        let io = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::NotFound => gone(object),
            _ => Error::unavailable(format!("cannot read {}: {e}", path.display())).with_source(e),
        };
        let file = std::fs::File::open(&path).map_err(io)?;
        // SAFETY: objects are written once, under a temporary name, and only unlinked afterwards; a mapping outlives
        // an unlink. Nothing in Blueshift writes to or truncates a named object.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        let bytes = Bytes::from_owner(map);
        self.mapped.insert(object, bytes.clone());
        Ok(bytes)
    }
}

impl fmt::Debug for BlockStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockStore").field("store", &self.store).field("local", &self.local).finish_non_exhaustive()
    }
}

fn cut(bytes: &Bytes, object: ObjectId, range: &Range<u64>) -> Result<Bytes> {
    if range.start > range.end || range.end > bytes.len() as u64 {
        return Err(short(object, range));
    }
    Ok(bytes.slice(range.start as usize..range.end as usize))
}

fn short(object: ObjectId, range: &Range<u64>) -> Error {
    Error::corrupt(range.start, format!("the object ends before byte {}", range.end)).in_object(object, 0)
}

fn read_error(e: object_store::Error, object: ObjectId) -> Error {
    match e {
        object_store::Error::NotFound { .. } => gone(object),
        other => Error::unavailable(format!("cannot read object {object}: {other}")).with_source(other),
    }
}

fn gone(object: ObjectId) -> Error {
    Error::conflict(format!("snapshot too old: object {object} was collected"))
        .with_state(SqlState::SNAPSHOT_TOO_OLD)
        .with_hint("run the statement again; it will read the present version")
}
