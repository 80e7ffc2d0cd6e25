//! Query streams that run at the same time, beside a stream of refresh functions: TPC-H's throughput test.
//!
//! Basis: TPC Benchmark H specification 3.0.1, clause 5.3 (a refresh stream beside the query streams). Orders and line items are
//! clones in a schema of their own, so that the tables stay as they were loaded. After each query its stream asks for what tells
//! versions apart: every version that it sees must be one between two refresh functions, and none older than the one before.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use blueshift::engine::tpch::Table;
use blueshift::engine::{Session, Warehouse};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::generate;
use super::refresh::{Refreshes, State};
use crate::bench::query::{Query, shuffled};
use crate::bench::report::{geometric_mean, grouped, median, say};
use crate::bench::rival::Rival;
use crate::bench::run::{difference, execute, named};
use crate::failure::Failure;
use crate::render::quoted;

/// Where the tables are that are refreshed.
const SCHEMA: &str = "tpch_streams";
/// Tables that the refresh functions change.
const REFRESHED: [&str; 2] = ["lineitem", "orders"];

/// One version's numbers of rows, of orders without line items, and of line items without an order.
const STATE: &str = "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM lineitem), \
    (SELECT CAST(sum(o_totalprice) * 100 AS BIGINT) FROM orders), \
    (SELECT count(*) FROM orders WHERE NOT EXISTS (SELECT 1 FROM lineitem WHERE l_orderkey = o_orderkey)), \
    (SELECT count(*) FROM lineitem WHERE NOT EXISTS (SELECT 1 FROM orders WHERE l_orderkey = o_orderkey))";

pub struct Options<'a> {
    pub streams: u32,
    pub refresh: bool,
    pub scale: f64,
    pub threads: usize,
    pub queries: &'a [Query],
    pub tables: &'a [Table],
}

/// What the streams found.
#[derive(Debug)]
pub struct StreamsReport {
    /// Without refresh functions beside them.
    alone: Round,
    refreshed: Option<Refreshed>,
    /// Checks that failed, in words.
    pub wrong: Vec<String>,
}

#[derive(Debug)]
struct Refreshed {
    round: Round,
    /// Seconds of each RF1 and RF2.
    inserts: Vec<f64>,
    deletes: Vec<f64>,
    /// Orders and line items that RF1 inserts.
    orders: i64,
    lineitems: i64,
}

/// All streams, once.
#[derive(Debug)]
struct Round {
    streams: Vec<Stream>,
    seconds: f64,
}

/// One stream.
#[derive(Debug)]
struct Stream {
    /// Name and seconds of each query, in the order in which they ran.
    queries: Vec<(String, f64)>,
    /// What was seen after each query.
    versions: Vec<Version>,
}

/// What a version holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    state: State,
    childless: i64,
    orphans: i64,
}

/// Runs the streams, alone and, where that is wanted, beside as many pairs of refresh functions. `rival`, if there is one, gets
/// the refreshed rows, and is the judge of the answers in the end.
pub async fn run(
    warehouse: &Warehouse,
    rival: Option<&mut Rival>,
    options: &Options<'_>,
) -> Result<StreamsReport, Failure> {
    let session = warehouse.session();
    drop_schema(&session).await?;
    session.sql(&format!("CREATE SCHEMA {SCHEMA}")).await?;
    for table in REFRESHED {
        session.sql(&format!("CREATE TABLE {SCHEMA}.{table} CLONE public.{table}")).await?;
    }
    let report = run_in_schema(warehouse, rival, options).await;
    let dropped = drop_schema(&session).await;
    let report = report?;
    dropped?;
    Ok(report)
}

