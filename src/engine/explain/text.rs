//! A plan's steps as lines.

use super::actual;
use super::nodes::Step;

/// A step's line, its details, then its children, deeper; with what running counted for ANALYZE.
pub fn lines(step: &Step, ran: bool) -> Vec<String> {
    let mut lines = Vec::new();
    write(step, 0, ran, &mut lines);
    lines
}

/// The step's own line.
pub fn line(step: &Step) -> String {
    let label = step.label.map(|label| format!(" {label}")).unwrap_or_default();
    let cost = &step.cost;
    // An estimate of no row is one of few.
    let rows = cost.rows.ceil().max(1.0) as u64;
    let width = cost.width.round() as u64;
    format!("XN {}{label}  (cost={:.2}..{:.2} rows={rows} width={width})", step.operator, cost.first, cost.total)
}

/// `depth` is how many blanks stand before the step's own text.
fn write(step: &Step, depth: usize, ran: bool, lines: &mut Vec<String>) {
    let before = match depth {
        0 => String::new(),
        _ => format!("{}->  ", " ".repeat(depth - 4)),
    };
    let counted = if ran { actual::counted(step) } else { actual::Counted::default() };
    lines.push(format!("{before}{}{}", line(step), counted.line));
    let inner = " ".repeat(depth + 2);
    lines.extend(step.details.iter().chain(&counted.details).map(|detail| format!("{inner}{detail}")));
    for child in &step.children {
        match &child.heading {
            Some(heading) => {
                lines.push(format!("{inner}{heading}"));
                write(child, depth + 8, ran, lines);
            }
            None => write(child, depth + 6, ran, lines),
        }
    }
}
