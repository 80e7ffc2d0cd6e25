//! The lines of a block, and the fields of a line.

use super::blocks::{Block, Lines, is_blank, line_ends};
use super::json::Shape;
use super::refused::Code;
use super::values::Refusal;

/// How lines are parted into fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    Csv {
        delimiter: u8,
        quote: u8,
    },
    Delimited {
        delimiter: u8,
        escape: bool,
        remove_quotes: bool,
    },
    /// So many characters each.
    Fixed(Vec<usize>),
    /// Values instead of lines.
    Json(Shape),
    /// Blocks of records instead of lines.
    Avro(Shape),
}

impl Form {
    /// What ends its lines.
    pub fn lines(&self) -> Lines {
        match self {
            Form::Csv { delimiter, quote } => Lines::Quoted { delimiter: *delimiter, quote: *quote },
            Form::Delimited { escape: true, .. } => Lines::Escaped,
            Form::Delimited { .. } | Form::Fixed(_) => Lines::Plain,
            Form::Json(_) | Form::Avro(_) => Lines::Json,
        }
    }
}

/// A line of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line<'b> {
    /// Without its end.
    pub text: &'b [u8],
    /// From 1, in the file.
    pub number: u64,
    /// Of its first byte in the file.
    pub offset: u64,
}

/// The fields of a line, as they are meant: without quotes and escapes.
#[derive(Debug, Default)]
pub struct Fields<'b> {
    /// Where fields are parts of the line: all of it.
    line: Option<&'b [u8]>,
    /// Else what they say, one after the other; what is behind the last is of no meaning.
    text: Vec<u8>,
    /// Of each field, where it ends in the one or the other.
    ends: Vec<usize>,
    /// Where it begins in the line; empty where that is found out only when it is asked for.
    starts: Vec<usize>,
    /// Of what is no part of the line: whether it means NULL, as it stands in the line.
    nulls: Vec<bool>,
    /// What means NULL.
    null_as: Option<&'b [u8]>,
    count: usize,
}

impl<'b> Fields<'b> {
    pub fn len(&self) -> usize {
        self.count
    }

    /// What a field says; `None` of NULL. In quotes, or with escapes, what else would mean NULL is text.
    #[inline]
    pub fn get(&self, field: usize) -> Option<&[u8]> {
        if let Some(line) = self.line {
            let part = &line[self.starts[field]..self.ends[field]];
            return (Some(part) != self.null_as).then_some(part);
        }
        (!self.nulls[field]).then(|| self.text_of(field))
    }

    /// Of what is no part of the line.
    fn text_of(&self, field: usize) -> &[u8] {
        let start = field.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[field]]
    }

    /// Where the field begins in its line.
    pub fn start(&self, field: usize, line: &[u8], form: &Form) -> usize {
        match form {
            Form::Csv { delimiter, quote } if self.line.is_none() => {
                csv_starts(line, *delimiter, *quote).nth(field).unwrap_or(line.len())
            }
            _ => self.starts.get(field).copied().unwrap_or(line.len()),
        }
    }

    /// The last field, where it is empty, goes: a delimiter may end a line as well as separate fields.
    pub fn drop_last_if_empty(&mut self) {
        let Some(last) = self.count.checked_sub(1) else { return };
        let begins = match (self.line, last.checked_sub(1)) {
            (Some(_), _) => self.starts[last],
            (None, before) => before.map_or(0, |before| self.ends[before]),
        };
        if begins == self.ends[last] {
            self.count = last;
        }
    }

    /// Begins a line whose fields are parts of it.
    fn begin_parts(&mut self, line: &'b [u8]) {
        self.line = Some(line);
        self.ends.clear();
        self.starts.clear();
        self.count = 0;
    }

    fn push_part(&mut self, start: usize, end: usize) {
        self.starts.push(start);
        self.ends.push(end);
        self.count += 1;
    }

    /// Begins a line whose fields say something else than it does.
    fn begin_copies(&mut self) {
        self.line = None;
        self.text.clear();
        self.ends.clear();
        self.starts.clear();
        self.nulls.clear();
        self.count = 0;
    }
}

