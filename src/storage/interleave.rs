//! Interleaved order: the Z values of rows by a table's rank map, and the sample that a map is made of.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};

use crate::catalog::{RankColumn, RankMap};
use crate::common::{ColumnId, Error, Result, Scalar};

/// Rows of a sample, at most: 128 for each rank.
const MAX_SAMPLED_ROWS: u64 = 1 << 15;
/// Bytes of a sample's values, at most.
const MAX_SAMPLED_BYTES: usize = 16 << 20;

/// Computes Z values by one rank map.
#[derive(Debug)]
pub struct Ranker {
    columns: Vec<ColumnRanker>,
}

#[derive(Debug)]
struct ColumnRanker {
    bounds: Bounds,
    /// The bits of each rank's code at their places in a Z value.
    places: Vec<u64>,
    null_place: u64,
}

/// Bounds in the form that the column's array holds values in.
#[derive(Debug)]
enum Bounds {
    Bool(Vec<bool>),
    Narrow(Vec<i64>),
    Wide(Vec<i128>),
    Float(Vec<f64>),
    Bytes(Vec<Vec<u8>>),
}

impl Ranker {
    /// For key columns of these Arrow types, in the map's order.
    ///
    /// Internal when the map has bounds of other types: the catalog checks them.
    pub fn new(map: &RankMap, types: &[DataType]) -> Result<Self> {
        let columns = map.columns.iter().zip(types).enumerate().map(|(at, (column, data_type))| {
            let place = |code| spread(code, at, map.columns.len());
            Ok(ColumnRanker {
                bounds: Bounds::new(&column.bounds, data_type)?,
                places: (0..column.ranks()).map(|rank| place(column.code(rank))).collect(),
                null_place: place(column.null_code()),
            })
        });
        Ok(Ranker { columns: columns.collect::<Result<_>>()? })
    }

    /// The Z value of each row.
    pub fn z_values(&self, columns: &[ArrayRef]) -> Result<Vec<u64>> {
        let mut z = vec![0; columns.first().map_or(0, |c| c.len())];
        for (ranker, column) in self.columns.iter().zip(columns) {
            ranker.add(column, &mut z)?;
        }
        Ok(z)
    }
}

impl ColumnRanker {
    fn add(&self, column: &ArrayRef, z: &mut [u64]) -> Result<()> {
        let rank = |z: &mut [u64], rank: &dyn Fn(usize) -> usize| {
            for (i, z) in z.iter_mut().enumerate() {
                *z |= if column.is_null(i) { self.null_place } else { self.places[rank(i)] };
            }
        };
        macro_rules! rank_by {
            ($bounds:ident, $value:expr) => {{
                let value = $value;
                rank(z, &|i| {
                    let value = value(i);
                    $bounds.partition_point(|bound| *bound <= value)
                })
            }};
        }
        match (&self.bounds, column.data_type()) {
            (Bounds::Bool(b), DataType::Boolean) => {
                let values = column.as_boolean();
                rank_by!(b, |i| values.value(i));
            }
            (Bounds::Narrow(b), DataType::Int16) => {
                let values = column.as_primitive::<Int16Type>();
                rank_by!(b, |i| i64::from(values.value(i)));
            }
            (Bounds::Narrow(b), DataType::Int32) => {
                let values = column.as_primitive::<Int32Type>();
                rank_by!(b, |i| i64::from(values.value(i)));
            }
            (Bounds::Narrow(b), DataType::Date32) => {
                let values = column.as_primitive::<Date32Type>();
                rank_by!(b, |i| i64::from(values.value(i)));
            }
            (Bounds::Narrow(b), DataType::Int64) => {
                let values = column.as_primitive::<Int64Type>();
                rank_by!(b, |i| values.value(i));
            }
            (Bounds::Narrow(b), DataType::Time64(_)) => {
                let values = column.as_primitive::<Time64MicrosecondType>();
                rank_by!(b, |i| values.value(i));
            }
            (Bounds::Narrow(b), DataType::Timestamp(_, _)) => {
                let values = column.as_primitive::<TimestampMicrosecondType>();
                rank_by!(b, |i| values.value(i));
            }
            (Bounds::Wide(b), DataType::Decimal128(_, _)) => {
                let values = column.as_primitive::<Decimal128Type>();
                rank_by!(b, |i| values.value(i));
            }
            (Bounds::Float(b), DataType::Float32 | DataType::Float64) => {
                let value = float_values(column);
                rank(z, &|i| {
                    let value = value(i);
                    b.partition_point(|bound| bound.total_cmp(&value).is_le())
                });
            }
            (Bounds::Bytes(b), DataType::Utf8View) => {
                let values = column.as_string_view();
                rank(z, &|i| {
                    let value = values.value(i).as_bytes();
                    b.partition_point(|bound| bound.as_slice() <= value)
                });
            }
            (_, other) => return Err(Error::internal(format!("rows of {other} are ranked by bounds of another type"))),
        }
        Ok(())
    }
}

