//! Numbers as text in a format, and back: "Numeric format strings" of Redshift's manual.

use crate::common::{Error, Result, SqlState};

use super::write::ordinal;

/// A format, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberFormat {
    items: Vec<Item>,
    /// `9` and `0` before the point, and after it.
    whole: usize,
    fraction: usize,
    /// Of the digits before the point, the first that is written even where it is a leading zero.
    first_zero: Option<usize>,
    /// Digits after the point up to which zeros stay in spite of FM.
    last_zero: usize,
    fill: bool,
    /// Where the sign stands: none says it, then before the first digit.
    sign: Sign,
    roman: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Digit,
    Point,
    Group,
    Currency,
    /// `MI`, `PL`, `SG`
    Minus,
    Plus,
    Either,
    /// `TH` or `th`
    Ordinal(bool),
    Literal(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// Before the first digit, with room for it.
    Lead,
    /// `S` before the digits: directly before the first; behind them: at the end.
    Before,
    After,
    /// `PR`
    Brackets,
    /// `MI`, `PL` or `SG` are among the items.
    Placed,
}

/// A number as decimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digits {
    pub negative: bool,
    /// Without leading zeros; empty for 0.
    pub whole: String,
    pub fraction: String,
}

impl Digits {
    /// Of `unscaled` / 10^`scale`, rounded to `places` (half away from zero); `None` where that overflows.
    pub fn of_decimal(unscaled: i128, scale: i8, places: usize) -> Option<Digits> {
        let scale = i64::from(scale);
        let dropped = u32::try_from((scale - places as i64).max(0)).ok()?;
        let magnitude = unscaled.unsigned_abs();
        let rounded = match 10_u128.checked_pow(dropped) {
            Some(divisor) => {
                magnitude / divisor + u128::from(magnitude % divisor >= divisor.div_ceil(2) && dropped > 0)
            }
            None => 0,
        };
        let mut digits = rounded.to_string();
        let kept = scale.min(places as i64);
        // A negative scale has zeros at the end.
        digits.extend(std::iter::repeat_n('0', (-kept).max(0) as usize));
        let kept = kept.max(0) as usize;
        while digits.len() < kept {
            digits.insert(0, '0');
        }
        let (whole, fraction) = digits.split_at(digits.len() - kept);
        let fraction = format!("{fraction:0<places$}");
        Some(Digits::new(unscaled < 0, whole, &fraction))
    }

    /// Of a double, rounded to `places`; `None` where it is no number.
    pub fn of_double(value: f64, places: usize) -> Option<Digits> {
        if !value.is_finite() {
            return None;
        }
        // The shortest decimal number that is this double, so that 2.675 is not 2.67499….
        let written = format!("{}", value.abs());
        let (whole, fraction) = written.split_once('.').unwrap_or((&written, ""));
        if fraction.len() <= places {
            return Some(Digits::new(value < 0.0, whole, &format!("{fraction:0<places$}")));
        }
        let up = fraction.as_bytes().get(places).is_some_and(|digit| *digit >= b'5');
        let mut kept = format!("{whole}{}", fraction.get(..places)?).into_bytes();
        let mut carry = up;
        for digit in kept.iter_mut().rev() {
            if !carry {
                break;
            }
            carry = *digit == b'9';
            *digit = if carry { b'0' } else { *digit + 1 };
        }
        if carry {
            kept.insert(0, b'1');
        }
        let kept = String::from_utf8(kept).ok()?;
        let (whole, fraction) = kept.split_at(kept.len() - places);
        Some(Digits::new(value < 0.0, whole, fraction))
    }

    fn new(negative: bool, whole: &str, fraction: &str) -> Digits {
        let whole = whole.trim_start_matches('0').to_string();
        let zero = whole.is_empty() && fraction.bytes().all(|b| b == b'0');
        Digits { negative: negative && !zero, whole, fraction: fraction.to_string() }
    }
}

fn wrong(text: &str, message: &str) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER, format!("the number format '{text}' {message}"))
}

