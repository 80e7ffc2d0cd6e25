//! Parquet files of a COPY. Files of one schema are read by one plan, by row groups at the same time, however many or large they
//! are.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::stats::Precision;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use super::order::Order;
use super::progress::Progress;
use super::refused::{Code, LoadError, Refused as RefusedRows, raw};
use super::replaced::{RowGroups, is_text};
use super::text::shown_name;
use super::{Loading, Part, project_to_table};
use crate::common::{Error, ErrorKind, Result, SqlState, SqlType};
use crate::engine::coerce::{Misfit, Refused};
use crate::engine::error::from_datafusion;
use crate::engine::files::CopyFiles;
use crate::engine::load::Load;
use crate::engine::running::Running;

/// Files whose footers are read at the same time.
const FOOTERS: usize = 16;

/// A file and what its footer says.
struct File {
    meta: ObjectMeta,
    schema: SchemaRef,
    rows: u64,
}

pub async fn load(loading: &Loading<'_>, part: &Part, load: &Load) -> Result<()> {
    let (running, files) = (loading.running, &part.files);
    let looked = look_at_all(running, files).await.map_err(|unread| unread.logged(loading.refused))?;
    let mut alike: Vec<Vec<File>> = Vec::new();
    for file in looked {
        match alike.iter_mut().find(|some| some[0].schema == file.schema) {
            Some(some) => some.push(file),
            None => alike.push(vec![file]),
        }
    }
    for some in alike {
        check_number(loading, part, &some[0])?;
        let (rows, bytes) = some.iter().fold((0, 0), |(rows, bytes), file| (rows + file.rows, bytes + file.meta.size));
        let plan = plan(loading, part, &some, running.warehouse.inner.threads)?;
        loading.progress.begin_file(&shown_name(&files.base, &some[0].meta));
        let streams = running.run_partitions(&plan).await?.into_iter();
        let streams = streams.map(|stream| counted(stream, loading.progress, rows, bytes));
        match load.take(streams.collect()).await {
            Ok(()) => {}
            Err(Refused::Value(misfit)) => return Err(placed(loading, part, load, some, misfit).await),
            Err(Refused::Other(e)) => return Err(named(loading, part, load, &some, e).await),
        }
        loading.progress.end_files(some.len());
        note(loading.refused, files, &some);
    }
    Ok(())
}

/// A file that is none of Parquet, or that cannot be had.
pub struct Unread {
    pub error: Error,
    file: String,
}

impl Unread {
    /// The error, which is in the log where the file is to blame.
    pub fn logged(self, refused: &RefusedRows) -> Error {
        if self.error.kind() == ErrorKind::Invalid {
            log(refused, &self.file, Code::UNKNOWN, &self.error);
        }
        self.error
    }
}

/// The log tells what ends a load, of a file as a whole.
fn log(refused: &RefusedRows, file: &str, code: Code, error: &Error) {
    refused.keep(LoadError::of_file(file, code, error.message()));
}

/// The files' schemas, each with the file's name.
pub async fn schemas(running: &Running<'_>, files: &CopyFiles) -> Result<Vec<(String, SchemaRef)>, Unread> {
    let looked = look_at_all(running, files).await?;
    Ok(looked.into_iter().map(|file| (shown_name(&files.base, &file.meta), file.schema)).collect())
}

/// The columns of whole numbers and times that the first rows of the first file, so many, are in the order of.
pub async fn ordered(running: &Running<'_>, files: &CopyFiles, rows: usize) -> Result<Vec<String>> {
    let one = CopyFiles { files: files.files.iter().take(1).cloned().collect(), ..files.clone() };
    let looked = look_at_all(running, &one).await.map_err(|unread| unread.error)?;
    let provider: Arc<dyn TableProvider> = Arc::new(listing(&one, &looked)?);
    let head = LogicalPlanBuilder::scan("copy", provider_as_source(provider), None)
        .and_then(|scan| scan.limit(0, Some(rows)))
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_datafusion)?;
    let mut stream = running.run_in_order(&head).await?;
    let fields = stream.schema();
    let mut orders: Vec<(Order, Option<i64>)> = vec![Default::default(); fields.fields().len()];
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(from_datafusion)?;
        for ((order, last), column) in orders.iter_mut().zip(batch.columns()) {
            if !(column.data_type().is_integer() || column.data_type().is_temporal()) {
                continue;
            }
            let Ok(numbers) = cast(column, &DataType::Int64) else { continue };
            for number in numbers.as_primitive::<Int64Type>().iter().flatten() {
                order.see(last.replace(number).map(|last| last.cmp(&number)));
            }
        }
    }
    let told = fields.fields().iter().zip(&orders).filter(|(_, (order, _))| order.is_told());
    Ok(told.map(|(field, _)| field.name().clone()).collect())
}

