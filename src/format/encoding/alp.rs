//! ALP: floats that are decimals as integers, others as a frequent front and the rest; bit for bit.
//!
//! A payload is a mode byte, then:
//!
//! | mode | content |
//! |---|---|
//! | 0 DECIMAL | per vector of 1,024 rows: e (u8), f (u8, at most e), base (signed varint), width (u8), number of exceptions (varint), packed lanes, [exceptions](super::exceptions) |
//! | 1 RAW | the values as RAW holds them |
//! | 2 SPLIT | bits of a value's right part (u8), number of left parts (u8, 1 to 8), the left parts (u16 each); per vector: number of exceptions (varint), numbers of left parts, packed; right parts, packed; exceptions, whose value is a left part (u16) |
//!
//! In DECIMAL a value is `(d × 10^f) × 10^-e`, d being base + lane: two multiplications of the type itself, each rounded
//! to nearest, by the powers as the type has them. d is at least −2^51 and less than 2^51 (REAL: 2^22), so that no two
//! give one value. In SPLIT a value's bits are its left part, shifted to the left by the right part's bits, and the
//! right part. What does not come back with the same bits (NaN, infinities, the negative zero, a rounding) is an
//! exception.
//!
//! Source: Afroozeh, Kuffo and Boncz, "ALP: Adaptive Lossless floating-Point Compression", SIGMOD 2023, §3.1 (DECIMAL)
//! and §3.4 (SPLIT, there ALP-rd). There a sample chooses for 100 vectors, here for a page, which is read alone.

use super::Selection;
use super::condition::{Condition, KeySet, KeyTest};
use super::exceptions::{self, Exceptions};
use super::fixed::wrong_builder;
use super::raw;
use crate::common::{Error, Result, Stored};
use crate::format::bitpack::{self, Packed, Scratch, VectorBits};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::{BuilderValues, Values};
use crate::format::mask::Mask;
use crate::format::stable::VECTOR_ROWS;

mod float;
mod plan;
mod split;

use float::Float;

const DECIMAL: u8 = 0;
const RAW: u8 = 1;
const SPLIT: u8 = 2;

/// Up to this many selected rows of a vector are unpacked one by one.
const SINGLE_ROWS: usize = 10;

/// Bytes that [`encode`] would make of `values`, about; `None` of what are not floats.
pub(super) fn analyze(values: &Values) -> Option<usize> {
    let mut out = Vec::new();
    encode(values, &mut out).ok()?;
    Some(out.len())
}

/// Appends one page's values.
pub(super) fn encode(values: &Values, out: &mut Vec<u8>) -> Result<()> {
    match values {
        Values::F32(v) => encode_page::<f32>(v, out),
        Values::F64(v) => encode_page::<f64>(v, out),
        _ => return Err(Error::internal("ALP of what are not floats")),
    }
    Ok(())
}

fn encode_page<F: Float>(values: &[F], out: &mut Vec<u8>) {
    let start = out.len();
    let raw = values.len() * F::BYTES;
    let best = plan::best_factors(values);
    // Where the sample is mostly exceptions the vectors need not be tried.
    if plan::sampled_bits(values, best[0]) < F::BYTES * 8 {
        out.put_u8(DECIMAL);
        for vector in values.chunks(VECTOR_ROWS) {
            encode_vector(vector, plan::choose(vector, &best), out);
        }
    }
    let decimal = out.len() - start;
    let least = if decimal == 0 { raw + 1 } else { decimal.min(raw + 1) };
    // Decimals decode the fastest and are filtered without decoding: a split has to be better by an eighth.
    if decimal == 0 || decimal * 8 > raw * 7 {
        let mut split = Vec::new();
        split.put_u8(SPLIT);
        split::encode(values, &mut split);
        if split.len() * 8 < least * 7 || decimal == 0 && split.len() < least {
            out.truncate(start);
            out.extend_from_slice(&split);
            return;
        }
    }
    if least > raw {
        out.truncate(start);
        out.put_u8(RAW);
        values.iter().for_each(|v| v.put(out));
    }
}

