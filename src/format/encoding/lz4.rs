//! LZ4: an LZ4 block over what RAW would store. It is what `ENCODE LZO` stores.
//!
//! | bytes | content |
//! |---|---|
//! | 4 | bytes of the RAW payload (u32) |
//! | rest | the block |
//!
//! Source: the LZ4 block format (github.com/lz4/lz4, doc/lz4_Block_format.md), by the `lz4_flex` crate; the Redshift
//! manual, "LZO encoding", for what it stands for. LZO's libraries are under the GPL; LZ4 has the same aims, and is
//! unpacked faster.

use arrow::buffer::Buffer;

use super::raw;
use crate::common::{Error, Result, SqlState, Stored};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::Values;

/// A block unpacks to at most this many times its length: each byte of a length adds at most 255.
const MAX_RATIO: usize = 255;

/// Appends one page's values.
pub(super) fn encode(values: &Values, out: &mut Vec<u8>) -> Result<()> {
    let mut raw = Vec::new();
    raw::encode(values, &mut raw)?;
    let len = u32::try_from(raw.len())
        .map_err(|_| Error::invalid(SqlState::STRING_TOO_LONG, "the values of one zone take 4 GiB or more"))?;
    out.put_u32(len);
    out.extend_from_slice(&lz4_flex::block::compress(&raw));
    Ok(())
}

/// Unpacks a payload.
pub(super) fn open(stored: Stored, rows: usize, reader: &mut Reader<'_>) -> Result<raw::Page<'static>> {
    let at = reader.offset();
    let len = reader.len_u32(reader.remaining().saturating_mul(MAX_RATIO), "bytes before compression")?;
    let mut raw = vec![0; len];
    let written = lz4_flex::block::decompress_into(reader.rest(), &mut raw)
        .map_err(|e| Error::corrupt(at as u64, format!("LZ4: {e}")))?;
    if written != len {
        return Err(Error::corrupt(at as u64, format!("the block holds {written} bytes instead of {len}")));
    }
    raw::Page::of_buffer(stored, rows, Buffer::from_vec(raw), at)
}
