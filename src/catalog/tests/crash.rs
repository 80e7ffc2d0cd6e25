//! The local store over a disk that forgets: power is cut before every change of the disk, and what was not synced is
//! lost, kept, reordered or torn. Every acknowledged commit must be there afterwards, whole.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::ObjectStoreExt;

use super::util::*;
use crate::catalog::local_store::layer::FileLayer;
use crate::catalog::local_store::{LocalStore, SyncSite};
use crate::catalog::store::MakeDurable;
use crate::catalog::*;
use crate::common::*;
use crate::testing::{Crash, SimDisk, SimFiles, TestClock, seeds};

const ROOT: &str = "/srv/house";
type Outcome<T> = std::result::Result<T, String>;

async fn open(files: Arc<SimFiles>, without: Option<SyncSite>) -> Result<(WarehouseStore, Catalog)> {
    let local = LocalStore::open_without(ROOT, files, Arc::new(TestClock::default()), without).await?;
    let store = WarehouseStore::local(local);
    let catalog = Catalog::open(store.clone(), OpenMode::OpenOrCreate(genesis()), options()).await?;
    Ok((store, catalog))
}

/// What the process was told.
#[derive(Default)]
struct Told {
    /// The newest acknowledged snapshot.
    snapshot: Option<Arc<Snapshot>>,
    /// The last acknowledged content of an object that is overwritten.
    overwritten: u8,
    ended: bool,
}

async fn life(files: Arc<SimFiles>, without: Option<SyncSite>, told: &mut Told) -> Result<()> {
    let (store, catalog) = open(files, without).await?;
    told.snapshot = Some(catalog.snapshot());
    let table = try_create_table(&catalog, "t").await?;
    told.snapshot = Some(catalog.snapshot());

    for round in 0..3u8 {
        let mut txn = catalog.begin(USER);
        let stored = put_object(&store, txn.object(0)).await?;
        txn.append(&table.def, vec![new_segment(stored, 1, 10), new_segment(inline("inline"), 0, 1)]);
        told.snapshot = Some(catalog.commit(txn).await?.snapshot);

        let path = paths::system_log("queries", "newest");
        store.replace(&path, vec![round + 1; 3].into()).await?;
        told.overwritten = round + 1;

        let mut txn = catalog.begin(USER);
        let segment = catalog.snapshot().table(table.def.id).unwrap().segments[0].clone();
        // An object written in parts.
        let id = txn.object(0);
        let content = id.to_string();
        let mut upload = store
            .objects()
            .put_multipart_opts(&paths::object(&id), Default::default())
            .await
            .map_err(|e| Error::unavailable(e.to_string()))?;
        for part in content.as_bytes().chunks(20) {
            upload.put_part(part.to_vec().into()).await.map_err(|e| Error::unavailable(e.to_string()))?;
        }
        upload.complete().await.map_err(|e| Error::unavailable(e.to_string()))?;
        let blob = Blob::Stored(Extent { object: id, offset: 0, len: content.len() as u64 });
        txn.set_delete_vectors(
            &table.def,
            vec![NewDeleteVector { segment: segment.id, expected: segment.deleted, blob, rows: 1, killed: None }],
        );
        told.snapshot = Some(catalog.commit(txn).await?.snapshot);
        catalog.checkpoint().await?;
    }
    catalog.collect().await?;
    told.snapshot = Some(catalog.snapshot());
    told.ended = true;
    catalog.close().await
}

