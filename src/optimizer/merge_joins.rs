//! Joins of rows that meet in place, in the order of their keys, merge them.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TransformedResult;
use datafusion::common::{JoinType, Result};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::joins::{HashJoinExec, HashJoinExecBuilder, PartitionMode, SortMergeJoinExec};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::estimate::physical::PlanEstimator;
use super::key_filters::leaves_out;
use super::replaced;
use crate::physical_plan::config::BlueshiftOptions;

/// The order of runs (NULLs last, as sort keys have them).
const ORDER: SortOptions = SortOptions { descending: false, nulls_first: false };

/// Makes merge joins of hash joins whose sides come in the order of the key, if most rows find a partner: else the filter
/// that a hash join makes of its keys saves more than its table costs. Stands behind the rules that push filters down, which
/// pass through hash joins alone.
#[derive(Debug)]
pub struct MergeJoins;

impl PhysicalOptimizerRule for MergeJoins {
    fn name(&self) -> &str {
        "blueshift_merge_joins"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(ours) = config.extensions.get::<BlueshiftOptions>().filter(|ours| ours.merge_joins) else {
            return Ok(plan);
        };
        let mut estimator = PlanEstimator::default();
        replaced(plan, |node| {
            let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(None) };
            if !in_order(join)? || leaves_out(join, ours.key_filters_worthwhile, &mut estimator) {
                return Ok(None);
            }
            let merged = merged(join)?;
            // What stands above may count on the order that the hash join keeps of its probe side.
            let kept = match node.output_ordering() {
                Some(order) => merged.equivalence_properties().ordering_satisfy(order.clone())?,
                None => true,
            };
            Ok(kept.then_some(merged))
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Makes hash joins of those merge joins that DataFusion 55 claims an order for and gives another: outer ones with a condition
/// beside the keys, whose unmatched rows come late. Stands before the rules that build on that claim.
#[derive(Debug)]
pub struct FilteredMerges;

impl PhysicalOptimizerRule for FilteredMerges {
    fn name(&self) -> &str {
        "blueshift_filtered_merges"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        replaced(plan, |node| {
            let Some(join) = node.downcast_ref::<SortMergeJoinExec>() else { return Ok(None) };
            let outer = matches!(join.join_type(), JoinType::Left | JoinType::Right | JoinType::Full);
            let Some(filter) = join.filter().clone().filter(|_| outer) else { return Ok(None) };
            let (left, right) = (Arc::clone(join.left()), Arc::clone(join.right()));
            HashJoinExecBuilder::new(left, right, join.on().to_vec(), join.join_type())
                .with_filter(Some(filter))
                .with_partition_mode(PartitionMode::Partitioned)
                .with_null_equality(join.null_equality())
                .build_exec()
                .map(Some)
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether both sides come in the order of the only key, partition by partition.
fn in_order(join: &HashJoinExec) -> Result<bool> {
    let [(left, right)] = join.on() else { return Ok(false) };
    if !compared(*join.join_type(), &left.data_type(&join.left().schema())?) {
        return Ok(false);
    }
    // See `FilteredMerges`.
    if join.filter().is_some() || *join.partition_mode() != PartitionMode::Partitioned {
        return Ok(false);
    }
    if join.null_aware || join.fetch().is_some() {
        return Ok(false);
    }
    let by = |side: &Arc<dyn ExecutionPlan>, key: &Arc<dyn PhysicalExpr>| {
        let order = PhysicalSortExpr::new(Arc::clone(key), ORDER);
        side.equivalence_properties().ordering_satisfy([order])
    };
    Ok(by(join.left(), left)? && by(join.right(), right)?)
}

/// Whether DataFusion 55's merge join compares keys of a type: those of inner and outer joins in the order of rows, those of
/// others by a list of types, in which zones are missing and NaN is not thought of.
fn compared(join_type: JoinType, key: &DataType) -> bool {
    match join_type {
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => true,
        _ => key.is_signed_integer() || *key == DataType::Date32,
    }
}

fn merged(join: &HashJoinExec) -> Result<Arc<dyn ExecutionPlan>> {
    let merge = SortMergeJoinExec::try_new(
        Arc::clone(join.left()),
        Arc::clone(join.right()),
        join.on().to_vec(),
        join.filter().cloned(),
        *join.join_type(),
        vec![ORDER],
        join.null_equality(),
    )?;
    let Some(projection) = join.projection.as_deref() else { return Ok(Arc::new(merge)) };
    let schema = merge.schema();
    let column = |at: &usize| {
        let name = schema.field(*at).name();
        ProjectionExpr { expr: Arc::new(Column::new(name, *at)), alias: name.clone() }
    };
    Ok(Arc::new(ProjectionExec::try_new(projection.iter().map(column).collect::<Vec<_>>(), Arc::new(merge))?))
}
