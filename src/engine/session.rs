//! A session: statements one after another, each at a version of its own.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering as AtomicOrdering};

use arrow::array::RecordBatch;
use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::{DdlStatement, LogicalPlan, Statement as PlannedStatement};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, execute_stream};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use futures::future::{BoxFuture, ready};
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;

use super::attach;
use super::catalog_provider::{StatementCatalogs, WarehouseCatalog};
use super::coerce::Coercion;
use super::comments;
use super::describe::Described;
use super::error::from_datafusion;
use super::extension::planning_state;
use super::identity::Generate;
use super::information;
use super::load::Load;
use super::names::{self, CATALOG, Place, Relation};
use super::namespace::{Attached, Namespace, PlanPins, StatementPins};
use super::output::Output;
use super::placing::{placed, placed_stream};
use super::query_log::Logged;
use super::statement::{CancelToken, StatementState, cancelled};
use super::warehouse::Warehouse;
use super::{
    analyze, copy, ddl, describe, explain, insert, parameters, planning, show, statistics, summarize, uses, verify,
    views,
};
use crate::catalog::{PinnedSnapshot, Snapshot, Transaction};
use crate::common::sql_type::UTC;
use crate::common::{Error, ErrorKind, Result};
use crate::functions::settings::{self, Setting};
use crate::functions::{SessionNames, zones};
use crate::optimizer::union_branches::UnionBranches;
use crate::physical_plan::config::BlueshiftOptions;
use crate::sql::ast::{Insert, ObjectName};
use crate::sql::{self, Statement, StatementText};

/// A session of one user on one warehouse.
///
/// Each statement reads one version of the warehouse, the newest when it began. Statements that change something have
/// done so, durably, when [`Session::sql`] returns; a query's rows are computed while they are read.
pub struct Session {
    warehouse: Warehouse,
    context: SessionContext,
    /// What it sees beside the warehouse.
    pub(super) names: Arc<Namespace>,
    process: u32,
    /// The settings of the warehouse's runtime.
    runtime: Arc<Vec<Setting>>,
    running: Mutex<Vec<CancelToken>>,
    /// The number of the statement before; -1 of the first.
    last_query: AtomicI64,
}

/// What a statement runs with.
pub(super) struct Running<'a> {
    pub session: &'a Session,
    pub warehouse: &'a Warehouse,
    pub statement: StatementState,
    pub pin: PinnedSnapshot,
    /// The versions that it reads of all warehouses.
    pub pins: Arc<StatementPins>,
    /// Plans against the statement's version.
    pub state: SessionState,
}

impl Session {
    pub(super) fn new(warehouse: Warehouse) -> Self {
        let process = warehouse.next_process();
        let names = Arc::new(Namespace::new(warehouse.clone(), process));
        let context = SessionContext::new_with_state(planning_state(&warehouse, process, Some(&names)));
        let catalog = WarehouseCatalog::latest(warehouse.clone()).with_names(Arc::clone(&names));
        context.register_catalog(CATALOG, Arc::new(catalog));
        let entries = warehouse.inner.runtime.config_entries().into_iter();
        let runtime = entries.map(|e| Setting { name: e.key, value: e.value, description: e.description.to_string() });
        let runtime = Arc::new(runtime.collect());
        Session {
            warehouse,
            context,
            names,
            process,
            runtime,
            running: Mutex::default(),
            last_query: AtomicI64::new(-1),
        }
    }

    pub fn warehouse(&self) -> &Warehouse {
        &self.warehouse
    }

    /// The DataFusion context of the session: for registering other tables, functions and settings, and for plans of
    /// the application's own, which read the newest version.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Executes one statement.
    ///
    /// Errors: Invalid with the place in the text for a wrong statement; see [`crate::common::ErrorKind`] for the rest.
    pub async fn sql(&self, text: &str) -> Result<Output> {
        self.boxed_execute(text, sql::parse_one(text)?, None).await
    }

    /// Executes statements separated by semicolons; the results of all, or the first error.
    pub async fn script(&self, text: &str) -> Result<Vec<Output>> {
        let mut outputs = Vec::new();
        for statement in sql::split(text) {
            outputs.push(self.statement(statement).await?);
        }
        Ok(outputs)
    }

    /// Executes one statement of a script that [`super::split`] cut; an error's place is one of the script.
    pub async fn statement(&self, statement: StatementText<'_>) -> Result<Output> {
        self.boxed_execute(statement.text, statement.parse()?, None).await
    }

