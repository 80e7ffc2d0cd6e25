//! The state of one statement: who runs it, what it may use, and how it is stopped.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::task::AtomicWaker;
use futures::{Stream, StreamExt};

use super::error::from_datafusion;
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
}

impl StatementState {
    pub fn new(query: u64, process: u32, user: UserId, runtime: &RuntimeEnv) -> Result<Self> {
        let memory = Arc::new(ChildPool { parent: Arc::clone(&runtime.memory_pool), used: AtomicUsize::new(0) });
        let runtime = RuntimeEnvBuilder::from_runtime_env(runtime)
            .with_memory_pool(Arc::clone(&memory) as _)
            .build_arc()
            .map_err(from_datafusion)?;
        Ok(StatementState { query, process, user, cancel: CancelToken::default(), memory, runtime })
    }

    /// The statement's rows, which end with an error once it is cancelled.
    pub fn govern(&self, stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
        Box::pin(Governed { schema: stream.schema(), stream: Some(stream), cancel: self.cancel.clone() })
    }
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
        self.used.fetch_add(additional, Ordering::Relaxed);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.parent.shrink(reservation, shrink);
        self.used.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> DfResult<()> {
        self.parent.try_grow(reservation, additional)?;
        self.used.fetch_add(additional, Ordering::Relaxed);
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

/// A stream that ends when its statement is cancelled, and lets go of what it held.
struct Governed {
    schema: SchemaRef,
    stream: Option<SendableRecordBatchStream>,
    cancel: CancelToken,
}

impl Stream for Governed {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.cancel.inner.waker.register(cx.waker());
        if self.cancel.is_cancelled() && self.stream.take().is_some() {
            let error =
                Error::new(ErrorKind::Unavailable, "the statement was cancelled").with_state(SqlState::QUERY_CANCELED);
            return Poll::Ready(Some(Err(DataFusionError::External(Box::new(error)))));
        }
        match &mut self.stream {
            Some(stream) => stream.poll_next_unpin(cx),
            None => Poll::Ready(None),
        }
    }
}

impl RecordBatchStream for Governed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
