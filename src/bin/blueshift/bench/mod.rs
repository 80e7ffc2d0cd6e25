//! `blueshift bench`: the queries of a directory; and what all benchmarks share.

mod chart;
mod check;
pub mod home;
pub mod progress;
mod promise;
pub mod query;
pub mod report;
pub mod rival;
pub mod run;
mod sessions;
mod suite;

use std::path::PathBuf;

use blueshift::engine::{Location, Session, Warehouse};

use crate::args::EngineArgs;
use crate::failure::Failure;
use query::{Query, choose};
use report::{Report, say};
use rival::{Rival, RivalTable};
use run::Options;
use suite::Suite;

/// Run the queries of a directory
///
/// DIR has schema.sql and load.sql, which make and fill the tables of a new warehouse, and queries.sql, or files
/// queries/*.sql. Names of files in load.sql are relative to DIR. The warehouse is kept, and found by the next run; without
/// schema.sql and load.sql its tables are there already.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The scripts
    directory: PathBuf,
    /// Where the warehouse is kept. By default bench/DIR below CARGO_TARGET_DIR or, in a checkout of Blueshift, below its target;
    /// elsewhere blueshift-bench/DIR
    #[arg(short, long, value_name = "WAREHOUSE")]
    warehouse: Option<String>,
    #[command(flatten)]
    run: RunArgs,
    /// Run the queries in so many sessions at the same time, each in an order of its own, once untimed and then as often as
    /// --iterations says; tell their throughput and latency
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024),
          conflicts_with_all = ["compare", "check", "load_only", "chart"])]
    sessions: Option<u32>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// How a benchmark's queries run, and where their figures go.
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// Queries to run, by name or place, as 1,6 or 2-5; by default all
    #[arg(long, value_name = "LIST")]
    queries: Option<String>,
    /// How often each query runs; the median counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    iterations: u32,
    /// Run the queries alternately on the same rows elsewhere, too
    #[arg(long, value_name = "WITH", value_enum)]
    compare: Option<Compare>,
    /// Compare every result with plain DataFusion's over Parquet files of the same rows
    #[arg(long)]
    check: bool,
    /// Write the figures to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the figures as bars, an SVG file: each query's time, or, where there is something to compare with, how many times as
    /// long that took
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// Figures of another comparison of the same queries, which get bars in the chart: what benches/compare/tpch.py or suite.py
    /// has written with --json
    #[arg(long, value_name = "FILE", requires = "chart")]
    beside: Option<PathBuf>,
    /// Load the tables and stop
    #[arg(long)]
    load_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Compare {
    /// Plain DataFusion over Parquet files with zstd
    Parquet,
}

pub async fn run(args: Args) -> Result<(), Failure> {
    // The process's directory changes.
    let run = args.run.absolute()?;
    run.prepare()?;
    let suite = Suite::read(&args.directory)?;
    if suite.is_without_rows() && args.warehouse.is_none() {
        let hint = "say with -w which warehouse has its tables";
        return Err(Failure::Message(format!("{} has no schema.sql; {hint}", args.directory.display())));
    }
    let queries = choose(suite.queries.clone(), run.queries())?;
    let location = match &args.warehouse {
        Some(place) if place.contains("://") => place.clone(),
        Some(place) => text_of(std::path::absolute(place)?)?,
        None => text_of(std::path::absolute(home::warehouse("bench", &suite.name)?)?)?,
    };
    let rivals = std::path::absolute(home::home("bench").join(format!("{}-parquet", suite.name)))?;
    let threads = args.engine.threads();
    let warehouse = args.engine.warehouse().open(&location).await?;
    let session = warehouse.session();
    say(&format!(
        "{}: {} queries, {} slices, {threads} threads; the warehouse is kept at {}",
        suite.name,
        queries.len(),
        warehouse.info().slices,
        warehouse.location()
    ))?;
    let mut report = Report::new(&suite.name, None, &warehouse, threads);
    suite.load(&session).await?;
    report.stored_bytes = suite::stored_bytes(&session).await?;
    match args.sessions {
        Some(sessions) => {
            let found = sessions::run(&warehouse, &queries, sessions, run.iterations).await?;
            report.further.push(("sessions", found.json()));
        }
        None => {
            let tables = if run.wants_rival() { suite::rival_tables(&session).await? } else { Vec::new() };
            run.measure(&session, queries, tables, rivals, &mut report).await?;
        }
    }
    drop(session);
    warehouse.close().await?;
    run.finish(&[report], true)
}

