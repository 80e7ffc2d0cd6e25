//! SUMMARIZE: what the columns of a table or a query hold.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::functions_aggregate::expr_fn::{approx_distinct, approx_percentile_cont, avg, count, max, min, stddev};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use futures::TryStreamExt;

use super::describe::{provider, type_of};
use super::error::from_datafusion;
use super::names::{at, no_such_table};
use super::output::Output;
use super::running::Running;
use crate::common::{Error, Result};
use crate::sql::ast::Relation;
use crate::sql::select_list::shown_name;

/// A row for each column: its name and type, least and greatest value, the number of distinct values (estimated), mean
/// and standard deviation and quartiles (estimated) of numbers, the number of rows, and the share of NULLs in percent.
/// The columns are those of DuckDB's statement of this name.
pub(super) async fn summarize(running: &Running<'_>, relation: Relation) -> Result<Output> {
    let plan = match relation {
        Relation::Query(query) => running.plan(&SqlStatement::Query(query)).await?,
        Relation::Name(name) => {
            let found = provider(running, &name).await?;
            let table = found.ok_or_else(|| at(no_such_table(&name.unquoted()), name.base()))?;
            let scan = LogicalPlanBuilder::scan(name.unquoted().as_str(), provider_as_source(table), None);
            scan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?
        }
    };
    let columns: Vec<(String, String, Measures)> = plan
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let column = Expr::Column(Column::from((qualifier, field)));
            (shown_name(field.name()).to_string(), type_of(field), Measures::of(column, field.data_type()))
        })
        .collect();
    let measured = measure(running, plan, &columns).await?;
    let rows = whole(&measured[0])?;
    let mut cells: Vec<Vec<Option<String>>> = vec![Vec::new(); Measures::TEXTS];
    let (mut distinct, mut nulls) = (Vec::new(), Vec::new());
    let mut taken = 1;
    for (_, _, measures) in &columns {
        let mut next = |wanted: &Option<Expr>| {
            wanted.as_ref().map(|_| {
                taken += 1;
                &measured[taken - 1]
            })
        };
        for (measure, cells) in measures.texts.iter().zip(&mut cells) {
            cells.push(next(measure).map(shown).transpose()?.flatten());
        }
        distinct.push(next(&measures.distinct).map(whole).transpose()?);
        let valid = next(&measures.valid).map(whole).transpose()?.unwrap_or(0);
        // Hundredths of a percent, rounded.
        nulls.push(Some(if rows == 0 {
            0
        } else {
            (i128::from(rows - valid) * 10_000 + i128::from(rows) / 2) / i128::from(rows)
        }));
    }
    let text = |values: Vec<Option<String>>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let named = |value: fn(&(String, String, Measures)) -> &String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(columns.iter().map(value)))
    };
    let mut output: Vec<(&str, ArrayRef)> = vec![("column_name", named(|c| &c.0)), ("column_type", named(|c| &c.1))];
    output.extend(Measures::NAMES.into_iter().zip(cells.into_iter().map(text)));
    output.insert(4, ("approx_unique", Arc::new(Int64Array::from(distinct))));
    output.push(("count", Arc::new(Int64Array::from_value(rows, columns.len()))));
    let nulls = Decimal128Array::from(nulls).with_precision_and_scale(5, 2)?;
    output.push(("null_percentage", Arc::new(nulls)));
    Ok(Output::batch(
        "SUMMARIZE",
        RecordBatch::try_from_iter_with_nullable(output.into_iter().map(|(name, values)| (name, values, true)))?,
    ))
}

/// What is computed of one column, as far as its type has it.
struct Measures {
    /// In the order of [`Self::NAMES`].
    texts: [Option<Expr>; Measures::TEXTS],
    distinct: Option<Expr>,
    valid: Option<Expr>,
}

impl Measures {
    const TEXTS: usize = 7;
    const NAMES: [&str; Measures::TEXTS] = ["min", "max", "avg", "std", "q25", "q50", "q75"];

    fn of(column: Expr, data_type: &DataType) -> Self {
        let ordered = !data_type.is_nested() && !matches!(data_type, DataType::Null);
        let number = data_type.is_numeric();
        let double = || cast(column.clone(), DataType::Float64);
        let quartile = |at: f64| number.then(|| approx_percentile_cont(double().sort(true, false), lit(at), None));
        Measures {
            texts: [
                ordered.then(|| min(column.clone())),
                ordered.then(|| max(column.clone())),
                number.then(|| avg(double())),
                number.then(|| stddev(double())),
                quartile(0.25),
                quartile(0.5),
                quartile(0.75),
            ],
            distinct: (ordered && *data_type != DataType::Boolean).then(|| approx_distinct(column.clone())),
            valid: Some(count(column)),
        }
    }

    fn wanted(&self) -> impl Iterator<Item = &Expr> {
        self.texts.iter().chain([&self.distinct, &self.valid]).flatten()
    }
}

/// The number of rows, then every measure that is wanted, in one pass; each as an array of one value.
async fn measure(
    running: &Running<'_>,
    plan: LogicalPlan,
    columns: &[(String, String, Measures)],
) -> Result<Vec<ArrayRef>> {
    let all = std::iter::once(count(lit(ScalarValue::Int64(Some(1)))))
        .chain(columns.iter().flat_map(|(_, _, m)| m.wanted().cloned()));
    let named: Vec<Expr> = all.enumerate().map(|(i, measure)| measure.alias(format!("measure {i}"))).collect();
    let builder = LogicalPlanBuilder::from(plan).aggregate(Vec::<Expr>::new(), named);
    let plan = builder.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
    let batches: Vec<RecordBatch> = running.run(&plan).await?.try_collect().await.map_err(from_datafusion)?;
    let row = batches.into_iter().find(|batch| batch.num_rows() == 1);
    row.map(|row| row.columns().to_vec()).ok_or_else(|| Error::internal("an aggregate without groups gives one row"))
}

fn shown(value: &ArrayRef) -> Result<Option<String>> {
    let options = FormatOptions::default().with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    let formatter = ArrayFormatter::try_new(value.as_ref(), &options)?;
    Ok(if value.is_null(0) { None } else { Some(formatter.value(0).try_to_string()?) })
}

fn whole(value: &ArrayRef) -> Result<i64> {
    let numbers = arrow::compute::cast(value, &DataType::Int64)?;
    let numbers = numbers.as_any().downcast_ref::<Int64Array>();
    numbers.map(|n| n.value(0)).ok_or_else(|| Error::internal("a count is a number"))
}
