//! Partitions that wait for each other are begun together.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties};
use futures::Stream;
use parking_lot::Mutex;

use super::passing::{filters_and_rows_go_through, one_input, same_rows};

/// Passes its input on, and asks all partitions for rows as soon as one waits for some.
///
/// A hash join with a filter for its right side waits in each partition until all have said what they built. Where a join
/// above has nothing to look up in one partition, it never asks that one, and the others would wait for ever.
#[derive(Debug)]
pub struct Abreast {
    input: Arc<dyn ExecutionPlan>,
    /// Of the execution under way.
    begun: Mutex<Arc<Begun>>,
}

/// The partitions of one execution.
#[derive(Debug)]
struct Begun {
    partitions: Vec<Mutex<Partition>>,
    /// Readers that have to look again when a partition comes or goes.
    waiting: Mutex<Vec<Waker>>,
}

#[derive(Default)]
struct Partition {
    stream: Option<SendableRecordBatchStream>,
    executed: bool,
    /// Whether its own reader has asked for rows: then nobody else does.
    asked: bool,
    /// What another reader got; at the end, nothing.
    first: Option<Option<Result<RecordBatch>>>,
    gone: bool,
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Partition").field("asked", &self.asked).field("gone", &self.gone).finish_non_exhaustive()
    }
}

impl Abreast {
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let begun = Mutex::new(Begun::of(&input));
        Abreast { input, begun }
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }
}

impl Begun {
    fn of(input: &Arc<dyn ExecutionPlan>) -> Arc<Self> {
        let partitions = (0..input.output_partitioning().partition_count()).map(|_| Mutex::default());
        Arc::new(Begun { partitions: partitions.collect(), waiting: Mutex::default() })
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Asks the partitions that nobody has asked.
    fn ask_others(&self, own: usize, context: &mut Context<'_>) {
        {
            let mut waiting = self.waiting.lock();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
        }
        for (at, partition) in self.partitions.iter().enumerate() {
            // Who holds the lock asks.
            let Some(mut partition) = partition.try_lock().filter(|_| at != own) else { continue };
            if partition.asked || partition.first.is_some() {
                continue;
            }
            let Some(stream) = &mut partition.stream else { continue };
            if let Poll::Ready(first) = stream.as_mut().poll_next(context) {
                match partition.gone {
                    true => partition.stream = None,
                    false => partition.first = Some(first),
                }
            }
        }
    }
}

/// One partition's rows.
struct Reader {
    schema: SchemaRef,
    partition: usize,
    begun: Arc<Begun>,
}

impl Stream for Reader {
    type Item = Result<RecordBatch>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        {
            let mut own = self.begun.partitions[self.partition].lock();
            own.asked = true;
            if let Some(first) = own.first.take() {
                return Poll::Ready(first);
            }
            let Some(stream) = &mut own.stream else { return Poll::Ready(None) };
            if let Poll::Ready(next) = stream.as_mut().poll_next(context) {
                return Poll::Ready(next);
            }
        }
        self.begun.ask_others(self.partition, context);
        Poll::Pending
    }
}

impl RecordBatchStream for Reader {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let dropped = {
            let mut own = self.begun.partitions[self.partition].lock();
            own.gone = true;
            // One that nobody has asked is left to the others.
            if own.asked || own.first.is_some() { own.stream.take() } else { None }
        };
        drop(dropped);
        self.begun.wake();
    }
}

impl DisplayAs for Abreast {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Abreast")
    }
}

impl ExecutionPlan for Abreast {
    fn name(&self) -> &str {
        "Abreast"
    }

    one_input!(|_, input| Abreast::new(input));

