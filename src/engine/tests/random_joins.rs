//! Joins and groupings of random tables give the rows that plain DataFusion gives, wherever rows are and whatever moves.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::prelude::SessionContext;

use super::util::*;
use crate::engine::Session;
use crate::format::Geometry;
use crate::physical_plan::config::BlueshiftOptions;
use crate::testing::long::seeds;
use crate::testing::rng::Rng;

const TABLES: usize = 6;
const JOINS: [&str; 4] = ["join", "left join", "right join", "full join"];

/// Types whose values meet in joins, how one is made of the INT `?`, and a constant that some are below.
const KEYS: [(&[&str], &str, &str); 5] = [
    (&["int", "bigint", "smallint", "decimal(9,0)", "decimal(12,0)"], "?", "2"),
    (&["int", "bigint", "smallint"], "?", "3"),
    (&["varchar(20)", "varchar(5)", "varchar"], "cast(? as varchar)", "'15'"),
    (&["date"], "dateadd(day, ?, date '2020-01-01')", "date '2020-01-03'"),
    (&["double precision", "real", "int"], "?", "4"),
];

const LAYOUTS: [&str; 5] = ["distkey(k)", "distkey(k)", "distkey(x)", "diststyle even", "diststyle all"];
const SORTS: [&str; 5] = ["", "sortkey(k)", "sortkey(x, k)", "sortkey(v)", "interleaved sortkey(k, v)"];

/// Tables `t0`, `t1` and so on: a key `k` of differing types, with NULLs, one frequent value and negative ones, and columns
/// `x`, `v`.
async fn tables(session: &Session, rng: &mut Rng) -> (String, &'static str) {
    let mut layouts = String::new();
    let (types, value, constant) = KEYS[rng.below(KEYS.len())];
    for t in 0..TABLES {
        let n = [0, 1, 30, 200, 900][rng.below(5)];
        let (key, range) = (types[rng.below(types.len())], [7, 40, 300][rng.below(3)]);
        let (dist, sort) = (LAYOUTS[rng.below(LAYOUTS.len())], SORTS[rng.below(SORTS.len())]);
        let layout = format!("create table t{t} (k {key}, x int, v int) {dist} {sort}");
        session.sql(&layout).await.unwrap();
        let number = format!("cast(case when v % 5 = 0 then -3 else v * 7 % {range} - {} end as int)", range / 2);
        let (value, until) = (value.replace('?', &number), [n, n / 2][rng.below(2)]);
        for (from, to) in [(1, until), (until + 1, n)] {
            if from <= to {
                let rows = format!(
                    "insert into t{t} select case when v % 11 = 0 then null else {value} end, \
                     case when v % 13 = 0 then null else v % 3 end, v from generate_series({from}, {to}) s(v)"
                );
                session.sql(&rows).await.unwrap_or_else(|e| panic!("{rows}\n{e:?}"));
            }
        }
        layouts.push_str(&format!("{layout}: {until} and {} rows\n", n - until));
    }
    if rng.one_in(3) {
        session.sql("analyze").await.unwrap();
    }
    (layouts, constant)
}

fn queries(rng: &mut Rng, constant: &str) -> Vec<String> {
    let table = |rng: &mut Rng| format!("t{}", rng.below(TABLES));
    let mut queries = Vec::new();
    for join in JOINS {
        let (a, b, c) = (table(rng), table(rng), table(rng));
        let on = [
            "a.k = b.k and a.x = b.x",
            "a.x = b.x and a.k = b.k",
            "a.k = b.k",
            "(a.k is not distinct from b.k) and a.x = b.x",
            "a.k = b.k and a.v > b.v",
        ][rng.below(5)];
        let limit =
            ["", " where a.k < ?", " where b.k in (?) or b.k >= ?", " and a.k >= ?", " and b.k <> ?"][rng.below(5)];
        let limit = limit.replace('?', constant);
        queries.push(format!("select count(*), count(a.k), sum(a.v), sum(b.v) from {a} a {join} {b} b on {on}{limit}"));
        queries.push(format!("select a.k, b.x, count(*), sum(b.v) from {a} a {join} {b} b on {on} group by a.k, b.x"));
        let (side, next) = (["a", "b"][rng.below(2)], JOINS[rng.below(4)]);
        queries.push(format!(
            "select count(*), sum(a.v), sum(b.v), sum(c.v) from {a} a {join} {b} b on a.k = b.k and a.x = b.x \
             {next} (select k, x, max(v) as v from {c} where k <= {constant} group by k, x) c on {side}.k = c.k and {side}.x = c.x"
        ));
    }
    for not in ["", "not "] {
        let (a, b) = (table(rng), table(rng));
        queries.push(format!(
            "select a.k, count(*), sum(a.v) from {a} a where {not}exists \
             (select 1 from {b} b where b.k = a.k and b.x = a.x) group by a.k"
        ));
        queries.push(format!("select count(*) from {a} where k {not}in (select k from {b} where v < 20)"));
        queries.push(format!(
            "select count(*) from (select * from {a} where k > {constant}) a where {not}exists (select 1 from {b} b where b.k = a.k)"
        ));
    }
    for _ in 0..2 {
        queries.push(chain(rng, constant));
    }
    let a = table(rng);
    queries.push(format!("select k, x, count(*), sum(v) from {a} group by k, x"));
    queries.push(format!("select x, k from (select distinct k, x from {a}) d"));
    queries.push(format!("select count(distinct k), count(distinct x) from {a}"));
    queries.push(format!("select k, x, count(*) from {a} group by rollup (k, x)"));
    queries
}

