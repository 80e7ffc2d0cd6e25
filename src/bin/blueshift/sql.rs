//! `blueshift sql`: statements from the command line, files or standard input, in one session.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use blueshift::engine::Warehouse;
use clap::ArgMatches;

use crate::args::EngineArgs;
use crate::failure::{Failure, Source, note};
use crate::render::Format;
use crate::shell::{Shell, Then};

/// Run SQL statements in one session
///
/// Statements are separated by semicolons and run in the order of the -c and -f options; standard input is read when
/// there is neither. The first error ends the run. On a terminal, a shell takes statements and commands (\\? lists them),
/// and errors do not end it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the warehouse is kept: a directory, memory://, or a bucket as s3://bucket/prefix, gs://… or az://…; a new place becomes a warehouse.
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
    let at_terminal = sources.is_empty() && io::stdin().is_terminal();
    if sources.is_empty() && !at_terminal {
        sources.push(read(&Input::File("-".into()))?);
    }
    let warehouse = open(&args).await?;
    let shell = Shell::new(warehouse.session(), args.format, args.timing);
    let outcome = if at_terminal { shell.prompt().await } else { run_all(shell, &sources).await };
    let closed = warehouse.close().await;
    outcome?;
    Ok(closed?)
}

fn read(input: &Input) -> Result<Source, Failure> {
    match input {
        Input::Command(text) => Ok(Source::typed(text.clone())),
        Input::File(path) if path == Path::new("-") => {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes)?;
            Ok(Source::typed(utf8(bytes, "standard input")?))
        }
        Input::File(path) => read_file(path),
    }
}

/// The statements of a file.
pub fn read_file(path: &Path) -> Result<Source, Failure> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|e| Failure::Message(format!("cannot read {name}: {e}")))?;
    let text = utf8(bytes, &name)?;
    let text = text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text);
    Ok(Source { file: Some(name), ..Source::typed(text) })
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

async fn run_all(mut shell: Shell, sources: &[Source]) -> Result<(), Failure> {
    for source in sources {
        if let Then::Quit = shell.run_text(source).await? {
            break;
        }
    }
    shell.finish()
}
