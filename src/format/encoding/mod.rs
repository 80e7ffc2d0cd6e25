//! Encodings: one file each, one shape.
//!
//! A *page* is one zone of one column: a validity prefix and the encoding's payload. Every encoding restarts at each
//! page, so that a page can be skipped or read alone, together with its chunk's dictionary where there is one.
//!
//! | bytes | content |
//! |---|---|
//! | 1 | 0: no NULL; 1: all NULL, nothing follows; 2: some |
//! | ceil(rows/8), after 2 only | a bit per row, row 0 in the lowest, set where the row is not NULL |
//! | rest | the encoding's payload, see its module; NULL rows repeat the value before them, or the first |
//!
//! Every encoding's module has its byte layout, source, `analyze` (a sample's size), `encode` and a `Page` with `open`,
//! `filter` and `decode`. [`ChunkEncoder`] writes, [`Page`] reads; `condition` holds predicates in the form that
//! encodings evaluate.

mod alp;
mod auto;
mod az64;
mod bytedict;
mod chunk;
mod condition;
mod delta;
mod dictionary;
mod exceptions;
mod fixed;
mod fsst;
mod fsstdict;
pub mod hostile;
mod lz4;
mod mostly;
mod page;
mod raw;
mod runlength;
#[cfg(test)]
mod tests;
mod text;
mod words;
mod zstd;

pub use auto::SMALL_TABLE_BYTES;
pub use chunk::{ChunkEncoder, DictionaryUse, EncodedChunk};
pub use dictionary::{Dictionary, PreparedPredicate, open_dictionary};
pub use page::Page;

use crate::common::{EncodingName, Error, Result, SqlState, SqlType, Stored};
use crate::format::mask::Mask;
use crate::format::stable::EncodingId;

const VALIDITY_NO_NULLS: u8 = 0;
const VALIDITY_ALL_NULL: u8 = 1;
const VALIDITY_BITMAP: u8 = 2;

/// Which of a page's rows to decode.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    All,
    /// The set bits, in order.
    Rows(&'a Mask),
}

/// Whether pages of `stored` values can have encoding `id`.
pub fn supports(id: EncodingId, stored: Stored) -> bool {
    // Integers of at least so many bytes.
    let integer = |least: usize| match stored {
        Stored::I16 | Stored::I32 | Stored::I64 | Stored::I128 => stored.width() >= Some(least),
        Stored::Bool | Stored::F32 | Stored::F64 | Stored::Bytes | Stored::Binary => false,
    };
    match id {
        EncodingId::Raw | EncodingId::RunLength | EncodingId::Zstd => true,
        EncodingId::Az64 | EncodingId::Delta | EncodingId::Mostly8 => integer(2),
        EncodingId::Delta32k | EncodingId::Mostly16 => integer(4),
        EncodingId::Mostly32 => integer(8),
        EncodingId::Alp => matches!(stored, Stored::F32 | Stored::F64),
        EncodingId::ByteDict => stored != Stored::Bool,
        EncodingId::Lz4 => integer(2) || stored.is_bytes(),
        EncodingId::Fsst | EncodingId::FsstDict | EncodingId::Text255 | EncodingId::Text32k => stored == Stored::Bytes,
    }
}

/// Whether a column of type `ty` may be declared `ENCODE name` (Redshift manual, "Compression encodings").
///
/// Errors: Invalid when the type does not have the encoding.
pub fn allowed(name: EncodingName, ty: SqlType) -> Result<()> {
    if has_encoding(name, ty) {
        return Ok(());
    }
    let names: Vec<String> = EncodingName::ALL
        .into_iter()
        .filter(|other| has_encoding(*other, ty))
        .map(|other| other.as_str().to_ascii_uppercase())
        .collect();
    Err(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, format!("encoding {name} does not exist for type {ty}"))
        .with_hint(format!("a column of this type can have {}", names.join(", "))))
}

fn has_encoding(name: EncodingName, ty: SqlType) -> bool {
    use SqlType as T;
    let text = matches!(ty, T::Char(_) | T::Varchar(_));
    let number = matches!(ty, T::SmallInt | T::Integer | T::BigInt | T::Decimal { .. });
    let time = matches!(ty, T::Date | T::Time | T::Timestamp | T::TimestampTz);
    let bytes = matches!(ty, T::Varbyte(_) | T::Super);
    // Redshift's list of DELTA's types has no TIME and no zones.
    let day = matches!(ty, T::Date | T::Timestamp);
    match name {
        EncodingName::Auto | EncodingName::Raw | EncodingName::Zstd => true,
        EncodingName::RunLength => ty != T::Super,
        EncodingName::Az64 => number || time,
        EncodingName::Delta => number || day,
        EncodingName::Delta32k => (number || day) && ty != T::SmallInt,
        EncodingName::ByteDict => !matches!(ty, T::Boolean | T::Super),
        EncodingName::Lzo => number || time || text || bytes,
        EncodingName::Mostly8 => number,
        EncodingName::Mostly16 => number && ty != T::SmallInt,
        EncodingName::Mostly32 => matches!(ty, T::BigInt | T::Decimal { .. }),
        EncodingName::Text255 | EncodingName::Text32k => matches!(ty, T::Varchar(_)),
        EncodingName::Fsst | EncodingName::FsstDict => text,
        EncodingName::Alp => matches!(ty, T::Real | T::Double),
    }
}

/// The stored encoding of a name; `None` for AUTO, which is none. LZO is a name only: LZ4, of the same kind, is stored.
fn stored_encoding(name: EncodingName) -> Option<EncodingId> {
    Some(match name {
        EncodingName::Auto => return None,
        EncodingName::Raw => EncodingId::Raw,
        EncodingName::Az64 => EncodingId::Az64,
        EncodingName::ByteDict => EncodingId::ByteDict,
        EncodingName::Delta => EncodingId::Delta,
        EncodingName::Delta32k => EncodingId::Delta32k,
        EncodingName::Lzo => EncodingId::Lz4,
        EncodingName::Mostly8 => EncodingId::Mostly8,
        EncodingName::Mostly16 => EncodingId::Mostly16,
        EncodingName::Mostly32 => EncodingId::Mostly32,
        EncodingName::RunLength => EncodingId::RunLength,
        EncodingName::Text255 => EncodingId::Text255,
        EncodingName::Text32k => EncodingId::Text32k,
        EncodingName::Zstd => EncodingId::Zstd,
        EncodingName::Fsst => EncodingId::Fsst,
        EncodingName::FsstDict => EncodingId::FsstDict,
        EncodingName::Alp => EncodingId::Alp,
    })
}

/// The set bits' positions in some words of a mask.
fn ones_of(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    words.iter().enumerate().flat_map(|(w, word)| {
        let mut rest = *word;
        std::iter::from_fn(move || {
            (rest != 0).then(|| {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                w * 64 + bit
            })
        })
    })
}
