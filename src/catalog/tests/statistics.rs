//! References to tables' statistics in the catalog.

use std::sync::Arc;

use bytes::Bytes;

use super::util::*;
use crate::catalog::apply::{apply, begin};
use crate::catalog::checkpoint::{decode_table, encode_table};
use crate::catalog::entry::Blobs;
use crate::catalog::frame::{self, Magic};
use crate::catalog::resolve::{NoVectors, resolve};
use crate::catalog::*;
use crate::common::*;
use crate::testing::{CountedIds, Rng};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A load of `rows` rows that brings statistics.
fn load(txn: &mut Transaction, table: &TableState, rows: u32) {
    txn.append(&table.def, vec![new_segment(inline("inline rows"), 0, rows)]);
    let replaced = table.statistics.map(|s| s.extent);
    let telling = Telling::Loaded { replaced, live_rows: table.live_rows() };
    txn.set_statistics(&table.def, inline("inline statistics"), telling);
}

fn analyze(txn: &mut Transaction, table: &TableState) {
    let telling = Telling::Analyzed { live_rows: table.live_rows() };
    txn.set_statistics(&table.def, inline("inline analysis"), telling);
}

fn newest(catalog: &Catalog, id: TableId) -> Arc<TableState> {
    catalog.snapshot().table(id).unwrap().clone()
}

fn told(table: &TableState) -> (u64, u64) {
    let covers = table.statistics.unwrap().covers;
    (covers.version.0, covers.live_rows)
}

#[tokio::test]
async fn the_stored_form_never_changes_and_keeps_nobody_out() {
    let store = WarehouseStore::memory();
    let options = CatalogOptions { ids: Arc::new(CountedIds::new(1)), ..options() };
    let catalog = Catalog::open(store.clone(), OpenMode::Create(genesis()), options).await.unwrap();
    let id = create_table(&catalog, "t").await.def.id;
    let mut txn = catalog.begin(USER);
    load(&mut txn, &newest(&catalog, id), 10);
    catalog.commit(txn).await.unwrap();
    let mut txn = catalog.begin(USER);
    analyze(&mut txn, &newest(&catalog, id));
    catalog.commit(txn).await.unwrap();
    let mut found = String::new();
    for version in 2..4 {
        let bytes = store.get(&paths::log_entry(Version(version))).await.unwrap().unwrap();
        assert_eq!(u64::from_le_bytes(bytes[16..24].try_into().unwrap()), 0);
        found += &format!("entry {version} {}\n", hex(&bytes));
    }
    let table = newest(&catalog, id);
    let bytes = encode_table(&table).unwrap();
    assert_eq!(decode_table(id, table.changed, &bytes).unwrap(), *table);
    found += &format!("table {}\n", hex(&bytes));
    assert_eq!(found, include_str!("statistics.txt"), "stored warehouses could no longer be read");
    assert_eq!(newest(&reopen(&store).await, id), table);
    catalog.checkpoint().await.unwrap();
    assert_eq!(newest(&reopen(&store).await, id), table);
    read_everything(&store, &catalog.snapshot()).await.unwrap();
}

