//! What a scan counts, as EXPLAIN ANALYZE shows it.

use std::collections::BTreeMap;

use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, Time};

use super::filter::FilterKind;
use super::work::{Parts, Unit};

/// Counters of one partition of a scan; over all partitions their sums are true counts.
///
/// Slices, segments, chunks and zones are those that the scan came to: a limit may end it before the last. Pruned are
/// those of which no zone is left, whatever pruned each; they count as pruned dynamically where a dynamic filter had to
/// help. Partitions may share a slice, segment or chunk: it is counted by the first that comes to it, and as pruned by
/// the one that prunes what is left of it.
#[derive(Debug)]
pub struct ScanMetrics {
    pub baseline: BaselineMetrics,
    pub slices: Count,
    pub segments: Count,
    pub chunks: Count,
    pub zones: Count,
    pub slices_pruned: Pruned,
    pub segments_pruned: Pruned,
    pub chunks_pruned: Pruned,
    pub zones_pruned: Pruned,
    /// Of footers, dictionaries, pages and delete vectors; nothing where they were in memory.
    pub bytes_read: Count,
    pub rows_deleted: Count,
    /// Zones left without a row after filters ran on encoded data.
    pub zones_filtered_out: Count,
    pub open_time: Time,
    pub filter_time: Time,
    pub decode_time: Time,
    /// Rows decoded, by ordinal of the table's column.
    decoded: BTreeMap<usize, Count>,
}

/// A count by the kind of filter that pruned.
#[derive(Debug)]
pub struct Pruned {
    by_static: Count,
    by_dynamic: Count,
}

impl Pruned {
    fn new(metrics: &ExecutionPlanMetricsSet, what: &str, partition: usize) -> Self {
        let counter = |kind: &str| MetricBuilder::new(metrics).counter(format!("{what}_pruned_{kind}"), partition);
        Pruned { by_static: counter("static"), by_dynamic: counter("dynamic") }
    }

    pub fn add(&self, kind: FilterKind, n: usize) {
        match kind {
            FilterKind::Static => self.by_static.add(n),
            FilterKind::Dynamic => self.by_dynamic.add(n),
        }
    }
}

impl ScanMetrics {
    /// `columns` are ordinals and names of the columns that may be decoded.
    pub fn new(metrics: &ExecutionPlanMetricsSet, partition: usize, columns: &[(usize, &str)]) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(metrics).counter(name, partition);
        let time = |name: &'static str| MetricBuilder::new(metrics).subset_time(name, partition);
        ScanMetrics {
            baseline: BaselineMetrics::new(metrics, partition),
            slices: counter("slices"),
            slices_pruned: Pruned::new(metrics, "slices", partition),
            segments: counter("segments"),
            segments_pruned: Pruned::new(metrics, "segments", partition),
            chunks: counter("chunks"),
            chunks_pruned: Pruned::new(metrics, "chunks", partition),
            zones: counter("zones"),
            zones_pruned: Pruned::new(metrics, "zones", partition),
            zones_filtered_out: counter("zones_filtered_out"),
            bytes_read: counter("bytes_read"),
            rows_deleted: counter("rows_deleted"),
            open_time: time("open_time"),
            filter_time: time("filter_time"),
            decode_time: time("decode_time"),
            decoded: columns
                .iter()
                .map(|(ordinal, name)| {
                    (*ordinal, MetricBuilder::new(metrics).counter(format!("rows_decoded[{name}]"), partition))
                })
                .collect(),
        }
    }

    /// Counts what the scan comes to with `unit`.
    pub(super) fn add_unit(&self, unit: &Unit) {
        let Parts { slice, segment, chunk } = &unit.parts;
        for (part, count) in [(slice, &self.slices), (segment, &self.segments), (chunk, &self.chunks)] {
            count.add(usize::from(part.begin()));
        }
        self.zones.add(unit.zones.len());
    }

    /// Counts `rows` decoded of the column of that ordinal.
    pub fn add_decoded(&self, column: usize, rows: usize) {
        if let Some(count) = self.decoded.get(&column) {
            count.add(rows);
        }
    }
}
