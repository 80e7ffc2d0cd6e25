//! Columns renamed, added, dropped and widened: what rows were stored before stays as it is.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr as DfExpr, LogicalPlanBuilder};
use futures::TryStreamExt;

use super::{Altered, Referring, unchanged};
use crate::catalog::{ColumnDef, EffectiveDist, Snapshot, TableDef, ViewDef};
use crate::common::{ColumnId, DistStyle, Error, Result, Scalar, SqlState, SqlType};
use crate::engine::checks::{Checker, Keyed};
use crate::engine::coerce::coerce_column;
use crate::engine::ddl;
use crate::engine::error::from_datafusion;
use crate::engine::insert::default_of;
use crate::engine::names::{at, no_such_column};
use crate::engine::output::Output;
use crate::engine::running::Running;
use crate::format::column::Column;
use crate::sql::ast::{ColumnSpec, Ident, ObjectName};
use crate::sql::unparse::quote_ident;

pub async fn rename(running: &Running<'_>, table: &ObjectName, from: &Ident, to: &Ident) -> Result<Output> {
    let mut attempts = 0;
    loop {
        let mut altered = Altered::begin(running, table).await?;
        altered.column(from)?;
        if from == to {
            return Ok(unchanged());
        }
        check_new(&altered.def, to)?;
        altered.column(from)?.name = to.value.clone();
        if let Some(output) = altered.commit(running, &mut attempts).await? {
            return Ok(output);
        }
    }
}

/// Rows that are there get what DEFAULT is now, in metadata alone.
pub async fn add(running: &Running<'_>, table: &ObjectName, spec: ColumnSpec) -> Result<Output> {
    ddl::check_defaults(running, std::slice::from_ref(&spec))?;
    let mut attempts = 0;
    loop {
        let mut altered = Altered::begin(running, table).await?;
        check_new(&altered.def, &spec.name)?;
        let version = altered.def.definition_version;
        let mut def = ddl::with_columns(altered.def.clone(), std::slice::from_ref(&spec), 0)?;
        def.definition_version = version;
        let column = def.columns.last_mut().ok_or_else(|| Error::internal("a column is lost"))?;
        column.absent = default_now(running, column).await.map_err(|e| at(e, &spec.name))?;
        if !column.nullable && column.absent.is_none() {
            if altered.table.live_rows() > 0 {
                let message = format!(
                    "column \"{}\" is NOT NULL, but the rows of table \"{}\" would have no value in it",
                    spec.name.value, altered.table.def.name
                );
                let error = Error::invalid(SqlState::NOT_NULL_VIOLATION, message);
                return Err(at(error.with_hint("give it a DEFAULT, or leave NOT NULL out"), &spec.name));
            }
            // Rows that others add meanwhile would have none either; dead ones are not kept for the same reason.
            altered.transaction.require_unchanged(&altered.table.def);
            let dead: Vec<_> = altered.table.segments.iter().map(|s| (s.id, s.deleted)).collect();
            if !dead.is_empty() {
                altered.transaction.remove(&altered.table.def, dead);
            }
        }
        if altered.table.def.encode_auto && !def.encode_auto {
            altered.notices.push("the column names its encoding, so that ENCODE AUTO is off".into());
        }
        altered.def = def;
        if let Some(output) = altered.commit(running, &mut attempts).await? {
            return Ok(output);
        }
    }
}

/// The value of a column's DEFAULT at this moment; `None` is NULL.
pub async fn default_now(running: &Running<'_>, column: &ColumnDef) -> Result<Option<Scalar>> {
    let default = default_of(running, column)?;
    if default.is_volatile() {
        let error = Error::unsupported(format!(
            "the DEFAULT of column \"{}\" is another value in each row, which rows that are there cannot get",
            column.name
        ));
        return Err(error.with_hint("add the column without DEFAULT, and UPDATE the rows"));
    }
    if matches!(&default, DfExpr::Literal(ScalarValue::Null, _)) {
        return Ok(None);
    }
    let plan = LogicalPlanBuilder::empty(true).project([default]).and_then(LogicalPlanBuilder::build);
    let batches: Vec<_> =
        running.run(&plan.map_err(from_datafusion)?).await?.try_collect().await.map_err(from_datafusion)?;
    let value = batches.iter().find(|batch| batch.num_rows() > 0).map(|batch| Arc::clone(batch.column(0)));
    let value: ArrayRef = value.ok_or_else(|| Error::internal("a DEFAULT has no value"))?;
    let value = coerce_column(&value, column, true, "", running.zone()?)?;
    Ok(Column::from_array(&value, column.sql_type)?.scalar(0))
}

