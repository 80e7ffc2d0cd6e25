//! The version that a plan reads, and the table that it means.

use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use super::*;
use crate::catalog::Overlay;
use crate::common::{ErrorKind, SqlState};
use crate::distribution::SliceMap;
use crate::engine::SessionStateBuilderExt;
use crate::physical_plan::scan::{ScanOptions, SliceScan};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_reads_the_version_that_it_was_planned_for() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    let rows = "insert into t select v from generate_series(1, 30000) n(v)";
    run(&session, &["create table t (k bigint) distkey(k)", rows]).await;
    let codec = BlueshiftCodec::new(session.warehouse());
    let sql = "select count(*) n, sum(k) s from t";
    let plan = physical(&session, sql).await;
    let bytes = codec.encode_physical(&plan).unwrap();
    let logical = codec.encode(&logical(&session, sql).await).unwrap();
    let early = open(directory.path()).await;
    run(&session, &[rows]).await;
    // One that opened it before, one after, and the writer: all read 30,000 rows of the plan's version.
    let late = open(directory.path()).await;
    for warehouse in [&early, &late, session.warehouse()] {
        let (reader, codec) = (warehouse.session(), BlueshiftCodec::new(warehouse));
        let context = reader.context().task_ctx();
        let decoded = codec.decode_physical(&bytes, &context).unwrap();
        assert!(answer(&reader, decoded).await.unwrap().contains("| 30000 |"));
        let newest = codec.decode(&logical, &context).unwrap();
        assert!(logical_answer(&reader, newest).await.unwrap().contains("| 60000 |"));
    }
    // From a runtime of one thread, and from none.
    let (reader, codec) = (late.session(), BlueshiftCodec::new(&late));
    let context = reader.context().task_ctx();
    std::thread::scope(|scope| {
        scope.spawn(|| codec.decode_physical(&bytes, &context).unwrap());
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async { codec.decode_physical(&bytes, &context).unwrap() })
        });
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_was_collected_is_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    run(&session, &["create table t (k bigint)", "insert into t values (1)"]).await;
    let codec = BlueshiftCodec::new(session.warehouse());
    let plan = physical(&session, "select k from t").await;
    let bytes = codec.encode_physical(&plan).unwrap();
    let context = session.context().task_ctx();
    run(&session, &["insert into t values (2)"]).await;
    // As long as the plan is held its version is kept, which another process reads.
    session.warehouse().collect().await.unwrap();
    let other = open(directory.path()).await;
    let there = BlueshiftCodec::new(&other);
    assert!(there.decode_physical(&bytes, &other.session().context().task_ctx()).is_ok());
    drop(plan);
    for k in 3..70 {
        run(&session, &[&format!("insert into t values ({k})")]).await;
    }
    other.close().await.unwrap();
    session.warehouse().collect().await.unwrap();
    let e = codec.decode_physical(&bytes, &context).unwrap_err();
    assert_eq!((e.kind(), e.state()), (ErrorKind::Unavailable, SqlState::SNAPSHOT_TOO_OLD), "{e:?}");
    assert!(e.message().contains("collected") && e.hint().is_some(), "{e:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_changed_is_a_conflict() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    run(&session, &["create table t (k bigint)", "create table u (k bigint)"]).await;
    let codec = BlueshiftCodec::new(session.warehouse());
    let context = session.context().task_ctx();
    let of_u = codec.encode(&logical(&session, "select * from u").await).unwrap();
    run(&session, &["drop table u", "create table u (k bigint)"]).await;
    let e = codec.decode(&of_u, &context).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}");
    assert!(e.message().contains("\"u\"") && e.hint().is_some(), "{e:?}");
    // A plan of a version that is not there yet, as of another copy of the warehouse.
    let e = session.warehouse().log().pin_at(crate::common::Version(1_000)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_warehouse_is_noticed() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (open(one.path()).await.session(), open(two.path()).await.session());
    for session in [&one, &two] {
        run(session, &["create table t (k bigint)", "insert into t values (1)"]).await;
    }
    let state = SessionStateBuilder::new().with_default_features().with_blueshift().build();
    let application = SessionContext::new_with_state(state);
    application.register_catalog("a", one.warehouse().catalog());
    application.register_catalog("b", two.warehouse().catalog());
    let both = |a: &Session, b: &Session| {
        let named = |name: &str, session: &Session| (name.to_string(), session.warehouse().clone());
        BlueshiftCodec::of([named("a", a), named("b", b)])
    };
    let context = application.task_ctx();
    let frame = application.sql("select t.k from a.public.t join b.public.t u on t.k = u.k").await.unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let bytes = both(&one, &two).encode_physical(&plan).unwrap();
    let decoded = both(&one, &two).decode_physical(&bytes, &context).unwrap();
    assert_eq!(answer(&one, decoded).await.unwrap(), answer(&one, plan).await.unwrap());
    let e = both(&two, &one).decode_physical(&bytes, &context).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid, "{e:?}");
    let e = BlueshiftCodec::new(one.warehouse()).decode_physical(&bytes, &context).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid, "{e:?}");
    assert!(e.message().contains("\"a\"") || e.message().contains("\"b\""), "{e:?}");
}

/// What a transaction wrote and nobody else sees yet is read where its plan runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_a_transaction_travel() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    let rows = "insert into t select v from generate_series(1, 30000) n(v)";
    run(&session, &["create table t (k bigint) distkey(k)", rows]).await;
    let warehouse = session.warehouse();
    let mut transaction = warehouse.log().begin(crate::common::UserId(1));
    let pin = transaction.pin().unwrap().clone();
    let (_, state) = pin.tables.iter().find(|(_, state)| state.def.name == "t").unwrap();
    let removed = Arc::clone(&state.segments[0]);
    transaction.remove(&state.def, vec![(removed.id, None)]);
    let overlay = Arc::new(Overlay::of(&transaction, &pin).unwrap());
    let own = overlay.snapshot().table(state.def.id).unwrap().clone();
    let slices = SliceMap::for_target(SLICES, 4).unwrap();
    let rows = warehouse.rows_of(pin.overlaid(overlay), &own).unwrap();
    let options = ScanOptions { slices, claim_hash: false, prune: true };
    let plan: Arc<dyn ExecutionPlan> =
        DataSourceExec::from_data_source(SliceScan::new(Arc::new(rows), options, vec![0], Vec::new(), None));
    let bytes = BlueshiftCodec::new(warehouse).encode_physical(&plan).unwrap();
    let other = open(directory.path()).await;
    let (reader, codec) = (other.session(), BlueshiftCodec::new(&other));
    let context = reader.context().task_ctx();
    let decoded = codec.decode_physical(&bytes, &context).unwrap();
    let count =
        async |plan| collect(plan, Arc::clone(&context)).await.unwrap().iter().map(|b| b.num_rows()).sum::<usize>();
    assert_eq!(count(decoded).await, 30_000 - removed.rows as usize);
    let newest = physical(&reader, "select k from t").await;
    assert_eq!(count(newest).await, 30_000);
}
