//! The files of one stream of rows, one after the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, RecordBatch, StringViewArray};
use arrow::compute::cast;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use super::Job;
use super::file::{Finished, OpenFile};
use super::target::{file_name, folder};
use super::values::texts;
use crate::common::Result;
use crate::engine::error::from_datafusion;
use crate::sql::ast::Existing;

pub struct Writer {
    job: Arc<Job>,
    slice: usize,
    /// Of the present partition; empty without partitions.
    folder: String,
    file: Option<OpenFile>,
    /// The number of the next file of each folder.
    parts: HashMap<String, u32>,
    finished: Vec<Finished>,
}

impl Writer {
    pub fn new(job: &Arc<Job>, slice: usize) -> Self {
        let job = Arc::clone(job);
        Writer { job, slice, folder: String::new(), file: None, parts: HashMap::new(), finished: Vec::new() }
    }

    /// Writes all rows; of a file that was begun nothing is left where that fails.
    pub async fn write(mut self, stream: SendableRecordBatchStream) -> Result<Vec<Finished>> {
        match self.rows(stream).await {
            Ok(()) => {
                self.end_file().await?;
                Ok(self.finished)
            }
            Err(e) => {
                if let Some(file) = self.file.take() {
                    file.abort().await;
                }
                Err(e)
            }
        }
    }

    /// A file without rows.
    pub async fn write_empty(mut self) -> Result<Vec<Finished>> {
        self.begin_file().await?;
        self.end_file().await?;
        Ok(self.finished)
    }

    async fn rows(&mut self, mut stream: SendableRecordBatchStream) -> Result<()> {
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(from_datafusion)?;
            for (start, rows, folder) in self.partitions(&batch)? {
                if folder != self.folder {
                    self.end_file().await?;
                    self.folder = folder;
                }
                let part = self.part(&batch.slice(start, rows))?;
                match &self.job.lines {
                    Some(_) => self.lines(&part).await?,
                    None => self.batches(&part).await?,
                }
                self.job.progress.took(rows as u64);
            }
        }
        Ok(())
    }

    /// The columns of the file.
    fn part(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.job.columns.iter().zip(self.job.schema.fields()).map(|(i, field)| {
            let column = batch.column(*i);
            match column.data_type() == field.data_type() {
                true => Ok(Arc::clone(column)),
                false => cast(column, field.data_type()),
            }
        });
        let columns = columns.collect::<std::result::Result<_, _>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.job.schema), columns)?)
    }

    /// Rows that follow each other and are of one partition, with its folder.
    fn partitions(&self, batch: &RecordBatch) -> Result<Vec<(usize, usize, String)>> {
        if self.job.partition_by.is_empty() {
            return Ok(vec![(0, batch.num_rows(), String::new())]);
        }
        let by = &self.job.partition_by;
        let columns: Vec<StringViewArray> =
            by.iter().map(|(i, _)| texts(batch.column(*i), self.job.zone)).collect::<Result<_>>()?;
        let value =
            |column: &'_ StringViewArray, row: usize| column.is_valid(row).then(|| column.value(row).to_string());
        let same = |a: usize, b: usize| {
            columns.iter().all(|c| c.is_valid(a) == c.is_valid(b) && (c.is_null(a) || c.value(a) == c.value(b)))
        };
        let mut found = Vec::new();
        let mut start = 0;
        for row in 1..=batch.num_rows() {
            if row == batch.num_rows() || !same(start, row) {
                let values: Vec<Option<String>> = columns.iter().map(|column| value(column, start)).collect();
                let named = by.iter().zip(&values).map(|((_, name), value)| (name.as_str(), value.as_deref()));
                found.push((start, row - start, folder(named)));
                start = row;
            }
        }
        Ok(found)
    }

    async fn lines(&mut self, batch: &RecordBatch) -> Result<()> {
        let job = Arc::clone(&self.job);
        let Some(lines) = &job.lines else { return Ok(()) };
        for (piece, _) in pieces(batch) {
            let written = lines.write(&piece)?;
            job.unprotected.fetch_add(written.unprotected, Ordering::Relaxed);
            job.empty.fetch_add(written.empty, Ordering::Relaxed);
            let mut start = 0;
            for end in written.ends {
                let line = &written.bytes[start..end];
                self.room(line.len() as u64).await?.line(line).await?;
                start = end;
            }
        }
        Ok(())
    }

    async fn batches(&mut self, batch: &RecordBatch) -> Result<()> {
        for (piece, bytes) in pieces(batch) {
            self.room(bytes as u64).await?.batch(&piece).await?;
        }
        Ok(())
    }

    /// The file that takes so many bytes more: another one where the present one is full.
    async fn room(&mut self, bytes: u64) -> Result<&mut OpenFile> {
        if self.file.as_mut().is_some_and(|file| file.is_full(bytes)) {
            self.end_file().await?;
        }
        if self.file.is_none() {
            self.begin_file().await?;
        }
        self.file.as_mut().ok_or_else(|| crate::common::Error::internal("a file was begun"))
    }

    async fn begin_file(&mut self) -> Result<()> {
        if self.job.options.existing == Existing::Clean && !self.folder.is_empty() {
            let mut cleaned = self.job.cleaned.lock().await;
            if cleaned.insert(self.folder.clone()) {
                self.job.target.clean(&self.folder).await?;
            }
        }
        let part = self.parts.entry(self.folder.clone()).or_default();
        let name = format!("{}{}", self.folder, file_name(&self.job.options, self.slice, *part));
        *part += 1;
        self.file = Some(OpenFile::begin(&self.job, self.job.target.path(&name)?, self.slice)?);
        Ok(())
    }

    async fn end_file(&mut self) -> Result<()> {
        if let Some(file) = self.file.take() {
            self.finished.push(file.finish().await?);
        }
        Ok(())
    }
}

/// Rows that are encoded at a time: bytes of memory, and how many they are at least and at most.
const PIECE_BYTES: usize = 256 << 10;
const PIECE_ROWS: (usize, usize) = (16, 1024);

/// Parts of a batch that are small against a file, with the bytes that each takes in memory.
fn pieces(batch: &RecordBatch) -> impl Iterator<Item = (RecordBatch, usize)> + '_ {
    let rows = batch.num_rows();
    let bytes = get_record_batch_memory_size(batch).max(1);
    let step = (rows * PIECE_BYTES / bytes).clamp(PIECE_ROWS.0, PIECE_ROWS.1);
    (0..rows).step_by(step).map(move |start| {
        let piece = batch.slice(start, step.min(rows - start));
        let bytes = bytes * piece.num_rows() / rows.max(1);
        (piece, bytes)
    })
}
