//! The text of a file, cut into blocks of whole lines, which are read at the same time.

use std::io::{self, Read};
use std::sync::Arc;

use super::input::NotEncoded;
use super::refused::{Code, LoadError, raw};
use crate::common::{Error, Result};
use crate::engine::stores::store_error;

/// Bytes of a block, about.
pub const BLOCK_BYTES: usize = 1 << 20;
/// The longest line (Redshift manual, "COPY", input row size).
pub const MAX_LINE_BYTES: usize = 4 << 20;
/// Bytes that end a line, at most.
const LINE_END_BYTES: usize = 2;

/// Whole lines of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pub file: Arc<str>,
    /// Number of the first line, from 1.
    pub line: u64,
    /// Of the first byte in the file, as it is decompressed.
    pub offset: u64,
    pub text: Vec<u8>,
}

/// Why a file is not read on.
#[derive(Debug)]
pub struct Broken {
    pub error: Error,
    /// Where the file is to blame, its line that cannot be read.
    pub line: Option<Box<LoadError>>,
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Broken { error, line: None }
    }
}

/// Of a file whose reading has failed: what its error is called, and the line that is to blame where the file is.
pub fn unreadable(
    file: &str,
    e: io::Error,
    what: impl FnOnce(&io::Error) -> String,
    line: impl FnOnce(Code, String) -> LoadError,
) -> Broken {
    let code = if e.get_ref().is_some_and(|e| e.is::<NotEncoded>()) { Code::ENCODING } else { Code::UNKNOWN };
    match e.downcast::<object_store::Error>() {
        Ok(e) => store_error("read", file, e).into(),
        // What a decompressor says of its bytes, or a decoder.
        Err(e) => Broken { error: super::damaged(file, &what(&e)), line: Some(Box::new(line(code, e.to_string()))) },
    }
}

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// Any line end.
    Plain,
    /// One that no backslash stands before.
    Escaped,
    /// One that is not within quotes, which begin where fields do.
    Quoted { delimiter: u8, quote: u8 },
    /// None: values of JSON follow each other, with blanks between or within them.
    Json,
}

/// Cuts what `input` gives. Lines end with `\n`, `\r\n` or `\r`.
pub struct Cutter<R> {
    input: R,
    file: Arc<str>,
    lines: Lines,
    /// Read and not handed out.
    held: Vec<u8>,
    /// How much of it was looked at, and what is known there.
    seen: usize,
    state: State,
    /// Where the last line of what was looked at ends.
    end: usize,
    ended: bool,
    line: u64,
    offset: u64,
    /// Lines at the start that are left out.
    skip: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Before a field, of CSV; else anywhere.
    Start,
    Field,
    Quoted,
    /// Behind a quote within quotes: the second of two, or the end.
    QuoteSeen,
    Escape,
    /// Within an array or an object of JSON: how deep.
    Value(u32),
    /// Within a string of it, and behind a backslash there.
    String(u32),
    StringEscape(u32),
}

impl<R: Read> Cutter<R> {
    /// `skip` lines at the start are left out.
    pub fn new(input: R, file: Arc<str>, lines: Lines, skip: u64) -> Self {
        Cutter {
            input,
            file,
            lines,
            held: Vec::new(),
            seen: 0,
            state: State::Start,
            end: 0,
            ended: false,
            line: 1,
            offset: 0,
            skip,
        }
    }

    /// The next block. Blocks while the input does.
    ///
    /// Errors: Invalid, code 1216, for a line that is too long, 1221 for one that is not of the encoding, 1200 for other bytes that
    /// cannot be read; what reading gives.
    pub fn next(&mut self) -> Result<Option<Block>, Broken> {
        loop {
            let wanted = if self.skip > 0 { 1 } else { BLOCK_BYTES };
            if (self.end >= wanted) || (self.ended && !self.held.is_empty()) {
                let to = if self.ended && self.end < wanted.min(self.held.len()) { self.held.len() } else { self.end };
                if self.skip > 0 {
                    self.leave_out();
                    continue;
                }
                return Ok(Some(self.hand_out(to)));
            }
            if self.ended {
                return Ok(None);
            }
            match (MAX_LINE_BYTES + LINE_END_BYTES).saturating_sub(self.held.len() - self.end) {
                0 => return Err(self.too_long()),
                room => self.fill(room.min(BLOCK_BYTES / 4))?,
            }
        }
    }

