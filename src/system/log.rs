//! stl_query and its kin: what statements were run, how, and what was remarkable about it (Redshift manual, "STL views for
//! logging").
//!
//! One stream, one segment and one step an operator: a plan here is not cut into compiled parts. `slice` is the partition
//! that did the work, which is a slice where there are as many partitions as slices.

use super::context::SystemContext;
use super::grid::Grid;
use super::loads::LoadRecord;

/// A statement that has ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryRecord {
    pub user: i32,
    pub query: i64,
    pub label: String,
    /// The version that it read.
    pub xid: i64,
    /// The session's number.
    pub process: i32,
    pub database: String,
    pub text: String,
    pub start_us: i64,
    pub end_us: i64,
    /// Whether it failed, was cancelled, or its rows were not all read.
    pub aborted: bool,
    pub steps: Vec<StepRecord>,
    pub scans: Vec<ScanRecord>,
    pub alerts: Vec<AlertRecord>,
    /// What it vacuumed, or what it loaded. A record that has any is of no statement: that has its own.
    pub vacuums: Vec<VacuumRecord>,
    pub load: Option<LoadRecord>,
    /// The files that it wrote.
    pub unloads: Vec<super::UnloadRecord>,
}

/// The vacuum of a table: that it began, that it ended, or that there was nothing to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VacuumRecord {
    pub table: i32,
    pub name: String,
    pub status: String,
    /// Stored rows at that time, deleted ones included.
    pub rows: i64,
    pub sorted_rows: i64,
    pub blocks: i64,
    /// Runs that were merged at a time, at most.
    pub max_merge_partitions: i32,
    pub time_us: i64,
    /// Deleted rows.
    pub reclaimable_rows: i64,
    pub reclaimable_bytes: i64,
    pub recluster: bool,
    /// Runs outside the sorted region, of one that began.
    pub sort_partitions: i32,
    /// Commits, of one that ended; the rows that they read to write them anew, and how long the longest took.
    pub merge_increments: i32,
    pub rows_rewritten: i64,
    pub longest_step_us: i64,
}

/// A vacuum that goes on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VacuumProgress {
    pub name: String,
    pub status: String,
    pub started_us: i64,
    /// Rows to be written anew, and how many are.
    pub rows: u64,
    pub done: u64,
}

/// A line of EXPLAIN, and what running it counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepRecord {
    /// From 1, parents before children.
    pub node: i32,
    /// 0 of the root.
    pub parent: i32,
    /// As EXPLAIN has it; empty of what moves rows for a join, which EXPLAIN tells by the join's label.
    pub plan: String,
    /// Its details.
    pub info: String,
    /// `scan tbl=…`, `hash`, `aggr` and so on.
    pub label: String,
    pub rows: i64,
    pub bytes: i64,
    /// Of all partitions together.
    pub elapsed_us: i64,
    /// Of the partition that took longest.
    pub longest_us: i64,
    pub partitions: i32,
    pub disk: bool,
    /// Bytes of memory.
    pub memory: i64,
    /// Whether zone maps excluded anything.
    pub range_restricted: bool,
    pub rows_pre_filter: i64,
}

/// What a partition read of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScanRecord {
    pub slice: i32,
    pub step: i32,
    pub rows: i64,
    pub bytes: i64,
    pub table: i32,
    pub name: String,
    pub range_restricted: bool,
    /// Rows of the zones that zone maps left, deleted ones among them; at most so many.
    pub rows_pre_filter: i64,
    /// The same without deleted rows.
    pub rows_pre_user_filter: i64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertRecord {
    pub step: i32,
    pub event: String,
    pub solution: String,
}

/// Characters of a statement's text in stl_query, in svl_qlog and in a row of stl_querytext.
const TEXT: usize = 4000;
const SHORT_TEXT: usize = 60;
const PIECE: usize = 200;

