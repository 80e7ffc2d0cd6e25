//! Parts of a plan that are the same are computed once.
//!
//! A view or a WITH query that is named several times is planned as often. Where what is planned is the same each time, its rows
//! are kept for all that read them; where conditions from above have made it different, each has its own, which reads less.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source::DataSourceExec;
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

use super::over;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::scan::SliceScan;
use crate::physical_plan::spool::{Common, Spool};

/// Puts a [`Spool`] above each part of a plan that is there several times and aggregates rows, so that few are kept. Stands
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
        if kinds.common().next().is_none() {
            return Ok(plan);
        }
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
            self.known.push(Known { count: 0, is_fixed, aggregates });
        }
        self.known[number].count += 1;
        self.of_node.insert(address(node), number);
        Ok(number)
    }

    fn common(&self) -> impl Iterator<Item = &Known> {
        self.known.iter().filter(|known| known.is_common())
    }

    /// The plan with spools above what is there more often than the `above` times that what it is part of is.
    fn spooled(&self, node: Arc<dyn ExecutionPlan>, above: usize) -> Result<Arc<dyn ExecutionPlan>> {
        let number = self.of_node.get(&address(&node)).copied();
        let known = number.and_then(|number| Some((number, self.known.get(number)?)));
        let found = known.filter(|(_, known)| known.is_common() && known.count > above);
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
