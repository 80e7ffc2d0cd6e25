//! From a transaction's wishes to actions, on the newest snapshot: here conflicts are found and ids assigned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use roaring::RoaringBitmap;

use super::apply::{PROVISIONAL, apply_action, reaches};
use super::delete_vector;
use super::entry::{Action, Blobs, TransactionRecord};
use super::keep::Keeping;
use super::model::*;
use super::positions::Positions;
use super::ranks::RankMap;
use super::transaction::{
    Blob, Changed, Held, Intent, NewDeleteVector, NewSegment, ObjectNames, RankChoice, Read, RunChoice, Target,
    Telling, Transaction,
};
use super::view::{Binding, CommentOn, ViewDef};
use crate::common::{Error, Result, SchemaId, SqlState, SqlType, TableId, Version};

/// A transaction that holds on the snapshot it was resolved against.
#[derive(Debug)]
pub(super) struct Resolved {
    pub record: TransactionRecord,
    pub tables: BTreeMap<TableId, TableId>,
    pub schemas: BTreeMap<SchemaId, SchemaId>,
    pub segments: Vec<(TableId, Vec<SegmentId>)>,
    pub identities: Vec<(u64, u64)>,
    pub demoted: Vec<(String, String)>,
}

/// Delete vectors that other transactions committed, with which those of this one are to be merged.
pub(super) trait Vectors {
    /// The dead rows of a segment of `rows` rows; `None` where they are not at hand, and are to be before the transaction
    /// can be resolved.
    fn dead(&mut self, vector: &DeleteVectorRef, rows: u32) -> Option<Arc<RoaringBitmap>>;

    /// Where rows went; `None` as above.
    fn positions(&mut self, of: &Move) -> Option<Arc<Positions>>;
}

/// None, where nobody else has committed.
pub(super) struct NoVectors;

impl Vectors for NoVectors {
    fn dead(&mut self, _: &DeleteVectorRef, _: u32) -> Option<Arc<RoaringBitmap>> {
        None
    }

    fn positions(&mut self, _: &Move) -> Option<Arc<Positions>> {
        None
    }
}

