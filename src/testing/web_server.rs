//! A web server in the test's process, of a few files in memory. It passes for a bucket of Google or of Azure, too.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderValue, IF_MATCH, LAST_MODIFIED, RANGE};
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use s3s::Body;

use super::faulty_server::{Faults, Trouble, serve};

/// What it can and what it asks for.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// Whether it answers a range with that range; else with the whole file.
    pub ranges: bool,
    /// Whether answers carry an ETag.
    pub tags: bool,
    /// Whether HEAD is answered; else it is forbidden, as where a URL was signed for GET.
    pub heads: bool,
    /// What a URL must say behind its question mark.
    pub query: Option<&'static str>,
}

impl Default for Manners {
    fn default() -> Self {
        Manners { ranges: true, tags: true, heads: true, query: None }
    }
}

type Files = Arc<Mutex<HashMap<String, Bytes>>>;

#[derive(Debug)]
pub struct WebServer {
    /// Without a slash at its end.
    pub url: String,
    pub trouble: Arc<Trouble>,
    files: Files,
}

impl WebServer {
    pub async fn start(manners: Manners) -> WebServer {
        let (trouble, files) = (Arc::<Trouble>::default(), Files::default());
        let served = Arc::clone(&files);
        let answer = move |mut request: Request<Incoming>| {
            let served = Arc::clone(&served);
            async move {
                if *request.method() == Method::PUT {
                    let (name, bytes) = (decoded(request.uri().path()), whole(request.body_mut()).await);
                    served.lock().insert(name, bytes);
                    return with_headers(Response::new(Body::empty()));
                }
                answered(&request, &served, manners)
            }
            .boxed()
        };
        let url = serve(Arc::clone(&trouble), answer).await;
        WebServer { url, trouble, files }
    }

    pub fn set_faults(&self, faults: Faults) {
        self.trouble.set(faults);
    }

    /// The file of that name.
    pub fn file(&self, name: &str) -> Option<Bytes> {
        self.files.lock().get(name).cloned()
    }

    /// Puts a file there, or replaces it. Its name begins with a slash.
    pub fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        self.files.lock().insert(decoded(name), bytes.into());
    }
}

/// A name without escapes: clients escape more or less.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut name = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let escaped = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        name.push(escaped.map_or('%', char::from));
        name.push_str(part.get(2..).unwrap_or_default());
    }
    name
}

async fn whole(body: &mut Incoming) -> Bytes {
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    bytes.into()
}

/// What stores of objects say of every object.
fn with_headers(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(LAST_MODIFIED, HeaderValue::from_static("Thu, 01 Jan 2026 00:00:00 GMT"));
    response.headers_mut().entry(ETAG).or_insert(HeaderValue::from_static("\"put\""));
    response
}

fn tag(file: &Bytes) -> String {
    format!("\"{:08x}-{}\"", crc32c::crc32c(file), file.len())
}

/// Files on a page of a list.
const PAGE: usize = 2;

/// A page of the files in the bucket at `path`, where the query asks for that in Google's way or in Azure's.
fn listed(path: &str, query: &str, files: &Files) -> Option<String> {
    let of = |name: &str| query.split('&').find_map(|part| part.split_once('=').filter(|(known, _)| *known == name));
    let of = |name: &str| of(name).map(|(_, value)| decoded(value));
    let azure = of("comp").is_some_and(|what| what == "list");
    if !azure && of("list-type").is_none() {
        return None;
    }
    let (prefix, after) = (of("prefix").unwrap_or_default(), of(if azure { "marker" } else { "continuation-token" }));
    let bucket = format!("{}/", path.trim_end_matches('/'));
    let files = files.lock();
    let mut names: Vec<(&str, &Bytes)> = files
        .iter()
        .filter_map(|(name, file)| Some((name.strip_prefix(&bucket)?, file)))
        .filter(|(name, _)| name.starts_with(&prefix) && after.as_deref().is_none_or(|after| *name > after))
        .collect();
    names.sort_unstable();
    let next = names.get(PAGE).map(|_| names[PAGE - 1].0);
    let google = |(name, file): &(&str, &Bytes)| {
        let (size, tag) = (file.len(), tag(file));
        format!(
            "<Contents><Key>{name}</Key><Size>{size}</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{tag}</ETag>\
             </Contents>"
        )
    };
    let of_azure = |(name, file): &(&str, &Bytes)| {
        let (size, tag) = (file.len(), tag(file));
        format!(
            "<Blob><Name>{name}</Name><Properties><Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified>\
             <Content-Length>{size}</Content-Length><Content-Type>text/csv</Content-Type><Etag>{tag}</Etag></Properties></Blob>"
        )
    };
    let page = names.iter().take(PAGE);
    Some(match azure {
        true => {
            let (blobs, next): (String, _) = (page.map(of_azure).collect(), next.unwrap_or_default());
            format!("<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>")
        }
        false => {
            let (contents, next): (String, _) = (page.map(google).collect(), next);
            let next =
                next.map_or(String::new(), |next| format!("<NextContinuationToken>{next}</NextContinuationToken>"));
            format!("<ListBucketResult>{contents}{next}</ListBucketResult>")
        }
    })
}

fn answered(request: &Request<Incoming>, files: &Files, manners: Manners) -> Response<Body> {
    let refused = |status: StatusCode| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response
    };
    let head = *request.method() == Method::HEAD;
    if head && !manners.heads || manners.query.is_some() && request.uri().query() != manners.query {
        return refused(StatusCode::FORBIDDEN);
    }
    let path = decoded(request.uri().path());
    if let Some(list) = request.uri().query().and_then(|query| listed(&path, query, files)) {
        return Response::new(Body::from(Bytes::from(list)));
    }
    let Some(file) = files.lock().get(&path).cloned() else {
        return refused(StatusCode::NOT_FOUND);
    };
    let tag = HeaderValue::from_str(&tag(&file)).expect("a tag");
    if request.headers().get(IF_MATCH).is_some_and(|wanted| wanted != tag) {
        return refused(StatusCode::PRECONDITION_FAILED);
    }
    let size = file.len();
    let range = request.headers().get(RANGE).filter(|_| manners.ranges).and_then(|range| {
        let (start, end) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
        Some((start.parse::<usize>().ok()?, end.parse::<usize>().map_or(size, |end| (end + 1).min(size))))
    });
    let (start, end) = range.unwrap_or((0, size));
    if range.is_some() && start >= size {
        return refused(StatusCode::RANGE_NOT_SATISFIABLE);
    }
    let part = file.slice(start..end);
    let mut response = Response::new(if head { Body::empty() } else { Body::from(part.clone()) });
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(part.len()));
    if manners.tags {
        headers.insert(ETAG, tag);
        headers.insert(LAST_MODIFIED, HeaderValue::from_static("Thu, 01 Jan 2026 00:00:00 GMT"));
    }
    if range.is_some() {
        let range = format!("bytes {start}-{}/{size}", end - 1);
        headers.insert(CONTENT_RANGE, HeaderValue::from_str(&range).expect("a range"));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}
