//! Backups: a version's objects in another place, from which a new warehouse can be made.
//!
//! A place of backups has the warehouse's objects under their own names, a table's state by its id and the version that last
//! changed it, and for each backup one object that lists what belongs to it, with checksums. That object is put last, where
//! there is none of the name: before that the backup is not there. Objects are never rewritten, so that what an earlier backup
//! has copied belongs to a later one, too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use prost::Message;

use super::checkpoint::{decode_root, decode_table, encode_root, encode_table};
use super::convert::{self, damaged};
use super::frame::{self, HEADER_BYTES, Magic};
use super::lease::PinnedSnapshot;
use super::model::{Extent, ObjectId, Snapshot, TableState};
use super::past::AsOf;
use super::paths;
use super::proto::{self, BackupObject, BackupPart, BackupTable};
use super::store::WarehouseStore;
use crate::common::{Error, ErrorKind, Result, SqlState, TableId, Version};

/// Objects copied at a time: each is in memory as a whole.
pub(super) const COPIES: usize = 4;

/// A backup, as its place tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    /// That of the warehouse.
    pub uuid: u128,
    pub version: Version,
    /// When the version was committed, in microseconds since 1970, UTC.
    pub time_us: i64,
    pub tables: usize,
    pub rows: u64,
    pub objects: usize,
    pub bytes: u64,
    /// Of all tables' rows as they are stored.
    pub checksum: u32,
    pub(super) message: proto::Backup,
}

/// What making a backup did.
#[derive(Debug, Clone, PartialEq)]
pub struct BackedUp {
    pub backup: Backup,
    pub copied: usize,
    pub reused: usize,
}

impl Backup {
    fn of(message: proto::Backup) -> Result<Backup> {
        Ok(Backup {
            uuid: convert::read_id(&message.uuid)?,
            version: Version(message.version),
            time_us: message.time_us,
            tables: message.tables.len(),
            rows: message.tables.iter().map(|t| t.rows).sum(),
            objects: message.objects.len(),
            bytes: message.objects.iter().map(|o| o.bytes).sum(),
            checksum: message.checksum,
            message,
        })
    }

    /// The backups of a place, oldest first.
    ///
    /// Corrupt, with the object's name, where one is damaged.
    pub async fn all(place: &WarehouseStore) -> Result<Vec<Backup>> {
        let mut backups = Vec::new();
        for version in versions(place).await? {
            backups.extend(read(place, version).await?);
        }
        Ok(backups)
    }

    /// The backup of a version, the last one of a time, or the newest; `None` where there is none.
    ///
    /// Corrupt, with the object's name, where it is damaged.
    pub async fn find(place: &WarehouseStore, at: Option<AsOf>) -> Result<Option<Backup>> {
        for version in versions(place).await?.into_iter().rev() {
            if matches!(at, Some(AsOf::Version(wanted)) if wanted != version) {
                continue;
            }
            let Some(backup) = read(place, version).await? else { continue };
            if !matches!(at, Some(AsOf::Time(time_us)) if backup.time_us > time_us) {
                return Ok(Some(backup));
            }
        }
        Ok(None)
    }

