//! Loads: of awkward files, cancelled, killed, repeated, and by the append interface.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use tokio::sync::watch;

use super::awkward::{self, Expected};
use super::util::{all, batches, error};
use crate::catalog::WarehouseStore;
use crate::common::{ErrorKind, SqlState};
use crate::engine::{Appended, Session, TransferKind, Warehouse};
use crate::format::Geometry;
use crate::testing::rng::Rng;
use crate::testing::wrapper::{Call, StoreWrapper, Wrapped};

async fn opened(place: &Path) -> Warehouse {
    Warehouse::builder().slices(3).geometry(Geometry::TINY).threads(2).open(place.to_str().unwrap()).await.unwrap()
}

async fn in_memory() -> Warehouse {
    Warehouse::builder().slices(3).geometry(Geometry::TINY).threads(2).open("memory://").await.unwrap()
}

/// The rows of a query, their values parted by blanks.
async fn shown(session: &Session, sql: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches(session, sql).await {
        let options = FormatOptions::default();
        let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        let row = |row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join(" ");
        rows.extend((0..batch.num_rows()).map(row));
    }
    rows
}

/// Each is read as it must be, or refused with its name and place, and then the table is as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn awkward_files() {
    let directory = tempfile::tempdir().unwrap();
    let session = in_memory().await.session();
    all(&session, &["create table t (id int, word varchar(20))", "insert into t values (0, 'before')"]).await;
    for file in awkward::write(directory.path()) {
        let place = directory.path().join(file.name);
        let copied = session.sql(&format!("copy t from '{}' {}", place.display(), file.options)).await;
        let rows =
            shown(&session, "select coalesce(id::varchar, 'NULL') || ',' || coalesce(word, 'NULL') from t where word is null or word <> 'before'")
                .await;
        match (file.expected, copied) {
            (Expected::Rows(expected), Ok(_)) => {
                let mut found = rows;
                found.sort_unstable();
                assert_eq!(found, expected, "{}", file.name);
            }
            (Expected::Refused(parts), Err(e)) => {
                assert_eq!(e.kind(), ErrorKind::Invalid, "{}: {e:?}", file.name);
                let missing = parts.iter().find(|part| !e.message().contains(**part));
                assert!(missing.is_none(), "{}: {e:?} lacks {missing:?}", file.name);
                assert!(rows.is_empty(), "{}: {rows:?}", file.name);
            }
            (_, copied) => panic!("{}: {:?}", file.name, copied.map(|output| output.tag)),
        }
        all(&session, &["delete from t where word is null or word <> 'before'"]).await;
        assert_eq!(shown(&session, "select count(*) from t").await, ["1"], "{}", file.name);
    }
}

/// What ends a load is in the log with its place, value and code, whatever the limit of errors, and whatever the format.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_a_load_is_logged() {
    let directory = tempfile::tempdir().unwrap();
    let session = in_memory().await.session();
    all(&session, &["create table t (id int not null, word varchar(20))"]).await;
    awkward::write(directory.path());
    let odd = [0xff, 0xfe, b'1', 0, b'|', 0, 0, 0xd8, b'a', 0];
    std::fs::write(directory.path().join("odd.txt"), odd).unwrap();
    let ids = |ids: Vec<Option<i32>>| ("id", Arc::new(Int32Array::from(ids)) as ArrayRef);
    let word = |word: &str| ("word", Arc::new(StringArray::from(vec![word; 2])) as ArrayRef);
    std::fs::create_dir(directory.path().join("some")).unwrap();
    for (name, bytes) in [
        ("null.parquet", awkward::columns(&[ids(vec![Some(1), None]), word("a")])),
        ("long.parquet", awkward::columns(&[ids(vec![Some(1), Some(2)]), word("more than twenty bytes")])),
        ("some/1.parquet", awkward::columns(&[ids(vec![Some(1), Some(2)]), word("a")])),
        ("some/2.parquet", std::fs::read(directory.path().join("damaged_page.parquet")).unwrap()),
    ] {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    for (name, options, expected) in [
        ("long_line.csv", "csv maxerror 10", "long_line.csv 1216 2  "),
        ("long_quote.csv", "csv ignoreallerrors", "long_quote.csv 1216 2  "),
        ("cut.csv.gz", "csv gzip maxerror 10", "cut.csv.gz 1200 2"),
        ("odd.txt", "encoding utf16 maxerror 10", "odd.txt 1221 1  "),
        ("swapped.parquet", "parquet", "swapped.parquet 1207 1 id a"),
        ("null.parquet", "parquet", "null.parquet 1213 2 id "),
        ("long.parquet", "parquet", "long.parquet 1204 1 word more than twenty bytes"),
        ("damaged_page.parquet", "parquet", "damaged_page.parquet 1200 0  "),
        ("some/", "parquet", "2.parquet 1200 0  "),
    ] {
        let place = directory.path().join(name);
        let refused = session.sql(&format!("copy t from '{}' {options}", place.display())).await.err().unwrap();
        let file = expected.split(' ').next().unwrap();
        assert!(refused.message().contains(file), "{name}: {refused:?}");
        let logged = "select regexp_replace(trim(filename), '.*/', '') || ' ' || err_code || ' ' || line_number || ' ' || \
                      trim(colname) || ' ' || trim(raw_field_value) from stl_load_errors where query = pg_last_copy_id()";
        let logged = shown(&session, logged).await;
        assert!(logged.len() == 1 && logged[0].starts_with(expected), "{name}: {logged:?}");
    }
}

