//! What CREATE TABLE declares of rows: keys and references, found among the tables that exist.

use std::sync::Arc;

use super::checks::check_types;
use super::names::{Place, at, no_such_column};
use super::running::Running;
use crate::catalog::{ColumnDef, ConstraintDef, ConstraintKind, ConstraintState, TableDef};
use crate::common::{ColumnId, Error, Result, SchemaId, SqlState, SqlType, Version};
use crate::sql::ast::{self, Constraint, CreateTable, Ident, ObjectName};

/// The tables that foreign keys refer to: for each constraint one or, where it refers to its own table or to none, nothing.
pub(super) struct Parents(Vec<Option<Arc<TableDef>>>);

impl Parents {
    /// Of a table that is to be made in `schema` at `place`.
    ///
    /// Errors: Invalid for a table that does not exist or is in another database, which includes that of temporary tables.
    pub(super) async fn find(
        running: &Running<'_>,
        create: &CreateTable,
        place: &Place,
        schema: SchemaId,
    ) -> Result<Parents> {
        let mut parents = Vec::with_capacity(create.constraints.len());
        for constraint in &create.constraints {
            let ast::ConstraintKind::ForeignKey { table, .. } = &constraint.kind else {
                parents.push(None);
                continue;
            };
            let same_name = table.base() == create.name.base();
            if same_name && table.schema().is_none() {
                parents.push(None);
                continue;
            }
            let of = running.place(table).await?;
            if !Arc::ptr_eq(&of.warehouse.inner, &place.warehouse.inner) {
                let error = Error::invalid(
                    SqlState::INVALID_FOREIGN_KEY,
                    format!("a foreign key cannot refer to table \"{}\" of another database", table.unquoted()),
                );
                let hint = "tables of one database refer to each other, and temporary tables of one session";
                return Err(at(error.with_hint(hint), table.base()));
            }
            let pin = running.pins.pin(&of.warehouse).await?;
            let is_self = same_name && of.schema(&pin, table)?.id == schema;
            parents.push(if is_self { None } else { Some(Arc::clone(&of.table(&pin, table)?.def)) });
        }
        Ok(Parents(parents))
    }
}

impl Parents {
    /// Unsupported where `def` declares to be VERIFIED what is not checked.
    pub(super) fn check_verified(&self, def: &TableDef) -> Result<()> {
        let names = def.constraint_names();
        for ((constraint, name), parent) in def.constraints.iter().zip(names).zip(&self.0) {
            let parent = match &constraint.kind {
                ConstraintKind::ForeignKey { referenced, .. } => {
                    Some((parent.as_deref().unwrap_or(def), &**referenced))
                }
                _ => None,
            };
            if constraint.is_verified() {
                check_types(def, constraint, parent, &name)?;
            }
        }
        Ok(())
    }
}

/// The constraints of a table with `columns`.
///
/// A foreign key refers to a table that exists or to the table itself, column by column of kindred types; without
/// columns it refers to the primary key. That what it refers to is unique is not demanded (Redshift's manual says that it
/// "should" be).
pub(super) fn constraints(
    parents: &Parents,
    create: &CreateTable,
    columns: &[ColumnDef],
) -> Result<Vec<ConstraintDef>> {
    let all = create.constraints.iter().zip(&parents.0);
    all.map(|(constraint, parent)| one(parent.as_deref(), create, columns, constraint)).collect()
}

fn one(
    parent: Option<&TableDef>,
    create: &CreateTable,
    columns: &[ColumnDef],
    constraint: &Constraint,
) -> Result<ConstraintDef> {
    let name = constraint.name.as_ref().map(|name| name.value.clone());
    let (own, kind) = match &constraint.kind {
        ast::ConstraintKind::PrimaryKey(own) => (own, ConstraintKind::PrimaryKey),
        ast::ConstraintKind::Unique(own) => (own, ConstraintKind::Unique),
        ast::ConstraintKind::ForeignKey { columns: own, table, referenced } => {
            (own, foreign_key(parent, create, columns, constraint, own, table, referenced)?)
        }
    };
    let ids = own.iter().map(|ident| Ok(find(columns, ident, create)?.id)).collect::<Result<_>>()?;
    let state = match constraint.state {
        ast::ConstraintState::NoRely => ConstraintState::NoRely,
        ast::ConstraintState::Rely => ConstraintState::Rely,
        // The commit says of which version.
        ast::ConstraintState::Verified => ConstraintState::Verified { at: Version(0) },
    };
    Ok(ConstraintDef { name, kind, columns: ids, state })
}