fn records(context: Option<&SystemContext>) -> Vec<QueryRecord> {
    let records = context.map_or(&[][..], |context| &context.log).iter();
    records
        .filter(|record| record.vacuums.is_empty() && record.load.is_none())
        .map(|record| record.as_ref().clone())
        .collect()
}

/// Each item of each record, with the record.
pub(super) fn each<T: Clone>(
    context: Option<&SystemContext>,
    of: impl Fn(&QueryRecord) -> &[T],
) -> Vec<(QueryRecord, T)> {
    let records = records(context).into_iter();
    records
        .flat_map(|record| of(&record).to_vec().into_iter().map(|item| (record.clone(), item)).collect::<Vec<_>>())
        .collect()
}

fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

fn yes(is: bool) -> String {
    if is { "t" } else { "f" }.to_string()
}

pub(super) fn stl_query(context: Option<&SystemContext>) -> Grid<QueryRecord> {
    Grid::of(records(context))
        .int("userid", |r| r.user)
        .big("query", |r| r.query)
        .word("label", |r| r.label.clone())
        .big("xid", |r| r.xid)
        .int("pid", |r| r.process)
        .word("database", |r| r.database.clone())
        .word("querytxt", |r| cut(&r.text, TEXT))
        .time("starttime", |r| r.start_us)
        .time("endtime", |r| r.end_us)
        .int("aborted", |r| i32::from(r.aborted))
        .int("insert_pristine", |_| 0)
        .int("concurrency_scaling_status", |_| 0)
}

pub(super) fn svl_qlog(context: Option<&SystemContext>) -> Grid<QueryRecord> {
    Grid::of(records(context))
        .int("userid", |r| r.user)
        .big("query", |r| r.query)
        .big("xid", |r| r.xid)
        .int("pid", |r| r.process)
        .time("starttime", |r| r.start_us)
        .time("endtime", |r| r.end_us)
        .big("elapsed", |r| r.end_us - r.start_us)
        .int("aborted", |r| i32::from(r.aborted))
        .word("label", |r| r.label.clone())
        .word("substring", |r| cut(&r.text, SHORT_TEXT))
        // There is no cache of results.
        .nothing("source_query")
}

pub(super) fn stl_querytext(context: Option<&SystemContext>) -> Grid<(QueryRecord, (i32, String))> {
    let pieces = |record: &QueryRecord| -> Vec<(i32, String)> {
        let characters: Vec<char> = record.text.chars().collect();
        (0..).zip(characters.chunks(PIECE).map(|piece| piece.iter().collect())).collect()
    };
    let rows = records(context).into_iter();
    let rows = rows.flat_map(|record| {
        let pieces = pieces(&record).into_iter();
        pieces.map(|piece| (record.clone(), piece)).collect::<Vec<_>>()
    });
    Grid::of(rows.collect())
        .int("userid", |(r, _)| r.user)
        .big("xid", |(r, _)| r.xid)
        .int("pid", |(r, _)| r.process)
        .big("query", |(r, _)| r.query)
        .int("sequence", |(_, p)| p.0)
        .word("text", |(_, p)| p.1.clone())
}

pub(super) fn stl_explain(context: Option<&SystemContext>) -> Grid<(QueryRecord, StepRecord)> {
    let mut nodes = each(context, |r| &r.steps);
    nodes.retain(|(_, step)| !step.plan.is_empty());
    Grid::of(nodes)
        .int("userid", |(r, _)| r.user)
        .big("query", |(r, _)| r.query)
        .int("nodeid", |(_, s)| s.node)
        .int("parentid", |(_, s)| s.parent)
        .word("plannode", |(_, s)| s.plan.clone())
        .text("info", |(_, s)| Some(s.info.clone()).filter(|info| !info.is_empty()))
}

