//! Values of JSON as rows: by the keys of objects, or by JSONPaths (Redshift manual, "COPY from JSON format").
//!
//! Values are looked at as they are written, so that numbers keep all of their digits.

use std::borrow::Cow;

use super::blocks::Block;
use super::infer::column_name;
use super::lines::Line;
use super::refused::Code;
use super::values::{Refusal, not_text};
use crate::common::{Error, Result, SqlState};

/// Where in a value each column is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Under the key that is called like the column.
    Keys {
        names: Vec<String>,
        keys: Keys,
    },
    Paths(Vec<Vec<Step>>),
    /// The whole value is the one column.
    Whole,
}

/// What it is for a key to be called like a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    AsTheyAre,
    InAnyCase,
    /// As [`column_name`] has them.
    AsColumns,
}

impl Keys {
    /// Whether a key is called like a column.
    pub fn match_name(self, name: &str, key: &str) -> bool {
        match self {
            Keys::AsTheyAre => name == key,
            Keys::InAnyCase => name.eq_ignore_ascii_case(key),
            Keys::AsColumns => name == key || column_name(name) == column_name(key),
        }
    }
}

/// A step of a JSONPath.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Index(usize),
}

impl Shape {
    /// Of a file `{"jsonpaths": ["$.a", "$['b'][0]", …]}`, a path for each of so many columns.
    ///
    /// Errors: Invalid where it is none, with the path that is to blame.
    pub fn of_paths(name: &str, text: &[u8], columns: usize) -> Result<Shape> {
        let wrong = |message: String| {
            Error::invalid(SqlState::BAD_COPY_FILE, message).with_hint(
                "a JSONPaths file is as {\"jsonpaths\": [\"$.id\", \"$['names'][0]\"]}, a path for each column",
            )
        };
        let value: serde_json::Value =
            serde_json::from_slice(text).map_err(|e| wrong(format!("\"{name}\" is no JSONPaths file: {e}")))?;
        let paths = value.get("jsonpaths").and_then(|paths| paths.as_array());
        let paths = paths.ok_or_else(|| wrong(format!("\"{name}\" has no list \"jsonpaths\"")))?;
        if paths.len() != columns {
            return Err(wrong(format!("\"{name}\" has {} paths where {columns} columns are loaded", paths.len())));
        }
        let path = |path: &serde_json::Value| {
            let text = path.as_str().unwrap_or_default();
            steps(text).ok_or_else(|| wrong(format!("\"{name}\": {path} is no path of keys and places")))
        };
        let (paths, notations): (Vec<_>, Vec<_>) =
            paths.iter().map(path).collect::<Result<Vec<_>>>()?.into_iter().unzip();
        match notations.contains(&Some(Notation::Dots)) && notations.contains(&Some(Notation::Brackets)) {
            true => Err(wrong(format!("\"{name}\" mixes paths with dots and paths with brackets"))),
            false => Ok(Shape::Paths(paths)),
        }
    }

    /// The columns' values in one of JSON, as they are written; `None` where there is none.
    pub fn find<'v>(&self, value: &'v [u8]) -> std::result::Result<Vec<Option<&'v [u8]>>, Refusal> {
        match self {
            Shape::Whole => Ok(vec![Some(value)]),
            Shape::Keys { names, keys } => {
                let mut found = vec![None; names.len()];
                if !value.starts_with(b"{") {
                    return Err(bad("an object is expected, whose keys are called like columns"));
                }
                for member in members(value) {
                    let (key, value) = member?;
                    if let Some(at) = names.iter().position(|name| keys.match_name(name, &key)) {
                        found[at] = Some(value);
                    }
                }
                Ok(found)
            }
            Shape::Paths(paths) => paths.iter().map(|path| follow(value, path)).collect(),
        }
    }
}

/// The values of a block, each with its place.
pub fn values(block: &Block) -> impl Iterator<Item = (Line<'_>, std::result::Result<&[u8], Refusal>)> {
    let (mut at, mut number) = (0, block.line);
    std::iter::from_fn(move || {
        let text = &block.text;
        while at < text.len() && text[at].is_ascii_whitespace() {
            number += u64::from(text[at] == b'\n');
            at += 1;
        }
        if at == text.len() {
            return None;
        }
        let rest = &text[at..];
        let (length, read) = match end_of(rest) {
            // What is between values is read up to the end of its line.
            None | Some(0) => {
                let line = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                (line.max(1), Err(bad("a value is expected")))
            }
            Some(length) => {
                let value = &rest[..length];
                match serde_json::from_slice::<serde_json::Value>(value) {
                    Ok(_) => (length, Ok(value)),
                    Err(e) => (
                        length,
                        Err(match str::from_utf8(value) {
                            Err(e) => not_text(value, e),
                            Ok(_) => bad(&e.to_string()),
                        }),
                    ),
                }
            }
        };
        let line = Line { text: &rest[..length], number, offset: block.offset + at as u64 };
        at += length;
        number += rest[..length].iter().filter(|b| **b == b'\n').count() as u64;
        Some((line, read))
    })
}

