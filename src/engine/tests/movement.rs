//! Joins and groupings give the same rows wherever rows are and whatever moves.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{JoinType, NullEquality};
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::{HashJoinExec, HashJoinExecBuilder, PartitionMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, PhysicalExpr, collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;

use super::util::*;
use crate::catalog::EffectiveDist;
use crate::common::DistStyle;
use crate::distribution::hash_array;
use crate::engine::{Session, SessionStateBuilderExt, Warehouse};
use crate::format::Geometry;
use crate::optimizer::meeting::Meeting;
use crate::physical_plan::collocated_join::CollocatedJoinExec;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::exchange::Exchange;
use crate::physical_plan::placement::{Placement, placement};
use crate::testing::long::seeds;
use crate::testing::rng::Rng;

fn set(context: &SessionContext, change: impl FnOnce(&mut ConfigOptions)) {
    let state = context.state_ref();
    change(state.write().config_mut().options_mut());
}

fn divided(options: &mut ConfigOptions) {
    options.optimizer.hash_join_single_partition_threshold = 0;
    options.optimizer.hash_join_single_partition_threshold_rows = 0;
}

async fn planned(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    let frame = context.sql(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    frame.create_physical_plan().await.unwrap_or_else(|e| panic!("{sql}\n{e}"))
}

fn shown(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(false).to_string()
}

const KEYS: [&str; 6] = ["int", "bigint", "smallint", "decimal(9,0)", "decimal(12,0)", "int"];

/// Tables `t0` to `t3`: a key `k` of differing types, with NULLs, one frequent value and negative ones, and columns `x`, `v`.
async fn tables(session: &Session, rng: &mut Rng) -> String {
    let mut layouts = String::new();
    for t in 0..4 {
        let n = [0, 1, 30, 200, 900][rng.below(5)];
        let dist = ["distkey(k)", "distkey(k)", "distkey(x)", "diststyle even", "diststyle all"][rng.below(5)];
        let (key, range) = (KEYS[rng.below(KEYS.len())], [7, 40, 300][rng.below(3)]);
        let layout = format!("create table t{t} (k {key}, x int, v int) {dist}");
        session.sql(&layout).await.unwrap();
        let rows = format!(
            "insert into t{t} select case when v % 11 = 0 then null when v % 5 = 0 then -3 else v * 7 % {range} - {} end, \
             case when v % 13 = 0 then null else v % 3 end, v from generate_series(1, {n}) s(v)",
            range / 2
        );
        session.sql(&rows).await.unwrap_or_else(|e| panic!("{rows}\n{e:?}"));
        layouts.push_str(&format!("{layout}: {n} rows\n"));
    }
    if rng.one_in(3) {
        session.sql("analyze").await.unwrap();
    }
    layouts
}

fn queries(rng: &mut Rng) -> Vec<String> {
    let table = |rng: &mut Rng| format!("t{}", rng.below(4));
    let mut queries = Vec::new();
    for join in ["join", "left join", "right join", "full join"] {
        let (a, b, c) = (table(rng), table(rng), table(rng));
        let on = [
            "a.k = b.k and a.x = b.x",
            "a.x = b.x and a.k = b.k",
            "a.k = b.k",
            "(a.k is not distinct from b.k) and a.x = b.x",
        ][rng.below(4)];
        queries.push(format!("select count(*), count(a.k), sum(a.v), sum(b.v) from {a} a {join} {b} b on {on}"));
        queries.push(format!("select a.k, b.x, count(*), sum(b.v) from {a} a {join} {b} b on {on} group by a.k, b.x"));
        let (side, next) = (["a", "b"][rng.below(2)], ["join", "left join", "right join", "full join"][rng.below(4)]);
        queries.push(format!(
            "select count(*), sum(a.v), sum(b.v), sum(c.v) from {a} a {join} {b} b on a.k = b.k and a.x = b.x \
             {next} (select k, x, max(v) as v from {c} group by k, x) c on {side}.k = c.k and {side}.x = c.x"
        ));
    }
    for not in ["", "not "] {
        let (a, b) = (table(rng), table(rng));
        queries.push(format!(
            "select a.k, count(*), sum(a.v) from {a} a where {not}exists \
             (select 1 from {b} b where b.k = a.k and b.x = a.x) group by a.k"
        ));
        queries.push(format!("select count(*) from {a} where k {not}in (select k from {b} where v < 20)"));
    }
    let a = table(rng);
    queries.push(format!("select k, x, count(*), sum(v) from {a} group by k, x"));
    queries.push(format!("select x, k from (select distinct k, x from {a}) d"));
    queries.push(format!("select count(distinct k), count(distinct x) from {a}"));
    queries.push(format!("select k, x, count(*) from {a} group by rollup (k, x)"));
    queries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_plain_datafusion() {
    let mut seen =
        [("CollocatedJoinExec", 0), ("Exchange:", 0), ("mode=CollectLeft", 0), ("mode=SinglePartitioned", 0)];
    for seed in seeds(1, 8) {
        let mut rng = Rng::new(seed);
        let slices = 1 + rng.below(8) as u32;
        let partitions = [1, 2, 3, 4, 8][rng.below(5)];
        let warehouse = warehouse(slices, partitions, Geometry::TINY).await;
        let session = warehouse.session();
        let layouts = tables(&session, &mut rng).await;
        let plain = plain(2);
        for t in 0..4 {
            copy_to(&session, &format!("select * from t{t}"), &plain, &format!("t{t}")).await;
        }
        let context = session.context().clone();
        if rng.one_in(3) {
            // Other than there are partitions of slices.
            set(&context, |options| options.execution.target_partitions = [1, 2, 3, 4, 8][rng.below(5)]);
        }
        for sql in queries(&mut rng) {
            let expected = theirs(&plain, &sql).await;
            set(&context, |options| match rng.one_in(2) {
                true => divided(options),
                false => {
                    let of_datafusion = ConfigOptions::default().optimizer;
                    options.optimizer.hash_join_single_partition_threshold =
                        of_datafusion.hash_join_single_partition_threshold;
                    options.optimizer.hash_join_single_partition_threshold_rows =
                        of_datafusion.hash_join_single_partition_threshold_rows;
                }
            });
            for movement in [true, false] {
                set(&context, |o| o.extensions.get_mut::<BlueshiftOptions>().unwrap().movement = movement);
                let plan = planned(&context, &sql).await;
                let text = shown(&plan);
                for (word, times) in &mut seen {
                    *times += usize::from(movement && text.contains(*word));
                }
                let answer = collect(plan, context.task_ctx()).await.unwrap_or_else(|e| panic!("{sql}\n{e}\n{text}"));
                assert_eq!(
                    lines(&answer),
                    expected,
                    "seed {seed}, {slices} slices, {partitions} partitions, movement {movement}\n{layouts}{sql}\n{text}"
                );
            }
        }
    }
    assert!(seen.iter().all(|(_, times)| *times > 0), "{seen:?}");
}

/// Tables of 4 slices: `a` by `k`, `b` by `k`, `wide` by a BIGINT `k`, `other` by `x`, `even`, `everywhere`; all of the same rows.
async fn fixed() -> Warehouse {
    let warehouse = warehouse(4, 4, Geometry::TINY).await;
    let session = warehouse.session();
    for (name, key, layout) in [
        ("a", "int", "distkey(k)"),
        ("b", "int", "distkey(k)"),
        ("wide", "bigint", "distkey(k)"),
        ("other", "int", "distkey(x)"),
        ("even", "int", "diststyle even"),
        ("everywhere", "int", "diststyle all"),
    ] {
        session.sql(&format!("create table {name} (k {key}, x int, t varchar(40)) {layout}")).await.unwrap();
        session
            .sql(&format!(
                "insert into {name} select case when v % 10 = 0 then null else v - 200 end, v % 5, \
                 repeat('t', v % 31) from generate_series(1, 400) s(v)"
            ))
            .await
            .unwrap();
    }
    warehouse
}

async fn chosen(context: &SessionContext, sql: &str, expected: &[(&str, usize)]) {
    let text = shown(&planned(context, sql).await);
    for (word, times) in expected {
        assert_eq!(text.matches(word).count(), *times, "{word} in\n{sql}\n{text}");
    }
}

#[tokio::test]
async fn joins_move_what_is_elsewhere_and_no_more() {
    let warehouse = fixed().await;
    let context = warehouse.session().context().clone();
    let (collocated, exchange) = ("CollocatedJoinExec", "Exchange:");
    let both = "a.k = b.k and a.x = b.x";
    for of_datafusion in [true, false] {
        if !of_datafusion {
            set(&context, divided);
        }
        for kind in ["join", "left join", "right join", "full join"] {
            chosen(&context, &format!("select * from a {kind} b on {both}"), &[(collocated, 1), (exchange, 0)]).await;
        }
        chosen(&context, "select * from a join b on a.k = b.k", &[("mode=Partitioned", 1), (exchange, 0)]).await;
    }
    for not in ["", "not "] {
        let sql = format!("select * from a where {not}exists (select 1 from b where {both})");
        chosen(&context, &sql, &[(collocated, 1), (exchange, 0)]).await;
    }
    let joined = |b: &str| format!("select * from a join {b} b on a.k = b.k and a.x = b.x");
    chosen(&context, &joined("even"), &[(collocated, 1), (exchange, 1)]).await;
    // A negative INT hashes other than the BIGINT that it equals.
    chosen(&context, &joined("wide"), &[(collocated, 1), (exchange, 1)]).await;
    chosen(&context, "select * from a join b on a.k = b.x", &[("mode=Partitioned", 1), (exchange, 1)]).await;
    chosen(&context, "select * from even a join other b on a.k = b.k", &[("mode=Partitioned", 1), (exchange, 2)]).await;
    set(&context, |options| {
        let least = options.optimizer.subset_repartition_threshold;
        options.optimizer = ConfigOptions::default().optimizer;
        options.optimizer.subset_repartition_threshold = least;
    });
    let sql = "select * from a join everywhere e on a.x = e.x where e.k = 7";
    chosen(&context, sql, &[("mode=CollectLeft", 1), (exchange, 0)]).await;
    set(&context, |o| o.extensions.get_mut::<BlueshiftOptions>().unwrap().movement = false);
    chosen(&context, &joined("b"), &[(collocated, 0), (exchange, 0)]).await;
}

#[tokio::test]
async fn groupings_by_the_distribution_key_are_done_where_rows_are() {
    let warehouse = fixed().await;
    let context = warehouse.session().context().clone();
    let (single, exchange) = ("mode=SinglePartitioned", "Exchange:");
    for sql in [
        "select k, count(*) from a group by k",
        "select x, k, count(*) from a group by x, k",
        "select distinct k from a",
        "select distinct x, k from a",
        "select a.k, b.x, count(*) from a join b on a.k = b.k and a.x = b.x group by a.k, b.x",
    ] {
        chosen(&context, sql, &[(single, 1), (exchange, 0)]).await;
    }
    for sql in ["select x, count(*) from a group by x", "select k + 1, count(*) from a group by k + 1"] {
        chosen(&context, sql, &[(single, 0), (exchange, 1)]).await;
    }
    // NULL of an unmatched row is not where NULL keys are.
    chosen(
        &context,
        "select b.k, count(*) from a left join b on a.k = b.k group by b.k",
        &[(single, 0), (exchange, 1)],
    )
    .await;
}

#[tokio::test]
async fn the_setting_is_shown_and_set() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    assert_eq!(ours(&session, "show blueshift.movement").await.len(), 2);
    session.sql("set blueshift.movement = false").await.unwrap();
    assert!(ours(&session, "show blueshift.movement").await.iter().any(|line| line.contains("false")));
}

fn column(name: &str, at: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, at))
}

