//! How a column's values are distributed, from a sample: the most common ones, and a histogram of the others.

use super::bytes::{MAX_VALUE_BYTES, read_count, read_fraction, read_number, read_value, write_value};
use crate::common::{Result, Scalar};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::{Column, Values};

/// A column's distribution when it was analyzed.
///
/// Guarantees:
/// 1. `common` are distinct values, the most frequent first, with their share of all rows; together with `nulls` they
///    make up at most all of them;
/// 2. `bounds` ascend in the order of [`Scalar::order`], and cut the values that are not in `common` into parts of
///    equally many rows; there are none, or two at least;
/// 3. all values have one form; text is cut to so many bytes that a histogram needs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distribution {
    /// Rows of the table then.
    pub rows: u64,
    /// The share of rows that are NULL.
    pub nulls: f64,
    /// Distinct values of the table, as a sample lets guess.
    pub distinct: f64,
    pub common: Vec<(Scalar, f64)>,
    pub bounds: Vec<Scalar>,
}

impl Distribution {
    /// Common values, at most (PostgreSQL's default target).
    pub const MAX_COMMON: usize = 100;
    /// Parts of a histogram, at most.
    pub const MAX_PARTS: usize = 100;
    /// How many times as frequent as the average a value is to be common (PostgreSQL's `analyze.c` had this rule).
    const UNCOMMON: f64 = 1.25;

    /// Of sampled values, NULL as `None`, of a table of `rows` rows. `None` of an empty sample.
    pub fn of_sample(mut values: Vec<Scalar>, sampled: u64, rows: u64) -> Option<Self> {
        if sampled == 0 || (values.len() as u64) > sampled {
            return None;
        }
        let n = sampled as f64;
        let nulls = (sampled - values.len() as u64) as f64 / n;
        values.sort_by(|a, b| a.order(b).unwrap_or(std::cmp::Ordering::Equal));
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (i, value) in values.iter().enumerate() {
            match runs.last_mut() {
                Some((first, count)) if values[*first].order(value).is_some_and(|o| o.is_eq()) => *count += 1,
                _ => runs.push((i, 1)),
            }
        }
        let once = runs.iter().filter(|(_, count)| *count == 1).count();
        let distinct = distinct(values.len() as f64, runs.len() as f64, once as f64, rows as f64 * (1.0 - nulls));
        let common = Self::common(&runs, values.len(), distinct);
        let shares = common.iter().map(|at| (cut(&values[runs[*at].0]), runs[*at].1 as f64 / n)).collect::<Vec<_>>();
        let mut is_common = vec![false; runs.len()];
        common.iter().for_each(|at| is_common[*at] = true);
        let rest: Vec<&Scalar> = runs
            .iter()
            .zip(&is_common)
            .filter(|(_, common)| !**common)
            .flat_map(|((first, count), _)| &values[*first..*first + *count])
            .collect();
        let parts = Self::MAX_PARTS.min(rest.len().saturating_sub(1));
        let bounds = match parts {
            0 => Vec::new(),
            parts => (0..=parts).map(|part| cut(rest[part * (rest.len() - 1) / parts])).collect(),
        };
        Some(Distribution { rows, nulls, distinct, common: shares, bounds })
    }

    /// The runs of equal values that are common, the most frequent first.
    fn common(runs: &[(usize, usize)], values: usize, distinct: f64) -> Vec<usize> {
        let mut by_count: Vec<usize> = (0..runs.len()).collect();
        by_count.sort_by_key(|at| (std::cmp::Reverse(runs[*at].1), *at));
        let all_seen = runs.len() <= Self::MAX_COMMON && distinct <= runs.len() as f64 + 0.5;
        if !all_seen {
            let average = values as f64 / distinct.max(1.0);
            // What fills a part of the histogram by itself is common, however many such values there are.
            let least = (average * Self::UNCOMMON).min(values as f64 / Self::MAX_PARTS as f64).max(2.0);
            by_count.retain(|at| runs[*at].1 as f64 >= least);
            by_count.truncate(Self::MAX_COMMON);
        }
        by_count
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.put_varint(self.rows);
        out.put_u64(self.nulls.to_bits());
        out.put_u64(self.distinct.to_bits());
        out.put_varint(self.common.len() as u64);
        for (value, share) in &self.common {
            write_value(value, out);
            out.put_u64(share.to_bits());
        }
        out.put_varint(self.bounds.len() as u64);
        self.bounds.iter().for_each(|bound| write_value(bound, out));
    }

    /// Corrupt where a guarantee does not hold.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let rows = reader.varint()?;
        let nulls = read_fraction(reader)?;
        let distinct = read_number(reader)?;
        let count = read_count(reader, Self::MAX_COMMON)?;
        let mut common = Vec::with_capacity(count);
        for _ in 0..count {
            common.push((read_value(reader)?, read_fraction(reader)?));
        }
        let count = read_count(reader, Self::MAX_PARTS + 1)?;
        let mut bounds = Vec::with_capacity(count);
        for _ in 0..count {
            bounds.push(read_value(reader)?);
        }
        let share = nulls + common.iter().map(|(_, share)| share).sum::<f64>();
        let ascend = bounds.is_sorted_by(|a, b| a.order(b).is_some_and(|o| o.is_le()));
        let alike = common.iter().map(|(v, _)| v).chain(&bounds).collect::<Vec<_>>();
        let alike = alike.windows(2).all(|w| w[0].order(w[1]).is_some());
        if share > 1.0 + 1e-6 || !ascend || !alike || bounds.len() == 1 {
            return Err(reader.corrupt("an impossible distribution"));
        }
        Ok(Distribution { rows, nulls, distinct, common, bounds })
    }
}

/// The value of a row; `None` where it is NULL.
pub fn value_at(column: &Column, row: usize) -> Option<Scalar> {
    if !column.is_valid(row) {
        return None;
    }
    Some(match &column.values {
        Values::Bool(v) => Scalar::Bool(v.value(row)),
        Values::I16(v) => Scalar::Int(v[row].into()),
        Values::I32(v) => Scalar::Int(v[row].into()),
        Values::I64(v) => Scalar::Int(v[row].into()),
        Values::I128(v) => Scalar::Int(v[row]),
        Values::F32(v) => Scalar::Float(v[row].into()),
        Values::F64(v) => Scalar::Float(v[row]),
        Values::Bytes(v) => Scalar::Bytes(v.value(row)[..v.value(row).len().min(MAX_VALUE_BYTES)].to_vec()),
    })
}

fn cut(value: &Scalar) -> Scalar {
    match value {
        Scalar::Bytes(bytes) => Scalar::Bytes(bytes[..bytes.len().min(MAX_VALUE_BYTES)].to_vec()),
        other => other.clone(),
    }
}

/// Distinct values of `rows` rows, of which `sampled` had `seen`, of these `once` once: the estimator Duj1 of Haas and
/// Stokes ("Estimating the number of classes in a finite population", 1998), which PostgreSQL uses.
fn distinct(sampled: f64, seen: f64, once: f64, rows: f64) -> f64 {
    if sampled == 0.0 || once == 0.0 || rows <= sampled {
        return seen;
    }
    let estimate = sampled * seen / (sampled - once + once * sampled / rows);
    estimate.clamp(seen, rows)
}
