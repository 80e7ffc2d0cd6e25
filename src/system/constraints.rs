//! pg_constraint: what tables declare of their rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int16Builder, Int32Array, ListBuilder, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::SystemContext;
use crate::catalog::{ConstraintKind, TableDef};
use crate::common::{ColumnId, Result};

pub(super) fn schema() -> Schema {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let int = |name: &str| Field::new(name, DataType::Int32, false);
    let list = |name: &str| Field::new(name, DataType::new_list(DataType::Int16, true), true);
    Schema::new(vec![
        text("conname", false),
        int("connamespace"),
        text("contype", false),
        Field::new("condeferrable", DataType::Boolean, false),
        Field::new("condeferred", DataType::Boolean, false),
        int("conrelid"),
        int("contypid"),
        int("confrelid"),
        text("confupdtype", false),
        text("confdeltype", false),
        text("confmatchtype", false),
        list("conkey"),
        list("confkey"),
        text("conbin", true),
        text("consrc", true),
        Field::new("convalidated", DataType::Boolean, false),
    ])
}

/// PostgreSQL's columns. `contype` is `p`, `u` or `f`; `conrelid` and `confrelid` are numbers of tables, `conkey` and
/// `confkey` those of columns, counted from 1. The actions of a
/// foreign key are `a` (none). `convalidated` is true of what is VERIFIED.
pub(super) fn columns(context: &SystemContext) -> Result<Vec<ArrayRef>> {
    let (mut names, mut schemas, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tables, mut parents) = (Vec::new(), Vec::new());
    let mut validated = Vec::new();
    let (mut keys, mut referenced_keys) =
        (ListBuilder::new(Int16Builder::new()), ListBuilder::new(Int16Builder::new()));
    for (home, def) in context.homes().flat_map(|home| home.snapshot.tables.values().map(move |t| (home, &t.def))) {
        for (constraint, name) in def.constraints.iter().zip(def.constraint_names()) {
            names.push(name);
            schemas.push(home.schema_oid(def.schema));
            tables.push(home.oid(def.id));
            keys.append_value(ordinals(def, &constraint.columns));
            let (kind, parent) = match &constraint.kind {
                ConstraintKind::PrimaryKey => ("p", None),
                ConstraintKind::Unique => ("u", None),
                ConstraintKind::ForeignKey { table, referenced } => ("f", Some((*table, referenced))),
            };
            kinds.push(kind);
            validated.push(constraint.is_verified());
            parents.push(parent.map_or(0, |(table, _)| home.oid(table)));
            match parent.and_then(|(table, ids)| Some((home.snapshot.table(table)?, ids))) {
                Some((parent, ids)) => referenced_keys.append_value(ordinals(&parent.def, ids)),
                None => referenced_keys.append_null(),
            }
        }
    }
    let rows = names.len();
    let no = || -> ArrayRef { Arc::new(BooleanArray::from(vec![false; rows])) };
    let actions = |action: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(kinds.iter().map(|k| if *k == "f" { action } else { " " })))
    };
    let nothing = || -> ArrayRef { Arc::new(StringArray::new_null(rows)) };
    let (by_update, by_delete, matching) = (actions("a"), actions("a"), actions("s"));
    Ok(vec![
        Arc::new(StringArray::from(names)),
        Arc::new(Int32Array::from(schemas)),
        Arc::new(StringArray::from(kinds)),
        no(),
        no(),
        Arc::new(Int32Array::from(tables)),
        Arc::new(Int32Array::from(vec![0; rows])),
        Arc::new(Int32Array::from(parents)),
        by_update,
        by_delete,
        matching,
        Arc::new(keys.finish()),
        Arc::new(referenced_keys.finish()),
        nothing(),
        nothing(),
        Arc::new(BooleanArray::from(validated)),
    ])
}

fn ordinals(def: &TableDef, ids: &[ColumnId]) -> Vec<Option<i16>> {
    ids.iter().map(|id| def.columns.iter().position(|c| c.id == *id).map(|at| at as i16 + 1)).collect()
}
