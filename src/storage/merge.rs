//! Several sorted runs of a table into one, slice by slice, in bounded memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::filter;
use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt};
use roaring::RoaringBitmap;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::gather::gather;
use super::interleave::RankCounts;
use super::loader::{key_follows, put_object};
use super::runs::StoredRuns;
use super::segment::{OpenSegment, SegmentStore};
use super::sort::{KeyEncoder, RowKey, SortKeys, sort_rows};
use super::writer::{LoadLayout, ObjectPacker, SliceSegment};
use crate::catalog::model::{ObjectId, RunId, SegmentId, SegmentRef};
use crate::catalog::paths;
use crate::catalog::transaction::ObjectNames;
use crate::catalog::transaction::{Blob, NewSegment};
use crate::common::{ColumnId, Error, Result, Scalar, SqlType, Version};
use crate::format::column::{Column, ColumnBuilder};
use crate::format::encoding::{Dictionary, Page, Selection};
use crate::format::segment::SegmentBuilder;
use crate::statistics::SegmentSketches;

/// Makes one run of `runs`, whose segments are stored and have no dead rows. Slices whose runs follow each other stay
/// as they are; the others are read and written anew, `threads` of them at a time.
///
/// All runs are in the order of `layout`: that of its rank map, where it has one. Pages that wait to be decoded take about `memory`
/// bytes; beside them each run has a decoded zone, and each thread a segment that is written.
///
/// Objects that no segment is left in are deleted, and all of them where it fails or is given up; what cannot be, the collector
/// finds.
pub async fn merge_runs(
    mut stored: StoredRuns,
    layout: &LoadLayout,
    segments: &SegmentStore,
    store: &Arc<dyn ObjectStore>,
    names: &ObjectNames,
    threads: usize,
    memory: usize,
) -> Result<Vec<NewSegment>> {
    let written: BTreeSet<ObjectId> = stored.segments().filter_map(object_of).collect();
    let runs: Vec<Vec<NewSegment>> = stored.runs().to_vec();
    let mut slices: BTreeMap<u32, Vec<Vec<NewSegment>>> = BTreeMap::new();
    for run in runs {
        let mut of_slice: BTreeMap<u32, Vec<NewSegment>> = BTreeMap::new();
        for segment in run {
            of_slice.entry(segment.slice).or_default().push(segment);
        }
        for (slice, run) in of_slice {
            slices.entry(slice).or_default().push(run);
        }
    }
    let leading = layout.leading();
    let ordered = !layout.sort_columns().is_empty();
    // What is read goes with its object.
    let segments = segments.unmapped();
    let permits = Arc::new(Semaphore::new(threads.max(1)));
    // Stored as they come: a slice may be larger than memory.
    let (sender, mut finished) = mpsc::channel::<SliceSegment>(threads.max(1));
    let mut merging: JoinSet<Result<()>> = JoinSet::new();
    let mut merged = StoredRuns::new(Arc::clone(store));
    for (slice, mut runs) in slices {
        // Bounds of columns do not tell whether Z values follow each other.
        let follow = |runs: &mut [_]| leading.is_some_and(|leading| put_in_order(runs, leading));
        if ordered && runs.len() > 1 && !follow(&mut runs) {
            let (layout, segments, permits) = (layout.clone(), segments.clone(), Arc::clone(&permits));
            let sender = sender.clone();
            let refs = |run: &Vec<NewSegment>| run.iter().map(as_reference).collect::<Result<VecDeque<_>>>();
            let runs = runs.iter().map(refs).collect::<Result<Vec<_>>>()?;
            let held = memory / (runs.len() * threads.max(1));
            merging.spawn(async move {
                let _permit = permits.acquire_owned().await.map_err(|e| Error::internal(e.to_string()))?;
                let mut merge = Merge::new(slice, runs, layout, segments, held).await?;
                while let Some(merged) = merge.next(|_, _| true).await? {
                    let given_up = |_| Error::internal("the merge was given up");
                    sender.send(merged.segment).await.map_err(given_up)?;
                }
                Ok(())
            });
        } else {
            merged.last_mut().extend(runs.into_iter().flatten());
        }
    }
    drop(sender);
    let mut packer = ObjectPacker::default();
    while let Some(segment) = finished.recv().await {
        if packer.push(segment) {
            put_object(&mut packer, store, names.next_object(), merged.last_mut()).await?;
        }
    }
    while let Some(slice) = merging.join_next().await {
        slice.map_err(|e| Error::internal(format!("merging a slice: {e}")))??;
    }
    if !packer.is_empty() {
        put_object(&mut packer, store, names.next_object(), merged.last_mut()).await?;
    }
    stored.take();
    let mut merged: Vec<NewSegment> = merged.take().into_iter().flatten().collect();
    merged.sort_by_key(|s| s.slice);
    let kept: BTreeSet<ObjectId> = merged.iter().filter_map(object_of).collect();
    for object in written.difference(&kept) {
        if let Err(e) = store.delete(&paths::object(object)).await {
            tracing::warn!(%object, error = %e, "a merged run's object was not deleted");
        }
    }
    Ok(merged)
}

