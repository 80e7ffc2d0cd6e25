//! Parameters of prepared statements, and the values given for them.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

use crate::common::{Error, Result, SqlState};

/// A parameter and its type, `None` where the statement does not tell.
pub(super) type Parameter = (String, Option<DataType>);

/// `$1` to the highest number among `found`, gaps included.
pub(super) fn in_order(found: HashMap<String, Option<DataType>>) -> Result<Vec<Parameter>> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for (name, data_type) in found {
        let number = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()).filter(|n| (1..=MOST).contains(n));
        let Some(number) = number else {
            return Err(Error::invalid(SqlState::INVALID_PARAMETER, format!("\"{name}\" is no parameter"))
                .with_hint(format!("parameters are $1, $2 and so on up to ${MOST}")));
        };
        for next in parameters.len()..number {
            parameters.push((format!("${}", next + 1), None));
        }
        parameters[number - 1].1 = data_type;
    }
    Ok(parameters)
}

/// As many as PostgreSQL's protocol can pass.
const MOST: usize = 65_535;

/// The values, text read as the parameter's type.
pub(super) fn check(parameters: &[Parameter], values: Vec<ScalarValue>) -> Result<Vec<ScalarValue>> {
    if values.len() != parameters.len() {
        return Err(Error::invalid(
            SqlState::INVALID_PARAMETER,
            format!("the statement has {} parameters, {} values were given", parameters.len(), values.len()),
        ));
    }
    parameters.iter().zip(values).map(|(parameter, value)| check_one(parameter, value)).collect()
}

fn check_one((name, data_type): &Parameter, value: ScalarValue) -> Result<ScalarValue> {
    let given = value.data_type();
    let Some(wanted) = data_type else { return Ok(value) };
    if value.is_null() || kind(&given) == kind(wanted) {
        return Ok(value);
    }
    let mismatch = |detail: String| {
        Error::invalid(
            SqlState::DATATYPE_MISMATCH,
            format!("parameter {name} is of type {wanted}, the value is {given}"),
        )
        .with_detail(detail)
        .with_hint("give a value of the parameter's type, or cast the parameter in the statement")
    };
    match kind(&given) {
        // Read in the session's time zone when the statement runs.
        Kind::Text if matches!(wanted, DataType::Timestamp(_, Some(_))) => Ok(value),
        Kind::Text => value.cast_to(wanted).map_err(|e| mismatch(e.strip_backtrace())),
        _ => Err(mismatch(format!("the value is {value}"))),
    }
}

/// Within one kind, values mean the same whatever their type.
#[derive(Debug, PartialEq)]
enum Kind<'a> {
    Number,
    Text,
    Time,
    TimeOfDay,
    Bytes,
    Other(&'a DataType),
}

fn kind(data_type: &DataType) -> Kind<'_> {
    match data_type {
        t if t.is_numeric() => Kind::Number,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Kind::Time,
        DataType::Time32(_) | DataType::Time64(_) => Kind::TimeOfDay,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Kind::Bytes,
        other => Kind::Other(other),
    }
}
