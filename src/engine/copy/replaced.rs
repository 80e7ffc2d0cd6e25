//! ACCEPTINVCHARS of Parquet: text that is not valid UTF-8 is read as the bytes that it is, and made text.
//!
//! The reader checks what the file's schema calls text. It is given the schema without that word for the columns that bytes are
//! replaced of.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{DefaultParquetFileReaderFactory, ParquetFileReaderFactory};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use datafusion::parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use datafusion::parquet::basic::Type as PhysicalType;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::{FileMetaData, ParquetMetaData};
use datafusion::parquet::schema::types::{SchemaDescriptor, Type, TypePtr};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore};

use super::refused::{Refused as RefusedRows, Replaced, raw};

/// Some row groups of files of one schema.
#[derive(Debug, Clone)]
pub struct RowGroups {
    pub store: Arc<dyn ObjectStore>,
    /// With the names that messages have for them.
    pub files: Vec<(Arc<str>, ObjectMeta)>,
    /// Of what is read.
    pub schema: SchemaRef,
    /// The columns that may have other bytes than text has, and those of the table that they fill.
    pub columns: Vec<(usize, String)>,
    /// What takes the place of a byte that belongs to no character.
    pub by: u8,
    /// Which row groups of a file are read, counted on from file to file: those that leave the first number when divided by the
    /// second.
    pub share: (usize, usize),
    pub refused: Arc<RefusedRows>,
}

/// A field as text, each byte that belongs to no character replaced, so that its length stays.
pub fn replaced(field: &[u8], by: u8) -> String {
    let mut text = String::with_capacity(field.len());
    for chunk in field.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::from(by)));
    }
    text
}

/// Whether a column of a file is text whose bytes can be read as they are.
pub fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

impl PartitionStream for RowGroups {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let this = Arc::new(self.clone());
        let files = stream::iter(self.files.clone()).enumerate();
        let batches = files.then(move |(at, (name, meta))| Arc::clone(&this).open(at, name, meta)).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

impl RowGroups {
    async fn open(
        self: Arc<Self>,
        file: usize,
        name: Arc<str>,
        meta: ObjectMeta,
    ) -> Result<impl Stream<Item = Result<RecordBatch, DataFusionError>>, DataFusionError> {
        let whole = self.reader(&meta)?.get_metadata(None).await?;
        let columns: Vec<usize> = self.columns.iter().map(|(at, _)| *at).collect();
        let metadata = Arc::new(as_bytes(&whole, &columns)?);
        let metadata = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new())?;
        let mut first_row = 0;
        let mut groups = Vec::new();
        for (at, group) in metadata.metadata().row_groups().iter().enumerate() {
            // Files of one row group each are shared, too.
            if (file + at) % self.share.1 == self.share.0 {
                groups.push((at, first_row));
            }
            first_row += group.num_rows() as u64;
        }
        let batches = stream::iter(groups).map(move |(at, first_row)| {
            let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(self.reader(&meta)?, metadata.clone());
            let batches = builder.with_row_groups(vec![at]).build()?;
            let (this, name, mut row) = (Arc::clone(&self), Arc::clone(&name), first_row);
            Ok::<_, DataFusionError>(batches.map(move |batch| {
                let batch = this.as_text(&batch?, &name, row)?;
                row += batch.num_rows() as u64;
                Ok(batch)
            }))
        });
        Ok(batches.try_flatten())
    }

    fn reader(&self, meta: &ObjectMeta) -> Result<Box<dyn AsyncFileReader>, DataFusionError> {
        let (file, metrics) = (PartitionedFile::new_from_meta(meta.clone()), ExecutionPlanMetricsSet::new());
        let readers = DefaultParquetFileReaderFactory::new(Arc::clone(&self.store));
        Ok(readers.create_reader(self.share.0, file, None, &metrics)?)
    }

    /// A batch whose first row is the file's row of that number, from 0.
    fn as_text(&self, batch: &RecordBatch, file: &Arc<str>, first_row: u64) -> Result<RecordBatch, DataFusionError> {
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (at, (column, field)) in batch.columns().iter().zip(self.schema.fields()).enumerate() {
            let column = match self.columns.iter().find(|(replaced, _)| *replaced == at) {
                Some((_, name)) => self.column_as_text(column, name, file, first_row),
                None => Arc::clone(column),
            };
            columns.push(cast(&column, field.data_type())?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn column_as_text(&self, column: &ArrayRef, name: &str, file: &Arc<str>, first_row: u64) -> ArrayRef {
        let mut builder = StringViewBuilder::with_capacity(column.len());
        for (row, bytes) in column.as_binary::<i32>().iter().enumerate() {
            match bytes.map(|bytes| (bytes, str::from_utf8(bytes))) {
                None => builder.append_null(),
                Some((_, Ok(text))) => builder.append_value(text),
                Some((bytes, Err(_))) => {
                    builder.append_value(replaced(bytes, self.by));
                    self.refused.replaced(|| Replaced {
                        file: Arc::clone(file),
                        line: first_row + row as u64 + 1,
                        column: name.to_string(),
                        raw_line: raw(bytes),
                    });
                }
            }
        }
        Arc::new(builder.finish())
    }
}

/// What the file says of itself, but that these columns are of bytes.
fn as_bytes(metadata: &ParquetMetaData, columns: &[usize]) -> Result<ParquetMetaData, ParquetError> {
    let file = metadata.file_metadata();
    let root = file.schema_descr().root_schema();
    let field = |(at, field): (usize, &TypePtr)| match columns.contains(&at) {
        true => bytes_column(field).map(Arc::new),
        false => Ok(Arc::clone(field)),
    };
    let fields = root.get_fields().iter().enumerate().map(field).collect::<Result<_, ParquetError>>()?;
    let root = Type::group_type_builder(root.name()).with_fields(fields).build()?;
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_string),
        // Here the writer's types would be, text among them.
        None,
        Arc::new(SchemaDescriptor::new(Arc::new(root))),
        file.column_orders().cloned(),
    );
    Ok(ParquetMetaData::new(file, metadata.row_groups().to_vec()))
}

fn bytes_column(field: &Type) -> Result<Type, ParquetError> {
    Type::primitive_type_builder(field.name(), PhysicalType::BYTE_ARRAY)
        .with_repetition(field.get_basic_info().repetition())
        .build()
}
