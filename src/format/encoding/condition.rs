//! Predicates made ready for one stored form: what the encodings evaluate.
//!
//! Fixed-width values are compared by their *key*: the value itself for integers, 0 and 1 for booleans, and for floats
//! the integer whose order is IEEE 754 totalOrder. A condition thus is a range or a set of keys, whatever the type.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{BooleanArray, LargeStringArray};
use arrow::compute::{ilike, like, nilike, nlike};

use super::text::Text;
use crate::common::{Comparison, Error, Members, Predicate, Result, Scalar, Stored};
use crate::format::bitpack;
use crate::format::mask::Mask;
use crate::format::stable::VECTOR_ROWS;

/// A predicate other than IS NULL and IS NOT NULL, on values that are not NULL.
#[derive(Debug)]
pub(super) enum Condition<'p> {
    Keys(KeyTest),
    Text(TextTest<'p>),
}

/// A range or set of keys.
#[derive(Debug, Clone)]
pub(super) struct KeyTest {
    pub keys: KeySet,
    pub negated: bool,
}

#[derive(Debug, Clone)]
pub(super) enum KeySet {
    /// Both ends included; empty when `low > high`.
    Range { low: i128, high: i128 },
    /// Ascending, distinct.
    Set(Vec<i128>),
    /// Integers.
    Members(Arc<Members>),
}

/// A condition on text, whose literals belong to the predicate.
#[derive(Debug)]
pub(super) struct TextTest<'p> {
    pub texts: TextSet<'p>,
    pub negated: bool,
}

