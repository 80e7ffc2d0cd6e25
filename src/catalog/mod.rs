//! The warehouse's state: one chain of versions in `_log/`, each a delta made by one conditional put.

pub mod model;
