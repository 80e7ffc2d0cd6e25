//! DELETE, UPDATE and TRUNCATE: rows are found by a query over the table's row identities, and are dead or gone with their
//! segments; an UPDATE adds them anew.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use bytes::Bytes;
use datafusion::common::ParamValues;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident as SqlIdent, ObjectName as SqlName, Query, SelectItem, SetExpr, Statement as SqlStatement, TableFactor,
    visit_expressions_mut,
};
use futures::StreamExt;
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::catalog_provider::{WITH_ROWS, external};
use super::coerce::Refused;
use super::error::from_datafusion;
use super::identity::{Generate, explicit};
use super::insert::as_super;
use super::kept::Thinned;
use super::load::Load;
use super::merge;
use super::names::{self, CATALOG, Place};
use super::output::Output;
use super::placing::{placed, placed_stream};
use super::running::Running;
use crate::catalog::{
    Blob, Changed, ColumnDef, Committed, DeleteVectorRef, Extent, NewDeleteVector, PinnedSnapshot, SegmentId,
    TableState, Transaction, delete_vector,
};
use crate::common::{ColumnId, Error, Result, SqlState, SqlType};
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::rows::{ROW_NAME, row_place};
use crate::sql::ast::{Delete, Ident, InsertValue, ObjectName, Update};
use crate::sql::{self, Statement};
use crate::storage::loader::put_bytes;
use crate::system;

/// Deletes the rows of a table that a condition finds, all in one commit.
///
/// Conflict when another transaction changed the same segments meanwhile; the statement can then be run again.
pub(super) async fn delete(running: &Running<'_>, delete: &Delete, parameters: Option<ParamValues>) -> Result<Output> {
    let Some(rows) = &delete.rows else {
        let (rows, notices) = clear(running, &delete.table, false).await?;
        return Ok(Output::done(format!("DELETE {rows}"), Some(rows)).with_notices(notices));
    };
    let target = Target::find(running, &delete.table).await?;
    let found = Found::default();
    let mut query = rows.clone();
    target.fill(running, delete.alias.as_ref(), &mut query, Vec::new())?;
    let (rows, whole) = target.rows_or_segments(running, query, parameters).await?;
    let mut rows = found.noting(rows);
    while let Some(batch) = rows.next().await {
        batch.map_err(from_datafusion)?;
    }
    let (found, count) = found.take();
    let count = count + whole.iter().map(|s| u64::from(s.rows - s.deleted.map_or(0, |d| d.rows))).sum::<u64>();
    let mut notices = Vec::new();
    let mut transaction = target.transaction(running)?;
    if count > 0 {
        if !whole.is_empty() {
            transaction.remove(&target.table.def, whole.iter().map(|s| (s.id, s.deleted)).collect());
        }
        target.remove(found, Changed::All, false, &mut transaction).await?;
        running.check_cancelled()?;
        notices = target.commit(running, transaction).await?;
    }
    Ok(Output::done(format!("DELETE {count}"), Some(count)).with_notices(notices))
}

/// Gives the rows of a table that a condition finds other values, all in one commit: they are dead, and added anew where their
/// distribution and sort keys belong.
///
/// Of a row that FROM finds several times one of the values is taken, unless the session says that this is an error (Redshift
/// manual, "UPDATE", "error_on_nondeterministic_update"). Conflict as for [`delete`].
pub(super) async fn update(running: &Running<'_>, update: &Update, parameters: Option<ParamValues>) -> Result<Output> {
    let target = Target::find(running, &update.table).await?;
    let (values, generate) = target.values(target.called(update.alias.as_ref()), &update.assignments)?;
    let mut query = update.rows.clone();
    target.fill(running, update.alias.as_ref(), &mut query, values)?;
    let options = running.state.config_options().extensions.get::<BlueshiftOptions>();
    let found = match options.is_some_and(|options| options.error_on_nondeterministic_update) {
        true => Found::once_each(update.table.base()),
        false => Found::default(),
    };
    let rows = found.noting(target.rows(running, query, parameters).await?);
    let transaction = target.transaction(running)?;
    let changed = target.changed(&update.assignments);
    let load = target.load(running, &transaction)?.in_place(changed.clone())?;
    load.take_generating(vec![rows], generate).await.map_err(|refused| target.placed(refused, &update.assignments))?;
    let (found, count) = found.take();
    let mut notices = Vec::new();
    if count > 0 {
        notices = target.replace(running, load, found, changed, None, transaction).await?;
    }
    Ok(Output::done(format!("UPDATE {count}"), Some(count)).with_notices(notices))
}