    /// Adds the rows of `streams` to a table, all in one commit, and returns how many there were. Columns are taken by
    /// position and cast as INSERT does. Streams are read at the same time.
    ///
    /// An IDENTITY column gets values where it is NULL, and where streams have one column less than the table and leave
    /// it out; a value for it is refused unless it is GENERATED BY DEFAULT.
    ///
    /// `table` is a name as SQL writes it. Errors: as INSERT's; Conflict when the table was altered meanwhile.
    pub async fn load(&self, table: &str, streams: Vec<SendableRecordBatchStream>) -> Result<u64> {
        let name = sql::parse_name(table)?;
        let place = self.begin().await?.place(&name).await?;
        place.check_writable(&name)?;
        let warehouse = &place.warehouse;
        let transaction = warehouse.inner.catalog.begin(warehouse.owner());
        let snapshot = transaction
            .snapshot()
            .cloned()
            .ok_or_else(|| Error::internal("a transaction begun by the catalog has a snapshot"))?;
        let table = place.table(&snapshot, &name)?;
        let zone = zones::zone(self.context.state().config().options().execution.time_zone.as_deref())?;
        let columns = table.def.columns.len();
        let left_out = |stream: &SendableRecordBatchStream| stream.schema().fields().len() + 1 == columns;
        let source = match table.def.identity() {
            Some((identity, _)) if streams.first().is_some_and(left_out) => (0..columns)
                .map(|ordinal| match ordinal.cmp(&identity) {
                    Ordering::Less => ordinal,
                    Ordering::Equal => Coercion::NOT_GIVEN,
                    Ordering::Greater => ordinal - 1,
                })
                .collect(),
            _ => (0..columns).collect(),
        };
        let load = Load::new(warehouse, table, source, &transaction)?;
        let load = load.generating(Generate::Nulls).in_zone(zone);
        load.take(streams).await?;
        let (rows, _) = load.commit(transaction).await?;
        Ok(rows)
    }