fn foreign_key(
    parent: Option<&TableDef>,
    create: &CreateTable,
    columns: &[ColumnDef],
    constraint: &Constraint,
    own: &[Ident],
    table: &ObjectName,
    referenced: &[Ident],
) -> Result<ConstraintKind> {
    let wrong = |message: String| {
        Error::invalid(SqlState::INVALID_FOREIGN_KEY, message)
            .with_position(constraint.position.line, constraint.position.column)
    };
    let targets: Vec<&ColumnDef> = if referenced.is_empty() {
        let key: Vec<&ColumnDef> = match parent {
            Some(def) => def.primary_key().unwrap_or_default().iter().filter_map(|id| def.column(*id)).collect(),
            None => own_primary_key(create, columns),
        };
        if key.is_empty() {
            return Err(wrong(format!("table \"{}\" has no primary key to refer to", table.unquoted()))
                .with_hint("name the columns behind the table's name"));
        }
        key
    } else {
        let target = |ident: &Ident| match parent {
            Some(def) => def.column_named(&ident.value).ok_or_else(|| no_such_column(ident, def)),
            None => find(columns, ident, create),
        };
        referenced.iter().map(target).collect::<Result<_>>()?
    };
    if targets.len() != own.len() {
        return Err(wrong(format!("FOREIGN KEY has {} columns but refers to {}", own.len(), targets.len()))
            .with_hint("refer to one column for each"));
    }
    for (ident, target) in own.iter().zip(&targets) {
        let column = find(columns, ident, create)?;
        if !kindred(column.sql_type, target.sql_type) {
            return Err(at(
                Error::invalid(
                    SqlState::DATATYPE_MISMATCH,
                    format!(
                        "column \"{}\" of type {} cannot refer to column \"{}\" of type {}",
                        column.name, column.sql_type, target.name, target.sql_type
                    ),
                ),
                ident,
            )
            .with_hint("give both columns one type"));
        }
    }
    let referenced: Vec<ColumnId> = targets.iter().map(|c| c.id).collect();
    Ok(ConstraintKind::ForeignKey { table: parent.map_or(TableDef::SELF, |def| def.id), referenced })
}

fn own_primary_key<'a>(create: &CreateTable, columns: &'a [ColumnDef]) -> Vec<&'a ColumnDef> {
    let key = create.constraints.iter().find_map(|c| match &c.kind {
        ast::ConstraintKind::PrimaryKey(key) => Some(key),
        _ => None,
    });
    key.into_iter().flatten().filter_map(|ident| columns.iter().find(|c| c.name == ident.value)).collect()
}

fn find<'a>(columns: &'a [ColumnDef], ident: &Ident, create: &CreateTable) -> Result<&'a ColumnDef> {
    columns.iter().find(|c| c.name == ident.value).ok_or_else(|| {
        let message = format!("column \"{}\" of table \"{}\" does not exist", ident.value, create.name.unquoted());
        at(Error::invalid(SqlState::UNDEFINED_COLUMN, message), ident)
    })
}

/// Whether values of the two types can be equal without a cast that somebody writes.
fn kindred(a: SqlType, b: SqlType) -> bool {
    let number = |t: SqlType| t.arrow_type().is_numeric();
    let text = |t: SqlType| matches!(t, SqlType::Char(_) | SqlType::Varchar(_));
    let time = |t: SqlType| matches!(t, SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz);
    let bytes = |t: SqlType| matches!(t, SqlType::Varbyte(_));
    a == b || number(a) && number(b) || text(a) && text(b) || time(a) && time(b) || bytes(a) && bytes(b)
}
