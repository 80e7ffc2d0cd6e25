//! Identities and constraints in the catalog.

use bytes::Bytes;

use super::util::*;
use crate::catalog::checkpoint::{decode_table, encode_table};
use crate::catalog::frame::{FEATURE_CONSTRAINT_STATES, FEATURE_TABLE_WORDS};
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

/// Tables `p (id unique VERIFIED)` and `c`, whose `id` refers to it and is VERIFIED, too.
async fn verified(catalog: &Catalog) -> (TableId, TableId) {
    let state = ConstraintState::Verified { at: Version(0) };
    let on = |kind| ConstraintDef { name: None, kind, columns: vec![ColumnId(1)], state };
    let schema = public(&catalog.snapshot());
    let made = async |name: &str, constraint| {
        let mut txn = catalog.begin(USER);
        let id = txn.create_table(TableDef { constraints: vec![constraint], ..table_def(schema, name) });
        catalog.commit(txn).await.unwrap().tables[&id]
    };
    let parent = made("p", on(ConstraintKind::Unique)).await;
    (parent, made("c", on(ConstraintKind::ForeignKey { table: parent, referenced: vec![ColumnId(1)] })).await)
}

fn state_of(snapshot: &Snapshot, table: TableId) -> ConstraintState {
    snapshot.check_invariants().unwrap();
    snapshot.table(table).unwrap().def.constraints[0].state
}

fn is_verified(snapshot: &Snapshot, table: TableId) -> bool {
    matches!(state_of(snapshot, table), ConstraintState::Verified { .. })
}

#[tokio::test]
async fn states_are_stored_for_readers_that_know_them() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let (parent, child) = verified(&catalog).await;
    let made = catalog.snapshot();
    // Of the version that made the table.
    assert_eq!(state_of(&made, child), ConstraintState::Verified { at: made.version });
    let entry = store.get(&paths::log_entry(made.version)).await.unwrap().unwrap();
    assert_eq!(features(&entry), FEATURE_TABLE_WORDS | FEATURE_CONSTRAINT_STATES);
    let table = made.table(child).unwrap();
    let bytes = encode_table(table).unwrap();
    assert_eq!(features(&bytes), FEATURE_TABLE_WORDS | FEATURE_CONSTRAINT_STATES);
    assert_eq!(decode_table(child, table.changed, &bytes).unwrap(), **table);
    let mut txn = catalog.begin(USER);
    txn.set_constraint_state(&made.table(parent).unwrap().def, 0, ConstraintState::Rely);
    let committed = catalog.commit(txn).await.unwrap();
    assert_eq!(committed.demoted, [("c".to_string(), "c_id_fkey".to_string())]);
    let again = reopen(&store).await.snapshot();
    assert_eq!(state_of(&again, parent), ConstraintState::Rely);
    assert_eq!(state_of(&again, child), ConstraintState::NoRely);
    // What a foreign key refers to is to be VERIFIED first.
    let mut txn = catalog.begin(USER);
    let def = again.table(child).unwrap().def.clone();
    txn.set_constraint_state(&def, 0, ConstraintState::Verified { at: again.version });
    assert_eq!(catalog.commit(txn).await.unwrap_err().state(), SqlState::INVALID_FOREIGN_KEY);
}

