//! COPY table FROM files.

mod blocks;
mod formats;
mod input;
mod json;
mod lines;
mod refused;
mod text;
mod values;

#[cfg(test)]
mod tests;

use std::sync::Arc;

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
use futures::StreamExt;
use object_store::ObjectMeta;

use super::coerce::{Misfit, Refused};
use super::ddl::load_into;
use super::error::from_datafusion;
use super::files::{CopyFiles, read_whole, resolve, resolve_manifest};
use super::identity::{Generate, explicit};
use super::insert::default_of;
use super::load::Load;
use super::names::{Place, at, no_such_column};
use super::output::Output;
use super::running::Running;
use super::stores::Access;
use crate::catalog::{ColumnDef, PinnedSnapshot, TableDef};
use crate::common::{Error, ErrorKind, Result, SqlState, SqlType};
use crate::sql::ast::{CompUpdate, Copy, CopyFormat, Mapping};
use crate::system::{Home, QueryRecord};
use formats::Formats;
use json::Shape;
use lines::Form;
use refused::Refused as RefusedRows;
use text::TextFiles;
use values::Rules;

pub(super) async fn copy(running: &Running<'_>, copy: Copy) -> Result<Output> {
    let place = running.place(&copy.table).await?;
    let pin = running.pins.pin(&place.warehouse).await?;
    let table = place.table(&pin, &copy.table)?;
    target_columns(&table.def, &copy)?;
    check_options(&copy)?;
    let access = access(running, &copy);
    let files = match copy.options.manifest {
        true => resolve_manifest(&copy.from, access).await,
        false => resolve(&copy.from, access).await.map(|files| vec![files]),
    };
    let files = files.map_err(|e| match e.position() {
        None => e.with_position(copy.from_position.line, copy.from_position.column),
        Some(_) => e,
    })?;
    let refused = Arc::new(RefusedRows::new(copy.options.errors));
    let query = i64::try_from(running.statement.query).unwrap_or(i64::MAX);
    *running.session.last_copy.lock() = (query, 0);
    let began_us = running.warehouse.inner.catalog.options().clock.now_us();
    let loaded = match copy.options.no_load {
        true => read_only(running, &copy, &table.def, &files, &refused).await,
        false => {
            load_into(running, &copy.table, |load| {
                let (copy, files, refused) = (&copy, &files, &refused);
                async move { load_files(running, copy, files, refused, load).await }
            })
            .await
        }
    };
    log(running, &place, &pin, &table.def, &copy, &refused, began_us, loaded.is_err());
    let (rows, mut notices) = loaded?;
    running.session.last_copy.lock().1 = i64::try_from(rows).unwrap_or(i64::MAX);
    if refused.count() > 0 {
        notices.push(format!(
            "{} rows were refused and left out: SELECT * FROM stl_load_errors WHERE query = pg_last_copy_id() lists them",
            refused.count()
        ));
    }
    Ok(Output::done(format!("COPY {rows}"), Some(rows)).with_notices(notices))
}

fn access<'a>(running: &'a Running<'_>, copy: &'a Copy) -> Access<'a> {
    let options = &running.warehouse.inner.stores;
    Access { credentials: &copy.options.credentials, region: copy.options.region.as_deref(), options }
}

/// NOLOAD: reads the files as a load would, and gives the rows away.
async fn read_only(
    running: &Running<'_>,
    copy: &Copy,
    def: &TableDef,
    groups: &[CopyFiles],
    refused: &Arc<RefusedRows>,
) -> Result<(u64, Vec<String>)> {
    let targets = target_columns(def, copy)?;
    let text = Arc::new(text_files(running, copy, def, &targets, refused).await?);
    let count = |mut stream: SendableRecordBatchStream| async move {
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            rows += batch.map_err(from_datafusion)?.num_rows() as u64;
        }
        Ok::<u64, Error>(rows)
    };
    let mut rows = 0;
    for files in groups {
        let streams = text::streams(Arc::clone(&text), files, running.warehouse.inner.threads).into_iter();
        let counted = streams.map(|stream| count(running.statement.govern(stream)));
        rows += futures::future::try_join_all(counted).await?.into_iter().sum::<u64>();
    }
    Ok((0, vec![format!("{rows} rows could be loaded; NOLOAD loads none")]))
}

