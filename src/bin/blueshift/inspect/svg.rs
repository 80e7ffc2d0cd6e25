//! The storage of tables as a drawing: slices side by side, a bar for each zone.

use std::fmt::Write;

use super::report::{percent, size};
use super::{Table, Zone};

const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 40.0;
/// Height of the drawing of one slice, at most.
const TALLEST: f64 = 260.0;
/// Height of a zone's bar, at most.
const THICKEST: f64 = 10.0;
/// More bars than pixels say nothing: of a slice with more zones each bar stands for several.
const MOST_BARS: usize = 1000;

const SORTED: &str = "#2b6cb0";
const UNSORTED: &str = "#dd6b20";
const DELETED: &str = "#c53030";
const INK: &str = "#1a202c";
const PALE: &str = "#718096";
/// Colours of columns, in turn.
const COLUMNS: [&str; 8] = ["#2b6cb0", "#2f855a", "#b7791f", "#6b46c1", "#c05621", "#2c7a7b", "#b83280", "#4a5568"];

/// An SVG document.
pub fn draw(tables: &[Table]) -> String {
    let mut drawing = Drawing { body: String::new(), y: MARGIN };
    for (i, table) in tables.iter().enumerate() {
        if i > 0 {
            drawing.y += 2.0 * MARGIN;
        }
        drawing.heading(table);
        drawing.columns(table);
        for table in std::iter::once(table).chain(&table.further) {
            drawing.zones(table);
        }
    }
    drawing.finish()
}

struct Drawing {
    body: String,
    /// Where the next thing begins.
    y: f64,
}

impl Drawing {
    fn heading(&mut self, table: &Table) {
        self.text(MARGIN, 22.0, INK, &table.name);
        let key = if table.sort_key.is_empty() { "no sort key".into() } else { format!("sort key {}", table.key()) };
        self.text(
            MARGIN,
            14.0,
            PALE,
            &format!(
                "{}, {key}; {} rows, {} deleted; {} in {} zones on {} slices",
                table.diststyle,
                table.rows(),
                percent(table.deleted(), table.rows()),
                size(table.bytes()),
                table.zones.len(),
                table.slices
            ),
        );
        self.y += 14.0;
    }

    /// A bar of all bytes, divided among the columns, and its legend.
    fn columns(&mut self, table: &Table) {
        self.text(MARGIN, 16.0, INK, "Bytes by column and encoding");
        let all = table.bytes().max(1) as f64;
        let mut x = MARGIN;
        for (i, column) in table.columns.iter().enumerate() {
            let width = column.bytes as f64 / all * (WIDTH - 2.0 * MARGIN);
            let title = format!(
                "{} ({}): {}, {}",
                column.name,
                column.encoding,
                size(column.bytes),
                percent(column.bytes, table.bytes())
            );
            self.rect(x, self.y, width, 26.0, COLUMNS[i % COLUMNS.len()], 1.0, &title);
            x += width;
        }
        self.y += 44.0;
        let mut x = MARGIN;
        for (i, column) in table.columns.iter().enumerate() {
            let label = format!("{} {} {}", column.name, column.encoding, size(column.bytes));
            let width = 26.0 + 7.2 * label.chars().count() as f64;
            if x + width > WIDTH - MARGIN {
                x = MARGIN;
                self.y += 20.0;
            }
            self.rect(x, self.y - 10.0, 12.0, 12.0, COLUMNS[i % COLUMNS.len()], 1.0, &column.sql_type);
            self.text_at(x + 17.0, self.y, 12.0, INK, &label);
            x += width;
        }
        self.y += 36.0;
    }

