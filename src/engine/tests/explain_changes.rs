//! EXPLAIN of statements that change rows: their queries' plans, under a line of their own.

use arrow::array::AsArray;

use super::util::*;
use crate::engine::Session;
use crate::format::Geometry;

async fn explained(session: &Session, sql: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in batches(session, sql).await {
        lines.extend(batch.column(0).as_string::<i32>().iter().flatten().map(str::to_string));
    }
    lines
}

async fn session() -> Session {
    let session = warehouse(4, 4, Geometry::new(64, 1024).unwrap()).await.session();
    for sql in [
        "create table t (k int, x int, v varchar(9)) distkey(k) sortkey(k)",
        "insert into t select v, v % 5, 'v' || v from generate_series(1, 5000) s(v)",
        "create table s (k int, x int) diststyle even",
        "insert into s select v * 100, v from generate_series(1, 10) s(v)",
    ] {
        session.sql(sql).await.unwrap();
    }
    session
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_told_over_the_plan_of_its_query() {
    let session = session().await;
    for (sql, first, below) in [
        ("insert into t select * from t where k < 3", "XN Insert on t  (cost=", "->  XN Seq Scan on t"),
        ("insert into public.t (k) values (1)", "XN Insert on public.t  (cost=", "->  XN Result"),
        ("update t set x = 1 where v = 'v7'", "XN Update on t  (cost=", "Filter: (v = 'v7'"),
        (
            "update t a set x = s.x from s where a.k = s.k",
            "XN Update on t  (cost=",
            "Hash Cond: (\"outer\".k = \"inner\".k)",
        ),
        ("delete from t using s where t.k = s.k", "XN Delete on t  (cost=", "->  XN Seq Scan on s"),
        ("create table c as select k from t", "XN Create Table c  (cost=", "->  XN Seq Scan on t"),
        (
            "merge into t using s on t.k = s.k when matched then delete when not matched then insert (k) values (s.k)",
            "XN Merge on t  (cost=",
            "XN Hash Right Join",
        ),
        (
            "merge into t using s on t.k = s.k when not matched then insert (k) values (s.k)",
            "XN Merge on t",
            "row IS NULL",
        ),
    ] {
        let lines = explained(&session, &format!("explain {sql}")).await;
        let text = lines.join("\n");
        assert!(lines[0].starts_with(first) && text.contains(below), "{sql}\n{text}");
        assert!(!text.contains('\0'), "{text}");
    }
    assert_eq!(explained(&session, "explain delete from t").await.len(), 1);
    assert!(ours(&session, "select count(*) from t").await.contains(&"| 5000     |".to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analyze_does_what_it_tells() {
    let session = session().await;
    let sql = "explain analyze merge into t using s on t.k = s.k when matched then update set x = s.x \
               when not matched then insert (k) values (s.k)";
    let lines = explained(&session, sql).await;
    let text = lines.join("\n");
    assert!(text.contains("(actual rows=10 ") && text.contains("Total: rows=10 time="), "{text}");
    // Of 80 zones, ten hold keys of the source; each partition looks at some more before it knows them.
    let read = lines.iter().skip_while(|line| !line.contains("Seq Scan on t")).find(|line| line.contains("Read: "));
    let zones = read.and_then(|line| line.split(" zones=").nth(1)?.split(' ').next()?.parse::<usize>().ok());
    assert!(zones.is_some_and(|zones| zones <= 20), "{text}");
    let changed = "select count(*) from t where k % 100 = 0 and x = k / 100";
    assert!(ours(&session, changed).await.contains(&"| 10       |".to_string()));
    let lines = explained(&session, "explain analyze insert into s values (1, 1), (2, 2)").await;
    assert!(lines.last().unwrap().starts_with("Total: rows=2 time="), "{lines:?}");
    let prepared = session.prepare("explain update t set x = $1 where k = $2").await.unwrap();
    assert_eq!((prepared.parameters().len(), prepared.schema().fields().len()), (2, 1));
    let output = prepared.execute(vec![1.into(), 7.into()]).await.unwrap().collect().await.unwrap();
    let text = lines_of(&output);
    assert!(text.contains("(k = 7)"), "{text}");
}

fn lines_of(batches: &[arrow::array::RecordBatch]) -> String {
    lines(batches).join("\n")
}
