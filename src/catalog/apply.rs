//! What an entry does to a snapshot, and what holds of every snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::entry::{Action, Entry};
use super::loads::LoadHistory;
use super::model::*;
use super::ranks::RankColumn;
use super::view::{CommentOn, ViewDef};
use crate::common::{ColumnId, CommitId, Error, Result, SchemaId, TableId, Version};

/// Numbers from here on belong to what open transactions make, be it tables, schemas or segments and runs of a table;
/// those of committed versions stay below.
pub const PROVISIONAL: u32 = 1 << 29;

/// The snapshot of `entry.version`. Corrupt when the entry does not follow `snapshot` or breaks a guarantee.
pub fn apply(snapshot: &Snapshot, entry: &Entry) -> Result<Snapshot> {
    let wrong = |what: String| Err(broken(what));
    if entry.version != snapshot.version.next() {
        return wrong(format!("entry {} does not follow version {}", entry.version, snapshot.version));
    }
    if entry.previous != snapshot.entry {
        return wrong(format!("entry {} was built on another version {}", entry.version, snapshot.version));
    }
    if entry.time_us < snapshot.time_us {
        return wrong(format!("entry {} is older than its predecessor", entry.version));
    }
    if let Some(action) = entry.transactions.iter().flat_map(|t| &t.actions).find(|action| is_provisional(action)) {
        return wrong(format!("entry {} makes what has no lasting number: {action:?}", entry.version));
    }
    apply_any(snapshot, entry)
}

/// The same of an entry that never is one: a transaction's, with numbers that are good only within it.
pub(super) fn apply_any(snapshot: &Snapshot, entry: &Entry) -> Result<Snapshot> {
    let mut next = snapshot.clone();
    begin(&mut next, entry.version, entry.id, entry.time_us);
    for action in entry.transactions.iter().flat_map(|t| &t.actions) {
        apply_action(&mut next, action)?;
    }
    Ok(next)
}

fn is_provisional(action: &Action) -> bool {
    match action {
        Action::CreateSchema(schema) => schema.id.0 >= PROVISIONAL,
        Action::CreateTable(def) => def.id.0 >= PROVISIONAL,
        Action::CreateView(def) => def.id.0 >= PROVISIONAL,
        Action::AddSegments { segments, .. } => segments.iter().any(|s| s.id.0 >= u64::from(PROVISIONAL)),
        _ => false,
    }
}

/// The snapshot of version 0.
pub fn apply_genesis(entry: &Entry) -> Result<Snapshot> {
    let mut actions = entry.transactions.iter().flat_map(|t| &t.actions);
    let Some(Action::Genesis(info)) = actions.next() else {
        return Err(broken("entry 0 does not begin with the warehouse's genesis".into()));
    };
    if entry.version != Version(0) {
        return Err(broken(format!("entry {} cannot be the first", entry.version)));
    }
    let mut snapshot = Snapshot {
        version: entry.version,
        entry: entry.id,
        time_us: entry.time_us,
        info: Arc::new(info.clone()),
        schemas: Arc::default(),
        tables: Arc::default(),
        views: Arc::default(),
        comments: Arc::default(),
        users: Arc::default(),
        horizon: Version(0),
        next_table: TableId(1),
        next_schema: SchemaId(1),
        maintenance: None,
        names: Arc::default(),
        view_names: Arc::default(),
    };
    for action in actions {
        apply_action(&mut snapshot, action)?;
    }
    Ok(snapshot)
}

/// Makes a copy of the last snapshot the start of the next version.
pub(super) fn begin(snapshot: &mut Snapshot, version: Version, entry: CommitId, time_us: i64) {
    snapshot.version = version;
    snapshot.entry = entry;
    snapshot.time_us = time_us;
}

