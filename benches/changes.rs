//! What do changes cost: an UPDATE of one row in a hundred against writing the table anew, single-row inserts over a disk whose
//! syncs take their time, scans of what these and deletes leave, and a VACUUM after rows that came in order?
//!
//! `cargo bench --bench changes --features testing -- [update|inserts|scans|vacuum|relayout|all] [rows in millions]`
//!
//! `benches/duckdb_update.py` runs the same UPDATE in DuckDB.

#[path = "common/timing.rs"]
mod timing;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use blueshift::catalog::local_store::layer::{FileInfo, FileLayer, OsFiles, ReadFile, WriteFile};
use blueshift::catalog::{LocalStore, WarehouseStore};
use blueshift::common::SystemClock;
use blueshift::engine::{Session, Warehouse};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use tempfile::TempDir;
use timing::{medians, run};

/// Between two events, in seconds.
const EVERY: u64 = 2;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let what = words.first().map_or("all", String::as_str);
    let millions = words.get(1).and_then(|n| n.parse().ok()).unwrap_or(60);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let is = |name: &str| what == name || what == "all";
    runtime.block_on(async {
        if is("update") {
            update(millions * 1_000_000).await;
        }
        if is("inserts") {
            inserts(Duration::from_millis(3)).await;
        }
        if is("scans") {
            scans().await;
        }
        if is("vacuum") {
            vacuum(millions * 1_000_000 / 6).await;
        }
        if is("relayout") {
            relayout(millions * 1_000_000 / 6).await;
        }
    });
}

/// A new warehouse, which nothing is done to in the background.
async fn opened(slices: u32) -> (TempDir, Warehouse) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().to_str().expect("a name");
    let warehouse = Warehouse::builder().slices(slices).upkeep(false).open(place).await.expect("it opens");
    (directory, warehouse)
}

/// Events of `rows` rows: in the order of their time, of a hundredth as many users.
async fn events(session: &Session, name: &str, from: u64, rows: u64) {
    let users = (rows / 100).max(1);
    // A load of a hundred million generated rows at once would sort them, which they are already.
    for part in 0..rows.div_ceil(5_000_000) {
        let first = from + part * 5_000_000;
        let last = (first + 5_000_000).min(from + rows) - 1;
        run(
            session,
            &format!(
                "insert into {name} select v, to_timestamp_seconds(1600000000 + v * {EVERY}), v * 7919 % {users}, v % 1000, \
                 'note ' || v % 977 from generate_series({first}, {last}) s(v)"
            ),
        )
        .await;
    }
}

const EVENTS: &str = "(id bigint not null, at timestamp, customer bigint, amount int, note varchar(20))";

async fn update(rows: u64) {
    let (_directory, warehouse) = opened(8).await;
    let session = warehouse.session();
    run(&session, &format!("create table events {EVENTS} distkey(id) sortkey(at)")).await;
    events(&session, "events", 0, rows).await;
    let hundredth = rows / 100;
    run(&session, "create table scattered (id bigint, at timestamp, amount int) distkey(id)").await;
    run(
        &session,
        &format!(
            "insert into scattered select v * 100, to_timestamp_seconds(1600000000 + v * {}), -1 from \
             generate_series(0, {}) s(v)",
            100 * EVERY,
            hundredth - 1
        ),
    )
    .await;
    run(&session, "create table recent (id bigint, at timestamp, amount int) distkey(id)").await;
    run(
        &session,
        &format!(
            "insert into recent select v, to_timestamp_seconds(1600000000 + v * {EVERY}), -2 from \
             generate_series({}, {}) s(v)",
            rows - hundredth,
            rows - 1
        ),
    )
    .await;
    let anew = seconds(
        &session,
        "create table anew distkey(id) sortkey(at) as select e.id, e.at, e.customer, coalesce(s.amount, e.amount) amount, e.note \
         from events e left join scattered s on s.id = e.id",
    )
    .await;
    let scattered =
        seconds(&session, "update events set amount = s.amount from scattered s where events.id = s.id").await;
    let bounded = seconds(
        &session,
        "update events set amount = s.amount from recent s where events.id = s.id and events.at = s.at",
    )
    .await;
    let changed = number(&session, "select count(*) from events where amount < 0").await;
    // A hundredth of the last ones are among the scattered ones, too.
    let both = (rows - hundredth..rows).filter(|id| id % 100 == 0).count() as u64;
    assert_eq!(changed, (2 * hundredth - both) as i64);
    assert_eq!(number(&session, "select count(*) from events").await, rows as i64);
    println!(
        "1 % of {rows} rows from a staging table: writing the table anew {anew:.1} s; UPDATE of scattered keys {scattered:.2} s, \
         {:.1} × as fast; of the last ones by time {bounded:.2} s, {:.1} × as fast",
        anew / scattered,
        anew / bounded
    );
}

