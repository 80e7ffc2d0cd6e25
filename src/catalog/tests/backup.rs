//! Backups over a disk that forgets: cut at every change, the earlier ones stay whole, and the next attempt succeeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::TryStreamExt;
use object_store::path::Path;

use super::util::*;
use crate::catalog::local_store::LocalStore;
use crate::catalog::*;
use crate::common::*;
use crate::testing::{Crash, SimDisk, SimFiles, TestClock, seeds};

async fn place(files: Arc<SimFiles>) -> Result<WarehouseStore> {
    let local = LocalStore::open_without("/srv/backups", files, Arc::new(TestClock::default()), None).await?;
    Ok(WarehouseStore::local(local))
}

async fn make(store: &WarehouseStore, pin: &PinnedSnapshot, to: &WarehouseStore) -> Result<BackedUp> {
    Backup::make(store, pin, to, MakeOptions { verify: false, check: &|| Ok(()) }).await
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
    catalog.restore(place, backup, transaction, &|| Ok(())).await.map_err(|e| format!("{e:?}"))?;
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
    make(&store, &first, &to).await.unwrap();
    let before = files.changes();
    let made = make(&store, &second, &to).await.unwrap();
    assert_eq!((made.reused, made.copied), (2, 3), "{made:?}");
    let changes = files.changes();
    for cut in 0..=changes {
        let disk = SimDisk::default();
        let mut acknowledged = Vec::new();
        if let Ok(to) = place(disk.process(Some(cut))).await {
            for pin in [&first, &second] {
                match make(&store, pin, &to).await {
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
            let again = make(&store, &second, &to).await.unwrap_or_else(|e| panic!("{context}: {e:?}"));
            assert_eq!(again.backup.checksum, made.backup.checksum, "{context}");
            restored(&to, &again.backup).await.unwrap_or_else(|e| panic!("{context}: {e}"));
        }
    }
}

const VERIFY: MakeOptions<'static> = MakeOptions { verify: true, check: &|| Ok(()) };

async fn names(store: &WarehouseStore, folder: &str) -> Vec<Path> {
    let listed: Vec<_> = store.objects().list(Some(&folder.into())).try_collect().await.unwrap();
    let mut names: Vec<Path> = listed.into_iter().map(|o| o.location).collect();
    names.sort();
    names
}

async fn flip(store: &WarehouseStore, path: &Path) {
    let mut bytes = store.get(path).await.unwrap().unwrap().to_vec();
    let at = bytes.len() / 2;
    bytes[at] ^= 4;
    store.replace(path, bytes.into()).await.unwrap();
}

async fn is_whole(place: &WarehouseStore) {
    for backup in Backup::all(place).await.unwrap() {
        restored(place, &backup).await.unwrap();
    }
}

/// Whatever is lost or damaged in a place, the record itself among it, another backup mends: at the same version and at a later one.
#[tokio::test]
async fn a_backup_mends_what_is_damaged_in_its_place() {
    let (store, catalog) = warehouse().await;
    let place = WarehouseStore::memory();
    let first = make(&store, &catalog.pin(), &place).await.unwrap();
    for later in [false, true] {
        let mut all = names(&place, "").await;
        // A later version has a state of its own of each table.
        all.retain(|path| !later || !path.as_ref().starts_with("_backup"));
        assert!(all.len() >= 2, "{all:?}");
        for path in &all {
            let is_record = paths::parse_backup(path).is_some();
            for lost in [true, false] {
                match lost {
                    true => place.delete(path).await.unwrap(),
                    false => flip(&place, path).await,
                }
                if later {
                    append(&catalog, &catalog.snapshot().tables.values().next().unwrap().def, "more").await.unwrap();
                }
                let made = Backup::make(&store, &catalog.pin(), &place, VERIFY).await;
                let made = made.unwrap_or_else(|e| panic!("{path} {lost} {later}: {e:?}"));
                let found = Backup::find(&place, None).await.unwrap().unwrap();
                assert_eq!(found, made.backup, "{path} {lost} {later}");
                restored(&place, &found).await.unwrap_or_else(|e| panic!("{path} {lost} {later}: {e}"));
                if !later {
                    assert_eq!(found, first.backup);
                    assert!(made.copied == usize::from(!is_record) || is_record, "{path}: {made:?}");
                }
            }
        }
        if !later {
            is_whole(&place).await;
        }
    }
}

/// What is lost is seen without reading anything.
#[tokio::test]
async fn the_same_backup_again_brings_back_what_is_lost() {
    let (store, catalog) = warehouse().await;
    let place = WarehouseStore::memory();
    let pin = catalog.pin();
    let first = make(&store, &pin, &place).await.unwrap();
    for path in names(&place, "").await.iter().filter(|path| paths::parse_backup(path).is_none()) {
        place.delete(path).await.unwrap();
        let again = make(&store, &pin, &place).await.unwrap();
        assert_eq!((again.copied, again.reused), (1, first.copied - 1), "{path}");
        is_whole(&place).await;
        assert_eq!(make(&store, &pin, &place).await.unwrap().copied, 0);
    }
}

/// The warehouse has lost an object's bytes since it was backed up: the place takes no damaged ones in their stead.
#[tokio::test]
async fn damage_of_the_warehouse_does_not_reach_its_backup() {
    let (store, catalog) = warehouse().await;
    let place = WarehouseStore::memory();
    make(&store, &catalog.pin(), &place).await.unwrap();
    let object = names(&store, "data").await[0].clone();
    flip(&store, &object).await;
    place.delete(&object).await.unwrap();
    let e = make(&store, &catalog.pin(), &place).await.unwrap_err();
    assert_eq!((e.kind(), e.object()), (ErrorKind::Corrupt, Some(object.as_ref())), "{e:?}");
    assert!(e.message().contains("no longer what an earlier backup has copied"), "{e:?}");
    assert!(place.get(&object).await.unwrap().is_none());
}

/// All that a warehouse consists of but the leases, as a copy of its directory.
async fn copied(store: &WarehouseStore) -> WarehouseStore {
    let copy = WarehouseStore::memory();
    for path in names(store, "").await.iter().filter(|path| paths::parse_lease(path).is_none()) {
        copy.replace(path, store.get(path).await.unwrap().unwrap()).await.unwrap();
    }
    copy
}

#[tokio::test]
async fn copies_and_earlier_states_of_a_warehouse_have_other_places() {
    let (store, catalog) = warehouse().await;
    let place = WarehouseStore::memory();
    make(&store, &catalog.pin(), &place).await.unwrap();
    let copy = copied(&store).await;
    create_table(&catalog, "here").await;
    make(&store, &catalog.pin(), &place).await.unwrap();
    let before = Backup::all(&place).await.unwrap();
    let refused = async |store: &WarehouseStore, catalog: &Catalog, what: &str| {
        let e = make(store, &catalog.pin(), &place).await.unwrap_err();
        assert!(e.kind() == ErrorKind::Invalid && e.message().contains("another history"), "{what}: {e:?}");
        assert!(e.hint().unwrap().contains("a place of their own"), "{what}: {e:?}");
        assert_eq!(Backup::all(&place).await.unwrap(), before, "{what}");
    };
    let other = reopen(&copy).await;
    refused(&copy, &other, "an earlier state").await;
    let table = other.snapshot().tables.values().next().unwrap().clone();
    create_table(&other, "there").await;
    assert_eq!(other.snapshot().version, catalog.snapshot().version);
    refused(&copy, &other, "the same version").await;
    append(&other, &table.def, "more").await.unwrap();
    refused(&copy, &other, "a later version").await;
    // Where the log no longer tells, tables of the same names do.
    for _ in 0..3 {
        append(&other, &table.def, "more").await.unwrap();
    }
    other.checkpoint().await.unwrap();
    other.collect().await.unwrap();
    assert!(copy.get(&paths::log_entry(catalog.snapshot().version)).await.unwrap().is_none());
    refused(&copy, &other, "tables").await;
    // Its own warehouse goes on, also when the log has forgotten the last backup.
    let table = catalog.snapshot().tables.values().next().unwrap().clone();
    let last = Backup::find(&place, None).await.unwrap().unwrap().version;
    for _ in 0..3 {
        append(&catalog, &table.def, "more").await.unwrap();
    }
    catalog.checkpoint().await.unwrap();
    catalog.collect().await.unwrap();
    assert!(store.get(&paths::log_entry(last)).await.unwrap().is_none());
    let made = make(&store, &catalog.pin(), &place).await.unwrap();
    assert_eq!(made.copied, 4, "three entries and the table's state: {made:?}");
    is_whole(&place).await;
}

#[tokio::test]
async fn a_place_that_has_other_files_is_left_alone() {
    let (store, catalog) = warehouse().await;
    let place = WarehouseStore::memory();
    place.replace(&"notes.txt".into(), "mine".into()).await.unwrap();
    let e = make(&store, &catalog.pin(), &place).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Invalid && e.message().contains("other files, as \"notes.txt\""), "{e:?}");
    assert!(e.hint().unwrap().contains("empty directory"), "{e:?}");
    assert_eq!(names(&place, "").await.len(), 1);
    // What an attempt that was cut short has left is none of them.
    place.delete(&"notes.txt".into()).await.unwrap();
    make(&store, &catalog.pin(), &place).await.unwrap();
    for path in names(&place, "_backup").await {
        place.delete(&path).await.unwrap();
    }
    make(&store, &catalog.pin(), &place).await.unwrap();
    // What comes beside backups is nobody's business.
    place.replace(&"notes.txt".into(), "mine".into()).await.unwrap();
    make(&store, &catalog.pin(), &place).await.unwrap();
    is_whole(&place).await;
}

/// Each object asks before it is copied, and the last word is asked, too.
#[tokio::test]
async fn backup_and_restore_end_when_they_are_told_to() {
    let (store, catalog) = warehouse().await;
    let pin = catalog.pin();
    let stop = |after: usize| {
        let asked = AtomicUsize::new(0);
        move || match asked.fetch_add(1, Ordering::SeqCst) < after {
            true => Ok(()),
            false => Err(Error::unavailable("stopped")),
        }
    };
    let objects = 3;
    for after in 0..=objects {
        let place = WarehouseStore::memory();
        let options = MakeOptions { verify: false, check: &stop(after) };
        let e = Backup::make(&store, &pin, &place, options).await.unwrap_err();
        assert_eq!(e.message(), "stopped");
        assert_eq!(Backup::all(&place).await.unwrap(), []);
    }
    let place = WarehouseStore::memory();
    let options = MakeOptions { verify: false, check: &stop(objects + 1) };
    let made = Backup::make(&store, &pin, &place, options).await.unwrap();
    assert_eq!(made.copied, objects);
    for after in 0..=objects + 1 {
        let catalog = create(&WarehouseStore::memory()).await;
        let transaction = catalog.begin(USER);
        let outcome = catalog.restore(&place, &made.backup, transaction, &stop(after)).await;
        assert_eq!(outcome.is_ok(), after > objects, "{after}");
        assert_eq!(catalog.snapshot().tables.is_empty(), after <= objects, "{after}");
    }
}
