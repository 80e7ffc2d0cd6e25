//! Blueshift within an application's own DataFusion.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::SessionContext;

use super::util::*;
use crate::common::SqlState;
use crate::engine::{SessionStateBuilderExt, from_datafusion};
use crate::format::Geometry;

/// Lets no statement return more than one row.
#[derive(Debug)]
struct OneRow;

impl AnalyzerRule for OneRow {
    fn name(&self) -> &str {
        "one_row"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> datafusion::common::Result<LogicalPlan> {
        LogicalPlanBuilder::from(plan).limit(0, Some(1))?.build()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_applications_own_rules_survive() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    session.sql("create table t (d double precision, c char(5))").await.unwrap();
    session.sql("insert into t values (1e300, 'ab'), (2e300, 'ab')").await.unwrap();
    // The application's rules before, in its state; and after, in the builder.
    let application = SessionContext::new().state();
    let before =
        SessionStateBuilder::new_from_existing(application.clone()).with_analyzer_rule(Arc::new(OneRow)).build();
    let before = SessionStateBuilder::new_from_existing(before).with_blueshift().with_blueshift().build();
    let after = SessionStateBuilder::new_from_existing(application)
        .with_blueshift()
        .with_analyzer_rule(Arc::new(OneRow))
        .build();
    for state in [before, after] {
        let names: Vec<String> = state.analyzer().rules.iter().map(|r| r.name().to_string()).collect();
        let at = |name: &str| {
            assert_eq!(names.iter().filter(|n| *n == name).count(), 1, "{names:?}");
            names.iter().position(|n| n == name).unwrap()
        };
        assert!(at("blueshift_literals") < at("type_coercion") && at("blueshift_casts") < at("type_coercion"));
        assert!(at("resolve_grouping_function") < at("blueshift_literals") && at("one_row") < names.len());
        let context = SessionContext::new_with_state(state);
        context.deregister_table("t").unwrap();
        context.register_table("t", warehouse.table("t").await.unwrap()).unwrap();
        // Both rules: without Blueshift's, the blanks would count.
        assert_eq!(theirs(&context, "select d from t where c = 'ab  '").await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_warehouse_is_a_catalog_of_any_context() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    let context = plain(2);
    context.register_catalog("w", warehouse.catalog());
    // Made after the catalog was registered.
    session.sql("create schema s").await.unwrap();
    session.sql("create table s.t (k bigint distkey, v varchar(10))").await.unwrap();
    session.sql("insert into s.t values (1, 'one')").await.unwrap();
    assert_eq!(theirs(&context, "select v from w.s.t where k = 1").await.len(), 2);
    let schemas = context.catalog("w").unwrap().schema_names();
    assert!(schemas.contains(&"s".to_string()) && schemas.contains(&"public".to_string()), "{schemas:?}");
    assert_eq!(theirs(&context, "select slice from w.pg_catalog.stv_slices").await.len(), 3);
    session.sql("insert into s.t values (2, 'two')").await.unwrap();
    assert_eq!(theirs(&context, "select v from w.s.t").await.len(), 3);
    session.sql("drop table s.t").await.unwrap();
    assert!(context.sql("select v from w.s.t").await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_context_inserts_in_one_commit() {
    let warehouse = warehouse(3, 2, Geometry::TINY).await;
    let session = warehouse.session();
    session.sql("create table t (k bigint not null distkey, v varchar(10)) sortkey(k)").await.unwrap();
    let context = plain(4);
    context.register_table("t", warehouse.table("t").await.unwrap()).unwrap();
    let version = async || warehouse.pin_newest().await.unwrap().version.0;
    let before = version().await;
    let count = theirs(&context, "insert into t select value, 'v' || value from generate_series(1, 1000)").await;
    assert!(count.iter().any(|line| line.contains("1000")), "{count:?}");
    assert_eq!(version().await, before + 1);
    let loaded = ours(&session, "select count(distinct v) || ' ' || sum(k) as loaded from t").await;
    assert!(loaded.contains(&"| 1000 500500 |".to_string()), "{loaded:?}");
    // All or nothing, and refused as our own INSERT refuses.
    for (wrong, state) in [
        ("insert into t select nullif(value, 900), 'v' from generate_series(1, 1000)", SqlState::NOT_NULL_VIOLATION),
        ("insert into t values (1, 'ok'), (2, 'longer than ten')", SqlState::STRING_TOO_LONG),
    ] {
        let failed = match context.sql(wrong).await {
            Ok(frame) => frame.collect().await.expect_err(wrong),
            Err(e) => e,
        };
        let error = from_datafusion(failed);
        assert_eq!(error.state(), state, "{wrong}: {error:?}");
        assert_eq!(version().await, before + 1, "{wrong}");
    }
    // A provider outlives its table, not unnoticed.
    session.sql("drop table t").await.unwrap();
    session.sql("create table t (v varchar(10), k varchar(10))").await.unwrap();
    for stale in ["insert into t values (1, 'x')", "select * from t"] {
        let frame = context.sql(stale).await.unwrap();
        let error = from_datafusion(frame.collect().await.unwrap_err());
        assert_eq!(error.state(), SqlState::UNDEFINED_TABLE, "{stale}: {error:?}");
    }
    assert!(ours(&session, "select count(*) as n from t").await.contains(&"| 0 |".to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_runs_to_its_first_error() {
    let session = warehouse(2, 2, Geometry::TINY).await.session();
    let script = "create table t (a int); -- one;\n insert into t values (1), (2);\n;select sum(a) from t";
    let outputs = session.script(script).await.unwrap();
    let tags: Vec<&str> = outputs.iter().map(|o| o.tag.as_str()).collect();
    assert_eq!(tags, ["CREATE TABLE", "INSERT 0 2", "SELECT"]);
    let last = outputs.into_iter().next_back().unwrap().collect().await.unwrap();
    assert!(lines(&last).join("").contains("| 3 "));
    let error =
        session.script("insert into t values (3);\nselect nope from t; insert into t values (4)").await.unwrap_err();
    assert_eq!(error.state(), SqlState::UNDEFINED_COLUMN);
    assert_eq!(error.position().map(|at| at.line), Some(2));
    assert_eq!(ours(&session, "select a from t").await.len(), 4);
    assert!(session.script(" ; -- nothing").await.unwrap().is_empty());
}
