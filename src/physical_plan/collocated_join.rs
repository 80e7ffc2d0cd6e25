//! A join on several keys of sides that are placed by one of them.
//!
//! Of such a join DataFusion would move both sides, to where the hash of all keys says, and its filter of the right side
//! would ask each row for that hash. Here the hash of one key decides where rows meet, and which part of the filter concerns
//! them ([`RoutedFilter`]); the rest are compared there.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::{Column, is_not_null};
use datafusion::physical_expr::{Distribution, Partitioning};
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
    PushedDown,
};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{
    ChildStats, ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, PhysicalExpr, PlanProperties, ReplaceChildrenOptions, StatisticsArgs,
};

use super::passing::one_input;
use super::routed::RoutedFilter;

/// Joins partition by partition what is placed by one pair of equated expressions, by all of them.
///
/// It asks for both sides by that pair, so that DataFusion moves a side that is elsewhere, and that side alone. Within, a
/// [`HashJoinExec`] sees sides that claim places, so that it makes a filter by partitions of what it has built.
#[derive(Debug)]
pub struct CollocatedJoinExec {
    /// The join of the inputs as they are, of which all is true but its filter.
    join: HashJoinExec,
    /// The one that runs. Its metrics are the other's.
    masked: Arc<HashJoinExec>,
    by: (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>),
}

impl CollocatedJoinExec {
    /// `by` are expressions over the two sides of which the hashes are equal where the join's keys are.
    pub fn try_new(join: &HashJoinExec, by: (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)) -> Result<Self> {
        let join = join.builder().with_partition_mode(PartitionMode::Partitioned).build()?;
        let mask = |input: &Arc<dyn ExecutionPlan>, by: &Arc<dyn PhysicalExpr>| {
            Arc::new(Masked::new(Arc::clone(input), Arc::clone(by))) as Arc<dyn ExecutionPlan>
        };
        let masked = vec![mask(join.left(), &by.0), mask(join.right(), &by.1)];
        let masked = Arc::new(join.builder().recompute_properties().with_new_children(masked)?.build()?);
        Ok(CollocatedJoinExec { join, masked, by })
    }

    /// The join, over the inputs.
    pub fn join(&self) -> &HashJoinExec {
        &self.join
    }

    /// What places the rows of both sides.
    pub fn key(&self) -> (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>) {
        self.by.clone()
    }

    /// The output's columns by which filters reach the left side, and the right one: as the join itself tells.
    fn reached(&self, phase: FilterPushdownPhase, config: &ConfigOptions) -> Result<[HashSet<usize>; 2]> {
        let schema = self.join.schema();
        let fields = schema.fields().iter().enumerate();
        let asks = fields.map(|(at, field)| is_not_null(Arc::new(Column::new(field.name(), at))));
        let asks = asks.collect::<Result<Vec<_>>>()?;
        let told = self.masked.gather_filters_for_pushdown(phase, asks, config)?.parent_filters();
        let of = |side: usize| {
            let asks = told.get(side).into_iter().flatten().enumerate();
            asks.filter(|(_, ask)| matches!(ask.discriminant, PushedDown::Yes)).map(|(at, _)| at).collect()
        };
        Ok([of(0), of(1)])
    }

    /// The same of another form of the join.
    fn of(&self, join: &HashJoinExec) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(CollocatedJoinExec::try_new(join, self.by.clone())?))
    }
}

impl DisplayAs for CollocatedJoinExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let join = Shown(&self.join, t).to_string();
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                let rest = join.strip_prefix("HashJoinExec: mode=Partitioned, ").unwrap_or(&join);
                write!(f, "CollocatedJoinExec: by=({}, {}), {rest}", self.by.0, self.by.1)
            }
            DisplayFormatType::TreeRender => {
                writeln!(f, "by=({} = {})", self.by.0, self.by.1)?;
                f.write_str(&join)
            }
        }
    }
}

struct Shown<'a>(&'a HashJoinExec, DisplayFormatType);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt_as(self.1, f)
    }
}

