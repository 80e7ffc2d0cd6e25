//! A warehouse, open: the handle that an application keeps.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use datafusion::catalog::{CatalogProvider, TableProvider};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};

use super::catalog_provider::WarehouseCatalog;
use super::error::from_datafusion;
use super::location::Location;
use super::namespace::StatementPins;
use super::progress::Transfers;
use super::query_log::QueryLog;
use super::session::Session;
use super::stores::StoreOptions;
use super::temporary::Scratch;
use super::uses::Uses;
use super::vacuum::{self, Upkeep};
use crate::catalog::{
    Blob, Catalog, CatalogOptions, Collected, Genesis, OpenMode, PinnedSnapshot, SegmentRef, Transaction,
    WarehouseInfo, WarehouseStore,
};
use crate::common::{Clock, Error, Result, SqlState, UserId};
use crate::format::Geometry;
use crate::storage::block_store::BlockStore;
use crate::storage::loader::put_bytes;
use crate::storage::rewrite::Resources;
use crate::storage::segment::SegmentStore;
use crate::system::TransferState;

/// An open warehouse. Clones share everything; the last one to go gives its lease back to time.
#[derive(Clone)]
pub struct Warehouse {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub catalog: Catalog,
    pub segments: SegmentStore,
    pub location: Location,
    /// How it reaches files of COPY and UNLOAD, backups, and warehouses that are attached.
    pub stores: StoreOptions,
    pub created: bool,
    pub threads: usize,
    pub load_memory: usize,
    pub runtime: Arc<RuntimeEnv>,
    pub uses: Uses,
    pub log: Arc<QueryLog>,
    pub upkeep: Upkeep,
    pub transfers: Arc<Transfers>,
    keep_versions: Duration,
    /// Held by a statement that runs again since it met a conflict.
    pub contended: tokio::sync::Mutex<()>,
    next_query: AtomicU64,
    next_process: AtomicU32,
    /// Where it stands, if it goes with its last handle.
    scratch: Option<Scratch>,
}

impl Warehouse {
    /// Opens the warehouse at `location` (a path, `file://`, `memory://`, `s3://bucket/prefix`, `gs://…`, `az://…`), or makes one there.
    ///
    /// Errors: Invalid when the place holds something else, Unsupported when a newer version wrote it.
    pub async fn open(location: &str) -> Result<Warehouse> {
        Warehouse::builder().open(location).await
    }

    /// The loads, appends and unloads that go on in this process, the oldest first; as `stv_load_state` and `stv_unload_state` show
    /// them.
    pub fn transfers(&self) -> Vec<TransferState> {
        self.inner.transfers.states()
    }

    pub fn builder() -> WarehouseBuilder {
        WarehouseBuilder::default()
    }

    /// A session of the warehouse's owner.
    pub fn session(&self) -> Session {
        Session::new(self.clone())
    }

    /// A table or view as a provider for any `SessionContext`. Each scan reads the version that is newest when it is planned.
    ///
    /// `name` is `table` (of schema `public`) or `schema.table`.
    pub async fn table(&self, name: &str) -> Result<Arc<dyn TableProvider>> {
        let (schema, table) = name.split_once('.').unwrap_or(("public", name));
        self.inner.catalog.refresh().await?;
        let pin = self.inner.catalog.pin();
        let provider = self.catalog_of(&pin).schema(schema);
        let found = match provider {
            Some(provider) => provider.table(table).await.map_err(from_datafusion)?,
            None => None,
        };
        found.ok_or_else(|| super::names::no_such_table(name))
    }

    /// How large a table is, in its newest version; `None` when there is no such table. `name` is as for
    /// [`Warehouse::table`].
    pub async fn table_size(&self, name: &str) -> Result<Option<TableSize>> {
        let (schema, table) = name.split_once('.').unwrap_or(("public", name));
        let pin = self.pin_newest().await?;
        let state = pin.schema_named(schema).and_then(|s| pin.table_named(s.id, table));
        Ok(state.map(|state| TableSize {
            rows: state.live_rows(),
            bytes: state.segments.iter().map(|s| stored_bytes(s)).sum(),
        }))
    }

    /// The warehouse as a DataFusion catalog that always shows the newest version known.
    pub fn catalog(&self) -> Arc<dyn datafusion::catalog::CatalogProvider> {
        Arc::new(WarehouseCatalog::latest(self.clone()))
    }