    /// Plans a statement without executing it.
    pub async fn prepare(&self, text: &str) -> Result<Prepared<'_>> {
        let statement = sql::parse_one(text)?;
        let none = Arc::new(arrow::datatypes::Schema::empty());
        let (parameters, schema) = match &statement {
            Statement::Query(query) => {
                let running = self.begin().await?;
                let plan = running.plan(query).await?;
                let types = plan.get_parameter_types().map_err(from_datafusion)?;
                let schema = match explain::of(query, &running.state) {
                    Some(_) => explain::schema(),
                    None => planning::shown_schema(&Arc::new(plan.schema().as_arrow().clone())),
                };
                (types, schema)
            }
            Statement::Insert(insert) => (insert::parameters(&self.begin().await?, insert).await?, none),
            Statement::ShowTable { .. } => (HashMap::new(), ddl::show_table_schema()),
            Statement::AnalyzeCompression(_) => (HashMap::new(), analyze::schema()),
            Statement::Show(what) => (HashMap::new(), show::show(&self.begin().await?, what.clone()).await?.schema()),
            _ => (HashMap::new(), none),
        };
        Ok(Prepared {
            session: self,
            text: text.to_string(),
            statement,
            parameters: parameters::in_order(parameters)?,
            schema,
        })
    }

    /// Stops the session's running statements: their streams end with an error.
    pub fn cancel(&self) {
        self.running.lock().drain(..).for_each(|token| token.cancel());
    }

    /// Whether the name is that of a table of the session's own.
    pub(super) fn is_foreign(&self, name: &ObjectName, snapshot: &Snapshot) -> bool {
        self.foreign_schema(name, snapshot).is_some()
    }

    /// The schema in which a name leads to a table of the session's own.
    pub(super) fn foreign_schema(&self, name: &ObjectName, snapshot: &Snapshot) -> Option<String> {
        if name.database().is_some_and(|database| database.value != CATALOG) {
            return None;
        }
        let schemas = match name.schema() {
            Some(schema) if self.names.is_temp(&schema.value) => vec![self.names.temp_schema().to_string()],
            Some(schema) => vec![schema.value.clone()],
            None => self.names.lookup(snapshot),
        };
        // What stands earlier in the path is meant, whoever holds it.
        for schema in schemas {
            if self.names.foreign.get(&schema, &name.base().value).is_some() {
                return Some(schema);
            }
            let held = snapshot.schema_named(&schema).is_some_and(|s| {
                let base = &name.base().value;
                snapshot.table_named(s.id, base).is_some() || snapshot.view_named(s.id, base).is_some()
            });
            if held {
                return None;
            }
        }
        None
    }

    /// Makes another open warehouse a catalog of the session, to be read and written under `name`.
    ///
    /// Errors: Invalid when the name is taken.
    pub fn attach(&self, name: &str, warehouse: &Warehouse) -> Result<()> {
        self.names.attach(name, Attached::Warehouse { warehouse: warehouse.clone(), read_only: false })
    }

    /// What a name leads to, be it a table, a view or anything else with columns: where it is and what is said of it.
    ///
    /// `name` is as SQL writes it. Errors: Invalid when it leads nowhere.
    pub async fn describe(&self, name: &str) -> Result<Described> {
        describe::described(&self.begin().await?, &sql::parse_name(name)?).await
    }

    /// A query's plan that outlives the statement; its columns are named as [`planning::plan`] says.
    pub(super) async fn plan_lasting(&self, query: &SqlStatement) -> Result<LogicalPlan> {
        planning::plan(&self.lasting_state(), query).await
    }

    /// As [`Session::execute`], whose future is too large for the stack of whoever awaits several.
    fn boxed_execute<'f>(
        &'f self,
        text: &'f str,
        statement: Statement,
        parameters: Option<ParamValues>,
    ) -> BoxFuture<'f, Result<Output>> {
        Box::pin(self.execute(text, statement, parameters))
    }

    /// Executes a statement and logs it. `text` is what it was made of.
    async fn execute(&self, text: &str, statement: Statement, parameters: Option<ParamValues>) -> Result<Output> {
        let query = self.warehouse.next_query();
        let logged = Logged::begin(self, query, self.process, text);
        let output = self.execute_as(query, statement, parameters).await;
        self.last_query.store(i64::try_from(query).unwrap_or(i64::MAX), AtomicOrdering::Relaxed);
        Ok(output?.with_log(logged))
    }

    async fn execute_as(&self, query: u64, statement: Statement, parameters: Option<ParamValues>) -> Result<Output> {
        let statement = match statement {
            Statement::Insert(insert) if !insert.source.reads_tables() => {
                return self.append(query, insert, parameters).await;
            }
            other => other,
        };
        let running = self.begin_as(query, self.warehouse.pin_newest().await?)?;
        match statement {
            Statement::Query(query) => running.query(&query, parameters).await,
            Statement::CreateTable(create) => ddl::create_table(&running, *create).await,
            Statement::AlterConstraint(alter) => verify::alter(&running, alter).await,
            Statement::DropTable(drop) => ddl::drop_table(&running, drop).await,
            Statement::CreateView(create) => views::create_view(&running, *create).await,
            Statement::DropView(drop) => views::drop_view(&running, drop).await,
            Statement::Comment(comment) => comments::comment(&running, comment).await,
            Statement::Attach(attach) => attach::attach(&running, attach).await,
            Statement::Detach(detach) => attach::detach(&running, detach),
            Statement::SetSearchPath(path) => {
                self.names.set_path(path.map(|path| path.into_iter().map(|schema| schema.value).collect()));
                Ok(Output::done("SET", None))
            }
            Statement::Show(what) => show::show(&running, what).await,
            // The only one there is.
            Statement::ShowParameter(name) => {
                let percent = statistics::threshold(&running);
                Ok(Output::text("SHOW", name, &percent.to_string()))
            }
            Statement::CreateSchema(create) => ddl::create_schema(&running, create).await,
            Statement::DropSchema(drop) => ddl::drop_schema(&running, drop).await,
            Statement::Insert(insert) => insert::insert(&running, insert, parameters).await,
            Statement::Copy(copy) => copy::copy(&running, *copy).await,
            Statement::Analyze(statement) => statistics::analyze(&running, statement).await,
            Statement::AnalyzeCompression(statement) => analyze::compression(&running, statement).await,
            Statement::ShowTable { name } => ddl::show_table(&running, &name).await,
            Statement::Describe { name } => describe::describe(&running, &name).await,
            Statement::Summarize(relation) => summarize::summarize(&running, relation).await,
            Statement::DataFusion { sql, position } => running.datafusion(&sql).await.map_err(|e| match e.position() {
                Some(at) if position.line > 1 || position.column > 1 => {
                    let column = if at.line == 1 { at.column + position.column - 1 } else { at.column };
                    e.with_position(at.line + position.line - 1, column)
                }
                _ => e,
            }),
        }
    }

    /// A statement's beginning: the newest version is found and pinned.
    async fn begin(&self) -> Result<Running<'_>> {
        let pin = self.warehouse.pin_newest().await?;
        self.begin_at(pin)
    }

    /// An INSERT that reads no table. Where its target is known, the store is not asked for a newer version first: the
    /// commit finds out whether the target is still as it is known. What is wrong by a definition that is no longer the
    /// newest is tried again.
    async fn append(&self, query: u64, insert: Insert, parameters: Option<ParamValues>) -> Result<Output> {
        let known = self.warehouse.inner.catalog.pin();
        let place = self.own_place(&insert.table, &known);
        let target = |snapshot: &Snapshot| {
            let table = place.as_ref()?.table(snapshot, &insert.table).ok()?;
            Some(Arc::clone(&table.def))
        };
        if let Some(before) = target(&known) {
            match insert::insert(&self.begin_as(query, known)?, insert.clone(), parameters.clone()).await {
                Err(e) if e.kind() == ErrorKind::Invalid => {
                    if target(&*self.warehouse.pin_newest().await?) == Some(before) {
                        return Err(e);
                    }
                }
                outcome => return outcome,
            }
        }
        insert::insert(&self.begin_as(query, self.warehouse.pin_newest().await?)?, insert, parameters).await
    }

    pub(super) fn begin_at(&self, pin: PinnedSnapshot) -> Result<Running<'_>> {
        self.begin_as(self.warehouse.next_query(), pin)
    }

    fn begin_as(&self, query: u64, pin: PinnedSnapshot) -> Result<Running<'_>> {
        let statement =
            StatementState::new(query, self.process, self.warehouse.owner(), &self.warehouse.inner.runtime)?;
        let mut running = self.running.lock();
        running.retain(|token| !token.is_last());
        running.push(statement.cancel.clone());
        drop(running);
        let base = self.context.state();
        let pins = Arc::new(StatementPins::of(self.warehouse.clone(), pin.clone()));
        let mut config = base.config().clone().with_extension(Arc::clone(&pins));
        config.options_mut().extensions.insert(PlanPins::of(Arc::clone(&pins)));
        config.options_mut().extensions.insert(self.session_names(&pin));
        information::ours(config.options_mut());
        let mut state = SessionStateBuilder::new_from_existing(base.clone())
            .with_runtime_env(Arc::clone(&statement.runtime))
            .with_config(config)
            .build();
        let catalog = self.catalog(&base).at(Arc::clone(&pins));
        state.register_catalog_list(Arc::new(StatementCatalogs::new(Arc::clone(base.catalog_list()), catalog)));
        Ok(Running { session: self, warehouse: &self.warehouse, statement, pin, pins, state })
    }

    /// What functions may tell of the session.
    fn session_names(&self, snapshot: &Snapshot) -> SessionNames {
        SessionNames {
            database: CATALOG.into(),
            user: snapshot.users.get(&self.warehouse.owner()).cloned().unwrap_or_default(),
            schemas: self.names.schemas(snapshot),
            path: self.names.path(),
            lookup: self.names.lookup(snapshot),
            runtime: Arc::clone(&self.runtime),
            last_query: self.last_query.load(AtomicOrdering::Relaxed),
        }
    }

    /// Where the name of a table of the warehouse leads at that version; `None` of another database's, and of a
    /// temporary table.
    fn own_place(&self, name: &ObjectName, snapshot: &Snapshot) -> Option<Place> {
        let own = name.database().is_none_or(|database| database.value == CATALOG);
        let temporary = match name.schema() {
            Some(schema) => self.names.is_temp(&schema.value),
            None => self.names.means_temporary(&name.base().value, snapshot),
        };
        (own && !temporary).then(|| self.place_among(name, snapshot))
    }

    fn place_among(&self, name: &ObjectName, snapshot: &Snapshot) -> Place {
        let schemas = match name.schema() {
            Some(schema) => vec![schema.value.clone()],
            None => self.names.schemas(snapshot),
        };
        Place { warehouse: self.warehouse.clone(), schemas, temporary: false, read_only: None }
    }

    /// Plans what outlives the statement, a view or a prepared statement: nothing in such a plan holds a version.
    fn lasting_state(&self) -> SessionState {
        let base = self.context.state();
        let mut state = base.clone();
        information::ours(state.config_mut().options_mut());
        let catalog = self.catalog(&base);
        state.register_catalog_list(Arc::new(StatementCatalogs::new(Arc::clone(base.catalog_list()), catalog)));
        state
    }

    /// The warehouse as the session's statements see it, at the newest version.
    fn catalog(&self, base: &SessionState) -> WarehouseCatalog {
        WarehouseCatalog::latest(self.warehouse.clone())
            .with_names(Arc::clone(&self.names))
            .with_planner(Arc::new(base.clone()))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("warehouse", &self.warehouse).field("process", &self.process).finish()
    }
}