async fn look_at_all(running: &Running<'_>, files: &CopyFiles) -> Result<Vec<File>, Unread> {
    running.state.runtime_env().register_object_store(&files.base, Arc::clone(&files.store));
    let format = Arc::new(ParquetFormat::default());
    // Boxed one by one: their lifetimes are not those of a closure's arguments.
    let mut looks = Vec::with_capacity(files.files.len());
    for file in &files.files {
        looks.push(look(running, Arc::clone(&format), files, file.clone()).boxed());
    }
    stream::iter(looks).buffered(FOOTERS).try_collect().await
}

async fn look(
    running: &Running<'_>,
    format: Arc<ParquetFormat>,
    files: &CopyFiles,
    meta: ObjectMeta,
) -> Result<File, Unread> {
    let bad = |e| {
        let file = shown_name(&files.base, &meta);
        Unread { error: bad_parquet(&file, from_datafusion(e)), file }
    };
    let schema = format.infer_schema(&running.state, &files.store, std::slice::from_ref(&meta)).await.map_err(bad)?;
    let statistics = format.infer_stats(&running.state, &files.store, Arc::clone(&schema), &meta).await.map_err(bad)?;
    let rows = match statistics.num_rows {
        Precision::Exact(rows) | Precision::Inexact(rows) => rows as u64,
        Precision::Absent => 0,
    };
    Ok(File { meta, schema, rows })
}

/// A file has as many columns as are loaded, or fewer where FILLRECORD is said.
fn check_number(loading: &Loading<'_>, part: &Part, file: &File) -> Result<()> {
    let (found, wanted) = (file.schema.fields().len(), part.targets.len());
    let code = match found.cmp(&wanted) {
        Ordering::Equal => return Ok(()),
        Ordering::Less if loading.copy.options.values.fill_record => return Ok(()),
        Ordering::Less => Code::MISSING_COLUMNS,
        Ordering::Greater => Code::EXTRA_COLUMNS,
    };
    let file = shown_name(&part.files.base, &file.meta);
    let message = format!("{file} has {found} columns where {wanted} of table \"{}\" are loaded", loading.def.name);
    let error = Error::invalid(SqlState::BAD_COPY_FILE, message).with_hint(
        "a column list after the table's name says which columns the file has, in its order; FILLRECORD fills up columns that \
         are missing at the end",
    );
    log(loading.refused, &file, code, &error);
    Err(error)
}

/// A plan that reads files of one schema by position, its columns those of the table; with one of `threads`, in the files' order.
fn plan(loading: &Loading<'_>, part: &Part, some: &[File], threads: usize) -> Result<LogicalPlan> {
    let files = &part.files;
    let provider: Arc<dyn TableProvider> = match loading.copy.options.values.replace_invalid {
        Some(by) => Arc::new(row_groups(loading, part, some, by, threads)?),
        None => Arc::new(listing(files, some)?),
    };
    let scan = LogicalPlanBuilder::scan("copy", provider_as_source(provider), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_datafusion)?;
    project_to_table(loading, &part.targets, scan)
}

fn listing(files: &CopyFiles, some: &[File]) -> Result<ListingTable> {
    // What a URL would decode is part of the name.
    let name = |file: &File| file.meta.location.as_ref().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    let url = |file: &File| ListingTableUrl::parse(format!("{}{}", files.base, name(file)));
    let urls = some.iter().map(url).collect::<Result<Vec<_>, _>>().map_err(from_datafusion)?;
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(""))
        .with_schema(Arc::clone(&some[0].schema));
    ListingTable::try_new(config).map_err(from_datafusion)
}

