//! `c[0].name` and `f(c).name`: DataFusion's planner takes such a name as text only.

use sqlparser::ast::{AccessExpr, Expr, Ident, Value, ValueWithSpan};

use crate::common::Result;

pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    let Expr::CompoundFieldAccess { root, access_chain } = expr else { return Ok(()) };
    // Names behind a name may be a table's and a column's: those are the planner's to tell apart.
    let names = matches!(**root, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    let parts = access_chain.iter_mut().skip_while(|access| names && matches!(access, AccessExpr::Dot(_)));
    for access in parts {
        if let AccessExpr::Dot(name) = access
            && let Expr::Identifier(Ident { value, quote_style, span }) = name
        {
            let value = if quote_style.is_some() { std::mem::take(value) } else { value.to_lowercase() };
            *name = Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(value), span: *span });
        }
    }
    Ok(())
}
