//! Tables for a terminal: as wide as it is, and no longer than one reads.

use std::collections::VecDeque;
use std::io::Write;

use arrow::array::Array;
use arrow::datatypes::SchemaRef;
use arrow::util::display::ArrayFormatter;
use blueshift::engine::Output;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use console::measure_text_width;
use futures::StreamExt;

use super::{options, text_of};
use crate::failure::Failure;

/// When a row is shown as lines of names and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expanded {
    On,
    Off,
    /// Where the columns are too many for the terminal.
    Auto,
}

/// How much of a result fits.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    /// Columns of the terminal.
    pub width: u16,
    /// The most rows shown, half of them from the end; 0 shows all.
    pub max_rows: usize,
    pub expanded: Expanded,
}

/// Columns of a table narrower than this are not worth reading, unless their values are.
const NARROWEST: usize = 24;

/// Rows as they are shown, and how many were left out between `head` and `tail`.
struct Rows {
    schema: SchemaRef,
    head: Vec<Vec<Option<String>>>,
    tail: VecDeque<Vec<Option<String>>>,
    all: usize,
}

/// Writes a query's rows and returns their number.
pub async fn write(out: &mut impl Write, output: Output, screen: Screen) -> Result<u64, Failure> {
    // Lines of a plan, or kinds of plans and their texts.
    let explains = output.tag == "EXPLAIN" && output.schema().fields().len() <= 2;
    // Of a plan one wants every line.
    let rows = read(output, if explains { 0 } else { screen.max_rows }).await?;
    if explains && rows.schema.fields().len() == 1 {
        let lines: Vec<&str> = rows.head.iter().flatten().flatten().map(String::as_str).collect();
        super::plan(out, rows.schema.field(0).name(), &lines)?;
        return Ok(rows.all as u64);
    }
    if explains {
        plans(out, &rows)?;
        return Ok(rows.all as u64);
    }
    let expanded = match screen.expanded {
        Expanded::On => true,
        Expanded::Off => false,
        Expanded::Auto => !fits(&rows, usize::from(screen.width)),
    };
    if expanded {
        records(out, &rows)?
    } else {
        table(out, &rows, screen.width)?
    }
    writeln!(out, "{}", count(&rows))?;
    Ok(rows.all as u64)
}

/// Reads all rows and keeps `most` of them.
async fn read(mut output: Output, most: usize) -> Result<Rows, Failure> {
    let mut rows = Rows { schema: output.schema(), head: Vec::new(), tail: VecDeque::new(), all: 0 };
    let (first, last) = if most == 0 { (usize::MAX, 0) } else { (most - most / 2, most / 2) };
    while let Some(batch) = output.next().await.transpose()? {
        let options = options();
        let cells: Vec<ArrayFormatter<'_>> = super::formatters(&batch, &options)?;
        // Rows that would only pass through the tail are not even written.
        let kept_from = batch.num_rows().saturating_sub(last);
        for row in 0..batch.num_rows() {
            rows.all += 1;
            if rows.head.len() >= first && row < kept_from {
                continue;
            }
            let text = |(i, cell)| if batch.column(i).is_null(row) { Ok(None) } else { text_of(cell, row).map(Some) };
            let shown = cells.iter().enumerate().map(text).collect::<Result<Vec<_>, Failure>>()?;
            if rows.head.len() < first {
                rows.head.push(shown);
            } else {
                if rows.tail.len() == last {
                    rows.tail.pop_front();
                }
                rows.tail.push_back(shown);
            }
        }
    }
    Ok(rows)
}

/// Whether a table of these rows can be read on a terminal of `width` columns.
fn fits(rows: &Rows, width: usize) -> bool {
    let names = rows.schema.fields().iter().map(|f| measure_text_width(f.name()));
    let narrowest = names.enumerate().map(|(i, name)| {
        let cells = rows.head.iter().chain(&rows.tail).map(|row| row[i].as_deref().unwrap_or("NULL"));
        let widest = cells.flat_map(str::lines).map(measure_text_width).max().unwrap_or(0);
        widest.max(name).min(NARROWEST) + 3
    });
    narrowest.sum::<usize>() < width.max(1)
}

fn table(out: &mut impl Write, rows: &Rows, width: u16) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(rows.schema.fields().iter().map(|f| Cell::new(f.name())));
    let right: Vec<bool> = rows.schema.fields().iter().map(|f| f.data_type().is_numeric()).collect();
    let cells = |row: &Vec<Option<String>>| -> Vec<Cell> {
        let cell = |(text, right): (&Option<String>, &bool)| {
            let cell = Cell::new(text.as_deref().unwrap_or("NULL"));
            if *right { cell.set_alignment(CellAlignment::Right) } else { cell }
        };
        row.iter().zip(&right).map(cell).collect()
    };
    table.add_rows(rows.head.iter().map(cells));
    if rows.left_out() > 0 {
        table.add_row(rows.schema.fields().iter().map(|_| Cell::new("…")));
    }
    table.add_rows(rows.tail.iter().map(cells));
    Ok(writeln!(out, "{table}")?)
}

/// A line a value, as psql's expanded display.
fn records(out: &mut impl Write, rows: &Rows) -> Result<(), Failure> {
    let fields = rows.schema.fields();
    let name_width = fields.iter().map(|f| measure_text_width(f.name())).max().unwrap_or(0);
    let mut record = |number: usize, row: &Vec<Option<String>>| -> Result<(), Failure> {
        writeln!(out, "{:-<w$}", format!("-[ RECORD {number} ]"), w = name_width + 20)?;
        for (field, value) in fields.iter().zip(row) {
            let mut lines = value.as_deref().unwrap_or("NULL").lines();
            let pad = " ".repeat(name_width - measure_text_width(field.name()));
            writeln!(out, "{}{pad} | {}", field.name(), lines.next().unwrap_or(""))?;
            for line in lines {
                writeln!(out, "{} | {line}", " ".repeat(name_width))?;
            }
        }
        Ok(())
    };
    for (i, row) in rows.head.iter().enumerate() {
        record(i + 1, row)?;
    }
    for (i, row) in rows.tail.iter().enumerate() {
        record(rows.all - rows.tail.len() + i + 1, row)?;
    }
    Ok(())
}

/// Kinds of plans and their texts as they are, without a table's lines around them.
fn plans(out: &mut impl Write, rows: &Rows) -> Result<(), Failure> {
    for row in &rows.head {
        if let [Some(kind), Some(plan)] = row.as_slice() {
            writeln!(out, "{kind}\n{}", plan.lines().map(|line| format!("  {line}\n")).collect::<String>())?;
        }
    }
    Ok(())
}

fn count(rows: &Rows) -> String {
    let unit = if rows.all == 1 { "row" } else { "rows" };
    match rows.left_out() {
        0 => format!("({} {unit})", rows.all),
        _ => {
            format!("({} {unit}, {} of them shown; \\maxrows 0 shows all)", rows.all, rows.head.len() + rows.tail.len())
        }
    }
}

impl Rows {
    fn left_out(&self) -> usize {
        self.all - self.head.len() - self.tail.len()
    }
}
