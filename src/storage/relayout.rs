//! A table's rows placed, ordered and encoded by another layout, in bounded room, and in memory that is bounded but for where
//! each row goes: four bytes a row.
//!
//! The rows are written part by part: the slices in groups or, where there are too few of them, ranges of the sort key. A part
//! that does not fit memory is sorted in runs that are stored for a while, so that these never take more than about a sixth
//! of the table, or what has one key where that is more (our own choice, against sorting all of it in runs, which takes as
//! much room again).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::BooleanArray;
use futures::{StreamExt, stream};
use object_store::ObjectStoreExt;
use roaring::RoaringBitmap;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::loader::put_object;
use super::merge::{Chunk, Merge, Merged, Reading, Row, Stride, Writer, as_reference};
use super::rewrite::Resources;
use super::segment::{OpenSegment, SegmentStore};
use super::sort::{KeyEncoder, RowKey, SortKeys, sort_rows};
use super::writer::{LoadLayout, ObjectPacker, Placement};
use crate::catalog::model::{ObjectId, SegmentId, SegmentRef};
use crate::catalog::paths;
use crate::catalog::positions::Positions;
use crate::catalog::transaction::{NewSegment, ObjectNames};
use crate::common::{Error, Result, Stored};

/// Parts of a table whose rows do not fit memory, at least: a part's runs take so much room besides the table.
const PARTS: usize = 6;
/// About how many chunks' rows are tried before all are written, and how many chunks are read for them at most.
const TRIED: usize = 8;
const TRIED_READ: usize = 64;
/// Chunks whose keys tell where a range of the sort key ends.
const SAMPLED: usize = 64;

/// Writes the rows that live in `from` anew, by `layout`. `stays` says that each row's slice is the one that it is on.
///
/// Returns the segments, in the order of the sort key within each slice, and which row is which. `did` is told how many rows were
/// written; an error of it ends the work.
pub async fn relayout(
    from: &[Arc<SegmentRef>],
    layout: &LoadLayout,
    stays: bool,
    resources: &Resources,
    names: &ObjectNames,
    did: &(dyn Fn(u64) -> Result<()> + Send + Sync),
) -> Result<(Vec<NewSegment>, Positions)> {
    let mut positions = Positions::new(from.iter().map(|segment| (segment.id, segment.rows)));
    let mut stored = Vec::new();
    let mut packer = ObjectPacker::default();
    let source = Source::open(from, layout, resources).await?;
    for part in source.parts(stays).await? {
        let (sender, mut finished) = mpsc::channel::<Merged>(1);
        let writing = source.write(part, names, sender);
        tokio::pin!(writing);
        let mut writes = true;
        loop {
            let merged = tokio::select! {
                written = &mut writing, if writes => {
                    written?;
                    writes = false;
                    continue;
                }
                merged = finished.recv() => merged,
            };
            let Some(Merged { segment, trail }) = merged else { break };
            did(trail.len() as u64)?;
            positions.wrote(trail)?;
            if packer.push(segment) {
                put_object(&mut packer, &resources.store, names.next_object(), &mut stored).await?;
            }
        }
        if writes {
            writing.await?;
        }
    }
    if !packer.is_empty() {
        put_object(&mut packer, &resources.store, names.next_object(), &mut stored).await?;
    }
    Ok((stored, positions))
}

/// Rows that are written together: those of some slices whose keys are in a range.
#[derive(Debug)]
struct Part {
    slices: Range<u32>,
    /// Of the slices that the rows come from, if these are known.
    sources: Option<Range<u32>>,
    from: Option<RowKey>,
    /// Not of it any more.
    to: Option<RowKey>,
}

impl Part {
    fn has(&self, key: &RowKey) -> bool {
        self.from.as_ref().is_none_or(|from| key >= from) && self.to.as_ref().is_none_or(|to| key < to)
    }

    fn is_of_range(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }
}