#[tokio::test]
async fn what_statistics_cover_is_told_truly() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let id = create_table(&catalog, "t").await.def.id;
    let mut txn = catalog.begin(USER);
    load(&mut txn, &newest(&catalog, id), 10);
    let version = catalog.commit(txn).await.unwrap().version;
    // Its own rows, too.
    assert_eq!(told(&newest(&catalog, id)), (version.0, 10));
    assert_eq!(newest(&catalog, id).changed_since(&newest(&catalog, id).statistics.unwrap().covers), (0, 0));
    // Beside rows of others, which it has not seen, it covers what it began with.
    let before = newest(&catalog, id);
    let mut late = catalog.begin(USER);
    load(&mut late, &before, 20);
    append(&catalog, &before.def, "inline others").await.unwrap();
    catalog.commit(late).await.unwrap();
    let both = newest(&catalog, id);
    assert_eq!(told(&both), (version.0, 10));
    assert_eq!(both.changed_since(&both.statistics.unwrap().covers), (30, 0));
    // What was made of statistics that are no longer the table's is for nothing; ANALYZE's stay.
    let (mut first, mut second) = (catalog.begin(USER), catalog.begin(USER));
    load(&mut first, &both, 1);
    load(&mut second, &both, 2);
    let mut third = catalog.begin(USER);
    analyze(&mut third, &both);
    catalog.commit(first).await.unwrap();
    let after_first = newest(&catalog, id).statistics;
    catalog.commit(second).await.unwrap();
    assert_eq!(newest(&catalog, id).statistics, after_first);
    catalog.commit(third).await.unwrap();
    let analyzed = newest(&catalog, id);
    assert_eq!(analyzed.statistics.unwrap().analyzed, Some(analyzed.statistics.unwrap().covers));
    assert_eq!(analyzed.changed_since(&analyzed.statistics.unwrap().covers), (3, 0));
    // A load after it keeps what it says of the analysis.
    let mut txn = catalog.begin(USER);
    load(&mut txn, &analyzed, 5);
    catalog.commit(txn).await.unwrap();
    let last = newest(&catalog, id);
    assert_eq!(last.statistics.unwrap().analyzed, analyzed.statistics.unwrap().analyzed);
    assert_eq!(last.changed_since(&last.statistics.unwrap().covers), (0, 0));
    assert_eq!(last.changed_since(&last.statistics.unwrap().analyzed.unwrap()), (8, 0));
    // A table that is gone takes none, and nobody minds.
    let mut late = catalog.begin(USER);
    analyze(&mut late, &last);
    let mut drop = catalog.begin(USER);
    drop.drop_table(&last.def, false);
    catalog.commit(drop).await.unwrap();
    catalog.commit(late).await.unwrap();
    catalog.snapshot().check_invariants().unwrap();
    assert_eq!(*reopen(&store).await.snapshot(), *catalog.snapshot());
}

/// Of transactions that share a log entry each tells of its own rows only.
#[tokio::test]
async fn another_transaction_of_the_same_version_is_not_covered() {
    let catalog = create(&WarehouseStore::memory()).await;
    let id = create_table(&catalog, "t").await.def.id;
    append(&catalog, &newest(&catalog, id).def, "inline before").await.unwrap();
    let table = newest(&catalog, id);
    let (mut first, mut second) = (catalog.begin(USER), catalog.begin(USER));
    load(&mut first, &table, 5);
    second.append(&table.def, vec![new_segment(inline("inline others"), 1, 7)]);
    let mut next = Snapshot::clone(&catalog.snapshot());
    let version = next.version.next();
    begin(&mut next, version, CommitId(9), table.def.created_us + 1);
    let mut blobs = Blobs::default();
    resolve(&first, &mut next, &mut blobs, &mut NoVectors).unwrap();
    let alone = next.table(id).unwrap();
    assert_eq!((told(alone), alone.changed_since(&alone.statistics.unwrap().covers)), ((version.0, 15), (0, 0)));
    resolve(&second, &mut next, &mut blobs, &mut NoVectors).unwrap();
    let both = next.table(id).unwrap();
    // The first one's rows are looked at once more, which does no harm.
    assert_eq!(told(both), (version.0 - 1, 10));
    assert_eq!(both.changed_since(&both.statistics.unwrap().covers), (12, 0));
    // In the other order it knows that it has not seen all.
    let mut next = Snapshot::clone(&catalog.snapshot());
    begin(&mut next, version, CommitId(9), table.def.created_us + 1);
    resolve(&second, &mut next, &mut blobs, &mut NoVectors).unwrap();
    resolve(&first, &mut next, &mut blobs, &mut NoVectors).unwrap();
    assert_eq!(told(next.table(id).unwrap()), (version.0 - 1, 10));
}

/// The rows stay what they are, and so does what is said of them.
#[tokio::test]
async fn a_vacuum_keeps_statistics() {
    let catalog = create(&WarehouseStore::memory()).await;
    let id = create_table(&catalog, "t").await.def.id;
    let mut txn = catalog.begin(USER);
    load(&mut txn, &newest(&catalog, id), 10);
    catalog.commit(txn).await.unwrap();
    let before = newest(&catalog, id);
    let old: Vec<_> = before.segments.iter().map(|s| s.id).collect();
    let written =
        NewSegment { added: Some(before.segments[0].added), ..new_segment(inline("inline rows, in order"), 0, 10) };
    let mut txn = catalog.begin(USER);
    rewrite(catalog.store(), &mut txn, &before, &old, written).await.unwrap();
    catalog.commit(txn).await.unwrap();
    let after = newest(&catalog, id);
    assert_ne!(after.segments[0].id, before.segments[0].id);
    assert_eq!(after.statistics, before.statistics);
    // Its segment was added when the rows were, though its number is a later one.
    let covers = after.statistics.unwrap().covers;
    assert_eq!(after.changed_since(&covers), (0, 0));
}

