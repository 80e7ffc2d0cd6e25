//! HTTP servers of a test that refuse, dawdle and hang up, as a seed or a count decides.
//!
//! It needs nothing else of the crate, so that examples can use it too.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use s3s::Body;
use tokio::net::TcpListener;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Picks requests by their line, such as `PUT /bucket/key?partNumber=3`.
pub type Picks = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What goes wrong. The default is nothing.
///
/// What happens to a request depends on the seed, its method and name, and on how often the same was asked before: it is the
/// same in every run, whichever requests come at the same time.
#[derive(Clone, Default)]
pub struct Faults {
    pub seed: u64,
    /// One in so many requests is answered 503 SlowDown; 0 is none.
    pub throttle_one_in: u64,
    /// How many requests of each method and name are answered 503 SlowDown before one is served.
    pub throttle_first: u64,
    /// How many answers to GET of each name end too early, and after how many bytes.
    pub cut_first: (u64, usize),
    /// Only of names that hold this.
    pub cut_names: &'static str,
    /// Answers to GET come in pieces of so many bytes, with a pause after each.
    pub slow: Option<(usize, Duration)>,
    /// Requests that are answered 503 for ever.
    pub refuse: Option<Picks>,
    /// Names in a page of a listing, whatever the client asks for; 0 is as it asks.
    pub page_keys: usize,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// The faults of a server, and how often they came true.
#[derive(Debug, Default)]
pub struct Trouble {
    faults: Mutex<Faults>,
    /// How often a method and name was asked since the faults were set.
    asked: Mutex<HashMap<String, u64>>,
    pub requests: AtomicU64,
    pub throttled: AtomicU64,
    pub cut: AtomicU64,
}

/// What happens to one request.
enum Fate {
    Refused,
    Served { cut: Option<usize>, slow: Option<(usize, Duration)> },
}

impl Trouble {
    pub fn set(&self, faults: Faults) {
        *self.faults.lock() = faults;
        self.asked.lock().clear();
    }

    pub fn page_keys(&self) -> usize {
        self.faults.lock().page_keys
    }

    fn fate(&self, method: &Method, line: &str) -> Fate {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let faults = self.faults.lock().clone();
        // Parts of an upload and pages of a listing count as names of their own.
        let nth = {
            let mut asked = self.asked.lock();
            let nth = asked.entry(line.to_string()).or_default();
            *nth += 1;
            *nth - 1
        };
        let refused = faults.refuse.is_some_and(|picks| picks(line))
            || nth < faults.throttle_first
            || faults.throttle_one_in > 0 && mixed(faults.seed, line, nth).is_multiple_of(faults.throttle_one_in);
        if refused {
            self.throttled.fetch_add(1, Ordering::Relaxed);
            return Fate::Refused;
        }
        let is_read = *method == Method::GET;
        let served = nth.saturating_sub(faults.throttle_first);
        let (reads, bytes) = faults.cut_first;
        let cut = (is_read && served < reads && line.contains(faults.cut_names)).then_some(bytes);
        Fate::Served { cut, slow: faults.slow.filter(|_| is_read) }
    }
}

/// SplitMix64's mixing of what decides a request's fate.
fn mixed(seed: u64, line: &str, nth: u64) -> u64 {
    let mix = |z: u64| {
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    line.bytes().fold(mix(seed ^ mix(nth + 1)), |state, byte| mix(state.wrapping_add(u64::from(byte) + 1)))
}

/// Serves requests as long as the runtime lives, and returns the server's URL.
pub async fn serve(
    trouble: Arc<Trouble>,
    answer: impl Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Clone + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (trouble, answer) = (Arc::clone(&trouble), answer.clone());
            let served = service_fn(move |request: Request<Incoming>| {
                let (trouble, answer) = (Arc::clone(&trouble), answer.clone());
                async move { Ok::<_, Infallible>(troubled(&trouble, &answer, request).await) }
            });
            // A client may go away at any time.
            tokio::spawn(
                async move { drop(http1::Builder::new().serve_connection(TokioIo::new(socket), served).await) },
            );
        }
    });
    url
}

async fn troubled(
    trouble: &Arc<Trouble>,
    answer: &impl Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>>,
    request: Request<Incoming>,
) -> Response<FaultyBody> {
    let line = format!("{} {}", request.method(), request.uri());
    match trouble.fate(request.method(), &line) {
        Fate::Refused => {
            let text = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
            let mut refused = Response::new(FaultyBody::of(Body::from(Bytes::from_static(text.as_bytes()))));
            *refused.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            refused
        }
        Fate::Served { cut, slow } => answer(request).await.map(|body| FaultyBody {
            left: cut,
            slow,
            trouble: Some(Arc::clone(trouble)),
            ..FaultyBody::of(body)
        }),
    }
}

/// A body that may come slowly, and break off.
struct FaultyBody {
    body: Pin<Box<Body>>,
    /// Bytes until the connection is closed, if it is.
    left: Option<usize>,
    slow: Option<(usize, Duration)>,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
    waiting: Bytes,
    trouble: Option<Arc<Trouble>>,
}

impl FaultyBody {
    fn of(body: Body) -> Self {
        FaultyBody { body: Box::pin(body), left: None, slow: None, pause: None, waiting: Bytes::new(), trouble: None }
    }
}

impl HttpBody for FaultyBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(context));
            this.pause = None;
        }
        while this.waiting.is_empty() {
            match ready!(this.body.as_mut().poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(frame) => match frame?.into_data() {
                    Ok(bytes) => this.waiting = bytes,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
            }
        }
        let mut n = this.waiting.len();
        if let Some((piece, pause)) = this.slow {
            n = n.min(piece);
            this.pause = Some(Box::pin(tokio::time::sleep(pause)));
        }
        if let Some(left) = &mut this.left {
            // What comes to its end is no cut answer.
            if *left == 0 {
                if let Some(trouble) = &this.trouble {
                    trouble.cut.fetch_add(1, Ordering::Relaxed);
                }
                return Poll::Ready(Some(Err("the connection is closed here".into())));
            }
            n = n.min(*left);
            *left -= n;
        }
        Poll::Ready(Some(Ok(Frame::data(this.waiting.split_to(n)))))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.waiting.is_empty() {
            true => self.body.size_hint(),
            false => SizeHint::default(),
        }
    }
}
