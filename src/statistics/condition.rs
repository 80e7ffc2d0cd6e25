//! Estimates of conditions over several columns of a table.

use super::column::{ColumnView, distinct_of_part};
use crate::common::{Comparison, Predicate};

/// What a filter asks of a row, as far as estimates understand it.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    Always,
    Never,
    /// Of one column, by its ordinal.
    Column(usize, Predicate),
    /// Two columns have one value.
    Same(usize, usize),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// Something else, of which this share of rows is guessed.
    Unknown(f64),
}

impl Condition {
    /// The share that a condition nothing is known of lets through (DataFusion's own default is a fifth, too).
    pub const UNKNOWN: f64 = 0.2;

    /// The share of rows for which it is true; `columns` tells of a column by its ordinal.
    ///
    /// Conditions on different columns are taken to depend on each other in part: of several shares the smallest counts
    /// wholly, the next by its square root, the next by its fourth root and so on (exponential backoff, as Microsoft's
    /// "Optimizing Your Query Plans with the SQL Server 2014 Cardinality Estimator" describes it).
    pub fn selectivity<'a>(&self, columns: &dyn Fn(usize) -> ColumnView<'a>) -> f64 {
        self.shares(columns).0
    }

    /// The shares of rows for which it is true, and for which it is NULL.
    fn shares<'a>(&self, columns: &dyn Fn(usize) -> ColumnView<'a>) -> (f64, f64) {
        match self {
            Condition::Always => (1.0, 0.0),
            Condition::Never => (0.0, 0.0),
            Condition::Unknown(share) => (*share, 0.0),
            Condition::Column(column, predicate) => {
                let view = columns(*column);
                let nulls = match predicate {
                    Predicate::IsNull | Predicate::IsNotNull => 0.0,
                    _ => view.nulls(),
                };
                (view.selectivity(predicate), nulls)
            }
            Condition::Same(a, b) => {
                let (a, b) = (columns(*a), columns(*b));
                let values = (1.0 - a.nulls()) * (1.0 - b.nulls());
                (values / a.distinct().max(b.distinct()), 1.0 - values)
            }
            Condition::All(all) => {
                let mut flat = Vec::new();
                all.iter().for_each(|c| c.conjuncts(&mut flat));
                let mut shares = ranges(&flat, columns);
                let others = flat.iter().filter(|c| !c.is_range());
                let others: Vec<(f64, f64)> = others.map(|c| c.shares(columns)).collect();
                shares.extend(others.iter().map(|(share, _)| *share));
                let nulls = flat.iter().map(|c| c.shares(columns).1).fold(1.0, |not, nulls| not * (1.0 - nulls));
                let share = backoff(shares);
                (share, (1.0 - nulls).min(1.0 - share))
            }
            Condition::Any(any) => {
                let shares: Vec<(f64, f64)> = any.iter().map(|c| c.shares(columns)).collect();
                let greatest = shares.iter().map(|(share, _)| *share).fold(0.0, f64::max);
                // Several conditions on one column hardly overlap: who writes them means different values.
                let share = match any.iter().map(Condition::column).collect::<Option<Vec<_>>>() {
                    Some(of) if of.windows(2).all(|w| w[0] == w[1]) => shares.iter().map(|(share, _)| share).sum(),
                    _ => 1.0 - backoff(shares.iter().map(|(share, _)| 1.0 - share).collect()),
                };
                let share = f64::clamp(share, greatest, 1.0);
                let nulls = shares.iter().map(|(_, nulls)| *nulls).fold(0.0, f64::max);
                (share, nulls.min(1.0 - share))
            }
            Condition::Not(not) => {
                let (share, nulls) = not.shares(columns);
                ((1.0 - share - nulls).clamp(0.0, 1.0), nulls)
            }
        }
    }

    /// Distinct values of a column among the rows that satisfy it, which are a share of `share`.
    pub fn distinct_left<'a>(&self, column: usize, share: f64, columns: &dyn Fn(usize) -> ColumnView<'a>) -> f64 {
        let view = columns(column);
        let (most, own) = self.values_left(column, columns);
        // What other columns' conditions leave of the rows that have these values.
        let rows = view.rows() * own;
        let others = if own > 0.0 { share / own } else { 0.0 };
        distinct_of_part(most, rows.max(1.0), others).clamp(0.0, most)
    }

    /// Distinct values of a column that the conditions on it alone leave, and the share of the rows that have them.
    pub fn values_left<'a>(&self, column: usize, columns: &dyn Fn(usize) -> ColumnView<'a>) -> (f64, f64) {
        let view = columns(column);
        let mut flat = Vec::new();
        self.conjuncts(&mut flat);
        let mut most = view.distinct();
        let mut own = 1.0f64;
        for conjunct in flat.iter().filter(|c| c.column() == Some(column)) {
            match conjunct {
                Condition::Column(_, Predicate::Compare(Comparison::Eq, _)) => most = most.min(1.0),
                Condition::Column(_, Predicate::In { values, negated: false, .. }) => {
                    most = most.min(values.len() as f64)
                }
                other => own = own.min(other.selectivity(columns)),
            }
        }
        (most.min((view.distinct() * own).max(1.0)), own)
    }

    fn conjuncts<'c>(&'c self, out: &mut Vec<&'c Condition>) {
        match self {
            Condition::All(all) => all.iter().for_each(|c| c.conjuncts(out)),
            Condition::Always => {}
            other => out.push(other),
        }
    }

    /// The only column that it is about.
    fn column(&self) -> Option<usize> {
        match self {
            Condition::Column(column, _) => Some(*column),
            Condition::Not(not) => not.column(),
            Condition::Any(any) => {
                let (first, rest) = any.split_first()?;
                first.column().filter(|column| rest.iter().all(|other| other.column() == Some(*column)))
            }
            _ => None,
        }
    }

    fn is_range(&self) -> bool {
        use Comparison::{Gt, GtEq, Lt, LtEq};
        matches!(
            self,
            Condition::Column(
                _,
                Predicate::Compare(Lt | LtEq | Gt | GtEq, _) | Predicate::Between { negated: false, .. }
            )
        )
    }
}

/// The shares of the ranges among the conjuncts: those of one column are one restriction.
fn ranges<'a>(conjuncts: &[&Condition], columns: &dyn Fn(usize) -> ColumnView<'a>) -> Vec<f64> {
    let mut ranges: Vec<(usize, f64, f64)> = Vec::new();
    let mut none = false;
    for conjunct in conjuncts.iter().filter(|c| c.is_range()) {
        let Condition::Column(column, predicate) = conjunct else { continue };
        let view = columns(*column);
        none |= view.bounds.rows == 0 || !view.bounds.may_satisfy(predicate);
        let Some((low, high)) = view.range(predicate) else { continue };
        match ranges.iter_mut().find(|(of, ..)| of == column) {
            Some((_, l, h)) => (*l, *h) = (l.max(low), h.min(high)),
            None => ranges.push((*column, low, high)),
        }
    }
    if none {
        return vec![0.0];
    }
    ranges.into_iter().map(|(column, low, high)| (high - low).clamp(columns(column).least(), 1.0)).collect()
}

fn backoff(mut shares: Vec<f64>) -> f64 {
    shares.sort_by(f64::total_cmp);
    let roots = shares.iter().zip([1.0, 0.5, 0.25, 0.125]).map(|(share, root)| share.clamp(0.0, 1.0).powf(root));
    roots.product()
}
