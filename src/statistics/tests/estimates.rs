//! Estimates against counted truth.

use std::cmp::Ordering;

use crate::common::{Bounds, Comparison, Predicate, Scalar};
use crate::format::column::{ByteValues, Column, Values};
use crate::statistics::column::distinct_of_part;
use crate::statistics::{ColumnSketch, ColumnStatistics, ColumnView, Condition, Distribution, join_selectivity};
use crate::testing::Rng;

/// A column with its bounds and statistics.
struct Known {
    values: Vec<Option<Scalar>>,
    bounds: Bounds,
    statistics: ColumnStatistics,
}

impl Known {
    /// Every `sampled`-th value makes the sample.
    fn of(values: Vec<Option<Scalar>>, sampled: usize) -> Known {
        let present: Vec<&Scalar> = values.iter().flatten().collect();
        let by = |a: &&&Scalar, b: &&&Scalar| a.order(b).unwrap();
        let (min, max) = (present.iter().min_by(by).unwrap(), present.iter().max_by(by).unwrap());
        let rows = values.len() as u64;
        let bounds = Bounds::of_values(Scalar::clone(min), Scalar::clone(max), rows - present.len() as u64, rows);
        let sample: Vec<Scalar> = values.iter().step_by(sampled).flatten().cloned().collect();
        let distribution = Distribution::of_sample(sample, values.len().div_ceil(sampled) as u64, rows);
        let sketch = Some(sketch(&present, rows));
        Known { bounds, statistics: ColumnStatistics { sketch, distribution, used: None }, values }
    }

    fn integers(values: impl Iterator<Item = i64>, sampled: usize) -> Known {
        Known::of(values.map(|v| Some(Scalar::Int(v.into()))).collect(), sampled)
    }

    fn texts(values: impl Iterator<Item = String>, sampled: usize) -> Known {
        Known::of(values.map(|v| Some(Scalar::Bytes(v.into_bytes()))).collect(), sampled)
    }

    fn view(&self) -> ColumnView<'_> {
        ColumnView { bounds: &self.bounds, statistics: Some(&self.statistics) }
    }

    fn truth(&self, holds: impl Fn(&Scalar) -> bool) -> f64 {
        self.values.iter().flatten().filter(|v| holds(v)).count() as f64 / self.values.len() as f64
    }

    /// By how much the estimate is off, at least by one row.
    fn q_error(&self, predicate: &Predicate) -> f64 {
        let truth = self.truth(|v| predicate.holds(v).unwrap());
        q(self.view().selectivity(predicate), truth, self.values.len())
    }
}

fn sketch(values: &[&Scalar], rows: u64) -> ColumnSketch {
    let mut sketch = ColumnSketch::default();
    let column = match values[0] {
        Scalar::Int(_) => Values::I128(values.iter().map(|v| if let Scalar::Int(v) = v { *v } else { 0 }).collect()),
        Scalar::Float(_) => {
            Values::F64(values.iter().map(|v| if let Scalar::Float(v) = v { *v } else { 0.0 }).collect())
        }
        _ => {
            let bytes = values.iter().map(|v| if let Scalar::Bytes(v) = v { v.as_slice() } else { &[] });
            Values::Bytes(bytes.collect::<ByteValues>())
        }
    };
    sketch.add(&Column::new(column, None));
    sketch.rows = rows;
    sketch
}

fn q(estimate: f64, truth: f64, rows: usize) -> f64 {
    let least = 1.0 / rows as f64;
    let (estimate, truth) = (estimate.max(least), truth.max(least));
    (estimate / truth).max(truth / estimate)
}

fn eq(v: i128) -> Predicate {
    Predicate::Compare(Comparison::Eq, Scalar::Int(v))
}

fn text(v: &str) -> Scalar {
    Scalar::Bytes(v.as_bytes().to_vec())
}

fn like(pattern: &str) -> Predicate {
    Predicate::Like { pattern: pattern.into(), case_insensitive: false, negated: false }
}

