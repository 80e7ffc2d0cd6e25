//! A store that remembers what was asked of it.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{ObjectStore, Result};
use parking_lot::Mutex;

use super::wrapper::{Call, StoreWrapper, Wrapped};

/// Wraps a store, and notes every call.
#[derive(Debug)]
pub struct CountingStore {
    inner: Arc<dyn ObjectStore>,
    calls: Mutex<Vec<(Call, Path)>>,
}

impl CountingStore {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(CountingStore { inner, calls: Mutex::default() })
    }

    pub fn store(self: &Arc<Self>) -> Arc<dyn ObjectStore> {
        Arc::new(Wrapped(self.clone()))
    }

    /// The calls since the last time this was asked.
    pub fn take(&self) -> Vec<(Call, Path)> {
        std::mem::take(&mut self.calls.lock())
    }
}

#[async_trait]
impl StoreWrapper for CountingStore {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn before(&self, call: Call, location: &Path) -> Result<()> {
        self.calls.lock().push((call, location.clone()));
        Ok(())
    }
}