#[tokio::test]
async fn deletes_age_statistics() {
    let catalog = create(&WarehouseStore::memory()).await;
    let id = create_table(&catalog, "t").await.def.id;
    let mut txn = catalog.begin(USER);
    load(&mut txn, &newest(&catalog, id), 10);
    catalog.commit(txn).await.unwrap();
    let table = newest(&catalog, id);
    let vector = NewDeleteVector {
        segment: table.segments[0].id,
        expected: None,
        blob: inline("inline dead"),
        rows: 4,
        killed: None,
    };
    let mut txn = catalog.begin(USER);
    txn.set_delete_vectors(&table.def, vec![vector]);
    catalog.commit(txn).await.unwrap();
    let after = newest(&catalog, id);
    assert_eq!((after.statistics, after.live_rows()), (table.statistics, 6));
    assert_eq!(after.changed_since(&after.statistics.unwrap().covers), (0, 4));
}

#[tokio::test]
async fn statistics_of_versions_in_use_are_kept() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let id = create_table(&catalog, "t").await.def.id;
    // One that began before what is pinned ends after it, and is replaced.
    let mut early = Some(catalog.begin(USER));
    append(&catalog, &newest(&catalog, id).def, "inline rows").await.unwrap();
    let pin = catalog.pin();
    let mut versions = Vec::new();
    for _ in 0..3 {
        let mut txn = early.take().unwrap_or_else(|| catalog.begin(USER));
        let blob = put_object(&store, txn.object(0)).await.unwrap();
        txn.set_statistics(&newest(&catalog, id).def, blob, Telling::Analyzed { live_rows: 0 });
        versions.push(catalog.commit(txn).await.unwrap().snapshot);
    }
    // The horizon stands before all of them, and after the first one's beginning.
    catalog.collect().await.unwrap();
    for snapshot in &versions {
        read_everything(&store, snapshot).await.unwrap();
    }
    drop(pin);
    assert_eq!(catalog.collect().await.unwrap().data_objects, 2);
    assert!(read_everything(&store, &versions[0]).await.is_err());
    read_everything(&store, &versions[2]).await.unwrap();
}

#[tokio::test]
async fn hostile_bytes_are_refused_without_harm() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let id = create_table(&catalog, "t").await.def.id;
    let before = catalog.snapshot();
    let mut txn = catalog.begin(USER);
    load(&mut txn, &newest(&catalog, id), 10);
    let version = catalog.commit(txn).await.unwrap().version;
    let good: Bytes = store.get(&paths::log_entry(version)).await.unwrap().unwrap();
    assert_eq!(apply(&before, &Entry::decode(version, &good).unwrap()).unwrap(), *catalog.snapshot());
    let parts = frame::decode(Magic::Log, &good).unwrap();
    let mut rng = Rng::new(5);
    for _ in 0..4000 {
        let mut body = parts.body.to_vec();
        for _ in 0..=rng.below(3) {
            let at = rng.below(body.len());
            match rng.below(4) {
                0 => body[at] = rng.next_u64() as u8,
                1 => body[at] = 0xff,
                2 => drop(body.remove(at)),
                _ => body.insert(at, rng.next_u64() as u8),
            }
        }
        let bytes = frame::encode(Magic::Log, std::slice::from_ref(&parts.blobs), &body).unwrap();
        let outcome = Entry::decode(version, &bytes)
            .and_then(|entry| apply(&before, &entry))
            .and_then(|snapshot| snapshot.check_invariants());
        if let Err(e) = outcome {
            assert_eq!(e.kind(), ErrorKind::Corrupt, "{e:?}");
        }
    }
    // Statistics that stand in an entry yet to come.
    let table = newest(&catalog, id);
    let mut statistics = table.statistics.unwrap();
    statistics.extent.object = ObjectId::Log(Version(version.0 + 5));
    let entry = Entry {
        version: version.next(),
        id: CommitId(9),
        previous: catalog.snapshot().entry,
        time_us: catalog.snapshot().time_us,
        transactions: vec![TransactionRecord {
            commit: CommitId(9),
            start: version,
            author: USER,
            actions: vec![Action::SetStatistics { table: id, statistics }],
        }],
    };
    assert_eq!(apply(&catalog.snapshot(), &entry).map(|_| ()).unwrap_err().kind(), ErrorKind::Corrupt);
}
