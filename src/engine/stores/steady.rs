//! A store over a network that is better than its network.
//!
//! `object_store` repeats requests that are refused for now. What it leaves: an answer that breaks off in the middle. Of a
//! listing that is an error. The rest of a file it asks for again, but only a few times in all, only for so long after the
//! beginning, which a file that is read slowly outlives, and it does not tell that the file is another one by then.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use parking_lot::Mutex;

use super::options::Retry;
use crate::catalog::refusal::{reason, status};

/// What a file over HTTP is asked for to learn its size where HEAD is refused.
const FIRST_BYTE: Range<u64> = 0..1;

/// Over one of `object_store`'s clients. Guarantees:
/// 1. A body that breaks off, or from which nothing comes for a while, goes on where it broke, as long as something comes at
///    all within the time that is given; so does a listing.
/// 2. Where files are held to be fixed, all bytes of a file that are read through one `Steady` are of one version of it. A
///    file that is another one by then is the error `Precondition`.
/// 3. No error holds an address or a header: either may hold a secret.
#[derive(Debug, Clone)]
pub struct Steady {
    inner: Arc<dyn ObjectStore>,
    retry: Retry,
    /// The version of each file that was read, where files are held to be fixed.
    versions: Option<Arc<Mutex<HashMap<Path, Version>>>>,
    /// Whether a file's size may have to be learnt by reading: of a URL that was signed for GET.
    asks_by_reading: bool,
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    tag: Option<String>,
    modified_us: i64,
    size: u64,
}

impl Version {
    fn of(meta: &ObjectMeta) -> Self {
        Version { tag: meta.e_tag.clone(), modified_us: meta.last_modified.timestamp_micros(), size: meta.size }
    }

    fn is(&self, other: &Version) -> bool {
        match (&self.tag, &other.tag) {
            (Some(one), Some(other)) => one == other,
            _ => self.size == other.size && self.modified_us == other.modified_us,
        }
    }

    /// The tag that a request can be bound to: a weak one never matches (RFC 9110, 13.1.1).
    fn strong_tag(&self) -> Option<String> {
        self.tag.clone().filter(|tag| !tag.starts_with("W/"))
    }
}

impl Steady {
    pub fn over(inner: Arc<dyn ObjectStore>, retry: Retry) -> Self {
        Steady { inner, retry, versions: None, asks_by_reading: false }
    }

