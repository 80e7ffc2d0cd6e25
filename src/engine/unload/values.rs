//! Values as text files have them: what COPY reads back as the same values.

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, StringViewArray, StringViewBuilder};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, Float16Type, Float32Type, Float64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use chrono::DateTime;

use crate::common::sql_type::SqlType;
use crate::common::{Error, Result, SqlState};
use crate::functions::zones;

/// How JSON writes a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonForm {
    /// As their text is: numbers, and SUPER, which is JSON.
    Bare,
    /// `true` and `false`.
    Truth,
    /// Numbers, but for NaN and the infinities, which JSON does not have: they are strings.
    Float,
    Quoted,
}

pub fn json_form(field: &Field) -> JsonForm {
    match field.data_type() {
        DataType::Boolean => JsonForm::Truth,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => JsonForm::Float,
        other if other.is_numeric() => JsonForm::Bare,
        _ if SqlType::from_field(field) == Some(SqlType::Super) => JsonForm::Bare,
        _ => JsonForm::Quoted,
    }
}

/// Unsupported for a type that has no text that COPY reads.
pub fn check_text(field: &Field) -> Result<()> {
    match field.data_type() {
        DataType::Interval(_)
        | DataType::Duration(_)
        | DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeList(..)
        | DataType::Struct(_)
        | DataType::Map(..)
        | DataType::Union(..) => {
            let type_name = crate::engine::wording::type_name(field.data_type());
            let message = format!("column \"{}\" of type {type_name} cannot be unloaded as text", field.name());
            Err(Error::unsupported(message).with_hint("cast it to VARCHAR in the query"))
        }
        _ => Ok(()),
    }
}

/// A column as text: booleans as t and f, dates and times in ISO's order with a blank in between, instants in `zone` with
/// its offset, the shortest digits that give a float back, bytes in hexadecimal digits.
pub fn texts(array: &ArrayRef, zone: Tz) -> Result<StringViewArray> {
    let as_type = |to: DataType| cast(array, &to);
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean().iter();
            Ok(values.map(|value| value.map(|yes| if yes { "t" } else { "f" })).collect())
        }
        DataType::Float16 => of(array.as_primitive::<Float16Type>(), |v, out| float(f64::from(v.to_f32()), out)),
        DataType::Float32 => of(array.as_primitive::<Float32Type>(), float),
        DataType::Float64 => of(array.as_primitive::<Float64Type>(), float),
        DataType::Timestamp(_, Some(_)) => Ok(zones::to_text(array, zone)?.as_string_view().clone()),
        DataType::Timestamp(_, None) | DataType::Date64 => {
            let local = as_type(DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let mut failed = false;
            let texts = of(local.as_primitive::<TimestampMicrosecondType>(), |v, out| {
                match DateTime::from_timestamp_micros(v) {
                    Some(time) => out.push_str(&time.format("%Y-%m-%d %H:%M:%S").to_string()),
                    None => failed = true,
                }
                fraction(v, out);
            });
            match failed {
                true => Err(Error::invalid(SqlState::NUMERIC_OUT_OF_RANGE, "a timestamp is out of range")),
                false => texts,
            }
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            let times = as_type(DataType::Time64(TimeUnit::Microsecond))?;
            of(times.as_primitive::<Time64MicrosecondType>(), |v, out| {
                let seconds = v / 1_000_000;
                let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
                out.push_str(&format!("{hours:02}:{minutes:02}:{:02}", seconds % 60));
                fraction(v, out);
            })
        }
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) | DataType::BinaryView => {
            let bytes = cast(array, &DataType::BinaryView)?;
            let mut texts = StringViewBuilder::with_capacity(bytes.len());
            let mut digits = String::new();
            for value in bytes.as_binary_view() {
                match value {
                    None => texts.append_null(),
                    Some(value) => {
                        digits.clear();
                        value.iter().for_each(|byte| digits.push_str(&format!("{byte:02x}")));
                        texts.append_value(&digits);
                    }
                }
            }
            Ok(texts.finish())
        }
        DataType::Utf8View => Ok(array.as_string_view().clone()),
        // Arrow's own text: whole numbers, all digits of decimals, dates.
        _ => {
            let texts = cast(&cast(array, &DataType::Utf8)?, &DataType::Utf8View)?;
            Ok(texts.as_string_view().clone())
        }
    }
}

/// Each value as what `write` adds to an empty text.
fn of<T: ArrowPrimitiveType>(
    values: &arrow::array::PrimitiveArray<T>,
    mut write: impl FnMut(T::Native, &mut String),
) -> Result<StringViewArray> {
    let mut texts = StringViewBuilder::with_capacity(values.len());
    let mut text = String::new();
    for value in values {
        match value {
            None => texts.append_null(),
            Some(value) => {
                text.clear();
                write(value, &mut text);
                texts.append_value(&text);
            }
        }
    }
    Ok(texts.finish())
}

/// Digits of a second behind the point, if there are any.
fn fraction(micros: i64, out: &mut String) {
    let fraction = micros.rem_euclid(1_000_000);
    if fraction != 0 {
        out.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
}

/// The shortest text that reads back as `value`; with an exponent where that is far shorter.
fn float<F: num::Float>(value: F, out: &mut String) {
    let magnitude = value.as_f64().abs();
    let text = match magnitude {
        m if m.is_nan() => "NaN".to_string(),
        m if m.is_infinite() => if value.as_f64() < 0.0 { "-Infinity" } else { "Infinity" }.to_string(),
        m if m == 0.0 || (1e-5..1e16).contains(&m) => value.plain(),
        _ => value.scientific(),
    };
    out.push_str(&text);
}

/// What is common to REAL and DOUBLE: each has shortest digits of its own.
mod num {
    pub trait Float: Copy {
        fn as_f64(self) -> f64;
        fn plain(self) -> String;
        fn scientific(self) -> String;
    }

    macro_rules! float {
        ($($of:ty)*) => {
            $(impl Float for $of {
                fn as_f64(self) -> f64 { f64::from(self) }
                fn plain(self) -> String { self.to_string() }
                fn scientific(self) -> String { format!("{self:e}") }
            })*
        };
    }

    float!(f32 f64);
}
