//! Which statement it is, and the short ones.

use sqlparser::ast::{
    DescribeAlias, Expr, ObjectName as SqlName, Query, SelectInto, Set, SetExpr, Statement as SqlStatement, Value,
};
use sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use crate::common::error::Position;
use crate::common::{Error, Result, SqlState};

use super::ast::{
    CreateSchema, CreateTable, DropSchema, DropTable, DropView, Explain, ObjectName, Relation, Statement,
};
use super::cursor::{Cursor, START, checked_tokens, syntax_error, unsupported};
use super::{
    alter, analyze, backup, copy, create_table, delete, insert, merge, prepare, session, show, transaction, unload,
    vacuum, view,
};

/// The longest statement (Redshift manual, "CREATE TABLE", and others). Data comes by COPY.
const MAX_STATEMENT_BYTES: usize = 16 << 20;

/// All statements of a text, in order. Empty ones (`;;`) are left out.
pub fn parse(sql: &str) -> Result<Vec<Statement>> {
    parse_from(sql, START)
}

/// The one statement of a text; a semicolon may follow.
pub fn parse_one(sql: &str) -> Result<Statement> {
    one(parse(sql)?, START)
}

/// A table's name, as SQL writes it.
pub fn parse_name(name: &str) -> Result<ObjectName> {
    let mut cursor = Cursor::new(name, START)?;
    let parsed = cursor.object_name("a table name")?;
    if *cursor.token(0) != Token::EOF {
        return Err(cursor.expected("the end of the name"));
    }
    Ok(parsed)
}

/// An expression, such as a stored DEFAULT.
pub fn parse_expr(sql: &str) -> Result<Expr> {
    let mut cursor = Cursor::new(sql, START)?;
    let expr = cursor.with(|p| p.parse_expr())?;
    if *cursor.token(0) != Token::EOF {
        return Err(cursor.expected("the end of the expression"));
    }
    Ok(expr)
}

pub(super) fn one(mut statements: Vec<Statement>, position: Position) -> Result<Statement> {
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (None, _) => Err(syntax_error("there is no statement", position)),
        (Some(_), false) => Err(syntax_error("there is more than one statement", position)
            .with_hint("run the statements of a script one after the other")),
    }
}

/// With more open brackets or tokens than this, statements are read on a stack of their own: `sqlparser`'s recursion,
/// bounded by its own limit, and the walk over long chains of operators take more than the 2 MiB of an ordinary thread
/// in a debug build.
const BRACKETS_ON_ANY_STACK: usize = 8;
const TOKENS_ON_ANY_STACK: usize = 2000;
const DEEP_STACK_BYTES: usize = 16 << 20;

/// As [`parse`], for a text that begins at `origin` of a larger one.
///
/// Invalid also for a text of more than 16 MB.
pub(super) fn parse_from(sql: &str, origin: Position) -> Result<Vec<Statement>> {
    if sql.len() > MAX_STATEMENT_BYTES {
        return Err(syntax_error(format!("a statement of {} bytes is longer than 16 MB", sql.len()), origin)
            .with_state(SqlState::PROGRAM_LIMIT)
            .with_hint("load rows by COPY, or in several statements"));
    }
    let (tokens, brackets) = checked_tokens(sql, origin)?;
    statements_of(tokens, brackets, sql, origin)
}

/// The statements of a text's tokens, from [`checked_tokens`].
pub(super) fn statements_of(
    tokens: Vec<TokenWithSpan>,
    brackets: usize,
    sql: &str,
    origin: Position,
) -> Result<Vec<Statement>> {
    let shallow = brackets <= BRACKETS_ON_ANY_STACK && tokens.len() <= TOKENS_ON_ANY_STACK;
    let read = || statements(tokens, sql, origin);
    if shallow {
        return read();
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("parser".to_string()).stack_size(DEEP_STACK_BYTES);
        match thread.spawn_scoped(scope, read) {
            Ok(reading) => reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(e) => Err(Error::unavailable("no thread to parse a deeply nested statement on").with_source(e)),
        }
    })
}

