//! EXPLAIN of statements that change rows or make a table: the plan of the query that they run, under a line of their own.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, StringArray};
use datafusion::common::ParamValues;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;

use super::cost::Cost;
use super::nodes::{self, Step};
use super::{actual, hints, schema, text};
use crate::common::Result;
use crate::engine::error::from_datafusion;
use crate::engine::output::Output;
use crate::engine::running::Running;
use crate::engine::{delete, insert};
use crate::physical_plan::config::BlueshiftOptions;
use crate::sql::Statement;
use crate::sql::ast::Explain;

/// What the statement would do.
pub(in crate::engine) async fn planned(
    running: &Running<'_>,
    explain: &Explain,
    parameters: Option<ParamValues>,
) -> Result<Output> {
    let plans = match &explain.statement {
        Statement::Insert(insert) => insert::plans(running, insert, parameters.as_ref()).await?,
        statement => {
            let query = match statement {
                Statement::CreateTable(create) => create.as_query.clone(),
                changes => delete::query(running, changes).await?,
            };
            let mut plans = Vec::new();
            if let Some(query) = query {
                let plan = running.plan(&SqlStatement::Query(query)).await?;
                plans.push(match parameters {
                    Some(parameters) => plan.with_param_values(parameters).map_err(from_datafusion)?,
                    None => plan,
                });
            }
            plans
        }
    };
    let mut physical = Vec::with_capacity(plans.len());
    for plan in plans {
        physical.push(running.physical(&plan).await?);
    }
    let settings = running.state.config_options().extensions.get::<BlueshiftOptions>().cloned().unwrap_or_default();
    told(explain, &physical, &settings, Vec::new())
}

/// What the statement did, which has run.
pub(in crate::engine) fn ran(
    explain: &Explain,
    output: &Output,
    time: Duration,
    settings: &BlueshiftOptions,
) -> Result<Output> {
    let plan: Vec<_> = output.ran().into_iter().cloned().collect();
    let rows = output.changed.map(|rows| format!("rows={rows} ")).unwrap_or_default();
    told(explain, &plan, settings, vec![format!("Total: {rows}time={}", actual::millis(time))])
}

fn told(
    explain: &Explain,
    plans: &[Arc<dyn ExecutionPlan>],
    settings: &BlueshiftOptions,
    last: Vec<String>,
) -> Result<Output> {
    let children: Vec<Step> = plans.iter().map(|plan| nodes::steps(plan, settings)).collect();
    let sum = |of: fn(&Cost) -> f64| children.iter().map(|child| of(&child.cost)).sum::<f64>();
    let most = |of: fn(&Cost) -> f64| children.iter().map(|child| of(&child.cost)).fold(0.0, f64::max);
    let cost =
        Cost { first: most(|c| c.first), total: sum(|c| c.total), rows: sum(|c| c.rows), width: most(|c| c.width) };
    let step = Step::over(operator(&explain.statement), cost, children);
    let mut lines = text::lines(&step, !last.is_empty());
    lines.extend(last);
    if explain.verbose {
        for plan in plans {
            lines.push(String::new());
            lines.extend(displayable(plan.as_ref()).indent(true).to_string().lines().map(str::to_string));
        }
    }
    let hints = hints::hints(&step, settings);
    if !hints.is_empty() {
        lines.push(String::new());
        lines.extend(hints);
    }
    // The name of row identities begins with what no text shows.
    let lines = lines.into_iter().map(|line| line.replace('\0', ""));
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(StringArray::from_iter_values(lines))])?;
    Ok(Output::batch("EXPLAIN", batch))
}

fn operator(statement: &Statement) -> String {
    match statement {
        Statement::Insert(insert) => format!("Insert on {}", insert.table.unquoted()),
        Statement::Delete(delete) => format!("Delete on {}", delete.table.unquoted()),
        Statement::Update(update) => format!("Update on {}", update.table.unquoted()),
        Statement::Merge(merge) => format!("Merge on {}", merge.table.unquoted()),
        Statement::CreateTable(create) => format!("Create Table {}", create.name.unquoted()),
        _ => "Result".to_string(),
    }
}
