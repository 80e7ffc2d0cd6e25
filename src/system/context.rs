//! What system tables read: warehouses at the statement's version, and what the session sees in all databases.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::catalog::Session;
use datafusion::common::Result as DfResult;
use futures::future::BoxFuture;

use super::log::{QueryRecord, VacuumProgress};
use super::transfers::TransferState;
use crate::catalog::{PinnedSnapshot, TableState};
use crate::common::sql_type::TYPE_METADATA;
use crate::common::{SchemaId, SqlType, TableId};
use crate::storage::segment::SegmentStore;

/// A warehouse whose tables are shown: the session's, or its private one of temporary tables.
#[derive(Debug, Clone)]
pub struct Home {
    pub snapshot: PinnedSnapshot,
    pub segments: SegmentStore,
    /// Of the session's temporary tables.
    pub temporary: bool,
}

impl Home {
    /// What is added to the numbers of temporary tables and schemas: both warehouses count from 1.
    const TEMPORARY: i32 = 1 << 30;

    /// A table's or view's number as SQL sees it: `table_id`, `tbl`, `oid`.
    pub fn oid(&self, id: TableId) -> i32 {
        self.number(id.0)
    }

    /// A schema's.
    pub fn schema_oid(&self, id: SchemaId) -> i32 {
        self.number(id.0)
    }

    fn number(&self, id: u32) -> i32 {
        id as i32 | if self.temporary { Self::TEMPORARY } else { 0 }
    }

    /// Of an object's number: whether it is a temporary one, and the number without that.
    pub fn of_oid(oid: i32) -> Option<(bool, TableId)> {
        let temporary = oid & Self::TEMPORARY != 0;
        Some((temporary, TableId(u32::try_from(oid & !Self::TEMPORARY).ok()?)))
    }
}

/// How much of the databases a system table shows: what it does not is not looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// Nothing but the homes.
    Homes,
    /// The statements that were run.
    Log,
    /// Which schemas, tables and views there are.
    Relations,
    /// Their columns, too, for which views are planned.
    Columns,
}

/// What system tables read: the warehouse at the statement's version.
#[derive(Debug, Clone)]
pub struct SystemContext {
    pub own: Home,
    /// The session's temporary tables, if it has any.
    pub temporary: Option<Home>,
    /// The session's own database by name.
    pub database: String,
    /// The schemas that an unqualified name is looked up in: `pg_table_def` shows no others.
    pub search_path: Vec<String>,
    /// What there is in all databases, in the order of database, schema and name; empty unless it was asked for.
    pub databases: Vec<Database>,
    /// The statements that were run, the earliest first; empty unless it was asked for.
    pub log: Vec<Arc<QueryRecord>>,
    /// The vacuums that go on in this process; as above.
    pub vacuums: Vec<VacuumProgress>,
    /// The loads that go on in this process; as above.
    pub transfers: Vec<TransferState>,
    pub now_us: i64,
    /// The only table that the statement asks about, where its filters say so.
    pub only: Option<i32>,
}

impl SystemContext {
    /// The session's warehouse, then that of its temporary tables.
    pub fn homes(&self) -> impl Iterator<Item = &Home> + Clone {
        std::iter::once(&self.own).chain(&self.temporary)
    }

    /// The tables that the statement asks about, in the order of their ids.
    pub(super) fn tables(&self) -> impl Iterator<Item = (&Home, &Arc<TableState>)> {
        let only = self.only;
        let all = self.homes().flat_map(|home| home.snapshot.tables.values().map(move |table| (home, table)));
        all.filter(move |(home, table)| only.is_none_or(|only| home.oid(table.def.id) == only))
    }

    /// All relations, each with its database and schema.
    pub(super) fn relations(&self) -> impl Iterator<Item = (&Database, &Listed, &Relation)> {
        let schemas = self.databases.iter().flat_map(|database| database.schemas.iter().map(move |s| (database, s)));
        schemas.flat_map(|(database, schema)| schema.relations.iter().map(move |r| (database, schema, r)))
    }

