//! A column's rows in stored form, on the way in ([`Column`]) and on the way out ([`ColumnBuilder`]).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, BooleanBufferBuilder, Decimal128Array, GenericByteArray,
    GenericByteViewArray, NullBufferBuilder, PrimitiveArray, StringViewArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, ByteArrayType, ByteViewType, DataType, Date32Type, Decimal128Type,
    Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};

use crate::common::sql_type::UTC;
use crate::common::{Error, Result, Scalar, SqlState, SqlType, Stored};

/// Values in stored form. Slots of NULL rows hold any value.
#[derive(Debug, Clone)]
pub enum Values {
    Bool(BooleanBuffer),
    I16(ScalarBuffer<i16>),
    I32(ScalarBuffer<i32>),
    I64(ScalarBuffer<i64>),
    I128(ScalarBuffer<i128>),
    F32(ScalarBuffer<f32>),
    F64(ScalarBuffer<f64>),
    Bytes(ByteValues),
}

/// Byte strings one after another.
#[derive(Debug, Clone)]
pub struct ByteValues {
    /// One more than there are values; value `i` is `data[offsets[i]..offsets[i + 1]]`.
    pub offsets: OffsetBuffer<i64>,
    pub data: Buffer,
    /// Which of a few texts each value is, where that is known.
    pub codes: Option<TextCodes>,
}

/// Which of a few texts each of some values is: value `i` is `texts[of_rows[i]]`.
#[derive(Debug, Clone)]
pub struct TextCodes {
    pub of_rows: ScalarBuffer<u8>,
    pub texts: Arc<Vec<Vec<u8>>>,
}

impl TextCodes {
    /// Codes and texts of the rows that are not NULL.
    pub fn occurring(&self, validity: Option<&NullBuffer>) -> impl Iterator<Item = (u8, &[u8])> {
        let mut seen = [false; 1 << u8::BITS];
        match validity {
            None => self.of_rows.iter().for_each(|code| seen[*code as usize] = true),
            Some(validity) => validity.valid_indices().for_each(|row| seen[self.of_rows[row] as usize] = true),
        }
        let texts = self.texts.iter().zip(0..=u8::MAX);
        texts.filter(move |(_, code)| seen[*code as usize]).map(|(text, code)| (code, text.as_slice()))
    }
}

impl ByteValues {
    pub fn new(offsets: Vec<i64>, data: Vec<u8>) -> Self {
        ByteValues { offsets: OffsetBuffer::new(offsets.into()), data: Buffer::from_vec(data), codes: None }
    }

    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn value(&self, i: usize) -> &[u8] {
        &self.data[self.offsets[i] as usize..self.offsets[i + 1] as usize]
    }

    /// The bytes of all values.
    pub fn data_len(&self) -> usize {
        (self.offsets[self.len()] - self.offsets[0]) as usize
    }

    fn slice(&self, start: usize, len: usize) -> Self {
        let codes = self.codes.as_ref();
        let codes = codes.map(|codes| TextCodes { of_rows: codes.of_rows.slice(start, len), ..codes.clone() });
        ByteValues { offsets: self.offsets.slice(start, len), data: self.data.clone(), codes }
    }
}

impl<'a> FromIterator<&'a [u8]> for ByteValues {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(values: I) -> Self {
        let mut offsets = vec![0i64];
        let mut data = Vec::new();
        for value in values {
            data.extend_from_slice(value);
            offsets.push(data.len() as i64);
        }
        ByteValues::new(offsets, data)
    }
}

