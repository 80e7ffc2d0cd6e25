//! What all functions of this folder share: how arguments are taken, and how values are read from them.
//!
//! Within the functions a date or timestamp is microseconds since 1970-01-01 00:00:00, and a TIME is microseconds of its
//! day. A TIMESTAMPTZ is what clocks show in the zone of its Arrow type, where the function is one of the [`CALENDAR`],
//! else what they show in UTC.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int64Array, IntervalMonthDayNanoArray, PrimitiveArray,
    StringViewArray, new_null_array,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, FieldRef, Int64Type, IntervalUnit, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{DataFusionError, Result as DfResult, ScalarValue};
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::common::calendar::DAY_US;
use crate::common::date_part::DATE_PARTS;
use crate::common::sql_type::UTC;
use crate::common::{DatePart, Error, Moment, Result, SqlState, moment};
use crate::functions::zones;

/// Functions that see an instant as a time zone shows it. The planner's rule casts their arguments to the session's.
pub const CALENDAR: [&str; 22] = [
    "add_months",
    "date_bin",
    "date_cmp",
    "date_cmp_timestamp",
    "date_cmp_timestamptz",
    "date_part",
    "date_part_year",
    "date_trunc",
    "dateadd",
    "datediff",
    "extract",
    "last_day",
    "months_between",
    "next_day",
    "timestamp_cmp",
    "timestamp_cmp_date",
    "timestamp_cmp_timestamptz",
    "timestamptz_cmp",
    "timestamptz_cmp_date",
    "timestamptz_cmp_timestamp",
    "to_char",
    "trunc",
];

/// A function: its name, what it takes, what it gives.
pub struct Call {
    pub name: &'static str,
    pub aliases: Vec<String>,
    /// The parameters of each form of the call.
    pub forms: &'static [&'static [Kind]],
    /// The type of the result; arguments are as [`Kind`] says.
    pub returns: fn(&Types) -> Result<DataType>,
    pub invoke: fn(&Arguments) -> Result<ArrayRef>,
    /// Arguments of other types go to DataFusion's function of the same name.
    pub otherwise: Option<Arc<ScalarUDF>>,
    /// Which values of the last argument make the result equal to a literal: see [`ScalarUDFImpl::preimage`].
    pub preimage: Option<Preimage>,
    /// Whether the result grows with the last argument while the others are constant.
    pub monotonic: bool,
}

/// The part, the literal, and the type of the last argument: the range of the last argument that gives the literal.
pub type Preimage = fn(&str, &ScalarValue, &DataType) -> Option<(ScalarValue, ScalarValue)>;

