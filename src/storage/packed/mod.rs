//! Rows that a load holds until they are sorted, in few bytes: numbers as their distance to the smallest, text that repeats
//! as codes. A row of TPC-H's lineitem takes a third of what it takes in Arrow's arrays, so that more rows are sorted at
//! once, and gathering them reads less memory.

mod numbers;
mod pages;
mod runs;
mod texts;

use arrow::array::{Array, ArrayRef, BooleanBufferBuilder};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::ArrowNativeType;

pub use self::numbers::Numbers;
pub use self::pages::move_together;
pub use self::runs::Runs;
use self::texts::{Coded, IN_VIEW, MAX_BYTES, Part, Texts};
use super::gather::{gather as gather_arrays, gather_validity};
use crate::common::{Error, Result, SqlType, Stored};
use crate::format::column::{BuilderValues, ByteValues, Column, ColumnBuilder, Values};

/// Rows of a column.
#[derive(Debug)]
pub struct PackedColumn {
    values: PackedValues,
    validity: Option<NullBuffer>,
    rows: usize,
    arrow_bytes: usize,
}

#[derive(Debug)]
enum PackedValues {
    Numbers(Numbers),
    Coded(Coded),
    Texts(Texts),
    /// Of other types, and texts too long together for [`Texts`].
    Plain(Values),
}

/// An order of all rows of several batches.
#[derive(Debug)]
pub struct Order {
    /// Batch and row of each.
    rows: Vec<(u32, u32)>,
    /// The same, counted over all batches; `None` where they stand one after another.
    flat: Option<Vec<u32>>,
}

impl Order {
    /// `rows` are batch and row of each, of batches with these ends.
    pub fn new(rows: Vec<(u32, u32)>, ends: &[usize]) -> Self {
        let start = |batch: u32| batch.checked_sub(1).map_or(0, |before| ends[before as usize] as u32);
        let flat: Vec<u32> = rows.iter().map(|(batch, row)| start(*batch) + row).collect();
        let moved = flat.iter().zip(0..).any(|(from, to)| *from != to);
        Order { rows, flat: moved.then_some(flat) }
    }

    /// As they come.
    pub fn in_turn(ends: &[usize]) -> Self {
        let starts = std::iter::once(&0).chain(ends);
        let rows =
            |(at, (start, end)): (usize, (&usize, &usize))| (0..end - start).map(move |row| (at as u32, row as u32));
        Order { rows: starts.zip(ends).enumerate().flat_map(rows).collect(), flat: None }
    }

    pub fn rows(&self) -> &[(u32, u32)] {
        &self.rows
    }
}

impl PackedColumn {
    /// The rows of arrays of the type's, in this order.
    ///
    /// Errors: Invalid when a decimal has more digits than its declared precision.
    pub fn of_arrays(arrays: &[&dyn Array], order: &Order, sql_type: SqlType) -> Result<Self> {
        let rows = order.rows.len();
        let mut arrow_bytes = rows * sql_type.arrow_type().primitive_width().unwrap_or(size_of::<u128>());
        let values = match sql_type.stored() {
            Stored::I16 | Stored::I32 | Stored::I64 => {
                let parts = arrays.iter().map(|array| Ok(Column::from_array(*array, sql_type)?.values));
                let numbers = Numbers::of_parts(&parts.collect::<Result<Vec<_>>>()?)?;
                PackedValues::Numbers(match &order.flat {
                    Some(flat) => numbers.ordered(flat),
                    None => numbers,
                })
            }
            _ => match Coded::of_arrays(arrays) {
                Some((coded, beyond_views)) => {
                    arrow_bytes += beyond_views;
                    PackedValues::Coded(match &order.flat {
                        Some(flat) => coded.ordered(flat),
                        None => coded,
                    })
                }
                None => match gather_arrays(arrays, &order.rows, sql_type)?.values {
                    Values::Bytes(values) => {
                        arrow_bytes += Some(values.data_len()).filter(|len| *len > IN_VIEW * rows).unwrap_or(0);
                        PackedValues::of_bytes(values)
                    }
                    other => PackedValues::Plain(other),
                },
            },
        };
        Ok(PackedColumn { values, validity: gather_validity(arrays, &order.rows), rows, arrow_bytes })
    }

    /// What it takes.
    pub fn memory_bytes(&self) -> usize {
        let values = match &self.values {
            PackedValues::Numbers(numbers) => numbers.memory_bytes(),
            PackedValues::Coded(coded) => coded.memory_bytes(),
            PackedValues::Texts(texts) => texts.memory_bytes(),
            PackedValues::Plain(Values::Bytes(bytes)) => bytes.data_len() + bytes.len() * size_of::<i64>(),
            // The widest of them has as many.
            PackedValues::Plain(other) => other.len() * size_of::<i128>(),
        };
        values + self.validity.as_ref().map_or(0, |validity| validity.len() / 8)
    }

