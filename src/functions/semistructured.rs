//! SUPER: JSON text, and the functions that make it, look into it and give it back as text.
//!
//! A value of type SUPER is text whose field says so in its metadata. It is JSON without blanks between its tokens;
//! numbers and the order of names stay as they were written. What is text and not SUPER becomes a JSON string where SUPER
//! is wanted, as in Redshift; `json_parse` reads JSON.
//!
//! Redshift limits a value to 16 MB of its own form; here the limit counts the bytes of the JSON text.
//!
//! Source: Redshift manual, "SUPER type", "Querying semistructured data" and the pages of the functions.

mod calls;
mod order;
mod parts;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringViewArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, DataFusionError, Result as DfResult, ScalarValue, TableReference, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, GetFieldAccess, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, lit,
};

use super::Functions;
use crate::common::{Error, Result, SqlState, SqlType};

/// Whether a field's values are SUPER.
pub fn is_super(field: &Field) -> bool {
    SqlType::from_field(field) == Some(SqlType::Super)
}

/// JSON without blanks between its tokens.
///
/// Errors: Invalid for what is no JSON or is longer than SUPER holds.
pub fn parse(text: &str) -> Result<String> {
    if let Err(e) = serde_json::from_str::<serde_json::Value>(text) {
        let message = format!("not valid JSON: {e}");
        return Err(Error::invalid(SqlState::INVALID_TEXT, message)
            .with_detail(format!("the text is {}", shortened(text)))
            .with_hint("names and strings of JSON stand in double quotes; CAN_JSON_PARSE tells what is JSON"));
    }
    let mut compact = String::with_capacity(text.len());
    let (mut within, mut escaped) = (false, false);
    for c in text.chars() {
        if within {
            within = escaped || c != '"';
            escaped = c == '\\' && !escaped;
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            within = c == '"';
        }
        compact.push(c);
    }
    checked_length(compact)
}

fn checked_length(json: String) -> Result<String> {
    if json.len() > SqlType::MAX_SUPER_BYTES as usize {
        let message =
            format!("a SUPER value holds {} bytes of JSON, here are {}", SqlType::MAX_SUPER_BYTES, json.len());
        return Err(Error::invalid(SqlState::STRING_TOO_LONG, message));
    }
    Ok(json)
}

fn shortened(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}

/// Text as a JSON string.
pub fn quote(text: &str) -> String {
    serde_json::Value::String(text.to_string()).to_string()
}

/// Values as SUPER takes them by assignment: text as JSON strings, numbers and BOOLEAN as themselves. Text that is JSON
/// already (`is_json`) is checked and stays.
///
/// Errors: Invalid where text is no JSON, a number is not finite, or a value has no form in JSON.
pub fn to_super(array: &ArrayRef, is_json: bool) -> Result<StringViewArray> {
    let from = array.data_type();
    let texts = || -> Result<ArrayRef> {
        let options = CastOptions { safe: false, ..Default::default() };
        Ok(cast_with_options(array, &DataType::Utf8View, &options)?)
    };
    match from {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = texts()?;
            let json = |text: &str| if is_json { parse(text) } else { checked_length(quote(text)) };
            texts.as_string_view().iter().map(|text| text.map(json).transpose()).collect()
        }
        DataType::Dictionary(_, value) => to_super(&cast_with_options(array, value, &CastOptions::default())?, is_json),
        DataType::Null | DataType::Boolean => Ok(texts()?.as_string_view().clone()),
        number if number.is_numeric() => {
            let texts = texts()?;
            let finite = |text: &str| match text.as_bytes().last() {
                Some(b'0'..=b'9') => Ok(text.to_string()),
                _ => Err(Error::invalid(SqlState::NUMERIC_OUT_OF_RANGE, format!("{text} has no form in SUPER"))
                    .with_hint("numbers of JSON are finite")),
            };
            texts.as_string_view().iter().map(|text| text.map(finite).transpose()).collect()
        }
        from if takes_parts(from) => {
            let texts = nested(array)?.into_iter().map(|text| text.map(checked_length).transpose());
            texts.collect()
        }
        _ => Err(Error::invalid(SqlState::DATATYPE_MISMATCH, format!("a value of type {from} has no form in SUPER"))
            .with_hint("cast it to VARCHAR")),
    }
}

/// Whether values of a type can be put into columns of SUPER: those that [`super_takes`], and arrays and objects of any.
pub fn super_holds(from: &DataType) -> bool {
    super_takes(from) || takes_parts(from)
}

