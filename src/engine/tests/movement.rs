//! Which rows joins and groupings move, what counts them, and plans that are refused.

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
use crate::engine::{SessionStateBuilderExt, Warehouse};
use crate::format::Geometry;
use crate::optimizer::meeting::Meeting;
use crate::physical_plan::collocated_join::CollocatedJoinExec;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::exchange::Exchange;
use crate::physical_plan::placement::{Placement, placement};

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

/// A table of wide rows by one key, and the exchange of them by another column, within little memory.
async fn wide_exchange(memory: usize) -> (Warehouse, SessionContext, Arc<Exchange>) {
    let warehouse = Warehouse::builder().slices(4).threads(4).memory_limit(memory).open("memory://").await.unwrap();
    let session = warehouse.session();
    session.sql("create table t (k int, x int, filler varchar(400)) distkey(k)").await.unwrap();
    let rows = "insert into t select v, v % 1000, repeat('filler', 60) || v from generate_series(1, 40000) s(v)";
    session.sql(rows).await.unwrap();
    let context = session.context().clone();
    let input = planned(&context, "select k, x, filler from t").await;
    let repartition = RepartitionExec::try_new(input, Partitioning::Hash(vec![column("x", 1)], 4)).unwrap();
    let exchange = Arc::new(Exchange::of(&repartition).unwrap().unwrap());
    (warehouse, context, exchange)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_spills_what_memory_does_not_hold() {
    let (_warehouse, context, exchange) = wide_exchange(12 << 20).await;
    let streams: Vec<_> = (0..4).map(|p| exchange.execute(p, context.task_ctx()).unwrap()).collect();
    let mut keys = Vec::new();
    // One after the other, so that rows of the last one wait until all others have gone.
    for stream in streams {
        for batch in stream.try_collect::<Vec<_>>().await.unwrap() {
            keys.extend(batch.column(0).as_primitive::<arrow::datatypes::Int32Type>().values().iter().copied());
        }
    }
    keys.sort_unstable();
    assert_eq!(keys, (1..=40_000).collect::<Vec<_>>());
    assert!(exchange.metrics().unwrap().spill_count().unwrap_or(0) > 0, "it fits, so that nothing is tested");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_nobody_reads_on_leaves_nothing_behind() {
    let (warehouse, context, mut exchange) = wide_exchange(12 << 20).await;
    let repartition = RepartitionExec::try_new(Arc::clone(exchange.input()), exchange.partitioning().clone()).unwrap();
    let runtime = Arc::clone(&warehouse.inner.runtime);
    let before = (runtime.memory_pool.reserved(), runtime.disk_manager.used_disk_space());
    for read in [0, 1, 5] {
        let mut streams: Vec<_> = (0..4).map(|p| exchange.execute(p, context.task_ctx()).unwrap()).collect();
        for _ in 0..read {
            streams[0].try_next().await.unwrap();
        }
        drop(streams);
        let left = Arc::new(Exchange::of(&repartition).unwrap().unwrap());
        let exchange = std::mem::replace(&mut exchange, left);
        drop(exchange);
        let gone = async {
            while (runtime.memory_pool.reserved(), runtime.disk_manager.used_disk_space()) != before {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), gone).await;
        waited.unwrap_or_else(|_| panic!("memory or files are kept after {read} batches"));
    }
}

#[tokio::test]
async fn sides_in_the_order_of_the_key_are_merged() {
    let warehouse = warehouse(4, 2, Geometry::TINY).await;
    let session = warehouse.session();
    for table in ["a", "b"] {
        session.sql(&format!("create table {table} (k int, x int) distkey(k) sortkey(k)")).await.unwrap();
        let rows = format!("insert into {table} select v % 300, v from generate_series(1, 600) s(v)");
        session.sql(&rows).await.unwrap();
    }
    session.sql("analyze").await.unwrap();
    let explained = |sql: &'static str| {
        let session = &session;
        async move { ours(session, &format!("explain {sql}")).await.join("\n") }
    };
    let whole = "select count(*), sum(a.x), sum(b.x) from a join b on a.k = b.k";
    let text = explained(whole).await;
    assert!(text.contains("XN Merge Join DS_DIST_NONE"), "{text}");
    assert!(text.contains("Merge Cond: (") && !text.contains("Sort Key"), "{text}");
    let merged = ours(&session, whole).await;
    for outer in ["left", "right", "full"] {
        let text =
            ours(&session, &format!("explain select count(*) from a {outer} join b on a.k = b.k")).await.join("\n");
        assert!(text.contains("DS_DIST_NONE") && text.contains(" Merge "), "{text}");
    }
    // A filter of few keys leaves little to merge.
    let text = explained("select count(*) from a join b on a.k = b.k where a.x < 9").await;
    assert!(text.contains("XN Hash Join DS_DIST_NONE"), "{text}");
    session.sql("set blueshift.merge_joins = false").await.unwrap();
    let text = explained(whole).await;
    assert!(text.contains("XN Hash Join DS_DIST_NONE"), "{text}");
    assert_eq!(ours(&session, whole).await, merged);
    session.sql("set blueshift.merge_joins = true").await.unwrap();
    // With two runs a slice is in no order any more.
    session.sql("insert into a values (1, 1)").await.unwrap();
    let text = explained(whole).await;
    assert!(text.contains("XN Hash Join DS_DIST_NONE"), "{text}");
}

/// DataFusion's merge join claims the order of its left side, but gives rows without a match late.
#[tokio::test]
async fn an_outer_merge_join_with_a_condition_is_not_believed_its_order() {
    let warehouse = warehouse(1, 1, Geometry::TINY).await;
    let session = warehouse.session();
    for (table, most) in [("a", 900), ("b", 700)] {
        session.sql(&format!("create table {table} (k int, v int) distkey(k) sortkey(k)")).await.unwrap();
        let rows = format!("insert into {table} select v % 7, v from generate_series(1, {most}) s(v)");
        session.sql(&rows).await.unwrap();
    }
    for partitions in [1, 2] {
        session.sql(&format!("set datafusion.execution.target_partitions = {partitions}")).await.unwrap();
        for outer in ["left", "right", "full"] {
            let sql = format!(
                "select a.k, b.v % 3, count(*), sum(b.v) from a {outer} join b on a.k = b.k and a.v > b.v group by 1, 2"
            );
            session.sql("set datafusion.optimizer.prefer_hash_join = true").await.unwrap();
            let hashed = ours(&session, &sql).await;
            session.sql("set datafusion.optimizer.prefer_hash_join = false").await.unwrap();
            assert_eq!(ours(&session, &sql).await, hashed, "{sql}");
        }
    }
}

/// DataFusion's merge join compares keys of semi joins by a list of types, where a group of one key ends a batch.
#[tokio::test]
async fn semi_joins_by_any_type_of_key_have_their_rows() {
    let warehouse = Warehouse::builder().slices(2).threads(2).open("memory://").await.unwrap();
    let session = warehouse.session();
    for (key, value) in [
        ("timestamptz", "timestamptz '2026-01-01 00:00:00+00' + v / 3 * interval '1 second'"),
        ("time", "time '00:00:00' + v / 3 * interval '1 second'"),
        ("double precision", "case when v > 39000 then 'NaN'::float when v > 30000 then -0.0::float else v / 3 end"),
        ("varchar(20)", "cast(v / 3 as varchar)"),
        ("bigint", "v / 3"),
    ] {
        for table in ["e", "f"] {
            session.sql(&format!("drop table if exists {table}")).await.unwrap();
            session.sql(&format!("create table {table} (k {key} distkey sortkey, x int)")).await.unwrap();
            let rows = format!("insert into {table} select {value}, v from generate_series(1, 40000) s(v)");
            session.sql(&rows).await.unwrap();
        }
        session.sql("analyze").await.unwrap();
        for (not, rows) in [("", 40_000), ("not ", 0)] {
            let sql = format!("select count(*) from e where {not}exists (select 1 from f where f.k = e.k)");
            let answer = ours(&session, &sql).await.join("");
            assert!(answer.contains(&format!("| {rows} ")), "{key}: {sql}\n{answer}");
        }
    }
}