impl Bounds {
    fn new(bounds: &[Scalar], data_type: &DataType) -> Result<Self> {
        let wrong = || Error::internal(format!("a rank map has bounds that are no values of {data_type}"));
        macro_rules! all {
            ($pattern:pat => $value:expr) => {
                bounds
                    .iter()
                    .map(|bound| match bound {
                        $pattern => $value,
                        _ => None,
                    })
                    .collect::<Option<Vec<_>>>()
                    .ok_or_else(wrong)?
            };
        }
        Ok(match data_type {
            DataType::Boolean => Bounds::Bool(all!(Scalar::Bool(v) => Some(*v))),
            DataType::Decimal128(_, _) => Bounds::Wide(all!(Scalar::Int(v) => Some(*v))),
            DataType::Float32 | DataType::Float64 => Bounds::Float(all!(Scalar::Float(v) => Some(*v))),
            DataType::Utf8View => Bounds::Bytes(all!(Scalar::Bytes(v) => Some(v.clone()))),
            _ => Bounds::Narrow(all!(Scalar::Int(v) => i64::try_from(*v).ok())),
        })
    }
}

fn float_values(column: &ArrayRef) -> Box<dyn Fn(usize) -> f64 + '_> {
    match column.data_type() {
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>();
            Box::new(|i| f64::from(values.value(i)))
        }
        _ => {
            let values = column.as_primitive::<Float64Type>();
            Box::new(|i| values.value(i))
        }
    }
}

/// The bits of column `at`'s code where a Z value of `columns` columns has them: the first bits of all columns stand
/// highest, and among them that of the first column.
fn spread(code: u8, at: usize, columns: usize) -> u64 {
    (0..8).filter(|bit| code >> bit & 1 == 1).fold(0, |z, bit| z | 1 << (bit * columns + (columns - 1 - at)))
}

/// The upper four bits of column `at`'s code in a Z value: see [`RankColumn::coarse`].
fn coarse(z: u64, at: usize, columns: usize) -> usize {
    let bit = |bit: usize| (z >> (bit * columns + (columns - 1 - at)) & 1) as usize;
    bit(7) << 3 | bit(6) << 2 | bit(5) << 1 | bit(4)
}

/// Counts rows by the coarse ranks of each column.
#[derive(Debug)]
pub struct RankCounts {
    columns: usize,
    counts: Vec<u32>,
}

impl RankCounts {
    /// For Z values of so many columns; none for rows without Z values.
    pub fn new(columns: usize) -> Self {
        RankCounts { columns, counts: vec![0; columns * RankColumn::COARSE] }
    }

    pub fn add(&mut self, z: u64) {
        for at in 0..self.columns {
            self.counts[at * RankColumn::COARSE + coarse(z, at, self.columns)] += 1;
        }
    }

    /// What was counted since the last time.
    pub fn take(&mut self) -> Vec<u32> {
        std::mem::replace(&mut self.counts, vec![0; self.columns * RankColumn::COARSE])
    }
}

/// Some of the rows of a load, evenly spread over it, from which a rank map can be made.
///
/// Of each `stride` rows that follow each other one is kept, at a place that changes from one to the next, so that rows
/// which repeat themselves are not taken for all. When there are too many rows or bytes every other one goes.
#[derive(Debug)]
pub struct KeySample {
    columns: Vec<ColumnId>,
    /// Column by column the same rows; NULL is `None`.
    values: Vec<Vec<Option<Scalar>>>,
    stride: u64,
    seen: u64,
    bytes: usize,
}

impl KeySample {
    /// For the columns of an interleaved sort key.
    pub fn new(columns: &[ColumnId]) -> Self {
        KeySample { columns: columns.to_vec(), values: vec![Vec::new(); columns.len()], stride: 1, seen: 0, bytes: 0 }
    }

    /// Rows that it has seen.
    pub fn rows(&self) -> u64 {
        self.seen
    }

    /// Looks at further rows, given by their key columns.
    pub fn add(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let rows = columns.first().map_or(0, |c| c.len()) as u64;
        while (self.seen + rows).div_ceil(self.stride) > MAX_SAMPLED_ROWS {
            self.thin();
        }
        let mut picked = Vec::new();
        let mut block = self.seen / self.stride;
        while block * self.stride < self.seen + rows {
            let row = block * self.stride + scatter(block) % self.stride;
            if (self.seen..self.seen + rows).contains(&row) {
                picked.push((row - self.seen) as usize);
            }
            block += 1;
        }
        for (column, values) in columns.iter().zip(&mut self.values) {
            for row in &picked {
                let value = scalar_at(column, *row)?;
                self.bytes += value_bytes(&value);
                values.push(value);
            }
        }
        self.seen += rows;
        while self.bytes > MAX_SAMPLED_BYTES && self.values.first().is_some_and(|v| v.len() > 1) {
            self.thin();
        }
        Ok(())
    }

