//! The last look at a plan: rows that are to meet must have been placed by the same function.
//!
//! DataFusion's own check takes any two claims of `Partitioning::Hash` for the same function of the same columns.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode, SortMergeJoinExec};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::physical_plan::collocated_join::CollocatedJoinExec;
use crate::physical_plan::exchange::Exchange;
use crate::physical_plan::placement::{Placement, hash_form, hashed, placement};
use crate::physical_plan::scan::SliceScan;

/// Refuses a plan in which rows that a join is to bring together may be in different partitions. It changes nothing.
#[derive(Debug)]
pub struct Meeting;

impl PhysicalOptimizerRule for Meeting {
    fn name(&self) -> &str {
        "blueshift_meeting"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.apply(|node| {
            check(node)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(plan)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

type Exprs = Vec<Arc<dyn PhysicalExpr>>;

fn check(node: &Arc<dyn ExecutionPlan>) -> Result<()> {
    let (left, right, by): (_, _, (Exprs, Exprs)) = if let Some(join) = node.downcast_ref::<CollocatedJoinExec>() {
        let (of_left, of_right) = join.key();
        let (left, right) = (join.join().left(), join.join().right());
        let equates = |(l, r): &(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)| {
            hashed(l, &left.schema()).eq(&of_left) && hashed(r, &right.schema()).eq(&of_right)
        };
        // What places rows must be what the join equates.
        if !join.join().on().iter().any(equates) {
            return Err(wrong(node, format!("it does not equate {of_left} and {of_right}")));
        }
        (left, right, (vec![of_left], vec![of_right]))
    } else if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        if *join.partition_mode() != PartitionMode::Partitioned {
            return Ok(());
        }
        (join.left(), join.right(), join.on().iter().cloned().unzip())
    } else if let Some(join) = node.downcast_ref::<SortMergeJoinExec>() {
        (join.left(), join.right(), join.on().iter().cloned().unzip())
    } else {
        return Ok(());
    };
    let counts = [left, right].map(|side| side.output_partitioning().partition_count());
    if counts[0] != counts[1] {
        return Err(wrong(node, format!("{} partitions on the left, {} on the right", counts[0], counts[1])));
    }
    if counts[0] == 1 {
        return Ok(());
    }
    if matches!(
        (left.output_partitioning(), right.output_partitioning()),
        (Partitioning::Range(_), Partitioning::Range(_))
    ) {
        return Ok(());
    }
    for (of_left, of_right) in by.0.iter().zip(&by.1) {
        let forms = [of_left.data_type(&left.schema())?, of_right.data_type(&right.schema())?].map(|t| hash_form(&t));
        if forms[0] != forms[1] {
            return Err(wrong(node, format!("{of_left} and {of_right} hash as {} and {}", forms[0], forms[1])));
        }
    }
    let (mut placed, mut trusted) = (0, Vec::new());
    for (side, exprs) in [(left, &by.0), (right, &by.1)] {
        match placement(side) {
            Placement::By(key) if key.is_equal(exprs, side.as_ref()) => placed += 1,
            Placement::By(key) => {
                let by: Vec<String> = key.parts.iter().flat_map(|p| p.exprs.first()).map(|e| e.to_string()).collect();
                return Err(wrong(
                    node,
                    format!("rows are placed by {} where {} is asked for", by.join(", "), list(exprs)),
                ));
            }
            Placement::Everywhere => {
                return Err(wrong(node, format!("nothing places rows by {}", list(exprs))));
            }
            // An operator that placement does not know: then its claim counts, where all below it place rows alike.
            Placement::Unknown => match side.output_partitioning() {
                Partitioning::Hash(_, _) => trusted.push(functions(side)?),
                other => return Err(wrong(node, format!("{other} where rows are asked for by {}", list(exprs)))),
            },
        }
    }
    let foreign = |functions: &Vec<String>| functions.iter().any(|f| f != OURS);
    let alike = match &trusted[..] {
        [one, other] => one == other || !(foreign(one) || foreign(other)),
        [one] => placed == 1 && !foreign(one),
        _ => true,
    };
    match alike {
        true => Ok(()),
        false => Err(wrong(node, "its sides are placed by different functions".to_string())),
    }
}

fn wrong(node: &Arc<dyn ExecutionPlan>, what: String) -> DataFusionError {
    DataFusionError::Internal(format!("{} would miss matches: {what}", node.name()))
}

fn list(exprs: &[Arc<dyn PhysicalExpr>]) -> String {
    exprs.iter().map(|e| e.to_string()).collect::<Vec<_>>().join(", ")
}

/// What [`functions`] calls the slice hash, which is DataFusion's.
const OURS: &str = "hash";

/// By which functions the sources below place rows: exchanges, and scans that nothing moves.
fn functions(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    plan.apply(|node| {
        let exchange = match (node.downcast_ref::<Exchange>(), node.downcast_ref::<RepartitionExec>()) {
            (Some(exchange), _) => Some(exchange.partitioning()),
            (_, Some(exchange)) => Some(exchange.partitioning()),
            _ => None,
        };
        if matches!(exchange, Some(Partitioning::Hash(_, _))) {
            found.push(OURS.to_string());
            return Ok(TreeNodeRecursion::Jump);
        }
        if node.children().is_empty() && matches!(node.output_partitioning(), Partitioning::Hash(_, _)) {
            let ours = node.downcast_ref::<DataSourceExec>().is_some_and(|s| s.data_source().is::<SliceScan>());
            found.push(if ours { OURS.to_string() } else { node.name().to_string() });
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    found.sort();
    found.dedup();
    Ok(found)
}
