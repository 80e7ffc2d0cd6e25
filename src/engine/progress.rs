//! How far the loads and unloads of a process are.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;
use parking_lot::Mutex;

use super::running::Running;
use crate::system::{TransferKind, TransferState};

/// What goes on, by the numbers of the statements.
#[derive(Debug, Default)]
pub struct Transfers(Mutex<BTreeMap<i64, Arc<Progress>>>);

/// A load or an unload, until this is dropped: its readers may end later.
#[derive(Debug)]
pub struct Ongoing {
    query: i64,
    pub progress: Arc<Progress>,
    transfers: Arc<Transfers>,
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.transfers.0.lock().remove(&self.query);
    }
}

/// Counts what is done.
#[derive(Debug, Default)]
pub struct Progress {
    /// What does not change, and which file was begun last.
    state: Mutex<TransferState>,
    bytes: AtomicU64,
    rows: AtomicU64,
    files: AtomicI64,
}

impl Ongoing {
    /// The statement begins to fill the table, or to write the files, that are called `name`; it goes on until this is dropped.
    pub fn begin(running: &Running<'_>, kind: TransferKind, name: &str) -> Ongoing {
        let (inner, statement) = (&running.warehouse.inner, &running.statement);
        let query = i64::try_from(statement.query).unwrap_or(i64::MAX);
        let state = TransferState {
            kind,
            user: statement.user.0 as i32,
            process: i32::try_from(statement.process).unwrap_or(i32::MAX),
            query,
            name: name.to_string(),
            started_us: inner.catalog.options().clock.now_us(),
            ..TransferState::default()
        };
        let progress = Arc::new(Progress { state: Mutex::new(state), ..Progress::default() });
        inner.transfers.0.lock().insert(query, Arc::clone(&progress));
        Ongoing { query, progress, transfers: Arc::clone(&inner.transfers) }
    }
}

impl Transfers {
    /// Of all, the oldest first.
    pub fn states(&self) -> Vec<TransferState> {
        self.0.lock().values().map(|progress| progress.state()).collect()
    }
}

impl Progress {
    /// The load begins, or begins again: so much is to be read.
    pub fn expect(&self, files: usize, bytes: u64) {
        let mut state = self.state.lock();
        (state.files, state.bytes) = (files as i64, i64::try_from(bytes).unwrap_or(i64::MAX));
        self.bytes.store(0, Ordering::Relaxed);
        self.rows.store(0, Ordering::Relaxed);
        self.files.store(0, Ordering::Relaxed);
    }

    /// So many rows are to be written, as far as that is known.
    pub fn expect_rows(&self, rows: Option<usize>) {
        self.state.lock().rows_expected = rows.and_then(|rows| i64::try_from(rows).ok());
    }

    /// A stream whose rows are counted.
    pub fn watched(self: &Arc<Self>, stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let (schema, progress) = (stream.schema(), Arc::clone(self));
        let counted = stream.inspect_ok(move |batch| progress.took(batch.num_rows() as u64));
        Box::pin(RecordBatchStreamAdapter::new(schema, counted))
    }

    pub fn begin_file(&self, name: &str) {
        self.state.lock().current = name.to_string();
    }

    pub fn moved(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn took(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub fn end_files(&self, files: usize) {
        self.files.fetch_add(files as i64, Ordering::Relaxed);
    }

    fn state(&self) -> TransferState {
        let signed = |n: &AtomicU64| i64::try_from(n.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        TransferState {
            bytes_done: signed(&self.bytes),
            rows: signed(&self.rows),
            files_done: self.files.load(Ordering::Relaxed),
            ..self.state.lock().clone()
        }
    }
}

/// Counts the bytes that are read.
pub struct Counted<R> {
    pub input: R,
    pub progress: Arc<Progress>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.progress.moved(read as u64);
        Ok(read)
    }
}
