//! Integers of 64 bits, and the Arrow arrays that they stand for.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Decimal128Array, Int16Array, Int32Array, Int64Array, Time64MicrosecondArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{Result, internal_datafusion_err, internal_err};

/// An array of `data_type`, an integer's or a DECIMAL's, of values that it holds.
pub fn integers(values: impl Iterator<Item = Option<i128>>, data_type: &DataType) -> Result<ArrayRef> {
    fn narrow<T: TryFrom<i128>>(value: Option<i128>) -> Result<Option<T>> {
        let narrow = |v| T::try_from(v).map_err(|_| internal_datafusion_err!("{v} is beyond its type"));
        value.map(narrow).transpose()
    }
    use DataType as T;
    Ok(match data_type {
        T::Int16 => Arc::new(values.map(narrow).collect::<Result<Int16Array>>()?),
        T::Int32 => Arc::new(values.map(narrow).collect::<Result<Int32Array>>()?),
        T::Int64 => Arc::new(values.map(narrow).collect::<Result<Int64Array>>()?),
        T::UInt64 => Arc::new(values.map(narrow).collect::<Result<UInt64Array>>()?),
        T::Date32 => Arc::new(values.map(narrow).collect::<Result<Date32Array>>()?),
        T::Time64(TimeUnit::Microsecond) => Arc::new(values.map(narrow).collect::<Result<Time64MicrosecondArray>>()?),
        T::Timestamp(TimeUnit::Microsecond, zone) => {
            let times = values.map(narrow).collect::<Result<TimestampMicrosecondArray>>()?;
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        T::Decimal128(precision, scale) => {
            Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(*precision, *scale)?)
        }
        other => return internal_err!("values of type {other} are no integers"),
    })
}

/// Appends the integers of an array's values, of a type of at most 64 bits or a DECIMAL whose values have no more; those of NULL
/// rows are any.
pub fn integers_of(array: &ArrayRef, out: &mut Vec<i64>) -> Result<()> {
    fn widened<T: ArrowPrimitiveType>(array: &ArrayRef, out: &mut Vec<i64>)
    where
        T::Native: Into<i64>,
    {
        out.extend(array.as_primitive::<T>().values().iter().map(|value| (*value).into()));
    }
    use DataType as T;
    match array.data_type() {
        T::Int16 => widened::<Int16Type>(array, out),
        T::Int32 => widened::<Int32Type>(array, out),
        T::Date32 => widened::<Date32Type>(array, out),
        T::Int64 => out.extend_from_slice(array.as_primitive::<Int64Type>().values()),
        T::Time64(TimeUnit::Microsecond) => {
            out.extend_from_slice(array.as_primitive::<Time64MicrosecondType>().values());
        }
        T::Timestamp(TimeUnit::Microsecond, _) => {
            out.extend_from_slice(array.as_primitive::<TimestampMicrosecondType>().values());
        }
        T::Decimal128(..) => {
            let values = array.as_primitive::<Decimal128Type>();
            let mut beyond = 0;
            out.extend(values.values().iter().map(|value| {
                beyond |= i128::from(*value as i64) ^ value;
                *value as i64
            }));
            // What stands behind a NULL is no value.
            if beyond != 0 && values.iter().flatten().any(|value| i64::try_from(value).is_err()) {
                return internal_err!("a value is not within the bounds of its column");
            }
        }
        other => return internal_err!("values of type {other} are no integers"),
    }
    Ok(())
}

/// Whether values of a type are stored as integers of at most 64 bits.
pub fn is_integer(data_type: &DataType) -> bool {
    use DataType as T;
    match data_type {
        T::Int16 | T::Int32 | T::Int64 | T::Date32 => true,
        T::Timestamp(TimeUnit::Microsecond, _) | T::Time64(TimeUnit::Microsecond) => true,
        T::Decimal128(precision, _) => *precision <= 18,
        _ => false,
    }
}
