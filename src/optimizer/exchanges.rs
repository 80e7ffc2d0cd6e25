//! Exchanges of a finished plan are Blueshift's: they count what moves.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::repartition::RepartitionExec;

use super::movement::moves;
use crate::physical_plan::exchange::Exchange;

/// Puts an [`Exchange`] in the place of each of DataFusion's by hash. No rule behind it looks for those.
#[derive(Debug)]
pub struct Exchanges;

impl PhysicalOptimizerRule for Exchanges {
    fn name(&self) -> &str {
        "blueshift_exchanges"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if !moves(config) {
            return Ok(plan);
        }
        plan.transform_up(|node| {
            let exchange = node.downcast_ref::<RepartitionExec>().map(Exchange::of).transpose()?.flatten();
            Ok(match exchange {
                Some(exchange) => Transformed::yes(Arc::new(exchange) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}
