//! What SUPER cannot be asked is refused, instead of answered by its JSON text.
//!
//! A SUPER value is text to DataFusion: `c.name = 'x'` would compare `"x"`, with its quotes, and `upper(c.name)` change
//! JSON. Redshift compares such values by the types that they have; here a cast says which type is meant.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::logical_expr::expr::{Between, BinaryExpr, Case, InList, Like, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

use super::input_schema;
use crate::common::Error;
use crate::functions::semistructured::{is_super, takes_super};

/// See the module.
#[derive(Debug, Default)]
pub struct Supers;

impl AnalyzerRule for Supers {
    fn name(&self) -> &str {
        "blueshift_supers"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|plan| {
            let schema = input_schema(plan)?;
            plan.apply_expressions(|expr| expr.apply(|e| check(e, &schema).map(|()| TreeNodeRecursion::Continue)))
        })?;
        Ok(plan)
    }
}

fn check(expr: &Expr, schema: &DFSchema) -> Result<()> {
    let is_super = |e: &Expr| e.to_field(schema).is_ok_and(|(_, field)| is_super(&field));
    let is_null = |e: &Expr| matches!(e.get_type(schema), Ok(DataType::Null));
    let (what, asked) = match expr {
        Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. }) => return Ok(()),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            (format!("operator {op}"), is_super(left) || is_super(right))
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            ("BETWEEN".to_string(), [expr, low, high].into_iter().any(|e| is_super(e)))
        }
        Expr::InList(InList { expr, list, .. }) => ("IN".to_string(), is_super(expr) || list.iter().any(is_super)),
        Expr::Like(Like { expr, pattern, .. }) | Expr::SimilarTo(Like { expr, pattern, .. }) => {
            ("LIKE".to_string(), is_super(expr) || is_super(pattern))
        }
        // A value and its alternatives are one type, be it SUPER.
        Expr::Case(Case { expr, when_then_expr, else_expr }) => {
            let compared = expr.as_deref().is_some_and(is_super)
                || expr.is_some() && when_then_expr.iter().any(|(when, _)| is_super(when));
            let values = || when_then_expr.iter().map(|(_, then)| &**then).chain(else_expr.as_deref());
            let mixed = values().any(is_super) && !values().all(|e| is_super(e) || is_null(e));
            ("CASE with other types".to_string(), compared || mixed)
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if args.iter().any(is_super) => {
            let same = matches!(func.name(), "coalesce" | "nvl") && args.iter().all(|e| is_super(e) || is_null(e));
            (format!("function {}", func.name()), !takes_super(func.name()) && !same)
        }
        _ => return Ok(()),
    };
    if !asked {
        return Ok(());
    }
    let error = Error::unsupported(format!("the {what} on a SUPER value is not supported yet"))
        .with_hint("cast the value, as in c.name::varchar or c.price::decimal(10,2)");
    Err(DataFusionError::External(Box::new(error)))
}
