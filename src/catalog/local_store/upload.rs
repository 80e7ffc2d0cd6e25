//! An object that is written in parts.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use parking_lot::Mutex;

use super::layer::WriteFile;
use super::{Shared, SyncSite, e_tag, refused};

/// Parts are written at once and in order, whatever order they are awaited in; nothing is seen before `complete`.
pub(super) struct Upload {
    shared: Arc<Shared>,
    location: Path,
    target: PathBuf,
    temporary: PathBuf,
    file: Arc<Mutex<Parts>>,
    given: u64,
}

struct Parts {
    file: Option<Box<dyn WriteFile>>,
    /// The next part's number; others wait for it.
    next: u64,
    early: std::collections::BTreeMap<u64, PutPayload>,
}

impl Upload {
    pub(super) fn new(
        shared: Arc<Shared>,
        location: Path,
        target: PathBuf,
        temporary: PathBuf,
        file: Box<dyn WriteFile>,
    ) -> Self {
        let parts = Parts { file: Some(file), next: 0, early: Default::default() };
        Upload { shared, location, target, temporary, file: Arc::new(Mutex::new(parts)), given: 0 }
    }
}

impl Parts {
    fn write(&mut self, number: u64, part: PutPayload) -> io::Result<()> {
        self.early.insert(number, part);
        while let Some(part) = self.early.remove(&self.next) {
            let file = self.file.as_mut().ok_or_else(|| io::Error::other("the upload has ended"))?;
            for bytes in &part {
                if let Err(e) = file.write(bytes) {
                    self.file = None;
                    return Err(e);
                }
            }
            self.next += 1;
        }
        Ok(())
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("location", &self.location).finish_non_exhaustive()
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (shared, location, file, number) =
            (self.shared.clone(), self.location.clone(), self.file.clone(), self.given);
        self.given += 1;
        Box::pin(async move {
            let write = move || file.lock().write(number, data);
            shared.run(write).await.map_err(|e| refused(&location, e))
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (shared, file, given) = (self.shared.clone(), self.file.clone(), self.given);
        let (temporary, target) = (self.temporary.clone(), self.target.clone());
        let finish = move || {
            let mut parts = file.lock();
            let complete = parts.next == given;
            let mut file = match parts.file.take() {
                Some(file) if complete => file,
                _ => return Err(io::Error::other("a part of the upload failed or was not awaited")),
            };
            shared.sync_content(&mut *file, SyncSite::UploadContent)?;
            drop(file);
            shared.publish(&temporary, &target, true)?;
            shared.files.info(&target)
        };
        let info = self.shared.run(finish).await.map_err(|e| refused(&self.location, e))?;
        Ok(PutResult { e_tag: Some(e_tag(&info)), version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        self.file.lock().file = None;
        let (shared, temporary) = (self.shared.clone(), self.temporary.clone());
        let unlink = move || match shared.files.unlink(&temporary) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        self.shared.run(unlink).await.map_err(|e| refused(&self.location, e))
    }
}

impl Drop for Upload {
    /// An upload that was neither completed nor aborted leaves its temporary file to the sweep of a later process.
    fn drop(&mut self) {
        self.file.lock().file = None;
    }
}
