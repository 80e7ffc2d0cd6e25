//! Moves rows to the partitions that the slice hash of their keys names, and tells how many.

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::hash_utils::create_hashes;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, Gauge, Metric, MetricBuilder, MetricsSet};
use datafusion::physical_plan::repartition::{REPARTITION_RANDOM_STATE, RepartitionExec};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildStats, ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions, StatisticsArgs,
};
use futures::TryStreamExt;

use super::config::BlueshiftOptions;
use super::counted::{Counted, Counts, Reader, bytes_of, widths};
use super::passing::filters_and_rows_go_through;

/// DataFusion's exchange by hash, which bounds its memory, spills and stops when it is dropped, with counts.
///
/// Metrics, beside DataFusion's: `rows_exchanged` and `bytes_exchanged` by the partition that rows go to, and `skew_percent`:
/// the rows of the fullest partition, in percent of their mean. With [`BlueshiftOptions::count_movement`], which costs the
/// hashing of all keys once more, also `rows_moved` and `bytes_moved` by the partition that read rows which went to another.
/// Bytes are those of values, without offsets, views and NULL bits; a NULL of fixed width has that width.
#[derive(Debug)]
pub struct Exchange {
    /// Over the counted input.
    repartition: RepartitionExec,
    input: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
    skew: Gauge,
}

/// What the input is counted by.
#[derive(Debug)]
struct Movement {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    partitions: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl Exchange {
    /// `None` if `repartition` is not by hash.
    pub fn of(repartition: &RepartitionExec) -> Result<Option<Self>> {
        match repartition.partitioning() {
            Partitioning::Hash(_, _) => {
                let input = Arc::clone(repartition.input());
                Exchange::try_new(input, repartition.partitioning().clone(), repartition.preserve_order()).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn try_new(input: Arc<dyn ExecutionPlan>, partitioning: Partitioning, keeps_order: bool) -> Result<Self> {
        let Partitioning::Hash(keys, partitions) = &partitioning else {
            return internal_err!("an exchange is by hash");
        };
        let metrics = ExecutionPlanMetricsSet::new();
        let skew = MetricBuilder::new(&metrics).gauge("skew_percent", 0);
        let counts = Arc::new(Movement { keys: keys.clone(), partitions: *partitions, metrics: metrics.clone() });
        let counted = Arc::new(Counted::new(Arc::clone(&input), counts));
        let mut repartition = RepartitionExec::try_new(counted, partitioning)?;
        if keeps_order {
            repartition = repartition.with_preserve_order();
        }
        Ok(Exchange { repartition, input, metrics, skew })
    }

    pub fn partitioning(&self) -> &Partitioning {
        self.repartition.partitioning()
    }

    /// Whether each partition's rows leave in the input's order.
    pub fn keeps_order(&self) -> bool {
        self.repartition.preserve_order()
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    fn set_skew(&self) {
        let metrics = self.metrics.clone_inner();
        let of = |m: &&Arc<Metric>| m.value().name() == "rows_exchanged";
        let rows: Vec<usize> = metrics.iter().filter(of).map(|m| m.value().as_usize()).collect();
        let (sum, most) = (rows.iter().sum::<usize>(), rows.iter().max().copied().unwrap_or(0));
        let partitions = self.partitioning().partition_count();
        self.skew.set((most * 100 * partitions).checked_div(sum).unwrap_or(0));
    }
}

impl Counts for Movement {
    fn reader(self: Arc<Self>, partition: usize, config: &ConfigOptions) -> Option<Reader> {
        if !config.extensions.get::<BlueshiftOptions>().is_some_and(|options| options.count_movement) {
            return None;
        }
        let count = |name: &'static str| MetricBuilder::new(&self.metrics).counter(name, partition);
        let (rows, bytes) = (count("rows_moved"), count("bytes_moved"));
        let mut hashes = Vec::new();
        Some(Box::new(move |batch| {
            let keys = self.keys.iter().map(|key| key.evaluate(batch)?.into_array(batch.num_rows()));
            let keys = keys.collect::<Result<Vec<ArrayRef>>>()?;
            hashes.clear();
            hashes.resize(batch.num_rows(), 0);
            create_hashes(&keys, REPARTITION_RANDOM_STATE.random_state(), &mut hashes)?;
            let (fixed, varying) = widths(batch);
            for (row, hash) in hashes.iter().enumerate() {
                if (hash % self.partitions as u64) as usize != partition {
                    rows.add(1);
                    bytes.add(fixed + varying.get(row).copied().unwrap_or(0));
                }
            }
            Ok(())
        }))
    }
}

impl DisplayAs for Exchange {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let shown = Shown(&self.repartition, t).to_string();
        match shown.strip_prefix("RepartitionExec:") {
            Some(rest) => write!(f, "Exchange:{rest}"),
            None => f.write_str(&shown),
        }
    }
}

struct Shown<'a>(&'a RepartitionExec, DisplayFormatType);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt_as(self.1, f)
    }
}

impl ExecutionPlan for Exchange {
    fn name(&self) -> &str {
        "Exchange"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.repartition.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        self.repartition.benefits_from_input_partitioning()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.repartition.maintains_input_order()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.repartition.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) if children.is_empty() => {
                let keeps_order = self.repartition.preserve_order();
                Ok(Arc::new(Exchange::try_new(input, self.partitioning().clone(), keeps_order)?))
            }
            _ => internal_err!("an exchange has one input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let stream = self.repartition.execute(partition, context)?;
        let count = |name: &'static str| MetricBuilder::new(&self.metrics).counter(name, partition);
        let (rows, bytes) = (count("rows_exchanged"), count("bytes_exchanged"));
        let schema = stream.schema();
        let counted = stream.inspect_ok(move |batch| {
            rows.add(batch.num_rows());
            bytes.add(bytes_of(batch));
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, counted)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.set_skew();
        let mut all = self.repartition.metrics().unwrap_or_default();
        for metric in self.metrics.clone_inner().iter() {
            all.push(Arc::clone(metric));
        }
        Some(all)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.repartition.child_stats_requests(partition)
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.repartition.statistics_from_inputs(inputs, args)
    }

    filters_and_rows_go_through!();
}
