//! Sessions and statements: where everything below is put together.

mod analyze;
mod attach;
mod auto;
mod block;
mod cast_types;
mod catalog_provider;
mod checks;
mod coerce;
mod comments;
mod constraints;
mod copy;
mod ctas;
mod ddl;
mod delete;
mod describe;
mod error;
mod explain;
mod extension;
mod external;
mod files;
mod identity;
mod information;
mod insert;
mod kept;
mod listing;
mod load;
mod location;
mod merge;
mod names;
mod namespace;
mod output;
mod parameters;
mod past;
mod placing;
mod planning;
mod prepare;
mod prepared;
mod profile;
mod query_log;
mod remarks;
mod running;
mod session;
mod show;
#[cfg(feature = "sqllogictest")]
pub mod slt;
mod statement;
mod statistics;
mod summarize;
mod temporary;
mod temporary_views;
#[cfg(test)]
mod tests;
mod text;
pub mod tpch;
#[cfg(feature = "codec")]
mod travel;
mod uses;
mod vacuum;
mod verify;
mod views;
mod warehouse;
mod wording;

pub use describe::Described;
pub use error::from_datafusion;
pub use extension::SessionStateBuilderExt;
pub use external::BlueshiftTableFactory;
pub use location::Location;
pub use output::Output;
pub use prepared::Prepared;
pub use profile::ScanProfile;
pub use session::Session;
pub use statement::CancelToken;
pub use warehouse::{TableSize, Warehouse, WarehouseBuilder};

pub use crate::sql::{StatementText, is_complete, split};
