//! BACKUP and RESTORE.

use crate::common::Result;

use super::ast::{Backup, Restore, Statement};
use super::cursor::Cursor;

/// `BACKUP TO 'location' [VERIFY]`
pub(super) fn backup(c: &mut Cursor) -> Result<Statement> {
    c.expect("BACKUP")?;
    c.take("DATABASE");
    c.expect("TO")?;
    let location = c.string("a location in quotes")?;
    Ok(Statement::Backup(Backup { location, verify: c.take("VERIFY") }))
}

/// `RESTORE FROM 'location' [AS OF version]`
pub(super) fn restore(c: &mut Cursor) -> Result<Statement> {
    c.expect("RESTORE")?;
    c.take("DATABASE");
    c.expect("FROM")?;
    let location = c.string("a location in quotes")?;
    let at = if c.take("AS OF") { Some(c.with(|p| p.parse_expr())?) } else { None };
    Ok(Statement::Restore(Box::new(Restore { location, at })))
}
