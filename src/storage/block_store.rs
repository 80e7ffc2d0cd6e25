//! Reading ranges of immutable objects: from mapped files of a local directory, else by requests.

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
use crate::common::{Error, Result};

/// Mapped files kept open.
const MAX_MAPPED: usize = 4096;

/// Reads ranges of objects. Objects never change, so what was read may be kept.
pub struct BlockStore {
    store: Arc<dyn ObjectStore>,
    /// Where the objects are files that are to be mapped, the directory they stand in.
    local: Option<PathBuf>,
    mapped: Cache<ObjectId, Bytes>,
    bytes_read: Arc<AtomicU64>,
}

impl BlockStore {
    /// `local` is the directory whose files are the store's objects, if there is one.
    pub fn new(store: Arc<dyn ObjectStore>, local: Option<PathBuf>) -> Self {
        BlockStore { store, local, mapped: Cache::new(MAX_MAPPED), bytes_read: Arc::default() }
    }

    /// The same objects, each read by requests.
    pub fn unmapped(&self) -> Self {
        BlockStore { bytes_read: Arc::clone(&self.bytes_read), ..BlockStore::new(Arc::clone(&self.store), None) }
    }

    /// Whether objects are mapped: reading costs no round trip.
    pub fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// Bytes handed out so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The bytes of each range of `object`, in the order given; `None` when there is no such object.
    ///
    /// Errors: Corrupt when the object is too short, Unavailable when the store does not answer.
    pub async fn read(&self, object: ObjectId, ranges: &[Range<u64>]) -> Result<Option<Vec<Bytes>>> {
        self.bytes_read.fetch_add(ranges.iter().map(|r| r.end - r.start).sum(), Ordering::Relaxed);
        if self.local.is_some() {
            let Some(mapped) = self.map(object)? else { return Ok(None) };
            return ranges.iter().map(|range| cut(&mapped, object, range)).collect::<Result<_>>().map(Some);
        }
        let path = Path::from(object.to_string());
        let answers = match self.store.get_ranges(&path, ranges).await {
            Ok(answers) => answers,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(Error::unavailable(format!("cannot read object {object}: {e}")).with_source(e)),
        };
        for (bytes, range) in answers.iter().zip(ranges) {
            if bytes.len() as u64 != range.end - range.start {
                return Err(short(object, range));
            }
        }
        Ok(Some(answers))
    }

    fn map(&self, object: ObjectId) -> Result<Option<Bytes>> {
        if let Some(mapped) = self.mapped.get(&object) {
            return Ok(Some(mapped));
        }
        let Some(root) = &self.local else { return Err(Error::internal("no local directory to map from")) };
        let path = root.join(object.to_string());
        let io = |e: std::io::Error| Error::unavailable(format!("cannot read {}: {e}", path.display())).with_source(e);
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io(e)),
        };
        // SAFETY: objects are written once, under a temporary name, and only unlinked afterwards; a mapping outlives
        // an unlink. Nothing in Blueshift writes to or truncates a named object.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        let bytes = Bytes::from_owner(map);
        self.mapped.insert(object, bytes.clone());
        Ok(Some(bytes))
    }
}

impl fmt::Debug for BlockStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockStore").field("store", &self.store).field("local", &self.local).finish_non_exhaustive()
    }
}

/// A range of an object's bytes. Corrupt when it is shorter.
pub(super) fn cut(bytes: &Bytes, object: ObjectId, range: &Range<u64>) -> Result<Bytes> {
    if range.start > range.end || range.end > bytes.len() as u64 {
        return Err(short(object, range));
    }
    Ok(bytes.slice(range.start as usize..range.end as usize))
}

fn short(object: ObjectId, range: &Range<u64>) -> Error {
    Error::corrupt(range.start, format!("the object ends before byte {}", range.end)).in_object(object, 0)
}
