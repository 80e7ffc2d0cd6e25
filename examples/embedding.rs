//! An application that uses DataFusion already adds a warehouse to its own `SessionContext`.
//!
//! `cargo run --example embedding`

use std::sync::Arc;

use blueshift::{Result, SessionStateBuilderExt, Warehouse, from_datafusion};
use datafusion::arrow::array::{Int32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;

#[tokio::main]
async fn main() -> Result<()> {
    // The application's own context and table, as they were before.
    let state = SessionStateBuilder::new().with_default_features().with_blueshift().build();
    let context = SessionContext::new_with_state(state);
    context.register_table("countries", Arc::new(countries().map_err(from_datafusion)?)).map_err(from_datafusion)?;

    // A warehouse. `memory://` is gone with the process; a path, `file://` or `s3://bucket/prefix` stays.
    let warehouse = Warehouse::open("memory://").await?;
    let session = warehouse.session();
    session
        .sql("CREATE TABLE orders (id BIGINT, country INT, amount DECIMAL(12,2)) DISTKEY(id) SORTKEY(country)")
        .await?;
    session.sql("INSERT INTO orders SELECT v, v % 3, v * 1.25 FROM generate_series(1, 10000) AS s(v)").await?;

    // One table under a name of the application's choice, or all of them as a catalog.
    context.register_table("orders", warehouse.table("orders").await?).map_err(from_datafusion)?;
    context.register_catalog("warehouse", warehouse.catalog());

    show(
        &context,
        "A join of the application's table with one of the warehouse",
        "SELECT c.name, count(*) AS orders, sum(o.amount) AS amount
         FROM orders o JOIN countries c ON o.country = c.id GROUP BY c.name ORDER BY c.name",
    )
    .await?;

    // The application's plans can write, too: the rows are one commit.
    show(
        &context,
        "INSERT through the application's context",
        "INSERT INTO warehouse.public.orders VALUES (10001, 2, 99.99), (10002, 7, 1.00)",
    )
    .await?;
    show(
        &context,
        "Orders of no known country, by the catalog's name",
        "SELECT id, country, amount FROM warehouse.public.orders
         WHERE country NOT IN (SELECT id FROM countries) ORDER BY id",
    )
    .await?;
    warehouse.close().await
}

/// What the application had before: three rows in memory.
fn countries() -> DataFusionResult<MemTable> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("name", DataType::Utf8, false),
    ]));
    let ids = Arc::new(Int32Array::from(vec![0, 1, 2]));
    let names = Arc::new(StringArray::from(vec!["Austria", "Brazil", "Chad"]));
    MemTable::try_new(Arc::clone(&schema), vec![vec![RecordBatch::try_new(schema, vec![ids, names])?]])
}

async fn show(context: &SessionContext, title: &str, sql: &str) -> Result<()> {
    let frame = context.sql(sql).await.map_err(from_datafusion)?;
    let batches = frame.collect().await.map_err(from_datafusion)?;
    println!("{title}\n{}\n", pretty_format_batches(&batches)?);
    Ok(())
}
