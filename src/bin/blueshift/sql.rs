//! `blueshift sql`: statements from the command line, files or standard input, in one session.

use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use blueshift::engine::{Session, StatementText, Warehouse, is_complete, split};
use clap::ArgMatches;

use crate::args::EngineArgs;
use crate::failure::{Failure, Source, note};
use crate::render::{self, Format};

/// Run SQL statements in one session
///
/// Statements are separated by semicolons and run in the order of the -c and -f options; standard input is read when
/// there is neither. The first error ends the run. On a terminal, a plain prompt takes statements, and errors do not end
/// it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the warehouse is kept: a directory, s3://bucket/prefix or memory://; a new place becomes a warehouse.
    /// Without it the warehouse is in memory and gone at the end
    #[arg(short, long, value_name = "WAREHOUSE")]
    warehouse: Option<String>,
    /// Statements to run
    #[arg(short, long = "command", value_name = "SQL")]
    command: Vec<String>,
    /// A file of statements to run; - is standard input
    #[arg(short, long = "file", value_name = "FILE")]
    file: Vec<PathBuf>,
    /// How results are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Print each statement's time on standard error
    #[arg(long)]
    timing: bool,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[arg(skip)]
    order: Vec<Input>,
}

#[derive(Debug, Clone)]
enum Input {
    Command(String),
    File(PathBuf),
}

impl Args {
    /// Learns in which order -c and -f were given.
    pub fn take_order(&mut self, matches: &ArgMatches) {
        let places = |id: &str| matches.indices_of(id).into_iter().flatten().collect::<Vec<_>>();
        let commands = places("command").into_iter().zip(self.command.drain(..).map(Input::Command));
        let files = places("file").into_iter().zip(self.file.drain(..).map(Input::File));
        let mut inputs: Vec<(usize, Input)> = commands.chain(files).collect();
        inputs.sort_by_key(|(place, _)| *place);
        self.order = inputs.into_iter().map(|(_, input)| input).collect();
    }
}

pub async fn run(args: Args) -> Result<(), Failure> {
    // What cannot be read is found before anything runs.
    let mut sources = args.order.iter().map(read).collect::<Result<Vec<Source>, Failure>>()?;
    let shell = sources.is_empty() && io::stdin().is_terminal();
    if sources.is_empty() && !shell {
        sources.push(read(&Input::File("-".into()))?);
    }
    let warehouse = open(&args).await?;
    let session = warehouse.session();
    let printer = Printer { format: args.format, timing: args.timing };
    let outcome = match shell {
        true => prompt(&session, &printer).await,
        false => run_all(&session, &printer, &sources).await,
    };
    drop(session);
    let closed = warehouse.close().await;
    outcome?;
    Ok(closed?)
}

fn read(input: &Input) -> Result<Source, Failure> {
    match input {
        Input::Command(text) => Ok(Source { file: None, text: text.clone() }),
        Input::File(path) if path == Path::new("-") => {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes)?;
            Ok(Source { file: None, text: utf8(bytes, "standard input")? })
        }
        Input::File(path) => {
            let name = path.display().to_string();
            let bytes = std::fs::read(path).map_err(|e| Failure::Message(format!("cannot read {name}: {e}")))?;
            let text = utf8(bytes, &name)?;
            Ok(Source { text: text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text), file: Some(name) })
        }
    }
}

fn utf8(bytes: Vec<u8>, name: &str) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|e| {
        Failure::Message(format!("{name} is not UTF-8 text: byte {} is wrong", e.utf8_error().valid_up_to()))
    })
}

async fn open(args: &Args) -> Result<Warehouse, Failure> {
    let builder = args.engine.warehouse();
    let Some(location) = &args.warehouse else {
        note("The warehouse is in memory and gone at the end; -w DIRECTORY keeps one.");
        return Ok(builder.open("memory://").await?);
    };
    let warehouse = builder.open(location).await?;
    if warehouse.was_created() {
        note(&format!("Created a warehouse at {} with {} slices.", warehouse.location(), warehouse.info().slices));
    }
    Ok(warehouse)
}

async fn run_all(session: &Session, printer: &Printer, sources: &[Source]) -> Result<(), Failure> {
    for source in sources {
        for statement in split(&source.text) {
            printer.run(session, statement, source).await?;
        }
    }
    Ok(())
}

/// Reads statements from a terminal until its end or `\q`; errors do not end it.
async fn prompt(session: &Session, printer: &Printer) -> Result<(), Failure> {
    note("Type statements that end with a semicolon; \\q quits.");
    let mut text = String::new();
    loop {
        {
            let mut out = io::stdout();
            out.write_all(if text.is_empty() { b"blueshift=> " } else { b"blueshift-> " })?;
            out.flush()?;
        }
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|_| line)
        });
        let line = line.await.map_err(|e| Failure::Message(e.to_string()))??;
        if line.is_empty() {
            writeln!(io::stdout())?;
            return Ok(());
        }
        match line.trim() {
            "\\q" => return Ok(()),
            "" if text.is_empty() => continue,
            command if text.is_empty() && matches!(command, "quit" | "exit") => {
                note("\\q quits.");
                continue;
            }
            command if text.is_empty() && command.starts_with('\\') => {
                note(&format!("There is no command {command}; \\q quits, everything else is SQL."));
                continue;
            }
            _ => text.push_str(&line),
        }
        if is_complete(&text) {
            let source = Source { file: None, text: std::mem::take(&mut text) };
            for statement in split(&source.text) {
                match printer.run(session, statement, &source).await {
                    Err(Failure::Io(e)) => return Err(Failure::Io(e)),
                    Err(failure) => {
                        failure.report();
                        break;
                    }
                    Ok(()) => {}
                }
            }
        }
    }
}

/// Runs statements and writes their results.
struct Printer {
    format: Format,
    timing: bool,
}

impl Printer {
    async fn run(&self, session: &Session, statement: StatementText<'_>, source: &Source) -> Result<(), Failure> {
        let started = Instant::now();
        let outcome = self.print(session, statement).await;
        if self.timing {
            note(&format!("Time: {:.3} ms", started.elapsed().as_secs_f64() * 1e3));
        }
        outcome.map_err(|failure| match failure {
            Failure::Engine { error, source: None } => Failure::Engine { error, source: Some(source.clone()) },
            other => other,
        })
    }

    async fn print(&self, session: &Session, statement: StatementText<'_>) -> Result<(), Failure> {
        let output = session.statement(statement).await?;
        output.notices.iter().for_each(|notice| note(&format!("NOTICE: {notice}")));
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout());
        render::write(&mut out, output, self.format).await?;
        Ok(out.flush()?)
    }
}
