//! Loading: rows in any order become sorted, encoded segments on their slices.
//!
//! A sorter keeps the batches it is given; when they exceed the load's memory, its owner stores them as a run and goes
//! on with another. At the end [`super::merge`] makes one run of several, so that a load is sorted however large it is.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::{ArrayRef, RecordBatch};
use bytes::Bytes;

use super::arrange::{Arranged, Arranger, Unit};
use super::interleave::RankCounts;
use super::packed::{self, PackedColumn, Runs};
use super::sort::{KeyEncoder, RowKey, SortKeys, sort_rows};
use crate::catalog::RankMap;
use crate::catalog::model::{EffectiveDist, TableDef};
use crate::common::{ColumnId, Error, Result, Scalar, SqlType};
use crate::distribution::{hash_array, slice_of_hash};
use crate::format::column::Column;
use crate::format::segment::{ColumnSpec, FinishedSegment, SegmentBuilder};
use crate::format::stable::Geometry;
use crate::statistics::SegmentSketches;

/// How rows are placed and ordered, taken from a table's definition.
#[derive(Debug, Clone)]
pub struct LoadLayout {
    pub geometry: Geometry,
    pub slices: u32,
    pub columns: Vec<ColumnSpec>,
    /// Of each column, the value of rows that were stored before it came.
    absent: Vec<Option<Scalar>>,
    /// Whether AUTO keeps to light encodings.
    light: bool,
    /// Ordinals of the sort key's columns.
    sort: Vec<usize>,
    /// What orders the rows, where the key is interleaved; its columns in turn while there is no map.
    ranks: Option<Arc<RankMap>>,
    interleaved: bool,
    dist: LoadDist,
}

/// Where rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LoadDist {
    /// In turn, beginning at this slice.
    Even { first: u32 },
    /// By the hash of the column of this ordinal.
    Key(usize),
    /// To slice 0, from where every partition reads.
    All,
}

impl LoadLayout {
    /// For a load into `def`; `first_slice` is where EVEN begins.
    ///
    /// Errors: Unsupported when rows are placed by a hash that this build does not know.
    pub fn new(def: &TableDef, geometry: Geometry, slices: u32, first_slice: u32) -> Result<Self> {
        let ordinal = |id: ColumnId| {
            def.columns
                .iter()
                .position(|c| c.id == id)
                .ok_or_else(|| Error::internal(format!("table \"{}\" has no column {id}", def.name)))
        };
        let dist = match def.effective_dist {
            EffectiveDist::Even => LoadDist::Even { first: first_slice % slices },
            EffectiveDist::Key(_) if !def.hash_is_known() => {
                return Err(Error::unsupported(format!(
                    "the rows of table \"{}\" were placed by a newer version of Blueshift (slice hash {})",
                    def.name, def.hash_id
                ))
                .with_hint("upgrade Blueshift to add rows; queries read the table as it is"));
            }
            EffectiveDist::Key(id) => LoadDist::Key(ordinal(id)?),
            EffectiveDist::All => LoadDist::All,
        };
        let sort = match &def.sort {
            Some(key) => key.columns.iter().map(|id| ordinal(*id)).collect::<Result<_>>()?,
            None => Vec::new(),
        };
        let columns =
            def.columns.iter().map(|c| ColumnSpec { id: c.id, sql_type: c.sql_type, encoding: c.encoding }).collect();
        Ok(LoadLayout {
            geometry,
            slices,
            columns,
            absent: def.columns.iter().map(|c| c.absent.clone()).collect(),
            light: false,
            sort,
            ranks: None,
            interleaved: !def.interleaved().is_empty(),
            dist,
        })
    }

    /// Of the sort key's columns alone, in no order.
    pub(super) fn of_key(&self) -> Self {
        let columns = self.sort.iter().map(|i| self.columns[*i]).collect();
        let absent = self.sort.iter().map(|i| self.absent[*i].clone()).collect();
        LoadLayout { columns, absent, sort: Vec::new(), ranks: None, dist: LoadDist::All, ..self.clone() }
    }

    /// Of some columns alone, in no order and no place.
    pub fn of_columns(&self, ids: &BTreeSet<ColumnId>) -> Self {
        let kept: Vec<usize> = (0..self.columns.len()).filter(|i| ids.contains(&self.columns[*i].id)).collect();
        let columns = kept.iter().map(|i| self.columns[*i]).collect();
        let absent = kept.iter().map(|i| self.absent[*i].clone()).collect();
        LoadLayout { columns, absent, sort: Vec::new(), ranks: None, dist: LoadDist::All, ..self.clone() }
    }

