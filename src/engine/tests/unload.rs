//! UNLOAD: the files, byte by byte, and that none are left of a statement that failed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::basic::Compression;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use url::Url;

use super::util::*;
use crate::common::{ErrorKind, SqlState};
use crate::engine::{Session, Warehouse, unload};
use crate::format::Geometry;
use crate::sql::ast::{Statement, Unload, UnloadFormat};
use crate::sql::parse_one;
use crate::testing::faulty_store::{Fault, FaultyStore};

/// One of each type, NULL in all, and text that formats write in their own ways.
const ROWS: [&str; 3] = [
    "create table t (b boolean, i int, n decimal(8,2), r real, d double precision, c char(5), v varchar(40), day date, \
     tm time, ts timestamp, tz timestamptz, bytes varbyte(4), s super)",
    "insert into t values \
     (true, 1, 1.5, 0.1, 1e300, 'ab', 'a|b, \"c\" \\ ''d''', '2024-02-29', '01:02:03.5', '2024-03-01 12:30:45.25', \
      '2024-07-01 12:00:00+02', to_varbyte('ff00', 'hex'), json_parse('{\"k\":[1,null,\"x\"]}')), \
     (false, -2, -0.05, 1e-7, 3, '', '', '1999-12-31', '00:00:00', '1999-12-31 00:00:00', '1999-12-31 23:59:59+00', \
      to_varbyte('', 'hex'), json_parse('1.50'))",
    "insert into t (i) values (3)",
];

async fn session_of(statements: &[&str]) -> Session {
    let session = warehouse(1, 1, Geometry::default()).await.session();
    all(&session, statements).await;
    session
}

fn text(query: &str, to: &Path, options: &str) -> String {
    format!("unload ($${query}$$) to '{}' {options}", to.display())
}

