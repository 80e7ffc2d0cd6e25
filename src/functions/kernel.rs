//! What functions of rows share: arguments cast to one type each, and one value a row.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Int32Array, Int64Array, StringViewBuilder,
};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::common::{Error, SqlState};

/// What an argument is cast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Param {
    /// `Utf8View`; numbers and the like become text, as Redshift casts them by itself.
    Text,
    /// `Int64`, from integers and from text that is one.
    Int,
    Bool,
    /// `BinaryView`, or text as `Utf8View`, whose bytes are meant.
    Bytes,
    /// As [`Param::Bytes`], and what [`Param::Text`] takes besides text.
    BytesOrSimple,
    /// Whatever it is.
    Any,
}

/// An immutable function of rows.
pub(super) struct Function {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub params: &'static [Param],
    /// As many must be given.
    pub required: usize,
    pub returns: DataType,
    pub compute: fn(&Args) -> Result<ArrayRef>,
}

impl Function {
    pub fn udf(self) -> Arc<ScalarUDF> {
        let aliases = self.aliases.iter().map(ToString::to_string).collect();
        Arc::new(ScalarUDF::from(RowFunction {
            aliases,
            signature: Signature::user_defined(Volatility::Immutable),
            function: self,
        }))
    }
}

/// The arguments of one batch; columns of constants have one row.
pub(super) struct Args<'a> {
    name: &'static str,
    columns: &'a [(ArrayRef, bool)],
    rows: usize,
}

impl Args<'_> {
    /// How many arguments were given.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    fn at(&self, i: usize, row: usize) -> Option<(&ArrayRef, usize)> {
        let (column, constant) = self.columns.get(i)?;
        let row = if *constant { 0 } else { row };
        column.is_valid(row).then_some((column, row))
    }

    /// `None` of NULL, and of an argument that was not given.
    pub fn text(&self, i: usize, row: usize) -> Option<&str> {
        self.at(i, row).map(|(column, row)| column.as_string_view().value(row))
    }

    /// Of an argument that is [`Param::Bytes`].
    pub fn bytes(&self, i: usize, row: usize) -> Option<&[u8]> {
        self.at(i, row).map(|(column, row)| match column.as_binary_view_opt() {
            Some(bytes) => bytes.value(row),
            None => column.as_string_view().value(row).as_bytes(),
        })
    }

    pub fn int(&self, i: usize, row: usize) -> Option<i64> {
        self.at(i, row).map(|(column, row)| column.as_primitive::<Int64Type>().value(row))
    }

    pub fn bool(&self, i: usize, row: usize) -> Option<bool> {
        self.at(i, row).map(|(column, row)| column.as_boolean().value(row))
    }

    /// The column of an argument of any type, and the place of `row` in it.
    pub fn any(&self, i: usize, row: usize) -> Option<(&ArrayRef, usize)> {
        self.at(i, row)
    }

    /// The column of an argument: as many rows as the result has, where it is the only one.
    pub fn column(&self, i: usize) -> Result<&ArrayRef> {
        match self.columns.get(i) {
            Some((column, _)) => Ok(column),
            None => datafusion::common::internal_err!("{} has an argument {}", self.name, i + 1),
        }
    }

    /// Whether an argument that was given is NULL.
    fn any_null(&self, row: usize) -> bool {
        (0..self.len()).any(|i| self.at(i, row).is_none())
    }

    /// Text by row; NULL where an argument is.
    pub fn texts<S: AsRef<str>>(&self, mut value: impl FnMut(usize) -> Result<Option<S>>) -> Result<ArrayRef> {
        let mut out = StringViewBuilder::with_capacity(self.rows);
        for row in 0..self.rows {
            match if self.any_null(row) { None } else { value(row)? } {
                Some(text) => out.try_append_value(text)?,
                None => out.append_null(),
            }
        }
        Ok(Arc::new(out.finish()))
    }

    /// BIGINT by row; NULL where an argument is.
    pub fn bigints(&self, value: impl FnMut(usize) -> Result<Option<i64>>) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(self.values(value)?)))
    }

    /// INTEGER by row; NULL where an argument is.
    pub fn ints(&self, value: impl FnMut(usize) -> Result<Option<i32>>) -> Result<ArrayRef> {
        Ok(Arc::new(Int32Array::from(self.values(value)?)))
    }

    /// BOOLEAN by row; NULL where an argument is.
    pub fn bools(&self, value: impl FnMut(usize) -> Result<Option<bool>>) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanArray::from(self.values(value)?)))
    }

    /// VARBYTE by row; NULL where an argument is.
    pub fn byte_values(&self, value: impl FnMut(usize) -> Result<Option<Vec<u8>>>) -> Result<ArrayRef> {
        Ok(Arc::new(self.values(value)?.into_iter().collect::<BinaryViewArray>()))
    }

    fn values<T>(&self, mut value: impl FnMut(usize) -> Result<Option<T>>) -> Result<Vec<Option<T>>> {
        (0..self.rows).map(|row| if self.any_null(row) { Ok(None) } else { value(row) }).collect()
    }

    /// An error that names the function.
    pub fn invalid(&self, message: impl fmt::Display) -> DataFusionError {
        invalid(self.name, message)
    }
}

