//! From sorted rows to stored segments: encoding on every core, objects put as they fill.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::writer::{ObjectPacker, SliceSegment, SliceSorter};
use crate::catalog::model::{Extent, ObjectId, SegmentColumn, TableState};
use crate::catalog::paths;
use crate::catalog::transaction::{Blob, NewSegment, ObjectNames, RankChoice, RunChoice};
use crate::common::{Bounds, ColumnId, Error, Result};
use crate::statistics::SegmentSketches;

/// Sorts, encodes and stores everything the sorter took, as segments of a run of their own (`choose_run` may say
/// otherwise once they are known). A few rows may come back `inline`, to stand in the log entry.
///
/// `threads` encode at the same time, each holding about one segment. `sketches` are told of all rows.
pub async fn store_rows(
    sorter: SliceSorter,
    store: &Arc<dyn ObjectStore>,
    names: &ObjectNames,
    threads: usize,
    inline: bool,
    sketches: &mut SegmentSketches,
) -> Result<Vec<NewSegment>> {
    let (sender, mut finished) = mpsc::channel::<SliceSegment>(threads.max(1));
    let permits = Arc::new(Semaphore::new(threads.max(1)));
    let mut jobs: JoinSet<Result<()>> = JoinSet::new();
    for slice in sorter.into_slices() {
        let sender = sender.clone();
        let permits = Arc::clone(&permits);
        jobs.spawn(async move {
            let _permit = permits.acquire_owned().await.map_err(|e| Error::internal(e.to_string()))?;
            let job = move || {
                slice.encode(|segment| {
                    sender.blocking_send(segment).map_err(|_| Error::internal("the load was given up"))
                })
            };
            match tokio::task::spawn_blocking(job).await {
                Ok(result) => result,
                Err(e) => Err(Error::internal(format!("encoding a slice: {e}"))),
            }
        });
    }
    drop(sender);
    let mut packer = ObjectPacker::default();
    let mut segments = Vec::new();
    while let Some(mut segment) = finished.recv().await {
        sketches.merge(&std::mem::take(&mut segment.sketches));
        if packer.push(segment) {
            put_object(&mut packer, store, names.next_object(), &mut segments).await?;
        }
    }
    while let Some(job) = jobs.join_next().await {
        job.map_err(|e| Error::internal(format!("encoding a slice: {e}")))??;
    }
    if inline && segments.is_empty() && packer.len() <= Blob::MAX_INLINE_BYTES as u64 {
        segments
            .extend(packer.take_inline().into_iter().map(|(segment, bytes)| new_segment(segment, Blob::Inline(bytes))));
    } else if !packer.is_empty() {
        put_object(&mut packer, store, names.next_object(), &mut segments).await?;
    }
    segments.sort_by_key(|s| s.slice);
    Ok(segments)
}

/// Which run the rows of a load belong to: the newest one where they follow all its keys, else one of their own. By an
/// interleaved key they have one of their own always: bounds of columns do not tell whether Z values follow.
pub fn choose_run(table: &TableState, segments: &[NewSegment]) -> RunChoice {
    let Some(last) = table.segments.iter().map(|s| s.run).max() else { return RunChoice::New };
    let follows = match &table.def.sort {
        None => true,
        Some(key) => key.ascending().first().is_some_and(|leading| {
            table.segments.iter().all(|old| {
                let follow = |new: &NewSegment| key_follows(*leading, &old.columns, &new.columns);
                segments.iter().filter(|new| new.slice == old.slice).all(follow)
            })
        }),
    };
    if follows { RunChoice::Extend(last) } else { RunChoice::New }
}

/// Whether every new key is above every old one, by the leading column's bounds. NULL is the highest of keys, so none
/// may be among the old ones.
pub(super) fn key_follows(leading: ColumnId, old: &[SegmentColumn], new: &[SegmentColumn]) -> bool {
    let of = |columns: &[SegmentColumn]| columns.iter().find(|c| c.id == leading).map(|c| c.bounds.clone());
    let (Some(old), Some(new)) = (of(old), of(new)) else { return false };
    let above = |old: &Bounds, new: &Bounds| match (&old.max, &new.min) {
        (Some(max), Some(min)) => max.order(min) == Some(std::cmp::Ordering::Less),
        _ => false,
    };
    old.null_count == 0 && above(&old, &new)
}

pub(super) async fn put_object(
    packer: &mut ObjectPacker,
    store: &Arc<dyn ObjectStore>,
    object: ObjectId,
    segments: &mut Vec<NewSegment>,
) -> Result<()> {
    let (parts, packed) = packer.take();
    put(store, object, parts.into_iter().collect()).await?;
    for (offset, segment) in packed {
        let extent = Extent { object, offset, len: segment.segment.len };
        segments.push(new_segment(segment, Blob::Stored(extent)));
    }
    Ok(())
}

/// Stores bytes that are no segment, as an object of a transaction.
pub async fn put_bytes(store: &Arc<dyn ObjectStore>, object: ObjectId, bytes: Bytes) -> Result<Extent> {
    let len = bytes.len() as u64;
    put(store, object, bytes.into()).await?;
    Ok(Extent { object, offset: 0, len })
}

async fn put(store: &Arc<dyn ObjectStore>, object: ObjectId, payload: PutPayload) -> Result<()> {
    let stored = store.put(&paths::object(&object), payload).await;
    stored.map_err(|e| Error::unavailable(format!("cannot write object {object}: {e}")).with_source(e))?;
    Ok(())
}

fn new_segment(segment: SliceSegment, blob: Blob) -> NewSegment {
    let SliceSegment { slice, segment, rank_counts, .. } = segment;
    let columns = segment
        .columns
        .iter()
        .map(|(id, bounds, bytes)| SegmentColumn { id: *id, bounds: bounds.clone(), bytes: *bytes })
        .collect();
    NewSegment {
        blob,
        footer_len: segment.footer_len,
        slice,
        run: RunChoice::New,
        rows: segment.rows,
        columns,
        deleted: None,
        ranked: RankChoice::Unranked,
        rank_counts,
        added: None,
    }
}

/// The slice of `slices` that holds the fewest rows: where EVEN begins.
pub fn emptiest_slice(table: &TableState, slices: u32) -> u32 {
    let mut rows = vec![0u64; slices as usize];
    for segment in table.segments.iter() {
        if let Some(of) = rows.get_mut(segment.slice as usize) {
            *of += u64::from(segment.rows);
        }
    }
    (0..slices).min_by_key(|s| rows[*s as usize]).unwrap_or(0)
}
