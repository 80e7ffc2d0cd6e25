//! Identities and constraints in the catalog.

use bytes::Bytes;

use super::util::*;
use crate::catalog::checkpoint::{decode_table, encode_table};
use crate::catalog::frame::FEATURE_TABLE_WORDS;
use crate::catalog::*;
use crate::common::*;

const IDENTITY: Identity = Identity { seed: 10, step: -3, by_default: false };

/// A table with an identity column, a key, and what refers to `parent`.
fn declared(schema: SchemaId, name: &str, parent: TableId) -> TableDef {
    let mut def = table_def(schema, name);
    def.columns[0].identity = Some(IDENTITY);
    def.columns[0].nullable = false;
    def.backup = false;
    def.sort_auto = true;
    let constraint = |name: Option<&str>, kind, column| ConstraintDef {
        name: name.map(Into::into),
        kind,
        columns: vec![ColumnId(column)],
        state: ConstraintState::NoRely,
    };
    def.constraints = vec![
        constraint(Some("t_id_fkey"), ConstraintKind::Unique, 2),
        constraint(None, ConstraintKind::PrimaryKey, 1),
        constraint(None, ConstraintKind::ForeignKey { table: parent, referenced: vec![ColumnId(1)] }, 1),
    ];
    def
}

fn features(bytes: &Bytes) -> u64 {
    u64::from_le_bytes(bytes[16..24].try_into().unwrap())
}

async fn reserve(catalog: &Catalog, def: &TableDef, needed: u64, wanted: u64) -> Result<(u64, u64)> {
    let mut txn = catalog.begin(USER);
    txn.reserve_identity(def, IDENTITY, needed, wanted);
    Ok(catalog.commit(txn).await?.identities[0])
}

#[tokio::test]
async fn readers_that_would_lose_words_are_kept_out() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let plain = create_table(&catalog, "plain").await;
    let entry = async |v| features(&store.get(&paths::log_entry(v)).await.unwrap().unwrap());
    assert_eq!(entry(catalog.snapshot().version).await, 0);
    assert_eq!(features(&encode_table(&plain).unwrap()), 0);
    let mut txn = catalog.begin(USER);
    let id = txn.create_table(declared(public(&catalog.snapshot()), "t", plain.def.id));
    let committed = catalog.commit(txn).await.unwrap();
    assert_eq!(entry(committed.version).await, FEATURE_TABLE_WORDS);
    let made = committed.snapshot.table(committed.tables[&id]).unwrap();
    assert_eq!(made.def.constraint_names(), ["t_id_fkey", "t_pkey", "t_id_fkey1"]);
    reserve(&catalog, &made.def, 5, 5).await.unwrap();
    assert_eq!(entry(catalog.snapshot().version).await, FEATURE_TABLE_WORDS);
    let table = catalog.snapshot().table(made.def.id).unwrap().clone();
    let bytes = encode_table(&table).unwrap();
    assert_eq!(features(&bytes), FEATURE_TABLE_WORDS);
    assert_eq!(decode_table(table.def.id, table.changed, &bytes).unwrap(), *table);
    // From the log, and from a checkpoint.
    assert_eq!(reopen(&store).await.snapshot().table(made.def.id).unwrap(), &table);
    catalog.checkpoint().await.unwrap();
    assert_eq!(reopen(&store).await.snapshot().table(made.def.id).unwrap(), &table);
    assert_eq!(reserve(&catalog, &made.def, 1, 1).await.unwrap(), (5, 1));
}