    /// The warehouse at one version.
    fn catalog_of(&self, pin: &PinnedSnapshot) -> WarehouseCatalog {
        WarehouseCatalog::latest(self.clone()).at(Arc::new(StatementPins::of(self.clone(), pin.clone())))
    }

    /// Slices, geometry, identity.
    pub fn info(&self) -> Arc<WarehouseInfo> {
        Arc::clone(&self.inner.catalog.snapshot().info)
    }

    /// Where it is kept.
    pub fn location(&self) -> &Location {
        &self.inner.location
    }

    /// Whether opening made it.
    pub fn was_created(&self) -> bool {
        self.inner.created
    }

    /// Bytes handed out by the store so far, cached footers and dictionaries not counted.
    pub fn bytes_read(&self) -> u64 {
        self.inner.segments.blocks().bytes_read()
    }

    /// Zones that scans left out unread so far, because no row of theirs could pass the filters.
    pub fn zones_pruned(&self) -> u64 {
        self.inner.segments.zones_pruned()
    }

    /// Deletes objects that no snapshot in use refers to, and tells how many.
    ///
    /// It runs beside anything else, in any process: versions that a session of any process reads stay readable. Errors:
    /// Conflict when another process collects at the moment.
    pub async fn collect(&self) -> Result<Collected> {
        self.inner.catalog.collect().await
    }

    /// The same of what no version needs that is younger than versions are kept: see [`WarehouseBuilder::keep_versions`]. The
    /// background does so every ten minutes, unless upkeep is off. `None` where nothing is old enough.
    pub async fn collect_expired(&self) -> Result<Option<Collected>> {
        self.inner.catalog.collect_older(self.inner.keep_versions).await
    }

    /// Says again for how long versions are to be kept.
    pub(super) async fn ask_to_keep(&self) -> Result<()> {
        self.inner.catalog.ask_to_keep(self.inner.keep_versions).await
    }

    /// Gives the lease back, so that what this process pinned may be collected at once, and writes the log of statements.
    pub async fn close(self) -> Result<()> {
        self.inner.log.flush().await;
        self.inner.catalog.clone().close().await
    }

    /// For rewriting the segments that `pin` keeps.
    pub(super) fn resources(&self, pin: &PinnedSnapshot) -> Resources {
        Resources {
            segments: self.inner.segments.at(pin.clone()),
            store: Arc::clone(self.inner.catalog.store().objects()),
            threads: self.inner.threads,
            memory: self.inner.load_memory,
        }
    }

    pub(super) fn geometry(&self) -> Result<Geometry> {
        let info = self.info();
        Geometry::new(info.zone_rows, info.chunk_rows)
    }

    pub(super) async fn pin_newest(&self) -> Result<PinnedSnapshot> {
        self.inner.catalog.refresh().await?;
        Ok(self.inner.catalog.pin())
    }

    /// Whether both are handles of one.
    pub(super) fn is(&self, other: &Warehouse) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether it is a session's private one, of temporary tables.
    pub(super) fn is_scratch(&self) -> bool {
        self.inner.scratch.is_some()
    }

    /// Stores what would take too much room in the log as an object of the transaction's.
    pub(super) async fn store_large(&self, transaction: &mut Transaction) -> Result<()> {
        if transaction.inline_bytes() <= Blob::MAX_INLINE_BYTES {
            return Ok(());
        }
        let object = transaction.names().next_object();
        put_bytes(self.inner.catalog.store().objects(), object, transaction.inline().concat().into()).await?;
        transaction.moved_to(object);
        Ok(())
    }

    pub(super) fn next_query(&self) -> u64 {
        self.inner.next_query.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn next_process(&self) -> u32 {
        self.inner.next_process.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn owner(&self) -> UserId {
        Genesis::OWNER
    }
}

impl fmt::Debug for Warehouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warehouse").field("location", &self.inner.location).finish_non_exhaustive()
    }
}

/// What a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSize {
    /// Rows that are not deleted.
    pub rows: u64,
    /// Bytes of its segments: encoded columns, dictionaries and footers.
    pub bytes: u64,
}

fn stored_bytes(segment: &SegmentRef) -> u64 {
    segment.columns.iter().map(|c| c.bytes).sum::<u64>() + u64::from(segment.footer_len)
}

