//! Files outside the warehouse: named in FROM like a table, or by COPY as a path, glob, prefix or URL.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::datasource::listing::{ListingTable, ListingTableConfig, ListingTableConfigExt, ListingTableUrl};
use datafusion::execution::SessionState;
use futures::TryStreamExt;
use glob::Pattern;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::stores::{Access, Place, open_files, store_error};
use crate::common::{Error, Result, SqlState};
use crate::sql::ast::CopyFormat;

/// The endings by which a name in FROM is taken for a file.
const FILE_ENDINGS: [&str; 6] = [".parquet", ".csv", ".json", ".arrow", ".txt", ".tbl"];

/// The file that a table is named after, if the name is one.
pub async fn file_table(name: &str, state: &SessionState) -> DfResult<Option<Arc<dyn TableProvider>>> {
    let looks_like_file = FILE_ENDINGS.iter().any(|e| name.to_ascii_lowercase().ends_with(e)) || name.contains('/');
    if !looks_like_file {
        return Ok(None);
    }
    let url = ListingTableUrl::parse(name)?;
    if url.scheme() == "file" && !name.contains(['*', '?', '[']) && !FsPath::new(&file_path(name)).exists() {
        return Err(DataFusionError::External(Box::new(no_such_file(name))));
    }
    let config = ListingTableConfig::new(url).infer_options(state).await?;
    let config = config.infer_partitions_from_path(state).await?.infer_schema(state).await?;
    Ok(Some(Arc::new(ListingTable::try_new(config)?)))
}

/// The files that a COPY names, and the store that holds them.
#[derive(Clone)]
pub struct CopyFiles {
    pub store: Arc<dyn ObjectStore>,
    /// The base URL to register the store under, for DataFusion's readers.
    pub base: url::Url,
    /// At least one, in the order of their names.
    pub files: Vec<ObjectMeta>,
}

/// Resolves a path, glob, prefix or URL.
///
/// A name with `*`, `?` or `[` is a glob; any other is a prefix of names: `data/part-` names `data/part-1` and `data/part-2`, `data/`
/// all files below. A path that is a file's whole name is that file; in a bucket, as in Redshift, it is those that begin with
/// it, too.
pub async fn resolve(from: &str, access: Access<'_>) -> Result<CopyFiles> {
    let Place { store, base, key, lists, shown } = open_files(from, access)?;
    if !lists {
        let file = store.head(&object_path(&key)?).await.map_err(|e| store_error("read", &shown, e))?;
        return Ok(CopyFiles { store, base, files: vec![file] });
    }
    let glob = key.find(['*', '?', '[']);
    let failed = |what: &str, e: object_store::Error| match e {
        object_store::Error::NotFound { .. } => no_such_file(&shown),
        other => store_error(what, &shown, other),
    };
    let mut whole = None;
    if !key.ends_with('/') && (glob.is_none() || base.scheme() == "file") {
        match store.head(&object_path(&key)?).await {
            Ok(file) if base.scheme() == "file" => return Ok(CopyFiles { store, base, files: vec![file] }),
            Ok(file) => whole = Some(file),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(failed("read", e)),
        }
    }
    let fixed = &key[..glob.unwrap_or(key.len())];
    let folder = fixed.rfind('/').map_or("", |at| &fixed[..at]);
    let pattern = match glob {
        Some(_) => Some(
            Pattern::new(&key)
                .map_err(|e| Error::invalid(SqlState::INVALID_PARAMETER, format!("\"{from}\" is no glob: {e}")))?,
        ),
        None => None,
    };
    let folder = if folder.is_empty() { None } else { Some(object_path(folder)?) };
    // Of a prefix, what begins so stands behind it.
    let listed = match glob.is_none() && !key.ends_with('/') {
        true => store.list_with_offset(folder.as_ref(), &object_path(&key)?),
        false => store.list(folder.as_ref()),
    };
    // Buckets list names in order, but for those of S3 Express (AWS, "ListObjectsV2").
    let in_order = glob.is_none() && base.scheme() != "file" && !base.host_str().is_some_and(|b| b.ends_with("--x-s3"));
    let is_behind = |name: &str| in_order && name > key.as_str() && !name.starts_with(key.as_str());
    let mut files: Vec<ObjectMeta> = listed
        .try_take_while(|file| std::future::ready(Ok(!is_behind(file.location.as_ref()))))
        .try_filter(|file| {
            let name = file.location.as_ref();
            let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
            let hidden = file.location.filename().is_some_and(|f| f.starts_with(['.', '_']));
            std::future::ready(match &pattern {
                Some(pattern) => pattern.matches_with(name, options),
                None => name.starts_with(key.as_str()) && !hidden,
            })
        })
        .try_collect()
        .await
        .map_err(|e| failed("list", e))?;
    files.retain(|file| {
        (file.size > 0 || pattern.is_some()) && Some(&file.location) != whole.as_ref().map(|f| &f.location)
    });
    files.extend(whole);
    if files.is_empty() {
        return Err(no_such_file(from));
    }
    files.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(CopyFiles { store, base, files })
}

