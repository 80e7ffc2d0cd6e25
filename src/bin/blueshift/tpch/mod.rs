//! `blueshift tpch`: the TPC-H benchmark, its rows made in this process.

mod generate;
mod load;
mod refresh;
mod streams;

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use blueshift::engine::Session;
use blueshift::engine::tpch::{QUERIES, Table, tables};
use datafusion::physical_plan::streaming::PartitionStream;
use indicatif::ProgressBar;

use crate::args::EngineArgs;
use crate::bench::query::{Query, choose};
use crate::bench::report::{Report, grouped, say};
use crate::bench::rival::{RivalTable, RowSource};
use crate::bench::{RunArgs, home, open_rival};
use crate::failure::Failure;

/// Run the TPC-H benchmark
///
/// Rows are generated in this process and kept in a warehouse that the next run finds. Without --scale the benchmark
/// runs at scale 0.1 and then at scale 1.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the warehouse is kept; without --scale, the directory of one warehouse a scale. By default tpch/sfSCALE below
    /// CARGO_TARGET_DIR or, in a checkout of Blueshift, below its target; elsewhere blueshift-tpch/sfSCALE
    #[arg(short, long, value_name = "WAREHOUSE")]
    warehouse: Option<String>,
    /// The scale factor: 1 is about 1 GB of text
    #[arg(long, value_parser = parse_scale)]
    scale: Option<f64>,
    #[command(flatten)]
    run: RunArgs,
    /// Run so many streams of the queries at the same time, each once and in an order of its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64),
          conflicts_with_all = ["iterations", "compare", "load_only", "chart"])]
    streams: Option<u32>,
    /// Run the streams a second time beside TPC-H's refresh functions, as many pairs as there are streams, on clones of orders
    /// and lineitem; afterwards compare all results as --check does
    #[arg(long, requires = "streams")]
    refresh: bool,
    /// Another sort key for a table, as lineitem=l_orderkey; lineitem= for none
    #[arg(long, value_name = "TABLE=COLUMNS", value_parser = parse_sort)]
    sort_key: Vec<SortOverride>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Debug, Clone)]
struct SortOverride {
    table: String,
    columns: Vec<String>,
}

pub async fn run(args: Args) -> Result<(), Failure> {
    let scales = args.scale.map_or_else(|| vec![0.1, 1.0], |scale| vec![scale]);
    let queries = QUERIES.iter().map(|query| Query::new(query.number.to_string(), query.sql)).collect();
    let queries = choose(queries, args.run.queries())?;
    args.run.prepare()?;
    let mut reports = Vec::new();
    for scale in scales {
        reports.push(run_scale(&args, scale, &queries).await?);
    }
    args.run.finish(&reports, args.scale.is_some())
}

async fn run_scale(args: &Args, scale: f64, queries: &[Query]) -> Result<Report, Failure> {
    let tables = layout(&args.sort_key)?;
    let location = location(args, scale)?;
    let threads = args.engine.threads();
    let warehouse = args.engine.warehouse().open(&location).await?;
    let session = warehouse.session();
    say(&format!(
        "TPC-H at scale {scale}: {} slices, {threads} threads; the warehouse is kept at {}",
        warehouse.info().slices,
        warehouse.location(),
    ))?;
    let mut report = Report::new("TPC-H", Some(scale), &warehouse, threads);
    if let Some(load) = load::load(&session, &tables, scale, threads).await? {
        report.further.push(("lineitem_load", load.json()));
    }
    for table in &tables {
        report.stored_bytes += warehouse.table_size(table.name).await?.map_or(0, |size| size.bytes);
    }
    let rival_tables = rival_tables(&tables, scale, threads);
    let rivals = home::home("tpch").join(format!("sf{scale}-parquet"));
    if let Some(streams) = args.streams {
        let mut rival = match args.run.wants_rival() || args.refresh {
            true => Some(open_rival(&session, &rival_tables, rivals, &mut report).await?),
            false => None,
        };
        report.print_sizes()?;
        let options = streams::Options { streams, refresh: args.refresh, scale, threads, queries, tables: &tables };
        let found = streams::run(&warehouse, rival.as_mut(), &options).await?;
        report.further.push(("streams", found.json()));
        report.failures.extend(found.wrong);
    } else {
        args.run.measure(&session, queries.to_vec(), rival_tables, rivals, &mut report).await?;
    }
    if args.run.wants_rival() && scale == 1.0 {
        let wrong = wrong_counts(&session, &tables).await?;
        wrong.iter().try_for_each(|wrong| say(&format!("differs: {wrong}")))?;
        report.failures.extend(wrong);
    }
    drop(session);
    warehouse.close().await?;
    Ok(report)
}