pub async fn drop(running: &Running<'_>, table: &ObjectName, name: &Ident, cascade: bool) -> Result<Output> {
    let mut attempts = 0;
    loop {
        let mut altered = Altered::begin(running, table).await?;
        let id = altered.column(name)?.id;
        let wrong = |what: String, hint: &str| {
            Err(at(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, what).with_hint(hint), name))
        };
        let what = format!("column {} of table {}", name.value, altered.table.def.name);
        if altered.def.columns.len() == 1 {
            return wrong(format!("{what} is its only one"), "DROP TABLE, or add another column before");
        }
        if altered.def.dist == DistStyle::Key(id) || altered.def.effective_dist == EffectiveDist::Key(id) {
            return wrong(format!("{what} is its distribution key"), "ALTER TABLE … ALTER DISTSTYLE before");
        }
        if altered.def.sort.as_ref().is_some_and(|key| key.columns.contains(&id)) {
            if !altered.def.sort_auto {
                return wrong(format!("{what} is of its sort key"), "ALTER TABLE … ALTER SORTKEY before");
            }
            // Rows stay in their order; AUTO may choose another.
            altered.def.sort = None;
        }
        if altered.def.retain.as_ref().is_some_and(|retain| retain.column == id) {
            return wrong(format!("{what} tells how old its rows are"), "ALTER TABLE … RETAIN NONE before");
        }
        let several = altered.def.constraints.iter().position(|c| c.columns.contains(&id) && c.columns.len() > 1);
        if let (Some(ordinal), false) = (several, cascade) {
            let constraint = altered.def.constraint_names().swap_remove(ordinal);
            let message = format!("cannot drop {what} because other objects depend on it");
            return Err(at(Error::invalid(SqlState::DEPENDENT_OBJECTS, message), name)
                .with_detail(format!("constraint {constraint} depends on {what}"))
                .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        let referring = Referring { table: altered.table.def.id, columns: vec![id] };
        referring.free(&mut altered, &what, cascade).map_err(|e| at(e, name))?;
        altered.def.constraints.retain(|c| !c.columns.contains(&id));
        altered.def.columns.retain(|column| column.id != id);
        if cascade {
            drop_readers(&mut altered, id);
        }
        if let Some(output) = altered.commit(running, &mut attempts).await? {
            return Ok(output);
        }
    }
}

/// Drops the views that read a column, and what reads these.
fn drop_readers(altered: &mut Altered, column: ColumnId) {
    let table = altered.table.def.id;
    let reads = |view: &&Arc<ViewDef>| {
        let of_table = view.dependencies().iter().filter(|d| d.relation == table);
        of_table.flat_map(|d| &d.columns).any(|c| c.id == column && c.read)
    };
    let views: Vec<Arc<ViewDef>> = altered.snapshot.views_of(table).filter(reads).cloned().collect();
    for view in views {
        altered.notices.push(format!("drop cascades to view {}", shown(&altered.snapshot, &view)));
        altered.transaction.drop_view(&view, true);
    }
}

fn shown(snapshot: &Snapshot, view: &ViewDef) -> String {
    let schema = snapshot.schemas.get(&view.schema).map_or("", |schema| schema.name.as_str());
    format!("{}.{}", quote_ident(schema), quote_ident(&view.name))
}

/// VARCHAR of another length, in metadata alone; a shorter one where all values fit.
pub async fn retype(running: &Running<'_>, table: &ObjectName, name: &Ident, to: SqlType) -> Result<Output> {
    let mut attempts = 0;
    loop {
        let mut altered = Altered::begin(running, table).await?;
        let def = Arc::clone(&altered.table.def);
        let column = def.column_named(&name.value).ok_or_else(|| no_such_column(name, &def))?.clone();
        let (SqlType::Varchar(before), SqlType::Varchar(bytes)) = (column.sql_type, to) else {
            let message = format!(
                "column \"{}\" of type {} cannot become {to}: only a VARCHAR's length can change",
                name.value, column.sql_type
            );
            return Err(at(Error::invalid(SqlState::DATATYPE_MISMATCH, message), name)
                .with_hint("add a column of that type, UPDATE it from this one, DROP this one and RENAME the other"));
        };
        if before == bytes {
            return Ok(unchanged());
        }
        if let Some(Scalar::Bytes(absent)) = &column.absent
            && absent.len() > bytes as usize
        {
            return Err(too_short(name, bytes, absent.len()));
        }
        if bytes < before {
            let longest = longest(running, &altered, &column).await?;
            if longest > u64::from(bytes) {
                return Err(too_short(name, bytes, longest as usize));
            }
            altered.transaction.require_unchanged(&altered.table.def);
        }
        let changed = ColumnDef { sql_type: to, ..column.clone() };
        if changed.default_sql.is_some()
            && let Err(e) = default_fits(running, &changed).await
        {
            return Err(at(e, name));
        }
        altered.column(name)?.sql_type = to;
        if let Some(output) = altered.commit(running, &mut attempts).await? {
            return Ok(output);
        }
    }
}

async fn default_fits(running: &Running<'_>, column: &ColumnDef) -> Result<()> {
    match default_of(running, column)?.is_volatile() {
        true => Ok(()),
        false => default_now(running, column).await.map(|_| ()),
    }
}

fn too_short(name: &Ident, bytes: u32, longest: usize) -> Error {
    let message =
        format!("column \"{}\" cannot become VARCHAR({bytes}): it holds a value of {longest} bytes", name.value);
    let error = Error::invalid(SqlState::STRING_TOO_LONG, message);
    at(error.with_hint(format!("VARCHAR({longest}) is enough; or UPDATE the longer values first")), name)
}

/// Bytes of the longest value.
async fn longest(running: &Running<'_>, altered: &Altered, column: &ColumnDef) -> Result<u64> {
    let pin = altered.transaction.pin().ok_or_else(|| Error::internal("a transaction reads nothing"))?.clone();
    let (def, segments) = (Arc::clone(&altered.table.def), altered.table.segments.to_vec());
    let checker = Checker::new(&altered.place.warehouse, pin, Some(running.statement.clone()), running.prunes());
    checker.longest(&Keyed { def, segments, columns: vec![column.id] }).await
}

fn check_new(def: &TableDef, name: &Ident) -> Result<()> {
    match def.column_named(&name.value) {
        Some(_) => {
            let message = format!("column \"{}\" of table \"{}\" already exists", name.value, def.name);
            Err(at(Error::invalid(SqlState::DUPLICATE_COLUMN, message).with_hint("choose another name"), name))
        }
        None => Ok(()),
    }
}
