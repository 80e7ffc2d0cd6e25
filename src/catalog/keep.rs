//! How a commit keeps VERIFIED constraints true: rows that were not checked take the state away.
//!
//! A commit knows no rows. What it can tell is whether there are any that nobody has checked: rows that came since the
//! version to which the transaction checked its own, and rows that left a table to which a foreign key refers. Of rows that
//! take the place of others only the columns count in which they differ.

use std::collections::BTreeMap;

use super::entry::Action;
use super::model::*;
use super::resolve::{Resolver, violation};
use super::transaction::{Changed, Target};
use crate::common::{ColumnId, Error, Result, SqlState, TableId, Version};

/// What a transaction does to rows that constraints are about.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// The tables that it changes, with the version that changed their rows before.
    touched: BTreeMap<TableId, Version>,
    /// In which columns rows that come in have values that those which go for them have not.
    added_to: BTreeMap<TableId, Changed>,
    /// In which columns rows that go have values that those which come in for them have not.
    removed_from: BTreeMap<TableId, Changed>,
    /// Whether a key may have lost its state, on which others' foreign keys rest.
    weakened: bool,
    /// See [`super::Committed::demoted`].
    pub demoted: Vec<(String, String)>,
}

impl Keeping {
    /// Nobody else has rows of a table that the transaction makes.
    pub fn making(&mut self, table: TableId) {
        self.touched.insert(table, Version(0));
    }

    pub fn adding(&mut self, table: &TableState, changed: &Changed) {
        self.touched.entry(table.def.id).or_insert(table.data_changed);
        note(&mut self.added_to, table.def.id, changed);
    }

    pub fn removing(&mut self, table: &TableState, changed: &Changed) {
        self.touched.entry(table.def.id).or_insert(table.data_changed);
        note(&mut self.removed_from, table.def.id, changed);
    }
}

fn note(known: &mut BTreeMap<TableId, Changed>, table: TableId, changed: &Changed) {
    let before = known.remove(&table).unwrap_or(Changed::NOTHING);
    known.insert(table, before.and(changed));
}

