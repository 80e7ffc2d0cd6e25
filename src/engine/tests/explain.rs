//! EXPLAIN: operators, labels, conditions, warnings, and what running counted.

use arrow::array::AsArray;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

use super::explain_moves::{labels_are_true, movement_of_no_rule_is_told};
use super::util::*;
use crate::engine::{Session, tpch};
use crate::format::Geometry;

/// A plan's lines.
async fn plan(session: &Session, sql: &str) -> Vec<String> {
    let batches = batches(session, sql).await;
    batches.iter().flat_map(|b| b.column(0).as_string::<i32>().iter().map(|l| l.unwrap().to_string())).collect()
}

/// A line without its costs; what follows them stays.
fn without_costs(line: &str) -> String {
    match (line.find("(cost="), line.find(" rows=")) {
        (Some(start), Some(end)) if start < end => format!("{}(cost=..{}", &line[..start], &line[end..]),
        _ => line.to_string(),
    }
}

async fn load<E: std::fmt::Debug>(
    session: &Session,
    name: &str,
    batches: impl Iterator<Item = Result<arrow::array::RecordBatch, E>>,
) {
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    let batches: Vec<_> = batches.map(|b| b.unwrap()).collect();
    let schema = batches[0].schema();
    let stream = futures::stream::iter(batches.into_iter().map(Ok));
    session.load(name, vec![Box::pin(RecordBatchStreamAdapter::new(schema, stream))]).await.unwrap();
}

/// The benchmark's tables as `layout` rewrites their statements, analyzed.
async fn benchmark(layout: impl Fn(&str, String) -> String) -> Session {
    const SCALE: f64 = 0.002;
    let session = warehouse(4, 4, Geometry::DEFAULT).await.session();
    for table in tpch::tables() {
        session.sql(&layout(table.name, table.create())).await.unwrap();
    }
    load(&session, "region", RegionArrow::new(RegionGenerator::new(SCALE, 1, 1))).await;
    load(&session, "nation", NationArrow::new(NationGenerator::new(SCALE, 1, 1))).await;
    load(&session, "supplier", SupplierArrow::new(SupplierGenerator::new(SCALE, 1, 1))).await;
    load(&session, "customer", CustomerArrow::new(CustomerGenerator::new(SCALE, 1, 1))).await;
    load(&session, "part", PartArrow::new(PartGenerator::new(SCALE, 1, 1))).await;
    load(&session, "partsupp", PartSuppArrow::new(PartSuppGenerator::new(SCALE, 1, 1))).await;
    load(&session, "orders", OrderArrow::new(OrderGenerator::new(SCALE, 1, 1))).await;
    load(&session, "lineitem", LineItemArrow::new(LineItemGenerator::new(SCALE, 1, 1))).await;
    session.sql("analyze").await.unwrap();
    session
}

/// All queries' plans, compared with `explain/<name>.txt`; `BLUESHIFT_ACCEPT=1` writes it.
async fn snapshot(name: &str, session: &Session) {
    let mut text = String::new();
    for query in tpch::QUERIES {
        text.push_str(&format!("-- Q{}\n", query.number));
        for line in plan(session, &format!("explain {}", query.sql)).await {
            text.push_str(without_costs(&line).trim_end());
            text.push('\n');
        }
        text.push('\n');
    }
    let path = format!("{}/src/engine/tests/explain/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLUESHIFT_ACCEPT").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    let different = kept.lines().zip(text.lines()).find(|(kept, new)| kept != new);
    assert!(kept == text, "{name}: {different:?}; run with BLUESHIFT_ACCEPT=1 and look at the difference");
}

fn distributed(ddl: String, by: &str) -> String {
    let start = ddl.find(") DISTKEY (").or(ddl.find(") DISTSTYLE ALL")).unwrap() + 2;
    let rest = &ddl[start..];
    let end = rest.find("ALL").map(|at| at + 3).or(rest.find(')').map(|at| at + 1)).unwrap();
    format!("{}{by}{}", &ddl[..start], &rest[end..])
}