impl Values {
    pub fn len(&self) -> usize {
        match self {
            Values::Bool(v) => v.len(),
            Values::I16(v) => v.len(),
            Values::I32(v) => v.len(),
            Values::I64(v) => v.len(),
            Values::I128(v) => v.len(),
            Values::F32(v) => v.len(),
            Values::F64(v) => v.len(),
            Values::Bytes(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Rows of one column, as encoders take them.
///
/// Invariant: `validity`, where present, has as many bits as there are values and at least one is unset.
#[derive(Debug, Clone)]
pub struct Column {
    pub values: Values,
    /// Set where a row is not NULL; `None` when no row is.
    pub validity: Option<NullBuffer>,
}

impl Column {
    pub fn new(values: Values, validity: Option<NullBuffer>) -> Self {
        let column = Column { values, validity: validity.filter(|v| v.null_count() > 0) };
        debug_assert!(column.validity.as_ref().is_none_or(|v| v.len() == column.len()));
        debug_assert!(match &column.values {
            Values::Bytes(v) => v.codes.as_ref().is_none_or(|codes| codes.of_rows.len() == v.len()),
            _ => true,
        });
        column
    }

    /// From an array of exactly `sql_type.arrow_type()` (text also as Utf8 or LargeUtf8).
    ///
    /// Errors: Invalid when the type differs or a decimal has more digits than its declared precision.
    pub fn from_array(array: &dyn Array, sql_type: SqlType) -> Result<Self> {
        let validity = array.nulls().cloned();
        let values = match (sql_type.stored(), array.data_type()) {
            (Stored::Bool, DataType::Boolean) => Values::Bool(array.as_boolean().values().clone()),
            (Stored::I16, DataType::Int16) => Values::I16(array.as_primitive::<Int16Type>().values().clone()),
            (Stored::I32, DataType::Int32) => Values::I32(array.as_primitive::<Int32Type>().values().clone()),
            (Stored::I32, DataType::Date32) => Values::I32(array.as_primitive::<Date32Type>().values().clone()),
            (Stored::I64, DataType::Int64) => Values::I64(array.as_primitive::<Int64Type>().values().clone()),
            (Stored::I64, DataType::Timestamp(_, _)) if *array.data_type() == sql_type.arrow_type() => {
                Values::I64(array.as_primitive::<TimestampMicrosecondType>().values().clone())
            }
            (Stored::I64, DataType::Time64(TimeUnit::Microsecond)) => {
                Values::I64(array.as_primitive::<Time64MicrosecondType>().values().clone())
            }
            (Stored::I64, DataType::Decimal128(_, _)) if *array.data_type() == sql_type.arrow_type() => {
                Values::I64(narrow_decimals(array.as_primitive::<Decimal128Type>())?)
            }
            (Stored::I128, DataType::Decimal128(_, _)) if *array.data_type() == sql_type.arrow_type() => {
                Values::I128(array.as_primitive::<Decimal128Type>().values().clone())
            }
            (Stored::F32, DataType::Float32) => Values::F32(array.as_primitive::<Float32Type>().values().clone()),
            (Stored::F64, DataType::Float64) => Values::F64(array.as_primitive::<Float64Type>().values().clone()),
            (Stored::Bytes, DataType::Utf8View) => Values::Bytes(bytes_of_views(array.as_string_view())),
            (Stored::Binary, DataType::BinaryView) => Values::Bytes(bytes_of_views(array.as_binary_view())),
            (Stored::Bytes, DataType::Utf8) => Values::Bytes(bytes_of_strings(array.as_string::<i32>())),
            (Stored::Bytes, DataType::LargeUtf8) => Values::Bytes(bytes_of_strings(array.as_string::<i64>())),
            (_, other) => {
                return Err(Error::invalid(
                    SqlState::DATATYPE_MISMATCH,
                    format!("a column of type {sql_type} cannot hold values of Arrow type {other}"),
                ));
            }
        };
        Ok(Column::new(values, validity))
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn stored(&self) -> Stored {
        match &self.values {
            Values::Bool(_) => Stored::Bool,
            Values::I16(_) => Stored::I16,
            Values::I32(_) => Stored::I32,
            Values::I64(_) => Stored::I64,
            Values::I128(_) => Stored::I128,
            Values::F32(_) => Stored::F32,
            Values::F64(_) => Stored::F64,
            Values::Bytes(_) => Stored::Bytes,
        }
    }

    /// Whether the values have this stored form; bytes have both forms of them.
    pub fn fits(&self, stored: Stored) -> bool {
        self.stored() == stored || matches!(self.values, Values::Bytes(_)) && stored == Stored::Binary
    }

    /// A value; `None` is NULL.
    pub fn scalar(&self, i: usize) -> Option<Scalar> {
        self.is_valid(i).then(|| match &self.values {
            Values::Bool(v) => Scalar::Bool(v.value(i)),
            Values::I16(v) => Scalar::Int(v[i].into()),
            Values::I32(v) => Scalar::Int(v[i].into()),
            Values::I64(v) => Scalar::Int(v[i].into()),
            Values::I128(v) => Scalar::Int(v[i]),
            Values::F32(v) => Scalar::Float(v[i].into()),
            Values::F64(v) => Scalar::Float(v[i]),
            Values::Bytes(v) => Scalar::Bytes(v.value(i).to_vec()),
        })
    }

    pub fn null_count(&self) -> usize {
        self.validity.as_ref().map_or(0, NullBuffer::null_count)
    }

    pub fn is_valid(&self, i: usize) -> bool {
        self.validity.as_ref().is_none_or(|v| v.is_valid(i))
    }

    /// Bytes of the values, about.
    pub fn memory_bytes(&self) -> usize {
        match &self.values {
            Values::Bytes(v) => v.data_len() + v.len() * 8,
            _ => self.len() * self.stored().width().unwrap_or(1),
        }
    }

    /// Rows `start..start + len`, without copying.
    pub fn slice(&self, start: usize, len: usize) -> Column {
        let values = match &self.values {
            Values::Bool(v) => Values::Bool(v.slice(start, len)),
            Values::I16(v) => Values::I16(v.slice(start, len)),
            Values::I32(v) => Values::I32(v.slice(start, len)),
            Values::I64(v) => Values::I64(v.slice(start, len)),
            Values::I128(v) => Values::I128(v.slice(start, len)),
            Values::F32(v) => Values::F32(v.slice(start, len)),
            Values::F64(v) => Values::F64(v.slice(start, len)),
            Values::Bytes(v) => Values::Bytes(v.slice(start, len)),
        };
        Column::new(values, self.validity.as_ref().map(|v| v.slice(start, len)))
    }
}

/// Collects decoded rows and makes the Arrow array that queries see.
///
/// Decoders append to [`ColumnBuilder::values`] and leave `validity` to [`super::encoding`]'s page reader.
#[derive(Debug)]
pub struct ColumnBuilder {
    sql_type: SqlType,
    pub values: BuilderValues,
    pub validity: NullBufferBuilder,
}

/// Decoded values. DECIMAL of any precision is `I128`, widened while it is decoded.
#[derive(Debug)]
pub enum BuilderValues {
    Bool(BooleanBufferBuilder),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    I128(Vec<i128>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Views(ViewBuilder),
}

impl ColumnBuilder {
    pub fn new(sql_type: SqlType, capacity: usize) -> Self {
        let values = match (sql_type, sql_type.stored()) {
            (SqlType::Decimal { .. }, _) => BuilderValues::I128(Vec::with_capacity(capacity)),
            (_, Stored::Bool) => BuilderValues::Bool(BooleanBufferBuilder::new(capacity)),
            (_, Stored::I16) => BuilderValues::I16(Vec::with_capacity(capacity)),
            (_, Stored::I32) => BuilderValues::I32(Vec::with_capacity(capacity)),
            (_, Stored::I64) => BuilderValues::I64(Vec::with_capacity(capacity)),
            (_, Stored::I128) => BuilderValues::I128(Vec::with_capacity(capacity)),
            (_, Stored::F32) => BuilderValues::F32(Vec::with_capacity(capacity)),
            (_, Stored::F64) => BuilderValues::F64(Vec::with_capacity(capacity)),
            (_, Stored::Bytes) => BuilderValues::Views(ViewBuilder::with_capacity(capacity)),
            (_, Stored::Binary) => BuilderValues::Views(ViewBuilder::of_binary(capacity)),
        };
        ColumnBuilder { sql_type, values, validity: NullBufferBuilder::new(capacity) }
    }

    pub fn sql_type(&self) -> SqlType {
        self.sql_type
    }

    /// Rows decoded so far.
    pub fn len(&self) -> usize {
        match &self.values {
            BuilderValues::Bool(v) => v.len(),
            BuilderValues::I16(v) => v.len(),
            BuilderValues::I32(v) => v.len(),
            BuilderValues::I64(v) => v.len(),
            BuilderValues::I128(v) => v.len(),
            BuilderValues::F32(v) => v.len(),
            BuilderValues::F64(v) => v.len(),
            BuilderValues::Views(v) => v.views.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends `rows` NULLs.
    pub fn append_nulls(&mut self, rows: usize) {
        match &mut self.values {
            BuilderValues::Bool(v) => v.append_n(rows, false),
            BuilderValues::I16(v) => v.resize(v.len() + rows, 0),
            BuilderValues::I32(v) => v.resize(v.len() + rows, 0),
            BuilderValues::I64(v) => v.resize(v.len() + rows, 0),
            BuilderValues::I128(v) => v.resize(v.len() + rows, 0),
            BuilderValues::F32(v) => v.resize(v.len() + rows, 0.0),
            BuilderValues::F64(v) => v.resize(v.len() + rows, 0.0),
            BuilderValues::Views(v) => v.views.resize(v.views.len() + rows, 0),
        }
        self.validity.append_n_nulls(rows);
    }

    /// Appends `rows` times the same value; `None` is NULL.
    pub fn append_constant(&mut self, value: Option<&Scalar>, rows: usize) -> Result<()> {
        let Some(value) = value else {
            self.append_nulls(rows);
            return Ok(());
        };
        match (&mut self.values, value) {
            (BuilderValues::Bool(v), Scalar::Bool(x)) => v.append_n(rows, *x),
            (BuilderValues::I16(v), Scalar::Int(x)) => v.resize(v.len() + rows, *x as i16),
            (BuilderValues::I32(v), Scalar::Int(x)) => v.resize(v.len() + rows, *x as i32),
            (BuilderValues::I64(v), Scalar::Int(x)) => v.resize(v.len() + rows, *x as i64),
            (BuilderValues::I128(v), Scalar::Int(x)) => v.resize(v.len() + rows, *x),
            (BuilderValues::F32(v), Scalar::Float(x)) => v.resize(v.len() + rows, *x as f32),
            (BuilderValues::F64(v), Scalar::Float(x)) => v.resize(v.len() + rows, *x),
            (BuilderValues::Views(v), Scalar::Bytes(x)) => {
                for _ in 0..rows {
                    v.extend_checked(x, std::iter::once(x.len()))?;
                }
            }
            (_, value) => return Err(Error::internal(format!("{value:?} in a column of type {}", self.sql_type))),
        }
        self.validity.append_n_non_nulls(rows);
        Ok(())
    }

    /// Appends the rows of an array of `sql_type.arrow_type()`.
    pub fn append_array(&mut self, array: &dyn Array) -> Result<()> {
        if *array.data_type() != self.sql_type.arrow_type() {
            return Err(Error::internal(format!("{} rows in a column of type {}", array.data_type(), self.sql_type)));
        }
        match (&mut self.values, array.data_type()) {
            (BuilderValues::Bool(v), _) => v.append_buffer(array.as_boolean().values()),
            (BuilderValues::I16(v), _) => v.extend_from_slice(array.as_primitive::<Int16Type>().values()),
            (BuilderValues::I32(v), DataType::Date32) => {
                v.extend_from_slice(array.as_primitive::<Date32Type>().values())
            }
            (BuilderValues::I32(v), _) => v.extend_from_slice(array.as_primitive::<Int32Type>().values()),
            (BuilderValues::I64(v), DataType::Timestamp(_, _)) => {
                v.extend_from_slice(array.as_primitive::<TimestampMicrosecondType>().values());
            }
            (BuilderValues::I64(v), DataType::Time64(_)) => {
                v.extend_from_slice(array.as_primitive::<Time64MicrosecondType>().values());
            }
            (BuilderValues::I64(v), _) => v.extend_from_slice(array.as_primitive::<Int64Type>().values()),
            (BuilderValues::I128(v), _) => v.extend_from_slice(array.as_primitive::<Decimal128Type>().values()),
            (BuilderValues::F32(v), _) => v.extend_from_slice(array.as_primitive::<Float32Type>().values()),
            (BuilderValues::F64(v), _) => v.extend_from_slice(array.as_primitive::<Float64Type>().values()),
            (BuilderValues::Views(v), DataType::BinaryView) => {
                let array = array.as_binary_view();
                for i in 0..array.len() {
                    v.push_checked(if array.is_valid(i) { array.value(i) } else { &[] })?;
                }
            }
            (BuilderValues::Views(v), _) => {
                let array = array.as_string_view();
                for i in 0..array.len() {
                    let value = if array.is_valid(i) { array.value(i).as_bytes() } else { &[] };
                    // SAFETY: a StringViewArray's values are UTF-8.
                    unsafe { v.push_unchecked(value) };
                }
            }
        }
        match array.nulls() {
            Some(nulls) => self.validity.append_buffer(nulls),
            None => self.validity.append_n_non_nulls(array.len()),
        }
        Ok(())
    }

    /// The rows as an array of `sql_type.arrow_type()`.
    pub fn finish(mut self) -> Result<ArrayRef> {
        let nulls = self.validity.finish();
        fn primitive<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
            Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), nulls)?))
        }
        match (self.values, self.sql_type) {
            (BuilderValues::Bool(mut v), _) => Ok(Arc::new(BooleanArray::new(v.finish(), nulls))),
            (BuilderValues::I16(v), _) => primitive::<Int16Type>(v, nulls),
            (BuilderValues::I32(v), SqlType::Date) => primitive::<Date32Type>(v, nulls),
            (BuilderValues::I32(v), _) => primitive::<Int32Type>(v, nulls),
            (BuilderValues::I64(v), SqlType::Time) => primitive::<Time64MicrosecondType>(v, nulls),
            (BuilderValues::I64(v), SqlType::Timestamp) => primitive::<TimestampMicrosecondType>(v, nulls),
            (BuilderValues::I64(v), SqlType::TimestampTz) => {
                Ok(Arc::new(PrimitiveArray::<TimestampMicrosecondType>::try_new(v.into(), nulls)?.with_timezone(UTC)))
            }
            (BuilderValues::I64(v), _) => primitive::<Int64Type>(v, nulls),
            (BuilderValues::I128(v), SqlType::Decimal { precision, scale }) => Ok(Arc::new(
                Decimal128Array::try_new(v.into(), nulls)?.with_precision_and_scale(precision, scale as i8)?,
            )),
            (BuilderValues::I128(_), other) => {
                Err(Error::internal(format!("128-bit values decoded for a column of type {other}")))
            }
            (BuilderValues::F32(v), _) => primitive::<Float32Type>(v, nulls),
            (BuilderValues::F64(v), _) => primitive::<Float64Type>(v, nulls),
            (BuilderValues::Views(v), _) => v.finish(nulls),
        }
    }
}

/// Builds Utf8View and BinaryView arrays with few buffers: one of its own, and each shared one (a dictionary's) once.
///
/// A hash join's build side concatenates its batches with all their buffers; batches of hundreds of buffers make that
/// quadratic, hence the care.
#[derive(Debug, Default)]
pub struct ViewBuilder {
    /// Arrow's 16-byte views; a buffer index refers to `buffers`.
    pub views: Vec<u128>,
    /// The slot of our own bytes holds an empty buffer until [`ViewBuilder::finish`].
    buffers: Vec<Buffer>,
    own: Vec<u8>,
    /// Where in `buffers` our own bytes will stand.
    own_slot: Option<u32>,
    /// Values are any bytes, and what makes sure of UTF-8 below does not.
    binary: bool,
}

impl ViewBuilder {
    /// The longest string that a view holds within itself.
    pub const INLINE: usize = 12;

    pub fn with_capacity(capacity: usize) -> Self {
        ViewBuilder { views: Vec::with_capacity(capacity), ..Default::default() }
    }

    /// A builder of a BinaryView array.
    pub fn of_binary(capacity: usize) -> Self {
        ViewBuilder { binary: true, ..Self::with_capacity(capacity) }
    }

    /// Whether values may be any bytes.
    pub fn is_binary(&self) -> bool {
        self.binary
    }

    /// Appends a copy of `value`, which must be UTF-8 unless the builder is of bytes: `finish` does not check again.
    ///
    /// # Safety
    /// `value` is valid UTF-8, or [`ViewBuilder::is_binary`].
    #[inline]
    pub unsafe fn push_unchecked(&mut self, value: &[u8]) {
        let view = if value.len() <= Self::INLINE {
            inline_view(value)
        } else {
            self.make_room(value.len());
            let offset = self.own.len();
            self.own.extend_from_slice(value);
            long_view(value, self.own_slot(), offset)
        };
        self.views.push(view);
    }

    /// Appends the strings of `data` that end at `ends` (ascending), the first starting at 0.
    ///
    /// Errors: Corrupt when `data` is not UTF-8 or a string starts within a character.
    pub fn extend_checked(&mut self, data: &[u8], ends: impl Iterator<Item = usize>) -> Result<()> {
        if self.binary {
            let mut start = 0;
            for end in ends {
                let value = data.get(start..end);
                let value =
                    value.ok_or_else(|| Error::corrupt(start as u64, "a value's bounds do not fit its bytes"))?;
                // SAFETY: the builder is of bytes.
                unsafe { self.push_unchecked(value) };
                start = end;
            }
            return Ok(());
        }
        let text =
            std::str::from_utf8(data).map_err(|e| Error::corrupt(e.valid_up_to() as u64, "text is not valid UTF-8"))?;
        let mut start = 0;
        for end in ends {
            let Some(value) = text.get(start..end) else {
                return Err(Error::corrupt(start as u64, "a string's bounds do not fit its text"));
            };
            // SAFETY: `value` is a str.
            unsafe { self.push_unchecked(value.as_bytes()) };
            start = end;
        }
        Ok(())
    }

    /// Appends a copy of `value`.
    ///
    /// Errors: Corrupt when it is not UTF-8.
    pub fn push_checked(&mut self, value: &[u8]) -> Result<()> {
        if !self.binary
            && let Err(e) = std::str::from_utf8(value)
        {
            return Err(Error::corrupt(e.valid_up_to() as u64, "text is not valid UTF-8"));
        }
        // SAFETY: checked just now, where it matters.
        unsafe { self.push_unchecked(value) };
        Ok(())
    }

    /// Appends the strings of `data` that end at `ends`, the first starting at 0: long ones are copied together.
    ///
    /// # Safety
    /// `ends` ascend up to at most `data`'s length, and every string is valid UTF-8, or [`ViewBuilder::is_binary`].
    pub unsafe fn extend_unchecked(&mut self, data: &[u8], ends: &[u32]) {
        self.make_room(data.len());
        self.views.reserve(ends.len());
        // Where long strings are most of the bytes all are copied in one piece, short ones with them.
        let mut start = 0;
        let long_bytes: u64 = ends
            .iter()
            .map(|end| {
                let len = end.wrapping_sub(std::mem::replace(&mut start, *end));
                if len as usize > Self::INLINE { u64::from(len) } else { 0 }
            })
            .sum();
        let together = long_bytes as usize * 2 > data.len();
        let base = self.own.len();
        let slot = if together { self.own_slot() } else { 0 };
        if together {
            self.own.extend_from_slice(data);
        }
        let mut start = 0;
        for end in ends {
            let end = *end as usize;
            let view = if together && let Some(sixteen) = data[start..].first_chunk::<16>() {
                // By masks: which form it is cannot be predicted where lengths are mixed.
                let len = end - start;
                let (text_mask, place_mask) = VIEW_MASKS[len.min(Self::INLINE + 1)];
                let place = u128::from(slot) << 64 | u128::from((base + start) as u32) << 96;
                (u128::from_le_bytes(*sixteen) & text_mask) << 32 | place & place_mask | len as u128
            } else if end - start <= Self::INLINE {
                inline_view_within(data, start, end)
            } else if together {
                long_view(&data[start..end], slot, base + start)
            } else {
                let offset = self.own.len();
                self.own.extend_from_slice(&data[start..end]);
                long_view(&data[start..end], self.own_slot(), offset)
            };
            self.views.push(view);
            start = end;
        }
    }

    /// Appends `count` views of one string.
    ///
    /// # Safety
    /// `value` is valid UTF-8, or [`ViewBuilder::is_binary`].
    pub unsafe fn push_repeated(&mut self, value: &[u8], count: usize) {
        if count > 0 {
            // SAFETY: the caller's promise.
            unsafe { self.push_unchecked(value) };
            let view = self.views[self.views.len() - 1];
            self.views.resize(self.views.len() + count - 1, view);
        }
    }

    /// Begins another buffer when `more` bytes would take this one beyond what Arrow's views can address.
    fn make_room(&mut self, more: usize) {
        if self.own.len() + more > i32::MAX as usize
            && let Some(slot) = self.own_slot.take()
        {
            self.buffers[slot as usize] = Buffer::from_vec(std::mem::take(&mut self.own));
        }
    }

    /// Makes `buffer` referable and returns its index; the same buffer again gives the same index.
    pub fn share(&mut self, buffer: &Buffer) -> u32 {
        let same = |b: &Buffer| b.as_ptr() == buffer.as_ptr() && b.len() == buffer.len() && !b.is_empty();
        match self.buffers.iter().rposition(same) {
            Some(index) => index as u32,
            None => {
                self.buffers.push(buffer.clone());
                (self.buffers.len() - 1) as u32
            }
        }
    }

    fn own_slot(&mut self) -> u32 {
        match self.own_slot {
            Some(slot) => slot,
            None => {
                self.buffers.push(Buffer::from_vec(Vec::<u8>::new()));
                let slot = (self.buffers.len() - 1) as u32;
                self.own_slot = Some(slot);
                slot
            }
        }
    }

    fn finish(mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        if let Some(slot) = self.own_slot {
            self.buffers[slot as usize] = Buffer::from_vec(self.own);
        }
        if self.binary {
            // SAFETY: every view was made by `inline_view` or `long_view` and refers into `buffers`.
            return Ok(Arc::new(unsafe { BinaryViewArray::new_unchecked(self.views.into(), self.buffers, nulls) }));
        }
        // SAFETY: every view was made by `inline_view` or `long_view` over UTF-8 (the contract of `push_unchecked` and
        // of dictionaries, which check their values when they are opened) and refers into `buffers`.
        Ok(Arc::new(unsafe { StringViewArray::new_unchecked(self.views.into(), self.buffers, nulls) }))
    }
}

/// By length, [`ViewBuilder::INLINE`] + 1 standing for all longer: which of a string's bytes its view holds, and whether
/// it holds a place.
const VIEW_MASKS: [(u128, u128); ViewBuilder::INLINE + 2] = {
    let mut masks = [(0, 0); ViewBuilder::INLINE + 2];
    let mut len = 0;
    while len <= ViewBuilder::INLINE {
        masks[len].0 = !(u128::MAX << (len * 8));
        len += 1;
    }
    masks[len] = (0xffff_ffff, u128::MAX);
    masks
};

/// The view of a string of at most [`ViewBuilder::INLINE`] bytes.
#[inline]
pub fn inline_view(value: &[u8]) -> u128 {
    debug_assert!(value.len() <= ViewBuilder::INLINE);
    let mut view = [0u8; 16];
    view[..4].copy_from_slice(&(value.len() as u32).to_le_bytes());
    view[4..4 + value.len()].copy_from_slice(value);
    u128::from_le_bytes(view)
}

/// The view of `data[start..end]`, of at most [`ViewBuilder::INLINE`] bytes, without a copy of unknown length where
/// `data` goes on.
#[inline]
fn inline_view_within(data: &[u8], start: usize, end: usize) -> u128 {
    match data[start..].first_chunk::<16>() {
        Some(sixteen) => {
            let len = end - start;
            let kept = u128::from_le_bytes(*sixteen) & !(u128::MAX << (len * 8));
            kept << 32 | len as u128
        }
        None => inline_view(&data[start..end]),
    }
}

/// The view of a longer string that stands at `offset` of buffer `buffer`.
#[inline]
pub fn long_view(value: &[u8], buffer: u32, offset: usize) -> u128 {
    debug_assert!(value.len() > ViewBuilder::INLINE);
    let prefix = u32::from_le_bytes([value[0], value[1], value[2], value[3]]);
    u128::from(value.len() as u32)
        | u128::from(prefix) << 32
        | u128::from(buffer) << 64
        | u128::from(offset as u32) << 96
}

fn narrow_decimals(array: &Decimal128Array) -> Result<ScalarBuffer<i64>> {
    let mut lost = 0;
    let narrow = |value: &i128| {
        let narrow = *value as i64;
        lost |= i128::from(narrow) ^ value;
        narrow
    };
    let narrowed: Vec<i64> = array.values().iter().map(narrow).collect();
    let fits = |i: usize| i128::from(narrowed[i]) == array.value(i);
    // What stands behind a NULL is no value.
    if lost != 0
        && let Some(bad) = (0..array.len()).find(|i| array.is_valid(*i) && !fits(*i))
    {
        return Err(Error::invalid(
            SqlState::NUMERIC_OUT_OF_RANGE,
            format!("{} has more digits than {} holds", array.value_as_string(bad), array.data_type()),
        ));
    }
    Ok(narrowed.into())
}

fn bytes_of_views<T: ByteViewType>(array: &GenericByteViewArray<T>) -> ByteValues {
    let mut offsets = Vec::with_capacity(array.len() + 1);
    let total: usize = array.views().iter().map(|view| *view as u32 as usize).sum();
    let mut data = Vec::with_capacity(total);
    offsets.push(0i64);
    for i in 0..array.len() {
        if array.is_valid(i) {
            let value: &[u8] = array.value(i).as_ref();
            data.extend_from_slice(value);
        }
        offsets.push(data.len() as i64);
    }
    ByteValues::new(offsets, data)
}

fn bytes_of_strings<T: ByteArrayType>(array: &GenericByteArray<T>) -> ByteValues {
    let offsets: Vec<i64> = array.value_offsets().iter().map(|o| o.as_usize() as i64).collect();
    ByteValues { offsets: OffsetBuffer::new(offsets.into()), data: array.values().clone(), codes: None }
}
