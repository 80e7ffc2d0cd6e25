//! Statements between whose look and commit another session commits.

use std::sync::Arc;

use super::util::*;
use crate::catalog::WarehouseStore;
use crate::common::SqlState;
use crate::engine::running::Running;
use crate::engine::{Output, Session, Warehouse, ddl, insert};
use crate::format::Geometry;
use crate::sql::{self, Statement};

/// Two processes on one warehouse.
async fn two() -> (Session, Session) {
    let objects = WarehouseStore::memory();
    let open = async || {
        let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY);
        builder.store(WarehouseStore::new(Arc::clone(objects.objects()))).open("memory://").await.unwrap().session()
    };
    (open().await, open().await)
}

/// A statement that began before what `others` do, and is executed after.
async fn late(session: &Session, statement: &str, others: impl AsyncFnOnce()) -> crate::common::Result<Output> {
    let pin = session.warehouse().pin_newest().await.unwrap();
    let running: Running<'_> = session.begin_at(pin).unwrap();
    others().await;
    match sql::parse_one(statement).unwrap() {
        Statement::CreateTable(create) => ddl::create_table(&running, *create).await,
        Statement::CreateSchema(create) => ddl::create_schema(&running, create).await,
        Statement::DropTable(drop) => ddl::drop_table(&running, drop).await,
        Statement::DropSchema(drop) => ddl::drop_schema(&running, drop).await,
        Statement::Insert(insert) => insert::insert(&running, insert, None).await,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_exists_is_judged_when_committing() {
    let (one, two) = two().await;
    let two = &two;
    one.sql("create schema s").await.unwrap();
    for (statement, others) in [
        ("create table if not exists t (a int)", "create table t (a int)"),
        ("create table if not exists u as select 1 as a", "create table u (a int)"),
        ("create schema if not exists made", "create schema made"),
        ("drop table if exists t, u", "drop table t"),
        ("drop schema if exists made, s", "drop schema s"),
    ] {
        let late = late(&one, statement, async || drop(two.sql(others).await.unwrap())).await;
        let output = late.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
        assert_eq!(output.notices.len(), 1, "{statement}: {:?}", output.notices);
        assert!(output.notices[0].ends_with("skipping"), "{statement}: {:?}", output.notices);
    }
    // What else was named is gone.
    assert_eq!(error(two, "select * from u").await.state(), SqlState::UNDEFINED_TABLE);
    assert_eq!(error(two, "drop schema made").await.state(), SqlState::UNDEFINED_SCHEMA);
    // Without IF, it is an error still.
    let late =
        late(&one, "create table v (a int)", async || drop(two.sql("create table v (a int)").await.unwrap())).await;
    assert_eq!(late.unwrap_err().state(), SqlState::DUPLICATE_TABLE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_processes_begin_with_create_if_not_exists() {
    let objects = WarehouseStore::memory();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let store = WarehouseStore::new(Arc::clone(objects.objects()));
        let warehouse = Warehouse::builder().slices(2).threads(2).store(store).open("memory://").await.unwrap();
        tasks.push(tokio::spawn(async move {
            let session = warehouse.session();
            for i in 3..8 {
                session.sql(&format!("create table if not exists t{i} (a int)")).await.unwrap();
                session.sql(&format!("drop table if exists t{}", i - 3)).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_is_planned_for_the_table_that_it_loads() {
    let (one, two) = two().await;
    let two = &two;
    one.sql("create table t (a int, b int)").await.unwrap();
    let remade = async || {
        two.sql("drop table t").await.unwrap();
        two.sql("create table t (b int, a int, c int default 7)").await.unwrap();
    };
    late(&one, "insert into t (a, b) values (1, 2)", remade).await.unwrap();
    let answer = ours(&one, "select 'a' || a, 'b' || b, 'c' || c from t").await.join("");
    assert!(answer.contains("a1") && answer.contains("b2") && answer.contains("c7"), "{answer}");
    let without = async || {
        two.sql("drop table t").await.unwrap();
        two.sql("create table t (b int, c int)").await.unwrap();
    };
    let error = late(&one, "insert into t (a, b) values (1, 2)", without).await.unwrap_err();
    assert_eq!(error.state(), SqlState::UNDEFINED_COLUMN);
    assert!(ours(&one, "select count(*) as n from t").await.contains(&"| 0 |".to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_version_in_a_statement_whatever_a_view_reads() {
    let (one, two) = two().await;
    let two = &two;
    one.sql("create table t (a int)").await.unwrap();
    one.sql("create view v as select a from t").await.unwrap();
    let pin = one.warehouse().pin_newest().await.unwrap();
    let running = one.begin_at(pin).unwrap();
    two.sql("insert into t values (1)").await.unwrap();
    let Statement::Query(query) = sql::parse_one("select count(*) from v union all select count(*) from t").unwrap()
    else {
        panic!("a query")
    };
    let plan = running.plan(&query).await.unwrap();
    let stream = running.run(&plan).await.unwrap();
    let old = lines(&datafusion::physical_plan::common::collect(stream).await.unwrap());
    assert_eq!(old.iter().filter(|line| line.contains(" 0 ")).count(), 2, "{old:?}");
    let new = ours(&one, "select count(*) from v union all select count(*) from t").await;
    assert_eq!(new.iter().filter(|line| line.contains(" 1 ")).count(), 2, "{new:?}");
}

/// What is kept for the session's life keeps no version alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_and_prepared_statements_hold_no_version() {
    let session = warehouse(2, 2, Geometry::TINY).await.session();
    session.sql("create table t (a int)").await.unwrap();
    let made = session.warehouse().pin_newest().await.unwrap();
    let weak = Arc::downgrade(made.snapshot());
    drop(made);
    for statement in [
        "create view v as select t.a, d.tablename from t, pg_table_def d",
        "create temp view w as select * from v, information_schema.tables",
        "prepare p as select * from w where a > $1",
    ] {
        session.sql(statement).await.unwrap();
    }
    session.sql("insert into t values (1)").await.unwrap();
    ours(&session, "execute p(0)").await;
    session.sql("insert into t values (2)").await.unwrap();
    assert!(weak.upgrade().is_none(), "the version is still held");
}

/// An INSERT of values begins with what its process knows, and finds what others have made of the table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_of_values_meets_the_newest_definition() {
    let (one, two) = two().await;
    for session in [&one, &two] {
        session.sql("create table if not exists t (a int, b int)").await.unwrap();
    }
    one.sql("insert into t values (1, 2)").await.unwrap();
    // One value a row was wrong, and is right now; two were right, and are too many.
    two.sql("drop table t").await.unwrap();
    two.sql("create table t (word varchar(9))").await.unwrap();
    one.sql("insert into t values ('new')").await.unwrap();
    two.sql("drop table t").await.unwrap();
    two.sql("create table t (a int)").await.unwrap();
    let many = error(&one, "insert into t values (1, 2)").await;
    assert!(many.message().contains("2 values"), "{many}");
    one.sql("insert into t values (3)").await.unwrap();
    assert_eq!(ours(&two, "select * from t").await, vec!["| 3 |", "| a |"]);
    // A table that only the other process knows, and one that is gone.
    two.sql("create table u (a int default 5)").await.unwrap();
    one.sql("insert into u default values").await.unwrap();
    assert_eq!(ours(&two, "select * from u").await, vec!["| 5 |", "| a |"]);
    two.sql("drop table u").await.unwrap();
    assert_eq!(error(&one, "insert into u values (1)").await.state(), SqlState::UNDEFINED_TABLE);
    // What reads a table reads the newest version.
    two.sql("insert into t values (40)").await.unwrap();
    one.sql("insert into t values ((select max(a) + 1 from t))").await.unwrap();
    assert_eq!(ours(&two, "select max(a) as m from t").await, vec!["| 41 |", "| m  |"]);
}