/// Whether a type is of arrays or objects.
fn takes_parts(from: &DataType) -> bool {
    use DataType as D;
    let part = |field: &Field| !field.data_type().is_nested() || takes_parts(field.data_type());
    match from {
        D::List(item) | D::LargeList(item) | D::FixedSizeList(item, _) => part(item),
        D::Struct(fields) => fields.iter().all(|field| part(field)),
        D::Map(entries, _) => part(entries),
        _ => false,
    }
}

/// The values of an array as JSON, `None` of NULL; text is none, and becomes strings.
fn nested(array: &ArrayRef) -> Result<Vec<Option<String>>> {
    let or_null = |text: &Option<String>| text.as_deref().unwrap_or("null").to_string();
    let list = |items: &ArrayRef, bounds: Vec<(usize, usize)>| {
        // What a slice does not show is not read.
        let (first, end) = (bounds.first().map_or(0, |at| at.0), bounds.last().map_or(0, |at| at.1));
        let items = nested(&items.slice(first, end - first))?;
        let joined = |(from, to): (usize, usize)| {
            items[from - first..to - first].iter().map(or_null).collect::<Vec<_>>().join(",")
        };
        Ok::<_, Error>(bounds.into_iter().map(|bounds| format!("[{}]", joined(bounds))).collect::<Vec<String>>())
    };
    let texts = match array.data_type() {
        DataType::List(_) => {
            let offsets = array.as_list::<i32>().value_offsets().windows(2);
            list(array.as_list::<i32>().values(), offsets.map(|at| (at[0] as usize, at[1] as usize)).collect())?
        }
        DataType::LargeList(_) => {
            let offsets = array.as_list::<i64>().value_offsets().windows(2);
            list(array.as_list::<i64>().values(), offsets.map(|at| (at[0] as usize, at[1] as usize)).collect())?
        }
        DataType::FixedSizeList(_, size) => {
            let size = *size as usize;
            let bounds = (0..array.len()).map(|row| (row * size, (row + 1) * size)).collect();
            list(array.as_fixed_size_list().values(), bounds)?
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().map(nested).collect::<Result<Vec<_>>>()?;
            let object = |row: usize| {
                let member = |(field, texts): (&Arc<Field>, &Vec<Option<String>>)| {
                    format!("{}:{}", quote(field.name()), or_null(&texts[row]))
                };
                format!("{{{}}}", fields.iter().zip(&columns).map(member).collect::<Vec<_>>().join(","))
            };
            (0..array.len()).map(object).collect()
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let offsets = map.value_offsets();
            let first = offsets[0] as usize;
            let count = offsets[map.len()] as usize - first;
            let keys = map.keys().slice(first, count);
            let keys = cast_with_options(&keys, &DataType::Utf8View, &CastOptions::default())?;
            let (keys, values) = (keys.as_string_view(), nested(&map.values().slice(first, count))?);
            let object = |at: &[i32]| {
                let members = (at[0] as usize - first..at[1] as usize - first)
                    .map(|entry| format!("{}:{}", quote(keys.value(entry)), or_null(&values[entry])));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            };
            map.value_offsets().windows(2).map(object).collect()
        }
        leaf if super_takes(leaf) => {
            return Ok(to_super(array, false)?.iter().map(|text| text.map(str::to_string)).collect());
        }
        // Dates, times and bytes have a text.
        _ => {
            let options = CastOptions { safe: false, ..Default::default() };
            let shown = match array.data_type() {
                DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                    let bytes = cast_with_options(array, &DataType::BinaryView, &options)?;
                    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                    return Ok(bytes.as_binary_view().iter().map(|bytes| bytes.map(|b| quote(&hex(b)))).collect());
                }
                _ => cast_with_options(array, &DataType::Utf8View, &options)?,
            };
            return Ok(shown.as_string_view().iter().map(|text| text.map(quote)).collect());
        }
    };
    Ok(texts.into_iter().enumerate().map(|(row, text)| array.is_valid(row).then_some(text)).collect())
}

/// Whether values of a type can be assigned to SUPER.
pub fn super_takes(from: &DataType) -> bool {
    match from {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean | DataType::Null => true,
        DataType::Dictionary(_, value) => super_takes(value),
        number => number.is_numeric(),
    }
}

/// Whether a function takes SUPER, or JSON as text.
pub fn takes_super(function: &str) -> bool {
    KINDS.iter().any(|kind| kind.name() == function)
        || parts::has(function)
        || function.starts_with("json_")
        || matches!(function, "as_type" | "declared" | "pg_typeof" | "arrow_typeof" | "arrow_metadata")
}