    /// Of the sort key's columns alone, in their order.
    pub(super) fn of_sort_key(&self) -> Self {
        LoadLayout { sort: (0..self.sort.len()).collect(), ranks: self.ranks.clone(), ..self.of_key() }
    }

    /// Whether all rows are on slice 0.
    pub(super) fn is_all(&self) -> bool {
        self.dist == LoadDist::All
    }

    /// Of a small table.
    pub fn lightly(self, light: bool) -> Self {
        LoadLayout { light, ..self }
    }

    pub(super) fn is_light(&self) -> bool {
        self.light
    }

    /// What rows have in the column of this ordinal that were stored before it came.
    pub(super) fn absent(&self, ordinal: usize) -> Option<&Scalar> {
        self.absent.get(ordinal)?.as_ref()
    }

    /// In the order of a rank map, which belongs to the table's interleaved sort key.
    pub fn ranked(self, ranks: Option<Arc<RankMap>>) -> Self {
        LoadLayout { ranks, ..self }
    }

    /// The rank map that orders the rows.
    pub fn ranks(&self) -> Option<&Arc<RankMap>> {
        self.ranks.as_ref()
    }

    /// The column by which each slice's rows ascend, if there is one.
    pub fn leading(&self) -> Option<ColumnId> {
        let first = self.sort.first().filter(|_| !self.interleaved)?;
        Some(self.columns[*first].id)
    }

    /// Counts the rows of a segment by their ranks; nothing where they are not ranked.
    pub(super) fn rank_counts(&self) -> RankCounts {
        RankCounts::new(self.ranks.as_ref().map_or(0, |ranks| ranks.columns.len()))
    }

    /// Sketches the columns of a segment.
    pub(super) fn sketches(&self) -> SegmentSketches {
        SegmentSketches::new(self.columns.iter().map(|c| c.id))
    }

    /// Makes the sort keys of the table's rows.
    pub fn key_encoder(&self) -> Result<KeyEncoder> {
        let types: Vec<SqlType> = self.sort.iter().map(|i| self.columns[*i].sql_type).collect();
        KeyEncoder::new(&types, self.ranks.as_deref())
    }

    /// The sort key's columns of a batch.
    pub fn key_columns(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.sort.iter().map(|i| Arc::clone(batch.column(*i))).collect()
    }

    /// Ordinals of the sort key's columns; none for a table without one.
    pub fn sort_columns(&self) -> &[usize] {
        &self.sort
    }

    /// The slice of each of `rows` rows, the first of which is row number `start` of the load.
    pub(super) fn place(&self, columns: &[ArrayRef], rows: usize, start: u64) -> Result<Placement> {
        Ok(match self.dist {
            LoadDist::All => Placement::One(0),
            _ if self.slices == 1 => Placement::One(0),
            LoadDist::Even { first } => Placement::Each(
                (0..rows as u64).map(|i| ((u64::from(first) + start + i) % u64::from(self.slices)) as u32).collect(),
            ),
            LoadDist::Key(ordinal) => {
                let hashes = hash_array(&columns[ordinal])?;
                Placement::Each(hashes.into_iter().map(|h| slice_of_hash(h, self.slices)).collect())
            }
        })
    }
}

/// The slices of some rows.
pub(super) enum Placement {
    One(u32),
    Each(Vec<u32>),
}

/// Takes the rows of one load and gives them back as sorted segments, slice by slice.
pub struct SliceSorter {
    arranger: Arranger,
    units: Vec<Unit>,
    total_rows: u64,
    memory_bytes: usize,
    arrow_bytes: usize,
}

impl SliceSorter {
    pub fn new(layout: LoadLayout) -> Result<Self> {
        Self::going_on(layout, 0)
    }

    /// Of a load that had so many rows before.
    fn going_on(layout: LoadLayout, total_rows: u64) -> Result<Self> {
        let keys = Arc::new(layout.key_encoder()?);
        let turn = Arc::new(AtomicU64::new(total_rows));
        Ok(Self::with(Arranger { layout: Arc::new(layout), keys, turn }, total_rows))
    }

