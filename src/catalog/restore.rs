//! Restoring: a backup's tables, views, schemas, users and comments in one transaction of an empty warehouse.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;

use super::backup::{Backup, COPIES, Check, Sums, extents, read_object};
use super::commit::Catalog;
use super::entry::Action;
use super::model::*;
use super::paths;
use super::proto::{BackupObject, BackupPart};
use super::resolve::Resolver;
use super::store::WarehouseStore;
use super::transaction::{Intent, ObjectNames, Transaction};
use super::view::{Binding, CommentOn, ViewDef};
use crate::common::{Error, Result, SchemaId, SqlState, TableId, Version};

/// Rows that stood in log entries are packed into objects of about this size.
const PACK_BYTES: usize = 32 << 20;

/// What restoring did.
#[derive(Debug)]
pub struct Restored {
    pub version: Version,
    /// Tables of the backup that had a RETAIN, which they no longer have.
    pub retained: Vec<Arc<TableDef>>,
}

impl Catalog {
    /// Fills an empty warehouse with a backup, in one commit. Tables keep all of their rows, without a RETAIN, by which what was
    /// restored would be deleted again.
    ///
    /// Errors: Invalid where the warehouse is not empty, or lays rows out in another way; Corrupt, with the object's name, where
    /// the backup is damaged. Nothing has changed then.
    pub async fn restore(
        &self,
        place: &WarehouseStore,
        backup: &Backup,
        mut transaction: Transaction,
        check: Check<'_>,
    ) -> Result<Restored> {
        let base = transaction.snapshot().cloned();
        let base = base.ok_or_else(|| Error::internal("a restore reads a pinned version"))?;
        check_empty(&base)?;
        let snapshot = backup.snapshot(place, check).await?;
        check_layout(&base.info, &snapshot.info)?;
        let names = transaction.names();
        let known: HashMap<&str, &BackupObject> = backup.message.objects.iter().map(|o| (o.name.as_str(), o)).collect();
        let mut inline = Vec::new();
        let mut whole = Vec::new();
        for (object, parts) in extents(&snapshot) {
            let name = paths::object(&object);
            let missing = || Error::corrupt(0, "an object is not in the backup").in_object(&name, 0);
            let told = *known.get(name.as_ref()).ok_or_else(missing)?;
            match object {
                ObjectId::Log(_) => inline.push((told, parts)),
                ObjectId::Data { .. } => whole.push((told, parts)),
            }
        }
        let copies = whole.into_iter().map(|(told, parts)| self.bring(place, told, parts, names.clone(), check));
        let copies: Vec<Brought> =
            stream::iter(copies.collect::<Vec<_>>()).buffer_unordered(COPIES).try_collect().await?;
        let packed = self.pack(place, inline, &names, check).await?;
        let mut places = HashMap::new();
        let mut sums = BTreeMap::<String, Vec<BackupPart>>::new();
        for (from, to, crc) in copies.into_iter().flatten().chain(packed) {
            let part = BackupPart { offset: from.offset, len: from.len, crc };
            sums.entry(paths::object(&from.object).to_string()).or_default().push(part);
            places.insert(from, to);
        }
        // Of what was written, not of what the backup says.
        let objects = sums.into_iter().map(|(name, parts)| BackupObject { name, parts, ..Default::default() });
        let sums = Sums::of(&objects.collect::<Vec<_>>());
        for table in &backup.message.tables {
            let state = snapshot.table(TableId(table.id)).filter(|state| state.live_rows() == table.rows);
            let sum = state.map(|state| sums.table(state)).transpose()?;
            if sum != Some(table.checksum) {
                let name = state.map_or_else(String::new, |state| state.def.name.clone());
                return Err(Error::corrupt(
                    0,
                    format!("the rows of table \"{name}\" are not those that were backed up"),
                )
                .in_object(paths::backup(backup.version), 0));
            }
        }
        let restored = moved(&snapshot, &places)?;
        check()?;
        let retained = snapshot.tables.values().filter(|table| table.def.retain.is_some());
        let retained = retained.map(|table| Arc::clone(&table.def)).collect();
        transaction.push(Intent::Restore { of: Arc::new(restored) });
        Ok(Restored { version: self.commit(transaction).await?.version, retained })
    }

    async fn bring(
        &self,
        place: &WarehouseStore,
        told: &BackupObject,
        parts: Vec<Extent>,
        names: ObjectNames,
        check: Check<'_>,
    ) -> Result<Brought> {
        check()?;
        let bytes = read_object(place, told).await?;
        let object = names.next_object();
        self.put(object, bytes.clone()).await?;
        parts.into_iter().map(|from| Ok((from, Extent { object, ..from }, crc(&bytes, &from)?))).collect()
    }

