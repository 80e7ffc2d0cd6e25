//! Predicates that cannot fail, in stored form: what may run before the delete vector and on dictionaries.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Members;

/// A value in stored form, never NULL. Every integer form (also DATE, TIMESTAMP, DECIMAL unscaled) is `Int`.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Bool(bool),
    Int(i128),
    /// REAL is widened exactly.
    Float(f64),
    Bytes(Vec<u8>),
}

impl Scalar {
    /// The order that comparisons and zone maps use: numbers by value, floats by IEEE 754 totalOrder (as Arrow's
    /// kernels do), bytes by unsigned bytes, FALSE before TRUE. `None` between different forms.
    pub fn order(&self, other: &Scalar) -> Option<Ordering> {
        Some(match (self, other) {
            (Scalar::Bool(a), Scalar::Bool(b)) => a.cmp(b),
            (Scalar::Int(a), Scalar::Int(b)) => a.cmp(b),
            (Scalar::Float(a), Scalar::Float(b)) => a.total_cmp(b),
            (Scalar::Bytes(a), Scalar::Bytes(b)) => a.cmp(b),
            _ => return None,
        })
    }
}

/// A comparison with a literal on its right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

impl Comparison {
    /// The comparison that holds of exactly the values (not NULL) of which this one does not.
    pub fn negated(self) -> Self {
        match self {
            Comparison::Eq => Comparison::NotEq,
            Comparison::NotEq => Comparison::Eq,
            Comparison::Lt => Comparison::GtEq,
            Comparison::LtEq => Comparison::Gt,
            Comparison::Gt => Comparison::LtEq,
            Comparison::GtEq => Comparison::Lt,
        }
    }

    /// Whether `value <op> literal` holds when `value` stands to `literal` as `order` says.
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Eq => order.is_eq(),
            Comparison::NotEq => order.is_ne(),
            Comparison::Lt => order.is_lt(),
            Comparison::LtEq => order.is_le(),
            Comparison::Gt => order.is_gt(),
            Comparison::GtEq => order.is_ge(),
        }
    }
}

/// A condition on one column. A row whose value is NULL satisfies none of them but `IsNull`.
///
/// Invariant: every literal has the column's stored form; [`Predicate::In`]'s are sorted by [`Scalar::order`] and
/// distinct.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate {
    Compare(Comparison, Scalar),
    /// Both ends included; `negated` is NOT BETWEEN.
    Between {
        low: Scalar,
        high: Scalar,
        negated: bool,
    },
    In {
        values: Vec<Scalar>,
        negated: bool,
        /// The same values, where they are many integers.
        members: Option<Arc<Members>>,
    },
    /// Of an integer, that it may be in a set. It is not said of values that are not in it that they do not satisfy this.
    Among(Arc<Members>),
    IsNull,
    IsNotNull,
    /// SQL LIKE with `%`, `_` and the escape `\`, with the meaning of Arrow's kernels.
    Like {
        pattern: String,
        case_insensitive: bool,
        negated: bool,
    },
}

/// Values of an IN that are compared one by one.
const FEW_VALUES: usize = 4;

impl Predicate {
    /// `IN (values)`, sorted and made distinct.
    pub fn is_in(mut values: Vec<Scalar>, negated: bool) -> Self {
        values.sort_by(|a, b| a.order(b).unwrap_or(Ordering::Equal));
        values.dedup_by(|a, b| a.order(b) == Some(Ordering::Equal));
        let integers = values.iter().map(|v| match v {
            Scalar::Int(v) => i64::try_from(*v).ok(),
            _ => None,
        });
        let integers: Option<Vec<i64>> = integers.collect::<Option<_>>().filter(|v: &Vec<i64>| v.len() > FEW_VALUES);
        let members = integers.and_then(|integers| Members::exactly(&integers)).map(Arc::new);
        Predicate::In { values, negated, members }
    }

    /// Whether a value (not NULL) satisfies it; `None` for LIKE, which only string kernels answer.
    pub fn holds(&self, value: &Scalar) -> Option<bool> {
        Some(match self {
            Predicate::Compare(op, literal) => op.holds(value.order(literal)?),
            Predicate::Between { low, high, negated } => {
                (value.order(low)?.is_ge() && value.order(high)?.is_le()) != *negated
            }
            Predicate::In { values, negated, .. } => {
                values.binary_search_by(|v| v.order(value).unwrap_or(Ordering::Less)).is_ok() != *negated
            }
            Predicate::Among(members) => match value {
                Scalar::Int(v) => i64::try_from(*v).is_ok_and(|v| members.may_hold(v)),
                _ => return None,
            },
            Predicate::IsNull => false,
            Predicate::IsNotNull => true,
            Predicate::Like { .. } => return None,
        })
    }
}
