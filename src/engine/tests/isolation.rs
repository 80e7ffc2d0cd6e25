//! Random transactions of several sessions, whose record is searched for what isolation forbids.
//!
//! A seed decides what each session says. In turns it decides everything, so that a failure can be seen again; on threads
//! and in processes the machine decides who is first.

mod actor;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actor::{Actor, Mix, Now};

use crate::catalog::{CatalogOptions, WarehouseStore};
use crate::common::{Clock, ErrorKind, SystemClock};
use crate::engine::{Warehouse, WarehouseBuilder};
use crate::format::Geometry;
use crate::testing::history::{self, Kind, Level, Op, Outcome, Transaction, check, kinds};
use crate::testing::long::seeds;
use crate::testing::rng::Rng;

const LEVELS: [Level; 2] = [Level::Snapshot, Level::Serializable];

/// A clock that each look at it moves on.
fn counted() -> Now {
    let count = AtomicU64::new(0);
    Arc::new(move || count.fetch_add(1, Ordering::SeqCst))
}

/// As the seed has it, often with checkpoints.
fn builder(seed: u64) -> WarehouseBuilder {
    let mut rng = Rng::new(seed);
    let options =
        CatalogOptions { lease_ttl: Duration::from_secs(60), checkpoint_every: 8, ..CatalogOptions::default() };
    let geometry = if rng.one_in(3) { Geometry::DEFAULT } else { Geometry::TINY };
    Warehouse::builder().slices(1 + rng.below(4) as u32).threads(2).geometry(geometry).catalog_options(options)
}

/// What a run is of.
struct Run {
    seed: u64,
    level: Level,
    mix: Mix,
    now: Now,
    /// Handles that know nothing of each other, as those of several processes.
    handles: Vec<Warehouse>,
    history: Vec<Transaction>,
}

