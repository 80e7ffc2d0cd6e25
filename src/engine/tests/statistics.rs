//! Statistics of tables: made by loads, kept by commits, refined by ANALYZE, told to DataFusion.

use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::prelude::{col, lit};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use super::util::{Place, batches, delete_where, error, ours, state, warehouse};
use crate::catalog::{Blob, Extent, ObjectId, StatisticsRef, TableState, Telling, Transaction, WarehouseStore, paths};
use crate::common::{ColumnId, SqlState, UserId};
use crate::engine::catalog_provider::{know_statistics, scan_table};
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;
use crate::physical_plan::estimate::TableView;
use crate::statistics::{ColumnStatistics, TableStatistics, Use};

async fn run(session: &Session, sql: &str) -> Vec<String> {
    session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e:?}")).notices
}

/// The table's statistics.
async fn statistics(warehouse: &Warehouse, name: &str) -> Option<(StatisticsRef, Arc<TableStatistics>)> {
    let (pin, state) = state(warehouse, name).await;
    let reference = state.statistics?;
    let read = warehouse.inner.segments.at(pin).statistics(&reference).await;
    Some((reference, read.unwrap_or_else(|| panic!("the statistics of {name} cannot be read"))))
}

async fn column(warehouse: &Warehouse, name: &str, id: u32) -> ColumnStatistics {
    statistics(warehouse, name).await.unwrap().1.columns.get(&ColumnId(id)).cloned().unwrap_or_default()
}

/// About how many distinct values the sketch of a column has seen.
async fn distinct(warehouse: &Warehouse, name: &str, id: u32) -> f64 {
    column(warehouse, name, id).await.sketch.unwrap().distinct.estimate().round()
}

/// Rows inserted and deleted since loads' or ANALYZE's statistics.
fn uncovered(state: &TableState) -> (u64, u64) {
    state.changed_since(&state.statistics.unwrap().covers)
}

#[tokio::test]
async fn loads_make_statistics_and_keep_them() {
    let warehouse = warehouse(3, 2, Geometry::TINY).await;
    let session = warehouse.session();
    run(&session, "create table t (k bigint, word varchar(40)) diststyle even").await;
    // Fewer rows than a zone say nothing.
    run(&session, "insert into t values (1, 'a'), (2, null)").await;
    assert!(statistics(&warehouse, "t").await.is_none());
    run(&session, "insert into t select v % 50, 'word number ' || (v % 20) from generate_series(1, 500) s(v)").await;
    let (first, _) = statistics(&warehouse, "t").await.unwrap();
    let (_, loaded) = state(&warehouse, "t").await;
    assert_eq!((first.covers.live_rows, first.analyzed, uncovered(&loaded)), (502, None, (0, 0)));
    // The rows that came before are in it.
    assert_eq!(column(&warehouse, "t", 1).await.sketch.unwrap().rows, 502);
    assert_eq!((distinct(&warehouse, "t", 1).await, distinct(&warehouse, "t", 2).await), (50.0, 21.0));
    let payload = column(&warehouse, "t", 2).await.sketch.unwrap().payload_per_row();
    assert!((12.0..14.0).contains(&payload), "{payload}");
    // A tenth more leaves them as they are, and is counted.
    run(&session, "insert into t select 1000 + v, 'x' from generate_series(1, 50) s(v)").await;
    let (kept, _) = statistics(&warehouse, "t").await.unwrap();
    let (_, grown) = state(&warehouse, "t").await;
    assert_eq!((kept, uncovered(&grown)), (first, (50, 0)));
    // More than a tenth in all is merged, those fifty among them.
    run(&session, "insert into t select 2000 + v, 'x' from generate_series(1, 20) s(v)").await;
    let (merged, _) = statistics(&warehouse, "t").await.unwrap();
    let (_, all) = state(&warehouse, "t").await;
    assert_ne!(merged, kept);
    assert_eq!((merged.covers.live_rows, uncovered(&all)), (572, (0, 0)));
    let seen = distinct(&warehouse, "t", 1).await;
    assert!((118.0..=122.0).contains(&seen), "{seen}");
    // An old version still tells what it told: nothing is rewritten.
    assert_ne!(merged.extent, first.extent);
    // A table made from a query has them from the start.
    run(&session, "create table made as select * from t").await;
    assert_eq!(statistics(&warehouse, "made").await.unwrap().0.covers.live_rows, 572);
}

