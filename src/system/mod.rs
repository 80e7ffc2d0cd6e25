//! System tables: the warehouse's layout as tables that SQL can read, named and shaped as Redshift's.
//!
//! Columns have Redshift's names, order and types. Where Redshift measures something that has no counterpart here, the
//! column holds the constant or NULL that its table's documentation names. Columns of our own come after Redshift's.
//! Every table shows the version of the warehouse that the statement reads, and is computed when the scan is planned.

mod blocks;
mod columns;
mod constraints;
mod slices;
mod table_ddl;
mod table_info;
mod zones;

pub use table_ddl::table_ddl;

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result as DfResult, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

pub use columns::{ShownColumn, shown_columns};

use crate::catalog::{PinnedSnapshot, TableState};
use crate::common::{Result, TableId};
use crate::storage::segment::SegmentStore;

/// The schema that holds the system tables; they are found without naming it, too.
pub const SCHEMA: &str = "pg_catalog";

/// The system tables' names.
pub const TABLES: [&str; 8] = [
    "pg_constraint",
    "pg_table_def",
    "stv_blocklist",
    "stv_slices",
    "stv_tbl_perm",
    "stv_zonelist",
    "svv_table_info",
    "v_generate_tbl_ddl",
];

/// The schemas that an unqualified name is looked up in: `pg_table_def` shows no others.
const SEARCH_PATH: [&str; 1] = ["public"];

/// What system tables read: the warehouse at the statement's version.
#[derive(Debug, Clone)]
pub struct SystemContext {
    pub snapshot: PinnedSnapshot,
    pub segments: SegmentStore,
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
#[async_trait]
pub trait SystemSource: fmt::Debug + Send + Sync {
    /// The warehouse at the version that `session` reads.
    async fn read(&self, session: &dyn Session) -> DfResult<SystemContext>;
}

/// The system table of that name, if it is one.
pub fn table(name: &str, source: Arc<dyn SystemSource>) -> Option<Arc<dyn TableProvider>> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name)?;
    Some(Arc::new(SystemTable { kind, schema: Arc::new(kind.schema()), source }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    PgConstraint,
    PgTableDef,
    StvBlocklist,
    StvSlices,
    StvTblPerm,
    StvZonelist,
    SvvTableInfo,
    VGenerateTblDdl,
}

impl Kind {
    /// In the order of [`TABLES`].
    const ALL: [Kind; 8] = [
        Kind::PgConstraint,
        Kind::PgTableDef,
        Kind::StvBlocklist,
        Kind::StvSlices,
        Kind::StvTblPerm,
        Kind::StvZonelist,
        Kind::SvvTableInfo,
        Kind::VGenerateTblDdl,
    ];

    fn name(self) -> &'static str {
        TABLES[self as usize]
    }

    fn schema(self) -> Schema {
        match self {
            Kind::PgConstraint => constraints::schema(),
            Kind::PgTableDef => columns::schema(),
            Kind::StvBlocklist => blocks::schema(),
            Kind::StvSlices => slices::stv_slices_schema(),
            Kind::StvTblPerm => slices::stv_tbl_perm_schema(),
            Kind::StvZonelist => zones::schema(),
            Kind::SvvTableInfo => table_info::schema(),
            Kind::VGenerateTblDdl => table_ddl::schema(),
        }
    }

    /// The column that holds a table's id.
    fn table_column(self) -> Option<&'static str> {
        match self {
            Kind::StvBlocklist | Kind::StvZonelist => Some("tbl"),
            Kind::StvTblPerm => Some("id"),
            _ => None,
        }
    }

    async fn rows(self, context: &SystemContext, schema: SchemaRef) -> Result<RecordBatch> {
        let columns = match self {
            Kind::PgConstraint => constraints::columns(context)?,
            Kind::PgTableDef => columns::columns(context).await?,
            Kind::StvBlocklist => blocks::columns(context).await?,
            Kind::StvSlices => slices::stv_slices(context),
            Kind::StvTblPerm => slices::stv_tbl_perm(context).await?,
            Kind::StvZonelist => zones::columns(context).await?,
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

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut context = self.source.read(state).await?;
        context.only = filters.iter().find_map(|filter| self.only(filter));
        let rows = self.kind.rows(&context, Arc::clone(&self.schema)).await;
        let rows = rows.map_err(|e| DataFusionError::External(Box::new(e)))?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], Arc::clone(&self.schema), projection.cloned())?)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

impl SystemTable {
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