/// Each statement is read alone, so that its errors are the same with others behind it.
fn statements(tokens: Vec<TokenWithSpan>, sql: &str, origin: Position) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while tokens.peek().is_some() {
        let own: Vec<_> = tokens.by_ref().take_while(|t| t.token != Token::SemiColon).collect();
        let mut cursor = Cursor::over(own, sql, origin);
        if cursor.at_end() {
            continue;
        }
        statements.push(statement(&mut cursor)?);
        if !cursor.at_end() {
            return Err(cursor.expected("the statement's end"));
        }
    }
    Ok(statements)
}

/// Statements that are known and not offered, by their first word. ALTER, GRANT and the like name their object in
/// the next one.
const REFUSED: [&str; 14] = [
    "ANALYSE",
    "CALL",
    "CANCEL",
    "CLOSE",
    "DECLARE",
    "FETCH",
    "GRANT",
    "REFRESH",
    "REINDEX",
    "REVOKE",
    "SAVEPOINT",
    "USE",
    "REPLACE",
    "UPSERT",
];

pub(super) fn statement(c: &mut Cursor) -> Result<Statement> {
    let position = c.position();
    if *c.token(0) == Token::LParen {
        return read_only(c);
    }
    let Some(first) = c.upper_word(0) else { return Err(c.expected("a statement")) };
    match first.as_str() {
        "WITH" if let Some(statement) = insert::after_with(c)? => Ok(statement),
        "SELECT" | "WITH" | "VALUES" | "FROM" | "TABLE" => read_only(c),
        "EXPLAIN" | "DESCRIBE" | "DESC" => explain(c),
        "SUMMARIZE" => summarize(c),
        "CREATE" => create(c),
        "DROP" => drop(c),
        "INSERT" => insert::insert(c),
        "DELETE" => delete::delete(c, None),
        "UPDATE" => delete::update(c, None),
        "MERGE" => merge::merge(c, None),
        "TRUNCATE" => delete::truncate(c),
        "VACUUM" => vacuum::vacuum(c),
        "BEGIN" | "START" => transaction::begin(c),
        "COMMIT" | "END" => transaction::commit(c),
        "ROLLBACK" | "ABORT" => transaction::rollback(c),
        "LOCK" => transaction::lock(c),
        "COPY" => copy::copy(c),
        "UNLOAD" => unload::unload(c),
        "BACKUP" => backup::backup(c),
        "RESTORE" => backup::restore(c),
        "ANALYZE" => analyze::analyze(c),
        "SHOW" | "SET" | "RESET" if let Some(statement) = session::parameter(c)? => Ok(statement),
        "SHOW" => show::show(c),
        "SET" if c.is("SET TIME ZONE") => set_time_zone(c),
        "ATTACH" => session::attach(c),
        "DETACH" => session::detach(c),
        "COMMENT" => session::comment(c),
        "SET" | "RESET" if let Some(statement) = session::search_path(c)? => Ok(statement),
        "SET" | "EXECUTE" | "DEALLOCATE" => Ok(Statement::Query(Box::new(c.with(|p| p.parse_statement())?))),
        "PREPARE" => prepare::prepare(c),
        "RESET" => Ok(datafusion(c)),
        "ALTER" if c.is("ALTER TABLE") => alter::alter_table(c),
        "ALTER" if c.is("ALTER WAREHOUSE") => alter::alter_warehouse(c),
        "ALTER" => {
            let object = c.upper_word(1).unwrap_or_default();
            Err(unsupported(format!("ALTER {object}").trim_end(), position))
        }
        refused if REFUSED.contains(&refused) => Err(unsupported(refused, position)),
        _ => Err(c.expected("a statement")),
    }
}

/// `SET TIME ZONE x` is `SET timezone TO x`; LOCAL and DEFAULT are UTC.
fn set_time_zone(c: &mut Cursor) -> Result<Statement> {
    let mut statement = c.with(|p| p.parse_statement())?;
    if let SqlStatement::Set(Set::SetTimeZone { value, .. }) = &statement {
        let value = match value {
            Expr::Identifier(word) if ["local", "default"].contains(&word.value.to_lowercase().as_str()) => {
                Expr::Value(Value::SingleQuotedString("UTC".to_string()).into())
            }
            other => other.clone(),
        };
        statement = SqlStatement::Set(Set::SingleAssignment {
            scope: None,
            hivevar: false,
            variable: sqlparser::ast::ObjectName::from(vec![sqlparser::ast::Ident::new("timezone")]),
            values: vec![value],
        });
    }
    Ok(Statement::Query(Box::new(statement)))
}

