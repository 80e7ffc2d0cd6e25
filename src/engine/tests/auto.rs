//! AUTO distribution as a table grows, also within one load that memory is too small for.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::datasource::MemTable;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use super::util::*;
use crate::catalog::EffectiveDist;
use crate::engine::Warehouse;
use crate::engine::load::Load;
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

/// Fails unless every row stands on the slice of its key, and counts as often as it was inserted.
async fn check_key(warehouse: &Warehouse, rows: u64) {
    let (_, state) = state(warehouse, "t").await;
    let key = state.def.column_named("id").unwrap().id;
    assert_eq!((state.stored_rows(), state.def.effective_dist), (rows, EffectiveDist::Key(key)));
    assert!(state.segments.iter().map(|s| s.slice).collect::<std::collections::BTreeSet<_>>().len() > 1);
    let session = warehouse.session();
    // Grouping moves nothing where the scan says that a key's rows stand together.
    let sql = "select count(*) as groups, sum(n) as n, max(n) as m, sum(s) as s
               from (select id, count(*) as n, sum(id) as s from t group by id) g";
    let answer = ours(&session, sql).await[0].replace(' ', "");
    assert_eq!(answer, format!("|{rows}|{rows}|1|{}|", (rows - 1) * rows / 2));
    for id in [0, 1, rows / 2, rows - 1] {
        // The slice that the key names is the only one that is read.
        assert_eq!(ours(&session, &format!("select id from t where id = {id}")).await.len(), 2, "{id} of {rows}");
    }
}

/// Rows `from` to `to`, of which each batch is in the order of its time.
fn keyed(from: u64, to: u64) -> SendableRecordBatchStream {
    use arrow::array::TimestampMicrosecondArray;
    const BATCH: u64 = 40_000;
    let batch = |from: u64, to: u64| {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values((from..to).rev().map(|id| id as i64)));
        let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values((from..to).map(|id| id as i64)));
        RecordBatch::try_from_iter([("id", ids), ("at", at)]).unwrap()
    };
    let schema = batch(0, 1).schema();
    let batches = (from..to).step_by(BATCH as usize).map(move |start| Ok(batch(start, to.min(start + BATCH))));
    Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches.collect::<Vec<_>>())))
}

const KEYED: &str = "create table t (id bigint primary key, at timestamp)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_outgrows_all_goes_by_its_primary_key() {
    for memory in [4 << 20, 1 << 30] {
        let open = async || {
            let builder = Warehouse::builder().slices(4).threads(2).load_memory(memory);
            let warehouse = builder.open("memory://").await.unwrap();
            warehouse.session().sql(KEYED).await.unwrap();
            warehouse
        };
        let rows = AUTO_ALL_MAX_ROWS + 70_001;
        // In one load.
        let warehouse = open().await;
        assert_eq!(warehouse.session().load("t", vec![keyed(0, rows)]).await.unwrap(), rows);
        check_key(&warehouse, rows).await;
        let (_, state) = state(&warehouse, "t").await;
        let at = state.def.column_named("at").unwrap().id;
        assert_eq!(state.def.sort.as_ref().unwrap().columns, [at]);
        assert!(state.def.sort_auto);
        // After others, of which some rows are dead and some stand in the log.
        let warehouse = open().await;
        let session = warehouse.session();
        session.sql("insert into t values (0, '1970-01-01'), (1, '1970-01-01')").await.unwrap();
        session.load("t", vec![keyed(2, 30_000)]).await.unwrap();
        session.load("t", vec![keyed(rows, rows + 50_000)]).await.unwrap();
        let dead = delete_where(&warehouse, "t", &format!("id >= {rows}"), Place::Object).await.unwrap();
        assert_eq!(dead, 50_000);
        assert_eq!(session.load("t", vec![keyed(30_000, rows)]).await.unwrap(), rows - 30_000);
        check_key(&warehouse, rows).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_auto_chooses_is_for_the_table_as_it_was() {
    for first in [true, false] {
        let warehouse = warehouse(4, 4, crate::format::Geometry::TINY).await;
        let session = warehouse.session();
        session.sql(KEYED).await.unwrap();
        let rows = if first { 9_000 } else { AUTO_ALL_MAX_ROWS + 1 };
        if !first {
            session.sql("insert into t values (-1, '2020-01-01')").await.unwrap();
        }
        // A load of which another one knows nothing when it begins.
        let (mut transaction, table) = {
            let transaction = warehouse.inner.catalog.begin(warehouse.owner());
            (transaction, state(&warehouse, "t").await.1)
        };
        let load = Load::new(&warehouse, &table, vec![0, 1], &transaction).unwrap();
        load.take(vec![keyed(0, rows)]).await.unwrap();
        session.sql("insert into t values (-2, '2020-01-01'), (-3, '1960-01-01')").await.unwrap();
        let (taken, notices) = load.finish(&mut transaction).await.unwrap();
        assert_eq!((taken, notices.len()), (rows, 1), "{notices:?}");
        let said = match first {
            true => "SORTKEY (at), the order that its first rows came in. Name a DISTSTYLE or SORTKEY".to_string(),
            false => format!("DISTSTYLE KEY(id) ({} rows), since it has outgrown ALL", rows + 1),
        };
        assert!(notices[0].contains(&said), "{notices:?}");
        let late = warehouse.inner.catalog.commit(transaction).await.unwrap_err();
        assert_eq!(late.kind(), crate::common::ErrorKind::Conflict);
        let (_, state) = state(&warehouse, "t").await;
        assert_eq!((state.def.effective_dist, &state.def.sort), (EffectiveDist::All, &None));
        // What began before AUTO chose cannot be added after.
        session.sql("drop table t").await.unwrap();
        session.sql(KEYED).await.unwrap();
        let mut transaction = warehouse.inner.catalog.begin(warehouse.owner());
        let table = super::util::state(&warehouse, "t").await.1;
        let load = Load::new(&warehouse, &table, vec![0, 1], &transaction).unwrap();
        load.take(vec![keyed(0, 5)]).await.unwrap();
        session.load("t", vec![keyed(10, 10 + rows)]).await.unwrap();
        load.finish(&mut transaction).await.unwrap();
        let late = warehouse.inner.catalog.commit(transaction).await.unwrap_err();
        assert_eq!(late.kind(), crate::common::ErrorKind::Conflict);
    }
}
