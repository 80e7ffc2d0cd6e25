//! Identities merged: the events of some users become those of others, by UPDATE.
//!
//! Events are distributed by their user and sorted by their time. What is merged stands in a staging table, an event a row.

use blueshift::{Geometry, Result, Session, Warehouse};

use crate::tools::{assert_same_rows, grouped, milliseconds, number, print_table, rows, run, sized};

const DAYS: u64 = 60;
/// Users whose events are merged were there on this day.
const MERGED_DAY: u64 = 50;
/// 2026-01-01 00:00:00 UTC in seconds since 1970.
const START: u64 = 1_767_225_600;
const DAY: u64 = 86_400;

pub async fn tell(percent: u64) -> Result<()> {
    let per_day = sized(50_000, percent, 2_500);
    // Small zones, so that there are many at any size.
    let geometry = Geometry::new(1024, 16 * 1024)?;
    let warehouse = Warehouse::builder().slices(4).geometry(geometry).upkeep(false).open("memory://").await?;
    let session = warehouse.session();
    let loaded = set_up(&session, per_day).await?;
    println!(
        "{} events of {DAYS} days, a tenth of the users of one of them merged: {} events to change",
        grouped(loaded),
        grouped(number(&session, "SELECT count(*) FROM staged").await? as u64)
    );

    let since = rows(&session, "SELECT min(at) FROM staged").await?.concat().concat();
    let bounded = format!(
        "UPDATE bounded SET user_id = s.new_user FROM staged s
         WHERE bounded.event_id = s.event_id AND bounded.user_id = s.user_id AND bounded.at >= '{since}'"
    );
    // In the order in which the story found them; the last two are ours.
    let ways = [
        (
            "(a) by the event's id",
            "naive",
            "UPDATE naive SET user_id = s.new_user FROM spread s WHERE naive.event_id = s.event_id",
        ),
        (
            "(b) and the distribution key",
            "collocated",
            "UPDATE collocated SET user_id = s.new_user FROM staged s
             WHERE collocated.event_id = s.event_id AND collocated.user_id = s.user_id",
        ),
        ("(c) and the earliest time", "bounded", bounded.as_str()),
        (
            "(d) UPDATE, by all keys",
            "updated",
            "UPDATE updated SET user_id = s.new_user FROM staged s
             WHERE updated.event_id = s.event_id AND updated.user_id = s.user_id AND updated.at = s.at",
        ),
        (
            "(d) MERGE, by all keys",
            "merged",
            "MERGE INTO merged USING staged s
             ON merged.event_id = s.event_id AND merged.user_id = s.user_id AND merged.at = s.at
             WHEN MATCHED THEN UPDATE SET user_id = s.new_user",
        ),
    ];
    let mut found = Vec::new();
    for (what, table, statement) in ways {
        session.sql(&format!("CREATE TABLE {table} CLONE events")).await?;
        // The ways of the story know nothing of the staged rows but what they are told.
        let knows = if what.starts_with("(d)") { "true" } else { "false" };
        for setting in ["blueshift.key_filters", "datafusion.optimizer.enable_dynamic_filter_pushdown"] {
            session.sql(&format!("SET {setting} = {knows}")).await?;
        }
        found.push((what, table, change(&session, table, statement).await?));
    }
    let first = found[0].2.seconds;
    let lines: Vec<Vec<String>> = found
        .iter()
        .map(|(what, _, Change { rows, zones_read, zones_pruned, moved, seconds })| {
            let ratio = format!("{:.2}", seconds / first);
            let counts = [*rows, *zones_read, *zones_pruned, *moved].map(grouped);
            let mut line = vec![what.to_string()];
            line.extend(counts);
            line.extend([milliseconds(*seconds), ratio]);
            line
        })
        .collect();
    println!(
        "(a) to (c) scan without what a join knows of its other side, as their teller's warehouse did; (d) with it\n"
    );
    print_table(&["joined", "rows changed", "zones read", "pruned", "rows moved", "time", "of (a)"], &lines);

    let staged = number(&session, "SELECT count(*) FROM staged").await? as u64;
    assert!(found.iter().all(|(.., change)| change.rows == staged), "each way changes the events that are staged");
    for (_, table, _) in &found[1..] {
        assert_same_rows(&session, found[0].1, table).await?;
    }
    // What they are the same as is right: nobody merged has an event any more, and no event has come or gone.
    let left = "SELECT count(*) FROM naive JOIN identities ON naive.user_id = identities.user_id";
    assert_eq!(number(&session, left).await?, 0);
    let untouched = "SELECT count(*) FROM (SELECT event_id, at, kind FROM events
                     EXCEPT ALL SELECT event_id, at, kind FROM naive) AS changed";
    assert_eq!(number(&session, untouched).await?, 0);
    let [a, b, c, update, merge] = [0, 1, 2, 3, 4].map(|way: usize| &found[way].2);
    assert_eq!((b.moved, a.zones_pruned, b.zones_pruned), (0, 0, 0));
    assert!(c.zones_read * 3 < b.zones_read, "what is older than the bound is left out");
    for ours in [update, merge] {
        assert!(ours.zones_read < c.zones_read && ours.moved == 0, "the staged rows bound the update on both sides");
    }
    println!("\nall five tables have the same rows");
    warehouse.close().await
}

