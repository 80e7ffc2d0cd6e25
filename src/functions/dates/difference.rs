//! Functions that count what lies between two dates: DATEDIFF, MONTHS_BETWEEN, and `timestamp - timestamp`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit};
use datafusion::logical_expr::ScalarUDF;

use super::add::length;
use super::call::{Arguments, Call, Kind, Types};
use crate::common::calendar::{Civil, DAY_US, days_in_month};
use crate::common::{DatePart, Error, Result, SqlState};

/// The function that `timestamp - timestamp` becomes.
pub(super) const TIMESTAMP_DIFFERENCE: &str = "timestamp_difference";

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Call::new("datediff", &[&[Kind::Part, Kind::Temporal, Kind::Temporal]], datediff_type, datediff).function(),
        Call::new("months_between", &[&[Kind::Moment, Kind::Moment]], |_| Ok(DataType::Float64), months_between)
            .function(),
        timestamp_difference(),
    ]
}

pub(super) fn timestamp_difference() -> Arc<ScalarUDF> {
    let interval = |_: &Types| Ok(DataType::Interval(IntervalUnit::MonthDayNano));
    Call::new(TIMESTAMP_DIFFERENCE, &[&[Kind::Moment, Kind::Moment]], interval, difference).function()
}

fn datediff_type(types: &Types) -> Result<DataType> {
    let is_time = |i: usize| matches!(types.types.get(i), Some(DataType::Time64(_)));
    if let Some(name) = types.constant_text(0) {
        let part = length("datediff", name)?;
        if is_time(1) && !part.is_of_time() {
            let message = format!("datediff: a TIME has no {}", part.name());
            return Err(Error::invalid(SqlState::INVALID_PARAMETER, message)
                .with_hint("count hours, minutes, seconds, milliseconds or microseconds"));
        }
    }
    if is_time(1) != is_time(2) {
        let message = "datediff: a TIME and a date or timestamp have no difference";
        return Err(Error::invalid(SqlState::DATATYPE_MISMATCH, message).with_hint("cast one to the type of the other"));
    }
    Ok(DataType::Int64)
}

fn datediff(args: &Arguments) -> Result<ArrayRef> {
    let Some(name) = args.constant_text(0, "the date part")? else { return Ok(args.nulls()) };
    let part = length(args.name, name)?;
    // An hour that clocks show twice is two.
    let zoned = args.has_zone(1) && args.has_zone(2);
    let (from, to) = match zoned && part.is_of_time() {
        true => (args.instants(1)?, args.instants(2)?),
        false => (args.micros(1)?, args.micros(2)?),
    };
    Ok(Arc::new(args.binary(&from, &to, |from, to| ordinal(part, to)?.checked_sub(ordinal(part, from)?))?))
}

/// Which of all years, months, days and so on a moment is in: the difference of two is the boundaries between them.
///
/// The manual does not say when DATEDIFF's weeks begin; here it is Sunday, as in SQL Server's function of that form.
fn ordinal(part: DatePart, micros: i64) -> Option<i64> {
    if part == DatePart::Week {
        return Some((micros.div_euclid(DAY_US) + 4).div_euclid(7));
    }
    if let Some(length) = part.micros() {
        return Some(micros.div_euclid(length));
    }
    let civil = Civil::from_micros(micros);
    Some(match part {
        DatePart::Month => civil.year * 12 + civil.month,
        DatePart::Quarter => civil.year * 4 + (civil.month - 1) / 3,
        DatePart::Year => civil.year,
        DatePart::Decade => civil.year.div_euclid(10),
        // These begin with year 1, 101, 1001, …
        DatePart::Century => (civil.year - 1).div_euclid(100),
        DatePart::Millennium => (civil.year - 1).div_euclid(1000),
        _ => return None,
    })
}

fn months_between(args: &Arguments) -> Result<ArrayRef> {
    let (a, b) = (args.micros(0)?, args.micros(1)?);
    let values = a.iter().zip(b.iter()).map(|(a, b)| Some(months(a?, b?)));
    Ok(Arc::new(values.collect::<Float64Array>()))
}

/// Whole months where both are the same day of a month, or both the last; else a day is a 31st of a month.
fn months(a: i64, b: i64) -> f64 {
    let (first, second) = (Civil::from_micros(a), Civil::from_micros(b));
    let whole = (first.year - second.year) * 12 + first.month - second.month;
    let last = |civil: Civil| civil.day == days_in_month(civil.year, civil.month);
    if first.day == second.day || (last(first) && last(second)) {
        return whole as f64;
    }
    let of_month = |civil: Civil, micros: i64| (civil.day - 1) * DAY_US + micros.rem_euclid(DAY_US);
    whole as f64 + (of_month(first, a) - of_month(second, b)) as f64 / (31 * DAY_US) as f64
}

/// Days and the rest, as PostgreSQL gives it.
fn difference(args: &Arguments) -> Result<ArrayRef> {
    let (a, b) = (args.micros(0)?, args.micros(1)?);
    let values = a.iter().zip(b.iter()).map(|(a, b)| {
        let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
        let micros = a.checked_sub(b).ok_or_else(|| args.out_of_range())?;
        let days = i32::try_from(micros / DAY_US).map_err(|_| args.out_of_range())?;
        Ok(Some(IntervalMonthDayNano::new(0, days, micros % DAY_US * 1000)))
    });
    Ok(Arc::new(values.collect::<Result<IntervalMonthDayNanoArray>>()?))
}
