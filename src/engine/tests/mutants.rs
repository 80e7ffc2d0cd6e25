//! Lies that the comparison with DataFusion must find: a harness that cannot fail proves nothing.

use std::sync::Arc;

use datafusion::prelude::SessionContext;

use super::util::*;
use crate::catalog::{EffectiveDist, TableDef};
use crate::common::{Bounds, ErrorKind, Scalar, SortKey, SortStyle};
use crate::distribution::HASH_ID;
use crate::engine::Warehouse;
use crate::engine::error::from_datafusion;
use crate::format::Geometry;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::scan::ScanTable;

const JOIN: &str = "select count(*), sum(a.n), sum(b.n) from a join b on a.k = b.k";
const GROUP: &str = "select k, count(*), sum(n) from a group by k";

/// Tables `a` (distributed and sorted by k), `b` (by k), `c` (the rows of `b`, by n).
async fn tables() -> Warehouse {
    let warehouse = warehouse(4, 4, Geometry::TINY).await;
    let session = warehouse.session();
    for (name, layout, rows) in [
        ("a", "distkey(k) sortkey(k)", "select v % 61, v from generate_series(0, 399) g(v)"),
        ("b", "distkey(k)", "select v % 47, v from generate_series(0, 299) g(v)"),
        ("c", "distkey(n)", "select v % 47, v from generate_series(0, 299) g(v)"),
    ] {
        session.sql(&format!("create table {name} (k bigint, n bigint) {layout}")).await.unwrap();
        session.sql(&format!("insert into {name} {rows}")).await.unwrap();
    }
    warehouse
}

/// A context like a session's, so that joins meet the scans' claims, in which the tables are as given.
async fn context(
    warehouse: &Warehouse,
    a: impl FnOnce(&mut ScanTable),
    b: (&str, impl FnOnce(&mut ScanTable)),
) -> SessionContext {
    let context = plain(4);
    // The partitioned join is the one that relies on where rows are.
    {
        let state = context.state_ref();
        let mut state = state.write();
        let options = state.config_mut().options_mut();
        options.optimizer.hash_join_single_partition_threshold = 0;
        options.optimizer.hash_join_single_partition_threshold_rows = 0;
        // By which scans tell where rows are.
        options.extensions.insert(BlueshiftOptions::default());
    }
    context.register_table("a", HandMade::of(warehouse, "a", a).await).unwrap();
    context.register_table("b", HandMade::of(warehouse, b.0, b.1).await).unwrap();
    context
}

fn nothing(_: &mut ScanTable) {}

fn key(table: &mut ScanTable, name: &str) {
    let mut def = (*table.def).clone();
    let id = def.columns.iter().find(|c| c.name == name).unwrap().id;
    def.dist = crate::common::DistStyle::Key(id);
    def.effective_dist = EffectiveDist::Key(id);
    table.def = Arc::new(def);
}

fn permuted(table: &mut ScanTable) {
    alter_segments(table, |s| s.slice = (s.slice + 1) % 4);
}

async fn truth(warehouse: &Warehouse, sql: &str) -> Vec<String> {
    let context = plain(2);
    for table in ["a", "b"] {
        copy_to(&warehouse.session(), &format!("select * from {table}"), &context, table).await;
    }
    theirs(&context, sql).await
}

#[tokio::test]
async fn honest_tables_give_the_truth() {
    let warehouse = tables().await;
    let honest = context(&warehouse, nothing, ("b", nothing)).await;
    for sql in [JOIN, GROUP] {
        assert_eq!(theirs(&honest, sql).await, truth(&warehouse, sql).await, "{sql}");
    }
    // And the joins are those that the lies are about.
    let plan = theirs(&honest, &format!("explain {JOIN}")).await.join("\n");
    assert!(plan.contains("mode=Partitioned") && !plan.contains("Hash([k"), "{plan}");
}