/// One action, on a snapshot that carries the version being made. On an error the snapshot is to be thrown away.
pub(super) fn apply_action(snapshot: &mut Snapshot, action: &Action) -> Result<()> {
    let version = snapshot.version;
    match action {
        Action::Genesis(_) => return Err(broken("a second genesis".into())),
        Action::CreateSchema(schema) => {
            if schema.id < snapshot.next_schema || snapshot.schema_named(&schema.name).is_some() {
                return Err(broken(format!("schema {} cannot be created", schema.id)));
            }
            snapshot.next_schema = SchemaId(schema.id.0 + 1);
            Arc::make_mut(&mut snapshot.schemas).insert(schema.id, schema.clone());
        }
        Action::AlterSchema(schema) => {
            let taken = snapshot.schema_named(&schema.name).is_some_and(|s| s.id != schema.id);
            if taken || !snapshot.schemas.contains_key(&schema.id) {
                return Err(broken(format!("schema {} cannot be altered", schema.id)));
            }
            Arc::make_mut(&mut snapshot.schemas).insert(schema.id, schema.clone());
        }
        Action::DropSchema(id) => {
            let empty = snapshot.table_names(*id).next().is_none() && snapshot.view_names(*id).next().is_none();
            if !empty || !snapshot.schemas.contains_key(id) {
                return Err(broken(format!("schema {id} cannot be dropped")));
            }
            Arc::make_mut(&mut snapshot.schemas).remove(id);
            Arc::make_mut(&mut snapshot.names).remove(id);
            Arc::make_mut(&mut snapshot.view_names).remove(id);
            forget_comments(snapshot, |on| on == CommentOn::Schema(*id));
        }
        Action::CreateTable(def) => {
            if def.id < snapshot.next_table {
                return Err(broken(format!("table {} cannot be created: its number is taken", def.id)));
            }
            def.check_invariants().map_err(|e| broken(e.message().to_string()))?;
            name_relation(snapshot, Kind::Table, def.schema, &def.name, def.id)?;
            snapshot.next_table = TableId(def.id.0 + 1);
            let state = TableState {
                def: Arc::new(def.clone()),
                segments: Arc::default(),
                next_segment: 1,
                identity_given: 0,
                rank_map: None,
                statistics: None,
                moves: Arc::default(),
                loads: Arc::default(),
                changed: version,
                data_changed: version,
            };
            Arc::make_mut(&mut snapshot.tables).insert(def.id, Arc::new(state));
        }
        Action::AlterTable(def) => {
            def.check_invariants().map_err(|e| broken(e.message().to_string()))?;
            let old = snapshot.tables.get(&def.id).ok_or_else(|| unknown(def.id))?.def.clone();
            if (old.schema, &old.name) != (def.schema, &def.name) {
                unname_relation(snapshot, Kind::Table, old.schema, &old.name);
                name_relation(snapshot, Kind::Table, def.schema, &def.name, def.id)?;
            }
            if old.columns.iter().any(|c| def.column(c.id).is_none()) {
                let kept: BTreeSet<ColumnId> = def.columns.iter().map(|c| c.id).collect();
                forget_comments(
                    snapshot,
                    |on| matches!(on, CommentOn::Column(t, c) if t == def.id && !kept.contains(&c)),
                );
            }
            let state = table_mut(snapshot, def.id)?;
            if state.rank_map.is_some() && state.def.sort != def.sort {
                forget_ranks(state);
            }
            state.def = Arc::new(def.clone());
            state.changed = version;
        }
        Action::DropTable(id) => {
            let old = snapshot.tables.get(id).ok_or_else(|| unknown(*id))?.def.clone();
            if let Some(view) = snapshot.views_of(*id).next() {
                return Err(broken(format!("table {id} is dropped, which view {} reads", view.id)));
            }
            unname_relation(snapshot, Kind::Table, old.schema, &old.name);
            Arc::make_mut(&mut snapshot.tables).remove(id);
            forget_relation(snapshot, *id);
        }
        Action::CreateView(def) => {
            if def.id < snapshot.next_table {
                return Err(broken(format!("view {} cannot be created: its number is taken", def.id)));
            }
            check_view(snapshot, def)?;
            name_relation(snapshot, Kind::View, def.schema, &def.name, def.id)?;
            snapshot.next_table = TableId(def.id.0 + 1);
            Arc::make_mut(&mut snapshot.views).insert(def.id, Arc::new(def.clone()));
        }
        Action::AlterView(def) => {
            let old = snapshot.views.get(&def.id).ok_or_else(|| unknown_view(def.id))?.clone();
            check_view(snapshot, def)?;
            if (old.schema, &old.name) != (def.schema, &def.name) {
                unname_relation(snapshot, Kind::View, old.schema, &old.name);
                name_relation(snapshot, Kind::View, def.schema, &def.name, def.id)?;
            }
            let columns = def.columns.len() as u32;
            forget_comments(snapshot, |on| matches!(on, CommentOn::Column(v, c) if v == def.id && c.0 > columns));
            Arc::make_mut(&mut snapshot.views).insert(def.id, Arc::new(def.clone()));
        }
        Action::DropView(id) => {
            let old = snapshot.views.get(id).ok_or_else(|| unknown_view(*id))?.clone();
            if let Some(view) = snapshot.views_of(*id).next() {
                return Err(broken(format!("view {id} is dropped, which view {} reads", view.id)));
            }
            unname_relation(snapshot, Kind::View, old.schema, &old.name);
            Arc::make_mut(&mut snapshot.views).remove(id);
            forget_relation(snapshot, *id);
        }
        Action::SetComment(on, text) => {
            if !commentable(snapshot, *on) {
                return Err(broken("a comment on what does not exist".into()));
            }
            let comments = Arc::make_mut(&mut snapshot.comments);
            match text {
                Some(text) => comments.insert(*on, text.clone()),
                None => comments.remove(on),
            };
        }
        Action::AddSegments { table, data_change, segments } => {
            let slices = snapshot.info.slices;
            let state = table_mut(snapshot, *table)?;
            add_segments(state, segments, slices, version)?;
            touch(state, version, *data_change);
        }
        Action::RemoveSegments { table, data_change, segments } => {
            let state = table_mut(snapshot, *table)?;
            let gone: BTreeSet<SegmentId> = segments.iter().copied().collect();
            let before = state.segments.len();
            let kept: Vec<_> = state.segments.iter().filter(|s| !gone.contains(&s.id)).cloned().collect();
            if before - kept.len() != segments.len() {
                return Err(broken(format!("table {table} does not have all segments that are removed")));
            }
            state.segments = Arc::new(kept);
            touch(state, version, *data_change);
        }
        Action::SetDeleteVectors { table, data_change, vectors } => {
            let state = table_mut(snapshot, *table)?;
            let mut new: BTreeMap<SegmentId, Option<DeleteVectorRef>> = vectors.iter().copied().collect();
            if new.len() != vectors.len() {
                return Err(broken(format!("a segment of table {table} gets two delete vectors")));
            }
            for segment in Arc::make_mut(&mut state.segments) {
                if let Some(vector) = new.remove(&segment.id) {
                    check_deleted(segment.rows, vector.as_ref(), version)?;
                    Arc::make_mut(segment).deleted = vector;
                }
            }
            if !new.is_empty() {
                return Err(broken(format!("table {table} does not have all segments that rows are deleted from")));
            }
            touch(state, version, *data_change);
        }
        Action::SetRankMap { table, map } => {
            let state = table_mut(snapshot, *table)?;
            if map.version <= state.rank_version() {
                return Err(broken(format!("rank map {} of table {table} is not new", map.version)));
            }
            map.check(&state.def).map_err(|e| broken(e.message().to_string()))?;
            state.rank_map = Some(Arc::clone(map));
            touch(state, version, false);
        }
        Action::SetStatistics { table, statistics } => {
            check_place(&statistics.extent, version)?;
            let state = table_mut(snapshot, *table)?;
            state.statistics = Some(*statistics);
            touch(state, version, false);
        }
        Action::SetLoads { table, forget, sources, forgotten_us } => {
            let state = table_mut(snapshot, *table)?;
            let before = if *forget { &LoadHistory::default() } else { &*state.loads };
            state.loads = Arc::new(before.with(sources).forgetting(*forgotten_us));
            touch(state, version, false);
        }
        Action::SetHorizon(horizon) => {
            if *horizon > version || *horizon < snapshot.horizon {
                return Err(broken(format!("the horizon cannot move from {} to {horizon}", snapshot.horizon)));
            }
            snapshot.horizon = *horizon;
            let is_old = |table: &&Arc<TableState>| table.moves.iter().any(|m| m.version <= *horizon);
            let old: Vec<TableId> = snapshot.tables.values().filter(is_old).map(|table| table.def.id).collect();
            for id in old {
                // No transaction is left that could have read what they moved.
                let state = table_mut(snapshot, id)?;
                Arc::make_mut(&mut state.moves).retain(|m| m.version > *horizon);
                touch(state, version, false);
            }
        }
        Action::Moved { table, from, to, positions } => {
            check_place(positions, version)?;
            let state = table_mut(snapshot, *table)?;
            let there: BTreeSet<SegmentId> = state.segments.iter().map(|s| s.id).collect();
            if from.iter().any(|id| there.contains(id) || id.0 >= state.next_segment)
                || !to.iter().all(|id| there.contains(id))
            {
                return Err(broken(format!("rows of table {table} moved from or to where they are not")));
            }
            let moved = Move { version, from: from.clone(), to: to.clone(), positions: *positions };
            Arc::make_mut(&mut state.moves).push(Arc::new(moved));
            touch(state, version, false);
        }
        Action::SetSlices(slices) => {
            if *slices == 0 || *slices > WarehouseInfo::MAX_SLICES {
                return Err(broken(format!("a warehouse cannot have {slices} slices")));
            }
            Arc::make_mut(&mut snapshot.info).slices = *slices;
        }
        Action::SetMaintenance(lease) => snapshot.maintenance = *lease,
        Action::DefineUser(id, name) => {
            Arc::make_mut(&mut snapshot.users).insert(*id, name.clone());
        }
        Action::ReserveIdentity { table, given, count } => {
            let state = table_mut(snapshot, *table)?;
            match given.checked_add(*count) {
                Some(sum) if *given == state.identity_given && state.def.identity().is_some() => {
                    state.identity_given = sum;
                }
                _ => return Err(broken(format!("identities of table {table} are reserved twice or impossible"))),
            }
            touch(state, version, false);
        }
    }
    Ok(())
}

