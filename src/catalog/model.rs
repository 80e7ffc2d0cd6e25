//! What the catalog knows, as plain values: definitions, segments, and the state of the warehouse at one version.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::entry::MaintenanceLease;
use super::view::{CommentOn, ViewDef};
use crate::common::{
    Bounds, ColumnId, CommitId, DistStyle, EncodingName, Error, Result, SchemaId, SortKey, SqlState, SqlType, TableId,
    UserId, Version,
};
use crate::distribution::HASH_ID;

/// A namespace of tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    pub id: SchemaId,
    pub name: String,
    pub owner: UserId,
}

/// A column as declared.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDef {
    pub id: ColumnId,
    pub name: String,
    pub sql_type: SqlType,
    pub nullable: bool,
    /// The DEFAULT expression as SQL text.
    pub default_sql: Option<String>,
    /// What rows of segments written before the column existed hold; `None` is NULL.
    pub absent: Option<crate::common::Scalar>,
    pub encoding: EncodingName,
}

/// What AUTO amounts to at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectiveDist {
    Even,
    Key(ColumnId),
    All,
}

/// A table as declared.
///
/// Invariants:
/// 1. column ids are distinct and below `next_column`, names distinct;
/// 2. the columns that `dist`, `effective_dist` and `sort` name exist;
/// 3. `effective_dist` agrees with `dist` unless that is AUTO.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDef {
    pub id: TableId,
    pub schema: SchemaId,
    pub name: String,
    pub owner: UserId,
    pub columns: Vec<ColumnDef>,
    pub next_column: ColumnId,
    pub dist: DistStyle,
    pub effective_dist: EffectiveDist,
    pub sort: Option<SortKey>,
    /// ENCODE AUTO: no column names an encoding.
    pub encode_auto: bool,
    /// Counts the definition's changes; a load that began under another value cannot be committed.
    pub definition_version: u32,
    pub created_us: i64,
    /// Which function placed KEY rows on slices; see `distribution::slice_hash`.
    pub hash_id: u8,
}

impl TableDef {
    pub fn column(&self, id: ColumnId) -> Option<&ColumnDef> {
        self.columns.iter().find(|c| c.id == id)
    }

    pub fn column_named(&self, name: &str) -> Option<&ColumnDef> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// Whether this build hashes as the table's rows were placed. Where it does not, a key says nothing of its slice.
    pub fn hash_is_known(&self) -> bool {
        self.hash_id == HASH_ID
    }

    /// Invalid, with the invariant's number, when one does not hold.
    pub fn check_invariants(&self) -> Result<()> {
        let broken = |number: u32, what: &str| {
            Err(Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("table \"{}\" (invariant {number}): {what}", self.name),
            ))
        };
        let ids: BTreeSet<ColumnId> = self.columns.iter().map(|c| c.id).collect();
        let names: BTreeSet<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        if ids.len() != self.columns.len() || ids.last().is_some_and(|id| *id >= self.next_column) {
            return broken(1, "column ids are not distinct, or not below the next one");
        }
        if names.len() != self.columns.len() {
            return Err(Error::invalid(
                SqlState::DUPLICATE_COLUMN,
                format!("table \"{}\" (invariant 1): two columns have one name", self.name),
            ));
        }
        let dist = match self.dist {
            DistStyle::Key(column) => Some(column),
            _ => None,
        };
        let effective = match self.effective_dist {
            EffectiveDist::Key(column) => Some(column),
            _ => None,
        };
        let sort = self.sort.iter().flat_map(|s| s.columns.iter().copied());
        if dist.into_iter().chain(effective).chain(sort).any(|c| !ids.contains(&c)) {
            return broken(2, "a distribution or sort key names a column that does not exist");
        }
        let agrees = match (self.dist, self.effective_dist) {
            (DistStyle::Auto, _) | (DistStyle::Even, EffectiveDist::Even) | (DistStyle::All, EffectiveDist::All) => {
                true
            }
            (DistStyle::Key(a), EffectiveDist::Key(b)) => a == b,
            _ => false,
        };
        if !agrees {
            return broken(3, "the effective distribution is not the declared one");
        }
        Ok(())
    }
}

/// Where bytes stand. Objects are never rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectId {
    /// Written by transaction `txn`, which began at version `start`, as its `sequence`-th object.
    Data { start: Version, txn: CommitId, sequence: u32 },
    /// Inline in the log entry of this version.
    Log(Version),
}

/// A range of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    pub object: ObjectId,
    pub offset: u64,
    pub len: u64,
}

/// A segment's number, never reused within its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId(pub u64);

/// A run's number: that of its first segment in the table, or a later one. Within a slice, the segments of a run have disjoint key ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub u64);

/// What a segment holds of one column, for planning without opening it.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentColumn {
    pub id: ColumnId,
    pub bounds: Bounds,
    /// Encoded bytes, dictionary included.
    pub bytes: u64,
}

/// A committed segment.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentRef {
    pub id: SegmentId,
    pub extent: Extent,
    /// Bytes of the footer, which ends the extent.
    pub footer_len: u32,
    pub slice: u32,
    pub run: RunId,
    pub rows: u32,
    /// The version that added it (`insert_xid`).
    pub added: Version,
    pub columns: Vec<SegmentColumn>,
    pub deleted: Option<DeleteVectorRef>,
}

/// The rows of a segment that are dead, as a roaring bitmap of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteVectorRef {
    pub extent: Extent,
    pub rows: u32,
}