    /// The name of an object's owner.
    pub(super) fn user(&self, id: i32) -> String {
        let users = self.own.snapshot.users.iter();
        users.filter(|(user, _)| user.0 as i32 == id).map(|(_, name)| name.clone()).next().unwrap_or_default()
    }
}

/// A database as the session sees it: its own, one attached, or a catalog that the application registered.
#[derive(Debug, Clone)]
pub struct Database {
    pub name: String,
    /// Whether it is a warehouse.
    pub local: bool,
    pub owner: Option<i32>,
    pub schemas: Vec<Listed>,
}

/// A schema with what is in it.
#[derive(Debug, Clone)]
pub struct Listed {
    pub name: String,
    pub owner: Option<i32>,
    pub relations: Vec<Relation>,
}

/// What a name in a schema stands for.
#[derive(Debug, Clone)]
pub struct Relation {
    pub name: String,
    pub kind: RelationKind,
    /// Its number, in the session's own database; none of system tables, and of tables that no warehouse holds.
    pub oid: Option<i32>,
    /// The query of a view, as far as there is a text of it.
    pub query: Option<String>,
    /// The statement that makes it again, likewise.
    pub definition: Option<String>,
    pub remarks: Option<String>,
    /// Empty unless they were asked for, and of a view whose names lead nowhere now.
    pub columns: Vec<RelationColumn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    Table,
    Temporary,
    View,
    /// A table of files or of the application's.
    External,
    /// Of pg_catalog and information_schema.
    System,
}

/// A column, from outside.
#[derive(Debug, Clone)]
pub struct RelationColumn {
    pub name: String,
    /// `None` for what SQL has no type for.
    pub sql_type: Option<SqlType>,
    /// The type as it is written, of whatever kind.
    pub type_name: String,
    /// Bytes of text or bytes at most, where the column says so.
    pub length: Option<u32>,
    pub nullable: bool,
    pub default: Option<String>,
    pub remarks: Option<String>,
}

impl RelationColumn {
    /// A column that a table of any kind has.
    pub fn of_field(field: &Field) -> Self {
        let sql_type = SqlType::from_field(field);
        let told = field.metadata().contains_key(TYPE_METADATA);
        RelationColumn {
            name: field.name().clone(),
            sql_type,
            type_name: match sql_type {
                Some(t) if t.max_bytes().is_some() && !told => type_word(t),
                Some(t) => t.to_string(),
                None => field.data_type().to_string(),
            },
            length: sql_type.filter(|_| told).and_then(SqlType::max_bytes),
            nullable: field.is_nullable(),
            default: None,
            remarks: None,
        }
    }

    /// The type's name without its length, precision and scale, as `information_schema` has it.
    pub(super) fn data_type(&self) -> String {
        self.sql_type.map_or_else(|| self.type_name.clone(), type_word)
    }

    /// Precision, its radix, and scale of a number.
    pub(super) fn precision(&self) -> Option<(i32, i32, Option<i32>)> {
        Some(match self.sql_type? {
            SqlType::SmallInt => (16, 2, Some(0)),
            SqlType::Integer => (32, 2, Some(0)),
            SqlType::BigInt => (64, 2, Some(0)),
            SqlType::Real => (24, 2, None),
            SqlType::Double => (53, 2, None),
            SqlType::Decimal { precision, scale } => (i32::from(precision), 10, Some(i32::from(scale))),
            _ => return None,
        })
    }

    /// Digits of a second's fraction.
    pub(super) fn fraction(&self) -> Option<i32> {
        matches!(self.sql_type?, SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz).then_some(6)
    }
}

fn type_word(sql_type: SqlType) -> String {
    let written = sql_type.to_string();
    written.split_once('(').map_or(written.as_str(), |(word, _)| word).to_string()
}

/// Gives what the system tables show.
pub trait SystemSource: fmt::Debug + Send + Sync {
    /// The warehouse at the version that `session` reads, and what `needs` asks for beside it.
    fn read<'a>(&'a self, session: &'a dyn Session, needs: Needs) -> BoxFuture<'a, DfResult<SystemContext>>;
}
