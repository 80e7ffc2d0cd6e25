//! Estimates of one column: distinct values, and the share of rows that a predicate keeps.
//!
//! The methods are those of Selinger et al. ("Access path selection in a relational database management system", SIGMOD
//! 1979) with common values and equi-depth histograms as PostgreSQL uses them; joins by containment of values, and by
//! common values where both sides have some.

use super::bytes::MAX_VALUE_BYTES;
use super::distribution::Distribution;
use super::like;
use super::sketch::DistinctSketch;
use super::table::ColumnStatistics;
use crate::common::{Bounds, Comparison, Predicate, Scalar};

/// Distinct values assumed of text of which nothing is known.
const TEXT_DISTINCT: f64 = 20.0;
/// A column with more distinct values than this share of its rows gets more of them with more rows, others do not
/// (PostgreSQL's rule).
const GROWING: f64 = 0.1;
/// So few distinct values are whole ones.
const FEW: f64 = 100.0;
/// A histogram of fewer bounds says little of a pattern.
const LEAST_TEXTS: usize = 20;

/// One column of a table as it is now.
#[derive(Debug, Clone, Copy)]
pub struct ColumnView<'a> {
    /// Of all rows stored: the catalog's.
    pub bounds: &'a Bounds,
    pub statistics: Option<&'a ColumnStatistics>,
}

impl<'a> ColumnView<'a> {
    pub fn rows(&self) -> f64 {
        (self.bounds.rows as f64).max(1.0)
    }

    /// The share of rows that are NULL.
    pub fn nulls(&self) -> f64 {
        self.bounds.null_count as f64 / self.rows()
    }

