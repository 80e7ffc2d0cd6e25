//! A sample of a table's rows: stretches of each slice, as long as a chunk and spread over what is stored.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::segment::{OpenSegment, SegmentStore, apply_deleted};
use crate::catalog::model::{ColumnDef, SegmentRef, TableState};
use crate::common::{Result, Scalar, SqlType};
use crate::format::column::{BuilderValues, Column, ColumnBuilder};
use crate::format::encoding::{Dictionary, Page, Selection};
use crate::format::mask::Mask;
use crate::format::stable::{EncodingId, Geometry};

/// Of a slice with more than one stretch at least two are read: one alone says nothing of how they differ, nor whether
/// a dictionary serves more than one chunk.
const LEAST_STRETCHES: usize = 2;

/// A stretch ends early, after a zone at least, where its pages or its text take more bytes than this.
const MOST_BYTES: u64 = 64 << 20;

/// Zones without live rows are left out as far as the catalog tells; where few of each zone live, a stretch has at most
/// this many times the zones of a chunk.
const MOST_CHUNKS: usize = 4;

/// Rows of one slice that follow each other as they are stored: whole zones, together about a chunk of live rows.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// Zones count over the segment.
    spans: Vec<(Arc<SegmentRef>, Range<usize>)>,
}

/// What to read of one slice.
#[derive(Debug, Clone)]
pub struct SliceSample {
    /// Of the whole slice.
    pub live_rows: u64,
    /// In the order that they are stored in.
    pub stretches: Vec<Stretch>,
    /// How many stretches the whole slice makes.
    pub of: usize,
}

/// A sample of every slice that has live rows, of at least `rows` rows each as far as it has so many.
pub fn of_table(state: &TableState, geometry: Geometry, rows: u64) -> Vec<SliceSample> {
    let chunk_rows = geometry.chunk_rows() as u64;
    let wanted = usize::try_from(rows.div_ceil(chunk_rows)).unwrap_or(usize::MAX).max(LEAST_STRETCHES);
    let mut samples = Vec::new();
    for of_slice in state.segments.chunk_by(|a, b| a.slice == b.slice) {
        let live_rows: u64 = of_slice.iter().map(|s| live_rows(s)).sum();
        let stretches = stretches(of_slice, geometry);
        let of = stretches.len();
        let wanted = wanted.min(of);
        // In the middle of parts of equal length.
        let chosen = (0..wanted).map(|i| stretches[(2 * i + 1) * of / (2 * wanted)].clone()).collect();
        if live_rows > 0 {
            samples.push(SliceSample { live_rows, stretches: chosen, of });
        }
    }
    samples
}

/// Zones spread evenly over all of the table's live rows, in stretches that are read together: `zones` of them, more where
/// these would hold less than `rows` rows, all where there are no more.
pub fn spread(state: &TableState, geometry: Geometry, zones: usize, rows: usize) -> Vec<Stretch> {
    let live: Vec<(&Arc<SegmentRef>, usize)> = state
        .segments
        .iter()
        .filter(|s| live_rows(s) > 0)
        .flat_map(|s| (0..(s.rows as usize).div_ceil(geometry.zone_rows())).map(move |zone| (s, zone)))
        .collect();
    let stored = live.iter().map(|(segment, zone)| rows_of(segment, *zone, geometry)).sum::<usize>();
    let needed = (live.len() as f64 * rows as f64 / stored.max(1) as f64).ceil() as usize;
    let taken = zones.max(needed).min(live.len());
    let chosen: Vec<_> = (0..taken).map(|i| live[(2 * i + 1) * live.len() / (2 * taken)]).collect();
    let stretch = |together: &[(&Arc<SegmentRef>, usize)]| {
        let mut spans: Vec<(Arc<SegmentRef>, Range<usize>)> = Vec::new();
        for (segment, zone) in together {
            match spans.last_mut() {
                Some((last, range)) if last.id == segment.id && range.end == *zone => range.end = zone + 1,
                _ => spans.push((Arc::clone(segment), *zone..zone + 1)),
            }
        }
        Stretch { spans }
    };
    chosen.chunks(geometry.zones_per_chunk()).map(stretch).collect()
}

fn rows_of(segment: &SegmentRef, zone: usize, geometry: Geometry) -> usize {
    geometry.zone_rows().min((segment.rows as usize).saturating_sub(zone * geometry.zone_rows()))
}

fn live_rows(segment: &SegmentRef) -> u64 {
    u64::from(segment.rows.saturating_sub(segment.deleted.map_or(0, |d| d.rows)))
}