/// The end of the JSON value that begins at `at`; `None` where the text is damaged.
fn value_end(json: &str, at: usize) -> Option<usize> {
    let bytes = json.as_bytes();
    let string_end = |from: usize| {
        let mut i = from + 1;
        loop {
            match bytes.get(i)? {
                b'\\' => i += 2,
                b'"' => return Some(i + 1),
                _ => i += 1,
            }
        }
    };
    match bytes.get(at)? {
        b'"' => string_end(at),
        b'{' | b'[' => {
            let (mut depth, mut i) = (0usize, at);
            loop {
                match bytes.get(i)? {
                    b'"' => {
                        i = string_end(i)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                i += 1;
                if depth == 0 {
                    return Some(i);
                }
            }
        }
        _ => {
            let rest = &bytes[at..];
            Some(at + rest.iter().position(|b| matches!(b, b',' | b']' | b'}')).unwrap_or(rest.len()))
        }
    }
}

/// A step into SUPER.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Name(String),
    Index(i64),
}

/// The part that a step leads to; `None` where there is none (Redshift's lax navigation). Of equal names the first.
fn part<'j>(json: &'j str, step: &Step) -> Option<&'j str> {
    match step {
        Step::Name(name) => members(json, b'{').find_map(|(key, value)| {
            let key: String = serde_json::from_str(key?).ok()?;
            (key == *name).then_some(value)
        }),
        Step::Index(index) => members(json, b'[').nth(usize::try_from(*index).ok()?).map(|(_, value)| value),
    }
}

/// The members of an object or array that opens with `open`, each with its name's text; none of anything else.
fn members(json: &str, open: u8) -> impl Iterator<Item = (Option<&str>, &str)> {
    let mut at = if json.as_bytes().first() == Some(&open) { 1 } else { json.len() };
    std::iter::from_fn(move || {
        if matches!(json.as_bytes().get(at), None | Some(b'}' | b']')) {
            return None;
        }
        let mut key = None;
        if open == b'{' {
            let end = value_end(json, at)?;
            key = json.get(at..end);
            at = end + 1;
        }
        let end = value_end(json, at)?;
        let value = json.get(at..end)?;
        at = end + usize::from(json.as_bytes().get(end) == Some(&b','));
        Some((key, value))
    })
}

/// What the scalar functions of SUPER make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Parse,
    CanParse,
    Serialize,
    TypeOf,
    ToSuper,
    AsText,
    Get,
    ArrayLength,
    Is(What),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Object,
    Array,
    Scalar,
    Boolean,
    Varchar,
    SmallInt,
    Integer,
    BigInt,
}

impl What {
    fn holds(self, json: &str) -> bool {
        let first = json.as_bytes().first().copied();
        let number = matches!(first, Some(b'-' | b'0'..=b'9'));
        let integer = |low: i64, high: i64| number && json.parse::<i64>().is_ok_and(|v| (low..=high).contains(&v));
        match self {
            What::Object => first == Some(b'{'),
            What::Array => first == Some(b'['),
            What::Scalar => !matches!(first, Some(b'{' | b'[')) && json != "null",
            What::Boolean => matches!(json, "true" | "false"),
            What::Varchar => first == Some(b'"'),
            What::SmallInt => integer(i16::MIN.into(), i16::MAX.into()),
            What::Integer => integer(i32::MIN.into(), i32::MAX.into()),
            What::BigInt => integer(i64::MIN, i64::MAX),
        }
    }
}

const KINDS: [Kind; 16] = [
    Kind::Parse,
    Kind::CanParse,
    Kind::Serialize,
    Kind::TypeOf,
    Kind::ToSuper,
    Kind::AsText,
    Kind::Get,
    Kind::ArrayLength,
    Kind::Is(What::Object),
    Kind::Is(What::Array),
    Kind::Is(What::Scalar),
    Kind::Is(What::Boolean),
    Kind::Is(What::Varchar),
    Kind::Is(What::SmallInt),
    Kind::Is(What::Integer),
    Kind::Is(What::BigInt),
];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Parse => "json_parse",
            Kind::CanParse => "can_json_parse",
            Kind::Serialize => "json_serialize",
            Kind::TypeOf => "json_typeof",
            Kind::ToSuper => "to_super",
            Kind::AsText => "super_as_text",
            Kind::Get => "super_get",
            Kind::ArrayLength => "get_array_length",
            Kind::Is(What::Object) => "is_object",
            Kind::Is(What::Array) => "is_array",
            Kind::Is(What::Scalar) => "is_scalar",
            Kind::Is(What::Boolean) => "is_boolean",
            Kind::Is(What::Varchar) => "is_varchar",
            Kind::Is(What::SmallInt) => "is_smallint",
            Kind::Is(What::Integer) => "is_integer",
            Kind::Is(What::BigInt) => "is_bigint",
        }
    }
}

