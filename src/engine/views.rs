//! Views: made, kept, planned.
//!
//! A bound view's text is planned among the relations that it meant when it was made, under the names that they had
//! then ([`BoundCatalogs`]). A late-binding view's is planned as if it were written where the view is named, but names
//! have their schema.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, SchemaProvider, Session, TableProvider,
};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, Result as DfResult};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use futures::future::{BoxFuture, FutureExt, ready};
use parking_lot::Mutex;

use super::catalog_provider::{StatementCatalogs, WarehouseCatalog, external};
use super::ddl;
use super::error::from_datafusion;
use super::extension::planning_state;
use super::information;
use super::names::{self, CATALOG, Place, Relation, at};
use super::output::Output;
use super::planning;
use super::running::Running;
use super::temporary_views::{self, Source};
use crate::catalog::{Binding, Dependency, DependencyColumn, PinnedSnapshot, TableDef, ViewDef};
use crate::common::{ColumnId, Error, Result, SqlState, SqlType, TableId};
use crate::sql::ast::{CreateView, DropView, Ident, ObjectName, Statement};
use crate::sql::select_list::shown_name;
use crate::sql::unparse::quote_ident;
use crate::sql::{self, Mentioned};
use crate::system;

/// Relations that a view may read, those of its views counted each time: our own choice.
const MAX_RELATIONS: usize = 4096;

/// The plans of bound views, which hold no version, as long as what they read is defined as it was.
#[derive(Debug, Default)]
pub struct ViewPlans {
    planned: Mutex<HashMap<TableId, Planned>>,
}

#[derive(Debug, Clone)]
struct Planned {
    view: Arc<ViewDef>,
    /// All tables below, and the views between.
    tables: Vec<Arc<TableDef>>,
    views: Vec<Arc<ViewDef>>,
    provider: Arc<StoredView>,
}

impl Planned {
    /// Whether the plan is still the view's.
    fn holds(&self, snapshot: &PinnedSnapshot, view: &Arc<ViewDef>) -> bool {
        let table = |def: &Arc<TableDef>| {
            snapshot.table(def.id).is_some_and(|t| Arc::ptr_eq(&t.def, def) || t.def.columns == def.columns)
        };
        let same = |old: &Arc<ViewDef>, new: &Arc<ViewDef>| Arc::ptr_eq(old, new) || old == new;
        same(&self.view, view)
            && self.views.iter().all(|old| snapshot.view(old.id).is_some_and(|new| same(old, new)))
            && self.tables.iter().all(table)
    }
}

/// A view as DataFusion sees it: its plan takes its place.
#[derive(Debug)]
pub(super) struct StoredView {
    pub table: ViewTable,
    pub definition: String,
    /// What a temporary view reads; a stored one's definition tells.
    pub sources: Vec<Source>,
}

impl TableProvider for StoredView {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_table_definition(&self) -> Option<&str> {
        Some(&self.definition)
    }

