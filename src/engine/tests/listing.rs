//! What is listed of databases, in sessions and in contexts that are not ours.

use std::sync::Arc;

use datafusion::prelude::SessionContext;

use super::util::*;
use crate::format::Geometry;

/// A row as [`lines`] shows it, without the blanks.
fn tight(lines: Vec<String>) -> Vec<String> {
    lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

async fn theirs(context: &SessionContext, sql: &str) -> Vec<String> {
    let frame = context.sql(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    tight(lines(&frame.collect().await.unwrap_or_else(|e| panic!("{sql}\n{e}"))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_contexts_see_a_warehouse_and_keep_their_information_schema() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    for sql in [
        "create table t (a int, b varchar(7))",
        "comment on table t is 'said'",
        "create view v as select relname, obj_description(oid) as d from pg_class where relkind = 'r'",
        "create temp table passing (k int)",
    ] {
        session.sql(sql).await.unwrap();
    }
    assert_eq!(tight(ours(&session, "select * from v order by 1").await).len(), 3);
    // The session's own context: DataFusion's information_schema, and our system tables.
    let own = session.context();
    let tables = "select table_name from information_schema.tables where table_schema = 'public'";
    assert_eq!(theirs(own, tables).await, ["| t |", "| table_name |", "| v |"]);
    let columns = "select column_name, data_type from svv_columns where table_name = 't'";
    let expected = ["| a | integer |", "| b | character varying |", "| column_name | data_type |"];
    assert_eq!(theirs(own, columns).await, expected);
    assert_eq!(theirs(own, "select relname from pg_class where oid > 1000000").await, ["| passing |", "| relname |"]);
    // A context that knows nothing of Blueshift.
    let context = SessionContext::new();
    context.register_catalog("dw", warehouse.catalog());
    let columns = "select column_name, data_type from dw.pg_catalog.svv_columns where table_name = 't'";
    assert_eq!(theirs(&context, columns).await, expected);
    let classes = theirs(&context, "select relname, relkind from dw.public.pg_class").await;
    assert_eq!(classes, ["| relname | relkind |", "| t | r |", "| v | v |"]);
    assert_eq!(theirs(&context, "select * from dw.public.v").await, ["| relname | d |", "| t | said |"]);
}

/// Plans that a session keeps do not keep the session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_of_system_tables_go_with_their_session() {
    let session = warehouse(2, 2, Geometry::TINY).await.session();
    for sql in [
        "create table t (a int)",
        "create temp table k (b int)",
        "create view stored as select table_name from svv_tables",
        "create temp view w as select s.table_name, col_description(1, 1) as c from stored s, pg_attribute",
        "create temp view x as select table_name from information_schema.columns",
    ] {
        session.sql(sql).await.unwrap();
    }
    for sql in ["select * from w", "select * from x", "show tables", "select * from svv_columns"] {
        assert!(ours(&session, sql).await.len() > 1, "{sql}");
    }
    let names = Arc::downgrade(&session.names);
    drop(session);
    assert!(names.upgrade().is_none(), "something still holds the session's names");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_shows_tell_their_columns() {
    let session = warehouse(1, 1, Geometry::TINY).await.session();
    session.sql("create table t (a int)").await.unwrap();
    for (sql, column) in [
        ("show tables", "database_name"),
        ("show columns from t", "database_name"),
        ("show timezone", "timezone"),
        ("show all", "name"),
    ] {
        let prepared = session.prepare(sql).await.unwrap();
        let rows = prepared.execute(Vec::new()).await.unwrap();
        assert_eq!(rows.schema(), prepared.schema(), "{sql}");
        assert_eq!(rows.schema().field(0).name(), column, "{sql}");
        assert!(rows.collect().await.unwrap().iter().any(|batch| batch.num_rows() > 0), "{sql}");
    }
    let described = session.describe("T").await.unwrap();
    assert_eq!((described.schema.as_str(), described.name.as_str()), ("public", "t"));
    assert!(session.describe("nowhere").await.is_err());
}

/// A version that was read stays as it was while the rows of one statement are listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_statement_lists_one_version() {
    let warehouse = warehouse(2, 2, Geometry::TINY).await;
    let session = warehouse.session();
    session.sql("create table t (a int)").await.unwrap();
    let pin = warehouse.pin_newest().await.unwrap();
    let running = session.begin_at(pin).unwrap();
    warehouse.session().sql("create table later (a int)").await.unwrap();
    for sql in ["select relname from pg_class", "select table_name from svv_columns where table_schema = 'public'"] {
        let crate::sql::Statement::Query(query) = crate::sql::parse_one(sql).unwrap() else { panic!("a query") };
        let plan = running.plan(&query).await.unwrap();
        let stream = running.run(&plan).await.unwrap();
        let rows = lines(&datafusion::physical_plan::common::collect(stream).await.unwrap());
        assert!(rows.iter().any(|row| row.contains(" t ")), "{rows:?}");
        assert!(!rows.iter().any(|row| row.contains("later")), "{rows:?}");
    }
    assert!(ours(&session, "select relname from pg_class").await.iter().any(|row| row.contains("later")));
}
