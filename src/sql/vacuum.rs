//! VACUUM.

use sqlparser::tokenizer::Token;

use crate::common::{Error, Result, SqlState};

use super::ast::{Statement, Vacuum, VacuumMode};
use super::cursor::{Cursor, syntax_error};

const MODES: [(&str, VacuumMode); 5] = [
    ("FULL", VacuumMode::Full),
    ("SORT ONLY", VacuumMode::SortOnly),
    ("DELETE ONLY", VacuumMode::DeleteOnly),
    ("REINDEX", VacuumMode::Reindex),
    ("RECLUSTER", VacuumMode::Recluster),
];

/// `VACUUM [FULL | SORT ONLY | DELETE ONLY | REINDEX | RECLUSTER] [table] [TO n PERCENT] [BOOST]`
pub(super) fn vacuum(c: &mut Cursor) -> Result<Statement> {
    c.expect("VACUUM")?;
    let mode = MODES.iter().find(|(words, _)| c.take(words)).map_or(VacuumMode::Full, |(_, mode)| *mode);
    let named = !c.at_end() && !c.is("TO") && !c.is("BOOST");
    let table = if named { Some(c.object_name("a table name")?) } else { None };
    let position = c.position();
    let percent = if c.take("TO") { Some(percent(c)?) } else { None };
    let boost = c.take("BOOST");
    let wrong = |what: &str, hint: &str| {
        let error = syntax_error(what, position).with_hint(hint);
        Err(error)
    };
    match (percent, mode, &table) {
        (Some(_), VacuumMode::Reindex | VacuumMode::Recluster, _) => {
            wrong("TO does not go with REINDEX and RECLUSTER", "leave TO out: all of the table is looked at")
        }
        (Some(_), _, None) => wrong("TO goes with one table", "name the table"),
        (_, VacuumMode::Reindex | VacuumMode::Recluster, None) => {
            wrong("REINDEX and RECLUSTER go with one table", "name the table")
        }
        _ if boost && mode == VacuumMode::Reindex => wrong("BOOST does not go with REINDEX", "leave BOOST out"),
        _ => Ok(Statement::Vacuum(Vacuum { mode, table, percent, boost })),
    }
}

/// `n PERCENT`, n from 0 to 100.
fn percent(c: &mut Cursor) -> Result<u8> {
    let position = c.position();
    let Token::Number(digits, _) = c.token(0).clone() else { return Err(c.expected("a number of percent")) };
    c.skip();
    c.expect("PERCENT")?;
    digits.parse::<u8>().ok().filter(|percent| *percent <= 100).ok_or_else(|| {
        Error::invalid(SqlState::INVALID_PARAMETER, format!("{digits} percent are not between 0 and 100"))
            .with_position(position.line, position.column)
            .with_hint("0 does nothing, 100 leaves nothing undone")
    })
}
