//! Text files for COPY: lines of fields, into arrays of the table's types, with the place of every mistake.

use std::io::{self, Read};
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, RecordBatch, StringArray, StringBuilder};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Field, Schema};
use arrow::util::display::FormatOptions;
use bytes::Bytes;

use super::coerce::{USE_VARCHAR, multi_byte_char};
use crate::catalog::ColumnDef;
use crate::common::{Error, Result, SqlState, SqlType};
use crate::functions::semistructured::to_super;
use crate::functions::zones;
use crate::sql::ast::{CopyFormat, CopyOptions};

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;
/// What some editors put before UTF-8 text; the csv crate leaves it out.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Parses `input`, the content of `file`, handing out batches of `columns` in their order. Blocks.
pub fn parse(
    input: impl Read,
    file: &str,
    columns: &[ColumnDef],
    options: &CopyOptions,
    zone: Tz,
    mut emit: impl FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true);
    match options.format {
        CopyFormat::Csv { delimiter, quote } => builder.delimiter(delimiter).quote(quote).double_quote(true),
        CopyFormat::Delimited { delimiter } => builder.delimiter(delimiter).quoting(false),
        CopyFormat::Parquet => return Err(Error::internal("a Parquet file is not text")),
    };
    let mut reader = builder.from_reader(Retained::new(input));
    let mut record = csv::ByteRecord::new();
    let empty_line = csv::ByteRecord::from(vec![""]);
    let mut rows = Rows::new(file, columns, options, zone);
    let mut to_skip = options.ignore_header;
    let mut take = |record: &csv::ByteRecord, line: u64, empty: bool| {
        if to_skip > 0 {
            to_skip -= 1;
            return Ok(());
        }
        if empty && options.ignore_blank_lines {
            return Ok(());
        }
        rows.push(record, line).map_err(|e| match empty {
            true => e.with_hint("the line is empty; IGNOREBLANKLINES leaves such lines out"),
            false => e,
        })?;
        if rows.lines.len() == BATCH_ROWS { emit(rows.finish()?) } else { Ok(()) }
    };
    loop {
        let (end, mut line) = (reader.position().byte(), reader.position().line());
        reader.get_mut().retain_from(end);
        let more = reader.read_byte_record(&mut record).map_err(|e| read_error(file, e))?;
        let gap = reader.get_ref().gap(end);
        line += u64::from(gap.rest_of_line);
        for _ in 0..gap.empty_lines {
            take(&empty_line, line, true)?;
            line += 1;
        }
        if !more {
            break;
        }
        take(&record, line, false)?;
    }
    if !rows.lines.is_empty() {
        emit(rows.finish()?)?;
    }
    Ok(())
}

/// An input that keeps what was read since a position: the csv crate passes over empty lines without telling.
struct Retained<R> {
    input: R,
    bytes: Vec<u8>,
    /// Position of the first of `bytes`.
    start: u64,
    /// What stands before is let go with the next read.
    from: u64,
}

/// What stands between the end of a record and the next one.
struct Gap {
    /// The end of a record at `\r` is followed by the `\n` that belongs to it.
    rest_of_line: bool,
    empty_lines: u64,
}

impl<R> Retained<R> {
    fn new(input: R) -> Self {
        Retained { input, bytes: Vec::new(), start: 0, from: 0 }
    }

    /// Keeps the bytes from `end`, where a record ends, and the one before.
    fn retain_from(&mut self, end: u64) {
        self.from = end.saturating_sub(1);
    }

    /// What follows the record that ends at `end`; of what was read, nothing since may have been let go.
    fn gap(&self, end: u64) -> Gap {
        let at = (end - self.start) as usize;
        let (before, mut rest) = self.bytes.split_at(at.min(self.bytes.len()));
        if end == 0 {
            rest = rest.strip_prefix(BYTE_ORDER_MARK).unwrap_or(rest);
        }
        let mut gap = Gap { rest_of_line: false, empty_lines: 0 };
        if let (Some(b'\r'), Some(after)) = (before.last(), rest.strip_prefix(b"\n")) {
            gap.rest_of_line = true;
            rest = after;
        }
        while let Some(after) = [&b"\r\n"[..], b"\n", b"\r"].into_iter().find_map(|end| rest.strip_prefix(end)) {
            gap.empty_lines += 1;
            rest = after;
        }
        gap
    }
}

impl<R: Read> Read for Retained<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let gone = (self.from.saturating_sub(self.start) as usize).min(self.bytes.len());
        self.bytes.drain(..gone);
        self.start += gone as u64;
        let mut n = self.input.read(buffer)?;
        // To the csv crate, a byte order mark in a buffer of its own is the end of the input.
        while self.start == 0 && n > 0 && n <= BYTE_ORDER_MARK.len() {
            match self.input.read(&mut buffer[n..])? {
                0 => break,
                more => n += more,
            }
        }
        self.bytes.extend_from_slice(&buffer[..n]);
        Ok(n)
    }
}