impl NumberFormat {
    /// Compiles a format. Error: Invalid for one that cannot be, Unsupported for tokens that Redshift's table lacks.
    pub fn compile(text: &str) -> Result<NumberFormat> {
        let mut format = NumberFormat {
            items: Vec::new(),
            whole: 0,
            fraction: 0,
            first_zero: None,
            last_zero: 0,
            fill: false,
            sign: Sign::Lead,
            roman: None,
        };
        let mut rest = text;
        let mut point = false;
        while let Some(first) = rest.chars().next() {
            let upper = |n: usize| rest.get(..n).map(str::to_ascii_uppercase).unwrap_or_default();
            let mut length = first.len_utf8();
            match (upper(2).as_str(), first.to_ascii_uppercase()) {
                ("FM", _) => {
                    format.fill = true;
                    length = 2;
                }
                ("PR", _) => {
                    format.set_sign(Sign::Brackets, text)?;
                    length = 2;
                }
                ("MI" | "PL" | "SG", _) => {
                    format.set_sign(Sign::Placed, text)?;
                    format.items.push(match upper(2).as_str() {
                        "MI" => Item::Minus,
                        "PL" => Item::Plus,
                        _ => Item::Either,
                    });
                    length = 2;
                }
                ("RN", _) => {
                    format.roman = Some(first == 'R');
                    length = 2;
                }
                ("TH", _) => {
                    format.items.push(Item::Ordinal(first == 'T'));
                    length = 2;
                }
                ("EE" | "CC", _) | (_, 'V') => {
                    let token = if upper(2) == "CC" {
                        "CC"
                    } else if first == 'v' || first == 'V' {
                        "V"
                    } else {
                        "EEEE"
                    };
                    return Err(Error::unsupported(format!(
                        "{token} in the number format '{text}' is not supported yet"
                    )));
                }
                (_, '"') => {
                    let quoted = rest.get(1..).unwrap_or_default();
                    let (inner, after) = quoted.split_once('"').unwrap_or((quoted, ""));
                    format.items.push(Item::Literal(inner.to_string()));
                    length = rest.len() - after.len();
                }
                (_, '9' | '0') => {
                    if point {
                        format.fraction += 1;
                        if first == '0' {
                            format.last_zero = format.fraction;
                        }
                    } else {
                        if first == '0' {
                            format.first_zero.get_or_insert(format.whole);
                        }
                        format.whole += 1;
                    }
                    if format.sign == Sign::After {
                        return Err(wrong(text, "has S between digits").with_hint("write S first or last"));
                    }
                    format.items.push(Item::Digit);
                }
                (_, '.' | 'D') => {
                    if std::mem::replace(&mut point, true) {
                        return Err(wrong(text, "has two decimal points"));
                    }
                    format.items.push(Item::Point);
                }
                (_, ',' | 'G') => format.items.push(Item::Group),
                (_, 'L') => format.items.push(Item::Currency),
                (_, 'S') => {
                    let after = format.whole + format.fraction > 0;
                    format.set_sign(if after { Sign::After } else { Sign::Before }, text)?;
                }
                _ => format.items.push(Item::Literal(first.to_string())),
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        if format.roman.is_none() && format.whole + format.fraction == 0 {
            return Err(wrong(text, "has no digits").with_hint("write 9 or 0 for each digit"));
        }
        Ok(format)
    }

    fn set_sign(&mut self, sign: Sign, text: &str) -> Result<()> {
        let both_placed = self.sign == Sign::Placed && sign == Sign::Placed;
        if self.sign != Sign::Lead && !both_placed {
            return Err(wrong(text, "has two signs").with_hint("use one of S, PR, or MI, PL and SG"));
        }
        self.sign = sign;
        Ok(())
    }

    /// Digits after the point.
    pub fn places(&self) -> usize {
        self.fraction
    }

    /// The precision and scale of the numbers that are read.
    pub fn decimal(&self) -> Result<(u8, i8)> {
        if self.roman.is_some() {
            return Err(Error::unsupported("RN in a format to read by is not supported"));
        }
        let (precision, scale) = ((self.whole + self.fraction).max(1), self.fraction);
        match (u8::try_from(precision), i8::try_from(scale)) {
            (Ok(precision), Ok(scale)) if precision <= 38 => Ok((precision, scale)),
            _ => {
                Err(Error::invalid(SqlState::NUMERIC_OUT_OF_RANGE, "a number format to read by has at most 38 digits"))
            }
        }
    }

    /// Appends a number that is rounded to [`NumberFormat::places`].
    pub fn write(&self, number: &Digits, out: &mut String) {
        if let Some(upper) = self.roman {
            return self.write_roman(number, upper, out);
        }
        let start = out.len();
        let overflows = number.whole.len() > self.whole;
        let leading = self.whole.saturating_sub(number.whole.len());
        // The first digit that is written. A zero alone is, unless digits follow the point.
        let only_zero = number.whole.is_empty() && self.fraction == 0;
        let mut first = leading.min(self.first_zero.unwrap_or(usize::MAX));
        if only_zero {
            first = first.min(self.whole.saturating_sub(1));
        }
        let trailing = match self.fill {
            true => number.fraction.trim_end_matches('0').len().max(self.last_zero),
            false => self.fraction,
        };
        let sign = if number.negative { '-' } else { '+' };
        let mut signed = !matches!(self.sign, Sign::Lead | Sign::Before | Sign::Brackets);
        let mut lead = |out: &mut String| {
            if std::mem::replace(&mut signed, true) {
                return;
            }
            match (self.sign, number.negative) {
                (Sign::Before, _) => out.push(sign),
                (Sign::Lead, true) => out.push('-'),
                (Sign::Brackets, true) => out.push('<'),
                _ if !self.fill => out.push(' '),
                _ => {}
            }
        };
        let (mut at, mut after_point) = (0, None);
        for item in &self.items {
            match (item, after_point) {
                (Item::Digit, None) => {
                    if overflows || at >= first {
                        lead(out);
                        let digit = at.checked_sub(leading).and_then(|i| number.whole.as_bytes().get(i));
                        out.push(if overflows { '#' } else { digit.map_or('0', |d| char::from(*d)) });
                    } else if !self.fill {
                        out.push(' ');
                    }
                    at += 1;
                }
                (Item::Digit, Some(place)) => {
                    lead(out);
                    let digit = number.fraction.as_bytes().get(place).map_or('0', |d| char::from(*d));
                    if place < trailing {
                        out.push(if overflows { '#' } else { digit });
                    }
                    after_point = Some(place + 1);
                }
                (Item::Point, _) => {
                    lead(out);
                    out.push('.');
                    after_point = Some(0);
                }
                (Item::Group, _) if at > first || overflows => out.push(','),
                (Item::Group, _) => out.extend((!self.fill).then_some(' ')),
                (Item::Currency, _) => out.push('$'),
                (Item::Minus, _) if number.negative => out.push('-'),
                (Item::Plus, _) if !number.negative => out.push('+'),
                (Item::Minus | Item::Plus, _) => out.extend((!self.fill).then_some(' ')),
                (Item::Either, _) => out.push(sign),
                (Item::Ordinal(upper), _) => {
                    if self.fraction == 0 && !number.negative && !overflows {
                        let whole = if number.whole.is_empty() { "0" } else { &number.whole };
                        let ending = ordinal(whole);
                        out.push_str(&if *upper { ending.to_string() } else { ending.to_ascii_lowercase() });
                    }
                }
                (Item::Literal(text), _) => out.push_str(text),
            }
        }
        match self.sign {
            Sign::After => out.push(sign),
            Sign::Brackets if number.negative => out.push('>'),
            Sign::Brackets if !self.fill => out.push(' '),
            // `PL` alone says nothing of a minus.
            Sign::Placed if number.negative && !self.says_minus() => {
                let digit = out.get(start..).and_then(|t| t.find(|c: char| c.is_ascii_digit() || c == '.' || c == '#'));
                out.insert(start + digit.unwrap_or(0), '-');
            }
            _ => {}
        }
    }

    fn says_minus(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Minus | Item::Either))
    }