/// The log tells of each value that ACCEPTINVCHARS has changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_bytes_are_logged() {
    let directory = tempfile::tempdir().unwrap();
    let session = in_memory().await.session();
    all(&session, &["create table t (id int, word varchar(20))"]).await;
    for (name, options, bytes, expected) in [
        (
            "a.csv",
            "csv",
            b"1,ok\n2,a\xffb\n3,\xff\xff\n".to_vec(),
            ["2 word 2,a\u{fffd}b", "3 word 3,\u{fffd}\u{fffd}"],
        ),
        (
            "a.json",
            "json 'auto'",
            b"{\"id\":1,\"word\":\"\xff\"}\n\n{\"word\":\"\xfe\"}".to_vec(),
            ["1 word {\"id\":1,\"word\":\"\u{fffd}\"}", "3 word {\"word\":\"\u{fffd}\"}"],
        ),
        ("a.parquet", "parquet", awkward::bytes_as_text(), ["1 word a\u{fffd}b", "2 word ä\u{fffd}\u{fffd}"]),
    ] {
        let place = directory.path().join(name);
        std::fs::write(&place, bytes).unwrap();
        all(&session, &[&format!("copy t from '{}' {options} acceptinvchars", place.display())]).await;
        let logged = "select line_number || ' ' || colname || ' ' || raw_line from stl_replacements \
                      where query = pg_last_copy_id() order by line_number";
        assert_eq!(shown(&session, logged).await, expected, "{name}");
    }
}

/// What does not fit the types that were found in the first lines is refused with its place, not cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_cut_to_an_inferred_type() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("prices.csv");
    let rows = |last: &str| {
        (0..15_000).map(|i| format!("{i},{}.50\n", i % 7)).chain([format!("15000,{last}\n")]).collect::<String>()
    };
    let session = in_memory().await.session();
    let create = format!("create table t from '{}'", place.display());
    std::fs::write(&place, format!("id,price\n{}", rows("1.255"))).unwrap();
    let refused = error(&session, &create).await;
    assert!(refused.message().contains("prices.csv, line 15002, column \"price\""), "{refused:?}");
    assert_eq!(shown(&session, "select count(*) from pg_table_def where tablename = 't'").await, ["0"]);
    std::fs::write(&place, format!("id,price\n{}", rows("1.250"))).unwrap();
    session.sql(&create).await.unwrap();
    assert_eq!(shown(&session, "select count(*), max(id), sum(price) from t").await, ["15001 15000 52498.25"]);
}