impl ExecutionPlan for CollocatedJoinExec {
    fn name(&self) -> &str {
        "CollocatedJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.join.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.join.children()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let by = |expr: &Arc<dyn PhysicalExpr>| Distribution::KeyPartitioned(vec![Arc::clone(expr)]);
        InputDistributionRequirements::co_partitioned(vec![by(&self.by.0), by(&self.by.1)])
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input_distribution_requirements().into_per_child()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false, false]
    }

    /// Orders that are asked for are handed to the input that keeps them, by the output's columns: none is, where those are
    /// not the inputs' one after the other.
    fn maintains_input_order(&self) -> Vec<bool> {
        let (left, right) = (self.join.left().schema(), self.join.right().schema());
        let plain = !self.join.contains_projection()
            && self.join.schema().fields().len() == left.fields().len() + right.fields().len();
        if plain { ExecutionPlan::maintains_input_order(&self.join) } else { vec![false, false] }
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.masked.apply_expressions(f)
    }

    fn dynamic_expressions_produced(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.masked.dynamic_expressions_produced()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.len() != 2 {
            return internal_err!("a join has two inputs");
        }
        self.of(&self.join.builder().recompute_properties().with_new_children(children)?.build()?)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        self.of(&self.join.builder().reset_state().build()?)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.masked.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.masked.metrics()
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.join.child_stats_requests(partition)
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.join.statistics_from_inputs(inputs, args)
    }

    /// A projection goes into the join, where it can; not below it, where the key's columns would be others.
    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if self.join.contains_projection() {
            return Ok(None);
        }
        let columns: Option<Vec<usize>> = projection
            .expr()
            .iter()
            .map(|item| {
                let column = item.expr.downcast_ref::<Column>()?;
                (column.name() == item.alias).then(|| column.index())
            })
            .collect();
        let Some(columns) = columns else { return Ok(None) };
        self.of(&self.join.builder().with_projection(Some(columns)).build()?).map(Some)
    }

    fn gather_filters_for_pushdown(
        &self,
        phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let all = self.masked.gather_filters_for_pushdown(phase, parent_filters.clone(), config)?;
        let [of_left, of_right] = &all.self_filters()[..] else { return Ok(all) };
        let ([], [filter]) = (&of_left[..], &of_right[..]) else { return Ok(all) };
        let Some(filter) = RoutedFilter::of(filter, Arc::clone(&self.by.1)) else { return Ok(all) };
        let [left, right] = self.reached(phase, config)?;
        let of = |columns: HashSet<usize>, input: &Arc<dyn ExecutionPlan>| match columns.is_empty() {
            true => Ok(ChildFilterDescription::all_unsupported(&parent_filters)),
            false => ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, columns, input),
        };
        let right = of(right, self.join.right())?.with_self_filter(Arc::new(filter));
        Ok(FilterDescription::new().with_child(of(left, self.join.left())?).with_child(right))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        mut child_pushdown_result: ChildPushdownResult,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        // The join keeps the filter that it updates.
        for pushed in child_pushdown_result.self_filters.iter_mut().flatten() {
            if let Some(routed) = pushed.predicate.downcast_ref::<RoutedFilter>() {
                pushed.predicate = Arc::clone(routed.filter()) as _;
            }
        }
        let FilterPushdownPropagation { filters, updated_node } =
            self.masked.handle_child_pushdown_result(phase, child_pushdown_result, config)?;
        let updated_node = match updated_node.as_ref().and_then(|node| node.downcast_ref::<HashJoinExec>()) {
            Some(join) => {
                let inputs = vec![Arc::clone(self.join.left()), Arc::clone(self.join.right())];
                Some(self.of(&join.builder().recompute_properties().with_new_children(inputs)?.build()?)?)
            }
            None => None,
        };
        Ok(FilterPushdownPropagation { filters, updated_node })
    }

    fn fetch(&self) -> Option<usize> {
        self.join.fetch()
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        self.of(&self.join.builder().with_fetch(limit).build().ok()?).ok()
    }
}

/// An input whose rows are placed by an expression, whatever else it claims.
#[derive(Debug)]
struct Masked {
    input: Arc<dyn ExecutionPlan>,
    by: Arc<dyn PhysicalExpr>,
    properties: Arc<PlanProperties>,
}

impl Masked {
    fn new(input: Arc<dyn ExecutionPlan>, by: Arc<dyn PhysicalExpr>) -> Self {
        let mut properties = PlanProperties::clone(input.properties());
        let partitions = input.output_partitioning().partition_count();
        properties.partitioning = Partitioning::Hash(vec![Arc::clone(&by)], partitions);
        Masked { input, by, properties: Arc::new(properties) }
    }
}

impl DisplayAs for Masked {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Masked")
    }
}

impl ExecutionPlan for Masked {
    fn name(&self) -> &str {
        "Masked"
    }

    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    one_input!(|this, input| Masked::new(input, Arc::clone(&this.by)));

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
