//! What a statement gives back.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{Stream, StreamExt, stream};

use super::error::from_datafusion;
use super::query_log::Logged;
use crate::common::Result;
use crate::system::UnloadRecord;

/// A statement's result: what it did, what it has to say, and its rows, which a query computes while they are read.
pub struct Output {
    /// As PostgreSQL's command tag: `SELECT`, `INSERT 0 5`, `CREATE TABLE`.
    pub tag: String,
    /// Rows that the statement changed; `None` for a query.
    pub changed: Option<u64>,
    pub notices: Vec<String>,
    schema: SchemaRef,
    stream: Option<SendableRecordBatchStream>,
    plan: Option<Arc<dyn ExecutionPlan>>,
    /// What gave the rows of a statement that returns none.
    ran: Option<Arc<dyn ExecutionPlan>>,
    /// The files that the statement has written.
    unloads: Vec<UnloadRecord>,
    /// Logs the statement when it is read, or given up.
    logged: Option<Logged>,
}

impl Output {
    /// Of a statement that returns no rows.
    pub fn done(tag: impl Into<String>, changed: Option<u64>) -> Self {
        Output {
            tag: tag.into(),
            changed,
            notices: Vec::new(),
            schema: Arc::new(Schema::empty()),
            stream: None,
            plan: None,
            ran: None,
            unloads: Vec::new(),
            logged: None,
        }
    }

    /// Of a statement that returns rows.
    pub fn rows(tag: impl Into<String>, stream: SendableRecordBatchStream) -> Self {
        Output {
            tag: tag.into(),
            changed: None,
            notices: Vec::new(),
            schema: stream.schema(),
            stream: Some(stream),
            plan: None,
            ran: None,
            unloads: Vec::new(),
            logged: None,
        }
    }

    /// Of a statement whose rows are known.
    pub(super) fn batch(tag: impl Into<String>, batch: RecordBatch) -> Self {
        let schema = batch.schema();
        let rows = RecordBatchStreamAdapter::new(schema, stream::iter([Ok(batch)]));
        Output::rows(tag, Box::pin(rows))
    }

    /// One value in one column.
    pub(super) fn text(tag: &str, column: &str, value: &str) -> Self {
        let field = Field::new(column, DataType::Utf8, false);
        let schema = Arc::new(Schema::new(vec![field]));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(StringArray::from(vec![value]))]);
        let rows = stream::iter([rows.map_err(DataFusionError::from)]);
        Output::rows(tag, Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    pub fn with_notices(mut self, notices: Vec<String>) -> Self {
        self.notices = notices;
        self
    }

    /// Names the plan that computes the rows.
    pub(super) fn with_plan(mut self, plan: Arc<dyn ExecutionPlan>) -> Self {
        self.plan = Some(plan);
        self
    }

    /// Names the plan that has given the rows of a statement which returns none.
    pub(super) fn having_run(mut self, plan: Option<Arc<dyn ExecutionPlan>>) -> Self {
        self.ran = plan;
        self
    }

    /// Names the files that the statement has written.
    pub(super) fn with_unloads(mut self, unloads: Vec<UnloadRecord>) -> Self {
        self.unloads = unloads;
        self
    }

    /// What gave the rows of a statement that returns none.
    pub(super) fn ran(&self) -> Option<&Arc<dyn ExecutionPlan>> {
        self.ran.as_ref()
    }

    /// Logs the statement once its rows have been read; at once where there are none.
    pub(super) fn with_log(mut self, logged: Logged) -> Self {
        let mut logged = logged.with_plan(self.plan.clone().or(self.ran.take()));
        logged = logged.with_unloads(std::mem::take(&mut self.unloads));
        if self.stream.is_none() {
            logged.end();
        } else {
            self.logged = Some(logged);
        }
        self
    }

    /// The plan that computes a query's rows; its metrics are complete when the rows have been read.
    ///
    /// Reading this output executes it. Executed again it reads the same version of each table, and its counters go on;
    /// files that DataFusion reads itself give their rows only once, unless
    /// [`reset_plan_states`](datafusion::physical_plan::execution_plan::reset_plan_states) comes in between.
    pub fn plan(&self) -> Option<&Arc<dyn ExecutionPlan>> {
        self.plan.as_ref()
    }

    /// Whether there are columns, be it without rows.
    pub fn has_rows(&self) -> bool {
        self.stream.is_some()
    }

    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Reads all rows.
    pub async fn collect(self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        let mut rows = self;
        while let Some(batch) = rows.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }
}

/// The rows, a batch at a time. Dropping it cancels what is left.
impl Stream for Output {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = match &mut self.stream {
            None => Poll::Ready(None),
            Some(stream) => stream
                .poll_next_unpin(cx)
                .map(|batch| batch.map(|b| b.map_err(|e: DataFusionError| from_datafusion(e)))),
        };
        match &polled {
            Poll::Ready(None) => {
                if let Some(mut logged) = self.logged.take() {
                    logged.end();
                }
            }
            Poll::Ready(Some(Err(_))) => drop(self.logged.take()),
            _ => {}
        }
        polled
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("tag", &self.tag).field("changed", &self.changed).finish_non_exhaustive()
    }
}