    fn get_logical_plan(&'_ self) -> Option<Cow<'_, LogicalPlan>> {
        self.table.get_logical_plan()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        self.table.supports_filters_pushdown(filters)
    }

    fn scan<'s, 'q, 'p, 'e, 'f>(
        &'s self,
        state: &'q dyn Session,
        projection: Option<&'p Vec<usize>>,
        filters: &'e [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'f, DfResult<Arc<dyn ExecutionPlan>>>
    where
        's: 'f,
        'q: 'f,
        'p: 'f,
        'e: 'f,
    {
        self.table.scan(state, projection, filters, limit)
    }
}

/// The view, planned for the version `pin`.
pub(super) async fn provider(
    catalog: &WarehouseCatalog,
    pin: &PinnedSnapshot,
    view: &Arc<ViewDef>,
) -> Result<Arc<dyn TableProvider>> {
    let kept = catalog.plans().planned.lock().get(&view.id).cloned();
    if let Some(kept) = kept.filter(|kept| kept.holds(pin, view)) {
        return Ok(kept.provider);
    }
    let plan = plan(catalog, pin, view).await.map_err(|e| e.context(format!("view \"{}\"", view.name)))?;
    let schema = pin.schemas.get(&view.schema).map_or("", |schema| schema.name.as_str());
    let provider = Arc::new(StoredView {
        definition: definition(schema, view),
        table: ViewTable::new(plan, None),
        sources: Vec::new(),
    });
    if view.binding != Binding::Late {
        let (mut tables, mut views) = (HashMap::new(), HashMap::new());
        let mut open: Vec<TableId> = view.dependencies().iter().map(|d| d.relation).collect();
        while let Some(id) = open.pop() {
            if let Some(table) = pin.table(id) {
                tables.insert(id, Arc::clone(&table.def));
            } else if let Some(below) = pin.view(id)
                && views.insert(id, Arc::clone(below)).is_none()
            {
                open.extend(below.dependencies().iter().map(|d| d.relation));
            }
        }
        let planned = Planned {
            view: Arc::clone(view),
            tables: tables.into_values().collect(),
            views: views.into_values().collect(),
            provider: Arc::clone(&provider),
        };
        let mut all = catalog.plans().planned.lock();
        all.retain(|id, _| pin.view(*id).is_some());
        all.insert(view.id, planned);
    }
    Ok(provider)
}

/// The statement that makes the view.
pub(super) fn definition(schema: &str, view: &ViewDef) -> String {
    let columns: Vec<String> = view.columns.iter().map(|c| quote_ident(c)).collect();
    let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
    let late = if view.binding == Binding::Late { " WITH NO SCHEMA BINDING" } else { "" };
    format!("CREATE VIEW {}.{}{columns} AS {}{late}", quote_ident(schema), quote_ident(&view.name), view.sql)
}

/// The plan of a view's query, its columns under the view's names.
async fn plan(catalog: &WarehouseCatalog, pin: &PinnedSnapshot, view: &ViewDef) -> Result<LogicalPlan> {
    if catalog.depth() >= ViewDef::MAX_DEPTH {
        return Err(Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            format!("more than {} views stand one above the other", ViewDef::MAX_DEPTH),
        )
        .with_hint("a late-binding view that reads itself has no end; else let it read one of the lower views"));
    }
    let query = match sql::parse_one(&view.sql) {
        Ok(Statement::Query(query)) => query,
        Ok(_) => return Err(Error::internal("the stored text is no query")),
        Err(e) => return Err(Error::internal(format!("the stored text does not parse: {}", e.message()))),
    };
    let base = match catalog.planner() {
        Some(state) => SessionState::clone(state),
        None => planning_state(catalog.warehouse(), 0, None),
    };
    let list: Arc<dyn CatalogProviderList> = match &view.binding {
        Binding::Bound(dependencies) => Arc::new(bind(catalog, pin, dependencies).await.map_err(from_datafusion)?),
        Binding::Late if catalog.is_past() => {
            return Err(Error::unsupported("it binds late, so that its names have no version")
                .with_hint("write its query with FOR SYSTEM_TIME AS OF behind each table"));
        }
        Binding::Late => {
            let others: Arc<dyn CatalogProviderList> = match catalog.planner() {
                Some(state) => Arc::clone(state.catalog_list()),
                None => Arc::new(MemoryCatalogProviderList::new()),
            };
            Arc::new(StatementCatalogs::new(others, catalog.deeper()))
        }
    };
    let mut config = base.config().clone();
    // Places in the view's text are none of the statement's.
    config.options_mut().sql_parser = super::extension::parser_options();
    config.options_mut().sql_parser.collect_spans = false;
    information::ours(config.options_mut());
    let mut state = SessionStateBuilder::new_from_existing(base).with_config(config).build();
    state.register_catalog_list(list);
    let plan = planning::plan(&state, &query).await.map_err(Error::without_position)?;
    let plan = name_columns(plan, &view.columns)?;
    let mut relations = 0;
    plan.apply_with_subqueries(|node| {
        relations += usize::from(matches!(node, LogicalPlan::TableScan(_)));
        Ok(if relations > MAX_RELATIONS { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .map_err(from_datafusion)?;
    if relations > MAX_RELATIONS {
        return Err(Error::unsupported(format!("it reads more than {MAX_RELATIONS} relations"))
            .with_hint("a view that reads another one several times reads all of it as often"));
    }
    Ok(plan)
}

/// The plan with its first columns under other names.
pub(super) fn name_columns(plan: LogicalPlan, names: &[String]) -> Result<LogicalPlan> {
    let fields = plan.schema().fields();
    if names.len() > fields.len() {
        return Err(Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            format!("{} column names for a query of {} columns", names.len(), fields.len()),
        ));
    }
    if let Some(twice) = fields.iter().skip(names.len()).find(|field| shown_name(field.name()) != field.name()) {
        return Err(given_twice(shown_name(twice.name())));
    }
    if names.iter().zip(fields).all(|(name, field)| name == field.name()) {
        return Ok(plan);
    }
    let columns = plan.schema().columns();
    let named = columns.into_iter().enumerate().map(|(i, column)| match names.get(i) {
        Some(name) if *name != column.name => Expr::Column(column).alias(name),
        _ => Expr::Column(column),
    });
    let named: Vec<Expr> = named.collect();
    LogicalPlanBuilder::from(plan).project(named).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// What a bound view's names mean.
#[derive(Debug)]
struct BoundCatalogs {
    relations: Arc<HashMap<(String, String), Arc<dyn TableProvider>>>,
    catalog: WarehouseCatalog,
}

async fn bind(
    catalog: &WarehouseCatalog,
    pin: &PinnedSnapshot,
    dependencies: &[Dependency],
) -> DfResult<BoundCatalogs> {
    let mut relations = HashMap::with_capacity(dependencies.len());
    for dependency in dependencies {
        let provider: Arc<dyn TableProvider> = if let Some(table) = pin.table(dependency.relation) {
            as_it_was(catalog.table_of(pin, table), &table.def, dependency)?
        } else if let Some(view) = pin.view(dependency.relation) {
            Box::pin(provider(&catalog.deeper(), pin, view)).await.map_err(external)?
        } else {
            return Err(external(names::dropped(&dependency.name)));
        };
        relations.insert((dependency.schema.clone(), dependency.name.clone()), provider);
    }
    Ok(BoundCatalogs { relations: Arc::new(relations), catalog: catalog.clone() })
}

/// A table with the columns that it had, under the names that they had.
fn as_it_was(
    table: Arc<dyn TableProvider>,
    def: &TableDef,
    dependency: &Dependency,
) -> DfResult<Arc<dyn TableProvider>> {
    let now = def.columns.iter().map(|c| (c.id, &c.name));
    if now.eq(dependency.columns.iter().map(|c| (c.id, &c.name))) {
        return Ok(table);
    }
    // A column that is gone was none that the view mentions.
    let kept = dependency.columns.iter().filter_map(|c| def.column(c.id).map(|now| (now, c)));
    let columns = kept.map(|(now, then)| {
        let column = Expr::Column(Column::new_unqualified(&now.name));
        if now.name == then.name { column } else { column.alias(&then.name) }
    });
    let columns: Vec<Expr> = columns.collect();
    let plan =
        LogicalPlanBuilder::scan(&dependency.name, provider_as_source(table), None)?.project(columns)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

impl CatalogProviderList for BoundCatalogs {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.into()]
    }

    fn catalog(&self, _: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::new(BoundCatalogs { relations: Arc::clone(&self.relations), catalog: self.catalog.clone() }))
    }
}

impl CatalogProvider for BoundCatalogs {
    fn schema_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let catalog = self.catalog.clone();
        Some(Arc::new(BoundSchema { name: name.into(), relations: Arc::clone(&self.relations), catalog }))
    }
}

#[derive(Debug)]
struct BoundSchema {
    name: String,
    relations: Arc<HashMap<(String, String), Arc<dyn TableProvider>>>,
    catalog: WarehouseCatalog,
}

impl SchemaProvider for BoundSchema {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn table<'s, 'n, 'f>(&'s self, name: &'n str) -> BoxFuture<'f, DfResult<Option<Arc<dyn TableProvider>>>>
    where
        's: 'f,
        'n: 'f,
    {
        let found = match self.relations.get(&(self.name.clone(), name.to_string())) {
            Some(relation) => Some(Arc::clone(relation)),
            None if self.name == system::SCHEMA => system::table(name, self.catalog.source()),
            None => None,
        };
        ready(Ok(found)).boxed()
    }

