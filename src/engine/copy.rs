//! COPY table FROM files.

use std::io;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::array::timezone::Tz;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr as DfExpr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStoreExt};
use tokio::sync::mpsc;

use super::coerce::{Misfit, Refused};
use super::ddl::load_into;
use super::error::from_datafusion;
use super::files::{CopyFiles, resolve};
use super::identity::{Generate, explicit};
use super::insert::default_of;
use super::load::Load;
use super::names::{at, no_such_column};
use super::output::Output;
use super::running::Running;
use super::text::{self, ChannelReader};
use crate::catalog::{ColumnDef, TableDef};
use crate::common::{Error, Result, SqlState};
use crate::sql::ast::{Copy, CopyFormat};

/// Batches that a file's parser may be ahead of the load.
const AHEAD: usize = 4;

pub(super) async fn copy(running: &Running<'_>, copy: Copy) -> Result<Output> {
    let place = running.place(&copy.table).await?;
    let pin = running.pins.pin(&place.warehouse).await?;
    let table = place.table(&pin, &copy.table)?;
    target_columns(&table.def, &copy)?;
    let region = copy.options.region.as_deref();
    let files = resolve(&copy.from, &copy.options.credentials, region).await.map_err(|e| match e.position() {
        None => e.with_position(copy.from_position.line, copy.from_position.column),
        Some(_) => e,
    })?;
    let (rows, notices) = load_into(running, &copy.table, |load| {
        let (copy, files) = (&copy, &files);
        async move { load_files(running, copy, files, load).await }
    })
    .await?;
    Ok(Output::done("COPY", Some(rows)).with_notices(notices))
}

async fn load_files(running: &Running<'_>, copy: &Copy, files: &CopyFiles, load: Load) -> Result<Load> {
    let def = Arc::clone(load.def());
    let targets = target_columns(&def, copy)?;
    let load = match def.identity() {
        Some((identity, _)) if !targets.contains(&identity) => load.generating(Generate::All),
        _ => load,
    };
    match copy.options.format {
        CopyFormat::Parquet => {
            running.state.runtime_env().register_object_store(&files.base, Arc::clone(&files.store));
            for file in &files.files {
                let plan = parquet_plan(running, files, file, &def, &targets).await?;
                match load.take(running.run_partitions(&plan).await?).await {
                    Ok(()) => {}
                    Err(Refused::Value(misfit)) => return Err(placed(running, &load, &plan, file, misfit).await),
                    Err(Refused::Other(e)) => return Err(e.context(&file.location)),
                }
            }
        }
        CopyFormat::Csv { .. } | CopyFormat::Delimited { .. } => {
            let threads = running.warehouse.inner.threads.max(1);
            let columns: Vec<ColumnDef> = targets.iter().map(|t| def.columns[*t].clone()).collect();
            let columns = Arc::new(columns);
            for group in files.files.chunks(threads) {
                let mut streams = Vec::with_capacity(group.len());
                for file in group {
                    let stream = text_stream(copy, files, file, Arc::clone(&columns), running.zone()?);
                    streams.push(fill(running, stream, &def, &targets).await?);
                }
                load.take(streams).await.map_err(|refused| match refused {
                    // The parser has checked what the file holds: this is a column that the file leaves out.
                    Refused::Value(misfit) => at(misfit.error, copy.table.base()),
                    Refused::Other(e) => e,
                })?;
            }
        }
    }
    Ok(load)
}

/// The error of a refused value of a Parquet file, with the number of the first such row. The file is read again, in
/// order: partitions that read parts of it do not know where they are.
async fn placed(running: &Running<'_>, load: &Load, plan: &LogicalPlan, file: &ObjectMeta, misfit: Misfit) -> Error {
    let first = match misfit.row {
        None => Ok(None),
        Some(_) => async { load.first_misfit(running.run_in_order(plan).await?).await }.await,
    };
    match first {
        Ok(Some(Misfit { error, row: Some(row), .. })) => error.context(format!("{}, row {}", file.location, row + 1)),
        // What was refused is told in any case.
        _ => misfit.error.context(&file.location),
    }
}

