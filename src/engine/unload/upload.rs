//! Bytes on their way to an object: in one request, or in parts.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, Result};
use tokio::task::JoinSet;

/// An object that does not exist before all of it is there.
///
/// (`object_store`'s own `BufWriter` forgets an upload whose last parts fail: its parts would stay, unseen, and be paid for.)
pub struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    part_bytes: usize,
    under_way: usize,
    waiting: BytesMut,
    /// Once there is more than one part.
    parts: Option<Parts>,
}

struct Parts {
    upload: Box<dyn MultipartUpload>,
    sent: JoinSet<Result<()>>,
}

impl Upload {
    /// In parts of so many bytes, of which so many are on their way at a time.
    pub fn new(store: Arc<dyn ObjectStore>, path: Path, part_bytes: usize, under_way: usize) -> Self {
        Upload { store, path, part_bytes, under_way, waiting: BytesMut::new(), parts: None }
    }

    /// Bytes of memory that it may take, of `sent` bytes in all.
    pub fn memory(&self, sent: u64) -> usize {
        let most = self.part_bytes * (1 + self.under_way);
        usize::try_from(sent).map_or(most, |sent| sent.min(most))
    }

    /// Takes bytes, and waits where enough are on their way.
    pub async fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.waiting.extend_from_slice(bytes);
        while self.waiting.len() > self.part_bytes {
            // Some stores want all parts but the last to be of one size.
            let part = self.waiting.split_to(self.part_bytes).freeze();
            self.send(part).await?;
        }
        Ok(())
    }

    async fn send(&mut self, part: Bytes) -> Result<()> {
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let upload = self.store.put_multipart(&self.path).await?;
                self.parts.insert(Parts { upload, sent: JoinSet::new() })
            }
        };
        while parts.sent.len() >= self.under_way {
            joined(parts.sent.join_next().await)?;
        }
        parts.sent.spawn(parts.upload.put_part(PutPayload::from_bytes(part)));
        Ok(())
    }

    /// Makes the object appear. After an error it is to be aborted all the same.
    pub async fn finish(&mut self) -> Result<()> {
        let last = self.waiting.split().freeze();
        if self.parts.is_none() {
            return self.store.put(&self.path, PutPayload::from_bytes(last)).await.map(drop);
        }
        if !last.is_empty() {
            self.send(last).await?;
        }
        let Some(parts) = &mut self.parts else { return Ok(()) };
        while let Some(sent) = parts.sent.join_next().await {
            joined(Some(sent))?;
        }
        parts.upload.complete().await?;
        self.parts = None;
        Ok(())
    }

    /// Gives the parts up that were sent.
    pub async fn abort(mut self) -> Result<()> {
        match self.parts.take() {
            Some(parts) => aborted(parts).await,
            None => Ok(()),
        }
    }
}

/// Parts are stopped first: one that arrives after the abort would stay.
async fn aborted(mut parts: Parts) -> Result<()> {
    parts.sent.shutdown().await;
    match parts.upload.abort().await {
        // It was complete, or aborted before: the answer was lost.
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        aborted => aborted,
    }
}

fn joined(sent: Option<std::result::Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    match sent {
        None => Ok(()),
        Some(Ok(sent)) => sent,
        Some(Err(e)) => Err(object_store::Error::JoinError { source: e }),
    }
}

impl Drop for Upload {
    /// For whoever is dropped in the middle.
    fn drop(&mut self) {
        if let (Some(parts), Ok(runtime)) = (self.parts.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                if let Err(e) = aborted(parts).await {
                    tracing::warn!("an upload is left unfinished: {e}");
                }
            });
        }
    }
}