/// Reads the lines of a block, one after the other.
pub struct LineReader<'b> {
    block: &'b Block,
    form: &'b Form,
    /// The field that means NULL, before escapes and quotes are taken out.
    null_as: Option<&'b [u8]>,
    csv: csv_core::Reader,
    /// Where the first quote of CSV is from some place on that was read since; the text's end where there is none.
    quote_at: usize,
    /// Whether the block has blanks beside quotes, once somebody has asked.
    spaced: Option<bool>,
    at: usize,
    number: u64,
}

impl<'b> LineReader<'b> {
    pub fn new(block: &'b Block, form: &'b Form, null_as: Option<&'b [u8]>) -> Self {
        let mut csv = csv_core::ReaderBuilder::new();
        if let Form::Csv { delimiter, quote } = form {
            csv.delimiter(*delimiter).quote(*quote).double_quote(true);
        }
        LineReader { block, form, null_as, csv: csv.build(), quote_at: 0, spaced: None, at: 0, number: block.line }
    }

    /// Of the line to come.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line, whose fields come to `fields`, or why it has none.
    pub fn next(&mut self, fields: &mut Fields<'b>) -> Option<(Line<'b>, Result<(), Refusal>)> {
        let rest = &self.block.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        fields.null_as = self.null_as;
        let (number, offset) = (self.number, self.block.offset + self.at as u64);
        let plain = || line_length(rest, Lines::Plain);
        let (length, read) = match self.form {
            Form::Csv { delimiter, quote } => {
                let length = plain();
                if self.quote_at <= self.at {
                    // Once for all lines up to there.
                    self.quote_at = self.at + memchr::memchr(*quote, rest).unwrap_or(rest.len());
                }
                match self.quote_at < self.at + length {
                    false => {
                        parts(&rest[..length], *delimiter, fields);
                        (length, Ok(()))
                    }
                    true => self.csv_record(rest, fields, *delimiter, *quote),
                }
            }
            Form::Delimited { delimiter, escape: false, remove_quotes: false } => {
                let length = plain();
                parts(&rest[..length], *delimiter, fields);
                (length, Ok(()))
            }
            Form::Delimited { delimiter, escape, remove_quotes } => {
                let length = line_length(rest, self.form.lines());
                (length, self.unescape(&rest[..length], *delimiter, *escape, *remove_quotes, fields))
            }
            Form::Fixed(widths) => {
                let length = plain();
                (length, fixed(&rest[..length], widths, fields))
            }
            Form::Json(_) | Form::Avro(_) => (rest.len(), Ok(())),
        };
        let end = match rest[length..] {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        self.at += length + end;
        let text = &rest[..length];
        // Parts of a line are found within one line.
        self.number += 1 + if fields.line.is_some() { 0 } else { line_ends(text) };
        Some((Line { text, number, offset }, read))
    }

    /// How long the first record is, without its end.
    fn csv_record(
        &mut self,
        rest: &[u8],
        fields: &mut Fields<'b>,
        delimiter: u8,
        quote: u8,
    ) -> (usize, Result<(), Refusal>) {
        let spaced = *self.spaced.get_or_insert_with(|| has_blanks_at_quotes(&self.block.text, delimiter, quote));
        if !spaced {
            return self.plain_csv_record(rest, fields, delimiter, quote);
        }
        let (record, length) = without_blanks(rest, delimiter, quote);
        (length, self.plain_csv_record(&record, fields, delimiter, quote).1)
    }

    fn plain_csv_record(
        &mut self,
        rest: &[u8],
        fields: &mut Fields<'b>,
        delimiter: u8,
        quote: u8,
    ) -> (usize, Result<(), Refusal>) {
        use csv_core::ReadRecordResult as R;
        self.csv.reset();
        let (mut input, mut output, mut ends) = (0, 0, 0);
        fields.line = None;
        fields.nulls.clear();
        // The room that earlier lines have left serves this one.
        fields.text.resize(fields.text.len().max(1024), 0);
        fields.ends.resize(fields.ends.len().max(64), 0);
        loop {
            let (result, read, wrote, found) =
                self.csv.read_record(&rest[input..], &mut fields.text[output..], &mut fields.ends[ends..]);
            (input, output, ends) = (input + read, output + wrote, ends + found);
            match result {
                R::OutputFull => fields.text.resize(fields.text.len() * 2, 0),
                R::OutputEndsFull => fields.ends.resize(fields.ends.len() * 2, 0),
                // An empty input is the end of all.
                R::InputEmpty => {}
                R::Record | R::End => break,
            }
        }
        fields.count = ends;
        let ends_with = |byte| rest[..input].last() == Some(&byte);
        let length = if ends_with(b'\n') || ends_with(b'\r') { input - 1 } else { input };
        // A record that ends before its text does ends by a line end.
        let whole = input < rest.len() || {
            let lines = Lines::Quoted { delimiter, quote };
            let state = rest[..length].iter().fold(lines.begin(), |state, byte| lines.step(state, *byte).0);
            !state.is_quoted()
        };
        // The room of earlier ones, once more.
        let mut nulls = std::mem::take(&mut fields.nulls);
        nulls.extend((0..fields.count).map(|field| Some(fields.text_of(field)) == fields.null_as));
        fields.nulls = nulls;
        if fields.nulls.contains(&true) {
            // In quotes it is text.
            let starts = csv_starts(&rest[..length], delimiter, quote);
            for (null, start) in fields.nulls.iter_mut().zip(starts) {
                *null &= rest.get(start) != Some(&quote);
            }
        }
        match whole {
            true => (length, Ok(())),
            false => (rest.len(), Err(Refusal { code: Code::QUOTE, reason: "a quote is not closed".into() })),
        }
    }

    /// Fields with backslashes before what is meant as it is, or in quotes.
    fn unescape(
        &self,
        line: &[u8],
        delimiter: u8,
        escape: bool,
        remove_quotes: bool,
        fields: &mut Fields<'b>,
    ) -> Result<(), Refusal> {
        fields.begin_copies();
        let mut at = 0;
        loop {
            fields.starts.push(at);
            let start = at;
            let quote = line.get(at).copied().filter(|b| remove_quotes && matches!(b, b'"' | b'\''));
            at += usize::from(quote.is_some());
            let mut open = quote;
            while let Some(byte) = line.get(at) {
                match (byte, open) {
                    (b'\\', _) if escape && at + 1 < line.len() => {
                        at += 1;
                        fields.text.push(line[at]);
                    }
                    (byte, Some(quote)) if *byte == quote && matches!(line.get(at + 1), None | Some(_)) => {
                        match line.get(at + 1) {
                            None => open = None,
                            Some(next) if *next == delimiter => open = None,
                            Some(_) => fields.text.push(*byte),
                        }
                    }
                    (byte, None) if *byte == delimiter => break,
                    (byte, _) => fields.text.push(*byte),
                }
                at += 1;
                if open.is_none() && quote.is_some() {
                    break;
                }
            }
            if open.is_some() {
                let reason = "the quote that begins a field is not closed".to_string();
                return Err(Refusal { code: Code::QUOTE, reason });
            }
            fields.ends.push(fields.text.len());
            fields.nulls.push(Some(&line[start..at]) == self.null_as);
            fields.count += 1;
            match line.get(at) {
                Some(_) => at += 1,
                None => return Ok(()),
            }
        }
    }
}

/// The first record of CSV without the blanks that stand between delimiters and quotes, and how long it is with them, without its
/// end.
fn without_blanks(rest: &[u8], delimiter: u8, quote: u8) -> (Vec<u8>, usize) {
    let lines = Lines::Quoted { delimiter, quote };
    let (mut state, mut kept, mut length) = (lines.begin(), Vec::new(), rest.len());
    // Blanks that were kept last, and whether they stand behind the quote that ends a field.
    let (mut blanks, mut behind) = (0, false);
    for (at, byte) in rest.iter().enumerate() {
        let (next, ends) = lines.step(state, *byte);
        if (behind && (ends || *byte == delimiter)) || (state == lines.begin() && *byte == quote) {
            kept.truncate(kept.len() - blanks);
        }
        if ends {
            length = at;
            break;
        }
        if is_blank(*byte) && *byte != delimiter && !state.is_quoted() {
            behind |= state.is_behind_quote();
            blanks += 1;
        } else {
            (blanks, behind) = (0, false);
        }
        kept.push(*byte);
        state = next;
    }
    if behind && length == rest.len() {
        kept.truncate(kept.len() - blanks);
    }
    (kept, length)
}

/// Where the fields of a record of CSV begin.
fn csv_starts(line: &[u8], delimiter: u8, quote: u8) -> impl Iterator<Item = usize> {
    let lines = Lines::Quoted { delimiter, quote };
    let behind = line.iter().enumerate().scan(lines.begin(), move |state, (at, byte)| {
        let before = *state;
        *state = lines.step(before, *byte).0;
        Some((*byte == delimiter && !before.is_quoted()).then_some(at + 1))
    });
    std::iter::once(0).chain(behind.flatten())
}

/// Whether a blank stands before a quote or behind one.
fn has_blanks_at_quotes(text: &[u8], delimiter: u8, quote: u8) -> bool {
    let blank = |at: usize| text.get(at).is_some_and(|byte| is_blank(*byte) && *byte != delimiter);
    memchr::memchr_iter(quote, text).any(|at| blank(at + 1) || (at > 0 && blank(at - 1)))
}

/// The fields of a line between delimiters.
fn parts<'b>(line: &'b [u8], delimiter: u8, fields: &mut Fields<'b>) {
    fields.begin_parts(line);
    let mut start = 0;
    for end in memchr::memchr_iter(delimiter, line).chain([line.len()]) {
        fields.push_part(start, end);
        start = end + 1;
    }
}