/// A table with its rows, at one version.
#[derive(Debug, Clone, PartialEq)]
pub struct TableState {
    pub def: Arc<TableDef>,
    /// In the order of slice, run, position within the run (which is the order of ids).
    pub segments: Arc<Vec<Arc<SegmentRef>>>,
    pub next_segment: u64,
    /// The last version that changed the table's definition or segments.
    pub changed: Version,
    /// The last version that changed the table's rows (a vacuum does not).
    pub data_changed: Version,
}

impl TableState {
    /// Rows stored, deleted ones included.
    pub fn stored_rows(&self) -> u64 {
        self.segments.iter().map(|s| u64::from(s.rows)).sum()
    }

    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.segments.iter().map(|s| u64::from(s.rows - s.deleted.map_or(0, |d| d.rows))).sum()
    }

    /// The segment of that number. Linear in the table's segments.
    pub fn segment(&self, id: SegmentId) -> Option<&Arc<SegmentRef>> {
        self.segments.iter().find(|s| s.id == id)
    }
}

/// What never changes in a warehouse's life, or only by a rewrite of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarehouseInfo {
    /// Random, made when the warehouse is created.
    pub uuid: u128,
    /// 1 to 1,024.
    pub slices: u32,
    /// The catalog name that SQL sees.
    pub name: String,
    pub zone_rows: u32,
    pub chunk_rows: u32,
}

impl WarehouseInfo {
    pub const MAX_SLICES: u32 = 1024;
}

/// A schema's tables, or its views, by name.
pub type TableNames = BTreeMap<String, TableId>;

/// The warehouse at one version.
///
/// Guarantees:
/// 1. every table's and view's schema exists, and their names are distinct within it;
/// 2. table and schema ids are below the next ones;
/// 3. a table's segments ascend strictly by (slice, run, id), have distinct ids below the next one, and slices below
///    the warehouse's;
/// 4. no segment has more rows deleted than it has;
/// 5. `data_changed` ≤ `changed` ≤ `version` for every table, and `added` ≤ `changed` for every segment;
/// 6. the horizon is at most the version;
/// 7. inline bytes stand in log entries of this version or earlier ones;
/// 8. every definition keeps the invariants of [`TableDef`] or [`ViewDef`];
/// 9. what a bound view reads exists, and no view reads itself;
/// 10. comments are about what exists.
///
/// A clone shares everything but the maps that a later change touches.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub version: Version,
    /// The id of the entry that made it.
    pub entry: CommitId,
    /// When it was committed; never before its predecessor's.
    pub time_us: i64,
    pub info: Arc<WarehouseInfo>,
    pub schemas: Arc<BTreeMap<SchemaId, Schema>>,
    pub tables: Arc<BTreeMap<TableId, Arc<TableState>>>,
    pub views: Arc<BTreeMap<TableId, Arc<ViewDef>>>,
    pub comments: Arc<BTreeMap<CommentOn, String>>,
    pub users: Arc<BTreeMap<UserId, String>>,
    /// Snapshots below it may have lost objects.
    pub horizon: Version,
    pub next_table: TableId,
    pub next_schema: SchemaId,
    pub maintenance: Option<MaintenanceLease>,
    /// Derived from `tables`: kept by `apply` alone.
    pub(super) names: Arc<BTreeMap<SchemaId, Arc<TableNames>>>,
    /// Derived from `views`: kept by `apply` alone.
    pub(super) view_names: Arc<BTreeMap<SchemaId, Arc<TableNames>>>,
}

impl Snapshot {
    pub fn schema_named(&self, name: &str) -> Option<&Schema> {
        self.schemas.values().find(|s| s.name == name)
    }

    pub fn table(&self, id: TableId) -> Option<&Arc<TableState>> {
        self.tables.get(&id)
    }

    /// Logarithmic in the number of tables.
    pub fn table_named(&self, schema: SchemaId, name: &str) -> Option<&Arc<TableState>> {
        self.tables.get(self.names.get(&schema)?.get(name)?)
    }

    /// A schema's tables, by name.
    pub fn table_names(&self, schema: SchemaId) -> impl Iterator<Item = (&str, TableId)> {
        self.names.get(&schema).into_iter().flat_map(|names| names.iter().map(|(name, id)| (name.as_str(), *id)))
    }

    pub fn view(&self, id: TableId) -> Option<&Arc<ViewDef>> {
        self.views.get(&id)
    }

    /// Logarithmic in the number of views.
    pub fn view_named(&self, schema: SchemaId, name: &str) -> Option<&Arc<ViewDef>> {
        self.views.get(self.view_names.get(&schema)?.get(name)?)
    }

    /// A schema's views, by name.
    pub fn view_names(&self, schema: SchemaId) -> impl Iterator<Item = (&str, TableId)> {
        self.view_names.get(&schema).into_iter().flat_map(|names| names.iter().map(|(name, id)| (name.as_str(), *id)))
    }

    /// The views that are bound to a relation, directly. Linear in the number of views.
    pub fn views_of(&self, relation: TableId) -> impl Iterator<Item = &Arc<ViewDef>> {
        self.views.values().filter(move |view| view.reads(relation))
    }

    /// What is said about something.
    pub fn comment(&self, on: CommentOn) -> Option<&str> {
        self.comments.get(&on).map(String::as_str)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectId::Data { start, txn, sequence } => write!(f, "data/{:016x}-{txn}-{sequence:04x}", start.0),
            ObjectId::Log(version) => write!(f, "_log/{:020}", version.0),
        }
    }
}
