//! Column types.

use sqlparser::tokenizer::Token;

use crate::common::error::Position;
use crate::common::{Error, Result, SqlState, SqlType};

use super::cursor::{Cursor, invalid, unsupported};

const TYPES: &str = "types are SMALLINT, INTEGER, BIGINT, DECIMAL(p,s), REAL, DOUBLE PRECISION, BOOLEAN, CHAR(n), \
                     VARCHAR(n), DATE, TIMESTAMP";

/// Reads a type, by any of the names that Redshift has for it.
pub(super) fn data_type(c: &mut Cursor) -> Result<SqlType> {
    let position = c.position();
    let Some(name) = c.upper_word(0) else { return Err(c.expected("a type")) };
    let simple = match name.as_str() {
        "SMALLINT" | "INT2" => SqlType::SmallInt,
        "INTEGER" | "INT" | "INT4" => SqlType::Integer,
        "BIGINT" | "INT8" => SqlType::BigInt,
        "REAL" | "FLOAT4" => SqlType::Real,
        "FLOAT8" => SqlType::Double,
        "BOOLEAN" | "BOOL" => SqlType::Boolean,
        "TEXT" => SqlType::Varchar(256),
        "BPCHAR" => SqlType::Char(256),
        "DATE" => SqlType::Date,
        _ => return with_arguments(c, &name, position),
    };
    c.skip();
    if *c.token(0) == Token::LParen && !matches!(simple, SqlType::Varchar(_)) {
        return Err(invalid(SqlState::SYNTAX_ERROR, format!("{name} takes no length"), c.position())
            .with_hint("leave the parentheses out"));
    }
    // TEXT(n) is VARCHAR(256) whatever n.
    if *c.token(0) == Token::LParen {
        c.parens(|c| c.number("a length"))?;
    }
    Ok(simple)
}

fn with_arguments(c: &mut Cursor, name: &str, position: Position) -> Result<SqlType> {
    let place = |e: Error| e.with_position(position.line, position.column);
    match name {
        "DECIMAL" | "NUMERIC" => {
            c.skip();
            let arguments = if *c.token(0) == Token::LParen { c.parens(|c| c.number("a number"))? } else { vec![18] };
            match arguments[..] {
                [precision] => SqlType::decimal(precision, 0).map_err(place),
                [precision, scale] => SqlType::decimal(precision, scale).map_err(place),
                _ => Err(invalid(SqlState::SYNTAX_ERROR, format!("{name} takes precision and scale"), position)
                    .with_hint(format!("write {name}(precision, scale)"))),
            }
        }
        "DOUBLE" => {
            c.skip();
            c.expect("PRECISION")?;
            Ok(SqlType::Double)
        }
        "FLOAT" => {
            c.skip();
            let precision =
                if *c.token(0) == Token::LParen { c.parens(|c| c.number("a precision"))? } else { vec![53] };
            match precision[..] {
                [1..=24] => Ok(SqlType::Real),
                [25..=53] => Ok(SqlType::Double),
                _ => Err(invalid(SqlState::INVALID_TABLE_DEFINITION, "FLOAT precision must be from 1 to 53", position)
                    .with_hint("write REAL or DOUBLE PRECISION")),
            }
        }
        "CHAR" | "CHARACTER" | "NCHAR" | "VARCHAR" | "NVARCHAR" => {
            c.skip();
            let varying = matches!(name, "VARCHAR" | "NVARCHAR") || c.take("VARYING");
            let (default, max) = match varying {
                true => (256, SqlType::MAX_VARCHAR_BYTES),
                false => (1, SqlType::MAX_CHAR_BYTES),
            };
            let length = length(c, default, max)?;
            if varying { SqlType::varchar(length) } else { SqlType::char(length) }.map_err(place)
        }
        "TIMESTAMP" => {
            c.skip();
            if *c.token(0) == Token::LParen {
                c.parens(|c| c.number("a precision"))?;
            }
            if c.take("WITH TIME ZONE") {
                return Err(unsupported("TIMESTAMP WITH TIME ZONE", position).with_hint("store UTC as TIMESTAMP"));
            }
            c.take("WITHOUT TIME ZONE");
            Ok(SqlType::Timestamp)
        }
        "TIMESTAMPTZ" => Err(unsupported("TIMESTAMPTZ", position).with_hint("store UTC as TIMESTAMP")),
        "TIME" | "TIMETZ" | "SUPER" | "VARBYTE" | "VARBINARY" | "BINARY" | "GEOMETRY" | "GEOGRAPHY" | "HLLSKETCH"
        | "INTERVAL" => Err(unsupported(format!("the type {name}"), position).with_hint(TYPES)),
        _ => {
            Err(invalid(SqlState::UNDEFINED_TYPE, format!("unknown type \"{}\"", name.to_ascii_lowercase()), position)
                .with_hint(TYPES))
        }
    }
}

/// `[(n | MAX)]`
fn length(c: &mut Cursor, default: u32, max: u32) -> Result<u64> {
    if !c.take_token(&Token::LParen) {
        return Ok(u64::from(default));
    }
    let length = if c.take("MAX") { u64::from(max) } else { c.number("a length or MAX")? };
    c.expect_token(&Token::RParen)?;
    Ok(length)
}
