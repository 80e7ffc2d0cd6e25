//! stv_slices and stv_tbl_perm: slices, and what each holds of every table.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::SystemContext;
use super::blocks::blocks_of;
use crate::catalog::{EffectiveDist, TableState};
use crate::common::{DistStyle, Result};

/// Redshift's code for a distribution style in force (`pg_class_info.releffectivediststyle`).
pub(super) fn dist_code(state: &TableState) -> i32 {
    match (state.def.dist, state.def.effective_dist) {
        (DistStyle::Auto, EffectiveDist::All) => 10,
        (DistStyle::Auto, EffectiveDist::Even) => 11,
        (DistStyle::Auto, EffectiveDist::Key(_)) => 12,
        (_, EffectiveDist::Even) => 0,
        (_, EffectiveDist::Key(_)) => 1,
        (_, EffectiveDist::All) => 8,
    }
}

pub(super) fn stv_slices_schema() -> Schema {
    Schema::new(vec![
        Field::new("node", DataType::Int32, false),
        Field::new("slice", DataType::Int32, false),
        Field::new("localslice", DataType::Int32, false),
        Field::new("type", DataType::Utf8, false),
    ])
}

/// All slices are data slices of node 0.
pub(super) fn stv_slices(context: &SystemContext) -> Vec<ArrayRef> {
    let slices = 0..context.own.snapshot.info.slices as i32;
    vec![
        Arc::new(Int32Array::from_iter_values(slices.clone().map(|_| 0))),
        Arc::new(Int32Array::from_iter_values(slices.clone())),
        Arc::new(Int32Array::from_iter_values(slices.clone())),
        Arc::new(StringArray::from_iter_values(slices.map(|_| "D"))),
    ]
}

pub(super) fn stv_tbl_perm_schema() -> Schema {
    let int = |name: &str| Field::new(name, DataType::Int32, false);
    let bigint = |name: &str| Field::new(name, DataType::Int64, false);
    Schema::new(vec![
        int("slice"),
        int("id"),
        Field::new("name", DataType::Utf8, false),
        bigint("rows"),
        bigint("sorted_rows"),
        int("temp"),
        int("db_id"),
        int("insert_pristine"),
        int("delete_pristine"),
        int("backup"),
        int("dist_style"),
        int("block_count"),
    ])
}

struct SliceOfTable {
    slice: i32,
    id: i32,
    name: String,
    rows: i64,
    sorted_rows: i64,
    temp: i32,
    backup: i32,
    dist_style: i32,
    blocks: i32,
}

/// One row per table and slice, also where the slice holds nothing. `rows` counts dead rows too; `sorted_rows` those
/// of the sorted region, 0 without a sort key. `temp` is 1 for the session's temporary tables,
/// `backup` 0 for BACKUP NO, else 1; all else that has no meaning here 0. A table of
/// DISTSTYLE ALL is stored once, on slice 0.
pub(super) async fn stv_tbl_perm(context: &SystemContext) -> Result<Vec<ArrayRef>> {
    let mut rows: Vec<SliceOfTable> = Vec::new();
    for (home, state) in context.tables() {
        let sorted = state.sorted_run();
        let first = rows.len();
        rows.extend((0..home.snapshot.info.slices).map(|slice| SliceOfTable {
            slice: slice as i32,
            id: home.oid(state.def.id),
            name: state.def.name.clone(),
            rows: 0,
            sorted_rows: 0,
            temp: i32::from(home.temporary),
            backup: i32::from(state.def.backup),
            dist_style: dist_code(state),
            blocks: 0,
        }));
        for segment in state.segments.iter() {
            let of = &mut rows[first + segment.slice as usize];
            of.rows += i64::from(segment.rows);
            if Some(segment.run) == sorted {
                of.sorted_rows += i64::from(segment.rows);
            }
        }
        for block in blocks_of(state, &home.segments).await? {
            rows[first + block.slice as usize].blocks += 1;
        }
    }
    let int = |value: &dyn Fn(&SliceOfTable) -> i32| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(rows.iter().map(value)))
    };
    Ok(vec![
        int(&|r| r.slice),
        int(&|r| r.id),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &r.name))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.rows))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.sorted_rows))),
        int(&|r| r.temp),
        int(&|_| 0),
        int(&|_| 0),
        int(&|_| 0),
        int(&|r| r.backup),
        int(&|r| r.dist_style),
        int(&|r| r.blocks),
    ])
}
