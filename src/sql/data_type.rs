//! Column types.

use sqlparser::tokenizer::Token;

use crate::common::error::Position;
use crate::common::{Error, Result, SqlState, SqlType};

use super::cursor::{Cursor, invalid, unsupported};

const TYPES: &str = "types are SMALLINT, INTEGER, BIGINT, DECIMAL(p,s), REAL, DOUBLE PRECISION, BOOLEAN, CHAR(n), \
                     VARCHAR(n), DATE, TIME, TIMESTAMP, TIMESTAMPTZ, VARBYTE(n), SUPER";

/// What to use instead of a type that Redshift has and tables here do not, by any of its names in capitals; `None` for all
/// other types.
pub fn refused_type(name: &str) -> Option<&'static str> {
    Some(match name {
        "TIMETZ" | "TIME WITH TIME ZONE" => "use TIMESTAMPTZ, or TIME and the zone in a column of its own",
        "GEOMETRY" | "GEOGRAPHY" => "use VARBYTE for well-known binary, VARCHAR for well-known text",
        "HLLSKETCH" => "count with approx_distinct, or keep a sketch made elsewhere as VARBYTE",
        "INTERVAL" => "use BIGINT and a unit, such as seconds; expressions may have intervals",
        _ => return None,
    })
}

/// Redshift's type for what is another system's.
fn closest_type(name: &str) -> Option<&'static str> {
    Some(match name {
        "JSON" | "JSONB" | "ARRAY" | "STRUCT" | "MAP" | "HSTORE" | "VARIANT" | "XML" => "SUPER",
        "BYTEA" | "BLOB" | "BINARY" | "BYTES" | "BIT" | "VARBIT" => "VARBYTE",
        "UUID" => "CHAR(36)",
        "MONEY" => "DECIMAL(19,4)",
        "SERIAL" | "BIGSERIAL" | "SMALLSERIAL" => "BIGINT",
        "TINYINT" | "INT1" => "SMALLINT",
        "STRING" | "CLOB" | "VARCHAR2" | "NVARCHAR2" | "CITEXT" | "NAME" | "INET" | "CIDR" => "VARCHAR",
        "DATETIME" | "TIMESTAMP_NTZ" => "TIMESTAMP",
        "TIMESTAMP_TZ" => "TIMESTAMPTZ",
        "NUMBER" => "DECIMAL",
        _ => return None,
    })
}

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
        "SUPER" => SqlType::Super,
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
        "DECIMAL" | "NUMERIC" | "DEC" => {
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
            precision(c)?;
            if c.take("WITH TIME ZONE") {
                return Ok(SqlType::TimestampTz);
            }
            c.take("WITHOUT TIME ZONE");
            Ok(SqlType::Timestamp)
        }
        "TIMESTAMPTZ" => {
            c.skip();
            precision(c)?;
            Ok(SqlType::TimestampTz)
        }
        "TIME" => {
            c.skip();
            precision(c)?;
            if c.take("WITH TIME ZONE") {
                return Err(refused("TIME WITH TIME ZONE", position));
            }
            c.take("WITHOUT TIME ZONE");
            Ok(SqlType::Time)
        }
        "VARBYTE" | "VARBINARY" => {
            c.skip();
            let length = length(c, SqlType::DEFAULT_VARBYTE_BYTES, SqlType::MAX_VARBYTE_BYTES)?;
            SqlType::varbyte(length).map_err(place)
        }
        "BINARY" if c.is("BINARY VARYING") => {
            c.take("BINARY VARYING");
            let length = length(c, SqlType::DEFAULT_VARBYTE_BYTES, SqlType::MAX_VARBYTE_BYTES)?;
            SqlType::varbyte(length).map_err(place)
        }
        _ if refused_type(name).is_some() => Err(refused(name, position)),
        _ => {
            let unknown = format!("unknown type \"{}\"", name.to_ascii_lowercase());
            let hint = closest_type(name).map_or(TYPES.to_string(), |closest| format!("use {closest}; {TYPES}"));
            Err(invalid(SqlState::UNDEFINED_TYPE, unknown, position).with_hint(hint))
        }
    }
}

fn refused(name: &str, position: Position) -> Error {
    unsupported(format!("the type {name}"), position).with_hint(refused_type(name).unwrap_or(TYPES))
}

/// The precision of a time: that of all, microseconds, and no other.
fn precision(c: &mut Cursor) -> Result<()> {
    if *c.token(0) != Token::LParen {
        return Ok(());
    }
    let position = c.position();
    match c.parens(|c| c.number("a precision"))?[..] {
        [SqlType::SECOND_DIGITS] => Ok(()),
        _ => Err(unsupported("a precision of times other than 6", position).with_hint(SqlType::KEEP_MICROSECONDS)),
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
