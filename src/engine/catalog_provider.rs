//! The warehouse as DataFusion's catalog: at one version for a statement of ours, at the newest for other contexts.
//!
//! A provider holds no version: a scan reads the one that the session planning it carries ([`StatementPin`]), else the
//! newest. So a plan that is kept, of a view or a prepared statement, is always up to date, and keeps nothing alive.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionState;
use futures::future::{BoxFuture, FutureExt, ready};
use parking_lot::RwLock;

use super::files::file_table;
use super::load::TableSink;
use super::names::{self, CATALOG, DEFAULT_SCHEMA};
use super::warehouse::Warehouse;
use crate::catalog::{PinnedSnapshot, TableDef, TableState};
use crate::common::Error;
use crate::physical_plan::load::RowSink;
use crate::physical_plan::provider::{BlueshiftTable, TableSource};
use crate::physical_plan::scan::ScanTable;
use crate::system;

/// Tables of a session that are not the warehouse's: registered by the application, views, external tables.
#[derive(Debug, Default)]
pub struct ForeignTables {
    tables: RwLock<BTreeMap<(String, String), Arc<dyn TableProvider>>>,
}

impl ForeignTables {
    /// Whether there was one.
    pub fn remove(&self, schema: &str, table: &str) -> bool {
        self.tables.write().remove(&(schema.to_string(), table.to_string())).is_some()
    }
}

/// The catalogs that one statement sees: the warehouse at the statement's version, and all others as they are.
#[derive(Debug)]
pub struct StatementCatalogs {
    base: Arc<dyn CatalogProviderList>,
    warehouse: Arc<WarehouseCatalog>,
}

impl StatementCatalogs {
    pub fn new(base: Arc<dyn CatalogProviderList>, warehouse: WarehouseCatalog) -> Self {
        StatementCatalogs { base, warehouse: Arc::new(warehouse) }
    }
}

impl CatalogProviderList for StatementCatalogs {
    fn register_catalog(&self, name: String, catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        self.base.register_catalog(name, catalog)
    }

    fn catalog_names(&self) -> Vec<String> {
        self.base.catalog_names()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        if name == CATALOG { Some(Arc::clone(&self.warehouse) as _) } else { self.base.catalog(name) }
    }
}

/// One warehouse as a catalog.
#[derive(Clone)]
pub struct WarehouseCatalog {
    warehouse: Warehouse,
    /// The version seen; the newest known where there is none.
    pin: Option<PinnedSnapshot>,
    foreign: Arc<ForeignTables>,
    /// Reads files that are named like tables; none in a context that is not ours.
    files: Option<Arc<SessionState>>,
}

impl WarehouseCatalog {
    /// Shows the newest version known.
    pub fn latest(warehouse: Warehouse) -> Self {
        WarehouseCatalog { warehouse, pin: None, foreign: Arc::default(), files: None }
    }

    /// The same, with a session's other tables.
    pub fn with_foreign(mut self, foreign: Arc<ForeignTables>) -> Self {
        self.foreign = foreign;
        self
    }

    /// Shows files by their names, too, which `state` reads.
    pub fn with_files(mut self, state: Arc<SessionState>) -> Self {
        self.files = Some(state);
        self
    }

    /// Shows one version.
    pub fn at(mut self, pin: PinnedSnapshot) -> Self {
        self.pin = Some(pin);
        self
    }

    fn pin(&self) -> PinnedSnapshot {
        self.pin.clone().unwrap_or_else(|| self.warehouse.inner.catalog.pin())
    }
}

impl fmt::Debug for WarehouseCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarehouseCatalog").field("warehouse", &self.warehouse).finish_non_exhaustive()
    }
}

impl CatalogProvider for WarehouseCatalog {
    fn schema_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.pin().schemas.values().map(|s| s.name.clone()).collect();
        names.push(system::SCHEMA.into());
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let known = name == system::SCHEMA || self.pin().schema_named(name).is_some();
        known.then(|| Arc::new(WarehouseSchema { catalog: self.clone(), name: name.into() }) as _)
    }
}

#[derive(Debug)]
struct WarehouseSchema {
    catalog: WarehouseCatalog,
    name: String,
}

impl WarehouseSchema {
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn TableProvider>>>> {
        let found = |table| ready(Ok(Some(table))).boxed();
        let foreign = self.catalog.foreign.tables.read().get(&self.foreign_key(name)).cloned();
        if let Some(table) = foreign {
            return found(table);
        }
        let warehouse = &self.catalog.warehouse;
        let pin = self.catalog.pin();
        if let Some(state) = lookup_table(warehouse, &pin, &self.name, name) {
            return found(table_provider(warehouse, &state));
        }
        if (self.name == system::SCHEMA || self.name == DEFAULT_SCHEMA)
            && let Some(table) = system::table(name, Arc::new(warehouse.clone()))
        {
            return found(table);
        }
        match &self.catalog.files {
            Some(state) if self.name == DEFAULT_SCHEMA => file_table(name, state).boxed(),
            _ => ready(Ok(None)).boxed(),
        }
    }

