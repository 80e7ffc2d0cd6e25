//! Rank maps of interleaved sort keys in the catalog.

use std::sync::Arc;

use bytes::Bytes;

use super::util::*;
use crate::catalog::apply::apply;
use crate::catalog::checkpoint::{decode_table, encode_table};
use crate::catalog::frame::{self, FEATURE_INTERLEAVED, HEADER_BYTES, Magic};
use crate::catalog::*;
use crate::common::*;
use crate::testing::{CountedIds, Rng};

/// A table whose sort key is interleaved of `note` and `id`.
fn interleaved(schema: SchemaId, name: &str) -> TableDef {
    let columns = vec![ColumnId(2), ColumnId(1)];
    TableDef { sort: Some(SortKey { style: SortStyle::Interleaved, columns }), ..table_def(schema, name) }
}

fn map(version: u32, bound: i128) -> RankMap {
    let column = |column, bounds, nulls| RankColumn { column: ColumnId(column), bounds, nulls, sampled: [3; 16] };
    let text = vec![Scalar::Bytes(b"ab".to_vec()), Scalar::Bytes(b"b".to_vec())];
    RankMap { version, columns: vec![column(2, text, true), column(1, vec![Scalar::Int(bound)], false)] }
}

/// A segment of 10 rows, five of each of two coarse ranks.
fn ranked(ranked: RankChoice) -> NewSegment {
    let mut rank_counts = vec![0; 32];
    [0, 5, 16, 24].into_iter().for_each(|at| rank_counts[at] = 5);
    NewSegment { ranked, rank_counts, ..new_segment(inline("inline rows"), 0, 10) }
}

async fn create_interleaved(catalog: &Catalog) -> Arc<TableState> {
    let mut txn = catalog.begin(USER);
    let id = txn.create_table(interleaved(public(&catalog.snapshot()), "t"));
    let committed = catalog.commit(txn).await.unwrap();
    committed.snapshot.table(committed.tables[&id]).unwrap().clone()
}

fn load(txn: &mut Transaction, def: &TableDef, seen: u32, bound: i128) {
    txn.set_rank_map(def, seen, Arc::new(map(0, bound)));
    txn.append(def, vec![ranked(RankChoice::Brought)]);
}

/// A warehouse with a table, its map, and rows by it and by none.
async fn small_warehouse() -> (WarehouseStore, Catalog, Arc<TableState>) {
    let store = WarehouseStore::memory();
    let options = CatalogOptions { ids: Arc::new(CountedIds::new(1)), ..options() };
    let catalog = Catalog::open(store.clone(), OpenMode::Create(genesis()), options).await.unwrap();
    let table = create_interleaved(&catalog).await;
    let mut txn = catalog.begin(USER);
    txn.append(&table.def, vec![new_segment(inline("inline first"), 1, 2)]);
    load(&mut txn, &table.def, 0, 7);
    catalog.commit(txn).await.unwrap();
    let table = catalog.snapshot().table(table.def.id).unwrap().clone();
    (store, catalog, table)
}

