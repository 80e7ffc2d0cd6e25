//! Estimates of physical plans, by which joins choose their sides and what moves.
//!
//! DataFusion's own operators forget much on the way up: the bytes of a join's rows, the rows of a nested loop, filters of
//! joins. Here they are told as for logical plans.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::{JoinSide, JoinType, Result, Statistics};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::projection::ProjectionRef;
use datafusion::physical_plan::aggregates::AggregateMode;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::operator_statistics::{
    DefaultStatisticsProvider, ExtendedStatistics, StatisticsProvider, StatisticsRegistry, StatisticsResult,
};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, PhysicalExpr};

use super::{ColumnEstimate, Estimate, column_of, selectivity};
use crate::optimizer::cost::table_bytes;
use crate::physical_plan::aggregate::aggregation_of;
use crate::physical_plan::collocated_join::CollocatedJoinExec;
use crate::physical_plan::scan::SliceScan;

/// Estimates plans, each part of them once.
#[derive(Debug, Default)]
pub struct PlanEstimator {
    /// By the address of a node, which is kept.
    known: HashMap<usize, Known>,
}

/// A node and its estimate.
type Known = (Arc<dyn ExecutionPlan>, Option<Arc<Estimate>>);

impl PlanEstimator {
    /// `None` where a source below tells nothing.
    pub fn estimate(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<Estimate>> {
        let at = Arc::as_ptr(plan).cast::<()>() as usize;
        if let Some((_, known)) = self.known.get(&at) {
            return known.clone();
        }
        let inputs: Vec<_> = plan.children().into_iter().map(|child| self.estimate(child)).collect();
        let estimate = estimate(plan.as_ref(), &inputs).map(Arc::new);
        self.known.insert(at, (Arc::clone(plan), estimate.clone()));
        estimate
    }
}

/// Tells DataFusion's rules, by the session's registry of statistics.
#[derive(Debug)]
pub struct Estimates;

/// What asks [`Estimates`], and DataFusion's operators for what they do not know.
pub fn registry() -> StatisticsRegistry {
    StatisticsRegistry::with_providers(vec![Arc::new(Estimates), Arc::new(DefaultStatisticsProvider)])
}

impl StatisticsProvider for Estimates {
    fn compute_statistics(&self, plan: &dyn ExecutionPlan, inputs: &[ExtendedStatistics]) -> Result<StatisticsResult> {
        let known: Vec<_> = inputs.iter().map(|input| input.get_extension::<Arc<Estimate>>().cloned()).collect();
        let Some(estimate) = estimate(plan, &known) else {
            if inputs.is_empty() {
                return Ok(StatisticsResult::Delegate);
            }
            // What is below is known already, and not to be asked for again.
            let inputs: Vec<_> = inputs.iter().map(|input| Arc::clone(input.base_arc())).collect();
            let told = plan.statistics_from_inputs(&inputs, &StatisticsArgs::new())?;
            return Ok(StatisticsResult::Computed(ExtendedStatistics::new_arc(told)));
        };
        let mut told = ExtendedStatistics::new(Statistics {
            num_rows: Precision::Inexact(estimate.rows.ceil() as usize),
            // For the choice of sides.
            total_byte_size: Precision::Inexact(table_bytes(estimate.rows, estimate.width()).ceil() as usize),
            column_statistics: Statistics::unknown_column(&plan.schema()),
        });
        told.set_extension(Arc::new(estimate));
        Ok(StatisticsResult::Computed(told))
    }
}

/// Of one node over its inputs.
fn estimate(plan: &dyn ExecutionPlan, inputs: &[Option<Arc<Estimate>>]) -> Option<Estimate> {
    match inputs {
        [] => source(plan),
        [input] => over_one(plan, input.as_ref()?),
        inputs if plan.is::<UnionExec>() || plan.is::<InterleaveExec>() => {
            Estimate::united(inputs.iter().cloned().collect::<Option<_>>()?)
        }
        [left, right] => Some(joined(plan, left.as_ref()?, right.as_ref()?)?.limited(plan.fetch())),
        _ => None,
    }
}

fn source(plan: &dyn ExecutionPlan) -> Option<Estimate> {
    let scan = plan.downcast_ref::<DataSourceExec>().and_then(|exec| exec.data_source().downcast_ref::<SliceScan>());
    match scan {
        Some(scan) => Estimate::of_scan(scan.table(), scan.projection(), scan.filters(), scan.limit()),
        None => {
            let told = StatisticsContext::new().compute(plan, &StatisticsArgs::new()).ok()?;
            Estimate::of_statistics(&told, &[])
        }
    }
}

fn over_one(plan: &dyn ExecutionPlan, input: &Arc<Estimate>) -> Option<Estimate> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let filtered = input.filtered(std::slice::from_ref(filter.predicate()), 1.0);
        return projected(filtered, filter.projection()).map(|estimate| estimate.limited(filter.fetch()));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let columns = projection.expr().iter().map(|projected| column_of(&projected.expr, input)).collect();
        return Some(Estimate { columns, rows: input.rows, unfiltered: input.unfiltered });
    }
    if let Some(aggregate) = aggregation_of(plan) {
        let keys = aggregate.group_expr().expr().iter().map(|(expr, _)| column_of(expr, input)).collect();
        let mut grouped = input.grouped(keys, plan.schema().fields().len());
        if *aggregate.mode() == AggregateMode::Partial {
            // A group may be found in each partition.
            let partitions = aggregate.input().output_partitioning().partition_count() as f64;
            grouped.rows = (grouped.rows * partitions).min(input.rows.max(1.0));
        }
        return Some(grouped);
    }
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        return Some(input.limited(limit.fetch()));
    }
    if let Some(limit) = plan.downcast_ref::<LocalLimitExec>() {
        return Some(input.limited(Some(limit.fetch())));
    }
    let mut same = input.limited(plan.fetch());
    match plan.cardinality_effect() {
        CardinalityEffect::Equal | CardinalityEffect::LowerEqual => {
            // What is added, as by a window, is unknown.
            same.columns.resize(plan.schema().fields().len(), ColumnEstimate::unknown(input.rows));
            Some(same)
        }
        CardinalityEffect::Unknown if plan.schema() == plan.children().first()?.schema() => Some(same),
        _ => Some(Estimate::unknown(same.rows, plan.schema().fields().len())),
    }
}

