//! A statement under way: the version it reads, where its names lead, and its plans.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use datafusion::common::ParamValues;
use datafusion::common::tree_node::TreeNode;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{DdlStatement, LogicalPlan, Statement as PlannedStatement};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, execute_stream};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use futures::future::{BoxFuture, ready};
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;

use super::catalog_provider::WarehouseCatalog;
use super::error::from_datafusion;
use super::load::retry_while;
use super::names::{self, CATALOG, Place, Relation};
use super::namespace::{Attached, StatementPins};
use super::output::Output;
use super::placing::{placed, placed_stream};
use super::session::Session;
use super::statement::{StatementState, cancelled};
use super::warehouse::Warehouse;
use super::{explain, past, planning, uses};
use crate::catalog::{Committed, PinnedSnapshot, Snapshot, Transaction};
use crate::common::sql_type::UTC;
use crate::common::{Error, Result};
use crate::functions::{settings, zones};
use crate::optimizer::union_branches::UnionBranches;
use crate::physical_plan::config::BlueshiftOptions;
use crate::sql;
use crate::sql::ast::ObjectName;

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
    /// The plan that gave the rows of a statement that returns none, for the log.
    pub ran: Mutex<Option<Arc<dyn ExecutionPlan>>>,
}

impl Running<'_> {
    /// See [`StatementState::transaction`].
    pub fn transaction(&self, warehouse: &Warehouse) -> Result<(Transaction, Arc<Snapshot>)> {
        self.statement.transaction(warehouse)
    }

    /// See [`StatementState::commit`].
    pub async fn commit(&self, warehouse: &Warehouse, transaction: Transaction) -> Result<Committed> {
        self.statement.commit(warehouse, transaction).await
    }

    /// Runs what is a transaction of its own again while it fails in a way that another attempt may not; what is part of a
    /// block once.
    pub async fn retry_while<T, F: Future<Output = Result<T>>>(
        &self,
        passing: impl Fn(&Error) -> bool,
        statement: impl FnMut() -> F,
    ) -> Result<T> {
        let alone = self.statement.block.is_none();
        retry_while(|e| alone && passing(e), statement).await
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

    /// The statement has changed temporary tables itself: what it plans from now on sees them so.
    pub fn changed_temporary(&self) {
        if let Some(temp) = self.session.names.temp() {
            self.pins.forget(temp);
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

    /// The logical plan of a query, its tables of the past at the versions that it names; its columns are named as
    /// [`planning::plan`] says.
    pub async fn plan(&self, query: &SqlStatement) -> Result<LogicalPlan> {
        let past = past::settled(self, query).await?;
        let query = past.as_deref().unwrap_or(query);
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
    pub(super) async fn datafusion(&self, text: &str) -> Result<Output> {
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
        *self.ran.lock() = Some(Arc::clone(&physical));
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
        *self.ran.lock() = Some(Arc::clone(&physical));
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
