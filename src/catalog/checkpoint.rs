//! Checkpoints: the warehouse at one version without the log before it.
//!
//! A root names one immutable object per table; an object's name is made of the table's id and the version that last
//! changed the table, so that unchanged tables are not written again and two processes write the same. Bodies are the
//! messages `Root` and `Table`. A checkpoint that was not written is no loss: the log has everything.
//!
//! All of a root's tables are loaded at once, 64 at a time (our choice): what a session knows is then plain values,
//! which need no store and cannot fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;

use super::convert::{self, damaged};
use super::frame::{self, FEATURE_COMMENTS, FEATURE_LOADS, FEATURE_MOVES, FEATURE_VIEWS, HEADER_BYTES, Magic};
use super::loads::LoadHistory;
use super::model::{SegmentRef, Snapshot, TableState};
use super::store::WarehouseStore;
use super::{paths, proto};
use crate::common::{CommitId, Error, Result, SchemaId, TableId, UserId, Version};

/// Store calls at a time.
pub(super) const PARALLEL: usize = 64;

/// A checkpoint's root: everything but the tables.
#[derive(Debug, Clone)]
pub struct Root {
    pub version: Version,
    /// Each table and the version that last changed it, which together name its object.
    pub tables: BTreeMap<TableId, Version>,
    pub(super) rest: Snapshot,
}

/// The root's bytes.
pub fn encode_root(snapshot: &Snapshot) -> Result<Bytes> {
    let message = proto::Root {
        version: snapshot.version.0,
        time_us: snapshot.time_us,
        entry: convert::id_bytes(snapshot.entry.0),
        info: Some(convert::info(&snapshot.info)),
        schemas: snapshot.schemas.values().map(convert::schema).collect(),
        users: snapshot.users.iter().map(|(id, name)| proto::User { id: id.0, name: name.clone() }).collect(),
        horizon: snapshot.horizon.0,
        next_table: snapshot.next_table.0,
        next_schema: snapshot.next_schema.0,
        maintenance: Some(convert::maintenance(&snapshot.maintenance)),
        tables: snapshot
            .tables
            .iter()
            .map(|(id, table)| proto::RootTable { id: id.0, changed: table.changed.0 })
            .collect(),
        views: snapshot.views.values().map(|view| convert::view(view)).collect(),
        comments: snapshot.comments.iter().map(|(on, text)| convert::comment(*on, Some(text.clone()))).collect(),
    };
    let views = if message.views.is_empty() { 0 } else { FEATURE_VIEWS };
    let comments = if message.comments.is_empty() { 0 } else { FEATURE_COMMENTS };
    frame::encode_with(Magic::CheckpointRoot, views | comments, &[], &message.encode_to_vec())
}

/// Reads the root of `version`. Corrupt or Unsupported, as [`frame::decode`] says.
pub fn decode_root(version: Version, bytes: &Bytes) -> Result<Root> {
    let read = |body: Bytes| -> Result<Root> {
        let message = proto::Root::decode(body).map_err(|e| damaged(&e.to_string()))?;
        if message.version != version.0 {
            return Err(damaged("the checkpoint is another version's"));
        }
        let tables: BTreeMap<_, _> = message.tables.iter().map(|t| (TableId(t.id), Version(t.changed))).collect();
        if tables.len() != message.tables.len() {
            return Err(damaged("a table appears twice"));
        }
        let schemas: BTreeMap<_, _> =
            message.schemas.into_iter().map(|s| (SchemaId(s.id), convert::read_schema(s))).collect();
        let mut views = BTreeMap::new();
        for view in message.views {
            let view = convert::read_view(view)?;
            if views.insert(view.id, Arc::new(view)).is_some() {
                return Err(damaged("a view appears twice"));
            }
        }
        let mut comments = BTreeMap::new();
        for comment in message.comments {
            let (on, text) = convert::read_comment(comment)?;
            comments.insert(on, text.ok_or_else(|| damaged("a comment without text"))?);
        }
        let rest = Snapshot {
            version,
            entry: CommitId(convert::read_id(&message.entry)?),
            time_us: message.time_us,
            info: Arc::new(convert::read_info(message.info.unwrap_or_default())?),
            schemas: Arc::new(schemas),
            tables: Arc::default(),
            views: Arc::new(views),
            comments: Arc::new(comments),
            users: Arc::new(message.users.into_iter().map(|u| (UserId(u.id), u.name)).collect()),
            horizon: Version(message.horizon),
            next_table: TableId(message.next_table),
            next_schema: SchemaId(message.next_schema),
            maintenance: convert::read_maintenance(message.maintenance.unwrap_or_default())?,
            names: Arc::default(),
            view_names: Arc::default(),
        };
        Ok(Root { version, tables, rest })
    };
    let named = |e: Error, base: usize| e.in_object(paths::checkpoint_root(version), base as u64);
    let frame = frame::decode(Magic::CheckpointRoot, bytes).map_err(|e| named(e, 0))?;
    read(frame.body).map_err(|e| named(e, HEADER_BYTES))
}

