//! Where rows went that a vacuum wrote anew: from positions in segments that are gone to positions in those that replace
//! them.
//!
//! ```text
//! u32 crc32c of what follows
//! zstd frame of
//!   u32 number of segments written; of each u32 rows
//!   u32 number of segments gone; of each u64 number, u32 rows, and of each row
//!     u32 its ordinal among all rows written, in the order of the segments; 0xffff_ffff of a row that was dead
//! ```

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::model::SegmentId;
use crate::common::{Error, Result};

/// What a dead row has in place of an ordinal.
const DEAD: u32 = u32::MAX;
const LEVEL: i32 = 1;
/// What is longer is no positions: an ordinal for each row that there may be, and as much for what stands around them.
const MAX_BYTES: usize = 8 * Positions::MAX_ROWS as usize;

/// Which row of the segments gone is which of those written.
///
/// Guarantee: no two rows are one; each segment written has a row for each of its positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    /// Rows of each segment written.
    written: Vec<u32>,
    gone: BTreeMap<SegmentId, Vec<u32>>,
}

impl Positions {
    /// So many rows are written anew in one go at most: ordinals have 32 bits.
    pub const MAX_ROWS: u64 = DEAD as u64;

    /// Of segments with so many rows, of which none has come from anywhere yet.
    pub fn new(gone: impl IntoIterator<Item = (SegmentId, u32)>) -> Self {
        let gone = gone.into_iter().map(|(id, rows)| (id, vec![DEAD; rows as usize])).collect();
        Positions { written: Vec::new(), gone }
    }

    /// A segment is written, whose rows in turn are those of `from`.
    ///
    /// Internal when such a row does not exist, or was written before.
    pub fn wrote(&mut self, from: impl IntoIterator<Item = (SegmentId, u32)>) -> Result<()> {
        let first = self.written.iter().map(|rows| u64::from(*rows)).sum::<u64>();
        let mut rows = 0u32;
        for (segment, position) in from {
            let place = self.gone.get_mut(&segment).and_then(|rows| rows.get_mut(position as usize));
            let ordinal = u32::try_from(first + u64::from(rows)).ok().filter(|ordinal| *ordinal != DEAD);
            match (place, ordinal) {
                (Some(place), Some(ordinal)) if *place == DEAD => *place = ordinal,
                _ => return Err(Error::internal("a row is written twice, or comes from nowhere")),
            }
            rows += 1;
        }
        self.written.push(rows);
        Ok(())
    }

    /// Rows of each segment written.
    pub fn written(&self) -> &[u32] {
        &self.written
    }

    /// Whether the segment is one of those that are gone.
    pub fn has(&self, segment: SegmentId) -> bool {
        self.gone.contains_key(&segment)
    }

    /// How many rows a segment had that is gone.
    pub fn rows(&self, segment: SegmentId) -> u32 {
        self.gone.get(&segment).map_or(0, Vec::len) as u32
    }

    /// All rows of a segment that were written anew.
    pub fn living(&self, segment: SegmentId) -> RoaringBitmap {
        let rows = self.gone.get(&segment).into_iter().flatten();
        rows.zip(0u32..).filter(|(ordinal, _)| **ordinal != DEAD).map(|(_, position)| position).collect()
    }

    /// Where rows of a segment went: per segment written, by its place, positions in it. `None` where one of them was dead, or
    /// there is no such row.
    pub fn of(&self, segment: SegmentId, rows: &RoaringBitmap) -> Option<BTreeMap<usize, RoaringBitmap>> {
        let ordinals = self.gone.get(&segment)?;
        let starts: Vec<u32> =
            self.written.iter().scan(0, |next, rows| Some(std::mem::replace(next, *next + rows))).collect();
        let mut found: BTreeMap<usize, RoaringBitmap> = BTreeMap::new();
        for position in rows {
            let ordinal = *ordinals.get(position as usize).filter(|ordinal| **ordinal != DEAD)?;
            let at = starts.partition_point(|start| *start <= ordinal).checked_sub(1)?;
            found.entry(at).or_default().insert(ordinal - starts[at]);
        }
        Some(found)
    }

