//! stv_zonelist: one row per zone and column. Redshift has no such table: its zone maps are stv_blocklist's.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::blocks::{as_bigint, as_text, encoding_word};
use super::{Home, SystemContext};
use crate::catalog::TableState;
use crate::common::{Bounds, Result, Scalar, SqlType};

/// A zone of one column.
struct Zone {
    tbl: i32,
    slice: i32,
    segment: i64,
    run: i64,
    sorted: bool,
    /// Counts the zones of the segment.
    zone: i32,
    rows: i32,
    deleted: i32,
    col: i32,
    column: String,
    sql_type: SqlType,
    encoding: &'static str,
    bytes: i64,
    dictionary_bytes: i64,
    bounds: Bounds,
}

pub(super) fn schema() -> Schema {
    let int = |name: &str| Field::new(name, DataType::Int32, false);
    let bigint = |name: &str, nullable| Field::new(name, DataType::Int64, nullable);
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Schema::new(vec![
        int("tbl"),
        int("slice"),
        bigint("segment", false),
        bigint("run", false),
        int("unsorted"),
        int("zone"),
        int("num_values"),
        int("deleted"),
        int("col"),
        text("column", false),
        text("encoding", false),
        bigint("bytes", false),
        bigint("dictionary_bytes", false),
        int("nulls"),
        bigint("minvalue", true),
        bigint("maxvalue", true),
        text("min_decoded", true),
        text("max_decoded", true),
    ])
}

/// Zones in the order of table, slice, segment, column. `unsorted`, `minvalue`, `maxvalue` and the decoded bounds are
/// those of `stv_blocklist`; `bytes` are those of the zone's page, and `dictionary_bytes` of the dictionaries that the
/// segment's column has, in the zone where each is first used.
pub(super) async fn columns(context: &SystemContext) -> Result<Vec<ArrayRef>> {
    let mut rows = Vec::new();
    for (home, state) in context.tables() {
        zones_of(home, state, &mut rows).await?;
    }
    let int =
        |value: &dyn Fn(&Zone) -> i32| -> ArrayRef { Arc::new(Int32Array::from_iter_values(rows.iter().map(value))) };
    let bigint =
        |value: &dyn Fn(&Zone) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(rows.iter().map(value))) };
    let bound = |value: &dyn Fn(&Bounds) -> Option<Scalar>| -> ArrayRef {
        Arc::new(rows.iter().map(|z| value(&z.bounds).map(|v| as_bigint(&v, z.sql_type))).collect::<Int64Array>())
    };
    let decoded = |value: &dyn Fn(&Bounds) -> Option<Scalar>| -> ArrayRef {
        Arc::new(rows.iter().map(|z| value(&z.bounds).map(|v| as_text(&v, z.sql_type))).collect::<StringArray>())
    };
    Ok(vec![
        int(&|z| z.tbl),
        int(&|z| z.slice),
        bigint(&|z| z.segment),
        bigint(&|z| z.run),
        int(&|z| i32::from(!z.sorted)),
        int(&|z| z.zone),
        int(&|z| z.rows),
        int(&|z| z.deleted),
        int(&|z| z.col),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|z| &z.column))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|z| z.encoding))),
        bigint(&|z| z.bytes),
        bigint(&|z| z.dictionary_bytes),
        int(&|z| z.bounds.null_count as i32),
        bound(&|b| b.min.clone()),
        bound(&|b| b.max.clone()),
        decoded(&|b| b.min.clone()),
        decoded(&|b| b.max.clone()),
    ])
}

async fn zones_of(home: &Home, state: &TableState, zones: &mut Vec<Zone>) -> Result<()> {
    let store = &home.segments;
    let sorted = state.sorted_run();
    for segment in state.segments.iter() {
        let open = store.open(segment).await?;
        let dead = store.deleted(segment).await?;
        let zone_rows = open.footer.geometry().zone_rows();
        let per_chunk = open.footer.geometry().zones_per_chunk();
        let deleted = |zone: usize| match &dead {
            // Positions within a segment fit 32 bits: its rows do.
            Some(dead) => {
                let first = (zone * zone_rows) as u32;
                dead.range_cardinality(first..first + open.footer.zone_rows(zone) as u32) as i32
            }
            None => 0,
        };
        for (col, def) in state.def.columns.iter().enumerate() {
            let Some(ordinal) = open.ordinal(def.id) else { continue };
            let directory = open.directory(ordinal)?;
            let mut shared = None;
            for (zone, stats) in open.zone_map(ordinal)?.iter().enumerate() {
                let chunk = &directory.chunks[zone / per_chunk];
                // Chunks may share one dictionary, which counts where it is met first.
                let dictionary = chunk.dictionary.filter(|d| Some(d.range.offset) != shared);
                shared = chunk.dictionary.map(|d| d.range.offset).or(shared);
                zones.push(Zone {
                    tbl: home.oid(state.def.id),
                    slice: segment.slice as i32,
                    segment: segment.id.0 as i64,
                    run: segment.run.0 as i64,
                    sorted: Some(segment.run) == sorted,
                    zone: zone as i32,
                    rows: stats.bounds.rows as i32,
                    deleted: deleted(zone),
                    col: col as i32,
                    column: def.name.clone(),
                    sql_type: def.sql_type,
                    encoding: encoding_word(chunk.encoding),
                    bytes: i64::from(chunk.pages[zone % per_chunk].range.len),
                    dictionary_bytes: dictionary.map_or(0, |d| i64::from(d.range.len)),
                    bounds: stats.bounds.clone(),
                });
            }
        }
    }
    Ok(())
}
