//! Rows that an application brings batch by batch, in one commit.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use tokio::sync::mpsc;

use super::session::Session;
use crate::common::{Error, Result, SqlState};

/// Batches that wait to be taken.
const WAITING: usize = 2;

/// What an append has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub rows: u64,
    /// The table had them already, by an earlier append under the same key: nothing was added now.
    pub repeated: bool,
}

/// Rows on their way into a table, from [`Session::appender`].
///
/// Guarantees: nothing of them is anybody's before [`Appender::finish`] commits them; dropped before that was called, nothing
/// stays; of several with one key, one adds its rows, as long as the table remembers the key. A batch whose `write` was given up
/// may be among them or not.
///
/// In a transaction block the session runs no other statement before this is finished or dropped: that would wait for it.
pub struct Appender<'s> {
    schema: SchemaRef,
    sender: Option<mpsc::Sender<RecordBatch>>,
    load: Pin<Box<dyn Future<Output = Result<Appended>> + Send + 's>>,
    ended: bool,
}

impl Session {
    /// Begins to add rows with the columns of `schema` to a table, by position, as [`Session::load`] does.
    ///
    /// With a `key` the rows are added once: the table remembers the keys of its last appends (see
    /// [`LoadHistory`](crate::catalog::LoadHistory)), and another append under one of them adds nothing. An application that
    /// does not know whether an append has succeeded repeats it under the same key.
    pub fn appender<'s>(&'s self, table: &str, schema: SchemaRef, key: Option<&str>) -> Appender<'s> {
        let (sender, batches) = mpsc::channel(WAITING);
        let (table, key) = (table.to_string(), key.map(str::to_string));
        let rows = stream::unfold(batches, |mut batches: mpsc::Receiver<RecordBatch>| async move {
            let batch = batches.recv().await?;
            Some((Ok(batch), batches))
        });
        let rows: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(schema.clone(), rows));
        let load = Box::pin(async move { self.load_once(&table, vec![rows], key.as_deref()).await });
        Appender { schema, sender: Some(sender), load, ended: false }
    }
}

impl Appender<'_> {
    /// Brings a batch. Waits while earlier ones are being sorted and stored, so that memory stays bounded whatever the
    /// number of batches.
    ///
    /// Errors: Invalid for a batch with other columns; what has ended the load. After an error the appender is of no use.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.schema().fields() != self.schema.fields() {
            let message = "a batch has other columns than its appender";
            return Err(Error::invalid(SqlState::DATATYPE_MISMATCH, message)
                .with_hint("make an appender with the batch's schema"));
        }
        let Some(sender) = self.sender.as_ref().filter(|_| !self.ended) else { return Err(over()) };
        tokio::select! {
            biased;
            outcome = &mut self.load => {
                self.ended = true;
                // It ends before its rows do by an error, or where it has no need of them.
                let done = outcome?;
                if !done.repeated {
                    return Err(over());
                }
                self.discard(done);
                Ok(())
            }
            sent = sender.send(batch) => sent.map_err(|_| Error::internal("a load takes no rows any more")),
        }
    }

    /// Commits the rows.
    ///
    /// Errors: as [`Session::load`]'s; nothing was added then, unless the error's state is 08007: then whether is not known,
    /// and an append under the same key tells. So it is where the call is given up before it ends.
    pub async fn finish(mut self) -> Result<Appended> {
        drop(self.sender.take());
        match self.ended {
            true => Err(over()),
            false => self.load.await,
        }
    }

    /// The rows are there already: what is brought is thrown away.
    fn discard(&mut self, done: Appended) {
        let (sender, mut batches) = mpsc::channel(WAITING);
        self.sender = Some(sender);
        self.ended = false;
        self.load = Box::pin(async move {
            while batches.recv().await.is_some() {}
            Ok(done)
        });
    }
}

impl fmt::Debug for Appender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender").field("schema", &self.schema).field("ended", &self.ended).finish_non_exhaustive()
    }
}

fn over() -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER, "the append has ended").with_hint("make another appender")
}
