//! The standard's information_schema, as far as Blueshift knows more of it than DataFusion does: tables, views, columns
//! with SQL's types, and what tables declare of their rows.

use super::context::{Relation, RelationKind, SystemContext};
use super::grid::Grid;
use super::listed::{ColumnRow, column_rows, table_type, yes_or_no};
use crate::catalog::{ConstraintKind, TableDef};
use crate::common::ColumnId;

pub(super) struct Row {
    database: String,
    schema: String,
    relation: Relation,
}

fn rows(context: Option<&SystemContext>) -> Vec<Row> {
    let relations = context.into_iter().flat_map(SystemContext::relations);
    let row = relations.map(|(database, schema, relation)| Row {
        database: database.name.clone(),
        schema: schema.name.clone(),
        relation: relation.clone(),
    });
    row.collect()
}

/// Tables of files, and those of the application, are base tables here: the standard has no word for them.
pub(super) fn tables(context: Option<&SystemContext>) -> Grid<Row> {
    Grid::of(rows(context))
        .word("table_catalog", |r| r.database.clone())
        .word("table_schema", |r| r.schema.clone())
        .word("table_name", |r| r.relation.name.clone())
        .word("table_type", |r| match r.relation.kind {
            RelationKind::External => "BASE TABLE".into(),
            kind => table_type(kind).into(),
        })
}

/// `view_definition` is the query; `definition`, which is DataFusion's column, the statement that makes the view again.
pub(super) fn views(context: Option<&SystemContext>) -> Grid<Row> {
    let views = rows(context).into_iter().filter(|r| r.relation.kind == RelationKind::View);
    Grid::of(views.collect())
        .word("table_catalog", |r| r.database.clone())
        .word("table_schema", |r| r.schema.clone())
        .word("table_name", |r| r.relation.name.clone())
        .text("view_definition", |r| r.relation.query.clone())
        .word("check_option", |_| "NONE".into())
        .word("is_updatable", |_| "NO".into())
        .text("definition", |r| r.relation.definition.clone())
}

/// `ordinal_position` counts from 1, as the standard and Redshift have it. Lengths are in bytes, as those of types.
pub(super) fn columns(context: Option<&SystemContext>) -> Grid<ColumnRow> {
    Grid::of(column_rows(context, |_, _| true))
        .word("table_catalog", |r| r.database.clone())
        .word("table_schema", |r| r.schema.clone())
        .word("table_name", |r| r.table.clone())
        .word("column_name", |r| r.column.name.clone())
        .int("ordinal_position", |r| r.number)
        .text("column_default", |r| r.column.default.clone())
        .word("is_nullable", |r| yes_or_no(r.column.nullable))
        .word("data_type", |r| r.column.data_type())
        .some_int("character_maximum_length", |r| r.column.length.map(|bytes| bytes as i32))
        .some_int("character_octet_length", |r| r.column.length.map(|bytes| bytes as i32))
        .some_int("numeric_precision", |r| r.column.precision().map(|(precision, ..)| precision))
        .some_int("numeric_precision_radix", |r| r.column.precision().map(|(_, radix, _)| radix))
        .some_int("numeric_scale", |r| r.column.precision().and_then(|(.., scale)| scale))
        .some_int("datetime_precision", |r| r.column.fraction())
        .nothing("interval_type")
}

/// What a table declares.
pub(super) struct Constraint {
    database: String,
    schema: String,
    name: String,
    table: String,
    kind: &'static str,
    /// Each column, and its place in the key that it refers to.
    columns: Vec<(String, Option<i32>)>,
    verified: bool,
}

fn constraints(context: Option<&SystemContext>) -> Vec<Constraint> {
    let mut found = Vec::new();
    let Some(context) = context else { return found };
    for home in context.homes() {
        for def in home.snapshot.tables.values().map(|table| &table.def) {
            for (constraint, name) in def.constraints.iter().zip(def.constraint_names()) {
                let (kind, key) = match &constraint.kind {
                    ConstraintKind::PrimaryKey => ("PRIMARY KEY", None),
                    ConstraintKind::Unique => ("UNIQUE", None),
                    ConstraintKind::ForeignKey { table, referenced } => {
                        let parent = home.snapshot.table(*table).map(|parent| &parent.def);
                        ("FOREIGN KEY", parent.and_then(|parent| Some((key_of(parent, referenced)?, referenced))))
                    }
                };
                let place = |i: usize| {
                    let (key, referenced) = key?;
                    Some(key.iter().position(|id| referenced.get(i) == Some(id))? as i32 + 1)
                };
                let columns = constraint
                    .columns
                    .iter()
                    .enumerate()
                    .filter_map(|(i, id)| Some((def.column(*id)?.name.clone(), place(i))));
                found.push(Constraint {
                    database: context.database.clone(),
                    schema: home.snapshot.schemas.get(&def.schema).map_or_else(String::new, |s| s.name.clone()),
                    name,
                    table: def.name.clone(),
                    kind,
                    columns: columns.collect(),
                    verified: constraint.is_verified(),
                });
            }
        }
    }
    found
}

/// The primary key or UNIQUE of exactly these columns, in whatever order.
fn key_of<'a>(parent: &'a TableDef, referenced: &[ColumnId]) -> Option<&'a [ColumnId]> {
    let keys = parent.constraints.iter().filter(|c| !matches!(c.kind, ConstraintKind::ForeignKey { .. }));
    let mut keys = keys.map(|c| c.columns.as_slice());
    keys.find(|key| key.len() == referenced.len() && key.iter().all(|id| referenced.contains(id)))
}

/// What is VERIFIED is enforced; nothing else is, as in Redshift.
pub(super) fn table_constraints(context: Option<&SystemContext>) -> Grid<Constraint> {
    Grid::of(constraints(context))
        .word("constraint_catalog", |c| c.database.clone())
        .word("constraint_schema", |c| c.schema.clone())
        .word("constraint_name", |c| c.name.clone())
        .word("table_catalog", |c| c.database.clone())
        .word("table_schema", |c| c.schema.clone())
        .word("table_name", |c| c.table.clone())
        .word("constraint_type", |c| c.kind.into())
        .word("is_deferrable", |_| "NO".into())
        .word("initially_deferred", |_| "NO".into())
        .word("enforced", |c| if c.verified { "YES" } else { "NO" }.into())
}

/// A constraint and one of its columns by its place.
pub(super) fn key_column_usage(context: Option<&SystemContext>) -> Grid<(Constraint, usize)> {
    let mut rows = Vec::new();
    for constraint in constraints(context) {
        let Constraint { database, schema, name, table, kind, columns, verified } = constraint;
        rows.extend(columns.into_iter().enumerate().map(|(i, column)| {
            let constraint = Constraint {
                database: database.clone(),
                schema: schema.clone(),
                name: name.clone(),
                table: table.clone(),
                kind,
                columns: vec![column],
                verified,
            };
            (constraint, i)
        }));
    }
    Grid::of(rows)
        .word("constraint_catalog", |(c, _)| c.database.clone())
        .word("constraint_schema", |(c, _)| c.schema.clone())
        .word("constraint_name", |(c, _)| c.name.clone())
        .word("table_catalog", |(c, _)| c.database.clone())
        .word("table_schema", |(c, _)| c.schema.clone())
        .word("table_name", |(c, _)| c.table.clone())
        .text("column_name", |(c, _)| c.columns.first().map(|(name, _)| name.clone()))
        .int("ordinal_position", |(_, i)| *i as i32 + 1)
        .some_int("position_in_unique_constraint", |(c, _)| c.columns.first().and_then(|(_, place)| *place))
}
