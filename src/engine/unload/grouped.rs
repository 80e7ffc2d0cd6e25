//! Rows in the order of their partitions, so that one file at a time is open.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;

use crate::common::Result;
use crate::engine::error::from_datafusion;

/// Each partition of `plan` sorted by `columns`. Sorting spills to disk.
pub fn grouped(plan: Arc<dyn ExecutionPlan>, columns: &[usize]) -> Arc<dyn ExecutionPlan> {
    let schema = plan.schema();
    let by = columns.iter().map(|i| PhysicalSortExpr::new_default(Arc::new(Column::new(schema.field(*i).name(), *i))));
    match LexOrdering::new(by) {
        Some(ordering) => Arc::new(SortExec::new(ordering, plan).with_preserve_partitioning(true)),
        None => plan,
    }
}

/// The rows of `plan`, in its order, sorted by `columns` and within them as before: they have their number as another, last
/// column.
pub fn grouped_in_order(plan: Arc<dyn ExecutionPlan>, columns: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
    let mut fields: Vec<Arc<Field>> = plan.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("", DataType::UInt64, false)));
    let schema = Arc::new(Schema::new(fields));
    let mut by = columns.to_vec();
    by.push(schema.fields().len() - 1);
    let rows: Arc<dyn PartitionStream> = Arc::new(Numbered { plan, schema: Arc::clone(&schema) });
    let rows = StreamingTableExec::try_new(schema, vec![rows], None, [], false, None).map_err(from_datafusion)?;
    Ok(grouped(Arc::new(rows), &by))
}

/// A plan's rows, with their numbers.
struct Numbered {
    plan: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
}

impl fmt::Debug for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Numbered")
    }
}

impl PartitionStream for Numbered {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let to = Arc::clone(&self.schema);
        let mut next = 0_u64;
        let number = move |batch: DfResult<RecordBatch>| {
            let batch = batch?;
            let end = next + batch.num_rows() as u64;
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(UInt64Array::from_iter_values(next..end)));
            next = end;
            RecordBatch::try_new(Arc::clone(&to), columns).map_err(DataFusionError::from)
        };
        let schema = Arc::clone(&self.schema);
        match execute_stream(Arc::clone(&self.plan), context) {
            Ok(stream) => Box::pin(RecordBatchStreamAdapter::new(schema, stream.map(number))),
            Err(e) => {
                let failed = futures::stream::once(std::future::ready(Err(e)));
                Box::pin(RecordBatchStreamAdapter::new(schema, failed))
            }
        }
    }
}
