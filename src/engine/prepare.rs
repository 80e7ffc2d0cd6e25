//! PREPARE and EXECUTE. DataFusion's keep plans: of statements that change rows there are none, and a query's leads to the
//! tables that had its names when it was made, so that it is made again once there is another version.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::sql::sqlparser::ast::{Expr, Ident as SqlIdent, Statement as SqlStatement};
use futures::StreamExt;
use parking_lot::Mutex;

use super::error::from_datafusion;
use super::output::Output;
use super::parameters::{self, Parameter};
use super::running::Running;
use super::{delete, insert, names};
use crate::common::{Error, Result, SqlState, Version};
use crate::sql::ast::{Prepare, values_query};
use crate::sql::{Statement, rewrite};

/// A session's prepared statements by name.
#[derive(Debug, Default)]
pub(super) struct PreparedStatements(Mutex<HashMap<String, Known>>);

#[derive(Debug)]
enum Known {
    Change(Arc<Change>),
    /// The PREPARE of a query that DataFusion keeps, and the version and search path that it was planned for.
    Query(Arc<SqlStatement>, PlannedFor),
}

/// A statement that changes rows.
#[derive(Debug)]
pub(super) struct Change {
    pub statement: Statement,
    parameters: Vec<Parameter>,
}

type PlannedFor = (Version, Vec<String>);

impl PreparedStatements {
    /// What an EXECUTE calls, with its arguments; `None` of another statement, and where DataFusion knows what it calls.
    pub fn called(&self, statement: &SqlStatement) -> Option<(Arc<Change>, Vec<Expr>)> {
        let SqlStatement::Execute { name: Some(name), parameters, .. } = statement else { return None };
        let [part] = name.0.as_slice() else { return None };
        match self.0.lock().get(&folded(part.as_ident()?))? {
            Known::Change(change) => Some((Arc::clone(change), parameters.clone())),
            Known::Query(..) => None,
        }
    }

    fn is_known(&self, name: &str) -> bool {
        self.0.lock().contains_key(name)
    }
}

/// Keeps a statement, once it is found to be right.
pub(super) async fn prepare(running: &Running<'_>, prepare: Prepare) -> Result<Output> {
    let known = &running.session.prepared;
    let name = prepare.name.value.clone();
    if known.is_known(&name) {
        return Err(names::at(exists(&name), &prepare.name));
    }
    let mut found = types(running, &prepare.statement).await?;
    for number in 1..=prepare.parameters {
        // Casts in the statement say what they are.
        found.insert(format!("${number}"), None);
    }
    let change = Change { statement: prepare.statement, parameters: parameters::in_order(found)? };
    known.0.lock().insert(name, Known::Change(Arc::new(change)));
    Ok(Output::done("PREPARE", None))
}

/// A query, SET or the like; of PREPARE and DEALLOCATE the names are kept.
pub(super) async fn query(
    running: &Running<'_>,
    statement: &SqlStatement,
    parameters: Option<ParamValues>,
) -> Result<Output> {
    let known = &running.session.prepared;
    match statement {
        SqlStatement::Prepare { name, .. } => {
            let name = folded(name);
            if known.is_known(&name) {
                return Err(exists(&name));
            }
            let output = running.query(statement, parameters).await?;
            known.0.lock().insert(name, Known::Query(Arc::new(statement.clone()), planned_for(running)));
            Ok(output)
        }
        SqlStatement::Execute { name: Some(name), .. } => {
            if let [part] = name.0.as_slice()
                && let Some(name) = part.as_ident()
            {
                replan(running, &folded(name)).await?;
            }
            running.query(statement, parameters).await
        }
        SqlStatement::Deallocate { name, .. } => {
            let name = folded(name);
            let found = known.0.lock().remove(&name);
            match found {
                Some(Known::Change(_)) => Ok(Output::done("DEALLOCATE", None)),
                // DataFusion has none where it could not be planned the last time.
                Some(Known::Query(..)) => {
                    let _ = running.query(statement, parameters).await;
                    Ok(Output::done("DEALLOCATE", None))
                }
                None => running.query(statement, parameters).await,
            }
        }
        _ => running.query(statement, parameters).await,
    }
}

/// Has DataFusion plan a query once more, if that was for another version than the statement reads, or is to be noted.
async fn replan(running: &Running<'_>, name: &str) -> Result<()> {
    let known = &running.session.prepared;
    let found = match known.0.lock().get(name) {
        Some(Known::Query(prepare, planned)) => Some((Arc::clone(prepare), planned.clone())),
        _ => None,
    };
    let Some((prepare, planned)) = found else { return Ok(()) };
    if planned == planned_for(running) && running.statement.block.is_none() && running.statement.reads.is_none() {
        return Ok(());
    }
    let SqlStatement::Prepare { name: ident, .. } = prepare.as_ref() else { return Ok(()) };
    // Where it could not be planned the last time, there is none.
    let _ = running.query(&SqlStatement::Deallocate { name: ident.clone(), prepare: false }, None).await;
    // A place in the text of PREPARE is none in this one.
    let planned = running.query(&prepare, None).await;
    planned.map_err(|e| e.without_position().context(format!("prepared statement \"{name}\"")))?;
    known.0.lock().insert(name.to_string(), Known::Query(prepare, planned_for(running)));
    Ok(())
}

fn planned_for(running: &Running<'_>) -> PlannedFor {
    (running.pin.version, running.session.names.path())
}

/// The values that an EXECUTE gives a statement's parameters.
pub(super) async fn values(running: &Running<'_>, change: &Change, given: Vec<Expr>) -> Result<Option<ParamValues>> {
    let mut values: Vec<ScalarValue> = Vec::with_capacity(given.len());
    for value in given {
        let mut query = values_query(vec![vec![value]]);
        rewrite(&mut query)?;
        let plan = running.plan(&SqlStatement::Query(query)).await?;
        let mut rows = running.run_in_order(&plan).await?;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(from_datafusion)?;
            for row in 0..batch.num_rows() {
                values.push(ScalarValue::try_from_array(batch.column(0), row).map_err(from_datafusion)?);
            }
        }
    }
    let values = parameters::check(&change.parameters, values)?;
    Ok((!values.is_empty()).then(|| ParamValues::from(values)))
}

/// The types of the parameters of a statement that changes rows, as far as they are known.
pub(super) async fn types(running: &Running<'_>, statement: &Statement) -> Result<HashMap<String, Option<DataType>>> {
    match statement {
        Statement::Insert(insert) => insert::parameters(running, insert).await,
        Statement::CreateTable(create) => match &create.as_query {
            Some(query) => {
                let plan = running.plan(&SqlStatement::Query(query.clone())).await?;
                plan.get_parameter_types().map_err(from_datafusion)
            }
            None => Ok(HashMap::new()),
        },
        _ => delete::parameters(running, statement).await,
    }
}

fn exists(name: &str) -> Error {
    Error::invalid(SqlState::DUPLICATE_STATEMENT, format!("prepared statement \"{name}\" already exists"))
        .with_hint("DEALLOCATE it first, or take another name")
}

fn folded(name: &SqlIdent) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_ascii_lowercase() }
}
