//! DELTA and DELTA32K: each value as its difference from the one before, in 1 or 2 bytes.
//!
//! Per vector of 1,024 rows:
//!
//! | bytes | content |
//! |---|---|
//! | width | the first value, as RAW holds it |
//! | … | number of exceptions (varint) |
//! | 1 or 2 × (rows − 1) | the differences from the second value on (two's complement), 0 where there is an exception |
//! | … | the [exceptions](super::exceptions): values that are too far from the one before |
//!
//! A value is the sum, modulo 2^bits of the stored form, of the first value or the last exception, whichever is nearer
//! before it, and of all differences since. Each vector can be decoded alone.
//!
//! Source: the Redshift manual, "Delta encoding", by which a difference is at most 127, or 32,767, in either direction;
//! its example, 1 to 10 as INTEGER, takes 5 bytes and 9 differences, as it does here.

use arrow::buffer::Buffer;
use arrow::datatypes::ArrowNativeType;

use super::Selection;
use super::condition::Condition;
use super::exceptions::{self, Exceptions};
use super::fixed::{Integer, by_integer, integers_of, with_integers};
use super::raw;
use crate::common::{Result, Stored};
use crate::format::bitpack::Narrow;
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::{BuilderValues, Values};
use crate::format::mask::Mask;
use crate::format::stable::VECTOR_ROWS;

/// Appends one page's values, `step` (1 or 2) bytes a difference.
pub(super) fn encode(values: &Values, step: usize, out: &mut Vec<u8>) -> Result<()> {
    fn page<S: Integer>(values: &[S], step: usize, out: &mut Vec<u8>) {
        values.chunks(VECTOR_ROWS).for_each(|vector| encode_vector(vector, step, out));
    }
    with_integers!(values, page(step, out))
}

fn encode_vector<S: Integer>(values: &[S], step: usize, out: &mut Vec<u8>) {
    let most = (1i128 << (step * 8 - 1)) - 1;
    let mut differences = Vec::with_capacity(values.len() * step);
    let mut far = Vec::new();
    for (i, pair) in values.windows(2).enumerate() {
        // None where the difference has more than 128 bits.
        let difference = pair[1].key().checked_sub(pair[0].key()).filter(|d| (-most..=most).contains(d));
        if difference.is_none() {
            far.push((i + 1, pair[1]));
        }
        differences.extend_from_slice(&difference.unwrap_or(0).to_le_bytes()[..step]);
    }
    values[0].put(out);
    out.put_varint(far.len() as u64);
    out.extend_from_slice(&differences);
    exceptions::write(&far, out);
}

/// An opened payload.
#[derive(Debug)]
pub(super) struct Page<'a> {
    stored: Stored,
    rows: usize,
    step: usize,
    vectors: Vec<Vector<'a>>,
    /// All rows, once a filter needed them.
    decoded: Option<raw::Page<'static>>,
}

/// Invariants: `first` is one value, `differences` one fewer than `rows`; no exception is at row 0.
#[derive(Debug)]
struct Vector<'a> {
    rows: usize,
    first: &'a [u8],
    differences: &'a [u8],
    exceptions: Exceptions<'a>,
}

impl<'a> Page<'a> {
    pub fn open(stored: Stored, step: usize, rows: usize, reader: &mut Reader<'a>) -> Result<Self> {
        let width = stored.width().unwrap_or(0);
        let mut vectors = Vec::with_capacity(rows.div_ceil(VECTOR_ROWS));
        for start in (0..rows).step_by(VECTOR_ROWS) {
            let rows = (rows - start).min(VECTOR_ROWS);
            let first = reader.take(width)?;
            let count = reader.varint()?;
            let differences = reader.take((rows - 1) * step)?;
            let exceptions = Exceptions::open(count, width, rows, reader)?;
            if exceptions.first() == Some(0) {
                return Err(reader.corrupt("a vector's first value is an exception"));
            }
            vectors.push(Vector { rows, first, differences, exceptions });
        }
        reader.finish("DELTA vectors")?;
        Ok(Page { stored, rows, step, vectors, decoded: None })
    }

    pub fn filter(&mut self, condition: &Condition<'_>, mask: &mut Mask) -> Result<()> {
        fn all<S: Integer + ArrowNativeType>(page: &Page<'_>) -> Result<Buffer> {
            let mut values = vec![S::default(); page.rows];
            for (vector, values) in page.vectors.iter().zip(values.chunks_mut(VECTOR_ROWS)) {
                vector.decode(page.step, values);
            }
            Ok(Buffer::from_vec(values))
        }
        if self.decoded.is_none() {
            let values = integers_of!(self.stored, all(self))?;
            self.decoded = Some(raw::Page::of_buffer(self.stored, self.rows, values, 0)?);
        }
        match &mut self.decoded {
            Some(page) => page.filter(condition, mask),
            None => Ok(()),
        }
    }

    pub fn decode(&mut self, selection: Selection<'_>, out: &mut BuilderValues) -> Result<()> {
        fn decode<S: Integer + Into<D>, D>(out: &mut Vec<D>, page: &Page<'_>, selection: Selection<'_>) -> Result<()> {
            let mut room = [S::default(); VECTOR_ROWS];
            for (i, vector) in page.vectors.iter().enumerate() {
                let room = &mut room[..vector.rows];
                match selection {
                    Selection::All => {
                        vector.decode(page.step, room);
                        out.extend(room.iter().map(|value| (*value).into()));
                    }
                    Selection::Rows(mask) => {
                        let words = &mask.words()[i * (VECTOR_ROWS / 64)..][..vector.rows.div_ceil(64)];
                        if words.iter().any(|word| *word != 0) {
                            vector.decode(page.step, room);
                            out.extend(super::ones_of(words).map(|row| room[row].into()));
                        }
                    }
                }
            }
            Ok(())
        }
        match &mut self.decoded {
            Some(page) => page.decode(selection, out),
            None => by_integer!(self.stored, out, decode(self, selection)),
        }
    }
}

impl Vector<'_> {
    /// All rows, of which `out` has as many.
    fn decode<S: Integer>(&self, step: usize, out: &mut [S]) {
        let first = S::chunks(self.first).first().map_or(S::default(), |le| S::from_le(*le));
        match step {
            1 => self.sum(first, self.differences.as_chunks::<1>().0, out),
            _ => self.sum(first, self.differences.as_chunks::<2>().0, out),
        }
    }

    fn sum<S: Integer, N: Narrow>(&self, first: S, differences: &[N], out: &mut [S]) {
        /// The rows up to the next exception, without a look at any.
        #[inline(always)]
        fn run<S: Integer, N: Narrow>(mut sum: S, differences: &[N], out: &mut [S]) {
            for (slot, difference) in out.iter_mut().zip(differences) {
                sum = sum.plus(S::of_i64(difference.number()));
                *slot = sum;
            }
        }
        let (mut at, mut last) = (0, first);
        out[0] = first;
        for (next, value) in self.exceptions.iter::<S>() {
            run(last, &differences[at..next - 1], &mut out[at + 1..next]);
            out[next] = value;
            (at, last) = (next, value);
        }
        run(last, &differences[at..], &mut out[at + 1..]);
    }
}
