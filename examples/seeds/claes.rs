//! A table's rows replaced as a whole, and a table copied to get another sort key, while others use it.
//!
//! Renaming makes the first as safe as one statement. The second it does only while nobody writes.

use blueshift::{ErrorKind, Result, Session, Warehouse};

use crate::tools::{Ran, Repeated, assert_same_rows, grouped, longest, median, milliseconds, number};
use crate::tools::{print_table, reader, rows, run, sized, writer};

const COLUMNS: &str = "id BIGINT, customer INT, at TIMESTAMP, amount DECIMAL(12,2)";
/// Rows that the writer inserts at a time.
const BATCH: u64 = 10;

pub async fn tell(percent: u64) -> Result<()> {
    let bets = sized(3_000_000, percent, 20_000);
    let warehouse = Warehouse::builder().slices(4).upkeep(false).open("memory://").await?;
    let session = warehouse.session();
    replace(&warehouse, &session, bets / 10).await?;
    copy(&warehouse, &session, bets).await?;
    warehouse.close().await
}

/// Rows `first` and on, as many as are asked for.
fn made(first: u64, count: u64) -> String {
    format!(
        "SELECT v, v * 7919 % 10007, to_timestamp_seconds(1767225600 + v), v % 1000 / 100.0
         FROM generate_series({first}, {}) AS s(v)",
        first + count - 1
    )
}

/// Rows are replaced by those of a new snapshot of their source.
async fn replace(warehouse: &Warehouse, session: &Session, rows: u64) -> Result<()> {
    let table = |name: &str| format!("CREATE TABLE {name} ({COLUMNS}) DISTKEY (id) SORTKEY (at)");
    run(session, &[&table("players"), &format!("INSERT INTO players {}", made(0, rows))]).await?;

    // Statement by statement there is a moment without rows.
    run(session, &["TRUNCATE players"]).await?;
    assert_eq!(number(session, "SELECT count(*) FROM players").await?, 0);
    run(session, &[&format!("INSERT INTO players {}", made(0, rows)), &table("players_staging")]).await?;

    let readers = reader(warehouse, "SELECT count(*), min(id) FROM players").await;
    let snapshot = |number: u64, table: &str| format!("INSERT INTO {table} {}", made(number * rows, rows));
    let renamed = run(
        session,
        &[
            "TRUNCATE players_staging",
            "BEGIN",
            &snapshot(1, "players_staging"),
            "ALTER TABLE players RENAME TO players_old",
            "ALTER TABLE players_staging RENAME TO players",
            "ALTER TABLE players_old RENAME TO players_staging",
            "COMMIT",
        ],
    )
    .await?;
    let truncated = run(session, &["BEGIN", "TRUNCATE players", &snapshot(2, "players"), "COMMIT"]).await?;
    let readings = readers.stop().await?;
    for reading in &readings {
        let whole = (0..3).any(|number| reading.numbers == [rows as i64, (number * rows) as i64]);
        assert!(whole, "{reading:?} is no whole snapshot of {rows} rows");
    }
    assert_eq!(readings.last().map(|last| last.numbers[1]), Some(2 * rows as i64));
    println!(
        "{} rows replaced in one transaction: {} by three names, {} by TRUNCATE; {} reads meanwhile saw all rows\n",
        grouped(rows),
        milliseconds(renamed.seconds),
        milliseconds(truncated.seconds),
        grouped(readings.len() as u64)
    );
    Ok(())
}