    fn with(arranger: Arranger, total_rows: u64) -> Self {
        SliceSorter { arranger, units: Vec::new(), total_rows, memory_bytes: 0, arrow_bytes: 0 }
    }

    /// Rows taken so far, those split off included.
    pub fn total_rows(&self) -> u64 {
        self.total_rows
    }

    /// Bytes of the rows held.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// What they would take as Arrow's arrays, which is what AUTO goes by.
    pub fn arrow_bytes(&self) -> usize {
        self.arrow_bytes
    }

    pub fn layout(&self) -> &LoadLayout {
        &self.arranger.layout
    }

    /// Arranges rows for [`SliceSorter::take`], elsewhere.
    pub fn arranger(&self) -> Arranger {
        self.arranger.clone()
    }

    /// A column of what was taken since the last split, in the order that it came: unit by unit the batches. Without a sort key, the
    /// rows of each batch are as they came, too.
    pub fn came(&self, ordinal: usize) -> impl Iterator<Item = Result<Vec<ArrayRef>>> {
        self.units.iter().map(move |unit| {
            let array = unit.array(self.layout(), ordinal)?;
            Ok(unit.came_as().map(|rows| array.slice(rows.start, rows.len())).collect())
        })
    }

    /// Takes a batch whose columns are the table's, in its order and of its Arrow types, checked against NOT NULL and
    /// declared lengths.
    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let arranged = self.arranger.arrange(&[batch])?;
        self.take(arranged)
    }

    /// The same of rows that were arranged; where the layout has changed since, they are once more.
    pub fn take(&mut self, Arranged { layout, unit }: Arranged) -> Result<()> {
        if !Arc::ptr_eq(&layout, &self.arranger.layout) {
            return self.push(unit.batch(&layout)?);
        }
        if unit.rows == 0 {
            return Ok(());
        }
        u32::try_from(self.units.len())
            .map_err(|_| Error::unavailable("a load of more than 4 billion batches").with_hint("load in parts"))?;
        self.total_rows += unit.rows as u64;
        self.memory_bytes += unit.memory_bytes();
        self.arrow_bytes += unit.arrow_bytes();
        self.units.push(unit);
        Ok(())
    }

    /// Everything taken so far, leaving a sorter that goes on from there.
    pub fn split_off(&mut self) -> SliceSorter {
        let rest = SliceSorter::with(self.arranger.clone(), self.total_rows);
        std::mem::replace(self, rest)
    }

    /// Tells that the rows taken so far make a small table with those that it holds.
    pub fn set_light(&mut self) {
        Arc::make_mut(&mut self.arranger.layout).light = true;
    }

    /// Orders the rows held, and those to come, by a rank map.
    pub fn rank_by(&mut self, ranks: Arc<RankMap>) -> Result<()> {
        let layout = LoadLayout::clone(&self.arranger.layout).ranked(Some(ranks));
        self.arranger.keys = Arc::new(layout.key_encoder()?);
        self.arranger.layout = Arc::new(layout);
        let Arranger { layout, keys, .. } = &self.arranger;
        for unit in &mut self.units {
            let columns = layout.sort_columns().iter().map(|at| unit.array(layout, *at));
            unit.keys = Some(keys.encode(&columns.collect::<Result<Vec<_>>>()?)?);
            unit.in_order = false;
        }
        Ok(())
    }

    /// Forgets the placement of the rows held and places them by `layout` instead (AUTO decides once it has seen them).
    pub fn replace_layout(&mut self, layout: LoadLayout) -> Result<()> {
        let (units, old) = (std::mem::take(&mut self.units), Arc::clone(&self.arranger.layout));
        let held: u64 = units.iter().map(|unit| unit.rows as u64).sum();
        *self = SliceSorter::going_on(layout, self.total_rows - held)?;
        units.into_iter().try_for_each(|unit| self.push(unit.batch(&old)?))
    }

    /// Everything taken, sorted, split into jobs of one slice each that can run on any thread.
    pub fn into_slices(self) -> Vec<SliceRows> {
        let layout = self.arranger.layout;
        let slices = 0..layout.slices;
        let shared = Arc::new(Shared { layout, units: self.units });
        let jobs = slices.map(|slice| SliceRows { slice, shared: Arc::clone(&shared) });
        jobs.filter(|job| job.count() > 0).collect()
    }
}

