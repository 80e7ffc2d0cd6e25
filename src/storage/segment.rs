//! Open segments: footer, dictionaries and pages of committed segments, read when wanted and kept while they fit.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use roaring::RoaringBitmap;

use super::block_store::{BlockStore, cut};
use crate::catalog::model::{DeleteVectorRef, Extent, ObjectId, SegmentRef};
use crate::catalog::{PinnedSnapshot, delete_vector};
use crate::common::{ColumnId, Error, Result};
use crate::format::encoding::{Dictionary, open_dictionary};
use crate::format::footer::{CheckedRange, ColumnDirectory, SegmentFooter};
use crate::format::mask::Mask;
use crate::format::stable::{Geometry, TRAILER_BYTES};
use crate::format::zone_map::ZoneStats;
use crate::statistics::TableStatistics;

/// A segment's footer and what was opened of it.
#[derive(Debug)]
pub struct OpenSegment {
    extent: Extent,
    pub footer: SegmentFooter,
    /// Column id → ordinal.
    ordinals: Vec<(ColumnId, usize)>,
    columns: Vec<OpenColumn>,
}

#[derive(Debug)]
struct OpenColumn {
    /// One bit a page, set once its checksum was found right: a mapped page is checked once, one that is requested
    /// every time.
    checked: Vec<AtomicU64>,
    /// Dictionaries by their offset in the segment.
    dictionaries: Mutex<Vec<(u64, Arc<Dictionary>)>>,
}

impl OpenSegment {
    fn new(extent: Extent, footer: SegmentFooter) -> Result<Self> {
        let mut ordinals = Vec::with_capacity(footer.column_count());
        let mut columns = Vec::with_capacity(footer.column_count());
        for ordinal in 0..footer.column_count() {
            ordinals.push((footer.directory(ordinal)?.id, ordinal));
            columns.push(OpenColumn {
                checked: (0..footer.zones().div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
                dictionaries: Mutex::new(Vec::new()),
            });
        }
        Ok(OpenSegment { extent, footer, ordinals, columns })
    }

    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Where the segment holds column `id`; `None` when the column came later.
    pub fn ordinal(&self, id: ColumnId) -> Option<usize> {
        self.ordinals.iter().find(|(column, _)| *column == id).map(|(_, ordinal)| *ordinal)
    }

    /// The directory of the `ordinal`-th column.
    pub fn directory(&self, ordinal: usize) -> Result<&ColumnDirectory> {
        self.footer.directory(ordinal).map_err(|e| self.locate(e, 0))
    }

    /// The zone map of the `ordinal`-th column, one entry a zone of the segment.
    pub fn zone_map(&self, ordinal: usize) -> Result<&[ZoneStats]> {
        self.footer.zone_map(ordinal).map_err(|e| self.locate(e, 0))
    }

    /// Names the object in an error of bytes that begin at `base` of the segment.
    pub fn locate(&self, error: Error, base: u64) -> Error {
        error.in_object(self.extent.object, self.extent.offset.saturating_add(base))
    }

    /// Fails as Corrupt unless the footer tells of the segment that the catalog means: scans index zones by the
    /// warehouse's geometry, and rely on where the catalog says that rows are.
    fn check(&self, segment: &SegmentRef, geometry: Geometry) -> Result<()> {
        let (rows, slice, own) = (self.footer.rows(), self.footer.slice(), self.footer.geometry());
        let wrong = if rows != segment.rows as usize {
            format!("the footer counts {rows} rows, the catalog {}", segment.rows)
        } else if slice != segment.slice {
            format!("the footer names slice {slice}, the catalog {}", segment.slice)
        } else if own != geometry {
            format!("the footer's geometry is {own:?}, the warehouse's {geometry:?}")
        } else {
            return Ok(());
        };
        Err(Error::corrupt(self.extent.len.saturating_sub(TRAILER_BYTES as u64), wrong))
    }

    /// A page of the `ordinal`-th column; `zone` counts over the segment.
    pub fn page(&self, ordinal: usize, zone: usize) -> Result<CheckedRange> {
        let per_chunk = self.footer.geometry().zones_per_chunk();
        Ok(self.directory(ordinal)?.chunks[zone / per_chunk].pages[zone % per_chunk])
    }
}

/// Opens segments and reads from them.
#[derive(Clone)]
pub struct SegmentStore {
    blocks: Arc<BlockStore>,
    /// The warehouse's, hence every segment's.
    geometry: Geometry,
    /// What is read: it keeps the objects from being collected.
    pin: Option<Arc<PinnedSnapshot>>,
    /// Learns how many bytes were read.
    meter: Option<Arc<dyn Fn(u64) + Send + Sync>>,
    open: Arc<Cache<Extent, Arc<OpenSegment>, FooterBytes>>,
    deleted: Arc<Cache<Extent, Arc<RoaringBitmap>>>,
    /// Tables' statistics by where they stand; `None` where they cannot be read.
    statistics: Arc<StatisticsCache>,
    /// Zones that scans left out.
    zones_pruned: Arc<AtomicU64>,
}

#[derive(Debug, Clone, Copy)]
struct FooterBytes;

impl Weighter<Extent, Arc<OpenSegment>> for FooterBytes {
    fn weight(&self, _: &Extent, segment: &Arc<OpenSegment>) -> u64 {
        segment.footer.memory_bytes() as u64
    }
}

pub(super) type StatisticsCache = Cache<Extent, Option<Arc<TableStatistics>>, StatisticsBytes>;

#[derive(Debug, Clone, Copy)]
pub(super) struct StatisticsBytes;

impl Weighter<Extent, Option<Arc<TableStatistics>>> for StatisticsBytes {
    fn weight(&self, extent: &Extent, _: &Option<Arc<TableStatistics>>) -> u64 {
        // Sketches that are stored sparse take their full size in memory.
        extent.len.saturating_mul(8).max(1)
    }
}

impl SegmentStore {
    /// Keeps footers of up to `cache_bytes` in memory, and statistics of up to as many. All segments have the geometry given.
    pub fn new(blocks: Arc<BlockStore>, geometry: Geometry, cache_bytes: u64) -> Self {
        SegmentStore {
            blocks,
            geometry,
            pin: None,
            meter: None,
            open: Arc::new(Cache::with_weighter(1024, cache_bytes, FooterBytes)),
            deleted: Arc::new(Cache::new(4096)),
            statistics: Arc::new(Cache::with_weighter(256, cache_bytes, StatisticsBytes)),
            zones_pruned: Arc::default(),
        }
    }