    /// The stored bytes.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut put = |number: u32| plain.extend_from_slice(&number.to_le_bytes());
        put(self.written.len() as u32);
        self.written.iter().for_each(|rows| put(*rows));
        put(self.gone.len() as u32);
        for (id, rows) in &self.gone {
            put(id.0 as u32);
            put((id.0 >> 32) as u32);
            put(rows.len() as u32);
            rows.iter().for_each(|ordinal| put(*ordinal));
        }
        let failed = |e: std::io::Error| Error::internal(format!("compressing positions: {e}"));
        let body = zstd::bulk::compress(&plain, LEVEL).map_err(failed)?;
        let mut out = crc32c::crc32c(&body).to_le_bytes().to_vec();
        out.extend_from_slice(&body);
        Ok(out)
    }

    /// Reads what [`Positions::encode`] gave. Corrupt when it is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = |what: &str| Error::corrupt(0, format!("positions of rows written anew: {what}"));
        let (crc, body) = bytes.split_first_chunk::<4>().ok_or_else(|| damaged("too short"))?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err(damaged("checksum mismatch"));
        }
        let size = zstd::zstd_safe::get_frame_content_size(body).ok().flatten();
        let size = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= MAX_BYTES);
        let size = size.ok_or_else(|| damaged("too large"))?;
        let plain = zstd::bulk::decompress(body, size).map_err(|e| damaged(&e.to_string()))?;
        if !plain.len().is_multiple_of(4) {
            return Err(damaged("a number is cut"));
        }
        let mut numbers = plain.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let mut next = || numbers.next().ok_or_else(|| damaged("too short"));
        let count = next()? as usize;
        let mut written = Vec::new();
        for _ in 0..count {
            written.push(next()?);
        }
        let total: u64 = written.iter().map(|rows| u64::from(*rows)).sum();
        let mut gone = BTreeMap::new();
        for _ in 0..next()? {
            let id = u64::from(next()?) | u64::from(next()?) << 32;
            let rows = next()? as usize;
            let mut ordinals = Vec::new();
            for _ in 0..rows {
                ordinals.push(next()?);
            }
            if ordinals.iter().any(|ordinal| *ordinal != DEAD && u64::from(*ordinal) >= total) {
                return Err(damaged("a row beyond all"));
            }
            gone.insert(SegmentId(id), ordinals);
        }
        match numbers.next() {
            None => Ok(Positions { written, gone }),
            Some(_) => Err(damaged("too long")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Positions {
        let (a, b) = (SegmentId(7), SegmentId(1 << 33));
        let mut positions = Positions::new([(a, 4), (b, 3)]);
        positions.wrote([(b, 0), (a, 1), (a, 3)]).unwrap();
        positions.wrote([(a, 2), (b, 2)]).unwrap();
        positions
    }

    #[test]
    fn rows_are_found_where_they_went() {
        let positions = some();
        let of = |segment: u64, rows: &[u32]| positions.of(SegmentId(segment), &rows.iter().copied().collect());
        let at = |places: &[(usize, &[u32])]| {
            Some(places.iter().map(|(at, rows)| (*at, rows.iter().copied().collect())).collect())
        };
        assert_eq!(of(7, &[1, 2, 3]), at(&[(0, &[1, 2]), (1, &[0])]));
        assert_eq!(of(1 << 33, &[0, 2]), at(&[(0, &[0]), (1, &[1])]));
        assert_eq!((of(7, &[0]), of(7, &[4]), of(8, &[0])), (None, None, None));
        assert_eq!(positions.living(SegmentId(7)), [1, 2, 3].into_iter().collect());
        assert_eq!(positions.written(), [3, 2]);
        let mut twice = some();
        assert!(twice.wrote([(SegmentId(7), 1)]).is_err() && some().wrote([(SegmentId(9), 0)]).is_err());
    }

    #[test]
    fn the_stored_form_comes_back_and_damage_is_found() {
        let bytes = some().encode().unwrap();
        assert_eq!(Positions::decode(&bytes).unwrap(), some());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(Positions::decode(&damaged).is_err() && Positions::decode(&bytes[..at]).is_err(), "byte {at}");
        }
    }
}
