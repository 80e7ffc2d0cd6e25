//! Transactions of several statements and sessions.

use super::util::all;
use crate::common::{ErrorKind, SqlState};
use crate::engine::{Session, Warehouse};

async fn opened() -> (tempfile::TempDir, Warehouse) {
    let directory = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(directory.path().to_str().unwrap()).await.unwrap();
    (directory, warehouse)
}

async fn number(session: &Session, sql: &str) -> i64 {
    use arrow::array::AsArray;
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    batches.iter().find(|b| b.num_rows() > 0).unwrap().column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0)
}

/// Nobody sees anything of a transaction before it commits, and it sees nothing of others that commit meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_reads_one_version_and_its_own_writes() {
    let (_directory, warehouse) = opened().await;
    let (one, two) = (warehouse.session(), warehouse.session());
    all(&one, &["create table t (k bigint) distkey(k)", "insert into t values (1), (2)", "begin"]).await;
    // The version is chosen by the first statement that reads, not by BEGIN.
    all(&two, &["insert into t values (3)"]).await;
    assert_eq!(number(&one, "select count(*) from t").await, 3);
    all(&two, &["insert into t values (4)", "create table u (k int)"]).await;
    all(&one, &["insert into t values (10)", "delete from t where k = 1"]).await;
    assert_eq!(number(&one, "select sum(k) from t").await, 15);
    assert_eq!(number(&two, "select sum(k) from t").await, 10);
    assert!(one.sql("select * from u").await.is_err());
    all(&one, &["rollback"]).await;
    assert_eq!(number(&one, "select sum(k) from t").await, 10);
    assert_eq!(number(&one, "select count(*) from u").await, 0);
}

/// Appends never conflict, nor do deletes of different rows of one segment; those of one row do, and say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_changes_of_the_same_rows_conflict() {
    let (_directory, warehouse) = opened().await;
    let (one, two, three) = (warehouse.session(), warehouse.session(), warehouse.session());
    all(
        &one,
        &[
            "create table t (k bigint, v bigint) diststyle even sortkey(k)",
            "insert into t select g, 0 from generate_series(1, 1000) s(g)",
        ],
    )
    .await;
    for session in [&one, &two, &three] {
        all(session, &["begin"]).await;
        assert_eq!(number(session, "select count(*) from t").await, 1000);
    }
    all(
        &one,
        &["delete from t where k % 10 = 0", "update t set v = 1 where k % 10 = 1", "insert into t values (2000, 0)"],
    )
    .await;
    all(&two, &["delete from t where k % 10 = 2", "update t set v = 2 where v = 0 and k % 10 = 3"]).await;
    all(&two, &["update t set v = 3 where v = 2", "insert into t values (3000, 0)"]).await;
    all(&three, &["delete from t where k = 10"]).await;
    all(&one, &["commit"]).await;
    all(&two, &["commit"]).await;
    let error = three.sql("commit").await.unwrap_err();
    assert_eq!((error.kind(), error.state()), (ErrorKind::Conflict, SqlState::SERIALIZATION_FAILURE), "{error:?}");
    assert!(error.message().contains("1023") && error.message().contains("\"t\""), "{error:?}");
    assert!(error.detail().is_some_and(|detail| detail.contains("transaction")), "{error:?}");
    // The session goes on, and what failed can be tried again.
    all(&three, &["begin", "delete from t where k = 11", "commit"]).await;
    let count = number(&one, "select count(*) from t").await;
    assert_eq!(count, 1000 - 100 - 100 + 2 - 1);
    assert_eq!(number(&one, "select count(*) from t where v = 1").await, 99);
    assert_eq!(number(&one, "select count(*) from t where v = 3").await, 100);
    assert_eq!(number(&one, "select count(distinct k) from t").await, count);
}