    /// What holds most of it.
    pub fn buffers(&mut self) -> Vec<&mut Buffer> {
        match &mut self.values {
            PackedValues::Numbers(numbers) => vec![numbers.buffer()],
            PackedValues::Coded(coded) => vec![coded.buffer()],
            PackedValues::Texts(texts) => texts.buffers().into(),
            PackedValues::Plain(_) => Vec::new(),
        }
    }

    /// What it would take as an array of Arrow's, about.
    pub fn arrow_bytes(&self) -> usize {
        self.arrow_bytes
    }

    /// The rows as an array of the type's.
    pub fn to_array(&self, sql_type: SqlType) -> Result<ArrayRef> {
        let column = gather(&[self], &(0..self.rows as u32).map(|row| (0, row)).collect(), sql_type)?;
        let mut builder = ColumnBuilder::new(sql_type, self.rows);
        match (column.values, &mut builder.values) {
            (Values::Bool(from), BuilderValues::Bool(to)) => to.append_buffer(&from),
            (Values::I16(from), BuilderValues::I16(to)) => to.extend_from_slice(&from),
            (Values::I32(from), BuilderValues::I32(to)) => to.extend_from_slice(&from),
            (Values::I64(from), BuilderValues::I64(to)) => to.extend_from_slice(&from),
            (Values::I64(from), BuilderValues::I128(to)) => to.extend(from.iter().map(|v| i128::from(*v))),
            (Values::I128(from), BuilderValues::I128(to)) => to.extend_from_slice(&from),
            (Values::F32(from), BuilderValues::F32(to)) => to.extend_from_slice(&from),
            (Values::F64(from), BuilderValues::F64(to)) => to.extend_from_slice(&from),
            (Values::Bytes(from), BuilderValues::Views(to)) => {
                (0..from.len()).try_for_each(|i| to.push_checked(from.value(i)))?;
            }
            (values, _) => return Err(Error::internal(format!("{values:?} are no values of type {sql_type}"))),
        }
        match &column.validity {
            Some(validity) => builder.validity.append_buffer(validity),
            None => builder.validity.append_n_non_nulls(self.rows),
        }
        builder.finish()
    }
}

/// The chosen rows, in stored form.
pub fn gather(columns: &[&PackedColumn], chosen: &Runs, sql_type: SqlType) -> Result<Column> {
    let values = match sql_type.stored() {
        Stored::I16 => Values::I16(numbers(columns, chosen, |v| v as i16)?),
        Stored::I32 => Values::I32(numbers(columns, chosen, |v| v as i32)?),
        Stored::I64 => Values::I64(numbers(columns, chosen, |v| v)?),
        Stored::Bytes | Stored::Binary => {
            let mut parts = Vec::with_capacity(columns.len());
            for column in columns {
                parts.push(match &column.values {
                    PackedValues::Coded(coded) => Part::Coded(coded),
                    PackedValues::Texts(texts) => Part::Texts(texts),
                    PackedValues::Plain(Values::Bytes(values)) => Part::Plain(values),
                    _ => return Err(mixed()),
                });
            }
            Values::Bytes(texts::gather(&parts, chosen))
        }
        Stored::Bool => {
            let columns = plain(columns, |values| if let Values::Bool(v) = values { Some(v) } else { None })?;
            let mut bools = BooleanBufferBuilder::new(chosen.rows());
            for (column, rows) in chosen.iter() {
                rows.for_each(|row| bools.append(columns[column].value(row)));
            }
            Values::Bool(bools.finish())
        }
        Stored::I128 => Values::I128(wide(columns, chosen, |v| if let Values::I128(v) = v { Some(v) } else { None })?),
        Stored::F32 => Values::F32(wide(columns, chosen, |v| if let Values::F32(v) = v { Some(v) } else { None })?),
        Stored::F64 => Values::F64(wide(columns, chosen, |v| if let Values::F64(v) = v { Some(v) } else { None })?),
    };
    let validity = columns.iter().any(|column| column.validity.is_some()).then(|| {
        let mut valid = BooleanBufferBuilder::new(chosen.rows());
        for (column, rows) in chosen.iter() {
            match &columns[column].validity {
                Some(validity) => rows.for_each(|row| valid.append(validity.is_valid(row))),
                None => valid.append_n(rows.len(), true),
            }
        }
        NullBuffer::new(valid.finish())
    });
    Ok(Column::new(values, validity))
}

impl PackedValues {
    fn of_bytes(values: ByteValues) -> Self {
        if values.data_len() > MAX_BYTES {
            return PackedValues::Plain(Values::Bytes(values));
        }
        PackedValues::Texts(Texts::new(values))
    }
}

