//! Sort keys of rows as numbers or bytes whose order is the rows' order: ascending, NULL last; by an interleaved key, the
//! order of Z values, then that of the columns in turn.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::Buffer;
use arrow::compute::SortOptions;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow::row::{RowConverter, Rows, SortField};

use super::interleave::Ranker;
use super::packed::Numbers;
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
    /// The same where those of the rows fit 64.
    Words(Numbers),
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

    /// The keys of chosen rows, by batch and row, in little memory.
    pub fn gather(&self, keys: &[SortKeys], rows: &[(u32, u32)]) -> SortKeys {
        let ranked = keys.iter().any(|keys| keys.z.is_some());
        let z = ranked.then(|| rows.iter().map(|(batch, row)| keys[*batch as usize].z(*row as usize).unwrap_or(0)));
        let z = z.map(Iterator::collect);
        if self.packed.is_none() {
            let mut chosen = self.converter.empty_rows(rows.len(), 0);
            for (batch, row) in rows {
                if let KeyValues::Rows(rows) = &keys[*batch as usize].values {
                    chosen.push(rows.row(*row as usize));
                }
            }
            return SortKeys { z, values: KeyValues::Rows(chosen) };
        }
        let packed: Vec<u128> =
            rows.iter().map(|(batch, row)| keys[*batch as usize].values.packed(*row as usize)).collect();
        let words: Option<Vec<i64>> = packed.iter().map(|key| u64::try_from(*key).ok().map(|key| key as i64)).collect();
        let values = words.map_or(KeyValues::Packed(packed), |words| KeyValues::Words(Numbers::new(&words)));
        SortKeys { z, values }
    }
}

impl KeyValues {
    fn words(&self) -> Option<&Numbers> {
        match self {
            KeyValues::Words(keys) => Some(keys),
            _ => None,
        }
    }

    /// Invariant: the key has such a form, which all of one encoder have or none.
    #[inline]
    fn packed(&self, row: usize) -> u128 {
        match self {
            KeyValues::Packed(keys) => keys[row],
            KeyValues::Words(keys) => u128::from(keys.get(row) as u64),
            KeyValues::Rows(_) => unreachable!("keys of one encoder have one form"),
        }
    }
}

impl SortKeys {
    pub fn memory_bytes(&self) -> usize {
        let values = match &self.values {
            KeyValues::Packed(keys) => keys.len() * size_of::<u128>(),
            KeyValues::Words(keys) => keys.memory_bytes(),
            KeyValues::Rows(rows) => rows.size(),
        };
        values + self.z.as_ref().map_or(0, |z| z.len() * size_of::<u64>())
    }

    /// What holds them, where it can be moved.
    pub fn buffer(&mut self) -> Option<&mut Buffer> {
        match &mut self.values {
            KeyValues::Words(keys) => Some(keys.buffer()),
            KeyValues::Packed(_) | KeyValues::Rows(_) => None,
        }
    }