async fn scan(context: &SessionContext, table: &str) -> Arc<dyn ExecutionPlan> {
    planned(context, &format!("select k, x, t from {table}")).await
}

async fn rows(context: &SessionContext, plan: Arc<dyn ExecutionPlan>) -> usize {
    collect(plan, context.task_ctx()).await.unwrap().iter().map(RecordBatch::num_rows).sum()
}

async fn counted_rows(context: &SessionContext, sql: &str) -> usize {
    let answer = context.sql(sql).await.unwrap().collect().await.unwrap();
    answer[0].column(0).as_primitive::<Int64Type>().value(0) as usize
}

fn hash_join(
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    on: Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)>,
    join_type: JoinType,
) -> HashJoinExec {
    HashJoinExecBuilder::new(left, right, on, join_type)
        .with_partition_mode(PartitionMode::Partitioned)
        .with_null_equality(NullEquality::NullEqualsNull)
        .build()
        .unwrap()
}

/// A wrong plan: the last look refuses it, and it would have lost rows.
async fn refused(context: &SessionContext, plan: Arc<dyn ExecutionPlan>, right_answer: usize, because: &str) {
    let refused = Meeting.optimize(Arc::clone(&plan), &ConfigOptions::default()).unwrap_err().to_string();
    assert!(refused.contains("would miss matches") && refused.contains(because), "{refused}\n{}", shown(&plan));
    assert_ne!(rows(context, plan).await, right_answer, "the plan is right: {because}");
}

