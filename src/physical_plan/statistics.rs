//! What a scan tells the planner about its rows.

use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics};
use datafusion::physical_plan::PhysicalExpr;

use super::filter::{BoundsTrust, FilterCompiler, FilterKind, Routing, from_scalar};
use super::scan::{ScanTable, arrow_row_bytes};
use crate::common::{Bounds, Comparison, Predicate, Scalar};

/// The share of rows that a conjunct nothing is known of lets through (DataFusion's own default is a fifth, too).
const UNKNOWN_SELECTIVITY: f64 = 0.2;
/// Distinct values assumed of text.
const TEXT_DISTINCT: f64 = 20.0;

/// Statistics of the projected columns after the filters; exact where no filter, limit or delete blurs them.
pub fn scan_statistics(
    table: &ScanTable,
    projection: &[usize],
    filters: &[Arc<dyn PhysicalExpr>],
    fetch: Option<usize>,
) -> Result<Statistics> {
    let stored: u64 = table.segments.iter().map(|s| u64::from(s.rows)).sum();
    let dead: u64 = table.segments.iter().map(|s| s.deleted.map_or(0, |d| u64::from(d.rows))).sum();
    let live = stored - dead;
    let bounds: Vec<Bounds> = (0..table.def.columns.len()).map(|ordinal| table_bounds(table, ordinal)).collect();
    let selectivity = selectivity(table, &bounds, filters)?;
    let exact = selectivity.is_none() && fetch.is_none();
    let mut rows = (live as f64 * selectivity.unwrap_or(1.0)).ceil() as usize;
    if let Some(fetch) = fetch {
        rows = rows.min(fetch);
    }
    let num_rows = if exact { Precision::Exact(rows) } else { Precision::Inexact(rows) };
    let column_statistics = projection
        .iter()
        .map(|ordinal| column_statistics(table, *ordinal, &bounds[*ordinal], exact && dead == 0))
        .collect();
    Ok(Statistics {
        num_rows,
        total_byte_size: Precision::Inexact(rows * arrow_row_bytes(&table.def, projection)),
        column_statistics,
    })
}

/// One partition's share of a whole.
pub fn share(whole: Statistics, partitions: usize) -> Statistics {
    let part = |p: Precision<usize>| match p.get_value() {
        Some(n) => Precision::Inexact(n.div_ceil(partitions)),
        None => Precision::Absent,
    };
    Statistics {
        num_rows: part(whole.num_rows),
        total_byte_size: part(whole.total_byte_size),
        column_statistics: whole.column_statistics.into_iter().map(ColumnStatistics::to_inexact).collect(),
    }
}

fn table_bounds(table: &ScanTable, ordinal: usize) -> Bounds {
    let column = &table.def.columns[ordinal];
    table.segments.iter().fold(Bounds::empty(), |all, segment| {
        let rows = u64::from(segment.rows);
        let of = match segment.columns.iter().find(|c| c.id == column.id) {
            Some(stored) => stored.bounds.clone(),
            None => match &column.absent {
                Some(value) => Bounds::of_values(value.clone(), value.clone(), 0, rows),
                None => Bounds { exact: true, ..Bounds::unknown(rows, rows) },
            },
        };
        all.merge(&of)
    })
}

fn column_statistics(table: &ScanTable, ordinal: usize, bounds: &Bounds, exact: bool) -> ColumnStatistics {
    let sql_type = table.def.columns[ordinal].sql_type;
    let precise = |value: Option<ScalarValue>, exact: bool| match value {
        Some(value) if exact => Precision::Exact(value),
        Some(value) => Precision::Inexact(value),
        None => Precision::Absent,
    };
    let literal = |s: &Option<Scalar>| s.as_ref().and_then(|s| from_scalar(s, sql_type));
    let null_count = bounds.null_count as usize;
    ColumnStatistics {
        null_count: if exact { Precision::Exact(null_count) } else { Precision::Inexact(null_count) },
        min_value: precise(literal(&bounds.min), exact && bounds.exact),
        max_value: precise(literal(&bounds.max), exact && bounds.exact),
        ..ColumnStatistics::new_unknown()
    }
}