/// A load that is cancelled leaves nothing; while it goes on, it tells how far it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_is_watched_and_cancelled() {
    let directory = tempfile::tempdir().unwrap();
    let text: String = (0..400_000).map(|i| format!("{i},word {i}\n")).collect();
    for part in 0..4 {
        std::fs::write(directory.path().join(format!("part{part}.csv")), &text).unwrap();
    }
    let store = directory.path().join("dw");
    // So little memory that sorted runs are stored while files are read.
    let builder = Warehouse::builder().slices(3).geometry(Geometry::TINY).threads(2).load_memory(256 << 10);
    let warehouse = builder.open(store.to_str().unwrap()).await.unwrap();
    let session = Arc::new(warehouse.session());
    all(&session, &["create table t (id int, word varchar(20)) sortkey (id)", "insert into t values (-1, 'before')"])
        .await;
    let copy = format!("copy t from '{}/part' csv", directory.path().display());
    let loading = tokio::spawn({
        let session = Arc::clone(&session);
        async move { session.sql(&copy).await.map(|_| ()) }
    });
    let other = warehouse.session();
    let (mut seen, mut in_tables) = (Vec::new(), 0);
    let stored = || walk(&store.join("data"));
    while (seen.len() < 3 || in_tables == 0 || stored() < 9) && !loading.is_finished() {
        if let Some(load) = warehouse.transfers().into_iter().next().filter(|load| load.rows > 0) {
            assert_eq!((load.name.as_str(), load.files, load.bytes), ("t", 4, 4 * text.len() as i64));
            let shown = shown(&other, "select table_name, num_files, pct_complete <= 100 from stv_load_state").await;
            assert!(shown.is_empty() || shown == ["t 4 true"], "{shown:?}");
            in_tables += shown.len();
            seen.push(load.bytes_done);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(seen.len() >= 3 && seen.is_sorted() && in_tables > 0 && stored() >= 9, "{seen:?} {in_tables} {}", stored());
    session.cancel();
    let cancelled = loading.await.unwrap().unwrap_err();
    assert_eq!(cancelled.state(), SqlState::QUERY_CANCELED, "{cancelled:?}");
    assert!(warehouse.transfers().is_empty());
    assert_eq!(shown(&session, "select count(*) from t").await, ["1"]);
    assert_eq!(shown(&session, "select count(*) from svv_load_history").await, ["0"]);
    // What it had stored already is deleted, but for what was being stored, which goes with a collection.
    let mut waits = 0;
    while stored() > 4 {
        assert!(waits < 500, "{} objects are left", stored());
        tokio::time::sleep(Duration::from_millis(10)).await;
        waits += 1;
    }
    all(&session, &["insert into t values (-2, 'after')"]).await;
    warehouse.collect().await.unwrap();
    assert!(stored() <= 3, "{} objects are left", stored());
}

fn walk(place: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(place) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { 1 }).sum()
}

/// Sessions that load the same files at the same time, skipping what is loaded, load each once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_loaded_once_by_many() {
    let directory = tempfile::tempdir().unwrap();
    let warehouse = in_memory().await;
    all(&warehouse.session(), &["create table t (id int, word varchar(20)) distkey (id)"]).await;
    let mut expected = 0;
    for round in 0..4 {
        for file in 0..5 {
            let rows: String = (0..10).map(|i| format!("{},x\n", round * 1000 + file * 10 + i)).collect();
            std::fs::write(directory.path().join(format!("{round}_{file}.csv")), rows).unwrap();
            expected += 10;
        }
        let copies = (0..4).map(|_| {
            let (session, place) = (warehouse.session(), directory.path().display().to_string());
            tokio::spawn(async move {
                // One that meets too many others says so, and is to be repeated.
                while let Err(e) = session.sql(&format!("copy t from '{place}/' csv skip loaded")).await {
                    assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}");
                }
            })
        });
        futures::future::try_join_all(copies).await.unwrap();
        let found = shown(&warehouse.session(), "select count(*), count(distinct id) from t").await;
        assert_eq!(found, [format!("{expected} {expected}")]);
    }
}

const PLACE: &str = "BLUESHIFT_TEST_LOADING_PLACE";
/// Files by which a process tells that it has taken rows, and that its load has ended.
const LOADING: &str = "has_taken_rows";
const LOADED: &str = "has_ended";

