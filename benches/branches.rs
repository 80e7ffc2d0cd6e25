//! What does a view over a table a day cost, against the one table that a query of a day needs?
//!
//! 100 tables of 10,000 rows each (or `BLUESHIFT_ROWS`), by a TIMESTAMP sort key, below a UNION ALL view. Prints the time of
//! an aggregate over a day by the view and by the day's own table, from text to rows; runs alternate, the ratio is that of
//! the medians. Then the same as prepared statements.
//!
//! Run with `cargo bench --bench branches`.

use blueshift::engine::Warehouse;

#[path = "common/timing.rs"]
mod timing;

use timing::{medians, run};

const DAYS: usize = 100;
const RUNS: usize = 51;

fn main() {
    let rows: u64 = std::env::var("BLUESHIFT_ROWS").ok().and_then(|s| s.parse().ok()).unwrap_or(10_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a directory");
        let warehouse = Warehouse::builder().slices(4).open(&folder.path().to_string_lossy()).await.expect("it opens");
        let session = warehouse.session();
        for day in 0..DAYS {
            let table = format!("create table d{day} (at timestamp not null sortkey, k int, v bigint)");
            run(&session, &table).await;
            let insert = format!(
                "insert into d{day} select dateadd(second, (v % 86400)::int, dateadd(day, {day}, timestamp '2026-01-01')), v % 100, v \
                 from generate_series(1, {rows}) s(v)"
            );
            run(&session, &insert).await;
        }
        let branches: Vec<String> = (0..DAYS).map(|day| format!("select * from d{day}")).collect();
        run(&session, &format!("create view days as {}", branches.join(" union all "))).await;
        let query = |of: &str| {
            format!("select k, sum(v) from {of} where at >= '2026-02-10' and at < '2026-02-11' group by k order by k limit 5")
        };
        let [view, table] = medians(RUNS, [(&session, &query("days")), (&session, &query("d40"))]).await;
        print("text", view, table);
        for of in ["days", "d40"] {
            run(&session, &format!("prepare p_{of} as {}", query(of))).await;
        }
        let [view, table] = medians(RUNS, [(&session, "execute p_days"), (&session, "execute p_d40")]).await;
        print("prepared", view, table);
    });
}

fn print(how: &str, view: f64, table: f64) {
    println!("{how}: view {:.2} ms, table {:.2} ms, ratio {:.2}", view * 1e3, table * 1e3, view / table);
}
