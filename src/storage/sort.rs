//! Sort keys of rows as numbers or bytes whose order is the rows' order: ascending, NULL last.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow::row::{RowConverter, Rows, SortField};

use crate::common::{Result, SqlType};

/// Order-preserving keys of some rows.
#[derive(Debug)]
pub enum SortKeys {
    /// All key columns together fit 128 bits.
    Packed(Vec<u128>),
    /// Arrow's row format.
    Rows(Rows),
}

/// Makes keys of batches that can be compared with each other.
#[derive(Debug)]
pub struct KeyEncoder {
    /// Bits of each column, NULL bit included; `None` when they do not fit.
    packed: Option<Vec<u32>>,
    converter: RowConverter,
}

impl KeyEncoder {
    /// For key columns of these types.
    pub fn new(types: &[SqlType]) -> Result<Self> {
        let bits: Option<Vec<u32>> = types.iter().map(|t| packed_bits(*t)).collect();
        let packed = bits.filter(|bits| bits.iter().sum::<u32>() <= 128);
        let ascending = SortOptions { descending: false, nulls_first: false };
        let fields = types.iter().map(|t| SortField::new_with_options(t.arrow_type(), ascending)).collect();
        Ok(KeyEncoder { packed, converter: RowConverter::new(fields)? })
    }

    /// The keys of rows whose key columns are `columns`.
    pub fn encode(&self, columns: &[ArrayRef]) -> Result<SortKeys> {
        let Some(bits) = &self.packed else {
            return Ok(SortKeys::Rows(self.converter.convert_columns(columns)?));
        };
        let mut keys = vec![0u128; columns.first().map_or(0, |c| c.len())];
        for (column, bits) in columns.iter().zip(bits) {
            append_column(column, *bits, &mut keys);
        }
        Ok(SortKeys::Packed(keys))
    }
}

impl SortKeys {
    pub fn len(&self) -> usize {
        match self {
            SortKeys::Packed(keys) => keys.len(),
            SortKeys::Rows(rows) => rows.num_rows(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Puts rows, named by batch and row, into the order of their keys; equal ones keep the order given.
///
/// Invariant: `keys` come from one [`KeyEncoder`].
pub fn sort_rows(keys: &[SortKeys], rows: &mut Vec<(u32, u32)>) {
    let packed: Option<Vec<&[u128]>> = keys
        .iter()
        .map(|k| match k {
            SortKeys::Packed(keys) => Some(keys.as_slice()),
            SortKeys::Rows(_) => None,
        })
        .collect();
    match packed {
        Some(packed) => {
            let narrow = packed.iter().all(|keys| keys.iter().all(|k| *k <= u128::from(u64::MAX)));
            if narrow {
                sort_by_number(rows, |batch, row| packed[batch as usize][row as usize] as u64);
            } else {
                sort_by_number(rows, |batch, row| packed[batch as usize][row as usize]);
            }
        }
        None => rows.sort_by(|a, b| {
            let key = |(batch, row): (u32, u32)| match &keys[batch as usize] {
                SortKeys::Rows(rows) => rows.row(row as usize),
                SortKeys::Packed(_) => unreachable!("keys of one encoder have one form"),
            };
            key(*a).cmp(&key(*b))
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
        let encoder = KeyEncoder::new(types).unwrap();
        let keys = [encoder.encode(&columns).unwrap()];
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
