//! Queries as plans, also those of which several columns have one name.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, SchemaError, TableReference};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use futures::StreamExt;

use super::error::from_datafusion;
use super::placing::placed;
use super::wording::type_name;
use crate::common::{Error, Result, SqlState};
use crate::sql;
use crate::sql::select_list::{self, Column, Item, shown_name};

/// The plan of a statement. A column whose name another has is called otherwise in it: [`shown_schema`] tells how the two
/// are shown.
///
/// Errors: Invalid where a subquery has two columns of one name.
pub(super) async fn plan(state: &SessionState, statement: &SqlStatement) -> Result<LogicalPlan> {
    if let Some(query) = sql::query_in(statement) {
        sql::check_present(query, "in what is planned once for many statements")?;
    }
    let plan = plan_with_names(state, statement).await.map_err(|error| placed(error, statement))?;
    check_unions(&plan).map_err(|error| placed(error, statement))?;
    Ok(plan)
}

async fn plan_with_names(state: &SessionState, statement: &SqlStatement) -> Result<LogicalPlan> {
    let error = match attempt(state, statement).await {
        Ok(plan) => return Ok(plan),
        Err(error) => error,
    };
    match names_collide(&error) {
        true => Box::pin(plan_apart(state, statement, error)).await,
        false => Err(from_datafusion(error)),
    }
}

/// The plan of a statement of which `error` says that names collide.
async fn plan_apart(state: &SessionState, statement: &SqlStatement, error: DataFusionError) -> Result<LogicalPlan> {
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
        Some(query) if names_collide(&error) && !of_tables(&error) => select_list::repeated_column(query),
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

/// Kinds of values that are never one column.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Kind {
    Number,
    Truth,
    Day,
    TimeOfDay,
    Interval,
    Bytes,
}

impl Kind {
    /// `None` of what may become another type: text and NULL.
    fn of(data_type: &DataType) -> Option<Kind> {
        match data_type {
            DataType::Boolean => Some(Kind::Truth),
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Some(Kind::Day),
            DataType::Time32(_) | DataType::Time64(_) => Some(Kind::TimeOfDay),
            DataType::Interval(_) | DataType::Duration(_) => Some(Kind::Interval),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Some(Kind::Bytes),
            other if other.is_numeric() => Some(Kind::Number),
            _ => None,
        }
    }
}

/// Invalid where a UNION mixes what DataFusion would cast, a number to the date of so many days.
fn check_unions(plan: &LogicalPlan) -> Result<()> {
    let mut wrong = None;
    let checked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Union(union) = node {
            let Some((first, others)) = union.inputs.split_first() else { return Ok(TreeNodeRecursion::Continue) };
            for (i, field) in first.schema().fields().iter().enumerate() {
                let Some(kind) = Kind::of(field.data_type()) else { continue };
                let types = others.iter().filter_map(|input| input.schema().fields().get(i)).map(|f| f.data_type());
                if let Some(other) = types.into_iter().find(|other| Kind::of(other).is_some_and(|of| of != kind)) {
                    wrong = Some((type_name(field.data_type()), type_name(other)));
                    return Ok(TreeNodeRecursion::Stop);
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    checked.map_err(from_datafusion)?;
    match wrong {
        None => Ok(()),
        Some((one, other)) => {
            Err(Error::invalid(SqlState::DATATYPE_MISMATCH, format!("UNION types {one} and {other} cannot be matched"))
                .with_hint("cast the columns of one query to the other's types"))
        }
    }
}

/// Whether the columns that collide are those of two tables of one name.
fn of_tables(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => of_tables(inner),
        DataFusionError::SchemaError(error, _) => matches!(**error, SchemaError::DuplicateQualifiedField { .. }),
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
