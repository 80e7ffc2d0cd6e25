//! A benchmark that is a directory of scripts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use blueshift::common::Error;
use blueshift::engine::{Output, Session, split};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::StreamExt;
use indicatif::ProgressBar;
use parking_lot::Mutex;

use super::query::Query;
use super::report::say;
use super::rival::{RivalTable, RowSource};
use crate::failure::{Failure, Source};
use crate::sql::read_file;

/// The scripts of a directory.
#[derive(Debug)]
pub struct Suite {
    pub name: String,
    directory: PathBuf,
    /// What makes the tables and fills them; empty where they are there already.
    scripts: Vec<Source>,
    pub queries: Vec<Query>,
}

impl Suite {
    /// Reads schema.sql and load.sql, either of which may be missing, and the queries: the statements of queries.sql, named by
    /// their places from 1, or the files of queries/ in the order of their names.
    pub fn read(directory: &Path) -> Result<Suite, Failure> {
        let directory = directory
            .canonicalize()
            .map_err(|e| Failure::Message(format!("cannot read the directory {}: {e}", directory.display())))?;
        let name = directory.file_name().map_or_else(|| "bench".into(), |name| name.to_string_lossy().into_owned());
        let mut scripts = Vec::new();
        for script in ["schema.sql", "load.sql"] {
            let path = directory.join(script);
            if path.exists() {
                scripts.push(read_file(&path)?);
            }
        }
        let queries = read_queries(&directory)?;
        Ok(Suite { name, directory, scripts, queries })
    }

    /// Whether a warehouse must have the tables already.
    pub fn is_without_rows(&self) -> bool {
        self.scripts.is_empty()
    }

    /// Runs the scripts in a new warehouse. One that a run has filled to the end says so in the comment on its schema `public`;
    /// any other that has tables is refused. Names of files in the scripts are relative to the directory, which becomes the
    /// process's.
    pub async fn load(&self, session: &Session) -> Result<(), Failure> {
        if self.is_without_rows() {
            return Ok(());
        }
        let loaded = format!("the tables of the benchmark {}", self.name);
        let partly = format!("{loaded}, not loaded to the end");
        let texts = |query: &'static str| first_column(session, query);
        let comment = texts(COMMENT).await?.into_iter().next().unwrap_or_default();
        if comment == loaded {
            return say("all tables are loaded already");
        }
        if comment == partly || !texts(TABLES).await?.is_empty() {
            let what = if comment == partly { comment } else { "tables that this benchmark has not made".into() };
            return Err(Failure::Message(format!(
                "the warehouse at {} has {what}\nHINT: choose another warehouse with -w, or remove this one",
                session.warehouse().location()
            )));
        }
        session.sql(&comment_on(&partly)).await?;
        std::env::set_current_dir(&self.directory)?;
        for script in &self.scripts {
            for statement in split(&script.text) {
                let started = Instant::now();
                let failed = |error: Error| Failure::Engine { error, source: Some(script.clone()) };
                let output = session.statement(statement).await.map_err(failed)?;
                let tag = output.tag.clone();
                output.collect().await.map_err(failed)?;
                say(&format!("{tag}: {:.1} s", started.elapsed().as_secs_f64()))?;
            }
        }
        session.sql(&comment_on(&loaded)).await?;
        Ok(())
    }
}

/// The tables of the schema `public`, for a rival.
pub async fn rival_tables(session: &Session) -> Result<Vec<RivalTable>, Failure> {
    let mut tables = Vec::new();
    for name in first_column(session, TABLES).await? {
        let key = format!(
            "select \"column\" from pg_table_def where schemaname = 'public' and tablename = '{}' and sortkey <> 0 \
             order by abs(sortkey)",
            name.replace('\'', "''")
        );
        let sort = first_column(session, &key).await?;
        let rows = session.warehouse().table_size(&name).await?.map_or(0, |size| size.rows);
        let source =
            Box::new(WarehouseRows { session: session.warehouse().session(), name: name.clone(), sort: sort.clone() });
        tables.push(RivalTable { name, sort, rows, source });
    }
    Ok(tables)
}

/// Bytes that the tables of the schema `public` take.
pub async fn stored_bytes(session: &Session) -> Result<u64, Failure> {
    let mut bytes = 0;
    for name in first_column(session, TABLES).await? {
        bytes += session.warehouse().table_size(&name).await?.map_or(0, |size| size.bytes);
    }
    Ok(bytes)
}

const COMMENT: &str = "select description from pg_description where object_type = 'schema' and object_name = 'public'";
const TABLES: &str = "select table_name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE' \
                      order by table_name";

