//! One partition of a scan: prune, filter on encoded data, apply the delete vector, filter on decoded rows, decode the
//! rest of the surviving rows.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter as filter_array;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::physical_expr::utils::reassign_expr_columns;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use roaring::RoaringBitmap;

use super::filter::{CompiledFilter, FilterCompiler, FilterKind, ResidualConjunct, from_scalar};
use super::guarded::is_true;
use super::metrics::ScanMetrics;
use super::scan::{ScanOptions, ScanTable, Unit, WantedFirst, Work, table_schema};
use crate::catalog::model::{ColumnDef, SegmentRef};
use crate::common::{Bounds, Comparison, EncodingName, Error, Predicate};
use crate::distribution::{hash_array, slice_of_hash};
use crate::format::column::{Column, ColumnBuilder};
use crate::format::encoding::{ChunkEncoder, Dictionary, Page, PreparedPredicate, Selection};
use crate::format::mask::Mask;
use crate::format::stable::Geometry;
use crate::storage::segment::{OpenSegment, apply_deleted};

/// A dynamic membership test that lets more than this share of rows pass costs more than it saves.
const USELESS_PASS_RATE: f64 = 0.8;
/// Rows to see before a test is judged, and zones to leave it out before it is tried again.
const JUDGE_AFTER_ROWS: usize = 32 * 1024;
const LEAVE_OUT_ZONES: usize = 64;

pub(super) struct ScanStream {
    table: Arc<ScanTable>,
    options: ScanOptions,
    projection: Vec<usize>,
    schema: SchemaRef,
    full_schema: Schema,
    compiler: FilterCompiler,
    /// The distribution key's ordinal.
    key: Option<usize>,
    filter: Compiled,
    work: Work,
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
    segments_seen: BTreeSet<u64>,
}

/// The filters as they stand, prepared for evaluation.
#[derive(Default)]
struct Compiled {
    filter: CompiledFilter,
    residual: Vec<Residual>,
    /// The slices that can hold rows, where the filters tell; else all.
    slices: Option<BTreeSet<u32>>,
    /// The same, by the query's text alone.
    static_slices: Option<BTreeSet<u32>>,
}

impl CompiledFilter {
    /// The kind of a conjunct of which `may` proves that no row passes it.
    fn refuted(&self, may: &dyn Fn(usize, &Predicate) -> bool) -> Option<FilterKind> {
        let encoded = self.encoded.iter().find(|c| !may(c.column, &c.predicate)).map(|c| c.kind);
        let refuted = |c: &&ResidualConjunct| c.needs.as_ref().is_some_and(|needs| !needs.may_hold(may));
        encoded.or_else(|| self.residual.iter().find(refuted).map(|c| c.kind))
    }
}

struct Residual {
    conjunct: ResidualConjunct,
    /// The expression over a batch of exactly `conjunct.columns`.
    expr: Arc<dyn datafusion::physical_plan::PhysicalExpr>,
    schema: SchemaRef,
    seen: usize,
    passed: usize,
    leave_out: usize,
}

