//! Bounds of few integers against every set of values that they can stand for.

use std::sync::Arc;

use super::*;
use crate::common::Members;

const DOMAIN: std::ops::RangeInclusive<i128> = 0..=5;

fn int(v: i128) -> Scalar {
    Scalar::Int(v)
}

fn predicates() -> Vec<Predicate> {
    let mut all = Vec::new();
    for a in DOMAIN {
        use Comparison::*;
        all.extend([Eq, NotEq, Lt, LtEq, Gt, GtEq].map(|op| Predicate::Compare(op, int(a))));
        for b in DOMAIN {
            let members = Members::exactly(&[a as i64, b as i64]).unwrap();
            all.push(Predicate::Among(Arc::new(members)));
            for negated in [false, true] {
                all.push(Predicate::Between { low: int(a), high: int(b), negated });
                all.push(Predicate::is_in(vec![int(a), int(b)], negated));
            }
        }
    }
    all
}

#[test]
fn bounds_refute_and_prove_all_that_they_can_and_nothing_else() {
    let (mut refuted, mut proven) = (0, 0);
    for (min, max) in DOMAIN.flat_map(|min| (min..=*DOMAIN.end()).map(move |max| (min, max))) {
        let bounds = Bounds::of_values(int(min), int(max), 0, 7);
        for predicate in predicates() {
            let holds = |v: i128| predicate.holds(&int(v)).unwrap();
            let (some, every) = ((min..=max).any(holds), (min..=max).all(holds));
            let what = format!("{predicate:?} of {min} to {max}");
            // NOT IN is refuted only where one value is all there is, IN is proven nowhere.
            let exact = !matches!(predicate, Predicate::In { negated: true, .. }) || min == max;
            assert!(bounds.may_satisfy(&predicate) || !some, "{what} holds of some");
            assert!(!exact || some || !bounds.may_satisfy(&predicate), "{what} holds of none");
            assert!(!bounds.all_satisfy(&predicate) || every, "{what} does not hold of all");
            let provable = !matches!(predicate, Predicate::In { .. } | Predicate::Among(_));
            assert!(!provable || !every || bounds.all_satisfy(&predicate), "{what} holds of all");
            refuted += usize::from(!some);
            proven += usize::from(every);
        }
    }
    assert!(refuted > 100 && proven > 100, "{refuted} refuted, {proven} proven");
}

#[test]
fn bounds_that_are_not_values_refute_no_inequality() {
    let bounds = Bounds { exact: false, ..Bounds::of_values(int(3), int(3), 0, 7) };
    assert!(bounds.may_satisfy(&Predicate::Compare(Comparison::NotEq, int(3))));
    assert!(bounds.may_satisfy(&Predicate::is_in(vec![int(3)], true)));
}

#[test]
fn nulls_satisfy_nothing_but_is_null() {
    let some = Bounds::of_values(int(2), int(3), 1, 7);
    let all = Bounds { exact: true, ..Bounds::unknown(7, 7) };
    let none = Bounds::of_values(int(2), int(3), 0, 7);
    for predicate in predicates() {
        assert!(!some.all_satisfy(&predicate) && !all.may_satisfy(&predicate), "{predicate:?}");
    }
    for (bounds, may_be_null, all_null) in [(&some, true, false), (&all, true, true), (&none, false, false)] {
        assert_eq!(bounds.may_satisfy(&Predicate::IsNull), may_be_null);
        assert_eq!(bounds.all_satisfy(&Predicate::IsNull), all_null);
        assert_eq!(bounds.may_satisfy(&Predicate::IsNotNull), !all_null);
        assert_eq!(bounds.all_satisfy(&Predicate::IsNotNull), !may_be_null);
    }
}
