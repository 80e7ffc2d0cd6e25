//! The names that one session has beside the warehouse's own: its search path, temporary tables, attached catalogs,
//! and what the application registered.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, TableProvider};
use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use parking_lot::{Mutex, RwLock};

use super::block::Block;
use super::names::CATALOG;
use super::temporary;
use super::views::ViewPlans;
use super::warehouse::Warehouse;
use crate::catalog::{AsOf, PinnedSnapshot, Read, Snapshot, Transaction};
use crate::common::{Error, Result, SqlState};
use crate::system;

/// The path of a session that said nothing, as Redshift's.
const DEFAULT_PATH: [&str; 2] = ["$user", "public"];

/// The schema that stands for the session's own temporary one, whatever its number.
pub const TEMP_SCHEMA: &str = "pg_temp";

/// A session's names.
pub struct Namespace {
    warehouse: Warehouse,
    /// `pg_temp_N`, N being the session's number.
    temp_schema: String,
    /// Tables that are no warehouse's: registered by the application, temporary views, external tables.
    pub foreign: Arc<ForeignTables>,
    /// The plans of bound views.
    pub plans: Arc<ViewPlans>,
    path: RwLock<Option<Vec<String>>>,
    temp: tokio::sync::OnceCell<Warehouse>,
    attached: RwLock<BTreeMap<String, Attached>>,
    /// The transaction block that the session is in.
    block: Mutex<Option<Arc<Block>>>,
}

/// What ATTACH made a catalog of.
#[derive(Clone)]
pub enum Attached {
    Warehouse { warehouse: Warehouse, read_only: bool },
    Files(Arc<dyn CatalogProvider>),
}

impl Namespace {
    pub fn new(warehouse: Warehouse, process: u32) -> Self {
        Namespace {
            warehouse,
            temp_schema: format!("{TEMP_SCHEMA}_{process}"),
            foreign: Arc::default(),
            plans: Arc::default(),
            path: RwLock::default(),
            temp: tokio::sync::OnceCell::new(),
            attached: RwLock::default(),
            block: Mutex::default(),
        }
    }

    pub fn temp_schema(&self) -> &str {
        &self.temp_schema
    }

    /// Whether `schema` is the session's own temporary one.
    pub fn is_temp(&self, schema: &str) -> bool {
        schema == TEMP_SCHEMA || schema == self.temp_schema
    }

    /// `None` is the default.
    pub fn set_path(&self, path: Option<Vec<String>>) {
        *self.path.write() = path;
    }

    /// The path as it was set, if it was.
    pub fn set_to(&self) -> Option<Vec<String>> {
        self.path.read().clone()
    }

    /// The path as it was set.
    pub fn path(&self) -> Vec<String> {
        self.path.read().clone().unwrap_or_else(|| DEFAULT_PATH.map(String::from).to_vec())
    }

    /// The schemas of the path that exist, without the temporary one: new tables go to the first.
    pub fn schemas(&self, snapshot: &Snapshot) -> Vec<String> {
        let user = snapshot.users.get(&self.warehouse.owner());
        let path = self.path().into_iter();
        let named = path.filter_map(|schema| if schema == "$user" { user.cloned() } else { Some(schema) });
        named.filter(|schema| snapshot.schema_named(schema).is_some()).collect()
    }

    /// All schemas that an unqualified name is looked up in, in order: the temporary one first and pg_catalog last,
    /// unless the path itself says where they stand.
    pub fn lookup(&self, snapshot: &Snapshot) -> Vec<String> {
        let user = snapshot.users.get(&self.warehouse.owner());
        let mut schemas: Vec<String> = Vec::new();
        for schema in self.path() {
            match schema.as_str() {
                "$user" => schemas.extend(user.cloned()),
                temp if self.is_temp(temp) => schemas.push(self.temp_schema.clone()),
                _ => schemas.push(schema),
            }
        }
        if !schemas.contains(&self.temp_schema) {
            schemas.insert(0, self.temp_schema.clone());
        }
        if !schemas.iter().any(|schema| schema == system::SCHEMA) {
            schemas.push(system::SCHEMA.into());
        }
        schemas
    }

    /// The session's private warehouse of temporary tables, if it has any.
    pub fn temp(&self) -> Option<&Warehouse> {
        self.temp.get()
    }

    /// The same, made where there is none yet.
    pub async fn make_temp(&self) -> Result<&Warehouse> {
        self.temp.get_or_try_init(|| temporary::open(&self.warehouse, &self.temp_schema)).await
    }

