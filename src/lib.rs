//! Blueshift: a warehouse of the Redshift kind inside Apache DataFusion.

pub mod catalog;
pub mod common;
pub mod format;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
