//! Functions of several SUPER values. Each argument becomes JSON as assignment to SUPER makes it, so that they take
//! numbers, text and BOOLEAN as well.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Int32Array, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result as DfResult, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::{external, is_super, members, super_takes, to_super};
use crate::common::{Error, Result, SqlState, SqlType};

/// What a function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Gives {
    Super,
    Bool,
    Int,
    Bytes,
}

/// A value of what it gives.
pub(super) enum Given {
    Super(String),
    Bool(bool),
    Int(i32),
    Bytes(Vec<u8>),
}

/// A function of SUPER values.
pub(super) struct Call {
    pub name: &'static str,
    /// As many arguments it takes at least and at most.
    pub takes: (usize, usize),
    pub gives: Gives,
    pub make: fn(&Row) -> Result<Option<Given>>,
}

/// As many arguments as one likes.
pub(super) const ANY: usize = usize::MAX;

/// The arguments of one row.
pub(super) struct Row<'a> {
    name: &'static str,
    columns: &'a [(StringViewArray, bool)],
    row: usize,
}

impl<'a> Row<'a> {
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// `None` of NULL, and of an argument that was not given.
    pub fn json(&self, i: usize) -> Option<&'a str> {
        let (column, constant) = self.columns.get(i)?;
        let row = if *constant { 0 } else { self.row };
        column.is_valid(row).then(|| column.value(row))
    }

    /// The elements of an array; `None` of what is none.
    pub fn array(&self, i: usize) -> Option<Vec<&'a str>> {
        let json = self.json(i)?;
        json.starts_with('[').then(|| members(json, b'[').map(|(_, element)| element).collect())
    }

    /// `Ok(None)` of NULL.
    pub fn text(&self, i: usize) -> Result<Option<String>> {
        match self.json(i) {
            None | Some("null") => Ok(None),
            Some(json) => match serde_json::from_str(json) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(self.wrong(i, "text")),
            },
        }
    }

    pub fn int(&self, i: usize) -> Result<Option<i64>> {
        match self.json(i) {
            None | Some("null") => Ok(None),
            Some(json) => json.parse().map(Some).map_err(|_| self.wrong(i, "an integer")),
        }
    }

    /// `otherwise` of an argument that was not given.
    pub fn flag(&self, i: usize, otherwise: bool) -> Result<Option<bool>> {
        match self.json(i) {
            _ if i >= self.len() => Ok(Some(otherwise)),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            None | Some("null") => Ok(None),
            Some(_) => Err(self.wrong(i, "TRUE or FALSE")),
        }
    }

    pub fn invalid(&self, message: &str) -> Error {
        Error::invalid(SqlState::INVALID_PARAMETER, format!("{}: {message}", self.name))
    }

    fn wrong(&self, i: usize, wanted: &str) -> Error {
        let shown: String = self.json(i).unwrap_or("NULL").chars().take(60).collect();
        self.invalid(&format!("argument {} must be {wanted}, not {shown}", i + 1))
    }
}

/// A [`Call`] as a function of DataFusion's. Where DataFusion has a function of that name, over lists of Arrow's, it
/// stays for them.
#[derive(Debug)]
pub(super) struct SuperCall {
    call: &'static Call,
    lists: Option<Arc<ScalarUDF>>,
    signature: Signature,
}

impl SuperCall {
    pub fn udf(call: &'static Call, lists: Option<Arc<ScalarUDF>>) -> Arc<ScalarUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(SuperCall { call, lists, signature }.into())
    }

    /// DataFusion's function, for arguments of which one is a list.
    fn of_lists<'t>(&self, types: impl IntoIterator<Item = &'t DataType>) -> Option<&Arc<ScalarUDF>> {
        self.lists.as_ref().filter(|_| types.into_iter().any(is_list))
    }
}

fn is_list(data_type: &DataType) -> bool {
    use DataType::{FixedSizeList, LargeList, LargeListView, List, ListView};
    matches!(data_type, List(_) | LargeList(_) | FixedSizeList(..) | ListView(_) | LargeListView(_))
}

impl PartialEq for SuperCall {
    fn eq(&self, other: &Self) -> bool {
        self.call.name == other.call.name
    }
}

impl Eq for SuperCall {}

