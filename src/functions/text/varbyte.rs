//! VARBYTE (Redshift's manual, "VARBYTE functions"). What text functions of the same name do with characters, these do
//! with bytes.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::functions::{string, unicode};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::super::kernel::{Args, Function, Param};
use super::hash::hex;

pub(super) fn additions() -> Vec<Arc<ScalarUDF>> {
    let function = |name, params: &'static [Param], returns, compute| {
        Function { name, aliases: &[], params, required: params.len(), returns, compute }.udf()
    };
    vec![
        function("to_varbyte", &[Param::Text; 2], DataType::BinaryView, to_varbyte),
        function("from_varbyte", &[Param::Bytes, Param::Text], DataType::Utf8View, from_varbyte),
        function("from_hex", &[Param::Text], DataType::BinaryView, |args| {
            args.byte_values(|row| args.text(0, row).map(|text| Format::Hex.read(args, text)).transpose())
        }),
        function("getbit", &[Param::Bytes, Param::Int], DataType::Int32, getbit),
        OrBytes::udf("len", &[], unicode::character_length(), length),
        OrBytes::udf("textlen", &[], unicode::character_length(), length),
    ]
}

pub(super) fn replacements() -> Vec<Arc<ScalarUDF>> {
    vec![
        OrBytes::udf("character_length", &["length", "char_length"], unicode::character_length(), length),
        OrBytes::udf("substr", &["substring"], unicode::substr(), || Function {
            name: "substring",
            aliases: &[],
            params: &[Param::Bytes, Param::Int, Param::Int],
            required: 2,
            returns: DataType::BinaryView,
            compute: substring,
        }),
        OrBytes::udf("to_hex", &[], string::to_hex(), || Function {
            name: "to_hex",
            aliases: &[],
            params: &[Param::Bytes],
            required: 1,
            returns: DataType::Utf8View,
            compute: |args| args.texts(|row| Ok(args.bytes(0, row).map(hex))),
        }),
    ]
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy)]
enum Format {
    Hex,
    Binary,
    Utf8,
    Base64,
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Format {
    fn named(args: &Args, name: &str) -> Result<Format> {
        match name.to_ascii_lowercase().as_str() {
            "hex" => Ok(Format::Hex),
            "binary" => Ok(Format::Binary),
            "utf8" | "utf-8" | "utf_8" => Ok(Format::Utf8),
            "base64" => Ok(Format::Base64),
            _ => Err(args.invalid(format!("'{name}' is no format; there are hex, binary, utf8 and base64"))),
        }
    }

    fn read(self, args: &Args, text: &str) -> Result<Vec<u8>> {
        let read = match self {
            Format::Hex => digits(text, 16, 2),
            Format::Binary => digits(text, 2, 8),
            Format::Utf8 => Some(text.as_bytes().to_vec()),
            Format::Base64 => from_base64(text),
        };
        let what = match self {
            Format::Hex => "hexadecimal digits",
            Format::Binary => "binary digits",
            Format::Utf8 => "UTF-8",
            Format::Base64 => "base64",
        };
        read.ok_or_else(|| args.invalid(format!("\"{}\" is not of {what}", shortened(text))))
    }

    /// `None` of bytes that are no UTF-8.
    fn write(self, bytes: &[u8]) -> Option<String> {
        Some(match self {
            Format::Hex => hex(bytes),
            Format::Binary => bytes.iter().map(|byte| format!("{byte:08b}")).collect(),
            Format::Utf8 => std::str::from_utf8(bytes).ok()?.to_string(),
            Format::Base64 => to_base64(bytes),
        })
    }
}

fn shortened(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}

/// Bytes of so many digits each; zeros are put before digits that are too few for the first byte.
fn digits(text: &str, radix: u32, of_byte: usize) -> Option<Vec<u8>> {
    let values: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(radix)).collect();
    let values = values?;
    let missing = values.len().next_multiple_of(of_byte) - values.len();
    let all: Vec<u32> = std::iter::repeat_n(0, missing).chain(values).collect();
    Some(all.chunks(of_byte).map(|byte| byte.iter().fold(0, |sum, digit| sum * radix + digit) as u8).collect())
}

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(group.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let letter = BASE64.get((bits >> (18 - 6 * i) & 63) as usize).copied().unwrap_or(b'=');
            text.push(if i <= group.len() { letter.into() } else { '=' });
        }
    }
    text
}

/// RFC 4648, section 4: groups of four letters, filled with `=`.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let (groups, rest) = text.as_bytes().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(groups.len() * 3);
    for (i, group) in groups.iter().enumerate() {
        let filled = group.iter().rev().take_while(|letter| **letter == b'=').count();
        if filled > 2 || (filled > 0 && i + 1 < groups.len()) {
            return None;
        }
        let mut bits = 0u32;
        for letter in &group[..4 - filled] {
            bits = bits << 6 | BASE64.iter().position(|known| known == letter)? as u32;
        }
        bits <<= 6 * filled;
        let [_, group @ ..] = bits.to_be_bytes();
        bytes.extend(group.get(..3 - filled)?);
    }
    Some(bytes)
}

fn to_varbyte(args: &Args) -> Result<ArrayRef> {
    args.byte_values(|row| {
        let (Some(text), Some(format)) = (args.text(0, row), args.text(1, row)) else { return Ok(None) };
        Format::named(args, format)?.read(args, text).map(Some)
    })
}

