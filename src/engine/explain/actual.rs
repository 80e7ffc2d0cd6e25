//! What running a plan counted, beside its estimates.

use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;

use super::nodes::Step;

/// What stands behind a step's estimates, and below its details.
#[derive(Debug, Default)]
pub struct Counted {
    pub line: String,
    pub details: Vec<String>,
}

/// Of a step that has run; nothing of one that counts nothing, such as Hash, which its join counts.
pub fn counted(step: &Step) -> Counted {
    let Some(rows) = rows(step) else { return Counted::default() };
    let mut details = Vec::new();
    let sum = |name: &str| total(&step.plans, |metrics| metrics.sum_by_name(name).map(|v| v.as_usize()));
    if step.scan.is_some() {
        let pruned = (sum("zones_pruned_static"), sum("zones_pruned_dynamic"));
        details.push(format!(
            "Read: bytes={} zones={} pruned={} pruned by joins={} rows deleted={}",
            sum("bytes_read"),
            sum("zones") - (pruned.0 + pruned.1).min(sum("zones")),
            pruned.0,
            pruned.1,
            sum("rows_deleted")
        ));
    }
    if !step.moved.is_empty() {
        let Moved { rows, bytes } = moved(step);
        let bytes = bytes.map(|bytes| format!(" bytes={bytes}")).unwrap_or_default();
        details.push(format!("Moved: rows={rows}{bytes}"));
    }
    let spilled = total(&step.plans, |metrics| metrics.spilled_bytes());
    if spilled > 0 {
        let rows = total(&step.plans, |metrics| metrics.spilled_rows());
        details.push(format!("Spilled: rows={rows} bytes={spilled}"));
    }
    let memory = total(&step.plans, |metrics| {
        let peaks = ["build_mem_used", "peak_mem_used"].map(|name| metrics.sum_by_name(name).map(|v| v.as_usize()));
        peaks.into_iter().flatten().reduce(usize::max)
    });
    if memory > 0 {
        details.push(format!("Memory: bytes={memory}"));
    }
    let time = total(&step.plans, |metrics| metrics.elapsed_compute());
    let time = millis(Duration::from_nanos(time as u64));
    Counted { line: format!(" (actual rows={rows} time={time})"), details }
}

/// Rows that left the step.
pub fn rows(step: &Step) -> Option<usize> {
    step.plans.iter().find_map(|plan| plan.metrics().and_then(|metrics| metrics.output_rows()))
}

/// Rows that went to another partition than the one that read them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    pub rows: usize,
    /// Unknown of what goes to the leader, and of DataFusion's own exchanges.
    pub bytes: Option<usize>,
}

/// What moved for a step. Where only what arrives is counted, that is it.
pub fn moved(step: &Step) -> Moved {
    let counts = |plan: &Arc<dyn ExecutionPlan>| {
        let metrics = plan.metrics()?;
        let of = |name: &str| metrics.sum_by_name(name).map(|v| v.as_usize());
        Some(match (of("rows_moved"), of("bytes_moved")) {
            (Some(rows), bytes) => Moved { rows, bytes },
            (None, _) => Moved { rows: metrics.output_rows().unwrap_or(0), bytes: None },
        })
    };
    let counted: Vec<Moved> = step.moved.iter().filter_map(counts).collect();
    Moved { rows: counted.iter().map(|of| of.rows).sum(), bytes: counted.iter().map(|of| of.bytes).sum() }
}

pub fn total(plans: &[Arc<dyn ExecutionPlan>], of: impl Fn(&MetricsSet) -> Option<usize>) -> usize {
    plans.iter().filter_map(|plan| of(&plan.metrics()?)).sum()
}

pub fn millis(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}
