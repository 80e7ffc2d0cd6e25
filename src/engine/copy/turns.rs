//! The order of what is parsed at the same time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// The blocks that are being parsed, numbered in the order in which they were taken.
#[derive(Clone)]
pub struct Turns(watch::Sender<BTreeSet<u64>>, Arc<AtomicU64>);

/// A block that is being parsed, until this is dropped.
pub struct Turn {
    number: u64,
    turns: Turns,
}

impl Default for Turns {
    fn default() -> Self {
        Turns(watch::Sender::new(BTreeSet::new()), Arc::default())
    }
}

impl Turns {
    pub fn begin(&self) -> Turn {
        let number = self.1.fetch_add(1, Ordering::Relaxed);
        self.0.send_modify(|active| {
            active.insert(number);
        });
        Turn { number, turns: self.clone() }
    }
}

impl Turn {
    /// Waits for those that were taken before.
    pub fn before(&self) -> impl Future<Output = ()> + Send + use<> {
        let (number, mut active) = (self.number, self.turns.0.subscribe());
        async move {
            // The sender goes when nobody parses any more.
            let _ = active.wait_for(|active| active.first().is_none_or(|first| *first >= number)).await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.0.send_modify(|active| {
            active.remove(&self.number);
        });
    }
}
