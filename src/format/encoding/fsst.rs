//! FSST: text as codes for frequent substrings.
//!
//! | dictionary (the symbol table) | content |
//! |---|---|
//! | 1 | number of symbols (u8), at most 255 |
//! | symbols | each symbol's length (u8), 1 to 8 |
//! | rest | the symbols' bytes |
//!
//! | payload | content |
//! |---|---|
//! | 4 | bytes of all strings (u32) |
//! | 1 | bits per compressed length (u8), at most 32 |
//! | … | each string's compressed length, packed, per vector of 1,024 rows |
//! | rest | the strings' codes |
//!
//! Code 255 is followed by a byte that stands for itself; every other code is a symbol's number. At each place the
//! longest symbol that fits is taken, else the escape: equal strings have equal codes, so that an equality is decided
//! on the codes.
//!
//! Source: Boncz, Neumann and Leis, "FSST: Fast Random Access String Compression", VLDB 2020. Symbols are found and
//! text is compressed by the `fsst-rs` crate; reading is our own, so that damaged bytes are met with checks.

use super::Selection;
use super::bytedict::packed_vectors;
use super::condition::{Condition, TextSet, TextTest, keep_each};
use super::fixed::wrong_builder;
use super::text::{Text, TextData};
use crate::common::{Error, Result, SqlState, Stored};
use crate::format::bitpack::{self, Packed, Scratch};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::{BuilderValues, ByteValues};
use crate::format::mask::Mask;
use crate::format::stable::VECTOR_ROWS;
use arrow::buffer::Buffer;

const ESCAPE: u8 = fsst::ESCAPE_CODE;
const MAX_SYMBOL: usize = 8;

/// A symbol table, found from a sample, that compresses.
pub(super) struct Encoder {
    compressor: fsst::Compressor,
    table: SymbolTable,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("table", &self.table).finish_non_exhaustive()
    }
}

impl Encoder {
    /// Finds symbols. The crate takes its own sample, of some 16 KiB, from what it is given.
    pub fn train(pages: &[&ByteValues]) -> Result<Self> {
        let values: Vec<&[u8]> = pages.iter().flat_map(|page| (0..page.len()).map(|i| page.value(i))).collect();
        let compressor = fsst::Compressor::train(&values);
        let table = SymbolTable::open(&table_bytes(&compressor))?;
        Ok(Encoder { compressor, table })
    }

    /// The symbol table in stored form.
    pub fn table_bytes(&self) -> Vec<u8> {
        table_bytes(&self.compressor)
    }

    /// Appends one page's strings.
    pub fn encode(&self, values: &ByteValues, out: &mut Vec<u8>) -> Result<()> {
        let total = u32::try_from(values.data_len())
            .map_err(|_| Error::invalid(SqlState::STRING_TOO_LONG, "the text of one zone takes 4 GiB or more"))?;
        let mut codes: Vec<u8> = Vec::with_capacity(values.data_len() + values.len() * 2);
        let mut lengths: Vec<u64> = Vec::with_capacity(values.len());
        for i in 0..values.len() {
            let value = values.value(i);
            // At worst every byte is escaped.
            codes.reserve(value.len() * 2 + MAX_SYMBOL);
            // SAFETY: the room just reserved holds the longest that `value` can become, and as many bytes as the
            // compressor says it wrote are initialised.
            unsafe {
                let written = self.compressor.compress_into(value, codes.spare_capacity_mut());
                codes.set_len(codes.len() + written);
                lengths.push(written as u64);
            }
        }
        self.verify(values, &codes, &lengths)?;
        write_coded(total, &lengths, &codes, out);
        Ok(())
    }

    #[cfg(test)]
    pub fn compress(&self, value: &[u8]) -> Vec<u8> {
        self.compressor.compress(value)
    }

    #[cfg(test)]
    pub fn compress_by_rule(&self, value: &[u8]) -> Vec<u8> {
        self.table.compress(value)
    }

    /// Reads back what was compressed: the crate calls itself not ready for production, and this costs little beside
    /// compressing.
    fn verify(&self, values: &ByteValues, codes: &[u8], lengths: &[u64]) -> Result<()> {
        let mut back = Vec::new();
        let mut start = 0;
        for (i, len) in lengths.iter().enumerate() {
            back.clear();
            let end = start + *len as usize;
            self.table.expand(&codes[start..end], values.value(i).len(), &mut back)?;
            if back != values.value(i) {
                return Err(Error::internal("FSST did not give a string back"));
            }
            start = end;
        }
        Ok(())
    }
}

/// Appends a payload: strings of `total` bytes together, each as so many of the bytes of `codes`.
pub(super) fn write_coded(total: u32, lengths: &[u64], codes: &[u8], out: &mut Vec<u8>) {
    out.put_u32(total);
    let width = bitpack::width_of(lengths.iter().copied().max().unwrap_or(0));
    out.put_u8(width);
    lengths.chunks(VECTOR_ROWS).for_each(|vector| Packed::write(vector, width, out));
    out.extend_from_slice(codes);
}