/// A process that loads is killed at any moment, and the load repeated until it is told to have ended: each row is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_load_is_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("dw");
    {
        let warehouse = opened(&place).await;
        all(&warehouse.session(), &["create table t (id int, word varchar(20)) distkey (id) sortkey (word)"]).await;
        warehouse.close().await.unwrap();
    }
    let mut rng = Rng::new(5);
    let (loading, loaded) = (directory.path().join(LOADING), directory.path().join(LOADED));
    let (mut files, mut rows, mut kills, mut while_loading) = (0, 0, 0, 0);
    for _ in 0..4 {
        for _ in 0..3 {
            let text: String = (0..8000).map(|i| format!("{},word {i}\n", rows + i)).collect();
            std::fs::write(directory.path().join(format!("in_{files:03}.csv")), text).unwrap();
            (files, rows) = (files + 1, rows + 8000);
        }
        loop {
            for told in [&loading, &loaded] {
                let _ = std::fs::remove_file(told);
            }
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--ignored", "--nocapture", "engine::tests::loading::in_a_process"])
                .env(PLACE, directory.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let wait = |most: usize, rng: &mut Rng| tokio::time::sleep(Duration::from_millis(rng.below(most) as u64));
            // At any time, or some time after it has begun to load.
            match rng.one_in(3) {
                true => wait(600, &mut rng).await,
                false => {
                    while !loading.exists() && child.try_wait().unwrap().is_none() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    wait(150, &mut rng).await;
                }
            }
            match child.try_wait().unwrap() {
                Some(status) => {
                    assert!(status.success());
                    break;
                }
                None if kills < 12 => {
                    kills += 1;
                    child.kill().unwrap();
                    child.wait().unwrap();
                    while_loading += u32::from(loading.exists() && !loaded.exists());
                }
                None => {
                    assert!(child.wait().unwrap().success());
                    break;
                }
            }
        }
        let warehouse = opened(&place).await;
        let found = shown(
            &warehouse.session(),
            "select count(*), count(distinct id), min(id), max(id), count(case when word = 'word ' || (id % 8000) then 1 end) from t",
        )
        .await;
        assert_eq!(found, [format!("{rows} {rows} 0 {} {rows}", rows - 1)], "after {kills} kills");
        warehouse.close().await.unwrap();
    }
    assert!(while_loading > 2, "{while_loading} of {kills} kills met a load");
}

#[ignore = "is the process that another test kills"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_process() {
    let place = std::env::var(PLACE).unwrap();
    let warehouse = Warehouse::builder().threads(2).open(&format!("{place}/dw")).await.unwrap();
    let watch = tokio::spawn({
        let (warehouse, told) = (warehouse.clone(), Path::new(&place).join(LOADING));
        async move {
            while warehouse.transfers().iter().all(|load| load.rows == 0) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            std::fs::write(told, "").unwrap();
        }
    });
    warehouse.session().sql(&format!("copy t from '{place}/in_' csv skip loaded")).await.unwrap();
    watch.abort();
    std::fs::write(Path::new(&place).join(LOADED), "").unwrap();
}

fn batch(from: i64, rows: i64) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("v", DataType::Utf8, true)]);
    let words = StringArray::from_iter_values((from..from + rows).map(|i| format!("word {i}")));
    let numbers = Int64Array::from_iter_values(from..from + rows);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(numbers), Arc::new(words)]).unwrap()
}