#[tokio::test]
async fn statistics_outlast_reopening_checkpoints_and_collection() {
    let store = WarehouseStore::memory();
    let open = || async {
        let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY).store(store.clone());
        builder.open("memory://").await.unwrap()
    };
    let warehouse = open().await;
    let session = warehouse.session();
    run(&session, "create table t (k int, v int)").await;
    run(&session, "insert into t select v, v % 7 from generate_series(1, 300) s(v)").await;
    run(&session, "analyze t").await;
    let before = statistics(&warehouse, "t").await.unwrap();
    assert!(before.0.analyzed.is_some());
    warehouse.collect().await.unwrap();
    let other = open().await;
    assert_eq!(statistics(&other, "t").await.unwrap(), before);
    other.close().await.unwrap();
    warehouse.inner.catalog.checkpoint().await.unwrap();
    warehouse.collect().await.unwrap();
    let again = open().await;
    assert_eq!(statistics(&again, "t").await.unwrap(), before);
    // What was replaced goes once nobody can see it.
    run(&again.session(), "insert into t select v, v from generate_series(1, 300) s(v)").await;
    drop(session);
    warehouse.close().await.unwrap();
    again.collect().await.unwrap();
    let new = statistics(&again, "t").await.unwrap();
    assert_ne!(new.0.extent, before.0.extent);
    let there = async |of: &StatisticsRef| store.objects().head(&paths::object(&of.extent.object)).await.is_ok();
    assert!(!there(&before.0).await && there(&new.0).await);
}

#[tokio::test]
async fn analyze_describes_columns() {
    let warehouse = warehouse(3, 2, Geometry::TINY).await;
    let session = warehouse.session();
    run(&session, "create table t (k int, kind varchar(10), gap int, price decimal(9,2), x double precision)").await;
    let insert = "insert into t select v, case when v % 10 < 7 then 'often' else 'rare' || (v % 3) end, \
                  case when v % 4 = 0 then null else v % 100 end, v / 7.0, v * 0.5 from generate_series(1, 4000) s(v)";
    run(&session, insert).await;
    let notices = run(&session, "analyze verbose t").await;
    assert_eq!(notices, ["table \"t\": 5 columns analyzed, 4000 of 4000 rows sampled"]);
    let (reference, all) = statistics(&warehouse, "t").await.unwrap();
    assert_eq!(reference.analyzed.unwrap().live_rows, 4000);
    let of = |id: u32| all.columns[&ColumnId(id)].distribution.clone().unwrap();
    assert_eq!((of(1).common.len(), of(1).bounds.len(), of(1).distinct), (0, 101, 4000.0));
    assert_eq!((of(2).common.len(), of(2).bounds.len(), of(2).distinct), (4, 0, 4.0));
    assert!((of(2).common[0].1 - 0.7).abs() < 1e-9, "{:?}", of(2));
    assert!((of(3).nulls - 0.25).abs() < 1e-9 && of(3).distinct == 75.0, "{:?}", of(3));
    assert!(of(4).bounds.len() == 101 && of(5).bounds.len() == 101);
    let sketched = distinct(&warehouse, "t", 3).await;
    assert!((70.0..=80.0).contains(&sketched), "{sketched}");
    // Nothing changed: nothing to do, and it says so.
    let notices = run(&session, "analyze t").await;
    assert!(notices[0].contains("was skipped: 0 rows changed"), "{notices:?}");
    // A fifth more is looked at; what was counted in between is no change.
    run(&session, "insert into t select 5000 + v, 'new', 1, 1, 1 from generate_series(1, 800) s(v)").await;
    assert_eq!(run(&session, "analyze t").await, Vec::<String>::new());
    assert_eq!(statistics(&warehouse, "t").await.unwrap().0.analyzed.unwrap().live_rows, 4800);
    run(&session, "insert into t values (9000, 'new', 1, 1, 1)").await;
    assert!(run(&session, "analyze").await[0].contains("1 rows changed"), "one of 4801");
    run(&session, "set analyze_threshold_percent to 0.01").await;
    assert_eq!(run(&session, "analyze verbose").await.len(), 1);
    run(&session, "set analyze_threshold_percent to 0").await;
    assert_eq!(run(&session, "analyze verbose t").await.len(), 1);
    // Only what is listed; what was known of the others stays.
    let before = column(&warehouse, "t", 1).await;
    run(&session, "insert into t select 20000 + v, 'later', 1, 1, 1 from generate_series(1, 5000) s(v)").await;
    let notices = run(&session, "analyze verbose t (kind)").await;
    assert!(notices[0].contains("1 column analyzed"), "{notices:?}");
    assert_eq!(column(&warehouse, "t", 1).await.distribution, before.distribution);
    assert_eq!(column(&warehouse, "t", 2).await.distribution.unwrap().rows, 9801);
    // A column that never was analyzed is no reason to skip.
    run(&session, "set analyze_threshold_percent to default").await;
    run(&session, "create table u (a int, b int)").await;
    assert_eq!(run(&session, "analyze verbose u").await, ["table \"u\" has no rows to analyze"]);
    run(&session, "insert into u values (1, 2)").await;
    run(&session, "analyze u (a)").await;
    assert!(run(&session, "analyze verbose u").await[0].contains("2 columns analyzed"));
}

