//! Aggregations of integers give what DataFusion's operator gives.

use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;

use super::util::*;
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;
use crate::testing::rng::Rng;

/// Every kind of key and of argument: few texts and many, NULLs of some, none and all rows, values at the ends of their
/// types, columns that older rows lack, deleted rows.
async fn table(session: &Session, rng: &mut Rng, layout: &str, rows: usize) {
    let columns = "k int, t varchar(20), u varchar(40), c char(1) not null, d date, s timestamp, m decimal(12,2), \
         n decimal(18,4) not null, w decimal(30,3), b bigint, i smallint, e boolean, f double precision, z int, \
         y time, v varchar(9) encode zstd";
    all(session, &[&format!("create table a ({columns}) {layout}")]).await;
    for part in 0..3 {
        // A number below `n` of each row, another for each column.
        let mut below = |n: i64| format!("((v * {} + {}) % {n})", 1 + rng.below(1 << 20), rng.below(1 << 20));
        type Value<'a> = &'a dyn Fn(&mut dyn FnMut(i64) -> String) -> String;
        let mut some = |one_of: i64, value: Value<'_>| match one_of {
            0 => value(&mut below),
            _ => format!("case when {} = 0 then null else {} end", below(one_of), value(&mut below)),
        };
        // Of a column of any 64 bits no key is made; the later rows leave its ends out.
        let far = if part == 0 { "when 3 then 9223372036854775807 when 4 then -9223372036854775808" } else { "" };
        let fields = [
            some(0, &|below| format!("{} - 150", below(300))),
            some(9, &|below| format!("'text ' || {}", below(5 + 30 * part))),
            some(0, &|below| format!("'another ' || {}", below(900))),
            some(0, &|below| format!("substring('abc', {} + 1, 1)", below(3))),
            some(30, &|below| format!("date '2024-01-01' + {}::int", below(400))),
            some(5, &|_| "timestamp '2024-02-03 04:05:06.789' + v * interval '1 hour'".into()),
            some(7, &|below| format!("({} - 1000000) / 100.0", below(2_000_000))),
            some(0, &|below| format!("({} - 450000000000000000) / 10000.0", below(900_000_000_000_000_000))),
            some(4, &|below| format!("{} + 0.5", below(1_000_000))),
            some(0, &|below| format!("case {} when 0 then 7 when 1 then 0 {far} end", below(5))),
            some(3, &|below| format!("{} - 32768", below(65_536))),
            some(5, &|below| format!("{} = 0", below(2))),
            some(6, &|below| format!("{} + 0.25", below(50))),
            "null".to_string(),
            some(6, &|below| format!("('0' || {} || ':30:00')::time", below(10))),
            some(6, &|below| format!("'v' || {}", below(2000))),
        ];
        // Later rows have columns more.
        let columns = "k, t, u, c, d, s, m, n, w, b, i, e, f, z, y, v";
        let rows = format!("select {} from generate_series(1, {rows}) g(v)", fields.join(", "));
        all(session, &[&format!("insert into a ({columns}) {rows}")]).await;
        if part == 1 {
            let added = ["alter table a add column g int default 5", "alter table a add column h varchar(3)"];
            all(session, &added).await;
            all(session, &["alter table a add column j varchar(3) default 'j'", "delete from a where k % 7 = 3"]).await;
        }
    }
    all(session, &["create table b (id int, bt varchar(9), bm decimal(7,3)) distkey(id)"]).await;
    let dim =
        "select v * 3 - 150, 'b' || (v % 9), case when v % 5 > 0 then v / 8.0 - 4 end from generate_series(0, 60) g(v)";
    all(session, &[&format!("insert into b {dim}")]).await;
    all(session, &["delete from a where d between date '2024-03-01' and date '2024-03-20'"]).await;
}

fn context(session: &Session, integer_aggregates: bool, memory: Option<usize>) -> SessionContext {
    context_with(session, memory, |options| options.integer_aggregates = integer_aggregates)
}

/// The answer, and whether integers were aggregated.
async fn answer(context: &SessionContext, sql: &str) -> (Result<Vec<String>, String>, bool) {
    let plan = match context.sql(sql).await.unwrap().create_physical_plan().await {
        Ok(plan) => plan,
        Err(e) => return (Err(e.to_string()), false),
    };
    let within = displayable(plan.as_ref()).indent(false).to_string().contains("IntegerAggregate");
    let batches = datafusion::physical_plan::collect(plan, context.task_ctx()).await;
    (batches.map(|batches| lines(&batches)).map_err(|e| e.strip_backtrace()), within)
}

