//! A warehouse as the database of sqllogictest's runner, so that suites of other projects run on Blueshift.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::physical_plan::ExecutionPlan;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};

use super::explain::QUERY_PLAN;
use super::session::Session;
use crate::common::{EncodingName, Error, Result, SqlState};
use crate::sql::ast::{CreateTable, DistClause, Statement};
use crate::sql::unparse::create_table_ddl;

/// How tables are distributed, whatever their CREATE TABLE says. It never changes rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SltLayout {
    /// As it is written.
    #[default]
    Written,
    Even,
    All,
}

/// How values are written, which suites expect differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SltValues {
    /// `NULL`, `(empty)`, a blank within timestamps, decimals with all digits of their scale, plans in lines.
    #[default]
    Blueshift,
    /// As DataFusion's own suite: numbers with at most 12 decimals and no zeros at the end, a `T` within timestamps, plans
    /// in numbered lines.
    DataFusion,
    /// As SQLite's suite: floating-point numbers with 3 decimals, truth values as 1 and 0, control characters as `@`.
    Sqlite,
}

/// What a [`SltDatabase`] does besides running statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SltOptions {
    pub layout: SltLayout,
    pub values: SltValues,
    /// The encoding of columns whose CREATE TABLE names none, where it is valid for their type.
    pub encoding: Option<EncodingName>,
    /// What `onlyif` and `skipif` compare with.
    pub engine_name: String,
}

impl Default for SltOptions {
    fn default() -> Self {
        SltOptions {
            layout: SltLayout::default(),
            values: SltValues::default(),
            encoding: None,
            engine_name: "blueshift".into(),
        }
    }
}

/// A session that sqllogictest's runner drives; each connection of a file is one.
#[derive(Debug)]
pub struct SltDatabase {
    session: Session,
    options: SltOptions,
}

impl SltDatabase {
    pub fn new(session: Session, options: SltOptions) -> Self {
        SltDatabase { session, options }
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Runs a statement as the options want it; its output, and the plan of a query, which has been executed.
    ///
    /// Errors: the statement's.
    pub async fn run_with_plan(
        &self,
        sql: &str,
    ) -> Result<(DBOutput<DefaultColumnType>, Option<Arc<dyn ExecutionPlan>>)> {
        let output = match self.configured(sql) {
            Some(sql) => self.session.sql(&sql).await?,
            None => self.session.sql(sql).await?,
        };
        if !output.has_rows() {
            return Ok((DBOutput::StatementComplete(output.changed.unwrap_or(0)), None));
        }
        let (schema, plan) = (output.schema(), output.plan().cloned());
        let batches = output.collect().await?;
        Ok((shown(&schema, &batches, self.options.values)?, plan))
    }

    fn run_boxed<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<DBOutput<DefaultColumnType>>> {
        self.run_with_plan(sql).map(|ran| ran.map(|(output, _)| output)).boxed()
    }

    /// A CREATE TABLE with the distribution and the encodings of the options. What does not parse, or takes its layout
    /// from another table, stays as it is.
    fn configured(&self, sql: &str) -> Option<String> {
        let SltOptions { layout, encoding, .. } = &self.options;
        if *layout == SltLayout::Written && encoding.is_none() {
            return None;
        }
        let Ok(Statement::CreateTable(mut create)) = crate::sql::parse_one(sql) else { return None };
        if create.like.is_some() {
            return None;
        }
        match layout {
            SltLayout::Written => {}
            SltLayout::Even => create.dist = Some(DistClause::Even),
            SltLayout::All => create.dist = Some(DistClause::All),
        }
        if let Some(encoding) = encoding {
            encode(&mut create, *encoding);
        }
        Some(create_table_ddl(&create))
    }
}

/// A query's rows as text, a plan in a row for each of its lines.
///
/// Errors: Internal, of batches that are not of `schema`, and of values that cannot be written.
pub fn shown(schema: &Schema, batches: &[RecordBatch], values: SltValues) -> Result<DBOutput<DefaultColumnType>> {
    let types = schema.fields().iter().map(|f| column_type(f.data_type())).collect();
    Ok(DBOutput::Rows { types, rows: rows(schema, batches, values)? })
}

impl AsyncDB for SltDatabase {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    fn run<'d, 's, 'f>(&'d mut self, sql: &'s str) -> BoxFuture<'f, Result<DBOutput<DefaultColumnType>>>
    where
        'd: 'f,
        's: 'f,
    {
        self.run_boxed(sql)
    }

