//! Segments on an object store: written by loads, read by scans.

pub mod arrange;
pub mod block_store;
mod gather;
pub mod interleave;
pub mod loader;
pub mod merge;
mod packed;
pub mod reencode;
pub mod relayout;
pub mod rewrite;
pub mod runs;
pub mod sample;
pub mod segment;
pub mod sort;
pub mod statistics;
pub mod writer;
