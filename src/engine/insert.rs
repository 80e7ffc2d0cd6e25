//! INSERT.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ParamValues};
use datafusion::logical_expr::{Expr as DfExpr, LogicalPlan, LogicalPlanBuilder, Union, lit};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, SelectItem, SetExpr,
    Statement as SqlStatement, Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::coerce::Refused;
use super::ddl::load_into;
use super::error::from_datafusion;
use super::identity::{Generate, explicit};
use super::names::{self, no_such_column};
use super::output::Output;
use super::session::Running;
use crate::catalog::{ColumnDef, Identity, TableDef};
use crate::common::error::Position;
use crate::common::{Error, Result, SqlState, SqlType};
use crate::functions::json::assign_to_super;
use crate::sql;
use crate::sql::ast::{Insert, InsertSource, InsertValue, values_query};

pub(super) async fn insert(running: &Running<'_>, insert: Insert, parameters: Option<ParamValues>) -> Result<Output> {
    let (rows, notices) = load_into(running, &insert.table, |load| {
        let (insert, parameters) = (&insert, &parameters);
        async move {
            // For the table that is loaded, which need not be the one that the statement's version shows.
            let (plan, generate) = plan(running, load.def(), insert, parameters.as_ref()).await?;
            let targets = target_columns(load.def(), insert)?;
            let load = load.generating(generate);
            let streams = match insert.source {
                // In order, so that a row's number tells where it stands.
                InsertSource::Values(_) if !insert.source.reads_tables() => vec![running.run_in_order(&plan).await?],
                _ => running.run_partitions(&plan).await?,
            };
            load.take(streams).await.map_err(|refused| placed(refused, insert, &targets))?;
            Ok(load)
        }
    })
    .await?;
    Ok(Output::done(format!("INSERT 0 {rows}"), Some(rows)).with_notices(notices))
}

/// The error of a refused value, with the place of the value or its row, else of the column or the table.
fn placed(refused: Refused, insert: &Insert, targets: &[usize]) -> Error {
    let misfit = match refused {
        Refused::Value(misfit) => misfit,
        Refused::Other(error) => return error,
    };
    let field = targets.iter().position(|target| *target == misfit.column);
    let value = match &insert.source {
        InsertSource::Values(rows) if !insert.source.reads_tables() => {
            rows.get(misfit.row.unwrap_or(0) as usize).and_then(|row| {
                let value = field.and_then(|field| row.get(field)).or(row.first());
                value.and_then(InsertValue::position)
            })
        }
        _ => None,
    };
    let column = || field.and_then(|field| insert.columns.get(field)).map(|column| column.position);
    let position = value.or_else(column).unwrap_or(insert.table.position());
    misfit.error.with_position(position.line, position.column)
}

/// The parameters of an INSERT, and their types: the column's where a parameter is a value of its own.
pub(super) async fn parameters(running: &Running<'_>, insert: &Insert) -> Result<HashMap<String, Option<DataType>>> {
    let table = names::table_of(&running.pin, &insert.table)?;
    let targets = target_columns(&table.def, insert)?;
    let source = source(running, &table.def, insert, &targets, None).await?;
    let mut found = source.get_parameter_types().map_err(from_datafusion)?;
    // Which field of a row each parameter is that stands alone.
    let alone: Vec<(usize, &str)> = match (&insert.source, &source) {
        (InsertSource::Values(rows), _) => {
            let fields = rows.iter().flat_map(|row| row.iter().enumerate());
            fields.filter_map(|(i, value)| Some((i, written_placeholder(value)?))).collect()
        }
        (_, LogicalPlan::Projection(projection)) => {
            let fields = projection.expr.iter().enumerate();
            fields.filter_map(|(i, expr)| Some((i, placeholder(expr)?))).collect()
        }
        _ => Vec::new(),
    };
    for (field, id) in alone {
        if let (Some(ordinal), Some(known)) = (targets.get(field), found.get_mut(id)) {
            known.get_or_insert_with(|| table.def.columns[*ordinal].sql_type.arrow_type());
        }
    }
    // Too many values are an error here, too.
    fill(running, &table.def, insert, &targets, source)?;
    Ok(found)
}