fn add_segments(state: &mut TableState, segments: &[Arc<SegmentRef>], slices: u32, version: Version) -> Result<()> {
    for segment in segments {
        if segment.id.0 < state.next_segment || segment.id.0 == u64::MAX {
            return Err(broken(format!("segment {} of table {} is not new", segment.id.0, state.def.id)));
        }
        if segment.slice >= slices || segment.added > version || u64::from(segment.footer_len) > segment.extent.len {
            return Err(broken(format!("segment {} of table {} is impossible", segment.id.0, state.def.id)));
        }
        if matches!(segment.extent.object, ObjectId::Log(log) if log > version) {
            return Err(broken(format!("segment {} stands in a later log entry", segment.id.0)));
        }
        check_deleted(segment.rows, segment.deleted.as_ref(), version)?;
        if !ranks_fit(state, segment) {
            return Err(broken(format!("segment {} of table {} has impossible ranks", segment.id.0, state.def.id)));
        }
        state.next_segment = segment.id.0 + 1;
    }
    let all = Arc::make_mut(&mut state.segments);
    all.extend(segments.iter().cloned());
    // Merges two sorted sequences: cheap when, as usual, the new ones are few or last.
    all.sort_by_key(|s| order(s));
    match all.is_sorted_by(|a, b| order(a) < order(b)) {
        true => Ok(()),
        false => Err(broken(format!("two segments of table {} have one place", state.def.id))),
    }
}

