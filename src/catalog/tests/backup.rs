//! Backups over a disk that forgets: cut at every change, the earlier ones stay whole, and the next attempt succeeds.

use std::sync::Arc;

use super::util::*;
use crate::catalog::local_store::LocalStore;
use crate::catalog::*;
use crate::common::*;
use crate::testing::{Crash, SimDisk, SimFiles, TestClock, seeds};

async fn place(files: Arc<SimFiles>) -> Result<WarehouseStore> {
    let local = LocalStore::open_without("/srv/backups", files, Arc::new(TestClock::default()), None).await?;
    Ok(WarehouseStore::local(local))
}

/// A table with a stored segment, one in the log, and dead rows.
async fn warehouse() -> (WarehouseStore, Catalog) {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let table = create_table(&catalog, "t").await;
    let mut transaction = catalog.begin(USER);
    let stored = put_object(&store, transaction.object(0)).await.unwrap();
    transaction.append(&table.def, vec![new_segment(stored, 1, 10), new_segment(inline("inline"), 0, 1)]);
    catalog.commit(transaction).await.unwrap();
    (store, catalog)
}

async fn more(store: &WarehouseStore, catalog: &Catalog) {
    let table = catalog.snapshot().tables.values().next().unwrap().clone();
    let mut transaction = catalog.begin(USER);
    let stored = put_object(store, transaction.object(0)).await.unwrap();
    transaction.append(&table.def, vec![new_segment(stored, 2, 5)]);
    let segment = table.segments.iter().find(|s| s.rows == 10).unwrap();
    let blob = put_dead(store, transaction.object(1), 3).await.unwrap();
    let vector = NewDeleteVector { segment: segment.id, expected: None, blob, rows: 3, killed: None };
    transaction.set_delete_vectors(&table.def, vec![vector]);
    catalog.commit(transaction).await.unwrap();
}

/// Restores a backup into a new warehouse, whose bytes are then looked at.
async fn restored(place: &WarehouseStore, backup: &Backup) -> std::result::Result<Arc<Snapshot>, String> {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let transaction = catalog.begin(USER);
    catalog.restore(place, backup, transaction).await.map_err(|e| format!("{e:?}"))?;
    let snapshot = catalog.snapshot();
    snapshot.check_invariants().map_err(|e| e.to_string())?;
    for table in snapshot.tables.values() {
        for extent in table.segments.iter().flat_map(|s| [Some(s.extent), s.deleted.map(|d| d.extent)]).flatten() {
            let bytes = store.read(&extent).await.map_err(|e| e.to_string())?;
            bytes.ok_or_else(|| format!("{} is gone", extent.object))?;
        }
    }
    Ok(snapshot)
}

#[tokio::test]
async fn a_backup_that_is_cut_short_harms_none() {
    let (store, catalog) = warehouse().await;
    let first = catalog.pin();
    more(&store, &catalog).await;
    let second = catalog.pin();
    let whole = SimDisk::default();
    let files = whole.process(None);
    let to = place(files.clone()).await.unwrap();
    Backup::make(&store, &first, &to).await.unwrap();
    let before = files.changes();
    let made = Backup::make(&store, &second, &to).await.unwrap();
    assert_eq!((made.reused, made.copied), (2, 3), "{made:?}");
    let changes = files.changes();
    for cut in 0..=changes {
        let disk = SimDisk::default();
        let mut acknowledged = Vec::new();
        if let Ok(to) = place(disk.process(Some(cut))).await {
            for pin in [&first, &second] {
                match Backup::make(&store, pin, &to).await {
                    Ok(made) => acknowledged.push(made.backup),
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::Unavailable, "{e:?}");
                        break;
                    }
                }
            }
        }
        assert!(cut < before || !acknowledged.is_empty());
        let mixed = seeds(0, 2).map(|seed| Crash::Mixed(seed << 32 | cut as u64));
        for crash in [Crash::Lost, Crash::Kept].into_iter().chain(mixed) {
            let context = format!("cut {cut} of {changes}, {crash:?}");
            let to = place(disk.crash(crash).process(None)).await.unwrap();
            let found = Backup::all(&to).await.unwrap_or_else(|e| panic!("{context}: {e:?}"));
            for backup in &acknowledged {
                assert!(found.contains(backup), "{context}: version {} was acknowledged", backup.version);
            }
            for backup in &found {
                let there = restored(&to, backup).await.unwrap_or_else(|e| panic!("{context}: {e}"));
                let rows: u64 = there.tables.values().map(|t| t.live_rows()).sum();
                let pin = if backup.version == first.version { &first } else { &second };
                assert_eq!(rows, pin.tables.values().map(|t| t.live_rows()).sum::<u64>(), "{context}");
            }
            // And the next attempt succeeds.
            let again = Backup::make(&store, &second, &to).await.unwrap_or_else(|e| panic!("{context}: {e:?}"));
            assert_eq!(again.backup.checksum, made.backup.checksum, "{context}");
            restored(&to, &again.backup).await.unwrap_or_else(|e| panic!("{context}: {e}"));
        }
    }
}