pub(super) fn object_of(segment: &NewSegment) -> Option<ObjectId> {
    match &segment.blob {
        Blob::Stored(extent) => Some(extent.object),
        Blob::Inline(_) => None,
    }
}

/// Whether the runs can stand one after another; puts them in that order.
fn put_in_order(runs: &mut [Vec<NewSegment>], leading: ColumnId) -> bool {
    let min = |run: &[NewSegment]| {
        let column = run.first().and_then(|s| s.columns.iter().find(|c| c.id == leading));
        column.and_then(|c| c.bounds.min.clone())
    };
    runs.sort_by(|a, b| match (min(a), min(b)) {
        (Some(a), Some(b)) => a.order(&b).unwrap_or(std::cmp::Ordering::Equal),
        (a, b) => a.is_none().cmp(&b.is_none()),
    });
    runs.windows(2).all(|pair| {
        pair[0].iter().all(|old| pair[1].iter().all(|new| key_follows(leading, &old.columns, &new.columns)))
    })
}

/// Several sorted runs of a slice being read as one, and written as segments.
pub(super) struct Merge {
    slice: u32,
    layout: LoadLayout,
    encoder: KeyEncoder,
    segments: SegmentStore,
    cursors: Vec<Cursor>,
    heap: BinaryHeap<Reverse<(RowKey, usize)>>,
    /// Where runs stand of which [`Merge::next`] was to take no more.
    stopped: Vec<Reverse<(RowKey, usize)>>,
}

/// A segment made of others' rows.
pub(super) struct Merged {
    pub segment: SliceSegment,
    /// Where each row comes from: the segment and the position in it.
    pub trail: Vec<(SegmentId, u32)>,
}

/// A row of a chunk that was read.
pub(super) struct Row {
    pub chunk: Arc<Chunk>,
    pub row: u32,
}

impl Merge {
    /// Of runs each of which is in the order of `layout`; of one run, if that has none. Of each, pages of about `held` bytes are read
    /// together, within a chunk.
    pub async fn new(
        slice: u32,
        runs: Vec<VecDeque<SegmentRef>>,
        layout: LoadLayout,
        segments: SegmentStore,
        held: usize,
    ) -> Result<Self> {
        let encoder = layout.key_encoder()?;
        let mut cursors = Vec::with_capacity(runs.len());
        for run in runs {
            let mut cursor = Cursor { segments: run, stride: Stride::Zone { held }, open: None, chunk: None, row: 0 };
            cursor.next_chunk(&layout, &encoder, &segments).await?;
            cursors.push(cursor);
        }
        let heap = cursors.iter().enumerate().filter_map(|(i, c)| c.key().map(|key| Reverse((key, i)))).collect();
        Ok(Merge { slice, layout, encoder, segments, cursors, heap, stopped: Vec::new() })
    }

    /// The lowest key of all rows that are left.
    pub fn first_key(self) -> Option<RowKey> {
        self.heap.into_iter().map(|Reverse((key, _))| key).min()
    }

