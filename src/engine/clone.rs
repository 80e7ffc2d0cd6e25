//! CREATE TABLE … CLONE: a table that shares another's objects, as it is or as it was.

use std::sync::Arc;

use super::names::{self, Place, at};
use super::output::Output;
use super::past::{self, Past};
use super::running::Running;
use crate::catalog::{ConstraintDef, ConstraintKind, ConstraintState, PinnedSnapshot, Snapshot, TableDef, TableState};
use crate::common::{Error, Result, SchemaId, SqlState, TableId};
use crate::sql::ast::{CloneTable, ObjectName};

/// Writes nothing but the log entry; each of the two tables goes its own way from then on.
pub(super) async fn clone_table(running: &Running<'_>, create: CloneTable) -> Result<Output> {
    let place = running.place_of_new(&create.name, create.temporary).await?;
    place.check_writable(&create.name)?;
    let name = create.name.base();
    let now = running.pins.pin(&place.warehouse).await?;
    let schema = place.schema(&now, &create.name)?.id;
    if now.table_named(schema, &name.value).is_some() || now.view_named(schema, &name.value).is_some() {
        let name_of = create.name.unquoted();
        if create.if_not_exists {
            let notice = format!("table \"{name_of}\" already exists, skipping");
            return Ok(Output::done("CREATE TABLE", None).with_notices(vec![notice]));
        }
        let error = Error::invalid(SqlState::DUPLICATE_TABLE, format!("relation \"{name_of}\" already exists"));
        return Err(at(error.with_hint("drop it first, choose another name, or use IF NOT EXISTS"), name));
    }
    let source = Source::find(running, &create).await?;
    if !source.place.warehouse.is(&place.warehouse) {
        let message =
            format!("\"{}\" is in another database, with which no rows can be shared", create.source.unquoted());
        let error = Error::unsupported(message).with_hint("copy the rows: CREATE TABLE … AS SELECT");
        return Err(at(error, create.source.base()));
    }
    let (def, notices) = definition(running, &source.table, &now, schema, &create.name);
    let (mut transaction, _) = running.transaction(&place.warehouse)?;
    transaction.clone_table(def, &source.table, &source.pin);
    running.commit(&place.warehouse, transaction).await.map_err(|e| at(e, name))?;
    Ok(Output::done("CREATE TABLE", None).with_notices(notices))
}

/// The table that is cloned.
struct Source {
    place: Place,
    pin: PinnedSnapshot,
    table: Arc<TableState>,
}

impl Source {
    async fn find(running: &Running<'_>, create: &CloneTable) -> Result<Source> {
        let name = &create.source;
        if let Some(version) = &create.at {
            let as_of = past::as_of(running, version).await.map_err(|e| at(e, name.base()))?;
            let Past { place, pin } = Past::find(running, name, as_of).await?;
            let past = Past { place, pin };
            past.relation(name)?;
            let table = Arc::clone(past.place.table(&past.pin, name)?);
            return Ok(Source { table, place: past.place, pin: past.pin });
        }
        if running.session.is_foreign(name, &running.pin) {
            let error = Error::unsupported(format!("\"{}\" is no table of the warehouse", name.unquoted()));
            return Err(at(error.with_hint("copy the rows: CREATE TABLE … AS SELECT"), name.base()));
        }
        let place = running.place(name).await?;
        let pin = running.pins.pin(&place.warehouse).await?;
        let table = Arc::clone(place.table(&pin, name)?);
        let committed = pin.base().table(table.def.id);
        if !committed.is_some_and(|committed| Arc::ptr_eq(committed, &table)) {
            let message = format!("table \"{}\" was changed by the transaction that is to clone it", name.unquoted());
            let error =
                Error::unsupported(message).with_hint("COMMIT first, or copy the rows: CREATE TABLE … AS SELECT");
            return Err(names::at(error, name.base()));
        }
        running.statement.note_all(&place.warehouse, &pin, &table.def);
        Ok(Source { place, pin, table })
    }
}

/// The clone's definition, and what is to be said of it.
fn definition(
    running: &Running<'_>,
    of: &TableState,
    now: &Snapshot,
    schema: SchemaId,
    name: &ObjectName,
) -> (TableDef, Vec<String>) {
    let mut notices = Vec::new();
    let mut def = TableDef::clone(&of.def);
    let names = def.constraint_names();
    def.id = TableId(0);
    def.schema = schema;
    def.name = name.base().value.clone();
    def.owner = running.statement.user;
    def.definition_version = 1;
    if let Some(retain) = def.retain.take() {
        notices.push(format!("the clone keeps its rows: RETAIN {} DAYS is not taken along", retain.days));
    }
    let constraints = def.constraints.drain(..).zip(names).filter_map(|(mut constraint, called)| {
        match refer(&mut constraint, of, now) {
            Refers::ToNothing => {
                notices.push(format!("foreign key \"{called}\" is left out: what it refers to is not there"));
                return None;
            }
            // Rows that it refers to may have gone since.
            Refers::Elsewhere if constraint.is_verified() => {
                constraint.state = ConstraintState::NoRely;
                notices.push(format!(
                    "foreign key \"{called}\" is not VERIFIED of the clone: ALTER TABLE … VERIFY CONSTRAINT checks it"
                ));
            }
            Refers::Elsewhere | Refers::Within => {}
        }
        Some(constraint)
    });
    def.constraints = constraints.collect();
    (def, notices)
}

enum Refers {
    /// It is a key, or a foreign key to the table itself.
    Within,
    Elsewhere,
    ToNothing,
}

/// Makes what refers to the source itself refer to the clone.
fn refer(constraint: &mut ConstraintDef, of: &TableState, now: &Snapshot) -> Refers {
    let ConstraintKind::ForeignKey { table, referenced } = &mut constraint.kind else { return Refers::Within };
    if *table == of.def.id {
        *table = TableDef::SELF;
        return Refers::Within;
    }
    match now.table(*table) {
        Some(parent) if referenced.iter().all(|id| parent.def.column(*id).is_some()) => Refers::Elsewhere,
        _ => Refers::ToNothing,
    }
}
