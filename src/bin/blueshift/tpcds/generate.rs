//! The generated rows of a table, in parts that can be made at the same time.

use std::sync::Arc;

use arrow::array::RecordBatchReader;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::StreamExt;
use indicatif::ProgressBar;
use tpcdsgen::config::{Session, SessionBuilder, Table};
use tpcdsgen_arrow::{
    CallCenterArrow, CatalogPageArrow, CatalogReturnsArrow, CatalogSalesArrow, CustomerAddressArrow, CustomerArrow,
    CustomerDemographicsArrow, DateDimArrow, HouseholdDemographicsArrow, IncomeBandArrow, InventoryArrow, ItemArrow,
    PromotionArrow, ReasonArrow, ShipModeArrow, StoreArrow, StoreReturnsArrow, StoreSalesArrow, TimeDimArrow,
    WarehouseArrow, WebPageArrow, WebReturnsArrow, WebSalesArrow, WebSiteArrow,
};

use crate::failure::Failure;

/// Rows of a batch: DataFusion's own size.
const BATCH_ROWS: usize = 8192;

/// The tables, dimensions before facts.
pub const TABLES: [&str; 24] = [
    "date_dim",
    "time_dim",
    "income_band",
    "household_demographics",
    "customer_demographics",
    "customer_address",
    "customer",
    "store",
    "call_center",
    "web_site",
    "web_page",
    "catalog_page",
    "warehouse",
    "ship_mode",
    "reason",
    "promotion",
    "item",
    "inventory",
    "store_sales",
    "store_returns",
    "catalog_sales",
    "catalog_returns",
    "web_sales",
    "web_returns",
];

/// Makes the rows of a scale.
#[derive(Debug, Clone)]
pub struct Generator {
    session: Session,
    threads: usize,
}

/// Some of the rows of a table.
#[derive(Debug, Clone)]
pub struct Part {
    session: Session,
    table: &'static str,
    /// What is made into rows, counted from 1, both ends included. For sales and returns these are orders of several lines.
    source: (u64, u64),
    bar: ProgressBar,
    schema: SchemaRef,
}

impl Generator {
    pub fn new(scale: f64, threads: usize) -> Result<Self, Failure> {
        let session = SessionBuilder::new().with_scale_factor(scale).build();
        let session = session.map_err(|e| Failure::Message(format!("no rows of scale {scale} can be made: {e}")))?;
        Ok(Generator { session, threads })
    }

    /// The parts of a table. `bar` counts rows while they are read.
    pub fn parts(&self, table: &'static str, bar: &ProgressBar) -> Result<Vec<Part>, Failure> {
        let rows = self.source_rows(table);
        // Rows of a dimension depend on those before them.
        let parts = if lines(table) > 1 || table == "inventory" { (self.threads as u64 * 4).min(rows) } else { 1 };
        let bound = |part: u64| rows * part / parts.max(1);
        let schema = reader(&self.session, table, (1, 1)).schema();
        let part = |part: u64| Part {
            session: self.session.clone(),
            table,
            source: (bound(part) + 1, bound(part + 1)),
            bar: bar.clone(),
            schema: Arc::clone(&schema),
        };
        Ok((0..parts.max(1)).map(part).collect())
    }

    /// About how many rows a table has.
    pub fn about(&self, table: &str) -> u64 {
        self.source_rows(table) * lines(table) / if table.ends_with("_returns") { 10 } else { 1 }
    }

    /// Whether a table can have so many rows. Those of sales and returns are known only when they have been made.
    pub fn may_have(&self, table: &str, rows: u64) -> bool {
        match lines(table) {
            1 => rows == self.source_rows(table),
            _ => (self.about(table) / 2..=self.about(table) * 2).contains(&rows),
        }
    }

    fn source_rows(&self, table: &str) -> u64 {
        self.session.get_scaling().get_row_count(source_of(table))
    }
}

/// Lines of an order, about.
fn lines(table: &str) -> u64 {
    match table {
        "store_sales" | "store_returns" | "web_sales" | "web_returns" => 12,
        "catalog_sales" | "catalog_returns" => 9,
        _ => 1,
    }
}

