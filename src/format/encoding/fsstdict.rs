//! FSSTDICT: a [BYTEDICT](super::bytedict) whose values are compressed by [FSST](super::fsst).
//!
//! | dictionary | content |
//! |---|---|
//! | 4 | number of values (u32), at most 65,536 |
//! | 4 | bytes of the symbol table (u32) |
//! | … | the symbol table, FSST's dictionary |
//! | rest | the values, ascending, as FSST's payload |
//!
//! The payload is that of BYTEDICT. The values are decompressed once, when the dictionary is opened: pages are filtered
//! and decoded as those of BYTEDICT are.
//!
//! Source: our own choice, of two parts; DuckDB's DICT_FSST is alike.

use super::bytedict::{MAX_VALUES, Table};
use super::fsst::{self, SymbolTable};
use crate::common::{Error, Result};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::ByteValues;

/// Appends a dictionary's strings, their number left out.
pub(super) fn put_text(values: &ByteValues, out: &mut Vec<u8>) -> Result<()> {
    let encoder = fsst::Encoder::train(&[values])?;
    let table = encoder.table_bytes();
    out.put_u32(table.len() as u32);
    out.extend_from_slice(&table);
    encoder.encode(values, out)
}

/// Opens a dictionary.
pub(super) fn open(bytes: &[u8]) -> Result<Table> {
    let mut reader = Reader::new(bytes);
    let count = reader.len_u32(MAX_VALUES, "dictionary values")?;
    let table_len = reader.len_u32(reader.remaining(), "bytes of the symbol table")?;
    let at = reader.offset();
    let symbols = SymbolTable::open(reader.take(table_len)?)
        .map_err(|e| Error::corrupt(at as u64 + e.offset().unwrap_or(0), e.message()))?;
    let at = reader.offset();
    let text = fsst::Page::open(count, &symbols, &mut reader)?.into_text()?;
    Table::of_text(crate::common::Stored::Bytes, text, at)
}
