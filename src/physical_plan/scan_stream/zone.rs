//! One zone: filter on encoded data, apply the delete vector, filter on decoded rows, decode the rest of the surviving
//! rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::filter as filter_array;
use bytes::Bytes;
use datafusion::common::Result;

use super::{Current, Judge, Residual, ScanStream, external};
use crate::catalog::model::ColumnDef;
use crate::common::{EncodingName, Predicate};
use crate::format::column::{Column, ColumnBuilder};
use crate::format::encoding::{ChunkEncoder, Dictionary, Page, Selection};
use crate::format::mask::Mask;
use crate::format::stable::Geometry;
use crate::physical_plan::filter::FilterKind;
use crate::physical_plan::guarded::is_true;
use crate::physical_plan::rows::{ROW, row_identities};
use crate::storage::segment::apply_deleted;

/// A dynamic membership test that lets more than this share of rows pass costs more than it saves.
const USELESS_PASS_RATE: f32 = 0.8;
/// Rows to see before a test is judged, and zones to leave it out before it is tried again.
const JUDGE_AFTER_ROWS: usize = 32 * 1024;
const LEAVE_OUT_ZONES: usize = 64;

impl ScanStream {
    pub(super) async fn scan_zone(&mut self, zone: usize) -> Result<()> {
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
            self.count_pruned(&current.parts, kind, 1);
            return Ok(());
        }
        let rows = current.segment.footer.zone_rows(zone);
        let mut mask = Mask::all(rows);
        let mut pages = Pages { zone, rows, open: Vec::new() };

        let mut conjuncts = self.undecided(current, zone)?;
        conjuncts.retain(|i| self.filter.judges[*i].is_due());
        // Those of the query's text come first, as written; of dynamic ones that which leaves the fewest rows.
        conjuncts.sort_by(|a, b| self.filter.judges[*a].rate.total_cmp(&self.filter.judges[*b].rate));
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

        let judged = self.filter.residual.iter().filter(|r| r.judge.leave_out == 0);
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
        if let Some(mut aggregation) = self.aggregation.take() {
            let added = self.aggregate_zone(&mut aggregation, current, &mut pages, &mask, count);
            self.aggregation = Some(aggregation);
            return added;
        }
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
            let known = pages.open.iter().any(|p| p.column == column) || fetched.iter().any(|f| f.column == column);
            let Some(ordinal) = current.segment.ordinal(self.table.def.columns[column].id).filter(|_| !known) else {
                continue;
            };
            let ahead = current.read_ahead.iter().find(|(key, _)| *key == (column, zone));
            let bytes = match ahead {
                Some((_, bytes)) => bytes.clone(),
                None => {
                    let pages = self.store.pages(&current.segment, ordinal, &[zone]).await.map_err(external)?;
                    pages.into_iter().next().unwrap_or_default()
                }
            };
            let dictionary = match current.dictionaries.iter().find(|(o, _)| *o == ordinal) {
                Some((_, dictionary)) => dictionary.clone(),
                None => {
                    let opened = self.store.dictionary(&current.segment, ordinal, current.chunk);
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
            let Some(open) = pages.get(conjunct.column) else {
                if !absent_satisfies(&self.table.def.columns[conjunct.column], &conjunct.predicate)? {
                    mask.clear_all();
                    return Ok(());
                }
                continue;
            };
            if let (None, Some(dictionary)) = (&current.prepared[*i], open.dictionary) {
                let prepared = dictionary.prepare(&conjunct.predicate).map_err(external)?;
                current.prepared[*i] = Some(Arc::new(prepared));
            }
            let before = mask.count();
            let filtered = open.page.filter(&conjunct.predicate, current.prepared[*i].as_deref(), mask);
            filtered.map_err(|e| current.locate(e, open.at))?;
            if conjunct.kind == FilterKind::Dynamic {
                self.filter.judges[*i].note(before, mask.count());
            }
            if !mask.any() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Evaluates the other conjuncts in the order given, each on the rows that the ones before left. One that raises is
    /// evaluated again after the others: the planner may have put it before the conjunct that excludes the row. Returns
    /// the columns decoded for it, cut to the surviving rows.
    fn filter_decoded(
        &mut self,
        current: &Current,
        pages: &mut Pages<'_>,
        mask: &mut Mask,
    ) -> Result<Vec<(usize, ArrayRef)>> {
        let mut due = Vec::with_capacity(self.filter.residual.len());
        for (i, residual) in self.filter.residual.iter_mut().enumerate() {
            if residual.judge.is_due() {
                due.push(i);
            }
        }
        let mut decoded: Vec<(usize, ArrayRef)> = Vec::new();
        while !due.is_empty() {
            let before = mask.count();
            let mut raised = None;
            let mut again = Vec::new();
            for i in due {
                self.decode_for(i, current, pages, mask, &mut decoded)?;
                match self.narrow(i, mask, &mut decoded) {
                    Ok(0) => return Ok(Vec::new()),
                    Ok(_) => {}
                    Err(e) => {
                        again.push(i);
                        raised.get_or_insert(e);
                    }
                }
            }
            match raised {
                Some(e) if mask.count() == before => return Err(e),
                _ => due = again,
            }
        }
        Ok(decoded)
    }

    /// Decodes what the `i`-th residual conjunct reads and is not decoded yet.
    fn decode_for(
        &self,
        i: usize,
        current: &Current,
        pages: &mut Pages<'_>,
        mask: &Mask,
        decoded: &mut Vec<(usize, ArrayRef)>,
    ) -> Result<()> {
        let rows = mask.count();
        for column in &self.filter.residual[i].conjunct.columns {
            if decoded.iter().all(|(c, _)| c != column) {
                let mut builder = ColumnBuilder::new(self.table.def.columns[*column].sql_type, rows);
                self.decode_into(current, pages, *column, mask, rows, &mut builder)?;
                decoded.push((*column, builder.finish().map_err(external)?));
            }
        }
        Ok(())
    }

    /// Clears the rows that do not pass the `i`-th residual conjunct; returns how many are left. Where the conjunct
    /// raises, nothing has changed.
    fn narrow(&mut self, i: usize, mask: &mut Mask, decoded: &mut [(usize, ArrayRef)]) -> Result<usize> {
        let _timer = self.metrics.filter_time.timer();
        let rows = mask.count();
        let keep = self.filter.residual[i].evaluate(decoded, rows)?;
        let passed = keep.true_count();
        if passed == rows {
            return Ok(rows);
        }
        mask.retain(keep.values());
        if passed > 0 {
            for (_, array) in decoded {
                *array = filter_array(array, &keep)?;
            }
        }
        Ok(passed)
    }

    pub(super) fn decode_into(
        &self,
        current: &Current,
        pages: &mut Pages<'_>,
        column: usize,
        mask: &Mask,
        count: usize,
        builder: &mut ColumnBuilder,
    ) -> Result<()> {
        let _timer = self.metrics.decode_time.timer();
        if self.table.def.columns[column].id == ROW {
            let first = pages.zone * self.table.geometry.zone_rows();
            let identity = row_identities(current.reference.id).map_err(external)?;
            let rows = mask.ones().map(|row| identity((first + row) as u32));
            return builder.append_array(&Int64Array::from_iter_values(rows)).map_err(external);
        }
        let Some(open) = pages.get(column) else {
            let absent = self.table.def.columns[column].absent.as_ref();
            return builder.append_constant(absent, count).map_err(external);
        };
        self.metrics.add_decoded(column, count);
        open.page.decode(selection(mask, count), builder).map_err(|e| current.locate(e, open.at))
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
}

/// The `count` rows of a mask.
pub(super) fn selection(mask: &Mask, count: usize) -> Selection<'_> {
    if count == mask.len() { Selection::All } else { Selection::Rows(mask) }
}

/// One page's bytes, with what it takes to open it.
struct Fetched {
    column: usize,
    ordinal: usize,
    bytes: Bytes,
    dictionary: Option<Arc<Dictionary>>,
}

/// The pages of one zone that were opened, so that none is unpacked twice.
pub(super) struct Pages<'a> {
    /// Counted over the segment.
    zone: usize,
    rows: usize,
    open: Vec<OpenPage<'a>>,
}

pub(super) struct OpenPage<'a> {
    /// Of the table.
    column: usize,
    pub dictionary: Option<&'a Arc<Dictionary>>,
    pub page: Page<'a>,
    /// Where in the segment its bytes begin.
    pub at: u64,
}

