//! Sessions and statements: where everything below is put together.

mod catalog_provider;
mod coerce;
mod copy;
mod ddl;
mod error;
mod extension;
mod files;
mod insert;
mod load;
mod location;
mod names;
mod output;
mod session;
mod statement;
#[cfg(test)]
mod tests;
mod text;
mod warehouse;

pub use error::from_datafusion;
pub use extension::SessionStateBuilderExt;
pub use location::Location;
pub use output::Output;
pub use session::{Prepared, Session};
pub use statement::CancelToken;
pub use warehouse::{Warehouse, WarehouseBuilder};
