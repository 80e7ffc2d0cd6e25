//! Loading the tables that a warehouse does not have yet.
//!
//! A table's rows arrive in one commit: a table with rows is complete, one without was interrupted and is made anew.

use std::time::Instant;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use blueshift::engine::Session;
use blueshift::engine::tpch::Table;

use super::generate;
use crate::bench::progress::progress;
use crate::bench::report::{grouped, say};
use crate::failure::Failure;

/// How the line items were loaded.
#[derive(Debug, Clone, Copy)]
pub struct LoadFigures {
    pub rows: u64,
    pub seconds: f64,
}

impl LoadFigures {
    pub fn json(&self) -> String {
        format!("{{\"rows\": {}, \"seconds\": {:.3}}}", self.rows, self.seconds)
    }
}

/// Loads what is missing. The figures are `None` when the line items were there already.
pub async fn load(
    session: &Session,
    tables: &[Table],
    scale: f64,
    threads: usize,
) -> Result<Option<LoadFigures>, Failure> {
    let mut lineitem = None;
    let (mut found, mut loaded, mut rows) = (0, 0, 0);
    let started = Instant::now();
    for table in tables {
        if is_loaded(session, table, scale).await? {
            found += 1;
            continue;
        }
        let figures = load_table(session, table, scale, threads).await?;
        loaded += 1;
        rows += figures.rows;
        if table.name == "lineitem" {
            lineitem = Some(figures);
        }
    }
    if loaded == 0 {
        say("all tables are loaded already")?;
    } else {
        let there = if found > 0 { format!(", {found} were there already") } else { String::new() };
        say(&format!(
            "loaded {loaded} tables{there}: {} rows in {:.1} s, generating them included",
            grouped(rows),
            started.elapsed().as_secs_f64()
        ))?;
        // Without it the share of rows that a LIKE keeps is a guess, as is the order of joins above it.
        let started = Instant::now();
        session.sql("ANALYZE").await?;
        say(&format!("analyzed in {:.1} s", started.elapsed().as_secs_f64()))?;
    }
    if let Some(LoadFigures { rows, seconds }) = lineitem {
        let speed = (rows as f64 / seconds) as u64;
        say(&format!("lineitem: {} rows in {seconds:.1} s, {} rows/s", grouped(rows), grouped(speed)))?;
    }
    Ok(lineitem)
}

/// Whether the table has its rows. An empty table is dropped.
async fn is_loaded(session: &Session, table: &Table, scale: f64) -> Result<bool, Failure> {
    let name = table.name;
    let Some(size) = session.warehouse().table_size(name).await? else { return Ok(false) };
    if size.rows == 0 {
        session.sql(&format!("DROP TABLE {name}")).await?;
        return Ok(false);
    }
    let complete = match name {
        // Their exact number is not known beforehand, but every order has some.
        "lineitem" => {
            largest_key(session, "lineitem", "l_orderkey").await?
                == largest_key(session, "orders", "o_orderkey").await?
        }
        _ => size.rows == generate::rows(name, scale),
    };
    if complete {
        return Ok(true);
    }
    Err(Failure::Message(format!(
        "table \"{name}\" of the warehouse at {} has {} rows, which are not those of scale {scale}\n\
         HINT: choose another warehouse with -w, or remove this one",
        session.warehouse().location(),
        grouped(size.rows),
    )))
}

async fn largest_key(session: &Session, table: &str, column: &str) -> Result<Option<i64>, Failure> {
    let batches = session.sql(&format!("SELECT CAST(max({column}) AS BIGINT) FROM {table}")).await?.collect().await?;
    Ok(batches.iter().find(|b| b.num_rows() > 0).map(|b| b.column(0).as_primitive::<Int64Type>().value(0)))
}

async fn load_table(session: &Session, table: &Table, scale: f64, threads: usize) -> Result<LoadFigures, Failure> {
    session.sql(&table.create()).await?;
    let bar = progress(table.name, generate::rows(table.name, scale));
    let parts = generate::parts(table.name, scale, threads, &bar);
    let started = Instant::now();
    let rows = session.load(table.name, parts.iter().map(generate::Part::stream).collect()).await;
    let seconds = started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    Ok(LoadFigures { rows: rows?, seconds })
}
