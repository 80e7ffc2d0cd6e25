//! DELETE by a range: segments that it takes as a whole are gone without being read.

use std::sync::Arc;

use super::past::{NEW_YEAR, one, quiet, run};
use super::util::*;
use crate::common::ErrorKind;
use crate::testing::TestClock;
use crate::testing::long::seeds;
use crate::testing::rng::Rng;

#[tokio::test]
async fn what_a_range_covers_is_not_read() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).slices(1).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&session, "create table t (day date not null, k int, v varchar(64)) sortkey(day)").await;
    let text = "md5(cast(i as varchar)) || md5(cast(i + 1 as varchar))";
    for month in 1..=4 {
        let rows = format!(
            "select date '2026-0{month}-01' + cast(i % 28 as int), i, {text} from generate_series(1, 1500) s(i)"
        );
        run(&session, &format!("insert into t {rows}")).await;
    }
    run(&session, "delete from t where k = 7 and day < date '2026-03-01'").await;
    let segments = state(&warehouse, "t").await.1.segments.len();
    let before = warehouse.bytes_read();
    let done = session.sql("delete from t where day < date '2026-03-01'").await.unwrap();
    assert_eq!(done.changed, Some(2998), "rows that were dead are not counted again");
    assert_eq!(warehouse.bytes_read(), before, "nothing is read");
    let left = state(&warehouse, "t").await.1;
    assert!(left.segments.len() < segments && left.segments.iter().all(|s| s.deleted.is_none()));
    assert_eq!(one(&session, "select count(*) from t").await, 3000);
    // What is covered in part is read, and has a delete vector.
    let done = session.sql("delete from t where day between '2026-01-01' and '2026-04-05'").await.unwrap();
    let count = done.changed.unwrap() as i64;
    assert!(warehouse.bytes_read() > before && count > 1500 && count < 3000);
    assert_eq!(one(&session, "select count(*) from t").await, 3000 - count);
    // All of it, with a condition that is none, and a parameter.
    run(&session, "prepare p as delete from t where day >= $1").await;
    run(&session, "insert into t values ('2027-01-01', 1, 'x')").await;
    assert_eq!(session.sql("execute p (date '2027-01-01')").await.unwrap().changed, Some(1));
    let read = warehouse.bytes_read();
    assert_eq!(session.sql("delete from t where true").await.unwrap().changed, Some(3000 - count as u64));
    assert_eq!(warehouse.bytes_read(), read);
    assert_eq!(one(&session, "select count(*) from t").await, 0);
}

#[tokio::test]
async fn a_serializable_delete_of_segments_is_a_read() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let (one_, two) = (warehouse.session(), warehouse.session());
    run(&one_, "create table t (k int)").await;
    run(&one_, "create table u (k int)").await;
    run(&one_, "insert into t values (1), (2)").await;
    for isolation in ["serializable", "snapshot"] {
        run(&one_, if isolation == "serializable" { "begin isolation level serializable" } else { "begin" }).await;
        run(&one_, "delete from t where k < 100").await;
        run(&two, "insert into t values (50)").await;
        let committed = one_.sql("commit").await.map(drop);
        match isolation {
            "serializable" => assert_eq!(committed.unwrap_err().kind(), ErrorKind::Conflict),
            _ => committed.unwrap(),
        }
    }
    // Rows that another has deleted meanwhile are a conflict, as where they are read.
    run(&one_, "truncate t").await;
    run(&one_, "insert into t values (1), (2), (3)").await;
    run(&one_, "begin").await;
    run(&one_, "delete from t where k < 100").await;
    run(&two, "delete from t where k = 2").await;
    assert_eq!(one_.sql("commit").await.map(drop).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(one(&two, "select count(*) from t").await, 2);
}