/// How to open a warehouse, or to make one.
#[derive(Debug, Clone)]
pub struct WarehouseBuilder {
    slices: Option<u32>,
    geometry: Geometry,
    threads: usize,
    memory_limit: Option<usize>,
    load_memory: Option<usize>,
    create: bool,
    catalog: CatalogOptions,
    store: Option<WarehouseStore>,
    stores: StoreOptions,
    runtime: Option<Arc<RuntimeEnv>>,
    upkeep: bool,
    keep_versions: Option<Duration>,
}

impl Default for WarehouseBuilder {
    fn default() -> Self {
        WarehouseBuilder {
            slices: None,
            geometry: Geometry::DEFAULT,
            threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            memory_limit: None,
            load_memory: None,
            create: true,
            catalog: CatalogOptions::default(),
            store: None,
            stores: StoreOptions::default(),
            runtime: None,
            upkeep: true,
            keep_versions: None,
        }
    }
}

impl WarehouseBuilder {
    /// Our own choice: long enough to notice a mistake and undo it.
    const KEEP_VERSIONS: Duration = Duration::from_secs(24 * 60 * 60);

    /// Slices of a new warehouse, 1 to 1,024; by default as many as there are cores, at least 4. Opening a warehouse
    /// that has another number is an error.
    pub fn slices(mut self, slices: u32) -> Self {
        self.slices = Some(slices);
        self
    }

    /// Block geometry of a new warehouse; an existing one keeps its own.
    pub fn geometry(mut self, geometry: Geometry) -> Self {
        self.geometry = geometry;
        self
    }

    /// Threads that a statement may keep busy; by default the number of cores.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Bytes that queries may use together; by default three quarters of the machine's.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Bytes of rows that a load gathers before it stores a run; by default a third of the memory limit. Runs of one
    /// load are merged at its end.
    pub fn load_memory(mut self, bytes: usize) -> Self {
        self.load_memory = Some(bytes);
        self
    }

    /// Whether an empty place becomes a warehouse (the default).
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Whether this process looks after the warehouse in the background (the default): it vacuums tables, deletes rows that they
    /// retain no longer, and collects old versions. Where no process does, the application calls [`Warehouse::maintain`] and
    /// [`Warehouse::collect_expired`].
    pub fn upkeep(mut self, upkeep: bool) -> Self {
        self.upkeep = upkeep;
        self
    }

    /// How long the background of any process keeps versions of the past, for FOR SYSTEM_TIME AS OF; a day by default. What is
    /// older goes once nobody reads it any more.
    ///
    /// Of several processes the longest time counts, also of one that has ended: what is said here is written down where the
    /// warehouse is, and holds for as long again. A time that nobody has said holds while its process runs, with upkeep.
    /// [`Warehouse::collect`] deletes old versions at once, whatever was said.
    pub fn keep_versions(mut self, keep: Duration) -> Self {
        self.keep_versions = Some(keep);
        self
    }

