//! DELETE, UPDATE and TRUNCATE.

use sqlparser::ast::{Expr, Query, SetExpr, TableWithJoins, With};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::common::Result;

use super::ast::{Delete, Ident, InsertValue, Statement, Update};
use super::cursor::{Cursor, START, syntax_error};
use super::insert::value;
use super::parser::check_query;

/// `DELETE [FROM] table [[AS] alias] [USING tables] [WHERE condition]`, behind `with`.
pub(super) fn delete(c: &mut Cursor, with: Option<With>) -> Result<Statement> {
    let position = c.position();
    c.expect("DELETE")?;
    c.take("FROM");
    let table = c.object_name("a table name")?;
    let named = c.take("AS");
    let ends = c.at_end() || *c.token(0) == Token::SemiColon || c.is("USING") || c.is("WHERE");
    let alias = if named || (!ends && c.word(0).is_some()) { Some(c.ident("an alias")?) } else { None };
    let using = match c.take("USING") {
        true => c.with(|p| p.parse_comma_separated(Parser::parse_table_and_joins))?,
        false => Vec::new(),
    };
    let selection = match c.take("WHERE") {
        true => Some(c.with(|p| p.parse_expr())?),
        false => None,
    };
    let whole = using.is_empty() && selection.is_none();
    let called = alias.as_ref().unwrap_or_else(|| table.base());
    let rows = check_query(rows_of(called, using, selection, with)?, position)?;
    Ok(Statement::Delete(Delete { table, alias, rows: (!whole).then_some(rows) }))
}

/// `UPDATE table [[AS] alias] SET column = value, … [FROM tables] [WHERE condition]`, behind `with`.
pub(super) fn update(c: &mut Cursor, with: Option<With>) -> Result<Statement> {
    let position = c.position();
    c.expect("UPDATE")?;
    let table = c.object_name("a table name")?;
    let named = c.take("AS");
    let alias = if named || (!c.is("SET") && c.word(0).is_some()) { Some(c.ident("an alias")?) } else { None };
    c.expect("SET")?;
    let assignments = c.list(assignment)?;
    if let Some((twice, _)) = assignments.iter().enumerate().find_map(|(at, (column, _))| {
        let before = assignments[..at].iter().any(|(other, _)| other.value == column.value);
        before.then_some((column, at))
    }) {
        return Err(syntax_error(format!("column \"{}\" is set twice", twice.value), twice.position)
            .with_hint("give each column one value"));
    }
    let from = match c.take("FROM") {
        true => c.with(|p| p.parse_comma_separated(Parser::parse_table_and_joins))?,
        false => Vec::new(),
    };
    let selection = match c.take("WHERE") {
        true => Some(c.with(|p| p.parse_expr())?),
        false => None,
    };
    let called = alias.as_ref().unwrap_or_else(|| table.base());
    let rows = check_query(rows_of(called, from, selection, with)?, position)?;
    Ok(Statement::Update(Update { table, alias, assignments, rows }))
}

/// `column = value`; the column may be named with its table.
fn assignment(c: &mut Cursor) -> Result<(Ident, InsertValue)> {
    let mut column = c.ident("a column name")?;
    while c.take_token(&Token::Period) {
        column = c.ident("a column name")?;
    }
    c.expect_token(&Token::Eq)?;
    Ok((column, value(c.with(|p| p.parse_expr())?)))
}

/// `TRUNCATE [TABLE] table`
pub(super) fn truncate(c: &mut Cursor) -> Result<Statement> {
    c.expect("TRUNCATE")?;
    c.take("TABLE");
    Ok(Statement::Truncate(c.object_name("a table name")?))
}

/// A query from [`Delete::TARGET`] and other tables; whoever knows where the target is fills in that and what is selected.
fn rows_of(
    called: &Ident,
    using: Vec<TableWithJoins>,
    selection: Option<Expr>,
    with: Option<With>,
) -> Result<Box<Query>> {
    let name = called.value.replace('"', "\"\"");
    let mut query = Cursor::new(&format!("SELECT 1 FROM \"{}\" AS \"{name}\"", Delete::TARGET), START)?
        .with(|p| p.parse_query())?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from.extend(using);
        select.selection = selection;
    }
    query.with = with;
    Ok(query)
}