/// A segment whose rows are read.
#[derive(Clone)]
struct From {
    id: SegmentId,
    slice: u32,
    open: Arc<OpenSegment>,
    deleted: Option<Arc<RoaringBitmap>>,
    /// How many rows live in the segments before it.
    start: u64,
    /// Whether its rows stay on its slice.
    stays: bool,
}

struct Source<'a> {
    layout: &'a LoadLayout,
    encoder: Arc<KeyEncoder>,
    segments: Vec<From>,
    rows: u64,
    resources: &'a Resources,
}

/// A chunk's rows of a part, and the slice of each; all of them on one where there is one.
struct Placed {
    chunk: Arc<Chunk>,
    slices: Placement,
}

impl<'a> Source<'a> {
    async fn open(from: &[Arc<SegmentRef>], layout: &'a LoadLayout, resources: &'a Resources) -> Result<Source<'a>> {
        let mut segments = Vec::with_capacity(from.len());
        let mut start = 0;
        for segment in from {
            let deleted = resources.segments.deleted(segment).await?;
            let open = resources.segments.open(segment).await?;
            let live = u64::from(segment.rows) - deleted.as_ref().map_or(0, |deleted| deleted.len());
            segments.push(From { id: segment.id, slice: segment.slice, open, deleted, start, stays: false });
            start += live;
        }
        let encoder = Arc::new(layout.key_encoder()?);
        Ok(Source { layout, encoder, segments, rows: start, resources })
    }

    /// In the order of slices, or of keys.
    async fn parts(&self, stays: bool) -> Result<Vec<Part>> {
        let slices = if self.layout.is_all() { 1 } else { self.layout.slices };
        let whole = || Part { slices: 0..slices, sources: None, from: None, to: None };
        let needed = usize::try_from(self.bytes() / self.resources.memory.max(1) as u64).unwrap_or(usize::MAX) + 1;
        if self.layout.sort_columns().is_empty() || needed == 1 {
            return Ok(vec![whole()]);
        }
        let parts = if stays { needed } else { needed.min(PARTS) };
        if parts.min(PARTS) > slices as usize {
            let ends = self.quantiles(parts.min(PARTS)).await?;
            let from = std::iter::once(None).chain(ends.iter().map(|key| Some(key.clone())));
            let to = ends.iter().map(|key| Some(key.clone())).chain(std::iter::once(None));
            return Ok(from.zip(to).map(|(from, to)| Part { from, to, ..whole() }).collect());
        }
        // No part is more than a sixth of the slices.
        let most = (slices / (parts.min(slices as usize) as u32)).max(1);
        let slices_of = |i: u32| i * most..((i + 1) * most).min(slices);
        Ok((0..slices.div_ceil(most))
            .map(|i| Part { sources: stays.then(|| slices_of(i)), slices: slices_of(i), ..whole() })
            .collect())
    }

    /// About how many bytes all rows take in memory.
    fn bytes(&self) -> u64 {
        let width = |stored: Stored| match stored {
            Stored::Bool => 1,
            Stored::I16 => 2,
            Stored::I32 | Stored::F32 => 4,
            Stored::I64 | Stored::F64 => 8,
            Stored::I128 => 16,
            // A view, and what it points to.
            _ => 40,
        };
        let row: u64 = self.layout.columns.iter().map(|column| width(column.sql_type.stored())).sum();
        // The row's key and number.
        self.rows.saturating_mul(row + 24)
    }

    /// Keys between which about as many rows each are.
    async fn quantiles(&self, parts: usize) -> Result<Vec<RowKey>> {
        let layout = Arc::new(self.layout.of_sort_key());
        let all: Vec<(usize, usize)> = self.chunks(&|_| true);
        let every = all.len().div_ceil(SAMPLED).max(1);
        let mut keys = Vec::new();
        for (segment, chunk) in all.into_iter().step_by(every) {
            let from = &self.segments[segment];
            let chunk = from.read(chunk, &layout, &self.encoder, &self.resources.segments).await?;
            let step = chunk.as_ref().map_or(1, |chunk| chunk.rows().div_ceil(1024).max(1));
            let rows = chunk.iter().flat_map(|chunk| (0..chunk.rows()).step_by(step).map(|row| chunk.keys.key(row)));
            keys.extend(rows);
        }
        keys.sort();
        let mut ends: Vec<RowKey> = (1..parts).filter_map(|i| keys.get(keys.len() * i / parts).cloned()).collect();
        ends.dedup();
        Ok(ends)
    }

    /// Chunks by the place of their segment and their own.
    fn chunks(&self, of: &dyn Fn(&From) -> bool) -> Vec<(usize, usize)> {
        let segments = self.segments.iter().enumerate().filter(|(_, from)| of(from));
        segments.flat_map(|(i, from)| (0..from.open.footer.chunks()).map(move |chunk| (i, chunk))).collect()
    }

    /// The chunks that [`trial`] reads: next to each other where their rows stay neighbours, else from everywhere.
    fn tried(&self, stays: bool) -> Vec<(usize, usize)> {
        let first = self.segments.first().map(|from| from.slice);
        let all = self.chunks(&|from| !stays || Some(from.slice) == first);
        let most = if stays { TRIED } else { TRIED_READ.min(TRIED * self.layout.slices as usize) };
        match self.layout.sort_columns().is_empty() {
            true => all.into_iter().take(most).collect(),
            false => {
                let every = all.len().div_ceil(most).max(1);
                all.into_iter().step_by(every).collect()
            }
        }
    }

    /// Writes a part's rows.
    async fn write(&self, part: Part, names: &ObjectNames, sender: mpsc::Sender<Merged>) -> Result<()> {
        let part = Arc::new(part);
        let stays = part.sources.is_some();
        let chunks = self.chunks(&|from| part.sources.as_ref().is_none_or(|of| of.contains(&from.slice)));
        let threads = self.resources.threads.max(1);
        let layout = Arc::new(self.layout.clone());
        let reading = stream::iter(chunks).map(|(segment, chunk)| {
            let (from, part) = (From { stays, ..self.segments[segment].clone() }, Arc::clone(&part));
            let (layout, encoder) = (Arc::clone(&layout), Arc::clone(&self.encoder));
            let segments = self.resources.segments.clone();
            let task = tokio::spawn(async move { from.placed(chunk, &part, &layout, &encoder, &segments).await });
            async move { task.await.map_err(|e| Error::internal(format!("reading rows to be placed: {e}")))? }
        });
        let mut reading = std::pin::pin!(reading.buffered(threads));
        let sorts = !self.layout.sort_columns().is_empty();
        let mut held = Held::new(&layout);
        let mut runs = Runs::default();
        while let Some(placed) = reading.next().await {
            let Some(placed) = placed? else { continue };
            held.take(placed);
            if held.bytes >= self.resources.memory.max(1) {
                let full = std::mem::replace(&mut held, Held::new(&layout));
                match sorts {
                    true => runs.store(full, self.resources, names).await?,
                    false => full.write(self.resources, &sender).await?,
                }
            }
        }
        if runs.is_empty() {
            return held.write(self.resources, &sender).await;
        }
        runs.store(held, self.resources, names).await?;
        runs.merge(&layout, self.resources, &sender).await
    }
}

