//! Where the files of an UNLOAD go, how they are called, and what is there already.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use crate::common::{Error, Result, SqlState};
use crate::engine::location::Location;
use crate::engine::running::Running;
use crate::engine::stores::{Access, Provider, bucket_address, open_bucket, store_error};
use crate::sql::ast::{Existing, Unload, UnloadFormat, UnloadOptions};

/// A store and the prefix of names in it.
pub struct Target {
    pub store: Arc<dyn ObjectStore>,
    /// What URLs of the store begin with, such as `s3://bucket/`.
    pub base: String,
    /// What the files' names begin with.
    pub prefix: String,
}

impl Target {
    /// `s3://bucket/prefix` and other buckets, `file:///prefix`, a path, or a URL of a store that the application has registered. A directory
    /// stands for files in it.
    ///
    /// Errors: Invalid for what cannot be a file's name, and for a place within the warehouse.
    pub fn open(running: &Running<'_>, unload: &Unload) -> Result<Target> {
        let to = unload.to.as_str();
        let wrong = |e: String| Error::invalid(SqlState::INVALID_PARAMETER, format!("\"{to}\": {e}"));
        let target = match to.split_once("://") {
            Some((scheme, _)) if Provider::of(scheme).is_some() => {
                let Some((provider, base, prefix)) = bucket_address(to)? else {
                    return Err(Error::internal(format!("\"{to}\" is no bucket")));
                };
                let UnloadOptions { credentials, region, .. } = &unload.options;
                let options = &running.warehouse.inner.stores;
                let access = Access { credentials, region: region.as_deref(), options };
                Target { store: open_bucket(provider, &base, access)?, base, prefix: prefix.to_string() }
            }
            Some(("file", _)) | None => {
                let path = to.strip_prefix("file://").unwrap_or(to);
                let absolute = std::path::absolute(path).map_err(|e| wrong(e.to_string()))?;
                let mut prefix = absolute.to_string_lossy().trim_start_matches('/').to_string();
                if !prefix.is_empty() && (path.ends_with('/') || absolute.is_dir()) {
                    prefix = format!("{}/", prefix.trim_end_matches('/'));
                }
                Target { store: Arc::new(LocalFileSystem::new()), base: "file:///".into(), prefix }
            }
            Some((scheme, _)) => {
                let url = Url::parse(to).map_err(|e| wrong(e.to_string()))?;
                let store = running.statement.runtime.object_store_registry.get_store(&url).map_err(|_| {
                    Error::unsupported(format!("UNLOAD to \"{scheme}://\" is not supported")).with_hint(
                        "use a path, file://, s3://, gs://, az:// or abfs://, or register a store for the URL with the session's \
                         context",
                    )
                })?;
                let base = format!("{}/", &url[..url::Position::BeforePath]);
                Target { store, prefix: to.strip_prefix(&base).unwrap_or_default().to_string(), base }
            }
        };
        // What cannot be a name is found before anything is read.
        target.path("x")?;
        target.check_outside(running.warehouse.location(), unload.options.existing)?;
        if is_root(&target.base, &target.prefix) && unload.options.existing == Existing::Clean {
            return Err(wrong("CLEANPATH would delete all that there is".into()).with_hint("name a folder in it"));
        }
        Ok(target)
    }

    /// The name of a file, of what stands behind the prefix.
    pub fn path(&self, rest: &str) -> Result<Path> {
        let name = format!("{}{rest}", self.prefix);
        Path::parse(&name).map_err(|e| {
            Error::invalid(SqlState::INVALID_PARAMETER, format!("\"{}{name}\" can be no file: {e}", self.base))
        })
    }

    /// The address of a file.
    pub fn url(&self, path: &Path) -> String {
        format!("{}{path}", self.base)
    }

    /// Invalid where files would be among the warehouse's own, or would be cleaned away with them.
    fn check_outside(&self, location: &Location, existing: Existing) -> Result<()> {
        let (base, place) = match location {
            Location::Memory => return Ok(()),
            Location::Directory(path) => {
                let absolute = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
                let place = absolute.unwrap_or_else(|_| path.clone()).to_string_lossy().to_string();
                ("file:///".to_string(), place.trim_matches('/').to_string())
            }
            Location::Bucket { base, prefix } => (base.clone(), prefix.clone()),
        };
        let place = if place.is_empty() { place } else { format!("{place}/") };
        let within = self.prefix.starts_with(&place);
        let around = place.starts_with(&self.prefix) && existing == Existing::Clean;
        if self.base == base && (within || around) {
            let message = format!("\"{}{}\" holds this warehouse", self.base, self.prefix);
            return Err(Error::invalid(SqlState::INVALID_PARAMETER, message)
                .with_hint("unload to a place outside of the warehouse's own"));
        }
        Ok(())
    }

