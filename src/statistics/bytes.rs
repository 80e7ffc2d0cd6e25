//! What the stored forms of statistics share: numbers of six bits, values, fractions.

use crate::common::{Result, Scalar};
use crate::format::bytes::{Reader, WriteLe};

/// Bytes of a value of text or bytes, at most: longer ones are cut.
pub(crate) const MAX_VALUE_BYTES: usize = 128;

/// Columns that statistics tell of, at most: more than a table can have.
pub(crate) const MAX_COLUMNS: usize = 4096;

/// Appends numbers below 64, four in three bytes, the first in the lowest bits.
pub(super) fn write_f6(numbers: &[u8], out: &mut Vec<u8>) {
    for four in numbers.chunks(4) {
        let bits = four.iter().rev().fold(0u32, |bits, number| bits << 6 | u32::from(*number & 0x3f));
        out.extend_from_slice(&bits.to_le_bytes()[..3]);
    }
}

/// The inverse of [`write_f6`], for as many numbers as there is room for.
pub(super) fn read_f6(bytes: &[u8], numbers: &mut [u8]) {
    for (three, four) in bytes.chunks(3).zip(numbers.chunks_mut(4)) {
        let bits = three.iter().rev().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for (i, number) in four.iter_mut().enumerate() {
            *number = (bits >> (6 * i)) as u8 & 0x3f;
        }
    }
}

pub(super) fn write_value(value: &Scalar, out: &mut Vec<u8>) {
    match value {
        Scalar::Bool(v) => out.extend_from_slice(&[0, u8::from(*v)]),
        Scalar::Int(v) => match i64::try_from(*v) {
            Ok(v) => {
                out.put_u8(1);
                out.put_signed_varint(v);
            }
            Err(_) => {
                out.put_u8(2);
                out.put_i128(*v);
            }
        },
        Scalar::Float(v) => {
            out.put_u8(3);
            out.put_u64(v.to_bits());
        }
        Scalar::Bytes(v) => {
            let v = &v[..v.len().min(MAX_VALUE_BYTES)];
            out.put_u8(4);
            out.put_u8(v.len() as u8);
            out.extend_from_slice(v);
        }
    }
}

pub(super) fn read_value(reader: &mut Reader<'_>) -> Result<Scalar> {
    Ok(match reader.u8()? {
        0 => Scalar::Bool(reader.u8()? != 0),
        1 => Scalar::Int(i128::from(reader.signed_varint()?)),
        2 => Scalar::Int(reader.i128()?),
        3 => Scalar::Float(f64::from_bits(reader.u64()?)),
        4 => {
            let len = usize::from(reader.u8()?);
            Scalar::Bytes(reader.take(len)?.to_vec())
        }
        other => return Err(reader.corrupt(format!("a value of unknown form {other}"))),
    })
}

/// A number that is not negative and not infinite.
pub(super) fn read_number(reader: &mut Reader<'_>) -> Result<f64> {
    let number = f64::from_bits(reader.u64()?);
    if number.is_finite() && number >= 0.0 { Ok(number) } else { Err(reader.corrupt("an impossible number")) }
}

/// A number from 0 to 1.
pub(super) fn read_fraction(reader: &mut Reader<'_>) -> Result<f64> {
    let number = read_number(reader)?;
    if number <= 1.0 { Ok(number) } else { Err(reader.corrupt("a share above one")) }
}

/// A number of things of which each takes a byte at least.
pub(super) fn read_count(reader: &mut Reader<'_>, most: usize) -> Result<usize> {
    let count = reader.varint()?;
    match usize::try_from(count) {
        Ok(count) if count <= most && count <= reader.remaining() => Ok(count),
        _ => Err(reader.corrupt(format!("{count} where {most} may follow"))),
    }
}