#[tokio::test]
async fn rows_that_nobody_checked_take_the_state_away() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let (parent, child) = verified(&catalog).await;
    let def = |id| catalog.snapshot().table(id).unwrap().def.clone();
    let adding = |id, checked: Option<Version>| {
        let mut txn = catalog.begin(USER);
        txn.append(&def(id), vec![new_segment(inline("rows"), 0, 10)]);
        if let Some(upto) = checked {
            txn.checked(&def(id), upto);
        }
        txn
    };
    // Checked up to what is the newest.
    let start = catalog.snapshot().version;
    let (one, two) = (adding(parent, Some(start)), adding(parent, Some(start)));
    catalog.commit(one).await.unwrap();
    // Others have come since: to be checked again, and then it holds.
    let mut again = two.again();
    assert_eq!(catalog.commit(two).await.unwrap_err().kind(), ErrorKind::Conflict);
    again.checked(&def(parent), catalog.snapshot().version);
    catalog.commit(again).await.unwrap();
    assert!(is_verified(&catalog.snapshot(), parent) && is_verified(&catalog.snapshot(), child));
    // Two in one log entry.
    let at = catalog.snapshot().version;
    let (one, two) = (adding(parent, Some(at)), adding(parent, Some(at)));
    let (one, two) = tokio::join!(catalog.commit(one), catalog.commit(two));
    assert!(one.is_ok() != two.is_ok());
    // The child's rows are checked against a parent that has changed since.
    let stale = adding(child, Some(at));
    assert_eq!(catalog.commit(stale).await.unwrap_err().kind(), ErrorKind::Conflict);
    catalog.commit(adding(child, Some(catalog.snapshot().version))).await.unwrap();
    // Rows that move stay; rows that go take a foreign key along, and no key.
    let segments = |id| {
        let table = catalog.snapshot().table(id).unwrap().clone();
        (table.def.clone(), table.segments.iter().map(|s| (s.id, s.deleted)).collect::<Vec<_>>())
    };
    let (p, rows) = segments(parent);
    let mut moving = catalog.begin(USER);
    moving.remove_moved(&p, rows);
    moving.append(&p, vec![new_segment(inline("moved"), 0, 20)]);
    moving.checked(&p, catalog.snapshot().version);
    assert_eq!(catalog.commit(moving).await.unwrap().demoted, []);
    let (p, rows) = segments(parent);
    let mut removing = catalog.begin(USER);
    removing.remove(&p, rows);
    assert_eq!(catalog.commit(removing).await.unwrap().demoted, [("c".to_string(), "c_id_fkey".to_string())]);
    assert!(is_verified(&catalog.snapshot(), parent) && !is_verified(&catalog.snapshot(), child));
    // Nobody checked these.
    let gone = catalog.commit(adding(parent, None)).await.unwrap();
    assert_eq!(gone.demoted, [("p".to_string(), "p_id_key".to_string())]);
    assert!(!is_verified(&gone.snapshot, parent));
    // A proof is one of rows that are there still, and of nobody else's.
    let proof = catalog.snapshot().version;
    let mut late = catalog.begin(USER);
    late.set_constraint_state(&def(parent), 0, ConstraintState::Verified { at: proof });
    catalog.commit(adding(parent, None)).await.unwrap();
    assert_eq!(catalog.commit(late).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(!is_verified(&reopen(&store).await.snapshot(), parent));
    let mut forged = catalog.begin(USER);
    let mut claim = TableDef::clone(&def(parent));
    claim.constraints[0].state = ConstraintState::Verified { at: proof };
    claim.definition_version += 1;
    forged.alter_table(claim);
    assert_eq!(catalog.commit(forged).await.unwrap_err().kind(), ErrorKind::Internal);
}

/// Of rows that take the place of others only what differs concerns a constraint, unless others of the same transaction come in or
/// go besides.
#[tokio::test]
async fn rows_that_take_the_place_of_others_keep_what_they_do_not_change() {
    let key = || Changed::Columns([ColumnId(1)].into());
    let other = || Changed::Columns([ColumnId(2)].into());
    // What is said of rows that go, of those that come in, whether all else goes too; who falls: parent, child.
    for (gone, new, besides, falls) in [
        (other(), other(), false, [false, false]),
        (Changed::NOTHING, Changed::NOTHING, false, [false, false]),
        (key(), other(), false, [false, true]),
        (other(), key(), false, [true, true]),
        (Changed::All, other(), false, [false, true]),
        (other(), Changed::All, false, [true, true]),
        (other(), other(), true, [false, true]),
    ] {
        let store = WarehouseStore::memory();
        let catalog = create(&store).await;
        let (parent, child) = verified(&catalog).await;
        for _ in 0..2 {
            let mut txn = catalog.begin(USER);
            let def = catalog.snapshot().table(parent).unwrap().def.clone();
            txn.append(&def, vec![new_segment(inline("rows"), 0, 10)]);
            txn.checked(&def, catalog.snapshot().version);
            catalog.commit(txn).await.unwrap();
        }
        let table = catalog.snapshot().table(parent).unwrap().clone();
        let [one, two] = [0, 1].map(|at| vec![(table.segments[at].id, table.segments[at].deleted)]);
        let mut txn = catalog.begin(USER);
        txn.remove_changed(&table.def, one, gone.clone());
        txn.append_changed(&table.def, vec![new_segment(inline("other"), 0, 10)], new.clone());
        if besides {
            txn.remove(&table.def, two);
        }
        let committed = catalog.commit(txn).await.unwrap();
        let fell = [parent, child].map(|id| !is_verified(&committed.snapshot, id));
        assert_eq!(fell, falls, "{gone:?}, {new:?}, besides: {besides}");
    }
}
