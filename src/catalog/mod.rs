//! The warehouse's state: one chain of versions in `_log/`, each a delta made by one conditional put.
//!
//! [`Catalog`] is the handle. [`model`] holds the plain values, [`entry`] and [`checkpoint`] their stored forms,
//! [`apply`] what an entry does to a snapshot, [`transaction`] how a statement's wishes become an entry, [`overlay`] how
//! a transaction sees its own writes, [`lease`] and [`collect`] how objects that nobody can see are found and deleted,
//! [`local_store`] the durable store for `file://`.

pub mod apply;
pub mod backup;
pub mod checkpoint;
mod clone;
pub mod collect;
pub mod commit;
mod convert;
pub mod delete_vector;
pub mod entry;
pub mod fence;
pub mod frame;
mod history;
mod keep;
pub mod lease;
mod load;
pub mod loads;
pub mod local_store;
pub mod model;
pub mod options;
pub mod overlay;
mod past;
pub mod paths;
pub mod positions;
mod proto;
pub mod ranks;
pub mod reads;
pub mod refusal;
mod resolve;
mod restore;
pub mod store;
#[cfg(test)]
mod tests;
pub mod transaction;
pub mod view;

pub use backup::{BackedUp, Backup, MakeOptions};
pub use collect::Collected;
pub use commit::Catalog;
pub use entry::{Action, Entry, TransactionRecord};
pub use fence::Fence;
pub use history::Change;
pub use lease::PinnedSnapshot;
pub use loads::{LoadHistory, Source};
pub use local_store::LocalStore;
pub use model::*;
pub use options::{CatalogOptions, Genesis, IdSource, OpenMode, RandomIds};
pub use overlay::{OpenTransaction, Overlay};
pub use past::AsOf;
pub use positions::Positions;
pub use ranks::{RankColumn, RankMap};
pub use reads::{AllRows, Read, RowsRead};
pub use restore::Restored;
pub use store::WarehouseStore;

pub use transaction::{
    Blob, Changed, Committed, NewDeleteVector, NewSegment, ObjectNames, RankChoice, Rewritten, RunChoice, Telling,
    Transaction,
};
pub use view::{Binding, CommentOn, Dependency, DependencyColumn, ViewDef};
