//! ANALYZE COMPRESSION: which encodings a table's columns had better have.
//!
//! It reads the statement's version, as a query does: nothing is locked and nobody waits. A sample of each slice is
//! encoded in every encoding that the column's type can have, by the encoders of loads. What is promised is the size of
//! a table made anew with the advice, as far as its rows come to lie as they do now: other neighbours compress otherwise
//! (runs that one load makes one of, an EVEN table filled from several streams).

mod estimate;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};

use self::estimate::{Estimate, SliceCosts, StretchCosts, estimate};
use super::describe::provider;
use super::error::from_datafusion;
use super::names;
use super::output::Output;
use super::running::Running;
use super::warehouse::Warehouse;
use crate::catalog::{ColumnDef, PinnedSnapshot, TableState};
use crate::common::{EncodingName, Error, ErrorKind, Result, SqlState};
use crate::format::Geometry;
use crate::format::encoding::SMALL_TABLE_BYTES;
use crate::format::encoding::trial::{Trial, fastest, names as encodings, smallest};
use crate::sql::ast::{AnalyzeCompression, Ident, ObjectName, Objective};
use crate::storage::sample::{self, SliceSample};
use crate::storage::segment::SegmentStore;
use crate::system::tables_of;

/// How many rows of each slice are sampled at least (Redshift manual, "ANALYZE COMPRESSION").
const ROWS_PER_SLICE: u64 = 100_000;

/// A table of fewer rows gets no advice. Redshift's manual only says that such a number exists; this is the least that
/// COMPROWS can ask for.
const LEAST_ROWS: u64 = *AnalyzeCompression::COMPROWS.start();

/// While a stretch is encoded it is held about so many times: decoded, with NULLs filled, encoded.
const COPIES: usize = 3;

/// The columns of the result: Redshift's four, then what a sample cannot know exactly and what the column takes, in
/// bytes, as advised and now. NULL where nothing was measured.
pub(super) fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let percent = |name: &str, nullable| Field::new(name, DataType::Decimal128(5, 2), nullable);
    Arc::new(Schema::new(vec![
        text("Table"),
        text("Column"),
        text("Encoding"),
        percent("Est_reduction_pct", false),
        percent("Est_error_pct", true),
        Field::new("Est_bytes", DataType::Int64, true),
        Field::new("Stored_bytes", DataType::Int64, false),
    ]))
}

/// A row for each column of the tables. The analysis runs while the rows are read, table by table.
///
/// `Est_reduction_pct` is relative to RAW, as in Redshift. Sort key columns keep their encoding and are not analyzed,
/// columns that are not listed are `N/A`, all columns are where the table has too few rows: a notice says so.
pub(super) async fn compression(running: &Running<'_>, statement: AnalyzeCompression) -> Result<Output> {
    sampled(running, statement, ROWS_PER_SLICE).await
}

/// As [`compression`]; of each slice at least `least_rows` rows are read.
pub(super) async fn sampled(running: &Running<'_>, statement: AnalyzeCompression, least_rows: u64) -> Result<Output> {
    let (warehouse, pin, tables) = match &statement.table {
        Some(name) => stored_table(running, name).await?,
        None => {
            let schemas = running.session.names.schemas(&running.pin);
            let tables = tables_of(&running.pin, &schemas).map(|(_, table)| Arc::clone(table)).collect();
            (running.warehouse.clone(), running.pin.clone(), tables)
        }
    };
    let mut wanted = Vec::with_capacity(tables.len());
    let mut notices = Vec::new();
    for table in tables {
        let listed = listed(&table, &statement.columns)?;
        let live = table.live_rows();
        let enough = live >= LEAST_ROWS;
        if !enough {
            let name = &table.def.name;
            notices.push(format!("table \"{name}\" has {live} rows: advice takes {LEAST_ROWS} at least"));
        }
        wanted.push((table, if enough { listed } else { Vec::new() }));
    }
    let analysis = Arc::new(Analysis {
        segments: warehouse.inner.segments.at(pin),
        geometry: warehouse.geometry()?,
        threads: running.warehouse.inner.threads,
        memory: Arc::clone(&running.statement.runtime.memory_pool),
        rows: statement.rows,
        least_rows,
        objective: statement.objective,
        stopped: Stopped::default(),
    });
    let batches = stream::iter(wanted).then(move |(table, listed)| {
        let analysis = Arc::clone(&analysis);
        async move { analysis.table(&table, &listed).await.map_err(|e| DataFusionError::External(Box::new(e))) }
    });
    let rows = Box::pin(RecordBatchStreamAdapter::new(schema(), batches));
    Ok(Output::rows("ANALYZE COMPRESSION", running.statement.govern(rows)).with_notices(notices))
}

