//! The state of one statement: who runs it, what it may use, and how it is stopped.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::task::AtomicWaker;
use futures::{Stream, StreamExt};
use object_store::ObjectStore;
use parking_lot::Mutex;
use url::{Position, Url};

use super::block::Block;
use super::error::from_datafusion;
use super::namespace::Reads;
use super::warehouse::Warehouse;
use crate::catalog::{AllRows, Committed, PinnedSnapshot, Read, Snapshot, TableDef, Transaction};
use crate::common::{Error, ErrorKind, Result, SqlState, UserId};

/// One statement being executed.
#[derive(Debug, Clone)]
pub struct StatementState {
    /// Never given twice by a process.
    pub query: u64,
    /// The session's number within the process.
    pub process: u32,
    pub user: UserId,
    pub cancel: CancelToken,
    pub memory: Arc<ChildPool>,
    /// The warehouse's, with the statement's share of its memory.
    pub runtime: Arc<RuntimeEnv>,
    /// The transaction block that it is part of; without one it is a transaction of its own.
    pub block: Option<Arc<Block>>,
    /// What it, or its block, has read, if that is to be serializable.
    pub reads: Option<Arc<Reads>>,
}

impl StatementState {
    pub fn new(query: u64, process: u32, user: UserId, runtime: &RuntimeEnv) -> Result<Self> {
        let memory = Arc::new(ChildPool::new(Arc::clone(&runtime.memory_pool)));
        let runtime = RuntimeEnvBuilder::from_runtime_env(runtime)
            .with_memory_pool(Arc::clone(&memory) as _)
            .with_object_store_registry(Arc::new(StatementStores::over(Arc::clone(&runtime.object_store_registry))))
            .build_arc()
            .map_err(from_datafusion)?;
        Ok(StatementState {
            query,
            process,
            user,
            cancel: CancelToken::default(),
            memory,
            runtime,
            block: None,
            reads: None,
        })
    }

    /// Begins to gather what the statement changes in `warehouse`, and tells what it sees: the newest version known, which
    /// may follow the one that it reads, or what its block sees.
    pub fn transaction(&self, warehouse: &Warehouse) -> Result<(Transaction, Arc<Snapshot>)> {
        let transaction = match &self.block {
            Some(block) => block.statement(warehouse)?,
            None => warehouse.inner.catalog.begin(self.user),
        };
        let pinned = transaction.snapshot().cloned();
        Ok((transaction, pinned.ok_or_else(|| Error::internal("a transaction begun by a catalog has a snapshot"))?))
    }

    /// Commits what it changes, or leaves that to its block.
    pub async fn commit(&self, warehouse: &Warehouse, transaction: Transaction) -> Result<Committed> {
        match &self.block {
            Some(block) => block.add(warehouse, transaction),
            None => warehouse.inner.catalog.commit(self.with_reads(warehouse, transaction)?).await,
        }
    }

    /// A transaction of the statement alone, which conflicts with whoever changes what it has read, if it is to be
    /// serializable.
    pub fn with_reads(&self, warehouse: &Warehouse, mut transaction: Transaction) -> Result<Transaction> {
        self.reads.iter().try_for_each(|reads| reads.require(warehouse, &mut transaction))?;
        Ok(transaction)
    }

    /// Notes that all rows of a table were read, which no scan tells.
    pub fn note_all(&self, warehouse: &Warehouse, pin: &PinnedSnapshot, table: &TableDef) {
        if let Some(reads) = &self.reads {
            let (base, name) = (Arc::clone(pin.base()), table.name.clone());
            reads.note(warehouse, Read { base, table: table.id, name, rows: Arc::new(AllRows) });
        }
    }

    /// The statement's rows, which end with an error once it is cancelled.
    pub fn govern(&self, stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
        Box::pin(Governed { schema: stream.schema(), stream: Some(stream), statement: self.clone(), rows: 0 })
    }
}

/// The error that a cancelled statement ends with.
pub(super) fn cancelled() -> Error {
    Error::new(ErrorKind::Unavailable, "the statement was cancelled").with_state(SqlState::QUERY_CANCELED)
}

/// Asks a statement to stop.
#[derive(Clone, Default)]
pub struct CancelToken {
    inner: Arc<CancelInner>,
}

#[derive(Default)]
struct CancelInner {
    cancelled: AtomicBool,
    waker: AtomicWaker,
}

impl CancelToken {
    pub fn cancel(&self) {
        self.inner.cancelled.store(true, Ordering::Release);
        self.inner.waker.wake();
    }

    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::Acquire)
    }

    /// Whether the statement is over and nobody is left to stop.
    pub(super) fn is_last(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancelToken").field(&self.is_cancelled()).finish()
    }
}