async fn drop_schema(session: &Session) -> Result<(), Failure> {
    session.sql(&format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")).await?;
    Ok(())
}

async fn run_in_schema(
    warehouse: &Warehouse,
    rival: Option<&mut Rival>,
    options: &Options<'_>,
) -> Result<StreamsReport, Failure> {
    let session = session(warehouse).await?;
    let mut wrong = Vec::new();
    // Both rounds find what is cached.
    for query in options.queries {
        execute(&session, query).await.map_err(|f| named(query, f))?;
    }
    let first = version(&session).await?;
    let (alone, _) = round(warehouse, options, None).await?;
    check_versions(&alone, &[first.state], &mut wrong);
    let mut refreshed = None;
    let mut refreshes = None;
    if options.refresh {
        let made = Arc::new(Refreshes::new(options.scale, options.streams)?);
        let (round, [inserts, deletes]) = round(warehouse, options, Some(Arc::clone(&made))).await?;
        let states = made.states(first.state);
        check_versions(&round, &states, &mut wrong);
        let last = version(&session).await?;
        if Some(&last.state) != states.last() {
            wrong.push(format!("in the end there is {last:?} instead of {:?}", states.last()));
        }
        let State { orders, lineitems, .. } = made.pairs[0].inserted.state();
        refreshed = Some(Refreshed { round, inserts, deletes, orders, lineitems });
        refreshes = Some(made);
    }
    let report = StreamsReport { alone, refreshed, wrong };
    report.print(options)?;
    let mut report = report;
    if let Some(rival) = rival {
        if let Some(refreshes) = refreshes {
            for table in options.tables.iter().filter(|table| REFRESHED.contains(&table.name)) {
                let parts =
                    generate::parts(table.name, options.scale, options.threads, &indicatif::ProgressBar::hidden());
                rival.replace(table.name, &table.sort, refreshes.refreshed(table.name, parts)).await?;
            }
        }
        report.check_answers(&session, rival, options.queries).await?;
    }
    for wrong in &report.wrong {
        say(&format!("differs: {wrong}"))?;
    }
    Ok(report)
}

/// A session that finds the refreshed tables first.
async fn session(warehouse: &Warehouse) -> Result<Session, Failure> {
    let session = warehouse.session();
    session.sql(&format!("SET search_path TO {SCHEMA}, public")).await?;
    Ok(session)
}

/// All streams at the same time, and beside them the refresh functions; those pairs' seconds.
async fn round(
    warehouse: &Warehouse,
    options: &Options<'_>,
    refreshes: Option<Arc<Refreshes>>,
) -> Result<(Round, [Vec<f64>; 2]), Failure> {
    let (ended, ends) = watch::channel(0);
    let all = options.queries.len() * options.streams as usize;
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for number in 1..=options.streams {
        let (warehouse, ended) = (warehouse.clone(), ended.clone());
        let queries = shuffled(number, options.queries);
        tasks.spawn(async move { Ok::<_, Failure>((number, stream(&warehouse, &queries, &ended).await?)) });
    }
    let beside = async {
        match &refreshes {
            Some(refreshes) => refresh(warehouse, refreshes, all, ends).await,
            None => Ok([Vec::new(), Vec::new()]),
        }
    };
    let streams = async {
        let mut streams = Vec::new();
        while let Some(done) = tasks.join_next().await {
            streams.push(done.map_err(|e| Failure::Message(format!("a query stream has ended: {e}")))??);
        }
        streams.sort_by_key(|(number, _)| *number);
        Ok::<_, Failure>((streams.into_iter().map(|(_, stream)| stream).collect(), started.elapsed().as_secs_f64()))
    };
    let ((streams, seconds), seconds_of_functions) = futures::future::try_join(streams, beside).await?;
    Ok((Round { streams, seconds }, seconds_of_functions))
}

async fn stream(warehouse: &Warehouse, queries: &[Query], ended: &watch::Sender<usize>) -> Result<Stream, Failure> {
    let session = session(warehouse).await?;
    let mut stream = Stream { queries: Vec::new(), versions: Vec::new() };
    for query in queries {
        let started = Instant::now();
        execute(&session, query).await.map_err(|f| named(query, f))?;
        stream.queries.push((query.name.clone(), started.elapsed().as_secs_f64()));
        stream.versions.push(version(&session).await?);
        ended.send_modify(|ended| *ended += 1);
    }
    Ok(stream)
}

/// Runs the pairs of functions, spread over the time in which the streams' queries, so many in `all`, run.
async fn refresh(
    warehouse: &Warehouse,
    refreshes: &Refreshes,
    all: usize,
    mut ends: watch::Receiver<usize>,
) -> Result<[Vec<f64>; 2], Failure> {
    let session = session(warehouse).await?;
    let (mut inserts, mut deletes) = (Vec::new(), Vec::new());
    for (number, pair) in refreshes.pairs.iter().enumerate() {
        let due = all * number / refreshes.pairs.len();
        // The streams are gone when one has failed, which is told by them.
        let _ = ends.wait_for(|ended| *ended >= due).await;
        inserts.push(pair.insert(&session).await?);
        deletes.push(pair.delete(&session).await?);
    }
    Ok([inserts, deletes])
}

async fn version(session: &Session) -> Result<Version, Failure> {
    let batches = session.sql(STATE).await?.collect().await?;
    let batch = batches.iter().find(|batch| batch.num_rows() == 1);
    let batch = batch.ok_or_else(|| Failure::Message("a query of one row has given none".into()))?;
    let number = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(0);
    let state = State { orders: number(0), lineitems: number(1), price: number(2) };
    Ok(Version { state, childless: number(3), orphans: number(4) })
}

/// What each stream has seen must be some of the states, in their order.
fn check_versions(round: &Round, states: &[State], wrong: &mut Vec<String>) {
    for (stream, found) in round.streams.iter().enumerate() {
        let mut at = 0;
        for (version, (query, _)) in found.versions.iter().zip(&found.queries) {
            let after = || format!("stream {}, after query {query}", stream + 1);
            if version.childless + version.orphans > 0 {
                wrong.push(format!("{}: orders without line items, or line items without order: {version:?}", after()));
            }
            match states.iter().position(|state| *state == version.state) {
                Some(found) if found >= at => at = found,
                Some(found) => wrong.push(format!("{}: state {found} after state {at}", after())),
                None => wrong.push(format!("{}: {version:?} is none of the {} states", after(), states.len())),
            }
        }
    }
}

impl Round {
    fn per_hour(&self) -> f64 {
        self.streams.iter().map(|stream| stream.queries.len()).sum::<usize>() as f64 * 3600.0 / self.seconds
    }

    fn versions(&self) -> usize {
        self.streams.iter().map(|stream| stream.versions.len()).sum()
    }
}

impl Stream {
    fn seconds(&self) -> f64 {
        self.queries.iter().map(|(_, seconds)| seconds).sum()
    }
}

impl Refreshed {
    /// The geometric mean of how many times as long queries took as alone.
    fn ratio(&self, alone: &Round) -> f64 {
        let streams = self.round.streams.iter().zip(&alone.streams);
        let queries = streams.flat_map(|(beside, alone)| beside.queries.iter().zip(&alone.queries));
        geometric_mean(&queries.map(|((_, beside), (_, alone))| beside / alone.max(1e-9)).collect::<Vec<_>>())
    }
}

impl StreamsReport {
    fn print(&self, options: &Options<'_>) -> Result<(), Failure> {
        let queries = options.queries.len();
        say(&format!("{} streams of {queries} queries, each in an order of its own", options.streams))?;
        let mut header = format!("{:>6} {:>10}", "stream", "alone s");
        if self.refreshed.is_some() {
            header.push_str(&format!(" {:>11} {:>7}", "refreshed s", "ratio"));
        }
        say(&format!("{header}  first queries"))?;
        for (number, alone) in self.alone.streams.iter().enumerate() {
            let mut line = format!("{:>6} {:>10.3}", number + 1, alone.seconds());
            if let Some(stream) = self.refreshed.as_ref().and_then(|refreshed| refreshed.round.streams.get(number)) {
                let ratio = stream.seconds() / alone.seconds().max(1e-9);
                line.push_str(&format!(" {:>11.3} {ratio:>7.2}", stream.seconds()));
            }
            let first: Vec<String> = alone.queries.iter().take(4).map(|(query, _)| query.clone()).collect();
            say(&format!("{line}  {}", first.join(", ")))?;
        }
        let per_hour = |round: &Round| grouped(round.per_hour() as u64);
        let Some(refreshed) = &self.refreshed else {
            return say(&format!("queries per hour: {}", per_hour(&self.alone)));
        };
        say(&format!(
            "queries per hour: {} alone, {} refreshed, ratio {:.2}; geometric mean of the queries' ratios {:.2}",
            per_hour(&self.alone),
            per_hour(&refreshed.round),
            refreshed.round.per_hour() / self.alone.per_hour(),
            refreshed.ratio(&self.alone)
        ))?;
        say(&format!(
            "{} pairs of refresh functions in {:.3} s, of {} orders and about {} line items each: median {:.4} s to insert, \
             {:.4} s to delete",
            refreshed.inserts.len(),
            refreshed.inserts.iter().chain(&refreshed.deletes).sum::<f64>(),
            grouped(refreshed.orders as u64),
            grouped(refreshed.lineitems as u64),
            median(&refreshed.inserts).unwrap_or_default(),
            median(&refreshed.deletes).unwrap_or_default()
        ))?;
        let versions = self.alone.versions() + refreshed.round.versions();
        if self.wrong.is_empty() {
            say(&format!("each of {versions} versions read is one before or after a refresh function"))?;
        }
        Ok(())
    }

    /// Compares the answers of the queries with the rival's over the same rows.
    async fn check_answers(&mut self, session: &Session, rival: &Rival, queries: &[Query]) -> Result<(), Failure> {
        let mut same = 0;
        for query in queries {
            let ours = execute(session, query).await.map_err(|f| named(query, f))?;
            let theirs = rival.query(query).await.map_err(|f| named(query, f))?;
            match difference(query, &ours.rows, &theirs)? {
                None => same += 1,
                Some(difference) => self.wrong.push(format!("query {}: {difference}", query.name)),
            }
        }
        say(&format!("{same} of {} answers afterwards are plain DataFusion's over the same rows", queries.len()))
    }

    pub fn json(&self) -> String {
        let seconds = |values: &[f64]| values.iter().map(|s| format!("{s:.6}")).collect::<Vec<_>>().join(", ");
        let round = |round: &Round| {
            let streams = round.streams.iter().map(|stream| {
                let queries = stream.queries.iter().map(|(query, s)| format!("{{\"query\": {query}, \"s\": {s:.6}}}"));
                format!("[{}]", queries.collect::<Vec<_>>().join(", "))
            });
            format!(
                "{{\"seconds\": {:.6}, \"queries_per_hour\": {:.1}, \"streams\": [{}]}}",
                round.seconds,
                round.per_hour(),
                streams.collect::<Vec<_>>().join(", ")
            )
        };
        let mut fields = vec![format!("\"alone\": {}", round(&self.alone))];
        if let Some(refreshed) = &self.refreshed {
            fields.push(format!("\"refreshed\": {}", round(&refreshed.round)));
            fields.push(format!("\"inserts_s\": [{}]", seconds(&refreshed.inserts)));
            fields.push(format!("\"deletes_s\": [{}]", seconds(&refreshed.deletes)));
            fields.push(format!("\"geomean_ratio\": {:.4}", refreshed.ratio(&self.alone)));
        }
        let wrong: Vec<String> = self.wrong.iter().map(|wrong| quoted(wrong)).collect();
        fields.push(format!("\"wrong\": [{}]", wrong.join(", ")));
        format!("{{{}}}", fields.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_version_is_told() {
        let state = |orders| State { orders, lineitems: 4 * orders, price: 7 };
        let found = |versions: Vec<Version>| {
            let queries = versions.iter().map(|_| ("1".into(), 0.1)).collect();
            let mut wrong = Vec::new();
            let round = Round { streams: vec![Stream { queries, versions }], seconds: 1.0 };
            check_versions(&round, &[state(10), state(12), state(11)], &mut wrong);
            wrong.len()
        };
        let version = |orders| Version { state: state(orders), childless: 0, orphans: 0 };
        assert_eq!(found(vec![version(10), version(10), version(11)]), 0);
        assert_eq!(found(vec![version(12), version(10)]), 1, "an older one");
        assert_eq!(found(vec![version(13)]), 1, "none");
        assert_eq!(found(vec![Version { childless: 1, ..version(12) }]), 1, "an order without line items");
        assert_eq!(found(vec![Version { orphans: 1, ..version(12) }]), 1, "a line item without its order");
    }
}
