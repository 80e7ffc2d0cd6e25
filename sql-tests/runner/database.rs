//! A session of a warehouse in memory, as sqllogictest drives it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blueshift::common::{Error, SqlType};
use blueshift::engine::Warehouse;
use blueshift::engine::slt::{SltDatabase, SltLayout as Dist, SltOptions};
use blueshift::format::encoding::allowed;
use datafusion::physical_plan::ExecutionPlan;
use libtest_mimic::Failed;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use super::config::Config;

/// Runs one file in a new warehouse; its outcome, and how many zones were pruned. `complete` writes the outcome into
/// the file instead of judging it.
pub async fn run_file(file: &Path, config: Config, complete: bool) -> Result<(Result<(), Failed>, u64), Failed> {
    let folder = tempfile::tempdir()?;
    let warehouse = open(config).await?;
    let tmp = folder.path().display().to_string();
    let mut runner = Runner::new(|| {
        let (warehouse, tmp) = (warehouse.clone(), tmp.clone());
        async move { Database::new(warehouse, config, tmp).await }
    });
    runner.with_column_validator(sqllogictest::strict_column_validator);
    let outcome = if complete {
        let (validator, normalizer) = (sqllogictest::default_validator, sqllogictest::default_normalizer);
        let types = sqllogictest::strict_column_validator;
        let written = runner.update_test_file(file, " ", validator, normalizer, types).await;
        written.map_err(|e| Failed::from(e.to_string()))
    } else {
        runner.run_file_async(file).await.map_err(|e| Failed::from(e.display(false).to_string()))
    };
    runner.shutdown_async().await;
    Ok((outcome, warehouse.zones_pruned()))
}

/// Fails unless a session of `config` is what the configuration says, and a query that must prune and does not is an
/// error.
pub async fn check_effect(config: Config) -> Result<(), Failed> {
    let warehouse = open(config).await?;
    let mut database = Database::new(warehouse, config, String::new()).await?;
    database.run("create table t (k int distkey sortkey)").await?;
    database.run("insert into t select v from generate_series(1, 200) s(v)").await?;
    let dist = match config.dist {
        Dist::Written => "KEY(k)",
        Dist::Even => "EVEN",
        Dist::All => "ALL",
    };
    let slices = if config.dist == Dist::All { 1 } else { config.slices };
    for (sql, wanted) in [
        ("select diststyle from svv_table_info", dist.to_string()),
        ("select count(distinct slice) from stv_blocklist", slices.to_string()),
        ("select count(*) from stv_slices", config.slices.to_string()),
        ("select sum(num_values) from stv_blocklist", "200".to_string()),
    ] {
        let rows = rows_of(database.run(sql).await?);
        if rows != [[wanted.clone()]] {
            return Err(format!("{config}: {sql} gives {rows:?}, not {wanted}").into());
        }
    }
    if let Some(name) = config.encoding {
        // LZO is stored as LZ4; system tables say `none` for RAW.
        let stored = match name.as_str() {
            "lzo" => "lz4",
            "raw" => "none",
            other => other,
        };
        database.run("create table e (a bigint, b varchar(99), c double precision)").await?;
        let rows = "insert into e select v, 'word ' || v, v / 4.0 from generate_series(1, 200) s(v)";
        database.run(rows).await?;
        let columns = "select distinct col from stv_blocklist where tbl = (select max(tbl) from stv_blocklist)";
        let found = rows_of(database.run(&format!("{columns} and encoding = '{stored}' order by col")).await?);
        let types = [SqlType::BigInt, SqlType::Varchar(99), SqlType::Double];
        let wanted = (0..types.len()).filter(|i| allowed(name, types[*i]).is_ok()).map(|i| vec![i.to_string()]);
        if found != wanted.collect::<Vec<_>>() {
            return Err(format!("{config}: only the columns {found:?} are stored as {stored}").into());
        }
        let kept = rows_of(database.run("select sum(a), count(distinct b), sum(c) from e").await?);
        if kept != [["20100", "200", "5025.0"]] {
            return Err(format!("{config}: the columns hold {kept:?}").into());
        }
    }
    let rows = rows_of(database.run("zones select * from t where k between 50 and 52").await?);
    let [zones, pruned] = [0, 1].map(|i| rows[0][i].parse::<usize>().unwrap_or(usize::MAX));
    // 200 rows are many tiny zones, of which most hold other keys, or a normal one a slice, which may hold these.
    let prunes = config.tiny && config.pruning;
    let right = if config.tiny { zones >= 200 / config.geometry().zone_rows() } else { zones == slices as usize };
    if !right || (pruned > 0) != prunes {
        return Err(format!("{config}: {pruned} of {zones} zones are pruned").into());
    }
    let fails = database.run("prunes select * from t where k > 0").await.is_err();
    if fails != prunes {
        return Err(format!("{config}: a query that must prune, and prunes nothing, fails: {fails}").into());
    }
    Ok(())
}

