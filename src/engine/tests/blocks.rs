//! What a transaction block may hold: taken back as if it had never been, and kept as if each statement had been alone.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::memory::MemoryStream;
use futures::{FutureExt, StreamExt};

use super::util::{all, error, lines, ours};
use crate::common::{ErrorKind, SqlState};
use crate::engine::{Session, Warehouse};

async fn open(place: &Path) -> Warehouse {
    Warehouse::builder().slices(3).threads(2).open(place.to_str().unwrap()).await.unwrap()
}

async fn opened() -> (tempfile::TempDir, Warehouse) {
    let directory = tempfile::tempdir().unwrap();
    let warehouse = open(directory.path()).await;
    (directory, warehouse)
}

/// The answers to some queries; an error is its code.
async fn answers(session: &Session, queries: &[&str]) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    for sql in queries {
        let answer = async { session.sql(sql).await?.collect().await };
        answers.push(match answer.await {
            Ok(batches) => lines(&batches),
            Err(e) => vec![e.state().0.to_string()],
        });
    }
    answers
}

struct Case {
    before: &'static [&'static str],
    block: &'static [&'static str],
    queries: &'static [&'static str],
}

const TABLE: &str = "create table t (k int, v varchar(20)) distkey(k) sortkey(k)";
const ROWS: &str = "insert into t values (1, 'one'), (2, 'two'), (3, 'three'), (4, 'four')";

const CASES: &[Case] = &[
    Case {
        before: &[TABLE, ROWS],
        block: &[
            "create table c distkey(k) as select k, v from t where k > 2",
            "insert into c values (9, 'nine')",
            "update c set v = v || '!' where k < 9",
            "create table d as select * from c union all select * from t",
            "delete from c where k = 3",
        ],
        queries: &["select * from c", "select * from d", "select * from t", "select count(*) from c join d using (k)"],
    },
    Case {
        before: &[TABLE, ROWS],
        block: &[
            "insert into t select k + 10, v from t",
            "insert into t select k + 100, v from t where k > 10",
            "insert into t select k, upper(v) from t where k in (select k + 100 from t)",
            "update t set k = k + 1000 where k > 100",
            "update t set v = v || k where k > 1000",
            "update t set k = k - 1000 where k between 1000 and 1112",
            "delete from t where k = 112",
        ],
        queries: &["select * from t", "select k from t order by k limit 3", "select max(k), min(v) from t"],
    },
    Case {
        before: &[TABLE, ROWS],
        block: &["truncate t", "insert into t values (5, 'five')", "truncate t", "insert into t values (6, 'six')"],
        queries: &["select * from t"],
    },
    Case {
        before: &[TABLE, ROWS],
        block: &[
            "delete from t",
            "insert into t values (5, 'five'), (6, 'six')",
            "delete from t where k > 0",
            "insert into t values (7, 'seven'), (8, 'eight')",
            "delete from t where k = 7",
            "delete from t where k = 8",
            "insert into t values (9, 'nine')",
        ],
        queries: &["select * from t", "select count(*) from t where k = 8"],
    },
    Case {
        before: &[TABLE, ROWS],
        block: &[
            "drop table t",
            "create table t (word varchar(9), n bigint) diststyle all",
            "insert into t values ('new', 1)",
            "drop table t",
            "create table t (n bigint, k int) distkey(k)",
            "insert into t values (2, 3), (4, 5)",
            "update t set n = n * 10 where k = 5",
        ],
        queries: &["select * from t", "select v from t", "select k from t"],
    },
    Case {
        before: &[TABLE, ROWS, "create view u as select count(*) n from t"],
        block: &[
            "create table c (id int identity(10, 5), k int) diststyle even",
            "insert into c (k) select k from t where k < 3",
            "insert into c (k) values (7), (8)",
            "create view w as select c.id, t.v from c join t on t.k = c.k",
            "create or replace view u as select sum(n) n from (select count(*) n from c union all select 100)",
            "insert into c (k) values (9)",
            "comment on view w is 'of the block'",
        ],
        queries: &["select * from w", "select * from u", "select * from c", "select count(distinct id) from c"],
    },
    // Layout and sort key are chosen by what comes first.
    Case {
        before: &[TABLE, ROWS],
        block: &[
            "create table c (k bigint, v bigint)",
            "insert into c values (1, 1)",
            "lock table c",
            "insert into c select v, v % 7 from generate_series(1, 20000) g(v)",
            "insert into c select k + 100000, v from c where k > 10",
            "delete from c where v = 3",
            "create table d (like t)",
            "insert into d select k, 'd' from c where k < 100 and v < 2",
            "insert into d select k, v from t",
        ],
        queries: &[
            "select count(*), sum(k), sum(v) from c",
            "select * from d",
            "select count(*) from d join c using (k)",
        ],
    },
    Case {
        before: &["create table p (k int primary key verified)", "insert into p values (1), (2)"],
        block: &[
            "create table c (k int references p (k) verified, v int)",
            "insert into c values (1, 10), (2, 20)",
            "insert into p values (3)",
            "insert into c values (3, 30)",
            "delete from c where v = 10",
        ],
        queries: &[
            "select * from c",
            "select * from p",
            "select count(*) from c join p using (k)",
            "insert into p values (2)",
            "insert into c values (77, 1)",
        ],
    },
    Case {
        before: &[TABLE, ROWS],
        block: &[
            "create schema s",
            "create table s.c (k int, v varchar(20)) interleaved sortkey(k, v)",
            "insert into s.c select v, 'number ' || v from generate_series(1, 3000) g(v)",
            "analyze s.c",
            "delete from s.c where k % 2 = 0",
            "analyze s.c",
            "create view s.w as select * from s.c where k < 10",
            "insert into t select k, 'from c' from s.w",
            "analyze t",
        ],
        queries: &[
            "select count(*), sum(k) from s.c",
            "select * from t",
            "select * from s.w",
            "select tablename from pg_table_def where schemaname = 's' group by tablename",
            "select table_name from information_schema.tables where table_schema = 's'",
            "select \"table\", tbl_rows from svv_table_info",
        ],
    },
    Case {
        before: &[TABLE, ROWS, "create schema s", "create table s.a (k int)", "create view s.b as select k from t"],
        block: &["drop schema s cascade", "create schema s", "create table s.b (k int)", "insert into s.b values (1)"],
        queries: &["select * from s.a", "select * from s.b"],
    },
];

