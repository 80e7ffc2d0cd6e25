//! Rows as lines of text.

use arrow::array::timezone::Tz;
use arrow::array::{Array, RecordBatch, StringViewArray};
use arrow::datatypes::Schema;

use super::values::{JsonForm, json_form, texts};
use crate::common::{Error, Result, SqlState};
use crate::sql::ast::{UnloadFormat, UnloadOptions};

/// Writes rows in one of the text formats.
pub struct Lines {
    form: Form,
    null: String,
    names: Vec<String>,
    /// How JSON writes each column.
    json: Vec<JsonForm>,
    /// Whether each column holds text.
    text: Vec<bool>,
    zone: Tz,
}

enum Form {
    Delimited {
        delimiter: char,
        quotes: bool,
        escape: bool,
    },
    Csv {
        delimiter: char,
    },
    /// A column's characters.
    Fixed(Vec<usize>),
    Json,
}

/// Rows as bytes.
#[derive(Default)]
pub struct Written {
    pub bytes: Vec<u8>,
    /// Where each row ends.
    pub ends: Vec<usize>,
    /// Values that COPY would not read back as they are: there is something in them that the options do not protect.
    pub unprotected: u64,
    /// Values of VARBYTE without bytes, which COPY takes for NULL, as all empty fields but text.
    pub empty: u64,
}

impl Lines {
    /// `None` of Parquet.
    pub fn new(options: &UnloadOptions, schema: &Schema, zone: Tz) -> Option<Self> {
        let form = match &options.format {
            UnloadFormat::Delimited { delimiter, add_quotes, escape } => {
                Form::Delimited { delimiter: char::from(*delimiter), quotes: *add_quotes, escape: *escape }
            }
            UnloadFormat::Csv { delimiter } => Form::Csv { delimiter: char::from(*delimiter) },
            UnloadFormat::FixedWidth { widths, .. } => Form::Fixed(widths.clone()),
            UnloadFormat::Json => Form::Json,
            UnloadFormat::Parquet { .. } => return None,
        };
        let fields = schema.fields();
        Some(Lines {
            form,
            null: options.null_as.clone().unwrap_or_default(),
            names: fields.iter().map(|field| field.name().clone()).collect(),
            json: fields.iter().map(|field| json_form(field)).collect(),
            text: fields.iter().map(|field| field.data_type().is_string()).collect(),
            zone,
        })
    }

    /// The line of the columns' names.
    pub fn header(&self) -> Vec<u8> {
        let mut line = String::new();
        for (i, name) in self.names.iter().enumerate() {
            match &self.form {
                Form::Delimited { delimiter, quotes, escape } => {
                    separate(i, *delimiter, &mut line);
                    delimited(name, *delimiter, *quotes, *escape, "", &mut line);
                }
                Form::Csv { delimiter } => {
                    separate(i, *delimiter, &mut line);
                    csv(name, *delimiter, &self.null, &mut line);
                }
                Form::Fixed(_) | Form::Json => {}
            }
        }
        line.push('\n');
        line.into_bytes()
    }

    /// Errors: Invalid for a value that is longer than its column of a fixed width.
    pub fn write(&self, batch: &RecordBatch) -> Result<Written> {
        let columns: Vec<StringViewArray> =
            batch.columns().iter().map(|column| texts(column, self.zone)).collect::<Result<_>>()?;
        let mut written = Written::default();
        for (column, texts) in batch.columns().iter().zip(&columns) {
            if column.data_type().is_binary() {
                written.empty += texts.iter().filter(|text| *text == Some("")).count() as u64;
            }
        }
        let mut line = String::new();
        for row in 0..batch.num_rows() {
            line.clear();
            self.row(&columns, row, &mut line, &mut written.unprotected)?;
            line.push('\n');
            written.bytes.extend_from_slice(line.as_bytes());
            written.ends.push(written.bytes.len());
        }
        Ok(written)
    }