#[tokio::test]
async fn a_sample_of_a_large_table_is_spread_over_it() {
    let warehouse = warehouse(2, 2, Geometry::new(64, 256).unwrap()).await;
    let session = warehouse.session();
    run(&session, "create table t (k int, day int, g int) diststyle even sortkey (k)").await;
    run(&session, "insert into t select v, v / 1000, v % 1000 from generate_series(0, 199999) s(v)").await;
    let notices = run(&session, "analyze verbose t").await;
    let sampled: f64 = notices[0].split(", ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((25_000.0..=40_000.0).contains(&sampled), "{notices:?}");
    let (pin, state) = state(&warehouse, "t").await;
    know_statistics(&warehouse, &pin, &state).await;
    let table = scan_table(&warehouse, pin, &state).unwrap();
    let view = TableView::new(&table);
    for (ordinal, truth) in [(0, 200_000.0), (1, 200.0), (2, 1000.0)] {
        let estimate = view.column(ordinal).distinct();
        assert!((estimate / truth - 1.0).abs() < 0.1, "{ordinal}: {estimate}");
    }
    let bounds = column(&warehouse, "t", 1).await.distribution.unwrap().bounds;
    for (i, bound) in bounds.iter().enumerate() {
        let crate::common::Scalar::Int(k) = bound else { panic!("{bound:?}") };
        assert!((*k - 2000 * i as i128).abs() <= 1500, "part {i} ends at {k}");
    }
}

#[tokio::test]
async fn two_writers_and_analyze_never_conflict() {
    let store = WarehouseStore::memory();
    let open = || async {
        let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY).store(store.clone());
        builder.open("memory://").await.unwrap()
    };
    let (one, two) = (open().await, open().await);
    run(&one.session(), "create table t (k int)").await;
    run(&one.session(), "insert into t select v from generate_series(1, 100) s(v)").await;
    let (pin, table) = state(&two, "t").await;
    // A load that began here and ends after another: its statistics were made from some that are no longer the table's.
    let mut late = Transaction::new(two.inner.catalog.options().ids.next(), pin.version, UserId(100));
    let replaced = table.statistics.map(|s| s.extent);
    let extent = table.statistics.unwrap().extent;
    let other = Extent { len: extent.len - 1, ..extent };
    late.set_statistics(&table.def, Blob::Stored(other), Telling::Loaded { replaced, live_rows: 100 });
    run(&one.session(), "insert into t select 1000 + v from generate_series(1, 100) s(v)").await;
    let before = statistics(&one, "t").await.unwrap();
    two.inner.catalog.commit(late).await.unwrap();
    assert_eq!(statistics(&one, "t").await.unwrap(), before);
    // One that adds rows beside others' covers what it has seen.
    let (pin, table) = state(&two, "t").await;
    let mut late = Transaction::new(two.inner.catalog.options().ids.next(), pin.version, UserId(100));
    let replaced = table.statistics.map(|s| s.extent);
    let telling = Telling::Loaded { replaced, live_rows: table.live_rows() };
    late.set_statistics(&table.def, Blob::Stored(before.0.extent), telling);
    run(&one.session(), "insert into t values (5)").await;
    two.inner.catalog.commit(late).await.unwrap();
    let (_, after) = state(&one, "t").await;
    assert_eq!(uncovered(&after), (1, 0));
    // Concurrent statements of all kinds end well, and the last word stands.
    let statements = (0..6).map(|i| {
        let warehouse = if i % 2 == 0 { one.clone() } else { two.clone() };
        async move {
            let session = warehouse.session();
            run(&session, &format!("insert into t select v + {i} from generate_series(1, 200) s(v)")).await;
            run(&session, "set analyze_threshold_percent to 0").await;
            run(&session, "analyze t").await;
        }
    });
    futures::future::join_all(statements).await;
    assert_eq!(ours(&one.session(), "select count(*) from t").await, ["| 1401     |", "| count(*) |"]);
    let (reference, _) = statistics(&two, "t").await.unwrap();
    assert!(reference.analyzed.is_some());
    one.inner.catalog.snapshot().check_invariants().unwrap();
    // A table that is gone meanwhile is no conflict either.
    let (pin, table) = state(&two, "t").await;
    let mut late = Transaction::new(two.inner.catalog.options().ids.next(), pin.version, UserId(100));
    late.set_statistics(&table.def, Blob::Stored(reference.extent), Telling::Analyzed { live_rows: 1 });
    run(&one.session(), "drop table t").await;
    two.inner.catalog.commit(late).await.unwrap();
}

