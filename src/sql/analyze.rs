//! ANALYZE and ANALYZE COMPRESSION.

use sqlparser::tokenizer::Token;

use crate::common::{Error, Result, SqlState};

use super::ast::{Analyze, AnalyzeCompression, Objective, Statement};
use super::cursor::{Cursor, syntax_error};

/// Either statement; a table named `compression` is written in quotes.
pub(super) fn analyze(c: &mut Cursor) -> Result<Statement> {
    match c.take("ANALYZE COMPRESSION") {
        true => compression(c),
        false => statistics(c),
    }
}

/// `ANALYZE [VERBOSE] [table [(column, …)]] [PREDICATE COLUMNS | ALL COLUMNS]`
fn statistics(c: &mut Cursor) -> Result<Statement> {
    c.expect("ANALYZE")?;
    let mut statement =
        Analyze { verbose: c.take("VERBOSE"), table: None, columns: Vec::new(), predicate_columns: false };
    let choice = |c: &Cursor| c.is("PREDICATE COLUMNS") || c.is("ALL COLUMNS");
    if !c.at_end() && !choice(c) {
        statement.table = Some(c.object_name("a table name, PREDICATE COLUMNS, ALL COLUMNS or the statement's end")?);
        if *c.token(0) == Token::LParen {
            statement.columns = c.column_names()?;
        }
    }
    if choice(c) {
        let position = c.position();
        statement.predicate_columns = c.take("PREDICATE COLUMNS");
        if !statement.columns.is_empty() {
            let message = "a list of columns says already which are analyzed";
            return Err(syntax_error(message, position).with_hint("leave out the list, or what follows it"));
        }
        if !statement.predicate_columns {
            c.expect("ALL COLUMNS")?;
        }
    }
    Ok(Statement::Analyze(statement))
}

/// `ANALYZE COMPRESSION [table [(column, …)]] [COMPROWS rows] [FOR {SPACE | SPEED}]`, from the table on.
fn compression(c: &mut Cursor) -> Result<Statement> {
    let mut statement =
        AnalyzeCompression { table: None, columns: Vec::new(), rows: None, objective: Objective::Space };
    if !c.at_end() && !comprows(c) && !c.is("FOR") {
        statement.table = Some(c.object_name("a table name, FOR or the statement's end")?);
        if *c.token(0) == Token::LParen {
            statement.columns = c.column_names()?;
        }
    }
    if c.is("COMPROWS") {
        let position = c.position();
        c.skip();
        if statement.table.is_none() {
            return Err(syntax_error("COMPROWS needs a table", position).with_hint("name the table before it"));
        }
        let position = c.position();
        let rows = c.number("a number of rows")?;
        if !AnalyzeCompression::COMPROWS.contains(&rows) {
            let (least, most) = (AnalyzeCompression::COMPROWS.start(), AnalyzeCompression::COMPROWS.end());
            let message = format!("COMPROWS {rows} must be between {least} and {most}");
            return Err(Error::invalid(SqlState::INVALID_PARAMETER, message)
                .with_position(position.line, position.column)
                .with_hint("leave it out for a sample of 100000 rows a slice"));
        }
        statement.rows = Some(rows);
    }
    if c.take("FOR") {
        statement.objective = match () {
            _ if c.take("SPACE") => Objective::Space,
            _ if c.take("SPEED") => Objective::Speed,
            _ => return Err(c.expected("SPACE or SPEED")),
        };
    }
    Ok(Statement::AnalyzeCompression(statement))
}

/// Whether the word stands here with its number: else it is a table's name.
fn comprows(c: &Cursor) -> bool {
    c.is("COMPROWS") && matches!(c.token(1), Token::Number(..))
}
