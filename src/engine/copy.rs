//! COPY table FROM files.

mod avro;
mod blocks;
mod by_name;
mod create;
mod formats;
mod infer;
mod input;
mod json;
mod lines;
mod order;
mod parquet;
mod refused;
mod replaced;
mod skip;
mod text;
mod turns;
mod upsert;
mod values;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr as DfExpr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::StreamExt;

use super::coerce::Refused;
use super::ddl::load_into_as;
use super::error::from_datafusion;
use super::files::{CopyFiles, read_whole, resolve, resolve_manifest, shown};
use super::identity::{Generate, explicit};
use super::insert::default_of;
use super::load::Load;
use super::names::{Place, at, no_such_column};
use super::output::Output;
use super::progress::{self, Ongoing, Progress};
use super::running::Running;
use super::statistics;
use super::stores::Access;
use crate::catalog::{ColumnDef, LoadHistory, PinnedSnapshot, Source, TableDef};
use crate::common::{Error, Result, SqlState, SqlType, TableId};
use crate::sql::ast::{Analyze, Copy, CopyFormat, CopyOptions, Mapping};
use crate::system::{Home, QueryRecord, TransferKind};
use formats::Formats;
use json::{Keys, Shape};
use lines::Form;
use refused::{Code, LoadError, Refused as RefusedRows};
use text::TextFiles;
use values::Rules;

pub(super) use create::create_from;

pub(super) async fn copy(running: &Running<'_>, copy: Copy) -> Result<Output> {
    let place = running.place(&copy.table).await?;
    let pin = running.pins.pin(&place.warehouse).await?;
    let table = place.table(&pin, &copy.table)?;
    let targets = target_columns(&table.def, &copy)?;
    let watch = Watch::begin(running, &place, &pin, &table.def, &copy);
    let files = match files(running, &copy).await {
        Ok(files) => files,
        Err(unfound) => return Err(watch.unfound(running, unfound)),
    };
    let loading = watch.loading(running, &copy, &table.def, targets, &table.loads);
    let added = match copy.options.add_columns {
        true => match by_name::unknown(&loading, &chosen_files(&loading, &files)?.0).await {
            Ok(added) => added,
            Err(error) => {
                let file = shown(&copy.from).to_string();
                return Err(watch.unfound(running, Unfound { code: Code::UNKNOWN, file, error }));
            }
        },
        false => Vec::new(),
    };
    let loaded = match &copy.options.merge {
        _ if copy.options.no_load => read_only(&loading, &files).await,
        Some(on) => upsert::upsert(&loading, &files, on).await,
        None => {
            let widened = |def: &TableDef| by_name::widened(def, &added);
            load_into_as(running, &copy.table, widened, |load| {
                let (copy, files, watch) = (&copy, &files, &watch);
                async move {
                    watch.refused.clear();
                    let (targets, history) = (target_columns(load.def(), copy)?, load.history().await);
                    load_files(&watch.loading(running, copy, load.def(), targets, &history), files, load).await
                }
            })
            .await
        }
    };
    let (rows, mut notices) = watch.end(running, loaded)?;
    if copy.options.comprows.is_some() {
        notices.push("COMPROWS has no effect: ENCODE AUTO looks at rows of each block".to_string());
    }
    if copy.options.statupdate == Some(true) {
        let table = Some(copy.table.clone());
        let all = Analyze { table, columns: Vec::new(), predicate_columns: false, verbose: false };
        notices.extend(statistics::analyze(running, all).await?.notices);
    }
    Ok(Output::done(format!("COPY {rows}"), Some(rows)).with_notices(notices))
}

/// What each part of a COPY needs to know.
#[derive(Clone)]
struct Loading<'a> {
    running: &'a Running<'a>,
    copy: &'a Copy,
    /// The table that is filled.
    def: Arc<TableDef>,
    /// The ordinals of the columns that files fill by position, in the files' order.
    targets: Vec<usize>,
    /// What was loaded into the table before.
    history: Arc<LoadHistory>,
    refused: &'a Arc<RefusedRows>,
    progress: &'a Arc<Progress>,
}

/// Files of one store that have the same columns in the same order.
struct Part {
    files: CopyFiles,
    /// Of each of their columns, the ordinal of the table's that it fills; `None` of those that are left out.
    targets: Vec<Option<usize>>,
}

/// A load as others see it, while it goes on and after it has ended.
struct Watch {
    entry: Entry,
    refused: Arc<RefusedRows>,
    ongoing: Ongoing,
}

