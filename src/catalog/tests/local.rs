//! The local store on the real file system.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use super::util::*;
use crate::catalog::local_store::LocalStore;
use crate::catalog::*;
use crate::common::*;

#[tokio::test]
async fn objects_are_put_read_listed_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path().join("a/b")).await.unwrap();
    let path = Path::from("data/x/1");
    let create = || PutOptions { mode: PutMode::Create, ..Default::default() };
    store.put_opts(&path, "0123456789".into(), create()).await.unwrap();
    assert!(matches!(store.put_opts(&path, "other".into(), create()).await, Err(Error::AlreadyExists { .. })));
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "0123456789");
    assert_eq!(store.get_range(&path, 2..5).await.unwrap(), "234");
    assert_eq!(store.get_ranges(&path, &[8..10, 0..1]).await.unwrap(), ["89", "0"]);
    assert!(store.get_ranges(&path, &[0..1, 8..11]).await.is_err());
    let suffix = GetOptions { range: Some(GetRange::Suffix(3)), ..Default::default() };
    assert_eq!(store.get_opts(&path, suffix).await.unwrap().bytes().await.unwrap(), "789");
    let head = store.head(&path).await.unwrap();
    assert_eq!(head.size, 10);
    let unchanged = GetOptions { if_none_match: head.e_tag.clone(), ..Default::default() };
    assert!(matches!(store.get_opts(&path, unchanged).await, Err(Error::NotModified { .. })));
    store.put(&path, "new".into()).await.unwrap();
    assert_ne!(store.head(&path).await.unwrap().e_tag, head.e_tag);
    for missing in ["data/x/2", "data/x/1/2", "nowhere/at/all"] {
        assert!(matches!(store.get(&missing.into()).await, Err(Error::NotFound { .. })), "{missing}");
    }
    assert!(store.get(&Path::from("data/x")).await.is_err(), "a directory is no object");

    store.put(&"data/y".into(), "".into()).await.unwrap();
    store.copy(&path, &"copy".into()).await.unwrap();
    assert!(matches!(store.copy_if_not_exists(&path, &"copy".into()).await, Err(Error::AlreadyExists { .. })));
    store.rename(&"copy".into(), &"moved".into()).await.unwrap();
    let names = |objects: Vec<object_store::ObjectMeta>| {
        objects.into_iter().map(|o| o.location.to_string()).collect::<Vec<_>>()
    };
    let all: Vec<_> = store.list(None).try_collect().await.unwrap();
    assert_eq!(names(all), ["data/x/1", "data/y", "moved"]);
    let after: Vec<_> = store.list_with_offset(None, &"data/x/1".into()).try_collect().await.unwrap();
    assert_eq!(names(after), ["data/y", "moved"]);
    let direct = store.list_with_delimiter(Some(&"data".into())).await.unwrap();
    assert_eq!(direct.common_prefixes, [Path::from("data/x")]);
    assert_eq!(names(direct.objects), ["data/y"]);
    let none: Vec<_> = store.list(Some(&"nowhere".into())).try_collect().await.unwrap();
    assert!(none.is_empty());
    store.delete(&path).await.unwrap();
    assert!(matches!(store.delete(&path).await, Err(Error::NotFound { .. })));
    assert!(store.put(&"_tmp/mine".into(), "".into()).await.is_err());
}

#[tokio::test]
async fn a_large_object_is_written_in_parts_and_read_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path()).await.unwrap();
    let path = Path::from("data/large");
    let mut upload = store.put_multipart(&path).await.unwrap();
    let parts: Vec<_> = (0..5u8).map(|i| upload.put_part(vec![i; 4 << 20].into())).collect();
    // Awaited in the wrong order.
    for part in parts.into_iter().rev() {
        part.await.unwrap();
    }
    assert!(store.head(&path).await.is_err(), "not seen before it is complete");
    upload.complete().await.unwrap();
    let got = store.get(&path).await.unwrap();
    let pieces: Vec<_> = got.into_stream().try_collect().await.unwrap();
    assert!(pieces.len() > 1);
    let all = pieces.concat();
    assert_eq!(all.len(), 20 << 20);
    assert!(all.chunks(4 << 20).enumerate().all(|(i, part)| part.iter().all(|b| usize::from(*b) == i)));

    let mut abandoned = store.put_multipart(&"data/other".into()).await.unwrap();
    abandoned.put_part("x".into()).await.unwrap();
    abandoned.abort().await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join(paths::TEMPORARY)).unwrap().count(), 0);
}

