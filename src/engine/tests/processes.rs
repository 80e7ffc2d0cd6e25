//! Two processes on one directory: all that was acknowledged is there, once, and nobody sees half a statement.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::StreamExt;

use super::util::*;
use crate::catalog::CatalogOptions;
use crate::common::ErrorKind;
use crate::engine::Warehouse;
use crate::format::Geometry;

/// Rows of each statement.
const TOGETHER: i64 = 5;
const STATEMENTS: i64 = 25;

async fn open(directory: PathBuf) -> Warehouse {
    let options =
        CatalogOptions { lease_ttl: Duration::from_secs(4), checkpoint_every: 8, ..CatalogOptions::default() };
    Warehouse::builder()
        .slices(2)
        .threads(2)
        .geometry(Geometry::TINY)
        .catalog_options(options)
        .open(directory.to_str().unwrap())
        .await
        .unwrap()
}

fn process<T: Send + 'static>(work: impl AsyncFnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work())
    })
}

async fn numbers(session: &crate::engine::Session, sql: &str) -> Vec<i64> {
    let rows = batches(session, sql).await;
    rows.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[test]
fn two_processes_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("dw");
    let first = place.clone();
    process(async move || {
        let session = open(first).await.session();
        session.sql("create table t (id bigint, statement bigint) distkey(id) sortkey(id)").await.unwrap();
    })
    .join()
    .unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2i64)
        .map(|writer| {
            let place = place.clone();
            process(async move || {
                let warehouse = open(place).await;
                let session = warehouse.session();
                let mut acknowledged = Vec::new();
                for i in 0..STATEMENTS {
                    let statement = writer * 1_000_000 + i * 100;
                    let rows = format!(
                        "insert into t select {statement} + v, {statement} from generate_series(0, {}) g(v)",
                        TOGETHER - 1
                    );
                    session.sql(&rows).await.unwrap();
                    acknowledged.push(statement);
                    // What was acknowledged is seen at once.
                    let sql = format!("select count(*) from t where statement = {statement}");
                    assert_eq!(numbers(&session, &sql).await, [TOGETHER]);
                    if i % 10 == 9 {
                        match warehouse.inner.catalog.collect().await {
                            Ok(_) => {}
                            Err(e) if e.kind() == ErrorKind::Conflict => {}
                            Err(e) => panic!("{e:?}"),
                        }
                    }
                }
                acknowledged
            })
        })
        .collect();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (place, done) = (place.clone(), Arc::clone(&done));
            process(async move || {
                let session = open(place).await.session();
                session.sql("set datafusion.execution.batch_size = 8").await.unwrap();
                let mut before = 0;
                while !done.load(Ordering::Acquire) {
                    let halves = "select statement from t group by statement having count(*) <> 5";
                    assert!(numbers(&session, halves).await.is_empty());
                    // A pinned version streams on while others write and collect.
                    let mut stream = session.sql("select id from t").await.unwrap();
                    let mut seen: Vec<i64> = Vec::new();
                    while let Some(batch) = stream.next().await {
                        seen.extend(batch.unwrap().column(0).as_primitive::<Int64Type>().values().iter());
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    seen.sort();
                    assert!(seen.is_sorted_by(|a, b| a < b), "a row is there twice");
                    assert!(seen.len() as i64 % TOGETHER == 0 && seen.len() >= before, "{} rows", seen.len());
                    before = seen.len();
                }
            })
        })
        .collect();
    let mut statements: Vec<i64> = writers.into_iter().flat_map(|w| w.join().unwrap()).collect();
    done.store(true, Ordering::Release);
    readers.into_iter().for_each(|r| r.join().unwrap());
    statements.sort();
    process(async move || {
        let session = open(place).await.session();
        let mut expected: Vec<i64> = statements.iter().flat_map(|s| (0..TOGETHER).map(move |i| s + i)).collect();
        expected.sort();
        assert_eq!(numbers(&session, "select id from t order by id").await, expected);
    })
    .join()
    .unwrap();
}
