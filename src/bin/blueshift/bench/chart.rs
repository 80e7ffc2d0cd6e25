//! Figures as bars.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::prelude::*;
use serde_json::Value;

use super::report::{Report, geometric_mean};
use crate::failure::Failure;

const SIZE: (u32, u32) = (1200, 480);
const INK: RGBColor = RGBColor(26, 32, 44);
const PALE: RGBColor = RGBColor(203, 213, 224);
/// Colours of rivals, in turn.
const COLOURS: [RGBColor; 3] = [RGBColor(183, 121, 31), RGBColor(43, 108, 176), RGBColor(113, 128, 150)];
/// Of a query's place, what its bars take.
const BARS: f64 = 0.8;

/// What another comparison has found: an engine, and how many times as long as ours it took for each query.
#[derive(Debug)]
pub struct Beside {
    engine: String,
    ratios: BTreeMap<String, f64>,
}

/// Bars of each query.
struct Chart {
    title: String,
    axis: String,
    /// What bars begin at.
    base: f64,
    queries: Vec<String>,
    series: Vec<(String, Vec<Option<f64>>)>,
}

/// Reads what a comparison with another engine has written.
pub fn read_beside(file: &Path) -> Result<Beside, Failure> {
    let wrong = |what: String| Failure::Message(format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    let json: Value = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let mut ratios = BTreeMap::new();
    for query in json["measured"].as_array().into_iter().flatten() {
        let name = query["query"].as_str().map_or_else(|| query["query"].to_string(), str::to_string);
        let Some(medians) = query["medians"].as_object() else { continue };
        let ours = medians.get("blueshift").and_then(Value::as_f64);
        let theirs = medians.iter().filter(|(engine, _)| *engine != "blueshift").filter_map(|(_, s)| s.as_f64());
        if let (Some(ours), Some(theirs)) = (ours, theirs.reduce(f64::min)) {
            ratios.insert(plain(&name), theirs / ours);
        }
    }
    if ratios.is_empty() {
        return Err(wrong("it has no figures of a comparison that benches/compare made".into()));
    }
    let version = json["duckdb"].as_str().map_or_else(String::new, |version| format!(" {version}"));
    Ok(Beside { engine: format!("DuckDB{version} on its own file"), ratios })
}

/// A query's name, however it is written: q07 and 7 are the same.
fn plain(name: &str) -> String {
    name.trim_start_matches(['q', 'Q']).trim_start_matches('0').to_string()
}

/// An SVG document.
pub fn draw(report: &Report, beside: Option<&Beside>) -> Result<String, Failure> {
    let mut text = String::new();
    let chart = Chart::of(report, beside);
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        chart.draw(&area).map_err(|e| Failure::Message(format!("the chart cannot be drawn: {e}")))?;
    }
    Ok(text)
}

impl Chart {
    fn of(report: &Report, beside: Option<&Beside>) -> Chart {
        let scale = report.scale.map_or_else(String::new, |scale| format!(" at scale {scale}"));
        let mut queries: Vec<String> = report.queries.iter().map(|query| query.name.clone()).collect();
        let of = |figure: fn(&super::report::QueryReport) -> Option<f64>| report.queries.iter().map(figure).collect();
        let mut series: Vec<(String, Vec<Option<f64>>)> = Vec::new();
        if let Some(Beside { engine, ratios }) = beside {
            series.push((engine.clone(), queries.iter().map(|name| ratios.get(&plain(name)).copied()).collect()));
        }
        if report.queries.iter().any(|query| query.ratio().is_some()) {
            series.push(("DataFusion on Parquet".into(), of(|query| Some(1.0 / query.ratio()?))));
        }
        if series.is_empty() {
            return Chart {
                title: format!("{}{scale}", report.benchmark),
                axis: "ms".into(),
                base: 0.1,
                series: vec![("Blueshift".into(), of(|query| Some(query.median()? * 1e3)))],
                queries,
            };
        }
        queries.push("all".into());
        for (_, values) in &mut series {
            let known: Vec<f64> = values.iter().flatten().copied().collect();
            values.push((!known.is_empty()).then(|| geometric_mean(&known)));
        }
        Chart {
            title: format!("{}{scale}: how many times as long as Blueshift", report.benchmark),
            axis: "times Blueshift's time".into(),
            base: 1.0,
            queries,
            series,
        }
    }

    /// The least and the most that the axis shows.
    fn span(&self) -> (f64, f64) {
        let values = || self.series.iter().flat_map(|(_, values)| values).flatten().copied();
        (values().fold(self.base, f64::min) / 1.2, values().fold(self.base * 2.0, f64::max) * 1.2)
    }

    fn draw(
        &self,
        area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&WHITE)?;
        let (least, most) = self.span();
        let width = self.queries.len() as f64;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 20).into_font().color(&INK))
            .margin(12)
            .x_label_area_size(30)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..width, (least..most).log_scale())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(PALE)
            .light_line_style(WHITE)
            .axis_style(INK)
            .y_desc(&self.axis)
            .y_label_formatter(&|value| format!("{value}"))
            .x_labels(0)
            .label_style(("sans-serif", 13).into_font().color(&INK))
            .draw()?;
        for (place, name) in self.queries.iter().enumerate() {
            let style = ("sans-serif", 12).into_font().color(&INK);
            let (x, y) = chart.backend_coord(&(place as f64 + 0.5, least));
            area.draw(&Text::new(name.as_str(), (x - 3 * name.len() as i32, y + 10), style))?;
        }
        let bar = BARS / self.series.len() as f64;
        for (number, (name, values)) in self.series.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let bars = values.iter().enumerate().filter_map(|(place, value)| {
                let left = place as f64 + (1.0 - BARS) / 2.0 + bar * number as f64;
                Some(Rectangle::new([(left, self.base.max(least)), (left + bar, (*value)?)], colour.filled()))
            });
            chart
                .draw_series(bars)?
                .label(name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        }
        let line = PathElement::new([(0.0, self.base.max(least)), (width, self.base.max(least))], INK);
        chart.draw_series([line])?;
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.9))
            .border_style(PALE)
            .label_font(("sans-serif", 13).into_font().color(&INK))
            .draw()?;
        area.present()?;
        Ok(())
    }
}
