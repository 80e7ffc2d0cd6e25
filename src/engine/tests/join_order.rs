//! Orders of joins: what the chosen one costs by the rows that there really are, against the best one.

use std::collections::HashMap;

use datafusion::dataframe::DataFrame;

use super::util::*;
use crate::engine::Session;
use crate::format::Geometry;
use crate::optimizer::join_order::probe;
use crate::testing::long::seeds;
use crate::testing::rng::Rng;

/// What share of the queries may be planned at more than [`NEAR`] times the least cost.
const FAR: f64 = 0.1;
const NEAR: f64 = 1.2;

/// Tables `t0` to `t6` of 5 to some 3,000 rows: a key, two references to other tables' keys, one of them skewed, and two
/// columns for filters, one of them correlated with a reference.
async fn tables(session: &Session, rng: &mut Rng) -> Vec<usize> {
    let mut rows: Vec<usize> = Vec::new();
    for t in 0..7 {
        let n = [5, 25, 100, 400, 1000, 2000, 3000][rng.below(7)] + rng.below(20);
        let dist = ["diststyle even", "diststyle all", "distkey(k)", "distkey(r)"][rng.below(4)];
        session.sql(&format!("create table t{t} (k int, r int, s int, v int, w int) {dist} sortkey(k)")).await.unwrap();
        let (of_r, of_s) = (rng.below(n.max(50)) + 5, rng.below(300) + 5);
        let (factor, shift) = (rng.below(97) * 2 + 1, rng.below(1000));
        session
            .sql(&format!(
                "insert into t{t} select v, (v * {factor} + {shift}) % {of_r}, (v % 7) * (v % 11) * (v % 13) % {of_s}, \
                 v * {factor} % 100, (v * {factor} + {shift}) % {of_r} / 3 from generate_series(1, {n}) s(v)"
            ))
            .await
            .unwrap();
        rows.push(n);
    }
    session.sql("analyze").await.unwrap();
    rows
}

/// A query over some of the tables: a tree of equalities, at times a further one, semi joins, and filters.
fn query(rng: &mut Rng) -> String {
    let n = 3 + rng.below(5);
    let column = |rng: &mut Rng| ["k", "k", "r", "s"][rng.below(4)];
    let (mut from, mut conditions) = ("t0".to_string(), Vec::new());
    let mut visible = vec![0];
    for t in 1..n {
        let of = visible[rng.below(visible.len())];
        let on = format!("t{of}.{} = t{t}.{}", column(rng), column(rng));
        if rng.one_in(6) {
            let filter = if rng.one_in(2) { format!(" and t{t}.v < {}", rng.below(60)) } else { String::new() };
            let word = if rng.one_in(3) { "not exists" } else { "exists" };
            conditions.push(format!("{word} (select 1 from t{t} where {on}{filter})"));
            continue;
        }
        visible.push(t);
        from.push_str(&format!(", t{t}"));
        conditions.push(on);
        match rng.below(6) {
            0 => conditions.push(format!("t{t}.v < {}", rng.below(100))),
            1 => conditions.push(format!("t{t}.w between {0} and {0} + 20", rng.below(30))),
            2 => conditions.push(format!("t{t}.v = {}", rng.below(100))),
            3 if rng.one_in(3) => conditions.push(format!("t{of}.{} = t{t}.{}", column(rng), column(rng))),
            _ => {}
        }
    }
    format!("select count(*) from {from} where {}", conditions.join(" and "))
}

/// Runs on one thread: choices are told by thread.
#[tokio::test]
async fn chosen_orders_cost_little_more_than_the_best() {
    let mut ratios = Vec::new();
    for seed in seeds(1, 12) {
        let mut rng = Rng::new(seed);
        let warehouse = warehouse(4, 1, Geometry::new(64, 1024).unwrap()).await;
        let session = warehouse.session();
        tables(&session, &mut rng).await;
        for _ in 0..10 {
            let sql = query(&mut rng);
            probe::taken();
            let with = ours(&session, &sql).await;
            let Some(probe) = probe::taken().into_iter().next() else { continue };
            let explained = ours(&session, &format!("explain {sql}")).await;
            session.sql("set blueshift.join_order = false").await.unwrap();
            assert_eq!(ours(&session, &sql).await, with, "seed {seed}: {sql}\n{}", explained.join("\n"));
            session.sql("set blueshift.join_order = true").await.unwrap();
            let mut rows = HashMap::new();
            let most = 3_000_000.0;
            for (set, plan) in probe.subsets().unwrap() {
                let count = DataFrame::new(session.context().state(), plan).count().await.unwrap() as f64;
                rows.insert(set, count);
                if count > most {
                    break;
                }
            }
            if rows.values().any(|count| *count > most) {
                continue;
            }
            if let Some(ratio) = probe.ratio(&rows) {
                ratios.push((ratio, format!("{sql}\n{}", probe.told(&rows))));
            }
        }
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let far = ratios.iter().filter(|(ratio, _)| *ratio > NEAR).count();
    let at = |share: f64| ratios[((ratios.len() - 1) as f64 * share) as usize].0;
    println!(
        "{} queries: median {:.2}, 90 % {:.2}, 95 % {:.2}, most {:.2}",
        ratios.len(),
        at(0.5),
        at(0.9),
        at(0.95),
        at(1.0)
    );
    for (ratio, sql) in ratios.iter().rev().take(8) {
        println!("{ratio:.2} {sql}");
    }
    assert!(ratios.len() >= 60, "only {} queries", ratios.len());
    assert!(far as f64 <= FAR * ratios.len() as f64, "{far} of {} cost more than {NEAR} times the best", ratios.len());
}
