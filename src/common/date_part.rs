//! The parts of dates and times that functions name.

/// A date part. Names and abbreviations are those of Redshift's manual, "Date parts for date or timestamp functions".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatePart {
    Millennium,
    Century,
    Decade,
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    /// Seconds since 1970-01-01 00:00:00 UTC.
    Epoch,
    /// 0 to 6 from Sunday.
    DayOfWeek,
    DayOfYear,
    /// The zone's distance from UTC in seconds, its hours, and the minutes beside them.
    Timezone,
    TimezoneHour,
    TimezoneMinute,
}

impl DatePart {
    /// The part of a name or abbreviation, in whatever case. `m` is a minute.
    pub fn parse(name: &str) -> Option<DatePart> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "millennium" | "millennia" | "millenniums" | "mil" | "mils" => DatePart::Millennium,
            "century" | "centuries" | "c" | "cent" | "cents" => DatePart::Century,
            "decade" | "decades" | "dec" | "decs" => DatePart::Decade,
            "year" | "years" | "y" | "yr" | "yrs" => DatePart::Year,
            "quarter" | "quarters" | "qtr" | "qtrs" => DatePart::Quarter,
            "month" | "months" | "mon" | "mons" => DatePart::Month,
            "week" | "weeks" | "w" => DatePart::Week,
            "day" | "days" | "d" => DatePart::Day,
            "hour" | "hours" | "h" | "hr" | "hrs" => DatePart::Hour,
            "minute" | "minutes" | "m" | "min" | "mins" => DatePart::Minute,
            "second" | "seconds" | "s" | "sec" | "secs" => DatePart::Second,
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisec"
            | "millisecs" | "millisecon" => DatePart::Millisecond,
            "microsecond" | "microseconds" | "microsec" | "microsecs" | "usecond" | "useconds" | "us" | "usec"
            | "usecs" => DatePart::Microsecond,
            "epoch" => DatePart::Epoch,
            "dayofweek" | "dow" | "dw" | "weekday" => DatePart::DayOfWeek,
            "dayofyear" | "doy" | "dy" | "yearday" => DatePart::DayOfYear,
            "timezone" => DatePart::Timezone,
            "timezone_hour" => DatePart::TimezoneHour,
            "timezone_minute" => DatePart::TimezoneMinute,
            _ => return None,
        })
    }

    /// The full name.
    pub fn name(self) -> &'static str {
        match self {
            DatePart::Millennium => "millennium",
            DatePart::Century => "century",
            DatePart::Decade => "decade",
            DatePart::Year => "year",
            DatePart::Quarter => "quarter",
            DatePart::Month => "month",
            DatePart::Week => "week",
            DatePart::Day => "day",
            DatePart::Hour => "hour",
            DatePart::Minute => "minute",
            DatePart::Second => "second",
            DatePart::Millisecond => "millisecond",
            DatePart::Microsecond => "microsecond",
            DatePart::Epoch => "epoch",
            DatePart::DayOfWeek => "dayofweek",
            DatePart::DayOfYear => "dayofyear",
            DatePart::Timezone => "timezone",
            DatePart::TimezoneHour => "timezone_hour",
            DatePart::TimezoneMinute => "timezone_minute",
        }
    }

    /// Whether it is a length of time, which can be added and counted.
    pub fn is_length(self) -> bool {
        use DatePart::*;
        !matches!(self, Epoch | DayOfWeek | DayOfYear | Timezone | TimezoneHour | TimezoneMinute)
    }

    /// The months of a part that is made of months.
    pub fn months(self) -> Option<i64> {
        Some(match self {
            DatePart::Millennium => 12_000,
            DatePart::Century => 1200,
            DatePart::Decade => 120,
            DatePart::Year => 12,
            DatePart::Quarter => 3,
            DatePart::Month => 1,
            _ => return None,
        })
    }

    /// The microseconds of a part that always has the same length.
    pub fn micros(self) -> Option<i64> {
        use super::calendar::{DAY_US, HOUR_US, MINUTE_US, SECOND_US};
        Some(match self {
            DatePart::Week => 7 * DAY_US,
            DatePart::Day => DAY_US,
            DatePart::Hour => HOUR_US,
            DatePart::Minute => MINUTE_US,
            DatePart::Second => SECOND_US,
            DatePart::Millisecond => 1000,
            DatePart::Microsecond => 1,
            _ => return None,
        })
    }

    /// Whether a time of day has it.
    pub fn is_of_time(self) -> bool {
        use DatePart::*;
        matches!(self, Hour | Minute | Second | Millisecond | Microsecond | Epoch)
    }
}

/// What to write where a name is not a date part.
pub const DATE_PARTS: &str = "date parts are year, quarter, month, week, day, hour, minute, second, millisecond, \
     microsecond and their abbreviations";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_abbreviations_are_the_manuals() {
        assert_eq!(DatePart::parse("m"), Some(DatePart::Minute));
        assert_eq!(DatePart::parse("MON"), Some(DatePart::Month));
        assert_eq!(DatePart::parse(" Qtr "), Some(DatePart::Quarter));
        assert_eq!(DatePart::parse("dw"), Some(DatePart::DayOfWeek));
        assert_eq!(DatePart::parse("fortnight"), None);
        for part in [DatePart::Millennium, DatePart::DayOfYear, DatePart::TimezoneHour, DatePart::Microsecond] {
            assert_eq!(DatePart::parse(part.name()), Some(part));
        }
    }
}
