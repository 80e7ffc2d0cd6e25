//! Types in casts mean what they mean in CREATE TABLE.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    BinaryLength, CharacterLength, DataType as AstType, ExactNumberInfo, TimezoneInfo,
};

use crate::common::{Error, SqlState, SqlType};
use crate::physical_plan::declared::cast_target;
use crate::sql::refused_type;

/// Reads the types that DataFusion reads otherwise: DECIMAL without precision, FLOAT, times in microseconds, text and
/// bytes with a length, and those that it does not know.
#[derive(Debug)]
pub(super) struct CastTypes;

impl TypePlanner for CastTypes {
    fn plan_type_field(&self, written: &AstType) -> Result<Option<FieldRef>> {
        let declared = match written {
            AstType::Decimal(ExactNumberInfo::None)
            | AstType::Numeric(ExactNumberInfo::None)
            | AstType::Dec(ExactNumberInfo::None) => {
                return Ok(Some(plain(SqlType::Decimal { precision: 18, scale: 0 })));
            }
            AstType::Dec(ExactNumberInfo::Precision(precision)) => {
                return decimal(*precision, 0).map(Some);
            }
            AstType::Dec(ExactNumberInfo::PrecisionAndScale(precision, scale)) => {
                return decimal(*precision, *scale).map(Some);
            }
            // FLOAT is DOUBLE PRECISION; with a precision in bits, the smaller type that has it.
            AstType::Float(ExactNumberInfo::None) => return Ok(Some(plain(SqlType::Double))),
            AstType::Float(ExactNumberInfo::Precision(1..=24)) => return Ok(Some(plain(SqlType::Real))),
            AstType::Float(ExactNumberInfo::Precision(25..=53)) => return Ok(Some(plain(SqlType::Double))),
            AstType::Float(_) => Err(Error::invalid(SqlState::SYNTAX_ERROR, "FLOAT precision must be from 1 to 53")
                .with_hint("write REAL or DOUBLE PRECISION")),
            AstType::Time(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => Err(refused("TIMETZ")),
            AstType::Time(Some(digits), _) | AstType::Timestamp(Some(digits), _)
                if *digits != SqlType::SECOND_DIGITS =>
            {
                Err(Error::unsupported("a precision of times other than 6 is not supported yet")
                    .with_hint(SqlType::KEEP_MICROSECONDS))
            }
            AstType::Time(..) => return Ok(Some(plain(SqlType::Time))),
            AstType::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => Ok(SqlType::TimestampTz),
            AstType::Timestamp(..) => return Ok(Some(plain(SqlType::Timestamp))),
            AstType::Varbinary(length) => match length {
                None => SqlType::varbyte(SqlType::DEFAULT_VARBYTE_BYTES.into()),
                Some(BinaryLength::Max) => SqlType::varbyte(SqlType::MAX_VARBYTE_BYTES.into()),
                Some(BinaryLength::IntegerLength { length }) => SqlType::varbyte(*length),
            },
            AstType::Custom(name, arguments) => match custom(&name.to_string(), arguments) {
                Some(declared) => declared,
                None => return Ok(None),
            },
            AstType::Varchar(length)
            | AstType::CharVarying(length)
            | AstType::CharacterVarying(length)
            | AstType::Nvarchar(length) => match length {
                Some(length) => SqlType::varchar(bytes(length, SqlType::MAX_VARCHAR_BYTES)),
                None => return Ok(Some(text())),
            },
            AstType::Text | AstType::String(_) => return Ok(Some(text())),
            AstType::Char(length) | AstType::Character(length) => match length {
                Some(length) => SqlType::char(bytes(length, SqlType::MAX_CHAR_BYTES)),
                None => Ok(SqlType::Char(SqlType::MAX_CHAR_BYTES)),
            },
            _ => return Ok(None),
        };
        declared.map(|declared| Some(cast_target(declared))).map_err(|e| DataFusionError::External(Box::new(e)))
    }
}

/// A type that Arrow's tells wholly.
fn plain(sql_type: SqlType) -> FieldRef {
    Arc::new(Field::new("", sql_type.arrow_type(), true))
}

fn decimal(precision: u64, scale: i64) -> Result<FieldRef> {
    // A negative scale is out of range as well as one that is too large.
    let declared = SqlType::decimal(precision, u64::try_from(scale).unwrap_or(u64::MAX));
    declared.map(plain).map_err(|e| DataFusionError::External(Box::new(e)))
}

/// A type that the parser does not know; `None` where nobody does.
fn custom(name: &str, arguments: &[String]) -> Option<Result<SqlType, Error>> {
    let name = name.to_ascii_uppercase();
    Some(match name.as_str() {
        "SUPER" => Ok(SqlType::Super),
        "BPCHAR" => Ok(SqlType::Char(256)),
        "VARBYTE" => match arguments {
            [] => SqlType::varbyte(SqlType::DEFAULT_VARBYTE_BYTES.into()),
            [max] if max.eq_ignore_ascii_case("max") => SqlType::varbyte(SqlType::MAX_VARBYTE_BYTES.into()),
            [length] => length.parse().map_err(|_| no_length(length)).and_then(SqlType::varbyte),
            [_, further, ..] => Err(no_length(further)),
        },
        refused_name if refused_type(refused_name).is_some() => Err(refused(refused_name)),
        _ => return None,
    })
}

fn no_length(written: &str) -> Error {
    Error::invalid(SqlState::SYNTAX_ERROR, format!("\"{written}\" is no length of VARBYTE"))
        .with_hint("write VARBYTE(n), n being the greatest number of bytes")
}

fn refused(name: &str) -> Error {
    Error::unsupported(format!("the type {name} is not supported yet"))
        .with_hint(refused_type(name).unwrap_or_default())
}

/// As long as the value. A field with a name drops what the source's metadata says of its length.
fn text() -> FieldRef {
    Arc::new(Field::new("text", DataType::Utf8View, true))
}

fn bytes(length: &CharacterLength, max: u32) -> u64 {
    match length {
        CharacterLength::IntegerLength { length, .. } => *length,
        CharacterLength::Max => u64::from(max),
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::Warehouse;

    #[tokio::test]
    async fn a_cast_with_a_length_names_its_column_as_one_without() {
        let session = Warehouse::open("memory://").await.unwrap().session();
        session.sql("create table t (v varchar(9))").await.unwrap();
        session.sql("insert into t values ('abc')").await.unwrap();
        let names = async |sql: &str| -> Vec<String> {
            let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
            batches[0].schema().fields().iter().map(|f| f.name().clone()).collect()
        };
        let cut = names(
            "select v::varchar(2), upper(v::char(2)), max(v::varchar(1)) from t group by v::varchar(2), upper(v::char(2))",
        );
        let plain = names(
            "select v::varchar, upper(v::varchar), max(v::varchar) from t group by v::varchar, upper(v::varchar)",
        );
        let (cut, plain) = (cut.await, plain.await);
        assert_eq!(cut, plain);
        assert_eq!(cut[0], "t.v");
    }
}