    /// See guarantee 2.
    pub fn with_fixed_files(self) -> Self {
        Steady { versions: Some(Arc::default()), ..self }
    }

    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "of web servers"))]
    pub fn asking_by_reading(self) -> Self {
        Steady { asks_by_reading: true, ..self }
    }

    /// One request for a file, bound to the version that was read before.
    async fn get_once(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        let known = self.versions.as_ref().and_then(|versions| versions.lock().get(location).cloned());
        if let (Some(known), None) = (&known, &options.if_match) {
            options.if_match = known.strong_tag();
        }
        let found = self.inner.get_opts(location, options).await?;
        let version = Version::of(&found.meta);
        match known {
            Some(known) if !known.is(&version) => return Err(changed(location)),
            Some(_) => {}
            None => {
                if let Some(versions) = &self.versions {
                    versions.lock().entry(location.clone()).or_insert(version);
                }
            }
        }
        Ok(found)
    }

    /// The rest of a file, from where it broke off.
    async fn rest(&self, location: &Path, options: &GetOptions, version: &Version, at: &Range<u64>) -> Result<Body> {
        let options = GetOptions { if_match: version.strong_tag(), ..options.clone() };
        let ranged = GetOptions { range: Some(GetRange::Bounded(at.clone())), ..options.clone() };
        let (found, skip) = match self.inner.get_opts(location, ranged).await {
            Ok(found) => (found, 0),
            // A server that knows no ranges sends everything again.
            Err(Error::NotSupported { .. }) => {
                (self.inner.get_opts(location, GetOptions { range: None, ..options }).await?, at.start)
            }
            Err(e) => return Err(e),
        };
        if !Version::of(&found.meta).is(version) {
            return Err(changed(location));
        }
        Ok(Body { stream: found.into_stream(), skip })
    }

    /// A body that goes on where it breaks off.
    fn mended(&self, location: &Path, options: GetOptions, found: GetResult) -> GetResult {
        let GetResult { payload, meta, range, attributes } = found;
        let GetResultPayload::Stream(stream) = payload else {
            return GetResult { payload, meta, range, attributes };
        };
        let reading = Reading {
            store: self.clone(),
            location: location.clone(),
            options,
            version: Version::of(&meta),
            left: range.clone(),
            body: Some(Body { stream, skip: 0 }),
            patience: Patience::new(&self.retry),
        };
        let stream = stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.next().await?.map(|piece| (piece, reading)))
        });
        GetResult { payload: GetResultPayload::Stream(stream.boxed()), meta, range, attributes }
    }

    /// Lists from behind `offset`, and goes on where the listing breaks off. Stores list in the order of names.
    fn listed(&self, prefix: Option<&Path>, offset: Option<Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let begin = move |store: &Steady, offset: &Option<Path>| match offset {
            Some(offset) => store.inner.list_with_offset(prefix.as_ref(), offset),
            None => store.inner.list(prefix.as_ref()),
        };
        let (stream, patience) = (begin(&store, &offset), Patience::new(&self.retry));
        let state = (store, stream, offset, patience, begin);
        let listed = stream::try_unfold(state, |(store, mut stream, mut offset, mut patience, begin)| async move {
            loop {
                match stream.next().await {
                    None => return Ok(None),
                    Some(Ok(meta)) => {
                        offset = Some(meta.location.clone());
                        // What is read later is what was listed. Times of listings are finer than those of files.
                        if let Some(versions) = store.versions.as_ref().filter(|_| meta.e_tag.is_some()) {
                            versions.lock().entry(meta.location.clone()).or_insert_with(|| Version::of(&meta));
                        }
                        patience.renew();
                        return Ok(Some((meta, (store, stream, offset, patience, begin))));
                    }
                    Some(Err(e)) => patience.wait(e).await?,
                }
                stream = begin(&store, &offset);
            }
        });
        listed.boxed()
    }

    /// What a request that may be repeated leads to.
    async fn repeated<T, F: Future<Output = Result<T>>>(&self, request: impl Fn() -> F) -> Result<T> {
        let mut patience = Patience::new(&self.retry);
        loop {
            match request().await {
                Ok(answer) => return Ok(answer),
                Err(e) => patience.wait(e).await?,
            }
        }
    }
}

struct Body {
    stream: BoxStream<'static, Result<Bytes>>,
    /// Bytes that were read before.
    skip: u64,
}

/// A file that is being read.
struct Reading {
    store: Steady,
    location: Path,
    options: GetOptions,
    version: Version,
    /// What is still to be read.
    left: Range<u64>,
    /// `None` where it broke off.
    body: Option<Body>,
    patience: Patience,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.left.start < self.left.end {
            let broken = match &mut self.body {
                None => match self.store.rest(&self.location, &self.options, &self.version, &self.left).await {
                    Ok(body) => {
                        self.body = Some(body);
                        continue;
                    }
                    Err(e) => e,
                },
                Some(body) => match tokio::time::timeout(self.store.retry.stall, body.stream.next()).await {
                    Ok(Some(Ok(mut piece))) => {
                        let skipped = body.skip.min(piece.len() as u64);
                        body.skip -= skipped;
                        let _ = piece.split_to(usize::try_from(skipped).unwrap_or(usize::MAX));
                        if piece.is_empty() {
                            continue;
                        }
                        self.left.start += piece.len() as u64;
                        self.patience.renew();
                        return Ok(Some(piece));
                    }
                    Ok(Some(Err(e))) => e,
                    Ok(None) => generic("the answer ended too early"),
                    Err(_) => generic("nothing came any more"),
                },
            };
            self.body = None;
            // The client's own attempt at the rest may have found it.
            if status(&broken) == Some(412) {
                return Err(changed(&self.location));
            }
            self.patience.wait(broken).await?;
        }
        Ok(None)
    }
}

/// How often something was tried, and for how long it still will be.
struct Patience {
    retry: Retry,
    since: Instant,
    tries: u32,
}

impl Patience {
    fn new(retry: &Retry) -> Self {
        Patience { retry: retry.clone(), since: Instant::now(), tries: 0 }
    }

    /// Something has come.
    fn renew(&mut self) {
        (self.since, self.tries) = (Instant::now(), 0);
    }

