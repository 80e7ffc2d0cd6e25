//! BEGIN, COMMIT, ROLLBACK and LOCK.

use sqlparser::tokenizer::Token;

use crate::common::Result;

use super::ast::{Begin, Statement};
use super::cursor::{Cursor, unsupported};

/// `{BEGIN [WORK | TRANSACTION] | START TRANSACTION} [ISOLATION LEVEL level] [READ WRITE | READ ONLY]`
pub(super) fn begin(c: &mut Cursor) -> Result<Statement> {
    if c.take("START") {
        c.expect("TRANSACTION")?;
    } else {
        c.expect("BEGIN")?;
        work(c);
    }
    let mut begin = Begin::default();
    while !c.at_end() {
        if c.take("ISOLATION LEVEL") {
            begin.serializable = level(c)?;
        } else if c.take("READ ONLY") {
            begin.read_only = true;
        } else if c.take("READ WRITE") {
            begin.read_only = false;
        } else {
            return Err(c.expected("ISOLATION LEVEL, READ WRITE or READ ONLY"));
        }
        c.take_token(&Token::Comma);
    }
    Ok(Statement::Begin(begin))
}

/// `{COMMIT | END} [WORK | TRANSACTION]`
pub(super) fn commit(c: &mut Cursor) -> Result<Statement> {
    c.skip();
    work(c);
    Ok(Statement::Commit)
}

/// `{ROLLBACK | ABORT} [WORK | TRANSACTION]`
pub(super) fn rollback(c: &mut Cursor) -> Result<Statement> {
    c.skip();
    work(c);
    if c.is("TO") {
        let error = unsupported("ROLLBACK TO a savepoint", c.position());
        return Err(error.with_hint("ROLLBACK ends the whole transaction"));
    }
    Ok(Statement::Rollback)
}

/// `LOCK [TABLE] name, …`
pub(super) fn lock(c: &mut Cursor) -> Result<Statement> {
    c.expect("LOCK")?;
    c.take("TABLE");
    Ok(Statement::Lock(c.list(|c| c.object_name("a table name"))?))
}

fn work(c: &mut Cursor) {
    if !c.take("WORK") {
        c.take("TRANSACTION");
    }
}

/// Whether a level is SERIALIZABLE. All others are what the session has: none is weaker than a snapshot.
fn level(c: &mut Cursor) -> Result<bool> {
    if c.take("SERIALIZABLE") {
        return Ok(true);
    }
    let weaker = ["READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SNAPSHOT"];
    match weaker.iter().any(|level| c.take(level)) {
        true => Ok(false),
        false => Err(c.expected("SERIALIZABLE, SNAPSHOT, REPEATABLE READ, READ COMMITTED or READ UNCOMMITTED")),
    }
}
