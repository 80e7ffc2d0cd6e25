//! Tables as they were: what FOR SYSTEM_TIME AS OF names, and how its tables reach the planner.
//!
//! A query's tables of the past are named anew before it is planned, by their whole names with the version behind schema and
//! table ([`past_name`]): the statement's catalog finds them at the version that was pinned for the statement.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as DfResult;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_plan::collect;
use datafusion::sql::sqlparser::ast::{
    Expr, Query, SelectItem, SetExpr, Statement as SqlStatement, Value, ValueWithSpan, visit_expressions,
};
use futures::future::{BoxFuture, FutureExt, ready};

use super::catalog_provider::{external, know_statistics, scan_table};
use super::error::from_datafusion;
use super::names::{self, CATALOG, Place, Relation};
use super::planning;
use super::running::Running;
use super::warehouse::Warehouse;
use crate::catalog::{AsOf, PinnedSnapshot, TableState};
use crate::common::sql_type::UTC;
use crate::common::{Error, Result, SqlState, Version};
use crate::physical_plan::load::RowSink;
use crate::physical_plan::provider::{BlueshiftTable, TableSource};
use crate::physical_plan::scan::ScanTable;
use crate::sql::ast::ObjectName;
use crate::sql::{self, PastTable, Statement};
use crate::system;

/// Between a name and the version at which it is meant. SQL cannot write it.
const AT: &str = "\0@";

/// The name of a schema or table as it was.
pub(super) fn past_name(name: &str, version: Version) -> String {
    format!("{name}{AT}{}", version.0)
}

/// The inverse of [`past_name`]; `None` for a name of the present.
pub(super) fn read_past_name(name: &str) -> Option<(&str, Version)> {
    let (name, version) = name.rsplit_once(AT)?;
    Some((name, Version(version.parse().ok()?)))
}

/// Where the name of a table or view of the past leads.
pub(super) struct Past {
    pub place: Place,
    pub pin: PinnedSnapshot,
}

impl Past {
    /// Finds the version and pins it for the statement.
    ///
    /// Errors: Invalid for a version that is not there, Unsupported for tables that have none.
    pub async fn find(running: &Running<'_>, name: &ObjectName, at: AsOf) -> Result<Past> {
        let unsupported = |what: &str| {
            let error = Error::unsupported(format!("\"{}\" {what}, which has no versions", name.unquoted()));
            names::at(error.with_hint("only lasting tables and views of warehouses have a past"), name.base())
        };
        if running.session.is_foreign(name, &running.pin) {
            return Err(unsupported("is no table of the warehouse"));
        }
        let mut place = running.place(name).await?;
        if place.temporary {
            return Err(unsupported("is a temporary table"));
        }
        let pin = match running.pins.past(&place.warehouse, at) {
            Some(pin) => pin,
            None => {
                let pin = place.warehouse.inner.catalog.pin_past(at).await.map_err(|e| names::at(e, name.base()))?;
                running.pins.keep_past(&place.warehouse, at, pin.clone());
                pin
            }
        };
        if name.schema().is_none() {
            place.schemas = running.session.names.schemas(&pin);
        }
        Ok(Past { place, pin })
    }

    /// The table or view of that name.
    pub fn relation(&self, name: &ObjectName) -> Result<Relation<'_>> {
        self.place.relation(&self.pin, name).map_err(|e| {
            if e.state() == SqlState::UNDEFINED_TABLE && system::TABLES.contains(&name.base().value.as_str()) {
                let error =
                    Error::unsupported(format!("\"{}\" is a system table, which has no versions", name.unquoted()));
                return names::at(error.with_hint("read it as it is now"), name.base());
            }
            let version = self.pin.version;
            e.map_text(|text| text.replace("does not exist", &format!("does not exist in version {version}")))
        })
    }

    fn full_name(&self, name: &ObjectName) -> Result<Vec<String>> {
        let schema = match self.relation(name)? {
            Relation::Table(table) => table.def.schema,
            Relation::View(view) => view.schema,
        };
        let schema = self.pin.schemas.get(&schema).ok_or_else(|| Error::internal("a table has no schema"))?;
        let database = name.database().map_or(CATALOG, |database| &database.value).to_string();
        let version = self.pin.version;
        Ok(vec![database, past_name(&schema.name, version), past_name(&name.base().value, version)])
    }
}

/// The statement with its tables of the past named as the statement's catalog knows them; `None` where it has none.
pub(super) fn settled<'a>(
    running: &'a Running<'_>,
    statement: &'a SqlStatement,
) -> BoxFuture<'a, Result<Option<Box<SqlStatement>>>> {
    let past = sql::query_in(statement).is_some_and(|query| sql::check_present(query, "").is_err());
    if !past || matches!(statement, SqlStatement::Prepare { .. }) {
        return ready(Ok(None)).boxed();
    }
    Box::pin(async move {
        let mut own = Box::new(statement.clone());
        let Some(query) = sql::query_of(&mut own) else { return Ok(None) };
        let tables = sql::take_pasts(query)?;
        let mut names = Vec::with_capacity(tables.len());
        let mut times: Vec<(&Expr, AsOf)> = Vec::new();
        for PastTable { name, at } in &tables {
            // What is written alike means one time, be it the present one.
            let as_of = match times.iter().find(|(written, _)| *written == at) {
                Some((_, as_of)) => *as_of,
                None => as_of(running, at).await.map_err(|e| names::at(e, name.base()))?,
            };
            times.push((at, as_of));
            names.push(Past::find(running, name, as_of).await?.full_name(name)?);
        }
        sql::name_pasts(query, &names);
        Ok(Some(own))
    })
}

