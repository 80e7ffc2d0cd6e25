//! Reading a segment's footer: which bytes hold which rows, and what its zones are known to hold.

use std::sync::OnceLock;

use bytes::Bytes;

use super::bytes::Reader;
use super::stable::{
    EncodingId, Geometry, KNOWN_FEATURES, SECTION_ENTRY_BYTES, SECTION_REQUIRED, SEGMENT_MAGIC, SEGMENT_VERSION,
    SectionKind, TRAILER_BYTES, stored_from_byte,
};
use super::zone_map::{ZoneStats, read_section};
use crate::common::{ColumnId, Error, ErrorKind, Result, SqlType, Stored};

/// A segment's footer, checked. Sections are read when first asked for.
///
/// Guarantees:
/// 1. the section table and trailer match their checksum, every section lies within the footer;
/// 2. `rows` is at least 1 and at most what the geometry lets a segment hold.
#[derive(Debug)]
pub struct SegmentFooter {
    geometry: Geometry,
    rows: u32,
    slice: u32,
    /// Bytes before the footer.
    data_len: u64,
    bytes: Bytes,
    columns: Vec<ColumnSections>,
    sketches: Option<Section>,
}

#[derive(Debug, Default)]
struct ColumnSections {
    directory_section: Option<Section>,
    zone_map_section: Option<Section>,
    directory: OnceLock<ColumnDirectory>,
    zone_map: OnceLock<Vec<ZoneStats>>,
}

#[derive(Debug, Clone, Copy)]
struct Section {
    offset: u32,
    len: u32,
    crc: u32,
}

/// Where one column's blocks, dictionaries and pages stand in the segment.
///
/// Guarantees: every range lies before the footer; there are as many chunks, and as many pages in each, as the
/// segment's rows need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDirectory {
    pub id: ColumnId,
    pub stored: Stored,
    /// Where in the segment the directory begins.
    pub at: u64,
    pub blocks: Vec<Range>,
    pub chunks: Vec<ChunkDirectory>,
}

/// One chunk of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkDirectory {
    pub encoding: EncodingId,
    pub dictionary: Option<CheckedRange>,
    /// One page a zone, each directly after the one before.
    pub pages: Vec<CheckedRange>,
}

/// Bytes of the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub offset: u64,
    pub len: u32,
}

/// Bytes of the segment that are read together, with their crc32c.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedRange {
    pub range: Range,
    pub crc: u32,
}

impl ColumnDirectory {
    /// Fails as Corrupt (offset within the segment) unless the column can be read as values of `sql_type`.
    pub fn check_type(&self, sql_type: SqlType) -> Result<()> {
        if self.stored == sql_type.stored() {
            return Ok(());
        }
        Err(Error::corrupt(
            self.at,
            format!("column {} holds {:?} values, not those of {sql_type}", self.id.0, self.stored),
        ))
    }
}

impl CheckedRange {
    /// Fails as Corrupt (offset within the segment) unless `bytes` are what was written.
    pub fn check(&self, bytes: &[u8]) -> Result<()> {
        if bytes.len() != self.range.len as usize {
            return Err(Error::corrupt(
                self.range.offset,
                format!("{} bytes where {} were written", bytes.len(), self.range.len),
            ));
        }
        if crc32c::crc32c(bytes) != self.crc {
            return Err(Error::corrupt(self.range.offset, "checksum mismatch"));
        }
        Ok(())
    }
}

impl SegmentFooter {
    /// From the last `bytes.len()` bytes of a segment of `segment_len` bytes, which hold at least the footer.
    ///
    /// Errors: Corrupt, with the offset within the segment; Unsupported when a newer version wrote it.
    pub fn open(bytes: Bytes, segment_len: u64) -> Result<Self> {
        let base = segment_len.saturating_sub(bytes.len() as u64);
        Self::parse(bytes, segment_len).map_err(|e| shift(e, base))
    }

