//! A result that is kept as a table, built anew and put in the place of the old one while everybody reads it.

use blueshift::{Result, Session, Warehouse};

use crate::tools::{Reading, assert_fails, grouped, longest, median, milliseconds, number, print_table, run};
use crate::tools::{reader, sized};

const COLUMNS: &str = "hour INT, users BIGINT, generation INT";
/// How often the cache is built anew by each way.
const REBUILDS: u64 = 8;

pub async fn tell(percent: u64) -> Result<()> {
    let activity = sized(2_000_000, percent, 5_000);
    let warehouse = Warehouse::builder().slices(4).upkeep(false).open("memory://").await?;
    let session = warehouse.session();
    run(
        &session,
        &[
            "CREATE TABLE activity (at INT, user_id BIGINT) DISTKEY (user_id) SORTKEY (at)",
            &format!(
                "INSERT INTO activity SELECT v * 7919 % 1000000, v * 48271 % 100000
                 FROM generate_series(0, {}) AS s(v)",
                activity - 1
            ),
            &format!("CREATE TABLE hourly_users ({COLUMNS}) SORTKEY (hour)"),
            &build("hourly_users", 0),
            "CREATE VIEW busiest AS SELECT max(users) AS users, max(generation) AS generation FROM hourly_users",
            // By name, hence it follows whatever table has it.
            "CREATE VIEW by_name AS SELECT max(users) AS users, max(generation) AS generation
             FROM public.hourly_users WITH NO SCHEMA BINDING",
        ],
    )
    .await?;
    let hours = number(&session, "SELECT count(*) FROM hourly_users").await?;
    println!("the users of {hours} hours, of {} rows; built anew {REBUILDS} times each way\n", grouped(activity));

    let mut lines = Vec::new();
    lines.push(swap(&warehouse, &session, hours).await?);
    // A bound view holds on to the table that it reads.
    assert_fails(&session, "DROP TABLE hourly_users", "other objects depend on it").await;
    session.sql("DROP VIEW busiest").await?;
    lines.push(rename(&warehouse, &session, hours).await?);
    print_table(&["", "rebuilt", "swapped", "read meanwhile", "median", "longest"], &lines);

    // Without a transaction there is a moment without a table, which is what the readers above would have found.
    session.sql("DROP TABLE hourly_users").await?;
    assert_fails(&session, "SELECT count(*) FROM hourly_users", "hourly_users").await;
    println!("\nno reader has found the cache missing, empty or of two generations, and the views have followed");
    warehouse.close().await
}

/// The statement that fills a cache.
fn build(table: &str, generation: u64) -> String {
    format!(
        "INSERT INTO {table} SELECT at / 3600, count(DISTINCT user_id), {generation} FROM activity GROUP BY at / 3600"
    )
}

/// ALTER TABLE … SWAP WITH. The view is bound to the name's table, whichever that is.
async fn swap(warehouse: &Warehouse, session: &Session, hours: i64) -> Result<Vec<String>> {
    let readers = Readers::begin(warehouse, "busiest").await;
    let (mut rebuilt, mut swapped) = (Vec::new(), Vec::new());
    for generation in 1..=REBUILDS {
        let fresh = ["CREATE TABLE fresh (LIKE hourly_users)".to_string(), build("fresh", generation)];
        rebuilt.push(run(session, &fresh.each_ref().map(String::as_str)).await?.seconds);
        swapped.push(run(session, &["ALTER TABLE hourly_users SWAP WITH fresh"]).await?.seconds);
        assert_shown(session, "busiest", generation).await?;
        run(session, &["DROP TABLE fresh"]).await?;
    }
    readers.end("SWAP WITH", hours, 0..=REBUILDS, &rebuilt, &swapped).await
}

/// DROP and RENAME in one transaction. The view goes by the name.
async fn rename(warehouse: &Warehouse, session: &Session, hours: i64) -> Result<Vec<String>> {
    let readers = Readers::begin(warehouse, "by_name").await;
    let (mut rebuilt, mut swapped) = (Vec::new(), Vec::new());
    for generation in REBUILDS + 1..=2 * REBUILDS {
        let fresh = ["CREATE TABLE fresh (LIKE hourly_users)".to_string(), build("fresh", generation)];
        rebuilt.push(run(session, &fresh.each_ref().map(String::as_str)).await?.seconds);
        let exchange = ["BEGIN", "DROP TABLE hourly_users", "ALTER TABLE fresh RENAME TO hourly_users", "COMMIT"];
        swapped.push(run(session, &exchange).await?.seconds);
        assert_shown(session, "by_name", generation).await?;
    }
    readers.end("DROP and RENAME", hours, REBUILDS..=2 * REBUILDS, &rebuilt, &swapped).await
}

async fn assert_shown(session: &Session, view: &str, generation: u64) -> Result<()> {
    assert_eq!(number(session, &format!("SELECT generation FROM {view}")).await?, generation as i64, "{view}");
    Ok(())
}

/// One that reads the cache, and one that reads a view of it.
struct Readers {
    of_table: crate::tools::Repeated<Reading>,
    of_view: crate::tools::Repeated<Reading>,
}

impl Readers {
    async fn begin(warehouse: &Warehouse, view: &str) -> Self {
        let table = "SELECT count(*), min(generation), max(generation) FROM hourly_users";
        let view = format!("SELECT generation, users FROM {view}");
        Readers { of_table: reader(warehouse, table).await, of_view: reader(warehouse, &view).await }
    }

    /// Asserts that every answer was whole and none older than the one before; a line of the figures.
    async fn end(
        self,
        way: &str,
        hours: i64,
        generations: std::ops::RangeInclusive<u64>,
        rebuilt: &[f64],
        swapped: &[f64],
    ) -> Result<Vec<String>> {
        let (tables, views) = (self.of_table.stop().await?, self.of_view.stop().await?);
        for reading in &tables {
            let [rows, oldest, newest] = reading.numbers[..] else { unreachable!("three columns were asked for") };
            assert!(rows == hours && oldest == newest, "{way}: {reading:?} is not one generation of {hours} hours");
        }
        let of_table: Vec<i64> = tables.iter().map(|reading| reading.numbers[1]).collect();
        let of_view: Vec<i64> = views.iter().map(|reading| reading.numbers[0]).collect();
        for seen in [&of_table, &of_view] {
            assert!(seen.is_sorted(), "{way}: a generation came back: {seen:?}");
            let ends = [*generations.start(), *generations.end()].map(|generation| generation as i64);
            assert_eq!([seen[0], seen[seen.len() - 1]], ends, "{way}");
        }
        let reads = || tables.iter().chain(&views).map(|reading| reading.seconds);
        Ok(vec![
            way.to_string(),
            milliseconds(median(rebuilt.iter().copied())),
            milliseconds(median(swapped.iter().copied())),
            grouped(reads().count() as u64),
            milliseconds(median(reads())),
            milliseconds(longest(reads())),
        ])
    }
}
