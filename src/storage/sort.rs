//! Sort keys of rows as numbers or bytes whose order is the rows' order: ascending, NULL last; by an interleaved key, the
//! order of Z values, then that of the columns in turn.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow::row::{RowConverter, Rows, SortField};

use super::interleave::Ranker;
use crate::catalog::RankMap;
use crate::common::{Result, SqlType};

/// Order-preserving keys of some rows.
#[derive(Debug)]
pub struct SortKeys {
    /// Z values, which come first; none where rows are not ranked.
    z: Option<Vec<u64>>,
    values: KeyValues,
}

#[derive(Debug)]
enum KeyValues {
    /// All key columns together fit 128 bits.
    Packed(Vec<u128>),
    /// Arrow's row format.
    Rows(Rows),
}

/// One row's sort key. Keys of one [`KeyEncoder`] can be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    z: u64,
    value: RowValue,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum RowValue {
    Packed(u128),
    Bytes(Vec<u8>),
}

/// Makes keys of batches that can be compared with each other.
#[derive(Debug)]
pub struct KeyEncoder {
    ranker: Option<Ranker>,
    /// Bits of each column, NULL bit included; `None` when they do not fit.
    packed: Option<Vec<u32>>,
    converter: RowConverter,
}

impl RowKey {
    /// Of every row where there are no key columns.
    pub const NONE: RowKey = RowKey { z: 0, value: RowValue::Packed(0) };
}

impl KeyEncoder {
    /// For key columns of these types; by `ranks`, whose columns they are, if rows are to be interleaved.
    pub fn new(types: &[SqlType], ranks: Option<&RankMap>) -> Result<Self> {
        let bits: Option<Vec<u32>> = types.iter().map(|t| packed_bits(*t)).collect();
        let packed = bits.filter(|bits| bits.iter().sum::<u32>() <= 128);
        let ascending = SortOptions { descending: false, nulls_first: false };
        let fields = types.iter().map(|t| SortField::new_with_options(t.arrow_type(), ascending)).collect();
        let arrow_types: Vec<DataType> = types.iter().map(|t| t.arrow_type()).collect();
        let ranker = ranks.map(|ranks| Ranker::new(ranks, &arrow_types)).transpose()?;
        Ok(KeyEncoder { ranker, packed, converter: RowConverter::new(fields)? })
    }

    /// The keys of rows whose key columns are `columns`.
    pub fn encode(&self, columns: &[ArrayRef]) -> Result<SortKeys> {
        let z = self.ranker.as_ref().map(|ranker| ranker.z_values(columns)).transpose()?;
        let Some(bits) = &self.packed else {
            return Ok(SortKeys { z, values: KeyValues::Rows(self.converter.convert_columns(columns)?) });
        };
        let mut keys = vec![0u128; columns.first().map_or(0, |c| c.len())];
        for (column, bits) in columns.iter().zip(bits) {
            append_column(column, *bits, &mut keys);
        }
        Ok(SortKeys { z, values: KeyValues::Packed(keys) })
    }
}

impl SortKeys {
    pub fn len(&self) -> usize {
        match &self.values {
            KeyValues::Packed(keys) => keys.len(),
            KeyValues::Rows(rows) => rows.num_rows(),
        }
    }

    /// The Z value of a row, if rows are ranked.
    pub fn z(&self, row: usize) -> Option<u64> {
        self.z.as_ref().map(|z| z[row])
    }

