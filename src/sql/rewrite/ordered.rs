//! Aggregates with an order: LISTAGG, percentiles before OVER, and APPROXIMATE.

use sqlparser::ast::{
    DataType, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Ident, ObjectName, ObjectNamePart, OrderByExpr, Value, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowType,
};

use super::build::{Call, cast, take};
use crate::common::Result;
use crate::sql::cursor::unsupported;

pub(super) fn rewrite(expr: &mut Expr, call: &Call) -> Result<()> {
    let Expr::Function(function) = expr else { return Ok(()) };
    match call.name.as_str() {
        "listagg" => listagg(function, call),
        "variance" => {
            rename(function, "var_samp", call);
            Ok(())
        }
        "approximate_count" => {
            let FunctionArguments::List(list) = &mut function.args else { return Ok(()) };
            list.duplicate_treatment = None;
            rename(function, "approx_distinct", call);
            // DataFusion counts in an unsigned type, which no column can have.
            *expr = cast(take(expr), DataType::BigInt(None));
            Ok(())
        }
        _ => percentile(function, call),
    }
}

fn rename(function: &mut Function, name: &str, call: &Call) {
    function.name = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_span(call.span, name))]);
}

fn literal(value: Value) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::value(value)))
}

/// `LISTAGG([DISTINCT] x [, separator]) [WITHIN GROUP (ORDER BY …)] [OVER (PARTITION BY …)]`: the order
/// stands within the parentheses or, for a window, in the window.
fn listagg(function: &mut Function, call: &Call) -> Result<()> {
    let order = std::mem::take(&mut function.within_group);
    let FunctionArguments::List(list) = &mut function.args else { return Err(call.takes("text and a separator")) };
    if list.args.is_empty() || list.args.len() > 2 {
        return Err(call.takes("text and a separator"));
    }
    if function.over.is_some() && list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
        return Err(unsupported("LISTAGG(DISTINCT …) OVER", call.position())
            .with_hint("aggregate in a subquery with GROUP BY, and join it"));
    }
    if !order.is_empty() {
        match &mut function.over {
            None => list.clauses.push(FunctionArgumentClause::OrderBy(order)),
            Some(window) => order_window(window, order, call)?,
        }
    }
    Ok(())
}

/// All rows of the partition, in an order.
fn order_window(window: &mut WindowType, order: Vec<OrderByExpr>, call: &Call) -> Result<()> {
    match window {
        WindowType::WindowSpec(window)
            if window.order_by.is_empty() && window.window_frame.is_none() && window.window_name.is_none() =>
        {
            window.order_by = order;
            window.window_frame = Some(WindowFrame {
                units: WindowFrameUnits::Rows,
                start_bound: WindowFrameBound::Preceding(None),
                end_bound: Some(WindowFrameBound::Following(None)),
            });
            Ok(())
        }
        _ => Err(unsupported("a window with an order or a name after WITHIN GROUP", call.position())
            .with_hint("only PARTITION BY stands in the window")),
    }
}

/// `percentile(p) WITHIN GROUP (ORDER BY x [DESC]) OVER (…)` as a call with all in its parentheses: DataFusion's planner
/// takes no WITHIN GROUP before OVER.
fn percentile(function: &mut Function, call: &Call) -> Result<()> {
    if function.over.is_none() || function.within_group.is_empty() {
        return Ok(());
    }
    let FunctionArguments::List(list) = &mut function.args else { return Ok(()) };
    let (1, Some(order), 1) = (function.within_group.len(), function.within_group.pop(), list.args.len()) else {
        return Err(call.takes("one percentile, and orders by one value"));
    };
    list.args.insert(0, FunctionArg::Unnamed(FunctionArgExpr::Expr(order.expr)));
    if order.options.asc == Some(false) {
        list.args.push(literal(Value::Boolean(true)));
    }
    Ok(())
}
