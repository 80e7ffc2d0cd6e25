//! What a scan counts, as EXPLAIN ANALYZE shows it.

use std::collections::BTreeMap;

use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, Time};

use super::filter::FilterKind;

/// Counters of one partition of a scan.
#[derive(Debug)]
pub struct ScanMetrics {
    pub baseline: BaselineMetrics,
    pub slices: Count,
    pub segments: Count,
    pub chunks: Count,
    /// Zones of the segments given to this partition, pruned ones included.
    pub zones: Count,
    pub segments_pruned: Pruned,
    pub chunks_pruned: Pruned,
    pub zones_pruned: Pruned,
    pub slices_pruned: Count,
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
            slices_pruned: counter("slices_pruned"),
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

    /// Counts `rows` decoded of the column of that ordinal.
    pub fn add_decoded(&self, column: usize, rows: usize) {
        if let Some(count) = self.decoded.get(&column) {
            count.add(rows);
        }
    }
}
