//! The statements that Blueshift executes itself.
//!
//! Positions are those of the whole text that was parsed, line and column counted from 1.

mod changes;
mod copy;
mod tables;
mod unload;

use std::fmt;
use std::ops::RangeInclusive;

use sqlparser::ast::Query;

use crate::common::error::Position;

pub use changes::*;
pub use copy::*;
pub use tables::*;
pub use unload::*;

/// One parsed statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    CreateTable(Box<CreateTable>),
    CloneTable(Box<CloneTable>),
    CreateFrom(Box<CreateFrom>),
    AlterConstraint(AlterConstraint),
    AlterTable(Box<AlterTable>),
    /// `ALTER WAREHOUSE SET SLICES n`
    SetSlices {
        slices: u64,
        position: Position,
    },
    AlterRetention(AlterRetention),
    DropTable(DropTable),
    CreateView(Box<CreateView>),
    DropView(DropView),
    CreateSchema(CreateSchema),
    DropSchema(DropSchema),
    Insert(Insert),
    Delete(Delete),
    Update(Update),
    Merge(Box<Merge>),
    /// `TRUNCATE [TABLE] name`
    Truncate(ObjectName),
    Vacuum(Vacuum),
    Begin(Begin),
    Commit,
    Rollback,
    /// `LOCK [TABLE] name, …`
    Lock(Vec<ObjectName>),
    Copy(Box<Copy>),
    Unload(Box<Unload>),
    Backup(Backup),
    Restore(Box<Restore>),
    Comment(Comment),
    Attach(Attach),
    Detach(Detach),
    /// `SET search_path TO schema, …`; `None` is RESET.
    SetSearchPath(Option<Vec<Ident>>),
    Show(Show),
    /// `SHOW parameter`, of one of Redshift's that is a setting of ours under another name.
    ShowParameter(&'static str),
    Analyze(Analyze),
    AnalyzeCompression(AnalyzeCompression),
    /// `SHOW TABLE name`: the table's DDL.
    ShowTable {
        name: ObjectName,
    },
    /// `DESCRIBE name`: the columns of a table or view.
    Describe {
        name: ObjectName,
    },
    /// `SUMMARIZE {name | query}`: what the columns hold, a row for each.
    Summarize(Relation),
    Explain(Box<Explain>),
    Prepare(Box<Prepare>),
    /// Reads only: SELECT, WITH, VALUES, EXPLAIN of these, SHOW FUNCTIONS, SET, PREPARE, EXECUTE, DEALLOCATE. It is
    /// given to DataFusion as it is.
    Query(Box<sqlparser::ast::Statement>),
    /// What only DataFusion's own statement parser reads: CREATE EXTERNAL TABLE, COPY … TO, RESET,
    /// EXPLAIN with options. `position` is where `sql` begins.
    DataFusion {
        sql: String,
        position: Position,
    },
}

/// `EXPLAIN [ANALYZE] [VERBOSE]` of a statement that changes rows or makes a table of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    pub analyze: bool,
    pub verbose: bool,
    pub statement: Statement,
}

/// `PREPARE name [(type, …)] AS` a statement that changes rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepare {
    pub name: Ident,
    /// How many have a type; the statement's are cast to it.
    pub parameters: usize,
    pub statement: Statement,
}

/// SHOW of anything but a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Show {
    All,
    Setting(ShowSetting),
    /// The statement that makes the view again.
    View(ObjectName),
    Databases(ShowFilter),
    Schemas {
        database: Option<Ident>,
        filter: ShowFilter,
    },
    /// Of a schema; of the search path's without one.
    Tables {
        schema: Option<ObjectName>,
        filter: ShowFilter,
    },
    Columns {
        table: ObjectName,
        filter: ShowFilter,
    },
    /// `SHOW HISTORY [OF] table [LIMIT rows]`: the versions that have changed it.
    History {
        table: ObjectName,
        limit: Option<u64>,
    },
    /// `SHOW BACKUPS FROM 'location'`
    Backups(String),
}

/// `SHOW name [VERBOSE]`; a name of several parts is one here.
#[derive(Debug, Clone, PartialEq)]
pub struct ShowSetting {
    pub name: Ident,
    pub verbose: bool,
}

/// `[LIKE 'pattern'] [LIMIT rows]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShowFilter {
    pub like: Option<String>,
    pub limit: Option<u64>,
}

/// Rows, by name or by query.
#[derive(Debug, Clone, PartialEq)]
pub enum Relation {
    Name(ObjectName),
    Query(Box<Query>),
}

/// A name. Unquoted ones are in lower case, all are at most [`Ident::MAX_BYTES`] long.
#[derive(Debug, Clone)]
pub struct Ident {
    pub value: String,
    pub quoted: bool,
    pub position: Position,
}

impl Ident {
    /// Longer names are cut, as Redshift does.
    pub const MAX_BYTES: usize = 127;
}

/// Names are equal when they name the same thing, wherever they stand.
impl PartialEq for Ident {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// `[[database.]schema.]name`: one to three parts.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectName {
    pub parts: Vec<Ident>,
}

impl ObjectName {
    /// The last part.
    pub fn base(&self) -> &Ident {
        &self.parts[self.parts.len() - 1]
    }

    /// The part before the last.
    pub fn schema(&self) -> Option<&Ident> {
        self.parts.len().checked_sub(2).map(|i| &self.parts[i])
    }

    /// The first of three parts.
    pub fn database(&self) -> Option<&Ident> {
        self.parts.len().checked_sub(3).map(|i| &self.parts[i])
    }

    pub fn position(&self) -> Position {
        self.parts[0].position
    }

    /// Without quotes, for messages that set names between quotes of their own.
    pub fn unquoted(&self) -> String {
        self.parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".")
    }
}

/// Quoted where SQL needs it.
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.parts.iter().enumerate() {
            let dot = if i == 0 { "" } else { "." };
            write!(f, "{dot}{}", super::unparse::quote_ident(&part.value))?;
        }
        Ok(())
    }
}

/// `ANALYZE [VERBOSE] [table [(column, …)]] [PREDICATE COLUMNS | ALL COLUMNS]`
///
/// Guarantee: `columns` are given only with a table, and not with PREDICATE COLUMNS; no column twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Analyze {
    pub verbose: bool,
    /// Every table of the database where none is named.
    pub table: Option<ObjectName>,
    /// Empty for all, or for predicate columns.
    pub columns: Vec<Ident>,
    /// Only the columns that queries were noticed to filter, join or group by, and the keys.
    pub predicate_columns: bool,
}

/// `ANALYZE COMPRESSION [table [(column, …)]] [COMPROWS rows] [FOR {SPACE | SPEED}]`
///
/// Guarantee: `columns` and `rows` are given only with a table; no column twice.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyzeCompression {
    /// Every table of the search path where none is named.
    pub table: Option<ObjectName>,
    /// Empty for all.
    pub columns: Vec<Ident>,
    /// Within [`AnalyzeCompression::COMPROWS`].
    pub rows: Option<u64>,
    pub objective: Objective,
}

impl AnalyzeCompression {
    /// How many rows a statement may ask to sample (Redshift manual, "ANALYZE COMPRESSION").
    pub const COMPROWS: RangeInclusive<u64> = 1_000..=1_000_000_000;
}

/// What ANALYZE COMPRESSION looks for; our own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// The fewest bytes: Redshift's, and the default.
    Space,
    /// What AUTO weighs: bytes against the time to read them.
    Speed,
}
