//! What a transaction wants to change. It becomes actions when it commits, against the snapshot of that moment.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use roaring::RoaringBitmap;

use super::apply::PROVISIONAL;
use super::entry::MaintenanceLease;
use super::lease::PinnedSnapshot;
use super::loads::Source;
use super::model::*;
use super::positions::Positions;
use super::ranks::RankMap;
use super::reads::{Absent, Read};
use super::view::{CommentOn, ViewDef};
use crate::common::{ColumnId, CommitId, SchemaId, TableId, UserId, Version};

/// Bytes that a transaction brings: in an object that it wrote, or to stand in the log entry itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Blob {
    Stored(Extent),
    /// For a few rows: up to [`Blob::MAX_INLINE_BYTES`] by convention.
    Inline(Bytes),
}

impl Blob {
    pub const MAX_INLINE_BYTES: usize = 64 << 10;
}

/// Which run a new segment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunChoice {
    /// A run of this append's own.
    New,
    /// A place in the run that is free since the same transaction removes what stood there.
    Into { run: RunId, place: u64 },
    /// The keys follow those that the run had at the transaction's start. When the run has grown or gone since, the
    /// segment gets a run of its own after all.
    Extend(RunId),
}

/// In which order the rows of a new segment stand, where the table's sort key is interleaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RankChoice {
    /// By no rank map.
    #[default]
    Unranked,
    /// By the table's map of this version.
    By(u32),
    /// By the map that this transaction brings. When another's came first, the rows are ordered by no map of the
    /// table's after all.
    Brought,
}

/// A segment to be added.
#[derive(Debug, Clone)]
pub struct NewSegment {
    pub blob: Blob,
    /// Bytes of the footer, which ends the blob.
    pub footer_len: u32,
    pub slice: u32,
    pub run: RunChoice,
    pub rows: u32,
    pub columns: Vec<SegmentColumn>,
    /// Rows that are dead from the start.
    pub deleted: Option<(Blob, u32)>,
    pub ranked: RankChoice,
    /// See [`SegmentRef::rank_counts`].
    pub rank_counts: Vec<u32>,
    /// The version that inserted the rows, when that is not the committing one (a vacuum's).
    pub added: Option<Version>,
}

/// A segment's new delete vector.
#[derive(Debug, Clone)]
pub struct NewDeleteVector {
    pub segment: SegmentId,
    /// The vector that it replaces, as the transaction saw it.
    pub expected: Option<DeleteVectorRef>,
    /// All dead rows, the formerly dead ones included.
    pub blob: Blob,
    pub rows: u32,
    /// Those that this transaction has killed, by which it gets along with others that kill other rows of the segment;
    /// without them it conflicts with any.
    pub killed: Option<Arc<RoaringBitmap>>,
}

/// The columns of which a transaction may have changed what values there are: all where rows come in or go, those that it
/// gives other values where rows take the place of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    All,
    Columns(BTreeSet<ColumnId>),
}

impl Changed {
    /// Of rows that only stand elsewhere.
    pub const NOTHING: Changed = Changed::Columns(BTreeSet::new());

    /// Whether any of `columns` is among them.
    pub fn touches(&self, columns: &[ColumnId]) -> bool {
        match self {
            Changed::All => true,
            Changed::Columns(changed) => columns.iter().any(|column| changed.contains(column)),
        }
    }

    pub(super) fn and(self, other: &Changed) -> Changed {
        match (self, other) {
            (Changed::Columns(mut own), Changed::Columns(other)) => {
                own.extend(other);
                Changed::Columns(own)
            }
            _ => Changed::All,
        }
    }
}