    /// The parts of log entries, one after the other.
    async fn pack(
        &self,
        place: &WarehouseStore,
        inline: Vec<(&BackupObject, Vec<Extent>)>,
        names: &ObjectNames,
        check: Check<'_>,
    ) -> Result<Brought> {
        let mut brought = Vec::new();
        let mut pack = BytesMut::new();
        let mut object = names.next_object();
        for (told, parts) in inline {
            check()?;
            let bytes = read_object(place, told).await?;
            for from in parts {
                let sum = crc(&bytes, &from)?;
                let to = Extent { object, offset: pack.len() as u64, len: from.len };
                pack.extend_from_slice(&bytes[from.offset as usize..(from.offset + from.len) as usize]);
                brought.push((from, to, sum));
            }
            if pack.len() >= PACK_BYTES {
                self.put(object, pack.split().freeze()).await?;
                object = names.next_object();
            }
        }
        if !pack.is_empty() {
            self.put(object, pack.freeze()).await?;
        }
        Ok(brought)
    }

    async fn put(&self, object: ObjectId, bytes: Bytes) -> Result<()> {
        let stored = self.store().objects().put(&paths::object(&object), bytes.into()).await;
        stored.map_err(|e| Error::unavailable(format!("cannot write object {object}: {e}")).with_source(e))?;
        Ok(())
    }
}

/// Where extents were, where they are, and the checksums of their bytes.
type Brought = Vec<(Extent, Extent, u32)>;

fn crc(bytes: &Bytes, extent: &Extent) -> Result<u32> {
    let end = extent.offset.saturating_add(extent.len);
    match end <= bytes.len() as u64 {
        true => Ok(crc32c::crc32c(&bytes[extent.offset as usize..end as usize])),
        false => {
            Err(Error::corrupt(bytes.len() as u64, "the object ends too early")
                .in_object(paths::object(&extent.object), 0))
        }
    }
}

fn check_empty(snapshot: &Snapshot) -> Result<()> {
    let held = match (snapshot.tables.values().next(), snapshot.views.values().next()) {
        (Some(table), _) => format!("table \"{}\"", table.def.name),
        (None, Some(view)) => format!("view \"{}\"", view.name),
        (None, None) => return Ok(()),
    };
    Err(Error::invalid(SqlState::INVALID_PARAMETER, format!("the warehouse is not empty: it has {held}"))
        .with_hint("open a new warehouse at an empty place, and restore there"))
}

fn check_layout(here: &WarehouseInfo, there: &WarehouseInfo) -> Result<()> {
    for (what, here, there) in [
        ("slices", here.slices, there.slices),
        ("rows in a zone", here.zone_rows, there.zone_rows),
        ("rows in a chunk", here.chunk_rows, there.chunk_rows),
    ] {
        if here != there {
            let message = format!("the warehouse has {here} {what}, the one that was backed up had {there}");
            return Err(Error::invalid(SqlState::INVALID_PARAMETER, message).with_hint(match what {
                "slices" => format!("ALTER WAREHOUSE SET SLICES {there} before"),
                _ => "make a new warehouse with as many as that had, and restore there".to_string(),
            }));
        }
    }
    Ok(())
}

/// The snapshot with its extents where they are now.
fn moved(snapshot: &Snapshot, places: &HashMap<Extent, Extent>) -> Result<Snapshot> {
    let place =
        |extent: &Extent| places.get(extent).copied().ok_or_else(|| Error::internal("an extent was not restored"));
    let mut tables = BTreeMap::new();
    for (id, table) in snapshot.tables.iter() {
        let mut state = TableState::clone(table);
        let mut segments = Vec::with_capacity(state.segments.len());
        for segment in state.segments.iter() {
            let mut segment = SegmentRef::clone(segment);
            segment.extent = place(&segment.extent)?;
            if let Some(deleted) = &mut segment.deleted {
                deleted.extent = place(&deleted.extent)?;
            }
            segments.push(Arc::new(segment));
        }
        state.segments = Arc::new(segments);
        if let Some(statistics) = &mut state.statistics {
            statistics.extent = place(&statistics.extent)?;
        }
        tables.insert(*id, Arc::new(state));
    }
    Ok(Snapshot { tables: Arc::new(tables), ..snapshot.clone() })
}