/// A join that has nothing to look up in some partitions, over one that waits in each until all have begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_nobody_asks_are_not_waited_for() {
    let warehouse = warehouse(4, 4, Geometry::TINY).await;
    let session = warehouse.session();
    for (create, rows) in [
        ("create table one (k int, x int) distkey(k)", "insert into one values (7, 1)"),
        (
            "create table many (k int, x int, d int) distkey(k)",
            "insert into many select v % 50, 1, v % 20 from generate_series(1, 900) s(v)",
        ),
        (
            "create table names (d int, n int) diststyle all",
            "insert into names select v, v from generate_series(1, 15) s(v)",
        ),
    ] {
        session.sql(create).await.unwrap();
        session.sql(rows).await.unwrap();
    }
    session.sql("analyze").await.unwrap();
    let context = session.context().clone();
    set(&context, |o| o.extensions.get_mut::<BlueshiftOptions>().unwrap().join_order = false);
    let grouped = "(select m.k, m.x, count(*) as c from many m join names n on m.d = n.d group by m.k, m.x)";
    let plain = "(select m.k, m.x, m.d as c from many m join names n on m.d = n.d)";
    let mut begun = 0;
    for (on, of, order) in [
        ("a.k = b.k and a.x = b.x", grouped, ""),
        ("a.k = b.k", grouped, " order by c"),
        ("a.k = b.k and a.x = b.x", plain, " order by c"),
        ("a.k = b.k", plain, ""),
    ] {
        let sql = format!("select b.c from one a join {of} b on {on}{order}");
        let plan = planned(&context, &sql).await;
        let text = shown(&plan);
        begun += usize::from(text.contains("Abreast"));
        for _ in 0..8 {
            let plan = planned(&context, &sql).await;
            let run = collect(plan, context.task_ctx());
            let answer = tokio::time::timeout(std::time::Duration::from_secs(30), run).await;
            let answer = answer.unwrap_or_else(|_| panic!("partitions wait for ever\n{sql}\n{text}")).unwrap();
            let rows: usize = answer.iter().map(RecordBatch::num_rows).sum();
            assert_eq!(rows, if of == grouped { 1 } else { 9 }, "{sql}\n{text}");
        }
    }
    assert!(begun > 0, "no join may pass over a partition of one that waits");
}

