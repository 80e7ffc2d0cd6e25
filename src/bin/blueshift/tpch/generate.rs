//! The generated rows of a table, in parts that can be made at the same time.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use blueshift::common::Error;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::StreamExt;
use indicatif::ProgressBar;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

use crate::failure::Failure;

/// Rows of a batch: DataFusion's own size.
const BATCH_ROWS: usize = 8192;

/// One of the equal parts of a table at a scale.
#[derive(Debug, Clone)]
pub struct Part {
    table: &'static str,
    scale: f64,
    number: i32,
    of: i32,
    bar: ProgressBar,
    schema: SchemaRef,
}

/// The parts of a table. `bar` counts rows while they are read.
pub fn parts(table: &'static str, scale: f64, threads: usize, bar: &ProgressBar) -> Vec<Part> {
    let of = match table {
        // As many rows at any scale.
        "nation" | "region" => 1,
        _ if scale < 0.01 => 1,
        // Of unequal work, hence more than there are threads.
        _ => (threads * 4) as i32,
    };
    let schema = reader(table, scale, 1, of).schema();
    let part = |number| Part { table, scale, number, of, bar: bar.clone(), schema: Arc::clone(&schema) };
    (1..=of).map(part).collect()
}

/// The rows of one of `of` equal parts of a table; a `part` beyond them has the rows that would come behind the last.
pub fn part_rows(table: &str, scale: f64, part: i32, of: i32) -> Result<Vec<RecordBatch>, Failure> {
    Ok(reader(table, scale, part, of).collect::<Result<_, _>>().map_err(Error::from)?)
}

/// Rows that a table has. Of line items about as many: their number is known only when they have been made.
pub fn rows(table: &str, scale: f64) -> u64 {
    let rows = match table {
        "region" => 5,
        "nation" => 25,
        "supplier" => SupplierGenerator::calculate_row_count(scale, 1, 1),
        "customer" => CustomerGenerator::calculate_row_count(scale, 1, 1),
        "part" => PartGenerator::calculate_row_count(scale, 1, 1),
        "partsupp" => 4 * PartGenerator::calculate_row_count(scale, 1, 1),
        "orders" => OrderGenerator::calculate_row_count(scale, 1, 1),
        _ => 4 * OrderGenerator::calculate_row_count(scale, 1, 1),
    };
    rows as u64
}

fn reader(table: &str, scale: f64, part: i32, of: i32) -> Box<dyn RecordBatchReader + Send> {
    macro_rules! reader {
        ($generator:ident, $arrow:ident) => {
            Box::new($arrow::new($generator::new(scale, part, of)).with_batch_size(BATCH_ROWS))
        };
    }
    match table {
        "region" => reader!(RegionGenerator, RegionArrow),
        "nation" => reader!(NationGenerator, NationArrow),
        "supplier" => reader!(SupplierGenerator, SupplierArrow),
        "customer" => reader!(CustomerGenerator, CustomerArrow),
        "part" => reader!(PartGenerator, PartArrow),
        "partsupp" => reader!(PartSuppGenerator, PartSuppArrow),
        "orders" => reader!(OrderGenerator, OrderArrow),
        _ => reader!(LineItemGenerator, LineItemArrow),
    }
}

impl Part {
    pub fn stream(&self) -> SendableRecordBatchStream {
        let bar = self.bar.clone();
        let batches = reader(self.table, self.scale, self.number, self.of);
        let batches = futures::stream::iter(batches).map(move |batch| {
            let batch = batch.map_err(DataFusionError::from)?;
            bar.inc(batch.num_rows() as u64);
            Ok(batch)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        self.stream()
    }
}
