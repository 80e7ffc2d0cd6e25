//! A sync brings messages, some of which are there already, and some of which come twice.
//!
//! The staged load deletes what comes again and inserts everything, in one transaction or in several; MERGE does it at once.

use blueshift::{Geometry, Result, Session, Warehouse};

use crate::tools::{
    Reading, Repeated, grouped, longest, median, milliseconds, number, numbers, print_table, reader, run, sized,
};

/// Syncs by each way.
const SYNCS: u64 = 6;
const COLUMNS: &str = "message_id BIGINT, at TIMESTAMP, sync INT, body VARCHAR(40)";
/// Of a table, what tells one state of a load from another.
const DIGEST: &str = "count(*), sum(sync), sum(sync * (message_id % 1009))";

/// How a sync gets into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Statements,
    Transaction,
    RemoveDuplicates,
    NotMatched,
    /// As `NotMatched`, and the message's time tells where to look for it.
    Window,
}

impl Way {
    const ALL: [Way; 5] = [Way::Statements, Way::Transaction, Way::RemoveDuplicates, Way::NotMatched, Way::Window];

    fn name(self) -> &'static str {
        match self {
            Way::Statements => "DELETE, INSERT",
            Way::Transaction => "BEGIN … COMMIT",
            Way::RemoveDuplicates => "MERGE … REMOVE DUPLICATES",
            Way::NotMatched => "MERGE … NOT MATCHED",
            Way::Window => "… also by time",
        }
    }

    /// Whether a message that comes again takes the old one's place. Otherwise the first stays.
    fn replaces(self) -> bool {
        !matches!(self, Way::NotMatched | Way::Window)
    }

    fn statements(self) -> &'static [&'static str] {
        match self {
            Way::Statements => &[DELETE, INSERT],
            Way::Transaction => &["BEGIN", DELETE, INSERT, "COMMIT"],
            Way::RemoveDuplicates => {
                &["MERGE INTO messages USING stage ON messages.message_id = stage.message_id REMOVE DUPLICATES"]
            }
            Way::NotMatched => {
                &["MERGE INTO messages USING (SELECT DISTINCT * FROM stage) AS s ON messages.message_id = s.message_id
                 WHEN NOT MATCHED THEN INSERT VALUES (s.message_id, s.at, s.sync, s.body)"]
            }
            Way::Window => &["MERGE INTO messages USING (SELECT DISTINCT * FROM stage) AS s
                 ON messages.message_id = s.message_id AND messages.at = s.at
                 WHEN NOT MATCHED THEN INSERT VALUES (s.message_id, s.at, s.sync, s.body)"],
        }
    }
}

const DELETE: &str = "DELETE FROM messages USING stage WHERE messages.message_id = stage.message_id";
const INSERT: &str = "INSERT INTO messages SELECT DISTINCT * FROM stage";

/// Which messages each sync brings.
#[derive(Debug, Clone, Copy)]
struct Syncs {
    /// Messages that the table has from the beginning, as of sync 0.
    history: u64,
    /// Messages of a sync, of which the first fifth was there before.
    messages: u64,
}

impl Syncs {
    /// The first message of a sync, which is numbered from 1.
    fn first(self, sync: u64) -> u64 {
        self.history + (sync - 1) * self.messages * 4 / 5 - self.messages / 5
    }

    /// The rows of a sync; every hundredth message comes twice.
    fn rows(self, sync: u64) -> String {
        let (first, end) = (self.first(sync), self.first(sync) + self.messages);
        format!("{} UNION ALL {} WHERE v % 100 = 0", select(first, end, sync), select(first, end, sync))
    }

    /// What [`DIGEST`] gives after so many syncs, computed message by message.
    fn digest(self, way: Way, syncs: u64) -> Vec<i64> {
        let mut of_message = vec![0; self.history as usize];
        for sync in 1..=syncs {
            for message in self.first(sync)..self.first(sync) + self.messages {
                match of_message.get_mut(message as usize) {
                    Some(old) if way.replaces() => *old = sync,
                    Some(_) => {}
                    None => of_message.push(sync),
                }
            }
        }
        let weighted = of_message.iter().enumerate().map(|(message, sync)| sync * (id(message as u64) % 1009));
        [of_message.len() as u64, of_message.iter().sum(), weighted.sum()].map(|n| n as i64).to_vec()
    }
}

/// Ids do not tell of their time.
fn id(message: u64) -> u64 {
    message * 1_664_525 % 4_294_967_291
}

fn select(first: u64, end: u64, sync: u64) -> String {
    format!(
        "SELECT v * 1664525 % 4294967291, to_timestamp_seconds(1767225600 + v), {sync}, 'message ' || v
         FROM generate_series({first}, {}) AS s(v)",
        end - 1
    )
}

pub async fn tell(percent: u64) -> Result<()> {
    let messages = sized(100_000, percent, 2_000);
    let syncs = Syncs { history: messages * 10, messages };
    let geometry = Geometry::new(1024, 16 * 1024)?;
    let warehouse = Warehouse::builder().slices(4).geometry(geometry).upkeep(false).open("memory://").await?;
    let session = warehouse.session();
    run(
        &session,
        &[
            &format!("CREATE TABLE history ({COLUMNS}) DISTKEY (message_id) SORTKEY (at)"),
            &format!("INSERT INTO history {}", select(0, syncs.history, 0)),
        ],
    )
    .await?;
    println!(
        "{} messages are there; {SYNCS} syncs of {} each way, a fifth of them there already, one in a hundred twice\n",
        grouped(syncs.history),
        grouped(messages)
    );
    let mut lines = Vec::new();
    let mut first = None;
    for way in Way::ALL {
        session.sql("CREATE TABLE messages CLONE history").await?;
        let readers = reader(&warehouse, &format!("SELECT {DIGEST} FROM messages")).await;
        let mut seconds = Vec::new();
        for sync in 1..=SYNCS {
            stage(&session, syncs, sync).await?;
            seconds.push(load(&session, way, &readers).await?);
            let found = numbers(&session, &format!("SELECT {DIGEST} FROM messages")).await?;
            assert_eq!(found, syncs.digest(way, sync), "{way:?}, sync {sync}");
        }
        let readings = readers.stop().await?;
        let states: Vec<Vec<i64>> = (0..=SYNCS).map(|syncs_done| syncs.digest(way, syncs_done)).collect();
        let gaps = readings.iter().filter(|reading| !states.contains(&reading.numbers)).count() as u64;
        match way {
            Way::Statements => assert!(gaps > 0, "between DELETE and INSERT messages are missing"),
            _ => assert_eq!(gaps, 0, "{way:?}: somebody has read what is neither before nor after a sync"),
        }
        let load = median(seconds.iter().copied());
        let ratio = load / *first.get_or_insert(load);
        lines.push(vec![
            way.name().to_string(),
            milliseconds(load),
            format!("{ratio:.2}"),
            grouped(readings.len() as u64),
            grouped(gaps),
            milliseconds(longest(readings.iter().map(|reading| reading.seconds))),
        ]);
        session.sql("DROP TABLE messages").await?;
    }
    print_table(&["", "load", "ratio", "reads", "saw a gap", "longest read"], &lines);
    println!("\nMERGE … NOT MATCHED keeps the message that came first, the others keep the last");
    warehouse.close().await
}

async fn stage(session: &Session, syncs: Syncs, sync: u64) -> Result<()> {
    run(
        session,
        &[
            "DROP TABLE IF EXISTS stage",
            &format!("CREATE TEMP TABLE stage ({COLUMNS}) DISTKEY (message_id) SORTKEY (at)"),
            &format!("INSERT INTO stage {}", syncs.rows(sync)),
        ],
    )
    .await?;
    let staged = number(session, "SELECT count(*) FROM stage").await?;
    assert!(staged as u64 > syncs.messages, "some messages come twice");
    Ok(())
}

/// Loads what is staged, and gives the seconds. Before each statement but the first, somebody reads once more.
async fn load(session: &Session, way: Way, readers: &Repeated<Reading>) -> Result<f64> {
    let mut seconds = 0.0;
    for (at, statement) in way.statements().iter().enumerate() {
        if at > 0 {
            readers.once_more().await;
        }
        seconds += run(session, &[statement]).await?.seconds;
    }
    Ok(seconds)
}
