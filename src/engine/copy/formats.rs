//! DATEFORMAT and TIMEFORMAT (Redshift manual, "Data conversion parameters" and "DATEFORMAT and TIMEFORMAT strings").

use std::borrow::Cow;

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use arrow::datatypes::Date32Type;
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use crate::common::error::SqlState;
use crate::common::moment::zone_abbreviation;
use crate::common::{Error, Result};
use crate::functions::zones;
use crate::sql::ast::{DateFormat, TimeFormat, ValueRules};

const MICROS: i64 = 1_000_000;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const MONTH_NAMES: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// How text is read as dates and times.
#[derive(Debug, Clone, PartialEq)]
pub struct Formats {
    dates: Dates,
    times: Times,
}

#[derive(Debug, Clone, PartialEq)]
enum Dates {
    Iso,
    Auto,
    Pattern(Vec<Piece>),
}

#[derive(Debug, Clone, PartialEq)]
enum Times {
    Iso,
    Auto,
    /// Integers that count these since 1970; in microseconds.
    Epoch(i64),
    Pattern(Vec<Piece>),
}

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Year,
    ShortYear,
    Month,
    MonthName,
    Day,
    Hour,
    Hour12,
    Minute,
    /// With a fraction, where there is one.
    Second,
    Meridiem,
    Offset,
    Literal(char),
}

/// What text says of a time.
#[derive(Debug, Clone, Copy, Default)]
struct Read {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    micros: u32,
    /// PM, if either was said.
    afternoon: Option<bool>,
    zone: Option<Zone>,
}

/// Where a time is of.
#[derive(Debug, Clone, Copy)]
enum Zone {
    /// Seconds east of UTC.
    Offset(i64),
    Named(Tz),
}

impl Formats {
    /// Errors: Invalid for a pattern that is none.
    pub fn new(rules: &ValueRules) -> Result<Formats> {
        let dates = match &rules.dates {
            DateFormat::Iso => Dates::Iso,
            DateFormat::Auto => Dates::Auto,
            DateFormat::Pattern(pattern) => {
                // A time in it is read, and left out.
                Dates::Pattern(compile(pattern, "DATEFORMAT")?)
            }
        };
        let times = match &rules.times {
            TimeFormat::Iso => Times::Iso,
            TimeFormat::Auto => Times::Auto,
            TimeFormat::EpochSeconds => Times::Epoch(MICROS),
            TimeFormat::EpochMilliseconds => Times::Epoch(MICROS / 1000),
            TimeFormat::Pattern(pattern) => Times::Pattern(compile(pattern, "TIMEFORMAT")?),
        };
        Ok(Formats { dates, times })
    }

    /// Days since 1970 of `YYYY-MM-DD`, where dates are read so; `None` of all else, and of days that no month has.
    #[inline]
    pub fn plain_date(&self, field: &[u8]) -> Option<i32> {
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *field else { return None };
        if matches!(self.dates, Dates::Pattern(_)) {
            return None;
        }
        let digits = [y1, y2, y3, y4, m1, m2, d1, d2].map(|byte| byte.wrapping_sub(b'0'));
        if digits.iter().any(|digit| *digit > 9) {
            return None;
        }
        let [y1, y2, y3, y4, m1, m2, d1, d2] = digits.map(i32::from);
        let (year, month, day) = (y1 * 1000 + y2 * 100 + y3 * 10 + y4, m1 * 10 + m2, d1 * 10 + d2);
        // Those that every month has: the others are rare enough for the calendar.
        if year == 0 || !(1..=12).contains(&month) || !(1..=28).contains(&day) {
            return None;
        }
        // Years begin in March, so that the leap day is their last (Hinnant, "chrono-compatible low-level date algorithms").
        let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
        Some(365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468)
    }

    /// Days since 1970.
    pub fn date(&self, text: &str) -> Option<i32> {
        let date = match &self.dates {
            Dates::Iso => return Date32Type::parse(text),
            Dates::Auto => far(text).or_else(|| auto(text))?.date()?,
            Dates::Pattern(pieces) => by_pattern(text, pieces)?.date()?,
        };
        Some(days_of(date))
    }

