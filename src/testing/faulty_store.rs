//! A store whose n-th put goes wrong.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{Error, ObjectStore, PutOptions, PutPayload, PutResult, Result};
use parking_lot::Mutex;

use super::wrapper::{Call, StoreWrapper, Wrapped};

/// How a put goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error, and nothing was done.
    NoEffect,
    /// An error, and it was done.
    LostAcknowledgement,
    /// An error, and nothing was done; the next put of the same name is done, but reported as an error too.
    LostAcknowledgementOfRetry,
    /// An error, and it is done just before the next put.
    Late,
}

/// Wraps a store; see [`Fault`].
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    puts: usize,
    plan: Option<(usize, Fault)>,
    retried: Option<Path>,
    late: Option<(Path, PutPayload, PutOptions)>,
}

impl FaultyStore {
    /// Over `inner`; put `n`, counted from 1, goes wrong as `fault` says.
    pub fn new(inner: Arc<dyn ObjectStore>, plan: Option<(usize, Fault)>) -> Arc<Self> {
        Arc::new(FaultyStore { inner, state: Mutex::new(State { plan, ..Default::default() }) })
    }

    pub fn store(self: &Arc<Self>) -> Arc<dyn ObjectStore> {
        Arc::new(Wrapped(self.clone()))
    }

    /// From now on, put `n` goes wrong as `fault` says.
    pub fn fail(&self, n: usize, fault: Fault) {
        self.state.lock().plan = Some((n, fault));
    }

    /// How many puts there have been.
    pub fn puts(&self) -> usize {
        self.state.lock().puts
    }
}

fn injected() -> Error {
    Error::Generic { store: "FaultyStore", source: "injected".into() }
}

#[async_trait]
impl StoreWrapper for FaultyStore {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn before(&self, _call: Call, _location: &Path) -> Result<()> {
        Ok(())
    }

    async fn put(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let (fault, late) = {
            let mut state = self.state.lock();
            state.puts += 1;
            let mut fault = state.plan.filter(|(n, _)| *n == state.puts).map(|(_, fault)| fault);
            if state.retried.as_ref() == Some(location) {
                state.retried = None;
                fault = Some(Fault::LostAcknowledgement);
            }
            let late = state.late.take();
            match fault {
                Some(Fault::LostAcknowledgementOfRetry) => state.retried = Some(location.clone()),
                Some(Fault::Late) => state.late = Some((location.clone(), payload.clone(), opts.clone())),
                _ => {}
            }
            (fault, late)
        };
        if let Some((location, payload, opts)) = late {
            // Its caller was told of an error already.
            let _ = self.inner.put_opts(&location, payload, opts).await;
        }
        match fault {
            None => self.inner.put_opts(location, payload, opts).await,
            Some(Fault::LostAcknowledgement) => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(injected())
            }
            Some(_) => Err(injected()),
        }
    }
}