/// An error in an argument of the function `name`.
pub(super) fn invalid(name: &str, message: impl fmt::Display) -> DataFusionError {
    DataFusionError::External(Box::new(Error::invalid(SqlState::INVALID_PARAMETER, format!("{name}: {message}"))))
}

struct RowFunction {
    function: Function,
    aliases: Vec<String>,
    signature: Signature,
}

impl fmt::Debug for RowFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowFunction").field("name", &self.function.name).finish_non_exhaustive()
    }
}

impl PartialEq for RowFunction {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for RowFunction {}

impl Hash for RowFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for RowFunction {
    fn name(&self) -> &str {
        self.function.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.function.returns.clone())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let (name, params) = (self.function.name, self.function.params);
        if given.len() < self.function.required || given.len() > params.len() {
            let wanted = match (self.function.required, params.len()) {
                (least, most) if least == most => least.to_string(),
                (least, most) => format!("{least} to {most}"),
            };
            return plan_err!("{name} takes {wanted} arguments, not {}", given.len());
        }
        let place = |(i, (param, given)): (usize, (&Param, &DataType))| match cast_to(*param, given) {
            Some(to) => Ok(to),
            None => plan_err!("{name}: argument {} cannot be {given}", i + 1),
        };
        params.iter().zip(given).enumerate().map(place).collect()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let columns = args.args.iter().map(|value| match value {
            ColumnarValue::Array(array) => Ok((Arc::clone(array), false)),
            ColumnarValue::Scalar(scalar) => Ok((scalar.to_array()?, true)),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let rows = if constant { 1 } else { args.number_rows };
        let out = (self.function.compute)(&Args { name: self.function.name, columns: &columns, rows })?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }
}

fn cast_to(param: Param, given: &DataType) -> Option<DataType> {
    let text = matches!(given, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null)
        || matches!(given, DataType::Dictionary(_, value) if value.is_string());
    match param {
        Param::Any => Some(given.clone()),
        Param::Bytes | Param::BytesOrSimple if given.is_binary() => Some(DataType::BinaryView),
        Param::Bytes if text => Some(DataType::Utf8View),
        Param::BytesOrSimple if text || is_simple(given) => Some(DataType::Utf8View),
        Param::Text if text || is_simple(given) => Some(DataType::Utf8View),
        Param::Int if text || given.is_integer() => Some(DataType::Int64),
        Param::Bool if text || *given == DataType::Boolean => Some(DataType::Boolean),
        _ => None,
    }
}

fn is_simple(data_type: &DataType) -> bool {
    data_type.is_numeric()
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Date32
                | DataType::Date64
                | DataType::Timestamp(..)
                | DataType::Time32(_)
                | DataType::Time64(_)
        )
}

/// A function of DataFusion's under Redshift's name for it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Renamed {
    name: &'static str,
    function: Arc<ScalarUDF>,
}

impl Renamed {
    pub fn udf(name: &'static str, function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(Renamed { name, function }))
    }
}

impl ScalarUDFImpl for Renamed {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(types)
    }

    /// So that what the planner knows of DataFusion's function holds for this one too.
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Simplified(self.function.call(args)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.function.invoke_with_args(args)
    }
}
