//! What do joins and groupings gain where rows are already where they meet, and what does moving them cost?
//!
//! Orders of four lines each, 3 million (or `BLUESHIFT_ROWS`) of them, by and in the order of their key, and the same rows
//! spread evenly. Prints ratios of the medians of runs that alternate:
//!
//! - hash join and merge join of rows in place against the same of rows of which both sides are redistributed;
//! - grouping in place and in order against the same of rows that are spread evenly;
//! - redistributing rows of which one key has 30 % against the same number of rows of as many keys alike;
//! - a join that moves both sides by our exchanges, counting nothing but what arrives, against DataFusion's own.
//!
//! Run with `cargo bench --bench movement`.

use blueshift::engine::{Session, Warehouse};

#[path = "common/timing.rs"]
mod timing;

use timing::{medians, run};

const RUNS: usize = 9;

#[tokio::main]
async fn main() {
    let rows: u64 = std::env::var("BLUESHIFT_ROWS").ok().and_then(|s| s.parse().ok()).unwrap_or(3_000_000);
    let folder = tempfile::tempdir().expect("a directory");
    let warehouse = Warehouse::builder().slices(4).open(&folder.path().to_string_lossy()).await.expect("it opens");
    let session = session(&warehouse, &[]).await;
    for (name, layout) in [("placed", "distkey (k) sortkey (k)"), ("spread", "diststyle even")] {
        run(&session, &format!("create table orders_{name} (k bigint not null, price decimal(15, 2)) {layout}")).await;
        run(&session, &format!("create table lines_{name} (k bigint not null, price decimal(15, 2)) {layout}")).await;
        let orders = format!("insert into orders_{name} select v, v % 1000 from generate_series(1, {rows}) s(v)");
        run(&session, &orders).await;
        let lines =
            format!("insert into lines_{name} select v / 4, v % 1000 from generate_series(4, {}) s(v)", 4 * rows + 3);
        run(&session, &lines).await;
    }
    for (name, key) in [("skewed", "case when v % 10 < 3 then 7 else v end"), ("uniform", "v")] {
        run(&session, &format!("create table {name} (k bigint not null, price decimal(15, 2)) diststyle even")).await;
        run(&session, &format!("insert into {name} select {key}, v % 1000 from generate_series(1, {rows}) s(v)")).await;
    }
    run(&session, "analyze").await;

    let merging = self::session(&warehouse, &["datafusion.optimizer.prefer_hash_join = false"]).await;
    let join = |of: &str| {
        format!("select count(*), sum(o.price), sum(l.price) from orders_{of} o join lines_{of} l on o.k = l.k")
    };
    let hashing = self::session(&warehouse, &["blueshift.merge_joins = false"]).await;
    for (what, session) in [("hash join", &hashing), ("merge join", &merging)] {
        told(session, &join("placed")).await;
        told(session, &join("spread")).await;
        compare(&format!("{what} in place against redistributed"), session, &join("placed"), &join("spread")).await;
    }
    // Of which the rows need no sorting first.
    compare("merge join in place against hash join redistributed", &session, &join("placed"), &join("spread")).await;
    let [merge, hash] = medians(RUNS, [(&merging, &join("placed")), (&hashing, &join("placed"))]).await;
    println!("merge join against hash join, both in place: {:.2}", merge / hash);

    let group =
        |of: &str| format!("select count(*), sum(s) from (select k, sum(price) as s from lines_{of} group by k) g");
    told(&session, &group("placed")).await;
    compare("grouping in place and in order against spread evenly", &session, &group("placed"), &group("spread")).await;

    let moved = |of: &str| format!("select count(*), sum(a.price) from {of} a join orders_spread b on a.k = b.k");
    compare("redistribution with one key of 30 % against uniform", &session, &moved("skewed"), &moved("uniform")).await;

    let theirs = self::session(&warehouse, &["blueshift.movement = false"]).await;
    let [ours, plain] = medians(RUNS, [(&session, &join("spread")), (&theirs, &join("spread"))]).await;
    println!("our exchanges against DataFusion's, both sides redistributed: {:.3}", ours / plain);
}

/// A session that sends no side to all.
async fn session(warehouse: &Warehouse, settings: &[&str]) -> Session {
    let session = warehouse.session();
    let thresholds = ["hash_join_single_partition_threshold", "hash_join_single_partition_threshold_rows"];
    for threshold in thresholds {
        run(&session, &format!("set datafusion.optimizer.{threshold} = 0")).await;
    }
    for setting in settings {
        run(&session, &format!("set {setting}")).await;
    }
    session
}

async fn compare(what: &str, session: &Session, one: &str, other: &str) {
    let [one, other] = medians(RUNS, [(session, one), (session, other)]).await;
    println!("{what}: {:.2} ({:.0} ms, {:.0} ms)", one / other, one * 1e3, other * 1e3);
}

/// Prints the operators that a statement runs with.
async fn told(session: &Session, sql: &str) {
    let output = session.sql(sql).await.expect(sql);
    let plan =
        datafusion::physical_plan::displayable(output.plan().expect("a query").as_ref()).indent(false).to_string();
    let names: Vec<&str> = plan.lines().filter_map(|line| line.trim().split([':', ' ']).next()).collect();
    println!("    {}", names.join(" < "));
}
