//! AZ64: frames of reference over values or their differences, bit-packed, with patches for outliers.
//!
//! Amazon's AZ64 is proprietary; this is our own, of parts from Zukowski et al., "Super-Scalar RAM-CPU Cache
//! Compression" (ICDE 2006: frame of reference, delta, patches) and the FastLanes layout (see
//! [`bitpack`](crate::format::bitpack)).
//!
//! A payload is a mode byte, then:
//!
//! | mode | content |
//! |---|---|
//! | 0 FOR | scale (varint, at least 1); per vector of 1,024 rows a header; then per vector its packed lanes and patches |
//! | 1 DELTA | the same, each header preceded by the vector's start (signed varint) |
//! | 2 WIDE | rows × 16 bytes: values that an i64 does not hold |
//!
//! A header is base (signed varint), width (u8), number of patches (varint). A value is base + scale × lane modulo
//! 2^64; a patch, a position within the vector (u16) and a value (i64), replaces one. In DELTA that gives differences,
//! and a row is the start plus all differences up to and with its own. The scale divides all differences of the page:
//! decimals that hold whole numbers lose their zeros. Each vector can be decoded alone.

use super::Selection;
use super::condition::{Condition, KeySet, KeyTest};
use super::fixed::wrong_builder;
use super::raw;
use crate::common::{Result, Stored};
use crate::format::bitpack::{self, Packed, Scratch, Target, VectorBits};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::BuilderValues;
use crate::format::mask::Mask;
use crate::format::stable::VECTOR_ROWS;

const FOR: u8 = 0;
const DELTA: u8 = 1;
const WIDE: u8 = 2;

/// DELTA is taken when it needs at most this share of FOR's bytes (our choice): FOR is filtered without decoding, and
/// single rows of it are read alone.
const DELTA_ADVANTAGE: (usize, usize) = (3, 4);

/// Up to this many selected rows of a vector are unpacked one by one (measured by the fastlanes crate's authors at
/// about ten).
const SINGLE_ROWS: usize = 10;
/// Of so few rows, one of as many, each is looked at by itself.
const FEW_OF_ROWS: usize = 8;

const PATCH_BYTES: usize = 2 + 8;

/// Bytes that [`encode`] would make of `values`, header included.
pub(super) fn analyze(values: &[i64]) -> usize {
    let scale = scale_of(values);
    let plan =
        |values: &[i64]| -> usize { values.chunks(VECTOR_ROWS).map(|v| Frame::plan(v, scale).stored_len()).sum() };
    let for_len = plan(values);
    let mut deltas = values.to_vec();
    match deltas.chunks_mut(VECTOR_ROWS).map(differences).collect::<Option<Vec<i64>>>() {
        Some(_) => 2 + for_len.min(plan(&deltas) + 4),
        None => 2 + for_len,
    }
}

/// Appends one page's values.
pub(super) fn encode(values: &[i64], out: &mut Vec<u8>) {
    let scale = scale_of(values);
    let frames: Vec<Frame> = values.chunks(VECTOR_ROWS).map(|v| Frame::plan(v, scale)).collect();
    let may_pay = |(values, frame): &(&[i64], &Frame)| {
        // A page's first rows tell whether DELTA comes near: of rows in no order it costs more, not less.
        let mut deltas = values.to_vec();
        differences(&mut deltas).is_some_and(|_| Frame::plan(&deltas, scale).stored_len() <= frame.stored_len())
    };
    let mut deltas = Vec::new();
    let by_delta = values.chunks(VECTOR_ROWS).zip(&frames).next().filter(may_pay).and_then(|_| {
        deltas.extend_from_slice(values);
        let starts = deltas.chunks_mut(VECTOR_ROWS).map(differences).collect::<Option<Vec<i64>>>()?;
        let delta_frames: Vec<Frame> = deltas.chunks(VECTOR_ROWS).map(|v| Frame::plan(v, scale)).collect();
        let cost = |frames: &[Frame]| frames.iter().map(Frame::stored_len).sum::<usize>();
        let starts_cost: usize = starts.iter().map(|start| signed_varint_len(*start)).sum();
        let (share, whole) = DELTA_ADVANTAGE;
        ((cost(&delta_frames) + starts_cost) * whole <= cost(&frames) * share).then_some((starts, delta_frames))
    });
    let (starts, values, frames) = match by_delta {
        Some((starts, delta_frames)) => (starts, &deltas[..], delta_frames),
        None => (Vec::new(), values, frames),
    };

    out.put_u8(if starts.is_empty() { FOR } else { DELTA });
    out.put_varint(scale);
    for (i, frame) in frames.iter().enumerate() {
        if let Some(start) = starts.get(i) {
            out.put_signed_varint(*start);
        }
        out.put_signed_varint(frame.base);
        out.put_u8(frame.width);
        out.put_varint(frame.patches as u64);
    }
    for (frame, values) in frames.iter().zip(values.chunks(VECTOR_ROWS)) {
        frame.write(values, scale, out);
    }
}

