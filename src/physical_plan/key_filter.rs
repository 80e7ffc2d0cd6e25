//! The keys of a join's build side, known to the scans below its probe side before they read.
//!
//! DataFusion's hash joins tell scans the range of their keys, and have each row looked up in their hash table. Such a
//! lookup costs about as much as the join's own; a small set of the keys, which fits a cache, says nearly the same. Where
//! the key is one integer, pages are asked for its members before rows are decoded.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::hash_utils::{QualityRandomState, create_hashes};
use datafusion::common::{NullEquality, Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, lit};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr};
use futures::StreamExt;
use parking_lot::Mutex;

use super::config::BlueshiftOptions;
use super::integers::{integers_of, is_integer};
use super::passing::{filters_and_rows_go_through, one_input, same_rows};
use crate::common::Members;
use crate::common::bloom::Bloom;
use crate::common::members::range_of;

/// Passes a join's build side on, and fills a filter of its keys: once all partitions have ended, and not before.
///
/// The keys are held as integers or hashes meanwhile, in memory that the pool grants; where it does not, or where there are very many
/// keys, the filter lets everything pass.
#[derive(Debug)]
pub struct BuildKeys {
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    /// The key's type, where it is a single integer and a NULL has no partner.
    integer: Option<DataType>,
    /// Over the probe side's keys. It is `true` until it is filled.
    filter: Arc<DynamicFilterPhysicalExpr>,
    /// Of the execution under way.
    gathering: Arc<Mutex<Gathering>>,
}

/// The keys of one execution.
#[derive(Debug, Default)]
struct Gathering {
    /// Which one: what an earlier one still reads counts for nothing.
    execution: u64,
    /// Per partition, whether it has begun.
    begun: Vec<bool>,
    ended: usize,
    /// As they came: hashes, or the bits of integers.
    numbers: Vec<Vec<u64>>,
    count: usize,
    /// Of more keys no filter is made: it would fit no cache.
    most: usize,
    /// Covers the numbers; none once they are given up.
    memory: Option<MemoryReservation>,
}

impl BuildKeys {
    /// `keys` are over the input, the columns of `filter` their counterparts on the probe side, in the same order.
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        nulls: NullEquality,
        filter: Arc<DynamicFilterPhysicalExpr>,
    ) -> Self {
        let integer = match &keys[..] {
            [key] if nulls == NullEquality::NullEqualsNothing => key.data_type(&input.schema()).ok(),
            _ => None,
        };
        let integer = integer.filter(is_integer);
        BuildKeys { input, keys, integer, filter, gathering: Arc::default() }
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    pub fn keys(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.keys
    }

    pub fn filter(&self) -> &Arc<DynamicFilterPhysicalExpr> {
        &self.filter
    }

    /// Notes that a partition begins; of which execution. One that began before begins another, perhaps of other rows.
    fn begin(&self, partition: usize, context: &TaskContext) -> Result<u64> {
        let mut gathering = self.gathering.lock();
        let partitions = self.input.output_partitioning().partition_count();
        // A copy may have other partitions than the one that began before.
        if gathering.begun.len() != partitions || gathering.begun.get(partition).is_none_or(|begun| *begun) {
            self.filter.update(lit(true))?;
            let ours = context.session_config().options().extensions.get::<BlueshiftOptions>().cloned();
            let most = ours.unwrap_or_default().key_filters_keys;
            let memory = MemoryConsumer::new("keys of a join's filter").register(context.memory_pool());
            *gathering = Gathering {
                execution: gathering.execution + 1,
                begun: vec![false; partitions],
                memory: Some(memory),
                most,
                ..Gathering::default()
            };
        }
        let Some(begun) = gathering.begun.get_mut(partition) else {
            return internal_err!("there is no partition {partition}");
        };
        *begun = true;
        Ok(gathering.execution)
    }
}

