//! The warehouse as DataFusion's catalog: at one version for a statement of ours, at the newest for other contexts.
//!
//! A provider holds no version: a scan reads the one that the session planning it carries ([`StatementPins`]), else the
//! newest. So a plan that is kept, of a view or a prepared statement, is always up to date, and keeps nothing alive.
//!
//! In our own sessions unqualified names lead into a schema of no name that SQL can say, [`PATH_SCHEMA`]: it has no
//! tables of its own, and looks names up along the search path.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::TableType;
use futures::future::{BoxFuture, FutureExt, ready};

use super::files::file_table;
use super::information::Informed;
use super::listing::Listing;
use super::load::TableSink;
use super::names::{self, CATALOG, DEFAULT_SCHEMA, PATH_SCHEMA};
use super::namespace::{Attached, ForeignTables, Namespace, PlanPins, StatementPins};
use super::past::{past_provider, read_past_name};
use super::views::{self, ViewPlans};
use super::warehouse::Warehouse;
use crate::catalog::{
    AllRows, AsOf, Binding, PinnedSnapshot, Read, RowsRead, SegmentRef, TableDef, TableState, ViewDef,
};
use crate::common::{Error, Version};
use crate::physical_plan::load::RowSink;
use crate::physical_plan::provider::{BlueshiftTable, Disproof, TableSource};
use crate::physical_plan::rows::{Identified, with_rows};
use crate::physical_plan::scan::ScanTable;
use crate::system;

/// What stands behind a table's name where the identities of its rows are read, too. SQL cannot write it.
pub(super) const WITH_ROWS: &str = "\0rows";

/// The catalogs that one statement sees: the warehouse and those attached at the statement's versions, and all others
/// as they are.
#[derive(Debug, Clone)]
pub struct StatementCatalogs {
    base: Arc<dyn CatalogProviderList>,
    warehouse: WarehouseCatalog,
}

impl StatementCatalogs {
    pub fn new(base: Arc<dyn CatalogProviderList>, warehouse: WarehouseCatalog) -> Self {
        StatementCatalogs { base, warehouse }
    }

    /// What system tables of the session's warehouse show.
    pub(super) fn source(&self) -> Arc<Listing> {
        self.warehouse.source()
    }

    pub(super) fn planner(&self) -> Option<&Arc<SessionState>> {
        self.warehouse.planner()
    }

    fn find(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        if name == CATALOG {
            return Some(Arc::new(self.warehouse.clone()));
        }
        match self.warehouse.names.as_ref().and_then(|names| names.attached(name)) {
            Some(Attached::Warehouse { warehouse, .. }) => Some(Arc::new(self.warehouse.other(warehouse))),
            Some(Attached::Files(files)) => Some(files),
            None => self.base.catalog(name),
        }
    }
}

impl CatalogProviderList for StatementCatalogs {
    fn register_catalog(&self, name: String, catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        self.base.register_catalog(name, catalog)
    }

    fn catalog_names(&self) -> Vec<String> {
        let attached = self.warehouse.names.as_ref().map(|names| names.attached_names()).unwrap_or_default();
        let all: BTreeSet<String> = self.base.catalog_names().into_iter().chain(attached).collect();
        all.into_iter().collect()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        let catalog = self.find(name)?;
        Some(Arc::new(Informed { catalog, all: self.clone() }))
    }
}

/// One warehouse as a catalog.
#[derive(Clone)]
pub struct WarehouseCatalog {
    warehouse: Warehouse,
    /// The versions seen; the newest known where there are none.
    pins: Option<Arc<StatementPins>>,
    /// What else the session sees; nothing in a context that is not ours, and in an attached catalog.
    names: Option<Arc<Namespace>>,
    /// Takes what else is registered; nothing does in an attached catalog.
    foreign: Option<Arc<ForeignTables>>,
    /// Plans views, and reads files that are named like tables; none in a context that is not ours.
    planner: Option<Arc<SessionState>>,
    plans: Arc<ViewPlans>,
    /// How many views are being planned around.
    depth: usize,
    /// The version of the past that it shows of its warehouse.
    past: Option<PinnedSnapshot>,
}

impl WarehouseCatalog {
    /// Shows the newest version known.
    pub fn latest(warehouse: Warehouse) -> Self {
        WarehouseCatalog {
            warehouse,
            pins: None,
            names: None,
            foreign: Some(Arc::default()),
            planner: None,
            plans: Arc::default(),
            depth: 0,
            past: None,
        }
    }