/// Appends one page's values, 16 bytes each where one does not fit an i64.
pub(super) fn encode_wide(values: &[i128], out: &mut Vec<u8>) {
    match values.iter().map(|v| i64::try_from(*v)).collect::<Result<Vec<i64>, _>>() {
        Ok(narrow) => encode(&narrow, out),
        Err(_) => {
            out.put_u8(WIDE);
            values.iter().for_each(|v| out.put_i128(*v));
        }
    }
}

/// Turns a vector into differences; returns the start, to which the first difference, chosen to cost nothing, is added.
/// `None` when a difference does not fit an i64 (the scale would not divide it modulo 2^64).
fn differences(values: &mut [i64]) -> Option<i64> {
    let first = values[0];
    let mut before = first;
    for v in &mut values[1..] {
        let difference = v.checked_sub(before)?;
        before = std::mem::replace(v, difference);
    }
    values[0] = values.get(1).copied().unwrap_or(0);
    Some(first.wrapping_sub(values[0]))
}

/// The greatest common divisor of all differences; 1 when there are none.
fn scale_of(values: &[i64]) -> u64 {
    let mut scale = 0u64;
    for v in values {
        let mut rest = v.abs_diff(values[0]);
        if scale == 0 || !rest.is_multiple_of(scale) {
            while rest != 0 {
                (scale, rest) = (rest, scale % rest);
            }
            if scale == 1 {
                break;
            }
        }
    }
    // Beyond i64 a scale would be read back as negative, which modulo 2^64 would even be right; not worth the thought.
    if scale == 0 || scale > i64::MAX as u64 { 1 } else { scale }
}