fn features(bytes: &Bytes) -> u64 {
    u64::from_le_bytes(bytes[16..24].try_into().unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[tokio::test]
async fn the_stored_form_never_changes_and_keeps_older_readers_out() {
    let (store, catalog, table) = small_warehouse().await;
    let mut found = String::new();
    for version in 1..3 {
        let bytes = store.get(&paths::log_entry(Version(version))).await.unwrap().unwrap();
        assert_eq!(features(&bytes), FEATURE_INTERLEAVED);
        found += &format!("entry {version} {}\n", hex(&bytes));
    }
    let bytes = encode_table(&table).unwrap();
    assert_eq!(features(&bytes), FEATURE_INTERLEAVED);
    assert_eq!(decode_table(table.def.id, table.changed, &bytes).unwrap(), *table);
    found += &format!("table {}\n", hex(&bytes));
    assert_eq!(found, include_str!("ranks.txt"), "stored warehouses could no longer be read");
    // From the log, and from a checkpoint.
    assert_eq!(reopen(&store).await.snapshot().table(table.def.id).unwrap(), &table);
    catalog.checkpoint().await.unwrap();
    assert_eq!(reopen(&store).await.snapshot().table(table.def.id).unwrap(), &table);
    // A table beside it needs no new reader.
    let plain = create_table(&catalog, "plain").await;
    let bytes = store.get(&paths::log_entry(catalog.snapshot().version)).await.unwrap().unwrap();
    assert_eq!((features(&bytes), features(&encode_table(&plain).unwrap())), (0, 0));
}

#[tokio::test]
async fn the_first_of_two_maps_stays() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let table = create_interleaved(&catalog).await;
    let other = reopen(&store).await;
    let mut late = other.begin(USER);
    load(&mut late, &table.def, 0, 8);
    let mut first = catalog.begin(USER);
    load(&mut first, &table.def, 0, 7);
    catalog.commit(first).await.unwrap();
    let committed = other.commit(late).await.unwrap();
    committed.snapshot.check_invariants().unwrap();
    let both = committed.snapshot.table(table.def.id).unwrap();
    assert_eq!(*both.rank_map.as_ref().unwrap().as_ref(), map(1, 7));
    let told: Vec<_> = both.segments.iter().map(|s| (s.run.0, s.rank_map, s.rank_counts.len())).collect();
    assert_eq!(told, [(1, 1, 32), (2, 0, 0)]);
    assert_eq!(both.sorted_run(), Some(RunId(1)));
    // Who has seen the map may replace it, as a REINDEX will; runs of the old one stay what they are.
    let mut next = other.begin(USER);
    load(&mut next, &both.def, 1, 9);
    let next = other.commit(next).await.unwrap().snapshot;
    let three = next.table(table.def.id).unwrap();
    assert_eq!((three.rank_version(), three.sorted_run()), (2, Some(RunId(3))));
    assert_eq!(three.segments.iter().map(|s| s.rank_map).collect::<Vec<_>>(), [1, 0, 2]);
    // A late run of the old map is welcome: it says by which it was ordered.
    let mut old = catalog.begin(USER);
    old.append(&table.def, vec![ranked(RankChoice::By(1))]);
    let old = catalog.commit(old).await.unwrap().snapshot;
    assert_eq!(old.table(table.def.id).unwrap().segments.last().unwrap().rank_map, 1);
    assert_eq!(*reopen(&store).await.snapshot(), *old);
}

#[tokio::test]
async fn another_sort_key_forgets_the_map() {
    let (store, catalog, table) = small_warehouse().await;
    let columns = vec![ColumnId(1)];
    let mut def = TableDef::clone(&table.def);
    def.sort = Some(SortKey { style: SortStyle::Compound, columns });
    def.definition_version += 1;
    let mut txn = catalog.begin(USER);
    txn.alter_table(def);
    let altered = catalog.commit(txn).await.unwrap().snapshot;
    altered.check_invariants().unwrap();
    let state = altered.table(table.def.id).unwrap();
    assert_eq!(state.rank_map, None);
    assert!(state.segments.iter().all(|s| s.rank_map == 0 && s.rank_counts.is_empty()));
    assert_eq!(*reopen(&store).await.snapshot(), *altered);
}

#[tokio::test]
async fn impossible_maps_and_ranks_are_refused() {
    let (_, catalog, table) = small_warehouse().await;
    let id = table.def.id;
    let entry = |action| Entry {
        version: catalog.snapshot().version.next(),
        id: CommitId(9),
        previous: catalog.snapshot().entry,
        time_us: catalog.snapshot().time_us,
        transactions: vec![TransactionRecord {
            commit: CommitId(9),
            start: catalog.snapshot().version,
            author: USER,
            actions: vec![action],
        }],
    };
    let set = |change: &dyn Fn(&mut RankMap)| {
        let mut map = map(2, 7);
        change(&mut map);
        apply(&catalog.snapshot(), &entry(Action::SetRankMap { table: id, map: Arc::new(map) }))
    };
    set(&|_| {}).unwrap().check_invariants().unwrap();
    let wrong: [&dyn Fn(&mut RankMap); 9] = [
        &|m| m.version = 0,
        &|m| m.version = 1,
        &|m| drop(m.columns.pop()),
        &|m| m.columns.swap(0, 1),
        &|m| m.columns[0].bounds.swap(0, 1),
        &|m| m.columns[1].bounds.push(Scalar::Int(7)),
        &|m| m.columns[1].bounds[0] = Scalar::Bytes(b"7".to_vec()),
        &|m| m.columns[1].bounds = (0..256).map(Scalar::Int).collect(),
        &|m| m.columns[0].bounds[1] = Scalar::Bytes(vec![b'x'; RankColumn::MAX_BOUND_BYTES + 1]),
    ];
    for (i, change) in wrong.into_iter().enumerate() {
        assert_eq!(set(change).map(|_| ()).unwrap_err().kind(), ErrorKind::Corrupt, "{i}");
    }
    let add = |change: &dyn Fn(&mut SegmentRef)| {
        let mut segment = SegmentRef::clone(table.segments.iter().find(|s| s.rank_map == 1).unwrap());
        segment.id = SegmentId(99);
        segment.place = SegmentRef::place_of(segment.id);
        change(&mut segment);
        let segments = vec![Arc::new(segment)];
        apply(&catalog.snapshot(), &entry(Action::AddSegments { table: id, data_change: true, segments }))
    };
    add(&|_| {}).unwrap().check_invariants().unwrap();
    let wrong: [&dyn Fn(&mut SegmentRef); 4] =
        [&|s| s.rank_map = 2, &|s| s.rank_map = 0, &|s| s.rank_counts.truncate(31), &|s| s.rank_counts[20] = 1];
    for (i, change) in wrong.into_iter().enumerate() {
        assert_eq!(add(change).map(|_| ()).unwrap_err().kind(), ErrorKind::Corrupt, "{i}");
    }
    // A definition with more columns than are interleaved, or one twice.
    let mut def = TableDef::clone(&table.def);
    def.sort = Some(SortKey { style: SortStyle::Interleaved, columns: vec![ColumnId(1), ColumnId(1)] });
    assert!(def.check_invariants().unwrap_err().message().contains("invariant 6"));
}

#[tokio::test]
async fn hostile_bytes_are_refused_without_harm() {
    let (store, catalog, table) = small_warehouse().await;
    let entry = store.get(&paths::log_entry(Version(2))).await.unwrap().unwrap();
    let before = {
        let first = Entry::decode(Version(1), &store.get(&paths::log_entry(Version(1))).await.unwrap().unwrap());
        let genesis = Entry::decode(Version(0), &store.get(&paths::log_entry(Version(0))).await.unwrap().unwrap());
        apply(&crate::catalog::apply::apply_genesis(&genesis.unwrap()).unwrap(), &first.unwrap()).unwrap()
    };
    assert_eq!(apply(&before, &Entry::decode(Version(2), &entry).unwrap()).unwrap(), *catalog.snapshot());
    let mut rng = Rng::new(3);
    for (magic, good) in [(Magic::Log, entry), (Magic::CheckpointTable, encode_table(&table).unwrap())] {
        assert!(good.len() > HEADER_BYTES);
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
            }
            let bytes = frame::encode(magic, std::slice::from_ref(&parts.blobs), &body).unwrap();
            let outcome = match magic {
                Magic::Log => Entry::decode(Version(2), &bytes)
                    .and_then(|entry| apply(&before, &entry))
                    .and_then(|snapshot| snapshot.check_invariants()),
                _ => decode_table(table.def.id, table.changed, &bytes).map(|_| ()),
            };
            if let Err(e) = outcome {
                assert_eq!(e.kind(), ErrorKind::Corrupt, "{e:?}");
            }
        }
    }
}