async fn appended(session: &Session, from: i64, key: Option<&str>) -> crate::common::Result<Appended> {
    let mut appender = session.appender("t", batch(0, 0).schema(), key);
    for part in 0..10 {
        appender.write(batch(from + part * 100, 100)).await?;
    }
    appender.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_appended() {
    let warehouse =
        Warehouse::builder().slices(3).geometry(Geometry::TINY).load_memory(64 << 10).open("memory://").await.unwrap();
    let session = warehouse.session();
    all(&session, &["create table t (k bigint, v varchar(20)) distkey (k) sortkey (k)"]).await;
    let count = || shown(&session, "select count(*), count(distinct k) from t");
    // Dropped, it has added nothing.
    let mut given_up = session.appender("t", batch(0, 0).schema(), Some("first"));
    given_up.write(batch(0, 100)).await.unwrap();
    drop(given_up);
    assert_eq!(count().await, ["0 0"]);
    assert_eq!(appended(&session, 0, None).await.unwrap(), Appended { rows: 1000, repeated: false });
    // Under a key once, whatever comes with it the second time.
    assert_eq!(appended(&session, 1000, Some("first")).await.unwrap(), Appended { rows: 1000, repeated: false });
    assert_eq!(appended(&session, 5000, Some("first")).await.unwrap(), Appended { rows: 1000, repeated: true });
    assert_eq!(count().await, ["2000 2000"]);
    // Many at the same time under one key.
    let tries = (0..4).map(|_| async {
        let session = warehouse.session();
        appended(&session, 2000, Some("second")).await.unwrap()
    });
    let tries = futures::future::join_all(tries).await;
    assert_eq!(tries.iter().filter(|done| !done.repeated).count(), 1, "{tries:?}");
    assert_eq!(count().await, ["3000 3000"]);
    // Wrong columns, a wrong value, no table.
    let mut other = session.appender("t", batch(0, 0).schema(), None);
    let wrong = RecordBatch::try_from_iter([("k", Arc::new(Int64Array::from(vec![1])) as _)]).unwrap();
    assert_eq!(other.write(wrong).await.unwrap_err().state(), SqlState::DATATYPE_MISMATCH);
    let long = Arc::new(StringArray::from(vec!["x".repeat(30)]));
    let long = RecordBatch::try_new(batch(0, 0).schema(), vec![Arc::new(Int64Array::from(vec![1])), long]).unwrap();
    let _ = other.write(long).await;
    assert_eq!(other.finish().await.unwrap_err().state(), SqlState::STRING_TOO_LONG);
    let missing = session.appender("nothing", batch(0, 0).schema(), None).finish().await.unwrap_err();
    assert_eq!(missing.state(), SqlState::UNDEFINED_TABLE);
    assert_eq!(count().await, ["3000 3000"]);
    // In a block it is the block's.
    session.sql("begin").await.unwrap();
    appended(&session, 3000, Some("third")).await.unwrap();
    assert!(appended(&session, 3000, Some("third")).await.unwrap().repeated);
    session.sql("rollback").await.unwrap();
    assert_eq!(count().await, ["3000 3000"]);
    assert!(!appended(&session, 3000, Some("third")).await.unwrap().repeated);
}

/// A store that puts nothing while it is shut.
#[derive(Debug)]
struct ShutStore {
    inner: Arc<dyn ObjectStore>,
    open: watch::Sender<bool>,
}

#[async_trait]
impl StoreWrapper for ShutStore {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn before(&self, call: Call, _: &object_store::path::Path) -> object_store::Result<()> {
        if call == Call::Put {
            let _ = self.open.subscribe().wait_for(|open| *open).await;
        }
        Ok(())
    }
}

/// An appender takes no more than memory holds while nothing can be stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_appender_waits_for_the_store() {
    let store = Arc::new(ShutStore { inner: Arc::new(InMemory::new()), open: watch::Sender::new(true) });
    let builder = Warehouse::builder().slices(3).geometry(Geometry::TINY).load_memory(64 << 10);
    let objects = WarehouseStore::new(Arc::new(Wrapped(Arc::clone(&store))));
    let warehouse = builder.store(objects).open("memory://").await.unwrap();
    let session = warehouse.session();
    all(&session, &["create table t (k bigint, v varchar(20)) sortkey (k)"]).await;
    let mut appender = session.appender("t", batch(0, 0).schema(), None);
    store.open.send_replace(false);
    let mut written = 0;
    loop {
        // A batch whose write is given up is lost: this one is written again below.
        let write = tokio::time::timeout(Duration::from_secs(2), appender.write(batch(written * 1000, 1000)));
        match write.await {
            Ok(done) => done.unwrap(),
            Err(_) => break,
        }
        written += 1;
        assert!(written < 200, "it takes rows that it has no room for");
    }
    store.open.send_replace(true);
    let before = written;
    for part in before..before + 50 {
        appender.write(batch(part * 1000, 1000)).await.unwrap();
    }
    let appended = appender.finish().await.unwrap();
    let found = shown(&session, "select count(distinct k), max(k) from t").await;
    assert_eq!(found, [format!("{} {}", (before + 50) * 1000, (before + 50) * 1000 - 1)]);
    assert!(appended.rows >= (before + 50) as u64 * 1000);
}

const MEMORY_ROWS: &str = "BLUESHIFT_TEST_LOADING_ROWS";

/// Four times the rows take about the same memory.
#[cfg(target_os = "linux")]
#[ignore = "measures memory, which depends on what else the machine does"]
#[test]
fn memory_does_not_grow_with_the_files() {
    let highest = |rows: usize| {
        let directory = tempfile::tempdir().unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "engine::tests::loading::rows_are_loaded_in_a_process"])
            .env(PLACE, directory.path())
            .env(MEMORY_ROWS, rows.to_string())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the process tells its memory");
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() >> 10
    };
    // 51 and 204 MB of text. How much of it waits to be taken depends on how busy the machine is.
    let (some, many) = (highest(50_000), highest(200_000));
    assert!(many < some + 100, "{some} and {many} MiB");
}