    fn shutdown<'d, 'f>(&'d mut self) -> BoxFuture<'f, ()>
    where
        'd: 'f,
    {
        ready(()).boxed()
    }

    fn engine_name(&self) -> &str {
        &self.options.engine_name
    }

    fn sleep<'f>(duration: Duration) -> BoxFuture<'f, ()> {
        tokio::time::sleep(duration).boxed()
    }

    fn error_sql_state(error: &Error) -> Option<String> {
        Some(error.state().0.to_string())
    }
}

impl FromStr for SltLayout {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        one_of(word, "layout", &[("written", SltLayout::Written), ("even", SltLayout::Even), ("all", SltLayout::All)])
    }
}

impl FromStr for SltValues {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        let known =
            [("blueshift", SltValues::Blueshift), ("datafusion", SltValues::DataFusion), ("sqlite", SltValues::Sqlite)];
        one_of(word, "notation of values", &known)
    }
}

impl fmt::Display for SltLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SltLayout::Written => "written",
            SltLayout::Even => "even",
            SltLayout::All => "all",
        })
    }
}

fn one_of<T: Copy>(word: &str, what: &str, known: &[(&str, T)]) -> Result<T> {
    let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        Error::invalid(SqlState::INVALID_PARAMETER, format!("\"{word}\" is no {what}"))
            .with_hint(format!("there are {}", names.join(", ")))
    })
}

/// Names `encoding` at every column that names none and may have it.
fn encode(create: &mut CreateTable, encoding: EncodingName) {
    for column in &mut create.columns {
        if column.encode.is_none() && crate::format::encoding::allowed(encoding, column.sql_type).is_ok() {
            column.encode = Some(encoding);
        }
    }
    if create.columns.iter().any(|c| c.encode.is_some()) {
        create.encode_auto = false;
    }
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        t if t.is_integer() => DefaultColumnType::Integer,
        t if t.is_numeric() => DefaultColumnType::FloatingPoint,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DefaultColumnType::Text,
        _ => DefaultColumnType::Any,
    }
}

fn rows(schema: &Schema, batches: &[RecordBatch], values: SltValues) -> Result<Vec<Vec<String>>> {
    let mut rows = Vec::new();
    for batch in batches {
        if batch.schema().fields().len() != schema.fields().len() {
            return Err(Error::internal("a batch has other columns than its query"));
        }
        let columns: Vec<Vec<String>> = batch.columns().iter().map(|c| column(c, values)).collect::<Result<_>>()?;
        for row in 0..batch.num_rows() {
            let shown: Vec<String> = columns.iter().map(|c| c[row].clone()).collect();
            match shown.as_slice() {
                [kind, plan] if schema.field(1).name() == "plan" && schema.field(0).name() == "plan_type" => {
                    plan_lines(kind, plan, values, &mut rows);
                }
                [line] if schema.field(0).name() == QUERY_PLAN => rows.push(vec![dashed(line)]),
                _ => rows.push(shown),
            }
        }
    }
    Ok(rows)
}

/// A plan as a row for each of its lines, its depth as dashes: sqllogictest takes no notice of blanks.
fn plan_lines(kind: &str, plan: &str, values: SltValues, rows: &mut Vec<Vec<String>>) {
    if values == SltValues::DataFusion {
        rows.push(vec![kind.to_string()]);
    }
    for (i, line) in plan.lines().enumerate() {
        let dashed = dashed(line);
        rows.push(match values {
            SltValues::DataFusion => vec![format!("{:02}){dashed}", i + 1)],
            _ => vec![kind.to_string(), dashed],
        });
    }
}

/// A line with its depth as dashes.
fn dashed(line: &str) -> String {
    let text = line.trim_start();
    format!("{}{}", "-".repeat(line.len() - text.len()), text.trim_end())
}

/// A column's values as text.
fn column(array: &ArrayRef, values: SltValues) -> Result<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let options = match values {
        SltValues::DataFusion => options,
        _ => options
            .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
            .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z")),
    };
    let formatter = ArrayFormatter::try_new(array.as_ref() as &dyn Array, &options)?;
    (0..array.len())
        .map(|row| {
            if array.is_null(row) {
                return Ok("NULL".to_string());
            }
            let text = match float(array, row) {
                Some(number) if values != SltValues::Blueshift => number_text(number, values),
                _ => formatter.value(row).try_to_string()?,
            };
            Ok(cell(text, array.data_type(), values))
        })
        .collect()
}

