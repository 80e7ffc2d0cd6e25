//! DATE_CMP and its kin: -1, 0 or 1.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::logical_expr::ScalarUDF;

use super::call::{Arguments, Call, Kind, Types};
use crate::common::calendar::DAY_US;
use crate::common::{DatePart, Error, Interval, Result, SqlState};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    const DATES: [&str; 3] = ["date_cmp", "date_cmp_timestamp", "date_cmp_timestamptz"];
    const TIMESTAMPS: [&str; 6] = [
        "timestamp_cmp",
        "timestamp_cmp_date",
        "timestamp_cmp_timestamptz",
        "timestamptz_cmp",
        "timestamptz_cmp_date",
        "timestamptz_cmp_timestamp",
    ];
    let dates = DATES.map(|name| Call::new(name, &[&[Kind::Date, Kind::Moment]], integer, compare_date).function());
    let timestamps =
        TIMESTAMPS.map(|name| Call::new(name, &[&[Kind::Moment, Kind::Moment]], integer, compare).function());
    let intervals = Call::new(
        "interval_cmp",
        &[
            &[Kind::Interval, Kind::Interval],
            &[Kind::Text, Kind::Text],
            &[Kind::Interval, Kind::Text],
            &[Kind::Text, Kind::Interval],
        ],
        integer,
        compare_intervals,
    );
    dates.into_iter().chain(timestamps).chain([intervals.function()]).collect()
}

fn integer(_: &Types) -> Result<DataType> {
    Ok(DataType::Int32)
}

fn compare(args: &Arguments) -> Result<ArrayRef> {
    ordered(args.micros(0)?.iter(), args.micros(1)?.iter())
}

/// The first is a date, be it written with a time; DATE_CMP compares two such.
fn compare_date(args: &Arguments) -> Result<ArrayRef> {
    let midnight = |micros: i64| micros - micros.rem_euclid(DAY_US);
    let (a, b) = (args.micros(0)?, args.micros(1)?);
    let both = args.name == "date_cmp";
    ordered(a.iter().map(|a| a.map(midnight)), b.iter().map(|b| if both { b.map(midnight) } else { b }))
}

/// A month has 30 days, as in PostgreSQL.
fn compare_intervals(args: &Arguments) -> Result<ArrayRef> {
    let (a, b) = (lengths(args, 0)?, lengths(args, 1)?);
    ordered(a.into_iter(), b.into_iter())
}

fn lengths(args: &Arguments, i: usize) -> Result<Vec<Option<i128>>> {
    if let Some(texts) = args.array(i)?.as_string_view_opt() {
        let length = |text: &str| {
            let read = Interval::parse(text, DatePart::Second).map(Interval::comparable);
            read.ok_or_else(|| {
                Error::invalid(SqlState::INVALID_TEXT, format!("{}: \"{text}\" is not an interval", args.name))
                    .with_hint("write it as '1 year 2 months 3 days 4 hours'")
            })
        };
        return texts.iter().map(|text| text.map(length).transpose()).collect();
    }
    let intervals = args.intervals(i)?;
    let length = |interval: IntervalMonthDayNano| {
        let days = i128::from(interval.months) * 30 + i128::from(interval.days);
        days * i128::from(DAY_US) + i128::from(interval.nanoseconds / 1000)
    };
    Ok((0..intervals.len()).map(|row| intervals.is_valid(row).then(|| length(intervals.value(row)))).collect())
}

fn ordered<T: Ord>(a: impl Iterator<Item = Option<T>>, b: impl Iterator<Item = Option<T>>) -> Result<ArrayRef> {
    let values = a.zip(b).map(|(a, b)| Some(a?.cmp(&b?) as i32));
    Ok(Arc::new(values.collect::<Int32Array>()))
}
