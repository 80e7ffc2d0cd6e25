//! What passes from one node to another, counted by the partition that reads it.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan};
use futures::StreamExt;

use super::passing::{one_input, same_rows};

/// Takes counts.
pub(super) trait Counts: fmt::Debug + Send + Sync {
    /// What takes those of the batches of one partition; `None` where they are not asked for.
    fn reader(self: Arc<Self>, partition: usize, config: &ConfigOptions) -> Option<Reader>;
}

pub(super) type Reader = Box<dyn FnMut(&RecordBatch) -> Result<()> + Send>;

/// A node's input, whose batches are counted as they are read. No plan shows it.
#[derive(Debug)]
pub(super) struct Counted {
    input: Arc<dyn ExecutionPlan>,
    counts: Arc<dyn Counts>,
}

impl Counted {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, counts: Arc<dyn Counts>) -> Self {
        Counted { input, counts }
    }
}

/// The bytes of a row's values: what all rows have, and what each has beyond.
pub(super) fn widths(batch: &RecordBatch) -> (usize, Vec<usize>) {
    let (mut fixed, mut varying) = (0, Vec::new());
    for column in batch.columns() {
        if let Some(width) = column.data_type().primitive_width() {
            fixed += width;
            continue;
        }
        if *column.data_type() == DataType::Boolean {
            fixed += 1;
            continue;
        }
        varying.resize(batch.num_rows(), 0);
        for (row, bytes) in varying.iter_mut().enumerate() {
            *bytes += varying_width(column, row);
        }
    }
    (fixed, varying)
}

/// The bytes of all values.
pub(super) fn bytes_of(batch: &RecordBatch) -> usize {
    let views = |views: &[u128]| views.iter().map(|view| u64::from(*view as u32)).sum::<u64>() as usize;
    let of = |column: &ArrayRef| match column.data_type() {
        t if t.primitive_width().is_some() => t.primitive_width().unwrap_or(0) * column.len(),
        DataType::Boolean => column.len(),
        DataType::Utf8View if column.null_count() == 0 => views(column.as_string_view().views()),
        DataType::BinaryView if column.null_count() == 0 => views(column.as_binary_view().views()),
        _ => (0..column.len()).map(|row| varying_width(column, row)).sum(),
    };
    batch.columns().iter().map(of).sum()
}

/// The bytes of a value that is of no fixed width.
fn varying_width(column: &ArrayRef, row: usize) -> usize {
    if column.is_null(row) {
        return 0;
    }
    match column.data_type() {
        DataType::Utf8View => column.as_string_view().views()[row] as u32 as usize,
        DataType::BinaryView => column.as_binary_view().views()[row] as u32 as usize,
        DataType::Utf8 => column.as_string::<i32>().value_length(row) as usize,
        _ => column.slice(row, 1).to_data().get_slice_memory_size().unwrap_or(0),
    }
}

impl DisplayAs for Counted {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Counted")
    }
}

impl ExecutionPlan for Counted {
    fn name(&self) -> &str {
        "Counted"
    }

    one_input!(|this, input| Counted { input, counts: Arc::clone(&this.counts) });

    same_rows!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let count = Arc::clone(&self.counts).reader(partition, context.session_config().options());
        let stream = self.input.execute(partition, context)?;
        let Some(mut count) = count else { return Ok(stream) };
        let schema = stream.schema();
        let counted = stream.map(move |batch| {
            let batch = batch?;
            count(&batch)?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, counted)))
    }
}