    /// The key of a row.
    pub fn key(&self, row: usize) -> RowKey {
        let value = match &self.values {
            KeyValues::Packed(keys) => RowValue::Packed(keys[row]),
            KeyValues::Rows(rows) => RowValue::Bytes(rows.row(row).as_ref().to_vec()),
        };
        RowKey { z: self.z(row).unwrap_or(0), value }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Puts rows, named by batch and row, into the order of their keys; equal ones keep the order given.
///
/// Invariant: `keys` come from one [`KeyEncoder`].
pub fn sort_rows(keys: &[&SortKeys], rows: &mut Vec<(u32, u32)>) {
    let packed: Option<Vec<&[u128]>> = keys
        .iter()
        .map(|k| match &k.values {
            KeyValues::Packed(keys) => Some(keys.as_slice()),
            KeyValues::Rows(_) => None,
        })
        .collect();
    let z: Option<Vec<&[u64]>> = keys.iter().map(|k| k.z.as_deref()).collect();
    let z = |batch: u32, row: u32| z.as_ref().map_or(0, |z| z[batch as usize][row as usize]);
    let ranked = keys.iter().any(|k| k.z.is_some());
    match packed {
        Some(packed) => {
            let narrow = packed.iter().all(|keys| keys.iter().all(|k| *k <= u128::from(u64::MAX)));
            let value = |batch: u32, row: u32| packed[batch as usize][row as usize];
            match (ranked, narrow) {
                (false, true) => sort_by_number(rows, |batch, row| value(batch, row) as u64),
                (false, false) => sort_by_number(rows, value),
                (true, true) => sort_by_number(rows, |batch, row| (z(batch, row), value(batch, row) as u64)),
                (true, false) => sort_by_number(rows, |batch, row| (z(batch, row), value(batch, row))),
            }
        }
        None => rows.sort_by(|a, b| {
            let row = |(batch, row): (u32, u32)| match &keys[batch as usize].values {
                KeyValues::Rows(rows) => rows.row(row as usize),
                KeyValues::Packed(_) => unreachable!("keys of one encoder have one form"),
            };
            z(a.0, a.1).cmp(&z(b.0, b.1)).then_with(|| row(*a).cmp(&row(*b)))
        }),
    }
}

fn sort_by_number<K: Ord + Copy>(rows: &mut Vec<(u32, u32)>, key: impl Fn(u32, u32) -> K) {
    let mut keyed: Vec<(K, u32)> =
        rows.iter().enumerate().map(|(i, (batch, row))| (key(*batch, *row), i as u32)).collect();
    if keyed.is_sorted() {
        return;
    }
    keyed.sort_unstable();
    *rows = keyed.into_iter().map(|(_, i)| rows[i as usize]).collect();
}

/// Bits of a value and its NULL bit; `None` for types without a fixed-width order.
fn packed_bits(sql_type: SqlType) -> Option<u32> {
    Some(match sql_type {
        SqlType::Boolean => 2,
        SqlType::SmallInt => 17,
        SqlType::Integer | SqlType::Date => 33,
        SqlType::BigInt | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz => 65,
        SqlType::Decimal { precision, .. } if precision <= SqlType::MAX_I64_PRECISION => 65,
        // Floats order by totalOrder only in the row format; text has no bound.
        SqlType::Decimal { .. }
        | SqlType::Real
        | SqlType::Double
        | SqlType::Char(_)
        | SqlType::Varchar(_)
        | SqlType::Varbyte(_)
        | SqlType::Super => return None,
    })
}

/// Shifts each key up by `bits` and puts the column's value in: a NULL bit, then the value with its sign bit turned.
fn append_column(column: &ArrayRef, bits: u32, keys: &mut [u128]) {
    let value_bits = bits - 1;
    let mask = (1u128 << value_bits) - 1;
    let sign = 1u128 << (value_bits - 1);
    let null = 1u128 << value_bits;
    let mut put = |value: &dyn Fn(usize) -> i128| {
        for (i, key) in keys.iter_mut().enumerate() {
            let part = if column.is_null(i) { null } else { (value(i) as u128 & mask) ^ sign };
            *key = *key << bits | part;
        }
    };
    match column.data_type() {
        DataType::Boolean => {
            let values = column.as_boolean();
            // One value bit: turning its sign turns FALSE and TRUE around, so the value is given turned already.
            put(&|i| i128::from(!values.value(i)));
        }
        DataType::Int16 => put(&|i| i128::from(column.as_primitive::<Int16Type>().value(i))),
        DataType::Int32 => put(&|i| i128::from(column.as_primitive::<Int32Type>().value(i))),
        DataType::Date32 => put(&|i| i128::from(column.as_primitive::<Date32Type>().value(i))),
        DataType::Int64 => put(&|i| i128::from(column.as_primitive::<Int64Type>().value(i))),
        DataType::Time64(_) => put(&|i| i128::from(column.as_primitive::<Time64MicrosecondType>().value(i))),
        DataType::Timestamp(_, _) => put(&|i| i128::from(column.as_primitive::<TimestampMicrosecondType>().value(i))),
        DataType::Decimal128(_, _) => put(&|i| column.as_primitive::<Decimal128Type>().value(i)),
        other => unreachable!("{other} has no packed form"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Int32Array, Int64Array, StringViewArray};

    use super::*;

    fn sorted(types: &[SqlType], columns: Vec<ArrayRef>) -> Vec<u32> {
        let encoder = KeyEncoder::new(types, None).unwrap();
        let keys = [&encoder.encode(&columns).unwrap()];
        let mut rows = (0..columns[0].len() as u32).map(|i| (0, i)).collect();
        sort_rows(&keys, &mut rows);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    #[test]
    fn numbers_ascend_and_null_is_last() {
        let column: ArrayRef = Arc::new(Int32Array::from(vec![None, Some(5), Some(-3), Some(i32::MIN), Some(0)]));
        assert_eq!(sorted(&[SqlType::Integer], vec![column]), [3, 2, 4, 1, 0]);
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
        assert_eq!(sorted(&[SqlType::Boolean], vec![flags]), [2, 0, 1]);
    }

    #[test]
    fn columns_count_in_turn_and_ties_keep_their_order() {
        let a: ArrayRef = Arc::new(Int32Array::from(vec![1, 0, 1, 0, 1]));
        let b: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 7, i64::MIN, 7, i64::MAX]));
        assert_eq!(sorted(&[SqlType::Integer, SqlType::BigInt], vec![a, b]), [1, 3, 2, 0, 4]);
    }

    #[test]
    fn text_orders_by_bytes() {
        let text: ArrayRef =
            Arc::new(StringViewArray::from(vec![Some("b"), None, Some(""), Some("a longer text"), Some("é")]));
        assert_eq!(sorted(&[SqlType::Varchar(20)], vec![text]), [2, 3, 0, 4, 1]);
    }
}
