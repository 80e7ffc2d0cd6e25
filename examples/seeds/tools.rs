//! What the stories share: statements with their times, readers that read on and on, and tables of figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use blueshift::{Error, Result, Session, Warehouse};
use datafusion::arrow::util::display::array_value_to_string;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a reader or writer thinks before it asks again.
const PAUSE: Duration = Duration::from_millis(5);

/// `percent` of the usual size, but at least `least`.
pub fn sized(usual: u64, percent: u64, least: u64) -> u64 {
    (usual * percent / 100).max(least)
}

/// What a statement changed, and its seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ran {
    pub rows: u64,
    pub seconds: f64,
}

/// Runs statements one by one; rows and seconds are those of all of them together.
pub async fn run(session: &Session, statements: &[&str]) -> Result<Ran> {
    let mut ran = Ran::default();
    for statement in statements {
        let started = Instant::now();
        let output = session.sql(statement).await?;
        ran.rows += output.changed.unwrap_or(0);
        output.collect().await?;
        ran.seconds += started.elapsed().as_secs_f64();
    }
    Ok(ran)
}

/// The rows of a query as text.
pub async fn rows(session: &Session, sql: &str) -> Result<Vec<Vec<String>>> {
    let mut rows = Vec::new();
    for batch in session.sql(sql).await?.collect().await? {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| array_value_to_string(column, row));
            rows.push(cells.collect::<std::result::Result<Vec<_>, _>>()?);
        }
    }
    Ok(rows)
}

/// The integers of a query's one row; NULL, as a sum of no rows is, counts as 0.
pub async fn numbers(session: &Session, sql: &str) -> Result<Vec<i64>> {
    let rows = rows(session, sql).await?;
    let [row] = rows.as_slice() else { panic!("{sql} has {} rows instead of one", rows.len()) };
    let number = |cell: &String| match cell.as_str() {
        "" => 0,
        digits => digits.parse().unwrap_or_else(|_| panic!("{sql} gives {digits:?}, which is no integer")),
    };
    Ok(row.iter().map(number).collect())
}

/// The integer that a query gives.
pub async fn number(session: &Session, sql: &str) -> Result<i64> {
    Ok(numbers(session, sql).await?[0])
}

/// Panics unless the tables have the same rows. Rows that are there twice count twice.
pub async fn assert_same_rows(session: &Session, one: &str, other: &str) -> Result<()> {
    for (a, b) in [(one, other), (other, one)] {
        let missing = format!("SELECT count(*) FROM (SELECT * FROM {a} EXCEPT ALL SELECT * FROM {b}) AS missing");
        let missing = number(session, &missing).await?;
        assert_eq!(missing, 0, "{missing} rows of {a} are not in {b}");
    }
    Ok(())
}

/// Panics unless the statement fails with an error that says so.
pub async fn assert_fails(session: &Session, sql: &str, says: &str) {
    match session.sql(sql).await {
        Ok(_) => panic!("{sql} has not failed"),
        Err(e) => assert!(e.to_string().contains(says), "{sql}: {e}"),
    }
}

/// One answer of a reader.
#[derive(Debug, Clone)]
pub struct Reading {
    pub numbers: Vec<i64>,
    pub seconds: f64,
}

/// A task that repeats what it does until it is told to stop.
pub struct Repeated<T> {
    stop: Arc<AtomicBool>,
    /// How often it has been done.
    times: watch::Receiver<u64>,
    task: JoinHandle<Result<Vec<T>>>,
}

impl<T> Repeated<T> {
    /// Returns when it was done once more, from beginning to end.
    pub async fn once_more(&self) {
        let now = *self.times.borrow();
        self.wait_for(now + 2).await;
    }

    /// What came of each time, the last of which began after this was called. Fails if one has failed.
    pub async fn stop(self) -> Result<Vec<T>> {
        self.stop.store(true, Ordering::Release);
        self.task.await.map_err(|e| Error::internal(format!("a task has ended: {e}")))?
    }

    /// A task that has failed is not waited for: stopping it tells.
    async fn wait_for(&self, times: u64) {
        let _ = self.times.clone().wait_for(|done| *done >= times).await;
    }
}

/// Repeats `once` in a task of its own; returns when it was done for the first time.
async fn repeat<T, F>(mut once: impl FnMut(u64) -> F + Send + 'static) -> Repeated<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send,
{
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let (counted, times) = watch::channel(0);
    let task = tokio::spawn(async move {
        let mut done = Vec::new();
        loop {
            let last = stopped.load(Ordering::Acquire);
            done.push(once(done.len() as u64).await?);
            counted.send_replace(done.len() as u64);
            if last {
                return Ok(done);
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
    let repeated = Repeated { stop, times, task };
    repeated.wait_for(1).await;
    repeated
}

/// A session that asks for the integers of the same query again and again.
pub async fn reader(warehouse: &Warehouse, sql: &str) -> Repeated<Reading> {
    let (session, sql) = (Arc::new(warehouse.session()), sql.to_string());
    repeat(move |_| {
        let (session, sql) = (Arc::clone(&session), sql.clone());
        async move {
            let started = Instant::now();
            let numbers = numbers(&session, &sql).await?;
            Ok(Reading { numbers, seconds: started.elapsed().as_secs_f64() })
        }
    })
    .await
}

/// A session that runs the statement made for 0, 1, 2 and so on.
pub async fn writer(warehouse: &Warehouse, statement: impl Fn(u64) -> String + Send + 'static) -> Repeated<Ran> {
    let session = Arc::new(warehouse.session());
    repeat(move |time| {
        let (session, sql) = (Arc::clone(&session), statement(time));
        async move { run(&session, &[&sql]).await }
    })
    .await
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

pub fn longest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, f64::max)
}

pub fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Prints lines of cells: the first column to the left, the others to the right.
pub fn print_table(header: &[&str], lines: &[Vec<String>]) {
    let header = header.iter().map(|title| title.to_string()).collect::<Vec<_>>();
    let all = || std::iter::once(&header).chain(lines);
    let width = |column: usize| all().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..header.len()).map(|column| width(column).unwrap_or(0)).collect();
    for line in all() {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
