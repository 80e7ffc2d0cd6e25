//! JSON in text (Redshift's manual, "Text-based JSON functions").

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::Functions;
use super::kernel::{Args, Function, Param};

mod scan;

/// As many elements a path may have, as in Redshift.
const MAX_PATH: usize = 5;

pub(super) fn additions(all: &mut Functions) {
    let function =
        |name, params, required, returns, compute| Function { name, aliases: &[], params, required, returns, compute };
    all.scalar.extend([
        function("is_valid_json", &[Param::Text], 1, DataType::Boolean, |args| {
            args.bools(|row| Ok(args.text(0, row).map(|json| scan::check(json).is_ok())))
        })
        .udf(),
        function("is_valid_json_array", &[Param::Text], 1, DataType::Boolean, |args| {
            args.bools(|row| Ok(args.text(0, row).map(|json| scan::check(json).is_ok() && scan::is_array(json))))
        })
        .udf(),
        function("json_array_length", &[Param::Text, Param::Bool], 1, DataType::Int32, array_length).udf(),
        function(
            "json_extract_array_element_text",
            &[Param::Text, Param::Int, Param::Bool],
            2,
            DataType::Utf8View,
            array_element,
        )
        .udf(),
        Arc::new(ScalarUDF::from(PathText { signature: Signature::user_defined(Volatility::Immutable) })),
    ]);
}

/// What an error shows of the text.
const SHOWN_CHARS: usize = 100;

fn wrong(args: &Args, what: &str, json: &str, why: &str) -> DataFusionError {
    let shown: String = json.chars().take(SHOWN_CHARS).collect();
    let more = if shown.len() < json.len() { "…" } else { "" };
    args.invalid(format!("invalid json {what} {shown}{more}: {why}"))
}

/// `json_array_length(json [, null_if_invalid])`
fn array_length(args: &Args) -> Result<ArrayRef> {
    args.ints(|row| {
        let Some(json) = args.text(0, row) else { return Ok(None) };
        match scan::elements(json) {
            Ok(elements) => i32::try_from(elements.len()).map(Some).map_err(|_| args.invalid("the array is too long")),
            Err(_) if args.bool(1, row) == Some(true) => Ok(None),
            Err(why) => Err(wrong(args, "array object", json, &why)),
        }
    })
}

/// `json_extract_array_element_text(json, place from 0 [, null_if_invalid])`
fn array_element(args: &Args) -> Result<ArrayRef> {
    args.texts(|row| {
        let (Some(json), Some(place)) = (args.text(0, row), args.int(1, row)) else { return Ok(None) };
        match scan::elements(json) {
            Ok(elements) => {
                let element = usize::try_from(place).ok().and_then(|place| elements.get(place).copied());
                Ok(element.and_then(scan::text))
            }
            Err(_) if args.bool(2, row) == Some(true) => Ok(None),
            Err(why) => Err(wrong(args, "array object", json, &why)),
        }
    })
}

/// `json_extract_path_text(json, key, … [, null_if_invalid])`: the value that a path of keys leads to; NULL where it
/// leads nowhere, or to JSON's null.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PathText {
    signature: Signature,
}

const PATH: &[Param] = &[Param::Text; MAX_PATH + 1];
const PATH_AND_SWITCH: [&[Param]; MAX_PATH] = [
    &[Param::Text, Param::Text, Param::Bool],
    &[Param::Text, Param::Text, Param::Text, Param::Bool],
    &[Param::Text, Param::Text, Param::Text, Param::Text, Param::Bool],
    &[Param::Text, Param::Text, Param::Text, Param::Text, Param::Text, Param::Bool],
    &[Param::Text, Param::Text, Param::Text, Param::Text, Param::Text, Param::Text, Param::Bool],
];

impl PathText {
    /// The function for arguments of these types.
    fn of(types: &[DataType]) -> Result<Arc<ScalarUDF>> {
        let switch = types.last() == Some(&DataType::Boolean);
        let keys = types.len().saturating_sub(1 + usize::from(switch));
        if keys == 0 || keys > MAX_PATH {
            return plan_err!("json_extract_path_text takes JSON, 1 to {MAX_PATH} keys, and TRUE or FALSE");
        }
        let compute = if switch { path_text_or_null } else { path_text };
        Ok(Function {
            name: "json_extract_path_text",
            aliases: &[],
            params: if switch { PATH_AND_SWITCH[keys - 1] } else { PATH },
            required: 2,
            returns: DataType::Utf8View,
            compute,
        }
        .udf())
    }
}

impl ScalarUDFImpl for PathText {
    fn name(&self) -> &str {
        "json_extract_path_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Self::of(types)?.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        Self::of(&types)?.invoke_with_args(args)
    }
}

fn path_text(args: &Args) -> Result<ArrayRef> {
    path(args, args.len(), |_| false)
}

fn path_text_or_null(args: &Args) -> Result<ArrayRef> {
    let keys = args.len() - 1;
    path(args, keys, |row| args.bool(keys, row) == Some(true))
}

fn path(args: &Args, end: usize, null_if_invalid: impl Fn(usize) -> bool) -> Result<ArrayRef> {
    args.texts(|row| {
        let Some(json) = args.text(0, row) else { return Ok(None) };
        if let Err(why) = scan::check(json) {
            return if null_if_invalid(row) { Ok(None) } else { Err(wrong(args, "object", json, &why)) };
        }
        let mut value = json;
        for key in (1..end).filter_map(|i| args.text(i, row)) {
            match scan::member(value, key) {
                Some(found) => value = found,
                None => return Ok(None),
            }
        }
        Ok(scan::text(value))
    })
}
