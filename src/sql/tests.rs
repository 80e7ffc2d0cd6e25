//! Tests of the module by theme; see the files beside this one.

mod copy;
mod corpus;
mod ddl;
mod fuzz;
mod hostile;
mod query;
mod splitting;
mod unload;

use crate::common::{Error, ErrorKind};

use super::ast::{CreateTable, Statement};
use super::{parse, parse_one};

fn create(sql: &str) -> CreateTable {
    match parse_one(sql) {
        Ok(Statement::CreateTable(table)) => *table,
        other => panic!("{sql}: {other:?}"),
    }
}

fn refused(sql: &str) -> Error {
    match parse(sql) {
        Err(e) => e,
        Ok(statements) => panic!("{sql}: {statements:?}"),
    }
}

/// Asserts the kind, a part of the message, the place and that a hint says what to do.
fn invalid(sql: &str, message: &str, line: u64, column: u64) {
    let e = refused(sql);
    assert_eq!(e.kind(), ErrorKind::Invalid, "{sql}: {e}");
    placed(sql, &e, message, line, column);
}

fn unsupported(sql: &str, what: &str, line: u64, column: u64) {
    let e = refused(sql);
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{sql}: {e}");
    assert_eq!(e.message(), format!("{what} is not supported yet"), "{sql}");
    placed(sql, &e, what, line, column);
}

fn placed(sql: &str, e: &Error, message: &str, line: u64, column: u64) {
    assert!(e.message().contains(message), "{sql}: {e}");
    assert!(!e.message().contains("Line:"), "{sql}: {e}");
    let position = e.position().unwrap_or_else(|| panic!("{sql}: {e}: no position"));
    assert_eq!((position.line, position.column), (line, column), "{sql}: {e}");
}