/// The parameter that a field of VALUES is.
fn written_placeholder(value: &InsertValue) -> Option<&str> {
    match value {
        InsertValue::Expr(Expr::Value(ValueWithSpan { value: Value::Placeholder(id), .. })) => Some(id),
        _ => None,
    }
}

/// The parameter that a planned expression is, whatever its alias.
fn placeholder(expr: &DfExpr) -> Option<&str> {
    match expr {
        DfExpr::Placeholder(placeholder) => Some(&placeholder.id),
        DfExpr::Alias(alias) => placeholder(&alias.expr),
        _ => None,
    }
}

/// The ordinals of the columns that the source's fill, in the source's order.
fn target_columns(def: &TableDef, insert: &Insert) -> Result<Vec<usize>> {
    if insert.columns.is_empty() {
        return Ok((0..def.columns.len()).collect());
    }
    insert
        .columns
        .iter()
        .map(|ident| def.columns.iter().position(|c| c.name == ident.value).ok_or_else(|| no_such_column(ident, def)))
        .collect()
}

/// Which rows get a value of the identity column: those that write DEFAULT for it, and all where the statement leaves it
/// out. `given` are the source's columns.
fn generation(def: &TableDef, insert: &Insert, targets: &[usize], given: usize) -> Result<Generate> {
    let Some((identity, Identity { by_default, .. })) = def.identity() else { return Ok(Generate::Nothing) };
    let Some(field) = targets.iter().take(given).position(|target| *target == identity) else {
        return Ok(Generate::All);
    };
    let refused = |position: Position| Err(explicit(def).with_position(position.line, position.column));
    let column = || insert.columns.get(field).map_or(insert.table.position(), |column| column.position);
    let InsertSource::Values(rows) = &insert.source else {
        return if by_default { Ok(Generate::Nothing) } else { refused(column()) };
    };
    let fields = || rows.iter().filter_map(|row| row.get(field));
    match fields().find(|value| !matches!(value, InsertValue::Default(_))) {
        None => Ok(Generate::All),
        Some(value) if !by_default => refused(value.position().unwrap_or_else(column)),
        Some(_) if fields().any(|value| matches!(value, InsertValue::Default(_))) => {
            Ok(Generate::Where(def.columns.len()))
        }
        Some(_) => Ok(Generate::Nothing),
    }
}

/// A plan whose columns are the table's, and one more that says which rows get an identity where some do.
async fn plan(
    running: &Running<'_>,
    def: &TableDef,
    insert: &Insert,
    parameters: Option<&ParamValues>,
) -> Result<(LogicalPlan, Generate)> {
    let targets = target_columns(def, insert)?;
    let source = source(running, def, insert, &targets, parameters).await?;
    fill(running, def, insert, &targets, source)
}

/// The rows that the statement gives, with one column more where [`generation`] says so.
async fn source(
    running: &Running<'_>,
    def: &TableDef,
    insert: &Insert,
    targets: &[usize],
    parameters: Option<&ParamValues>,
) -> Result<LogicalPlan> {
    let null = || Expr::Value(ValueWithSpan { value: Value::Null, span: Span::empty() });
    let mut bad_default = None;
    let given = with_super(with_flags(def, insert, targets)?, def, targets)?;
    let query: Option<Box<Query>> = given.into_query(|field| {
        let default = targets.get(field).and_then(|ordinal| def.columns[*ordinal].default_sql.clone());
        match default.map(|sql| parse_expr(&sql)) {
            Some(Ok(expr)) => expr,
            Some(Err(e)) => {
                bad_default = Some(e);
                null()
            }
            None => null(),
        }
    });
    if let Some(e) = bad_default {
        return Err(e);
    }
    let plan = match (query, parameters) {
        (Some(mut query), _) if !matches!(insert.source, InsertSource::Values(_)) => {
            name_apart(&mut query.body);
            let plan = running.plan(&SqlStatement::Query(query)).await?;
            match parameters {
                Some(values) => plan.with_param_values(values.clone()).map_err(from_datafusion),
                None => Ok(plan),
            }
        }
        (Some(query), Some(values)) => rows_with(running, *query.body, values).await,
        (Some(query), None) => running.plan(&SqlStatement::Query(query)).await,
        (None, _) => LogicalPlanBuilder::empty(true).build().map_err(from_datafusion),
    }?;
    match plan {
        LogicalPlan::Values(values) if insert.source.reads_tables() => {
            rows_of_queries(values.values).map_err(from_datafusion)
        }
        other => Ok(other),
    }
}

