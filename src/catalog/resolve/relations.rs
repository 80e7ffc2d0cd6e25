//! What relations need of each other: drops, views, foreign keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Resolver, gone, in_use};
use crate::catalog::apply::reaches;
use crate::catalog::entry::Action;
use crate::catalog::model::*;
use crate::catalog::view::ViewDef;
use crate::common::{Error, Result, SqlState, SqlType, TableId};

impl Resolver<'_> {
    /// Gives foreign keys the lasting ids of what they refer to, which must exist. [`TableDef::SELF`] is the table itself.
    pub(super) fn refer(&self, def: &mut TableDef) -> Result<()> {
        let (own, columns) = (def.id, def.columns.clone());
        for constraint in &mut def.constraints {
            let ConstraintKind::ForeignKey { table, referenced } = &mut constraint.kind else { continue };
            *table = if *table == TableDef::SELF { own } else { self.lasting(*table) };
            let there = match self.snapshot.table(*table) {
                _ if *table == own => referenced.iter().all(|id| columns.iter().any(|c| c.id == *id)),
                Some(parent) => referenced.iter().all(|id| parent.def.column(*id).is_some()),
                None => false,
            };
            if !there {
                return Err(Error::conflict(format!(
                    "what a foreign key of table \"{}\" refers to was dropped by another transaction",
                    def.name
                ))
                .with_hint("run the statement again"));
            }
        }
        Ok(())
    }

    /// Drops tables, and with `cascade` the foreign keys of other tables that refer to them and the views that read them.
    pub(super) fn drop_tables(&mut self, tables: Vec<(TableId, String)>, cascade: bool) -> Result<()> {
        let dropped: BTreeMap<TableId, &str> = tables.iter().map(|(id, name)| (*id, name.as_str())).collect();
        let is_gone = |id: &TableId| self.snapshot.table(*id).is_none() && !self.own.dropped.contains(id);
        if let Some((_, name)) = tables.iter().find(|(id, _)| is_gone(id)) {
            return Err(Error::invalid(SqlState::UNDEFINED_TABLE, format!("table \"{name}\" does not exist")));
        }
        let parent = |c: &ConstraintDef| c.referenced_table().and_then(|id| dropped.get(&id).copied());
        let mut freed = Vec::new();
        for child in self.snapshot.tables.values().filter(|t| !dropped.contains_key(&t.def.id)) {
            let Some((at, parent_name)) =
                child.def.constraints.iter().enumerate().find_map(|(at, c)| Some((at, parent(c)?)))
            else {
                continue;
            };
            if !cascade {
                let constraint = child.def.constraint_names().swap_remove(at);
                return Err(Error::invalid(
                    SqlState::DEPENDENT_OBJECTS,
                    format!("cannot drop table {parent_name} because other objects depend on it"),
                )
                .with_detail(format!(
                    "constraint {constraint} on table {} depends on table {parent_name}",
                    child.def.name
                ))
                .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
            }
            let mut def = TableDef::clone(&child.def);
            def.constraints.retain(|c| parent(c).is_none());
            def.definition_version += 1;
            freed.push(def);
        }
        for def in freed {
            self.act(Action::AlterTable(def))?;
        }
        for (id, name) in &tables {
            self.drop_relation(*id, "table", name, cascade)?;
        }
        Ok(())
    }

    pub(super) fn drop_relation(&mut self, id: TableId, kind: &str, name: &str, cascade: bool) -> Result<()> {
        let id = self.lasting(id);
        if self.own.dropped.contains(&id) {
            return Ok(());
        }
        if self.snapshot.table(id).is_none() && self.snapshot.view(id).is_none() {
            return Err(Error::invalid(SqlState::UNDEFINED_TABLE, format!("{kind} \"{name}\" does not exist")));
        }
        if !cascade {
            let dropping: BTreeSet<TableId> = self.dropping.iter().map(|id| self.lasting(*id)).collect();
            if let Some(view) = self.all_views_of(id).into_iter().find(|view| !dropping.contains(&view.id)) {
                return Err(in_use(&format!("{kind} {name}"), &format!("view {}", view.name)));
            }
        }
        self.drop_with_views(id)
    }

    /// Drops what reads the relation before it; nothing where it is gone already.
    pub(super) fn drop_with_views(&mut self, id: TableId) -> Result<()> {
        // Views that read others come after these.
        for view in self.all_views_of(id).into_iter().rev() {
            if self.own.dropped.insert(view.id) {
                self.act(Action::DropView(view.id))?;
            }
        }
        match (self.own.dropped.insert(id), self.snapshot.table(id).is_some()) {
            (false, _) => Ok(()),
            (true, true) => self.act(Action::DropTable(id)),
            (true, false) => self.act(Action::DropView(id)),
        }
    }

    /// All views that read the relation, also through others; each behind those that it reads.
    fn all_views_of(&self, id: TableId) -> Vec<Arc<ViewDef>> {
        let reading: BTreeSet<TableId> =
            self.snapshot.views.values().filter(|view| reaches(self.snapshot, view, id)).map(|v| v.id).collect();
        let mut ordered: Vec<Arc<ViewDef>> = Vec::with_capacity(reading.len());
        let mut placed = BTreeSet::new();
        while ordered.len() < reading.len() {
            let before = ordered.len();
            for view in reading.iter().filter_map(|id| self.snapshot.view(*id)) {
                let ready =
                    view.dependencies().iter().all(|d| !reading.contains(&d.relation) || placed.contains(&d.relation));
                if ready && placed.insert(view.id) {
                    ordered.push(Arc::clone(view));
                }
            }
            // Views form no circle, so that there is always one more.
            if ordered.len() == before {
                break;
            }
        }
        ordered
    }

    /// A view reads what is there, as it was when the view was planned, and not itself.
    pub(super) fn view_holds(&self, def: &ViewDef) -> Result<()> {
        def.check_invariants()?;
        for dependency in def.dependencies() {
            match (self.snapshot.table(dependency.relation), self.snapshot.view(dependency.relation)) {
                (Some(table), _) => {
                    let missing = dependency.columns.iter().any(|c| c.read && table.def.column(c.id).is_none());
                    if missing {
                        return Err(gone("table", &dependency.name, "altered"));
                    }
                }
                (None, Some(_)) => {}
                (None, None) => return Err(gone("relation", &dependency.name, "dropped")),
            }
        }
        if reaches(self.snapshot, def, def.id) {
            return Err(Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("view \"{}\" would read itself", def.name),
            )
            .with_hint("a view may read tables and other views only"));
        }
        if self.depth(def) > ViewDef::MAX_DEPTH {
            return Err(Error::unsupported(format!(
                "view \"{}\" stands over more than {} views, one above the other",
                def.name,
                ViewDef::MAX_DEPTH - 1
            ))
            .with_hint("let it read one of the lower views, or tables"));
        }
        Ok(())
    }

    /// What a new view reads is still called as its text says: else it was planned with what another transaction has renamed.
    pub(super) fn view_names_hold(&self, def: &ViewDef) -> Result<()> {
        let renamed = def.dependencies().iter().find(|dependency| {
            self.snapshot.table(dependency.relation).is_some_and(|table| table.def.name != dependency.name)
        });
        renamed.map_or(Ok(()), |dependency| Err(gone("table", &dependency.name, "renamed")))
    }

    /// How many views stand above each other, this one included; no more than one beyond the limit are counted.
    fn depth(&self, def: &ViewDef) -> usize {
        // By levels, so that a view which is read on many ways is looked at once a level.
        let mut level: BTreeSet<TableId> = def.dependencies().iter().map(|d| d.relation).collect();
        let mut depth = 1;
        while depth <= ViewDef::MAX_DEPTH {
            level.retain(|id| self.snapshot.view(*id).is_some());
            if level.is_empty() {
                break;
            }
            depth += 1;
            let below = level.iter().filter_map(|id| self.snapshot.view(*id));
            level = below.flat_map(|v| v.dependencies().iter().map(|d| d.relation)).collect();
        }
        depth
    }

    /// Views that are bound to the table still find the columns that they read, of their types.
    pub(super) fn views_keep_columns(&self, def: &TableDef) -> Result<()> {
        let Some(old) = self.snapshot.table(def.id) else { return Ok(()) };
        for view in self.snapshot.views_of(def.id) {
            let read = view.dependencies().iter().filter(|d| d.relation == def.id).flat_map(|d| &d.columns);
            for column in read.filter(|c| c.read) {
                let (before, now) = (old.def.column(column.id), def.column(column.id));
                let fits = match (before, now) {
                    (Some(before), Some(now)) => {
                        let text = |t: SqlType| matches!(t, SqlType::Varchar(_));
                        before.sql_type == now.sql_type || (text(before.sql_type) && text(now.sql_type))
                    }
                    _ => false,
                };
                if !fits {
                    let what = format!("column {} of table {}", column.name, old.def.name);
                    return Err(in_use(&what, &format!("view {}", view.name)));
                }
            }
        }
        Ok(())
    }
}