/// One wish of a transaction. Tables are named, so that an error can name them after they are gone.
#[derive(Debug, Clone)]
pub(super) enum Intent {
    CreateSchema(Schema),
    AlterSchema(Schema),
    DropSchema {
        id: SchemaId,
        name: String,
        cascade: bool,
    },
    CreateTable(TableDef),
    AlterTable(TableDef),
    /// A table with the rows, the order, the statistics and the comments of another, as a version has it.
    CloneTable {
        def: TableDef,
        of: Arc<TableState>,
        version: PinnedSnapshot,
    },
    /// All that a backup holds, its objects under names of the transaction's.
    Restore {
        of: Arc<Snapshot>,
    },
    SetConstraint {
        table: Target,
        /// Its ordinal in the definition.
        constraint: usize,
        state: ConstraintState,
    },
    /// Together: foreign keys among them do not count.
    DropTables {
        tables: Vec<(TableId, String)>,
        cascade: bool,
    },
    /// At least `needed` values of the identity column, `wanted` where there are so many.
    ReserveIdentity {
        table: TableId,
        name: String,
        identity: Identity,
        needed: u64,
        wanted: u64,
    },
    CreateView(ViewDef),
    AlterView(ViewDef),
    DropView {
        id: TableId,
        name: String,
        cascade: bool,
    },
    Comment {
        on: CommentOn,
        of: String,
        text: Option<String>,
    },
    /// The map's version is given when it is committed.
    SetRankMap {
        table: Target,
        /// The version of the map that the table had.
        seen: u32,
        map: Arc<RankMap>,
    },
    SetStatistics {
        table: TableId,
        blob: Blob,
        telling: Telling,
    },
    Append {
        table: Target,
        data_change: bool,
        /// As against the rows that the same transaction removes.
        changed: Changed,
        segments: Vec<NewSegment>,
    },
    Remove {
        table: Target,
        data_change: bool,
        /// Where the same transaction adds the rows again.
        changed: Changed,
        segments: Vec<(SegmentId, Option<DeleteVectorRef>)>,
    },
    /// The rows of `removed`, as they were read, are those of `added`. Where others have killed some since, they are dead there.
    Rewrite {
        table: Target,
        removed: Vec<(SegmentId, Option<DeleteVectorRef>)>,
        added: Vec<NewSegment>,
        positions: Arc<Positions>,
        stored: Extent,
    },
    /// All rows of the table, as they were read, are those of what is added, and the definition is another.
    Relayout {
        table: Target,
        def: Box<TableDef>,
        map: Option<Arc<RankMap>>,
        rewritten: Vec<Rewritten>,
    },
    SetSlices(u32),
    SetDeletes {
        table: Target,
        data_change: bool,
        /// As for removed segments.
        changed: Changed,
        vectors: Vec<NewDeleteVector>,
    },
    Unchanged {
        table: Target,
    },
    /// No other views are bound to the table than these.
    Views {
        table: TableId,
        name: String,
        views: Vec<TableId>,
    },
    /// A statement of the transaction ends, whose rows were checked up to these versions.
    Ended {
        checked: BTreeMap<TableId, Version>,
    },
    /// What rows that the transaction adds were loaded from. `once`: no other has loaded from it.
    Loaded {
        table: Target,
        sources: Vec<Source>,
        once: bool,
    },
    /// What the table's rows were loaded from is of no meaning any more.
    ForgetLoads {
        table: Target,
    },
    SetHorizon(Version),
    SetMaintenance {
        holder: CommitId,
        lease: Option<MaintenanceLease>,
    },
    DefineUser(UserId, String),
}

/// Segments that are written anew.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// Each as it was read.
    pub removed: Vec<(SegmentId, Option<DeleteVectorRef>)>,
    pub added: Vec<NewSegment>,
    /// Which row is which.
    pub positions: Arc<Positions>,
}

/// Of which rows statistics tell that a transaction brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// Of those that the table had when the transaction began, `live_rows` of them not deleted, and of those that it adds
    /// before. They are for nothing where `replaced` are no longer the table's.
    Loaded { replaced: Option<Extent>, live_rows: u64 },
    /// Of those that the table had when the transaction began: ANALYZE's. They replace any.
    Analyzed { live_rows: u64 },
}

/// A table as a transaction saw it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub id: TableId,
    pub name: String,
    pub definition_version: u32,
}

