//! Blueshift: a warehouse of the Redshift kind inside Apache DataFusion.

pub mod catalog;
pub mod common;
pub mod distribution;
#[cfg(feature = "engine")]
pub mod engine;
pub mod format;
#[cfg(feature = "engine")]
pub mod physical_plan;
#[cfg(feature = "engine")]
pub mod sql;
pub mod storage;
#[cfg(feature = "engine")]
pub mod system;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
