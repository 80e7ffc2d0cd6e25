//! Calls that Redshift writes otherwise: `DECODE`, `NVL`, `CONCAT`, `MOD`, `CONVERT`, `FNV_HASH`.

use sqlparser::ast::{
    BinaryOperator, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value,
};
use sqlparser::tokenizer::Span;

use super::build::{Call, argument_count, binary, call, case, cast, copy, operand, plain_arguments, position, take};
use super::ordered;
use crate::common::{Result, SqlState};
use crate::sql::cursor::{invalid, unsupported};

pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::Function(function) => {
            let Some(named) = Call::of(function) else { return Ok(()) };
            let count = argument_count(function);
            let rewritten = match named.name.as_str() {
                "listagg" | "percentile_cont" | "percentile_disc" | "approximate_count" | "variance" => {
                    return ordered::rewrite(expr, &named);
                }
                "nvl" | "isnull" if count >= 2 => {
                    plain_arguments(function).map(|args| call("coalesce", args, named.span))
                }
                "if" if count == 3 => plain_arguments(function).and_then(|args| {
                    let [condition, yes, no] = <[Expr; 3]>::try_from(args).ok()?;
                    Some(case(None, vec![(condition, yes)], Some(no)))
                }),
                "if" => return Err(named.takes("a condition and two values")),
                "concat" if count != 2 => {
                    return Err(named.takes("two arguments").with_hint("write a || b || c"));
                }
                "concat" => two(plain_arguments(function), |a, b| binary(a, BinaryOperator::StringConcat, b)),
                "mod" if count == 2 => two(plain_arguments(function), |a, b| binary(a, BinaryOperator::Modulo, b)),
                // It hashes as many bytes as the type has, and a small literal is INTEGER.
                "fnv_hash" => {
                    if let FunctionArguments::List(list) = &mut function.args
                        && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(value))) = list.args.first_mut()
                        && is_integer(value)
                    {
                        *value = cast(take(value), DataType::Integer(None));
                    }
                    return Ok(());
                }
                "decode" if count >= 3 => match plain_arguments(function) {
                    Some(args) => Some(decode(args)?),
                    None => None,
                },
                _ => return Ok(()),
            };
            match rewritten {
                Some(rewritten) => *expr = rewritten,
                None => return Err(named.takes("plain arguments")),
            }
            Ok(())
        }
        // As a call it finds the session's function, which takes VARBYTE, too.
        Expr::Substring { expr: value, substring_from: None, substring_for: None, .. } => {
            let message = "substring takes a text, a place and a length";
            Err(invalid(SqlState::SYNTAX_ERROR, message, position(value)))
        }
        Expr::Substring { expr: value, substring_from, substring_for, .. } => {
            let one = || Expr::value(Value::Number("1".to_string(), false));
            let from = substring_from.as_deref_mut().map_or_else(one, take);
            let mut args = vec![take(value), from];
            args.extend(substring_for.as_deref_mut().map(take));
            *expr = call("substr", args, Span::empty());
            Ok(())
        }
        Expr::Convert { is_try: false, expr: value, data_type: Some(data_type), charset: None, styles, .. } => {
            if let Some(style) = styles.first() {
                return Err(unsupported("a style of CONVERT", position(style)));
            }
            *expr = cast(take(value), data_type.clone());
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether it is a literal that INTEGER holds.
fn is_integer(value: &Expr) -> bool {
    match value {
        Expr::Value(value) => matches!(&value.value, Value::Number(digits, _) if digits.parse::<i32>().is_ok()),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => is_integer(expr),
        _ => false,
    }
}

fn two(args: Option<Vec<Expr>>, make: impl FnOnce(Expr, Expr) -> Expr) -> Option<Expr> {
    let [a, b] = <[Expr; 2]>::try_from(args?).ok()?;
    Some(make(a, b))
}

/// `DECODE(value, search, result, …[, default])`: as CASE, and NULL is found by a search for NULL.
fn decode(args: Vec<Expr>) -> Result<Expr> {
    let mut args = args.into_iter();
    let Some(value) = args.next() else { return Ok(Expr::value(Value::Null)) };
    let mut branches = Vec::new();
    let mut otherwise = None;
    while let Some(search) = args.next() {
        match args.next() {
            Some(result) => branches.push((search, result)),
            None => otherwise = Some(search),
        }
    }
    let literal = |e: &Expr| matches!(e, Expr::Value(v) if v.value != Value::Null);
    // What is no NULL needs no care, and the value then stands once.
    if branches.iter().all(|(search, _)| literal(search)) {
        return Ok(case(Some(value), branches, otherwise));
    }
    let mut searched = Vec::with_capacity(branches.len());
    for (search, result) in branches {
        let value = operand(copy(&value)?);
        let condition = match &search {
            Expr::Value(v) if v.value == Value::Null => Expr::IsNull(value),
            _ if literal(&search) => Expr::BinaryOp { left: value, op: BinaryOperator::Eq, right: Box::new(search) },
            _ => Expr::IsNotDistinctFrom(value, operand(search)),
        };
        searched.push((condition, result));
    }
    Ok(case(None, searched, otherwise))
}
