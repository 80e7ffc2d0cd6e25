//! CREATE EXTERNAL TABLE … STORED AS BLUESHIFT, in any DataFusion context.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::{Session, TableProvider, TableProviderFactory};
use datafusion::common::Result;
use datafusion::logical_expr::CreateExternalTable;
use futures::future::{BoxFuture, FutureExt};
use tokio::sync::Mutex;

use super::catalog_provider::external;
use super::warehouse::Warehouse;
use crate::common::{Error, SqlState};

/// The word behind STORED AS.
pub(super) const STORED_AS: &str = "BLUESHIFT";

/// Makes `CREATE EXTERNAL TABLE t STORED AS BLUESHIFT LOCATION 'warehouse' OPTIONS ('table' 'schema.table')` a table of
/// the warehouse at that location: read at its newest version, and written by INSERT.
///
/// `with_blueshift` registers it; an application may register it by itself, under the word that follows STORED AS. Without
/// the option, the table has the name that the statement gives, in schema `public`. The table's columns are the
/// warehouse's: the statement names none.
#[derive(Debug, Default)]
pub struct BlueshiftTableFactory {
    /// Each location is opened once, and stays open as long as the factory.
    open: Mutex<HashMap<String, Warehouse>>,
}

impl TableProviderFactory for BlueshiftTableFactory {
    fn create<'s, 'q, 'c, 'f>(
        &'s self,
        _: &'q dyn Session,
        command: &'c CreateExternalTable,
    ) -> BoxFuture<'f, Result<Arc<dyn TableProvider>>>
    where
        's: 'f,
        'q: 'f,
        'c: 'f,
    {
        self.opened(command)
    }
}

impl BlueshiftTableFactory {
    fn opened<'a>(&'a self, command: &'a CreateExternalTable) -> BoxFuture<'a, Result<Arc<dyn TableProvider>>> {
        self.open(command).boxed()
    }

    async fn open(&self, command: &CreateExternalTable) -> Result<Arc<dyn TableProvider>> {
        let wrong = |message: String, hint: &str| {
            external(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message).with_hint(hint))
        };
        let [location] = command.locations.as_slice() else {
            return Err(wrong("STORED AS BLUESHIFT takes one LOCATION".into(), "name the warehouse's"));
        };
        if !command.schema.fields().is_empty() {
            let message = "STORED AS BLUESHIFT takes no columns: the warehouse's table has them";
            return Err(wrong(message.into(), "leave the columns out"));
        }
        for (clause, given) in [
            ("PARTITIONED BY", !command.table_partition_cols.is_empty()),
            ("WITH ORDER", !command.order_exprs.is_empty()),
            ("UNBOUNDED", command.unbounded),
        ] {
            if given {
                let message = format!("STORED AS BLUESHIFT takes no {clause}");
                return Err(wrong(message, "leave it out: the warehouse's table is as it was made"));
            }
        }
        let mut table = command.name.table().to_string();
        for (key, value) in &command.options {
            match key.strip_prefix("format.").unwrap_or(key).to_ascii_lowercase().as_str() {
                "table" => table = value.clone(),
                other => {
                    return Err(wrong(
                        format!("STORED AS BLUESHIFT knows no option \"{other}\""),
                        "its option is 'table'",
                    ));
                }
            }
        }
        let mut open = self.open.lock().await;
        let warehouse = match open.get(location) {
            Some(warehouse) => warehouse.clone(),
            None => {
                let warehouse = Warehouse::builder().create(false).open(location).await.map_err(external)?;
                open.insert(location.clone(), warehouse.clone());
                warehouse
            }
        };
        drop(open);
        warehouse.table(&table).await.map_err(external)
    }
}
