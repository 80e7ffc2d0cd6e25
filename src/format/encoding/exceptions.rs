//! Values of a vector that an encoding's narrow form does not hold, each with its position.
//!
//! | bytes | content |
//! |---|---|
//! | 2 × n | positions within the vector (u16, ascending) |
//! | width × n | the values, as RAW holds them |
//!
//! Their number stands in the vector's header.

use super::condition::KeyTest;
use super::fixed::Fixed;
use crate::common::Result;
use crate::format::bytes::{Reader, WriteLe};
use crate::format::stable::VECTOR_ROWS;

/// A vector's exceptions.
///
/// Invariants: positions ascend strictly and are less than the vector's rows; there are as many values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exceptions<'a> {
    positions: &'a [[u8; 2]],
    values: &'a [u8],
}

/// Appends exceptions in the order of their positions.
pub(super) fn write<S: Fixed>(exceptions: &[(usize, S)], out: &mut Vec<u8>) {
    exceptions.iter().for_each(|(at, _)| out.put_u16(*at as u16));
    exceptions.iter().for_each(|(_, value)| value.put(out));
}

impl<'a> Exceptions<'a> {
    /// Reads `count` exceptions of a vector of `rows` rows, `width` bytes each.
    pub fn open(count: u64, width: usize, rows: usize, reader: &mut Reader<'a>) -> Result<Self> {
        debug_assert!(rows <= VECTOR_ROWS);
        if count > rows as u64 {
            return Err(reader.corrupt(format!("{count} exceptions in a vector of {rows} rows")));
        }
        let positions = reader.take(count as usize * 2)?.as_chunks::<2>().0;
        let at = |i: usize| usize::from(u16::from_le_bytes(positions[i]));
        let ascend = (1..positions.len()).all(|i| at(i - 1) < at(i));
        if !ascend || !positions.is_empty() && at(positions.len() - 1) >= rows {
            return Err(reader.corrupt("exceptions do not fit their vector"));
        }
        let values = reader.take(count as usize * width)?;
        Ok(Exceptions { positions, values })
    }

    /// The first position.
    pub fn first(&self) -> Option<usize> {
        self.positions.first().map(|at| usize::from(u16::from_le_bytes(*at)))
    }

    /// Positions and values, which must be of form `S`.
    pub fn iter<S: Fixed>(&self) -> impl Iterator<Item = (usize, S)> + 'a {
        let positions = self.positions.iter().map(|at| usize::from(u16::from_le_bytes(*at)));
        positions.zip(S::chunks(self.values).iter().map(|le| S::from_le(*le)))
    }

    /// Puts the values into all of the vector's rows.
    pub fn patch_all<S: Fixed + Into<D>, D>(&self, rows: &mut [D]) {
        self.iter::<S>().for_each(|(at, value)| rows[at] = value.into());
    }

    /// Puts the values into the rows that were selected by `words`, one after another in `rows`.
    pub fn patch_some<S: Fixed + Into<D>, D>(&self, words: &[u64], rows: &mut [D]) {
        let (mut word, mut before) = (0, 0);
        for (at, value) in self.iter::<S>() {
            while word < at / 64 {
                before += words[word].count_ones() as usize;
                word += 1;
            }
            if words[word] >> (at % 64) & 1 == 1 {
                let within = (words[word] & ((1 << (at % 64)) - 1)).count_ones() as usize;
                rows[before + within] = value.into();
            }
        }
    }

    /// Decides the exceptions' rows: `words` says which rows the rest kept, `before` which there were.
    pub fn filter<S: Fixed>(&self, test: &KeyTest, before: &[u64], words: &mut [u64]) {
        for (at, value) in self.iter::<S>() {
            let bit = 1 << (at % 64);
            if test.holds(value.key()) {
                words[at / 64] |= before[at / 64] & bit;
            } else {
                words[at / 64] &= !bit;
            }
        }
    }
}
