//! What EXPLAIN says of movement is what moved: labels and bytes against a recount of the rows that passed.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr,
    PlanProperties, ReplaceChildrenOptions, collect, collect_partitioned,
};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use parking_lot::Mutex;

use crate::engine::Session;
use crate::engine::explain::actual::{Moved, moved};
use crate::engine::explain::nodes::{Step, steps};
use crate::engine::tpch;
use crate::physical_plan::broadcast::Broadcast;
use crate::physical_plan::collocated_join::CollocatedJoinExec;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::exchange::Exchange;
use crate::physical_plan::key_filter::BuildKeys;

type Plan = Arc<dyn ExecutionPlan>;

/// Keeps what passes, by partition.
#[derive(Debug)]
struct Tap {
    input: Plan,
    passed: Arc<Mutex<Vec<Vec<RecordBatch>>>>,
}

impl DisplayAs for Tap {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Tap")
    }
}

impl ExecutionPlan for Tap {
    fn name(&self) -> &str {
        "Tap"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Plan>) -> Result<Plan> {
        Ok(Arc::new(Tap { input: children.remove(0), passed: Arc::clone(&self.passed) }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let stream = self.input.execute(partition, context)?;
        let (schema, passed) = (stream.schema(), Arc::clone(&self.passed));
        let kept = stream.map(move |batch| {
            let batch = batch?;
            passed.lock()[partition].push(batch.clone());
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, kept)))
    }
}

fn moves(plan: &Plan) -> bool {
    plan.is::<Exchange>() || plan.is::<Broadcast>()
}

fn anew() -> ReplaceChildrenOptions {
    ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute)
}

/// The plan with a tap below all that moves rows.
fn tapped(plan: Plan) -> Plan {
    let tap = |node: Plan| {
        if !moves(&node) {
            return Ok(Transformed::no(node));
        }
        let input = Arc::clone(node.children()[0]);
        let partitions = input.output_partitioning().partition_count();
        let passed = Arc::new(Mutex::new(vec![Vec::new(); partitions]));
        node.replace_children(vec![Arc::new(Tap { input, passed })], anew()).map(Transformed::yes)
    };
    plan.transform_up(tap).data().unwrap()
}

fn passed(mover: &Plan) -> Vec<Vec<RecordBatch>> {
    mover.children()[0].downcast_ref::<Tap>().expect("all that moves rows is tapped").passed.lock().clone()
}

/// The bytes of a row's values, value by value.
fn bytes_of(batch: &RecordBatch, row: usize) -> usize {
    let value = |column| ScalarValue::try_from_array(column, row).unwrap();
    let width = |value: ScalarValue| match (value.data_type(), value) {
        (_, ScalarValue::Utf8(text) | ScalarValue::Utf8View(text)) => text.map_or(0, |text| text.len()),
        (DataType::Boolean, _) => 1,
        (DataType::Int32 | DataType::Date32, _) => 4,
        (DataType::Int64 | DataType::UInt64 | DataType::Float64, _) => 8,
        (DataType::Decimal128(..), _) => 16,
        (other, _) => panic!("no query moves {other}"),
    };
    batch.columns().iter().map(|column| width(value(column))).sum()
}

fn rows_of(batches: &[RecordBatch]) -> Vec<OwnedRow> {
    let mut rows = Vec::new();
    for batch in batches {
        let fields = batch.columns().iter().map(|column| SortField::new(column.data_type().clone()));
        let converter = RowConverter::new(fields.collect()).unwrap();
        rows.extend(converter.convert_columns(batch.columns()).unwrap().iter().map(|row| row.owned()));
    }
    rows
}

/// What moved: each row that was read is looked for among those that DataFusion's own exchange sends to each partition.
async fn recount(mover: &Plan, copies: usize, context: &SessionContext) -> Moved {
    let read = passed(mover);
    let count = |moves: &dyn Fn(usize, &OwnedRow) -> usize| {
        let (mut rows, mut bytes) = (0, 0);
        for (from, batches) in read.iter().enumerate() {
            for batch in batches {
                for (at, row) in rows_of(std::slice::from_ref(batch)).iter().enumerate() {
                    let times = moves(from, row);
                    rows += times;
                    bytes += times * bytes_of(batch, at);
                }
            }
        }
        Moved { rows, bytes: Some(bytes) }
    };
    let Some(exchange) = mover.downcast_ref::<Exchange>() else {
        return match copies {
            1 => count(&|from, _| usize::from(from != 0)),
            copies => count(&|_, _| copies - 1),
        };
    };
    let schema = exchange.input().schema();
    let source = MemorySourceConfig::try_new_exec(&read, schema, None).unwrap();
    let Partitioning::Hash(keys, partitions) = exchange.partitioning().clone() else { panic!("not by hash") };
    let theirs = RepartitionExec::try_new(source, Partitioning::Hash(keys, partitions)).unwrap();
    let sent = collect_partitioned(Arc::new(theirs), context.task_ctx()).await.unwrap();
    let mut to: HashMap<OwnedRow, usize> = HashMap::new();
    for (partition, batches) in sent.iter().enumerate() {
        to.extend(rows_of(batches).into_iter().map(|row| (row, partition)));
    }
    count(&|from, row| usize::from(to[row] != from))
}

