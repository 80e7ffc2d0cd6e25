//! Tables that one transaction of this process finishes with before others change them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::transaction::Transaction;
use crate::common::TableId;

/// How long a commit waits for a fence, at most. After that both go on, and one of them meets a conflict.
const PATIENCE: Duration = Duration::from_secs(20);

/// The fences of a catalog.
#[derive(Debug, Default)]
pub(super) struct Fences {
    inner: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    lifted: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// `None` is all tables.
    open: BTreeMap<u64, Option<BTreeSet<TableId>>>,
}

/// While it lives, transactions of this process that change the tables wait at their commit, but for those that it lets
/// [pass](Fence::passes). Other processes know nothing of it.
#[derive(Debug)]
pub struct Fence {
    number: u64,
    inner: Arc<Shared>,
}

impl Fence {
    /// Lets a transaction pass.
    pub fn passes(&self, transaction: &mut Transaction) {
        transaction.fenced = Some(self.number);
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        self.inner.state.lock().open.remove(&self.number);
        self.inner.lifted.notify_waiters();
    }
}

impl Fences {
    /// Around these tables; `None` is all.
    pub fn put(&self, tables: Option<BTreeSet<TableId>>) -> Fence {
        let mut state = self.inner.state.lock();
        state.next += 1;
        let number = state.next;
        state.open.insert(number, tables);
        Fence { number, inner: Arc::clone(&self.inner) }
    }

    /// Waits until no fence is in the transaction's way.
    pub async fn wait(&self, transaction: &Transaction) {
        if self.inner.state.lock().open.is_empty() {
            return;
        }
        let changed = transaction.changes();
        let waiting = async {
            loop {
                let lifted = self.inner.lifted.notified();
                tokio::pin!(lifted);
                // From here on none is missed.
                lifted.as_mut().enable();
                if !self.is_in_the_way(transaction.fenced, changed.as_ref()) {
                    return;
                }
                lifted.await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, waiting).await;
    }

    fn is_in_the_way(&self, own: Option<u64>, changed: Option<&BTreeSet<TableId>>) -> bool {
        let state = self.inner.state.lock();
        let mut others = state.open.iter().filter(|(number, _)| Some(**number) != own);
        others.any(|(_, tables)| match (tables, changed) {
            (Some(tables), Some(changed)) => !tables.is_disjoint(changed),
            (None, Some(changed)) => !changed.is_empty(),
            (None, None) => true,
            // A table that is made is none of those.
            (Some(_), None) => false,
        })
    }
}
