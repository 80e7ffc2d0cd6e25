//! Which of a session's partitions reads which slices.

use std::ops::Range;

use crate::common::{Error, Result, SqlState};

/// N slices read by P partitions: slice `s` by partition `s % P`.
///
/// Invariant: P divides N. With the slice hash, `hash % P == (hash % N) % P`, so rows of one key meet in one
/// partition whatever P is, and a scan may claim `Hash(key, P)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SliceMap {
    slices: u32,
    partitions: u32,
}

impl SliceMap {
    /// The most slices a warehouse has.
    pub const MAX_SLICES: u32 = 1024;

    /// P for a session that wants `target_partitions`: the smallest divisor of N that is at least as many, if it is at
    /// most four times that; else the largest divisor below.
    pub fn for_target(slices: u32, target_partitions: usize) -> Result<Self> {
        if slices == 0 || slices > Self::MAX_SLICES {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER,
                format!("{slices} slices: a warehouse has 1 to {}", Self::MAX_SLICES),
            ));
        }
        let target = u32::try_from(target_partitions.max(1)).unwrap_or(u32::MAX);
        let divisors = || (1..=slices).filter(|d| slices.is_multiple_of(*d));
        let above = divisors().find(|d| *d >= target && *d <= target.saturating_mul(4));
        let below = divisors().take_while(|d| *d <= target).last();
        // 1 divides everything and is at most any target, so `below` is always there.
        Ok(SliceMap { slices, partitions: above.or(below).unwrap_or(1) })
    }

    /// P for a session of as many threads: one partition per slice, of which a scan knows the order, while there are few to a
    /// thread; else as [`SliceMap::for_target`] has it.
    pub fn for_threads(slices: u32, threads: usize) -> Result<Self> {
        let few = threads.max(1).saturating_mul(SLICES_PER_THREAD) >= slices as usize;
        Self::for_target(slices, if few { slices as usize } else { threads })
    }

    pub fn slices(self) -> u32 {
        self.slices
    }

    pub fn partitions(self) -> usize {
        self.partitions as usize
    }

    pub fn partition_of(self, slice: u32) -> usize {
        (slice % self.partitions) as usize
    }

    /// The slices that `partition` reads, ascending.
    pub fn slices_of(self, partition: usize) -> impl Iterator<Item = u32> {
        (partition as u32..self.slices).step_by(self.partitions as usize)
    }

    /// Partition → slices, the table that EXPLAIN and distributed workers take.
    pub fn table(self) -> Vec<Vec<u32>> {
        (0..self.partitions()).map(|p| self.slices_of(p).collect()).collect()
    }

    /// The partitions of worker `worker` of `workers`: contiguous, differing by at most one in number.
    pub fn partitions_of_worker(self, worker: usize, workers: usize) -> Range<usize> {
        let bound = |w: usize| w * self.partitions() / workers;
        bound(worker)..bound(worker + 1)
    }
}

/// Up to how many slices a thread reads as partitions of their own.
const SLICES_PER_THREAD: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_follow_the_rule() {
        let p = |slices, target| SliceMap::for_target(slices, target).unwrap().partitions();
        assert_eq!(p(4, 2), 2);
        assert_eq!(p(4, 3), 4);
        assert_eq!(p(4, 16), 4);
        assert_eq!(p(1, 8), 1);
        assert_eq!(p(7, 2), 7);
        assert_eq!(p(13, 2), 1);
        assert_eq!(p(12, 5), 6);
        assert_eq!(p(3, 2), 3);
        assert_eq!(p(1024, 0), 1);
    }

    #[test]
    fn a_slice_is_a_partition_while_there_are_few_to_a_thread() {
        let p = |slices, threads| SliceMap::for_threads(slices, threads).unwrap().partitions();
        assert_eq!([p(4, 2), p(4, 1), p(8, 2), p(7, 2), p(2, 16)], [4, 4, 8, 7, 2]);
        assert_eq!([p(5, 1), p(16, 2), p(64, 4), p(13, 3), p(1024, 0)], [1, 2, 4, 1, 1]);
        assert!(SliceMap::for_threads(0, 1).is_err() && SliceMap::for_threads(1025, 400).is_err());
    }

    #[test]
    fn every_slice_has_one_partition() {
        for slices in 1..=64 {
            for target in 1..=20 {
                let map = SliceMap::for_target(slices, target).unwrap();
                let mut seen = vec![0; slices as usize];
                for (partition, of) in map.table().into_iter().enumerate() {
                    for slice in of {
                        assert_eq!(map.partition_of(slice), partition);
                        seen[slice as usize] += 1;
                    }
                }
                assert!(seen.iter().all(|n| *n == 1));
                let spread: Vec<usize> = (0..3).flat_map(|w| map.partitions_of_worker(w, 3)).collect();
                assert_eq!(spread, (0..map.partitions()).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn too_many_slices_are_refused() {
        assert!(SliceMap::for_target(0, 1).is_err());
        assert!(SliceMap::for_target(1025, 1).is_err());
    }
}
