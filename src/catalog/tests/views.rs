//! Views and comments: what they hold fast, what conflicts, and that both survive.

use object_store::ObjectStoreExt;

use super::util::*;
use crate::catalog::*;
use crate::common::*;

fn view(schema: SchemaId, name: &str, reads: &[(TableId, &str)]) -> ViewDef {
    let dependency = |(relation, called): &(TableId, &str)| Dependency {
        relation: *relation,
        schema: "public".into(),
        name: called.to_string(),
        columns: vec![
            DependencyColumn { id: ColumnId(1), name: "id".into(), read: true },
            DependencyColumn { id: ColumnId(2), name: "note".into(), read: false },
        ],
    };
    ViewDef {
        id: TableId(0),
        schema,
        name: name.into(),
        owner: USER,
        columns: vec!["id".into()],
        sql: "SELECT id FROM public.t".into(),
        binding: Binding::Bound(reads.iter().map(dependency).collect()),
        definition_version: 1,
        created_us: 0,
    }
}

async fn make(catalog: &Catalog, def: ViewDef) -> Result<TableId> {
    let mut txn = catalog.begin(USER);
    let id = txn.create_view(def);
    catalog.commit(txn).await.map(|done| done.tables[&id])
}

async fn table_and_views() -> (WarehouseStore, Catalog, TableId, [TableId; 2]) {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let table = try_create_table(&catalog, "t").await.unwrap().def.id;
    let schema = public(&catalog.snapshot());
    let lower = make(&catalog, view(schema, "lower", &[(table, "t")])).await.unwrap();
    let upper = make(&catalog, view(schema, "upper", &[(lower, "lower"), (table, "t")])).await.unwrap();
    (store, catalog, table, [lower, upper])
}

#[tokio::test]
async fn what_a_view_reads_stays_unless_the_view_goes_with_it() {
    let (_, catalog, table, [lower, upper]) = table_and_views().await;
    let snapshot = catalog.snapshot();
    let (t, lower_def) = (snapshot.table(table).unwrap().def.clone(), snapshot.view(lower).unwrap().clone());

    let mut txn = catalog.begin(USER);
    txn.drop_table(&t, false);
    let e = catalog.commit(txn).await.unwrap_err();
    assert_eq!(e.state(), SqlState::DEPENDENT_OBJECTS);
    assert_eq!(e.message(), "cannot drop table t because other objects depend on it");
    let mut txn = catalog.begin(USER);
    txn.drop_view(&lower_def, false);
    assert_eq!(catalog.commit(txn).await.unwrap_err().detail(), Some("view upper depends on view lower"));

    // Both by name, in either order.
    let mut txn = catalog.begin(USER);
    txn.drop_view(&lower_def, false);
    txn.drop_view(&snapshot.view(upper).unwrap().clone(), false);
    let overlay = Overlay::of(&txn, &catalog.snapshot()).unwrap();
    assert!(overlay.snapshot().views.is_empty());

    let mut txn = catalog.begin(USER);
    txn.drop_table(&t, true);
    let after = catalog.commit(txn).await.unwrap().snapshot;
    assert!(after.views.is_empty() && after.table(table).is_none());
    after.check_invariants().unwrap();
}

#[tokio::test]
async fn a_column_that_a_view_reads_stays() {
    let (_, catalog, table, _) = table_and_views().await;
    let def = catalog.snapshot().table(table).unwrap().def.clone();
    let without = |id: u32| {
        let mut def = TableDef::clone(&def);
        def.columns.retain(|c| c.id != ColumnId(id));
        (def.dist, def.effective_dist, def.sort) = (DistStyle::Even, EffectiveDist::Even, None);
        def.definition_version += 1;
        def
    };
    let mut txn = catalog.begin(USER);
    txn.alter_table(without(1));
    assert_eq!(catalog.commit(txn).await.unwrap_err().state(), SqlState::DEPENDENT_OBJECTS);
    let mut txn = catalog.begin(USER);
    txn.alter_table(without(2));
    catalog.commit(txn).await.unwrap().snapshot.check_invariants().unwrap();
}