    /// The files whose names begin with the prefix and `rest`, in the order of their names.
    pub async fn existing(&self, rest: &str) -> Result<Vec<ObjectMeta>> {
        let prefix = format!("{}{rest}", self.prefix);
        let folder = match prefix.rfind('/') {
            Some(end) if end > 0 => Some(Path::parse(&prefix[..end]).map_err(|e| Error::internal(e.to_string()))?),
            _ => None,
        };
        let failed = |e: object_store::Error| self.failed("list", &prefix, e);
        // Only of folders that the prefix leads into everything is listed: the files beside it may be many.
        let found = match self.store.list_with_delimiter(folder.as_ref()).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let mut files = found.objects;
        for below in found.common_prefixes {
            if format!("{below}/").starts_with(&prefix) {
                files.extend(self.store.list(Some(&below)).try_collect::<Vec<_>>().await.map_err(failed)?);
            }
        }
        files.retain(|file| file.location.as_ref().starts_with(&prefix));
        files.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(files)
    }

    /// Deletes the files whose names begin with the prefix and `rest`.
    pub async fn clean(&self, rest: &str) -> Result<()> {
        for file in self.existing(rest).await? {
            match self.store.delete(&file.location).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(self.failed("delete", file.location.as_ref(), e)),
            }
        }
        Ok(())
    }

    /// An error of the store.
    pub fn failed(&self, what: &str, name: &str, e: object_store::Error) -> Error {
        store_error(what, &format!("{}{name}", self.base), e)
    }
}

/// Whether files would stand beside everything else that a bucket, or a computer, holds.
fn is_root(base: &str, prefix: &str) -> bool {
    match base {
        "file:///" => !prefix.trim_start_matches('/').contains('/'),
        _ => prefix.trim_matches('/').is_empty(),
    }
}

/// What a file's name is made of, behind the prefix and the folder of its partition (Redshift manual, "UNLOAD").
pub fn file_name(options: &UnloadOptions, slice: usize, part: u32) -> String {
    let name = match options.parallel {
        true => format!("{slice:04}_part_{part:02}"),
        false => format!("{part:03}"),
    };
    let automatic = match (&options.format, options.compression) {
        (UnloadFormat::Parquet { .. }, _) => ".parquet",
        (_, Some(compression)) => compression.extension(),
        _ => "",
    };
    name + options.extension.as_deref().unwrap_or(automatic)
}

/// The folder of a value NULL (Hive's, which Redshift follows).
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// `column=value/` of each column of a partition.
pub fn folder<'v>(values: impl Iterator<Item = (&'v str, Option<&'v str>)>) -> String {
    let mut folder = String::new();
    for (column, value) in values {
        escaped(column, &mut folder);
        folder.push('=');
        match value {
            Some(value) => escaped(value, &mut folder),
            None => folder.push_str(NULL_FOLDER),
        }
        folder.push('/');
    }
    folder
}

/// Hive's escapes of what a folder's name must not hold (`FileUtils.escapePathName`).
fn escaped(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '"'
            | '#'
            | '%'
            | '\''
            | '*'
            | '/'
            | ':'
            | '='
            | '?'
            | '\\'
            | '{'
            | '['
            | ']'
            | '^'
            | '\u{7f}'
            | '\0'..='\u{1f}' => {
                out.push_str(&format!("%{:02X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_not_cleaned() {
        for (base, prefix) in
            [("file:///", ""), ("file:///", "/"), ("file:///", "etc"), ("s3://bucket/", ""), ("s3://bucket/", "/")]
        {
            assert!(is_root(base, prefix), "{base}{prefix}");
        }
        for (base, prefix) in [("file:///", "home/x"), ("file:///", "data/"), ("s3://bucket/", "x")] {
            assert!(!is_root(base, prefix), "{base}{prefix}");
        }
    }

    #[test]
    fn folders_escape_what_paths_must_not_hold() {
        let values = [("a", Some("x=1/2")), ("b%", None), ("c", Some("")), ("d", Some("2024-01-01 10:00:00+00"))];
        assert_eq!(
            folder(values.into_iter()),
            "a=x%3D1%2F2/b%25=__HIVE_DEFAULT_PARTITION__/c=/d=2024-01-01 10%3A00%3A00+00/"
        );
    }
}
