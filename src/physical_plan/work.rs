//! What the partitions of a scan read: zones of segments, each once, and what is left of the parts that they belong to.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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

/// The zones that the partitions of a plan share: each takes every P-th unit, always the same ones, so that a partition
/// that is executed anew, beside others that are not, gives the rows that it gave before.
pub(super) type SharedUnits = VecDeque<Unit>;

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