    /// The same, as a session sees it.
    pub fn with_names(mut self, names: Arc<Namespace>) -> Self {
        self.plans = Arc::clone(&names.plans);
        self.foreign = Some(Arc::clone(&names.foreign));
        self.names = Some(names);
        self
    }

    /// Lets `state` plan views and read files.
    pub fn with_planner(mut self, state: Arc<SessionState>) -> Self {
        self.planner = Some(state);
        self
    }

    /// Shows the versions of a statement.
    pub fn at(mut self, pins: Arc<StatementPins>) -> Self {
        self.pins = Some(pins);
        self
    }

    /// Another warehouse beside this one.
    pub(super) fn other(&self, warehouse: Warehouse) -> Self {
        WarehouseCatalog { warehouse, names: None, foreign: None, plans: Arc::default(), past: None, ..self.clone() }
    }

    /// The warehouse as it was. Views' plans are its own: those that are kept are of the present.
    fn of_past(&self, pin: PinnedSnapshot) -> Self {
        WarehouseCatalog { plans: Arc::default(), past: Some(pin), ..self.clone() }
    }

    /// A provider of one of its tables, which `pin` shows.
    pub(super) fn table_of(&self, pin: &PinnedSnapshot, state: &Arc<TableState>) -> Arc<dyn TableProvider> {
        match self.past {
            Some(_) => past_provider(&self.warehouse, pin, state),
            None => table_provider(&self.warehouse, state),
        }
    }

    /// Whether it shows a version of the past.
    pub(super) fn is_past(&self) -> bool {
        self.past.is_some()
    }

    /// What its system tables show.
    pub(super) fn source(&self) -> Arc<Listing> {
        Arc::new(Listing::new(self.warehouse.clone(), self.names.as_ref()))
    }

    /// As a view within a view sees it.
    pub(super) fn deeper(&self) -> Self {
        WarehouseCatalog { depth: self.depth + 1, ..self.clone() }
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn warehouse(&self) -> &Warehouse {
        &self.warehouse
    }

    pub(super) fn planner(&self) -> Option<&Arc<SessionState>> {
        self.planner.as_ref()
    }

    /// Notes that the statement depends on how the view is defined, and those that it reads.
    fn note_view(&self, home: &Warehouse, pin: &PinnedSnapshot, view: &ViewDef) {
        let Some(reads) = self.pins.as_ref().and_then(|pins| pins.reads()) else { return };
        let mut open = vec![view];
        while let Some(view) = open.pop() {
            let (base, table, name) = (Arc::clone(pin.base()), view.id, view.name.clone());
            reads.note(home, Read { base, table, name, rows: Arc::new(AllRows) });
            open.extend(view.dependencies().iter().filter_map(|d| pin.view(d.relation)).map(|view| &**view));
        }
    }

    pub(super) fn plans(&self) -> &Arc<ViewPlans> {
        &self.plans
    }

    /// The version seen, as far as it is known without asking the store.
    pub(super) fn pin(&self) -> PinnedSnapshot {
        self.pin_of(&self.warehouse)
    }

    fn pin_of(&self, warehouse: &Warehouse) -> PinnedSnapshot {
        let known = self.pins.as_ref().and_then(|pins| pins.known(warehouse));
        known.unwrap_or_else(|| warehouse.inner.catalog.pin())
    }

    /// The version seen of `warehouse`, which a statement chooses when it first comes across it.
    async fn choose(&self, warehouse: &Warehouse) -> Result<PinnedSnapshot> {
        match &self.pins {
            Some(pins) => pins.pin(warehouse).await.map_err(external),
            None => Ok(warehouse.inner.catalog.pin()),
        }
    }

    fn provider(&self, name: &str) -> Option<WarehouseSchema> {
        if let Some((name, _)) = read_past_name(name) {
            let home = Some(self.warehouse.clone());
            return Some(WarehouseSchema { catalog: self.clone(), home, name: name.into() });
        }
        let schema =
            |home: Option<Warehouse>, name: &str| WarehouseSchema { catalog: self.clone(), home, name: name.into() };
        if let Some(names) = &self.names
            && names.is_temp(name)
        {
            return Some(schema(names.temp().cloned(), names.temp_schema()));
        }
        // What another process made since is found when it is looked up.
        let known = name == system::SCHEMA || self.pin().schema_named(name).is_some() || self.foreign.is_none();
        known.then(|| schema(Some(self.warehouse.clone()), name))
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
        if let Some(own) = &self.names
            && (own.temp().is_some() || !own.foreign.names(own.temp_schema()).is_empty())
        {
            names.push(own.temp_schema().into());
        }
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match &self.names {
            Some(names) if name == PATH_SCHEMA => {
                Some(Arc::new(PathSchema { catalog: self.clone(), names: Arc::clone(names) }))
            }
            _ => self.provider(name).map(|schema| Arc::new(schema) as _),
        }
    }
}

/// Where unqualified names lead.
#[derive(Debug)]
struct PathSchema {
    catalog: WarehouseCatalog,
    names: Arc<Namespace>,
}

impl PathSchema {
    /// The schemas of the path, in order.
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn TableProvider>>>> {
        Box::pin(async move {
            for schema in self.schemas() {
                if let Some(table) = schema.find(name).await? {
                    return Ok(Some(table));
                }
            }
            match &self.catalog.planner {
                Some(state) => file_table(name, state).await,
                None => Ok(None),
            }
        })
    }