fn bad(reason: &str) -> Refusal {
    Refusal { code: Code::BAD_LINE, reason: format!("no JSON: {reason}") }
}

/// How paths write keys; a file of them has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notation {
    /// `$.a.b`
    Dots,
    /// `$['a']['b']`
    Brackets,
}

/// `$.key`, `$['key']`, `[3]` and so on; the notation of its keys, if it has any.
fn steps(path: &str) -> Option<(Vec<Step>, Option<Notation>)> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    let mut notations = (false, false);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (key, after) = after.split_at(end);
            if key.is_empty() || key == "*" {
                return None;
            }
            notations.0 = true;
            steps.push(Step::Key(key.to_string()));
            rest = after;
        } else {
            let (inside, after) = rest.strip_prefix('[')?.split_once(']')?;
            let quoted = |quote: char| inside.strip_prefix(quote)?.strip_suffix(quote);
            steps.push(match quoted('\'').or(quoted('"')) {
                Some(key) => {
                    notations.1 = true;
                    Step::Key(key.to_string())
                }
                None => Step::Index(inside.parse().ok()?),
            });
            rest = after;
        }
    }
    let notation = match notations {
        (true, true) => return None,
        (true, false) => Some(Notation::Dots),
        (false, true) => Some(Notation::Brackets),
        (false, false) => None,
    };
    (!steps.is_empty()).then_some((steps, notation))
}

fn follow<'v>(value: &'v [u8], path: &[Step]) -> std::result::Result<Option<&'v [u8]>, Refusal> {
    let mut value = value;
    for step in path {
        let mut found = None;
        match step {
            Step::Key(wanted) => {
                for member in members(value) {
                    let (key, value) = member?;
                    if key == *wanted {
                        found = Some(value);
                    }
                }
            }
            Step::Index(wanted) => {
                found = elements(value).nth(*wanted).transpose()?;
                if found.is_none() && value.starts_with(b"[") {
                    return Err(bad(&format!("the array has no element {wanted}")));
                }
            }
        }
        match found {
            Some(found) => value = found,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// A value as text, `None` of null: strings without quotes and escapes, all others as they are written.
pub fn scalar(value: &[u8]) -> std::result::Result<Option<Cow<'_, [u8]>>, Refusal> {
    Ok(match value {
        b"null" => None,
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Some(inner.into()),
        [b'"', ..] => {
            let text: String = serde_json::from_slice(value).map_err(|e| bad(&e.to_string()))?;
            Some(Cow::Owned(text.into_bytes()))
        }
        value => Some(value.into()),
    })
}

/// The keys and values of an object; none of what is none.
pub fn members(value: &[u8]) -> impl Iterator<Item = std::result::Result<(Cow<'_, str>, &[u8]), Refusal>> {
    let mut rest = value.strip_prefix(b"{").unwrap_or_default();
    std::iter::from_fn(move || {
        let start = rest.iter().position(|b| *b == b'"')?;
        let member = || {
            let key_text = &rest[start..];
            let key_length = end_of(key_text)?;
            let key = match scalar(&key_text[..key_length]).ok()?? {
                Cow::Borrowed(key) => Cow::Borrowed(std::str::from_utf8(key).ok()?),
                Cow::Owned(key) => Cow::Owned(String::from_utf8(key).ok()?),
            };
            let after = &key_text[key_length..];
            let begin = after.iter().position(|b| !b.is_ascii_whitespace() && *b != b':')?;
            let length = end_of(&after[begin..])?;
            Some((key, &after[begin..begin + length], &after[begin + length..]))
        };
        match member() {
            Some((key, value, after)) => {
                rest = after;
                Some(Ok((key, value)))
            }
            None => {
                rest = &[];
                Some(Err(bad("a key without value")))
            }
        }
    })
}

/// The elements of an array; none of what is none.
fn elements(value: &[u8]) -> impl Iterator<Item = std::result::Result<&[u8], Refusal>> {
    let mut rest = value.strip_prefix(b"[").unwrap_or_default();
    std::iter::from_fn(move || {
        let begin = rest.iter().position(|b| !b.is_ascii_whitespace() && *b != b',')?;
        if rest[begin] == b']' {
            return None;
        }
        let Some(length) = end_of(&rest[begin..]) else {
            rest = &[];
            return Some(Err(bad("an array that does not end")));
        };
        let element = &rest[begin..begin + length];
        rest = &rest[begin + length..];
        Some(Ok(element))
    })
}

/// How long the value is that `text` begins with; `None` where it does not end.
fn end_of(text: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0u32, false, false);
    for (at, byte) in text.iter().enumerate() {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => {
                in_string = false;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            (true, _) => {}
            (false, b'"') => in_string = true,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') if depth <= 1 => return Some(if depth == 1 { at + 1 } else { at }),
            (false, b'}' | b']') => depth -= 1,
            // A number or a word ends with what follows it.
            (false, b',' | b':') if depth == 0 => return Some(at),
            (false, byte) if depth == 0 && byte.is_ascii_whitespace() => return Some(at),
            (false, _) => {}
        }
    }
    (depth == 0 && !in_string).then_some(text.len())
}