/// Whether the segment names a map that the table has, or had, and counts all its rows for each column.
fn ranks_fit(state: &TableState, segment: &SegmentRef) -> bool {
    if segment.rank_map == 0 {
        return segment.rank_counts.is_empty();
    }
    let counted = |counts: &[u32]| counts.iter().map(|c| u64::from(*c)).sum::<u64>() == u64::from(segment.rows);
    segment.rank_map <= state.rank_version()
        && segment.rank_counts.len() == state.def.interleaved().len() * RankColumn::COARSE
        && segment.rank_counts.chunks(RankColumn::COARSE).all(counted)
}

/// Another sort key makes the table's map, and all that was said by it, mean nothing.
fn forget_ranks(state: &mut TableState) {
    state.rank_map = None;
    for segment in Arc::make_mut(&mut state.segments) {
        let segment = Arc::make_mut(segment);
        segment.rank_map = 0;
        segment.rank_counts.clear();
    }
}

fn order(segment: &SegmentRef) -> (u32, RunId, u64) {
    (segment.slice, segment.run, segment.place)
}

fn check_place(extent: &Extent, version: Version) -> Result<()> {
    match extent.object {
        ObjectId::Log(log) if log > version => Err(broken("something stands in a later log entry".into())),
        _ => Ok(()),
    }
}

