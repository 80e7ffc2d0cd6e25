//! Plain DataFusion over Parquet files of the same rows: the rival, and the judge of results.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use blueshift::engine::Session;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::TableReference;
use datafusion::common::config::TableParquetOptions;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryLimit};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext, ident};
use indicatif::ProgressBar;

use super::progress::progress;
use super::query::Query;
use super::report::say;
use crate::failure::Failure;

const ROW_GROUP_ROWS: usize = 1_000_000;

/// A table of the rival's.
pub struct RivalTable {
    pub name: String,
    /// The columns that its rows are ordered by.
    pub sort: Vec<String>,
    /// About how many rows it has.
    pub rows: u64,
    pub source: Box<dyn RowSource>,
}

/// Where the rows of a table are from, while its file is written.
#[async_trait]
pub trait RowSource: Send + Sync {
    /// The rows in parts that can be read at the same time, once; `bar` counts them.
    async fn parts(&self, bar: &ProgressBar) -> Result<Vec<Arc<dyn PartitionStream>>, Failure>;

    /// Whether there is one part, which has the rows in their order.
    fn is_ordered(&self) -> bool {
        false
    }
}

/// A session of plain DataFusion with tables as Parquet files.
pub struct Rival {
    context: SessionContext,
    directory: PathBuf,
    bytes: u64,
    /// Where the files of other rows are.
    replaced: Option<Scratch>,
}

/// A directory that goes with its handle.
struct Scratch(PathBuf);

impl Scratch {
    /// One of this process's own, in `directory`.
    fn new(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(format!("refreshed-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is told apart by its name, and is in nobody's way.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Rival {
    /// Opens the files in `directory`, writing those that are missing: one a table, zstd, row groups of a million
    /// rows, sorted as the warehouse's tables are.
    pub async fn open(
        directory: &Path,
        session: &Session,
        tables: &[RivalTable],
        threads: usize,
    ) -> Result<Rival, Failure> {
        let runtime = runtime_like(session)?;
        let context = SessionContext::new_with_config_rt(config(threads), runtime);
        std::fs::create_dir_all(directory)
            .map_err(|e| Failure::Message(format!("cannot make {}: {e}", directory.display())))?;
        say(&format!(
            "Parquet: zstd, row groups of {ROW_GROUP_ROWS} rows, sorted as the warehouse's tables are; kept at {}",
            directory.display()
        ))?;
        let mut bytes = 0;
        for table in tables {
            let file = file(directory, &table.name, &table.sort);
            if !file.exists() {
                let bar = progress(&format!("{}.parquet", table.name), table.rows);
                let sort = if table.source.is_ordered() { &[] } else { &table.sort[..] };
                write(&context, &file, sort, table.source.parts(&bar).await?).await?;
                bar.finish_and_clear();
            }
            bytes += std::fs::metadata(&file)?.len();
            register(&context, &table.name, &file).await?;
        }
        Ok(Rival { context, directory: directory.to_path_buf(), bytes, replaced: None })
    }

    /// Bytes of the files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts other rows in the place of a table's, in a file that is gone with the rival.
    pub async fn replace(
        &mut self,
        name: &str,
        sort: &[String],
        parts: Vec<Arc<dyn PartitionStream>>,
    ) -> Result<(), Failure> {
        let directory = match &self.replaced {
            Some(directory) => directory,
            None => self.replaced.insert(Scratch::new(&self.directory)?),
        };
        let file = file(&directory.0, name, sort);
        write(&self.context, &file, sort, parts).await?;
        self.context.deregister_table(TableReference::bare(name))?;
        register(&self.context, name, &file).await
    }

    /// The rows of each of the query's statements.
    pub async fn query(&self, query: &Query) -> Result<Vec<Vec<RecordBatch>>, Failure> {
        let mut answers = Vec::new();
        for statement in &query.statements {
            answers.push(self.context.sql(statement).await?.collect().await?);
        }
        Ok(answers)
    }
}

fn config(threads: usize) -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(threads);
    // As Blueshift's sessions read literals: 0.06 is a decimal.
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    config
}

/// A pool of its own, as large as the warehouse's.
fn runtime_like(session: &Session) -> Result<Arc<RuntimeEnv>, Failure> {
    let mut builder = RuntimeEnvBuilder::new();
    if let MemoryLimit::Finite(bytes) = session.context().runtime_env().memory_pool.memory_limit() {
        builder = builder.with_memory_pool(Arc::new(FairSpillPool::new(bytes)));
    }
    Ok(builder.build_arc()?)
}

/// Named by the order of its rows, so that files of another order are not taken for it.
fn file(directory: &Path, table: &str, sort: &[String]) -> PathBuf {
    let mut name = table.to_string();
    sort.iter().for_each(|column| name.push_str(&format!(".{column}")));
    directory.join(format!("{name}.parquet"))
}

async fn register(context: &SessionContext, table: &str, file: &Path) -> Result<(), Failure> {
    let table = TableReference::bare(table);
    Ok(context.register_parquet(table, path_text(file)?, ParquetReadOptions::default()).await?)
}

async fn write(
    context: &SessionContext,
    file: &Path,
    sort: &[String],
    parts: Vec<Arc<dyn PartitionStream>>,
) -> Result<(), Failure> {
    let Some(first) = parts.first() else { return Err(Failure::Message("a table's rows have no part".into())) };
    let schema = Arc::clone(first.schema());
    let mut rows = context.read_table(Arc::new(StreamingTable::try_new(schema, parts)?))?;
    if !sort.is_empty() {
        rows = rows.sort(sort.iter().map(|column| ident(column).sort(true, false)).collect())?;
    }
    let mut options = TableParquetOptions::default();
    options.global.compression = Some("zstd(3)".into());
    options.global.max_row_group_size = ROW_GROUP_ROWS;
    // A file has its name only when it is whole.
    let partial = file.with_extension("partial.parquet");
    let single = DataFrameWriteOptions::new().with_single_file_output(true);
    rows.write_parquet(path_text(&partial)?, single, Some(options)).await?;
    std::fs::rename(&partial, file)?;
    Ok(())
}

fn path_text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| Failure::Message(format!("{} is not a name in UTF-8", path.display())))
}