fn signed_varint_len(v: i64) -> usize {
    let bits = 64 - ((v << 1 ^ v >> 63) as u64 | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// How one vector is packed.
///
/// Guarantee: a value is packed when `(value - base) / scale` (modulo 2^64) has at most `width` bits, else patched.
#[derive(Debug, Clone, Copy)]
struct Frame {
    base: i64,
    width: u8,
    patches: usize,
    rows: usize,
}

impl Frame {
    /// The cheapest frame: from the smallest value upwards or from the largest downwards, values outside patched.
    fn plan(values: &[i64], scale: u64) -> Frame {
        let (mut min, mut max) = (values[0], values[0]);
        for v in values {
            min = min.min(*v);
            max = max.max(*v);
        }
        let full = bitpack::width_of(max.abs_diff(min) / scale);
        let whole = Frame { base: min, width: full, patches: 0, rows: values.len() };
        if full == 0 || !Self::may_leave_out(values, (min, max), scale, full) {
            return whole;
        }
        whole.with_patches(values, (min, max), scale)
    }

    /// The cheapest frame of values all of which `self` packs.
    fn with_patches(self, values: &[i64], (min, max): (i64, i64), scale: u64) -> Frame {
        let (whole, full) = (self, self.width);
        let mut up = [0u32; 65];
        let mut down = [0u32; 65];
        if scale == 1 {
            for v in values {
                up[bitpack::width_of(v.abs_diff(min)) as usize] += 1;
                down[bitpack::width_of(max.abs_diff(*v)) as usize] += 1;
            }
        } else {
            for v in values {
                up[bitpack::width_of(v.abs_diff(min) / scale) as usize] += 1;
                down[bitpack::width_of(max.abs_diff(*v) / scale) as usize] += 1;
            }
        }
        let cheapest = |counts: &[u32; 65]| {
            let mut outside = 0usize;
            let mut best = (whole.stored_len(), full, 0usize);
            for width in (0..full).rev() {
                outside += counts[width as usize + 1] as usize;
                let cost = Frame { width, patches: outside, ..whole }.stored_len();
                // Patches cost time too: they must save something.
                if cost + cost / 32 < best.0 {
                    best = (cost, width, outside);
                }
            }
            best
        };
        let (up_cost, up_width, up_patches) = cheapest(&up);
        let (down_cost, down_width, down_patches) = cheapest(&down);
        if up_cost <= down_cost {
            return Frame { width: up_width, patches: up_patches, ..whole };
        }
        let inside = |v: &&i64| bitpack::width_of(max.abs_diff(**v) / scale) <= down_width;
        let base = values.iter().filter(inside).min().copied().unwrap_or(max);
        Frame { base, width: down_width, patches: down_patches, rows: values.len() }
    }

    /// Whether patches may pay: not where so many values lie in the upper half of the range, and in the lower, that those
    /// beyond any lower width take more than all values do packed.
    fn may_leave_out(values: &[i64], (min, max): (i64, i64), scale: u64, full: u8) -> bool {
        let half = (1u64 << (full - 1)).saturating_mul(scale);
        let (mut upper, mut lower) = (0usize, 0usize);
        for v in values {
            upper += usize::from(v.wrapping_sub(min) as u64 >= half);
            lower += usize::from(max.wrapping_sub(*v) as u64 >= half);
        }
        upper.min(lower) * PATCH_BYTES < Packed::stored_len(full, values.len())
    }

    /// Whether a value is packed, and as what.
    fn lane(&self, value: i64, scale: u64) -> Option<u64> {
        if value < self.base {
            return None;
        }
        let lane = value.abs_diff(self.base) / scale;
        (bitpack::width_of(lane) <= self.width).then_some(lane)
    }

    fn stored_len(&self) -> usize {
        let header = signed_varint_len(self.base) + 1 + if self.patches < 128 { 1 } else { 2 };
        header + Packed::stored_len(self.width, self.rows) + self.patches * PATCH_BYTES
    }

    fn write(&self, values: &[i64], scale: u64, out: &mut Vec<u8>) {
        let mut patches = Vec::with_capacity(self.patches * PATCH_BYTES);
        let mut lanes = [0u64; VECTOR_ROWS];
        for (i, v) in values.iter().enumerate() {
            match self.lane(*v, scale) {
                Some(lane) => lanes[i] = lane,
                None => {
                    patches.put_u16(i as u16);
                    patches.put_u64(*v as u64);
                }
            }
        }
        debug_assert_eq!(patches.len(), self.patches * PATCH_BYTES);
        Packed::write(&lanes[..values.len()], self.width, out);
        out.extend_from_slice(&patches);
    }
}

/// An opened payload.
#[derive(Debug)]
pub(super) enum Page<'a> {
    Frames(Frames<'a>),
    Wide(raw::Page<'a>),
}

#[derive(Debug)]
pub(super) struct Frames<'a> {
    rows: usize,
    scale: i64,
    vectors: Vec<Vector<'a>>,
    /// Of DELTA pages, all rows once a filter needed them.
    decoded: Option<Vec<i64>>,
    delta: bool,
}

#[derive(Debug)]
struct Vector<'a> {
    start: i64,
    base: i64,
    packed: Packed<'a>,
    /// Positions are less than the vector's rows.
    patches: &'a [[u8; PATCH_BYTES]],
}

impl<'a> Page<'a> {
    pub fn open(stored: Stored, rows: usize, reader: &mut Reader<'a>) -> Result<Self> {
        let mode = reader.u8()?;
        match mode {
            FOR | DELTA => Frames::open(rows, mode == DELTA, reader).map(Page::Frames),
            WIDE if stored == Stored::I128 => raw::Page::open(stored, rows, reader).map(Page::Wide),
            _ => Err(reader.corrupt(format!("AZ64 has no mode {mode} here"))),
        }
    }

    pub fn filter(&mut self, condition: &Condition<'_>, mask: &mut Mask) -> Result<()> {
        match self {
            Page::Frames(frames) => {
                frames.filter(condition.keys()?, mask);
                Ok(())
            }
            Page::Wide(page) => page.filter(condition, mask),
        }
    }

    pub fn decode(&mut self, selection: Selection<'_>, out: &mut BuilderValues) -> Result<()> {
        let frames = match self {
            Page::Frames(frames) => frames,
            Page::Wide(page) => return page.decode(selection, out),
        };
        match out {
            BuilderValues::I16(out) => frames.decode(selection, out),
            BuilderValues::I32(out) => frames.decode(selection, out),
            BuilderValues::I64(out) => frames.decode(selection, out),
            BuilderValues::I128(out) => frames.decode(selection, out),
            _ => return Err(wrong_builder()),
        }
        Ok(())
    }
}

impl<'a> Frames<'a> {
    fn open(rows: usize, delta: bool, reader: &mut Reader<'a>) -> Result<Self> {
        let scale = reader.varint()?;
        if scale == 0 || scale > i64::MAX as u64 {
            return Err(reader.corrupt("AZ64 scale out of range"));
        }
        let count = rows.div_ceil(VECTOR_ROWS);
        let mut headers = Vec::with_capacity(count);
        for i in 0..count {
            let start = if delta { reader.signed_varint()? } else { 0 };
            let base = reader.signed_varint()?;
            let width = reader.u8()?;
            let patches = reader.varint()?;
            let rows = (rows - i * VECTOR_ROWS).min(VECTOR_ROWS);
            if width > 64 || patches > rows as u64 {
                return Err(reader.corrupt("AZ64 vector header out of range"));
            }
            headers.push((start, base, width, rows, patches as usize));
        }
        let mut vectors = Vec::with_capacity(count);
        for (start, base, width, rows, patches) in headers {
            let bytes = reader.take(Packed::stored_len(width, rows))?;
            let packed = Packed::new(width, rows, bytes).ok_or_else(|| reader.corrupt("AZ64 vector out of range"))?;
            let patches = reader.take(patches * PATCH_BYTES)?.as_chunks::<PATCH_BYTES>().0;
            if patches.iter().any(|patch| patch_of(patch).0 >= rows) {
                return Err(reader.corrupt("AZ64 patch beyond its vector"));
            }
            vectors.push(Vector { start, base, packed, patches });
        }
        reader.finish("AZ64 vectors")?;
        Ok(Frames { rows, scale: scale as i64, vectors, decoded: None, delta })
    }

    fn filter(&mut self, test: &KeyTest, mask: &mut Mask) {
        if self.delta {
            let mut decoded = self.decoded.take().unwrap_or_default();
            if decoded.is_empty() {
                self.decode(Selection::All, &mut decoded);
            }
            test.filter_i64(mask, &decoded, |v| v);
            self.decoded = Some(decoded);
            return;
        }
        let mut scratch = Scratch::default();
        for (vector, words) in self.vectors.iter().zip(mask.words_mut().chunks_mut(VECTOR_ROWS / 64)) {
            if words.iter().any(|word| *word != 0) {
                vector.filter(self.scale, test, &mut scratch, words);
            }
        }
    }

    fn decode<D: Target>(&mut self, selection: Selection<'_>, out: &mut Vec<D>) {
        if let Some(decoded) = &self.decoded {
            match selection {
                Selection::All => out.extend(decoded.iter().map(|v| D::of_i64(*v))),
                Selection::Rows(mask) => out.extend(mask.ones().map(|i| D::of_i64(decoded[i]))),
            }
            return;
        }
        let mut scratch = Scratch::default();
        match selection {
            Selection::All => {
                out.reserve(self.rows);
                for vector in &self.vectors {
                    vector.decode_all(self.scale, self.delta, &mut scratch, out);
                }
            }
            Selection::Rows(mask) => {
                for (vector, words) in self.vectors.iter().zip(mask.words().chunks(VECTOR_ROWS / 64)) {
                    let hits = words.iter().map(|word| word.count_ones() as usize).sum::<usize>();
                    if hits == vector.packed.rows() {
                        vector.decode_all(self.scale, self.delta, &mut scratch, out);
                    } else if hits > 0 {
                        vector.decode_some(self.scale, self.delta, &mut scratch, words, hits, out);
                    }
                }
            }
        }
    }
}

impl Vector<'_> {
    /// Clears the bits of `words` whose rows do not satisfy `test`: in the domain of the lanes, into which the literals
    /// are translated.
    fn filter(&self, scale: i64, test: &KeyTest, scratch: &mut Scratch, words: &mut [u64]) {
        let (base, step, scale) = (i128::from(self.base), scale, i128::from(scale));
        let width = self.packed.width();
        let max = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
        let rows = self.packed.rows();
        let mut bits: VectorBits = [0; VECTOR_ROWS / 64];
        match &test.keys {
            KeySet::Range { low, high } => {
                // Lanes of `low..=high`: from the first not below to the last not above.
                let first = (low.saturating_sub(base).saturating_add(scale - 1)).div_euclid(scale).max(0);
                let last = high.saturating_sub(base).div_euclid(scale).min(i128::from(max));
                if low > high || first > last {
                    bits.fill(0);
                } else if first == 0 && last == i128::from(max) {
                    bits.fill(u64::MAX);
                } else {
                    bitpack::range_bits(self.packed.unpack(scratch), first as u64, last as u64, &mut bits);
                }
            }
            KeySet::Set(keys) => {
                let lane = |key: &i128| {
                    let distance = key.checked_sub(base)?;
                    let lane = u64::try_from(distance / scale).ok()?;
                    (distance >= 0 && distance % scale == 0 && lane <= max).then_some(lane)
                };
                // Ascending, as the keys are.
                let wanted: Vec<u64> = keys.iter().filter_map(lane).collect();
                if !wanted.is_empty() {
                    bitpack::set_bits(self.packed.unpack(scratch), rows, &wanted, max, &mut bits);
                }
            }
            KeySet::Members(members) => {
                let number = |lane: u64| self.base.wrapping_add((lane as i64).wrapping_mul(step));
                let asked = words.iter().map(|word| word.count_ones() as usize).sum::<usize>();
                if asked * FEW_OF_ROWS <= rows {
                    let lanes = self.packed.unpack(scratch);
                    bitpack::member_bits_at(lanes, super::ones_of(words), members, number, &mut bits);
                } else {
                    bitpack::member_lanes(self.packed.unpack(scratch), rows, members, number, &mut bits);
                }
            }
        }
        if test.negated {
            bits.iter_mut().for_each(|word| *word = !*word);
        }
        for patch in self.patches {
            let (row, value) = patch_of(patch);
            let bit = 1 << (row % 64);
            if test.holds(i128::from(value)) {
                bits[row / 64] |= bit;
            } else {
                bits[row / 64] &= !bit;
            }
        }
        words.iter_mut().zip(bits).for_each(|(word, held)| *word &= held);
    }

    fn decode_all<D: Target>(&self, scale: i64, delta: bool, scratch: &mut Scratch, out: &mut Vec<D>) {
        if delta {
            let mut rows = Vec::with_capacity(VECTOR_ROWS);
            self.decode_deltas(scale, scratch, &mut rows);
            out.extend(rows.iter().map(|v| D::of_i64(*v)));
            return;
        }
        let from = out.len();
        bitpack::widen(self.packed.unpack(scratch), self.packed.rows(), self.base, scale, out);
        for patch in self.patches {
            let (row, value) = patch_of(patch);
            out[from + row] = D::of_i64(value);
        }
    }

    fn decode_deltas(&self, scale: i64, scratch: &mut Scratch, out: &mut Vec<i64>) {
        bitpack::widen(self.packed.unpack(scratch), self.packed.rows(), self.base, scale, out);
        for patch in self.patches {
            let (row, value) = patch_of(patch);
            out[row] = value;
        }
        let mut sum = self.start;
        for v in out {
            sum = sum.wrapping_add(*v);
            *v = sum;
        }
    }

    fn decode_some<D: Target>(
        &self,
        scale: i64,
        delta: bool,
        scratch: &mut Scratch,
        words: &[u64],
        hits: usize,
        out: &mut Vec<D>,
    ) {
        let ones = || super::ones_of(words);
        out.reserve(hits);
        if delta {
            let mut rows = Vec::with_capacity(VECTOR_ROWS);
            self.decode_deltas(scale, scratch, &mut rows);
            out.extend(ones().map(|i| D::of_i64(rows[i])));
            return;
        }
        let from = out.len();
        let value = |lane: u64| D::of(lane, self.base, scale);
        if hits <= SINGLE_ROWS {
            out.extend(ones().map(|i| value(self.packed.get(i))));
        } else {
            bitpack::lanes_at(self.packed.unpack(scratch), ones(), value, out);
        }
        for patch in self.patches {
            let (row, value) = patch_of(patch);
            if words[row / 64] >> (row % 64) & 1 == 1 {
                let before = words[..row / 64].iter().map(|word| word.count_ones() as usize).sum::<usize>();
                let within = (words[row / 64] & ((1 << (row % 64)) - 1)).count_ones() as usize;
                out[from + before + within] = D::of_i64(value);
            }
        }
    }
}

