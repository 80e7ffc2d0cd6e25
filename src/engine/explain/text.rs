//! A plan's steps as lines.

use std::collections::BTreeSet;

use super::actual;
use super::nodes::Step;

/// A step's line, its details, then its children, deeper; with what running counted for ANALYZE.
pub fn lines(step: &Step, ran: bool) -> Vec<String> {
    let mut lines = Vec::new();
    write(step, 0, ran, &mut lines);
    lines
}

/// What the plan gives reason to say (Redshift's texts).
pub fn warnings(step: &Step) -> Vec<String> {
    let mut warnings = Vec::new();
    if step.any(&|s| s.cartesian) {
        warnings.push(
            "----- Nested Loop Join in the query plan - review the join predicates to avoid Cartesian products -----"
                .to_string(),
        );
    }
    let mut missing = BTreeSet::new();
    step.each(&mut |s| missing.extend(s.scan.iter().filter(|scan| scan.unknown).map(|scan| scan.table.to_string())));
    if !missing.is_empty() {
        let names: Vec<String> = missing.into_iter().collect();
        warnings.push(format!("----- Tables missing statistics: {} -----", names.join(", ")));
        warnings.push("----- Update statistics by running the ANALYZE command on these tables -----".to_string());
    }
    warnings
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