/// Each case is taken back, then kept; the same statements without a block say what is to be expected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_is_all_or_nothing() {
    for Case { before, block, queries } in CASES {
        let (_alone_at, alone) = opened().await;
        let alone = alone.session();
        all(&alone, before).await;
        let unchanged = answers(&alone, &queries_only(queries)).await;
        let meaningful: Vec<&str> = block.iter().filter(|sql| !sql.starts_with("lock")).copied().collect();
        all(&alone, &meaningful).await;
        let expected = answers(&alone, queries).await;

        let (directory, warehouse) = opened().await;
        let (session, other) = (warehouse.session(), warehouse.session());
        all(&session, before).await;
        for (end, after) in [("rollback", &unchanged), ("commit", &expected)] {
            all(&session, &["begin"]).await;
            all(&session, block).await;
            // What fails would end the block.
            let in_block = queries_only(queries);
            for (sql, expected) in
                queries.iter().zip(&expected).filter(|(sql, e)| in_block.contains(sql) && e.len() > 1)
            {
                assert_eq!(ours(&session, sql).await, *expected, "{block:#?}\n{sql}");
            }
            assert_eq!(answers(&other, &in_block).await, unchanged, "{block:#?}");
            all(&session, &[end]).await;
            let asked = if end == "commit" { queries.to_vec() } else { in_block };
            assert_eq!(answers(&session, &asked).await, *after, "{end} {block:#?}");
            assert_eq!(answers(&other, &asked).await, *after, "{end} {block:#?}");
            let again = open(directory.path()).await.session();
            assert_eq!(answers(&again, &asked).await, *after, "{end} {block:#?}");
        }
    }
}