impl std::hash::Hash for SuperCall {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.call.name.hash(state);
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ScalarUDFImpl for SuperCall {
    fn name(&self) -> &str {
        self.lists.as_ref().map_or(self.call.name, |lists| lists.name())
    }

    fn aliases(&self) -> &[String] {
        self.lists.as_ref().map_or(&[], |lists| lists.aliases())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        match self.of_lists(types) {
            Some(lists) => lists.return_type(types),
            None => internal_err!("the field tells more than its type"),
        }
    }

    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        if let Some(lists) = self.of_lists(types) {
            let fields: Vec<FieldRef> = types.iter().map(|t| Arc::new(Field::new("", t.clone(), true))).collect();
            let fields = fields_with_udf(&fields, lists.as_ref())?;
            return Ok(fields.iter().map(|field| field.data_type().clone()).collect());
        }
        let (name, (least, most)) = (self.call.name, self.call.takes);
        if types.len() < least || types.len() > most {
            let wanted = match (least, most) {
                (least, most) if least == most => least.to_string(),
                (least, ANY) => format!("at least {least}"),
                (least, most) => format!("{least} to {most}"),
            };
            return plan_err!("{name} takes {wanted} arguments, not {}", types.len());
        }
        match types.iter().position(|given| !super_takes(given)) {
            Some(i) => plan_err!("{name}: argument {} cannot be {}: cast it to VARCHAR", i + 1, types[i]),
            None => Ok(types.to_vec()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DfResult<FieldRef> {
        if let Some(lists) = self.of_lists(args.arg_fields.iter().map(|field| field.data_type())) {
            return lists.return_field_from_args(args);
        }
        let name = self.call.name;
        Ok(Arc::new(match self.call.gives {
            Gives::Super => SqlType::Super.field(name, true),
            Gives::Bool => Field::new(name, DataType::Boolean, true),
            Gives::Int => Field::new(name, DataType::Int32, true),
            Gives::Bytes => Field::new(name, DataType::BinaryView, true),
        }))
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> DfResult<ExprSimplifyResult> {
        let types: Vec<DataType> = args.iter().filter_map(|arg| context.get_data_type(arg).ok()).collect();
        match self.of_lists(&types) {
            Some(lists) => Ok(ExprSimplifyResult::Simplified(lists.call(args))),
            None => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        if let Some(lists) = self.of_lists(args.arg_fields.iter().map(|field| field.data_type())) {
            return lists.invoke_with_args(args);
        }
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let columns = args.args.iter().zip(&args.arg_fields).map(|(value, field)| {
            let (array, constant) = match value {
                ColumnarValue::Array(array) => (Arc::clone(array), false),
                ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
            };
            let json = match is_super(field) {
                true => cast(&array, &DataType::Utf8View)?.as_string_view().clone(),
                false => to_super(&array, false).map_err(external)?,
            };
            Ok((json, constant))
        });
        let columns = columns.collect::<DfResult<Vec<_>>>()?;
        let rows = if constant { 1 } else { args.number_rows };
        let made = self.make(&columns, rows).map_err(external)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?));
        }
        Ok(ColumnarValue::Array(made))
    }
}

impl SuperCall {
    fn make(&self, columns: &[(StringViewArray, bool)], rows: usize) -> Result<ArrayRef> {
        let name = self.call.name;
        let made: Vec<Option<Given>> =
            (0..rows).map(|row| (self.call.make)(&Row { name, columns, row })).collect::<Result<_>>()?;
        let made = made.into_iter();
        Ok(match self.call.gives {
            Gives::Super => {
                let json = made.map(|value| match value {
                    Some(Given::Super(json)) => super::checked_length(json).map(Some),
                    _ => Ok(None),
                });
                Arc::new(json.collect::<Result<StringViewArray>>()?)
            }
            Gives::Bool => {
                let bool = made.map(|value| if let Some(Given::Bool(value)) = value { Some(value) } else { None });
                Arc::new(bool.collect::<BooleanArray>())
            }
            Gives::Int => {
                let int = made.map(|value| if let Some(Given::Int(value)) = value { Some(value) } else { None });
                Arc::new(int.collect::<Int32Array>())
            }
            Gives::Bytes => {
                let bytes = made.map(|value| if let Some(Given::Bytes(value)) = value { Some(value) } else { None });
                Arc::new(bytes.collect::<BinaryViewArray>())
            }
        })
    }
}
