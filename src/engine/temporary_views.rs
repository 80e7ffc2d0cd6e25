//! Temporary views: plans that a session keeps, and what they hold on to.

use std::any::Any;
use std::sync::Arc;

use datafusion::datasource::ViewTable;
use datafusion::logical_expr::TableType;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;

use super::ddl;
use super::names::{Relation, at};
use super::output::Output;
use super::running::Running;
use super::views::{StoredView, column_names, name_columns};
use super::warehouse::Warehouse;
use crate::catalog::{Snapshot, TableDef};
use crate::common::{Error, Result, SqlState, TableId};
use crate::sql;
use crate::sql::ast::{CreateView, ObjectName};
use crate::sql::unparse::quote_ident;

/// Something that a temporary view reads.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A table or view of a warehouse.
    Stored(Warehouse, TableId),
    /// A table or view of the session's own.
    Foreign { schema: String, name: String },
}

impl Source {
    pub fn table(warehouse: &Warehouse, def: &TableDef) -> Self {
        Source::Stored(warehouse.clone(), def.id)
    }

    fn is(&self, other: &Source) -> bool {
        match (self, other) {
            (Source::Stored(one, id), Source::Stored(two, other)) => id == other && Arc::ptr_eq(&one.inner, &two.inner),
            (Source::Foreign { schema, name }, Source::Foreign { schema: of, name: other }) => {
                schema == of && name == other
            }
            _ => false,
        }
    }
}

/// A view that the session alone sees, over whatever it sees.
pub(super) async fn create(running: &Running<'_>, create: CreateView) -> Result<Output> {
    let names = &running.session.names;
    let name = create.name.base();
    if let Some(schema) = create.name.schema()
        && !names.is_temp(&schema.value)
    {
        let error = Error::invalid(SqlState::INVALID_TABLE_DEFINITION, "a temporary view has no schema");
        return Err(at(error.with_hint("leave the schema out"), schema));
    }
    let taken = names.foreign.get(names.temp_schema(), &name.value).is_some();
    if (taken && !create.or_replace) || ddl::temporary_table(running, &name.value).is_some() {
        let error = Error::invalid(SqlState::DUPLICATE_TABLE, format!("view \"{}\" already exists", name.value));
        return Err(at(error.with_hint("drop it first, or use CREATE OR REPLACE TEMP VIEW"), name));
    }
    let query = SqlStatement::Query(create.query.clone());
    let plan = running.session.plan_lasting(&query).await?;
    let columns = column_names(&create, &plan)?;
    let plan = name_columns(plan, &columns)?;
    let listed: Vec<String> = columns.iter().map(|c| quote_ident(c)).collect();
    let definition =
        format!("CREATE TEMP VIEW {} ({}) AS {}", quote_ident(&name.value), listed.join(", "), create.query);
    let view = StoredView { table: ViewTable::new(plan, None), definition, sources: sources(running, &create).await? };
    names.foreign.insert(names.temp_schema(), &name.value, Arc::new(view));
    Ok(Output::done("CREATE VIEW", None))
}

/// What the view's query reads; system tables and files left out, which stay.
async fn sources(running: &Running<'_>, create: &CreateView) -> Result<Vec<Source>> {
    let mut named = Vec::new();
    sql::map_relations(&mut create.query.clone(), &mut |name| {
        named.push(name.clone());
        Ok(None)
    })?;
    let mut sources = Vec::new();
    for name in named {
        if let Some(schema) = running.session.foreign_schema(&name, &running.pin) {
            sources.push(Source::Foreign { schema, name: name.base().value.clone() });
        } else if let Ok(place) = running.place(&name).await {
            let pin = running.pins.pin(&place.warehouse).await?;
            let id = match place.relation(&pin, &name) {
                Ok(Relation::Table(table)) => table.def.id,
                Ok(Relation::View(view)) => view.id,
                Err(_) => continue,
            };
            sources.push(Source::Stored(place.warehouse, id));
        }
    }
    Ok(sources)
}

/// What DROP names that is the session's own, and the rest.
pub(super) struct Named<'a> {
    pub foreign: Vec<(String, &'a ObjectName)>,
    pub stored: Vec<&'a ObjectName>,
}

