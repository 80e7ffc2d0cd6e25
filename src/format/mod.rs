//! The block format: how rows become bytes and bytes become rows.
//!
//! Pure: bytes and Arrow arrays in and out, no I/O. `src/docs/FORMAT.md` is the byte-exact description; [`stable`]
//! holds the constants that it prints.

pub mod bitpack;
pub mod bytes;
pub mod column;
pub mod encoding;
pub mod footer;
pub mod mask;
pub mod segment;
pub mod stable;
#[cfg(test)]
pub(crate) mod tests;
pub mod zone_map;

pub use column::{Column, ColumnBuilder, Values};
pub use mask::Mask;
pub use stable::Geometry;
