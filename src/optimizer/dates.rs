//! A date beside a timestamp is the timestamp of its midnight.
//!
//! DataFusion would compare both as timestamps of nanoseconds, which end in 2262, and the cast hides a DATE column from
//! zone maps: `d >= dateadd(day, -7, getdate())` is to prune.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Between, BinaryExpr, InList, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_expressions;
use crate::functions::midnight;
use crate::physical_plan::guarded::compares;

/// See the module.
#[derive(Debug, Default)]
pub struct Dates;

impl AnalyzerRule for Dates {
    fn name(&self) -> &str {
        "blueshift_dates"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, |expr, schema| Ok(rewrite(expr, schema))).data()
    }
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    // A type that cannot be told here (of an outer query's column) is left to coercion.
    let is = |expr: &Expr, wanted: fn(&DataType) -> bool| expr.get_type(schema).is_ok_and(|found| wanted(&found));
    let is_date = |expr: &Expr| is(expr, |found| *found == DataType::Date32);
    let is_timestamp = |expr: &Expr| is(expr, |found| matches!(found, DataType::Timestamp(_, None)));
    let moment = |expr: Expr| match is_date(&expr) {
        true => Expr::ScalarFunction(ScalarFunction::new_udf(midnight(), vec![expr])),
        false => expr,
    };
    let boxed = |expr: Box<Expr>| Box::new(moment(*expr));
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if compares(op)
                && ((is_date(&left) && is_timestamp(&right)) || (is_timestamp(&left) && is_date(&right))) =>
        {
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: boxed(left), op, right: boxed(right) }))
        }
        Expr::Between(between) => {
            let all = [&between.expr, &between.low, &between.high];
            if !all.iter().any(|e| is_date(e)) || !all.iter().any(|e| is_timestamp(e)) {
                return Transformed::no(Expr::Between(between));
            }
            let Between { expr, negated, low, high } = between;
            let (expr, low, high) = (boxed(expr), boxed(low), boxed(high));
            Transformed::yes(Expr::Between(Between { expr, negated, low, high }))
        }
        Expr::InList(list) => {
            let all = || std::iter::once(list.expr.as_ref()).chain(&list.list);
            if !all().any(is_date) || !all().any(is_timestamp) {
                return Transformed::no(Expr::InList(list));
            }
            let InList { expr, list, negated } = list;
            let list = list.into_iter().map(moment).collect();
            Transformed::yes(Expr::InList(InList { expr: boxed(expr), list, negated }))
        }
        other => Transformed::no(other),
    }
}
