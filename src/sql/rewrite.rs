//! Redshift's spellings within expressions, as DataFusion's planner wants them.
//!
//! Each spelling is a function on one expression; all of them see every expression of a statement, the inner ones first.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, VisitMut, VisitorMut};

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

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match date_parts::rewrite(expr).and_then(|()| calls::rewrite(expr)).and_then(|()| parts::rewrite(expr)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}