/// Where a transaction's bytes go that stand in no object.
pub(super) enum Places<'a> {
    /// Into the log entry.
    Log(&'a mut Blobs),
    /// Nowhere yet: the transaction holds them.
    Held(&'a Held, ObjectNames),
}

/// What a transaction has made so far, by the numbers that it has for it.
#[derive(Debug, Default)]
pub(super) struct Own {
    tables: BTreeMap<TableId, TableId>,
    schemas: BTreeMap<SchemaId, SchemaId>,
    /// Of a table's segments that it adds, in order, the lasting numbers.
    segments: BTreeMap<TableId, Vec<SegmentId>>,
    runs: BTreeMap<(TableId, RunId), RunId>,
    /// Slices of runs that it has extended, which is no conflict.
    extended: BTreeSet<(TableId, u32, RunId)>,
    /// Relations that are gone already.
    dropped: BTreeSet<TableId>,
    /// The versions of the rank maps that it has brought, and of those that came too late.
    brought: BTreeMap<TableId, u32>,
    late_maps: BTreeSet<(TableId, u32)>,
    /// The segments whose delete vectors are its own, and whether each is the one that its statements see.
    vectors: BTreeMap<(TableId, SegmentId), bool>,
    pub(super) keeping: Keeping,
}

/// Applies a transaction to `snapshot`, which carries the version being made. After an error the snapshot is to be
/// thrown away, and `blobs` cut back.
pub(super) fn resolve(
    transaction: &Transaction,
    snapshot: &mut Snapshot,
    blobs: &mut Blobs,
    vectors: &mut dyn Vectors,
) -> Result<Resolved> {
    if transaction.base < snapshot.horizon {
        return Err(Error::conflict(format!(
            "the transaction began at version {}, which is older than the horizon {}",
            transaction.base, snapshot.horizon
        ))
        .with_hint("run the transaction again"));
    }
    if transaction.base >= snapshot.version {
        return Err(Error::internal(format!(
            "a transaction that began at version {} cannot become version {}",
            transaction.base, snapshot.version
        )));
    }
    transaction.reads.iter().try_for_each(|read| check_read(read, snapshot))?;
    let mut own = Own::default();
    resolve_on(transaction, snapshot, Places::Log(blobs), vectors, &mut own)
}

/// Applies a statement of an open transaction, which has made what `own` tells, to what its statements see.
pub(super) fn resolve_statement(statement: &Transaction, snapshot: &mut Snapshot, own: &mut Own) -> Result<Resolved> {
    let places = Places::Held(&statement.held, statement.names());
    resolve_on(statement, snapshot, places, &mut NoVectors, own)
}

fn resolve_on(
    transaction: &Transaction,
    snapshot: &mut Snapshot,
    places: Places<'_>,
    vectors: &mut dyn Vectors,
    own: &mut Own,
) -> Result<Resolved> {
    let mut resolver = Resolver {
        base: transaction.base,
        snapshot,
        places,
        vectors,
        actions: Vec::new(),
        own,
        segments: Vec::new(),
        identities: Vec::new(),
        dropping: transaction
            .intents
            .iter()
            .flat_map(|intent| match intent {
                Intent::DropTables { tables, .. } => tables.iter().map(|(id, _)| *id).collect(),
                Intent::DropView { id, .. } => vec![*id],
                _ => Vec::new(),
            })
            .collect(),
    };
    for intent in &transaction.intents {
        resolver.intent(intent)?;
    }
    resolver.keep_constraints(&transaction.checked)?;
    Ok(Resolved {
        record: TransactionRecord {
            commit: transaction.commit,
            start: transaction.base,
            author: transaction.author,
            actions: resolver.actions,
        },
        segments: resolver.segments,
        identities: resolver.identities,
        tables: resolver.own.tables.clone(),
        schemas: resolver.own.schemas.clone(),
        demoted: std::mem::take(&mut resolver.own.keeping.demoted),
    })
}

/// Whether what a transaction has read of a table is still what is there.
fn check_read(read: &Read, now: &Snapshot) -> Result<()> {
    let base = &read.base;
    let (Some(was), Some(is)) = (base.table(read.table), now.table(read.table)) else {
        return match base.table(read.table) {
            Some(_) => Err(gone("table", &read.name, "dropped")),
            None => Ok(()),
        };
    };
    if is.data_changed <= base.version {
        return Ok(());
    }
    let held: BTreeMap<SegmentId, _> = is.segments.iter().map(|s| (s.id, s.deleted)).collect();
    let lost = was.segments.iter().filter(|s| held.get(&s.id) != Some(&s.deleted));
    let came = is.segments.iter().filter(|s| s.added > base.version);
    match lost.chain(came).any(|segment| read.rows.may_hold(segment)) {
        true => Err(violation(&read.name, is, base.version)),
        false => Ok(()),
    }
}

pub(super) struct Resolver<'a> {
    base: Version,
    pub(super) snapshot: &'a mut Snapshot,
    places: Places<'a>,
    vectors: &'a mut dyn Vectors,
    actions: Vec<Action>,
    pub(super) own: &'a mut Own,
    segments: Vec<(TableId, Vec<SegmentId>)>,
    identities: Vec<(u64, u64)>,
    /// Relations that the transaction drops by name: their being in use is no obstacle to each other's going.
    dropping: BTreeSet<TableId>,
}

