//! System tables: the warehouse's layout as tables that SQL can read, named and shaped as Redshift's.
//!
//! Columns have Redshift's names, order and types. Where Redshift measures something that has no counterpart here, the
//! column holds the constant or NULL that its table's documentation names. Columns of our own come after Redshift's.
//! Every table shows the version of the warehouse that the statement reads, and is computed when the scan is planned.

mod blocks;
mod columns;
mod constraints;
mod descriptions;
mod interleaved;
mod slices;
mod statistics;
mod table_ddl;
mod table_info;
mod zones;

pub use table_ddl::table_ddl;

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result as DfResult, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;

pub use columns::{ShownColumn, shown_columns};

use crate::catalog::{PinnedSnapshot, Schema as CatalogSchema, Snapshot, TableState};
use crate::common::{Result, TableId};
use crate::storage::segment::SegmentStore;

/// The schema that holds the system tables; they are found without naming it, too.
pub const SCHEMA: &str = "pg_catalog";

/// The system tables' names.
pub const TABLES: [&str; 12] = [
    "pg_constraint",
    "pg_description",
    "pg_statistic_indicator",
    "pg_table_def",
    "predicate_columns",
    "stv_blocklist",
    "stv_slices",
    "stv_tbl_perm",
    "stv_zonelist",
    "svv_interleaved_columns",
    "svv_table_info",
    "v_generate_tbl_ddl",
];

/// The tables of some schemas that an unqualified name is looked up in, with their schemas.
pub fn tables_of<'a>(
    snapshot: &'a Snapshot,
    schemas: &'a [String],
) -> impl Iterator<Item = (&'a CatalogSchema, &'a Arc<TableState>)> {
    schemas.iter().filter_map(|name| snapshot.schema_named(name)).flat_map(move |schema| {
        snapshot.table_names(schema.id).filter_map(move |(_, id)| Some((schema, snapshot.table(id)?)))
    })
}

/// What system tables read: the warehouse at the statement's version.
#[derive(Debug, Clone)]
pub struct SystemContext {
    pub snapshot: PinnedSnapshot,
    pub segments: SegmentStore,
    /// The schemas that an unqualified name is looked up in: `pg_table_def` shows no others.
    pub search_path: Vec<String>,
    /// The only table that the statement asks about, where its filters say so.
    pub only: Option<TableId>,
}

impl SystemContext {
    /// The tables that the statement asks about, in the order of their ids.
    fn tables(&self) -> impl Iterator<Item = &Arc<TableState>> {
        self.snapshot.tables.values().filter(|t| self.only.is_none_or(|only| t.def.id == only))
    }
}

/// Gives what the system tables show.
pub trait SystemSource: fmt::Debug + Send + Sync {
    /// The warehouse at the version that `session` reads.
    fn read<'a>(&'a self, session: &'a dyn Session) -> BoxFuture<'a, DfResult<SystemContext>>;
}

