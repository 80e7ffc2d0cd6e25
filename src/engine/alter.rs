//! ALTER TABLE: what only the definition tells. Where rows are written anew is told in [`layout`].

mod append;
mod columns;
mod layout;
mod swap;

use std::sync::Arc;

pub(super) use layout::set_slices;

use super::constraints::{Parents, constraints};
use super::names::{Place, Relation, at, no_such_column};
use super::output::Output;
use super::running::Running;
use super::verify;
use crate::catalog::{
    ColumnDef, ConstraintDef, ConstraintKind, ConstraintState, Snapshot, TableDef, TableState, Transaction, ViewDef,
};
use crate::common::{ColumnId, Error, ErrorKind, Result, SqlState, TableId};
use crate::sql::ast::{self, AlterTable, Constraint, CreateTable, Ident, ObjectName, TableChange};

/// How often a definition is changed anew when others change it at the same time.
const ATTEMPTS: usize = 20;

pub(super) async fn alter_table(running: &Running<'_>, alter: AlterTable) -> Result<Output> {
    let table = &alter.table;
    match alter.change {
        TableChange::Rename(name) => rename(running, table, &name).await,
        TableChange::RenameColumn { from, to } => columns::rename(running, table, &from, &to).await,
        TableChange::AddColumn(spec) => columns::add(running, table, *spec).await,
        TableChange::DropColumn { name, cascade } => columns::drop(running, table, &name, cascade).await,
        TableChange::Type { name, sql_type } => columns::retype(running, table, &name, sql_type).await,
        TableChange::Encode(encodings) => layout::encode(running, table, &encodings).await,
        TableChange::EncodeAuto => layout::encode_auto(running, table).await,
        TableChange::Layout { dist, sort } => layout::keys(running, table, dist.as_ref(), sort.as_ref()).await,
        TableChange::AddConstraint(constraint) => add_constraint(running, table, constraint).await,
        TableChange::DropConstraint { name, cascade } => drop_constraint(running, table, &name, cascade).await,
        TableChange::Owner(user) => owner(running, table, &user).await,
        TableChange::Append { source, extra } => append::append(running, table, &source, extra).await,
        TableChange::Swap(other) => swap::swap(running, table, &other).await,
    }
}

/// What a statement alters: the table as its transaction sees it, and the definition that it is to have.
struct Altered {
    place: Place,
    snapshot: Arc<Snapshot>,
    table: Arc<TableState>,
    def: TableDef,
    transaction: Transaction,
    notices: Vec<String>,
}

impl Altered {
    async fn begin(running: &Running<'_>, name: &ObjectName) -> Result<Self> {
        let place = running.place(name).await?;
        place.check_writable(name)?;
        if running.statement.block.is_none() {
            place.warehouse.inner.catalog.refresh().await?;
        }
        let (transaction, snapshot) = running.transaction(&place.warehouse)?;
        let table = Arc::clone(place.table(&snapshot, name)?);
        let def = TableDef { definition_version: table.def.definition_version + 1, ..TableDef::clone(&table.def) };
        Ok(Altered { place, snapshot, table, def, transaction, notices: Vec::new() })
    }

    /// The column of that name.
    fn column(&mut self, name: &Ident) -> Result<&mut ColumnDef> {
        let table = &self.table.def;
        let found = self.def.columns.iter_mut().find(|column| column.name == name.value);
        found.ok_or_else(|| no_such_column(name, table))
    }

    /// Gives the table the definition. `None` where another statement came first, and it is to be tried again.
    async fn commit(mut self, running: &Running<'_>, attempts: &mut usize) -> Result<Option<Output>> {
        self.transaction.alter_table(self.def);
        Self::end(running, &self.place, self.transaction, self.notices, attempts).await
    }