fn encode_vector<F: Float>(values: &[F], (e, f): (u8, u8), out: &mut Vec<u8>) {
    let integers: Vec<Option<i64>> = values.iter().map(|v| v.to_integer(e, f)).collect();
    let held = || integers.iter().flatten().copied();
    let (base, top) = (held().min().unwrap_or(0), held().max().unwrap_or(0));
    let width = bitpack::width_of(top.abs_diff(base));
    let outside: Vec<(usize, F)> =
        values.iter().zip(&integers).enumerate().filter(|(_, (_, d))| d.is_none()).map(|(i, (v, _))| (i, *v)).collect();
    out.put_u8(e);
    out.put_u8(f);
    out.put_signed_varint(base);
    out.put_u8(width);
    out.put_varint(outside.len() as u64);
    let lanes: Vec<u64> = integers.iter().map(|d| d.map_or(0, |d| d.abs_diff(base))).collect();
    Packed::write(&lanes, width, out);
    exceptions::write(&outside, out);
}

/// An opened payload.
#[derive(Debug)]
pub(super) struct Page<'a>(Form<'a>);

#[derive(Debug)]
enum Form<'a> {
    F32(Vec<Vector<'a>>),
    F64(Vec<Vector<'a>>),
    Raw(raw::Page<'a>),
    Split(split::Page<'a>),
}

/// A vector of DECIMAL.
///
/// Invariant: `f` ≤ `e` ≤ the type's greatest; base and width stay far from an overflow of i64.
#[derive(Debug)]
struct Vector<'a> {
    e: u8,
    f: u8,
    base: i64,
    packed: Packed<'a>,
    exceptions: Exceptions<'a>,
}

impl<'a> Page<'a> {
    pub fn open(stored: Stored, rows: usize, reader: &mut Reader<'a>) -> Result<Self> {
        Ok(Page(match (reader.u8()?, stored) {
            (RAW, _) => Form::Raw(raw::Page::open(stored, rows, reader)?),
            (SPLIT, _) => Form::Split(split::Page::open(stored, rows, reader)?),
            (DECIMAL, Stored::F32) => Form::F32(open_vectors::<f32>(rows, reader)?),
            (DECIMAL, Stored::F64) => Form::F64(open_vectors::<f64>(rows, reader)?),
            (mode, _) => return Err(reader.corrupt(format!("ALP has no mode {mode} here"))),
        }))
    }

    pub fn filter(&mut self, condition: &Condition<'_>, mask: &mut Mask) -> Result<()> {
        match &mut self.0 {
            Form::F32(vectors) => filter::<f32>(vectors, condition.keys()?, mask),
            Form::F64(vectors) => filter::<f64>(vectors, condition.keys()?, mask),
            Form::Raw(page) => return page.filter(condition, mask),
            Form::Split(page) => return page.filter(condition, mask),
        }
        Ok(())
    }

    pub fn decode(&mut self, selection: Selection<'_>, out: &mut BuilderValues) -> Result<()> {
        match (&mut self.0, out) {
            (Form::F32(vectors), BuilderValues::F32(out)) => decode(vectors, selection, out),
            (Form::F64(vectors), BuilderValues::F64(out)) => decode(vectors, selection, out),
            (Form::Raw(page), out) => return page.decode(selection, out),
            (Form::Split(page), out) => return page.decode(selection, out),
            (Form::F32(_) | Form::F64(_), _) => return Err(wrong_builder()),
        }
        Ok(())
    }
}

fn open_vectors<'a, F: Float>(rows: usize, reader: &mut Reader<'a>) -> Result<Vec<Vector<'a>>> {
    let mut vectors = Vec::with_capacity(rows.div_ceil(VECTOR_ROWS));
    for start in (0..rows).step_by(VECTOR_ROWS) {
        let rows = (rows - start).min(VECTOR_ROWS);
        let (e, f) = (reader.u8()?, reader.u8()?);
        let base = reader.signed_varint()?;
        let width = reader.u8()?;
        let limit = 1i64 << F::INTEGER_BITS;
        if e > F::MAX_EXPONENT || f > e || !(-limit..=limit).contains(&base) || width > F::INTEGER_BITS + 1 {
            return Err(reader.corrupt("ALP vector header out of range"));
        }
        let count = reader.varint()?;
        let bytes = reader.take(Packed::stored_len(width, rows))?;
        let packed = Packed::new(width, rows, bytes).ok_or_else(|| reader.corrupt("ALP vector out of range"))?;
        vectors.push(Vector { e, f, base, packed, exceptions: Exceptions::open(count, F::BYTES, rows, reader)? });
    }
    reader.finish("ALP vectors")?;
    Ok(vectors)
}

