//! Intervals as text.

use super::DatePart;
use super::calendar::{DAY_US, HOUR_US, MINUTE_US, SECOND_US};

/// A length of time: months and days have no fixed length, the rest has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interval {
    pub months: i64,
    pub days: i64,
    pub micros: i64,
}

impl Interval {
    /// Reads `1 year 2 mons`, `7 days, 3 hours`, `1w 1h`, `3 04:05:06`, `0.5 days`, `1-6`; a number alone is of `unit`.
    ///
    /// As Redshift's "Examples of interval literals without qualifier syntax": commas mean nothing, `m` is a minute. A
    /// fraction of a month is one of 30 days, as in PostgreSQL. `None` of anything else, and of what is too long.
    pub fn parse(text: &str, unit: DatePart) -> Option<Interval> {
        let mut interval = Interval::default();
        let mut words = Words(text).peekable();
        let mut any = false;
        while let Some(word) = words.next() {
            any = true;
            if word.contains(':') {
                interval.micros = interval.micros.checked_add(clock(word, DatePart::Hour, DatePart::Second)?)?;
            } else if let Some((negative, years, months)) = years_and_months(word) {
                let months = years.checked_mul(12)?.checked_add(months)?;
                interval.months = interval.months.checked_add(if negative { -months } else { months })?;
            } else {
                let part = match words.peek() {
                    Some(next) if next.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                        let part = DatePart::parse(next)?;
                        words.next();
                        part
                    }
                    // `3 04:05:06` has days first.
                    Some(next) if next.contains(':') => DatePart::Day,
                    _ => unit,
                };
                interval.add(word, part)?;
            }
        }
        any.then_some(interval)
    }

    /// Reads the text of a literal with the qualifier `from TO to`, `DAY TO SECOND` and the like.
    pub fn parse_qualified(text: &str, from: DatePart, to: DatePart) -> Option<Interval> {
        let text = text.trim();
        match (from, to) {
            (DatePart::Year, DatePart::Month) => {
                let (negative, years, months) = years_and_months(text)?;
                let months = years.checked_mul(12)?.checked_add(months)?;
                Some(Interval { months: if negative { -months } else { months }, ..Interval::default() })
            }
            (DatePart::Day, DatePart::Hour | DatePart::Minute | DatePart::Second) => {
                let (days, time) = text.split_once(' ')?;
                let negative = days.starts_with('-');
                let days: i64 = days.parse().ok()?;
                let micros = clock(time.trim(), DatePart::Hour, to)?;
                Some(Interval { months: 0, days, micros: if negative { -micros } else { micros } })
            }
            (DatePart::Hour, DatePart::Minute | DatePart::Second) | (DatePart::Minute, DatePart::Second) => {
                Some(Interval { micros: clock(text, from, to)?, ..Interval::default() })
            }
            _ => None,
        }
    }

    /// Microseconds, where a month has 30 days: by this PostgreSQL compares intervals.
    pub fn comparable(self) -> i128 {
        (i128::from(self.months) * 30 + i128::from(self.days)) * i128::from(DAY_US) + i128::from(self.micros)
    }

    fn add(&mut self, number: &str, part: DatePart) -> Option<()> {
        let (negative, whole, millionths) = number_of(number)?;
        let signed = |value: i64| if negative { -value } else { value };
        if let Some(months) = part.months() {
            let fraction = millionths.checked_mul(months)?;
            let total = whole.checked_mul(months)?.checked_add(fraction / SECOND_US)?;
            self.months = self.months.checked_add(signed(total))?;
            // What is left of a month, in millionths of it.
            self.micros = self.micros.checked_add(signed((fraction % SECOND_US) * 30 * (DAY_US / SECOND_US)))?;
            return Some(());
        }
        let micros = part.micros()?;
        let days = if micros >= DAY_US { micros / DAY_US } else { 0 };
        if days > 0 {
            self.days = self.days.checked_add(signed(whole.checked_mul(days)?))?;
        } else {
            self.micros = self.micros.checked_add(signed(whole.checked_mul(micros)?))?;
        }
        let fraction = i128::from(millionths) * i128::from(micros) / i128::from(SECOND_US);
        self.micros = self.micros.checked_add(signed(i64::try_from(fraction).ok()?))?;
        Some(())
    }
}

