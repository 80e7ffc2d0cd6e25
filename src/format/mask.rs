//! A zone's surviving rows as bits.

/// One bit per row of a zone, set while the row survives.
///
/// Invariant: bits at and beyond `len` are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    words: Vec<u64>,
    len: usize,
}

impl Mask {
    /// Every row survives.
    pub fn all(len: usize) -> Self {
        let mut mask = Mask { words: vec![u64::MAX; len.div_ceil(64)], len };
        mask.clear_tail();
        mask
    }

    /// No row survives.
    pub fn none(len: usize) -> Self {
        Mask { words: vec![0; len.div_ceil(64)], len }
    }

    /// Row `i` survives where `f(i)` holds.
    pub fn from_fn(len: usize, mut f: impl FnMut(usize) -> bool) -> Self {
        let mut mask = Mask::none(len);
        for (w, word) in mask.words.iter_mut().enumerate() {
            let base = w * 64;
            for bit in 0..(len - base).min(64) {
                *word |= u64::from(f(base + bit)) << bit;
            }
        }
        mask
    }

    /// From Arrow's bits, where a set bit survives.
    pub fn from_buffer(bits: &arrow::buffer::BooleanBuffer) -> Self {
        let mut words: Vec<u64> = bits.bit_chunks().iter().collect();
        if !bits.len().is_multiple_of(64) {
            words.push(bits.bit_chunks().remainder_bits());
        }
        let mut mask = Mask { words, len: bits.len() };
        mask.clear_tail();
        mask
    }

    /// To Arrow's bits.
    pub fn to_buffer(&self) -> arrow::buffer::BooleanBuffer {
        arrow::buffer::BooleanBuffer::new(arrow::buffer::Buffer::from_vec(self.words.clone()), 0, self.len)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Surviving rows.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    pub fn any(&self) -> bool {
        self.words.iter().any(|w| *w != 0)
    }

    pub fn get(&self, i: usize) -> bool {
        assert!(i < self.len);
        self.words[i / 64] >> (i % 64) & 1 == 1
    }

    pub fn clear(&mut self, i: usize) {
        assert!(i < self.len);
        self.words[i / 64] &= !(1 << (i % 64));
    }

    pub fn set(&mut self, i: usize) {
        assert!(i < self.len);
        self.words[i / 64] |= 1 << (i % 64);
    }

    pub fn clear_all(&mut self) {
        self.words.fill(0);
    }

    /// Keeps the rows that `other` has too.
    pub fn and(&mut self, other: &Mask) {
        assert_eq!(self.len, other.len);
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a &= b;
        }
    }

    /// Keeps the rows that `other` has not.
    pub fn and_not(&mut self, other: &Mask) {
        assert_eq!(self.len, other.len);
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a &= !b;
        }
    }

    /// Keeps those of the surviving rows, counted in their order, whose bit is set.
    pub fn retain(&mut self, keep: &arrow::buffer::BooleanBuffer) {
        assert_eq!(self.count(), keep.len());
        let mut chunks = keep.bit_chunks().iter_padded();
        // The bits that come next, and how many.
        let (mut next, mut held) = (0u128, 0);
        for word in &mut self.words {
            let rows = word.count_ones();
            if held < rows {
                next |= u128::from(chunks.next().unwrap_or(0)) << held;
                held += 64;
            }
            *word = deposit(next as u64, *word);
            next >>= rows;
            held -= rows;
        }
    }

    /// 64 rows a word, row 0 in the lowest bit of the first. Writers keep the bits beyond [`Mask::len`] zero.
    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// 64 rows a word, row 0 in the lowest bit of the first.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The surviving rows' positions, ascending.
    pub fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(w, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    w * 64 + bit
                })
            })
        })
    }

    fn clear_tail(&mut self) {
        if let Some(last) = self.words.last_mut()
            && !self.len.is_multiple_of(64)
        {
            *last &= (1 << (self.len % 64)) - 1;
        }
    }
}

/// The lowest bits, one at each set bit of `places`.
fn deposit(mut bits: u64, places: u64) -> u64 {
    if places == u64::MAX {
        return bits;
    }
    let (mut rest, mut deposited) = (places, 0);
    while rest != 0 {
        let place = rest & rest.wrapping_neg();
        deposited |= place & (bits & 1).wrapping_neg();
        bits >>= 1;
        rest ^= place;
    }
    deposited
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_surviving_rows_some_are_kept() {
        for (len, survives, keeps) in [(0, 1, 1), (64, 1, 2), (200, 3, 2), (8192, 1, 5), (8191, 7, 3), (130, 2, 1)] {
            let before = Mask::from_fn(len, |i| i % survives == 0);
            let keep: arrow::buffer::BooleanBuffer = (0..before.count() + 3).map(|i| i % keeps == 1).collect();
            let keep = keep.slice(3, before.count());
            let mut mask = before.clone();
            mask.retain(&keep);
            let mut expected = before.clone();
            for (at, row) in before.ones().enumerate().filter(|(at, _)| !keep.value(*at)) {
                assert!(before.get(row), "{at}");
                expected.clear(row);
            }
            assert_eq!(mask, expected, "{len} {survives} {keeps}");
        }
    }

    #[test]
    fn tail_bits_stay_zero() {
        for len in [0, 1, 63, 64, 65, 8191, 8192] {
            assert_eq!(Mask::all(len).count(), len);
            assert_eq!(Mask::from_fn(len, |_| true), Mask::all(len));
            assert_eq!(Mask::from_buffer(&Mask::all(len).to_buffer()), Mask::all(len));
            assert_eq!(Mask::all(len).ones().collect::<Vec<_>>(), (0..len).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_sliced_buffer_keeps_its_rows() {
        let bits: arrow::buffer::BooleanBuffer = (0..200).map(|i| i % 3 == 0).collect();
        let mask = Mask::from_buffer(&bits.slice(5, 130));
        assert_eq!(mask, Mask::from_fn(130, |i| (i + 5) % 3 == 0));
    }
}