/// Sorts what a DROP of tables or of views names. Invalid where a view is named as a table.
pub(super) fn sort<'a>(running: &Running<'_>, names: &'a [ObjectName], of_views: bool) -> Result<Named<'a>> {
    let mut named = Named { foreign: Vec::new(), stored: Vec::new() };
    for name in names {
        let Some(schema) = running.session.foreign_schema(name, &running.pin) else {
            named.stored.push(name);
            continue;
        };
        let table = running.session.names.foreign.get(&schema, &name.base().value);
        let is_view = table.is_some_and(|table| table.table_type() == TableType::View);
        if is_view != of_views {
            let (what, other) = if is_view { ("table", "view") } else { ("view", "table") };
            let message = format!("\"{}\" is not a {what}", name.unquoted());
            let hint = format!("it is a {other}: use DROP {} to drop it", other.to_uppercase());
            return Err(at(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint), name.base()));
        }
        named.foreign.push((schema, name));
    }
    Ok(named)
}

/// The temporary views that a DROP takes along; see [`readers`].
pub(super) async fn dropped_with(running: &Running<'_>, named: &Named<'_>, cascade: bool) -> Result<Vec<String>> {
    let mut dropped = stored(running, &named.stored).await?;
    dropped.extend(named.foreign.iter().map(|(schema, name)| {
        let name = name.base().value.clone();
        (Source::Foreign { schema: schema.clone(), name: name.clone() }, format!("view {name}"))
    }));
    readers(running, dropped, cascade)
}

/// The stored relations that `names` lead to, as far as they are there, with what an error calls each.
async fn stored(running: &Running<'_>, names: &[&ObjectName]) -> Result<Vec<(Source, String)>> {
    let mut found = Vec::new();
    for name in names {
        let place = running.place(name).await?;
        let pin = running.pins.pin(&place.warehouse).await?;
        match place.relation(&pin, name) {
            Ok(Relation::Table(table)) => {
                found.push((Source::table(&place.warehouse, &table.def), format!("table {}", table.def.name)));
            }
            Ok(Relation::View(view)) => {
                found.push((Source::Stored(place.warehouse, view.id), format!("view {}", view.name)));
            }
            Err(_) => {}
        }
    }
    Ok(found)
}

/// The session's temporary views that read what is dropped, be it by way of other views: they are dropped with it where
/// the statement says CASCADE.
///
/// Invalid where it does not say so.
pub(super) fn readers(running: &Running<'_>, mut dropped: Vec<(Source, String)>, cascade: bool) -> Result<Vec<String>> {
    let names = &running.session.names;
    let mut views = Vec::new();
    let mut next = 0;
    while let Some((source, what)) = dropped.get(next).cloned() {
        next += 1;
        if let (Source::Stored(warehouse, id), true) = (&source, cascade) {
            let snapshot = running.pins.known(warehouse).map(|pin| Arc::new(Snapshot::clone(&pin)));
            let snapshot = snapshot.unwrap_or_else(|| names.newest(warehouse));
            let readers = snapshot.views.values().filter(|v| v.dependencies().iter().any(|d| d.relation == *id));
            dropped.extend(readers.map(|v| (Source::Stored(warehouse.clone(), v.id), format!("view {}", v.name))));
        }
        for name in names.foreign.names(names.temp_schema()) {
            let Some(table) = names.foreign.get(names.temp_schema(), &name) else { continue };
            let Some(view) = (table.as_ref() as &dyn Any).downcast_ref::<StoredView>() else { continue };
            let own = Source::Foreign { schema: names.temp_schema().into(), name: name.clone() };
            if !view.sources.iter().any(|s| s.is(&source)) || dropped.iter().any(|(other, _)| other.is(&own)) {
                continue;
            }
            if !cascade {
                let message = format!("cannot drop {what} because other objects depend on it");
                return Err(Error::invalid(SqlState::DEPENDENT_OBJECTS, message)
                    .with_detail(format!("temporary view {name} depends on {what}"))
                    .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
            }
            dropped.push((own, format!("temporary view {name}")));
            views.push(name);
        }
    }
    Ok(views)
}

/// Drops what is the session's own.
pub(super) fn forget(running: &Running<'_>, named: &[(String, &ObjectName)], views: &[String]) {
    let names = &running.session.names;
    for (schema, name) in named {
        names.foreign.remove(schema, &name.base().value);
    }
    for view in views {
        names.foreign.remove(names.temp_schema(), view);
    }
}
