//! Gives a join's inner rows to all partitions of the outer side, and tells how many.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::{
    ChildStats, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, StatisticsArgs,
};

use super::counted::{Counted, Counts, Reader, bytes_of};
use super::passing::{filters_and_rows_go_through, one_input};

/// DataFusion's gathering of all partitions into the one that a join builds a table of, with counts.
///
/// Metrics: `rows_moved` and `bytes_moved` by the partition that reads, as often as rows go to another partition of the
/// outer side. That is a logical figure: in one process all partitions probe the same table. Bytes are those of
/// [`Exchange`](super::exchange::Exchange).
#[derive(Debug)]
pub struct Broadcast {
    /// Over the counted input.
    gather: CoalescePartitionsExec,
    input: Arc<dyn ExecutionPlan>,
    /// Partitions of the outer side.
    copies: usize,
    metrics: ExecutionPlanMetricsSet,
}

/// What a row that a partition reads counts.
#[derive(Debug)]
struct Copied {
    copies: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl Broadcast {
    /// `copies` is how many partitions the outer side has.
    pub fn new(input: Arc<dyn ExecutionPlan>, copies: usize) -> Self {
        let metrics = ExecutionPlanMetricsSet::new();
        let counts = Arc::new(Copied { copies, metrics: metrics.clone() });
        let gather = CoalescePartitionsExec::new(Arc::new(Counted::new(Arc::clone(&input), counts)));
        Broadcast { gather, input, copies, metrics }
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    pub fn copies(&self) -> usize {
        self.copies
    }
}

impl Counts for Copied {
    fn reader(self: Arc<Self>, partition: usize, _: &ConfigOptions) -> Option<Reader> {
        let count = |name: &'static str| MetricBuilder::new(&self.metrics).counter(name, partition);
        let (rows, bytes) = (count("rows_moved"), count("bytes_moved"));
        // A partition beyond those of the outer side keeps none.
        let others = self.copies - usize::from(partition < self.copies);
        Some(Box::new(move |batch| {
            rows.add(batch.num_rows() * others);
            bytes.add(bytes_of(batch) * others);
            Ok(())
        }))
    }
}

impl DisplayAs for Broadcast {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "Broadcast: copies={}", self.copies),
            DisplayFormatType::TreeRender => write!(f, "copies: {}", self.copies),
        }
    }
}

impl ExecutionPlan for Broadcast {
    fn name(&self) -> &str {
        "Broadcast"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.gather.properties()
    }

    one_input!(|this, input| Broadcast::new(input, this.copies));

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.gather.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut all = self.gather.metrics().unwrap_or_default();
        for metric in self.metrics.clone_inner().iter() {
            all.push(Arc::clone(metric));
        }
        Some(all)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.gather.child_stats_requests(partition)
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.gather.statistics_from_inputs(inputs, args)
    }

    filters_and_rows_go_through!();
}
