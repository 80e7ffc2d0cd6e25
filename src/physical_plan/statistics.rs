//! What a scan tells the planner about its rows.

use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics};
use datafusion::physical_plan::PhysicalExpr;

use super::estimate::TableView;
use super::filter::from_scalar;
use super::scan::ScanTable;
use crate::common::Scalar;

/// Statistics of the projected columns after the filters; exact where no filter, limit or delete blurs them. Distinct
/// values and bytes never are.
pub fn scan_statistics(
    table: &ScanTable,
    projection: &[usize],
    filters: &[Arc<dyn PhysicalExpr>],
    fetch: Option<usize>,
) -> Result<Statistics> {
    Ok(statistics_of(&TableView::new(table), table, projection, filters, fetch))
}

/// The same, of a table that is looked at already.
pub fn statistics_of(
    view: &TableView<'_>,
    table: &ScanTable,
    projection: &[usize],
    filters: &[Arc<dyn PhysicalExpr>],
    fetch: Option<usize>,
) -> Statistics {
    let live = view.live_rows();
    let exact = filters.is_empty() && fetch.is_none();
    let condition = view.condition(filters);
    let column = |ordinal: usize| view.column(ordinal);
    let share = if filters.is_empty() { 1.0 } else { condition.selectivity(&column) };
    let mut rows = (live as f64 * share).ceil() as usize;
    if let Some(fetch) = fetch {
        rows = rows.min(fetch);
    }
    let left = rows as f64 / (live as f64).max(1.0);
    // Without dead rows bounds are those of what the scan gives.
    let bounds_hold = exact && table.segments.iter().all(|s| s.deleted.is_none_or(|d| d.rows == 0));
    let mut total = 0.0;
    let mut column_statistics = Vec::with_capacity(projection.len());
    for ordinal in projection {
        let known = view.column(*ordinal).known_distinct().is_some();
        let distinct = known.then(|| condition.distinct_left(*ordinal, left, &column).round().max(1.0) as usize);
        let bytes = rows as f64 * view.row_bytes(*ordinal);
        total += bytes;
        column_statistics.push(ColumnStatistics {
            distinct_count: distinct.map_or(Precision::Absent, Precision::Inexact),
            byte_size: Precision::Inexact(bytes as usize),
            ..bounds_statistics(view, table, *ordinal, bounds_hold, share)
        });
    }
    Statistics {
        num_rows: if exact { Precision::Exact(rows) } else { Precision::Inexact(rows) },
        total_byte_size: Precision::Inexact(total as usize),
        column_statistics,
    }
}

/// One partition's share of a whole.
pub fn share(whole: Statistics, partitions: usize) -> Statistics {
    let part = |p: Precision<usize>| match p.get_value() {
        Some(n) => Precision::Inexact(n.div_ceil(partitions)),
        None => Precision::Absent,
    };
    let of_column = |column: ColumnStatistics| {
        let byte_size = part(column.byte_size);
        ColumnStatistics { byte_size, ..column.to_inexact() }
    };
    Statistics {
        num_rows: part(whole.num_rows),
        total_byte_size: part(whole.total_byte_size),
        column_statistics: whole.column_statistics.into_iter().map(of_column).collect(),
    }
}

/// NULLs, minimum and maximum; `share` of the rows are left.
fn bounds_statistics(
    view: &TableView<'_>,
    table: &ScanTable,
    ordinal: usize,
    exact: bool,
    share: f64,
) -> ColumnStatistics {
    let bounds = view.bounds(ordinal);
    let sql_type = table.def.columns[ordinal].sql_type;
    let precise = |value: Option<ScalarValue>, exact: bool| match value {
        Some(value) if exact => Precision::Exact(value),
        Some(value) => Precision::Inexact(value),
        None => Precision::Absent,
    };
    let literal = |s: &Option<Scalar>| s.as_ref().and_then(|s| from_scalar(s, sql_type));
    ColumnStatistics {
        null_count: match exact {
            true => Precision::Exact(bounds.null_count as usize),
            false => Precision::Inexact((bounds.null_count as f64 * share).ceil() as usize),
        },
        min_value: precise(literal(&bounds.min), exact && bounds.exact),
        max_value: precise(literal(&bounds.max), exact && bounds.exact),
        ..ColumnStatistics::new_unknown()
    }
}

pub(super) fn number(scalar: &Scalar) -> Option<f64> {
    match scalar {
        Scalar::Int(v) => Some(*v as f64),
        Scalar::Float(v) => Some(*v),
        Scalar::Bool(_) | Scalar::Bytes(_) => None,
    }
}