/// Overwrites the object that a table's statistics stand in.
async fn damage(store: &WarehouseStore, reference: &StatisticsRef, bytes: Option<Vec<u8>>) {
    assert!(matches!(reference.extent.object, ObjectId::Data { .. }));
    let path = paths::object(&reference.extent.object);
    let objects: &Arc<dyn ObjectStore> = store.objects();
    match bytes {
        Some(bytes) => drop(objects.put(&path, PutPayload::from(bytes)).await.unwrap()),
        None => objects.delete(&path).await.unwrap(),
    }
}

#[tokio::test]
async fn damaged_statistics_are_only_missed() {
    let store = WarehouseStore::memory();
    let open = || async {
        let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY).store(store.clone());
        builder.open("memory://").await.unwrap()
    };
    let warehouse = open().await;
    run(&warehouse.session(), "create table t (k int, v int)").await;
    run(&warehouse.session(), "insert into t select v, v % 7 from generate_series(1, 300) s(v)").await;
    run(&warehouse.session(), "analyze t").await;
    let (reference, good) = statistics(&warehouse, "t").await.unwrap();
    let good = good.encode();
    let answer = ours(&warehouse.session(), "select v, count(*) from t where k < 200 group by v").await;
    let mut flipped = good.clone();
    flipped[40] ^= 1;
    let later: Vec<u8> = good.iter().enumerate().map(|(i, b)| if i == 8 { 9 } else { *b }).collect();
    for bytes in [Some(flipped), Some(later), Some(good[..30].to_vec()), Some(Vec::new()), Some(vec![0; 5000]), None] {
        damage(&store, &reference, bytes).await;
        let warehouse = open().await;
        let session = warehouse.session();
        assert_eq!(ours(&session, "select v, count(*) from t where k < 200 group by v").await, answer);
        let (pin, table) = state(&warehouse, "t").await;
        assert!(warehouse.inner.segments.at(pin).statistics(&table.statistics.unwrap()).await.is_none());
        batches(&session, "select * from predicate_columns").await;
    }
    // A load that would add to them begins anew, from the footers of all segments.
    let warehouse = open().await;
    let session = warehouse.session();
    run(&session, "insert into t select 1000 + v, 8 from generate_series(1, 100) s(v)").await;
    let healed = column(&warehouse, "t", 1).await;
    assert_eq!((healed.sketch.unwrap().rows, healed.distribution), (400, None));
    run(&session, "analyze t").await;
    assert!(column(&warehouse, "t", 1).await.distribution.is_some());
}

/// A segment whose footer's sketches are damaged is read like any other, and adds nothing to the statistics.
#[tokio::test]
async fn damaged_sketches_are_only_missed() {
    let store = WarehouseStore::memory();
    let open = || async {
        let builder = Warehouse::builder().slices(1).threads(1).geometry(Geometry::TINY).store(store.clone());
        builder.open("memory://").await.unwrap()
    };
    let warehouse = open().await;
    let session = warehouse.session();
    run(&session, "create table t (k int, v int) diststyle even").await;
    for from in [0, 10_000] {
        // More than stands in a log entry.
        let insert = format!("insert into t select {from} + v, v * 7919 % 1000003 from generate_series(1, 10000) s(v)");
        run(&session, &insert).await;
    }
    let answer = ours(&session, "select count(*), sum(k), min(v) from t where k > 5000").await;
    let (pin, table) = state(&warehouse, "t").await;
    let damaged = &table.segments[0];
    let path = paths::object(&damaged.extent.object);
    let mut bytes = store.objects().get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    let footer = warehouse.inner.segments.at(pin).open(damaged).await.unwrap();
    let sketches = footer.footer.sketches().unwrap().unwrap();
    let at = bytes.windows(sketches.len()).position(|b| b == sketches).unwrap();
    bytes[at + 3] ^= 1;
    store.objects().put(&path, PutPayload::from(bytes)).await.unwrap();
    let again = open().await;
    assert_eq!(ours(&again.session(), "select count(*), sum(k), min(v) from t where k > 5000").await, answer);
    run(&again.session(), "analyze t").await;
    let known = column(&again, "t", 1).await;
    let all: u64 = table.segments.iter().map(|s| u64::from(s.rows)).sum();
    assert_eq!(known.sketch.unwrap().rows, all - u64::from(damaged.rows));
    // The sample makes up for them.
    assert!((known.distribution.unwrap().distinct - 20_000.0).abs() < 1.0);
}

