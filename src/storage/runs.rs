//! Sorted runs that a load stores while memory is short.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use super::merge::object_of;
use crate::catalog::model::ObjectId;
use crate::catalog::paths;
use crate::catalog::transaction::NewSegment;

/// Stored runs that belong to nothing yet.
///
/// Guarantee: dropped with runs in it, as where a load fails or is cancelled, it deletes their objects. What a process leaves that
/// ends before it has done so, the collector finds.
#[derive(Debug)]
pub struct StoredRuns {
    runs: Vec<Vec<NewSegment>>,
    store: Arc<dyn ObjectStore>,
}

impl StoredRuns {
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        StoredRuns { runs: Vec::new(), store }
    }

    pub fn push(&mut self, run: Vec<NewSegment>) {
        self.runs.push(run);
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub fn runs(&self) -> &[Vec<NewSegment>] {
        &self.runs
    }

    pub fn segments(&self) -> impl Iterator<Item = &NewSegment> {
        self.runs.iter().flatten()
    }

    /// All runs; none is left. Whoever takes them answers for their objects.
    pub fn take(&mut self) -> Vec<Vec<NewSegment>> {
        std::mem::take(&mut self.runs)
    }

    /// The last run, to which segments are added; a new one where there is none.
    pub fn last_mut(&mut self) -> &mut Vec<NewSegment> {
        if self.runs.is_empty() {
            self.runs.push(Vec::new());
        }
        let last = self.runs.len() - 1;
        &mut self.runs[last]
    }

    /// All runs, to be read once more; none is left.
    pub fn split_off(&mut self) -> StoredRuns {
        StoredRuns { runs: self.take(), store: Arc::clone(&self.store) }
    }
}

impl Drop for StoredRuns {
    fn drop(&mut self) {
        let objects: BTreeSet<ObjectId> = self.segments().filter_map(object_of).collect();
        let (false, Ok(runtime)) = (objects.is_empty(), Handle::try_current()) else { return };
        let store = Arc::clone(&self.store);
        runtime.spawn(async move {
            for object in objects {
                if let Err(e) = store.delete(&paths::object(&object)).await
                    && !matches!(e, object_store::Error::NotFound { .. })
                {
                    tracing::warn!(%object, error = %e, "an object of a load that ended early was not deleted");
                }
            }
        });
    }
}
