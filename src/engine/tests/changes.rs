//! DELETE, UPDATE and TRUNCATE against a model, and by several sessions at once.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int32Type;
use tokio::task::JoinSet;

use super::util::*;
use crate::engine::Session;
use crate::format::Geometry;
use crate::testing::long::seeds;
use crate::testing::rng::Rng;

pub type Row = (Option<i32>, i32, i32);

/// The table's rows, sorted.
pub async fn stored(session: &Session) -> Vec<Row> {
    stored_in(session, "t").await
}

/// The rows of a table, or of one as it was, sorted.
async fn stored_in(session: &Session, table: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches(session, &format!("select k, x, v from {table}")).await {
        let column = |at: usize| batch.column(at).as_primitive::<Int32Type>().clone();
        let (k, x, v) = (column(0), column(1), column(2));
        rows.extend((0..batch.num_rows()).map(|i| (k.is_valid(i).then(|| k.value(i)), x.value(i), v.value(i))));
    }
    rows.sort();
    rows
}

/// A statement, and what it does to rows.
pub fn change(rng: &mut Rng, rows: &mut Vec<Row>, next: &mut i32) -> String {
    let (m, r) = (2 + rng.below(9) as i32, rng.below(4) as i32);
    match rng.below(12) {
        0..=2 => {
            let (from, n) = (*next, 1 + rng.below(60) as i32);
            *next += n;
            rows.extend((from..from + n).map(|v| ((v % 7 != 0).then_some(v % 13 - 4), v % 5, v)));
            format!(
                "insert into t select case when v % 7 = 0 then null else v % 13 - 4 end, v % 5, v \
                 from generate_series({from}, {}) s(v)",
                from + n - 1
            )
        }
        3 => {
            rows.retain(|(_, _, v)| v % m != r);
            format!("delete from t where v % {m} = {r}")
        }
        4 => {
            rows.retain(|(k, _, _)| k.is_none_or(|k| k <= r));
            format!("delete from t where k > {r}")
        }
        5 => {
            rows.retain(|(k, _, v)| k.is_some() || v % m != 0);
            format!("delete from t a where a.k is null and a.v % {m} = 0")
        }
        6 => {
            rows.iter_mut().filter(|(_, _, v)| v % m == r).for_each(|(_, x, _)| *x += m);
            format!("update t set x = x + {m} where v % {m} = {r}")
        }
        7 => {
            rows.iter_mut().filter(|(_, x, _)| *x == r).for_each(|(k, _, v)| *k = Some(*v % m));
            format!("update t set k = v % {m} where x = {r}")
        }
        8 => {
            rows.iter_mut().filter(|(k, _, _)| *k == Some(r)).for_each(|(k, x, _)| (*k, *x) = (None, r + 100));
            format!("update t set k = null, x = k + 100 where k = {r}")
        }
        9 => {
            // Source: k of 0 to 3, each ten times.
            rows.iter_mut().filter(|(k, _, _)| k.is_some_and(|k| (0..4).contains(&k))).for_each(|(k, x, _)| {
                *x = k.unwrap() * 10;
            });
            "update t set x = u.y from u where t.k = u.k".to_string()
        }
        10 => {
            rows.retain(|(k, x, _)| !(k.is_some_and(|k| (0..4).contains(&k)) && *x == r));
            format!("delete from t using u where t.k = u.k and t.x = {r}")
        }
        _ if rng.one_in(4) => {
            rows.clear();
            "truncate t".to_string()
        }
        _ => {
            let most = rows.iter().map(|(_, _, v)| *v).max();
            rows.retain(|(_, _, v)| Some(*v) != most);
            "delete from t where v = (select max(v) from t)".to_string()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_do_what_they_do_to_a_model() {
    for seed in seeds(1, 24) {
        let mut rng = Rng::new(seed);
        let slices = 1 + rng.below(4) as u32;
        let warehouse = warehouse(slices, 1 + rng.below(4), Geometry::TINY).await;
        let session = warehouse.session();
        let dist = ["distkey(k)", "distkey(x)", "diststyle even", "diststyle all", ""][rng.below(5)];
        let sort = ["", "sortkey(v)", "sortkey(k, v)", "interleaved sortkey(k, v)"][rng.below(4)];
        session.sql(&format!("create table t (k int, x int not null, v int not null) {dist} {sort}")).await.unwrap();
        session.sql("create table u (k int, y int)").await.unwrap();
        session.sql("insert into u select v % 4, v % 4 * 10 from generate_series(0, 39) s(v)").await.unwrap();
        let (mut rows, mut next, mut done): (Vec<Row>, i32, Vec<String>) = (Vec::new(), 1, Vec::new());
        let (mut past, mut clones) = (Vec::new(), Vec::<(String, Vec<Row>)>::new());
        for step in 0..14 {
            if rng.one_in(5) {
                let vacuum = ["vacuum t to 100 percent", "vacuum delete only t", "vacuum"][rng.below(3)];
                done.push(vacuum.to_string());
                session.sql(vacuum).await.unwrap_or_else(|e| panic!("seed {seed}: {done:?}\n{e}"));
            }
            if rng.one_in(4) {
                let alters =
                    ["distkey k", "diststyle even", "diststyle all", "sortkey (v)", "sortkey (x, k)", "sortkey none"];
                let alter = format!("alter table t alter {}", alters[rng.below(6)]);
                done.push(alter.clone());
                session.sql(&alter).await.unwrap_or_else(|e| panic!("seed {seed}: {done:?}\n{e}"));
            }
            if rng.one_in(5) {
                let clone = format!("create table c{step} clone t");
                done.push(clone.clone());
                session.sql(&clone).await.unwrap_or_else(|e| panic!("seed {seed}: {done:?}\n{e}"));
                clones.push((format!("c{step}"), rows.clone()));
            }
            if !clones.is_empty() && rng.one_in(3) {
                let chosen = rng.below(clones.len());
                let (name, rows) = &mut clones[chosen];
                let delete = format!("delete from {name} where v % 3 = {}", step % 3);
                done.push(delete.clone());
                session.sql(&delete).await.unwrap_or_else(|e| panic!("seed {seed}: {done:?}\n{e}"));
                rows.retain(|(_, _, v)| v % 3 != step % 3);
            }
            past.push((warehouse.inner.catalog.snapshot().version, rows.clone()));
            let before = rows.clone();
            let sql = change(&mut rng, &mut rows, &mut next);
            done.push(sql.clone());
            let output = session.sql(&sql).await.unwrap_or_else(|e| panic!("seed {seed}: {done:?}\n{e}"));
            if sql.starts_with("delete") {
                assert_eq!(output.changed, Some((before.len() - rows.len()) as u64), "seed {seed}: {sql}");
            }
            rows.sort();
            assert_eq!(stored(&session).await, rows, "seed {seed}, {dist} {sort}: {done:#?}");
            // As it was before any of the steps, and what has gone its own way since.
            let (version, then) = &past[rng.below(past.len())];
            let of_then = format!("t for system_time as of {}", version.0);
            assert_eq!(stored_in(&session, &of_then).await, *then, "seed {seed}: {of_then}: {done:#?}");
            for (name, rows) in &clones {
                assert_eq!(stored_in(&session, name).await, *rows, "seed {seed}: {name}: {done:#?}");
            }
        }
    }
}

/// No update is lost, and each happens once, however often it had to be tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_change_one_row_wait_for_nobody_and_lose_nothing() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    session.sql("create table t (k int, x int, v int) distkey(k)").await.unwrap();
    session.sql("insert into t select v, 0, v from generate_series(1, 20) s(v)").await.unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let session = Arc::new(warehouse.session());
        tasks.spawn(async move {
            for _ in 0..10 {
                session.sql("update t set x = x + 1 where k = 7").await.unwrap();
            }
        });
    }
    // Others append meanwhile, and read.
    let appending = warehouse.session();
    for v in 100..120 {
        appending.sql(&format!("insert into t values ({v}, 0, {v})")).await.unwrap();
        assert!(stored(&appending).await.len() >= 20);
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let rows = stored(&session).await;
    assert_eq!(rows.len(), 40);
    assert_eq!(rows.iter().find(|(k, _, _)| *k == Some(7)), Some(&(Some(7), 40, 7)));
}

#[tokio::test]
async fn prepared_changes_take_parameters() {
    let session = warehouse(2, 2, Geometry::TINY).await.session();
    session.sql("create table t (k int, x int not null, v int not null) distkey(k)").await.unwrap();
    session.sql("insert into t select v, 0, v from generate_series(1, 9) s(v)").await.unwrap();
    let update = session.prepare("update t set x = $1 where k = $2").await.unwrap();
    assert_eq!(update.parameters().len(), 2);
    for k in [3, 4] {
        let done = update.execute(vec![(k * 100).into(), k.into()]).await.unwrap();
        assert_eq!((done.tag.as_str(), done.changed), ("UPDATE 1", Some(1)));
    }
    let delete = session.prepare("delete from t where v > $1").await.unwrap();
    assert_eq!(delete.execute(vec![4.into()]).await.unwrap().changed, Some(5));
    let rows = vec![(Some(1), 0, 1), (Some(2), 0, 2), (Some(3), 300, 3), (Some(4), 400, 4)];
    assert_eq!(stored(&session).await, rows);
}
