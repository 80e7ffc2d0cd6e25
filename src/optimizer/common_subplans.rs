//! Parts of a plan that are the same are computed once.
//!
//! A view or a WITH query that is named several times is planned as often. Where what is planned is the same each time, its rows
//! are kept for all that read them; where conditions from above have made it different, each has its own, which reads less.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::displayable;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, PhysicalExpr};

use super::estimate::physical::PlanEstimator;
use super::key_filters::matched;
use super::over;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::scan::SliceScan;
use crate::physical_plan::spool::{Common, Spool};

/// Puts a [`Spool`] above each part of a plan that is there several times and aggregates rows, so that few are kept, unless
/// filters of joins above leave so little of each that all of them together cost less than one that none gets into. Stands
/// before all other rules: no filter of what is above one of the parts gets into it.
#[derive(Debug)]
pub struct CommonSubplans;

/// Has spools whose inputs are still the same share their rows, and removes the others. Stands behind all other rules.
#[derive(Debug)]
pub struct SharedSpools;

impl PhysicalOptimizerRule for CommonSubplans {
    fn name(&self) -> &str {
        "blueshift_common_subplans"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if !config.extensions.get::<BlueshiftOptions>().is_some_and(|ours| ours.common_subplans) {
            return Ok(plan);
        }
        let mut kinds = Kinds::default();
        kinds.of(&plan)?;
        // A plan is searched a second time only where something is there twice.
        if !kinds.known.iter().any(Known::is_common) {
            return Ok(plan);
        }
        kinds.note_filters(&plan)?;
        kinds.spooled(plan, 1)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl PhysicalOptimizerRule for SharedSpools {
    fn name(&self) -> &str {
        "blueshift_shared_spools"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let mut sharing = Sharing::default();
        sharing.count(&plan);
        if sharing.counts.is_empty() { Ok(plan) } else { sharing.shared(plan) }
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Which spools share rows. What is within all but the first of those that do is computed only where the rows cannot be had
/// together, and shares nothing.
#[derive(Default)]
struct Sharing {
    /// By number, and what the inputs have become.
    counts: HashMap<Input, usize>,
    common: HashMap<Input, Arc<Common>>,
}

/// A spool's number, and its input as text.
type Input = (usize, String);

impl Sharing {
    fn count(&mut self, node: &Arc<dyn ExecutionPlan>) {
        if let Some(spool) = node.downcast_ref::<Spool>() {
            let count = self.counts.entry(input_of(spool)).or_default();
            *count += 1;
            if *count > 1 {
                return;
            }
        }
        node.children().into_iter().for_each(|input| self.count(input));
    }

    /// The plan with what spools have in common, and without those that have nothing.
    fn shared(&mut self, node: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(spool) = node.downcast_ref::<Spool>() else {
            let (mut inputs, mut changed) = (Vec::new(), false);
            for input in node.children() {
                let shared = self.shared(Arc::clone(input))?;
                changed |= !Arc::ptr_eq(&shared, input);
                inputs.push(shared);
            }
            return if changed { over(&node, inputs) } else { Ok(node) };
        };
        let key = input_of(spool);
        if let Some(common) = self.common.get(&key) {
            return Ok(Arc::new(spool.with(Arc::clone(common))));
        }
        let input = self.shared(Arc::clone(spool.input()))?;
        match self.counts.get(&key) {
            Some(count) if *count > 1 => {
                let common = Arc::new(Common::new(Arc::clone(&input), *count));
                self.common.insert(key, Arc::clone(&common));
                Ok(Arc::new(Spool::new(input, spool.number()).with(common)))
            }
            _ => Ok(input),
        }
    }
}

/// Which parts of a plan are the same.
#[derive(Default)]
struct Kinds {
    numbers: HashMap<Kind, usize>,
    /// By number.
    known: Vec<Known>,
    /// By the address of a node of the plan.
    of_node: HashMap<usize, usize>,
    /// By the address of a node, which share of its rows filters of joins above it leave.
    left: HashMap<usize, f64>,
}

/// What nodes that give the same rows have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    text: String,
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
    inputs: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// How often it is there.
    count: usize,
    /// Whether each time gives the same rows.
    is_fixed: bool,
    /// Whether rows are aggregated in it.
    aggregates: bool,
    /// What computing each by itself costs, in units of computing one without filters of joins above it.
    apart: f64,
}

impl Known {
    fn is_common(&self) -> bool {
        self.count > 1 && self.is_fixed && self.aggregates
    }
}

impl Kinds {
    /// The number of a node's kind.
    fn of(&mut self, node: &Arc<dyn ExecutionPlan>) -> Result<usize> {
        let mut inputs = Vec::new();
        for input in node.children() {
            inputs.push(self.of(input)?);
        }
        let mut expressions = Vec::new();
        let mut is_fixed = inputs.iter().all(|input| self.known[*input].is_fixed);
        node.apply_expressions(&mut |expr| {
            is_fixed &=
                !expr.exists(|e| Ok(e.is_volatile_node() || e.downcast_ref::<ScalarSubqueryExpr>().is_some()))?;
            expressions.push(Arc::clone(expr));
            Ok(TreeNodeRecursion::Continue)
        })?;
        let scan = node.downcast_ref::<DataSourceExec>().and_then(|s| s.data_source().downcast_ref::<SliceScan>());
        let text = match scan {
            Some(scan) => text_of_scan(scan, &mut expressions),
            None => {
                is_fixed &= !inputs.is_empty() && is_known(node);
                format!("{} {}", node.name(), displayable(node.as_ref()).one_line())
            }
        };
        let aggregates = node.is::<AggregateExec>()
            || node.is::<WindowAggExec>()
            || node.is::<BoundedWindowAggExec>()
            || inputs.iter().any(|input| self.known[*input].aggregates);
        let next = self.known.len();
        let number = *self.numbers.entry(Kind { text, expressions, schema: node.schema(), inputs }).or_insert(next);
        if number == next {
            self.known.push(Known { count: 0, is_fixed, aggregates, apart: 0.0 });
        }
        self.known[number].count += 1;
        self.of_node.insert(address(node), number);
        Ok(number)
    }

    /// Estimates what filters of joins leave of each node, as if all of a kind were computed by themselves.
    fn note_filters(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        let mut estimator = PlanEstimator::default();
        plan.apply(|node| {
            if let Some(join) = node.downcast_ref::<HashJoinExec>() {
                self.note_filter(join, &mut estimator);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        for (address, number) in &self.of_node {
            self.known[*number].apart += self.left.get(address).copied().unwrap_or(1.0);
        }
        Ok(())
    }

    /// The side with more rows is probed with those of the other, and filtered by their keys where it need not keep rows without
    /// a partner.
    fn note_filter(&mut self, join: &HashJoinExec, estimator: &mut PlanEstimator) {
        let sides = estimator.estimate(join.left()).zip(estimator.estimate(join.right()));
        let Some(((left, right), matched)) = sides.zip(matched(join, estimator)) else { return };
        let (filters_left, filters_right) = match join.join_type() {
            JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => (true, true),
            JoinType::Left | JoinType::LeftAnti | JoinType::LeftMark => (false, true),
            JoinType::Right | JoinType::RightAnti | JoinType::RightMark => (true, false),
            JoinType::Full => (false, false),
        };
        let (side, share) = match left.rows > right.rows {
            true if filters_left => (join.left(), matched.left),
            false if filters_right => (join.right(), matched.right),
            _ => return,
        };
        let mut met = Vec::new();
        for (of_left, of_right) in join.on() {
            let key = if Arc::ptr_eq(side, join.left()) { of_left } else { of_right };
            met.extend(key.downcast_ref::<Column>().map(|key| path(side, key.index())).unwrap_or_default());
        }
        met.sort_unstable();
        met.dedup();
        met.into_iter().for_each(|address| *self.left.entry(address).or_insert(1.0) *= share);
    }

    /// The plan with spools above what is there more often than the `above` times that what it is part of is.
    fn spooled(&self, node: Arc<dyn ExecutionPlan>, above: usize) -> Result<Arc<dyn ExecutionPlan>> {
        let number = self.of_node.get(&address(&node)).copied();
        let known = number.and_then(|number| Some((number, self.known.get(number)?)));
        let found = known.filter(|(_, known)| known.is_common() && known.count > above && known.apart >= 1.0);
        let above = found.map_or(above, |(_, known)| known.count);
        let (mut inputs, mut changed) = (Vec::new(), false);
        for input in node.children() {
            let spooled = self.spooled(Arc::clone(input), above)?;
            changed |= !Arc::ptr_eq(&spooled, input);
            inputs.push(spooled);
        }
        let node = if changed { over(&node, inputs)? } else { node };
        Ok(match found {
            Some((number, _)) => Arc::new(Spool::new(node, number)),
            None => node,
        })
    }
}

/// The addresses of the nodes through which a column comes from a scan's, and a filter gets there; none where it is computed on
/// the way.
fn path(plan: &Arc<dyn ExecutionPlan>, column: usize) -> Vec<usize> {
    let (mut node, mut at, mut met) = (plan, column, Vec::new());
    loop {
        met.push(address(node));
        if node.is::<DataSourceExec>() {
            return met;
        }
        let next = if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
            let expr = projection.expr().get(at).and_then(|projected| projected.expr.downcast_ref::<Column>());
            expr.map(|expr| (projection.input(), expr.index()))
        } else if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
            let key = aggregate.group_expr().expr().get(at).filter(|_| aggregate.group_expr().is_single());
            let key = key.and_then(|(key, _)| key.downcast_ref::<Column>());
            key.map(|key| (aggregate.input(), key.index()))
        } else if let Some(filter) = node.downcast_ref::<FilterExec>() {
            let at = filter.projection().as_ref().map_or(Some(at), |kept| kept.get(at).copied());
            at.map(|at| (filter.input(), at))
        } else if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            let at = join.projection.as_ref().map_or(Some(at), |kept| kept.get(at).copied());
            at.and_then(|at| within(join, at))
        } else {
            None
        };
        match next {
            Some((input, column)) => (node, at) = (input, column),
            None => return Vec::new(),
        }
    }
}

/// The side that a column of a join without projection is of, if a filter of the column may filter that side.
fn within(join: &HashJoinExec, at: usize) -> Option<(&Arc<dyn ExecutionPlan>, usize)> {
    let of_left = join.left().schema().fields().len();
    match join.join_type() {
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => Some((join.left(), at)),
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Some((join.right(), at)),
        JoinType::Inner if at < of_left => Some((join.left(), at)),
        JoinType::Inner => Some((join.right(), at - of_left)),
        JoinType::Left => (at < of_left).then_some((join.left(), at)),
        JoinType::Right => at.checked_sub(of_left).map(|at| (join.right(), at)),
        JoinType::Full => None,
    }
}

fn address(node: &Arc<dyn ExecutionPlan>) -> usize {
    Arc::as_ptr(node).cast::<()>() as usize
}

/// A scan's rows are told by what it reads: the same segments of the same table, whatever the query calls it.
fn text_of_scan(scan: &SliceScan, expressions: &mut Vec<Arc<dyn PhysicalExpr>>) -> String {
    let table = scan.table();
    expressions.extend(scan.filters().iter().cloned());
    let segments: Vec<_> = table.segments.iter().map(Arc::as_ptr).collect();
    format!(
        "{} {:?} {:?} {:?} {:?} {:?}",
        table.def.id,
        segments,
        scan.projection(),
        scan.limit(),
        scan.wanted_first(),
        scan.options()
    )
}

fn input_of(spool: &Spool) -> Input {
    let input = spool.input();
    let text = format!("{}{:?}", displayable(input.as_ref()).indent(true), input.output_partitioning());
    (spool.number(), text)
}

/// Operators that do nothing but give rows.
fn is_known(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.is::<AggregateExec>()
        || node.is::<BoundedWindowAggExec>()
        || node.is::<CoalescePartitionsExec>()
        || node.is::<CrossJoinExec>()
        || node.is::<FilterExec>()
        || node.is::<GlobalLimitExec>()
        || node.is::<HashJoinExec>()
        || node.is::<InterleaveExec>()
        || node.is::<LocalLimitExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.is::<ProjectionExec>()
        || node.is::<SortExec>()
        || node.is::<SortMergeJoinExec>()
        || node.is::<UnionExec>()
        || node.is::<WindowAggExec>()
}