/// Two transactions that each read what the other changes: under SERIALIZABLE, one of them fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_skew_is_a_conflict_under_serializable() {
    for (begin, set, serializable) in [
        ("begin", "select 1", false),
        ("begin isolation level serializable", "select 1", true),
        ("begin", "set blueshift.isolation = 'SERIALIZABLE'", true),
    ] {
        let (_directory, warehouse) = opened().await;
        let (one, two) = (warehouse.session(), warehouse.session());
        all(&one, &["create table a (k bigint)", "create table b (k bigint)"]).await;
        all(&one, &["insert into a values (1), (100)", "insert into b values (1), (100)"]).await;
        all(&one, &[set, begin]).await;
        all(&two, &[set, begin]).await;
        all(&one, &["insert into a select sum(k) from b where k < 50"]).await;
        all(&two, &["insert into b select sum(k) from a where k < 50"]).await;
        all(&one, &["commit"]).await;
        let outcome = two.sql("commit").await;
        assert_eq!(outcome.is_err(), serializable, "{begin} {set}");
        // A range that the other did not touch is no conflict.
        all(&one, &[set, begin]).await;
        all(&two, &[set, begin]).await;
        all(&one, &["insert into a select count(*) from b where k > 1000"]).await;
        all(&two, &["insert into b select count(*) + 500 from a where k > 1000"]).await;
        all(&one, &["commit"]).await;
        all(&two, &["commit"]).await;
        // Statements by themselves are transactions, too: they run again.
        all(&two, &["delete from a using b where a.k = b.k + 10000"]).await;
    }
}

/// A row that was read and is gone is as good as one that came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_row_is_a_conflict_with_whoever_read_it() {
    for delete in ["delete from a where k = 1", "delete from a where k < 50", "truncate a", "drop table a"] {
        let (_directory, warehouse) = opened().await;
        let (one, two) = (warehouse.session(), warehouse.session());
        all(&one, &["create table a (k bigint)", "create table b (k bigint)"]).await;
        all(&one, &["insert into a values (1), (2), (100)", "insert into b values (1)"]).await;
        for session in [&one, &two] {
            all(session, &["begin isolation level serializable"]).await;
        }
        all(&one, &["insert into b select sum(k) from a where k < 50"]).await;
        assert_eq!(number(&two, "select count(*) from b").await, 1);
        all(&two, &[delete, "commit"]).await;
        let error = one.sql("commit").await.err().unwrap_or_else(|| panic!("{delete}"));
        assert_eq!(error.kind(), ErrorKind::Conflict, "{delete}: {error:?}");
    }
}

/// Two transactions add rows behind the same last one: the order that a scan claims is that of the rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_two_transactions_add_at_the_end_are_in_order() {
    use arrow::array::AsArray;
    let (_directory, warehouse) = opened().await;
    let (one, two) = (warehouse.session(), warehouse.session());
    all(&one, &["create table t (d int default 1, k bigint) distkey(d) sortkey(k)"]).await;
    all(&one, &["insert into t (k) select v from generate_series(1, 100) s(v)"]).await;
    for session in [&one, &two] {
        all(session, &["begin"]).await;
        assert_eq!(number(session, "select count(*) from t").await, 100);
    }
    all(
        &one,
        &["insert into t (k) values (300), (301)", "insert into t (k) values (400)", "delete from t where k = 301"],
    )
    .await;
    all(
        &two,
        &["insert into t (k) values (200), (201)", "insert into t (k) values (350)", "delete from t where k = 1"],
    )
    .await;
    all(&one, &["commit", "insert into t (k) values (500)"]).await;
    let ordered = async || {
        let rows = one.sql("select k from t order by k").await.unwrap().collect().await.unwrap();
        let rows = rows.iter().map(|b| b.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec());
        rows.flatten().collect::<Vec<i64>>()
    };
    assert_eq!(ordered().await, (1..=100).chain([300, 400, 500]).collect::<Vec<_>>());
    all(&two, &["commit", "insert into t (k) values (600)"]).await;
    assert_eq!(ordered().await, (2..=100).chain([200, 201, 300, 350, 400, 500, 600]).collect::<Vec<_>>());
}