#[tokio::test]
async fn a_view_conflicts_with_what_takes_its_tables_away() {
    let store = WarehouseStore::memory();
    let catalog = create(&store).await;
    let table = try_create_table(&catalog, "t").await.unwrap();
    let schema = public(&catalog.snapshot());
    let mut making = catalog.begin(USER);
    making.create_view(view(schema, "v", &[(table.def.id, "t")]));
    let mut dropping = catalog.begin(USER);
    dropping.drop_table(&table.def, false);
    catalog.commit(dropping).await.unwrap();
    let e = catalog.commit(making).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}");

    let table = try_create_table(&catalog, "t").await.unwrap();
    let mut dropping = catalog.begin(USER);
    dropping.drop_table(&table.def, false);
    make(&catalog, view(schema, "v", &[(table.def.id, "t")])).await.unwrap();
    assert_eq!(catalog.commit(dropping).await.unwrap_err().state(), SqlState::DEPENDENT_OBJECTS);
    assert_eq!(make(&catalog, view(schema, "t", &[])).await.unwrap_err().state(), SqlState::DUPLICATE_TABLE);
    assert_eq!(try_create_table(&catalog, "v").await.unwrap_err().state(), SqlState::DUPLICATE_TABLE);
}

#[tokio::test]
async fn views_form_no_circle_and_no_tower() {
    let (_, catalog, _, [lower, upper]) = table_and_views().await;
    let schema = public(&catalog.snapshot());
    let mut circle = view(schema, "lower", &[(upper, "upper")]);
    (circle.id, circle.definition_version) = (lower, 2);
    let mut txn = catalog.begin(USER);
    txn.alter_view(circle.clone());
    let e = catalog.commit(txn).await.unwrap_err();
    assert!(e.message().contains("would read itself"), "{e:?}");
    // Of two replacements the second meets another view than it saw.
    circle.binding = Binding::Bound(Vec::new());
    let (mut first, mut second) = (catalog.begin(USER), catalog.begin(USER));
    first.alter_view(circle.clone());
    second.alter_view(circle);
    catalog.commit(first).await.unwrap();
    assert_eq!(catalog.commit(second).await.unwrap_err().kind(), ErrorKind::Conflict);

    let mut top = upper;
    for level in 3..=ViewDef::MAX_DEPTH {
        top = make(&catalog, view(schema, &format!("v{level}"), &[(top, "below")])).await.unwrap();
    }
    let e = make(&catalog, view(schema, "beyond", &[(top, "below")])).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
}

#[tokio::test]
async fn views_and_comments_survive_with_and_without_a_checkpoint() {
    let (store, catalog, table, [lower, _]) = table_and_views().await;
    let schema = public(&catalog.snapshot());
    let comments = [
        CommentOn::Database,
        CommentOn::Schema(schema),
        CommentOn::Relation(table),
        CommentOn::Column(table, ColumnId(2)),
        CommentOn::Column(lower, ColumnId(1)),
    ];
    let mut txn = catalog.begin(USER);
    for on in comments {
        txn.comment(on, "it", Some(format!("about {on:?}")));
    }
    catalog.commit(txn).await.unwrap();
    let written = catalog.snapshot();
    assert_eq!(*reopen(&store).await.snapshot(), *written);
    catalog.checkpoint().await.unwrap();
    store.objects().delete(&paths::log_entry(Version(1))).await.unwrap();
    let again = reopen(&store).await.snapshot();
    assert_eq!(*again, *written);
    again.check_invariants().unwrap();

    let wrong = [CommentOn::Column(lower, ColumnId(2)), CommentOn::Relation(TableId(99))];
    for on in wrong {
        let mut txn = catalog.begin(USER);
        txn.comment(on, "it", Some("nothing".into()));
        assert_eq!(catalog.commit(txn).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
    let mut txn = catalog.begin(USER);
    txn.comment(CommentOn::Database, "it", None);
    txn.drop_table(&written.table(table).unwrap().def, true);
    let after = catalog.commit(txn).await.unwrap().snapshot;
    assert_eq!(after.comments.keys().collect::<Vec<_>>(), [&CommentOn::Schema(schema)]);
    after.check_invariants().unwrap();
}