impl Running<'_> {
    /// A transaction of the statement's user, and the version that it changes: the newest known, which may follow the
    /// statement's.
    pub fn transaction(&self) -> (Transaction, Arc<Snapshot>) {
        self.transaction_on(self.warehouse)
    }

    /// The same, of another warehouse.
    pub fn transaction_on(&self, warehouse: &Warehouse) -> (Transaction, Arc<Snapshot>) {
        let transaction = warehouse.inner.catalog.begin(self.statement.user);
        let snapshot = transaction.snapshot().map_or_else(|| warehouse.inner.catalog.snapshot(), Arc::clone);
        (transaction, snapshot)
    }

    fn zone_setting(&self) -> Option<&str> {
        self.state.config().options().execution.time_zone.as_deref()
    }

    /// Whether the session's scans prune.
    pub fn prunes(&self) -> bool {
        self.state.config_options().extensions.get::<BlueshiftOptions>().is_none_or(|o| o.pruning)
    }

    /// The session's time zone.
    pub fn zone(&self) -> Result<Tz> {
        zones::zone(self.zone_setting())
    }

    /// A plan as the analyzer's rules leave it; one with a UNION as it is, since DataFusion gives such a column the declared
    /// type of any of its inputs, be it too short for the others.
    pub fn analyzed(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let unites = |p: &LogicalPlan| Ok(matches!(p, LogicalPlan::Union(_) | LogicalPlan::RecursiveQuery(_)));
        if plan.exists(unites).map_err(from_datafusion)? {
            return Ok(plan.clone());
        }
        let analyzer = self.state.analyzer();
        analyzer.execute_and_check(plan.clone(), self.state.config_options(), |_, _| {}).map_err(from_datafusion)
    }

    /// Where the name of a table or view leads.
    ///
    /// Errors: Invalid for a database that is not attached; Unsupported for one of files.
    pub async fn place(&self, name: &ObjectName) -> Result<Place> {
        let names = &self.session.names;
        if let Some(database) = name.database()
            && database.value != CATALOG
        {
            return match names.attached(&database.value) {
                Some(Attached::Warehouse { warehouse, read_only }) => {
                    self.pins.pin(&warehouse).await?;
                    let schemas = name.schema().map(|schema| schema.value.clone()).into_iter().collect();
                    let read_only = read_only.then(|| database.value.clone());
                    Ok(Place { warehouse, schemas, temporary: false, read_only })
                }
                Some(Attached::Files(_)) => {
                    let error = Error::unsupported(format!(
                        "database \"{}\" is made of files, which are only read",
                        database.value
                    ));
                    Err(names::at(
                        error.with_hint("copy one into the warehouse with CREATE TABLE … AS SELECT"),
                        database,
                    ))
                }
                None => Err(names::at(names::no_such_database(&database.value), database)),
            };
        }
        let temporary = match name.schema() {
            Some(schema) => names.is_temp(&schema.value),
            None => names.means_temporary(&name.base().value, &self.pin),
        };
        if temporary {
            return self.temporary_place().await;
        }
        Ok(self.session.place_among(name, &self.pin))
    }

    /// Where a new table of that name goes. The session's private warehouse is made with the first temporary table.
    pub async fn place_of_new(&self, name: &ObjectName, temporary: bool) -> Result<Place> {
        let names = &self.session.names;
        let in_temp = name.schema().is_some_and(|schema| names.is_temp(&schema.value));
        match name.schema() {
            Some(schema) if temporary && !in_temp => {
                let message = "a temporary table has no schema but the session's own";
                let error = Error::invalid(crate::common::SqlState::INVALID_TABLE_DEFINITION, message);
                Err(names::at(error.with_hint("leave the schema out"), schema))
            }
            _ if temporary || in_temp => self.temporary_place().await,
            Some(_) => self.place(name).await,
            None => Ok(self.session.place_among(name, &self.pin)),
        }
    }

    async fn temporary_place(&self) -> Result<Place> {
        let names = &self.session.names;
        let warehouse = names.make_temp().await?.clone();
        self.pins.pin(&warehouse).await?;
        Ok(Place { warehouse, schemas: vec![names.temp_schema().to_string()], temporary: true, read_only: None })
    }

    /// Whether the place is in the session's own database.
    pub fn is_own(&self, place: &Place) -> bool {
        Arc::ptr_eq(&place.warehouse.inner, &self.warehouse.inner)
    }

    /// The database as the statement sees it.
    pub fn catalog(&self) -> WarehouseCatalog {
        self.session.catalog(&self.state).at(Arc::clone(&self.pins))
    }

    /// The logical plan of a query; its columns are named as [`planning::plan`] says.
    pub async fn plan(&self, query: &SqlStatement) -> Result<LogicalPlan> {
        let full = self.with_full_names(query)?.await;
        planning::plan(&self.state, full.as_deref().unwrap_or(query)).await
    }

    /// The statement, its tables with their whole names where their short ones could mean others: DataFusion takes a column
    /// `s.t.a` for one of any table that FROM calls `t` alone. `None` where it stays as it is.
    fn with_full_names<'s>(&'s self, statement: &'s SqlStatement) -> Result<BoxFuture<'s, Option<Box<SqlStatement>>>> {
        let Some(query) = sql::query_in(statement) else { return Ok(ready(None).boxed()) };
        sql::check_unambiguous(query)?;
        if !sql::needs_full_names(query) {
            return Ok(ready(None).boxed());
        }
        let mut full = Box::new(statement.clone());
        let mut names = Vec::new();
        if let Some(query) = sql::query_of(&mut full) {
            sql::map_relations(&mut query.clone(), &mut |name| {
                names.push(name.clone());
                Ok(None)
            })?;
        }
        Ok(Box::pin(async move {
            let mut meant = HashMap::new();
            for name in names {
                if let Some(full) = self.full_name(&name).await {
                    meant.insert(name.to_string(), full);
                }
            }
            let query = sql::query_of(&mut full)?;
            sql::map_relations(query, &mut |name| Ok(meant.get(&name.to_string()).cloned())).ok()?;
            Some(full)
        }))
    }

    /// The database, schema and name of a table or view of the session's own database; `None` of all else.
    async fn full_name(&self, name: &ObjectName) -> Option<Vec<String>> {
        if name.database().is_some() || self.session.is_foreign(name, &self.pin) {
            return None;
        }
        // What cannot be looked up is an error of the planner's.
        let place = self.place(name).await.ok()?;
        let snapshot = self.pins.pin(&place.warehouse).await.ok()?;
        let schema = match place.relation(&snapshot, name).ok()? {
            _ if place.temporary => self.session.names.temp_schema().to_string(),
            Relation::Table(table) => snapshot.schemas.get(&table.def.schema)?.name.clone(),
            Relation::View(view) => snapshot.schemas.get(&view.schema)?.name.clone(),
        };
        Some(vec![CATALOG.to_string(), schema, name.base().value.clone()])
    }

    /// A SET or RESET as DataFusion reads it; an error where it may not be.
    fn settle_set(&self, statement: &mut PlannedStatement) -> Result<()> {
        let options = self.state.config_options();
        match statement {
            PlannedStatement::SetVariable(set) => {
                settings::check_set(options, &set.variable)?;
                if set.variable == settings::TIME_ZONE {
                    zones::zone(Some(&set.value))?;
                }
                set.value = settings::value(options, &set.variable, &set.value)?;
                Ok(())
            }
            PlannedStatement::ResetVariable(reset) => settings::check_set(options, &reset.variable),
            _ => Ok(()),
        }
    }

    pub(super) async fn query(&self, query: &SqlStatement, parameters: Option<ParamValues>) -> Result<Output> {
        if let Some(explained) = explain::of(query, &self.state) {
            return explain::explain(self, explained, parameters).await;
        }
        let mut plan = match query {
            SqlStatement::Prepare { .. } => {
                let full = self.with_full_names(query)?.await;
                planning::plan(&self.session.lasting_state(), full.as_deref().unwrap_or(query)).await?
            }
            _ => self.plan(query).await?,
        };
        if let Some(parameters) = parameters {
            plan = plan.with_param_values(parameters).map_err(from_datafusion)?;
        }
        if let LogicalPlan::Statement(statement) = &mut plan {
            // SET, PREPARE and the like change the session itself; EXECUTE gives the plan that PREPARE stored.
            let tag = statement_tag(statement);
            self.settle_set(statement)?;
            let frame = self.session.context.execute_logical_plan(plan).await.map_err(from_datafusion)?;
            if frame.schema().fields().is_empty() {
                return Ok(Output::done(tag, None));
            }
            plan = frame.into_unoptimized_plan();
        }
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        options.verify_plan(&plan).map_err(from_datafusion)?;
        let tag = if matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_)) { "EXPLAIN" } else { "SELECT" };
        let physical = self.physical(&plan).await.map_err(|error| placed(error, query))?;
        let stream = execute_stream(Arc::clone(&physical), self.state.task_ctx());
        let stream = stream.map_err(|error| placed(from_datafusion(error), query))?;
        let stream = placed_stream(self.statement.govern(stream), query);
        let stream = planning::shown(shown_in(self.zone_setting(), stream));
        Ok(Output::rows(tag, stream).with_plan(physical))
    }

    /// What only DataFusion's own parser reads.
    async fn datafusion(&self, text: &str) -> Result<Output> {
        let mut plan = plan_text(&self.state, text).await?;
        let tag = text.split_whitespace().take(2).collect::<Vec<_>>().join(" ").to_ascii_uppercase();
        let mut notices = Vec::new();
        match &mut plan {
            LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => {
                return Ok(Output::rows("EXPLAIN", self.run(&plan).await?));
            }
            LogicalPlan::Ddl(ddl) => {
                notices.extend(gone_with_the_session(ddl));
                plan = plan_text(&self.session.lasting_state(), text).await?;
            }
            LogicalPlan::Statement(statement) => self.settle_set(statement)?,
            _ => return Ok(Output::rows(tag, self.run(&plan).await?)),
        }
        let frame = self.session.context.execute_logical_plan(plan).await.map_err(from_datafusion)?;
        frame.collect().await.map_err(from_datafusion)?;
        Ok(Output::done(tag, None).with_notices(notices))
    }

    /// Starts a plan; its rows in one stream.
    pub async fn run(&self, plan: &LogicalPlan) -> Result<SendableRecordBatchStream> {
        let physical = self.physical(plan).await?;
        let stream = execute_stream(physical, self.state.task_ctx()).map_err(from_datafusion)?;
        Ok(self.statement.govern(stream))
    }

    /// Starts a plan on one partition: its rows come in the order of its source.
    pub async fn run_in_order(&self, plan: &LogicalPlan) -> Result<SendableRecordBatchStream> {
        let mut state = self.state.clone();
        state.config_mut().options_mut().execution.target_partitions = 1;
        let physical = state.create_physical_plan(plan).await.map_err(from_datafusion)?;
        let stream = execute_stream(physical, state.task_ctx()).map_err(from_datafusion)?;
        Ok(self.statement.govern(stream))
    }

    /// Starts a plan; its rows in one stream a partition.
    pub async fn run_partitions(&self, plan: &LogicalPlan) -> Result<Vec<SendableRecordBatchStream>> {
        let physical = self.physical(plan).await?;
        (0..physical.output_partitioning().partition_count())
            .map(|partition| physical.execute(partition, self.state.task_ctx()))
            .map(|stream| stream.map(|s| self.statement.govern(s)).map_err(from_datafusion))
            .collect()
    }

    /// Unavailable once the statement is cancelled.
    pub fn check_cancelled(&self) -> Result<()> {
        if self.statement.cancel.is_cancelled() { Err(cancelled()) } else { Ok(()) }
    }

    /// The plan that would run.
    pub(super) async fn physical(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        uses::note(plan);
        // Before the analyzer, whose rules go through all branches of a union.
        let united = plan.exists(|p| Ok(matches!(p, LogicalPlan::Union(_)))).map_err(from_datafusion)?;
        let pruned = match united {
            true => {
                Cow::Owned(UnionBranches.analyze(plan.clone(), self.state.config_options()).map_err(from_datafusion)?)
            }
            false => Cow::Borrowed(plan),
        };
        self.state.create_physical_plan(&pruned).await.map_err(from_datafusion)
    }
}