const KEYS: [&str; 18] = ["k", "t", "u", "c", "d", "s", "m", "n", "w", "b", "i", "e", "f", "z", "y", "v", "g", "j"];
const FUNCTIONS: [&str; 33] = [
    "count(*)",
    "count(1)",
    "count(m)",
    "count(t)",
    "sum(m)",
    "sum(n)",
    "sum(w)",
    "sum(k)",
    "sum(i)",
    "sum(m * (1 - m))",
    "sum(m * (1 - m) * (1 + m))",
    "sum(m * n)",
    "sum(n - m)",
    "avg(m)",
    "avg(n)",
    "avg(k)",
    "min(k)",
    "max(d)",
    "min(s)",
    "max(m)",
    "min(n + m)",
    "max(y)",
    "sum(g)",
    "avg(z)",
    "sum(k + 5)",
    "sum(3 - i)",
    "avg(k - 100)",
    "sum(k * i)",
    "sum(m + 1.5), sum(2.25 - m)",
    "min(k - 7), max(i + k)",
    "sum(b + 1)",
    "sum(i + 32767::smallint)",
    "sum(k + k), sum(k + 1), count(k)",
];
const FILTERS: [&str; 9] = [
    "true",
    "true",
    "k > 20",
    "t like '%3%'",
    "d < date '2024-06-01' and m > 0",
    "k + i > 100",
    "b is null",
    "k > 1000",
    "u in ('another 1', 'another 2', 'another 700') or g is null",
];

/// Joins of either kind, of which columns are NULL that no table has so.
const SOURCES: [&str; 6] = [
    "a",
    "a",
    "a join b on a.k = b.id",
    "b left join a on a.k = b.id",
    "a left join b on a.k = b.id and b.bm > 0",
    "(select * from a where k in (select id from b)) a cross join (select 1 as id, 'x' as bt, 1.5 as bm) b",
];
const OF_BOTH: [&str; 4] = ["sum(bm)", "sum(m * bm)", "min(id)", "avg(bm - m)"];

fn query(rng: &mut Rng) -> String {
    let some = |rng: &mut Rng, of: &[&str], most: usize| -> Vec<String> {
        let mut chosen: Vec<String> = (0..rng.below(most + 1)).map(|_| of[rng.below(of.len())].to_string()).collect();
        chosen.sort();
        chosen.dedup();
        chosen
    };
    let source = SOURCES[rng.below(SOURCES.len())];
    let (mut keys, mut functions) = (some(rng, &KEYS, 3), some(rng, &FUNCTIONS, 5));
    if source != "a" {
        keys.extend(some(rng, &["bt", "id"], 2));
        functions.extend(some(rng, &OF_BOTH, 2));
    }
    if functions.is_empty() {
        functions.push("count(*)".into());
    }
    let items: Vec<String> = keys.iter().chain(&functions).cloned().collect();
    let filter = FILTERS[rng.below(FILTERS.len())];
    let grouped = if keys.is_empty() { String::new() } else { format!(" group by {}", keys.join(", ")) };
    format!("select {} from {source} where {filter}{grouped}", items.join(", "))
}

async fn warehouse_of(rng: &mut Rng, layout: &str, rows: usize) -> (Warehouse, Session) {
    let warehouse = warehouse(4, 2, Geometry::new(64, 256).unwrap()).await;
    let session = warehouse.session();
    table(&session, rng, layout, rows).await;
    (warehouse, session)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_datafusion() {
    let mut rng = Rng::new(71);
    let (mut within, mut parts, mut errors) = (0, 0, 0);
    for layout in ["distkey(k) sortkey(d)", "diststyle even sortkey(k, t)", "diststyle all", "distkey(t)"] {
        let (_warehouse, session) = warehouse_of(&mut rng, layout, 700).await;
        for _ in 0..90 {
            let sql = query(&mut rng);
            let (expected, none) = answer(&context(&session, false, None), &sql).await;
            assert!(!none, "{sql}");
            let (got, some) = answer(&context(&session, true, None), &sql).await;
            match (&got, &expected) {
                (Err(_), Err(_)) => errors += 1,
                _ => assert_eq!(got, expected, "{layout}: {sql}"),
            }
            within += usize::from(some);
            // Hardly any memory: groups are given in parts. Sorts and hash tables above may fail, and say so.
            if let (Ok(got), true) = answer(&context(&session, true, Some(700_000)), &sql).await {
                assert_eq!(Ok(got), expected, "{layout}, little memory: {sql}");
                parts += 1;
            }
        }
    }
    assert!(within > 100 && parts > 60, "{within} of integers, {parts} with little memory, {errors} errors");
}

/// Which aggregations are of integers, and which are left to DataFusion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_proven_is_left() {
    let (_warehouse, session) = warehouse_of(&mut Rng::new(5), "distkey(k) sortkey(d)", 300).await;
    let context = context(&session, true, None);
    for (sql, expected) in [
        ("select t, c, sum(m), avg(m), count(*) from a group by t, c", true),
        ("select sum(m * (1 - m)) from a where d < date '2024-02-01'", true),
        ("select k, min(d), max(s) from a group by k", true),
        ("select k, t, u from a group by k, t, u", true),
        ("select k, b from a group by k, b", false),
        ("select sum(n * n) from a", false),
        ("select sum(w) from a", false),
        ("select sum(f) from a", false),
        ("select min(t) from a", false),
        ("select count(distinct k), count(distinct t) from a", false),
        ("select sum(m) filter (where k > 3) from a", false),
        ("select k, sum(m) from a group by rollup(k)", false),
        ("select k + 1, sum(m) from a group by k + 1", false),
        ("select sum(k + 1), sum(k + 2), avg(3 - k) from a", true),
        ("select sum(i + i) from a", false),
        ("select sum(b + 1) from a", false),
        ("select f, count(*) from a group by f", false),
    ] {
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let shown = displayable(plan.as_ref()).indent(false).to_string();
        assert_eq!(shown.contains("IntegerAggregate"), expected, "{sql}\n{shown}");
    }
}