    fn schemas(&self) -> impl Iterator<Item = WarehouseSchema> + '_ {
        let schemas = self.names.lookup(&self.catalog.pin());
        schemas.into_iter().filter_map(|name| self.catalog.provider(&name))
    }
}

impl SchemaProvider for PathSchema {
    /// None are its own.
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn table<'s, 'n, 'f>(&'s self, name: &'n str) -> BoxFuture<'f, Result<Option<Arc<dyn TableProvider>>>>
    where
        's: 'f,
        'n: 'f,
    {
        self.find(name)
    }

    /// In the schema that new tables go to.
    fn register_table(&self, name: String, table: Arc<dyn TableProvider>) -> Result<Option<Arc<dyn TableProvider>>> {
        let first = self.names.schemas(&self.catalog.pin()).into_iter().next();
        let schema =
            first.and_then(|schema| self.catalog.provider(&schema)).ok_or_else(|| external(names::no_home()))?;
        schema.register_table(name, table)
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.schemas().find_map(|schema| self.names.foreign.remove(&schema.name, name)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.schemas().any(|schema| schema.table_exist(name))
    }
}

#[derive(Debug)]
struct WarehouseSchema {
    catalog: WarehouseCatalog,
    /// The warehouse whose tables it shows; `None` for temporary tables while there are none.
    home: Option<Warehouse>,
    name: String,
}

impl WarehouseSchema {
    /// Of a type that tells nothing, as for the system tables: see there.
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn TableProvider>>>> {
        Box::pin(async move {
            if let Some(table) = self.foreign().and_then(|foreign| foreign.get(&self.name, name)) {
                return Ok(Some(table));
            }
            let Some(home) = &self.home else { return Ok(None) };
            if let Some((name, version)) = read_past_name(name) {
                return self.find_past(home, name, version).await;
            }
            let pin = self.catalog.choose(home).await?;
            if let Some(schema) = pin.schema_named(&self.name) {
                if let Some(name) = name.strip_suffix(WITH_ROWS)
                    && let Some(state) = pin.table_named(schema.id, name)
                {
                    know_statistics(home, &pin, state).await;
                    return Ok(Some(identified_provider(home, state)));
                }
                if let Some(state) = pin.table_named(schema.id, name) {
                    know_statistics(home, &pin, state).await;
                    return Ok(Some(table_provider(home, state)));
                }
                if let Some(view) = pin.view_named(schema.id, name) {
                    self.catalog.note_view(home, &pin, view);
                    return views::provider(&self.catalog, &pin, view).await.map(Some).map_err(external);
                }
            }
            // A context that is not ours has no search path to find them by.
            let system = self.name == system::SCHEMA || (self.name == DEFAULT_SCHEMA && self.catalog.names.is_none());
            Ok(if system { system::table(name, self.catalog.source()) } else { None })
        })
    }

    /// A table or view of a version that the statement has named.
    fn find_past<'a>(
        &'a self,
        home: &'a Warehouse,
        name: &'a str,
        version: Version,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn TableProvider>>>> {
        Box::pin(async move {
            let pins = self.catalog.pins.as_ref();
            let Some(pin) = pins.and_then(|pins| pins.past(home, AsOf::Version(version))) else { return Ok(None) };
            let Some(schema) = pin.schema_named(&self.name) else { return Ok(None) };
            if let Some(state) = pin.table_named(schema.id, name) {
                know_statistics(home, &pin, state).await;
                return Ok(Some(past_provider(home, &pin, state)));
            }
            let Some(view) = pin.view_named(schema.id, name) else { return Ok(None) };
            let catalog = self.catalog.of_past(pin.clone());
            views::provider(&catalog, &pin, view).await.map(Some).map_err(external)
        })
    }

