//! UNLOAD: a query's rows as files, for COPY and other programs to read.
//!
//! The query's rows are streams, one a partition of its plan, or one alone with PARALLEL OFF. Each is written to files of its
//! own, one at a time, by a task. A file appears when it is complete, and the manifest after all files. An UNLOAD that fails
//! or is cancelled deletes the files that it has made; what ALLOWOVERWRITE has replaced or CLEANPATH deleted stays gone.

mod file;
mod grouped;
mod lines;
mod manifest;
mod pack;
mod parquet;
mod target;
mod upload;
mod values;
mod writer;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, execute_stream};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::error::from_datafusion;
use super::files::shown;
use super::names::at;
use super::output::Output;
use super::planning::shown_schema;
use super::progress::{Ongoing, Progress};
use super::running::Running;
use super::statement::CancelToken;
use crate::common::{Clock, Error, Result, SqlState};
use crate::sql::ast::{Existing, PartitionBy, Unload, UnloadFormat, UnloadManifest, UnloadOptions};
use crate::system::{TransferKind, UnloadRecord};
use file::Finished;
use lines::Lines;
use target::Target;
use writer::Writer;

/// What all writers of a statement share.
struct Job {
    target: Target,
    options: UnloadOptions,
    /// The columns of the files, and where they stand in the query's rows.
    schema: SchemaRef,
    columns: Vec<usize>,
    /// The columns that name folders.
    partition_by: Vec<(usize, String)>,
    /// `None` of Parquet.
    lines: Option<Lines>,
    zone: Tz,
    pool: Arc<dyn MemoryPool>,
    clock: Arc<dyn Clock>,
    progress: Arc<Progress>,
    /// What there may be to delete if the statement fails.
    made: Mutex<Vec<Path>>,
    /// Of each upload as many bytes a part.
    part_bytes: usize,
    /// Files whose uploads could not be given up: their parts stay where they are.
    unfinished: Mutex<Vec<String>>,
    /// Values that COPY would not read back as they are.
    unprotected: AtomicU64,
    /// Values of VARBYTE that COPY would read back as NULL.
    empty: AtomicU64,
    /// Folders that CLEANPATH has emptied.
    cleaned: tokio::sync::Mutex<HashSet<String>>,
}

pub(super) async fn unload(running: &Running<'_>, unload: Unload) -> Result<Output> {
    let placed = |e: Error| match e.position() {
        None => e.with_position(unload.to_position.line, unload.to_position.column),
        Some(_) => e,
    };
    let mut target = Target::open(running, &unload).map_err(placed)?;
    let plan = running.plan(&SqlStatement::Query(unload.query.clone())).await?;
    let (schema, columns, partition_by) = columns_of(&plan, &unload)?;
    if !partition_by.is_empty() && !target.prefix.is_empty() && !target.prefix.ends_with('/') {
        target.prefix.push('/');
    }
    let zone = running.zone()?;
    let ongoing = Ongoing::begin(running, TransferKind::Unload, shown(&unload.to));
    let job = Arc::new(Job {
        progress: Arc::clone(&ongoing.progress),
        lines: Lines::new(&unload.options, &schema, zone),
        target,
        options: unload.options.clone(),
        schema,
        columns,
        partition_by,
        zone,
        pool: Arc::clone(&running.statement.runtime.memory_pool),
        clock: Arc::clone(&running.warehouse.inner.catalog.options().clock),
        made: Mutex::default(),
        part_bytes: running.warehouse.inner.stores.part_bytes,
        unfinished: Mutex::default(),
        unprotected: AtomicU64::new(0),
        empty: AtomicU64::new(0),
        cleaned: tokio::sync::Mutex::default(),
    });
    let physical = running.physical(&plan).await?;
    *running.ran.lock() = Some(Arc::clone(&physical));
    let statistics = StatisticsContext::new().compute(physical.as_ref(), &StatisticsArgs::new());
    ongoing.progress.expect_rows(statistics.ok().and_then(|known| known.num_rows.get_value().copied()));
    make_room(&job).await.map_err(placed)?;
    let streams = streams(running, physical, &job)?;
    let files = written(&job, streams, running.statement.cancel.clone()).await?;
    let rows = files.iter().map(|file| file.rows).sum();
    running.session.unloaded(running.statement.query, rows);
    Ok(Output::done("UNLOAD", Some(rows)).with_unloads(records(&job, &files)).with_notices(notices(&job)))
}

/// What COPY would not read back as it is.
fn notices(job: &Job) -> Vec<String> {
    let values = |n: u64| format!("{n} value{}", if n == 1 { "" } else { "s" });
    let (unprotected, empty) = (job.unprotected.load(Ordering::Relaxed), job.empty.load(Ordering::Relaxed));
    let unprotected = (unprotected > 0).then(|| {
        format!(
            "{} with a delimiter, a quote, a line's end or what stands for NULL: COPY reads others unless files are written with \
             CSV, or with ADDQUOTES and ESCAPE",
            values(unprotected)
        )
    });
    let empty = (empty > 0).then(|| {
        format!("{} of VARBYTE without bytes: COPY reads NULL, unless files are written with PARQUET", values(empty))
    });
    unprotected.into_iter().chain(empty).collect()
}

