//! How long tests run whose cases a seed decides.
//!
//! `BLUESHIFT_LONG=1` runs the long form of all of them, `BLUESHIFT_SEED=n` other cases: README says so to users, and
//! the runner of `sql-tests` honours the first, too.

use std::ops::Range;

/// How many times the cases of every day a long form has.
const LONG_FACTOR: u64 = 20;

/// The seeds of a test that takes `cases` of them, from `first`, on every day.
pub fn seeds(first: u64, cases: u64) -> Range<u64> {
    let of = |name| std::env::var(name).ok();
    range(first, cases, of("BLUESHIFT_LONG").as_deref(), of("BLUESHIFT_SEED").as_deref())
}

fn range(first: u64, cases: u64, long: Option<&str>, seed: Option<&str>) -> Range<u64> {
    let cases = if long.is_some_and(|v| !matches!(v, "" | "0")) { cases * LONG_FACTOR } else { cases };
    let first = seed.map_or(first, |n| n.parse().unwrap_or_else(|_| panic!("BLUESHIFT_SEED={n} is no number")));
    first..first + cases
}

#[test]
fn the_long_form_has_more_cases_and_another_seed_has_others() {
    assert_eq!(range(5, 10, None, None), 5..15);
    assert_eq!(range(5, 10, Some("0"), None), 5..15);
    assert_eq!(range(5, 10, Some(""), None), 5..15);
    assert_eq!(range(5, 10, Some("1"), None), 5..5 + 10 * LONG_FACTOR);
    assert_eq!(range(5, 10, None, Some("700")), 700..710);
    assert_eq!(range(5, 10, Some("1"), Some("700")), 700..700 + 10 * LONG_FACTOR);
}

#[test]
#[should_panic(expected = "BLUESHIFT_SEED=seven is no number")]
fn a_seed_that_is_no_number_is_not_passed_over() {
    range(5, 10, None, Some("seven"));
}
