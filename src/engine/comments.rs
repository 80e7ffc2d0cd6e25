//! COMMENT ON.

use super::names::{self, Relation, at, no_such_column};
use super::output::Output;
use super::running::Running;
use super::views::view_column;
use crate::catalog::CommentOn;
use crate::common::{Error, Result, SqlState};
use crate::sql::ast::{Comment, CommentObject, ObjectName};

pub(super) async fn comment(running: &Running<'_>, comment: Comment) -> Result<Output> {
    let Comment { object, text } = comment;
    if let CommentObject::Constraint(name, table) = &object {
        running.place(table).await?.table(&running.pin, table)?;
        let message = format!("constraint \"{}\" for table \"{}\" does not exist", name.value, table.unquoted());
        let error = Error::invalid(SqlState::UNDEFINED_OBJECT, message);
        return Err(at(error.with_hint("comment on the table or on its columns"), name));
    }
    // A database's and a schema's are the session's own.
    let warehouse = match &object {
        CommentObject::Table(name) | CommentObject::View(name) | CommentObject::Column(name, _) => {
            let place = running.place(name).await?;
            place.check_writable(name)?;
            place.warehouse
        }
        _ => running.warehouse.clone(),
    };
    let (mut transaction, snapshot) = running.transaction(&warehouse)?;
    let (on, of) = match &object {
        CommentObject::Table(name) => {
            let table = running.place(name).await?.table(&snapshot, name)?.def.id;
            (CommentOn::Relation(table), name.unquoted())
        }
        CommentObject::View(name) => {
            let view = running.place(name).await?.view(&snapshot, name)?.id;
            (CommentOn::Relation(view), name.unquoted())
        }
        CommentObject::Column(name, column) => {
            let on = match running.place(name).await?.relation(&snapshot, name)? {
                Relation::Table(table) => {
                    let found =
                        table.def.column_named(&column.value).ok_or_else(|| no_such_column(column, &table.def))?;
                    CommentOn::Column(table.def.id, found.id)
                }
                Relation::View(view) => CommentOn::Column(view.id, view_column(view, column)?),
            };
            (on, format!("{}.{}", name.unquoted(), column.value))
        }
        CommentObject::Schema(name) => {
            let schema = schema_name(name)?;
            let found = snapshot.schema_named(&schema.value).ok_or_else(|| names::no_such_schema(schema))?;
            (CommentOn::Schema(found.id), schema.value.clone())
        }
        CommentObject::Database(name) if name.value == names::CATALOG => (CommentOn::Database, name.value.clone()),
        CommentObject::Database(name) => return Err(at(names::no_such_database(&name.value), name)),
        CommentObject::Constraint(name, _) => {
            return Err(at(Error::internal("a comment on a constraint"), name));
        }
    };
    transaction.comment(on, of, text);
    running.commit(&warehouse, transaction).await?;
    Ok(Output::done("COMMENT", None))
}

fn schema_name(name: &ObjectName) -> Result<&crate::sql::ast::Ident> {
    match name.parts.as_slice() {
        [schema] => Ok(schema),
        _ => {
            let message = format!("\"{}\" is not the name of a schema", name.unquoted());
            Err(at(Error::invalid(SqlState::SYNTAX_ERROR, message), &name.parts[0]))
        }
    }
}
