//! The engine as a whole, where a test needs what the crate's users do not see. What a test needs twice is in `util`.

mod auto;
mod compression;
mod constraints;
mod damage;
mod delete_vectors;
mod derived;
mod dynamic_filters;
mod embedding;
mod execution;
mod explain;
mod explain_moves;
mod identity;
mod interleaved;
mod join_order;
mod key_filters;
mod lengths;
mod listing;
mod manual_functions;
mod movement;
mod mutants;
mod namespaces;
mod prepared;
mod processes;
mod properties;
mod query_log;
mod races;
mod random_joins;
mod rate;
mod result_names;
#[cfg(feature = "s3")]
mod s3;
mod scans;
mod show_table;
mod statistics;
mod unions;
mod util;
