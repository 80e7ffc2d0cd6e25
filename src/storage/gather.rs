//! Rows chosen from several arrays, in stored form.

use arrow::array::{Array, AsArray, ByteView};
use arrow::buffer::NullBuffer;
use arrow::compute::interleave;
use arrow::datatypes::{
    ArrowPrimitiveType, BinaryViewType, ByteViewType, DataType, Date32Type, Decimal128Type, Int16Type, Int32Type,
    Int64Type, StringViewType, Time64MicrosecondType, TimestampMicrosecondType,
};

use crate::common::{Error, Result, SqlState, SqlType, Stored};
use crate::format::column::{ByteValues, Column, Values, ViewBuilder};

/// The chosen rows of a column in stored form.
pub fn gather(arrays: &[&dyn Array], rows: &[(u32, u32)], sql_type: SqlType) -> Result<Column> {
    // Rows of one batch that follow each other, as in a load without sort key on one slice: nothing to move.
    if let Some(first) = rows.first()
        && rows.windows(2).all(|w| w[1] == (w[0].0, w[0].1 + 1))
    {
        return Column::from_array(&arrays[first.0 as usize].slice(first.1 as usize, rows.len()), sql_type);
    }
    let validity = gather_validity(arrays, rows);
    let values = match (sql_type.stored(), arrays[0].data_type()) {
        (Stored::I16, DataType::Int16) => Values::I16(numbers::<Int16Type, _>(arrays, rows, |v| v).into()),
        (Stored::I32, DataType::Int32) => Values::I32(numbers::<Int32Type, _>(arrays, rows, |v| v).into()),
        (Stored::I32, DataType::Date32) => Values::I32(numbers::<Date32Type, _>(arrays, rows, |v| v).into()),
        (Stored::I64, DataType::Int64) => Values::I64(numbers::<Int64Type, _>(arrays, rows, |v| v).into()),
        (Stored::I64, DataType::Timestamp(_, _)) => {
            Values::I64(numbers::<TimestampMicrosecondType, _>(arrays, rows, |v| v).into())
        }
        (Stored::I64, DataType::Time64(_)) => {
            Values::I64(numbers::<Time64MicrosecondType, _>(arrays, rows, |v| v).into())
        }
        (Stored::I64, DataType::Decimal128(_, _)) => {
            let mut lost = false;
            let narrowed = numbers::<Decimal128Type, _>(arrays, rows, |v| {
                lost |= i64::try_from(v).is_err();
                v as i64
            });
            // What stands behind a NULL is no value.
            let overflow = lost
                && rows.iter().any(|(batch, row)| {
                    let array = arrays[*batch as usize].as_primitive::<Decimal128Type>();
                    array.is_valid(*row as usize) && i64::try_from(array.value(*row as usize)).is_err()
                });
            if overflow {
                return Err(Error::invalid(
                    SqlState::NUMERIC_OUT_OF_RANGE,
                    format!("a value has more digits than {sql_type} holds"),
                ));
            }
            Values::I64(narrowed.into())
        }
        (Stored::I128, DataType::Decimal128(_, _)) => {
            Values::I128(numbers::<Decimal128Type, _>(arrays, rows, |v| v).into())
        }
        (Stored::Bytes, DataType::Utf8View) => Values::Bytes(texts::<StringViewType>(arrays, rows)),
        (Stored::Binary, DataType::BinaryView) => Values::Bytes(texts::<BinaryViewType>(arrays, rows)),
        _ => {
            let indices: Vec<(usize, usize)> = rows.iter().map(|(b, r)| (*b as usize, *r as usize)).collect();
            return Column::from_array(&interleave(arrays, &indices)?, sql_type);
        }
    };
    Ok(Column::new(values, validity))
}

fn numbers<T: ArrowPrimitiveType, V>(
    arrays: &[&dyn Array],
    rows: &[(u32, u32)],
    mut to: impl FnMut(T::Native) -> V,
) -> Vec<V> {
    let values: Vec<&[T::Native]> = arrays.iter().map(|a| a.as_primitive::<T>().values().as_ref()).collect();
    rows.iter().map(|(batch, row)| to(values[*batch as usize][*row as usize])).collect()
}

/// Texts are followed by room for so many bytes, which may be copied in place of a shorter one's.
pub const ROOM: usize = 32;

fn texts<T: ByteViewType>(arrays: &[&dyn Array], rows: &[(u32, u32)]) -> ByteValues {
    const IN_VIEW: usize = ViewBuilder::INLINE;
    let arrays: Vec<_> = arrays.iter().map(|a| a.as_byte_view::<T>()).collect();
    let parts: Vec<(&[u128], Option<&NullBuffer>)> =
        arrays.iter().map(|a| (a.views().as_ref(), a.nulls().filter(|n| n.null_count() > 0))).collect();
    // The lowest 32 bits of a view are the length. NULL has none.
    let view = |(batch, row): (u32, u32)| {
        let (views, nulls) = parts[batch as usize];
        if nulls.is_some_and(|nulls| nulls.is_null(row as usize)) { 0 } else { views[row as usize] }
    };
    let total: usize = rows.iter().map(|row| view(*row) as u32 as usize).sum();
    let mut offsets = Vec::with_capacity(rows.len() + 1);
    let mut data = vec![0u8; total + ROOM];
    let mut at = 0;
    offsets.push(0i64);
    for (batch, row) in rows {
        let view = view((*batch, *row));
        let len = view as u32 as usize;
        if len <= IN_VIEW {
            data[at..at + IN_VIEW].copy_from_slice(&view.to_le_bytes()[4..]);
        } else {
            let ByteView { buffer_index, offset, .. } = ByteView::from(view);
            let text = &arrays[*batch as usize].data_buffers()[buffer_index as usize][offset as usize..];
            match text.first_chunk::<ROOM>() {
                Some(text) if len <= ROOM => data[at..at + ROOM].copy_from_slice(text),
                _ => data[at..at + len].copy_from_slice(&text[..len]),
            }
        }
        at += len;
        offsets.push(at as i64);
    }
    data.truncate(total);
    ByteValues::new(offsets, data)
}

pub fn gather_validity(arrays: &[&dyn Array], rows: &[(u32, u32)]) -> Option<NullBuffer> {
    if arrays.iter().all(|a| a.null_count() == 0) {
        return None;
    }
    let valid = rows.iter().map(|(batch, row)| arrays[*batch as usize].is_valid(*row as usize));
    Some(NullBuffer::from_iter(valid))
}

#[cfg(test)]
mod tests {
    use arrow::array::Int32Array;

    use super::*;

    #[test]
    fn rows_are_gathered_from_their_own_batches() {
        let (a, b) = (Int32Array::from_iter_values(0..10), Int32Array::from_iter_values(100..110));
        let gathered = |rows: &[(u32, u32)]| match gather(&[&a, &b], rows, SqlType::Integer).unwrap().values {
            Values::I32(values) => values.to_vec(),
            other => panic!("{other:?}"),
        };
        assert_eq!(gathered(&[(0, 5), (0, 6), (0, 7)]), [5, 6, 7]);
        assert_eq!(gathered(&[(0, 5), (1, 6), (0, 7)]), [5, 106, 7]);
        assert_eq!(gathered(&[(0, 7), (0, 5)]), [7, 5]);
        assert!(gathered(&[]).is_empty());
    }
}
