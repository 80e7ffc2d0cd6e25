//! Constants that stored bytes depend on. None may change; new ones may be added.

use crate::common::{Error, Result, SqlState};

/// Rows of a bit-packed vector (FastLanes: Afroozeh and Boncz, VLDB 2023).
pub const VECTOR_ROWS: usize = 1024;

/// How many rows stand in a zone and in a chunk.
///
/// Invariants:
/// 1. `zone_rows` is at least 1 and at most [`Geometry::MAX_ZONE_ROWS`];
/// 2. `chunk_rows` is a multiple of `zone_rows`, of at most [`Geometry::MAX_ZONES_PER_CHUNK`] zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    zone_rows: u32,
    chunk_rows: u32,
}

impl Geometry {
    /// Zone of 8,192 rows (DataFusion's batch), chunk of 16 zones.
    pub const DEFAULT: Geometry = Geometry { zone_rows: 8192, chunk_rows: 131_072 };
    /// Zone of 4, chunk of 16: small files have many zones, as tests want them.
    pub const TINY: Geometry = Geometry { zone_rows: 4, chunk_rows: 16 };
    /// Positions within a zone fit 16 bits.
    pub const MAX_ZONE_ROWS: u32 = 1 << 16;
    pub const MAX_ZONES_PER_CHUNK: u32 = 1 << 10;
    /// Chunks of a segment, at most.
    pub const CHUNKS_PER_SEGMENT: u32 = 16;

    pub fn new(zone_rows: u32, chunk_rows: u32) -> Result<Self> {
        let bad = |why: &str| Err(Error::invalid(SqlState::INVALID_PARAMETER, format!("block geometry: {why}")));
        if zone_rows == 0 || zone_rows > Self::MAX_ZONE_ROWS {
            return bad(&format!("zone_rows {zone_rows} must be between 1 and {}", Self::MAX_ZONE_ROWS));
        }
        if chunk_rows == 0 || !chunk_rows.is_multiple_of(zone_rows) {
            return bad(&format!("chunk_rows {chunk_rows} must be a multiple of zone_rows {zone_rows}"));
        }
        if chunk_rows / zone_rows > Self::MAX_ZONES_PER_CHUNK {
            return bad(&format!("a chunk may hold at most {} zones", Self::MAX_ZONES_PER_CHUNK));
        }
        Ok(Geometry { zone_rows, chunk_rows })
    }

    pub fn zone_rows(self) -> usize {
        self.zone_rows as usize
    }

    pub fn chunk_rows(self) -> usize {
        self.chunk_rows as usize
    }

    pub fn zones_per_chunk(self) -> usize {
        (self.chunk_rows / self.zone_rows) as usize
    }

    /// The most rows a segment holds.
    pub fn segment_rows(self) -> usize {
        self.chunk_rows() * Self::CHUNKS_PER_SEGMENT as usize
    }
}

impl Default for Geometry {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Stored encodings. A zone's encoding stands in its chunk's directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EncodingId {
    Raw = 0,
    Az64 = 1,
    ByteDict = 2,
    RunLength = 3,
    Zstd = 4,
    Fsst = 5,
    Delta = 6,
    Delta32k = 7,
    Mostly8 = 8,
    Mostly16 = 9,
    Mostly32 = 10,
    Text255 = 11,
    Text32k = 12,
    /// What `ENCODE LZO` stores.
    Lz4 = 13,
    FsstDict = 14,
    Alp = 15,
}

impl EncodingId {
    pub const ALL: [EncodingId; 16] = [
        EncodingId::Raw,
        EncodingId::Az64,
        EncodingId::ByteDict,
        EncodingId::RunLength,
        EncodingId::Zstd,
        EncodingId::Fsst,
        EncodingId::Delta,
        EncodingId::Delta32k,
        EncodingId::Mostly8,
        EncodingId::Mostly16,
        EncodingId::Mostly32,
        EncodingId::Text255,
        EncodingId::Text32k,
        EncodingId::Lz4,
        EncodingId::FsstDict,
        EncodingId::Alp,
    ];

    /// `None` for an id of a later version.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|id| *id as u8 == byte)
    }
}

/// The last bytes of every segment.
pub const SEGMENT_MAGIC: [u8; 8] = *b"BLUESEG1";

/// The version of the segment's layout that this build writes, and the newest that it reads.
pub const SEGMENT_VERSION: u16 = 1;

/// Required features that this build knows: none yet. A segment with another bit set is refused.
pub const KNOWN_FEATURES: u64 = 0;

/// Bytes of the trailer, which ends a segment's footer.
pub const TRAILER_BYTES: usize = 56;

/// Bytes of one entry of the section table.
pub const SECTION_ENTRY_BYTES: usize = 20;

/// The target size of a block.
pub const BLOCK_BYTES: usize = 1 << 20;

/// Kinds of footer sections. A kind that a build does not know is skipped unless its entry says `required`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum SectionKind {
    /// One column's blocks, chunks and pages.
    Directory = 1,
    /// One column's zone map.
    ZoneMap = 2,
    /// How many distinct values the segment's columns hold, and what these take in memory; not required.
    Sketches = 3,
}

/// Set in a section entry's flags when a reader must understand it.
pub const SECTION_REQUIRED: u16 = 1;

/// Stored forms as the directory names them.
pub fn stored_byte(stored: crate::common::Stored) -> u8 {
    use crate::common::Stored;
    match stored {
        Stored::Bool => 0,
        Stored::I16 => 1,
        Stored::I32 => 2,
        Stored::I64 => 3,
        Stored::I128 => 4,
        Stored::F32 => 5,
        Stored::F64 => 6,
        Stored::Bytes => 7,
        Stored::Binary => 8,
    }
}

/// The inverse of [`stored_byte`].
pub fn stored_from_byte(byte: u8) -> Option<crate::common::Stored> {
    use crate::common::Stored::*;
    [Bool, I16, I32, I64, I128, F32, F64, Bytes, Binary].into_iter().find(|s| stored_byte(*s) == byte)
}
