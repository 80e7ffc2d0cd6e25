//! How long does planning take, against plain DataFusion?
//!
//! The 22 queries of TPC-H, over tables of scale 0.05 (or `BLUESHIFT_SCALE`): from the text to the plan that would run, in a
//! session, after ANALYZE, and in plain DataFusion over the same rows in memory. Prints the ratio of the medians for each
//! query, and the largest.
//!
//! Run with `cargo bench --bench planning`.

use std::sync::Arc;
use std::time::Instant;

use blueshift::engine::{Warehouse, tpch};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};

#[path = "common/tpch.rs"]
mod tpch_rows;

const RUNS: usize = 21;

#[tokio::main]
async fn main() {
    let scale: f64 = std::env::var("BLUESHIFT_SCALE").ok().and_then(|s| s.parse().ok()).unwrap_or(0.05);
    let warehouse = Warehouse::builder().slices(4).open("memory://").await.expect("it opens");
    let session = warehouse.session();
    for table in tpch::tables() {
        tpch_rows::load(&session, &table, scale).await;
    }
    session.sql("analyze").await.expect("analyze");
    let mut config = SessionConfig::new().with_target_partitions(4);
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    let plain = SessionContext::new_with_config(config);
    for table in tpch::tables() {
        let sql = format!("select * from {}", table.name);
        let batches = session.sql(&sql).await.expect("rows").collect().await.expect("rows");
        let rows = MemTable::try_new(batches[0].schema(), vec![batches]).expect("a table");
        plain.register_table(table.name, Arc::new(rows)).expect("a table");
    }
    let mut slowest = (0.0, 0);
    for query in tpch::QUERIES {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for run in 0..=RUNS {
            let start = Instant::now();
            // Nothing is read before the rows are asked for.
            drop(session.sql(query.sql).await.expect("a plan"));
            let between = Instant::now();
            let plan = plain.sql(query.sql).await.expect("a plan").create_physical_plan().await;
            drop(plan.expect("a plan"));
            if run > 0 {
                ours.push((between - start).as_secs_f64());
                theirs.push(between.elapsed().as_secs_f64());
            }
        }
        let [ours, theirs] = [ours, theirs].map(|mut seconds| {
            seconds.sort_by(f64::total_cmp);
            seconds[seconds.len() / 2]
        });
        println!("Q{:<2} {:6.2} ms, {:6.2} ms, {:.2}", query.number, ours * 1e3, theirs * 1e3, ours / theirs);
        if ours / theirs > slowest.0 {
            slowest = (ours / theirs, query.number);
        }
    }
    println!("slowest against plain DataFusion: Q{}, {:.2}", slowest.1, slowest.0);
}
