//! Aggregation within the scan: rows are added to their groups as the integers and codes that they are stored as.
//!
//! DataFusion's operator gets rows as Arrow arrays, decimals of 128 bits and texts among them, finds each row's group by
//! hashing and comparing its values, and computes its arguments with checks. Where bounds prove that 64 bits suffice, and keys are
//! integers and texts, this operator does the same without: from pages to groups, a zone at a time.

mod groups;
mod numbers;
mod states;
mod values;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, AggregateOutputMode};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;

use self::groups::{Found, Groups, KeyKind, MOST_BITS};
pub(super) use self::groups::{Texts, clear_nulls};
pub(super) use self::numbers::Slot;
use self::numbers::{Computed, Numbers};
use self::states::{Aggregate, Function, States};
use super::rows::ROW;
use super::scan::SliceScan;
use crate::common::Stored;

/// An aggregation of a scan's rows, partial or whole, without what is between.
///
/// It gives what DataFusion's operator of the same inputs gives, which it keeps for all that asks about plans.
#[derive(Debug)]
pub struct ScanAggregate {
    /// Over a scan, perhaps through a projection.
    exec: Arc<AggregateExec>,
    layout: Arc<Layout>,
    metrics: ExecutionPlanMetricsSet,
}

/// What is computed of rows, and by which keys.
#[derive(Debug)]
pub(super) struct Layout {
    keys: Vec<KeyKind>,
    numbers: Numbers,
    aggregates: Vec<Aggregate>,
    /// Of the table.
    rows: u64,
    /// Keys and states.
    schema: SchemaRef,
}

impl ScanAggregate {
    /// `None` where this operator cannot stand for `aggregate`.
    pub fn try_new(aggregate: &Arc<dyn ExecutionPlan>) -> Result<Option<Self>> {
        let Some(exec) = aggregate.downcast_ref::<AggregateExec>() else { return Ok(None) };
        let Some(scan) = scan_below(exec) else { return Ok(None) };
        let Some(layout) = Layout::of(exec, scan)? else { return Ok(None) };
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Some(ScanAggregate { exec: Arc::new(exec.clone()), layout: Arc::new(layout), metrics }))
    }

    /// The operator that it stands for.
    pub fn exec(&self) -> &Arc<AggregateExec> {
        &self.exec
    }

    /// Makes of states what the aggregates are; each group is there once.
    fn whole(&self, states: SendableRecordBatchStream) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let (keys, functions) = (self.exec.group_expr().expr().len(), self.exec.aggr_expr().to_vec());
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
        &self,
        states: SendableRecordBatchStream,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let exec = &self.exec;
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
}

impl Layout {
    /// `None` of what is aggregated otherwise.
    fn of(exec: &AggregateExec, scan: &SliceScan) -> Result<Option<Self>> {
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
        // All rows, in any order.
        if !plain || scan.limit().is_some() || scan.wanted_first().is_some() {
            return Ok(None);
        }
        let table = scan.table();
        let input = projection.map_or(exec.input().schema(), |projection| projection.input().schema());
        let mut layout = Layout {
            keys: Vec::new(),
            numbers: Numbers::default(),
            aggregates: Vec::new(),
            rows: table.segments.iter().map(|segment| u64::from(segment.rows)).sum(),
            schema: exec.schema(),
        };
        // Over the scan's columns.
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
            let Some(ordinal) = expr.downcast_ref::<Column>().and_then(|c| scan.projection().get(c.index())) else {
                return Ok(None);
            };
            let Some(column) = table.def.columns.get(*ordinal).filter(|column| column.id != ROW) else {
                return Ok(None);
            };
            let kind = match column.sql_type.stored() {
                Stored::Bytes if expr.data_type(&input)? == DataType::Utf8View => KeyKind::Text { column: *ordinal },
                _ => match layout.numbers.add(&expr, &input, table, scan.projection()) {
                    Some(number) => {
                        let (low, high) = layout.numbers.bounds(number);
                        KeyKind::Integer { number, low: low as i64, high: high as i64 }
                    }
                    None => return Ok(None),
                },
            };
            let Some(more) = kind.bits() else { return Ok(None) };
            bits += match kind {
                KeyKind::Integer { .. } => more,
                // Room for a number of 24 bits of each.
                KeyKind::Text { .. } => more.max(24),
            };
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
            let number = match counts_rows {
                true => None,
                false => match layout.numbers.add(&argument, &input, table, scan.projection()) {
                    Some(number) if !layout.numbers.is_constant(number) => Some(number),
                    _ => return Ok(None),
                },
            };
            let states = states.iter().map(|field| field.data_type().clone()).collect();
            layout.aggregates.push(Aggregate { function: known, argument: number, states });
        }
        if layout.numbers.columns().any(|(_, column)| table.def.columns[column].id == ROW) {
            return Ok(None);
        }
        if exec.mode().output_mode() == AggregateOutputMode::Final {
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
    let ours = plan.downcast_ref::<ScanAggregate>().map(|this| this.exec.as_ref());
    ours.or_else(|| plan.downcast_ref::<AggregateExec>())
}

/// The scan whose rows are aggregated, with no more than a projection between.
fn scan_below(exec: &AggregateExec) -> Option<&SliceScan> {
    let mut scan = exec.input();
    scan = scan.downcast_ref::<ProjectionExec>().map_or(scan, ProjectionExec::input);
    // It yields by itself.
    scan = scan.downcast_ref::<CooperativeExec>().map_or(scan, CooperativeExec::input);
    scan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<SliceScan>()
}

fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

impl DisplayAs for ScanAggregate {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        if !matches!(t, DisplayFormatType::TreeRender) {
            write!(f, "Scan")?;
        }
        self.exec.fmt_as(t, f)
    }
}

