//! An S3 server in the test's process, over a directory.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use hyper::body::Incoming;
use hyper::header::{IF_MATCH, IF_NONE_MATCH};
use hyper::{Method, Request, Response, StatusCode};
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::prefix::PrefixStore;
use parking_lot::Mutex;
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::faulty_server::{Faults, Trouble, serve};

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
    /// What goes wrong, and how often it did.
    pub trouble: Arc<Trouble>,
    uploads: Uploads,
    directory: tempfile::TempDir,
}

/// Multipart uploads that were neither completed nor aborted: the name of the object, by the upload's id.
type Uploads = Arc<Mutex<BTreeMap<String, String>>>;

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
        let (trouble, uploads) = (Arc::<Trouble>::default(), Uploads::default());
        let files = s3s_fs::FileSystem::new(directory.path()).expect("a file system");
        let buckets = Buckets { files, trouble: Arc::clone(&trouble), uploads: Arc::clone(&uploads) };
        let mut builder = S3ServiceBuilder::new(buckets);
        builder.set_auth(auth);
        let service = builder.build();
        let one_at_a_time = Arc::new(tokio::sync::Mutex::new(()));
        let answer = move |request: Request<Incoming>| {
            let (service, one_at_a_time) = (service.clone(), Arc::clone(&one_at_a_time));
            async move {
                let headers = request.headers();
                let conditional = *request.method() == Method::PUT
                    && (headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MATCH));
                let _turn = if conditional { Some(one_at_a_time.lock().await) } else { None };
                service.call(request.map(s3s::Body::from)).await.unwrap_or_else(|_| {
                    let mut failed = Response::new(s3s::Body::empty());
                    *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    failed
                })
            }
            .boxed()
        };
        let endpoint = serve(Arc::clone(&trouble), answer).await;
        S3Server { endpoint, trouble, uploads, directory }
    }

    /// From here on, with these faults.
    pub fn set_faults(&self, faults: Faults) {
        self.trouble.set(faults);
    }

    /// The names of objects whose multipart upload is under way, or was forgotten.
    pub fn open_uploads(&self) -> Vec<String> {
        self.uploads.lock().values().cloned().collect()
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

/// s3s-fs with pages as short as a test wants them, conditional reads, and a list of open uploads.
struct Buckets {
    files: s3s_fs::FileSystem,
    trouble: Arc<Trouble>,
    uploads: Uploads,
}

macro_rules! as_the_files_do {
    ($($method:ident($input:ty) -> $output:ty;)*) => {
        #[async_trait::async_trait]
        impl S3 for Buckets {
            $(
                async fn $method(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                    self.files.$method(request).await
                }
            )*

            async fn get_object(
                &self,
                request: S3Request<GetObjectInput>,
            ) -> S3Result<S3Response<GetObjectOutput>> {
                let wanted = request.input.if_match.clone();
                let found = self.files.get_object(request).await?;
                let matches = match (&wanted, &found.output.e_tag) {
                    (Some(ETagCondition::ETag(wanted)), Some(found)) => wanted == found,
                    _ => true,
                };
                if matches { Ok(found) } else { Err(s3_error!(PreconditionFailed)) }
            }

            async fn list_objects_v2(
                &self,
                mut request: S3Request<ListObjectsV2Input>,
            ) -> S3Result<S3Response<ListObjectsV2Output>> {
                if let page @ 1.. = self.trouble.page_keys() {
                    request.input.max_keys = i32::try_from(page).ok();
                }
                self.files.list_objects_v2(request).await
            }

            async fn create_multipart_upload(
                &self,
                request: S3Request<CreateMultipartUploadInput>,
            ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
                let name = format!("{}/{}", request.input.bucket, request.input.key);
                let created = self.files.create_multipart_upload(request).await?;
                if let Some(id) = &created.output.upload_id {
                    self.uploads.lock().insert(id.clone(), name);
                }
                Ok(created)
            }

            async fn complete_multipart_upload(
                &self,
                request: S3Request<CompleteMultipartUploadInput>,
            ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
                let id = request.input.upload_id.clone();
                let completed = self.files.complete_multipart_upload(request).await?;
                self.uploads.lock().remove(&id);
                Ok(completed)
            }

            async fn abort_multipart_upload(
                &self,
                request: S3Request<AbortMultipartUploadInput>,
            ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
                let id = request.input.upload_id.clone();
                let aborted = self.files.abort_multipart_upload(request).await?;
                self.uploads.lock().remove(&id);
                Ok(aborted)
            }
        }
    };
}

as_the_files_do! {
    copy_object(CopyObjectInput) -> CopyObjectOutput;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput;
    head_bucket(HeadBucketInput) -> HeadBucketOutput;
    head_object(HeadObjectInput) -> HeadObjectOutput;
    put_object(PutObjectInput) -> PutObjectOutput;
    upload_part(UploadPartInput) -> UploadPartOutput;
}