/// The table gets another sort key, and somebody inserts all the time.
async fn copy(warehouse: &Warehouse, session: &Session, bets: u64) -> Result<()> {
    run(
        session,
        &[
            &format!("CREATE TABLE original ({COLUMNS}) DISTKEY (id) SORTKEY (at)"),
            &format!("INSERT INTO original {}", made(0, bets)),
        ],
    )
    .await?;
    println!("{} rows get another sort key; a writer inserts {BATCH} at a time", grouped(bets));
    let mut lines = Vec::new();
    let mut line = |what: &str, took: f64, writes: &Writes, outcome: String| {
        let counts = [milliseconds(took), grouped(writes.count), milliseconds(writes.median)];
        let mut cells = vec![what.to_string()];
        cells.extend(counts);
        cells.extend([milliseconds(writes.longest), outcome]);
        lines.push(cells);
    };

    // In one transaction whose snapshot does not have what comes meanwhile.
    start(session, bets).await?;
    let writing = Writing::begin(warehouse, bets).await;
    let (took, copied) = deep_copy(session, "BEGIN", Some(&writing)).await?;
    let writes = writing.end().await?;
    let lost = match copied {
        true => writes.rows + bets - number(session, "SELECT count(*) FROM bets").await? as u64,
        false => 0,
    };
    let outcome = if copied { format!("{} rows lost", grouped(lost)) } else { "conflict, nothing done".into() };
    line("copied in a transaction", took, &writes, outcome);
    assert!(!copied || lost >= BATCH, "what came after the copy's snapshot is in the old table");

    // The same, if it says that what it read must not change.
    start(session, bets).await?;
    let writing = Writing::begin(warehouse, bets).await;
    let (took, copied) = deep_copy(session, "BEGIN ISOLATION LEVEL SERIALIZABLE", Some(&writing)).await?;
    let writes = writing.end().await?;
    assert!(!copied, "a row came between the transaction's reading and its end");
    writes.assert_all_there(session).await?;
    line("… that is SERIALIZABLE", took, &writes, "conflict, nothing done".into());

    // With the writer told to wait: it waits for as long as all of that takes.
    start(session, bets).await?;
    let writing = Writing::begin(warehouse, bets).await;
    let before = writing.end().await?;
    let (took, copied) = deep_copy(session, "BEGIN", None).await?;
    assert!(copied, "nobody else was there");
    before.assert_all_there(session).await?;
    let waited = Writes { longest: took, ..before };
    line("copied, the writer waiting", took, &waited, "all rows there".into());
    assert_sorted_by_customer(session).await?;

    start(session, bets).await?;
    let writing = Writing::begin(warehouse, bets).await;
    let altered = run(session, &["ALTER TABLE bets ALTER SORTKEY (customer, at)"]).await?;
    let writes = writing.end().await?;
    writes.assert_all_there(session).await?;
    line("ALTER SORTKEY", altered.seconds, &writes, "all rows there".into());
    assert_sorted_by_customer(session).await?;

    println!();
    print_table(&["", "took", "inserts", "median", "longest wait", "outcome"], &lines);
    println!(
        "\nthe writer's longest wait for ALTER is {:.3} of that for the copy",
        writes.longest / waited.longest.max(1e-9)
    );
    Ok(())
}

/// The table as it is before each attempt.
async fn start(session: &Session, bets: u64) -> Result<()> {
    run(session, &["DROP TABLE IF EXISTS bets", "DROP TABLE IF EXISTS bets_new", "DROP TABLE IF EXISTS bets_old"])
        .await?;
    run(session, &["CREATE TABLE bets CLONE original"]).await?;
    assert_eq!(number(session, "SELECT count(*) FROM bets").await? as u64, bets);
    Ok(())
}

/// Copies, renames both and drops the old one; its seconds, and whether it was committed. A conflict takes all of it back.
/// When the rows have been copied, it waits for somebody who is writing to insert some more.
async fn deep_copy(session: &Session, begin: &str, writing: Option<&Writing>) -> Result<(f64, bool)> {
    let create = format!("CREATE TABLE bets_new ({COLUMNS}) DISTKEY (id) COMPOUND SORTKEY (customer, at)");
    let copied = run(session, &[begin, &create, "INSERT INTO bets_new SELECT * FROM bets"]).await?;
    if let Some(writing) = writing {
        writing.inserts.once_more().await;
    }
    let renames = ["ALTER TABLE bets RENAME TO bets_old", "ALTER TABLE bets_new RENAME TO bets"];
    let renamed = run(session, &[renames[0], renames[1], "COMMIT", "DROP TABLE bets_old"]).await;
    match renamed {
        Ok(renamed) => Ok((copied.seconds + renamed.seconds, true)),
        Err(e) if e.kind() == ErrorKind::Conflict => Ok((copied.seconds, false)),
        Err(e) => Err(e),
    }
}

async fn assert_sorted_by_customer(session: &Session) -> Result<()> {
    let layout = rows(session, "SELECT sortkey1 FROM svv_table_info WHERE \"table\" = 'bets'").await?;
    assert_eq!(layout.concat(), ["customer"]);
    Ok(())
}

/// Somebody who goes on inserting.
struct Writing {
    inserts: Repeated<Ran>,
    /// The first id inserted.
    first: u64,
}

/// What was inserted, and how long that took.
struct Writes {
    first: u64,
    count: u64,
    rows: u64,
    median: f64,
    longest: f64,
}

impl Writing {
    async fn begin(warehouse: &Warehouse, first: u64) -> Self {
        let insert = move |time| format!("INSERT INTO bets {}", made(first + time * BATCH, BATCH));
        Writing { inserts: writer(warehouse, insert).await, first }
    }

    async fn end(self) -> Result<Writes> {
        let inserts = self.inserts.stop().await?;
        let seconds = || inserts.iter().map(|ran| ran.seconds);
        Ok(Writes {
            first: self.first,
            count: inserts.len() as u64,
            rows: inserts.iter().map(|ran| ran.rows).sum(),
            median: median(seconds()),
            longest: longest(seconds()),
        })
    }
}

impl Writes {
    /// Panics unless `bets` has each row that was there, and each that was inserted, once.
    async fn assert_all_there(&self, session: &Session) -> Result<()> {
        run(session, &["DROP TABLE IF EXISTS expected", "CREATE TABLE expected CLONE original"]).await?;
        run(session, &[&format!("INSERT INTO expected {}", made(self.first, self.rows))]).await?;
        assert_same_rows(session, "bets", "expected").await
    }
}
