//! The statements that Blueshift executes itself.
//!
//! Positions are those of the whole text that was parsed, line and column counted from 1.

use std::fmt;
use std::ops::{ControlFlow, RangeInclusive};

use sqlparser::ast::{Expr, Query, SetExpr, Spanned, Values, Visit, Visitor};

use crate::common::error::Position;
use crate::common::{EncodingName, SortStyle, SqlType};

use super::cursor::at;

/// One parsed statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    CreateTable(Box<CreateTable>),
    CloneTable(Box<CloneTable>),
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
    /// `BACKUP TO 'location'`
    Backup(String),
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

/// `RESTORE FROM 'location' [AS OF version]`
#[derive(Debug, Clone, PartialEq)]
pub struct Restore {
    pub location: String,
    /// The version or the time; of the newest backup without it.
    pub at: Option<Expr>,
}

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

/// `CREATE TABLE`, in one of three forms: with `columns`, with `like` and perhaps `columns` beside it, or with `as_query`.
///
/// Guarantees:
/// 1. `columns` (not empty), `like` or `as_query` is given; `column_names` only with `as_query`;
/// 2. `dist` and `sort` hold what was said at the table or at a column; at most one column has `distkey`, one `sortkey`;
/// 3. where column names are known, those in `dist`, `sort` and `constraints` exist, none twice, and no
///    [`KeyColumn::Position`] is left.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// Said so, or by a name that begins with `#`.
    pub temporary: bool,
    pub if_not_exists: bool,
    pub name: ObjectName,
    pub columns: Vec<ColumnSpec>,
    /// Constraints of the table and, after them, of its columns. None is verified here.
    pub constraints: Vec<Constraint>,
    pub like: Option<Like>,
    /// `None` where nothing was said.
    pub dist: Option<DistClause>,
    pub sort: Option<SortClause>,
    /// `ENCODE AUTO` was said.
    pub encode_auto: bool,
    /// `BACKUP YES` or `NO`.
    pub backup: Option<bool>,
    /// Names that were longer than [`Ident::MAX_BYTES`], as they were cut.
    pub cut_names: Vec<Ident>,
    /// Names for the columns of `as_query`, else empty.
    pub column_names: Vec<Ident>,
    pub as_query: Option<Box<Query>>,
}

impl CreateTable {
    /// A table of which nothing is said but its constraints.
    pub fn constrained(name: ObjectName, constraints: Vec<Constraint>) -> Self {
        CreateTable {
            temporary: false,
            if_not_exists: false,
            name,
            columns: Vec::new(),
            constraints,
            like: None,
            dist: None,
            sort: None,
            encode_auto: false,
            backup: None,
            cut_names: Vec::new(),
            column_names: Vec::new(),
            as_query: None,
        }
    }
}

/// `CREATE [TEMP] TABLE [IF NOT EXISTS] name CLONE source [FOR SYSTEM_TIME AS OF version]`
#[derive(Debug, Clone, PartialEq)]
pub struct CloneTable {
    pub temporary: bool,
    pub if_not_exists: bool,
    pub name: ObjectName,
    pub source: ObjectName,
    /// The version of the source, or the time; the present one without it.
    pub at: Option<Expr>,
}

/// One column of a [`CreateTable`].
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnSpec {
    pub name: Ident,
    pub sql_type: SqlType,
    /// `Some(true)`: NOT NULL, also where the column is of the primary key; `Some(false)`: NULL.
    pub not_null: Option<bool>,
    pub default: Option<Expr>,
    pub identity: Option<IdentityClause>,
    pub encode: Option<EncodingName>,
    /// DISTKEY stood at the column.
    pub distkey: bool,
    /// SORTKEY stood at the column.
    pub sortkey: bool,
}

/// `IDENTITY (seed, step)`, with `by_default` after GENERATED BY DEFAULT AS. The step is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityClause {
    pub seed: i64,
    pub step: i64,
    pub by_default: bool,
}

/// A PRIMARY KEY, UNIQUE or FOREIGN KEY.
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    pub name: Option<Ident>,
    pub kind: ConstraintKind,
    pub state: ConstraintState,
    pub position: Position,
}

/// How far a [`Constraint`] is to be believed: `NORELY`, which is the default, `RELY` or `VERIFIED` behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConstraintState {
    #[default]
    NoRely,
    Rely,
    Verified,
}

