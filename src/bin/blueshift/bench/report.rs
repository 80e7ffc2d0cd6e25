//! Figures, on the screen and as JSON.

use std::io::{self, Write};

use blueshift::engine::{ScanProfile, Warehouse};

use super::query::Query;
use super::run::Options;
use crate::failure::Failure;
use crate::render::quoted;

/// What a run of a benchmark found.
#[derive(Debug)]
pub struct Report {
    pub benchmark: String,
    /// The scale factor, where there is one.
    pub scale: Option<f64>,
    location: String,
    slices: u32,
    threads: usize,
    pub stored_bytes: u64,
    pub parquet_bytes: Option<u64>,
    pub queries: Vec<QueryReport>,
    /// What else failed, in words.
    pub failures: Vec<String>,
    /// Further figures: a name, and JSON.
    pub further: Vec<(&'static str, String)>,
    /// Characters of the longest name of a query.
    name_width: usize,
}

/// What the runs of one query found.
#[derive(Debug, Default)]
pub struct QueryReport {
    pub name: String,
    pub rows: usize,
    /// Seconds of each run; empty when it failed.
    pub runs: Vec<f64>,
    /// Of the rival's; empty when it did not run for time.
    pub rival_runs: Vec<f64>,
    pub scans: ScanProfile,
    /// `None` when it was not checked, `Some(None)` when the results are the same.
    pub difference: Option<Option<String>>,
    /// Why it, or the rival's, has no answer.
    pub failure: Option<String>,
    pub rival_failure: Option<String>,
}

impl QueryReport {
    pub fn new(name: &str) -> Self {
        QueryReport { name: name.to_string(), ..QueryReport::default() }
    }

    pub fn median(&self) -> Option<f64> {
        median(&self.runs)
    }

    pub fn rival_median(&self) -> Option<f64> {
        median(&self.rival_runs)
    }

    /// Our time in the rival's: less than 1 is faster.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.median()? / self.rival_median()?)
    }

    /// Whether there is no answer, or another one than the rival's.
    fn has_failed(&self) -> bool {
        self.failure.is_some() || matches!(self.difference, Some(Some(_)))
    }
}

impl Report {
    pub fn new(benchmark: &str, scale: Option<f64>, warehouse: &Warehouse, threads: usize) -> Self {
        Report {
            benchmark: benchmark.to_string(),
            scale,
            location: warehouse.location().to_string(),
            slices: warehouse.info().slices,
            threads,
            stored_bytes: 0,
            parquet_bytes: None,
            queries: Vec::new(),
            failures: Vec::new(),
            further: Vec::new(),
            name_width: 0,
        }
    }

    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Queries that failed or differ, and further checks that failed.
    pub fn failed(&self) -> usize {
        self.queries.iter().filter(|query| query.has_failed()).count() + self.failures.len()
    }

    pub fn print_sizes(&self) -> Result<(), Failure> {
        let mut line = format!("stored: {} MB", megabytes(self.stored_bytes));
        if let Some(parquet) = self.parquet_bytes {
            let ratio = self.stored_bytes as f64 / parquet as f64;
            line.push_str(&format!(", as Parquet {} MB, ratio {ratio:.2}", megabytes(parquet)));
        }
        say(&line)
    }

    pub fn print_header(&mut self, queries: &[Query], options: Options) -> Result<(), Failure> {
        self.name_width = queries.iter().map(|query| query.name.chars().count()).max().unwrap_or(0).max(5);
        let width = self.name_width;
        let mut line = format!("{:>width$} {:>8} {:>10} {:>18}", "query", "rows", "median s", "zones pruned");
        if options.compare {
            line.push_str(&format!(" {:>10} {:>7}", "parquet s", "ratio"));
        }
        if options.check {
            line.push_str("  check");
        }
        say(&line)
    }

    pub fn print_query(&self, query: &QueryReport) -> Result<(), Failure> {
        let width = self.name_width;
        let mut line = format!("{:>width$}", query.name);
        match (&query.failure, query.median()) {
            (None, Some(median)) => {
                let zones = format!("{} of {}", grouped(query.scans.zones_pruned), grouped(query.scans.zones));
                line.push_str(&format!(" {:>8} {median:>10.4} {zones:>18}", grouped(query.rows as u64)));
            }
            (failure, _) => line.push_str(&format!("  fails: {}", failure.as_deref().unwrap_or("it did not run"))),
        }
        if let Some(theirs) = query.rival_median() {
            let ratio = query.ratio().map_or("-".into(), |ratio| format!("{ratio:.2}"));
            line.push_str(&format!(" {theirs:>10.4} {ratio:>7}"));
        }
        match &query.difference {
            Some(None) => line.push_str("  ok"),
            Some(Some(difference)) => line.push_str(&format!("  differs: {difference}")),
            None => {}
        }
        if let Some(failure) = &query.rival_failure {
            line.push_str(&format!("  Parquet fails: {failure}"));
        }
        say(&line)
    }

