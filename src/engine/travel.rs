//! What plans that came from another process name: tables by their ids, at a version.

use std::sync::Arc;

use datafusion::catalog::TableProvider;

use super::catalog_provider::{scan_table, table_provider};
use super::listing::Listing;
use super::load::TableSink;
use super::warehouse::Warehouse;
use crate::catalog::{Catalog, PinnedSnapshot, TableDef, TableState};
use crate::common::Result;
use crate::physical_plan::load::RowSink;
use crate::physical_plan::scan::ScanTable;
use crate::system;

impl Warehouse {
    /// Its versions.
    pub(crate) fn log(&self) -> &Catalog {
        &self.inner.catalog
    }

    /// The rows of `state`, which is of `pin`.
    pub(crate) fn rows_of(&self, pin: PinnedSnapshot, state: &TableState) -> Result<ScanTable> {
        scan_table(self, pin, state)
    }

    /// The table, at the version of whichever statement reads it.
    pub(crate) fn provider_of(&self, state: &TableState) -> Arc<dyn TableProvider> {
        table_provider(self, state)
    }

    /// Takes rows for a table as a plan saw it.
    pub(crate) fn sink_of(&self, def: Arc<TableDef>) -> Arc<dyn RowSink> {
        Arc::new(TableSink::new(self.clone(), def))
    }

    /// A system table, or one of information_schema, as a context without a session's own names sees it.
    pub(crate) fn system_table(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let source = Arc::new(Listing::new(self.clone(), None));
        system::table(name, source.clone()).or_else(|| system::information_table(name, source))
    }
}