fn all(plan: &Plan, found: &mut Vec<Plan>, is: &dyn Fn(&Plan) -> bool) {
    found.extend(is(plan).then(|| Arc::clone(plan)));
    plan.children().into_iter().for_each(|child| all(child, found, is));
}

fn within(plan: &Plan, wanted: &Plan) -> bool {
    Arc::ptr_eq(plan, wanted) || plan.children().into_iter().any(|child| within(child, wanted))
}

/// The inner side and the outer one.
fn sides(join: &Plan) -> Option<[&Plan; 2]> {
    let [left, right] = join.children()[..] else { return None };
    if join.is::<SortMergeJoinExec>() {
        return Some([right, left]);
    }
    let joins = join.is::<HashJoinExec>()
        || join.is::<CollocatedJoinExec>()
        || join.is::<NestedLoopJoinExec>()
        || join.is::<CrossJoinExec>();
    let built = left.downcast_ref::<BuildKeys>().map_or(left, BuildKeys::input);
    joins.then_some([built, right])
}

/// What moved, by the address of what moved it.
type Recounts = HashMap<usize, Moved>;

fn address(plan: &Plan) -> usize {
    Arc::as_ptr(plan).cast::<()>() as usize
}

async fn recounts(plan: &Plan, context: &SessionContext) -> Recounts {
    let (mut found, mut joins) = (Vec::new(), Vec::new());
    all(plan, &mut found, &moves);
    all(plan, &mut joins, &|node| sides(node).is_some());
    let mut recounts = HashMap::new();
    for mover in found {
        let join = joins.iter().find_map(|join| sides(join).filter(|[inner, _]| Arc::ptr_eq(inner, &mover)));
        let copies = join.map_or(1, |[_, outer]| outer.output_partitioning().partition_count());
        recounts.insert(address(&mover), recount(&mover, copies, context).await);
    }
    recounts
}

/// What is wrong with what is told of a plan that has run.
fn wrong(root: &Step, plan: &Plan, recounts: &Recounts) -> Option<String> {
    let (mut found, mut told) = (Vec::new(), Vec::new());
    all(plan, &mut found, &moves);
    root.each(&mut |step| told.extend(step.moved.iter().filter(|by| moves(by)).cloned()));
    for mover in &found {
        let times = told.iter().filter(|by| Arc::ptr_eq(by, mover)).count();
        if times != 1 {
            return Some(format!("{} is told {times} times", mover.name()));
        }
    }
    let mut steps = Vec::new();
    root.each(&mut |step| steps.push(step));
    for step in steps {
        if let Some(label) = step.label {
            let Some([inner, outer]) = step.plans.iter().find_map(sides) else {
                return Some(format!("{label} of no join"));
            };
            let of = |side: &Plan| step.moved.iter().any(|by| within(side, by));
            let broadcast = step.moved.iter().any(|by| by.is::<Broadcast>());
            let right = match (of(inner), of(outer), broadcast) {
                (false, false, _) => label == "DS_DIST_NONE" || label == "DS_DIST_ALL_NONE",
                (true, false, true) if outer.output_partitioning().partition_count() == 1 => {
                    label == "DS_DIST_ALL_INNER"
                }
                (true, false, true) => label == "DS_BCAST_INNER",
                (true, false, false) => label == "DS_DIST_INNER",
                (false, true, false) => label == "DS_DIST_OUTER",
                (true, true, false) => label == "DS_DIST_BOTH",
                _ => false,
            };
            let mut scans = Vec::new();
            all(inner, &mut scans, &|node| node.children().is_empty());
            let everywhere = |scan: &Plan| {
                datafusion::physical_plan::displayable(scan.as_ref()).one_line().to_string().contains("dist=ALL")
            };
            let right = right && (label != "DS_DIST_ALL_NONE" || scans.iter().all(everywhere));
            if !right {
                return Some(format!("{label} of {:?}", step.moved));
            }
        }
        let mut counted = Moved { rows: 0, bytes: Some(0) };
        for mover in step.moved.iter().filter(|by| moves(by)) {
            let one = recounts[&address(mover)];
            counted = Moved { rows: counted.rows + one.rows, bytes: counted.bytes.zip(one.bytes).map(|(a, b)| a + b) };
        }
        let counts = step.moved.iter().all(moves);
        if counts && moved(step) != counted {
            return Some(format!("{} {:?}: told {:?}, counted {counted:?}", step.operator, step.label, moved(step)));
        }
    }
    None
}