/// The ordinals of the columns that the files' fill, in the files' order. Files fill an IDENTITY column where EXPLICIT_IDS
/// is said, and not else; one that is GENERATED BY DEFAULT, as any other (Redshift manual, "COPY", EXPLICIT_IDS).
fn target_columns(def: &TableDef, copy: &Copy) -> Result<Vec<usize>> {
    let always = def.identity().filter(|(_, identity)| !identity.by_default).map(|(ordinal, _)| ordinal);
    if let Some(position) = copy.options.explicit_ids {
        let wrong = |message: String| {
            Err(Error::invalid(SqlState::SYNTAX_ERROR, message).with_position(position.line, position.column))
        };
        let Some((ordinal, _)) = def.identity() else {
            return wrong(format!("EXPLICIT_IDS: table \"{}\" has no identity column", def.name))
                .map_err(|e: Error| e.with_hint("leave it out"));
        };
        let name = &def.columns[ordinal].name;
        if !copy.columns.is_empty() && copy.columns.iter().all(|c| c.value != *name) {
            return wrong(format!("EXPLICIT_IDS: identity column \"{name}\" is not among the columns"))
                .map_err(|e: Error| e.with_hint("name the column, or leave EXPLICIT_IDS out"));
        }
    }
    let generated = always.filter(|_| copy.options.explicit_ids.is_none());
    if copy.columns.is_empty() {
        return Ok((0..def.columns.len()).filter(|ordinal| Some(*ordinal) != generated).collect());
    }
    let listed = |ident: &&crate::sql::ast::Ident| generated.is_some_and(|g| def.columns[g].name == ident.value);
    if let Some(ident) = copy.columns.iter().find(listed) {
        return Err(at(explicit(def), ident).with_hint("say EXPLICIT_IDS, or leave the column out"));
    }
    let find = |ident: &crate::sql::ast::Ident| {
        def.columns.iter().position(|c| c.name == ident.value).ok_or_else(|| no_such_column(ident, def))
    };
    copy.columns.iter().map(find).collect()
}

/// A plan that reads one Parquet file by position, its columns those of the table.
async fn parquet_plan(
    running: &Running<'_>,
    files: &CopyFiles,
    file: &ObjectMeta,
    def: &TableDef,
    targets: &[usize],
) -> Result<LogicalPlan> {
    let format = Arc::new(ParquetFormat::default());
    let schema = format
        .infer_schema(&running.state, &files.store, std::slice::from_ref(file))
        .await
        .map_err(|e| bad_parquet(file, &from_datafusion(e)))?;
    if schema.fields().len() != targets.len() {
        return Err(Error::invalid(
            SqlState::BAD_COPY_FILE,
            format!(
                "{} has {} columns where {} of table \"{}\" are loaded",
                file.location,
                schema.fields().len(),
                targets.len(),
                def.name
            ),
        )
        .with_hint("a column list after the table's name says which columns the file has, in its order"));
    }
    let url = ListingTableUrl::parse(format!("{}{}", files.base, file.location)).map_err(from_datafusion)?;
    let config = ListingTableConfig::new(url)
        .with_listing_options(ListingOptions::new(format).with_file_extension(""))
        .with_schema(Arc::clone(&schema));
    let provider = Arc::new(ListingTable::try_new(config).map_err(from_datafusion)?);
    let scan = LogicalPlanBuilder::scan("copy", provider_as_source(provider), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_datafusion)?;
    project_to_table(running, scan, def, targets)
}

