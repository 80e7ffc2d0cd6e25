//! Hashes (Redshift's manual, "Hash functions").

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::functions::crypto;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};
use sha1::{Digest, Sha1};

use super::super::kernel::{Args, Function, Param};
use super::farm;

pub(super) fn additions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function {
            name: "crc32",
            aliases: &[],
            params: &[Param::BytesOrSimple],
            required: 1,
            returns: DataType::Utf8View,
            compute: crc32,
        }
        .udf(),
        Function {
            name: "sha1",
            aliases: &["sha", "func_sha1"],
            params: &[Param::BytesOrSimple],
            required: 1,
            returns: DataType::Utf8View,
            compute: |args| args.texts(|row| Ok(args.bytes(0, row).map(|bytes| hex(&Sha1::digest(bytes))))),
        }
        .udf(),
        Function {
            name: "sha2",
            aliases: &[],
            params: &[Param::BytesOrSimple, Param::Int],
            required: 2,
            returns: DataType::Utf8View,
            compute: sha2,
        }
        .udf(),
        Function {
            name: "fnv_hash",
            aliases: &[],
            params: &[Param::Any, Param::Int],
            required: 1,
            returns: DataType::Int64,
            compute: fnv_hash,
        }
        .udf(),
        Function {
            name: "murmur3_32_hash",
            aliases: &[],
            params: &[Param::Any, Param::Int],
            required: 1,
            returns: DataType::Int32,
            compute: murmur3_32_hash,
        }
        .udf(),
        Function {
            name: "farmfingerprint64",
            aliases: &[],
            params: &[Param::Bytes],
            required: 1,
            returns: DataType::Int64,
            compute: |args| args.bigints(|row| Ok(args.bytes(0, row).map(|bytes| farm::fingerprint64(bytes) as i64))),
        }
        .udf(),
    ]
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// CRC-32C in hexadecimal, which is what Redshift computes by this name.
fn crc32(args: &Args) -> Result<ArrayRef> {
    args.texts(|row| Ok(args.bytes(0, row).map(|bytes| format!("{:08x}", crc32c::crc32c(bytes)))))
}

/// `sha2(text, bits)` in hexadecimal; 0 bits are 256, and other numbers give empty text.
fn sha2(args: &Args) -> Result<ArrayRef> {
    args.texts(|row| {
        let (Some(bytes), Some(bits)) = (args.bytes(0, row), args.int(1, row)) else { return Ok(None) };
        let function = match bits {
            0 | 256 => crypto::sha256(),
            224 => crypto::sha224(),
            384 => crypto::sha384(),
            512 => crypto::sha512(),
            _ => return Ok(Some(String::new())),
        };
        digest(&function, bytes).map(Some)
    })
}

/// DataFusion's digest of one value, in hexadecimal.
fn digest(function: &ScalarUDF, bytes: &[u8]) -> Result<String> {
    let value = ScalarValue::BinaryView(Some(bytes.to_vec()));
    let field = Arc::new(arrow::datatypes::Field::new("bytes", DataType::BinaryView, true));
    let made = function.invoke_with_args(ScalarFunctionArgs {
        args: vec![ColumnarValue::Scalar(value)],
        arg_fields: vec![field],
        number_rows: 1,
        return_field: Arc::new(arrow::datatypes::Field::new("digest", DataType::Binary, true)),
        config_options: Arc::new(ConfigOptions::default()),
    })?;
    match made {
        ColumnarValue::Scalar(ScalarValue::Binary(Some(bytes)) | ScalarValue::BinaryView(Some(bytes))) => {
            Ok(hex(&bytes))
        }
        other => internal_err!("a digest is {}", other.data_type()),
    }
}