async fn ran(context: &SessionContext, sql: &str) -> Plan {
    let frame = context.sql(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    let plan = tapped(frame.create_physical_plan().await.unwrap());
    collect(Arc::clone(&plan), context.task_ctx()).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    plan
}

/// The session's context, whose exchanges count what moves.
fn counting(session: &Session) -> SessionContext {
    let context = session.context().clone();
    let state = context.state_ref();
    let mut state = state.write();
    state.config_mut().options_mut().extensions.get_mut::<BlueshiftOptions>().unwrap().count_movement = true;
    drop(state);
    context
}

fn may_broadcast(context: &SessionContext, may: bool) {
    let state = context.state_ref();
    let mut state = state.write();
    let ours = &mut state.config_mut().options_mut().optimizer;
    let theirs = datafusion::common::config::ConfigOptions::default().optimizer;
    let (bytes, rows) = match may {
        true => (theirs.hash_join_single_partition_threshold, theirs.hash_join_single_partition_threshold_rows),
        false => (0, 0),
    };
    (ours.hash_join_single_partition_threshold, ours.hash_join_single_partition_threshold_rows) = (bytes, rows);
}

/// How often each label is told truly of the benchmark's queries. What tells otherwise is found out.
pub async fn labels_are_true(session: &Session) -> HashMap<&'static str, usize> {
    let context = counting(session);
    let mut labels = HashMap::new();
    for broadcasts in [true, false] {
        may_broadcast(&context, broadcasts);
        for query in tpch::QUERIES {
            let plan = ran(&context, query.sql).await;
            let mut root = steps(&plan, &BlueshiftOptions::default());
            let of_query = |wrong: String| format!("Q{}, broadcasts {broadcasts}: {wrong}", query.number);
            let recounts = recounts(&plan, &context).await;
            assert_eq!(wrong(&root, &plan, &recounts).map(of_query), None);
            root.each(&mut |step| *labels.entry(step.label.unwrap_or("none")).or_default() += 1);
            // Of the longer ones, a few are enough.
            if [3, 5, 18].contains(&query.number) {
                mutants(&mut root, &plan, &recounts);
            }
        }
    }
    may_broadcast(&context, true);
    labels
}

fn nth<'a>(step: &'a mut Step, n: &mut usize) -> Option<&'a mut Step> {
    if *n == 0 {
        return Some(step);
    }
    *n -= 1;
    step.children.iter_mut().find_map(|child| nth(child, n))
}

/// Each label changed, and each movement left out: none goes unnoticed.
fn mutants(root: &mut Step, plan: &Plan, recounts: &Recounts) {
    const LABELS: [&str; 6] =
        ["DS_DIST_NONE", "DS_BCAST_INNER", "DS_DIST_INNER", "DS_DIST_OUTER", "DS_DIST_BOTH", "DS_DIST_ALL_INNER"];
    let mut steps = 0;
    root.each(&mut |_| steps += 1);
    for at in 0..steps {
        let of = |root: &mut Step, change: &dyn Fn(&mut Step)| change(nth(root, &mut { at }).unwrap());
        let step = nth(root, &mut { at }).unwrap();
        if let Some(label) = step.label {
            let nothing = label == "DS_DIST_ALL_NONE";
            for other in LABELS.into_iter().filter(|other| *other != label && !(nothing && *other == "DS_DIST_NONE")) {
                of(root, &|step| step.label = Some(other));
                assert!(wrong(root, plan, recounts).is_some(), "{other} instead of {label}");
            }
            of(root, &|step| step.label = Some(label));
        }
        let step = nth(root, &mut { at }).unwrap();
        if step.moved.iter().any(moves) {
            let moved = std::mem::take(&mut step.moved);
            assert!(wrong(root, plan, recounts).is_some(), "rows move silently");
            of(root, &|step| step.moved.clone_from(&moved));
        }
    }
    assert_eq!(wrong(root, plan, recounts), None);
}

/// A plan whose rows move although no rule wanted that: it is told.
pub async fn movement_of_no_rule_is_told(session: &Session) {
    let context = counting(session);
    let sql = "select count(*) from orders join lineitem on l_orderkey = o_orderkey";
    may_broadcast(&context, false);
    let frame = context.sql(sql).await.unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let label = |plan: &Plan| {
        let mut label = None;
        steps(plan, &BlueshiftOptions::default()).each(&mut |step| label = label.or(step.label));
        label.unwrap()
    };
    assert_eq!(label(&plan), "DS_DIST_NONE");
    let moving = plan.transform_up(|node| {
        let Some([inner, outer]) = sides(&node) else { return Ok(Transformed::no(node)) };
        let by = outer.output_partitioning().clone();
        let exchange = Exchange::of(&RepartitionExec::try_new(Arc::clone(outer), by)?)?.unwrap();
        let inner = Arc::clone(inner);
        node.replace_children(vec![inner, Arc::new(exchange)], anew()).map(Transformed::yes)
    });
    let plan = tapped(moving.data().unwrap());
    collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
    assert_eq!(label(&plan), "DS_DIST_OUTER");
    assert_eq!(wrong(&steps(&plan, &BlueshiftOptions::default()), &plan, &recounts(&plan, &context).await), None);
    // Gathered by DataFusion's own operator, which does not count: its label is not that of a join in place either.
    let gathered = Arc::new(CoalescePartitionsExec::new(Arc::clone(&plan))) as Plan;
    assert_eq!(label(&gathered), "DS_DIST_OUTER");
    may_broadcast(&context, true);
}