/// The types of a statement's parameters, as far as they are known.
pub(super) async fn parameters(
    running: &Running<'_>,
    statement: &Statement,
) -> Result<HashMap<String, Option<DataType>>> {
    match query(running, statement).await? {
        Some(query) => running.plan(&SqlStatement::Query(query)).await?.get_parameter_types().map_err(from_datafusion),
        None => Ok(HashMap::new()),
    }
}

/// The query that finds the rows which a statement changes; `None` where it takes all.
pub(super) async fn query(running: &Running<'_>, statement: &Statement) -> Result<Option<Box<Query>>> {
    let (target, mut query, alias, values) = match statement {
        Statement::Delete(Delete { table, alias, rows: Some(rows) }) => {
            (Target::find(running, table).await?, rows.clone(), alias.as_ref(), Vec::new())
        }
        Statement::Update(update) => {
            let target = Target::find(running, &update.table).await?;
            let (values, _) = target.values(target.called(update.alias.as_ref()), &update.assignments)?;
            (target, update.rows.clone(), update.alias.as_ref(), values)
        }
        Statement::Merge(merge) => return merge::query(running, merge).await.map(Some),
        _ => return Ok(None),
    };
    target.fill(running, alias, &mut query, values)?;
    Ok(Some(query))
}

/// Removes all rows of a table at once.
pub(super) async fn truncate(running: &Running<'_>, table: &ObjectName) -> Result<Output> {
    let (_, notices) = clear(running, table, true).await?;
    Ok(Output::done("TRUNCATE TABLE", None).with_notices(notices))
}

/// Has the transaction conflict with any other that changes rows of these tables before it commits. Nobody waits.
pub(super) async fn lock(running: &Running<'_>, tables: &[ObjectName]) -> Result<Output> {
    for name in tables {
        let target = Target::find(running, name).await?;
        let mut transaction = target.transaction(running)?;
        transaction.require_unchanged(&target.table.def);
        target.commit(running, transaction).await?;
    }
    let notice =
        "LOCK keeps nobody waiting: the transaction fails when another changes rows of the table before it commits";
    Ok(Output::done("LOCK TABLE", None).with_notices(vec![notice.into()]))
}

/// Drops all segments that the table has in the statement's version; returns how many rows lived in them, and notices. What they
/// were loaded from is forgotten where `forget` says so.
async fn clear(running: &Running<'_>, name: &ObjectName, forget: bool) -> Result<(u64, Vec<String>)> {
    let target = Target::find(running, name).await?;
    // Rows that others add meanwhile would have gone, too.
    running.statement.note_all(&target.place.warehouse, &target.pin, &target.table.def);
    let mut notices = Vec::new();
    let segments: Vec<_> = target.table.segments.iter().map(|s| (s.id, s.deleted)).collect();
    let mut transaction = target.transaction(running)?;
    let forgets = forget && !target.table.loads.is_empty();
    if forgets {
        // What others load meanwhile stays, and is to be remembered.
        transaction.require_unchanged(&target.table.def);
        transaction.forget_loads(&target.table.def);
    }
    if !segments.is_empty() {
        transaction.remove(&target.table.def, segments);
    }
    if forgets || !target.table.segments.is_empty() {
        notices = target.commit(running, transaction).await?;
    }
    Ok((target.table.live_rows(), notices))
}

/// The rows that a statement has found, by segment.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    rows: Arc<Mutex<BTreeMap<SegmentId, RoaringBitmap>>>,
    /// Names the table, where it is an error to find a row twice.
    once_each: Option<Ident>,
}

impl Found {
    /// Where it is an error to find a row of `table` twice.
    pub fn once_each(table: &Ident) -> Self {
        Found { once_each: Some(table.clone()), ..Found::default() }
    }

    /// Notes rows; of each whether it was found for the first time.
    pub fn note(&self, identities: &[i64]) -> Result<BooleanArray> {
        let mut found = self.rows.lock();
        let first = identities.iter().map(|identity| {
            let (segment, position) = row_place(*identity);
            found.entry(segment).or_default().insert(position)
        });
        let first = BooleanArray::from(first.collect::<Vec<bool>>());
        match &self.once_each {
            Some(table) if first.true_count() < first.len() => Err(found_twice(table)),
            _ => Ok(first),
        }
    }

