//! Redshift's spellings within expressions and queries, as DataFusion's planner wants them.
//!
//! Each spelling is a function on one expression or query; all of them see every expression of a statement, the inner
//! ones first.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Select, TableFactor, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut};
use sqlparser::tokenizer::Span;

use crate::common::{Error, Result};

mod build;
mod calls;
mod date_parts;
mod operators;
mod ordered;
mod parts;
mod queries;
mod refused;
mod subqueries;
mod tokens;
mod unions;
mod windows;

pub(super) use build::{call, name_position, place, position as position_of};
pub(super) use queries::plain as plain_query;
pub use subqueries::TABLE as IN_TABLE;
pub(super) use tokens::rewrite as rewrite_tokens;

/// Rewrites what is within `node`: a statement, a query or an expression.
pub fn rewrite<T: VisitMut>(node: &mut T) -> Result<()> {
    match node.visit(&mut Rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter;

fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl VisitorMut for Rewriter {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        unions::balance(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        operators::sign_of_power(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        part_minuses(expr);
        subqueries::name_column(expr);
        flow(
            refused::check(expr)
                .and_then(|()| date_parts::rewrite(expr))
                .and_then(|()| calls::rewrite(expr))
                .and_then(|()| operators::rewrite(expr))
                .and_then(|()| parts::rewrite(expr))
                .and_then(|()| windows::rewrite(expr)),
        )
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Error> {
        queries::name_series(table);
        flow(refused::table(table))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        flow(windows::named(select))
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        queries::select(select);
        flow(subqueries::select(select))
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        flow(queries::query(query))
    }
}

/// `- -x` would be written `--x`, which is a comment.
fn part_minuses(expr: &mut Expr) {
    if let Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } = expr
        && inner.to_string().starts_with('-')
    {
        let null = Expr::Value(ValueWithSpan { value: Value::Null, span: Span::empty() });
        let whole = std::mem::replace(inner.as_mut(), null);
        **inner = Expr::Nested(Box::new(whole));
    }
}
