//! Whole numbers as the Arrow arrays of their types.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int16Array, Int32Array, Int64Array, Time64MicrosecondArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, TimeUnit};
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
