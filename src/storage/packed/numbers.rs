//! Whole numbers in few bytes.

use std::ops::Range;

use arrow::buffer::Buffer;

use super::mixed;
use crate::common::Result;
use crate::format::column::Values;

/// Whole numbers, each in as many bytes as the distance from the smallest to the largest takes.
#[derive(Debug)]
pub struct Numbers {
    rows: usize,
    base: i64,
    width: usize,
    /// Set where a number has bits.
    mask: u64,
    /// So that eight can be read wherever a number begins.
    bytes: Buffer,
}

impl Numbers {
    pub fn new<T: Copy + Into<i64>>(values: &[T]) -> Self {
        Self::of_slices(&[values])
    }

    /// Of values one part after another, which are all of one type.
    pub fn of_parts(parts: &[Values]) -> Result<Self> {
        fn slices<'v, T>(parts: &'v [Values], of: impl Fn(&'v Values) -> Option<&'v [T]>) -> Result<Vec<&'v [T]>> {
            parts.iter().map(of).collect::<Option<_>>().ok_or_else(mixed)
        }
        match parts.first() {
            Some(Values::I16(_)) => {
                slices(parts, |v| if let Values::I16(v) = v { Some(v) } else { None }).map(|v| Self::of_slices(&v))
            }
            Some(Values::I32(_)) => {
                slices(parts, |v| if let Values::I32(v) = v { Some(v) } else { None }).map(|v| Self::of_slices(&v))
            }
            Some(Values::I64(_)) => {
                slices(parts, |v| if let Values::I64(v) = v { Some(v) } else { None }).map(|v| Self::of_slices(&v))
            }
            Some(_) => Err(mixed()),
            None => Ok(Self::new::<i64>(&[])),
        }
    }

    fn of_slices<T: Copy + Into<i64>>(parts: &[&[T]]) -> Self {
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        for value in parts.iter().copied().flatten() {
            let value = (*value).into();
            (min, max) = (min.min(value), max.max(value));
        }
        let rows = parts.iter().map(|part| part.len()).sum();
        // The distance of any two fits 64 bits without a sign.
        let range = max.wrapping_sub(min) as u64;
        let width = if rows == 0 { 0 } else { (u64::BITS - range.leading_zeros()).div_ceil(8) as usize };
        let mut bytes = vec![0u8; rows * width + size_of::<u64>()];
        if width > 0 {
            let mut at = 0;
            for value in parts.iter().copied().flatten() {
                let distance = (*value).into().wrapping_sub(min) as u64;
                // What this writes beyond its own bytes the next one writes again; at the end there is room.
                bytes[at..at + size_of::<u64>()].copy_from_slice(&distance.to_le_bytes());
                at += width;
            }
        }
        let mask = u64::MAX.checked_shr(u64::BITS - 8 * width as u32).unwrap_or(0);
        Numbers { rows, base: min, width, mask, bytes: Buffer::from_vec(bytes) }
    }

    /// The numbers of these rows.
    pub fn ordered(&self, rows: &[u32]) -> Self {
        let bytes = match self.width {
            0 => vec![0; size_of::<u64>()],
            1 => self.bytes_of::<1>(rows),
            2 => self.bytes_of::<2>(rows),
            3 => self.bytes_of::<3>(rows),
            4 => self.bytes_of::<4>(rows),
            5 => self.bytes_of::<5>(rows),
            6 => self.bytes_of::<6>(rows),
            7 => self.bytes_of::<7>(rows),
            _ => self.bytes_of::<8>(rows),
        };
        Numbers { rows: rows.len(), bytes: Buffer::from_vec(bytes), ..*self }
    }

    /// The bytes of these rows' numbers, whose width is `W`.
    fn bytes_of<const W: usize>(&self, rows: &[u32]) -> Vec<u8> {
        let (numbers, _) = self.bytes.as_chunks::<W>();
        let mut bytes = vec![0; rows.len() * W + size_of::<u64>()];
        for (number, row) in bytes.as_chunks_mut::<W>().0.iter_mut().zip(rows) {
            *number = numbers[*row as usize];
        }
        bytes
    }

    pub fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// What holds them.
    pub fn buffer(&mut self) -> &mut Buffer {
        &mut self.bytes
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    #[inline]
    pub fn get(&self, row: usize) -> i64 {
        let at = row * self.width;
        let word = self.bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        self.base.wrapping_add((word & self.mask) as i64)
    }

    /// Those of some rows.
    #[inline]
    pub fn of_rows(&self, rows: Range<usize>) -> impl Iterator<Item = i64> {
        let Numbers { base, width, mask, .. } = *self;
        let bytes = &self.bytes[rows.start * width..rows.end * width + size_of::<u64>()];
        (0..rows.len()).map(move |i| {
            let word = bytes[i * width..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            base.wrapping_add((word & mask) as i64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng::Rng;

    #[test]
    fn numbers_come_back_whatever_their_range() {
        let mut rng = Rng::new(3);
        for bits in 0..=64u32 {
            let mask = u64::MAX.checked_shr(64 - bits).unwrap_or(0);
            let base = rng.next_u64() as i64;
            let values: Vec<i64> = (0..100).map(|_| base.wrapping_add((rng.next_u64() & mask) as i64)).collect();
            let numbers = Numbers::new(&values);
            assert_eq!((0..100).map(|i| numbers.get(i)).collect::<Vec<_>>(), values, "{bits}");
            assert_eq!(numbers.of_rows(3..70).collect::<Vec<_>>(), &values[3..70], "{bits}");
            let order: Vec<u32> = (0..200).map(|_| rng.below(100) as u32).collect();
            let expected: Vec<i64> = order.iter().map(|row| values[*row as usize]).collect();
            assert_eq!(numbers.ordered(&order).of_rows(0..200).collect::<Vec<_>>(), expected, "{bits}");
        }
        let ends = [i64::MIN, i64::MAX, 0, -1];
        assert_eq!([0, 1, 2, 3].map(|i| Numbers::new(&ends).get(i)), ends);
        assert_eq!(Numbers::new(&[7i64; 1000]).memory_bytes(), 8);
    }
}
