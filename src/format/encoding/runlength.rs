//! RUNLENGTH: each run of equal values once.
//!
//! | bytes | content |
//! |---|---|
//! | 4 | number of runs (u32) |
//! | 2 × runs | position of each run's last row (u16, ascending; the last is the page's last row) |
//! | rest | the runs' values, as RAW holds them |
//!
//! Source: the Redshift manual, "Runlength encoding", whose form is (value, count); positions instead of counts let a
//! single row be found by bisection.

use super::Selection;
use super::condition::Condition;
use super::fixed::{Fixed, Keys, by_form, wrong_builder};
use super::raw;
use crate::common::{Result, Stored};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::{BuilderValues, ByteValues, Values};
use crate::format::mask::Mask;

/// The last row of each run.
fn run_ends(values: &Values) -> Vec<u16> {
    fn ends(rows: usize, same: impl Fn(usize) -> bool) -> Vec<u16> {
        let mut ends: Vec<u16> = (0..rows - 1).filter(|i| !same(*i)).map(|i| i as u16).collect();
        ends.push((rows - 1) as u16);
        ends
    }
    match (values, Keys::of(values)) {
        (Values::Bytes(v), _) => ends(v.len(), |i| v.value(i) == v.value(i + 1)),
        (_, Some(Keys::Narrow(keys))) => ends(keys.len(), |i| keys[i] == keys[i + 1]),
        (_, Some(Keys::Wide(keys))) => ends(keys.len(), |i| keys[i] == keys[i + 1]),
        (_, None) => unreachable!("only text has no keys"),
    }
}

/// Bytes that a chunk of `rows` rows in `zones` zones would take, of which `sample` consists of `pieces` stretches of
/// consecutive rows: a run that only begins because a stretch or a zone does is counted once per zone.
pub(super) fn analyze(sample: &Values, pieces: usize, rows: usize, zones: usize) -> usize {
    let ends = run_ends(sample);
    let sampled = usize::from(ends[ends.len() - 1]) + 1;
    let value_len = raw::encoded_len(&values_at(sample, &ends)).div_ceil(ends.len());
    let runs = ends.len().saturating_sub(pieces) * rows / sampled + zones;
    zones * 4 + runs * (2 + value_len)
}

fn values_at(values: &Values, rows: &[u16]) -> Values {
    let rows = || rows.iter().map(|i| usize::from(*i));
    match values {
        Values::Bool(v) => Values::Bool(rows().map(|i| v.value(i)).collect()),
        Values::I16(v) => Values::I16(rows().map(|i| v[i]).collect()),
        Values::I32(v) => Values::I32(rows().map(|i| v[i]).collect()),
        Values::I64(v) => Values::I64(rows().map(|i| v[i]).collect()),
        Values::I128(v) => Values::I128(rows().map(|i| v[i]).collect()),
        Values::F32(v) => Values::F32(rows().map(|i| v[i]).collect()),
        Values::F64(v) => Values::F64(rows().map(|i| v[i]).collect()),
        Values::Bytes(v) => Values::Bytes(rows().map(|i| v.value(i)).collect::<ByteValues>()),
    }
}

/// Appends one page's values.
pub(super) fn encode(values: &Values, out: &mut Vec<u8>) -> Result<()> {
    let ends = run_ends(values);
    out.put_u32(ends.len() as u32);
    ends.iter().for_each(|end| out.put_u16(*end));
    raw::encode(&values_at(values, &ends), out)
}

/// An opened payload.
///
/// Invariant: `ends` ascend strictly, and the last is `rows - 1`.
#[derive(Debug)]
pub(super) struct Page<'a> {
    stored: Stored,
    rows: usize,
    ends: &'a [[u8; 2]],
    values: raw::Page<'a>,
}

impl<'a> Page<'a> {
    pub fn open(stored: Stored, rows: usize, reader: &mut Reader<'a>) -> Result<Self> {
        let runs = reader.len_u32(rows, "number of runs")?;
        let ends = reader.take(runs * 2)?.as_chunks::<2>().0;
        let end = |i: usize| usize::from(u16::from_le_bytes(ends[i]));
        let ascend = (1..runs).all(|i| end(i - 1) < end(i));
        if runs == 0 || !ascend || end(runs - 1) + 1 != rows {
            return Err(reader.corrupt("runs do not cover their rows"));
        }
        Ok(Page { stored, rows, ends, values: raw::Page::open(stored, runs, reader)? })
    }