    fn table_exist(&self, name: &str) -> bool {
        self.relations.contains_key(&(self.name.clone(), name.to_string()))
    }
}

pub(super) async fn create_view(running: &Running<'_>, create: CreateView) -> Result<Output> {
    if create.temporary {
        return temporary_views::create(running, create).await;
    }
    let name = create.name.base();
    if name.value.starts_with('#') {
        return Err(at(Error::unsupported("a view cannot be called #name").with_hint("write CREATE TEMP VIEW"), name));
    }
    let place = running.place(&create.name).await?;
    place.check_writable(&create.name)?;
    if place.temporary || !running.is_own(&place) {
        let error = Error::unsupported("stored views are made in the session's own database only");
        let hint = "in the temporary schema write CREATE TEMP VIEW; for another database open a session on it";
        return Err(at(error.with_hint(hint), &create.name.parts[0]));
    }
    let schema = place.schema(&running.pin, &create.name)?.clone();
    let here = Place { schemas: vec![schema.name.clone()], ..place };
    let old = match here.relation(&running.pin, &create.name) {
        Err(_) => None,
        Ok(Relation::View(view)) if create.or_replace => Some(Arc::clone(view)),
        Ok(Relation::View(_)) => {
            let error = Error::invalid(
                SqlState::DUPLICATE_TABLE,
                format!("view \"{}\" already exists", create.name.unquoted()),
            );
            return Err(at(error.with_hint("drop it first, or use CREATE OR REPLACE VIEW"), name));
        }
        Ok(Relation::Table(_)) => {
            let error = Error::invalid(
                SqlState::DUPLICATE_TABLE,
                format!("relation \"{}\" already exists", create.name.unquoted()),
            );
            return Err(at(error.with_hint("it is a table: choose another name"), name));
        }
    };
    let def = ViewDef {
        id: old.as_ref().map_or(TableId(0), |old| old.id),
        schema: schema.id,
        name: name.value.clone(),
        owner: running.statement.user,
        columns: Vec::new(),
        sql: String::new(),
        binding: Binding::Late,
        definition_version: old.as_ref().map_or(1, |old| old.definition_version.wrapping_add(1)),
        created_us: old.as_ref().map_or(0, |old| old.created_us),
    };
    let def = match create.late_binding {
        true => late(&create, def)?,
        false => bound(running, &create, def, old.as_ref()).await?,
    };
    let (mut transaction, _) = running.transaction(running.warehouse)?;
    match old {
        Some(_) => transaction.alter_view(def),
        None => {
            transaction.create_view(def);
        }
    }
    running.commit(running.warehouse, transaction).await.map_err(|e| at(e, name))?;
    Ok(Output::done("CREATE VIEW", None))
}

/// A view whose names are looked up when it is read.
fn late(create: &CreateView, def: ViewDef) -> Result<ViewDef> {
    let mut query = create.query.clone();
    sql::map_relations(&mut query, &mut |name| match name.schema() {
        Some(_) => Ok(None),
        None => {
            let error = Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("\"{}\" has no schema, which WITH NO SCHEMA BINDING demands", name.unquoted()),
            );
            Err(at(error.with_hint(format!("write schema.{}", name.base().value)), name.base()))
        }
    })?;
    let columns = create.columns.iter().map(|c| c.value.clone()).collect();
    Ok(ViewDef { columns, sql: create.query.to_string(), binding: Binding::Late, ..def })
}