impl From {
    async fn read(
        &self,
        chunk: usize,
        layout: &LoadLayout,
        encoder: &KeyEncoder,
        segments: &SegmentStore,
    ) -> Result<Option<Chunk>> {
        let (open, deleted) = (Arc::clone(&self.open), self.deleted.clone());
        Reading::at_chunk(self.id, open, deleted, chunk, Stride::Chunk).read(layout, encoder, segments).await
    }

    /// The rows of a chunk that are of a part.
    async fn placed(
        &self,
        chunk: usize,
        part: &Part,
        layout: &LoadLayout,
        encoder: &KeyEncoder,
        segments: &SegmentStore,
    ) -> Result<Option<Placed>> {
        let Some(read) = self.read(chunk, layout, encoder, segments).await? else { return Ok(None) };
        let slices = match self.stays {
            true => Placement::One(self.slice),
            false => {
                let before = (chunk * self.open.footer.geometry().chunk_rows()) as u32;
                let dead = self.deleted.as_ref().map_or(0, |deleted| deleted.range_cardinality(..before));
                layout.place(&read.columns, read.rows(), self.start + u64::from(before) - dead)?
            }
        };
        let of_slice = |row: usize| match &slices {
            Placement::One(slice) => part.slices.contains(slice),
            Placement::Each(slices) => part.slices.contains(&slices[row]),
        };
        let of_range = |row: usize| !part.is_of_range() || part.has(&read.keys.key(row));
        let chosen: Vec<bool> = (0..read.rows()).map(|row| of_slice(row) && of_range(row)).collect();
        Placed { chunk: Arc::new(read), slices }.only(chosen, layout, encoder)
    }
}