    /// Puts what `pin` shows, of the warehouse at `store`, into a place.
    ///
    /// Errors: Invalid where the place is something else, or has another warehouse's backups; Unavailable when a store refuses.
    /// Backups that are there already stay as they are, and a later attempt goes on with what this one has copied for them.
    pub async fn make(store: &WarehouseStore, pin: &PinnedSnapshot, place: &WarehouseStore) -> Result<BackedUp> {
        let snapshot = pin.base();
        place.prepare().await?;
        check_place(place).await?;
        let known = versions(place).await?;
        let mut earlier: HashMap<String, BackupObject> = HashMap::new();
        for version in known.iter().rev() {
            let backup = match read(place, *version).await {
                Ok(Some(backup)) => backup,
                Ok(None) => continue,
                // What it names is copied again.
                Err(e) if e.kind() == ErrorKind::Corrupt => {
                    tracing::warn!("a backup is damaged: {e}");
                    continue;
                }
                Err(e) => return Err(e),
            };
            if backup.uuid != snapshot.info.uuid {
                return Err(Error::invalid(SqlState::INVALID_PARAMETER, "the place has backups of another warehouse")
                    .with_hint("back up each warehouse to a place of its own"));
            }
            if backup.version == snapshot.version {
                place.make_durable(&paths::backup(backup.version)).await?;
                let reused = backup.objects;
                return Ok(BackedUp { backup, copied: 0, reused });
            }
            for object in &backup.message.objects {
                earlier.entry(object.name.clone()).or_insert_with(|| object.clone());
            }
        }
        let there: BTreeMap<Path, u64> = listed(place).await?;
        let kept = |name: &str, parts: &[Extent]| {
            let known = earlier.get(name)?;
            let has = |e: &Extent| known.parts.iter().any(|p| (p.offset, p.len) == (e.offset, e.len));
            (there.get(&Path::from(name)) == Some(&known.bytes) && parts.iter().all(has)).then(|| known.clone())
        };

        let mut objects = Vec::new();
        let mut wanted = Vec::new();
        for (object, parts) in extents(snapshot) {
            match kept(paths::object(&object).as_ref(), &parts) {
                Some(known) => objects.push(known),
                None => wanted.push((object, parts)),
            }
        }
        let mut reused = objects.len();
        let copies = wanted.into_iter().map(|(object, parts)| copy(store, pin, place, object, parts));
        let mut copies = stream::iter(copies.collect::<Vec<_>>()).buffer_unordered(COPIES);
        let mut copied = 0;
        while let Some(object) = copies.try_next().await? {
            objects.push(object);
            copied += 1;
        }
        drop(copies);
        let sums = Sums::of(&objects);
        let mut tables = Vec::with_capacity(snapshot.tables.len());
        for table in snapshot.tables.values() {
            // Nobody goes on with a transaction that the moves are kept for.
            let alone = TableState { moves: Arc::default(), ..TableState::clone(table) };
            let name = paths::backup_table(table.def.id, table.changed);
            match kept(name.as_ref(), &[]) {
                Some(known) => {
                    objects.push(known);
                    reused += 1;
                }
                None => {
                    let bytes = encode_table(&alone)?;
                    objects.push(object_of(name.as_ref(), &bytes, &[])?);
                    place.replace(&name, bytes).await?;
                    copied += 1;
                }
            }
            tables.push(BackupTable {
                id: table.def.id.0,
                changed: table.changed.0,
                rows: table.live_rows(),
                checksum: sums.table(table)?,
            });
        }
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        let message = proto::Backup {
            uuid: convert::id_bytes(snapshot.info.uuid),
            version: snapshot.version.0,
            time_us: snapshot.time_us,
            root: encode_root(snapshot)?.to_vec(),
            checksum: whole(&tables),
            tables,
            objects,
        };
        let bytes = frame::encode(Magic::Backup, &[], &message.encode_to_vec())?;
        let name = paths::backup(snapshot.version);
        if !place.create(&name, bytes).await? {
            // Another process was first, with the same.
            place.make_durable(&name).await?;
        }
        Ok(BackedUp { backup: Backup::of(message)?, copied, reused })
    }

    /// What it holds, its tables with the objects' names in the backup.
    pub(super) async fn snapshot(&self, place: &WarehouseStore) -> Result<Snapshot> {
        let wrong = |e: Error| e.in_object(paths::backup(self.version), HEADER_BYTES as u64);
        let root = decode_root(self.version, &Bytes::from(self.message.root.clone())).map_err(wrong)?;
        let mut tables = BTreeMap::new();
        for table in &self.message.tables {
            let (id, changed) = (TableId(table.id), Version(table.changed));
            let name = paths::backup_table(id, changed);
            let known = self.message.objects.iter().find(|o| o.name == name.as_ref());
            let known = known.ok_or_else(|| wrong(damaged("a table is not among the backup's objects")))?;
            let bytes = self.read(place, known).await?;
            let state = decode_table(id, changed, &bytes).map_err(|e| e.in_object(&name, 0))?;
            tables.insert(id, Arc::new(state));
        }
        let snapshot = root.rest.with_tables(tables).map_err(wrong)?;
        snapshot.check_invariants().map_err(|e| wrong(Error::corrupt(0, e.message())))?;
        Ok(snapshot)
    }

    /// An object of it. Corrupt where it is not as it was copied.
    pub(super) async fn read(&self, place: &WarehouseStore, object: &BackupObject) -> Result<Bytes> {
        let corrupt = |what: &str| Err(Error::corrupt(0, what).in_object(&object.name, 0));
        match fetch(place, &Path::from(object.name.as_str())).await? {
            None => corrupt("an object of the backup is missing"),
            Some(bytes) if bytes.len() as u64 != object.bytes => {
                corrupt("the object has another length than when it was backed up")
            }
            Some(bytes) if crc32c::crc32c(&bytes) != object.crc => corrupt("the object's checksum is wrong"),
            Some(bytes) => Ok(bytes),
        }
    }
}

/// The checksums of extents, by where they stand.
pub(super) struct Sums(HashMap<(String, u64, u64), u32>);

impl Sums {
    pub fn of(objects: &[BackupObject]) -> Sums {
        let parts = objects.iter().flat_map(|o| o.parts.iter().map(|p| ((o.name.clone(), p.offset, p.len), p.crc)));
        Sums(parts.collect())
    }

    fn get(&self, extent: &Extent) -> Result<u32> {
        let name = paths::object(&extent.object).to_string();
        let missing = || Error::corrupt(extent.offset, "a part of the object is not in the backup").in_object(&name, 0);
        self.0.get(&(name.clone(), extent.offset, extent.len)).copied().ok_or_else(missing)
    }

    /// Of a table's rows: its segments' bytes in their order, and which rows of each are dead.
    pub fn table(&self, table: &TableState) -> Result<u32> {
        let mut sum = 0;
        for segment in table.segments.iter() {
            sum = crc32c::crc32c_append(sum, &segment.slice.to_le_bytes());
            sum = crc32c::crc32c_append(sum, &segment.rows.to_le_bytes());
            sum = crc32c::crc32c_append(sum, &self.get(&segment.extent)?.to_le_bytes());
            let dead = segment.deleted.map_or(Ok(0), |deleted| self.get(&deleted.extent))?;
            sum = crc32c::crc32c_append(sum, &dead.to_le_bytes());
        }
        Ok(sum)
    }
}