impl ExecutionPlan for ScanAggregate {
    fn name(&self) -> &str {
        "ScanAggregate"
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
        Ok(match ScanAggregate::try_new(&aggregate)? {
            Some(this) => Arc::new(this),
            None => aggregate,
        })
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::ChildrenPropertiesMode;
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(scan) = scan_below(&self.exec) else {
            return internal_err!("an aggregation of a scan has another input");
        };
        let memory = MemoryConsumer::new(format!("ScanAggregate[{partition}]")).register(context.memory_pool());
        let parts = Arc::new(AtomicBool::new(false));
        let aggregation = Aggregation::new(Arc::clone(&self.layout), memory, Arc::clone(&parts))?;
        let states = scan.aggregated(partition, aggregation, Arc::clone(&self.layout.schema), &context)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let schema = self.schema();
        if self.exec.mode().output_mode() == AggregateOutputMode::Partial {
            return Ok(recorded(states, schema, metrics));
        }
        // Whether there are parts of groups is known with the first of them.
        let (whole, node) = (schema.clone(), self.again());
        let begun = futures::stream::once(async move {
            let mut states = states;
            let layout_schema = states.schema();
            let first = states.try_next().await?;
            let rest = futures::stream::iter(first.map(Ok)).chain(states);
            let states: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(layout_schema, rest));
            match parts.load(Ordering::Acquire) {
                true => node.merged(states, context),
                false => node.whole(states),
            }
        });
        let stream = begun.try_flatten();
        Ok(recorded(Box::pin(RecordBatchStreamAdapter::new(whole, stream)), schema, metrics))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

impl ScanAggregate {
    /// The same, for a stream that outlives a borrow.
    fn again(&self) -> ScanAggregate {
        ScanAggregate { exec: Arc::clone(&self.exec), layout: Arc::clone(&self.layout), metrics: self.metrics.clone() }
    }
}

fn recorded(
    mut stream: SendableRecordBatchStream,
    schema: SchemaRef,
    metrics: BaselineMetrics,
) -> SendableRecordBatchStream {
    let counted = futures::stream::poll_fn(move |context| {
        let timer = metrics.elapsed_compute().timer();
        let polled = stream.poll_next_unpin(context);
        timer.done();
        metrics.record_poll(polled)
    });
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
}

impl Aggregation {
    fn new(layout: Arc<Layout>, memory: MemoryReservation, parts: Arc<AtomicBool>) -> Result<Self> {
        let groups = Groups::new(&layout.keys, layout.rows)?;
        let states = States::new(&layout.aggregates, &layout.numbers, layout.rows);
        let texts = vec![Vec::new(); layout.keys.len()];
        let (computed, found) = (Computed::default(), Found::default());
        Ok(Aggregation { layout, groups, states, computed, texts, found, memory, given: 0, parts })
    }

    /// The columns whose integers are wanted of each zone, by their ordinals in the table.
    pub fn integer_columns(&self) -> Vec<(usize, usize)> {
        self.layout.numbers.columns().collect()
    }

    /// Where the integers of one of them go, by its first number.
    pub fn slot(&mut self, number: usize) -> &mut Slot {
        self.computed.slot(&self.layout.numbers, number)
    }

    /// The columns whose texts' numbers are wanted, by their ordinals in the table, and which of the keys each is.
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
        self.computed.compute(&self.layout.numbers, rows);
        if self.layout.keys.is_empty() {
            self.groups.only();
            self.found.groups.clear();
            self.found.groups.resize(rows, 0);
        } else {
            self.groups.find(rows, &self.computed, &self.texts, &mut self.found)?;
        }
        self.states.add(&self.computed, &self.found, self.groups.len());
        if self.memory.try_resize(self.groups.memory_bytes() + self.states.memory_bytes()).is_ok() {
            return Ok(Vec::new());
        }
        self.parts.store(true, Ordering::Release);
        let mut given = Vec::new();
        while let Some(batch) = self.next_batch(batch_rows)? {
            given.push(batch);
        }
        self.given = 0;
        self.groups = Groups::new(&self.layout.keys, self.layout.rows)?;
        self.states = States::new(&self.layout.aggregates, &self.layout.numbers, self.layout.rows);
        self.memory.resize(0);
        Ok(given)
    }

    /// The states of the next groups that were not given yet.
    pub fn next_batch(&mut self, batch_rows: usize) -> Result<Option<RecordBatch>> {
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
