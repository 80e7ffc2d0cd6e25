//! Segments with the rows of others in the same places: other encodings, other columns, or other numbers of columns. What
//! stays as it is is copied encoded.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::loader::put_object;
use super::merge::{read_column, zones_of};
use super::rewrite::Resources;
use super::segment::{OpenSegment, SegmentStore};
use super::writer::{ObjectPacker, SliceSegment};
use crate::catalog::model::{Identity, SegmentRef};
use crate::catalog::transaction::{NewSegment, ObjectNames};
use crate::common::{ColumnId, Error, Result, Scalar, SqlType};
use crate::format::column::Column;
use crate::format::segment::{ChunkColumn, ColumnSpec, EncodedChunk, SegmentBuilder};
use crate::statistics::SegmentSketches;

/// A column of a segment that is made of another one's.
#[derive(Debug, Clone)]
pub struct Taken {
    pub spec: ColumnSpec,
    /// Which of the other's columns it is.
    pub from: ColumnId,
    /// The values of rows whose segment does not hold that.
    pub absent: Absent,
    /// Whether it is encoded anew, even where it could be copied.
    pub anew: bool,
}

/// Values that no segment holds.
#[derive(Debug, Clone)]
pub enum Absent {
    /// One for all rows, or NULL.
    Same(Option<Scalar>),
    /// Of an IDENTITY: those after `given` others, in the order of the segments.
    Numbered { identity: Identity, given: u64 },
}

/// Makes a segment of each of `from`, with `columns`. Its rows are in the same places, dead ones included, and none is marked as
/// dead.
///
/// `did` is told of each segment's rows; an error of it ends the work.
pub async fn reencode(
    from: &[Arc<SegmentRef>],
    columns: &[Taken],
    light: bool,
    resources: &Resources,
    names: &ObjectNames,
    did: &(dyn Fn(u64) -> Result<()> + Send + Sync),
) -> Result<Vec<NewSegment>> {
    let permits = Arc::new(Semaphore::new(resources.threads.max(1)));
    let (sender, mut finished) = mpsc::channel::<(usize, SliceSegment)>(1);
    let mut running: JoinSet<Result<()>> = JoinSet::new();
    let mut before = 0;
    for (number, segment) in from.iter().enumerate() {
        let first = before;
        before += u64::from(segment.rows);
        let (permits, sender, segments) = (Arc::clone(&permits), sender.clone(), resources.segments.clone());
        let (segment, columns) = (Arc::clone(segment), columns.to_vec());
        running.spawn(async move {
            let _permit = permits.acquire_owned().await.map_err(|e| Error::internal(e.to_string()))?;
            let made = one(&segment, &columns, first, light, &segments).await?;
            let sent = sender.send((number, made)).await;
            sent.map_err(|_| Error::internal("a segment is wanted no more"))
        });
    }
    drop(sender);
    let (mut packer, mut order, mut stored) = (ObjectPacker::default(), Vec::new(), Vec::new());
    while let Some((number, segment)) = finished.recv().await {
        did(u64::from(segment.segment.rows))?;
        order.push(number);
        if packer.push(segment) {
            put_object(&mut packer, &resources.store, names.next_object(), &mut stored).await?;
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.map_err(|e| Error::internal(format!("encoding segments anew: {e}")))??;
    }
    if !packer.is_empty() {
        put_object(&mut packer, &resources.store, names.next_object(), &mut stored).await?;
    }
    let mut made: Vec<(usize, NewSegment)> = order.into_iter().zip(stored).collect();
    made.sort_by_key(|(number, _)| *number);
    Ok(made.into_iter().map(|(_, segment)| segment).collect())
}

/// `first` rows are in the segments before it.
async fn one(
    segment: &SegmentRef,
    columns: &[Taken],
    first: u64,
    light: bool,
    segments: &SegmentStore,
) -> Result<SliceSegment> {
    let open = segments.open(segment).await?;
    let footer = &open.footer;
    let specs: Vec<ColumnSpec> = columns.iter().map(|column| column.spec).collect();
    let mut builder = SegmentBuilder::new(footer.geometry(), segment.slice, &specs).light(light);
    let mut first = first;
    for chunk in 0..footer.chunks() {
        let mut taken = Vec::with_capacity(columns.len());
        for column in columns {
            taken.push(chunk_of(&open, chunk, first, column, segments).await?);
        }
        first += footer.chunk_rows(chunk) as u64;
        builder.push_mixed(&taken)?;
    }
    // Sketches name columns by their numbers.
    let same = columns.iter().all(|column| column.spec.id == column.from);
    let sketches = if same { footer.sketches().map_err(|e| open.locate(e, 0))? } else { None };
    let made = builder.finish_with(sketches)?;
    let rank_counts = segment.rank_counts.clone();
    Ok(SliceSegment { slice: segment.slice, segment: made, rank_counts, sketches: SegmentSketches::new([]) })
}

async fn chunk_of(
    open: &OpenSegment,
    chunk: usize,
    first: u64,
    column: &Taken,
    segments: &SegmentStore,
) -> Result<ChunkColumn> {
    let stored = open.ordinal(column.from);
    let Some(ordinal) = stored.filter(|_| !column.anew) else {
        let (from, sql_type) = (column.from, column.spec.sql_type);
        let values: ArrayRef = match &column.absent {
            Absent::Numbered { identity, given } if stored.is_none() => {
                let first = given + first;
                let values = (first..first + open.footer.chunk_rows(chunk) as u64).map(|given| identity.value(given));
                match sql_type {
                    SqlType::Integer => Arc::new(values.map(|v| v as i32).collect::<Int32Array>()),
                    _ => Arc::new(values.map(|v| v as i64).collect::<Int64Array>()),
                }
            }
            Absent::Numbered { .. } => read_column(open, chunk, (from, sql_type), None, segments).await?,
            Absent::Same(value) => read_column(open, chunk, (from, sql_type), value.as_ref(), segments).await?,
        };
        return Column::from_array(&values, sql_type).map(ChunkColumn::Values);
    };
    let directory = open.directory(ordinal)?;
    directory.check_type(column.spec.sql_type).map_err(|e| open.locate(e, 0))?;
    let zones = zones_of(open, chunk);
    let stats = open.zone_map(ordinal)?;
    Ok(ChunkColumn::Encoded(EncodedChunk {
        encoding: directory.chunks[chunk].encoding,
        dictionary: segments.dictionary_bytes(open, ordinal, chunk).await?,
        pages: segments.pages(open, ordinal, &zones).await?,
        zones: zones.iter().map(|zone| stats[*zone].clone()).collect(),
        rows: open.footer.chunk_rows(chunk),
    }))
}
