//! Rows that a load holds until they are sorted, in few bytes: numbers as their distance to the smallest, text that repeats
//! as codes. A row of TPC-H's lineitem takes a third of what it takes in Arrow's arrays, so that more rows are sorted at
//! once, and gathering them reads less memory.

use arrow::array::ArrayRef;
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::ArrowNativeType;

use crate::common::texts::{same, spread};
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
    /// The code of each row, and the texts that they stand for.
    Codes(Vec<u8>, Texts),
    Texts(Texts),
    /// Of other types, and texts too long for [`Texts`] together.
    Plain(Values),
}

/// Whole numbers, each in as many bytes as the distance from the smallest to the largest takes.
#[derive(Debug)]
pub struct Numbers {
    rows: usize,
    base: i64,
    width: usize,
    /// Set where a number has bits.
    mask: u64,
    /// So that eight can be read wherever a number begins.
    bytes: Vec<u8>,
}

/// Byte strings one after another.
#[derive(Debug, Default)]
struct Texts {
    /// Where each ends.
    ends: Vec<u32>,
    /// So that [`COPIED`] can be read wherever a text begins.
    data: Vec<u8>,
}

/// So many bytes are copied of a text that is no longer, in one instruction.
const COPIED: usize = 16;
/// A column of text has codes when it has no more distinct texts in one batch.
const MAX_CODES: usize = 256;

impl PackedColumn {
    pub fn new(column: Column, sql_type: SqlType) -> Self {
        /// Bytes of a text that a view holds itself.
        const IN_VIEW: usize = 12;
        let rows = column.len();
        let arrow_bytes = match &column.values {
            Values::Bytes(values) if values.data_len() > IN_VIEW * rows => rows * size_of::<u128>() + values.data_len(),
            _ => rows * sql_type.arrow_type().primitive_width().unwrap_or(size_of::<u128>()),
        };
        let values = match column.values {
            Values::I16(values) => PackedValues::Numbers(Numbers::new(&values)),
            Values::I32(values) => PackedValues::Numbers(Numbers::new(&values)),
            Values::I64(values) => PackedValues::Numbers(Numbers::new(&values)),
            Values::Bytes(values) => PackedValues::of_bytes(values),
            other => PackedValues::Plain(other),
        };
        PackedColumn { values, validity: column.validity, rows, arrow_bytes }
    }

    /// What it takes.
    pub fn memory_bytes(&self) -> usize {
        let values = match &self.values {
            PackedValues::Numbers(numbers) => numbers.bytes.len(),
            PackedValues::Codes(codes, texts) => codes.len() + texts.memory_bytes(),
            PackedValues::Texts(texts) => texts.memory_bytes(),
            PackedValues::Plain(Values::Bytes(bytes)) => bytes.data_len() + bytes.len() * size_of::<i64>(),
            // The widest of them has as many.
            PackedValues::Plain(other) => other.len() * size_of::<i128>(),
        };
        values + self.validity.as_ref().map_or(0, |validity| validity.len() / 8)
    }

    /// What it would take as an array of Arrow's, about.
    pub fn arrow_bytes(&self) -> usize {
        self.arrow_bytes
    }

