//! VACUUM: rows in the order of the sort key, and room that dead rows took, step by step.
//!
//! Each step reads some segments, writes their rows anew and commits that, with where each row went. A step that is cut off
//! leaves nothing, those before it stay. Nobody waits for it or fails by it: whoever deletes rows that were moved meanwhile is
//! led on to where they are.

mod plan;
mod upkeep;

use std::sync::Arc;

use plan::{Layout, Step, Work};
pub(super) use upkeep::{Altering, Ongoing, Upkeep, keep};

use super::analyze::stored_table;
use super::names::at;
use super::output::Output;
use super::running::Running;
use super::statement::{CancelToken, cancelled};
use super::warehouse::Warehouse;
use crate::catalog::{
    EffectiveDist, NewSegment, PinnedSnapshot, Positions, RankChoice, RunChoice, SegmentRef, TableState,
};
use crate::common::{Error, ErrorKind, Result, SqlState, TableId, UserId};
use crate::format::encoding::SMALL_TABLE_BYTES;
use crate::physical_plan::config::BlueshiftOptions;
use crate::sql::ast::{ObjectName, Vacuum, VacuumMode};
use crate::storage::loader::put_bytes;
use crate::storage::rewrite::{rewrite, sample};
use crate::storage::writer::LoadLayout;
use crate::system::{Home, QueryRecord, VacuumRecord, count_blocks};

/// From how many percent of sorted or living rows on a table is left as it is (Redshift manual, "VACUUM").
const THRESHOLD: u8 = 95;
/// BOOST takes steps so many times as large.
const BOOST: u64 = 4;
/// How often a step is tried when others vacuum the same segments.
const ATTEMPTS: usize = 10;

/// Deletes rows of the table that are older than it keeps. Returns what is to be said of it.
async fn expire(warehouse: &Warehouse, table: &TableState, prune: bool) -> Result<Option<String>> {
    let Some(retain) = table.def.retain else { return Ok(None) };
    match Box::pin(warehouse.expire(table.def.id, retain, prune)).await {
        Err(e) if e.kind() == ErrorKind::Conflict => {
            let name = &table.def.name;
            Ok(Some(format!("table \"{name}\" was changed meanwhile: rows that are too old stay for the next VACUUM")))
        }
        outcome => outcome.map(|_| None),
    }
}

/// Runs VACUUM. What was left out is told by notices.
pub(super) async fn vacuum(running: &Running<'_>, statement: &Vacuum) -> Result<Output> {
    let (warehouse, tables) = match &statement.table {
        Some(name) => {
            let (warehouse, _, tables) = stored_table(running, name).await?;
            running.place(name).await?.check_writable(name)?;
            tables.iter().try_for_each(|table| check_mode(statement.mode, table, name))?;
            (warehouse, tables)
        }
        None => (running.warehouse.clone(), running.pin.tables.values().cloned().collect()),
    };
    let options = running.state.config_options().extensions.get::<BlueshiftOptions>();
    let rows = options.map_or_else(|| BlueshiftOptions::default().vacuum_rows, |o| o.vacuum_rows);
    let boosts = statement.boost && statement.mode != VacuumMode::DeleteOnly;
    let mut notices = Vec::new();
    for table in tables {
        if statement.table.is_none() && warehouse.inner.upkeep.is_altered(table.def.id) {
            notices.push(format!("table \"{}\" is left out: it is being altered", table.def.name));
            continue;
        }
        notices.extend(expire(&warehouse, &table, running.prunes()).await?);
        let operation = Operation {
            warehouse: &warehouse,
            table: table.def.id,
            author: running.statement.user,
            query: running.statement.query,
            process: running.statement.process,
            automatic: false,
            cancel: running.statement.cancel.clone(),
            budget: if boosts { rows.saturating_mul(BOOST) } else { rows },
        };
        notices.extend(operation.run(statement.mode, statement.percent.unwrap_or(THRESHOLD)).await?);
    }
    Ok(Output::done("VACUUM", None).with_notices(notices))
}