    /// Returns when it is to be tried again. Errors: the one that was given, where that is no use or the time is up.
    async fn wait(&mut self, e: Error) -> Result<()> {
        self.tries += 1;
        if !may_pass(&e) {
            return Err(told(e));
        }
        if self.since.elapsed() >= self.retry.give_up_after {
            let why = reason(&e);
            // The client may have said already how often it tried.
            let tries = match why.contains(" tries in ") {
                true => String::new(),
                false => format!(", after {} tries in {:.1?}", self.tries, self.since.elapsed()),
            };
            return Err(generic(format!("{why}{tries}")));
        }
        tracing::info!("trying again: {}", reason(&e));
        tokio::time::sleep(self.retry.pause(self.tries)).await;
        Ok(())
    }
}

/// Whether trying again may help: a connection's errors, and answers that say so (RFC 9110; RFC 6585, 4).
fn may_pass(e: &Error) -> bool {
    matches!(e, Error::Generic { .. }) && status(e).is_none_or(|status| matches!(status, 408 | 429 | 500..=599))
}

/// The same error, its causes as a text without addresses.
fn told(e: Error) -> Error {
    let source = || -> Box<dyn std::error::Error + Send + Sync> { reason(&e).into() };
    match &e {
        // Of listings and uploads the client does not look at the answer.
        Error::Generic { .. } if status(&e) == Some(401) => {
            Error::Unauthenticated { path: String::new(), source: source() }
        }
        Error::Generic { .. } if status(&e) == Some(403) => {
            Error::PermissionDenied { path: String::new(), source: source() }
        }
        Error::Generic { .. } if status(&e) == Some(404) => Error::NotFound { path: String::new(), source: source() },
        Error::Generic { store, .. } => Error::Generic { store, source: source() },
        Error::NotFound { path, .. } => Error::NotFound { path: path.clone(), source: source() },
        Error::AlreadyExists { path, .. } => Error::AlreadyExists { path: path.clone(), source: source() },
        Error::Precondition { path, .. } => Error::Precondition { path: path.clone(), source: source() },
        Error::NotModified { path, .. } => Error::NotModified { path: path.clone(), source: source() },
        Error::PermissionDenied { path, .. } => Error::PermissionDenied { path: path.clone(), source: source() },
        Error::Unauthenticated { path, .. } => Error::Unauthenticated { path: path.clone(), source: source() },
        Error::NotSupported { .. } => Error::NotSupported { source: source() },
        _ => e,
    }
}

fn generic(text: impl Into<String>) -> Error {
    Error::Generic { store: "store", source: text.into().into() }
}

fn changed(location: &Path) -> Error {
    Error::Precondition { path: location.to_string(), source: "the file has changed since its reading began".into() }
}

impl fmt::Display for Steady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Steady {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await.map_err(told)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        // The client repeats it where it is refused. An answer that is lost is not asked for again: nobody would know of the
        // first upload.
        let upload = self.inner.put_multipart_opts(location, options).await.map_err(told)?;
        Ok(Box::new(Upload(upload)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.repeated(|| self.get_once(location, options.clone())).await;
        let refused = |e: &Error| {
            matches!(e, Error::PermissionDenied { .. } | Error::Unauthenticated { .. } | Error::NotFound { .. })
        };
        match found {
            Ok(found) if options.head => Ok(found),
            Ok(found) => Ok(self.mended(location, options, found)),
            Err(e) if options.head && self.asks_by_reading && refused(&e) => {
                let first = GetOptions { head: false, range: Some(FIRST_BYTE.into()), ..options.clone() };
                let whole = GetOptions { range: None, ..first.clone() };
                let found = match self.inner.get_opts(location, first).await {
                    Ok(found) => Ok(found),
                    // No ranges, or a file without a byte.
                    Err(Error::NotSupported { .. } | Error::Generic { .. }) => {
                        self.inner.get_opts(location, whole).await
                    }
                    Err(e) => Err(e),
                };
                found.map_err(told)
            }
            Err(e) => Err(e),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        object_store::coalesce_ranges(
            ranges,
            |range| self.get_range(location, range),
            object_store::OBJECT_STORE_COALESCE_DEFAULT,
        )
        .await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations).map_err(told).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, Some(offset.clone()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.repeated(|| self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await.map_err(told)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await.map_err(told)
    }
}

/// An upload whose errors hold no address.
#[derive(Debug)]
struct Upload(Box<dyn MultipartUpload>);

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> object_store::UploadPart {
        let put = self.0.put_part(data);
        Box::pin(async move { put.await.map_err(told) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.0.complete().await.map_err(told)
    }

    async fn abort(&mut self) -> Result<()> {
        self.0.abort().await.map_err(told)
    }
}