/// The fields of a line by how many characters each has.
fn fixed<'b>(line: &'b [u8], widths: &[usize], fields: &mut Fields<'b>) -> Result<(), Refusal> {
    fields.begin_parts(line);
    let mut start = 0;
    for width in widths {
        if start >= line.len() {
            break;
        }
        let length: usize = characters(&line[start..]).take(*width).sum();
        fields.push_part(start, start + length);
        start += length;
    }
    match line[start.min(line.len())..].iter().any(|byte| !byte.is_ascii_whitespace()) {
        false => Ok(()),
        true => {
            let reason = format!("the line is longer than its {} fields", widths.len());
            Err(Refusal { code: Code::EXTRA_COLUMNS, reason })
        }
    }
}

/// The bytes of the first line, without its end.
fn line_length(text: &[u8], lines: Lines) -> usize {
    match lines {
        Lines::Plain => memchr::memchr2(b'\n', b'\r', text).unwrap_or(text.len()),
        lines => {
            let mut state = lines.begin();
            for (at, byte) in text.iter().enumerate() {
                let (next, ends) = lines.step(state, *byte);
                if ends {
                    return at;
                }
                state = next;
            }
            text.len()
        }
    }
}

/// The length of each character; of what is no UTF-8, each byte counts as one.
fn characters(text: &[u8]) -> impl Iterator<Item = usize> {
    text.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid().chars().map(char::len_utf8);
        valid.chain(std::iter::repeat_n(1, chunk.invalid().len()))
    })
}