/// Unsupported for more rows than can be written anew in one go.
pub(super) fn check_rows_anew(table: &str, rows: u64) -> Result<()> {
    if rows <= Positions::MAX_ROWS {
        return Ok(());
    }
    let message =
        format!("{rows} rows of table \"{table}\" would be written anew at once; {} can be", Positions::MAX_ROWS);
    Err(Error::unsupported(message).with_hint("load the rows into several tables, with a view of UNION ALL over them"))
}

/// Invalid for a mode that is not for such a table.
fn check_mode(mode: VacuumMode, table: &TableState, name: &ObjectName) -> Result<()> {
    let interleaved = !table.def.interleaved().is_empty();
    let refused = |what: &str, hint: &str| {
        let error = Error::invalid(SqlState::WRONG_OBJECT_TYPE, format!("table \"{}\" {what}", table.def.name));
        Err(at(error.with_hint(hint), name.base()))
    };
    match mode {
        VacuumMode::Reindex if !interleaved => refused("has no interleaved sort key", "use VACUUM FULL"),
        VacuumMode::Recluster if interleaved => refused("has an interleaved sort key", "use VACUUM REINDEX"),
        VacuumMode::Recluster if table.def.effective_dist == EffectiveDist::All => {
            refused("is DISTSTYLE ALL", "use VACUUM FULL")
        }
        _ => Ok(()),
    }
}

/// The vacuum of one table.
struct Operation<'a> {
    warehouse: &'a Warehouse,
    table: TableId,
    author: UserId,
    /// Whose it is, for the log.
    query: u64,
    process: u32,
    automatic: bool,
    cancel: CancelToken,
    /// Rows of a step.
    budget: u64,
}

/// What was done so far.
#[derive(Debug, Default)]
struct Totals {
    /// Runs that were merged at a time, at most.
    merged: usize,
    steps: usize,
    /// Rows that were read to be written anew.
    rows: u64,
    longest_us: i64,
}

