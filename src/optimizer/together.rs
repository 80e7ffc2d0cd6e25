//! Joins whose partitions wait for each other have all of them begun.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode, SortMergeJoinExec};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::{over, replaced};
use crate::physical_plan::abreast::Abreast;
use crate::physical_plan::broadcast::Broadcast;
use crate::physical_plan::collocated_join::CollocatedJoinExec;
use crate::physical_plan::exchange::Exchange;
use crate::physical_plan::spool::Spool;

/// Puts an [`Abreast`] above each join that waits for all partitions, where one above that may pass over a partition. Stands
/// behind the rule that gives joins their filters.
#[derive(Debug)]
pub struct Together;

impl PhysicalOptimizerRule for Together {
    fn name(&self) -> &str {
        "blueshift_together"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        replaced(plan, |node| {
            let passes_over = may_pass_over(node);
            let (mut sides, mut changed) = (Vec::new(), false);
            for (at, side) in node.children().into_iter().enumerate() {
                let begun = match passes_over.contains(&at) {
                    true => begun(Arc::clone(side))?,
                    false => Transformed::no(Arc::clone(side)),
                };
                changed |= begun.transformed;
                sides.push(begun.data);
            }
            if changed { over(node, sides).map(Some) } else { Ok(None) }
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The inputs of which a join may leave a partition unread.
fn may_pass_over(join: &Arc<dyn ExecutionPlan>) -> &'static [usize] {
    let divided =
        join.downcast_ref::<HashJoinExec>().is_some_and(|join| *join.partition_mode() == PartitionMode::Partitioned);
    match () {
        _ if divided || join.is::<CollocatedJoinExec>() => &[1],
        _ if join.is::<SortMergeJoinExec>() => &[0, 1],
        _ => &[],
    }
}

/// A side of which what may wait is begun in all partitions, as far as rows come from one of them and no task reads all.
fn begun(side: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    side.transform_down(|plan| {
        let reads_all = plan.is::<Exchange>()
            || plan.is::<RepartitionExec>()
            || plan.is::<Broadcast>()
            || plan.is::<CoalescePartitionsExec>()
            || plan.is::<SortPreservingMergeExec>()
            || plan.is::<Spool>()
            || plan.is::<Abreast>();
        if reads_all || plan.output_partitioning().partition_count() == 1 {
            return Ok(Transformed::new(plan, false, TreeNodeRecursion::Jump));
        }
        let joins = plan.is::<HashJoinExec>() || plan.is::<CollocatedJoinExec>();
        if joins && !plan.dynamic_expressions_produced().is_empty() {
            return Ok(Transformed::new(Arc::new(Abreast::new(plan)) as _, true, TreeNodeRecursion::Jump));
        }
        Ok(Transformed::no(plan))
    })
}
