//! How fast do rows become sorted, distributed, encoded segments?
//!
//! TPC-H lineitem at scale 1 (or `BLUESHIFT_SCALE`), generated as Arrow batches beforehand, loaded into a directory by
//! one `Session::load` from two streams: once in natural order without a sort key, once by l_shipdate, which is not
//! the order it comes in. Prints rows per second and the ratio of the two.
//!
//! Run with `cargo bench --bench load`.

use std::time::Instant;

use blueshift::engine::{Session, Warehouse};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use tpchgen::generators::LineItemGenerator;
use tpchgen_arrow::LineItemArrow;

const RUNS: usize = 3;

fn main() {
    let scale: f64 = std::env::var("BLUESHIFT_SCALE").ok().and_then(|s| s.parse().ok()).unwrap_or(1.0);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let halves: Vec<Vec<RecordBatch>> = (1..=2)
            .map(|part| LineItemArrow::new(LineItemGenerator::new(scale, part, 2)).map(|b| b.expect("rows")).collect())
            .collect();
        let rows: usize = halves.iter().flatten().map(RecordBatch::num_rows).sum();
        println!("{rows} rows of lineitem, {} threads, 4 slices, DISTKEY(l_orderkey)", threads());
        let folder = tempfile::tempdir().expect("a directory");
        let mut medians = Vec::new();
        for (name, sort) in [("no sort key", ""), ("SORTKEY(l_shipdate)", "sortkey(l_shipdate)")] {
            let mut seconds: Vec<f64> = Vec::new();
            for run in 0..RUNS {
                let place = folder.path().join(format!("{}-{run}", medians.len()));
                let warehouse = Warehouse::builder().slices(4).open(&place.to_string_lossy()).await.expect("it opens");
                let session = warehouse.session();
                create(&session, &halves[0][0], sort).await;
                let streams = halves.iter().map(|half| {
                    let batches = half.clone().into_iter().map(Ok);
                    Box::pin(RecordBatchStreamAdapter::new(half[0].schema(), futures::stream::iter(batches))) as _
                });
                let start = Instant::now();
                session.load("lineitem", streams.collect()).await.expect("loaded");
                seconds.push(start.elapsed().as_secs_f64());
            }
            seconds.sort_by(f64::total_cmp);
            let median = seconds[RUNS / 2];
            println!("{name:22} {:6.2} s  {:5.2} M rows/s", median, rows as f64 / median / 1e6);
            medians.push(median);
        }
        println!("sorting costs {:.2} × the time of a load without it", medians[1] / medians[0]);
    });
}

async fn create(session: &Session, batch: &RecordBatch, sort: &str) {
    let columns: Vec<String> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| {
            let sql_type = match field.data_type() {
                DataType::Int32 => "int".to_string(),
                DataType::Int64 => "bigint".to_string(),
                DataType::Decimal128(p, s) => format!("decimal({p},{s})"),
                DataType::Date32 => "date".to_string(),
                _ => "varchar(64)".to_string(),
            };
            format!("{} {sql_type} not null", field.name())
        })
        .collect();
    let create = format!("create table lineitem ({}) distkey(l_orderkey) {sort}", columns.join(", "));
    session.sql(&create).await.expect("created");
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
