//! DELETE, UPDATE and TRUNCATE: rows are found by a query over the table's row identities, and are dead or gone with their
//! segments; an UPDATE adds them anew.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Int64Type};
use bytes::Bytes;
use datafusion::common::{DataFusionError, ParamValues};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident as SqlIdent, ObjectName as SqlName, Query, SelectItem, SetExpr, Statement as SqlStatement, TableFactor,
    visit_expressions_mut,
};
use futures::StreamExt;
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::catalog_provider::WITH_ROWS;
use super::coerce::Refused;
use super::error::from_datafusion;
use super::load::Load;
use super::names::{self, CATALOG, Place};
use super::output::Output;
use super::placing::placed;
use super::running::Running;
use crate::catalog::{
    Blob, NewDeleteVector, PinnedSnapshot, Read, RowsRead, SegmentId, SegmentRef, TableState, Transaction,
    delete_vector,
};
use crate::common::{Error, Result, SqlState};
use crate::physical_plan::rows::{ROW_NAME, row_place};
use crate::sql::ast::{Delete, Ident, InsertValue, ObjectName, Update};
use crate::sql::{self, Statement};
use crate::system;

/// Deletes the rows of a table that a condition finds, all in one commit.
///
/// Conflict when another transaction changed the same segments meanwhile; the statement can then be run again.
pub(super) async fn delete(running: &Running<'_>, delete: &Delete, parameters: Option<ParamValues>) -> Result<Output> {
    let Some(rows) = &delete.rows else {
        let (rows, notices) = clear(running, &delete.table).await?;
        return Ok(Output::done(format!("DELETE {rows}"), Some(rows)).with_notices(notices));
    };
    let target = Target::find(running, &delete.table).await?;
    let found = Found::default();
    let mut query = rows.clone();
    target.fill(running, delete.alias.as_ref(), &mut query, Vec::new())?;
    let mut rows = target.rows(running, query, parameters, &found).await?;
    while let Some(batch) = rows.next().await {
        batch.map_err(from_datafusion)?;
    }
    let found = found.take();
    let count = found.values().map(RoaringBitmap::len).sum();
    let mut notices = Vec::new();
    if count > 0 {
        let mut transaction = target.transaction(running)?;
        target.remove(found, &mut transaction).await?;
        running.check_cancelled()?;
        notices = target.commit(running, transaction).await?;
    }
    Ok(Output::done(format!("DELETE {count}"), Some(count)).with_notices(notices))
}

/// Gives the rows of a table that a condition finds other values, all in one commit: they are dead, and added anew where their
/// distribution and sort keys belong.
///
/// Of a row that FROM finds several times one of the values is taken (Redshift manual, "UPDATE"). Conflict as for [`delete`].
pub(super) async fn update(running: &Running<'_>, update: &Update, parameters: Option<ParamValues>) -> Result<Output> {
    let target = Target::find(running, &update.table).await?;
    let values = target.values(update)?;
    let mut query = update.rows.clone();
    target.fill(running, update.alias.as_ref(), &mut query, values)?;
    let found = Found::default();
    let rows = target.rows(running, query, parameters, &found).await?;
    let mut transaction = target.transaction(running)?;
    let columns = (0..target.table.def.columns.len()).collect();
    let load = Load::new(&target.place.warehouse, &target.table, columns, &transaction)?.in_place()?;
    let load = load.in_zone(running.zone()?);
    load.take(vec![rows]).await.map_err(|refused| match refused {
        Refused::Value(misfit) => {
            let name = target.table.def.columns.get(misfit.column).map(|column| column.name.as_str());
            let set = update.assignments.iter().find(|(column, _)| Some(column.value.as_str()) == name);
            names::at(misfit.error, set.map_or_else(|| update.table.base(), |(column, _)| column))
        }
        Refused::Other(error) => error,
    })?;
    let found = found.take();
    let count = found.values().map(RoaringBitmap::len).sum();
    let mut notices = Vec::new();
    if count > 0 {
        target.remove(found, &mut transaction).await?;
        notices = load.finish(&mut transaction).await?.1;
        running.check_cancelled()?;
        notices.extend(target.commit(running, transaction).await?);
    }
    Ok(Output::done(format!("UPDATE {count}"), Some(count)).with_notices(notices))
}