/// VALUES whose values for SUPER columns are SUPER: DataFusion would make one type of those of all rows, text of numbers.
fn with_super(source: InsertSource, def: &TableDef, targets: &[usize]) -> Result<InsertSource> {
    let is_super = |field: usize| {
        targets.get(field).and_then(|t| def.columns.get(*t)).is_some_and(|c| c.sql_type == SqlType::Super)
    };
    let InsertSource::Values(mut rows) = source else { return Ok(source) };
    for value in rows.iter_mut().flat_map(|row| row.iter_mut().enumerate()).filter(|(field, _)| is_super(*field)) {
        let InsertValue::Expr(given) = value.1 else { continue };
        let mut call = parse_expr("to_super(NULL)")?;
        if let Expr::Function(function) = &mut call
            && let FunctionArguments::List(list) = &mut function.args
        {
            list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(given.clone()))];
        }
        *given = call;
    }
    Ok(InsertSource::Values(rows))
}

/// The statement's source; VALUES of which some rows write DEFAULT for the identity column say at the end which do.
fn with_flags(def: &TableDef, insert: &Insert, targets: &[usize]) -> Result<InsertSource> {
    let mut source = insert.source.clone();
    let InsertSource::Values(rows) = &mut source else { return Ok(source) };
    let given = rows.first().map_or(0, Vec::len);
    if let Generate::Where(_) = generation(def, insert, targets, given)? {
        let field = targets.iter().position(|target| def.columns[*target].identity.is_some());
        for row in rows {
            let generates =
                field.and_then(|field| row.get(field)).is_some_and(|v| matches!(v, InsertValue::Default(_)));
            let flag = ValueWithSpan { value: Value::Boolean(generates), span: Span::empty() };
            row.push(InsertValue::Expr(Expr::Value(flag)));
        }
    }
    Ok(source)
}

/// VALUES with subqueries, as a union: DataFusion evaluates VALUES before it has run any subquery.
fn rows_of_queries(rows: Vec<Vec<DfExpr>>) -> datafusion::common::Result<LogicalPlan> {
    let row = |row: Vec<DfExpr>| {
        let fields = row.into_iter().enumerate().map(|(i, expr)| expr.alias(format!("column{}", i + 1)));
        LogicalPlanBuilder::empty(true).project(fields)?.build().map(Arc::new)
    };
    let rows = rows.into_iter().map(row).collect::<datafusion::common::Result<Vec<_>>>()?;
    match <[Arc<LogicalPlan>; 1]>::try_from(rows) {
        Ok([row]) => Ok(Arc::unwrap_or_clone(row)),
        Err(rows) => Union::try_new_with_loose_types(rows).map(LogicalPlan::Union),
    }
}

