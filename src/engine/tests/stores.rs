//! COPY, UNLOAD and warehouses over stores that throttle, dawdle, hang up and fail.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use object_store::ObjectStore;

use super::util::*;
use crate::common::{Error, ErrorKind};
use crate::engine::{Session, StoreOptions, Warehouse};
use crate::testing::faulty_server::Faults;
use crate::testing::s3_server::{KEYS, S3Server};

const FILES: usize = 35;
const SUMS: &str = "select count(*) n, sum(k) s, count(distinct v) d, max(length(v)) l from t";
/// Some 12 MB of lines: files of several parts.
const UNLOAD: &str = "unload ('select k * 100 + g.v as k, rpad(t.v, 1000, ''x'') v from t, generate_series(0, 2) g(v)') \
                      to 's3://bucket/out/f_' iam_role default maxfilesize 5.5 mb csv";
/// How often each row is unloaded, for that.
const FOR_PARTS: i32 = 3;
const COPY: &str = "copy t from 's3://bucket/in/part-' iam_role default csv";

/// How a session reaches the server, in a test's time.
pub fn options(server: &S3Server) -> StoreOptions {
    StoreOptions::new()
        .with("AWS_ENDPOINT", &server.endpoint)
        .with("AWS_REGION", "us-east-1")
        .with("AWS_ACCESS_KEY_ID", KEYS[0].0)
        .with("AWS_SECRET_ACCESS_KEY", KEYS[0].1)
        .give_up_after(Duration::from_millis(700))
        .first_pause(Duration::from_millis(2))
        .stall_after(Duration::from_millis(500))
        .part_bytes(5 << 20)
}

/// A bucket with files to load.
async fn bucket() -> S3Server {
    let server = S3Server::start(&["bucket"]).await;
    let folder = server.directory().join("bucket/in");
    std::fs::create_dir(&folder).unwrap();
    for part in 0..FILES {
        // One is much larger than the rest.
        let lines = if part == 3 { 2000 } else { 60 };
        let text: String = (0..lines).map(|i| format!("{},line {i} of {part}\n", part * 10_000 + i)).collect();
        std::fs::write(folder.join(format!("part-{part:02}.csv")), text).unwrap();
    }
    // Of what does not begin so nothing is read.
    std::fs::write(folder.join("other.csv"), "no,number,at all\n").unwrap();
    server
}

async fn open(server: &S3Server) -> Session {
    let warehouse = Warehouse::builder().slices(2).threads(2).stores(options(server));
    let session = warehouse.open("s3://bucket/dw").await.unwrap().session();
    session.sql("create table if not exists t (k bigint, v varchar(1000)) distkey(k)").await.unwrap();
    session
}

async fn names(server: &S3Server, folder: &str) -> Vec<String> {
    let listed = server.store("bucket", folder).list(None).map_ok(|file| file.location.to_string());
    let mut names: Vec<String> = listed.try_collect().await.unwrap();
    names.sort();
    names
}

