//! Delete vectors: which rows of a segment are dead.
//!
//! ```text
//! u32 crc32c of what follows
//! roaring bitmap of positions in the segment, in the portable format (github.com/RoaringBitmap/RoaringFormatSpec)
//! ```

use roaring::RoaringBitmap;

use crate::common::{Error, Result};

/// The stored bytes of `positions`.
pub fn encode(positions: &RoaringBitmap) -> Result<Vec<u8>> {
    let mut out = vec![0; 4];
    positions.serialize_into(&mut out).map_err(|e| Error::internal(format!("serialising a delete vector: {e}")))?;
    let crc = crc32c::crc32c(&out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
    Ok(out)
}

/// The positions, of which there must be `rows`, all within a segment of `segment_rows`.
pub fn decode(bytes: &[u8], rows: u32, segment_rows: u32) -> Result<RoaringBitmap> {
    let Some((crc, body)) = bytes.split_first_chunk::<4>() else {
        return Err(Error::corrupt(0, "a delete vector of fewer than 4 bytes"));
    };
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(Error::corrupt(0, "delete vector checksum mismatch"));
    }
    let bitmap =
        RoaringBitmap::deserialize_from(body).map_err(|e| Error::corrupt(4, format!("not a roaring bitmap: {e}")))?;
    if bitmap.len() != u64::from(rows) {
        return Err(Error::corrupt(4, format!("{} dead rows where the catalog counts {rows}", bitmap.len())));
    }
    if let Some(position) = bitmap.max().filter(|position| *position >= segment_rows) {
        return Err(Error::corrupt(4, format!("dead row {position} in a segment of {segment_rows} rows")));
    }
    Ok(bitmap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back() {
        let positions: RoaringBitmap = [0u32, 3, 70_000, 2_097_151].into_iter().collect();
        let bytes = encode(&positions).unwrap();
        assert_eq!(decode(&bytes, 4, 2_097_152).unwrap(), positions);
        assert!(decode(&bytes, 4, 2_097_151).is_err());
    }

    #[test]
    fn damage_is_found() {
        let bytes = encode(&(0..100).collect()).unwrap();
        assert!(decode(&bytes, 99, 100).is_err());
        for i in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[i] ^= 1;
            assert!(decode(&damaged, 100, 100).is_err(), "byte {i}");
            assert!(decode(&bytes[..i], 100, 100).is_err(), "{i} bytes");
        }
    }
}