/// What removes all rows is about those that others add meanwhile, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emptying_a_table_and_filling_it_are_serializable() {
    for (empty, rows) in
        [("truncate t", "values (1)"), ("delete from t", "values (1)"), ("truncate t", "select 1 where 1 = 0")]
    {
        let (_directory, warehouse) = opened().await;
        let (one, two) = (warehouse.session(), warehouse.session());
        all(&one, &["create table t (k bigint)", "create table u (k bigint)", &format!("insert into t {rows}")]).await;
        for session in [&one, &two] {
            all(session, &["set blueshift.isolation = 'serializable'", "begin"]).await;
        }
        // In whichever order they ran, the one would have seen the row of the other, or the row would be gone.
        assert_eq!(number(&two, "select count(*) from u").await, 0);
        all(&two, &["insert into t values (2)"]).await;
        all(&one, &[empty, "insert into u values (3)"]).await;
        all(&two, &["commit"]).await;
        let error = one.sql("commit").await.err().unwrap_or_else(|| panic!("{empty} {rows}"));
        assert_eq!(error.kind(), ErrorKind::Conflict, "{empty} {rows}: {error:?}");
        all(&one, &["begin", empty, "insert into u values (3)", "commit"]).await;
        assert_eq!(number(&one, "select (select count(*) from t) * 10 + (select count(*) from u)").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_conflicts_with_any_change() {
    let (_directory, warehouse) = opened().await;
    let (one, two) = (warehouse.session(), warehouse.session());
    all(&one, &["create table t (k bigint)", "create table u (k bigint)", "insert into t values (1), (2)"]).await;
    for change in
        ["insert into t values (3)", "delete from t where k = 3", "update t set k = 5 where k = 2", "truncate t"]
    {
        all(&one, &["begin", "lock table t", "insert into u values (1)"]).await;
        all(&two, &[change]).await;
        let error = one.sql("commit").await.err().unwrap_or_else(|| panic!("{change}"));
        assert_eq!(error.kind(), ErrorKind::Conflict, "{change}: {error:?}");
    }
    // What it changes itself is none, and other tables are others' affair.
    all(&one, &["begin", "insert into t values (7)", "lock table t", "delete from t where k = 7", "lock t"]).await;
    all(&two, &["insert into u values (8)"]).await;
    all(&one, &["commit"]).await;
    assert_eq!(number(&one, "select count(*) from u").await, 1);
}

/// Of two transactions that drop or make the same table, one fails, and says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_dropped_and_made_once() {
    let (_directory, warehouse) = opened().await;
    let (one, two) = (warehouse.session(), warehouse.session());
    all(&one, &["create table t (k bigint)", "insert into t values (1)"]).await;
    for (statement, expected) in [("drop table t", 0), ("create table t (v bigint)", 0), ("drop table t", 0)] {
        for session in [&one, &two] {
            all(session, &["begin", statement]).await;
        }
        all(&one, &["commit"]).await;
        let error = two.sql("commit").await.err().unwrap_or_else(|| panic!("{statement}"));
        assert!(matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Invalid), "{statement}: {error:?}");
        assert!(error.message().contains("\"t\""), "{error:?}");
        assert_eq!(number(&two, "select count(*) from (select 1 where 1 = 0) x").await, expected);
    }
    // Rows that are added to a table which another drops.
    all(&one, &["create table t (k bigint)", "begin", "insert into t values (1)"]).await;
    all(&two, &["begin", "drop table t", "create table t (k bigint)", "insert into t values (9)", "commit"]).await;
    assert_eq!(one.sql("commit").await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(number(&one, "select sum(k) from t").await, 9);
}

/// What a transaction made, and what it read of that, lasts with other numbers when others made things meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transaction_makes_finds_its_place() {
    let (directory, warehouse) = opened().await;
    let (one, two) = (warehouse.session(), warehouse.session());
    all(&one, &["create table t (k bigint) sortkey(k)", "insert into t values (1), (2)", "begin"]).await;
    all(&one, &["create schema s", "create table s.m (k bigint identity(1,1), v bigint) distkey(v)"]).await;
    all(&one, &["insert into t values (5), (6)", "insert into s.m (v) select k from t"]).await;
    all(&two, &["create schema r", "create table r.o (k bigint)", "insert into r.o values (7)"]).await;
    all(&two, &["insert into t values (3), (4)", "delete from t where k = 2"]).await;
    all(&one, &["delete from t where k = 5", "update t set k = 60 where k = 6", "insert into t values (70)"]).await;
    all(&one, &["create view s.w as select count(*) c from s.m", "delete from s.m where v = 6"]).await;
    all(&one, &["comment on table s.m is 'mine'", "commit"]).await;
    for session in [&one, &two, &Warehouse::open(directory.path().to_str().unwrap()).await.unwrap().session()] {
        assert_eq!(number(session, "select sum(k) from t").await, 1 + 3 + 4 + 60 + 70);
        assert_eq!(number(session, "select c from s.w").await, 3);
        assert_eq!(number(session, "select sum(v) from s.m").await, 1 + 2 + 5);
        assert_eq!(number(session, "select k from r.o").await, 7);
    }
    all(&two, &["insert into s.m (v) values (9)"]).await;
    assert_eq!(number(&one, "select count(distinct k) from s.m").await, 4);
}

