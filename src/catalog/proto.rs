//! The Protocol Buffers messages that the catalog's objects hold. Written by hand, so that building needs no compiler
//! for them. A tag's number and type never change; a new one that old readers must not ignore sets a feature bit.
//!
//! 128-bit ids are 16 bytes, big-endian, so that a dump shows them as they are printed.

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub struct Scalar {
    #[prost(oneof = "ScalarValue", tags = "1, 2, 3, 4, 5")]
    pub value: Option<ScalarValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum ScalarValue {
    #[prost(bool, tag = "1")]
    Bool(bool),
    #[prost(sint64, tag = "2")]
    Int(i64),
    /// 16 bytes, big-endian two's complement: integers beyond 64 bits.
    #[prost(bytes = "vec", tag = "3")]
    Big(Vec<u8>),
    /// The bits of a double, so that every NaN survives.
    #[prost(fixed64, tag = "4")]
    Float(u64),
    #[prost(bytes = "vec", tag = "5")]
    Bytes(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub struct Info {
    #[prost(bytes = "vec", tag = "1")]
    pub uuid: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub slices: u32,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(uint32, tag = "4")]
    pub zone_rows: u32,
    #[prost(uint32, tag = "5")]
    pub chunk_rows: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Schema {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(uint32, tag = "3")]
    pub owner: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct User {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(string, tag = "2")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Column {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(string, tag = "2")]
    pub name: String,
    /// 1 boolean, 2 smallint, 3 integer, 4 bigint, 5 real, 6 double, 7 decimal, 8 char, 9 varchar, 10 date,
    /// 11 timestamp.
    #[prost(uint32, tag = "3")]
    pub type_kind: u32,
    /// Precision of a decimal, length in bytes of text.
    #[prost(uint32, tag = "4")]
    pub type_size: u32,
    #[prost(uint32, tag = "5")]
    pub type_scale: u32,
    #[prost(bool, tag = "6")]
    pub nullable: bool,
    #[prost(string, optional, tag = "7")]
    pub default_sql: Option<String>,
    #[prost(message, optional, tag = "8")]
    pub absent: Option<Scalar>,
    /// As SQL names it.
    #[prost(string, tag = "9")]
    pub encoding: String,
    #[prost(message, optional, tag = "10")]
    pub identity: Option<Identity>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Identity {
    #[prost(sint64, tag = "1")]
    pub seed: i64,
    #[prost(sint64, tag = "2")]
    pub step: i64,
    #[prost(bool, tag = "3")]
    pub by_default: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Constraint {
    /// 1 primary key, 2 unique, 3 foreign key.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    #[prost(uint32, repeated, tag = "3")]
    pub columns: Vec<u32>,
    /// Of a foreign key: the table and columns that it refers to.
    #[prost(uint32, tag = "4")]
    pub table: u32,
    #[prost(uint32, repeated, tag = "5")]
    pub referenced: Vec<u32>,
    /// 0: nobody relies on it; 1: plans do; 2: it was verified at version `verified_at`.
    #[prost(uint32, tag = "6")]
    pub state: u32,
    #[prost(uint64, tag = "7")]
    pub verified_at: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct TableDef {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(uint32, tag = "2")]
    pub schema: u32,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(uint32, tag = "4")]
    pub owner: u32,
    #[prost(message, repeated, tag = "5")]
    pub columns: Vec<Column>,
    #[prost(uint32, tag = "6")]
    pub next_column: u32,
    /// 1 auto, 2 even, 3 key, 4 all; likewise `effective`.
    #[prost(uint32, tag = "7")]
    pub dist: u32,
    #[prost(uint32, tag = "8")]
    pub dist_column: u32,
    #[prost(uint32, tag = "9")]
    pub effective: u32,
    #[prost(uint32, tag = "10")]
    pub effective_column: u32,
    /// 0 none, 1 compound, 2 interleaved.
    #[prost(uint32, tag = "11")]
    pub sort_style: u32,
    #[prost(uint32, repeated, tag = "12")]
    pub sort_columns: Vec<u32>,
    #[prost(bool, tag = "13")]
    pub encode_auto: bool,
    #[prost(uint32, tag = "14")]
    pub definition_version: u32,
    #[prost(sint64, tag = "15")]
    pub created_us: i64,
    #[prost(uint32, tag = "16")]
    pub hash_id: u32,
    #[prost(message, repeated, tag = "17")]
    pub constraints: Vec<Constraint>,
    #[prost(bool, tag = "18")]
    pub backup_no: bool,
    /// 0: AUTO where there is no sort key, else declared; 1: the sort key is what AUTO chose; 2: none is declared.
    #[prost(uint32, tag = "19")]
    pub sort_word: u32,
    /// 0: rows are kept for ever.
    #[prost(uint32, tag = "20")]
    pub retain_days: u32,
    #[prost(uint32, tag = "21")]
    pub retain_column: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct ViewColumn {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(bool, tag = "3")]
    pub read: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct ViewDependency {
    #[prost(uint32, tag = "1")]
    pub relation: u32,
    #[prost(string, tag = "2")]
    pub schema: String,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(message, repeated, tag = "4")]
    pub columns: Vec<ViewColumn>,
}

#[derive(Clone, PartialEq, Message)]
pub struct View {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(uint32, tag = "2")]
    pub schema: u32,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(uint32, tag = "4")]
    pub owner: u32,
    #[prost(string, repeated, tag = "5")]
    pub columns: Vec<String>,
    #[prost(string, tag = "6")]
    pub sql: String,
    /// Its names are looked up each time it is read; then there are no dependencies.
    #[prost(bool, tag = "7")]
    pub late_binding: bool,
    #[prost(message, repeated, tag = "8")]
    pub dependencies: Vec<ViewDependency>,
    #[prost(uint32, tag = "9")]
    pub definition_version: u32,
    #[prost(sint64, tag = "10")]
    pub created_us: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Comment {
    /// 1 database, 2 schema, 3 table or view, 4 column.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// The schema's, table's or view's number.
    #[prost(uint32, tag = "2")]
    pub object: u32,
    /// The column's number; of a view its place, from 1.
    #[prost(uint32, tag = "3")]
    pub column: u32,
    /// Absent: there is none any more.
    #[prost(string, optional, tag = "4")]
    pub text: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Extent {
    /// Of a data object: the version at which its transaction began, the transaction, the number within it.
    #[prost(uint64, tag = "1")]
    pub start: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub txn: Vec<u8>,
    #[prost(uint32, tag = "3")]
    pub sequence: u32,
    /// Of inline bytes: the log entry; then 1 to 3 are absent.
    #[prost(uint64, optional, tag = "4")]
    pub log: Option<u64>,
    #[prost(uint64, tag = "5")]
    pub offset: u64,
    #[prost(uint64, tag = "6")]
    pub len: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct SegmentColumn {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(message, optional, tag = "2")]
    pub min: Option<Scalar>,
    #[prost(message, optional, tag = "3")]
    pub max: Option<Scalar>,
    #[prost(bool, tag = "4")]
    pub exact: bool,
    #[prost(uint64, tag = "5")]
    pub null_count: u64,
    #[prost(uint64, tag = "6")]
    pub rows: u64,
    #[prost(uint64, tag = "7")]
    pub bytes: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeleteVector {
    #[prost(message, optional, tag = "1")]
    pub extent: Option<Extent>,
    #[prost(uint32, tag = "2")]
    pub rows: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Segment {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(message, optional, tag = "2")]
    pub extent: Option<Extent>,
    #[prost(uint32, tag = "3")]
    pub footer_len: u32,
    #[prost(uint32, tag = "4")]
    pub slice: u32,
    #[prost(uint64, tag = "5")]
    pub run: u64,
    #[prost(uint32, tag = "6")]
    pub rows: u32,
    #[prost(uint64, tag = "7")]
    pub added: u64,
    #[prost(message, repeated, tag = "8")]
    pub columns: Vec<SegmentColumn>,
    #[prost(message, optional, tag = "9")]
    pub deleted: Option<DeleteVector>,
    /// The version of the rank map that its rows are ordered by; 0: none.
    #[prost(uint32, tag = "10")]
    pub rank_map: u32,
    /// Rows of each coarse rank, column by column of the map.
    #[prost(uint32, repeated, tag = "11")]
    pub rank_counts: Vec<u32>,
    /// 0: the one that its number gives.
    #[prost(uint64, tag = "12")]
    pub place: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Moved {
    /// In a log entry.
    #[prost(uint32, tag = "1")]
    pub table: u32,
    /// In a checkpoint.
    #[prost(uint64, tag = "2")]
    pub version: u64,
    #[prost(uint64, repeated, tag = "3")]
    pub from: Vec<u64>,
    #[prost(uint64, repeated, tag = "4")]
    pub to: Vec<u64>,
    #[prost(message, optional, tag = "5")]
    pub positions: Option<Extent>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RankColumn {
    #[prost(uint32, tag = "1")]
    pub column: u32,
    /// Ascending. A value's rank is how many of them are not above it.
    #[prost(message, repeated, tag = "2")]
    pub bounds: Vec<Scalar>,
    /// NULL has a rank of its own.
    #[prost(bool, tag = "3")]
    pub nulls: bool,
    /// Rows of each coarse rank in the sample that the map was made of.
    #[prost(uint32, repeated, tag = "4")]
    pub sampled: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RankMap {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    #[prost(message, repeated, tag = "2")]
    pub columns: Vec<RankColumn>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SetRankMap {
    #[prost(uint32, tag = "1")]
    pub table: u32,
    #[prost(message, optional, tag = "2")]
    pub map: Option<RankMap>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Mark {
    #[prost(uint64, tag = "1")]
    pub version: u64,
    #[prost(uint64, tag = "2")]
    pub live_rows: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Statistics {
    #[prost(message, optional, tag = "1")]
    pub extent: Option<Extent>,
    #[prost(message, optional, tag = "2")]
    pub covers: Option<Mark>,
    #[prost(message, optional, tag = "3")]
    pub analyzed: Option<Mark>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AddSegments {
    #[prost(uint32, tag = "1")]
    pub table: u32,
    #[prost(bool, tag = "2")]
    pub data_change: bool,
    #[prost(message, repeated, tag = "3")]
    pub segments: Vec<Segment>,
    /// Of an action without segments: the table's statistics from now on. Readers that do not know it lose nothing else.
    #[prost(message, optional, tag = "4")]
    pub statistics: Option<Statistics>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RemoveSegments {
    #[prost(uint32, tag = "1")]
    pub table: u32,
    #[prost(bool, tag = "2")]
    pub data_change: bool,
    #[prost(uint64, repeated, tag = "3")]
    pub segments: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SegmentDeletes {
    #[prost(uint64, tag = "1")]
    pub segment: u64,
    /// Absent: no row is deleted.
    #[prost(message, optional, tag = "2")]
    pub vector: Option<DeleteVector>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SetDeleteVectors {
    #[prost(uint32, tag = "1")]
    pub table: u32,
    #[prost(bool, tag = "2")]
    pub data_change: bool,
    #[prost(message, repeated, tag = "3")]
    pub vectors: Vec<SegmentDeletes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Maintenance {
    /// Empty: nobody.
    #[prost(bytes = "vec", tag = "1")]
    pub holder: Vec<u8>,
    #[prost(sint64, tag = "2")]
    pub until_us: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Action {
    #[prost(oneof = "ActionKind", tags = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,20,24,28,33,34")]
    pub kind: Option<ActionKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum ActionKind {
    #[prost(message, tag = "1")]
    Genesis(Info),
    #[prost(message, tag = "2")]
    CreateSchema(Schema),
    #[prost(message, tag = "3")]
    AlterSchema(Schema),
    #[prost(uint32, tag = "4")]
    DropSchema(u32),
    #[prost(message, tag = "5")]
    CreateTable(TableDef),
    #[prost(message, tag = "6")]
    AlterTable(TableDef),
    #[prost(uint32, tag = "7")]
    DropTable(u32),
    #[prost(message, tag = "8")]
    AddSegments(AddSegments),
    #[prost(message, tag = "9")]
    RemoveSegments(RemoveSegments),
    #[prost(message, tag = "10")]
    SetDeleteVectors(SetDeleteVectors),
    #[prost(uint64, tag = "11")]
    SetHorizon(u64),
    #[prost(message, tag = "12")]
    SetMaintenance(Maintenance),
    #[prost(message, tag = "13")]
    DefineUser(User),
    #[prost(message, tag = "14")]
    CreateView(View),
    #[prost(message, tag = "15")]
    AlterView(View),
    #[prost(uint32, tag = "16")]
    DropView(u32),
    #[prost(message, tag = "17")]
    SetComment(Comment),
    #[prost(message, tag = "20")]
    ReserveIdentity(ReserveIdentity),
    #[prost(message, tag = "24")]
    SetRankMap(SetRankMap),
    #[prost(message, tag = "28")]
    Moved(Moved),
    #[prost(uint32, tag = "33")]
    SetSlices(u32),
    #[prost(message, tag = "34")]
    SetLoads(SetLoads),
}

#[derive(Clone, PartialEq, Message)]
pub struct Source {
    #[prost(string, tag = "1")]
    pub name: String,
    /// Absent of a batch.
    #[prost(string, optional, tag = "2")]
    pub identity: Option<String>,
    #[prost(uint64, tag = "3")]
    pub rows: u64,
    #[prost(sint64, tag = "4")]
    pub loaded_us: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct SetLoads {
    #[prost(uint32, tag = "1")]
    pub table: u32,
    /// Those that were there are forgotten first.
    #[prost(bool, tag = "2")]
    pub forget: bool,
    #[prost(message, repeated, tag = "3")]
    pub sources: Vec<Source>,
    #[prost(sint64, optional, tag = "4")]
    pub forgotten_us: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ReserveIdentity {
    #[prost(uint32, tag = "1")]
    pub table: u32,
    /// How many values were given before.
    #[prost(uint64, tag = "2")]
    pub given: u64,
    #[prost(uint64, tag = "3")]
    pub count: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Transaction {
    #[prost(bytes = "vec", tag = "1")]
    pub commit: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub start: u64,
    #[prost(uint32, tag = "3")]
    pub author: u32,
    #[prost(message, repeated, tag = "4")]
    pub actions: Vec<Action>,
}

#[derive(Clone, PartialEq, Message)]
pub struct LogEntry {
    #[prost(uint64, tag = "1")]
    pub version: u64,
    #[prost(sint64, tag = "2")]
    pub time_us: i64,
    #[prost(bytes = "vec", tag = "3")]
    pub id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub previous: Vec<u8>,
    #[prost(message, repeated, tag = "5")]
    pub transactions: Vec<Transaction>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RootTable {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(uint64, tag = "2")]
    pub changed: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Root {
    #[prost(uint64, tag = "1")]
    pub version: u64,
    #[prost(sint64, tag = "2")]
    pub time_us: i64,
    #[prost(bytes = "vec", tag = "3")]
    pub entry: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    pub info: Option<Info>,
    #[prost(message, repeated, tag = "5")]
    pub schemas: Vec<Schema>,
    #[prost(message, repeated, tag = "6")]
    pub users: Vec<User>,
    #[prost(uint64, tag = "7")]
    pub horizon: u64,
    #[prost(uint32, tag = "8")]
    pub next_table: u32,
    #[prost(uint32, tag = "9")]
    pub next_schema: u32,
    #[prost(message, optional, tag = "10")]
    pub maintenance: Option<Maintenance>,
    #[prost(message, repeated, tag = "11")]
    pub tables: Vec<RootTable>,
    #[prost(message, repeated, tag = "12")]
    pub views: Vec<View>,
    #[prost(message, repeated, tag = "13")]
    pub comments: Vec<Comment>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Table {
    #[prost(message, optional, tag = "1")]
    pub def: Option<TableDef>,
    #[prost(message, repeated, tag = "2")]
    pub segments: Vec<Segment>,
    #[prost(uint64, tag = "3")]
    pub next_segment: u64,
    #[prost(uint64, tag = "4")]
    pub changed: u64,
    #[prost(uint64, tag = "5")]
    pub data_changed: u64,
    #[prost(uint64, tag = "6")]
    pub identity_given: u64,
    #[prost(message, optional, tag = "9")]
    pub rank_map: Option<RankMap>,
    #[prost(message, optional, tag = "10")]
    pub statistics: Option<Statistics>,
    #[prost(message, repeated, tag = "14")]
    pub moves: Vec<Moved>,
    #[prost(message, repeated, tag = "15")]
    pub loads: Vec<Source>,
    #[prost(sint64, optional, tag = "16")]
    pub forgotten_us: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Lease {
    #[prost(bytes = "vec", tag = "1")]
    pub process: Vec<u8>,
    #[prost(sint64, tag = "2")]
    pub time_us: i64,
    #[prost(uint64, tag = "3")]
    pub oldest_pinned: u64,
    #[prost(uint64, optional, tag = "4")]
    pub oldest_transaction: Option<u64>,
    #[prost(sint64, tag = "5")]
    pub until_us: i64,
}

/// A part of an object that a table refers to.
#[derive(Clone, PartialEq, Message)]
pub struct BackupPart {
    #[prost(uint64, tag = "1")]
    pub offset: u64,
    #[prost(uint64, tag = "2")]
    pub len: u64,
    #[prost(fixed32, tag = "3")]
    pub crc: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct BackupObject {
    /// Its name in the backup, which is that in the warehouse.
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
    #[prost(fixed32, tag = "3")]
    pub crc: u32,
    #[prost(message, repeated, tag = "4")]
    pub parts: Vec<BackupPart>,
}

#[derive(Clone, PartialEq, Message)]
pub struct BackupTable {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(uint64, tag = "2")]
    pub changed: u64,
    #[prost(uint64, tag = "3")]
    pub rows: u64,
    #[prost(fixed32, tag = "4")]
    pub checksum: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Backup {
    #[prost(bytes = "vec", tag = "1")]
    pub uuid: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub version: u64,
    #[prost(sint64, tag = "3")]
    pub time_us: i64,
    /// As a checkpoint's root.
    #[prost(bytes = "vec", tag = "4")]
    pub root: Vec<u8>,
    #[prost(message, repeated, tag = "5")]
    pub tables: Vec<BackupTable>,
    #[prost(message, repeated, tag = "6")]
    pub objects: Vec<BackupObject>,
    #[prost(fixed32, tag = "7")]
    pub checksum: u32,
}