impl Run {
    /// Makes the tables and fills them.
    async fn begin(seed: u64, level: Level, mix: Mix, now: Now, handles: Vec<Warehouse>) -> Run {
        let session = handles[0].session();
        for statement in actor::tables(&mut Rng::new(seed)) {
            session.sql(&statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
        }
        let mut run = Run { seed, level, mix, now, handles, history: Vec::new() };
        let mut first = run.actor(90, 0).await;
        first.fill().await;
        run.history.append(&mut first.history);
        run
    }

    /// One of the actors; numbers from 90 on are of others that do not count.
    async fn actor(&self, number: u64, transactions: usize) -> Actor {
        let session = self.handles[number as usize % self.handles.len()].session();
        let actor = Actor::new(number, ACTORS, session, self.seed, self.level, self.mix, Arc::clone(&self.now)).await;
        actor.with_transactions(transactions)
    }

    /// Reads everything at the end by `last`, which has just opened the warehouse, before and after a collection.
    async fn end(mut self, last: Warehouse) -> Vec<Transaction> {
        self.handles = vec![last];
        for number in [91, 92] {
            let mut reader = self.actor(number, 0).await;
            reader.read_all().await;
            self.history.append(&mut reader.history);
            self.handles[0].collect().await.unwrap_or_else(|e| panic!("seed {}: {e:?}", self.seed));
        }
        self.history
    }
}

const ACTORS: u64 = 4;

/// How many transactions there were, and how many were committed.
#[derive(Debug, Default)]
struct Tally {
    all: usize,
    committed: usize,
}

impl Tally {
    fn count(&mut self, history: &[Transaction]) {
        self.all += history.len();
        self.committed += history.iter().filter(|t| t.outcome == Outcome::Committed).count();
    }
}

/// Fails with what the history proves to be wrong.
fn expect_right(history: &[Transaction], level: Level, seed: u64) {
    let found = check(history, level);
    if !found.is_empty() {
        let shown: Vec<String> = found.iter().take(5).map(|anomaly| anomaly.to_string()).collect();
        // Anomalies name transactions by the actor's number and a number of its own.
        let named = |t: &&Transaction| shown.iter().any(|text| text.split([' ', ':', ',']).any(|word| word == t.name));
        let named: Vec<Transaction> = history.iter().filter(named).cloned().collect();
        let events: Vec<String> =
            history::write(&named).lines().map(|line| line.chars().take(2000).collect()).collect();
        let (all, kinds) = (history.len(), kinds(&found));
        panic!("seed {seed}, {level:?}, {all} transactions: {kinds:?}\n{}\n{}", shown.join("\n"), events.join("\n"));
    }
}

/// Sessions that speak in turns, which the seed decides, over two handles.
async fn in_turns(seed: u64, level: Level, mix: Mix, transactions: usize) -> Vec<Transaction> {
    let objects = WarehouseStore::memory();
    let open = async || {
        let store = WarehouseStore::new(Arc::clone(objects.objects()));
        builder(seed).store(store).open("memory://").await.unwrap()
    };
    let handles = vec![open().await, open().await];
    let mut run = Run::begin(seed, level, mix, counted(), handles).await;
    let mut actors = Vec::new();
    for number in 0..ACTORS {
        actors.push(run.actor(number, transactions).await);
    }
    let mut rng = Rng::new(seed);
    while !actors.is_empty() {
        let turn = rng.below(actors.len());
        actors[turn].step().await;
        if actors[turn].is_done() {
            run.history.append(&mut actors.swap_remove(turn).history);
        }
        if rng.one_in(40) {
            run.handles[rng.below(2)].collect().await.unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
        }
    }
    let last = open().await;
    run.end(last).await
}

/// The same sessions, each in a task of its own.
async fn at_once(mut run: Run, transactions: usize) -> Run {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..ACTORS {
        let mut actor = run.actor(number, transactions).await;
        tasks.spawn(async move {
            while !actor.is_done() {
                actor.step().await;
            }
            actor.history
        });
    }
    while let Some(history) = tasks.join_next().await {
        run.history.append(&mut history.unwrap());
    }
    run
}

/// A true record is right; hardly anything of it can be changed unnoticed.
fn expect_sensitive(history: &[Transaction], level: Level) {
    let last = history.len() - 1;
    let written = |t: &Transaction| t.events.iter().any(|event| matches!(event.op, Op::Append { .. }));
    // What the last transaction has read, without one of the tokens.
    let tokens = |t: &mut Transaction, of: usize| {
        let reads = t.events.iter_mut().filter_map(|event| match &mut event.op {
            Op::Read { rows, .. } => Some(rows),
            _ => None,
        });
        reads.flatten().nth(of).and_then(|(_, tokens)| tokens.pop())
    };
    for of in (0..60).step_by(7) {
        let mut changed = history.to_vec();
        if tokens(&mut changed[last], of).is_some() {
            changed[last].events.iter_mut().for_each(|event| {
                if let Op::Read { rows, .. } = &mut event.op {
                    rows.retain(|(_, tokens)| !tokens.is_empty());
                }
            });
            assert!(!check(&changed, level).is_empty(), "row {of} has lost its last token");
        }
    }
    let committed = |t: &&Transaction| t.outcome == Outcome::Committed && written(t);
    for name in history.iter().filter(committed).map(|t| &t.name).step_by(5) {
        let mut changed = history.to_vec();
        changed.iter_mut().filter(|t| t.name == *name).for_each(|t| t.outcome = Outcome::Aborted);
        let found = kinds(&check(&changed, level));
        // Only what others have deleted before anybody read it leaves no trace.
        let seen = found.contains(&Kind::AbortedRead) || found.contains(&Kind::Unwritten);
        assert!(seen || found.is_empty(), "{name} was aborted: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_in_turns_are_isolated() {
    let mut skews = 0;
    for level in LEVELS {
        let mut tally = Tally::default();
        for seed in seeds(1, 3) {
            let history = in_turns(seed, level, Mix::Everything, 14).await;
            tally.count(&history);
            expect_right(&history, level, seed);
            if tally.all == history.len() {
                expect_sensitive(&history, level);
            }
            if skews == 0 && level == Level::Snapshot {
                skews += usize::from(kinds(&check(&history, Level::Serializable)) == [Kind::WriteSkew]);
            }
        }
        assert!(tally.committed * 2 > tally.all, "{level:?}: {tally:?}");
    }
    // The snapshots were no serializable runs by chance.
    assert!(skews > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inserts_alone_never_conflict() {
    for seed in seeds(1, 1) {
        for (level, mix) in [(Level::Snapshot, Mix::InsertsAndReads), (Level::Serializable, Mix::Inserts)] {
            let history = in_turns(seed, level, mix, 8).await;
            expect_right(&history, level, seed);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_different_rows_never_conflict() {
    for seed in seeds(1, 2) {
        let history = in_turns(seed, Level::Snapshot, Mix::OwnRows, 10).await;
        expect_right(&history, Level::Snapshot, seed);
    }
}

async fn on_threads(level: Level) {
    for seed in seeds(101, 2) {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("dw");
        let open = async || builder(seed).open(place.to_str().unwrap()).await.unwrap();
        let run = Run::begin(seed, level, Mix::Everything, counted(), vec![open().await]).await;
        let run = at_once(run, 12).await;
        expect_right(&run.end(open().await).await, level, seed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_on_threads_are_isolated() {
    on_threads(Level::Snapshot).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sessions_on_threads_are_serializable() {
    on_threads(Level::Serializable).await;
}

/// A clock that processes of one machine share.
fn shared() -> Now {
    Arc::new(|| SystemClock.now_us() as u64)
}

/// What a process of a run is told, by its environment.
const PLACE: &str = "BLUESHIFT_TEST_ISOLATION_PLACE";
const PART: &str = "BLUESHIFT_TEST_ISOLATION_PART";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_on_a_directory_are_isolated() {
    for (seed, level) in seeds(201, 2).zip(LEVELS.into_iter().cycle()) {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("dw");
        let open = async || builder(seed).open(place.to_str().unwrap()).await.unwrap();
        let mut run = Run::begin(seed, level, Mix::Everything, shared(), vec![open().await]).await;
        let children: Vec<_> = (0..ACTORS)
            .map(|number| {
                let serializable = level == Level::Serializable;
                Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "--ignored", "--nocapture", "engine::tests::isolation::in_a_process"])
                    .env(PLACE, directory.path())
                    .env(PART, format!("{number} {seed} {serializable}"))
                    .stdout(std::process::Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for (number, mut child) in children.into_iter().enumerate() {
            let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
            assert!(status.success(), "seed {seed}, actor {number}");
            let text = std::fs::read_to_string(directory.path().join(format!("history-{number}"))).unwrap();
            run.history.extend(history::parse(&text).expect("a history"));
        }
        expect_right(&run.end(open().await).await, level, seed);
    }
}

#[ignore = "is one of the processes of another test"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_process() {
    let (place, part) = (std::env::var(PLACE).unwrap(), std::env::var(PART).unwrap());
    let mut words = part.split(' ');
    let (number, seed) = (words.next().unwrap().parse().unwrap(), words.next().unwrap().parse().unwrap());
    let level = if words.next() == Some("true") { Level::Serializable } else { Level::Snapshot };
    let place = Path::new(&place);
    let warehouse = builder(seed).open(place.join("dw").to_str().unwrap()).await.unwrap();
    let actor = Actor::new(number, ACTORS, warehouse.session(), seed, level, Mix::Everything, shared()).await;
    let mut actor = actor.with_transactions(10);
    let mut rng = Rng::new(seed + number);
    while !actor.is_done() {
        actor.step().await;
        if rng.one_in(20) {
            match warehouse.collect().await {
                Ok(_) => {}
                Err(e) => assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}"),
            }
        }
    }
    std::fs::write(place.join(format!("history-{number}")), history::write(&actor.history)).unwrap();
    warehouse.close().await.unwrap();
}

#[cfg(feature = "s3")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_on_s3_are_isolated() {
    use crate::testing::s3_server::S3Server;
    let server = S3Server::start(&["bucket"]).await;
    for (seed, level) in seeds(301, 2).zip(LEVELS.into_iter().cycle()) {
        let open = async || {
            let store = WarehouseStore::new(server.store("bucket", &format!("dw{seed}")));
            builder(seed).store(store).open("s3://bucket/dw").await.unwrap()
        };
        let handles = vec![open().await, open().await];
        let run = Run::begin(seed, level, Mix::Everything, counted(), handles).await;
        let run = at_once(run, 5).await;
        expect_right(&run.end(open().await).await, level, seed);
    }
}