impl Watch {
    /// The load into the table begins.
    fn begin(running: &Running<'_>, place: &Place, pin: &PinnedSnapshot, table: &TableDef, copy: &Copy) -> Self {
        *running.session.last_copy.lock() = (query_number(running), 0);
        let entry = Entry::begin(running, place, pin, table.id, copy);
        let ongoing = Ongoing::begin(running, TransferKind::Load, &table.name);
        Watch { entry, refused: Arc::new(RefusedRows::new(copy.options.errors)), ongoing }
    }

    fn loading<'a>(
        &'a self,
        running: &'a Running<'a>,
        copy: &'a Copy,
        def: &Arc<TableDef>,
        targets: Vec<usize>,
        history: &Arc<LoadHistory>,
    ) -> Loading<'a> {
        let (def, history) = (Arc::clone(def), Arc::clone(history));
        Loading { running, copy, def, targets, history, refused: &self.refused, progress: &self.ongoing.progress }
    }

    /// There is nothing to load: logs why; the error.
    fn unfound(self, running: &Running<'_>, unfound: Unfound) -> Error {
        let Unfound { code, file, error } = unfound;
        if matches!(error.state(), SqlState::UNDEFINED_FILE | SqlState::BAD_COPY_FILE) {
            self.refused.keep(LoadError::of_file(&file, code, error.message()));
        }
        self.entry.end(running, &self.refused, true);
        error
    }

    /// The load has ended: logs what was read and refused.
    fn end(self, running: &Running<'_>, loaded: Result<(u64, Vec<String>)>) -> Result<(u64, Vec<String>)> {
        self.entry.end(running, &self.refused, loaded.is_err());
        let (rows, mut notices) = loaded?;
        running.session.last_copy.lock().1 = i64::try_from(rows).unwrap_or(i64::MAX);
        notices.extend(self.refused.notice());
        Ok((rows, notices))
    }
}

/// Why there are no files to load.
struct Unfound {
    code: Code,
    file: String,
    error: Error,
}

/// The files that the statement names, by store.
async fn files(running: &Running<'_>, copy: &Copy) -> std::result::Result<Vec<CopyFiles>, Unfound> {
    let access = access(running, copy);
    let unfound = |code| {
        move |error: Error| {
            let error = match error.position() {
                None => error.with_position(copy.from_position.line, copy.from_position.column),
                Some(_) => error,
            };
            Unfound { code, file: shown(&copy.from).to_string(), error }
        }
    };
    if !copy.options.manifest {
        return resolve(&copy.from, access).await.map(|files| vec![files]).map_err(unfound(Code::NO_FILE));
    }
    let manifest = read_whole(&copy.from, access).await.map_err(unfound(Code::MANIFEST))?;
    resolve_manifest(&copy.from, &manifest, &copy.options.format, access).await.map_err(unfound(Code::NO_FILE))
}

/// The files to load: with SKIP LOADED those that were not loaded before. And a notice of the others.
fn chosen_files(loading: &Loading<'_>, groups: &[CopyFiles]) -> Result<(Vec<CopyFiles>, Option<String>)> {
    let (chosen, skipped) = match loading.copy.options.skip_loaded {
        true => skip::not_loaded(groups, &loading.history)?,
        false => (groups.to_vec(), 0),
    };
    let files = chosen.iter().map(|group| group.files.len()).sum();
    let bytes = chosen.iter().flat_map(|group| &group.files).map(|file| file.size).sum();
    loading.progress.expect(files, bytes);
    let all = files + skipped;
    Ok((chosen, (skipped > 0).then(|| format!("{skipped} of {all} files were loaded before and are skipped"))))
}

/// The files by what columns they have.
async fn parts(loading: &Loading<'_>, groups: &[CopyFiles]) -> Result<Vec<Part>> {
    if loading.copy.options.by_name && loading.copy.options.format.mapping().is_none() {
        return by_name::parts(loading, groups).await;
    }
    let targets: Vec<Option<usize>> = loading.targets.iter().copied().map(Some).collect();
    Ok(groups.iter().map(|files| Part { files: files.clone(), targets: targets.clone() }).collect())
}

fn access<'a>(running: &'a Running<'_>, copy: &'a Copy) -> Access<'a> {
    let options = &running.warehouse.inner.stores;
    Access { credentials: &copy.options.credentials, region: copy.options.region.as_deref(), options }
}

