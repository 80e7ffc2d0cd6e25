//! Dates and times as text: TO_CHAR.

use std::fmt::Write;

use super::format::{Case, Field, Format, Item, refused};
use crate::common::calendar::{Civil, DAY_US, JULIAN_EPOCH, MINUTE_US, SECOND_US, iso_week, iso_year_start, weekday};
use crate::common::moment::{MONTHS, WEEKDAYS};
use crate::common::sql_type::UTC;
use crate::common::{Error, Result};
use crate::functions::zones;

/// A value to write.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    /// Of a time, microseconds of the day.
    pub micros: i64,
    /// Of a TIMESTAMPTZ; `micros` are what clocks show there.
    pub zone: Option<Shown<'a>>,
    pub is_time: bool,
}

/// The time zone in which a value is shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// As in the IANA database, or an offset.
    pub name: &'a str,
    /// Microseconds from UTC, to the east.
    pub east: i64,
}

pub const ROMAN_MONTHS: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// Appends `value` in `format` to `out`. Error where the format asks for what the value does not have.
pub fn write(format: &Format, value: Written<'_>, function: &str, out: &mut String) -> Result<()> {
    let day = value.micros.div_euclid(DAY_US);
    let of_day = value.micros.rem_euclid(DAY_US);
    let zone = value.zone.unwrap_or(Shown { name: UTC, east: 0 });
    let moment = At { civil: Civil::from_days(day), day, of_day, instant: value.micros - zone.east, zone };
    for item in &format.0 {
        match item {
            Item::Literal(text) => out.push_str(text),
            Item::Field { field, fill, suffix } => {
                if value.is_time && !field.is_of_time() {
                    return Err(refused(function, *field, "is of a date, and a TIME has none"));
                }
                if value.zone.is_none() && matches!(field, Field::ZoneName(_) | Field::ZoneOffset) {
                    return Err(refused(function, *field, "is of a TIMESTAMPTZ")
                        .with_hint("AT TIME ZONE makes one of a TIMESTAMP"));
                }
                let from = out.len();
                moment.write(*field, *fill, out).map_err(|e| Error::internal(e.to_string()))?;
                if let Some(case) = suffix {
                    let ending = ordinal(out.get(from..).unwrap_or_default());
                    out.push_str(&case.apply(ending));
                }
            }
        }
    }
    Ok(())
}

struct At<'a> {
    civil: Civil,
    day: i64,
    of_day: i64,
    /// Microseconds in UTC.
    instant: i64,
    zone: Shown<'a>,
}

impl At<'_> {
    fn write(&self, field: Field, fill: bool, out: &mut String) -> std::fmt::Result {
        let Civil { year, month, day } = self.civil;
        let second = self.of_day / SECOND_US;
        let hour = second / 3600;
        // 1 BC is year 0.
        let shown = |year: i64| if year > 0 { year } else { 1 - year };
        let name = |names: &'static [&'static str], i: i64| names.get(i as usize).copied().unwrap_or_default();
        let mut number = |value: i64, width: usize| {
            if fill { write!(out, "{value}") } else { write!(out, "{value:0width$}") }
        };
        match field {
            Field::Year(4) => number(shown(year), 4),
            Field::Year(digits) => number(shown(year) % 10_i64.pow(digits as u32), digits),
            Field::YearWithComma => {
                let year = shown(year);
                write!(out, "{},{:03}", year / 1000, year % 1000)
            }
            Field::IsoYear(4) => number(shown(iso_week(self.day).0), 4),
            Field::IsoYear(digits) => number(shown(iso_week(self.day).0) % 10_i64.pow(digits as u32), digits),
            Field::Century => number(self.civil.century(), 2),
            Field::Quarter => number((month - 1) / 3 + 1, 1),
            Field::Month => number(month, 2),
            Field::WeekOfMonth => number((day - 1) / 7 + 1, 1),
            Field::WeekOfYear => number((self.civil.day_of_year() - 1) / 7 + 1, 2),
            Field::IsoWeek => number(iso_week(self.day).1, 2),
            Field::DayOfYear => number(self.civil.day_of_year(), 3),
            Field::IsoDayOfYear => number(self.day - iso_year_start(iso_week(self.day).0) + 1, 3),
            Field::Day => number(day, 2),
            Field::Weekday => number(weekday(self.day) + 1, 1),
            Field::IsoWeekday => number(iso_week(self.day).2, 1),
            Field::Julian => number(self.day + JULIAN_EPOCH, 1),
            Field::Hour24 => number(hour, 2),
            Field::Hour12 => number((hour + 11) % 12 + 1, 2),
            Field::Minute => number(second / 60 % 60, 2),
            Field::Second => number(second % 60, 2),
            Field::Millisecond => number(self.of_day % SECOND_US / 1000, 3),
            Field::Microsecond => number(self.of_day % SECOND_US, 6),
            Field::MonthName(case) => padded(out, &case.apply(name(&MONTHS, month - 1)), 9, fill),
            Field::MonthShort(case) => padded(out, &case.apply(short(name(&MONTHS, month - 1))), 3, fill),
            Field::MonthRoman(case) => padded(out, &case.apply(name(&ROMAN_MONTHS, month - 1)), 4, fill),
            Field::DayName(case) => padded(out, &case.apply(name(&WEEKDAYS, weekday(self.day))), 9, fill),
            Field::DayShort(case) => padded(out, &case.apply(short(name(&WEEKDAYS, weekday(self.day)))), 3, fill),
            Field::Meridian(case, points) => cased(out, case, points, if hour < 12 { "AM" } else { "PM" }),
            Field::Era(case, points) => cased(out, case, points, if year > 0 { "AD" } else { "BC" }),
            Field::ZoneName(case) => out.write_str(&case.apply(&zones::abbreviation(self.zone.name, self.instant))),
            Field::ZoneOffset => {
                let (sign, minutes) = (if self.zone.east < 0 { '-' } else { '+' }, self.zone.east.abs() / MINUTE_US);
                write!(out, "{sign}{:02}", minutes / 60)?;
                if minutes % 60 == 0 { Ok(()) } else { write!(out, ":{:02}", minutes % 60) }
            }
        }
    }
}

fn short(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}

fn padded(out: &mut String, text: &str, width: usize, fill: bool) -> std::fmt::Result {
    if fill { out.write_str(text) } else { write!(out, "{text:width$}") }
}

fn cased(out: &mut String, case: Case, points: bool, text: &str) -> std::fmt::Result {
    for letter in case.apply(text).chars() {
        out.write_char(letter)?;
        if points {
            out.write_char('.')?;
        }
    }
    Ok(())
}

/// The ending of an ordinal number.
pub fn ordinal(digits: &str) -> &'static str {
    let mut last = digits.bytes().rev();
    match (last.next(), last.next()) {
        (_, Some(b'1')) => "TH",
        (Some(b'1'), _) => "ST",
        (Some(b'2'), _) => "ND",
        (Some(b'3'), _) => "RD",
        _ => "TH",
    }
}