/// A function of SUPER.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SuperFunction {
    kind: Kind,
    signature: Signature,
}

impl SuperFunction {
    fn udf(kind: Kind) -> Arc<ScalarUDF> {
        let arguments = if kind == Kind::Get { 2 } else { 1 };
        let signature = Signature::any(arguments, Volatility::Immutable);
        Arc::new(SuperFunction { kind, signature }.into())
    }
}

/// `value` as a SUPER value.
pub fn assign_to_super(value: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(SuperFunction::udf(Kind::ToSuper), vec![value]))
}

/// A SUPER scalar as text: a string's content, a number's or BOOLEAN's notation, NULL of JSON's null.
pub fn super_as_text(value: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(SuperFunction::udf(Kind::AsText), vec![value]))
}

impl ScalarUDFImpl for SuperFunction {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        datafusion::common::internal_err!("the field tells more than its type")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DfResult<FieldRef> {
        let Some(value) = args.arg_fields.first() else { return plan_err!("{} takes a value", self.name()) };
        let text =
            matches!(value.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null);
        let reads_text = matches!(self.kind, Kind::Parse | Kind::CanParse);
        if reads_text && (!text || is_super(value)) {
            return plan_err!("{} takes VARCHAR; JSON_SERIALIZE makes it of SUPER", self.name());
        }
        if !super_takes(value.data_type()) {
            return plan_err!(
                "{} does not take a value of type {}: cast it to VARCHAR",
                self.name(),
                value.data_type()
            );
        }
        let name = self.name();
        let field = match self.kind {
            Kind::Parse | Kind::ToSuper | Kind::Get => SqlType::Super.field(name, true),
            Kind::Serialize | Kind::TypeOf | Kind::AsText => Field::new(name, DataType::Utf8View, true),
            Kind::ArrayLength => Field::new(name, DataType::Int32, true),
            Kind::CanParse | Kind::Is(_) => Field::new(name, DataType::Boolean, true),
        };
        Ok(Arc::new(field))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let (Some(value), Some(field)) = (args.args.first(), args.arg_fields.first()) else {
            return plan_err!("{} takes a value", self.name());
        };
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let array = value.to_array(rows)?;
        let given = match self.kind {
            // Text as it is written.
            Kind::Parse | Kind::CanParse => cast_with_options(&array, &DataType::Utf8View, &CastOptions::default())?,
            // A SUPER value was checked when it was made.
            _ if is_super(field) => cast_with_options(&array, &DataType::Utf8View, &CastOptions::default())?,
            _ => Arc::new(to_super(&array, false).map_err(external)?),
        };
        let steps = match (self.kind, args.args.get(1)) {
            (Kind::Get, Some(step)) => Some(steps(&step.to_array(rows)?)?),
            _ => None,
        };
        let made = self.make(given.as_string_view(), steps).map_err(external)?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?));
        }
        Ok(ColumnarValue::Array(made))
    }
}

impl SuperFunction {
    fn make(&self, values: &StringViewArray, steps: Option<Vec<Option<Step>>>) -> Result<ArrayRef> {
        fn each<T, A: FromIterator<Option<T>> + Array + 'static>(
            values: &StringViewArray,
            make: impl Fn(&str) -> Result<Option<T>>,
        ) -> Result<ArrayRef> {
            let made = values.iter().map(|value| value.map_or(Ok(None), &make)).collect::<Result<A>>()?;
            Ok(Arc::new(made))
        }
        match self.kind {
            Kind::Parse => each::<_, StringViewArray>(values, |text| parse(text).map(Some)),
            Kind::CanParse => each::<_, BooleanArray>(values, |text| Ok(Some(parse(text).is_ok()))),
            Kind::Serialize | Kind::ToSuper => Ok(Arc::new(values.clone())),
            Kind::TypeOf => each::<_, StringViewArray>(values, |json| Ok(Some(type_of(json)))),
            Kind::AsText => each::<_, StringViewArray>(values, scalar_text),
            Kind::ArrayLength => each::<_, Int32Array>(values, |json| {
                Ok(What::Array.holds(json).then(|| members(json, b'[').count() as i32))
            }),
            Kind::Is(what) => each::<_, BooleanArray>(values, |json| Ok(Some(what.holds(json)))),
            Kind::Get => {
                let steps = steps.ok_or_else(|| Error::internal("super_get has no step"))?;
                let parts = values.iter().zip(&steps).map(|(json, step)| part(json?, step.as_ref()?));
                Ok(Arc::new(parts.collect::<StringViewArray>()))
            }
        }
    }
}

