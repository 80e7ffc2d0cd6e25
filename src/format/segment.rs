//! Building a segment: column-chunks in, bytes out.
//!
//! ```text
//! segment := blocks of the first column, … of the last, footer
//! footer  := sections, section table, trailer
//! ```
//!
//! A column's bytes are its chunks in order, a chunk's dictionary (where new) directly before its pages. Blocks are
//! ranges of those bytes that end at a page's end.

use bytes::Bytes;

use super::bytes::WriteLe;
use super::column::Column;
use super::encoding::{ChunkEncoder, DictionaryUse};
use super::stable::{
    BLOCK_BYTES, EncodingId, Geometry, KNOWN_FEATURES, SECTION_REQUIRED, SEGMENT_MAGIC, SEGMENT_VERSION, SectionKind,
    TRAILER_BYTES, stored_byte,
};
use super::zone_map::{ZoneStats, write_section, zone_stats};
use crate::common::{Bounds, ColumnId, EncodingName, Error, Result, SqlType};

/// A column that a segment is to hold.
#[derive(Debug, Clone, Copy)]
pub struct ColumnSpec {
    pub id: ColumnId,
    pub sql_type: SqlType,
    pub encoding: EncodingName,
}

/// A finished segment.
#[derive(Debug, Clone)]
pub struct FinishedSegment {
    /// The segment's bytes in order.
    pub parts: Vec<Bytes>,
    pub len: u64,
    pub footer_len: u32,
    pub rows: u32,
    /// Per column: its bounds and encoded bytes.
    pub columns: Vec<(ColumnId, Bounds, u64)>,
}

/// A chunk of a column for a [`SegmentBuilder`].
#[derive(Debug)]
pub enum ChunkColumn {
    /// To be encoded.
    Values(Column),
    /// As another segment of the same geometry has it.
    Encoded(EncodedChunk),
}

/// A column's chunk as a segment has it.
#[derive(Debug, Clone)]
pub struct EncodedChunk {
    pub encoding: EncodingId,
    /// Where it stood, which is the same for chunks that share it, and its bytes.
    pub dictionary: Option<(u64, Bytes)>,
    /// One a zone, each checked.
    pub pages: Vec<Bytes>,
    /// One a zone.
    pub zones: Vec<ZoneStats>,
    pub rows: usize,
}

impl ChunkColumn {
    fn rows(&self) -> usize {
        match self {
            ChunkColumn::Values(column) => column.len(),
            ChunkColumn::Encoded(chunk) => chunk.rows,
        }
    }
}

/// Builds segments of one slice, one after another.
///
/// Encoders live as long as the builder, so that what AUTO chose for the first chunk serves the whole load.
#[derive(Debug)]
pub struct SegmentBuilder {
    geometry: Geometry,
    slice: u32,
    columns: Vec<ColumnWriter>,
    rows: usize,
    chunks: usize,
}

impl SegmentBuilder {
    pub fn new(geometry: Geometry, slice: u32, columns: &[ColumnSpec]) -> Self {
        let columns = columns.iter().map(|spec| ColumnWriter::new(*spec, geometry)).collect();
        SegmentBuilder { geometry, slice, columns, rows: 0, chunks: 0 }
    }

    /// Of a small table: AUTO chooses among light encodings ([`SMALL_TABLE_BYTES`](super::encoding::SMALL_TABLE_BYTES)).
    pub fn light(mut self, light: bool) -> Self {
        self.columns.iter_mut().for_each(|column| column.encoder.set_light(light));
        self
    }

    /// Rows taken since the last [`SegmentBuilder::finish`].
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn is_full(&self) -> bool {
        self.chunks == Geometry::CHUNKS_PER_SEGMENT as usize
    }

    /// Encoded bytes held.
    pub fn buffered_bytes(&self) -> usize {
        self.columns.iter().map(|c| c.bytes.len()).sum()
    }

    /// Takes the next chunk: per column as many rows, `chunk_rows` of them unless it is the segment's last.
    pub fn push_chunk(&mut self, chunk: &[Column]) -> Result<()> {
        self.check(chunk.iter().map(Column::len))?;
        for (writer, column) in self.columns.iter_mut().zip(chunk) {
            writer.push(column, self.geometry)?;
        }
        self.took(chunk.first().map_or(0, Column::len));
        Ok(())
    }

    /// The same where some columns are encoded already.
    pub fn push_mixed(&mut self, chunk: &[ChunkColumn]) -> Result<()> {
        self.check(chunk.iter().map(ChunkColumn::rows))?;
        for (writer, column) in self.columns.iter_mut().zip(chunk) {
            match column {
                ChunkColumn::Values(column) => writer.push(column, self.geometry)?,
                ChunkColumn::Encoded(encoded) => writer.push_encoded(encoded, self.geometry)?,
            }
        }
        self.took(chunk.first().map_or(0, ChunkColumn::rows));
        Ok(())
    }