pub(super) fn svl_query_summary(context: Option<&SystemContext>) -> Grid<(QueryRecord, StepRecord)> {
    let rate = |n: i64, us: i64| if us > 0 { (n as f64 * 1e6 / us as f64) as i64 } else { n };
    Grid::of(each(context, |r| &r.steps))
        .int("userid", |(r, _)| r.user)
        .big("query", |(r, _)| r.query)
        .int("stm", |_| 0)
        .int("seg", |_| 0)
        .int("step", |(_, s)| s.node)
        .big("maxtime", |(_, s)| s.longest_us)
        .big("avgtime", |(_, s)| s.elapsed_us / i64::from(s.partitions.max(1)))
        .big("rows", |(_, s)| s.rows)
        .big("bytes", |(_, s)| s.bytes)
        .big("rate_row", move |(_, s)| rate(s.rows, s.elapsed_us))
        .big("rate_byte", move |(_, s)| rate(s.bytes, s.elapsed_us))
        .word("label", |(_, s)| s.label.clone())
        .word("is_diskbased", |(_, s)| yes(s.disk))
        .big("workmem", |(_, s)| s.memory)
        .word("is_rrscan", |(_, s)| yes(s.range_restricted))
        .word("is_delayed_scan", |_| yes(false))
        .big("rows_pre_filter", |(_, s)| s.rows_pre_filter)
}

pub(super) fn stl_scan(context: Option<&SystemContext>) -> Grid<(QueryRecord, ScanRecord)> {
    /// Redshift's number of tables that users made.
    const USER_TABLE: i32 = 2;
    Grid::of(each(context, |r| &r.scans))
        .int("userid", |(r, _)| r.user)
        .big("query", |(r, _)| r.query)
        .int("slice", |(_, s)| s.slice)
        .int("segment", |_| 0)
        .int("step", |(_, s)| s.step)
        .time("starttime", |(r, _)| r.start_us)
        .time("endtime", |(r, _)| r.end_us)
        .big("rows", |(_, s)| s.rows)
        .big("bytes", |(_, s)| s.bytes)
        .int("type", |_| USER_TABLE)
        .int("tbl", |(_, s)| s.table)
        .word("is_rrscan", |(_, s)| yes(s.range_restricted))
        .word("is_delayed_scan", |_| yes(false))
        .big("rows_pre_filter", |(_, s)| s.rows_pre_filter)
        .big("rows_pre_user_filter", |(_, s)| s.rows_pre_user_filter)
        .word("perm_table_name", |(_, s)| s.name.clone())
}

pub(super) fn stl_alert_event_log(context: Option<&SystemContext>) -> Grid<(QueryRecord, AlertRecord)> {
    Grid::of(each(context, |r| &r.alerts))
        .int("userid", |(r, _)| r.user)
        .big("query", |(r, _)| r.query)
        .int("slice", |_| 0)
        .int("segment", |_| 0)
        .int("step", |(_, a)| a.step)
        .int("pid", |(r, _)| r.process)
        .big("xid", |(r, _)| r.xid)
        .word("event", |(_, a)| a.event.clone())
        .word("solution", |(_, a)| a.solution.clone())
        .time("event_time", |(r, _)| r.end_us)
}

/// The vacuum of a table is two rows, of its beginning and of its end, or one that says why it was skipped.
pub(super) fn stl_vacuum(context: Option<&SystemContext>) -> Grid<(QueryRecord, VacuumRecord)> {
    let records = context.map_or(&[][..], |context| &context.log).iter();
    let vacuums = records.flat_map(|r| r.vacuums.iter().map(|v| (QueryRecord::clone(r), v.clone())));
    Grid::of(vacuums.collect())
        .int("userid", |(r, _)| r.user)
        .big("xid", |(r, _)| r.xid)
        .int("table_id", |(_, v)| v.table)
        .word("status", |(_, v)| v.status.clone())
        .big("rows", |(_, v)| v.rows)
        .big("sortedrows", |(_, v)| v.sorted_rows)
        .big("blocks", |(_, v)| v.blocks)
        .int("max_merge_partitions", |(_, v)| v.max_merge_partitions)
        .time("eventtime", |(_, v)| v.time_us)
        .big("reclaimable_rows", |(_, v)| v.reclaimable_rows)
        .big("reclaimable_space_mb", |(_, v)| v.reclaimable_bytes >> 20)
        .int("is_recluster", |(_, v)| i32::from(v.recluster))
}

