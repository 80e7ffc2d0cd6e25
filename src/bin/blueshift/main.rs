//! The command line: `blueshift sql` runs statements, `blueshift slt` sqllogictest files, `blueshift inspect` shows how
//! tables are stored, `blueshift tpch` and `blueshift tpcds` the benchmarks of these names, `blueshift bench` anyone's queries.

mod args;
mod bench;
mod failure;
mod inspect;
mod render;
mod shell;
mod slt;
mod sql;
mod tpcds;
mod tpch;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::failure::Failure;

#[derive(Debug, Parser)]
#[command(
    name = "blueshift",
    version,
    about = "A warehouse of the Redshift kind inside Apache DataFusion",
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Sql(sql::Args),
    Slt(slt::Args),
    Inspect(inspect::Args),
    Tpch(tpch::Args),
    Tpcds(tpcds::Args),
    Bench(bench::Args),
}

/// Batches are allocated and freed by the thousand, by several threads: the system's allocator gives their memory back and
/// asks for it again, cleared.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let outcome = match Cli::from_arg_matches(&matches) {
        Err(e) => e.exit(),
        Ok(Cli { command: Command::Sql(mut args) }) => {
            if let Some(matches) = matches.subcommand_matches("sql") {
                args.take_order(matches);
            }
            run(args.engine.threads(), sql::run(args))
        }
        Ok(Cli { command: Command::Slt(args) }) => run(args.engine.threads(), slt::run(args)),
        Ok(Cli { command: Command::Inspect(args) }) => run(args.engine.threads(), inspect::run(args)),
        Ok(Cli { command: Command::Tpch(args) }) => run(args.engine.threads(), tpch::run(args)),
        Ok(Cli { command: Command::Tpcds(args) }) => run(args.engine.threads(), tpcds::run(args)),
        Ok(Cli { command: Command::Bench(args) }) => run(args.engine.threads(), bench::run(args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(Failure::Io(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::FAILURE
        }
    }
}

/// Runs `command` on `threads` worker threads; this one only waits, so that no more than those compute.
fn run<F>(threads: usize, command: F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    // A debug build's planner needs much stack for deeply nested queries.
    let stack = if cfg!(debug_assertions) { 16 << 20 } else { 4 << 20 };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_stack_size(stack)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(runtime.spawn(command));
    // Readers that a dropped query left behind are not waited for.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|panic| Err(Failure::Message(format!("a defect in Blueshift, please report it: {panic}"))))
}
