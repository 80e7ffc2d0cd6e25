//! ZSTD: Zstandard (RFC 8878) over what RAW would store.
//!
//! | bytes | content |
//! |---|---|
//! | 4 | bytes of the RAW payload (u32) |
//! | 4 | bytes of the frame (u32) |
//! | … | the frame |
//! | rest | zeros, so that the whole is at least 1/1,024 of the RAW payload |
//!
//! The padding, which only endless repetitions need, lets a reader refuse what claims to unpack to more.

use std::cell::RefCell;

use arrow::buffer::Buffer;

use super::raw;
use crate::common::{Error, Result, Stored};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::Values;

/// Zstandard's default: higher levels take several times as long for a few percent (our choice).
const LEVEL: i32 = 3;

/// A payload unpacks to at most this many times its length.
const MAX_RATIO: usize = 1024;

thread_local! {
    // Contexts are some hundred KiB to set up, more than a page is long.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Bytes that [`encode`] would make of `values`.
pub(super) fn analyze(values: &Values) -> Result<usize> {
    let mut out = Vec::new();
    encode(values, &mut out)?;
    Ok(out.len())
}

/// Appends one page's values.
pub(super) fn encode(values: &Values, out: &mut Vec<u8>) -> Result<()> {
    let mut raw = Vec::new();
    raw::encode(values, &mut raw)?;
    let len = u32::try_from(raw.len()).map_err(|_| Error::unsupported("ZSTD of a zone of 4 GiB or more"))?;
    let failed = |e: std::io::Error| Error::internal(format!("Zstandard: {e}"));
    let frame = COMPRESSOR.with_borrow_mut(|compressor| {
        if compressor.is_none() {
            *compressor = Some(zstd::bulk::Compressor::new(LEVEL).map_err(failed)?);
        }
        compressor.as_mut().expect("it was just made").compress(&raw).map_err(failed)
    })?;
    let start = out.len();
    out.put_u32(len);
    out.put_u32(frame.len() as u32);
    out.extend_from_slice(&frame);
    let least = raw.len().div_ceil(MAX_RATIO);
    if out.len() - start < least {
        out.resize(start + least, 0);
    }
    Ok(())
}

/// Unpacks a payload.
pub(super) fn open(stored: Stored, rows: usize, reader: &mut Reader<'_>) -> Result<raw::Page<'static>> {
    let at = reader.offset();
    let most = reader.remaining().saturating_mul(MAX_RATIO);
    let len = reader.len_u32(most, "bytes before compression")?;
    let frame_len = reader.len_u32(reader.remaining(), "bytes of the frame")?;
    let frame = reader.take(frame_len)?;
    let corrupt = |e: std::io::Error| Error::corrupt(at as u64, format!("Zstandard: {e}"));
    let raw = DECOMPRESSOR.with_borrow_mut(|decompressor| {
        if decompressor.is_none() {
            *decompressor = Some(zstd::bulk::Decompressor::new().map_err(corrupt)?);
        }
        decompressor.as_mut().expect("it was just made").decompress(frame, len).map_err(corrupt)
    })?;
    if raw.len() != len {
        return Err(Error::corrupt(at as u64, format!("the frame holds {} bytes instead of {len}", raw.len())));
    }
    raw::Page::of_buffer(stored, rows, Buffer::from_vec(raw), at)
}