#[tokio::test]
async fn rows_placed_by_another_hash_are_noticed() {
    let warehouse = tables().await;
    let lying = context(&warehouse, nothing, ("c", |t: &mut ScanTable| key(t, "k"))).await;
    assert_ne!(theirs(&lying, JOIN).await, truth(&warehouse, JOIN).await);
    // A table that says by which hash its rows were placed, when it is not DataFusion's, claims nothing.
    let honest = |t: &mut ScanTable| {
        key(t, "k");
        Arc::make_mut(&mut t.def).hash_id = u8::MAX;
    };
    let context = context(&warehouse, honest, ("c", honest)).await;
    for sql in [
        JOIN,
        GROUP,
        "select count(*), sum(a.n) from a join b on a.k = b.k and a.n > b.n",
        "select count(*), sum(a.n) from a left join b on a.k = b.k where b.k is null",
        "select count(distinct k) from b",
        "select k, count(*) from (select k from a union all select k from b) u group by k",
        "select count(*) from a where k in (select k from b where n < 20)",
        "select count(*), sum(b.n) from a join b on a.k = b.k where a.n < 7",
        "select count(*), sum(n) from b where k = 5",
        "select count(*), sum(n) from b where k in (5, 46)",
        "select count(*), sum(a.n) from a join b on a.k = b.k where b.n = 5",
    ] {
        assert_eq!(theirs(&context, sql).await, truth(&warehouse, sql).await, "{sql}");
    }
    // One that says nothing loses rows to pruning, too.
    let one = "select count(*), sum(n) from b where k = 5";
    assert_ne!(theirs(&lying, one).await, truth(&warehouse, one).await);
    let plan = theirs(&context, &format!("explain {JOIN}")).await.join("\n");
    assert!(plan.contains("Hash([k"), "{plan}");
}