    fn parse(bytes: Bytes, segment_len: u64) -> Result<Self> {
        if bytes.len() < TRAILER_BYTES || bytes.len() as u64 > segment_len {
            return Err(Error::corrupt(0, format!("{} bytes cannot end a segment", bytes.len())));
        }
        let trailer_at = bytes.len() - TRAILER_BYTES;
        let corrupt = |what: String| Error::corrupt(trailer_at as u64, what);
        let mut r = Reader::new(&bytes[trailer_at..]);
        let sections = r.u32()? as usize;
        let (zone_rows, chunk_rows, rows, slice) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
        let (required, _optional) = (r.u64()?, r.u64()?);
        let (version, _reserved) = (r.u16()?, r.u16()?);
        let footer_len = r.u32()? as usize;
        let crc = r.u32()?;
        if r.take(8)? != SEGMENT_MAGIC {
            return Err(corrupt("not a segment".into()));
        }
        let table_len = sections.saturating_mul(SECTION_ENTRY_BYTES);
        let Some(table_at) = trailer_at.checked_sub(table_len) else {
            return Err(corrupt(format!("{sections} sections do not fit the footer")));
        };
        if crc32c::crc32c(&bytes[table_at..bytes.len() - 12]) != crc {
            return Err(corrupt("footer checksum mismatch".into()));
        }
        if version > SEGMENT_VERSION || required & !KNOWN_FEATURES != 0 {
            return Err(newer(format!("segment version {version}, required features {required:#x}")));
        }
        let Some(footer_at) = bytes.len().checked_sub(footer_len) else {
            return Err(corrupt(format!("a footer of {footer_len} bytes is not within the segment")));
        };
        if footer_at > table_at {
            return Err(corrupt("the footer is shorter than its table".into()));
        }
        let geometry = Geometry::new(zone_rows, chunk_rows).map_err(|e| corrupt(e.message().to_string()))?;
        if rows == 0 || rows as usize > geometry.segment_rows() {
            return Err(corrupt(format!("{rows} rows")));
        }
        let (columns, sketches) = read_section_table(&bytes[table_at..trailer_at], table_at - footer_at)
            .map_err(|e| shift(e, table_at as u64))?;
        Ok(SegmentFooter {
            geometry,
            rows,
            slice,
            data_len: segment_len - footer_len as u64,
            bytes: bytes.slice(footer_at..),
            columns,
            sketches,
        })
    }

    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    pub fn slice(&self) -> u32 {
        self.slice
    }

    pub fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// Bytes held in memory.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len() * 4
    }

    pub fn chunks(&self) -> usize {
        self.rows().div_ceil(self.geometry.chunk_rows())
    }

    /// Rows of chunk `chunk`.
    pub fn chunk_rows(&self, chunk: usize) -> usize {
        self.geometry.chunk_rows().min(self.rows() - chunk * self.geometry.chunk_rows())
    }

    /// Zones of the whole segment.
    pub fn zones(&self) -> usize {
        self.rows().div_ceil(self.geometry.zone_rows())
    }

    /// Rows of zone `zone`, counted over the segment.
    pub fn zone_rows(&self, zone: usize) -> usize {
        self.geometry.zone_rows().min(self.rows() - zone * self.geometry.zone_rows())
    }

    /// The ordinal of the column `id`; `None` when it was added after the segment was written.
    pub fn ordinal_of(&self, id: ColumnId) -> Result<Option<usize>> {
        for ordinal in 0..self.columns.len() {
            if self.directory(ordinal)?.id == id {
                return Ok(Some(ordinal));
            }
        }
        Ok(None)
    }

    /// The directory of the `ordinal`-th column.
    pub fn directory(&self, ordinal: usize) -> Result<&ColumnDirectory> {
        let column = &self.columns[ordinal];
        if let Some(directory) = column.directory.get() {
            return Ok(directory);
        }
        let (bytes, base) = self.section(column.directory_section, "directory")?;
        let directory = self.read_directory(bytes, base).map_err(|e| shift(e, base))?;
        Ok(column.directory.get_or_init(|| directory))
    }

    /// The zone map of the `ordinal`-th column, one entry a zone of the segment.
    pub fn zone_map(&self, ordinal: usize) -> Result<&[ZoneStats]> {
        let stored = self.directory(ordinal)?.stored;
        let column = &self.columns[ordinal];
        if let Some(zones) = column.zone_map.get() {
            return Ok(zones);
        }
        let (bytes, base) = self.section(column.zone_map_section, "zone map")?;
        let zones =
            read_section(bytes, stored, self.zones(), |zone| self.zone_rows(zone)).map_err(|e| shift(e, base))?;
        Ok(column.zone_map.get_or_init(|| zones))
    }

    /// The section of sketches, if there is one.
    ///
    /// Errors: Corrupt, which makes nothing else of the segment unreadable.
    pub fn sketches(&self) -> Result<Option<&[u8]>> {
        match self.sketches {
            Some(section) => self.section(Some(section), "section of sketches").map(|(bytes, _)| Some(bytes)),
            None => Ok(None),
        }
    }

    /// Makes the footer lie from now on, to show what notices. The zone map must not have been asked for yet.
    #[cfg(test)]
    pub fn alter_zone_map(&self, ordinal: usize, alter: impl Fn(&mut ZoneStats)) -> Result<()> {
        let stored = self.directory(ordinal)?.stored;
        let (bytes, _) = self.section(self.columns[ordinal].zone_map_section, "zone map")?;
        let mut zones = read_section(bytes, stored, self.zones(), |zone| self.zone_rows(zone))?;
        zones.iter_mut().for_each(alter);
        let unread = self.columns[ordinal].zone_map.set(zones);
        unread.map_err(|_| Error::internal("the zone map was read before"))
    }

    /// A section's bytes, checked, and where in the segment they begin.
    fn section(&self, section: Option<Section>, what: &str) -> Result<(&[u8], u64)> {
        let Some(section) = section else {
            return Err(Error::corrupt(self.data_len, format!("a column without its {what}")));
        };
        let at = section.offset as usize;
        let bytes = &self.bytes[at..at + section.len as usize];
        let base = self.data_len + u64::from(section.offset);
        if crc32c::crc32c(bytes) != section.crc {
            return Err(Error::corrupt(base, format!("{what} checksum mismatch")));
        }
        Ok((bytes, base))
    }

    fn read_directory(&self, bytes: &[u8], at: u64) -> Result<ColumnDirectory> {
        let mut r = Reader::new(bytes);
        let id = ColumnId(r.u32()?);
        let stored = r.u8()?;
        let Some(stored) = stored_from_byte(stored) else {
            return Err(newer(format!("stored form {stored}")));
        };
        let within = |r: &Reader<'_>, offset: u64, len: u32| match offset.checked_add(u64::from(len)) {
            Some(end) if end <= self.data_len => Ok(Range { offset, len }),
            _ => Err(r.corrupt(format!("{len} bytes at {offset} are not within the segment"))),
        };
        let count = r.len_u32(bytes.len() / 12, "block count")?;
        let mut blocks = Vec::with_capacity(count);
        for _ in 0..count {
            let (offset, len) = (r.u64()?, r.u32()?);
            blocks.push(within(&r, offset, len)?);
        }
        let count = r.u32()? as usize;
        if count != self.chunks() {
            return Err(r.corrupt(format!("{count} chunks where the rows need {}", self.chunks())));
        }
        let mut chunks = Vec::with_capacity(count);
        for chunk in 0..count {
            let encoding = r.u8()?;
            let Some(encoding) = EncodingId::from_byte(encoding) else {
                return Err(newer(format!("encoding {encoding}")));
            };
            let dictionary = match r.u8()? {
                0 => None,
                1 => {
                    let (offset, len, crc) = (r.u64()?, r.u32()?, r.u32()?);
                    Some(CheckedRange { range: within(&r, offset, len)?, crc })
                }
                other => return Err(r.corrupt(format!("unknown chunk flags {other:#x}"))),
            };
            let mut offset = r.u64()?;
            let zones = usize::from(r.u16()?);
            if zones != self.chunk_rows(chunk).div_ceil(self.geometry.zone_rows()) {
                return Err(r.corrupt(format!("{zones} pages in a chunk of {} rows", self.chunk_rows(chunk))));
            }
            let mut pages = Vec::with_capacity(zones);
            for _ in 0..zones {
                let (len, crc) = (r.u32()?, r.u32()?);
                let range = within(&r, offset, len)?;
                pages.push(CheckedRange { range, crc });
                offset += u64::from(len);
            }
            chunks.push(ChunkDirectory { encoding, dictionary, pages });
        }
        r.finish("the directory")?;
        Ok(ColumnDirectory { id, stored, at, blocks, chunks })
    }
}