/// NOLOAD: reads the files as a load would, and gives the rows away.
async fn read_only(loading: &Loading<'_>, groups: &[CopyFiles]) -> Result<(u64, Vec<String>)> {
    let (chosen, skipped) = chosen_files(loading, groups)?;
    let count = |mut stream: SendableRecordBatchStream| async move {
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            rows += batch.map_err(from_datafusion)?.num_rows() as u64;
        }
        Ok::<u64, Error>(rows)
    };
    let mut rows = 0;
    for part in parts(loading, &chosen).await? {
        let text = Arc::new(text_files(loading, &part.targets).await?);
        let streams = text::streams(text, &part.files, loading.running.warehouse.inner.threads).into_iter();
        let counted = streams.map(|stream| count(loading.running.statement.govern(stream)));
        rows += futures::future::try_join_all(counted).await?.into_iter().sum::<u64>();
    }
    let told = format!("{rows} rows could be loaded; NOLOAD loads none");
    Ok((0, skipped.into_iter().chain([told]).collect()))
}

/// What the log is to tell of a load, whatever becomes of its transaction.
struct Entry {
    record: QueryRecord,
    home: Home,
    table: TableId,
    format: &'static str,
}

impl Entry {
    /// The load into `table` begins.
    fn begin(running: &Running<'_>, place: &Place, pin: &PinnedSnapshot, table: TableId, copy: &Copy) -> Self {
        let inner = &running.warehouse.inner;
        let record = QueryRecord {
            user: running.statement.user.0 as i32,
            query: query_number(running),
            xid: i64::try_from(pin.version.0).unwrap_or(i64::MAX),
            process: i32::try_from(running.statement.process).unwrap_or(i32::MAX),
            start_us: inner.catalog.options().clock.now_us(),
            ..QueryRecord::default()
        };
        let home = Home {
            snapshot: pin.clone(),
            segments: inner.segments.at(pin.clone()),
            temporary: place.warehouse.is_scratch(),
        };
        Entry { record, home, table, format: copy.options.format.name() }
    }

    /// Logs what was read and refused.
    fn end(self, running: &Running<'_>, refused: &RefusedRows, failed: bool) {
        let inner = &running.warehouse.inner;
        let now_us = inner.catalog.options().clock.now_us();
        let load = refused.record(self.home.oid(self.table), self.format, now_us);
        inner.log.add(QueryRecord { end_us: now_us, aborted: failed, load: Some(load), ..self.record });
    }
}

fn query_number(running: &Running<'_>) -> i64 {
    i64::try_from(running.statement.query).unwrap_or(i64::MAX)
}

async fn load_files(loading: &Loading<'_>, groups: &[CopyFiles], load: Load) -> Result<Load> {
    let options = &loading.copy.options;
    let (chosen, skipped) = chosen_files(loading, groups)?;
    let parts = parts(loading, &chosen).await?;
    let fills = |identity| parts.iter().any(|part| part.targets.contains(&Some(identity)));
    let load = match loading.def.identity() {
        Some((identity, _)) if !fills(identity) => load.generating(Generate::All),
        _ => load,
    };
    let load = load.encoding(options.compupdate)?.describing(options.statupdate != Some(false));
    for part in &parts {
        load_part(loading, part, &load).await?;
    }
    skip::check_unchanged(&chosen).await?;
    Ok(load.from(sources(loading, &chosen), options.skip_loaded).with_notices(skipped))
}

/// What the table is to remember of files that were loaded.
fn sources(loading: &Loading<'_>, groups: &[CopyFiles]) -> Vec<Source> {
    let now_us = loading.running.warehouse.inner.catalog.options().clock.now_us();
    skip::sources(groups, |file| loading.refused.rows(file), now_us)
}

async fn load_part(loading: &Loading<'_>, part: &Part, load: &Load) -> Result<()> {
    match &loading.copy.options.format {
        CopyFormat::Parquet => parquet::load(loading, part, load).await,
        CopyFormat::Csv { .. }
        | CopyFormat::Delimited { .. }
        | CopyFormat::FixedWidth(_)
        | CopyFormat::Json(_)
        | CopyFormat::Avro(_) => load_text(loading, part, load).await,
    }
}

/// Loads text files, and those whose values go by the rules of text.
async fn load_text(loading: &Loading<'_>, part: &Part, load: &Load) -> Result<()> {
    let threads = loading.running.warehouse.inner.threads;
    let text = Arc::new(text_files(loading, &part.targets).await?);
    let mut streams = Vec::with_capacity(threads);
    for stream in text::streams(text, &part.files, threads) {
        streams.push(fill(loading, part, stream).await?);
    }
    load.take(streams).await.map_err(|refused| match refused {
        // The parser has checked what the file holds: this is a column that the file leaves out.
        Refused::Value(misfit) => at(misfit.error, loading.copy.table.base()),
        Refused::Other(e) => e,
    })
}

