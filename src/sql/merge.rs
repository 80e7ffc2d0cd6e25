//! MERGE.

use sqlparser::ast::{Ident as SqlIdent, JoinConstraint, JoinOperator, Query, SetExpr, TableAlias, TableFactor, With};
use sqlparser::tokenizer::Token;

use crate::common::error::Position;
use crate::common::{Error, Result};

use super::ast::{Delete, Ident, InsertValue, Matched, Merge, MergeAction, MergeInsert, ObjectName, Statement};
use super::cursor::{Cursor, START, at, syntax_error, unsupported};
use super::delete::{alias, assignments};
use super::insert::value;
use super::parser::{check_query, name_of};
use super::past;

/// What a subquery is called that has no alias.
const UNNAMED: &str = "the source";

/// `MERGE INTO table [[AS] alias] USING source [[AS] alias] ON condition` and what to do, behind `with`.
pub(super) fn merge(c: &mut Cursor, with: Option<With>) -> Result<Statement> {
    let position = c.position();
    c.expect("MERGE INTO")?;
    let table = past::present_table(c)?;
    let alias = alias(c, &["USING"])?;
    c.expect("USING")?;
    let source_position = c.position();
    let mut factor = c.with(|p| p.parse_table_factor())?;
    if let TableFactor::Derived { alias: alias @ None, .. } = &mut factor {
        let name = SqlIdent::with_quote('"', UNNAMED);
        *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    }
    let (source, called) = source(&factor, source_position)?;
    c.expect("ON")?;
    let condition = c.with(|p| p.parse_expr())?;
    let target = alias.as_ref().unwrap_or_else(|| table.base());
    if called.as_ref().is_some_and(|called| called == target) {
        let message = format!("the table and its source are both called \"{}\"", target.value);
        return Err(syntax_error(message, source_position).with_hint("give the source an alias, as in USING t AS s"));
    }
    let mut query = joined(factor, JoinConstraint::On(condition), target)?;
    query.with = with;
    let rows = check_query(query, position)?;
    let action = match c.take("REMOVE DUPLICATES") {
        true => MergeAction::RemoveDuplicates,
        false => when(c)?,
    };
    Ok(Statement::Merge(Box::new(Merge { table, alias, source, called, source_position, rows, action })))
}

/// What the source is by name, and what it is called.
fn source(factor: &TableFactor, position: Position) -> Result<(Option<ObjectName>, Option<Ident>)> {
    let (name, alias) = match factor {
        TableFactor::Table { name, alias, args: None, .. } => (Some(name_of(name, position)?), alias),
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => (None, alias),
        _ => (None, &None),
    };
    let alias = alias.as_ref().map(|alias| {
        let (name, quoted) = (&alias.name, alias.name.quote_style.is_some());
        let value = if quoted { name.value.clone() } else { name.value.to_ascii_lowercase() };
        Ident { value, quoted, position: at(name.span.start) }
    });
    let called = alias.or_else(|| name.as_ref().map(|name| name.base().clone()));
    // As it was, a table is another than it is.
    let past = matches!(factor, TableFactor::Table { version: Some(_), .. });
    Ok((name.filter(|_| !past), called))
}

/// The source's rows, each with those of the target that the condition finds.
fn joined(factor: TableFactor, on: JoinConstraint, called: &Ident) -> Result<Box<Query>> {
    let called = called.value.replace('"', "\"\"");
    let text = format!("SELECT 1 FROM s LEFT JOIN \"{}\" AS \"{called}\" ON true", Delete::TARGET);
    let mut query = Cursor::new(&text, START)?.with(|p| p.parse_query())?;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Err(Error::internal("a SELECT is read as something else"));
    };
    for from in &mut select.from {
        from.relation = factor.clone();
        from.joins.iter_mut().for_each(|join| join.join_operator = JoinOperator::Left(on.clone()));
    }
    Ok(query)
}

/// `WHEN [NOT] MATCHED THEN …`, each once, in any order.
fn when(c: &mut Cursor) -> Result<MergeAction> {
    let (mut matched, mut not_matched) = (None, None);
    if !c.is("WHEN") {
        return Err(c.expected("WHEN MATCHED, WHEN NOT MATCHED or REMOVE DUPLICATES"));
    }
    while c.is("WHEN") {
        let position = c.position();
        c.skip();
        let matches = !c.take("NOT");
        c.expect("MATCHED")?;
        if c.is("BY") {
            return Err(unsupported("WHEN NOT MATCHED BY", position)
                .with_hint("rows of the table that the source lacks are deleted by DELETE … WHERE NOT EXISTS"));
        }
        if c.is("AND") {
            let error = unsupported("a condition behind MATCHED", c.position());
            return Err(error.with_hint("filter the source in USING (SELECT … WHERE …) AS s, or write it into ON"));
        }
        c.expect("THEN")?;
        let twice = if matches { matched.is_some() } else { not_matched.is_some() };
        if twice {
            let clause = if matches { "WHEN MATCHED" } else { "WHEN NOT MATCHED" };
            return Err(syntax_error(format!("MERGE has two clauses {clause}"), position)
                .with_hint("what is to be done may depend on the row by CASE"));
        }
        match matches {
            true => matched = Some(change(c)?),
            false => not_matched = Some(insertion(c)?),
        }
    }
    Ok(MergeAction::When { matched, not_matched })
}

fn change(c: &mut Cursor) -> Result<Matched> {
    if c.take("DELETE") {
        return Ok(Matched::Delete);
    }
    if !c.take("UPDATE") {
        return Err(c.expected("UPDATE or DELETE"));
    }
    c.expect("SET")?;
    Ok(Matched::Update(assignments(c)?))
}

fn insertion(c: &mut Cursor) -> Result<MergeInsert> {
    c.expect("INSERT")?;
    let columns = if *c.token(0) == Token::LParen { c.column_names()? } else { Vec::new() };
    let position = c.position();
    if columns.is_empty() && c.take("DEFAULT VALUES") {
        return Ok(MergeInsert { columns, values: Vec::new(), position });
    }
    if !c.take("VALUES") {
        let error = c.expected("VALUES");
        return Err(error.with_hint("INSERT takes one row here, of the source's columns: INSERT VALUES (s.a, s.b)"));
    }
    let values: Vec<InsertValue> = c.parens(|c| Ok(value(c.with(|p| p.parse_expr())?)))?;
    if !columns.is_empty() && values.len() != columns.len() {
        let message = format!("INSERT names {} columns but gives {} values", columns.len(), values.len());
        return Err(syntax_error(message, position).with_hint("give each column one value"));
    }
    Ok(MergeInsert { columns, values, position })
}