/// Loads, reads, unloads and loads again, whatever goes wrong meanwhile.
async fn everything(faults: Faults, copies: i32) -> (S3Server, Session) {
    let server = bucket().await;
    server.set_faults(faults);
    let session = open(&server).await;
    all(&session, &[COPY]).await;
    let sums = ours(&session, SUMS).await;
    assert!(sums.join("").contains("4040 |"), "{sums:?}");
    let unload = UNLOAD.replace("(0, 2)", &format!("(1, {copies})"));
    all(&session, &[&unload, "create table u (k bigint, v varchar(1000))"]).await;
    all(&session, &["copy u from 's3://bucket/out/f_' iam_role default csv"]).await;
    let unloaded = ours(&session, "select count(*) n, sum(k) s, count(distinct v) d, min(length(v)) l from u").await;
    let expected = format!(
        "select count(*) * {copies} n, sum(k) * {copies} * 100 + count(*) * {copies} * ({copies} + 1) / 2 s, \
         count(distinct v) d, 1000 l from t"
    );
    assert_eq!(unloaded[0], ours(&session, &expected).await[0]);
    assert!(server.open_uploads().is_empty());
    server.set_faults(Faults::default());
    // Files are cut at a size that takes parts.
    let written = names(&server, "out").await;
    assert_eq!(written.iter().any(|name| name.ends_with("_part_01")), copies >= FOR_PARTS, "{written:?}");
    // What is loaded is known by what the store says of it.
    all(&session, &["create table w (k bigint, v varchar(1000))"]).await;
    let skipping = COPY.replace("copy t", "copy w") + " skip loaded";
    for new in [4040, 0] {
        assert_eq!(session.sql(&skipping).await.unwrap().tag, format!("COPY {new}"));
    }
    let touched = server.directory().join("bucket/in/part-07.csv");
    std::fs::write(&touched, "70000,other\n").unwrap();
    assert_eq!(session.sql(&skipping).await.unwrap().tag, "COPY 1");
    // A file's whole name is a prefix of names, too.
    std::fs::write(server.directory().join("bucket/in/part-07.csv.more"), "70001,more\n").unwrap();
    assert_eq!(
        session.sql("copy w from 's3://bucket/in/part-07.csv' iam_role default csv").await.unwrap().tag,
        "COPY 2"
    );
    // Of no rows, and of a name that a prefix does not look for.
    for (name, rows) in [("in/empty.csv", 0), ("in/_hidden.csv", 1)] {
        std::fs::write(server.directory().join("bucket").join(name), "1,x\n".repeat(rows)).unwrap();
        let copied = session.sql(&format!("copy w from 's3://bucket/{name}' iam_role default csv")).await.unwrap();
        assert_eq!(copied.tag, format!("COPY {rows}"));
    }
    // Another process sees the same.
    assert_eq!(ours(&open(&server).await, SUMS).await, sums);
    (server, session)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_turned() {
    let (server, _) = everything(Faults { page_keys: 7, ..Faults::default() }, FOR_PARTS).await;
    assert_eq!(server.trouble.throttled.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttling_store_is_asked_again() {
    let faults = Faults { seed: 7, throttle_one_in: 4, throttle_first: 1, page_keys: 7, ..Faults::default() };
    let (server, _) = everything(faults, FOR_PARTS).await;
    assert!(server.trouble.throttled.load(Ordering::Relaxed) > 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_store_is_waited_for() {
    let slow = Some((64 << 10, Duration::from_millis(1)));
    everything(Faults { slow, page_keys: 7, ..Faults::default() }, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_off_goes_on_where_it_broke() {
    // Listings break as files do: a page of one has more bytes.
    let faults = Faults { seed: 3, cut_first: (3, 700), page_keys: 7, throttle_one_in: 9, ..Faults::default() };
    let (server, _) = everything(faults, FOR_PARTS).await;
    assert!(server.trouble.cut.load(Ordering::Relaxed) > 100, "{:?}", server.trouble.cut);
}

/// Parquet, whose files are read by parts in any order, over the same trouble.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_columns_go_on_where_they_broke() {
    let server = bucket().await;
    let session = open(&server).await;
    let unload =
        "unload ('select * from t') to 's3://bucket/columns/f_' iam_role default parquet manifest allowoverwrite";
    let copy = "copy p from 's3://bucket/columns/f_manifest' iam_role default parquet manifest";
    all(&session, &[COPY, "create table p (k bigint, v varchar(1000))"]).await;
    let sums = ours(&session, SUMS).await;
    let of_p = SUMS.replace("from t", "from p");
    for seed in 0..3 {
        server.set_faults(Faults { seed, throttle_one_in: 4, cut_first: (3, 900), page_keys: 7, ..Faults::default() });
        all(&session, &["truncate p", unload, copy]).await;
        assert_eq!(ours(&session, &of_p).await, sums);
    }
    assert!(server.trouble.throttled.load(Ordering::Relaxed) > 10 && server.trouble.cut.load(Ordering::Relaxed) > 10);
    assert!(server.open_uploads().is_empty());

    // One that stays away is named, and nothing is loaded.
    server.set_faults(Faults {
        refuse: Some(Arc::new(|line: &str| line.contains("columns/f_0001"))),
        ..Faults::default()
    });
    let (e, _) = failed(&session, copy).await;
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e:?}");
    assert!(e.to_string().contains("s3://bucket/columns/f_0001_part_00.parquet"), "{e}");
    let (e, _) = failed(&session, unload).await;
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e:?}");
    server.set_faults(Faults::default());
    assert_eq!(ours(&session, &of_p).await, sums);
}

/// The error of a statement, and how long it took.
async fn failed(session: &Session, sql: &str) -> (Error, Duration) {
    let began = Instant::now();
    (error(session, sql).await, began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_for_ever_is_given_up() {
    let server = bucket().await;
    let session = open(&server).await;
    all(&session, &["insert into t values (-1, 'before')"]).await;
    let before = ours(&session, SUMS).await;
    let refuse = |picks: fn(&str) -> bool| Faults { refuse: Some(Arc::new(picks)), ..Faults::default() };

    for (picks, named) in [
        // One of the files, and the listing.
        ((|line: &str| line.contains("part-17.csv")) as fn(&str) -> bool, "s3://bucket/in/part-17.csv"),
        (|line| line.starts_with("GET /bucket?"), "s3://bucket/in/part-"),
    ] {
        server.set_faults(refuse(picks));
        let (e, took) = failed(&session, COPY).await;
        assert_eq!(e.kind(), ErrorKind::Unavailable, "{e:?}");
        for said in [named, "503", "tries in", "HINT"] {
            assert!(e.to_string().contains(said), "{said}: {e}");
        }
        assert!(took > Duration::from_millis(500) && took < Duration::from_secs(8), "{took:?}");
        // The warehouse is on the same server and answers.
        assert_eq!(ours(&session, SUMS).await, before);
    }

    // A body that never gets anywhere is a failure like any other.
    server.set_faults(Faults { cut_first: (1_000_000, 0), cut_names: "/in/", ..Faults::default() });
    let (e, _) = failed(&session, "copy t from 's3://bucket/in/part-03.csv' iam_role default csv").await;
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e:?}");
    assert!(e.message().contains("part-03.csv") && e.message().contains("tries in"), "{e:?}");

    // Everything is down.
    server.set_faults(refuse(|_| true));
    let (e, took) = failed(&session, COPY).await;
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e:?}");
    assert!(took < Duration::from_secs(12), "{took:?}");
    server.set_faults(Faults::default());
    assert_eq!(ours(&session, SUMS).await, before);
    all(&session, &[COPY]).await;
    let loaded = ours(&session, SUMS).await;
    assert!(loaded.join("").contains("4041 |"), "{loaded:?}");

    // Parts, the end of an upload, and small files.
    for picks in [
        (|line: &str| line.starts_with("PUT /bucket/out/") && line.contains("partNumber=2")) as fn(&str) -> bool,
        |line| line.starts_with("POST /bucket/out/") && line.contains("uploadId="),
        |line| line.starts_with("PUT /bucket/out/") && !line.contains("partNumber="),
        |line| line.starts_with("POST /bucket/out/") && !line.contains("uploadId="),
    ] {
        server.set_faults(refuse(picks));
        let (e, took) = failed(&session, UNLOAD).await;
        assert_eq!(e.kind(), ErrorKind::Unavailable, "{e:?}");
        assert!(e.message().contains("cannot write s3://bucket/out/f_") && e.message().contains("tries in"), "{e:?}");
        assert!(took < Duration::from_secs(12), "{took:?}");
        assert_eq!((server.open_uploads(), names(&server, "out").await), (Vec::new(), Vec::<String>::new()));
        assert_eq!(ours(&session, SUMS).await, loaded);
    }
    // What cannot be deleted either is named.
    server.set_faults(refuse(|line| line.contains("/bucket/out/") && !line.starts_with("POST")));
    let (e, _) = failed(&session, UNLOAD).await;
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e:?}");
    assert!(e.detail().is_some_and(|detail| detail.contains("s3://bucket/out/f_")), "{e:?}");
    server.set_faults(Faults::default());
    all(&session, &[&format!("{UNLOAD} cleanpath")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unload_that_ends_early_leaves_nothing() {
    let server = bucket().await;
    let session = open(&server).await;
    all(&session, &[COPY]).await;
    // A row that fails behind rows of several parts.
    let fails = UNLOAD
        .replace("k * 100 + g.v as k", "1 / (340059 - k) as k")
        .replace("from t,", "from (select * from t order by k) t,");
    let e = error(&session, &fails.replace("csv", "csv parallel off")).await;
    assert_eq!(e.kind(), ErrorKind::Invalid, "{e:?}");
    assert_eq!((server.open_uploads(), names(&server, "out").await), (Vec::new(), Vec::<String>::new()));

    // One that nobody waits for any more, while a part is on its way.
    let stuck = |line: &str| line.contains("partNumber=2");
    server.set_faults(Faults { refuse: Some(Arc::new(stuck)), ..Faults::default() });
    let waited = tokio::time::timeout(Duration::from_millis(900), session.sql(UNLOAD)).await;
    assert!(waited.is_err(), "it was stuck");
    let since = Instant::now();
    while !server.open_uploads().is_empty() || !names(&server, "out").await.is_empty() {
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", server.open_uploads());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.set_faults(Faults::default());
    all(&session, &[UNLOAD]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_is_not_mixed() {
    let server = bucket().await;
    let session = open(&server).await;
    let path = server.directory().join("bucket/in/part-03.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    for part in [0, 3] {
        // Slowly, and broken off: the rest is asked for when the file is another one.
        let slow = Some((512, Duration::from_millis(10)));
        server.set_faults(Faults { slow, cut_first: (1, 20_000), ..Faults::default() });
        let copy = format!("copy t from 's3://bucket/in/part-0{part}.csv' iam_role default csv");
        let (copied, ()) = tokio::join!(session.sql(&copy), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            std::fs::write(&path, text.replace("line", "LINE")).unwrap();
        });
        match (part, copied) {
            (3, Err(e)) => {
                assert_eq!(e.kind(), ErrorKind::Unavailable, "{e:?}");
                assert!(e.message().contains("part-03.csv has changed while it was read"), "{e:?}");
            }
            (0, copied) => drop(copied.unwrap()),
            (_, Ok(_)) => panic!("it was mixed"),
            (_, Err(e)) => panic!("{e:?}"),
        }
        std::fs::write(&path, &text).unwrap();
    }
    server.set_faults(Faults::default());
    assert!(ours(&session, "select count(*) n from t").await.join("").contains("| 60 "));
}
