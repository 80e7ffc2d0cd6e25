//! Sets of relations, and the operators that join them.

use std::fmt;
use std::ops::{BitAnd, BitOr, Sub};

/// Relations by their numbers, of at most 64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Relations(u64);

impl Relations {
    pub const NONE: Relations = Relations(0);
    pub const MOST: usize = 64;

    pub fn one(relation: usize) -> Self {
        debug_assert!(relation < Self::MOST);
        Relations(1 << relation)
    }

    /// The first `n`.
    pub fn first(n: usize) -> Self {
        debug_assert!(n <= Self::MOST);
        Relations(u64::MAX.checked_shr((Self::MOST - n) as u32).unwrap_or(0))
    }

    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub fn contains(self, other: Relations) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn overlaps(self, other: Relations) -> bool {
        self.0 & other.0 != 0
    }

    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..Self::MOST).filter(move |i| self.0 >> i & 1 == 1)
    }

    /// The parts of this set that are neither empty nor the whole, each with the rest; of such a pair both orders come.
    pub fn splits(self) -> impl Iterator<Item = (Relations, Relations)> {
        let whole = self.0;
        let mut part = 0u64;
        std::iter::from_fn(move || {
            // The next larger number whose bits are all in `whole`.
            part = part.wrapping_sub(whole) & whole;
            (part != 0 && part != whole).then_some((Relations(part), Relations(whole & !part)))
        })
    }

    /// Every set of the first `n` relations but the empty one, subsets before the sets that contain them.
    pub fn subsets(n: usize) -> impl Iterator<Item = Relations> {
        (1..=Relations::first(n).0).map(Relations)
    }
}

impl BitOr for Relations {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Relations(self.0 | other.0)
    }
}

impl BitAnd for Relations {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Relations(self.0 & other.0)
    }
}

impl Sub for Relations {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Relations(self.0 & !other.0)
    }
}

impl FromIterator<usize> for Relations {
    fn from_iter<T: IntoIterator<Item = usize>>(relations: T) -> Self {
        relations.into_iter().fold(Relations::NONE, |all, i| all | Relations::one(i))
    }
}

impl fmt::Debug for Relations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// How two sides are joined. The sides of all but Inner are not interchangeable: the left one is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Inner,
    LeftOuter,
    LeftSemi,
    LeftAnti,
}

impl Kind {
    /// Whether the columns of the right side are there afterwards.
    pub fn keeps_right(self) -> bool {
        matches!(self, Kind::Inner | Kind::LeftOuter)
    }

    /// Whether `(a A b) B c` is `a A (b B c)`, A's predicate over a and b, B's over b and c.
    ///
    /// This and the next two tables, without the cases that ask for predicates that reject NULL: Moerkotte, Fender, Eich,
    /// "On the Correct and Complete Enumeration of the Core Search Space", SIGMOD 2013, tables 2 and 3.
    pub fn associates(self, other: Kind) -> bool {
        let _ = other;
        self == Kind::Inner
    }

    /// Whether `(a A b) B c` is `(a B c) A b`, the predicates over a and b and over a and c.
    pub fn left_commutes(self, other: Kind) -> bool {
        let _ = (self, other);
        true
    }

    /// Whether `a A (b B c)` is `b B (a A c)`, the predicates over a and c and over b and c.
    pub fn right_commutes(self, other: Kind) -> bool {
        self == Kind::Inner && other == Kind::Inner
    }
}

/// A join, or one conjunct of an inner join, as the query writes it.
#[derive(Debug, Clone)]
pub struct Operator {
    pub kind: Kind,
    /// The relations below its sides, as the query writes it.
    pub left: Relations,
    pub right: Relations,
    /// Those that its predicate names; of a side of which it names none, all.
    pub named: Relations,
    /// Where one of the first are below it, the others must be, too.
    rules: Vec<(Relations, Relations)>,
}

impl Operator {
    /// `below` are the operators of both sides.
    pub fn new(kind: Kind, left: Relations, right: Relations, named: Relations, below: &[Operator]) -> Self {
        let of = |side: Relations| if named.overlaps(side) { named & side } else { side };
        let mut rules = Vec::new();
        for inner in below {
            if left.contains(inner.left | inner.right) {
                if !inner.kind.associates(kind) {
                    rules.push((inner.right, inner.left));
                }
                if !inner.kind.left_commutes(kind) {
                    rules.push((inner.left, inner.right));
                }
            } else {
                if !kind.associates(inner.kind) {
                    rules.push((inner.left, inner.right));
                }
                if !kind.right_commutes(inner.kind) {
                    rules.push((inner.right, inner.left));
                }
            }
        }
        rules.sort_unstable();
        rules.dedup();
        Operator { kind, left, right, named: of(left) | of(right), rules }
    }

    /// Whether it may stand wherever its relations are.
    pub fn is_free(&self) -> bool {
        self.kind == Kind::Inner && self.rules.is_empty()
    }

    /// Whether `left` and `right` may be joined by it, as far as it is concerned.
    pub fn joins(&self, left: Relations, right: Relations) -> bool {
        let whole = left | right;
        left.contains(self.named & self.left)
            && right.contains(self.named & self.right)
            && self.rules.iter().all(|(first, then)| !whole.overlaps(*first) || whole.contains(*then))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_splits_into_all_its_parts() {
        let set: Relations = [1, 3, 6].into_iter().collect();
        let parts: Vec<_> = set.splits().collect();
        assert_eq!(parts.len(), 6);
        for (left, right) in parts {
            assert_eq!((left | right, left & right), (set, Relations::NONE));
            assert!(left.len() * right.len() > 0);
        }
        assert_eq!((Relations::one(63).splits().count(), Relations::NONE.splits().count()), (0, 0));
        assert_eq!(
            (Relations::first(0), Relations::first(64).len(), Relations::subsets(3).count()),
            (Relations::NONE, 64, 7)
        );
    }
}
