//! An S3 server in the test's process, over a directory.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{IF_MATCH, IF_NONE_MATCH};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::prefix::PrefixStore;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;

/// The keys that the server knows.
pub const KEYS: [(&str, &str); 2] = [("WAREHOUSE", "warehouse-secret"), ("LOADER", "loader-secret")];

/// A server that lives as long as its runtime. Requests must be signed.
///
/// s3s-fs 0.14.1 answers a conditional PUT by looking whether the object exists, then writing it: of two that come at
/// the same moment both may succeed, which S3 rules out. Here conditional requests go one after another, and each is
/// answered before the next begins, so that one wins.
#[derive(Debug)]
pub struct S3Server {
    pub endpoint: String,
    directory: tempfile::TempDir,
}

impl S3Server {
    /// With empty buckets of these names.
    pub async fn start(buckets: &[&str]) -> S3Server {
        let directory = tempfile::tempdir().expect("a directory");
        for bucket in buckets {
            std::fs::create_dir(directory.path().join(bucket)).expect("a bucket");
        }
        let mut auth = SimpleAuth::new();
        for (id, secret) in KEYS {
            auth.register(id.to_string(), secret.into());
        }
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory.path()).expect("a file system"));
        builder.set_auth(auth);
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            let one_at_a_time = Arc::new(tokio::sync::Mutex::new(()));
            while let Ok((socket, _)) = listener.accept().await {
                let (service, one_at_a_time) = (service.clone(), Arc::clone(&one_at_a_time));
                let answer = service_fn(move |request: Request<Incoming>| {
                    let (service, one_at_a_time) = (service.clone(), Arc::clone(&one_at_a_time));
                    async move {
                        let headers = request.headers();
                        let conditional = request.method() == hyper::Method::PUT
                            && (headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MATCH));
                        let _turn = if conditional { Some(one_at_a_time.lock().await) } else { None };
                        Ok::<_, Infallible>(service.call(request.map(s3s::Body::from)).await.unwrap_or_else(|_| {
                            let mut failed = hyper::Response::new(s3s::Body::empty());
                            *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                            failed
                        }))
                    }
                });
                // A client may go away at any time.
                tokio::spawn(async move {
                    drop(http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await)
                });
            }
        });
        S3Server { endpoint, directory }
    }

    /// A folder of a bucket.
    pub fn store(&self, bucket: &str, prefix: &str) -> Arc<dyn ObjectStore> {
        let store = AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(bucket)
            .with_access_key_id(KEYS[0].0)
            .with_secret_access_key(KEYS[0].1)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .build()
            .expect("a client");
        Arc::new(PrefixStore::new(store, prefix))
    }

    /// Where the objects are kept.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }
}
