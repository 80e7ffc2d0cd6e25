//! A transaction block: the statements from BEGIN to COMMIT or ROLLBACK as one transaction.

use std::fmt;
use std::sync::Arc;

use datafusion::config::ConfigOptions;
use parking_lot::Mutex;

use super::namespace::{NamedTables, Reads};
use super::warehouse::Warehouse;
use crate::catalog::{Committed, OpenTransaction, PinnedSnapshot, Transaction};
use crate::common::{Error, ErrorKind, Result, SqlState, UserId};
use crate::sql::ast::Begin;

/// A transaction of several statements of a session.
///
/// Guarantees:
/// 1. all of its statements read each warehouse at the version that was the newest when one first came across it, with what
///    the statements before it wrote;
/// 2. what it writes takes effect in one version when it commits, and is nobody's until then. Of the session's temporary
///    tables it does so right after that: they are nobody else's;
/// 3. settings, the search path, temporary views and external tables that its statements change are as before unless it commits;
/// 4. once a statement has failed, or was given up before it ended, it does nothing any more.
pub(super) struct Block {
    author: UserId,
    read_only: bool,
    /// What the session was when it began.
    pub before: Before,
    /// What it has read, if it is serializable.
    pub reads: Option<Arc<Reads>>,
    inner: Mutex<Inner>,
}

/// What a session has that a block may change and that its ROLLBACK gives back.
#[derive(Default)]
pub(super) struct Before {
    pub options: ConfigOptions,
    pub path: Option<Vec<String>>,
    pub foreign: NamedTables,
}

#[derive(Default)]
struct Inner {
    failed: bool,
    reads: Vec<(Warehouse, PinnedSnapshot)>,
    writes: Vec<(Warehouse, OpenTransaction)>,
}

impl Inner {
    fn known(&self, warehouse: &Warehouse) -> Option<PinnedSnapshot> {
        let written = self.writes.iter().find(|(of, _)| of.is(warehouse)).map(|(_, open)| open.pin());
        written.or_else(|| self.reads.iter().find(|(of, _)| of.is(warehouse)).map(|(_, pin)| pin.clone()))
    }
}

impl Block {
    pub fn begin(begin: &Begin, author: UserId, serializable: bool, before: Before) -> Self {
        let reads = (begin.serializable || serializable).then(Arc::default);
        Block { author, read_only: begin.read_only, before, reads, inner: Mutex::default() }
    }

    /// Whether a statement has failed.
    pub fn has_failed(&self) -> bool {
        self.inner.lock().failed
    }

    /// Makes the block end without effect.
    pub fn fail(&self) {
        let mut inner = self.inner.lock();
        inner.failed = true;
        inner.writes.clear();
    }