async fn check(disk: &SimDisk, told: &Told, context: &str) -> Outcome<()> {
    let wrong = |what: String| Err(format!("{context}: {what}"));
    let (store, catalog) = match open(disk.process(None), None).await {
        Ok(opened) => opened,
        Err(e) => return wrong(format!("does not open: {e:?}")),
    };
    let found = catalog.snapshot();
    if let Some(acknowledged) = &told.snapshot {
        // A collection makes two versions before it returns.
        let ahead = found.version.0.checked_sub(acknowledged.version.0);
        if ahead.is_none_or(|n| n > 2) || (ahead == Some(0) && *found != **acknowledged) {
            return wrong(format!("version {} was acknowledged, {} is there", acknowledged.version, found.version));
        }
    }
    if let Err(e) = read_everything(&store, &found).await {
        return wrong(e);
    }
    let overwritten = store.get(&paths::system_log("queries", "newest")).await.map_err(|e| e.to_string())?;
    let overwritten = match overwritten.as_deref() {
        None => 0,
        Some(&[a, b, c]) if a == b && b == c => a,
        Some(other) => return wrong(format!("a torn object {other:?}")),
    };
    if overwritten < told.overwritten {
        return wrong(format!("content {} was acknowledged, {overwritten} is there", told.overwritten));
    }
    // And it goes on from here.
    for name in ["a", "b"] {
        let mut txn = catalog.begin(USER);
        let Some(schema) = found.schema_named("public") else { return wrong("no schema".into()) };
        txn.create_table(table_def(schema.id, name));
        if let Err(e) = catalog.commit(txn).await {
            return wrong(format!("does not go on: {e:?}"));
        }
    }
    Ok(())
}

/// Cuts a life at every change of the disk.
async fn cut_everywhere(without: Option<SyncSite>) -> Outcome<usize> {
    let whole = SimDisk::default();
    let files = whole.process(None);
    life(files.clone(), without, &mut Told::default()).await.map_err(|e| e.to_string())?;
    let changes = files.changes();
    for cut in 0..=changes {
        let disk = SimDisk::default();
        let mut told = Told::default();
        let ended = life(disk.process(Some(cut)), without, &mut told).await;
        assert!(ended.is_err() || told.ended);
        let mixed = seeds(0, 2).map(|seed| Crash::Mixed(seed << 32 | cut as u64));
        for crash in [Crash::Lost, Crash::Kept].into_iter().chain(mixed) {
            check(&disk.crash(crash), &told, &format!("cut {cut} of {changes}, {crash:?}")).await?;
        }
    }
    Ok(changes)
}

#[tokio::test]
async fn every_acknowledged_commit_survives_a_loss_of_power() {
    let changes = cut_everywhere(None).await.unwrap();
    assert!(changes > 100, "{changes} changes are too few to mean anything");
}

#[tokio::test]
async fn without_any_one_sync_commits_are_lost() {
    use SyncSite::*;
    for site in [PutContent, UploadContent, Name, MadeDirectory, MadeRoot] {
        assert!(cut_everywhere(Some(site)).await.is_err(), "{site:?} was left out, and nobody noticed");
    }
}

/// A process makes the root or a directory in it, and stops before the name is safe; another finds it, and shows and
/// builds on what stands there.
async fn second_in_a_directory(first: SyncSite, without: Option<SyncSite>) -> Outcome<()> {
    let disk = SimDisk::default();
    // Above the root all is safe.
    let files = disk.process(None);
    files.create_dir("/srv".as_ref()).and_then(|()| files.sync_dir("/".as_ref())).map_err(|e| e.to_string())?;
    let (_, stopped) = open(disk.process(None), Some(first)).await.map_err(|e| e.to_string())?;
    let table = create_table(&stopped, "t").await;
    let (_, b) = open(disk.process(None), without).await.map_err(|e| e.to_string())?;
    let mut told = Told { snapshot: Some(b.snapshot()), ..Default::default() };
    for context in ["shown", "built on"] {
        for crash in [Crash::Lost, Crash::Kept].into_iter().chain((0..8).map(Crash::Mixed)) {
            check(&disk.crash(crash), &told, &format!("{context}, {crash:?}")).await?;
        }
        told.snapshot = Some(append(&b, &table.def, "inline").await.map_err(|e| e.to_string())?.snapshot);
    }
    Ok(())
}

#[tokio::test]
async fn directories_that_another_process_made_are_synced_before_they_are_relied_on() {
    for (first, second) in
        [(SyncSite::MadeDirectory, SyncSite::FoundDirectory), (SyncSite::MadeRoot, SyncSite::FoundRoot)]
    {
        second_in_a_directory(first, None).await.unwrap();
        let unnoticed = second_in_a_directory(first, Some(second)).await;
        assert!(unnoticed.is_err(), "{second:?} was left out, and nobody noticed");
    }
}

