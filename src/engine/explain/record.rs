//! What the log keeps of a plan that has run, and what in it deserves an alert (Redshift manual, "STL_ALERT_EVENT_LOG").

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricValue;

use super::actual::{moved, rows, total};
use super::nodes::{Scan, Step, steps};
use super::text;
use crate::physical_plan::config::BlueshiftOptions;
use crate::system::{AlertRecord, QueryRecord, ScanRecord, StepRecord};

/// Adds a plan's steps, scans and alerts to a statement's record.
pub fn record(plan: &Arc<dyn ExecutionPlan>, record: &mut QueryRecord, settings: &BlueshiftOptions) {
    let root = steps(plan, settings);
    let mut next = 1;
    add(&root, 0, &mut next, record, settings);
}

fn add(step: &Step, parent: i32, next: &mut i32, record: &mut QueryRecord, settings: &BlueshiftOptions) {
    let few = i64::try_from(settings.alert_rows).unwrap_or(i64::MAX);
    let large = i64::try_from(settings.alert_moved).unwrap_or(i64::MAX);
    let node = *next;
    *next += 1;
    let sum = |name: &str| number(total(&step.plans, |metrics| metrics.sum_by_name(name).map(|v| v.as_usize())));
    let moved = moved(step);
    let spent = times(&step.plans);
    let mut own = StepRecord {
        node,
        parent,
        plan: text::line(step),
        info: step.details.join("; "),
        label: label(step),
        rows: rows(step).map_or(0, number),
        bytes: sum("output_bytes"),
        elapsed_us: spent.values().sum(),
        longest_us: spent.values().copied().max().unwrap_or(0),
        partitions: spent.len() as i32,
        disk: total(&step.plans, |metrics| metrics.spilled_bytes()) > 0,
        memory: sum("build_mem_used").max(sum("peak_mem_used")),
        range_restricted: sum("zones_pruned_static") + sum("zones_pruned_dynamic") > 0,
        rows_pre_filter: 0,
    };
    let mut alerts = Vec::new();
    if let Some(scan) = &step.scan {
        let scans = scans(step, scan, node);
        own.rows_pre_filter = scans.iter().map(|s| s.rows_pre_filter).sum::<i64>().min(number(scan.stored as usize));
        let read = own.rows_pre_filter;
        let deleted = sum("rows_deleted");
        if scan.unknown {
            alerts.push((
                "Missing query planner statistics".to_string(),
                format!("Run ANALYZE {} so that plans can be chosen by what it holds", scan.table),
            ));
        }
        let left = read - deleted;
        if scan.filtered && left >= few && (own.rows as f64) < settings.alert_selective * left as f64 {
            let ratio = own.rows as f64 / left as f64;
            alerts.push((
                format!("Very selective query filter:ratio=rows({})/rows_pre_user_filter({left})={ratio:.6}", own.rows),
                format!("Choose a sort key of {} by the columns that the filter restricts", scan.table),
            ));
        }
        if read >= few && deleted as f64 > settings.alert_deleted * read as f64 {
            alerts.push((
                format!("Scanned a large number of deleted rows:rows={deleted}"),
                format!("Run VACUUM on {} to give back what its deleted rows take", scan.table),
            ));
        }
        record.scans.extend(scans);
    }
    if step.cartesian {
        alerts.push((
            "Nested Loop Join in the query plan".to_string(),
            "Look whether the join lacks a condition: it pairs all rows of both sides".to_string(),
        ));
    }
    match step.label {
        Some("DS_BCAST_INNER") if number(moved.rows) > large => alerts.push((
            "Broadcasted a large number of rows across the network".to_string(),
            "Distribute both tables by the columns that they are joined on, or the smaller one with DISTSTYLE ALL"
                .to_string(),
        )),
        Some("DS_DIST_ALL_INNER") => alerts.push((
            format!("DS_DIST_ALL_INNER for {} in the query plan", step.operator),
            "Distribute the tables by the columns that they are joined on, so that all slices work".to_string(),
        )),
        Some(_) if number(moved.rows) > large => alerts.push((
            "Distributed a large number of rows across the network".to_string(),
            "Distribute the tables by the columns that they are joined on".to_string(),
        )),
        _ => {}
    }
    record.alerts.extend(alerts.into_iter().map(|(event, solution)| AlertRecord { step: node, event, solution }));
    let by = own.label.clone();
    record.steps.push(own);
    // What a Network step moves is the step itself.
    if !step.moved.is_empty() && by != "dist" {
        let times = times(&step.moved);
        record.steps.push(StepRecord {
            node: *next,
            parent: node,
            label: if step.label == Some("DS_BCAST_INNER") { "bcast" } else { "dist" }.to_string(),
            rows: number(moved.rows),
            bytes: number(moved.bytes.unwrap_or(0)),
            elapsed_us: times.values().sum(),
            longest_us: times.values().copied().max().unwrap_or(0),
            partitions: times.len() as i32,
            disk: total(&step.moved, |metrics| metrics.spilled_bytes()) > 0,
            ..StepRecord::default()
        });
        *next += 1;
    }
    step.children.iter().for_each(|child| add(child, node, next, record, settings));
}

