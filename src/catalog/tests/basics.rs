use std::sync::Arc;

use super::util::*;
use crate::catalog::*;
use crate::common::*;
use crate::testing::TestClock;

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let mut txn = catalog.begin(USER);
    let schema = txn.create_schema("sales", USER);
    let mut def = table_def(schema, "orders");
    def.id = txn.create_table(def.clone());
    let own = table_def(schema, "orders");
    txn.append(
        &TableDef { id: def.id, ..own },
        vec![new_segment(inline("first"), 1, 10), new_segment(inline("second"), 0, 5)],
    );
    let committed = catalog.commit(txn).await.unwrap();
    assert_eq!(committed.version, Version(1));
    let table = committed.snapshot.table(committed.tables[&def.id]).unwrap();
    assert_eq!(table.def.schema, committed.schemas[&schema]);
    assert_eq!(committed.segments, vec![(table.def.id, vec![SegmentId(1), SegmentId(2)])]);
    assert_eq!(table.segments.iter().map(|s| (s.slice, s.rows)).collect::<Vec<_>>(), [(0, 5), (1, 10)]);

    let again = reopen(&store).await;
    assert_eq!(*again.snapshot(), *committed.snapshot);
    again.snapshot().check_invariants().unwrap();
    let segment = &again.snapshot().table(table.def.id).unwrap().segments[0].clone();
    assert_eq!(store.read(&segment.extent).await.unwrap().unwrap(), "second");
}

#[tokio::test]
async fn a_warehouse_begins_only_where_nothing_is() {
    let store = WarehouseStore::memory();
    let open = |mode| Catalog::open(store.clone(), mode, options());
    let missing = open(OpenMode::Existing).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Invalid);
    store.objects().put_opts(&"a.csv".into(), "1".into(), Default::default()).await.unwrap();
    for mode in [OpenMode::Existing, OpenMode::OpenOrCreate(genesis()), OpenMode::Create(genesis())] {
        let other = open(mode).await.unwrap_err();
        assert!(other.message().contains("is not a Blueshift warehouse"), "{other}");
        assert!(other.hint().is_some());
    }
    let store = WarehouseStore::memory();
    create(&store).await;
    let twice = Catalog::open(store.clone(), OpenMode::Create(genesis()), options()).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Invalid);
    Catalog::open(store.clone(), OpenMode::OpenOrCreate(genesis()), options()).await.unwrap();
}

#[tokio::test]
async fn wishes_that_cannot_be_granted_say_why() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let table = create_table(&catalog, "t").await;
    let schema = catalog.snapshot().schemas[&table.def.schema].clone();
    let fails = async |wish: &dyn Fn(&mut Transaction)| {
        let mut txn = catalog.begin(USER);
        wish(&mut txn);
        catalog.commit(txn).await.unwrap_err()
    };
    let e = fails(&|t| {
        let _ = t.create_table(table_def(schema.id, "t"));
    })
    .await;
    assert_eq!((e.kind(), e.state()), (ErrorKind::Invalid, SqlState::DUPLICATE_TABLE));
    let e = fails(&|t| {
        let _ = t.create_schema("public", USER);
    })
    .await;
    assert_eq!(e.state(), SqlState::DUPLICATE_SCHEMA);
    let e = fails(&|t| t.drop_schema(&schema, false)).await;
    assert_eq!(e.state(), SqlState::DEPENDENT_OBJECTS);
    let mut other = TableDef::clone(&table.def);
    other.id = TableId(99);
    let e = fails(&|t| t.drop_table(&other, false)).await;
    assert_eq!(e.state(), SqlState::UNDEFINED_TABLE);
    let e = fails(&|t| {
        let _ = t.create_table(table_def(SchemaId(50), "u"));
    })
    .await;
    assert_eq!(e.state(), SqlState::UNDEFINED_SCHEMA);
    assert_eq!(catalog.refresh().await.unwrap().version, Version(1), "nothing was written");

    let mut txn = catalog.begin(USER);
    txn.drop_schema(&schema, true);
    let after = catalog.commit(txn).await.unwrap().snapshot;
    assert!(after.tables.is_empty() && after.schemas.is_empty());
    after.check_invariants().unwrap();
}

