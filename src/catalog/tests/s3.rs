//! The catalog on a real S3 server.

use object_store::{Error, ObjectStoreExt, PutMode, PutOptions};

use super::util::*;
use super::{faults, group, interleave};
use crate::catalog::*;
use crate::common::*;
use crate::testing::s3_server::S3Server;

async fn store(server: &S3Server, prefix: &str) -> WarehouseStore {
    WarehouseStore::new(server.store("bucket", prefix))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditional_puts_have_one_winner() {
    let server = S3Server::start(&["bucket"]).await;
    let objects = server.store("bucket", "race");
    for round in 0..20 {
        let path = object_store::path::Path::from(format!("_log/{round}"));
        let mut racers = tokio::task::JoinSet::new();
        for racer in 0..8 {
            let (objects, path) = (objects.clone(), path.clone());
            racers.spawn(async move {
                let options = PutOptions { mode: PutMode::Create, ..Default::default() };
                match objects.put_opts(&path, format!("racer {racer}").into(), options).await {
                    Ok(_) => Some(racer),
                    Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => None,
                    Err(e) => panic!("{e:?}"),
                }
            });
        }
        let won: Vec<i32> = racers.join_all().await.into_iter().flatten().collect();
        assert_eq!(won.len(), 1, "round {round}");
        assert_eq!(objects.get(&path).await.unwrap().bytes().await.unwrap(), format!("racer {}", won[0]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_lives_on_s3() {
    let server = S3Server::start(&["bucket"]).await;
    let store = store(&server, "some/where").await;
    assert!(Catalog::open(store.clone(), OpenMode::Existing, options()).await.is_err());
    let catalog = create(&store).await;
    let again = Catalog::open(store.clone(), OpenMode::Create(genesis()), options()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Invalid);
    let table = create_table(&catalog, "t").await;

    // Two processes append at the same time: every put but one of each version is lost, and made good.
    let other = reopen(&store).await;
    let mut writers = tokio::task::JoinSet::new();
    for (writer, catalog) in [&catalog, &other, &catalog, &other].into_iter().cloned().enumerate() {
        let def = table.def.clone();
        writers.spawn(async move {
            for i in 0..8 {
                append(&catalog, &def, &format!("inline {writer} {i}")).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let (a, b) = (catalog.refresh().await.unwrap(), other.refresh().await.unwrap());
    assert_eq!(a, b);
    assert_eq!(a.table(table.def.id).unwrap().segments.len(), 32);
    read_everything(&store, &a).await.unwrap();

    // What cannot both be: the one that comes later is told so.
    assert!(try_create_table(&other, "u").await.is_ok());
    assert!(try_create_table(&catalog, "u").await.is_err());

    // An object that nobody refers to any more goes, with the log below a checkpoint; what is needed stays.
    let mut txn = catalog.begin(USER);
    let blob = put_object(&store, txn.object(0)).await.unwrap();
    txn.append(&table.def, vec![new_segment(blob, 1, 10)]);
    catalog.commit(txn).await.unwrap();
    let mut orphan = catalog.begin(USER);
    put_object(&store, orphan.object(0)).await.unwrap();
    orphan.drop_table(&table.def, false);
    drop(orphan);
    for i in 0..3 {
        append(&catalog, &table.def, &format!("inline after {i}")).await.unwrap();
    }
    other.close().await.unwrap();
    catalog.checkpoint().await.unwrap();
    let collected = catalog.collect().await.unwrap();
    assert_eq!(collected.data_objects, 1, "{collected:?}");
    let newest = catalog.refresh().await.unwrap();
    read_everything(&store, &newest).await.unwrap();
    let opened = reopen(&store).await;
    assert_eq!(*opened.snapshot(), *newest);
    assert_eq!(opened.snapshot().table(table.def.id).unwrap().segments.len(), 36);
    append(&opened, &table.def, "inline at last").await.unwrap();
    assert_eq!(catalog.refresh().await.unwrap().table(table.def.id).unwrap().segments.len(), 37);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puts_that_fail_leave_the_log_old_or_new() {
    let server = S3Server::start(&["bucket"]).await;
    let mut stores = 0;
    let new_store = || {
        stores += 1;
        server.store("bucket", &format!("house-{stores}"))
    };
    // The first entry, a lease, commits with and without objects, the checkpoint.
    faults::fail_each(new_store, |k| [1, 2, 4, 7, 12].contains(&k)).await;
    faults::lose_an_acknowledgement(server.store("bucket", "lost")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_commits_share_entries() {
    let server = S3Server::start(&["bucket"]).await;
    let (_, entries) = group::commits_per_second(server.store("bucket", "group")).await;
    assert!(entries <= 80, "160 commits in {entries} entries");
}

#[tokio::test]
async fn two_writers_a_reader_and_a_collector_share_a_bucket() {
    let server = S3Server::start(&["bucket"]).await;
    let mut all = interleave::Told::default();
    for (seed, sleeps) in [(1, false), (1001, true)] {
        let told = interleave::run_on(server.store("bucket", &format!("seed-{seed}")), seed, sleeps).await;
        all.acknowledged.extend(told.acknowledged);
        all.collected += told.collected;
    }
    assert!(!all.acknowledged.is_empty() && all.collected > 0, "nothing interesting happened: {all:?}");
}
