//! What the partitions of a scan read: zones of segments, each once, and what is left of the parts that they belong to.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::filter::FilterKind;
use crate::catalog::model::SegmentRef;
use crate::format::Geometry;

/// Zones of one chunk of one segment.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub segment: Arc<SegmentRef>,
    /// Counted over the segment.
    pub zones: Range<usize>,
    pub parts: Parts,
}

/// What a unit is of.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub slice: Arc<Part>,
    pub segment: Arc<Part>,
    pub chunk: Arc<Part>,
}

/// A slice, segment or chunk. Partitions that share its zones share it, so that all of them together count it once.
#[derive(Debug)]
pub(super) struct Part {
    begun: AtomicBool,
    /// Zones that were not pruned, or not yet.
    left: AtomicUsize,
    /// Whether a dynamic filter pruned any.
    dynamic: AtomicBool,
}

impl Part {
    fn new(zones: usize) -> Arc<Self> {
        let no = || AtomicBool::new(false);
        Arc::new(Part { begun: no(), left: AtomicUsize::new(zones), dynamic: no() })
    }

    /// Whether nobody has come to the part before.
    pub fn begin(&self) -> bool {
        !self.begun.swap(true, Ordering::Relaxed)
    }

    /// Takes pruned zones off. Where they were the last, the whole part is pruned: by the query's text, if that pruned
    /// all of it.
    pub fn prune(&self, kind: FilterKind, zones: usize) -> Option<FilterKind> {
        if kind == FilterKind::Dynamic {
            self.dynamic.store(true, Ordering::Relaxed);
        }
        // Whoever takes the last zones sees what others noted before they took theirs.
        let left = self.left.fetch_sub(zones, Ordering::AcqRel);
        let kind = if self.dynamic.load(Ordering::Relaxed) { FilterKind::Dynamic } else { FilterKind::Static };
        (left == zones).then_some(kind)
    }
}

/// The zones of `segments` in units of at most `max_zones`.
pub(super) fn units(segments: &[&Arc<SegmentRef>], geometry: Geometry, max_zones: usize) -> VecDeque<Unit> {
    let per_chunk = geometry.zones_per_chunk();
    let mut slices: HashMap<u32, usize> = HashMap::new();
    for segment in segments {
        *slices.entry(segment.slice).or_default() += zones_of(segment, geometry);
    }
    let slices: HashMap<u32, Arc<Part>> = slices.into_iter().map(|(slice, zones)| (slice, Part::new(zones))).collect();
    let mut units = VecDeque::new();
    for segment in segments {
        let zones = zones_of(segment, geometry);
        let whole = Part::new(zones);
        for chunk_start in (0..zones).step_by(per_chunk) {
            let chunk_end = (chunk_start + per_chunk).min(zones);
            let chunk = Part::new(chunk_end - chunk_start);
            for start in (chunk_start..chunk_end).step_by(per_chunk.min(max_zones)) {
                let zones = start..(start + max_zones).min(chunk_end);
                let slice = Arc::clone(&slices[&segment.slice]);
                let parts = Parts { slice, segment: Arc::clone(&whole), chunk: Arc::clone(&chunk) };
                units.push_back(Unit { segment: Arc::clone(segment), zones, parts });
            }
        }
    }
    units
}

/// How many zones a segment has.
pub(super) fn zones_of(segment: &SegmentRef, geometry: Geometry) -> usize {
    (segment.rows as usize).div_ceil(geometry.zone_rows())
}

/// The queue that the partitions of one round share.
pub(super) type SharedUnits = Arc<Mutex<VecDeque<Unit>>>;

/// Where a partition takes its work from.
#[derive(Debug)]
pub(super) enum Work {
    Own(VecDeque<Unit>),
    Shared(SharedUnits),
}

impl Work {
    pub fn next(&mut self) -> Option<Unit> {
        match self {
            Work::Own(units) => units.pop_front(),
            Work::Shared(units) => units.lock().pop_front(),
        }
    }
}

/// What the partitions of a plan share, one queue a round: a partition that opens for the n-th time takes from the n-th.
/// Operators execute their input anew on one plan, as a nested loop join does whose build side outgrows its memory; each
/// round then has all rows.
#[derive(Debug)]
pub(super) struct SharedWork {
    rounds: Mutex<Rounds>,
}

#[derive(Debug)]
struct Rounds {
    queues: Vec<SharedUnits>,
    /// By partition: how often it was opened.
    opened: Vec<usize>,
}

impl SharedWork {
    pub fn new(partitions: usize) -> Self {
        SharedWork { rounds: Mutex::new(Rounds { queues: Vec::new(), opened: vec![0; partitions] }) }
    }

    /// The queue of `partition`'s next round, which `units` fills if the partition is the first to come to it.
    pub fn open(&self, partition: usize, units: impl FnOnce() -> VecDeque<Unit>) -> SharedUnits {
        let mut rounds = self.rounds.lock();
        let round = rounds.opened[partition];
        rounds.opened[partition] += 1;
        if round == rounds.queues.len() {
            rounds.queues.push(Arc::new(Mutex::new(units())));
        }
        Arc::clone(&rounds.queues[round])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_pruned_with_its_last_zone() {
        let part = Part::new(5);
        assert!(part.begin() && !part.begin());
        assert_eq!(part.prune(FilterKind::Static, 2), None);
        assert_eq!(part.prune(FilterKind::Dynamic, 1), None);
        assert_eq!(part.prune(FilterKind::Static, 2), Some(FilterKind::Dynamic));
        assert_eq!(Part::new(3).prune(FilterKind::Static, 3), Some(FilterKind::Static));
    }
}