/// The rest of the statement as text for DataFusion's parser.
fn datafusion(c: &mut Cursor) -> Statement {
    let position = c.position();
    Statement::DataFusion { sql: c.rest_of_statement(position), position }
}

fn read_only(c: &mut Cursor) -> Result<Statement> {
    let position = c.position();
    let mut query = c.with(|p| p.parse_query())?;
    let into = take_into(&mut query.body);
    let query = check_query(query, position)?;
    match into {
        Some(into) => select_into(into, query, position),
        None => Ok(Statement::Query(Box::new(SqlStatement::Query(query)))),
    }
}

/// Takes INTO out of the first SELECT of a query, where it stands for CREATE TABLE AS.
fn take_into(body: &mut SetExpr) -> Option<SelectInto> {
    match body {
        SetExpr::Select(select) => select.into.take(),
        SetExpr::SetOperation { left, .. } => take_into(left),
        _ => None,
    }
}

/// `SELECT … INTO [TEMP] [TABLE] name FROM …`
fn select_into(into: SelectInto, query: Box<Query>, position: Position) -> Result<Statement> {
    if into.unlogged {
        return Err(unsupported("UNLOGGED", position));
    }
    let name = name_of(&into.name, position)?;
    let temporary = into.temporary || name.base().value.starts_with('#');
    Ok(Statement::CreateTable(Box::new(CreateTable { temporary, as_query: Some(query), ..CreateTable::named(name) })))
}

/// A name that `sqlparser` read, at `position` where it does not tell.
pub(super) fn name_of(name: &SqlName, position: Position) -> Result<ObjectName> {
    let mut parsed = parse_name(&name.to_string()).map_err(|e| e.with_position(position.line, position.column))?;
    let spans = name.0.iter().map(|part| part.as_ident().map_or(Span::empty(), |ident| ident.span));
    for (part, span) in parsed.parts.iter_mut().zip(spans) {
        let start = Position { line: span.start.line, column: span.start.column };
        part.position = if start.line > 0 { start } else { position };
    }
    Ok(parsed)
}

/// Finds an INTO in any SELECT.
struct HasInto;

impl sqlparser::ast::Visitor for HasInto {
    type Break = ();

