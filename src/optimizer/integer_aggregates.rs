//! Aggregations are of integers where they can be.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TransformedResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use super::replaced;
use crate::physical_plan::aggregate::IntegerAggregate;
use crate::physical_plan::config::BlueshiftOptions;

/// Puts a [`IntegerAggregate`] in the place of each aggregation that it can stand for. Stands behind all other rules, so that
/// they see DataFusion's operators.
#[derive(Debug)]
pub struct IntegerAggregates;

impl PhysicalOptimizerRule for IntegerAggregates {
    fn name(&self) -> &str {
        "blueshift_integer_aggregates"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = config.extensions.get::<BlueshiftOptions>().is_some_and(|ours| ours.integer_aggregates);
        if !wanted {
            return Ok(plan);
        }
        replaced(plan, |node| Ok(IntegerAggregate::try_new(node)?.map(|aggregate| Arc::new(aggregate) as _))).data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}