    /// The rows as an array of the type's.
    pub fn to_array(&self, sql_type: SqlType) -> Result<ArrayRef> {
        let rows: Vec<(u32, u32)> = (0..self.rows as u32).map(|row| (0, row)).collect();
        let column = gather(&[self], &rows, sql_type)?;
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

/// The chosen rows, by column and row, in stored form.
pub fn gather(columns: &[&PackedColumn], rows: &[(u32, u32)], sql_type: SqlType) -> Result<Column> {
    let values = match sql_type.stored() {
        Stored::I16 => Values::I16(numbers(columns, rows, |v| v as i16)?),
        Stored::I32 => Values::I32(numbers(columns, rows, |v| v as i32)?),
        Stored::I64 => Values::I64(numbers(columns, rows, |v| v)?),
        Stored::Bytes | Stored::Binary => Values::Bytes(texts(columns, rows)?),
        Stored::Bool => {
            let bools = plain(columns, |values| if let Values::Bool(v) = values { Some(v) } else { None })?;
            Values::Bool(BooleanBuffer::collect_bool(rows.len(), |i| {
                bools[rows[i].0 as usize].value(rows[i].1 as usize)
            }))
        }
        Stored::I128 => Values::I128(wide(columns, rows, |v| if let Values::I128(v) = v { Some(v) } else { None })?),
        Stored::F32 => Values::F32(wide(columns, rows, |v| if let Values::F32(v) = v { Some(v) } else { None })?),
        Stored::F64 => Values::F64(wide(columns, rows, |v| if let Values::F64(v) = v { Some(v) } else { None })?),
    };
    let validity = columns.iter().any(|column| column.validity.is_some()).then(|| {
        let valid = |(column, row): &(u32, u32)| {
            columns[*column as usize].validity.as_ref().is_none_or(|validity| validity.is_valid(*row as usize))
        };
        NullBuffer::from_iter(rows.iter().map(valid))
    });
    Ok(Column::new(values, validity))
}

impl Numbers {
    pub fn new<T: Copy + Into<i64>>(values: &[T]) -> Self {
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        for value in values {
            let value = (*value).into();
            (min, max) = (min.min(value), max.max(value));
        }
        // The distance of any two fits 64 bits without a sign.
        let range = max.wrapping_sub(min) as u64;
        let width = if values.is_empty() { 0 } else { (u64::BITS - range.leading_zeros()).div_ceil(8) as usize };
        let mut bytes = vec![0u8; values.len() * width + size_of::<u64>()];
        if width > 0 {
            for (i, value) in values.iter().enumerate() {
                let distance = (*value).into().wrapping_sub(min) as u64;
                // What this writes beyond its own bytes the next one writes again; at the end there is room.
                bytes[i * width..i * width + size_of::<u64>()].copy_from_slice(&distance.to_le_bytes());
            }
        }
        let mask = u64::MAX.checked_shr(u64::BITS - 8 * width as u32).unwrap_or(0);
        Numbers { rows: values.len(), base: min, width, mask, bytes }
    }

    pub fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    #[inline]
    pub fn get(&self, row: usize) -> i64 {
        let at = row * self.width;
        let word = self.bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        self.base.wrapping_add((word & self.mask) as i64)
    }
}

impl PackedValues {
    fn of_bytes(values: ByteValues) -> Self {
        if values.data_len() > u32::MAX as usize - COPIED {
            return PackedValues::Plain(Values::Bytes(values));
        }
        match coded(&values) {
            Some((codes, distinct)) => PackedValues::Codes(codes, distinct),
            None => PackedValues::Texts(Texts::of(values)),
        }
    }
}

/// The texts as codes, where there are few.
fn coded(values: &ByteValues) -> Option<(Vec<u8>, Texts)> {
    /// Open addressing; it is filled to a quarter at most.
    const PLACES: usize = 4 * MAX_CODES;
    const FREE: u16 = u16::MAX;
    let mut places = [FREE; PLACES];
    let mut distinct: Vec<&[u8]> = Vec::new();
    let mut codes = Vec::with_capacity(values.len());
    for i in 0..values.len() {
        let value = values.value(i);
        let mut place = spread(value) % PLACES;
        let code = loop {
            match places[place] {
                FREE if distinct.len() == MAX_CODES => return None,
                FREE => {
                    places[place] = distinct.len() as u16;
                    distinct.push(value);
                    break places[place];
                }
                code if same(distinct[code as usize], value) => break code,
                _ => place = (place + 1) % PLACES,
            }
        };
        codes.push(code as u8);
    }
    Some((codes, Texts::from_iter(distinct)))
}

impl Texts {
    /// Without copying, where nobody else has them.
    fn of(values: ByteValues) -> Self {
        let (first, last) = (values.offsets[0], values.offsets[values.len()]);
        let ByteValues { offsets, data } = values;
        if (first, last) != (0, data.len() as i64) {
            let copied = ByteValues { offsets, data };
            return (0..copied.len()).map(|i| copied.value(i)).collect();
        }
        let mut data = data.into_vec().unwrap_or_else(|shared| shared.to_vec());
        data.extend_from_slice(&[0; COPIED]);
        Texts { ends: offsets[1..].iter().map(|end| *end as u32).collect(), data }
    }

    fn memory_bytes(&self) -> usize {
        self.data.len() + self.ends.len() * size_of::<u32>()
    }

    #[inline]
    fn range(&self, i: usize) -> (usize, usize) {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        (start as usize, self.ends[i] as usize)
    }
}

impl<'a> FromIterator<&'a [u8]> for Texts {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(values: I) -> Self {
        let mut texts = Texts::default();
        for value in values {
            texts.data.extend_from_slice(value);
            texts.ends.push(texts.data.len() as u32);
        }
        texts.data.extend_from_slice(&[0; COPIED]);
        texts
    }
}

fn numbers<T: ArrowNativeType>(
    columns: &[&PackedColumn],
    rows: &[(u32, u32)],
    to: impl Fn(i64) -> T,
) -> Result<ScalarBuffer<T>> {
    let mut lanes = Vec::with_capacity(columns.len());
    for column in columns {
        let PackedValues::Numbers(numbers) = &column.values else { return Err(mixed()) };
        lanes.push(numbers);
    }
    Ok(rows.iter().map(|(column, row)| to(lanes[*column as usize].get(*row as usize))).collect())
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
    rows: &[(u32, u32)],
    of: impl Fn(&'c Values) -> Option<&'c ScalarBuffer<T>>,
) -> Result<ScalarBuffer<T>> {
    let values = plain(columns, of)?;
    Ok(rows.iter().map(|(column, row)| values[*column as usize][*row as usize]).collect())
}

fn texts(columns: &[&PackedColumn], rows: &[(u32, u32)]) -> Result<ByteValues> {
    enum Of<'c> {
        Codes(&'c [u8], &'c Texts),
        Texts(&'c Texts),
        Plain(&'c ByteValues),
    }
    let mut parts = Vec::with_capacity(columns.len());
    for column in columns {
        parts.push(match &column.values {
            PackedValues::Codes(codes, texts) => Of::Codes(codes, texts),
            PackedValues::Texts(texts) => Of::Texts(texts),
            PackedValues::Plain(Values::Bytes(values)) => Of::Plain(values),
            _ => return Err(mixed()),
        });
    }
    let mut offsets = Vec::with_capacity(rows.len() + 1);
    let mut data: Vec<u8> = vec![0; COPIED * rows.len() + COPIED];
    let mut at = 0;
    offsets.push(0i64);
    for (column, row) in rows {
        let (texts, i) = match &parts[*column as usize] {
            Of::Codes(codes, texts) => (*texts, usize::from(codes[*row as usize])),
            Of::Texts(texts) => (*texts, *row as usize),
            Of::Plain(values) => {
                let value = values.value(*row as usize);
                room(&mut data, at, value.len());
                data[at..at + value.len()].copy_from_slice(value);
                at += value.len();
                offsets.push(at as i64);
                continue;
            }
        };
        let (start, end) = texts.range(i);
        let length = end - start;
        room(&mut data, at, length);
        if length <= COPIED {
            data[at..at + COPIED].copy_from_slice(&texts.data[start..start + COPIED]);
        } else {
            data[at..at + length].copy_from_slice(&texts.data[start..end]);
        }
        at += length;
        offsets.push(at as i64);
    }
    data.truncate(at);
    Ok(ByteValues { offsets: OffsetBuffer::new(offsets.into()), data: Buffer::from_vec(data) })
}

/// Makes room for a text of this length, and for what is copied beyond a short one.
#[inline]
fn room(data: &mut Vec<u8>, at: usize, length: usize) {
    let end = at + length + COPIED;
    if end > data.len() {
        data.resize(end.max(data.len() * 2), 0);
    }
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

    #[test]
    fn numbers_come_back_whatever_their_range() {
        let mut rng = Rng::new(3);
        for bits in 0..=64u32 {
            let mask = u64::MAX.checked_shr(64 - bits).unwrap_or(0);
            let base = rng.next_u64() as i64;
            let values: Vec<i64> = (0..100).map(|_| base.wrapping_add((rng.next_u64() & mask) as i64)).collect();
            let numbers = Numbers::new(&values);
            assert_eq!((0..100).map(|i| numbers.get(i)).collect::<Vec<_>>(), values, "{bits}");
        }
        let ends = [i64::MIN, i64::MAX, 0, -1];
        assert_eq!([0, 1, 2, 3].map(|i| Numbers::new(&ends).get(i)), ends);
        assert_eq!(Numbers::new(&[7i64; 1000]).memory_bytes(), 8);
    }

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
            let packed = PackedColumn::new(Column::from_array(&array, sql_type).unwrap(), sql_type);
            assert_eq!(packed.to_array(sql_type).unwrap().as_ref(), array.as_ref(), "{sql_type}");
            let none = PackedColumn::new(Column::from_array(&array.slice(0, 0), sql_type).unwrap(), sql_type);
            assert!(none.to_array(sql_type).unwrap().is_empty());
        }
    }

    #[test]
    fn rows_are_gathered_from_where_they_are() {
        for (sql_type, array) in columns() {
            let part = |from, rows| {
                PackedColumn::new(Column::from_array(&array.slice(from, rows), sql_type).unwrap(), sql_type)
            };
            // Few texts and many, of one column.
            let parts = [part(0, 10), part(10, 500), part(510, 90)];
            let rows = [(2, 89), (0, 0), (1, 499), (1, 0), (0, 9), (2, 0), (1, 3), (1, 3)];
            let gathered = gather(&parts.each_ref(), &rows, sql_type).unwrap();
            let whole = Column::from_array(&array, sql_type).unwrap();
            for (i, (part, row)) in rows.iter().enumerate() {
                let at = [0, 10, 510][*part as usize] + *row as usize;
                assert_eq!(gathered.scalar(i), whole.scalar(at), "{sql_type}, {part}.{row}");
            }
        }
    }

    #[test]
    fn few_texts_have_codes() {
        let texts = |distinct: usize| {
            let values: Vec<String> = (0..2000).map(|i| format!("value {:3}", i % distinct)).collect();
            let array: ArrayRef = Arc::new(StringViewArray::from_iter_values(values));
            PackedColumn::new(Column::from_array(&array, SqlType::Varchar(20)).unwrap(), SqlType::Varchar(20))
        };
        assert!(matches!(texts(MAX_CODES).values, PackedValues::Codes(..)));
        assert!(matches!(texts(MAX_CODES + 1).values, PackedValues::Texts(_)));
        assert!(texts(10).memory_bytes() < 2500);
    }
}
