//! INSERT.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ParamValues};
use datafusion::logical_expr::{Expr as DfExpr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Union, lit};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    DataType as SqlDataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, SelectItem, SetExpr,
    Statement as SqlStatement, TypedString, UnaryOperator, Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::coerce::Refused;
use super::ddl::load_into;
use super::error::from_datafusion;
use super::identity::{Generate, explicit};
use super::names::no_such_column;
use super::output::Output;
use super::running::Running;
use crate::catalog::{ColumnDef, Identity, TableDef};
use crate::common::error::Position;
use crate::common::{Error, Result, SqlState, SqlType};
use crate::functions::semistructured::assign_to_super;
use crate::sql;
use crate::sql::ast::{Insert, InsertSource, InsertValue, values_query};

pub(super) async fn insert(running: &Running<'_>, insert: Insert, parameters: Option<ParamValues>) -> Result<Output> {
    let (rows, notices) = load_into(running, &insert.table, |load| {
        let (insert, parameters) = (&insert, &parameters);
        async move {
            // For the table that is loaded, which need not be the one that the statement's version shows.
            let (runs, generate) = plan(running, load.def(), insert, parameters.as_ref()).await?;
            let targets = target_columns(load.def(), insert)?;
            let load = load.generating(generate);
            let mut before = 0;
            for Run { plan, rows } in runs {
                let streams = match insert.source {
                    // In order, so that a row's number tells where it stands.
                    InsertSource::Values(_) if !insert.source.reads_tables() => {
                        vec![running.run_in_order(&plan).await?]
                    }
                    _ => running.run_partitions(&plan).await?,
                };
                let taken = load.take(streams).await;
                taken.map_err(|refused| placed(refused.after(before), insert, &targets))?;
                before += rows;
            }
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

/// The plans of an INSERT's rows.
pub(super) async fn plans(
    running: &Running<'_>,
    insert: &Insert,
    parameters: Option<&ParamValues>,
) -> Result<Vec<LogicalPlan>> {
    let place = running.place(&insert.table).await?;
    let pin = running.pins.pin(&place.warehouse).await?;
    let table = place.table(&pin, &insert.table)?;
    let (runs, _) = plan(running, &table.def, insert, parameters).await?;
    Ok(runs.into_iter().map(|run| run.plan).collect())
}

/// The parameters of an INSERT, and their types: the column's where a parameter is a value of its own.
pub(super) async fn parameters(running: &Running<'_>, insert: &Insert) -> Result<HashMap<String, Option<DataType>>> {
    let place = running.place(&insert.table).await?;
    let pin = running.pins.pin(&place.warehouse).await?;
    let table = place.table(&pin, &insert.table)?;
    let targets = target_columns(&table.def, insert)?;
    let source = match source(&table.def, insert, &targets)? {
        Some(query) => running.plan(&SqlStatement::Query(query)).await?,
        None => one_row()?,
    };
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

/// Rows of VALUES whose values have one type a field, or all of a query.
struct Run {
    plan: LogicalPlan,
    /// How many rows of VALUES.
    rows: u64,
}

/// Plans whose columns are the table's, and one more that says which rows get an identity where some do.
async fn plan(
    running: &Running<'_>,
    def: &TableDef,
    insert: &Insert,
    parameters: Option<&ParamValues>,
) -> Result<(Vec<Run>, Generate)> {
    let targets = target_columns(def, insert)?;
    let with_values = |plan: LogicalPlan| match parameters {
        Some(values) => plan.with_param_values(values.clone()).map_err(from_datafusion),
        None => Ok(plan),
    };
    let sources = match source(def, insert, &targets)? {
        None => vec![Run { plan: one_row()?, rows: 1 }],
        Some(query) => match *query.body {
            SetExpr::Values(values) if matches!(insert.source, InsertSource::Values(_)) => {
                let written = values.rows.into_iter().map(|row| row.content).collect();
                let rows = planned_rows(running, def, &targets, written, parameters).await?;
                let plan = |rows: Vec<Vec<DfExpr>>| match insert.source.reads_tables() {
                    true => rows_of_queries(rows),
                    false => LogicalPlanBuilder::values(rows).and_then(LogicalPlanBuilder::build),
                };
                let runs = runs_of_one_type(rows).map_err(from_datafusion)?.into_iter();
                runs.map(|rows| Ok(Run { rows: rows.len() as u64, plan: plan(rows).map_err(from_datafusion)? }))
                    .collect::<Result<_>>()?
            }
            _ => {
                let mut query = query;
                name_apart(&mut query.body);
                let plan = with_values(running.plan(&SqlStatement::Query(query)).await?)?;
                vec![Run { plan, rows: 0 }]
            }
        },
    };
    let mut generate = Generate::Nothing;
    let mut runs = Vec::with_capacity(sources.len());
    for Run { plan, rows } in sources {
        let (plan, generates) = fill(running, def, insert, &targets, plan)?;
        generate = generates;
        runs.push(Run { plan, rows });
    }
    Ok((runs, generate))
}

fn one_row() -> Result<LogicalPlan> {
    LogicalPlanBuilder::empty(true).build().map_err(from_datafusion)
}

/// The query that gives the statement's rows, with one column more where [`generation`] says so; `None` for a row of
/// defaults.
fn source(def: &TableDef, insert: &Insert, targets: &[usize]) -> Result<Option<Box<Query>>> {
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
    match bad_default {
        Some(e) => Err(e),
        None => Ok(query),
    }
}

/// Makes SUPER of any value.
const TO_SUPER: &str = "to_super";

/// VALUES whose values for SUPER columns are SUPER: DataFusion would make one type of those of all rows, text of numbers.
fn with_super(source: InsertSource, def: &TableDef, targets: &[usize]) -> Result<InsertSource> {
    let is_super = |field: usize| {
        targets.get(field).and_then(|t| def.columns.get(*t)).is_some_and(|c| c.sql_type == SqlType::Super)
    };
    let InsertSource::Values(mut rows) = source else { return Ok(source) };
    for value in rows.iter_mut().flat_map(|row| row.iter_mut().enumerate()).filter(|(field, _)| is_super(*field)) {
        let InsertValue::Expr(given) = value.1 else { continue };
        *given = as_super(given.clone())?;
    }
    Ok(InsertSource::Values(rows))
}

/// An expression whose value is SUPER.
pub(super) fn as_super(value: Expr) -> Result<Expr> {
    let mut call = parse_expr(&format!("{TO_SUPER}(NULL)"))?;
    if let Expr::Function(function) = &mut call
        && let FunctionArguments::List(list) = &mut function.args
    {
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(value))];
    }
    Ok(call)
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

/// The rows of VALUES, with values for its parameters. Unless the text tells that they are of one type, they are planned one
/// by one: together, DataFusion would cast each to a type that all rows have, be it one that does not hold the value or
/// writes it otherwise.
async fn planned_rows(
    running: &Running<'_>,
    def: &TableDef,
    targets: &[usize],
    written: Vec<Vec<Expr>>,
    parameters: Option<&ParamValues>,
) -> Result<Vec<Vec<DfExpr>>> {
    let is_text =
        |field: usize| targets.get(field).and_then(|t| def.columns.get(*t)).is_some_and(|c| c.sql_type.is_text());
    let together = parameters.is_none() && alike(&written, is_text);
    let at_once = if together { written.len() } else { 1 };
    let mut planned = Vec::with_capacity(written.len());
    let mut written = written.into_iter().peekable();
    while written.peek().is_some() {
        let rows = written.by_ref().take(at_once).collect();
        let mut plan = running.plan(&SqlStatement::Query(values_query(rows))).await?;
        if let Some(values) = parameters {
            plan = plan.with_param_values(values.clone()).map_err(from_datafusion)?;
        }
        match plan {
            LogicalPlan::Values(rows) => planned.extend(rows.values),
            other => return Err(Error::internal(format!("VALUES is planned as {}", other.display()))),
        }
    }
    Ok(planned)
}

/// Rows that stand together and whose values have one type a field, but for NULLs.
fn runs_of_one_type(rows: Vec<Vec<DfExpr>>) -> datafusion::common::Result<Vec<Vec<Vec<DfExpr>>>> {
    let nothing = DFSchema::empty();
    let mut runs: Vec<(Vec<DataType>, Vec<Vec<DfExpr>>)> = Vec::new();
    for row in rows {
        let types = row.iter().map(|value| value.get_type(&nothing)).collect::<datafusion::common::Result<Vec<_>>>()?;
        let fits = |known: &[DataType]| {
            known.iter().zip(&types).all(|(known, of)| known == of || known.is_null() || of.is_null())
        };
        match runs.last_mut().filter(|(known, _)| fits(known)) {
            Some((known, run)) => {
                for (known, of) in known.iter_mut().zip(types).filter(|(known, _)| known.is_null()) {
                    *known = of;
                }
                run.push(row);
            }
            None => runs.push((types, vec![row])),
        }
    }
    Ok(runs.into_iter().map(|(_, run)| run).collect())
}

/// What the text tells of a value's type.
#[derive(Clone, PartialEq)]
enum Written<'e> {
    Text,
    Boolean,
    /// Without an exponent; for text, the number of digits behind the point.
    Number(usize),
    Cast(&'e SqlDataType),
    Super,
}

/// Whether a field's values have one type in all rows, or types whose common one writes them all as they are.
fn alike(rows: &[Vec<Expr>], is_text: impl Fn(usize) -> bool) -> bool {
    let Some(first) = rows.first() else { return true };
    rows.len() == 1
        || (0..first.len()).all(|field| {
            let mut known = None;
            rows.iter().filter_map(|row| row.get(field)).filter(|value| !is_null(value)).all(|value| {
                let told = told(value, is_text(field));
                told.is_some() && *known.get_or_insert_with(|| told.clone()) == told
            })
        })
}

fn is_null(value: &Expr) -> bool {
    matches!(value, Expr::Value(ValueWithSpan { value: Value::Null, .. }))
}

fn told(value: &Expr, for_text: bool) -> Option<Written<'_>> {
    match value {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. }) => Some(Written::Text),
        Expr::Value(ValueWithSpan { value: Value::Boolean(_), .. }) => Some(Written::Boolean),
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) if !digits.contains(['e', 'E']) => {
            let behind = digits.split_once('.').map_or(0, |(_, behind)| behind.len());
            Some(Written::Number(if for_text { behind } else { 0 }))
        }
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => told(expr, for_text),
        Expr::Cast { data_type, .. } => Some(Written::Cast(data_type)),
        Expr::TypedString(TypedString { data_type, .. }) => Some(Written::Cast(data_type)),
        Expr::Function(call) if call.name.to_string() == TO_SUPER => Some(Written::Super),
        _ => None,
    }
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
