//! Redshift's spellings within expressions, as DataFusion's planner wants them.
//!
//! Each spelling is a function on one expression; all of them see every expression of a statement, the inner ones first.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, VisitMut, VisitorMut};

use crate::common::{Error, Result};

mod calls;
mod date_parts;
mod unions;

/// Rewrites the expressions within `node`: a statement, a query or an expression.
pub(super) fn rewrite<T: VisitMut>(node: &mut T) -> Result<()> {
    match node.visit(&mut Rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        unions::balance(query);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match date_parts::rewrite(expr).and_then(|()| calls::rewrite(expr)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}