/// What `stl_unload_log` tells of files.
fn records(job: &Job, files: &[Finished]) -> Vec<UnloadRecord> {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let record = |file: &Finished| UnloadRecord {
        slice: i32::try_from(file.slice).unwrap_or(i32::MAX),
        path: job.target.url(&file.path),
        start_us: file.start_us,
        end_us: file.end_us,
        lines: signed(file.rows),
        bytes: signed(file.bytes),
        format: job.options.format.name().to_string(),
    };
    files.iter().map(record).collect()
}

/// See [`columns_of`].
type Columns = (SchemaRef, Vec<usize>, Vec<(usize, String)>);

/// The columns of files, where they stand in the query's rows, and those that name folders.
fn columns_of(plan: &LogicalPlan, unload: &Unload) -> Result<Columns> {
    let schema = shown_schema(&Arc::new(plan.schema().as_arrow().clone()));
    let by = partition_columns(&schema, unload.options.partition_by.as_ref())?;
    let include = unload.options.partition_by.as_ref().is_none_or(|by| by.include);
    let columns: Vec<usize> =
        (0..schema.fields().len()).filter(|i| include || by.iter().all(|(column, _)| column != i)).collect();
    // Nobody wants a Parquet column without a type, or one that says of a query's column more than is sure.
    let typed = |field: &Field| match field.data_type() {
        DataType::Null => field.clone().with_data_type(DataType::Utf8View).with_nullable(true),
        _ => field.clone().with_nullable(true),
    };
    let written = Schema::new(columns.iter().map(|i| typed(schema.field(*i))).collect::<Vec<_>>());
    let wrong = |state, message: String| {
        Error::invalid(state, message).with_position(unload.to_position.line, unload.to_position.column)
    };
    match &unload.options.format {
        UnloadFormat::Json | UnloadFormat::Parquet { .. } => {
            let mut names = HashSet::new();
            if let Some(field) = written.fields().iter().find(|field| !names.insert(field.name())) {
                let format = unload.options.format.name();
                let message = format!("{format} files need names of their own: two columns are \"{}\"", field.name());
                return Err(
                    wrong(SqlState::DUPLICATE_COLUMN, message).with_hint("give one of them another name with AS")
                );
            }
        }
        UnloadFormat::FixedWidth { widths, position } if widths.len() != written.fields().len() => {
            let message =
                format!("FIXEDWIDTH has {} widths where files have {} columns", widths.len(), written.fields().len());
            return Err(Error::invalid(SqlState::INVALID_PARAMETER, message)
                .with_position(position.line, position.column)
                .with_hint("give a width for each column, in their order"));
        }
        _ => {}
    }
    let text = |i: &usize| values::check_text(schema.field(*i));
    if !matches!(unload.options.format, UnloadFormat::Parquet { .. }) {
        columns.iter().try_for_each(text)?;
    }
    by.iter().try_for_each(|(i, _)| text(i))?;
    Ok((Arc::new(written), columns, by))
}

fn partition_columns(schema: &Schema, by: Option<&PartitionBy>) -> Result<Vec<(usize, String)>> {
    let Some(by) = by else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for column in &by.columns {
        let fields = schema.fields().iter().map(|field| field.name());
        let Some(i) = fields.clone().into_iter().position(|name| *name == column.value) else {
            let known: Vec<String> = fields.map(|name| format!("\"{name}\"")).collect();
            let message = format!("PARTITION BY: column \"{}\" is not among the query's", column.value);
            return Err(at(Error::invalid(SqlState::UNDEFINED_COLUMN, message), column)
                .with_hint(format!("its columns are {}", known.join(", "))));
        };
        found.push((i, column.value.clone()));
    }
    if let (true, Some(column)) = (found.len() >= schema.fields().len(), by.columns.first()) {
        let message = "PARTITION BY must leave a column that is none of a partition";
        return Err(at(Error::invalid(SqlState::INVALID_PARAMETER, message), column)
            .with_hint("let the query have another column, or partition by fewer"));
    }
    Ok(found)
}

/// Looks whether anything is in the way, or deletes it. Folders of partitions are emptied when it is known which they are.
async fn make_room(job: &Job) -> Result<()> {
    match job.options.existing {
        Existing::Overwrite => Ok(()),
        Existing::Clean if job.partition_by.is_empty() => job.target.clean("").await,
        Existing::Clean => Ok(()),
        Existing::Refuse => match job.target.existing("").await?.first() {
            None => Ok(()),
            Some(file) => {
                let url = job.target.url(&file.location);
                let message = format!("UNLOAD would not be alone at its place: {url} is there");
                Err(Error::invalid(SqlState::DUPLICATE_FILE, message)
                    .with_hint("choose another prefix, or say ALLOWOVERWRITE or CLEANPATH"))
            }
        },
    }
}