/// Those that change nothing.
fn queries_only(queries: &[&'static str]) -> Vec<&'static str> {
    queries.iter().filter(|sql| sql.starts_with("select")).copied().collect()
}

fn stream(numbers: Vec<i64>) -> SendableRecordBatchStream {
    let batch = RecordBatch::try_from_iter([("k", Arc::new(Int64Array::from(numbers)) as _)]).unwrap();
    Box::pin(MemoryStream::try_new(vec![batch.clone()], batch.schema(), None).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_and_files_are_part_of_a_block() {
    let (directory, warehouse) = opened().await;
    let session = warehouse.session();
    all(&session, &["create table t (k int)"]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "1\n2\n3\n").unwrap();
    let copy = format!("copy t from '{}' csv", file.path().display());
    for (end, sum) in [("rollback", None), ("commit", Some("116"))] {
        all(&session, &["begin", &copy]).await;
        assert_eq!(session.load("t", vec![stream(vec![10, 20]), stream(vec![30])]).await.unwrap(), 3);
        all(&session, &["insert into t select k + 20 from t where k = 30", "update t set k = 10 where k = 0", end])
            .await;
        for session in [&session, &open(directory.path()).await.session()] {
            let answer = ours(session, "select sum(k) s from t").await.join("");
            assert!(
                answer.contains(sum.unwrap_or("NULL")) || (sum.is_none() && !answer.contains('1')),
                "{end} {answer}"
            );
        }
    }
    // A load that fails ends the block.
    all(&session, &["begin", "insert into t values (5)"]).await;
    assert!(session.load("t", vec![stream(vec![i64::MAX])]).await.is_err());
    assert_eq!(error(&session, "select 1").await.state(), SqlState::FAILED_TRANSACTION);
    assert_eq!(session.load("t", vec![stream(vec![1])]).await.unwrap_err().state(), SqlState::FAILED_TRANSACTION);
    all(&session, &["rollback"]).await;
    assert!(ours(&session, "select sum(k) s from t").await.join("").contains("116"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_statements_see_the_block() {
    let (_directory, warehouse) = opened().await;
    let session = warehouse.session();
    all(&session, &["create table t (k int)", "insert into t values (1), (2)"]).await;
    all(&session, &["prepare p as select count(*) n from t where k >= $1", "create view v as select k from t"]).await;
    let count = session.prepare("select count(*) n from t where k >= $1").await.unwrap();
    let insert = session.prepare("insert into t values ($1)").await.unwrap();
    let n = async |expected: i64| {
        let rows = count.execute(vec![1.into()]).await.unwrap().collect().await.unwrap();
        assert!(lines(&rows).contains(&format!("| {expected} |")), "{:?}", lines(&rows));
        let executed = ours(&session, "execute p(1)").await;
        assert!(executed.contains(&format!("| {expected} |")), "{executed:?}");
        assert!(ours(&session, "select count(*) n from v").await.contains(&format!("| {expected} |")));
    };
    n(2).await;
    all(&session, &["begin"]).await;
    insert.execute(vec![7.into()]).await.unwrap();
    n(3).await;
    all(&warehouse.session(), &["insert into t values (8)"]).await;
    n(3).await;
    all(&session, &["rollback"]).await;
    n(3).await;
    all(&session, &["begin"]).await;
    insert.execute(vec![9.into()]).await.unwrap();
    all(&session, &["delete from t where k = 1", "commit"]).await;
    n(3).await;
    // Of a table that the block makes. It has another number later: SQL's PREPARE says that it does not know it.
    all(&session, &["begin", "create table m (k int)", "insert into m values (5)", "prepare q as select k from m"])
        .await;
    let prepared = session.prepare("select k from m").await.unwrap();
    assert_eq!(ours(&session, "execute q").await, ["| 5 |", "| k |"]);
    assert_eq!(lines(&prepared.execute(vec![]).await.unwrap().collect().await.unwrap()), ["| 5 |", "| k |"]);
    all(&session, &["commit"]).await;
    assert_eq!(lines(&prepared.execute(vec![]).await.unwrap().collect().await.unwrap()), ["| 5 |", "| k |"]);
    let e = error(&session, "execute q").await;
    assert!(e.message().contains("\"m\""), "{e:?}");
}

/// Each way to stop a statement of a block.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_statement_ends_the_block() {
    let (_directory, warehouse) = opened().await;
    let session = warehouse.session();
    all(&session, &["create table t (k bigint)", "insert into t values (1)"]).await;
    for stop in ["cancelled stream", "dropped statement", "dropped load"] {
        all(&session, &["begin", "insert into t values (2)"]).await;
        match stop {
            "cancelled stream" => {
                let mut rows = session.sql("select v from generate_series(1, 1000000000000) s(v)").await.unwrap();
                assert!(rows.next().await.unwrap().is_ok());
                session.cancel();
                assert_eq!(rows.next().await.unwrap().unwrap_err().state(), SqlState::QUERY_CANCELED);
            }
            "dropped statement" => {
                let many = "insert into t select v from generate_series(1, 300000) s(v)";
                assert!(session.sql(many).now_or_never().is_none());
            }
            _ => {
                let endless: SendableRecordBatchStream = {
                    let first = stream(vec![1]);
                    let schema = first.schema();
                    let rows = first.chain(futures::stream::pending());
                    Box::pin(datafusion::physical_plan::stream::RecordBatchStreamAdapter::new(schema, rows))
                };
                assert!(session.load("t", vec![endless]).now_or_never().is_none());
            }
        }
        let e = error(&session, "select 1").await;
        assert_eq!(e.state(), SqlState::FAILED_TRANSACTION, "{stop}: {e:?}");
        assert_eq!(error(&session, "commit").await.state(), SqlState::FAILED_TRANSACTION, "{stop}");
        assert_eq!(ours(&session, "select k from t").await, ["| 1 |", "| k |"], "{stop}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_nobody_reads_does_not_matter() {
    let (_directory, warehouse) = opened().await;
    let session = warehouse.session();
    all(&session, &["create table t (k bigint)", "insert into t select v from generate_series(1, 50000) s(v)"]).await;
    all(&session, &["begin", "insert into t values (-1)"]).await;
    drop(session.sql("select k from t").await.unwrap());
    let mut rows = session.sql("select k from t").await.unwrap();
    assert!(rows.next().await.unwrap().is_ok());
    let unread = session.sql("select count(*) n from t").await.unwrap();
    all(&session, &["delete from t where k > 10"]).await;
    drop(rows);
    all(&session, &["insert into t values (-2)", "commit"]).await;
    assert!(ours(&session, "select count(*) n from t").await.contains(&"| 12 |".to_string()));
    // It was asked of the block as it was then.
    assert!(lines(&unread.collect().await.unwrap()).contains(&"| 50001 |".to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_a_block_run_one_after_the_other() {
    let (_directory, warehouse) = opened().await;
    let session = Arc::new(warehouse.session());
    all(&session, &["create table t (k bigint, n bigint)", "insert into t values (1, 0)", "begin"]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for k in 0..8 {
        let session = Arc::clone(&session);
        tasks.spawn(async move {
            all(&session, &["update t set n = n + 1 where k = 1"]).await;
            all(&session, &[&format!("insert into t values ({}, 0)", k + 100)]).await;
            all(&session, &["select count(*) from t"]).await;
        });
    }
    tasks.join_all().await;
    all(&session, &["commit"]).await;
    let answer = ours(&session, "select sum(n) s, count(*) c from t").await.join("");
    assert!(answer.contains("| 8 | 9 |"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_goes_leaves_nothing() {
    let (directory, warehouse) = opened().await;
    all(&warehouse.session(), &["create table t (k bigint)", "insert into t values (1)"]).await;
    let files = || std::fs::read_dir(directory.path().join("data")).map_or(0, |files| files.count());
    let before = files();
    for how in ["dropped", "failed", "rolled back"] {
        let session = warehouse.session();
        all(&session, &["begin", "insert into t select v from generate_series(1, 100000) s(v)"]).await;
        all(&session, &["delete from t where k % 2 = 0", "create temp table u as select k from t limit 10"]).await;
        all(&session, &["prepare p as select k from t", "create view w as select k from t"]).await;
        ours(&session, "select count(*) from w").await;
        assert!(files() > before);
        // While the block is open, its objects are not to be collected.
        all(&warehouse.session(), &["insert into t values (1)", "delete from t where k = 0"]).await;
        warehouse.collect().await.unwrap();
        assert!(ours(&session, "select count(*) n from t").await.join("").contains("500"));
        match how {
            "dropped" => drop(session),
            "failed" => drop((error(&session, "select * from nowhere").await, session)),
            _ => all(&session, &["rollback"]).await,
        }
        all(&warehouse.session(), &["insert into t values (1)"]).await;
        warehouse.collect().await.unwrap();
        assert_eq!(files(), before, "{how}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_database_is_changed_by_a_block() {
    let (_directory, warehouse) = opened().await;
    let (_other_at, other) = opened().await;
    let session = warehouse.session();
    session.attach("two", &other).unwrap();
    all(&session, &["create table t (k int)", "insert into t values (1)"]).await;
    all(&other.session(), &["create table t (k int)", "insert into t values (10)"]).await;
    let sums = async |expected: &str| {
        let answer = ours(&session, "select (select sum(k) from t) a, (select sum(k) from two.public.t) b").await;
        assert!(answer.join("").contains(expected), "{answer:?}");
    };
    // The other is read at one version, and changed alone.
    all(&session, &["begin"]).await;
    sums("| 1 | 10 |").await;
    all(&other.session(), &["insert into t values (20)"]).await;
    sums("| 1 | 10 |").await;
    all(&session, &["insert into t select k from two.public.t"]).await;
    sums("| 11 | 10 |").await;
    assert_eq!(error(&session, "insert into two.public.t values (5)").await.kind(), ErrorKind::Unsupported);
    assert_eq!(error(&session, "commit").await.state(), SqlState::FAILED_TRANSACTION);
    sums("| 1 | 30 |").await;
    all(&session, &["begin", "insert into two.public.t values (5)", "delete from two.public.t where k = 10"]).await;
    sums("| 1 | 25 |").await;
    assert_eq!(error(&session, "delete from t").await.kind(), ErrorKind::Unsupported);
    all(&session, &["rollback", "begin", "insert into two.public.t values (5)", "commit"]).await;
    sums("| 1 | 35 |").await;
}

/// VERIFIED keys of two blocks that load the same key: each is right by itself, and one fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_keep_verified_constraints_against_each_other() {
    let (_directory, warehouse) = opened().await;
    let (one, two) = (warehouse.session(), warehouse.session());
    all(&one, &["create table p (k int primary key verified)", "insert into p values (1)"]).await;
    all(&one, &["create table c (k int references p (k) verified)"]).await;
    all(&one, &["begin", "insert into p values (2)"]).await;
    assert_eq!(error(&one, "insert into p values (2)").await.state(), SqlState::UNIQUE_VIOLATION);
    all(&one, &["rollback", "begin", "insert into p values (2)", "insert into c values (2)"]).await;
    all(&two, &["begin", "insert into p values (2)"]).await;
    all(&one, &["commit"]).await;
    assert_eq!(error(&two, "commit").await.kind(), ErrorKind::Conflict);
    // A parent that goes while a child comes.
    all(&one, &["begin", "insert into c values (1)"]).await;
    all(&two, &["delete from p where k = 1"]).await;
    match one.sql("commit").await {
        Ok(_) => panic!("a child without parent"),
        Err(e) => assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}"),
    }
    assert!(ours(&one, "select count(*) n from c").await.contains(&"| 1 |".to_string()));
}
