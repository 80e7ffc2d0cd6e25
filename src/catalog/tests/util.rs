use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::catalog::*;
use crate::common::*;
use crate::testing::TestClock;

pub const USER: UserId = Genesis::OWNER;

/// Options without tasks or pauses, at a time that the test moves.
pub fn options() -> CatalogOptions {
    options_at(Arc::new(TestClock::at(1_000_000)))
}

pub fn options_at(clock: Arc<TestClock>) -> CatalogOptions {
    CatalogOptions { clock, background: false, retry_delay: Duration::ZERO, ..Default::default() }
}

pub fn genesis() -> Genesis {
    let mut genesis = Genesis::new("dev", 4);
    genesis.info.uuid = 7;
    genesis
}

pub async fn create(store: &WarehouseStore) -> Catalog {
    Catalog::open(store.clone(), OpenMode::Create(genesis()), options()).await.unwrap()
}

pub async fn reopen(store: &WarehouseStore) -> Catalog {
    Catalog::open(store.clone(), OpenMode::Existing, options()).await.unwrap()
}

pub fn public(snapshot: &Snapshot) -> SchemaId {
    snapshot.schema_named("public").unwrap().id
}

/// A table `name (id bigint distkey sortkey, note varchar(20))`.
pub fn table_def(schema: SchemaId, name: &str) -> TableDef {
    let column = |id, name: &str, sql_type| ColumnDef {
        id: ColumnId(id),
        name: name.into(),
        sql_type,
        nullable: true,
        default_sql: None,
        absent: None,
        encoding: EncodingName::Auto,
        identity: None,
    };
    TableDef {
        id: TableId(0),
        schema,
        name: name.into(),
        owner: USER,
        columns: vec![column(1, "id", SqlType::BigInt), column(2, "note", SqlType::Varchar(20))],
        next_column: ColumnId(3),
        dist: DistStyle::Key(ColumnId(1)),
        effective_dist: EffectiveDist::Key(ColumnId(1)),
        sort: Some(SortKey { style: SortStyle::Compound, columns: vec![ColumnId(1)] }),
        sort_auto: false,
        encode_auto: true,
        definition_version: 1,
        created_us: 0,
        hash_id: 1,
        constraints: Vec::new(),
        backup: true,
        retain: None,
    }
}

pub fn new_segment(blob: Blob, slice: u32, rows: u32) -> NewSegment {
    let bounds = Bounds::of_values(Scalar::Int(1), Scalar::Int(i128::from(rows)), 0, u64::from(rows));
    NewSegment {
        blob,
        footer_len: 1,
        slice,
        run: RunChoice::New,
        rows,
        columns: vec![SegmentColumn { id: ColumnId(1), bounds, bytes: 8 }],
        deleted: None,
        ranked: RankChoice::Unranked,
        rank_counts: Vec::new(),
        added: None,
    }
}

pub fn inline(text: &str) -> Blob {
    Blob::Inline(Bytes::copy_from_slice(text.as_bytes()))
}

/// Creates a table in `public`.
pub async fn try_create_table(catalog: &Catalog, name: &str) -> Result<Arc<TableState>> {
    let mut txn = catalog.begin(USER);
    let id = txn.create_table(table_def(public(&catalog.snapshot()), name));
    let committed = catalog.commit(txn).await?;
    Ok(committed.snapshot.table(committed.tables[&id]).unwrap().clone())
}

pub async fn create_table(catalog: &Catalog, name: &str) -> Arc<TableState> {
    try_create_table(catalog, name).await.unwrap()
}

/// Appends one inline segment.
pub async fn append(catalog: &Catalog, table: &TableDef, text: &str) -> Result<Committed> {
    let mut txn = catalog.begin(USER);
    txn.append(table, vec![new_segment(inline(text), 0, 10)]);
    catalog.commit(txn).await
}

/// An object's content by which it is recognised: its own path.
pub async fn put_object(store: &WarehouseStore, id: ObjectId) -> Result<Blob> {
    put(store, id, id.to_string().into_bytes()).await
}

async fn put(store: &WarehouseStore, id: ObjectId, content: Vec<u8>) -> Result<Blob> {
    let len = content.len() as u64;
    store.replace(&paths::object(&id), content.into()).await?;
    Ok(Blob::Stored(Extent { object: id, offset: 0, len }))
}

/// Reads everything that a snapshot refers to. Inline bytes begin with `inline`, others are as [`put_object`] wrote, but for
/// delete vectors and positions.
pub async fn read_everything(store: &WarehouseStore, snapshot: &Snapshot) -> std::result::Result<(), String> {
    snapshot.check_invariants().map_err(|e| e.to_string())?;
    for table in snapshot.tables.values() {
        let of_segments = table.segments.iter().flat_map(|s| [Some(s.extent), s.deleted.map(|d| d.extent)]);
        let of_moves = table.moves.iter().map(|m| Some(m.positions));
        let all = of_segments.chain([table.statistics.map(|s| s.extent)]).chain(of_moves);
        let all: Vec<Extent> = all.flatten().collect();
        for extent in all {
            let bytes = store.read(&extent).await.map_err(|e| e.to_string())?;
            let bytes = bytes.ok_or_else(|| format!("{} is gone", extent.object))?;
            let whole = match extent.object {
                ObjectId::Log(_) => bytes.starts_with(b"inline"),
                id => *bytes == *id.to_string().as_bytes(),
            };
            let vector = |s: &Arc<SegmentRef>| {
                s.deleted.is_some_and(|d| d.extent == extent && delete_vector::decode(&bytes, d.rows, s.rows).is_ok())
            };
            if !whole && !table.segments.iter().any(vector) && Positions::decode(&bytes).is_err() {
                return Err(format!("{} holds {bytes:?}", extent.object));
            }
        }
    }
    Ok(())
}

/// A delete vector of a segment's first rows.
pub fn dead(rows: u32) -> Vec<u8> {
    delete_vector::encode(&(0..rows).collect()).unwrap()
}

/// As [`put_object`], a delete vector of the first rows.
pub async fn put_dead(store: &WarehouseStore, id: ObjectId, rows: u32) -> Result<Blob> {
    put(store, id, dead(rows)).await
}

/// Has a transaction write rows anew: those of `removed` in turn, as many as `added` has.
pub async fn rewrite(
    store: &WarehouseStore,
    txn: &mut Transaction,
    table: &TableState,
    removed: &[SegmentId],
    added: NewSegment,
) -> Result<()> {
    let segments = removed.iter().filter_map(|id| table.segment(*id));
    let mut positions = Positions::new(segments.clone().map(|s| (s.id, s.rows)));
    let rows = segments.clone().flat_map(|s| (s.deleted.map_or(0, |d| d.rows)..s.rows).map(|row| (s.id, row)));
    positions.wrote(rows.take(added.rows as usize))?;
    let object = txn.object(1000);
    let Blob::Stored(stored) = put(store, object, positions.encode()?).await? else { panic!("an object is stored") };
    let removed = segments.map(|s| (s.id, s.deleted)).collect();
    txn.rewrite(&table.def, removed, vec![added], (Arc::new(positions), stored));
    Ok(())
}
