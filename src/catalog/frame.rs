//! The frame around every object of the catalog: what it is, which readers can read it, and checksums.
//!
//! ```text
//! offset bytes
//!      0     8  magic, which says what kind of object this is
//!      8     4  format version, little-endian as all numbers here; today 1
//!     12     4  zero
//!     16     8  required features: a reader refuses the object when a bit is set that it does not know
//!     24     4  bytes of blobs (B)
//!     28     4  bytes of body (M)
//!     32     4  CRC-32C of the blobs
//!     36     4  CRC-32C of the body
//!     40     4  zero
//!     44     4  CRC-32C of the bytes 0 to 44
//!     48     B  blobs: rows that stand inline, at offsets that do not depend on the body
//!   48+B     M  body: one Protocol Buffers message
//! ```
//!
//! The first 48 bytes never change their meaning, so that every reader can tell "newer" from "damaged".

use bytes::Bytes;

use crate::common::{Error, Result};

/// Bytes before the blobs.
pub const HEADER_BYTES: usize = 48;
/// The format version that this code writes; it reads this and earlier ones.
pub const FORMAT_VERSION: u32 = 1;
/// Required feature: views.
pub const FEATURE_VIEWS: u64 = 1;
/// Required feature: comments.
pub const FEATURE_COMMENTS: u64 = 1 << 1;
/// Required feature: a table's definition has an identity, constraints, BACKUP NO or a word about AUTO's sort key, or
/// identities are reserved.
pub const FEATURE_TABLE_WORDS: u64 = 1 << 2;
/// Required feature: a table's sort key is interleaved, so that its rows ascend by no column.
pub const FEATURE_INTERLEAVED: u64 = 1 << 3;
/// Required feature: plans rely on a constraint of a table, which whoever appends to it must keep or demote.
pub const FEATURE_CONSTRAINT_STATES: u64 = 1 << 4;
/// Required feature: rows were written anew. Segments may stand between others of their run, and deletes of what is gone
/// are to be led on.
pub const FEATURE_MOVES: u64 = 1 << 5;
/// Required feature: the number of slices has changed.
pub const FEATURE_SLICES: u64 = 1 << 7;
/// Required feature: a table's rows are kept for a number of days; who does not know it would lose the word.
pub const FEATURE_RETENTION: u64 = 1 << 6;
/// Required feature: tables tell what was loaded into them; who does not know it would lose that.
pub const FEATURE_LOADS: u64 = 1 << 8;
/// The required features that this code knows.
pub const KNOWN_FEATURES: u64 = FEATURE_VIEWS
    | FEATURE_COMMENTS
    | FEATURE_TABLE_WORDS
    | FEATURE_INTERLEAVED
    | FEATURE_CONSTRAINT_STATES
    | FEATURE_MOVES
    | FEATURE_RETENTION
    | FEATURE_SLICES
    | FEATURE_LOADS;
/// A body or the blobs of one object, at most.
pub const MAX_PART_BYTES: usize = 1 << 28;

/// The kinds of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Magic {
    Log,
    CheckpointRoot,
    CheckpointTable,
    Lease,
    Backup,
}

impl Magic {
    fn bytes(self) -> [u8; 8] {
        *match self {
            Magic::Log => b"BLUSHLOG",
            Magic::CheckpointRoot => b"BLUSHCKR",
            Magic::CheckpointTable => b"BLUSHCKT",
            Magic::Lease => b"BLUSHLSE",
            Magic::Backup => b"BLUSHBKP",
        }
    }
}

/// An object's parts, checksums checked.
#[derive(Debug, Clone)]
pub struct Frame {
    pub blobs: Bytes,
    pub body: Bytes,
}

/// Puts blobs and body into a frame that every reader reads. Fails with Unsupported when either is too large.
pub fn encode(magic: Magic, blobs: &[Bytes], body: &[u8]) -> Result<Bytes> {
    encode_with(magic, 0, blobs, body)
}

/// As [`encode`], for readers that know `features`.
pub fn encode_with(magic: Magic, features: u64, blobs: &[Bytes], body: &[u8]) -> Result<Bytes> {
    let blob_bytes: usize = blobs.iter().map(Bytes::len).sum();
    if blob_bytes > MAX_PART_BYTES || body.len() > MAX_PART_BYTES {
        return Err(Error::unsupported(format!(
            "a transaction's log entry would have {} bytes, more than {MAX_PART_BYTES}",
            blob_bytes.max(body.len())
        ))
        .with_hint("split the transaction"));
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + blob_bytes + body.len());
    out.extend_from_slice(&magic.bytes());
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&features.to_le_bytes());
    out.extend_from_slice(&(blob_bytes as u32).to_le_bytes());
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    let blob_crc = blobs.iter().fold(0, |crc, blob| crc32c::crc32c_append(crc, blob));
    out.extend_from_slice(&blob_crc.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let header_crc = crc32c::crc32c(&out);
    out.extend_from_slice(&header_crc.to_le_bytes());
    for blob in blobs {
        out.extend_from_slice(blob);
    }
    out.extend_from_slice(body);
    Ok(Bytes::from(out))
}

/// Takes a frame apart. Corrupt when a checksum, a length or the magic is wrong; Unsupported when a later version of
/// this library wrote it.
pub fn decode(magic: Magic, bytes: &Bytes) -> Result<Frame> {
    if bytes.len() < HEADER_BYTES {
        return Err(Error::corrupt(bytes.len() as u64, format!("{} bytes are too few for a header", bytes.len())));
    }
    if bytes[..8] != magic.bytes() {
        return Err(Error::corrupt(0, "the magic bytes are wrong"));
    }
    if crc32c::crc32c(&bytes[..44]) != u32_at(bytes, 44) {
        return Err(Error::corrupt(44, "the header's checksum is wrong"));
    }
    let format = u32_at(bytes, 8);
    let features = u64::from(u32_at(bytes, 16)) | u64::from(u32_at(bytes, 20)) << 32;
    if format > FORMAT_VERSION || features & !KNOWN_FEATURES != 0 {
        return Err(Error::unsupported(format!(
            "the warehouse was written by a newer version of Blueshift (format {format}, features {features:#x})"
        ))
        .with_hint("upgrade Blueshift"));
    }
    let (blob_len, body_len) = (u32_at(bytes, 24) as usize, u32_at(bytes, 28) as usize);
    if format == 0 || blob_len > MAX_PART_BYTES || body_len > MAX_PART_BYTES {
        return Err(Error::corrupt(8, "the header's version or lengths are out of range"));
    }
    if bytes.len() != HEADER_BYTES + blob_len + body_len {
        return Err(Error::corrupt(
            24,
            format!("the header tells of {} bytes, but there are {}", HEADER_BYTES + blob_len + body_len, bytes.len()),
        ));
    }
    let blobs = bytes.slice(HEADER_BYTES..HEADER_BYTES + blob_len);
    let body = bytes.slice(HEADER_BYTES + blob_len..);
    if crc32c::crc32c(&blobs) != u32_at(bytes, 32) {
        return Err(Error::corrupt(HEADER_BYTES as u64, "the inline rows' checksum is wrong"));
    }
    if crc32c::crc32c(&body) != u32_at(bytes, 36) {
        return Err(Error::corrupt((HEADER_BYTES + blob_len) as u64, "the body's checksum is wrong"));
    }
    Ok(Frame { blobs, body })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