/// The table whose rows are counted: returns are made of sales.
fn source_of(table: &str) -> Table {
    match table {
        "date_dim" => Table::DateDim,
        "time_dim" => Table::TimeDim,
        "income_band" => Table::IncomeBand,
        "household_demographics" => Table::HouseholdDemographics,
        "customer_demographics" => Table::CustomerDemographics,
        "customer_address" => Table::CustomerAddress,
        "customer" => Table::Customer,
        "store" => Table::Store,
        "call_center" => Table::CallCenter,
        "web_site" => Table::WebSite,
        "web_page" => Table::WebPage,
        "catalog_page" => Table::CatalogPage,
        "warehouse" => Table::Warehouse,
        "ship_mode" => Table::ShipMode,
        "reason" => Table::Reason,
        "promotion" => Table::Promotion,
        "item" => Table::Item,
        "inventory" => Table::Inventory,
        "store_sales" | "store_returns" => Table::StoreSales,
        "catalog_sales" | "catalog_returns" => Table::CatalogSales,
        _ => Table::WebSales,
    }
}

fn reader(session: &Session, table: &str, (first, last): (u64, u64)) -> Box<dyn RecordBatchReader + Send> {
    macro_rules! reader {
        ($arrow:ident) => {
            Box::new($arrow::new(session.clone()).with_source_row_range(first, last).with_batch_size(BATCH_ROWS))
        };
    }
    match table {
        "date_dim" => reader!(DateDimArrow),
        "time_dim" => reader!(TimeDimArrow),
        "income_band" => reader!(IncomeBandArrow),
        "household_demographics" => reader!(HouseholdDemographicsArrow),
        "customer_demographics" => reader!(CustomerDemographicsArrow),
        "customer_address" => reader!(CustomerAddressArrow),
        "customer" => reader!(CustomerArrow),
        "store" => reader!(StoreArrow),
        "call_center" => reader!(CallCenterArrow),
        "web_site" => reader!(WebSiteArrow),
        "web_page" => reader!(WebPageArrow),
        "catalog_page" => reader!(CatalogPageArrow),
        "warehouse" => reader!(WarehouseArrow),
        "ship_mode" => reader!(ShipModeArrow),
        "reason" => reader!(ReasonArrow),
        "promotion" => reader!(PromotionArrow),
        "item" => reader!(ItemArrow),
        "inventory" => reader!(InventoryArrow),
        "store_sales" => reader!(StoreSalesArrow),
        "store_returns" => reader!(StoreReturnsArrow),
        "catalog_sales" => reader!(CatalogSalesArrow),
        "catalog_returns" => reader!(CatalogReturnsArrow),
        "web_sales" => reader!(WebSalesArrow),
        _ => reader!(WebReturnsArrow),
    }
}

impl Part {
    pub fn stream(&self) -> SendableRecordBatchStream {
        let bar = self.bar.clone();
        let batches = reader(&self.session, self.table, self.source);
        let batches = futures::stream::iter(batches).map(move |batch| {
            let batch = batch.map_err(DataFusionError::from)?;
            bar.inc(batch.num_rows() as u64);
            Ok(batch)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        self.stream()
    }
}

#[cfg(test)]
mod tests {
    use arrow::compute::concat_batches;

    use super::*;

    #[test]
    fn parts_are_the_whole() {
        let generator = |threads| Generator::new(0.01, threads).unwrap();
        for table in TABLES.into_iter().filter(|table| lines(table) > 1 || *table == "inventory") {
            let made = |threads| {
                let parts = generator(threads).parts(table, &ProgressBar::hidden()).unwrap();
                let batches: Vec<_> = parts
                    .iter()
                    .flat_map(|part| reader(&part.session, table, part.source).collect::<Result<Vec<_>, _>>().unwrap())
                    .collect();
                (parts.len(), concat_batches(&batches[0].schema(), &batches).unwrap())
            };
            let ((four, a), (many, b)) = (made(1), made(9));
            assert_eq!((four, many), (4, 36));
            assert!(a == b, "{table}");
            assert!(generator(1).may_have(table, a.num_rows() as u64), "{table}: {} rows", a.num_rows());
        }
    }

    #[test]
    fn numbers_of_rows_of_dimensions_are_known() {
        let generator = Generator::new(0.01, 1).unwrap();
        for table in TABLES.into_iter().filter(|table| lines(table) == 1 && *table != "customer_demographics") {
            let parts = generator.parts(table, &ProgressBar::hidden()).unwrap();
            let batches = parts.iter().flat_map(|part| reader(&part.session, table, part.source));
            let rows: usize = batches.map(|batch| batch.unwrap().num_rows()).sum();
            assert_eq!(rows as u64, generator.source_rows(table), "{table}");
        }
    }
}