fn check_deleted(rows: u32, vector: Option<&DeleteVectorRef>, version: Version) -> Result<()> {
    match vector {
        Some(v) if v.rows > rows => Err(broken(format!("{} rows of {rows} are deleted", v.rows))),
        Some(v) if matches!(v.extent.object, ObjectId::Log(log) if log > version) => {
            Err(broken("a delete vector stands in a later log entry".into()))
        }
        _ => Ok(()),
    }
}

fn touch(state: &mut TableState, version: Version, data_change: bool) {
    state.changed = version;
    if data_change {
        state.data_changed = version;
    }
}

fn table_mut(snapshot: &mut Snapshot, id: TableId) -> Result<&mut TableState> {
    let state = Arc::make_mut(&mut snapshot.tables).get_mut(&id).ok_or_else(|| unknown(id))?;
    Ok(Arc::make_mut(state))
}

/// Relations of both kinds share a schema's names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    View,
}

fn name_relation(snapshot: &mut Snapshot, kind: Kind, schema: SchemaId, name: &str, id: TableId) -> Result<()> {
    if !snapshot.schemas.contains_key(&schema) {
        return Err(broken(format!("relation {id} is in schema {schema}, which does not exist")));
    }
    let (own, other) = match kind {
        Kind::Table => (&mut snapshot.names, &snapshot.view_names),
        Kind::View => (&mut snapshot.view_names, &snapshot.names),
    };
    let taken = other.get(&schema).and_then(|names| names.get(name)).copied();
    let names = Arc::make_mut(Arc::make_mut(own).entry(schema).or_default());
    match names.insert(name.to_string(), id).or(taken) {
        None => Ok(()),
        Some(other) => Err(broken(format!("relations {other} and {id} have one name"))),
    }
}

fn unname_relation(snapshot: &mut Snapshot, kind: Kind, schema: SchemaId, name: &str) {
    let names = match kind {
        Kind::Table => &mut snapshot.names,
        Kind::View => &mut snapshot.view_names,
    };
    if let Some(names) = Arc::make_mut(names).get_mut(&schema) {
        Arc::make_mut(names).remove(name);
    }
}

/// A view that may stand in the snapshot: it reads what exists, and not itself.
fn check_view(snapshot: &Snapshot, def: &ViewDef) -> Result<()> {
    def.check_invariants().map_err(|e| broken(e.message().to_string()))?;
    let exists = |id: &TableId| snapshot.tables.contains_key(id) || snapshot.views.contains_key(id);
    if let Some(gone) = def.dependencies().iter().find(|d| !exists(&d.relation)) {
        return Err(broken(format!("view {} reads relation {}, which does not exist", def.id, gone.relation)));
    }
    match reaches(snapshot, def, def.id) {
        true => Err(broken(format!("view {} reads itself", def.id))),
        false => Ok(()),
    }
}