impl Resolver<'_> {
    /// Makes the warehouse what `of` is, under numbers of its own.
    pub(super) fn restore(&mut self, of: &Snapshot) -> Result<()> {
        check_empty(self.snapshot)?;
        let version = self.snapshot.version;
        for (id, name) in of.users.iter() {
            self.act(Action::DefineUser(*id, name.clone()))?;
        }
        let here: Vec<Schema> = self.snapshot.schemas.values().cloned().collect();
        for schema in here.iter().filter(|schema| of.schema_named(&schema.name).is_none()) {
            self.act(Action::DropSchema(schema.id))?;
        }
        let mut schemas: BTreeMap<SchemaId, SchemaId> = BTreeMap::new();
        for schema in of.schemas.values() {
            let known = here.iter().find(|known| known.name == schema.name).map(|known| known.id);
            let id = known.unwrap_or(self.snapshot.next_schema);
            let action = if known.is_some() { Action::AlterSchema } else { Action::CreateSchema };
            self.act(action(Schema { id, ..schema.clone() }))?;
            schemas.insert(schema.id, id);
        }
        let schema_of =
            |id: SchemaId| schemas.get(&id).copied().ok_or_else(|| Error::internal("a schema was not restored"));
        let first = self.snapshot.next_table.0;
        let views = by_dependence(of);
        let old = of.tables.keys().copied().chain(views.iter().map(|view| view.id));
        let ids: BTreeMap<TableId, TableId> = old.zip((first..).map(TableId)).collect();
        let id_of = |id: TableId| ids.get(&id).copied().ok_or_else(|| Error::internal("a relation was not restored"));
        for table in of.tables.values() {
            let mut def = TableDef::clone(&table.def);
            (def.id, def.schema) = (id_of(def.id)?, schema_of(def.schema)?);
            def.retain = None;
            for constraint in &mut def.constraints {
                if let ConstraintKind::ForeignKey { table, .. } = &mut constraint.kind {
                    *table = id_of(*table)?;
                }
                if constraint.is_verified() {
                    constraint.state = ConstraintState::Verified { at: version };
                }
            }
            let id = def.id;
            let has_identity = def.identity().is_some();
            self.act(Action::CreateTable(def))?;
            if let Some(map) = &table.rank_map {
                self.act(Action::SetRankMap { table: id, map: Arc::clone(map) })?;
            }
            let mut segments: Vec<SegmentRef> = table.segments.iter().map(|s| SegmentRef::clone(s)).collect();
            segments.sort_by_key(|segment| segment.id);
            segments.iter_mut().for_each(|segment| segment.added = version);
            if !segments.is_empty() {
                let segments = segments.into_iter().map(Arc::new).collect();
                self.act(Action::AddSegments { table: id, data_change: true, segments })?;
            }
            if table.identity_given > 0 && has_identity {
                self.act(Action::ReserveIdentity { table: id, given: 0, count: table.identity_given })?;
            }
            if !table.loads.is_empty() {
                let sources = table.loads.iter().cloned().collect();
                let forgotten_us = table.loads.forgotten_us();
                self.act(Action::SetLoads { table: id, forget: false, sources, forgotten_us })?;
            }
            if let Some(statistics) = table.statistics {
                // Versions of another chain mean nothing here; that some rows came later is lost.
                let mark = |mark: Mark| Mark { version, ..mark };
                let (covers, analyzed) = (mark(statistics.covers), statistics.analyzed.map(mark));
                let statistics = StatisticsRef { covers, analyzed, ..statistics };
                self.act(Action::SetStatistics { table: id, statistics })?;
            }
        }
        for view in views {
            let mut view = ViewDef::clone(view);
            (view.id, view.schema) = (id_of(view.id)?, schema_of(view.schema)?);
            if let Binding::Bound(dependencies) = &mut view.binding {
                for dependency in dependencies {
                    dependency.relation = id_of(dependency.relation)?;
                }
            }
            self.act(Action::CreateView(view))?;
        }
        for (on, text) in of.comments.iter() {
            let on = match *on {
                CommentOn::Database => CommentOn::Database,
                CommentOn::Schema(id) => CommentOn::Schema(schema_of(id)?),
                CommentOn::Relation(id) => CommentOn::Relation(id_of(id)?),
                CommentOn::Column(id, column) => CommentOn::Column(id_of(id)?, column),
            };
            self.act(Action::SetComment(on, Some(text.clone())))?;
        }
        self.snapshot.check_invariants()
    }
}

/// Views behind those that they read.
fn by_dependence(of: &Snapshot) -> Vec<&Arc<ViewDef>> {
    let mut ordered: Vec<&Arc<ViewDef>> = Vec::with_capacity(of.views.len());
    while ordered.len() < of.views.len() {
        let before = ordered.len();
        for view in of.views.values() {
            let placed = |id: TableId| of.view(id).is_none() || ordered.iter().any(|view| view.id == id);
            let is_next = !ordered.iter().any(|known| known.id == view.id)
                && view.dependencies().iter().all(|dependency| placed(dependency.relation));
            if is_next {
                ordered.push(view);
            }
        }
        // Views form no circle, so that there is always one more.
        if ordered.len() == before {
            break;
        }
    }
    ordered
}
