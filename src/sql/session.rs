//! Statements about the session's names: search_path, ATTACH, DETACH; and COMMENT.

use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::common::error::Position;
use crate::common::{Error, Result, SqlState};

use super::ast::{Attach, Comment, CommentObject, Detach, Ident, Statement};
use super::cursor::{Cursor, syntax_error, unsupported};

/// The session's own database, as the engine calls it.
const OWN_DATABASE: &str = "dev";

/// Whether a SET or RESET is about search_path; then it is read.
pub(super) fn search_path(c: &mut Cursor) -> Result<Option<Statement>> {
    if c.take("RESET search_path") {
        return Ok(Some(Statement::SetSearchPath(None)));
    }
    let scoped = c.is("SET SESSION") || c.is("SET LOCAL");
    if !c.is("SET") || !c.is_at(1 + usize::from(scoped), "search_path") {
        return Ok(None);
    }
    if c.is("SET LOCAL") {
        return Err(unsupported("SET LOCAL", c.position()).with_hint("use SET: it lasts as long as the session"));
    }
    (0..2 + usize::from(scoped)).for_each(|_| c.skip());
    if !c.take("TO") {
        c.expect_token(&Token::Eq)?;
    }
    if c.take("DEFAULT") {
        return Ok(Some(Statement::SetSearchPath(None)));
    }
    let schemas = c.list(|c| match c.token(0) {
        // As PostgreSQL reads it: a string is one schema's name, and an empty one none.
        Token::SingleQuotedString(_) => {
            let position = c.position();
            Ok(Ident { value: c.string("a schema name")?, quoted: true, position })
        }
        // `$user` without quotes is no word for the tokenizer.
        Token::Placeholder(word) if word.eq_ignore_ascii_case("$user") => {
            let position = c.position();
            c.skip();
            Ok(Ident { value: "$user".into(), quoted: false, position })
        }
        _ => {
            let name = c.object_name("a schema name")?;
            match name.parts.as_slice() {
                [_] => Ok(name.base().clone()),
                [database, schema] if database.value == OWN_DATABASE => Ok(schema.clone()),
                _ => Err(unsupported("a schema of another database in search_path", name.position())
                    .with_hint("write the whole names of its tables, as in other.public.t")),
            }
        }
    })?;
    let named = schemas.into_iter().filter(|schema| !schema.value.is_empty());
    Ok(Some(Statement::SetSearchPath(Some(named.collect()))))
}

/// Redshift's parameters that are settings of ours, under other names, with their defaults.
const PARAMETERS: [(&str, &str, &str, Kind); 2] = [
    ("analyze_threshold_percent", "blueshift.analyze_threshold_percent", "10", Kind::Percent),
    ("error_on_nondeterministic_update", "blueshift.error_on_nondeterministic_update", "false", Kind::Switch),
];

/// What values a parameter has.
#[derive(Clone, Copy)]
enum Kind {
    Percent,
    Switch,
}

/// Whether a SET, SHOW or RESET is about one of [`PARAMETERS`]; then it is read.
pub(super) fn parameter(c: &mut Cursor) -> Result<Option<Statement>> {
    let verb = c.upper_word(0).unwrap_or_default();
    let scoped = usize::from(c.is("SET SESSION") || c.is("SET LOCAL"));
    let known = PARAMETERS.iter().find(|(name, ..)| c.is_at(1 + scoped, name));
    let Some((name, setting, default, kind)) = known else { return Ok(None) };
    if c.is("SET LOCAL") {
        return Err(unsupported("SET LOCAL", c.position()).with_hint("use SET: it lasts as long as the session"));
    }
    (0..2 + scoped).for_each(|_| c.skip());
    let position = c.position();
    let reset = || own(&format!("SET {setting} = {default}"), position);
    match verb.as_str() {
        "SHOW" => return Ok(Some(Statement::ShowParameter(name))),
        "RESET" => return reset(),
        _ => {}
    }
    if !c.take("TO") {
        c.expect_token(&Token::Eq)?;
    }
    if c.take("DEFAULT") {
        return reset();
    }
    let position = c.position();
    let value = match kind {
        Kind::Percent => percent(c, name)?,
        Kind::Switch => switch(c, name)?,
    };
    own(&format!("SET {setting} = {value}"), position)
}

fn percent(c: &mut Cursor, name: &str) -> Result<String> {
    let position = c.position();
    let negative = c.take_token(&Token::Minus);
    let value = match c.token(0) {
        Token::SingleQuotedString(text) => text.clone(),
        Token::Number(digits, _) => digits.clone(),
        _ => return Err(c.expected("a number or DEFAULT")),
    };
    c.skip();
    let number = value.parse::<f64>().ok().filter(|number| !negative && (0.0..=100.0).contains(number));
    let Some(number) = number else {
        let sign = if negative { "-" } else { "" };
        let message = format!("{name} {sign}{value} must be a number between 0 and 100");
        let error = Error::invalid(SqlState::INVALID_PARAMETER, message);
        return Err(error.with_position(position.line, position.column).with_hint("0 analyzes always"));
    };
    Ok(number.to_string())
}