/// Whether `view` reads the relation `wanted`, itself or through other views.
pub(super) fn reaches(snapshot: &Snapshot, view: &ViewDef, wanted: TableId) -> bool {
    let mut seen = BTreeSet::new();
    let mut open: Vec<TableId> = view.dependencies().iter().map(|d| d.relation).collect();
    while let Some(id) = open.pop() {
        if id == wanted {
            return true;
        }
        if seen.insert(id)
            && let Some(view) = snapshot.views.get(&id)
        {
            open.extend(view.dependencies().iter().map(|d| d.relation));
        }
    }
    false
}

fn commentable(snapshot: &Snapshot, on: CommentOn) -> bool {
    match on {
        CommentOn::Database => true,
        CommentOn::Schema(id) => snapshot.schemas.contains_key(&id),
        CommentOn::Relation(id) => snapshot.tables.contains_key(&id) || snapshot.views.contains_key(&id),
        CommentOn::Column(id, column) => {
            let of_table = snapshot.tables.get(&id).is_some_and(|t| t.def.column(column).is_some());
            // A late-binding view's columns are known only when it is read.
            let of_view = snapshot.views.get(&id).is_some_and(|v| column.0 > 0 && column.0 as usize <= v.columns.len());
            of_table || of_view
        }
    }
}

fn forget_relation(snapshot: &mut Snapshot, id: TableId) {
    forget_comments(snapshot, |on| matches!(on, CommentOn::Relation(of) | CommentOn::Column(of, _) if of == id));
}

fn forget_comments(snapshot: &mut Snapshot, of: impl Fn(CommentOn) -> bool) {
    if snapshot.comments.keys().any(|on| of(*on)) {
        Arc::make_mut(&mut snapshot.comments).retain(|on, _| !of(*on));
    }
}

fn unknown_view(id: TableId) -> Error {
    broken(format!("view {id} does not exist"))
}

fn unknown(id: TableId) -> Error {
    broken(format!("table {id} does not exist"))
}

fn broken(what: String) -> Error {
    Error::corrupt(0, format!("the log contradicts itself: {what}"))
}

impl Snapshot {
    /// A snapshot from its tables, with the index of names that belongs to it.
    pub(super) fn with_tables(mut self, tables: BTreeMap<TableId, Arc<TableState>>) -> Result<Snapshot> {
        (self.names, self.view_names) = (Arc::default(), Arc::default());
        for table in tables.values() {
            name_relation(&mut self, Kind::Table, table.def.schema, &table.def.name, table.def.id)?;
        }
        for view in Arc::clone(&self.views).values() {
            name_relation(&mut self, Kind::View, view.schema, &view.name, view.id)?;
        }
        self.tables = Arc::new(tables);
        Ok(self)
    }