/// Of vacuums that ended, what they changed. Of our own are the rows that were read to be written anew, dead ones included, and
/// the microseconds of the longest step, which is what a vacuum that is cut off may lose.
pub(super) fn svv_vacuum_summary(context: Option<&SystemContext>) -> Grid<(QueryRecord, VacuumRecord, VacuumRecord)> {
    let records = context.map_or(&[][..], |context| &context.log);
    let ended = records.iter().filter_map(|record| match record.vacuums.as_slice() {
        [began, ended] => Some((QueryRecord::clone(record), began.clone(), ended.clone())),
        _ => None,
    });
    Grid::of(ended.collect())
        .word("table_name", |(_, began, _)| began.name.clone())
        .big("xid", |(r, ..)| r.xid)
        .int("sort_partitions", |(_, began, _)| began.sort_partitions)
        .int("merge_increments", |(_, _, ended)| ended.merge_increments)
        .big("elapsed_time", |(_, began, ended)| ended.time_us - began.time_us)
        .big("row_delta", |(_, began, ended)| ended.rows - began.rows)
        .big("sortedrow_delta", |(_, began, ended)| ended.sorted_rows - began.sorted_rows)
        .big("block_delta", |(_, began, ended)| ended.blocks - began.blocks)
        .int("max_merge_partitions", |(_, _, ended)| ended.max_merge_partitions)
        .big("rows_rewritten", |(_, _, ended)| ended.rows_rewritten)
        .big("longest_step", |(_, _, ended)| ended.longest_step_us)
}

/// The vacuums that this process is at; where there is none, the last that ended.
pub(super) fn svv_vacuum_progress(context: Option<&SystemContext>) -> Grid<(VacuumProgress, i64)> {
    let mut rows: Vec<(VacuumProgress, i64)> = Vec::new();
    if let Some(context) = context {
        rows.extend(context.vacuums.iter().map(|vacuum| (vacuum.clone(), context.now_us)));
        let last = context.log.iter().rev().find_map(|r| r.vacuums.last());
        if let (true, Some(last)) = (rows.is_empty(), last) {
            let status = "Complete".to_string();
            rows.push((VacuumProgress { name: last.name.clone(), status, ..Default::default() }, 0));
        }
    }
    Grid::of(rows)
        .word("table_name", |(v, _)| v.name.clone())
        .word("status", |(v, _)| v.status.clone())
        .text("time_remaining_estimate", |(v, now_us)| remaining(v, *now_us))
}

/// As `33m 21s`; NULL while nothing is known, and at the end.
fn remaining(vacuum: &VacuumProgress, now_us: i64) -> Option<String> {
    let left = vacuum.rows.checked_sub(vacuum.done).filter(|left| *left > 0 && vacuum.done > 0)?;
    let elapsed = now_us.saturating_sub(vacuum.started_us).max(0) as f64;
    let seconds = (elapsed / 1e6 * left as f64 / vacuum.done as f64) as u64;
    Some(format!("{}m {}s", seconds / 60, seconds % 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_is_that_of_the_rows_that_are_left() {
        let vacuum = VacuumProgress { rows: 1000, done: 250, started_us: 1_000_000, ..Default::default() };
        assert_eq!(remaining(&vacuum, 668_000_000), Some("33m 21s".to_string()));
        assert_eq!(remaining(&VacuumProgress { done: 1000, ..vacuum.clone() }, 2_000_000), None);
        assert_eq!(remaining(&VacuumProgress { done: 0, ..vacuum }, 2_000_000), None);
    }
}