/// Values of which few have most rows: the n-th has about 1/n of the first's.
fn skewed(rows: usize, distinct: usize) -> Vec<i64> {
    let mut rng = Rng::new(5);
    let harmonic: Vec<f64> = (1..=distinct)
        .scan(0.0, |sum, n| {
            *sum += 1.0 / n as f64;
            Some(*sum)
        })
        .collect();
    let total = harmonic[distinct - 1];
    (0..rows)
        .map(|_| {
            let at = rng.next_u64() as f64 / u64::MAX as f64 * total;
            harmonic.partition_point(|sum| *sum < at) as i64
        })
        .collect()
}

#[test]
fn ranges_and_values_of_even_columns() {
    let known = Known::integers((0..100_000).map(|i| i * 7919 % 5000), 7);
    assert!((known.view().distinct() - 5000.0).abs() < 500.0, "{}", known.view().distinct());
    for v in [0, 17, 2500, 4999] {
        assert!(known.q_error(&eq(v)) < 1.3, "{v}: {}", known.q_error(&eq(v)));
        for op in [Comparison::Lt, Comparison::LtEq, Comparison::Gt, Comparison::GtEq, Comparison::NotEq] {
            let predicate = Predicate::Compare(op, Scalar::Int(v + 100));
            assert!(known.q_error(&predicate) < 1.3, "{predicate:?}: {}", known.q_error(&predicate));
        }
    }
    let between = |low, high| Predicate::Between { low: Scalar::Int(low), high: Scalar::Int(high), negated: false };
    for (low, high) in [(0, 4999), (1000, 1099), (40, 45), (-50, 100)] {
        assert!(known.q_error(&between(low, high)) < 1.7, "{low} {high}: {}", known.q_error(&between(low, high)));
    }
    let list = Predicate::is_in((0..50).map(|v| Scalar::Int(v * 60)).collect(), false);
    assert!(known.q_error(&list) < 1.3);
    // What bounds disprove is none; what they prove is all.
    assert_eq!(known.view().selectivity(&eq(5000)), 0.0);
    assert_eq!(known.view().selectivity(&Predicate::IsNull), 0.0);
    assert_eq!(known.view().selectivity(&Predicate::IsNotNull), 1.0);
}

#[test]
fn common_values_are_known() {
    let known = Known::integers(skewed(200_000, 10_000).into_iter(), 5);
    for v in [0, 1, 2, 5, 20, 60] {
        assert!(known.q_error(&eq(v)) < 1.3, "{v}: {}", known.q_error(&eq(v)));
    }
    for v in [500, 3000, 9000] {
        assert!(known.q_error(&eq(v)) < 16.0, "{v}: {}", known.q_error(&eq(v)));
    }
    for v in [1, 3, 10, 100, 1000, 9000] {
        let below = Predicate::Compare(Comparison::Lt, Scalar::Int(v));
        assert!(known.q_error(&below) < 1.5, "{v}: {}", known.q_error(&below));
    }
}

#[test]
fn few_values_are_all_common() {
    let texts = ["MAIL", "SHIP", "AIR", "RAIL"];
    let known = Known::texts((0..10_000).map(|i| texts[[0, 0, 0, 1, 1, 2, 3][i % 7]].to_string()), 3);
    let distribution = known.statistics.distribution.as_ref().unwrap();
    assert_eq!((distribution.common.len(), distribution.bounds.len()), (4, 0));
    assert_eq!(distribution.common[0].0, text("MAIL"));
    for v in texts {
        let predicate = Predicate::Compare(Comparison::Eq, text(v));
        assert!(known.q_error(&predicate) < 1.1, "{v}");
    }
    // Between the bounds, and not among all there are.
    assert!(known.view().selectivity(&Predicate::Compare(Comparison::Eq, text("MUD"))) < 0.001);
}

#[test]
fn patterns_are_matched_on_the_sample() {
    let words = ["special", "requests", "carefully", "final", "deposits", "quick", "ironic", "packages"];
    let mut rng = Rng::new(3);
    let mut comment = || (0..6).map(|_| words[rng.below(8)]).collect::<Vec<_>>().join(" ");
    let known = Known::texts((0..30_000).map(|_| comment()), 3);
    for pattern in ["%special%requests%", "spe%", "final%", "%packages", "quick requests%", "%zebra%"] {
        let holds = |v: &Scalar| match v {
            Scalar::Bytes(b) => crate::statistics::like::matches(pattern, std::str::from_utf8(b).unwrap(), false),
            _ => false,
        };
        let q = q(known.view().selectivity(&like(pattern)), known.truth(holds), 30_000);
        let most = if pattern == "%zebra%" { 200.0 } else { 3.0 };
        assert!(q < most, "{pattern}: {q}");
    }
    // Without a sample a pattern's length speaks.
    let bare = ColumnView { bounds: &known.bounds, statistics: None };
    assert!(bare.selectivity(&like("%a%")) > bare.selectivity(&like("%abc%")));
}