impl Gathering {
    /// Adds what one batch gave; where it gave an error, there will be no filter.
    fn add(&mut self, execution: u64, numbers: Result<Vec<u64>>) {
        let Some(memory) = self.memory.as_ref().filter(|_| execution == self.execution) else { return };
        let Ok(numbers) = numbers else {
            (self.numbers, self.memory) = (Vec::new(), None);
            return;
        };
        self.count += numbers.len();
        let fits = self.count <= self.most && memory.try_grow(numbers.capacity() * size_of::<u64>()).is_ok();
        match fits {
            true => self.numbers.push(numbers),
            false => (self.numbers, self.memory) = (Vec::new(), None),
        }
    }

    /// Notes that a partition has ended; after the last one there is a filter, unless the keys were given up.
    fn end(&mut self, execution: u64, integer: Option<&DataType>) -> Option<Known> {
        self.ended += usize::from(execution == self.execution);
        if execution != self.execution || self.ended < self.begun.len() {
            return None;
        }
        let (numbers, memory) = (std::mem::take(&mut self.numbers), self.memory.take()?);
        let numbers = || numbers.iter().flatten().copied();
        let range = integer.and_then(|_| range_of(numbers().map(|number| number as i64)));
        let bytes = range.map_or(Bloom::bytes(self.count), |range| Members::bytes(self.count, range));
        memory.try_grow(bytes).ok()?;
        let set = match integer {
            None => Set::Hashes(Bloom::of(self.count, numbers())),
            Some(data_type) => {
                let members = Members::at_least(self.count, || numbers().map(|number| number as i64));
                Set::Integers(data_type.clone(), members.map(Arc::new))
            }
        };
        memory.shrink(memory.size() - bytes);
        Some(Known { set, _memory: memory })
    }
}

impl DisplayAs for BuildKeys {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(|key| key.to_string()).collect();
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "BuildKeys: keys=[{}]", keys.join(", "))
            }
            DisplayFormatType::TreeRender => write!(f, "keys={}", keys.join(", ")),
        }
    }
}

impl ExecutionPlan for BuildKeys {
    fn name(&self) -> &str {
        "BuildKeys"
    }

    // Copies fill the same filter: whichever began last.
    one_input!(|this, input| BuildKeys {
        gathering: Arc::clone(&this.gathering),
        integer: this.integer.clone(),
        ..BuildKeys::new(input, this.keys.clone(), NullEquality::NullEqualsNull, Arc::clone(&this.filter))
    });

    same_rows!();

    filters_and_rows_go_through!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let execution = self.begin(partition, &context)?;
        let stream = self.input.execute(partition, context)?;
        let schema = stream.schema();
        let (keys, integer, gathering) = (self.keys.clone(), self.integer.is_some(), Arc::clone(&self.gathering));
        let counted = stream.map(move |batch| {
            let numbers = match &batch {
                Ok(batch) if integer => present(&keys, batch),
                Ok(batch) => hashed(&keys, batch),
                Err(_) => internal_err!("the build side gave an error"),
            };
            gathering.lock().add(execution, numbers);
            batch
        });
        let (filter, integer) = (Arc::clone(&self.filter), self.integer.clone());
        let gathering = Arc::clone(&self.gathering);
        // Before the join hears of the end, and begins to probe.
        let end = futures::stream::once(async move {
            let mut gathering = gathering.lock();
            let Some(known) = gathering.end(execution, integer.as_ref()) else { return Ok(None) };
            let keys = filter.children().into_iter().cloned().collect();
            filter.update(Arc::new(KeyLookup { keys, known: Arc::new(known) }))?;
            Ok(None)
        });
        let whole = counted.map(|batch| batch.map(Some)).chain(end);
        let whole = whole.filter_map(|batch: Result<Option<RecordBatch>>| std::future::ready(batch.transpose()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, Box::pin(whole))))
    }
}

/// Whether rows' keys may be among those of a join's build side.
#[derive(Debug)]
pub struct KeyLookup {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    known: Arc<Known>,
}

