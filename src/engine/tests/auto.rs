//! AUTO distribution as a table grows, also within one load that memory is too small for.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::datasource::MemTable;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use super::util::*;
use crate::catalog::EffectiveDist;
use crate::engine::Warehouse;
use crate::storage::writer::AUTO_ALL_MAX_ROWS;

/// A batch of `rows` numbers, as many streams.
fn numbers(batches: u64, rows: u64) -> SendableRecordBatchStream {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
    let stream = futures::stream::iter((0..batches).map({
        let batch = batch.clone();
        move |_| Ok(batch.clone())
    }));
    Box::pin(RecordBatchStreamAdapter::new(batch.schema(), stream))
}

async fn check(warehouse: &Warehouse, rows: u64) {
    let session = warehouse.session();
    assert_eq!(ours(&session, "select count(*) as n from t").await, [format!("| {rows} |"), "| n       |".into()]);
    let (_, state) = state(warehouse, "t").await;
    assert_eq!((state.stored_rows(), state.def.effective_dist), (rows, EffectiveDist::Even));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_outgrows_all_between_runs_counts_every_row() {
    let open = async || {
        let builder = Warehouse::builder().slices(4).threads(2).load_memory(4 << 20);
        let warehouse = builder.open("memory://").await.unwrap();
        warehouse.session().sql("create table t (a bigint)").await.unwrap();
        warehouse
    };
    const BATCH: u64 = 50_000;
    let batches = AUTO_ALL_MAX_ROWS / BATCH + 3;
    let rows = batches * BATCH;
    // Rows of the application.
    let warehouse = open().await;
    assert_eq!(warehouse.session().load("t", vec![numbers(batches, BATCH)]).await.unwrap(), rows);
    check(&warehouse, rows).await;
    // An INSERT tells the same.
    let warehouse = open().await;
    let session = warehouse.session();
    let batch =
        RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from_iter_values(0..BATCH as i64)) as ArrayRef)]);
    let batch = batch.unwrap();
    let source = MemTable::try_new(batch.schema(), vec![vec![batch; batches as usize]]).unwrap();
    session.context().register_table("source", Arc::new(source)).unwrap();
    let output = session.sql("insert into t select a from source").await.unwrap();
    assert_eq!((output.tag.as_str(), output.changed), (format!("INSERT 0 {rows}").as_str(), Some(rows)));
    check(&warehouse, rows).await;
}