/// Records gathered as text.
struct Rows<'a> {
    file: &'a str,
    columns: &'a [ColumnDef],
    options: &'a CopyOptions,
    zone: Tz,
    fields: Vec<StringBuilder>,
    lines: Vec<u64>,
}

impl<'a> Rows<'a> {
    fn new(file: &'a str, columns: &'a [ColumnDef], options: &'a CopyOptions, zone: Tz) -> Self {
        let fields = columns.iter().map(|_| StringBuilder::new()).collect();
        Rows { file, columns, options, zone, fields, lines: Vec::new() }
    }

    fn push(&mut self, record: &csv::ByteRecord, line: u64) -> Result<()> {
        // A delimiter may end a line as well as separate fields.
        let trailing = record.len() == self.columns.len() + 1
            && matches!(self.options.format, CopyFormat::Delimited { .. })
            && record.get(self.columns.len()).is_some_and(<[u8]>::is_empty);
        if record.len() != self.columns.len() && !trailing {
            return Err(Error::invalid(
                SqlState::BAD_COPY_FILE,
                format!(
                    "{} has {} where {} are loaded",
                    place(self.file, line),
                    count(record.len(), "field"),
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
        let read = |text: &ArrayRef| -> Result<ArrayRef> {
            Ok(match column.sql_type {
                SqlType::TimestampTz => zones::to_instants(text, self.zone)?,
                SqlType::Time => zones::times_of_text(text)?,
                SqlType::Super => Arc::new(to_super(text, true)?),
                SqlType::Varbyte(_) => bytes_of_hex(text.as_string())?,
                _ => cast_with_options(text, &to, &options)?,
            })
        };
        match read(text) {
            Ok(array) => self.check_length(array, column),
            Err(_) => {
                // One value at a time finds the first that does not fit.
                let bad = (0..text.len()).find(|i| read(&text.slice(*i, 1)).is_err());
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
        let Some(max) = column.sql_type.max_bytes() else { return Ok(array) };
        if let Some(bytes) = array.as_binary_view_opt() {
            let too_long = |i: &usize| bytes.is_valid(*i) && bytes.value(*i).len() > max as usize;
            return match (0..bytes.len()).find(too_long) {
                None => Ok(array),
                Some(row) => Err(self.too_long(row, bytes.value(row).len(), column)),
            };
        }
        let views = array.as_string_view();
        if let Some(row) = multi_byte_char(views, column.sql_type) {
            return Err(Error::invalid(
                SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                format!(
                    "{}, column \"{}\": \"{}\" has characters of more than one byte, which {} does not hold",
                    place(self.file, self.lines[row]),
                    column.name,
                    views.value(row),
                    column.sql_type
                ),
            )
            .with_hint(USE_VARCHAR));
        }
        let length = |i: usize| {
            let value = views.value(i);
            if matches!(column.sql_type, SqlType::Char(_)) { value.trim_end_matches(' ').len() } else { value.len() }
        };
        match (0..views.len()).find(|i| views.is_valid(*i) && length(*i) > max as usize) {
            None => Ok(array),
            Some(row) => Err(self.too_long(row, length(row), column)),
        }
    }

    fn too_long(&self, row: usize, bytes: usize, column: &ColumnDef) -> Error {
        Error::invalid(
            SqlState::STRING_TOO_LONG,
            format!(
                "{}, column \"{}\": {bytes} bytes are too long for type {}",
                place(self.file, self.lines[row]),
                column.name,
                column.sql_type
            ),
        )
    }
}

/// The bytes that hexadecimal digits write, as COPY reads VARBYTE (Redshift manual, "VARBYTE type").
fn bytes_of_hex(texts: &StringArray) -> Result<ArrayRef> {
    let wrong = || Error::invalid(SqlState::INVALID_TEXT, "not pairs of hexadecimal digits");
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8).ok_or_else(wrong);
    let bytes = |text: &str| {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if !rest.is_empty() {
            return Err(wrong());
        }
        pairs.iter().map(|[high, low]| Ok(digit(*high)? << 4 | digit(*low)?)).collect::<Result<Vec<u8>>>()
    };
    let values = texts.iter().map(|text| text.map(bytes).transpose());
    Ok(Arc::new(values.collect::<Result<BinaryViewArray>>()?))
}

/// A field as the text that is cast; `None` is NULL.
fn field<'t>(text: &'t str, sql_type: SqlType, options: &CopyOptions) -> Option<std::borrow::Cow<'t, str>> {
    if text == options.null_as {
        return None;
    }
    if sql_type.is_text() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{ColumnId, EncodingName};

    /// Hands out a few bytes at a time, so that every place of the text is the end of a read somewhere.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(buffer.len());
            self.0.take(n as u64).read(buffer).inspect(|n| self.0 = &self.0[*n..])
        }
    }

    fn column(name: &str, sql_type: SqlType) -> ColumnDef {
        let (name, encoding) = (name.to_string(), EncodingName::Auto);
        ColumnDef {
            id: ColumnId(1),
            name,
            sql_type,
            nullable: true,
            default_sql: None,
            absent: None,
            encoding,
            identity: None,
        }
    }

    /// What `COPY t FROM 'f'` with `options` reads of a file, read by `step` bytes.
    fn parsed(text: &str, step: usize, columns: &[ColumnDef], options: &str) -> Result<Vec<String>> {
        let crate::sql::Statement::Copy(copy) = crate::sql::parse_one(&format!("copy t from 'f' {options}"))? else {
            panic!("no COPY")
        };
        let mut rows = Vec::new();
        parse(Slowly(text.as_bytes(), step), "f", columns, &copy.options, zones::utc(), |batch| {
            let shown = FormatOptions::default().with_null("NULL");
            for row in 0..batch.num_rows() {
                let cells = batch.columns().iter().map(|c| {
                    let formatter = arrow::util::display::ArrayFormatter::try_new(c, &shown)?;
                    Ok(formatter.value(row).to_string())
                });
                rows.push(cells.collect::<Result<Vec<String>>>()?.join(","));
            }
            Ok(())
        })?;
        Ok(rows)
    }

    #[test]
    fn an_empty_line_is_a_row_of_one_column() {
        let (number, word) = ([column("a", SqlType::Integer)], [column("a", SqlType::Varchar(9))]);
        for (text, expected) in [
            ("", &[][..]),
            ("1", &["1"]),
            ("1\n", &["1"]),
            ("\n", &["NULL"]),
            ("1\n\n", &["1", "NULL"]),
            ("\n\n1\n\n\n2", &["NULL", "NULL", "1", "NULL", "NULL", "2"]),
            ("\u{feff}\n1\n", &["NULL", "1"]),
            ("\u{feff}1\n\n", &["1", "NULL"]),
        ] {
            for end in ["\n", "\r\n", "\r"] {
                let text = text.replace('\n', end);
                for step in [3, 4, 5, 100] {
                    for options in ["csv", "delimiter ','"] {
                        assert_eq!(parsed(&text, step, &number, options).unwrap(), expected, "{text:?} by {step}");
                        let skipping = parsed(&text, step, &number, &format!("{options} ignoreblanklines")).unwrap();
                        let kept: Vec<&str> = expected.iter().copied().filter(|row| *row != "NULL").collect();
                        assert_eq!(skipping, kept, "{text:?} by {step}");
                    }
                }
            }
        }
        assert_eq!(parsed("a\n\n", 3, &word, "csv").unwrap(), ["a", ""]);
        assert_eq!(parsed("a\n\n", 3, &word, "csv emptyasnull").unwrap(), ["a", "NULL"]);
        // Header lines are lines, whatever stands in them.
        assert_eq!(parsed("\n\na\n\n", 3, &word, "csv ignoreheader 1").unwrap(), ["", "a", ""]);
        assert_eq!(parsed("head\n\na\n\n", 3, &word, "csv ignoreheader 2").unwrap(), ["a", ""]);
    }

    #[test]
    fn quoted_lines_are_of_the_value() {
        let word = [column("a", SqlType::Varchar(99))];
        for step in 3..9 {
            for options in ["csv", "csv ignoreblanklines"] {
                let rows = parsed("\"\n\nx\n\"\n\"\"\n\"a\r\n\r\nb\"\r\n", step, &word, options).unwrap();
                assert_eq!(rows, ["\n\nx\n", "", "a\r\n\r\nb"]);
            }
        }
    }

    #[test]
    fn lines_are_counted_with_the_empty_ones() {
        let one = [column("a", SqlType::Integer)];
        let two = [column("a", SqlType::Integer), column("b", SqlType::Integer)];
        for end in ["\n", "\r\n"] {
            let fails = |text: &str, columns: &[ColumnDef], options: &str, message: &str| {
                let text = text.replace('\n', end);
                for step in 3..9 {
                    let Err(error) = parsed(&text, step, columns, options) else { panic!("{text:?} by {step}") };
                    assert!(error.message().starts_with(message), "{text:?} by {step}: {error}");
                }
            };
            fails("1\n2\nx\n", &one, "csv", "f, line 3, ");
            fails("1\n\n\nx\n", &one, "csv", "f, line 4, ");
            fails("\n1\n\nx\n", &one, "csv ignoreblanklines", "f, line 4, ");
            fails("1,2\n\n3,4\n", &two, "csv", "f, line 2 has 1 field where 2 columns are loaded");
            fails("1,2\n3,4\n\n", &two, "csv", "f, line 3 has 1 field where 2 columns are loaded");
            fails("\"x\n\n\",2\n", &two, "csv", "f, line 1, column \"a\"");
            fails("1,\"\n\n3\"\n\n", &two, "csv", "f, line 4 has 1 field");
            assert_eq!(parsed("\n1,2\n\n3,4\n\n", 3, &two, "csv ignoreblanklines").unwrap(), ["1,2", "3,4"]);
        }
        let error = parsed("1,2\n\n", 3, &two, "csv").unwrap_err();
        assert!(error.hint().unwrap().contains("IGNOREBLANKLINES"));
    }
}
