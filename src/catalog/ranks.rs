//! The rank map of a table with an interleaved sort key: what its rows are ordered by.
//!
//! For each key column the map has bounds that cut the column's values into ranks, which held about equally many rows
//! when the map was made. A rank becomes a code of 8 bits, spread over all 256 codes, so that a column of few values
//! counts from its first bit like one of many. The bits of all columns' codes, the first of each, then the second of
//! each, and so on, are a row's Z value (Morton, "A computer oriented geodetic data base", 1966); Redshift publishes no
//! more of its order than that all columns weigh the same. Up to 8 columns make 64 bits. Rows of equal Z values are in the
//! order of the columns in turn (our own choice).
//!
//! A map lasts until another replaces it: values beyond its bounds share the outer ranks, and order their columns worse
//! the more of them come. [`RankColumn::skew`] tells how much.

use super::model::TableDef;
use crate::common::{ColumnId, Error, Result, Scalar, SqlState, SqlType, Stored};

/// A rank map. Maps of one table differ in `version`; two runs can be merged if they are ordered by the same.
#[derive(Debug, Clone, PartialEq)]
pub struct RankMap {
    /// From 1; 0 before it is committed.
    pub version: u32,
    /// The sort key's columns, in its order.
    pub columns: Vec<RankColumn>,
}

/// How one column's values are ranked.
#[derive(Debug, Clone, PartialEq)]
pub struct RankColumn {
    pub column: ColumnId,
    /// Ascending. A value's rank is how many of them are not above it.
    pub bounds: Vec<Scalar>,
    /// Whether NULL has a rank of its own, above all values: the sample had some. Else it has the last code of all, which
    /// it may share.
    pub nulls: bool,
    /// How many of the sampled rows each coarse rank had.
    pub sampled: [u32; RankColumn::COARSE],
}

impl RankMap {
    /// Invalid when it does not belong to the interleaved sort key of `def`.
    pub fn check(&self, def: &TableDef) -> Result<()> {
        let broken = |what: &str| {
            let message = format!("the rank map of table \"{}\": {what}", def.name);
            Err(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message))
        };
        if self.version == 0 || !self.columns.iter().map(|c| &c.column).eq(def.interleaved()) {
            return broken("its columns are not those of an interleaved sort key");
        }
        for column in &self.columns {
            let Some(sql_type) = def.column(column.column).map(|c| c.sql_type) else {
                return broken("a column does not exist");
            };
            if column.ranks() > RankColumn::MAX_RANKS || !column.bounds.iter().all(|b| is_bound(b, sql_type)) {
                return broken("a column has too many ranks, or bounds of another type");
            }
            if !column.bounds.is_sorted_by(|a, b| a.order(b) == Some(std::cmp::Ordering::Less)) {
                return broken("bounds do not ascend");
            }
        }
        Ok(())
    }

    /// About how many bytes of log entry it needs.
    pub fn weight(&self) -> usize {
        let bytes = |bound: &Scalar| match bound {
            Scalar::Bytes(bytes) => bytes.len() + 8,
            _ => 24,
        };
        self.columns.iter().map(|c| 64 + c.bounds.iter().map(bytes).sum::<usize>()).sum()
    }
}

impl RankColumn {
    /// Ranks of a column, that of NULL included, at most: one for each code.
    pub const MAX_RANKS: usize = 256;
    /// Coarse ranks: a code's upper four bits.
    pub const COARSE: usize = 16;
    /// Bytes of a bound of text: values that begin with more equal bytes are of one rank.
    pub const MAX_BOUND_BYTES: usize = 256;

    /// How many ranks there are.
    pub fn ranks(&self) -> usize {
        self.bounds.len() + 1 + usize::from(self.nulls)
    }

    /// The code of a rank.
    pub fn code(&self, rank: usize) -> u8 {
        (rank * Self::MAX_RANKS / self.ranks()).min(Self::MAX_RANKS - 1) as u8
    }

    /// The code of NULL: none is above it.
    pub fn null_code(&self) -> u8 {
        if self.nulls { self.code(self.bounds.len() + 1) } else { u8::MAX }
    }

    /// The coarse rank of a code.
    pub fn coarse(code: u8) -> usize {
        usize::from(code >> 4)
    }