impl Placed {
    /// The rows that are chosen, if any is.
    fn only(self, chosen: Vec<bool>, layout: &LoadLayout, encoder: &KeyEncoder) -> Result<Option<Placed>> {
        if chosen.iter().all(|chosen| *chosen) {
            return Ok(Some(self));
        }
        if !chosen.iter().any(|chosen| *chosen) {
            return Ok(None);
        }
        let slices = match self.slices {
            Placement::One(slice) => Placement::One(slice),
            Placement::Each(slices) => {
                let left = slices.into_iter().zip(&chosen).filter(|(_, chosen)| **chosen);
                Placement::Each(left.map(|(slice, _)| slice).collect())
            }
        };
        let chunk = self.chunk.only(&BooleanArray::from(chosen), layout, encoder)?;
        Ok(Some(Placed { chunk: Arc::new(chunk), slices }))
    }

    /// The slice that most of the rows are of.
    fn commonest(&self) -> u32 {
        match &self.slices {
            Placement::One(slice) => *slice,
            Placement::Each(slices) => {
                let mut counts = BTreeMap::<u32, usize>::new();
                slices.iter().for_each(|slice| *counts.entry(*slice).or_default() += 1);
                counts.into_iter().max_by_key(|(_, count)| *count).map_or(0, |(slice, _)| slice)
            }
        }
    }

    fn of_slice(&self, slice: u32) -> Vec<bool> {
        match &self.slices {
            Placement::One(one) => vec![*one == slice; self.chunk.rows()],
            Placement::Each(slices) => slices.iter().map(|of| *of == slice).collect(),
        }
    }
}

/// Rows in memory.
struct Held {
    layout: Arc<LoadLayout>,
    chunks: Vec<Arc<Chunk>>,
    /// Of each slice: chunk and row.
    rows: BTreeMap<u32, Vec<(u32, u32)>>,
    bytes: usize,
}

impl Held {
    fn new(layout: &Arc<LoadLayout>) -> Self {
        Held { layout: Arc::clone(layout), chunks: Vec::new(), rows: BTreeMap::new(), bytes: 0 }
    }

    fn take(&mut self, placed: Placed) {
        let at = self.chunks.len() as u32;
        match placed.slices {
            Placement::One(slice) => {
                let rows = self.rows.entry(slice).or_default();
                rows.extend((0..placed.chunk.rows() as u32).map(|row| (at, row)));
            }
            Placement::Each(slices) => {
                for (row, slice) in slices.into_iter().enumerate() {
                    self.rows.entry(slice).or_default().push((at, row as u32));
                }
            }
        }
        self.bytes += placed.chunk.bytes();
        self.chunks.push(placed.chunk);
    }

