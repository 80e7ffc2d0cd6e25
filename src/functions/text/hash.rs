//! Hashes (Redshift's manual, "Hash functions").

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::functions::crypto;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};
use sha1::{Digest, Sha1};

use super::super::kernel::{Args, Function, Param};

pub(super) fn additions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function {
            name: "crc32",
            aliases: &[],
            params: &[Param::Text],
            required: 1,
            returns: DataType::Utf8View,
            compute: crc32,
        }
        .udf(),
        Function {
            name: "sha1",
            aliases: &["sha", "func_sha1"],
            params: &[Param::Text],
            required: 1,
            returns: DataType::Utf8View,
            compute: |args| args.texts(|row| Ok(args.text(0, row).map(|text| hex(&Sha1::digest(text.as_bytes()))))),
        }
        .udf(),
        Function {
            name: "sha2",
            aliases: &[],
            params: &[Param::Text, Param::Int],
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
    ]
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// CRC-32C in hexadecimal, which is what Redshift computes by this name.
fn crc32(args: &Args) -> Result<ArrayRef> {
    args.texts(|row| Ok(args.text(0, row).map(|text| format!("{:08x}", crc32c::crc32c(text.as_bytes())))))
}

/// `sha2(text, bits)` in hexadecimal; 0 bits are 256, and other numbers give empty text.
fn sha2(args: &Args) -> Result<ArrayRef> {
    args.texts(|row| {
        let (Some(text), Some(bits)) = (args.text(0, row), args.int(1, row)) else { return Ok(None) };
        let function = match bits {
            0 | 256 => crypto::sha256(),
            224 => crypto::sha224(),
            384 => crypto::sha384(),
            512 => crypto::sha512(),
            _ => return Ok(Some(String::new())),
        };
        digest(&function, text).map(Some)
    })
}

/// DataFusion's digest of one text, in hexadecimal.
fn digest(function: &ScalarUDF, text: &str) -> Result<String> {
    let value = ScalarValue::Utf8View(Some(text.to_string()));
    let field = Arc::new(arrow::datatypes::Field::new("text", DataType::Utf8View, true));
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