#[tokio::test]
async fn stats_off_tells_of_changes() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    run(&session, "create table t (k int)").await;
    run(&session, "insert into t values (1)").await;
    let off = "select stats_off from svv_table_info";
    assert_eq!(ours(&session, off).await[0], "| 100.00    |");
    run(&session, "insert into t select v from generate_series(1, 199) s(v)").await;
    assert_eq!(ours(&session, off).await[0], "| 0.00      |");
    assert_eq!(
        ours(&session, "select * from pg_statistic_indicator").await[0],
        "| 1         | 200.0    | 0.0     | 0.0      |"
    );
    run(&session, "analyze t").await;
    run(&session, "insert into t select v from generate_series(1, 50) s(v)").await;
    assert_eq!(ours(&session, off).await[0], "| 20.00     |");
    let dead = delete_where(&warehouse, "t", "k % 10 = 0", Place::LogEntry).await.unwrap();
    assert!(dead > 20);
    let line = &ours(&session, "select * from pg_statistic_indicator").await[0];
    assert_eq!(*line, format!("| 1         | 200.0    | 50.0    | {dead}.0     |"));
}

#[tokio::test]
async fn columns_that_queries_use_are_noted() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    run(&session, "create table t (a int, b int, c int, d int, e int) diststyle even sortkey (e)").await;
    run(&session, "create table u (a int, x int) distkey (a)").await;
    for table in ["t", "u"] {
        run(
            &session,
            &format!(
                "insert into {table} select {} from generate_series(1, 20) s(v)",
                match table {
                    "t" => "v, v, v, v, v",
                    _ => "v, v",
                }
            ),
        )
        .await;
    }
    assert!(run(&session, "analyze verbose t predicate columns").await[0].contains("5 columns"));
    let query = "select renamed.b, count(*) from (select a as first, b, c from t where c > 3) renamed \
                 join u on renamed.first = u.x group by renamed.b having count(*) > 0";
    batches(&session, query).await;
    let (_, table) = state(&warehouse, "t").await;
    let used = warehouse.inner.uses.of(table.def.id);
    let how = |id: u32| used.get(&ColumnId(id)).map(|used| used.how);
    assert_eq!((how(1), how(2), how(3)), (Some(Use::JOIN), Some(Use::GROUP), Some(Use::FILTER)));
    assert_eq!((how(4), how(5)), (None, None));
    run(&session, "set analyze_threshold_percent to 0").await;
    let notices = run(&session, "analyze verbose predicate columns").await;
    assert!(notices[0].contains("\"t\": 4 columns") && notices[1].contains("\"u\": 2 columns"), "{notices:?}");
    let shown = "select table_name, col_name, is_predicate, first_predicate_use is not null as used from predicate_columns \
                 where table_name = 't' order by col_num";
    let lines = ours(&session, shown).await;
    for (column, predicate, used) in [("a", true, true), ("d", false, false), ("e", true, false)] {
        let wanted = lines.iter().find(|line| line.contains(&format!("| {column} "))).unwrap();
        let cells: Vec<&str> = wanted.split('|').map(str::trim).collect();
        assert_eq!(
            (cells[3], cells[4]),
            (if predicate { "true" } else { "false" }, if used { "true" } else { "false" })
        );
    }
    // Kept with the statistics: another process knows.
    assert_eq!(column(&warehouse, "t", 3).await.used.unwrap().how, Use::FILTER);
}

