//! A store that asks before each call of another: what the faulty, the slow and the scheduled store have in common.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// A call about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Put,
    Get,
    List,
    Delete,
}

/// What is done around the calls of a store.
#[async_trait]
pub trait StoreWrapper: fmt::Debug + Send + Sync + 'static {
    fn inner(&self) -> &Arc<dyn ObjectStore>;

    /// Before every call; an error takes the call's place.
    async fn before(&self, call: Call, location: &Path) -> Result<()>;

    /// A put, after `before`.
    async fn put(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner().put_opts(location, payload, opts).await
    }
}

/// The object store that a wrapper makes.
#[derive(Debug)]
pub struct Wrapped<W>(pub Arc<W>);

impl<W: StoreWrapper> fmt::Display for Wrapped<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wrapped {}", self.0.inner())
    }
}

#[async_trait]
impl<W: StoreWrapper> ObjectStore for Wrapped<W> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.0.before(Call::Put, location).await?;
        self.0.put(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.before(Call::Put, location).await?;
        self.0.inner().put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.before(Call::Get, location).await?;
        self.0.inner().get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let wrapper = self.0.clone();
        let delete = move |location: Result<Path>| {
            let wrapper = wrapper.clone();
            async move {
                let location = location?;
                wrapper.before(Call::Delete, &location).await?;
                wrapper.inner().delete(&location).await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let wrapper = self.0.clone();
        let prefix = prefix.cloned();
        let listed = async move {
            match wrapper.before(Call::List, prefix.as_ref().unwrap_or(&Path::default())).await {
                Ok(()) => wrapper.inner().list(prefix.as_ref()),
                Err(e) => stream::iter([Err(e)]).boxed(),
            }
        };
        stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.before(Call::List, prefix.unwrap_or(&Path::default())).await?;
        self.0.inner().list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.before(Call::Put, to).await?;
        self.0.inner().copy_opts(from, to, options).await
    }
}

/// A store whose every call takes a while more.
#[derive(Debug)]
pub struct LatencyStore {
    inner: Arc<dyn ObjectStore>,
    latency: Duration,
}

impl LatencyStore {
    pub fn over(inner: Arc<dyn ObjectStore>, latency: Duration) -> Arc<dyn ObjectStore> {
        Arc::new(Wrapped(Arc::new(LatencyStore { inner, latency })))
    }
}

#[async_trait]
impl StoreWrapper for LatencyStore {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn before(&self, _call: Call, _location: &Path) -> Result<()> {
        tokio::time::sleep(self.latency).await;
        Ok(())
    }
}
