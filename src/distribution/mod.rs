//! Where rows live: the frozen slice hash, and which partition reads which slices.

pub mod slice_hash;
pub mod slice_map;

pub use slice_hash::{HASH_ID, hash_array, slice_of_hash};
pub use slice_map::SliceMap;
