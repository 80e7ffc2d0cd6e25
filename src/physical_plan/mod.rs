//! Operators that know where rows live.

pub mod collocated_join;
pub mod config;
pub mod declared;
pub mod estimate;
pub mod exchange;
pub mod filter;
pub(crate) mod guarded;
pub mod load;
pub mod metrics;
pub mod placement;
pub mod provider;
pub mod scan;
mod scan_stream;
pub mod statistics;
mod work;
