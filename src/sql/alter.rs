//! ALTER TABLE, as far as it is about constraints.

use crate::common::Result;

use super::ast::{AlterConstraint, ConstraintState, Statement};
use super::cursor::{Cursor, unsupported};
use super::retention;

/// What follows the table's name and is not offered, by its first words (Redshift manual, "ALTER TABLE").
const REFUSED: [&str; 22] = [
    "ADD COLUMN",
    "ADD CONSTRAINT",
    "ADD PRIMARY KEY",
    "ADD FOREIGN KEY",
    "ADD UNIQUE",
    "ADD PARTITION",
    "ADD",
    "DROP COLUMN",
    "DROP CONSTRAINT",
    "DROP PARTITION",
    "DROP",
    "ALTER COLUMN",
    "ALTER DISTKEY",
    "ALTER DISTSTYLE",
    "ALTER COMPOUND SORTKEY",
    "ALTER SORTKEY",
    "ALTER ENCODE",
    "APPEND",
    "OWNER",
    "RENAME",
    "ROW LEVEL SECURITY",
    "SET",
];

/// `ALTER TABLE table {VERIFY CONSTRAINT name | ALTER CONSTRAINT name {RELY | NORELY}}`
pub(super) fn alter_table(c: &mut Cursor) -> Result<Statement> {
    let start = c.position();
    c.expect("ALTER TABLE")?;
    let table = c.object_name("a table name")?;
    if c.is("RETAIN") {
        return retention::retain(c, table);
    }
    if c.take("VERIFY CONSTRAINT") {
        let name = c.ident("a constraint name")?;
        return Ok(Statement::AlterConstraint(AlterConstraint { table, name, state: ConstraintState::Verified }));
    }
    if c.take("ALTER CONSTRAINT") {
        let name = c.ident("a constraint name")?;
        let state = match () {
            _ if c.take("RELY") => ConstraintState::Rely,
            _ if c.take("NORELY") => ConstraintState::NoRely,
            _ => return Err(c.expected("RELY or NORELY").with_hint("what holds is told by VERIFY CONSTRAINT")),
        };
        return Ok(Statement::AlterConstraint(AlterConstraint { table, name, state }));
    }
    match REFUSED.iter().find(|words| c.is(words)) {
        Some(words) => Err(unsupported(format!("ALTER TABLE … {words}"), start)),
        None => Err(c.expected("VERIFY CONSTRAINT or ALTER CONSTRAINT")),
    }
}