    /// The next segment, of each run up to the first row for which `takes` does not tell so; what follows it is left for
    /// [`Merge::next_left`].
    pub async fn next(&mut self, takes: impl Fn(usize, &RowKey) -> bool) -> Result<Option<Merged>> {
        let mut output = Writer::new(self.slice, &self.layout);
        while let Some(Reverse((key, i))) = self.heap.pop() {
            if !takes(i, &key) {
                self.stopped.push(Reverse((key, i)));
                continue;
            }
            let cursor = &mut self.cursors[i];
            let Some(chunk) = cursor.chunk.clone() else { continue };
            let row = Row { chunk, row: cursor.row as u32 };
            cursor.row += 1;
            if cursor.row == row.chunk.rows() {
                cursor.next_chunk(&self.layout, &self.encoder, &self.segments).await?;
            }
            if let Some(key) = cursor.key() {
                self.heap.push(Reverse((key, i)));
            }
            if output.push(row)? {
                // Long computations on the runtime's threads make way for others.
                tokio::task::yield_now().await;
                if output.is_full() {
                    return output.finish().map(Some);
                }
            }
        }
        output.finish_rest()
    }

    /// The next segment of those rows that were left.
    pub async fn next_left(&mut self) -> Result<Option<Merged>> {
        self.heap.extend(self.stopped.drain(..));
        self.next(|_, _| true).await
    }
}

/// A segment being written, chunk by chunk.
pub(super) struct Writer<'a> {
    slice: u32,
    layout: &'a LoadLayout,
    builder: SegmentBuilder,
    ranks: RankCounts,
    sketches: SegmentSketches,
    /// Chunks that rows chosen so far refer to.
    chunks: Vec<Arc<Chunk>>,
    /// Where each of them is, by its address.
    known: HashMap<usize, u32>,
    rows: Vec<(u32, u32)>,
    trail: Vec<(SegmentId, u32)>,
}

impl<'a> Writer<'a> {
    pub fn new(slice: u32, layout: &'a LoadLayout) -> Self {
        Writer {
            slice,
            layout,
            builder: SegmentBuilder::new(layout.geometry, slice, &layout.columns).light(layout.is_light()),
            ranks: layout.rank_counts(),
            sketches: layout.sketches(),
            chunks: Vec::new(),
            known: HashMap::new(),
            rows: Vec::new(),
            trail: Vec::new(),
        }
    }

    /// Takes a row; whether a chunk was written.
    pub fn push(&mut self, Row { chunk, row }: Row) -> Result<bool> {
        if let Some(z) = chunk.keys.z(row as usize) {
            self.ranks.add(z);
        }
        self.trail.push((chunk.segment, chunk.position(row)));
        let at = *self.known.entry(Arc::as_ptr(&chunk) as usize).or_insert_with(|| {
            self.chunks.push(chunk);
            self.chunks.len() as u32 - 1
        });
        self.rows.push((at, row));
        if self.rows.len() < self.layout.geometry.chunk_rows() {
            return Ok(false);
        }
        self.write_chunk()?;
        Ok(true)
    }

    fn write_chunk(&mut self) -> Result<()> {
        push_rows(&mut self.builder, &mut self.sketches, &self.chunks, &self.rows, self.layout)?;
        self.chunks.clear();
        self.known.clear();
        self.rows.clear();
        Ok(())
    }

    pub fn is_full(&self) -> bool {
        self.builder.is_full()
    }

    pub fn finish(mut self) -> Result<Merged> {
        let segment = SliceSegment::finish(self.slice, &mut self.builder, &mut self.ranks, &mut self.sketches)?;
        Ok(Merged { segment, trail: self.trail })
    }

    /// What is left at the end, if anything is.
    pub fn finish_rest(mut self) -> Result<Option<Merged>> {
        if !self.rows.is_empty() {
            self.write_chunk()?;
        }
        if self.builder.rows() == 0 { Ok(None) } else { self.finish().map(Some) }
    }
}

/// The rows of segments in any order being sorted.
pub(super) struct Sorter {
    slice: u32,
    layout: LoadLayout,
    encoder: KeyEncoder,
    segments: SegmentStore,
    cursor: Cursor,
    chunks: Vec<Arc<Chunk>>,
}

