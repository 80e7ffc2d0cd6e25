//! What ends a command, and how it is told.

use std::io::{self, Write};

use blueshift::common::Error;
use blueshift::engine::from_datafusion;

#[derive(Debug)]
pub enum Failure {
    /// Of the engine; `source` is the text that its place refers to.
    Engine {
        error: Error,
        source: Option<Source>,
    },
    Io(io::Error),
    Message(String),
}

/// Text that statements came from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file, if it was one.
    pub file: Option<String>,
    pub text: String,
    /// How many files run one another to get here.
    pub depth: usize,
}

impl Source {
    /// Text of no file.
    pub fn typed(text: String) -> Self {
        Source { file: None, text, depth: 0 }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Engine { error, source: None }
    }
}

impl From<datafusion::error::DataFusionError> for Failure {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        Failure::from(from_datafusion(error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

impl Failure {
    /// Tells it on standard error: message, place with the line it is in, detail, hint.
    pub fn report(&self) {
        note(&self.text());
    }

    /// What went wrong, in one line.
    pub fn summary(&self) -> String {
        match self {
            Failure::Io(e) => e.to_string(),
            Failure::Message(message) => message.clone(),
            Failure::Engine { error, .. } => error.message().to_string(),
        }
    }

    fn text(&self) -> String {
        match self {
            Failure::Io(e) => format!("ERROR: {e}"),
            Failure::Message(message) => format!("ERROR: {message}"),
            Failure::Engine { error, source } => {
                let mut text = format!("ERROR: {}", error.message());
                if let (Some(object), Some(offset)) = (error.object(), error.offset()) {
                    text.push_str(&format!(" (object {object}, offset {offset})"));
                }
                if let Some(at) = error.position() {
                    text.push_str("\nAT: ");
                    if let Some(file) = source.as_ref().and_then(|s| s.file.as_ref()) {
                        text.push_str(&format!("{file}, "));
                    }
                    text.push_str(&format!("line {}, column {}", at.line, at.column));
                    if let Some(source) = source {
                        text.push_str(&excerpt(&source.text, at.line, at.column));
                    }
                }
                if let Some(detail) = error.detail() {
                    text.push_str(&format!("\nDETAIL: {detail}"));
                }
                if let Some(hint) = error.hint() {
                    text.push_str(&format!("\nHINT: {hint}"));
                }
                text
            }
        }
    }
}

/// The line of `text` that the place is in, with a mark below it.
fn excerpt(text: &str, line: u64, column: u64) -> String {
    const WIDTH: usize = 120;
    let Some(shown) = text.lines().nth(line.saturating_sub(1) as usize) else { return String::new() };
    let column = column.saturating_sub(1) as usize;
    // Of a long line, what is around the place.
    let from = column.saturating_sub(WIDTH / 2);
    let shown: String = shown.chars().map(|c| if c.is_control() { ' ' } else { c }).skip(from).take(WIDTH).collect();
    if shown.trim().is_empty() {
        return String::new();
    }
    format!("\n    {}\n    {}^", shown.trim_end(), " ".repeat(column - from))
}

/// A line on standard error; nothing can be done when that is closed.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
