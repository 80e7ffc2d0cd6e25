//! `interval * number` and `interval / number`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, IntervalMonthDayNano, IntervalUnit};
use datafusion::logical_expr::ScalarUDF;

use super::call::{Arguments, Call, Kind, Types};
use crate::common::calendar::{DAY_US, SECOND_US};
use crate::common::{Error, Result, SqlState};

pub(super) const TIMES: &str = "interval_times";
const OVER: &str = "interval_over";

/// A month that is no longer whole is 30 days, as in PostgreSQL.
const DAYS_OF_MONTH: i64 = 30;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![times(), over()]
}

/// The function that `interval * number` becomes.
pub(super) fn times() -> Arc<ScalarUDF> {
    Call::new(TIMES, &[&[Kind::Interval, Kind::Number]], interval, |args| scaled(args, false)).function()
}

/// The function that `interval / number` becomes.
pub(super) fn over() -> Arc<ScalarUDF> {
    Call::new(OVER, &[&[Kind::Interval, Kind::Number]], interval, |args| scaled(args, true)).function()
}

fn interval(_: &Types) -> Result<DataType> {
    Ok(DataType::Interval(IntervalUnit::MonthDayNano))
}

/// What an interval is multiplied with, or divided by.
#[derive(Debug, Clone, Copy)]
enum Number {
    Ratio { numerator: i128, denominator: i128 },
    Double(f64),
}

impl Number {
    /// One divided by it; `None` of zero.
    fn inverse(self) -> Option<Number> {
        match self {
            Number::Ratio { numerator: 0, .. } => None,
            Number::Ratio { numerator, denominator } => {
                let sign = numerator.signum();
                let (numerator, denominator) = (denominator.checked_mul(sign)?, numerator.checked_mul(sign)?);
                Some(Number::Ratio { numerator, denominator })
            }
            Number::Double(0.0) => None,
            Number::Double(number) => Some(Number::Double(number.recip())),
        }
    }
}

fn scaled(args: &Arguments, divides: bool) -> Result<ArrayRef> {
    let intervals = args.intervals(0)?;
    let number = numbers(args)?;
    let value = |(row, interval): (usize, Option<IntervalMonthDayNano>)| {
        let (Some(interval), Some(mut factor)) = (interval, number(row)) else { return Ok(None) };
        if divides {
            factor = factor.inverse().ok_or_else(|| {
                Error::invalid(SqlState::DIVISION_BY_ZERO, "an interval is divided by zero")
                    .with_hint("NULLIF(divisor, 0) gives NULL instead")
            })?;
        }
        scale(interval, factor).map(Some).ok_or_else(|| {
            Error::invalid(SqlState::DATETIME_OVERFLOW, "the product or quotient is no interval that can be held")
        })
    };
    Ok(Arc::new(intervals.iter().enumerate().map(value).collect::<Result<IntervalMonthDayNanoArray>>()?))
}

/// The second argument's value in a row, if it is not NULL.
fn numbers<'a>(args: &'a Arguments) -> Result<Box<dyn Fn(usize) -> Option<Number> + 'a>> {
    let array = args.array(1)?;
    let given = move |row: usize| array.is_valid(row).then_some(row);
    if let Some(values) = array.as_primitive_opt::<Int64Type>() {
        let ratio = |value: i64| Number::Ratio { numerator: value.into(), denominator: 1 };
        return Ok(Box::new(move |row| given(row).map(|row| ratio(values.value(row)))));
    }
    if let Some(values) = array.as_primitive_opt::<Float64Type>() {
        return Ok(Box::new(move |row| given(row).map(|row| Number::Double(values.value(row)))));
    }
    match (array.as_primitive_opt::<Decimal128Type>(), array.data_type()) {
        (Some(values), DataType::Decimal128(_, scale @ 0..=38)) => {
            let denominator = 10_i128.pow(u32::from(scale.unsigned_abs()));
            let ratio = move |numerator| Number::Ratio { numerator, denominator };
            Ok(Box::new(move |row| given(row).map(|row| ratio(values.value(row)))))
        }
        (_, other) => Err(Error::internal(format!("{} was called with {other}", args.name))),
    }
}

/// `None` beyond what an interval holds.
fn scale(interval: IntervalMonthDayNano, factor: Number) -> Option<IntervalMonthDayNano> {
    match factor {
        Number::Ratio { numerator, denominator } => {
            exact(interval, numerator, denominator).or_else(|| rounded(interval, numerator as f64 / denominator as f64))
        }
        Number::Double(factor) => rounded(interval, factor),
    }
}

