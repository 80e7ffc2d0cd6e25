//! ANALYZE: how the values of a table's columns are distributed, from a sample.
//!
//! It reads one version as a query does, locks nothing, and stores what it found as one object that the table names: no
//! other transaction conflicts with it. Distinct values are those of all rows, from the sketches in segments' footers; the
//! sample serves where segments have none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use futures::{StreamExt, stream};

use super::analyze::stored_table;
use super::error::from_datafusion;
use super::names;
use super::output::Output;
use super::running::Running;
use super::statement::{CancelToken, cancelled};
use super::warehouse::Warehouse;
use crate::catalog::{Blob, ColumnDef, EffectiveDist, TableDef, TableState, Telling};
use crate::common::{ColumnId, Error, Result, SqlType, TableId};
use crate::format::Geometry;
use crate::format::column::Column;
use crate::physical_plan::config::BlueshiftOptions;
use crate::sql::ast::Analyze;
use crate::statistics::distribution::value_at;
use crate::statistics::{ColumnStatistics, Distribution, TableStatistics};
use crate::storage::loader::put_bytes;
use crate::storage::sample::{self, Stretch};
use crate::storage::segment::SegmentStore;

/// Rows of a sample, about: 300 for each part of a histogram, as PostgreSQL takes (Chaudhuri, Motwani and Narasayya, SIGMOD
/// 1998).
const SAMPLED_ROWS: usize = 300 * Distribution::MAX_PARTS;
/// Zones that are read for it, as long as they have rows enough: rows that stand together are alike.
const SAMPLED_ZONES: usize = 256;
/// While a stretch is decoded it is held about so many times.
const COPIES: usize = 2;
/// Bytes of a sampled value, at most, with what holds it.
const VALUE_BYTES: usize = 192;

/// Runs ANALYZE. What was done for each table is told with VERBOSE; what was left out always.
pub(super) async fn analyze(running: &Running<'_>, statement: Analyze) -> Result<Output> {
    let (warehouse, tables) = match &statement.table {
        Some(name) => {
            let (warehouse, _, tables) = stored_table(running, name).await?;
            running.place(name).await?.check_writable(name)?;
            (warehouse, tables)
        }
        None => (running.warehouse.clone(), running.pin.tables.values().cloned().collect()),
    };
    for column in &statement.columns {
        for table in &tables {
            table.def.column_named(&column.value).ok_or_else(|| names::no_such_column(column, &table.def))?;
        }
    }
    let threshold = threshold(running);
    let mut notices = Vec::new();
    for table in tables {
        running.check_cancelled()?;
        notices.extend(one(running, &warehouse, table.def.id, &statement, threshold).await?);
    }
    Ok(Output::done("ANALYZE", None).with_notices(notices))
}

/// The session's analyze_threshold_percent.
pub(super) fn threshold(running: &Running<'_>) -> f64 {
    let options = running.state.config_options().extensions.get::<BlueshiftOptions>();
    options.map_or_else(|| BlueshiftOptions::default().analyze_threshold_percent, |o| o.analyze_threshold_percent)
}

/// Analyzes one table, at the newest version known; nothing where it is gone.
async fn one(
    running: &Running<'_>,
    warehouse: &Warehouse,
    id: TableId,
    statement: &Analyze,
    threshold: f64,
) -> Result<Option<String>> {
    let (mut transaction, snapshot) = running.transaction(warehouse)?;
    let Some(table) = snapshot.table(id).cloned() else { return Ok(None) };
    let (def, live) = (&table.def, table.live_rows());
    let name = &def.name;
    if live == 0 {
        return Ok(statement.verbose.then(|| format!("table \"{name}\" has no rows to analyze")));
    }
    let segments = match transaction.pin() {
        Some(pin) => warehouse.inner.segments.at(pin.clone()),
        None => warehouse.inner.segments.clone(),
    };
    let old = match &table.statistics {
        Some(reference) => segments.statistics(reference).await,
        None => None,
    };
    let mut used: BTreeMap<ColumnId, _> = warehouse.inner.uses.of(id);
    for (column, known) in old.iter().flat_map(|old| &old.columns) {
        if let Some(known) = known.used {
            used.entry(*column).and_modify(|used| *used = known.merge(*used)).or_insert(known);
        }
    }
    let wanted = wanted(def, statement, &used.keys().copied().collect());
    let known =
        |id: &ColumnId| old.as_ref().is_some_and(|o| o.columns.get(id).is_some_and(|c| c.distribution.is_some()));
    if let Some(mark) = table.statistics.and_then(|s| s.analyzed).filter(|_| wanted.iter().all(known)) {
        let (inserted, deleted) = table.changed_since(&mark);
        let changed = inserted + deleted;
        if threshold > 0.0 && (changed as f64) * 100.0 < threshold * live as f64 {
            return Ok(Some(format!(
                "table \"{name}\" was skipped: {changed} rows changed since it was analyzed, which is less than \
                 analyze_threshold_percent ({threshold}) of {live}"
            )));
        }
    }
    let sketches = segments.sketches_of(&table.segments).await?;
    let analysis = Analysis {
        stretches: stretches(&table, warehouse.geometry()?),
        segments,
        geometry: warehouse.geometry()?,
        threads: running.warehouse.inner.threads,
        memory: Arc::clone(&running.statement.runtime.memory_pool),
        cancel: running.statement.cancel.clone(),
        live,
    };
    let columns: Vec<ColumnDef> = def.columns.iter().filter(|c| wanted.contains(&c.id)).cloned().collect();
    let analyzed = analysis.columns(columns).await?;
    let mut new = TableStatistics::default();
    new.add(&sketches);
    if let Some(old) = &old {
        for (id, column) in &old.columns {
            new.columns.entry(*id).or_default().distribution = column.distribution.clone();
        }
    }
    let sampled = analyzed.iter().map(|(_, _, rows)| *rows).max().unwrap_or(0);
    for (id, distribution, _) in analyzed {
        new.columns.entry(id).or_default().distribution = distribution;
    }
    new.columns.retain(|id, _| def.column(*id).is_some());
    for (id, used) in used {
        if def.column(id).is_some() {
            new.columns.entry(id).or_insert_with(ColumnStatistics::default).used = Some(used);
        }
    }
    running.check_cancelled()?;
    let object = transaction.names().next_object();
    let store = warehouse.inner.catalog.store().objects();
    let extent = put_bytes(store, object, new.encode().into()).await?;
    transaction.set_statistics(def, Blob::Stored(extent), Telling::Analyzed { live_rows: live });
    running.commit(warehouse, transaction).await?;
    let columns = if wanted.len() == 1 { "1 column".to_string() } else { format!("{} columns", wanted.len()) };
    Ok(statement.verbose.then(|| format!("table \"{name}\": {columns} analyzed, {sampled} of {live} rows sampled")))
}

