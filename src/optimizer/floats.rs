//! A floating-point number among decimals makes them floating-point numbers, as in Redshift ("Numeric types": a DOUBLE
//! with a DECIMAL is a DOUBLE). DataFusion makes all DECIMAL(30, 15), which loses small values and fails at large ones.
//!
//! Of comparisons, and of values to choose from; before types are coerced. Literals beside a floating-point number are
//! [`super::literals`]'s.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_expressions;
use crate::physical_plan::guarded::compares;

/// See the module.
#[derive(Debug, Default)]
pub struct Floats;

impl AnalyzerRule for Floats {
    fn name(&self) -> &str {
        "blueshift_floats"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, |mut expr, schema| {
            Ok(if rewrite(&mut expr, schema) { Transformed::yes(expr) } else { Transformed::no(expr) })
        })
        .data()
    }
}

/// Whether something changed.
fn rewrite(expr: &mut Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::BinaryExpr(binary) if compares(binary.op) => {
            agree([binary.left.as_mut(), binary.right.as_mut()].into(), schema)
        }
        Expr::Between(between) => {
            agree([between.expr.as_mut(), between.low.as_mut(), between.high.as_mut()].into(), schema)
        }
        Expr::InList(list) => agree(std::iter::once(list.expr.as_mut()).chain(&mut list.list).collect(), schema),
        Expr::Case(case) => {
            let mut compared = Vec::new();
            let mut chosen = Vec::new();
            let base = case.expr.as_deref_mut();
            let simple = base.is_some();
            compared.extend(base);
            for (when, then) in &mut case.when_then_expr {
                if simple {
                    compared.push(when.as_mut());
                }
                chosen.push(then.as_mut());
            }
            chosen.extend(case.else_expr.as_deref_mut());
            agree(compared, schema) | agree(chosen, schema)
        }
        Expr::ScalarFunction(call) => match call.func.name() {
            "coalesce" | "nvl" | "ifnull" | "nullif" | "greatest" | "least" => {
                agree(call.args.iter_mut().collect(), schema)
            }
            "nvl2" | "if" => agree(call.args.iter_mut().skip(1).collect(), schema),
            _ => false,
        },
        _ => false,
    }
}

/// Makes values floating-point numbers, where one is and others are decimals. Whether any was changed.
fn agree(values: Vec<&mut Expr>, schema: &DFSchema) -> bool {
    // A type that cannot be told here, of a parameter or an outer query's column, decides nothing.
    let types: Vec<Option<DataType>> = values.iter().map(|value| value.get_type(schema).ok()).collect();
    if !types.iter().flatten().any(DataType::is_floating) {
        return false;
    }
    let mut changed = false;
    for (value, of) in values.into_iter().zip(types) {
        if of.is_some_and(|of| of.is_decimal()) {
            *value = cast(std::mem::take(value), DataType::Float64);
            changed = true;
        }
    }
    changed
}