#[tokio::test]
async fn appends_commute_and_everything_else_conflicts() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let other = reopen(&store).await;
    let table = create_table(&catalog, "t").await;
    other.refresh().await.unwrap();

    // Two processes append from one base.
    let (mut a, mut b) = (catalog.begin(USER), other.begin(USER));
    a.append(&table.def, vec![new_segment(inline("a"), 0, 10)]);
    b.append(&table.def, vec![new_segment(inline("b"), 0, 10)]);
    catalog.commit(a).await.unwrap();
    let both = other.commit(b).await.unwrap().snapshot;
    let segments = both.table(table.def.id).unwrap().segments.clone();
    assert_eq!(segments.len(), 2);
    catalog.refresh().await.unwrap();

    // Two processes delete from one segment; of one that vacuums it nobody knows.
    let first_dead = || Blob::Inline(dead(1).into());
    let delete = |txn: &mut Transaction| {
        let vector =
            NewDeleteVector { segment: segments[0].id, expected: None, blob: first_dead(), rows: 1, killed: None };
        txn.set_delete_vectors(&table.def, vec![vector]);
    };
    let (mut a, mut b, mut c, mut d) = (catalog.begin(USER), other.begin(USER), other.begin(USER), other.begin(USER));
    delete(&mut a);
    delete(&mut b);
    let seen = both.table(table.def.id).unwrap();
    rewrite(other.store(), &mut c, seen, &[segments[0].id], new_segment(inline("c"), 0, 10)).await.unwrap();
    d.require_unchanged(&table.def);
    d.create_schema("copy", USER);
    catalog.commit(a).await.unwrap();
    let vacuumed = other.commit(c).await.unwrap().snapshot.table(table.def.id).unwrap().clone();
    let dead: Vec<u32> = vacuumed.segments.iter().map(|s| s.deleted.map_or(0, |d| d.rows)).collect();
    assert_eq!(dead, [0, 1]);
    for txn in [b, d] {
        let e = other.commit(txn).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Conflict);
        assert!(e.message().contains("Serializable isolation violation on table \"t\""), "{e}");
    }

    // The definition changes under an append, then goes.
    let mut late = other.begin(USER);
    late.append(&table.def, vec![new_segment(inline("late"), 0, 1)]);
    let mut altered = TableDef::clone(&table.def);
    altered.name = "renamed".into();
    altered.definition_version += 1;
    let mut alter = catalog.begin(USER);
    alter.alter_table(altered.clone());
    let renamed = catalog.commit(alter).await.unwrap().snapshot;
    assert!(renamed.table_named(table.def.schema, "renamed").is_some());
    assert!(renamed.table_named(table.def.schema, "t").is_none());
    let e = other.commit(late).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
    assert!(e.message().contains("table \"t\" was altered"), "{e}");
    let mut late = other.begin(USER);
    late.append(&altered, vec![new_segment(inline("late"), 0, 1)]);
    let mut dropping = catalog.begin(USER);
    dropping.drop_table(&altered, false);
    catalog.commit(dropping).await.unwrap();
    let e = other.commit(late).await.unwrap_err();
    assert!(e.message().contains("table \"renamed\" was dropped"), "{e}");
    assert_eq!(*reopen(&store).await.snapshot(), *other.refresh().await.unwrap());
}

#[tokio::test]
async fn a_run_grows_only_from_where_it_was_seen_to_end() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let table = create_table(&catalog, "t").await;
    append(&catalog, &table.def, "1").await.unwrap();
    let extend = |txn: &mut Transaction| {
        let segment = |text| NewSegment { run: RunChoice::Extend(RunId(1)), ..new_segment(inline(text), 0, 1) };
        txn.append(&table.def, vec![segment("2"), segment("3")]);
    };
    let (mut a, mut b) = (catalog.begin(USER), catalog.begin(USER));
    extend(&mut a);
    extend(&mut b);
    catalog.commit(a).await.unwrap();
    let last = catalog.commit(b).await.unwrap();
    let runs: Vec<u64> = last.snapshot.table(table.def.id).unwrap().segments.iter().map(|s| s.run.0).collect();
    assert_eq!(runs, [1, 1, 1, 4, 4]);
}

/// Their keys may overlap, so that one run of them all would have no order.
#[tokio::test]
async fn transactions_that_share_an_entry_have_runs_of_their_own() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let table = create_table(&catalog, "t").await;
    let (a, b, c) = tokio::join!(
        append(&catalog, &table.def, "1"),
        append(&catalog, &table.def, "2"),
        append(&catalog, &table.def, "3")
    );
    let versions = [a, b, c].map(|committed| committed.unwrap().version);
    assert_eq!(versions, [versions[0]; 3], "one entry");
    let table = catalog.snapshot().table(table.def.id).unwrap().clone();
    assert_eq!(table.segments.iter().map(|s| (s.id.0, s.run.0)).collect::<Vec<_>>(), [(1, 1), (2, 2), (3, 3)]);
}

