//! `blueshift slt`: anyone's sqllogictest files on a warehouse.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blueshift::Geometry;
use blueshift::common::EncodingName;
use blueshift::engine::Warehouse;
use blueshift::engine::slt::{SltDatabase, SltLayout, SltOptions, SltValues};
use sqllogictest::Runner;

use crate::args::EngineArgs;
use crate::failure::{Failure, note};

/// Run sqllogictest files
///
/// Each file runs in a new warehouse in memory, or all in the one that -w names. Every file runs to its first failing
/// record; the exit status tells whether any failed. Rows do not depend on slices, layout, encoding or geometry.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files to run; of a directory, all that end in .slt or .test, also in directories below it
    #[arg(required = true, value_name = "FILES")]
    files: Vec<PathBuf>,
    /// Where the warehouse is kept that all files use, one after the other
    #[arg(short, long, value_name = "WAREHOUSE")]
    warehouse: Option<String>,
    /// How tables are distributed, whatever their CREATE TABLE says
    #[arg(long, value_name = "written|even|all", default_value = "written")]
    layout: SltLayout,
    /// The encoding of columns whose CREATE TABLE names none, where their type can have it
    #[arg(long, value_name = "NAME")]
    encode: Option<EncodingName>,
    /// Rows of a zone and of a chunk in a new warehouse: normal (8192 and 131072) or tiny (4 and 16)
    #[arg(long, value_name = "normal|tiny", default_value = "normal", value_parser = geometry)]
    geometry: Geometry,
    /// What `onlyif` and `skipif` compare with; the first is the engine's name, further ones are labels
    #[arg(long = "label", value_name = "NAME", default_value = "blueshift")]
    labels: Vec<String>,
    /// How the files write values
    #[arg(long, value_name = "blueshift|datafusion|sqlite", default_value = "blueshift")]
    values: SltValues,
    /// Compare the types of columns, too
    #[arg(long)]
    strict_types: bool,
    /// Write what comes out into the files instead of judging it
    #[arg(long = "override")]
    complete: bool,
    #[command(flatten)]
    pub engine: EngineArgs,
}

pub async fn run(args: Args) -> Result<(), Failure> {
    let mut files = Vec::new();
    for path in &args.files {
        collect(path, &mut files)?;
    }
    let shared = match &args.warehouse {
        Some(location) => Some(args.engine.warehouse().geometry(args.geometry).open(location).await?),
        None => None,
    };
    let mut failed = 0;
    for file in &files {
        let started = Instant::now();
        let warehouse = match &shared {
            Some(warehouse) => warehouse.clone(),
            None => args.engine.warehouse().geometry(args.geometry).open("memory://").await?,
        };
        let outcome = run_file(&args, file, &warehouse).await;
        if shared.is_none() {
            warehouse.close().await?;
        }
        failed += usize::from(outcome.is_err());
        report(file, &outcome, started.elapsed())?;
    }
    if let Some(warehouse) = shared {
        warehouse.close().await?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Message(format!("{failed} of {} files failed", files.len()))),
    }
}

async fn run_file(args: &Args, file: &Path, warehouse: &Warehouse) -> Result<(), String> {
    let options = SltOptions {
        layout: args.layout,
        values: args.values,
        encoding: args.encode,
        engine_name: args.labels.first().cloned().unwrap_or_default(),
    };
    let mut runner = Runner::new(|| {
        let database = SltDatabase::new(warehouse.session(), options.clone());
        async move { Ok(database) }
    });
    args.labels.iter().skip(1).for_each(|label| runner.add_label(label));
    let types =
        if args.strict_types { sqllogictest::strict_column_validator } else { sqllogictest::default_column_validator };
    runner.with_column_validator(types);
    let outcome = if args.complete {
        let (validator, normalizer) = (sqllogictest::default_validator, sqllogictest::default_normalizer);
        runner.update_test_file(file, " ", validator, normalizer, types).await.map_err(|e| e.to_string())
    } else {
        let colours = io::stderr().is_terminal();
        runner.run_file_async(file).await.map_err(|e| e.display(colours).to_string())
    };
    runner.shutdown_async().await;
    outcome
}

fn report(file: &Path, outcome: &Result<(), String>, time: Duration) -> Result<(), Failure> {
    let verdict = if outcome.is_ok() { "ok    " } else { "FAILED" };
    writeln!(io::stdout(), "{verdict}  {:>8.2} s  {}", time.as_secs_f64(), file.display())?;
    if let Err(why) = outcome {
        note(why);
    }
    Ok(())
}

/// The files that `path` stands for, those of a directory in the order of their names.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let unreadable = |e: io::Error| Failure::Message(format!("cannot read {}: {e}", path.display()));
    if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    let before = files.len();
    below(path, files).map_err(unreadable)?;
    if files.len() == before {
        return Err(Failure::Message(format!("there is no file that ends in .slt or .test in {}", path.display())));
    }
    Ok(())
}

fn below(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = std::fs::read_dir(directory)?.map(|entry| entry.map(|e| e.path()));
    let mut paths = entries.collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            below(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "slt" || e == "test") {
            files.push(path);
        }
    }
    Ok(())
}

fn geometry(word: &str) -> Result<Geometry, String> {
    match word {
        "normal" => Ok(Geometry::DEFAULT),
        "tiny" => Ok(Geometry::TINY),
        _ => Err("a geometry is normal or tiny".into()),
    }
}