    fn find_type<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<TableType>>> {
        if let Some(home) = &self.home {
            let pin = self.catalog.pin_of(home);
            if let Some(schema) = pin.schema_named(&self.name)
                && pin.view_named(schema.id, name).is_some()
            {
                return ready(Ok(Some(TableType::View))).boxed();
            }
        }
        self.find(name).map(|found| Ok(found?.map(|table| table.table_type()))).boxed()
    }

    fn foreign(&self) -> Option<&Arc<ForeignTables>> {
        self.catalog.foreign.as_ref()
    }

    fn is_temp(&self) -> bool {
        self.catalog.names.as_ref().is_some_and(|names| names.is_temp(&self.name))
    }

    /// Whether a table or view of the warehouse has the name, as far as is known.
    fn holds(&self, name: &str) -> bool {
        let Some(home) = &self.home else { return false };
        let pin = self.catalog.pin_of(home);
        pin.schema_named(&self.name)
            .is_some_and(|s| pin.table_named(s.id, name).is_some() || pin.view_named(s.id, name).is_some())
    }
}

impl SchemaProvider for WarehouseSchema {
    /// Late-binding views are left out: one that is out of date would fail whatever looks at all tables.
    fn table_names(&self) -> Vec<String> {
        if self.name == system::SCHEMA {
            return system::TABLES.iter().map(|t| t.to_string()).collect();
        }
        let mut names = self.foreign().map(|foreign| foreign.names(&self.name)).unwrap_or_default();
        let Some(home) = &self.home else { return names };
        let pin = self.catalog.pin_of(home);
        if let Some(schema) = pin.schema_named(&self.name) {
            names.extend(pin.table_names(schema.id).map(|(name, _)| name.to_string()));
            let bound = |id| pin.view(id).is_some_and(|view| view.binding != Binding::Late);
            names.extend(pin.view_names(schema.id).filter(|(_, id)| bound(*id)).map(|(name, _)| name.to_string()));
        }
        names
    }

    fn table<'s, 'n, 'f>(&'s self, name: &'n str) -> BoxFuture<'f, Result<Option<Arc<dyn TableProvider>>>>
    where
        's: 'f,
        'n: 'f,
    {
        self.find(name)
    }

    fn table_type<'s, 'n, 'f>(&'s self, name: &'n str) -> BoxFuture<'f, Result<Option<TableType>>>
    where
        's: 'f,
        'n: 'f,
    {
        self.find_type(name)
    }

    fn register_table(&self, name: String, table: Arc<dyn TableProvider>) -> Result<Option<Arc<dyn TableProvider>>> {
        if self.holds(&name) {
            return Err(DataFusionError::Plan(format!("table \"{}.{name}\" already exists", self.name)));
        }
        match self.foreign() {
            Some(foreign) => Ok(foreign.insert(&self.name, &name, table)),
            None => Err(DataFusionError::NotImplemented(
                "an attached catalog takes no other tables: register them in the session's own".into(),
            )),
        }
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.foreign().and_then(|foreign| foreign.remove(&self.name, name)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.foreign().is_some_and(|foreign| foreign.get(&self.name, name).is_some())
            || self.holds(name)
            || (self.name == system::SCHEMA && !self.is_temp() && system::TABLES.contains(&name))
    }
}

/// Reads a table's statistics, so that they are known to what cannot wait for the store.
pub(super) async fn know_statistics(warehouse: &Warehouse, pin: &PinnedSnapshot, state: &TableState) {
    if let Some(reference) = &state.statistics
        && warehouse.inner.segments.known_statistics(reference).is_none()
    {
        warehouse.inner.segments.at(pin.clone()).statistics(reference).await;
    }
}

/// What a scan needs to read `state`, which stays readable while `pin` is held; with its statistics as far as they are
/// known.
pub(super) fn scan_table(
    warehouse: &Warehouse,
    pin: PinnedSnapshot,
    state: &TableState,
) -> crate::common::Result<ScanTable> {
    let store = warehouse.inner.segments.at(pin);
    Ok(ScanTable {
        def: Arc::clone(&state.def),
        segments: Arc::clone(&state.segments),
        as_of: None,
        statistics: state.statistics.and_then(|reference| store.known_statistics(&reference)),
        statistics_off: state.statistics_off(),
        store,
        geometry: warehouse.geometry()?,
    })
}

/// The version of `warehouse` that `session` reads: its statement's, or the newest.
pub(super) async fn version_of(warehouse: &Warehouse, session: &dyn Session) -> Result<PinnedSnapshot> {
    match session.config().get_extension::<StatementPins>() {
        Some(pins) => pins.pin(warehouse).await.map_err(external),
        None => warehouse.pin_newest().await.map_err(external),
    }
}

pub(super) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A provider of the table, whatever becomes of its rows.
pub(super) fn table_provider(warehouse: &Warehouse, state: &TableState) -> Arc<dyn TableProvider> {
    let source = Source { warehouse: warehouse.clone(), def: Arc::clone(&state.def) };
    Arc::new(BlueshiftTable::new(&state.def, Arc::new(source)))
}

/// The same, its rows told apart by a column [`ROW_NAME`](crate::physical_plan::rows::ROW_NAME).
fn identified_provider(warehouse: &Warehouse, state: &TableState) -> Arc<dyn TableProvider> {
    let source = Source { warehouse: warehouse.clone(), def: Arc::clone(&state.def) };
    Arc::new(BlueshiftTable::new(&with_rows(&state.def), Arc::new(Identified(Arc::new(source)))))
}

#[derive(Debug)]
struct Source {
    warehouse: Warehouse,
    /// As it was when the table was looked up.
    def: Arc<TableDef>,
}

impl Source {
    /// `None` where the table has other columns at that version, or is gone.
    fn rows_at(&self, pin: PinnedSnapshot) -> Option<Arc<ScanTable>> {
        let state = pin.table(self.def.id).cloned()?;
        if !Arc::ptr_eq(&state.def, &self.def) && state.def.columns != self.def.columns {
            return None;
        }
        scan_table(&self.warehouse, pin, &state).ok().map(Arc::new)
    }
}

impl TableSource for Source {
    fn read<'a>(&'a self, session: &'a dyn Session) -> BoxFuture<'a, Result<(Arc<ScanTable>, u32)>> {
        Box::pin(async move {
            let pin = version_of(&self.warehouse, session).await?;
            let state = pin.table(self.def.id).cloned().ok_or_else(|| external(names::dropped(&self.def.name)))?;
            let slices = pin.info.slices;
            know_statistics(&self.warehouse, &pin, &state).await;
            Ok((Arc::new(scan_table(&self.warehouse, pin, &state).map_err(external)?), slices))
        })
    }

