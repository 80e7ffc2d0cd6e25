//! Loads of no rows, and of about as many as a zone, a chunk, a segment takes.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use super::util::*;
use crate::format::Geometry;

const COLUMNS: &str = "b boolean, s smallint, i int, l bigint, d decimal(12,2), w decimal(30,4), r real, \
    f double precision, c char(6), v varchar(40), day date, ts timestamp";

const LAYOUTS: [&str; 5] =
    ["distkey(i) sortkey(v, i)", "diststyle even", "diststyle all sortkey(day)", "diststyle auto", "distkey(c)"];

/// Rows 1 to `rows`, of every type.
fn rows(rows: usize) -> String {
    format!(
        "select g % 2 = 0 as b, cast(g % 100 as smallint) as s, cast(g as int) as i, g * 70000 as l, \
         cast(g * 1.25 as decimal(12,2)) as d, cast(g * 1000.5 as decimal(30,4)) as w, cast(g % 17 as real) as r, \
         case when g % 5 = 0 then null else g / 8.0 end::double precision as f, 'c' || (g % 9) as c, \
         'a longer text ' || g as v, cast('2024-01-01' as date) + cast(g % 40 as int) as day, \
         to_timestamp_micros(g) as ts from generate_series(1, {rows}) as s(g)"
    )
}

#[tokio::test]
async fn a_load_of_no_rows_makes_no_segment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.csv");
    std::fs::write(&file, "").unwrap();
    let session = warehouse(2, 2, Geometry::TINY).await.session();
    for layout in LAYOUTS {
        session.sql(&format!("create table t ({COLUMNS}) {layout}")).await.unwrap();
        let schema = session.sql("select * from t").await.unwrap().schema();
        let empty = RecordBatch::new_empty(Arc::clone(&schema));
        let loads = [
            session.sql(&format!("insert into t {}", rows(0))).await.unwrap().changed,
            session.sql(&format!("copy t from '{}' csv", file.display())).await.unwrap().changed,
            Some(session.load("t", Vec::new()).await.unwrap()),
            {
                let stream = futures::stream::iter([Ok(empty.clone()), Ok(empty)]);
                let stream = Box::pin(RecordBatchStreamAdapter::new(schema, stream));
                Some(session.load("t", vec![stream]).await.unwrap())
            },
        ];
        assert_eq!(loads, [Some(0); 4], "{layout}");
        assert!(state(session.warehouse(), "t").await.1.segments.is_empty(), "{layout}");
        for sql in ["select * from t where i > 3 or v is null", "select i, count(*) from t group by i"] {
            let rows = batches(&session, sql).await;
            assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 0, "{layout}: {sql}");
        }
        for (sql, answer) in [
            ("select count(*) as n, count(i) as i, min(v) as v, sum(d) as d from t", "| 0 | 0 |   |   |"),
            ("select count(*) as n from t a join t b on a.i = b.i", "| 0 |"),
        ] {
            assert_eq!(ours(&session, sql).await[0], answer, "{layout}: {sql}");
        }
        session.sql("drop table t").await.unwrap();
    }
}

/// Segments as the loader makes them: as few as hold the rows of a slice, and every row is found again.
#[tokio::test]
async fn loads_of_every_length_come_back() {
    let geometry = Geometry::TINY;
    let (zone, chunk, segment) = (geometry.zone_rows(), geometry.chunk_rows(), geometry.segment_rows());
    let session = warehouse(1, 2, geometry).await.session();
    let lengths = [1].into_iter().chain([zone, chunk, 2 * chunk, segment].into_iter().flat_map(|n| n - 1..=n + 1));
    for (i, n) in lengths.enumerate() {
        let layout = LAYOUTS[i % LAYOUTS.len()];
        session.sql(&format!("create table t ({COLUMNS}) {layout}")).await.unwrap();
        session.sql(&format!("insert into t {}", rows(n))).await.unwrap();
        let state = state(session.warehouse(), "t").await.1;
        assert_eq!(state.segments.len(), n.div_ceil(segment), "{n} rows");
        assert_eq!(state.live_rows(), n as u64);
        let context = plain(1);
        theirs(&context, &format!("create table t as {}", rows(n))).await;
        for sql in ["select * from t", &format!("select * from t where i >= {n}"), "select v from t where i < 2"] {
            assert_eq!(ours(&session, sql).await, theirs(&context, sql).await, "{layout}, {n} rows: {sql}");
        }
        session.sql("drop table t").await.unwrap();
    }
}
