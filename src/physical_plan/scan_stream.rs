//! One partition of a scan: prune, filter on encoded data, apply the delete vector, filter on decoded rows, decode the
//! rest of the surviving rows.

mod aggregate;
mod prune;
mod zone;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use datafusion::common::{DataFusionError, Result};
use datafusion::physical_expr::utils::reassign_expr_columns;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use roaring::RoaringBitmap;

use super::aggregate::Aggregation;
use super::filter::{CompiledFilter, FilterCompiler, ResidualConjunct};
use super::metrics::ScanMetrics;
use super::scan::{ScanOptions, ScanTable, WantedFirst, table_schema};
use super::work::{Parts, Unit};
use crate::catalog::model::SegmentRef;
use crate::common::Error;
use crate::format::column::ColumnBuilder;
use crate::format::encoding::{Dictionary, PreparedPredicate};
use crate::storage::segment::{OpenSegment, SegmentStore};

pub(super) struct ScanStream {
    table: Arc<ScanTable>,
    /// The table's, its reads counted.
    store: SegmentStore,
    options: ScanOptions,
    projection: Vec<usize>,
    schema: SchemaRef,
    full_schema: Schema,
    compiler: FilterCompiler,
    /// The distribution key's ordinal.
    key: Option<usize>,
    filter: Compiled,
    work: VecDeque<Unit>,
    metrics: ScanMetrics,
    batch_rows: usize,
    /// Rows that may still leave.
    remaining: usize,
    wanted_first: Option<WantedFirst>,
    builders: Vec<ColumnBuilder>,
    /// Rows in `builders`, also when nothing is projected.
    built_rows: usize,
    ready: VecDeque<RecordBatch>,
    current: Option<Current>,
    /// Takes the rows instead of `builders`.
    aggregation: Option<Aggregation>,
    text_numbers: TextNumbers,
}

/// What an aggregation numbers the texts of dictionaries by: of each of its keys the last.
#[derive(Default)]
struct TextNumbers {
    tables: Vec<(usize, Arc<Dictionary>, Vec<u32>)>,
}

/// The filters as they stand, prepared for evaluation.
#[derive(Default)]
struct Compiled {
    filter: CompiledFilter,
    /// Of each conjunct on encoded data.
    judges: Vec<Judge>,
    residual: Vec<Residual>,
    /// The slices that can hold rows, where the filters tell; else all.
    slices: Option<BTreeSet<u32>>,
    /// The same, by the query's text alone.
    static_slices: Option<BTreeSet<u32>>,
}

struct Residual {
    conjunct: ResidualConjunct,
    /// The expression over a batch of exactly `conjunct.columns`.
    expr: Arc<dyn datafusion::physical_plan::PhysicalExpr>,
    schema: SchemaRef,
    judge: Judge,
}

/// Whether a dynamic test is worth its time, by what it has done.
#[derive(Debug, Clone, Default)]
struct Judge {
    seen: usize,
    passed: usize,
    /// The share of rows that passed when last enough were seen.
    rate: f32,
    /// Zones that are still to be read without the test.
    leave_out: usize,
}

/// The chunk being read.
struct Current {
    segment: Arc<OpenSegment>,
    reference: Arc<SegmentRef>,
    parts: Parts,
    deleted: Option<Arc<RoaringBitmap>>,
    zones: VecDeque<usize>,
    /// Dictionaries by column of the segment's chunk, and predicates prepared for them by conjunct.
    chunk: usize,
    dictionaries: Vec<(usize, Option<Arc<Dictionary>>)>,
    prepared: Vec<Option<Arc<PreparedPredicate>>>,
    /// Pages read ahead, by column of the table and zone.
    read_ahead: Vec<((usize, usize), Bytes)>,
}

