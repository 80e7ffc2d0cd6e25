//! A set of hashes that may say yes to one it has not.

/// Bits of a hash that are set in its word.
const SET: u32 = 4;
/// Hashes a word is meant for: with four bits set for each, of 100 that are not in the set one is found.
const HASHES_PER_WORD: usize = 4;

/// A Bloom filter of 64-bit hashes, whose bits for one hash are all in one word, so that a lookup is one memory access
/// (Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", WEA 2007).
#[derive(Debug, Clone, PartialEq)]
pub struct Bloom {
    words: Vec<u64>,
}

impl Bloom {
    /// Bytes of a filter of so many hashes.
    pub fn bytes(hashes: usize) -> usize {
        hashes.div_ceil(HASHES_PER_WORD).max(1) * size_of::<u64>()
    }

    /// The set of these hashes, `count` of them.
    pub fn of(count: usize, hashes: impl IntoIterator<Item = u64>) -> Self {
        let mut words = vec![0; Self::bytes(count) / size_of::<u64>()];
        for hash in hashes {
            let at = place(hash, words.len());
            words[at] |= bits(hash);
        }
        Bloom { words }
    }

    /// `false` only of a hash that is not in the set.
    #[inline(always)]
    pub fn may_hold(&self, hash: u64) -> bool {
        let bits = bits(hash);
        self.words[place(hash, self.words.len())] & bits == bits
    }
}

/// Which word is a hash's, by its upper half.
fn place(hash: u64, words: usize) -> usize {
    // As many words take 32 GiB.
    debug_assert!(words <= 1 << 32);
    (((hash >> 32) * words as u64) >> 32) as usize
}

/// Which bits are a hash's, by its lower half.
fn bits(hash: u64) -> u64 {
    (0..SET).fold(0, |bits, i| bits | 1 << (hash >> (6 * i) & 63))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use twox_hash::XxHash64;

    use super::*;

    proptest! {
        #[test]
        fn what_is_in_the_set_is_found(hashes in prop::collection::vec(any::<u64>(), 0..300)) {
            let bloom = Bloom::of(hashes.len(), hashes.iter().copied());
            prop_assert!(hashes.iter().all(|hash| bloom.may_hold(*hash)));
        }
    }

    #[test]
    fn few_others_are_found() {
        let hash = |i: u64| XxHash64::oneshot(7, &i.to_le_bytes());
        for size in [10, 1_000, 100_000] {
            let bloom = Bloom::of(size as usize, (0..size).map(hash));
            let found = (size..size + 100_000).filter(|i| bloom.may_hold(hash(*i))).count();
            assert!(found < 3_500, "{found} of 100,000 beside {size}");
        }
        assert!(!Bloom::of(0, []).may_hold(hash(1)));
    }
}
