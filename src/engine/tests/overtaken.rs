//! Transactions that end on another version than they began on: what others did meanwhile is either no matter, or a conflict.

use super::util::*;
use crate::common::{ErrorKind, SqlState};
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;

async fn opened() -> Warehouse {
    warehouse(4, 2, Geometry::TINY).await
}

async fn conflicts(session: &Session, sql: &str) {
    let error = error(session, sql).await;
    assert_eq!(error.kind(), ErrorKind::Conflict, "{sql}: {error:?}");
}

/// What a block has deleted of a segment is known when it deletes the rest, be the segment gone or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_moved_segment_are_deleted_in_two_statements() {
    for rest in ["delete from t", "truncate t", "delete from t where k > 1", "update t set k = k + 1000"] {
        for vacuums in 0..3 {
            let warehouse = opened().await;
            let (one, two) = (warehouse.session(), warehouse.session());
            all(&one, &["create table t (k int) diststyle all sortkey(k)"]).await;
            for part in 0..3 {
                let insert = format!("insert into t select g from generate_series({part}, 299, 3) s(g)");
                all(&one, &[&insert]).await;
            }
            all(&one, &["begin", "delete from t where k = 1", rest]).await;
            for round in 0..vacuums {
                all(&two, &["vacuum t to 100 percent", &format!("insert into t values ({})", 5000 + round)]).await;
            }
            // Beside it, one that has nothing to do with it.
            all(&two, &["create table u (k int)"]).await;
            all(&one, &["commit"]).await;
            let left = match rest {
                "delete from t where k > 1" => 1,
                "update t set k = k + 1000" => 299,
                _ => 0,
            };
            assert_eq!(ours(&one, "select count(*) from t").await, lines_of(left + vacuums), "{rest}");
        }
    }
}

fn lines_of(number: i32) -> Vec<String> {
    let width = "count(*)".len();
    vec![format!("| {number:<width$} |"), "| count(*) |".to_string()]
}

/// What was read other than by a scan counts, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serializable_transactions_have_read_what_they_shared_or_looked_up() {
    for (reads, changes) in [
        ("create table c clone a", "insert into a values (7)"),
        ("insert into b select k from v", "create or replace view v as select -k as k from a"),
        ("insert into b select k from above", "create or replace view v as select -k as k from a"),
        ("execute q", "create or replace view v as select -k as k from a"),
        ("insert into b select k from a", "alter table a swap with z"),
        ("insert into b select k from a", "alter table a rename to elsewhere"),
    ] {
        for serializable in [false, true] {
            let warehouse = opened().await;
            let (one, two) = (warehouse.session(), warehouse.session());
            all(
                &one,
                &[
                    "create table a (k int)",
                    "create table b (k int)",
                    "create table z (k int)",
                    "insert into a values (1)",
                    "create view v as select k from a",
                    "create view above as select k from v",
                    "prepare q as select k from v",
                ],
            )
            .await;
            let begin = if serializable { "begin isolation level serializable" } else { "begin" };
            all(&one, &[begin, reads, "insert into b values (1)"]).await;
            all(&two, &[begin, "select count(*) from b", changes, "commit"]).await;
            match serializable {
                true => {
                    let error =
                        one.sql("commit").await.err().unwrap_or_else(|| panic!("{reads}, {changes}: committed"));
                    assert_eq!(error.kind(), ErrorKind::Conflict, "{reads}, {changes}: {error:?}");
                }
                false => all(&one, &["commit"]).await,
            }
        }
    }
}

/// A view's text and what it is bound to never part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_is_of_the_tables_that_had_the_names() {
    let warehouse = opened().await;
    let (one, two) = (warehouse.session(), warehouse.session());
    all(&one, &["create table a (k int)", "create table b (k int)", "insert into a values (1)"]).await;
    all(&one, &["begin", "create view v as select k from a"]).await;
    all(&two, &["alter table a swap with b"]).await;
    conflicts(&one, "commit").await;
    all(&one, &["begin", "alter table a swap with b"]).await;
    all(&two, &["create view v as select k from b"]).await;
    conflicts(&one, "commit").await;
    all(&one, &["alter table a swap with b"]).await;
    assert_eq!(ours(&one, "select count(*) from v").await, lines_of(0));
    all(&one, &["drop view v", "create view v as select k from a", "alter table a rename to c"]).await;
    all(&one, &["begin", "alter table c swap with b", "commit", "create or replace view v as select -k as k from b"])
        .await;
}