    /// Notes the rows of a stream by their identities, which come first; its other columns are left, of each row the first that
    /// comes.
    fn noting(&self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let (found, schema) = (self.clone(), without_rows(&rows.schema()));
        let own = Arc::clone(&schema);
        let rows = rows.map(move |batch| {
            let batch = batch?;
            let first = found.note(batch.column(0).as_primitive::<Int64Type>().values()).map_err(external)?;
            let rest = RecordBatch::try_new_with_options(
                Arc::clone(&own),
                batch.columns()[1..].to_vec(),
                &RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
            )?;
            Ok(if first.true_count() == rest.num_rows() { rest } else { filter_record_batch(&rest, &first)? })
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }

    /// The rows, and how many they are.
    pub fn take(&self) -> (BTreeMap<SegmentId, RoaringBitmap>, u64) {
        let rows = std::mem::take(&mut *self.rows.lock());
        let count = rows.values().map(RoaringBitmap::len).sum();
        (rows, count)
    }
}

fn without_rows(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<_> = schema.fields().iter().skip(1).cloned().collect();
    Arc::new(Schema::new(fields))
}

/// Redshift's words.
fn found_twice(table: &Ident) -> Error {
    let error = Error::invalid(SqlState::CARDINALITY_VIOLATION, "Found multiple matches to update the same tuple.");
    names::at(error.with_hint("let the source have one row for each row of the table, as by GROUP BY its key"), table)
}

/// The table that a statement changes, at the version that it reads.
pub(super) struct Target {
    pub place: Place,
    pub pin: PinnedSnapshot,
    pub table: Arc<TableState>,
    pub name: ObjectName,
}

impl Target {
    pub async fn find(running: &Running<'_>, name: &ObjectName) -> Result<Self> {
        if running.session.is_foreign(name, &running.pin) {
            let error = Error::unsupported(format!("\"{}\" is no table of the warehouse", name.unquoted()));
            return Err(names::at(error.with_hint("only tables of warehouses are changed"), name.base()));
        }
        let place = running.place(name).await?;
        place.check_writable(name)?;
        let pin = running.pins.pin(&place.warehouse).await?;
        let found = place.table(&pin, name).map_err(|e| {
            let system = e.state() == SqlState::UNDEFINED_TABLE && system::TABLES.contains(&name.base().value.as_str());
            let error = || Error::unsupported(format!("\"{}\" is a system table, which is only read", name.unquoted()));
            if system { names::at(error(), name.base()) } else { e }
        });
        let table = Arc::clone(found?);
        Ok(Target { place, pin, table, name: name.clone() })
    }

    pub fn transaction(&self, running: &Running<'_>) -> Result<Transaction> {
        match &running.statement.block {
            Some(block) => block.statement(&self.place.warehouse),
            None => Ok(self.place.warehouse.inner.catalog.begin_at(running.statement.user, &self.pin)),
        }
    }

    /// Returns notices.
    pub async fn commit(&self, running: &Running<'_>, transaction: Transaction) -> Result<Vec<String>> {
        self.committed(running.commit(&self.place.warehouse, transaction).await)
    }

    /// Commits that rows are dead and that those of `load` come in; `changed` are the columns in which the dead ones do not come
    /// back as they were, `absent` the key of which others are not to add such rows at the same time. Returns notices.
    pub async fn replace(
        &self,
        running: &Running<'_>,
        load: Load,
        found: BTreeMap<SegmentId, RoaringBitmap>,
        changed: Changed,
        absent: Option<Vec<ColumnId>>,
        mut transaction: Transaction,
    ) -> Result<Vec<String>> {
        let thinned = self.remove(found, changed, load.is_checked().await, &mut transaction).await?;
        let (_, mut notices, kept) = load.replace(&mut transaction, thinned).await?;
        if let Some(key) = absent {
            transaction.require_absent(self.pin.base(), &self.table.def, &key);
        }
        running.check_cancelled()?;
        notices.extend(self.committed(kept.commit(transaction).await)?);
        Ok(notices)
    }

    fn committed(&self, committed: Result<Committed>) -> Result<Vec<String>> {
        let committed = committed.map_err(|e| names::at(e, self.name.base()))?;
        Ok(committed.demoted.iter().map(super::verify::demoted).collect())
    }

    /// The columns that are assigned.
    pub fn changed(&self, assignments: &[(Ident, InsertValue)]) -> Changed {
        let id = |(column, _): &(Ident, InsertValue)| {
            self.table.def.columns.iter().find(|c| c.name == column.value).map(|c| c.id)
        };
        Changed::Columns(assignments.iter().filter_map(id).collect())
    }

    /// What the table's columns are named with.
    pub fn called<'n>(&'n self, alias: Option<&'n Ident>) -> &'n Ident {
        alias.unwrap_or_else(|| self.name.base())
    }

    /// A load of all of its columns.
    pub fn load(&self, running: &Running<'_>, transaction: &Transaction) -> Result<Load> {
        let columns = (0..self.table.def.columns.len()).collect();
        let load = Load::new(&self.place.warehouse, &self.table, columns, transaction)?.in_zone(running.zone()?);
        Ok(load.of_statement(running.statement.clone(), running.prunes()))
    }

    /// The ordinal of a column that a statement names.
    pub fn ordinal(&self, column: &Ident) -> Result<usize> {
        let found = self.table.def.columns.iter().position(|c| c.name == column.value);
        found.ok_or_else(|| names::no_such_column(column, &self.table.def))
    }

    /// What an UPDATE gives each column of a row that it finds, and which rows it gives values of the identity column.
    pub fn values(&self, called: &Ident, assignments: &[(Ident, InsertValue)]) -> Result<(Vec<Expr>, Generate)> {
        let def = &self.table.def;
        let mut values: Vec<Expr> = def
            .columns
            .iter()
            .map(|c| [called.value.as_str(), &c.name].map(|name| SqlIdent::with_quote('"', name)).to_vec())
            .map(Expr::CompoundIdentifier)
            .collect();
        let mut generate = Generate::Nothing;
        for (column, value) in assignments {
            let ordinal = self.ordinal(column)?;
            match (&def.columns[ordinal].identity, value) {
                (Some(_), InsertValue::Default(_)) => generate = Generate::All,
                (Some(identity), InsertValue::Expr(_)) if !identity.by_default => {
                    return Err(names::at(explicit(def), column));
                }
                _ => {}
            }
            values[ordinal] = assigned(&def.columns[ordinal], value)?;
        }
        Ok((values, generate))
    }

    /// The error of a refused value, at the column that an assignment names, else at the table.
    pub fn placed(&self, refused: Refused, assignments: &[(Ident, InsertValue)]) -> Error {
        match refused {
            Refused::Value(misfit) => {
                let name = self.table.def.columns.get(misfit.column).map(|column| column.name.as_str());
                let set = assignments.iter().find(|(column, _)| Some(column.value.as_str()) == name);
                names::at(misfit.error, set.map_or_else(|| self.name.base(), |(column, _)| column))
            }
            Refused::Other(error) => error,
        }
    }

    /// Runs a query that [`Target::fill`] made.
    pub async fn rows(
        &self,
        running: &Running<'_>,
        query: Box<Query>,
        parameters: Option<ParamValues>,
    ) -> Result<SendableRecordBatchStream> {
        let statement = SqlStatement::Query(query);
        let mut plan = running.plan(&statement).await?;
        if let Some(parameters) = parameters {
            plan = plan.with_param_values(parameters).map_err(from_datafusion)?;
        }
        let stream = running.run(&plan).await.map_err(|e| placed(e, &statement))?;
        Ok(placed_stream(stream, &statement))
    }

    /// Makes the query one of the table's row identities and of `others`; `alias` is what the table is called in it.
    pub fn fill(
        &self,
        running: &Running<'_>,
        alias: Option<&Ident>,
        query: &mut Query,
        others: Vec<Expr>,
    ) -> Result<()> {
        let row = row_of(self.called(alias));
        self.select(running, alias, query, [row].into_iter().chain(others).collect())
    }

    /// Makes the query one of `items`, where [`Delete::TARGET`] is the table with its row identities.
    pub fn select(
        &self,
        running: &Running<'_>,
        alias: Option<&Ident>,
        query: &mut Query,
        items: Vec<Expr>,
    ) -> Result<()> {
        let quoted = |name: &str| SqlIdent::with_quote('"', name);
        let schema = match self.place.temporary {
            true => running.session.names.temp_schema().to_string(),
            false => {
                let schema = self.pin.schemas.get(&self.table.def.schema);
                schema.map(|schema| schema.name.clone()).ok_or_else(|| Error::internal("a table has no schema"))?
            }
        };
        let database = self.name.database().map_or(CATALOG, |database| &database.value);
        let rows = format!("{}{WITH_ROWS}", self.table.def.name);
        if let SetExpr::Select(select) = query.body.as_mut() {
            let named = |(at, expr)| SelectItem::ExprWithAlias { expr, alias: quoted(&format!("_{at}")) };
            select.projection = items.into_iter().enumerate().map(named).collect();
            let factors = select.from.iter_mut().flat_map(|from| {
                let joined = from.joins.iter_mut().map(|join| &mut join.relation);
                [&mut from.relation].into_iter().chain(joined)
            });
            for factor in factors {
                if let TableFactor::Table { name, .. } = factor
                    && matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(|i| i.value == Delete::TARGET))
                {
                    *name = SqlName::from(vec![quoted(database), quoted(&schema), quoted(&rows)]);
                }
            }
        }
        // The table is called by its own name alone here, but its columns may be named with its schema, too.
        let own: Vec<&str> = self.name.parts.iter().map(|part| part.value.as_str()).collect();
        if alias.is_none() && own.len() > 1 {
            let _: ControlFlow<()> = visit_expressions_mut(query, |expr| {
                if let Expr::CompoundIdentifier(parts) = expr
                    && parts.len() == own.len() + 1
                    && parts.iter().zip(&own).all(|(part, own)| part.value.eq_ignore_ascii_case(own))
                {
                    parts.drain(..own.len() - 1);
                }
                ControlFlow::Continue(())
            });
        }
        Ok(())
    }

    /// Says that rows are dead, which come back with other values in `changed`; segments of which none lives any more go. Returns
    /// what becomes of segments; with delete vectors that can be read before the commit where they are to be `checked`.
    pub async fn remove(
        &self,
        mut found: BTreeMap<SegmentId, RoaringBitmap>,
        changed: Changed,
        checked: bool,
        transaction: &mut Transaction,
    ) -> Result<Thinned> {
        let segments = self.place.warehouse.inner.segments.at(self.pin.clone());
        let mut gone = Vec::new();
        let mut thinned = Vec::new();
        for segment in self.table.segments.iter() {
            let Some(killed) = found.remove(&segment.id) else { continue };
            let mut dead = killed.clone();
            if let Some(before) = segments.deleted(segment).await? {
                dead |= &*before;
            }
            let rows = dead.len();
            if rows >= u64::from(segment.rows) {
                gone.push((segment.id, segment.deleted));
                continue;
            }
            thinned.push(NewDeleteVector {
                segment: segment.id,
                expected: segment.deleted,
                blob: Blob::Inline(Bytes::from(delete_vector::encode(&dead)?)),
                rows: rows as u32,
                killed: Some(Arc::new(killed)),
            });
        }
        if let Some(segment) = found.keys().next() {
            return Err(Error::internal(format!("rows of segment {} were found, which is not there", segment.0)));
        }
        let def = &self.table.def;
        let mut become_of: Thinned = gone.iter().map(|(id, before)| (*id, (*before, None))).collect();
        if !gone.is_empty() {
            transaction.remove_changed(def, gone, changed.clone());
        }
        if !thinned.is_empty() {
            self.store(&mut thinned, checked, transaction).await?;
            for vector in &thinned {
                if let Blob::Stored(extent) = vector.blob {
                    let now = DeleteVectorRef { extent, rows: vector.rows };
                    become_of.insert(vector.segment, (vector.expected, Some(now)));
                }
            }
            transaction.set_delete_vectors_changed(def, thinned, changed);
        }
        Ok(become_of)
    }

    /// Few bytes stand in the log, more in one object, and such as are `read` before the commit.
    async fn store(&self, thinned: &mut [NewDeleteVector], read: bool, transaction: &Transaction) -> Result<()> {
        let inline = |vector: &NewDeleteVector| match &vector.blob {
            Blob::Inline(bytes) => bytes.clone(),
            Blob::Stored(_) => Bytes::new(),
        };
        let all: Vec<Bytes> = thinned.iter().map(inline).collect();
        if all.iter().map(Bytes::len).sum::<usize>() <= Blob::MAX_INLINE_BYTES && !read {
            return Ok(());
        }
        let objects = Arc::clone(self.place.warehouse.inner.catalog.store().objects());
        let object = put_bytes(&objects, transaction.names().next_object(), all.concat().into()).await?.object;
        let mut offset = 0;
        for (vector, bytes) in thinned.iter_mut().zip(all) {
            let len = bytes.len() as u64;
            vector.blob = Blob::Stored(Extent { object, offset, len });
            offset += len;
        }
        Ok(())
    }
}

/// The identity of a row of the table that is called so.
pub(super) fn row_of(called: &Ident) -> Expr {
    let parts = [called.value.as_str(), ROW_NAME].map(|name| SqlIdent::with_quote('"', name));
    Expr::CompoundIdentifier(parts.to_vec())
}

/// What a statement gives a column, which is SUPER where the column is: text becomes a JSON string.
pub(super) fn assigned(column: &ColumnDef, value: &InsertValue) -> Result<Expr> {
    let value = match (value, &column.default_sql) {
        (InsertValue::Expr(expr), _) => expr.clone(),
        (InsertValue::Default(_), Some(default)) => sql::parse_expr(default)?,
        (InsertValue::Default(_), None) => sql::parse_expr("NULL")?,
    };
    if column.sql_type == SqlType::Super { as_super(value) } else { Ok(value) }
}
