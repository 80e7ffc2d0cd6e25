//! Views and comments as the catalog knows them.

use std::collections::BTreeSet;

use crate::common::{ColumnId, Error, Result, SchemaId, SqlState, TableId, UserId};

/// A stored view.
///
/// Invariants:
/// 1. it has a column, and column names are distinct;
/// 2. only a bound view has dependencies; each relation has distinct column names, and none is the view itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewDef {
    /// From the numbers of tables: a relation has one number.
    pub id: TableId,
    pub schema: SchemaId,
    pub name: String,
    pub owner: UserId,
    /// The names of its columns, in order. Of a late-binding view: those that were given, else none.
    pub columns: Vec<String>,
    /// The query. Of a bound view every relation is written as `schema.name`, as it was called when the view was made.
    pub sql: String,
    pub binding: Binding,
    /// Counts replacements.
    pub definition_version: u32,
    pub created_us: i64,
}

/// When a view's names are looked up.
#[derive(Debug, Clone, PartialEq)]
pub enum Binding {
    /// When it was made: these are what they mean.
    Bound(Vec<Dependency>),
    /// Each time it is read (WITH NO SCHEMA BINDING).
    Late,
}

/// A table or view that a bound view reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Dependency {
    pub relation: TableId,
    /// As the view's text calls it.
    pub schema: String,
    pub name: String,
    /// A table's columns as they were when the view was made; none of a view, whose columns never change.
    pub columns: Vec<DependencyColumn>,
}

/// A column that a view could see when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyColumn {
    pub id: ColumnId,
    /// As the view's text calls it.
    pub name: String,
    /// Whether the text may mention it: then it cannot be dropped without the view.
    pub read: bool,
}

impl ViewDef {
    /// Views over views over tables, at most: our own choice.
    pub const MAX_DEPTH: usize = 32;

    /// What a bound view reads; nothing of a late-binding one.
    pub fn dependencies(&self) -> &[Dependency] {
        match &self.binding {
            Binding::Bound(dependencies) => dependencies,
            Binding::Late => &[],
        }
    }

    /// Whether it is bound to the relation of that number.
    pub fn reads(&self, relation: TableId) -> bool {
        self.dependencies().iter().any(|d| d.relation == relation)
    }

    /// Invalid, with the invariant's number, when one does not hold.
    pub fn check_invariants(&self) -> Result<()> {
        let broken = |number: u32, what: &str| {
            Err(Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("view \"{}\" (invariant {number}): {what}", self.name),
            ))
        };
        let names: BTreeSet<&String> = self.columns.iter().collect();
        if names.len() != self.columns.len() || (self.columns.is_empty() && self.binding != Binding::Late) {
            return broken(1, "it has no column, or two of one name");
        }
        for dependency in self.dependencies() {
            let names: BTreeSet<&String> = dependency.columns.iter().map(|c| &c.name).collect();
            if names.len() != dependency.columns.len() || dependency.relation == self.id {
                return broken(2, "it reads itself, or a relation with two columns of one name");
            }
        }
        Ok(())
    }
}

/// What a comment is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommentOn {
    Database,
    Schema(SchemaId),
    /// A table or view.
    Relation(TableId),
    /// A table's column by its number; a view's by its place, from 1.
    Column(TableId, ColumnId),
}