    /// The same of a transaction that does so already.
    async fn end(
        running: &Running<'_>,
        place: &Place,
        transaction: Transaction,
        mut notices: Vec<String>,
        attempts: &mut usize,
    ) -> Result<Option<Output>> {
        *attempts += 1;
        match running.commit(&place.warehouse, transaction).await {
            Ok(committed) => {
                notices.extend(committed.demoted.iter().map(verify::demoted));
                Ok(Some(Output::done("ALTER TABLE", None).with_notices(notices)))
            }
            Err(e) if e.kind() == ErrorKind::Conflict && running.statement.block.is_none() && *attempts < ATTEMPTS => {
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

/// The statement has nothing to change.
fn unchanged() -> Output {
    Output::done("ALTER TABLE", None)
}

/// A name that a permanent table may have.
fn check_name(place: &Place, name: &Ident) -> Result<()> {
    if name.value.starts_with('#') && !place.temporary {
        let error = Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            format!("\"{}\" is the name of a temporary table", name.value),
        );
        return Err(at(error.with_hint("a permanent table's name does not begin with #"), name));
    }
    Ok(())
}

/// Tables and views, which Redshift renames by ALTER TABLE, too.
async fn rename(running: &Running<'_>, table: &ObjectName, name: &Ident) -> Result<Output> {
    let place = running.place(table).await?;
    let pin = running.pins.pin(&place.warehouse).await?;
    if let Relation::View(_) = place.relation(&pin, table)? {
        return rename_view(running, table, name).await;
    }
    let mut attempts = 0;
    loop {
        let mut altered = Altered::begin(running, table).await?;
        check_name(&altered.place, name)?;
        if altered.def.name == name.value {
            return Ok(unchanged());
        }
        altered.def.name = name.value.clone();
        if let Some(output) = altered.commit(running, &mut attempts).await.map_err(|e| at(e, name))? {
            return Ok(output);
        }
    }
}

async fn rename_view(running: &Running<'_>, view: &ObjectName, name: &Ident) -> Result<Output> {
    let renamed = running.retry_while(
        |e| e.kind() == ErrorKind::Conflict,
        || async {
            let place = running.place(view).await?;
            place.check_writable(view)?;
            check_name(&place, name)?;
            let (mut transaction, snapshot) = running.transaction(&place.warehouse)?;
            let old = place.view(&snapshot, view)?;
            let definition_version = old.definition_version + 1;
            transaction.alter_view(ViewDef { name: name.value.clone(), definition_version, ..ViewDef::clone(old) });
            running.commit(&place.warehouse, transaction).await
        },
    );
    renamed.await.map_err(|e| at(e, name))?;
    Ok(Output::done("ALTER TABLE", None))
}

async fn owner(running: &Running<'_>, table: &ObjectName, user: &Ident) -> Result<Output> {
    let mut attempts = 0;
    loop {
        let mut altered = Altered::begin(running, table).await?;
        let users = &altered.snapshot.users;
        let Some((id, _)) = users.iter().find(|(_, name)| **name == user.value) else {
            let known: Vec<&str> = users.values().map(String::as_str).collect();
            let error = Error::invalid(SqlState::UNDEFINED_OBJECT, format!("user \"{}\" does not exist", user.value));
            return Err(at(error.with_hint(format!("the users are {}", known.join(", "))), user));
        };
        altered.def.owner = *id;
        if let Some(output) = altered.commit(running, &mut attempts).await? {
            return Ok(output);
        }
    }
}

/// Existing rows are checked where the constraint is to be VERIFIED, else not (as in Redshift).
async fn add_constraint(running: &Running<'_>, table: &ObjectName, constraint: Constraint) -> Result<Output> {
    let position = constraint.position;
    let place = |e: Error| match e.position() {
        Some(_) => e,
        None => e.with_position(position.line, position.column),
    };
    let mut attempts = 0;
    loop {
        let altered = Altered::begin(running, table).await?;
        if let Some(output) = constrained(running, altered, &constraint, &mut attempts).await.map_err(place)? {
            return Ok(output);
        }
    }
}

async fn constrained(
    running: &Running<'_>,
    mut altered: Altered,
    constraint: &Constraint,
    attempts: &mut usize,
) -> Result<Option<Output>> {
    let (position, name) = (constraint.position, &constraint.name);
    let def = Arc::clone(&altered.table.def);
    let of = match name {
        Some(name) => format!("constraint \"{}\"", name.value),
        None => "the constraint".to_string(),
    };
    let wrong =
        |message: String, hint: &str| Err(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message).with_hint(hint));
    if let Some(name) = name
        && def.constraint_named(&name.value).is_some()
    {
        return wrong(format!("{of} of table \"{}\" exists already", def.name), "choose another name");
    }
    let named = |name: &str| Ident { value: name.to_string(), quoted: true, position };
    let state = constraint.state;
    let wanted = Constraint { state: ast::ConstraintState::NoRely, ..constraint.clone() };
    // What a foreign key to the table itself refers to without naming columns.
    let own_key = def.primary_key().map(|key| {
        let columns = key.iter().filter_map(|id| def.column(*id)).map(|c| named(&c.name)).collect();
        Constraint { name: None, kind: ast::ConstraintKind::PrimaryKey(columns), ..wanted.clone() }
    });
    let primary = matches!(wanted.kind, ast::ConstraintKind::PrimaryKey(_));
    if primary && own_key.is_some() {
        return wrong(
            format!("table \"{}\" has a PRIMARY KEY already", def.name),
            "drop it first, or add UNIQUE for the other",
        );
    }
    let own = ObjectName { parts: vec![named(&def.name)] };
    let words = CreateTable { constraints: own_key.into_iter().chain([wanted]).collect(), ..CreateTable::named(own) };
    let parents = Parents::find(running, &words, &altered.place, def.schema).await?;
    let Some(mut made) = constraints(&parents, &words, &def.columns)?.pop() else {
        return Err(Error::internal("a constraint is lost"));
    };
    if primary && let Some(column) = made.columns.iter().filter_map(|id| def.column(*id)).find(|c| c.nullable) {
        return wrong(
            format!("column \"{}\" of a PRIMARY KEY is not NOT NULL", column.name),
            "add UNIQUE instead, or make a new table where the column is NOT NULL",
        );
    }
    if let ConstraintKind::ForeignKey { table, .. } = &mut made.kind
        && *table == TableDef::SELF
    {
        *table = def.id;
    }
    made.state = match state {
        ast::ConstraintState::Rely => ConstraintState::Rely,
        _ => ConstraintState::NoRely,
    };
    altered.def.constraints.push(made.clone());
    if state == ast::ConstraintState::Verified {
        let ordinal = altered.def.constraints.len() - 1;
        let name = altered.def.constraint_names().swap_remove(ordinal);
        let verified_at = verify::verified_at(running, &altered.place, &altered.table, &made, &name).await?;
        // The definition is altered before the constraint's state is.
        altered.transaction.alter_table(altered.def.clone());
        let verified = ConstraintState::Verified { at: verified_at };
        altered.transaction.set_constraint_state(&altered.def, ordinal, verified);
        let Altered { place, transaction, notices, .. } = altered;
        return Altered::end(running, &place, transaction, notices, attempts).await;
    }
    if state == ast::ConstraintState::NoRely {
        altered.notices.push(
            "a constraint that is not VERIFIED informs only: rows are not checked, and no answer depends on it unless \
                 it is RELY"
                .into(),
        );
    }
    altered.commit(running, attempts).await
}

async fn drop_constraint(running: &Running<'_>, table: &ObjectName, name: &Ident, cascade: bool) -> Result<Output> {
    let mut attempts = 0;
    loop {
        let mut altered = Altered::begin(running, table).await?;
        let def = Arc::clone(&altered.table.def);
        let Some(ordinal) = def.constraint_named(&name.value) else {
            let names: Vec<String> = def.constraint_names().iter().map(|name| format!("\"{name}\"")).collect();
            let message = format!("constraint \"{}\" of table \"{}\" does not exist", name.value, table.unquoted());
            let error = Error::invalid(SqlState::UNDEFINED_OBJECT, message);
            return Err(at(
                match names.is_empty() {
                    true => error.with_hint("the table has no constraints"),
                    false => error.with_hint(format!("its constraints are {}", names.join(", "))),
                },
                name,
            ));
        };
        let dropped = altered.def.constraints.remove(ordinal);
        if dropped.is_key() {
            let referring = Referring { table: def.id, columns: dropped.columns };
            referring.free(&mut altered, &format!("constraint {}", name.value), cascade).map_err(|e| at(e, name))?;
        }
        if let Some(output) = altered.commit(running, &mut attempts).await? {
            return Ok(output);
        }
    }
}

/// Foreign keys that refer to columns of a table.
struct Referring {
    table: TableId,
    columns: Vec<ColumnId>,
}

impl Referring {
    fn is(&self, constraint: &ConstraintDef) -> bool {
        match &constraint.kind {
            ConstraintKind::ForeignKey { table, referenced } => {
                *table == self.table && referenced.iter().any(|id| self.columns.contains(id))
            }
            _ => false,
        }
    }

    /// Drops them with `cascade`; else it is an error that there are some.
    fn free(&self, altered: &mut Altered, what: &str, cascade: bool) -> Result<()> {
        let in_use = |def: &TableDef, ordinal: usize| {
            let constraint = def.constraint_names().swap_remove(ordinal);
            let message = format!("cannot drop {what} because other objects depend on it");
            Err(Error::invalid(SqlState::DEPENDENT_OBJECTS, message)
                .with_detail(format!("constraint {constraint} on table {} depends on {what}", def.name))
                .with_hint("Use DROP ... CASCADE to drop the dependent objects too."))
        };
        if let Some(ordinal) = altered.def.constraints.iter().position(|c| self.is(c)) {
            if !cascade {
                return in_use(&altered.def, ordinal);
            }
            altered.def.constraints.retain(|c| !self.is(c));
        }
        for child in altered.snapshot.tables.values().filter(|t| t.def.id != self.table) {
            let Some(ordinal) = child.def.constraints.iter().position(|c| self.is(c)) else { continue };
            if !cascade {
                return in_use(&child.def, ordinal);
            }
            let mut def = TableDef::clone(&child.def);
            def.constraints.retain(|c| !self.is(c));
            def.definition_version += 1;
            altered.notices.push(format!("foreign keys of table \"{}\" were dropped with {what}", def.name));
            altered.transaction.alter_table(def);
        }
        Ok(())
    }
}

/// Invalid within a block, for what commits by itself.
fn check_alone(running: &Running<'_>, what: &str) -> Result<()> {
    match &running.statement.block {
        None => Ok(()),
        Some(_) => {
            let message = format!("{what} cannot run inside a transaction block");
            Err(Error::invalid(SqlState::ACTIVE_TRANSACTION, message)
                .with_hint("run it by itself: it writes rows anew while others go on, and commits that"))
        }
    }
}
