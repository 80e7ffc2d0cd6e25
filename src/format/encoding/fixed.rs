//! Fixed-width values: their bytes, their keys, and which stored form decodes to which Arrow form.

use super::condition::{f32_key, f32_of_key, f64_key, f64_of_key};
use crate::common::{Error, Stored};
use crate::format::column::Values;

/// A fixed-width stored value.
pub(super) trait Fixed: Copy + Default + Send + Sync + 'static {
    /// The value's bytes.
    type Le: Copy + Send + Sync;
    /// Whether [`Fixed::key64`] holds the whole key.
    const NARROW: bool;
    /// Whole values' bytes; a rest is left out.
    fn chunks(bytes: &[u8]) -> &[Self::Le];
    fn from_le(bytes: Self::Le) -> Self;
    fn put(self, out: &mut Vec<u8>);
    /// What conditions compare: see [`super::condition`]. A REAL's is that of the double it equals.
    fn key(self) -> i128;
    fn key64(self) -> i64;
}

macro_rules! fixed {
    ($($type:ty, $narrow:literal, $key:expr;)+) => {$(
        impl Fixed for $type {
            type Le = [u8; size_of::<$type>()];
            const NARROW: bool = $narrow;
            fn chunks(bytes: &[u8]) -> &[Self::Le] {
                bytes.as_chunks().0
            }
            #[inline(always)]
            fn from_le(bytes: Self::Le) -> Self {
                <$type>::from_le_bytes(bytes)
            }
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            #[inline(always)]
            fn key(self) -> i128 {
                i128::from($key(self))
            }
            #[inline(always)]
            fn key64(self) -> i64 {
                $key(self) as i64
            }
        }
    )+};
}
fixed! {
    i16, true, i64::from;
    i32, true, i64::from;
    i64, true, i64::from;
    i128, false, i128::from;
    f32, true, |v: f32| f64_key(f64::from(v));
    f64, true, f64_key;
}

/// A stored integer.
pub(super) trait Integer: Fixed {
    /// Modulo 2^bits.
    fn of_i64(value: i64) -> Self;
    /// Modulo 2^bits.
    fn plus(self, other: Self) -> Self;
}

macro_rules! integer {
    ($($type:ty),+) => {$(
        impl Integer for $type {
            #[inline(always)]
            fn of_i64(value: i64) -> Self {
                value as $type
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
        }
    )+};
}
integer!(i16, i32, i64, i128);

/// As [`by_form`], for integers only.
macro_rules! by_integer {
    ($stored:expr, $values:expr, $call:ident($($arg:expr),*)) => {
        match ($stored, $values) {
            (Stored::I16, BuilderValues::I16(out)) => $call::<i16, i16>(out, $($arg),*),
            (Stored::I32, BuilderValues::I32(out)) => $call::<i32, i32>(out, $($arg),*),
            (Stored::I64, BuilderValues::I64(out)) => $call::<i64, i64>(out, $($arg),*),
            (Stored::I64, BuilderValues::I128(out)) => $call::<i64, i128>(out, $($arg),*),
            (Stored::I128, BuilderValues::I128(out)) => $call::<i128, i128>(out, $($arg),*),
            _ => Err($crate::format::encoding::fixed::wrong_builder()),
        }
    };
}
pub(super) use by_integer;

/// Calls `$call::<S>(…)` for a stored form of integers; Internal for another.
macro_rules! integers_of {
    ($stored:expr, $call:ident($($arg:expr),*)) => {
        match $stored {
            Stored::I16 => $call::<i16>($($arg),*),
            Stored::I32 => $call::<i32>($($arg),*),
            Stored::I64 => $call::<i64>($($arg),*),
            Stored::I128 => $call::<i128>($($arg),*),
            Stored::Bool | Stored::F32 | Stored::F64 | Stored::Bytes | Stored::Binary => {
                Err($crate::common::Error::internal("an encoding of integers holds other values"))
            }
        }
    };
}
pub(super) use integers_of;

/// Calls `$call(&[S], …)` with the integers of some values; Internal for others.
macro_rules! with_integers {
    ($values:expr, $call:ident($($arg:expr),*)) => {
        match $values {
            Values::I16(v) => Ok($call::<i16>(v, $($arg),*)),
            Values::I32(v) => Ok($call::<i32>(v, $($arg),*)),
            Values::I64(v) => Ok($call::<i64>(v, $($arg),*)),
            Values::I128(v) => Ok($call::<i128>(v, $($arg),*)),
            Values::Bool(_) | Values::F32(_) | Values::F64(_) | Values::Bytes(_) => {
                Err($crate::common::Error::internal("an encoding of integers is given other values"))
            }
        }
    };
}
pub(super) use with_integers;

/// Calls `$call::<S, D>($out, …)` for the stored form and the builder's form, `S: Into<D>`.
macro_rules! by_form {
    ($stored:expr, $values:expr, $call:ident($($arg:expr),*)) => {
        match ($stored, $values) {
            (Stored::I16, BuilderValues::I16(out)) => $call::<i16, i16>(out, $($arg),*),
            (Stored::I32, BuilderValues::I32(out)) => $call::<i32, i32>(out, $($arg),*),
            (Stored::I64, BuilderValues::I64(out)) => $call::<i64, i64>(out, $($arg),*),
            (Stored::I64, BuilderValues::I128(out)) => $call::<i64, i128>(out, $($arg),*),
            (Stored::I128, BuilderValues::I128(out)) => $call::<i128, i128>(out, $($arg),*),
            (Stored::F32, BuilderValues::F32(out)) => $call::<f32, f32>(out, $($arg),*),
            (Stored::F64, BuilderValues::F64(out)) => $call::<f64, f64>(out, $($arg),*),
            _ => Err($crate::format::encoding::fixed::wrong_builder()),
        }
    };
}
pub(super) use by_form;

pub(super) fn wrong_builder() -> Error {
    Error::internal("a column's pages were decoded into a builder of another form")
}

/// The values of a page as whole numbers that differ exactly where the values do: the value, or for floats the key of
/// their own width. `None` for text.
pub(super) enum Keys {
    Narrow(Vec<i64>),
    Wide(Vec<i128>),
}

impl Keys {
    pub fn of(values: &Values) -> Option<Keys> {
        Some(match values {
            Values::Bool(v) => Keys::Narrow(v.iter().map(i64::from).collect()),
            Values::I16(v) => Keys::Narrow(v.iter().map(|v| i64::from(*v)).collect()),
            Values::I32(v) => Keys::Narrow(v.iter().map(|v| i64::from(*v)).collect()),
            Values::I64(v) => Keys::Narrow(v.to_vec()),
            Values::I128(v) => Keys::Wide(v.to_vec()),
            Values::F32(v) => Keys::Narrow(v.iter().map(|v| i64::from(f32_key(*v))).collect()),
            Values::F64(v) => Keys::Narrow(v.iter().map(|v| f64_key(*v)).collect()),
            Values::Bytes(_) => return None,
        })
    }
}

/// Appends the value of a key that [`Keys::of`] made, in RAW's form.
pub(super) fn put_key(stored: Stored, key: i128, out: &mut Vec<u8>) {
    match stored {
        Stored::I16 => (key as i16).put(out),
        Stored::I32 => (key as i32).put(out),
        Stored::I64 => (key as i64).put(out),
        Stored::I128 => key.put(out),
        Stored::F32 => f32_of_key(key as i32).put(out),
        Stored::F64 => f64_of_key(key as i64).put(out),
        Stored::Bool | Stored::Bytes | Stored::Binary => {
            unreachable!("only fixed-width values have keys that are written")
        }
    }
}
