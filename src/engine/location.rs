//! Where a warehouse is kept: a directory, memory, or a bucket.

use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::{LocalStore, WarehouseStore};
use crate::common::{Error, Result, SqlState};

/// A parsed location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `memory://`: gone with the last handle.
    Memory,
    /// `file:///path` or a plain path.
    Directory(PathBuf),
    /// `s3://bucket/prefix`.
    S3 { bucket: String, prefix: String },
}

/// What to do about a location that is none.
const FORMS: &str = "use a path, file:///directory, memory:// or s3://bucket/prefix";

impl Location {
    /// Errors: Invalid for a malformed URL, Unsupported for another scheme.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.split_once("://") else {
            if text.is_empty() {
                return Err(invalid("the location is empty").with_hint(FORMS));
            }
            // A URL that lacks a slash is no directory that anybody wants.
            if ["s3:", "file:", "memory:"].iter().any(|scheme| text.starts_with(scheme)) {
                return Err(invalid(&format!("{text}: two slashes follow a URL's scheme")).with_hint(FORMS));
            }
            return Ok(Location::Directory(PathBuf::from(text)));
        };
        match scheme {
            "memory" => Ok(Location::Memory),
            "file" => {
                let url = url::Url::parse(text).map_err(|e| invalid(&format!("{text}: {e}")))?;
                url.to_file_path()
                    .map(Location::Directory)
                    .map_err(|()| invalid(&format!("{text}: a file URL has the form file:///directory")))
            }
            "s3" => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    return Err(invalid(&format!("{text}: an S3 location has the form s3://bucket/prefix")));
                }
                Ok(Location::S3 { bucket: bucket.into(), prefix: prefix.trim_matches('/').into() })
            }
            other => {
                Err(Error::unsupported(format!("locations of scheme \"{other}\" are not supported")).with_hint(FORMS))
            }
        }
    }

    /// Opens the store, and tells the directory whose files are its objects, if there is one.
    pub(super) async fn open(&self) -> Result<(WarehouseStore, Option<PathBuf>)> {
        match self {
            Location::Memory => Ok((WarehouseStore::memory(), None)),
            Location::Directory(path) => {
                let store = LocalStore::open(path.clone()).await?;
                let root = store.root().to_path_buf();
                Ok((WarehouseStore::local(store), Some(root)))
            }
            Location::S3 { bucket, prefix } => Ok((open_s3(bucket, prefix)?, None)),
        }
    }
}

/// As it was given, a directory as its path.
impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Location::Memory => f.write_str("memory://"),
            Location::Directory(path) => write!(f, "{}", path.display()),
            Location::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(feature = "s3")]
fn open_s3(bucket: &str, prefix: &str) -> Result<WarehouseStore> {
    let store = s3_store(bucket, &crate::sql::ast::Credentials::default(), None)?;
    if prefix.is_empty() {
        return Ok(WarehouseStore::new(store));
    }
    Ok(WarehouseStore::new(Arc::new(object_store::prefix::PrefixStore::new(store, prefix))))
}

/// A bucket, with the credentials given, else those of the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT, …).
#[cfg(feature = "s3")]
pub(super) fn s3_store(
    bucket: &str,
    credentials: &crate::sql::ast::Credentials,
    region: Option<&str>,
) -> Result<Arc<dyn object_store::ObjectStore>> {
    use object_store::StaticCredentialProvider;
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, S3ConditionalPut};
    let mut builder =
        AmazonS3Builder::from_env().with_bucket_name(bucket).with_conditional_put(S3ConditionalPut::ETagMatch);
    // Whoever names an endpoint by http:// wants no TLS.
    if builder.get_config_value(&AmazonS3ConfigKey::Endpoint).is_some_and(|e| e.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    if let (Some(id), Some(secret)) = (&credentials.access_key_id, &credentials.secret_access_key) {
        // As a whole: a session token of the environment belongs to the environment's keys.
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(AwsCredential {
            key_id: id.clone(),
            secret_key: secret.clone(),
            token: credentials.session_token.clone(),
        })));
    }
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    let store = builder.build().map_err(|e| {
        Error::invalid(SqlState::INVALID_PARAMETER, format!("cannot use bucket \"{bucket}\": {e}")).with_hint(
            "set AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT for another provider",
        )
    })?;
    Ok(Arc::new(store))
}

#[cfg(not(feature = "s3"))]
fn open_s3(_: &str, _: &str) -> Result<WarehouseStore> {
    Err(Error::unsupported("this build of Blueshift has no S3 support").with_hint("build it with the feature \"s3\""))
}

fn invalid(message: &str) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_made_where_nothing_may_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no/house");
        let open = || crate::engine::Warehouse::builder().create(false).open(path.to_str().unwrap());
        assert_eq!(open().await.unwrap_err().state(), SqlState::UNDEFINED_FILE);
        assert!(!dir.path().join("no").exists());
        std::fs::create_dir_all(&path).unwrap();
        assert_eq!(open().await.unwrap_err().state(), SqlState::UNDEFINED_FILE);
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    }

    #[test]
    fn locations_are_told_apart() {
        assert_eq!(Location::parse("memory://").unwrap(), Location::Memory);
        assert_eq!(Location::parse("some/dir").unwrap(), Location::Directory("some/dir".into()));
        assert_eq!(Location::parse("file:///a/b").unwrap(), Location::Directory("/a/b".into()));
        let s3 = Location::S3 { bucket: "b".into(), prefix: "p/q".into() };
        assert_eq!(Location::parse("s3://b/p/q/").unwrap(), s3);
        assert_eq!(Location::parse("gs://b/p").unwrap_err().kind(), crate::common::ErrorKind::Unsupported);
        assert!(Location::parse("s3:///p").is_err());
        for slip in ["s3:/bucket/prefix", "s3:bucket", "file:/a/b", "memory:", "memory:/"] {
            let e = Location::parse(slip).unwrap_err();
            assert!(e.message().contains(slip) && e.hint() == Some(FORMS), "{e:?}");
        }
        assert_eq!(Location::parse("s3").unwrap(), Location::Directory("s3".into()));
        assert!(Location::parse("").is_err());
    }
}