impl Call {
    pub fn new(
        name: &'static str,
        forms: &'static [&'static [Kind]],
        returns: fn(&Types) -> Result<DataType>,
        invoke: fn(&Arguments) -> Result<ArrayRef>,
    ) -> Call {
        Call { name, aliases: Vec::new(), forms, returns, invoke, otherwise: None, preimage: None, monotonic: false }
    }

    pub fn function(self) -> Arc<ScalarUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::from(Function { call: self, signature }))
    }

    /// The types that arguments are cast to; `None` where no form takes them.
    fn coerced(&self, given: &[DataType]) -> Option<Vec<DataType>> {
        let zoned = CALENDAR.contains(&self.name);
        self.forms.iter().find_map(|form| {
            let types =
                form.iter().zip(given).map(|(kind, given)| kind.takes(given, zoned)).collect::<Option<Vec<_>>>();
            types.filter(|_| form.len() == given.len())
        })
    }

    fn refuse(&self, given: &[DataType]) -> Error {
        let forms: Vec<String> = self
            .forms
            .iter()
            .map(|form| {
                let kinds: Vec<&str> = form.iter().map(|kind| kind.words()).collect();
                format!("{}({})", self.name, kinds.join(", "))
            })
            .collect();
        let types: Vec<String> = given.iter().map(type_name).collect();
        Error::invalid(SqlState::DATATYPE_MISMATCH, format!("{}({}) does not exist", self.name, types.join(", ")))
            .with_hint(format!("write {}", forms.join(" or ")))
    }
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A date part's name.
    Part,
    Text,
    Integer,
    Number,
    Boolean,
    /// DATE, TIMESTAMP, TIMESTAMPTZ, or text that is one.
    Moment,
    /// The same and TIME.
    Temporal,
    Date,
    Interval,
    /// Text, or a timestamp as text.
    Written,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Kind::Part => "part",
            Kind::Text | Kind::Written => "text",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Moment => "timestamp",
            Kind::Temporal => "timestamp or time",
            Kind::Date => "date",
            Kind::Interval => "interval",
        }
    }

    /// The type that an argument of type `given` is cast to. Text stays of its type until the call: a literal within a
    /// cast would no longer be known as constant. An instant keeps its zone where the function is `zoned`.
    fn takes(self, given: &DataType, zoned: bool) -> Option<DataType> {
        use DataType::*;
        let micros = |zone: Option<&str>| Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        let text = matches!(given, Utf8 | LargeUtf8 | Utf8View);
        let null = matches!(given, Null);
        Some(match self {
            Kind::Part | Kind::Text if null => Utf8View,
            Kind::Part | Kind::Text if text => given.clone(),
            Kind::Integer if null || text || given.is_integer() || matches!(given, Decimal128(_, 0)) => Int64,
            Kind::Number if null => Int64,
            Kind::Number if given.is_integer() => Int64,
            Kind::Number if matches!(given, Float16 | Float32 | Float64) => Float64,
            Kind::Number if matches!(given, Decimal32(..) | Decimal64(..) | Decimal128(..)) => match given {
                Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) => Decimal128(*p, *s),
                _ => return None,
            },
            Kind::Boolean if null || matches!(given, Boolean) => Boolean,
            Kind::Interval if null || matches!(given, Interval(_)) => Interval(IntervalUnit::MonthDayNano),
            Kind::Interval if matches!(given, Duration(_)) => Interval(IntervalUnit::MonthDayNano),
            Kind::Temporal if matches!(given, Time32(_) | Time64(_)) => Time64(TimeUnit::Microsecond),
            Kind::Moment | Kind::Temporal | Kind::Date | Kind::Written => match given {
                Date32 => Date32,
                Date64 | Timestamp(_, None) => micros(None),
                Timestamp(_, Some(zone)) => micros(Some(if zoned { zone } else { UTC })),
                _ if text => given.clone(),
                _ if null && self == Kind::Written => Utf8View,
                _ if null => micros(None),
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// The arguments' types, and the values of those that are constant.
pub struct Types<'a> {
    pub types: Vec<DataType>,
    pub constants: Vec<Option<&'a ScalarValue>>,
}

impl Types<'_> {
    pub fn constant_text(&self, i: usize) -> Option<&str> {
        self.constants.get(i).copied().flatten().and_then(text_of_scalar)
    }

    /// Whether the `i`th argument is TIMESTAMPTZ.
    pub fn has_zone(&self, i: usize) -> bool {
        matches!(self.types.get(i), Some(DataType::Timestamp(_, Some(_))))
    }

    /// TIMESTAMP or, in the same zone, TIMESTAMPTZ like the `i`th argument; a date and text count as TIMESTAMP.
    pub fn timestamp_like(&self, i: usize) -> DataType {
        match self.types.get(i) {
            Some(DataType::Timestamp(_, zone)) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
            _ => timestamp(false),
        }
    }
}

/// The arguments of a call, as arrays of one length: of one row where all are constant.
pub struct Arguments<'a> {
    pub name: &'static str,
    arrays: Vec<ArrayRef>,
    constants: Vec<Option<&'a ScalarValue>>,
    pub rows: usize,
    pub returns: &'a DataType,
}

