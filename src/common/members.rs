//! A set of integers that answers at once for each of many values whether it has it.

use super::bloom::Bloom;

/// A set of integers, never empty; what it says of a value takes about a nanosecond.
///
/// Invariant: all values lie within `low..=high`, and both are in the set.
#[derive(Debug, Clone, PartialEq)]
pub struct Members {
    low: i64,
    high: i64,
    form: Form,
}

#[derive(Debug, Clone, PartialEq)]
enum Form {
    /// A bit for each value from `low` to `high`, and a word without any behind them.
    Bits(Vec<u64>),
    /// It may say yes to a value that is not in the set.
    Maybe(Bloom),
    /// Those of which `Bloom` says yes are looked up; ascending.
    Sorted(Bloom, Vec<i64>),
}

/// Bits that fit the second cache, however few values there are.
const FEW_BITS: u64 = 1 << 23;
/// Bits for a value, at most: a Bloom filter has a quarter of them, but asks for more work.
const BITS_PER_VALUE: u64 = 64;

impl Members {
    /// Exactly these values, in any order; `None` of none.
    pub fn exactly(values: &[i64]) -> Option<Self> {
        Self::of(
            values.len(),
            || values.iter().copied(),
            |bloom| {
                let mut sorted = values.to_vec();
                sorted.sort_unstable();
                sorted.dedup();
                Form::Sorted(bloom, sorted)
            },
        )
    }

    /// At least these values, `count` of them, whichever takes less: a few others may be found, too.
    pub fn at_least<I: Iterator<Item = i64>>(count: usize, values: impl Fn() -> I) -> Option<Self> {
        Self::of(count, values, Form::Maybe)
    }

    fn of<I: Iterator<Item = i64>>(
        count: usize,
        values: impl Fn() -> I,
        form: impl FnOnce(Bloom) -> Form,
    ) -> Option<Self> {
        let (low, high) = range_of(values())?;
        let form = match Self::bits(count, low, high) {
            Some(bits) => {
                let mut words = vec![0u64; bits.div_ceil(64) as usize + 1];
                for value in values() {
                    let at = value.abs_diff(low);
                    words[(at / 64) as usize] |= 1 << (at % 64);
                }
                Form::Bits(words)
            }
            None => form(Bloom::of(count, values().map(hash))),
        };
        Some(Members { low, high, form })
    }

    /// How many bits a set of one for each value has, where that is the better form.
    fn bits(count: usize, low: i64, high: i64) -> Option<u64> {
        let most = (count as u64).saturating_mul(BITS_PER_VALUE).max(FEW_BITS);
        high.abs_diff(low).checked_add(1).filter(|bits| *bits <= most)
    }

    /// Bytes that [`Members::at_least`] takes for so many values from `low` to `high`.
    pub fn bytes(count: usize, (low, high): (i64, i64)) -> usize {
        match Self::bits(count, low, high) {
            Some(bits) => bits.div_ceil(64) as usize * 8 + 8,
            None => Bloom::bytes(count),
        }
    }

    /// The smallest and the largest value.
    pub fn range(&self) -> (i64, i64) {
        (self.low, self.high)
    }

    /// Whether what it says yes to is in the set.
    pub fn is_exact(&self) -> bool {
        !matches!(self.form, Form::Maybe(_))
    }

    /// `false` only of a value that is not in the set.
    #[inline(always)]
    pub fn may_hold(&self, value: i64) -> bool {
        match &self.form {
            Form::Bits(words) => bit(words, value.wrapping_sub(self.low) as u64),
            Form::Maybe(bloom) => bloom.may_hold(hash(value)),
            Form::Sorted(bloom, sorted) => bloom.may_hold(hash(value)) && sorted.binary_search(&value).is_ok(),
        }
    }

    /// `false` only where no value from `low` to `high` is in the set.
    pub fn may_hold_between(&self, low: i64, high: i64) -> bool {
        let (low, high) = (low.max(self.low), high.min(self.high));
        if low > high {
            return false;
        }
        match &self.form {
            Form::Bits(words) => any_between(words, low.abs_diff(self.low), high.abs_diff(self.low)),
            Form::Maybe(_) => true,
            Form::Sorted(_, sorted) => sorted.get(sorted.partition_point(|v| *v < low)).is_some_and(|v| *v <= high),
        }
    }

    /// Whether each value may be in the set: 1 or 0 in its slot.
    pub fn test<T: Copy>(&self, values: &[T], number: impl Fn(T) -> i64, held: &mut [u8]) {
        // A loop for each form, so that it is looked at once.
        fn each<T: Copy>(values: &[T], held: &mut [u8], holds: impl Fn(T) -> bool) {
            held.iter_mut().zip(values).for_each(|(slot, value)| *slot = u8::from(holds(*value)));
        }
        match &self.form {
            Form::Bits(words) => {
                let (low, last) = (self.low, words.len() as u64 - 1);
                each(values, held, |value| {
                    let at = number(value).wrapping_sub(low) as u64;
                    // What is beyond is looked for in the last word, where there is nothing: no branch.
                    words[(at / 64).min(last) as usize] >> (at % 64) & 1 == 1
                });
            }
            Form::Maybe(bloom) => each(values, held, |value| bloom.may_hold(hash(number(value)))),
            Form::Sorted(..) => each(values, held, |value| self.may_hold(number(value))),
        }
    }
}

