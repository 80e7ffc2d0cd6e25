//! Where a warehouse is kept: a directory, memory, or a bucket.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::prefix::PrefixStore;

use super::stores::{Access, StoreOptions, bucket_address, open_bucket};
use crate::catalog::{LocalStore, WarehouseStore};
use crate::common::{Error, Result, SqlState};
use crate::sql::ast::Credentials;

/// A parsed location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `memory://`: gone with the last handle.
    Memory,
    /// `file:///path` or a plain path.
    Directory(PathBuf),
    /// A bucket, by its address such as `s3://bucket/`, and the folder in it.
    Bucket { base: String, prefix: String },
}

/// What to do about a location that is none.
const FORMS: &str =
    "use a path, file:///directory, memory://, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix";

impl Location {
    /// Errors: Invalid for a malformed URL, Unsupported for another scheme.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((scheme, _)) = text.split_once("://") else {
            if text.is_empty() {
                return Err(invalid("the location is empty").with_hint(FORMS));
            }
            // A URL that lacks a slash is no directory that anybody wants.
            if ["s3:", "gs:", "az:", "file:", "memory:"].iter().any(|scheme| text.starts_with(scheme)) {
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
            other => match bucket_address(text)? {
                Some((_, base, prefix)) => Ok(Location::Bucket { base, prefix: prefix.trim_matches('/').into() }),
                None => {
                    let message = format!("locations of scheme \"{other}\" are not supported");
                    Err(Error::unsupported(message).with_hint(FORMS))
                }
            },
        }
    }

    /// Opens the store, and tells the directory whose files are its objects, if there is one.
    pub(super) async fn open(&self, options: &StoreOptions) -> Result<(WarehouseStore, Option<PathBuf>)> {
        match self {
            Location::Memory => Ok((WarehouseStore::memory(), None)),
            Location::Directory(path) => {
                let store = LocalStore::open(path.clone()).await?;
                let root = store.root().to_path_buf();
                Ok((WarehouseStore::local(store), Some(root)))
            }
            Location::Bucket { base, prefix } => {
                let Some((provider, base, _)) = bucket_address(base)? else {
                    return Err(Error::internal(format!("{base} is no bucket")));
                };
                let access = Access { credentials: &Credentials::default(), region: None, options };
                let store = open_bucket(provider, &base, access)?;
                Ok(match prefix.is_empty() {
                    true => (WarehouseStore::new(store), None),
                    false => (WarehouseStore::new(Arc::new(PrefixStore::new(store, prefix.as_str()))), None),
                })
            }
        }
    }
}

/// As it was given, a directory as its path.
impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Location::Memory => f.write_str("memory://"),
            Location::Directory(path) => write!(f, "{}", path.display()),
            Location::Bucket { base, prefix } => write!(f, "{base}{prefix}"),
        }
    }
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
        for (text, base) in [
            ("s3://b/p/q/", "s3://b/"),
            ("gs://b/p/q", "gs://b/"),
            ("az://b/p/q", "az://b/"),
            ("abfss://b@mine.dfs.core.windows.net/p/q", "abfss://b@mine.dfs.core.windows.net/"),
        ] {
            let location = Location::Bucket { base: base.into(), prefix: "p/q".into() };
            assert_eq!(Location::parse(text).unwrap(), location);
            assert_eq!(location.to_string(), text.trim_end_matches('/'));
        }
        assert_eq!(Location::parse("https://b/p").unwrap_err().kind(), crate::common::ErrorKind::Unsupported);
        assert!(Location::parse("s3:///p").is_err());
        for slip in ["s3:/bucket/prefix", "s3:bucket", "file:/a/b", "memory:", "memory:/"] {
            let e = Location::parse(slip).unwrap_err();
            assert!(e.message().contains(slip) && e.hint() == Some(FORMS), "{e:?}");
        }
        assert_eq!(Location::parse("s3").unwrap(), Location::Directory("s3".into()));
        assert!(Location::parse("").is_err());
    }
}