#[derive(Debug)]
pub(super) enum TextSet<'p> {
    /// Ascending, distinct; one for equality.
    Set(Vec<&'p [u8]>),
    /// Bounds and whether they are included themselves.
    Range {
        low: Option<(&'p [u8], bool)>,
        high: Option<(&'p [u8], bool)>,
    },
    Like {
        pattern: &'p str,
        case_insensitive: bool,
    },
}

/// The key of a double: ascending in totalOrder.
#[inline(always)]
pub(super) fn f64_key(v: f64) -> i64 {
    let bits = v.to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

#[inline(always)]
pub(super) fn f32_key(v: f32) -> i32 {
    let bits = v.to_bits() as i32;
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}

/// The inverse of [`f64_key`], which is its own.
pub(super) fn f64_of_key(key: i64) -> f64 {
    f64::from_bits((key ^ ((key >> 63) as u64 >> 1) as i64) as u64)
}

/// The inverse of [`f32_key`].
pub(super) fn f32_of_key(key: i32) -> f32 {
    f32::from_bits((key ^ ((key >> 31) as u32 >> 1) as i32) as u32)
}

impl<'p> Condition<'p> {
    /// `None` for IS NULL and IS NOT NULL.
    ///
    /// Errors: Internal when a literal has not the column's stored form.
    pub fn new(predicate: &'p Predicate, stored: Stored) -> Result<Option<Self>> {
        Ok(match predicate {
            Predicate::IsNull | Predicate::IsNotNull => None,
            _ if stored.is_bytes() => Some(Condition::Text(TextTest::new(predicate)?)),
            _ => Some(Condition::Keys(KeyTest::new(predicate, stored)?)),
        })
    }

    pub fn keys(&self) -> Result<&KeyTest> {
        match self {
            Condition::Keys(test) => Ok(test),
            Condition::Text(_) => Err(mismatch()),
        }
    }

    pub fn text(&self) -> Result<&TextTest<'p>> {
        match self {
            Condition::Text(test) => Ok(test),
            Condition::Keys(_) => Err(mismatch()),
        }
    }
}

fn mismatch() -> Error {
    Error::internal("a predicate's literal has another form than its column")
}

/// A literal's key. A REAL column's literal is compared as the double it is, so that one between two REALs is too.
fn key_of(scalar: &Scalar, stored: Stored) -> Result<i128> {
    match (scalar, stored) {
        (Scalar::Bool(v), Stored::Bool) => Ok(i128::from(*v)),
        (Scalar::Int(v), Stored::I16 | Stored::I32 | Stored::I64 | Stored::I128) => Ok(*v),
        (Scalar::Float(v), Stored::F32 | Stored::F64) => Ok(i128::from(f64_key(*v))),
        _ => Err(mismatch()),
    }
}

impl KeyTest {
    fn new(predicate: &Predicate, stored: Stored) -> Result<Self> {
        const EMPTY: KeySet = KeySet::Range { low: 1, high: 0 };
        let mut negate = false;
        let keys = match predicate {
            Predicate::Compare(op, literal) => {
                let key = key_of(literal, stored)?;
                match op {
                    Comparison::Eq => KeySet::Range { low: key, high: key },
                    Comparison::NotEq => {
                        negate = true;
                        KeySet::Range { low: key, high: key }
                    }
                    Comparison::Lt => match key.checked_sub(1) {
                        Some(high) => KeySet::Range { low: i128::MIN, high },
                        None => EMPTY,
                    },
                    Comparison::LtEq => KeySet::Range { low: i128::MIN, high: key },
                    Comparison::Gt => match key.checked_add(1) {
                        Some(low) => KeySet::Range { low, high: i128::MAX },
                        None => EMPTY,
                    },
                    Comparison::GtEq => KeySet::Range { low: key, high: i128::MAX },
                }
            }
            Predicate::Between { low, high, negated } => {
                negate = *negated;
                KeySet::Range { low: key_of(low, stored)?, high: key_of(high, stored)? }
            }
            Predicate::Among(members) if stored.is_integer() => KeySet::Members(Arc::clone(members)),
            Predicate::In { members: Some(members), negated, .. } if stored.is_integer() => {
                negate = *negated;
                KeySet::Members(Arc::clone(members))
            }
            Predicate::In { values, negated, .. } => {
                negate = *negated;
                let mut keys = values.iter().map(|v| key_of(v, stored)).collect::<Result<Vec<_>>>()?;
                keys.sort_unstable();
                keys.dedup();
                match keys[..] {
                    [] => EMPTY,
                    [key] => KeySet::Range { low: key, high: key },
                    _ => KeySet::Set(keys),
                }
            }
            _ => return Err(mismatch()),
        };
        Ok(KeyTest { keys, negated: negate })
    }

    pub fn holds(&self, key: i128) -> bool {
        let inside = match &self.keys {
            KeySet::Range { low, high } => *low <= key && key <= *high,
            KeySet::Set(keys) => keys.binary_search(&key).is_ok(),
            KeySet::Members(members) => i64::try_from(key).is_ok_and(|key| members.may_hold(key)),
        };
        inside != self.negated
    }

    /// Clears the bits of rows whose key does not satisfy it, of one value per row.
    pub fn filter<T: Copy>(&self, mask: &mut Mask, values: &[T], key: impl Fn(T) -> i128) {
        match &self.keys {
            KeySet::Range { low, high } => {
                let (low, high, negated) = (*low, *high, self.negated);
                keep(mask, values, |value| {
                    let key = key(value);
                    (low <= key && key <= high) != negated
                });
            }
            KeySet::Set(_) | KeySet::Members(_) => keep_each(mask, |i| self.holds(key(values[i]))),
        }
    }

    /// As [`KeyTest::filter`], for keys of at most 64 bits, whose comparison the compiler can vectorise.
    pub fn filter_i64<T: Copy>(&self, mask: &mut Mask, values: &[T], key: impl Fn(T) -> i64) {
        match &self.keys {
            KeySet::Range { low, high } => {
                let negated = self.negated;
                if low > high || *low > i128::from(i64::MAX) || *high < i128::from(i64::MIN) {
                    if !negated {
                        mask.clear_all();
                    }
                    return;
                }
                let low = (*low).max(i128::from(i64::MIN)) as i64;
                let high = (*high).min(i128::from(i64::MAX)) as i64;
                let span = high.wrapping_sub(low) as u64;
                keep(mask, values, |value| (key(value).wrapping_sub(low) as u64 <= span) != negated);
            }
            KeySet::Set(keys) => {
                let keys: Vec<i64> = keys.iter().filter_map(|k| i64::try_from(*k).ok()).collect();
                keep_each(mask, |i| keys.binary_search(&key(values[i])).is_ok() != self.negated);
            }
            KeySet::Members(_) => {
                let words = mask.words_mut().chunks_mut(VECTOR_ROWS / 64);
                for (words, values) in words.zip(values.chunks(VECTOR_ROWS)) {
                    if words.iter().any(|word| *word != 0) {
                        self.filter_vector(words, values, &key);
                    }
                }
            }
        }
    }

    /// As [`KeyTest::filter_i64`], on one vector of at most 1,024 values and its words of a mask.
    pub fn filter_vector<T: Copy>(&self, words: &mut [u64], values: &[T], key: impl Fn(T) -> i64) {
        let mut bits = [0; VECTOR_ROWS / 64];
        match &self.keys {
            KeySet::Range { low, high } => {
                let some = low <= high && *low <= i128::from(i64::MAX) && *high >= i128::from(i64::MIN);
                if some {
                    let low = (*low).max(i128::from(i64::MIN)) as i64;
                    let span = ((*high).min(i128::from(i64::MAX)) as i64).wrapping_sub(low) as u64;
                    bitpack::values_bits(values, &|value| key(value).wrapping_sub(low) as u64 <= span, &mut bits);
                }
            }
            KeySet::Set(keys) => {
                for i in super::ones_of(words) {
                    if keys.binary_search(&i128::from(key(values[i]))).is_ok() {
                        bits[i / 64] |= 1 << (i % 64);
                    }
                }
            }
            KeySet::Members(members) => bitpack::member_bits(values, members, key, &mut bits),
        }
        let flip = if self.negated { u64::MAX } else { 0 };
        words.iter_mut().zip(bits).for_each(|(word, held)| *word &= held ^ flip);
    }
}

/// Clears the bits of rows whose value `f` does not hold for; `f` is cheap and is asked of whole vectors.
fn keep<T: Copy>(mask: &mut Mask, values: &[T], f: impl Fn(T) -> bool) {
    let words = mask.words_mut().chunks_mut(VECTOR_ROWS / 64);
    for (words, values) in words.zip(values.chunks(VECTOR_ROWS)) {
        if words.iter().all(|word| *word == 0) {
            continue;
        }
        let mut bits = [0; VECTOR_ROWS / 64];
        bitpack::values_bits(values, &f, &mut bits);
        words.iter_mut().zip(bits).for_each(|(word, held)| *word &= held);
    }
}

/// Clears the bits of rows that `f` does not hold for; `f` is dear and is asked of surviving rows only.
pub(super) fn keep_each(mask: &mut Mask, f: impl Fn(usize) -> bool) {
    for (w, word) in mask.words_mut().iter_mut().enumerate() {
        let mut rest = *word;
        while rest != 0 {
            let bit = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if !f(w * 64 + bit) {
                *word &= !(1 << bit);
            }
        }
    }
}

impl<'p> TextTest<'p> {
    fn new(predicate: &'p Predicate) -> Result<Self> {
        fn bytes(scalar: &Scalar) -> Result<&[u8]> {
            match scalar {
                Scalar::Bytes(v) => Ok(v),
                _ => Err(mismatch()),
            }
        }
        let mut negate = false;
        let texts = match predicate {
            Predicate::Compare(op, literal) => {
                let literal = bytes(literal)?;
                match op {
                    Comparison::Eq => TextSet::Set(vec![literal]),
                    Comparison::NotEq => {
                        negate = true;
                        TextSet::Set(vec![literal])
                    }
                    Comparison::Lt => TextSet::Range { low: None, high: Some((literal, false)) },
                    Comparison::LtEq => TextSet::Range { low: None, high: Some((literal, true)) },
                    Comparison::Gt => TextSet::Range { low: Some((literal, false)), high: None },
                    Comparison::GtEq => TextSet::Range { low: Some((literal, true)), high: None },
                }
            }
            Predicate::Between { low, high, negated } => {
                negate = *negated;
                TextSet::Range { low: Some((bytes(low)?, true)), high: Some((bytes(high)?, true)) }
            }
            Predicate::In { values, negated, .. } => {
                negate = *negated;
                let mut values = values.iter().map(bytes).collect::<Result<Vec<_>>>()?;
                values.sort_unstable();
                values.dedup();
                TextSet::Set(values)
            }
            Predicate::Like { pattern, case_insensitive, negated } => {
                negate = *negated;
                TextSet::Like { pattern, case_insensitive: *case_insensitive }
            }
            Predicate::Among(_) | Predicate::IsNull | Predicate::IsNotNull => return Err(mismatch()),
        };
        Ok(TextTest { texts, negated: negate })
    }

    /// Whether one value satisfies it; `None` for LIKE.
    pub fn holds(&self, value: &[u8]) -> Option<bool> {
        let inside = match &self.texts {
            TextSet::Set(values) => match values[..] {
                [only] => only == value,
                _ => values.binary_search(&value).is_ok(),
            },
            TextSet::Range { low, high } => {
                low.is_none_or(|(low, included)| match value.cmp(low) {
                    Ordering::Less => false,
                    Ordering::Equal => included,
                    Ordering::Greater => true,
                }) && high.is_none_or(|(high, included)| match value.cmp(high) {
                    Ordering::Less => true,
                    Ordering::Equal => included,
                    Ordering::Greater => false,
                })
            }
            TextSet::Like { .. } => return None,
        };
        Some(inside != self.negated)
    }

    /// Clears the bits of rows whose text does not satisfy it.
    pub fn filter(&self, text: &Text<'_>, mask: &mut Mask) -> Result<()> {
        let TextSet::Like { pattern, case_insensitive } = &self.texts else {
            keep_each(mask, |i| self.holds(text.value(i)) == Some(true));
            return Ok(());
        };
        let array = text.to_array()?;
        let pattern = LargeStringArray::new_scalar(pattern);
        let held: BooleanArray = match (case_insensitive, self.negated) {
            (false, false) => like(&array, &pattern),
            (false, true) => nlike(&array, &pattern),
            (true, false) => ilike(&array, &pattern),
            (true, true) => nilike(&array, &pattern),
        }?;
        mask.and(&Mask::from_buffer(held.values()));
        Ok(())
    }
}
