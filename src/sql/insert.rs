//! INSERT.

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{Expr, SetExpr, With};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::common::error::Position;
use crate::common::{Error, Result};

use super::ast::{Insert, InsertSource, InsertValue, Statement};
use super::cursor::{Cursor, at, syntax_error, unsupported};
use super::delete::{delete, update};
use super::merge::merge;
use super::{parser, past};

pub(super) fn insert(c: &mut Cursor) -> Result<Statement> {
    let position = c.position();
    c.expect("INSERT")?;
    if c.is("OVERWRITE") {
        return Err(unsupported("INSERT OVERWRITE", position));
    }
    c.expect("INTO")?;
    let table = past::present_table(c)?;
    // A parenthesis may also open the query.
    let query_follows = ["SELECT", "WITH", "VALUES", "FROM"].iter().any(|w| c.is_at(1, w));
    let columns = if *c.token(0) == Token::LParen && *c.token(1) != Token::LParen && !query_follows {
        c.column_names()?
    } else {
        Vec::new()
    };
    if c.is("DEFAULT VALUES") {
        if let Some(first) = columns.first() {
            return Err(syntax_error("DEFAULT VALUES does not go with a column list", first.position)
                .with_hint("leave the column list out"));
        }
        c.take("DEFAULT VALUES");
        return Ok(Statement::Insert(Insert { table, columns, source: InsertSource::DefaultValues }));
    }
    if !["SELECT", "WITH", "VALUES", "FROM"].iter().any(|w| c.is(w)) && *c.token(0) != Token::LParen {
        return Err(c.expected("VALUES, DEFAULT VALUES or a query"));
    }
    let start = c.position();
    let mut query = parser::query(c)?;
    let plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.pipe_operators.is_empty();
    let source = match query.body.as_mut() {
        SetExpr::Values(values) if plain => {
            let rows = std::mem::take(&mut values.rows);
            let rows = rows.into_iter().map(|row| row.content.into_iter().map(value).collect()).collect();
            InsertSource::Values(rows)
        }
        _ => InsertSource::Query(query),
    };
    if let InsertSource::Values(rows) = &source {
        check_lengths(rows, columns.len(), start)?;
    }
    Ok(Statement::Insert(Insert { table, columns, source }))
}

/// `WITH … INSERT INTO …`, which is `INSERT INTO … WITH …`, and `WITH … DELETE`; `None` where a query follows WITH.
pub(super) fn after_with(c: &mut Cursor) -> Result<Option<Statement>> {
    let Some(change) = change_follows(c) else { return Ok(None) };
    let position = c.position();
    let mut outer = c.with(|p| {
        p.expect_keyword(Keyword::WITH)?;
        let recursive = p.parse_keyword(Keyword::RECURSIVE);
        let cte_tables = p.parse_comma_separated(Parser::parse_cte)?;
        Ok(With { with_token: AttachedToken::empty(), recursive, cte_tables })
    })?;
    match change {
        Change::Insert => {}
        Change::Delete => return delete(c, Some(outer)).map(Some),
        Change::Update => return update(c, Some(outer)).map(Some),
        Change::Merge => return merge(c, Some(outer)).map(Some),
    }
    let Statement::Insert(mut insert) = insert(c)? else {
        return Err(Error::internal("INSERT is read as something else"));
    };
    let InsertSource::Query(query) = &mut insert.source else {
        return Err(unsupported("INSERT … VALUES after WITH", position).with_hint("write INSERT INTO … SELECT …"));
    };
    if let Some(inner) = query.with.take() {
        outer.recursive |= inner.recursive;
        outer.cte_tables.extend(inner.cte_tables);
    }
    query.with = Some(outer);
    Ok(Some(Statement::Insert(insert)))
}

/// What may stand behind WITH beside a query.
enum Change {
    Insert,
    Delete,
    Update,
    Merge,
}

/// Whether a statement that changes rows comes next.
pub(super) fn is_change(c: &Cursor) -> bool {
    ["INSERT", "DELETE", "UPDATE", "MERGE"].iter().any(|word| c.is(word))
        || (c.is("WITH") && change_follows(c).is_some())
}

/// What follows the common table expressions of a WITH, if it is no query.
fn change_follows(c: &Cursor) -> Option<Change> {
    let (mut depth, mut n) = (0usize, 1);
    loop {
        match c.token(n) {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::EOF | Token::SemiColon => return None,
            _ if depth > 0 => {}
            _ if c.is_at(n, "INSERT INTO") => return Some(Change::Insert),
            _ if c.is_at(n, "DELETE") => return Some(Change::Delete),
            _ if c.is_at(n, "UPDATE") => return Some(Change::Update),
            _ if c.is_at(n, "MERGE INTO") => return Some(Change::Merge),
            _ if c.is_at(n, "SELECT") || c.is_at(n, "VALUES") => return None,
            _ => {}
        }
        n += 1;
    }
}

/// `sqlparser` reads DEFAULT as a name.
pub(super) fn value(expr: Expr) -> InsertValue {
    match &expr {
        Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("DEFAULT") => {
            InsertValue::Default(at(name.span.start))
        }
        _ => InsertValue::Expr(expr),
    }
}

fn check_lengths(rows: &[Vec<InsertValue>], columns: usize, position: Position) -> Result<()> {
    let error = |message: String| -> Error {
        syntax_error(message, position).with_hint("give every row one value for each column")
    };
    let length = rows.first().map_or(0, Vec::len);
    if let Some(i) = rows.iter().position(|row| row.len() != length) {
        return Err(error(format!(
            "VALUES rows must have the same length: row 1 has {length}, row {} has {}",
            i + 1,
            rows[i].len()
        )));
    }
    if columns > 0 && length != columns {
        return Err(error(format!("INSERT names {columns} columns but gives {length} values")));
    }
    Ok(())
}