#[test]
fn nulls_satisfy_nothing_but_is_null() {
    let values = (0..10_000).map(|i| (i % 4 != 0).then_some(Scalar::Int(i % 100))).collect();
    let known = Known::of(values, 3);
    let view = known.view();
    assert!((view.selectivity(&Predicate::IsNull) - 0.25).abs() < 1e-9);
    let both = view.selectivity(&eq(7)) + view.selectivity(&Predicate::Compare(Comparison::NotEq, Scalar::Int(7)));
    assert!((both - 0.75).abs() < 0.01, "{both}");
    let columns = |_: usize| known.view();
    let not = Condition::Not(Box::new(Condition::Column(0, eq(7))));
    let either = not.selectivity(&columns) + Condition::Column(0, eq(7)).selectivity(&columns);
    assert!((either - 0.75).abs() < 0.01, "{either}");
}

#[test]
fn rows_that_came_since_are_expected_above() {
    // Analyzed while there were 10,000 days; as many have come since.
    let old = Known::integers(0..10_000, 3);
    let bounds = Bounds::of_values(Scalar::Int(0), Scalar::Int(19_999), 0, 20_000);
    let view = ColumnView { bounds: &bounds, statistics: Some(&old.statistics) };
    let since = |v| view.selectivity(&Predicate::Compare(Comparison::GtEq, Scalar::Int(v)));
    assert!((since(10_000) - 0.5).abs() < 0.02, "{}", since(10_000));
    assert!((since(15_000) - 0.25).abs() < 0.02, "{}", since(15_000));
    assert!((since(5_000) - 0.75).abs() < 0.02, "{}", since(5_000));
    // Their values are new, too: the column had hardly any twice.
    assert!((view.distinct() - 20_000.0).abs() < 1500.0, "{}", view.distinct());
}

#[test]
fn conditions_of_several_columns() {
    let a = Known::integers((0..50_000).map(|i| i % 10), 3);
    let b = Known::integers((0..50_000).map(|i| i / 10 % 100), 3);
    let columns = |at: usize| if at == 0 { a.view() } else { b.view() };
    let (x, y) = (Condition::Column(0, eq(3)), Condition::Column(1, eq(3)));
    let both = Condition::All(vec![x.clone(), y.clone()]).selectivity(&columns);
    // Between what independent and what equal conditions would leave.
    assert!((0.001..=0.01).contains(&both), "{both}");
    let any = Condition::Any(vec![x.clone(), y.clone()]).selectivity(&columns);
    assert!((0.1..=0.12).contains(&any), "{any}");
    let one_column = Condition::Any((0..5).map(|v| Condition::Column(0, eq(v))).collect()).selectivity(&columns);
    assert!((one_column - 0.5).abs() < 0.03, "{one_column}");
    let range = |op, v| Condition::Column(1, Predicate::Compare(op, Scalar::Int(v)));
    let ranges = Condition::All(vec![range(Comparison::GtEq, 20), range(Comparison::Lt, 30)]).selectivity(&columns);
    assert!((ranges - 0.1).abs() < 0.02, "{ranges}");
    assert_eq!(Condition::All(vec![x.clone(), Condition::Column(1, eq(1000))]).selectivity(&columns), 0.0);
    assert_eq!(Condition::Never.selectivity(&columns), 0.0);
    assert_eq!(Condition::All(Vec::new()).selectivity(&columns), 1.0);
    // Distinct values that are left.
    assert!((x.distinct_left(0, 0.1, &columns) - 1.0).abs() < 0.01);
    let left = x.distinct_left(1, 0.1, &columns);
    assert!((95.0..=105.0).contains(&left), "{left}");
    assert!((distinct_of_part(1000.0, 1000.0, 0.1) - 100.0).abs() < 1.0);
}