impl Arguments<'_> {
    pub fn len(&self) -> usize {
        self.arrays.len()
    }

    pub fn array(&self, i: usize) -> Result<&ArrayRef> {
        self.arrays.get(i).ok_or_else(|| Error::internal(format!("{} has no argument {}", self.name, i + 1)))
    }

    pub fn data_type(&self, i: usize) -> Result<&DataType> {
        self.array(i).map(|array| array.data_type())
    }

    /// Whether the `i`th argument is TIMESTAMPTZ.
    pub fn has_zone(&self, i: usize) -> bool {
        self.arrays.get(i).is_some_and(|a| matches!(a.data_type(), DataType::Timestamp(_, Some(_))))
    }

    pub fn is_time(&self, i: usize) -> bool {
        self.arrays.get(i).is_some_and(|a| matches!(a.data_type(), DataType::Time64(_)))
    }

    pub fn nulls(&self) -> ArrayRef {
        new_null_array(self.returns, self.rows)
    }

    /// A constant text; `None` where it is NULL. Error where it is no constant.
    pub fn constant_text(&self, i: usize, what: &str) -> Result<Option<&str>> {
        match self.constants.get(i).copied().flatten() {
            Some(scalar) if scalar.is_null() => Ok(None),
            Some(scalar) => text_of_scalar(scalar)
                .map(Some)
                .ok_or_else(|| Error::internal(format!("{what} of {} is {}", self.name, scalar.data_type()))),
            None => {
                Err(Error::invalid(SqlState::INVALID_PARAMETER, format!("{what} of {} must be a literal", self.name)))
            }
        }
    }

    /// The date part that the first argument names; `None` where it is NULL.
    pub fn part(&self) -> Result<Option<DatePart>> {
        self.constant_text(0, "the date part")?.map(|name| part(self.name, name)).transpose()
    }

    pub fn text(&self, i: usize) -> Result<&StringViewArray> {
        let array = self.array(i)?;
        array.as_string_view_opt().ok_or_else(|| self.unexpected(array))
    }

    pub fn integers(&self, i: usize) -> Result<&Int64Array> {
        let array = self.array(i)?;
        array.as_primitive_opt::<Int64Type>().ok_or_else(|| self.unexpected(array))
    }

    pub fn booleans(&self, i: usize) -> Result<&BooleanArray> {
        let array = self.array(i)?;
        array.as_boolean_opt().ok_or_else(|| self.unexpected(array))
    }

    pub fn intervals(&self, i: usize) -> Result<&IntervalMonthDayNanoArray> {
        let array = self.array(i)?;
        array.as_primitive_opt().ok_or_else(|| self.unexpected(array))
    }

    /// The time zone of the `i`th argument, where that is TIMESTAMPTZ.
    pub fn zone(&self, i: usize) -> Option<&str> {
        self.arrays.get(i).and_then(|array| zone_of(array.data_type()))
    }

    /// What clocks show: microseconds of dates, timestamps and times; text is read.
    pub fn micros(&self, i: usize) -> Result<Int64Array> {
        match self.zone(i).filter(|zone| *zone != UTC) {
            Some(_) => Ok(zones::to_local(self.array(i)?, self.parsed_zone(i)?)?
                .as_primitive::<TimestampMicrosecondType>()
                .reinterpret_cast()),
            None => self.instants(i),
        }
    }

    fn parsed_zone(&self, i: usize) -> Result<Tz> {
        zones::zone(self.zone(i))
    }

    /// Of a TIMESTAMPTZ microseconds in UTC; of all others as [`Arguments::micros`].
    pub fn instants(&self, i: usize) -> Result<Int64Array> {
        let array = self.array(i)?;
        match array.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let values = array.as_primitive_opt::<TimestampMicrosecondType>();
                values.map(|a| a.reinterpret_cast()).ok_or_else(|| self.unexpected(array))
            }
            DataType::Time64(TimeUnit::Microsecond) => {
                let values = array.as_primitive_opt::<Time64MicrosecondType>();
                values.map(|a| a.reinterpret_cast()).ok_or_else(|| self.unexpected(array))
            }
            DataType::Date32 => {
                let days = array.as_primitive_opt::<Date32Type>().ok_or_else(|| self.unexpected(array))?;
                let micros = |days| i64::from(days).checked_mul(DAY_US).ok_or_else(|| self.out_of_range());
                days.iter().map(|days| days.map(micros).transpose()).collect()
            }
            DataType::Utf8View => {
                let texts = array.as_string_view_opt().ok_or_else(|| self.unexpected(array))?;
                texts.iter().map(|text| text.map(|text| self.read(text)).transpose()).collect()
            }
            _ => Err(self.unexpected(array)),
        }
    }

    fn read(&self, text: &str) -> Result<i64> {
        if let Some(micros) = Moment::parse(text).and_then(Moment::micros) {
            return Ok(micros);
        }
        let hint =
            if moment::parse_time(text).is_some() { "cast it to TIME" } else { "write it as 2008-12-31 23:59:59" };
        Err(Error::invalid(SqlState::INVALID_TEXT, format!("{}: \"{text}\" is not a date or timestamp", self.name))
            .with_hint(hint))
    }

    /// The result for each row: NULL where one of `a` and `b` is.
    pub fn binary(&self, a: &Int64Array, b: &Int64Array, f: impl Fn(i64, i64) -> Option<i64>) -> Result<Int64Array> {
        a.iter()
            .zip(b.iter())
            .map(|pair| match pair {
                (Some(a), Some(b)) => f(a, b).map(Some).ok_or_else(|| self.out_of_range()),
                _ => Ok(None),
            })
            .collect()
    }

    pub fn unary(&self, a: &Int64Array, f: impl Fn(i64) -> Option<i64>) -> Result<Int64Array> {
        a.iter().map(|a| a.map(|a| f(a).ok_or_else(|| self.out_of_range())).transpose()).collect()
    }

    /// The `i`th argument moved to `f` of it, a result as [`Arguments::temporal`] gives it. What is moved by hours or less
    /// goes by the time that passes, by days or more as calendars go.
    pub fn moved(&self, i: usize, by: DatePart, f: impl Fn(usize, i64) -> Option<i64>) -> Result<ArrayRef> {
        let local = self.micros(i)?;
        let to = |row: usize| {
            let value = local.is_valid(row).then(|| local.value(row));
            value.map_or(Ok(None), |value| f(row, value).ok_or_else(|| self.out_of_range()).map(Some))
        };
        let moved = (0..local.len()).map(to).collect::<Result<Int64Array>>()?;
        let zone = match self.returns {
            DataType::Timestamp(_, Some(zone)) if **zone != *UTC && by.is_of_time() => zone.clone(),
            _ => return self.temporal(moved),
        };
        let passed = self.binary(&moved, &local, i64::checked_sub)?;
        let instants = self.binary(&self.instants(i)?, &passed, i64::checked_add)?;
        Ok(Arc::new(instants.reinterpret_cast::<TimestampMicrosecondType>().with_timezone(zone)))
    }

    /// Microseconds as the function's result: a timestamp with or without zone, or a time.
    pub fn temporal(&self, micros: Int64Array) -> Result<ArrayRef> {
        let zone = match self.returns {
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if **zone != *UTC => {
                let local: ArrayRef = Arc::new(micros.reinterpret_cast::<TimestampMicrosecondType>());
                let instants = zones::to_instants(&local, zones::zone(Some(zone))?)?;
                let instants = instants.as_primitive::<TimestampMicrosecondType>().clone();
                return Ok(Arc::new(instants.with_timezone(Arc::clone(zone))));
            }
            DataType::Timestamp(TimeUnit::Microsecond, zone) => zone.clone(),
            DataType::Time64(TimeUnit::Microsecond) => return Ok(as_type::<Time64MicrosecondType>(micros)),
            other => return Err(Error::internal(format!("{} gives a timestamp, not {other}", self.name))),
        };
        Ok(Arc::new(micros.reinterpret_cast::<TimestampMicrosecondType>().with_timezone_opt(zone)))
    }

    /// Days since 1970-01-01 as dates.
    pub fn dates(&self, days: Int64Array) -> Result<ArrayRef> {
        let narrow = |days| i32::try_from(days).map_err(|_| self.out_of_range());
        let dates = days.iter().map(|days| days.map(narrow).transpose()).collect::<Result<Date32Array>>()?;
        Ok(Arc::new(dates))
    }

    pub fn out_of_range(&self) -> Error {
        Error::invalid(SqlState::DATETIME_OVERFLOW, format!("{}: the date or time is out of range", self.name))
    }

    fn unexpected(&self, array: &ArrayRef) -> Error {
        Error::internal(format!("{} was called with {}", self.name, array.data_type()))
    }
}