/// The chunk being read.
struct Current {
    segment: Arc<OpenSegment>,
    reference: Arc<SegmentRef>,
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
        work: Work,
        metrics: ScanMetrics,
        batch_rows: usize,
        fetch: Option<usize>,
        wanted_first: Option<WantedFirst>,
    ) -> Self {
        let full_schema = table_schema(&table.def);
        ScanStream {
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
            segments_seen: BTreeSet::new(),
        }
    }

    pub fn into_stream(self) -> impl Stream<Item = Result<RecordBatch>> {
        futures::stream::try_unfold((self, false), |(mut scan, started)| async move {
            if !started {
                scan.start()?;
            }
            let batch = scan.next_batch().await?;
            if let Some(batch) = &batch {
                scan.metrics.baseline.record_output(batch.num_rows());
            }
            Ok(batch.map(|batch| (batch, (scan, true))))
        })
    }

    fn start(&mut self) -> Result<()> {
        self.compile()?;
        if let (Work::Own(units), true) = (&self.work, self.options.prune) {
            let all: BTreeSet<u32> = units.iter().map(|u| u.segment.slice).collect();
            let pruned = match &self.filter.slices {
                Some(slices) => all.difference(slices).count(),
                None => 0,
            };
            self.metrics.slices.add(all.len());
            self.metrics.slices_pruned.add(pruned);
        }
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
                continue;
            }
            match self.work.next() {
                Some(unit) => self.open(unit).await?,
                None => {
                    self.current = None;
                    self.flush()?;
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
            residual.push(Residual { conjunct: conjunct.clone(), expr, schema, seen: 0, passed: 0, leave_out: 0 });
        }
        let slices = self.possible_slices(&filter, true)?;
        let static_slices = self.possible_slices(&filter, false)?;
        self.filter = Compiled { filter, residual, slices, static_slices };
        Ok(())
    }

    /// The slices that equality or IN on the distribution key leaves; of dynamic filters if `dynamic`.
    fn possible_slices(&self, filter: &CompiledFilter, dynamic: bool) -> Result<Option<BTreeSet<u32>>> {
        let Some(key) = self.key.filter(|_| self.options.prune) else { return Ok(None) };
        let sql_type = self.table.def.columns[key].sql_type;
        let mut possible: Option<BTreeSet<u32>> = None;
        for conjunct in filter.encoded.iter().filter(|c| c.column == key) {
            if conjunct.kind == FilterKind::Dynamic && !dynamic {
                continue;
            }
            let values = match &conjunct.predicate {
                Predicate::Compare(Comparison::Eq, value) => std::slice::from_ref(value),
                Predicate::In { values, negated: false } => values.as_slice(),
                _ => continue,
            };
            let literals: Option<Vec<ScalarValue>> = values.iter().map(|v| from_scalar(v, sql_type)).collect();
            let Some(literals) = literals.filter(|l| !l.is_empty()) else { continue };
            let hashes = hash_array(&ScalarValue::iter_to_array(literals)?).map_err(external)?;
            let slices: BTreeSet<u32> =
                hashes.into_iter().map(|h| slice_of_hash(h, self.options.slices.slices())).collect();
            possible = Some(match possible {
                Some(known) => known.intersection(&slices).copied().collect(),
                None => slices,
            });
        }
        Ok(possible)
    }

    /// Opens a unit, unless its segment or all of its zones are pruned.
    async fn open(&mut self, unit: Unit) -> Result<()> {
        let _timer = self.metrics.open_time.timer();
        let reference = unit.segment;
        let first_of_segment = self.segments_seen.insert(reference.id.0);
        let per_chunk = self.table.geometry.zones_per_chunk();
        if first_of_segment {
            self.metrics.segments.add(1);
        }
        if unit.zones.start.is_multiple_of(per_chunk) {
            self.metrics.chunks.add(1);
        }
        self.metrics.zones.add(unit.zones.len());
        if self.options.prune
            && let Some(kind) = self.prunes_segment(&reference)
        {
            if first_of_segment {
                self.metrics.segments_pruned.add(kind, 1);
            }
            if unit.zones.start.is_multiple_of(per_chunk) {
                self.metrics.chunks_pruned.add(kind, 1);
            }
            self.count_pruned(kind, unit.zones.len());
            return Ok(());
        }
        if self.filter.filter.never {
            return Ok(());
        }
        let segment = match &self.current {
            Some(current) if current.reference.id == reference.id => Arc::clone(&current.segment),
            _ => self.table.store.open(&reference).await.map_err(external)?,
        };
        let deleted = match &reference.deleted {
            Some(vector) => Some(self.table.store.deleted(vector).await.map_err(external)?),
            None => None,
        };
        let mut zones = VecDeque::with_capacity(unit.zones.len());
        let mut last_pruned = None;
        for zone in unit.zones.clone() {
            match self.prunes_zone(&segment, zone)? {
                Some(kind) => {
                    self.count_pruned(kind, 1);
                    last_pruned = Some(kind);
                }
                None => zones.push_back(zone),
            }
        }
        if let (true, Some(kind)) = (zones.is_empty(), last_pruned) {
            self.metrics.chunks_pruned.add(kind, 1);
            return Ok(());
        }
        if let Some(wanted) = self.wanted_first {
            self.bring_forward(&segment, &mut zones, wanted)?;
        }
        let chunk = unit.zones.start / per_chunk;
        let mut current = Current {
            segment,
            reference,
            deleted,
            zones,
            chunk,
            dictionaries: Vec::new(),
            prepared: Vec::new(),
            read_ahead: Vec::new(),
        };
        if !self.table.store.blocks().is_local() {
            self.read_ahead(&mut current).await?;
        }
        self.current = Some(current);
        Ok(())
    }

    /// Puts the zones that reach furthest to the wanted end of a column first.
    fn bring_forward(&self, segment: &OpenSegment, zones: &mut VecDeque<usize>, wanted: WantedFirst) -> Result<()> {
        let Some(ordinal) = segment.ordinal(self.table.def.columns[wanted.column].id) else { return Ok(()) };
        let map = segment.footer.zone_map(ordinal).map_err(external)?;
        zones.make_contiguous().sort_by(|a, b| {
            let (a, b) = (&map[*a].bounds, &map[*b].bounds);
            let (nearer, further) = if wanted.descending { (&b.max, &a.max) } else { (&a.min, &b.min) };
            match (nearer, further) {
                (Some(nearer), Some(further)) => nearer.order(further).unwrap_or(std::cmp::Ordering::Equal),
                (nearer, further) => nearer.is_some().cmp(&further.is_some()),
            }
        });
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
        let pages = self.table.store.pages_of(&current.segment, &ordinals, &zones).await.map_err(external)?;
        for ((column, _), pages) in stored.iter().zip(pages) {
            for (zone, page) in zones.iter().zip(pages) {
                self.metrics.bytes_read.add(page.len());
                current.read_ahead.push(((*column, *zone), page));
            }
        }
        Ok(())
    }

    fn count_pruned(&self, kind: FilterKind, zones: usize) {
        self.metrics.zones_pruned.add(kind, zones);
        self.table.store.count_pruned(zones);
    }

    /// The kind of filter by which the catalog alone proves that no row of the segment passes.
    fn prunes_segment(&self, segment: &SegmentRef) -> Option<FilterKind> {
        let excluded = |slices: &Option<BTreeSet<u32>>| slices.as_ref().is_some_and(|s| !s.contains(&segment.slice));
        if excluded(&self.filter.static_slices) {
            return Some(FilterKind::Static);
        }
        if excluded(&self.filter.slices) {
            return Some(FilterKind::Dynamic);
        }
        self.filter.filter.refuted(&|column, predicate| {
            let column = &self.table.def.columns[column];
            match segment.columns.iter().find(|c| c.id == column.id) {
                Some(stored) => stored.bounds.may_satisfy(predicate),
                None => absent_bounds(column, segment.rows).may_satisfy(predicate),
            }
        })
    }

    fn prunes_zone(&self, segment: &OpenSegment, zone: usize) -> Result<Option<FilterKind>> {
        if !self.options.prune {
            return Ok(None);
        }
        let filter = &self.filter.filter;
        // Read before the closure, which cannot fail.
        let residual = filter.residual.iter().filter(|c| c.needs.is_some()).flat_map(|c| c.columns.iter().copied());
        for column in filter.encoded.iter().map(|c| c.column).chain(residual) {
            if let Some(ordinal) = segment.ordinal(self.table.def.columns[column].id) {
                segment.footer.zone_map(ordinal).map_err(external)?;
            }
        }
        Ok(filter.refuted(&|column, predicate| {
            let ordinal = segment.ordinal(self.table.def.columns[column].id);
            let zones = ordinal.and_then(|ordinal| segment.footer.zone_map(ordinal).ok());
            zones.is_none_or(|zones| zones[zone].bounds.may_satisfy(predicate))
        }))
    }

    async fn scan_zone(&mut self, zone: usize) -> Result<()> {
        if self.filter.filter.never {
            return Ok(());
        }
        let Some(mut current) = self.current.take() else { return Ok(()) };
        let result = self.scan_zone_of(&mut current, zone).await;
        self.current = Some(current);
        result
    }

    async fn scan_zone_of(&mut self, current: &mut Current, zone: usize) -> Result<()> {
        // Filters may have moved since the chunk was opened.
        if let Some(kind) = self.prunes_zone(&current.segment, zone)? {
            self.count_pruned(kind, 1);
            return Ok(());
        }
        let rows = current.segment.footer.zone_rows(zone);
        let mut mask = Mask::all(rows);
        let mut pages = Pages { rows, open: Vec::new() };

        let conjuncts = self.undecided(current, zone)?;
        let wanted: Vec<usize> = conjuncts.iter().map(|i| self.filter.filter.encoded[*i].column).collect();
        let fetched = self.fetch(current, zone, wanted, &pages).await?;
        pages.open(&fetched, current, &self.table.def.columns)?;
        self.filter_encoded(current, &conjuncts, &mut pages, &mut mask)?;
        if let Some(deleted) = &current.deleted {
            let before = mask.count();
            apply_deleted(deleted, zone * self.table.geometry.zone_rows(), &mut mask);
            self.metrics.rows_deleted.add(before - mask.count());
        }
        if !mask.any() {
            self.metrics.zones_filtered_out.add(1);
            return Ok(());
        }

        let judged = self.filter.residual.iter().filter(|r| r.leave_out == 0);
        let wanted: Vec<usize> = judged.flat_map(|r| r.conjunct.columns.iter().copied()).collect();
        let fetched = self.fetch(current, zone, wanted, &pages).await?;
        pages.open(&fetched, current, &self.table.def.columns)?;
        let early = self.filter_decoded(current, &mut pages, &mut mask)?;
        let count = mask.count();
        if count == 0 {
            self.metrics.zones_filtered_out.add(1);
            return Ok(());
        }

        let late = self.projection.iter().copied().filter(|c| early.iter().all(|(e, _)| e != c));
        let wanted: Vec<usize> = late.collect();
        let fetched = self.fetch(current, zone, wanted, &pages).await?;
        pages.open(&fetched, current, &self.table.def.columns)?;
        if self.built_rows > 0 && self.built_rows + count > self.batch_rows {
            self.flush()?;
        }
        self.emit(current, &mut pages, &mask, count, &early)?;
        self.built_rows += count;
        if self.built_rows >= self.batch_rows.min(self.remaining) {
            self.flush()?;
        }
        Ok(())
    }

    /// The conjuncts on encoded data that the zone map does not already prove to hold of every row.
    fn undecided(&self, current: &Current, zone: usize) -> Result<Vec<usize>> {
        let mut undecided = Vec::with_capacity(self.filter.filter.encoded.len());
        for (i, conjunct) in self.filter.filter.encoded.iter().enumerate() {
            let proven = match current.segment.ordinal(self.table.def.columns[conjunct.column].id) {
                Some(ordinal) if self.options.prune => {
                    let zones = current.segment.footer.zone_map(ordinal).map_err(external)?;
                    zones[zone].bounds.all_satisfy(&conjunct.predicate)
                }
                _ => false,
            };
            if !proven {
                undecided.push(i);
            }
        }
        Ok(undecided)
    }

    /// The bytes of the zone's pages of `columns`, except those open already and those that the segment lacks.
    async fn fetch(
        &self,
        current: &mut Current,
        zone: usize,
        columns: Vec<usize>,
        pages: &Pages<'_>,
    ) -> Result<Vec<Fetched>> {
        let mut fetched: Vec<Fetched> = Vec::new();
        for column in columns {
            let known = pages.open.iter().any(|(c, _)| *c == column) || fetched.iter().any(|f| f.column == column);
            let Some(ordinal) = current.segment.ordinal(self.table.def.columns[column].id).filter(|_| !known) else {
                continue;
            };
            let ahead = current.read_ahead.iter().find(|(key, _)| *key == (column, zone));
            let bytes = match ahead {
                Some((_, bytes)) => bytes.clone(),
                None => {
                    let pages = self.table.store.pages(&current.segment, ordinal, &[zone]).await.map_err(external)?;
                    let bytes = pages.into_iter().next().unwrap_or_default();
                    self.metrics.bytes_read.add(bytes.len());
                    bytes
                }
            };
            let dictionary = match current.dictionaries.iter().find(|(o, _)| *o == ordinal) {
                Some((_, dictionary)) => dictionary.clone(),
                None => {
                    let opened = self.table.store.dictionary(&current.segment, ordinal, current.chunk);
                    let dictionary = opened.await.map_err(external)?;
                    current.dictionaries.push((ordinal, dictionary.clone()));
                    dictionary
                }
            };
            fetched.push(Fetched { column, ordinal, bytes, dictionary });
        }
        Ok(fetched)
    }

    /// Clears the rows that predicates on encoded data exclude.
    fn filter_encoded(
        &mut self,
        current: &mut Current,
        conjuncts: &[usize],
        pages: &mut Pages<'_>,
        mask: &mut Mask,
    ) -> Result<()> {
        let _timer = self.metrics.filter_time.timer();
        current.prepared.resize(self.filter.filter.encoded.len(), None);
        for i in conjuncts {
            let conjunct = &self.filter.filter.encoded[*i];
            let Some((dictionary, page)) = pages.get(conjunct.column) else {
                if !absent_satisfies(&self.table.def.columns[conjunct.column], &conjunct.predicate)? {
                    mask.clear_all();
                    return Ok(());
                }
                continue;
            };
            if let (None, Some(dictionary)) = (&current.prepared[*i], dictionary) {
                let prepared = dictionary.prepare(&conjunct.predicate).map_err(|e| current.locate(e))?;
                current.prepared[*i] = Some(Arc::new(prepared));
            }
            page.filter(&conjunct.predicate, current.prepared[*i].as_deref(), mask).map_err(|e| current.locate(e))?;
            if !mask.any() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Evaluates the other conjuncts in written order, each on the rows that the ones before left. Returns the columns
    /// decoded for it, cut to the surviving rows.
    fn filter_decoded(
        &mut self,
        current: &Current,
        pages: &mut Pages<'_>,
        mask: &mut Mask,
    ) -> Result<Vec<(usize, ArrayRef)>> {
        let mut decoded: Vec<(usize, ArrayRef)> = Vec::new();
        for i in 0..self.filter.residual.len() {
            if self.filter.residual[i].leave_out > 0 {
                self.filter.residual[i].leave_out -= 1;
                continue;
            }
            let rows = mask.count();
            for column in self.filter.residual[i].conjunct.columns.clone() {
                if decoded.iter().all(|(c, _)| *c != column) {
                    let mut builder = ColumnBuilder::new(self.table.def.columns[column].sql_type, rows);
                    self.decode_into(current, pages, column, mask, rows, &mut builder)?;
                    decoded.push((column, builder.finish().map_err(external)?));
                }
            }
            let _timer = self.metrics.filter_time.timer();
            let residual = &mut self.filter.residual[i];
            let keep = residual.evaluate(&decoded, rows)?;
            let passed = keep.true_count();
            if passed == rows {
                continue;
            }
            for (row, position) in mask.ones().collect::<Vec<usize>>().into_iter().enumerate() {
                if !keep.value(row) {
                    mask.clear(position);
                }
            }
            if passed == 0 {
                return Ok(Vec::new());
            }
            for (_, array) in &mut decoded {
                *array = filter_array(array, &keep)?;
            }
        }
        Ok(decoded)
    }

    fn decode_into(
        &self,
        current: &Current,
        pages: &mut Pages<'_>,
        column: usize,
        mask: &Mask,
        count: usize,
        builder: &mut ColumnBuilder,
    ) -> Result<()> {
        let _timer = self.metrics.decode_time.timer();
        let Some((_, page)) = pages.get(column) else {
            let absent = self.table.def.columns[column].absent.as_ref();
            return builder.append_constant(absent, count).map_err(external);
        };
        self.metrics.add_decoded(column, count);
        let selection = if count == mask.len() { Selection::All } else { Selection::Rows(mask) };
        page.decode(selection, builder).map_err(|e| current.locate(e))
    }

    /// Appends the surviving rows' output columns; `early` were decoded already.
    fn emit(
        &mut self,
        current: &Current,
        pages: &mut Pages<'_>,
        mask: &Mask,
        count: usize,
        early: &[(usize, ArrayRef)],
    ) -> Result<()> {
        let mut builders = std::mem::take(&mut self.builders);
        for (column, builder) in self.projection.iter().zip(&mut builders) {
            match early.iter().find(|(c, _)| c == column) {
                Some((_, array)) => builder.append_array(array.as_ref()).map_err(external)?,
                None => self.decode_into(current, pages, *column, mask, count, builder)?,
            }
        }
        self.builders = builders;
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

/// One page's bytes, with what it takes to open it.
struct Fetched {
    column: usize,
    ordinal: usize,
    bytes: Bytes,
    dictionary: Option<Arc<Dictionary>>,
}

/// The pages of one zone that were opened, so that none is unpacked twice.
struct Pages<'a> {
    rows: usize,
    /// By column of the table.
    open: Vec<(usize, (Option<&'a Dictionary>, Page<'a>))>,
}

impl<'a> Pages<'a> {
    fn open(&mut self, fetched: &'a [Fetched], current: &Current, columns: &[ColumnDef]) -> Result<()> {
        for f in fetched {
            let directory = current.segment.directory(f.ordinal).map_err(external)?;
            directory.check_type(columns[f.column].sql_type).map_err(|e| current.locate(e))?;
            let encoding = directory.chunks[current.chunk].encoding;
            let page = Page::open(encoding, directory.stored, self.rows, &f.bytes, f.dictionary.as_deref())
                .map_err(|e| current.locate(e))?;
            self.open.push((f.column, (f.dictionary.as_deref(), page)));
        }
        Ok(())
    }

    /// `None` when the segment was written before the column existed.
    fn get(&mut self, column: usize) -> Option<&mut (Option<&'a Dictionary>, Page<'a>)> {
        self.open.iter_mut().find(|(c, _)| *c == column).map(|(_, page)| page)
    }
}

impl Current {
    /// An error of the segment's bytes, naming the object.
    fn locate(&self, error: Error) -> DataFusionError {
        let extent = self.segment.extent();
        external(error.in_object(extent.object, extent.offset))
    }
}

impl Residual {
    /// Which of the `rows` rows pass. Counts how a dynamic test does, and leaves it out for a while when it passes
    /// nearly everything.
    fn evaluate(&mut self, decoded: &[(usize, ArrayRef)], rows: usize) -> Result<BooleanArray> {
        let columns: Vec<ArrayRef> = self
            .conjunct
            .columns
            .iter()
            .filter_map(|c| decoded.iter().find(|(d, _)| d == c).map(|(_, array)| Arc::clone(array)))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        let keep = is_true(&self.expr, &batch)?;
        if self.conjunct.kind == FilterKind::Dynamic {
            self.seen += rows;
            self.passed += keep.true_count();
            if self.seen >= JUDGE_AFTER_ROWS {
                if self.passed as f64 > USELESS_PASS_RATE * self.seen as f64 {
                    self.leave_out = LEAVE_OUT_ZONES;
                }
                (self.seen, self.passed) = (0, 0);
            }
        }
        Ok(keep)
    }
}

/// Whether rows written before a column existed satisfy a predicate on it.
fn absent_satisfies(column: &ColumnDef, predicate: &Predicate) -> Result<bool> {
    let Some(value) = &column.absent else { return Ok(matches!(predicate, Predicate::IsNull)) };
    match predicate.holds(value) {
        Some(holds) => Ok(holds),
        // LIKE is for the kernels: ask them of a page of one row.
        None => {
            let mut builder = ColumnBuilder::new(column.sql_type, 1);
            builder.append_constant(Some(value), 1).map_err(external)?;
            let column = Column::from_array(&builder.finish().map_err(external)?, column.sql_type).map_err(external)?;
            let mut encoder = ChunkEncoder::new(column.stored(), EncodingName::Raw, Geometry::DEFAULT);
            let encoded = encoder.encode(&column).map_err(external)?;
            let mut page =
                Page::open(encoded.encoding, column.stored(), 1, &encoded.pages[0], None).map_err(external)?;
            let mut mask = Mask::all(1);
            page.filter(predicate, None, &mut mask).map_err(external)?;
            Ok(mask.any())
        }
    }
}

/// What rows written before a column existed hold of it.
fn absent_bounds(column: &ColumnDef, rows: u32) -> Bounds {
    let rows = u64::from(rows);
    match &column.absent {
        Some(value) => Bounds::of_values(value.clone(), value.clone(), 0, rows),
        None => Bounds { exact: true, ..Bounds::unknown(rows, rows) },
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