    same_rows!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let stream = self.input.execute(partition, context)?;
        let schema = stream.schema();
        let begun = {
            let mut begun = self.begun.lock();
            let Some(known) = begun.partitions.get(partition) else {
                return internal_err!("there is no partition {partition}");
            };
            let again = known.lock().executed;
            if again {
                *begun = Begun::of(&self.input);
            }
            Arc::clone(&begun)
        };
        *begun.partitions[partition].lock() =
            Partition { stream: Some(stream), executed: true, ..Partition::default() };
        begun.wake();
        Ok(Box::pin(Reader { schema, partition, begun }))
    }

    filters_and_rows_go_through!();
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow::datatypes::Schema;
    use datafusion::common::tree_node::TreeNodeRecursion;
    use datafusion::physical_expr::{EquivalenceProperties, Partitioning};
    use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use datafusion::physical_plan::{PhysicalExpr, PlanProperties};
    use futures::StreamExt;
    use tokio::sync::Barrier;

    use super::*;

    /// Each partition waits for all, then gives two batches of no columns.
    #[derive(Debug)]
    struct Waits {
        properties: Arc<PlanProperties>,
        barrier: Arc<Barrier>,
        given: Arc<AtomicUsize>,
    }

    impl DisplayAs for Waits {
        fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("Waits")
        }
    }

    impl ExecutionPlan for Waits {
        fn name(&self) -> &str {
            "Waits"
        }

        fn properties(&self) -> &Arc<PlanProperties> {
            &self.properties
        }

        fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
            Vec::new()
        }

        fn apply_expressions(
            &self,
            _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
        ) -> Result<TreeNodeRecursion> {
            Ok(TreeNodeRecursion::Continue)
        }

        fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
            Ok(self)
        }

        fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
            let (barrier, given) = (Arc::clone(&self.barrier), Arc::clone(&self.given));
            let batches = futures::stream::iter(0..2).then(move |at| {
                let (barrier, given) = (Arc::clone(&barrier), Arc::clone(&given));
                async move {
                    if at == 0 {
                        barrier.wait().await;
                    }
                    given.fetch_add(1, Ordering::Relaxed);
                    Ok(RecordBatch::new_empty(Arc::new(Schema::empty())))
                }
            });
            Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
        }
    }

    fn waits(partitions: usize) -> (Arc<Abreast>, Arc<AtomicUsize>) {
        let given = Arc::new(AtomicUsize::new(0));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::empty())),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let barrier = Arc::new(Barrier::new(partitions));
        let input = Waits { properties: Arc::new(properties), barrier, given: Arc::clone(&given) };
        (Arc::new(Abreast::new(Arc::new(input))), given)
    }

    async fn count(stream: SendableRecordBatchStream) -> usize {
        stream.map(|batch| batch.map(|_| 1).unwrap()).fold(0, |sum, one| async move { sum + one }).await
    }

    fn execute(plan: &Arc<Abreast>, partition: usize) -> SendableRecordBatchStream {
        plan.execute(partition, Arc::new(TaskContext::default())).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_partition_that_is_held_or_dropped_is_begun() {
        for (held, again) in [(true, false), (false, false), (true, true)] {
            let (plan, given) = waits(3);
            for _ in 0..=usize::from(again) {
                given.store(0, Ordering::Relaxed);
                let passed_over = execute(&plan, 0);
                let read = [1, 2].map(|partition| tokio::spawn(count(execute(&plan, partition))));
                let kept = held.then_some(passed_over);
                for read in read {
                    assert_eq!(read.await.unwrap(), 2);
                }
                let given = given.load(Ordering::Relaxed);
                assert!((4..=5).contains(&given), "of the one that nobody asks, at most a batch");
                // One that is asked after all gives all of its rows.
                if let Some(late) = kept {
                    assert_eq!(count(late).await, 2);
                }
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn partitions_may_come_late() {
        let (plan, _) = waits(3);
        let first = tokio::spawn(count(execute(&plan, 0)));
        tokio::task::yield_now().await;
        let second = tokio::spawn(count(execute(&plan, 1)));
        tokio::task::yield_now().await;
        drop(execute(&plan, 2));
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (2, 2));
    }
}
