//! Running queries one after the other, ours and the rival's in turn.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use blueshift::engine::{ScanProfile, Session};

use super::check;
use super::query::Query;
use super::report::{QueryReport, Report};
use super::rival::Rival;
use crate::failure::Failure;

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub iterations: u32,
    /// Whether the rival runs for time.
    pub compare: bool,
    pub check: bool,
}

/// What one run of a query has given.
pub struct Answer {
    /// Of each statement.
    pub rows: Vec<Vec<RecordBatch>>,
    pub scans: ScanProfile,
}

/// Runs the queries, and tells and reports each. One that fails does not keep the others from running.
pub async fn run(
    session: &Session,
    rival: Option<&Rival>,
    queries: &[Query],
    options: Options,
    report: &mut Report,
) -> Result<(), Failure> {
    report.print_header(queries, options)?;
    for query in queries {
        let one = measure(session, rival, query, options).await?;
        report.print_query(&one)?;
        report.queries.push(one);
    }
    Ok(())
}

async fn measure(
    session: &Session,
    rival: Option<&Rival>,
    query: &Query,
    options: Options,
) -> Result<QueryReport, Failure> {
    let mut report = QueryReport::new(&query.name);
    let (mut ours, mut theirs) = (None, None);
    for _ in 0..options.iterations {
        if report.failure.is_none() {
            match timed(execute(session, query), &mut report.runs).await {
                Ok(answer) => ours = Some(answer),
                Err(failure) => report.failure = Some(failure.summary()),
            }
        }
        if let Some(rival) = rival.filter(|_| options.compare && report.rival_failure.is_none()) {
            match timed(rival.query(query), &mut report.rival_runs).await {
                Ok(answer) => theirs = Some(answer),
                Err(failure) => report.rival_failure = Some(failure.summary()),
            }
        }
    }
    let Some(ours) = ours.filter(|_| report.failure.is_none()) else { return Ok(report) };
    report.rows = ours.rows.iter().flatten().map(RecordBatch::num_rows).sum();
    report.scans = ours.scans;
    if let Some(rival) = rival.filter(|_| options.check && report.rival_failure.is_none()) {
        let theirs = match theirs {
            Some(rows) => Ok(rows),
            None => rival.query(query).await,
        };
        match theirs {
            Ok(theirs) => report.difference = Some(difference(query, &ours.rows, &theirs)?),
            Err(failure) => report.rival_failure = Some(failure.summary()),
        }
    }
    Ok(report)
}

/// Runs, and notes the seconds; after a failure there are none.
async fn timed<T>(run: impl Future<Output = Result<T, Failure>>, seconds: &mut Vec<f64>) -> Result<T, Failure> {
    let started = Instant::now();
    let outcome = run.await;
    match outcome {
        Ok(_) => seconds.push(started.elapsed().as_secs_f64()),
        Err(_) => seconds.clear(),
    }
    outcome
}

/// Runs a query's statements.
pub async fn execute(session: &Session, query: &Query) -> Result<Answer, Failure> {
    let mut answer = Answer { rows: Vec::new(), scans: ScanProfile::default() };
    for statement in &query.statements {
        let output = session.sql(statement).await?;
        let plan = output.plan().map(Arc::clone);
        answer.rows.push(output.collect().await?);
        if let Some(plan) = &plan {
            let scans = ScanProfile::of(plan);
            answer.scans.zones += scans.zones;
            answer.scans.zones_pruned += scans.zones_pruned;
            answer.scans.bytes_read += scans.bytes_read;
        }
    }
    Ok(answer)
}

/// The first difference between two engines' answers to a query, in words.
pub fn difference(
    query: &Query,
    ours: &[Vec<RecordBatch>],
    theirs: &[Vec<RecordBatch>],
) -> Result<Option<String>, Failure> {
    for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        if let Some(found) = check::difference(&query.statements[place], ours, theirs)? {
            let statement =
                if query.statements.len() > 1 { format!("statement {}, ", place + 1) } else { String::new() };
            return Ok(Some(statement + &found));
        }
    }
    Ok(None)
}

/// A failure with the query's name.
pub fn named(query: &Query, failure: Failure) -> Failure {
    match failure {
        Failure::Engine { error, source } => {
            Failure::Engine { error: error.context(format!("query {}", query.name)), source }
        }
        other => other,
    }
}