impl fmt::Debug for SliceSorter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SliceSorter").field("rows", &self.total_rows).field("bytes", &self.memory_bytes).finish()
    }
}

/// One slice's rows of a load.
pub struct SliceRows {
    pub slice: u32,
    shared: Arc<Shared>,
}

struct Shared {
    layout: Arc<LoadLayout>,
    units: Vec<Unit>,
}

impl SliceRows {
    fn count(&self) -> usize {
        self.shared.units.iter().map(|unit| unit.places.count(self.slice as usize)).sum()
    }

    /// As unit and row in the order of the sort key, some at a time, so that what is sorted at once stays in a core's cache: rows
    /// of one key together, of different keys about a chunk's.
    fn sorted(&self) -> impl Iterator<Item = Vec<(u32, u32)>> {
        let Shared { layout, units } = &*self.shared;
        let slice = self.slice as usize;
        let keys: Vec<&SortKeys> = units.iter().filter_map(|unit| unit.keys.as_ref()).collect();
        let splits = match units.iter().all(|unit| unit.in_order) {
            true => splits(&keys, units.iter().map(|unit| unit.places.range(slice)), layout.geometry.chunk_rows()),
            false => Vec::new(),
        };
        // Rows without a sort key stay unit by unit.
        let parts = if layout.sort.is_empty() { units.len() } else { splits.len() + 1 };
        let mut next: Vec<usize> = units.iter().map(|unit| unit.places.range(slice).start).collect();
        (0..parts).map(move |part| {
            let rows_of =
                |at: usize, places: Range<usize>| units[at].places.rows(places).map(move |row| (at as u32, row));
            if layout.sort.is_empty() {
                return rows_of(part, units[part].places.range(slice)).collect();
            }
            let mut rows = Vec::new();
            for (at, (unit, keys)) in units.iter().zip(&keys).enumerate() {
                let left = next[at]..unit.places.range(slice).end;
                let end = splits.get(part).map_or(left.end, |split| keys.first_at(split, left.clone()));
                rows.extend(rows_of(at, left.start..end));
                next[at] = end;
            }
            sort_rows(&keys, &mut rows);
            rows
        })
    }

    /// Sorts the rows and hands each segment to `emit` as soon as it is full. Computes only.
    pub fn encode(self, mut emit: impl FnMut(SliceSegment) -> Result<()>) -> Result<()> {
        let Shared { layout, units } = &*self.shared;
        let mut builder = SegmentBuilder::new(layout.geometry, self.slice, &layout.columns).light(layout.light);
        let mut ranks = layout.rank_counts();
        let mut sketches = layout.sketches();
        let slice = self.slice;
        let mut finish = |builder: &mut SegmentBuilder, ranks: &mut RankCounts, sketches: &mut SegmentSketches| {
            emit(SliceSegment::finish(slice, builder, ranks, sketches)?)
        };
        let mut push = |rows: &[(u32, u32)]| {
            let chosen: Runs = rows.iter().copied().collect();
            let gather = |ordinal: usize| {
                let columns: Vec<&PackedColumn> = units.iter().map(|unit| &unit.columns[ordinal]).collect();
                packed::gather(&columns, &chosen, layout.columns[ordinal].sql_type)
            };
            let chunk = (0..layout.columns.len()).map(gather).collect::<Result<Vec<Column>>>()?;
            builder.push_chunk(&chunk)?;
            sketches.add(&chunk);
            if layout.ranks.is_some() {
                let z = |(unit, row): &(u32, u32)| units[*unit as usize].keys.as_ref()?.z(*row as usize);
                rows.iter().filter_map(z).for_each(|z| ranks.add(z));
            }
            if builder.is_full() { finish(&mut builder, &mut ranks, &mut sketches) } else { Ok(()) }
        };
        let chunk_rows = layout.geometry.chunk_rows();
        let mut rows = Vec::new();
        for part in self.sorted() {
            match rows.is_empty() {
                true => rows = part,
                false => rows.extend(part),
            }
            let whole = rows.len() - rows.len() % chunk_rows;
            rows[..whole].chunks(chunk_rows).try_for_each(&mut push)?;
            rows.drain(..whole);
        }
        if !rows.is_empty() {
            push(&rows)?;
        }
        if builder.rows() > 0 {
            finish(&mut builder, &mut ranks, &mut sketches)?;
        }
        Ok(())
    }
}