    pub fn len(&self) -> usize {
        match &self.values {
            KeyValues::Packed(keys) => keys.len(),
            KeyValues::Words(keys) => keys.len(),
            KeyValues::Rows(rows) => rows.num_rows(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The Z value of a row, if rows are ranked.
    pub fn z(&self, row: usize) -> Option<u64> {
        self.z.as_ref().map(|z| z[row])
    }

    /// The first of some rows, whose keys ascend, that has this key or a higher one; else the end.
    pub fn first_at(&self, key: &RowKey, rows: Range<usize>) -> usize {
        let (mut low, mut high) = (rows.start, rows.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key(middle) < *key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The key of a row.
    pub fn key(&self, row: usize) -> RowKey {
        let value = match &self.values {
            KeyValues::Packed(_) | KeyValues::Words(_) => RowValue::Packed(self.values.packed(row)),
            KeyValues::Rows(rows) => RowValue::Bytes(rows.row(row).as_ref().to_vec()),
        };
        RowKey { z: self.z(row).unwrap_or(0), value }
    }
}

/// Puts rows, named by batch and row, into the order of their keys; equal ones keep the order given.
///
/// Invariant: `keys` come from one [`KeyEncoder`].
pub fn sort_rows(keys: &[&SortKeys], rows: &mut [(u32, u32)]) {
    sort_by_keys(keys, rows, |(batch, row)| (batch as usize, row as usize));
}

fn sort_by_keys<R: Copy>(keys: &[&SortKeys], rows: &mut [R], at: impl Fn(R) -> (usize, usize)) {
    let z: Option<Vec<&[u64]>> = keys.iter().map(|k| k.z.as_deref()).collect();
    let z = |row: R| {
        let (batch, row) = at(row);
        z.as_ref().map_or(0, |z| z[batch][row])
    };
    let ranked = keys.iter().any(|k| k.z.is_some());
    if keys.iter().any(|keys| matches!(keys.values, KeyValues::Rows(_))) {
        return rows.sort_by(|a, b| {
            let value = |row: R| {
                let (batch, row) = at(row);
                match &keys[batch].values {
                    KeyValues::Rows(rows) => rows.row(row),
                    _ => unreachable!("keys of one encoder have one form"),
                }
            };
            z(*a).cmp(&z(*b)).then_with(|| value(*a).cmp(&value(*b)))
        });
    }
    let value = |row: R| {
        let (batch, row) = at(row);
        keys[batch].values.packed(row)
    };
    let words: Option<Vec<&Numbers>> = keys.iter().map(|keys| keys.values.words()).collect();
    if let (Some(words), false) = (words, ranked) {
        return sort_by_word(rows, |row| {
            let (batch, row) = at(row);
            words[batch].get(row) as u64
        });
    }
    let narrow = rows.iter().all(|row| value(*row) <= u128::from(u64::MAX));
    match (ranked, narrow) {
        (false, true) => sort_by_word(rows, |row| value(row) as u64),
        (false, false) => sort_by_number(rows, value),
        (true, true) => sort_by_number(rows, |row| (z(row), value(row) as u64)),
        (true, false) => sort_by_number(rows, |row| (z(row), value(row))),
    }
}

fn sort_by_number<R: Copy, K: Ord + Copy>(rows: &mut [R], key: impl Fn(R) -> K) {
    let mut keyed: Vec<(K, u32)> = rows.iter().enumerate().map(|(i, row)| (key(*row), i as u32)).collect();
    if keyed.is_sorted() {
        return;
    }
    keyed.sort_unstable();
    reorder(rows, keyed.into_iter().map(|(_, i)| i as usize));
}

/// Keys of 64 bits: counted where they lie close together, as dates do, else sorted together with their places in a word
/// where both fit one.
fn sort_by_word<R: Copy>(rows: &mut [R], key: impl Fn(R) -> u64) {
    let keys: Vec<u64> = rows.iter().map(|row| key(*row)).collect();
    let (Some(min), Some(max)) = (keys.iter().min().copied(), keys.iter().max().copied()) else { return };
    if keys.is_sorted() {
        return;
    }
    let range = max - min;
    if range < MOST_COUNTED.min(COUNTED_PER_ROW * rows.len() as u64) {
        let mut places = vec![0u32; range as usize + 2];
        keys.iter().for_each(|key| places[(key - min) as usize + 1] += 1);
        for i in 1..places.len() {
            places[i] += places[i - 1];
        }
        let before = rows.to_vec();
        for (key, row) in keys.into_iter().zip(before) {
            let place = &mut places[(key - min) as usize];
            rows[*place as usize] = row;
            *place += 1;
        }
        return;
    }
    let place_bits = usize::BITS - (rows.len() - 1).leading_zeros();
    if u64::BITS - range.leading_zeros() + place_bits > u64::BITS {
        return sort_by_number(rows, key);
    }
    let mut keyed: Vec<u64> =
        keys.into_iter().enumerate().map(|(i, key)| (key - min) << place_bits | i as u64).collect();
    keyed.sort_unstable();
    let mask = (1u64 << place_bits) - 1;
    reorder(rows, keyed.into_iter().map(|key| (key & mask) as usize));
}

/// Keys are counted where there are at most so many from the smallest to the largest: what is counted stays in a cache.
const MOST_COUNTED: u64 = 1 << 18;
/// … and no more than so many for each row.
const COUNTED_PER_ROW: u64 = 4;

fn reorder<R: Copy>(rows: &mut [R], order: impl Iterator<Item = usize>) {
    let before = rows.to_vec();
    for (row, i) in rows.iter_mut().zip(order) {
        *row = before[i];
    }
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
        let mut rows: Vec<(u32, u32)> = (0..columns[0].len() as u32).map(|i| (0, i)).collect();
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

    /// Keys near each other and far apart, of which some repeat, in batches: as a stable sort has them.
    #[test]
    fn numbers_of_every_range_are_sorted_stably() {
        let mut rng = crate::testing::rng::Rng::new(7);
        for (range, rows) in [(1, 50), (3, 1000), (100, 20), (4_000, 1000), (1 << 40, 3000), (u64::MAX, 3000)] {
            let values: Vec<i64> = (0..rows).map(|_| (rng.next_u64() % range) as i64).collect();
            let encoder = KeyEncoder::new(&[SqlType::BigInt], None).unwrap();
            let keys: Vec<SortKeys> = values
                .chunks(rows / 2)
                .map(|half| encoder.encode(&[Arc::new(Int64Array::from(half.to_vec())) as ArrayRef]).unwrap())
                .collect();
            let value = |(batch, row): (u32, u32)| values[batch as usize * (rows / 2) + row as usize];
            let mut sorted: Vec<(u32, u32)> =
                (0..rows as u32).map(|i| (i / (rows as u32 / 2), i % (rows as u32 / 2))).collect();
            let mut expected = sorted.clone();
            expected.sort_by_key(|row| value(*row));
            sort_rows(&keys.iter().collect::<Vec<_>>(), &mut sorted);
            assert_eq!(sorted, expected, "{range}");
        }
    }

    #[test]
    fn text_orders_by_bytes() {
        let text: ArrayRef =
            Arc::new(StringViewArray::from(vec![Some("b"), None, Some(""), Some("a longer text"), Some("é")]));
        assert_eq!(sorted(&[SqlType::Varchar(20)], vec![text]), [2, 3, 0, 4, 1]);
    }
}
