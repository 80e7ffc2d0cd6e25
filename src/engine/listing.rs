//! What a session sees of all databases: the rows of system tables and of information_schema.
//!
//! A view is shown with its columns as far as its names lead somewhere now; one that is out of date is shown without.

use std::fmt;
use std::sync::{Arc, Weak};

use datafusion::catalog::information_schema::{INFORMATION_SCHEMA_TABLES, InformationSchemaProvider};
use datafusion::catalog::{CatalogProvider, MemoryCatalogProviderList, SchemaProvider, Session, TableProvider};
use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::TableType;
use futures::future::BoxFuture;

use super::catalog_provider::{WarehouseCatalog, version_of};
use super::names::{CATALOG, DEFAULT_SCHEMA};
use super::namespace::{Attached, Namespace, StatementPins};
use super::views;
use super::warehouse::Warehouse;
use crate::catalog::{Binding, ColumnDef, CommentOn, TableState, ViewDef};
use crate::common::ColumnId;
use crate::functions::SessionNames;
use crate::system::{
    self, Database, Home, Listed, Needs, Relation, RelationColumn, RelationKind, SystemContext, SystemSource,
};

/// Gives system tables what they show. It holds no version, and does not keep the session: plans of views that the
/// session keeps hold it.
pub(super) struct Listing {
    warehouse: Warehouse,
    names: Weak<Namespace>,
}

impl Listing {
    /// Of a warehouse as a session with `names` sees it, or as a context that is not ours does.
    pub fn new(warehouse: Warehouse, names: Option<&Arc<Namespace>>) -> Self {
        Listing { warehouse, names: names.map(Arc::downgrade).unwrap_or_default() }
    }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listing").field(&self.warehouse).finish()
    }
}

impl SystemSource for Listing {
    fn read<'a>(&'a self, session: &'a dyn Session, needs: Needs) -> BoxFuture<'a, Result<SystemContext>> {
        Box::pin(async move {
            let names = self.names.upgrade();
            let own = home(&self.warehouse, session, false).await?;
            let temporary = match names.as_ref().and_then(|names| names.temp()) {
                Some(temp) => Some(home(temp, session, true).await?),
                None => None,
            };
            let search_path = match session.config_options().extensions.get::<SessionNames>() {
                Some(names) => names.lookup.clone(),
                None => vec![DEFAULT_SCHEMA.into()],
            };
            let database = if names.is_some() { CATALOG.to_string() } else { own.snapshot.info.name.clone() };
            let databases = Vec::new();
            let log = match needs {
                Needs::Log => self.warehouse.inner.log.read().await,
                _ => Vec::new(),
            };
            let vacuums = if needs == Needs::Log { self.warehouse.inner.upkeep.progress() } else { Vec::new() };
            let transfers = if needs == Needs::Log { self.warehouse.inner.transfers.states() } else { Vec::new() };
            let now_us = self.warehouse.inner.catalog.options().clock.now_us();
            let mut context = SystemContext {
                own,
                temporary,
                database,
                search_path,
                databases,
                log,
                vacuums,
                transfers,
                now_us,
                only: None,
            };
            if needs >= Needs::Relations {
                let look = Look::new(&self.warehouse, names, session, needs == Needs::Columns);
                context.databases = look.databases(&context).await?;
            }
            Ok(context)
        })
    }
}

async fn home(warehouse: &Warehouse, session: &dyn Session, temporary: bool) -> Result<Home> {
    let snapshot = version_of(warehouse, session).await?;
    let segments = warehouse.inner.segments.at(snapshot.clone());
    Ok(Home { snapshot, segments, temporary })
}

/// One look at all databases.
struct Look<'a> {
    session: &'a dyn Session,
    state: Option<&'a SessionState>,
    names: Option<Arc<Namespace>>,
    /// Plans views.
    catalog: WarehouseCatalog,
    columns: bool,
}

impl<'a> Look<'a> {
    fn new(warehouse: &Warehouse, names: Option<Arc<Namespace>>, session: &'a dyn Session, columns: bool) -> Self {
        let state = session.as_any().downcast_ref::<SessionState>();
        let mut catalog = WarehouseCatalog::latest(warehouse.clone());
        if let Some(names) = &names {
            catalog = catalog.with_names(Arc::clone(names));
        }
        if let Some(state) = state {
            catalog = catalog.with_planner(Arc::new(state.clone()));
        }
        if let Some(pins) = session.config().get_extension::<StatementPins>() {
            catalog = catalog.at(pins);
        }
        Look { session, state, names, catalog, columns }
    }

