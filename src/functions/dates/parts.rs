//! Functions that take a date apart: DATE_PART, EXTRACT, DATE_PART_YEAR, DATE_TRUNC, TRUNC of a date.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::functions::{datetime, math};
use datafusion::logical_expr::ScalarUDF;

use super::add::{length, plus};
use super::call::{Arguments, Call, Kind, Types, part, timestamp};
use crate::common::calendar::{Civil, DAY_US, HOUR_US, MINUTE_US, SECOND_US, days, iso_week, weekday};
use crate::common::{DatePart, Error, Result, SqlState};

pub(super) fn additions() -> Vec<Arc<ScalarUDF>> {
    let years: fn(&Types) -> Result<DataType> = |_| Ok(DataType::Int32);
    vec![
        // What `EXTRACT(part FROM x)` becomes. Parts of an interval are DataFusion's.
        Call {
            preimage: Some(year_range),
            otherwise: Some(datetime::date_part()),
            ..Call::new("extract", &[&[Kind::Part, Kind::Temporal]], extract_type, extract)
        }
        .function(),
        Call { monotonic: true, ..Call::new("date_part_year", &[&[Kind::Moment]], years, date_part_year) }.function(),
    ]
}

pub(super) fn replacements() -> Vec<Arc<ScalarUDF>> {
    let double: fn(&Types) -> Result<DataType> = |types| checked(types, "date_part").map(|()| DataType::Float64);
    vec![
        Call {
            preimage: Some(year_range),
            otherwise: Some(datetime::date_part()),
            aliases: vec!["datepart".to_string()],
            ..Call::new("date_part", &[&[Kind::Part, Kind::Temporal]], double, date_part)
        }
        .function(),
        Call {
            preimage: Some(truncated_range),
            aliases: vec!["datetrunc".to_string()],
            monotonic: true,
            ..Call::new("date_trunc", &[&[Kind::Part, Kind::Moment]], date_trunc_type, date_trunc)
        }
        .function(),
        Call {
            monotonic: true,
            otherwise: Some(math::trunc()),
            ..Call::new("trunc", &[&[Kind::Moment]], |_| Ok(DataType::Date32), trunc)
        }
        .function(),
    ]
}

/// See [`crate::functions::midnight`].
pub(super) fn midnight() -> Arc<ScalarUDF> {
    Call {
        preimage: Some(day_range),
        monotonic: true,
        ..Call::new("midnight", &[&[Kind::Moment]], |_| Ok(timestamp(false)), |args| args.temporal(args.micros(0)?))
    }
    .function()
}

/// That a constant part goes with the type of what it is taken of.
fn checked(types: &Types, function: &str) -> Result<()> {
    let Some(name) = types.constant_text(0) else { return Ok(()) };
    let part = part(function, name)?;
    let is_time = matches!(types.types.get(1), Some(DataType::Time64(_)));
    let is_zone = matches!(part, DatePart::Timezone | DatePart::TimezoneHour | DatePart::TimezoneMinute);
    let (what, fits) = match () {
        _ if is_time => ("a TIME", part.is_of_time()),
        _ if is_zone => ("a value without time zone", types.has_zone(1)),
        _ => return Ok(()),
    };
    if fits {
        return Ok(());
    }
    Err(Error::invalid(SqlState::INVALID_PARAMETER, format!("{function}: {what} has no {}", part.name())))
}

/// DOUBLE PRECISION of a TIMESTAMPTZ, else INTEGER, and BIGINT where an INTEGER is too small.
fn extract_type(types: &Types) -> Result<DataType> {
    checked(types, "extract")?;
    let part = types.constant_text(0).and_then(DatePart::parse);
    Ok(match part {
        _ if types.has_zone(1) => DataType::Float64,
        Some(DatePart::Epoch) => DataType::Int64,
        _ => DataType::Int32,
    })
}