#[tokio::test]
async fn wrong_plans_are_refused() {
    let warehouse = fixed().await;
    let context = warehouse.session().context().clone();
    let same = "a.k is not distinct from b.k";
    let (a, b) = (scan(&context, "a").await, scan(&context, "b").await);
    let (wide, other, even) =
        (scan(&context, "wide").await, scan(&context, "other").await, scan(&context, "even").await);
    let on = || vec![(column("k", 0), column("k", 0))];

    // What is right passes.
    let right: Arc<dyn ExecutionPlan> = Arc::new(hash_join(Arc::clone(&a), Arc::clone(&b), on(), JoinType::Inner));
    Meeting.optimize(Arc::clone(&right), &ConfigOptions::default()).unwrap();
    let pairs = counted_rows(&context, &format!("select count(*) from a join b on {same}")).await;
    assert_eq!(rows(&context, right).await, pairs);

    // Rows that are placed by another column, or by none.
    for (plan, because) in [(&other, "placed by x@1 where k@0"), (&even, "UnknownPartitioning(4)")] {
        let join = hash_join(Arc::clone(&a), Arc::clone(plan), on(), JoinType::Inner);
        refused(&context, Arc::new(join), pairs, because).await;
    }
    let exchange = |input: &Arc<dyn ExecutionPlan>, by: Vec<Arc<dyn PhysicalExpr>>| -> Arc<dyn ExecutionPlan> {
        let exchange = RepartitionExec::try_new(Arc::clone(input), Partitioning::Hash(by, 4)).unwrap();
        Arc::new(Exchange::of(&exchange).unwrap().unwrap())
    };
    let moved = exchange(&even, vec![column("k", 0), column("x", 1)]);
    let join = hash_join(Arc::clone(&a), moved, on(), JoinType::Inner);
    refused(&context, Arc::new(join), pairs, "placed by k@0, x@1 where k@0").await;

    // A key of another width.
    let cast: Arc<dyn PhysicalExpr> = Arc::new(CastExpr::new(column("k", 0), DataType::Int64, None));
    let mixed = vec![(Arc::clone(&cast), column("k", 0)), (column("x", 1), column("x", 1))];
    let expected = counted_rows(
        &context,
        "select count(*) from a join wide b on (a.k is not distinct from b.k) and a.x is not distinct from b.x",
    )
    .await;
    let join = hash_join(Arc::clone(&a), Arc::clone(&wide), mixed.clone(), JoinType::Inner);
    let by_narrow = CollocatedJoinExec::try_new(&join, (column("k", 0), column("k", 0))).unwrap();
    refused(&context, Arc::new(by_narrow), expected, "does not equate").await;
    let by_cast = CollocatedJoinExec::try_new(&join, (cast, column("k", 0))).unwrap();
    refused(&context, Arc::new(by_cast), expected, "placed by k@0 where CAST").await;

    // The key of a side whose unmatched rows are NULL.
    let few = planned(&context, "select k, x, t from b where x = 1").await;
    let outer: Arc<dyn ExecutionPlan> = Arc::new(hash_join(Arc::clone(&a), few, on(), JoinType::Left));
    let Placement::By(key) = placement(&outer) else { panic!("the left key is kept") };
    assert_eq!((key.parts.len(), &key.parts[0].exprs), (1, &vec![column("k", 0)]));
    let join = hash_join(outer, Arc::clone(&b), vec![(column("k", 3), column("k", 0))], JoinType::Inner);
    let expected = counted_rows(
        &context,
        "select count(*) from (select b.k as k from a left join (select * from b where x = 1) b \
         on a.k is not distinct from b.k) a join b on a.k is not distinct from b.k",
    )
    .await;
    refused(&context, Arc::new(join), expected, "placed by k@0 where k@3").await;
}