    fn check(&self, mut rows_of: impl ExactSizeIterator<Item = usize>) -> Result<()> {
        let columns = rows_of.len();
        let rows = rows_of.next().unwrap_or(0);
        let fits = columns == self.columns.len()
            && rows_of.all(|other| other == rows)
            && rows > 0
            && rows <= self.geometry.chunk_rows()
            && !self.is_full()
            && self.rows == self.chunks * self.geometry.chunk_rows();
        match fits {
            true => Ok(()),
            false => Err(Error::internal(format!(
                "a chunk of {rows} rows and {columns} columns after {} rows of {} columns",
                self.rows,
                self.columns.len()
            ))),
        }
    }

    fn took(&mut self, rows: usize) {
        self.rows += rows;
        self.chunks += 1;
    }

    /// The segment of the rows taken, after which the next one begins.
    pub fn finish(&mut self) -> Result<FinishedSegment> {
        self.finish_with(None)
    }

    /// The same, with a section of sketches, which readers may pass over.
    pub fn finish_with(&mut self, sketches: Option<&[u8]>) -> Result<FinishedSegment> {
        let mut parts = Vec::with_capacity(self.columns.len() + 1);
        let mut summary = Vec::with_capacity(self.columns.len());
        let mut footer = Footer::default();
        let mut offset = 0u64;
        for (ordinal, column) in self.columns.iter_mut().enumerate() {
            let finished = column.finish();
            footer.required(SectionKind::Directory, ordinal, |out| finished.write_directory(offset, out));
            footer.required(SectionKind::ZoneMap, ordinal, |out| {
                write_section(&finished.zones, column.spec.sql_type.stored(), out)
            });
            let bounds = finished.zones.iter().fold(Bounds::empty(), |all, zone| all.merge(&zone.bounds));
            let len = finished.bytes.len() as u64;
            summary.push((column.spec.id, bounds, len));
            parts.push(Bytes::from(finished.bytes));
            offset += len;
        }
        if let Some(sketches) = sketches {
            footer.section(SectionKind::Sketches, 0, 0, |out| out.extend_from_slice(sketches));
        }
        let footer = footer.finish(self.geometry, self.rows as u32, self.slice);
        let footer_len = footer.len() as u32;
        parts.push(Bytes::from(footer));
        let finished = FinishedSegment {
            parts,
            len: offset + u64::from(footer_len),
            footer_len,
            rows: self.rows as u32,
            columns: summary,
        };
        self.rows = 0;
        self.chunks = 0;
        Ok(finished)
    }
}

#[derive(Debug)]
struct ColumnWriter {
    spec: ColumnSpec,
    encoder: ChunkEncoder,
    bytes: Vec<u8>,
    /// Where the present block began.
    block_start: usize,
    blocks: Vec<(u64, u32)>,
    chunks: Vec<WrittenChunk>,
    /// The dictionary that the segment's next chunks may share.
    dictionary: Option<WrittenRange>,
    /// The one of chunks that came encoded, by where it stood.
    taken: Option<(u64, WrittenRange)>,
    zones: Vec<ZoneStats>,
}

/// One column of a finished segment.
struct FinishedColumn {
    spec: ColumnSpec,
    bytes: Vec<u8>,
    blocks: Vec<(u64, u32)>,
    chunks: Vec<WrittenChunk>,
    zones: Vec<ZoneStats>,
}

#[derive(Debug, Clone, Copy)]
struct WrittenRange {
    offset: u64,
    len: u32,
    crc: u32,
}

#[derive(Debug)]
struct WrittenChunk {
    encoding: u8,
    dictionary: Option<WrittenRange>,
    first_page: u64,
    pages: Vec<(u32, u32)>,
}

impl ColumnWriter {
    fn new(spec: ColumnSpec, geometry: Geometry) -> Self {
        ColumnWriter {
            spec,
            encoder: ChunkEncoder::new(spec.sql_type.stored(), spec.encoding, geometry),
            bytes: Vec::new(),
            block_start: 0,
            blocks: Vec::new(),
            chunks: Vec::new(),
            dictionary: None,
            taken: None,
            zones: Vec::new(),
        }
    }

    fn push(&mut self, column: &Column, geometry: Geometry) -> Result<()> {
        if self.chunks.is_empty() {
            self.encoder.start_segment();
        }
        let encoded = self.encoder.encode(column)?;
        let dictionary = match encoded.dictionary {
            DictionaryUse::None => None,
            DictionaryUse::New(bytes) => {
                self.dictionary = Some(self.append(&bytes));
                self.dictionary
            }
            DictionaryUse::Shared => self.dictionary,
        };
        let first_page = self.bytes.len() as u64;
        let mut pages = Vec::with_capacity(encoded.pages.len());
        for page in &encoded.pages {
            let range = self.append(page);
            pages.push((range.len, range.crc));
        }
        self.chunks.push(WrittenChunk { encoding: encoded.encoding as u8, dictionary, first_page, pages });
        for start in (0..column.len()).step_by(geometry.zone_rows()) {
            let rows = geometry.zone_rows().min(column.len() - start);
            self.zones.push(zone_stats(&column.slice(start, rows)));
        }
        Ok(())
    }