/// Many small statements make one entry, and few objects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_of_small_inserts_is_one_commit() {
    let (directory, warehouse) = opened().await;
    let session = warehouse.session();
    all(&session, &["create table t (k bigint, v varchar(100)) distkey(k)", "begin"]).await;
    for k in 0..300 {
        all(&session, &[&format!("insert into t values ({k}, 'value number {k}')")]).await;
    }
    assert_eq!(number(&session, "select sum(k) from t").await, 299 * 300 / 2);
    let files = |folder: &str| std::fs::read_dir(directory.path().join(folder)).map_or(0, |files| files.count());
    assert_eq!(files("data"), 0);
    let log = files("_log");
    all(&session, &["commit"]).await;
    assert_eq!(files("_log"), log + 1);
    assert!(files("data") <= 1, "{}", files("data"));
    assert_eq!(number(&session, "select sum(k) from t").await, 299 * 300 / 2);
    let again = Warehouse::open(directory.path().to_str().unwrap()).await.unwrap().session();
    assert_eq!(number(&again, "select count(*) from t where v = 'value number ' || k").await, 300);
}

/// A statement that fails while its rows are read ends the transaction, as any other does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_a_stream_ends_the_transaction() {
    let (_directory, warehouse) = opened().await;
    let session = warehouse.session();
    all(&session, &["create table t (k bigint)", "insert into t values (0), (1)", "begin"]).await;
    all(&session, &["insert into t values (2)"]).await;
    let rows = session.sql("select 1 / k from t").await.unwrap();
    assert!(rows.collect().await.is_err());
    let error = session.sql("select 1").await.err().unwrap();
    assert_eq!(error.state(), SqlState::FAILED_TRANSACTION);
    let error = session.sql("commit").await.err().unwrap();
    assert_eq!(error.state(), SqlState::FAILED_TRANSACTION);
    assert_eq!(number(&session, "select count(*) from t").await, 2);
}

/// Rows that a stream of the transaction still reads stay, whatever becomes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_outlive_their_transaction() {
    let (_directory, warehouse) = opened().await;
    let session = warehouse.session();
    all(&session, &["create table t (k bigint)", "begin", "insert into t values (1), (2), (3)"]).await;
    let rows = session.sql("select k from t").await.unwrap();
    all(&session, &["rollback"]).await;
    assert_eq!(rows.collect().await.unwrap().iter().map(|b| b.num_rows()).sum::<usize>(), 3);
    assert_eq!(number(&session, "select count(*) from t").await, 0);
}
