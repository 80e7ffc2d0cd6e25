//! The words of table layout: distribution styles, sort keys, encoding names.

use std::fmt;
use std::str::FromStr;

use super::error::{Error, Result, SqlState};
use super::ids::ColumnId;

/// How a table's rows are spread over slices (Redshift manual, "Data distribution styles").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DistStyle {
    /// Blueshift chooses between ALL, KEY and EVEN by the table's size.
    Auto,
    /// Rows go to the slices in turn.
    Even,
    /// A row goes to the slice that the hash of this column names.
    Key(ColumnId),
    /// Every slice can read every row.
    All,
}

/// COMPOUND orders by the columns in turn; INTERLEAVED weighs them equally: rows follow the Z-order of their columns' ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortStyle {
    Compound,
    Interleaved,
}

/// The order of a table's rows within a run of a slice. In a compound key each column ascends, NULL last; rows in the order
/// of an interleaved one ascend by none of its columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SortKey {
    pub style: SortStyle,
    /// At least one, none twice.
    pub columns: Vec<ColumnId>,
}

impl SortKey {
    /// Columns of an interleaved key, at most (Redshift manual, "CREATE TABLE").
    pub const MAX_INTERLEAVED: usize = 8;

    /// The columns by which each run's rows ascend in turn; none for an interleaved key.
    pub fn ascending(&self) -> &[ColumnId] {
        match self.style {
            SortStyle::Compound => &self.columns,
            SortStyle::Interleaved => &[],
        }
    }
}

/// An encoding as SQL names it. Not every name has a stored form of its own: see `format::encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EncodingName {
    /// Chosen per chunk by what a sample compresses best with.
    Auto,
    Raw,
    Az64,
    ByteDict,
    Delta,
    Delta32k,
    Lzo,
    Mostly8,
    Mostly16,
    Mostly32,
    RunLength,
    Text255,
    Text32k,
    Zstd,
    /// Blueshift's own name, as the two after it are; Redshift has no such encoding.
    Fsst,
    FsstDict,
    Alp,
}

impl EncodingName {
    /// Every name, in the order of the manual, then our own.
    pub const ALL: [EncodingName; 17] = [
        EncodingName::Auto,
        EncodingName::Raw,
        EncodingName::Az64,
        EncodingName::ByteDict,
        EncodingName::Delta,
        EncodingName::Delta32k,
        EncodingName::Lzo,
        EncodingName::Mostly8,
        EncodingName::Mostly16,
        EncodingName::Mostly32,
        EncodingName::RunLength,
        EncodingName::Text255,
        EncodingName::Text32k,
        EncodingName::Zstd,
        EncodingName::Fsst,
        EncodingName::FsstDict,
        EncodingName::Alp,
    ];

    /// A number for catalogs that hold numbers: 0 for RAW, -1 for AUTO, others our own choice.
    pub fn number(self) -> i16 {
        Self::ALL.into_iter().zip(-1..).find_map(|(name, number)| (name == self).then_some(number)).unwrap_or_default()
    }

    /// The lower-case word that SQL uses.
    pub fn as_str(self) -> &'static str {
        match self {
            EncodingName::Auto => "auto",
            EncodingName::Raw => "raw",
            EncodingName::Az64 => "az64",
            EncodingName::ByteDict => "bytedict",
            EncodingName::Delta => "delta",
            EncodingName::Delta32k => "delta32k",
            EncodingName::Lzo => "lzo",
            EncodingName::Mostly8 => "mostly8",
            EncodingName::Mostly16 => "mostly16",
            EncodingName::Mostly32 => "mostly32",
            EncodingName::RunLength => "runlength",
            EncodingName::Text255 => "text255",
            EncodingName::Text32k => "text32k",
            EncodingName::Zstd => "zstd",
            EncodingName::Fsst => "fsst",
            EncodingName::FsstDict => "fsstdict",
            EncodingName::Alp => "alp",
        }
    }
}

impl fmt::Display for EncodingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EncodingName {
    type Err = Error;

    /// Case-insensitive. `NONE` is Redshift's older word for RAW.
    fn from_str(word: &str) -> Result<Self> {
        let lower = word.to_ascii_lowercase();
        if lower == "none" {
            return Ok(EncodingName::Raw);
        }
        EncodingName::ALL.into_iter().find(|name| name.as_str() == lower).ok_or_else(|| {
            let known = EncodingName::ALL.map(|n| n.as_str().to_ascii_uppercase()).join(", ");
            Error::invalid(SqlState::INVALID_TABLE_DEFINITION, format!("unknown encoding \"{word}\""))
                .with_hint(format!("encodings are {known}"))
        })
    }
}
