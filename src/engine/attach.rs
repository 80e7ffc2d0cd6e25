//! ATTACH and DETACH: other warehouses, and directories of Parquet files, as catalogs of a session.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::SessionState;
use futures::future::BoxFuture;

use super::error::from_datafusion;
use super::files::file_table;
use super::location::Location;
use super::names::{DEFAULT_SCHEMA, at};
use super::namespace::Attached;
use super::output::Output;
use super::running::Running;
use super::warehouse::Warehouse;
use crate::common::{Error, Result, SqlState};
use crate::sql::ast::{Attach, Detach};

pub(super) async fn attach(running: &Running<'_>, attach: Attach) -> Result<Output> {
    let place = attach.location_position;
    let attached = open(running, &attach).await.map_err(|e| match e.position() {
        None => e.with_position(place.line, place.column),
        Some(_) => e,
    })?;
    running.session.names.attach(&attach.name.value, attached).map_err(|e| at(e, &attach.name))?;
    Ok(Output::done("ATTACH", None))
}

pub(super) fn detach(running: &Running<'_>, detach: Detach) -> Result<Output> {
    running.session.names.detach(&detach.name.value).map_err(|e| at(e, &detach.name))?;
    Ok(Output::done("DETACH", None))
}

async fn open(running: &Running<'_>, attach: &Attach) -> Result<Attached> {
    let location = Location::parse(&attach.location)?;
    if let Location::Directory(path) = &location {
        let is_warehouse = path.join("_log").is_dir();
        if !is_warehouse && path.is_dir() && !parquet_tables(path)?.is_empty() {
            let files =
                FileCatalog { schema: Arc::new(FileSchema { folder: path.clone(), state: running.state.clone() }) };
            return Ok(Attached::Files(Arc::new(files)));
        }
        if !is_warehouse {
            let what = if path.exists() { "holds neither a warehouse nor Parquet files" } else { "does not exist" };
            return Err(Error::invalid(SqlState::UNDEFINED_FILE, format!("\"{}\" {what}", attach.location)).with_hint(
                "name a warehouse's location, or a directory with a Parquet file or a directory of such for each table",
            ));
        }
    }
    // One in memory is the session's own, and new.
    let create = location == Location::Memory;
    let builder = Warehouse::builder().sharing(running.warehouse).create(create);
    let builder = match create {
        true => builder.slices(running.warehouse.info().slices).geometry(running.warehouse.geometry()?),
        false => builder,
    };
    let warehouse = builder.open(&attach.location).await?;
    // The session's own warehouse is read at one version, by whatever name.
    let own = warehouse.info().uuid == running.warehouse.info().uuid;
    let warehouse = if own { running.warehouse.clone() } else { warehouse };
    Ok(Attached::Warehouse { warehouse, read_only: attach.read_only })
}

/// The tables that a directory holds: its Parquet files, and its directories of such, by name.
fn parquet_tables(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let failed =
        |e: std::io::Error| Error::unavailable(format!("cannot list {}: {e}", folder.display())).with_source(e);
    let is_parquet = |path: &Path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet"));
    let mut tables = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()).filter(|name| !name.starts_with(['.', '_']))
        else {
            continue;
        };
        if path.is_file() && is_parquet(&path) {
            tables.insert(name.to_string(), path);
        } else if path.is_dir() {
            let mut files = std::fs::read_dir(&path).map_err(failed)?;
            let holds = files.any(|file| file.is_ok_and(|file| is_parquet(&file.path())));
            if holds && let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                tables.entry(name.to_string()).or_insert(path);
            }
        }
    }
    Ok(tables)
}

/// A directory as a catalog of one schema.
#[derive(Debug)]
struct FileCatalog {
    schema: Arc<FileSchema>,
}

impl CatalogProvider for FileCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec![DEFAULT_SCHEMA.into()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        (name == DEFAULT_SCHEMA).then(|| Arc::clone(&self.schema) as _)
    }
}

struct FileSchema {
    folder: PathBuf,
    /// Reads the files' headers.
    state: SessionState,
}

impl std::fmt::Debug for FileSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSchema").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl FileSchema {
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, DfResult<Option<Arc<dyn TableProvider>>>> {
        Box::pin(async move {
            let tables = parquet_tables(&self.folder).map_err(super::catalog_provider::external)?;
            let Some(path) = tables.get(name) else { return Ok(None) };
            let path = std::path::absolute(path)?;
            let folder = if path.is_dir() { "/" } else { "" };
            match file_table(&format!("{}{folder}", path.display()), &self.state).await {
                Err(error) => Err(super::catalog_provider::external(self.unreadable(&path, error).await)),
                table => table,
            }
        })
    }

    /// The error of a table, with the name of the file that cannot be read.
    async fn unreadable(&self, path: &Path, error: DataFusionError) -> Error {
        let mut files: Vec<PathBuf> = match std::fs::read_dir(path) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(_) => vec![path.to_path_buf()],
        };
        files.sort();
        let mut found = (path.to_path_buf(), error);
        for file in files.into_iter().filter(|file| file.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet")))
        {
            if let Err(error) = file_table(&file.display().to_string(), &self.state).await {
                found = (file, error);
                break;
            }
        }
        let (file, error) = found;
        let reason = from_datafusion(error);
        let reason = reason.message().trim_start_matches("Parquet error: ");
        Error::invalid(SqlState::BAD_COPY_FILE, format!("cannot read {}: {reason}", file.display()))
            .with_hint("the files of a table are all Parquet, with the same columns: mend this one or take it away")
    }
}

impl SchemaProvider for FileSchema {
    /// Files that come and go do so as tables.
    fn table_names(&self) -> Vec<String> {
        parquet_tables(&self.folder).map(|tables| tables.into_keys().collect()).unwrap_or_default()
    }

    fn table<'s, 'n, 'f>(&'s self, name: &'n str) -> BoxFuture<'f, DfResult<Option<Arc<dyn TableProvider>>>>
    where
        's: 'f,
        'n: 'f,
    {
        self.find(name)
    }

    fn table_exist(&self, name: &str) -> bool {
        parquet_tables(&self.folder).is_ok_and(|tables| tables.contains_key(name))
    }
}