/// A process links an entry and stops before its sync (or, a careless copying tool, syncs nothing at all); another
/// finds the entry and shows it, or builds on it; then the power is lost.
async fn second_process(first: SyncSite, without: Option<SyncSite>) -> Outcome<()> {
    let disk = SimDisk::default();
    let (_, a) = open(disk.process(None), None).await.map_err(|e| e.to_string())?;
    let table = create_table(&a, "t").await;
    let (_, stopped) = open(disk.process(None), Some(first)).await.map_err(|e| e.to_string())?;
    let seen = append(&stopped, &table.def, "inline").await.map_err(|e| e.to_string())?;

    let b_files = disk.process(None);
    let (_, b) = open(b_files.clone(), without).await.map_err(|e| e.to_string())?;
    if b.snapshot().version != seen.version {
        return Err("the entry is not seen".into());
    }
    let shown = Told { snapshot: Some(b.snapshot()), ..Default::default() };
    for crash in [Crash::Lost, Crash::Kept, Crash::Mixed(1)] {
        check(&disk.crash(crash), &shown, &format!("shown, {crash:?}")).await?;
    }
    let changes = b_files.changes();
    // It commits; the power goes at each change of the disk that this takes.
    for cut in changes..changes + 12 {
        let disk = disk.crash(Crash::Kept);
        let (_, a) = open(disk.process(None), None).await.map_err(|e| e.to_string())?;
        let (_, stopped) = open(disk.process(None), Some(first)).await.map_err(|e| e.to_string())?;
        append(&stopped, &table.def, "inline").await.map_err(|e| e.to_string())?;
        drop(a);
        let Ok((_, b)) = open(disk.process(Some(cut)), without).await else { continue };
        let mut told = Told { snapshot: Some(b.snapshot()), ..Default::default() };
        if let Ok(committed) = append(&b, &table.def, "inline").await {
            told.snapshot = Some(committed.snapshot);
        }
        for crash in [Crash::Lost, Crash::Kept].into_iter().chain(seeds(0, 16).map(Crash::Mixed)) {
            check(&disk.crash(crash), &told, &format!("built on, cut {cut}, {crash:?}")).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_another_process_did_not_sync_is_synced_before_it_is_built_on() {
    second_process(SyncSite::Name, None).await.unwrap();
    second_process(SyncSite::PutContent, None).await.unwrap();
}

#[tokio::test]
async fn without_syncing_what_others_wrote_it_is_lost() {
    second_process(SyncSite::Name, Some(SyncSite::ForeignName)).await.unwrap_err();
    second_process(SyncSite::PutContent, Some(SyncSite::ForeignContent)).await.unwrap_err();
}

#[tokio::test]
async fn old_temporaries_are_swept_and_nothing_else_is() {
    let disk = SimDisk::default();
    let clock = Arc::new(TestClock::at(2_000_000));
    let open = async || {
        let store = LocalStore::open_with(ROOT, disk.process(None), clock.clone()).await.unwrap();
        store.prepare().await.unwrap();
        store
    };
    let files = disk.process(None);
    let folder = std::path::Path::new(ROOT).join(paths::TEMPORARY);
    let temporaries = || {
        let mut names: Vec<String> = files.list(&folder).unwrap().into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    };
    let abandon = async |store: &Arc<LocalStore>| {
        let mut upload = store.put_multipart(&"data/x".into()).await.unwrap();
        upload.put_part("never completed".into()).await.unwrap();
    };
    abandon(&open().await).await;
    assert_eq!(temporaries().len(), 1);
    // Whose directory it is, nobody knows before there is a warehouse.
    clock.advance(7 * 3600 * 1_000_000);
    let store = open().await;
    assert_eq!(temporaries().len(), 1);
    create(&WarehouseStore::local(store)).await;
    let foreign = ["0123456789ABCDEF0123456789abcdef", "0123456789abcdef", "notes.txt"];
    for name in foreign {
        files.create(&folder.join(name)).unwrap();
    }
    files.create_dir(&folder.join("0".repeat(32))).unwrap();
    open().await;
    let kept: Vec<String> = ["0".repeat(32)].into_iter().chain(foreign.map(String::from)).collect();
    let mut left = temporaries();
    left.sort_by_key(|name| kept.iter().position(|k| k == name));
    assert_eq!(left, kept);
    // A young one may be in use.
    clock.set(2_000_000);
    abandon(&open().await).await;
    open().await;
    assert_eq!(temporaries().len(), kept.len() + 1);
}
