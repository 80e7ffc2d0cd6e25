//! The files of `suite/` on plain DataFusion: the same statements on its tables in memory must give the same rows.
//!
//! A record whose comment begins with `# redshift:` is one that Redshift means otherwise. It must come out otherwise here,
//! so that no such comment outlives its reason.

use std::time::Duration;

use async_trait::async_trait;
use blueshift::common::Error;
use blueshift::engine::slt::{SltValues, shown};
use blueshift::sql::ast::{CreateTable, Statement};
use blueshift::sql::unparse::create_table_ddl;
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use libtest_mimic::Failed;
use sqllogictest::parser::ExpectedError;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, QueryExpect, Record, Runner, StatementExpect};

/// What the comment of a record begins with that Redshift means otherwise.
const OTHERWISE: &str = "redshift:";

/// How many records come out as on Blueshift, and how many otherwise, as their comments say.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    pub same: usize,
    pub otherwise: usize,
}

/// Runs the records of a file's text. Fails where one comes out otherwise than it is written, or where one does not that
/// says it would.
pub async fn compare(text: &str) -> Result<Compared, Failed> {
    let records = sqllogictest::parse::<DefaultColumnType>(text)?;
    let mut runner = Runner::new(|| async { Ok(Plain::new()) });
    runner.with_column_validator(sqllogictest::strict_column_validator);
    let mut compared = Compared::default();
    let mut wrong = Vec::new();
    let mut marked = false;
    for record in records {
        let line = match &record {
            Record::Comment(lines) => {
                marked |= lines.iter().any(|line| line.trim_start().starts_with(OTHERWISE));
                continue;
            }
            Record::Newline if marked => return Err(format!("\"# {OTHERWISE}\" stands at no record").into()),
            Record::Statement { loc, .. } | Record::Query { loc, .. } => loc.line(),
            _ => continue,
        };
        let outcome = runner.run_async(any_error(record)).await;
        match (outcome, std::mem::take(&mut marked)) {
            (Ok(_), false) => compared.same += 1,
            (Err(_), true) => compared.otherwise += 1,
            (Ok(_), true) => {
                wrong.push(format!("line {line}: \"# {OTHERWISE}\", and plain DataFusion gives the same"));
            }
            (Err(e), false) => wrong.push(format!("plain DataFusion: {}", e.display(false))),
        }
    }
    runner.shutdown_async().await;
    if wrong.is_empty() { Ok(compared) } else { Err(wrong.join("\n").into()) }
}

/// An error is an error: its words are each engine's own.
fn any_error(mut record: Record<DefaultColumnType>) -> Record<DefaultColumnType> {
    match &mut record {
        Record::Statement { expected: StatementExpect::Error(error), .. }
        | Record::Query { expected: QueryExpect::Error(error), .. } => *error = ExpectedError::Empty,
        _ => {}
    }
    record
}

/// Fails unless [`compare`] finds what it is there for.
pub async fn check_the_comparison() -> Result<(), Failed> {
    let tables = "statement ok\ncreate table t (a int distkey encode az64) sortkey (a)\n\n\
                  statement count 2\ninsert into t values (1), (2)\n\n";
    let good =
        format!("{tables}query I rowsort\nselect a from t\n----\n1\n2\n\nstatement error ours\nselect b from t\n");
    let marked = format!("{good}\n# redshift: zero\nquery I\nselect count(*) from t\n----\n0\n");
    if compare(&good).await? != (Compared { same: 4, otherwise: 0 })
        || compare(&marked).await? != (Compared { same: 4, otherwise: 1 })
    {
        return Err("records are counted wrongly".into());
    }
    for bad in [
        format!("{tables}query I\nselect count(*) from t\n----\n3\n"),
        format!("{tables}query T\nselect count(*) from t\n----\n2\n"),
        format!("{tables}query I\nselect count(*) from u\n----\n2\n"),
        format!("{tables}statement error\nselect a from t\n"),
        format!("{tables}# redshift: none\nquery I\nselect count(*) from t\n----\n2\n"),
        format!("{tables}# redshift: of what\n\nquery I\nselect count(*) from t\n----\n2\n"),
    ] {
        if compare(&bad).await.is_ok() {
            return Err(format!("accepted:\n{bad}").into());
        }
    }
    Ok(())
}

struct Plain {
    context: SessionContext,
}

impl Plain {
    /// With the setting of our sessions that changes what SQL means.
    fn new() -> Self {
        let mut config = SessionConfig::new().with_target_partitions(2);
        config.options_mut().sql_parser.parse_float_as_decimal = true;
        Plain { context: SessionContext::new_with_config(config) }
    }
}

/// CREATE TABLE without the words that only Redshift has, and with the names of types that DataFusion knows.
fn without_layout(sql: &str) -> Option<String> {
    let Ok(Statement::CreateTable(create)) = blueshift::sql::parse_one(sql) else { return None };
    let mut create =
        CreateTable { dist: None, sort: None, encode_auto: false, backup: None, temporary: false, ..*create };
    create.columns.iter_mut().for_each(|column| column.encode = None);
    Some(create_table_ddl(&create).replace(" character varying(", " VARCHAR(").replace(" character(", " CHAR("))
}

#[async_trait]
impl AsyncDB for Plain {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        let failed = |e: datafusion::error::DataFusionError| Error::internal(e.to_string());
        let sql = without_layout(sql).unwrap_or_else(|| sql.to_string());
        let frame = self.context.sql(&sql).await.map_err(failed)?;
        let inserts = matches!(frame.logical_plan(), LogicalPlan::Dml(_));
        // Types are those of the analyzed plan: a UNION's own are not settled before.
        let plan = frame.create_physical_plan().await.map_err(failed)?;
        let schema = plan.schema();
        let batches = collect(plan, self.context.task_ctx()).await.map_err(failed)?;
        if inserts {
            return Ok(DBOutput::StatementComplete(batches.iter().map(inserted).sum()));
        }
        if schema.fields().is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        shown(&schema, &batches, SltValues::Blueshift)
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "datafusion"
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

fn inserted(batch: &RecordBatch) -> u64 {
    batch.column(0).as_primitive_opt::<UInt64Type>().map_or(0, |counts| counts.iter().flatten().sum())
}
