//! Blueshift: a warehouse of the Redshift kind inside Apache DataFusion.
//!
//! A [`Warehouse`] holds tables whose rows are spread over slices by a distribution key, kept in the order of a sort
//! key and stored in encoded columns with zone maps. Queries are DataFusion's; its planner is told where rows live, so
//! that joins and groupings on a distribution key move nothing.
//!
//! # Where to begin
//!
//! - [`Warehouse::open`] opens a warehouse or makes one; [`Warehouse::session`] gives a [`Session`], whose
//!   [`Session::sql`] executes Redshift's DDL, INSERT and COPY, and any query of DataFusion's;
//! - an application with a `SessionContext` of its own registers [`Warehouse::table`] or [`Warehouse::catalog`] on it,
//!   and [`SessionStateBuilderExt::with_blueshift`] adds Blueshift's settings to its session state;
//! - every failure is an [`Error`], whose [`ErrorKind`] says what the caller should do.
//!
//! # Modules, bottom-up
//!
//! | module | what it holds |
//! |---|---|
//! | [`common`] | errors, identifiers, SQL types, layout words, predicates and bounds, clock |
//! | [`format`](mod@format) | the block format: encodings, zone maps, segments; bytes and Arrow arrays only |
//! | [`statistics`] | sketches, samples, and estimates from them |
//! | [`distribution`] | the frozen slice hash, and which partition reads which slices |
//! | [`catalog`] | the log of versions, snapshots, commits, leases, collection, the durable local store |
//! | [`storage`] | segments on an object store: loads sort and write them, scans read them |
//! | [`sql`] | statements that DataFusion's parser does not know |
//! | [`physical_plan`] | the table provider and the scan |
//! | [`functions`] | Redshift's functions that DataFusion lacks |
//! | [`system`] | system tables |
//! | [`engine`] | warehouse, sessions, statements: where the rest is put together |
//! | `codec` | plans as bytes, for another process |
//! | [`docs`] | the stored format, the glossary, design notes |
//!
//! Each module imports from lower ones only; `src/layering.rs` holds the table and tests it.
//!
//! # Features
//!
//! `engine` (default): everything above `storage`, with DataFusion. `s3`, `gcs`, `azure` (default): warehouses, COPY and UNLOAD in
//! buckets; `http` (default): COPY from web servers.
//! `cli` (default): the `blueshift` command. `codec` (default): plans as bytes. `testing`: faulty and simulated stores. Without `engine` the crate needs
//! Arrow and `object_store`, not DataFusion.

pub mod catalog;
#[cfg(feature = "codec")]
pub mod codec;
pub mod common;
pub mod distribution;
pub mod docs;
#[cfg(feature = "engine")]
pub mod engine;
pub mod format;
#[cfg(feature = "engine")]
pub mod functions;
#[cfg(test)]
mod layering;
#[cfg(feature = "engine")]
pub mod optimizer;
#[cfg(feature = "engine")]
pub mod physical_plan;
#[cfg(feature = "engine")]
pub mod sql;
pub mod statistics;
pub mod storage;
#[cfg(feature = "engine")]
pub mod system;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use common::{Error, ErrorKind, Result, SqlState, SqlType};
#[cfg(feature = "engine")]
pub use engine::{
    BlueshiftTableFactory, CancelToken, Location, Output, Prepared, Session, SessionStateBuilderExt, StoreOptions,
    Warehouse, WarehouseBuilder, from_datafusion,
};
pub use format::Geometry;

/// README's example is compiled and run as a documentation test.
#[cfg(all(doctest, feature = "engine"))]
#[doc = include_str!("../README.md")]
struct Readme;
