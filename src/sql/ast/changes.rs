//! Statements that change rows, and how transactions begin.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, SetExpr, Spanned, Values, Visit, Visitor};

use crate::common::error::Position;

use super::{Ident, ObjectName};
use crate::sql::cursor::at;
use crate::sql::rewrite::plain_query;

/// `VACUUM …`
#[derive(Debug, Clone, PartialEq)]
pub struct Vacuum {
    pub mode: VacuumMode,
    /// All tables without one.
    pub table: Option<ObjectName>,
    /// `TO n PERCENT`
    pub percent: Option<u8>,
    pub boost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VacuumMode {
    Full,
    SortOnly,
    DeleteOnly,
    Reindex,
    Recluster,
}

/// How a transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Begin {
    /// ISOLATION LEVEL SERIALIZABLE; what the session has otherwise.
    pub serializable: bool,
    pub read_only: bool,
}

/// `INSERT INTO table [(columns)] source`
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    pub table: ObjectName,
    /// Empty where none are named; none twice.
    pub columns: Vec<Ident>,
    pub source: InsertSource,
}

/// `DELETE [FROM] table [[AS] alias] [USING tables] [WHERE condition]`
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    pub table: ObjectName,
    pub alias: Option<Ident>,
    /// The rows that go, as a query from [`Delete::TARGET`] under the table's alias or its own name; `None` for all.
    pub rows: Option<Box<Query>>,
}

impl Delete {
    /// Stands for the table where rows are looked for.
    pub const TARGET: &str = "the target";
}

/// `UPDATE table [[AS] alias] SET column = value, … [FROM tables] [WHERE condition]`
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub table: ObjectName,
    pub alias: Option<Ident>,
    /// None twice.
    pub assignments: Vec<(Ident, InsertValue)>,
    /// As [`Delete::rows`].
    pub rows: Box<Query>,
}

/// `MERGE INTO table [[AS] alias] USING source ON condition {WHEN … | REMOVE DUPLICATES}`
#[derive(Debug, Clone, PartialEq)]
pub struct Merge {
    pub table: ObjectName,
    pub alias: Option<Ident>,
    /// The source, where it is a table or view by name.
    pub source: Option<ObjectName>,
    /// What its columns are named with; nothing of a subquery without alias.
    pub called: Option<Ident>,
    pub source_position: Position,
    /// A query from the source, left joined to [`Delete::TARGET`] under the table's alias or its own name.
    pub rows: Box<Query>,
    pub action: MergeAction,
}

/// What a [`Merge`] does.
#[derive(Debug, Clone, PartialEq)]
pub enum MergeAction {
    /// At least one of the two.
    When { matched: Option<Matched>, not_matched: Option<MergeInsert> },
    /// Rows of the table that the source matches make room for all of the source's, each once.
    RemoveDuplicates,
}

/// `WHEN MATCHED THEN {UPDATE SET column = value, … | DELETE}`
#[derive(Debug, Clone, PartialEq)]
pub enum Matched {
    /// None twice.
    Update(Vec<(Ident, InsertValue)>),
    Delete,
}

/// `WHEN NOT MATCHED THEN INSERT [(columns)] VALUES (value, …)`
#[derive(Debug, Clone, PartialEq)]
pub struct MergeInsert {
    /// Empty where none are named; none twice.
    pub columns: Vec<Ident>,
    /// As many as columns that are named; none for DEFAULT VALUES.
    pub values: Vec<InsertValue>,
    pub position: Position,
}

/// The rows that an [`Insert`] adds.
#[derive(Debug, Clone, PartialEq)]
pub enum InsertSource {
    DefaultValues,
    /// At least one row, all equally long.
    Values(Vec<Vec<InsertValue>>),
    Query(Box<Query>),
}

/// One field of a VALUES row of an [`Insert`].
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "nearly all are expressions: a box would only cost")]
pub enum InsertValue {
    Default(Position),
    Expr(Expr),
}

impl InsertValue {
    /// Where it stands, as far as the parser tells.
    pub fn position(&self) -> Option<Position> {
        match self {
            InsertValue::Default(position) => Some(*position),
            InsertValue::Expr(expr) => {
                let start = expr.span().start;
                (start.line > 0).then(|| at(start))
            }
        }
    }
}

impl InsertSource {
    /// Whether the rows depend on what any table holds, as far as the text tells.
    pub fn reads_tables(&self) -> bool {
        struct Queries;
        impl Visitor for Queries {
            type Break = ();
            fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
                ControlFlow::Break(())
            }
        }
        let has_query = |value: &InsertValue| match value {
            InsertValue::Default(_) => false,
            InsertValue::Expr(expr) => expr.visit(&mut Queries).is_break(),
        };
        match self {
            InsertSource::DefaultValues => false,
            InsertSource::Values(rows) => rows.iter().flatten().any(has_query),
            InsertSource::Query(_) => true,
        }
    }

    /// The source as a query; `default` gives what the DEFAULT keyword stands for in the field counted from 0.
    /// `None` for [`InsertSource::DefaultValues`].
    pub fn into_query(self, mut default: impl FnMut(usize) -> Expr) -> Option<Box<Query>> {
        let rows = match self {
            InsertSource::DefaultValues => return None,
            InsertSource::Query(query) => return Some(query),
            InsertSource::Values(rows) => rows,
        };
        let mut expr = |(i, value)| match value {
            InsertValue::Default(_) => default(i),
            InsertValue::Expr(expr) => expr,
        };
        let rows = rows.into_iter().map(|row| row.into_iter().enumerate().map(&mut expr).collect()).collect();
        Some(values_query(rows))
    }
}

/// The query `VALUES row, …`.
pub fn values_query(rows: Vec<Vec<Expr>>) -> Box<Query> {
    use sqlparser::ast::Parens;
    use sqlparser::ast::helpers::attached_token::AttachedToken;

    let parens =
        |content| Parens { opening_token: AttachedToken::empty(), content, closing_token: AttachedToken::empty() };
    let rows = rows.into_iter().map(parens).collect();
    Box::new(plain_query(SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows })))
}