fn external(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

fn steps(array: &ArrayRef) -> DfResult<Vec<Option<Step>>> {
    match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let names = cast_with_options(array, &DataType::Utf8View, &CastOptions::default())?;
            Ok(names.as_string_view().iter().map(|name| name.map(|name| Step::Name(name.to_string()))).collect())
        }
        integer if integer.is_integer() => {
            let indexes = cast_with_options(array, &DataType::Int64, &CastOptions::default())?;
            let indexes = indexes.as_primitive::<arrow::datatypes::Int64Type>();
            Ok(indexes.iter().map(|index| index.map(Step::Index)).collect())
        }
        other => plan_err!("a part of SUPER is named by text or an integer, not by {other}"),
    }
}

fn type_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

fn scalar_text(json: &str) -> Result<Option<String>> {
    match type_of(json) {
        "null" => Ok(None),
        "string" => {
            serde_json::from_str(json).map(Some).map_err(|e| Error::internal(format!("a SUPER value is no JSON: {e}")))
        }
        "object" | "array" => {
            let message = format!("a SUPER {} cannot be cast to another type", type_of(json));
            Err(Error::invalid(SqlState::DATATYPE_MISMATCH, message)
                .with_detail(format!("the value is {}", shortened(json)))
                .with_hint("JSON_SERIALIZE gives its text; name a part of it, as in c.a or c[0]"))
        }
        _ => Ok(Some(json.to_string())),
    }
}

/// Plans `c.a.b` and `c['a'][0]` where `c` is SUPER.
#[derive(Debug, Default)]
pub struct Navigation;

fn get(value: Expr, step: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(SuperFunction::udf(Kind::Get), vec![value, step]))
}

impl ExprPlanner for Navigation {
    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> DfResult<PlannerResult<Vec<Expr>>> {
        if !is_super(field) {
            return Ok(PlannerResult::Original(Vec::new()));
        }
        let column = Expr::Column(datafusion::common::Column::from((qualifier, &Arc::new(field.clone()))));
        let name = std::iter::once(field.name()).chain(nested_names).map(String::as_str).collect::<Vec<_>>().join(".");
        let part = nested_names.iter().fold(column, |value, name| get(value, lit(name.as_str())));
        Ok(PlannerResult::Planned(part.alias(name)))
    }

    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> DfResult<PlannerResult<RawFieldAccessExpr>> {
        let is_super = expr.expr.to_field(schema).is_ok_and(|(_, field)| is_super(&field));
        if !is_super {
            return Ok(PlannerResult::Original(expr));
        }
        let step = match expr.field_access {
            GetFieldAccess::NamedStructField { name } => lit(name),
            GetFieldAccess::ListIndex { key } => *key,
            GetFieldAccess::ListRange { .. } => return plan_err!("SUPER has no slices of arrays: name one element"),
        };
        // An alias would hide what the next step must know.
        let value = match expr.expr {
            Expr::Alias(alias) => *alias.expr,
            other => other,
        };
        Ok(PlannerResult::Planned(get(value, step)))
    }
}

pub(super) fn additions(functions: &mut Functions) {
    use datafusion_functions_json::udfs as json;
    functions.scalar.extend(KINDS.map(SuperFunction::udf));
    functions.scalar.extend(parts::additions());
    functions.scalar.extend([
        json::json_get_udf(),
        json::json_get_bool_udf(),
        json::json_get_float_udf(),
        json::json_get_int_udf(),
        json::json_get_json_udf(),
        json::json_get_array_udf(),
        json::json_as_text_udf(),
        json::json_get_str_udf(),
        json::json_contains_udf(),
        json::json_length_udf(),
        json::json_object_keys_udf(),
        json::json_from_scalar_udf(),
        json::json_union_to_text_udf(),
    ]);
}

pub(super) fn replacements(functions: &mut Functions) {
    functions.scalar.extend(parts::replacements());
}