/// Keys between which about so many rows each are, of some whose keys ascend within each of these ranges.
fn splits(keys: &[&SortKeys], ranges: impl Iterator<Item = Range<usize>>, rows: usize) -> Vec<RowKey> {
    /// Keys that are looked at, of each part's.
    const SAMPLED: usize = 512;
    let step = (rows / SAMPLED).max(1);
    let (mut sampled, mut total) = (Vec::new(), 0);
    for (keys, range) in keys.iter().zip(ranges) {
        // Every so many rows of all ranges together, which may have few each.
        let first = range.start + (step - total % step) % step;
        total += range.len();
        sampled.extend((first..range.end).step_by(step).map(|row| keys.key(row)));
    }
    sampled.sort_unstable();
    let parts = total.div_ceil(rows);
    let mut splits: Vec<RowKey> = (1..parts).map(|part| sampled[sampled.len() * part / parts].clone()).collect();
    splits.dedup();
    splits
}

impl fmt::Debug for SliceRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SliceRows").field("slice", &self.slice).field("rows", &self.count()).finish()
    }
}

/// A segment that is encoded, and what the catalog is told of it.
#[derive(Debug)]
pub struct SliceSegment {
    pub slice: u32,
    pub segment: FinishedSegment,
    /// See [`crate::catalog::SegmentRef::rank_counts`].
    pub rank_counts: Vec<u32>,
    /// What its footer says of its columns' values.
    pub sketches: SegmentSketches,
}

impl SliceSegment {
    /// The segment of what was taken since the last one.
    pub(super) fn finish(
        slice: u32,
        builder: &mut SegmentBuilder,
        ranks: &mut RankCounts,
        sketches: &mut SegmentSketches,
    ) -> Result<Self> {
        let sketches = sketches.take();
        let segment = builder.finish_with(Some(&sketches.encode()))?;
        Ok(SliceSegment { slice, segment, rank_counts: ranks.take(), sketches })
    }
}

/// Segments packed into objects: several small ones share one.
#[derive(Debug, Default)]
pub struct ObjectPacker {
    /// Offset, segment with its bytes.
    segments: Vec<(u64, SliceSegment)>,
    len: u64,
}

impl ObjectPacker {
    /// An object is closed when it has reached this size.
    pub const TARGET_BYTES: u64 = 64 << 20;

