//! A directory as an object store whose acknowledged writes survive a loss of power.
//!
//! `object_store`'s own local store syncs nothing, so that a commit it acknowledged can vanish. Here a put
//!
//! 1. writes a file in `_tmp/` and syncs it,
//! 2. makes the directories that its name needs, and syncs the parent of each that this process does not know to be
//!    durable, from the top down,
//! 3. links the file to its name (which fails when the name is taken) or, to overwrite, renames it,
//! 4. syncs the name's directory, and only then acknowledges.
//!
//! A crash between 3 and 4 leaves an object that is seen and may yet vanish; so does the same moment in another
//! process: [`MakeDurable`] is the remedy. A file in `_tmp/` is never seen as an object.
//!
//! Before its first change, and not before, a store makes the directory and `_tmp/`, and removes from there what it
//! would name itself and is some hours old; this only where a warehouse's first log entry says whose `_tmp/` it is.
//! A directory that was opened and found to be somebody else's is as it was.
//!
//! The file system has to have hard links, and `fsync` on directories (ext4, xfs, btrfs, apfs; not FAT).

pub mod layer;
mod upload;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use self::layer::{FileInfo, FileLayer, OsFiles, ReadFile, WriteFile};
use super::paths::{self, TEMPORARY};
use super::store::MakeDurable;
use crate::common::{Clock, CommitId, SystemClock, Version};

/// The places where the store syncs, so that a test can leave one out and see that it was needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncSite {
    /// The file in `_tmp/`, before it gets its name.
    PutContent,
    /// The same, of an object written in parts.
    UploadContent,
    /// The directory of the name.
    Name,
    /// The parent of a directory that was made.
    MadeDirectory,
    /// The parent of a directory that another process made.
    FoundDirectory,
    /// The parents of the root and those above it that were made.
    MadeRoot,
    /// The parent of a root that existed.
    FoundRoot,
    /// The content of an object that another process wrote. It was synced before it got its name, if that process
    /// was a Blueshift; a copying tool was not.
    ForeignContent,
    /// The directory of an object that another process wrote.
    ForeignName,
}

/// A directory as a durable object store. See the module's text.
///
/// Guarantees:
/// 1. those of [`super::WarehouseStore`]: a put is seen whole or not at all, creation is exclusive, what was
///    acknowledged survives;
/// 2. after a sync of names has failed, nothing is acknowledged any more: what the disk holds is then unknown.
///
/// Deletions are not synced: one that is undone by a loss of power is garbage again.
#[derive(Debug)]
pub struct LocalStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    files: Arc<dyn FileLayer>,
    /// Directories whose names, from the root down, are known to survive.
    durable: Mutex<HashSet<PathBuf>>,
    failed: AtomicBool,
    opened_us: i64,
    without: Option<SyncSite>,
}

/// A read of more than this comes in several pieces.
const PIECE_BYTES: u64 = 8 << 20;
/// Files in `_tmp/` that are older belong to nobody.
const TEMPORARY_AGE: Duration = Duration::from_secs(6 * 3600);

impl LocalStore {
    /// Opens a directory, which need not exist yet, and changes nothing.
    pub async fn open(root: impl Into<PathBuf>) -> crate::common::Result<Arc<LocalStore>> {
        Self::open_with(root, Arc::new(OsFiles), Arc::new(SystemClock)).await
    }

    /// Over another file system than the operating system's.
    pub async fn open_with(
        root: impl Into<PathBuf>,
        files: Arc<dyn FileLayer>,
        clock: Arc<dyn Clock>,
    ) -> crate::common::Result<Arc<LocalStore>> {
        Self::start(root.into(), files, clock, None).await
    }

    /// Leaves one sync out.
    #[cfg(any(test, feature = "testing"))]
    pub async fn open_without(
        root: impl Into<PathBuf>,
        files: Arc<dyn FileLayer>,
        clock: Arc<dyn Clock>,
        without: Option<SyncSite>,
    ) -> crate::common::Result<Arc<LocalStore>> {
        Self::start(root.into(), files, clock, without).await
    }

