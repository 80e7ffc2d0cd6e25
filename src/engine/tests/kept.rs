//! UPDATE and MERGE keep VERIFIED constraints, and give up only what their columns are about.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int32Type;

use super::util::*;
use crate::catalog::{ConstraintState, WarehouseStore};
use crate::common::SqlState;
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;
use crate::testing::{Rng, seeds};

async fn run(session: &Session, statements: &[&str]) {
    for sql in statements {
        session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e:?}"));
    }
}

/// The constraints of a table that are VERIFIED.
async fn verified(session: &Session, table: &str) -> Vec<String> {
    let (pin, state) = state(session.warehouse(), table).await;
    pin.check_invariants().unwrap();
    let states = state.def.constraints.iter().map(|c| matches!(c.state, ConstraintState::Verified { .. }));
    let named = state.def.constraint_names().into_iter().zip(states);
    let mut names: Vec<String> = named.filter(|(_, verified)| *verified).map(|(name, _)| name).collect();
    names.sort();
    names
}

/// What two columns of a table hold, sorted.
async fn rows(session: &Session, sql: &str) -> Vec<(Option<i32>, Option<i32>)> {
    let mut rows = Vec::new();
    for batch in batches(session, sql).await {
        let value = |column: usize, row: usize| {
            let column = batch.column(column).as_primitive::<Int32Type>();
            column.is_valid(row).then(|| column.value(row))
        };
        rows.extend((0..batch.num_rows()).map(|row| (value(0, row), value(1, row))));
    }
    rows.sort();
    rows
}

async fn parents_and_children() -> Session {
    let session = warehouse(3, 2, Geometry::TINY).await.session();
    run(
        &session,
        &[
            "create table p (id int primary key verified, w int unique verified, n int)",
            "create table c (id int unique verified, p int references p verified, up int, \
             foreign key (up) references c (id) verified) distkey(p)",
            "insert into p select v, case when v % 10 <> 0 then v * 10 end, 0 from generate_series(1, 100) s(v)",
            "insert into c select v, v, v - 1 from generate_series(2, 90) s(v) where false",
            "insert into c values (1, 1, null)",
            "insert into c select v, v, v - 1 from generate_series(2, 90) s(v)",
        ],
    )
    .await;
    session
}

