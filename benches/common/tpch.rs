//! TPC-H's rows, into a session's warehouse.

use blueshift::engine::Session;
use blueshift::engine::tpch::Table;
use datafusion::arrow::array::RecordBatchReader;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use tpchgen::generators::*;
use tpchgen_arrow::*;

/// Creates a table and loads it in one commit, in two streams; returns how many rows it has.
pub async fn load(session: &Session, table: &Table, scale: f64) -> u64 {
    session.sql(&table.create()).await.expect(table.name);
    let streams = (1..=2).filter_map(|part| half(table.name, scale, part)).map(|reader| {
        let schema = reader.schema();
        let batches = futures::stream::iter(reader.map(|batch| batch.map_err(DataFusionError::from)));
        Box::pin(RecordBatchStreamAdapter::new(schema, batches)) as _
    });
    session.load(table.name, streams.collect()).await.expect(table.name)
}

/// The first or the second half of a table; the smallest ones have one.
fn half(table: &str, scale: f64, part: i32) -> Option<Box<dyn RecordBatchReader + Send>> {
    macro_rules! half {
        ($generator:ident, $arrow:ident) => {
            Some(Box::new($arrow::new($generator::new(scale, part, 2))))
        };
    }
    match table {
        "region" if part == 1 => Some(Box::new(RegionArrow::new(RegionGenerator::new(scale, 1, 1)))),
        "nation" if part == 1 => Some(Box::new(NationArrow::new(NationGenerator::new(scale, 1, 1)))),
        "supplier" => half!(SupplierGenerator, SupplierArrow),
        "customer" => half!(CustomerGenerator, CustomerArrow),
        "part" => half!(PartGenerator, PartArrow),
        "partsupp" => half!(PartSuppGenerator, PartSuppArrow),
        "orders" => half!(OrderGenerator, OrderArrow),
        "lineitem" => half!(LineItemGenerator, LineItemArrow),
        _ => None,
    }
}