/// Tables that have other numbers of rows than the specification gives for scale 1, in words.
async fn wrong_counts(session: &Session, tables: &[Table]) -> Result<Vec<String>, Failure> {
    let mut wrong = Vec::new();
    for table in tables {
        let batches = session.sql(&format!("SELECT count(*) FROM {}", table.name)).await?.collect().await?;
        let rows: i64 =
            batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().iter()).flatten().sum();
        if rows != table.rows as i64 {
            wrong.push(format!("{}: {rows} rows instead of {}", table.name, grouped(table.rows)));
        }
    }
    Ok(wrong)
}

fn rival_tables(tables: &[Table], scale: f64, threads: usize) -> Vec<RivalTable> {
    let rival = |table: &Table| RivalTable {
        name: table.name.to_string(),
        sort: table.sort.clone(),
        rows: generate::rows(table.name, scale),
        source: Box::new(Generated { table: table.name, scale, threads }),
    };
    tables.iter().map(rival).collect()
}

/// Rows as they are made.
struct Generated {
    table: &'static str,
    scale: f64,
    threads: usize,
}

#[async_trait]
impl RowSource for Generated {
    async fn parts(&self, bar: &ProgressBar) -> Result<Vec<Arc<dyn PartitionStream>>, Failure> {
        let parts = generate::parts(self.table, self.scale, self.threads, bar).into_iter();
        Ok(parts.map(|part| Arc::new(part) as _).collect())
    }
}

/// The tables with the sort keys wanted.
fn layout(overrides: &[SortOverride]) -> Result<Vec<Table>, Failure> {
    let mut tables = tables();
    for SortOverride { table, columns } in overrides {
        let found = tables.iter_mut().find(|t| t.name == table);
        let found = found.ok_or_else(|| Failure::Message(format!("TPC-H has no table \"{table}\"")))?;
        found.sort.clone_from(columns);
    }
    Ok(tables)
}

fn location(args: &Args, scale: f64) -> Result<String, Failure> {
    let mut name = format!("sf{scale}");
    for SortOverride { table, columns } in &args.sort_key {
        name.push_str(&format!("-{table}.{}", columns.join(".")));
    }
    match &args.warehouse {
        Some(one) if args.scale.is_some() => Ok(one.clone()),
        Some(several) => Ok(format!("{}/{name}", several.trim_end_matches('/'))),
        None => home::warehouse("tpch", &name),
    }
}

fn parse_scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| "a scale is a number as 0.1, 1 or 10".to_string())?;
    // Below, there are no suppliers to choose from; above, part keys outgrow INTEGER.
    if (0.001..=10_000.0).contains(&scale) { Ok(scale) } else { Err("a scale is between 0.001 and 10000".into()) }
}

fn parse_sort(text: &str) -> Result<SortOverride, String> {
    let (table, columns) = text.split_once('=').ok_or("write it as lineitem=l_orderkey")?;
    let columns = columns.split(',').map(str::trim).filter(|c| !c.is_empty()).map(str::to_string).collect();
    Ok(SortOverride { table: table.trim().to_string(), columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales() {
        assert_eq!(parse_scale("0.001"), Ok(0.001));
        assert!(parse_scale("0").is_err());
        assert!(parse_scale("NaN").is_err());
        assert!(parse_scale("big").is_err());
    }
}
