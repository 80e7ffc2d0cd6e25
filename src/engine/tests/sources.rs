//! Where COPY and UNLOAD find files, with whose keys, and that nobody else learns of these.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;

use super::stores::options;
use super::typed_files::avro;
use super::util::*;
use crate::common::{ErrorKind, SqlState};
use crate::engine::{Session, StoreOptions, Warehouse};
use crate::testing::faulty_server::Faults;
use crate::testing::s3_server::{KEYS, S3Server};
use crate::testing::web_server::{Manners, WebServer};

async fn session(options: StoreOptions) -> Session {
    let warehouse = Warehouse::builder().slices(2).threads(2).stores(options).open("memory://").await.unwrap();
    let session = warehouse.session();
    session.sql("create table t (k bigint, v varchar(100))").await.unwrap();
    session
}

/// Of patience for a test.
fn patient() -> StoreOptions {
    StoreOptions::new()
        .give_up_after(Duration::from_millis(500))
        .first_pause(Duration::from_millis(2))
        .stall_after(Duration::from_millis(300))
}

fn csv(rows: usize) -> String {
    (0..rows).map(|i| format!("{i},line {i}\n")).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn batch(rows: i64) -> RecordBatch {
    let text: StringArray = (0..rows).map(|i| Some(format!("line {i}"))).collect();
    let columns: [(&str, ArrayRef); 2] = [("k", Arc::new((0..rows).collect::<Int64Array>())), ("v", Arc::new(text))];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn parquet(rows: i64) -> Vec<u8> {
    let batch = batch(rows);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// The rows that a COPY loads.
async fn loaded(session: &Session, copy: &str) -> i64 {
    all(session, &["truncate t", copy]).await;
    let found = batches(session, "select count(*) n from t where v = 'line ' || k").await;
    found[0].column(0).as_any().downcast_ref::<Int64Array>().unwrap().value(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_reads_files_of_a_web_server() {
    let server = WebServer::start(Manners::default()).await;
    let url = &server.url;
    let session = session(patient()).await;
    server.put("/in/rows.csv", csv(500));
    server.put("/in/with%20space.csv", csv(3));
    server.put("/in/rows.csv.gz", gzip(&csv(2000)));
    server.put("/in/rows.parquet", parquet(700));
    server.put("/in/rows.avro", avro(&[batch(600), batch(600)], None));
    server.put("/in/rows.json", "{\"a\": 1, \"b\": \"line 1\"}\n");
    server.put("/in/paths", "{\"jsonpaths\": [\"$.a\", \"$.b\"]}");
    server.put("/in/empty.csv", "");
    let entries = ["csv", "parquet"].map(|kind| format!("{{\"url\": \"{url}/in/rows.{kind}\"}}"));
    server.put("/in/manifest", format!("{{\"entries\": [{}, {}]}}", entries[0], entries[0]));
    for faults in [
        Faults::default(),
        Faults { throttle_first: 2, slow: Some((1000, Duration::from_millis(1))), ..Faults::default() },
        Faults { cut_first: (4, 900), ..Faults::default() },
    ] {
        server.set_faults(faults);
        for (rest, rows) in [
            ("rows.csv' csv", 500),
            ("rows.csv#part' csv", 500),
            ("with%20space.csv' csv", 3),
            ("rows.csv.gz' csv gzip", 2000),
            ("rows.parquet' format parquet", 700),
            ("rows.avro' format avro 'auto'", 1200),
            (&format!("rows.json' json '{url}/in/paths'"), 1),
            ("manifest' csv manifest", 1000),
            ("empty.csv' csv", 0),
        ] {
            assert_eq!(loaded(&session, &format!("copy t from '{url}/in/{rest}")).await, rows, "{rest}");
        }
    }
    assert!(server.trouble.cut.load(Ordering::Relaxed) > 10);
    server.set_faults(Faults::default());

    for (rest, kind, said) in [
        ("none.csv' csv", ErrorKind::Invalid, "there is no file"),
        ("' csv", ErrorKind::Invalid, "cannot tell which files"),
        ("*.csv' csv", ErrorKind::Invalid, "glob"),
        ("part-[0-9]' csv", ErrorKind::Invalid, "glob"),
        ("rows.csv' csv region 'x'", ErrorKind::Invalid, "no credentials"),
        ("rows.csv' csv credentials 'profile=mine'", ErrorKind::Invalid, "no credentials"),
    ] {
        let e = error(&session, &format!("copy t from '{url}/in/{rest}")).await;
        assert_eq!(e.kind(), kind, "{rest}: {e:?}");
        assert!(e.message().contains(said) && e.hint().is_some() && e.position().is_some(), "{rest}: {e:?}");
    }
    let e = error(&session, &format!("unload ('select 1 a') to '{url}/out/f'")).await;
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
    server.set_faults(Faults { refuse: Some(Arc::new(|_| true)), ..Faults::default() });
    for rest in ["rows.csv' csv", "rows.parquet' format parquet"] {
        let e = error(&session, &format!("copy t from '{url}/in/{rest}")).await;
        assert!(e.kind() == ErrorKind::Unavailable && e.message().contains("tries in"), "{e:?}");
        assert!(e.message().contains("/in/rows."), "{e:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_servers_need_not_be_clever() {
    for (ranges, tags, heads) in [(false, false, true), (true, false, true), (false, true, false), (true, true, false)]
    {
        let server = WebServer::start(Manners { ranges, tags, heads, query: Some("sig=hush") }).await;
        let url = &server.url;
        server.put("/rows.csv", csv(3000));
        server.put("/rows.parquet", parquet(100));
        let session = session(patient()).await;
        let case = format!("ranges {ranges}, tags {tags}, HEAD {heads}");
        server.set_faults(Faults { cut_first: (3, 5000), ..Faults::default() });
        assert_eq!(loaded(&session, &format!("copy t from '{url}/rows.csv?sig=hush' csv")).await, 3000, "{case}");
        server.set_faults(Faults::default());
        let copy = format!("copy t from '{url}/rows.parquet?sig=hush' format parquet");
        match ranges {
            true => assert_eq!(loaded(&session, &copy).await, 100, "{case}"),
            // A Parquet file is read from its end.
            false => assert_eq!(error(&session, &copy).await.kind(), ErrorKind::Unsupported, "{case}"),
        }
        let e = error(&session, &format!("copy t from '{url}/rows.csv' csv")).await;
        assert_eq!(e.kind(), ErrorKind::Invalid, "{case}: {e:?}");
    }
}

/// As emulators of Google's server want it: writes are signed even where signatures are to be left out.
const EMULATED: &str = r#"{"private_key": "", "private_key_id": "", "client_email": "", "disable_oauth": true}"#;

/// Google's and Azure's servers are asked in their own ways.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_providers_are_reached_by_their_addresses() {
    let server = WebServer::start(Manners::default()).await;
    server.put("/bucket/in/rows.csv", csv(40));
    server.put("/mine/bucket/in/rows.csv", csv(50));
    for part in 0..5 {
        server.put(&format!("/bucket/parts/p-{part}.csv"), csv(3));
        server.put(&format!("/mine/bucket/parts/p-{part}.csv"), csv(3));
    }
    let options = patient()
        .with("GOOGLE_BASE_URL", &server.url)
        .with("GOOGLE_SERVICE_ACCOUNT_KEY", EMULATED)
        .with("AZURE_STORAGE_ACCOUNT_NAME", "mine")
        .with("AZURE_ENDPOINT", format!("{}/mine", server.url))
        .with("AZURE_SKIP_SIGNATURE", "true");
    let session = session(options).await;
    let put = "parallel off allowoverwrite csv";
    for (address, rows, file) in [
        ("gs://bucket", 40, "/bucket/out/f000"),
        ("az://bucket", 50, "/mine/bucket/out/f000"),
        ("azure://bucket", 50, "/mine/bucket/out/f000"),
        ("abfs://bucket", 50, "/mine/bucket/out/f000"),
        ("abfss://bucket@mine.dfs.core.windows.net", 50, "/mine/bucket/out/f000"),
    ] {
        assert_eq!(loaded(&session, &format!("copy t from '{address}/in/rows.csv' csv")).await, rows, "{address}");
        // A prefix, a folder and a glob, of more files than a page of a list has.
        for (some, rows) in [("parts/p-", 15), ("parts/", 15), ("parts/p-[13].csv", 6), ("parts/p-4", 3)] {
            assert_eq!(
                loaded(&session, &format!("copy t from '{address}/{some}' csv")).await,
                rows,
                "{address}/{some}"
            );
        }
        assert_eq!(loaded(&session, &format!("copy t from '{address}/in/rows.csv' csv")).await, rows, "{address}");
        server.put(file, "");
        all(&session, &[&format!("unload ('select count(*) n from t') to '{address}/out/f' {put}")]).await;
        assert_eq!(server.file(file).unwrap(), format!("{rows}\n"), "{address}");
        // What is of another provider is told to none.
        let keys = "access_key_id 'k' secret_access_key 'hush'";
        let e = error(&session, &format!("copy t from '{address}/in/rows.csv' csv {keys}")).await;
        assert!(e.kind() == ErrorKind::Invalid && e.hint().is_some(), "{e:?}");
    }
    let other = "credentials 'azure_storage_account_name=mine;azure_storage_account_key=aHVzaA=='";
    assert_eq!(loaded(&session, &format!("copy t from 'az://bucket/in/rows.csv' csv {other}")).await, 50);
    for wrong in [
        format!("copy t from 's3://bucket/in/rows.csv' csv {other}"),
        format!("copy t from 'gs://bucket/in/rows.csv' csv {other}"),
        "copy t from 'gs://bucket/in/rows.csv' csv credentials 'google_no_such_thing=hush'".to_string(),
        "copy t from 'gs:///in/rows.csv' csv".to_string(),
        "unload ('select 1 a') to 'az:///x'".to_string(),
    ] {
        let e = error(&session, &wrong).await;
        assert_eq!(e.kind(), ErrorKind::Invalid, "{wrong}: {e:?}");
        assert!(!format!("{e:?}").contains("hush") && !format!("{e:?}").contains("aHVz"), "{e:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn profiles_have_keys() {
    let server = S3Server::start(&["files"]).await;
    let files = server.directory().join("files");
    std::fs::write(files.join("rows.csv"), csv(20)).unwrap();
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let keys = |name: &str, (id, secret): (&str, &str)| {
        format!("[{name}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n")
    };
    let text = keys("default", ("NOBODY", "hush")) + &keys("loader", KEYS[1]);
    std::fs::write(home.path().join(".aws/credentials"), text).unwrap();
    let config = format!("[profile loader]\nregion = us-east-1\nendpoint_url = {}\n", server.endpoint);
    std::fs::write(home.path().join(".aws/config"), config).unwrap();
    let home = home.path().to_str().unwrap();
    let profiles = patient().with("HOME", home);
    let copy = "copy t from 's3://files/rows.csv' csv";

    // By the statement, also before keys of the environment; by the options; and not without.
    let named = format!("{copy} credentials 'profile=loader'");
    assert_eq!(loaded(&session(profiles.clone()).await, &named).await, 20);
    let others = options(&server).with("HOME", home).with("AWS_ACCESS_KEY_ID", "NOBODY");
    let session_of_others = session(others).await;
    assert_eq!(loaded(&session_of_others, &named).await, 20);
    assert_eq!(error(&session_of_others, copy).await.kind(), ErrorKind::Invalid);
    assert_eq!(loaded(&session(profiles.clone().with("AWS_PROFILE", "loader")).await, copy).await, 20);
    let endpoint = profiles.clone().with("AWS_ENDPOINT", &server.endpoint);
    let e = error(&session(endpoint).await, copy).await;
    assert_eq!(e.kind(), ErrorKind::Invalid, "{e:?}");
    assert!(e.message().contains("403") && e.hint().is_some_and(|hint| hint.contains("credentials")), "{e:?}");
    let e = error(&session(profiles).await, &named.replace("loader", "nobody")).await;
    assert_eq!((e.kind(), e.state()), (ErrorKind::Invalid, SqlState::INVALID_PARAMETER));
    assert!(e.message().contains("there is no profile \"nobody\" in "), "{e:?}");
}

/// Every way to say a secret, with statements that succeed and that fail; then every table that tells of statements.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_told_nowhere() {
    let (server, web) = tokio::join!(
        S3Server::start(&["bucket"]),
        WebServer::start(Manners { query: Some("sig=h0sh"), ..Manners::default() })
    );
    std::fs::create_dir(server.directory().join("bucket/in")).unwrap();
    std::fs::write(server.directory().join("bucket/in/rows.csv"), csv(20)).unwrap();
    std::fs::write(server.directory().join("bucket/in/bad.csv"), "1,line 1\nnone,none\n").unwrap();
    std::fs::write(server.directory().join("bucket/in/rows.parquet"), parquet(5)).unwrap();
    web.put("/rows.csv", csv(20));
    web.put("/bad.csv", "1,line 1\nnone,none\n");
    web.put("/rows.parquet", parquet(5));
    let open = async || {
        let warehouse = Warehouse::builder().slices(2).threads(2).stores(options(&server));
        warehouse.open("s3://bucket/dw").await.unwrap()
    };
    let warehouse = open().await;
    let session = warehouse.session();
    session.sql("create table t (k bigint, v varchar(100))").await.unwrap();
    let (id, secret) = KEYS[1];
    let ways = |secret: &str| {
        [
            format!("access_key_id '{id}' secret_access_key '{secret}'"),
            format!("access_key_id '{id}' secret_access_key '{secret}' session_token 'h0sh-token'"),
            format!("credentials 'aws_access_key_id={id};aws_secret_access_key={secret}'"),
            format!("credentials $$aws_access_key_id={id};aws_secret_access_key={secret}$$"),
        ]
    };
    let mut statements = Vec::new();
    for way in ways(secret).into_iter().chain(ways("h0sh-wrong")) {
        for from in [
            "rows.csv' csv",
            "bad.csv' csv",
            "bad.csv' csv maxerror 5",
            "none.csv' csv",
            "rows.parquet' parquet",
            "' csv",
        ] {
            statements.push(format!("copy t from 's3://bucket/in/{from} {way}"));
        }
        statements.push(format!("unload ('select 1 a') to 's3://bucket/out/f' allowoverwrite {way}"));
        statements.push(format!("copy t from 's3://bucket/in/rows.csv' {way} no_such_option 'h0sh'"));
        statements.push(format!("prepare p as copy t from 's3://bucket/in/rows.csv' csv {way}"));
        statements.push(format!("explain copy t from 's3://bucket/in/rows.csv' csv {way}"));
    }
    for query in ["sig=h0sh", "sig=h0sh-wrong", "X-Amz-Credential=h0sh&X-Amz-Signature=h0sh", "k=h0sh"] {
        for file in
            ["rows.csv?Q' csv", "bad.csv?Q' csv", "rows.parquet?Q' parquet", "none.csv?Q' csv", "?Q' csv", "*?Q' csv"]
        {
            statements.push(format!("copy t from '{}/{}", web.url, file.replace('Q', query)));
        }
    }
    let host = web.url.trim_start_matches("http://");
    statements.push(format!("copy t from 'http://me:h0sh@{host}/rows.csv?sig=h0sh' csv"));
    statements.push("copy t from 'http://me:h0sh@/' csv".into());
    statements.push(
        "copy t from 'az://c/x' csv credentials 'azure_storage_account_name=a;azure_storage_account_key=h0sh!'".into(),
    );
    statements.push("copy t from 'az://c/x' csv credentials 'azure_storage_sas_key=h0sh'".into());
    statements.push("copy t from 'gs://c/x' csv credentials 'google_service_account_key={\"h0sh\"'".into());
    statements.push("copy t from 's3://bucket/in/rows.csv' csv credentials 'h0sh'".into());

    let secrets = [secret, "h0sh"];
    let mut outcomes = [0, 0];
    // One store that hangs up makes errors of another kind.
    for faults in [Faults::default(), Faults { cut_first: (1 << 40, 3), cut_names: ".csv", ..Faults::default() }] {
        let cut = faults.cut_first.0 > 0;
        server.set_faults(faults.clone());
        web.set_faults(faults);
        let chosen = statements.iter().filter(|sql| !cut || sql.contains("rows.csv") && !sql.contains("wrong"));
        for sql in chosen.step_by(if cut { 5 } else { 1 }) {
            let told = match session.sql(sql).await {
                Ok(output) => {
                    outcomes[0] += 1;
                    format!("{:?} {:?}", output.notices.clone(), output.collect().await)
                }
                Err(e) => {
                    outcomes[1] += 1;
                    let sources = std::iter::successors(std::error::Error::source(&e), |e| e.source());
                    format!("{e} {e:?} {}", sources.map(|e| format!("{e} {e:?}")).collect::<String>())
                }
            };
            assert!(secrets.iter().all(|secret| !told.contains(secret)), "{sql}\n{told}");
        }
    }
    server.set_faults(Faults::default());
    assert!(outcomes[0] > 10 && outcomes[1] > 20, "{outcomes:?}");

    // Now, and as they are written down.
    warehouse.close().await.unwrap();
    let mut rows = 0;
    for session in [session, open().await.session()] {
        for table in crate::system::TABLES {
            let told = ours(&session, &format!("select * from {table}")).await;
            rows += told.len();
            for line in told {
                assert!(secrets.iter().all(|secret| !line.contains(secret)), "{table}: {line}");
            }
        }
    }
    assert!(rows > 200, "{rows}");
    assert!(!format!("{:?}", options(&server)).contains(KEYS[0].1));
}
