//! `blueshift tpcds`: the TPC-DS benchmark, its rows made in this process.
//!
//! Basis: TPC Benchmark DS specification 3.2.0, clause 2 (tables) and appendix B (queries, with the parameters of the
//! qualification database). The queries are not those of a run that counts for the specification, which draws parameters.

mod generate;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use blueshift::engine::{Session, split};
use datafusion::physical_plan::streaming::PartitionStream;
use indicatif::ProgressBar;
use seq_macro::seq;

use crate::args::EngineArgs;
use crate::bench::progress::progress;
use crate::bench::query::{Query, choose};
use crate::bench::report::{Report, grouped, say};
use crate::bench::rival::{RivalTable, RowSource};
use crate::bench::{RunArgs, home};
use crate::failure::Failure;
use generate::{Generator, TABLES};

/// Run the TPC-DS benchmark
///
/// Rows are generated in this process and kept in a warehouse that the next run finds. The 99 queries have the parameters of
/// the specification's qualification database.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the warehouse is kept. By default tpcds/sfSCALE below CARGO_TARGET_DIR or, in a checkout of Blueshift, below its
    /// target; elsewhere blueshift-tpcds/sfSCALE
    #[arg(short, long, value_name = "WAREHOUSE")]
    warehouse: Option<String>,
    /// The scale factor: 1 is about 1 GB of text
    #[arg(long, value_name = "SCALE", default_value = "1", value_parser = parse_scale)]
    scale: f64,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// The statements that make the tables, in the order of [`TABLES`].
const SCHEMA: &str = include_str!("schema.sql");

seq!(N in 01..=99 {
    /// The queries' texts, in their order.
    const QUERIES: [&str; 99] = [#(include_str!(concat!("queries/q", stringify!(N), ".sql")),)*];
});

pub async fn run(args: Args) -> Result<(), Failure> {
    let queries = choose(queries(), args.run.queries())?;
    args.run.prepare()?;
    let location = match &args.warehouse {
        Some(place) => place.clone(),
        None => home::warehouse("tpcds", &format!("sf{}", args.scale))?,
    };
    let threads = args.engine.threads();
    let generator = Generator::new(args.scale, threads)?;
    let warehouse = args.engine.warehouse().open(&location).await?;
    let session = warehouse.session();
    say(&format!(
        "TPC-DS at scale {}: {} slices, {threads} threads; the warehouse is kept at {}",
        args.scale,
        warehouse.info().slices,
        warehouse.location()
    ))?;
    load(&session, &generator, args.scale).await?;
    let mut report = Report::new("TPC-DS", Some(args.scale), &warehouse, threads);
    for table in TABLES {
        report.stored_bytes += warehouse.table_size(table).await?.map_or(0, |size| size.bytes);
    }
    let rivals = home::home("tpcds").join(format!("sf{}-parquet", args.scale));
    args.run.measure(&session, queries, rival_tables(&generator), rivals, &mut report).await?;
    drop(session);
    warehouse.close().await?;
    args.run.finish(&[report], true)
}

fn queries() -> Vec<Query> {
    QUERIES.iter().zip(1..).map(|(text, number)| Query::new(format!("{number}"), text)).collect()
}

/// Loads the tables that the warehouse does not have yet. A table's rows arrive in one commit: one without rows was interrupted,
/// and is made anew.
async fn load(session: &Session, generator: &Generator, scale: f64) -> Result<(), Failure> {
    let (mut loaded, mut rows) = (0, 0);
    let started = Instant::now();
    for (table, statement) in TABLES.iter().zip(split(SCHEMA)) {
        if let Some(size) = session.warehouse().table_size(table).await? {
            if size.rows > 0 && generator.may_have(table, size.rows) {
                continue;
            }
            if size.rows > 0 {
                return Err(Failure::Message(format!(
                    "table \"{table}\" of the warehouse at {} has {} rows, which are not those of scale {scale}\n\
                     HINT: choose another warehouse with -w, or remove this one",
                    session.warehouse().location(),
                    grouped(size.rows)
                )));
            }
            session.sql(&format!("DROP TABLE {table}")).await?;
        }
        session.statement(statement).await?;
        let bar = progress(table, generator.about(table));
        let streams = generator.parts(table, &bar)?.iter().map(|part| part.stream()).collect();
        let count = session.load(table, streams).await;
        bar.finish_and_clear();
        rows += count?;
        loaded += 1;
    }
    if loaded == 0 {
        return say("all tables are loaded already");
    }
    let seconds = started.elapsed().as_secs_f64();
    say(&format!("loaded {loaded} tables: {} rows in {seconds:.1} s, generating them included", grouped(rows)))?;
    // Without it the share of rows that conditions on texts keep is a guess, as is the order of joins above them.
    let started = Instant::now();
    session.sql("ANALYZE").await?;
    say(&format!("analyzed in {:.1} s", started.elapsed().as_secs_f64()))
}

fn rival_tables(generator: &Generator) -> Vec<RivalTable> {
    let rival = |(table, statement): (&&'static str, &str)| RivalTable {
        name: table.to_string(),
        sort: sort_key(statement).into_iter().collect(),
        rows: generator.about(table),
        source: Box::new(Generated { table, generator: generator.clone() }),
    };
    let statements = split(SCHEMA);
    TABLES.iter().zip(statements.iter().map(|statement| statement.text)).map(rival).collect()
}

/// The column that a statement of [`SCHEMA`] sorts by.
fn sort_key(statement: &str) -> Option<String> {
    let (_, key) = statement.rsplit_once("sortkey (")?;
    Some(key.split(')').next()?.to_string())
}

/// Rows as they are made.
struct Generated {
    table: &'static str,
    generator: Generator,
}

#[async_trait]
impl RowSource for Generated {
    async fn parts(&self, bar: &ProgressBar) -> Result<Vec<Arc<dyn PartitionStream>>, Failure> {
        let parts = self.generator.parts(self.table, bar)?.into_iter();
        Ok(parts.map(|part| Arc::new(part) as _).collect())
    }
}

fn parse_scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| "a scale is a number as 0.1, 1 or 10".to_string())?;
    // Below, some dimensions have no rows.
    if (0.01..=10_000.0).contains(&scale) { Ok(scale) } else { Err("a scale is between 0.01 and 10000".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_has_its_statement() {
        let statements = split(SCHEMA);
        assert_eq!(statements.len(), TABLES.len());
        for (table, statement) in TABLES.iter().zip(statements) {
            assert!(statement.text.contains(&format!("create table {table} (\n")), "{table}");
            assert!(sort_key(statement.text).is_some_and(|key| statement.text.contains(&format!("{key} "))), "{table}");
        }
    }

    #[test]
    fn there_are_99_queries_four_of_them_in_two_parts() {
        let queries = queries();
        let several: Vec<&str> = queries.iter().filter(|q| q.statements.len() > 1).map(|q| &q.name[..]).collect();
        assert_eq!(several, ["14", "23", "24", "39"]);
        assert!(queries.iter().all(|query| !query.statements.is_empty()));
    }
}
