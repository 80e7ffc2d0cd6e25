//! One file under way.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use object_store::path::Path;

use super::Job;
use super::pack::Packer;
use super::parquet::ParquetFile;
use super::upload::Upload;
use crate::common::{Error, Result};
use crate::engine::error::from_datafusion;
use crate::sql::ast::UnloadFormat;

/// Parts of an upload on their way at a time. A file of one part appears at once, a larger one when its upload is complete. S3
/// takes 10,000 parts, which hold more than the largest file.
const PARTS_UNDER_WAY: usize = 2;
/// Bytes that are handed to the upload at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// A finished file.
#[derive(Debug, Clone)]
pub struct Finished {
    pub path: Path,
    pub slice: usize,
    pub rows: u64,
    pub bytes: u64,
    pub start_us: i64,
    pub end_us: i64,
}

pub struct OpenFile {
    job: Arc<Job>,
    path: Path,
    slice: usize,
    content: Content,
    upload: Upload,
    /// Bytes that the upload has got.
    sent: u64,
    /// Bytes before compression.
    given: u64,
    pub rows: u64,
    start_us: i64,
    memory: MemoryReservation,
}

enum Content {
    Lines(Box<Packer>),
    Parquet(Box<ParquetFile>),
}

impl OpenFile {
    /// A file of no rows, with its header.
    pub fn begin(job: &Arc<Job>, path: Path, slice: usize) -> Result<Self> {
        let content = match job.options.format {
            UnloadFormat::Parquet { row_group_bytes } => {
                Content::Parquet(Box::new(ParquetFile::new(&job.schema, row_group_bytes)?))
            }
            _ => Content::Lines(Box::new(Packer::new(job.options.compression).map_err(packing)?)),
        };
        let upload = Upload::new(Arc::clone(&job.target.store), path.clone(), job.part_bytes, PARTS_UNDER_WAY);
        let memory = MemoryConsumer::new("unload").register(&job.pool);
        let start_us = job.clock.now_us();
        let job = Arc::clone(job);
        job.progress.begin_file(&job.target.url(&path));
        let mut file = OpenFile { job, path, slice, content, upload, sent: 0, given: 0, rows: 0, start_us, memory };
        if let (true, Some(lines)) = (file.job.options.header, &file.job.lines) {
            let header = lines.header();
            file.pack(&header)?;
        }
        Ok(file)
    }

    /// Whether a row more, of at most so many bytes, may make the file larger than it is to be.
    pub fn is_full(&mut self, bytes: u64) -> bool {
        let max = self.job.options.max_file_bytes;
        let size = match &mut self.content {
            Content::Lines(packer) => {
                let at_most = packer.at_most(self.given + bytes);
                let plain = if matches!(**packer, Packer::Plain(_)) { bytes } else { 0 };
                self.sent + packer.out().len() as u64 + plain + at_most
            }
            // What the footer takes is not known before.
            Content::Parquet(file) => file.size() + bytes + (max / 32).min(1 << 20),
        };
        self.rows > 0 && size > max
    }

    /// Adds a row as its line.
    pub async fn line(&mut self, line: &[u8]) -> Result<()> {
        self.pack(line)?;
        self.rows += 1;
        self.send(CHUNK_BYTES).await
    }

    /// Adds rows to a Parquet file.
    pub async fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        let Content::Parquet(file) = &mut self.content else { return Err(Error::internal("lines are no batches")) };
        file.write(batch)?;
        self.rows += batch.num_rows() as u64;
        self.reserve()?;
        self.send(CHUNK_BYTES).await
    }

    /// Takes memory for what is encoded and not handed over, and for the parts of the upload.
    fn reserve(&mut self) -> Result<()> {
        let parts = self.upload.memory(self.sent);
        if let Content::Parquet(file) = &mut self.content {
            if self.memory.try_resize(file.memory() + parts).is_ok() {
                return Ok(());
            }
            // Where memory is short, row groups are smaller.
            file.flush()?;
        }
        self.memory.try_resize(parts).map_err(from_datafusion)
    }

    fn pack(&mut self, bytes: &[u8]) -> Result<()> {
        let Content::Lines(packer) = &mut self.content else { return Err(Error::internal("batches are no lines")) };
        self.given += bytes.len() as u64;
        packer.write(bytes).map_err(packing)
    }

    /// Hands over what has come out, if that is so many bytes at least.
    async fn send(&mut self, least: usize) -> Result<()> {
        let bytes = match &mut self.content {
            Content::Lines(packer) => {
                if packer.out().len() < least {
                    return Ok(());
                }
                std::mem::take(packer.out())
            }
            Content::Parquet(file) => file.take(),
        };
        self.put(bytes).await
    }

    async fn put(&mut self, bytes: Vec<u8>) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.sent += bytes.len() as u64;
        self.reserve()?;
        let put = self.upload.put(&bytes).await;
        self.job.progress.moved(bytes.len() as u64);
        put.map_err(|e| self.job.target.failed("write", self.path.as_ref(), e))
    }

    /// Makes the file appear. What fails here may have happened: the path is among those to delete.
    pub async fn finish(mut self) -> Result<Finished> {
        let content = std::mem::replace(&mut self.content, Content::Lines(Box::new(Packer::Plain(Vec::new()))));
        let rest = match content {
            Content::Lines(packer) => packer.finish().map_err(packing),
            Content::Parquet(file) => file.finish(),
        };
        let put = match rest {
            Ok(rest) => self.put(rest).await,
            Err(e) => Err(e),
        };
        if let Err(e) = put {
            self.abort().await;
            return Err(e);
        }
        self.job.made.lock().push(self.path.clone());
        if let Err(e) = self.upload.finish().await {
            let error = self.job.target.failed("write", self.path.as_ref(), e);
            self.abort().await;
            return Err(error);
        }
        let end_us = self.job.clock.now_us();
        self.job.progress.end_files(1);
        let OpenFile { path, slice, rows, sent: bytes, start_us, .. } = self;
        Ok(Finished { path, slice, rows, bytes, start_us, end_us })
    }

    /// Gives the file up: it does not appear.
    pub async fn abort(self) {
        let url = self.job.target.url(&self.path);
        if let Err(e) = self.upload.abort().await {
            tracing::warn!("an upload of {url} is left unfinished: {e}");
            self.job.unfinished.lock().push(url);
        }
    }
}

fn packing(e: std::io::Error) -> Error {
    Error::internal(format!("compression failed: {e}")).with_source(e)
}
