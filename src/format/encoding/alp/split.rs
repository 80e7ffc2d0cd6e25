//! SPLIT: a frequent left part by its number, and the right part as it is.

use std::collections::HashMap;

use arrow::buffer::Buffer;
use arrow::datatypes::ArrowNativeType;

use super::plan::spread;
use super::{Exceptions, Float, exceptions};
use crate::common::{Result, Stored};
use crate::format::bitpack::{self, Packed, Scratch};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::BuilderValues;
use crate::format::encoding::Selection;
use crate::format::encoding::condition::Condition;
use crate::format::encoding::fixed::wrong_builder;
use crate::format::encoding::raw;
use crate::format::mask::Mask;
use crate::format::stable::VECTOR_ROWS;

/// Left parts of a page, at most: numbers have up to 3 bits (the paper's limit).
const MAX_LEFTS: usize = 8;

/// Values by which the parts are found.
const SAMPLE: usize = 256;

/// Bits of an exception: a position and a left part.
const EXCEPTION_BITS: usize = 16 + 16;

/// Appends one page's values, the mode left out.
pub(super) fn encode<F: Float>(values: &[F], out: &mut Vec<u8>) {
    let sample = spread(values, SAMPLE);
    let (right_bits, lefts) = F::RIGHT_BITS
        .map(|right_bits| {
            let lefts = frequent(&sample, right_bits);
            let held: usize = lefts.iter().map(|(_, count)| count).sum();
            let bits = usize::from(right_bits) + usize::from(bitpack::width_of(lefts.len() as u64 - 1));
            (bits * sample.len() + (sample.len() - held) * EXCEPTION_BITS, right_bits, lefts)
        })
        .min_by_key(|(cost, ..)| *cost)
        .map_or((*F::RIGHT_BITS.end(), Vec::new()), |(_, right_bits, lefts)| (right_bits, lefts));
    let lefts: Vec<u16> = lefts.into_iter().map(|(left, _)| left).collect();
    out.put_u8(right_bits);
    out.put_u8(lefts.len() as u8);
    lefts.iter().for_each(|left| out.put_u16(*left));
    let number_bits = bitpack::width_of(lefts.len() as u64 - 1);
    for vector in values.chunks(VECTOR_ROWS) {
        let mut outside = Vec::new();
        let mut numbers = Vec::with_capacity(vector.len());
        let mut rights = Vec::with_capacity(vector.len());
        for (i, value) in vector.iter().enumerate() {
            let left = (value.bits() >> right_bits) as u16;
            let number = lefts.iter().position(|known| *known == left).unwrap_or_else(|| {
                outside.push((i, left as i16));
                0
            });
            numbers.push(number as u64);
            rights.push(value.bits() & !(u64::MAX << right_bits));
        }
        out.put_varint(outside.len() as u64);
        Packed::write(&numbers, number_bits, out);
        Packed::write(&rights, right_bits, out);
        exceptions::write(&outside, out);
    }
}

/// The most frequent left parts of the sample, and how often they occur.
fn frequent<F: Float>(sample: &[F], right_bits: u8) -> Vec<(u16, usize)> {
    let mut counts: HashMap<u16, usize> = HashMap::new();
    sample.iter().for_each(|value| *counts.entry((value.bits() >> right_bits) as u16).or_default() += 1);
    let mut counts: Vec<(u16, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(left, count)| (std::cmp::Reverse(*count), *left));
    counts.truncate(MAX_LEFTS);
    counts
}

/// An opened payload, the mode left out.
///
/// Invariants: numbers of left parts have at most 3 bits, and `lefts`, shifted already, is 0 where there is no part.
#[derive(Debug)]
pub(super) struct Page<'a> {
    stored: Stored,
    rows: usize,
    lefts: [u64; MAX_LEFTS],
    right_bits: u8,
    vectors: Vec<Vector<'a>>,
    /// All rows, once a filter needed them.
    decoded: Option<raw::Page<'static>>,
}

#[derive(Debug)]
struct Vector<'a> {
    numbers: Packed<'a>,
    rights: Packed<'a>,
    exceptions: Exceptions<'a>,
}