#[derive(Debug)]
struct Known {
    set: Set,
    _memory: MemoryReservation,
}

#[derive(Debug)]
enum Set {
    /// Of all keys together.
    Hashes(Bloom),
    /// Of one key of this type; `None` where the build side has none.
    Integers(DataType, Option<Arc<Members>>),
}

impl KeyLookup {
    pub fn keys(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.keys
    }

    /// The set that a single key of this type is asked for in, `None` of none within where no row finds a partner; `None`
    /// where it is of another kind.
    pub fn members(&self, data_type: &DataType) -> Option<Option<&Arc<Members>>> {
        match &self.known.set {
            Set::Integers(of, members) if of == data_type => Some(members.as_ref()),
            _ => None,
        }
    }
}

/// The only key of each row as an integer, and which rows have one: those of the others are any.
fn integers(keys: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<(Vec<i64>, Option<NullBuffer>)> {
    let [key] = keys else { return internal_err!("{} keys instead of one", keys.len()) };
    let array = key.evaluate(batch)?.into_array(batch.num_rows())?;
    let mut values = Vec::with_capacity(array.len());
    integers_of(&array, &mut values)?;
    Ok((values, array.logical_nulls()))
}

/// The keys that rows have.
fn present(keys: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Vec<u64>> {
    let (values, nulls) = integers(keys, batch)?;
    Ok(match nulls {
        None => values.into_iter().map(|value| value as u64).collect(),
        Some(nulls) => nulls.valid_indices().map(|row| values[row] as u64).collect(),
    })
}

/// One hash for all keys of each row.
fn hashed(keys: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Vec<u64>> {
    /// Other than those of exchanges and of hash tables: a partition's keys agree in what those look at.
    const STATE: QualityRandomState = QualityRandomState::with_seed(0x6b65_7973);
    let keys = keys.iter().map(|key| key.evaluate(batch)?.into_array(batch.num_rows()));
    let keys = keys.collect::<Result<Vec<ArrayRef>>>()?;
    let mut hashes = vec![0; batch.num_rows()];
    create_hashes(&keys, &STATE, &mut hashes)?;
    Ok(hashes)
}

impl PartialEq for KeyLookup {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.known, &other.known) && self.keys == other.keys
    }
}

impl Eq for KeyLookup {}

impl Hash for KeyLookup {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.known).hash(state);
        self.keys.hash(state);
    }
}

impl fmt::Display for KeyLookup {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(|key| key.to_string()).collect();
        write!(f, "key_lookup({})", keys.join(", "))
    }
}

impl PhysicalExpr for KeyLookup {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let found = match (&self.known.set, &self.keys[..]) {
            (Set::Integers(_, None), _) => BooleanArray::new(BooleanBuffer::new_unset(batch.num_rows()), None),
            (Set::Integers(_, Some(members)), keys) => {
                let (values, nulls) = integers(keys, batch)?;
                let found = BooleanBuffer::collect_bool(values.len(), |row| members.may_hold(values[row]));
                let found = nulls.map_or(found.clone(), |nulls| &found & nulls.inner());
                BooleanArray::new(found, None)
            }
            (Set::Hashes(bloom), keys) => {
                let hashes = hashed(keys, batch)?;
                let found = BooleanBuffer::collect_bool(hashes.len(), |row| bloom.may_hold(hashes[row]));
                BooleanArray::new(found, None)
            }
        };
        Ok(ColumnarValue::Array(Arc::new(found)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.keys.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, keys: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(KeyLookup { keys, known: Arc::clone(&self.known) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Field;
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::physical_expr::expressions::Column;

    use super::*;

    fn batch(keys: impl IntoIterator<Item = i64>) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(keys))]).unwrap()
    }

    /// As [`build_of`], of keys of which a NULL has no partner.
    fn build() -> (Arc<BuildKeys>, Arc<DynamicFilterPhysicalExpr>) {
        build_of(NullEquality::NullEqualsNothing)
    }

