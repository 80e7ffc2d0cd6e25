//! Short queries from many sessions at the same time, as dashboards send them.

use std::sync::Arc;
use std::time::Instant;

use blueshift::engine::Warehouse;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::query::{Query, shuffled};
use super::report::{grouped, say};
use super::run::{execute, named};
use crate::failure::Failure;

/// What the sessions found.
#[derive(Debug)]
pub struct SessionsReport {
    sessions: u32,
    /// From the first query's begin to the last one's end.
    seconds: f64,
    /// Seconds of each query, the shortest first.
    latencies: Vec<f64>,
}

/// Runs all queries `rounds` times in each of so many sessions, each in an order of its own, after once untimed.
pub async fn run(
    warehouse: &Warehouse,
    queries: &[Query],
    sessions: u32,
    rounds: u32,
) -> Result<SessionsReport, Failure> {
    let ready = Arc::new(Barrier::new(sessions as usize));
    let mut tasks = JoinSet::new();
    for number in 1..=sessions {
        let (warehouse, ready) = (warehouse.clone(), Arc::clone(&ready));
        let queries = shuffled(number, queries);
        tasks.spawn(async move { one_session(&warehouse, &queries, rounds, &ready).await });
    }
    let mut report = SessionsReport { sessions, seconds: 0.0, latencies: Vec::new() };
    let (mut begin, mut end) = (None::<Instant>, None::<Instant>);
    while let Some(done) = tasks.join_next().await {
        let timed = done.map_err(|e| Failure::Message(format!("a session has ended: {e}")))??;
        begin = Some(begin.map_or(timed.begin, |begin| begin.min(timed.begin)));
        end = Some(end.map_or(timed.end, |end| end.max(timed.end)));
        report.latencies.extend(timed.latencies);
    }
    report.latencies.sort_by(f64::total_cmp);
    report.seconds = begin.zip(end).map_or(0.0, |(begin, end)| (end - begin).as_secs_f64());
    report.print()?;
    Ok(report)
}

struct Timed {
    begin: Instant,
    end: Instant,
    latencies: Vec<f64>,
}

async fn one_session(warehouse: &Warehouse, queries: &[Query], rounds: u32, ready: &Barrier) -> Result<Timed, Failure> {
    let session = warehouse.session();
    let mut outcome = Ok(());
    for query in queries {
        outcome = execute(&session, query).await.map(|_| ()).map_err(|f| named(query, f));
        if outcome.is_err() {
            break;
        }
    }
    // The others wait for this one, be it that it has failed.
    ready.wait().await;
    outcome?;
    let begin = Instant::now();
    let mut latencies = Vec::with_capacity(queries.len() * rounds as usize);
    for query in (0..rounds).flat_map(|_| queries) {
        let started = Instant::now();
        execute(&session, query).await.map_err(|f| named(query, f))?;
        latencies.push(started.elapsed().as_secs_f64());
    }
    Ok(Timed { begin, end: Instant::now(), latencies })
}

impl SessionsReport {
    fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.seconds.max(1e-9)
    }

    /// Milliseconds that so many of a hundred queries do not exceed: the nearest rank.
    fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.latencies.len() * percent).div_ceil(100).max(1) - 1;
        self.latencies.get(rank).map_or(0.0, |seconds| seconds * 1e3)
    }

    fn print(&self) -> Result<(), Failure> {
        say(&format!(
            "{} queries by {} sessions in {:.2} s: {:.1} a second; half of them within {:.2} ms, 99 of 100 within {:.2} ms, all \
             within {:.2} ms",
            grouped(self.latencies.len() as u64),
            self.sessions,
            self.seconds,
            self.per_second(),
            self.percentile(50),
            self.percentile(99),
            self.percentile(100)
        ))
    }

    pub fn json(&self) -> String {
        format!(
            "{{\"sessions\": {}, \"queries\": {}, \"seconds\": {:.6}, \"per_second\": {:.3}, \"p50_ms\": {:.3}, \
             \"p99_ms\": {:.3}, \"max_ms\": {:.3}}}",
            self.sessions,
            self.latencies.len(),
            self.seconds,
            self.per_second(),
            self.percentile(50),
            self.percentile(99),
            self.percentile(100)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let report = |count: u32| SessionsReport {
            sessions: 1,
            seconds: 2.0,
            latencies: (1..=count).map(|n| f64::from(n) / 1e3).collect(),
        };
        let found = |count: u32| [50, 99, 100].map(|percent| report(count).percentile(percent));
        assert_eq!(found(200), [100.0, 198.0, 200.0]);
        assert_eq!(found(3), [2.0, 3.0, 3.0]);
        assert_eq!(found(1), [1.0; 3]);
        assert_eq!(report(200).per_second(), 100.0);
    }
}