    /// Internal, with the guarantee's number, when one does not hold. Linear in the number of segments.
    pub fn check_invariants(&self) -> Result<()> {
        let broken = |number: u32, what: String| {
            Err(Error::internal(format!("snapshot {} breaks its guarantee {number}: {what}", self.version)))
        };
        let mut named = 0;
        for (schema, names) in self.names.iter() {
            named += names.len();
            for (name, id) in names.iter() {
                let fits = self.tables.get(id).is_some_and(|t| t.def.schema == *schema && t.def.name == *name);
                if !fits || !self.schemas.contains_key(schema) {
                    return broken(1, format!("name \"{name}\" of schema {schema}"));
                }
            }
        }
        if named != self.tables.len() {
            return broken(1, format!("{named} names for {} tables", self.tables.len()));
        }
        let mut named = 0;
        for (schema, names) in self.view_names.iter() {
            named += names.len();
            for (name, id) in names.iter() {
                let fits = self.views.get(id).is_some_and(|v| v.schema == *schema && v.name == *name);
                let taken = self.names.get(schema).is_some_and(|tables| tables.contains_key(name));
                if !fits || taken || !self.schemas.contains_key(schema) {
                    return broken(1, format!("view \"{name}\" of schema {schema}"));
                }
            }
        }
        if named != self.views.len() {
            return broken(1, format!("{named} names for {} views", self.views.len()));
        }
        for (id, view) in self.views.iter() {
            if *id != view.id || self.tables.contains_key(id) {
                return broken(8, format!("view {id} says that it is {}, or is a table", view.id));
            }
            check_view(self, view).or_else(|e| broken(9, e.message().to_string()))?;
        }
        if !self.comments.keys().all(|on| commentable(self, *on)) {
            return broken(10, "a comment on what does not exist".into());
        }
        let last_view = self.views.last_key_value().map(|(id, _)| *id);
        let last_table = self.tables.last_key_value().map(|(id, _)| *id).max(last_view);
        let last_schema = self.schemas.last_key_value().map(|(id, _)| *id);
        if last_table.is_some_and(|id| id >= self.next_table) || last_schema.is_some_and(|id| id >= self.next_schema) {
            return broken(2, "an id is not below the next one".into());
        }
        if self.horizon > self.version {
            return broken(6, format!("horizon {}", self.horizon));
        }
        for (id, table) in self.tables.iter() {
            let mut ids = BTreeSet::new();
            if !table.segments.is_sorted_by(|a, b| order(a) < order(b))
                || !table.segments.iter().all(|s| ids.insert(s.id) && s.id.0 < table.next_segment)
                || table.segments.iter().any(|s| s.slice >= self.info.slices)
            {
                return broken(3, format!("segments of table {id}"));
            }
            if table.segments.iter().any(|s| s.deleted.is_some_and(|d| d.rows > s.rows)) {
                return broken(4, format!("delete vectors of table {id}"));
            }
            let is_new = |m: &Arc<Move>| m.version > self.horizon && m.version <= table.changed;
            if !table.moves.iter().all(is_new) {
                return broken(15, format!("moves of table {id}"));
            }
            if table.data_changed > table.changed
                || table.changed > self.version
                || table.segments.iter().any(|s| s.added > table.changed)
            {
                return broken(5, format!("versions of table {id}"));
            }
            let places = table.segments.iter().flat_map(|s| [Some(s.extent), s.deleted.map(|d| d.extent)]).flatten();
            let mut places =
                places.chain(table.statistics.map(|s| s.extent)).chain(table.moves.iter().map(|m| m.positions));
            if places.any(|e| matches!(e.object, ObjectId::Log(log) if log > self.version)) {
                return broken(7, format!("inline bytes of table {id}"));
            }
            if *id != table.def.id {
                return broken(8, format!("table {id} says that it is {}", table.def.id));
            }
            table.def.check_invariants().or_else(|e| broken(8, e.message().to_string()))?;
            if let Some(map) = &table.rank_map {
                map.check(&table.def).or_else(|e| broken(10, e.message().to_string()))?;
            }
            if !table.segments.iter().all(|s| ranks_fit(table, s)) {
                return broken(10, format!("ranks of table {id}"));
            }
            for constraint in &table.def.constraints {
                if let ConstraintKind::ForeignKey { table: parent, referenced } = &constraint.kind {
                    let there = |id: &ColumnId| self.tables.get(parent).is_some_and(|p| p.def.column(*id).is_some());
                    if !referenced.iter().all(there) {
                        return broken(9, format!("a foreign key of table {id}"));
                    }
                    let key = || self.tables.get(parent).is_some_and(|p| p.def.has_verified_key(referenced));
                    if constraint.is_verified() && !key() {
                        return broken(14, format!("a foreign key of table {id}"));
                    }
                }
            }
        }
        Ok(())
    }
}
