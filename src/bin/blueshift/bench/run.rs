//! Running the queries, ours and the rival's in turn.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use blueshift::engine::tpch::Query;
use blueshift::engine::{ScanProfile, Session};

use super::check;
use super::report::{QueryReport, ScaleReport};
use super::rival::Rival;
use crate::failure::Failure;

pub struct Options {
    pub iterations: u32,
    pub compare: bool,
    pub check: bool,
}

pub async fn run(
    session: &Session,
    rival: Option<&Rival>,
    queries: &[&Query],
    options: &Options,
    report: &mut ScaleReport,
) -> Result<(), Failure> {
    report.print_header(options.compare, options.check)?;
    for query in queries {
        let mut runs = Vec::new();
        let mut rival_runs = Vec::new();
        let mut ours: Option<(Vec<RecordBatch>, ScanProfile)> = None;
        let mut theirs: Option<Vec<RecordBatch>> = None;
        for _ in 0..options.iterations {
            let started = Instant::now();
            let result = execute(session, query.sql).await.map_err(|f| named(query, f))?;
            runs.push(started.elapsed().as_secs_f64());
            ours = Some(result);
            if let Some(rival) = rival.filter(|_| options.compare) {
                let started = Instant::now();
                theirs = Some(rival.query(query.sql).await.map_err(|f| named(query, f))?);
                rival_runs.push(started.elapsed().as_secs_f64());
            }
        }
        let (batches, scans) = ours.unwrap_or_default();
        let difference = match rival.filter(|_| options.check) {
            Some(rival) => {
                let theirs = match theirs {
                    Some(rows) => rows,
                    None => rival.query(query.sql).await.map_err(|f| named(query, f))?,
                };
                Some(check::difference(query, &batches, &theirs)?)
            }
            None => None,
        };
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let one = QueryReport { number: query.number, rows, runs, rival_runs, scans, difference };
        one.print()?;
        report.queries.push(one);
    }
    Ok(())
}

pub async fn execute(session: &Session, sql: &str) -> Result<(Vec<RecordBatch>, ScanProfile), Failure> {
    let output = session.sql(sql).await?;
    let plan = output.plan().map(Arc::clone);
    let batches = output.collect().await?;
    Ok((batches, plan.as_ref().map(ScanProfile::of).unwrap_or_default()))
}

pub fn named(query: &Query, failure: Failure) -> Failure {
    match failure {
        Failure::Engine { error, source } => {
            Failure::Engine { error: error.context(format!("query {}", query.number)), source }
        }
        other => other,
    }
}