impl Resolver<'_> {
    /// A new table has no rows, so that what it declares to be VERIFIED is, as of the version being made.
    pub(super) fn declare(&self, def: &mut TableDef) -> Result<()> {
        let at = self.snapshot.version;
        let own = def.clone();
        let names = def.constraint_names();
        for (constraint, name) in def.constraints.iter_mut().zip(names) {
            if constraint.is_verified() {
                constraint.state = ConstraintState::Verified { at };
                self.rests_on_verified(&own, constraint, &name)?;
            }
        }
        Ok(())
    }

    /// An altered table keeps the states of its constraints, but of those whose columns have become others.
    pub(super) fn carry_states(&mut self, def: &mut TableDef) -> Result<()> {
        let Some(old) = self.snapshot.table(def.id).map(|table| table.def.clone()) else { return Ok(()) };
        if old.constraints == def.constraints && old.columns == def.columns {
            return Ok(());
        }
        let alike = |id: &ColumnId| match (old.column(*id), def.column(*id)) {
            (Some(old), Some(new)) => old.sql_type == new.sql_type && (old.nullable || !new.nullable),
            _ => false,
        };
        let mut lost = Vec::new();
        for (i, constraint) in def.constraints.iter().enumerate().filter(|(_, c)| c.is_verified()) {
            if !old.constraints.contains(constraint) {
                return Err(Error::internal("a constraint becomes VERIFIED without proof"));
            }
            if !constraint.columns.iter().all(alike) {
                lost.push(i);
            }
        }
        for i in lost {
            self.forget(def, i);
        }
        self.own.keeping.weakened = true;
        Ok(())
    }

    pub(super) fn set_constraint(&mut self, table: &Target, ordinal: usize, wanted: ConstraintState) -> Result<()> {
        let state = self.table(table)?.clone();
        let mut def = TableDef::clone(&state.def);
        let names = def.constraint_names();
        let (Some(constraint), Some(name)) = (def.constraints.get_mut(ordinal), names.get(ordinal)) else {
            return Err(Error::internal(format!("table \"{}\" has no constraint {ordinal}", def.name)));
        };
        if constraint.state == wanted {
            return Ok(());
        }
        if let ConstraintState::Verified { at } = wanted {
            let parent = constraint.referenced_table().and_then(|id| self.snapshot.table(id));
            if state.data_changed > at || parent.is_some_and(|parent| parent.data_changed > at) {
                return Err(violation(&table.name, &state, at));
            }
            self.rests_on_verified(&state.def, constraint, name)?;
        } else if constraint.is_verified() {
            self.own.keeping.weakened = true;
        }
        constraint.state = wanted;
        def.definition_version += 1;
        self.act(Action::AlterTable(def))
    }

    /// Called behind all wishes of a transaction, whose rows are `checked` up to these versions.
    ///
    /// Conflict when rows have come since that were not.
    pub(super) fn keep_constraints(&mut self, checked: &BTreeMap<TableId, Version>) -> Result<()> {
        let checked: BTreeMap<TableId, Version> = checked.iter().map(|(id, upto)| (self.lasting(*id), *upto)).collect();
        for (id, changed) in std::mem::take(&mut self.own.keeping.added_to) {
            let Some(table) = self.snapshot.table(id).map(|table| table.def.clone()) else { continue };
            let concerned = |c: &&ConstraintDef| c.is_verified() && changed.touches(&c.columns);
            let verified: Vec<&ConstraintDef> = table.constraints.iter().filter(concerned).collect();
            if verified.is_empty() {
                continue;
            }
            let Some(upto) = checked.get(&id) else {
                self.demote(id, |c| changed.touches(&c.columns))?;
                continue;
            };
            let parents = verified.iter().filter_map(|c| c.referenced_table());
            if let Some(changed) = parents.chain([id]).find(|of| self.changed_before(*of) > *upto) {
                let name = self.snapshot.table(changed).map_or("?", |table| table.def.name.as_str());
                return Err(Error::conflict(format!(
                    "rows that another transaction changed in table \"{name}\" are not checked against those added to \
                     table \"{}\"",
                    table.name
                ))
                .with_hint("run the statement again"));
            }
        }
        let removed = std::mem::take(&mut self.own.keeping.removed_from);
        if !removed.is_empty() {
            for id in self.with_verified() {
                self.demote(id, |c| match &c.kind {
                    ConstraintKind::ForeignKey { table, referenced } => {
                        removed.get(table).is_some_and(|changed| changed.touches(referenced))
                    }
                    _ => false,
                })?;
            }
        }
        while std::mem::take(&mut self.own.keeping.weakened) {
            for id in self.with_verified() {
                let Some(def) = self.snapshot.table(id).map(|table| table.def.clone()) else { continue };
                let unfounded: Vec<ConstraintDef> =
                    def.constraints.iter().filter(|c| c.is_verified() && !self.rests(&def, c)).cloned().collect();
                if !unfounded.is_empty() {
                    self.demote(id, |c| unfounded.contains(c))?;
                }
            }
        }
        Ok(())
    }

    /// The version that changed the table's rows before this transaction did.
    pub(super) fn changed_before(&self, id: TableId) -> Version {
        let now = || self.snapshot.table(id).map_or(self.snapshot.version, |table| table.data_changed);
        self.own.keeping.touched.get(&id).copied().unwrap_or_else(now)
    }

    fn with_verified(&self) -> Vec<TableId> {
        let has = |table: &TableState| table.def.constraints.iter().any(ConstraintDef::is_verified);
        self.snapshot.tables.values().filter(|table| has(table)).map(|table| table.def.id).collect()
    }

    /// Makes VERIFIED constraints of a table NORELY.
    fn demote(&mut self, id: TableId, which: impl Fn(&ConstraintDef) -> bool) -> Result<()> {
        let Some(table) = self.snapshot.table(id) else { return Ok(()) };
        let mut def = TableDef::clone(&table.def);
        let chosen: Vec<usize> = (0..def.constraints.len())
            .filter(|i| def.constraints[*i].is_verified() && which(&def.constraints[*i]))
            .collect();
        if chosen.is_empty() {
            return Ok(());
        }
        for i in chosen {
            self.forget(&mut def, i);
        }
        def.definition_version += 1;
        self.act(Action::AlterTable(def))
    }

    fn forget(&mut self, def: &mut TableDef, ordinal: usize) {
        let name = def.constraint_names().swap_remove(ordinal);
        def.constraints[ordinal].state = ConstraintState::NoRely;
        self.own.keeping.weakened = true;
        self.own.keeping.demoted.push((def.name.clone(), name));
    }

    /// Whether what a foreign key of `def` refers to is a VERIFIED key; of a key, yes.
    fn rests(&self, def: &TableDef, constraint: &ConstraintDef) -> bool {
        match &constraint.kind {
            ConstraintKind::ForeignKey { table, referenced } if *table == def.id => def.has_verified_key(referenced),
            ConstraintKind::ForeignKey { table, referenced } => {
                self.snapshot.table(*table).is_some_and(|parent| parent.def.has_verified_key(referenced))
            }
            _ => true,
        }
    }

    fn rests_on_verified(&self, def: &TableDef, constraint: &ConstraintDef, name: &str) -> Result<()> {
        if self.rests(def, constraint) {
            return Ok(());
        }
        let message = format!("what foreign key \"{name}\" of table \"{}\" refers to is not a VERIFIED key", def.name);
        Err(Error::invalid(SqlState::INVALID_FOREIGN_KEY, message)
            .with_hint("verify the key of the other table first: ALTER TABLE … VERIFY CONSTRAINT …"))
    }
}