/// The files with bytes replaced that are no text, in columns that fill a VARCHAR.
fn row_groups(loading: &Loading<'_>, part: &Part, some: &[File], by: u8, threads: usize) -> Result<StreamingTable> {
    let schema = &some[0].schema;
    let filled = schema.fields().iter().zip(&part.targets).enumerate();
    let columns = filled.filter_map(|(at, (field, target))| {
        let column = &loading.def.columns[(*target)?];
        let replaced = is_text(field.data_type()) && matches!(column.sql_type, SqlType::Varchar(_));
        replaced.then(|| (at, column.name.clone()))
    });
    let all = RowGroups {
        store: Arc::clone(&part.files.store),
        files: some.iter().map(|f| (shown_name(&part.files.base, &f.meta).into(), f.meta.clone())).collect(),
        schema: Arc::clone(schema),
        columns: columns.collect(),
        by,
        share: (0, threads),
        refused: Arc::clone(loading.refused),
    };
    let shares = (0..threads).map(|at| Arc::new(RowGroups { share: (at, threads), ..all.clone() }) as _);
    StreamingTable::try_new(Arc::clone(schema), shares.collect()).map_err(from_datafusion)
}

/// Counts rows, and as many of the `bytes` as they are of all `rows`.
fn counted(
    stream: SendableRecordBatchStream,
    progress: &Arc<Progress>,
    rows: u64,
    bytes: u64,
) -> SendableRecordBatchStream {
    let (schema, progress) = (stream.schema(), Arc::clone(progress));
    let stream = stream.inspect(move |batch| {
        if let Ok(batch) = batch {
            let taken = batch.num_rows() as u64;
            progress.took(taken);
            progress.moved((u128::from(bytes) * u128::from(taken) / u128::from(rows.max(1))) as u64);
        }
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, stream))
}

/// The log tells rows of a file that has no lines.
fn note(refused: &RefusedRows, files: &CopyFiles, some: &[File]) {
    for file in some {
        refused.read(&shown_name(&files.base, &file.meta).into(), file.rows, file.rows);
    }
}

/// The error of a refused value, with its file and the number of the first such row. The files are read again, in order:
/// partitions that read parts of them do not know where they are.
async fn placed(loading: &Loading<'_>, part: &Part, load: &Load, some: Vec<File>, misfit: Misfit) -> Error {
    let files = &part.files;
    let alone = some.len() == 1;
    let mut last = String::new();
    for file in some {
        let name = shown_name(&files.base, &file.meta);
        let first = async {
            let plan = plan(loading, part, std::slice::from_ref(&file), 1)?;
            load.first_misfit(loading.running.run_in_order(&plan).await?).await
        };
        if let Ok(Some(Misfit { error, row: Some(row), column, value })) = first.await {
            let value = value.unwrap_or_default();
            let sql_type = loading.def.columns.get(column).map(|column| (column.name.clone(), column.sql_type));
            loading.refused.keep(LoadError {
                file: name.as_str().into(),
                line: row + 1,
                offset: 0,
                code: sql_type.as_ref().map_or(Code::TYPE, |(_, sql_type)| Code::of(error.state(), &value, *sql_type)),
                column: sql_type,
                position: 0,
                raw_line: raw(value.as_bytes()),
                raw_value: raw(value.as_bytes()),
                reason: error.message().to_string(),
                fields: Vec::new(),
            });
            return error.context(format!("{name}, row {}", row + 1));
        }
        last = name;
    }
    // What was refused is told in any case.
    if alone { misfit.error.context(last) } else { misfit.error }
}

/// The error of a file that cannot be read, with its name: of several, the first that alone cannot be read either.
async fn named(loading: &Loading<'_>, part: &Part, load: &Load, some: &[File], e: Error) -> Error {
    if matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Conflict) || e.state() == SqlState::QUERY_CANCELED {
        return if let [file] = some { e.context(shown_name(&part.files.base, &file.meta)) } else { e };
    }
    for file in some {
        let read = async {
            let plan = plan(loading, part, std::slice::from_ref(file), 1)?;
            load.first_misfit(loading.running.run_in_order(&plan).await?).await
        };
        let fails = some.len() == 1 || read.await.is_err();
        if fails {
            let name = shown_name(&part.files.base, &file.meta);
            log(loading.refused, &name, Code::UNKNOWN, &e);
            return e.context(name);
        }
    }
    e
}

fn bad_parquet(file: &str, e: Error) -> Error {
    // The file may be a good one, in a store that does not answer.
    if matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Unsupported) {
        return e.context(file);
    }
    Error::invalid(SqlState::BAD_COPY_FILE, format!("{file} is not a readable Parquet file: {}", e.message()))
        .with_hint("check the file, and that it is of Parquet")
}
