//! Figures, on the screen and as JSON.

use std::io::{self, Write};

use blueshift::engine::{ScanProfile, Warehouse};

use super::load::LoadFigures;
use super::streams::StreamsReport;
use crate::failure::Failure;
use crate::render::quoted;

/// What a run at one scale found.
#[derive(Debug)]
pub struct ScaleReport {
    scale: f64,
    location: String,
    slices: u32,
    threads: usize,
    pub lineitem_load: Option<LoadFigures>,
    pub stored_bytes: u64,
    pub parquet_bytes: Option<u64>,
    pub queries: Vec<QueryReport>,
    /// Tables with the wrong number of rows.
    pub wrong_counts: Vec<String>,
    pub streams: Option<StreamsReport>,
}

/// What the runs of one query found.
#[derive(Debug)]
pub struct QueryReport {
    pub number: usize,
    pub rows: usize,
    /// Seconds of each run.
    pub runs: Vec<f64>,
    /// Of the rival's; empty when it did not run for time.
    pub rival_runs: Vec<f64>,
    pub scans: ScanProfile,
    /// `None` when it was not checked, `Some(None)` when the results are the same.
    pub difference: Option<Option<String>>,
}

impl QueryReport {
    pub fn median(&self) -> f64 {
        median(&self.runs)
    }

    pub fn rival_median(&self) -> Option<f64> {
        (!self.rival_runs.is_empty()).then(|| median(&self.rival_runs))
    }

    /// Our time in the rival's: less than 1 is faster.
    pub fn ratio(&self) -> Option<f64> {
        self.rival_median().map(|theirs| self.median() / theirs)
    }

    pub fn print(&self) -> Result<(), Failure> {
        let zones = format!("{} of {}", grouped(self.scans.zones_pruned), grouped(self.scans.zones));
        let mut line =
            format!("{:>5} {:>8} {:>10.4} {zones:>18}", self.number, grouped(self.rows as u64), self.median());
        if let (Some(theirs), Some(ratio)) = (self.rival_median(), self.ratio()) {
            line.push_str(&format!(" {theirs:>10.4} {ratio:>7.2}"));
        }
        match &self.difference {
            Some(None) => line.push_str("  ok"),
            Some(Some(difference)) => line.push_str(&format!("  differs: {difference}")),
            None => {}
        }
        say(&line)
    }
}

impl ScaleReport {
    pub fn new(scale: f64, warehouse: &Warehouse, threads: usize) -> Self {
        ScaleReport {
            scale,
            location: warehouse.location().to_string(),
            slices: warehouse.info().slices,
            threads,
            lineitem_load: None,
            stored_bytes: 0,
            parquet_bytes: None,
            queries: Vec::new(),
            wrong_counts: Vec::new(),
            streams: None,
        }
    }

    /// Checks that failed.
    pub fn differing(&self) -> usize {
        let queries = self.queries.iter().filter(|q| matches!(q.difference, Some(Some(_)))).count();
        let streams = self.streams.as_ref().map_or(0, |streams| streams.wrong.len());
        queries + self.wrong_counts.len() + streams
    }

    pub fn print_sizes(&self) -> Result<(), Failure> {
        let mut line = format!("stored: {} MB", megabytes(self.stored_bytes));
        if let Some(parquet) = self.parquet_bytes {
            let ratio = self.stored_bytes as f64 / parquet as f64;
            line.push_str(&format!(", as Parquet {} MB, ratio {ratio:.2}", megabytes(parquet)));
        }
        say(&line)
    }

    pub fn print_header(&self, compare: bool, check: bool) -> Result<(), Failure> {
        let mut line = format!("{:>5} {:>8} {:>10} {:>18}", "query", "rows", "median s", "zones pruned");
        if compare {
            line.push_str(&format!(" {:>10} {:>7}", "parquet s", "ratio"));
        }
        if check {
            line.push_str("  check");
        }
        say(&line)
    }

    pub fn print_summary(&self) -> Result<(), Failure> {
        if !self.queries.is_empty() {
            let (total, mean) = self.totals();
            let mut line = format!("total {total:.3} s, geometric mean {mean:.4} s");
            if let Some((total, mean, ratio)) = self.rival_totals() {
                line.push_str(&format!("; Parquet {total:.3} s, {mean:.4} s; geometric mean of the ratios {ratio:.2}"));
            }
            say(&line)?;
        }
        self.wrong_counts.iter().try_for_each(|wrong| say(&format!("differs: {wrong}")))
    }

    /// Sum and geometric mean of the medians.
    fn totals(&self) -> (f64, f64) {
        let medians: Vec<f64> = self.queries.iter().map(QueryReport::median).collect();
        (medians.iter().sum(), geometric_mean(&medians))
    }

