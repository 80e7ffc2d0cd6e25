//! Zone maps: what each zone of a column is known to hold.
//!
//! Bytes of one column's section, all little-endian:
//!
//! ```text
//! u32 zones
//! per zone:
//!   u8  flags        bit 0: minimum and maximum follow; bit 1: they are exact; bit 2: a sum follows
//!   u32 null count
//!   minimum, maximum  in the column's stored form; text as u8 length and bytes
//!   i128 sum         of the values that are not NULL, unscaled; integer forms only
//! ```

use arrow::array::{BooleanArray, PrimitiveArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::{max, max_boolean, min, min_boolean};
use arrow::datatypes::{ArrowPrimitiveType, Decimal128Type, Int16Type, Int32Type, Int64Type};

use super::bytes::{Reader, WriteLe};
use super::column::{ByteValues, Column, Values};
use crate::common::{Bounds, Result, Scalar, Stored};

/// One zone's entry.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneStats {
    pub bounds: Bounds,
    /// The exact sum of an integer form's values.
    pub sum: Option<i128>,
}

/// The entry of a zone that holds `zone`.
pub fn zone_stats(zone: &Column) -> ZoneStats {
    let rows = zone.len() as u64;
    let null_count = zone.null_count() as u64;
    let nulls = zone.validity.as_ref();
    let (range, sum) = match &zone.values {
        Values::Bool(v) => {
            let array = BooleanArray::new(v.clone(), nulls.cloned());
            (min_boolean(&array).zip(max_boolean(&array)).map(|(a, b)| (Scalar::Bool(a), Scalar::Bool(b))), None)
        }
        Values::I16(v) => integers::<Int16Type>(v, nulls),
        Values::I32(v) => integers::<Int32Type>(v, nulls),
        Values::I64(v) => integers::<Int64Type>(v, nulls),
        Values::I128(v) => integers::<Decimal128Type>(v, nulls),
        Values::F32(v) => (floats(v.iter().map(|x| f64::from(*x)), nulls), None),
        Values::F64(v) => (floats(v.iter().copied(), nulls), None),
        Values::Bytes(v) => (texts(v, nulls), None),
    };
    let bounds = match range {
        Some((min, max)) => Bounds::of_values(min, max, null_count, rows),
        None => Bounds { exact: true, ..Bounds::unknown(rows, null_count) },
    };
    ZoneStats { bounds, sum }
}

/// Appends the section of `zones`.
pub fn write_section(zones: &[ZoneStats], stored: Stored, out: &mut Vec<u8>) {
    out.put_u32(zones.len() as u32);
    for zone in zones {
        let bounds = zone.bounds.min.as_ref().zip(zone.bounds.max.as_ref());
        let flag = |set: bool, bit: u8| u8::from(set) << bit;
        out.put_u8(flag(bounds.is_some(), 0) | flag(zone.bounds.exact, 1) | flag(zone.sum.is_some(), 2));
        out.put_u32(zone.bounds.null_count as u32);
        if let Some((min, max)) = bounds {
            write_scalar(min, stored, out);
            write_scalar(max, stored, out);
        }
        if let Some(sum) = zone.sum {
            out.put_i128(sum);
        }
    }
}

/// Reads a section of exactly `zones` entries, entry `i` describing `rows_of(i)` rows.
pub fn read_section(
    bytes: &[u8],
    stored: Stored,
    zones: usize,
    rows_of: impl Fn(usize) -> usize,
) -> Result<Vec<ZoneStats>> {
    let mut reader = Reader::new(bytes);
    let count = reader.u32()? as usize;
    if count != zones {
        return Err(reader.corrupt(format!("a zone map of {count} zones where {zones} are stored")));
    }
    let mut all = Vec::with_capacity(zones.min(bytes.len()));
    for i in 0..zones {
        let flags = reader.u8()?;
        if flags & !7 != 0 {
            return Err(reader.corrupt(format!("unknown zone map flags {flags:#x}")));
        }
        let rows = rows_of(i) as u64;
        let null_count = u64::from(reader.u32()?);
        if null_count > rows {
            return Err(reader.corrupt(format!("{null_count} NULLs in a zone of {rows} rows")));
        }
        let (mut min, mut max) = (None, None);
        if flags & 1 != 0 {
            min = Some(read_scalar(&mut reader, stored)?);
            max = Some(read_scalar(&mut reader, stored)?);
        }
        let sum = if flags & 4 != 0 { Some(reader.i128()?) } else { None };
        all.push(ZoneStats { bounds: Bounds { min, max, exact: flags & 2 != 0, null_count, rows }, sum });
    }
    reader.finish("the zone map")?;
    Ok(all)
}

