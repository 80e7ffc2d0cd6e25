//! MOSTLY8, MOSTLY16, MOSTLY32: values in 1, 2 or 4 bytes each, those that do not fit beside them.
//!
//! Per vector of 1,024 rows:
//!
//! | bytes | content |
//! |---|---|
//! | … | number of exceptions (varint) |
//! | n/8 × rows | the values (two's complement), 0 where there is an exception |
//! | … | the [exceptions](super::exceptions) |
//!
//! Decimals are held by their unscaled value. An exception takes 2 bytes more than its value does in RAW, so that a
//! column of which few values fit grows.
//!
//! Source: the Redshift manual, "Mostly encoding".

use super::Selection;
use super::condition::{Condition, KeyTest};
use super::exceptions::{self, Exceptions};
use super::fixed::{Integer, by_integer, integers_of, with_integers};
use crate::common::{Result, Stored};
use crate::format::bitpack::{self, Narrow, Target};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::{BuilderValues, Values};
use crate::format::mask::Mask;
use crate::format::stable::VECTOR_ROWS;

/// Calls `$body` with `$values` bound to the narrow values as arrays of their width.
macro_rules! by_width {
    ($narrow:expr, $bytes:expr, $values:ident => $body:expr) => {
        match $narrow {
            1 => {
                let $values = $bytes.as_chunks::<1>().0;
                $body
            }
            2 => {
                let $values = $bytes.as_chunks::<2>().0;
                $body
            }
            _ => {
                let $values = $bytes.as_chunks::<4>().0;
                $body
            }
        }
    };
}

/// Appends one page's values, `narrow` (1, 2 or 4) bytes each.
pub(super) fn encode(values: &Values, narrow: usize, out: &mut Vec<u8>) -> Result<()> {
    fn page<S: Integer>(values: &[S], narrow: usize, out: &mut Vec<u8>) {
        values.chunks(VECTOR_ROWS).for_each(|vector| encode_vector(vector, narrow, out));
    }
    with_integers!(values, page(narrow, out))
}

fn encode_vector<S: Integer>(values: &[S], narrow: usize, out: &mut Vec<u8>) {
    let limit = 1i128 << (narrow * 8 - 1);
    let fits = |value: S| (-limit..limit).contains(&value.key());
    let outside: Vec<(usize, S)> = values.iter().copied().enumerate().filter(|(_, value)| !fits(*value)).collect();
    out.put_varint(outside.len() as u64);
    for value in values {
        let held = if fits(*value) { value.key64() } else { 0 };
        out.extend_from_slice(&held.to_le_bytes()[..narrow]);
    }
    exceptions::write(&outside, out);
}

/// An opened payload.
#[derive(Debug)]
pub(super) struct Page<'a> {
    stored: Stored,
    narrow: usize,
    vectors: Vec<Vector<'a>>,
}

/// Invariant: `values` has as many narrow values as the vector has rows.
#[derive(Debug)]
struct Vector<'a> {
    rows: usize,
    values: &'a [u8],
    exceptions: Exceptions<'a>,
}

impl<'a> Page<'a> {
    pub fn open(stored: Stored, narrow: usize, rows: usize, reader: &mut Reader<'a>) -> Result<Self> {
        let width = stored.width().unwrap_or(0);
        let mut vectors = Vec::with_capacity(rows.div_ceil(VECTOR_ROWS));
        for start in (0..rows).step_by(VECTOR_ROWS) {
            let rows = (rows - start).min(VECTOR_ROWS);
            let count = reader.varint()?;
            let values = reader.take(rows * narrow)?;
            vectors.push(Vector { rows, values, exceptions: Exceptions::open(count, width, rows, reader)? });
        }
        reader.finish("MOSTLY vectors")?;
        Ok(Page { stored, narrow, vectors })
    }

    pub fn filter(&self, condition: &Condition<'_>, mask: &mut Mask) -> Result<()> {
        fn filter<S: Integer>(page: &Page<'_>, test: &KeyTest, mask: &mut Mask) -> Result<()> {
            for (vector, words) in page.vectors.iter().zip(mask.words_mut().chunks_mut(VECTOR_ROWS / 64)) {
                if words.iter().all(|word| *word == 0) {
                    continue;
                }
                let mut before = [0; VECTOR_ROWS / 64];
                before[..words.len()].copy_from_slice(words);
                by_width!(page.narrow, vector.values, values => test.filter_vector(words, values, Narrow::number));
                vector.exceptions.filter::<S>(test, &before, words);
            }
            Ok(())
        }
        let test = condition.keys()?;
        integers_of!(self.stored, filter(self, test, mask))
    }

    pub fn decode(&self, selection: Selection<'_>, out: &mut BuilderValues) -> Result<()> {
        fn decode<S: Integer + Into<D>, D: Target>(
            out: &mut Vec<D>,
            page: &Page<'_>,
            selection: Selection<'_>,
        ) -> Result<()> {
            let words = match selection {
                Selection::All => None,
                Selection::Rows(mask) => Some(mask.words()),
            };
            for (i, vector) in page.vectors.iter().enumerate() {
                let from = out.len();
                let words = words.map(|words| &words[i * (VECTOR_ROWS / 64)..][..vector.rows.div_ceil(64)]);
                let hits = words.map(|words| words.iter().map(|word| word.count_ones() as usize).sum::<usize>());
                match (words, hits) {
                    (Some(words), Some(hits)) if hits < vector.rows => {
                        if hits > 0 {
                            by_width!(page.narrow, vector.values, values => {
                                out.extend(super::ones_of(words).map(|row| D::of_i64(values[row].number())));
                            });
                            vector.exceptions.patch_some::<S, D>(words, &mut out[from..]);
                        }
                    }
                    _ => {
                        by_width!(page.narrow, vector.values, values => bitpack::widen_signed(values, out));
                        vector.exceptions.patch_all::<S, D>(&mut out[from..]);
                    }
                }
            }
            Ok(())
        }
        by_integer!(self.stored, out, decode(self, selection))
    }
}