fn comment_on(text: &str) -> String {
    format!("comment on schema public is '{}'", text.replace('\'', "''"))
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn read_queries(directory: &Path) -> Result<Vec<Query>, Failure> {
    let (one, several) = (directory.join("queries.sql"), directory.join("queries"));
    let mut queries = Vec::new();
    if one.exists() {
        let text = read_file(&one)?.text;
        queries.extend(split(&text).iter().zip(1..).map(|(statement, n)| Query::new(format!("{n}"), statement.text)));
    } else if several.is_dir() {
        let mut files = Vec::new();
        for entry in several.read_dir()? {
            let path = entry?.path();
            files.extend(path.extension().is_some_and(|extension| extension == "sql").then_some(path));
        }
        files.sort();
        for file in files {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            queries.push(Query::new(name, &read_file(&file)?.text));
        }
    }
    queries.retain(|query| !query.statements.is_empty());
    match queries.is_empty() {
        false => Ok(queries),
        true => Err(Failure::Message(format!(
            "{} has no queries: statements in queries.sql, or files queries/*.sql",
            directory.display()
        ))),
    }
}

/// The texts of a query's first column.
async fn first_column(session: &Session, query: &str) -> Result<Vec<String>, Failure> {
    let mut texts = Vec::new();
    for batch in session.sql(query).await?.collect().await? {
        let column = cast(batch.column(0), &DataType::Utf8).map_err(Error::from)?;
        texts.extend(column.as_string::<i32>().iter().flatten().map(str::to_string));
    }
    Ok(texts)
}

/// A warehouse's own rows, in the order of the sort key.
struct WarehouseRows {
    session: Session,
    name: String,
    sort: Vec<String>,
}

#[async_trait]
impl RowSource for WarehouseRows {
    async fn parts(&self, bar: &ProgressBar) -> Result<Vec<Arc<dyn PartitionStream>>, Failure> {
        let mut query = format!("select * from public.{}", identifier(&self.name));
        if !self.sort.is_empty() {
            let key: Vec<String> = self.sort.iter().map(|column| identifier(column)).collect();
            query.push_str(&format!(" order by {}", key.join(", ")));
        }
        let rows = self.session.sql(&query).await?;
        Ok(vec![Arc::new(OnePart { schema: rows.schema(), rows: Mutex::new(Some(rows)), bar: bar.clone() })])
    }

    fn is_ordered(&self) -> bool {
        true
    }
}

/// Rows that are read once.
struct OnePart {
    schema: SchemaRef,
    rows: Mutex<Option<Output>>,
    bar: ProgressBar,
}

impl std::fmt::Debug for OnePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnePart").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PartitionStream for OnePart {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let bar = self.bar.clone();
        let rows = futures::stream::iter(self.rows.lock().take()).flatten().map(move |batch| {
            let batch = batch.map_err(|error| DataFusionError::External(Box::new(error)))?;
            bar.inc(batch.num_rows() as u64);
            Ok(batch)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(directory: &Path) -> Vec<(String, usize)> {
        let suite = Suite::read(directory).unwrap();
        suite.queries.into_iter().map(|query| (query.name, query.statements.len())).collect()
    }

    #[test]
    fn queries_are_statements_of_a_file_or_files() {
        let dir = tempfile::tempdir().unwrap();
        let error = Suite::read(dir.path()).unwrap_err().summary();
        assert!(error.contains("has no queries"), "{error}");
        fs::create_dir(dir.path().join("queries")).unwrap();
        fs::write(dir.path().join("queries/b.sql"), "select 1; select 2").unwrap();
        fs::write(dir.path().join("queries/a.sql"), "select ';'").unwrap();
        fs::write(dir.path().join("queries/notes.txt"), "no query").unwrap();
        fs::write(dir.path().join("queries/empty.sql"), "-- nothing").unwrap();
        assert_eq!(names(dir.path()), [("a".into(), 1), ("b".into(), 2)]);
        fs::write(dir.path().join("queries.sql"), "select 1;\n-- two\nselect 2;\n").unwrap();
        assert_eq!(names(dir.path()), [("1".into(), 1), ("2".into(), 1)]);
        assert!(Suite::read(dir.path()).unwrap().is_without_rows());
        fs::write(dir.path().join("load.sql"), "copy t from 'x'").unwrap();
        assert!(!Suite::read(dir.path()).unwrap().is_without_rows());
        assert!(Suite::read(&dir.path().join("nowhere")).is_err());
    }
}
