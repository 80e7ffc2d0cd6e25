//! Plans there and back, to another process and within this one.

mod benchmark;
mod hostile;
mod nodes;
mod versions;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};

use super::BlueshiftCodec;
use crate::common::Result;
use crate::engine::{Session, Warehouse, from_datafusion};

const SLICES: u32 = 4;

async fn open(directory: &Path) -> Warehouse {
    let location = directory.join("warehouse");
    Warehouse::builder().slices(SLICES).threads(4).open(location.to_str().unwrap()).await.unwrap()
}

async fn run(session: &Session, statements: &[&str]) {
    for sql in statements {
        session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e:?}"));
    }
}

/// An answer as comparable text: its columns, and its rows, sorted.
fn lines(batches: &[RecordBatch]) -> String {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let mut lines: Vec<&str> = text.lines().filter(|l| l.starts_with('|')).collect();
    lines.sort();
    lines.join("\n")
}

async fn try_logical(session: &Session, sql: &str) -> Result<LogicalPlan> {
    let state = session.context().state();
    let plan = state.create_logical_plan(sql).await.map_err(from_datafusion)?;
    state.optimize(&plan).map_err(from_datafusion)
}

async fn logical(session: &Session, sql: &str) -> LogicalPlan {
    try_logical(session, sql).await.unwrap_or_else(|e| panic!("{sql}\n{e:?}"))
}

async fn try_physical(session: &Session, sql: &str) -> Result<Arc<dyn ExecutionPlan>> {
    let state = session.context().state();
    let plan = state.create_logical_plan(sql).await.map_err(from_datafusion)?;
    state.create_physical_plan(&plan).await.map_err(from_datafusion)
}

async fn physical(session: &Session, sql: &str) -> Arc<dyn ExecutionPlan> {
    try_physical(session, sql).await.unwrap_or_else(|e| panic!("{sql}\n{e:?}"))
}

async fn answer(session: &Session, plan: Arc<dyn ExecutionPlan>) -> Result<String> {
    let batches = collect(plan, session.context().task_ctx()).await.map_err(from_datafusion)?;
    Ok(lines(&batches))
}

async fn logical_answer(session: &Session, plan: LogicalPlan) -> Result<String> {
    let frame = session.context().execute_logical_plan(plan).await.map_err(from_datafusion)?;
    Ok(lines(&frame.collect().await.map_err(from_datafusion)?))
}

/// A plan as text; the metadata of columns with it.
fn shown(plan: &Arc<dyn ExecutionPlan>) -> String {
    format!("{}{:?}", displayable(plan.as_ref()).indent(true), plan.schema())
}

/// What became of something: errors are compared as answers are.
fn told(outcome: Result<String>) -> String {
    outcome.unwrap_or_else(|e| format!("{:?}: {}", e.kind(), e.message()))
}

/// Reads what [`travel`] wrote in its directory.
#[ignore = "runs in the process that another test makes"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_another_process() {
    let directory = std::env::var("BLUESHIFT_PLANS").unwrap();
    let directory = Path::new(&directory);
    let warehouse = open(directory).await;
    let (session, codec) = (warehouse.session(), BlueshiftCodec::new(&warehouse));
    let context = session.context().task_ctx();
    for entry in std::fs::read_dir(directory.join("plans")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let write = |kind: &str, text: &str| std::fs::write(path.with_extension(kind), text).unwrap();
        match path.extension().and_then(|e| e.to_str()) {
            Some("logical") => write(
                "of_logical",
                &told(match codec.decode(&bytes, &context) {
                    Ok(plan) => logical_answer(&session, plan).await,
                    Err(e) => Err(e),
                }),
            ),
            Some("physical") => match codec.decode_physical(&bytes, &context) {
                Ok(plan) => {
                    write("shown", &shown(&plan));
                    write("of_physical", &told(answer(&session, plan).await));
                }
                Err(e) => write("of_physical", &told(Err(e))),
            },
            _ => {}
        }
    }
}

/// Has another process run each query, of its logical plan and of its physical one, and compares the answers with those of
/// this one; the physical plans as text, too. They are returned.
async fn travel(directory: &Path, session: &Session, queries: &[(String, String)]) -> Vec<String> {
    let codec = BlueshiftCodec::new(session.warehouse());
    let plans = directory.join("plans");
    std::fs::create_dir_all(&plans).unwrap();
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for (name, sql) in queries {
        let path = plans.join(name);
        let write = async || {
            std::fs::write(path.with_extension("logical"), codec.encode(&try_logical(session, sql).await?)?).unwrap();
            let plan = try_physical(session, sql).await?;
            std::fs::write(path.with_extension("physical"), codec.encode_physical(&plan)?).unwrap();
            let text = shown(&plan);
            Ok::<_, crate::common::Error>((text, answer(session, plan).await?))
        };
        match write().await {
            Ok((text, answer)) => all.push((path, sql, text, answer)),
            Err(e) => wrong.push(format!("{sql}\n{e:?}")),
        }
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "--ignored", "--nocapture", "codec::tests::in_another_process"])
        .env("BLUESHIFT_PLANS", directory);
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut texts = Vec::new();
    for (path, sql, text, answer) in all {
        for (kind, expected) in [("shown", &text), ("of_physical", &answer), ("of_logical", &answer)] {
            let found = std::fs::read_to_string(path.with_extension(kind)).unwrap_or_default();
            if found != *expected {
                let different = expected.lines().zip(found.lines()).find(|(a, b)| a != b);
                wrong.push(format!("{sql}\n{kind}: {different:?} {}", &found[..found.len().min(300)]));
            }
        }
        texts.push(text);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    texts
}