/// A table that lies about where its rows are: the last look cannot know, the comparison with DataFusion does.
#[tokio::test]
async fn a_wrong_claim_changes_answers() {
    let warehouse = fixed().await;
    let sql = "select count(*) from a join b on a.k = b.k and a.x = b.x";
    let mut answers = Vec::new();
    for lies in [false, true] {
        let other = HandMade::of(&warehouse, "other", |table| {
            if lies {
                let mut def = (*table.def).clone();
                let id = def.columns.iter().find(|c| c.name == "k").unwrap().id;
                def.dist = DistStyle::Key(id);
                def.effective_dist = EffectiveDist::Key(id);
                table.def = Arc::new(def);
            }
        });
        let config = SessionConfig::new().with_target_partitions(4);
        let builder = SessionStateBuilder::new().with_default_features().with_config(config);
        let context = SessionContext::new_with_state(builder.with_blueshift().build());
        context.register_table("a", HandMade::of(&warehouse, "a", |_| ()).await).unwrap();
        context.register_table("b", other.await).unwrap();
        set(&context, divided);
        chosen(&context, sql, &[("CollocatedJoinExec", 1), ("Exchange:", usize::from(!lies))]).await;
        answers.push(counted_rows(&context, sql).await);
    }
    assert_eq!(answers[0], 360);
    assert!(answers[1] < 360, "{answers:?}");
}