    /// Microseconds since 1970, of no zone.
    pub fn timestamp(&self, text: &str) -> Option<i64> {
        match &self.times {
            Times::Iso => match far(text) {
                // Moved to UTC it would be another time than the one that is written.
                Some(Read { zone: Some(Zone::Named(_) | Zone::Offset(1.. | ..=-1)), .. }) => None,
                Some(read) => read.micros(),
                None if shifts(text) => None,
                None => string_to_datetime(&Utc, text).ok().map(|instant| instant.timestamp_micros()),
            },
            Times::Epoch(unit) => text.parse::<i64>().ok()?.checked_mul(*unit),
            // As Redshift, a zone is left out of what has none.
            Times::Auto => far(text).or_else(|| auto(text))?.micros(),
            Times::Pattern(pieces) => by_pattern(text, pieces)?.micros(),
        }
    }

    /// Microseconds since 1970 in UTC; without an offset they are of `zone`.
    pub fn instant(&self, text: &str, zone: Tz) -> Option<i64> {
        let read = match &self.times {
            Times::Iso => match far(text) {
                Some(read) => read,
                None => return zones::instant_of_text(text, zone).ok(),
            },
            Times::Epoch(unit) => return text.parse::<i64>().ok()?.checked_mul(*unit),
            Times::Auto => match (far(text), zones::instant_of_text(text, zone)) {
                (Some(read), _) => read,
                (None, Ok(micros)) => return Some(micros),
                (None, Err(_)) => auto(text)?,
            },
            Times::Pattern(pieces) => by_pattern(text, pieces)?,
        };
        match read.zone {
            Some(Zone::Offset(offset)) => read.micros()?.checked_sub(offset * MICROS),
            Some(Zone::Named(zone)) => Some(zones::instant_of_local(read.local()?, zone).timestamp_micros()),
            None => Some(zones::instant_of_local(read.local()?, zone).timestamp_micros()),
        }
    }
}

impl Read {
    fn date(&self) -> Option<NaiveDate> {
        NaiveDate::from_ymd_opt(self.year?, self.month?, self.day?)
    }

    fn time(&self) -> Option<NaiveTime> {
        let hour = match self.afternoon {
            None => self.hour,
            Some(_) if !(1..=12).contains(&self.hour) => return None,
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
        };
        NaiveTime::from_hms_micro_opt(hour, self.minute, self.second, self.micros)
    }

    fn local(&self) -> Option<NaiveDateTime> {
        Some(NaiveDateTime::new(self.date()?, self.time()?))
    }

    /// Since 1970, of no zone.
    fn micros(&self) -> Option<i64> {
        Some(self.local()?.and_utc().timestamp_micros())
    }
}

fn days_of(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - 719_163
}

fn wrong(message: impl Into<String>, hint: &str) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER, message).with_hint(hint)
}

/// The pieces of a pattern, whose words are in capitals, as in the manual.
fn compile(pattern: &str, option: &str) -> Result<Vec<Piece>> {
    const WORDS: [(&str, Piece); 14] = [
        ("YYYY", Piece::Year),
        ("YY", Piece::ShortYear),
        ("MON", Piece::MonthName),
        ("MM", Piece::Month),
        ("MI", Piece::Minute),
        ("DD", Piece::Day),
        ("HH24", Piece::Hour),
        ("HH12", Piece::Hour12),
        ("HH", Piece::Hour),
        ("SS", Piece::Second),
        ("AM", Piece::Meridiem),
        ("PM", Piece::Meridiem),
        ("OF", Piece::Offset),
        ("TZ", Piece::Offset),
    ];
    let (mut rest, mut pieces) = (pattern, Vec::new());
    while let Some(first) = rest.chars().next() {
        if let Some((word, piece)) = WORDS.iter().find(|(word, _)| rest.starts_with(word)) {
            pieces.push(*piece);
            rest = &rest[word.len()..];
            continue;
        }
        if first.is_ascii_alphabetic() && first != 'T' && first != 'Z' {
            return Err(wrong(
                format!("{option} '{pattern}' has the unknown word \"{rest}\""),
                "words are YYYY, YY, MM, MON, DD, HH, HH24, HH12, MI, SS, AM, PM and OF, in capitals; or write 'auto'",
            ));
        }
        pieces.push(Piece::Literal(first));
        rest = &rest[first.len_utf8()..];
    }
    let has = |wanted: &[Piece]| pieces.iter().any(|piece| wanted.contains(piece));
    match has(&[Piece::Year, Piece::ShortYear]) && has(&[Piece::Month, Piece::MonthName]) && has(&[Piece::Day]) {
        true => Ok(pieces),
        false => Err(wrong(
            format!("{option} '{pattern}' says no whole date"),
            "write year, month and day, for example 'YYYY-MM-DD'",
        )),
    }
}

