//! A process that is killed at any moment: every change that it was told of is there, no other is half there, and the next process
//! goes on.
//!
//! `BLUESHIFT_KILLS=1000 cargo test --lib killed` kills so many.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::changes::{Row, change, stored};
use super::util::all;
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;
use crate::testing::rng::Rng;

/// What a process is told, by its environment: where the warehouse is, the seed, and how many statements were run already.
const PLACE: &str = "BLUESHIFT_TEST_KILLED_PLACE";
const PART: &str = "BLUESHIFT_TEST_KILLED_PART";
const KILLS: &str = "BLUESHIFT_KILLS";

/// The statements of a seed, one after the other, and the rows after each.
struct Script {
    rng: Rng,
    rows: Vec<Row>,
    next: i32,
}

impl Script {
    fn of(seed: u64) -> Self {
        Script { rng: Rng::new(seed), rows: Vec::new(), next: 1 }
    }

    fn next(&mut self) -> String {
        let layouts = [
            "vacuum t to 100 percent",
            "alter table t alter sortkey (v)",
            "alter table t alter sortkey (k, x)",
            "alter table t alter distkey k",
            "alter table t alter diststyle even",
            "alter table t alter column x encode zstd",
            "alter table t alter column x encode raw",
        ];
        match self.rng.one_in(5) {
            true => layouts[self.rng.below(layouts.len())].to_string(),
            false => change(&mut self.rng, &mut self.rows, &mut self.next),
        }
    }

    fn sorted(&self) -> Vec<Row> {
        let mut rows = self.rows.clone();
        rows.sort();
        rows
    }
}

async fn opened(place: &Path) -> (Warehouse, Session) {
    let builder = Warehouse::builder().threads(2).load_memory(64 << 10);
    let warehouse = builder.open(place.to_str().unwrap()).await.unwrap();
    let session = warehouse.session();
    (warehouse, session)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_was_told_is_there() {
    let kills: u64 = std::env::var(KILLS).map_or(6, |n| n.parse().expect("a number of kills"));
    let mut interrupted = 0;
    for seed in 0..kills.div_ceil(12) {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("dw");
        {
            let builder = Warehouse::builder().slices(3).geometry(Geometry::TINY);
            let warehouse = builder.open(place.to_str().unwrap()).await.unwrap();
            let before = [
                "create table t (k int, x int not null, v int not null) distkey(k) sortkey(k, v)",
                "create table u (k int, y int)",
                "insert into u select v % 4, v % 4 * 10 from generate_series(0, 39) s(v)",
            ];
            all(&warehouse.session(), &before).await;
            warehouse.close().await.unwrap();
        }
        let mut script = Script::of(seed);
        let (mut done, mut rng) = (0, Rng::new(seed + 1000));
        for kill in 0..kills.min(12) {
            let told = killed(&place, seed, done, Duration::from_millis(150 + rng.below(400) as u64)).await;
            for _ in 0..told {
                script.next();
            }
            done += told;
            let (warehouse, session) = opened(&place).await;
            let found = stored(&session).await;
            let context = format!("seed {seed}, kill {kill}, {done} statements told");
            if found != script.sorted() {
                // The one that was cut off took effect, of which nobody was told.
                let last = script.next();
                done += 1;
                interrupted += 1;
                assert_eq!(found, script.sorted(), "{context}, then {last}");
            }
            warehouse.collect().await.unwrap();
            assert_eq!(stored(&session).await, script.sorted(), "{context}: after a collection");
            warehouse.close().await.unwrap();
        }
        assert!(done > 0, "no process did anything");
    }
    println!("{kills} kills, after {interrupted} of which there was a change that nobody had been told of");
}

/// Starts a process and kills it after a while; how many statements it was told of.
async fn killed(place: &Path, seed: u64, done: usize, after: Duration) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "engine::tests::killed::in_a_process"])
        .env(PLACE, place)
        .env(PART, format!("{seed} {done}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let told = tokio::task::spawn_blocking(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        lines.filter(|line| line.starts_with("told ")).count()
    });
    tokio::time::sleep(after).await;
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    told.await.unwrap()
}

#[ignore = "is the process that another test kills"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_process() {
    let (place, part) = (std::env::var(PLACE).unwrap(), std::env::var(PART).unwrap());
    let (seed, done) = part.split_once(' ').unwrap();
    let mut script = Script::of(seed.parse().unwrap());
    for _ in 0..done.parse().unwrap() {
        script.next();
    }
    let (_warehouse, session) = opened(Path::new(&place)).await;
    loop {
        let statement = script.next();
        all(&session, &[&statement]).await;
        let mut out = std::io::stdout().lock();
        writeln!(out, "\ntold {statement}").unwrap();
        out.flush().unwrap();
    }
}
