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

mod az64;
mod bytedict;
mod chunk;
mod condition;
mod dictionary;
mod fixed;
mod fsst;
pub mod hostile;
mod page;
mod raw;
mod runlength;
#[cfg(test)]
mod tests;
mod text;
mod zstd;

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
    match id {
        EncodingId::Raw | EncodingId::RunLength | EncodingId::Zstd => true,
        EncodingId::Az64 => matches!(stored, Stored::I16 | Stored::I32 | Stored::I64 | Stored::I128),
        EncodingId::ByteDict => stored != Stored::Bool,
        EncodingId::Fsst => stored == Stored::Bytes,
    }
}

/// Whether a column of type `ty` may be declared `ENCODE name` (Redshift manual, "Compression encodings").
///
/// Errors: Invalid when the type does not have the encoding; Unsupported when Redshift has it and Blueshift does not
/// store it.
pub fn allowed(name: EncodingName, ty: SqlType) -> Result<()> {
    if !has_encoding(name, ty) {
        let names: Vec<String> = EncodingName::ALL
            .into_iter()
            .filter(|other| has_encoding(*other, ty) && instead_of(*other).is_none())
            .map(|other| other.as_str().to_ascii_uppercase())
            .collect();
        return Err(Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            format!("encoding {name} does not exist for type {ty}"),
        )
        .with_hint(format!("a column of this type can have {}", names.join(", "))));
    }
    match instead_of(name) {
        None => Ok(()),
        Some(other) => Err(Error::unsupported(format!("encoding {name} is not stored yet"))
            .with_hint(format!("use {other} instead, or AUTO"))),
    }
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
        EncodingName::Fsst => text,
    }
}

/// What to use instead of an encoding that is not stored.
fn instead_of(name: EncodingName) -> Option<&'static str> {
    match name {
        EncodingName::Delta
        | EncodingName::Delta32k
        | EncodingName::Mostly8
        | EncodingName::Mostly16
        | EncodingName::Mostly32 => Some("AZ64"),
        EncodingName::Lzo => Some("ZSTD"),
        EncodingName::Text255 | EncodingName::Text32k => Some("FSST or BYTEDICT"),
        EncodingName::Auto
        | EncodingName::Raw
        | EncodingName::Az64
        | EncodingName::ByteDict
        | EncodingName::RunLength
        | EncodingName::Zstd
        | EncodingName::Fsst => None,
    }
}

/// The stored encoding of a name that is one.
fn stored_encoding(name: EncodingName) -> Option<EncodingId> {
    Some(match name {
        EncodingName::Raw => EncodingId::Raw,
        EncodingName::Az64 => EncodingId::Az64,
        EncodingName::ByteDict => EncodingId::ByteDict,
        EncodingName::RunLength => EncodingId::RunLength,
        EncodingName::Zstd => EncodingId::Zstd,
        EncodingName::Fsst => EncodingId::Fsst,
        _ => return None,
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
