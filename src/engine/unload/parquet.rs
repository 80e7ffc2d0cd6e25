//! Rows as Parquet files: version 1, SNAPPY (Redshift manual, "UNLOAD").

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::{WriterProperties, WriterVersion};
use parking_lot::Mutex;

use crate::common::{Error, Result};

/// One file.
pub struct ParquetFile {
    writer: ArrowWriter<Out>,
    out: Out,
}

/// What the writer has written and nobody has taken.
#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ParquetFile {
    pub fn new(schema: &SchemaRef, row_group_bytes: u64) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(None)
            .set_max_row_group_bytes(Some(row_group_bytes as usize))
            .set_created_by(format!("Blueshift version {}", env!("CARGO_PKG_VERSION")))
            .build();
        let out = Out::default();
        let writer = ArrowWriter::try_new(out.clone(), Arc::clone(schema), Some(properties)).map_err(failed)?;
        Ok(ParquetFile { writer, out })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(failed)
    }

    /// About the bytes of the file if it ended here, its footer aside.
    pub fn size(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Bytes of memory of the row group under way.
    pub fn memory(&self) -> usize {
        self.writer.memory_size()
    }

    /// Ends the row group under way.
    pub fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(failed)
    }

    /// What was written since the last time.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.out.0.lock())
    }

    /// The rest of the file.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.writer.close().map_err(failed)?;
        Ok(std::mem::take(&mut *self.out.0.lock()))
    }
}

fn failed(e: ParquetError) -> Error {
    match e {
        ParquetError::NYI(message) => {
            Error::unsupported(message).with_hint("cast the column to another type in the query")
        }
        other => Error::internal(format!("a Parquet file cannot be written: {other}")).with_source(other),
    }
}