impl ScanStream {
    #[allow(clippy::too_many_arguments, reason = "built in one place, from the plan node's fields")]
    pub fn new(
        table: Arc<ScanTable>,
        options: ScanOptions,
        projection: Vec<usize>,
        schema: SchemaRef,
        compiler: FilterCompiler,
        key: Option<usize>,
        work: VecDeque<Unit>,
        metrics: ScanMetrics,
        batch_rows: usize,
        fetch: Option<usize>,
        wanted_first: Option<WantedFirst>,
    ) -> Self {
        let full_schema = table_schema(&table.def);
        let bytes_read = metrics.bytes_read.clone();
        ScanStream {
            store: table.store.metered(move |bytes| bytes_read.add(bytes as usize)),
            table,
            options,
            projection,
            schema,
            full_schema,
            compiler,
            key,
            filter: Compiled::default(),
            work,
            metrics,
            batch_rows,
            remaining: fetch.unwrap_or(usize::MAX),
            wanted_first,
            builders: Vec::new(),
            built_rows: 0,
            ready: VecDeque::new(),
            current: None,
            aggregation: None,
            text_numbers: TextNumbers::default(),
        }
    }

    /// Gives the states of groups instead of rows; the scan's schema is theirs.
    pub fn aggregating(self, aggregation: Aggregation) -> Self {
        ScanStream { aggregation: Some(aggregation), ..self }
    }

    pub fn into_stream(self) -> impl Stream<Item = Result<RecordBatch>> {
        futures::stream::try_unfold((self, false), |(mut scan, started)| async move {
            if !started {
                scan.start()?;
            }
            let batch = scan.next_batch().await?;
            if let Some(batch) = batch.as_ref().filter(|_| scan.aggregation.is_none()) {
                scan.metrics.baseline.record_output(batch.num_rows());
            }
            Ok(batch.map(|batch| (batch, (scan, true))))
        })
    }

    fn start(&mut self) -> Result<()> {
        self.compile()?;
        self.new_builders();
        Ok(())
    }

