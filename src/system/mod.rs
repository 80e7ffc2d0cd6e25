//! System tables: the warehouse's layout as tables that SQL can read, named and shaped as Redshift's.
//!
//! Columns have Redshift's names, order and types. Where Redshift measures something that has no counterpart here, the
//! column holds the constant or NULL that its table's documentation names. Columns of our own come after Redshift's.
//! Every table shows the version of the warehouse that the statement reads, and is computed when the scan is planned.

mod blocks;
mod columns;
mod descriptions;
mod slices;
mod table_info;

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::catalog::PinnedSnapshot;
use crate::common::Result;
use crate::storage::segment::SegmentStore;

/// The schema that holds the system tables; they are found without naming it, too.
pub const SCHEMA: &str = "pg_catalog";

/// The system tables' names.
pub const TABLES: [&str; 6] =
    ["pg_description", "pg_table_def", "stv_blocklist", "stv_slices", "stv_tbl_perm", "svv_table_info"];

/// What system tables read: the warehouse at the statement's version.
#[derive(Debug, Clone)]
pub struct SystemContext {
    pub snapshot: PinnedSnapshot,
    pub segments: SegmentStore,
    /// The schemas that an unqualified name is looked up in: `pg_table_def` shows no others.
    pub search_path: Vec<String>,
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
    PgDescription,
    PgTableDef,
    StvBlocklist,
    StvSlices,
    StvTblPerm,
    SvvTableInfo,
}

impl Kind {
    /// In the order of [`TABLES`].
    const ALL: [Kind; 6] = [
        Kind::PgDescription,
        Kind::PgTableDef,
        Kind::StvBlocklist,
        Kind::StvSlices,
        Kind::StvTblPerm,
        Kind::SvvTableInfo,
    ];

    fn name(self) -> &'static str {
        TABLES[self as usize]
    }

    fn schema(self) -> Schema {
        match self {
            Kind::PgDescription => descriptions::schema(),
            Kind::PgTableDef => columns::schema(),
            Kind::StvBlocklist => blocks::schema(),
            Kind::StvSlices => slices::stv_slices_schema(),
            Kind::StvTblPerm => slices::stv_tbl_perm_schema(),
            Kind::SvvTableInfo => table_info::schema(),
        }
    }

    async fn rows(self, context: &SystemContext, schema: SchemaRef) -> Result<RecordBatch> {
        let columns = match self {
            Kind::PgDescription => descriptions::columns(context),
            Kind::PgTableDef => columns::columns(context).await?,
            Kind::StvBlocklist => blocks::columns(context).await?,
            Kind::StvSlices => slices::stv_slices(context),
            Kind::StvTblPerm => slices::stv_tbl_perm(context).await?,
            Kind::SvvTableInfo => table_info::columns(context).await?,
        };
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

/// A system table. Filters are left to DataFusion.
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
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let context = self.source.read(state).await?;
        let rows = self.kind.rows(&context, Arc::clone(&self.schema)).await;
        let rows = rows.map_err(|e| DataFusionError::External(Box::new(e)))?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], Arc::clone(&self.schema), projection.cloned())?)
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