    /// Tells the time; for tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.catalog.clock = clock;
        self
    }

    /// How the catalog renews leases and writes checkpoints.
    pub fn catalog_options(mut self, options: CatalogOptions) -> Self {
        self.catalog = options;
        self
    }

    /// Uses this store instead of opening the location.
    pub fn store(mut self, store: WarehouseStore) -> Self {
        self.store = Some(store);
        self
    }

    /// How buckets and web servers are reached: the warehouse's own, and those of COPY, UNLOAD, BACKUP and ATTACH.
    pub fn stores(mut self, options: StoreOptions) -> Self {
        self.stores = options;
        self
    }

    /// Opens the warehouse at `location`, or makes it; see [`Warehouse::open`].
    pub async fn open(self, location: &str) -> Result<Warehouse> {
        let location = Location::parse(location)?;
        let (store, local) = match &self.store {
            Some(store) => (store.clone(), None),
            None => location.open(&self.stores).await?,
        };
        self.open_store(location, store, local, &["public"], None).await
    }

    /// Uses another warehouse's memory pool and threads.
    pub(super) fn sharing(self, of: &Warehouse) -> Self {
        let builder = WarehouseBuilder { runtime: Some(Arc::clone(&of.inner.runtime)), ..self };
        let options = of.inner.catalog.options().clone();
        let builder = builder.threads(of.inner.threads).load_memory(of.inner.load_memory).catalog_options(options);
        builder.stores(of.inner.stores.clone())
    }

    /// Makes a warehouse like `of` in the directory `path`, which goes with it. A store and options must be given.
    pub(super) async fn private(
        self,
        of: &Warehouse,
        schema: &str,
        path: PathBuf,
        scratch: Scratch,
    ) -> Result<Warehouse> {
        let (info, catalog) = (of.info(), self.catalog.clone());
        let store = self.store.clone().ok_or_else(|| Error::internal("a private warehouse without a store"))?;
        let builder = self.sharing(of).catalog_options(catalog).slices(info.slices).geometry(of.geometry()?);
        let location = Location::Directory(path.clone());
        builder.open_store(location, store, Some(path), &[schema], Some(scratch)).await
    }

    async fn open_store(
        self,
        location: Location,
        store: WarehouseStore,
        local: Option<PathBuf>,
        schemas: &[&str],
        scratch: Option<Scratch>,
    ) -> Result<Warehouse> {
        let slices = self.slices.unwrap_or_else(|| (self.threads as u32).clamp(4, WarehouseInfo::MAX_SLICES));
        let mut genesis = Genesis::new("dev", slices);
        genesis.schemas = schemas.iter().map(|schema| schema.to_string()).collect();
        genesis.info.zone_rows = self.geometry.zone_rows() as u32;
        genesis.info.chunk_rows = self.geometry.chunk_rows() as u32;
        let uuid = genesis.info.uuid;
        let mode = if self.create { OpenMode::OpenOrCreate(genesis) } else { OpenMode::Existing };
        let objects = Arc::clone(store.objects());
        let catalog = Catalog::open(store, mode, self.catalog).await.map_err(|e| e.context(&location))?;
        if let Some(keep) = self.keep_versions {
            catalog.ask_to_keep(keep).await?;
        }
        let info = Arc::clone(&catalog.snapshot().info);
        if self.slices.is_some_and(|wanted| wanted != info.slices) {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER,
                format!("the warehouse at {location} has {} slices, not {slices}", info.slices),
            )
            .with_hint("leave the number of slices out, or choose another location"));
        }
        let memory = self.memory_limit.unwrap_or_else(|| machine_memory() / 4 * 3);
        let most = NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN);
        let runtime = match self.runtime {
            Some(shared) => shared,
            None => RuntimeEnvBuilder::new()
                .with_memory_pool(Arc::new(TrackConsumersPool::new(FairSpillPool::new(memory), most)))
                .build_arc()
                .map_err(from_datafusion)?,
        };
        // What goes with the process keeps its log in memory.
        let lasting = !matches!(location, Location::Memory) && scratch.is_none();
        let clock = Arc::clone(&catalog.options().clock);
        let log = Arc::new(QueryLog::new(clock, lasting.then(|| Arc::clone(&objects))));
        let blocks = Arc::new(BlockStore::new(objects, local));
        let geometry = Geometry::new(info.zone_rows, info.chunk_rows)?;
        let upkeep = self.upkeep && catalog.options().background;
        let warehouse = Warehouse {
            inner: Arc::new(Inner {
                created: info.uuid == uuid,
                catalog,
                segments: SegmentStore::new(blocks, geometry, (memory / 20).max(64 << 20) as u64),
                location,
                stores: self.stores,
                threads: self.threads,
                load_memory: self.load_memory.unwrap_or(memory / 3),
                runtime,
                uses: Uses::default(),
                next_query: AtomicU64::new(log.first_query()),
                log,
                upkeep: Upkeep::default(),
                transfers: Arc::default(),
                keep_versions: self.keep_versions.unwrap_or(WarehouseBuilder::KEEP_VERSIONS),
                contended: tokio::sync::Mutex::default(),
                next_process: AtomicU32::new(1),
                scratch,
            }),
        };
        let asked = self.keep_versions.is_some() && warehouse.inner.catalog.options().background;
        if upkeep || asked {
            tokio::spawn(vacuum::keep(Arc::downgrade(&warehouse.inner), upkeep));
        }
        Ok(warehouse)
    }
}

/// The machine's memory in bytes, or a control group's where that is less; 8 GiB where neither can be read.
fn machine_memory() -> usize {
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|l| l.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib << 10)
    });
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|t| t.trim().parse::<usize>().ok());
    match (total, group) {
        (Some(total), Some(group)) => total.min(group),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => 8 << 30,
    }
}