fn by_pattern(text: &str, pieces: &[Piece]) -> Option<Read> {
    let mut read = Read::default();
    let mut rest = text;
    let digit_follows = |at: usize| {
        pieces
            .get(at)
            .is_some_and(|p| !matches!(p, Piece::Literal(_) | Piece::MonthName | Piece::Meridiem | Piece::Offset))
    };
    for (at, piece) in pieces.iter().enumerate() {
        let mut number = |most: usize| {
            let digits = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
            // Where digits follow, each number has all of its own.
            if digits == 0 || (digit_follows(at + 1) && digits < most) {
                return None;
            }
            let (found, after) = rest.split_at(digits);
            rest = after;
            found.parse::<u32>().ok()
        };
        match piece {
            Piece::Year => read.year = Some(number(4)? as i32),
            Piece::ShortYear => read.year = Some(full_year(number(2)?)),
            Piece::Month => read.month = Some(number(2)?),
            Piece::Day => read.day = Some(number(2)?),
            Piece::Hour => read.hour = number(2)?,
            Piece::Hour12 => {
                read.hour = number(2)?;
                read.afternoon = read.afternoon.or(Some(false));
            }
            Piece::Minute => read.minute = number(2)?,
            Piece::Second => {
                read.second = number(2)?;
                if !matches!(pieces.get(at + 1), Some(Piece::Literal('.')))
                    && let Some(fraction) = rest.strip_prefix('.')
                {
                    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
                    read.micros = micros_of(&fraction[..digits])?;
                    rest = &fraction[digits..];
                }
            }
            Piece::MonthName => {
                let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
                let (name, after) = rest.split_at(letters);
                read.month = Some(month_of(name)?);
                rest = after;
            }
            Piece::Meridiem => {
                let (word, after) = rest.split_at_checked(2)?;
                read.afternoon = Some(meridiem(word)?);
                rest = after;
            }
            Piece::Offset => {
                read.zone = Some(zone_of(rest.trim())?);
                rest = "";
            }
            Piece::Literal(expected) => {
                let mut chars = rest.chars();
                if chars.next()? != *expected {
                    return None;
                }
                rest = chars.as_str();
            }
        }
    }
    rest.is_empty().then_some(read)
}

/// Of the years 1970 to 2069.
fn full_year(short: u32) -> i32 {
    short as i32 + if short < 70 { 2000 } else { 1900 }
}

fn month_of(name: &str) -> Option<u32> {
    let name = name.to_ascii_lowercase();
    let at = MONTHS.iter().position(|m| *m == name).or_else(|| MONTH_NAMES.iter().position(|m| *m == name));
    at.map(|at| at as u32 + 1)
}

fn meridiem(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "am" => Some(false),
        "pm" => Some(true),
        _ => None,
    }
}

/// Of the digits behind the point; what is below a microsecond is left out.
fn micros_of(digits: &str) -> Option<u32> {
    let kept = &digits[..digits.len().min(6)];
    let value: u32 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    Some(value * 10u32.pow(6 - kept.len() as u32))
}