fn patch_of(patch: &[u8; PATCH_BYTES]) -> (usize, i64) {
    let [a, b, value @ ..] = *patch;
    (usize::from(u16::from_le_bytes([a, b])), i64::from_le_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng::Rng;

    /// What is not looked for is not there: values of every spread, alone and with some far away.
    #[test]
    fn patches_are_looked_for_wherever_they_pay() {
        let mut rng = Rng::new(9);
        let (mut skipped, mut patched) = (0, 0);
        for round in 0..6000 {
            let rows = [1, 7, 64, 500, VECTOR_ROWS][rng.below(5)];
            let (bits, far) = (rng.below(40) as u32, 1 + rng.below(60) as u32);
            let (scale, share) = ([1u64, 1, 100][rng.below(3)], 1 + rng.below(20));
            let value = |rng: &mut Rng| {
                let bits = if rng.below(20) < share { bits } else { far };
                let value = (rng.next_u64() >> (64 - bits.max(1))) as i64 / scale as i64 * scale as i64;
                if round % 2 == 0 { value } else { -value }
            };
            let values: Vec<i64> = (0..rows).map(|_| value(&mut rng)).collect();
            let (Some(min), Some(max)) = (values.iter().min().copied(), values.iter().max().copied()) else { continue };
            let full = bitpack::width_of(max.abs_diff(min) / scale);
            if full == 0 {
                continue;
            }
            let whole = Frame { base: min, width: full, patches: 0, rows };
            let found = whole.with_patches(&values, (min, max), scale);
            patched += usize::from(found.patches > 0);
            if !Frame::may_leave_out(&values, (min, max), scale, full) {
                assert_eq!((found.base, found.width, found.patches), (min, full, 0), "{round}");
                skipped += 1;
            }
        }
        assert!(skipped > 500 && patched > 500, "{skipped} skipped, {patched} patched");
    }
}