fn text_of(path: PathBuf) -> Result<String, Failure> {
    path.into_os_string().into_string().map_err(|path| Failure::Message(format!("{path:?} is not a name in UTF-8")))
}

impl RunArgs {
    /// The list of queries wanted.
    pub fn queries(&self) -> Option<&str> {
        self.queries.as_deref()
    }

    /// Whether rows are wanted as Parquet files, too.
    pub fn wants_rival(&self) -> bool {
        self.compare.is_some() || self.check
    }

    /// Finds files that cannot be written or read before the benchmark has run.
    pub fn prepare(&self) -> Result<(), Failure> {
        write(&self.json, "")?;
        write(&self.chart, "")?;
        self.beside.as_ref().map(|file| chart::read_beside(file)).transpose()?;
        Ok(())
    }

    /// Runs the queries, unless the tables were to be loaded only. `directory` keeps the Parquet files where the warehouse is no
    /// directory that they could stand beside.
    pub async fn measure(
        &self,
        session: &Session,
        queries: Vec<Query>,
        tables: Vec<RivalTable>,
        directory: PathBuf,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let rival = match self.wants_rival() {
            true => Some(open_rival(session, &tables, directory, report).await?),
            false => None,
        };
        report.print_sizes()?;
        if !self.load_only {
            let options = Options { iterations: self.iterations, compare: self.compare.is_some(), check: self.check };
            run::run(session, rival.as_ref(), &queries, options, report).await?;
        }
        report.print_summary()
    }

    /// Writes the figures. Fails where a query has failed, or has another answer than the rival.
    pub fn finish(&self, reports: &[Report], single: bool) -> Result<(), Failure> {
        write(&self.json, &report::json(reports, single))?;
        if let (Some(file), Some(report)) = (&self.chart, reports.last()) {
            let beside = self.beside.as_ref().map(|file| chart::read_beside(file)).transpose()?;
            write(&self.chart, &chart::draw(report, beside.as_ref())?)?;
            say(&format!("the chart is {}", file.display()))?;
        }
        match reports.iter().map(Report::failed).sum() {
            0 => Ok(()),
            1 => Err(Failure::Message("one query or check has failed".into())),
            n => Err(Failure::Message(format!("{n} queries or checks have failed"))),
        }
    }

    /// With files that do not depend on the process's directory.
    fn absolute(&self) -> Result<RunArgs, Failure> {
        let mut args = self.clone();
        for file in [&mut args.json, &mut args.chart, &mut args.beside].into_iter().flatten() {
            *file = std::path::absolute(&*file)?;
        }
        Ok(args)
    }
}

/// Parquet files beside a warehouse that is a directory, else in `directory`.
pub async fn open_rival(
    session: &Session,
    tables: &[RivalTable],
    directory: PathBuf,
    report: &mut Report,
) -> Result<Rival, Failure> {
    let directory = beside(session.warehouse()).unwrap_or(directory);
    let rival = Rival::open(&directory, session, tables, report.threads()).await?;
    report.parquet_bytes = Some(rival.bytes());
    Ok(rival)
}

fn beside(warehouse: &Warehouse) -> Option<PathBuf> {
    let Location::Directory(path) = warehouse.location() else { return None };
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push("-parquet");
    Some(path.with_file_name(name))
}

fn write(file: &Option<PathBuf>, text: &str) -> Result<(), Failure> {
    let Some(path) = file else { return Ok(()) };
    std::fs::write(path, text).map_err(|e| Failure::Message(format!("cannot write {}: {e}", path.display())))
}