/// The types of a statement's parameters, as far as they are known.
pub(super) async fn parameters(
    running: &Running<'_>,
    statement: &Statement,
) -> Result<HashMap<String, Option<DataType>>> {
    let (target, mut query, alias, values) = match statement {
        Statement::Delete(Delete { table, alias, rows: Some(rows) }) => {
            (Target::find(running, table).await?, rows.clone(), alias.as_ref(), Vec::new())
        }
        Statement::Update(update) => {
            let target = Target::find(running, &update.table).await?;
            let values = target.values(update)?;
            (target, update.rows.clone(), update.alias.as_ref(), values)
        }
        _ => return Ok(HashMap::new()),
    };
    target.fill(running, alias, &mut query, values)?;
    running.plan(&SqlStatement::Query(query)).await?.get_parameter_types().map_err(from_datafusion)
}

/// Removes all rows of a table at once.
pub(super) async fn truncate(running: &Running<'_>, table: &ObjectName) -> Result<Output> {
    let (_, notices) = clear(running, table).await?;
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

/// Drops all segments that the table has in the statement's version; returns how many rows lived in them, and notices.
async fn clear(running: &Running<'_>, name: &ObjectName) -> Result<(u64, Vec<String>)> {
    let target = Target::find(running, name).await?;
    if let Some(reads) = &running.statement.reads {
        // Rows that others add meanwhile would have gone, too.
        let (base, table, name) = (Arc::clone(target.pin.base()), target.table.def.id, target.table.def.name.clone());
        reads.note(&target.place.warehouse, Read { base, table, name, rows: Arc::new(AllRows) });
    }
    let mut notices = Vec::new();
    let segments: Vec<_> = target.table.segments.iter().map(|s| (s.id, s.deleted)).collect();
    if !segments.is_empty() {
        let mut transaction = target.transaction(running)?;
        transaction.remove(&target.table.def, segments);
        notices = target.commit(running, transaction).await?;
    }
    Ok((target.table.live_rows(), notices))
}

/// Of a statement that reads none and is about all.
#[derive(Debug)]
struct AllRows;

impl RowsRead for AllRows {
    fn may_hold(&self, _: &SegmentRef) -> bool {
        true
    }
}

/// The rows that a statement has found, by segment.
#[derive(Debug, Clone, Default)]
struct Found(Arc<Mutex<BTreeMap<SegmentId, RoaringBitmap>>>);

impl Found {
    /// Notes rows; of each whether it was found for the first time.
    fn note(&self, identities: &[i64]) -> BooleanArray {
        let mut found = self.0.lock();
        let first = identities.iter().map(|identity| {
            let (segment, position) = row_place(*identity);
            found.entry(segment).or_default().insert(position)
        });
        first.collect::<Vec<bool>>().into()
    }

    fn take(&self) -> BTreeMap<SegmentId, RoaringBitmap> {
        std::mem::take(&mut self.0.lock())
    }
}

/// The table that a statement changes, at the version that it reads.
struct Target {
    place: Place,
    pin: PinnedSnapshot,
    table: Arc<TableState>,
    name: ObjectName,
}

impl Target {
    async fn find(running: &Running<'_>, name: &ObjectName) -> Result<Self> {
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

    fn transaction(&self, running: &Running<'_>) -> Result<Transaction> {
        match &running.statement.block {
            Some(block) => block.statement(&self.place.warehouse),
            None => Ok(self.place.warehouse.inner.catalog.begin_at(running.statement.user, &self.pin)),
        }
    }

    /// Returns notices.
    async fn commit(&self, running: &Running<'_>, transaction: Transaction) -> Result<Vec<String>> {
        let committed = running.commit(&self.place.warehouse, transaction).await;
        let committed = committed.map_err(|e| names::at(e, self.name.base()))?;
        Ok(committed.demoted.iter().map(super::verify::demoted).collect())
    }

    /// What an UPDATE gives each column of a row that it finds.
    fn values(&self, update: &Update) -> Result<Vec<Expr>> {
        let def = &self.table.def;
        let called = update.alias.as_ref().unwrap_or_else(|| update.table.base());
        let mut values: Vec<Expr> = def
            .columns
            .iter()
            .map(|c| [called.value.as_str(), &c.name].map(|name| SqlIdent::with_quote('"', name)).to_vec())
            .map(Expr::CompoundIdentifier)
            .collect();
        for (column, value) in &update.assignments {
            let found = def.columns.iter().position(|c| c.name == column.value);
            let ordinal = found.ok_or_else(|| names::no_such_column(column, def))?;
            if def.columns[ordinal].identity.is_some_and(|identity| !identity.by_default) {
                let error = Error::invalid(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    format!("column \"{}\" is an IDENTITY column, whose values cannot be set", column.value),
                );
                return Err(names::at(error.with_hint("leave it out"), column));
            }
            values[ordinal] = match (value, &def.columns[ordinal].default_sql) {
                (InsertValue::Expr(expr), _) => expr.clone(),
                (InsertValue::Default(_), Some(default)) => sql::parse_expr(default)?,
                (InsertValue::Default(_), None) => sql::parse_expr("NULL")?,
            };
        }
        Ok(values)
    }

    /// Runs a query that [`Target::fill`] made. Its identities go into `found`; its other columns are returned, of each row the
    /// first that the query gives.
    async fn rows(
        &self,
        running: &Running<'_>,
        query: Box<Query>,
        parameters: Option<ParamValues>,
        found: &Found,
    ) -> Result<SendableRecordBatchStream> {
        let statement = SqlStatement::Query(query);
        let mut plan = running.plan(&statement).await?;
        if let Some(parameters) = parameters {
            plan = plan.with_param_values(parameters).map_err(from_datafusion)?;
        }
        let stream = running.run(&plan).await.map_err(|e| placed(e, &statement))?;
        let schema = stream.schema();
        let others: Vec<usize> = (1..schema.fields().len()).collect();
        let schema = Arc::new(schema.project(&others)?);
        let (found, own) = (found.clone(), Arc::clone(&schema));
        let rows = stream.map(move |batch| {
            let batch =
                batch.map_err(|e| DataFusionError::External(Box::new(placed(from_datafusion(e), &statement))))?;
            let first = found.note(batch.column(0).as_primitive::<Int64Type>().values());
            let rest = RecordBatch::try_new_with_options(
                Arc::clone(&own),
                batch.columns()[1..].to_vec(),
                &RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
            )?;
            Ok(if first.true_count() == rest.num_rows() { rest } else { filter_record_batch(&rest, &first)? })
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    /// Makes the query one of the table's row identities and of `others`; `alias` is what the table is called in it.
    fn fill(&self, running: &Running<'_>, alias: Option<&Ident>, query: &mut Query, others: Vec<Expr>) -> Result<()> {
        let called = alias.unwrap_or_else(|| self.name.base()).value.clone();
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
            let row = Expr::CompoundIdentifier(vec![quoted(&called), quoted(ROW_NAME)]);
            let named = |(at, expr)| SelectItem::ExprWithAlias { expr, alias: quoted(&format!("_{at}")) };
            select.projection = [row].into_iter().chain(others).enumerate().map(named).collect();
            if let Some(TableFactor::Table { name, .. }) = select.from.first_mut().map(|from| &mut from.relation) {
                *name = SqlName::from(vec![quoted(database), quoted(&schema), quoted(&rows)]);
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

    /// Says that rows are dead; segments of which none lives any more go.
    async fn remove(&self, mut found: BTreeMap<SegmentId, RoaringBitmap>, transaction: &mut Transaction) -> Result<()> {
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
        if !gone.is_empty() {
            transaction.remove(def, gone);
        }
        if !thinned.is_empty() {
            transaction.set_delete_vectors(def, thinned);
            self.place.warehouse.store_large(transaction).await?;
        }
        Ok(())
    }
}
