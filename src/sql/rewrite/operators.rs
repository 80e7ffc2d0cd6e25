//! Operators that mean something else in DataFusion, or nothing.

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value, ValueWithSpan};
use sqlparser::tokenizer::Span;

use super::build::{binary, call, take};
use crate::common::Result;

/// A sign binds closer than `^`: `-2 ^ 2` is 4 (Redshift's manual, "Mathematical operator symbols", by PostgreSQL's
/// order of operators). `sqlparser` reads the sign last.
pub(super) fn sign_of_power(expr: &mut Expr) {
    if let Expr::UnaryOp { op, expr: inner } = expr
        && matches!(op, UnaryOperator::Minus | UnaryOperator::Plus)
        && let Expr::BinaryOp { left, op: BinaryOperator::BitwiseXor, right } = inner.as_mut()
    {
        let signed = Expr::UnaryOp { op: *op, expr: Box::new(take(left)) };
        *expr = Expr::BinaryOp { left: Box::new(signed), op: BinaryOperator::BitwiseXor, right: Box::new(take(right)) };
    }
}

pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    match expr {
        // The power; `#` is read as another operator.
        Expr::BinaryOp { op: op @ BinaryOperator::BitwiseXor, .. } => *op = BinaryOperator::PGExp,
        // Which DataFusion has not.
        Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr: bits } => {
            let ones = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(Expr::value(number(1))) };
            *expr = binary(take(bits), BinaryOperator::PGBitwiseXor, ones);
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            // The optimizer writes literal patterns for the backslash.
            if !matches!(pattern.as_ref(), Expr::Value(_))
                && let Some(escape) = escape_char.take().and_then(unusual)
            {
                **pattern = call("like_pattern", vec![take(pattern), escape], Span::empty());
            }
        }
        Expr::SimilarTo { negated, expr: text, pattern, escape_char } => {
            let mut args = vec![take(text), take(pattern)];
            args.extend(escape_char.take().map(Expr::Value));
            let similar = call("similar_to", args, Span::empty());
            *expr = match negated {
                true => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(similar) },
                false => similar,
            };
        }
        _ => {}
    }
    Ok(())
}

fn number(number: u64) -> Value {
    Value::Number(number.to_string(), false)
}

/// An escape that is not the backslash, which LIKE has by itself.
fn unusual(escape: ValueWithSpan) -> Option<Expr> {
    match &escape.value {
        Value::SingleQuotedString(text) if text == "\\" => None,
        _ => Some(Expr::Value(escape)),
    }
}