    /// Whether an unqualified name means a temporary table, where the warehouse's own are those of `snapshot`.
    pub fn means_temporary(&self, table: &str, snapshot: &Snapshot) -> bool {
        let Some(temp) = self.temp() else { return false };
        let temp = self.newest(temp);
        let holds = |snapshot: &Snapshot, schema: &str| {
            snapshot.schema_named(schema).is_some_and(|s| {
                snapshot.table_named(s.id, table).is_some() || snapshot.view_named(s.id, table).is_some()
            })
        };
        let schemas = self.lookup(snapshot);
        let before = schemas.iter().take_while(|schema| **schema != self.temp_schema);
        holds(&temp, &self.temp_schema) && !before.into_iter().any(|schema| holds(snapshot, schema))
    }

    /// The transaction block that the session is in.
    pub fn block(&self) -> Option<Arc<Block>> {
        self.block.lock().clone()
    }

    pub fn set_block(&self, block: Option<Arc<Block>>) {
        *self.block.lock() = block;
    }

    /// A warehouse as the session sees it: its newest version known, or what the session's transaction sees.
    pub fn newest(&self, warehouse: &Warehouse) -> Arc<Snapshot> {
        match self.block().and_then(|block| block.known(warehouse)) {
            Some(pin) => Arc::clone(pin.snapshot()),
            None => warehouse.inner.catalog.snapshot(),
        }
    }

    /// Invalid when the name is taken.
    pub fn attach(&self, name: &str, attached: Attached) -> Result<()> {
        let mut all = self.attached.write();
        if name == CATALOG || all.contains_key(name) {
            return Err(Error::invalid(SqlState::DUPLICATE_DATABASE, format!("database \"{name}\" already exists"))
                .with_hint("attach it under another name, or DETACH that one first"));
        }
        all.insert(name.to_string(), attached);
        Ok(())
    }

    /// Invalid when nothing of that name is attached.
    pub fn detach(&self, name: &str) -> Result<()> {
        if name == CATALOG {
            return Err(Error::invalid(SqlState::INVALID_PARAMETER, "the session's own database cannot be detached"));
        }
        self.attached.write().remove(name).map(|_| ()).ok_or_else(|| super::names::no_such_database(name))
    }

    pub fn attached(&self, name: &str) -> Option<Attached> {
        self.attached.read().get(name).cloned()
    }

    pub fn attached_names(&self) -> Vec<String> {
        self.attached.read().keys().cloned().collect()
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("temp_schema", &self.temp_schema).finish_non_exhaustive()
    }
}

/// Tables of a session that no warehouse holds, by schema and name.
#[derive(Debug, Default)]
pub struct ForeignTables {
    tables: RwLock<NamedTables>,
}

/// By schema and name.
pub(super) type NamedTables = BTreeMap<(String, String), Arc<dyn TableProvider>>;

impl ForeignTables {
    pub fn get(&self, schema: &str, table: &str) -> Option<Arc<dyn TableProvider>> {
        self.tables.read().get(&(schema.to_string(), table.to_string())).cloned()
    }

    pub fn insert(
        &self,
        schema: &str,
        table: &str,
        provider: Arc<dyn TableProvider>,
    ) -> Option<Arc<dyn TableProvider>> {
        self.tables.write().insert((schema.to_string(), table.to_string()), provider)
    }

    pub fn remove(&self, schema: &str, table: &str) -> Option<Arc<dyn TableProvider>> {
        self.tables.write().remove(&(schema.to_string(), table.to_string()))
    }

    /// All of them, for [`ForeignTables::restore`].
    pub fn all(&self) -> NamedTables {
        self.tables.read().clone()
    }

    /// Makes these all of them.
    pub fn restore(&self, all: &NamedTables) {
        self.tables.write().clone_from(all);
    }

    pub fn names(&self, schema: &str) -> Vec<String> {
        self.tables.read().keys().filter(|(of, _)| of == schema).map(|(_, table)| table.clone()).collect()
    }
}

/// The versions that a statement reads, one of each warehouse, carried by the configuration of the session that plans
/// it. A warehouse's is chosen when the statement first comes across it.
#[derive(Debug)]
pub struct StatementPins {
    pins: Mutex<Vec<(Warehouse, PinnedSnapshot)>>,
    /// The versions of the past that it names.
    past: Mutex<Vec<(Warehouse, AsOf, PinnedSnapshot)>>,
    /// Chooses for all of its statements.
    block: Option<Arc<Block>>,
    /// Where what the statement reads is noted, if it is to be serializable.
    reads: Option<Arc<Reads>>,
}

/// What a transaction has read.
#[derive(Debug, Default)]
pub struct Reads(Mutex<Vec<(Warehouse, Read)>>);

