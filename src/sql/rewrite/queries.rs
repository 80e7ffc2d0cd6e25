//! TOP, MINUS, and functions that return rows.

use sqlparser::ast::{
    Expr, Function, FunctionArguments, Ident, LimitClause, ObjectNamePart, Query, Select, SelectItem, SetExpr,
    SetOperator, TableAlias, TableAliasColumnDef, TableFactor, Top, TopQuantity, Value,
};

use super::build::{Call, call, place, take};
use crate::common::error::Position;
use crate::common::{Error, Result};
use crate::sql::cursor::{syntax_error, unsupported};

const SERIES: &str = "generate_series";

/// `SELECT generate_series(1, 3)` gives rows, as Redshift's leader does it.
pub(super) fn select(select: &mut Select) {
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let Expr::Function(function) = expr else { continue };
        let Some(series) = series(function) else { continue };
        let rows = call("unnest", vec![take(expr)], series.span);
        match item {
            SelectItem::ExprWithAlias { expr, .. } => *expr = rows,
            other => *other = SelectItem::ExprWithAlias { expr: rows, alias: Ident::new(SERIES) },
        }
    }
}

/// The column of `generate_series(…)` in FROM has the function's name, or the table's alias, as in PostgreSQL.
pub(super) fn name_series(table: &mut TableFactor) {
    let (TableFactor::Table { name, args: Some(_), alias, .. } | TableFactor::Function { name, alias, .. }) = table
    else {
        return;
    };
    let [ObjectNamePart::Identifier(function)] = name.0.as_slice() else { return };
    if !function.value.eq_ignore_ascii_case(SERIES) {
        return;
    }
    let name = Ident::with_span(function.span, SERIES);
    let alias = alias.get_or_insert(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    if alias.columns.is_empty() {
        alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
    }
}

fn series(function: &Function) -> Option<Call> {
    let plain = function.over.is_none() && matches!(function.args, FunctionArguments::List(_));
    Call::of(function).filter(|call| plain && call.name == SERIES)
}

pub(super) fn query(query: &mut Query) -> Result<()> {
    if let SetExpr::Select(select) = query.body.as_mut() {
        let at = place(select.select_token.0.span);
        if let Some(limit) = top(select)? {
            if query.limit_clause.is_some() || query.fetch.is_some() {
                return Err(syntax_error("TOP and LIMIT cannot be used together", at));
            }
            query.limit_clause = Some(limit);
        }
        return Ok(());
    }
    operation(&mut query.body)
}

/// Within set operations: MINUS, and TOP of a single SELECT.
fn operation(body: &mut SetExpr) -> Result<()> {
    match body {
        SetExpr::SetOperation { op, left, right, .. } => {
            if *op == SetOperator::Minus {
                *op = SetOperator::Except;
            }
            operation(left)?;
            operation(right)
        }
        SetExpr::Select(select) => {
            if let Some(limit) = top(select)? {
                let select = std::mem::replace(body, SetExpr::Values(no_values()));
                *body = SetExpr::Query(Box::new(limited(select, limit)));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn no_values() -> sqlparser::ast::Values {
    sqlparser::ast::Values { explicit_row: false, value_keyword: false, rows: Vec::new() }
}

fn limited(body: SetExpr, limit: LimitClause) -> Query {
    Query { limit_clause: Some(limit), ..plain(body) }
}

/// A query that is nothing but its body.
pub(in crate::sql) fn plain(body: SetExpr) -> Query {
    Query {
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
    }
}

/// The limit that TOP is.
fn top(select: &mut Select) -> Result<Option<LimitClause>> {
    let at = place(select.select_token.0.span);
    let Some(top) = select.top.take() else { return Ok(None) };
    let limit = rows(top, at)?;
    Ok(Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by: Vec::new() }))
}

fn rows(top: Top, at: Position) -> Result<Expr> {
    let refuse = |what| -> Result<Expr, Error> { Err(unsupported(what, at)) };
    match top {
        Top { percent: true, .. } => refuse("TOP … PERCENT"),
        Top { with_ties: true, .. } => refuse("TOP … WITH TIES"),
        Top { quantity: Some(TopQuantity::Constant(rows)), .. } => {
            Ok(Expr::value(Value::Number(rows.to_string(), false)))
        }
        Top { quantity: Some(TopQuantity::Expr(rows)), .. } => Ok(rows),
        Top { quantity: None, .. } => Err(syntax_error("TOP takes a number of rows", at)),
    }
}