/// `ALTER TABLE table {VERIFY CONSTRAINT name | ALTER CONSTRAINT name {RELY | NORELY}}`
#[derive(Debug, Clone, PartialEq)]
pub struct AlterConstraint {
    pub table: ObjectName,
    pub name: Ident,
    /// `Verified` is VERIFY.
    pub state: ConstraintState,
}

/// `ALTER TABLE table change`
#[derive(Debug, Clone, PartialEq)]
pub struct AlterTable {
    pub table: ObjectName,
    pub change: TableChange,
}

/// What ALTER TABLE changes.
#[derive(Debug, Clone, PartialEq)]
pub enum TableChange {
    /// `RENAME TO name`
    Rename(Ident),
    /// `RENAME [COLUMN] name TO name`
    RenameColumn { from: Ident, to: Ident },
    /// `ADD [COLUMN] name type [DEFAULT value] [ENCODE encoding] [NOT NULL | NULL]`
    AddColumn(Box<ColumnSpec>),
    /// `DROP [COLUMN] name [RESTRICT | CASCADE]`
    DropColumn { name: Ident, cascade: bool },
    /// `ALTER [COLUMN] name TYPE type`
    Type { name: Ident, sql_type: SqlType },
    /// `ALTER [COLUMN] name ENCODE encoding, …`
    Encode(Vec<(Ident, EncodingName)>),
    /// `ALTER ENCODE AUTO`
    EncodeAuto,
    /// `ALTER {DISTSTYLE … | DISTKEY column | [COMPOUND | INTERLEAVED] SORTKEY (column, …) | SORTKEY {AUTO | NONE}}, …`; at least
    /// one of the two.
    Layout { dist: Option<DistClause>, sort: Option<SortClause> },
    /// `ADD [CONSTRAINT name] {PRIMARY KEY | UNIQUE | FOREIGN KEY} (column, …) …`
    AddConstraint(Constraint),
    /// `DROP CONSTRAINT name [RESTRICT | CASCADE]`
    DropConstraint { name: Ident, cascade: bool },
    /// `OWNER TO user`
    Owner(Ident),
    /// `APPEND FROM table [IGNOREEXTRA | FILLTARGET]`
    Append { source: ObjectName, extra: Option<Extra> },
    /// `SWAP WITH table`
    Swap(ObjectName),
}

/// What becomes of columns that only one of the two tables of an APPEND has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// Those of the source go with its rows.
    Ignore,
    /// Those of the target get their defaults.
    Fill,
}

/// `ALTER TABLE table {RETAIN n DAYS ON column | RETAIN NONE}`
#[derive(Debug, Clone, PartialEq)]
pub struct AlterRetention {
    pub table: ObjectName,
    pub retain: Option<(u32, Ident)>,
}

/// What a [`Constraint`] says.
#[derive(Debug, Clone, PartialEq)]
pub enum ConstraintKind {
    PrimaryKey(Vec<Ident>),
    Unique(Vec<Ident>),
    /// `referenced` is empty where the parent's primary key is meant.
    ForeignKey {
        columns: Vec<Ident>,
        table: ObjectName,
        referenced: Vec<Ident>,
    },
}

/// `LIKE parent [{INCLUDING | EXCLUDING} DEFAULTS]`
#[derive(Debug, Clone, PartialEq)]
pub struct Like {
    pub parent: ObjectName,
    pub including_defaults: bool,
    /// How many of the statement's own columns stand before it.
    pub at: usize,
}

/// A table's distribution, by name of the column.
#[derive(Debug, Clone, PartialEq)]
pub enum DistClause {
    Auto,
    Even,
    All,
    Key(KeyColumn),
}

/// A table's sort key, by names of the columns.
#[derive(Debug, Clone, PartialEq)]
pub enum SortClause {
    Auto,
    /// `SORTKEY NONE`, which Redshift has in ALTER TABLE only: no order, and none that AUTO chooses.
    None,
    Columns {
        style: SortStyle,
        columns: Vec<KeyColumn>,
    },
}

/// A column of a key: in CREATE TABLE AS without column names it may be counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyColumn {
    Name(Ident),
    Position { ordinal: u32, position: Position },
}

impl KeyColumn {
    pub fn position(&self) -> Position {
        match self {
            KeyColumn::Name(name) => name.position,
            KeyColumn::Position { position, .. } => *position,
        }
    }
}

