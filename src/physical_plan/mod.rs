//! Operators that know where rows live.

pub mod abreast;
pub mod aggregate;
pub mod broadcast;
pub mod collocated_join;
pub mod config;
mod counted;
pub mod declared;
pub mod estimate;
pub mod exchange;
pub mod filter;
pub(crate) mod guarded;
mod integers;
pub mod key_filter;
pub mod load;
pub mod metrics;
pub(crate) mod passing;
pub mod placement;
pub mod provider;
pub mod routed;
pub mod rows;
pub mod scan;
mod scan_stream;
pub mod spool;
pub mod statistics;
mod whole;
mod work;