fn rows_of(output: DBOutput<DefaultColumnType>) -> Vec<Vec<String>> {
    match output {
        DBOutput::Rows { rows, .. } => rows,
        _ => Vec::new(),
    }
}

async fn open(config: Config) -> Result<Warehouse, Error> {
    // What a vacuum of its own would do in between depends on the time.
    let builder = Warehouse::builder().slices(config.slices).geometry(config.geometry()).threads(2).upkeep(false);
    builder.memory_limit(1 << 30).open("memory://").await
}

/// What a record wants of its query.
enum Asked {
    Rows,
    /// Its rows, and that zones are pruned, at least where they are tiny.
    RowsPruned,
    /// How many zones its scans have before them and how many they leave out.
    Zones,
}

impl Asked {
    fn of(sql: String) -> (Self, String) {
        for (word, asked) in [("prunes ", Asked::RowsPruned), ("zones ", Asked::Zones)] {
            if let Some(query) = sql.strip_prefix(word) {
                return (asked, query.to_string());
            }
        }
        (Asked::Rows, sql)
    }
}

/// What the scans of a plan that has run counted.
#[derive(Default)]
struct Zones {
    all: usize,
    pruned: usize,
}

impl Zones {
    fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let metrics = plan.metrics().unwrap_or_default();
        let count = |name: &str| metrics.sum_by_name(name).map_or(0, |value| value.as_usize());
        let own = Zones { all: count("zones"), pruned: count("zones_pruned_static") + count("zones_pruned_dynamic") };
        plan.children()
            .into_iter()
            .map(Zones::of)
            .fold(own, |sum, child| Zones { all: sum.all + child.all, pruned: sum.pruned + child.pruned })
    }

    fn row(&self) -> DBOutput<DefaultColumnType> {
        let types = vec![DefaultColumnType::Integer; 2];
        DBOutput::Rows { types, rows: vec![vec![self.all.to_string(), self.pruned.to_string()]] }
    }
}

struct Database {
    inner: SltDatabase,
    config: Config,
    tmp: String,
}

impl Database {
    async fn new(warehouse: Warehouse, config: Config, tmp: String) -> Result<Self, Error> {
        let session = warehouse.session();
        if !config.pruning {
            session.sql("SET blueshift.pruning = false").await?;
        }
        let options = SltOptions { layout: config.dist, encoding: config.encoding, ..SltOptions::default() };
        Ok(Database { inner: SltDatabase::new(session, options), config, tmp })
    }
}

#[async_trait]
impl AsyncDB for Database {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        let sql = sql.replace("${TMP}", &self.tmp);
        if let Some(rest) = sql.strip_prefix("write ") {
            let (path, content) = rest.split_once('\n').unwrap_or((rest, ""));
            // A record ends with an empty line, so that files cannot write theirs as it is.
            let lines = content.lines().map(|line| if line == "(empty)" { "\n".into() } else { format!("{line}\n") });
            std::fs::write(path, lines.collect::<String>()).map_err(|e| Error::internal(e.to_string()))?;
            return Ok(DBOutput::StatementComplete(0));
        }
        let (asked, sql) = Asked::of(sql);
        let (output, plan) = self.inner.run_with_plan(&sql).await?;
        let zones = plan.map_or(Zones::default(), |plan| Zones::of(&plan));
        match asked {
            Asked::Zones => Ok(zones.row()),
            Asked::RowsPruned if zones.pruned == 0 && self.config.pruning && self.config.tiny => {
                Err(Error::internal(format!("none of {} zones was pruned", zones.all)))
            }
            Asked::Rows | Asked::RowsPruned => Ok(output),
        }
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        self.inner.engine_name()
    }

    async fn sleep(duration: Duration) {
        SltDatabase::sleep(duration).await;
    }

    fn error_sql_state(error: &Error) -> Option<String> {
        SltDatabase::error_sql_state(error)
    }
}
