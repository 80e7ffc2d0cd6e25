//! When SUPER values are equal, and which comes first.
//!
//! Numbers are equal by value, however they are written; objects by their members, in whatever order. Of different kinds
//! BOOLEAN comes first, then numbers, text, arrays and objects (Redshift's manual, "ARRAY_SORT function"); null is last.

use std::cmp::Ordering;
use std::fmt::Write;

use super::{members, quote};

/// Values within values so deep are told apart by their text: JSON that was read has no more levels.
const MAX_DEPTH: usize = 128;

/// A text that equal values share, and no others.
pub(super) fn canonical(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    write_canonical(json, MAX_DEPTH, &mut out);
    out
}

fn write_canonical(json: &str, depth: usize, out: &mut String) {
    let Some(depth) = depth.checked_sub(1) else {
        out.push_str(json);
        return;
    };
    match Rank::of(json) {
        Rank::Number => {
            let number = Number::read(json);
            let sign = if number.negative { "-" } else { "" };
            let digits = String::from_utf8_lossy(&number.digits);
            // Writing into a String cannot fail.
            let _ = write!(out, "{sign}0.{digits}e{}", number.exponent);
        }
        Rank::Text => out.push_str(&quote(&text(json))),
        Rank::Array => {
            out.push('[');
            for (_, element) in members(json, b'[') {
                write_canonical(element, depth, out);
                out.push(',');
            }
            out.push(']');
        }
        Rank::Object => {
            out.push('{');
            for (name, value) in sorted_members(json) {
                out.push_str(&quote(&name));
                out.push(':');
                write_canonical(value, depth, out);
                out.push(',');
            }
            out.push('}');
        }
        Rank::Boolean | Rank::Null => out.push_str(json),
    }
}

/// Which of two values comes first.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    compare_within(left, right, MAX_DEPTH)
}

fn compare_within(left: &str, right: &str, depth: usize) -> Ordering {
    let Some(depth) = depth.checked_sub(1) else { return left.cmp(right) };
    let (rank, other) = (Rank::of(left), Rank::of(right));
    if rank != other {
        return rank.cmp(&other);
    }
    match rank {
        // "false" stands before "true" in the alphabet, too.
        Rank::Boolean | Rank::Null => left.cmp(right),
        Rank::Number => Number::read(left).cmp(&Number::read(right)),
        Rank::Text => text(left).cmp(&text(right)),
        Rank::Array => {
            let (mut lefts, mut rights) = (members(left, b'['), members(right, b'['));
            loop {
                match (lefts.next(), rights.next()) {
                    (None, None) => return Ordering::Equal,
                    (None, _) => return Ordering::Less,
                    (_, None) => return Ordering::Greater,
                    (Some((_, left)), Some((_, right))) => match compare_within(left, right, depth) {
                        Ordering::Equal => {}
                        unequal => return unequal,
                    },
                }
            }
        }
        Rank::Object => {
            let (lefts, rights) = (sorted_members(left), sorted_members(right));
            for ((name, value), (other_name, other)) in lefts.iter().zip(&rights) {
                match name.cmp(other_name).then_with(|| compare_within(value, other, depth)) {
                    Ordering::Equal => {}
                    unequal => return unequal,
                }
            }
            lefts.len().cmp(&rights.len())
        }
    }
}

/// The kinds of values, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Boolean,
    Number,
    Text,
    Array,
    Object,
    Null,
}

impl Rank {
    fn of(json: &str) -> Rank {
        match json.as_bytes().first() {
            Some(b't' | b'f') => Rank::Boolean,
            Some(b'"') => Rank::Text,
            Some(b'[') => Rank::Array,
            Some(b'{') => Rank::Object,
            Some(b'n') => Rank::Null,
            _ => Rank::Number,
        }
    }
}

/// The content of a JSON string; what is none as it stands.
fn text(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|_| json.to_string())
}

fn sorted_members(json: &str) -> Vec<(String, &str)> {
    let mut all: Vec<_> =
        members(json, b'{').map(|(name, value)| (name.map(text).unwrap_or_default(), value)).collect();
    all.sort_by(|(name, _), (other, _)| name.cmp(other));
    all
}

/// A number as `0.digits × 10^exponent`, without zeros at either end of its digits; zero has none.
#[derive(Debug, PartialEq, Eq)]
struct Number {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Number {
    fn read(json: &str) -> Number {
        let (negative, rest) = match json.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, json),
        };
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let written = match exponent.parse::<i64>() {
            Ok(exponent) => exponent,
            // Beyond any that can be compared otherwise.
            Err(_) if exponent.starts_with('-') => i64::MIN / 2,
            Err(_) => i64::MAX / 2,
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        let end = digits.iter().rposition(|digit| *digit != b'0').map_or(zeros, |last| last + 1);
        let digits = digits.get(zeros..end).unwrap_or_default().to_vec();
        if digits.is_empty() {
            return Number { negative: false, digits, exponent: 0 };
        }
        let exponent = written.saturating_add(whole.len() as i64).saturating_sub(zeros as i64);
        Number { negative, digits, exponent }
    }

    fn cmp(&self, other: &Number) -> Ordering {
        let sign = |number: &Number| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let by_size = || match self.digits.is_empty() || other.digits.is_empty() {
            true => Ordering::Equal,
            false => self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits)),
        };
        sign(self).cmp(&sign(other)).then_with(|| if self.negative { by_size().reverse() } else { by_size() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_text() {
        for (left, right) in [
            ("1", "1.0"),
            ("100", "1e2"),
            ("-0.0", "0"),
            ("0.010", "1E-2"),
            (r#""é""#, "\"\\u00e9\""),
            (r#"{"a":1,"b":[2.0]}"#, r#"{"b":[2],"a":1}"#),
            ("[]", "[]"),
        ] {
            assert_eq!(canonical(left), canonical(right), "{left} and {right}");
            assert_eq!(compare(left, right), Ordering::Equal, "{left} and {right}");
        }
    }

    #[test]
    fn values_have_one_order() {
        let ordered = [
            "false",
            "true",
            "-1e400",
            "-12",
            "-1.5",
            "0",
            "1e-400",
            "0.5",
            "2",
            "10",
            "12345678901234567890123456789",
            "1e99999999999999999999",
            r#""""#,
            r#""B""#,
            r#""a""#,
            "[]",
            "[1]",
            "[1,2]",
            "[2]",
            "{}",
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"b":0}"#,
            "null",
        ];
        for (i, left) in ordered.iter().enumerate() {
            for (j, right) in ordered.iter().enumerate() {
                assert_eq!(compare(left, right), i.cmp(&j), "{left} and {right}");
                assert_eq!(canonical(left) == canonical(right), i == j, "{left} and {right}");
            }
        }
    }

    #[test]
    fn depth_and_damage_are_no_panic() {
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(compare(&deep, &deep), Ordering::Equal);
        assert_eq!(canonical(&deep), canonical(&deep));
        for damaged in ["", "[", "{\"a", "\"x", "-", "1e", "e5", "."] {
            assert_eq!(compare(damaged, damaged), Ordering::Equal);
            canonical(damaged);
        }
    }
}
