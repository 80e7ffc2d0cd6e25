//! Text and bytes as a declared type holds them: what a cast to CHAR(n), VARCHAR(n) or VARBYTE(n) does beyond Arrow's.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryViewArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int16Type, Int32Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::common::SqlType;

/// The name of a cast's target field, before the type.
const TARGET: &str = "cast to ";

/// The target of a cast to a type that Arrow's does not tell: CHAR, VARCHAR or VARBYTE with a length, TIMESTAMPTZ, SUPER.
///
/// The field's name tells the type, not its metadata: DataFusion compares the metadata of a VALUES list's rows and
/// refuses lists that mix them.
pub fn cast_target(sql_type: SqlType) -> FieldRef {
    Arc::new(Field::new(format!("{TARGET}{sql_type}"), sql_type.arrow_type(), true))
}

/// The type that [`cast_target`] was given, if it made the field.
pub fn of_cast_target(field: &Field) -> Option<SqlType> {
    SqlType::parse_told(field.name().strip_prefix(TARGET)?)
}

/// `declared(text, 'character varying(5)')`: the text, cut to the type's bytes between characters; for CHAR without
/// trailing blanks, as columns store it. `declared(value, 'binary varying(5)')`: the UTF-8 of text, the bytes of an
/// integer, the most significant first; cut, too (Redshift manual, "VARBYTE type").
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Declared {
    signature: Signature,
}

impl Default for Declared {
    fn default() -> Self {
        Declared { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Declared {
    fn name(&self) -> &str {
        "declared"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the field tells more than its type")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let told = match args.scalar_arguments {
            [_, Some(ScalarValue::Utf8(Some(told)))] => SqlType::parse_told(told),
            _ => None,
        };
        match told {
            Some(sql_type) if !takes(sql_type, args.arg_fields[0].data_type()) => {
                plan_err!("a value of type {} cannot be cast to {sql_type}", args.arg_fields[0].data_type())
            }
            Some(sql_type) => Ok(Arc::new(sql_type.field(self.name(), args.arg_fields[0].is_nullable()))),
            None => plan_err!("declared takes text and a literal such as 'character varying(5)'"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(sql_type) = SqlType::from_field(&args.return_field) else {
            return internal_err!("declared returns text");
        };
        if let SqlType::Varbyte(bytes) = sql_type {
            let source = args.arg_fields.first().and_then(|field| SqlType::from_field(field));
            return match args.args.first() {
                Some(ColumnarValue::Array(array)) => Ok(ColumnarValue::Array(to_bytes(array, source, bytes)?)),
                Some(ColumnarValue::Scalar(value)) => {
                    let made = to_bytes(&value.to_array()?, source, bytes)?;
                    Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?))
                }
                None => exec_err!("declared takes a value"),
            };
        }
        match args.args.first() {
            Some(ColumnarValue::Array(array)) => Ok(ColumnarValue::Array(fit_array(array, sql_type))),
            Some(ColumnarValue::Scalar(ScalarValue::Utf8View(text))) => {
                let fitted = text.as_deref().map(|text| fit(text, sql_type).to_string());
                Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(fitted)))
            }
            _ => exec_err!("declared takes text"),
        }
    }
}