/// Whole numbers of the part alone: 3 seconds of 3.189717, and 189 milliseconds.
fn extract(args: &Arguments) -> Result<ArrayRef> {
    let Some(part) = args.part()? else { return Ok(args.nulls()) };
    let moments = seen(args, part)?;
    let values = args.unary(&moments, |micros| {
        Some(match part {
            DatePart::Second => micros.rem_euclid(60 * SECOND_US) / SECOND_US,
            DatePart::Millisecond => micros.rem_euclid(SECOND_US) / 1000,
            DatePart::Microsecond => micros.rem_euclid(1000),
            DatePart::Epoch => micros.div_euclid(SECOND_US),
            _ => field(part, micros),
        })
    })?;
    Ok(match args.returns {
        DataType::Float64 => Arc::new(values.iter().map(|v| v.map(|v| v as f64)).collect::<Float64Array>()),
        DataType::Int32 => {
            let narrow = |value| i32::try_from(value).map_err(|_| args.out_of_range());
            Arc::new(values.iter().map(|v| v.map(narrow).transpose()).collect::<Result<Int32Array>>()?)
        }
        _ => Arc::new(values),
    })
}

/// Seconds with their fraction, in seconds, milliseconds or microseconds.
fn date_part(args: &Arguments) -> Result<ArrayRef> {
    let Some(part) = args.part()? else { return Ok(args.nulls()) };
    let moments = seen(args, part)?;
    let values = moments.iter().map(|micros| {
        let micros = micros?;
        let of_minute = micros.rem_euclid(60 * SECOND_US) as f64;
        Some(match part {
            DatePart::Second => of_minute / SECOND_US as f64,
            DatePart::Millisecond => of_minute / 1000.0,
            DatePart::Microsecond => of_minute,
            DatePart::Epoch => micros as f64 / SECOND_US as f64,
            _ => field(part, micros) as f64,
        })
    });
    Ok(Arc::new(values.collect::<Float64Array>()))
}

/// The microseconds that a part is of: since 1970 in UTC, from UTC to the zone, or as clocks show them.
fn seen(args: &Arguments, part: DatePart) -> Result<Int64Array> {
    match part {
        DatePart::Epoch => args.instants(1),
        DatePart::Timezone | DatePart::TimezoneHour | DatePart::TimezoneMinute => {
            args.binary(&args.micros(1)?, &args.instants(1)?, i64::checked_sub)
        }
        _ => args.micros(1),
    }
}

/// A part that is a whole number, of [`seen`] microseconds.
fn field(part: DatePart, micros: i64) -> i64 {
    let day = micros.div_euclid(DAY_US);
    let of_day = micros.rem_euclid(DAY_US) / SECOND_US;
    let civil = Civil::from_days(day);
    match part {
        DatePart::Millennium => civil.millennium(),
        DatePart::Century => civil.century(),
        DatePart::Decade => civil.year.div_euclid(10),
        // The year before year 1 is -1.
        DatePart::Year => civil.year - i64::from(civil.year <= 0),
        DatePart::Quarter => (civil.month - 1) / 3 + 1,
        DatePart::Month => civil.month,
        DatePart::Week => iso_week(day).1,
        DatePart::Day => civil.day,
        DatePart::Hour => of_day / 3600,
        DatePart::Minute => of_day / 60 % 60,
        DatePart::DayOfWeek => weekday(day),
        DatePart::DayOfYear => civil.day_of_year(),
        DatePart::Second | DatePart::Epoch => of_day % 60,
        DatePart::Millisecond | DatePart::Microsecond => micros.rem_euclid(SECOND_US),
        DatePart::Timezone => micros / SECOND_US,
        DatePart::TimezoneHour => micros / HOUR_US,
        DatePart::TimezoneMinute => micros % HOUR_US / MINUTE_US,
    }
}

fn date_part_year(args: &Arguments) -> Result<ArrayRef> {
    let narrow = |micros| i32::try_from(field(DatePart::Year, micros)).map_err(|_| args.out_of_range());
    let years = args.micros(0)?;
    Ok(Arc::new(years.iter().map(|m| m.map(narrow).transpose()).collect::<Result<Int32Array>>()?))
}

fn date_trunc_type(types: &Types) -> Result<DataType> {
    if let Some(name) = types.constant_text(0) {
        length("date_trunc", name)?;
    }
    Ok(types.timestamp_like(1))
}

fn date_trunc(args: &Arguments) -> Result<ArrayRef> {
    let Some(name) = args.constant_text(0, "the date part")? else { return Ok(args.nulls()) };
    let part = length(args.name, name)?;
    args.moved(1, part, |_, micros| truncated(part, micros))
}