/// A join of three to six tables, each to one before it, by columns of which a table has one row or few.
fn chain(rng: &mut Rng, constant: &str) -> String {
    let sides = 3 + rng.below(TABLES - 2);
    let mut from = format!("t{} s0", rng.below(TABLES));
    for side in 1..sides {
        let (join, table, before) = (JOINS[rng.below(4)], rng.below(TABLES), rng.below(side));
        let on =
            ["v = ?.v", "k = ?.k and @.v = ?.v", "v = ?.v and @.x = ?.x", "k = ?.k and @.v + 1 = ?.v"][rng.below(4)];
        let on = on.replace('?', &format!("s{before}")).replace('@', &format!("s{side}"));
        from.push_str(&format!(" {join} t{table} s{side} on s{side}.{on}"));
    }
    let sums: Vec<String> = (0..sides).map(|side| format!("sum(s{side}.v), count(s{side}.k)")).collect();
    let limit = ["", " where s0.v % 3 = 1", " where s1.x is null or s1.x < 2", " where s2.k < ?", " where s0.k > ?"]
        [rng.below(5)];
    let limit = limit.replace('?', constant);
    format!("select count(*), {} from {from}{limit}", sums.join(", "))
}

/// Settings that must not change an answer.
fn settings(rng: &mut Rng) -> impl FnOnce(&mut ConfigOptions) {
    let divided = rng.one_in(2);
    let cheap = rng.one_in(2);
    let [movement, join_order, key_filters, merge_joins, derived, hash] = [3, 4, 4, 4, 4, 6].map(|n| !rng.one_in(n));
    let (wild, filter) = (rng.one_in(2), rng.below(3));
    move |options| {
        let of_datafusion = ConfigOptions::default().optimizer;
        let (bytes, rows) = match divided {
            true => (0, 0),
            false => (
                of_datafusion.hash_join_single_partition_threshold,
                of_datafusion.hash_join_single_partition_threshold_rows,
            ),
        };
        options.optimizer.hash_join_single_partition_threshold = bytes;
        options.optimizer.hash_join_single_partition_threshold_rows = rows;
        options.optimizer.prefer_hash_join = hash;
        let ours = options.extensions.get_mut::<BlueshiftOptions>().expect("a session has them");
        (ours.movement, ours.join_order, ours.key_filters) = (movement, join_order, key_filters);
        (ours.merge_joins, ours.derived_predicates) = (merge_joins, derived);
        // Orders that are no better, too.
        ours.join_order_worthwhile = if wild { f64::INFINITY } else { 0.95 };
        // Merge joins wherever they can be, and filters wherever they can be.
        ours.key_filters_worthwhile = [0.0, 0.8, 1.0][filter];
        ours.exchange_cost = if cheap { 0.0 } else { BlueshiftOptions::default().exchange_cost };
    }
}

fn shown(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(false).to_string()
}

fn set(context: &SessionContext, change: impl FnOnce(&mut ConfigOptions)) {
    change(context.state_ref().write().config_mut().options_mut());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_plain_datafusion() {
    let operators = [
        "CollocatedJoinExec",
        "Exchange:",
        "Broadcast",
        "mode=CollectLeft",
        "mode=Partitioned",
        "mode=SinglePartitioned",
        "SortMergeJoinExec",
        "BuildKeys",
    ];
    let mut seen = operators.map(|operator| (operator, 0));
    let mut reordered = 0;
    for seed in seeds(1, 50) {
        let mut rng = Rng::new(seed);
        let slices = 1 + rng.below(8) as u32;
        let partitions = [1, 2, 3, 4, 8][rng.below(5)];
        let warehouse = warehouse(slices, 4, Geometry::TINY).await;
        let session = warehouse.session();
        let (layouts, constant) = tables(&session, &mut rng).await;
        let plain = plain(2);
        for t in 0..TABLES {
            copy_to(&session, &format!("select * from t{t}"), &plain, &format!("t{t}")).await;
        }
        let context = session.context().clone();
        if !rng.one_in(3) {
            // Of several slices each, or more than there are slices.
            set(&context, |options| options.execution.target_partitions = partitions);
        }
        for sql in queries(&mut rng, constant) {
            let expected = theirs(&plain, &sql).await;
            for _ in 0..2 {
                set(&context, settings(&mut rng));
                let output = session.sql(&sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
                let text = shown(output.plan().expect("a query has one"));
                for (operator, times) in &mut seen {
                    *times += usize::from(text.contains(*operator));
                }
                let answer = output.collect().await.unwrap_or_else(|e| panic!("{sql}\n{e}\n{text}"));
                reordered += usize::from(sql.contains(" s2 on ") && text != unordered(&session, &sql).await);
                assert_eq!(
                    lines(&answer),
                    expected,
                    "seed {seed}, {slices} slices, {partitions} partitions\n{layouts}{sql}\n{text}"
                );
            }
        }
    }
    assert!(reordered > 0 && seen.iter().all(|(_, times)| *times > 0), "{reordered} reordered, {seen:?}");
}

/// The plan with joins in the query's own order.
async fn unordered(session: &Session, sql: &str) -> String {
    let order =
        |on: bool| set(session.context(), |o| o.extensions.get_mut::<BlueshiftOptions>().unwrap().join_order = on);
    order(false);
    let output = session.sql(sql).await.unwrap();
    order(true);
    shown(output.plan().unwrap())
}
