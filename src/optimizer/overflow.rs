//! Whole numbers whose sum, difference or product is out of their type's range are an error, not another number.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::{AnalyzerRule, ApplyOrder, OptimizerConfig, OptimizerRule};

use super::rewrite_expressions_where;
use crate::functions::whole_numbers::{checked, checked_negative, operand};

/// Adds the rule behind the others, analyzer and optimizer: operands are of the type of the result there.
///
/// Constants are changed by the analyzer, before the optimizer computes them. All else stays an operator until the other
/// rules have seen it, since they know what operators mean.
pub fn add_to(builder: &mut SessionStateBuilder) {
    builder.analyzer().get_or_insert_default().rules.push(Arc::new(Overflow));
    builder.optimizer().get_or_insert_default().rules.push(Arc::new(Overflow));
}

/// See the module.
#[derive(Debug, Default)]
struct Overflow;

impl AnalyzerRule for Overflow {
    fn name(&self) -> &str {
        "blueshift_overflow_of_constants"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions_where(plan, concerns, |expr, schema| {
            Ok(match &expr {
                Expr::BinaryExpr(binary) if !is_constant(&binary.left) || !is_constant(&binary.right) => {
                    Transformed::no(expr)
                }
                Expr::Negative(x) if !is_constant(x) => Transformed::no(expr),
                _ => rewrite(expr, schema),
            })
        })
        .data()
    }
}

impl OptimizerRule for Overflow {
    fn name(&self) -> &str {
        "blueshift_overflow"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        None
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        rewrite_expressions_where(plan, concerns, |expr, schema| Ok(rewrite(expr, schema)))
    }
}

fn is_checked(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply)
}

fn concerns(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(binary) => is_checked(binary.op),
        other => matches!(other, Expr::Negative(_)),
    }
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::BinaryExpr(binary)
            if is_checked(binary.op)
                && whole(&binary.right, schema).is_some_and(|of| whole(&binary.left, schema) == Some(of)) =>
        {
            Transformed::yes(checked(binary))
        }
        Expr::Negative(x) if whole(&x, schema).is_some() => Transformed::yes(checked_negative(*x)),
        other => Transformed::no(other),
    }
}

/// The type of a whole number.
fn whole(mut expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    while let Some(operand) = operand(expr) {
        expr = operand;
    }
    expr.get_type(schema).ok().filter(DataType::is_integer)
}

/// What the analyzer has changed is a constant.
fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        Expr::Cast(Cast { expr, .. }) => is_constant(expr),
        other => operand(other).is_some(),
    }
}