/// The smallest and the largest of some values; `None` of none.
pub fn range_of(values: impl Iterator<Item = i64>) -> Option<(i64, i64)> {
    values.fold(None, |range, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

#[inline(always)]
fn bit(words: &[u64], at: u64) -> bool {
    // Distances beyond what a usize holds are beyond the words, too.
    words.get(usize::try_from(at / 64).unwrap_or(usize::MAX)).is_some_and(|word| word >> (at % 64) & 1 == 1)
}

/// Whether one of the bits from `first` to `last` is set; both are there.
fn any_between(words: &[u64], first: u64, last: u64) -> bool {
    let (from, to) = ((first / 64) as usize, (last / 64) as usize);
    let (above, below) = (u64::MAX << (first % 64), u64::MAX >> (63 - last % 64));
    if from == to {
        return words[from] & above & below != 0;
    }
    words[from] & above != 0 || words[to] & below != 0 || words[from + 1..to].iter().any(|word| *word != 0)
}

/// Spreads values over both halves, of which [`Bloom`] takes a place and bits.
#[inline(always)]
fn hash(value: i64) -> u64 {
    // Multiplied by 2^64 over the golden ratio (Knuth, "Sorting and Searching", 6.4): the upper bits depend on all.
    let product = (value as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Values near each other, far from each other, and at the ends.
    fn values() -> impl Strategy<Value = Vec<i64>> {
        let value = prop_oneof![-1000..1000i64, any::<i64>(), Just(i64::MIN), Just(i64::MAX), 0..(1i64 << 40)];
        prop_oneof![
            prop::collection::vec(value, 1..80),
            prop::collection::vec(-1000..1000i64, 1..80),
            (any::<i64>(), 1..200usize)
                .prop_map(|(from, count)| (0..count as i64).map(|i| from.wrapping_add(i)).collect()),
        ]
    }

    proptest! {
        #[test]
        fn they_say_what_a_set_says(values in values(), asked in prop::collection::vec(any::<i64>(), 0..50)) {
            let set: BTreeSet<i64> = values.iter().copied().collect();
            let exact = Members::exactly(&values).unwrap();
            let some = Members::at_least(values.len(), || values.iter().copied()).unwrap();
            prop_assert!(exact.is_exact());
            prop_assert_eq!(exact.range(), (*set.first().unwrap(), *set.last().unwrap()));
            let near = values.iter().flat_map(|v| [*v, v.wrapping_add(1), v.wrapping_sub(1), v.wrapping_add(64)]);
            for value in near.chain(asked.iter().copied()) {
                prop_assert_eq!(exact.may_hold(value), set.contains(&value));
                prop_assert!(some.may_hold(value) || !set.contains(&value));
                prop_assert!(!some.is_exact() || some.may_hold(value) == set.contains(&value));
                for members in [&exact, &some] {
                    let mut held = [2; 2];
                    members.test(&[value, value], |v| v, &mut held);
                    prop_assert_eq!(held, [u8::from(members.may_hold(value)); 2]);
                }
            }
        }

        #[test]
        fn a_range_without_a_value_is_known(values in values(), low in any::<i64>(), span in 0..2000i64) {
            let set: BTreeSet<i64> = values.iter().copied().collect();
            let exact = Members::exactly(&values).unwrap();
            let some = Members::at_least(values.len(), || values.iter().copied()).unwrap();
            for low in values.iter().flat_map(|v| [v.saturating_add(1), v.saturating_sub(span)]).chain([low]) {
                let high = low.saturating_add(span);
                let any = set.range(low..=high).next().is_some();
                prop_assert_eq!(exact.may_hold_between(low, high), any, "{} to {}", low, high);
                prop_assert!(some.may_hold_between(low, high) || !any);
            }
        }
    }

    #[test]
    fn few_others_are_found_among_far_values() {
        let values: Vec<i64> = (0..10_000).map(|i| i * 1_000_003).collect();
        let some = Members::at_least(values.len(), || values.iter().copied()).unwrap();
        assert!(!some.is_exact());
        let found = (0..100_000).filter(|i| some.may_hold(i * 999_983 + 1)).count();
        assert!(found < 3_500, "{found} of 100,000");
    }

    #[test]
    fn near_values_are_known_exactly() {
        let some = Members::at_least(100, || (0..100).map(|i| i * 60)).unwrap();
        assert!(some.is_exact());
        assert!(Members::exactly(&[]).is_none());
        assert!((0..6000).all(|i| some.may_hold(i) == (i % 60 == 0 && i <= 5940)));
    }
}