    /// The map of the rows seen, without a version.
    pub fn map(&self) -> RankMap {
        let columns = self.columns.iter().zip(&self.values).map(|(id, values)| rank_column(*id, values));
        RankMap { version: 0, columns: columns.collect() }
    }

    /// The greatest skew that the rows seen have by `map`; 1 of none.
    pub fn skew(&self, map: &RankMap) -> f64 {
        let skew = |(column, values): (&RankColumn, &Vec<Option<Scalar>>)| {
            column.skew(&counted(column, values).map(u64::from)).unwrap_or(1.0)
        };
        map.columns.iter().zip(&self.values).map(skew).fold(1.0, f64::max)
    }

    fn thin(&mut self) {
        self.stride *= 2;
        self.bytes = 0;
        for values in &mut self.values {
            let mut at = 0u64;
            values.retain(|_| {
                at += 1;
                (at - 1) % 2 == scatter((at - 1) / 2) % 2
            });
            self.bytes += values.iter().map(value_bytes).sum::<usize>();
        }
    }
}

/// Numbers in no order that data have (SplitMix64's finalizer: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014).
fn scatter(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// A key column's value; text is cut to [`RankColumn::MAX_BOUND_BYTES`].
fn scalar_at(column: &ArrayRef, row: usize) -> Result<Option<Scalar>> {
    if column.is_null(row) {
        return Ok(None);
    }
    let int = |v: i64| Scalar::Int(i128::from(v));
    Ok(Some(match column.data_type() {
        DataType::Boolean => Scalar::Bool(column.as_boolean().value(row)),
        DataType::Int16 => int(column.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => int(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Date32 => int(column.as_primitive::<Date32Type>().value(row).into()),
        DataType::Int64 => int(column.as_primitive::<Int64Type>().value(row)),
        DataType::Time64(_) => int(column.as_primitive::<Time64MicrosecondType>().value(row)),
        DataType::Timestamp(_, _) => int(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::Decimal128(_, _) => Scalar::Int(column.as_primitive::<Decimal128Type>().value(row)),
        DataType::Float32 | DataType::Float64 => Scalar::Float(float_values(column)(row)),
        DataType::Utf8View => {
            let value = column.as_string_view().value(row).as_bytes();
            Scalar::Bytes(value[..value.len().min(RankColumn::MAX_BOUND_BYTES)].to_vec())
        }
        other => return Err(Error::internal(format!("a column of {other} is no sort key"))),
    }))
}

fn value_bytes(value: &Option<Scalar>) -> usize {
    match value {
        Some(Scalar::Bytes(bytes)) => 32 + bytes.len(),
        _ => 32,
    }
}

/// Ranks that hold about equally many of the sampled values; each value one of its own where they are few.
fn rank_column(column: ColumnId, values: &[Option<Scalar>]) -> RankColumn {
    let mut sorted: Vec<&Scalar> = values.iter().flatten().collect();
    sorted.sort_by(|a, b| a.order(b).unwrap_or(std::cmp::Ordering::Equal));
    let nulls = sorted.len() < values.len();
    let most = RankColumn::MAX_RANKS - usize::from(nulls);
    // Where a value begins that differs from the one before.
    let begins: Vec<usize> =
        (1..sorted.len()).filter(|i| sorted[i - 1].order(sorted[*i]).is_some_and(|order| order.is_ne())).collect();
    let chosen: Vec<usize> = if begins.len() < most {
        begins
    } else {
        let nearest = |rank: usize| {
            let wanted = rank * sorted.len() / most;
            begins.get(begins.partition_point(|begin| *begin < wanted)).copied()
        };
        let mut chosen: Vec<usize> = (1..most).filter_map(nearest).collect();
        chosen.dedup();
        chosen
    };
    let bounds: Vec<Scalar> = chosen.into_iter().map(|at| separator(sorted[at - 1], sorted[at])).collect();
    let mut column = RankColumn { column, bounds, nulls, sampled: [0; RankColumn::COARSE] };
    column.sampled = counted(&column, values);
    column
}

/// How many of the values each coarse rank has.
fn counted(column: &RankColumn, values: &[Option<Scalar>]) -> [u32; RankColumn::COARSE] {
    let mut counts = [0; RankColumn::COARSE];
    for value in values {
        let code = match value {
            None => column.null_code(),
            Some(value) => {
                let not_above = |bound: &Scalar| bound.order(value).is_some_and(|order| order.is_le());
                column.code(column.bounds.partition_point(not_above))
            }
        };
        counts[RankColumn::coarse(code)] += 1;
    }
    counts
}

/// The least that has to be known of `above` to tell it from `below`: text is cut behind its first other byte.
fn separator(below: &Scalar, above: &Scalar) -> Scalar {
    match (below, above) {
        (Scalar::Bytes(below), Scalar::Bytes(above)) => {
            let same = below.iter().zip(above).take_while(|(a, b)| a == b).count();
            Scalar::Bytes(above[..(same + 1).min(above.len())].to_vec())
        }
        _ => above.clone(),
    }
}
