//! What is known of a set of values without reading them: the content of a zone map entry.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use super::predicate::{Comparison, Predicate, Scalar};

/// Minimum, maximum and NULL count of some rows of one column.
///
/// Guarantees:
/// 1. every value that is not NULL is at least `min` and at most `max`, in the order of [`Scalar::order`];
/// 2. `min` and `max` are both present, or both absent;
/// 3. absent bounds mean "nothing known", unless all rows are NULL;
/// 4. where `exact` is set, `min` and `max` are themselves values of the set (text bounds may be cut).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bounds {
    pub min: Option<Scalar>,
    pub max: Option<Scalar>,
    pub exact: bool,
    pub null_count: u64,
    pub rows: u64,
}

impl Bounds {
    /// Bounds of text and of bytes keep at most this many bytes.
    pub const MAX_TEXT_BYTES: usize = 64;

    /// Whether a value, and no NULL, may be within both.
    pub fn may_meet(&self, other: &Bounds) -> bool {
        let below = |a: &Option<Scalar>, b: &Option<Scalar>| match (a, b) {
            (Some(a), Some(b)) => a.order(b) == Some(Ordering::Less),
            _ => false,
        };
        !below(&self.max, &other.min) && !below(&other.max, &self.min)
    }

    /// The bounds of no rows at all; the neutral element of [`Bounds::merge`].
    pub fn empty() -> Self {
        Bounds { exact: true, ..Default::default() }
    }

    /// Bounds that promise nothing beyond the number of rows.
    pub fn unknown(rows: u64, null_count: u64) -> Self {
        Bounds { min: None, max: None, exact: false, null_count, rows }
    }

    /// From true minimum and maximum; long text is cut to [`Bounds::MAX_TEXT_BYTES`], the maximum upwards: between
    /// characters, or anywhere in bytes that are not UTF-8.
    pub fn of_values(min: Scalar, max: Scalar, null_count: u64, rows: u64) -> Self {
        let (min, min_cut) = cut_down(min);
        let (max, max_cut) = match cut_up(max) {
            Some(max) => max,
            None => return Bounds::unknown(rows, null_count),
        };
        Bounds { min: Some(min), max: Some(max), exact: !min_cut && !max_cut, null_count, rows }
    }

    /// Whether all rows are NULL (true of no rows at all).
    pub fn all_null(&self) -> bool {
        self.null_count == self.rows
    }

    /// The bounds of both sets together.
    pub fn merge(&self, other: &Bounds) -> Bounds {
        let null_count = self.null_count + other.null_count;
        let rows = self.rows + other.rows;
        if self.all_null() {
            return Bounds { null_count, rows, ..other.clone() };
        }
        if other.all_null() {
            return Bounds { null_count, rows, ..self.clone() };
        }
        let (Some(a_min), Some(a_max), Some(b_min), Some(b_max)) = (&self.min, &self.max, &other.min, &other.max)
        else {
            return Bounds::unknown(rows, null_count);
        };
        let (Some(min_order), Some(max_order)) = (a_min.order(b_min), a_max.order(b_max)) else {
            return Bounds::unknown(rows, null_count);
        };
        Bounds {
            min: Some(if min_order.is_le() { a_min } else { b_min }.clone()),
            max: Some(if max_order.is_ge() { a_max } else { b_max }.clone()),
            exact: self.exact && other.exact,
            null_count,
            rows,
        }
    }

    /// `true` only when it is proven that every row satisfies `predicate`: none is NULL, and no value satisfies its opposite.
    pub fn must_satisfy(&self, predicate: &Predicate) -> bool {
        let opposite = match predicate {
            Predicate::IsNull => return self.all_null(),
            Predicate::IsNotNull => return self.null_count == 0,
            Predicate::Compare(op, literal) => Predicate::Compare(op.negated(), literal.clone()),
            Predicate::Between { low, high, negated } => {
                Predicate::Between { low: low.clone(), high: high.clone(), negated: !negated }
            }
            Predicate::In { values, negated, members } => {
                Predicate::In { values: values.clone(), negated: !negated, members: members.clone() }
            }
            Predicate::Like { .. } | Predicate::Among(_) => return false,
        };
        self.null_count == 0 && !self.may_satisfy(&opposite)
    }

