//! What a catalog does by itself.

use std::sync::Arc;
use std::time::Duration;

use super::util::*;
use crate::catalog::*;
use crate::common::*;

#[tokio::test]
async fn checkpoints_are_written_and_the_lease_is_renewed_until_the_catalog_is_gone() {
    let store = WarehouseStore::memory();
    let options = CatalogOptions {
        background: true,
        checkpoint_every: 4,
        lease_ttl: Duration::from_millis(80),
        clock: Arc::new(SystemClock),
        ..options()
    };
    let catalog = Catalog::open(store.clone(), OpenMode::Create(genesis()), options).await.unwrap();
    let leases = async || store.list(&paths::lease_folder()).await.unwrap();
    let table = create_table(&catalog, "t").await;
    for _ in 0..9 {
        append(&catalog, &table.def, "inline").await.unwrap();
    }
    // Another process's commits are noticed without being asked for.
    let other = reopen(&store).await;
    append(&other, &table.def, "inline").await.unwrap();
    // On a busy machine the lease may lapse, and is renewed under another name then.
    let first = leases().await;
    let mut waited = 0;
    while store.checkpoints().await.unwrap() != [Version(4), Version(8)]
        || catalog.snapshot().version != other.snapshot().version
        || leases().await == first
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
        waited += 1;
        assert!(waited < 1000, "nothing happens in the background");
    }
    other.close().await.unwrap();
    drop(catalog);
    tokio::time::sleep(Duration::from_millis(60)).await;
    let last = leases().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(leases().await, last, "a catalog that is gone renews nothing");
}