/// `source` with the columns `targets` as a plan with all columns of the table, the others at their defaults.
fn project_to_table(
    running: &Running<'_>,
    source: LogicalPlan,
    def: &TableDef,
    targets: &[usize],
) -> Result<LogicalPlan> {
    let source_columns = source.schema().columns();
    let mut projection = Vec::with_capacity(def.columns.len());
    for (ordinal, column) in def.columns.iter().enumerate() {
        let expr = match targets.iter().position(|t| *t == ordinal) {
            Some(field) => DfExpr::Column(source_columns[field].clone()),
            None => default_of(running, column)?,
        };
        projection.push(expr.alias(format!("{}_{ordinal}", column.name)));
    }
    LogicalPlanBuilder::from(source).project(projection).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// A stream of some of the table's columns, filled up to all of them.
async fn fill(
    running: &Running<'_>,
    stream: SendableRecordBatchStream,
    def: &TableDef,
    targets: &[usize],
) -> Result<SendableRecordBatchStream> {
    if targets.iter().copied().eq(0..def.columns.len()) {
        return Ok(running.statement.govern(stream));
    }
    let table = datafusion::catalog::streaming::StreamingTable::try_new(
        stream.schema(),
        vec![Arc::new(OneStream { schema: stream.schema(), stream: parking_lot::Mutex::new(Some(stream)) })],
    )
    .map_err(from_datafusion)?;
    let scan = LogicalPlanBuilder::scan("copy", provider_as_source(Arc::new(table)), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_datafusion)?;
    let plan = project_to_table(running, scan, def, targets)?;
    running.run(&plan).await
}

/// A stream that a plan reads once.
struct OneStream {
    schema: Arc<Schema>,
    stream: parking_lot::Mutex<Option<SendableRecordBatchStream>>,
}

impl std::fmt::Debug for OneStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneStream")
    }
}

impl PartitionStream for OneStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        match self.stream.lock().take() {
            Some(stream) => stream,
            None => {
                let again = DataFusionError::Internal("a file's rows were read twice".into());
                Box::pin(RecordBatchStreamAdapter::new(
                    Arc::clone(&self.schema),
                    futures::stream::once(std::future::ready(Err(again))),
                ))
            }
        }
    }
}

/// One text file, parsed on a thread of its own.
fn text_stream(
    copy: &Copy,
    files: &CopyFiles,
    file: &ObjectMeta,
    columns: Arc<Vec<ColumnDef>>,
    zone: Tz,
) -> SendableRecordBatchStream {
    let fields: Vec<arrow::datatypes::Field> =
        columns.iter().map(|c| arrow::datatypes::Field::new(&c.name, c.sql_type.arrow_type(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let (sender, receiver) = mpsc::channel::<Result<RecordBatch>>(AHEAD);
    let (piece_sender, pieces) = mpsc::channel(AHEAD);
    let (store, location) = (Arc::clone(&files.store), file.location.clone());
    tokio::spawn(async move {
        let read = async {
            let mut stream = store.get(&location).await?.into_stream();
            while let Some(piece) = stream.try_next().await? {
                if piece_sender.send(Ok(piece)).await.is_err() {
                    break;
                }
            }
            Ok::<(), object_store::Error>(())
        };
        if let Err(e) = read.await {
            // The parser may be gone already; then nobody asks.
            let _ = piece_sender.send(Err(io::Error::other(e))).await;
        }
    });
    let options = copy.options.clone();
    let name = format!("{}{}", files.base, file.location);
    let name = name.strip_prefix("file://").unwrap_or(&name).to_string();
    tokio::task::spawn_blocking(move || {
        let emit = |batch| sender.blocking_send(Ok(batch)).map_err(|_| Error::internal("the load was given up"));
        if let Err(e) = text::parse(ChannelReader::new(pieces), &name, &columns, &options, zone, emit) {
            let _ = sender.blocking_send(Err(e));
        }
    });
    let batches = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|batch| (batch, receiver))
    });
    let batches = batches.map(|batch| batch.map_err(|e| DataFusionError::External(Box::new(e))));
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

fn bad_parquet(file: &ObjectMeta, e: &Error) -> Error {
    Error::invalid(
        SqlState::BAD_COPY_FILE,
        format!("{} is not a readable Parquet file: {}", file.location, e.message()),
    )
}