/// One statement's part of a memory pool: all of it is the parent's, counted here.
#[derive(Debug)]
pub struct ChildPool {
    parent: Arc<dyn MemoryPool>,
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl ChildPool {
    fn new(parent: Arc<dyn MemoryPool>) -> Self {
        ChildPool { parent, used: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// The most bytes that the statement has held at a time.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    fn grown(&self, additional: usize) {
        let used = self.used.fetch_add(additional, Ordering::Relaxed) + additional;
        self.peak.fetch_max(used, Ordering::Relaxed);
    }
}

impl MemoryPool for ChildPool {
    fn name(&self) -> &str {
        "statement"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.parent.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.parent.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.parent.grow(reservation, additional);
        self.grown(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.parent.shrink(reservation, shrink);
        self.used.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> DfResult<()> {
        self.parent.try_grow(reservation, additional)?;
        self.grown(additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.parent.memory_limit()
    }
}

impl fmt::Display for ChildPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement({} bytes of {})", self.reserved(), self.parent)
    }
}

/// The stores that one statement opens, with credentials of its own, before those that all sessions share. They are
/// gone with the statement.
#[derive(Debug)]
struct StatementStores {
    shared: Arc<dyn ObjectStoreRegistry>,
    own: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl StatementStores {
    fn over(shared: Arc<dyn ObjectStoreRegistry>) -> Self {
        StatementStores { shared, own: Mutex::default() }
    }

    /// Scheme, host and port.
    fn key(url: &Url) -> String {
        url[..Position::BeforePath].to_string()
    }
}

impl ObjectStoreRegistry for StatementStores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.own.lock().insert(Self::key(url), store)
    }

    fn get_store(&self, url: &Url) -> DfResult<Arc<dyn ObjectStore>> {
        let own = self.own.lock().get(&Self::key(url)).cloned();
        own.map_or_else(|| self.shared.get_store(url), Ok)
    }
}

/// The root of a statement's plan: it ends when the statement is cancelled, lets go of what it held, and logs.
struct Governed {
    schema: SchemaRef,
    stream: Option<SendableRecordBatchStream>,
    statement: StatementState,
    rows: usize,
}

impl Stream for Governed {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.statement.cancel.inner.waker.register(cx.waker());
        if self.statement.cancel.is_cancelled() && self.stream.take().is_some() {
            self.statement.block.iter().for_each(|block| block.fail());
            return Poll::Ready(Some(Err(DataFusionError::External(Box::new(cancelled())))));
        }
        let polled = match &mut self.stream {
            Some(stream) => stream.poll_next_unpin(cx),
            None => Poll::Ready(None),
        };
        match (&polled, &self.statement.block) {
            (Poll::Ready(Some(Ok(batch))), _) => self.rows += batch.num_rows(),
            (Poll::Ready(Some(Err(_))), Some(block)) => block.fail(),
            _ => {}
        }
        polled
    }
}

impl Drop for Governed {
    fn drop(&mut self) {
        let StatementState { query, process, user, memory, cancel, .. } = &self.statement;
        tracing::debug!(
            query,
            process,
            user = user.0,
            rows = self.rows,
            peak_bytes = memory.peak(),
            cancelled = cancel.is_cancelled(),
            "rows of a statement were read"
        );
    }
}

impl RecordBatchStream for Governed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::engine::Warehouse;

    #[tokio::test]
    async fn a_cancelled_statement_ends_with_an_error() {
        let session = Warehouse::open("memory://").await.unwrap().session();
        let mut endless = session.sql("select v from generate_series(1, 1000000000000) s(v)").await.unwrap();
        assert!(endless.next().await.unwrap().is_ok());
        session.cancel();
        let error = endless.next().await.unwrap().unwrap_err();
        assert_eq!(error.state(), SqlState::QUERY_CANCELED);
        assert!(endless.next().await.is_none());
        assert_eq!(session.sql("select 1").await.unwrap().collect().await.unwrap()[0].num_rows(), 1);
    }

    #[test]
    fn a_statements_stores_are_its_own() {
        let runtime = RuntimeEnv::default();
        let url = Url::parse("s3://bucket/").unwrap();
        let (one, two) = (open(&runtime), open(&runtime));
        let (first, second): (Arc<dyn ObjectStore>, Arc<dyn ObjectStore>) =
            (Arc::new(InMemory::new()), Arc::new(InMemory::new()));
        one.runtime.register_object_store(&url, Arc::clone(&first));
        two.runtime.register_object_store(&url, Arc::clone(&second));
        let object = Url::parse("s3://bucket/a/b").unwrap();
        let found = |runtime: &RuntimeEnv| runtime.object_store_registry.get_store(&object);
        assert!(Arc::ptr_eq(&found(&one.runtime).unwrap(), &first));
        assert!(Arc::ptr_eq(&found(&two.runtime).unwrap(), &second));
        assert!(found(&runtime).is_err() && found(&open(&runtime).runtime).is_err());
        // What the application registered is everybody's.
        runtime.register_object_store(&url, Arc::clone(&first));
        assert!(Arc::ptr_eq(&found(&open(&runtime).runtime).unwrap(), &first));
        assert!(Arc::ptr_eq(&found(&two.runtime).unwrap(), &second));
    }

    fn open(runtime: &RuntimeEnv) -> StatementState {
        StatementState::new(1, 1, UserId(100), runtime).unwrap()
    }

    #[tokio::test]
    async fn a_statements_memory_is_counted_and_given_back() {
        let runtime = RuntimeEnv::default();
        let statement = StatementState::new(1, 1, UserId(100), &runtime).unwrap();
        let pool = Arc::clone(&statement.runtime.memory_pool);
        let reservation = MemoryConsumer::new("test").register(&pool);
        reservation.try_grow(1000).unwrap();
        assert_eq!(statement.memory.reserved(), 1000);
        assert_eq!(runtime.memory_pool.reserved(), 1000);
        drop(reservation);
        assert_eq!((statement.memory.reserved(), statement.memory.peak()), (0, 1000));
        assert_eq!(runtime.memory_pool.reserved(), 0);
    }
}
