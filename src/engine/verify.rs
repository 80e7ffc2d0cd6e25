//! ALTER TABLE … VERIFY CONSTRAINT, and what else changes how far a constraint is believed.

use std::sync::Arc;

use super::checks::{Broken, Checker, Keyed, check_types};
use super::names::{Place, at};
use super::output::Output;
use super::running::Running;
use crate::catalog::{Committed, ConstraintDef, ConstraintKind, ConstraintState, PinnedSnapshot, TableState};
use crate::common::{Error, ErrorKind, Result, SqlState, Version};
use crate::sql::ast::{self, AlterConstraint};

pub(super) async fn alter(running: &Running<'_>, alter: AlterConstraint) -> Result<Output> {
    let place = running.place(&alter.table).await?;
    place.check_writable(&alter.table)?;
    let conflicts = |e: &Error| e.kind() == ErrorKind::Conflict;
    let committed = running.retry_while(conflicts, || once(running, &place, &alter)).await?;
    let notices = committed.iter().flat_map(|c| &c.demoted).map(demoted).collect();
    Ok(Output::done("ALTER TABLE", None).with_notices(notices))
}

/// What to say of a constraint that is VERIFIED no longer.
pub(super) fn demoted((table, constraint): &(String, String)) -> String {
    format!("constraint \"{constraint}\" of table \"{table}\" is VERIFIED no longer, and NORELY now")
}

/// `None` where there was nothing to change.
async fn once(running: &Running<'_>, place: &Place, alter: &AlterConstraint) -> Result<Option<Committed>> {
    let pin = match &running.statement.block {
        Some(block) => block.pin(&place.warehouse).await?,
        None => place.warehouse.pin_newest().await?,
    };
    let table = place.table(&pin, &alter.table)?;
    let name = &alter.name.value;
    let found = table.def.constraint_named(name).and_then(|i| Some((i, table.def.constraints.get(i)?)));
    let Some((ordinal, constraint)) = found else {
        let message = format!("constraint \"{name}\" of table \"{}\" does not exist", alter.table.unquoted());
        let names: Vec<String> = table.def.constraint_names().iter().map(|name| format!("\"{name}\"")).collect();
        let error = Error::invalid(SqlState::UNDEFINED_OBJECT, message);
        return Err(at(
            match names.is_empty() {
                true => error.with_hint("the table has no constraints"),
                false => error.with_hint(format!("its constraints are {}", names.join(", "))),
            },
            &alter.name,
        ));
    };
    let state = match alter.state {
        ast::ConstraintState::NoRely => ConstraintState::NoRely,
        ast::ConstraintState::Rely => ConstraintState::Rely,
        ast::ConstraintState::Verified if constraint.is_verified() => return Ok(None),
        ast::ConstraintState::Verified => {
            verify(running, place, &pin, table, constraint, name).await.map_err(|e| at(e, &alter.name))?;
            let parent = constraint.referenced_table().and_then(|id| pin.table(id));
            if [Some(table), parent].into_iter().flatten().any(|t| t.data_changed > pin.base().version) {
                return Err(at(of_own_rows(), &alter.name));
            }
            ConstraintState::Verified { at: pin.base().version }
        }
    };
    let (mut transaction, _) = running.transaction(&place.warehouse)?;
    transaction.set_constraint_state(&table.def, ordinal, state);
    running.commit(&place.warehouse, transaction).await.map(Some).map_err(|e| at(e, &alter.name))
}

/// Checks a constraint of `table` that is to be added, and tells of which version it holds.
///
/// Errors: as those of a constraint that the table has.
pub(super) async fn verified_at(
    running: &Running<'_>,
    place: &Place,
    table: &TableState,
    constraint: &ConstraintDef,
    name: &str,
) -> Result<Version> {
    let pin = match &running.statement.block {
        Some(block) => block.pin(&place.warehouse).await?,
        None => place.warehouse.pin_newest().await?,
    };
    let table = pin.table(table.def.id).cloned().ok_or_else(|| Error::conflict("the table was dropped"))?;
    verify(running, place, &pin, &table, constraint, name).await?;
    let parent = constraint.referenced_table().and_then(|id| pin.table(id));
    if [Some(&table), parent].into_iter().flatten().any(|t| t.data_changed > pin.base().version) {
        return Err(of_own_rows());
    }
    Ok(pin.base().version)
}

fn of_own_rows() -> Error {
    Error::unsupported("a constraint of rows that the transaction itself has changed")
        .with_hint("COMMIT first, then verify it")
}

/// Whether a constraint holds of the rows of `pin`.
///
/// Invalid, with the SQLSTATE of the violation, when it does not.
async fn verify(
    running: &Running<'_>,
    place: &Place,
    pin: &PinnedSnapshot,
    table: &TableState,
    constraint: &ConstraintDef,
    name: &str,
) -> Result<()> {
    let rows =
        Keyed { def: Arc::clone(&table.def), segments: table.segments.to_vec(), columns: constraint.columns.clone() };
    // What is grouped spills; of a join one side would be held.
    let checker =
        Checker::new(&place.warehouse, pin.clone(), Some(running.statement.clone()), running.prunes()).grouping();
    let does_not_hold = |state: SqlState, detail: String| {
        let message = format!("constraint \"{name}\" of table \"{}\" does not hold", table.def.name);
        Err(Error::invalid(state, message).with_detail(detail))
    };
    let least = |broken: &Broken| format!("At least {} rows break it.", broken.rows);
    match &constraint.kind {
        ConstraintKind::ForeignKey { table: parent, referenced } => {
            let parent = pin.table(*parent).ok_or_else(|| Error::internal("a foreign key refers to no table"))?;
            let parent =
                Keyed { def: Arc::clone(&parent.def), segments: parent.segments.to_vec(), columns: referenced.clone() };
            if !parent.def.has_verified_key(referenced) {
                let message = format!(
                    "what foreign key \"{name}\" of table \"{}\" refers to is not a VERIFIED key",
                    table.def.name
                );
                return Err(Error::invalid(SqlState::INVALID_FOREIGN_KEY, message)
                    .with_hint(format!("verify the key of table \"{}\" first", parent.def.name)));
            }
            check_types(&table.def, constraint, Some((&parent.def, referenced)), name)?;
            match checker.missing(&rows, &parent).await? {
                Some(broken) => does_not_hold(
                    SqlState::FOREIGN_KEY_VIOLATION,
                    format!("Key {} is not present in table \"{}\". {}", broken.key, parent.def.name, least(&broken)),
                ),
                None => Ok(()),
            }
        }
        kind => {
            check_types(&table.def, constraint, None, name)?;
            if *kind == ConstraintKind::PrimaryKey && checker.has_null(&rows).await? {
                return does_not_hold(SqlState::NOT_NULL_VIOLATION, "A column of the key is NULL in a row.".into());
            }
            match checker.repeated(&rows).await? {
                Some(broken) => does_not_hold(
                    SqlState::UNIQUE_VIOLATION,
                    format!("Key {} is in {} rows. {}", broken.key, broken.times, least(&broken)),
                ),
                None => Ok(()),
            }
        }
    }
}
