//! One plan executed in several ways gives all rows each time.

use datafusion::physical_plan::{collect, collect_partitioned};
use futures::TryStreamExt;

use super::util::*;
use crate::engine::Warehouse;
use crate::format::Geometry;

const LAYOUTS: [&str; 4] = ["diststyle even", "diststyle all", "diststyle auto", "distkey(k)"];

async fn table(layout: &str) -> Warehouse {
    let warehouse = warehouse(4, 4, Geometry::TINY).await;
    let session = warehouse.session();
    session.sql(&format!("create table t (k int, v int) {layout}")).await.unwrap();
    session.sql("insert into t select v, v from generate_series(1, 500) g(v)").await.unwrap();
    warehouse
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_gives_its_rows_each_time() {
    for layout in LAYOUTS {
        let warehouse = table(layout).await;
        let session = warehouse.session();
        let context = session.context();
        let plan = context.sql("select k from t").await.unwrap().create_physical_plan().await.unwrap();
        for round in 0..3 {
            let rows = collect(plan.clone(), context.task_ctx()).await.unwrap();
            assert_eq!(rows.iter().map(|b| b.num_rows()).sum::<usize>(), 500, "{layout}, round {round}");
        }
        let rounds = [(); 2].map(|_| collect_partitioned(plan.clone(), context.task_ctx()));
        for rows in futures::future::join_all(rounds).await {
            let rows: usize = rows.unwrap().iter().flatten().map(|b| b.num_rows()).sum();
            assert_eq!(rows, 500, "{layout}, side by side");
        }
    }
}

/// An operator may execute one partition anew before it has come to another: no round takes rows from the next.
#[tokio::test]
async fn a_partition_gives_the_same_rows_each_time() {
    for layout in LAYOUTS {
        let warehouse = table(layout).await;
        let session = warehouse.session();
        let context = session.context();
        let plan = context.sql("select k from t").await.unwrap().create_physical_plan().await.unwrap();
        let partitions = plan.properties().partitioning.partition_count();
        assert_eq!(partitions, 4, "{layout}");
        let rows = async |partition| {
            let stream = plan.execute(partition, context.task_ctx()).unwrap();
            lines(&stream.try_collect::<Vec<_>>().await.unwrap())
        };
        let first = rows(0).await;
        assert_eq!(rows(0).await, first, "{layout}, again and before the others");
        let mut all = first;
        for partition in 1..partitions {
            let own = rows(partition).await;
            assert_eq!(rows(partition).await, own, "{layout}, partition {partition}");
            all.extend(own);
        }
        all.retain(|line| !line.contains('k'));
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!((count, all.len()), (500, 500), "{layout}");
    }
}

/// Where each partition runs by itself, in a process of its own with a plan of its own, none takes another's rows.
#[tokio::test]
async fn partitions_without_siblings_keep_to_their_own_rows() {
    for layout in LAYOUTS {
        let warehouse = table(layout).await;
        let mut keys = Vec::new();
        let mut partitions = 1;
        let mut partition = 0;
        while partition < partitions {
            let session = warehouse.session();
            session.sql("set datafusion.execution.enable_file_stream_work_stealing = false").await.unwrap();
            let context = session.context();
            let plan = context.sql("select k from t").await.unwrap().create_physical_plan().await.unwrap();
            partitions = plan.properties().partitioning.partition_count();
            let rows = plan.execute(partition, context.task_ctx()).unwrap().try_collect::<Vec<_>>().await.unwrap();
            keys.extend(lines(&rows).into_iter().filter(|l| !l.contains('k')));
            partition += 1;
        }
        assert_eq!(partitions, 4, "{layout}");
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 500, "{layout}");
    }
}

/// A nested loop join whose build side is too large for memory reads it a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_spills_has_all_rows() {
    let folder = tempfile::tempdir().unwrap();
    let open =
        |memory| Warehouse::builder().slices(2).threads(2).memory_limit(memory).open(folder.path().to_str().unwrap());
    let session = open(1 << 30).await.unwrap().session();
    for (name, rows) in [("a", 150_000), ("b", 40)] {
        session.sql(&format!("create table {name} (x bigint, filler varchar(40)) diststyle even")).await.unwrap();
        let filler = "'some text to fill memory ' || v";
        let insert = format!("insert into {name} select v, {filler} from generate_series(1, {rows}) g(v)");
        session.sql(&insert).await.unwrap();
    }
    drop(session);
    let session = open(4 << 20).await.unwrap().session();
    session.sql("set datafusion.optimizer.join_reordering = false").await.unwrap();
    let join = session.sql("select a.filler from a join b on a.x < b.x").await.unwrap();
    let plan = join.plan().unwrap().clone();
    let rows: usize = join.collect().await.unwrap().iter().map(|b| b.num_rows()).sum();
    assert_eq!(rows, 40 * 39 / 2);
    let spills = datafusion::physical_plan::display::DisplayableExecutionPlan::with_metrics(plan.as_ref());
    let spills = spills.indent(true).to_string();
    assert!(spills.contains("spill_count=") && !spills.contains("spill_count=0"), "{spills}");
}