/// A view that holds on to what it reads.
async fn bound(
    running: &Running<'_>,
    create: &CreateView,
    def: ViewDef,
    old: Option<&Arc<ViewDef>>,
) -> Result<ViewDef> {
    let written = running.plan(&SqlStatement::Query(create.query.clone())).await?;
    if !written.get_parameter_names().map_err(from_datafusion)?.is_empty() {
        let error = Error::invalid(SqlState::INVALID_TABLE_DEFINITION, "a view has no parameters");
        return Err(at(error.with_hint("write a value instead"), create.name.base()));
    }
    let columns = column_names(create, &written)?;
    let mentioned = Mentioned::in_query(&create.query);
    let mut names = Vec::new();
    sql::map_relations(&mut create.query.clone(), &mut |name| {
        names.push(name.clone());
        Ok(None)
    })?;
    // Looked up before the text is rewritten, which cannot wait.
    let mut meant = HashMap::new();
    let mut dependencies: Vec<Dependency> = Vec::new();
    for name in names {
        let (qualified, dependency) = meaning(running, &name, &mentioned).await?;
        if let Some(dependency) = dependency
            && dependencies.iter().all(|d| (&d.schema, &d.name) != (&dependency.schema, &dependency.name))
        {
            dependencies.push(dependency);
        }
        meant.insert(name.to_string(), qualified);
    }
    let mut query: Box<Query> = create.query.clone();
    sql::map_relations(&mut query, &mut |name| Ok(meant.get(&name.to_string()).cloned()))?;
    if old.is_some_and(|old| dependencies.iter().any(|d| d.relation == old.id)) {
        let error = Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            format!("view \"{}\" would read itself", create.name.unquoted()),
        );
        return Err(at(error.with_hint("a view may read tables and other views only"), create.name.base()));
    }
    let def = ViewDef { columns, sql: query.to_string(), binding: Binding::Bound(dependencies), ..def };
    let catalog = running.catalog();
    let stored = plan(&catalog, &running.pin, &def).await.map_err(|e| at(e, create.name.base()))?;
    let types =
        |plan: &LogicalPlan| -> Vec<_> { plan.schema().fields().iter().map(|f| f.data_type().clone()).collect() };
    if types(&stored) != types(&written) {
        let error = Error::unsupported("a query whose text does not keep its meaning cannot be stored as a view");
        return Err(at(error.with_hint("give expressions names and casts of their own"), create.name.base()));
    }
    if let Some(old) = old.filter(|old| old.binding != Binding::Late) {
        let before = plan(&catalog, &running.pin, old).await?;
        same_columns(&before, &stored).map_err(|e| at(e, create.name.base()))?;
    }
    Ok(def)
}