    fn pre_visit_select(&mut self, select: &sqlparser::ast::Select) -> std::ops::ControlFlow<()> {
        if select.into.is_some() { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
    }
}

/// A query that writes nothing.
pub(super) fn query(c: &mut Cursor) -> Result<Box<Query>> {
    let position = c.position();
    let query = c.with(|p| p.parse_query())?;
    check_query(query, position)
}

pub(super) fn check_query(query: Box<Query>, position: Position) -> Result<Box<Query>> {
    if sqlparser::ast::Visit::visit(&query, &mut HasInto).is_break() {
        return Err(unsupported("SELECT … INTO here", position).with_hint("write CREATE TABLE … AS SELECT …"));
    }
    let mut body = query.body.as_ref();
    loop {
        body = match body {
            SetExpr::Insert(_) => return Err(unsupported("INSERT within a query", position)),
            SetExpr::Update(_) => return Err(unsupported("UPDATE", position)),
            SetExpr::Delete(_) => return Err(unsupported("DELETE", position)),
            SetExpr::Merge(_) => return Err(unsupported("MERGE", position)),
            SetExpr::SetOperation { left, .. } => left,
            SetExpr::Query(inner) => &inner.body,
            _ => return Ok(query),
        }
    }
}

/// Whether a query begins at the `n`th token ahead.
pub(super) fn query_at(c: &Cursor, n: usize) -> bool {
    *c.token(n) == Token::LParen || ["SELECT", "WITH", "VALUES", "FROM"].iter().any(|w| c.is_at(n, w))
}

fn explain(c: &mut Cursor) -> Result<Statement> {
    let position = c.position();
    let explains = c.is("EXPLAIN");
    let options = explains && *c.token(1) == Token::LParen && !query_at(c, 2);
    if options {
        return explain_with_options(c, position);
    }
    let describe_alias = match () {
        _ if explains => DescribeAlias::Explain,
        _ if c.is("DESC") => DescribeAlias::Desc,
        _ => DescribeAlias::Describe,
    };
    if !explains && !query_at(c, 1) {
        c.skip();
        c.take("TABLE");
        return Ok(Statement::Describe { name: c.object_name("a table name or a query")? });
    }
    let before = c.mark();
    c.skip();
    let analyze = explains && c.take("ANALYZE");
    let verbose = explains && c.take("VERBOSE");
    let format = explains && c.take("FORMAT");
    if format && c.word(0).is_some() {
        c.skip();
    }
    if explains && !format && (insert::is_change(c) || c.is("CREATE")) {
        return change_explained(c, analyze, verbose);
    }
    if !query_at(c, 0) {
        return Err(not_explained(c));
    }
    let query = query(c)?;
    if format {
        c.back_to(before);
        return Ok(datafusion(c));
    }
    Ok(Statement::Query(Box::new(SqlStatement::Explain {
        describe_alias,
        analyze,
        verbose,
        query_plan: false,
        estimate: false,
        statement: Box::new(SqlStatement::Query(query)),
        format: None,
        options: None,
    })))
}

/// A statement that changes rows, or makes a table of a query.
fn change_explained(c: &mut Cursor, analyze: bool, verbose: bool) -> Result<Statement> {
    let before = c.mark();
    let statement = match c.is("CREATE") {
        false => statement(c)?,
        true => match statement(c) {
            Ok(statement @ Statement::CreateTable(_)) if has_query(&statement) => statement,
            _ => {
                c.back_to(before);
                return Err(not_explained(c));
            }
        },
    };
    Ok(Statement::Explain(Box::new(Explain { analyze, verbose, statement })))
}

fn has_query(statement: &Statement) -> bool {
    matches!(statement, Statement::CreateTable(create) if create.as_query.is_some())
}

/// `SUMMARIZE {[TABLE] name | query}`
fn summarize(c: &mut Cursor) -> Result<Statement> {
    c.skip();
    if query_at(c, 0) {
        return Ok(Statement::Summarize(Relation::Query(query(c)?)));
    }
    c.take("TABLE");
    Ok(Statement::Summarize(Relation::Name(c.object_name("a table name or a query")?)))
}

/// `EXPLAIN (option, …) query`
fn explain_with_options(c: &mut Cursor, position: Position) -> Result<Statement> {
    let before = c.mark();
    c.skip();
    while !c.at_end() && *c.token(0) != Token::RParen {
        c.skip();
    }
    c.expect_token(&Token::RParen)?;
    if !query_at(c, 0) {
        return Err(not_explained(c));
    }
    query(c)?;
    c.back_to(before);
    Ok(Statement::DataFusion { sql: c.rest_of_statement(position), position })
}

fn not_explained(c: &Cursor) -> Error {
    const STATEMENTS: [&str; 18] = [
        "INSERT", "CREATE", "MERGE", "COPY", "DROP", "ALTER", "EXECUTE", "EXPLAIN", "SET", "SHOW", "PREPARE", "TABLE",
        "DESCRIBE", "ANALYZE", "DELETE", "UPDATE", "TRUNCATE", "UNLOAD",
    ];
    match c.upper_word(0) {
        Some(word) if STATEMENTS.contains(&word.as_str()) || REFUSED.contains(&word.as_str()) => {
            let what = if c.is("CREATE TABLE") { "CREATE TABLE" } else { word.as_str() };
            unsupported(format!("EXPLAIN of {what}"), c.position()).with_hint("explain its query alone")
        }
        _ => c.expected("a query"),
    }
}

fn create(c: &mut Cursor) -> Result<Statement> {
    let position = c.position();
    let mut n = 1;
    let or_replace = c.is_at(n, "OR REPLACE");
    if or_replace {
        n += 2;
    }
    if c.is_at(n, "UNBOUNDED") || c.is_at(n, "EXTERNAL TABLE") {
        return Ok(datafusion(c));
    }
    if c.is_at(n, "LOCAL") {
        n += 1;
    }
    let temporary = c.is_at(n, "TEMP") || c.is_at(n, "TEMPORARY");
    if temporary {
        n += 1;
    }
    match c.upper_word(n).as_deref() {
        Some("TABLE") if or_replace => Err(unsupported("CREATE OR REPLACE TABLE", position)
            .with_hint("write DROP TABLE IF EXISTS before CREATE TABLE")),
        Some("TABLE") => {
            (0..=n).for_each(|_| c.skip());
            create_table::create_table(c, temporary)
        }
        Some("VIEW") => {
            (0..=n).for_each(|_| c.skip());
            view::create_view(c, or_replace, temporary)
        }
        Some("RECURSIVE") => {
            Err(unsupported("CREATE RECURSIVE VIEW", position).with_hint("use WITH RECURSIVE in the query"))
        }
        Some("DATABASE") => Err(unsupported("CREATE DATABASE", position)
            .with_hint("open another warehouse, and ATTACH 'its location' AS a name")),
        Some("SCHEMA") if n == 1 => {
            c.take("CREATE SCHEMA");
            create_schema(c)
        }
        Some("MATERIALIZED") => Err(unsupported("CREATE MATERIALIZED VIEW", position)),
        Some("EXTERNAL") => Err(unsupported("CREATE EXTERNAL SCHEMA", position)),
        Some(
            object @ ("FUNCTION" | "PROCEDURE" | "USER" | "GROUP" | "ROLE" | "LIBRARY" | "MODEL" | "DATASHARE"
            | "INDEX" | "SEQUENCE" | "TYPE" | "TRIGGER" | "EXTENSION" | "MASKING" | "RLS"),
        ) => Err(unsupported(format!("CREATE {object}"), position)),
        _ => {
            (0..n).for_each(|_| c.skip());
            Err(c.expected("TABLE, VIEW, SCHEMA or EXTERNAL TABLE"))
        }
    }
}

fn create_schema(c: &mut Cursor) -> Result<Statement> {
    let if_not_exists = c.take("IF NOT EXISTS");
    let (name, authorization) = if c.take("AUTHORIZATION") {
        let user = c.ident("a user name")?;
        (ObjectName { parts: vec![user.clone()] }, Some(user))
    } else {
        let name = c.object_name("a schema name")?;
        let user = if c.take("AUTHORIZATION") { Some(c.ident("a user name")?) } else { None };
        (name, user)
    };
    if name.parts.len() > 2 {
        return Err(
            syntax_error("a schema's name has at most two parts", name.position()).with_hint("write database.schema")
        );
    }
    if c.is("QUOTA") {
        return Err(unsupported("QUOTA", c.position()));
    }
    Ok(Statement::CreateSchema(CreateSchema { if_not_exists, name, authorization }))
}

fn drop(c: &mut Cursor) -> Result<Statement> {
    let position = c.position();
    match c.upper_word(1).as_deref() {
        Some("VIEW") => {
            c.take("DROP VIEW");
            let (if_exists, names, cascade) = drop_list(c, "a view name")?;
            Ok(Statement::DropView(DropView { if_exists, names, cascade }))
        }
        Some("TABLE") => {
            c.take("DROP TABLE");
            let (if_exists, names, cascade) = drop_list(c, "a table name")?;
            Ok(Statement::DropTable(DropTable { if_exists, names, cascade }))
        }
        Some("SCHEMA") => {
            c.take("DROP SCHEMA");
            let (if_exists, names, cascade) = drop_list(c, "a schema name")?;
            Ok(Statement::DropSchema(DropSchema { if_exists, names, cascade }))
        }
        Some(
            object @ ("DATABASE" | "FUNCTION" | "PROCEDURE" | "USER" | "GROUP" | "ROLE" | "LIBRARY" | "MODEL"
            | "DATASHARE" | "INDEX" | "MATERIALIZED" | "EXTERNAL" | "SEQUENCE" | "TYPE"),
        ) => Err(unsupported(format!("DROP {object}"), position)),
        _ => {
            c.skip();
            Err(c.expected("TABLE, VIEW or SCHEMA"))
        }
    }
}

/// `[IF EXISTS] name, … [CASCADE | RESTRICT]`
fn drop_list(c: &mut Cursor, what: &str) -> Result<(bool, Vec<ObjectName>, bool)> {
    let if_exists = c.take("IF EXISTS");
    let names = c.list(|c| c.object_name(what))?;
    let cascade = c.take("CASCADE");
    if !cascade {
        c.take("RESTRICT");
    }
    Ok((if_exists, names, cascade))
}