    /// Sorts and encodes the rows, slice by slice, as many of them at a time as there are threads.
    async fn write(self, resources: &Resources, sender: &mpsc::Sender<Merged>) -> Result<()> {
        let permits = Arc::new(Semaphore::new(resources.threads.max(1)));
        let chunks = Arc::new(self.chunks);
        let mut tasks: JoinSet<Result<()>> = JoinSet::new();
        for (slice, mut rows) in self.rows {
            let (chunks, layout) = (Arc::clone(&chunks), Arc::clone(&self.layout));
            let (permits, sender) = (Arc::clone(&permits), sender.clone());
            tasks.spawn(async move {
                let _permit = permits.acquire_owned().await.map_err(|e| Error::internal(e.to_string()))?;
                let encoding = tokio::task::spawn_blocking(move || -> Result<()> {
                    if !layout.sort_columns().is_empty() {
                        let keys: Vec<&SortKeys> = chunks.iter().map(|chunk| &chunk.keys).collect();
                        sort_rows(&keys, &mut rows);
                    }
                    let send =
                        |merged| sender.blocking_send(merged).map_err(|_| Error::internal("rows are wanted no more"));
                    let mut output = Writer::new(slice, &layout);
                    for (chunk, row) in rows {
                        if output.push(Row { chunk: Arc::clone(&chunks[chunk as usize]), row })? && output.is_full() {
                            let full = std::mem::replace(&mut output, Writer::new(slice, &layout));
                            send(full.finish()?)?;
                        }
                    }
                    output.finish_rest()?.map_or(Ok(()), send)
                });
                encoding.await.map_err(|e| Error::internal(format!("writing rows in another layout: {e}")))?
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|e| Error::internal(format!("writing rows in another layout: {e}")))??;
        }
        Ok(())
    }
}

/// Where each row of a run comes from.
type Trail = Vec<(SegmentId, u32)>;

/// Sorted rows that are stored for a while.
#[derive(Default)]
struct Runs {
    /// Of each slice, its runs.
    slices: BTreeMap<u32, Vec<Vec<SegmentRef>>>,
    /// Where the rows of their segments come from, by the numbers that these have here.
    trails: BTreeMap<SegmentId, Trail>,
    objects: Vec<ObjectId>,
}

impl Runs {
    fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    async fn store(&mut self, held: Held, resources: &Resources, names: &ObjectNames) -> Result<()> {
        let (sender, finished) = mpsc::channel::<Merged>(1);
        let writing = async move { held.write(resources, &sender).await };
        let storing = async {
            // It goes where this ends, so that nobody waits for what is not taken.
            let mut finished = finished;
            let mut run: BTreeMap<u32, Vec<SegmentRef>> = BTreeMap::new();
            while let Some(Merged { segment, trail }) = finished.recv().await {
                let mut packer = ObjectPacker::default();
                packer.push(segment);
                let (object, mut stored) = (names.next_object(), Vec::new());
                self.objects.push(object);
                put_object(&mut packer, &resources.store, object, &mut stored).await?;
                for segment in stored {
                    let id = SegmentId(self.trails.len() as u64 + 1);
                    run.entry(segment.slice).or_default().push(SegmentRef { id, ..as_reference(&segment)? });
                    self.trails.insert(id, trail.clone());
                }
            }
            for (slice, segments) in run {
                self.slices.entry(slice).or_default().push(segments);
            }
            Ok(())
        };
        let (written, stored): (Result<()>, Result<()>) = tokio::join!(writing, storing);
        // Where nothing can be stored, nothing more is written either.
        stored.and(written)
    }