/// `[-]h:mm[:ss[.ffffff]]`, or `mm:ss` from minutes: at most as many fields as there are from `from` to `to`.
fn clock(text: &str, from: DatePart, to: DatePart) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    const FIELDS: [(DatePart, i64); 3] =
        [(DatePart::Hour, HOUR_US), (DatePart::Minute, MINUTE_US), (DatePart::Second, SECOND_US)];
    let first = FIELDS.iter().position(|(part, _)| *part == from)?;
    let last = FIELDS.iter().position(|(part, _)| *part == to)?;
    let mut total: i64 = 0;
    let mut fields = FIELDS.get(first..=last)?.iter();
    for (i, field) in text.split(':').enumerate() {
        let (part, micros) = fields.next()?;
        let (minus, whole, millionths) = number_of(field)?;
        let signed = field.starts_with(['+', '-']);
        if minus || signed || (i > 0 && whole >= 60) || (millionths > 0 && *part != DatePart::Second) {
            return None;
        }
        total = total.checked_add(whole.checked_mul(*micros)?)?.checked_add(millionths)?;
    }
    Some(if negative { -total } else { total })
}

/// `[-]y-m`
fn years_and_months(word: &str) -> Option<(bool, i64, i64)> {
    let (negative, rest) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let (years, months) = rest.split_once('-')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok()).flatten();
    let (years, months) = (number(years)?, number(months)?);
    (months < 12).then_some((negative, years, months))
}

/// Sign, whole part and millionths of a number.
fn number_of(text: &str) -> Option<(bool, i64, i64)> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let kept: String = fraction.chars().chain("000000".chars()).take(6).collect();
    Some((negative, if whole.is_empty() { 0 } else { whole.parse().ok()? }, kept.parse().ok()?))
}

/// Numbers and words of a text: `1w` is two, commas and blanks are none.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start_matches([' ', ',', '\t', '\n']);
        let alphabetic = text.chars().next()?.is_ascii_alphabetic();
        let end = text
            .find(|c: char| matches!(c, ' ' | ',' | '\t' | '\n') || c.is_ascii_alphabetic() != alphabetic)
            .unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.0 = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(months: i64, days: i64, micros: i64) -> Option<Interval> {
        Some(Interval { months, days, micros })
    }

    #[test]
    fn the_forms_of_the_manual_are_read() {
        let read = |text| Interval::parse(text, DatePart::Second);
        assert_eq!(read("1 second"), interval(0, 0, SECOND_US));
        assert_eq!(read("3 hours, 35 minutes"), interval(0, 0, 3 * HOUR_US + 35 * MINUTE_US));
        assert_eq!(read("52 weeks"), interval(0, 364, 0));
        assert_eq!(read("1w, 1h, 1m, 1s"), interval(0, 7, HOUR_US + MINUTE_US + SECOND_US));
        assert_eq!(read("0.5 days"), interval(0, 0, 12 * HOUR_US));
        assert_eq!(read("1 year 2 mons"), interval(14, 0, 0));
        assert_eq!(read("5"), interval(0, 0, 5 * SECOND_US));
        assert_eq!(read("1-6"), interval(18, 0, 0));
        assert_eq!(read("3 04:05:06.5"), interval(0, 3, 4 * HOUR_US + 5 * MINUTE_US + 6 * SECOND_US + 500_000));
        assert_eq!(read("-1 day -2 hours"), interval(0, -1, -2 * HOUR_US));
        assert_eq!(read("0.5 mon"), interval(0, 0, 15 * DAY_US));
        assert_eq!(read("1.5 years"), interval(18, 0, 0));
        for wrong in ["", "days", "1 fortnight", "1 2x 3", "1:99", "1 epoch", "9999999999999999999 days", "1.2.3 days"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn qualifiers_say_what_the_fields_are() {
        use DatePart::*;
        let read = Interval::parse_qualified;
        assert_eq!(read("1:30", Hour, Minute), interval(0, 0, 90 * MINUTE_US));
        assert_eq!(read("1:30", Minute, Second), interval(0, 0, 90 * SECOND_US));
        assert_eq!(read("1-3", Year, Month), interval(15, 0, 0));
        assert_eq!(read("-1-3", Year, Month), interval(-15, 0, 0));
        assert_eq!(read("10 10:00", Day, Minute), interval(0, 10, 10 * HOUR_US));
        assert_eq!(read("-2 01:00:00", Day, Second), interval(0, -2, -HOUR_US));
        assert_eq!(read("1:30:00", Hour, Minute), None);
        assert_eq!(read("1", Day, Month), None);
    }
}