/// Parts of strings by code. Equal strings have equal codes.
pub(super) trait Coder: std::fmt::Debug {
    /// A byte of codes stands for at most so many bytes.
    const MAX_RATIO: usize;
    /// Appends the string of `codes`, of at most `room` bytes.
    ///
    /// Errors: Corrupt when it has more, and where a code has no meaning.
    fn expand(&self, codes: &[u8], room: usize, out: &mut Vec<u8>) -> Result<()>;
    /// Appends all strings, of at most `room` bytes together, the codes of each ending at `ends` (ascending to the last
    /// of `codes`); returns where each string ends.
    ///
    /// Errors: as [`Coder::expand`].
    fn expand_all(&self, codes: &[u8], ends: &[u32], room: usize, out: &mut Vec<u8>) -> Result<Vec<u32>>;
    /// The codes of a string.
    fn compress(&self, text: &[u8]) -> Vec<u8>;
}

fn table_bytes(compressor: &fsst::Compressor) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u8(compressor.n_symbols() as u8);
    out.extend_from_slice(compressor.symbol_lengths());
    for (symbol, len) in compressor.symbol_table().iter().zip(compressor.symbol_lengths()) {
        out.extend_from_slice(&symbol.to_u64().to_le_bytes()[..usize::from(*len)]);
    }
    out
}

/// Bytes that pages of `values` would take together, the symbol table left out.
pub(super) fn analyze(values: &ByteValues) -> Result<usize> {
    let mut out = Vec::new();
    Encoder::train(&[values])?.encode(values, &mut out)?;
    Ok(out.len())
}

/// A symbol table that was read and checked.
///
/// Invariants: codes without a symbol have length 0, all others 1 to 8.
#[derive(Debug)]
pub(super) struct SymbolTable {
    /// The symbol's bytes, zeros behind them.
    symbols: [[u8; MAX_SYMBOL]; 256],
    lengths: [u8; 256],
    count: usize,
}

impl SymbolTable {
    pub fn open(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let count = usize::from(reader.u8()?);
        let mut table = SymbolTable { symbols: [[0; MAX_SYMBOL]; 256], lengths: [0; 256], count };
        if count > usize::from(ESCAPE) {
            return Err(reader.corrupt("a symbol has the escape's code"));
        }
        let lengths = reader.take(count)?;
        for (code, len) in lengths.iter().enumerate() {
            if *len == 0 || usize::from(*len) > MAX_SYMBOL {
                return Err(reader.corrupt(format!("a symbol of {len} bytes")));
            }
            let symbol = reader.take(usize::from(*len))?;
            table.symbols[code][..symbol.len()].copy_from_slice(symbol);
            table.lengths[code] = *len;
        }
        reader.finish("symbols")?;
        Ok(table)
    }

    /// Calls `passed` after every code byte with the bytes so far.
    #[inline(always)]
    fn expand_by(&self, codes: &[u8], room: usize, out: &mut Vec<u8>, mut passed: impl FnMut(usize)) -> Result<()> {
        let corrupt = |what: &str| Error::corrupt(0, what);
        let room = room.min(codes.len() * MAX_SYMBOL);
        let limit = out.len() + room;
        out.reserve(room + MAX_SYMBOL);
        let mut len = out.len();
        let start = out.as_mut_ptr();
        let mut rest = codes.iter();
        while let Some(code) = rest.next() {
            if len > limit {
                break;
            }
            let (bytes, step) = if *code == ESCAPE {
                let byte = *rest.next().ok_or_else(|| corrupt("an escape without its byte"))?;
                passed(len);
                ([byte, 0, 0, 0, 0, 0, 0, 0], 1)
            } else {
                (self.symbols[usize::from(*code)], self.lengths[usize::from(*code)])
            };
            if step == 0 {
                return Err(corrupt("a code without a symbol"));
            }
            // SAFETY: `len <= limit`, checked just above, and `limit + MAX_SYMBOL` bytes were reserved, which nothing
            // has changed since; so 8 bytes from `start + len` are ours to write.
            unsafe { start.add(len).cast::<[u8; MAX_SYMBOL]>().write_unaligned(bytes) };
            len += usize::from(step);
            passed(len);
        }
        if len > limit {
            return Err(corrupt("strings are longer than stated"));
        }
        // SAFETY: every byte up to `len <= limit` was written by the loop, each step by at most the 8 bytes it wrote.
        unsafe { out.set_len(len) };
        Ok(())
    }

    fn symbol(&self, code: usize) -> &[u8] {
        &self.symbols[code][..usize::from(self.lengths[code])]
    }
}

impl Coder for SymbolTable {
    const MAX_RATIO: usize = MAX_SYMBOL;

    fn expand(&self, codes: &[u8], room: usize, out: &mut Vec<u8>) -> Result<()> {
        self.expand_by(codes, room, out, |_| ())
    }

    /// Notes for every number of codes how many bytes they give: one loop over all strings, which mispredicts no
    /// string's end.
    fn expand_all(&self, codes: &[u8], ends: &[u32], room: usize, out: &mut Vec<u8>) -> Result<Vec<u32>> {
        let mut lengths = Vec::with_capacity(codes.len() + 1);
        lengths.push(0);
        self.expand_by(codes, room, out, |len| lengths.push(len as u32))?;
        Ok(ends.iter().map(|end| lengths[*end as usize]).collect())
    }

