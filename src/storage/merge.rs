//! Several sorted runs of a table into one, slice by slice, in bounded memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::filter;
use object_store::{ObjectStore, ObjectStoreExt};
use roaring::RoaringBitmap;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::loader::{key_follows, put_object};
use super::segment::{OpenSegment, SegmentStore};
use super::sort::{KeyEncoder, RowKey, SortKeys};
use super::writer::{LoadLayout, ObjectPacker, SliceSegment, gather};
use crate::catalog::model::{ObjectId, RunId, SegmentId, SegmentRef};
use crate::catalog::paths;
use crate::catalog::transaction::ObjectNames;
use crate::catalog::transaction::{Blob, NewSegment};
use crate::common::{ColumnId, Error, Result, Version};
use crate::format::column::{Column, ColumnBuilder};
use crate::format::encoding::{Page, Selection};
use crate::format::segment::SegmentBuilder;
use crate::statistics::SegmentSketches;

/// Makes one run of `runs`, whose segments are stored and have no dead rows. Slices whose runs follow each other stay
/// as they are; the others are read and written anew, `threads` of them at a time.
///
/// All runs are in the order of `layout`: that of its rank map, where it has one.
///
/// Objects that no segment is left in are deleted; where that fails, the collector finds them.
pub async fn merge_runs(
    runs: Vec<Vec<NewSegment>>,
    layout: &LoadLayout,
    segments: &SegmentStore,
    store: &Arc<dyn ObjectStore>,
    names: &ObjectNames,
    threads: usize,
) -> Result<Vec<NewSegment>> {
    let written: BTreeSet<ObjectId> = runs.iter().flatten().filter_map(object_of).collect();
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
    let permits = Arc::new(Semaphore::new(threads.max(1)));
    let mut merging: JoinSet<Result<Vec<SliceSegment>>> = JoinSet::new();
    let mut merged = Vec::new();
    for (slice, mut runs) in slices {
        // Bounds of columns do not tell whether Z values follow each other.
        let follow = |runs: &mut [_]| leading.is_some_and(|leading| put_in_order(runs, leading));
        if ordered && runs.len() > 1 && !follow(&mut runs) {
            let (layout, segments, permits) = (layout.clone(), segments.clone(), Arc::clone(&permits));
            merging.spawn(async move {
                let _permit = permits.acquire_owned().await.map_err(|e| Error::internal(e.to_string()))?;
                merge_slice(slice, runs, &layout, &segments).await
            });
        } else {
            merged.extend(runs.into_iter().flatten());
        }
    }
    let mut packer = ObjectPacker::default();
    while let Some(finished) = merging.join_next().await {
        let finished = finished.map_err(|e| Error::internal(format!("merging a slice: {e}")))??;
        for segment in finished {
            if packer.push(segment) {
                put_object(&mut packer, store, names.next_object(), &mut merged).await?;
            }
        }
    }
    if !packer.is_empty() {
        put_object(&mut packer, store, names.next_object(), &mut merged).await?;
    }
    merged.sort_by_key(|s| s.slice);
    let kept: BTreeSet<ObjectId> = merged.iter().filter_map(object_of).collect();
    for object in written.difference(&kept) {
        if let Err(e) = store.delete(&paths::object(object)).await {
            tracing::warn!(%object, error = %e, "a merged run's object was not deleted");
        }
    }
    Ok(merged)
}

