//! The operator that hands a plan's rows to a table.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::future::BoxFuture;

use super::passing::one_input;
use crate::catalog::TableDef;

/// Takes the rows of one statement.
pub trait RowSink: fmt::Debug + Send + Sync {
    /// The name of the table, for EXPLAIN.
    fn table(&self) -> String;

    /// The warehouse and the table, as the plan saw it, by which another process finds them; `None` for rows that go
    /// elsewhere.
    fn target(&self) -> Option<(u128, Arc<TableDef>)> {
        None
    }

    /// Takes all rows of all streams and commits them; returns how many there were.
    fn load(&self, streams: Vec<SendableRecordBatchStream>) -> BoxFuture<'_, Result<u64>>;
}

/// Runs all partitions of its input into a [`RowSink`] and returns one row: the count.
#[derive(Debug)]
pub struct LoadExec {
    input: Arc<dyn ExecutionPlan>,
    sink: Arc<dyn RowSink>,
    properties: Arc<PlanProperties>,
}

impl LoadExec {
    pub fn new(input: Arc<dyn ExecutionPlan>, sink: Arc<dyn RowSink>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(count_schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        LoadExec { input, sink, properties: Arc::new(properties) }
    }

    pub fn sink(&self) -> &Arc<dyn RowSink> {
        &self.sink
    }
}

impl DisplayAs for LoadExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "LoadExec: table={}", self.sink.table())
    }
}

impl ExecutionPlan for LoadExec {
    fn name(&self) -> &'static str {
        "LoadExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    one_input!(|this, input| LoadExec::new(input, Arc::clone(&this.sink)));

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return Err(DataFusionError::Internal(format!("LoadExec has no partition {partition}")));
        }
        let partitions = self.input.output_partitioning().partition_count();
        let streams = (0..partitions)
            .map(|p| self.input.execute(p, Arc::clone(&context)))
            .collect::<Result<Vec<SendableRecordBatchStream>>>()?;
        let sink = Arc::clone(&self.sink);
        let stream = futures::stream::once(async move {
            let rows = sink.load(streams).await?;
            let column: ArrayRef = Arc::new(UInt64Array::from(vec![rows]));
            Ok(RecordBatch::try_new(count_schema(), vec![column])?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(count_schema(), stream)))
    }
}

fn count_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("count", DataType::UInt64, false)]))
}