    /// Reads so many bytes at most.
    fn fill(&mut self, bytes: usize) -> Result<(), Broken> {
        let from = self.held.len();
        self.held.resize(from + bytes, 0);
        let read = loop {
            match self.input.read(&mut self.held[from..]) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let read = read.map_err(|e| {
            self.held.truncate(from);
            let at = self.offset + from as u64;
            unreadable(
                &self.file,
                e,
                |e| format!("at byte {at} of its text: {e}"),
                |code, reason| self.unread(code, reason),
            )
        })?;
        self.held.truncate(from + read);
        self.ended = read == 0;
        self.look();
        Ok(())
    }

    /// Looks at what was read since the last time. What is left out are lines, whatever stands in them.
    fn look(&mut self) {
        let text = &self.held;
        let mut at = self.seen;
        match if self.skip > 0 { Lines::Plain } else { self.lines } {
            Lines::Plain => {
                // A `\r` at the very end may have its `\n` behind it.
                let known = if self.ended { text.len() } else { text.len().saturating_sub(1) };
                let last = memchr::memrchr2(b'\n', b'\r', &text[self.end..known]);
                if let Some(last) = last.map(|last| self.end + last) {
                    let both = text[last] == b'\r' && text.get(last + 1) == Some(&b'\n');
                    self.end = last + 1 + usize::from(both);
                }
                at = text.len();
            }
            Lines::Quoted { quote, .. } => {
                while at < text.len() {
                    if self.state == State::Quoted {
                        match memchr::memchr(quote, &text[at..]) {
                            Some(found) => (at, self.state) = (at + found + 1, State::QuoteSeen),
                            None => at = text.len(),
                        }
                        continue;
                    }
                    if memchr::memchr2(quote, b'\r', &text[at..]).is_none() {
                        // Each line end is one.
                        if let Some(last) = memchr::memrchr(b'\n', &text[at..]) {
                            (self.end, self.state) = (at + last + 1, State::Start);
                            at = self.end;
                        }
                        self.state = self.lines.behind(self.state, &text[at..]);
                        at = text.len();
                        break;
                    }
                    let Some(found) = memchr::memchr3(quote, b'\n', b'\r', &text[at..]).map(|found| at + found) else {
                        self.state = self.lines.behind(self.state, &text[at..]);
                        at = text.len();
                        break;
                    };
                    if text[found] == b'\r' && found + 1 == text.len() && !self.ended {
                        // Looked at again with what follows.
                        at = found;
                        self.state = State::Field;
                        break;
                    }
                    let before = self.lines.behind(self.state, &text[at..found]);
                    let (next, ends) = self.lines.step(before, text[found]);
                    at = found + 1;
                    if ends {
                        at += usize::from(text[found] == b'\r' && text.get(at) == Some(&b'\n'));
                        self.end = at;
                    }
                    self.state = next;
                }
            }
            Lines::Escaped | Lines::Json => {
                while at < text.len() {
                    let byte = text[at];
                    let (next, ends) = self.lines.step(self.state, byte);
                    if ends {
                        let both = byte == b'\r' && text.get(at + 1) == Some(&b'\n');
                        if byte == b'\r' && at + 1 == text.len() && !self.ended {
                            // Looked at again with what follows.
                            break;
                        }
                        at += usize::from(both);
                        self.end = at + 1;
                    }
                    self.state = next;
                    at += 1;
                }
            }
        }
        self.seen = at;
    }

    fn hand_out(&mut self, to: usize) -> Block {
        let rest = self.held.split_off(to);
        let text = std::mem::replace(&mut self.held, rest);
        let block = Block { file: Arc::clone(&self.file), line: self.line, offset: self.offset, text };
        self.line += line_ends(&block.text);
        self.offset += block.text.len() as u64;
        self.seen -= to.min(self.seen);
        self.end = 0;
        block
    }

    /// Leaves out lines at the start.
    fn leave_out(&mut self) {
        let to = if self.ended { self.held.len() } else { self.end };
        let mut at = 0;
        while self.skip > 0 && at < to {
            let line = self.held[at..to].iter().position(|b| matches!(b, b'\n' | b'\r'));
            at = match line.map(|line| at + line) {
                Some(end) if self.held[end] == b'\r' && self.held.get(end + 1) == Some(&b'\n') => end + 2,
                Some(end) => end + 1,
                None => to,
            };
            self.skip -= 1;
            self.line += 1;
        }
        if at >= self.held.len() && self.ended {
            self.skip = 0;
        }
        self.held.drain(..at);
        self.offset += at as u64;
        // What is left is looked at from its start: a header may have quotes of its own.
        (self.seen, self.end, self.state) = (0, 0, State::Start);
        self.look();
    }

    fn too_long(&self) -> Broken {
        let line = self.unread(Code::BAD_LINE, "a line of more than 4 MB".to_string());
        Broken { error: line.error(0), line: Some(Box::new(line)) }
    }

    /// The line that is being read.
    fn unread(&self, code: Code, reason: String) -> LoadError {
        LoadError {
            file: Arc::clone(&self.file),
            line: self.line + line_ends(&self.held[..self.end]),
            offset: self.offset + self.end as u64,
            column: None,
            position: 0,
            raw_line: raw(&self.held[self.end..]),
            raw_value: String::new(),
            code,
            reason,
            fields: Vec::new(),
        }
    }
}

impl State {
    pub(super) fn is_quoted(self) -> bool {
        self == State::Quoted
    }