    fn planned(&self, options: &ConfigOptions) -> Option<Arc<ScanTable>> {
        self.rows_at(options.extensions.get::<PlanPins>()?.known(&self.warehouse)?)
    }

    /// An application's own context has no statement whose version could be known.
    fn estimated(&self, options: &ConfigOptions) -> Option<Arc<ScanTable>> {
        self.planned(options).or_else(|| self.rows_at(self.warehouse.inner.catalog.pin()))
    }

    fn definition(&self, options: &ConfigOptions) -> Option<(u128, Arc<TableDef>)> {
        let pin = options.extensions.get::<PlanPins>()?.known(&self.warehouse)?;
        let state = pin.table(self.def.id)?;
        (state.def.columns == self.def.columns).then(|| (pin.info.uuid, Arc::clone(&state.def)))
    }

    fn warehouse(&self) -> Option<u128> {
        Some(self.warehouse.info().uuid)
    }

    fn note_use(&self, ordinal: usize, how: u8) {
        let now_us = self.warehouse.inner.catalog.options().clock.now_us();
        if let Some(column) = self.def.columns.get(ordinal) {
            self.warehouse.inner.uses.note(self.def.id, column.id, how, now_us);
        }
    }

    fn watches_reads(&self, options: &ConfigOptions) -> bool {
        options.extensions.get::<PlanPins>().is_some_and(|pins| pins.reads().is_some())
    }

    fn note_read(&self, options: &ConfigOptions, filter: Disproof) {
        let Some(pins) = options.extensions.get::<PlanPins>() else { return };
        if let (Some(reads), Some(pin)) = (pins.reads(), pins.known(&self.warehouse)) {
            let rows = Arc::new(Rows { def: Arc::clone(&self.def), filter });
            let (base, table, name) = (Arc::clone(pin.base()), self.def.id, self.def.name.clone());
            reads.note(&self.warehouse, Read { base, table, name, rows });
        }
    }

    fn sink(&self) -> Option<Arc<dyn RowSink>> {
        Some(Arc::new(TableSink::new(self.warehouse.clone(), Arc::clone(&self.def))))
    }
}

/// Rows that a scan reads: those that its filter does not disprove.
#[derive(Debug)]
struct Rows {
    def: Arc<TableDef>,
    filter: Disproof,
}

impl RowsRead for Rows {
    fn may_hold(&self, segment: &SegmentRef) -> bool {
        !self.filter.holds_of(&self.def, segment)
    }
}