    /// First row and the one after the last.
    #[inline]
    fn run(&self, i: usize) -> (usize, usize) {
        let end = |i: usize| usize::from(u16::from_le_bytes(self.ends[i])) + 1;
        (if i == 0 { 0 } else { end(i - 1) }, end(i))
    }

    pub fn filter(&mut self, condition: &Condition<'_>, mask: &mut Mask) -> Result<()> {
        let mut runs = Mask::all(self.ends.len());
        self.values.filter(condition, &mut runs)?;
        let mut kept = Mask::none(self.rows);
        for i in runs.ones() {
            let (start, end) = self.run(i);
            set_range(&mut kept, start, end);
        }
        mask.and(&kept);
        Ok(())
    }

    /// Selected rows of each run, runs without any left out.
    fn counts<'s>(&'s self, selection: Selection<'s>) -> impl Iterator<Item = (usize, usize)> + 's {
        // Few rows of many runs are found by bisection, each as a run of its own.
        let few = match selection {
            Selection::Rows(mask) if mask.count() * 16 < self.ends.len() => Some(mask),
            _ => None,
        };
        let run_of = |row: usize| self.ends.partition_point(|end| usize::from(u16::from_le_bytes(*end)) < row);
        let single = few.into_iter().flat_map(Mask::ones).map(move |row| (run_of(row), 1));
        let runs = if few.is_some() { 0 } else { self.ends.len() };
        single.chain((0..runs).filter_map(move |i| {
            let (start, end) = self.run(i);
            let count = match selection {
                Selection::All => end - start,
                Selection::Rows(mask) => count_range(mask, start, end),
            };
            (count > 0).then_some((i, count))
        }))
    }

    pub fn decode(&mut self, selection: Selection<'_>, out: &mut BuilderValues) -> Result<()> {
        fn fixed<S: Fixed + Into<D>, D: Clone>(
            out: &mut Vec<D>,
            page: &Page<'_>,
            selection: Selection<'_>,
        ) -> Result<()> {
            for (i, count) in page.counts(selection) {
                let value: D = page.values.value::<S>(i).into();
                out.resize(out.len() + count, value);
            }
            Ok(())
        }
        match (self.stored, out) {
            (Stored::Bool, BuilderValues::Bool(out)) => {
                let bits = self.values.bits();
                self.counts(selection).for_each(|(i, count)| out.append_n(count, bits.get(i)));
                Ok(())
            }
            (Stored::Bytes | Stored::Binary, BuilderValues::Views(out)) => {
                self.values.text()?;
                let text = self.values.known_text();
                for (i, count) in self.counts(selection) {
                    // SAFETY: a checked text's strings are UTF-8 unless both are of bytes (`Page::decode`).
                    unsafe { out.push_repeated(text.value(i), count) };
                }
                Ok(())
            }
            (Stored::Bool | Stored::Bytes | Stored::Binary, _) => Err(wrong_builder()),
            (stored, out) => by_form!(stored, out, fixed(self, selection)),
        }
    }
}

/// Sets the bits `start..end`.
fn set_range(mask: &mut Mask, start: usize, end: usize) {
    each_word(start, end, |w, bits| mask.words_mut()[w] |= bits);
}

fn count_range(mask: &Mask, start: usize, end: usize) -> usize {
    let mut count = 0;
    each_word(start, end, |w, bits| count += (mask.words()[w] & bits).count_ones() as usize);
    count
}

/// Words that `start..end` (not empty) touches, and which of their bits.
fn each_word(start: usize, end: usize, mut f: impl FnMut(usize, u64)) {
    let (first, last) = (start / 64, (end - 1) / 64);
    for w in first..=last {
        let mut bits = u64::MAX;
        if w == first {
            bits &= u64::MAX << (start % 64);
        }
        if w == last {
            bits &= u64::MAX >> (63 - (end - 1) % 64);
        }
        f(w, bits);
    }
}