fn filter<F: Float>(vectors: &[Vector<'_>], test: &KeyTest, mask: &mut Mask) {
    let mut scratch = Scratch::default();
    for (vector, words) in vectors.iter().zip(mask.words_mut().chunks_mut(VECTOR_ROWS / 64)) {
        if words.iter().any(|word| *word != 0) {
            vector.filter::<F>(test, &mut scratch, words);
        }
    }
}

fn decode<F: Float>(vectors: &[Vector<'_>], selection: Selection<'_>, out: &mut Vec<F>) {
    let mut scratch = Scratch::default();
    for (i, vector) in vectors.iter().enumerate() {
        let rows = vector.packed.rows();
        match selection {
            Selection::All => vector.decode_all(&mut scratch, out),
            Selection::Rows(mask) => {
                let words = &mask.words()[i * (VECTOR_ROWS / 64)..][..rows.div_ceil(64)];
                let hits = words.iter().map(|word| word.count_ones() as usize).sum::<usize>();
                if hits == rows {
                    vector.decode_all(&mut scratch, out);
                } else if hits > 0 {
                    vector.decode_some(&mut scratch, words, hits, out);
                }
            }
        }
    }
}

impl Vector<'_> {
    fn decode_all<F: Float>(&self, scratch: &mut Scratch, out: &mut Vec<F>) {
        let from = out.len();
        let (base, up, down) = (self.base, F::power(self.f), F::inverse(self.e));
        let value = |lane: u64| F::of_integer(base.wrapping_add(lane as i64), up, down);
        bitpack::map_lanes(self.packed.unpack(scratch), self.packed.rows(), &value, out);
        self.exceptions.patch_all::<F, F>(&mut out[from..]);
    }

    fn decode_some<F: Float>(&self, scratch: &mut Scratch, words: &[u64], hits: usize, out: &mut Vec<F>) {
        let from = out.len();
        let ones = || super::ones_of(words);
        if hits <= SINGLE_ROWS {
            out.extend(ones().map(|i| self.value::<F>(self.packed.get(i))));
        } else {
            bitpack::lanes_at(self.packed.unpack(scratch), ones(), |lane| self.value::<F>(lane), out);
        }
        self.exceptions.patch_some::<F, F>(words, &mut out[from..]);
    }

    #[inline]
    fn value<F: Float>(&self, lane: u64) -> F {
        F::of_integer(self.base.wrapping_add(lane as i64), F::power(self.f), F::inverse(self.e))
    }

    /// Clears the bits of `words` whose rows do not satisfy `test`, in the domain of the lanes: values ascend with them.
    fn filter<F: Float>(&self, test: &KeyTest, scratch: &mut Scratch, words: &mut [u64]) {
        let width = self.packed.width();
        let max = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
        let mut bits: VectorBits = [0; VECTOR_ROWS / 64];
        match &test.keys {
            KeySet::Range { low, high } => {
                let (first, end) = (self.lanes_below::<F>(max, *low), self.lanes_up_to::<F>(max, *high));
                if first == 0 && end > max {
                    bits.fill(u64::MAX);
                } else if low <= high && first < end {
                    bitpack::range_bits(self.packed.unpack(scratch), first, end - 1, &mut bits);
                }
            }
            KeySet::Set(keys) => {
                let lane = |key: &i128| {
                    let lane = self.lanes_below::<F>(max, *key);
                    (lane <= max && self.value::<F>(lane).key() == *key).then_some(lane)
                };
                // Ascending, as the keys are.
                let wanted: Vec<u64> = keys.iter().filter_map(lane).collect();
                if !wanted.is_empty() {
                    bitpack::set_bits(self.packed.unpack(scratch), self.packed.rows(), &wanted, max, &mut bits);
                }
            }
            KeySet::Members(_) => unreachable!("floats are not integers"),
        }
        let mut before = [0; VECTOR_ROWS / 64];
        before[..words.len()].copy_from_slice(words);
        let flip = if test.negated { u64::MAX } else { 0 };
        words.iter_mut().zip(bits).for_each(|(word, held)| *word &= held ^ flip);
        self.exceptions.filter::<F>(test, &before, words);
    }

    /// How many of the lanes 0 to `max` have a lower key.
    fn lanes_below<F: Float>(&self, max: u64, key: i128) -> u64 {
        partition(max, |lane| self.value::<F>(lane).key() < key)
    }

    fn lanes_up_to<F: Float>(&self, max: u64, key: i128) -> u64 {
        partition(max, |lane| self.value::<F>(lane).key() <= key)
    }
}

/// How many of 0 to `max` (less than 2^63) hold, which are the first.
fn partition(max: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut from, mut to) = (0, max + 1);
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    from
}
