//! Views, temporary tables and attached catalogs, where a test needs several processes, contexts or the file system.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use super::util::*;
use crate::catalog::WarehouseStore;
use crate::common::{ErrorKind, SqlState};
use crate::engine::{SessionStateBuilderExt, Warehouse};
use crate::format::Geometry;

async fn at(place: &std::path::Path) -> Warehouse {
    let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY);
    builder.open(place.to_str().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_are_there_for_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("dw");
    let (one, other) = (at(&place).await, at(&place).await);
    let session = one.session();
    session.sql("create table t (a int, b varchar(5))").await.unwrap();
    session.sql("create view v (x) as select a + 1, b from t").await.unwrap();
    session.sql("create view w as select x from v where b = 'b'").await.unwrap();
    session.sql("create view late as select x from public.v with no schema binding").await.unwrap();
    other.session().sql("insert into t values (1, 'a'), (2, 'b')").await.unwrap();
    for sql in ["select x from w", "select x from late where x = 3"] {
        assert_eq!(ours(&other.session(), sql).await, vec!["| 3 |", "| x |"], "{sql}");
    }
    // In contexts that are not ours.
    let context = SessionContext::new();
    context.register_catalog("dw", other.catalog());
    context.register_table("w", other.table("w").await.unwrap()).unwrap();
    for sql in ["select x from w", "select x from dw.public.w", "select x from dw.public.late where x = 3"] {
        assert_eq!(theirs(&context, sql).await, vec!["| 3 |", "| x |"], "{sql}");
    }
    drop((one, other));
    let again = at(&place).await.session();
    assert_eq!(ours(&again, "select x from w").await, vec!["| 3 |", "| x |"]);
    let e = error(&again, "drop table t").await;
    assert_eq!((e.state(), e.kind()), (SqlState::DEPENDENT_OBJECTS, ErrorKind::Invalid));
    again.sql("drop table t cascade").await.unwrap();
    assert_eq!(error(&again, "select * from w").await.state(), SqlState::UNDEFINED_TABLE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_read_by_another_session_follows_its_replacement() {
    let store = WarehouseStore::memory();
    let open = async || {
        let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY);
        builder.store(WarehouseStore::new(Arc::clone(store.objects()))).open("memory://").await.unwrap().session()
    };
    let (one, two) = (open().await, open().await);
    one.sql("create table t (a int)").await.unwrap();
    one.sql("insert into t values (1)").await.unwrap();
    one.sql("create view low as select a from t").await.unwrap();
    one.sql("create view v as select a from low").await.unwrap();
    assert_eq!(ours(&two, "select * from v").await, vec!["| 1 |", "| a |"]);
    one.sql("create or replace view low as select cast(a + 10 as int) as a from t").await.unwrap();
    assert_eq!(ours(&two, "select * from v").await, vec!["| 11 |", "| a  |"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn temporary_tables_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("dw");
    let warehouse = at(&place).await;
    let session = warehouse.session();
    session.sql("create table t (k int) distkey(k)").await.unwrap();
    session.sql("insert into t select v from generate_series(1, 5000) s(v)").await.unwrap();
    session.sql("create temp table big (k int, w varchar(300)) distkey(k)").await.unwrap();
    session.sql("insert into big select k, repeat('x', 200) from t").await.unwrap();
    let folder = session.names.temp().unwrap().location().to_string();
    assert!(std::path::Path::new(&folder).join("data").is_dir());
    // Matching rows stand on one slice: nothing is moved.
    let plan = ours(&session, "explain format indent select count(*) from t join big on t.k = big.k").await.join("\n");
    assert!(plan.contains("mode=Partitioned") || plan.contains("SliceScan"), "{plan}");
    assert!(!plan.contains("RepartitionExec: partitioning=Hash"), "{plan}");
    let rows = session.sql("select w from big").await.unwrap();
    drop(session);
    assert_eq!(rows.collect().await.unwrap().iter().map(|b| b.num_rows()).sum::<usize>(), 5000);
    assert!(!std::path::Path::new(&folder).exists());
    assert_eq!(error(&warehouse.session(), "select * from big").await.state(), SqlState::UNDEFINED_TABLE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catalogs_are_attached_and_external_tables_made() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there, files) = (dir.path().join("here"), dir.path().join("there"), dir.path().join("files"));
    at(&there).await.session().sql("create table t as select 7 as a").await.unwrap();
    std::fs::create_dir_all(files.join("day")).unwrap();
    let session = at(&here).await.session();
    for file in ["one.parquet", "day/1.parquet", "day/2.parquet"] {
        let path = files.join(file);
        ours(&session, &format!("copy (select 5 as a) to '{}' stored as parquet", path.display())).await;
    }
    session.sql(&format!("attach '{}' as other", there.display())).await.unwrap();
    session.sql(&format!("attach '{}' as again (read only)", there.display())).await.unwrap();
    session.sql(&format!("attach '{}' as lake", files.display())).await.unwrap();
    let sum = "select (select a from other.public.t) + (select count(*) from lake.public.day) + \
               (select a from lake.public.one) as n";
    assert_eq!(ours(&session, sum).await, vec!["| 14 |", "| n  |"]);
    session.sql("insert into other.public.t values (8)").await.unwrap();
    assert_eq!(ours(&session, "select count(*) as n from again.public.t").await, vec!["| 2 |", "| n |"]);
    let e = error(&session, "insert into again.public.t values (9)").await;
    assert_eq!((e.state(), e.position().map(|p| p.column)), (SqlState::READ_ONLY, Some(13)), "{e:?}");
    assert_eq!(error(&session, "insert into lake.public.one values (9)").await.kind(), ErrorKind::Unsupported);
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let nothing = format!("attach '{}' as nothing", dir.path().join("empty").display());
    let e = error(&session, &nothing).await;
    assert_eq!((e.state(), e.position().map(|p| p.column)), (SqlState::UNDEFINED_FILE, Some(8)), "{e:?}");

    // A context that is not ours.
    let state = SessionStateBuilder::new().with_default_features().with_blueshift().build();
    let context = SessionContext::new_with_state(state);
    let make = |name: &str, options: &str| {
        format!("create external table {name} stored as blueshift location '{}' {options}", there.display())
    };
    context.sql(&make("mine", "options ('table' 'public.t')")).await.unwrap();
    context.sql("insert into mine values (9)").await.unwrap().collect().await.unwrap();
    assert_eq!(theirs(&context, "select sum(a) as n from mine").await, vec!["| 24 |", "| n  |"]);
    for wrong in ["options ('table' 'nothing')", "options ('tables' 't')"] {
        assert!(context.sql(&make("wrong", wrong)).await.is_err(), "{wrong}");
    }
    context.sql(&make("t", "")).await.unwrap();
    assert_eq!(theirs(&context, "select count(*) as n from t").await, vec!["| 3 |", "| n |"]);
}