    fn foreign_key(&self, table: &str) -> (String, String) {
        (self.name.clone(), table.to_string())
    }
}

#[async_trait]
impl SchemaProvider for WarehouseSchema {
    fn table_names(&self) -> Vec<String> {
        if self.name == system::SCHEMA {
            return system::TABLES.iter().map(|t| t.to_string()).collect();
        }
        let pin = self.catalog.pin();
        let mut names: Vec<String> = match pin.schema_named(&self.name) {
            Some(schema) => pin.table_names(schema.id).map(|(name, _)| name.to_string()).collect(),
            None => Vec::new(),
        };
        let foreign = self.catalog.foreign.tables.read();
        names.extend(foreign.keys().filter(|(schema, _)| *schema == self.name).map(|(_, table)| table.clone()));
        names
    }

    fn table<'s, 'n, 'f>(&'s self, name: &'n str) -> BoxFuture<'f, Result<Option<Arc<dyn TableProvider>>>>
    where
        's: 'f,
        'n: 'f,
    {
        self.find(name)
    }

    fn register_table(&self, name: String, table: Arc<dyn TableProvider>) -> Result<Option<Arc<dyn TableProvider>>> {
        let pin = self.catalog.pin();
        if lookup_table(&self.catalog.warehouse, &pin, &self.name, &name).is_some() {
            return Err(DataFusionError::Plan(format!("table \"{}.{name}\" already exists", self.name)));
        }
        Ok(self.catalog.foreign.tables.write().insert(self.foreign_key(&name), table))
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.catalog.foreign.tables.write().remove(&self.foreign_key(name)))
    }

    fn table_exist(&self, name: &str) -> bool {
        let foreign = self.catalog.foreign.tables.read().contains_key(&self.foreign_key(name));
        foreign || lookup_table(&self.catalog.warehouse, &self.catalog.pin(), &self.name, name).is_some()
    }
}

/// The state of `schema.table` at the pinned version.
pub(super) fn lookup_table(_: &Warehouse, pin: &PinnedSnapshot, schema: &str, table: &str) -> Option<Arc<TableState>> {
    let schema = pin.schema_named(schema)?;
    pin.table_named(schema.id, table).cloned()
}

/// What a scan needs to read `state`, which stays readable while `pin` is held.
pub(super) fn scan_table(
    warehouse: &Warehouse,
    pin: PinnedSnapshot,
    state: &TableState,
) -> crate::common::Result<ScanTable> {
    Ok(ScanTable {
        def: Arc::clone(&state.def),
        segments: Arc::clone(&state.segments),
        store: warehouse.inner.segments.at(pin),
        geometry: warehouse.geometry()?,
    })
}

/// The version that a statement reads, carried by the configuration of the session that plans it.
pub(super) struct StatementPin {
    pub warehouse: Warehouse,
    pub pin: PinnedSnapshot,
}

/// The version of `warehouse` that `session` reads: its statement's, or the newest.
async fn version_of(warehouse: &Warehouse, session: &dyn Session) -> Result<PinnedSnapshot> {
    let of_statement = session.config().get_extension::<StatementPin>();
    match of_statement.filter(|of| Arc::ptr_eq(&of.warehouse.inner, &warehouse.inner)) {
        Some(of) => Ok(of.pin.clone()),
        None => warehouse.pin_newest().await.map_err(external),
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A provider of the table, whatever becomes of its rows.
pub(super) fn table_provider(warehouse: &Warehouse, state: &TableState) -> Arc<dyn TableProvider> {
    let source = Source { warehouse: warehouse.clone(), def: Arc::clone(&state.def) };
    Arc::new(BlueshiftTable::new(&state.def, Arc::new(source)))
}

#[derive(Debug)]
struct Source {
    warehouse: Warehouse,
    /// As it was when the table was looked up.
    def: Arc<TableDef>,
}

impl TableSource for Source {
    fn read<'a>(&'a self, session: &'a dyn Session) -> BoxFuture<'a, Result<(Arc<ScanTable>, u32)>> {
        Box::pin(async move {
            let pin = version_of(&self.warehouse, session).await?;
            let state = pin.table(self.def.id).cloned().ok_or_else(|| external(names::dropped(&self.def.name)))?;
            let slices = pin.info.slices;
            Ok((Arc::new(scan_table(&self.warehouse, pin, &state).map_err(external)?), slices))
        })
    }

    fn sink(&self) -> Option<Arc<dyn RowSink>> {
        Some(Arc::new(TableSink::new(self.warehouse.clone(), Arc::clone(&self.def))))
    }
}

impl system::SystemSource for Warehouse {
    fn read<'a>(&'a self, session: &'a dyn Session) -> BoxFuture<'a, Result<system::SystemContext>> {
        Box::pin(async move {
            let snapshot = version_of(self, session).await?;
            let segments = self.inner.segments.at(snapshot.clone());
            Ok(system::SystemContext { snapshot, segments, only: None })
        })
    }
}
