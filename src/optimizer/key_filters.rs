//! Scans below joins are told of the joins' keys by filters that are cheap to ask.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, lit};
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;

use super::estimate::physical::PlanEstimator;
use super::estimate::{Matched, column_of};
use super::{over, replaced};
use crate::physical_plan::collocated_join::CollocatedJoinExec;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::key_filter::BuildKeys;
use crate::physical_plan::routed::RoutedFilter;
use crate::physical_plan::scan::SliceScan;

/// Puts a [`BuildKeys`] on the build side of each hash join whose own filter a scan of ours has taken, and its filter beside
/// that one: what it is right to leave out by the one, it is by the other, but for NOT IN. Stands behind the rules that push filters down.
#[derive(Debug)]
pub struct KeyFilters;

impl PhysicalOptimizerRule for KeyFilters {
    fn name(&self) -> &str {
        "blueshift_key_filters"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(ours) = config.extensions.get::<BlueshiftOptions>().filter(|ours| ours.key_filters) else {
            return Ok(plan);
        };
        // Before joins are rewritten, so that each node is estimated once.
        let (mut estimator, mut gaining) = (PlanEstimator::default(), HashSet::new());
        plan.apply(|node| {
            if let Some((join, own)) = filtering(node)
                && leaves_out(join, ours.key_filters_worthwhile, &mut estimator)
            {
                gaining.extend(own.expression_id());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        if gaining.is_empty() {
            return Ok(plan);
        }
        replaced(plan, |node| told(node, &gaining)).data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A hash join, and the filter that it makes for its probe side.
fn filtering(node: &Arc<dyn ExecutionPlan>) -> Option<(&HashJoinExec, Arc<dyn PhysicalExpr>)> {
    let collocated = node.downcast_ref::<CollocatedJoinExec>().map(CollocatedJoinExec::join);
    let join = collocated.or(node.downcast_ref::<HashJoinExec>())?;
    // NOT IN has to see that there is a NULL, which DataFusion's filter lets pass.
    if join.null_aware {
        return None;
    }
    node.dynamic_expressions_produced().pop().map(|own| (join, own))
}

/// Whether a filter of a join's keys leaves out enough of the probe side: no more than `share` of its rows find a partner, as
/// far as estimates tell.
pub(super) fn leaves_out(join: &HashJoinExec, share: f64, estimator: &mut PlanEstimator) -> bool {
    matched(join, estimator).is_none_or(|matched| matched.right <= share)
}

/// What a join's keys match, as far as the sides can be estimated.
pub(super) fn matched(join: &HashJoinExec, estimator: &mut PlanEstimator) -> Option<Matched> {
    let (left, right) = estimator.estimate(join.left()).zip(estimator.estimate(join.right()))?;
    let keys: Vec<_> = join.on().iter().map(|(l, r)| (column_of(l, &left), column_of(r, &right))).collect();
    Some(Matched::of(&keys, &left, &right, 1.0))
}

/// A join whose scans are told of its keys, if its own filter is among those that are worth it.
fn told(node: &Arc<dyn ExecutionPlan>, gaining: &HashSet<u64>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some((join, own)) = filtering(node) else { return Ok(None) };
    if !own.expression_id().is_some_and(|id| gaining.contains(&id)) {
        return Ok(None);
    }
    let own = &own;
    let (of_left, of_right): (Vec<_>, Vec<_>) = join.on().iter().cloned().unzip();
    let filter = Arc::new(DynamicFilterPhysicalExpr::new(of_right, lit(true)));
    let probe = replaced(Arc::clone(join.right()), |below| beside(below, own, &filter))?;
    if !probe.transformed {
        return Ok(None);
    }
    let build = Arc::new(BuildKeys::new(Arc::clone(join.left()), of_left, join.null_equality(), filter));
    over(node, vec![build, probe.data]).map(Some)
}

/// A scan that has taken the join's own filter, with the other one beside it.
fn beside(
    node: &Arc<dyn ExecutionPlan>,
    own: &Arc<dyn PhysicalExpr>,
    filter: &Arc<DynamicFilterPhysicalExpr>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(source) = node.downcast_ref::<DataSourceExec>() else { return Ok(None) };
    let Some(scan) = source.data_source().downcast_ref::<SliceScan>() else { return Ok(None) };
    for conjunct in scan.filters().iter().flat_map(split_conjunction) {
        let routed = conjunct.downcast_ref::<RoutedFilter>().map(RoutedFilter::filter);
        let taken: Arc<dyn PhysicalExpr> = match routed {
            Some(filter) => Arc::clone(filter) as _,
            None => Arc::clone(conjunct),
        };
        if !taken.is::<DynamicFilterPhysicalExpr>() || taken.children().len() != own.children().len() {
            continue;
        }
        // Over the scan's columns the join's filter is another expression, made in one way only.
        let columns: Vec<_> = taken.children().into_iter().cloned().collect();
        if Arc::clone(own).with_new_children(columns.clone())? == taken {
            let told = scan.told(Arc::clone(filter).with_new_children(columns)?);
            return Ok(Some(Arc::new(source.clone().with_data_source(Arc::new(told)))));
        }
    }
    Ok(None)
}