#[tokio::test]
async fn a_directory_becomes_a_warehouse_and_stays_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = WarehouseStore::local(LocalStore::open(dir.path()).await.unwrap());
    let catalog = create(&store).await;
    let table = create_table(&catalog, "t").await;
    for i in 0..5 {
        append(&catalog, &table.def, &format!("inline {i}")).await.unwrap();
    }
    catalog.checkpoint().await.unwrap();
    catalog.collect().await.unwrap();
    let store = WarehouseStore::local(LocalStore::open(dir.path()).await.unwrap());
    let again = reopen(&store).await;
    assert_eq!(*again.snapshot(), *catalog.snapshot());
    read_everything(&store, &again.snapshot()).await.unwrap();
    catalog.close().await.unwrap();
    again.close().await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("_lease")).unwrap().count(), 0);
}

/// Everything below a directory: of files the content, of directories nothing.
fn tree(dir: &std::path::Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => {
                found.extend(tree(&path));
                found.insert(path, None);
            }
            false => drop(found.insert(path.clone(), Some(std::fs::read(path).unwrap()))),
        }
    }
    found
}

/// A file last changed in 1970.
fn old_file(path: &std::path::Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    std::fs::File::options().write(true).open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
}

#[tokio::test]
async fn what_is_no_warehouse_stays_as_it_is() {
    let digest = format!("_tmp/{:032x}", 7);
    let places: [(&[&str], ErrorKind); 4] = [
        (&["notes.txt", "_tmp/letter.txt", &digest], ErrorKind::Invalid),
        (&["_tmp/letter.txt", &digest], ErrorKind::Invalid),
        (&["_tmp"], ErrorKind::Invalid),
        (&["_log/00000000000000000000", &digest], ErrorKind::Corrupt),
    ];
    for (files, kind) in places {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|file| old_file(&dir.path().join(file), "mine"));
        let before = tree(dir.path());
        for mode in [OpenMode::Existing, OpenMode::OpenOrCreate(genesis()), OpenMode::Create(genesis())] {
            let store = WarehouseStore::local(LocalStore::open(dir.path()).await.unwrap());
            let e = Catalog::open(store, mode, options()).await.unwrap_err();
            assert_eq!(e.kind(), kind, "{files:?}: {e:?}");
            assert_eq!(tree(dir.path()), before, "{files:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_made_in_vain() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("a/b");
    let store = async || WarehouseStore::local(LocalStore::open(&root).await.unwrap());
    let e = Catalog::open(store().await, OpenMode::Existing, options()).await.unwrap_err();
    assert_eq!((e.kind(), e.state()), (ErrorKind::Invalid, SqlState::UNDEFINED_FILE));
    let mut impossible = genesis();
    impossible.info.slices = 0;
    Catalog::open(store().await, OpenMode::Create(impossible), options()).await.unwrap_err();
    assert!(tree(dir.path()).is_empty());
    // An empty directory is left empty, and becomes a warehouse when one is wanted.
    std::fs::create_dir_all(&root).unwrap();
    Catalog::open(store().await, OpenMode::Existing, options()).await.unwrap_err();
    assert!(tree(&root).is_empty());
    Catalog::open(store().await, OpenMode::OpenOrCreate(genesis()), options()).await.unwrap();
    assert!(root.join(paths::TEMPORARY).is_dir());
    // A file where the directory would be.
    std::fs::write(dir.path().join("file"), "").unwrap();
    for taken in ["file", "file/below"] {
        let e = LocalStore::open(dir.path().join(taken)).await.unwrap_err();
        assert!(e.message().contains("cannot open the directory"), "{e:?}");
    }
}

#[tokio::test]
async fn a_thousand_tables_open_quickly() {
    let dir = tempfile::tempdir().unwrap();
    let store = WarehouseStore::local(LocalStore::open(dir.path()).await.unwrap());
    let catalog = create(&store).await;
    let mut txn = catalog.begin(USER);
    let schema = public(&catalog.snapshot());
    for i in 0..1000 {
        txn.create_table(table_def(schema, &format!("t{i}")));
    }
    catalog.commit(txn).await.unwrap();
    catalog.checkpoint().await.unwrap();
    let start = std::time::Instant::now();
    let again = reopen(&store).await;
    let took = start.elapsed();
    assert_eq!(again.snapshot().tables.len(), 1000);
    println!("opening 1,000 tables took {took:?}");
    assert!(took.as_secs() < 5);
}
