//! Functions that give another date: DATEADD, ADD_MONTHS, LAST_DAY, NEXT_DAY.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;

use super::call::{Arguments, Call, Kind, Types, like, part, timestamp};
use crate::common::calendar::{Civil, DAY_US, days, days_in_month, weekday};
use crate::common::moment::WEEKDAYS;
use crate::common::{DatePart, Error, Result, SqlState};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Call {
            monotonic: true,
            ..Call::new("dateadd", &[&[Kind::Part, Kind::Integer, Kind::Temporal]], dateadd_type, dateadd)
        }
        .function(),
        Call::new("add_months", &[&[Kind::Moment, Kind::Integer]], |_| Ok(timestamp(false)), add_months).function(),
        Call { monotonic: true, ..Call::new("last_day", &[&[Kind::Moment]], date, last_day) }.function(),
        Call::new("next_day", &[&[Kind::Moment, Kind::Text]], date, next_day).function(),
    ]
}

fn date(_: &Types) -> Result<DataType> {
    Ok(DataType::Date32)
}

/// TIMESTAMP of a DATE, else the type of the argument. What part it is, is known now: a wrong one fails now, too.
fn dateadd_type(types: &Types) -> Result<DataType> {
    if let Some(name) = types.constant_text(0) {
        let part = length("dateadd", name)?;
        if matches!(types.types.get(2), Some(DataType::Time64(_))) && !part.is_of_time() {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER,
                format!("dateadd: a TIME has no {} to add to", part.name()),
            )
            .with_hint("add hours, minutes, seconds, milliseconds or microseconds"));
        }
    }
    Ok(like(types, 2))
}

/// NULL where `amounts` is, too.
fn without(sum: &ArrayRef, amounts: &Int64Array) -> Result<ArrayRef> {
    Ok(arrow::compute::nullif(sum, &arrow::compute::is_null(amounts)?)?)
}

/// The part that a name stands for, if it is a length.
pub(super) fn length(function: &str, name: &str) -> Result<DatePart> {
    let part = part(function, name)?;
    if part.is_length() {
        return Ok(part);
    }
    Err(Error::invalid(SqlState::INVALID_PARAMETER, format!("{function} does not take the date part {}", part.name()))
        .with_hint("use a length: year, quarter, month, week, day, hour, minute, second, millisecond, microsecond"))
}

fn dateadd(args: &Arguments) -> Result<ArrayRef> {
    let Some(name) = args.constant_text(0, "the date part")? else { return Ok(args.nulls()) };
    let part = length(args.name, name)?;
    let amounts = args.integers(1)?;
    if amounts.null_count() == amounts.len() {
        return Ok(args.nulls());
    }
    let is_time = args.is_time(2);
    let sum = args.moved(2, part, |row, micros| {
        if amounts.is_null(row) {
            return Some(micros);
        }
        let sum = plus(part, amounts.value(row), micros)?;
        // A time goes on after midnight.
        Some(if is_time { sum.rem_euclid(DAY_US) } else { sum })
    })?;
    Ok(if amounts.null_count() > 0 { without(&sum, amounts)? } else { sum })
}

/// `micros` and `amount` times `part`.
///
/// Months keep the day, or take the month's last where it is shorter. Years keep month and day, so that a year after 29
/// February is 1 March where there is none: the manual's example under DATEADD.
pub(super) fn plus(part: DatePart, amount: i64, micros: i64) -> Option<i64> {
    match (part.micros(), part.months()) {
        (Some(length), _) => micros.checked_add(amount.checked_mul(length)?),
        (None, Some(months)) => {
            let added = amount.checked_mul(months)?;
            if part == DatePart::Month || part == DatePart::Quarter {
                return plus_months(added, micros, false);
            }
            let civil = Civil::from_micros(micros);
            moved(in_range(civil.year.checked_add(added / 12)?)?, civil.month, civil.day, micros)
        }
        (None, None) => None,
    }
}

/// `sticky`: the last day of a month stays the last.
pub(super) fn plus_months(months: i64, micros: i64, sticky: bool) -> Option<i64> {
    let civil = Civil::from_micros(micros);
    let total = (civil.year * 12 + civil.month - 1).checked_add(months)?;
    let (year, month) = (in_range(total.div_euclid(12))?, total.rem_euclid(12) + 1);
    let last = days_in_month(year, month);
    let was_last = civil.day == days_in_month(civil.year, civil.month);
    let day = if sticky && was_last { last } else { civil.day.min(last) };
    moved(year, month, day, micros)
}

/// Years far outside of what a timestamp holds are not computed with.
fn in_range(year: i64) -> Option<i64> {
    (-1_000_000..=1_000_000).contains(&year).then_some(year)
}

/// The time of day of `micros` on another day.
fn moved(year: i64, month: i64, day: i64, micros: i64) -> Option<i64> {
    days(year, month, day).checked_mul(DAY_US)?.checked_add(micros.rem_euclid(DAY_US))
}

fn add_months(args: &Arguments) -> Result<ArrayRef> {
    let (moments, months) = (args.micros(0)?, args.integers(1)?);
    let sum = args.binary(&moments, months, |micros, months| plus_months(months, micros, true))?;
    args.temporal(sum)
}

fn last_day(args: &Arguments) -> Result<ArrayRef> {
    let last = args.unary(&args.micros(0)?, |micros| {
        let civil = Civil::from_micros(micros);
        Some(days(civil.year, civil.month, days_in_month(civil.year, civil.month)))
    })?;
    args.dates(last)
}

/// The first such weekday after a date.
fn next_day(args: &Arguments) -> Result<ArrayRef> {
    let (moments, names) = (args.micros(0)?, args.text(1)?);
    let mut next = Int64Array::builder(args.rows);
    let mut known: Option<(&str, i64)> = None;
    for row in 0..args.rows {
        if moments.is_null(row) || names.is_null(row) {
            next.append_null();
            continue;
        }
        let name = names.value(row);
        let wanted = match known {
            Some((same, wanted)) if same == name => wanted,
            _ => weekday_of(name)?,
        };
        known = Some((name, wanted));
        let day = moments.value(row).div_euclid(DAY_US);
        let ahead = (wanted - weekday(day)).rem_euclid(7);
        next.append_value(day + if ahead == 0 { 7 } else { ahead });
    }
    args.dates(next.finish())
}

/// 0 to 6 from Sunday, by the abbreviations of the manual's table under NEXT_DAY.
fn weekday_of(name: &str) -> Result<i64> {
    const NAMES: [&[&str]; 7] = [
        &["su", "sun"],
        &["m", "mo", "mon"],
        &["tu", "tue", "tues"],
        &["w", "we", "wed"],
        &["th", "thu", "thurs"],
        &["f", "fr", "fri"],
        &["sa", "sat"],
    ];
    let written = name.trim().to_ascii_lowercase();
    let found = NAMES
        .iter()
        .zip(WEEKDAYS)
        .position(|(short, long)| short.contains(&written.as_str()) || long.eq_ignore_ascii_case(&written));
    match found {
        Some(day) => Ok(day as i64),
        None => Err(Error::invalid(SqlState::INVALID_PARAMETER, format!("next_day: \"{name}\" is not a weekday"))
            .with_hint("write Sunday, Sun or Su, and so on")),
    }
}
