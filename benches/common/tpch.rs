//! TPC-H's rows, into a session's warehouse.

use blueshift::engine::{Session, tpch};
use datafusion::arrow::array::RecordBatch;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

/// Creates the eight tables and loads them, each in one commit.
pub async fn load(session: &Session, scale: f64) {
    for table in tpch::tables() {
        session.sql(&table.create()).await.expect(table.name);
        macro_rules! rows {
            ($arrow:ident, $generator:ident) => {
                rows($arrow::new($generator::new(scale, 1, 1)))
            };
        }
        let batches = match table.name {
            "region" => rows!(RegionArrow, RegionGenerator),
            "nation" => rows!(NationArrow, NationGenerator),
            "supplier" => rows!(SupplierArrow, SupplierGenerator),
            "customer" => rows!(CustomerArrow, CustomerGenerator),
            "part" => rows!(PartArrow, PartGenerator),
            "partsupp" => rows!(PartSuppArrow, PartSuppGenerator),
            "orders" => rows!(OrderArrow, OrderGenerator),
            _ => rows!(LineItemArrow, LineItemGenerator),
        };
        let schema = batches[0].schema();
        let stream = RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches.into_iter().map(Ok)));
        session.load(table.name, vec![Box::pin(stream)]).await.expect(table.name);
    }
}

fn rows<E: std::fmt::Debug>(batches: impl Iterator<Item = Result<RecordBatch, E>>) -> Vec<RecordBatch> {
    batches.map(|batch| batch.expect("rows")).collect()
}