/// The plan of a statement that only DataFusion's parser reads, with Redshift's spellings in its expressions.
async fn plan_text(state: &SessionState, text: &str) -> Result<LogicalPlan> {
    let dialect = state.config_options().sql_parser.dialect;
    let mut statement = state.sql_to_statement(text, &dialect).map_err(from_datafusion)?;
    let mut inner = &mut statement;
    while let DfStatement::Explain(explain) = inner {
        inner = explain.statement.as_mut();
    }
    if let DfStatement::Statement(statement) = inner {
        sql::rewrite(statement.as_mut())?;
    }
    state.statement_to_plan(statement).await.map_err(from_datafusion)
}

/// Rows with their instants as a zone shows them; the instants stay the same.
fn shown_in(zone: Option<&str>, stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let Some(zone) = zone.filter(|zone| *zone != UTC) else { return stream };
    let shown = |field: &Arc<Field>| match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            Arc::new(Field::clone(field).with_data_type(DataType::Timestamp(*unit, Some(zone.into()))))
        }
        _ => Arc::clone(field),
    };
    let old = stream.schema();
    if !old.fields().iter().any(|field| matches!(field.data_type(), DataType::Timestamp(_, Some(_)))) {
        return stream;
    }
    let fields: Vec<Arc<Field>> = old.fields().iter().map(shown).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, old.metadata().clone()));
    let to = Arc::clone(&schema);
    let batches = stream.map(move |batch| {
        let batch = batch?;
        let columns = batch.columns().iter().zip(to.fields());
        let columns = columns.map(|(column, field)| match field.data_type() == column.data_type() {
            true => Ok(Arc::clone(column)),
            false => arrow::compute::cast(column, field.data_type()),
        });
        Ok(RecordBatch::try_new(Arc::clone(&to), columns.collect::<std::result::Result<_, ArrowError>>()?)?)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

/// What to say of a statement whose effect is not stored.
fn gone_with_the_session(ddl: &DdlStatement) -> Option<String> {
    let (what, name) = match ddl {
        DdlStatement::CreateExternalTable(table) => ("external table", &table.name),
        _ => return None,
    };
    Some(format!("{what} \"{name}\" lasts as long as this session: {what}s are not stored"))
}

/// PostgreSQL's tag of a statement that changes the session.
fn statement_tag(statement: &PlannedStatement) -> &'static str {
    match statement {
        PlannedStatement::SetVariable(_) => "SET",
        PlannedStatement::ResetVariable(_) => "RESET",
        PlannedStatement::Prepare(_) => "PREPARE",
        PlannedStatement::Execute(_) => "EXECUTE",
        PlannedStatement::Deallocate(_) => "DEALLOCATE",
        PlannedStatement::TransactionStart(_) => "BEGIN",
        PlannedStatement::TransactionEnd(_) => "COMMIT",
    }
}

/// A statement that was parsed and found to be right, to be executed any number of times, each time at the version that
/// is the newest then.
pub struct Prepared<'a> {
    session: &'a Session,
    text: String,
    statement: Statement,
    parameters: Vec<(String, Option<DataType>)>,
    schema: SchemaRef,
}

impl Prepared<'_> {
    /// The parameters `$1`, `$2`, … and their types: for rows of an INSERT those of the columns, else those that the
    /// statement gives them by what they stand beside; `None` where it does not tell.
    pub fn parameters(&self) -> &[(String, Option<DataType>)] {
        &self.parameters
    }

    /// The columns of the result; none for a statement that returns no rows.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Executes it with values for its parameters, in their order.
    ///
    /// A value may be NULL, of a kindred type (as numbers are) or text that reads as the parameter's type. Errors: as
    /// [`Session::sql`]'s, and Invalid for a wrong number of values or a value of another kind.
    pub async fn execute(&self, values: Vec<ScalarValue>) -> Result<Output> {
        let values = parameters::check(&self.parameters, values)?;
        let values = (!values.is_empty()).then(|| ParamValues::from(values));
        self.session.boxed_execute(&self.text, self.statement.clone(), values).await
    }
}

impl fmt::Debug for Prepared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("statement", &self.statement).finish_non_exhaustive()
    }
}
