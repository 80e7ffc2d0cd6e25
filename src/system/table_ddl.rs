//! v_generate_tbl_ddl: the statements that make the warehouse's tables again; SHOW TABLE gives one of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::SystemContext;
use crate::catalog::{ConstraintKind, ConstraintState, Snapshot, TableDef};
use crate::common::error::Position;
use crate::common::{ColumnId, DistStyle, Error, Result};
use crate::sql::ast::{
    self, ColumnSpec, Constraint, CreateTable, DistClause, Ident, IdentityClause, KeyColumn, ObjectName, SortClause,
};
use crate::sql::{self, unparse};

pub(super) fn schema() -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Schema::new(vec![text("schemaname"), text("tablename"), Field::new("seq", DataType::Int32, false), text("ddl")])
}

/// A row for each line of each table's statement, as the view of that name in Amazon's `amazon-redshift-utils` has
/// them. `seq` counts a table's lines from 1.
pub(super) fn columns(context: &SystemContext) -> Result<Vec<ArrayRef>> {
    let snapshot = &context.own.snapshot;
    let (mut schemas, mut tables, mut numbers, mut lines) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for state in snapshot.tables.values() {
        let ddl = table_ddl(snapshot, &state.def)?;
        for (number, line) in (1..).zip(ddl.split('\n')) {
            schemas.push(schema_name(snapshot, &state.def));
            tables.push(state.def.name.clone());
            numbers.push(number);
            lines.push(line.to_string());
        }
    }
    Ok(vec![
        Arc::new(StringArray::from(schemas)),
        Arc::new(StringArray::from(tables)),
        Arc::new(Int32Array::from(numbers)),
        Arc::new(StringArray::from(lines)),
    ])
}

/// The statement that makes the table again, with its semicolon, and behind it how long rows are kept. What AUTO chose is not in it: AUTO chooses anew.
///
/// Internal when the stored definition cannot be told, as by a DEFAULT that no longer parses.
pub fn table_ddl(snapshot: &Snapshot, def: &TableDef) -> Result<String> {
    let statement = CreateTable {
        temporary: false,
        if_not_exists: false,
        name: object_name(snapshot, def),
        columns: def.columns.iter().map(|c| column(def, c)).collect::<Result<_>>()?,
        constraints: def.constraints.iter().map(|c| constraint(snapshot, def, c)).collect::<Result<_>>()?,
        like: None,
        dist: Some(match def.dist {
            DistStyle::Auto => DistClause::Auto,
            DistStyle::Even => DistClause::Even,
            DistStyle::All => DistClause::All,
            DistStyle::Key(id) => DistClause::Key(KeyColumn::Name(column_ident(def, id)?)),
        }),
        sort: Some(match &def.sort {
            _ if def.sort_auto => SortClause::Auto,
            None => SortClause::None,
            Some(key) => SortClause::Columns {
                style: key.style,
                columns: key
                    .columns
                    .iter()
                    .map(|id| column_ident(def, *id).map(KeyColumn::Name))
                    .collect::<Result<_>>()?,
            },
        }),
        encode_auto: def.encode_auto,
        backup: (!def.backup).then_some(false),
        cut_names: Vec::new(),
        column_names: Vec::new(),
        as_query: None,
    };
    let created = format!("{};", unparse::create_table_ddl(&statement));
    let Some(retain) = &def.retain else { return Ok(created) };
    let (table, column) = (object_name(snapshot, def), column_ident(def, retain.column)?);
    let column = unparse::quote_ident(&column.value);
    Ok(format!("{created}\nALTER TABLE {table} RETAIN {} DAYS ON {column};", retain.days))
}

fn column(def: &TableDef, column: &crate::catalog::ColumnDef) -> Result<ColumnSpec> {
    let default = column.default_sql.as_deref().map(sql::parse_expr).transpose();
    let default = default.map_err(|e| {
        let (table, column) = (&def.name, &column.name);
        Error::internal(format!("the DEFAULT of column \"{column}\" of table \"{table}\": {}", e.message()))
    })?;
    Ok(ColumnSpec {
        name: ident(&column.name),
        sql_type: column.sql_type,
        not_null: (!column.nullable).then_some(true),
        default,
        identity: column.identity.map(|i| IdentityClause { seed: i.seed, step: i.step, by_default: i.by_default }),
        encode: (!def.encode_auto).then_some(column.encoding),
        distkey: false,
        sortkey: false,
    })
}

fn constraint(snapshot: &Snapshot, def: &TableDef, found: &crate::catalog::ConstraintDef) -> Result<Constraint> {
    let idents = |def: &TableDef, ids: &[ColumnId]| ids.iter().map(|id| column_ident(def, *id)).collect::<Result<_>>();
    let columns: Vec<Ident> = idents(def, &found.columns)?;
    let kind = match &found.kind {
        ConstraintKind::PrimaryKey => ast::ConstraintKind::PrimaryKey(columns),
        ConstraintKind::Unique => ast::ConstraintKind::Unique(columns),
        ConstraintKind::ForeignKey { table, referenced } => {
            let parent = snapshot.table(*table).ok_or_else(|| Error::internal(format!("there is no table {table}")))?;
            let referenced = idents(&parent.def, referenced)?;
            ast::ConstraintKind::ForeignKey { columns, table: object_name(snapshot, &parent.def), referenced }
        }
    };
    let state = match found.state {
        ConstraintState::NoRely => ast::ConstraintState::NoRely,
        ConstraintState::Rely => ast::ConstraintState::Rely,
        ConstraintState::Verified { .. } => ast::ConstraintState::Verified,
    };
    Ok(Constraint { name: found.name.as_deref().map(ident), kind, state, position: NOWHERE })
}

const NOWHERE: Position = Position { line: 0, column: 0 };

fn ident(name: &str) -> Ident {
    Ident { value: name.to_string(), quoted: true, position: NOWHERE }
}

fn column_ident(def: &TableDef, id: ColumnId) -> Result<Ident> {
    let column = def.column(id);
    column.map(|c| ident(&c.name)).ok_or_else(|| Error::internal(format!("table \"{}\" has no column {id}", def.name)))
}

fn object_name(snapshot: &Snapshot, def: &TableDef) -> ObjectName {
    ObjectName { parts: vec![ident(&schema_name(snapshot, def)), ident(&def.name)] }
}

fn schema_name(snapshot: &Snapshot, def: &TableDef) -> String {
    snapshot.schemas.get(&def.schema).map_or_else(String::new, |s| s.name.clone())
}