/// Makes the events, who has become whom, and the events to change, once spread evenly and once where the events are.
async fn set_up(session: &Session, per_day: u64) -> Result<u64> {
    let users = (per_day / 10).max(1);
    // Neither users nor events have numbers that tell of their time.
    let user = format!("((v / {per_day} * {users} + v * 7919 % {users} + 1) * 48271 % 2147483647)");
    let at = format!("to_timestamp_seconds({START} + v * {DAY} / {per_day})");
    let columns = "event_id BIGINT, user_id BIGINT, at TIMESTAMP";
    let day = |day: u64| format!("to_timestamp_seconds({})", START + day * DAY);
    let statements = [
        format!("CREATE TABLE events ({columns}, kind VARCHAR(12)) DISTKEY (user_id) SORTKEY (at)"),
        format!(
            "INSERT INTO events
             SELECT v * 1664525 % 4294967291, {user}, {at}, CASE v % 3 WHEN 0 THEN 'page view' ELSE 'click' END
             FROM generate_series(0, {}) AS s(v)",
            DAYS * per_day - 1
        ),
        "CREATE TABLE identities (user_id BIGINT, new_user BIGINT) DISTKEY (user_id)".into(),
        format!(
            "INSERT INTO identities SELECT DISTINCT user_id, user_id + 3000000000 FROM events
             WHERE at >= {} AND at < {} AND user_id % 10 = 3",
            day(MERGED_DAY),
            day(MERGED_DAY + 1)
        ),
        format!("CREATE TABLE staged ({columns}, new_user BIGINT) DISTKEY (user_id)"),
        "INSERT INTO staged SELECT event_id, e.user_id, at, new_user FROM events e
         JOIN identities i ON e.user_id = i.user_id"
            .into(),
        format!("CREATE TABLE spread ({columns}, new_user BIGINT) DISTSTYLE EVEN"),
        "INSERT INTO spread SELECT * FROM staged".into(),
    ];
    run(session, &statements.each_ref().map(String::as_str)).await?;
    Ok(DAYS * per_day)
}

/// What an UPDATE or MERGE did.
struct Change {
    rows: u64,
    /// Of the table that it changes.
    zones_read: u64,
    zones_pruned: u64,
    moved: u64,
    seconds: f64,
}

/// Runs the statement, and tells what EXPLAIN ANALYZE counts of it.
async fn change(session: &Session, table: &str, statement: &str) -> Result<Change> {
    let before = format!("SELECT count(*) FROM {table} WHERE user_id >= 3000000000");
    assert_eq!(number(session, &before).await?, 0);
    let started = std::time::Instant::now();
    let plan = rows(session, &format!("EXPLAIN ANALYZE {statement}")).await?.concat();
    let seconds = started.elapsed().as_secs_f64();
    let count = |line: &str, name: &str| -> u64 {
        let start = line.find(&format!("{name}=")).map_or(line.len(), |at| at + name.len() + 1);
        line[start..].chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
    };
    let mut scan = plan.iter().skip_while(|line| !line.contains(&format!("Seq Scan on {table} ")));
    let scan = scan.find(|line| line.contains("Read:")).unwrap_or_else(|| panic!("{table} is not read: {plan:#?}"));
    let moved = plan.iter().filter(|line| line.contains("Moved:")).map(|line| count(line, "rows")).sum();
    Ok(Change {
        rows: number(session, &before).await? as u64,
        zones_read: count(scan, "zones"),
        zones_pruned: count(scan, "pruned") + count(scan, "pruned by joins"),
        moved,
        seconds,
    })
}
