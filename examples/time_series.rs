//! Measurements kept in the order of their time: a query of one day reads the zones of that day.
//!
//! `cargo run --example time_series`

use blueshift::{Result, Warehouse};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::arrow::util::pretty::pretty_format_batches;

const DAYS: u64 = 60;
/// One measurement every ten seconds.
const PER_DAY: u64 = 8640;
/// 2026-01-01 00:00:00 UTC in seconds since 1970.
const START: u64 = 1_767_225_600;

#[tokio::main]
async fn main() -> Result<()> {
    let warehouse = Warehouse::builder().slices(4).open("memory://").await?;
    let session = warehouse.session();
    session
        .sql(
            "CREATE TABLE measurement (at TIMESTAMP SORTKEY, sensor INT, value DOUBLE PRECISION) \
             DISTSTYLE EVEN",
        )
        .await?;
    let loaded = session
        .sql(&format!(
            "INSERT INTO measurement
             SELECT to_timestamp_seconds({START} + v * 10), v * 7919 % 500, sin(v / 1000.0) * 20
             FROM generate_series(0, {}) AS s(v)",
            DAYS * PER_DAY - 1
        ))
        .await?;
    println!("{}: {DAYS} days of {PER_DAY} measurements\n", loaded.tag);

    let all = scan(&warehouse, "SELECT count(*) AS n, avg(value) AS mean FROM measurement").await?;
    let day = scan(
        &warehouse,
        "SELECT count(*) AS n, avg(value) AS mean FROM measurement
         WHERE at >= TIMESTAMP '2026-02-01' AND at < TIMESTAMP '2026-02-02'",
    )
    .await?;
    println!("{:12}{:>10}{:>10}{:>14}", "", "zones", "pruned", "bytes read");
    println!("{:12}{:>10}{:>10}{:>14}", "all days", all.zones, all.pruned, all.bytes_read);
    println!("{:12}{:>10}{:>10}{:>14}", "one day", day.zones, day.pruned, day.bytes_read);
    assert_eq!((all.pruned, day.zones), (0, all.zones));
    assert!(day.pruned * 10 > day.zones * 9, "more than nine tenths of the zones hold other days");
    assert!(day.bytes_read * 10 < all.bytes_read, "less than a tenth of the bytes are read");
    warehouse.close().await
}

/// What a query's scan did.
struct Scan {
    zones: u64,
    pruned: u64,
    bytes_read: u64,
}

/// Prints the query's answer, and tells what EXPLAIN ANALYZE counts of its scan.
async fn scan(warehouse: &Warehouse, sql: &str) -> Result<Scan> {
    let session = warehouse.session();
    println!("{sql}\n{}\n", pretty_format_batches(&session.sql(sql).await?.collect().await?)?);
    let before = warehouse.bytes_read();
    let plan = session.sql(&format!("EXPLAIN ANALYZE FORMAT INDENT {sql}")).await?.collect().await?;
    let bytes_read = warehouse.bytes_read() - before;
    let plan = array_value_to_string(plan[0].column(1), 0)?;
    let metric = |name: &str| {
        let start = plan.find(&format!(" {name}=")).map_or(plan.len(), |at| at + name.len() + 2);
        plan[start..].chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
    };
    Ok(Scan { zones: metric("zones"), pruned: metric("zones_pruned_static"), bytes_read })
}
