//! What the scan of a table counts, and what a partition reads, by distribution.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, collect};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

use super::util::*;
use crate::engine::Warehouse;
use crate::format::Geometry;

const SLICES: u32 = 4;
const ROWS: usize = 6000;
const TABLES: [&str; 3] = ["by_key", "spread", "copied"];
/// Tiny zones: what a chunk and a segment hold.
const ZONE_ROWS: usize = 4;
const CHUNK_ROWS: usize = 16;
const SEGMENT_ROWS: usize = 16 * CHUNK_ROWS;

/// The same rows by KEY, EVEN and ALL, in the order of `v`; `w` has few values, which stand in dictionaries.
async fn tables(threads: usize) -> Warehouse {
    let warehouse = warehouse(SLICES, threads, Geometry::TINY).await;
    let session = warehouse.session();
    for (table, dist) in TABLES.into_iter().zip(["distkey(k)", "diststyle even", "diststyle all"]) {
        let columns = "k bigint, v bigint, w varchar(20) encode bytedict";
        session.sql(&format!("create table {table} ({columns}) {dist} sortkey(v)")).await.unwrap();
        let rows =
            format!("select s * 7, s, 'word ' || cast(s % 3 as varchar) from generate_series(0, {}) g(s)", ROWS - 1);
        session.sql(&format!("insert into {table} {rows}")).await.unwrap();
    }
    warehouse
}

fn sorted(rows: &[RecordBatch]) -> Vec<i64> {
    let mut values: Vec<i64> =
        rows.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    values.sort();
    values
}

/// Totals, and what was pruned statically and dynamically, of one kind of part.
fn parts(plan: &Arc<dyn ExecutionPlan>, table: &str, part: &str) -> [usize; 3] {
    let of = |name: String| counted(plan, table, &name);
    [of(part.to_string()), of(format!("{part}_pruned_static")), of(format!("{part}_pruned_dynamic"))]
}

const PARTS: [&str; 4] = ["slices", "segments", "chunks", "zones"];

/// What the table really has of [`PARTS`].
async fn totals(warehouse: &Warehouse, table: &str) -> [usize; 4] {
    let (_, state) = state(warehouse, table).await;
    let slices: std::collections::BTreeSet<u32> = state.segments.iter().map(|s| s.slice).collect();
    let pieces = |rows: usize| state.segments.iter().map(|s| (s.rows as usize).div_ceil(rows)).sum();
    [slices.len(), state.segments.len(), pieces(CHUNK_ROWS), pieces(ZONE_ROWS)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_over_partitions_are_true_counts() {
    for threads in [1, 2, 4] {
        let warehouse = tables(threads).await;
        let session = warehouse.session();
        for table in TABLES {
            let totals = totals(&warehouse, table).await;
            assert_eq!(totals[0], if table == "copied" { 1 } else { SLICES as usize });
            let check = async |condition: &str, pruned: [usize; 4]| {
                let sql = format!("select v from {table} where {condition}");
                let (_, plan) = measured(session.context(), &sql).await;
                for ((part, total), pruned) in PARTS.into_iter().zip(totals).zip(pruned) {
                    let found = parts(&plan, table, part);
                    assert_eq!(found, [total, pruned, 0], "{part} of {sql} on {threads} threads");
                }
            };
            check("w like '%or%'", [0; 4]).await;
            check("v < 0", totals).await;
        }
        // Where one slice holds all rows in order, what is left can be told.
        for first in [1, ZONE_ROWS, CHUNK_ROWS - 1, CHUNK_ROWS, 1000, SEGMENT_ROWS * 3, ROWS - 1] {
            let (rows, plan) = measured(session.context(), &format!("select v from copied where v >= {first}")).await;
            assert_eq!(sorted(&rows).len(), ROWS - first);
            let pruned = PARTS.map(|part| parts(&plan, "copied", part)[1]);
            assert_eq!(pruned, [0, first / SEGMENT_ROWS, first / CHUNK_ROWS, first / ZONE_ROWS], "from {first}");
        }
        // The distribution key leaves one slice.
        let (_, plan) = measured(session.context(), "select v from by_key where k = 700").await;
        assert!(parts(&plan, "by_key", "slices")[1] >= SLICES as usize - 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dynamic_filters_prune_at_most_what_there_is() {
    let warehouse = tables(4).await;
    let session = warehouse.session();
    for table in TABLES {
        let sql = format!("select t.v from {table} t join (values (3), (5)) d(x) on t.v = d.x + 1000");
        let (rows, plan) = measured(session.context(), &sql).await;
        assert_eq!(sorted(&rows), [1003, 1005]);
        for part in PARTS {
            let [total, by_text, dynamic] = parts(&plan, table, part);
            assert!(by_text == 0 && dynamic <= total, "{part} of {table}: {dynamic} of {total}");
            assert!(part == "slices" || dynamic > 0, "{part} of {table}: none of {total}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_read_is_counted() {
    let warehouse = tables(4).await;
    let session = warehouse.session();
    for table in TABLES {
        delete_where(&warehouse, table, "v % 10 = 3", Place::Object).await.unwrap();
        let mut first = 0;
        let sql = format!("select v, w from {table} where w <> 'word 1'");
        // The table's statistics are read by who plans, not by the scan.
        plan(session.context(), &sql).await;
        for run in 0..2 {
            let before = warehouse.bytes_read();
            let (_, plan) = measured(session.context(), &sql).await;
            let counted = counted(&plan, table, "bytes_read") as u64;
            assert_eq!(counted, warehouse.bytes_read() - before, "{table}, run {run}");
            // Footers and dictionaries are in memory then.
            assert!(run == 0 || (counted > 0 && counted < first), "{table}: {first} and then {counted} bytes");
            first = counted;
        }
    }
}

async fn plan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    context.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
}

/// As processes do that execute one partition each: every one has a plan of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_of_plans_of_their_own_read_each_row_once() {
    let warehouse = tables(4).await;
    let session = warehouse.session();
    session.sql("set datafusion.execution.enable_file_stream_work_stealing = false").await.unwrap();
    let context = session.context();
    for table in TABLES {
        for sql in [format!("select v from {table}"), format!("select v from {table} where w <> 'word 1'")] {
            let partitions = plan(context, &sql).await.output_partitioning().partition_count();
            assert_eq!(partitions, SLICES as usize, "{sql}");
            let mut rows = Vec::new();
            for partition in 0..partitions {
                let stream = plan(context, &sql).await.execute(partition, context.task_ctx()).unwrap();
                rows.extend(stream.try_collect::<Vec<_>>().await.unwrap());
            }
            let filtered = sql.contains("where");
            let expected: Vec<i64> = (0..ROWS as i64).filter(|v| !filtered || v % 3 != 1).collect();
            assert_eq!(sorted(&rows), expected, "{sql}");
        }
    }
}

/// The way that [`crate::Output::plan`] names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_runs_again_once_it_is_reset() {
    let warehouse = tables(4).await;
    let session = warehouse.session();
    for table in TABLES {
        let output = session.sql(&format!("select v from {table}")).await.unwrap();
        let plan = Arc::clone(output.plan().unwrap());
        assert_eq!(sorted(&output.collect().await.unwrap()).len(), ROWS);
        let again = reset_plan_states(plan).unwrap();
        let rows = collect(again, session.context().task_ctx()).await.unwrap();
        assert_eq!(sorted(&rows), (0..ROWS as i64).collect::<Vec<_>>(), "{table}");
    }
}