fn numbers<T: ArrowNativeType>(
    columns: &[&PackedColumn],
    chosen: &Runs,
    to: impl Fn(i64) -> T + Copy,
) -> Result<ScalarBuffer<T>> {
    let mut lanes = Vec::with_capacity(columns.len());
    for column in columns {
        let PackedValues::Numbers(numbers) = &column.values else { return Err(mixed()) };
        lanes.push(numbers);
    }
    let mut values = Vec::with_capacity(chosen.rows());
    for (column, rows) in chosen.iter() {
        values.extend(lanes[column].of_rows(rows).map(to));
    }
    Ok(values.into())
}

fn plain<'c, V>(columns: &[&'c PackedColumn], of: impl Fn(&'c Values) -> Option<&'c V>) -> Result<Vec<&'c V>> {
    let values = |column: &&'c PackedColumn| match &column.values {
        PackedValues::Plain(values) => of(values),
        _ => None,
    };
    columns.iter().map(values).collect::<Option<_>>().ok_or_else(mixed)
}

fn wide<'c, T: ArrowNativeType>(
    columns: &[&'c PackedColumn],
    chosen: &Runs,
    of: impl Fn(&'c Values) -> Option<&'c ScalarBuffer<T>>,
) -> Result<ScalarBuffer<T>> {
    let columns = plain(columns, of)?;
    let mut values = Vec::with_capacity(chosen.rows());
    for (column, rows) in chosen.iter() {
        values.extend_from_slice(&columns[column][rows]);
    }
    Ok(values.into())
}

fn mixed() -> Error {
    Error::internal("a column's rows are held as of several types")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Array, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array,
        Int64Array, StringViewArray,
    };

    use super::*;
    use crate::testing::rng::Rng;

    fn columns() -> Vec<(SqlType, ArrayRef)> {
        let some = |i: i64| (i % 7 != 3).then_some(i);
        let n = 600i64;
        let word = |i: i64| {
            some(i).map(|i| "abcdefghijklmnopqrstuvwxyzäöü".repeat(i as usize % 3)[..].to_string() + &i.to_string())
        };
        vec![
            (SqlType::SmallInt, Arc::new(Int16Array::from_iter((0..n).map(|i| some(i).map(|i| i as i16 - 300))))),
            (SqlType::BigInt, Arc::new(Int64Array::from_iter((0..n).map(|i| some(i).map(|i| i << 40))))),
            (SqlType::Date, Arc::new(Date32Array::from_iter((0..n).map(|i| some(i).map(|i| i as i32))))),
            (SqlType::Boolean, Arc::new(BooleanArray::from_iter((0..n).map(|i| some(i).map(|i| i % 2 == 0))))),
            (SqlType::Real, Arc::new(Float32Array::from_iter((0..n).map(|i| some(i).map(|i| i as f32 / 3.0))))),
            (SqlType::Double, Arc::new(Float64Array::from_iter((0..n).map(|i| some(i).map(|i| i as f64 / 3.0))))),
            (
                SqlType::Decimal { precision: 12, scale: 2 },
                Arc::new(
                    Decimal128Array::from_iter((0..n).map(|i| some(i).map(|i| i128::from(i) * 100)))
                        .with_precision_and_scale(12, 2)
                        .unwrap(),
                ),
            ),
            (
                SqlType::Decimal { precision: 38, scale: 2 },
                Arc::new(
                    Decimal128Array::from_iter((0..n).map(|i| some(i).map(|i| i128::from(i) << 90)))
                        .with_precision_and_scale(38, 2)
                        .unwrap(),
                ),
            ),
            (SqlType::Varchar(100), Arc::new(StringViewArray::from_iter((0..n).map(word)))),
            (SqlType::Varchar(100), Arc::new(StringViewArray::from_iter((0..n).map(|i| word(i % 40))))),
            (
                SqlType::Varbyte(100),
                Arc::new(BinaryViewArray::from_iter((0..n).map(|i| word(i).map(String::into_bytes)))),
            ),
        ]
    }

    #[test]
    fn columns_of_every_type_come_back() {
        for (sql_type, array) in columns() {
            let packed = |array: &ArrayRef| {
                PackedColumn::of_arrays(&[array], &Order::in_turn(&[array.len()]), sql_type).unwrap()
            };
            assert_eq!(packed(&array).to_array(sql_type).unwrap().as_ref(), array.as_ref(), "{sql_type}");
            let none = packed(&array.slice(0, 0));
            assert!(none.to_array(sql_type).unwrap().is_empty());
        }
    }

    /// As a gather of the arrays has them: rows of every type, few texts and many, NULL, and any order over several arrays.
    #[test]
    fn arrays_are_packed_in_an_order() {
        let mut rng = Rng::new(11);
        for (sql_type, array) in columns() {
            for parts in [vec![0, 600], vec![0, 1, 300, 300, 600], vec![0, 30, 60]] {
                let parts: Vec<ArrayRef> = parts.windows(2).map(|p| array.slice(p[0], p[1] - p[0])).collect();
                let arrays: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
                let ends: Vec<usize> = arrays
                    .iter()
                    .scan(0, |end, array| {
                        *end += array.len();
                        Some(*end)
                    })
                    .collect();
                let mut rows = Order::in_turn(&ends).rows;
                for moved in [false, true] {
                    if moved {
                        (1..rows.len()).rev().for_each(|i| rows.swap(i, rng.below(i + 1)));
                    }
                    let order = Order::new(rows.clone(), &ends);
                    assert_eq!(order.flat.is_some(), moved);
                    let packed = PackedColumn::of_arrays(&arrays, &order, sql_type).unwrap();
                    let all = (0..rows.len() as u32).map(|row| (0, row)).collect();
                    let packed = gather(&[&packed], &all, sql_type).unwrap();
                    let expected = gather_arrays(&arrays, &rows, sql_type).unwrap();
                    for (i, row) in rows.iter().enumerate() {
                        assert_eq!(packed.scalar(i), expected.scalar(i), "{sql_type}, {row:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_are_gathered_from_where_they_are() {
        for (sql_type, array) in columns() {
            let part = |from, rows| {
                PackedColumn::of_arrays(&[&array.slice(from, rows)], &Order::in_turn(&[rows]), sql_type).unwrap()
            };
            // Few texts and many, of one column.
            let parts = [part(0, 10), part(10, 500), part(510, 90)];
            let rows = [(2, 89), (0, 0), (1, 499), (1, 0), (0, 9), (2, 0), (1, 3), (1, 3)];
            let gathered = gather(&parts.each_ref(), &rows.into_iter().collect(), sql_type).unwrap();
            let whole = Column::from_array(&array, sql_type).unwrap();
            for (i, (part, row)) in rows.iter().enumerate() {
                let at = [0, 10, 510][*part as usize] + *row as usize;
                assert_eq!(gathered.scalar(i), whole.scalar(at), "{sql_type}, {part}.{row}");
            }
        }
    }

    #[test]
    fn few_texts_have_codes() {
        let of_distinct = |distinct: usize| {
            let values: Vec<String> = (0..2000).map(|i| format!("value {:3}", i % distinct)).collect();
            let array: ArrayRef = Arc::new(StringViewArray::from_iter_values(values));
            PackedColumn::of_arrays(&[&array], &Order::in_turn(&[2000]), SqlType::Varchar(20)).unwrap()
        };
        assert!(matches!(of_distinct(texts::MAX_CODES).values, PackedValues::Coded(_)));
        assert!(matches!(of_distinct(texts::MAX_CODES + 1).values, PackedValues::Texts(_)));
        assert!(of_distinct(10).memory_bytes() < 2500);
    }

    /// Codes go with the rows while those of all parts that have any suffice, and are those of the texts.
    #[test]
    fn codes_of_gathered_texts_are_theirs() {
        let sql_type = SqlType::Varchar(20);
        let part = |from: usize, distinct: usize| {
            let text = |i: usize| (i % 5 != 2).then(|| format!("text {}", from + i % distinct));
            let array: ArrayRef = Arc::new(StringViewArray::from_iter((0..600).map(text)));
            PackedColumn::of_arrays(&[&array], &Order::in_turn(&[600]), sql_type).unwrap()
        };
        let parts = [part(0, 150), part(100, 100), part(200, 60), part(1000, 200)];
        for (chosen, coded) in [(vec![0, 1], true), (vec![2, 0, 1], true), (vec![3], true), (vec![0, 3], false)] {
            let rows: Vec<(u32, u32)> = (0..600).flat_map(|row| chosen.iter().map(move |part| (*part, row))).collect();
            let gathered = gather(&parts.each_ref(), &rows.iter().copied().collect(), sql_type).unwrap();
            for (i, (part, row)) in rows.iter().enumerate() {
                let alone = gather(&[&parts[*part as usize]], &[(0, *row)].into_iter().collect(), sql_type).unwrap();
                assert_eq!(gathered.scalar(i), alone.scalar(0), "{part}.{row}");
            }
            let Values::Bytes(values) = &gathered.values else { panic!("{gathered:?}") };
            assert_eq!(values.codes.is_some(), coded, "{chosen:?}");
            if let Some(codes) = &values.codes {
                (0..values.len()).for_each(|i| assert_eq!(codes.texts[usize::from(codes.of_rows[i])], values.value(i)));
            }
        }
    }
}