/// All stretches of a slice.
fn stretches(segments: &[Arc<SegmentRef>], geometry: Geometry) -> Vec<Stretch> {
    let mut all = Vec::new();
    let mut spans: Vec<(Arc<SegmentRef>, Range<usize>)> = Vec::new();
    let (mut live, mut zones) = (0, 0);
    for segment in segments.iter().filter(|s| live_rows(s) > 0) {
        let rows = segment.rows as usize;
        for zone in 0..rows.div_ceil(geometry.zone_rows()) {
            let of_zone = geometry.zone_rows().min(rows - zone * geometry.zone_rows()) as u64;
            // Which of them live is known only once the delete vector is read: about as many as everywhere.
            let of_zone = of_zone * live_rows(segment) / u64::from(segment.rows);
            let full = live + of_zone > geometry.chunk_rows() as u64 && zones > 0;
            if full || zones == MOST_CHUNKS * geometry.zones_per_chunk() {
                all.push(Stretch { spans: std::mem::take(&mut spans) });
                (live, zones) = (0, 0);
            }
            (live, zones) = (live + of_zone, zones + 1);
            match spans.last_mut() {
                Some((last, range)) if last.id == segment.id => range.end = zone + 1,
                _ => spans.push((Arc::clone(segment), zone..zone + 1)),
            }
        }
    }
    if !spans.is_empty() {
        all.push(Stretch { spans });
    }
    all
}

impl Stretch {
    /// Its rows, dead ones included.
    pub fn rows(&self, geometry: Geometry) -> usize {
        let of_span = |(segment, zones): &(Arc<SegmentRef>, Range<usize>)| {
            zones.clone().map(|zone| rows_of(segment, zone, geometry)).sum::<usize>()
        };
        self.spans.iter().map(of_span).sum()
    }

    /// Reads one column's pages.
    ///
    /// Errors: as [`SegmentStore`]'s.
    pub async fn fetch(&self, segments: &SegmentStore, column: &ColumnDef) -> Result<StoredStretch> {
        let mut pages = Vec::new();
        let mut stored_bytes = 0;
        for (segment, zones) in &self.spans {
            let open = segments.open(segment).await?;
            let deleted = segments.deleted(segment).await?;
            let geometry = open.footer.geometry();
            let mask = |zone: usize| {
                let mut mask = Mask::all(open.footer.zone_rows(zone));
                if let Some(deleted) = &deleted {
                    apply_deleted(deleted, zone * geometry.zone_rows(), &mut mask);
                }
                mask
            };
            let Some(ordinal) = open.ordinal(column.id) else {
                let rows = zones.clone().map(|zone| mask(zone).count()).sum();
                pages.push(StoredPage::Absent { value: column.absent.clone(), rows });
                continue;
            };
            let directory = open.directory(ordinal)?;
            directory.check_type(column.sql_type).map_err(|e| open.locate(e, 0))?;
            let mut wanted = Vec::with_capacity(zones.len());
            for zone in zones.clone() {
                if stored_bytes >= MOST_BYTES {
                    break;
                }
                stored_bytes += u64::from(open.page(ordinal, zone)?.range.len);
                wanted.push(zone);
            }
            let zones = wanted;
            let bytes = segments.pages(&open, ordinal, &zones).await?;
            for (zone, bytes) in zones.into_iter().zip(bytes) {
                let chunk = zone / geometry.zones_per_chunk();
                let dictionary = segments.dictionary(&open, ordinal, chunk).await?;
                let encoding = directory.chunks[chunk].encoding;
                let at = open.page(ordinal, zone)?.range.offset;
                let live = mask(zone);
                pages.push(StoredPage::Of { open: Arc::clone(&open), encoding, at, bytes, dictionary, live });
            }
        }
        Ok(StoredStretch { sql_type: column.sql_type, pages })
    }
}

/// One column of a stretch, as it is stored.
#[derive(Debug)]
pub struct StoredStretch {
    sql_type: SqlType,
    pages: Vec<StoredPage>,
}

#[derive(Debug)]
enum StoredPage {
    Of {
        open: Arc<OpenSegment>,
        encoding: EncodingId,
        /// Where in the segment its bytes begin.
        at: u64,
        bytes: Bytes,
        dictionary: Option<Arc<Dictionary>>,
        live: Mask,
    },
    /// Of a segment written before the column existed.
    Absent { value: Option<Scalar>, rows: usize },
}

impl StoredStretch {
    /// The live rows, at most `most_rows` of them; `None` when there are none. Computes only.
    ///
    /// Errors: Corrupt.
    pub fn decode(self, most_rows: usize) -> Result<Option<Column>> {
        let mut builder = ColumnBuilder::new(self.sql_type, most_rows);
        let mut text_bytes = 0;
        for page in self.pages {
            let before = builder.len();
            match page {
                StoredPage::Absent { value, rows } => {
                    let rows = rows.min(most_rows.saturating_sub(builder.len()));
                    builder.append_constant(value.as_ref(), rows)?;
                }
                StoredPage::Of { open, encoding, at, bytes, dictionary, live } => {
                    Page::open(encoding, self.sql_type.stored(), live.len(), &bytes, dictionary.as_deref())
                        .and_then(|mut page| page.decode(Selection::Rows(&live), &mut builder))
                        .map_err(|e| open.locate(e, at))?;
                }
            }
            if let BuilderValues::Views(text) = &builder.values {
                // The lowest 32 bits of a view are the length.
                text_bytes += text.views[before..].iter().map(|view| u64::from(*view as u32)).sum::<u64>();
            }
            if builder.len() >= most_rows || text_bytes >= MOST_BYTES {
                break;
            }
        }
        let rows = builder.len().min(most_rows);
        if rows == 0 {
            return Ok(None);
        }
        Column::from_array(&builder.finish()?.slice(0, rows), self.sql_type).map(Some)
    }
}
