//! Exchanges and broadcasts of a finished plan are Blueshift's: they count what moves.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TransformedResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::movement::moves;
use super::{over, replaced};
use crate::physical_plan::broadcast::Broadcast;
use crate::physical_plan::exchange::Exchange;
use crate::physical_plan::placement::in_every_slice;

/// Puts an [`Exchange`] in the place of each of DataFusion's by hash, and a [`Broadcast`] in that of each gathering of rows
/// that a whole join probes. No rule behind it looks for those.
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
        replaced(plan, |node| match node.downcast_ref::<RepartitionExec>() {
            Some(repartition) => Ok(Exchange::of(repartition)?.map(|exchange| Arc::new(exchange) as _)),
            None => broadcast(node).map(|sides| over(node, sides)).transpose(),
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The sides of a join whose left one goes to where the right one is, if rows have to move for that.
fn broadcast(join: &Arc<dyn ExecutionPlan>) -> Option<Vec<Arc<dyn ExecutionPlan>>> {
    let gathers =
        join.downcast_ref::<HashJoinExec>().is_some_and(|join| *join.partition_mode() == PartitionMode::CollectLeft)
            || join.is::<NestedLoopJoinExec>()
            || join.is::<CrossJoinExec>();
    let [left, right] = join.children()[..] else { return None };
    if !gathers || in_every_slice(left) {
        return None;
    }
    let gather = left.downcast_ref::<CoalescePartitionsExec>().filter(|_| left.fetch().is_none());
    let inner = gather.map_or(left, CoalescePartitionsExec::input);
    let (from, to) = (inner.output_partitioning().partition_count(), right.output_partitioning().partition_count());
    let moves = from > 1 || to > 1;
    moves.then(|| vec![Arc::new(Broadcast::new(Arc::clone(inner), to)) as _, Arc::clone(right)])
}
