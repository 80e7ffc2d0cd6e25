//! The log of statements: what it tells, that it outlives the process, and that it disturbs nothing.

use futures::StreamExt;

use super::util::*;
use crate::catalog::paths;
use crate::engine::Warehouse;
use crate::format::Geometry;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_logged_when_they_end() {
    let session = warehouse(4, 4, Geometry::DEFAULT).await.session();
    assert!(ours(&session, "select pg_last_query_id()").await.iter().any(|line| line.starts_with("| -1 ")));
    session.sql("create table t (k int distkey sortkey, g int)").await.unwrap();
    session.sql("insert into t select v, v % 5 from generate_series(1, 1000) s(v)").await.unwrap();
    ours(&session, "select count(*) from t where k <= 10").await;
    let failed = "select k / (k - k) from t";
    assert!(session.sql(failed).await.is_err() || !error(&session, failed).await.message().is_empty());
    // One that is given up.
    let mut endless = session.sql("select v from generate_series(1, 1000000000000) s(v)").await.unwrap();
    endless.next().await.unwrap().unwrap();
    drop(endless);
    let found = ours(
        &session,
        "select aborted, pid = pg_backend_pid(), endtime >= starttime, querytxt from stl_query where querytxt like '%from t %' \
         or querytxt like 'insert%' or querytxt like '%0000000%' or querytxt = 'select k / (k - k) from t'",
    )
    .await
    .join("\n");
    assert_eq!(found.matches("| true ").count() / 2, found.lines().count() - 1, "{found}");
    for line in found.lines().filter(|line| !line.contains("querytxt")) {
        let aborted = line.contains("/ (k") || line.contains("1000000000000");
        assert_eq!(line.starts_with("| 1 "), aborted, "{line}");
    }
    // The statement before has the number that it gives.
    ours(&session, "select 'marked'").await;
    let last = ours(&session, "select querytxt from stl_query where query = pg_last_query_id()").await;
    assert!(last.iter().any(|line| line.contains("'marked'")), "{last:?}");
    let differ = "select count(*) from svl_qlog l join stl_query q on l.query = q.query where l.aborted <> q.aborted \
                  or l.elapsed < 0 or l.elapsed <> datediff(microsecond, q.starttime, q.endtime)";
    assert!(ours(&session, differ).await.iter().any(|line| line.trim_matches(['|', ' ']) == "0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_scans_and_steps_are_those_that_ran() {
    let session = warehouse(4, 4, Geometry::new(64, 256).unwrap()).await.session();
    session.sql("create table t (k int distkey sortkey, g int)").await.unwrap();
    session.sql("insert into t select v, v % 5 from generate_series(1, 100000) s(v)").await.unwrap();
    ours(&session, "select g, count(*) from t where k <= 300 group by g").await;
    let of = "(select max(query) from stl_query where querytxt like 'select g,%')";
    let one = |sql: String| {
        let session = &session;
        async move { ours(session, &sql).await.join("\n") }
    };
    let explained = one(format!("select nodeid, parentid, plannode, info from stl_explain where query = {of}")).await;
    assert!(explained.contains("XN HashAggregate") && explained.contains("Filter: (k <= 300)"), "{explained}");
    let scanned = one(format!(
        "select sum(rows), max(type), count(distinct slice), sum(rows_pre_filter) < 100000, bool_or(is_rrscan = 't') from stl_scan \
         where query = {of} and perm_table_name = 't'"
    ))
    .await;
    assert!(scanned.contains("| 300 ") && scanned.matches("true").count() == 2, "{scanned}");
    let steps = one(format!("select label, rows, is_diskbased from svl_query_summary where query = {of}")).await;
    assert!(steps.contains("| aggr ") && steps.contains("scan tbl=") && steps.contains("| f "), "{steps}");
    let text = one(format!("select text from stl_querytext where query = {of}")).await;
    assert!(text.contains("group by g"), "{text}");
    ours(&session, "select count(*) from t a, (select k from t where k < 4) b").await;
    let alerts = one("select event, solution from stl_alert_event_log".to_string()).await;
    assert!(alerts.contains("Nested Loop Join in the query plan"), "{alerts}");
    ours(&session, "select k from t where g + k = 77").await;
    let alerts = one("select event from stl_alert_event_log".to_string()).await;
    assert!(alerts.contains("Very selective query filter:ratio=rows(1)/rows_pre_user_filter(100000)"), "{alerts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_moves_much_or_is_not_known_deserves_an_alert() {
    let session = warehouse(4, 4, Geometry::new(64, 256).unwrap()).await.session();
    for table in ["a", "b"] {
        session.sql(&format!("create table {table} (k int, x int) diststyle even")).await.unwrap();
        let rows = format!("insert into {table} select v, v % 5 from generate_series(1, 3000) s(v)");
        session.sql(&rows).await.unwrap();
    }
    let events = "select event from stl_alert_event_log";
    let join = "select count(*) from a join b on a.k = b.k";
    session.sql("set blueshift.exchange_cost = 0").await.unwrap();
    ours(&session, join).await;
    let quiet = ours(&session, events).await.join("\n");
    assert!(!quiet.contains("Distributed"), "{quiet}");
    session.sql("set blueshift.alert_moved = 2000").await.unwrap();
    ours(&session, join).await;
    let alerts = ours(&session, events).await.join("\n");
    assert!(alerts.contains("Distributed a large number of rows across the network"), "{alerts}");
    // With a price on movement that is not by broadcasting.
    session.sql("set blueshift.cost_moved_row = 1000").await.unwrap();
    ours(&session, join).await;
    let alerts = ours(&session, events).await.join("\n");
    assert!(alerts.contains("Broadcasted a large number of rows across the network"), "{alerts}");
    let labels = "select distinct trim(label) from svl_query_summary where label in ('dist', 'bcast')";
    assert_eq!(ours(&session, labels).await.len(), 3);
    let times = "select count(*) from svl_query_summary where avgtime > maxtime or maxtime < 0";
    assert!(ours(&session, times).await.iter().any(|line| line.trim_matches(['|', ' ']) == "0"));
    let refused = session.sql("set blueshift.alert_moved = 'many'").await.unwrap_err().to_string();
    assert!(refused.contains("blueshift.alert_moved") && refused.contains("many"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_load_log_the_plans_of_their_rows() {
    let session = warehouse(4, 4, Geometry::new(64, 256).unwrap()).await.session();
    session.sql("create table t (k int distkey sortkey, g int)").await.unwrap();
    session.sql("insert into t select v, v % 5 from generate_series(1, 5000) s(v)").await.unwrap();
    session.sql("create table u as select k from t where g = 1").await.unwrap();
    session.sql("insert into u select k from t where g = 2").await.unwrap();
    let scanned = "select count(distinct s.query), sum(s.rows) from stl_scan s join stl_query q on s.query = q.query \
                   where s.perm_table_name = 't' and (q.querytxt like 'create table u%' or q.querytxt like 'insert into u%')";
    let told = ours(&session, scanned).await.join("\n");
    assert!(told.contains("| 2 ") && told.contains("| 2000 "), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_directory_outlives_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("w").display().to_string();
    let warehouse = Warehouse::open(&place).await.unwrap();
    let session = warehouse.session();
    session.sql("create table t (k int)").await.unwrap();
    let version = warehouse.inner.catalog.snapshot().version;
    ours(&session, "select 'first life', count(*) from t").await;
    drop(session);
    // Neither the query nor the log's writing commits.
    assert_eq!(warehouse.inner.catalog.snapshot().version, version);
    warehouse.close().await.unwrap();

    let warehouse = Warehouse::open(&place).await.unwrap();
    let session = warehouse.session();
    assert_eq!(session.warehouse().inner.catalog.snapshot().version, version);
    ours(&session, "select 'second life'").await;
    let lives =
        ours(&session, "select querytxt from stl_query where querytxt like 'select ''%life''%' order by query").await;
    assert_eq!(lives.len(), 3, "{lives:?}");
    let distinct = ours(&session, "select count(*) - count(distinct query) from stl_query").await;
    assert!(distinct.iter().any(|line| line.trim_matches(['|', ' ']) == "0"), "{distinct:?}");
    // Damage is left out.
    let folder = format!("{place}/{}", paths::system_log_folder("queries"));
    let batches: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(batches.len(), 1);
    std::fs::write(&batches[0], "{\"query\": \u{1}\nnothing").unwrap();
    let lives = ours(&session, "select querytxt from stl_query where querytxt like 'select ''%life''%'").await;
    assert!(lives.iter().any(|l| l.contains("second life")) && !lives.iter().any(|l| l.contains("first life")));
}