    pub fn print_summary(&self) -> Result<(), Failure> {
        if let Some((total, mean)) = self.totals() {
            let mut line = format!("total {total:.3} s, geometric mean {mean:.4} s");
            if let Some((total, mean, ratio)) = self.rival_totals() {
                line.push_str(&format!("; Parquet {total:.3} s, {mean:.4} s; geometric mean of the ratios {ratio:.2}"));
            }
            say(&line)?;
        }
        self.failures.iter().try_for_each(|failure| say(&format!("differs: {failure}")))
    }

    /// Sum and geometric mean of the medians.
    fn totals(&self) -> Option<(f64, f64)> {
        let medians: Vec<f64> = self.queries.iter().filter_map(QueryReport::median).collect();
        (!medians.is_empty()).then(|| (medians.iter().sum(), geometric_mean(&medians)))
    }

    /// The rival's sum and geometric mean, and the geometric mean of the ratios.
    fn rival_totals(&self) -> Option<(f64, f64, f64)> {
        let medians: Vec<f64> = self.queries.iter().filter_map(QueryReport::rival_median).collect();
        let ratios: Vec<f64> = self.queries.iter().filter_map(QueryReport::ratio).collect();
        (!ratios.is_empty()).then(|| (medians.iter().sum(), geometric_mean(&medians), geometric_mean(&ratios)))
    }

    fn json(&self) -> String {
        let mut fields = match self.scale {
            Some(scale) => vec![format!("\"scale\": {scale}")],
            None => Vec::new(),
        };
        fields.extend([
            format!("\"engine\": {}", quoted("blueshift")),
            format!("\"version\": {}", quoted(env!("CARGO_PKG_VERSION"))),
            format!("\"warehouse\": {}", quoted(&self.location)),
            format!("\"slices\": {}", self.slices),
            format!("\"threads\": {}", self.threads),
            format!("\"stored_bytes\": {}", self.stored_bytes),
            format!("\"benchmark\": {}", quoted(&self.benchmark)),
        ]);
        if let Some(bytes) = self.parquet_bytes {
            fields.push(format!("\"parquet_bytes\": {bytes}"));
        }
        fields.extend(self.further.iter().map(|(name, json)| format!("{}: {json}", quoted(name))));
        if let Some((total, mean)) = self.totals() {
            fields.push(format!("\"total_s\": {total:.6}"));
            fields.push(format!("\"geomean_s\": {mean:.6}"));
        }
        if let Some((total, mean, ratio)) = self.rival_totals() {
            fields.push(format!("\"parquet_total_s\": {total:.6}"));
            fields.push(format!("\"parquet_geomean_s\": {mean:.6}"));
            fields.push(format!("\"geomean_ratio\": {ratio:.4}"));
        }
        if !self.failures.is_empty() {
            let failures: Vec<String> = self.failures.iter().map(|w| quoted(w)).collect();
            fields.push(format!("\"failures\": [{}]", failures.join(", ")));
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
        // A number is one in JSON, too.
        let name = match self.name.parse::<u32>() {
            Ok(number) => number.to_string(),
            Err(_) => quoted(&self.name),
        };
        let mut text = format!("{{\"query\": {name}");
        if let Some(median) = self.median() {
            text.push_str(&format!(
                ", \"median_s\": {median:.6}, \"runs_s\": [{}], \"rows\": {}, \"zones\": {}, \"zones_pruned\": {}",
                seconds(&self.runs),
                self.rows,
                self.scans.zones,
                self.scans.zones_pruned
            ));
        }
        if let Some(theirs) = self.rival_median() {
            text.push_str(&format!(
                ", \"parquet_median_s\": {theirs:.6}, \"parquet_runs_s\": [{}]",
                seconds(&self.rival_runs)
            ));
        }
        if let Some(ratio) = self.ratio() {
            text.push_str(&format!(", \"ratio\": {ratio:.4}"));
        }
        match &self.difference {
            Some(None) => text.push_str(", \"check\": \"ok\""),
            Some(Some(difference)) => text.push_str(&format!(", \"check\": {}", quoted(difference))),
            None => {}
        }
        for (name, failure) in [("failure", &self.failure), ("parquet_failure", &self.rival_failure)] {
            if let Some(failure) = failure {
                text.push_str(&format!(", \"{name}\": {}", quoted(failure)));
            }
        }
        text + "}"
    }
}

/// One object when one run was asked for, else an array.
pub fn json(reports: &[Report], single: bool) -> String {
    let objects: Vec<String> = reports.iter().map(Report::json).collect();
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

/// `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => None,
        n if n.is_multiple_of(2) => Some((sorted[n / 2 - 1] + sorted[n / 2]) / 2.0),
        n => Some(sorted[n / 2]),
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
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[]), None);
        assert!((geometric_mean(&[1.0, 4.0]) - 2.0).abs() < 1e-12);
        assert_eq!([0, 999, 1000, 6_001_215].map(grouped), ["0", "999", "1,000", "6,001,215"]);
    }
}