impl From<&TableDef> for Target {
    fn from(def: &TableDef) -> Self {
        Target { id: def.id, name: def.name.clone(), definition_version: def.definition_version }
    }
}

/// A transaction being gathered.
///
/// Guarantees, when it is committed:
/// 1. all of its wishes take effect in one version, or none does;
/// 2. each is checked against the newest snapshot with the wishes before it applied;
/// 3. appends never conflict with appends, nor deletes with deletes of other rows; what removes a segment conflicts when
///    the segment is not as the transaction saw it; what uses a table conflicts when its definition is another;
/// 4. reads are protected only where [`Transaction::require_unchanged`] or [`Transaction::require_reads`] asks for it;
/// 5. a constraint that is VERIFIED afterwards holds of all rows: rows come in by [`Transaction::checked`] or take the
///    state away, and so do rows that leave a table to which a foreign key refers.
///
/// Objects that it writes are named by its [`ObjectNames`]: by that name alone a collector knows that a transaction may
/// yet refer to them.
#[derive(Debug)]
pub struct Transaction {
    pub(super) commit: CommitId,
    pub(super) base: Version,
    pub(super) author: UserId,
    pub(super) intents: Vec<Intent>,
    /// Up to which version the rows were checked that it appended since the last statement's end.
    pub(super) checked: BTreeMap<TableId, Version>,
    pub(super) reads: Vec<Read>,
    /// Whether it goes on where others wait: see [`super::Catalog::fence`].
    pub(super) fenced: Option<u64>,
    names: ObjectNames,
    /// What stands in no object until it commits.
    pub(super) held: Arc<Held>,
    /// Keeps the horizon from passing the base.
    pub(super) pin: Option<PinnedSnapshot>,
}

impl Transaction {
    /// A transaction that read version `base`, of an id that no other has. Unless the caller keeps that version
    /// pinned, it may become too old to commit; [`super::Catalog::begin`] pins it.
    pub fn new(id: CommitId, base: Version, author: UserId) -> Self {
        Transaction {
            commit: id,
            base,
            author,
            intents: Vec::new(),
            checked: BTreeMap::new(),
            reads: Vec::new(),
            fenced: None,
            names: ObjectNames { start: base, txn: id, next: Arc::default() },
            held: Arc::default(),
            pin: None,
        }
    }

    /// The identity that its objects' names carry.
    pub fn id(&self) -> CommitId {
        self.commit
    }

    /// The version it reads.
    pub fn base(&self) -> Version {
        self.base
    }

