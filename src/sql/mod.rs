//! SQL text: what Blueshift executes itself becomes a [`Statement`] of its own, queries stay `sqlparser`'s.
//!
//! [`parse`] reads any number of statements, [`parse_one`] exactly one; [`split`] cuts a script into statements
//! without parsing them, [`is_complete`] tells a shell whether to go on reading, and [`unparse`] writes DDL.
//! Only text is judged here: whether a table exists is for the engine.

mod access;
mod alter;
mod analyze;
pub mod ast;
mod backup;
mod copy;
mod create_table;
mod cursor;
mod data_type;
mod delete;
mod depth;
mod dialect;
mod insert;
mod masked;
mod merge;
mod parser;
mod past;
pub mod places;
mod prepare;
mod retention;
mod rewrite;
mod scope;
pub mod select_list;
mod session;
mod show;
mod split;
mod transaction;
mod unload;
pub mod unparse;
mod vacuum;
mod validate;
mod view;

#[cfg(test)]
mod tests;

pub use ast::Statement;
pub use data_type::refused_type;
pub use dialect::BlueshiftDialect;
pub use masked::masked;
pub use parser::{parse, parse_expr, parse_name, parse_one};
pub use past::{PastTable, check_present, name_pasts, take_pasts};
pub use rewrite::{IN_TABLE, rewrite};
pub use split::{StatementText, is_complete, split};
pub use view::{Mentioned, check_unambiguous, folded, map_relations, needs_full_names, query_in, query_of};
