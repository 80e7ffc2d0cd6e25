//! Events of many projects arrive day by day. Sorted by project first, each day's rows belong between all that are there; sorted
//! by date first, they belong behind them.

use std::time::Instant;

use blueshift::{Error, Geometry, Result, Session, Warehouse};

use crate::tools::{grouped, longest, median, milliseconds, number, print_table, rows, run, sized};

const PER_DAY: u64 = 4_000;
const PROJECTS: u64 = 200;
const SLICES: u32 = 2;
/// A segment is so many chunks, of 1,024 rows here: the table becomes many segments, as one of its story's size would.
const SEGMENT: u64 = 16 * 1024;
/// 2026-01-01 in days since 1970.
const START: u64 = 20_454;

/// What is done each day when its rows have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upkeep {
    Statement(&'static str),
    /// What the warehouse does in the background, on demand.
    Itself,
}

/// A table over all days.
struct Course {
    key: &'static str,
    upkeep: &'static str,
    days: Vec<Day>,
    reads_meanwhile: Vec<f64>,
    reads_alone: Vec<f64>,
    /// What is in the table in the end.
    contents: Vec<Vec<String>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Day {
    rewritten: u64,
    seconds: f64,
    longest_step: f64,
}

pub async fn tell(percent: u64) -> Result<()> {
    let days = sized(100, percent, 4);
    println!("{days} days of {} events of {PROJECTS} projects, vacuumed each day\n", grouped(PER_DAY));
    let by_project = "project_id, date";
    let by_date = "date, project_id";
    let to_99 = Upkeep::Statement("VACUUM events TO 99 PERCENT");
    let courses = [
        course(days, by_project, "VACUUM", Upkeep::Statement("VACUUM events")).await?,
        course(days, by_project, "VACUUM TO 99", to_99).await?,
        course(days, by_date, "VACUUM TO 99", to_99).await?,
        course(days, by_project, "by itself", Upkeep::Itself).await?,
        course(days, by_date, "by itself", Upkeep::Itself).await?,
    ];
    let lines: Vec<Vec<String>> = courses.iter().map(Course::line).collect();
    let header = [
        "sort key",
        "upkeep",
        "rewritten per row",
        "most in a day",
        "vacuums",
        "longest",
        "longest step",
        "read",
        "meanwhile",
        "ratio",
    ];
    print_table(&header, &lines);

    let [usual, project, date, _, date_itself] = &courses;
    println!(
        "\nby date first a vacuum to 99 % rewrites {:.2} of the rows, and takes {:.2} of the time",
        date.rewritten() as f64 / project.rewritten().max(1) as f64,
        date.seconds() / project.seconds()
    );
    assert!(courses.iter().all(|course| course.contents == usual.contents), "the key and the upkeep change no answer");
    for course in [date, date_itself] {
        // What came, and what is put together with it: less than two segments a slice, however many days there were.
        let bound = PER_DAY + 2 * SEGMENT * u64::from(SLICES);
        let worst = course.worst();
        assert!(worst <= bound, "{}, {}: {worst} rows are rewritten on one day", course.key, course.upkeep);
    }
    if days >= 20 {
        assert!(date.rewritten() * 2 < project.rewritten(), "rows that belong behind the others leave those alone");
    }
    Ok(())
}

/// Lets the days pass for one table.
async fn course(days: u64, key: &'static str, name: &'static str, upkeep: Upkeep) -> Result<Course> {
    let geometry = Geometry::new(256, 1024)?;
    let warehouse = Warehouse::builder().slices(SLICES).geometry(geometry).upkeep(false).open("memory://").await?;
    let session = warehouse.session();
    let columns = "project_id INT, date DATE, kind VARCHAR(12), visitor BIGINT";
    session.sql(&format!("CREATE TABLE events ({columns}) DISTKEY (visitor) COMPOUND SORTKEY ({key})")).await?;
    let mut course =
        Course { key, upkeep: name, days: vec![], reads_meanwhile: vec![], reads_alone: vec![], contents: vec![] };
    let mut last_vacuum = -1;
    for day in 0..days {
        let first = day * PER_DAY;
        let insert = format!(
            "INSERT INTO events SELECT v * 7919 % {PROJECTS}, DATE '1970-01-01' + {},
             CASE v % 3 WHEN 0 THEN 'page view' ELSE 'click' END, v * 48271 % 2147483647
             FROM generate_series({first}, {}) AS s(v)",
            START + day,
            first + PER_DAY - 1
        );
        run(&session, &[&insert]).await?;

        let vacuumed = tokio::spawn(vacuum(warehouse.clone(), upkeep));
        let mut meanwhile = 0;
        while !vacuumed.is_finished() {
            course.reads_meanwhile.push(read(&session, day, meanwhile).await?);
            meanwhile += 1;
        }
        let seconds = vacuumed.await.map_err(|e| Error::internal(format!("a vacuum has ended: {e}")))??;
        for project in 0..meanwhile {
            course.reads_alone.push(read(&session, day, project).await?);
        }

        let mut today = Day { seconds, ..Day::default() };
        for vacuum in summaries(&session, last_vacuum).await? {
            last_vacuum = last_vacuum.max(vacuum.0);
            today.rewritten += vacuum.1;
            today.longest_step = today.longest_step.max(vacuum.2);
        }
        course.days.push(today);
    }
    assert_eq!(number(&session, "SELECT count(*) FROM events").await? as u64, days * PER_DAY);
    let contents = "SELECT project_id, date, kind, count(*), sum(visitor) FROM events
                    GROUP BY project_id, date, kind ORDER BY project_id, date, kind";
    course.contents = rows(&session, contents).await?;
    warehouse.close().await?;
    Ok(course)
}

async fn vacuum(warehouse: Warehouse, upkeep: Upkeep) -> Result<f64> {
    let started = Instant::now();
    match upkeep {
        Upkeep::Statement(statement) => drop(warehouse.session().sql(statement).await?),
        Upkeep::Itself => drop(warehouse.maintain().await?),
    }
    Ok(started.elapsed().as_secs_f64())
}

/// The seconds of a query as people ask it: one project on one day.
async fn read(session: &Session, day: u64, project: u64) -> Result<f64> {
    let query = format!(
        "SELECT kind, count(*) FROM events
         WHERE project_id = {} AND date = DATE '1970-01-01' + {} GROUP BY kind",
        project % PROJECTS,
        START + day
    );
    let started = Instant::now();
    let found = rows(session, &query).await?;
    assert_eq!(found.len(), 2, "each project has events of both kinds each day");
    Ok(started.elapsed().as_secs_f64())
}

/// Transaction, rows rewritten and seconds of the longest step of each vacuum after the one told.
async fn summaries(session: &Session, after: i64) -> Result<Vec<(i64, u64, f64)>> {
    let query = format!("SELECT xid, rows_rewritten, longest_step FROM svv_vacuum_summary WHERE xid > {after}");
    let number = |cell: &String| cell.parse::<i64>().unwrap_or_else(|_| panic!("{cell:?} is no integer"));
    let rows = rows(session, &query).await?;
    Ok(rows.iter().map(|row| (number(&row[0]), number(&row[1]) as u64, number(&row[2]) as f64 / 1e6)).collect())
}

impl Course {
    fn rewritten(&self) -> u64 {
        self.days.iter().map(|day| day.rewritten).sum()
    }

    fn worst(&self) -> u64 {
        self.days.iter().map(|day| day.rewritten).max().unwrap_or(0)
    }

    fn seconds(&self) -> f64 {
        self.days.iter().map(|day| day.seconds).sum()
    }

    fn line(&self) -> Vec<String> {
        let appended = self.days.len() as u64 * PER_DAY;
        let (alone, meanwhile) =
            (median(self.reads_alone.iter().copied()), median(self.reads_meanwhile.iter().copied()));
        vec![
            self.key.to_string(),
            self.upkeep.to_string(),
            format!("{:.2}", self.rewritten() as f64 / appended as f64),
            grouped(self.worst()),
            milliseconds(self.seconds()),
            milliseconds(longest(self.days.iter().map(|day| day.seconds))),
            milliseconds(longest(self.days.iter().map(|day| day.longest_step))),
            milliseconds(alone),
            milliseconds(meanwhile),
            format!("{:.2}", meanwhile / alone.max(1e-9)),
        ]
    }
}
