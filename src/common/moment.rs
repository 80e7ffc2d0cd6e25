//! Dates and timestamps as text.

use super::calendar::{Civil, DAY_US, HOUR_US, MINUTE_US, SECOND_US, days, is_day};

/// A date, with a time and a zone where the text has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Days since 1970-01-01.
    pub days: i64,
    /// Microseconds of the day; 0 where the text has no time.
    pub time: i64,
    /// Minutes east of UTC.
    pub offset: Option<i64>,
}

impl Moment {
    /// Reads a date with or without a time and a zone, in the forms that Redshift reads without being told a format
    /// ("Date, time, and timestamp literals"): `2008-12-31`, `20081231`, `081231`, `2008.366`, `12-31-2008`, `12/31/08`
    /// (month first), `Dec 31, 2008`, `31-Dec-2008`; then `T` or blanks and `23:59`, `23:59:59.999999` or `11:59 PM`; then `Z`, `+01`,
    /// `-05:30` or an abbreviation of [`zone_abbreviation`]. `None` where it is something else, or no day.
    pub fn parse(text: &str) -> Option<Moment> {
        let mut scanner = Scanner(text.trim());
        let (year, month, day) = scanner.date()?;
        if !is_day(year, month, day) {
            return None;
        }
        let days = days(year, month, day);
        let joined = scanner.0.starts_with(['T', 't']) && scanner.0[1..].starts_with(|c: char| c.is_ascii_digit());
        if joined {
            scanner.0 = &scanner.0[1..];
        }
        scanner.blanks();
        let time = if scanner.0.starts_with(|c: char| c.is_ascii_digit()) { scanner.time()? } else { 0 };
        scanner.blanks();
        let offset = if scanner.0.is_empty() { None } else { Some(zone_offset(scanner.0)?) };
        Some(Moment { days, time, offset })
    }

    /// Microseconds since 1970-01-01 00:00:00, in UTC where the text has a zone; `None` beyond an `i64`.
    pub fn micros(self) -> Option<i64> {
        let local = self.days.checked_mul(DAY_US)?.checked_add(self.time)?;
        local.checked_sub(self.offset.unwrap_or(0) * MINUTE_US)
    }
}

/// Reads a time of day: `23:59`, `23:59:59.999999`, `235959`, `11:59 PM`. Microseconds.
pub fn parse_time(text: &str) -> Option<i64> {
    let mut scanner = Scanner(text.trim());
    let time = scanner.time()?;
    scanner.0.is_empty().then_some(time)
}

/// The number of a month, 1 to 12, by its English name or the first three letters of it.
pub fn month_number(name: &str) -> Option<i64> {
    let found = MONTHS.iter().position(|month| {
        name.eq_ignore_ascii_case(month) || (name.len() == 3 && month[..3].eq_ignore_ascii_case(name))
    });
    found.map(|i| i as i64 + 1)
}

pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From Sunday.
pub const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Abbreviations that mean one zone wherever they are used, with minutes east of UTC: our own choice among
/// PostgreSQL's. IST, CST of China and the like are left out, since they mean several.
const ABBREVIATIONS: [(&str, i64); 37] = [
    ("UTC", 0),
    ("GMT", 0),
    ("Z", 0),
    ("ZULU", 0),
    ("UT", 0),
    ("NST", -210),
    ("NDT", -150),
    ("AST", -240),
    ("ADT", -180),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("AKST", -540),
    ("AKDT", -480),
    ("HST", -600),
    ("WET", 0),
    ("WEST", 60),
    ("BST", 60),
    ("CET", 60),
    ("CEST", 120),
    ("MET", 60),
    ("MEST", 120),
    ("EET", 120),
    ("EEST", 180),
    ("MSK", 180),
    ("SGT", 480),
    ("AWST", 480),
    ("JST", 540),
    ("KST", 540),
    ("ACST", 570),
    ("AEST", 600),
    ("NZST", 720),
];

/// Minutes east of UTC of a zone's abbreviation, in whatever case.
pub fn zone_abbreviation(name: &str) -> Option<i64> {
    let summer = [("AEDT", 660), ("ACDT", 630), ("NZDT", 780)];
    ABBREVIATIONS.iter().chain(&summer).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, offset)| *offset)
}

/// `+01`, `-0530`, `+5:30` or an abbreviation.
fn zone_offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return zone_abbreviation(text),
    };
    offset_minutes(rest).map(|minutes| sign * minutes)
}

/// `hh`, `hhmm` or `hh:mm`, at most 15:59.
pub fn offset_minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = match text.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        Some(_) => return None,
        None if text.len() > 2 && text.is_char_boundary(text.len() - 2) => text.split_at(text.len() - 2),
        None => (text, "0"),
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<i64>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 16 && minutes < 60).then_some(hours * 60 + minutes)
}

struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    fn blanks(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !wanted(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn digits(&mut self) -> &'a str {
        self.take(|c| c.is_ascii_digit())
    }

    /// What stands between the fields of a date.
    fn separator(&mut self) -> &'a str {
        self.take(|c| matches!(c, '-' | '/' | '.' | ',' | ' '))
    }

    fn date(&mut self) -> Option<(i64, i64, i64)> {
        let first = self.digits();
        if first.is_empty() {
            let month = month_number(self.take(|c| c.is_ascii_alphabetic()))?;
            self.separator();
            let day = short(self.digits())?;
            self.separator();
            return Some((year(self.digits())?, month, day));
        }
        if let 6 | 8 = first.len() {
            let (of_year, of_day) = first.split_at(first.len() - 4);
            return Some((year(of_year)?, short(&of_day[..2])?, short(&of_day[2..])?));
        }
        let separator = self.separator();
        if self.0.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let month = month_number(self.take(|c| c.is_ascii_alphabetic()))?;
            self.separator();
            let last = self.digits();
            return if first.len() == 4 {
                Some((year(first)?, month, short(last)?))
            } else {
                Some((year(last)?, month, short(first)?))
            };
        }
        if !matches!(separator, "-" | "/" | ".") {
            return None;
        }
        let second = self.digits();
        if first.len() == 4 && separator == "." && second.len() == 3 {
            return day_of_year(year(first)?, second.parse().ok()?);
        }
        if self.separator() != separator {
            return None;
        }
        let third = self.digits();
        if first.len() >= 4 {
            Some((year(first)?, short(second)?, short(third)?))
        } else {
            Some((year(third)?, short(first)?, short(second)?))
        }
    }

    fn time(&mut self) -> Option<i64> {
        let first = self.digits();
        let joined = first.len() == 6;
        let mut hour = short(if joined { &first[..2] } else { first })?;
        let minute = match joined {
            true => short(&first[2..4])?,
            false if self.colon() => short(self.digits())?,
            false => return None,
        };
        let mut micros = 0;
        let mut second = 0;
        if joined || self.colon() {
            second = short(if joined { &first[4..] } else { self.digits() })?;
            if let Some(rest) = self.0.strip_prefix('.') {
                self.0 = rest;
                let digits = self.digits();
                if digits.is_empty() {
                    return None;
                }
                let kept: String = digits.chars().chain("000000".chars()).take(6).collect();
                micros = kept.parse().ok()?;
            }
        }
        let before = self.0;
        self.blanks();
        let word = self.take(|c| c.is_ascii_alphabetic());
        match word.to_ascii_uppercase().as_str() {
            "AM" | "PM" if !(1..=12).contains(&hour) => return None,
            "AM" => hour %= 12,
            "PM" => hour = hour % 12 + 12,
            _ => self.0 = before,
        }
        let time = hour * HOUR_US + minute * MINUTE_US + second * SECOND_US + micros;
        // 24:00:00 is the day's end.
        (minute < 60 && second < 60 && time <= DAY_US).then_some(time)
    }

    fn colon(&mut self) -> bool {
        match self.0.strip_prefix(':') {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }
}

/// Counted from 1.
fn day_of_year(year: i64, day: i64) -> Option<(i64, i64, i64)> {
    let found = Civil::from_days(days(year, 1, 1) + day - 1);
    (found.year == year).then_some((year, found.month, found.day))
}

/// A number of one or two digits.
fn short(text: &str) -> Option<i64> {
    if text.len() <= 2 { text.parse().ok() } else { None }
}

/// A year of four to six digits, or of two: 1970 to 2069.
fn year(text: &str) -> Option<i64> {
    match text.len() {
        2 => text.parse::<i64>().ok().map(|year| if year < 70 { year + 2000 } else { year + 1900 }),
        4..=6 => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_redshifts_forms() {
        let expected = Moment { days: days(2008, 12, 31), time: 0, offset: None };
        for text in [
            "2008-12-31",
            "20081231",
            "12-31-2008",
            "12/31/2008",
            "12/31/08",
            "Dec 31, 2008",
            "December 31, 2008",
            "31-Dec-2008",
            "Dec-31-2008",
            "Dec 31,2008",
            "2008-Dec-31",
            " 2008/12/31 ",
            "31 December 2008",
            "081231",
            "2008.366",
        ] {
            assert_eq!(Moment::parse(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "2008",
            "31-12-2008",
            "2008-02-30",
            "2008-12-31x",
            "2007.366",
            "2008.000",
            "081331",
            "Foo 1, 2008",
            "2008-12/31",
            "10:00",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_and_zones_follow() {
        let read = |text| Moment::parse(text).and_then(Moment::micros);
        let noon = days(2008, 6, 1) * DAY_US + 12 * HOUR_US;
        for text in [
            "2008-06-01 12:00",
            "2008-06-01T12:00:00",
            "Jun 1,2008 12:00:00",
            "20080601 12:00:00.000",
            "6/1/2008 12:00 PM",
            "2008-06-01 12:00:00Z",
            "2008-06-01 12:00:00 UTC",
            "2008-06-01 14:00:00+02",
            "2008-06-01 07:00:00 EST",
            "2008-06-01 06:30-05:30",
            "2008-06-01 17:30:00 +0530",
            "20080601 120000",
            "2008-06-01 120000.0",
        ] {
            assert_eq!(read(text), Some(noon), "{text}");
        }
        assert_eq!(read("2008-06-01 12:00:00.000001"), Some(noon + 1));
        assert_eq!(read("2008-06-01 12:00:00.0000019"), Some(noon + 1));
        assert_eq!(read("2008-06-01 24:00:00"), Some(noon + 12 * HOUR_US));
        for text in
            ["2008-06-01 25:00", "2008-06-01 12:60", "2008-06-01 12:00 IST", "2008-06-01 13:00 PM", "2008-06-01 12"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(parse_time("040506"), Some(4 * HOUR_US + 5 * MINUTE_US + 6 * SECOND_US));
        assert_eq!(parse_time("0405"), None);
        assert_eq!(parse_time("04:05:06.789"), Some(4 * HOUR_US + 5 * MINUTE_US + 6_789_000));
        assert_eq!(zone_abbreviation("nzdt"), Some(780));
    }
}
