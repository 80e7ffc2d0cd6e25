//! What is known of a table's values beside their bounds: sketches, histograms, and estimates from them.
//!
//! Pure: values and bytes in and out. [`sketch`] counts distinct values, [`segment`] sketches a segment's columns as it is
//! written, [`distribution`] describes a sample, [`table`] puts together what is stored of a table, [`mod@column`] and
//! [`condition`] estimate from it.
//!
//! Nothing here decides an answer: estimates choose among plans that all give the same rows.

pub(crate) mod bytes;
pub mod column;
pub mod condition;
pub mod distribution;
mod like;
pub mod segment;
pub mod sketch;
pub mod table;
#[cfg(test)]
mod tests;

pub use column::{ColumnView, join_selectivity};
pub use condition::Condition;
pub use distribution::Distribution;
pub use segment::{ColumnSketch, SegmentSketches};
pub use sketch::DistinctSketch;
pub use table::{ColumnStatistics, TableStatistics, Use};
