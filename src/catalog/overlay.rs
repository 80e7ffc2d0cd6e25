//! A transaction's own writes over the version that it reads.

use std::sync::Arc;

use bytes::Bytes;

use super::apply::{apply, begin};
use super::entry::{Blobs, Entry};
use super::model::Snapshot;
use super::resolve::resolve;
use super::transaction::Transaction;
use crate::common::{Error, Result};

/// What a transaction has written so far, as its own statements see it.
///
/// Guarantees:
/// 1. the snapshot is the base with all of the transaction's wishes granted, as if it committed at once with nobody
///    in between; it carries the version after the base, which it never becomes;
/// 2. nobody else sees any of it, and nothing of it lasts unless the transaction commits, which resolves its wishes
///    anew: ids of tables and segments made here are good only here;
/// 3. what is encoded here and decoded over the same base, in another process too, is the same snapshot.
///
/// Its objects are kept by the transaction's pin and by their names, not by this.
#[derive(Debug, Clone)]
pub struct Overlay {
    encoded: Bytes,
    snapshot: Arc<Snapshot>,
}

impl Overlay {
    /// The writes of `transaction` over `base`, the snapshot that it reads.
    ///
    /// Errors: as [`super::Catalog::commit`], for wishes that `base` does not grant; Internal when the transaction
    /// brings rows inline, which only a log entry can hold: what it reads back must be stored in objects.
    pub fn of(transaction: &Transaction, base: &Snapshot) -> Result<Self> {
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
        let mut blobs = Blobs::default();
        let record = resolve(transaction, &mut snapshot, &mut blobs)?.record;
        if !blobs.is_empty() {
            return Err(Error::internal("rows that stand in no object yet cannot be read back"));
        }
        let entry = Entry { version, id, previous: base.entry, time_us: base.time_us, transactions: vec![record] };
        Ok(Overlay { encoded: entry.encode(&blobs)?, snapshot: Arc::new(snapshot) })
    }

    /// The base with the writes.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// For another process that has the base: the log entry that the transaction would be.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// From what [`Overlay::encoded`] gave.
    ///
    /// Errors: Corrupt when the bytes are damaged or were made over another version.
    pub fn decode(encoded: Bytes, base: &Snapshot) -> Result<Self> {
        let entry = Entry::decode(base.version.next(), &encoded)?;
        let snapshot = Arc::new(apply(base, &entry)?);
        Ok(Overlay { encoded, snapshot })
    }
}
