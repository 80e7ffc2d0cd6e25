//! Aggregation of integers: rows are added to their groups as the integers and codes that they are stored as.
//!
//! DataFusion's operator gets decimals of 128 bits, computes its arguments with checks, and finds each row's group by hashing
//! and comparing its values. Where the bounds of tables' columns prove that 64 bits suffice, and keys are integers and texts, this
//! operator does the same without; directly above a scan from pages to groups, a zone at a time.

mod groups;
mod numbers;
mod origin;
mod states;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, AggregateOutputMode};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, Time};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
};
use futures::{Stream, StreamExt, TryStreamExt};
use parking_lot::Mutex;

use self::groups::{Found, Groups, KeyKind, MOST_BITS, MOST_ROWS};
pub(super) use self::groups::{Texts, clear_nulls};
pub(super) use self::numbers::Slot;
use self::numbers::{Computed, Numbers};
use self::origin::Source;
use self::states::{Aggregate, Function, States};
use super::integers::integers_of;
use super::scan::SliceScan;
use super::work::SharedUnits;
use crate::format::mask::Mask;

/// More different texts than this are no key here.
const MANY_TEXTS: f64 = 65_536.0;
/// After so many rows a phase that leaves more than that share of them as groups is given up (DataFusion's own figures).
const JUDGED_ROWS: usize = 100_000;
const USELESS: f64 = 0.8;

/// An aggregation, partial or whole, of a scan's rows or of others.
///
/// It gives what DataFusion's operator of the same inputs gives, which it keeps for all that asks about plans.
#[derive(Debug)]
pub struct IntegerAggregate {
    /// Over its source, perhaps through a projection.
    exec: Arc<AggregateExec>,
    layout: Arc<Layout>,
    shared: Mutex<Shared>,
    metrics: ExecutionPlanMetricsSet,
}

/// What the partitions of one execution share.
#[derive(Debug, Default)]
struct Shared {
    units: Option<Arc<SharedUnits>>,
    /// Which of them have begun. One that begins again belongs to another execution.
    begun: Vec<usize>,
}

impl Shared {
    fn of(&mut self, scan: &SliceScan, partition: usize, config: &ConfigOptions) -> Option<Arc<SharedUnits>> {
        if self.begun.is_empty() || self.begun.contains(&partition) {
            *self = Shared { units: scan.shared_work(config), begun: Vec::new() };
        }
        self.begun.push(partition);
        self.units.clone()
    }
}

/// What is computed of rows, and by which keys.
#[derive(Debug)]
pub(super) struct Layout {
    keys: Vec<KeyKind>,
    numbers: Numbers,
    aggregates: Vec<Aggregate>,
    /// At most so many are added.
    rows: u64,
    /// Whether another phase merges what is given.
    is_partial: bool,
    /// Keys and states.
    schema: SchemaRef,
}

impl IntegerAggregate {
    /// `None` where this operator cannot stand for `aggregate`.
    pub fn try_new(aggregate: &Arc<dyn ExecutionPlan>) -> Result<Option<Self>> {
        let Some(exec) = aggregate.downcast_ref::<AggregateExec>() else { return Ok(None) };
        let source = source_of(exec);
        let Some(layout) = Layout::of(exec, source)? else { return Ok(None) };
        let metrics = ExecutionPlanMetricsSet::new();
        let (exec, layout, shared) = (Arc::new(exec.clone()), Arc::new(layout), Mutex::default());
        Ok(Some(IntegerAggregate { exec, layout, shared, metrics }))
    }

    /// The operator that it stands for.
    pub fn exec(&self) -> &Arc<AggregateExec> {
        &self.exec
    }
}