impl Sorter {
    pub fn new(slice: u32, of: VecDeque<SegmentRef>, layout: LoadLayout, segments: SegmentStore) -> Result<Self> {
        let encoder = layout.key_encoder()?;
        let cursor = Cursor { segments: of, stride: Stride::Chunk, open: None, chunk: None, row: 0 };
        Ok(Sorter { slice, layout, encoder, segments, cursor, chunks: Vec::new() })
    }

    /// Reads rows until they take so many bytes; whether there are no more.
    pub async fn fill(&mut self, bytes: usize) -> Result<bool> {
        let mut taken = 0;
        while taken < bytes.max(1) {
            self.cursor.next_chunk(&self.layout, &self.encoder, &self.segments).await?;
            let Some(chunk) = self.cursor.chunk.take() else { return Ok(true) };
            taken += chunk.bytes();
            self.chunks.push(chunk);
        }
        Ok(false)
    }

    /// The segments of the rows that were read since the last time.
    pub fn take(&mut self) -> Result<Vec<Merged>> {
        let chunks = std::mem::take(&mut self.chunks);
        let of = |(at, chunk): (usize, &Arc<Chunk>)| (0..chunk.rows()).map(move |row| (at as u32, row as u32));
        let mut rows: Vec<(u32, u32)> = chunks.iter().enumerate().flat_map(of).collect();
        let keys: Vec<&SortKeys> = chunks.iter().map(|chunk| &chunk.keys).collect();
        sort_rows(&keys, &mut rows);
        let mut finished = Vec::new();
        let mut output = Writer::new(self.slice, &self.layout);
        for (chunk, row) in rows {
            if output.push(Row { chunk: Arc::clone(&chunks[chunk as usize]), row })? && output.is_full() {
                let full = std::mem::replace(&mut output, Writer::new(self.slice, &self.layout));
                finished.push(full.finish()?);
            }
        }
        finished.extend(output.finish_rest()?);
        Ok(finished)
    }

    /// The columns of the next rows, unsorted; `None` when there are no more.
    pub async fn next_columns(&mut self) -> Result<Option<Vec<ArrayRef>>> {
        self.cursor.next_chunk(&self.layout, &self.encoder, &self.segments).await?;
        Ok(self.cursor.chunk.take().map(|chunk| chunk.columns.clone()))
    }
}

fn push_rows(
    builder: &mut SegmentBuilder,
    sketches: &mut SegmentSketches,
    chunks: &[Arc<Chunk>],
    rows: &[(u32, u32)],
    layout: &LoadLayout,
) -> Result<()> {
    let columns = layout
        .columns
        .iter()
        .enumerate()
        .map(|(ordinal, spec)| {
            let arrays: Vec<&dyn Array> = chunks.iter().map(|c| c.columns[ordinal].as_ref()).collect();
            gather(&arrays, rows, spec.sql_type)
        })
        .collect::<Result<Vec<Column>>>()?;
    sketches.add(&columns);
    builder.push_chunk(&columns)
}

/// One run being read.
struct Cursor {
    segments: VecDeque<SegmentRef>,
    stride: Stride,
    open: Option<Reading>,
    chunk: Option<Arc<Chunk>>,
    row: usize,
}

/// A segment being read, some zones at a time.
pub(super) struct Reading {
    id: SegmentId,
    open: Arc<OpenSegment>,
    deleted: Option<Arc<RoaringBitmap>>,
    stride: Stride,
    /// Which is read next.
    chunk: usize,
    /// What is held of it.
    stored: Option<StoredZones>,
    /// Counted over the chunk.
    next_zone: usize,
    next_row: u32,
}

/// How much is decoded at a time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stride {
    /// Little memory, where many segments are read together: pages of about so many bytes are held.
    Zone {
        held: usize,
    },
    Chunk,
}

/// Rows of a chunk that are not dead, decoded.
pub(super) struct Chunk {
    pub columns: Vec<ArrayRef>,
    pub keys: SortKeys,
    segment: SegmentId,
    /// Of its first row, dead or not.
    first: u32,
    /// Positions of the rows in the segment, where some of the chunk are dead.
    positions: Option<Vec<u32>>,
}

