//! Blueshift: a warehouse of the Redshift kind inside Apache DataFusion.

pub mod catalog;
pub mod common;
pub mod distribution;
pub mod format;
#[cfg(feature = "engine")]
pub mod physical_plan;
#[cfg(feature = "engine")]
pub mod sql;
pub mod storage;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
