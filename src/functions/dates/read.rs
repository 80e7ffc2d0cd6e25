//! Dates and times from text in a format: TO_DATE and TO_TIMESTAMP.

use super::format::{Case, Field, Format, Item, refused};
use super::write::ROMAN_MONTHS;
use crate::common::calendar::{
    DAY_US, HOUR_US, JULIAN_EPOCH, MINUTE_US, SECOND_US, days, days_in_month, iso_year_start,
};
use crate::common::moment::{MONTHS, WEEKDAYS, month_number};
use crate::common::{Error, Result, SqlState};

/// What a text said.
#[derive(Debug, Default)]
struct Said {
    year: Option<i64>,
    iso_year: Option<i64>,
    before_christ: bool,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    iso_day_of_year: Option<i64>,
    week_of_month: Option<i64>,
    week_of_year: Option<i64>,
    iso_week: Option<i64>,
    iso_weekday: Option<i64>,
    julian: Option<i64>,
    hour: i64,
    hour12: bool,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    millionths: i64,
}

/// Refuses a format that no text can be read by.
pub fn check(format: &Format, function: &str) -> Result<()> {
    for field in format.fields() {
        match field {
            Field::Quarter | Field::Century => {
                return Err(refused(function, field, "does not tell a date").with_hint("leave it out of the format"));
            }
            Field::ZoneName(_) | Field::ZoneOffset => {
                return Err(Error::unsupported(format!(
                    "{function}: {} is not supported in a format to read by",
                    field.name()
                ))
                .with_hint("read the text without its zone, then use CONVERT_TIMEZONE"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads `text` by `format`: microseconds since 1970-01-01 00:00:00.
///
/// What the text does not say is 1 January of year 1, at midnight. Text beyond the format is left out, as in Redshift.
/// Values beyond their range count on into the next unless `strict`: 31 June is 1 July.
pub fn read(format: &Format, text: &str, strict: bool, function: &'static str) -> Result<i64> {
    let mut reader = Reader { text, rest: text.trim_start(), function };
    let mut said = Said::default();
    let mut items = format.0.iter().peekable();
    while let Some(item) = items.next() {
        if reader.rest.trim().is_empty() {
            break;
        }
        match item {
            Item::Literal(literal) => reader.literal(literal)?,
            Item::Field { field, suffix, .. } => {
                // Digits follow without anything between: `YYYYMMDD`.
                let joined = matches!(items.peek(), Some(Item::Field { .. }));
                reader.field(*field, joined, &mut said)?;
                if suffix.is_some() {
                    reader.ending();
                }
            }
        }
    }
    let micros = said.micros(strict).map_err(|what| {
        let error = |message| Error::invalid(SqlState::DATETIME_OVERFLOW, message);
        error(format!("{function}: {what} of \"{text}\" is out of range"))
            .with_hint("without is_strict, values count on into the next month or day")
    })?;
    micros.ok_or_else(|| Error::invalid(SqlState::DATETIME_OVERFLOW, format!("{function}: \"{text}\" is out of range")))
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    function: &'static str,
}

impl<'a> Reader<'a> {
    fn wrong(&self, expected: &str) -> Error {
        let at = self.text.len() - self.rest.len();
        let position = self.text.get(..at).map_or(1, |before| before.chars().count() + 1);
        Error::invalid(
            SqlState::INVALID_DATETIME_FORMAT,
            format!("{}: expected {expected} at character {position} of \"{}\"", self.function, self.text),
        )
        .with_hint("write the format as the text is written")
    }

    /// Blanks stand for any number of blanks; a separator for any other.
    fn literal(&mut self, literal: &str) -> Result<()> {
        for wanted in literal.chars() {
            if wanted.is_whitespace() {
                self.rest = self.rest.trim_start();
                continue;
            }
            let Some(found) = self.rest.chars().next() else { return Ok(()) };
            let separators = !wanted.is_alphanumeric() && (found.is_ascii_punctuation() || found == ' ');
            if found.to_lowercase().ne(wanted.to_lowercase()) && !separators {
                return Err(self.wrong(&format!("\"{wanted}\"")));
            }
            self.rest = self.rest.strip_prefix(found).unwrap_or_default();
        }
        Ok(())
    }

    fn number(&mut self, most: usize, what: &str) -> Result<(i64, usize)> {
        self.rest = self.rest.trim_start();
        let digits = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.rest.split_at(digits);
        let value = number.parse().map_err(|_| self.wrong(what))?;
        self.rest = rest;
        Ok((value, digits))
    }

    fn letters(&self) -> &'a str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.rest.len());
        self.rest.get(..end).unwrap_or_default()
    }

    /// Goes past the longest of `names` that stands here.
    fn name(&mut self, names: &[&str], what: &str) -> Result<usize> {
        self.rest = self.rest.trim_start();
        let stands = |name: &str| self.rest.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
        let found = (0..names.len()).filter(|i| stands(names[*i])).max_by_key(|i| names[*i].len());
        let found = found.ok_or_else(|| self.wrong(what))?;
        self.rest = self.rest.get(names[found].len()..).unwrap_or_default();
        Ok(found)
    }

    /// `st`, `nd`, `rd` or `th`
    fn ending(&mut self) {
        if ["st", "nd", "rd", "th"].iter().any(|e| self.letters().eq_ignore_ascii_case(e)) {
            self.rest = self.rest.get(2..).unwrap_or_default();
        }
    }

    fn field(&mut self, field: Field, joined: bool, said: &mut Said) -> Result<()> {
        match field {
            Field::Year(digits) => {
                let most = if digits == 4 && !joined { 6 } else { digits };
                let (year, written) = self.number(most, "a year")?;
                said.year = Some(full_year(year, written, digits));
            }
            Field::YearWithComma => {
                let (thousands, _) = self.number(3, "a year")?;
                self.rest = self.rest.strip_prefix(',').ok_or_else(|| self.wrong("\",\""))?;
                said.year = Some(thousands * 1000 + self.number(3, "a year")?.0);
            }
            Field::IsoYear(digits) => {
                let (year, written) = self.number(digits, "a year")?;
                said.iso_year = Some(full_year(year, written, digits));
            }
            Field::Month => said.month = Some(self.number(2, "a month")?.0),
            Field::MonthName(_) | Field::MonthShort(_) => {
                self.rest = self.rest.trim_start();
                let letters = self.letters();
                // A name may be followed by letters of the format.
                let name = [letters, letters.get(..3).unwrap_or_default()].into_iter();
                let names = name.chain(MONTHS.iter().filter_map(|month| letters.get(..month.len())));
                let found =
                    names.filter_map(|name| Some((month_number(name)?, name.len()))).max_by_key(|found| found.1);
                let (month, length) = found.ok_or_else(|| self.wrong("a month's name"))?;
                said.month = Some(month);
                self.rest = self.rest.get(length..).unwrap_or_default();
            }
            Field::MonthRoman(_) => {
                said.month = Some(self.name(&ROMAN_MONTHS, "a month in Roman numerals")? as i64 + 1)
            }
            Field::WeekOfMonth => said.week_of_month = Some(self.number(1, "a week")?.0),
            Field::WeekOfYear => said.week_of_year = Some(self.number(2, "a week")?.0),
            Field::IsoWeek => said.iso_week = Some(self.number(2, "a week")?.0),
            Field::DayOfYear => said.day_of_year = Some(self.number(3, "a day of the year")?.0),
            Field::IsoDayOfYear => said.iso_day_of_year = Some(self.number(3, "a day of the year")?.0),
            Field::Day => said.day = Some(self.number(2, "a day")?.0),
            // The weekday follows from the date.
            Field::Weekday => drop(self.number(1, "a weekday")?),
            Field::IsoWeekday => said.iso_weekday = Some(self.number(1, "a weekday")?.0),
            Field::DayName(_) | Field::DayShort(_) => {
                let short = WEEKDAYS.map(|name| name.get(..3).unwrap_or(name));
                let names: Vec<&str> = WEEKDAYS.into_iter().chain(short).collect();
                self.name(&names, "a weekday")?;
            }
            Field::Julian => said.julian = Some(self.number(9, "a Julian day")?.0),
            Field::Hour24 | Field::Hour12 => {
                said.hour = self.number(2, "an hour")?.0;
                said.hour12 = field == Field::Hour12;
            }
            Field::Minute => said.minute = self.number(2, "a minute")?.0,
            Field::Second => said.second = self.number(2, "a second")?.0,
            Field::Millisecond => said.millionths += self.fraction(3, "milliseconds")?,
            Field::Microsecond => said.millionths += self.fraction(6, "microseconds")?,
            Field::Meridian(case, points) => {
                let names = if points { ["a.m.", "p.m."] } else { ["am", "pm"] };
                said.afternoon =
                    Some(self.name(&names, &format!("{} or {}", case.apply("AM"), case.apply("PM")))? == 1);
            }
            Field::Era(_, points) => {
                let names = if points { ["a.d.", "b.c."] } else { ["ad", "bc"] };
                said.before_christ = self.name(&names, &format!("{} or {}", Case::Upper.apply("ad"), "BC"))? == 1;
            }
            Field::Century | Field::Quarter | Field::ZoneName(_) | Field::ZoneOffset => {
                return Err(refused(self.function, field, "cannot be read"));
            }
        }
        Ok(())
    }

    /// Digits behind the point: `3` is 300 milliseconds, as in PostgreSQL. Microseconds.
    fn fraction(&mut self, most: usize, what: &str) -> Result<i64> {
        let (value, digits) = self.number(most, what)?;
        Ok(value * 10_i64.pow(6 - digits.min(6) as u32))
    }
}

/// A year of fewer digits than four is the one nearest to 2020, as in PostgreSQL; a longer token takes it as it stands.
fn full_year(year: i64, written: usize, digits: usize) -> i64 {
    match (digits, year) {
        _ if written > 3 || digits == 4 => year,
        (_, 0..=69) => year + 2000,
        (_, 70..=99) => year + 1900,
        (_, 100..=519) => year + 2000,
        _ => year + 1000,
    }
}

impl Said {
    /// Error: the name of what is out of range.
    fn micros(&self, strict: bool) -> Result<Option<i64>, &'static str> {
        let day = self.days(strict)?;
        let mut hour = self.hour;
        if self.hour12 || self.afternoon.is_some() {
            if (self.hour12 && strict && !(1..=12).contains(&hour)) || (self.afternoon.is_some() && hour > 12) {
                return Err("the hour");
            }
            // Without AM or PM, 12 is noon.
            if let Some(afternoon) = self.afternoon {
                hour = hour % 12 + if afternoon { 12 } else { 0 };
            }
        }
        if strict {
            let ranges = [("the hour", hour, 24), ("the minute", self.minute, 60), ("the second", self.second, 60)];
            if let Some((what, ..)) = ranges.into_iter().find(|(_, value, end)| value >= end) {
                return Err(what);
            }
        }
        let time = hour * HOUR_US + self.minute * MINUTE_US + self.second * SECOND_US + self.millionths;
        Ok(day.checked_mul(DAY_US).and_then(|day| day.checked_add(time)))
    }

    fn days(&self, strict: bool) -> Result<i64, &'static str> {
        let within =
            |what, value: i64, last: i64| if strict && !(1..=last).contains(&value) { Err(what) } else { Ok(value) };
        if let Some(julian) = self.julian {
            return Ok(julian - JULIAN_EPOCH);
        }
        if let Some(week) = self.iso_week.or(self.iso_day_of_year.map(|_| 1)) {
            let start = iso_year_start(self.iso_year.or(self.year).unwrap_or(1));
            if let Some(day) = self.iso_day_of_year {
                return Ok(start + within("the day", day, 371)? - 1);
            }
            let weekday = within("the weekday", self.iso_weekday.unwrap_or(1), 7)?;
            return Ok(start + (within("the week", week, 53)? - 1) * 7 + weekday - 1);
        }
        let year = match self.year.or(self.iso_year).unwrap_or(1) {
            year if self.before_christ => 1 - year,
            year => year,
        };
        if strict && year == 0 && !self.before_christ {
            return Err("the year");
        }
        if let Some(day) = self.day_of_year {
            let last = days(year + 1, 1, 1) - days(year, 1, 1);
            return Ok(days(year, 1, 1) + within("the day", day, last)? - 1);
        }
        if let Some(week) = self.week_of_year {
            return Ok(days(year, 1, 1) + (within("the week", week, 53)? - 1) * 7);
        }
        let month = within("the month", self.month.unwrap_or(1), 12)?;
        if let Some(week) = self.week_of_month {
            return Ok(days(year, month, 1) + (within("the week", week, 5)? - 1) * 7);
        }
        let day = within("the day", self.day.unwrap_or(1), days_in_month(year, month))?;
        Ok(days(year, month, day))
    }
}