    async fn start(
        root: PathBuf,
        files: Arc<dyn FileLayer>,
        clock: Arc<dyn Clock>,
        without: Option<SyncSite>,
    ) -> crate::common::Result<Arc<LocalStore>> {
        let shared = Arc::new(Shared {
            root,
            files,
            durable: Mutex::default(),
            failed: AtomicBool::new(false),
            opened_us: clock.now_us(),
            without,
        });
        let opened = shared.clone();
        shared.run(move || opened.look()).await.map_err(|e| {
            crate::common::Error::unavailable(format!("cannot open the directory \"{}\": {e}", shared.root.display()))
                .with_source(e)
        })?;
        Ok(Arc::new(LocalStore { shared }))
    }

    /// The directory.
    pub fn root(&self) -> &FilePath {
        &self.shared.root
    }

    async fn run<T: Send + 'static>(
        &self,
        location: &Path,
        task: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = self.shared.clone();
        self.shared.run(move || task(&shared)).await.map_err(|e| refused(location, e))
    }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalStore({})", self.shared.root.display())
    }
}

impl Shared {
    async fn run<T: Send + 'static>(&self, task: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        if !self.files.blocks() {
            return task();
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(task).await.map_err(io::Error::other)?,
            Err(_) => task(),
        }
    }

    /// Whether there can be a store: fails when a file has the root's name, or the root cannot be looked at.
    fn look(&self) -> io::Result<()> {
        match self.files.info(&self.root) {
            Ok(info) if info.is_dir => Ok(()),
            Ok(_) => Err(io::Error::new(io::ErrorKind::NotADirectory, "a file has the name")),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Before any change: the root and `_tmp/` are there, swept and durable.
    fn prepare(&self) -> io::Result<()> {
        self.check_failed()?;
        if self.durable.lock().contains(&self.root) {
            return Ok(());
        }
        self.make_root()?;
        self.make_dir(&self.root.join(TEMPORARY))?;
        self.sweep()?;
        self.durable.lock().insert(self.root.clone());
        Ok(())
    }

    /// Makes the root, and those above it, and their names durable.
    fn make_root(&self) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut next = Some(self.root.as_path());
        while let Some(dir) = next.filter(|d| !d.as_os_str().is_empty()) {
            match self.files.info(dir) {
                Ok(info) if info.is_dir => break,
                Ok(_) => return Err(io::Error::new(io::ErrorKind::NotADirectory, "a file has the name")),
                Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(dir),
                Err(e) => return Err(e),
            }
            next = dir.parent();
        }
        // Whoever made the root may not have synced its name; its parent may be closed to us, then it was not us.
        let existed = missing.is_empty();
        for dir in missing.into_iter().rev() {
            self.make_dir(dir)?;
            self.sync_names(parent_of(dir), SyncSite::MadeRoot)?;
        }
        if existed && self.files.info(parent_of(&self.root)).is_ok() {
            match self.sync_dir(parent_of(&self.root), SyncSite::FoundRoot) {
                Err(e) if e.kind() != io::ErrorKind::PermissionDenied => {
                    self.note(&e);
                    return Err(e);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes what processes that are gone have left in `_tmp/`. Where there is no warehouse yet, it may be anybody's.
    fn sweep(&self) -> io::Result<()> {
        if self.files.info(&self.root.join(paths::log_entry(Version(0)).as_ref())).is_err() {
            return Ok(());
        }
        let temporary = self.root.join(TEMPORARY);
        let oldest = self.opened_us.saturating_sub(TEMPORARY_AGE.as_micros() as i64);
        for (name, info) in self.files.list(&temporary)? {
            if is_temporary(&name, &info) && info.modified_us < oldest {
                // Another process may be sweeping too.
                let _ = self.files.unlink(&temporary.join(name));
            }
        }
        Ok(())
    }

    fn path(&self, location: &Path) -> io::Result<PathBuf> {
        let mut path = self.root.clone();
        for (i, part) in location.as_ref().split('/').enumerate() {
            if part.is_empty() || part == "." || part == ".." || part.contains(std::path::MAIN_SEPARATOR) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name cannot be a file's"));
            }
            if i == 0 && part == TEMPORARY {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name is the store's own"));
            }
            path.push(part);
        }
        Ok(path)
    }

    /// A new file in `_tmp/`.
    fn temporary(&self) -> io::Result<(PathBuf, Box<dyn WriteFile>)> {
        self.prepare()?;
        let path = self.root.join(TEMPORARY).join(CommitId::random().to_string());
        let file = self.files.create(&path)?;
        Ok((path, file))
    }

    fn sync_content(&self, file: &mut dyn WriteFile, site: SyncSite) -> io::Result<()> {
        match self.without == Some(site) {
            true => Ok(()),
            false => file.sync(),
        }
    }

    /// Gives a finished file its name, durably, and removes its temporary one.
    fn publish(&self, temporary: &FilePath, target: &FilePath, overwrite: bool) -> io::Result<()> {
        let published = self.publish_inner(temporary, target, overwrite);
        if published.is_err() || !overwrite {
            // It is only garbage if it stays.
            let _ = self.files.unlink(temporary);
        }
        published
    }

    fn publish_inner(&self, temporary: &FilePath, target: &FilePath, overwrite: bool) -> io::Result<()> {
        self.check_failed()?;
        let dir = parent_of(target);
        self.ensure_dir(dir)?;
        match overwrite {
            true => self.files.rename(temporary, target)?,
            false => self.files.link(temporary, target)?,
        }
        self.sync_names(dir, SyncSite::Name)
    }

    /// Makes a directory and those above it, and their names durable.
    fn ensure_dir(&self, dir: &FilePath) -> io::Result<()> {
        if self.durable.lock().contains(dir) {
            return Ok(());
        }
        let parent = parent_of(dir);
        self.ensure_dir(parent)?;
        // Also when it exists: another process may have made it a moment ago.
        let site = match self.make_dir(dir)? {
            true => SyncSite::MadeDirectory,
            false => SyncSite::FoundDirectory,
        };
        self.sync_names(parent, site)?;
        self.durable.lock().insert(dir.to_path_buf());
        Ok(())
    }

    /// Whether it was this call that made the directory.
    fn make_dir(&self, dir: &FilePath) -> io::Result<bool> {
        match self.files.create_dir(dir) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn make_durable(&self, path: &FilePath) -> io::Result<()> {
        self.prepare()?;
        let dir = parent_of(path);
        self.ensure_dir(dir)?;
        if self.without != Some(SyncSite::ForeignContent) {
            self.files.sync_file(path).inspect_err(|e| self.note(e))?;
        }
        self.sync_names(dir, SyncSite::ForeignName)
    }

    /// A sync that fails may have lost what it was to save, and the next one would not tell.
    fn sync_names(&self, dir: &FilePath, site: SyncSite) -> io::Result<()> {
        self.sync_dir(dir, site).inspect_err(|e| self.note(e))
    }

    fn sync_dir(&self, dir: &FilePath, site: SyncSite) -> io::Result<()> {
        match self.without == Some(site) {
            true => Ok(()),
            false => self.files.sync_dir(dir),
        }
    }

    fn note(&self, e: &io::Error) {
        if e.kind() != io::ErrorKind::NotFound {
            self.failed.store(true, Ordering::Release);
        }
    }

    fn check_failed(&self) -> io::Result<()> {
        match self.failed.load(Ordering::Acquire) {
            true => Err(io::Error::other("a sync has failed; what the disk holds is unknown until it is opened again")),
            false => Ok(()),
        }
    }

    fn put(&self, target: &FilePath, payload: &PutPayload, overwrite: bool) -> io::Result<FileInfo> {
        let (temporary, mut file) = self.temporary()?;
        let written = payload
            .iter()
            .try_for_each(|part| file.write(part))
            .and_then(|()| self.sync_content(&mut *file, SyncSite::PutContent));
        drop(file);
        if let Err(e) = written {
            let _ = self.files.unlink(&temporary);
            return Err(e);
        }
        self.publish(&temporary, target, overwrite)?;
        self.files.info(target)
    }

    /// Every file below a directory, in the order of names.
    fn walk(&self, dir: &FilePath, location: &Path, found: &mut Vec<ObjectMeta>) -> io::Result<()> {
        for (name, info) in self.entries(dir, location)? {
            let inner = location.clone().join(name.as_str());
            match info.is_dir {
                true => self.walk(&dir.join(&name), &inner, found)?,
                false => found.push(meta(inner, &info)),
            }
        }
        Ok(())
    }

    fn entries(&self, dir: &FilePath, location: &Path) -> io::Result<Vec<(String, FileInfo)>> {
        let mut names = match self.files.list(dir) {
            Ok(names) => names,
            Err(e) if is_missing(&e) => Vec::new(),
            Err(e) => return Err(e),
        };
        // What no object can be called is no object.
        names.retain(|(name, _)| {
            let own = location.is_root() && name == TEMPORARY && self.holds_temporaries(&dir.join(name));
            Path::parse(name).is_ok_and(|p| p.as_ref() == name) && !own
        });
        names.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(names)
    }

    /// Whether a directory holds nothing but what a store writes to `_tmp/`. Another of that name is somebody else's: it
    /// is listed, so that its place does not look empty.
    fn holds_temporaries(&self, dir: &FilePath) -> bool {
        self.files.list(dir).is_ok_and(|names| names.iter().all(|(name, info)| is_temporary(name, info)))
    }

    fn folder(&self, prefix: Option<&Path>) -> io::Result<(PathBuf, Path)> {
        match prefix {
            Some(prefix) if !prefix.is_root() => Ok((self.path(prefix)?, prefix.clone())),
            _ => Ok((self.root.clone(), Path::default())),
        }
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let overwrite = match opts.mode {
            PutMode::Overwrite => true,
            PutMode::Create => false,
            PutMode::Update(_) => return Err(self.not_implemented("put with a version")),
        };
        if !opts.attributes.is_empty() {
            return Err(self.not_implemented("put with attributes"));
        }
        let path = self.shared.path(location).map_err(|e| refused(location, e))?;
        let info = self.run(location, move |shared| shared.put(&path, &payload, overwrite)).await?;
        Ok(PutResult { e_tag: Some(e_tag(&info)), version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        if !opts.attributes.is_empty() {
            return Err(self.not_implemented("put with attributes"));
        }
        let target = self.shared.path(location).map_err(|e| refused(location, e))?;
        let (temporary, file) = self.run(location, |shared| shared.temporary()).await?;
        Ok(Box::new(upload::Upload::new(self.shared.clone(), location.clone(), target, temporary, file)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let path = self.shared.path(location).map_err(|e| refused(location, e))?;
        let (head, wanted) = (options.head, options.range.clone());
        let name = location.clone();
        let (file, first, meta, range) = self
            .run(location, move |shared| {
                let mut file = shared.files.open(&path)?;
                let meta = meta(name, &file.info());
                let range = match wanted {
                    Some(range) => range.as_range(meta.size).map_err(io::Error::other)?,
                    None => 0..meta.size,
                };
                // The first piece at once: usually it is all.
                let first = match head {
                    true => Bytes::new(),
                    false => file.read(range.start, piece(&range))?,
                };
                Ok((file, first, meta, range))
            })
            .await?;
        options.check_preconditions(&meta)?;
        let rest = range.start + first.len() as u64..if head { range.start } else { range.end };
        let rest = pieces(self.shared.clone(), location.clone(), file, rest);
        let payload = stream::iter((!first.is_empty()).then_some(Ok(first))).chain(rest).boxed();
        Ok(GetResult { payload: GetResultPayload::Stream(payload), meta, range, attributes: Attributes::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let path = self.shared.path(location).map_err(|e| refused(location, e))?;
        let ranges = ranges.to_vec();
        self.run(location, move |shared| {
            let mut file = shared.files.open(&path)?;
            let size = file.info().len;
            let read = |range: Range<u64>| match range.start <= range.end && range.end <= size {
                true => file.read(range.start, (range.end - range.start) as usize),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            };
            ranges.into_iter().map(read).collect()
        })
        .await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let shared = self.shared.clone();
        let delete = move |location: Result<Path>| {
            let shared = shared.clone();
            async move {
                let location = location?;
                let path = shared.path(&location).map_err(|e| refused(&location, e))?;
                let files = shared.files.clone();
                shared.run(move || files.unlink(&path)).await.map_err(|e| refused(&location, e))?;
                Ok(location)
            }
        };
        locations.map(delete).buffered(8).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let shared = self.shared.clone();
        let prefix = prefix.cloned();
        let listed = async move {
            let location = prefix.clone().unwrap_or_default();
            let walker = shared.clone();
            let walk = move || {
                let (dir, location) = walker.folder(prefix.as_ref())?;
                let mut found = Vec::new();
                walker.walk(&dir, &location, &mut found)?;
                Ok(found)
            };
            match shared.run(walk).await {
                Ok(found) => stream::iter(found.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(e) => stream::iter(vec![Err(refused(&location, e))]),
            }
        };
        stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned();
        let location = prefix.clone().unwrap_or_default();
        self.run(&location, move |shared| {
            let (dir, location) = shared.folder(prefix.as_ref())?;
            let (mut objects, mut common_prefixes) = (Vec::new(), Vec::new());
            for (name, info) in shared.entries(&dir, &location)? {
                let inner = location.clone().join(name);
                match info.is_dir {
                    true => common_prefixes.push(inner),
                    false => objects.push(meta(inner, &info)),
                }
            }
            Ok(ListResult { objects, common_prefixes })
        })
        .await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let overwrite = matches!(options.mode, CopyMode::Overwrite);
        let source = self.shared.path(from).map_err(|e| refused(from, e))?;
        let target = self.shared.path(to).map_err(|e| refused(to, e))?;
        self.run(from, move |shared| {
            let mut file = shared.files.open(&source)?;
            let len = file.info().len;
            let mut parts = Vec::new();
            let mut at = 0;
            while at < len {
                let part = file.read(at, piece(&(at..len)))?;
                at += part.len() as u64;
                parts.push(part);
            }
            shared.put(&target, &parts.into_iter().collect::<PutPayload>(), overwrite).map(|_| ())
        })
        .await
    }
}

#[async_trait]
impl MakeDurable for LocalStore {
    async fn prepare(&self) -> Result<()> {
        let shared = self.shared.clone();
        let prepared = self.shared.run(move || shared.prepare()).await;
        prepared.map_err(|e| Error::Generic {
            store: "LocalStore",
            source: format!("{}: {e}", self.shared.root.display()).into(),
        })
    }

    async fn make_durable(&self, location: &Path) -> Result<()> {
        let path = self.shared.path(location).map_err(|e| refused(location, e))?;
        self.run(location, move |shared| shared.make_durable(&path)).await
    }
}

impl LocalStore {
    fn not_implemented(&self, operation: &str) -> Error {
        Error::NotImplemented { operation: operation.into(), implementer: self.to_string() }
    }
}

/// The rest of a file, piece by piece.
fn pieces(
    shared: Arc<Shared>,
    location: Path,
    file: Box<dyn ReadFile>,
    range: Range<u64>,
) -> impl futures::Stream<Item = Result<Bytes>> + Send + 'static {
    stream::try_unfold((shared, location, file, range), |(shared, location, mut file, range)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let (start, len) = (range.start, piece(&range));
        let read = shared.run(move || file.read(start, len).map(|bytes| (file, bytes))).await;
        let (file, bytes) = read.map_err(|e| refused(&location, e))?;
        let rest = range.start + bytes.len() as u64..range.end;
        Ok(Some((bytes, (shared, location, file, rest))))
    })
}

fn piece(range: &Range<u64>) -> usize {
    range.end.saturating_sub(range.start).min(PIECE_BYTES) as usize
}

fn parent_of(path: &FilePath) -> &FilePath {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => FilePath::new("."),
        None => path,
    }
}

fn meta(location: Path, info: &FileInfo) -> ObjectMeta {
    ObjectMeta {
        location,
        last_modified: chrono::DateTime::from_timestamp_micros(info.modified_us).unwrap_or_default(),
        size: info.len,
        e_tag: Some(e_tag(info)),
        version: None,
    }
}

fn e_tag(info: &FileInfo) -> String {
    format!("{:x}-{:x}-{:x}", info.identity, info.modified_us, info.len)
}

fn is_temporary(name: &str, info: &FileInfo) -> bool {
    !info.is_dir && paths::is_temporary(name)
}

fn is_missing(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn refused(location: &Path, source: io::Error) -> Error {
    let path = location.to_string();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::NotFound { path, source: source.into() },
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: source.into() },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: source.into() },
        _ => Error::Generic { store: "LocalStore", source: format!("{path}: {source}").into() },
    }
}
