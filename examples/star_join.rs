//! A star schema whose fact table and large dimension share a distribution key: they join without moving rows.
//!
//! `cargo run --example star_join`

use blueshift::{Result, Session, Warehouse};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::arrow::util::pretty::pretty_format_batches;

const SETUP: [&str; 8] = [
    // The fact table and the dimension `customer` are placed by the same column.
    "CREATE TABLE sales (customer_id BIGINT DISTKEY, store_id INT, day DATE SORTKEY, amount DECIMAL(12,2))",
    "CREATE TABLE customer (customer_id BIGINT DISTKEY SORTKEY, segment VARCHAR(10))",
    // The same dimension, spread without regard to its key: for comparison.
    "CREATE TABLE customer_even (customer_id BIGINT, segment VARCHAR(10)) DISTSTYLE EVEN",
    // The small dimension can be read from every slice.
    "CREATE TABLE store (store_id INT, city VARCHAR(20)) DISTSTYLE ALL",
    "INSERT INTO sales SELECT v * 7919 % 150000, v % 5, DATE '2026-01-01' + CAST(v % 365 AS INT), v % 100
     FROM generate_series(1, 300000) AS s(v)",
    "INSERT INTO customer SELECT v, CASE WHEN v % 4 = 0 THEN 'business' ELSE 'private' END
     FROM generate_series(0, 149999) AS s(v)",
    "INSERT INTO customer_even SELECT * FROM customer",
    "INSERT INTO store SELECT v, 'city ' || v FROM generate_series(0, 4) AS s(v)",
];

#[tokio::main]
async fn main() -> Result<()> {
    let warehouse = Warehouse::builder().slices(4).threads(4).open("memory://").await?;
    let session = warehouse.session();
    for statement in SETUP {
        session.sql(statement).await?;
    }

    // Rows of one customer stand on one slice in both tables: the join and the grouping by its key stay within slices.
    let plan = analyze(
        &session,
        "SELECT s.customer_id, c.segment, sum(s.amount) FROM sales s JOIN customer c ON s.customer_id = c.customer_id
         GROUP BY s.customer_id, c.segment",
    )
    .await?;
    println!("Fact and dimension on one distribution key: nothing is redistributed\n{plan}\n");
    assert_eq!(plan.matches("Exchange:").count(), 0);
    assert!(plan.contains("HashJoinExec: mode=Partitioned"));

    let plan = analyze(
        &session,
        "SELECT s.customer_id, c.segment, sum(s.amount)
         FROM sales s JOIN customer_even c ON s.customer_id = c.customer_id GROUP BY s.customer_id, c.segment",
    )
    .await?;
    println!("The dimension spread EVEN: its side is redistributed to where the fact table's rows are\n{plan}\n");
    assert_eq!(plan.matches("Exchange:").count(), 1);

    // A small build side is gathered (CoalescePartitionsExec) and given to every partition: the fact table's rows stay
    // where they are. Only the groups, by other columns than the key, are redistributed: at most ten from each slice.
    let star = "SELECT c.segment, t.city, sum(s.amount) AS amount
                FROM sales s JOIN customer c ON s.customer_id = c.customer_id JOIN store t ON s.store_id = t.store_id
                GROUP BY c.segment, t.city ORDER BY c.segment, t.city";
    let plan = analyze(&session, star).await?;
    println!("The star: with a dimension of DISTSTYLE ALL\n{plan}\n");
    assert_eq!(plan.matches("Exchange:").count(), 1);
    assert!(plan.contains("Exchange: partitioning=Hash([segment@0, city@1]"));
    let rows = session.sql(star).await?.collect().await?;
    println!("{}", pretty_format_batches(&rows)?);
    warehouse.close().await
}

/// What EXPLAIN ANALYZE says: operators, and of the metrics only the rows that each gave. Scans' filters, which the
/// joins push down while running, are left out.
async fn analyze(session: &Session, sql: &str) -> Result<String> {
    let batches = session.sql(&format!("EXPLAIN ANALYZE FORMAT INDENT {sql}")).await?.collect().await?;
    let text = array_value_to_string(batches[0].column(1), 0)?;
    let lines = text.lines().map(|line| {
        let (operator, metrics) = line.split_once(", metrics=[").unwrap_or((line, ""));
        let rows = metrics.split(", ").find(|m| m.starts_with("output_rows="));
        let operator = operator.split(", filters=[").next().unwrap_or(operator);
        format!("  {operator}{}", rows.map(|r| format!(", {}", r.trim_end_matches(']'))).unwrap_or_default())
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
