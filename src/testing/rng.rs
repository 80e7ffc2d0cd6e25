//! Numbers that a seed decides.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::catalog::IdSource;
use crate::common::CommitId;

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): small, and good enough to choose among possibilities.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `end`, not included; `end` is at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next_u64() % end as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Ids that count: one source gives distinct ones, as do two of different `space`.
#[derive(Debug)]
pub struct CountedIds {
    space: u64,
    next: AtomicU64,
}

impl CountedIds {
    pub fn new(space: u64) -> Self {
        CountedIds { space, next: AtomicU64::new(1) }
    }
}

impl IdSource for CountedIds {
    fn next(&self) -> CommitId {
        CommitId(u128::from(self.space) << 64 | u128::from(self.next.fetch_add(1, Ordering::SeqCst)))
    }
}