    fn distribution(&self) -> Option<&'a Distribution> {
        self.statistics.and_then(|s| s.distribution.as_ref())
    }

    /// Distinct values, NULL not counted; `None` where neither a sketch nor a sample tells.
    pub fn known_distinct(&self) -> Option<f64> {
        let statistics = self.statistics?;
        let values = self.bounds.rows.saturating_sub(self.bounds.null_count) as f64;
        let sketched = statistics.sketch.as_ref().filter(|sketch| sketch.rows > 0).map(|sketch| {
            let (seen, rows) = (sketch.distinct.estimate(), sketch.rows as f64);
            // Rows that it does not cover bring new values where values are seldom repeated.
            if seen > GROWING * rows * (1.0 - self.nulls()) { seen * (self.rows() / rows).max(1.0) } else { seen }
        });
        let sampled = statistics.distribution.as_ref().map(|d| d.distinct);
        let covers_most = statistics.sketch.as_ref().is_some_and(|s| s.rows * 2 >= self.bounds.rows);
        // Values that a sample has all seen are counted, unless there are more by now.
        let counted = statistics.distribution.as_ref().filter(|d| d.bounds.is_empty() && !d.common.is_empty());
        let counted = counted.map(|d| d.common.len() as f64);
        let near =
            |sketched: f64, counted: f64| (sketched - counted).abs() <= 1.0 + 4.0 * DistinctSketch::ERROR * counted;
        let distinct = match (sketched, sampled) {
            (Some(sketched), _) if counted.is_some_and(|counted| near(sketched, counted)) => {
                counted.unwrap_or(sketched)
            }
            (Some(sketched), Some(sampled)) if !covers_most => sketched.max(sampled),
            (Some(sketched), _) => sketched,
            (None, sampled) => sampled?,
        };
        // As many as there are values, where the sketch cannot tell the difference.
        let distinct = if distinct > values * (1.0 - 2.0 * DistinctSketch::ERROR) { values } else { distinct };
        let distinct = if distinct < FEW { distinct.round() } else { distinct };
        Some(distinct.min(self.possible()).max(f64::from(u8::from(values > 0.0))))
    }

    /// Distinct values, at least 1: where nothing tells, by the bounds.
    pub fn distinct(&self) -> f64 {
        let guess = || match (number(self.bounds.min.as_ref()), number(self.bounds.max.as_ref())) {
            (Some(_), Some(_)) => self.possible(),
            _ => TEXT_DISTINCT.min(self.rows()),
        };
        self.known_distinct().unwrap_or_else(guess).max(1.0)
    }

    /// Distinct values at most: rows, and integers between the bounds.
    fn possible(&self) -> f64 {
        let values = self.bounds.rows.saturating_sub(self.bounds.null_count) as f64;
        match (&self.bounds.min, &self.bounds.max) {
            (Some(Scalar::Int(min)), Some(Scalar::Int(max))) => values.min(*max as f64 - *min as f64 + 1.0),
            (Some(Scalar::Bool(min)), Some(Scalar::Bool(max))) => values.min(if min == max { 1.0 } else { 2.0 }),
            _ => values,
        }
    }

    /// Bytes beside the fixed part of a row in Arrow's form; `None` where nothing tells.
    pub fn payload_per_row(&self) -> Option<f64> {
        let sketch = self.statistics?.sketch.as_ref()?;
        (sketch.rows > 0).then(|| sketch.payload_per_row())
    }

    /// The share of all rows that satisfy `predicate`: 0 only where the bounds prove that none does.
    pub fn selectivity(&self, predicate: &Predicate) -> f64 {
        if self.bounds.rows == 0 || !self.bounds.may_satisfy(predicate) {
            return 0.0;
        }
        let values = 1.0 - self.nulls();
        let either = |share: f64, negated: bool| if negated { values - share } else { share };
        let share = match predicate {
            Predicate::Compare(Comparison::Eq, v) => self.equal(v),
            Predicate::Compare(Comparison::NotEq, v) => values - self.equal(v),
            Predicate::In { values: list, negated, .. } => either(list.iter().map(|v| self.equal(v)).sum(), *negated),
            Predicate::IsNull => self.nulls(),
            Predicate::IsNotNull => values,
            Predicate::Like { pattern, case_insensitive, negated } => {
                either(self.like(pattern, *case_insensitive), *negated)
            }
            Predicate::Between { negated: true, low, high } => {
                let (low, high) = (self.below(low), self.at_most(high));
                values - (high - low).max(0.0)
            }
            _ => match self.range(predicate) {
                Some((low, high)) => high - low,
                None => values / 3.0,
            },
        };
        share.clamp(self.least(), 1.0)
    }

    /// What is not proven to be no row is one.
    pub fn least(&self) -> f64 {
        1.0 / self.rows()
    }

    /// Which part of the rows a range keeps, where they stand by their values, NULLs not among them; `None` of what is no
    /// range.
    pub fn range(&self, predicate: &Predicate) -> Option<(f64, f64)> {
        let values = 1.0 - self.nulls();
        Some(match predicate {
            Predicate::Compare(Comparison::Lt, v) => (0.0, self.below(v)),
            Predicate::Compare(Comparison::LtEq, v) => (0.0, self.at_most(v)),
            Predicate::Compare(Comparison::Gt, v) => (self.at_most(v), values),
            Predicate::Compare(Comparison::GtEq, v) => (self.below(v), values),
            Predicate::Between { low, high, negated: false } => (self.below(low), self.at_most(high)),
            _ => return None,
        })
    }

    /// The share of rows with this value.
    fn equal(&self, value: &Scalar) -> f64 {
        if !self.bounds.may_satisfy(&Predicate::Compare(Comparison::Eq, value.clone())) {
            return 0.0;
        }
        let Some(distribution) = self.distribution() else { return (1.0 - self.nulls()) / self.distinct() };
        match distribution.common.iter().find(|(common, _)| same(common, value)) {
            Some((_, share)) => *share,
            None => {
                let others = (self.distinct() - distribution.common.len() as f64).max(1.0);
                // No more often than the least of the common ones.
                let most = distribution.common.last().map_or(1.0, |(_, share)| *share);
                (rest(distribution) / others).min(most)
            }
        }
    }

    /// The share of rows with a lower value.
    fn below(&self, value: &Scalar) -> f64 {
        let values = 1.0 - self.nulls();
        let Some(distribution) = self.distribution() else { return values * self.of_bounds(value) };
        let lower = |(common, _): &&(Scalar, f64)| common.order(value).is_some_and(|order| order.is_lt());
        let common: f64 = distribution.common.iter().filter(lower).map(|(_, share)| share).sum();
        let then = match distribution.bounds.as_slice() {
            [] => common + rest(distribution) * 0.5,
            bounds => common + rest(distribution) * of_histogram(bounds, value),
        };
        // Rows that came since, above all that there were: as where keys ascend with time.
        let new = 1.0 - (distribution.rows as f64 / self.rows()).min(1.0);
        let last = distribution.bounds.last().or(distribution.common.iter().map(|(v, _)| v).max_by(order));
        let above = match (last, &self.bounds.max) {
            (Some(last), Some(max)) if new > 0.0 && order(&max, &last).is_gt() => Some(part_of(value, last, max)),
            _ => None,
        };
        let share = match above {
            Some(above) => (1.0 - new) * then + new * above,
            None => then,
        };
        share.clamp(0.0, values)
    }

    fn at_most(&self, value: &Scalar) -> f64 {
        (self.below(value) + self.equal(value)).min(1.0 - self.nulls())
    }

    /// Where a value stands between the bounds.
    fn of_bounds(&self, value: &Scalar) -> f64 {
        match (&self.bounds.min, &self.bounds.max, value) {
            (Some(Scalar::Int(min)), Some(Scalar::Int(max)), Scalar::Int(v)) => {
                ((*v as f64 - *min as f64) / (*max as f64 - *min as f64 + 1.0)).clamp(0.0, 1.0)
            }
            (Some(min), Some(max), v) => part_of(v, min, max),
            _ => 1.0 / 3.0,
        }
    }

    fn like(&self, pattern: &str, case_insensitive: bool) -> f64 {
        let (prefix, only) = if case_insensitive { (String::new(), false) } else { like::prefix(pattern) };
        let guess = like::guess(pattern);
        let between = |of: &dyn Fn(&Scalar) -> f64| {
            let low = Scalar::Bytes(prefix.clone().into_bytes());
            let mut high = prefix.clone().into_bytes();
            high.push(u8::MAX);
            (of(&Scalar::Bytes(high)) - of(&low)).max(0.0)
        };
        let values = 1.0 - self.nulls();
        let Some(distribution) = self.distribution() else {
            return match prefix.is_empty() {
                true => values * guess,
                false => values * between(&|v| self.of_bounds(v)).max(like::LEAST) * if only { 1.0 } else { guess },
            };
        };
        let holds = |value: &Scalar| match value {
            Scalar::Bytes(bytes) => like::matches(pattern, &String::from_utf8_lossy(bytes), case_insensitive),
            _ => false,
        };
        let common: f64 = distribution.common.iter().filter(|(v, _)| holds(v)).map(|(_, share)| share).sum();
        let bounds = &distribution.bounds;
        let texts = bounds.len() as f64;
        let matched = bounds.iter().filter(|v| holds(v)).count() as f64 / texts.max(1.0);
        let others = match (prefix.is_empty(), bounds.is_empty()) {
            // Each bound is a text by itself. Between two of them texts are not spread as evenly as their bytes.
            _ if bounds.len() >= LEAST_TEXTS && matched > 0.0 => matched,
            (false, false) if only => between(&|v| of_histogram(bounds, v)).max(0.2 / texts),
            _ if bounds.len() >= LEAST_TEXTS => guess.min(0.5 / texts),
            (false, false) => between(&|v| of_histogram(bounds, v)) * guess,
            _ => guess,
        };
        common + rest(distribution) * others
    }
}