/// Appends a value in its stored form; text as u8 length and bytes.
fn write_scalar(value: &Scalar, stored: Stored, out: &mut Vec<u8>) {
    match (value, stored) {
        (Scalar::Bool(v), _) => out.put_u8(u8::from(*v)),
        (Scalar::Int(v), Stored::I16) => out.put_u16(*v as u16),
        (Scalar::Int(v), Stored::I32) => out.put_u32(*v as u32),
        (Scalar::Int(v), Stored::I64) => out.put_u64(*v as u64),
        (Scalar::Int(v), _) => out.put_i128(*v),
        (Scalar::Float(v), Stored::F32) => out.put_u32((*v as f32).to_bits()),
        (Scalar::Float(v), _) => out.put_u64(v.to_bits()),
        (Scalar::Bytes(v), _) => {
            debug_assert!(v.len() <= Bounds::MAX_TEXT_BYTES + 3);
            out.put_u8(v.len() as u8);
            out.extend_from_slice(v);
        }
    }
}

fn read_scalar(reader: &mut Reader<'_>, stored: Stored) -> Result<Scalar> {
    Ok(match stored {
        Stored::Bool => Scalar::Bool(reader.u8()? != 0),
        Stored::I16 => Scalar::Int(i128::from(reader.u16()? as i16)),
        Stored::I32 => Scalar::Int(i128::from(reader.u32()? as i32)),
        Stored::I64 => Scalar::Int(i128::from(reader.u64()? as i64)),
        Stored::I128 => Scalar::Int(reader.i128()?),
        Stored::F32 => Scalar::Float(f64::from(f32::from_bits(reader.u32()?))),
        Stored::F64 => Scalar::Float(f64::from_bits(reader.u64()?)),
        Stored::Bytes | Stored::Binary => {
            let len = usize::from(reader.u8()?);
            Scalar::Bytes(reader.take(len)?.to_vec())
        }
    })
}

type Range = Option<(Scalar, Scalar)>;

fn integers<T: ArrowPrimitiveType<Native: Into<i128>>>(
    values: &ScalarBuffer<T::Native>,
    nulls: Option<&NullBuffer>,
) -> (Range, Option<i128>)
where
    T::Native: PartialOrd,
{
    let array = PrimitiveArray::<T>::new(values.clone(), nulls.cloned());
    let ends: Option<(i128, i128)> = min(&array).zip(max(&array)).map(|(a, b)| (a.into(), b.into()));
    let range = ends.map(|(a, b)| (Scalar::Int(a), Scalar::Int(b)));
    // No sum of some of them leaves 64 bits: these are summed several at a time.
    let is_short = |(a, b): (i128, i128)| {
        let widest = a.unsigned_abs().max(b.unsigned_abs());
        widest.checked_mul(values.len() as u128).is_some_and(|sum| sum <= i64::MAX as u128)
    };
    let sum = match nulls {
        None if ends.is_some_and(is_short) => {
            Some(values.iter().map(|v| Into::<i128>::into(*v) as i64).fold(0i64, i64::wrapping_add).into())
        }
        None => values.iter().try_fold(0i128, |sum, v| sum.checked_add((*v).into())),
        Some(nulls) => nulls.valid_indices().try_fold(0i128, |sum, i| sum.checked_add(values[i].into())),
    };
    (range, sum)
}

