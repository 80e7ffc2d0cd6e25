//! DELETE, UPDATE and TRUNCATE.

use std::collections::HashSet;

use sqlparser::ast::{Query, SetExpr, With};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::common::Result;
use crate::common::error::Position;

use super::ast::{Delete, Ident, InsertValue, Statement, Update};
use super::cursor::{Cursor, START, syntax_error, unsupported};
use super::insert::value;
use super::parser::{check_query, query_at};
use super::past;

/// `DELETE [FROM] table [[AS] alias] [USING tables] [WHERE condition]`, behind `with`.
pub(super) fn delete(c: &mut Cursor, with: Option<With>) -> Result<Statement> {
    let position = c.position();
    c.expect("DELETE")?;
    c.take("FROM");
    let table = past::present_table(c)?;
    let alias = alias(c, &["USING", "WHERE"])?;
    let whole = c.at_end() || *c.token(0) == Token::SemiColon;
    let rows = rows(c, "USING", alias.as_ref().unwrap_or_else(|| table.base()), with, position)?;
    Ok(Statement::Delete(Delete { table, alias, rows: (!whole).then_some(rows) }))
}

/// `UPDATE table [[AS] alias] SET column = value, … [FROM tables] [WHERE condition]`, behind `with`.
pub(super) fn update(c: &mut Cursor, with: Option<With>) -> Result<Statement> {
    let position = c.position();
    c.expect("UPDATE")?;
    let table = past::present_table(c)?;
    let alias = alias(c, &["SET"])?;
    c.expect("SET")?;
    let assignments = assignments(c)?;
    let rows = rows(c, "FROM", alias.as_ref().unwrap_or_else(|| table.base()), with, position)?;
    Ok(Statement::Update(Update { table, alias, assignments, rows }))
}

/// `[AS] alias`, unless one of `then` or the end comes first.
pub(super) fn alias(c: &mut Cursor, then: &[&str]) -> Result<Option<Ident>> {
    let given = c.take("AS") || (c.word(0).is_some() && !then.iter().any(|word| c.is(word)));
    given.then(|| c.ident("an alias")).transpose()
}

/// `{column = value | (column, …) = (value, …)}, …`, no column twice.
pub(super) fn assignments(c: &mut Cursor) -> Result<Vec<(Ident, InsertValue)>> {
    let assignments: Vec<_> = c.list(assignment)?.into_iter().flatten().collect();
    let mut set = HashSet::new();
    if let Some((twice, _)) = assignments.iter().find(|(column, _)| !set.insert(&column.value)) {
        return Err(syntax_error(format!("column \"{}\" is set twice", twice.value), twice.position)
            .with_hint("give each column one value"));
    }
    Ok(assignments)
}

fn assignment(c: &mut Cursor) -> Result<Vec<(Ident, InsertValue)>> {
    if *c.token(0) != Token::LParen {
        let column = column(c)?;
        c.expect_token(&Token::Eq)?;
        return Ok(vec![(column, value(c.with(|p| p.parse_expr())?))]);
    }
    let position = c.position();
    let columns = c.parens(column)?;
    c.expect_token(&Token::Eq)?;
    c.take("ROW");
    if *c.token(0) == Token::LParen && query_at(c, 1) {
        return Err(unsupported("a subquery that gives several columns their values", c.position())
            .with_hint("write it in FROM, and take its columns one by one"));
    }
    let values = c.parens(|c| Ok(value(c.with(|p| p.parse_expr())?)))?;
    if values.len() != columns.len() {
        let message = format!("{} columns are set to {} values", columns.len(), values.len());
        return Err(syntax_error(message, position).with_hint("give each column one value"));
    }
    Ok(columns.into_iter().zip(values).collect())
}

/// A column's name, which may have its table's before it.
fn column(c: &mut Cursor) -> Result<Ident> {
    let mut column = c.ident("a column name")?;
    while c.take_token(&Token::Period) {
        column = c.ident("a column name")?;
    }
    Ok(column)
}

/// `TRUNCATE [TABLE] table`
pub(super) fn truncate(c: &mut Cursor) -> Result<Statement> {
    c.expect("TRUNCATE")?;
    c.take("TABLE");
    Ok(Statement::Truncate(past::present_table(c)?))
}

/// `[USING tables] [WHERE condition]`, where `others` stands for USING, as a query from other tables and [`Delete::TARGET`];
/// whoever knows where the target is fills in that and what is selected.
fn rows(c: &mut Cursor, others: &str, called: &Ident, with: Option<With>, position: Position) -> Result<Box<Query>> {
    let name = called.value.replace('"', "\"\"");
    let mut query = Cursor::new(&format!("SELECT 1 FROM \"{}\" AS \"{name}\"", Delete::TARGET), START)?
        .with(|p| p.parse_query())?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        if c.take(others) {
            // The target last: of tables of which no size is known the first is built, and tells the others its keys.
            let others = c.with(|p| p.parse_comma_separated(Parser::parse_table_and_joins))?;
            select.from.splice(0..0, others);
        }
        if c.take("WHERE") {
            select.selection = Some(c.with(|p| p.parse_expr())?);
        }
    }
    query.with = with;
    check_query(query, position)
}
