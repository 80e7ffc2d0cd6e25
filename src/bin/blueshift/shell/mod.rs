//! The shell: statements and commands typed at a terminal.

mod commands;
mod complete;
mod progress;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use blueshift::engine::{Session, StatementText, split};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Behavior, CompletionType, Config, Editor};

use crate::failure::{Failure, Source, note};
use crate::render::screen::{Expanded, Screen};
use crate::render::{self, Format};
use complete::Assistant;

/// Half of them from a result's start, half from its end.
const MAX_ROWS: usize = 100;

/// What a command line or statement led to.
pub enum Then {
    GoOn,
    Quit,
}

/// Runs statements of one session and writes what they give; the commands change how.
pub struct Shell {
    session: Arc<Session>,
    format: Format,
    timing: bool,
    expanded: Expanded,
    max_rows: usize,
    /// Where results go that are not for the terminal.
    file: Option<(PathBuf, BufWriter<File>)>,
}

impl Shell {
    pub fn new(session: Session, format: Format, timing: bool) -> Self {
        session.on_notice(|notice| note(&format!("NOTICE: {notice}")));
        Shell { session: Arc::new(session), format, timing, expanded: Expanded::Auto, max_rows: MAX_ROWS, file: None }
    }

    /// Runs a text of statements and commands; the first error ends it.
    pub async fn run_text(&mut self, source: &Source) -> Result<Then, Failure> {
        for piece in pieces(&source.text) {
            match piece {
                Piece::Command(line) => {
                    if let Then::Quit = commands::run(self, &line, source).await? {
                        return Ok(Then::Quit);
                    }
                }
                Piece::Statements(text) => {
                    for statement in split(&text) {
                        self.run_statement(statement, source).await?;
                    }
                }
            }
        }
        Ok(Then::GoOn)
    }

    /// Reads statements and commands from the terminal until its end or `\q`; errors do not end it.
    pub async fn prompt(mut self) -> Result<(), Failure> {
        note("Statements end with a semicolon; \\? lists commands, \\q quits.");
        // Where standard output is no terminal, it gets the results alone.
        let behavior = if io::stdout().is_terminal() { Behavior::Stdio } else { Behavior::PreferTerm };
        let config = Config::builder()
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .behavior(behavior)
            .build();
        let mut editor: Editor<Assistant, FileHistory> = Editor::with_config(config).map_err(terminal)?;
        let history = history_file();
        if let Some(path) = &history {
            // There is none at the first start.
            let _ = editor.load_history(path);
        }
        let outcome = self.read_and_run(&mut Some(editor), history.as_deref()).await;
        self.finish()?;
        outcome
    }

    /// Writes what is left for a file.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }

    async fn read_and_run(&mut self, slot: &mut Option<Editing>, history: Option<&Path>) -> Result<(), Failure> {
        loop {
            let Some(mut editor) = slot.take() else { return Ok(()) };
            editor.set_helper(Some(Assistant::of(self.session.context().clone())));
            let read = tokio::task::spawn_blocking(move || {
                let line = editor.readline("blueshift=> ");
                (editor, line)
            });
            let (mut editor, line) = read.await.map_err(|e| Failure::Message(e.to_string()))?;
            let text = match line {
                Ok(text) => text,
                Err(ReadlineError::Interrupted) => {
                    *slot = Some(editor);
                    continue;
                }
                Err(ReadlineError::Eof) => return Ok(()),
                Err(e) => return Err(terminal(e)),
            };
            if text.trim().is_empty() {
                *slot = Some(editor);
                continue;
            }
            if !holds_secret(&text) {
                let _ = editor.add_history_entry(text.trim_end());
                if let Some(path) = history
                    && let Err(e) = editor.append_history(path)
                {
                    note(&format!("The history cannot be kept in {}: {e}", path.display()));
                }
            }
            *slot = Some(editor);
            if matches!(text.trim(), "quit" | "exit" | "quit;" | "exit;") {
                return Ok(());
            }
            match self.run_cancellable(Source::typed(text)).await {
                Ok(Then::Quit) => return Ok(()),
                Ok(Then::GoOn) => {}
                Err(failure) => failure.report(),
            }
        }
    }

    /// Ctrl-C stops what runs, and a second one the shell, should it not stop.
    async fn run_cancellable(&mut self, source: Source) -> Result<Then, Failure> {
        let session = Arc::clone(&self.session);
        let run = self.run_text(&source);
        tokio::pin!(run);
        let mut asked = false;
        loop {
            tokio::select! {
                outcome = &mut run => return outcome,
                signal = tokio::signal::ctrl_c() => {
                    signal?;
                    if asked {
                        return Err(Failure::Message("left while the statement was being cancelled".into()))
                            .inspect_err(Failure::report)
                            .or(Ok(Then::Quit));
                    }
                    asked = true;
                    note("Cancelling; Ctrl-C again leaves the shell.");
                    session.cancel();
                }
            }
        }
    }

