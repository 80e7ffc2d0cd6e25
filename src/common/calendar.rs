//! The proleptic Gregorian calendar: days and microseconds since 1970-01-01 00:00:00.
//!
//! There is a year 0, which is 1 BC. Arithmetic is exact for all years whose days fit 40 bits; callers check ranges.

/// Microseconds of a second, a minute, an hour and a day.
pub const SECOND_US: i64 = 1_000_000;
pub const MINUTE_US: i64 = 60 * SECOND_US;
pub const HOUR_US: i64 = 60 * MINUTE_US;
pub const DAY_US: i64 = 24 * HOUR_US;

/// Days from 4714-11-24 BC, where Julian days begin in the proleptic Gregorian calendar, to 1970-01-01.
pub const JULIAN_EPOCH: i64 = 2_440_588;

/// Days in 400 years.
const ERA_DAYS: i64 = 146_097;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
}

impl Civil {
    /// The day that is `days` after 1970-01-01.
    pub fn from_days(days: i64) -> Civil {
        // Years begin in March here, so that the leap day is the last one.
        let from_march = days + 719_468;
        let era = from_march.div_euclid(ERA_DAYS);
        let of_era = from_march.rem_euclid(ERA_DAYS);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Civil { year, month, day: of_year - (153 * march_month + 2) / 5 + 1 }
    }

    /// The day of a moment in microseconds.
    pub fn from_micros(micros: i64) -> Civil {
        Civil::from_days(micros.div_euclid(DAY_US))
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i64 {
        days(self.year, self.month, self.day)
    }

    /// 1 to 366.
    pub fn day_of_year(self) -> i64 {
        self.days() - days(self.year, 1, 1) + 1
    }

    /// The century, the first of which has the years 1 to 100; there is none that is 0.
    pub fn century(self) -> i64 {
        numbered(self.year, 100)
    }

    /// The millennium, the first of which has the years 1 to 1000.
    pub fn millennium(self) -> i64 {
        numbered(self.year, 1000)
    }
}

/// Which one it is of the spans of `length` years that begin with year 1.
fn numbered(year: i64, length: i64) -> i64 {
    if year > 0 { (year + length - 1) / length } else { -((length - 1 - (year - 1)) / length) }
}

/// Days since 1970-01-01 of a day; a month or day beyond its range counts on into the next, or back.
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let months = year * 12 + month - 1;
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let march_month = (month + 9) % 12;
    let of_year = (153 * march_month + 2) / 5;
    era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468 + day - 1
}

/// 28 to 31.
pub fn days_in_month(year: i64, month: i64) -> i64 {
    days(year, month + 1, 1) - days(year, month, 1)
}

/// 0 to 6 from Sunday.
pub fn weekday(days: i64) -> i64 {
    (days + 4).rem_euclid(7)
}

/// ISO 8601: the week's year, the week (1 to 53), and the day in it (1 to 7 from Monday).
pub fn iso_week(days_since: i64) -> (i64, i64, i64) {
    let day = (days_since + 3).rem_euclid(7) + 1;
    // A week belongs to the year of its Thursday.
    let thursday = Civil::from_days(days_since + 4 - day);
    (thursday.year, (thursday.day_of_year() - 1) / 7 + 1, day)
}

/// The Monday on which an ISO year begins.
pub fn iso_year_start(year: i64) -> i64 {
    // 4 January is always in the first week.
    let fourth = days(year, 1, 4);
    fourth - (fourth + 3).rem_euclid(7)
}

/// Whether a year, month and day name a day.
pub fn is_day(year: i64, month: i64, day: i64) -> bool {
    (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_civil_dates_are_inverse() {
        for at in (-2_000_000..2_000_000).step_by(17).chain(-800..800) {
            let civil = Civil::from_days(at);
            assert_eq!(civil.days(), at, "{civil:?}");
            assert!(is_day(civil.year, civil.month, civil.day), "{civil:?}");
        }
        assert_eq!(Civil::from_days(0), Civil { year: 1970, month: 1, day: 1 });
        assert_eq!(Civil::from_days(-JULIAN_EPOCH), Civil { year: -4713, month: 11, day: 24 });
        assert_eq!(days(2001, 6, 31), days(2001, 7, 1));
        assert_eq!(days(2001, 14, 1), days(2002, 2, 1));
        assert_eq!(days(2001, 0, 1), days(2000, 12, 1));
    }

    #[test]
    fn weeks_are_iso_weeks() {
        for (date, expected) in [
            ((2008, 12, 29), (2009, 1, 1)),
            ((2010, 1, 3), (2009, 53, 7)),
            ((2020, 12, 31), (2020, 53, 4)),
            ((2022, 5, 16), (2022, 20, 1)),
        ] {
            let at = days(date.0, date.1, date.2);
            assert_eq!(iso_week(at), expected);
            assert_eq!(iso_year_start(expected.0) + (expected.1 - 1) * 7 + expected.2 - 1, at);
        }
        assert_eq!(weekday(days(2009, 12, 31)), 4);
        assert_eq!(weekday(-4), 0);
    }

    #[test]
    fn centuries_begin_with_year_one() {
        let century = |year| Civil { year, month: 1, day: 1 }.century();
        assert_eq!([century(2000), century(2001), century(1), century(100), century(0)], [20, 21, 1, 1, -1]);
        assert_eq!([century(-99), century(-100)], [-1, -2]);
    }
}
