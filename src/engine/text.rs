//! Text files for COPY: lines of fields, into arrays of the table's types, with the place of every mistake.

use std::io::{self, Read};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Field, Schema};
use arrow::util::display::FormatOptions;
use bytes::Bytes;

use crate::catalog::ColumnDef;
use crate::common::{Error, Result, SqlState, SqlType};
use crate::sql::ast::{CopyFormat, CopyOptions};

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Parses `input`, the content of `file`, handing out batches of `columns` in their order. Blocks.
pub fn parse(
    input: impl Read,
    file: &str,
    columns: &[ColumnDef],
    options: &CopyOptions,
    mut emit: impl FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true);
    match options.format {
        CopyFormat::Csv { delimiter, quote } => builder.delimiter(delimiter).quote(quote).double_quote(true),
        CopyFormat::Delimited { delimiter } => builder.delimiter(delimiter).quoting(false),
        CopyFormat::Parquet => return Err(Error::internal("a Parquet file is not text")),
    };
    let mut reader = builder.from_reader(input);
    let mut record = csv::ByteRecord::new();
    let mut rows = Rows::new(file, columns, options);
    let mut to_skip = options.ignore_header;
    while reader.read_byte_record(&mut record).map_err(|e| read_error(file, e))? {
        if to_skip > 0 {
            to_skip -= 1;
            continue;
        }
        rows.push(&record)?;
        if rows.lines.len() == BATCH_ROWS {
            emit(rows.finish()?)?;
        }
    }
    if !rows.lines.is_empty() {
        emit(rows.finish()?)?;
    }
    Ok(())
}

/// Records gathered as text.
struct Rows<'a> {
    file: &'a str,
    columns: &'a [ColumnDef],
    options: &'a CopyOptions,
    fields: Vec<StringBuilder>,
    lines: Vec<u64>,
}

impl<'a> Rows<'a> {
    fn new(file: &'a str, columns: &'a [ColumnDef], options: &'a CopyOptions) -> Self {
        let fields = columns.iter().map(|_| StringBuilder::new()).collect();
        Rows { file, columns, options, fields, lines: Vec::new() }
    }

    fn push(&mut self, record: &csv::ByteRecord) -> Result<()> {
        let line = record.position().map_or(0, csv::Position::line);
        // A delimiter may end a line as well as separate fields.
        let trailing = record.len() == self.columns.len() + 1
            && matches!(self.options.format, CopyFormat::Delimited { .. })
            && record.get(self.columns.len()).is_some_and(<[u8]>::is_empty);
        if record.len() != self.columns.len() && !trailing {
            return Err(Error::invalid(
                SqlState::BAD_COPY_FILE,
                format!(
                    "{} has {} fields where {} are loaded",
                    place(self.file, line),
                    record.len(),
                    count(self.columns.len(), "column")
                ),
            )
            .with_hint("check DELIMITER and the number of columns; a column list says which columns the file has"));
        }
        for ((bytes, column), builder) in record.iter().zip(self.columns).zip(&mut self.fields) {
            let text = std::str::from_utf8(bytes).map_err(|_| {
                Error::invalid(
                    SqlState::INVALID_TEXT,
                    format!("{}, column \"{}\": not valid UTF-8", place(self.file, line), column.name),
                )
            })?;
            builder.append_option(field(text, column.sql_type, self.options));
        }
        self.lines.push(line);
        Ok(())
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        let mut fields = Vec::with_capacity(self.columns.len());
        let texts: Vec<ArrayRef> = self.fields.iter_mut().map(|f| Arc::new(f.finish()) as ArrayRef).collect();
        for (column, text) in self.columns.iter().zip(texts) {
            let array = self.cast(&text, column)?;
            if !column.nullable && array.null_count() > 0 {
                let row = (0..array.len()).find(|i| array.is_null(*i)).unwrap_or(0);
                return Err(Error::invalid(
                    SqlState::NOT_NULL_VIOLATION,
                    format!(
                        "{}: NULL in column \"{}\", which is NOT NULL",
                        place(self.file, self.lines[row]),
                        column.name
                    ),
                ));
            }
            fields.push(Field::new(&column.name, array.data_type().clone(), true));
            arrays.push(array);
        }
        self.lines.clear();
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
    }

