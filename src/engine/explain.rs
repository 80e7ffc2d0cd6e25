//! EXPLAIN in Redshift's form (Redshift manual, "EXPLAIN", "Evaluating the query plan").
//!
//! The text is made of the physical plan that would run, or that has run: `nodes` says which of Redshift's operators a node
//! is, and which rows move; `names` writes conditions; `cost` is our own model; `text` lays the lines out; `actual` tells what
//! running counted. DataFusion's own forms remain: `EXPLAIN FORMAT …`, and any setting `datafusion.explain.*`.

pub(super) mod actual;
pub(super) mod changes;
mod cost;
mod hints;
mod names;
pub(super) mod nodes;
mod record;
mod text;

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::common::config::ExplainOptions;
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::sql::sqlparser::ast::{DescribeAlias, Statement as SqlStatement};
use futures::StreamExt;

pub(super) use record::record;

use super::error::from_datafusion;
use super::output::Output;
use super::running::Running;
use crate::common::Result;
use crate::physical_plan::config::BlueshiftOptions;

/// The name of the one column.
pub const QUERY_PLAN: &str = "QUERY PLAN";

/// An EXPLAIN whose answer is ours to write.
pub(super) struct Explain<'a> {
    query: &'a SqlStatement,
    analyze: bool,
    verbose: bool,
}

/// A row a line.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(QUERY_PLAN, DataType::Utf8, false)]))
}

/// The EXPLAIN that a statement is; `None` of another statement, and where the session's settings ask for DataFusion's form.
pub(super) fn of<'a>(statement: &'a SqlStatement, state: &SessionState) -> Option<Explain<'a>> {
    let SqlStatement::Explain { describe_alias: DescribeAlias::Explain, analyze, verbose, statement, .. } = statement
    else {
        return None;
    };
    // Settings that only DataFusion's form knows.
    let (set, unset) = (&state.config_options().explain, ExplainOptions::default());
    let theirs = set.format != unset.format
        || set.logical_plan_only != unset.logical_plan_only
        || set.physical_plan_only != unset.physical_plan_only
        || set.show_statistics != unset.show_statistics
        || set.show_sizes != unset.show_sizes
        || set.show_schema != unset.show_schema;
    (!theirs).then_some(Explain { query: statement, analyze: *analyze, verbose: *verbose })
}

/// Plans the query, runs it for ANALYZE, and tells what the plan is.
pub(super) async fn explain(
    running: &Running<'_>,
    explain: Explain<'_>,
    parameters: Option<ParamValues>,
) -> Result<Output> {
    let mut plan = running.plan(explain.query).await?;
    if let Some(parameters) = parameters {
        plan = plan.with_param_values(parameters).map_err(from_datafusion)?;
    }
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    options.verify_plan(&plan).map_err(from_datafusion)?;
    let physical = running.physical(&plan).await?;
    let ran = match explain.analyze {
        true => Some(run(running, &physical).await?),
        false => None,
    };
    let settings = running.state.config_options().extensions.get::<BlueshiftOptions>().cloned().unwrap_or_default();
    let step = nodes::steps(&physical, &settings);
    let mut lines = text::lines(&step, ran.is_some());
    lines.extend(ran.into_iter().flatten());
    if explain.verbose {
        lines.push(String::new());
        lines.extend(displayable(physical.as_ref()).indent(true).to_string().lines().map(str::to_string));
    }
    let hints = hints::hints(&step, &settings);
    if !hints.is_empty() {
        lines.push(String::new());
        lines.extend(hints);
    }
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(StringArray::from(lines))])?;
    Ok(Output::batch("EXPLAIN", batch))
}

/// Runs a plan to its end and tells of the whole statement.
async fn run(running: &Running<'_>, plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<String>> {
    let start = std::time::Instant::now();
    let mut state = running.state.clone();
    if let Some(options) = state.config_mut().options_mut().extensions.get_mut::<BlueshiftOptions>() {
        options.count_movement = true;
    }
    let stream = execute_stream(Arc::clone(plan), state.task_ctx()).map_err(from_datafusion)?;
    let mut rows = running.statement.govern(stream);
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        count += batch.map_err(from_datafusion)?.num_rows();
    }
    drop(rows);
    Ok(vec![
        format!("Total: rows={count} time={}", actual::millis(start.elapsed())),
        format!("Memory: peak={}", running.statement.memory.peak()),
    ])
}