impl Layout {
    /// `None` of what is aggregated otherwise.
    fn of(exec: &AggregateExec, source: Source<'_>) -> Result<Option<Self>> {
        let projection = exec.input().downcast_ref::<ProjectionExec>();
        let group = exec.group_expr();
        let first_phase =
            matches!(exec.mode(), AggregateMode::Partial | AggregateMode::Single | AggregateMode::SinglePartitioned);
        let plain = first_phase
            && *exec.input_order_mode() == InputOrderMode::Linear
            && exec.limit_options().is_none()
            && exec.filter_expr().iter().all(Option::is_none)
            && exec.dynamic_expressions_produced().is_empty()
            && !group.has_grouping_set()
            && (group.is_single() || group.is_true_no_grouping());
        if !plain {
            return Ok(None);
        }
        let rows = match source {
            // All rows, in any order.
            Source::Scan(scan) if scan.limit().is_some() || scan.wanted_first().is_some() => return Ok(None),
            Source::Scan(scan) => scan.table().segments.iter().map(|segment| u64::from(segment.rows)).sum(),
            Source::Rows(_) => u64::MAX,
        };
        let input = projection.map_or(exec.input().schema(), |projection| projection.input().schema());
        let mut layout = Layout {
            keys: Vec::new(),
            numbers: Numbers::default(),
            aggregates: Vec::new(),
            rows,
            is_partial: exec.mode().output_mode() == AggregateOutputMode::Partial,
            schema: exec.schema(),
        };
        // Over the source's columns.
        let below = |expr: &Arc<dyn PhysicalExpr>| -> Result<Arc<dyn PhysicalExpr>> {
            let Some(projection) = projection else { return Ok(Arc::clone(expr)) };
            Arc::clone(expr)
                .transform_down(|e| {
                    Ok(match e.downcast_ref::<Column>() {
                        Some(column) => {
                            let of = Arc::clone(&projection.expr()[column.index()].expr);
                            Transformed::new(of, true, TreeNodeRecursion::Jump)
                        }
                        None => Transformed::no(e),
                    })
                })
                .data()
        };
        let mut bits = 0;
        for (expr, _) in group.expr() {
            let expr = below(expr)?;
            let Some(column) = expr.downcast_ref::<Column>() else { return Ok(None) };
            let kind = match source.text(column.index()) {
                // Texts are looked for among all that there are, which of very many costs more than DataFusion's way.
                Some(_) if source.distinct(column.index()).is_some_and(|distinct| distinct > MANY_TEXTS) => {
                    return Ok(None);
                }
                Some(column) if expr.data_type(&input)? == DataType::Utf8View => KeyKind::Text { column },
                _ => match layout.numbers.add(&expr, &input, source) {
                    Some(number) => {
                        let (low, high) = layout.numbers.bounds(number);
                        KeyKind::Integer { number, low: low as i64, high: high as i64 }
                    }
                    None => return Ok(None),
                },
            };
            let Some(more) = kind.bits() else { return Ok(None) };
            bits += more;
            layout.keys.push(kind);
        }
        if bits > MOST_BITS {
            return Ok(None);
        }
        for function in exec.aggr_expr() {
            if function.is_distinct() || !function.order_bys().is_empty() || function.is_reversed() {
                return Ok(None);
            }
            let [argument] = &function.expressions()[..] else { return Ok(None) };
            let argument = below(argument)?;
            let states = function.state_fields()?;
            let data_type = argument.data_type(&input)?;
            let Some(known) = Function::of(function.fun().name(), &data_type, &states) else { return Ok(None) };
            let counts_rows = known == Function::Count
                && argument.downcast_ref::<Literal>().is_some_and(|literal| !literal.value().is_null());
            let sums = matches!(known, Function::Sum | Function::Average);
            let number = match (counts_rows, sums) {
                (true, _) => None,
                (false, true) => layout.numbers.add_linear(&argument, &input, source),
                (false, false) => layout.numbers.add(&argument, &input, source).map(|number| (number, 1, 0)),
            };
            if !counts_rows && number.is_none_or(|(number, ..)| layout.numbers.is_constant(number)) {
                return Ok(None);
            }
            let (argument, linear) =
                (number.map(|(number, ..)| number), number.map_or((1, 0), |(_, by, more)| (by, more)));
            let states = states.iter().map(|field| field.data_type().clone()).collect();
            layout.aggregates.push(Aggregate { function: known, argument, linear, states });
        }
        if !layout.is_partial {
            layout.schema = layout.state_schema(exec)?;
        }
        Ok(Some(layout))
    }

    /// Keys and states, as a partial aggregation gives them.
    fn state_schema(&self, exec: &AggregateExec) -> Result<SchemaRef> {
        let input = exec.input_schema();
        let mut fields = exec.group_expr().group_schema(&input)?.fields().to_vec();
        for function in exec.aggr_expr() {
            fields.extend(function.state_fields()?);
        }
        Ok(Arc::new(arrow::datatypes::Schema::new(fields)))
    }
}