    /// The same store, to read what `pin` shows: an object that is not there was collected, or is lost.
    pub fn at(&self, pin: PinnedSnapshot) -> Self {
        SegmentStore { pin: Some(Arc::new(pin)), ..self.clone() }
    }

    /// What is read, where it is told.
    pub fn pin(&self) -> Option<&PinnedSnapshot> {
        self.pin.as_deref()
    }

    /// The same store, for what is read once: pages of mapped files would stay in memory behind it.
    pub fn unmapped(&self) -> Self {
        SegmentStore { blocks: Arc::new(self.blocks.unmapped()), ..self.clone() }
    }

    /// The same store; `meter` learns of every read through it, how many bytes it was.
    pub fn metered(&self, meter: impl Fn(u64) + Send + Sync + 'static) -> Self {
        SegmentStore { meter: Some(Arc::new(meter)), ..self.clone() }
    }

    /// Counts zones that a scan left out unread.
    pub fn count_pruned(&self, zones: usize) {
        self.zones_pruned.fetch_add(zones as u64, Ordering::Relaxed);
    }

    /// Zones left out unread so far, by all scans.
    pub fn zones_pruned(&self) -> u64 {
        self.zones_pruned.load(Ordering::Relaxed)
    }

    pub fn blocks(&self) -> &Arc<BlockStore> {
        &self.blocks
    }

    /// The bytes of each range of `object`.
    ///
    /// Errors: as [`BlockStore::read`]; Conflict (snapshot too old) when the object was collected, Corrupt when it is
    /// missing and ought to be there.
    async fn read(&self, object: ObjectId, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let overlay = self.pin.as_ref().and_then(|pin| pin.overlay());
        if let Some(held) = overlay.and_then(|overlay| overlay.held(&object)) {
            return ranges.iter().map(|range| cut(&held, object, range)).collect();
        }
        match (self.blocks.read(object, ranges).await?, &self.pin) {
            (Some(bytes), _) => {
                if let Some(meter) = &self.meter {
                    meter(ranges.iter().map(|range| range.end - range.start).sum());
                }
                Ok(bytes)
            }
            (None, Some(pin)) => Err(pin.missing_object(&object).await),
            (None, None) => Err(Error::corrupt(0, "the object is missing").in_object(object, 0)),
        }
    }

    pub(super) fn kept_statistics(&self) -> &StatisticsCache {
        &self.statistics
    }

    /// All bytes of an extent.
    pub(super) async fn read_extent(&self, extent: &Extent) -> Result<Bytes> {
        let end = extent.offset.saturating_add(extent.len);
        self.read_one(extent.object, extent.offset..end).await
    }

    async fn read_one(&self, object: ObjectId, range: Range<u64>) -> Result<Bytes> {
        let read = self.read(object, std::slice::from_ref(&range)).await?;
        read.into_iter().next().ok_or_else(|| Error::internal("one range read, none returned"))
    }

    /// The open segment, from memory or the store.
    pub async fn open(&self, segment: &SegmentRef) -> Result<Arc<OpenSegment>> {
        if let Some(open) = self.open.get(&segment.extent) {
            return Ok(open);
        }
        let extent = segment.extent;
        let footer_len = u64::from(segment.footer_len).min(extent.len);
        let end = extent.offset + extent.len;
        let bytes = self.read_one(extent.object, end - footer_len..end).await?;
        let open = SegmentFooter::open(bytes, extent.len)
            .and_then(|footer| OpenSegment::new(extent, footer))
            .and_then(|open| open.check(segment, self.geometry).map(|()| open))
            .map_err(|e| e.in_object(extent.object, extent.offset))?;
        let open = Arc::new(open);
        self.open.insert(extent, Arc::clone(&open));
        Ok(open)
    }