impl Chunk {
    /// Bytes that it takes, with what sorting it takes.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(|c| c.get_array_memory_size()).sum::<usize>() + 24 * self.rows()
    }

    /// Those of its rows that are chosen.
    pub fn only(&self, chosen: &BooleanArray, layout: &LoadLayout, encoder: &KeyEncoder) -> Result<Chunk> {
        let columns = self.columns.iter().map(|column| filter(column, chosen));
        let columns: Vec<ArrayRef> = columns.collect::<std::result::Result<_, _>>()?;
        let keys: Vec<ArrayRef> = layout.sort_columns().iter().map(|c| Arc::clone(&columns[*c])).collect();
        let of = (0..self.rows() as u32).filter(|row| chosen.value(*row as usize));
        let positions = Some(of.map(|row| self.position(row)).collect());
        Ok(Chunk { keys: encoder.encode(&keys)?, columns, segment: self.segment, first: self.first, positions })
    }

    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.len())
    }

    fn position(&self, row: u32) -> u32 {
        match &self.positions {
            Some(positions) => positions[row as usize],
            None => self.first + row,
        }
    }
}

impl Cursor {
    fn key(&self) -> Option<RowKey> {
        let keys = &self.chunk.as_ref()?.keys;
        Some(if keys.is_empty() { RowKey::NONE } else { keys.key(self.row) })
    }

    /// Goes to the next rows that live, or to none.
    async fn next_chunk(&mut self, layout: &LoadLayout, encoder: &KeyEncoder, segments: &SegmentStore) -> Result<()> {
        self.row = 0;
        self.chunk = None;
        while self.chunk.is_none() {
            match &mut self.open {
                Some(reading) if !reading.is_done() => {
                    self.chunk = reading.read(layout, encoder, segments).await?.map(Arc::new);
                }
                _ => match self.segments.pop_front() {
                    Some(segment) => {
                        let deleted = segments.deleted(&segment).await?;
                        let open = segments.open(&segment).await?;
                        self.open = Some(Reading::at_chunk(segment.id, open, deleted, 0, self.stride));
                    }
                    None => return Ok(()),
                },
            }
        }
        Ok(())
    }
}

impl Reading {
    /// From the first row of a chunk on.
    pub fn at_chunk(
        id: SegmentId,
        open: Arc<OpenSegment>,
        deleted: Option<Arc<RoaringBitmap>>,
        chunk: usize,
        stride: Stride,
    ) -> Self {
        let next_row = (chunk * open.footer.geometry().chunk_rows()) as u32;
        Reading { id, open, deleted, stride, chunk, stored: None, next_zone: 0, next_row }
    }

    /// Whether all was read.
    fn is_done(&self) -> bool {
        self.chunk == self.open.footer.chunks()
    }

    /// The next rows that live, if any of them does. There are rows to be read.
    pub async fn read(
        &mut self,
        layout: &LoadLayout,
        encoder: &KeyEncoder,
        segments: &SegmentStore,
    ) -> Result<Option<Chunk>> {
        let chunk = self.chunk;
        let count = zones_of(&self.open, chunk).len();
        let (zones, held) = match self.stride {
            Stride::Zone { held } => (self.next_zone..self.next_zone + 1, held),
            Stride::Chunk => (self.next_zone..count, usize::MAX),
        };
        let stored = match self.stored.take() {
            Some(stored) if stored.zones.contains(&zones.start) => stored,
            before => {
                let held = zones_within(&self.open, chunk, zones.start, held, layout)?;
                stored_zones(&self.open, chunk, held, before, layout, segments).await?
            }
        };
        let mut columns = Vec::with_capacity(layout.columns.len());
        for (at, (spec, column)) in layout.columns.iter().zip(&stored.columns).enumerate() {
            let of = (zones.clone(), stored.zones.start);
            columns.push(decode(&self.open, chunk, of, (spec.sql_type, layout.absent(at)), column)?);
        }
        if zones.end == count {
            (self.chunk, self.next_zone) = (chunk + 1, 0);
        } else {
            (self.stored, self.next_zone) = (Some(stored), zones.end);
        }
        let rows: usize = columns.first().map_or(0, |column| column.len());
        let (rows, first) = (rows as u32, self.next_row);
        self.next_row += rows;
        let dead = self.deleted.as_ref().map_or(0, |deleted| deleted.range_cardinality(first..first + rows));
        let mut positions = None;
        if let (Some(deleted), 1..) = (&self.deleted, dead) {
            if dead == u64::from(rows) {
                return Ok(None);
            }
            let lives: BooleanArray = (first..first + rows).map(|row| Some(!deleted.contains(row))).collect();
            columns = columns.iter().map(|column| filter(column, &lives)).collect::<std::result::Result<_, _>>()?;
            positions = Some((first..first + rows).filter(|row| !deleted.contains(*row)).collect());
        }
        let keys: Vec<ArrayRef> = layout.sort_columns().iter().map(|c| Arc::clone(&columns[*c])).collect();
        let keys = encoder.encode(&keys)?;
        Ok(Some(Chunk { columns, keys, segment: self.id, first, positions }))
    }
}