fn floats(values: impl Iterator<Item = f64>, nulls: Option<&NullBuffer>) -> Range {
    let mut range: Option<(f64, f64)> = None;
    for (i, v) in values.enumerate() {
        if nulls.is_none_or(|n| n.is_valid(i)) {
            range = Some(match range {
                None => (v, v),
                Some((a, b)) => {
                    (if v.total_cmp(&a).is_lt() { v } else { a }, if v.total_cmp(&b).is_gt() { v } else { b })
                }
            });
        }
    }
    range.map(|(a, b)| (Scalar::Float(a), Scalar::Float(b)))
}

fn texts(values: &ByteValues, nulls: Option<&NullBuffer>) -> Range {
    if let Some(codes) = &values.codes {
        let texts = || codes.occurring(nulls).map(|(_, text)| text);
        return texts().min().zip(texts().max()).map(|(a, b)| (Scalar::Bytes(a.to_vec()), Scalar::Bytes(b.to_vec())));
    }
    let mut valid = (0..values.len()).filter(|i| nulls.is_none_or(|n| n.is_valid(*i)));
    let first = valid.next()?;
    // With their first bytes, which tell most of them apart.
    let mut low = (prefix(values, first), values.value(first));
    let mut high = low;
    for i in valid {
        let start = prefix(values, i);
        if start <= low.0 || start >= high.0 {
            let value = (start, values.value(i));
            if value < low {
                low = value;
            } else if value > high {
                high = value;
            }
        }
    }
    Some((Scalar::Bytes(low.1.to_vec()), Scalar::Bytes(high.1.to_vec())))
}

/// The first eight bytes of a value, zeros behind a shorter one, as a number in their order.
fn prefix(values: &ByteValues, i: usize) -> u64 {
    let (start, length) = (values.offsets[i] as usize, (values.offsets[i + 1] - values.offsets[i]) as usize);
    match values.data[start..].first_chunk() {
        Some(bytes) if length < size_of::<u64>() => {
            let beyond = u64::MAX.checked_shr(8 * length as u32).unwrap_or(0);
            u64::from_be_bytes(*bytes) & !beyond
        }
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            let value = values.value(i);
            let known = value.len().min(bytes.len());
            bytes[..known].copy_from_slice(&value[..known]);
            u64::from_be_bytes(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng::Rng;

    #[test]
    fn bounds_of_texts_are_those_of_their_bytes() {
        let mut rng = Rng::new(5);
        for round in 0..2000 {
            let byte = |rng: &mut Rng| [0, b'a', b'b', 0xff][rng.below(4)];
            // Mostly alike at their beginnings, as many as eight bytes of them.
            let start: Vec<u8> = (0..rng.below(10)).map(|_| byte(&mut rng)).collect();
            let text = |rng: &mut Rng| {
                let rest: Vec<u8> = (0..rng.below(4)).map(|_| byte(rng)).collect();
                if rng.one_in(8) { rest } else { [&start[..], &rest].concat() }
            };
            let texts: Vec<Vec<u8>> = (0..1 + rng.below(12)).map(|_| text(&mut rng)).collect();
            let valid: Vec<bool> = texts.iter().map(|_| !rng.one_in(5)).collect();
            let known = || texts.iter().zip(&valid).filter(|(_, valid)| **valid).map(|(text, _)| text);
            let expected = known().min().cloned().zip(known().max().cloned());
            let values: ByteValues = texts.iter().map(Vec::as_slice).collect();
            let found = super::texts(&values, Some(&NullBuffer::from(valid.clone())));
            let expected = expected.map(|(min, max)| (Scalar::Bytes(min), Scalar::Bytes(max)));
            assert_eq!(found, expected, "{round}: {texts:?} {valid:?}");
        }
    }

    #[test]
    fn sums_are_exact_whatever_the_values() {
        for values in
            [vec![i64::MAX; 3], vec![i64::MIN; 3], vec![i64::MIN, i64::MAX, -1], vec![1 << 61; 4], vec![-5, 7], vec![]]
        {
            let exact: i128 = values.iter().map(|v| i128::from(*v)).sum();
            assert_eq!(integers::<Int64Type>(&values.clone().into(), None).1, Some(exact), "{values:?}");
        }
    }
}
