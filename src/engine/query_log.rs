//! The log of statements: what stl_query and its kin show (`src/system/log.rs`).
//!
//! The newest statements are kept in memory. A warehouse that outlives its process also gets them in batches, objects of a
//! line of JSON a statement under `_sys/queries`, outside the version chain: a query never commits, and what is logged stays
//! when a transaction does not. It is best effort: a batch that cannot be written is forgotten, and one that cannot be read
//! is left out. Batches are kept for seven days.

mod json;

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parking_lot::Mutex;

use super::explain;
use super::session::Session;
use super::warehouse::Warehouse;
use crate::catalog::paths;
use crate::common::Clock;
use crate::physical_plan::config::BlueshiftOptions;
use crate::sql::masked;
use crate::system::{LoadRecord, QueryRecord, RefusedColumn, RefusedField, RefusedRow, ReplacedText, UnloadRecord};

/// Statements in memory, and those that a query of the log reads, at most; and their bytes in memory.
const MOST: usize = 5_000;
const MOST_BYTES: usize = 16 << 20;
/// Bytes of a statement's text that are kept.
const TEXT_BYTES: usize = 64 << 10;
/// Statements that make a batch, and the longest that they wait for the next one.
const BATCH: usize = 256;
const WAIT_US: i64 = 60 * 1_000_000;
const KEPT_US: i64 = 7 * 24 * 3600 * 1_000_000;
/// How often batches are looked through for those that are too old.
const SWEEP_US: i64 = 3600 * 1_000_000;
const FOLDER: &str = "queries";

/// One warehouse's, in this process.
pub(super) struct QueryLog {
    clock: Arc<dyn Clock>,
    /// Of a warehouse that outlives the process.
    objects: Option<Arc<dyn ObjectStore>>,
    kept: Mutex<Kept>,
    flushed_us: AtomicI64,
    swept_us: AtomicI64,
}

#[derive(Default)]
struct Kept {
    newest: VecDeque<Arc<QueryRecord>>,
    bytes: usize,
    /// Not written yet.
    waiting: Vec<Arc<QueryRecord>>,
}

impl QueryLog {
    pub fn new(clock: Arc<dyn Clock>, objects: Option<Arc<dyn ObjectStore>>) -> Self {
        let now_us = clock.now_us();
        QueryLog {
            clock,
            objects,
            kept: Mutex::default(),
            flushed_us: now_us.into(),
            swept_us: AtomicI64::new(i64::MIN),
        }
    }

    /// The number of the first query: later than all of processes before this one where the log outlives them.
    pub fn first_query(&self) -> u64 {
        /// 2026-01-01, in milliseconds.
        const START_MS: i64 = 1_767_225_600_000;
        match self.objects {
            Some(_) => u64::try_from(self.clock.now_us() / 1000 - START_MS).unwrap_or(0).max(1),
            None => 1,
        }
    }

    pub fn add(self: &Arc<Self>, record: QueryRecord) {
        let record = Arc::new(record);
        let mut kept = self.kept.lock();
        kept.bytes += size(&record);
        kept.newest.push_back(Arc::clone(&record));
        while kept.newest.len() > MOST || kept.bytes > MOST_BYTES {
            let Some(oldest) = kept.newest.pop_front() else { break };
            kept.bytes = kept.bytes.saturating_sub(size(&oldest));
        }
        if self.objects.is_none() {
            return;
        }
        kept.waiting.push(record);
        let waited_us = self.clock.now_us().saturating_sub(self.flushed_us.load(Ordering::Relaxed));
        let due = kept.waiting.len() >= BATCH || waited_us >= WAIT_US;
        if kept.waiting.len() > MOST {
            kept.waiting.clear();
        }
        drop(kept);
        // Without a runtime it waits for the next statement, or for the warehouse's closing.
        if let (true, Ok(runtime)) = (due, tokio::runtime::Handle::try_current()) {
            let log = Arc::clone(self);
            runtime.spawn(async move { log.flush().await });
        }
    }

    /// Writes what waits.
    pub async fn flush(&self) {
        let Some(objects) = &self.objects else { return };
        let now_us = self.clock.now_us();
        self.flushed_us.store(now_us, Ordering::Relaxed);
        let batch = std::mem::take(&mut self.kept.lock().waiting);
        if batch.is_empty() {
            return;
        }
        let mut bytes = Vec::new();
        for record in &batch {
            bytes.extend_from_slice(json::write(record).as_bytes());
            bytes.push(b'\n');
        }
        let name = format!("{now_us:020}-{}", uuid::Uuid::new_v4().simple());
        if let Err(e) = objects.put(&paths::system_log(FOLDER, &name), PutPayload::from(bytes)).await {
            tracing::warn!("{} statements are not logged: {e}", batch.len());
        }
        if now_us.saturating_sub(self.swept_us.load(Ordering::Relaxed)) >= SWEEP_US {
            self.swept_us.store(now_us, Ordering::Relaxed);
            for path in self.batches(|written_us| written_us < now_us.saturating_sub(KEPT_US)).await {
                if let Err(e) = objects.delete(&path).await {
                    tracing::debug!("{path} of the log stays: {e}");
                }
            }
        }
    }