/// Logs what was read and refused, whatever becomes of the transaction.
#[allow(clippy::too_many_arguments, reason = "each is something else that the log tells")]
fn log(
    running: &Running<'_>,
    place: &Place,
    pin: &PinnedSnapshot,
    def: &TableDef,
    copy: &Copy,
    refused: &RefusedRows,
    began_us: i64,
    failed: bool,
) {
    let inner = &running.warehouse.inner;
    let now_us = inner.catalog.options().clock.now_us();
    let home = Home {
        snapshot: pin.clone(),
        segments: inner.segments.at(pin.clone()),
        temporary: place.warehouse.is_scratch(),
    };
    inner.log.add(QueryRecord {
        user: running.statement.user.0 as i32,
        query: i64::try_from(running.statement.query).unwrap_or(i64::MAX),
        xid: i64::try_from(pin.version.0).unwrap_or(i64::MAX),
        process: i32::try_from(running.statement.process).unwrap_or(i32::MAX),
        start_us: began_us,
        end_us: now_us,
        aborted: failed,
        load: Some(refused.record(home.oid(def.id), copy.options.format.name(), now_us)),
        ..QueryRecord::default()
    });
}

async fn load_files(
    running: &Running<'_>,
    copy: &Copy,
    groups: &[CopyFiles],
    refused: &Arc<RefusedRows>,
    load: Load,
) -> Result<Load> {
    refused.clear();
    let def = Arc::clone(load.def());
    let targets = target_columns(&def, copy)?;
    let load = match def.identity() {
        Some((identity, _)) if !targets.contains(&identity) => load.generating(Generate::All),
        _ => load,
    };
    for files in groups {
        load_group(running, copy, files, &targets, refused, &load).await?;
    }
    Ok(load)
}

/// Loads the files of one store.
async fn load_group(
    running: &Running<'_>,
    copy: &Copy,
    files: &CopyFiles,
    targets: &[usize],
    refused: &Arc<RefusedRows>,
    load: &Load,
) -> Result<()> {
    let def = Arc::clone(load.def());
    match &copy.options.format {
        CopyFormat::Parquet => {
            running.state.runtime_env().register_object_store(&files.base, Arc::clone(&files.store));
            for file in &files.files {
                let plan = parquet_plan(running, files, file, &def, targets).await?;
                let name: Arc<str> = text::shown_name(&files.base, file).into();
                let rows =
                    running.run_partitions(&plan).await?.into_iter().map(|stream| counted(stream, refused, &name));
                match load.take(rows.collect()).await {
                    Ok(()) => {}
                    Err(Refused::Value(misfit)) => return Err(placed(running, load, &plan, file, misfit).await),
                    Err(Refused::Other(e)) => return Err(e.context(&file.location)),
                }
            }
        }
        CopyFormat::Csv { .. } | CopyFormat::Delimited { .. } | CopyFormat::FixedWidth(_) | CopyFormat::Json(_) => {
            let threads = running.warehouse.inner.threads;
            let text = Arc::new(text_files(running, copy, &def, targets, refused).await?);
            let mut streams = Vec::with_capacity(threads);
            for stream in text::streams(text, files, threads) {
                streams.push(fill(running, stream, &def, targets).await?);
            }
            load.take(streams).await.map_err(|refused| match refused {
                // The parser has checked what the file holds: this is a column that the file leaves out.
                Refused::Value(misfit) => at(misfit.error, copy.table.base()),
                Refused::Other(e) => e,
            })?;
        }
    }
    Ok(())
}

