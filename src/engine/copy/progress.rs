//! How far the loads of a process are.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::system::LoadState;

/// The loads that go on, by the numbers of their statements.
#[derive(Debug, Default)]
pub struct Loads(Mutex<BTreeMap<i64, Arc<Progress>>>);

/// A load, until this is dropped: its readers may end later.
#[derive(Debug)]
pub struct Ongoing {
    query: i64,
    pub progress: Arc<Progress>,
    loads: Arc<Loads>,
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.loads.0.lock().remove(&self.query);
    }
}

/// Counts what a load has done.
#[derive(Debug, Default)]
pub struct Progress {
    /// What does not change, and which file was begun last.
    state: Mutex<LoadState>,
    bytes: AtomicU64,
    rows: AtomicU64,
    files: AtomicI64,
}

impl Loads {
    /// A load begins; it goes on until what this gives is dropped.
    pub fn begin(self: &Arc<Self>, state: LoadState) -> Ongoing {
        let query = state.query;
        let progress = Arc::new(Progress { state: Mutex::new(state), ..Progress::default() });
        self.0.lock().insert(query, Arc::clone(&progress));
        Ongoing { query, progress, loads: Arc::clone(self) }
    }

    /// Of all, the oldest first.
    pub fn states(&self) -> Vec<LoadState> {
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

    pub fn begin_file(&self, name: &str) {
        self.state.lock().current = name.to_string();
    }

    pub fn read(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn took(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub fn end_files(&self, files: usize) {
        self.files.fetch_add(files as i64, Ordering::Relaxed);
    }

    fn state(&self) -> LoadState {
        let signed = |n: &AtomicU64| i64::try_from(n.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        LoadState {
            bytes_read: signed(&self.bytes),
            rows: signed(&self.rows),
            files_read: self.files.load(Ordering::Relaxed),
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
        self.progress.read(read as u64);
        Ok(read)
    }
}