/// The share of the pairs of rows of two tables whose values are equal.
pub fn join_selectivity(left: ColumnView<'_>, right: ColumnView<'_>) -> f64 {
    let apart = |a: &Bounds, b: &Bounds| match (&a.max, &b.min) {
        (Some(max), Some(min)) => max.order(min).is_some_and(|order| order.is_lt()),
        _ => false,
    };
    if apart(left.bounds, right.bounds) || apart(right.bounds, left.bounds) {
        return 0.0;
    }
    let (left_distinct, right_distinct) = (left.distinct(), right.distinct());
    let contained = (1.0 - left.nulls()) * (1.0 - right.nulls()) / left_distinct.max(right_distinct);
    let (Some(l), Some(r)) = (left.distribution(), right.distribution()) else { return contained };
    if l.common.is_empty() || r.common.is_empty() {
        return contained;
    }
    let mut pairs = 0.0;
    let (mut left_matched, mut right_matched, mut matches) = (0.0, 0.0, 0.0);
    for (value, share) in &l.common {
        if let Some((_, other)) = r.common.iter().find(|(other, _)| same(other, value)) {
            pairs += share * other;
            (left_matched, right_matched, matches) = (left_matched + share, right_matched + other, matches + 1.0);
        }
    }
    // What is common on one side only meets the other's uncommon values; these meet each other by containment.
    let total = |d: &Distribution| d.common.iter().map(|(_, share)| share).sum::<f64>();
    let side = |own: &Distribution, own_matched: f64, other: &Distribution, other_matched: f64, other_distinct: f64| {
        let (own_unmatched, other_unmatched) = (total(own) - own_matched, total(other) - other_matched);
        let mut share = pairs;
        let other_rare = other_distinct - other.common.len() as f64;
        if other_rare >= 1.0 {
            share += own_unmatched * rest(other) / other_rare;
        }
        if other_distinct - matches >= 1.0 {
            share += rest(own) * (rest(other) + other_unmatched) / (other_distinct - matches);
        }
        share
    };
    let by_left = side(l, left_matched, r, right_matched, right_distinct);
    let by_right = side(r, right_matched, l, left_matched, left_distinct);
    by_left.min(by_right).clamp(0.0, 1.0)
}

