//! Runs the sqllogictest files of this folder, each in several configurations of the warehouse: `cargo test --test sql`.
//!
//! The rows that a file expects do not depend on the number of slices, the block geometry, pruning or the distribution
//! of tables, so every file runs in all of [`config::DEFAULT`], which covers all pairs of these choices. Nor do they
//! depend on how columns are encoded: some files also run in each encoding, which every column has that can have it.
//! `BLUESHIFT_LONG=1`, or the argument `--full`, runs all combinations, and every encoding in each of the default ones.
//! A file that shows layout says so in its first lines, `# layout-dependent: slices=2 geometry=tiny`, and runs once, in
//! the configuration that it names.
//!
//! An argument filters by name: `cargo test --test sql -- pruning/`. `--complete` writes what came out into the files,
//! to be read and judged before it is committed.
//!
//! The files of `suite/` run on plain DataFusion's tables in memory, too: every record must come out the same there,
//! unless its comment `# redshift: …` says why not.
//!
//! What records may hold besides SQL:
//! - `${TMP}` is a folder of the run's own;
//! - a statement `write <path>` writes its further lines to a file, `(empty)` as an empty line;
//! - a query `prunes <query>` gives the query's rows, and fails unless its scans prune zones (where they are tiny and
//!   pruning is on); a query `zones <query>` gives the zones that its scans had before them, and of these the pruned;
//! - `NULL` and `(empty)` among the rows are NULL and the empty text.

#[path = "runner/config.rs"]
mod config;
#[path = "runner/database.rs"]
mod database;
#[path = "runner/files.rs"]
mod files;
#[path = "runner/plain.rs"]
mod plain;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

use config::Config;

/// Planning in a debug build takes deep stacks.
const STACK_BYTES: usize = 32 << 20;

/// What the runs of a file came to.
#[derive(Default)]
struct Report {
    runs: usize,
    time: Duration,
    pruned: u64,
}

fn main() -> ExitCode {
    let full = std::env::args().any(|w| w == "--full").then(|| "1".to_string());
    let long = full.or_else(|| std::env::var("BLUESHIFT_LONG").ok());
    let complete = std::env::args().any(|w| w == "--complete");
    let arguments = Arguments::from_iter(std::env::args().filter(|w| w != "--complete" && w != "--full"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .expect("a runtime");
    let runtime = Arc::new(runtime);
    let reports: Arc<Mutex<BTreeMap<String, Report>>> = Arc::default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql-tests");
    let compared: Arc<Mutex<plain::Compared>> = Arc::default();
    let mut trials = vec![
        Trial::test("configurations cover all pairs", || Ok(config::check_coverage()?)),
        Trial::test("files that pass whatever comes out are found", || Ok(files::check_the_checks()?)),
    ];
    let handle = Arc::clone(&runtime);
    trials.push(Trial::test("what plain DataFusion gives otherwise is found", move || {
        handle.block_on(handle.spawn(plain::check_the_comparison())).map_err(|e| Failed::from(e.to_string()))?
    }));
    for config in config::DEFAULT.into_iter().chain(config::encoded()) {
        let runtime = Arc::clone(&runtime);
        let trial = format!("a configuration is what it says [{config}]");
        trials.push(Trial::test(trial, move || {
            let run = runtime.spawn(database::check_effect(config));
            runtime.block_on(run).map_err(|e| Failed::from(format!("the run panicked: {e}")))?
        }));
    }
    for file in files::below(&root) {
        let name = file.strip_prefix(&root).expect("a file of the folder").display().to_string();
        let text = std::fs::read_to_string(&file).expect("a readable file");
        files::check(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let configs = match files::layout_of(&text) {
            Some(layout) => vec![layout.unwrap_or_else(|e| panic!("{name}: {e}"))],
            None if complete => vec![config::DEFAULT[0]],
            None => config::chosen(&name, long.as_deref()),
        };
        if name.starts_with("suite/") && !complete {
            let (runtime, compared) = (Arc::clone(&runtime), Arc::clone(&compared));
            trials.push(Trial::test(format!("{name} [plain DataFusion]"), move || {
                let run = runtime.spawn(async move { plain::compare(&text).await });
                let found = runtime.block_on(run).map_err(|e| Failed::from(format!("the run panicked: {e}")))??;
                let mut all = compared.lock().expect("no run panicked holding it");
                (all.same, all.otherwise) = (all.same + found.same, all.otherwise + found.otherwise);
                Ok(())
            }));
        }
        for config in configs {
            let (file, name, reports) = (file.clone(), name.clone(), Arc::clone(&reports));
            let runtime = Arc::clone(&runtime);
            let trial = format!("{name} [{config}]");
            trials.push(Trial::test(trial, move || {
                let run = runtime.spawn(async move { run(&file, config, complete, &name, &reports).await });
                runtime.block_on(run).map_err(|e| Failed::from(format!("the run panicked: {e}")))?
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    print_reports(&reports.lock().expect("no run panicked holding it"));
    let compared = compared.lock().expect("no run panicked holding it");
    println!(
        "suite: {} records come out as in plain DataFusion, {} otherwise, as Redshift has it",
        compared.same, compared.otherwise
    );
    conclusion.exit_code()
}

async fn run(
    file: &Path,
    config: Config,
    complete: bool,
    name: &str,
    reports: &Mutex<BTreeMap<String, Report>>,
) -> Result<(), Failed> {
    let started = Instant::now();
    let (outcome, pruned) = database::run_file(file, config, complete).await?;
    {
        let mut reports = reports.lock().expect("no run panicked holding it");
        let report = reports.entry(name.to_string()).or_default();
        report.runs += 1;
        report.time += started.elapsed();
        report.pruned += pruned;
    }
    outcome?;
    if config.pruning && pruned == 0 && name.starts_with("pruning/") {
        return Err("no zone was pruned, though the file is there to prune".into());
    }
    if !config.pruning && pruned > 0 {
        return Err(format!("{pruned} zones were pruned, though pruning is off").into());
    }
    Ok(())
}

fn print_reports(reports: &BTreeMap<String, Report>) {
    println!("{:<40} {:>5} {:>9} {:>13}", "file", "runs", "seconds", "zones pruned");
    for (name, report) in reports {
        let seconds = report.time.as_secs_f64();
        println!("{name:<40} {:>5} {seconds:>9.1} {:>13}", report.runs, report.pruned);
    }
}
