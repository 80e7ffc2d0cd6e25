//! A warehouse in a bucket, and COPY from another.

use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::backup::report;
use super::util::*;
use crate::catalog::WarehouseStore;
use crate::common::ErrorKind;
use crate::engine::StoreOptions;
use crate::engine::Warehouse;
use crate::engine::location::Location;
use crate::testing::s3_server::{KEYS, S3Server};

const MANY: &str = "insert into t select v, 'text ' || (v * 7919 % 100003) from generate_series(1, 30000) g(v)";
const SUMS: &str = "select count(*) n, sum(k) s, min(v) a, max(v) b from t";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warehouse_lives_on_s3() {
    let server = S3Server::start(&["bucket"]).await;
    let open = async || {
        let store = WarehouseStore::new(server.store("bucket", "dw"));
        Warehouse::builder().slices(4).threads(2).store(store).open("s3://bucket/dw").await.unwrap()
    };
    let session = open().await.session();
    session.sql("create table t (k bigint, v varchar(30)) distkey(k) sortkey(k)").await.unwrap();
    session.sql("insert into t values (1, 'one'), (2, 'two')").await.unwrap();
    session.sql(MANY).await.unwrap();
    let (_, state) = state(session.warehouse(), "t").await;
    assert!(state.segments.iter().any(|s| s.extent.len > 10_000), "an object was needed");
    let answer = ours(&session, SUMS).await;
    assert!(answer.join("").contains("30002"), "{answer:?}");
    let other = open().await;
    assert!(!other.was_created());
    assert_eq!(ours(&other.session(), SUMS).await, answer);
    assert_eq!(ours(&other.session(), "select v from t where k = 29999").await.len(), 2);
    other.session().sql("insert into t values (0, 'zero')").await.unwrap();
    assert!(ours(&session, SUMS).await.join("").contains("30003"));
}

/// Locations take endpoint and keys from the environment, which a process has one of: a process of its own, then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locations_and_copy_reach_an_endpoint_of_the_environment() {
    let server = S3Server::start(&["warehouses", "files"]).await;
    let files = server.store("files", "in");
    for part in 0..3 {
        let text: String = (0..1000).map(|i| format!("{},line {i}\n", part * 1000 + i)).collect();
        files.put(&format!("part-{part}.csv").into(), text.into()).await.unwrap();
    }
    files.put(&"rows.parquet".into(), parquet().into()).await.unwrap();
    in_environment_of(&server, "s3::in_an_environment").await;
}

/// Runs a test, named as it stands below `engine::tests`, in a process whose environment names the server.
pub async fn in_environment_of(server: &S3Server, test: &str) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "--ignored", "--nocapture", &format!("engine::tests::{test}")])
        .env("AWS_ENDPOINT", &server.endpoint)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", KEYS[0].0)
        .env("AWS_SECRET_ACCESS_KEY", KEYS[0].1)
        .env_remove("AWS_ALLOW_HTTP")
        .env_remove("AWS_SESSION_TOKEN");
    let child = Arc::new(parking_lot::Mutex::new(child.spawn().unwrap()));
    let status = tokio::task::spawn_blocking(move || child.lock().wait()).await.unwrap().unwrap();
    assert!(status.success());
}

