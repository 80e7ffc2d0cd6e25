//! Names in statements, and errors about them.

use std::sync::Arc;

use datafusion::common::utils::datafusion_strsim::levenshtein;

use super::warehouse::Warehouse;
use crate::catalog::{Schema, Snapshot, TableDef, TableState, ViewDef};
use crate::common::{Error, Result, SqlState};
use crate::sql::ast::{Ident, ObjectName};

/// The schema of unqualified names where there is no search path.
pub const DEFAULT_SCHEMA: &str = "public";

/// The name of the warehouse's own catalog in a session.
pub const CATALOG: &str = "dev";

/// The schema that unqualified names of our own sessions lead into; see `catalog_provider`.
pub const PATH_SCHEMA: &str = "$path";

/// Where a name leads: a warehouse, and its schemas in which the name is looked up.
#[derive(Debug, Clone)]
pub struct Place {
    pub warehouse: Warehouse,
    /// In order; the schema that the name has, or those of the search path.
    pub schemas: Vec<String>,
    /// The session's own temporary tables.
    pub temporary: bool,
    /// The catalog's name, where it was attached to be read only.
    pub read_only: Option<String>,
}

impl Place {
    /// The schema that something new of that name goes to.
    pub fn schema<'a>(&self, snapshot: &'a Snapshot, name: &ObjectName) -> Result<&'a Schema> {
        self.schemas.iter().find_map(|schema| snapshot.schema_named(schema)).ok_or_else(|| match name.schema() {
            Some(ident) => no_such_schema(ident),
            None => at(no_home(), name.base()),
        })
    }

    /// The table that `name` refers to.
    pub fn table<'a>(&self, snapshot: &'a Snapshot, name: &ObjectName) -> Result<&'a Arc<TableState>> {
        match self.relation(snapshot, name)? {
            Relation::Table(table) => Ok(table),
            Relation::View(_) => {
                let error =
                    Error::invalid(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not a table", name.unquoted()));
                Err(at(error.with_hint("it is a view: name a table, or use DROP VIEW to drop it"), name.base()))
            }
        }
    }

    /// The view that `name` refers to.
    pub fn view<'a>(&self, snapshot: &'a Snapshot, name: &ObjectName) -> Result<&'a Arc<ViewDef>> {
        match self.relation(snapshot, name) {
            Ok(Relation::View(view)) => Ok(view),
            Ok(Relation::Table(_)) => {
                let error =
                    Error::invalid(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not a view", name.unquoted()));
                Err(at(error.with_hint("it is a table: name a view, or use DROP TABLE to drop it"), name.base()))
            }
            Err(e) if e.state() == SqlState::UNDEFINED_TABLE => {
                let error =
                    Error::invalid(SqlState::UNDEFINED_TABLE, format!("view \"{}\" does not exist", name.unquoted()));
                Err(at(error.with_hint(FIND_TABLE), name.base()))
            }
            Err(e) => Err(e),
        }
    }

    /// The table or view that `name` refers to.
    pub fn relation<'a>(&self, snapshot: &'a Snapshot, name: &ObjectName) -> Result<Relation<'a>> {
        let base = name.base();
        for schema in self.schemas.iter().filter_map(|schema| snapshot.schema_named(schema)) {
            if let Some(table) = snapshot.table_named(schema.id, &base.value) {
                return Ok(Relation::Table(table));
            }
            if let Some(view) = snapshot.view_named(schema.id, &base.value) {
                return Ok(Relation::View(view));
            }
        }
        if name.schema().is_some() {
            self.schema(snapshot, name)?;
        }
        Err(at(no_such_table(&name.unquoted()), base))
    }

    /// Invalid where nothing may be written.
    pub fn check_writable(&self, name: &ObjectName) -> Result<()> {
        let Some(catalog) = &self.read_only else { return Ok(()) };
        let error = Error::invalid(SqlState::READ_ONLY, format!("database \"{catalog}\" is attached READ ONLY"));
        Err(at(error.with_hint("DETACH it, and ATTACH it without READ ONLY"), &name.parts[0]))
    }
}

/// What a name refers to.
#[derive(Debug, Clone, Copy)]
pub enum Relation<'a> {
    Table(&'a Arc<TableState>),
    View(&'a Arc<ViewDef>),
}

/// PostgreSQL's words.
pub fn no_home() -> Error {
    Error::invalid(SqlState::UNDEFINED_SCHEMA, "no schema has been selected to create in")
        .with_hint("no schema of search_path exists: name the schema, or SET search_path")
}

pub fn no_such_database(name: &str) -> Error {
    Error::invalid(SqlState::UNDEFINED_DATABASE, format!("database \"{name}\" does not exist"))
        .with_hint(format!("the session's own is {CATALOG}; ATTACH 'location' AS {name} adds one"))
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
    let distance = |known: &&str| levenshtein(&name.value, known);
    let nearest = columns.iter().map(|known| (distance(known), known)).min().filter(|(distance, _)| *distance <= 2);
    let meant = nearest.map(|(_, nearest)| format!("did you mean {nearest}? ")).unwrap_or_default();
    at(error.with_hint(format!("{meant}its columns are {}", columns.join(", "))), name)
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