/// DataFusion's operator, or that which one of ours stands for.
pub fn aggregation_of(plan: &dyn ExecutionPlan) -> Option<&AggregateExec> {
    let ours = plan.downcast_ref::<IntegerAggregate>().map(|this| this.exec.as_ref());
    ours.or_else(|| plan.downcast_ref::<AggregateExec>())
}

/// What is aggregated; a projection between is computed here.
fn source_of(exec: &AggregateExec) -> Source<'_> {
    let rows = exec.input().downcast_ref::<ProjectionExec>().map_or(exec.input(), ProjectionExec::input);
    // An aggregation of a scan yields by itself.
    let scan = rows.downcast_ref::<CooperativeExec>().map_or(rows, CooperativeExec::input);
    let source = scan.downcast_ref::<DataSourceExec>();
    match source.and_then(|source| source.data_source().downcast_ref::<SliceScan>()) {
        Some(scan) => Source::Scan(scan),
        None => Source::Rows(rows),
    }
}

fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

impl DisplayAs for IntegerAggregate {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        if !matches!(t, DisplayFormatType::TreeRender) {
            write!(f, "Integer")?;
        }
        self.exec.fmt_as(t, f)
    }
}

impl ExecutionPlan for IntegerAggregate {
    fn name(&self) -> &str {
        "IntegerAggregate"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.exec.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![self.exec.input()]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.exec.apply_expressions(f)
    }

    /// Over another scan it is made anew, or DataFusion's where it cannot be.
    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let exec: Arc<dyn ExecutionPlan> = Arc::clone(&self.exec) as _;
        let aggregate = exec.replace_children(children, options)?;
        Ok(match IntegerAggregate::try_new(&aggregate)? {
            Some(this) => Arc::new(this),
            None => aggregate,
        })
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::ChildrenPropertiesMode;
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let memory = MemoryConsumer::new(format!("IntegerAggregate[{partition}]")).register(context.memory_pool());
        let parts = Arc::new(AtomicBool::new(false));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let time = metrics.elapsed_compute().clone();
        let aggregation = Aggregation::new(Arc::clone(&self.layout), memory, Arc::clone(&parts), time)?;
        let schema = Arc::clone(&self.layout.schema);
        let states: SendableRecordBatchStream = match source_of(&self.exec) {
            Source::Scan(scan) => {
                let shared = self.shared.lock().of(scan, partition, context.session_config().options());
                scan.aggregated(partition, shared.as_deref(), aggregation, schema, &context)?
            }
            Source::Rows(rows) => {
                let batch_rows = context.session_config().batch_size();
                let rows = rows.execute(partition, Arc::clone(&context))?;
                Box::pin(RecordBatchStreamAdapter::new(schema, aggregation.of_rows(rows, batch_rows)))
            }
        };
        let schema = self.schema();
        if self.layout.is_partial {
            return Ok(recorded(states, schema, metrics));
        }
        // Whether there are parts of groups is known with the first of them.
        let exec = Arc::clone(&self.exec);
        let begun = futures::stream::once(async move {
            let mut states = states;
            let layout_schema = states.schema();
            let first = states.try_next().await?;
            let rest = futures::stream::iter(first.map(Ok)).chain(states);
            let states: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(layout_schema, rest));
            match parts.load(Ordering::Acquire) {
                true => merged(&exec, states, context),
                false => whole(&exec, states),
            }
        });
        let stream = begun.try_flatten();
        Ok(recorded(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), stream)), schema, metrics))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Makes of states what the aggregates are; each group is there once.
fn whole(exec: &AggregateExec, states: SendableRecordBatchStream) -> Result<SendableRecordBatchStream> {
    let schema = exec.schema();
    let (keys, functions) = (exec.group_expr().expr().len(), exec.aggr_expr().to_vec());
    let whole_schema = Arc::clone(&schema);
    let whole = states.map(move |batch| {
        let batch = batch?;
        let rows = batch.num_rows();
        let groups: Vec<usize> = (0..rows).collect();
        let mut columns = batch.columns()[..keys].to_vec();
        let mut at = keys;
        for function in &functions {
            let states = function.state_fields()?.len();
            let mut accumulator = function.create_groups_accumulator()?;
            accumulator.merge_batch(&batch.columns()[at..at + states], &groups, rows)?;
            columns.push(accumulator.evaluate(EmitTo::All)?);
            at += states;
        }
        batch_of(&whole_schema, columns, rows)
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, whole)))
}

