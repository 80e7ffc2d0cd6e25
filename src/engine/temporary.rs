//! Temporary tables: a private warehouse of the session, in a directory that is gone with it.
//!
//! It has the slices, the geometry and the hash of the session's warehouse, so that joins with permanent tables move no
//! more than joins among those. Nothing of it is synced: it never outlives the process. Why it is a warehouse of its
//! own: `src/docs/notes/2026-11-21-temporary-tables.md`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::SpillFile;
use object_store::local::LocalFileSystem;

use super::error::from_datafusion;
use super::warehouse::Warehouse;
use crate::catalog::{CatalogOptions, WarehouseStore};
use crate::common::{CommitId, Error, Result};

/// A directory that is removed with the last handle of the warehouse in it.
pub(super) struct Scratch {
    path: PathBuf,
    /// Keeps the directory around it, which DataFusion removes in the end.
    _around: Arc<dyn SpillFile>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!("temporary tables stay at {}: {e}", self.path.display());
        }
    }
}

/// Makes the private warehouse of a session of `of`, with one schema.
///
/// Errors: Unavailable when DataFusion may not write temporary files, or the disk refuses.
pub(super) async fn open(of: &Warehouse, schema: &str) -> Result<Warehouse> {
    let around = of.inner.runtime.disk_manager.create_tmp_file("temporary tables").map_err(from_datafusion)?;
    let folder = around.path().and_then(|path| path.parent()).ok_or_else(|| {
        Error::unavailable("temporary tables need a local directory for temporary files")
            .with_hint("give the runtime's disk manager directories")
    })?;
    let path = folder.join(format!("tables-{}", CommitId::random()));
    let failed = |e: &dyn std::fmt::Display| Error::unavailable(format!("no room for temporary tables: {e}"));
    std::fs::create_dir(&path).map_err(|e| failed(&e))?;
    let scratch = Scratch { path: path.clone(), _around: around };
    let store = LocalFileSystem::new_with_prefix(&path).map_err(|e| failed(&e))?;
    // Nobody else knows the place: there is nothing to renew, and nobody opens it again.
    let options = CatalogOptions {
        background: false,
        checkpoint_every: 0,
        lease_ttl: Duration::from_secs(100 * 365 * 24 * 3600),
        ..of.inner.catalog.options().clone()
    };
    let builder = Warehouse::builder().store(WarehouseStore::new(Arc::new(store))).catalog_options(options);
    builder.private(of, schema, path, scratch).await
}