/// The rows of a file that has no lines, which are counted instead.
fn counted(
    stream: SendableRecordBatchStream,
    refused: &Arc<RefusedRows>,
    file: &Arc<str>,
) -> SendableRecordBatchStream {
    let (schema, refused, file) = (stream.schema(), Arc::clone(refused), Arc::clone(file));
    let rows = stream.inspect(move |batch| {
        if let Ok(batch) = batch {
            refused.read(&file, batch.num_rows() as u64);
        }
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

/// Unsupported for options that have no effect yet.
fn check_options(copy: &Copy) -> Result<()> {
    let options = &copy.options;
    let of_parquet = options.format == CopyFormat::Parquet;
    let refused = |what: &str, hint: &str| {
        Err(Error::unsupported(format!("COPY option {what} is not supported yet")).with_hint(hint))
    };
    match () {
        _ if options.compupdate != CompUpdate::Unsaid || options.comprows.is_some() => {
            refused("COMPUPDATE or COMPROWS", "leave it out: columns of ENCODE AUTO are encoded as suits each block")
        }
        _ if options.statupdate.is_some() => {
            refused("STATUPDATE", "leave it out: loads tell what their rows are like, and ANALYZE does the rest")
        }
        _ if of_parquet && (options.values.fill_record || options.values.replace_invalid.is_some()) => {
            refused("FILLRECORD or ACCEPTINVCHARS of PARQUET", "name the columns that the file has behind the table")
        }
        _ if of_parquet && options.no_load => refused("NOLOAD of PARQUET", "load into a temporary table instead"),
        _ => Ok(()),
    }
}

/// How the text files are read.
async fn text_files(
    running: &Running<'_>,
    copy: &Copy,
    def: &TableDef,
    targets: &[usize],
    refused: &Arc<RefusedRows>,
) -> Result<TextFiles> {
    let columns: Vec<ColumnDef> = targets.iter().map(|t| def.columns[*t].clone()).collect();
    let mut text = copy.options.values.clone();
    let form = match &copy.options.format {
        CopyFormat::Json(mapping) => {
            // NULL is null.
            text.null_as = "\0".to_string();
            Form::Json(shape(running, copy, mapping, &columns).await?)
        }
        format => form(format, columns.len())?,
    };
    let rules = Rules { formats: Formats::new(&text)?, text, zone: running.zone()? };
    Ok(TextFiles { form, compression: copy.options.compression, rules, columns, refused: Arc::clone(refused) })
}

/// Where in values of JSON the columns are.
async fn shape(running: &Running<'_>, copy: &Copy, mapping: &Mapping, columns: &[ColumnDef]) -> Result<Shape> {
    match mapping {
        Mapping::Auto { ignore_case } => {
            Ok(Shape::Keys { names: columns.iter().map(|c| c.name.clone()).collect(), ignore_case: *ignore_case })
        }
        Mapping::Whole if columns.len() == 1 && columns[0].sql_type == SqlType::Super => Ok(Shape::Whole),
        Mapping::Whole => {
            Err(Error::invalid(SqlState::INVALID_PARAMETER, "JSON 'noshred' loads one column, of type SUPER")
                .with_hint("name that column behind the table"))
        }
        Mapping::Paths { at: place, position } => {
            let text = read_whole(place, access(running, copy)).await;
            let shape = text.and_then(|text| Shape::of_paths(place, &text, columns.len()));
            shape.map_err(|e| e.with_position(position.line, position.column))
        }
    }
}

/// How lines of so many `columns` are parted.
fn form(format: &CopyFormat, columns: usize) -> Result<Form> {
    Ok(match format {
        CopyFormat::Csv { delimiter, quote } => Form::Csv { delimiter: *delimiter, quote: *quote },
        CopyFormat::Delimited { delimiter, escape, remove_quotes } => {
            Form::Delimited { delimiter: *delimiter, escape: *escape, remove_quotes: *remove_quotes }
        }
        CopyFormat::FixedWidth(fields) if fields.len() == columns => {
            Form::Fixed(fields.iter().map(|field| field.width).collect())
        }
        CopyFormat::FixedWidth(fields) => {
            let message = format!("FIXEDWIDTH has {} fields where {columns} columns are loaded", fields.len());
            return Err(Error::invalid(SqlState::INVALID_PARAMETER, message)
                .with_hint("give a width for each column, in their order, or a column list"));
        }
        CopyFormat::Parquet | CopyFormat::Json(_) => return Err(Error::internal("the files are no lines of fields")),
    })
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
        .map_err(|e| bad_parquet(file, from_datafusion(e)))?;
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

/// Invalid: a file is not what the statement says.
fn damaged(file: &str, what: &str) -> Error {
    Error::invalid(SqlState::BAD_COPY_FILE, format!("{file} cannot be read {what}"))
        .with_hint("check the file, and that the compression and the ENCODING are the ones that it has")
}

fn bad_parquet(file: &ObjectMeta, e: Error) -> Error {
    // The file may be a good one, in a store that does not answer.
    if matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Unsupported) {
        return e.context(&file.location);
    }
    Error::invalid(
        SqlState::BAD_COPY_FILE,
        format!("{} is not a readable Parquet file: {}", file.location, e.message()),
    )
}
