//! IDENTITY among sessions, processes and failures: no value is given twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use super::util::*;
use crate::catalog::{CatalogOptions, WarehouseStore};
use crate::common::{Result, SqlState};
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;
use crate::testing::{Fault, FaultyStore};

async fn ids(session: &Session) -> Vec<i64> {
    let rows = batches(session, "select id from t").await;
    rows.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

/// A process of its own on the store.
async fn open(store: &WarehouseStore) -> Warehouse {
    try_open(store).await.unwrap()
}

async fn try_open(store: &WarehouseStore) -> Result<Warehouse> {
    let options = CatalogOptions { checkpoint_every: 4, ..CatalogOptions::default() };
    let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY).catalog_options(options);
    builder.store(WarehouseStore::new(Arc::clone(store.objects()))).open("memory://").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_and_processes_share_the_values() {
    let store = WarehouseStore::memory();
    let first = open(&store).await;
    first.session().sql("create table t (id bigint identity(5, 3), n int)").await.unwrap();
    let second = open(&store).await;
    let mut writers = Vec::new();
    for warehouse in [&first, &first, &second, &second] {
        let session = warehouse.session();
        writers.push(tokio::spawn(async move {
            for i in 0..12 {
                let sql = match i % 3 {
                    0 => "insert into t (n) values (1), (2)".to_string(),
                    1 => "insert into t values (default, 3)".to_string(),
                    _ => format!("insert into t (n) select v from generate_series(1, {}) g(v)", 10 * i),
                };
                session.sql(&sql).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    // Opened anew, so that log and checkpoint tell what is given.
    let third = open(&store).await;
    third.session().sql("insert into t (n) values (9)").await.unwrap();
    let found = ids(&third.session()).await;
    let expected = 4 * (4 * 2 + 4 + 10 * (2 + 5 + 8 + 11)) + 1;
    assert_eq!(found.len(), expected);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), expected, "a value is there twice");
    assert!(found.iter().all(|id| *id >= 5 && (*id - 5) % 3 == 0));
    let (_, state) = state(&third, "t").await;
    assert!(state.identity_given >= expected as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_store_gives_no_value_twice() {
    let faults = [Fault::NoEffect, Fault::LostAcknowledgement, Fault::LostAcknowledgementOfRetry, Fault::Late];
    for fault in faults {
        for put in 2..12 {
            let objects = WarehouseStore::memory();
            let healthy = open(&objects).await;
            healthy.session().sql("create table t (id bigint identity(0, 1), n int)").await.unwrap();
            let faulty = FaultyStore::new(Arc::clone(objects.objects()), Some((put, fault)));
            let Ok(process) = try_open(&WarehouseStore::new(faulty.store())).await else { continue };
            let session = process.session();
            for rows in 3..6 {
                // What fails may be there or not; another attempt gets other values.
                let sql = format!("insert into t (n) select v from generate_series(1, {rows}) g(v)");
                let _ = session.sql(&sql).await;
            }
            assert!(faulty.puts() > 4, "{fault:?} {put}");
            let after = open(&objects).await;
            after.session().sql("insert into t (n) values (0)").await.unwrap();
            let found = ids(&after.session()).await;
            assert!(found.len() > 3, "{fault:?} {put}");
            assert_eq!(
                found.iter().collect::<BTreeSet<_>>().len(),
                found.len(),
                "{fault:?} {put}: a value is there twice"
            );
        }
    }
}

fn stream(columns: Vec<(&str, ArrayRef)>) -> SendableRecordBatchStream {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    Box::pin(RecordBatchStreamAdapter::new(batch.schema(), futures::stream::iter([Ok(batch)])))
}

fn text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_an_application_get_values() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    session.sql("create table t (w varchar(5), id bigint identity(1, 1), x varchar(5))").await.unwrap();
    let (w, x) = (text(&["a", "b"]), text(&["c", "d"]));
    let left_out = || stream(vec![("w", Arc::clone(&w)), ("x", Arc::clone(&x))]);
    assert_eq!(session.load("t", vec![left_out(), left_out()]).await.unwrap(), 4);
    let with = |ids: Vec<Option<i64>>| {
        let ids: ArrayRef = Arc::new(Int64Array::from(ids));
        stream(vec![("w", Arc::clone(&w)), ("id", ids), ("x", Arc::clone(&x))])
    };
    assert_eq!(session.load("t", vec![with(vec![None, None])]).await.unwrap(), 2);
    let refused = session.load("t", vec![with(vec![None, Some(7)])]).await.unwrap_err();
    assert_eq!(refused.state(), SqlState::GENERATED_ALWAYS);
    assert_eq!(ids(&session).await.into_iter().collect::<BTreeSet<_>>(), (1..=6).collect());
    assert_eq!(ours(&session, "select count(*) as n from t where w = 'a' and x = 'c'").await[0], "| 3 |");
    // By DataFusion's own INSERT, too.
    let context = plain(2);
    context.register_table("t", warehouse.table("t").await.unwrap()).unwrap();
    let insert = context.sql("insert into t (w, x) values ('e', 'f'), ('g', 'h')").await.unwrap();
    insert.collect().await.unwrap();
    assert_eq!(ids(&session).await.into_iter().collect::<BTreeSet<_>>().len(), 8);
    // Where it is GENERATED BY DEFAULT, values of one's own are kept.
    session.sql("drop table t").await.unwrap();
    session
        .sql("create table t (w varchar(5), id bigint generated by default as identity(1, 1), x varchar(5))")
        .await
        .unwrap();
    session.load("t", vec![with(vec![None, Some(7)])]).await.unwrap();
    assert_eq!(ids(&session).await.into_iter().collect::<BTreeSet<_>>(), [1, 7].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_values_like_others() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    session.sql("create table t (id bigint generated by default as identity(1, 1), n int)").await.unwrap();
    let insert = session.prepare("insert into t values ($1, $2), (default, $2)").await.unwrap();
    use datafusion::common::ScalarValue;
    for id in [50i64, 60] {
        insert.execute(vec![ScalarValue::from(id), ScalarValue::from(4i32)]).await.unwrap();
    }
    assert_eq!(ids(&session).await.into_iter().collect::<BTreeSet<_>>(), [1, 2, 50, 60].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_load_makes_few_commits() {
    let builder = Warehouse::builder().slices(2).threads(2).load_memory(1 << 20);
    let warehouse = builder.open("memory://").await.unwrap();
    let session = warehouse.session();
    session.sql("create table t (id bigint identity(1, 1), n int)").await.unwrap();
    let before = warehouse.inner.catalog.snapshot().version.0;
    session.sql("insert into t (n) select v from generate_series(1, 300000) g(v)").await.unwrap();
    let commits = warehouse.inner.catalog.snapshot().version.0 - before;
    assert!(commits < 12, "{commits} commits");
    let sql = "select count(*) as n, count(distinct id) as d, count(distinct n) as m from t";
    assert_eq!(ours(&session, sql).await[0], "| 300000 | 300000 | 300000 |");
}