impl<'a> Page<'a> {
    pub fn open(stored: Stored, rows: usize, reader: &mut Reader<'a>) -> Result<Self> {
        let right_bits = reader.u8()?;
        let count = usize::from(reader.u8()?);
        let allowed = if stored == Stored::F32 { f32::RIGHT_BITS } else { f64::RIGHT_BITS };
        if !allowed.contains(&right_bits) || count == 0 || count > MAX_LEFTS {
            return Err(reader.corrupt("ALP's parts out of range"));
        }
        let mut lefts = [0; MAX_LEFTS];
        for left in &mut lefts[..count] {
            *left = u64::from(reader.u16()?) << right_bits;
        }
        let number_bits = bitpack::width_of(count as u64 - 1);
        let mut vectors = Vec::with_capacity(rows.div_ceil(VECTOR_ROWS));
        for start in (0..rows).step_by(VECTOR_ROWS) {
            let rows = (rows - start).min(VECTOR_ROWS);
            let count = reader.varint()?;
            let mut packed = |width| {
                let bytes = reader.take(Packed::stored_len(width, rows))?;
                Packed::new(width, rows, bytes).ok_or_else(|| reader.corrupt("ALP vector out of range"))
            };
            let (numbers, rights) = (packed(number_bits)?, packed(right_bits)?);
            vectors.push(Vector { numbers, rights, exceptions: Exceptions::open(count, 2, rows, reader)? });
        }
        reader.finish("ALP vectors")?;
        Ok(Page { stored, rows, lefts, right_bits, vectors, decoded: None })
    }

    pub fn filter(&mut self, condition: &Condition<'_>, mask: &mut Mask) -> Result<()> {
        if self.decoded.is_none() {
            let values = match self.stored {
                Stored::F32 => self.all::<f32>(),
                _ => self.all::<f64>(),
            };
            self.decoded = Some(raw::Page::of_buffer(self.stored, self.rows, values, 0)?);
        }
        match &mut self.decoded {
            Some(page) => page.filter(condition, mask),
            None => Ok(()),
        }
    }

    pub fn decode(&mut self, selection: Selection<'_>, out: &mut BuilderValues) -> Result<()> {
        if let Some(page) = &mut self.decoded {
            return page.decode(selection, out);
        }
        match (self.stored, out) {
            (Stored::F32, BuilderValues::F32(out)) => self.append(selection, out),
            (Stored::F64, BuilderValues::F64(out)) => self.append(selection, out),
            _ => return Err(wrong_builder()),
        }
        Ok(())
    }

    fn all<F: Float + ArrowNativeType>(&self) -> Buffer {
        let mut values = Vec::with_capacity(self.rows);
        self.append::<F>(Selection::All, &mut values);
        Buffer::from_vec(values)
    }

    fn append<F: Float>(&self, selection: Selection<'_>, out: &mut Vec<F>) {
        let mut room: Vec<F> = Vec::with_capacity(VECTOR_ROWS);
        for (i, vector) in self.vectors.iter().enumerate() {
            match selection {
                Selection::All => self.decode_vector(vector, out),
                Selection::Rows(mask) => {
                    let words = &mask.words()[i * (VECTOR_ROWS / 64)..][..vector.rights.rows().div_ceil(64)];
                    if words.iter().any(|word| *word != 0) {
                        room.clear();
                        self.decode_vector(vector, &mut room);
                        out.extend(crate::format::encoding::ones_of(words).map(|row| room[row]));
                    }
                }
            }
        }
    }

    fn decode_vector<F: Float>(&self, vector: &Vector<'_>, out: &mut Vec<F>) {
        let from = out.len();
        let rows = vector.rights.rows();
        let mut scratch = Scratch::default();
        bitpack::map_lanes(vector.rights.unpack(&mut scratch), rows, &|right| F::of_bits(right), out);
        let out = &mut out[from..];
        if vector.numbers.width() == 0 {
            out.iter_mut().for_each(|value| *value = F::of_bits(self.lefts[0] | value.bits()));
        } else {
            // Numbers of up to 3 bits are unpacked as bytes.
            let mut numbers: Vec<u8> = Vec::with_capacity(rows);
            bitpack::map_lanes(vector.numbers.unpack(&mut scratch), rows, &|number| number as u8, &mut numbers);
            for (value, number) in out.iter_mut().zip(numbers) {
                *value = F::of_bits(self.lefts[usize::from(number) % MAX_LEFTS] | value.bits());
            }
        }
        for (at, left) in vector.exceptions.iter::<i16>() {
            let right = out[at].bits() & !(u64::MAX << self.right_bits);
            out[at] = F::of_bits(u64::from(left as u16) << self.right_bits | right);
        }
    }
}
