//! TO_CHAR, TO_DATE, TO_TIMESTAMP and TO_NUMBER.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, StringViewBuilder};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::functions::datetime;
use datafusion::logical_expr::ScalarUDF;

use super::call::{Arguments, Call, Kind, Types, timestamp};
use super::format::Format;
use super::numbers::{Digits, NumberFormat};
use super::read::{check, read};
use super::write::{Shown, Written, write};
use crate::common::calendar::DAY_US;
use crate::common::{Error, Result, SqlState};

/// DataFusion's functions of these names take formats of another kind; without a format they stay DataFusion's.
pub(super) fn replacements() -> Vec<Arc<ScalarUDF>> {
    let config = datafusion::config::ConfigOptions::new();
    let read: &[&[Kind]] = &[&[Kind::Written, Kind::Text], &[Kind::Written, Kind::Text, Kind::Boolean]];
    vec![
        Call::new("to_char", &[&[Kind::Temporal, Kind::Text], &[Kind::Number, Kind::Text]], to_char_type, to_char)
            .function(),
        Call {
            otherwise: Some(datetime::to_date()),
            ..Call::new("to_date", read, |types| checked(types, "to_date").map(|()| DataType::Date32), to_date)
        }
        .function(),
        Call {
            otherwise: Some(datetime::to_timestamp(&config)),
            ..Call::new(
                "to_timestamp",
                read,
                |types| checked(types, "to_timestamp").map(|()| timestamp(true)),
                to_timestamp,
            )
        }
        .function(),
    ]
}

pub(super) fn to_number() -> Arc<ScalarUDF> {
    Call::new("to_number", &[&[Kind::Text, Kind::Text]], to_number_type, convert_to_number).function()
}

fn is_number(data_type: Option<&DataType>) -> bool {
    data_type.is_some_and(DataType::is_numeric)
}

/// A constant format is judged when the statement is planned.
fn to_char_type(types: &Types) -> Result<DataType> {
    if let Some(format) = types.constant_text(1) {
        if is_number(types.types.first()) {
            NumberFormat::compile(format)?;
        } else {
            Format::compile(format)?;
        }
    }
    Ok(DataType::Utf8View)
}

fn checked(types: &Types, function: &str) -> Result<()> {
    match types.constant_text(1) {
        Some(format) => check(&Format::compile(format)?, function),
        None => Ok(()),
    }
}

/// What is compiled of a format, kept while the format stays the same.
struct Compiled<'a, T> {
    text: Option<&'a str>,
    value: Option<T>,
}

impl<'a, T> Compiled<'a, T> {
    fn new() -> Self {
        Compiled { text: None, value: None }
    }

    fn get(&mut self, text: &'a str, compile: impl Fn(&str) -> Result<T>) -> Result<&T> {
        if self.text != Some(text) || self.value.is_none() {
            self.value = Some(compile(text)?);
            self.text = Some(text);
        }
        self.value.as_ref().ok_or_else(|| Error::internal("a format that was compiled is gone"))
    }
}

fn to_char(args: &Arguments) -> Result<ArrayRef> {
    if is_number(Some(args.data_type(0)?)) {
        return number_to_char(args);
    }
    let (moments, instants, formats) = (args.micros(0)?, args.instants(0)?, args.text(1)?);
    let (zone, is_time) = (args.zone(0), args.is_time(0));
    let mut compiled = Compiled::new();
    let mut out = StringViewBuilder::with_capacity(args.rows);
    let mut text = String::new();
    for row in 0..args.rows {
        if moments.is_null(row) || formats.is_null(row) {
            out.append_null();
            continue;
        }
        let format = compiled.get(formats.value(row), Format::compile)?;
        text.clear();
        let micros = moments.value(row);
        let east = micros - instants.value(row);
        let value = Written { micros, zone: zone.map(|name| Shown { name, east }), is_time };
        write(format, value, args.name, &mut text)?;
        out.append_value(&text);
    }
    Ok(Arc::new(out.finish()))
}

