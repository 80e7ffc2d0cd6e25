//! SHOW.

use sqlparser::tokenizer::Token;

use crate::common::Result;

use super::ast::{Ident, ObjectName, Show, ShowFilter, ShowSetting, Statement};
use super::cursor::{Cursor, syntax_error, unsupported};

/// What Redshift shows and we do not, by the words after SHOW.
const REFUSED: [&str; 12] = [
    "CONSTRAINTS",
    "DATASHARES",
    "EXTERNAL TABLE",
    "FUNCTION",
    "GRANTS",
    "MODEL",
    "PARAMETERS",
    "POLICIES",
    "PROCEDURE",
    "RLS",
    "TEMPLATE",
    "VIEWS",
];

/// `SHOW …`, from the word on.
pub(super) fn show(c: &mut Cursor) -> Result<Statement> {
    let position = c.position();
    if c.is("SHOW FUNCTIONS") {
        return Ok(Statement::Query(Box::new(c.with(|p| p.parse_statement())?)));
    }
    c.expect("SHOW")?;
    if c.take("TABLE") || c.take("CREATE TABLE") {
        return Ok(Statement::ShowTable { name: c.object_name("a table name")? });
    }
    if c.take("VIEW") || c.take("CREATE VIEW") {
        return Ok(Statement::Show(Show::View(c.object_name("a view name")?)));
    }
    if c.take("DATABASES") {
        return Ok(Statement::Show(Show::Databases(filter(c)?)));
    }
    if c.take("SCHEMAS") {
        let mut database = None;
        if c.take("FROM") || c.take("IN") {
            c.take("DATABASE");
            database = Some(c.ident("the name of a database")?);
        }
        return Ok(Statement::Show(Show::Schemas { database, filter: filter(c)? }));
    }
    if c.take("TABLES") {
        let mut schema = None;
        if c.take("FROM") || c.take("IN") {
            c.take("SCHEMA");
            schema = Some(schema_name(c)?);
        }
        return Ok(Statement::Show(Show::Tables { schema, filter: filter(c)? }));
    }
    if c.take("COLUMNS") {
        if !c.take("FROM") && !c.take("IN") {
            return Err(c.expected("FROM TABLE and a table name"));
        }
        c.take("TABLE");
        let table = c.object_name("a table name")?;
        return Ok(Statement::Show(Show::Columns { table, filter: filter(c)? }));
    }
    if c.take("BACKUPS") {
        if !c.take("FROM") && !c.take("IN") {
            return Err(c.expected("FROM and a location"));
        }
        return Ok(Statement::Show(Show::Backups(c.string("a location in quotes")?)));
    }
    if c.take("HISTORY") {
        c.take("OF");
        let table = c.object_name("a table name")?;
        let limit = if c.take("LIMIT") { Some(c.number("a number of rows")?) } else { None };
        return Ok(Statement::Show(Show::History { table, limit }));
    }
    if let Some(what) = REFUSED.iter().find(|what| c.is(what)) {
        return Err(unsupported(format!("SHOW {what}"), position));
    }
    setting(c)
}

/// `[LIKE 'pattern'] [LIMIT rows]`
fn filter(c: &mut Cursor) -> Result<ShowFilter> {
    let like = if c.take("LIKE") { Some(c.string("a pattern in quotes")?) } else { None };
    let limit = if c.take("LIMIT") { Some(c.number("a number of rows")?) } else { None };
    Ok(ShowFilter { like, limit })
}

/// `[database.]schema`
fn schema_name(c: &mut Cursor) -> Result<ObjectName> {
    let name = c.object_name("a schema name")?;
    match name.parts.len() {
        1 | 2 => Ok(name),
        _ => Err(syntax_error("a schema's name has at most two parts", name.position())
            .with_hint("write database.schema; SHOW COLUMNS FROM TABLE shows a table's columns")),
    }
}

/// `{ALL | name[.name …] | TIME ZONE} [VERBOSE]`
fn setting(c: &mut Cursor) -> Result<Statement> {
    let position = c.position();
    if c.take("ALL") {
        c.take("VERBOSE");
        return Ok(Statement::Show(Show::All));
    }
    let mut words = Vec::new();
    if c.take("TIME ZONE") {
        words.push("timezone".to_string());
    } else {
        loop {
            let Token::Word(word) = c.token(0) else {
                return Err(c.expected("ALL, TABLE, VIEW or the name of a setting"));
            };
            words.push(word.value.to_ascii_lowercase());
            c.skip();
            if !c.take_token(&Token::Period) {
                break;
            }
        }
    }
    let verbose = c.take("VERBOSE");
    let name = Ident { value: words.join("."), quoted: false, position };
    Ok(Statement::Show(Show::Setting(ShowSetting { name, verbose })))
}
