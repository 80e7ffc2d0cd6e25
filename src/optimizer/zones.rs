//! Local times beside instants are taken in the session's time zone.
//!
//! DataFusion would read them as UTC. In a comparison with a TIMESTAMPTZ, text, a TIMESTAMP and a DATE become instants
//! of the zone; functions that look at the calendar see an instant as the zone shows it. Before types are coerced.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Between, BinaryExpr, Cast, InList, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_expressions;
use crate::common::sql_type::UTC;
use crate::functions::CALENDAR;
use crate::functions::zones::{Zoned, in_zone};
use crate::physical_plan::guarded::compares;

/// See the module.
#[derive(Debug, Default)]
pub struct ZonedTimes;

impl AnalyzerRule for ZonedTimes {
    fn name(&self) -> &str {
        "blueshift_zones"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let zone = config.execution.time_zone.as_deref();
        rewrite_expressions(plan, |expr, schema| Ok(rewrite(expr, schema, zone))).data()
    }
}

fn rewrite(expr: Expr, schema: &DFSchema, zone: Option<&str>) -> Transformed<Expr> {
    let zoned = |e: &Expr| matches!(e.get_type(schema), Ok(DataType::Timestamp(_, Some(_))));
    let local = |e: &Expr| {
        matches!(
            e.get_type(schema),
            Ok(DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Date32
                | DataType::Date64
                | DataType::Timestamp(_, None))
        )
    };
    let instant = |e: Box<Expr>| if local(&e) { Box::new(in_zone(Zoned::Instants, *e, zone)) } else { e };
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if compares(op) && (zoned(&left) && local(&right) || local(&left) && zoned(&right)) =>
        {
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: instant(left), op, right: instant(right) }))
        }
        Expr::Between(Between { expr, negated, low, high })
            if [&expr, &low, &high].into_iter().any(|e| zoned(e))
                && [&expr, &low, &high].into_iter().any(|e| local(e)) =>
        {
            let (low, high) = (instant(low), instant(high));
            Transformed::yes(Expr::Between(Between { expr: instant(expr), negated, low, high }))
        }
        Expr::InList(InList { expr, list, negated }) if zoned(&expr) && list.iter().any(local) => {
            let list = list.into_iter().map(|e| *instant(Box::new(e))).collect();
            Transformed::yes(Expr::InList(InList { expr, list, negated }))
        }
        Expr::ScalarFunction(ScalarFunction { func, args })
            if zone.is_some_and(|zone| zone != UTC) && CALENDAR.contains(&func.name()) =>
        {
            let shown = DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
            let mut changed = false;
            let args = args
                .into_iter()
                .map(|arg| {
                    if !zoned(&arg) || arg.get_type(schema).is_ok_and(|t| t == shown) {
                        return arg;
                    }
                    changed = true;
                    Expr::Cast(Cast::new(Box::new(arg), shown.clone()))
                })
                .collect();
            let call = Expr::ScalarFunction(ScalarFunction { func, args });
            if changed { Transformed::yes(call) } else { Transformed::no(call) }
        }
        other => Transformed::no(other),
    }
}