/// A wish that was granted when it was made and is not at the end can be made again; the session is as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_made_or_dropped_first_is_a_conflict() {
    for (made, first) in [
        ("create table x (k int)", "create table x (k int)"),
        ("create table x (k int)", "create view x as select 1 as k"),
        ("drop table t", "drop table t"),
        ("create schema x", "create schema x"),
        ("create view x as select 1 as k", "create table x (k int)"),
    ] {
        let warehouse = opened().await;
        let (one, two) = (warehouse.session(), warehouse.session());
        all(&one, &["create schema s", "create table t (k int)", "create table u (k int)"]).await;
        all(&one, &["begin", "insert into u values (1)", made, "set search_path to s"]).await;
        all(&two, &[first]).await;
        let error = error(&one, "commit").await;
        assert_eq!(error.kind(), ErrorKind::Conflict, "{made}: {error:?}");
        assert!(error.message().contains("another transaction"), "{error:?}");
        assert_eq!(ours(&one, "select count(*) from u").await, lines_of(0), "the path is as before");
    }
}

/// Upserts of one new key at the same time insert it once; those of other keys do not meet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merges_insert_a_key_once() {
    let upsert = |key: i32| {
        format!(
            "merge into t using (select {key} as k, 1 as n) s on t.k = s.k \
             when matched then update set n = t.n + 1 when not matched then insert values (s.k, s.n)"
        )
    };
    let warehouse = opened().await;
    let (one, two) = (warehouse.session(), warehouse.session());
    all(&one, &["create table t (k int, n int) distkey(k) sortkey(k)", "insert into t values (100, 1)"]).await;
    for (mine, theirs, meet) in [(7, 7, true), (8, 9, false)] {
        all(&one, &["begin", &upsert(mine)]).await;
        all(&two, &[&upsert(theirs)]).await;
        match meet {
            true => conflicts(&one, "commit").await,
            false => all(&one, &["commit"]).await,
        }
    }
    // Other words for the same: no column is known to keep them apart.
    let computed = "merge into t using (select 20 as k) s on t.k + 0 = s.k \
                    when matched then delete when not matched then insert values (s.k, 1)";
    all(&one, &["begin", computed]).await;
    all(&two, &["insert into t values (-5, 1)"]).await;
    conflicts(&one, "commit").await;
    // By themselves they run again.
    let sessions: Vec<Session> = (0..4).map(|_| warehouse.session()).collect();
    let keys = futures::future::join_all(sessions.iter().map(|session| async {
        for key in 30..36 {
            all(session, &[&upsert(key)]).await;
        }
    }));
    keys.await;
    let found = ours(&one, "select k, n from t where k >= 30 and k < 100 order by k").await;
    assert_eq!(found.iter().filter(|line| line.ends_with("| 4 |")).count(), 6, "{found:?}");
    assert_eq!(found.len(), 7);
    let again = "merge into t using (select 50 as k, 9 as n) s on t.k = s.k remove duplicates";
    all(&one, &["begin", again]).await;
    all(&two, &[again]).await;
    conflicts(&one, "commit").await;
}