#[test]
fn joins_by_containment_and_by_common_values() {
    let keys = Known::integers(0..1_000, 1);
    let facts = Known::integers((0..100_000).map(|i| i * 7 % 1_000), 3);
    let pairs = join_selectivity(keys.view(), facts.view()) * 1_000.0 * 100_000.0;
    assert!(q(pairs / 1e8, 100_000.0 / 1e8, 100_000_000) < 1.2, "{pairs}");
    // Skewed on both sides: the few common values make most of the pairs.
    let (left, right) = (skewed(20_000, 1_000), skewed(30_000, 1_000));
    let mut truth = 0.0;
    for v in 0..1_000 {
        let count = |of: &[i64]| of.iter().filter(|x| **x == v).count() as f64;
        truth += count(&left) * count(&right);
    }
    let (l, r) = (Known::integers(left.into_iter(), 1), Known::integers(right.into_iter(), 1));
    let pairs = join_selectivity(l.view(), r.view()) * 20_000.0 * 30_000.0;
    assert!((pairs / truth).max(truth / pairs) < 1.3, "{pairs} of {truth}");
    let contained = 20_000.0 * 30_000.0 / l.view().distinct().max(r.view().distinct());
    assert!(truth / contained > 5.0, "containment alone would do: {contained} of {truth}");
    let far = Known::integers(5_000..6_000, 1);
    assert_eq!(join_selectivity(keys.view(), far.view()), 0.0);
}

#[test]
fn bounds_alone_are_enough_to_go_on() {
    let bounds = Bounds::of_values(Scalar::Int(1), Scalar::Int(100), 0, 10_000);
    let view = ColumnView { bounds: &bounds, statistics: None };
    assert_eq!((view.known_distinct(), view.distinct()), (None, 100.0));
    assert!((view.selectivity(&eq(50)) - 0.01).abs() < 1e-9);
    let half = view.selectivity(&Predicate::Compare(Comparison::LtEq, Scalar::Int(50)));
    assert!((half - 0.5).abs() < 0.001, "{half}");
    let empty = Bounds::empty();
    let view = ColumnView { bounds: &empty, statistics: None };
    assert_eq!((view.selectivity(&eq(1)), view.distinct()), (0.0, 1.0));
    let unknown = Bounds::unknown(10, 0);
    let view = ColumnView { bounds: &unknown, statistics: None };
    let share = view.selectivity(&Predicate::Compare(Comparison::Lt, text("x")));
    assert!((0.1..0.9).contains(&share), "{share}");
}

/// No order of values, however strange, makes an estimate that is no share.
#[test]
fn estimates_are_shares() {
    let mut rng = Rng::new(9);
    for round in 0..200 {
        let rows = 1 + rng.below(400);
        let wide = 1 + rng.below(300);
        let mut value = |float: bool| match float {
            true => Scalar::Float([f64::NEG_INFINITY, -1.5, 0.0, 1e300, f64::INFINITY, f64::NAN][rng.below(6)]),
            false => Scalar::Int([i128::MIN, i128::MAX, 0][rng.below(3)].saturating_add(rng.below(wide) as i128)),
        };
        let float = round % 3 == 0;
        let values: Vec<Option<Scalar>> = (0..rows).map(|i| (i % 7 != 6).then(|| value(float))).collect();
        let known = Known::of(values, 1 + round % 4);
        for _ in 0..20 {
            let (mut low, mut high) = (value(float), value(float));
            if low.order(&high) == Some(Ordering::Greater) {
                std::mem::swap(&mut low, &mut high);
            }
            for predicate in [
                Predicate::Compare(Comparison::Eq, low.clone()),
                Predicate::Compare(Comparison::Lt, low.clone()),
                Predicate::Compare(Comparison::GtEq, high.clone()),
                Predicate::Between { low: low.clone(), high: high.clone(), negated: false },
                Predicate::Between { low: low.clone(), high: high.clone(), negated: true },
                Predicate::is_in(vec![low.clone(), high.clone()], true),
            ] {
                let share = known.view().selectivity(&predicate);
                assert!((0.0..=1.0).contains(&share), "{predicate:?}: {share}");
            }
        }
        assert!(known.view().distinct().is_finite());
    }
}