/// A table's bytes.
pub fn encode_table(table: &TableState) -> Result<Bytes> {
    let message = proto::Table {
        def: Some(convert::table_def(&table.def)),
        segments: table.segments.iter().map(|s| convert::segment(s)).collect(),
        next_segment: table.next_segment,
        changed: table.changed.0,
        data_changed: table.data_changed.0,
        identity_given: table.identity_given,
        rank_map: table.rank_map.as_ref().map(|map| convert::rank_map(map)),
        statistics: table.statistics.as_ref().map(convert::statistics),
        moves: table.moves.iter().map(|m| convert::moved(m)).collect(),
        loads: table.loads.iter().map(convert::source).collect(),
        forgotten_us: table.loads.forgotten_us(),
    };
    let placed = table.segments.iter().any(|s| s.place != SegmentRef::place_of(s.id));
    let moves = if placed || !table.moves.is_empty() { FEATURE_MOVES } else { 0 };
    let loads = if table.loads.is_empty() { 0 } else { FEATURE_LOADS };
    let features = table.def.required_features() | moves | loads;
    frame::encode_with(Magic::CheckpointTable, features, &[], &message.encode_to_vec())
}

/// Reads a table as `changed` left it. Corrupt or Unsupported, as [`frame::decode`] says.
pub fn decode_table(id: TableId, changed: Version, bytes: &Bytes) -> Result<TableState> {
    let read = |body: Bytes| -> Result<TableState> {
        let message = proto::Table::decode(body).map_err(|e| damaged(&e.to_string()))?;
        let def = convert::read_table_def(message.def.ok_or_else(|| damaged("a table without definition"))?)?;
        if def.id != id || message.changed != changed.0 {
            return Err(damaged("the table is another, or another version's"));
        }
        let segments =
            message.segments.into_iter().map(|s| convert::read_segment(s).map(Arc::new)).collect::<Result<_>>()?;
        Ok(TableState {
            def: Arc::new(def),
            segments: Arc::new(segments),
            next_segment: message.next_segment,
            changed,
            data_changed: Version(message.data_changed),
            identity_given: message.identity_given,
            rank_map: message.rank_map.map(convert::read_rank_map).transpose()?.map(Arc::new),
            statistics: message.statistics.map(convert::read_statistics).transpose()?,
            moves: Arc::new(
                message.moves.into_iter().map(|m| convert::read_moved(m).map(Arc::new)).collect::<Result<_>>()?,
            ),
            loads: Arc::new(LoadHistory::stored(
                message.loads.into_iter().map(convert::read_source).collect(),
                message.forgotten_us,
            )),
        })
    };
    let named = |e: Error, base: usize| e.in_object(paths::checkpoint_table(id, changed), base as u64);
    let frame = frame::decode(Magic::CheckpointTable, bytes).map_err(|e| named(e, 0))?;
    read(frame.body).map_err(|e| named(e, HEADER_BYTES))
}

/// Reads a root; `None` when it is gone.
pub(super) async fn read_root(store: &WarehouseStore, version: Version) -> Result<Option<Root>> {
    match store.get(&paths::checkpoint_root(version)).await? {
        Some(bytes) => decode_root(version, &bytes).map(Some),
        None => Ok(None),
    }
}

/// The snapshot of a root; `None` when a table's object is gone, as happens when a collector is at work.
pub(super) async fn read_snapshot(store: &WarehouseStore, root: &Root) -> Result<Option<Snapshot>> {
    let read = |(id, changed): (TableId, Version)| async move {
        match store.get(&paths::checkpoint_table(id, changed)).await? {
            Some(bytes) => Ok(Some((id, Arc::new(decode_table(id, changed, &bytes)?)))),
            None => Ok::<_, Error>(None),
        }
    };
    let objects: Vec<(TableId, Version)> = root.tables.iter().map(|(id, changed)| (*id, *changed)).collect();
    let tables: Vec<_> = stream::iter(objects).map(read).buffered(PARALLEL).try_collect().await?;
    let Some(tables) = tables.into_iter().collect::<Option<BTreeMap<_, _>>>() else { return Ok(None) };
    let broken = |e: Error| Error::corrupt(0, e.message()).in_object(paths::checkpoint_root(root.version), 0);
    let snapshot = root.rest.clone().with_tables(tables).map_err(broken)?;
    snapshot.check_invariants().map_err(broken)?;
    Ok(Some(snapshot))
}

/// Writes a checkpoint of `snapshot`: the tables that `before` does not name already, then the root.
pub(super) async fn write(
    store: &WarehouseStore,
    snapshot: &Snapshot,
    before: &BTreeMap<TableId, Version>,
) -> Result<BTreeMap<TableId, Version>> {
    let changed: Vec<Arc<TableState>> =
        snapshot.tables.iter().filter(|(id, t)| before.get(id) != Some(&t.changed)).map(|(_, t)| t.clone()).collect();
    let put = |table: Arc<TableState>| async move {
        create_durably(store, &paths::checkpoint_table(table.def.id, table.changed), encode_table(&table)?).await
    };
    stream::iter(changed).map(put).buffer_unordered(PARALLEL).try_collect::<()>().await?;
    create_durably(store, &paths::checkpoint_root(snapshot.version), encode_root(snapshot)?).await?;
    Ok(snapshot.tables.iter().map(|(id, t)| (*id, t.changed)).collect())
}

/// Whoever wrote the object first, it holds the same; it only has to be safe.
async fn create_durably(store: &WarehouseStore, path: &object_store::path::Path, bytes: Bytes) -> Result<()> {
    match store.create(path, bytes).await? {
        true => Ok(()),
        false => store.make_durable(path).await,
    }
}
