//! A session: statements one after another, each at a version of its own.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering as AtomicOrdering};

use datafusion::common::ParamValues;
use datafusion::execution::context::SessionContext;
use datafusion::execution::{FunctionRegistry, SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::appender::Appended;
use super::block::{Before, Block, aborted};
use super::catalog_provider::{StatementCatalogs, WarehouseCatalog};
use super::coerce::Coercion;
use super::describe::Described;
use super::error::from_datafusion;
use super::extension::planning_state;
use super::identity::Generate;
use super::load::Load;
use super::names::{CATALOG, Place};
use super::namespace::{Attached, Namespace, PlanPins, StatementPins};
use super::output::Output;
use super::prepare::PreparedStatements;
use super::prepared::Prepared;
use super::progress::Ongoing;
use super::query_log::Logged;
use super::running::Running;
use super::statement::{CancelToken, StatementState};
use super::warehouse::Warehouse;
use super::{
    alter, analyze, attach, backup, clone, comments, copy, ddl, delete, describe, explain, information, insert, merge,
    parameters, planning, prepare, retention, show, statistics, summarize, unload, vacuum, verify, views,
};
use crate::catalog::{PinnedSnapshot, Snapshot, Source};
use crate::common::{Error, ErrorKind, Result, SqlState};
use crate::functions::SessionNames;
use crate::functions::settings::{self, Setting};
use crate::physical_plan::config::BlueshiftOptions;
use crate::sql::ast::{Begin, Insert, ObjectName};
use crate::sql::{self, Statement, StatementText};
use crate::system::{TransferKind, TransferState};

/// How often a change is tried when others change the same rows.
const CHANGES: usize = 50;

/// A session of one user on one warehouse.
///
/// Each statement reads one version of the warehouse, the newest when it began. Statements that change something have
/// done so, durably, when [`Session::sql`] returns; a query's rows are computed while they are read.
pub struct Session {
    warehouse: Warehouse,
    pub(super) context: SessionContext,
    /// What it sees beside the warehouse.
    pub(super) names: Arc<Namespace>,
    pub(super) prepared: PreparedStatements,
    process: u32,
    /// The settings of the warehouse's runtime.
    runtime: Arc<Vec<Setting>>,
    running: Mutex<Vec<CancelToken>>,
    /// Held by a statement of a transaction block: they run one after the other.
    turn: tokio::sync::Mutex<()>,
    /// The number of the statement before; -1 of the first.
    last_query: AtomicI64,
    /// The number of the last COPY, and how many rows it loaded.
    pub(super) last_copy: Mutex<(i64, i64)>,
    /// The number of the last UNLOAD that succeeded, -1 where there is none, and its rows.
    last_unload: Mutex<(i64, i64)>,
    /// Hears what long statements have to say while they run.
    listener: Mutex<Option<Listener>>,
}

type Listener = Arc<dyn Fn(&str) + Send + Sync>;

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
            prepared: PreparedStatements::default(),
            process,
            runtime,
            running: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            last_query: AtomicI64::new(-1),
            last_copy: Mutex::new((-1, 0)),
            last_unload: Mutex::new((-1, 0)),
            listener: Mutex::default(),
        }
    }

    /// Has `listener` hear at once what statements say before they have ended, such as how long an ALTER will take. Otherwise
    /// that is among [`Output::notices`].
    pub fn on_notice(&self, listener: impl Fn(&str) + Send + Sync + 'static) {
        *self.listener.lock() = Some(Arc::new(listener));
    }

    /// Says something at once; gives it back where nobody listens.
    pub(super) fn tell(&self, notice: String) -> Option<String> {
        let listener = self.listener.lock().clone();
        match listener {
            Some(listener) => {
                listener(&notice);
                None
            }
            None => Some(notice),
        }
    }

    /// Notes an UNLOAD that has succeeded, for `pg_last_unload_count()`.
    pub(super) fn unloaded(&self, query: u64, rows: u64) {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        *self.last_unload.lock() = (signed(query), signed(rows));
    }

    /// The loads, appends and unloads that this session is at.
    pub fn transfers(&self) -> Vec<TransferState> {
        let own = |transfer: &TransferState| i64::from(transfer.process) == i64::from(self.process);
        self.warehouse.transfers().into_iter().filter(own).collect()
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
        self.boxed_execute(text, self.read(sql::parse_one(text))?, None).await
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
        self.boxed_execute(statement.text, self.read(statement.parse())?, None).await
    }

    /// Adds the rows of `streams` to a table, all in one commit, and returns how many there were. Columns are taken by
    /// position and cast as INSERT does. Streams are read at the same time.
    ///
    /// An IDENTITY column gets values where it is NULL, and where streams have one column less than the table and leave
    /// it out; a value for it is refused unless it is GENERATED BY DEFAULT.
    ///
    /// `table` is a name as SQL writes it. In a transaction block the streams must not wait for statements of the same session,
    /// which would wait for the load. Errors: as INSERT's; Conflict when the table was altered meanwhile; Unavailable once it is
    /// [cancelled](Session::cancel).
    pub async fn load(&self, table: &str, streams: Vec<SendableRecordBatchStream>) -> Result<u64> {
        self.load_once(table, streams, None).await.map(|done| done.rows)
    }

    /// The same; nothing where the table remembers a load under `key`.
    pub(super) async fn load_once(
        &self,
        table: &str,
        streams: Vec<SendableRecordBatchStream>,
        key: Option<&str>,
    ) -> Result<Appended> {
        let Some(block) = self.names.block() else {
            let loaded = self.load_as(&self.begin().await?, table, streams, key).await;
            // Another has come first under the key.
            return match (loaded, key) {
                (Err(e), Some(key)) if e.kind() == ErrorKind::Conflict => {
                    self.appended(&self.begin().await?, table, key).await?.ok_or(e)
                }
                (loaded, _) => loaded,
            };
        };
        let _turn = self.turn.lock().await;
        let halfway = block.running();
        let loaded = async {
            usable(&block)?;
            self.load_as(&self.begin().await?, table, streams, key).await
        };
        halfway.end(loaded.await)
    }

    async fn load_as(
        &self,
        running: &Running<'_>,
        table: &str,
        streams: Vec<SendableRecordBatchStream>,
        key: Option<&str>,
    ) -> Result<Appended> {
        let name = sql::parse_name(table)?;
        let place = running.place(&name).await?;
        place.check_writable(&name)?;
        let warehouse = &place.warehouse;
        let (transaction, snapshot) = running.transaction(warehouse)?;
        let table = place.table(&snapshot, &name)?;
        if let Some(source) = key.and_then(|key| table.loads.find(key, None)) {
            return Ok(Appended { rows: source.rows, repeated: true });
        }
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
        let load = load.of_statement(running.statement.clone(), running.prunes());
        let load = load.generating(Generate::Nulls).in_zone(running.zone()?);
        let ongoing = Ongoing::begin(running, TransferKind::Load, &table.def.name);
        let watched = streams.into_iter().map(|stream| ongoing.progress.watched(running.statement.govern(stream)));
        load.take(watched.collect()).await?;
        let loaded_us = warehouse.inner.catalog.options().clock.now_us();
        let source = |key: &str| Source { name: key.into(), identity: None, rows: load.rows(), loaded_us };
        let sources = key.map(source).into_iter().collect();
        let (rows, _) = load.from(sources, true).commit(transaction).await?;
        Ok(Appended { rows, repeated: false })
    }

    /// What was appended to the table under `key`, as far as it is remembered.
    async fn appended(&self, running: &Running<'_>, table: &str, key: &str) -> Result<Option<Appended>> {
        let name = sql::parse_name(table)?;
        let place = running.place(&name).await?;
        place.warehouse.inner.catalog.refresh().await?;
        let (_, snapshot) = running.transaction(&place.warehouse)?;
        let found = place.table(&snapshot, &name)?.loads.find(key, None).map(|source| source.rows);
        Ok(found.map(|rows| Appended { rows, repeated: true }))
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
            Statement::Insert(_) | Statement::Delete(_) | Statement::Update(_) | Statement::Merge(_) => {
                (prepare::types(&self.begin().await?, &statement).await?, none)
            }
            Statement::Explain(explain) => {
                (prepare::types(&self.begin().await?, &explain.statement).await?, explain::schema())
            }
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
    pub(super) fn boxed_execute<'f>(
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
        match statement {
            Statement::Explain(explain) if explain.analyze => {
                let start = std::time::Instant::now();
                let done = self.change_or_read(query, explain.statement.clone(), parameters).await?;
                let state = self.context.state();
                let settings = state.config_options().extensions.get::<BlueshiftOptions>().cloned().unwrap_or_default();
                explain::changes::ran(&explain, &done, start.elapsed(), &settings)
            }
            statement => self.change_or_read(query, statement, parameters).await,
        }
    }

    async fn change_or_read(
        &self,
        query: u64,
        mut statement: Statement,
        mut parameters: Option<ParamValues>,
    ) -> Result<Output> {
        if let Statement::Query(called) = &statement
            && let Some((change, given)) = self.prepared.called(called)
        {
            let values = async {
                let running = self.begin_as(query, self.pin().await?, self.names.block())?;
                prepare::values(&running, &change, given).await
            };
            parameters = self.read(values.await)?;
            statement = change.statement.clone();
        }
        match (&statement, self.names.block()) {
            (Statement::Begin(begin), None) => self.begin_block(begin),
            (Statement::Commit | Statement::Rollback | Statement::Lock(_), None) => Err(no_block(&statement)),
            (_, None) => self.alone(query, statement, parameters).boxed().await,
            (_, Some(_)) => {
                let _turn = self.turn.lock().await;
                // The one before it may have ended the block.
                match self.names.block() {
                    Some(block) => self.within(block, query, statement, parameters).boxed().await,
                    None => Err(no_block(&statement)),
                }
            }
        }
    }

    fn begin_block(&self, begin: &Begin) -> Result<Output> {
        let before = Before {
            options: self.context.state_ref().read().config_options().as_ref().clone(),
            path: self.names.set_to(),
            foreign: self.names.foreign.all(),
        };
        let block = Block::begin(begin, self.warehouse.owner(), self.is_serializable(), before);
        self.names.set_block(Some(Arc::new(block)));
        Ok(Output::done("BEGIN", None))
    }

    /// Gives back what a block that takes no effect has changed of the session.
    fn restore(&self, before: &Before) {
        let state = self.context.state_ref();
        let mut state = state.write();
        *state.config_mut().options_mut() = before.options.clone();
        // Functions keep the settings that they were made with.
        let remade = |function: &Arc<ScalarUDF>| function.inner().with_updated_config(&before.options).map(Arc::new);
        let functions: Vec<Arc<ScalarUDF>> = state.scalar_functions().values().filter_map(remade).collect();
        for function in functions {
            if let Err(e) = state.register_udf(function) {
                tracing::warn!("a function keeps the settings of a transaction that was rolled back: {e}");
            }
        }
        drop(state);
        self.names.set_path(before.path.clone());
        self.names.foreign.restore(&before.foreign);
    }

    /// A statement of a block, which fails with it.
    async fn within(
        &self,
        block: Arc<Block>,
        query: u64,
        statement: Statement,
        parameters: Option<ParamValues>,
    ) -> Result<Output> {
        match &statement {
            Statement::Rollback => {
                self.names.set_block(None);
                self.restore(&block.before);
                return Ok(Output::done("ROLLBACK", None));
            }
            Statement::Commit => {
                self.names.set_block(None);
                let outcome = block.commit().await.map_err(|e| {
                    if !e.outcome_is_open {
                        self.restore(&block.before);
                    }
                    e.error
                });
                return outcome.map(|()| Output::done("COMMIT", None));
            }
            _ => {}
        }
        let halfway = block.running();
        let outcome = async {
            usable(&block)?;
            check_within(&statement)?;
            let running = self.begin_as(query, block.pin(&self.warehouse).await?, Some(Arc::clone(&block)))?;
            self.run(&running, statement, parameters).await
        };
        halfway.end(outcome.await)
    }

    /// A statement that is a transaction of its own.
    async fn alone(&self, query: u64, statement: Statement, parameters: Option<ParamValues>) -> Result<Output> {
        let statement = match statement {
            Statement::Insert(insert) if !insert.source.reads_tables() => {
                return self.append(query, insert, parameters).await;
            }
            Statement::Delete(_) | Statement::Update(_) | Statement::Merge(_) | Statement::Truncate(_) => {
                return self.change(query, statement, parameters).await;
            }
            Statement::Insert(_) if self.is_serializable() => return self.change(query, statement, parameters).await,
            other => other,
        };
        let running = self.begin_as(query, self.warehouse.pin_newest().await?, None)?;
        self.run(&running, statement, parameters).await
    }

    async fn run(
        &self,
        running: &Running<'_>,
        statement: Statement,
        parameters: Option<ParamValues>,
    ) -> Result<Output> {
        let output = match statement {
            Statement::Query(query) => prepare::query(running, &query, parameters).await,
            Statement::Explain(explain) => explain::changes::planned(running, &explain, parameters).await,
            Statement::Prepare(prepare) => prepare::prepare(running, *prepare).await,
            Statement::CreateTable(create) => ddl::create_table(running, *create).await,
            Statement::CloneTable(create) => clone::clone_table(running, *create).await,
            Statement::CreateFrom(create) => copy::create_from(running, *create).await,
            Statement::AlterConstraint(alter) => verify::alter(running, alter).await,
            Statement::AlterTable(alter) => alter::alter_table(running, *alter).await,
            Statement::SetSlices { slices, position } => alter::set_slices(running, slices, position).await,
            Statement::AlterRetention(alter) => retention::alter(running, &alter).await,
            Statement::DropTable(drop) => ddl::drop_table(running, drop).await,
            Statement::CreateView(create) => views::create_view(running, *create).await,
            Statement::DropView(drop) => views::drop_view(running, drop).await,
            Statement::Comment(comment) => comments::comment(running, comment).await,
            Statement::Attach(attach) => attach::attach(running, attach).await,
            Statement::Detach(detach) => attach::detach(running, detach),
            Statement::SetSearchPath(path) => {
                self.names.set_path(path.map(|path| path.into_iter().map(|schema| schema.value).collect()));
                Ok(Output::done("SET", None))
            }
            Statement::Show(what) => show::show(running, what).await,
            Statement::ShowParameter(name) => {
                let found = settings::find(running.state.config_options(), name)?;
                Ok(Output::text("SHOW", name, &found.value.unwrap_or_default()))
            }
            Statement::CreateSchema(create) => ddl::create_schema(running, create).await,
            Statement::DropSchema(drop) => ddl::drop_schema(running, drop).await,
            Statement::Insert(insert) => insert::insert(running, insert, parameters).await,
            Statement::Delete(delete) => delete::delete(running, &delete, parameters).await,
            Statement::Update(update) => delete::update(running, &update, parameters).await,
            Statement::Merge(merge) => merge::merge(running, &merge, parameters).await,
            Statement::Truncate(table) => delete::truncate(running, &table).await,
            Statement::Lock(tables) => delete::lock(running, &tables).await,
            Statement::Begin(_) | Statement::Commit | Statement::Rollback => {
                Err(Error::internal("a block begins and ends elsewhere"))
            }
            Statement::Copy(copy) => copy::copy(running, *copy).await,
            Statement::Unload(statement) => unload::unload(running, *statement).await,
            Statement::Backup(location) => backup::backup(running, &location).await,
            Statement::Restore(wanted) => backup::restore(running, &wanted).await,
            Statement::Vacuum(statement) => vacuum::vacuum(running, &statement).await,
            Statement::Analyze(statement) => statistics::analyze(running, statement).await,
            Statement::AnalyzeCompression(statement) => analyze::compression(running, statement).await,
            Statement::ShowTable { name } => ddl::show_table(running, &name).await,
            Statement::Describe { name } => describe::describe(running, &name).await,
            Statement::Summarize(relation) => summarize::summarize(running, relation).await,
            Statement::DataFusion { sql, position } => running.datafusion(&sql).await.map_err(|e| match e.position() {
                Some(at) if position.line > 1 || position.column > 1 => {
                    let column = if at.line == 1 { at.column + position.column - 1 } else { at.column };
                    e.with_position(at.line + position.line - 1, column)
                }
                _ => e,
            }),
        };
        let ran = running.ran.lock().take();
        output.map(|output| output.having_run(ran))
    }

    /// A statement that changes rows in a transaction of its own: when others got there first it runs again, on what they
    /// left.
    async fn change(&self, query: u64, statement: Statement, parameters: Option<ParamValues>) -> Result<Output> {
        let mut attempt = 1;
        loop {
            // Those that have met a conflict go one after the other, so that each gets on.
            let _turn = match attempt {
                1 => None,
                _ => Some(self.warehouse.inner.contended.lock().await),
            };
            let running = self.begin_as(query, self.warehouse.pin_newest().await?, None)?;
            match self.run(&running, statement.clone(), parameters.clone()).await {
                Err(e) if e.kind() == ErrorKind::Conflict && attempt < CHANGES => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    /// A statement's beginning: the newest version is found and pinned.
    async fn begin(&self) -> Result<Running<'_>> {
        self.begin_at(self.pin().await?)
    }

    /// The version that the session reads.
    async fn pin(&self) -> Result<PinnedSnapshot> {
        match self.names.block() {
            Some(block) => block.pin(&self.warehouse).await,
            None => self.warehouse.pin_newest().await,
        }
    }

    /// Whether transactions are serializable unless they say otherwise.
    fn is_serializable(&self) -> bool {
        let state = self.context.state();
        state.config_options().extensions.get::<BlueshiftOptions>().is_some_and(|o| o.isolation == "serializable")
    }

    /// What was read of a statement; a block does not outlive what is none.
    fn read<T>(&self, read: Result<T>) -> Result<T> {
        read.inspect_err(|_| self.names.block().iter().for_each(|block| block.fail()))
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
            match insert::insert(&self.begin_as(query, known, None)?, insert.clone(), parameters.clone()).await {
                Err(e) if e.kind() == ErrorKind::Invalid => {
                    if target(&*self.warehouse.pin_newest().await?) == Some(before) {
                        return Err(e);
                    }
                }
                outcome => return outcome,
            }
        }
        insert::insert(&self.begin_as(query, self.warehouse.pin_newest().await?, None)?, insert, parameters).await
    }

    pub(super) fn begin_at(&self, pin: PinnedSnapshot) -> Result<Running<'_>> {
        self.begin_as(self.warehouse.next_query(), pin, self.names.block())
    }

    /// `block` is the one that the statement is part of, whatever the session begins or ends meanwhile.
    fn begin_as(&self, query: u64, pin: PinnedSnapshot, block: Option<Arc<Block>>) -> Result<Running<'_>> {
        let mut statement =
            StatementState::new(query, self.process, self.warehouse.owner(), &self.warehouse.inner.runtime)?;
        statement.block = block;
        statement.reads = match &statement.block {
            Some(block) => block.reads.clone(),
            None => self.is_serializable().then(Arc::default),
        };
        let mut running = self.running.lock();
        running.retain(|token| !token.is_last());
        running.push(statement.cancel.clone());
        drop(running);
        let base = self.context.state();
        let pins = StatementPins::of(self.warehouse.clone(), pin.clone()).within(statement.block.clone());
        let pins = pins.noting(statement.reads.clone());
        let pins = Arc::new(pins);
        let mut config = base.config().clone().with_extension(Arc::clone(&pins));
        if statement.reads.is_some()
            && let Some(options) = config.options_mut().extensions.get_mut::<BlueshiftOptions>()
        {
            // What a constraint lets a plan leave out is not noted as read.
            options.constraints = false;
        }
        config.options_mut().extensions.insert(PlanPins::of(Arc::clone(&pins)));
        config.options_mut().extensions.insert(self.session_names(&pin));
        information::ours(config.options_mut());
        let mut state = SessionStateBuilder::new_from_existing(base.clone())
            .with_runtime_env(Arc::clone(&statement.runtime))
            .with_config(config)
            .build();
        let catalog = self.catalog(&base).at(Arc::clone(&pins));
        state.register_catalog_list(Arc::new(StatementCatalogs::new(Arc::clone(base.catalog_list()), catalog)));
        Ok(Running { session: self, warehouse: &self.warehouse, statement, pin, pins, state, ran: Mutex::default() })
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
            last_copy: *self.last_copy.lock(),
            last_unload: *self.last_unload.lock(),
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

    pub(super) fn place_among(&self, name: &ObjectName, snapshot: &Snapshot) -> Place {
        let schemas = match name.schema() {
            Some(schema) => vec![schema.value.clone()],
            None => self.names.schemas(snapshot),
        };
        Place { warehouse: self.warehouse.clone(), schemas, temporary: false, read_only: None }
    }

    /// Plans what outlives the statement, a view or a prepared statement: nothing in such a plan holds a version.
    pub(super) fn lasting_state(&self) -> SessionState {
        let base = self.context.state();
        let mut state = base.clone();
        information::ours(state.config_mut().options_mut());
        let mut catalog = self.catalog(&base);
        // Names lead to what a transaction has made; that the plan reads it then is for the statements that run it.
        if let Some(block) = self.names.block()
            && let Some(pin) = block.known(&self.warehouse)
        {
            let reads = block.reads.clone();
            let pins = StatementPins::of(self.warehouse.clone(), pin).within(Some(block)).noting(reads);
            catalog = catalog.at(Arc::new(pins));
        }
        state.register_catalog_list(Arc::new(StatementCatalogs::new(Arc::clone(base.catalog_list()), catalog)));
        state
    }

    /// The warehouse as the session's statements see it, at the newest version.
    pub(super) fn catalog(&self, base: &SessionState) -> WarehouseCatalog {
        WarehouseCatalog::latest(self.warehouse.clone())
            .with_names(Arc::clone(&self.names))
            .with_planner(Arc::new(base.clone()))
    }
}