#[tokio::test]
async fn ranges_do_not_overlap_and_end_with_the_type() {
    let store = WarehouseStore::memory();
    let (one, parent) = {
        let catalog = create(&store).await;
        let parent = create_table(&catalog, "parent").await;
        (catalog, parent)
    };
    let mut def = declared(public(&one.snapshot()), "t", parent.def.id);
    def.columns[0].sql_type = SqlType::Integer;
    let mut txn = one.begin(USER);
    let id = txn.create_table(def);
    let committed = one.commit(txn).await.unwrap();
    let table = committed.snapshot.table(committed.tables[&id]).unwrap().clone();
    // Another process, which does not know of the first's.
    let two = reopen(&store).await;
    assert_eq!(reserve(&one, &table.def, 3, 8).await.unwrap(), (0, 8));
    assert_eq!(reserve(&two, &table.def, 3, 3).await.unwrap(), (8, 3));
    assert_eq!(reserve(&one, &table.def, 1, 1).await.unwrap(), (11, 1));
    let capacity = IDENTITY.capacity(SqlType::Integer);
    assert_eq!(IDENTITY.value(capacity - 1), 10 - 3 * ((10 + (1i128 << 31)) / 3));
    let (given, count) = reserve(&two, &table.def, capacity - 13, u64::MAX).await.unwrap();
    assert_eq!(given + count, capacity);
    let e = reserve(&one, &table.def, 1, 1).await.unwrap_err();
    assert_eq!((e.kind(), e.state()), (ErrorKind::Invalid, SqlState::NUMERIC_OUT_OF_RANGE));
    assert_eq!(IDENTITY.capacity(SqlType::BigInt), u64::try_from(((1i128 << 63) + 10) / 3 + 1).unwrap());
    let all = Identity { seed: i64::MIN, step: 1, by_default: true };
    assert_eq!(all.capacity(SqlType::BigInt), u64::MAX);
    assert_eq!(all.capacity(SqlType::Integer), (1 << 63) + (1 << 31));
}

#[tokio::test]
async fn what_is_referred_to_stays_or_is_freed() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let parent = create_table(&catalog, "parent").await;
    let schema = public(&catalog.snapshot());
    let mut late = catalog.begin(USER);
    late.create_table(declared(schema, "late", parent.def.id));
    let mut txn = catalog.begin(USER);
    let id = txn.create_table(declared(schema, "t", parent.def.id));
    txn.create_table(declared(schema, "own", TableDef::SELF));
    let committed = catalog.commit(txn).await.unwrap();
    let child = committed.tables[&id];
    committed.snapshot.check_invariants().unwrap();
    let drop = async |cascade| {
        let mut txn = catalog.begin(USER);
        txn.drop_table(&parent.def, cascade);
        catalog.commit(txn).await
    };
    let e = drop(false).await.unwrap_err();
    assert_eq!(e.state(), SqlState::DEPENDENT_OBJECTS);
    assert!(e.detail().unwrap().contains("t_id_fkey1 on table t"), "{e:?}");
    let freed = drop(true).await.unwrap().snapshot;
    freed.check_invariants().unwrap();
    let def = &freed.table(child).unwrap().def;
    assert_eq!((def.constraints.len(), def.definition_version), (2, 2));
    // Who began when the parent was there is told that it is gone.
    assert_eq!(catalog.commit(late).await.unwrap_err().kind(), ErrorKind::Conflict);
    reopen(&store).await.snapshot().check_invariants().unwrap();
}

#[test]
fn impossible_definitions_break_an_invariant() {
    let base = || declared(SchemaId(1), "t", TableId(1));
    base().check_invariants().unwrap();
    type Break<'a> = &'a dyn Fn(&mut TableDef);
    let broken: [(u32, Break); 8] = [
        (4, &|t| t.columns[1].identity = Some(IDENTITY)),
        (4, &|t| t.columns[0].nullable = true),
        (4, &|t| t.columns[0].identity = Some(Identity { step: 0, ..IDENTITY })),
        (5, &|t| t.constraints[0].kind = ConstraintKind::PrimaryKey),
        (5, &|t| t.constraints[0].columns.clear()),
        (5, &|t| t.constraints[1].columns.push(ColumnId(9))),
        (5, &|t| t.constraints[2].columns.push(ColumnId(2))),
        (5, &|t| t.constraints[1].name = t.constraints[0].name.clone()),
    ];
    for (number, change) in broken {
        let mut def = base();
        change(&mut def);
        let e = def.check_invariants().unwrap_err();
        assert!(e.message().contains(&format!("invariant {number}")), "{e:?}");
    }
}
