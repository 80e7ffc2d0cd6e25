//! ALTER TABLE … RETAIN.

use crate::common::{Error, Result, SqlState};

use super::ast::{AlterRetention, ObjectName, Statement};
use super::cursor::Cursor;

/// Days of RETAIN, at most: some ten thousand years.
const MAX_DAYS: u64 = 3_652_059;

/// `RETAIN {n DAYS ON column | NONE}`, behind the table's name.
pub(super) fn retain(c: &mut Cursor, table: ObjectName) -> Result<Statement> {
    c.expect("RETAIN")?;
    if c.take("NONE") {
        return Ok(Statement::AlterRetention(AlterRetention { table, retain: None }));
    }
    let position = c.position();
    let days = c.number("NONE or a number of days")?;
    let days = u32::try_from(days).ok().filter(|days| (1..=MAX_DAYS).contains(&u64::from(*days))).ok_or_else(|| {
        Error::invalid(SqlState::INVALID_PARAMETER, format!("{days} days are not between 1 and {MAX_DAYS}"))
            .with_position(position.line, position.column)
            .with_hint("RETAIN NONE keeps rows for ever")
    })?;
    if !c.take("DAYS") && !c.take("DAY") {
        return Err(c.expected("DAYS"));
    }
    c.expect("ON")?;
    let column = c.ident("a column name")?;
    Ok(Statement::AlterRetention(AlterRetention { table, retain: Some((days, column)) }))
}