    /// The longest symbol at each place.
    fn compress(&self, mut text: &[u8]) -> Vec<u8> {
        let mut codes = Vec::with_capacity(text.len());
        while let Some(first) = text.first() {
            let fitting = (0..self.count).filter(|code| text.starts_with(self.symbol(*code)));
            match fitting.max_by_key(|code| self.lengths[*code]) {
                Some(code) => {
                    codes.push(code as u8);
                    text = &text[self.symbol(code).len()..];
                }
                None => {
                    codes.extend_from_slice(&[ESCAPE, *first]);
                    text = &text[1..];
                }
            }
        }
        codes
    }
}

/// An opened payload.
///
/// Invariant: `ends` ascends, its last is the length of `codes`.
#[derive(Debug)]
pub(super) struct Page<'a, T> {
    table: &'a T,
    /// Bytes of all strings.
    total: usize,
    /// Where each string's codes end.
    ends: Vec<u32>,
    codes: &'a [u8],
    at: usize,
    text: Option<Text<'static>>,
}

impl<'a, T: Coder> Page<'a, T> {
    pub fn open(rows: usize, table: &'a T, reader: &mut Reader<'a>) -> Result<Self> {
        let total = reader.len_u32(reader.remaining().saturating_mul(T::MAX_RATIO), "bytes of text")?;
        let width = reader.u8()?;
        if width > 32 {
            return Err(reader.corrupt(format!("lengths of {width} bits")));
        }
        let lengths = packed_vectors(width, rows, reader)?;
        let at = reader.offset();
        let codes = reader.rest();
        let mut ends = Vec::with_capacity(rows);
        let mut scratch = Scratch::default();
        for vector in &lengths {
            bitpack::widen::<i32>(vector.unpack(&mut scratch), vector.rows(), 0, 1, &mut ends);
        }
        // As u64, in which at most 65,536 lengths of 32 bits cannot overflow.
        let mut end = 0u64;
        let ends: Vec<u32> = ends
            .into_iter()
            .map(|len| {
                end += u64::from(len as u32);
                end as u32
            })
            .collect();
        if end != codes.len() as u64 {
            return Err(Error::corrupt(at as u64, "strings' lengths do not fit their codes"));
        }
        Ok(Page { table, total, ends, codes, at, text: None })
    }

    fn codes_of(&self, i: usize) -> &'a [u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.codes[start..self.ends[i] as usize]
    }

    /// All strings, decompressed at the first call.
    fn text(&mut self) -> Result<&Text<'static>> {
        if self.text.is_none() {
            let mut data = Vec::with_capacity(self.total + MAX_SYMBOL);
            let ends = self
                .table
                .expand_all(self.codes, &self.ends, self.total, &mut data)
                .map_err(|e| Error::corrupt(self.at as u64, e.message()))?;
            if data.len() != self.total {
                return Err(Error::corrupt(self.at as u64, "strings are shorter than stated"));
            }
            self.text = Some(Text::checked(ends, TextData::Owned(Buffer::from_vec(data)), self.at, Stored::Bytes)?);
        }
        Ok(self.text.as_ref().expect("it was just made"))
    }

    pub fn filter(&mut self, condition: &Condition<'_>, mask: &mut Mask) -> Result<()> {
        let test = condition.text()?;
        if let TextTest { texts: TextSet::Set(values), negated } = test
            && self.text.is_none()
        {
            let mut wanted: Vec<Vec<u8>> = values.iter().map(|value| self.table.compress(value)).collect();
            wanted.sort_unstable();
            match &wanted[..] {
                [only] => keep_each(mask, |i| (self.codes_of(i) == &only[..]) != *negated),
                _ => keep_each(mask, |i| {
                    let codes = self.codes_of(i);
                    wanted.binary_search_by(|w| w[..].cmp(codes)).is_ok() != *negated
                }),
            }
            return Ok(());
        }
        test.filter(self.text()?, mask)
    }

    pub fn decode(&mut self, selection: Selection<'_>, out: &mut BuilderValues) -> Result<()> {
        let BuilderValues::Views(out) = out else {
            return Err(wrong_builder());
        };
        // A few strings are decompressed and checked alone.
        if let Selection::Rows(mask) = selection
            && self.text.is_none()
            && mask.count() * 4 < self.ends.len()
        {
            let mut value = Vec::new();
            for i in mask.ones() {
                value.clear();
                self.table
                    .expand(self.codes_of(i), self.total, &mut value)
                    .and_then(|()| out.push_checked(&value))
                    .map_err(|e| Error::corrupt(self.at as u64, e.message()))?;
            }
            return Ok(());
        }
        self.text()?.append(selection, out);
        Ok(())
    }

    /// All strings, decompressed.
    pub fn into_text(mut self) -> Result<Text<'static>> {
        self.text()?;
        Ok(self.text.expect("it was just made"))
    }
}
