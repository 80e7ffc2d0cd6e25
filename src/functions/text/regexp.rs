//! REGEXP_SUBSTR, REGEXP_INSTR, REGEXP_COUNT and REGEXP_REPLACE, with Redshift's arguments.
//!
//! Positions count characters from 1. `^` is the beginning of the text, not of the search (our own choice; Redshift's
//! manual does not say).

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use regex::{Captures, Regex};

use super::super::kernel::{Args, Function, Param};
use super::pattern::{Flags, compile};

pub(super) fn additions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function {
            name: "regexp_substr",
            aliases: &[],
            params: &[Param::Text, Param::Text, Param::Int, Param::Int, Param::Text],
            required: 2,
            returns: DataType::Utf8View,
            compute: substr,
        }
        .udf(),
    ]
}

/// DataFusion has functions of these names with PostgreSQL's arguments.
pub(super) fn replacements() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function {
            name: "regexp_instr",
            aliases: &[],
            params: &[Param::Text, Param::Text, Param::Int, Param::Int, Param::Int, Param::Text],
            required: 2,
            returns: DataType::Int32,
            compute: instr,
        }
        .udf(),
        Function {
            name: "regexp_count",
            aliases: &[],
            params: &[Param::Text, Param::Text, Param::Int, Param::Text],
            required: 2,
            returns: DataType::Int32,
            compute: count,
        }
        .udf(),
        Function {
            name: "regexp_replace",
            aliases: &[],
            params: &[Param::Text, Param::Text, Param::Text, Param::Int, Param::Text],
            required: 2,
            returns: DataType::Utf8View,
            compute: replace,
        }
        .udf(),
    ]
}

/// The last pattern with its parameters, compiled: those of a constant are the same in every row.
#[derive(Default)]
struct Patterns {
    last: Option<Compiled>,
}

struct Compiled {
    pattern: String,
    letters: String,
    regex: Regex,
    flags: Flags,
}

impl Patterns {
    fn get(&mut self, name: &str, pattern: &str, letters: &str) -> Result<(&Regex, Flags)> {
        let compiled = match self.last.take() {
            Some(last) if last.pattern == pattern && last.letters == letters => last,
            _ => {
                let flags = Flags::read(name, letters)?;
                let regex = compile(name, pattern, flags)?;
                Compiled { pattern: pattern.to_string(), letters: letters.to_string(), regex, flags }
            }
        };
        let compiled = self.last.insert(compiled);
        Ok((&compiled.regex, compiled.flags))
    }
}

/// The byte at which a search from the `position`th character begins; `None` where the text has fewer characters.
fn start(text: &str, position: i64) -> Option<usize> {
    let skip = usize::try_from(position.max(1) - 1).unwrap_or(usize::MAX);
    match text.char_indices().nth(skip) {
        Some((at, _)) => Some(at),
        None => (skip == 0).then_some(0),
    }
}

/// Where the `occurrence`th match from the `position`th character on is.
fn find(regex: &Regex, flags: Flags, text: &str, position: i64, occurrence: i64) -> Option<Range<usize>> {
    let from = start(text, position)?;
    let skip = usize::try_from(occurrence).ok().and_then(|n| n.checked_sub(1))?;
    if !flags.group || regex.captures_len() < 2 {
        return matches(regex, text, from).nth(skip);
    }
    let whole = matches(regex, text, from).nth(skip)?;
    // The group of a match that is known to begin there; one that took no part is empty.
    regex.captures_at(text, whole.start).map(|c| c.get(1).map_or(whole.start..whole.start, |g| g.range()))
}

/// The matches from a byte on that do not overlap.
fn matches<'a>(regex: &'a Regex, text: &'a str, from: usize) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut at = Some(from);
    std::iter::from_fn(move || {
        let found = regex.find_at(text, at?)?.range();
        at = match found.is_empty() {
            false => Some(found.end),
            // Past the next character, if there is one.
            true => text[found.end..].chars().next().map(|c| found.end + c.len_utf8()),
        };
        Some(found)
    })
}

fn substr(args: &Args) -> Result<ArrayRef> {
    let mut patterns = Patterns::default();
    args.texts(|row| {
        let (Some(text), Some(pattern)) = (args.text(0, row), args.text(1, row)) else { return Ok(None) };
        let (position, occurrence) = (args.int(2, row).unwrap_or(1), args.int(3, row).unwrap_or(1));
        let (regex, flags) = patterns.get("regexp_substr", pattern, args.text(4, row).unwrap_or(""))?;
        Ok(Some(find(regex, flags, text, position, occurrence).map_or("", |found| &text[found])))
    })
}

fn instr(args: &Args) -> Result<ArrayRef> {
    let mut patterns = Patterns::default();
    args.ints(|row| {
        let (Some(text), Some(pattern)) = (args.text(0, row), args.text(1, row)) else { return Ok(None) };
        let (position, occurrence) = (args.int(2, row).unwrap_or(1), args.int(3, row).unwrap_or(1));
        let after = args.int(4, row).unwrap_or(0) != 0;
        let (regex, flags) = patterns.get("regexp_instr", pattern, args.text(5, row).unwrap_or(""))?;
        let found = find(regex, flags, text, position, occurrence);
        let at = found.map(|found| if after { found.end } else { found.start });
        let place = at.map_or(0, |at| text[..at].chars().count() + 1);
        i32::try_from(place).map(Some).map_err(|_| args.invalid("the text is too long"))
    })
}

fn count(args: &Args) -> Result<ArrayRef> {
    let mut patterns = Patterns::default();
    args.ints(|row| {
        let (Some(text), Some(pattern)) = (args.text(0, row), args.text(1, row)) else { return Ok(None) };
        let (regex, _) = patterns.get("regexp_count", pattern, args.text(3, row).unwrap_or(""))?;
        let from = start(text, args.int(2, row).unwrap_or(1));
        let found = from.map_or(0, |from| matches(regex, text, from).count());
        i32::try_from(found).map(Some).map_err(|_| args.invalid("the text is too long"))
    })
}

/// Replaces every match. `$1` or `\1` to `$9` or `\9` in the replacement are the pattern's groups, `\\` and `$$` the
/// characters themselves.
fn replace(args: &Args) -> Result<ArrayRef> {
    let mut patterns = Patterns::default();
    args.texts(|row| {
        let (Some(text), Some(pattern)) = (args.text(0, row), args.text(1, row)) else { return Ok(None) };
        let replacement = args.text(2, row).unwrap_or("");
        let (regex, _) = patterns.get("regexp_replace", pattern, args.text(4, row).unwrap_or(""))?;
        let Some(from) = start(text, args.int(3, row).unwrap_or(1)) else { return Ok(Some(text.to_string())) };
        let plain = !replacement.contains(['$', '\\']);
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for found in matches(regex, text, from) {
            out.push_str(&text[done..found.start]);
            match plain {
                true => out.push_str(replacement),
                false => match regex.captures_at(text, found.start) {
                    Some(captures) => expand(replacement, &captures, &mut out),
                    None => out.push_str(replacement),
                },
            }
            done = found.end;
        }
        out.push_str(&text[done..]);
        Ok(Some(out))
    })
}

fn expand(replacement: &str, captures: &Captures, out: &mut String) {
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match (c, next.and_then(|n| n.to_digit(10))) {
            ('$' | '\\', Some(group)) if group > 0 => {
                chars.next();
                out.push_str(captures.get(group as usize).map_or("", |g| g.as_str()));
            }
            ('$' | '\\', _) if next == Some(c) => {
                chars.next();
                out.push(c);
            }
            _ => out.push(c),
        }
    }
}