fn joined(plan: &dyn ExecutionPlan, left: &Estimate, right: &Estimate) -> Option<Estimate> {
    type On = [(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)];
    let of = |join_type: JoinType, on: &On, filter: Option<&JoinFilter>, projection: &Option<ProjectionRef>| {
        let keys: Vec<_> = on.iter().map(|(l, r)| (column_of(l, left), column_of(r, right))).collect();
        let filter = filter.map_or(1.0, |filter| passing(filter, left, right));
        projected(Estimate::joined(join_type, left, right, &keys, filter), projection)
    };
    let hash = plan.downcast_ref::<CollocatedJoinExec>().map(CollocatedJoinExec::join);
    if let Some(join) = hash.or(plan.downcast_ref::<HashJoinExec>()) {
        return of(*join.join_type(), join.on(), join.filter(), &join.projection);
    }
    if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        return of(join.join_type(), join.on(), join.filter().as_ref(), &None);
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        return of(*join.join_type(), &[], join.filter(), join.projection());
    }
    plan.is::<CrossJoinExec>().then(|| of(JoinType::Inner, &[], None, &None))?
}

/// The share of pairs of rows that pass a join's filter.
fn passing(filter: &JoinFilter, left: &Estimate, right: &Estimate) -> f64 {
    let columns = filter.column_indices().iter().map(|column| {
        let side = match column.side {
            JoinSide::Left => left,
            JoinSide::Right => right,
            JoinSide::None => return ColumnEstimate::unknown(2.0),
        };
        side.columns.get(column.index).cloned().unwrap_or_else(|| ColumnEstimate::unknown(side.rows))
    });
    let pairs = Estimate::of(left.rows * right.rows, columns.collect());
    selectivity(filter.expression(), &pairs)
}

fn projected(estimate: Estimate, projection: &Option<ProjectionRef>) -> Option<Estimate> {
    let Some(projection) = projection else { return Some(estimate) };
    let columns = projection.iter().map(|at| estimate.columns.get(*at).cloned()).collect::<Option<_>>()?;
    Some(Estimate { columns, ..estimate })
}