/// Invalid once a statement of the block has failed.
fn usable(block: &Block) -> Result<()> {
    if block.has_failed() { Err(aborted()) } else { Ok(()) }
}

/// Invalid for a statement that cannot be part of a transaction.
fn check_within(statement: &Statement) -> Result<()> {
    let refused = |what: &str, hint: &str| {
        let message = format!("{what} cannot run inside a transaction block");
        Err(Error::invalid(SqlState::ACTIVE_TRANSACTION, message).with_hint(hint))
    };
    match statement {
        Statement::Begin(_) => {
            let error = Error::invalid(SqlState::ACTIVE_TRANSACTION, "there is already a transaction in progress");
            Err(error.with_hint("COMMIT or ROLLBACK it first"))
        }
        Statement::Vacuum(_) => refused("VACUUM", "run it by itself: it commits step by step"),
        Statement::Backup(_) => refused("BACKUP", "run it by itself: it copies a committed version"),
        Statement::Restore(_) => refused("RESTORE", "run it by itself: it commits by itself"),
        Statement::Attach(_) => refused("ATTACH", "attach the database before BEGIN"),
        Statement::Detach(_) => refused("DETACH", "detach the database after COMMIT"),
        _ => Ok(()),
    }
}

/// The error of a statement that is of a transaction, where there is none.
fn no_block(statement: &Statement) -> Error {
    let (message, hint) = match statement {
        Statement::Lock(_) => ("LOCK TABLE can only be used in transaction blocks", "BEGIN a transaction first"),
        Statement::Commit | Statement::Rollback => {
            ("there is no transaction in progress", "each statement outside of BEGIN … COMMIT is committed by itself")
        }
        _ => ("the transaction has ended", "BEGIN another one"),
    };
    Error::invalid(SqlState::NO_TRANSACTION, message).with_hint(hint)
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("warehouse", &self.warehouse).field("process", &self.process).finish()
    }
}