/// The files below a folder, by their names in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_string();
                // What is deleted meanwhile is gone.
                if let Ok(content) = fs::read(&path) {
                    found.insert(name, content);
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

fn names(folder: &Path) -> Vec<String> {
    files(folder).into_keys().collect()
}

/// The one file that a query gives.
async fn written(session: &Session, query: &str, options: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let done = session.sql(&text(query, &folder.path().join("f_"), options)).await.unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(done.tag, "UNLOAD");
    let mut files = files(folder.path());
    assert_eq!(files.len(), 1, "{:?}", files.keys());
    files.pop_first().unwrap().1
}

async fn line(session: &Session, query: &str, options: &str) -> String {
    String::from_utf8(written(session, query, options).await).unwrap()
}

#[tokio::test]
async fn every_format_has_its_bytes() {
    let session = session_of(&ROWS).await;
    let query = "select * from t order by i nulls first";
    let ordered = "select * from t where i <> 3 order by i desc";
    assert_eq!(
        line(&session, query, "parallel off").await,
        "f|-2|-0.05|1e-7|3|||1999-12-31|00:00:00|1999-12-31 00:00:00|1999-12-31 23:59:59+00||1.50\n\
         t|1|1.50|0.1|1e300|ab|a|b, \"c\" \\ 'd'|2024-02-29|01:02:03.5|2024-03-01 12:30:45.25|2024-07-01 10:00:00+00|ff00|\
         {\"k\":[1,null,\"x\"]}\n\
         |3|||||||||||\n"
    );
    assert_eq!(
        line(&session, ordered, "csv header null as '-'").await,
        "b,i,n,r,d,c,v,day,tm,ts,tz,bytes,s\n\
         t,1,1.50,0.1,1e300,ab,\"a|b, \"\"c\"\" \\ 'd'\",2024-02-29,01:02:03.5,2024-03-01 12:30:45.25,2024-07-01 10:00:00+00,\
         ff00,\"{\"\"k\"\":[1,null,\"\"x\"\"]}\"\n\
         f,-2,-0.05,1e-7,3,,,1999-12-31,00:00:00,1999-12-31 00:00:00,1999-12-31 23:59:59+00,,1.50\n"
    );
    assert_eq!(line(&session, "select null a, '' b, 'x' c", "csv").await, ",\"\",x\n");
    assert_eq!(
        line(&session, query, "json").await,
        "{\"b\":false,\"i\":-2,\"n\":-0.05,\"r\":1e-7,\"d\":3,\"c\":\"\",\"v\":\"\",\"day\":\"1999-12-31\",\"tm\":\"00:00:00\",\
         \"ts\":\"1999-12-31 00:00:00\",\"tz\":\"1999-12-31 23:59:59+00\",\"bytes\":\"\",\"s\":1.50}\n\
         {\"b\":true,\"i\":1,\"n\":1.50,\"r\":0.1,\"d\":1e300,\"c\":\"ab\",\"v\":\"a|b, \\\"c\\\" \\\\ 'd'\",\
         \"day\":\"2024-02-29\",\"tm\":\"01:02:03.5\",\"ts\":\"2024-03-01 12:30:45.25\",\"tz\":\"2024-07-01 10:00:00+00\",\
         \"bytes\":\"ff00\",\"s\":{\"k\":[1,null,\"x\"]}}\n\
         {\"b\":null,\"i\":3,\"n\":null,\"r\":null,\"d\":null,\"c\":null,\"v\":null,\"day\":null,\"tm\":null,\"ts\":null,\
         \"tz\":null,\"bytes\":null,\"s\":null}\n"
    );
    let tricky = "select 'a|b' || chr(10) || 'c\\d''\"' v, null n, '' e, 5 i";
    assert_eq!(line(&session, tricky, "escape").await, "a\\|b\\\nc\\\\d'\"|||5\n");
    assert_eq!(
        line(&session, tricky, "addquotes escape null as 'NIL'").await,
        "\"a\\|b\\\nc\\\\d\\'\\\"\"|NIL|\"\"|\"5\"\n"
    );
    assert_eq!(line(&session, "select 'a|b' v, null n", "addquotes").await, "\"a|b\"|\n");
    assert_eq!(line(&session, tricky, "escape delimiter '\\t' null '\\N'").await, "a|b\\\nc\\\\d'\"\t\\N\t\t5\n");
    let fixed = "select 'é' v, null::varchar w, -1.5 n, null::int i";
    assert_eq!(line(&session, fixed, "fixedwidth 'v:3,w:2,n:5,i:2'").await, "é    -1.5   \n");
    assert_eq!(line(&session, fixed, "fixedwidth 'v:3,w:4,n:5,i:2' null as 'none'").await, "é  none-1.5   \n");
    assert_eq!(
        line(&session, "select 'nan'::float8 f, '-infinity'::float8 g", "json").await,
        "{\"f\":\"NaN\",\"g\":\"-Infinity\"}\n"
    );
    all(&session, &["set timezone to 'Asia/Kolkata'"]).await;
    assert_eq!(line(&session, "select tz from t where i = 1", "").await, "2024-07-01 15:30:00+05:30\n");
}

#[tokio::test]
async fn what_would_not_read_back_is_noticed() {
    let session = session_of(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let notices = async |query: &str, options: &str| {
        let to = folder.path().join("f");
        let done = session.sql(&text(query, &to, &format!("{options} allowoverwrite"))).await.unwrap();
        done.notices.len()
    };
    let query = "select 'a|b' v union all select 'c' || chr(10)";
    assert_eq!(notices(query, "").await, 1);
    for options in ["escape", "csv", "json", "parquet", "addquotes escape"] {
        assert_eq!(notices(query, options).await, 0, "{options}");
    }
    assert_eq!(notices("select 'a|b' v", "addquotes").await, 0);
    assert_eq!(notices("select 'a\"b' v", "addquotes").await, 1);
    assert_eq!(notices("select '-' v", "null as '-'").await, 1);
}

#[tokio::test]
async fn compressed_files_hold_the_same() {
    let session = session_of(&[]).await;
    let query = "select v, 'text ' || v as w from generate_series(1, 3000) s(v)";
    let plain = written(&session, query, "csv").await;
    let read = |mut reader: Box<dyn Read>| {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let gzip = written(&session, query, "csv gzip").await;
    let bzip2 = written(&session, query, "csv bzip2").await;
    let zstd = written(&session, query, "csv zstd").await;
    assert!([&gzip, &bzip2, &zstd].iter().all(|packed| packed.len() < plain.len() / 2));
    assert_eq!(read(Box::new(flate2::read::GzDecoder::new(gzip.as_slice()))), plain);
    assert_eq!(read(Box::new(bzip2::read::BzDecoder::new(bzip2.as_slice()))), plain);
    assert_eq!(zstd::decode_all(zstd.as_slice()).unwrap(), plain);
}

#[tokio::test]
async fn parquet_files_are_of_version_1_and_snappy() {
    let session = session_of(&ROWS).await;
    let folder = tempfile::tempdir().unwrap();
    all(&session, &[&text("select * from t", &folder.path().join("p"), "parquet")]).await;
    assert_eq!(names(folder.path()), ["p0000_part_00.parquet"]);
    let path = folder.path().join("p0000_part_00.parquet");
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path).unwrap()).unwrap();
    let metadata = reader.metadata();
    assert_eq!(metadata.file_metadata().version(), 1);
    assert!(metadata.row_groups().iter().flat_map(|g| g.columns()).all(|c| c.compression() == Compression::SNAPPY));
    let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    assert_eq!(lines(&read), lines(&batches(&session, "select * from t").await));
}

#[tokio::test]
async fn files_are_called_as_in_redshift() {
    let session = warehouse(4, 4, Geometry::default()).await.session();
    all(
        &session,
        &[
            "create table t (k int, v varchar(9)) diststyle even",
            "insert into t select v, 'x' from generate_series(1, 100000) s(v)",
        ],
    )
    .await;
    for (options, wanted) in [
        ("", &["f0000_part_00", "f0001_part_00", "f0002_part_00", "f0003_part_00"][..]),
        ("parallel off", &["f000"]),
        ("parallel off gzip", &["f000.gz"]),
        ("parallel off parquet", &["f000.parquet"]),
        ("parallel off zstd extension '.csv.zst'", &["f000.csv.zst"]),
        ("parallel off parquet extension 'x'", &["f000x"]),
        ("parallel off bzip2 manifest", &["f000.bz2", "fmanifest"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let done = session.sql(&text("select * from t", &folder.path().join("f"), options)).await.unwrap();
        assert_eq!(done.changed, Some(100_000));
        assert_eq!(names(folder.path()), wanted, "{options}");
    }
    let told = "select pg_last_unload_count() n, pg_last_unload_id() = pg_last_query_id() last";
    assert!(ours(&session, told).await.join("").contains("100000 | true"));
    assert!(ours(&session, "select pg_last_unload_count() n").await.join("").contains("100000"));
    // A file of no rows says which columns there are.
    assert_eq!(line(&session, "select k, v from t where k < 0", "csv header").await, "k,v\n");
    assert_eq!(line(&session, "select k from t where k < 0", "").await, "");
}

#[tokio::test]
async fn a_directory_and_a_missing_folder_are_places() {
    let session = session_of(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("new/deep/");
    all(
        &session,
        &[&text("select 1", &to, ""), &text("select 2", folder.path(), "parallel off extension '.b' allowoverwrite")],
    )
    .await;
    all(&session, &[&format!("unload ('select 3') to 'file://{}/c' parallel off", folder.path().display())]).await;
    assert_eq!(names(folder.path()), ["000.b", "c000", "new/deep/0000_part_00"]);
}

/// Rows of a thousand bytes each, that no compression makes much smaller.
const LONG: &str = "select v, repeat(md5(v::varchar), 31) w from generate_series(1, 12000) s(v) order by v";

#[tokio::test]
async fn files_end_where_they_would_be_too_large() {
    let session = session_of(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    all(&session, &[&text(LONG, &folder.path().join("f"), "parallel off maxfilesize 5 mb csv header")]).await;
    let files = files(folder.path());
    assert_eq!(files.keys().collect::<Vec<_>>(), ["f000", "f001", "f002"]);
    let mut next = 1;
    for (name, bytes) in &files {
        assert!(bytes.len() <= 5 << 20, "{name}: {}", bytes.len());
        let mut lines = std::str::from_utf8(bytes).unwrap().lines();
        assert_eq!(lines.next(), Some("v,w"));
        for line in lines {
            assert_eq!(line.split(',').next(), Some(next.to_string().as_str()), "rows are whole and in order");
            next += 1;
        }
    }
    assert_eq!(next, 12_001);
    // No room is left that a row would have found.
    let (first, longest) = (&files["f000"], 1000);
    assert!(first.len() + longest > 5 << 20);
}

/// As a statement would be executed whose sizes are below what the parser takes.
async fn unload_small(session: &Session, sql: &str, bytes: u64) {
    let Ok(Statement::Unload(parsed)) = parse_one(sql) else { panic!("{sql}") };
    let mut parsed: Unload = *parsed;
    parsed.options.max_file_bytes = bytes;
    if let UnloadFormat::Parquet { row_group_bytes } = &mut parsed.options.format {
        *row_group_bytes = bytes / 4;
    }
    let running = session.begin_at(session.warehouse().pin_newest().await.unwrap()).unwrap();
    unload::unload(&running, parsed).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
}

#[tokio::test]
async fn no_file_is_larger_than_it_may_be() {
    let session = session_of(&[]).await;
    let query = "select v, md5(v::varchar) w from generate_series(1, 60000) s(v)";
    for (options, bytes) in [
        ("", 100_000),
        ("json", 100_000),
        ("gzip", 700_000),
        ("zstd", 700_000),
        ("bzip2", 1_200_000),
        ("parquet", 400_000),
    ] {
        let folder = tempfile::tempdir().unwrap();
        unload_small(&session, &text(query, &folder.path().join("f"), options), bytes).await;
        let files = files(folder.path());
        let sizes: Vec<usize> = files.values().map(Vec::len).collect();
        assert!(files.len() > 1 && sizes.iter().all(|size| *size as u64 <= bytes), "{options}: {sizes:?}");
        if options == "parquet" {
            assert!(sizes[0] > 200_000, "{sizes:?}");
            let mut rows = 0;
            for bytes in files.into_values() {
                let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
                assert!(reader.metadata().num_row_groups() > 1 || rows > 0, "row groups end, too");
                rows += reader.metadata().file_metadata().num_rows();
            }
            assert_eq!(rows, 60_000);
        }
    }
}

#[tokio::test]
async fn partitions_are_folders() {
    let session = warehouse(4, 4, Geometry::default()).await.session();
    all(&session, &[
        "create table t (k int, day date, name varchar(20)) diststyle even",
        "insert into t select v, date '2024-01-01' + (v % 3)::int, case v % 4 when 0 then null when 1 then 'a/b: c' else 'x' end \
         from generate_series(1, 60000) s(v)",
    ])
    .await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("t");
    all(
        &session,
        &[&text("select k, day, name from t order by k desc", &to, "parallel off csv partition by (name, day)")],
    )
    .await;
    let found = files(folder.path());
    let wanted = ["__HIVE_DEFAULT_PARTITION__", "a%2Fb%3A c", "x"]
        .iter()
        .flat_map(|name| (1..=3).map(move |day| format!("t/name={name}/day=2024-01-0{day}/000")));
    assert_eq!(found.keys().cloned().collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    let mut rows = 0;
    for bytes in found.values() {
        let keys: Vec<i32> = std::str::from_utf8(bytes).unwrap().lines().map(|l| l.parse().unwrap()).collect();
        assert!(keys.is_sorted_by(|a, b| a > b), "the query's order holds within a partition");
        rows += keys.len();
    }
    assert_eq!(rows, 60_000);
    let folder = tempfile::tempdir().unwrap();
    all(
        &session,
        &[&text("select * from t", &folder.path().join("u/"), "partition by (day) include manifest parquet")],
    )
    .await;
    let found = names(folder.path());
    assert!(found.contains(&"u/manifest".to_string()) && found.len() == 1 + 3 * 4, "{found:?}");
    assert!(found.contains(&"u/day=2024-01-02/0003_part_00.parquet".to_string()), "{found:?}");
    for (by, state) in [("nothing", SqlState::UNDEFINED_COLUMN), ("k, day, name", SqlState::INVALID_PARAMETER)] {
        let e = error(&session, &text("select * from t", &to, &format!("partition by ({by})"))).await;
        assert!(e.state() == state && e.position().is_some() && e.hint().is_some(), "{e:?}");
    }
}

#[tokio::test]
async fn manifests_list_the_files() {
    let session = session_of(&[
        "create table t (a int, b varchar(10), c decimal(8,2), d super)",
        "insert into t values (1, 'x', 2.5, null)",
    ])
    .await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("f");
    all(&session, &[&text("select * from t", &to, "manifest")]).await;
    let url = format!("file://{}0000_part_00", to.display());
    let manifest = |folder: &Path| -> serde_json::Value {
        serde_json::from_slice(&fs::read(folder.join("fmanifest")).unwrap()).unwrap()
    };
    let brief = serde_json::json!({ "entries": [{ "url": url, "meta": { "content_length": 10 } }] });
    assert_eq!(manifest(folder.path()), brief);
    all(&session, &[&text("select * from t", &to, "manifest verbose allowoverwrite")]).await;
    let verbose = manifest(folder.path());
    assert_eq!(verbose["entries"][0]["meta"], serde_json::json!({ "content_length": 10, "record_count": 1 }));
    assert_eq!(verbose["meta"], serde_json::json!({ "content_length": 10, "record_count": 1 }));
    assert_eq!(verbose["author"]["name"], "Blueshift");
    assert_eq!(
        verbose["schema"]["elements"],
        serde_json::json!([
            { "name": "a", "type": { "base": "integer" } },
            { "name": "b", "type": { "base": "character varying", "max_length": 10 } },
            { "name": "c", "type": { "base": "numeric", "precision": 8, "scale": 2 } },
            { "name": "d", "type": { "base": "super" } },
        ])
    );
}

#[tokio::test]
async fn what_is_there_is_kept_replaced_or_deleted() {
    let session = session_of(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("f_");
    fs::write(folder.path().join("f_000"), "old").unwrap();
    fs::write(folder.path().join("f_001"), "old").unwrap();
    fs::write(folder.path().join("g"), "kept").unwrap();
    let before = files(folder.path());
    let e = error(&session, &text("select 1", &to, "parallel off")).await;
    assert_eq!((e.kind(), e.state()), (ErrorKind::Invalid, SqlState::DUPLICATE_FILE));
    assert!(e.message().contains("f_000") && e.position().is_some() && e.hint().is_some(), "{e:?}");
    assert_eq!(files(folder.path()), before);
    all(&session, &[&text("select 1", &to, "parallel off allowoverwrite")]).await;
    assert_eq!(fs::read(folder.path().join("f_000")).unwrap(), b"1\n");
    assert_eq!(names(folder.path()), ["f_000", "f_001", "g"]);
    all(&session, &[&text("select 2", &to, "parallel on cleanpath")]).await;
    assert_eq!(names(folder.path()), ["f_0000_part_00", "g"]);
    // Of partitions only those that get files are emptied.
    let to = folder.path().join("p");
    let rows = "select v k, v % 2 p from generate_series(1, 4) s(v)";
    all(&session, &[&text(rows, &to, "partition by (p)")]).await;
    fs::write(folder.path().join("p/p=0/stray"), "old").unwrap();
    fs::write(folder.path().join("p/p=1/stray"), "old").unwrap();
    all(&session, &[&text("select 9 k, 0 p", &to, "partition by (p) cleanpath parallel off")]).await;
    assert_eq!(names(&folder.path().join("p")), ["p=0/000", "p=1/0000_part_00", "p=1/stray"]);
}

#[tokio::test]
async fn a_place_within_the_warehouse_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("house");
    let session = Warehouse::open(home.to_str().unwrap()).await.unwrap().session();
    for (to, options) in
        [(home.join("x"), ""), (home.join("_log/1"), "allowoverwrite"), (folder.path().join("h"), "cleanpath")]
    {
        let e = error(&session, &text("select 1", &to, options)).await;
        assert!(e.message().contains("holds this warehouse"), "{e:?}");
    }
    all(&session, &[&text("select 1", &folder.path().join("other"), "cleanpath")]).await;
}

#[tokio::test]
async fn wrong_statements_write_nothing() {
    let session = session_of(&ROWS).await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("f");
    for (query, options, part) in [
        ("select 1 a, 2 a", "json", "two columns are \"a\""),
        ("select 1 a, 2 a", "parquet", "two columns are \"a\""),
        ("select 1 a, 2 b", "fixedwidth 'a:1'", "1 widths where files have 2"),
        ("select 'too long' a", "fixedwidth 'a:3'", "does not fit the width 3"),
        ("select null::varchar a", "fixedwidth 'a:1' null as 'xx'", "NULL AS of 2 characters"),
        ("select [1, 2] a", "csv", "cannot be unloaded as text"),
        ("select nothing from t", "", "nothing"),
        ("select * from missing", "", "missing"),
    ] {
        let e = error(&session, &text(query, &to, options)).await;
        assert!(e.message().contains(part), "{query}: {e:?}");
        assert_eq!(names(folder.path()), [""; 0], "{query}");
    }
    let e = error(&session, "unload ('select\n  nothing from t') to 'f'").await;
    assert_eq!(e.position().map(|p| (p.line, p.column)), Some((2, 3)), "{e:?}");
    let e = error(&session, "unload ('select 1') to 'ftp://bucket/x'").await;
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
    all(&session, &["begin"]).await;
    all(&session, &["insert into t (i) values (77)", &text("select i from t where i = 77", &to, ""), "rollback"]).await;
    assert_eq!(files(folder.path())["f0000_part_00"], b"77\n", "a transaction unloads its own writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_in_the_middle_leaves_no_files() {
    let session = warehouse(4, 4, Geometry::default()).await.session();
    let make = "insert into t select v, repeat('x', 900) from generate_series(1, 40000) s(v)";
    all(&session, &["create table t (k int, v varchar(1000)) diststyle even", make]).await;
    for options in ["", "manifest maxfilesize 5 mb", "parallel off maxfilesize 5 mb", "parquet", "partition by (p)"] {
        let folder = tempfile::tempdir().unwrap();
        let query = "select k, v, k % 5 as p, 1 / (k - 39000) as q from t";
        let e = error(&session, &text(query, &folder.path().join("f"), options)).await;
        assert_eq!(e.state(), SqlState::DIVISION_BY_ZERO, "{options}: {e:?}");
        assert_eq!(names(folder.path()), [""; 0], "{options}");
    }
    assert!(ours(&session, "select pg_last_unload_count() n").await.join("").contains("| 0"));
}

/// A store that the session knows as `full://disk/`.
fn registered(session: &Session, store: Arc<dyn ObjectStore>) {
    session.warehouse().inner.runtime.register_object_store(&Url::parse("full://disk/").unwrap(), store);
}

async fn stored(store: &dyn ObjectStore) -> Vec<String> {
    let mut names: Vec<String> = store.list(None).map_ok(|o| o.location.to_string()).try_collect().await.unwrap();
    names.sort();
    names
}

#[tokio::test]
async fn a_store_that_fails_keeps_no_files() {
    let session = session_of(&[]).await;
    for fault in [Fault::NoEffect, Fault::LostAcknowledgement] {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let faulty = FaultyStore::new(Arc::clone(&objects), None);
        registered(&session, faulty.store());
        let sql = "unload ('select v from generate_series(1, 9) s(v)') to 'full://disk/a/f' partition by (p) manifest";
        let sql = sql.replace("select v", "select v, v % 3 p");
        // Three files and the manifest.
        for put in 1..=4 {
            faulty.fail(faulty.puts() + put, fault);
            let e = error(&session, &sql).await;
            assert_eq!(e.kind(), ErrorKind::Unavailable, "{put}: {e:?}");
            assert_eq!(stored(objects.as_ref()).await, [""; 0], "put {put}, {fault:?}");
        }
        all(&session, &[&sql]).await;
        assert_eq!(stored(objects.as_ref()).await.len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_statement_leaves_no_files() {
    let session = Arc::new(session_of(&[]).await);
    let endless = "select v, v % 7 p, repeat('x', 500) w from generate_series(1, 1000000000000) s(v)";
    for dropped in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let sql = text(endless, &folder.path().join("f"), "maxfilesize 5 mb");
        let statement = {
            let session = Arc::clone(&session);
            tokio::spawn(async move { session.sql(&sql).await })
        };
        while names(folder.path()).len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if dropped {
            statement.abort();
            assert!(statement.await.unwrap_err().is_cancelled());
        } else {
            session.cancel();
            assert_eq!(statement.await.unwrap().unwrap_err().state(), SqlState::QUERY_CANCELED);
        }
        let mut waits = 0;
        while !names(folder.path()).is_empty() {
            assert!(dropped && waits < 500, "files are left: {:?}", names(folder.path()));
            tokio::time::sleep(Duration::from_millis(10)).await;
            waits += 1;
        }
    }
}

#[cfg(feature = "s3")]
mod s3 {
    use super::*;
    use crate::engine::tests::s3::in_environment_of;
    use crate::testing::s3_server::{KEYS, S3Server};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn files_go_to_a_bucket() {
        let server = S3Server::start(&["files"]).await;
        in_environment_of(&server, "unload::s3::in_an_environment").await;
        let names = stored(server.store("files", "").as_ref()).await;
        assert!(names.iter().all(|name| name.starts_with("out/") || name.starts_with("large/")), "{names:?}");
    }

    #[ignore = "runs in the environment that another test makes"]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn in_an_environment() {
        let session = session_of(&["create table t (k bigint, v varchar(1100))"]).await;
        let (id, secret) = KEYS[1];
        let keys = format!("access_key_id '{id}' secret_access_key '{secret}'");
        let rows = "select v, ''line '' || v from generate_series(1, 3000) s(v)";
        let sql = format!("unload ('{rows}') to 's3://files/out/f_' {keys} manifest verbose csv");
        let done = session.sql(&sql).await.unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(done.changed, Some(3000));
        assert_eq!(error(&session, &sql).await.state(), SqlState::DUPLICATE_FILE);
        all(&session, &[&format!("{sql} cleanpath"), &format!("copy t from 's3://files/out/f_0' {keys} csv")]).await;
        assert!(
            ours(&session, "select count(distinct k) n, min(v) v from t").await.join("").contains("3000 | line 1 ")
        );
        // More than a part of an upload.
        all(
            &session,
            &[
                "truncate t",
                &format!("unload ($${LONG}$$) to 's3://files/large/f' parallel off iam_role default"),
                "copy t from 's3://files/large/f000'  iam_role default delimiter '|'",
            ],
        )
        .await;
        assert!(ours(&session, "select count(*) n, sum(k) s from t").await.join("").contains("12000 | 72006000"));
        // Its secret is told nowhere.
        let wrong = sql.replace(secret, "not-the-secret").replace("out/f_", "none/f_");
        let e = error(&session, &wrong).await;
        assert!(!format!("{e:?} {e}").contains("not-the-secret"), "{e:?}");
        assert!(!ours(&session, "select querytxt from stl_query").await.join("").contains("secret'"));
        let logged = ours(&session, "select querytxt from stl_query").await.join("");
        assert!(
            logged.contains("unload") && !logged.contains(secret) && !logged.contains("not-the-secret"),
            "{logged}"
        );
    }
}