impl<'a> Pages<'a> {
    fn open(&mut self, fetched: &'a [Fetched], current: &Current, columns: &[ColumnDef]) -> Result<()> {
        for f in fetched {
            let directory = current.segment.directory(f.ordinal).map_err(external)?;
            directory.check_type(columns[f.column].sql_type).map_err(|e| current.locate(e, 0))?;
            let encoding = directory.chunks[current.chunk].encoding;
            let dictionary = f.dictionary.as_ref();
            let at = current.segment.page(f.ordinal, self.zone).map_err(external)?.range.offset;
            let page = Page::open(encoding, directory.stored, self.rows, &f.bytes, dictionary.map(Arc::as_ref))
                .map_err(|e| current.locate(e, at))?;
            self.open.push(OpenPage { column: f.column, dictionary, page, at });
        }
        Ok(())
    }

    /// `None` when the segment was written before the column existed.
    pub fn get(&mut self, column: usize) -> Option<&mut OpenPage<'a>> {
        self.open.iter_mut().find(|p| p.column == column)
    }
}

impl Judge {
    /// Whether the test is to be made of the next zone.
    fn is_due(&mut self) -> bool {
        let due = self.leave_out == 0;
        self.leave_out = self.leave_out.saturating_sub(1);
        due
    }

    /// Notes how many of some rows have passed.
    fn note(&mut self, seen: usize, passed: usize) {
        self.seen += seen;
        self.passed += passed;
        if self.seen >= JUDGE_AFTER_ROWS {
            self.rate = self.passed as f32 / self.seen as f32;
            if self.rate > USELESS_PASS_RATE {
                self.leave_out = LEAVE_OUT_ZONES;
            }
            (self.seen, self.passed) = (0, 0);
        }
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
            self.judge.note(rows, keep.true_count());
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
            let sql_type = column.sql_type;
            let column = Column::from_array(&builder.finish().map_err(external)?, sql_type).map_err(external)?;
            let stored = sql_type.stored();
            let mut encoder = ChunkEncoder::new(stored, EncodingName::Raw, Geometry::DEFAULT);
            let encoded = encoder.encode(&column).map_err(external)?;
            let mut page = Page::open(encoded.encoding, stored, 1, &encoded.pages[0], None).map_err(external)?;
            let mut mask = Mask::all(1);
            page.filter(predicate, None, &mut mask).map_err(external)?;
            Ok(mask.any())
        }
    }
}