/// Sections by column, and that of sketches; every section ends before `sections_len`.
fn read_section_table(table: &[u8], sections_len: usize) -> Result<(Vec<ColumnSections>, Option<Section>)> {
    let mut r = Reader::new(table);
    let mut columns: Vec<ColumnSections> = Vec::new();
    let mut sketches = None;
    while !r.is_empty() {
        let (kind, flags) = (r.u16()?, r.u16()?);
        let ordinal = r.u32()? as usize;
        let (offset, len, crc) = (r.u32()?, r.u32()?, r.u32()?);
        if (offset as usize).saturating_add(len as usize) > sections_len {
            return Err(r.corrupt("a section reaches beyond the footer"));
        }
        if kind == SectionKind::Sketches as u16 {
            // Of several, the first: they are for nothing that must be right.
            sketches.get_or_insert(Section { offset, len, crc });
            continue;
        }
        let known = [SectionKind::Directory, SectionKind::ZoneMap].into_iter().find(|k| *k as u16 == kind);
        let Some(kind) = known else {
            if flags & SECTION_REQUIRED != 0 {
                return Err(newer(format!("section kind {kind}")));
            }
            continue;
        };
        // Columns come in order, each with at least one section, so a table of n entries names at most n columns.
        if ordinal > columns.len() {
            return Err(r.corrupt(format!("section of column {ordinal} after {} columns", columns.len())));
        }
        if ordinal == columns.len() {
            columns.push(ColumnSections::default());
        }
        let slot = match kind {
            SectionKind::ZoneMap => &mut columns[ordinal].zone_map_section,
            _ => &mut columns[ordinal].directory_section,
        };
        if slot.replace(Section { offset, len, crc }).is_some() {
            return Err(r.corrupt(format!("column {ordinal} has two sections of one kind")));
        }
    }
    Ok((columns, sketches))
}

fn newer(what: String) -> Error {
    Error::unsupported(format!("the segment was written by a newer version ({what})"))
        .with_hint("open the warehouse with that version of Blueshift or a later one")
}

/// Moves a Corrupt error's offset by `base`.
fn shift(error: Error, base: u64) -> Error {
    if error.kind() == ErrorKind::Corrupt && error.object().is_none() {
        let offset = error.offset().unwrap_or(0).saturating_add(base);
        Error::corrupt(offset, error.message())
    } else {
        error
    }
}