/// Has DataFusion merge states of which memory did not hold all at once.
fn merged(
    exec: &AggregateExec,
    states: SendableRecordBatchStream,
    context: Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let schema = states.schema();
    let once = Arc::new(Once { schema: Arc::clone(&schema), stream: Mutex::new(Some(states)) });
    let input = StreamingTableExec::try_new(schema, vec![once], None, [], false, None)?;
    let merge = AggregateExec::try_new(
        AggregateMode::Final,
        exec.group_expr().as_final(),
        exec.aggr_expr().to_vec(),
        vec![None; exec.aggr_expr().len()],
        Arc::new(input),
        exec.input_schema(),
    )?;
    merge.execute(0, context)
}

fn recorded(
    mut stream: SendableRecordBatchStream,
    schema: SchemaRef,
    metrics: BaselineMetrics,
) -> SendableRecordBatchStream {
    let counted = futures::stream::poll_fn(move |context| metrics.record_poll(stream.poll_next_unpin(context)));
    Box::pin(RecordBatchStreamAdapter::new(schema, counted))
}

/// A stream that is there once, as an operator's input.
struct Once {
    schema: SchemaRef,
    stream: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let stream = self.stream.lock().take();
        stream.unwrap_or_else(|| {
            let nothing = futures::stream::once(async { internal_err!("a stream is read twice") });
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), nothing))
        })
    }
}

/// One partition's groups on their way.
pub(super) struct Aggregation {
    layout: Arc<Layout>,
    groups: Groups,
    states: States,
    computed: Computed,
    /// Of each key's column of text, the texts' numbers of the zone's rows.
    texts: Vec<Vec<u32>>,
    found: Found,
    memory: MemoryReservation,
    /// Groups that were given.
    given: usize,
    /// Set once what was given is not all there is of its groups.
    parts: Arc<AtomicBool>,
    /// Rows that have been added.
    added: usize,
    /// Whether groups are given as soon as rows have been added.
    gives_rows: bool,
    /// Spent here, without what gives the rows.
    time: Time,
}

impl Aggregation {
    fn new(layout: Arc<Layout>, memory: MemoryReservation, parts: Arc<AtomicBool>, time: Time) -> Result<Self> {
        let groups = Groups::new(&layout.keys)?;
        let states = States::new(&layout.aggregates, &layout.numbers, layout.rows);
        let texts = vec![Vec::new(); layout.keys.len()];
        let (computed, found) = (Computed::default(), Found::default());
        Ok(Aggregation {
            layout,
            groups,
            states,
            computed,
            texts,
            found,
            memory,
            given: 0,
            parts,
            added: 0,
            gives_rows: false,
            time,
        })
    }

    /// The columns whose integers are wanted, as the source calls them, each with its first number.
    pub fn integer_columns(&self) -> Vec<(usize, usize)> {
        self.layout.numbers.columns().collect()
    }

    /// Where the integers of one of them go, by its first number.
    pub fn slot(&mut self, number: usize) -> &mut Slot {
        self.computed.slot(&self.layout.numbers, number)
    }

    /// The columns whose texts' numbers are wanted, as the source calls them, and which of the keys each is.
    pub fn text_columns(&self) -> Vec<(usize, usize)> {
        let keys = self.layout.keys.iter().enumerate();
        keys.filter_map(|(at, key)| match key {
            KeyKind::Text { column } => Some((at, *column)),
            KeyKind::Integer { .. } => None,
        })
        .collect()
    }

    /// The texts of a key, and where the numbers of its rows go.
    pub fn text_key(&mut self, at: usize) -> (&mut Texts, &mut Vec<u32>) {
        (self.groups.texts(at), &mut self.texts[at])
    }

    /// Numbers texts one by one.
    pub fn number_texts(&mut self, at: usize, array: &StringViewArray) {
        let (texts, out) = self.text_key(at);
        texts.number_all(array, out);
    }

