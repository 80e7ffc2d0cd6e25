//! Segments written anew: without their dead rows, runs merged, small ones put together.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::interleave::KeySample;
use super::loader::put_object;
use super::merge::{Merge, Merged, Sorter, as_reference};
use super::segment::SegmentStore;
use super::sort::RowKey;
use super::writer::{LoadLayout, ObjectPacker};
use crate::catalog::model::{ObjectId, SegmentId, SegmentRef};
use crate::catalog::paths;
use crate::catalog::positions::Positions;
use crate::catalog::transaction::{NewSegment, ObjectNames};
use crate::common::{ColumnId, Error, Result};

/// Segments of one slice whose rows become one run.
#[derive(Debug, Clone)]
pub struct Job {
    pub slice: u32,
    /// Each in order. Of a table without a sort key there is one.
    pub runs: Vec<Vec<Arc<SegmentRef>>>,
    /// The first segment of the first run that is not among them: rows of other runs that belong to it or behind it are left.
    pub before: Option<Arc<SegmentRef>>,
    /// The runs are in another order, and their rows are sorted first.
    pub sorts: bool,
}

impl Job {
    /// All segments that it takes.
    pub fn segments(&self) -> impl Iterator<Item = &Arc<SegmentRef>> {
        self.runs.iter().flatten()
    }
}

/// What jobs read from and write to, and what they may use.
#[derive(Debug, Clone)]
pub struct Resources {
    pub segments: SegmentStore,
    pub store: Arc<dyn ObjectStore>,
    /// Jobs at the same time; each holds a chunk of each of its runs and the segment that it writes.
    pub threads: usize,
    /// Bytes of rows that are sorted in memory, by all of them.
    pub memory: usize,
}

/// What a job made.
#[derive(Debug)]
pub struct Done {
    /// Its number.
    pub job: usize,
    pub segment: NewSegment,
    /// Whether it is of rows that were left.
    pub left: bool,
}

/// Writes the rows that live in the segments of `jobs` anew. Returns the segments, those of a job in order, and which row is
/// which, by the order of the segments.
pub async fn rewrite(
    jobs: Vec<Job>,
    layout: &LoadLayout,
    resources: &Resources,
    names: &ObjectNames,
) -> Result<(Vec<Done>, Positions)> {
    let (store, threads) = (&resources.store, resources.threads.max(1));
    let all = jobs.iter().flat_map(Job::segments);
    let mut positions = Positions::new(all.map(|segment| (segment.id, segment.rows)));
    let added: Vec<_> = jobs.iter().map(|job| job.segments().map(|s| s.added).max()).collect();
    let permits = Arc::new(Semaphore::new(threads));
    let (sender, mut finished) = mpsc::channel::<(usize, bool, Merged)>(1);
    let mut running: JoinSet<Result<()>> = JoinSet::new();
    for (number, job) in jobs.into_iter().enumerate() {
        let (layout, resources, sender, names) = (layout.clone(), resources.clone(), sender.clone(), names.clone());
        let permits = Arc::clone(&permits);
        running.spawn(async move {
            let _permit = permits.acquire_owned().await.map_err(|e| Error::internal(e.to_string()))?;
            let send = Sender { number, sender };
            match job.sorts {
                true => sort(job, layout, &resources, &names, send).await,
                false => run(job, layout, resources.segments, send).await,
            }
        });
    }
    drop(sender);
    let mut packer = ObjectPacker::default();
    let mut told: Vec<(usize, bool)> = Vec::new();
    let mut stored = Vec::new();
    while let Some((job, left, Merged { segment, trail })) = finished.recv().await {
        positions.wrote(trail)?;
        told.push((job, left));
        if packer.push(segment) {
            put_object(&mut packer, store, names.next_object(), &mut stored).await?;
        }
    }
    while let Some(job) = running.join_next().await {
        job.map_err(|e| Error::internal(format!("writing rows anew: {e}")))??;
    }
    if !packer.is_empty() {
        put_object(&mut packer, store, names.next_object(), &mut stored).await?;
    }
    let done = told.into_iter().zip(stored).map(|((job, left), segment)| {
        let added = added.get(job).copied().flatten();
        Done { job, segment: NewSegment { added, ..segment }, left }
    });
    Ok((done.collect(), positions))
}

/// Where a job's segments go.
struct Sender {
    number: usize,
    sender: mpsc::Sender<(usize, bool, Merged)>,
}

