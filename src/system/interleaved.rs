//! svv_interleaved_columns: how well the rank maps of interleaved sort keys still fit.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int32Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::SystemContext;
use crate::catalog::{RankColumn, TableState};
use crate::common::Result;

pub(super) fn schema() -> Schema {
    Schema::new(vec![
        Field::new("tbl", DataType::Int32, false),
        Field::new("col", DataType::Int32, false),
        Field::new("interleaved_skew", DataType::Decimal128(19, 2), true),
        Field::new("last_reindex", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ])
}

/// The columns of interleaved sort keys, in the order of table and key; `col` counts the table's columns from 0.
///
/// - `interleaved_skew` is [`RankColumn::skew`] of the rows that are ordered by the table's present map, dead ones
///   included: 1.00 while they are spread as when it was made. Loads count rows by coarse ranks as they write them, so that
///   nothing is read for it. NULL while no rows are ordered by a map.
/// - `last_reindex` is NULL: no VACUUM REINDEX was ever run.
pub(super) fn columns(context: &SystemContext) -> Result<Vec<ArrayRef>> {
    let (mut tables, mut ordinals, mut skews) = (Vec::new(), Vec::new(), Vec::new());
    for (home, state) in context.tables() {
        for (at, id) in state.def.interleaved().iter().enumerate() {
            let Some(ordinal) = state.def.columns.iter().position(|c| c.id == *id) else { continue };
            tables.push(home.oid(state.def.id));
            ordinals.push(ordinal as i32);
            skews.push(skew(state, at).map(|skew| (skew * 100.0).round() as i128));
        }
    }
    let rows = tables.len();
    Ok(vec![
        Arc::new(Int32Array::from(tables)),
        Arc::new(Int32Array::from(ordinals)),
        Arc::new(Decimal128Array::from(skews).with_precision_and_scale(19, 2)?),
        Arc::new(TimestampMicrosecondArray::new_null(rows)),
    ])
}

/// Of the key's column `at`.
fn skew(state: &TableState, at: usize) -> Option<f64> {
    let map = state.rank_map.as_ref()?;
    let mut counts = [0u64; RankColumn::COARSE];
    for segment in state.segments.iter().filter(|s| s.rank_map == map.version) {
        let of_column = segment.rank_counts.chunks(RankColumn::COARSE).nth(at).unwrap_or_default();
        counts.iter_mut().zip(of_column).for_each(|(sum, count)| *sum += u64::from(*count));
    }
    map.columns.get(at)?.skew(&counts)
}