impl Resolver<'_> {
    pub(super) fn act(&mut self, action: Action) -> Result<()> {
        apply_action(self.snapshot, &action).map_err(|e| Error::internal(e.message()))?;
        self.actions.push(action);
        Ok(())
    }

    fn intent(&mut self, intent: &Intent) -> Result<()> {
        match intent {
            Intent::CreateSchema(schema) => {
                self.schema_name_is_free(&schema.name, None)?;
                let id = if self.is_open() { schema.id } else { self.snapshot.next_schema };
                self.own.schemas.insert(schema.id, id);
                self.act(Action::CreateSchema(Schema { id, ..schema.clone() }))
            }
            Intent::AlterSchema(schema) => {
                let id = self.schema(schema.id, &schema.name)?;
                self.schema_name_is_free(&schema.name, Some(id))?;
                self.act(Action::AlterSchema(Schema { id, ..schema.clone() }))
            }
            Intent::DropSchema { id, name, cascade } => {
                let id = self.schema(*id, name)?;
                let tables = self.snapshot.table_names(id).map(|(table, id)| (format!("table {name}.{table}"), id));
                let views = self.snapshot.view_names(id).map(|(view, id)| (format!("view {name}.{view}"), id));
                let relations: Vec<(String, TableId)> = tables.chain(views).collect();
                if let (false, Some((first, _))) = (cascade, relations.first()) {
                    return Err(in_use(&format!("schema {name}"), first));
                }
                let tables: Vec<(TableId, String)> =
                    self.snapshot.table_names(id).map(|(table, id)| (id, table.to_string())).collect();
                self.drop_tables(tables, *cascade)?;
                for (_, relation) in relations {
                    self.drop_with_views(relation)?;
                }
                self.act(Action::DropSchema(id))
            }
            Intent::CreateTable(def) => {
                self.create_table(def)?;
                Ok(())
            }
            Intent::CloneTable { def, of, version } => self.clone_table(def, of, version),
            Intent::Restore { of } => self.restore(of),
            Intent::AlterTable(def) => {
                let mut target = Target::from(def);
                target.definition_version = def.definition_version.wrapping_sub(1);
                let id = self.table(&target)?.def.id;
                let schema = self.schema(def.schema, "of the table")?;
                self.table_name_is_free(schema, &def.name, Some(id))?;
                let mut def = TableDef { id, schema, ..def.clone() };
                self.refer(&mut def)?;
                def.check_invariants()?;
                self.views_keep_columns(&def)?;
                self.carry_states(&mut def)?;
                self.act(Action::AlterTable(def))
            }
            Intent::SetConstraint { table, constraint, state } => self.set_constraint(table, *constraint, *state),
            Intent::DropTables { tables, cascade } => {
                self.drop_tables(tables.iter().map(|(id, name)| (self.lasting(*id), name.clone())).collect(), *cascade)
            }
            Intent::ReserveIdentity { table, name, identity, needed, wanted } => {
                self.reserve(*table, name, *identity, *needed, *wanted)
            }
            Intent::DropView { id, name, cascade } => self.drop_relation(*id, "view", name, *cascade),
            Intent::CreateView(def) => {
                let schema = self.schema(def.schema, "of the view")?;
                self.table_name_is_free(schema, &def.name, None)?;
                let id = self.new_relation(def.id);
                let def = ViewDef { id, schema, created_us: self.snapshot.time_us, ..self.bound(def) };
                self.view_holds(&def)?;
                self.act(Action::CreateView(def))
            }
            Intent::AlterView(def) => {
                let id = self.lasting(def.id);
                let old = self.snapshot.view(id).ok_or_else(|| gone("view", &def.name, "dropped"))?;
                if old.definition_version.wrapping_add(1) != def.definition_version {
                    return Err(gone("view", &def.name, "replaced"));
                }
                let schema = self.schema(def.schema, "of the view")?;
                self.table_name_is_free(schema, &def.name, Some(id))?;
                let def = ViewDef { id, schema, ..self.bound(def) };
                self.view_holds(&def)?;
                self.act(Action::AlterView(def))
            }
            Intent::Comment { on, of, text } => {
                let on = match *on {
                    CommentOn::Relation(id) => CommentOn::Relation(self.lasting(id)),
                    CommentOn::Column(id, column) => CommentOn::Column(self.lasting(id), column),
                    CommentOn::Schema(id) => CommentOn::Schema(self.own.schemas.get(&id).copied().unwrap_or(id)),
                    CommentOn::Database => CommentOn::Database,
                };
                let action = Action::SetComment(on, text.clone());
                match apply_action(self.snapshot, &action) {
                    Ok(()) => self.actions.push(action),
                    Err(_) => return Err(gone("what the comment is about:", of, "dropped")),
                }
                Ok(())
            }
            Intent::SetRankMap { table, seen, map } => {
                let state = self.table(table)?;
                let (id, version) = (state.def.id, state.rank_version());
                if version != *seen {
                    self.own.late_maps.insert((id, seen.saturating_add(1)));
                    return Ok(());
                }
                let next =
                    version.checked_add(1).ok_or_else(|| Error::unsupported("a table has too many rank maps"))?;
                self.own.brought.insert(id, next);
                let map = Arc::new(RankMap { version: next, ..RankMap::clone(map) });
                self.act(Action::SetRankMap { table: id, map })
            }
            Intent::SetStatistics { table, blob, telling } => self.set_statistics(*table, blob, *telling),
            Intent::Append { table, data_change, changed, segments } => {
                self.append(table, *data_change, changed, segments)
            }
            Intent::Remove { table, data_change, changed, segments } => {
                let state = self.table(table)?.clone();
                self.own.keeping.removing(&state, changed);
                let present: BTreeMap<SegmentId, _> = state.segments.iter().map(|s| (s.id, s.deleted)).collect();
                let id = state.def.id;
                let mut gone = Vec::with_capacity(segments.len());
                let mut killed = BTreeMap::new();
                for (segment, expected) in segments {
                    let lasting = self.lasting_segment(id, *segment)?;
                    if !present.contains_key(&lasting) {
                        let rows = self.living(&state, lasting, expected.as_ref())?;
                        self.lead_on(&state, lasting, rows, &mut killed)?;
                        continue;
                    }
                    let as_seen = match self.own.vectors.get(&(id, lasting)) {
                        Some(own) => *own && present.contains_key(&lasting),
                        None => present.get(&lasting) == Some(expected),
                    };
                    if !as_seen {
                        return Err(violation(&table.name, &state, self.base));
                    }
                    gone.push(lasting);
                }
                if !killed.is_empty() {
                    let vectors = self.killed(&state, killed)?;
                    self.act(Action::SetDeleteVectors { table: id, data_change: *data_change, vectors })?;
                }
                if gone.is_empty() {
                    return Ok(());
                }
                self.act(Action::RemoveSegments { table: id, data_change: *data_change, segments: gone })
            }
            Intent::Rewrite { table, removed, added, positions, stored } => {
                self.rewrite(table, removed, added, positions, *stored)
            }
            Intent::SetDeletes { table, data_change, changed, vectors } => {
                let state = self.table(table)?.clone();
                self.own.keeping.removing(&state, changed);
                let present: BTreeMap<SegmentId, &Arc<SegmentRef>> = state.segments.iter().map(|s| (s.id, s)).collect();
                let id = state.def.id;
                let mut new = Vec::with_capacity(vectors.len());
                let mut killed = BTreeMap::new();
                for vector in vectors {
                    let lasting = self.lasting_segment(id, vector.segment)?;
                    match (present.get(&lasting), &vector.killed) {
                        (Some(segment), _) => new.push((lasting, Some(self.thinned(&state, segment, vector)?))),
                        (None, Some(rows)) => {
                            self.lead_on(&state, lasting, RoaringBitmap::clone(rows), &mut killed)?;
                        }
                        (None, None) => return Err(violation(&table.name, &state, self.base)),
                    }
                }
                new.extend(self.killed(&state, killed)?);
                self.act(Action::SetDeleteVectors { table: id, data_change: *data_change, vectors: new })
            }
            Intent::Unchanged { table } => {
                let state = self.table(table)?.clone();
                match self.changed_before(state.def.id) > self.base {
                    true => Err(violation(&table.name, &state, self.base)),
                    false => Ok(()),
                }
            }
            Intent::Ended { checked } => self.keep_constraints(checked),
            Intent::SetHorizon(version) => match *version > self.snapshot.horizon {
                true => self.act(Action::SetHorizon(*version)),
                false => Ok(()),
            },
            Intent::SetMaintenance { holder, lease } => {
                let time = self.snapshot.time_us;
                match &self.snapshot.maintenance {
                    Some(other) if other.holder != *holder && other.until_us > time => {
                        Err(Error::conflict("another process is collecting or vacuuming"))
                    }
                    Some(other) if other.holder != *holder && lease.is_none() => Ok(()),
                    _ => self.act(Action::SetMaintenance(*lease)),
                }
            }
            Intent::DefineUser(id, name) => self.act(Action::DefineUser(*id, name.clone())),
        }
    }

    pub(super) fn create_table(&mut self, def: &TableDef) -> Result<TableId> {
        let schema = self.schema(def.schema, "of the table")?;
        self.table_name_is_free(schema, &def.name, None)?;
        let id = self.new_relation(def.id);
        let mut def = TableDef { id, schema, created_us: self.snapshot.time_us, ..def.clone() };
        self.refer(&mut def)?;
        def.check_invariants()?;
        self.declare(&mut def)?;
        self.own.keeping.making(id);
        self.act(Action::CreateTable(def))?;
        Ok(id)
    }

    /// Gives foreign keys the lasting ids of what they refer to, which must exist. [`TableDef::SELF`] is the table itself.
    fn refer(&self, def: &mut TableDef) -> Result<()> {
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
    fn drop_tables(&mut self, tables: Vec<(TableId, String)>, cascade: bool) -> Result<()> {
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

    fn reserve(&mut self, table: TableId, name: &str, identity: Identity, needed: u64, wanted: u64) -> Result<()> {
        let gone = || Error::conflict(format!("table \"{name}\" was dropped or altered by another transaction"));
        let table = self.lasting(table);
        let state = self.snapshot.table(table).ok_or_else(gone)?;
        let (ordinal, found) = state.def.identity().ok_or_else(gone)?;
        if found != identity {
            return Err(gone());
        }
        let (column, given) = (&state.def.columns[ordinal], state.identity_given);
        let left = identity.capacity(column.sql_type).saturating_sub(given);
        if left < needed {
            return Err(Error::invalid(
                SqlState::NUMERIC_OUT_OF_RANGE,
                format!(
                    "identity column \"{}\" of table \"{name}\" is used up: {left} values of {} are left, {needed} are \
                     needed",
                    column.name, column.sql_type
                ),
            )
            .with_hint("load the rows into a new table whose identity column is BIGINT or has another step"));
        }
        let count = wanted.clamp(needed, left);
        self.identities.push((given, count));
        self.act(Action::ReserveIdentity { table, given, count })
    }

    fn drop_relation(&mut self, id: TableId, kind: &str, name: &str, cascade: bool) -> Result<()> {
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
    fn drop_with_views(&mut self, id: TableId) -> Result<()> {
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
    fn view_holds(&self, def: &ViewDef) -> Result<()> {
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
    fn views_keep_columns(&self, def: &TableDef) -> Result<()> {
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

    fn append(&mut self, table: &Target, data_change: bool, changed: &Changed, segments: &[NewSegment]) -> Result<()> {
        let state = self.table(table)?.clone();
        if data_change {
            self.own.keeping.adding(&state, changed);
        }
        let id = state.def.id;
        let version = self.snapshot.version;
        let before = self.own.segments.get(&id).map_or(0, Vec::len) as u64;
        let provisional = u64::from(PROVISIONAL) + before;
        let first = if self.is_open() { provisional } else { state.next_segment };
        // Other transactions of the same version have runs of their own.
        let newest = state.segments.iter().map(|s| s.run.0).max().unwrap_or(0);
        let own_run = RunId(if self.is_open() { first } else { first.max(newest + 1) });
        self.own.runs.insert((id, RunId(provisional)), own_run);
        let mut added = Vec::with_capacity(segments.len());
        for (next, segment) in (first..).zip(segments) {
            if segment.slice >= self.snapshot.info.slices {
                return Err(Error::internal(format!("slice {} does not exist", segment.slice)));
            }
            let run = match segment.run {
                RunChoice::Extend(run) => Some(self.own.runs.get(&(id, run)).copied().unwrap_or(run)),
                RunChoice::New | RunChoice::Into { .. } => None,
            };
            let run = run.filter(|run| self.can_extend(&state, segment.slice, *run)).unwrap_or(own_run);
            let (run, place) = match segment.run {
                RunChoice::Into { run, place } => (run, place),
                _ => (run, SegmentRef::place_of(SegmentId(next))),
            };
            self.own.extended.insert((id, segment.slice, run));
            let rank_map = match segment.ranked {
                RankChoice::Unranked => 0,
                RankChoice::By(version) if self.own.late_maps.contains(&(id, version)) => 0,
                RankChoice::By(version) => version,
                RankChoice::Brought => self.own.brought.get(&id).copied().unwrap_or(0),
            };
            added.push(Arc::new(SegmentRef {
                id: SegmentId(next),
                extent: self.place(&segment.blob),
                footer_len: segment.footer_len,
                slice: segment.slice,
                run,
                place,
                rows: segment.rows,
                added: segment.added.unwrap_or(version),
                columns: segment.columns.clone(),
                deleted: segment
                    .deleted
                    .as_ref()
                    .map(|(blob, rows)| DeleteVectorRef { extent: self.place(blob), rows: *rows }),
                rank_map,
                rank_counts: if rank_map == 0 { Vec::new() } else { segment.rank_counts.clone() },
            }));
        }
        self.own.segments.entry(id).or_default().extend(added.iter().map(|s| s.id));
        self.segments.push((id, added.iter().map(|s| s.id).collect()));
        self.act(Action::AddSegments { table: id, data_change, segments: added })?;
        self.uncover(id, &state)
    }

    /// Statistics that another transaction of the same version has brought do not tell of what comes after it.
    fn uncover(&mut self, table: TableId, before: &TableState) -> Result<()> {
        let version = self.snapshot.version;
        let Some(statistics) = before.statistics.filter(|s| s.covers.version == version) else { return Ok(()) };
        let earlier = before.segments.iter().filter(|s| s.added < version);
        let live_rows = earlier.map(|s| u64::from(s.rows - s.deleted.map_or(0, |d| d.rows))).sum();
        let covers = Mark { version: Version(version.0.saturating_sub(1)), live_rows };
        self.act(Action::SetStatistics { table, statistics: StatisticsRef { covers, ..statistics } })
    }

    fn set_statistics(&mut self, table: TableId, blob: &Blob, telling: Telling) -> Result<()> {
        let Some(state) = self.snapshot.table(self.lasting(table)).cloned() else { return Ok(()) };
        let id = state.def.id;
        let at_base = |live_rows| Mark { version: self.base, live_rows };
        let (covers, analyzed) = match telling {
            Telling::Analyzed { live_rows } => (at_base(live_rows), Some(at_base(live_rows))),
            Telling::Loaded { replaced, live_rows } => {
                if state.statistics.map(|s| s.extent) != replaced {
                    return Ok(());
                }
                let own: BTreeSet<SegmentId> = self.own.segments.get(&id).into_iter().flatten().copied().collect();
                let alone = state.segments.iter().all(|s| s.added <= self.base || own.contains(&s.id));
                let now = Mark { version: self.snapshot.version, live_rows: state.live_rows() };
                (if alone { now } else { at_base(live_rows) }, state.statistics.and_then(|s| s.analyzed))
            }
        };
        let extent = self.place(blob);
        self.act(Action::SetStatistics { table: id, statistics: StatisticsRef { extent, covers, analyzed } })
    }

    /// Whether a run still ends where the transaction saw it end.
    fn can_extend(&self, state: &TableState, slice: u32, run: RunId) -> bool {
        if self.own.extended.contains(&(state.def.id, slice, run)) {
            return true;
        }
        let of_run = || state.segments.iter().filter(|s| s.run == run);
        of_run().next().is_some() && of_run().all(|s| s.slice != slice || s.added <= self.base)
    }

    fn place(&mut self, blob: &Blob) -> Extent {
        match blob {
            Blob::Stored(extent) => *extent,
            Blob::Inline(bytes) => {
                let len = bytes.len() as u64;
                let (object, offset) = match &mut self.places {
                    Places::Log(blobs) => (ObjectId::Log(self.snapshot.version), blobs.push(bytes.clone())),
                    Places::Held(held, names) => {
                        let object = names.next_object();
                        held.insert(object, bytes.clone());
                        (object, 0)
                    }
                };
                Extent { object, offset, len }
            }
        }
    }

    /// A segment's delete vector with the rows that the transaction has killed. Where others have killed rows since, theirs
    /// are in it, too, unless one is among its own.
    fn thinned(
        &mut self,
        table: &TableState,
        segment: &SegmentRef,
        vector: &NewDeleteVector,
    ) -> Result<DeleteVectorRef> {
        let key = (table.def.id, segment.id);
        let as_seen = match self.own.vectors.get(&key) {
            Some(own) => *own,
            None => segment.deleted == vector.expected || vector.segment.0 >= u64::from(PROVISIONAL),
        };
        self.own.vectors.insert(key, as_seen);
        if as_seen {
            if vector.rows > segment.rows {
                return Err(Error::internal(format!("{} of {} rows are deleted", vector.rows, segment.rows)));
            }
            return Ok(DeleteVectorRef { extent: self.place(&vector.blob), rows: vector.rows });
        }
        let killed = vector.killed.as_ref().ok_or_else(|| violation(&table.def.name, table, self.base))?;
        self.kill(table, segment, killed)
    }

    /// A segment's delete vector with more rows dead, all of which live.
    fn kill(&mut self, table: &TableState, segment: &SegmentRef, killed: &RoaringBitmap) -> Result<DeleteVectorRef> {
        let base = self.base;
        let conflict = || violation(&table.def.name, table, base);
        let mut dead = match &segment.deleted {
            Some(present) => self.dead(present, segment.rows)?.ok_or_else(conflict)?,
            None => RoaringBitmap::new(),
        };
        if !dead.is_disjoint(killed) {
            return Err(conflict());
        }
        dead |= killed;
        let rows = dead.len() as u32;
        let blob = Blob::Inline(Bytes::from(delete_vector::encode(&dead)?));
        Ok(DeleteVectorRef { extent: self.place(&blob), rows })
    }

    /// The rows of a segment that is gone that lived while its dead rows were `expected`.
    fn living(
        &mut self,
        table: &TableState,
        segment: SegmentId,
        expected: Option<&DeleteVectorRef>,
    ) -> Result<RoaringBitmap> {
        let (base, name) = (self.base, &table.def.name);
        let conflict = || violation(name, table, base);
        let moved = move_of(table, segment).ok_or_else(conflict)?;
        let positions = self.vectors.positions(moved).ok_or_else(conflict)?;
        let mut rows: RoaringBitmap = (0..positions.rows(segment)).collect();
        if let Some(expected) = expected {
            rows -= self.dead(expected, u32::MAX)?.ok_or_else(conflict)?;
        }
        Ok(rows)
    }

    /// Adds to `killed`, by segment, where rows of a segment that is gone stand now.
    fn lead_on(
        &mut self,
        table: &TableState,
        segment: SegmentId,
        rows: RoaringBitmap,
        killed: &mut BTreeMap<SegmentId, RoaringBitmap>,
    ) -> Result<()> {
        let (base, name) = (self.base, &table.def.name);
        let conflict = || violation(name, table, base);
        let mut open = vec![(segment, rows)];
        while let Some((segment, rows)) = open.pop() {
            if table.segment(segment).is_some() {
                *killed.entry(segment).or_default() |= rows;
                continue;
            }
            let moved = move_of(table, segment).ok_or_else(conflict)?;
            let positions = self.vectors.positions(moved).ok_or_else(conflict)?;
            let found = positions.of(segment, &rows).ok_or_else(conflict)?;
            open.extend(found.into_iter().filter_map(|(at, rows)| Some((*moved.to.get(at)?, rows))));
        }
        Ok(())
    }

    fn killed(
        &mut self,
        table: &TableState,
        killed: BTreeMap<SegmentId, RoaringBitmap>,
    ) -> Result<Vec<(SegmentId, Option<DeleteVectorRef>)>> {
        let mut vectors = Vec::with_capacity(killed.len());
        for (id, rows) in killed {
            let segment = table.segment(id).ok_or_else(|| Error::internal("a segment was there a moment ago"))?;
            vectors.push((id, Some(self.kill(table, segment, &rows)?)));
            self.own.vectors.insert((table.def.id, id), false);
        }
        Ok(vectors)
    }

    /// See [`Intent::Rewrite`].
    fn rewrite(
        &mut self,
        table: &Target,
        removed: &[(SegmentId, Option<DeleteVectorRef>)],
        added: &[NewSegment],
        positions: &Positions,
        stored: Extent,
    ) -> Result<()> {
        let state = self.table(table)?.clone();
        let taken = || {
            Error::conflict(format!("segments of table \"{}\" were vacuumed by another process", table.name))
                .with_hint("vacuum it again")
        };
        let (mut from, mut dead) = (Vec::new(), BTreeMap::<usize, RoaringBitmap>::new());
        for (id, read) in removed {
            let rows = match state.segment(*id).cloned() {
                Some(segment) => {
                    from.push(*id);
                    self.killed_since(&segment, read.as_ref())?.ok_or_else(taken)?
                }
                None if move_of(&state, *id).is_some() => return Err(taken()),
                // Somebody has killed all of them.
                None => positions.living(*id),
            };
            // Of a row that is dead and was not written, nothing is to be done.
            let rows = rows & positions.living(*id);
            let places = positions.of(*id, &rows).ok_or_else(|| Error::internal("a row is nowhere"))?;
            for (at, rows) in places {
                *dead.entry(at).or_default() |= rows;
            }
        }
        let mut added = added.to_vec();
        for (at, rows) in dead {
            let segment = added.get_mut(at).ok_or_else(|| Error::internal("a row is in no segment"))?;
            segment.deleted = Some((Blob::Inline(Bytes::from(delete_vector::encode(&rows)?)), rows.len() as u32));
        }
        let id = state.def.id;
        self.act(Action::RemoveSegments { table: id, data_change: false, segments: from.clone() })?;
        self.append(table, false, &Changed::NOTHING, &added)?;
        let to = self.segments.last().map(|(_, ids)| ids.clone()).unwrap_or_default();
        self.act(Action::Moved { table: id, from, to, positions: stored })
    }

    /// The rows that are dead in a segment and were not by the vector `read`; `None` where that is not at hand.
    fn killed_since(&mut self, segment: &SegmentRef, read: Option<&DeleteVectorRef>) -> Result<Option<RoaringBitmap>> {
        let Some(now) = segment.deleted.filter(|now| Some(now) != read) else { return Ok(Some(RoaringBitmap::new())) };
        let Some(mut dead) = self.dead(&now, segment.rows)? else { return Ok(None) };
        if let Some(read) = read {
            let Some(before) = self.dead(read, segment.rows)? else { return Ok(None) };
            dead -= before;
        }
        Ok(Some(dead))
    }

    /// The dead rows of a segment of `rows` rows, as far as they are at hand.
    fn dead(&mut self, vector: &DeleteVectorRef, rows: u32) -> Result<Option<RoaringBitmap>> {
        if let Places::Log(blobs) = &self.places
            && vector.extent.object == ObjectId::Log(self.snapshot.version)
        {
            // Of another transaction in the same entry.
            let bytes =
                blobs.at(vector.extent.offset).ok_or_else(|| Error::internal("an entry lacks its own bytes"))?;
            return delete_vector::decode(bytes, vector.rows, rows).map(Some);
        }
        Ok(self.vectors.dead(vector, rows).map(|known| RoaringBitmap::clone(&known)))
    }

    /// Whether it is a statement of an open transaction, which keeps the numbers that it gives.
    fn is_open(&self) -> bool {
        matches!(self.places, Places::Held(..))
    }

    fn new_relation(&mut self, provisional: TableId) -> TableId {
        let id = if self.is_open() { provisional } else { self.snapshot.next_table };
        self.own.tables.insert(provisional, id);
        id
    }

    pub(super) fn lasting(&self, id: TableId) -> TableId {
        self.own.tables.get(&id).copied().unwrap_or(id)
    }

    /// The number of a table's segment, which this transaction may have added.
    fn lasting_segment(&self, table: TableId, id: SegmentId) -> Result<SegmentId> {
        let Some(own) = id.0.checked_sub(u64::from(PROVISIONAL)) else { return Ok(id) };
        let found = self.own.segments.get(&table).and_then(|own_ids| own_ids.get(own as usize));
        found.copied().ok_or_else(|| Error::internal(format!("a transaction has not added segment {}", id.0)))
    }

    /// A view whose relations have their lasting numbers.
    fn bound(&self, def: &ViewDef) -> ViewDef {
        let mut def = def.clone();
        if let Binding::Bound(dependencies) = &mut def.binding {
            dependencies.iter_mut().for_each(|d| d.relation = self.lasting(d.relation));
        }
        def
    }

    pub(super) fn table(&self, target: &Target) -> Result<&Arc<TableState>> {
        match self.snapshot.table(self.lasting(target.id)) {
            None => Err(gone("table", &target.name, "dropped")),
            Some(state) if state.def.definition_version != target.definition_version => {
                Err(gone("table", &target.name, "altered"))
            }
            Some(state) => Ok(state),
        }
    }

    fn schema(&self, id: SchemaId, name: &str) -> Result<SchemaId> {
        let lasting = self.own.schemas.get(&id).copied().unwrap_or(id);
        match self.snapshot.schemas.contains_key(&lasting) {
            true => Ok(lasting),
            false => Err(Error::invalid(SqlState::UNDEFINED_SCHEMA, format!("schema {name} does not exist"))),
        }
    }

    fn schema_name_is_free(&self, name: &str, except: Option<SchemaId>) -> Result<()> {
        match self.snapshot.schema_named(name) {
            Some(other) if Some(other.id) != except => {
                Err(Error::invalid(SqlState::DUPLICATE_SCHEMA, format!("schema \"{name}\" already exists")))
            }
            _ => Ok(()),
        }
    }

    fn table_name_is_free(&self, schema: SchemaId, name: &str, except: Option<TableId>) -> Result<()> {
        let table = self.snapshot.table_named(schema, name).map(|table| table.def.id);
        match table.or_else(|| self.snapshot.view_named(schema, name).map(|view| view.id)) {
            Some(other) if Some(other) != except => {
                Err(Error::invalid(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists")))
            }
            _ => Ok(()),
        }
    }
}

/// By which rows of a segment went elsewhere.
fn move_of(table: &TableState, segment: SegmentId) -> Option<&Arc<Move>> {
    table.moves.iter().rev().find(|m| m.from.contains(&segment))
}

fn gone(kind: &str, name: &str, how: &str) -> Error {
    Error::conflict(format!("{kind} \"{name}\" was {how} by another transaction")).with_hint("run the statement again")
}

/// PostgreSQL's words, which Redshift uses.
fn in_use(what: &str, by: &str) -> Error {
    Error::invalid(SqlState::DEPENDENT_OBJECTS, format!("cannot drop {what} because other objects depend on it"))
        .with_detail(format!("{by} depends on {what}"))
        .with_hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

/// Redshift's error 1023, which says that running the transaction again is safe.
pub(super) fn violation(name: &str, table: &TableState, base: Version) -> Error {
    let (id, other) = (table.def.id, table.data_changed);
    Error::conflict(format!("1023: Serializable isolation violation on table \"{name}\" ({id})"))
        .with_detail(format!(
            "transaction {other} changed rows that this one, which reads version {base}, has changed or read"
        ))
        .with_hint("run the transaction again")
}