/// A file of one row.
fn parquet() -> Vec<u8> {
    let columns: [(&str, ArrayRef); 2] =
        [("k", Arc::new(Int64Array::from(vec![5000]))), ("v", Arc::new(StringArray::from(vec!["a row"])))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[ignore = "runs in the environment that another test makes"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_an_environment() {
    let location = "s3://warehouses/of/mine";
    let warehouse = Warehouse::builder().slices(2).threads(2).open(location).await.unwrap();
    let session = warehouse.session();
    session.sql("create table t (k bigint, v varchar(30)) distkey(k)").await.unwrap();
    let (id, secret) = KEYS[1];
    let copy = format!("copy t from 's3://files/in/part-' access_key_id '{id}' secret_access_key '{secret}' csv");
    session.sql(&copy).await.unwrap_or_else(|e| panic!("{e:?}"));
    // The environment's keys do as well.
    session.sql("copy t from 's3://files/in/part-1.csv' iam_role default region 'us-east-1' csv").await.unwrap();
    let answer = ours(&session, "select count(distinct k) n, min(k) a, max(k) b, count(*) c from t").await;
    assert!(answer.iter().any(|l| l.contains("2999") && l.contains("4000")), "{answer:?}");
    let wrong = copy.replace(secret, "not-the-secret");
    let e = session.sql(&wrong).await.unwrap_err();
    assert!(matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Invalid), "{e:?}");
    let e = session.sql(&copy.replace("part-", "nothing-")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid, "{e:?}");
    // What a COPY may read, no other statement may: not with its keys.
    let rows = copy.replace("part-", "rows.parquet").replace(" csv", " format as parquet");
    session.sql(&rows).await.unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(ours(&session, "select v from t where k = 5000").await.len(), 2);
    for reader in [&session, &warehouse.session()] {
        let e = error(reader, "select * from 's3://files/in/rows.parquet'").await;
        assert!(e.message().contains("s3://files"), "{e:?}");
    }
    let e = session.sql(&rows.replace(secret, "not-the-secret")).await.unwrap_err();
    assert!(matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Invalid), "{e:?}");
    session.sql(MANY).await.unwrap();
    let answer = ours(&session, SUMS).await;
    assert_eq!(ours(&Warehouse::open(location).await.unwrap().session(), SUMS).await, answer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_lives_on_s3() {
    let server = S3Server::start(&["backups"]).await;
    in_environment_of(&server, "s3::backups_in_an_environment").await;
    // Nothing but what a place of backups has.
    let store = server.store("backups", "");
    let all: Vec<_> = store.list(None).map_ok(|o| o.location.to_string()).try_collect().await.unwrap();
    assert!(all.iter().all(|name| name.starts_with("of/mine/")), "{all:?}");
}

#[ignore = "runs in the environment that another test makes"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_in_an_environment() {
    let location = "s3://backups/of/mine";
    let open = async || Warehouse::builder().slices(4).threads(2).open("memory://").await.unwrap().session();
    let session = open().await;
    session.sql("create table t (k bigint, v varchar(30)) distkey(k) sortkey(k)").await.unwrap();
    session.sql(MANY).await.unwrap();
    let (first, first_sum) = report(&session, &format!("backup to '{location}'")).await;
    assert_eq!((first[2], first[5]), (30_000, 0));
    let before = ours(&session, SUMS).await;
    session.sql("insert into t values (0, 'zero')").await.unwrap();
    let (second, second_sum) = report(&session, &format!("backup to '{location}'")).await;
    assert_eq!((second[4], second[5]), (2, first[4] - 1), "the new row and its table's state");
    assert_eq!(ours(&session, &format!("show backups from '{location}'")).await.len(), 3);
    let other = open().await;
    assert_eq!(report(&other, &format!("restore from '{location}'")).await.1, second_sum);
    assert_eq!(ours(&other, SUMS).await, ours(&session, SUMS).await);
    let other = open().await;
    assert_eq!(report(&other, &format!("restore from '{location}' as of {}", first[0])).await.1, first_sum);
    assert_eq!(ours(&other, SUMS).await, before);

    let (place, _) = Location::parse(location).unwrap().open(&StoreOptions::new()).await.unwrap();
    let listed: Vec<_> = place.objects().list(Some(&"data".into())).try_collect().await.unwrap();
    let largest = listed.into_iter().max_by_key(|o| o.size).unwrap().location;
    let mut bytes = place.objects().get(&largest).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[1000] ^= 4;
    place.objects().put(&largest, bytes.into()).await.unwrap();
    let other = open().await;
    let e = error(&other, &format!("restore from '{location}'")).await;
    assert_eq!((e.kind(), e.object()), (ErrorKind::Corrupt, Some(largest.as_ref())), "{e:?}");
    let (mended, _) = report(&session, &format!("backup to '{location}' verify")).await;
    assert_eq!(mended[4], 1);
    assert_eq!(report(&other, &format!("restore from '{location}'")).await.1, second_sum);
}