/// The names of a bound view's columns: those given, then the query's.
pub(super) fn column_names(create: &CreateView, plan: &LogicalPlan) -> Result<Vec<String>> {
    let fields = plan.schema().fields();
    if let Some(extra) = create.columns.get(fields.len()) {
        let error = Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            format!("CREATE VIEW names {} columns, its query has {}", create.columns.len(), fields.len()),
        );
        return Err(at(error.with_hint("name as many as the query has, or fewer"), extra));
    }
    let named = create.columns.iter().map(|c| c.value.clone());
    let names: Vec<String> =
        named.chain(fields.iter().skip(create.columns.len()).map(|f| shown_name(f.name()).to_string())).collect();
    let mut seen = std::collections::BTreeSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        None => Ok(names),
        Some(twice) => Err(at(given_twice(twice), create.name.base())),
    }
}

fn given_twice(column: &str) -> Error {
    Error::invalid(SqlState::DUPLICATE_COLUMN, format!("column \"{column}\" is given more than once"))
        .with_hint("give one an alias, or name the view's columns after its name")
}

/// What a name of a bound view's text stands for: as the text is to write it, and what the view then depends on.
async fn meaning(
    running: &Running<'_>,
    name: &ObjectName,
    mentioned: &Mentioned,
) -> Result<(Vec<String>, Option<Dependency>)> {
    let refuse = |what: &str, hint: &str| {
        let error = Error::unsupported(format!("a view cannot be bound to {what} \"{}\"", name.unquoted()));
        Err(at(error.with_hint(hint), &name.parts[0]))
    };
    let unstored = "tables of the session go with it: write CREATE TEMP VIEW";
    if running.session.is_foreign(name, &running.pin) {
        return refuse("the session's table", unstored);
    }
    let place = running.place(name).await?;
    if place.temporary {
        return refuse("the temporary table", unstored);
    }
    if !running.is_own(&place) {
        return refuse("another database's", "add WITH NO SCHEMA BINDING, or copy the table with CREATE TABLE AS");
    }
    let found = match place.relation(&running.pin, name) {
        Ok(found) => found,
        Err(e) => {
            let schema = name.schema().map(|s| s.value.as_str());
            let base = &name.base().value;
            if schema.is_none_or(|s| s == system::SCHEMA) && system::TABLES.contains(&base.as_str()) {
                return Ok((vec![system::SCHEMA.into(), base.clone()], None));
            }
            // It was planned, so that it is something: a file, or a table of information_schema.
            if e.state() == SqlState::UNDEFINED_TABLE || e.state() == SqlState::UNDEFINED_SCHEMA {
                return refuse("what is no table of the database,", "add WITH NO SCHEMA BINDING, or CREATE TEMP VIEW");
            }
            return Err(e);
        }
    };
    let (schema, base, relation, columns) = match found {
        Relation::Table(table) => {
            let column =
                |id: ColumnId, name: &String| DependencyColumn { id, name: name.clone(), read: mentioned.column(name) };
            let columns = table.def.columns.iter().map(|c| column(c.id, &c.name)).collect();
            (table.def.schema, &table.def.name, table.def.id, columns)
        }
        Relation::View(view) if view.binding == Binding::Late => {
            return refuse("the late-binding view", "add WITH NO SCHEMA BINDING");
        }
        Relation::View(view) => (view.schema, &view.name, view.id, Vec::new()),
    };
    let schema = running.pin.schemas.get(&schema).map(|s| s.name.clone()).unwrap_or_default();
    let dependency = Dependency { relation, schema: schema.clone(), name: base.clone(), columns };
    Ok((vec![schema, base.clone()], Some(dependency)))
}

