//! Where do the bytes of TPC-H go, against Parquet with zstd, and does ANALYZE COMPRESSION keep its promise?
//!
//! The eight tables at scale 1 (or `BLUESHIFT_SCALE`), laid out as `blueshift tpch` lays them out, in a directory. Prints
//! per column bits a value: as AUTO stores it, in a Parquet file of the same rows in the same order (zstd(3), row groups of a
//! million rows), and as ANALYZE COMPRESSION advises, with the error that it gives; per table the ratio to Parquet, and
//! what the table takes once it is made with the encodings advised, against what was promised.
//!
//! Run with `cargo bench --bench size`.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use blueshift::engine::tpch::{Table, tables};
use blueshift::engine::{Session, Warehouse};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};

#[path = "common/tpch.rs"]
mod tpch_rows;

fn main() {
    let scale: f64 = std::env::var("BLUESHIFT_SCALE").ok().and_then(|s| s.parse().ok()).unwrap_or(1.0);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a directory");
        let place = folder.path().join("warehouse");
        let warehouse = Warehouse::builder().slices(4).open(&place.to_string_lossy()).await.expect("it opens");
        let session = warehouse.session();
        let (mut ours, mut parquet) = (0, 0);
        for table in tables() {
            let (stored, file) = measure(&session, &table, scale, folder.path()).await;
            (ours, parquet) = (ours + stored, parquet + file);
        }
        println!("all tables: {} of Parquet's {} bytes, {:.3}", ours, parquet, ours as f64 / parquet as f64);
    });
}

/// Loads and prints a table; its bytes, footers not counted, and those of the Parquet file.
async fn measure(session: &Session, table: &Table, scale: f64, folder: &Path) -> (u64, u64) {
    let name = table.name;
    let rows = tpch_rows::load(session, table, scale).await;
    let file = folder.join(format!("{name}.parquet"));
    let copy = format!(
        "copy (select * from {name} order by {}) to '{}' stored as parquet \
         options ('format.compression' 'zstd(3)', 'format.max_row_group_size' 1000000)",
        table.sort.join(", "),
        file.display()
    );
    text(session, &copy).await;
    let in_parquet = column_bytes(&file);
    let taken: HashMap<String, String> =
        text(session, &format!("select \"column\", encoding from pg_table_def where tablename = '{name}'"))
            .await
            .into_iter()
            .map(|row| (row[0].clone(), row[1].clone()))
            .collect();
    let start = Instant::now();
    let advice = text(session, &format!("analyze compression {name}")).await;
    let seconds = start.elapsed().as_secs_f64();
    println!("\n{name}: {rows} rows; bits a value, analyzed in {seconds:.1} s");
    println!("{:16} {:>20} {:>8} {:>20} {:>8}", "column", "AUTO", "Parquet", "advised", "error");
    let (mut stored, mut promised) = (0, 0);
    for (column, of_parquet) in advice.iter().zip(&in_parquet) {
        let bytes = |i: usize| column[i].parse::<u64>().unwrap_or(0);
        let bits = |bytes: u64| bytes as f64 * 8.0 / rows as f64;
        (stored, promised) = (stored + bytes(6), promised + bytes(5));
        println!(
            "{:16} {:>11} {:8.2} {:8.2} {:>11} {:8.2} {:>7}%",
            column[1],
            taken[&column[1]],
            bits(bytes(6)),
            bits(*of_parquet),
            column[2],
            bits(bytes(5)),
            column[4]
        );
    }
    let file = std::fs::metadata(&file).expect("a file").len();
    println!("{stored} of Parquet's {file} bytes, {:.3}", stored as f64 / file as f64);
    // Small tables get no advice.
    if advice.iter().all(|column| column[2] != "N/A") {
        let applied = apply(session, table, &advice).await;
        println!("advised: {promised} bytes promised, {applied} taken, {:+.2} %", percent_off(promised, applied));
    }
    (stored, file)
}

fn percent_off(promised: u64, taken: u64) -> f64 {
    100.0 * (promised as f64 / taken as f64 - 1.0)
}

/// Makes the table anew with the encodings advised; its bytes.
async fn apply(session: &Session, table: &Table, advice: &[Vec<String>]) -> u64 {
    let mut create = table.create().replacen(&format!("TABLE {} ", table.name), "TABLE applied ", 1);
    for column in advice {
        let at = create.find(&format!("{} ", column[1])).expect("its column");
        let end = at + create[at..].find(" NOT NULL").expect("its constraint");
        create.insert_str(end, &format!(" ENCODE {}", column[2]));
    }
    session.sql(&create).await.expect("created");
    session.sql(&format!("insert into applied select * from {}", table.name)).await.expect("inserted");
    // Of one column, that of the sort key, which is not analyzed: every column tells what it takes.
    let rows = text(session, &format!("analyze compression applied ({})", table.sort[0])).await;
    session.sql("drop table applied").await.expect("dropped");
    rows.iter().map(|column| column[6].parse::<u64>().unwrap_or(0)).sum()
}

/// A statement's rows as text.
async fn text(session: &Session, sql: &str) -> Vec<Vec<String>> {
    let batches = session.sql(sql).await.expect(sql).collect().await.expect(sql);
    let row = |batch: &datafusion::arrow::array::RecordBatch, i| {
        batch.columns().iter().map(|c| array_value_to_string(c, i).expect("text")).collect()
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |i| row(batch, i))).collect()
}

/// Bytes of each column of a Parquet file.
fn column_bytes(file: &Path) -> Vec<u64> {
    let reader = SerializedFileReader::new(File::open(file).expect("a file")).expect("Parquet");
    let groups = reader.metadata().row_groups();
    let columns = groups.first().map_or(0, |group| group.num_columns());
    (0..columns).map(|i| groups.iter().map(|group| group.column(i).compressed_size() as u64).sum()).collect()
}
