//! A long chain of UNION ALL as a balanced tree: `sqlparser` reads it as a tower on the left, which copying, writing and
//! planning it would climb one stack frame a branch. The branches keep their order, and the first still names the columns.

use sqlparser::ast::{Query, SetExpr, SetOperator, SetQuantifier, Values};

/// Shorter chains stay as they are.
const LONG: usize = 16;

pub(super) fn balance(query: &mut Query) {
    let mut body = &mut query.body;
    loop {
        balance_chain(body);
        match body.as_mut() {
            // A chain may begin below another operation. What is balanced is not deep any more.
            SetExpr::SetOperation { left, .. } => body = left,
            _ => return,
        }
    }
}

fn balance_chain(chain: &mut Box<SetExpr>) {
    let mut length = 0;
    let mut body = chain.as_ref();
    while let SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier: SetQuantifier::All, .. } = body {
        (body, length) = (left, length + 1);
    }
    if length < LONG {
        return;
    }
    let mut branches = Vec::with_capacity(length + 1);
    let mut body = std::mem::replace(chain, Box::new(nothing()));
    loop {
        match *body {
            SetExpr::SetOperation { left, right, op: SetOperator::Union, set_quantifier: SetQuantifier::All } => {
                branches.push(right);
                body = left;
            }
            first => {
                branches.push(Box::new(first));
                break;
            }
        }
    }
    branches.reverse();
    // Neighbours are put together until one is left.
    while branches.len() > 1 {
        let mut pairs = Vec::with_capacity(branches.len().div_ceil(2));
        let mut rest = branches.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => Box::new(SetExpr::SetOperation {
                    left,
                    right,
                    op: SetOperator::Union,
                    set_quantifier: SetQuantifier::All,
                }),
                None => left,
            });
        }
        branches = pairs;
    }
    if let Some(body) = branches.pop() {
        *chain = body;
    }
}

fn nothing() -> SetExpr {
    SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows: Vec::new() })
}
