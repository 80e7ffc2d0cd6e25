//! Parts of a plan that are the same are computed once, and answers stay what they are.

use std::sync::Arc;

use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::SessionContext;

use super::util::*;
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;
use crate::testing::rng::Rng;

async fn tables(rows: usize, rng: &mut Rng, layouts: [&str; 2]) -> (Warehouse, Session) {
    let warehouse = warehouse(4, 2, Geometry::new(64, 256).unwrap()).await;
    let session = warehouse.session();
    let create = format!("create table a (k int, g int, t varchar(9), m decimal(9,2)) {}", layouts[0]);
    all(&session, &[&create, &format!("create table b (g int, n varchar(9)) {}", layouts[1])]).await;
    let (x, y) = (1 + rng.below(1 << 16), 1 + rng.below(1 << 16));
    let insert = format!(
        "insert into a select v * {x} % 300, case when v % 11 = 0 then null else v * {y} % 23 end, 't' || v % 7, \
         (v * {x} % 1000) / 4.0 from generate_series(1, {rows}) g(v)"
    );
    all(&session, &[&insert, "insert into b select v, 'n' || v % 5 from generate_series(0, 24) g(v)"]).await;
    (warehouse, session)
}

fn context(session: &Session, common_subplans: bool, memory: Option<usize>) -> SessionContext {
    context_with(session, memory, |options| options.common_subplans = common_subplans)
}

async fn plan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    let frame = context.sql(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    frame.create_physical_plan().await.unwrap_or_else(|e| panic!("{sql}\n{e}"))
}

fn spools(plan: &Arc<dyn ExecutionPlan>) -> usize {
    displayable(plan.as_ref()).indent(false).to_string().matches("Spool: ").count()
}

