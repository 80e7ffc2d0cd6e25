//! Stored forms: they do not change, and whatever stands there instead is refused without harm.

use std::sync::Arc;

use bytes::Bytes;

use super::util::*;
use crate::catalog::apply::{apply, apply_genesis};
use crate::catalog::checkpoint::{decode_root, decode_table, encode_root, encode_table};
use crate::catalog::frame::{self, HEADER_BYTES, Magic};
use crate::catalog::lease::Lease;
use crate::catalog::*;
use crate::common::*;
use crate::testing::{CountedIds, Rng};

async fn small_warehouse() -> (WarehouseStore, Catalog) {
    let store = WarehouseStore::memory();
    let options = CatalogOptions { ids: Arc::new(CountedIds::new(1)), ..options() };
    let catalog = Catalog::open(store.clone(), OpenMode::Create(genesis()), options).await.unwrap();
    let table = create_table(&catalog, "t").await;
    let mut txn = catalog.begin(USER);
    let mut segment = new_segment(inline("inline rows"), 2, 10);
    segment.columns[0].bounds.min = Some(Scalar::Int(i128::MIN));
    let stored = Extent { object: txn.object(3), offset: 5, len: 60 };
    let text = Bounds::of_values(Scalar::Bytes(b"a".to_vec()), Scalar::Bytes(b"z".to_vec()), 1, 9);
    let mut second = new_segment(Blob::Stored(stored), 1, 9);
    second.columns = vec![SegmentColumn { id: ColumnId(2), bounds: text, bytes: 12 }];
    second.deleted = Some((inline("inline deletes"), 4));
    txn.append(&table.def, vec![segment, second]);
    catalog.commit(txn).await.unwrap();
    (store, catalog)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[tokio::test]
async fn the_stored_forms_never_change() {
    let (store, catalog) = small_warehouse().await;
    let snapshot = catalog.snapshot();
    let table = snapshot.tables.values().next().unwrap();
    let lease = Lease {
        process: CommitId(5),
        time_us: 1,
        until_us: 2,
        oldest_pinned: Version(3),
        oldest_transaction: Some(Version(4)),
    };
    let mut found = String::new();
    for version in 0..3 {
        let bytes = store.get(&paths::log_entry(Version(version))).await.unwrap().unwrap();
        found += &format!("entry {version} {}\n", hex(&bytes));
    }
    found += &format!("root {}\n", hex(&encode_root(&snapshot).unwrap()));
    found += &format!("table {}\n", hex(&encode_table(table).unwrap()));
    found += &format!("lease {}\n", hex(&lease.encode().unwrap()));
    assert_eq!(found, include_str!("golden.txt"), "stored warehouses could no longer be read");
}

/// Puts a body, and blobs, into a frame with right checksums.
fn framed(magic: Magic, blobs: &Bytes, body: &[u8]) -> Bytes {
    frame::encode(magic, std::slice::from_ref(blobs), body).unwrap()
}

/// Decodes as each kind, and applies what is an entry. Only that it returns matters.
fn digest(magic: Magic, bytes: &Bytes, snapshot: &Snapshot) -> Result<()> {
    let table = snapshot.tables.values().next().unwrap();
    match magic {
        Magic::Log => {
            let entry = Entry::decode(snapshot.version.next(), bytes).or_else(|_| Entry::decode(Version(0), bytes))?;
            let _ = apply_genesis(&entry);
            apply(snapshot, &entry)?.check_invariants()
        }
        Magic::CheckpointRoot => decode_root(snapshot.version, bytes).map(|_| ()),
        Magic::CheckpointTable => decode_table(table.def.id, table.changed, bytes).map(|_| ()),
        Magic::Lease => Lease::decode(CommitId(5), bytes).map(|_| ()),
        Magic::Backup => backup::decode(snapshot.version, bytes).map(|_| ()),
    }
}

#[tokio::test]
async fn hostile_bytes_are_refused_without_harm() {
    let (store, catalog) = small_warehouse().await;
    let newest = catalog.snapshot();
    let genesis = apply_genesis(&load::read_entry(&store, Version(0)).await.unwrap().unwrap()).unwrap();
    let table = newest.tables.values().next().unwrap();
    let second = apply(&genesis, &load::read_entry(&store, Version(1)).await.unwrap().unwrap()).unwrap();
    let lease =
        Lease { process: CommitId(5), time_us: 1, until_us: 2, oldest_pinned: Version(3), oldest_transaction: None };
    let entry = |v| {
        let store = store.clone();
        async move { store.get(&paths::log_entry(Version(v))).await.unwrap().unwrap() }
    };
    let samples = [
        (Magic::Log, entry(2).await, &second),
        (Magic::Log, entry(1).await, &newest),
        (Magic::CheckpointRoot, encode_root(&newest).unwrap(), &*newest),
        (Magic::CheckpointTable, encode_table(table).unwrap(), &*newest),
        (Magic::Lease, lease.encode().unwrap(), &*newest),
    ];
    let mut rng = Rng::new(1);
    for (magic, good, snapshot) in samples {
        let refused = |bytes: Vec<u8>| {
            let e = digest(magic, &Bytes::from(bytes), snapshot).unwrap_err();
            assert!(matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "{e:?}");
            e
        };
        for len in 0..good.len() {
            let e = refused(good[..len].to_vec());
            assert!(e.object().is_some() && e.offset().is_some());
        }
        for at in 0..good.len() {
            let mut bytes = good.to_vec();
            bytes[at] ^= 1 << rng.below(8);
            refused(bytes);
        }
        // Wrong bytes with right checksums: anything but a panic.
        let parts = frame::decode(magic, &good).unwrap();
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
                if body.is_empty() {
                    body.push(0);
                }
            }
            if let Err(e) = digest(magic, &framed(magic, &parts.blobs, &body), snapshot) {
                assert_eq!(e.kind(), ErrorKind::Corrupt, "{e:?}");
            }
        }
        // Lengths that promise what is not there.
        let mut bytes = good[..HEADER_BYTES].to_vec();
        bytes[24..32].fill(0xff);
        let crc = crc32c::crc32c(&bytes[..44]);
        bytes[44..48].copy_from_slice(&crc.to_le_bytes());
        refused(bytes);
    }
}

#[tokio::test]
async fn what_a_newer_blueshift_wrote_is_told_from_what_is_damaged() {
    let (store, _) = small_warehouse().await;
    let path = paths::log_entry(Version(2));
    let good = store.get(&path).await.unwrap().unwrap();
    for (at, what) in [(8, "format"), (17, "features"), (23, "features")] {
        let mut bytes = good.to_vec();
        bytes[at] |= 0x80;
        let crc = crc32c::crc32c(&bytes[..44]);
        bytes[44..48].copy_from_slice(&crc.to_le_bytes());
        store.replace(&path, bytes.into()).await.unwrap();
        let e = Catalog::open(store.clone(), OpenMode::Existing, options()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{what}: {e:?}");
        assert!(e.message().contains("newer version") && e.hint().is_some_and(|h| h.contains("upgrade")));
    }
    store.replace(&path, good.slice(1..)).await.unwrap();
    let e = Catalog::open(store.clone(), OpenMode::Existing, options()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Corrupt);
    assert_eq!(e.object(), Some(path.as_ref()));
}
