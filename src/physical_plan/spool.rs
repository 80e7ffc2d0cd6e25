//! What several readers of a plan want is computed once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use datafusion::common::runtime::JoinSet;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::{CardinalityEffect, reset_plan_states};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties};
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::passing::{one_input, same_rows};

/// Gives the rows of its input, which other spools of the plan give, too: whoever asks first has all of them computed and
/// kept, until each has read them.
///
/// Where memory does not hold the rows, or computing them fails, each computes its own input, as if there were no spool: a
/// reader that needs few rows sees an error only where it would see it anyway.
#[derive(Debug)]
pub struct Spool {
    input: Arc<dyn ExecutionPlan>,
    /// Which spools of a plan have the same input.
    number: usize,
    /// `None` where there is no other.
    common: Option<Arc<Common>>,
    /// What is computed where the common rows are not there, and which of its partitions have begun.
    own: Arc<Mutex<Own>>,
    metrics: ExecutionPlanMetricsSet,
}

/// The rows of several spools.
pub struct Common {
    /// One of their inputs.
    input: Arc<dyn ExecutionPlan>,
    /// Whether it has run already.
    has_run: AtomicBool,
    /// How often a run is asked for: by each spool, for each partition.
    readers: usize,
    under_way: Mutex<Option<(Run, usize)>>,
}

#[derive(Debug, Default)]
struct Own {
    plan: Option<Arc<dyn ExecutionPlan>>,
    begun: Vec<usize>,
}

/// All rows, once they are there; `None` where they cannot be had together.
type Run = Shared<BoxFuture<'static, Option<Arc<Kept>>>>;

/// Rows in memory.
struct Kept {
    partitions: Vec<Vec<RecordBatch>>,
    _memory: MemoryReservation,
}

impl Spool {
    /// Of an input that has yet to be found equal to others of that number.
    pub fn new(input: Arc<dyn ExecutionPlan>, number: usize) -> Self {
        let (own, metrics) = (Arc::default(), ExecutionPlanMetricsSet::new());
        Spool { input, number, common: None, own, metrics }
    }

    /// The same, with rows in common with others.
    pub fn with(&self, common: Arc<Common>) -> Self {
        Spool { common: Some(common), ..Spool::new(Arc::clone(&self.input), self.number) }
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    pub fn number(&self) -> usize {
        self.number
    }

    /// Whether it is this one's input whose rows all of that number give.
    pub fn is_first(&self) -> bool {
        self.common.as_ref().is_none_or(|common| Arc::ptr_eq(&common.input, &self.input))
    }
}

impl Own {
    /// Executes a partition of `input`, which may have been executed before by others. Whoever reads a partition again, as a nested
    /// loop with little memory does, gets it computed again.
    fn execute(
        &mut self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let plan = match self.plan.take().filter(|_| !self.begun.contains(&partition)) {
            Some(plan) => plan,
            None => {
                self.begun.clear();
                reset_plan_states(Arc::clone(input))?
            }
        };
        self.begun.push(partition);
        self.plan.insert(plan).execute(partition, context)
    }
}

impl Common {
    /// Of `spools` spools, one of which has that input.
    pub fn new(input: Arc<dyn ExecutionPlan>, spools: usize) -> Self {
        let readers = spools * input.output_partitioning().partition_count();
        Common { input, has_run: AtomicBool::new(false), readers, under_way: Mutex::new(None) }
    }

    /// The run that a reader takes part in. The last one expected leaves nothing behind; one too many begins another run.
    fn run(&self, context: &Arc<TaskContext>) -> Result<Run> {
        let mut under_way = self.under_way.lock();
        let (run, asked) = match under_way.take() {
            Some(known) => known,
            None => {
                let input = match self.has_run.swap(true, Ordering::AcqRel) {
                    true => reset_plan_states(Arc::clone(&self.input))?,
                    false => Arc::clone(&self.input),
                };
                (kept(input, Arc::clone(context)).boxed().shared(), 0)
            }
        };
        if asked + 1 < self.readers {
            *under_way = Some((run.clone(), asked + 1));
        }
        Ok(run)
    }
}

/// Computes and keeps all rows.
async fn kept(input: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Option<Arc<Kept>> {
    let memory = Arc::new(MemoryConsumer::new("Spool").register(context.memory_pool()));
    let count = input.output_partitioning().partition_count();
    let mut tasks = JoinSet::new();
    for partition in 0..count {
        let mut rows = input.execute(partition, Arc::clone(&context)).ok()?;
        let memory = Arc::clone(&memory);
        tasks.spawn(async move {
            let mut batches = Vec::new();
            while let Some(batch) = rows.try_next().await.ok()? {
                memory.try_grow(get_record_batch_memory_size(&batch)).ok()?;
                batches.push(batch);
            }
            Some((partition, batches))
        });
    }
    let mut partitions = vec![Vec::new(); count];
    while let Some(done) = tasks.join_next().await {
        let (partition, batches) = done.ok()??;
        partitions[partition] = batches;
    }
    let memory = Arc::into_inner(memory)?;
    Some(Arc::new(Kept { partitions, _memory: memory }))
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common").field("readers", &self.readers).finish_non_exhaustive()
    }
}

impl DisplayAs for Spool {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "Spool: number={}", self.number),
            DisplayFormatType::TreeRender => write!(f, "number: {}", self.number),
        }
    }
}

impl ExecutionPlan for Spool {
    fn name(&self) -> &str {
        "Spool"
    }

    // Over another input, or to be executed anew, it has no rows in common with others.
    one_input!(|this, input| Spool::new(input, this.number));

    same_rows!();

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(common) = &self.common else { return self.input.execute(partition, context) };
        if partition >= self.input.output_partitioning().partition_count() {
            return internal_err!("Spool has no partition {partition}");
        }
        let (run, own, input) = (common.run(&context)?, Arc::clone(&self.own), Arc::clone(&self.input));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let rows = futures::stream::once(async move {
            match run.await {
                Some(kept) => {
                    let batches = kept.partitions[partition].clone();
                    let schema = input.schema();
                    // The last reader lets the memory go.
                    let batches = futures::stream::iter(batches).map(move |batch| {
                        let _kept = &kept;
                        Ok(batch)
                    });
                    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)) as SendableRecordBatchStream)
                }
                None => own.lock().execute(&input, partition, context),
            }
        });
        let rows = rows.try_flatten().inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