/// The table of that name, in whichever warehouse it is.
pub(super) async fn stored_table(
    running: &Running<'_>,
    name: &ObjectName,
) -> Result<(Warehouse, PinnedSnapshot, Vec<Arc<TableState>>)> {
    let found = match running.place(name).await {
        Ok(place) => {
            let pin = running.pins.pin(&place.warehouse).await?;
            let table = place.table(&pin, name).cloned();
            table.map(|table| (place.warehouse, pin, vec![table]))
        }
        Err(e) => Err(e),
    };
    match found {
        Err(e) if e.state() == SqlState::UNDEFINED_TABLE => match provider(running, name).await {
            Ok(Some(_)) => Err(names::at(not_stored(&name.unquoted()), name.base())),
            _ => Err(e),
        },
        found => found,
    }
}

fn not_stored(name: &str) -> Error {
    Error::invalid(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a table of the warehouse"))
        .with_hint("only what the warehouse stores can be analyzed")
}

/// The ordinals of the columns to analyze.
fn listed(table: &TableState, columns: &[Ident]) -> Result<Vec<usize>> {
    if columns.is_empty() {
        return Ok((0..table.def.columns.len()).collect());
    }
    let ordinal = |name: &Ident| table.def.columns.iter().position(|c| c.name == name.value);
    columns.iter().map(|name| ordinal(name).ok_or_else(|| names::no_such_column(name, &table.def))).collect()
}

/// What the analysis of every table needs.
struct Analysis {
    segments: SegmentStore,
    geometry: Geometry,
    threads: usize,
    memory: Arc<dyn MemoryPool>,
    /// COMPROWS, of all slices together.
    rows: Option<u64>,
    least_rows: u64,
    objective: Objective,
    stopped: Stopped,
}

/// Tells computing threads, once it is dropped, that nobody waits for them any more.
#[derive(Default)]
struct Stopped(Arc<AtomicBool>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is said of one column.
struct Advice {
    encoding: &'static str,
    reduction_pct: f64,
    error_pct: Option<f64>,
    bytes: Option<f64>,
}

impl Advice {
    const NONE: Advice = Advice { encoding: "N/A", reduction_pct: 0.0, error_pct: None, bytes: None };
}

impl Analysis {
    /// The rows of one table's columns, of which those `listed` are analyzed.
    async fn table(&self, table: &TableState, listed: &[usize]) -> Result<RecordBatch> {
        let def = &table.def;
        let in_sort_key = |column: &ColumnDef| def.sort.as_ref().is_some_and(|key| key.columns.contains(&column.id));
        let measured: Vec<usize> = listed.iter().copied().filter(|i| !in_sort_key(&def.columns[*i])).collect();
        let costs = self.measure(table, &measured).await?;
        let stored = stored_bytes(table);
        let mut estimates: Vec<Option<Vec<Estimate>>> = vec![None; def.columns.len()];
        for (ordinal, costs) in measured.iter().zip(&costs) {
            if costs.iter().any(|slice| !slice.stretches.is_empty()) {
                let tried = encodings(def.columns[*ordinal].sql_type).count();
                estimates[*ordinal] = Some((0..tried).map(|i| estimate(costs, i, self.geometry)).collect());
            }
        }
        // AUTO's rule, with what the rows take in memory for the batches that they would come in.
        let raw = |(i, stored): (usize, &u64)| estimates[i].as_ref().map_or(*stored as f64, |of| of[0].bytes);
        let light = stored.iter().enumerate().map(raw).sum::<f64>() <= SMALL_TABLE_BYTES as f64;
        let (live, all) = (table.live_rows(), table.stored_rows());
        let mut advice = Vec::with_capacity(def.columns.len());
        for (ordinal, column) in def.columns.iter().enumerate() {
            advice.push(match &estimates[ordinal] {
                Some(of) => self.advise(column, light, live, of)?,
                None if listed.contains(&ordinal) && in_sort_key(column) => Advice {
                    encoding: column.encoding.as_str(),
                    reduction_pct: 0.0,
                    error_pct: None,
                    bytes: Some(stored[ordinal] as f64 * live as f64 / all.max(1) as f64),
                },
                None => Advice::NONE,
            });
        }
        batch(table, &advice, &stored)
    }

    fn advise(&self, column: &ColumnDef, light: bool, rows: u64, estimates: &[Estimate]) -> Result<Advice> {
        let bytes: Vec<u64> = estimates.iter().map(|e| e.bytes.round() as u64).collect();
        let taken = match self.objective {
            Objective::Space => smallest(&bytes),
            Objective::Speed => fastest(column.sql_type, light, rows, &bytes)?,
        };
        let Estimate { bytes, error_pct } = estimates[taken];
        let raw = estimates[0].bytes;
        let name = encodings(column.sql_type).nth(taken).unwrap_or(EncodingName::Raw);
        Ok(Advice {
            encoding: name.as_str(),
            reduction_pct: 100.0 * (1.0 - bytes / raw),
            error_pct,
            bytes: Some(bytes),
        })
    }

    /// Per column, what the sample takes on each slice.
    async fn measure(&self, table: &TableState, columns: &[usize]) -> Result<Vec<Vec<SliceCosts>>> {
        let mut slices: Vec<u32> = table.segments.iter().map(|s| s.slice).collect();
        slices.dedup();
        let asked = self.rows.unwrap_or(0) / slices.len().max(1) as u64;
        let samples = sample::of_table(table, self.geometry, asked.max(self.least_rows));
        let samples: Vec<Arc<SliceSample>> = samples.into_iter().map(Arc::new).collect();
        let mut costs: Vec<Vec<SliceCosts>> = vec![Vec::with_capacity(samples.len()); columns.len()];
        let jobs = columns.iter().enumerate().flat_map(|(at, ordinal)| {
            let column = Arc::new(table.def.columns[*ordinal].clone());
            samples.iter().map(move |sample| (at, Arc::clone(&column), Arc::clone(sample)))
        });
        let mut measured = stream::iter(jobs.collect::<Vec<_>>())
            .map(|(at, column, sample)| async move { Ok::<_, Error>((at, self.slice(&column, &sample).await?)) })
            .buffer_unordered(self.threads.max(1));
        while let Some(done) = measured.next().await {
            let (at, slice) = done?;
            costs[at].push(slice);
        }
        Ok(costs)
    }

    /// One column of one slice: stretch by stretch, so that no more than one is held.
    async fn slice(&self, column: &Arc<ColumnDef>, sample: &SliceSample) -> Result<SliceCosts> {
        let held = MemoryConsumer::new("ANALYZE COMPRESSION").register(&self.memory);
        let mut state = (Trial::new(column.sql_type, self.geometry), held);
        let whole = sample.stretches.len() == sample.of;
        let mut stretches: Vec<StretchCosts> = Vec::with_capacity(sample.stretches.len());
        for stretch in &sample.stretches {
            let stored = stretch.fetch(&self.segments, column).await?;
            // Where all is read, segments are as long as they will be; else a segment is all that the sample holds, and
            // how often its dictionary is renewed stands for how often a segment's would be.
            let first =
                stretches.is_empty() || whole && stretches.len().is_multiple_of(Geometry::CHUNKS_PER_SEGMENT as usize);
            let (geometry, stopped) = (self.geometry, Arc::clone(&self.stopped.0));
            let work = move || -> Result<_> {
                let (mut trial, held) = state;
                let Some(chunk) = stored.decode(geometry.chunk_rows())? else { return Ok((None, (trial, held))) };
                held.try_resize(COPIES * chunk.memory_bytes()).map_err(from_datafusion)?;
                if first {
                    trial.start_segment();
                }
                let costs = trial.encode(&chunk, || match stopped.load(Ordering::Relaxed) {
                    false => Ok(()),
                    true => Err(Error::new(ErrorKind::Unavailable, "the analysis was given up")),
                })?;
                Ok((Some(StretchCosts { rows: chunk.len() as u64, first, costs }), (trial, held)))
            };
            let done = tokio::task::spawn_blocking(work).await;
            let (costs, back) = done.map_err(|e| Error::internal(format!("encoding a sample: {e}")))??;
            state = back;
            stretches.extend(costs);
        }
        Ok(SliceCosts { live_rows: sample.live_rows, of: sample.of, stretches })
    }
}

/// Bytes of each of the table's columns as it is stored.
fn stored_bytes(table: &TableState) -> Vec<u64> {
    let of = |column: &ColumnDef| {
        let stored = table.segments.iter().flat_map(|s| &s.columns).filter(|c| c.id == column.id);
        stored.map(|c| c.bytes).sum()
    };
    table.def.columns.iter().map(of).collect()
}

fn batch(table: &TableState, advice: &[Advice], stored: &[u64]) -> Result<RecordBatch> {
    let hundredths = |percent: f64| (percent.clamp(0.0, 100.0) * 100.0).round() as i128;
    let percents =
        |values: Decimal128Array| -> Result<ArrayRef> { Ok(Arc::new(values.with_precision_and_scale(5, 2)?)) };
    let def = &table.def;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(def.columns.iter().map(|_| &def.name))),
        Arc::new(StringArray::from_iter_values(def.columns.iter().map(|c| &c.name))),
        Arc::new(StringArray::from_iter_values(advice.iter().map(|a| a.encoding))),
        percents(advice.iter().map(|a| Some(hundredths(a.reduction_pct))).collect())?,
        percents(advice.iter().map(|a| a.error_pct.map(hundredths)).collect())?,
        Arc::new(advice.iter().map(|a| a.bytes.map(|bytes| bytes.round() as i64)).collect::<Int64Array>()),
        Arc::new(stored.iter().map(|bytes| Some(*bytes as i64)).collect::<Int64Array>()),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}