/// Of a table without rows, of no rows of a table, and of NULLs alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_aggregated_as_nothing() {
    let warehouse = warehouse(2, 2, Geometry::new(64, 256).unwrap()).await;
    let session = warehouse.session();
    all(&session, &["create table a (k int, m decimal(9,2), t varchar(5))"]).await;
    let queries = [
        "select count(*), sum(m), avg(m), min(k), max(k), count(k) from a",
        "select t, count(*), sum(m), avg(m), min(k), count(m) from a group by t",
        "select k, t, sum(m * 2) from a group by k, t",
        "select sum(m), count(m) from a where k > 5",
    ];
    for rows in ["", "insert into a select null, null, null from generate_series(1, 300)", "delete from a"] {
        if !rows.is_empty() {
            all(&session, &[rows]).await;
        }
        for sql in queries {
            let expected = answer(&context(&session, false, None), sql).await.0;
            let (got, within) = answer(&context(&session, true, None), sql).await;
            assert_eq!(got, expected, "{rows}: {sql}");
            assert!(within, "{sql}");
        }
    }
}

/// Sources give more rows at once than a zone has, where a session wants such batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_may_be_larger_than_zones() {
    let warehouse = warehouse(2, 2, Geometry::new(1024, 4096).unwrap()).await;
    let session = warehouse.session();
    all(&session, &["create table a (k int, t varchar(9), d int)", "create table b (d int, x int)"]).await;
    all(&session, &["insert into b values (1, 10), (2, null), (3, 30)"]).await;
    let rows = "insert into a select v % 999, 't' || (v % 60000), v % 4 from generate_series(1, 140000) g(v)";
    all(&session, &[rows, "set datafusion.execution.batch_size = 200000"]).await;
    for sql in [
        "select x, count(*), sum(k) from a join b on a.d = b.d group by x",
        "select count(*), sum(n), max(n) from (select t, count(*) n, min(x) from a join b on a.d = b.d group by t)",
    ] {
        let expected = answer(&context(&session, false, None), sql).await.0;
        let (got, within) = answer(&context(&session, true, None), sql).await;
        assert_eq!(got, expected, "{sql}");
        assert!(within, "{sql}");
    }
}

/// Where nearly each row is a group of its own, a phase that only prepares for another gives rows; keys of very many texts are
/// left to DataFusion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_groups_are_as_good_as_none() {
    let warehouse = warehouse(2, 2, Geometry::new(4096, 16384).unwrap()).await;
    let session = warehouse.session();
    all(&session, &["create table a (k int, t varchar(9), d int) diststyle even"]).await;
    // The first half of the rows are groups of one, the others a few large ones.
    let rows = "insert into a select case when v > 300000 then v % 3 else v end, 't' || v % 80000, v % 7 \
                from generate_series(1, 400000) g(v)";
    all(&session, &[rows, "analyze a"]).await;
    for (sql, integers) in [
        ("select k, count(*), sum(d), min(d) from a group by k", true),
        ("select k, d, avg(d), count(d) from a where d <> 3 group by k, d", true),
        ("select t, count(*), sum(d) from a group by t", false),
    ] {
        let expected = answer(&context(&session, false, None), sql).await.0;
        let (got, within) = answer(&context(&session, true, None), sql).await;
        assert!(got == expected, "{sql}");
        assert_eq!(within, integers, "{sql}");
    }
}
