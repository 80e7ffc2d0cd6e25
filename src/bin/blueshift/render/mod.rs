//! Results as text: an aligned table, CSV, JSON.

pub mod screen;

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use blueshift::common::Error;
use blueshift::engine::Output;
use futures::StreamExt;

use crate::failure::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns and a count of rows
    Table,
    /// RFC 4180 with a header; NULL is an empty field, an empty string ""
    Csv,
    /// An array of objects per result
    Json,
}

/// Writes a statement's rows, or its tag when it has none, and returns the number of rows.
pub async fn write(out: &mut impl Write, output: Output, format: Format) -> Result<u64, Failure> {
    if !output.has_rows() {
        if format == Format::Table {
            writeln!(out, "{}", output.tag)?;
        }
        return Ok(0);
    }
    match format {
        Format::Table => table(out, output).await,
        Format::Csv => csv(out, output).await,
        Format::Json => json(out, output).await,
    }
}

async fn table(out: &mut impl Write, output: Output) -> Result<u64, Failure> {
    let schema = output.schema();
    let explains = output.tag == "EXPLAIN" && schema.fields().len() == 1;
    let mut batches = output.collect().await?;
    for batch in &mut batches {
        *batch = with_short_offsets(batch)?;
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if explains {
        let lines = batches.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter());
        plan(out, schema.field(0).name(), &lines.flatten().collect::<Vec<_>>())?;
        return Ok(rows as u64);
    }
    if batches.is_empty() {
        // For the header.
        batches.push(RecordBatch::new_empty(schema));
    }
    let shown = arrow::util::pretty::pretty_format_batches_with_options(&batches, &options()).map_err(engine)?;
    writeln!(out, "{shown}\n{}", count(rows))?;
    Ok(rows as u64)
}

/// The lines of a plan as psql writes them.
fn plan(out: &mut impl Write, header: &str, lines: &[&str]) -> Result<(), Failure> {
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0).max(header.len());
    writeln!(out, "{}{header}\n{}", " ".repeat((width - header.len()) / 2 + 1), "-".repeat(width + 2))?;
    for line in lines {
        writeln!(out, "{}", format!(" {line}").trim_end())?;
    }
    Ok(writeln!(out, "{}", count(lines.len()))?)
}

fn count(rows: usize) -> String {
    format!("({rows} {})", if rows == 1 { "row" } else { "rows" })
}

async fn csv(out: &mut impl Write, mut output: Output) -> Result<u64, Failure> {
    let schema = output.schema();
    let mut rows = 0;
    let mut begun = false;
    loop {
        let batch = output.next().await.transpose()?;
        // The header waits for the first rows, so that a query that fails prints nothing.
        if !begun {
            begun = true;
            for (i, field) in schema.fields().iter().enumerate() {
                separate(out, i)?;
                csv_field(out, field.name())?;
            }
            out.write_all(b"\r\n")?;
        }
        let Some(batch) = batch else { return Ok(rows) };
        let options = options();
        let batch = with_short_offsets(&batch)?;
        let cells = formatters(&batch, &options)?;
        for row in 0..batch.num_rows() {
            for (i, cell) in cells.iter().enumerate() {
                separate(out, i)?;
                if !is_null(batch.column(i), row) {
                    csv_field(out, &text_of(cell, row)?)?;
                }
            }
            out.write_all(b"\r\n")?;
        }
        rows += batch.num_rows() as u64;
    }
}

/// An array of nothing but NULL has no mask that tells.
fn is_null(array: &dyn Array, row: usize) -> bool {
    array.is_null(row) || *array.data_type() == DataType::Null
}

fn separate(out: &mut impl Write, column: usize) -> std::io::Result<()> {
    if column > 0 { out.write_all(b",") } else { Ok(()) }
}

fn csv_field(out: &mut impl Write, text: &str) -> std::io::Result<()> {
    if text.is_empty() || text.contains(['"', ',', '\r', '\n']) {
        write!(out, "\"{}\"", text.replace('"', "\"\""))
    } else {
        out.write_all(text.as_bytes())
    }
}

async fn json(out: &mut impl Write, mut output: Output) -> Result<u64, Failure> {
    let schema = output.schema();
    let names: Vec<String> = schema.fields().iter().map(|f| quoted(f.name())).collect();
    let mut rows = 0;
    while let Some(batch) = output.next().await.transpose()? {
        let options = json_options();
        let cells = formatters(&batch, &options)?;
        for row in 0..batch.num_rows() {
            out.write_all(if rows == 0 { b"[\n  {" } else { b",\n  {" })?;
            for (i, cell) in cells.iter().enumerate() {
                let value = json_value(batch.column(i), cell, row)?;
                write!(out, "{}{}: {value}", if i > 0 { ", " } else { "" }, names[i])?;
            }
            out.write_all(b"}")?;
            rows += 1;
        }
    }
    out.write_all(if rows == 0 { b"[]\n" } else { b"\n]\n" })?;
    Ok(rows)
}

fn json_value(array: &dyn Array, cell: &ArrayFormatter<'_>, row: usize) -> Result<String, Failure> {
    if is_null(array, row) {
        return Ok("null".into());
    }
    let text = text_of(cell, row)?;
    Ok(match array.data_type() {
        DataType::Boolean => text,
        // Not a number and the infinities have no notation in JSON but text.
        t if t.is_numeric() && !text.ends_with(['N', 'f']) => text,
        _ => quoted(&text),
    })
}

/// `text` as a JSON string.
pub fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            c if c < ' ' => json.push_str(&format!("\\u{:04x}", c as u32)),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

/// As Redshift shows values.
fn options() -> FormatOptions<'static> {
    FormatOptions::default()
        .with_display_error(false)
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"))
}

/// Timestamps with a zone as text, their offsets without minutes where those are zero: `+02`, and `+05:30`.
fn with_short_offsets(batch: &RecordBatch) -> Result<RecordBatch, Failure> {
    let options = options();
    let mut fields = batch.schema().fields().to_vec();
    let mut columns = batch.columns().to_vec();
    for (field, column) in fields.iter_mut().zip(&mut columns) {
        if !matches!(column.data_type(), DataType::Timestamp(_, Some(_))) {
            continue;
        }
        let cells = ArrayFormatter::try_new(column.as_ref(), &options).map_err(engine)?;
        let mut texts = StringBuilder::new();
        for row in 0..column.len() {
            match column.is_null(row) {
                true => texts.append_null(),
                false => {
                    let text = text_of(&cells, row)?;
                    texts.append_value(text.strip_suffix(":00").unwrap_or(&text));
                }
            }
        }
        drop(cells);
        *column = Arc::new(texts.finish());
        *field = Arc::new(Field::new(field.name(), DataType::Utf8, true));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(engine)
}

/// Timestamps as ISO 8601 writes them.
fn json_options() -> FormatOptions<'static> {
    FormatOptions::default().with_display_error(false)
}

fn formatters<'a>(batch: &'a RecordBatch, options: &'a FormatOptions<'a>) -> Result<Vec<ArrayFormatter<'a>>, Failure> {
    let formatter = |column: &'a arrow::array::ArrayRef| ArrayFormatter::try_new(column.as_ref(), options);
    batch.columns().iter().map(|c| formatter(c).map_err(engine)).collect()
}

fn text_of(cell: &ArrayFormatter<'_>, row: usize) -> Result<String, Failure> {
    cell.value(row).try_to_string().map_err(engine)
}

fn engine(error: ArrowError) -> Failure {
    Failure::from(Error::from(error))
}