    /// The pages of the `ordinal`-th column for these zones (counted over the segment), checked.
    pub async fn pages(&self, segment: &OpenSegment, ordinal: usize, zones: &[usize]) -> Result<Vec<Bytes>> {
        self.pages_of(segment, &[ordinal], zones).await.map(|mut columns| columns.pop().unwrap_or_default())
    }

    /// Per column of `ordinals`, its pages for these zones, all read together.
    pub async fn pages_of(
        &self,
        segment: &OpenSegment,
        ordinals: &[usize],
        zones: &[usize],
    ) -> Result<Vec<Vec<Bytes>>> {
        let mut wanted = Vec::with_capacity(ordinals.len() * zones.len());
        for ordinal in ordinals {
            for zone in zones {
                wanted.push(segment.page(*ordinal, *zone)?);
            }
        }
        let ranges: Vec<Range<u64>> = wanted.iter().map(|page| absolute(segment.extent, page)).collect();
        let mut bytes = self.read(segment.extent.object, &ranges).await?.into_iter();
        let once = self.blocks.is_local();
        let mut columns = Vec::with_capacity(ordinals.len());
        let mut wanted = wanted.iter();
        for ordinal in ordinals {
            let mut pages = Vec::with_capacity(zones.len());
            for ((zone, page), expected) in zones.iter().zip(&mut bytes).zip(&mut wanted) {
                let checked = &segment.columns[*ordinal].checked[zone / 64];
                if !once || checked.load(Ordering::Relaxed) >> (zone % 64) & 1 == 0 {
                    expected.check(&page).map_err(|e| segment.locate(e, 0))?;
                    checked.fetch_or(1 << (zone % 64), Ordering::Relaxed);
                }
                pages.push(page);
            }
            columns.push(pages);
        }
        Ok(columns)
    }

    /// The dictionary of a chunk of the `ordinal`-th column, if it has one.
    pub async fn dictionary(
        &self,
        segment: &OpenSegment,
        ordinal: usize,
        chunk: usize,
    ) -> Result<Option<Arc<Dictionary>>> {
        let directory = segment.directory(ordinal)?;
        let entry = &directory.chunks[chunk];
        let Some(range) = entry.dictionary else { return Ok(None) };
        let known = &segment.columns[ordinal].dictionaries;
        if let Some((_, dictionary)) = known.lock().iter().find(|(offset, _)| *offset == range.range.offset) {
            return Ok(Some(Arc::clone(dictionary)));
        }
        let bytes = self.read_one(segment.extent.object, absolute(segment.extent, &range)).await?;
        range.check(&bytes).map_err(|e| segment.locate(e, 0))?;
        let dictionary = open_dictionary(entry.encoding, directory.stored, &bytes)
            .map_err(|e| segment.locate(Error::corrupt(e.offset().unwrap_or(0), e.message()), range.range.offset))?;
        let dictionary = Arc::new(dictionary);
        known.lock().push((range.range.offset, Arc::clone(&dictionary)));
        Ok(Some(dictionary))
    }

    /// The bytes of a chunk's dictionary, and where they stand in the segment, if it has one.
    pub(super) async fn dictionary_bytes(
        &self,
        segment: &OpenSegment,
        ordinal: usize,
        chunk: usize,
    ) -> Result<Option<(u64, Bytes)>> {
        let Some(range) = segment.directory(ordinal)?.chunks[chunk].dictionary else { return Ok(None) };
        let bytes = self.read_one(segment.extent.object, absolute(segment.extent, &range)).await?;
        range.check(&bytes).map_err(|e| segment.locate(e, 0))?;
        Ok(Some((range.range.offset, bytes)))
    }

    /// The positions of a segment's dead rows; `None` when all live.
    ///
    /// Errors: Corrupt when they are not as many as the catalog counts, or not positions of the segment.
    pub async fn deleted(&self, segment: &SegmentRef) -> Result<Option<Arc<RoaringBitmap>>> {
        let Some(DeleteVectorRef { extent, rows }) = segment.deleted else { return Ok(None) };
        if let Some(deleted) = self.deleted.get(&extent) {
            return Ok(Some(deleted));
        }
        let bytes = self.read_one(extent.object, extent.offset..extent.offset + extent.len).await?;
        let bitmap =
            delete_vector::decode(&bytes, rows, segment.rows).map_err(|e| e.in_object(extent.object, extent.offset))?;
        let bitmap = Arc::new(bitmap);
        self.deleted.insert(extent, Arc::clone(&bitmap));
        Ok(Some(bitmap))
    }
}

impl fmt::Debug for SegmentStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentStore").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

/// Clears the bits of `mask` whose rows are dead; its first row stands at `start` of the segment.
pub fn apply_deleted(deleted: &RoaringBitmap, start: usize, mask: &mut Mask) {
    let (start, end) = (start as u32, (start + mask.len()) as u32);
    for position in deleted.range(start..end) {
        mask.clear((position - start) as usize);
    }
}

fn absolute(extent: Extent, page: &CheckedRange) -> Range<u64> {
    let start = extent.offset + page.range.offset;
    start..start + u64::from(page.range.len)
}