fn as_type<T: ArrowPrimitiveType<Native = i64>>(values: Int64Array) -> ArrayRef {
    Arc::new(values.reinterpret_cast::<T>()) as Arc<PrimitiveArray<T>>
}

/// The part that a name stands for.
pub fn part(function: &str, name: &str) -> Result<DatePart> {
    DatePart::parse(name).ok_or_else(|| {
        Error::invalid(SqlState::INVALID_PARAMETER, format!("{function}: \"{name}\" is not a date part"))
            .with_hint(DATE_PARTS)
    })
}

pub fn timestamp(zone: bool) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, zone.then(|| UTC.into()))
}

/// TIMESTAMP, TIMESTAMPTZ or TIME like the `i`th argument; a date and text count as TIMESTAMP.
pub fn like(types: &Types, i: usize) -> DataType {
    match types.types.get(i) {
        Some(DataType::Time64(unit)) => DataType::Time64(*unit),
        _ => types.timestamp_like(i),
    }
}

fn zone_of(data_type: &DataType) -> Option<&str> {
    match data_type {
        DataType::Timestamp(_, zone) => zone.as_deref(),
        _ => None,
    }
}

/// Whether what clocks show goes on as time does: not where they are put back.
fn is_steady(data_type: &DataType) -> bool {
    zone_of(data_type).is_none_or(|zone| zone == UTC)
}

fn text_of_scalar(scalar: &ScalarValue) -> Option<&str> {
    scalar.try_as_str().flatten()
}