    fn push_encoded(&mut self, chunk: &EncodedChunk, geometry: Geometry) -> Result<()> {
        let zones = chunk.rows.div_ceil(geometry.zone_rows());
        if chunk.pages.len() != zones || chunk.zones.len() != zones {
            return Err(Error::internal(format!("{} pages of {zones} zones", chunk.pages.len())));
        }
        let dictionary = match (&chunk.dictionary, self.taken) {
            (None, _) => None,
            (Some((at, _)), Some((taken, range))) if *at == taken => Some(range),
            (Some((at, bytes)), _) => {
                let range = self.append(bytes);
                self.taken = Some((*at, range));
                Some(range)
            }
        };
        let first_page = self.bytes.len() as u64;
        let pages = chunk.pages.iter().map(|page| {
            let range = self.append(page);
            (range.len, range.crc)
        });
        let pages = pages.collect();
        self.chunks.push(WrittenChunk { encoding: chunk.encoding as u8, dictionary, first_page, pages });
        self.zones.extend(chunk.zones.iter().cloned());
        Ok(())
    }

    /// Appends a page or dictionary, closing the present block first when it would grow beyond its target.
    fn append(&mut self, bytes: &[u8]) -> WrittenRange {
        if self.bytes.len() > self.block_start && self.bytes.len() - self.block_start + bytes.len() > BLOCK_BYTES {
            self.close_block();
        }
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        WrittenRange { offset, len: bytes.len() as u32, crc: crc32c::crc32c(bytes) }
    }

    fn close_block(&mut self) {
        if self.bytes.len() > self.block_start {
            self.blocks.push((self.block_start as u64, (self.bytes.len() - self.block_start) as u32));
            self.block_start = self.bytes.len();
        }
    }

    fn finish(&mut self) -> FinishedColumn {
        self.close_block();
        self.block_start = 0;
        self.dictionary = None;
        self.taken = None;
        FinishedColumn {
            spec: self.spec,
            bytes: std::mem::take(&mut self.bytes),
            blocks: std::mem::take(&mut self.blocks),
            chunks: std::mem::take(&mut self.chunks),
            zones: std::mem::take(&mut self.zones),
        }
    }
}

impl FinishedColumn {
    /// The directory of a column whose bytes begin at `base` of the segment.
    fn write_directory(&self, base: u64, out: &mut Vec<u8>) {
        out.put_u32(self.spec.id.0);
        out.put_u8(stored_byte(self.spec.sql_type.stored()));
        out.put_u32(self.blocks.len() as u32);
        for (offset, len) in &self.blocks {
            out.put_u64(base + offset);
            out.put_u32(*len);
        }
        out.put_u32(self.chunks.len() as u32);
        for chunk in &self.chunks {
            out.put_u8(chunk.encoding);
            out.put_u8(u8::from(chunk.dictionary.is_some()));
            if let Some(range) = chunk.dictionary {
                out.put_u64(base + range.offset);
                out.put_u32(range.len);
                out.put_u32(range.crc);
            }
            out.put_u64(base + chunk.first_page);
            out.put_u16(chunk.pages.len() as u16);
            for (len, crc) in &chunk.pages {
                out.put_u32(*len);
                out.put_u32(*crc);
            }
        }
    }
}

/// Sections, then their table, then the trailer.
#[derive(Debug, Default)]
struct Footer {
    sections: Vec<u8>,
    table: Vec<u8>,
    count: u32,
}

impl Footer {
    fn required(&mut self, kind: SectionKind, ordinal: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.section(kind, SECTION_REQUIRED, ordinal, write);
    }

    fn section(&mut self, kind: SectionKind, flags: u16, ordinal: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.sections.len();
        write(&mut self.sections);
        let bytes = &self.sections[start..];
        self.table.put_u16(kind as u16);
        self.table.put_u16(flags);
        self.table.put_u32(ordinal as u32);
        self.table.put_u32(start as u32);
        self.table.put_u32(bytes.len() as u32);
        self.table.put_u32(crc32c::crc32c(bytes));
        self.count += 1;
    }

    fn finish(mut self, geometry: Geometry, rows: u32, slice: u32) -> Vec<u8> {
        let table_start = self.sections.len();
        self.sections.append(&mut self.table);
        let out = &mut self.sections;
        let footer_len = out.len() + TRAILER_BYTES;
        out.put_u32(self.count);
        out.put_u32(geometry.zone_rows() as u32);
        out.put_u32(geometry.chunk_rows() as u32);
        out.put_u32(rows);
        out.put_u32(slice);
        out.put_u64(KNOWN_FEATURES);
        out.put_u64(0);
        out.put_u16(SEGMENT_VERSION);
        out.put_u16(0);
        out.put_u32(footer_len as u32);
        out.put_u32(crc32c::crc32c(&out[table_start..]));
        out.extend_from_slice(&SEGMENT_MAGIC);
        debug_assert_eq!(out.len(), footer_len);
        self.sections
    }
}