fn metric(plan: &dyn ExecutionPlan, name: &str, partition: Option<usize>) -> usize {
    let metrics = plan.metrics().unwrap();
    let of = |m: &&Arc<datafusion::physical_plan::Metric>| {
        m.value().name() == name && (partition.is_none() || m.partition() == partition)
    };
    metrics.iter().filter(of).map(|m| m.value().as_usize()).sum()
}

#[tokio::test]
async fn exchanges_count_what_moves() {
    let warehouse = fixed().await;
    let context = warehouse.session().context().clone();
    set(&context, |o| o.extensions.get_mut::<BlueshiftOptions>().unwrap().count_movement = true);
    let input = scan(&context, "other").await;
    for partitions in [1usize, 3, 4] {
        let by = Partitioning::Hash(vec![column("k", 0)], partitions);
        let repartition = RepartitionExec::try_new(Arc::clone(&input), by).unwrap();
        let exchange = Arc::new(Exchange::of(&repartition).unwrap().unwrap());
        // What is read, and where the frozen hash says that it goes.
        let (mut to, mut bytes_to) = (vec![0; partitions], vec![0; partitions]);
        let (mut moved, mut bytes_moved) = (vec![0; 4], vec![0; 4]);
        for from in 0..input.output_partitioning().partition_count() {
            let batches: Vec<RecordBatch> =
                input.execute(from, context.task_ctx()).unwrap().try_collect().await.unwrap();
            for batch in batches {
                let hashes = hash_array(batch.column(0)).unwrap();
                let texts = batch.column(2).as_string_view();
                for (row, hash) in hashes.iter().enumerate() {
                    let at = (hash % partitions as u64) as usize;
                    let bytes = 4 + 4 + texts.value(row).len();
                    to[at] += 1;
                    bytes_to[at] += bytes;
                    if at != from {
                        moved[from] += 1;
                        bytes_moved[from] += bytes;
                    }
                }
            }
        }
        let streams = (0..partitions).map(|p| exchange.execute(p, context.task_ctx()).unwrap()).collect::<Vec<_>>();
        let read = futures::future::try_join_all(streams.into_iter().map(|s| s.try_collect::<Vec<_>>())).await.unwrap();
        for (p, batches) in read.iter().enumerate() {
            assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), to[p]);
            assert_eq!(metric(exchange.as_ref(), "rows_exchanged", Some(p)), to[p]);
            assert_eq!(metric(exchange.as_ref(), "bytes_exchanged", Some(p)), bytes_to[p]);
        }
        for from in 0..4 {
            assert_eq!(metric(exchange.as_ref(), "rows_moved", Some(from)), moved[from]);
            assert_eq!(metric(exchange.as_ref(), "bytes_moved", Some(from)), bytes_moved[from]);
        }
        let most = to.iter().max().unwrap();
        assert_eq!(metric(exchange.as_ref(), "skew_percent", None), most * 100 * partitions / 400);
        assert_eq!(to.iter().sum::<usize>(), 400);
    }
}
