//! From a transaction's wishes to actions, on the newest snapshot: here conflicts are found and ids assigned.

mod relations;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::apply::{PROVISIONAL, apply_action};
use super::entry::{Action, Blobs, TransactionRecord};
use super::keep::Keeping;
use super::loads::Source;
use super::model::*;
use super::positions::Positions;
use super::ranks::RankMap;
use super::reads::Read;
use super::transaction::{Blob, Held, Intent, ObjectNames, Target, Telling, Transaction};
use super::view::{Binding, CommentOn, ViewDef};
use crate::common::{Error, Result, SchemaId, SqlState, TableId, Version};

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
    if let Some(read) = transaction.snapshot()
        && read.info.slices != snapshot.info.slices
        && transaction.places_rows()
    {
        let error = Error::conflict("the warehouse has another number of slices since the transaction began");
        return Err(error.with_hint("run the statement again"));
    }
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
        held: &transaction.held,
        relaid: transaction
            .intents
            .iter()
            .filter_map(|intent| match intent {
                Intent::Relayout { table, .. } => Some(table.id),
                _ => None,
            })
            .collect(),
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

/// Whether what a transaction has read of a table or view is still what is there, under the name by which it was found.
fn check_read(read: &Read, now: &Snapshot) -> Result<()> {
    let base = &read.base;
    if let Some(was) = base.view(read.table) {
        return match now.view(read.table) {
            Some(is) if Arc::ptr_eq(was, is) || was == is => Ok(()),
            Some(_) => Err(gone("view", &read.name, "replaced")),
            None => Err(gone("view", &read.name, "dropped")),
        };
    }
    let (Some(was), Some(is)) = (base.table(read.table), now.table(read.table)) else {
        return match base.table(read.table) {
            Some(_) => Err(gone("table", &read.name, "dropped")),
            None => Ok(()),
        };
    };
    let meant = |def: &TableDef| (def.schema, def.name.clone(), def.columns.clone());
    if !Arc::ptr_eq(&was.def, &is.def) && meant(&was.def) != meant(&is.def) {
        return Err(gone("table", &read.name, "altered"));
    }
    if is.data_changed <= base.version {
        return Ok(());
    }
    let held: BTreeMap<SegmentId, _> = is.segments.iter().map(|s| (s.id, s.deleted)).collect();
    let minds_loss = read.rows.minds_loss();
    let lost = was.segments.iter().filter(|s| minds_loss && held.get(&s.id) != Some(&s.deleted));
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
    /// What the transaction's statements have made for each other.
    held: &'a Held,
    /// Tables that the transaction gives another layout.
    relaid: BTreeSet<TableId>,
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
                self.view_names_hold(&def)?;
                self.act(Action::CreateView(def))
            }
            Intent::AlterView(def) => {
                let id = self.lasting(def.id);
                let old = self.snapshot.view(id).ok_or_else(|| gone("view", &def.name, "dropped"))?.clone();
                if old.definition_version.wrapping_add(1) != def.definition_version {
                    return Err(gone("view", &def.name, "replaced"));
                }
                let schema = self.schema(def.schema, "of the view")?;
                self.table_name_is_free(schema, &def.name, Some(id))?;
                let def = ViewDef { id, schema, ..self.bound(def) };
                self.view_holds(&def)?;
                if def.sql != old.sql {
                    self.view_names_hold(&def)?;
                }
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
                self.remove(table, *data_change, changed, segments)
            }
            Intent::Rewrite { table, removed, added, positions, stored } => {
                self.rewrite(table, removed, added, positions, *stored)
            }
            Intent::Relayout { table, def, map, rewritten } => self.relayout(table, def, map.as_ref(), rewritten),
            Intent::SetSlices(slices) => self.set_slices(*slices),
            Intent::Loaded { table, sources, once } => self.loaded(table, sources, *once),
            Intent::ForgetLoads { table } => {
                let id = self.table(table)?.def.id;
                self.act(Action::SetLoads { table: id, forget: true, sources: Vec::new(), forgotten_us: None })
            }
            Intent::SetDeletes { table, data_change, changed, vectors } => {
                self.set_deletes(table, *data_change, changed, vectors)
            }
            Intent::Unchanged { table } => {
                let state = self.table(table)?.clone();
                match self.changed_before(state.def.id) > self.base {
                    true => Err(violation(&table.name, &state, self.base)),
                    false => Ok(()),
                }
            }
            Intent::Views { table, name, views } => {
                let known: BTreeSet<TableId> = views.iter().map(|id| self.lasting(*id)).collect();
                match self.snapshot.views_of(self.lasting(*table)).any(|view| !known.contains(&view.id)) {
                    true => Err(gone("a view of table", name, "made")),
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

    /// Tables that are on several slices are to be written anew by the same transaction, be it that they came in between.
    fn set_slices(&mut self, slices: u32) -> Result<()> {
        let stays = |table: &&Arc<TableState>| {
            !table.segments.is_empty()
                && table.def.effective_dist != EffectiveDist::All
                && !self.relaid.contains(&table.def.id)
        };
        match self.snapshot.tables.values().find(stays) {
            Some(table) if slices != self.snapshot.info.slices => {
                let message = format!("table \"{}\" came while the others were placed on other slices", table.def.name);
                Err(Error::conflict(message).with_hint("run the statement again"))
            }
            _ => self.act(Action::SetSlices(slices)),
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

    fn loaded(&mut self, table: &Target, sources: &[Source], once: bool) -> Result<()> {
        let state = self.table(table)?;
        let known = if once { state.loads.keys() } else { HashSet::new() };
        let twice = sources.iter().find(|s| known.contains(&(&*s.name, s.identity.as_deref())));
        if let Some(source) = twice {
            let message = format!("another transaction has loaded \"{}\" into table \"{}\"", source.name, table.name);
            return Err(Error::conflict(message).with_hint("run the statement again"));
        }
        let id = state.def.id;
        self.act(Action::SetLoads { table: id, forget: false, sources: sources.to_vec(), forgotten_us: None })
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