/// The moment at which the part began; weeks begin on Monday.
fn truncated(part: DatePart, micros: i64) -> Option<i64> {
    if part == DatePart::Week {
        let day = micros.div_euclid(DAY_US);
        return (day - (day + 3).rem_euclid(7)).checked_mul(DAY_US);
    }
    if let Some(length) = part.micros() {
        return micros.checked_sub(micros.rem_euclid(length));
    }
    let civil = Civil::from_micros(micros);
    let year = civil.year;
    let (year, month) = match part {
        DatePart::Month => (year, civil.month),
        DatePart::Quarter => (year, (civil.month - 1) / 3 * 3 + 1),
        DatePart::Year => (year, 1),
        DatePart::Decade => (year.div_euclid(10) * 10, 1),
        DatePart::Century => ((year - 1).div_euclid(100) * 100 + 1, 1),
        DatePart::Millennium => ((year - 1).div_euclid(1000) * 1000 + 1, 1),
        _ => return None,
    };
    days(year, month, 1).checked_mul(DAY_US)
}

/// TRUNC of a timestamp is its date.
fn trunc(args: &Arguments) -> Result<ArrayRef> {
    args.dates(args.unary(&args.micros(0)?, |micros| Some(micros.div_euclid(DAY_US)))?)
}

/// The moments of a year, so that `extract(year from t) = 2024` prunes.
fn year_range(name: &str, literal: &ScalarValue, of: &DataType) -> Option<(ScalarValue, ScalarValue)> {
    if DatePart::parse(name) != Some(DatePart::Year) {
        return None;
    }
    let year = match literal {
        ScalarValue::Int32(Some(year)) => i64::from(*year),
        ScalarValue::Int64(Some(year)) => *year,
        ScalarValue::Float64(Some(year)) if year.fract() == 0.0 && year.abs() < 1e6 => *year as i64,
        _ => return None,
    };
    // Years before 1 are counted otherwise.
    if !(1..=9999).contains(&year) {
        return None;
    }
    Some((at(days(year, 1, 1) * DAY_US, of)?, at(days(year + 1, 1, 1) * DAY_US, of)?))
}

/// The days whose midnight a literal is. There is none of a literal with a time; where it would be is still what tells
/// the days before it from those after it.
fn day_range(_: &str, literal: &ScalarValue, of: &DataType) -> Option<(ScalarValue, ScalarValue)> {
    let (ScalarValue::TimestampMicrosecond(Some(micros), None), DataType::Date32) = (literal, of) else { return None };
    let next = micros.div_euclid(DAY_US) + 1;
    let first = if micros % DAY_US == 0 { next - 1 } else { next };
    let date = |days| i32::try_from(days).ok().map(|days| ScalarValue::Date32(Some(days)));
    Some((date(first)?, date(next)?))
}

/// The moments that are truncated to a literal, so that `date_trunc('month', t) = '2024-01-01'` prunes.
fn truncated_range(name: &str, literal: &ScalarValue, of: &DataType) -> Option<(ScalarValue, ScalarValue)> {
    let part = DatePart::parse(name).filter(|part| part.is_length())?;
    let ScalarValue::TimestampMicrosecond(Some(micros), _) = literal else { return None };
    if truncated(part, *micros)? != *micros {
        return None;
    }
    Some((at(*micros, of)?, at(plus(part, 1, *micros)?, of)?))
}

/// A moment as a value of a column's type, if that holds it exactly.
fn at(micros: i64, of: &DataType) -> Option<ScalarValue> {
    use arrow::datatypes::TimeUnit::*;
    Some(match of {
        DataType::Date32 if micros % DAY_US == 0 => ScalarValue::Date32(Some(i32::try_from(micros / DAY_US).ok()?)),
        DataType::Timestamp(Microsecond, zone) => ScalarValue::TimestampMicrosecond(Some(micros), zone.clone()),
        DataType::Timestamp(Nanosecond, zone) => {
            ScalarValue::TimestampNanosecond(Some(micros.checked_mul(1000)?), zone.clone())
        }
        _ => return None,
    })
}