/// How the text files are read.
async fn text_files(loading: &Loading<'_>, targets: &[Option<usize>]) -> Result<TextFiles> {
    let options = &loading.copy.options;
    let filled = targets.iter().enumerate().filter_map(|(field, target)| Some((field, (*target)?)));
    let (fields, columns): (Vec<usize>, Vec<ColumnDef>) =
        filled.map(|(field, target)| (field, loading.def.columns[target].clone())).unzip();
    let mut text = options.values.clone();
    // The line of names.
    text.ignore_header = text.ignore_header.max(u64::from(options.by_name && options.format.mapping().is_none()));
    let form = match &options.format {
        CopyFormat::Json(mapping) => Form::Json(shape(loading.running, loading.copy, mapping, &columns).await?),
        CopyFormat::Avro(mapping) => Form::Avro(shape(loading.running, loading.copy, mapping, &columns).await?),
        format => form(format, targets.len())?,
    };
    let zone = loading.running.zone()?;
    Ok(TextFiles {
        form,
        compression: options.compression,
        rules: Rules { formats: Formats::new(&text)?, null_as: null_as(options), text, zone },
        columns,
        fields,
        width: targets.len(),
        refused: Arc::clone(loading.refused),
        progress: Some(Arc::clone(loading.progress)),
    })
}

/// The field that means NULL; that of JSON or Avro is no field of text.
fn null_as(options: &CopyOptions) -> Option<Vec<u8>> {
    options.format.mapping().is_none().then(|| options.values.null_as.clone().into_bytes())
}

/// Where in values of JSON, or in records of Avro, the columns are.
async fn shape(running: &Running<'_>, copy: &Copy, mapping: &Mapping, columns: &[ColumnDef]) -> Result<Shape> {
    match mapping {
        Mapping::Auto { ignore_case } => {
            let keys = match (copy.options.by_name, ignore_case) {
                (true, _) => Keys::AsColumns,
                (false, true) => Keys::InAnyCase,
                (false, false) => Keys::AsTheyAre,
            };
            Ok(Shape::Keys { names: columns.iter().map(|c| c.name.clone()).collect(), keys })
        }
        Mapping::Whole if columns.len() == 1 && columns[0].sql_type == SqlType::Super => Ok(Shape::Whole),
        Mapping::Whole => {
            Err(Error::invalid(SqlState::INVALID_PARAMETER, "JSON 'noshred' loads one column, of type SUPER")
                .with_hint("name that column behind the table"))
        }
        Mapping::Paths { at: place, position } => {
            let text = read_whole(place, access(running, copy)).await;
            let shape = text.and_then(|text| Shape::of_paths(shown(place), &text, columns.len()));
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
        CopyFormat::Parquet | CopyFormat::Json(_) | CopyFormat::Avro(_) => {
            return Err(Error::internal("the files are no lines of fields"));
        }
    })
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

/// `source` with the columns that are loaded as a plan with all columns of the table, the others at their defaults; those that
/// `source` has not, too, as FILLRECORD wants it, are NULL.
fn project_to_table(loading: &Loading<'_>, targets: &[Option<usize>], source: LogicalPlan) -> Result<LogicalPlan> {
    let source_columns = source.schema().columns();
    let mut projection = Vec::with_capacity(loading.def.columns.len());
    for (ordinal, column) in loading.def.columns.iter().enumerate() {
        let expr = match targets.iter().position(|t| *t == Some(ordinal)) {
            Some(field) => match source_columns.get(field) {
                Some(found) => DfExpr::Column(found.clone()),
                None => DfExpr::Literal(ScalarValue::Null, None),
            },
            None => default_of(loading.running, column)?,
        };
        projection.push(expr.alias(format!("{}_{ordinal}", column.name)));
    }
    LogicalPlanBuilder::from(source).project(projection).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// A stream of some of the table's columns, filled up to all of them.
async fn fill(
    loading: &Loading<'_>,
    part: &Part,
    stream: SendableRecordBatchStream,
) -> Result<SendableRecordBatchStream> {
    // Fields that are left out are not in the stream.
    let filled: Vec<Option<usize>> = part.targets.iter().filter(|target| target.is_some()).copied().collect();
    if filled.iter().copied().eq((0..loading.def.columns.len()).map(Some)) {
        return Ok(loading.running.statement.govern(stream));
    }
    let table = datafusion::catalog::streaming::StreamingTable::try_new(
        stream.schema(),
        vec![Arc::new(OneStream { schema: stream.schema(), stream: parking_lot::Mutex::new(Some(stream)) })],
    )
    .map_err(from_datafusion)?;
    let scan = LogicalPlanBuilder::scan("copy", provider_as_source(Arc::new(table)), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_datafusion)?;
    let plan = project_to_table(loading, &filled, scan)?;
    loading.running.run(&plan).await
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