async fn rows(context: &SessionContext, plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<String>, String> {
    let batches = collect(Arc::clone(plan), context.task_ctx()).await;
    batches.map(|batches| lines(&batches)).map_err(|e| e.strip_backtrace())
}

/// What is named several times, and how: parts `{c}` and `{d}`.
const WITH: [&str; 6] = [
    "select g, sum(m) s, count(*) n from a group by g",
    "select g, t, sum(m) s, max(k) n from a where k > 40 group by g, t",
    "select a.g, sum(m) s, count(n) n from a join b on a.g = b.g group by a.g",
    "select g, k as s, row_number() over (partition by g order by k, m, t) n from a",
    "select distinct g, k s, 1 n from a where t = 't3'",
    "select g, s, n from (select g, sum(m) s, count(*) n from a group by g union all select g, 1, 2 from b group by g)",
];
const NAMED: [&str; 9] = [
    "select c.g, c.s, d.n from c join c d on c.g = d.g",
    "select g, s from c where s > (select avg(s) from c)",
    "select g, n from c where s = (select max(s) from c) or n = (select min(n) from c)",
    "select count(*) from c where g in (select g from c where n > 3)",
    "select g, s from c union all select g, n from c",
    "select c.g from c left join (select g, sum(s) x from c group by g) d on c.g = d.g where d.x is null or d.x > 10",
    "select count(*), sum(c.s) from c, c d where c.n < d.n",
    "select (select count(*) from c), (select sum(s) from c), (select max(s) from c)",
    "select d.g, sum(e.s) from c d join c e on d.g = e.g join c f on f.g = e.g and f.n >= d.n group by d.g",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_each_computed_by_itself() {
    let mut rng = Rng::new(3);
    let (mut shared, mut parts) = (0, 0);
    for layouts in [["distkey(g) sortkey(k)", "distkey(g)"], ["diststyle even", "diststyle all"], ["distkey(k)", ""]] {
        let (_warehouse, session) = tables(900, &mut rng, layouts).await;
        for with in WITH {
            for named in NAMED {
                let sql = format!("with c as ({with}) {named}");
                let apart = context(&session, false, None);
                let expected = plan(&apart, &sql).await;
                assert_eq!(spools(&expected), 0, "{sql}");
                let expected = rows(&apart, &expected).await;
                let together = context(&session, true, None);
                let found = plan(&together, &sql).await;
                shared += usize::from(spools(&found) > 1);
                assert_ne!(spools(&found), 1, "nothing is kept for one reader: {sql}");
                // A plan runs as often as it is asked to.
                assert_eq!(rows(&together, &found).await, expected, "{layouts:?}: {sql}");
                let again = reset_plan_states(found).unwrap();
                assert_eq!(rows(&together, &again).await, expected, "{layouts:?}, again: {sql}");
                // Where memory does not hold the rows, each computes its own.
                let little = context(&session, true, Some(300_000 + rng.below(600_000)));
                let found = plan(&little, &sql).await;
                if let Ok(got) = rows(&little, &found).await {
                    assert_eq!(Ok(got), expected, "{layouts:?}, little memory: {sql}");
                    parts += 1;
                }
            }
        }
    }
    assert!(shared > 60 && parts > 80, "{shared} plans share rows, {parts} answers with little memory");
}

/// What is there several times is read once; what only looks so is read each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_the_same_is_computed_once() {
    let (_warehouse, session) = tables(900, &mut Rng::new(4), ["distkey(k)", ""]).await;
    let together = context(&session, true, None);
    let zones = counted(&measured(&together, "select g, sum(m) from a group by g").await.1, "a", "zones");
    let total = "with c as (select g, sum(m) s from a group by g)";
    for (sql, readers) in [
        (format!("{total} select * from c where s = (select max(s) from c)"), 2),
        (format!("{total} select * from c join c d on c.g = d.g join c e on d.g = e.g"), 3),
        // Conditions from above have made the two different.
        (format!("{total} select * from c join c d on c.s = d.s where c.g = 1 and d.g = 2"), 0),
        // Other rows each time.
        ("with c as (select g, sum(m * random()) s from a group by g) select * from c join c d on c.g = d.g".into(), 0),
        // Too many rows to keep.
        ("with c as (select g, k + 1 x from a) select count(*) from c join c d on c.g = d.g".into(), 0),
        (format!("{total} select * from c"), 0),
        // A part within a part, and by itself.
        (
            "with c as (select g, t, sum(m) s from a group by g, t), d as (select g, sum(s) s from c group by g) \
             select (select max(s) from c), (select max(s) from d), (select min(s) from d)"
                .into(),
            // Two of d, and three of c: within each of them, which one computes, and by itself.
            5,
        ),
    ] {
        let found = plan(&together, &sql).await;
        let text = displayable(found.as_ref()).indent(false).to_string();
        assert_eq!(spools(&found), readers, "{sql}\n{text}");
        rows(&together, &found).await.unwrap();
        if readers > 0 {
            assert_eq!(counted(&found, "a", "zones"), zones, "{sql}\n{text}");
        }
    }
}

/// A reader that leaves early, that comes never, or that finds an error where another needs no row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_need_not_read_all() {
    let (_warehouse, session) = tables(900, &mut Rng::new(5), ["distkey(k)", ""]).await;
    let with = "with c as (select g, k, sum(m) s from a group by g, k)";
    for sql in [
        format!("{with} select 1 from c where exists (select 1 from c) limit 1"),
        format!("{with} select count(*) from (select * from c limit 3) union all select count(*) from c"),
        format!("{with} select count(*) from c join c d on c.k = d.k and c.s < 0 - d.s"),
        format!("{with} select c.k from c, c d, c e where c.s > 1000000 and d.s = e.s"),
    ] {
        let apart = context(&session, false, None);
        let expected = rows(&apart, &plan(&apart, &sql).await).await;
        for _ in 0..5 {
            let together = context(&session, true, None);
            assert_eq!(rows(&together, &plan(&together, &sql).await).await, expected, "{sql}");
        }
    }
    let fails = "with c as (select g, sum(1 / (k - 7)) s from a group by g) \
                 select (select count(*) from c), (select sum(s) from c)";
    let together = context(&session, true, None);
    let error = rows(&together, &plan(&together, fails).await).await.unwrap_err();
    assert!(error.contains("Divide by zero") || error.contains("division by zero"), "{error}");
    // A query that is given up leaves nothing that runs.
    let sql = format!("{with} select count(*) from c join c d on c.g = d.g");
    let together = context(&session, true, None);
    let found = plan(&together, &sql).await;
    let mut stream = found.execute(0, together.task_ctx()).unwrap();
    let _ = futures::poll!(futures::StreamExt::next(&mut stream));
    drop(stream);
    assert_eq!(rows(&together, &found).await.unwrap().len(), 2);
}