/// An Arrow type by its SQL name.
fn type_name(data_type: &DataType) -> String {
    use DataType::*;
    match data_type {
        Utf8 | LargeUtf8 | Utf8View => "text".to_string(),
        Date32 | Date64 => "date".to_string(),
        Timestamp(_, None) => "timestamp".to_string(),
        Timestamp(_, Some(_)) => "timestamptz".to_string(),
        Time32(_) | Time64(_) => "time".to_string(),
        Int8 | Int16 => "smallint".to_string(),
        Int32 => "integer".to_string(),
        Int64 => "bigint".to_string(),
        Float32 => "real".to_string(),
        Float64 => "double precision".to_string(),
        Decimal128(p, s) => format!("numeric({p},{s})"),
        Boolean => "boolean".to_string(),
        Interval(_) | Duration(_) => "interval".to_string(),
        other => other.to_string(),
    }
}

pub fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

struct Function {
    call: Call,
    signature: Signature,
}

impl Function {
    /// Whether the call is one of ours, not of the function that it replaces.
    fn is_ours(&self, types: &[DataType]) -> bool {
        self.call.otherwise.is_none() || self.call.coerced(types).is_some()
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function").field("name", &self.call.name).finish_non_exhaustive()
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.call.name == other.call.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.call.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.call.name
    }

    fn aliases(&self) -> &[String] {
        &self.call.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> DfResult<Vec<DataType>> {
        match (self.call.coerced(given), &self.call.otherwise) {
            (Some(types), _) => Ok(types),
            (None, Some(other)) => datafusion::logical_expr::type_coercion::functions::fields_with_udf(
                &given.iter().map(|t| Arc::new(Field::new("", t.clone(), true))).collect::<Vec<FieldRef>>(),
                other.as_ref(),
            )
            .map(|fields| fields.iter().map(|f| f.data_type().clone()).collect()),
            // The type of the result is an error then, and a better one than DataFusion makes of an error here.
            (None, None) => Ok(given.to_vec()),
        }
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Err(external(Error::internal(format!("the type of {} is that of its arguments", self.call.name))))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DfResult<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        if let (false, Some(other)) = (self.is_ours(&types), &self.call.otherwise) {
            return other.return_field_from_args(args);
        }
        if self.call.coerced(&types).is_none() {
            return Err(external(self.call.refuse(&types)));
        }
        let types = Types { types, constants: args.scalar_arguments.to_vec() };
        let returns = (self.call.returns)(&types).map_err(external)?;
        Ok(Arc::new(Field::new(self.call.name, returns, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        if let (false, Some(other)) = (self.is_ours(&types), &self.call.otherwise) {
            return other.invoke_with_args(args);
        }
        let constants: Vec<Option<&ScalarValue>> = args
            .args
            .iter()
            .map(|arg| match arg {
                ColumnarValue::Scalar(scalar) => Some(scalar),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        let constant = constants.iter().all(Option::is_some);
        let rows = if constant { 1 } else { args.number_rows };
        let array = |arg: &ColumnarValue| match arg.to_array(rows)? {
            text if matches!(text.data_type(), DataType::Utf8 | DataType::LargeUtf8) => {
                Ok(arrow::compute::cast(&text, &DataType::Utf8View)?)
            }
            other => Ok(other),
        };
        let arrays = args.args.iter().map(array).collect::<DfResult<Vec<_>>>()?;
        let arguments = Arguments { name: self.call.name, arrays, constants, rows, returns: args.return_type() };
        let result = (self.call.invoke)(&arguments).map_err(external)?;
        if constant {
            ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar)
        } else {
            Ok(ColumnarValue::Array(result))
        }
    }

    fn preimage(&self, args: &[Expr], literal: &Expr, info: &SimplifyContext) -> DfResult<PreimageResult> {
        let (Some(preimage), [others @ .., last]) = (self.call.preimage, args) else { return Ok(PreimageResult::None) };
        let part = others.first().map_or(Some(""), |part| part.as_literal().and_then(text_of_scalar));
        let (Some(part), Some(literal)) = (part, literal.as_literal()) else { return Ok(PreimageResult::None) };
        let data_type = info.get_data_type(last)?;
        if !is_steady(&data_type) {
            return Ok(PreimageResult::None);
        }
        let Some((lower, upper)) = preimage(part, literal, &data_type) else { return Ok(PreimageResult::None) };
        let interval = datafusion::logical_expr::interval_arithmetic::Interval::try_new(lower, upper)?;
        Ok(PreimageResult::Range { expr: last.clone(), interval: Box::new(interval) })
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> DfResult<SortProperties> {
        match inputs {
            // Text is ordered otherwise than the dates in it.
            [others @ .., last]
                if self.call.monotonic
                    && last.range.data_type().is_temporal()
                    && is_steady(&last.range.data_type()) =>
            {
                let constant = others.iter().all(|p| p.sort_properties == SortProperties::Singleton);
                Ok(if constant { last.sort_properties } else { SortProperties::Unordered })
            }
            _ => Ok(SortProperties::Unordered),
        }
    }
}
