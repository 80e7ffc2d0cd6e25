//! Backups: a version's objects in another place, from which a new warehouse can be made.
//!
//! A place of backups has the warehouse's objects under their own names, a table's state by its id and the version that last
//! changed it, and for each backup one object that lists what belongs to it, with checksums. That object is put last, where
//! there is none of the name: before that the backup is not there. Objects are never rewritten, so that what an earlier backup
//! has copied belongs to a later one, too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use prost::Message;

use super::checkpoint::{decode_root, decode_table, encode_root, encode_table};
use super::convert::{self, damaged};
use super::frame::{self, HEADER_BYTES, Magic};
use super::lease::PinnedSnapshot;
use super::load;
use super::model::{Extent, ObjectId, Snapshot, TableState};
use super::past::AsOf;
use super::paths;
use super::proto::{self, BackupObject, BackupPart, BackupTable};
use super::store::WarehouseStore;
use crate::common::{CommitId, Error, ErrorKind, Result, SqlState, TableId, Version};

/// Objects copied at a time: each is in memory as a whole.
pub(super) const COPIES: usize = 4;

/// Called for each object that is copied: an error ends the attempt.
pub type Check<'a> = &'a (dyn Fn() -> Result<()> + Sync);

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
    /// Errors: Invalid where the place is something else, or has backups of another warehouse or another history; Corrupt, with the
    /// object's name, where the warehouse no longer has what an earlier backup has copied; Unavailable when a store refuses.
    /// Backups that are there already stay as they are, and a later attempt goes on with what this one has copied for them.
    pub async fn make(
        store: &WarehouseStore,
        pin: &PinnedSnapshot,
        place: &WarehouseStore,
        options: MakeOptions<'_>,
    ) -> Result<BackedUp> {
        let snapshot = pin.base();
        let there = listed(place).await?;
        check_place(place, &there).await?;
        place.prepare().await?;
        let known = known(place, snapshot).await?;
        let same = is_same_history(store, pin, &there, known.first()).await?;
        let mut earlier: HashMap<String, BackupObject> = HashMap::new();
        for object in known.iter().flat_map(|backup| &backup.message.objects) {
            earlier.entry(object.name.clone()).or_insert_with(|| object.clone());
        }
        let making = Making { store, pin, place, earlier, there, same, options };

        let copies = extents(snapshot).into_iter().map(|(object, parts)| making.object(object, parts));
        let mut copies = stream::iter(copies.collect::<Vec<_>>()).buffer_unordered(COPIES);
        let mut objects = Vec::new();
        let mut copied = 0;
        while let Some((object, is_new)) = copies.try_next().await? {
            objects.push(object);
            copied += usize::from(is_new);
        }
        drop(copies);
        let sums = Sums::of(&objects);
        let mut tables = Vec::with_capacity(snapshot.tables.len());
        for table in snapshot.tables.values() {
            let (object, is_new) = making.table(table).await?;
            objects.push(object);
            copied += usize::from(is_new);
            tables.push(BackupTable {
                id: table.def.id.0,
                changed: table.changed.0,
                rows: table.live_rows(),
                checksum: sums.table(table)?,
            });
        }
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        let reused = objects.len() - copied;
        let message = proto::Backup {
            uuid: convert::id_bytes(snapshot.info.uuid),
            version: snapshot.version.0,
            time_us: snapshot.time_us,
            root: encode_root(snapshot)?.to_vec(),
            checksum: whole(&tables),
            tables,
            objects,
        };
        (making.options.check)()?;
        making.record(&message).await?;
        Ok(BackedUp { backup: Backup::of(message)?, copied, reused })
    }

    /// The id of the log entry that made the version.
    fn entry(&self) -> Result<CommitId> {
        let wrong = |e: Error| e.in_object(paths::backup(self.version), HEADER_BYTES as u64);
        Ok(decode_root(self.version, &Bytes::from(self.message.root.clone())).map_err(wrong)?.rest.entry)
    }

    /// What it holds, its tables with the objects' names in the backup.
    pub(super) async fn snapshot(&self, place: &WarehouseStore, check: Check<'_>) -> Result<Snapshot> {
        let wrong = |e: Error| e.in_object(paths::backup(self.version), HEADER_BYTES as u64);
        let root = decode_root(self.version, &Bytes::from(self.message.root.clone())).map_err(wrong)?;
        let mut tables = BTreeMap::new();
        for table in &self.message.tables {
            check()?;
            let (id, changed) = (TableId(table.id), Version(table.changed));
            let name = paths::backup_table(id, changed);
            let known = self.message.objects.iter().find(|o| o.name == name.as_ref());
            let known = known.ok_or_else(|| wrong(damaged("a table is not among the backup's objects")))?;
            let bytes = read_object(place, known).await?;
            let state = decode_table(id, changed, &bytes).map_err(|e| e.in_object(&name, 0))?;
            tables.insert(id, Arc::new(state));
        }
        let snapshot = root.rest.with_tables(tables).map_err(wrong)?;
        snapshot.check_invariants().map_err(|e| wrong(Error::corrupt(0, e.message())))?;
        Ok(snapshot)
    }
}