#[ignore = "is the process that another test measures"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_loaded_in_a_process() {
    let place = std::env::var(PLACE).unwrap();
    let rows: usize = std::env::var(MEMORY_ROWS).unwrap().parse().unwrap();
    let mut file = std::io::BufWriter::new(std::fs::File::create(Path::new(&place).join("rows.csv")).unwrap());
    let mut rng = Rng::new(3);
    for row in 0..rows {
        // They are stored small, so that what is written takes little beside what is read.
        let words: Vec<String> = (0..60).map(|_| format!("{:016x}", rng.below(500))).collect();
        writeln!(file, "{row},{},{}", rng.below(1 << 30), words.join(" ")).unwrap();
    }
    drop(file);
    let geometry = Geometry::new(256, 2048).unwrap();
    let builder = Warehouse::builder().slices(2).threads(1).geometry(geometry).load_memory(4 << 20);
    let warehouse = builder.open(&format!("{place}/dw")).await.unwrap();
    let session = warehouse.session();
    all(&session, &["create table t (id bigint, k int, word varchar(1100)) distkey (id) sortkey (k)"]).await;
    all(&session, &[&format!("copy t from '{place}/rows.csv' csv compupdate off")]).await;
    println!("\n{}", std::fs::read_to_string("/proc/self/status").unwrap());
    assert_eq!(shown(&session, "select count(*), count(distinct id) from t").await, [format!("{rows} {rows}")]);
}

/// Appends and unloads tell how far they are, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_and_unloads_are_watched() {
    let directory = tempfile::tempdir().unwrap();
    let warehouse = in_memory().await;
    let session = warehouse.session();
    all(&session, &["create table t (id int, word varchar(20))"]).await;
    let words: ArrayRef = Arc::new(StringArray::from_iter_values((0..1000).map(|i| format!("word {i}"))));
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..1000));
    let batch = RecordBatch::try_from_iter([("id", ids), ("word", words)]).unwrap();
    let mut appender = session.appender("t", batch.schema(), None);
    let mut most = 0;
    for _ in 0..200 {
        appender.write(batch.clone()).await.unwrap();
        if let [append] = warehouse.transfers().as_slice() {
            assert_eq!((append.kind, append.name.as_str(), append.percent()), (TransferKind::Load, "t", 0));
            assert!(append.rows >= most && append.rows <= 200_000, "{append:?}");
            most = append.rows;
        }
    }
    assert!(most > 0);
    assert_eq!(appender.finish().await.unwrap(), Appended { rows: 200_000, repeated: false });
    assert!(warehouse.transfers().is_empty());

    let unload = format!("unload ('select * from t') to '{}/out_' parallel off", directory.path().display());
    let (mut seen, mut shown_rows) = (Vec::new(), Vec::new());
    let watch = async {
        let other = warehouse.session();
        loop {
            if let Some(unload) = warehouse.transfers().first() {
                assert_eq!((unload.kind, unload.rows_expected), (TransferKind::Unload, Some(200_000)));
                assert!(unload.name.ends_with("/out_"), "{unload:?}");
                seen.push((unload.rows, unload.percent()));
                let sql = "select lines_expected, lines between 0 and 200000, pct_complete between 0 and 100 from stv_unload_state";
                shown_rows.extend(shown(&other, sql).await);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        unloaded = session.sql(&unload) => drop(unloaded.unwrap()),
        () = watch => unreachable!(),
    }
    assert!(seen.is_sorted() && seen.iter().any(|(rows, _)| *rows > 0), "{seen:?}");
    assert!(!shown_rows.is_empty() && shown_rows.iter().all(|row| row == "200000 true true"), "{shown_rows:?}");
    assert!(warehouse.transfers().is_empty());
}

/// The error is of the first row that is wrong, whichever is found first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_error_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("rows.csv");
    let session = in_memory().await.session();
    all(&session, &["create table t (id int, word varchar(400))"]).await;
    // The line in question is at the end of its block, which takes longer than the next one, that begins with another.
    let long = "x".repeat(300);
    for first in [9_000, 20_001, 33_333] {
        let line = |i: usize| match i {
            _ if i >= first => format!("wrong,{i}\n"),
            _ => format!("{i},{long}\n"),
        };
        std::fs::write(&place, (0..40_000).map(line).collect::<String>()).unwrap();
        for _ in 0..5 {
            let copied = session.sql(&format!("copy t from '{}' csv", place.display())).await;
            let e = copied.map(|output| output.tag).unwrap_err();
            assert!(e.message().contains(&format!("line {},", first + 1)), "{e:?}");
        }
    }
}
