//! pg_statistic_indicator and predicate_columns: how old a table's statistics are, and which columns queries use.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float32Array, Int32Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::SystemContext;
use crate::catalog::EffectiveDist;
use crate::common::Result;

pub(super) fn indicator_schema() -> Schema {
    let real = |name: &str| Field::new(name, DataType::Float32, false);
    Schema::new(vec![
        Field::new("stairelid", DataType::Int32, false),
        real("stairows"),
        real("staiins"),
        real("staidels"),
    ])
}

/// Tables that were analyzed: their rows then, and rows inserted and deleted since. A table that never was shows what its
/// loads have told; one of which nothing is known has no row.
pub(super) fn indicator(context: &SystemContext) -> Vec<ArrayRef> {
    let known = context.tables().filter_map(|(_, state)| Some((state, state.statistics?)));
    let rows: Vec<(i32, u64, u64, u64)> = known
        .map(|(state, of)| {
            let mark = of.analyzed.unwrap_or(of.covers);
            let (inserted, deleted) = state.changed_since(&mark);
            (state.def.id.0 as i32, mark.live_rows, inserted, deleted)
        })
        .collect();
    let real = |values: Vec<u64>| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(values.into_iter().map(|value| value as f32)))
    };
    vec![
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0))),
        real(rows.iter().map(|row| row.1).collect()),
        real(rows.iter().map(|row| row.2).collect()),
        real(rows.iter().map(|row| row.3).collect()),
    ]
}

pub(super) fn predicate_columns_schema() -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), true);
    Schema::new(vec![
        text("schema_name"),
        text("table_name"),
        Field::new("col_num", DataType::Int32, false),
        text("col_name"),
        Field::new("is_predicate", DataType::Boolean, false),
        time("first_predicate_use"),
        time("last_predicate_use"),
    ])
}

/// Every column, and whether queries were noticed to filter, join or group by it, or it is a key: what
/// `ANALYZE PREDICATE COLUMNS` takes. Uses are kept by ANALYZE, so that those noticed since are not shown. Redshift's manual
/// has this as a view to be made by the user; `last_predicate_use` is our own.
pub(super) async fn predicate_columns(context: &SystemContext) -> Result<Vec<ArrayRef>> {
    let (mut schemas, mut tables, mut numbers, mut columns) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut predicates, mut first, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for (home, state) in context.tables() {
        let statistics = match &state.statistics {
            Some(reference) => home.segments.statistics(reference).await,
            None => None,
        };
        let def = &state.def;
        let schema = home.snapshot.schemas.get(&def.schema).map_or("", |schema| schema.name.as_str());
        for (at, column) in def.columns.iter().enumerate() {
            let used = statistics.as_ref().and_then(|s| s.columns.get(&column.id)?.used);
            let sorts = def.sort.as_ref().is_some_and(|key| key.columns.contains(&column.id));
            let distributes = def.effective_dist == EffectiveDist::Key(column.id);
            schemas.push(schema);
            tables.push(def.name.as_str());
            numbers.push(at as i32 + 1);
            columns.push(column.name.as_str());
            predicates.push(used.is_some() || sorts || distributes);
            first.push(used.map(|used| used.first_us));
            last.push(used.map(|used| used.last_us));
        }
    }
    Ok(vec![
        Arc::new(StringArray::from(schemas)),
        Arc::new(StringArray::from(tables)),
        Arc::new(Int32Array::from(numbers)),
        Arc::new(StringArray::from(columns)),
        Arc::new(BooleanArray::from(predicates)),
        Arc::new(TimestampMicrosecondArray::from(first)),
        Arc::new(TimestampMicrosecondArray::from(last)),
    ])
}