/// FNV-1a of 64 bits over the value's bytes: text as it is, numbers in little-endian order by the width of their type.
/// The optional seed takes the place of the function's own.
fn fnv_hash(args: &Args) -> Result<ArrayRef> {
    const OWN_SEED: u64 = 0xcbf2_9ce4_8422_2325;
    let hash = |seed: u64, bytes: &[u8]| {
        bytes.iter().fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
    };
    args.bigints(|row| {
        let Some((column, at)) = args.any(0, row) else { return Ok(None) };
        let seed = args.int(1, row).map_or(OWN_SEED, |seed| seed as u64);
        let hashed = match column.data_type() {
            DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8 => {
                let text = arrow::compute::cast(&column.slice(at, 1), &DataType::Utf8View)?;
                let text: &StringViewArray = text.as_string_view();
                hash(seed, text.value(0).as_bytes())
            }
            DataType::BinaryView => hash(seed, column.as_binary_view().value(at)),
            DataType::Null => return Ok(None),
            DataType::Boolean => hash(seed, &[u8::from(column.as_boolean().value(at))]),
            other => match other.primitive_width() {
                Some(width) => {
                    let data = column.slice(at, 1).to_data();
                    let start = data.offset() * width;
                    match data.buffers().first().and_then(|b| b.as_slice().get(start..start + width)) {
                        Some(bytes) => hash(seed, bytes),
                        None => return Err(args.invalid("the value has no bytes")),
                    }
                }
                None => return Err(args.invalid(format!("a value of type {other} cannot be hashed"))),
            },
        };
        Ok(Some(hashed as i64))
    })
}

/// Murmur3 of 32 bits, with an optional seed, over the bytes that Apache Iceberg's specification gives each type (appendix
/// B, "32-bit hash requirements"): integers, dates and times as 64 bits, floating-point numbers as DOUBLE, DECIMAL as the
/// fewest bytes that hold it.
fn murmur3_32_hash(args: &Args) -> Result<ArrayRef> {
    args.ints(|row| {
        let Some((column, at)) = args.any(0, row) else { return Ok(None) };
        let seed = match args.int(1, row) {
            Some(seed) => i32::try_from(seed).map_err(|_| args.invalid(format!("the seed {seed} is no INTEGER")))?,
            None => 0,
        };
        let value = column.slice(at, 1);
        let long = |value: i64| murmur3(&value.to_le_bytes(), seed as u32);
        let hashed = match column.data_type() {
            DataType::Null => return Ok(None),
            DataType::Boolean => long(i64::from(value.as_boolean().value(0))),
            DataType::Decimal128(..) => {
                let bytes = value.as_primitive::<Decimal128Type>().value(0).to_be_bytes();
                // Bytes that only repeat the sign are left out.
                let repeats = |pair: &[u8]| {
                    matches!(pair, [0, next] if *next < 0x80) || matches!(pair, [0xff, next] if *next >= 0x80)
                };
                let start = bytes.windows(2).take_while(|pair| repeats(pair)).count();
                murmur3(bytes.get(start..).unwrap_or_default(), seed as u32)
            }
            t if t.is_floating() => {
                let number = cast(&value, &DataType::Float64)?.as_primitive::<Float64Type>().value(0);
                // Zero has one hash.
                long(if number == 0.0 { 0 } else { number.to_bits() as i64 })
            }
            t if t.is_string() || t.is_binary() => {
                let bytes = cast(&cast(&value, &DataType::Binary)?, &DataType::BinaryView)?;
                murmur3(bytes.as_binary_view().value(0), seed as u32)
            }
            t if t.is_integer() || matches!(t, DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..)) => {
                let number = match t {
                    DataType::Date32 => cast(&cast(&value, &DataType::Int32)?, &DataType::Int64)?,
                    _ => cast(&value, &DataType::Int64)?,
                };
                long(number.as_primitive::<Int64Type>().value(0))
            }
            other => return Err(args.invalid(format!("a value of type {other} cannot be hashed"))),
        };
        Ok(Some(hashed as i32))
    })
}

/// MurmurHash3_x86_32 (Austin Appleby).
fn murmur3(bytes: &[u8], seed: u32) -> u32 {
    let mix = |k: u32| k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut h = seed;
    for block in blocks {
        h = (h ^ mix(u32::from_le_bytes(*block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = tail.iter().rev().fold(0u32, |k, byte| k << 8 | u32::from(*byte));
    if !tail.is_empty() {
        h ^= mix(rest);
    }
    h ^= bytes.len() as u32;
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}