/// Distinct values left of `distinct`, each about equally frequent, when a share of `rows` rows is kept by something that
/// has nothing to do with them (Cardenas, CACM 1975).
pub fn distinct_of_part(distinct: f64, rows: f64, share: f64) -> f64 {
    let each = rows / distinct.max(1.0);
    let kept = distinct * (1.0 - (1.0 - share.clamp(0.0, 1.0)).powf(each));
    kept.min(rows * share)
}

/// The share of rows whose values are neither NULL nor common.
fn rest(distribution: &Distribution) -> f64 {
    (1.0 - distribution.nulls - distribution.common.iter().map(|(_, share)| share).sum::<f64>()).max(0.0)
}

/// Whether two values are one, as far as the kept bytes tell.
fn same(kept: &Scalar, value: &Scalar) -> bool {
    match (kept, value) {
        (Scalar::Bytes(kept), Scalar::Bytes(value)) => kept[..] == value[..value.len().min(MAX_VALUE_BYTES)],
        _ => kept.order(value).is_some_and(|order| order.is_eq()),
    }
}

/// The share of a histogram's rows below a value.
fn of_histogram(bounds: &[Scalar], value: &Scalar) -> f64 {
    let at = bounds.partition_point(|bound| bound.order(value).is_some_and(|order| order.is_lt()));
    match at.checked_sub(1).and_then(|before| Some((before, bounds.get(before)?, bounds.get(at)?))) {
        Some((before, low, high)) => (before as f64 + part_of(value, low, high)) / (bounds.len() - 1) as f64,
        None if at == 0 => 0.0,
        None => 1.0,
    }
}

/// Where between two values a third stands, from 0 to 1.
fn part_of(value: &Scalar, low: &Scalar, high: &Scalar) -> f64 {
    let (low, high, value) = match (low, high, value) {
        (Scalar::Bytes(low), Scalar::Bytes(high), Scalar::Bytes(value)) => {
            let shared = low.iter().zip(high).take_while(|(a, b)| a == b).count();
            let at = |bytes: &[u8]| match bytes.get(..shared).unwrap_or(bytes).cmp(&low[..shared]) {
                std::cmp::Ordering::Less => 0.0,
                std::cmp::Ordering::Greater => f64::INFINITY,
                std::cmp::Ordering::Equal => of_bytes(&bytes[shared.min(bytes.len())..]),
            };
            (at(low), at(high), at(value))
        }
        _ => match (number(Some(low)), number(Some(high)), number(Some(value))) {
            (Some(low), Some(high), Some(value)) => (low, high, value),
            _ => return 0.5,
        },
    };
    match () {
        _ if value <= low => 0.0,
        _ if value >= high => 1.0,
        // Between infinities there is no telling where.
        _ => {
            Some((value - low) / (high - low)).filter(|part| part.is_finite()).map_or(0.5, |part| part.clamp(0.0, 1.0))
        }
    }
}

/// The first bytes as a fraction.
fn of_bytes(bytes: &[u8]) -> f64 {
    bytes.iter().take(7).rev().fold(0.0, |fraction, byte| (fraction + f64::from(*byte)) / 256.0)
}

fn number(value: Option<&Scalar>) -> Option<f64> {
    match value? {
        Scalar::Int(v) => Some(*v as f64),
        Scalar::Float(v) => Some(*v),
        Scalar::Bool(v) => Some(f64::from(u8::from(*v))),
        Scalar::Bytes(_) => None,
    }
}

fn order(a: &&Scalar, b: &&Scalar) -> std::cmp::Ordering {
    a.order(b).unwrap_or(std::cmp::Ordering::Equal)
}