/// Beside a session that reads every row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_rows_go_as_where_each_is_read() {
    let mut unread = 0;
    for seed in seeds(1, 16) {
        let mut rng = Rng::new(seed);
        let clock = Arc::new(TestClock::at(NEW_YEAR));
        let warehouse = quiet(&clock).slices(1 + rng.below(3) as u32).open("memory://").await.unwrap();
        let (session, plain) = (warehouse.session(), warehouse.session());
        run(&plain, "set blueshift.pruning = false").await;
        let layout =
            ["sortkey(a)", "sortkey(d, a)", "interleaved sortkey(a, b)", "distkey(a)", "diststyle all"][rng.below(5)];
        for table in ["t", "m"] {
            run(&session, &format!("create table {table} (a int, b int, d date, f double precision, s varchar(8), c char(4), n decimal(10, 2), o boolean) {layout}")).await;
        }
        for step in 0..12 {
            if step % 3 == 0 {
                // Runs of values, so that bounds are narrow; of some columns all NULL, of others here and there.
                let base = rng.below(40);
                let null = |rng: &mut Rng, of: &str| match rng.below(5) {
                    0 => "null".to_string(),
                    1 => format!("nullif({of}, {of})"),
                    2 => format!("case when i % 7 = 0 then null else {of} end"),
                    _ => of.to_string(),
                };
                let (a, b) = (null(&mut rng, &format!("i / 8 + {base}")), null(&mut rng, "i % 3"));
                let d = null(&mut rng, &format!("date '2026-01-01' + cast(i / 10 + {base} as int)"));
                let f = null(
                    &mut rng,
                    "case i % 50 when 0 then 'nan'::float8 when 1 then -0.0::float8 when 2 then 0.0::float8 else i / 4.0 end",
                );
                let s = null(&mut rng, &format!("'s' || cast(i / 10 + {base} as varchar)"));
                let c = null(&mut rng, "'c' || cast(i / 20 as varchar)");
                let n = null(&mut rng, &format!("(i + {base}) / 4.0"));
                let o = null(&mut rng, "i < 20");
                let count = 20 + rng.below(120);
                let rows = format!(
                    "select cast({a} as int), cast({b} as int), {d}, {f}, {s}, {c}, {n}, {o} from generate_series(1, {count}) s(i)"
                );
                for table in ["t", "m"] {
                    run(&session, &format!("insert into {table} {rows}")).await;
                }
                if rng.one_in(3) {
                    run(&session, "delete from t where b = 1").await;
                    run(&session, "delete from m where b = 1").await;
                }
            }
            let comparison = ["<", "<=", ">", ">=", "=", "<>"];
            let one = |rng: &mut Rng| {
                let op = comparison[rng.below(6)];
                let (x, y) = (rng.below(60), rng.below(60));
                match rng.below(13) {
                    0 | 1 => format!("a {op} {x}"),
                    2 => format!("a between {} and {}", x.min(y), x.max(y) + 10),
                    3 => format!("d {op} date '2026-01-01' + {x}"),
                    4 => format!("d >= '2026-01-05' and d < '2026-03-{:02}'", 1 + y % 28),
                    5 => format!("f {op} {x}"),
                    6 => format!("s {op} 's{x}'"),
                    7 => format!("c {op} 'c{}'", x % 6),
                    8 => format!("n {op} {x}.25"),
                    9 => {
                        ["o", "not o", "o is true", "o = false", "b is not null", "a is null"][rng.below(6)].to_string()
                    }
                    10 => format!("b in (0, 1, 2, {x})"),
                    11 => format!("b not in ({x}, 77)"),
                    _ => format!("{x} {op} a"),
                }
            };
            let mut condition = one(&mut rng);
            for _ in 0..rng.below(3) {
                condition = format!("{condition} {} {}", ["and", "and", "or"][rng.below(3)], one(&mut rng));
            }
            let before = state(&warehouse, "t").await.1;
            let done = session.sql(&format!("delete from t where {condition}")).await.unwrap();
            let model = plain.sql(&format!("delete from m where {condition}")).await.unwrap();
            assert_eq!(done.changed, model.changed, "seed {seed}: {condition}");
            let (t, m) = (ours(&plain, "select * from t").await, ours(&plain, "select * from m").await);
            assert_eq!(t, m, "seed {seed}: {condition}");
            let after = state(&warehouse, "t").await.1;
            unread += usize::from(after.segments.len() < before.segments.len() && !after.segments.is_empty());
        }
    }
    assert!(unread > 10, "{unread} deletions took some segments and left others");
}
