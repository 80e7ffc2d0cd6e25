use super::util::*;
use crate::catalog::*;
use crate::common::*;

/// A transaction that makes a table and fills it, fills and thins an older one, and drops a third.
async fn busy(catalog: &Catalog) -> (Transaction, TableId) {
    let kept = create_table(catalog, "kept").await;
    let dropped = create_table(catalog, "dropped").await;
    append(catalog, &kept.def, "inline").await.unwrap();
    let mut txn = catalog.begin(USER);
    let snapshot = txn.snapshot().unwrap().clone();
    let kept = snapshot.table(kept.def.id).unwrap();
    let mut made = table_def(public(&snapshot), "made");
    made.id = txn.create_table(made.clone());
    let [first, second, third] = [1, 2, 3].map(|sequence| txn.object(sequence));
    txn.append(&made, vec![new_segment(put_object(catalog.store(), first).await.unwrap(), 1, 7)]);
    txn.append(&kept.def, vec![new_segment(put_object(catalog.store(), second).await.unwrap(), 2, 5)]);
    let blob = put_object(catalog.store(), third).await.unwrap();
    let thinned = NewDeleteVector { segment: kept.segments[0].id, expected: None, blob, rows: 3, killed: None };
    txn.set_delete_vectors(&kept.def, vec![thinned]);
    txn.drop_table(&dropped.def, false);
    (txn, made.id)
}

fn rows(snapshot: &Snapshot, name: &str) -> Option<u64> {
    snapshot.table_named(public(snapshot), name).map(|t| t.live_rows())
}

#[tokio::test]
async fn a_transaction_sees_its_own_writes_and_nobody_else_does() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let (txn, _) = busy(&catalog).await;
    let base = txn.snapshot().unwrap().clone();
    let overlay = Overlay::of(&txn, &base).unwrap();
    let own = overlay.snapshot();
    read_everything(&store, own).await.unwrap();
    assert_eq!(["made", "kept", "dropped"].map(|name| rows(own, name)), [Some(7), Some(12), None]);
    assert_eq!(["made", "kept", "dropped"].map(|name| rows(&base, name)), [None, Some(10), Some(0)]);
    assert_eq!(*reopen(&store).await.snapshot(), *base);
    // What it commits is what it saw, with nobody in between.
    let committed = catalog.commit(txn).await.unwrap().snapshot;
    assert_eq!(["made", "kept", "dropped"].map(|name| rows(&committed, name)), [Some(7), Some(12), None]);
    for name in ["made", "kept"] {
        let [seen, lasting] = [own, &committed].map(|s| s.table_named(public(s), name).unwrap().clone());
        let of = |t: &TableState| t.segments.iter().map(|s| (s.extent, s.slice, s.deleted)).collect::<Vec<_>>();
        assert_eq!(of(&seen), of(&lasting), "{name}");
        assert!(lasting.segments.iter().all(|s| s.id.0 < 100) && !lasting.def.is_provisional());
    }
}

#[tokio::test]
async fn another_process_sees_the_same() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let (txn, _) = busy(&catalog).await;
    let base = txn.snapshot().unwrap().clone();
    let overlay = Overlay::of(&txn, &base).unwrap();
    let elsewhere = reopen(&store).await.snapshot();
    let decoded = Overlay::decode(overlay.encoded().unwrap().clone(), &elsewhere).unwrap();
    assert_eq!(**decoded.snapshot(), **overlay.snapshot());
    // Over another version, or damaged, it is refused.
    create_table(&catalog, "later").await;
    let later = Overlay::decode(overlay.encoded().unwrap().clone(), &catalog.snapshot()).unwrap_err();
    assert_eq!(later.kind(), ErrorKind::Corrupt);
    for at in 0..overlay.encoded().unwrap().len() {
        let mut damaged = overlay.encoded().unwrap().to_vec();
        damaged[at] ^= 1;
        assert!(Overlay::decode(damaged.into(), &elsewhere).is_err(), "byte {at}");
    }
}

#[tokio::test]
async fn what_cannot_be_seen_is_refused() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let table = create_table(&catalog, "t").await;
    let mut inline_rows = catalog.begin(USER);
    let base = inline_rows.snapshot().unwrap().clone();
    inline_rows.append(&table.def, vec![new_segment(inline("inline"), 0, 1)]);
    // Rows that stand in no object are read from the transaction, and do not travel.
    let held = Overlay::of(&inline_rows, &base).unwrap();
    let segment = held.snapshot().table(table.def.id).unwrap().segments[0].clone();
    assert_eq!(held.held(&segment.extent.object).unwrap(), "inline");
    assert_eq!(held.encoded().unwrap_err().kind(), ErrorKind::Unsupported);
    let mut twice = catalog.begin(USER);
    twice.create_table(table_def(public(&base), "t"));
    assert_eq!(Overlay::of(&twice, &base).unwrap_err().state(), SqlState::DUPLICATE_TABLE);
    create_table(&catalog, "later").await;
    assert_eq!(Overlay::of(&twice, &catalog.snapshot()).unwrap_err().kind(), ErrorKind::Internal);
}