impl Sender {
    async fn send(&self, merged: Merged, left: bool) -> Result<()> {
        let sent = self.sender.send((self.number, left, merged)).await;
        sent.map_err(|_| Error::internal("a vacuum was given up"))
    }
}

async fn run(job: Job, layout: LoadLayout, segments: SegmentStore, sender: Sender) -> Result<()> {
    let end = match &job.before {
        Some(segment) => first_key(segment, &layout, &segments).await?,
        None => None,
    };
    let runs = job.runs.iter().map(|run| run.iter().map(|s| SegmentRef::clone(s)).collect()).collect();
    let mut merge = Merge::new(job.slice, runs, layout, segments, usize::MAX).await?;
    let takes = |run: usize, key: &RowKey| run == 0 || end.as_ref().is_none_or(|end| key < end);
    while let Some(merged) = merge.next(takes).await? {
        sender.send(merged, false).await?;
    }
    while let Some(merged) = merge.next_left().await? {
        sender.send(merged, true).await?;
    }
    Ok(())
}

/// Sorts the rows of a job: in memory, or in runs that are stored for a while, then merged.
async fn sort(job: Job, layout: LoadLayout, resources: &Resources, names: &ObjectNames, sender: Sender) -> Result<()> {
    let segments = &resources.segments;
    let refs = job.segments().map(|s| SegmentRef::clone(s)).collect();
    let mut sorter = Sorter::new(job.slice, refs, layout.clone(), segments.clone())?;
    let memory = resources.memory / resources.threads.max(1);
    let mut runs = Vec::new();
    // Where the rows of the runs come from.
    let mut trails: BTreeMap<SegmentId, Vec<(SegmentId, u32)>> = BTreeMap::new();
    let mut objects: Vec<ObjectId> = Vec::new();
    loop {
        let whole = sorter.fill(memory).await?;
        let sorted = sorter.take()?;
        if whole && runs.is_empty() {
            for merged in sorted {
                sender.send(merged, false).await?;
            }
            return Ok(());
        }
        let mut run = Vec::new();
        for Merged { segment, trail } in sorted {
            let mut packer = ObjectPacker::default();
            packer.push(segment);
            let mut stored = Vec::new();
            objects.push(names.next_object());
            put_object(&mut packer, &resources.store, objects[objects.len() - 1], &mut stored).await?;
            for segment in stored {
                let id = SegmentId(trails.len() as u64 + 1);
                run.push(SegmentRef { id, ..as_reference(&segment)? });
                trails.insert(id, trail.clone());
            }
        }
        runs.push(run.into());
        if whole {
            break;
        }
    }
    let mut merge = Merge::new(job.slice, runs, layout, segments.clone(), usize::MAX).await?;
    while let Some(Merged { segment, trail }) = merge.next(|_, _| true).await? {
        let from = |(run, position): (SegmentId, u32)| trails.get(&run).and_then(|t| t.get(position as usize)).copied();
        let trail = trail.into_iter().map(|row| from(row).ok_or_else(|| Error::internal("a row of no run")));
        sender.send(Merged { segment, trail: trail.collect::<Result<_>>()? }, false).await?;
    }
    for object in objects {
        if let Err(e) = resources.store.delete(&paths::object(&object)).await {
            tracing::warn!(%object, error = %e, "a run's object was not deleted");
        }
    }
    Ok(())
}

/// A sample of the keys of all rows that live, for a rank map.
pub async fn sample(
    of: &[Arc<SegmentRef>],
    layout: &LoadLayout,
    key: &[ColumnId],
    resources: &Resources,
) -> Result<KeySample> {
    let mut sample = KeySample::new(key);
    let layout = layout.of_key();
    for segment in of {
        let refs = [SegmentRef::clone(segment)].into();
        let mut sorter = Sorter::new(segment.slice, refs, layout.clone(), resources.segments.clone())?;
        while let Some(columns) = sorter.next_columns().await? {
            sample.add(&columns)?;
        }
    }
    Ok(sample)
}

/// The key of a segment's first row, be it dead.
async fn first_key(segment: &SegmentRef, layout: &LoadLayout, segments: &SegmentStore) -> Result<Option<RowKey>> {
    let all = SegmentRef { deleted: None, id: SegmentId(0), ..segment.clone() };
    let merge = Merge::new(segment.slice, vec![[all].into()], layout.clone(), segments.clone(), usize::MAX).await?;
    Ok(merge.first_key())
}
