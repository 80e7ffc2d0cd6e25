//! How much does a point lookup on the sort key read?
//!
//! 60 M rows (or `BLUESHIFT_ROWS`) by a BIGINT sort key, distributed EVEN over 4 slices, loaded in one run. Prints zones
//! read per slice and run, bytes read, and the time against a full scan of the same column.
//!
//! Run with `cargo bench --bench lookup`.

use std::sync::Arc;
use std::time::Instant;

use blueshift::engine::{Session, Warehouse};
use datafusion::physical_plan::ExecutionPlan;

fn main() {
    let rows: u64 = std::env::var("BLUESHIFT_ROWS").ok().and_then(|s| s.parse().ok()).unwrap_or(60_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a directory");
        let warehouse = Warehouse::builder().slices(4).open(&folder.path().to_string_lossy()).await.expect("it opens");
        let session = warehouse.session();
        let start = Instant::now();
        run(&session, "create table t (k bigint sortkey, v bigint) diststyle even").await;
        run(&session, &format!("insert into t select v * 7919 % {rows}, v from generate_series(1, {rows}) s(v)")).await;
        println!("{rows} rows loaded in {:.1} s", start.elapsed().as_secs_f64());
        let lookup = format!("select count(*), sum(v) from t where k = {}", rows / 3);
        let (zones, pruned) = zones(&session, &lookup).await;
        println!("zones {zones}, pruned {pruned}: {:.2} read per slice and run", (zones - pruned) as f64 / 4.0);
        let point = time(&session, &lookup).await;
        let full = time(&session, "select count(*), sum(v) from t where k >= 0").await;
        println!("point lookup {:.2} ms, full scan {:.2} ms: ratio {:.4}", point * 1e3, full * 1e3, point / full);
    });
}

async fn run(session: &Session, sql: &str) {
    session.sql(sql).await.expect(sql).collect().await.expect(sql);
}

/// Median of several runs, in seconds.
async fn time(session: &Session, sql: &str) -> f64 {
    let mut seconds = Vec::new();
    for _ in 0..7 {
        let start = Instant::now();
        run(session, sql).await;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// The zones of the table and those pruned, as the query's scan counts them.
async fn zones(session: &Session, sql: &str) -> (usize, usize) {
    let output = session.sql(sql).await.expect(sql);
    let plan = Arc::clone(output.plan().expect("a query"));
    output.collect().await.expect(sql);
    (total(&plan, "zones"), total(&plan, "zones_pruned_static"))
}

/// A counter over the whole plan.
fn total(plan: &Arc<dyn ExecutionPlan>, counter: &str) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.sum_by_name(counter)).map_or(0, |value| value.as_usize());
    own + plan.children().into_iter().map(|child| total(child, counter)).sum::<usize>()
}
