//! A warehouse in a bucket, which loads from another and unloads to it.
//!
//! `cargo run --example s3`
//!
//! The buckets are those of a server that this program starts itself: nothing leaves the machine. With a real store, leave
//! the options out and set AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile by AWS_PROFILE.

use std::time::Duration;

use blueshift::{Result, Session, StoreOptions, Warehouse};
use datafusion::arrow::util::pretty::pretty_format_batches;

/// The server of this crate's own tests.
#[path = "../src/testing"]
#[allow(dead_code, reason = "tests ask more of it")]
mod testing {
    pub mod faulty_server;
    pub mod s3_server;
}
use testing::faulty_server::Faults;
use testing::s3_server::{KEYS, S3Server};

#[tokio::main]
async fn main() -> Result<()> {
    let server = S3Server::start(&["warehouses", "files"]).await;
    // What a settings file of the application may hold; by default the environment's variables of the same names.
    let options = StoreOptions::new()
        .with("AWS_ENDPOINT", &server.endpoint)
        .with("AWS_REGION", "us-east-1")
        .with("AWS_ACCESS_KEY_ID", KEYS[0].0)
        .with("AWS_SECRET_ACCESS_KEY", KEYS[0].1)
        .give_up_after(Duration::from_secs(20));
    let warehouse = Warehouse::builder().stores(options.clone()).open("s3://warehouses/sales").await?;
    let session = warehouse.session();

    session
        .sql("CREATE TABLE orders (id BIGINT, country VARCHAR(2), amount DECIMAL(12,2)) DISTKEY(id) SORTKEY(id)")
        .await?;
    session
        .sql(
            "INSERT INTO orders SELECT v, CASE v % 3 WHEN 0 THEN 'DE' WHEN 1 THEN 'FR' ELSE 'IT' END, v * 0.25
             FROM generate_series(1, 100000) AS s(v)",
        )
        .await?;

    // Files of any bucket that keys are given for: by the statement, as here, or by the environment.
    let (id, secret) = KEYS[1];
    let keys = format!("ACCESS_KEY_ID '{id}' SECRET_ACCESS_KEY '{secret}'");
    run(
        &session,
        &format!(
            "UNLOAD ('SELECT * FROM orders') TO 's3://files/orders/' {keys} PARTITION BY (country) MANIFEST FORMAT PARQUET"
        ),
    )
    .await?;
    run(&session, "SELECT path, line_count, transfer_size FROM stl_unload_log ORDER BY path LIMIT 3").await?;

    // One request in five is refused from here on: COPY asks again.
    server.set_faults(Faults { seed: 1, throttle_one_in: 5, ..Faults::default() });
    session.sql("CREATE TABLE german (id BIGINT, amount DECIMAL(12,2)) DISTKEY(id)").await?;
    run(&session, &format!("COPY german FROM 's3://files/orders/country=DE/' {keys} PARQUET")).await?;
    run(&session, "SELECT count(*) AS orders, sum(amount) AS amount FROM german").await?;
    server.set_faults(Faults::default());

    // The bucket is the warehouse: whoever opens it sees the same.
    warehouse.close().await?;
    let again = Warehouse::builder().create(false).stores(options).open("s3://warehouses/sales").await?;
    run(&again.session(), "SELECT country, count(*) AS orders FROM orders GROUP BY country ORDER BY country").await
}

/// Prints the statement, without keys, and its rows.
async fn run(session: &Session, sql: &str) -> Result<()> {
    let shown = sql.split("ACCESS_KEY_ID").next().unwrap_or_default();
    let output = session.sql(sql).await?;
    let tag = output.tag.clone();
    let rows = output.collect().await?;
    match rows.iter().all(|batch| batch.num_columns() == 0) {
        true => println!("{shown}\n{tag}\n"),
        false => println!("{shown}\n{}\n", pretty_format_batches(&rows)?),
    }
    Ok(())
}