/// The columns to analyze: those listed, else all, or those that queries use with the keys (Redshift manual, "ANALYZE"):
/// all again where no use was noticed.
fn wanted(def: &TableDef, statement: &Analyze, used: &BTreeSet<ColumnId>) -> BTreeSet<ColumnId> {
    let all = def.columns.iter().map(|c| c.id);
    if !statement.columns.is_empty() {
        let listed = statement.columns.iter().filter_map(|name| def.column_named(&name.value));
        return listed.map(|c| c.id).collect();
    }
    let used: BTreeSet<ColumnId> = all.clone().filter(|id| used.contains(id)).collect();
    if !statement.predicate_columns || used.is_empty() {
        return all.collect();
    }
    let sort = def.sort.iter().flat_map(|key| key.columns.iter().copied());
    let dist = match def.effective_dist {
        EffectiveDist::Key(id) => Some(id),
        _ => None,
    };
    used.into_iter().chain(sort).chain(dist).collect()
}

/// Zones enough for a sample.
fn stretches(table: &TableState, geometry: Geometry) -> Vec<Arc<Stretch>> {
    sample::spread(table, geometry, SAMPLED_ZONES, SAMPLED_ROWS).into_iter().map(Arc::new).collect()
}

/// What the analysis of a table's columns needs.
struct Analysis {
    segments: SegmentStore,
    stretches: Vec<Arc<Stretch>>,
    geometry: Geometry,
    threads: usize,
    memory: Arc<dyn MemoryPool>,
    cancel: CancelToken,
    live: u64,
}

impl Analysis {
    /// Each column's distribution and how many rows were sampled for it.
    async fn columns(&self, columns: Vec<ColumnDef>) -> Result<Vec<(ColumnId, Option<Distribution>, u64)>> {
        let jobs = columns.into_iter().map(|column| async move {
            let (distribution, sampled) = self.column(&column).await?;
            Ok::<_, Error>((column.id, distribution, sampled))
        });
        let mut running = stream::iter(jobs.collect::<Vec<_>>()).buffer_unordered(self.threads.max(1));
        let mut done = Vec::new();
        while let Some(column) = running.next().await {
            done.push(column?);
        }
        Ok(done)
    }

    /// Stretch by stretch, so that no more than one is held.
    async fn column(&self, column: &ColumnDef) -> Result<(Option<Distribution>, u64)> {
        let held = MemoryConsumer::new("ANALYZE").register(&self.memory);
        let most_rows = self.geometry.chunk_rows();
        // Evenly spaced rows of what is read, each a little aside, so that none that repeat themselves are taken for all.
        let read: usize = self.stretches.iter().map(|stretch| stretch.rows(self.geometry)).sum();
        let stride = (read / SAMPLED_ROWS).max(1);
        let mut sample = Sample { values: Vec::new(), rows: 0, next: 0, at: 0, stride };
        for stretch in &self.stretches {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            let stored = stretch.fetch(&self.segments, column).await?;
            held.try_resize(2 * SAMPLED_ROWS * VALUE_BYTES + COPIES * most_rows * row_bytes(column.sql_type))
                .map_err(from_datafusion)?;
            let work = move || -> Result<Sample> {
                if let Some(rows) = stored.decode(most_rows)? {
                    sample.take(&rows);
                }
                Ok(sample)
            };
            let done = tokio::task::spawn_blocking(work).await;
            sample = done.map_err(|e| Error::internal(format!("decoding a sample: {e}")))??;
        }
        let (live, sampled) = (self.live, sample.rows);
        let work = move || Distribution::of_sample(sample.values, sampled, live);
        let done = tokio::task::spawn_blocking(work).await;
        Ok((done.map_err(|e| Error::internal(format!("counting a sample: {e}")))?, sampled))
    }
}

/// Bytes of a decoded row, about.
fn row_bytes(sql_type: SqlType) -> usize {
    sql_type.stored().width().unwrap_or(64)
}

/// The rows taken so far.
struct Sample {
    values: Vec<crate::common::Scalar>,
    /// NULLs, too.
    rows: u64,
    /// The row to take next, and the number of the rows seen.
    next: usize,
    at: usize,
    stride: usize,
}

impl Sample {
    fn take(&mut self, column: &Column) {
        let (start, end) = (self.at, self.at + column.len());
        while self.next < end {
            if self.next >= start {
                self.rows += 1;
                self.values.extend(value_at(column, self.next - start));
            }
            let jitter = (self.next as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            let stratum = self.next / self.stride + 1;
            self.next = stratum * self.stride + jitter as usize % self.stride;
        }
        self.at = end;
    }
}