/// The system table of that name, if it is one.
pub fn table(name: &str, source: Arc<dyn SystemSource>) -> Option<Arc<dyn TableProvider>> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name)?;
    Some(Arc::new(SystemTable { kind, schema: Arc::new(kind.schema()), source }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    PgConstraint,
    PgDescription,
    PgStatisticIndicator,
    PgTableDef,
    PredicateColumns,
    StvBlocklist,
    StvSlices,
    StvTblPerm,
    StvZonelist,
    SvvInterleavedColumns,
    SvvTableInfo,
    VGenerateTblDdl,
}

impl Kind {
    /// In the order of [`TABLES`].
    const ALL: [Kind; 12] = [
        Kind::PgConstraint,
        Kind::PgDescription,
        Kind::PgStatisticIndicator,
        Kind::PgTableDef,
        Kind::PredicateColumns,
        Kind::StvBlocklist,
        Kind::StvSlices,
        Kind::StvTblPerm,
        Kind::StvZonelist,
        Kind::SvvInterleavedColumns,
        Kind::SvvTableInfo,
        Kind::VGenerateTblDdl,
    ];

    fn name(self) -> &'static str {
        TABLES[self as usize]
    }

    fn schema(self) -> Schema {
        match self {
            Kind::PgConstraint => constraints::schema(),
            Kind::PgDescription => descriptions::schema(),
            Kind::PgStatisticIndicator => statistics::indicator_schema(),
            Kind::PgTableDef => columns::schema(),
            Kind::PredicateColumns => statistics::predicate_columns_schema(),
            Kind::StvBlocklist => blocks::schema(),
            Kind::StvSlices => slices::stv_slices_schema(),
            Kind::StvTblPerm => slices::stv_tbl_perm_schema(),
            Kind::StvZonelist => zones::schema(),
            Kind::SvvInterleavedColumns => interleaved::schema(),
            Kind::SvvTableInfo => table_info::schema(),
            Kind::VGenerateTblDdl => table_ddl::schema(),
        }
    }

    /// The column that holds a table's id.
    fn table_column(self) -> Option<&'static str> {
        match self {
            Kind::StvBlocklist | Kind::StvZonelist | Kind::SvvInterleavedColumns => Some("tbl"),
            Kind::StvTblPerm => Some("id"),
            Kind::PgStatisticIndicator => Some("stairelid"),
            _ => None,
        }
    }

    async fn rows(self, context: &SystemContext, schema: SchemaRef) -> Result<RecordBatch> {
        let columns = match self {
            Kind::PgConstraint => constraints::columns(context)?,
            Kind::PgDescription => descriptions::columns(context),
            Kind::PgStatisticIndicator => statistics::indicator(context),
            Kind::PgTableDef => columns::columns(context).await?,
            Kind::PredicateColumns => statistics::predicate_columns(context).await?,
            Kind::StvBlocklist => blocks::columns(context).await?,
            Kind::StvSlices => slices::stv_slices(context),
            Kind::StvTblPerm => slices::stv_tbl_perm(context).await?,
            Kind::StvZonelist => zones::columns(context).await?,
            Kind::SvvInterleavedColumns => interleaved::columns(context)?,
            Kind::SvvTableInfo => table_info::columns(context).await?,
            Kind::VGenerateTblDdl => table_ddl::columns(context)?,
        };
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

/// A system table. Filters are left to DataFusion; one that names a table's id also spares reading the others.
struct SystemTable {
    kind: Kind,
    schema: SchemaRef,
    source: Arc<dyn SystemSource>,
}

impl fmt::Debug for SystemTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SystemTable").field(&self.kind.name()).finish()
    }
}

impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn scan<'s, 'q, 'p, 'e, 'f>(
        &'s self,
        state: &'q dyn Session,
        projection: Option<&'p Vec<usize>>,
        filters: &'e [Expr],
        _limit: Option<usize>,
    ) -> BoxFuture<'f, DfResult<Arc<dyn ExecutionPlan>>>
    where
        's: 'f,
        'q: 'f,
        'p: 'f,
        'e: 'f,
    {
        self.plan(state, projection, filters)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

impl SystemTable {
    /// Of a type that tells nothing, as all futures that traits with `async` return: the compiler takes minutes to see
    /// that what they hold may go to other threads where lifetimes of a trait's method are in sight.
    fn plan<'a>(
        &'a self,
        state: &'a dyn Session,
        projection: Option<&'a Vec<usize>>,
        filters: &'a [Expr],
    ) -> BoxFuture<'a, DfResult<Arc<dyn ExecutionPlan>>> {
        Box::pin(async move {
            let mut context = self.source.read(state).await?;
            context.only = filters.iter().find_map(|filter| self.only(filter));
            let rows = self.kind.rows(&context, Arc::clone(&self.schema)).await;
            let rows = rows.map_err(|e| DataFusionError::External(Box::new(e)))?;
            let plan = MemorySourceConfig::try_new_exec(&[vec![rows]], Arc::clone(&self.schema), projection.cloned())?;
            Ok(plan as Arc<dyn ExecutionPlan>)
        })
    }

    /// The table that a filter `id = literal` leaves.
    fn only(&self, filter: &Expr) -> Option<TableId> {
        let column = self.kind.table_column()?;
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else { return None };
        let (Expr::Column(named), Expr::Literal(value, _)) = (left.as_ref(), right.as_ref()) else { return None };
        match value {
            ScalarValue::Int32(Some(id)) if named.name == column => u32::try_from(*id).ok().map(TableId),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_table() {
        for (kind, name) in Kind::ALL.into_iter().zip(TABLES) {
            assert_eq!(kind.name(), name);
            assert!(!kind.schema().fields().is_empty());
        }
    }
}