/// Tables that come while others are placed on other slices are not left where those were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_table_stays_on_slices_of_another_number() {
    let warehouse = opened().await;
    let session = warehouse.session();
    let catalog = &warehouse.inner.catalog;
    all(&session, &["create table u (k int) diststyle all", "insert into u values (1), (2)"]).await;
    for came in ["create table n (k int) distkey(k)", "create table c clone n"] {
        let mut slices = catalog.begin(warehouse.owner());
        slices.set_slices(8);
        if came.contains("clone") {
            let (_, state) = state(&warehouse, "n").await;
            slices.remove(&state.def, state.segments.iter().map(|s| (s.id, s.deleted)).collect());
        }
        all(&session, &[came]).await;
        if !came.contains("clone") {
            all(&session, &["insert into n select g from generate_series(1, 100) s(g)"]).await;
        }
        let error = catalog.commit(slices).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{came}: {error:?}");
    }
    all(&session, &["drop table n", "drop table c"]).await;
    // A distribution that was right for the number of slices then.
    let (_, before) = state(&warehouse, "u").await;
    let mut altered = catalog.begin(warehouse.owner());
    all(&session, &["alter warehouse set slices 8"]).await;
    let mut def = crate::catalog::TableDef::clone(&before.def);
    def.definition_version += 1;
    def.dist = crate::common::DistStyle::Key(def.columns[0].id);
    def.effective_dist = crate::catalog::EffectiveDist::Key(def.columns[0].id);
    altered.alter_table(def);
    let error = catalog.commit(altered).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    all(&session, &["alter table u alter diststyle key distkey k"]).await;
    assert_eq!(ours(&session, "select count(*) from u where k = 2").await, lines_of(1));
}

/// Statements that a block does not stumble over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_goes_on_after_what_is_no_failure() {
    let warehouse = opened().await;
    let session = warehouse.session();
    let file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
    std::fs::write(file.path(), "k\n1\n").unwrap();
    let external =
        format!("create external table ext (k int) stored as csv location '{}'", file.path().to_str().unwrap());
    all(&session, &["create table t (k int)", &external]).await;
    all(&session, &["begin", "insert into t values (1)", "create schema if not exists public", "commit"]).await;
    assert_eq!(ours(&session, "select count(*) from t").await, lines_of(1));
    // Tables outside of the warehouse come back, too.
    all(&session, &["begin", "drop table ext", "rollback"]).await;
    assert_eq!(ours(&session, "select count(*) from ext").await, lines_of(1));
    for change in ["delete from t where k > 5", "truncate t", "update t set k = 2 where k > 5"] {
        all(&session, &["begin read only"]).await;
        assert_eq!(error(&session, change).await.state(), SqlState::READ_ONLY, "{change}");
        all(&session, &["rollback"]).await;
    }
    // What has changed nothing is none of the changes that are of one database only.
    let other = tempfile::tempdir().unwrap();
    let place = other.path().join("other");
    let place = place.to_str().unwrap();
    all(&Warehouse::open(place).await.unwrap().session(), &["create table o (k int)"]).await;
    all(&session, &[&format!("attach '{place}' as other")]).await;
    all(&session, &["begin", "insert into t select 1 where false", "insert into other.public.o values (1)", "commit"])
        .await;
    assert_eq!(ours(&session, "select count(*) from other.public.o").await, lines_of(1));
}

/// A name leads to the table that has it when the statement runs, however it was prepared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_queries_follow_names() {
    let warehouse = opened().await;
    let session = warehouse.session();
    all(
        &session,
        &[
            "create table a (k int)",
            "create table b (k int)",
            "insert into a values (1), (2)",
            "prepare q as select count(*) from a where k > $1",
            "alter table a swap with b",
        ],
    )
    .await;
    assert_eq!(ours(&session, "execute q(0)").await, lines_of(0));
    all(&session, &["drop table a"]).await;
    assert_eq!(error(&session, "execute q(0)").await.state(), SqlState::UNDEFINED_TABLE);
    all(&session, &["create table a (s varchar(3), k int)", "insert into a values ('x', 5)"]).await;
    assert_eq!(ours(&session, "execute q(0)").await, lines_of(1));
    all(&session, &["create schema s", "create table s.a (k int)", "set search_path to s"]).await;
    assert_eq!(ours(&session, "execute q(0)").await, lines_of(0));
    all(&session, &["deallocate q"]).await;
    assert!(session.sql("execute q(0)").await.is_err());
}
