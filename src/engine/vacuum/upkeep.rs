//! Vacuum unasked: what is worth its cost, in the background or when the application says so.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::plan::Work;
use super::{Operation, Totals};
use crate::catalog::PinnedSnapshot;
use crate::common::{Error, ErrorKind, Result, TableId, Version};
use crate::engine::statement::CancelToken;
use crate::engine::warehouse::{Inner, Warehouse};
use crate::physical_plan::config::BlueshiftOptions;
use crate::sql::ast::VacuumMode;
use crate::system::VacuumProgress;

/// How often the background looks whether there is something to do.
const INTERVAL: Duration = Duration::from_secs(10);
/// How often it looks whether versions are older than they are kept.
const COLLECT: u32 = 60;

/// The vacuums of a warehouse in this process.
#[derive(Debug, Default)]
pub struct Upkeep {
    next: AtomicU64,
    ongoing: Mutex<BTreeMap<u64, VacuumProgress>>,
    /// What each table was when nothing was to be done.
    looked_at: Mutex<BTreeMap<TableId, Version>>,
    /// When rows of each table, by its definition, were last looked at that may be too old.
    expired: Mutex<BTreeMap<(TableId, u32), i64>>,
    /// Statements that run.
    statements: AtomicU64,
    /// Tables that are written anew by ALTER; all with `None`.
    altered: Arc<Mutex<Vec<Option<TableId>>>>,
}

/// An ALTER that writes a table anew, or all, until this is dropped.
#[derive(Debug)]
pub struct Altering {
    table: Option<TableId>,
    altered: Arc<Mutex<Vec<Option<TableId>>>>,
}

impl Drop for Altering {
    fn drop(&mut self) {
        let mut altered = self.altered.lock();
        if let Some(at) = altered.iter().position(|table| *table == self.table) {
            altered.swap_remove(at);
        }
    }
}

/// A vacuum that goes on, until this is dropped.
pub struct Ongoing {
    inner: Arc<Inner>,
    number: u64,
}

impl Upkeep {
    /// The vacuums that go on.
    pub fn progress(&self) -> Vec<VacuumProgress> {
        self.ongoing.lock().values().cloned().collect()
    }

    /// Begins to alter a table, or all; `None` where one of these is being altered already.
    pub fn alter(&self, table: Option<TableId>) -> Option<Altering> {
        let mut altered = self.altered.lock();
        if altered.iter().any(|other| other.is_none() || table.is_none() || *other == table) {
            return None;
        }
        altered.push(table);
        Some(Altering { table, altered: Arc::clone(&self.altered) })
    }

    /// Whether the table is written anew by an ALTER.
    pub fn is_altered(&self, table: TableId) -> bool {
        self.altered.lock().iter().any(|other| other.is_none_or(|other| other == table))
    }

    /// Whether so much time has passed since it last was; then it is as of now.
    pub fn is_time_to_expire(&self, table: TableId, definition: u32, now_us: i64, interval_us: i64) -> bool {
        let mut expired = self.expired.lock();
        let last = expired.get(&(table, definition)).copied();
        if last.is_some_and(|last| now_us.saturating_sub(last).abs() < interval_us) {
            return false;
        }
        expired.retain(|(of, _), _| *of != table);
        expired.insert((table, definition), now_us);
        true
    }

    /// As if the table's rows had not been looked at.
    pub fn expire_again(&self, table: TableId) {
        self.expired.lock().retain(|(of, _), _| *of != table);
    }

    /// A statement begins.
    pub fn busy(&self) {
        self.statements.fetch_add(1, Ordering::Relaxed);
    }