    pub(super) fn is_behind_quote(self) -> bool {
        self == State::QuoteSeen
    }
}

impl Lines {
    /// Before the first byte of a line.
    pub(super) fn begin(self) -> State {
        State::Start
    }

    /// What follows bytes of CSV that are no quotes and no line ends: only the last that is no blank says what a quote behind them
    /// means.
    fn behind(self, state: State, text: &[u8]) -> State {
        let Lines::Quoted { delimiter, .. } = self else { return state };
        match text.iter().rposition(|byte| !is_blank(*byte) || *byte == delimiter) {
            Some(last) => self.step(State::Field, text[last]).0,
            None if state == State::QuoteSeen && !text.is_empty() => State::Field,
            None => state,
        }
    }

    /// What follows a byte, and whether a line ends with it.
    pub(super) fn step(self, state: State, byte: u8) -> (State, bool) {
        let end = matches!(byte, b'\n' | b'\r');
        match (self, state) {
            (Lines::Plain, _) => (State::Start, end),
            (Lines::Escaped, State::Escape) => (State::Start, false),
            (Lines::Escaped, _) if byte == b'\\' => (State::Escape, false),
            (Lines::Escaped, _) => (State::Start, end),
            (Lines::Quoted { quote, .. }, State::Quoted) if byte == quote => (State::QuoteSeen, false),
            (Lines::Quoted { .. }, State::Quoted) => (State::Quoted, false),
            (Lines::Quoted { quote, .. }, State::QuoteSeen) if byte == quote => (State::Quoted, false),
            (Lines::Quoted { quote, .. }, State::Start) if byte == quote => (State::Quoted, false),
            (Lines::Quoted { .. }, _) if end => (State::Start, true),
            (Lines::Quoted { delimiter, .. }, _) if byte == delimiter => (State::Start, false),
            (Lines::Quoted { .. }, State::Start) if is_blank(byte) => (State::Start, false),
            (Lines::Quoted { .. }, _) => (State::Field, false),
            (Lines::Json, State::StringEscape(depth)) => (State::String(depth), false),
            (Lines::Json, State::String(depth)) => match byte {
                b'"' if depth == 0 => (State::Start, true),
                b'"' => (State::Value(depth), false),
                b'\\' => (State::StringEscape(depth), false),
                _ => (state, false),
            },
            (Lines::Json, State::Value(depth)) => match byte {
                b'"' => (State::String(depth), false),
                b'{' | b'[' => (State::Value(depth + 1), false),
                b'}' | b']' if depth <= 1 => (State::Start, true),
                b'}' | b']' => (State::Value(depth - 1), false),
                _ => (state, false),
            },
            (Lines::Json, _) => match byte {
                b'{' | b'[' => (State::Value(1), false),
                b'"' => (State::String(0), false),
                _ => (State::Start, byte.is_ascii_whitespace()),
            },
        }
    }
}

/// What CSV may have between a delimiter and a quote (Redshift manual, "Data format parameters", CSV).
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// How many lines end in it.
pub fn line_ends(text: &[u8]) -> u64 {
    let newlines = memchr::memchr_iter(b'\n', text).count();
    let alone = memchr::memchr_iter(b'\r', text).filter(|at| text.get(at + 1) != Some(&b'\n')).count();
    (newlines + alone) as u64
}