    /// The snapshot it reads, if it was begun by [`super::Catalog::begin`].
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.pin.as_ref().map(|p| p.snapshot())
    }

    /// What keeps that snapshot's objects, if the transaction was begun by a catalog.
    pub fn pin(&self) -> Option<&PinnedSnapshot> {
        self.pin.as_ref()
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.intents.is_empty()
    }

    /// The name of its `sequence`-th object.
    #[cfg(test)]
    pub(crate) fn object(&self, sequence: u32) -> ObjectId {
        ObjectId::Data { start: self.base, txn: self.commit, sequence }
    }

    /// Names its objects.
    pub fn names(&self) -> ObjectNames {
        self.names.clone()
    }

    /// A statement's part of it: a transaction without wishes, which [`Transaction::absorb`] takes back.
    pub fn part(&self) -> Transaction {
        Transaction {
            commit: self.commit,
            base: self.base,
            author: self.author,
            intents: Vec::new(),
            checked: BTreeMap::new(),
            reads: Vec::new(),
            fenced: None,
            names: self.names.clone(),
            held: Arc::clone(&self.held),
            pin: self.pin.clone(),
        }
    }

    /// Adds the wishes of a statement's [part](Transaction::part), behind its own.
    pub fn absorb(&mut self, statement: Transaction) {
        self.reads.extend(statement.reads);
        // A statement that found nothing to change is none that writes.
        if !statement.intents.is_empty() {
            self.intents.extend(statement.intents);
            self.intents.push(Intent::Ended { checked: statement.checked });
        }
    }

    /// Bytes that would stand in the log entry.
    pub fn inline_bytes(&self) -> usize {
        self.blobs().map(|blob| if let Blob::Inline(bytes) = blob { bytes.len() } else { 0 }).sum()
    }

    /// What would stand in the log entry, one after the other, to be stored as an object: [`Transaction::moved_to`] is
    /// told its name.
    pub fn inline(&self) -> Vec<Bytes> {
        let inline = |blob: &Blob| if let Blob::Inline(bytes) = blob { Some(bytes.clone()) } else { None };
        self.blobs().filter_map(inline).collect()
    }

    /// Says that what [`Transaction::inline`] gave stands in that object.
    pub fn moved_to(&mut self, object: ObjectId) {
        let mut offset = 0;
        let blobs = self.intents.iter_mut().flat_map(|intent| -> Box<dyn Iterator<Item = &mut Blob>> {
            match intent {
                Intent::Append { segments, .. } => Box::new(segments.iter_mut().flat_map(|segment| {
                    let deleted = segment.deleted.iter_mut().map(|(blob, _)| blob);
                    std::iter::once(&mut segment.blob).chain(deleted)
                })),
                Intent::SetDeletes { vectors, .. } => Box::new(vectors.iter_mut().map(|vector| &mut vector.blob)),
                _ => Box::new(std::iter::empty()),
            }
        });
        for blob in blobs {
            if let Blob::Inline(bytes) = blob {
                let len = bytes.len() as u64;
                *blob = Blob::Stored(Extent { object, offset, len });
                offset += len;
            }
        }
    }

    fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.intents.iter().flat_map(|intent| -> Box<dyn Iterator<Item = &Blob>> {
            match intent {
                Intent::Append { segments, .. } => Box::new(segments.iter().flat_map(|segment| {
                    std::iter::once(&segment.blob).chain(segment.deleted.iter().map(|(blob, _)| blob))
                })),
                Intent::SetDeletes { vectors, .. } => Box::new(vectors.iter().map(|vector| &vector.blob)),
                _ => Box::new(std::iter::empty()),
            }
        })
    }

    /// Returns a provisional id, good within this transaction; [`Committed::schemas`] tells the lasting one.
    pub fn create_schema(&mut self, name: impl Into<String>, owner: UserId) -> SchemaId {
        let id = SchemaId(provisional());
        self.intents.push(Intent::CreateSchema(Schema { id, name: name.into(), owner }));
        id
    }

    /// Another name or owner.
    pub fn alter_schema(&mut self, schema: Schema) {
        self.intents.push(Intent::AlterSchema(schema));
    }

    pub fn drop_schema(&mut self, schema: &Schema, cascade: bool) {
        self.intents.push(Intent::DropSchema { id: schema.id, name: schema.name.clone(), cascade });
    }

    /// Creates a table; `def.id` is ignored, and `def.created_us` set when it commits. Returns a provisional id, good
    /// within this transaction; [`Committed::tables`] tells the lasting one.
    pub fn create_table(&mut self, mut def: TableDef) -> TableId {
        let id = TableId(provisional());
        def.id = id;
        self.intents.push(Intent::CreateTable(def));
        id
    }

    /// Creates a table of the same rows as one of `version`, whose objects the two share from then on; `def` is as for
    /// [`Transaction::create_table`], with the columns of that one. What the transaction itself has written is not in it.
    ///
    /// Conflict when the horizon has passed the version by then.
    pub fn clone_table(&mut self, mut def: TableDef, of: &Arc<TableState>, version: &PinnedSnapshot) -> TableId {
        let id = TableId(provisional());
        def.id = id;
        self.intents.push(Intent::CloneTable { def, of: Arc::clone(of), version: version.committed() });
        id
    }

    /// Replaces a definition. `def.definition_version` must be one more than the one it replaces.
    pub fn alter_table(&mut self, def: TableDef) {
        self.intents.push(Intent::AlterTable(def));
    }

    /// Changes how far a constraint, by its ordinal, is believed. `Verified` says that it holds of the rows of that
    /// version: Conflict when the table, or the one that a foreign key refers to, has others by then.
    pub fn set_constraint_state(&mut self, table: &TableDef, constraint: usize, state: ConstraintState) {
        self.intents.push(Intent::SetConstraint { table: table.into(), constraint, state });
    }

    /// Says that the rows which are added to the table keep its VERIFIED constraints, together with all rows of the
    /// version `upto`. Conflict when there are others by then, in it or in what its foreign keys refer to: these are to be
    /// checked, and the transaction committed [again](Transaction::again). Without this word, appending makes VERIFIED
    /// constraints NORELY.
    pub fn checked(&mut self, table: &TableDef, upto: Version) {
        self.checked.insert(table.id, upto);
    }

    /// The same wishes once more, for when this transaction meets a conflict: of what met one, nothing takes effect.
    pub fn again(&self) -> Transaction {
        Transaction {
            commit: self.commit,
            base: self.base,
            author: self.author,
            intents: self.intents.clone(),
            checked: self.checked.clone(),
            reads: self.reads.clone(),
            fenced: self.fenced,
            names: self.names.clone(),
            held: Arc::clone(&self.held),
            pin: self.pin.clone(),
        }
    }

    /// Drops a table. Foreign keys of others that refer to it and views that are bound to it go with it where `cascade` says
    /// so, else they are an error, unless the transaction drops them, too.
    pub fn drop_table(&mut self, table: &TableDef, cascade: bool) {
        let dropped = (table.id, table.name.clone());
        match self.intents.last_mut() {
            Some(Intent::DropTables { tables, cascade: before }) if *before == cascade => tables.push(dropped),
            _ => self.intents.push(Intent::DropTables { tables: vec![dropped], cascade }),
        }
    }

    /// Reserves values of the table's identity column: at least `needed`, more up to `wanted` where there are so many.
    /// [`Committed::identities`] tells which.
    pub fn reserve_identity(&mut self, table: &TableDef, identity: Identity, needed: u64, wanted: u64) {
        let (table, name) = (table.id, table.name.clone());
        self.intents.push(Intent::ReserveIdentity { table, name, identity, needed, wanted });
    }

    /// Creates a view; `def.id` is ignored, and `def.created_us` set when it commits. Returns a provisional id, good
    /// within this transaction; [`Committed::tables`] tells the lasting one.
    pub fn create_view(&mut self, mut def: ViewDef) -> TableId {
        let id = TableId(provisional());
        def.id = id;
        self.intents.push(Intent::CreateView(def));
        id
    }

    /// Replaces a view. `def.definition_version` must be one more than the one it replaces.
    pub fn alter_view(&mut self, def: ViewDef) {
        self.intents.push(Intent::AlterView(def));
    }

    /// Drops a view, and what reads it as [`Transaction::drop_table`] does.
    pub fn drop_view(&mut self, view: &ViewDef, cascade: bool) {
        self.intents.push(Intent::DropView { id: view.id, name: view.name.clone(), cascade });
    }

    /// Says something about `on`, or nothing any more; `of` names it in errors.
    pub fn comment(&mut self, on: CommentOn, of: impl Into<String>, text: Option<String>) {
        self.intents.push(Intent::Comment { on, of: of.into(), text });
    }

    /// Gives the table a rank map for rows from now on, whatever `map.version` is. `seen` is the version of the one that it
    /// replaces, 0 for none: when the table has another by then it keeps that, and no conflict arises.
    pub fn set_rank_map(&mut self, table: &TableDef, seen: u32, map: Arc<RankMap>) {
        self.intents.push(Intent::SetRankMap { table: table.into(), seen, map });
    }

    /// Gives the table other statistics. This never conflicts: of two the later stay, and where the table is gone they are
    /// for nothing.
    pub fn set_statistics(&mut self, table: &TableDef, blob: Blob, telling: Telling) {
        self.intents.push(Intent::SetStatistics { table: table.id, blob, telling });
    }

    /// Adds segments that were written for the definition `table`. Those of a slice are given in the order of keys.
    pub fn append(&mut self, table: &TableDef, segments: Vec<NewSegment>) {
        self.append_segments(table, segments, true, Changed::All);
    }

    /// The same of segments whose rows take the place of rows that the transaction removes, with other values in `changed`
    /// alone: constraints of other columns need not be [checked](Transaction::checked).
    pub fn append_changed(&mut self, table: &TableDef, segments: Vec<NewSegment>, changed: Changed) {
        self.append_segments(table, segments, true, changed);
    }

    /// Removes segments; each with the delete vector that the transaction saw, so that rows deleted since are not
    /// forgotten by what replaces the segment.
    pub fn remove(&mut self, table: &TableDef, segments: Vec<(SegmentId, Option<DeleteVectorRef>)>) {
        self.remove_changed(table, segments, Changed::All);
    }

    /// The same where the transaction adds the rows again, with other values in `changed` alone: foreign keys that refer to
    /// other columns stay VERIFIED.
    pub fn remove_changed(
        &mut self,
        table: &TableDef,
        segments: Vec<(SegmentId, Option<DeleteVectorRef>)>,
        changed: Changed,
    ) {
        self.intents.push(Intent::Remove { table: table.into(), data_change: true, changed, segments });
    }

    /// The same for segments whose rows are among those that the transaction adds.
    pub fn remove_moved(&mut self, table: &TableDef, segments: Vec<(SegmentId, Option<DeleteVectorRef>)>) {
        self.remove_changed(table, segments, Changed::NOTHING);
    }

    /// Removes segments, each as it was read, and adds others with the same rows: a vacuum. `positions` tells which row is
    /// which, `added` being what they were written to, and stands at `stored`.
    ///
    /// It conflicts with nothing but another that takes the same segments, and with a change of the table's definition.
    pub fn rewrite(
        &mut self,
        table: &TableDef,
        removed: Vec<(SegmentId, Option<DeleteVectorRef>)>,
        added: Vec<NewSegment>,
        (positions, stored): (Arc<Positions>, Extent),
    ) {
        self.intents.push(Intent::Rewrite { table: table.into(), removed, added, positions, stored });
    }

    /// Gives a table another definition and all of its rows anew, as that wants them: `rewritten` are all of its segments, be it
    /// that some were taken by a vacuum whose segments are among them, too. Rows that others have deleted meanwhile are dead.
    /// `map` is what orders the rows of an interleaved sort key.
    ///
    /// Conflict when the table has other segments, or another definition.
    pub fn relayout(&mut self, table: &TableDef, def: TableDef, map: Option<Arc<RankMap>>, rewritten: Vec<Rewritten>) {
        self.intents.push(Intent::Relayout { table: table.into(), def: Box::new(def), map, rewritten });
    }

    /// Gives the warehouse another number of slices. All tables whose rows are on more than one are to be written anew after it,
    /// by [`Transaction::relayout`].
    pub fn set_slices(&mut self, slices: u32) {
        self.intents.push(Intent::SetSlices(slices));
    }

    /// The tables that it changes; `None` of all.
    pub(super) fn changes(&self) -> Option<BTreeSet<TableId>> {
        let mut tables = BTreeSet::new();
        for intent in &self.intents {
            match intent {
                Intent::Append { table, .. }
                | Intent::Remove { table, .. }
                | Intent::Rewrite { table, .. }
                | Intent::Relayout { table, .. }
                | Intent::SetDeletes { table, .. }
                | Intent::Loaded { table, .. }
                | Intent::ForgetLoads { table }
                | Intent::SetConstraint { table, .. } => drop(tables.insert(table.id)),
                Intent::AlterTable(def) => drop(tables.insert(def.id)),
                Intent::CreateTable(_) | Intent::CloneTable { .. } | Intent::Restore { .. } => return None,
                _ => {}
            }
        }
        Some(tables)
    }

    /// Whether it says where rows are, for the number of slices that it has read.
    pub(super) fn places_rows(&self) -> bool {
        self.intents.iter().any(|intent| match intent {
            Intent::Append { .. } | Intent::Rewrite { .. } | Intent::Relayout { .. } | Intent::Restore { .. } => true,
            // What rows it has may be where another distribution has them by the number of slices alone.
            Intent::AlterTable(_) => true,
            _ => false,
        })
    }

    /// Deletes rows.
    pub fn set_delete_vectors(&mut self, table: &TableDef, vectors: Vec<NewDeleteVector>) {
        self.set_delete_vectors_changed(table, vectors, Changed::All);
    }

    /// The same of rows that the transaction adds again, as [`Transaction::remove_changed`] says.
    pub fn set_delete_vectors_changed(&mut self, table: &TableDef, vectors: Vec<NewDeleteVector>, changed: Changed) {
        self.intents.push(Intent::SetDeletes { table: table.into(), data_change: true, changed, vectors });
    }

    /// Tells what rows that it adds to the table were loaded from. Where they are to be loaded `once`, conflicts with others that
    /// have loaded from one of the sources.
    pub fn loaded(&mut self, table: &TableDef, sources: Vec<Source>, once: bool) {
        self.intents.push(Intent::Loaded { table: table.into(), sources, once });
    }

    /// What the table's rows were loaded from may be loaded again: they are gone.
    pub fn forget_loads(&mut self, table: &TableDef) {
        self.intents.push(Intent::ForgetLoads { table: table.into() });
    }

    /// Conflicts when the table's rows or definition are not those of the base: for what was computed from them.
    pub fn require_unchanged(&mut self, table: &TableDef) {
        self.intents.push(Intent::Unchanged { table: table.into() });
    }

    /// Conflicts when other views than these are bound to the table.
    pub fn require_views(&mut self, table: &TableDef, views: Vec<TableId>) {
        self.intents.push(Intent::Views { table: table.id, name: table.name.clone(), views });
    }

    /// Conflicts when rows that the transaction has read, or would have read had they been there, are others than they were:
    /// with this for all of its reads it is serializable.
    pub fn require_reads(&mut self, read: Read) {
        self.reads.push(read);
    }

    /// Conflicts when others have added rows to the table since `base` that may have such values in all of `key` as those rows have
    /// that the transaction has appended: for what it added since there was none.
    pub fn require_absent(&mut self, base: &Arc<Snapshot>, table: &TableDef, key: &[ColumnId]) {
        let segments = self.intents.iter().flat_map(|intent| match intent {
            Intent::Append { table: of, segments, .. } if of.id == table.id => segments.as_slice(),
            _ => &[],
        });
        let bounds = |segment: &NewSegment| {
            let columns = segment.columns.iter().filter(|column| key.contains(&column.id));
            columns.map(|column| (column.id, column.bounds.clone())).collect()
        };
        let rows = Arc::new(Absent { added: segments.map(bounds).collect() });
        self.require_reads(Read { base: Arc::clone(base), table: table.id, name: table.name.clone(), rows });
    }

    /// Gives a user id its name.
    pub fn define_user(&mut self, id: UserId, name: impl Into<String>) {
        self.intents.push(Intent::DefineUser(id, name.into()));
    }

    pub(super) fn push(&mut self, intent: Intent) {
        self.intents.push(intent);
    }

    fn append_segments(&mut self, table: &TableDef, segments: Vec<NewSegment>, data_change: bool, changed: Changed) {
        self.intents.push(Intent::Append { table: table.into(), data_change, changed, segments });
    }

    /// About how many bytes of log entry it will need.
    pub(super) fn weight(&self) -> usize {
        let blob = |b: &Blob| match b {
            Blob::Stored(_) => 64,
            Blob::Inline(bytes) => bytes.len() + 64,
        };
        let segment = |s: &NewSegment| {
            blob(&s.blob) + s.deleted.as_ref().map_or(0, |d| blob(&d.0)) + 64 * s.columns.len() + s.rank_counts.len()
        };
        self.intents
            .iter()
            .map(|intent| match intent {
                Intent::Append { segments, .. } => segments.iter().map(segment).sum(),
                Intent::Rewrite { removed, added, .. } => added.iter().map(segment).sum::<usize>() + 64 * removed.len(),
                Intent::Relayout { rewritten, .. } => {
                    rewritten.iter().map(|r| r.added.iter().map(segment).sum::<usize>() + 64 * r.removed.len()).sum()
                }
                Intent::SetDeletes { vectors, .. } => vectors.iter().map(|v| blob(&v.blob)).sum(),
                Intent::Remove { segments, .. } => 8 * segments.len(),
                Intent::SetRankMap { map, .. } => map.weight(),
                Intent::SetStatistics { blob: place, .. } => blob(place),
                Intent::CreateTable(def) | Intent::AlterTable(def) => 64 * def.columns.len(),
                Intent::Restore { of } => {
                    of.tables.values().map(|t| 64 * t.def.columns.len() * (t.segments.len() + 1)).sum()
                }
                Intent::CloneTable { def, of, .. } => 64 * def.columns.len() * (of.segments.len() + 1),
                Intent::CreateView(def) | Intent::AlterView(def) => {
                    let columns = def.dependencies().iter().map(|d| d.columns.len()).sum::<usize>();
                    def.sql.len() + 64 * (def.columns.len() + columns)
                }
                Intent::Comment { text, .. } => text.as_ref().map_or(0, String::len) + 64,
                _ => 64,
            })
            .sum()
    }
}