    /// What is known of statements that have ended, in this process and in others, the earliest first.
    pub async fn read(&self) -> Vec<Arc<QueryRecord>> {
        let mut records: Vec<Arc<QueryRecord>> = self.kept.lock().newest.iter().cloned().collect();
        let mut known: HashSet<(i64, i64, i32)> = records.iter().map(|r| key(r)).collect();
        if let Some(objects) = &self.objects {
            let oldest_us = self.clock.now_us().saturating_sub(KEPT_US);
            let mut batches = self.batches(|written_us| written_us >= oldest_us).await;
            batches.sort();
            while records.len() < MOST
                && let Some(path) = batches.pop()
            {
                let read = match objects.get(&path).await {
                    Ok(found) => found.bytes().await,
                    Err(e) => Err(e),
                };
                let Ok(bytes) = read.inspect_err(|e| tracing::debug!("{path} of the log is left out: {e}")) else {
                    continue;
                };
                let lines = bytes.split(|b| *b == b'\n').filter_map(json::read);
                records.extend(lines.filter(|r| known.insert(key(r))).map(Arc::new));
            }
        }
        records.sort_by_key(|r| (r.start_us, r.query));
        records
    }

    /// The batches of which the time of writing is wanted.
    async fn batches(&self, wanted: impl Fn(i64) -> bool) -> Vec<Path> {
        let Some(objects) = &self.objects else { return Vec::new() };
        let folder = paths::system_log_folder(FOLDER);
        let listed = objects.list(Some(&folder)).map_ok(|meta| meta.location).try_collect::<Vec<_>>().await;
        let listed = listed.inspect_err(|e| tracing::debug!("the log is not listed: {e}")).unwrap_or_default();
        let written = |path: &Path| path.filename()?.get(..20)?.parse().ok();
        listed.into_iter().filter(|path| written(path).is_some_and(&wanted)).collect()
    }
}

impl fmt::Debug for QueryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryLog").field("stored", &self.objects.is_some()).finish_non_exhaustive()
    }
}

/// A statement that runs: it is logged when this goes, as aborted unless it was told that all went well.
pub(super) struct Logged {
    warehouse: Warehouse,
    log: Arc<QueryLog>,
    record: QueryRecord,
    ended: bool,
    plan: Option<Arc<dyn ExecutionPlan>>,
    /// The session's, as they were when it began.
    settings: BlueshiftOptions,
}

impl Logged {
    pub fn begin(session: &Session, query: u64, process: u32, text: &str) -> Self {
        let warehouse = session.warehouse();
        let log = Arc::clone(&warehouse.inner.log);
        let record = QueryRecord {
            user: warehouse.owner().0 as i32,
            query: i64::try_from(query).unwrap_or(i64::MAX),
            label: "default".to_string(),
            xid: i64::try_from(warehouse.inner.catalog.snapshot().version.0).unwrap_or(i64::MAX),
            process: i32::try_from(process).unwrap_or(i32::MAX),
            database: super::names::CATALOG.to_string(),
            text: without_secrets(text),
            start_us: log.clock.now_us(),
            aborted: true,
            ..QueryRecord::default()
        };
        let state = session.context.state();
        let settings = state.config_options().extensions.get::<BlueshiftOptions>().cloned().unwrap_or_default();
        warehouse.inner.upkeep.busy();
        Logged { warehouse: warehouse.clone(), log, record, ended: false, plan: None, settings }
    }

    /// The plan whose counters tell what the statement did.
    pub fn with_plan(mut self, plan: Option<Arc<dyn ExecutionPlan>>) -> Self {
        self.plan = plan;
        self
    }

    /// The files that the statement has written.
    pub fn with_unloads(mut self, unloads: Vec<UnloadRecord>) -> Self {
        self.record.unloads = unloads;
        self
    }

    /// The statement did all that it was to do.
    pub fn end(&mut self) {
        self.ended = true;
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let mut record = std::mem::take(&mut self.record);
        record.end_us = self.log.clock.now_us();
        record.aborted = !self.ended;
        self.warehouse.inner.upkeep.idle();
        if let Some(plan) = &self.plan {
            explain::record(plan, &mut record, &self.settings);
        }
        self.log.add(record);
    }
}

/// What no two records share.
fn key(record: &QueryRecord) -> (i64, i64, i32) {
    let of_load = record.load.as_ref().map(|_| -1);
    (record.query, record.start_us, of_load.unwrap_or(record.vacuums.first().map_or(0, |vacuum| vacuum.table)))
}

/// About the bytes that a record takes.
fn size(record: &QueryRecord) -> usize {
    let steps: usize = record.steps.iter().map(|s| s.plan.len() + s.info.len() + s.label.len() + 200).sum();
    let alerts: usize = record.alerts.iter().map(|a| a.event.len() + a.solution.len() + 64).sum();
    let column = |c: &RefusedColumn| c.name.len() + c.type_name.len() + c.length.len();
    let field =
        |f: &RefusedField| f.value.as_ref().map_or(0, String::len) + column(&f.column) + size_of::<RefusedField>();
    let row = |e: &RefusedRow| {
        let fields: usize = e.fields.iter().map(field).sum();
        e.raw_line.len() * 2 + e.raw_value.len() + e.reason.len() + e.file.len() + fields + 256
    };
    let replaced = |r: &ReplacedText| r.raw_line.len() + r.file.len() + 96;
    let load = |l: &LoadRecord| {
        l.files.len() * 256 + l.errors.iter().map(row).sum::<usize>() + l.replaced.iter().map(replaced).sum::<usize>()
    };
    let loads: usize = record.load.iter().map(load).sum();
    let unloads: usize = record.unloads.iter().map(|u| u.path.len() + 96).sum();
    record.text.len() + steps + alerts + loads + unloads + (record.scans.len() + 2 * record.vacuums.len()) * 128 + 256
}

/// A statement's text as it is logged: not all of a long one, and nothing that may be secret.
fn without_secrets(text: &str) -> String {
    masked(&text[..text.floor_char_boundary(TEXT_BYTES)])
}