const ALL_OF_P: [&str; 2] = ["p_pkey", "p_w_key"];
const ALL_OF_C: [&str; 3] = ["c_id_key", "c_p_fkey", "c_up_fkey"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_no_key_leaves_all_verified() {
    let session = parents_and_children().await;
    for sql in [
        "update p set n = n + 1",
        "update p set n = c.id from c where c.p = p.id and c.id % 2 = 0",
        "merge into p using c on p.id = c.p when matched then update set n = p.n - 1",
        "update p set n = 7 where id = 3",
    ] {
        let output = session.sql(sql).await.unwrap();
        assert_eq!(output.notices, [""; 0], "{sql}");
        assert_eq!(verified(&session, "p").await, ALL_OF_P, "{sql}");
        assert_eq!(verified(&session, "c").await, ALL_OF_C, "{sql}");
    }
    // Keys that change are checked; foreign keys that refer to others stay.
    run(
        &session,
        &[
            "update p set w = w + 1",
            "update p set w = null where id = 5",
            "update p set w = 51 where id = 10",
            "update p set w = case id when 1 then 21 else 11 end where id in (1, 2)",
            "update c set p = 100 where id < 10",
            "update c set up = 50 where id between 10 and 20",
            "merge into p using (values (101, 5), (102, 6)) s (id, w) on p.id = s.id \
             when matched then update set n = 1 when not matched then insert (id, w) values (s.id, s.w)",
            "update c set p = 102, up = null where id = 1",
        ],
    )
    .await;
    assert_eq!(verified(&session, "p").await, ALL_OF_P);
    assert_eq!(verified(&session, "c").await, ALL_OF_C);
    // All is as the plans believe.
    for (table, constraint) in
        [("p", "p_pkey"), ("p", "p_w_key"), ("c", "c_id_key"), ("c", "c_p_fkey"), ("c", "c_up_fkey")]
    {
        run(&session, &[&format!("alter table {table} alter constraint {constraint} norely")]).await;
    }
    for (table, constraint) in
        [("p", "p_pkey"), ("p", "p_w_key"), ("c", "c_id_key"), ("c", "c_p_fkey"), ("c", "c_up_fkey")]
    {
        run(&session, &[&format!("alter table {table} verify constraint {constraint}")]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_a_key_changes_nothing() {
    let session = parents_and_children().await;
    let held = "select id, w from p";
    let of_children = "select p, up from c";
    let (before, children) = (rows(&session, held).await, rows(&session, of_children).await);
    for (sql, state, says) in [
        ("update p set w = 20 where id = 1", SqlState::UNIQUE_VIOLATION, "Key (w)=(20) already exists."),
        ("update p set w = 5 where id < 5", SqlState::UNIQUE_VIOLATION, "Key (w)=(5) is in 4 of the new rows."),
        ("update p set id = 4 where id = 3", SqlState::UNIQUE_VIOLATION, "Key (id)=(4) already exists."),
        ("update p set id = id / 2", SqlState::UNIQUE_VIOLATION, "is in 2 of the new rows."),
        ("update c set p = 1000 where id = 5", SqlState::FOREIGN_KEY_VIOLATION, "Key (p)=(1000) is not present"),
        ("update c set up = 91", SqlState::FOREIGN_KEY_VIOLATION, "Key (up)=(91) is not present in table \"c\"."),
        (
            "merge into p using (select 3 as id, 40 as w) s on p.id = s.id when matched then update set w = s.w",
            SqlState::UNIQUE_VIOLATION,
            "Key (w)=(40) already exists.",
        ),
        (
            "merge into p using (values (3, 1), (200, 7), (200, 8)) s (id, w) on p.id = s.id \
             when matched then update set n = 1 when not matched then insert values (s.id, s.w, 0)",
            SqlState::UNIQUE_VIOLATION,
            "Key (id)=(200) is in 2 of the new rows.",
        ),
        (
            "merge into p using (values (200, 10)) s (id, w) on p.id = s.id and p.n > 5 \
             when matched then delete when not matched then insert values (s.id, s.w, 0)",
            SqlState::UNIQUE_VIOLATION,
            "Key (w)=(10) already exists.",
        ),
        (
            "merge into p using (select id, w, n from p where id < 3 union all select 1, 77, 0) s on p.id = s.id \
             remove duplicates",
            SqlState::UNIQUE_VIOLATION,
            "Key (id)=(1) is in 2 of the new rows.",
        ),
        (
            "merge into c using (values (91, 1000)) s (id, p) on c.id = s.id when not matched then insert (id, p) values (s.id, s.p)",
            SqlState::FOREIGN_KEY_VIOLATION,
            "Key (p)=(1000) is not present in table \"p\".",
        ),
    ] {
        let e = error(&session, sql).await;
        assert_eq!(e.state(), state, "{sql}\n{e}");
        assert!(e.detail().unwrap_or_default().contains(says), "{sql}\n{e:?}");
        assert!(e.position().is_some(), "{sql}");
        assert_eq!(rows(&session, held).await, before, "{sql}");
        assert_eq!(rows(&session, of_children).await, children, "{sql}");
    }
    assert_eq!(verified(&session, "p").await, ALL_OF_P);
    assert_eq!(verified(&session, "c").await, ALL_OF_C);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_keys_fall_with_the_keys_that_go() {
    for (sql, left) in [
        // Others refer to what is assigned here, or goes.
        ("update p set id = id + 1000 where id > 95", vec!["c_id_key", "c_up_fkey"]),
        ("delete from p where id > 95", vec!["c_id_key", "c_up_fkey"]),
        (
            "merge into p using (values (99)) s (id) on p.id = s.id when matched then delete",
            vec!["c_id_key", "c_up_fkey"],
        ),
        (
            "merge into p using (select 99 as id, 5 as w, 5 as n) s on p.id = s.id remove duplicates",
            vec!["c_id_key", "c_up_fkey"],
        ),
        ("update c set id = 1000 where id = 90", vec!["c_id_key", "c_p_fkey"]),
        ("delete from c where id = 90", vec!["c_id_key", "c_p_fkey"]),
    ] {
        let session = parents_and_children().await;
        run(&session, &[sql]).await;
        assert_eq!(verified(&session, "p").await, ALL_OF_P, "{sql}");
        assert_eq!(verified(&session, "c").await, left, "{sql}");
    }
}

/// Statements at random, of which those that would break a key are refused, and no others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_kept_as_a_model_keeps_them() {
    let (mut refused, mut done) = (0, 0);
    for seed in seeds(1, 16) {
        let mut rng = Rng::new(seed);
        let session = warehouse(1 + rng.below(3) as u32, 2, Geometry::TINY).await.session();
        let dist = ["distkey(k)", "diststyle even", "diststyle all"][rng.below(3)];
        run(&session, &[&format!("create table t (k int unique verified, x int) {dist}")]).await;
        let mut model: BTreeMap<i32, i32> = (0..60).map(|k| (k * 3, k % 7)).collect();
        run(&session, &["insert into t select v * 3, v % 7 from generate_series(0, 59) s(v)"]).await;
        for _ in 0..20 {
            let (by, m, r) = (rng.below(12) as i32 - 4, 1 + rng.below(5) as i32, rng.below(5) as i32);
            let (sql, moved): (String, Box<dyn Fn(i32, i32) -> i32>) = match rng.below(4) {
                0 => (
                    format!("update t set k = k + {by} where x = {r}"),
                    Box::new(move |k, x| if x == r { k + by } else { k }),
                ),
                1 => (
                    format!("update t set k = k * 2 where k % {m} = {r}"),
                    Box::new(move |k, _| if k % m == r { k * 2 } else { k }),
                ),
                2 => (
                    format!(
                        "merge into t using (values ({r}, {by})) s (x, d) on t.x = s.x when matched then update set k = t.k + s.d"
                    ),
                    Box::new(move |k, x| if x == r { k + by } else { k }),
                ),
                _ => (format!("update t set x = x + {m} where k % 4 = {r}"), Box::new(|k, _| k)),
            };
            let values = |k: i32, x: i32| if sql.contains("set x") && k % 4 == r { x + m } else { x };
            let after: Vec<(i32, i32)> = model.iter().map(|(k, x)| (moved(*k, *x), values(*k, *x))).collect();
            let unique: BTreeMap<i32, i32> = after.iter().copied().collect();
            match session.sql(&sql).await {
                Ok(_) => {
                    assert_eq!(unique.len(), after.len(), "seed {seed}: {sql} of {model:?}");
                    model = unique;
                    done += 1;
                }
                Err(e) => {
                    assert_eq!(e.state(), SqlState::UNIQUE_VIOLATION, "{sql}: {e:?}");
                    assert!(unique.len() < after.len(), "seed {seed}: {sql} of {model:?}\n{e:?}");
                    refused += 1;
                }
            }
            let stored: Vec<_> = model.iter().map(|(k, x)| (Some(*k), Some(*x))).collect();
            assert_eq!(rows(&session, "select k, x from t").await, stored, "seed {seed}: {sql}");
            assert_eq!(verified(&session, "t").await, ["t_k_key"]);
        }
    }
    assert!(refused > 30 && done > 30, "{refused} refused, {done} done");
}

/// Sessions of two processes that insert and move the same keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_one_time_move_no_key_onto_another() {
    let objects = WarehouseStore::memory();
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let store = WarehouseStore::new(Arc::clone(objects.objects()));
        let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY).store(store);
        sessions.push(builder.open("memory://").await.unwrap().session());
    }
    sessions.push(sessions[0].warehouse().session());
    run(
        &sessions[0],
        &[
            "create table t (k int unique verified, x int)",
            "insert into t select v, 0 from generate_series(1, 10) s(v)",
        ],
    )
    .await;
    let mut tasks = Vec::new();
    for (by, session) in sessions.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            let mut rng = Rng::new(by as u64 + 1);
            let (mut inserted, mut refused) = (0, 0);
            for _ in 0..12 {
                let (from, to) = (1 + rng.below(20), 1 + rng.below(20));
                let sql = match (by + rng.below(2)) % 3 {
                    0 => format!("insert into t values ({to}, {by})"),
                    1 => format!("update t set k = {to} where k = {from}"),
                    _ => format!(
                        "merge into t using (values ({from}, {to})) s (a, b) on t.k = s.a \
                         when matched then update set k = s.b when not matched then insert values (s.a, {by})"
                    ),
                };
                match session.sql(&sql).await {
                    Ok(output) => inserted += output.changed.unwrap_or_default(),
                    Err(e) => {
                        assert_eq!(e.state(), SqlState::UNIQUE_VIOLATION, "{sql}: {e:?}");
                        refused += 1;
                    }
                }
            }
            (inserted, refused, session)
        }));
    }
    let (mut refused, mut last) = (0, None);
    for task in tasks {
        let (_, count, session) = task.await.unwrap();
        refused += count;
        last = Some(session);
    }
    let session = last.unwrap();
    assert!(refused > 0);
    assert_eq!(verified(&session, "t").await, ["t_k_key"]);
    run(&session, &["alter table t alter constraint t_k_key norely"]).await;
    run(&session, &["alter table t verify constraint t_k_key"]).await;
}
