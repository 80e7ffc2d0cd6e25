//! Two tables that exchange their names, in one commit.

use crate::catalog::{Binding, ColumnDef, Dependency, Snapshot, TableDef, ViewDef};
use crate::common::{Error, ErrorKind, Result, SqlState};
use crate::engine::names::at;
use crate::engine::output::Output;
use crate::engine::running::Running;
use crate::sql::ast::ObjectName;

/// Each table gets the other's schema and name. Views that read one of them read the other from then on, if that has the columns
/// that they mention.
pub async fn swap(running: &Running<'_>, one: &ObjectName, other: &ObjectName) -> Result<Output> {
    let swapped = running.retry_while(|e| e.kind() == ErrorKind::Conflict, || once(running, one, other));
    swapped.await?;
    Ok(Output::done("ALTER TABLE", None))
}

async fn once(running: &Running<'_>, one: &ObjectName, other: &ObjectName) -> Result<()> {
    let place = running.place(one).await?;
    place.check_writable(one)?;
    let other_place = running.place(other).await?;
    if !place.warehouse.is(&other_place.warehouse) {
        let message = format!("tables \"{}\" and \"{}\" are of different databases", one.unquoted(), other.unquoted());
        let error = Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message);
        return Err(at(error.with_hint("swap tables of one database, or two temporary ones"), other.base()));
    }
    if running.statement.block.is_none() {
        place.warehouse.inner.catalog.refresh().await?;
    }
    let (mut transaction, snapshot) = running.transaction(&place.warehouse)?;
    let (a, b) = (place.table(&snapshot, one)?, other_place.table(&snapshot, other)?);
    if a.def.id == b.def.id {
        let error = Error::invalid(SqlState::INVALID_TABLE_DEFINITION, "a table cannot be swapped with itself");
        return Err(at(error, other.base()));
    }
    for (name, def) in [(one, &a.def), (other, &b.def)] {
        let refers =
            |t: &TableDef| t.id != def.id && t.constraints.iter().any(|c| c.referenced_table() == Some(def.id));
        if let Some(child) = snapshot.tables.values().find(|t| refers(&t.def)) {
            let message = format!("foreign keys of table \"{}\" refer to table \"{}\"", child.def.name, def.name);
            let error = Error::invalid(SqlState::DEPENDENT_OBJECTS, message);
            return Err(at(error.with_hint("drop these constraints before, and add them again after it"), name.base()));
        }
    }
    let renamed = |def: &TableDef, to: &TableDef, by: u32| TableDef {
        schema: to.schema,
        name: to.name.clone(),
        definition_version: def.definition_version + by,
        ..def.clone()
    };
    let views = rebound(&snapshot, &a.def, &b.def).map_err(|e| at(e, one.base()))?;
    for def in [&a.def, &b.def] {
        transaction.require_views(def, views.iter().map(|view| view.id).collect());
    }
    // No name is twice at any moment.
    let aside = TableDef { name: format!("{} swapped {}", a.def.name, transaction.id()), ..renamed(&a.def, &a.def, 1) };
    transaction.alter_table(aside);
    transaction.alter_table(renamed(&b.def, &a.def, 1));
    transaction.alter_table(renamed(&a.def, &b.def, 2));
    for view in views {
        transaction.alter_view(view);
    }
    running.commit(&place.warehouse, transaction).await?;
    Ok(())
}

/// The views that read one of the tables, reading the other.
fn rebound(snapshot: &Snapshot, a: &TableDef, b: &TableDef) -> Result<Vec<ViewDef>> {
    let mut views = Vec::new();
    for view in snapshot.views.values().filter(|view| view.reads(a.id) || view.reads(b.id)) {
        let dependencies = view.dependencies().iter().map(|dependency| match dependency.relation {
            id if id == a.id => led_on(view, dependency, a, b),
            id if id == b.id => led_on(view, dependency, b, a),
            _ => Ok(dependency.clone()),
        });
        let binding = Binding::Bound(dependencies.collect::<Result<_>>()?);
        let definition_version = view.definition_version + 1;
        views.push(ViewDef { binding, definition_version, ..ViewDef::clone(view) });
    }
    Ok(views)
}

fn led_on(view: &ViewDef, dependency: &Dependency, from: &TableDef, to: &TableDef) -> Result<Dependency> {
    let mut columns = Vec::with_capacity(dependency.columns.len());
    for column in &dependency.columns {
        let known = from.column(column.id);
        let same = |now: &&ColumnDef| known.is_some_and(|known| now.sql_type == known.sql_type);
        match known.and_then(|known| to.column_named(&known.name)).filter(same) {
            Some(now) => columns.push(crate::catalog::DependencyColumn { id: now.id, ..column.clone() }),
            None if column.read => {
                let message = format!(
                    "view \"{}\" reads column \"{}\" of table \"{}\", which table \"{}\" does not have in that type",
                    view.name, column.name, from.name, to.name
                );
                return Err(Error::invalid(SqlState::DEPENDENT_OBJECTS, message)
                    .with_hint("drop the view before, and make it again after it"));
            }
            None => {}
        }
    }
    Ok(Dependency { relation: to.id, columns, ..dependency.clone() })
}