#[tokio::test]
async fn checkpoints_replace_the_log_and_unchanged_tables_are_not_written_again() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let (a, b) = (create_table(&catalog, "a").await, create_table(&catalog, "b").await);
    append(&catalog, &a.def, "1").await.unwrap();
    catalog.checkpoint().await.unwrap();
    append(&catalog, &b.def, "2").await.unwrap();
    append(&catalog, &b.def, "3").await.unwrap();
    catalog.checkpoint().await.unwrap();
    append(&catalog, &b.def, "4").await.unwrap();
    let objects = store.list(&paths::checkpoint_table_folder()).await.unwrap();
    assert_eq!(objects.len(), 3, "a once, b twice");
    // Without the entries that the checkpoint covers.
    for v in 1..=5 {
        store.delete(&paths::log_entry(Version(v))).await.unwrap();
    }
    let again = reopen(&store).await;
    assert_eq!(*again.snapshot(), *catalog.snapshot());
}

#[tokio::test]
async fn a_damaged_checkpoint_is_passed_over_while_the_log_is_whole() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let a = create_table(&catalog, "a").await;
    append(&catalog, &a.def, "1").await.unwrap();
    let at = catalog.checkpoint().await.unwrap();
    store.replace(&paths::checkpoint_root(at), "garbage".into()).await.unwrap();
    assert_eq!(*reopen(&store).await.snapshot(), *catalog.snapshot());
    store.delete(&paths::log_entry(Version(2))).await.unwrap();
    let e = Catalog::open(store.clone(), OpenMode::Existing, options()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Corrupt);
    assert!(e.object().is_some());
}

#[tokio::test]
async fn time_never_decreases() {
    let store = WarehouseStore::memory();
    let clock = Arc::new(TestClock::at(5_000_000));
    let catalog = Catalog::open(store.clone(), OpenMode::Create(genesis()), options_at(clock.clone())).await.unwrap();
    clock.set(3);
    create_table(&catalog, "a").await;
    assert_eq!(catalog.snapshot().time_us, 5_000_000);
    clock.set(7_000_000);
    create_table(&catalog, "b").await;
    assert_eq!(catalog.snapshot().time_us, 7_000_000);
}

#[tokio::test]
async fn an_entry_is_as_large_with_many_tables_as_with_one() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let table = create_table(&catalog, "t").await;
    let size = async |v: Version| store.get(&paths::log_entry(v)).await.unwrap().unwrap().len();
    let before = size(append(&catalog, &table.def, "rows").await.unwrap().version).await;
    let mut txn = catalog.begin(USER);
    for i in 0..1000 {
        txn.create_table(table_def(table.def.schema, &format!("t{i}")));
    }
    catalog.commit(txn).await.unwrap();
    let after = size(append(&catalog, &table.def, "rows").await.unwrap().version).await;
    assert!(after <= before + 16, "{before} bytes, then {after}");
}

#[tokio::test]
async fn a_transaction_that_fails_fails_alone() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let table = create_table(&catalog, "t").await;
    let mut tasks = Vec::new();
    for i in 0..9 {
        let mut txn = catalog.begin(USER);
        txn.append(&table.def, vec![new_segment(inline(&format!("row {i}")), 0, 1)]);
        if i % 3 == 0 {
            txn.create_table(table_def(table.def.schema, "t"));
        }
        let catalog = catalog.clone();
        tasks.push(tokio::spawn(async move { (i, catalog.commit(txn).await) }));
    }
    let mut texts = Vec::new();
    let mut versions = Vec::new();
    for task in tasks {
        let (i, outcome) = task.await.unwrap();
        match outcome {
            Ok(committed) => {
                let segment = committed.segments[0].1[0];
                let extent = committed.snapshot.table(table.def.id).unwrap().segment(segment).unwrap().extent;
                assert_eq!(store.read(&extent).await.unwrap().unwrap(), format!("row {i}"));
                versions.push(committed.version);
                texts.push(i);
            }
            Err(e) => assert_eq!(e.state(), SqlState::DUPLICATE_TABLE),
        }
    }
    assert_eq!(texts, [1, 2, 4, 5, 7, 8]);
    versions.dedup();
    assert_eq!(versions.len(), 1, "one entry");
    assert_eq!(*reopen(&store).await.snapshot(), *catalog.snapshot());
}