fn object_of(segment: &NewSegment) -> Option<ObjectId> {
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

async fn merge_slice(
    slice: u32,
    runs: Vec<Vec<NewSegment>>,
    layout: &LoadLayout,
    segments: &SegmentStore,
) -> Result<Vec<SliceSegment>> {
    let encoder = layout.key_encoder()?;
    let mut cursors = Vec::with_capacity(runs.len());
    for run in runs {
        let refs = run.iter().map(as_reference).collect::<Result<VecDeque<_>>>()?;
        let mut cursor = Cursor { segments: refs, open: None, chunk: None, row: 0 };
        cursor.next_chunk(layout, &encoder, segments).await?;
        cursors.push(cursor);
    }
    let mut heap: BinaryHeap<Reverse<(RowKey, usize)>> =
        cursors.iter().enumerate().filter_map(|(i, c)| c.key().map(|key| Reverse((key, i)))).collect();
    let mut builder = SegmentBuilder::new(layout.geometry, slice, &layout.columns);
    let mut ranks = layout.rank_counts();
    let mut sketches = layout.sketches();
    let mut finished = Vec::new();
    // Chunks that rows chosen so far refer to, and where each cursor's present chunk stands among them.
    let mut chunks: Vec<Arc<Chunk>> = Vec::new();
    let mut at: Vec<Option<u32>> = vec![None; cursors.len()];
    let mut rows: Vec<(u32, u32)> = Vec::with_capacity(layout.geometry.chunk_rows());
    while let Some(Reverse((_, i))) = heap.pop() {
        let cursor = &mut cursors[i];
        let Some(chunk) = cursor.chunk.clone() else { continue };
        let position = *at[i].get_or_insert_with(|| {
            chunks.push(Arc::clone(&chunk));
            (chunks.len() - 1) as u32
        });
        rows.push((position, cursor.row as u32));
        if let Some(z) = chunk.keys.z(cursor.row) {
            ranks.add(z);
        }
        cursor.row += 1;
        if cursor.row == chunk.keys.len() {
            cursor.next_chunk(layout, &encoder, segments).await?;
            at[i] = None;
        }
        if let Some(key) = cursor.key() {
            heap.push(Reverse((key, i)));
        }
        if rows.len() == layout.geometry.chunk_rows() {
            push_rows(&mut builder, &mut sketches, &chunks, &rows, layout)?;
            chunks.clear();
            at.fill(None);
            rows.clear();
            if builder.is_full() {
                finished.push(SliceSegment::finish(slice, &mut builder, &mut ranks, &mut sketches)?);
            }
            // Long computations on the runtime's threads make way for others.
            tokio::task::yield_now().await;
        }
    }
    if !rows.is_empty() {
        push_rows(&mut builder, &mut sketches, &chunks, &rows, layout)?;
    }
    if builder.rows() > 0 {
        finished.push(SliceSegment::finish(slice, &mut builder, &mut ranks, &mut sketches)?);
    }
    Ok(finished)
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
    /// The segment being read and its next chunk.
    open: Option<(Arc<OpenSegment>, usize)>,
    chunk: Option<Arc<Chunk>>,
    row: usize,
}

/// A chunk decoded.
struct Chunk {
    columns: Vec<ArrayRef>,
    keys: SortKeys,
}

impl Cursor {
    fn key(&self) -> Option<RowKey> {
        Some(self.chunk.as_ref()?.keys.key(self.row))
    }

    /// Goes to the next chunk, or to none.
    async fn next_chunk(&mut self, layout: &LoadLayout, encoder: &KeyEncoder, segments: &SegmentStore) -> Result<()> {
        self.row = 0;
        self.chunk = None;
        loop {
            match &mut self.open {
                Some((open, next)) if *next < open.footer.chunks() => {
                    let columns = read_chunk(open, *next, layout, segments).await?;
                    *next += 1;
                    let keys: Vec<ArrayRef> = layout.sort_columns().iter().map(|c| Arc::clone(&columns[*c])).collect();
                    let keys = encoder.encode(&keys)?;
                    self.chunk = Some(Arc::new(Chunk { columns, keys }));
                    return Ok(());
                }
                _ => match self.segments.pop_front() {
                    Some(segment) => self.open = Some((segments.open(&segment).await?, 0)),
                    None => return Ok(()),
                },
            }
        }
    }
}

/// All columns of a chunk, decoded.
async fn read_chunk(
    open: &OpenSegment,
    chunk: usize,
    layout: &LoadLayout,
    segments: &SegmentStore,
) -> Result<Vec<ArrayRef>> {
    let footer = &open.footer;
    let first = chunk * footer.geometry().zones_per_chunk();
    let zones: Vec<usize> = (first..first + footer.chunk_rows(chunk).div_ceil(footer.geometry().zone_rows())).collect();
    let mut columns = Vec::with_capacity(layout.columns.len());
    for spec in &layout.columns {
        let ordinal = open
            .ordinal(spec.id)
            .ok_or_else(|| Error::internal(format!("a segment of this load lacks column {}", spec.id)))?;
        let dictionary = segments.dictionary(open, ordinal, chunk).await?;
        let pages = segments.pages(open, ordinal, &zones).await?;
        let directory = open.directory(ordinal)?;
        let encoding = directory.chunks[chunk].encoding;
        let mut builder = ColumnBuilder::new(spec.sql_type, footer.chunk_rows(chunk));
        for (zone, bytes) in zones.iter().zip(&pages) {
            let (rows, range) = (footer.zone_rows(*zone), open.page(ordinal, *zone)?.range);
            Page::open(encoding, directory.stored, rows, bytes, dictionary.as_deref())
                .and_then(|mut page| page.decode(Selection::All, &mut builder))
                .map_err(|e| open.locate(e, range.offset))?;
        }
        columns.push(builder.finish()?);
    }
    Ok(columns)
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
    /// Of a segment that has all columns of `layout`.
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
        rows: segment.rows,
        added: Version(0),
        columns: segment.columns.clone(),
        deleted: None,
        rank_map: 0,
        rank_counts: Vec::new(),
    })
}