fn number_to_char(args: &Arguments) -> Result<ArrayRef> {
    let (numbers, formats) = (args.array(0)?, args.text(1)?);
    let mut compiled = Compiled::new();
    let mut out = StringViewBuilder::with_capacity(args.rows);
    let mut text = String::new();
    for row in 0..args.rows {
        if numbers.is_null(row) || formats.is_null(row) {
            out.append_null();
            continue;
        }
        let format: &NumberFormat = compiled.get(formats.value(row), NumberFormat::compile)?;
        let places = format.places();
        let digits = match numbers.data_type() {
            DataType::Int64 => Digits::of_decimal(numbers.as_primitive::<Int64Type>().value(row).into(), 0, places),
            DataType::Decimal128(_, scale) => {
                Digits::of_decimal(numbers.as_primitive::<Decimal128Type>().value(row), *scale, places)
            }
            DataType::Float64 => Digits::of_double(numbers.as_primitive::<Float64Type>().value(row), places),
            other => return Err(Error::internal(format!("to_char of {other}"))),
        };
        let digits = digits.ok_or_else(|| {
            Error::invalid(SqlState::NUMERIC_OUT_OF_RANGE, "to_char: NaN and infinity have no digits")
        })?;
        text.clear();
        format.write(&digits, &mut text);
        out.append_value(&text);
    }
    Ok(Arc::new(out.finish()))
}

fn to_date(args: &Arguments) -> Result<ArrayRef> {
    let micros = moments(args)?;
    args.dates(args.unary(&micros, |micros| Some(micros.div_euclid(DAY_US)))?)
}

fn to_timestamp(args: &Arguments) -> Result<ArrayRef> {
    args.temporal(moments(args)?)
}

fn moments(args: &Arguments) -> Result<Int64Array> {
    let formats = args.text(1)?;
    let texts = as_text(args)?;
    let texts = texts.as_string_view_opt().ok_or_else(|| Error::internal("text is not text"))?;
    let strict = if args.len() > 2 { Some(args.booleans(2)?) } else { None };
    let mut compiled = Compiled::new();
    let mut out = Int64Array::builder(args.rows);
    for row in 0..args.rows {
        if texts.is_null(row) || formats.is_null(row) || strict.is_some_and(|s| s.is_null(row)) {
            out.append_null();
            continue;
        }
        let format = compiled.get(formats.value(row), |text| {
            let format = Format::compile(text)?;
            check(&format, args.name).map(|()| format)
        })?;
        out.append_value(read(format, texts.value(row), strict.is_some_and(|s| s.value(row)), args.name)?);
    }
    Ok(out.finish())
}

/// The first argument as text: a timestamp as Redshift shows it.
fn as_text(args: &Arguments) -> Result<ArrayRef> {
    let array = args.array(0)?;
    if array.data_type() == &DataType::Utf8View {
        return Ok(Arc::clone(array));
    }
    let is_date = array.data_type() == &DataType::Date32;
    let shown = Format::compile(if is_date { "YYYY-MM-DD" } else { "YYYY-MM-DD HH24:MI:SS.US" })?;
    let mut out = StringViewBuilder::with_capacity(args.rows);
    for micros in args.micros(0)?.iter() {
        let text = micros.map(|micros| {
            let mut text = String::new();
            let value = Written { micros, zone: args.zone(0).map(|name| Shown { name, east: 0 }), is_time: false };
            write(&shown, value, args.name, &mut text).map(|()| text)
        });
        out.append_option(text.transpose()?);
    }
    Ok(Arc::new(out.finish()))
}

/// As many digits as the format has; the format is constant, since it decides the type.
fn to_number_type(types: &Types) -> Result<DataType> {
    match (types.constant_text(1), types.constants.get(1).copied().flatten()) {
        (Some(format), _) => {
            let (precision, scale) = NumberFormat::compile(format)?.decimal()?;
            Ok(DataType::Decimal128(precision, scale))
        }
        (None, Some(_)) => Ok(DataType::Decimal128(18, 0)),
        (None, None) => Err(Error::invalid(SqlState::INVALID_PARAMETER, "the format of to_number must be a literal")),
    }
}

fn convert_to_number(args: &Arguments) -> Result<ArrayRef> {
    let Some(format) = args.constant_text(1, "the format")? else { return Ok(args.nulls()) };
    let format = NumberFormat::compile(format)?;
    let (precision, scale) = format.decimal()?;
    let numbers = args.text(0)?.iter().map(|text| text.map(|text| format.read(text)).transpose());
    let numbers = numbers.collect::<Result<Decimal128Array>>()?.with_precision_and_scale(precision, scale)?;
    Ok(Arc::new(numbers))
}
