//! What does a query pay for the encodings of the columns that it reads?
//!
//! TPC-H's lineitem and orders at scale 1 (or `BLUESHIFT_SCALE`), laid out as `blueshift tpch` lays them out, in a directory:
//! once as AUTO encodes them, once RAW. Prints for every column of a fixed width, and every text column for which AUTO
//! takes a dictionary, the time of sum, min and max over AUTO by that over RAW; for the comments, the time over FSST and over
//! ZSTD by that over RAW. Of dates and texts the days and the lengths are summed, so that the scan reads them all: min and
//! max alone may be answered by statistics. Runs of a pair alternate; the ratio is that of the medians.
//!
//! Run with `cargo bench --bench encodings`.

use blueshift::engine::tpch::tables;
use blueshift::engine::{Session, Warehouse};
use datafusion::arrow::util::display::array_value_to_string;

#[path = "common/timing.rs"]
mod timing;
#[path = "common/tpch.rs"]
mod tpch_rows;

use timing::medians;

const RUNS: usize = 15;
const LENGTHS: &str = "sum(octet_length(?))";

fn main() {
    let scale: f64 = std::env::var("BLUESHIFT_SCALE").ok().and_then(|s| s.parse().ok()).unwrap_or(1.0);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a directory");
        let warehouse = Warehouse::builder().slices(4).open(&folder.path().to_string_lossy()).await.expect("it opens");
        let session = warehouse.session();
        let mut ratios = Vec::new();
        println!("{:16} {:>18} {:>12} {:>12} {:>7}", "column", "encoding", "AUTO", "RAW", "ratio");
        for name in ["lineitem", "orders"] {
            let table = tables().into_iter().find(|table| table.name == name).expect("a table of TPC-H");
            tpch_rows::load(&session, &table, scale).await;
            let unencoded = table.create().replacen(name, "unencoded", 1).replace(" NOT NULL", " ENCODE RAW NOT NULL");
            text(&session, &unencoded).await;
            text(&session, &format!("insert into unencoded select * from {name}")).await;
            let columns = columns(&session, name).await;
            for column in &columns {
                let Some(asked) = column.asked() else { continue };
                let queries = [name, "unencoded"].map(|of| format!("select {asked} from {of}"));
                let [auto, raw] = medians(RUNS, queries.each_ref().map(|query| (&session, query.as_str()))).await;
                ratios.push(auto / raw);
                print(&column.name, &column.stored, auto, raw);
            }
            text(&session, "drop table unencoded").await;
            let Column { name: comment, sql_type, .. } = columns.last().expect("its comment");
            for encoding in ["raw", "fsst", "zstd"] {
                text(&session, &format!("create table c_{encoding} ({comment} {sql_type} encode {encoding})")).await;
                text(&session, &format!("insert into c_{encoding} select {comment} from {name}")).await;
            }
            for encoding in ["fsst", "zstd"] {
                let queries = [encoding, "raw"]
                    .map(|of| format!("select {}, max({comment}) from c_{of}", LENGTHS.replace('?', comment)));
                let [encoded, raw] = medians(RUNS, queries.each_ref().map(|query| (&session, query.as_str()))).await;
                print(comment, encoding, encoded, raw);
            }
            for table in [name, "c_raw", "c_fsst", "c_zstd"] {
                text(&session, &format!("drop table {table}")).await;
            }
        }
        let mean = (ratios.iter().map(|r| r.ln()).sum::<f64>() / ratios.len() as f64).exp();
        let most = ratios.iter().copied().fold(0.0, f64::max);
        println!("AUTO by RAW, geometric mean {mean:.2}, at most {most:.2}, of {} columns", ratios.len());
    });
}

fn print(column: &str, encoding: &str, encoded: f64, raw: f64) {
    let ratio = encoded / raw;
    println!("{column:16} {encoding:>18} {:>9.2} ms {:>9.2} ms {ratio:>7.2}", encoded * 1e3, raw * 1e3);
}

struct Column {
    name: String,
    sql_type: String,
    /// The encodings of its blocks.
    stored: String,
}

impl Column {
    /// What is asked of it: nothing of text that no dictionary holds.
    fn asked(&self) -> Option<String> {
        let name = &self.name;
        match self.sql_type.as_str() {
            t if t.starts_with("char") && !self.stored.contains("bytedict") => None,
            t if t.starts_with("char") => Some(format!("{LENGTHS}, min({name}), max({name})").replace('?', name)),
            "date" => Some(format!("sum({name} - date '1970-01-01'), min({name}), max({name})")),
            _ => Some(format!("sum({name}), min({name}), max({name})")),
        }
    }
}

/// A table's columns, in order.
async fn columns(session: &Session, table: &str) -> Vec<Column> {
    let defined = format!("select \"column\", type from pg_table_def where tablename = '{table}'");
    let stored = format!(
        "select col, listagg(distinct encoding, ' ') from stv_blocklist where col < 100 and tbl = (select max(table_id) \
         from svv_table_info where \"table\" = '{table}') group by col order by col"
    );
    let (defined, stored) = (text(session, &defined).await, text(session, &stored).await);
    let encodings = |i: usize| stored.iter().find(|row| row[0] == i.to_string()).map_or("", |row| row[1].as_str());
    let column = |(i, row): (usize, &Vec<String>)| Column {
        name: row[0].clone(),
        sql_type: row[1].clone(),
        stored: encodings(i).to_string(),
    };
    defined.iter().enumerate().map(column).collect()
}

/// A statement's rows as text.
async fn text(session: &Session, sql: &str) -> Vec<Vec<String>> {
    let batches = session.sql(sql).await.expect(sql).collect().await.expect(sql);
    let row = |batch: &datafusion::arrow::array::RecordBatch, i| {
        batch.columns().iter().map(|c| array_value_to_string(c, i).expect("text")).collect()
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |i| row(batch, i))).collect()
}