/// An offset, or a zone's name or abbreviation.
fn zone_of(text: &str) -> Option<Zone> {
    offset_of(text).map(Zone::Offset).or_else(|| text.parse().ok().map(Zone::Named))
}

/// `+02`, `-0230`, `+02:30`, `Z`, `PST`; seconds east of UTC.
fn offset_of(text: &str) -> Option<i64> {
    if let Some(minutes) = zone_abbreviation(text) {
        return Some(minutes * 60);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let digits: String = rest.chars().filter(|c| *c != ':').collect();
    if !matches!(digits.len(), 1..=4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = if digits.len() > 2 { digits.split_at(digits.len() - 2) } else { (digits.as_str(), "0") };
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 15 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// A date with a signed year and the time behind it, as UNLOAD writes years before 1 and after 9999; 0 is the year 1 BC.
fn far(text: &str) -> Option<Read> {
    text.strip_prefix(['+', '-'])?;
    let (date, time) = text.split_once([' ', 'T']).map_or((text, None), |(date, time)| (date, Some(time)));
    let date = NaiveDate::from_num_days_from_ce_opt(Date32Type::parse(date)?.checked_add(719_163)?)?;
    let (year, month, day) = (Some(date.year()), Some(date.month()), Some(date.day()));
    let mut read = Read { year, month, day, ..Read::default() };
    if let Some(time) = time {
        time_of_day(time, &mut read)?;
    }
    Some(read)
}

/// Whether it is a date and a time with an offset behind it that is not UTC's.
fn shifts(text: &str) -> bool {
    let behind = text.get("YYYY-MM-DD ".len()..).unwrap_or_default();
    let zone = behind.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ':' | '.')).trim();
    !zone.is_empty() && offset_of(zone) != Some(0)
}

/// What 'auto' recognises: ISO dates, months by name in any place, Julian days, digits alone, years before Christ, each with a
/// time and a zone behind it; days of `1/8/1999` come after months.
fn auto(text: &str) -> Option<Read> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let (text, before_christ) = match lower.strip_suffix("bc") {
        Some(rest) => (&text[..rest.trim_end().len()], true),
        None => (lower.strip_suffix("ad").map_or(text, |rest| &text[..rest.trim_end().len()]), false),
    };
    let mut read = Read::default();
    let (date, time) = parted(text);
    let (mut date, mut time) = (Cow::from(date), time.map(Cow::from));
    // `17 Dec 07:37:16 1997 PST`
    if let Some((clock, rest)) = time.as_deref().and_then(|time| time.split_once(' '))
        && let (year, zone) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""))
        && year.len() == 4
        && year.bytes().all(|b| b.is_ascii_digit())
    {
        date = format!("{date} {year}").into();
        time = Some(format!("{clock} {zone}").into());
    }
    if let Some(time) = time {
        time_of_day(time.trim(), &mut read)?;
    }
    let date = date.trim().trim_end_matches(',');
    if let Some(day) = date.strip_prefix(['J', 'j'])
        && let Ok(day) = day.parse::<i32>()
    {
        let date = NaiveDate::from_num_days_from_ce_opt(day.checked_sub(1_721_425)?)?;
        (read.year, read.month, read.day) = (Some(date.year()), Some(date.month()), Some(date.day()));
        return Some(read);
    }
    let parts: Vec<&str> = date.split(['-', '/', '.', ' ', ',']).filter(|part| !part.is_empty()).collect();
    let number = |text: &str| text.parse::<u32>().ok();
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let short = |text: &str| text.len() <= 2 && !before_christ;
    let year = |text: &str| {
        number(text).and_then(|year| if short(text) { Some(full_year(year)) } else { i32::try_from(year).ok() })
    };
    let (y, m, d) = match parts.as_slice() {
        [digits] if digits.len() == 8 && is_digits(digits) => {
            (year(&digits[..4])?, number(&digits[4..6])?, number(&digits[6..])?)
        }
        [digits] if digits.len() == 6 && is_digits(digits) => {
            (year(&digits[..2])?, number(&digits[2..4])?, number(&digits[4..])?)
        }
        // A year and its day.
        [y, day] if y.len() == 4 && day.len() == 3 => {
            let date = NaiveDate::from_yo_opt(year(y)?, number(day)?)?;
            (date.year(), date.month(), date.day())
        }
        [a, b, c] => match (month_of(a), month_of(b)) {
            (Some(month), _) => (year(c)?, month, number(b)?),
            (None, Some(month)) if a.len() > 2 => (year(a)?, month, number(c)?),
            (None, Some(month)) => (year(c)?, month, number(a)?),
            (None, None) if a.len() > 2 => (year(a)?, number(b)?, number(c)?),
            (None, None) => (year(c)?, number(a)?, number(b)?),
        },
        _ => return None,
    };
    // The year 1 BC is 0 of those who count so.
    let y = if before_christ { 1i32.checked_sub(y)? } else { y };
    (read.year, read.month, read.day) = (Some(y), Some(m), Some(d));
    read.date()?;
    Some(read)
}

