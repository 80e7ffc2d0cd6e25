//! What is stored of a table's statistics: one immutable object.

use std::collections::BTreeMap;

use super::bytes::{MAX_COLUMNS, read_count};
use super::distribution::Distribution;
use super::segment::{ColumnSketch, SegmentSketches};
use super::sketch::DistinctSketch;
use crate::common::{ColumnId, Error, Result};
use crate::format::bytes::{Reader, WriteLe};

/// The first bytes of a table's statistics.
pub const MAGIC: [u8; 8] = *b"BLUESTAT";
/// The version of their layout; another says nothing to this build.
pub const VERSION: u16 = 1;
/// Bytes before the columns.
pub const HEADER_BYTES: usize = 16;
/// Bytes of a table's statistics, at most: those of twice as many columns as a table can have.
pub const MAX_BYTES: u64 = 128 << 20;

/// Statistics of a table's columns. Rows, NULLs, minima and maxima are not among them: the catalog knows those of every
/// version.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TableStatistics {
    pub columns: BTreeMap<ColumnId, ColumnStatistics>,
}

/// What is known of one column; each part may be missing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ColumnStatistics {
    /// Of the rows that segments' footers tell of.
    pub sketch: Option<ColumnSketch>,
    /// Of the rows that the table had when it was analyzed.
    pub distribution: Option<Distribution>,
    /// How queries used it, as far as was noticed.
    pub used: Option<Use>,
}

/// When and how queries used a column. Times are microseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    pub first_us: i64,
    pub last_us: i64,
    /// The bits [`Use::FILTER`], [`Use::JOIN`] and [`Use::GROUP`].
    pub how: u8,
}

impl Use {
    pub const FILTER: u8 = 1;
    pub const JOIN: u8 = 2;
    pub const GROUP: u8 = 4;

    /// Both uses together.
    pub fn merge(self, other: Use) -> Use {
        Use {
            first_us: self.first_us.min(other.first_us),
            last_us: self.last_us.max(other.last_us),
            how: self.how | other.how,
        }
    }
}

impl TableStatistics {
    /// Adds what segments' footers tell.
    pub fn add(&mut self, sketches: &SegmentSketches) {
        for (id, theirs) in &sketches.columns {
            let sketch = &mut self.columns.entry(*id).or_default().sketch;
            match sketch {
                Some(sketch) => sketch.merge(theirs),
                None => *sketch = Some(theirs.clone()),
            }
        }
    }

    /// The bytes of its object.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_varint(self.columns.len() as u64);
        for (id, column) in &self.columns {
            body.put_varint(u64::from(id.0));
            let flag = |set: bool, bit: u8| u8::from(set) << bit;
            body.put_u8(
                flag(column.sketch.is_some(), 0)
                    | flag(column.distribution.is_some(), 1)
                    | flag(column.used.is_some(), 2),
            );
            if let Some(sketch) = &column.sketch {
                body.put_varint(sketch.rows);
                body.put_varint(sketch.payload);
                sketch.distinct.write(&mut body);
            }
            if let Some(distribution) = &column.distribution {
                distribution.write(&mut body);
            }
            if let Some(used) = &column.used {
                body.put_signed_varint(used.first_us);
                body.put_signed_varint(used.last_us);
                body.put_u8(used.how);
            }
        }
        let mut out = MAGIC.to_vec();
        out.put_u16(VERSION);
        out.put_u16(0);
        out.put_u32(crc32c::crc32c(&body));
        out.append(&mut body);
        out
    }

    /// Reads what [`TableStatistics::encode`] wrote.
    ///
    /// Errors: Corrupt when the bytes are damaged, Unsupported when a later version wrote them.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        if reader.take(8)? != MAGIC {
            return Err(Error::corrupt(0, "no statistics"));
        }
        let (version, _reserved, crc) = (reader.u16()?, reader.u16()?, reader.u32()?);
        if version != VERSION {
            return Err(Error::unsupported(format!("statistics of version {version}")));
        }
        if crc32c::crc32c(&bytes[HEADER_BYTES..]) != crc {
            return Err(Error::corrupt(HEADER_BYTES as u64, "checksum mismatch"));
        }
        let count = read_count(&mut reader, MAX_COLUMNS)?;
        let mut columns = BTreeMap::new();
        for _ in 0..count {
            let id = u32::try_from(reader.varint()?).map_err(|_| reader.corrupt("an impossible column"))?;
            let flags = reader.u8()?;
            if flags & !7 != 0 {
                return Err(reader.corrupt(format!("unknown flags {flags:#x} of a column")));
            }
            let mut column = ColumnStatistics::default();
            if flags & 1 != 0 {
                let (rows, payload) = (reader.varint()?, reader.varint()?);
                column.sketch = Some(ColumnSketch { distinct: DistinctSketch::read(&mut reader)?, rows, payload });
            }
            if flags & 2 != 0 {
                column.distribution = Some(Distribution::read(&mut reader)?);
            }
            if flags & 4 != 0 {
                let (first_us, last_us) = (reader.signed_varint()?, reader.signed_varint()?);
                column.used = Some(Use { first_us, last_us, how: reader.u8()? });
            }
            if columns.insert(ColumnId(id), column).is_some() {
                return Err(reader.corrupt("a column appears twice"));
            }
        }
        reader.finish("the statistics")?;
        Ok(TableStatistics { columns })
    }
}