    /// `false` only when it is proven that no row satisfies `predicate`.
    pub fn may_satisfy(&self, predicate: &Predicate) -> bool {
        match predicate {
            Predicate::IsNull => return self.null_count > 0,
            _ if self.all_null() => return false,
            Predicate::IsNotNull => return true,
            _ => {}
        }
        let (Some(min), Some(max)) = (&self.min, &self.max) else { return true };
        let before = |a: &Scalar, b: &Scalar| a.order(b) == Some(Ordering::Less);
        let outside = |v: &Scalar| before(v, min) || before(max, v);
        let only =
            |v: &Scalar| self.exact && min.order(v) == Some(Ordering::Equal) && max.order(v) == Some(Ordering::Equal);
        match predicate {
            Predicate::Compare(op, v) => match op {
                Comparison::Eq => !outside(v),
                Comparison::NotEq => !only(v),
                Comparison::Lt => min.order(v) != Some(Ordering::Greater) && min.order(v) != Some(Ordering::Equal),
                Comparison::LtEq => min.order(v) != Some(Ordering::Greater),
                Comparison::Gt => max.order(v) != Some(Ordering::Less) && max.order(v) != Some(Ordering::Equal),
                Comparison::GtEq => max.order(v) != Some(Ordering::Less),
            },
            Predicate::Between { low, high, negated: false } => {
                !before(max, low) && !before(high, min) && !before(high, low)
            }
            Predicate::Between { low, high, negated: true } => {
                let min_within = matches!(min.order(low), Some(Ordering::Greater | Ordering::Equal));
                let max_within = matches!(max.order(high), Some(Ordering::Less | Ordering::Equal));
                !(min_within && max_within)
            }
            Predicate::In { values, negated: false, .. } => {
                // Sorted: the first value not below `min` decides.
                let first = values.partition_point(|v| before(v, min));
                values.get(first).is_some_and(|v| !before(max, v))
            }
            Predicate::In { values, negated: true, .. } => !values.iter().any(only),
            Predicate::Among(members) => match (min, max) {
                // Bounds beyond 64 bits hold no member there.
                (Scalar::Int(min), Scalar::Int(max)) => {
                    let (low, high) = members.range();
                    *min <= i128::from(high)
                        && *max >= i128::from(low)
                        && members.may_hold_between((*min).max(low.into()) as i64, (*max).min(high.into()) as i64)
                }
                _ => true,
            },
            // A match starts with `prefix`: some text between the bounds must.
            Predicate::Like { pattern, case_insensitive: false, negated: false } => {
                match (like_prefix(pattern), min, max) {
                    (Some(prefix), Scalar::Bytes(min), Scalar::Bytes(max)) => {
                        *max >= prefix && min[..min.len().min(prefix.len())] <= *prefix
                    }
                    _ => true,
                }
            }
            Predicate::Like { .. } | Predicate::IsNull | Predicate::IsNotNull => true,
        }
    }
}

impl Bounds {
    /// `true` only when it is proven that every row satisfies `predicate`.
    pub fn all_satisfy(&self, predicate: &Predicate) -> bool {
        if let Predicate::IsNull = predicate {
            return self.all_null();
        }
        if self.null_count > 0 {
            return false;
        }
        let negation = match predicate {
            Predicate::IsNotNull => return true,
            Predicate::Compare(op, v) => Predicate::Compare(op.negated(), v.clone()),
            Predicate::Between { low, high, negated } => {
                Predicate::Between { low: low.clone(), high: high.clone(), negated: !negated }
            }
            // Rarely provable from two bounds.
            Predicate::In { .. } | Predicate::Among(_) | Predicate::Like { .. } | Predicate::IsNull => return false,
        };
        !self.may_satisfy(&negation)
    }
}

/// The literal text that every match of a LIKE pattern begins with; `None` when that is empty.
fn like_prefix(pattern: &str) -> Option<Vec<u8>> {
    let end = pattern.find(['%', '_', '\\']).unwrap_or(pattern.len());
    (end > 0).then(|| pattern.as_bytes()[..end].to_vec())
}

fn cut_down(value: Scalar) -> (Scalar, bool) {
    match value {
        Scalar::Bytes(mut bytes) if bytes.len() > Bounds::MAX_TEXT_BYTES => {
            bytes.truncate(boundary(&bytes));
            (Scalar::Bytes(bytes), true)
        }
        other => (other, false),
    }
}

/// A bound not below `value`; `None` when none of the wanted length exists.
fn cut_up(value: Scalar) -> Option<(Scalar, bool)> {
    let Scalar::Bytes(mut bytes) = value else { return Some((value, false)) };
    if bytes.len() <= Bounds::MAX_TEXT_BYTES {
        return Some((Scalar::Bytes(bytes), false));
    }
    let is_text = std::str::from_utf8(&bytes).is_ok();
    bytes.truncate(boundary(&bytes));
    if !is_text {
        // The successor of the last byte that has one: greater than all bytes with this beginning.
        while bytes.pop_if(|last| *last == u8::MAX).is_some() {}
        *bytes.last_mut()? += 1;
        return Some((Scalar::Bytes(bytes), true));
    }
    // The next character after the last one that has a successor: greater than every text with this beginning.
    let text = String::from_utf8(bytes).ok()?;
    let mut chars: Vec<char> = text.chars().collect();
    while let Some(last) = chars.pop() {
        let successor = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(successor) = successor {
            chars.push(successor);
            return Some((Scalar::Bytes(chars.into_iter().collect::<String>().into_bytes()), true));
        }
    }
    None
}

/// Where to cut bytes that are too long for a bound.
fn boundary(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => text_boundary(bytes, Bounds::MAX_TEXT_BYTES),
        Err(_) => Bounds::MAX_TEXT_BYTES,
    }
}

/// The last character boundary at or before `at`.
fn text_boundary(bytes: &[u8], at: usize) -> usize {
    (0..=at).rev().find(|i| bytes.get(*i).is_none_or(|b| b & 0xc0 != 0x80)).unwrap_or(0)
}
