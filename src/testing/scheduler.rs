//! Several processes in one thread, whose store calls happen in an order that a seed decides.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, Result};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::clock::TestClock;
use super::rng::Rng;
use super::wrapper::{Call, StoreWrapper, Wrapped};

/// Lets one of the waiting store calls go on at a time.
#[derive(Debug, Default)]
pub struct Scheduler {
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
}

/// After so many turns of the (single-threaded) runtime, whoever can run has run to its next store call.
const QUIET: usize = 32;

impl Scheduler {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    async fn turn(&self) {
        let (go, gone) = oneshot::channel();
        self.waiting.lock().push(go);
        // The scheduler is gone: nothing is left to be ordered.
        let _ = gone.await;
    }

    /// Runs the processes to their ends. Needs a current-thread runtime.
    pub async fn run(&self, seed: u64, processes: Vec<BoxFuture<'static, ()>>) {
        let mut rng = Rng::new(seed);
        let mut tasks: Vec<_> = processes.into_iter().map(tokio::spawn).collect();
        while !tasks.is_empty() {
            for _ in 0..QUIET {
                tokio::task::yield_now().await;
            }
            let next = {
                let mut waiting = self.waiting.lock();
                match waiting.len() {
                    0 => None,
                    n => Some(waiting.swap_remove(rng.below(n))),
                }
            };
            if let Some(go) = next {
                // The caller may have given up.
                let _ = go.send(());
            }
            let mut left = Vec::new();
            for mut task in tasks {
                match (&mut task).now_or_never() {
                    Some(ended) => ended.expect("a process panicked"),
                    None => left.push(task),
                }
            }
            tasks = left;
        }
        self.waiting.lock().clear();
    }
}

/// A store whose calls wait for their turn; each takes a little time of the test's clock.
#[derive(Debug)]
pub struct ScheduledStore {
    inner: Arc<dyn ObjectStore>,
    scheduler: Arc<Scheduler>,
    clock: Arc<TestClock>,
    call_us: i64,
}

impl ScheduledStore {
    pub fn over(
        inner: Arc<dyn ObjectStore>,
        scheduler: Arc<Scheduler>,
        clock: Arc<TestClock>,
        call_us: i64,
    ) -> Arc<dyn ObjectStore> {
        Arc::new(Wrapped(Arc::new(ScheduledStore { inner, scheduler, clock, call_us })))
    }
}

#[async_trait]
impl StoreWrapper for ScheduledStore {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn before(&self, _call: Call, _location: &Path) -> Result<()> {
        self.scheduler.turn().await;
        self.clock.advance(self.call_us);
        Ok(())
    }
}
