//! The storage of tables in words.

use std::collections::BTreeMap;
use std::io::{self, Write};

use blueshift::engine::Session;
use comfy_table::{Cell, CellAlignment, Table as Grid, presets};

use super::{Table, Zone};
use crate::failure::Failure;
use crate::render::{self, Format};

/// Characters that the sort key's range is drawn in.
const STRIP: usize = 64;

/// All tables of the warehouse, the largest first.
pub async fn warehouse(session: &Session) -> Result<(), Failure> {
    let warehouse = session.warehouse();
    let info = warehouse.info();
    let mut out = io::stdout();
    writeln!(
        out,
        "{}: {} slices, zones of {} rows, chunks of {}",
        warehouse.location(),
        info.slices,
        info.zone_rows,
        info.chunk_rows
    )?;
    let sql = "SELECT schema || '.' || \"table\" AS \"table\", diststyle, sortkey1 AS \"sort key\", \
               estimated_visible_rows AS rows, tbl_rows - estimated_visible_rows AS deleted, size AS blocks, \
               skew_rows AS skew, unsorted AS \"unsorted %\" FROM svv_table_info ORDER BY size DESC, 1";
    let tables = session.sql(sql).await?;
    render::write(&mut out, tables, Format::Table).await?;
    writeln!(out, "A table's name behind the options shows its slices, columns and zones.")?;
    Ok(())
}

/// One table: slices, columns, runs, overlap of the zones.
pub fn table(table: &Table) -> Result<(), Failure> {
    let mut out = io::stdout();
    writeln!(out, "{}: {}, sort key {}", table.name, table.diststyle, table.key())?;
    writeln!(
        out,
        "{} rows, {} of them deleted ({}); {} in {} zones",
        table.rows(),
        table.deleted(),
        percent(table.deleted(), table.rows()),
        size(table.bytes()),
        table.zones.len()
    )?;
    writeln!(out, "\nSlices\n{}", slices(table))?;
    writeln!(out, "\nColumns, in the encodings that their zones have\n{}", columns(table))?;
    writeln!(out, "\nRuns: a run is in the sort key's order within each slice\n{}", runs(table))?;
    overlap(&mut out, table)?;
    Ok(())
}

fn slices(table: &Table) -> Grid {
    let mut grid = grid(&["slice", "rows", "deleted", "zones", "size", "zones a lookup reads"]);
    for slice in 0..table.slices {
        let zones: Vec<&Zone> = table.of_slice(slice).collect();
        let sum = |value: fn(&Zone) -> i64| zones.iter().map(|z| value(z)).sum::<i64>();
        let rows = sum(|z| z.rows);
        grid.add_row(numbers(&[
            slice.to_string(),
            rows.to_string(),
            percent(sum(|z| z.deleted), rows),
            zones.len().to_string(),
            size(sum(|z| z.bytes)),
            mean_depth(table, slice),
        ]));
    }
    grid
}

fn columns(table: &Table) -> Grid {
    let mut grid = grid(&["column", "type", "encoding", "size", "share", "bits a value", "NULL", "min", "max"]);
    let all = table.bytes();
    for column in &table.columns {
        let bits = column.bytes as f64 * 8.0 / column.rows.max(1) as f64;
        let mut row = vec![Cell::new(&column.name), Cell::new(&column.sql_type), Cell::new(&column.encoding)];
        row.extend(numbers(&[
            size(column.bytes),
            percent(column.bytes, all),
            format!("{bits:.1}"),
            percent(column.nulls, column.rows),
        ]));
        let bound = |value: &Option<String>| Cell::new(short(value.as_deref().unwrap_or("NULL")));
        row.extend([bound(&column.min), bound(&column.max)]);
        grid.add_row(row);
    }
    grid
}

fn runs(table: &Table) -> Grid {
    let mut runs: BTreeMap<(bool, i64), (i64, usize)> = BTreeMap::new();
    for zone in &table.zones {
        let run = runs.entry((!zone.sorted, zone.run)).or_default();
        *run = (run.0 + zone.rows, run.1 + 1);
    }
    let mut grid = grid(&["run", "rows", "zones", "region"]);
    for ((unsorted, run), (rows, zones)) in runs {
        let mut row = numbers(&[run.to_string(), rows.to_string(), zones.to_string()]);
        row.push(Cell::new(match (table.sort_key.is_empty(), unsorted) {
            (true, _) => "no sort key",
            (false, false) => "sorted",
            (false, true) => "unsorted: VACUUM would merge it",
        }));
        grid.add_row(row);
    }
    grid
}

/// A strip for each slice: how many of its zones hold each part of the range of what zones are compared by.
fn overlap(out: &mut impl Write, table: &Table) -> Result<(), Failure> {
    let Some(((_, least), (_, greatest))) = table.scale.first().zip(table.scale.last()) else { return Ok(()) };
    writeln!(out, "\nZones over the range of {}, from {} to {}", table.compared, short(least), short(greatest))?;
    for slice in 0..table.slices {
        writeln!(out, "  slice {slice:>4}  |{}|", strip(&table.depths(slice)))?;
    }
    writeln!(
        out,
        "A digit tells how many zones of the slice a lookup of a value there reads (+ is ten or more, a blank none): \
         1 all along is as good as sorting can be."
    )?;
    Ok(())
}

/// Depths of the scale's places in [`STRIP`] characters, each the most of its part.
fn strip(depths: &[usize]) -> String {
    let places = depths.len();
    (0..STRIP.min(places))
        .map(|i| {
            let parts = STRIP.min(places);
            let part = &depths[i * places / parts..(i + 1) * places / parts];
            match part.iter().max() {
                None | Some(0) => ' ',
                Some(depth @ 1..=9) => char::from(b'0' + *depth as u8),
                Some(_) => '+',
            }
        })
        .collect()
}

/// Zones whose bounds hold a value, in the mean over the bounds that the slice's zones have.
fn mean_depth(table: &Table, slice: u32) -> String {
    let depths: Vec<usize> = table.depths(slice).into_iter().filter(|d| *d > 0).collect();
    if depths.is_empty() {
        return "-".to_string();
    }
    format!("{:.2}", depths.iter().sum::<usize>() as f64 / depths.len() as f64)
}

fn grid(header: &[&str]) -> Grid {
    let mut grid = Grid::new();
    grid.load_preset(presets::ASCII_MARKDOWN).set_header(header);
    grid
}

fn numbers(texts: &[String]) -> Vec<Cell> {
    texts.iter().map(|text| Cell::new(text).set_alignment(CellAlignment::Right)).collect()
}

/// Bytes in a unit that leaves a few digits.
pub fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

pub fn percent(part: i64, whole: i64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / whole.max(1) as f64)
}

/// A value of at most 24 characters.
fn short(text: &str) -> String {
    const MOST: usize = 24;
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= MOST { clean } else { clean.chars().take(MOST - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_shows_the_most_of_each_part() {
        assert_eq!(strip(&[1, 1, 0, 12]), "11 +");
        let long: Vec<usize> = (0..640).map(|i| if i == 9 { 3 } else { 1 }).collect();
        assert_eq!(strip(&long), format!("3{}", "1".repeat(63)));
        assert_eq!(strip(&[]), "");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!([size(12), size(2048), size(5 << 20)], ["12 B", "2.0 KiB", "5.0 MiB"]);
        assert_eq!(short("ab\ncd"), "ab cd");
        assert_eq!(short(&"x".repeat(30)).chars().count(), 24);
    }
}