fn switch(c: &mut Cursor, name: &str) -> Result<String> {
    let position = c.position();
    let value = match c.token(0) {
        Token::SingleQuotedString(text) => text.clone(),
        Token::Number(digits, _) => digits.clone(),
        Token::Word(word) => word.value.clone(),
        _ => return Err(c.expected("on, off or DEFAULT")),
    };
    c.skip();
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "t" | "1" => Ok("true".to_string()),
        "off" | "false" | "no" | "f" | "0" => Ok("false".to_string()),
        _ => {
            let message = format!("invalid value for setting \"{name}\": \"{value}\"");
            let error = Error::invalid(SqlState::INVALID_PARAMETER, message);
            Err(error.with_position(position.line, position.column).with_hint("give on or off"))
        }
    }
}

/// A statement of our own making, as if it had been written so.
fn own(sql: &str, position: Position) -> Result<Option<Statement>> {
    let parsed = Parser::parse_sql(&GenericDialect {}, sql).ok().and_then(|mut statements| statements.pop());
    let parsed = parsed.ok_or_else(|| syntax_error(format!("cannot be read as {sql}"), position))?;
    Ok(Some(Statement::Query(Box::new(parsed))))
}

/// `ATTACH [DATABASE] 'location' AS name [(READ ONLY)]`
pub(super) fn attach(c: &mut Cursor) -> Result<Statement> {
    c.expect("ATTACH")?;
    c.take("DATABASE");
    let location_position = c.position();
    let location = c.string("a location in quotes")?;
    c.expect("AS")?;
    let name = c.ident("a name for the database")?;
    let mut read_only = false;
    if c.take_token(&Token::LParen) {
        let position = c.position();
        if !c.take("READ ONLY") && !c.take("READ_ONLY") {
            return Err(c.expected("READ ONLY"));
        }
        read_only = true;
        if c.is("FALSE") {
            return Err(syntax_error("READ ONLY takes no value", position).with_hint("leave it out to write, too"));
        }
        c.expect_token(&Token::RParen)?;
    }
    Ok(Statement::Attach(Attach { location, location_position, name, read_only }))
}

/// `DETACH [DATABASE] name`
pub(super) fn detach(c: &mut Cursor) -> Result<Statement> {
    c.expect("DETACH")?;
    c.take("DATABASE");
    Ok(Statement::Detach(Detach { name: c.ident("the name of an attached database")? }))
}

/// `COMMENT ON object name IS {'text' | NULL}`
pub(super) fn comment(c: &mut Cursor) -> Result<Statement> {
    let position = c.position();
    c.expect("COMMENT")?;
    c.expect("ON")?;
    let word = c.upper_word(0).unwrap_or_default();
    let object = match word.as_str() {
        "TABLE" | "VIEW" | "SCHEMA" | "DATABASE" | "CONSTRAINT" | "COLUMN" => {
            c.skip();
            match word.as_str() {
                "TABLE" => CommentObject::Table(c.object_name("a table name")?),
                "VIEW" => CommentObject::View(c.object_name("a view name")?),
                "SCHEMA" => CommentObject::Schema(c.object_name("a schema name")?),
                "DATABASE" => CommentObject::Database(c.ident("the name of a database")?),
                "COLUMN" => {
                    // One part more than a table's name has.
                    let mut parts = vec![c.ident("a table name")?];
                    while c.take_token(&Token::Period) {
                        parts.push(c.ident("a name after \".\"")?);
                    }
                    let column = match (parts.len(), parts.pop()) {
                        (2..=4, Some(column)) => column,
                        _ => {
                            return Err(syntax_error("a column's name has two to four parts", position)
                                .with_hint("write table.column"));
                        }
                    };
                    CommentObject::Column(super::ast::ObjectName { parts }, column)
                }
                _ => {
                    let name = c.ident("a constraint name")?;
                    c.expect("ON")?;
                    CommentObject::Constraint(name, c.object_name("a table name")?)
                }
            }
        }
        "" => return Err(c.expected("TABLE, VIEW, COLUMN, SCHEMA, DATABASE or CONSTRAINT")),
        other => return Err(unsupported(format!("COMMENT ON {other}"), position)),
    };
    c.expect("IS")?;
    let text = if c.take("NULL") { None } else { Some(c.string("a text in quotes, or NULL")?) };
    // An empty text is none, as in PostgreSQL.
    Ok(Statement::Comment(Comment { object, text: text.filter(|t| !t.is_empty()) }))
}
