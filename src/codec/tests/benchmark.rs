//! The 22 queries of TPC-H under three layouts.

use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

use super::*;
use crate::engine::tpch;

async fn load<E: std::fmt::Debug>(
    session: &Session,
    name: &str,
    batches: impl Iterator<Item = std::result::Result<RecordBatch, E>>,
) {
    let batches: Vec<_> = batches.map(|b| b.unwrap()).collect();
    let schema = batches[0].schema();
    let stream = futures::stream::iter(batches.into_iter().map(Ok));
    session.load(name, vec![Box::pin(RecordBatchStreamAdapter::new(schema, stream))]).await.unwrap();
}

/// The queries' physical plans, as they travel over tables that `layout` makes.
async fn benchmark(layout: impl Fn(&str, String) -> String) -> String {
    const SCALE: f64 = 0.002;
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    for table in tpch::tables() {
        run(&session, &[&layout(table.name, table.create())]).await;
    }
    load(&session, "region", RegionArrow::new(RegionGenerator::new(SCALE, 1, 1))).await;
    load(&session, "nation", NationArrow::new(NationGenerator::new(SCALE, 1, 1))).await;
    load(&session, "supplier", SupplierArrow::new(SupplierGenerator::new(SCALE, 1, 1))).await;
    load(&session, "customer", CustomerArrow::new(CustomerGenerator::new(SCALE, 1, 1))).await;
    load(&session, "part", PartArrow::new(PartGenerator::new(SCALE, 1, 1))).await;
    load(&session, "partsupp", PartSuppArrow::new(PartSuppGenerator::new(SCALE, 1, 1))).await;
    load(&session, "orders", OrderArrow::new(OrderGenerator::new(SCALE, 1, 1))).await;
    load(&session, "lineitem", LineItemArrow::new(LineItemGenerator::new(SCALE, 1, 1))).await;
    run(&session, &["analyze"]).await;
    let queries: Vec<_> = tpch::QUERIES.iter().map(|q| (format!("q{}", q.number), q.sql.to_string())).collect();
    travel(directory.path(), &session, &queries).await.join("\n")
}

fn distributed(ddl: String, by: &str) -> String {
    let start = ddl.find(") DISTKEY (").or(ddl.find(") DISTSTYLE ALL")).unwrap() + 2;
    let rest = &ddl[start..];
    let end = rest.find("ALL").map(|at| at + 3).or(rest.find(')').map(|at| at + 1)).unwrap();
    format!("{}{by}{}", &ddl[..start], &rest[end..])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_benchmark_travels_by_its_keys() {
    let plans = benchmark(|_, ddl| ddl).await;
    for node in ["SliceScan", "Exchange", "Broadcast", "Abreast", "DynamicFilter"] {
        assert!(plans.contains(node), "no plan has {node}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_benchmark_travels_spread_evenly() {
    let plans = benchmark(|_, ddl| distributed(ddl, "DISTSTYLE EVEN")).await;
    assert!(plans.contains("dist=EVEN") && !plans.contains("dist=KEY"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_benchmark_travels_with_dimensions_everywhere() {
    let plans = benchmark(|name: &str, ddl| match name {
        "lineitem" | "orders" => ddl,
        _ => distributed(ddl, "DISTSTYLE ALL"),
    });
    assert!(plans.await.contains("dist=ALL"));
}