    /// For as long as a statement runs: one that is given up halfway has failed.
    pub fn running(&self) -> Halfway<'_> {
        Halfway { block: self, ended: false }
    }

    /// What the block sees of `warehouse`, as far as it has met it.
    pub fn known(&self, warehouse: &Warehouse) -> Option<PinnedSnapshot> {
        self.inner.lock().known(warehouse)
    }

    /// What the block sees of `warehouse`: of the newest version, when it meets it first.
    pub async fn pin(&self, warehouse: &Warehouse) -> Result<PinnedSnapshot> {
        if let Some(pin) = self.known(warehouse) {
            return Ok(pin);
        }
        let newest = warehouse.pin_newest().await?;
        let mut inner = self.inner.lock();
        // Another part of the statement may have come first.
        if let Some(pin) = inner.known(warehouse) {
            return Ok(pin);
        }
        inner.reads.push((warehouse.clone(), newest.clone()));
        Ok(newest)
    }

    /// Gathers the wishes of a statement that changes `warehouse`, which it has read.
    ///
    /// Invalid in a transaction that only reads; Unsupported where it has changed another warehouse: no version is of two.
    pub fn statement(&self, warehouse: &Warehouse) -> Result<Transaction> {
        if self.read_only && !warehouse.is_scratch() {
            let error = Error::invalid(SqlState::READ_ONLY, "the transaction is read-only");
            return Err(error.with_hint("end it, or begin it without READ ONLY"));
        }
        let mut inner = self.inner.lock();
        if inner.failed {
            return Err(aborted());
        }
        if let Some((_, open)) = inner.writes.iter().find(|(of, _)| of.is(warehouse)) {
            return Ok(open.statement());
        }
        let lasting = |of: &Warehouse| !of.is_scratch();
        if lasting(warehouse) && inner.writes.iter().any(|(of, open)| lasting(of) && !open.is_empty()) {
            let error = Error::unsupported("a transaction changes tables of one database only");
            return Err(
                error.with_hint("COMMIT first, and change those of the other database in a transaction of its own")
            );
        }
        inner.writes.retain(|(_, open)| !open.is_empty());
        let unread = || Error::internal("a statement changes what it has not read");
        let pin = inner.known(warehouse).ok_or_else(unread)?;
        let open = OpenTransaction::new(warehouse.inner.catalog.begin_at(self.author, &pin))?;
        let statement = open.statement();
        inner.writes.push((warehouse.clone(), open));
        Ok(statement)
    }

    /// Makes a statement's wishes the block's own. Errors: as a commit's, and the block has failed.
    pub fn add(&self, warehouse: &Warehouse, statement: Transaction) -> Result<Committed> {
        let mut inner = self.inner.lock();
        if inner.failed {
            return Err(aborted());
        }
        let open = inner.writes.iter_mut().find(|(of, _)| of.is(warehouse));
        let added = match open {
            Some((_, open)) => open.add(statement),
            None => Err(Error::internal("a statement was not begun in its block")),
        };
        inner.failed |= added.is_err();
        added
    }

    /// Commits what it has written.
    ///
    /// Errors: as a commit's; Conflict where another transaction got there first; Invalid, SQLSTATE 25P02, where a statement has
    /// failed. Nothing has taken effect then, unless [`NotCommitted::outcome_is_open`].
    pub async fn commit(&self) -> std::result::Result<(), NotCommitted> {
        let writes = {
            let mut inner = self.inner.lock();
            match inner.failed {
                true => None,
                false => Some(std::mem::take(&mut inner.writes)),
            }
        };
        let Some(mut writes) = writes else {
            let error = Error::invalid(
                SqlState::FAILED_TRANSACTION,
                "the transaction was rolled back, since one of its statements has failed",
            );
            return Err(NotCommitted::at_all(error.with_hint("nothing of it took effect: run it again")));
        };
        writes.sort_by_key(|(warehouse, _)| warehouse.is_scratch());
        let mut lasts = false;
        for (warehouse, open) in writes {
            if open.is_empty() {
                continue;
            }
            let mut transaction = open.into_transaction();
            let prepared = async {
                self.reads.iter().try_for_each(|reads| reads.require(&warehouse, &mut transaction))?;
                warehouse.store_large(&mut transaction).await?;
                Ok(transaction)
            };
            let committed = match prepared.await {
                Ok(transaction) => warehouse.inner.catalog.commit(transaction).await.map_err(|error| NotCommitted {
                    outcome_is_open: error.state() == SqlState::OUTCOME_UNKNOWN,
                    error: overtaken(error),
                }),
                Err(error) => Err(NotCommitted::at_all(error)),
            };
            committed.map_err(|e| match lasts {
                true => NotCommitted {
                    error: e
                        .error
                        .context("the transaction is committed, but its temporary tables are as they were before it"),
                    outcome_is_open: true,
                },
                false => e,
            })?;
            lasts |= !warehouse.is_scratch();
        }
        Ok(())
    }
}

/// Why a block was not committed.
pub(super) struct NotCommitted {
    pub error: Error,
    /// Whether some or all of it may have taken effect all the same.
    pub outcome_is_open: bool,
}

impl NotCommitted {
    fn at_all(error: Error) -> Self {
        NotCommitted { error, outcome_is_open: false }
    }
}

/// What was right when its statements ran and is wrong at the end is another transaction's doing: once more it may be granted.
fn overtaken(e: Error) -> Error {
    match e.kind() {
        ErrorKind::Invalid => {
            let message = format!("{}, since another transaction was first", e.message());
            Error::conflict(message).with_source(e).with_hint("run the transaction again")
        }
        _ => e,
    }
}

/// Of a statement in a block that has failed.
pub(super) fn aborted() -> Error {
    let message = "current transaction is aborted, commands ignored until end of transaction block";
    Error::invalid(SqlState::FAILED_TRANSACTION, message).with_hint("ROLLBACK, and run the transaction again")
}

/// A statement of a block that has not ended.
pub(super) struct Halfway<'b> {
    block: &'b Block,
    ended: bool,
}

impl Halfway<'_> {
    /// The statement has ended, with its outcome.
    pub fn end<T>(mut self, outcome: Result<T>) -> Result<T> {
        self.ended = outcome.is_ok();
        outcome
    }
}

impl Drop for Halfway<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.block.fail();
        }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("failed", &self.has_failed()).finish_non_exhaustive()
    }
}
