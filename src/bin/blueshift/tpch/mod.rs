//! `blueshift tpch`: the TPC-H benchmark, its rows made in this process.

mod check;
mod generate;
mod load;
mod refresh;
mod report;
mod rival;
mod run;
mod streams;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use blueshift::engine::tpch::{QUERIES, Query, Table, tables};
use blueshift::engine::{Location, Session};

use crate::args::EngineArgs;
use crate::failure::Failure;
use report::{ScaleReport, say};
use rival::Rival;

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
    /// Queries to run, as 1,6 or 1-5; by default all 22
    #[arg(long, value_name = "LIST", value_parser = parse_queries)]
    queries: Option<QueryList>,
    /// How often each query runs; the median counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    iterations: u32,
    /// Run the queries alternately on the same rows elsewhere, too
    #[arg(long, value_name = "WITH", value_enum)]
    compare: Option<Compare>,
    /// Compare every result with plain DataFusion's over Parquet files of the same generated rows
    #[arg(long)]
    check: bool,
    /// Run so many streams of the queries at the same time, each once and in an order of its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64),
          conflicts_with_all = ["iterations", "compare", "load_only"])]
    streams: Option<u32>,
    /// Run the streams a second time beside TPC-H's refresh functions, as many pairs as there are streams, on clones of orders
    /// and lineitem; afterwards compare all results as --check does
    #[arg(long, requires = "streams")]
    refresh: bool,
    /// Write the figures to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Load the tables and stop
    #[arg(long)]
    load_only: bool,
    /// Another sort key for a table, as lineitem=l_orderkey; lineitem= for none
    #[arg(long, value_name = "TABLE=COLUMNS", value_parser = parse_sort)]
    sort_key: Vec<SortOverride>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Compare {
    /// Plain DataFusion over Parquet files with zstd
    Parquet,
}

/// Numbers of queries, in the order in which they run.
#[derive(Debug, Clone)]
struct QueryList(Vec<usize>);

#[derive(Debug, Clone)]
struct SortOverride {
    table: String,
    columns: Vec<String>,
}

pub async fn run(args: Args) -> Result<(), Failure> {
    let scales = args.scale.map_or_else(|| vec![0.1, 1.0], |scale| vec![scale]);
    let mut reports = Vec::new();
    // A file that cannot be written is found before the benchmark has run.
    write_figures(&args, "")?;
    for scale in scales {
        reports.push(run_scale(&args, scale).await?);
        write_figures(&args, &report::json(&reports, args.scale.is_some()))?;
    }
    let differing: usize = reports.iter().map(ScaleReport::differing).sum();
    match differing {
        0 => Ok(()),
        n => Err(Failure::Message(format!("{n} of the checks differ"))),
    }
}

fn write_figures(args: &Args, text: &str) -> Result<(), Failure> {
    let Some(path) = &args.json else { return Ok(()) };
    std::fs::write(path, text).map_err(|e| Failure::Message(format!("cannot write {}: {e}", path.display())))
}

async fn run_scale(args: &Args, scale: f64) -> Result<ScaleReport, Failure> {
    let tables = layout(&args.sort_key)?;
    let location = location(args, scale)?;
    let warehouse = args.engine.warehouse().open(&location).await?;
    let session = warehouse.session();
    say(&format!(
        "TPC-H at scale {scale}: {} slices, {} threads; the warehouse is kept at {}",
        warehouse.info().slices,
        args.engine.threads(),
        warehouse.location(),
    ))?;
    let mut report = ScaleReport::new(scale, &warehouse, args.engine.threads());
    report.lineitem_load = load::load(&session, &tables, scale, args.engine.threads()).await?;
    for table in &tables {
        report.stored_bytes += warehouse.table_size(table.name).await?.map_or(0, |size| size.bytes);
    }
    let mut rival = match args.compare.is_some() || args.check || args.refresh {
        true => Some(open_rival(args, &session, &tables, scale).await?),
        false => None,
    };
    report.parquet_bytes = rival.as_ref().map(Rival::bytes);
    report.print_sizes()?;
    let queries: Vec<&'static Query> = match &args.queries {
        Some(QueryList(numbers)) => numbers.iter().map(|n| &QUERIES[n - 1]).collect(),
        None => QUERIES.iter().collect(),
    };
    if let Some(streams) = args.streams {
        let threads = args.engine.threads();
        let options = streams::Options { streams, refresh: args.refresh, scale, threads, queries, tables: &tables };
        report.streams = Some(streams::run(&warehouse, rival.as_mut(), &options).await?);
    } else if !args.load_only {
        let options = run::Options { iterations: args.iterations, compare: args.compare.is_some(), check: args.check };
        run::run(&session, rival.as_ref(), &queries, &options, &mut report).await?;
    }
    if args.check && scale == 1.0 {
        report.wrong_counts = check::row_counts(&session, &tables).await?;
    }
    report.print_summary()?;
    drop(session);
    warehouse.close().await?;
    Ok(report)
}