impl Reads {
    pub fn note(&self, of: &Warehouse, read: Read) {
        self.0.lock().push((of.clone(), read));
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Has the transaction, of `warehouse`, conflict with whoever changes what was read of it.
    ///
    /// Unsupported where another database was read, whose changes no commit of this one can exclude.
    pub fn require(&self, warehouse: &Warehouse, transaction: &mut Transaction) -> Result<()> {
        let reads = self.0.lock();
        if !warehouse.is_scratch()
            && let Some((_, read)) = reads.iter().find(|(of, _)| !of.is(warehouse) && !of.is_scratch())
        {
            let message = format!("a serializable transaction has read table \"{}\" of another database", read.name);
            return Err(Error::unsupported(message)
                .with_hint("SET blueshift.isolation = 'snapshot', or copy the table into this database before"));
        }
        reads.iter().filter(|(of, _)| of.is(warehouse)).for_each(|(_, read)| transaction.require_reads(read.clone()));
        Ok(())
    }
}

impl StatementPins {
    /// Of a statement that reads `warehouse` at `pin`.
    pub fn of(warehouse: Warehouse, pin: PinnedSnapshot) -> Self {
        StatementPins { pins: Mutex::new(vec![(warehouse, pin)]), past: Mutex::default(), block: None, reads: None }
    }

    /// Of a statement of a block.
    pub fn within(self, block: Option<Arc<Block>>) -> Self {
        StatementPins { block, ..self }
    }

    /// Of one that notes what it reads.
    pub fn noting(self, reads: Option<Arc<Reads>>) -> Self {
        StatementPins { reads, ..self }
    }

    /// Where it notes what it reads.
    pub fn reads(&self) -> Option<&Arc<Reads>> {
        self.reads.as_ref()
    }

    /// The version of `warehouse` that was chosen, if one was.
    pub fn known(&self, warehouse: &Warehouse) -> Option<PinnedSnapshot> {
        let pins = self.pins.lock();
        let known = pins.iter().find(|(of, _)| of.is(warehouse)).map(|(_, pin)| pin.clone());
        known.or_else(|| self.block.as_ref()?.known(warehouse))
    }

    /// The statement has changed `warehouse` itself, and reads what it has made from now on.
    pub fn forget(&self, warehouse: &Warehouse) {
        self.pins.lock().retain(|(of, _)| !of.is(warehouse));
    }

    /// A version of the past of `warehouse` that the statement has named.
    pub fn past(&self, warehouse: &Warehouse, at: AsOf) -> Option<PinnedSnapshot> {
        let meant = |pin: &PinnedSnapshot, named: AsOf| named == at || at == AsOf::Version(pin.version);
        let past = self.past.lock();
        past.iter().find(|(of, named, pin)| of.is(warehouse) && meant(pin, *named)).map(|(_, _, pin)| pin.clone())
    }

    /// Keeps it for as long as the statement is planned; its scans keep it themselves.
    pub fn keep_past(&self, warehouse: &Warehouse, at: AsOf, pin: PinnedSnapshot) {
        self.past.lock().push((warehouse.clone(), at, pin));
    }

    /// The version of `warehouse`; the newest, where none was chosen yet.
    pub async fn pin(&self, warehouse: &Warehouse) -> Result<PinnedSnapshot> {
        if let Some(pin) = self.known(warehouse) {
            return Ok(pin);
        }
        let newest = match &self.block {
            Some(block) => block.pin(warehouse).await?,
            None => warehouse.pin_newest().await?,
        };
        let mut pins = self.pins.lock();
        // Another part of the statement may have come first.
        if let Some((_, pin)) = pins.iter().find(|(of, _)| of.is(warehouse)) {
            return Ok(pin.clone());
        }
        pins.push((warehouse.clone(), newest.clone()));
        Ok(newest)
    }
}

/// The same versions for planner rules, which see only the session's options.
#[derive(Debug, Clone, Default)]
pub struct PlanPins(Option<Arc<StatementPins>>);

impl PlanPins {
    pub fn of(pins: Arc<StatementPins>) -> Self {
        PlanPins(Some(pins))
    }

    /// The version of `warehouse` that the statement reads, if it has met it.
    pub fn known(&self, warehouse: &Warehouse) -> Option<PinnedSnapshot> {
        self.0.as_ref()?.known(warehouse)
    }

    /// Where the statement's reads are noted.
    pub fn reads(&self) -> Option<&Arc<Reads>> {
        self.0.as_ref()?.reads()
    }
}

impl ConfigExtension for PlanPins {
    const PREFIX: &'static str = "blueshift_statement";
}

impl ExtensionOptions for PlanPins {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _: &str) -> datafusion::common::Result<()> {
        datafusion::common::config_err!("blueshift_statement.{key} cannot be set")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}