    /// Merges each slice's runs, as many slices at a time as there are threads, and deletes what was stored for a while.
    async fn merge(self, layout: &LoadLayout, resources: &Resources, sender: &mpsc::Sender<Merged>) -> Result<()> {
        let permits = Arc::new(Semaphore::new(resources.threads.max(1)));
        let trails = Arc::new(self.trails);
        let mut tasks: JoinSet<Result<()>> = JoinSet::new();
        for (slice, runs) in self.slices {
            let (permits, sender, trails) = (Arc::clone(&permits), sender.clone(), Arc::clone(&trails));
            let (layout, segments) = (layout.clone(), resources.segments.clone());
            tasks.spawn(async move {
                let _permit = permits.acquire_owned().await.map_err(|e| Error::internal(e.to_string()))?;
                let runs = runs.into_iter().map(|run| run.into()).collect();
                let mut merge = Merge::new(slice, runs, layout, segments, usize::MAX).await?;
                while let Some(Merged { segment, trail }) = merge.next(|_, _| true).await? {
                    let from = |(run, at): (SegmentId, u32)| trails.get(&run)?.get(at as usize).copied();
                    let unknown = || Error::internal("a row of no run");
                    let trail = trail.into_iter().map(|row| from(row).ok_or_else(unknown)).collect::<Result<_>>()?;
                    let sent = sender.send(Merged { segment, trail }).await;
                    sent.map_err(|_| Error::internal("rows are wanted no more"))?;
                }
                Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|e| Error::internal(format!("merging rows in another layout: {e}")))??;
        }
        for object in self.objects {
            if let Err(e) = resources.store.delete(&paths::object(&object)).await {
                tracing::warn!(%object, error = %e, "a run's object was not deleted");
            }
        }
        Ok(())
    }
}

/// What it takes to write rows anew, found with a few of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// How many rows were read, and written.
    pub read: u64,
    pub written: u64,
    /// Bytes that those take that were written.
    pub bytes: u64,
    /// To read and to place rows, and to sort and to encode them, on one thread.
    pub reading: Duration,
    pub writing: Duration,
    /// How often each row is read.
    pub passes: usize,
    /// How many slices are written, each on one thread.
    pub slices: usize,
}

/// What storing adds to the time that sorting and encoding take, as we measured it.
const STORING: f64 = 1.5;

impl Trial {
    /// Bytes, and seconds on `threads` threads, for `rows` rows.
    pub fn scaled(&self, rows: u64, threads: usize) -> (u64, f64) {
        let each = |all: f64, of: u64| all * rows as f64 / of.max(1) as f64;
        let reading = each(self.reading.as_secs_f64(), self.read) * self.passes as f64;
        let writing = each(self.writing.as_secs_f64(), self.written) * STORING;
        let seconds = reading / threads.max(1) as f64 + writing / threads.clamp(1, self.slices.max(1)) as f64;
        (each(self.bytes as f64, self.written) as u64, seconds)
    }
}

/// Tries [`relayout`] with the rows of one slice that some chunks have, which it does not store: rows of several slices, or too
/// few of those that become neighbours, are encoded in another size.
pub async fn trial(
    from: &[Arc<SegmentRef>],
    layout: &LoadLayout,
    stays: bool,
    resources: &Resources,
) -> Result<Option<Trial>> {
    let source = Source::open(from, layout, resources).await?;
    let parts = source.parts(stays).await?;
    let passes = if parts.iter().all(|part| part.sources.is_some()) { 1 } else { parts.len() };
    let shared = Arc::new(layout.clone());
    let began = Instant::now();
    let mut held = Held::new(&shared);
    let whole = Part { slices: 0..u32::MAX, sources: None, from: None, to: None };
    let mut slice = None;
    let (mut read, mut written) = (0, 0);
    for (segment, chunk) in source.tried(stays) {
        let from = From { stays, ..source.segments[segment].clone() };
        let placed = from.placed(chunk, &whole, layout, &source.encoder, &resources.segments).await?;
        let Some(placed) = placed else { continue };
        read += placed.chunk.rows() as u64;
        let chosen = placed.of_slice(*slice.get_or_insert_with(|| placed.commonest()));
        let Some(placed) = placed.only(chosen, layout, &source.encoder)? else { continue };
        written += placed.chunk.rows() as u64;
        held.take(placed);
        if held.bytes >= resources.memory {
            break;
        }
    }
    if written == 0 {
        return Ok(None);
    }
    let slices = if layout.is_all() { 1 } else { layout.slices as usize };
    let reading = began.elapsed();
    let began = Instant::now();
    let (sender, mut finished) = mpsc::channel::<Merged>(1);
    let counting = async {
        let mut bytes = 0;
        while let Some(merged) = finished.recv().await {
            bytes += merged.segment.segment.len;
        }
        bytes
    };
    let writing = async move { held.write(resources, &sender).await };
    let (outcome, bytes) = tokio::join!(writing, counting);
    outcome?;
    Ok(Some(Trial { read, written, bytes, reading, writing: began.elapsed(), passes, slices }))
}
