//! Queries as plans, also those of which several columns have one name.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, SchemaError, TableReference};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use futures::StreamExt;

use super::error::from_datafusion;
use crate::common::{Error, Result};
use crate::sql;
use crate::sql::select_list::{self, Column, Item, shown_name};

/// The plan of a statement. A column whose name another has is called otherwise in it: [`shown_schema`] tells how the two
/// are shown.
///
/// Errors: Invalid where a subquery has two columns of one name.
pub(super) async fn plan(state: &SessionState, statement: &SqlStatement) -> Result<LogicalPlan> {
    let error = match attempt(state, statement).await {
        Ok(plan) => return Ok(plan),
        Err(error) => error,
    };
    if !names_collide(&error) {
        return Err(from_datafusion(error));
    }
    let readable = matches!(statement, SqlStatement::Explain { .. });
    let mut apart = Box::new(statement.clone());
    let Some(query) = sql::query_of(&mut apart) else { return Err(from_datafusion(error)) };
    let columns = columns(state, query).await;
    select_list::tell_apart(query, &columns, readable)?;
    match attempt(state, &apart).await {
        Err(error) if names_collide(&error) => {}
        outcome => return outcome.map_err(shown_error),
    }
    let mut casts_apart = Box::new(statement.clone());
    if let Some(query) = sql::query_of(&mut casts_apart) {
        select_list::name_all(query, &columns);
        select_list::tell_apart(query, &columns, readable)?;
        select_list::tell_casts_apart(query);
    }
    attempt(state, &casts_apart).await.map_err(|error| match sql::query_in(&apart) {
        Some(query) if names_collide(&error) => select_list::repeated_column(query),
        _ => shown_error(error),
    })
}

async fn attempt(state: &SessionState, statement: &SqlStatement) -> Result<LogicalPlan, DataFusionError> {
    let mut statement = Box::new(statement.clone());
    if let Some(query) = sql::query_of(&mut statement) {
        select_list::qualify_wildcards(query);
    }
    state.statement_to_plan(DfStatement::Statement(statement)).await
}

/// The columns that each item of each outermost select list gives.
async fn columns(state: &SessionState, query: &Query) -> Vec<Vec<Vec<Column>>> {
    let mut lists = Vec::new();
    for items in select_list::items(query) {
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            list.push(columns_of(state, item).await);
        }
        lists.push(list);
    }
    lists
}

async fn columns_of(state: &SessionState, item: Item) -> Vec<Column> {
    match attempt(state, &SqlStatement::Query(Box::new(item.alone))).await {
        Ok(plan) => {
            let column = |(table, field): (Option<&TableReference>, &Arc<Field>)| Column {
                table: table.map(TableReference::to_vec).unwrap_or_default(),
                name: field.name().clone(),
            };
            plan.schema().iter().map(column).collect()
        }
        Err(_) => vec![Column { table: Vec::new(), name: item.text }],
    }
}

/// Whether an error is that a plan's columns would not all have names of their own.
fn names_collide(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => names_collide(inner),
        DataFusionError::Collection(errors) => errors.iter().any(names_collide),
        DataFusionError::Plan(message) => message.contains("require unique expression names"),
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::DuplicateQualifiedField { .. } | SchemaError::DuplicateUnqualifiedField { .. } => true,
            // Of a reference that is ambiguous the field has no table.
            SchemaError::AmbiguousReference { field } => field.relation.is_some(),
            SchemaError::FieldNotFound { .. } => false,
        },
        _ => false,
    }
}

fn shown_error(error: DataFusionError) -> Error {
    from_datafusion(error).map_text(select_list::shown_message)
}

/// A result's columns under the names that its reader is to see.
pub(super) fn shown_schema(schema: &SchemaRef) -> SchemaRef {
    if schema.fields().iter().all(|field| shown_name(field.name()) == field.name()) {
        return Arc::clone(schema);
    }
    let fields = schema.fields().iter().map(|field| Field::clone(field).with_name(shown_name(field.name())));
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// The same of rows.
pub(super) fn shown(stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let old = stream.schema();
    let schema = shown_schema(&old);
    if Arc::ptr_eq(&schema, &old) {
        return stream;
    }
    let to = Arc::clone(&schema);
    let rows = stream.map(move |batch| Ok(RecordBatch::try_new(Arc::clone(&to), batch?.columns().to_vec())?));
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}