/// What is less than a month goes on as days, what is less than a day as microseconds; the last is rounded, half away
/// from zero. `None` where 128 bits do not hold it on the way, too.
fn exact(interval: IntervalMonthDayNano, numerator: i128, denominator: i128) -> Option<IntervalMonthDayNano> {
    let times = |value: i128| value.checked_mul(numerator);
    let months = times(interval.months.into())?;
    let less_than_a_month = (months % denominator).checked_mul(DAYS_OF_MONTH.into())?;
    let days = times(interval.days.into())?.checked_add(less_than_a_month)?;
    let less_than_a_day = (days % denominator).checked_mul(i128::from(DAY_US) * 1000)?;
    let nanos = times(interval.nanoseconds.into())?.checked_add(less_than_a_day)?;
    let of_micro = denominator.checked_mul(1000)?;
    let half = if nanos < 0 { -(of_micro / 2) } else { of_micro / 2 };
    let micros = nanos.checked_add(half)? / of_micro;
    Some(IntervalMonthDayNano::new(
        (months / denominator).try_into().ok()?,
        (days / denominator).try_into().ok()?,
        i64::try_from(micros).ok()?.checked_mul(1000)?,
    ))
}

/// The same in floating point: remainders are rounded to 6 decimals, so that 0.7 months are 21 days.
fn rounded(interval: IntervalMonthDayNano, factor: f64) -> Option<IntervalMonthDayNano> {
    let months = f64::from(interval.months) * factor;
    let less_than_a_month = six_decimals((months - months.trunc()) * DAYS_OF_MONTH as f64);
    let mut days = f64::from(interval.days) * factor + less_than_a_month;
    let mut seconds = six_decimals((days - days.trunc()) * (DAY_US / SECOND_US) as f64);
    days = days.trunc();
    if seconds.abs() >= (DAY_US / SECOND_US) as f64 {
        days += seconds.signum();
        seconds = 0.0;
    }
    let micros = (interval.nanoseconds as f64 / 1e3 * factor + seconds * SECOND_US as f64).round();
    let within = |value: f64, limit: f64| (value.abs() < limit).then_some(value);
    Some(IntervalMonthDayNano::new(
        within(months.trunc(), 2_147_483_648.0)? as i32,
        within(days, 2_147_483_648.0)? as i32,
        (within(micros, 9_223_372_036_854_775.0)? as i64).checked_mul(1000)?,
    ))
}

fn six_decimals(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn of(months: i32, days: i32, nanoseconds: i64) -> IntervalMonthDayNano {
        IntervalMonthDayNano::new(months, days, nanoseconds)
    }

    fn ratio(numerator: i128, denominator: i128) -> Number {
        Number::Ratio { numerator, denominator }
    }

    #[test]
    fn parts_that_are_no_longer_whole_go_on_as_smaller_ones() {
        for (given, numerator, denominator, expected) in [
            (of(0, 0, HOUR), 5, 1, of(0, 0, 5 * HOUR)),
            (of(1, 2, HOUR), -3, 1, of(-3, -6, -3 * HOUR)),
            (of(1, 0, 0), 1, 2, of(0, 15, 0)),
            (of(12, 0, 0), 1, 5, of(2, 12, 0)),
            (of(1, 0, 0), 7, 10, of(0, 21, 0)),
            (of(0, 1, 0), 1, 3, of(0, 0, 8 * HOUR)),
            (of(0, -1, 0), 3, 2, of(0, -1, -12 * HOUR)),
            (of(1, 1, 0), 15, 10, of(1, 16, 12 * HOUR)),
            (of(0, 0, HOUR), 0, 1, of(0, 0, 0)),
            // Microseconds are the least.
            (of(0, 0, 1000), 1, 2, of(0, 0, 1000)),
            (of(0, 0, 1000), 1, 3, of(0, 0, 0)),
            (of(0, 0, -1000), 1, 2, of(0, 0, -1000)),
        ] {
            assert_eq!(scale(given, ratio(numerator, denominator)), Some(expected), "{given:?} {numerator}");
            let double = Number::Double(numerator as f64 / denominator as f64);
            assert_eq!(scale(given, double), Some(expected), "{given:?} {numerator} as double");
        }
    }

    #[test]
    fn what_no_interval_holds_is_none() {
        assert_eq!(scale(of(i32::MAX, 0, 0), ratio(2, 1)), None);
        assert_eq!(scale(of(0, i32::MIN, 0), ratio(-1, 1)), None);
        assert_eq!(scale(of(0, 0, i64::MAX), ratio(2, 1)), None);
        assert_eq!(scale(of(1, 1, 1), Number::Double(f64::NAN)), None);
        assert_eq!(scale(of(0, 1, 0), Number::Double(f64::INFINITY)), None);
        // Too long a way for 128 bits, not too long a result.
        let tiny = ratio(i128::MAX / 2, i128::MAX);
        assert_eq!(scale(of(2, 4, 2000), tiny), Some(of(1, 2, 1000)));
        assert!(Number::Double(-0.0).inverse().is_none() && ratio(0, 100).inverse().is_none());
    }
}