/// One column of a chunk, decoded; `absent` where the segment does not hold it.
pub(super) async fn read_column(
    open: &OpenSegment,
    chunk: usize,
    (id, sql_type): (ColumnId, SqlType),
    absent: Option<&Scalar>,
    segments: &SegmentStore,
) -> Result<ArrayRef> {
    let zones = 0..zones_of(open, chunk).len();
    let stored = stored_column(open, chunk, zones.clone(), None, id, segments).await?;
    decode(open, chunk, (zones, 0), (sql_type, absent), &stored)
}

/// All columns of a chunk, decoded.
async fn read_chunk(
    open: &OpenSegment,
    chunk: usize,
    layout: &LoadLayout,
    segments: &SegmentStore,
) -> Result<Vec<ArrayRef>> {
    let mut columns = Vec::with_capacity(layout.columns.len());
    for (at, spec) in layout.columns.iter().enumerate() {
        columns.push(read_column(open, chunk, (spec.id, spec.sql_type), layout.absent(at), segments).await?);
    }
    Ok(columns)
}

/// A column of a chunk as the segment holds it; `None` where the column came later.
type StoredColumn = Option<StoredPages>;

struct StoredPages {
    ordinal: usize,
    dictionary: Option<Arc<Dictionary>>,
    /// One a zone.
    pages: Vec<Bytes>,
}

/// Some zones of a chunk, counted over that, as the segment holds them.
struct StoredZones {
    zones: Range<usize>,
    columns: Vec<StoredColumn>,
}

/// The zones of a chunk from the `first` on, as many as `held` bytes hold, and one at least.
fn zones_within(
    open: &OpenSegment,
    chunk: usize,
    first: usize,
    held: usize,
    layout: &LoadLayout,
) -> Result<Range<usize>> {
    let numbers = zones_of(open, chunk);
    let ordinals: Vec<usize> = layout.columns.iter().filter_map(|spec| open.ordinal(spec.id)).collect();
    let (mut end, mut bytes) = (first, 0);
    while end < numbers.len() && (end == first || bytes < held) {
        for ordinal in &ordinals {
            bytes += open.page(*ordinal, numbers[end])?.range.len as usize;
        }
        end += 1;
    }
    Ok(first..end)
}

/// `before` are zones of the same chunk, whose dictionaries go on.
async fn stored_zones(
    open: &OpenSegment,
    chunk: usize,
    zones: Range<usize>,
    before: Option<StoredZones>,
    layout: &LoadLayout,
    segments: &SegmentStore,
) -> Result<StoredZones> {
    let mut before = before.map_or(Vec::new(), |before| before.columns).into_iter();
    let mut columns = Vec::with_capacity(layout.columns.len());
    for spec in &layout.columns {
        let before = before.next().flatten();
        columns.push(stored_column(open, chunk, zones.clone(), before, spec.id, segments).await?);
    }
    Ok(StoredZones { zones, columns })
}