/// Of all tables, in the order of their ids.
pub(super) fn whole(tables: &[BackupTable]) -> u32 {
    tables.iter().fold(0, |sum, table| crc32c::crc32c_append(sum, &table.checksum.to_le_bytes()))
}

/// What tables refer to, by object.
pub(super) fn extents(snapshot: &Snapshot) -> BTreeMap<ObjectId, Vec<Extent>> {
    let mut found: BTreeMap<ObjectId, Vec<Extent>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for table in snapshot.tables.values() {
        let of_segments = table.segments.iter().flat_map(|s| [Some(s.extent), s.deleted.map(|d| d.extent)]);
        for extent in of_segments.chain([table.statistics.map(|s| s.extent)]).flatten() {
            if seen.insert((extent.object, extent.offset, extent.len)) {
                found.entry(extent.object).or_default().push(extent);
            }
        }
    }
    found
}

/// Unavailable when the store refuses; `None` where there is nothing.
pub(super) async fn fetch(store: &WarehouseStore, path: &Path) -> Result<Option<Bytes>> {
    use object_store::ObjectStoreExt;
    let refused = |e| Error::unavailable(format!("cannot read \"{path}\": {e}")).with_source(e);
    match store.objects().get(path).await {
        Ok(found) => found.bytes().await.map(Some).map_err(refused),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(e) => Err(refused(e)),
    }
}

async fn copy(
    store: &WarehouseStore,
    pin: &PinnedSnapshot,
    place: &WarehouseStore,
    object: ObjectId,
    parts: Vec<Extent>,
) -> Result<BackupObject> {
    let name = paths::object(&object);
    let Some(bytes) = fetch(store, &name).await? else { return Err(pin.missing_object(&object).await) };
    if let ObjectId::Log(version) = object {
        super::entry::Entry::decode(version, &bytes)?;
    }
    let told = object_of(name.as_ref(), &bytes, &parts)?;
    place.replace(&name, bytes).await?;
    Ok(told)
}

fn object_of(name: &str, bytes: &Bytes, parts: &[Extent]) -> Result<BackupObject> {
    let part = |extent: &Extent| {
        let end = extent.offset.checked_add(extent.len).filter(|end| *end <= bytes.len() as u64);
        let end =
            end.ok_or_else(|| Error::corrupt(bytes.len() as u64, "the object ends too early").in_object(name, 0))?;
        let crc = crc32c::crc32c(&bytes[extent.offset as usize..end as usize]);
        Ok(BackupPart { offset: extent.offset, len: extent.len, crc })
    };
    let parts = parts.iter().map(part).collect::<Result<_>>()?;
    Ok(BackupObject { name: name.to_string(), bytes: bytes.len() as u64, crc: crc32c::crc32c(bytes), parts })
}

async fn versions(place: &WarehouseStore) -> Result<Vec<Version>> {
    let objects = place.list_direct(&paths::backup_folder()).await?;
    let mut versions: Vec<Version> = objects.iter().filter_map(|o| paths::parse_backup(&o.location)).collect();
    versions.sort_unstable();
    Ok(versions)
}

async fn read(place: &WarehouseStore, version: Version) -> Result<Option<Backup>> {
    match fetch(place, &paths::backup(version)).await? {
        Some(bytes) => decode(version, &bytes).map(Some),
        None => Ok(None),
    }
}

/// Reads the backup of `version`. Corrupt or Unsupported, as [`frame::decode`] says.
pub(super) fn decode(version: Version, bytes: &Bytes) -> Result<Backup> {
    let name = paths::backup(version);
    let frame = frame::decode(Magic::Backup, bytes).map_err(|e| e.in_object(&name, 0))?;
    let read = |body: Bytes| {
        let message = proto::Backup::decode(body).map_err(|e| damaged(&e.to_string()))?;
        if message.version != version.0 {
            return Err(damaged("the backup is another version's"));
        }
        Backup::of(message)
    };
    read(frame.body).map_err(|e| e.in_object(&name, HEADER_BYTES as u64))
}

/// Invalid where a place is something else than one of backups.
async fn check_place(place: &WarehouseStore) -> Result<()> {
    if place.get(&paths::log_entry(Version(0))).await?.is_some() {
        return Err(Error::invalid(SqlState::INVALID_PARAMETER, "the place is a warehouse")
            .with_hint("name an empty directory or prefix, or one that has its backups"));
    }
    Ok(())
}

/// The objects of a place, with their lengths.
async fn listed(place: &WarehouseStore) -> Result<BTreeMap<Path, u64>> {
    let mut there = BTreeMap::new();
    for folder in [paths::backup_folder(), paths::data_folder(), paths::log_folder()] {
        there.extend(place.list(&folder).await?.into_iter().map(|o| (o.location, o.size)));
    }
    Ok(there)
}
