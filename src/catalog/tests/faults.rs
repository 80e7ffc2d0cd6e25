//! A store that fails at each of its puts in turn. What was acknowledged is there, what was refused is not, and what
//! is unknown is whole or absent.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::util::*;
use crate::catalog::load::read_entry;
use crate::catalog::*;
use crate::common::*;
use crate::testing::{Fault, FaultyStore};

/// What became of each transaction, by its commit id: `None` is unknown.
type Fates = BTreeMap<CommitId, Option<bool>>;

fn fate(outcome: &Result<Committed>) -> Option<bool> {
    match outcome {
        Ok(_) => Some(true),
        Err(e) if e.message().contains("unknown") => None,
        Err(_) => Some(false),
    }
}

async fn life(store: &WarehouseStore, retries: u32) -> (Fates, Option<Catalog>) {
    let mut fates = Fates::new();
    let options = CatalogOptions { retries, ..options() };
    let Ok(catalog) = Catalog::open(store.clone(), OpenMode::OpenOrCreate(genesis()), options).await else {
        return (fates, None);
    };
    for name in ["a", "b"] {
        let mut txn = catalog.begin(USER);
        txn.create_table(table_def(public(&catalog.snapshot()), name));
        let id = txn.id();
        fates.insert(id, fate(&catalog.commit(txn).await));
    }
    for round in 0..4 {
        let snapshot = catalog.refresh().await.unwrap();
        for table in snapshot.tables.values() {
            let mut txn = catalog.begin(USER);
            let Ok(stored) = put_object(store, txn.object(0)).await else { continue };
            txn.append(&table.def, vec![new_segment(stored, 0, 10), new_segment(inline("inline"), 1, 1)]);
            let id = txn.id();
            fates.insert(id, fate(&catalog.commit(txn).await));
        }
        if round == 1 {
            // It may fail: nothing depends on it.
            let _ = catalog.checkpoint().await;
        }
    }
    let _ = catalog.renew_lease().await;
    (fates, Some(catalog))
}

async fn check(inner: Arc<dyn ObjectStore>, fates: &Fates, catalog: Option<Catalog>, context: &str) {
    let store = WarehouseStore::new(inner);
    let reopened = Catalog::open(store.clone(), OpenMode::OpenOrCreate(genesis()), options()).await;
    let reopened = reopened.unwrap_or_else(|e| panic!("{context}: {e:?}"));
    let snapshot = reopened.snapshot();
    read_everything(&store, &snapshot).await.unwrap_or_else(|e| panic!("{context}: {e}"));
    let mut seen: BTreeMap<CommitId, usize> = BTreeMap::new();
    for version in 1..=snapshot.version.0 {
        let entry = read_entry(&store, Version(version)).await.unwrap().unwrap();
        for transaction in &entry.transactions {
            *seen.entry(transaction.commit).or_default() += 1;
        }
    }
    assert!(seen.values().all(|n| *n == 1), "{context}: a transaction was committed twice");
    for (id, fate) in fates {
        if let Some(expected) = fate {
            assert_eq!(seen.contains_key(id), *expected, "{context}: transaction {id}");
        }
    }
    assert!(seen.keys().all(|id| fates.contains_key(id)), "{context}: a transaction from nowhere");
    if let Some(catalog) = catalog {
        assert_eq!(*catalog.refresh().await.unwrap(), *snapshot, "{context}");
    }
}

/// Fails put `k` of a life for those `k` that are chosen, of a life's puts, each time on a new store.
pub async fn fail_each(mut new_store: impl FnMut() -> Arc<dyn ObjectStore>, chosen: impl Fn(usize) -> bool) {
    let counting = FaultyStore::new(new_store(), None);
    let (fates, _) = life(&WarehouseStore::new(counting.store()), 3).await;
    assert!(fates.len() == 10 && fates.values().all(|f| *f == Some(true)));
    let puts = counting.puts();
    let faults = [Fault::NoEffect, Fault::LostAcknowledgement, Fault::LostAcknowledgementOfRetry, Fault::Late];
    let mut unknown = 0;
    for k in (1..=puts).filter(|k| chosen(*k)) {
        for fault in faults {
            for retries in [0, 3] {
                let context = format!("put {k} of {puts}, {fault:?}, {retries} retries");
                let inner = new_store();
                let faulty = FaultyStore::new(inner.clone(), Some((k, fault)));
                let (fates, catalog) = life(&WarehouseStore::new(faulty.store()), retries).await;
                unknown += fates.values().filter(|f| f.is_none()).count();
                if retries > 0 {
                    assert!(fates.values().all(|f| *f == Some(true)), "{context}: a single failure is survived");
                }
                check(inner, &fates, catalog, &context).await;
            }
        }
    }
    assert!(unknown > 0, "without retries some outcomes are unknown, or this tests nothing");
}

#[tokio::test]
async fn whichever_put_fails_the_log_is_old_or_new() {
    fail_each(|| Arc::new(InMemory::new()), |_| true).await;
}

#[tokio::test]
async fn a_commit_whose_acknowledgement_was_lost_is_not_made_twice() {
    lose_an_acknowledgement(Arc::new(InMemory::new())).await;
}

pub async fn lose_an_acknowledgement(inner: Arc<dyn ObjectStore>) {
    let plain = WarehouseStore::new(inner.clone());
    let table = create_table(&create(&plain).await, "t").await;
    // The first put is the lease, the second its renewal, the third the entry.
    let faulty = FaultyStore::new(inner, Some((3, Fault::LostAcknowledgement)));
    let catalog = reopen(&WarehouseStore::new(faulty.store())).await;
    let committed = append(&catalog, &table.def, "inline").await.unwrap();
    assert_eq!(committed.version, Version(2));
    assert_eq!(reopen(&plain).await.snapshot().table(table.def.id).unwrap().segments.len(), 1);
}