/// The query's rows: a stream for each writer.
fn streams(running: &Running<'_>, plan: Arc<dyn ExecutionPlan>, job: &Job) -> Result<Vec<SendableRecordBatchStream>> {
    let by: Vec<usize> = job.partition_by.iter().map(|(i, _)| *i).collect();
    let context = || running.state.task_ctx();
    let streams = match (job.options.parallel, by.is_empty()) {
        (false, true) => vec![execute_stream(plan, context()).map_err(from_datafusion)?],
        (false, false) => {
            vec![execute_stream(grouped::grouped_in_order(plan, &by)?, context()).map_err(from_datafusion)?]
        }
        (true, _) => {
            let plan = grouped::grouped(plan, &by);
            (0..plan.output_partitioning().partition_count())
                .map(|partition| plan.execute(partition, context()).map_err(from_datafusion))
                .collect::<Result<_>>()?
        }
    };
    Ok(streams.into_iter().map(|stream| running.statement.govern(stream)).collect())
}

/// Writes all files and the manifest, or none.
///
/// The work goes on in a task of its own, so that it also deletes what it has made when nobody waits for it any more.
async fn written(
    job: &Arc<Job>,
    streams: Vec<SendableRecordBatchStream>,
    cancel: CancelToken,
) -> Result<Vec<Finished>> {
    let mut waiting = Waiting(Some(cancel.clone()));
    let task = tokio::spawn(all_or_nothing(Arc::clone(job), streams, cancel));
    let done = task.await;
    waiting.0 = None;
    done.map_err(|e| Error::internal("the files' writer ended early").with_source(e))?
}

/// Cancels the statement when whoever waits for it goes away.
struct Waiting(Option<CancelToken>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(cancel) = &self.0 {
            cancel.cancel();
        }
    }
}

async fn all_or_nothing(
    job: Arc<Job>,
    streams: Vec<SendableRecordBatchStream>,
    cancel: CancelToken,
) -> Result<Vec<Finished>> {
    let outcome = match files(&job, streams, &cancel).await {
        Ok(files) => list(&job, &files).await.map(|()| files),
        Err(e) => Err(e),
    };
    match outcome {
        Ok(files) if !cancel.is_cancelled() => Ok(files),
        Ok(_) => Err(undone(&job, super::statement::cancelled()).await),
        Err(e) => Err(undone(&job, e).await),
    }
}

async fn files(job: &Arc<Job>, streams: Vec<SendableRecordBatchStream>, cancel: &CancelToken) -> Result<Vec<Finished>> {
    let mut writers = JoinSet::new();
    for (slice, stream) in streams.into_iter().enumerate() {
        writers.spawn(Writer::new(job, slice).write(stream));
    }
    let mut files = Vec::new();
    let mut failed = None;
    while let Some(written) = writers.join_next().await {
        match written.map_err(|e| Error::internal("a file's writer ended early").with_source(e)).flatten() {
            Ok(written) => files.extend(written),
            Err(e) => {
                // The others would write in vain.
                cancel.cancel();
                failed.get_or_insert(e);
            }
        }
    }
    if let Some(e) = failed {
        return Err(e);
    }
    if files.is_empty() && job.partition_by.is_empty() {
        files = Writer::new(job, 0).write_empty().await?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Writes the manifest, if one is wanted.
async fn list(job: &Job, files: &[Finished]) -> Result<()> {
    let schema = match job.options.manifest {
        None => return Ok(()),
        Some(UnloadManifest::Brief) => None,
        Some(UnloadManifest::Verbose) => Some(job.schema.as_ref()),
    };
    let path = job.target.path(manifest::NAME)?;
    job.made.lock().push(path.clone());
    let text = manifest::text(&job.target, files, schema);
    let put = job.target.store.put(&path, PutPayload::from(text)).await;
    put.map(drop).map_err(|e| job.target.failed("write", path.as_ref(), e))
}

/// Deletes what was made; the error, with what is left.
async fn undone(job: &Job, error: Error) -> Error {
    let made = std::mem::take(&mut *job.made.lock());
    let mut left = Vec::new();
    for path in made {
        match job.target.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => {
                tracing::warn!("{path} of a failed UNLOAD stays: {e}");
                left.push(job.target.url(&path));
            }
        }
    }
    let unfinished = std::mem::take(&mut *job.unfinished.lock());
    let mut details = Vec::new();
    if !left.is_empty() {
        details.push(format!("these files could not be deleted: {}", left.join(", ")));
    }
    if !unfinished.is_empty() {
        details.push(format!("parts of these uploads could not be deleted: {}", unfinished.join(", ")));
    }
    match details.is_empty() {
        true => error,
        false => error.with_detail(details.join("; ")),
    }
}