/// How a backup is made.
#[derive(Clone, Copy)]
pub struct MakeOptions<'a> {
    /// Whether what is there already is read, and copied anew where it is damaged. Otherwise its name and length say enough.
    pub verify: bool,
    pub check: Check<'a>,
}

impl fmt::Debug for MakeOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MakeOptions").field("verify", &self.verify).finish_non_exhaustive()
    }
}

/// A backup under way.
struct Making<'a> {
    store: &'a WarehouseStore,
    pin: &'a PinnedSnapshot,
    place: &'a WarehouseStore,
    /// What backups of the place name, by the newest that does.
    earlier: HashMap<String, BackupObject>,
    /// The objects of the place, with their lengths.
    there: BTreeMap<Path, u64>,
    /// Whether the place's backups are known to be of this history. Otherwise a name that has a version in it says too little; those
    /// of other objects are given once.
    same: bool,
    options: MakeOptions<'a>,
}

impl Making<'_> {
    /// An object of the warehouse, and whether it was copied.
    async fn object(&self, object: ObjectId, parts: Vec<Extent>) -> Result<(BackupObject, bool)> {
        (self.options.check)()?;
        let name = paths::object(&object);
        let known = self.earlier.get(name.as_ref());
        let has = |known: &BackupObject, e: &Extent| known.parts.iter().any(|p| (p.offset, p.len) == (e.offset, e.len));
        let mut kept = known.filter(|known| self.is_there(known) && parts.iter().all(|part| has(known, part)));
        if self.options.verify
            && let Some(known) = kept
            && !is_whole(self.place, known).await?
        {
            kept = None;
        }
        if let Some(kept) = kept
            && (self.same || matches!(object, ObjectId::Data { .. }))
        {
            return Ok((kept.clone(), false));
        }
        let Some(bytes) = fetch(self.store, &name).await? else { return Err(self.pin.missing_object(&object).await) };
        if let ObjectId::Log(version) = object {
            super::entry::Entry::decode(version, &bytes)?;
        }
        let told = object_of(name.as_ref(), &bytes, &parts)?;
        if known.is_some_and(|known| (known.bytes, known.crc) != (told.bytes, told.crc)) {
            if !self.same && matches!(object, ObjectId::Log(_)) {
                return Err(other_history());
            }
            return Err(Error::corrupt(0, "the warehouse's object is no longer what an earlier backup has copied")
                .in_object(&name, 0)
                .with_hint("it is damaged, or was then; RESTORE makes a new warehouse of a backup that has it whole"));
        }
        if let Some(kept) = kept {
            return Ok((kept.clone(), false));
        }
        self.place.replace(&name, bytes).await?;
        Ok((told, true))
    }

    /// A table's state, and whether it was put.
    async fn table(&self, table: &TableState) -> Result<(BackupObject, bool)> {
        (self.options.check)()?;
        let (id, changed) = (table.def.id, table.changed);
        let name = paths::backup_table(id, changed);
        let known = self.earlier.get(name.as_ref()).filter(|known| self.is_there(known));
        if let Some(known) = known
            && self.same
            && !self.options.verify
        {
            return Ok((known.clone(), false));
        }
        // Nobody goes on with a transaction that the moves are kept for.
        let alone = TableState { moves: Arc::default(), ..TableState::clone(table) };
        let bytes = encode_table(&alone)?;
        let told = object_of(name.as_ref(), &bytes, &[])?;
        if let Some(known) = known {
            if *known == told && !self.options.verify {
                return Ok((told, false));
            }
            match read_object(self.place, known).await {
                Ok(_) if self.same => return Ok((known.clone(), false)),
                // Another release may have written the same in another way.
                Ok(bytes) if decode_table(id, changed, &bytes).is_ok_and(|there| there == alone) => {
                    return Ok((known.clone(), false));
                }
                Ok(_) => return Err(other_history()),
                Err(e) if e.kind() == ErrorKind::Corrupt => {}
                Err(e) => return Err(e),
            }
        }
        self.place.replace(&name, bytes).await?;
        Ok((told, true))
    }

    /// Puts what the backup consists of, last of all.
    async fn record(&self, message: &proto::Backup) -> Result<()> {
        let snapshot = self.pin.base();
        let name = paths::backup(snapshot.version);
        let bytes = frame::encode(Magic::Backup, &[], &message.encode_to_vec())?;
        if self.place.create(&name, bytes.clone()).await? {
            return Ok(());
        }
        match read(self.place, snapshot.version).await {
            Ok(Some(found)) => {
                if found.uuid != snapshot.info.uuid {
                    return Err(other_warehouse());
                }
                if found.entry()? != snapshot.entry {
                    return Err(other_history());
                }
                if found.message.tables != message.tables {
                    return Err(Error::corrupt(
                        0,
                        "the backup is not of the rows that the warehouse has at its version",
                    )
                    .in_object(&name, 0)
                    .with_hint("move the object to another place, and back up again"));
                }
                let named = |of: &proto::Backup| -> BTreeSet<(String, u64, u32)> {
                    of.objects.iter().map(|o| (o.name.clone(), o.bytes, o.crc)).collect()
                };
                match named(&found.message) == named(message) {
                    // Another process, or another attempt, was first.
                    true => self.place.make_durable(&name).await,
                    // A table's state that was gone is there again as this release writes it.
                    false => self.place.replace(&name, bytes).await,
                }
            }
            // Nothing can be restored by it, and what this one names is there.
            Err(e) if e.kind() == ErrorKind::Corrupt => self.place.replace(&name, bytes).await,
            Ok(None) => {
                let error = Error::unavailable(format!("\"{name}\" came and went while the backup was made"));
                Err(error.with_hint("run BACKUP again; nobody but Blueshift should write to the place"))
            }
            Err(e) => Err(e),
        }
    }

    fn is_there(&self, known: &BackupObject) -> bool {
        self.there.get(&Path::from(known.name.as_str())) == Some(&known.bytes)
    }
}

