//! RAW: values as they are.
//!
//! | bytes | fixed width | booleans | text |
//! |---|---|---|---|
//! | payload | values, little-endian, one after another | ceil(rows/8) bytes of bits, row 0 in the lowest bit | rows × u32 ends, then the bytes |
//!
//! Source: our own choice; Redshift's RAW is uncompressed likewise. Other encodings hold their values in this form
//! too: run values, dictionaries, and what ZSTD compresses.

use super::Selection;
use super::condition::Condition;
use super::fixed::{Fixed, by_form, wrong_builder};
use super::text::{Text, TextData};
use crate::common::{Error, Result, Stored};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::{BuilderValues, Values};
use crate::format::mask::Mask;
use arrow::buffer::Buffer;

/// Bytes that [`encode`] makes of some values.
pub(super) fn encoded_len(values: &Values) -> usize {
    match values {
        Values::Bool(v) => v.len().div_ceil(8),
        Values::I16(v) => v.len() * 2,
        Values::I32(v) => v.len() * 4,
        Values::I64(v) => v.len() * 8,
        Values::I128(v) => v.len() * 16,
        Values::F32(v) => v.len() * 4,
        Values::F64(v) => v.len() * 8,
        Values::Bytes(v) => v.len() * 4 + v.data_len(),
    }
}

/// Appends `values`.
///
/// Errors: Invalid when text takes 4 GiB or more.
pub(super) fn encode(values: &Values, out: &mut Vec<u8>) -> Result<()> {
    fn fixed<T: Fixed>(values: &[T], out: &mut Vec<u8>) {
        values.iter().for_each(|v| v.put(out));
    }
    out.reserve(encoded_len(values));
    match values {
        Values::Bool(v) => put_bits(v, out),
        Values::I16(v) => fixed(v, out),
        Values::I32(v) => fixed(v, out),
        Values::I64(v) => fixed(v, out),
        Values::I128(v) => fixed(v, out),
        Values::F32(v) => fixed(v, out),
        Values::F64(v) => fixed(v, out),
        Values::Bytes(v) => {
            if u32::try_from(v.data_len()).is_err() {
                return Err(Error::invalid(
                    crate::common::SqlState::STRING_TOO_LONG,
                    "the text of one zone takes 4 GiB or more",
                ));
            }
            let start = v.offsets[0];
            v.offsets[1..].iter().for_each(|end| out.put_u32((end - start) as u32));
            out.extend_from_slice(&v.data[start as usize..v.offsets[v.len()] as usize]);
        }
    }
    Ok(())
}

/// Appends bits, eight a byte, the first in the lowest bit; the last byte's rest is zero.
pub(super) fn put_bits(bits: &arrow::buffer::BooleanBuffer, out: &mut Vec<u8>) {
    let mask = Mask::from_buffer(bits);
    let bytes = mask.words().iter().flat_map(|word| word.to_le_bytes());
    out.extend(bytes.take(bits.len().div_ceil(8)));
}

/// Reads `rows` bits that [`put_bits`] wrote.
pub(super) fn read_bits(bytes: &[u8], rows: usize) -> Mask {
    let mut mask = Mask::none(rows);
    for (word, eight) in mask.words_mut().iter_mut().zip(bytes.chunks(8)) {
        let mut le = [0u8; 8];
        le[..eight.len()].copy_from_slice(eight);
        *word = u64::from_le_bytes(le);
    }
    mask.and(&Mask::all(rows));
    mask
}

/// A RAW payload.
///
/// Invariant: a fixed-width payload has exactly `rows` values, a boolean one their bits, text at least the ends.
#[derive(Debug)]
pub(super) struct Page<'a> {
    stored: Stored,
    rows: usize,
    source: TextData<'a>,
    /// Where the payload stands in the bytes given; what was made while decoding stands there as a whole.
    at: usize,
    /// The text once it was checked.
    text: Option<Text<'a>>,
}

impl<'a> Page<'a> {
    /// All that the reader has left.
    pub fn open(stored: Stored, rows: usize, reader: &mut Reader<'a>) -> Result<Self> {
        let at = reader.offset();
        Self::checked(stored, rows, TextData::Borrowed(reader.rest()), at)
    }