/// What a commit did.
#[derive(Debug, Clone)]
pub struct Committed {
    pub version: Version,
    /// Microseconds since 1970, UTC.
    pub time_us: i64,
    /// The warehouse with the commit (and with those that shared its log entry).
    pub snapshot: Arc<Snapshot>,
    /// The lasting id of each provisional one.
    pub tables: BTreeMap<TableId, TableId>,
    pub schemas: BTreeMap<SchemaId, SchemaId>,
    /// For each append, in order: the table and the numbers of its new segments.
    pub segments: Vec<(TableId, Vec<SegmentId>)>,
    /// Constraints that are VERIFIED no longer: the table's name and the constraint's.
    pub demoted: Vec<(String, String)>,
    /// For each reservation, in order: how many values were given before it, and how many it got.
    pub identities: Vec<(u64, u64)>,
}

/// Names the objects that one transaction writes, in turn. Clones go on where others stopped.
#[derive(Debug, Clone)]
pub struct ObjectNames {
    start: Version,
    txn: CommitId,
    next: Arc<AtomicU32>,
}

impl ObjectNames {
    pub fn next_object(&self) -> ObjectId {
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        ObjectId::Data { start: self.start, txn: self.txn, sequence }
    }

    /// The names that were given so far.
    pub fn given(&self) -> impl Iterator<Item = ObjectId> {
        let (start, txn) = (self.start, self.txn);
        (0..self.next.load(Ordering::Relaxed)).map(move |sequence| ObjectId::Data { start, txn, sequence })
    }
}

/// What a transaction has written that stands in no object: its own statements read it from here. It is named as if it
/// were an object.
#[derive(Debug, Default)]
pub struct Held(RwLock<HashMap<ObjectId, Bytes>>);

impl Held {
    pub fn get(&self, object: &ObjectId) -> Option<Bytes> {
        self.0.read().get(object).cloned()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }

    pub(super) fn insert(&self, object: ObjectId, bytes: Bytes) {
        self.0.write().insert(object, bytes);
    }
}

/// A number for something that a transaction makes, which nothing else in this process has had.
fn provisional() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    PROVISIONAL | (LAST.fetch_add(1, Ordering::Relaxed) + 1)
}
