//! What AUTO makes of a table, by the rows that a load brings (our own rules; Redshift's are unpublished).

use arrow::array::{Array, ArrayRef, AsArray, new_empty_array};
use arrow::datatypes::{Date32Type, TimestampMicrosecondType};

use crate::catalog::{EffectiveDist, TableDef};
use crate::common::{ColumnId, DistStyle, Result, SortKey, SortStyle, SqlType};
use crate::distribution::hash_array;
use crate::storage::writer::{AUTO_ALL_MAX_BYTES, AUTO_ALL_MAX_ROWS, SliceSorter};

/// A first load of fewer rows says nothing of the order that later ones come in: one zone.
pub(super) const AUTO_SORT_MIN_ROWS: u64 = 8192;

/// The sort key of an empty table, and why.
///
/// In this order: the columns that CREATE TABLE AS orders by; the first DATE, TIMESTAMP or TIMESTAMPTZ column by which every batch
/// comes in order, without NULL and not all equal; the primary key. Only the first is taken from a small load.
pub(super) fn sort_key(
    def: &TableDef,
    ordered_by: &[ColumnId],
    rows: &SliceSorter,
) -> Result<Option<(SortKey, &'static str)>> {
    let key = |columns: Vec<ColumnId>| SortKey { style: SortStyle::Compound, columns };
    let can_sort = |id: &ColumnId| def.column(*id).is_some_and(|c| c.sql_type.can_be_key());
    if !ordered_by.is_empty() && ordered_by.iter().all(can_sort) && rows.total_rows() > 0 {
        return Ok(Some((key(ordered_by.to_vec()), "the order of its query")));
    }
    if rows.total_rows() < AUTO_SORT_MIN_ROWS {
        return Ok(None);
    }
    for (ordinal, column) in def.columns.iter().enumerate() {
        if comes_in_order(rows, ordinal, column.sql_type)? {
            return Ok(Some((key(vec![column.id]), "the order that its first rows came in")));
        }
    }
    let primary = def.primary_key().filter(|columns| columns.iter().all(can_sort));
    Ok(primary.map(|columns| (key(columns.to_vec()), "its primary key")))
}

fn comes_in_order(rows: &SliceSorter, ordinal: usize, sql_type: SqlType) -> Result<bool> {
    if !matches!(sql_type, SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz) {
        return Ok(false);
    }
    let (mut min, mut max) = (i64::MAX, i64::MIN);
    for batches in rows.came(ordinal) {
        // Most columns are found to be in no order by their first rows.
        if !batches?.iter().all(|batch| {
            is_ascending(batch, sql_type, &mut |value| {
                (min, max) = (min.min(value), max.max(value));
            })
        }) {
            return Ok(false);
        }
    }
    Ok(min < max)
}

/// Whether the days or moments of a batch ascend, none of them NULL; `sees` is told of each that was looked at.
fn is_ascending(batch: &ArrayRef, sql_type: SqlType, sees: &mut impl FnMut(i64)) -> bool {
    let mut before = i64::MIN;
    let mut follows = |value: i64| {
        sees(value);
        std::mem::replace(&mut before, value) <= value
    };
    batch.null_count() == 0
        && match sql_type {
            SqlType::Date => batch.as_primitive::<Date32Type>().values().iter().all(|day| follows(i64::from(*day))),
            _ => batch.as_primitive::<TimestampMicrosecondType>().values().iter().all(|at| follows(*at)),
        }
}

/// What DISTSTYLE AUTO amounts to for a table of so many rows and bytes of Arrow arrays, and why: ALL while it is small,
/// then KEY where one column is the primary key, else EVEN.
pub(super) fn distribution(def: &TableDef, rows: u64, bytes: u64) -> (EffectiveDist, &'static str) {
    if def.dist != DistStyle::Auto || rows <= AUTO_ALL_MAX_ROWS && bytes <= AUTO_ALL_MAX_BYTES {
        return (def.effective_dist, "it is small");
    }
    match def.primary_key() {
        Some([id]) if def.hash_is_known() && can_be_hashed(def, *id) => {
            (EffectiveDist::Key(*id), "it has outgrown ALL, and that is its primary key")
        }
        _ => (EffectiveDist::Even, "it has outgrown ALL, and no single column is its primary key"),
    }
}

fn can_be_hashed(def: &TableDef, id: ColumnId) -> bool {
    let column = def.column(id);
    column.is_some_and(|c| c.sql_type.can_be_key() && hash_array(&new_empty_array(&c.sql_type.arrow_type())).is_ok())
}