#[tokio::test]
async fn a_hash_of_a_newer_version_is_read_and_not_added_to() {
    let warehouse = tables().await;
    let session = warehouse.session();
    session.sql("create table e (k bigint, n bigint) diststyle even").await.unwrap();
    let queries = ["select count(*), sum(n) from a", "select count(*), sum(n) from a where k = 5"];
    let before = [ours(&session, queries[0]).await, ours(&session, queries[1]).await];
    let catalog = &warehouse.inner.catalog;
    for name in ["a", "e"] {
        let mut def = TableDef::clone(&state(&warehouse, name).await.1.def);
        def.hash_id = HASH_ID + 1;
        def.definition_version += 1;
        let mut alter = catalog.begin(warehouse.owner());
        alter.alter_table(def);
        catalog.commit(alter).await.unwrap();
    }
    for (sql, before) in queries.into_iter().zip(&before) {
        assert_eq!(ours(&session, sql).await, *before, "{sql}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "1,2\n").unwrap();
    let copy = format!("copy a from '{}' csv", file.path().display());
    for sql in ["insert into a values (5, 1)", &copy, "insert into a select * from b"] {
        let e = error(&session, sql).await;
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{sql}: {e:?}");
        assert!(e.message().contains("newer version") && e.hint().is_some_and(|h| h.contains("upgrade")), "{e:?}");
    }
    // An application's context gets the same answer, as does whoever hands over rows.
    let context = plain(2);
    context.register_table("a", warehouse.table("a").await.unwrap()).unwrap();
    let insert = context.sql("insert into a values (5, 1)").await.unwrap().collect().await.unwrap_err();
    assert_eq!(from_datafusion(insert).kind(), ErrorKind::Unsupported);
    assert_eq!(session.load("a", Vec::new()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(ours(&session, queries[0]).await, before[0]);
    // Without a key nothing was placed by a hash.
    session.sql("insert into e values (5, 1)").await.unwrap();
}

#[tokio::test]
async fn permuted_slices_are_noticed() {
    let warehouse = tables().await;
    // A footer that contradicts the catalog is Corrupt when it is opened: the lies begin afterwards.
    let honest = context(&warehouse, nothing, ("b", nothing)).await;
    assert_eq!(theirs(&honest, JOIN).await, truth(&warehouse, JOIN).await);
    let lying = context(&warehouse, nothing, ("b", permuted)).await;
    assert_ne!(theirs(&lying, JOIN).await, truth(&warehouse, JOIN).await);
    // Pruning by the distribution key goes by the hash, too.
    let one = "select count(*), sum(n) from b where k = 5";
    assert_ne!(theirs(&lying, one).await, truth(&warehouse, one).await);
    // Order that is claimed across runs that are not one run's.
    let lying = context(&warehouse, |t| alter_segments(t, |s| s.slice = 0), ("b", nothing)).await;
    let plan = theirs(&lying, "explain select k from a order by k").await.join("\n");
    assert!(!plan.contains("SortExec"), "{plan}");
    let rows = lying.sql("select k from a order by k").await.unwrap().collect().await.unwrap();
    use arrow::array::AsArray;
    let keys: Vec<i64> =
        rows.iter().flat_map(|b| b.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()).collect();
    assert!(!keys.is_sorted());
}

/// What AUTO would be wrong to say of rows that were placed and sorted before it chose.
#[tokio::test]
async fn what_auto_chooses_too_late_is_noticed() {
    let warehouse = tables().await;
    let session = warehouse.session();
    for (name, layout) in [("all_rows", ""), ("unsorted", "distkey(k) sortkey none")] {
        session.sql(&format!("create table {name} (k bigint primary key, n bigint) {layout}")).await.unwrap();
        let rows = "select (v * 7919) % 397, v from generate_series(0, 396) g(v)";
        session.sql(&format!("insert into {name} {rows}")).await.unwrap();
    }
    // Pruning leaves out slice 0, where the row is, for most keys.
    let found = async |context: &SessionContext| {
        let mut found = 0;
        for k in 1..20 {
            found += theirs(context, &format!("select n from b where k = {k}")).await.len().saturating_sub(1);
        }
        found
    };
    let honest = context(&warehouse, nothing, ("all_rows", nothing)).await;
    assert_eq!(found(&honest).await, 19);
    let lying = context(&warehouse, nothing, ("all_rows", |t: &mut ScanTable| key(t, "k"))).await;
    assert!(found(&lying).await < 19);
    assert_ne!(theirs(&lying, JOIN).await, theirs(&honest, JOIN).await);
    let sorted = |t: &mut ScanTable| {
        let def = Arc::make_mut(&mut t.def);
        let columns = vec![def.columns[0].id];
        (def.sort, def.sort_auto) = (Some(SortKey { style: SortStyle::Compound, columns }), true);
    };
    let lying = context(&warehouse, nothing, ("unsorted", sorted)).await;
    let in_order = async |context: &SessionContext| {
        use arrow::array::AsArray;
        let rows = context.sql("select k from b order by k").await.unwrap().collect().await.unwrap();
        let keys = rows.iter().flat_map(|b| b.column(0).as_primitive::<arrow::datatypes::Int64Type>().values());
        keys.collect::<Vec<_>>().is_sorted()
    };
    assert!(!in_order(&lying).await);
    assert!(in_order(&context(&warehouse, nothing, ("unsorted", nothing)).await).await);
}

#[tokio::test]
async fn bounds_one_too_tight_are_noticed() {
    let warehouse = tables().await;
    let tighter = |by_min: i128, by_max: i128| {
        move |t: &mut ScanTable| {
            alter_segments(t, |s| s.columns.iter_mut().for_each(|c| tighten(&mut c.bounds, by_min, by_max)))
        }
    };
    for (by_min, by_max, sql) in [
        (1, 0, "select count(*) from a where k <= 0"),
        (1, 0, "select min(n) from a"),
        (0, 1, "select count(*) from a where n = 399"),
        (0, 1, "select max(k) from a"),
    ] {
        let lying = context(&warehouse, tighter(by_min, by_max), ("b", nothing)).await;
        assert_ne!(theirs(&lying, sql).await, truth(&warehouse, sql).await, "{sql}");
        let honest = context(&warehouse, tighter(0, 0), ("b", nothing)).await;
        assert_eq!(theirs(&honest, sql).await, truth(&warehouse, sql).await, "{sql}");
    }
}

#[tokio::test]
async fn zone_maps_one_too_tight_are_noticed() {
    for (by_min, by_max, sql) in [
        (1, 0, "select count(*), sum(n) from a where k <= 20"),
        (0, 1, "select count(*), sum(n) from a where k >= 20"),
        (1, 0, "select count(*), sum(n) from a where k > 19"),
        (0, 1, "select count(*), sum(n) from a where k = 20"),
        (1, 0, "select count(*), sum(n) from a where k < 20 or k is null"),
    ] {
        let warehouse = tables().await;
        let (_, table) = state(&warehouse, "a").await;
        for segment in table.segments.iter() {
            let open = warehouse.inner.segments.open(segment).await.unwrap();
            for ordinal in 0..open.footer.column_count() {
                open.footer.alter_zone_map(ordinal, |zone| tighten(&mut zone.bounds, by_min, by_max)).unwrap();
            }
        }
        let lying = ours(&warehouse.session(), sql).await;
        assert_ne!(lying, truth(&tables().await, sql).await, "{sql}");
        assert_eq!(ours(&tables().await.session(), sql).await, truth(&warehouse, sql).await, "{sql}");
    }
}

fn tighten(bounds: &mut Bounds, by_min: i128, by_max: i128) {
    if let (Some(Scalar::Int(min)), Some(Scalar::Int(max))) = (&mut bounds.min, &mut bounds.max) {
        *min += by_min;
        *max -= by_max;
    }
}
