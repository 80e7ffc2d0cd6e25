//! A table's statistics on the store: read when wanted, put together anew when too many rows are not in them.
//!
//! Whatever is wrong with them, they are only missed: a warning says so, and the planner goes by the catalog's bounds.

use std::sync::Arc;

use futures::{StreamExt, stream};

use super::segment::SegmentStore;
use crate::catalog::model::{SegmentRef, StatisticsRef, TableState};
use crate::common::{ErrorKind, Result};
use crate::statistics::{SegmentSketches, TableStatistics, table::MAX_BYTES};

/// The share of a table's rows that a commit leaves out of its statistics, at most, in percent: as much as ANALYZE leaves
/// unlooked at by default (Redshift manual, "analyze_threshold_percent").
const UNCOVERED_PERCENT: u64 = 10;
/// Segments whose footers a commit reads for it, at most (our own choice): of more, ANALYZE makes statistics.
const MOST_SEGMENTS: usize = 1024;
/// Footers read at a time.
const PARALLEL: usize = 16;

impl SegmentStore {
    /// The statistics that the catalog names; `None`, with a warning, where they cannot be had.
    pub async fn statistics(&self, reference: &StatisticsRef) -> Option<Arc<TableStatistics>> {
        if let Some(known) = self.kept_statistics().get(&reference.extent) {
            return known;
        }
        let extent = reference.extent;
        let read = async {
            if extent.len > MAX_BYTES {
                return Err(crate::common::Error::corrupt(0, format!("{} bytes of statistics", extent.len)));
            }
            let bytes = self.read_extent(&extent).await?;
            TableStatistics::decode(&bytes).map_err(|e| e.in_object(extent.object, extent.offset))
        };
        let read = read.await.map(Arc::new);
        if let Err(e) = &read {
            tracing::warn!(object = %extent.object, error = %e, "a table's statistics cannot be read");
        }
        // Another attempt may succeed where the store was out of reach.
        if !read.as_ref().is_err_and(|e| e.kind() == ErrorKind::Unavailable) {
            self.kept_statistics().insert(extent, read.as_ref().ok().cloned());
        }
        read.ok()
    }

    /// The same, as far as it is known without reading.
    pub fn known_statistics(&self, reference: &StatisticsRef) -> Option<Arc<TableStatistics>> {
        self.kept_statistics().get(&reference.extent)?
    }

    /// What a segment's footer says of its columns' values; `None` where it says nothing, or nothing that can be read.
    ///
    /// Errors: Unavailable.
    async fn sketches(&self, segment: &SegmentRef) -> Result<Option<SegmentSketches>> {
        let read = async {
            let open = self.open(segment).await?;
            match open.footer.sketches().map_err(|e| open.locate(e, 0))? {
                Some(bytes) => SegmentSketches::decode(bytes, u64::from(segment.rows)).map_err(|e| open.locate(e, 0)),
                None => Ok(None),
            }
        };
        match read.await {
            Err(e) if e.kind() != ErrorKind::Unavailable => {
                tracing::warn!(object = %segment.extent.object, error = %e, "a segment's sketches cannot be read");
                Ok(None)
            }
            read => read,
        }
    }

    /// The sketches of several segments together.
    ///
    /// Errors: Unavailable.
    pub async fn sketches_of(&self, segments: &[Arc<SegmentRef>]) -> Result<SegmentSketches> {
        let reads = segments.iter().map(Arc::clone).map(|segment| async move { self.sketches(&segment).await });
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL);
        let mut all = SegmentSketches::default();
        while let Some(read) = reads.next().await {
            if let Some(sketches) = read? {
                all.merge(&sketches);
            }
        }
        Ok(all)
    }
}

/// The statistics of `table` with a load's rows, of which `own` are the sketches, where the former ones leave out too many
/// rows; `None` where they do well enough.
///
/// Of fewer rows than fill a zone nothing is written: they say little of those to come (as with rank maps). Errors:
/// Unavailable.
pub async fn renewed(
    segments: &SegmentStore,
    table: &TableState,
    own: &SegmentSketches,
    own_rows: u64,
    zone_rows: u64,
) -> Result<Option<TableStatistics>> {
    let old = match &table.statistics {
        Some(reference) => segments.statistics(reference).await.map(|old| (old, reference.covers)),
        None => None,
    };
    let covered = |segment: &SegmentRef| old.as_ref().is_some_and(|(_, mark)| mark.has(segment));
    let uncovered: Vec<Arc<SegmentRef>> = table.segments.iter().filter(|s| !covered(s)).cloned().collect();
    let rows = own_rows + uncovered.iter().map(|s| u64::from(s.rows)).sum::<u64>();
    let all = own_rows + table.stored_rows();
    if rows < zone_rows || rows * 100 <= all * UNCOVERED_PERCENT || uncovered.len() > MOST_SEGMENTS {
        return Ok(None);
    }
    let mut new = old.map(|(old, _)| TableStatistics::clone(&old)).unwrap_or_default();
    new.add(&segments.sketches_of(&uncovered).await?);
    new.add(own);
    new.columns.retain(|id, _| table.def.column(*id).is_some());
    Ok(Some(new))
}