/// Microseconds of work, by partition.
fn times(plans: &[Arc<dyn ExecutionPlan>]) -> BTreeMap<usize, i64> {
    let mut times: BTreeMap<usize, i64> = BTreeMap::new();
    for metrics in plans.iter().filter_map(|plan| plan.metrics()) {
        for metric in metrics.iter() {
            if let (Some(partition), MetricValue::ElapsedCompute(time)) = (metric.partition(), metric.value()) {
                *times.entry(partition).or_default() += number(time.value() / 1000);
            }
        }
    }
    times
}

/// By partition.
fn scans(step: &Step, scan: &Scan, node: i32) -> Vec<ScanRecord> {
    #[derive(Default)]
    struct Counts {
        rows: i64,
        bytes: i64,
        zones: i64,
        pruned: i64,
        deleted: i64,
    }
    let mut partitions: BTreeMap<usize, Counts> = BTreeMap::new();
    // The source itself is the lowest of the step's nodes.
    let metrics = step.plans.last().and_then(|plan| plan.metrics());
    for metric in metrics.iter().flat_map(|metrics| metrics.iter()) {
        let Some(partition) = metric.partition() else { continue };
        let counts = partitions.entry(partition).or_default();
        match metric.value() {
            MetricValue::OutputRows(count) => counts.rows += number(count.value()),
            MetricValue::Count { name, count } => {
                let value = number(count.value());
                match name.as_ref() {
                    "bytes_read" => counts.bytes += value,
                    "zones" => counts.zones += value,
                    "zones_pruned_static" | "zones_pruned_dynamic" => counts.pruned += value,
                    "rows_deleted" => counts.deleted += value,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    let records = partitions.into_iter().map(|(partition, counts)| {
        let zones = (counts.zones - counts.pruned).max(0);
        let read = zones.saturating_mul(scan.zone_rows as i64).min(scan.stored as i64);
        ScanRecord {
            slice: i32::try_from(partition).unwrap_or(i32::MAX),
            step: node,
            rows: counts.rows,
            bytes: counts.bytes,
            table: scan.id as i32,
            name: scan.table.to_string(),
            range_restricted: counts.pruned > 0,
            rows_pre_filter: read,
            rows_pre_user_filter: (read - counts.deleted).max(0),
        }
    });
    records.collect()
}

fn label(step: &Step) -> String {
    if let Some(scan) = &step.scan {
        return format!("scan tbl={} name={}", scan.id, scan.table);
    }
    match step.operator.as_str() {
        "Hash" => "hash",
        "Aggregate" | "HashAggregate" | "GroupAggregate" => "aggr",
        "Network" => "dist",
        operator if operator.starts_with("Hash ") => "hjoin",
        operator if operator.starts_with("Merge ") => "mjoin",
        operator if operator.starts_with("Nested Loop") => "nloop",
        operator => return operator.to_ascii_lowercase(),
    }
    .to_string()
}

fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