/// The date, and the time behind it.
fn parted(text: &str) -> (&str, Option<&str>) {
    if let Some(colon) = text.find(':') {
        let start = text[..colon].rfind([' ', 'T', 't']).map_or(0, |at| at + 1);
        return (text[..start].trim_end_matches(['T', 't', ' ']), Some(&text[start..]));
    }
    // Digits behind digits.
    if let Some(at) = text.find(['T', 't', ' '])
        && text[..at].bytes().all(|b| b.is_ascii_digit())
        && text[at + 1..].bytes().take(4).filter(u8::is_ascii_digit).count() == 4
    {
        return (&text[..at], Some(&text[at + 1..]));
    }
    (text, None)
}

fn time_of_day(text: &str, read: &mut Read) -> Option<()> {
    let digits = |text: &str| text.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b':' | b'.')).count();
    let (clock, rest) = text.split_at(digits(text));
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    read.micros = micros_of(fraction)?;
    let parts: Vec<u32> = match clock.contains(':') {
        true => clock.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?,
        false => {
            let pairs = clock.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok()?.parse().ok());
            pairs.collect::<Option<_>>()?
        }
    };
    (read.hour, read.minute, read.second) = match parts.as_slice() {
        [hour, minute] => (*hour, *minute, 0),
        [hour, minute, second] => (*hour, *minute, *second),
        _ => return None,
    };
    let mut rest = rest.trim();
    if let Some((word, after)) = rest.split_at_checked(2)
        && let Some(afternoon) = meridiem(word)
    {
        read.afternoon = Some(afternoon);
        rest = after.trim();
    }
    if !rest.is_empty() {
        read.zone = Some(zone_of(rest)?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_dates_are_what_the_general_reading_has() {
        for dates in [Dates::Iso, Dates::Auto] {
            let formats = Formats { dates, times: Times::Iso };
            for year in (0..10_000).step_by(7).chain(1890..2110) {
                for (month, day) in (0..14).flat_map(|month| (0..34).map(move |day| (month, day))) {
                    let text = format!("{year:04}-{month:02}-{day:02}");
                    if let Some(days) = formats.plain_date(text.as_bytes()) {
                        assert_eq!(formats.date(&text), Some(days), "{text}");
                    } else {
                        assert!(year == 0 || day > 28 || day == 0 || month == 0 || month > 12, "{text}");
                    }
                }
            }
            for other in ["1996-3-13", "1996/03/13", "1996-03-1x", " 1996-03-1", "+996-03-13"] {
                assert_eq!(formats.plain_date(other.as_bytes()), None, "{other}");
            }
        }
        let pattern = compile("YYYY-DD-MM", "DATEFORMAT").unwrap();
        let formats = Formats { dates: Dates::Pattern(pattern), times: Times::Iso };
        assert_eq!(formats.plain_date(b"1996-03-11"), None);
    }
}