/// An address as messages name it: what follows the question mark of a web address may be a signature.
pub fn shown(from: &str) -> &str {
    if from.starts_with("http") { from.split('?').next().unwrap_or_default() } else { from }
}

/// The content of a small file.
pub async fn read_whole(from: &str, access: Access<'_>) -> Result<Bytes> {
    let Place { store, key, shown, .. } = open_files(from, access)?;
    let unread = |e: object_store::Error| store_error("read", &shown, e);
    store.get(&object_path(&key)?).await.map_err(unread)?.bytes().await.map_err(unread)
}

/// The files that a manifest lists, `text` at `from`, in its order, each as often as it stands there; by store (Redshift manual, "Using
/// a manifest to specify data files").
///
/// Errors: Invalid where it is no manifest, a file that is mandatory is not there, one has another length than it says, or
/// none is there; of columnar files, where it does not say a length.
pub async fn resolve_manifest(
    from: &str,
    text: &[u8],
    format: &CopyFormat,
    access: Access<'_>,
) -> Result<Vec<CopyFiles>> {
    let wrong = |message: String| {
        Error::invalid(SqlState::BAD_COPY_FILE, message).with_hint(
            "a manifest is JSON as {\"entries\": [{\"url\": \"s3://bucket/file\", \"mandatory\": true}, …]}; without MANIFEST, FROM names \
             the files themselves",
        )
    };
    let from = shown(from);
    let manifest: serde_json::Value =
        serde_json::from_slice(text).map_err(|e| wrong(format!("\"{from}\" is no manifest: {e}")))?;
    let entries = manifest.get("entries").and_then(|entries| entries.as_array());
    let entries = entries.ok_or_else(|| wrong(format!("\"{from}\" is no manifest: it has no list of entries")))?;
    let mut groups: Vec<CopyFiles> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let url = entry.get("url").and_then(|url| url.as_str());
        let url = url.ok_or_else(|| wrong(format!("entry {} of \"{from}\" has no url", at + 1)))?;
        let mandatory = entry.get("mandatory").map_or(Some(false), |mandatory| mandatory.as_bool());
        let mandatory = mandatory.ok_or_else(|| wrong(format!("{url}: \"mandatory\" is neither true nor false")))?;
        let Place { store: opened, base, key, lists, shown: url } = open_files(url, access)?;
        let length = entry.get("meta").and_then(|meta| meta.get("content_length"));
        let length = match length {
            None if *format == CopyFormat::Parquet => return Err(no_length(from, at + 1, &url)),
            None => None,
            Some(length) => Some(length.as_u64().ok_or_else(|| {
                wrong(format!("entry {} of \"{from}\", {url}: its content_length is no number of bytes", at + 1))
            })?),
        };
        // A web server's signatures are of one file each.
        let known = groups.iter().find(|group| group.base == base && lists).map(|group| Arc::clone(&group.store));
        let store = known.unwrap_or(opened);
        let file = match store.head(&object_path(&key)?).await {
            Ok(file) => file,
            Err(object_store::Error::NotFound { .. }) => match mandatory {
                true => {
                    let message = format!("{url} is not there, which the manifest says is mandatory");
                    return Err(Error::invalid(SqlState::UNDEFINED_FILE, message)
                        .with_hint("put the file there, or leave it out of the manifest"));
                }
                false => continue,
            },
            Err(e) => return Err(store_error("read", &url, e)),
        };
        if let Some(length) = length.filter(|length| *length != file.size) {
            return Err(wrong(format!("{url} has {} bytes, {length} by the manifest", file.size)));
        }
        match groups.last_mut().filter(|group| Arc::ptr_eq(&group.store, &store)) {
            Some(group) => group.files.push(file),
            None => groups.push(CopyFiles { store, base, files: vec![file] }),
        }
    }
    match groups.is_empty() {
        true => Err(wrong(format!("none of the files that \"{from}\" lists is there"))),
        false => Ok(groups),
    }
}

/// Redshift manual, "Using a manifest to specify data files": `meta` is required of columnar files.
fn no_length(from: &str, entry: usize, url: &str) -> Error {
    let message = format!("entry {entry} of \"{from}\", {url}, does not say the file's length, which PARQUET needs");
    Error::invalid(SqlState::BAD_COPY_FILE, message)
        .with_hint(format!("write {{\"url\": \"{url}\", \"meta\": {{\"content_length\": bytes}}}}"))
}

fn file_path(name: &str) -> PathBuf {
    match name.strip_prefix("file://") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(name),
    }
}

fn object_path(key: &str) -> Result<Path> {
    Path::parse(key).map_err(|e| Error::invalid(SqlState::INVALID_PARAMETER, format!("\"{key}\": {e}")))
}

fn no_such_file(from: &str) -> Error {
    Error::invalid(SqlState::UNDEFINED_FILE, format!("no file matches \"{from}\""))
        .with_hint("check the path; a name with *, ? or [ is a glob, any other is a prefix of names")
}