/// What DataFusion makes of the statistics: its join estimate goes by distinct values, and its choice of side by bytes.
#[tokio::test]
async fn datafusion_is_told() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    run(&session, "create table facts (k int, dim int, note varchar(100)) diststyle even").await;
    run(&session, "create table dims (id int, name varchar(20)) diststyle even").await;
    run(&session, "insert into facts select v, v % 40 * 1000, repeat('n', 50) from generate_series(1, 2000) s(v)")
        .await;
    run(&session, "insert into dims select v * 1000, 'dim ' || v from generate_series(0, 39) s(v)").await;
    let plan = |sql: &'static str| {
        let session = &session;
        async move { Arc::clone(session.sql(sql).await.unwrap().plan().unwrap()) }
    };
    let compute = |plan: &Arc<dyn datafusion::physical_plan::ExecutionPlan>| {
        StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).unwrap()
    };
    let scan = plan("select dim, note from facts").await;
    let mut found = None;
    scan.apply(|node| {
        if node.is::<DataSourceExec>() {
            found = Some(compute(node));
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    let told = found.unwrap();
    assert_eq!(told.num_rows, Precision::Exact(2000));
    let dims = told.column_statistics[0].distinct_count;
    assert!(!dims.is_exact().unwrap() && (39..=41).contains(dims.get_value().unwrap()), "{dims:?}");
    assert_eq!(told.column_statistics[1].distinct_count, Precision::Inexact(1));
    // 4 bytes of INTEGER, a view of 16 and 50 beside it.
    assert_eq!(told.total_byte_size, Precision::Inexact(2000 * (4 + 16 + 50)));
    // By minimum and maximum alone each dim would be one of 39,001 values.
    let joined = plan("select * from facts join dims on dim = id").await;
    let mut rows = None;
    joined
        .apply(|node| {
            if node.is::<HashJoinExec>() {
                rows = compute(node).num_rows.get_value().copied();
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
    let rows = rows.unwrap();
    assert!((1900..2100).contains(&rows), "{rows}");
    // Counting distinct values is never answered from a sketch.
    assert_eq!(ours(&session, "select count(distinct k) as n from facts").await[0], "| 2000 |");
}

#[tokio::test]
async fn rules_can_ask_for_estimates() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    run(&session, "create table t (k int, kind varchar(9)) diststyle even").await;
    let insert =
        "insert into t select v, case when v % 10 = 0 then 'rare' else 'often' end from generate_series(1, 3000) s(v)";
    run(&session, insert).await;
    run(&session, "analyze t").await;
    let running = session.begin_at(warehouse.pin_newest().await.unwrap()).unwrap();
    let provider = running.state.catalog_list().catalog("dev").unwrap().schema("public").unwrap();
    let provider = provider.table("t").await.unwrap().unwrap();
    let table = provider.downcast_ref::<crate::physical_plan::provider::BlueshiftTable>().unwrap();
    let options = running.state.config_options();
    let estimate = |filters: &[datafusion::prelude::Expr]| table.estimate(options, filters).unwrap().unwrap();
    let all = estimate(&[]);
    assert_eq!((all.rows, all.distinct[1]), (3000.0, 2.0), "{all:?}");
    assert!((all.distinct[0] - 3000.0).abs() < 200.0);
    let rare = estimate(&[col("x.kind").eq(lit("rare"))]);
    assert!((rare.rows - 300.0).abs() < 3.0, "{rare:?}");
    assert!((rare.distinct[0] - 300.0).abs() < 30.0 && rare.distinct[1] == 1.0, "{rare:?}");
    let low = estimate(&[col("k").lt_eq(lit(30)), col("kind").eq(lit("often"))]);
    assert!((15.0..60.0).contains(&low.rows), "{low:?}");
    assert!(table.estimate(options, &[col("nothing").eq(lit(1))]).is_err());
}

#[tokio::test]
async fn analyze_can_be_cancelled_and_names_what_is_wrong() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    run(&session, "create table t (k int)").await;
    run(&session, "insert into t select v from generate_series(1, 100) s(v)").await;
    let e = error(&session, "analyze nowhere").await;
    assert_eq!((e.state(), e.position().map(|p| p.column)), (SqlState::UNDEFINED_TABLE, Some(9)));
    let e = error(&session, "analyze t (k, missing)").await;
    assert_eq!((e.state(), e.position().map(|p| p.column)), (SqlState::UNDEFINED_COLUMN, Some(15)));
    let running = session.begin_at(warehouse.pin_newest().await.unwrap()).unwrap();
    session.cancel();
    let crate::sql::Statement::Analyze(statement) = crate::sql::parse_one("analyze t").unwrap() else { panic!() };
    let e = crate::engine::statistics::analyze(&running, statement).await.map(|_| ()).unwrap_err();
    assert_eq!(e.state(), SqlState::QUERY_CANCELED);
    let (before, _) = statistics(&warehouse, "t").await.unwrap();
    assert!(before.analyzed.is_none());
}
