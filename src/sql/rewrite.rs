//! Redshift's spellings within expressions and queries, as DataFusion's planner wants them.
//!
//! Each spelling is a function on one expression; all of them see every expression of a statement, the inner ones first.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, SetExpr, SetOperator, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut};
use sqlparser::tokenizer::Span;

use crate::common::{Error, Result};

mod calls;
mod date_parts;
mod parts;

/// Rewrites the expressions within `node`: a statement, a query or an expression.
pub fn rewrite<T: VisitMut>(node: &mut T) -> Result<()> {
    match node.visit(&mut Rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        minus_is_except(&mut query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        part_minuses(expr);
        match date_parts::rewrite(expr).and_then(|()| calls::rewrite(expr)).and_then(|()| parts::rewrite(expr)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// Redshift has both words for the one set operation (manual, "UNION, INTERSECT, and EXCEPT").
fn minus_is_except(mut body: &mut SetExpr) {
    while let SetExpr::SetOperation { op, left, right, .. } = body {
        if *op == SetOperator::Minus {
            *op = SetOperator::Except;
        }
        minus_is_except(right);
        body = left;
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