/// The version or time that an expression gives.
///
/// Errors: Invalid where it gives neither; as a query's.
pub(super) async fn as_of(running: &Running<'_>, at: &Expr) -> Result<AsOf> {
    if let Expr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) = at {
        return number
            .to_string()
            .parse()
            .map(|version| AsOf::Version(Version(version)))
            .map_err(|_| no_version(number));
    }
    let parameter = visit_expressions(at, |expr| match expr {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(_), .. }) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    if parameter.is_break() {
        return Err(
            Error::unsupported("a parameter in FOR SYSTEM_TIME AS OF").with_hint("write the version in the statement")
        );
    }
    let plain = select("SELECT 1", |item| *item = at.clone())?;
    let plan = planning::plan(&running.state, &plain).await.map_err(Error::without_position)?;
    let whole = |data_type: &DataType| data_type.is_integer();
    let is_version = plan.schema().fields().first().is_some_and(|field| whole(field.data_type()));
    let plan = match is_version {
        true => plan,
        false => {
            let timed = select("SELECT CAST(1 AS TIMESTAMPTZ)", |item| {
                if let Expr::Cast { expr, .. } = item {
                    **expr = at.clone();
                }
            })?;
            planning::plan(&running.state, &timed).await.map_err(Error::without_position)?
        }
    };
    let physical = running.physical(&plan).await?;
    let rows = collect(physical, running.state.task_ctx()).await.map_err(from_datafusion)?;
    let value = rows.iter().find(|rows| rows.num_rows() > 0).map(|rows| Arc::clone(rows.column(0)));
    let value = value.ok_or_else(|| Error::internal("a query of one row gave none"))?;
    if value.is_null(0) {
        return Err(no_version("NULL"));
    }
    if is_version {
        let value = cast(&value, &DataType::Int64)?;
        let version = value.as_primitive::<Int64Type>().value(0);
        return u64::try_from(version).map(|v| AsOf::Version(Version(v))).map_err(|_| no_version(&version.to_string()));
    }
    let value = cast(&value, &DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())))?;
    let value = cast(&value, &DataType::Int64)?;
    Ok(AsOf::Time(value.as_primitive::<Int64Type>().value(0)))
}

/// A query of one value, which `fill` is given to change.
fn select(text: &str, fill: impl FnOnce(&mut Expr)) -> Result<SqlStatement> {
    let wrong = || Error::internal(format!("{text} is not the query that it looks like"));
    let Statement::Query(mut statement) = sql::parse_one(text)? else { return Err(wrong()) };
    let query: &mut Query = sql::query_of(&mut statement).ok_or_else(wrong)?;
    let SetExpr::Select(select) = query.body.as_mut() else { return Err(wrong()) };
    match select.projection.as_mut_slice() {
        [SelectItem::UnnamedExpr(item)] => fill(item),
        _ => return Err(wrong()),
    }
    Ok(*statement)
}

fn no_version(given: &str) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER, format!("{given} is no version"))
        .with_hint("FOR SYSTEM_TIME AS OF takes a version, as SHOW HISTORY lists them, or a time: TIMESTAMP '…'")
}

/// A provider of the table as `pin` has it, which it keeps.
pub(super) fn past_provider(
    warehouse: &Warehouse,
    pin: &PinnedSnapshot,
    state: &Arc<TableState>,
) -> Arc<dyn TableProvider> {
    let source = PastSource { warehouse: warehouse.clone(), pin: pin.clone(), state: Arc::clone(state) };
    Arc::new(BlueshiftTable::new(&state.def, Arc::new(source)))
}

/// Rows of one version, whoever reads them. Plans believe no constraint of theirs: a foreign key holds between tables of one
/// version, and a plan may read several.
#[derive(Debug)]
struct PastSource {
    warehouse: Warehouse,
    pin: PinnedSnapshot,
    state: Arc<TableState>,
}

impl PastSource {
    fn rows(&self) -> Result<Arc<ScanTable>> {
        let rows = scan_table(&self.warehouse, self.pin.clone(), &self.state)?;
        Ok(Arc::new(ScanTable { as_of: Some(self.pin.version), ..rows }))
    }
}

impl TableSource for PastSource {
    fn read<'a>(&'a self, _: &'a dyn Session) -> BoxFuture<'a, DfResult<(Arc<ScanTable>, u32)>> {
        Box::pin(async move {
            know_statistics(&self.warehouse, &self.pin, &self.state).await;
            Ok((self.rows().map_err(external)?, self.pin.info.slices))
        })
    }

    fn planned(&self, _: &ConfigOptions) -> Option<Arc<ScanTable>> {
        self.rows().ok()
    }

    fn version(&self) -> Option<Version> {
        Some(self.pin.version)
    }

    fn sink(&self) -> Option<Arc<dyn RowSink>> {
        None
    }
}
