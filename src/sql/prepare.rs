//! PREPARE.

use std::ops::ControlFlow;

use sqlparser::ast::{DataType, Expr, Statement as SqlStatement, Value, ValueWithSpan, visit_expressions_mut};
use sqlparser::tokenizer::Token;

use crate::common::{Error, Result};

use super::ast::{Delete, InsertSource, InsertValue, Matched, MergeAction, Prepare, Statement};
use super::cursor::{Cursor, unsupported};
use super::insert;
use super::parser::{parse_expr, query_at, statement};

/// `PREPARE name [(type, …)] AS` a query or a statement that changes rows. What follows AS is looked at first: `sqlparser` would read PREPARE within
/// PREPARE down to a stack overflow.
pub(super) fn prepare(c: &mut Cursor) -> Result<Statement> {
    let position = c.position();
    let mut n = 2;
    if *c.token(n) == Token::LParen {
        let mut depth = 0;
        loop {
            match c.token(n) {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                Token::SemiColon | Token::EOF => break,
                _ => {}
            }
            n += 1;
            if depth == 0 {
                break;
            }
        }
    }
    if c.is_at(n, "AS") {
        let before = c.mark();
        (0..=n).for_each(|_| c.skip());
        let changes = insert::is_change(c);
        c.back_to(before);
        if changes {
            return prepare_change(c);
        }
    }
    let refused = || unsupported("PREPARE of anything but a query, INSERT, UPDATE, DELETE and MERGE", position);
    if c.is_at(n, "AS") && c.word(n + 1).is_some() && !query_at(c, n + 1) {
        return Err(refused());
    }
    let statement = c.with(|p| p.parse_statement())?;
    match &statement {
        SqlStatement::Prepare { statement: prepared, .. } if !matches!(**prepared, SqlStatement::Query(_)) => {
            Err(refused())
        }
        _ => Ok(Statement::Query(Box::new(statement))),
    }
}

fn prepare_change(c: &mut Cursor) -> Result<Statement> {
    c.expect("PREPARE")?;
    let name = c.ident("a name for the statement")?;
    let types = match c.token(0) {
        Token::LParen => c.parens(|c| c.with(|p| p.parse_data_type()))?,
        _ => Vec::new(),
    };
    c.expect("AS")?;
    let mut statement = statement(c)?;
    declare(&mut statement, &types)?;
    Ok(Statement::Prepare(Box::new(Prepare { name, parameters: types.len(), statement })))
}

/// Makes the statement's parameters casts to their types, by which they are planned and read.
fn declare(statement: &mut Statement, types: &[DataType]) -> Result<()> {
    if types.is_empty() {
        return Ok(());
    }
    let mut declare = |expr: &mut Expr| -> ControlFlow<Error> {
        let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) = expr else {
            return ControlFlow::Continue(());
        };
        let number = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        let Some(data_type) = number.and_then(|number| types.get(number.checked_sub(1)?)) else {
            return ControlFlow::Continue(());
        };
        match parse_expr(&format!("NULL::{data_type}")) {
            Ok(Expr::Cast { kind, data_type, array, format, .. }) => {
                let parameter = Box::new(expr.clone());
                *expr = Expr::Cast { kind, expr: parameter, data_type, array, format };
                ControlFlow::Continue(())
            }
            Ok(_) => ControlFlow::Break(Error::internal("a cast is read as something else")),
            Err(e) => ControlFlow::Break(e),
        }
    };
    let mut each = |expr: &mut Expr| visit_expressions_mut(expr, &mut declare);
    let outcome = match statement {
        Statement::Insert(insert) => match &mut insert.source {
            InsertSource::Query(query) => visit_expressions_mut(query, &mut declare),
            InsertSource::Values(rows) => given(rows.iter_mut().flatten(), &mut each),
            InsertSource::DefaultValues => ControlFlow::Continue(()),
        },
        Statement::Delete(Delete { rows: Some(rows), .. }) => visit_expressions_mut(rows, &mut declare),
        Statement::Update(update) => {
            let set = given(update.assignments.iter_mut().map(|(_, value)| value), &mut each);
            if set.is_break() { set } else { visit_expressions_mut(&mut update.rows, &mut declare) }
        }
        Statement::Merge(merge) => {
            let mut values = Vec::new();
            if let MergeAction::When { matched, not_matched } = &mut merge.action {
                if let Some(Matched::Update(assignments)) = matched {
                    values.extend(assignments.iter_mut().map(|(_, value)| value));
                }
                values.extend(not_matched.iter_mut().flat_map(|insert| &mut insert.values));
            }
            let set = given(values.into_iter(), &mut each);
            if set.is_break() { set } else { visit_expressions_mut(&mut merge.rows, &mut declare) }
        }
        _ => ControlFlow::Continue(()),
    };
    match outcome {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

fn given<'v>(
    mut values: impl Iterator<Item = &'v mut InsertValue>,
    each: &mut dyn FnMut(&mut Expr) -> ControlFlow<Error>,
) -> ControlFlow<Error> {
    values.try_for_each(|value| match value {
        InsertValue::Expr(expr) => each(expr),
        InsertValue::Default(_) => ControlFlow::Continue(()),
    })
}