    async fn databases(&self, context: &SystemContext) -> Result<Vec<Database>> {
        let mut found = vec![self.own(context).await?];
        if let Some(names) = &self.names {
            for name in names.attached_names() {
                match names.attached(&name) {
                    Some(Attached::Warehouse { warehouse, .. }) => {
                        let catalog = self.catalog.other(warehouse.clone());
                        let home = home(&warehouse, self.session, false).await?;
                        let schemas = self.schemas(&catalog, &home, false).await?;
                        found.push(Database { name, local: true, owner: owner(&warehouse), schemas });
                    }
                    Some(Attached::Files(files)) => found.push(self.foreign(name, files.as_ref()).await),
                    None => {}
                }
            }
            let others = self.state.map(|state| state.catalog_list());
            for name in others.iter().flat_map(|list| list.catalog_names()) {
                if found.iter().all(|database| database.name != name)
                    && let Some(catalog) = others.and_then(|list| list.catalog(&name))
                {
                    found.push(self.foreign(name, catalog.as_ref()).await);
                }
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        for database in &mut found {
            database.schemas.sort_by(|a, b| a.name.cmp(&b.name));
            database.schemas.iter_mut().for_each(|schema| schema.relations.sort_by(|a, b| a.name.cmp(&b.name)));
        }
        Ok(found)
    }

    /// The session's own, with temporary tables and what the application registered.
    async fn own(&self, context: &SystemContext) -> Result<Database> {
        let warehouse = self.catalog.warehouse();
        let mut schemas = self.schemas(&self.catalog, &context.own, true).await?;
        if let Some(names) = &self.names {
            let mut temporary = match &context.temporary {
                Some(home) => self.relations(&self.catalog, home, names.temp_schema(), true).await,
                None => Vec::new(),
            };
            temporary.extend(self.registered(names, names.temp_schema()));
            if context.temporary.is_some() || !temporary.is_empty() {
                let name = names.temp_schema().to_string();
                schemas.push(Listed { name, owner: owner(warehouse), relations: temporary });
            }
            for schema in schemas.iter_mut().filter(|schema| schema.name != names.temp_schema()) {
                schema.relations.extend(self.registered(names, &schema.name));
            }
        }
        Ok(Database { name: context.database.clone(), local: true, owner: owner(warehouse), schemas })
    }

    /// The schemas of a warehouse, those of system tables included.
    async fn schemas(&self, catalog: &WarehouseCatalog, home: &Home, own: bool) -> Result<Vec<Listed>> {
        let mut schemas = Vec::new();
        for schema in home.snapshot.schemas.values() {
            let relations = self.relations(catalog, home, &schema.name, own).await;
            schemas.push(Listed { name: schema.name.clone(), owner: Some(schema.owner.0 as i32), relations });
        }
        for (name, mut relations) in system::listed(self.columns) {
            if name == system::INFORMATION_SCHEMA {
                relations.extend(self.of_datafusion().await?);
            }
            schemas.push(Listed { name: name.into(), owner: None, relations });
        }
        Ok(schemas)
    }

    /// The tables and views of one schema; they have numbers where they are the session's own.
    async fn relations(&self, catalog: &WarehouseCatalog, home: &Home, schema: &str, own: bool) -> Vec<Relation> {
        let snapshot = &home.snapshot;
        let Some(schema) = snapshot.schema_named(schema) else { return Vec::new() };
        let mut relations = Vec::new();
        for state in snapshot.table_names(schema.id).filter_map(|(_, id)| snapshot.table(id)) {
            relations.push(Relation {
                name: state.def.name.clone(),
                kind: if home.temporary { RelationKind::Temporary } else { RelationKind::Table },
                oid: own.then(|| home.oid(state.def.id)),
                query: None,
                definition: None,
                remarks: snapshot.comment(CommentOn::Relation(state.def.id)).map(str::to_string),
                columns: if self.columns { table_columns(home, state) } else { Vec::new() },
            });
        }
        for view in snapshot.view_names(schema.id).filter_map(|(_, id)| snapshot.view(id)) {
            relations.push(Relation {
                name: view.name.clone(),
                kind: RelationKind::View,
                oid: own.then(|| home.oid(view.id)),
                query: (view.binding != Binding::Late).then(|| view.sql.clone()),
                definition: Some(views::definition(&schema.name, view)),
                remarks: snapshot.comment(CommentOn::Relation(view.id)).map(str::to_string),
                columns: if self.columns { view_columns(catalog, home, view).await } else { Vec::new() },
            });
        }
        relations
    }

    /// What of a schema no warehouse holds: tables of the application, external tables, temporary views.
    fn registered(&self, names: &Namespace, schema: &str) -> Vec<Relation> {
        let tables = names.foreign.names(schema).into_iter();
        let tables = tables.filter_map(|name| Some((names.foreign.get(schema, &name)?, name)));
        tables.map(|(table, name)| self.outside(name, Some(table))).collect()
    }

    /// A table or view that only its provider describes.
    fn outside(&self, name: String, table: Option<Arc<dyn TableProvider>>) -> Relation {
        let view = table.as_ref().is_some_and(|table| table.table_type() == TableType::View);
        Relation {
            name,
            kind: if view { RelationKind::View } else { RelationKind::External },
            oid: None,
            query: None,
            definition: table.as_ref().and_then(|table| table.get_table_definition()).map(str::to_string),
            remarks: None,
            columns: table.filter(|_| self.columns).map(|table| columns_of(table.as_ref())).unwrap_or_default(),
        }
    }

    /// A catalog that is no warehouse. What cannot be opened is there by name.
    async fn foreign(&self, name: String, catalog: &dyn CatalogProvider) -> Database {
        let mut schemas = Vec::new();
        for schema_name in catalog.schema_names() {
            let Some(schema) = catalog.schema(&schema_name) else { continue };
            let mut relations = Vec::new();
            for table_name in schema.table_names() {
                match schema.table(&table_name).await {
                    Ok(None) => {}
                    Ok(table) => relations.push(self.outside(table_name, table)),
                    Err(e) => {
                        tracing::debug!("{name}.{schema_name}.{table_name} is listed without columns: {e}");
                        relations.push(self.outside(table_name, None));
                    }
                }
            }
            schemas.push(Listed { name: schema_name, owner: None, relations });
        }
        Database { name, local: false, owner: None, schemas }
    }

    /// The tables of information_schema that DataFusion has and we have not.
    async fn of_datafusion(&self) -> Result<Vec<Relation>> {
        let provider = InformationSchemaProvider::new(Arc::new(MemoryCatalogProviderList::new()));
        let mut relations = Vec::new();
        for name in INFORMATION_SCHEMA_TABLES.iter().filter(|name| !system::INFORMATION_TABLES.contains(name)) {
            let table = provider.table(name).await?;
            relations.push(Relation { kind: RelationKind::System, ..self.outside(name.to_string(), table) });
        }
        Ok(relations)
    }
}

fn owner(warehouse: &Warehouse) -> Option<i32> {
    Some(warehouse.owner().0 as i32)
}

fn columns_of(table: &dyn TableProvider) -> Vec<RelationColumn> {
    table.schema().fields().iter().map(|field| RelationColumn::of_field(field)).collect()
}

fn table_columns(home: &Home, state: &TableState) -> Vec<RelationColumn> {
    let def = &state.def;
    let columns = def.columns.iter().enumerate().map(|(ordinal, column)| RelationColumn {
        default: default_of(home.oid(def.id), ordinal, column),
        remarks: home.snapshot.comment(CommentOn::Column(def.id, column.id)).map(str::to_string),
        ..RelationColumn::of_field(&column.sql_type.field(&column.name, column.nullable))
    });
    columns.collect()
}

/// The DEFAULT as it was written; of an identity the words that Redshift shows, which tools read the seed and step from.
fn default_of(oid: i32, ordinal: usize, column: &ColumnDef) -> Option<String> {
    match column.identity {
        Some(identity) => {
            let function = if identity.by_default { "default_identity" } else { "identity" };
            Some(format!("\"{function}\"({oid}, {ordinal}, '{},{}'::text)", identity.seed, identity.step))
        }
        None => column.default_sql.clone(),
    }
}

async fn view_columns(catalog: &WarehouseCatalog, home: &Home, view: &Arc<ViewDef>) -> Vec<RelationColumn> {
    let provider = match views::provider(catalog, &home.snapshot, view).await {
        Ok(provider) => provider,
        Err(e) => {
            tracing::debug!("view \"{}\" is listed without columns: {e}", view.name);
            return Vec::new();
        }
    };
    let mut columns = columns_of(provider.as_ref());
    for (column, place) in columns.iter_mut().zip(1..) {
        let comment = home.snapshot.comment(CommentOn::Column(view.id, ColumnId(place)));
        column.remarks = comment.map(str::to_string);
    }
    columns
}