    fn cast(&self, text: &ArrayRef, column: &ColumnDef) -> Result<ArrayRef> {
        let to = column.sql_type.arrow_type();
        let options = CastOptions { safe: false, format_options: FormatOptions::default() };
        match cast_with_options(text, &to, &options) {
            Ok(array) => self.check_length(array, column),
            Err(_) => {
                // One value at a time finds the first that does not fit.
                let bad = (0..text.len()).find(|i| cast_with_options(&text.slice(*i, 1), &to, &options).is_err());
                let row = bad.unwrap_or(0);
                let value = arrow::util::display::array_value_to_string(text, row)?;
                Err(Error::invalid(
                    SqlState::INVALID_TEXT,
                    format!(
                        "{}, column \"{}\": \"{value}\" is not a value of type {}",
                        place(self.file, self.lines[row]),
                        column.name,
                        column.sql_type
                    ),
                ))
            }
        }
    }

    fn check_length(&self, array: ArrayRef, column: &ColumnDef) -> Result<ArrayRef> {
        use arrow::array::AsArray;
        let Some(max) = column.sql_type.max_bytes() else { return Ok(array) };
        let views = array.as_string_view();
        let length = |i: usize| {
            let value = views.value(i);
            if matches!(column.sql_type, SqlType::Char(_)) { value.trim_end_matches(' ').len() } else { value.len() }
        };
        match (0..views.len()).find(|i| views.is_valid(*i) && length(*i) > max as usize) {
            None => Ok(array),
            Some(row) => Err(Error::invalid(
                SqlState::STRING_TOO_LONG,
                format!(
                    "{}, column \"{}\": {} bytes are too long for type {}",
                    place(self.file, self.lines[row]),
                    column.name,
                    length(row),
                    column.sql_type
                ),
            )),
        }
    }
}

/// A field as the text that is cast; `None` is NULL.
fn field<'t>(text: &'t str, sql_type: SqlType, options: &CopyOptions) -> Option<std::borrow::Cow<'t, str>> {
    if text == options.null_as {
        return None;
    }
    if sql_type.max_bytes().is_some() {
        let blank = options.blanks_as_null && text.trim().is_empty();
        let empty = options.empty_as_null && text.is_empty();
        return (!blank && !empty).then(|| text.into());
    }
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    match sql_type {
        // COPY cuts digits beyond the scale (INSERT rounds); Arrow's cast would round.
        SqlType::Decimal { scale, .. } => match text.find('.') {
            Some(point) if !text.contains(['e', 'E']) && text.len() - point - 1 > usize::from(scale) => {
                let kept = if scale == 0 { &text[..point] } else { &text[..point + 1 + usize::from(scale)] };
                Some(if matches!(kept, "" | "-" | "+") { "0".into() } else { kept.into() })
            }
            _ => Some(text.into()),
        },
        SqlType::Boolean => match text {
            "1" => Some("true".into()),
            "0" => Some("false".into()),
            _ => Some(text.to_ascii_lowercase().into()),
        },
        _ => Some(text.into()),
    }
}

fn place(file: &str, line: u64) -> String {
    format!("{file}, line {line}")
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn read_error(file: &str, e: csv::Error) -> Error {
    Error::unavailable(format!("cannot read {file}: {e}")).with_source(e)
}

/// Reads what another task sends, piece by piece.
pub struct ChannelReader {
    pieces: tokio::sync::mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl ChannelReader {
    pub fn new(pieces: tokio::sync::mpsc::Receiver<io::Result<Bytes>>) -> Self {
        ChannelReader { pieces, current: Bytes::new() }
    }
}

/// Blocks until the next piece is there.
impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.current.len());
        buffer[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}