    /// The rival's sum and geometric mean, and the geometric mean of the ratios.
    fn rival_totals(&self) -> Option<(f64, f64, f64)> {
        let medians: Vec<f64> = self.queries.iter().filter_map(QueryReport::rival_median).collect();
        let ratios: Vec<f64> = self.queries.iter().filter_map(QueryReport::ratio).collect();
        (!medians.is_empty()).then(|| (medians.iter().sum(), geometric_mean(&medians), geometric_mean(&ratios)))
    }

    fn json(&self) -> String {
        let mut fields = vec![
            format!("\"scale\": {}", self.scale),
            format!("\"engine\": {}", quoted("blueshift")),
            format!("\"version\": {}", quoted(env!("CARGO_PKG_VERSION"))),
            format!("\"warehouse\": {}", quoted(&self.location)),
            format!("\"slices\": {}", self.slices),
            format!("\"threads\": {}", self.threads),
            format!("\"stored_bytes\": {}", self.stored_bytes),
        ];
        if let Some(bytes) = self.parquet_bytes {
            fields.push(format!("\"parquet_bytes\": {bytes}"));
        }
        if let Some(LoadFigures { rows, seconds }) = self.lineitem_load {
            fields.push(format!("\"lineitem_load\": {{\"rows\": {rows}, \"seconds\": {seconds:.3}}}"));
        }
        if !self.queries.is_empty() {
            let (total, mean) = self.totals();
            fields.push(format!("\"total_s\": {total:.6}"));
            fields.push(format!("\"geomean_s\": {mean:.6}"));
        }
        if let Some((total, mean, ratio)) = self.rival_totals() {
            fields.push(format!("\"parquet_total_s\": {total:.6}"));
            fields.push(format!("\"parquet_geomean_s\": {mean:.6}"));
            fields.push(format!("\"geomean_ratio\": {ratio:.4}"));
        }
        if !self.wrong_counts.is_empty() {
            let wrong: Vec<String> = self.wrong_counts.iter().map(|w| quoted(w)).collect();
            fields.push(format!("\"wrong_row_counts\": [{}]", wrong.join(", ")));
        }
        if let Some(streams) = &self.streams {
            fields.push(format!("\"streams\": {}", streams.json()));
        }
        let queries: Vec<String> = self.queries.iter().map(|q| format!("\n    {}", q.json())).collect();
        fields.push(match queries.is_empty() {
            true => "\"queries\": []".into(),
            false => format!("\"queries\": [{}\n  ]", queries.join(",")),
        });
        format!("{{\n  {}\n}}", fields.join(",\n  "))
    }
}

impl QueryReport {
    fn json(&self) -> String {
        let seconds = |runs: &[f64]| runs.iter().map(|s| format!("{s:.6}")).collect::<Vec<_>>().join(", ");
        let mut text = format!(
            "{{\"query\": {}, \"median_s\": {:.6}, \"runs_s\": [{}], \"rows\": {}, \"zones\": {}, \"zones_pruned\": {}",
            self.number,
            self.median(),
            seconds(&self.runs),
            self.rows,
            self.scans.zones,
            self.scans.zones_pruned
        );
        if let (Some(theirs), Some(ratio)) = (self.rival_median(), self.ratio()) {
            text.push_str(&format!(
                ", \"parquet_median_s\": {theirs:.6}, \"parquet_runs_s\": [{}], \"ratio\": {ratio:.4}",
                seconds(&self.rival_runs)
            ));
        }
        match &self.difference {
            Some(None) => text.push_str(", \"check\": \"ok\""),
            Some(Some(difference)) => text.push_str(&format!(", \"check\": {}", quoted(difference))),
            None => {}
        }
        text + "}"
    }
}

/// One object when one scale was asked for, else an array.
pub fn json(reports: &[ScaleReport], single: bool) -> String {
    let objects: Vec<String> = reports.iter().map(ScaleReport::json).collect();
    if single { objects.join(",") + "\n" } else { format!("[{}]\n", objects.join(", ")) }
}

/// A line on standard output, at once.
pub fn say(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n.is_multiple_of(2) => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
        n => sorted[n / 2],
    }
}

pub fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|v| v.max(1e-9).ln()).sum::<f64>() / values.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0]), 1.5);
        assert!((geometric_mean(&[1.0, 4.0]) - 2.0).abs() < 1e-12);
        assert_eq!([0, 999, 1000, 6_001_215].map(grouped), ["0", "999", "1,000", "6,001,215"]);
    }
}