    /// Boxed, because the compiler cannot see through the borrows of the nested futures that it is Send.
    fn next_batch(&mut self) -> BoxFuture<'_, Result<Option<RecordBatch>>> {
        self.next_batch_unboxed().boxed()
    }

    async fn next_batch_unboxed(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(self.limited(batch));
            }
            if self.remaining == 0 {
                return Ok(None);
            }
            if self.compiler.changed() {
                self.compile()?;
                if let Some(current) = &mut self.current {
                    current.prepared.clear();
                }
            }
            let zone = self.current.as_mut().and_then(|c| c.zones.pop_front());
            if let Some(zone) = zone {
                self.scan_zone(zone).await?;
                if self.aggregation.is_some() {
                    // No batch leaves for a long time: other tasks have their turn, and a cancelled one ends.
                    tokio::task::coop::consume_budget().await;
                }
                continue;
            }
            match self.work.pop_front() {
                Some(unit) => self.open(unit).await?,
                None => {
                    self.current = None;
                    self.flush()?;
                    if let Some(aggregation) = &mut self.aggregation {
                        self.ready.extend(aggregation.next_batch(self.batch_rows)?);
                    }
                    if self.ready.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Cuts a batch to the rows that may still leave.
    fn limited(&mut self, batch: RecordBatch) -> Option<RecordBatch> {
        let rows = batch.num_rows().min(self.remaining);
        self.remaining -= rows;
        (rows > 0).then(|| batch.slice(0, rows))
    }

    fn compile(&mut self) -> Result<()> {
        let filter = self.compiler.compile()?;
        let mut residual = Vec::with_capacity(filter.residual.len());
        for conjunct in &filter.residual {
            let schema: SchemaRef = Arc::new(self.full_schema.project(&conjunct.columns)?);
            let expr = reassign_expr_columns(Arc::clone(&conjunct.expr), &schema)?;
            residual.push(Residual { conjunct: conjunct.clone(), expr, schema, judge: Judge::default() });
        }
        let slices = self.possible_slices(&filter, true)?;
        let static_slices = self.possible_slices(&filter, false)?;
        let judges = vec![Judge::default(); filter.encoded.len()];
        self.filter = Compiled { filter, judges, residual, slices, static_slices };
        Ok(())
    }

    /// Opens a unit, unless its segment or all of its zones are pruned.
    async fn open(&mut self, unit: Unit) -> Result<()> {
        let _timer = self.metrics.open_time.timer();
        self.metrics.add_unit(&unit);
        let Unit { segment: reference, zones: unit_zones, parts } = unit;
        if self.options.prune
            && let Some(kind) = self.prunes_segment(&reference)
        {
            self.count_pruned(&parts, kind, unit_zones.len());
            return Ok(());
        }
        if self.filter.filter.never {
            return Ok(());
        }
        let segment = match &self.current {
            Some(current) if current.reference.id == reference.id => Arc::clone(&current.segment),
            _ => self.store.open(&reference).await.map_err(external)?,
        };
        let deleted = self.store.deleted(&reference).await.map_err(external)?;
        let mut zones = VecDeque::with_capacity(unit_zones.len());
        for zone in unit_zones.clone() {
            match self.prunes_zone(&segment, zone)? {
                Some(kind) => self.count_pruned(&parts, kind, 1),
                None => zones.push_back(zone),
            }
        }
        if zones.is_empty() {
            return Ok(());
        }
        if let Some(wanted) = self.wanted_first {
            self.bring_forward(&segment, &mut zones, wanted)?;
        }
        let chunk = unit_zones.start / self.table.geometry.zones_per_chunk();
        let mut current = Current {
            segment,
            reference,
            parts,
            deleted,
            zones,
            chunk,
            dictionaries: Vec::new(),
            prepared: Vec::new(),
            read_ahead: Vec::new(),
        };
        if !self.store.blocks().is_local() {
            self.read_ahead(&mut current).await?;
        }
        self.current = Some(current);
        Ok(())
    }

    /// Over a network, all pages of the chunk's zones are asked for at once.
    async fn read_ahead(&self, current: &mut Current) -> Result<()> {
        let columns: BTreeSet<usize> = (self.projection.iter().copied())
            .chain(self.filter.filter.encoded.iter().map(|c| c.column))
            .chain(self.filter.filter.residual.iter().flat_map(|c| c.columns.iter().copied()))
            .collect();
        let stored: Vec<(usize, usize)> = columns
            .into_iter()
            .filter_map(|c| current.segment.ordinal(self.table.def.columns[c].id).map(|ordinal| (c, ordinal)))
            .collect();
        let zones: Vec<usize> = current.zones.iter().copied().collect();
        let ordinals: Vec<usize> = stored.iter().map(|(_, ordinal)| *ordinal).collect();
        let pages = self.store.pages_of(&current.segment, &ordinals, &zones).await.map_err(external)?;
        for ((column, _), pages) in stored.iter().zip(pages) {
            for (zone, page) in zones.iter().zip(pages) {
                current.read_ahead.push(((*column, *zone), page));
            }
        }
        Ok(())
    }

    fn new_builders(&mut self) {
        let columns = &self.table.def.columns;
        self.builders =
            self.projection.iter().map(|c| ColumnBuilder::new(columns[*c].sql_type, self.batch_rows)).collect();
        self.built_rows = 0;
    }

    /// Makes the rows built so far ready to leave.
    fn flush(&mut self) -> Result<()> {
        if self.built_rows == 0 {
            return Ok(());
        }
        let rows = self.built_rows;
        let builders = std::mem::take(&mut self.builders);
        let columns = builders.into_iter().map(|b| b.finish().map_err(external)).collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        self.ready.push_back(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?);
        self.new_builders();
        Ok(())
    }
}

impl Current {
    /// An error of the segment's bytes from `base` on, naming the object.
    fn locate(&self, error: Error, base: u64) -> DataFusionError {
        external(self.segment.locate(error, base))
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