    /// Adds a segment; `true` when the object should be closed.
    pub fn push(&mut self, segment: SliceSegment) -> bool {
        let offset = self.len;
        self.len += segment.segment.len;
        self.segments.push((offset, segment));
        self.len >= Self::TARGET_BYTES
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The object's bytes, and its segments as offset and segment (without bytes).
    pub fn take(&mut self) -> (Vec<Bytes>, Vec<(u64, SliceSegment)>) {
        self.len = 0;
        let mut segments = std::mem::take(&mut self.segments);
        let parts = segments.iter_mut().flat_map(|(_, s)| std::mem::take(&mut s.segment.parts)).collect();
        (parts, segments)
    }

    /// Each segment with its bytes in one piece.
    pub fn take_inline(&mut self) -> Vec<(SliceSegment, Bytes)> {
        self.len = 0;
        let segments = std::mem::take(&mut self.segments);
        segments
            .into_iter()
            .map(|(_, mut segment)| {
                let bytes = std::mem::take(&mut segment.segment.parts).concat();
                (segment, Bytes::from(bytes))
            })
            .collect()
    }
}

/// Rows above which an AUTO table is no longer ALL.
pub const AUTO_ALL_MAX_ROWS: u64 = 1_000_000;
/// Bytes (of Arrow arrays) above which an AUTO table is no longer ALL.
pub const AUTO_ALL_MAX_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};

    use super::*;
    use crate::common::EncodingName;
    use crate::testing::rng::Rng;

    /// Of two columns, a key and a number.
    fn layout(key: SqlType, sorted: bool, slices: u32) -> LoadLayout {
        let spec = |id, sql_type| ColumnSpec { id: ColumnId(id), sql_type, encoding: EncodingName::Raw };
        LoadLayout {
            geometry: Geometry::new(16, 64).unwrap(),
            slices,
            columns: vec![spec(0, key), spec(1, SqlType::BigInt)],
            absent: vec![None, None],
            light: false,
            sort: if sorted { vec![0] } else { Vec::new() },
            ranks: None,
            interleaved: false,
            dist: LoadDist::Even { first: 1 },
        }
    }

    /// Parts have about as many rows as they are to have, also of many units with few rows each.
    #[test]
    fn parts_are_even() {
        for (rows_of_unit, units) in [(40, 500), (3000, 8), (1, 3000)] {
            let mut sorter = SliceSorter::new(LoadLayout {
                geometry: Geometry::new(1024, 2048).unwrap(),
                ..layout(SqlType::BigInt, true, 1)
            })
            .unwrap();
            let mut rng = Rng::new(3);
            for _ in 0..units {
                let keys = Int64Array::from_iter_values((0..rows_of_unit).map(|_| rng.next_u64() as i64 >> 1));
                let keys: ArrayRef = Arc::new(keys);
                sorter.push(RecordBatch::try_from_iter([("k", Arc::clone(&keys)), ("n", keys)]).unwrap()).unwrap();
            }
            let slice = sorter.into_slices().pop().unwrap();
            let most = slice.sorted().map(|part| part.len()).max().unwrap();
            assert!(most < 3 * 2048, "{units} units of {rows_of_unit}: a part of {most} rows");
        }
    }

    /// Rows are sorted some at a time; all together they are as one stable sort has them, whatever the keys: numbers, text,
    /// near each other, all the same, or none.
    #[test]
    fn what_is_sorted_in_parts_is_sorted() {
        let mut rng = Rng::new(21);
        let (mut numbers, mut several) = (0, 0);
        for round in 0..60 {
            let slices = 1 + rng.below(3) as u32;
            let distinct = [1, 3, 50, 1u64 << 40][rng.below(4)];
            let sql_type = if round % 2 == 0 { SqlType::BigInt } else { SqlType::Varchar(20) };
            let mut sorter = SliceSorter::new(layout(sql_type, round % 5 != 0, slices)).unwrap();
            let mut keys = Vec::new();
            for _ in 0..1 + rng.below(6) {
                let rows = rng.below(300);
                let of_batch: Vec<i64> = (0..rows).map(|_| (rng.next_u64() % distinct) as i64).collect();
                let texts = StringViewArray::from_iter_values(of_batch.iter().map(|key| format!("{key:015}")));
                // NULL is the last: its keys have more than 64 bits.
                let last = rng.one_in(3).then_some(distinct as i64 - 1);
                let number = |key: &i64| Some(*key).filter(|key| Some(*key) != last);
                let key: ArrayRef = match sql_type {
                    SqlType::BigInt => Arc::new(of_batch.iter().map(number).collect::<Int64Array>()),
                    _ => Arc::new(texts),
                };
                let nulls = if sql_type == SqlType::BigInt { last } else { None };
                let of_batch = of_batch.into_iter().map(|key| if Some(key) == nulls { i64::MAX } else { key });
                let start = keys.len() as i64;
                let number: ArrayRef = Arc::new(Int64Array::from_iter_values(start..start + rows as i64));
                sorter.push(RecordBatch::try_from_iter([("k", key), ("n", number)]).unwrap()).unwrap();
                keys.extend(of_batch);
            }
            numbers += keys.len();
            for slice in sorter.into_slices() {
                let parts: Vec<_> = slice.sorted().filter(|part| !part.is_empty()).collect();
                several += usize::from(parts.len() > 1);
                let units: Vec<_> = slice.shared.units.iter().map(|unit| &unit.columns[1]).collect();
                let found = packed::gather(&units, &parts.concat().into_iter().collect(), SqlType::BigInt).unwrap();
                let mut expected: Vec<usize> =
                    (0..keys.len()).filter(|row| (row + 1) % slices as usize == slice.slice as usize).collect();
                if round % 5 != 0 {
                    expected.sort_by_key(|row| keys[*row]);
                }
                let found: Vec<_> = (0..found.len()).map(|row| found.scalar(row).unwrap()).collect();
                let expected: Vec<_> = expected.into_iter().map(|row| Scalar::Int(row as i128)).collect();
                assert_eq!(found, expected, "{round}: {distinct} keys, {slices} slices");
            }
        }
        assert!(numbers > 10_000 && several > 30, "{numbers} rows, {several} slices in parts");
    }
}