impl Operation<'_> {
    /// Returns what is to be said of it.
    async fn run(&self, mode: VacuumMode, percent: u8) -> Result<Option<String>> {
        let pin = self.warehouse.pin_newest().await?;
        let Some(table) = pin.table(self.table).cloned() else { return Ok(None) };
        if self.warehouse.inner.upkeep.is_altered(self.table) {
            let message = format!("table \"{}\" is being altered, which writes its rows anew", table.def.name);
            return Err(Error::conflict(message).with_hint("vacuum it when that has ended, if it still needs it"));
        }
        let layout = Layout::new(&table, self.budget);
        let (sorted, rows) = layout.sorted_rows();
        let sorts = matches!(mode, VacuumMode::Full | VacuumMode::SortOnly) && table.def.sort.is_some();
        let enough = sorted == rows || (percent < 100 && sorted * 100 >= u64::from(percent) * rows);
        let skipped = format!("Skipped(sorted>={percent}%)");
        let mut notice = None;
        if sorts && enough && sorted < rows {
            let share = sorted as f64 * 100.0 / rows as f64;
            notice = Some(format!(
                "table \"{}\" is not sorted: {share:.2} % of its rows are, and from {percent} % on that is enough; TO 100 \
                 PERCENT sorts it wholly",
                table.def.name
            ));
        }
        let mut works = Vec::new();
        let mut live = f64::from(percent);
        match mode {
            VacuumMode::Reindex => {
                if !layout.has_old_ranks() {
                    self.make_ranks(&pin, &table).await?;
                }
                works.push(Work::sort(&pin));
                live = 100.0;
            }
            VacuumMode::Recluster => works.push(Work::recluster(&pin)),
            _ if sorts && !enough => {
                works.push(Work::sort(&pin));
                live = 100.0;
            }
            _ => {}
        }
        if matches!(mode, VacuumMode::Full | VacuumMode::DeleteOnly | VacuumMode::Reindex) {
            works.push(Work::reclaim(&table, live));
            works.push(Work::compact(&table, self.warehouse.geometry()?.segment_rows() as u64));
        }
        let began = match mode {
            VacuumMode::SortOnly => "Started Sort Only",
            VacuumMode::DeleteOnly => "Started Delete Only",
            VacuumMode::Recluster => "Started Recluster",
            _ if sorts && enough => "Started Delete Only (Sorted)",
            _ => "Started",
        };
        let nothing = if sorts && enough { skipped } else { "Skipped".to_string() };
        self.logged(&pin, &table, mode, began, nothing, works).await?;
        Ok(notice)
    }

    /// Does work and logs it: as begun and ended, or as skipped where there was none.
    async fn logged(
        &self,
        pin: &PinnedSnapshot,
        table: &TableState,
        mode: VacuumMode,
        began: &str,
        nothing: String,
        works: Vec<Work>,
    ) -> Result<Totals> {
        let inner = &self.warehouse.inner;
        let mut record = QueryRecord {
            user: self.author.0 as i32,
            query: i64::try_from(self.query).unwrap_or(i64::MAX),
            label: if self.automatic { "maintenance" } else { "default" }.to_string(),
            xid: i64::try_from(pin.version.0).unwrap_or(i64::MAX),
            process: i32::try_from(self.process).unwrap_or(i32::MAX),
            start_us: inner.catalog.options().clock.now_us(),
            ..QueryRecord::default()
        };
        let automatic = if self.automatic { " [VacuumBG]" } else { "" };
        let mut first = self.told(pin, table, format!("{began}{automatic}")).await?;
        first.recluster = mode == VacuumMode::Recluster;
        let what = format!("Vacuum {} {}", table.def.name, if began.contains("Delete") { "delete" } else { "sort" });
        let progress = Ongoing::begin(inner, &table.def.name, what, record.start_us);
        let mut totals = Totals::default();
        let mut outcome = Ok(());
        for work in works {
            outcome = self.work(work, &mut totals, &progress).await;
            if outcome.is_err() {
                break;
            }
        }
        if totals.steps == 0 && outcome.is_ok() {
            record.vacuums = vec![VacuumRecord { status: format!("{nothing}{automatic}"), ..first }];
        } else {
            let now = self.warehouse.pin_newest().await?;
            record.vacuums = vec![first];
            if let Some(table) = now.table(self.table) {
                let ended = if outcome.is_ok() { "Finished" } else { "Stopped" };
                let mut last = self.told(&now, table, format!("{ended}{automatic}")).await?;
                last.recluster = mode == VacuumMode::Recluster;
                last.merge_increments = totals.steps as i32;
                last.rows_rewritten = totals.rows as i64;
                last.longest_step_us = totals.longest_us;
                last.max_merge_partitions = totals.merged as i32;
                record.vacuums.push(last);
            }
        }
        record.end_us = inner.catalog.options().clock.now_us();
        inner.log.add(record);
        outcome.map(|()| totals)
    }

    async fn told(&self, pin: &PinnedSnapshot, table: &TableState, status: String) -> Result<VacuumRecord> {
        let inner = &self.warehouse.inner;
        let dead = |s: &SegmentRef| u64::from(s.deleted.map_or(0, |d| d.rows));
        let bytes =
            |s: &SegmentRef| s.columns.iter().map(|c| c.bytes).sum::<u64>() * dead(s) / u64::from(s.rows.max(1));
        let home = Home {
            snapshot: pin.clone(),
            segments: inner.segments.at(pin.clone()),
            temporary: self.warehouse.is_scratch(),
        };
        let layout = Layout::new(table, self.budget);
        Ok(VacuumRecord {
            table: home.oid(table.def.id),
            name: table.def.name.clone(),
            status,
            rows: table.stored_rows() as i64,
            sorted_rows: layout.sorted_rows().0 as i64,
            blocks: count_blocks(table, &home.segments).await? as i64,
            time_us: inner.catalog.options().clock.now_us(),
            reclaimable_rows: table.segments.iter().map(|s| dead(s)).sum::<u64>() as i64,
            reclaimable_bytes: table.segments.iter().map(|s| bytes(s)).sum::<u64>() as i64,
            sort_partitions: layout.unsorted_runs() as i32,
            ..VacuumRecord::default()
        })
    }

    /// Whether there is such work.
    async fn is_due(&self, mut work: Work) -> Result<bool> {
        let pin = self.warehouse.pin_newest().await?;
        Ok(pin.table(self.table).is_some_and(|table| work.next(&Layout::new(table, self.budget)).is_some()))
    }

    /// Does work until none is left.
    async fn work(&self, mut work: Work, totals: &mut Totals, progress: &Ongoing) -> Result<()> {
        let mut attempt = 1;
        loop {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            let pin = self.warehouse.pin_newest().await?;
            let Some(table) = pin.table(self.table).cloned() else { return Ok(()) };
            let layout = Layout::new(&table, self.budget);
            let Some(step) = work.next(&layout) else { return Ok(()) };
            let (rows, left) = (step.rows(), layout.unsorted_rows());
            let merged = step.jobs.iter().map(|job| job.runs.len()).max().unwrap_or(0);
            let clock = &self.warehouse.inner.catalog.options().clock;
            let began_us = clock.now_us();
            match self.step(&pin, &table, step).await {
                Ok(()) => {
                    attempt = 1;
                    totals.steps += 1;
                    totals.rows += rows;
                    totals.longest_us = totals.longest_us.max(clock.now_us() - began_us);
                    totals.merged = totals.merged.max(merged);
                    progress.did(rows, left);
                }
                // Another vacuum took some of the segments, or the table was altered.
                Err(e) if e.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => {
                    attempt += 1;
                    work.start_again();
                }
                Err(e) => return Err(e),
            }
        }
    }

    async fn step(&self, pin: &PinnedSnapshot, table: &TableState, step: Step) -> Result<()> {
        let inner = &self.warehouse.inner;
        let mut transaction = inner.catalog.begin_at(self.author, pin);
        let layout = self.layout(table, pin.info.slices)?;
        check_rows_anew(&table.def.name, step.rows())?;
        let removed = step.jobs.iter().flat_map(|job| job.segments()).map(|s| (s.id, s.deleted)).collect();
        let (written, positions) =
            rewrite(step.jobs, &layout, &self.warehouse.resources(pin), &transaction.names()).await?;
        let ranked = table.rank_map.as_ref().map_or(RankChoice::Unranked, |map| RankChoice::By(map.version));
        let mut places = Vec::with_capacity(step.places.len());
        for (job, placing) in step.places.iter().enumerate() {
            let count = written.iter().filter(|w| w.job == job && !w.left).count();
            let choices = placing.choices(count);
            places.push(choices.ok_or_else(|| Error::internal("no room between two segments of a run"))?.into_iter());
        }
        let added = written.into_iter().map(|written| {
            let run = if written.left { None } else { places[written.job].next() };
            NewSegment { run: run.unwrap_or(RunChoice::New), ranked, ..written.segment }
        });
        let added = added.collect();
        let object = transaction.names().next_object();
        let stored = put_bytes(inner.catalog.store().objects(), object, positions.encode()?.into()).await?;
        transaction.rewrite(&table.def, removed, added, (Arc::new(positions), stored));
        inner.catalog.commit(transaction).await?;
        Ok(())
    }

    /// Gives an interleaved table a rank map of all its rows, by which those that come now are ordered.
    async fn make_ranks(&self, pin: &PinnedSnapshot, table: &TableState) -> Result<()> {
        let sampled = sample(
            &table.segments,
            &self.layout(table, pin.info.slices)?,
            table.def.interleaved(),
            &self.warehouse.resources(pin),
        )
        .await?;
        if sampled.rows() == 0 {
            return Ok(());
        }
        let mut transaction = self.warehouse.inner.catalog.begin_at(self.author, pin);
        transaction.set_rank_map(&table.def, table.rank_version(), Arc::new(sampled.map()));
        self.warehouse.inner.catalog.commit(transaction).await?;
        Ok(())
    }

    fn layout(&self, table: &TableState, slices: u32) -> Result<LoadLayout> {
        let bytes: u64 = table.segments.iter().flat_map(|s| &s.columns).map(|c| c.bytes).sum();
        let layout = LoadLayout::new(&table.def, self.warehouse.geometry()?, slices, 0)?;
        Ok(layout.ranked(table.rank_map.clone()).lightly(bytes <= SMALL_TABLE_BYTES))
    }
}