async fn open_rival(args: &Args, session: &Session, tables: &[Table], scale: f64) -> Result<Rival, Failure> {
    let directory = match session.warehouse().location() {
        Location::Directory(path) => {
            let mut name = path.file_name().unwrap_or_default().to_os_string();
            name.push("-parquet");
            path.with_file_name(name)
        }
        _ => home().join(format!("sf{scale}-parquet")),
    };
    Rival::open(&directory, session, tables, scale, args.engine.threads()).await
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
        None => {
            let path = home().join(name);
            let text = path.to_str().map(str::to_string);
            text.ok_or_else(|| Failure::Message(format!("{} is not a name in UTF-8; use -w", path.display())))
        }
    }
}

/// Where warehouses are kept by default.
fn home() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    home_from(&here, std::env::var_os("CARGO_TARGET_DIR"))
}

/// As [`home`], for the current directory `here`: with cargo's own output, but not in another project's.
fn home_from(here: &Path, target: Option<OsString>) -> PathBuf {
    if let Some(target) = target.filter(|t| !t.is_empty()) {
        return here.join(target).join("tpch");
    }
    let project = here.ancestors().find(|d| d.join("Cargo.toml").is_file());
    let manifest = project.map(|root| std::fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default());
    match project {
        Some(root) if manifest.as_deref().is_some_and(is_blueshift) => root.join("target").join("tpch"),
        _ => here.join("blueshift-tpch"),
    }
}

/// Whether a Cargo.toml is the one of the package `blueshift`.
fn is_blueshift(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[package]").skip(1);
    let name = lines.by_ref().take_while(|line| !line.starts_with('[')).find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "name").then(|| value.trim())
    });
    name == Some("\"blueshift\"")
}

fn parse_scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| "a scale is a number as 0.1, 1 or 10".to_string())?;
    // Below, there are no suppliers to choose from; above, part keys outgrow INTEGER.
    if (0.001..=10_000.0).contains(&scale) { Ok(scale) } else { Err("a scale is between 0.001 and 10000".into()) }
}

fn parse_queries(text: &str) -> Result<QueryList, String> {
    let number = |text: &str| match text.trim().trim_start_matches(['q', 'Q']).parse::<usize>() {
        Ok(n) if (1..=QUERIES.len()).contains(&n) => Ok(n),
        _ => Err(format!("\"{text}\" is none of the queries 1 to {}", QUERIES.len())),
    };
    let mut numbers = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            Some((first, last)) => numbers.extend(number(first)?..=number(last)?),
            None => numbers.push(number(part)?),
        }
    }
    Ok(QueryList(numbers))
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
    fn lists_of_queries() {
        assert_eq!(parse_queries("1,6").unwrap().0, [1, 6]);
        assert_eq!(parse_queries("q20-22, 3").unwrap().0, [20, 21, 22, 3]);
        assert!(parse_queries("0").is_err());
        assert!(parse_queries("23").is_err());
        assert!(parse_queries("").is_err());
    }

    #[test]
    fn warehouses_stand_in_no_other_projects_target() {
        let dir = tempfile::tempdir().unwrap();
        let (root, inner) = (dir.path(), dir.path().join("src/deep"));
        std::fs::create_dir_all(&inner).unwrap();
        let home = |target: Option<&str>| home_from(&inner, target.map(OsString::from));
        assert_eq!(home(None), inner.join("blueshift-tpch"));
        std::fs::write(root.join("Cargo.toml"), "[package]\nname = \"other\"\n[dependencies]\nname = \"blueshift\"\n")
            .unwrap();
        assert_eq!(home(None), inner.join("blueshift-tpch"));
        std::fs::write(root.join("Cargo.toml"), include_str!("../../../../Cargo.toml")).unwrap();
        assert_eq!(home(None), root.join("target/tpch"));
        // What cargo was told goes before.
        assert_eq!(home(Some("")), root.join("target/tpch"));
        assert_eq!(home(Some("/elsewhere")), Path::new("/elsewhere/tpch"));
        assert_eq!(home(Some("out")), inner.join("out/tpch"));
    }

    #[test]
    fn scales() {
        assert_eq!(parse_scale("0.001"), Ok(0.001));
        assert!(parse_scale("0").is_err());
        assert!(parse_scale("NaN").is_err());
        assert!(parse_scale("big").is_err());
    }
}