    /// Bytes that were made while decoding.
    pub fn of_buffer(stored: Stored, rows: usize, bytes: Buffer, at: usize) -> Result<Page<'static>> {
        Page::checked(stored, rows, TextData::Owned(bytes), at)
    }

    fn checked(stored: Stored, rows: usize, source: TextData<'a>, at: usize) -> Result<Self> {
        let len = source.as_slice().len();
        let fits = match stored {
            Stored::Bool => len == rows.div_ceil(8),
            Stored::Bytes | Stored::Binary => len >= rows * 4,
            _ => Some(len) == stored.width().map(|width| width * rows),
        };
        if !fits {
            return Err(Error::corrupt(at as u64, format!("{len} bytes do not hold {rows} values")));
        }
        Ok(Page { stored, rows, source, at, text: None })
    }

    fn bytes(&self) -> &[u8] {
        self.source.as_slice()
    }

    /// The values, which must be fixed-width of form `T`.
    pub fn values<T: Fixed>(&self) -> impl ExactSizeIterator<Item = T> + '_ {
        T::chunks(self.bytes()).iter().map(|le| T::from_le(*le))
    }

    /// Value `i`, which must be fixed-width of form `T`.
    pub fn value<T: Fixed>(&self, i: usize) -> T {
        T::from_le(T::chunks(self.bytes())[i])
    }

    /// Where byte `i` of the payload, or what it was made of, stands in the bytes given.
    fn place(&self, i: usize) -> usize {
        match self.source {
            TextData::Borrowed(_) => self.at + i,
            TextData::Owned(_) => self.at,
        }
    }

    fn text_end(&self, i: usize) -> usize {
        let end = &self.bytes()[i * 4..i * 4 + 4];
        u32::from_le_bytes([end[0], end[1], end[2], end[3]]) as usize
    }

    /// The text, checked at the first call.
    pub fn text(&mut self) -> Result<&Text<'a>> {
        if self.text.is_none() {
            let ends = (0..self.rows).map(|i| self.text_end(i) as u32).collect();
            let start = self.rows * 4;
            let data = match &self.source {
                TextData::Borrowed(bytes) => TextData::Borrowed(&bytes[start..]),
                TextData::Owned(buffer) => TextData::Owned(buffer.slice(start)),
            };
            self.text = Some(Text::checked(ends, data, self.place(start), self.stored)?);
        }
        Ok(self.text.as_ref().expect("it was just made"))
    }

    /// The text that [`Page::text`] has checked before.
    pub fn known_text(&self) -> &Text<'a> {
        self.text.as_ref().expect("text was checked before")
    }

    /// Of a boolean page.
    pub fn bits(&self) -> Mask {
        read_bits(self.bytes(), self.rows)
    }

    pub fn into_text(mut self) -> Result<Text<'a>> {
        self.text()?;
        Ok(self.text.expect("it was just made"))
    }

    pub fn filter(&mut self, condition: &Condition<'_>, mask: &mut Mask) -> Result<()> {
        fn keys<T: Fixed>(page: &Page<'_>, condition: &Condition<'_>, mask: &mut Mask) -> Result<()> {
            let test = condition.keys()?;
            let values = T::chunks(page.bytes());
            if T::NARROW {
                test.filter_i64(mask, values, |le| T::from_le(le).key64());
            } else {
                test.filter(mask, values, |le| T::from_le(le).key());
            }
            Ok(())
        }
        match self.stored {
            Stored::Bool => {
                let test = condition.keys()?;
                let bits = read_bits(self.bytes(), self.rows);
                if !test.holds(1) {
                    mask.and_not(&bits);
                }
                if !test.holds(0) {
                    mask.and(&bits);
                }
                Ok(())
            }
            Stored::Bytes | Stored::Binary => {
                let test = condition.text()?;
                test.filter(self.text()?, mask)
            }
            Stored::I16 => keys::<i16>(self, condition, mask),
            Stored::I32 => keys::<i32>(self, condition, mask),
            Stored::I64 => keys::<i64>(self, condition, mask),
            Stored::I128 => keys::<i128>(self, condition, mask),
            Stored::F32 => keys::<f32>(self, condition, mask),
            Stored::F64 => keys::<f64>(self, condition, mask),
        }
    }

    pub fn decode(&mut self, selection: Selection<'_>, out: &mut BuilderValues) -> Result<()> {
        fn fixed<S: Fixed + Into<D>, D>(out: &mut Vec<D>, page: &Page<'_>, selection: Selection<'_>) -> Result<()> {
            match selection {
                Selection::All => out.extend(page.values::<S>().map(Into::into)),
                Selection::Rows(mask) => {
                    let values = S::chunks(page.bytes());
                    out.extend(mask.ones().map(|i| S::from_le(values[i]).into()));
                }
            }
            Ok(())
        }
        match (self.stored, out) {
            (Stored::Bool, BuilderValues::Bool(out)) => {
                match selection {
                    Selection::All => out.append_packed_range(0..self.rows, self.bytes()),
                    Selection::Rows(mask) => {
                        let bytes = self.bytes();
                        mask.ones().for_each(|i| out.append(bytes[i / 8] >> (i % 8) & 1 == 1));
                    }
                }
                Ok(())
            }
            (Stored::Bytes | Stored::Binary, BuilderValues::Views(out)) => {
                // A few strings of an unchecked page are checked alone.
                if let Selection::Rows(mask) = selection
                    && self.text.is_none()
                    && mask.count() * 8 < self.rows
                {
                    for i in mask.ones() {
                        let start = if i == 0 { 0 } else { self.text_end(i - 1) };
                        let value = self.bytes()[self.rows * 4..]
                            .get(start..self.text_end(i))
                            .ok_or_else(|| Error::corrupt(self.at as u64, "strings' ends do not fit their bytes"))?;
                        out.push_checked(value)
                            .map_err(|e| Error::corrupt(self.place(self.rows * 4 + start) as u64, e.message()))?;
                    }
                    return Ok(());
                }
                self.text()?.append(selection, out);
                Ok(())
            }
            (Stored::Bool | Stored::Bytes | Stored::Binary, _) => Err(wrong_builder()),
            (stored, out) => by_form!(stored, out, fixed(self, selection)),
        }
    }
}