async fn stored_column(
    open: &OpenSegment,
    chunk: usize,
    zones: Range<usize>,
    before: Option<StoredPages>,
    id: ColumnId,
    segments: &SegmentStore,
) -> Result<StoredColumn> {
    let Some(ordinal) = open.ordinal(id) else { return Ok(None) };
    let dictionary = match before {
        Some(before) => before.dictionary,
        None => segments.dictionary(open, ordinal, chunk).await?,
    };
    let pages = segments.pages(open, ordinal, &zones_of(open, chunk)[zones]).await?;
    Ok(Some(StoredPages { ordinal, dictionary, pages }))
}

/// A column's rows in some zones of a chunk, counted over that; what is stored begins with another of them.
fn decode(
    open: &OpenSegment,
    chunk: usize,
    (zones, stored_from): (Range<usize>, usize),
    (sql_type, absent): (SqlType, Option<&Scalar>),
    stored: &StoredColumn,
) -> Result<ArrayRef> {
    let footer = &open.footer;
    let numbers = &zones_of(open, chunk)[zones.clone()];
    let rows = numbers.iter().map(|zone| footer.zone_rows(*zone)).sum();
    let mut builder = ColumnBuilder::new(sql_type, rows);
    let Some(StoredPages { ordinal, dictionary, pages }) = stored else {
        builder.append_constant(absent, rows)?;
        return builder.finish();
    };
    let directory = open.directory(*ordinal)?;
    let encoding = directory.chunks[chunk].encoding;
    for (zone, bytes) in numbers.iter().zip(&pages[zones.start - stored_from..zones.end - stored_from]) {
        let (rows, range) = (footer.zone_rows(*zone), open.page(*ordinal, *zone)?.range);
        Page::open(encoding, directory.stored, rows, bytes, dictionary.as_deref())
            .and_then(|mut page| page.decode(Selection::All, &mut builder))
            .map_err(|e| open.locate(e, range.offset))?;
    }
    builder.finish()
}

/// A chunk's zones, counted over the segment.
pub(super) fn zones_of(open: &OpenSegment, chunk: usize) -> Vec<usize> {
    let (footer, per_chunk) = (&open.footer, open.footer.geometry().zones_per_chunk());
    let first = chunk * per_chunk;
    (first..first + footer.chunk_rows(chunk).div_ceil(footer.geometry().zone_rows())).collect()
}

/// The rows of a stored segment that are not dead, a chunk at a time.
#[derive(Debug)]
pub struct SegmentRows {
    open: Arc<OpenSegment>,
    deleted: Option<Arc<RoaringBitmap>>,
    layout: LoadLayout,
    segments: SegmentStore,
    chunk: usize,
    row: usize,
}

impl SegmentRows {
    /// With the columns of `layout`.
    pub async fn open(segment: SegmentRef, layout: LoadLayout, segments: SegmentStore) -> Result<Self> {
        let deleted = segments.deleted(&segment).await?;
        let open = segments.open(&segment).await?;
        Ok(SegmentRows { open, deleted, layout, segments, chunk: 0, row: 0 })
    }

    /// The next rows, as columns of the layout; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<ArrayRef>>> {
        if self.chunk == self.open.footer.chunks() {
            return Ok(None);
        }
        let columns = read_chunk(&self.open, self.chunk, &self.layout, &self.segments).await?;
        let rows = self.open.footer.chunk_rows(self.chunk);
        let first = self.row;
        self.chunk += 1;
        self.row += rows;
        let Some(deleted) = &self.deleted else { return Ok(Some(columns)) };
        let lives: BooleanArray = (first..first + rows).map(|row| Some(!deleted.contains(row as u32))).collect();
        Ok(Some(columns.iter().map(|column| filter(column, &lives)).collect::<std::result::Result<_, _>>()?))
    }
}

/// A stored segment that is not committed yet, as a reader wants it.
pub fn as_reference(segment: &NewSegment) -> Result<SegmentRef> {
    let Blob::Stored(extent) = segment.blob else {
        return Err(Error::internal("a run to be merged is stored in objects"));
    };
    Ok(SegmentRef {
        id: SegmentId(0),
        extent,
        footer_len: segment.footer_len,
        slice: segment.slice,
        run: RunId(0),
        place: 0,
        rows: segment.rows,
        added: Version(0),
        columns: segment.columns.clone(),
        deleted: None,
        rank_map: 0,
        rank_counts: Vec::new(),
    })
}