/// Plans as kept, and labels that are true; all but some of `told` are told.
async fn benchmarked(name: &str, session: Session, told: &[&str]) {
    snapshot(name, &session).await;
    let labels = labels_are_true(&session).await;
    assert!(told.iter().all(|label| labels.contains_key(label)), "{labels:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_of_the_benchmark_by_its_keys() {
    let session = benchmark(|_, ddl| ddl).await;
    movement_of_no_rule_is_told(&session).await;
    let told = ["DS_DIST_NONE", "DS_DIST_ALL_NONE", "DS_BCAST_INNER", "DS_DIST_INNER", "DS_DIST_OUTER", "DS_DIST_BOTH"];
    benchmarked("keys", session, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_of_the_benchmark_spread_evenly() {
    let session = benchmark(|_, ddl| distributed(ddl, "DISTSTYLE EVEN")).await;
    benchmarked("even", session, &["DS_BCAST_INNER", "DS_DIST_BOTH"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_of_the_benchmark_with_dimensions_everywhere() {
    let everywhere = |name: &str, ddl| match name {
        "lineitem" | "orders" => ddl,
        _ => distributed(ddl, "DISTSTYLE ALL"),
    };
    benchmarked("dimensions", benchmark(everywhere).await, &["DS_DIST_NONE", "DS_DIST_ALL_NONE"]).await;
}

/// `a` and `b` by their keys, `e` spread evenly, `l` everywhere.
async fn tables(slices: u32) -> Session {
    let session = warehouse(slices, 4, Geometry::DEFAULT).await.session();
    for (name, layout) in
        [("a", "distkey(k) sortkey(k)"), ("b", "distkey(k)"), ("e", "diststyle even"), ("l", "diststyle all")]
    {
        session.sql(&format!("create table {name} (k int, g int, t varchar(20)) {layout}")).await.unwrap();
        let insert = format!("insert into {name} select v, v % 7, 'text ' || v from generate_series(1, 500) s(v)");
        session.sql(&insert).await.unwrap();
    }
    session.sql("analyze").await.unwrap();
    session
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_tell_what_moves() {
    let session = tables(4).await;
    // The threshold makes DataFusion gather sides as small as these.
    let bcast = "explain select a.g from a join b on a.g = b.g";
    assert!(plan(&session, bcast).await.join("\n").contains("XN Hash Join DS_BCAST_INNER  (cost="));
    let all = "explain select a.g from a join l on a.g = l.g and l.k < 20";
    assert!(plan(&session, all).await.join("\n").contains("XN Hash Join DS_DIST_ALL_NONE  (cost="));
    for setting in ["hash_join_single_partition_threshold", "hash_join_single_partition_threshold_rows"] {
        session.sql(&format!("set datafusion.optimizer.{setting} = 0")).await.unwrap();
    }
    for (sql, label) in [
        ("select a.g from a join b on a.k = b.k", "DS_DIST_NONE"),
        ("select a.g from a join b on a.g = b.g", "DS_DIST_BOTH"),
        ("select a.g from e join e e2 on e.k = e2.k join a on a.t = e.t", "DS_DIST_BOTH"),
    ] {
        let text = plan(&session, &format!("explain {sql}")).await.join("\n");
        assert!(text.contains(&format!("XN Hash Join {label}  (cost=")), "{sql}\n{text}");
    }
    let one_side = plan(&session, "explain select a.g from a join e on a.k = e.k").await.join("\n");
    let moved = ["DS_DIST_INNER", "DS_DIST_OUTER"].iter().filter(|label| one_side.contains(*label)).count();
    assert_eq!(moved, 1, "{one_side}");
    // The label follows the plan, whichever side DataFusion builds.
    let theirs = batches(&session, "explain format indent select a.g from a join e on a.k = e.k").await;
    let theirs: Vec<_> = theirs.iter().flat_map(|b| b.column(1).as_string::<i32>().iter().flatten()).collect();
    let theirs = theirs.join("\n");
    let built_first = theirs.find("SliceScan: table=e").unwrap() < theirs.find("SliceScan: table=a").unwrap();
    assert_eq!(one_side.contains("DS_DIST_INNER"), built_first, "{one_side}\n{theirs}");
    // Nothing moves on one slice.
    let session = tables(1).await;
    let text = plan(&session, "explain select a.g from a join b on a.g = b.g").await.join("\n");
    assert!(text.contains("XN Hash Join DS_DIST_NONE"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_are_written_as_sql() {
    let session = tables(4).await;
    let sql = "explain select a.k, count(*) from a join b on a.k = b.k and a.g < b.g \
               where a.t like 'text 1%' and a.g in (1, 2) group by a.k having count(*) > 1 order by a.k limit 3";
    let lines: Vec<String> = plan(&session, sql).await.iter().map(|line| without_costs(line)).collect();
    let text = lines.join("\n");
    for part in [
        "XN Limit  (cost=..",
        "  ->  XN Merge  (cost=..",
        "        Merge Key: k",
        "        ->  XN Network  (cost=..",
        "              Send to leader",
        "Filter: (count(*) > 1)",
        "Hash Cond: (\"outer\".k = \"inner\".k)",
        "Join Filter: (a.g < b.g)",
        "(t LIKE 'text 1%')",
        "XN Hash  (cost=",
        "XN Seq Scan on a  (cost=",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let sorted = plan(&session, "explain select t from e order by g desc, t").await;
    assert!(sorted.iter().any(|l| l.trim() == "Sort Key: g DESC, t"), "{sorted:?}");
    let union = plan(&session, "explain select k from a union all select g from b").await.join("\n");
    assert!(union.starts_with("XN Append") && union.contains("XN Subquery Scan \"*SELECT* 2\""), "{union}");
    let window = plan(&session, "explain select rank() over (partition by g order by t) from e").await.join("\n");
    assert!(window.contains("Partition: g") && window.contains("Order: t"), "{window}");
    let scalar = plan(&session, "explain select k from a where g > (select avg(g) from b)").await.join("\n");
    assert!(scalar.contains("InitPlan 1 (returns $0)") && scalar.contains("$0)"), "{scalar}");
    assert!(plan(&session, "explain select distinct g from e").await[0].starts_with("XN Unique"));
    assert!(plan(&session, "explain select 1").await[0].contains("XN Result"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said() {
    let session = tables(4).await;
    const NESTED: &str = "----- Nested Loop Join in the query plan";
    let warned = |lines: &[String]| lines.iter().any(|line| line.starts_with(NESTED));
    assert!(warned(&plan(&session, "explain select a.k from a, b").await));
    assert!(!warned(&plan(&session, "explain select a.k from a join b on a.k < b.k").await));
    assert!(!warned(&plan(&session, "explain select a.k from a join b on a.k = b.k").await));
    // One row pairs with all, which is no product.
    assert!(!warned(&plan(&session, "explain select a.k from a, (select max(k) as m from b) x").await));
    let clean = plan(&session, "explain select k from a").await;
    assert!(clean.iter().all(|line| !line.starts_with("-----")), "{clean:?}");
}

/// The lines below a plan.
async fn hints(session: &Session, sql: &str) -> Vec<String> {
    plan(session, sql).await.into_iter().filter(|line| line.starts_with("-----")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_be_better_is_told() {
    let warehouse = warehouse(4, 4, Geometry::TINY).await;
    let session = warehouse.session();
    let run =
        async |sql: &str| session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}")).collect().await.unwrap();
    for setting in ["hash_join_single_partition_threshold", "hash_join_single_partition_threshold_rows"] {
        run(&format!("set datafusion.optimizer.{setting} = 0")).await;
    }
    for table in ["events", "stage"] {
        run(&format!("create table {table} (event_id bigint, user_id bigint distkey)")).await;
        run(&format!("insert into {table} select v, v % 997 from generate_series(1, 8000) s(v)")).await;
    }
    run("create table other (event_id bigint, user_id varchar(9) distkey)").await;
    run("insert into other select v, v % 997 from generate_series(1, 8000) s(v)").await;
    run("analyze").await;
    let told = hints(&session, "explain select count(*) from events e join stage on e.event_id = stage.event_id").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("(e.user_id = stage.user_id) moves none"), "{told:?}");
    for silent in [
        "select count(*) from events e join stage s on e.event_id = s.event_id and e.user_id = s.user_id",
        "select count(*) from events e join other o on e.event_id = o.event_id",
        "select count(*) from events e join stage s on e.user_id = s.user_id",
        "select count(*) from events e join events f on e.event_id = f.user_id",
    ] {
        assert_eq!(hints(&session, &format!("explain {silent}")).await, Vec::<String>::new(), "{silent}");
    }
    // A tenth of the rows came since.
    run("insert into stage select v, v % 997 from generate_series(1, 700) s(v)").await;
    assert_eq!(hints(&session, "explain select * from stage").await, Vec::<String>::new());
    run("insert into stage select v, v % 997 from generate_series(1, 300) s(v)").await;
    let told = hints(&session, "explain select * from stage").await;
    assert!(told[0].contains("changed much since they were analyzed: stage") && told.len() == 2, "{told:?}");
    // Rows that are mostly of one key, stored and moved.
    run("create table skewed (k bigint distkey, event_id bigint)").await;
    run("insert into skewed select case when v % 10 < 8 then 5 else v end, v from generate_series(1, 8000) s(v)").await;
    run("create table moving (k bigint, event_id bigint) diststyle even").await;
    run("insert into moving select * from skewed").await;
    run("analyze").await;
    let told = hints(&session, "explain select * from skewed").await;
    assert!(told[0].contains("of the rows of \"skewed\", by its distribution key k") && told.len() == 1, "{told:?}");
    let sql = "select count(*) from moving join events on k = user_id";
    assert_eq!(hints(&session, &format!("explain {sql}")).await, Vec::<String>::new());
    let told = hints(&session, &format!("explain analyze {sql}")).await;
    assert!(told[0].contains("Skew: of 4 partitions one got 3.") && told.len() == 1, "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_counts_beside_the_estimates() {
    let session = tables(4).await;
    let lines = plan(&session, "explain analyze select a.k from a join b on a.k = b.k where a.k <= 100").await;
    assert!(lines[0].starts_with("XN Hash Join") && lines[0].contains(" (actual rows=100 time="), "{lines:?}");
    assert!(lines.iter().any(|line| line.trim_start().starts_with("Read: bytes=")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("Total: rows=100 time=")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("Memory: peak=")), "{lines:?}");
    let grouped = plan(&session, "explain analyze select g, count(*) from a group by g").await.join("\n");
    assert!(grouped.contains("Moved: rows=") && grouped.contains("(actual rows=7 "), "{grouped}");
    let verbose = plan(&session, "explain verbose select k from a where g = 3").await.join("\n");
    assert!(verbose.starts_with("XN Seq Scan on a") && verbose.contains("SliceScan: table=a"), "{verbose}");
}

#[tokio::test]
async fn forms_and_parameters() {
    let session = tables(2).await;
    let prepared = session.prepare("explain select k from a where g = $1").await.unwrap();
    assert_eq!(prepared.schema().field(0).name(), "QUERY PLAN");
    assert_eq!(prepared.parameters().len(), 1);
    let output = prepared.execute(vec![datafusion::common::ScalarValue::Int32(Some(3))]).await.unwrap();
    assert_eq!((output.tag.as_str(), output.schema()), ("EXPLAIN", prepared.schema()));
    let rows = output.collect().await.unwrap();
    let lines: Vec<&str> = rows[0].column(0).as_string::<i32>().iter().flatten().collect();
    assert!(lines.contains(&"  Filter: (g = 3)"), "{lines:?}");
    for theirs in ["explain format indent select 1", "explain format tree select 1", "explain (format pgjson) select 1"]
    {
        assert_eq!(session.sql(theirs).await.unwrap().schema().field(0).name(), "plan_type");
    }
    session.sql("set datafusion.explain.physical_plan_only = true").await.unwrap();
    assert_eq!(session.sql("explain select 1").await.unwrap().schema().field(0).name(), "plan_type");
    assert!(error(&session, "explain select nothing from a").await.message().contains("nothing"));
}
