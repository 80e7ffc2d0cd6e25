//! MERGE against a model, what statements that change rows by a source read, and which rows they may find twice.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int32Type;

use super::util::*;
use crate::common::{ErrorKind, SqlState};
use crate::engine::Session;
use crate::format::Geometry;
use crate::testing::long::seeds;
use crate::testing::rng::Rng;

type Row = (Option<i32>, i32, i32);

async fn run(session: &Session, sql: &str) -> u64 {
    let output = session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e:?}"));
    output.changed.unwrap_or_default()
}

/// A table's rows, sorted.
async fn stored(session: &Session, table: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches(session, &format!("select k, x, v from {table}")).await {
        let column = |at: usize| batch.column(at).as_primitive::<Int32Type>().clone();
        let (k, x, v) = (column(0), column(1), column(2));
        rows.extend((0..batch.num_rows()).map(|i| (k.is_valid(i).then(|| k.value(i)), x.value(i), v.value(i))));
    }
    rows.sort();
    rows
}

fn values(rows: &[Row]) -> String {
    let row = |(k, x, v): &Row| format!("({}, {x}, {v})", k.map_or("null".to_string(), |k| k.to_string()));
    rows.iter().map(row).collect::<Vec<_>>().join(", ")
}

/// Of a row of the table and one of the source.
type Holds = Box<dyn Fn(&Row, &Row) -> bool>;
type Inserted = Box<dyn Fn(&Row) -> Row>;

/// A condition, and whether it holds of a row of the table and one of the source.
fn condition(rng: &mut Rng) -> (String, Holds) {
    let n = rng.below(12) as i32;
    let keys = |t: &Row, s: &Row| t.0.is_some() && t.0 == s.0;
    match rng.below(9) {
        0..=2 => ("t.k = s.k".to_string(), Box::new(keys)),
        3 => (format!("t.k = s.k and t.x < {n}"), Box::new(move |t, s| keys(t, s) && t.1 < n)),
        4 => (format!("s.k = t.k and s.v % 3 <> {}", n % 3), Box::new(move |t, s| keys(t, s) && s.2 % 3 != n % 3)),
        5 => ("t.k is not distinct from s.k".to_string(), Box::new(|t, s| t.0 == s.0)),
        6 => ("t.k = s.k and t.x = s.x".to_string(), Box::new(move |t, s| keys(t, s) && t.1 == s.1)),
        7 => ("t.v = s.v".to_string(), Box::new(|t, s| t.2 == s.2)),
        _ => (format!("t.v + {n} < s.v"), Box::new(move |t, s| t.2 + n < s.2)),
    }
}

type Made = Box<dyn Fn(&Row, &Row) -> Option<Row>>;

/// What happens to a row that is found: `None` where it goes.
fn matched(rng: &mut Rng) -> (&'static str, Made) {
    match rng.below(5) {
        0 => ("delete", Box::new(|_, _| None)),
        1 => ("update set x = t.x + s.x", Box::new(|t, s| Some((t.0, t.1 + s.1, t.2)))),
        2 => ("update set k = s.x, v = t.v + 100", Box::new(|t, s| Some((Some(s.1), t.1, t.2 + 100)))),
        3 => ("update set (k, x) = (null, t.v)", Box::new(|t, _| Some((None, t.2, t.2)))),
        _ => ("update set x = default", Box::new(|t, _| Some((t.0, 7, t.2)))),
    }
}

fn not_matched(rng: &mut Rng) -> (&'static str, Inserted) {
    match rng.below(3) {
        0 => ("insert values (s.k, s.x, s.v)", Box::new(|s| *s)),
        1 => ("insert (v, k) values (s.v + 1000, s.x)", Box::new(|s| (Some(s.1), 7, s.2 + 1000))),
        _ => ("insert (x, v) values (x + 1, v)", Box::new(|s| (None, s.1 + 1, s.2))),
    }
}

