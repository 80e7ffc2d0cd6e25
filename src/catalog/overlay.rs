//! A transaction's own writes over the version that it reads.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::apply::{apply_any, begin};
use super::entry::{Action, Blobs, Entry, TransactionRecord};
use super::lease::PinnedSnapshot;
use super::model::{ObjectId, Snapshot};
use super::resolve::{Own, resolve_statement};
use super::transaction::{Committed, Held, Transaction};
use crate::common::{CommitId, Error, Result, UserId, Version};

/// What a transaction has written so far, as its own statements see it.
///
/// Guarantees:
/// 1. the snapshot is the base with all of the transaction's wishes granted, as if it committed at once with nobody
///    in between; it carries the version after the base, which it never becomes;
/// 2. nobody else sees any of it, and nothing of it lasts unless the transaction commits, which resolves its wishes
///    anew. What it makes has numbers from [`PROVISIONAL`](super::apply::PROVISIONAL) on, which its later wishes may
///    use: the commit knows what they stand for;
/// 3. what is encoded here and decoded over the same base, in another process too, is the same snapshot.
///
/// Its objects are kept by the transaction's pin and by their names, not by this; what stands in no object yet it keeps.
#[derive(Debug, Clone)]
pub struct Overlay {
    base: Version,
    entry: Entry,
    /// All of the transaction; this is what its first `written` actions made.
    actions: Arc<Mutex<Vec<Action>>>,
    written: usize,
    snapshot: Arc<Snapshot>,
    held: Arc<Held>,
}

impl Overlay {
    /// The writes of `transaction` over `base`, the snapshot that it reads.
    ///
    /// Errors: as [`super::Catalog::commit`], for wishes that `base` does not grant.
    pub fn of(transaction: &Transaction, base: &Snapshot) -> Result<Self> {
        let nothing = Overlay::nothing(transaction, base)?;
        nothing.with(transaction, &mut Own::default()).map(|(overlay, _)| overlay)
    }

    fn nothing(transaction: &Transaction, base: &Snapshot) -> Result<Self> {
        if transaction.base() != base.version {
            return Err(Error::internal(format!(
                "a transaction on version {} cannot be laid over version {}",
                transaction.base(),
                base.version
            )));
        }
        let (version, id) = (base.version.next(), transaction.id());
        let mut snapshot = base.clone();
        begin(&mut snapshot, version, id, base.time_us);
        let entry = Entry { version, id, previous: base.entry, time_us: base.time_us, transactions: Vec::new() };
        Ok(Overlay {
            base: base.version,
            entry,
            actions: Arc::default(),
            written: 0,
            snapshot: Arc::new(snapshot),
            held: Arc::clone(&transaction.held),
        })
    }

    /// With one more statement of the transaction, which has made what `own` tells.
    fn with(&self, statement: &Transaction, own: &mut Own) -> Result<(Self, Committed)> {
        let mut snapshot = Snapshot::clone(&self.snapshot);
        let resolved = resolve_statement(statement, &mut snapshot, own)?;
        let mut actions = self.actions.lock();
        if actions.len() != self.written {
            return Err(Error::internal("a transaction goes on from where it was before"));
        }
        actions.extend(resolved.record.actions);
        let snapshot = Arc::new(snapshot);
        let overlay = Overlay {
            entry: self.entry.clone(),
            actions: Arc::clone(&self.actions),
            written: actions.len(),
            snapshot: Arc::clone(&snapshot),
            held: Arc::clone(&self.held),
            ..*self
        };
        let made = Committed {
            version: snapshot.version,
            time_us: snapshot.time_us,
            snapshot,
            tables: resolved.tables,
            schemas: resolved.schemas,
            segments: resolved.segments,
            demoted: resolved.demoted,
            identities: resolved.identities,
        };
        Ok((overlay, made))
    }

    /// The version that the transaction reads.
    pub fn base(&self) -> Version {
        self.base
    }

    /// The base with the writes.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Bytes that the transaction has written and that stand in no object yet.
    pub fn held(&self, object: &ObjectId) -> Option<Bytes> {
        self.held.get(object)
    }

    /// For another process that has the base: the log entry that the transaction would be.
    ///
    /// Unsupported when a part of it stands in no object yet.
    pub fn encoded(&self) -> Result<Bytes> {
        if !self.held.is_empty() {
            let error = Error::unsupported("rows that a transaction has not stored yet cannot travel");
            return Err(error.with_hint("commit the transaction, or run the query where it was begun"));
        }
        let actions = self.actions.lock()[..self.written].to_vec();
        // Who wrote it, and what it read, is nothing to whoever reads what it wrote.
        let (commit, author) = (CommitId(0), UserId(0));
        let record = TransactionRecord { commit, start: self.base, author, actions };
        Entry { transactions: vec![record], ..self.entry.clone() }.encode(&Blobs::default())
    }

    /// From what [`Overlay::encoded`] gave.
    ///
    /// Errors: Corrupt when the bytes are damaged or were made over another version.
    pub fn decode(encoded: Bytes, base: &Snapshot) -> Result<Self> {
        let mut entry = Entry::decode(base.version.next(), &encoded)?;
        if entry.previous != base.entry {
            return Err(Error::corrupt(0, format!("writes over another version {}", base.version)));
        }
        let snapshot = Arc::new(apply_any(base, &entry)?);
        let actions: Vec<Action> = entry.transactions.drain(..).flat_map(|t| t.actions).collect();
        let written = actions.len();
        let actions = Arc::new(Mutex::new(actions));
        Ok(Overlay { base: base.version, entry, actions, written, snapshot, held: Arc::default() })
    }
}

/// A transaction of several statements, each of which sees what those before it wrote.
#[derive(Debug)]
pub struct OpenTransaction {
    transaction: Transaction,
    overlay: Arc<Overlay>,
    own: Own,
    base: PinnedSnapshot,
}

impl OpenTransaction {
    /// Of a transaction that was begun by a catalog and has no wishes yet.
    pub fn new(transaction: Transaction) -> Result<Self> {
        let unpinned = || Error::internal("a transaction of several statements reads a pinned version");
        let base = transaction.pin().ok_or_else(unpinned)?.clone();
        let overlay = Arc::new(Overlay::nothing(&transaction, &base)?);
        Ok(OpenTransaction { transaction, overlay, own: Own::default(), base })
    }

    /// Whether it has no wishes.
    pub fn is_empty(&self) -> bool {
        self.transaction.is_empty()
    }

    /// What its next statement sees.
    pub fn pin(&self) -> PinnedSnapshot {
        match self.transaction.is_empty() {
            true => self.base.clone(),
            false => self.base.overlaid(Arc::clone(&self.overlay)),
        }
    }

    /// Gathers the wishes of its next statement.
    pub fn statement(&self) -> Transaction {
        let mut statement = self.transaction.part();
        statement.pin = Some(self.pin());
        statement
    }

    /// Makes a statement's wishes its own; the next one sees them granted. Tells what a commit would.
    ///
    /// Errors: as a commit's. Then it is to be given up: a statement of which a part took effect is none.
    pub fn add(&mut self, statement: Transaction) -> Result<Committed> {
        let (overlay, made) = self.overlay.with(&statement, &mut self.own)?;
        self.overlay = Arc::new(overlay);
        self.transaction.absorb(statement);
        Ok(made)
    }

    /// All of it, to be committed.
    pub fn into_transaction(self) -> Transaction {
        self.transaction
    }
}
