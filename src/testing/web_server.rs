//! A web server in the test's process, of a few files in memory.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderValue, IF_MATCH, RANGE};
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
        let answer = move |request: Request<Incoming>| {
            let answered = answered(&request, &served, manners);
            async move { answered }.boxed()
        };
        let url = serve(Arc::clone(&trouble), answer).await;
        WebServer { url, trouble, files }
    }

    pub fn set_faults(&self, faults: Faults) {
        self.trouble.set(faults);
    }

    /// Puts a file there, or replaces it. Its name begins with a slash.
    pub fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        self.files.lock().insert(name.to_string(), bytes.into());
    }
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
    let Some(file) = files.lock().get(request.uri().path()).cloned() else { return refused(StatusCode::NOT_FOUND) };
    let tag = HeaderValue::from_str(&format!("\"{:08x}-{}\"", crc32c::crc32c(&file), file.len())).expect("a tag");
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
    }
    if range.is_some() {
        let range = format!("bytes {start}-{}/{size}", end - 1);
        headers.insert(CONTENT_RANGE, HeaderValue::from_str(&range).expect("a range"));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}