async fn seconds(session: &Session, sql: &str) -> f64 {
    let began = Instant::now();
    run(session, sql).await;
    began.elapsed().as_secs_f64()
}

async fn number(session: &Session, sql: &str) -> i64 {
    let batches = session.sql(sql).await.expect(sql).collect().await.expect(sql);
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).expect("a row");
    batch.column(0).as_primitive::<Int64Type>().value(0)
}

/// The operating system's files, whose syncs take a while and are counted.
#[derive(Debug, Default)]
struct SlowFiles {
    files: OsFiles,
    delay: Duration,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    syncs: AtomicU64,
    created: AtomicU64,
}

#[derive(Debug)]
struct SlowWrite {
    file: Box<dyn WriteFile>,
    delay: Duration,
    counts: Arc<Counts>,
}

impl WriteFile for SlowWrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(self.delay);
        Ok(())
    }
}

impl FileLayer for SlowFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.counts.created.fetch_add(1, Ordering::Relaxed);
        let (delay, counts) = (self.delay, Arc::clone(&self.counts));
        Ok(Box::new(SlowWrite { file: self.files.create(path)?, delay, counts }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        self.files.open(path)
    }

    fn sync_file(&self, _: &Path) -> io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(self.delay);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(self.delay);
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.files.create_dir(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.files.unlink(path)
    }

    fn info(&self, path: &Path) -> io::Result<FileInfo> {
        self.files.info(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(String, FileInfo)>> {
        self.files.list(dir)
    }
}

/// Single rows, each committed by itself, by eight sessions at once.
async fn inserts(delay: Duration) {
    const SESSIONS: u64 = 8;
    const EACH: u64 = 250;
    let directory = tempfile::tempdir().expect("a directory");
    let counts = Arc::new(Counts::default());
    let files = Arc::new(SlowFiles { files: OsFiles, delay, counts: Arc::clone(&counts) });
    let local = LocalStore::open_with(directory.path(), files, Arc::new(SystemClock)).await.expect("it opens");
    let store = WarehouseStore::local(local);
    let warehouse =
        Warehouse::builder().slices(4).upkeep(false).store(store).open("memory://").await.expect("it opens");
    let session = warehouse.session();
    run(&session, "create table t (k bigint, v varchar(20)) distkey(k) sortkey(k)").await;
    let entries = || std::fs::read_dir(directory.path().join("_log")).expect("a log").count() as u64;
    let (syncs, created, before) =
        (counts.syncs.load(Ordering::Relaxed), counts.created.load(Ordering::Relaxed), entries());
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..SESSIONS {
        let session = warehouse.session();
        tasks.spawn(async move {
            for i in 0..EACH {
                run(&session, &format!("insert into t values ({}, 'row {i}')", i * SESSIONS + writer)).await;
            }
        });
    }
    tasks.join_all().await;
    let took = began.elapsed().as_secs_f64();
    let groups = (entries() - before).max(1) as f64;
    let per = |counted: &AtomicU64, before: u64| (counted.load(Ordering::Relaxed) - before) as f64 / groups;
    assert_eq!(number(&session, "select count(*) from t").await, (SESSIONS * EACH) as i64);
    println!(
        "single rows by {SESSIONS} sessions, {} ms a sync: {:.0} inserts/s, {:.1} a group; of each group {:.2} syncs and {:.2} \
         objects",
        delay.as_millis(),
        (SESSIONS * EACH) as f64 / took,
        (SESSIONS * EACH) as f64 / groups,
        per(&counts.syncs, syncs),
        per(&counts.created, created),
    );
}

/// Scans after ten thousand single-row inserts, and with a tenth of the rows dead, against the same rows loaded at once.
async fn scans() {
    const ROWS: u64 = 10_000;
    let (_directory, warehouse) = opened(4).await;
    let session = warehouse.session();
    let columns = "(k bigint, v bigint, s varchar(20)) distkey(k) sortkey(v)";
    for name in ["single", "compact"] {
        run(&session, &format!("create table {name} {columns}")).await;
    }
    let all = format!(
        "insert into compact select v, v * 7919 % {ROWS}, 'row ' || v from generate_series(0, {}) s(v)",
        ROWS - 1
    );
    run(&session, &all).await;
    for v in 0..ROWS {
        run(&session, &format!("insert into single values ({v}, {}, 'row {v}')", v * 7919 % ROWS)).await;
        // As the background does, every few seconds.
        if v % 1000 == 999 {
            warehouse.maintain().await.expect("maintained");
        }
    }
    let query = |name: &str| format!("select count(*), sum(k), max(s) from {name} where v % 3 = 1");
    let [single, compact] =
        medians(15, [(&session, query("single").as_str()), (&session, query("compact").as_str())]).await;
    println!("a scan after {ROWS} single-row inserts against the same rows loaded at once: {:.2}", single / compact);

    let rows = 4_000_000;
    for name in ["dead", "alive"] {
        run(&session, &format!("create table {name} {columns}")).await;
        let load = format!(
            "insert into {name} select v, v * 7919 % {rows}, 'row ' || v % 1000 from generate_series(0, {}) s(v)",
            rows - 1
        );
        run(&session, &load).await;
    }
    run(&session, "delete from dead where (k * 2654435761 / 65536) % 10 = 3").await;
    run(&session, "create table left_over distkey(k) sortkey(v) as select * from dead").await;
    let [dead, alive] = medians(7, [(&session, query("dead").as_str()), (&session, query("left_over").as_str())]).await;
    println!("a scan with a tenth of {rows} rows deleted at random against those that are left: {:.2}", dead / alive);
}

fn bytes_below(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => bytes_below(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

/// What a VACUUM writes after a hundredth was appended in the order of the sort key.
async fn vacuum(rows: u64) {
    let (directory, warehouse) = opened(8).await;
    let session = warehouse.session();
    run(&session, &format!("create table events {EVENTS} distkey(id) sortkey(at)")).await;
    events(&session, "events", 0, rows).await;
    run(&session, "vacuum events to 100 percent").await;
    let data = directory.path().join("data");
    let table = bytes_below(&data);
    events(&session, "events", rows, rows / 100).await;
    let before = bytes_below(&data);
    run(&session, "vacuum events to 100 percent").await;
    let written = bytes_below(&data) - before;
    println!(
        "VACUUM after 1 % of {rows} rows were appended in order: {:.2} % of the table's bytes written anew",
        written as f64 * 100.0 / table as f64
    );
}

/// What ALTER SORTKEY said that it would take, and what it took.
async fn relayout(rows: u64) {
    let (directory, warehouse) = opened(8).await;
    let session = warehouse.session();
    run(&session, &format!("create table events {EVENTS} distkey(id) sortkey(at)")).await;
    events(&session, "events", 0, rows).await;
    let data = directory.path().join("data");
    for alter in ["alter sortkey (customer, at)", "alter distkey customer", "alter column note encode zstd"] {
        let before = bytes_below(&data);
        let statement = format!("alter table events {alter}");
        let (most, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (watched, seen, stop) = (data.clone(), Arc::clone(&most), Arc::clone(&over));
        let watching = std::thread::spawn(move || {
            while stop.load(Ordering::Relaxed) == 0 {
                seen.fetch_max(bytes_below(&watched), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let output = session.sql(&statement).await.expect(&statement);
        over.store(1, Ordering::Relaxed);
        watching.join().expect("it ends");
        let last = bytes_below(&data) - before;
        let most = most.load(Ordering::Relaxed).saturating_sub(before).max(last);
        println!(
            "{statement}: {}; at most {:.2} × that on disk besides",
            output.notices.join("; "),
            most as f64 / last as f64
        );
    }
}