    /// 1 to 3999, in 15 characters unless FM.
    fn write_roman(&self, number: &Digits, upper: bool, out: &mut String) {
        const NUMERALS: [(usize, &str); 13] = [
            (1000, "M"),
            (900, "CM"),
            (500, "D"),
            (400, "CD"),
            (100, "C"),
            (90, "XC"),
            (50, "L"),
            (40, "XL"),
            (10, "X"),
            (9, "IX"),
            (5, "V"),
            (4, "IV"),
            (1, "I"),
        ];
        let value = number.whole.parse::<usize>().ok().filter(|n| (1..4000).contains(n) && !number.negative);
        let Some(mut left) = value else { return out.push_str("###############") };
        let mut roman = String::new();
        for (value, numeral) in NUMERALS {
            while left >= value {
                roman.push_str(numeral);
                left -= value;
            }
        }
        if !upper {
            roman.make_ascii_lowercase();
        }
        let width = if self.fill { 0 } else { 15 };
        out.push_str(&format!("{roman:>width$}"));
    }

    /// Reads a number; unscaled, with [`NumberFormat::places`] digits after the point.
    ///
    /// The text may have fewer digits than the format, and none of its groups, signs and currency. Error where it has
    /// more, or something else.
    pub fn read(&self, text: &str) -> Result<i128> {
        let mut rest = text.trim();
        let mut negative = false;
        let wrong = || {
            Error::invalid(SqlState::INVALID_TEXT, format!("to_number: \"{text}\" is not written as its format says"))
                .with_hint(
                    "write 9 for each digit, D for the point, G for commas, S or MI for the sign, L for the currency",
                )
        };
        if let Some(inner) =
            rest.strip_prefix('<').and_then(|r| r.strip_suffix('>')).filter(|_| self.sign == Sign::Brackets)
        {
            (negative, rest) = (true, inner.trim());
        }
        let (mut value, mut fraction, mut any) = (0_i128, None, false);
        let mut sign = |rest: &mut &str| {
            let minus = rest.starts_with('-');
            if minus || rest.starts_with('+') {
                negative |= minus;
                *rest = rest[1..].trim_start();
            }
        };
        for item in &self.items {
            rest = rest.trim_start();
            match item {
                Item::Digit => {
                    if !any {
                        sign(&mut rest);
                    }
                    let Some(digit) = rest.chars().next().and_then(|c| c.to_digit(10)) else { continue };
                    rest = &rest[1..];
                    any = true;
                    value = value * 10 + i128::from(digit);
                    fraction = fraction.map(|places: usize| places + 1);
                }
                Item::Point => {
                    if !any {
                        sign(&mut rest);
                    }
                    if let Some(after) = rest.strip_prefix('.') {
                        (rest, fraction) = (after, Some(0));
                    }
                }
                Item::Group => rest = rest.strip_prefix(',').unwrap_or(rest),
                Item::Currency => rest = rest.strip_prefix('$').unwrap_or(rest),
                Item::Minus | Item::Plus | Item::Either => sign(&mut rest),
                Item::Ordinal(_) => {
                    let ends = rest.get(..2).is_some_and(|e| e.bytes().all(|b| b.is_ascii_alphabetic()));
                    rest = if ends { &rest[2..] } else { rest };
                }
                Item::Literal(literal) => {
                    rest = rest.strip_prefix(literal.trim()).unwrap_or(rest);
                }
            }
        }
        rest = rest.trim_start();
        if self.sign == Sign::After {
            sign(&mut rest);
        }
        if !any || !rest.is_empty() {
            return Err(wrong());
        }
        let missing = u32::try_from(self.fraction.saturating_sub(fraction.unwrap_or(0))).map_err(|_| wrong())?;
        let scaled = 10_i128.checked_pow(missing).and_then(|power| value.checked_mul(power)).ok_or_else(wrong)?;
        Ok(if negative { -scaled } else { scaled })
    }
}