/// The backups of a place, newest first, but for damaged ones: what those name is copied again.
async fn known(place: &WarehouseStore, snapshot: &Snapshot) -> Result<Vec<Backup>> {
    let mut known = Vec::new();
    for version in versions(place).await?.into_iter().rev() {
        match read(place, version).await {
            Ok(Some(backup)) if backup.uuid != snapshot.info.uuid => return Err(other_warehouse()),
            Ok(backup) => known.extend(backup),
            Err(e) if e.kind() == ErrorKind::Corrupt => tracing::warn!("a backup is damaged: {e}"),
            Err(e) => return Err(e),
        }
    }
    Ok(known)
}

/// Whether the backups of the place are known to be of the history that `pin` is of: copies of a warehouse, and what comes after
/// one that was brought back to an earlier state, give the same version numbers to other things. `false` where nothing tells.
///
/// Invalid where they are known to be of another.
async fn is_same_history(
    store: &WarehouseStore,
    pin: &PinnedSnapshot,
    there: &BTreeMap<Path, u64>,
    last: Option<&Backup>,
) -> Result<bool> {
    let snapshot = pin.base();
    let above = there.keys().filter_map(paths::parse_backup).max().filter(|version| *version > snapshot.version);
    if let Some(above) = above
        && above > pin.newest().await?.version
    {
        return Err(other_history());
    }
    // Each entry names the one before it, so that the last backup speaks for all.
    let Some(last) = last else { return Ok(false) };
    let here = match last.version == snapshot.version {
        true => Some(snapshot.entry),
        false => load::read_entry(store, last.version).await?.map(|entry| entry.id),
    };
    match here {
        Some(here) if here != last.entry()? => Err(other_history()),
        here => Ok(here.is_some()),
    }
}

fn other_warehouse() -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER, "the place has backups of another warehouse")
        .with_hint("back up each warehouse to a place of its own")
}

fn other_history() -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER, "the place has backups of another history of the warehouse").with_hint(
        "a copy of a warehouse, and one that was brought back to an earlier state, need a place of their own",
    )
}

/// An object of a backup. Corrupt where it is not as it was copied.
pub(super) async fn read_object(place: &WarehouseStore, object: &BackupObject) -> Result<Bytes> {
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

/// Whether an object of a backup is as it was copied.
async fn is_whole(place: &WarehouseStore, object: &BackupObject) -> Result<bool> {
    match read_object(place, object).await {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::Corrupt => Ok(false),
        Err(e) => Err(e),
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
async fn check_place(place: &WarehouseStore, there: &BTreeMap<Path, u64>) -> Result<()> {
    let wrong = |message: String| {
        Err(Error::invalid(SqlState::INVALID_PARAMETER, message)
            .with_hint("name an empty directory or prefix, or one that has the warehouse's backups"))
    };
    if there.contains_key(&paths::log_entry(Version(0))) {
        return wrong("the place is a warehouse".to_string());
    }
    let folder = paths::backup_folder();
    if there.keys().any(|path| path.prefix_matches(&folder)) {
        return Ok(());
    }
    // An attempt that was cut short may have left objects, and nothing that names them.
    let mut found = place.objects().list(None);
    let refused = |e| Error::unavailable(format!("cannot list the place: {e}")).with_source(e);
    while let Some(object) = found.try_next().await.map_err(refused)? {
        let path = object.location;
        if paths::parse_data(&path).is_none() && paths::parse_log_entry(&path).is_none() {
            return wrong(format!("the place has other files, as \"{path}\", and no backup"));
        }
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