/// A floating-point value as Rust writes it, the shortest that reads back as the same.
fn float(array: &ArrayRef, row: usize) -> Option<(f64, String)> {
    Some(match array.data_type() {
        DataType::Float16 => {
            let v = array.as_primitive::<Float16Type>().value(row);
            (v.to_f64(), v.to_string())
        }
        DataType::Float32 => {
            let v = array.as_primitive::<Float32Type>().value(row);
            (f64::from(v), v.to_string())
        }
        DataType::Float64 => {
            let v = array.as_primitive::<Float64Type>().value(row);
            (v, v.to_string())
        }
        _ => return None,
    })
}

fn number_text((value, shortest): (f64, String), values: SltValues) -> String {
    match values {
        SltValues::Sqlite => format!("{value:.3}"),
        SltValues::DataFusion if value.is_infinite() => (if value > 0.0 { "Infinity" } else { "-Infinity" }).into(),
        SltValues::DataFusion => {
            let decimals = shortest.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            without_zeros(if decimals > 12 { format!("{value:.12}") } else { shortest })
        }
        SltValues::Blueshift => shortest,
    }
}

fn without_zeros(number: String) -> String {
    if !number.contains('.') {
        return number;
    }
    let number = number.trim_end_matches('0').trim_end_matches('.');
    if matches!(number, "-0" | "") { "0".into() } else { number.into() }
}

fn cell(text: String, data_type: &DataType, values: SltValues) -> String {
    match (values, data_type) {
        _ if text.is_empty() => "(empty)".into(),
        (SltValues::DataFusion, t) if t.is_decimal() => without_zeros(text),
        (SltValues::DataFusion, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
            text.trim_end_matches('\n').to_string()
        }
        (SltValues::Sqlite, DataType::Boolean) => (if text == "true" { "1" } else { "0" }).into(),
        (SltValues::Sqlite, _) => text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '@' }).collect(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Warehouse;

    async fn run(values: SltValues, sql: &str) -> Vec<Vec<String>> {
        let session = Warehouse::open("memory://").await.unwrap().session();
        let mut database = SltDatabase::new(session, SltOptions { values, ..SltOptions::default() });
        match database.run(sql).await.unwrap() {
            DBOutput::Rows { rows, .. } => rows,
            _ => panic!("{sql} gives no rows"),
        }
    }

    #[tokio::test]
    async fn values_are_written_as_each_suite_expects() {
        let sql =
            "select 1.50, 2::double, 1/3.0::double, true, '', null, timestamp '2020-01-02 03:04:05', 'a' || chr(10)";
        let all = [SltValues::Blueshift, SltValues::DataFusion, SltValues::Sqlite];
        let [ours, datafusion, sqlite] = all.map(|values| run(values, sql));
        assert_eq!(
            ours.await[0],
            ["1.50", "2.0", "0.3333333333333333", "true", "(empty)", "NULL", "2020-01-02 03:04:05", "a\n"]
        );
        assert_eq!(
            datafusion.await[0],
            ["1.5", "2", "0.333333333333", "true", "(empty)", "NULL", "2020-01-02T03:04:05", "a"]
        );
        assert_eq!(sqlite.await[0], ["1.50", "2.000", "0.333", "1", "(empty)", "NULL", "2020-01-02 03:04:05", "a@"]);
    }

    #[tokio::test]
    async fn layouts_and_encodings_are_those_of_the_options() {
        let session = Warehouse::open("memory://").await.unwrap().session();
        let options =
            SltOptions { layout: SltLayout::All, encoding: Some(EncodingName::Az64), ..SltOptions::default() };
        let mut database = SltDatabase::new(session, options);
        database.run("create table t (a int distkey, b varchar(3), c int encode zstd)").await.unwrap();
        database.run("insert into t values (1, 'x', 2)").await.unwrap();
        let mut one = async |sql: &str| match database.run(sql).await.unwrap() {
            DBOutput::Rows { rows, .. } => rows.concat().join(" "),
            _ => panic!("{sql} gives no rows"),
        };
        assert_eq!(one("select diststyle from svv_table_info").await, "ALL");
        let encodings = one("select encoding from pg_table_def order by \"column\"").await;
        assert!(encodings.starts_with("az64 ") && encodings.ends_with(" zstd") && encodings != "az64 az64 zstd");
    }
}
