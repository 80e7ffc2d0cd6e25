//! information_schema in our own sessions: our tables where we know more than DataFusion, and DataFusion's others.
//!
//! DataFusion looks there itself before it asks any catalog, unless the setting `datafusion.catalog.information_schema` is off:
//! so it is, in the options that a statement is planned with, but not in those that the application sees.

use std::sync::Arc;

use datafusion::catalog::information_schema::{INFORMATION_SCHEMA_TABLES, InformationSchemaProvider};
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use futures::future::BoxFuture;

use super::catalog_provider::StatementCatalogs;
use crate::system;

/// Lets catalogs answer for information_schema in plans that are made with these options.
pub(super) fn ours(options: &mut ConfigOptions) {
    options.catalog.information_schema = false;
}

/// A catalog with information_schema, which shows all catalogs.
#[derive(Debug)]
pub(super) struct Informed {
    pub catalog: Arc<dyn CatalogProvider>,
    pub all: StatementCatalogs,
}

impl CatalogProvider for Informed {
    /// Without information_schema, as DataFusion's.
    fn schema_names(&self) -> Vec<String> {
        self.catalog.schema_names()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name == system::INFORMATION_SCHEMA {
            return Some(Arc::new(InformationSchema { all: self.all.clone() }));
        }
        self.catalog.schema(name)
    }

    fn register_schema(&self, name: &str, schema: Arc<dyn SchemaProvider>) -> Result<Option<Arc<dyn SchemaProvider>>> {
        self.catalog.register_schema(name, schema)
    }

    fn deregister_schema(&self, name: &str, cascade: bool) -> Result<Option<Arc<dyn SchemaProvider>>> {
        self.catalog.deregister_schema(name, cascade)
    }
}

#[derive(Debug)]
struct InformationSchema {
    all: StatementCatalogs,
}

impl InformationSchema {
    /// Of a type that tells nothing, as for the system tables: see there.
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn TableProvider>>>> {
        Box::pin(async move {
            let ours = system::information_table(&name.to_ascii_lowercase(), self.all.source());
            if ours.is_some() {
                return Ok(ours);
            }
            let mut theirs = InformationSchemaProvider::new(Arc::new(self.all.clone()));
            if let Some(state) = self.all.planner() {
                theirs = theirs.with_table_functions(state.table_functions().clone());
            }
            theirs.table(name).await
        })
    }
}

impl SchemaProvider for InformationSchema {
    fn table_names(&self) -> Vec<String> {
        let theirs = INFORMATION_SCHEMA_TABLES.iter().filter(|name| !system::INFORMATION_TABLES.contains(name));
        system::INFORMATION_TABLES.iter().chain(theirs).map(|name| name.to_string()).collect()
    }

    fn table<'s, 'n, 'f>(&'s self, name: &'n str) -> BoxFuture<'f, Result<Option<Arc<dyn TableProvider>>>>
    where
        's: 'f,
        'n: 'f,
    {
        self.find(name)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}
