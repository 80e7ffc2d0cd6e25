//! What the catalog asks of an object store, and what an object store does not promise by itself.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::frame;
use super::local_store::LocalStore;
use super::model::Extent;
use super::paths;
use super::refusal::reason;
use crate::common::{Error, ErrorKind, Result, Version};

/// Makes durable what another process put, and perhaps has not made durable itself yet.
///
/// Needed where an object can be seen before it is safe, as in a directory that has a name but was not synced.
#[async_trait]
pub trait MakeDurable: Debug + Send + Sync {
    /// Makes the place ready to be written. Called once it is known to hold a warehouse, or nothing.
    async fn prepare(&self) -> object_store::Result<()> {
        Ok(())
    }

    /// Returns once the object at `location`, and its name, survive a loss of power.
    async fn make_durable(&self, location: &Path) -> object_store::Result<()>;
}

/// The store of one warehouse: paths start at the warehouse.
///
/// What it requires of the objects' store:
/// 1. a put is seen whole or not at all, and an acknowledged one by every later get and list;
/// 2. of several puts with [`PutMode::Create`] on one name exactly one succeeds;
/// 3. an acknowledged put survives; one that is seen but not acknowledged survives once the hook says so.
#[derive(Debug, Clone)]
pub struct WarehouseStore {
    objects: Arc<dyn ObjectStore>,
    hook: Option<Arc<dyn MakeDurable>>,
}

/// Objects of the catalog are smaller; what is larger is not one.
const MAX_OBJECT_BYTES: u64 = 2 * frame::MAX_PART_BYTES as u64 + 4096;

impl WarehouseStore {
    /// Over a store in which whatever is seen is durable: memory, S3. Wrap it in
    /// [`object_store::prefix::PrefixStore`] when the warehouse is a folder of it.
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        WarehouseStore { objects, hook: None }
    }

    /// Over a store whose seen objects become durable by `hook`.
    pub fn with_hook(objects: Arc<dyn ObjectStore>, hook: Arc<dyn MakeDurable>) -> Self {
        WarehouseStore { objects, hook: Some(hook) }
    }

    /// Over a directory.
    pub fn local(store: Arc<LocalStore>) -> Self {
        WarehouseStore { objects: store.clone(), hook: Some(store) }
    }

    /// In memory: for tests, and for warehouses that need not outlive the process.
    pub fn memory() -> Self {
        Self::new(Arc::new(object_store::memory::InMemory::new()))
    }

    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// The bytes of an extent. `None` when its object does not exist.
    pub async fn read(&self, extent: &Extent) -> Result<Option<Bytes>> {
        let path = paths::object(&extent.object);
        let range = extent.offset..extent.offset.saturating_add(extent.len);
        match self.objects.get_range(&path, range).await {
            Ok(bytes) if bytes.len() as u64 == extent.len => Ok(Some(bytes)),
            Ok(bytes) => {
                Err(Error::corrupt(bytes.len() as u64, "the object ends too early").in_object(path, extent.offset))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(refused("read", &path, e)),
        }
    }

    pub(super) async fn get(&self, path: &Path) -> Result<Option<Bytes>> {
        let result = match self.objects.get(path).await {
            Ok(result) if result.meta.size > MAX_OBJECT_BYTES => {
                return Err(Error::corrupt(0, format!("{} bytes are too many", result.meta.size)).in_object(path, 0));
            }
            Ok(result) => result.bytes().await,
            Err(e) => Err(e),
        };
        match result {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(refused("read", path, e)),
        }
    }

    /// Creates an object. `Ok(false)` when the name was taken; an error leaves open whether it was created.
    pub(super) async fn create(&self, path: &Path, bytes: Bytes) -> Result<bool> {
        let options = PutOptions { mode: PutMode::Create, ..Default::default() };
        match self.objects.put_opts(path, PutPayload::from_bytes(bytes), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
            Err(e) => Err(refused("write", path, e)),
        }
    }

    pub(super) async fn replace(&self, path: &Path, bytes: Bytes) -> Result<()> {
        match self.objects.put(path, PutPayload::from_bytes(bytes)).await {
            Ok(_) => Ok(()),
            Err(e) => Err(refused("write", path, e)),
        }
    }

    /// Whether it existed makes no difference.
    pub(super) async fn delete(&self, path: &Path) -> Result<()> {
        match self.objects.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(refused("delete", path, e)),
        }
    }

    /// Every object below a folder.
    pub(super) async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>> {
        self.objects.list(Some(folder)).try_collect().await.map_err(|e| refused("list", folder, e))
    }

    /// The objects directly in a folder.
    pub(super) async fn list_direct(&self, folder: &Path) -> Result<Vec<ObjectMeta>> {
        let listed = self.objects.list_with_delimiter(Some(folder)).await.map_err(|e| refused("list", folder, e))?;
        Ok(listed.objects)
    }

    /// Whether there is no object at all.
    pub(super) async fn is_empty(&self) -> Result<bool> {
        let root = Path::default();
        Ok(self.objects.list(None).try_next().await.map_err(|e| refused("list", &root, e))?.is_none())
    }

    /// What [`MakeDurable::prepare`] does.
    pub(super) async fn prepare(&self) -> Result<()> {
        let Some(hook) = &self.hook else { return Ok(()) };
        hook.prepare().await.map_err(|e| {
            // Which implementation of a store it was is nothing to whoever named the place.
            let reason = match &e {
                object_store::Error::Generic { source, .. } => source.to_string(),
                other => other.to_string(),
            };
            let error = Error::unavailable(format!("cannot use the place: {reason}")).with_source(e);
            error.with_hint("name a directory that exists or can be made, and written to")
        })
    }

    pub(super) async fn make_durable(&self, path: &Path) -> Result<()> {
        match &self.hook {
            Some(hook) => hook.make_durable(path).await.map_err(|e| refused("make durable", path, e)),
            None => Ok(()),
        }
    }

    /// The versions that have a checkpoint, ascending.
    pub(super) async fn checkpoints(&self) -> Result<Vec<Version>> {
        let objects = self.list_direct(&paths::checkpoint_folder()).await?;
        let mut versions: Vec<_> = objects.iter().filter_map(|o| paths::parse_checkpoint_root(&o.location)).collect();
        versions.sort_unstable();
        Ok(versions)
    }
}

/// A store's error as ours: Unavailable, whatever the store says, for the caller can only try again or repair it.
fn refused(what: &str, path: &Path, e: object_store::Error) -> Error {
    let kind = match &e {
        object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. } => ErrorKind::Unsupported,
        _ => ErrorKind::Unavailable,
    };
    let error = Error::new(kind, format!("cannot {what} \"{path}\": {}", reason(&e))).with_source(e);
    match kind {
        ErrorKind::Unavailable => error.with_hint("try again later; what was committed is safe"),
        _ => error,
    }
}