/// The estimated share of rows that pass; `None` without filters.
fn selectivity(table: &ScanTable, bounds: &[Bounds], filters: &[Arc<dyn PhysicalExpr>]) -> Result<Option<f64>> {
    if filters.is_empty() {
        return Ok(None);
    }
    let types = table.def.columns.iter().map(|c| c.sql_type).collect();
    let routing = Routing { partition: 0, partitions: 1, key: None };
    let compiled = FilterCompiler::new(filters.to_vec(), types, routing, BoundsTrust::None).compile()?;
    if compiled.never {
        return Ok(Some(0.0));
    }
    let mut share = 1.0;
    // The two ends of a range on one column are one restriction, not two independent ones.
    let mut ranges: Vec<(usize, f64, f64)> = Vec::new();
    for conjunct in compiled.encoded.iter().filter(|c| c.kind == FilterKind::Static) {
        let of = &bounds[conjunct.column];
        match range_of(&conjunct.predicate, of) {
            Some((low, high)) => match ranges.iter_mut().find(|(column, ..)| *column == conjunct.column) {
                Some((_, l, h)) => (*l, *h) = (l.max(low), h.min(high)),
                None => ranges.push((conjunct.column, low, high)),
            },
            None => share *= predicate_selectivity(&conjunct.predicate, of),
        }
    }
    for (_, low, high) in ranges {
        share *= (high - low).clamp(0.0, 1.0);
    }
    for _ in compiled.residual.iter().filter(|c| c.kind == FilterKind::Static) {
        share *= UNKNOWN_SELECTIVITY;
    }
    Ok(Some(share))
}

/// The part of the value range, as fractions of it, that a range predicate keeps.
fn range_of(predicate: &Predicate, bounds: &Bounds) -> Option<(f64, f64)> {
    let (min, max) = (number(bounds.min.as_ref()?)?, number(bounds.max.as_ref()?)?);
    let at = |v: &Scalar| {
        let v = number(v)?;
        Some(if max > min { ((v - min) / (max - min)).clamp(0.0, 1.0) } else { 0.5 })
    };
    match predicate {
        Predicate::Compare(Comparison::Lt | Comparison::LtEq, v) => Some((0.0, at(v)?)),
        Predicate::Compare(Comparison::Gt | Comparison::GtEq, v) => Some((at(v)?, 1.0)),
        Predicate::Between { low, high, negated: false } => Some((at(low)?, at(high)?)),
        _ => None,
    }
}

fn predicate_selectivity(predicate: &Predicate, bounds: &Bounds) -> f64 {
    if !bounds.may_satisfy(predicate) {
        return 0.0;
    }
    let rows = (bounds.rows as f64).max(1.0);
    let nulls = bounds.null_count as f64 / rows;
    let distinct = match (bounds.min.as_ref().and_then(number), bounds.max.as_ref().and_then(number)) {
        (Some(min), Some(max)) => (max - min + 1.0).clamp(1.0, rows),
        _ => TEXT_DISTINCT,
    };
    let either = |share: f64, negated: bool| if negated { 1.0 - share } else { share };
    let share: f64 = match predicate {
        Predicate::Compare(Comparison::Eq, _) => 1.0 / distinct,
        Predicate::Compare(Comparison::NotEq, _) => 1.0 - 1.0 / distinct,
        Predicate::Compare(..) => 1.0 / 3.0,
        Predicate::Between { negated, .. } => either(0.25, *negated),
        Predicate::In { values, negated } => either((values.len() as f64 / distinct).min(1.0), *negated),
        Predicate::IsNull => nulls,
        Predicate::IsNotNull => 1.0 - nulls,
        Predicate::Like { negated, .. } => either(0.1, *negated),
    };
    share.clamp(0.0, 1.0)
}

pub(super) fn number(scalar: &Scalar) -> Option<f64> {
    match scalar {
        Scalar::Int(v) => Some(*v as f64),
        Scalar::Float(v) => Some(*v),
        Scalar::Bool(_) | Scalar::Bytes(_) => None,
    }
}