/// `DROP TABLE [IF EXISTS] name, … [CASCADE | RESTRICT]`
#[derive(Debug, Clone, PartialEq)]
pub struct DropTable {
    pub if_exists: bool,
    pub names: Vec<ObjectName>,
    /// RESTRICT is the default.
    pub cascade: bool,
}

/// `CREATE [OR REPLACE] [TEMP] VIEW name [(columns)] AS query [WITH NO SCHEMA BINDING]`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    pub or_replace: bool,
    /// Lasts as long as the session.
    pub temporary: bool,
    pub name: ObjectName,
    /// Empty where none are named; none twice.
    pub columns: Vec<Ident>,
    pub query: Box<Query>,
    /// WITH NO SCHEMA BINDING
    pub late_binding: bool,
}

/// `DROP VIEW [IF EXISTS] name, … [CASCADE | RESTRICT]`
#[derive(Debug, Clone, PartialEq)]
pub struct DropView {
    pub if_exists: bool,
    pub names: Vec<ObjectName>,
    /// RESTRICT is the default.
    pub cascade: bool,
}

/// `COMMENT ON object IS text`; `None` takes the comment away.
#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    pub object: CommentObject,
    pub text: Option<String>,
}

/// What a [`Comment`] is about.
#[derive(Debug, Clone, PartialEq)]
pub enum CommentObject {
    Table(ObjectName),
    View(ObjectName),
    /// Of a table or view.
    Column(ObjectName, Ident),
    Schema(ObjectName),
    Database(Ident),
    /// A table's.
    Constraint(Ident, ObjectName),
}

/// `ATTACH [DATABASE] 'location' AS name [(READ ONLY)]`
#[derive(Debug, Clone, PartialEq)]
pub struct Attach {
    pub location: String,
    pub location_position: Position,
    pub name: Ident,
    pub read_only: bool,
}

/// `DETACH [DATABASE] name`
#[derive(Debug, Clone, PartialEq)]
pub struct Detach {
    pub name: Ident,
}

/// `CREATE SCHEMA [IF NOT EXISTS] name [AUTHORIZATION user]`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateSchema {
    pub if_not_exists: bool,
    pub name: ObjectName,
    pub authorization: Option<Ident>,
}

/// `DROP SCHEMA [IF EXISTS] name, … [CASCADE | RESTRICT]`
#[derive(Debug, Clone, PartialEq)]
pub struct DropSchema {
    pub if_exists: bool,
    pub names: Vec<ObjectName>,
    /// RESTRICT is the default.
    pub cascade: bool,
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
    let body = SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows });
    Box::new(Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    })
}

/// `COPY table [(columns)] FROM 'where' options`
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    pub table: ObjectName,
    /// Empty where none are named; none twice.
    pub columns: Vec<Ident>,
    pub from: String,
    pub from_position: Position,
    pub options: CopyOptions,
}

/// The options of a [`Copy`](struct@Copy), with Redshift's defaults where nothing was said.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyOptions {
    pub format: CopyFormat,
    /// Lines to leave out at the start of every file.
    pub ignore_header: u64,
    /// IGNOREBLANKLINES: an empty line is no row.
    pub ignore_blank_lines: bool,
    /// The field that means NULL in text formats.
    pub null_as: String,
    /// EMPTYASNULL: an empty text field is NULL.
    pub empty_as_null: bool,
    /// BLANKSASNULL: a text field of nothing but blanks is NULL.
    pub blanks_as_null: bool,
    /// EXPLICIT_IDS, where it stands: files bring the values of the identity column.
    pub explicit_ids: Option<Position>,
    pub credentials: Credentials,
    pub region: Option<String>,
}

/// The form of the files of a [`Copy`](struct@Copy). Delimiter and quote are ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    Parquet,
    Csv {
        delimiter: u8,
        quote: u8,
    },
    /// Lines of fields without quoting.
    Delimited {
        delimiter: u8,
    },
}

/// Who reads the files of a [`Copy`](struct@Copy). Secrets do not show in `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    pub iam_role: Option<IamRole>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    pub session_token: Option<String>,
}

/// `IAM_ROLE {default | 'arn'}`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IamRole {
    Default,
    Arn(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "…");
        f.debug_struct("Credentials")
            .field("iam_role", &self.iam_role)
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &hidden(&self.secret_access_key))
            .field("session_token", &hidden(&self.session_token))
            .finish()
    }
}
