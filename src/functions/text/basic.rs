//! Search, comparison and sound (Redshift's manual, "String functions").

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{AsArray, Int32Array};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::super::kernel::{Args, Function, Param, Renamed};
use super::limited;
use crate::common::SqlType;

pub(super) fn additions() -> Vec<Arc<ScalarUDF>> {
    let compare = |name, aliases, compute| Function {
        name,
        aliases,
        params: &[Param::Text; 2],
        required: 2,
        returns: DataType::Int32,
        compute,
    };
    vec![
        compare("charindex", &[], charindex).udf(),
        compare("octetindex", &[], octetindex).udf(),
        compare("bpcharcmp", &["bttext_pattern_cmp"], bpcharcmp).udf(),
        compare("difference", &[], difference).udf(),
        Function {
            name: "soundex",
            aliases: &[],
            params: &[Param::Text],
            required: 1,
            returns: DataType::Utf8View,
            compute: |args| args.texts(|row| Ok(args.text(0, row).map(soundex))),
        }
        .udf(),
        Function {
            name: "strtol",
            aliases: &[],
            params: &[Param::Text, Param::Int],
            required: 2,
            returns: DataType::Int64,
            compute: strtol,
        }
        .udf(),
        Renamed::udf("replicate", limited::repeat()),
    ]
}

pub(super) fn replacements() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(OctetLength::default().into())]
}

/// `charindex(sought, text)`: the place of the first occurrence, in characters from 1; 0 where there is none.
fn charindex(args: &Args) -> Result<arrow::array::ArrayRef> {
    args.ints(|row| {
        let (Some(sought), Some(text)) = (args.text(0, row), args.text(1, row)) else { return Ok(None) };
        let place = text.find(sought).map_or(0, |at| text[..at].chars().count() + 1);
        i32::try_from(place).map(Some).map_err(|_| args.invalid("the text is too long"))
    })
}

/// `octetindex(sought, text)`: as [`charindex`], in bytes.
fn octetindex(args: &Args) -> Result<arrow::array::ArrayRef> {
    args.ints(|row| {
        let (Some(sought), Some(text)) = (args.text(0, row), args.text(1, row)) else { return Ok(None) };
        let place = text.find(sought).map_or(0, |at| at + 1);
        i32::try_from(place).map(Some).map_err(|_| args.invalid("the text is too long"))
    })
}

/// Compares bytes, without trailing blanks: -1, 0 or 1.
fn bpcharcmp(args: &Args) -> Result<arrow::array::ArrayRef> {
    args.ints(|row| {
        let (Some(left), Some(right)) = (args.text(0, row), args.text(1, row)) else { return Ok(None) };
        Ok(Some(match left.trim_end_matches(' ').cmp(right.trim_end_matches(' ')) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }))
    })
}

/// How many of the four characters of the Soundex codes are the same.
fn difference(args: &Args) -> Result<arrow::array::ArrayRef> {
    args.ints(|row| {
        let (Some(left), Some(right)) = (args.text(0, row), args.text(1, row)) else { return Ok(None) };
        let same = soundex(left).bytes().zip(soundex(right).bytes()).filter(|(a, b)| a == b).count();
        Ok(Some(same as i32))
    })
}

/// American Soundex: the first letter and three digits, for English letters; others are passed over. Empty where there
/// is no letter.
fn soundex(text: &str) -> String {
    const CODE_LENGTH: usize = 4;
    let mut code = String::with_capacity(CODE_LENGTH);
    let mut last = 0;
    for letter in text.bytes().filter(u8::is_ascii_alphabetic).map(|b| b.to_ascii_uppercase()) {
        let digit = match letter {
            b'B' | b'F' | b'P' | b'V' => b'1',
            b'C' | b'G' | b'J' | b'K' | b'Q' | b'S' | b'X' | b'Z' => b'2',
            b'D' | b'T' => b'3',
            b'L' => b'4',
            b'M' | b'N' => b'5',
            b'R' => b'6',
            _ => 0,
        };
        if code.is_empty() {
            code.push(letter.into());
        } else if digit != 0 && digit != last {
            code.push(digit.into());
        }
        // H and W do not part letters of one digit, vowels do.
        if !matches!(letter, b'H' | b'W') {
            last = digit;
        }
        if code.len() == CODE_LENGTH {
            break;
        }
    }
    if !code.is_empty() {
        code.extend(std::iter::repeat_n('0', CODE_LENGTH - code.len()));
    }
    code
}

/// `strtol(text, base)`: the whole number that the text is in a base of 2 to 36; `0x` may stand before base 16.
fn strtol(args: &Args) -> Result<arrow::array::ArrayRef> {
    args.bigints(|row| {
        let (Some(text), Some(base)) = (args.text(0, row), args.int(1, row)) else { return Ok(None) };
        let radix = u32::try_from(base).ok().filter(|b| (2..=36).contains(b));
        let radix = radix.ok_or_else(|| args.invalid(format!("base {base} is not between 2 and 36")))?;
        let digits = text.trim();
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", digits.strip_prefix('+').unwrap_or(digits)),
        };
        let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
        let digits = hexadecimal.filter(|_| radix == 16).unwrap_or(digits);
        let number = if digits.starts_with(['-', '+']) { None } else { Some(format!("{sign}{digits}")) };
        let number = number.and_then(|n| i64::from_str_radix(&n, radix).ok());
        let wrong = || args.invalid(format!("\"{text}\" is not a whole number in base {base} that BIGINT holds"));
        Ok(Some(number.ok_or_else(wrong)?))
    })
}

/// The bytes of a text or VARBYTE. Of a CHAR those of its declared length, although no trailing blank is stored.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OctetLength {
    signature: Signature,
}

impl Default for OctetLength {
    fn default() -> Self {
        let takes = vec![
            TypeSignature::String(1),
            TypeSignature::Exact(vec![DataType::BinaryView]),
            TypeSignature::Exact(vec![DataType::Binary]),
        ];
        OctetLength { signature: Signature::one_of(takes, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for OctetLength {
    fn name(&self) -> &str {
        "octet_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [field] = args.arg_fields.as_slice() else { return exec_err!("octet_length takes one argument") };
        let padded = match SqlType::from_field(field) {
            Some(SqlType::Char(bytes)) => Some(bytes as i32),
            _ => None,
        };
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(text) = arrays.first() else { return exec_err!("octet_length takes one argument") };
        let bytes = if text.data_type().is_binary() { &DataType::BinaryView } else { &DataType::Utf8View };
        let text = arrow::compute::cast(text, bytes)?;
        let lengths: Int32Array = match text.as_binary_view_opt() {
            Some(bytes) => bytes.iter().map(|b| b.map(|b| b.len() as i32)).collect(),
            None => text.as_string_view().iter().map(|t| t.map(|t| padded.unwrap_or(t.len() as i32))).collect(),
        };
        if args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_))) {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&lengths, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(lengths)))
    }
}

#[cfg(test)]
mod tests {
    use super::soundex;

    #[test]
    fn soundex_is_american() {
        for (text, code) in [
            ("Robert", "R163"),
            ("Rupert", "R163"),
            ("Rubin", "R150"),
            ("Ashcraft", "A261"),
            ("Tymczak", "T522"),
            ("Pfister", "P236"),
            ("Honeyman", "H555"),
            ("Amazon", "A525"),
            ("a", "A000"),
            ("", ""),
            ("日本 4", ""),
        ] {
            assert_eq!(soundex(text), code, "{text}");
        }
    }
}