/// A statement, and the rows that it leaves and how many it tells of; `None` where it finds one twice.
fn change(rng: &mut Rng, rows: &[Row], source: &[Row]) -> (String, Option<(Vec<Row>, u64)>) {
    let (on, holds) = condition(rng);
    let finds = |t: &Row| source.iter().filter(|s| holds(t, s)).collect::<Vec<_>>();
    let mut left: Vec<Row> = rows.iter().filter(|t| finds(t).is_empty()).copied().collect();
    let dead = (rows.len() - left.len()) as u64;
    if rng.one_in(5) {
        let new: BTreeSet<&Row> = source.iter().collect();
        left.extend(new.iter().copied());
        return (format!("merge into t using s on {on} remove duplicates"), Some((left, new.len() as u64)));
    }
    let which = rng.below(4);
    let mut clauses = Vec::new();
    let (mut twice, mut count) = (false, 0);
    if which != 0 {
        let (text, made) = matched(rng);
        for t in rows {
            match finds(t)[..] {
                [] => {}
                [s] => left.extend(made(t, s)),
                _ => twice = true,
            }
        }
        count += dead;
        clauses.push(format!("when matched then {text}"));
    } else {
        left = rows.to_vec();
    }
    if which != 1 {
        let (text, made) = not_matched(rng);
        let new: Vec<Row> = source.iter().filter(|s| !rows.iter().any(|t| holds(t, s))).map(made).collect();
        count += new.len() as u64;
        left.extend(new);
        clauses.push(format!("when not matched then {text}"));
    }
    if rng.one_in(2) {
        clauses.reverse();
    }
    (format!("merge into t using s on {on} {}", clauses.join(" ")), (!twice).then_some((left, count)))
}

