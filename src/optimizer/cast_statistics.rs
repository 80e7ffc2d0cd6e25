//! MIN and MAX of cast values are computed, unless the cast keeps the order.
//!
//! DataFusion 55.2 casts a column's statistics with the column: of the integers 2 and 10 as text, the greatest would be
//! '10'. Where a projection casts a column so, aggregates above it are not answered from statistics; others are, as ever.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::CastExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

/// DataFusion's rule.
const GUARDED: &str = "aggregate_statistics";

/// See the module.
#[derive(Debug)]
pub struct CastStatistics {
    rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

/// Puts this rule in the place of the one that it guards, where that is among the rules.
pub fn guard_statistics(rules: &mut [Arc<dyn PhysicalOptimizerRule + Send + Sync>]) {
    for rule in rules.iter_mut().filter(|rule| rule.name() == GUARDED) {
        *rule = Arc::new(CastStatistics { rule: Arc::clone(rule) });
    }
}

impl PhysicalOptimizerRule for CastStatistics {
    fn name(&self) -> &str {
        "blueshift_cast_statistics"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if !reorders_below(&plan)? {
            return self.rule.optimize(plan, config);
        }
        plan.map_children(|child| self.optimize(child, config).map(Transformed::yes)).data()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

/// Whether a projection within the plan casts a column to another order.
fn reorders_below(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
            let schema = projection.input().schema();
            for projected in projection.expr() {
                found |= reorders(&projected.expr, &schema)?;
            }
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Of casts within casts any; of what else is computed DataFusion knows no statistics.
fn reorders(expr: &Arc<dyn PhysicalExpr>, schema: &arrow::datatypes::Schema) -> Result<bool> {
    match expr.downcast_ref::<CastExpr>() {
        Some(cast) => {
            Ok(!keeps_order(&cast.expr().data_type(schema)?, cast.cast_type()) || reorders(cast.expr(), schema)?)
        }
        None => Ok(false),
    }
}

fn keeps_order(from: &DataType, to: &DataType) -> bool {
    let from = if let DataType::Dictionary(_, value) = from { value } else { from };
    from == to
        || ((from.is_numeric() || *from == DataType::Boolean) && to.is_numeric())
        || (is_moment(from) && is_moment(to))
        || (is_instant(from) && is_instant(to))
        || (from.is_string() && to.is_string())
        || (from.is_binary() && to.is_binary())
}

/// A date or a local time of a date. What a time zone shows of an instant goes back when clocks do.
fn is_moment(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, None))
}

fn is_instant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, Some(_)))
}

#[cfg(test)]
mod tests {
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

    use super::*;

    #[test]
    fn the_rule_that_it_guards_is_there() {
        let mut rules = PhysicalOptimizer::new().rules;
        let at = rules.iter().position(|rule| rule.name() == GUARDED).unwrap();
        guard_statistics(&mut rules);
        assert_eq!(rules[at].name(), "blueshift_cast_statistics");
        let guarded = rules.len();
        guard_statistics(&mut rules);
        assert_eq!((rules.len(), rules[at].name()), (guarded, "blueshift_cast_statistics"));
    }

    #[test]
    fn orders_are_kept_within_a_kind() {
        use DataType::{Boolean, Date32, Decimal128, Float64, Int32, Time64, Timestamp, Utf8, Utf8View};
        let micros = arrow::datatypes::TimeUnit::Microsecond;
        for (from, to, kept) in [
            (Int32, Float64, true),
            (Decimal128(9, 2), Int32, true),
            (Boolean, Int32, true),
            (Utf8, Utf8View, true),
            (Int32, Utf8View, false),
            (Utf8View, Int32, false),
            (Int32, Boolean, false),
            (Utf8View, Date32, false),
            (Date32, Utf8View, false),
            (Timestamp(micros, None), Date32, true),
            (Timestamp(micros, None), Time64(micros), false),
            (Timestamp(micros, Some("Europe/Paris".into())), Date32, false),
        ] {
            assert_eq!(keeps_order(&from, &to), kept, "{from} to {to}");
        }
    }
}