    /// A build side of three partitions, one of them empty, and the probe side's filter.
    fn build_of(nulls: NullEquality) -> (Arc<BuildKeys>, Arc<DynamicFilterPhysicalExpr>) {
        let partitions = [vec![batch(0..1000), batch(5000..5010)], vec![], vec![batch(2000..2500)]];
        let input = MemorySourceConfig::try_new_exec(&partitions, batch([]).schema(), None).unwrap();
        let key: Arc<dyn PhysicalExpr> = Arc::new(Column::new("k", 0));
        let probe: Arc<dyn PhysicalExpr> = Arc::new(Column::new("other", 0));
        let filter = Arc::new(DynamicFilterPhysicalExpr::new(vec![probe], lit(true)));
        (Arc::new(BuildKeys::new(input, vec![key], nulls, Arc::clone(&filter))), filter)
    }

    fn begin(plan: &Arc<BuildKeys>, partition: usize, memory: usize) -> SendableRecordBatchStream {
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(GreedyMemoryPool::new(memory)));
        let context = TaskContext::default().with_runtime(runtime.build_arc().unwrap());
        plan.execute(partition, Arc::new(context)).unwrap()
    }

    async fn read(mut stream: SendableRecordBatchStream) -> usize {
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            rows += batch.unwrap().num_rows();
        }
        rows
    }

    /// How many of the first 10,000 numbers pass.
    fn passing(filter: &DynamicFilterPhysicalExpr) -> usize {
        let asked = batch(0..10_000);
        let answer = filter.evaluate(&asked).unwrap().into_array(asked.num_rows()).unwrap();
        let passed = answer.as_boolean();
        let built = (0..1000).chain(5000..5010).chain(2000..2500);
        assert!(built.into_iter().all(|key| passed.value(key)));
        passed.true_count()
    }

    const ALL: usize = 10_000;

    #[tokio::test]
    async fn there_is_a_filter_once_all_partitions_have_ended() {
        for (nulls, found) in
            [(NullEquality::NullEqualsNothing, 1510..1511), (NullEquality::NullEqualsNull, 1511..1900)]
        {
            filter_of_all(nulls, found).await;
        }
    }

    /// An integer's members are known exactly, hashes nearly.
    async fn filter_of_all(nulls: NullEquality, found: std::ops::Range<usize>) {
        let (plan, filter) = build_of(nulls);
        // Again, and after an execution that was broken off.
        for broken_off in [false, true, false] {
            if broken_off {
                read(begin(&plan, 2, 1 << 20)).await;
                drop(begin(&plan, 0, 1 << 20));
                assert_eq!(passing(&filter), ALL);
            }
            let streams = [2, 0, 1].map(|partition| begin(&plan, partition, 1 << 20));
            let mut rows = 0;
            for stream in streams {
                assert_eq!(passing(&filter), ALL);
                rows += read(stream).await;
            }
            assert_eq!(rows, 1510);
            assert!(found.contains(&passing(&filter)), "{}", passing(&filter));
        }
    }

    #[tokio::test]
    async fn streams_of_another_execution_count_for_nothing() {
        let (plan, filter) = build();
        let old = [0, 1, 2].map(|partition| begin(&plan, partition, 1 << 20));
        let new = begin(&plan, 0, 1 << 20);
        for stream in old {
            read(stream).await;
        }
        read(new).await;
        assert_eq!(passing(&filter), ALL);
        read(begin(&plan, 1, 1 << 20)).await;
        assert_eq!(passing(&filter), ALL);
        read(begin(&plan, 2, 1 << 20)).await;
        assert!(passing(&filter) < ALL);
    }

    #[tokio::test]
    async fn without_memory_all_rows_pass() {
        let (plan, filter) = build();
        for partition in [0, 1, 2] {
            read(begin(&plan, partition, 4_000)).await;
        }
        assert_eq!(passing(&filter), ALL);
    }
}