/// A source of few or many rows, most of them of keys that the table has.
fn source(rng: &mut Rng, next: &mut i32) -> Vec<Row> {
    let (n, keys) = (rng.below(30), [3, 40, 400][rng.below(3)]);
    let mut rows = Vec::new();
    for _ in 0..n {
        *next += 1;
        rows.push(((!rng.one_in(8)).then(|| rng.below(keys) as i32), rng.below(6) as i32, *next));
        if rng.one_in(8) {
            rows.extend(rows.last().copied());
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merges_do_what_they_do_to_a_model() {
    let (mut refused, mut done) = (0, 0);
    for seed in seeds(1, 40) {
        let mut rng = Rng::new(seed);
        let slices = 1 + rng.below(4) as u32;
        let session = warehouse(slices, 1 + rng.below(4), Geometry::TINY).await.session();
        let mut layout = || {
            let dist = ["distkey(k)", "distkey(x)", "diststyle even", "diststyle all", ""][rng.below(5)];
            let sort = ["", "sortkey(v)", "sortkey(k, v)", "interleaved sortkey(k, v)"][rng.below(4)];
            format!("{dist} {sort}")
        };
        let (of_table, of_source) = (layout(), layout());
        run(&session, &format!("create table t (k int, x int not null default 7, v int not null) {of_table}")).await;
        run(&session, &format!("create table s (k int, x int, v int) {of_source}")).await;
        if rng.one_in(2) {
            run(&session, "set datafusion.optimizer.hash_join_single_partition_threshold = 0").await;
            run(&session, "set datafusion.optimizer.hash_join_single_partition_threshold_rows = 0").await;
        }
        for setting in ["movement", "key_filters", "pruning"] {
            run(&session, &format!("set blueshift.{setting} = {}", !rng.one_in(4))).await;
        }
        let many = [20, 200][rng.below(2)];
        let mut rows: Vec<Row> = (0..many).map(|v| ((v % 7 != 0).then_some(v % 40), v % 5, v)).collect();
        run(&session, &format!("insert into t values {}", values(&rows))).await;
        let mut next = many;
        for _ in 0..8 {
            let given = source(&mut rng, &mut next);
            run(&session, "truncate s").await;
            if !given.is_empty() {
                run(&session, &format!("insert into s values {}", values(&given))).await;
            }
            let (sql, expected) = change(&mut rng, &rows, &given);
            let told = format!("seed {seed}, {of_table}, {of_source}: {sql}\nof {rows:?}\nby {given:?}");
            match expected {
                Some((left, count)) => {
                    let output = session.sql(&sql).await.unwrap_or_else(|e| panic!("{told}\n{e:?}"));
                    let tag = format!("MERGE {count}");
                    assert_eq!((output.changed, output.tag), (Some(count), tag), "{told}");
                    rows = left;
                    done += 1;
                }
                None => {
                    let e = session.sql(&sql).await.err().unwrap_or_else(|| panic!("{told}"));
                    assert_eq!((e.kind(), e.state()), (ErrorKind::Invalid, SqlState::CARDINALITY_VIOLATION), "{told}");
                    refused += 1;
                }
            }
            rows.sort();
            assert_eq!(stored(&session, "t").await, rows, "{told}");
        }
    }
    assert!(refused > 10 && done > 100, "{refused} refused, {done} done");
}

/// Rows of the table, of which a zone holds 64.
const ROWS: usize = 20_000;
const ZONES: u64 = ROWS as u64 / 64;

async fn prunes(of_table: &str, of_source: &str, keys: &str, on: &str, partitioned: bool) {
    let warehouse = warehouse(4, 4, Geometry::new(64, 1024).unwrap()).await;
    let session = warehouse.session();
    if partitioned {
        run(&session, "set datafusion.optimizer.hash_join_single_partition_threshold = 0").await;
        run(&session, "set datafusion.optimizer.hash_join_single_partition_threshold_rows = 0").await;
    }
    let t = format!("create table t (k bigint, x int, v varchar(20)) sortkey(k) {of_table}");
    let fill = format!("insert into t select v, v % 5, 'value ' || v from generate_series(1, {ROWS}) s(v)");
    run(&session, &format!("create table s (k bigint, x int, v varchar(20)) {of_source}")).await;
    run(&session, &format!("insert into s select k, x, 'new' from ({keys}) q(k, x)")).await;
    for (sql, rows) in [
        (format!("update t set v = s.v from s where {on}"), 8),
        (format!("delete from t using s where {on}"), 8),
        (format!("merge into t using s on {on} when matched then update set v = s.v"), 8),
        (
            format!(
                "merge into t using s on {on} when matched then update set v = s.v when not matched then insert (k) values (k)"
            ),
            10,
        ),
        (
            format!(
                "merge into t using s on {on} when matched then delete when not matched then insert (k) values (k)"
            ),
            10,
        ),
        (format!("merge into t using s on {on} when not matched then insert (k) values (k)"), 2),
        (format!("merge into t using s on {on} remove duplicates"), 10),
    ] {
        run(&session, "drop table if exists t").await;
        run(&session, &t).await;
        run(&session, &fill).await;
        let before = warehouse.zones_pruned();
        let told = format!("{of_table}, {of_source}, partitioned {partitioned}: {sql}");
        assert_eq!(run(&session, &sql).await, rows, "{told}");
        let pruned = warehouse.zones_pruned() - before;
        assert!(pruned + 40 >= ZONES, "{pruned} of {ZONES} zones pruned, {told}");
    }
}

/// The source's keys are known before the table is read, however rows are placed: eight of the table's beside two others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_source_does_not_name_is_not_read() {
    const SPREAD: &str =
        "select case when v < 9 then v * 1000 + 17 else v * 100000 end, 0 from generate_series(1, 10) s(v)";
    const CLOSE: &str = "select v + 4000, case when v < 9 then v % 5 else -1 end from generate_series(1, 10) s(v)";
    for (of_table, of_source, partitioned) in [
        ("distkey(k)", "distkey(k)", true),
        ("distkey(x)", "distkey(v)", true),
        ("distkey(v)", "distkey(k)", false),
        ("diststyle even", "diststyle all", false),
    ] {
        prunes(of_table, of_source, SPREAD, "t.k = s.k", partitioned).await;
        prunes(of_table, of_source, CLOSE, "t.k = s.k and t.x = s.x", !partitioned).await;
    }
}

/// Of what is no table the size is not known: it is built all the same, where the table is not small.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_of_unknown_size_tell_their_keys_too() {
    let warehouse = warehouse(4, 4, Geometry::new(64, 1024).unwrap()).await;
    let session = warehouse.session();
    run(&session, "create table t (k bigint, x int) sortkey(k) distkey(x)").await;
    run(&session, &format!("insert into t select v, v % 5 from generate_series(1, {ROWS}) s(v)")).await;
    run(&session, "set datafusion.optimizer.hash_join_single_partition_threshold = 0").await;
    run(&session, "set datafusion.optimizer.hash_join_single_partition_threshold_rows = 0").await;
    const SOURCE: &str = "(select distinct v * 1000 as k, v from generate_series(1, 8) g(v)) s";
    for sql in [
        format!("update t set x = s.v from {SOURCE} where t.k = s.k"),
        format!("merge into t using {SOURCE} on t.k = s.k when matched then update set x = s.v"),
        format!(
            "merge into t using {SOURCE} on t.k = s.k when matched then update set x = s.v when not matched then insert values (s.k, s.v)"
        ),
        format!("delete from t using {SOURCE} where t.k = s.k"),
    ] {
        let before = warehouse.zones_pruned();
        assert_eq!(run(&session, &sql).await, 8, "{sql}");
        let pruned = warehouse.zones_pruned() - before;
        assert!(pruned + 40 >= ZONES, "{pruned} of {ZONES} zones pruned: {sql}");
    }
}

#[tokio::test]
async fn an_update_may_say_which_value_it_takes() {
    let session = warehouse(2, 2, Geometry::TINY).await.session();
    run(&session, "create table t (k int, x int, v int)").await;
    run(&session, "insert into t values (1, 0, 0), (2, 0, 0), (3, 0, 0)").await;
    run(&session, "create table s (k int, x int)").await;
    run(&session, "insert into s values (1, 5), (2, 6), (2, 7)").await;
    let before = stored(&session, "t").await;
    run(&session, "set error_on_nondeterministic_update to on").await;
    for sql in ["update t set x = s.x from s where t.k = s.k", "update t as a set x = 1 from s where a.k = s.k"] {
        let e = error(&session, sql).await;
        assert_eq!(e.message(), "Found multiple matches to update the same tuple.");
        assert_eq!((e.kind(), e.state()), (ErrorKind::Invalid, SqlState::CARDINALITY_VIOLATION));
        assert_eq!(stored(&session, "t").await, before);
    }
    for (sql, rows) in [
        ("update t set x = s.x from (select k, max(x) as x from s group by k) s where t.k = s.k", 2),
        ("update t set x = (select max(x) from s where s.k = t.k) where k in (select k from s)", 2),
        // It finds rows twice, and gives them no values.
        ("delete from t using s where t.k = s.k and t.k > 2", 0),
    ] {
        assert_eq!(run(&session, sql).await, rows, "{sql}");
    }
    assert_eq!(stored(&session, "t").await, [(Some(1), 5, 0), (Some(2), 7, 0), (Some(3), 0, 0)]);
    run(&session, "reset error_on_nondeterministic_update").await;
    assert_eq!(run(&session, "update t set x = s.x from s where t.k = s.k").await, 2);
}

#[tokio::test]
async fn prepared_merges_take_parameters() {
    let session = warehouse(2, 2, Geometry::TINY).await.session();
    run(&session, "create table t (k int, x int not null, v int not null) distkey(k)").await;
    let merge = "merge into t using (select $1::int as k, $2::int as x) s on t.k = s.k \
                 when matched then update set x = t.x + s.x, v = t.v + 1 when not matched then insert values (s.k, s.x, $3)";
    let merge = session.prepare(merge).await.unwrap();
    assert_eq!(merge.parameters().len(), 3);
    for (k, x) in [(1, 10), (2, 20), (1, 5), (1, 7)] {
        let done = merge.execute(vec![k.into(), x.into(), 100.into()]).await.unwrap();
        assert_eq!((done.tag.as_str(), done.changed), ("MERGE 1", Some(1)));
    }
    assert_eq!(stored(&session, "t").await, [(Some(1), 22, 102), (Some(2), 20, 100)]);
    let e = session.prepare("merge into t using s on t.k = s.k when matched then delete").await.unwrap_err();
    assert_eq!(e.state(), SqlState::UNDEFINED_TABLE, "{e}");
}

/// No merge is lost, and each happens once, however often it had to be tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_merge_at_one_time_lose_nothing() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    run(&session, "create table t (k int, x int, v int) distkey(k)").await;
    run(&session, "insert into t select v, 0, 0 from generate_series(1, 20) s(v)").await;
    let merging = (0..3).map(|_| {
        let session = warehouse.session();
        tokio::spawn(async move {
            for _ in 0..6 {
                let merge = "merge into t using (values (5), (6)) as s (k) on t.k = s.k \
                             when matched then update set x = t.x + 1 when not matched then insert values (s.k, 99, 0)";
                assert_eq!(run(&session, merge).await, 2);
            }
        })
    });
    for task in merging.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let rows = stored(&session, "t").await;
    assert_eq!(rows.len(), 20);
    assert!(rows.contains(&(Some(5), 18, 0)) && rows.contains(&(Some(6), 18, 0)), "{rows:?}");
}