    async fn run_statement(&mut self, statement: StatementText<'_>, source: &Source) -> Result<(), Failure> {
        let started = Instant::now();
        let outcome = self.print(statement).await;
        if self.timing {
            note(&format!("Time: {:.3} ms", started.elapsed().as_secs_f64() * 1e3));
        }
        outcome.map_err(|failure| match failure {
            Failure::Engine { error, source: None } => Failure::Engine { error, source: Some(source.clone()) },
            other => other,
        })
    }

    async fn print(&mut self, statement: StatementText<'_>) -> Result<(), Failure> {
        let output = match io::stderr().is_terminal() {
            true => progress::shown(&self.session, self.session.statement(statement)).await?,
            false => self.session.statement(statement).await?,
        };
        output.notices.iter().for_each(|notice| note(&format!("NOTICE: {notice}")));
        if let Some((_, file)) = &mut self.file {
            render::write(file, output, self.format).await?;
            return Ok(file.flush()?);
        }
        let stdout = io::stdout();
        let on_terminal = stdout.is_terminal();
        let mut out = BufWriter::with_capacity(1 << 16, stdout);
        if on_terminal && self.format == Format::Table && output.has_rows() {
            let screen = Screen { width: terminal_width(), max_rows: self.max_rows, expanded: self.expanded };
            render::screen::write(&mut out, output, screen).await?;
        } else {
            render::write(&mut out, output, self.format).await?;
        }
        Ok(out.flush()?)
    }

    /// Writes lines where results go.
    fn write_lines(&mut self, lines: &[String]) -> Result<(), Failure> {
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        match &mut self.file {
            Some((_, file)) => {
                file.write_all(text.as_bytes())?;
                Ok(file.flush()?)
            }
            None => Ok(io::stdout().write_all(text.as_bytes())?),
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.file {
            Some((_, file)) => Ok(file.flush()?),
            None => Ok(()),
        }
    }
}

/// A terminal that does not tell its width has 80 columns.
fn terminal_width() -> u16 {
    let width = console::Term::stdout().size_checked().map_or(0, |(_, columns)| columns);
    if width == 0 { 80 } else { width }
}

type Editing = Editor<Assistant, FileHistory>;

fn terminal(error: ReadlineError) -> Failure {
    Failure::Message(format!("the terminal cannot be read: {error}"))
}

/// Where what was typed is kept from one shell to the next; nowhere when `BLUESHIFT_HISTORY` is empty.
fn history_file() -> Option<PathBuf> {
    match std::env::var_os("BLUESHIFT_HISTORY") {
        Some(path) if path.is_empty() => None,
        Some(path) => Some(path.into()),
        None => std::env::home_dir().map(|home| home.join(".blueshift_history")),
    }
}

/// Whether a statement says a credential, which no file is to keep.
fn holds_secret(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    // A signed address is a secret, too.
    ["CREDENTIAL", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "ACCESS_KEY_ID", "SIGNATURE", "SIG="]
        .iter()
        .any(|word| upper.contains(word))
}

/// A part of a text for the shell.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// A line that begins with a backslash, where a statement could begin.
    Command(String),
    /// Statements, behind as many empty lines as stand before them in the text, so that places in it are right.
    Statements(String),
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut statements = String::new();
    let mut begun = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        // All statements so far are read again for this, so only where a line could be a command.
        let between = || statements.trim().is_empty() || blueshift::engine::is_complete(&statements);
        if line.trim_start().starts_with('\\') && between() {
            push_statements(&mut pieces, &mut statements, begun);
            pieces.push(Piece::Command(line.trim().to_string()));
            begun = number + 1;
        } else {
            statements.push_str(line);
        }
    }
    push_statements(&mut pieces, &mut statements, begun);
    pieces
}

fn push_statements(pieces: &mut Vec<Piece>, statements: &mut String, lines_before: usize) {
    let text = std::mem::take(statements);
    if !text.trim().is_empty() {
        pieces.push(Piece::Statements("\n".repeat(lines_before) + &text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_between_statements() {
        let text = "select 1;\n\\timing on\nselect\n\\x, 2;\n  \\q\n";
        let statements = |text: &str| Piece::Statements(text.to_string());
        assert_eq!(
            pieces(text),
            [
                statements("select 1;\n"),
                Piece::Command("\\timing on".into()),
                statements("\n\nselect\n\\x, 2;\n"),
                Piece::Command("\\q".into()),
            ]
        );
        assert_eq!(pieces("select '\n\\q\n';"), [statements("select '\n\\q\n';")]);
        assert!(pieces(" \n\n").is_empty());
    }

    #[test]
    fn credentials_are_not_kept() {
        assert!(holds_secret("copy t from 's3://b/' Secret_Access_Key 'x'"));
        assert!(holds_secret("copy t from 'https://host/file?X-Amz-Signature=x'"));
        assert!(!holds_secret("select 1"));
    }
}