fn takes(to: SqlType, from: &DataType) -> bool {
    match (to, from) {
        (SqlType::Varbyte(_), DataType::Dictionary(_, value)) => takes(to, value),
        (SqlType::Varbyte(_), from) => {
            from.is_null()
                || matches!(from, DataType::Int16 | DataType::Int32 | DataType::Int64)
                || matches!(from, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
                || matches!(from, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
                || matches!(from, DataType::FixedSizeBinary(_))
        }
        (_, from) => *from == DataType::Utf8View,
    }
}

/// Values as VARBYTE of at most `most` bytes. CHAR is as long as it was declared, filled with blanks.
fn to_bytes(array: &ArrayRef, source: Option<SqlType>, most: u32) -> Result<ArrayRef> {
    let cut = |bytes: &[u8]| bytes[..bytes.len().min(most as usize)].to_vec();
    let bytes: BinaryViewArray = match array.data_type() {
        DataType::Int16 => array.as_primitive::<Int16Type>().iter().map(|v| v.map(|v| cut(&v.to_be_bytes()))).collect(),
        DataType::Int32 => array.as_primitive::<Int32Type>().iter().map(|v| v.map(|v| cut(&v.to_be_bytes()))).collect(),
        DataType::Int64 => array.as_primitive::<Int64Type>().iter().map(|v| v.map(|v| cut(&v.to_be_bytes()))).collect(),
        _ => {
            let bytes = match array.data_type() {
                DataType::BinaryView => Arc::clone(array),
                // By way of a type that every form of bytes can be cast to.
                _ => cast(&cast(array, &DataType::Binary)?, &DataType::BinaryView)?,
            };
            let bytes = bytes.as_binary_view();
            if let Some(SqlType::Char(length)) = source {
                let filled = |value: &[u8]| {
                    let mut value = value.to_vec();
                    value.resize(value.len().max(length as usize), b' ');
                    cut(&value)
                };
                bytes.iter().map(|value| value.map(filled)).collect()
            } else if bytes.iter().flatten().all(|value| value.len() <= most as usize) {
                bytes.clone()
            } else {
                bytes.iter().map(|value| value.map(cut)).collect()
            }
        }
    };
    Ok(Arc::new(bytes))
}

/// The array itself where all its texts fit.
fn fit_array(array: &ArrayRef, sql_type: SqlType) -> ArrayRef {
    let texts = array.as_string_view();
    if texts.iter().flatten().all(|text| fit(text, sql_type).len() == text.len()) {
        return Arc::clone(array);
    }
    let fitted: StringViewArray = texts.iter().map(|text| text.map(|text| fit(text, sql_type))).collect();
    Arc::new(fitted)
}

fn fit(text: &str, sql_type: SqlType) -> &str {
    let bytes = sql_type.max_bytes().map_or(usize::MAX, |bytes| bytes as usize);
    let cut = &text[..text.floor_char_boundary(bytes)];
    if matches!(sql_type, SqlType::Char(_)) { cut.trim_end_matches(' ') } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        for (text, sql_type, expected) in [
            ("abcdef", SqlType::Varchar(4), "abcd"),
            ("abc", SqlType::Varchar(4), "abc"),
            ("ab   ", SqlType::Varchar(4), "ab  "),
            ("ab   ", SqlType::Char(4), "ab"),
            ("ab  cd", SqlType::Char(4), "ab"),
            ("aéb", SqlType::Varchar(2), "a"),
            ("aéb", SqlType::Varchar(3), "aé"),
            ("日本", SqlType::Varchar(2), ""),
            ("", SqlType::Char(1), ""),
        ] {
            assert_eq!(fit(text, sql_type), expected, "{text} as {sql_type}");
        }
    }

    #[test]
    fn a_target_tells_its_type() {
        for sql_type in [SqlType::Char(3), SqlType::Varchar(65_535)] {
            assert_eq!(of_cast_target(&cast_target(sql_type)), Some(sql_type));
        }
        assert_eq!(of_cast_target(&SqlType::Varchar(3).field("", true)), None);
        assert_eq!(of_cast_target(&SqlType::Varchar(3).field("character(3)", true)), None);
    }

    #[test]
    fn arrays_that_fit_are_not_copied() {
        let array: ArrayRef = Arc::new(StringViewArray::from(vec![Some("abc"), None, Some("")]));
        assert!(Arc::ptr_eq(&fit_array(&array, SqlType::Varchar(3)), &array));
        let cut = fit_array(&array, SqlType::Varchar(2));
        assert_eq!(cut.as_string_view().iter().collect::<Vec<_>>(), [Some("ab"), None, Some("")]);
    }
}
