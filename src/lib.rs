//! Blueshift: a warehouse of the Redshift kind inside Apache DataFusion.

pub mod catalog;
pub mod common;
pub mod distribution;
pub mod format;
#[cfg(feature = "engine")]
pub mod sql;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