    fn row(&self, columns: &[StringViewArray], row: usize, line: &mut String, unprotected: &mut u64) -> Result<()> {
        if matches!(self.form, Form::Json) {
            line.push('{');
        }
        for (i, column) in columns.iter().enumerate() {
            let value = column.is_valid(row).then(|| column.value(row));
            match &self.form {
                Form::Delimited { delimiter, quotes, escape } => {
                    separate(i, *delimiter, line);
                    match value {
                        None => line.push_str(&self.null),
                        Some(value) => {
                            *unprotected += u64::from(self.is_unprotected(value, *delimiter, *quotes, *escape));
                            delimited(value, *delimiter, *quotes, *escape, &self.null, line);
                        }
                    }
                }
                Form::Csv { delimiter } => {
                    separate(i, *delimiter, line);
                    match value {
                        None => line.push_str(&self.null),
                        Some(value) => csv(value, *delimiter, &self.null, line),
                    }
                }
                Form::Fixed(widths) => self.fixed(i, value, widths.get(i).copied().unwrap_or(0), line, unprotected)?,
                Form::Json => {
                    if i > 0 {
                        line.push(',');
                    }
                    json_text(&self.names[i], line);
                    line.push(':');
                    match (value, self.json[i]) {
                        (None, _) => line.push_str("null"),
                        (Some(value), JsonForm::Bare) => line.push_str(value),
                        (Some(value), JsonForm::Truth) => line.push_str(if value == "t" { "true" } else { "false" }),
                        (Some(value), JsonForm::Float) if value.ends_with(|c: char| c.is_ascii_digit()) => {
                            line.push_str(value);
                        }
                        (Some(value), JsonForm::Float | JsonForm::Quoted) => json_text(value, line),
                    }
                }
            }
        }
        if matches!(self.form, Form::Json) {
            line.push('}');
        }
        Ok(())
    }

    fn is_unprotected(&self, value: &str, delimiter: char, quotes: bool, escape: bool) -> bool {
        match (quotes, escape) {
            // Where all characters are escaped by themselves, nothing is left to tell them from NULL.
            (false, true) if !value.is_empty() && value.chars().all(|c| is_special(c, delimiter, quotes)) => {
                let mut text = String::new();
                escaped(value, delimiter, quotes, false, &mut text);
                text == self.null
            }
            (false, true) => false,
            (true, true) => false,
            (true, false) => value.contains(['"', '\n', '\r']),
            (false, false) => value.contains([delimiter, '\n', '\r']) || (!self.null.is_empty() && value == self.null),
        }
    }

    /// A value and blanks up to the column's width (Redshift manual, "UNLOAD", FIXEDWIDTH and NULL AS).
    fn fixed(
        &self,
        i: usize,
        value: Option<&str>,
        width: usize,
        line: &mut String,
        unprotected: &mut u64,
    ) -> Result<()> {
        let shown = match value {
            Some(value) => value,
            // A NULL that has no room is empty, but in text, where it would be another value.
            None if self.null.chars().count() > width && !self.text[i] => "",
            None => &self.null,
        };
        let length = shown.chars().count();
        if length > width {
            let name = &self.names[i];
            let what = if value.is_some() { "a value" } else { "NULL AS" };
            let message = format!("{what} of {length} characters does not fit the width {width} of column \"{name}\"");
            return Err(
                Error::invalid(SqlState::STRING_TOO_LONG, message).with_hint("make the column wider in FIXEDWIDTH")
            );
        }
        *unprotected += u64::from(value.is_some_and(|value| value.contains(['\n', '\r']) || value.ends_with(' ')));
        line.push_str(shown);
        line.extend(std::iter::repeat_n(' ', width - length));
        Ok(())
    }
}

fn separate(i: usize, delimiter: char, line: &mut String) {
    if i > 0 {
        line.push(delimiter);
    }
}

fn delimited(value: &str, delimiter: char, quotes: bool, escape: bool, null: &str, line: &mut String) {
    if quotes {
        line.push('"');
    }
    match escape {
        false => line.push_str(value),
        true => {
            let start = line.len();
            escaped(value, delimiter, quotes, false, line);
            // COPY looks for what means NULL before it takes escapes out: another one tells them apart.
            if !quotes && !value.is_empty() && line[start..] == *null {
                line.truncate(start);
                escaped(value, delimiter, quotes, true, line);
            }
        }
    }
    if quotes {
        line.push('"');
    }
}

fn is_special(c: char, delimiter: char, quotes: bool) -> bool {
    c == delimiter || matches!(c, '\n' | '\r' | '\\') || (quotes && matches!(c, '"' | '\''))
}

/// With a backslash before each special character, and before the first other one where `more` are wanted.
fn escaped(value: &str, delimiter: char, quotes: bool, mut more: bool, line: &mut String) {
    for c in value.chars() {
        let special = is_special(c, delimiter, quotes);
        if special || std::mem::take(&mut more) {
            line.push('\\');
        }
        line.push(c);
    }
}

/// Quoted where a reader would find something else in it: another field, or NULL.
fn csv(value: &str, delimiter: char, null: &str, line: &mut String) {
    if !value.contains([delimiter, '"', '\n', '\r']) && value != null {
        line.push_str(value);
        return;
    }
    line.push('"');
    for c in value.chars() {
        if c == '"' {
            line.push('"');
        }
        line.push(c);
    }
    line.push('"');
}

/// A JSON string (RFC 8259, section 7).
pub fn json_text(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}