    /// Adds `rows` rows, of which all that was wanted is there. Gives states of groups where memory does not hold more.
    pub fn add(&mut self, rows: usize, batch_rows: usize) -> Result<Vec<RecordBatch>> {
        let time = self.time.clone();
        let timer = time.timer();
        self.computed.compute(&self.layout.numbers, rows);
        if self.layout.keys.is_empty() {
            self.groups.only();
            self.found.groups.clear();
            self.found.groups.resize(rows, 0);
        } else {
            self.groups.find(rows, &self.computed, &self.texts, &mut self.found)?;
        }
        self.states.add(&self.computed, &self.found, self.groups.len());
        self.added += rows;
        let bytes = self.groups.memory_bytes() + self.states.memory_bytes();
        if !self.gains_nothing() && !self.groups.are_full() && self.memory.try_resize(bytes).is_ok() {
            return Ok(Vec::new());
        }
        drop(timer);
        self.parts.store(true, Ordering::Release);
        let mut given = Vec::new();
        while let Some(batch) = self.next_batch(batch_rows)? {
            given.push(batch);
        }
        self.given = 0;
        self.groups = Groups::new(&self.layout.keys)?;
        self.states = States::new(&self.layout.aggregates, &self.layout.numbers, self.layout.rows);
        self.memory.resize(0);
        Ok(given)
    }

    /// Whether nearly each of the rows is a group of its own, so that whoever merges groups has as much to do without this. Then
    /// a zone's rows are only brought into the form of states; since that forgets all groups, it stays so.
    fn gains_nothing(&mut self) -> bool {
        let enough = self.added >= JUDGED_ROWS;
        self.gives_rows |= enough && self.layout.is_partial && self.groups.len() as f64 > USELESS * self.added as f64;
        self.gives_rows
    }

    /// The states of groups of the rows of a stream.
    fn of_rows(
        self,
        rows: SendableRecordBatchStream,
        batch_rows: usize,
    ) -> impl Stream<Item = Result<RecordBatch>> + Send {
        let begun = (self, rows, VecDeque::new(), false);
        futures::stream::try_unfold(begun, move |(mut this, mut rows, mut ready, mut ended)| async move {
            loop {
                if let Some(batch) = ready.pop_front() {
                    return Ok(Some((batch, (this, rows, ready, ended))));
                }
                if ended {
                    let next = this.next_batch(batch_rows)?;
                    return Ok(next.map(|batch| (batch, (this, rows, ready, ended))));
                }
                match rows.try_next().await? {
                    Some(batch) => {
                        for from in (0..batch.num_rows()).step_by(MOST_ROWS) {
                            let some = batch.slice(from, MOST_ROWS.min(batch.num_rows() - from));
                            ready.extend(this.take(&some, batch_rows)?);
                        }
                    }
                    None => ended = true,
                }
            }
        })
    }

    /// Adds a batch's rows, [`MOST_ROWS`] at most.
    fn take(&mut self, batch: &RecordBatch, batch_rows: usize) -> Result<Vec<RecordBatch>> {
        let rows = batch.num_rows();
        let time = self.time.clone();
        let timer = time.timer();
        for (number, column) in self.integer_columns() {
            let array = batch.column(column);
            let slot = self.slot(number);
            slot.values.clear();
            integers_of(array, &mut slot.values)?;
            slot.valid = array.nulls().filter(|nulls| nulls.null_count() > 0).map(|n| Mask::from_buffer(n.inner()));
        }
        for (key, column) in self.text_columns() {
            let Some(texts) = batch.column(column).as_string_view_opt() else {
                return internal_err!("a key of text is {}", batch.column(column).data_type());
            };
            self.texts[key].clear();
            self.number_texts(key, texts);
        }
        drop(timer);
        self.add(rows, batch_rows)
    }

    /// The states of the next groups that were not given yet.
    pub fn next_batch(&mut self, batch_rows: usize) -> Result<Option<RecordBatch>> {
        let time = self.time.clone();
        let _timer = time.timer();
        let keys = &self.layout.keys;
        let empty = keys.is_empty() && self.groups.len() == 0;
        if empty {
            self.groups.only();
            self.states.grow(1);
        }
        let given = self.given..(self.given + batch_rows).min(self.groups.len());
        if given.is_empty() {
            return Ok(None);
        }
        let mut columns = Vec::with_capacity(self.layout.schema.fields().len());
        for at in 0..keys.len() {
            columns.push(self.groups.column(at, given.clone(), self.layout.schema.field(at).data_type())?);
        }
        columns.extend(self.states.arrays(given.clone(), empty)?);
        self.given = given.end;
        batch_of(&self.layout.schema, columns, given.len()).map(Some)
    }
}