/// A replacement has the columns of what it replaces, in PostgreSQL's words, which Redshift uses.
fn same_columns(before: &LogicalPlan, after: &LogicalPlan) -> Result<()> {
    let (before, after) = (before.schema().fields(), after.schema().fields());
    let changed = |what: String| {
        Err(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, what)
            .with_hint("a replacement has the same columns; drop the view and make it anew"))
    };
    if before.len() != after.len() {
        return changed("cannot change number of columns in view".into());
    }
    for (old, new) in before.iter().zip(after) {
        if old.name() != new.name() {
            return changed(format!("cannot change name of view column \"{}\"", old.name()));
        }
        let declared = |field: &arrow::datatypes::Field| SqlType::from_field(field);
        let same = old.data_type() == new.data_type() && declared(old) == declared(new);
        if !same {
            return changed(format!("cannot change data type of view column \"{}\"", old.name()));
        }
    }
    Ok(())
}

pub(super) async fn drop_view(running: &Running<'_>, drop: DropView) -> Result<Output> {
    let named = temporary_views::sort(running, &drop.names, true)?;
    let readers = temporary_views::dropped_with(running, &named, drop.cascade).await?;
    let notices =
        ddl::drop_relations(running, drop.if_exists, &named.stored, "view", |transaction, place, snapshot, name| {
            transaction.drop_view(place.view(snapshot, name)?, drop.cascade);
            Ok(())
        });
    let notices = notices.await?;
    temporary_views::forget(running, &named.foreign, &readers);
    Ok(Output::done("DROP VIEW", None).with_notices(notices))
}

/// A view's column by name: its place, from 1.
pub(super) fn view_column(view: &ViewDef, name: &Ident) -> Result<ColumnId> {
    match view.columns.iter().position(|c| *c == name.value) {
        Some(i) => Ok(ColumnId(i as u32 + 1)),
        None => {
            let message = format!("column \"{}\" of view \"{}\" does not exist", name.value, view.name);
            let error = Error::invalid(SqlState::UNDEFINED_COLUMN, message);
            Err(at(error.with_hint("a late-binding view has only columns that CREATE VIEW named"), name))
        }
    }
}
