//! Names in statements, and errors about them.

use crate::catalog::{Schema, Snapshot, TableDef, TableState};
use crate::common::{Error, Result, SqlState};
use crate::sql::ast::{Ident, ObjectName};
use std::sync::Arc;

/// The schema of unqualified names.
pub const DEFAULT_SCHEMA: &str = "public";

/// The name of the warehouse's own catalog in a session.
pub const CATALOG: &str = "dev";

/// The schema that `name` refers to, whether or not the table exists.
pub fn schema_of<'a>(snapshot: &'a Snapshot, name: &ObjectName) -> Result<&'a Schema> {
    if let Some(database) = name.database()
        && database.value != CATALOG
    {
        return Err(Error::unsupported(format!("database \"{}\" is not the warehouse's", database.value))
            .with_hint(format!("name it {CATALOG}, or leave it out"))
            .with_position(database.position.line, database.position.column));
    }
    let schema = name.schema().map_or(DEFAULT_SCHEMA, |s| s.value.as_str());
    snapshot.schema_named(schema).ok_or_else(|| match name.schema() {
        Some(ident) => no_such_schema(ident),
        None => Error::invalid(SqlState::UNDEFINED_SCHEMA, format!("schema \"{schema}\" does not exist")),
    })
}

/// The table that `name` refers to.
pub fn table_of<'a>(snapshot: &'a Snapshot, name: &ObjectName) -> Result<&'a Arc<TableState>> {
    let schema = schema_of(snapshot, name)?;
    let base = name.base();
    snapshot
        .table_named(schema.id, &base.value)
        .ok_or_else(|| no_such_table(&name.unquoted()).with_position(base.position.line, base.position.column))
}

/// What to do about a table that is not there.
pub const FIND_TABLE: &str = "check the name and the schema; svv_table_info and SHOW TABLES list what there is";

pub fn no_such_table(name: &str) -> Error {
    Error::invalid(SqlState::UNDEFINED_TABLE, format!("table \"{name}\" does not exist")).with_hint(FIND_TABLE)
}

pub fn no_such_column(name: &Ident, table: &TableDef) -> Error {
    let message = format!("column \"{}\" of table \"{}\" does not exist", name.value, table.name);
    let columns: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    let error = Error::invalid(SqlState::UNDEFINED_COLUMN, message);
    at(error.with_hint(format!("its columns are {}", columns.join(", "))), name)
}

/// The error of a plan that was made when the table was there: a view's, a prepared statement's.
pub fn dropped(name: &str) -> Error {
    Error::invalid(SqlState::UNDEFINED_TABLE, format!("table \"{name}\" was dropped since it was looked up")).with_hint(
        "look it up again, or make anew the view or prepared statement that reads it; \
         one of the same name made since is another table",
    )
}

pub fn no_such_schema(name: &Ident) -> Error {
    Error::invalid(SqlState::UNDEFINED_SCHEMA, format!("schema \"{}\" does not exist", name.value))
        .with_position(name.position.line, name.position.column)
}

/// `error`, standing at `name`.
pub fn at(error: Error, name: &Ident) -> Error {
    if error.position().is_some() { error } else { error.with_position(name.position.line, name.position.column) }
}