    /// How unevenly rows are spread over the coarse ranks now (our own definition): the mean, over all rows, of how many
    /// times more rows their coarse rank has than an even share, or than it had when the map was made if that was more.
    ///
    /// 1 when they are spread as evenly as a new map would spread them. A predicate on the column reads about as many times
    /// more of the table. `None` of no rows.
    pub fn skew(&self, counts: &[u64; Self::COARSE]) -> Option<f64> {
        let rows = counts.iter().sum::<u64>() as f64;
        let sampled = self.sampled.iter().map(|c| u64::from(*c)).sum::<u64>().max(1) as f64;
        let mut used = [false; Self::COARSE];
        (0..self.ranks()).for_each(|rank| used[Self::coarse(self.code(rank))] = true);
        let even = 1.0 / used.iter().filter(|used| **used).count() as f64;
        let weighed = counts.iter().zip(&self.sampled).map(|(now, before)| {
            let now = *now as f64 / rows;
            now * now / even.max(f64::from(*before) / sampled)
        });
        (rows > 0.0).then(|| weighed.sum::<f64>().max(1.0))
    }
}

/// Whether a value can bound ranks of that type.
fn is_bound(bound: &Scalar, sql_type: SqlType) -> bool {
    match (bound, sql_type.stored()) {
        (Scalar::Bool(_), Stored::Bool) => true,
        (Scalar::Int(v), Stored::I16 | Stored::I32 | Stored::I64) => i64::try_from(*v).is_ok(),
        (Scalar::Int(_), Stored::I128) => true,
        (Scalar::Float(_), Stored::F32 | Stored::F64) => true,
        (Scalar::Bytes(bytes), Stored::Bytes) => bytes.len() <= RankColumn::MAX_BOUND_BYTES,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(bounds: usize, nulls: bool) -> RankColumn {
        let bounds = (0..bounds).map(|b| Scalar::Int(b as i128 * 10)).collect();
        RankColumn { column: ColumnId(1), bounds, nulls, sampled: [100; RankColumn::COARSE] }
    }

    #[test]
    fn codes_ascend_with_ranks_and_are_spread() {
        for (bounds, nulls) in [(0, false), (0, true), (1, false), (1, true), (4, false), (99, true), (254, true)] {
            let column = column(bounds, nulls);
            let codes: Vec<u8> = (0..column.ranks()).map(|rank| column.code(rank)).collect();
            assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
            assert!(codes.iter().all(|code| *code <= column.null_code()));
            // The upper half begins with the middle rank.
            assert_eq!(codes.iter().filter(|c| **c < 128).count(), column.ranks().div_ceil(2));
        }
        assert_eq!(column(255, false).code(255), 255);
    }

    #[test]
    fn skew_is_one_for_even_rows_and_grows_with_an_end() {
        let column = column(254, true);
        let even = [50u64; RankColumn::COARSE];
        assert_eq!(column.skew(&even), Some(1.0));
        assert_eq!(column.skew(&[0; RankColumn::COARSE]), None);
        // As many rows again, all beyond the last bound: half of the rows share a sixteenth of the ranks.
        let mut beyond = even;
        beyond[15] += 16 * 50;
        let skew = column.skew(&beyond).unwrap();
        assert!((4.7..4.8).contains(&skew), "{skew}");
        // All rows in one of them: sixteen times an even share.
        let mut one = [0; RankColumn::COARSE];
        one[3] = 7;
        assert_eq!(column.skew(&one), Some(16.0));
    }

    /// A value that half of the rows have is no reason to make a map anew: the next one would not divide it either.
    #[test]
    fn what_no_map_divides_is_no_skew() {
        let mut heavy = column(254, false);
        heavy.sampled = [10; RankColumn::COARSE];
        heavy.sampled[5] = 150;
        let now = heavy.sampled.map(|c| u64::from(c) * 1000);
        assert_eq!(heavy.skew(&now), Some(1.0));
        // Two ranks, of which one has nearly all rows, then half of them.
        let mut two = column(1, false);
        two.sampled = [0; RankColumn::COARSE];
        (two.sampled[0], two.sampled[8]) = (99, 1);
        let mut half = [0; RankColumn::COARSE];
        (half[0], half[8]) = (500, 500);
        assert_eq!(two.skew(&half), Some(1.0));
    }
}
