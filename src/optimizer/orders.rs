//! Inputs have the order that is asked of them.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TransformedResult;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::{over, replaced};

/// Sorts inputs that have lost the order that is asked of them. A rule that leaves a sort out since a column is constant is
/// followed by others, which move a projection into a join and so forget that it is. Stands before the check that would
/// refuse the plan.
#[derive(Debug)]
pub struct Orders;

impl PhysicalOptimizerRule for Orders {
    fn name(&self) -> &str {
        "blueshift_orders"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        replaced(plan, |node| {
            let mut sorted = false;
            let mut inputs = Vec::new();
            for (input, asked) in node.children().into_iter().zip(node.required_input_ordering()) {
                let input = Arc::clone(input);
                inputs.push(match asked.map(|asked| asked.into_single()) {
                    Some(asked) if !input.equivalence_properties().ordering_satisfy_requirement(asked.clone())? => {
                        sorted = true;
                        let sort = SortExec::new(LexOrdering::from(asked), input);
                        Arc::new(sort.with_preserve_partitioning(true))
                    }
                    _ => input,
                });
            }
            if sorted { over(node, inputs).map(Some) } else { Ok(None) }
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}