fn from_varbyte(args: &Args) -> Result<ArrayRef> {
    args.texts(|row| {
        let (Some(bytes), Some(format)) = (args.bytes(0, row), args.text(1, row)) else { return Ok(None) };
        let text = Format::named(args, format)?.write(bytes);
        let shown = || hex(bytes.get(..bytes.len().min(30)).unwrap_or_default());
        text.map(Some).ok_or_else(|| args.invalid(format!("the bytes {} are no UTF-8", shown())))
    })
}

/// `getbit(bytes, place)`: the bit at a place from 0, the rightmost, to the leftmost.
fn getbit(args: &Args) -> Result<ArrayRef> {
    args.ints(|row| {
        let (Some(bytes), Some(place)) = (args.bytes(0, row), args.int(1, row)) else { return Ok(None) };
        let from_end = usize::try_from(place / 8).ok().filter(|_| place >= 0);
        let byte = from_end.and_then(|from_end| bytes.iter().rev().nth(from_end));
        let beyond = || args.invalid(format!("there is no bit {place} in {} bytes", bytes.len()));
        byte.map(|byte| Some(i32::from(byte >> (place % 8) & 1))).ok_or_else(beyond)
    })
}

fn length() -> Function {
    Function {
        name: "length",
        aliases: &[],
        params: &[Param::Bytes],
        required: 1,
        returns: DataType::Int32,
        compute: |args| args.ints(|row| Ok(args.bytes(0, row).map(|bytes| bytes.len() as i32))),
    }
}

/// `substring(bytes, start from 1 [, length])`: what of that range there is.
fn substring(args: &Args) -> Result<ArrayRef> {
    args.byte_values(|row| {
        let (Some(bytes), Some(start)) = (args.bytes(0, row), args.int(1, row)) else { return Ok(None) };
        let end = match args.int(2, row) {
            Some(length) if length < 0 => return Err(args.invalid(format!("the length {length} is negative"))),
            Some(length) => start.saturating_add(length),
            None => i64::MAX,
        };
        let place = |at: i64| usize::try_from(at.max(1) - 1).map_or(bytes.len(), |at| at.min(bytes.len()));
        Ok(Some(bytes.get(place(start)..place(end)).unwrap_or_default().to_vec()))
    })
}

/// DataFusion's function of text, and one of VARBYTE by the same name.
#[derive(Debug)]
struct OrBytes {
    name: &'static str,
    aliases: Vec<String>,
    text: Arc<ScalarUDF>,
    bytes: Arc<ScalarUDF>,
    signature: Signature,
}

impl OrBytes {
    fn udf(
        name: &'static str,
        aliases: &[&'static str],
        text: Arc<ScalarUDF>,
        bytes: fn() -> Function,
    ) -> Arc<ScalarUDF> {
        let aliases = aliases.iter().map(ToString::to_string).collect();
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(OrBytes { name, aliases, text, bytes: bytes().udf(), signature }.into())
    }

    fn of(&self, first: Option<&DataType>) -> &Arc<ScalarUDF> {
        if first.is_some_and(DataType::is_binary) { &self.bytes } else { &self.text }
    }
}

impl PartialEq for OrBytes {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for OrBytes {}

impl std::hash::Hash for OrBytes {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for OrBytes {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.of(types.first()).return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let text = |t: &DataType| {
            self.name == "substr" && (t.is_numeric() || matches!(t, DataType::Boolean | DataType::Date32))
        };
        // "Non-character data types are treated like a string" (Redshift's manual, "SUBSTRING function").
        let read =
            types.iter().enumerate().map(|(i, t)| if i == 0 && text(t) { DataType::Utf8View } else { t.clone() });
        let fields: Vec<FieldRef> = read.map(|t| Arc::new(Field::new("", t, true))).collect();
        match fields_with_udf(&fields, self.of(types.first()).as_ref()) {
            Ok(fields) => Ok(fields.iter().map(|field| field.data_type().clone()).collect()),
            Err(_) => {
                let given: Vec<String> = types.iter().map(ToString::to_string).collect();
                plan_err!("{} does not take arguments of the types ({})", self.name, given.join(", "))
            }
        }
    }

    /// So that what the planner knows of DataFusion's function holds for text.
    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let Some(first) = args.first().and_then(|arg| context.get_data_type(arg).ok()) else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        Ok(match first.is_binary() {
            true => ExprSimplifyResult::Original(args),
            false => ExprSimplifyResult::Simplified(self.text.call(args)),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(first) = args.arg_fields.first() else { return exec_err!("{} takes arguments", self.name) };
        self.of(Some(first.data_type())).invoke_with_args(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
            ("\u{3ff}\u{7ff}", "z7/fvw=="),
        ] {
            assert_eq!(to_base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        for wrong in ["Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Z=g=", "Zm9v\n", "Zm-_"] {
            assert_eq!(from_base64(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn digits_are_bytes() {
        assert_eq!(digits("4", 16, 2), Some(vec![4]));
        assert_eq!(digits("00FF0a", 16, 2), Some(vec![0, 255, 10]));
        assert_eq!(digits("100000001", 2, 8), Some(vec![1, 1]));
        assert_eq!(digits("", 2, 8), Some(vec![]));
        for (text, radix, of_byte) in [("6g", 16, 2), ("0x61", 16, 2), ("012", 2, 8), ("é", 16, 2)] {
            assert_eq!(digits(text, radix, of_byte), None, "{text}");
        }
    }
}