    /// For each slice its zones from top to bottom as they follow one another, each from its least to its greatest value.
    fn zones(&mut self, table: &Table) {
        self.text(
            MARGIN,
            16.0,
            INK,
            &format!(
                "Zones: each bar spans the values of {} in one zone of {} rows at most",
                table.compared,
                largest(table)
            ),
        );
        self.text(
            MARGIN,
            13.0,
            PALE,
            "A lookup reads every zone whose bar it hits: a clean diagonal is sorted, wide bars above one another overlap.",
        );
        self.y += 6.0;
        let mut x = MARGIN;
        for (colour, label) in
            [(SORTED, "sorted region"), (UNSORTED, "later runs, not merged yet"), (DELETED, "share of deleted rows")]
        {
            self.rect(x, self.y - 10.0, 12.0, 12.0, colour, 1.0, label);
            self.text_at(x + 17.0, self.y, 12.0, INK, label);
            x += 40.0 + 7.2 * label.chars().count() as f64;
        }
        self.y += 22.0;
        let most = (0..table.slices).map(|slice| table.of_slice(slice).count()).max().unwrap_or(0);
        let bars = most.clamp(1, MOST_BARS);
        let thick = (TALLEST / bars as f64).min(THICKEST);
        for slice in 0..table.slices {
            let zones: Vec<&Zone> = table.of_slice(slice).collect();
            let rows: i64 = zones.iter().map(|z| z.rows).sum();
            let bytes: i64 = zones.iter().map(|z| z.bytes).sum();
            let label = format!("slice {slice}: {rows} rows, {} zones, {}", zones.len(), size(bytes));
            self.text(MARGIN, 13.0, INK, &label);
            let height = thick * zones.len().min(bars).max(1) as f64;
            self.frame(MARGIN, self.y, WIDTH - 2.0 * MARGIN, height);
            for (i, group) in groups(&zones, bars).enumerate() {
                self.bar(table, group, self.y + i as f64 * thick, thick);
            }
            self.y += height + 22.0;
        }
        if let Some(((_, least), (_, greatest))) = table.scale.first().zip(table.scale.last()) {
            self.text(
                MARGIN,
                12.0,
                PALE,
                &format!(
                    "left: {least}    right: {greatest}    (values at equal distances, whatever lies between them)"
                ),
            );
        }
    }

    /// One zone, or a few that follow one another.
    fn bar(&mut self, table: &Table, zones: &[&Zone], y: f64, thick: f64) {
        let ranges = zones.iter().filter_map(|z| z.range);
        let Some((from, to)) = ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else { return };
        let unit = (WIDTH - 2.0 * MARGIN) / table.scale.len().max(1) as f64;
        let (x, width) = (MARGIN + from as f64 * unit, ((to - from + 1) as f64 * unit).max(1.0));
        let sum = |value: fn(&Zone) -> i64| zones.iter().map(|z| value(z)).sum::<i64>();
        let (rows, deleted) = (sum(|z| z.rows), sum(|z| z.deleted));
        let title = format!(
            "{} to {}: {rows} rows, {} deleted, {}",
            table.scale[from].1,
            table.scale[to].1,
            percent(deleted, rows),
            size(sum(|z| z.bytes))
        );
        let colour = if zones.iter().all(|z| z.sorted) { SORTED } else { UNSORTED };
        self.rect(x, y, width, (thick - thick.min(1.0) * 0.2).max(0.2), colour, 0.8, &title);
        if deleted > 0 {
            let dead = (width * deleted as f64 / rows.max(1) as f64).max(1.0);
            self.rect(x, y, dead, (thick - thick.min(1.0) * 0.2).max(0.2), DELETED, 1.0, &title);
        }
    }

    fn text(&mut self, x: f64, height: f64, colour: &str, text: &str) {
        self.text_at(x, self.y, height, colour, text);
        self.y += height + 8.0;
    }

    fn text_at(&mut self, x: f64, y: f64, height: f64, colour: &str, text: &str) {
        let text = escaped(text);
        // Writing to a text cannot fail.
        let _ =
            writeln!(self.body, r#"<text x="{x:.1}" y="{y:.1}" font-size="{height}" fill="{colour}">{text}</text>"#);
    }

    #[allow(clippy::too_many_arguments, reason = "a rectangle's four numbers, and how it looks")]
    fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, colour: &str, opacity: f64, title: &str) {
        let title = escaped(title);
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.2}" y="{y:.2}" width="{width:.2}" height="{height:.2}" fill="{colour}" fill-opacity="{opacity}"><title>{title}</title></rect>"#
        );
    }

    fn frame(&mut self, x: f64, y: f64, width: f64, height: f64) {
        let _ = writeln!(
            self.body,
            r##"<rect x="{x:.2}" y="{y:.2}" width="{width:.2}" height="{height:.2}" fill="#f7fafc" stroke="#cbd5e0"/>"##
        );
    }

    fn finish(self) -> String {
        let height = self.y + MARGIN;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\" \
             font-family=\"system-ui, sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}</svg>\n",
            self.body
        )
    }
}

/// The zones in at most `bars` groups of neighbours.
fn groups<'a>(zones: &'a [&'a Zone], bars: usize) -> impl Iterator<Item = &'a [&'a Zone]> {
    zones.chunks(zones.len().div_ceil(bars).max(1))
}

fn largest(table: &Table) -> i64 {
    table.zones.iter().map(|z| z.rows).max().unwrap_or(0)
}

/// Text as XML holds it; what XML cannot hold becomes a blank.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