    /// A statement has ended.
    pub fn idle(&self) {
        self.statements.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ongoing {
    /// Of a vacuum of the table.
    pub fn begin(inner: &Arc<Inner>, name: &str, status: String, started_us: i64) -> Self {
        let number = inner.upkeep.next.fetch_add(1, Ordering::Relaxed);
        let progress = VacuumProgress { name: name.to_string(), status, started_us, rows: 0, done: 0 };
        inner.upkeep.ongoing.lock().insert(number, progress);
        Ongoing { inner: Arc::clone(inner), number }
    }

    /// A step has written so many rows anew; about so many are left.
    pub fn did(&self, rows: u64, left: u64) {
        if let Some(progress) = self.inner.upkeep.ongoing.lock().get_mut(&self.number) {
            progress.done += rows;
            progress.rows = progress.done + left;
        }
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.inner.upkeep.ongoing.lock().remove(&self.number);
    }
}

impl Warehouse {
    /// Does what is worth its cost: deletes rows that are older than their table keeps them, merges small runs, rows that come in another order than that of the sort key, small segments
    /// that follow each other, and segments with many dead rows. Returns how many commits that took; none when there is nothing
    /// to do. A table that fails keeps it from no other one: the first error is returned at the end.
    ///
    /// A warehouse does so by itself every few seconds, unless it was opened with
    /// [`WarehouseBuilder::upkeep`](super::super::WarehouseBuilder::upkeep) off. Nobody waits for it or fails by it.
    pub async fn maintain(&self) -> Result<usize> {
        let pin = self.pin_newest().await?;
        let mut steps = 0;
        let mut failed: Option<Error> = None;
        for (id, table) in pin.tables.iter() {
            let expired = self.expire_now_and_then(&table.def).await.map(usize::from);
            let vacuumed = self.maintain_table(&pin, *id).await.map(|totals| totals.steps);
            for outcome in [expired, vacuumed] {
                match outcome {
                    Ok(done) => steps += done,
                    // That others are at it as well is to hide no other error.
                    Err(e) if failed.as_ref().is_none_or(|first| first.kind() == ErrorKind::Conflict) => {
                        failed = Some(e.context(format!("table \"{}\"", table.def.name)));
                    }
                    Err(_) => {}
                }
            }
        }
        failed.map_or(Ok(steps), Err)
    }

    async fn maintain_table(&self, pin: &PinnedSnapshot, id: TableId) -> Result<Totals> {
        let Some(table) = pin.table(id) else { return Ok(Totals::default()) };
        if self.inner.upkeep.is_altered(id) {
            return Ok(Totals::default());
        }
        if self.inner.upkeep.looked_at.lock().get(&id) == Some(&table.changed) {
            return Ok(Totals::default());
        }
        let full = self.geometry()?.segment_rows() as u64;
        let operation = Operation {
            warehouse: self,
            table: id,
            author: self.owner(),
            query: self.next_query(),
            process: 0,
            automatic: true,
            cancel: CancelToken::default(),
            budget: BlueshiftOptions::default().vacuum_rows,
        };
        if !operation.is_due(Work::due(pin, table, full)).await? {
            self.inner.upkeep.looked_at.lock().insert(id, table.changed);
            return Ok(Totals::default());
        }
        let works = vec![Work::due(pin, table, full)];
        operation.logged(pin, table, VacuumMode::Full, "Started", "Skipped".to_string(), works).await
    }
}

/// Looks after the warehouse until it is closed, whenever no more statements run than it has threads; without `upkeep` it only
/// says again and again for how long versions are to be kept.
pub async fn keep(inner: Weak<Inner>, upkeep: bool) {
    for round in 1_u32.. {
        tokio::time::sleep(INTERVAL).await;
        let Some(inner) = inner.upgrade() else { return };
        if round.is_multiple_of(COLLECT) && !upkeep {
            if let Err(e) = (Warehouse { inner: Arc::clone(&inner) }).ask_to_keep().await {
                tracing::warn!("others may collect versions that this process keeps: {e}");
            }
        } else if round.is_multiple_of(COLLECT) {
            match (Warehouse { inner: Arc::clone(&inner) }).collect_expired().await {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Conflict => tracing::debug!("another process collects, too: {e}"),
                Err(e) => tracing::warn!("old versions could not be collected: {e}"),
            }
        }
        if !upkeep || inner.upkeep.statements.load(Ordering::Relaxed) >= inner.threads as u64 {
            continue;
        }
        match (Warehouse { inner }).maintain().await {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Conflict => tracing::debug!("another process vacuums, too: {e}"),
            Err(e) => tracing::warn!("the warehouse could not be vacuumed: {e}"),
        }
    }
}