/// VALUES with values for its parameters. Rows are planned one by one: in a list, DataFusion would cast a parameter to
/// the type that other rows have, be it one that does not hold the value.
async fn rows_with(running: &Running<'_>, values: SetExpr, parameters: &ParamValues) -> Result<LogicalPlan> {
    let SetExpr::Values(values) = values else { return Err(Error::internal("VALUES is no longer VALUES")) };
    let mut rows = Vec::with_capacity(values.rows.len());
    for row in values.rows {
        let plan = running.plan(&SqlStatement::Query(values_query(vec![row.content]))).await?;
        match plan.with_param_values(parameters.clone()).map_err(from_datafusion)? {
            LogicalPlan::Values(row) => rows.extend(row.values),
            other => return Err(Error::internal(format!("VALUES is planned as {}", other.display()))),
        }
    }
    LogicalPlanBuilder::values(rows).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// All columns of the table: the source's where it fills them, else the DEFAULT or NULL. Then the source's last one, if
/// it says which rows get an identity.
fn fill(
    running: &Running<'_>,
    def: &TableDef,
    insert: &Insert,
    targets: &[usize],
    source: LogicalPlan,
) -> Result<(LogicalPlan, Generate)> {
    let given = match &insert.source {
        InsertSource::DefaultValues => 0,
        InsertSource::Values(rows) => rows.first().map_or(0, Vec::len),
        InsertSource::Query(_) => source.schema().fields().len(),
    };
    // A list shorter than the table fills its first columns.
    let fits = if insert.columns.is_empty() { given <= targets.len() } else { given == targets.len() };
    if !fits && !matches!(insert.source, InsertSource::DefaultValues) {
        let position = insert.table.position();
        return Err(Error::invalid(
            SqlState::SYNTAX_ERROR,
            format!(
                "INSERT gives {given} values a row for {} columns of table \"{}\"",
                targets.len(),
                insert.table.unquoted()
            ),
        )
        .with_hint("name the columns that the values are for")
        .with_position(position.line, position.column));
    }
    let generate = generation(def, insert, targets, given)?;
    let source_columns = source.schema().columns();
    let mut projection = Vec::with_capacity(def.columns.len());
    for (ordinal, column) in def.columns.iter().enumerate() {
        let filled = targets.iter().take(given).position(|t| *t == ordinal);
        let expr = match filled {
            Some(field) => DfExpr::Column(source_columns[field].clone()),
            None => default_of(running, column)?,
        };
        // Text becomes a JSON string, SUPER stays what it is.
        let expr = if column.sql_type == SqlType::Super { assign_to_super(expr) } else { expr };
        projection.push(expr.alias(format!("{}_{ordinal}", column.name)));
    }
    if let (Generate::Where(_), Some(flag)) = (generate, source_columns.last()) {
        projection.push(DfExpr::Column(flag.clone()).alias("generate"));
    }
    let plan = LogicalPlanBuilder::from(source).project(projection).and_then(LogicalPlanBuilder::build);
    Ok((plan.map_err(from_datafusion)?, generate))
}

/// Gives expressions that a select list repeats names of their own, which DataFusion demands: an INSERT takes columns
/// by position, so that nobody sees the names.
fn name_apart(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            let mut seen = HashSet::new();
            for (i, item) in select.projection.iter_mut().enumerate() {
                let (expr, name) = match &*item {
                    SelectItem::UnnamedExpr(expr) => (expr.clone(), expr.to_string()),
                    SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), alias.to_string()),
                    _ => continue,
                };
                if !seen.insert(name) {
                    *item = SelectItem::ExprWithAlias { expr, alias: Ident::new(format!("_{i}")) };
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            name_apart(left);
            name_apart(right);
        }
        SetExpr::Query(query) => name_apart(&mut query.body),
        _ => {}
    }
}

/// What a column holds that an INSERT leaves out.
pub(super) fn default_of(running: &Running<'_>, column: &ColumnDef) -> Result<DfExpr> {
    match &column.default_sql {
        Some(sql) => {
            let expr = running.state.create_logical_expr(sql, &DFSchema::empty()).map_err(from_datafusion)?;
            Ok(if column.sql_type == SqlType::Super { assign_to_super(expr) } else { expr })
        }
        None => Ok(lit(ScalarValue::Null)),
    }
}

fn parse_expr(sql: &str) -> Result<Expr> {
    sql::parse_expr(sql).map_err(|e| Error::internal(format!("a stored DEFAULT does not parse: {}", e.message())))
}
