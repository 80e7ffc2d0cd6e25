//! Rows on their way into a table: cast to its types as an assignment does, and checked against what it promises.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, RecordBatch, StringViewArray, new_null_array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef, Time64MicrosecondType};
use arrow::error::ArrowError;
use arrow::util::display::FormatOptions;
use arrow::util::display::array_value_to_string;

use super::identity::Generate;
use crate::catalog::model::{ColumnDef, TableDef};
use crate::common::{Error, Result, SqlState, SqlType};
use crate::functions::semistructured::{super_holds, to_super};
use crate::functions::zones;
use crate::physical_plan::scan::table_schema;

/// Turns batches of a source into batches of a table.
#[derive(Debug, Clone)]
pub struct Coercion {
    def: Arc<TableDef>,
    schema: SchemaRef,
    /// Of local times that become instants, and of instants that become text.
    zone: Tz,
    /// Per column of the table: which column of the source it takes, or [`Coercion::NOT_GIVEN`].
    source: Vec<usize>,
    generate: Generate,
}

impl Coercion {
    /// `source[i]` is the source's column for the table's `i`-th.
    pub fn new(def: Arc<TableDef>, source: Vec<usize>) -> Self {
        let schema = Arc::new(table_schema(&def));
        Coercion { def, schema, zone: zones::utc(), source, generate: Generate::Nothing }
    }

    /// Instead of a column of the source: the table's is NULL before identity values are put in.
    pub const NOT_GIVEN: usize = usize::MAX;

    /// With a session's time zone instead of UTC.
    pub fn in_zone(mut self, zone: Tz) -> Self {
        self.zone = zone;
        self
    }

    /// The same, for rows of which some get identity values.
    pub fn generating(&self, generate: Generate) -> Self {
        Coercion { generate, ..self.clone() }
    }

    /// Which rows get identity values.
    pub fn generate(&self) -> Generate {
        self.generate
    }

    pub fn def(&self) -> &Arc<TableDef> {
        &self.def
    }

    /// Fails unless a source with columns of `types` can be assigned at all.
    pub fn check_types(&self, types: &[DataType]) -> Result<(), Refused> {
        for (ordinal, (column, from)) in self.def.columns.iter().zip(&self.source).enumerate() {
            if *from == Self::NOT_GIVEN {
                continue;
            }
            let from = types.get(*from).ok_or_else(|| Error::internal("a source column is missing"))?;
            if !takes(column.sql_type, from) {
                let error = Error::invalid(
                    SqlState::DATATYPE_MISMATCH,
                    format!(
                        "column \"{}\" is of type {} but the value is of type {from}",
                        column.name, column.sql_type
                    ),
                )
                .with_hint("cast the value, or choose another column");
                return Err(Refused::Value(Misfit { error, column: ordinal, row: None, value: None }));
            }
        }
        Ok(())
    }

    /// The table's columns of `batch`; an identity column is NULL where it is to be given a value.
    ///
    /// Errors: the first row with a value that is out of range, too long or NULL where it may not be; Invalid, naming
    /// the column.
    pub fn coerce(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, Refused> {
        self.columns(batch).map_err(|misfit| {
            // One row at a time finds the first that does not fit.
            let bad = |row| {
                let misfit = self.columns(&batch.slice(row, 1)).err()?;
                let given = self.source.get(misfit.column).filter(|from| **from != Self::NOT_GIVEN);
                let value = given.and_then(|from| array_value_to_string(batch.column(*from), row).ok());
                Some(Misfit { row: Some(row as u64), value, ..misfit })
            };
            Refused::Value((0..batch.num_rows()).find_map(bad).unwrap_or(misfit))
        })
    }

    /// The table's rows, of columns that [`Coercion::coerce`] made.
    pub fn rows(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn columns(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, Misfit> {
        let columns = self.def.columns.iter().zip(&self.source).enumerate();
        columns
            .map(|(ordinal, (column, from))| {
                if *from == Self::NOT_GIVEN {
                    return Ok(new_null_array(&column.sql_type.arrow_type(), batch.num_rows()));
                }
                let nullable = column.nullable || column.identity.is_some() && self.generate != Generate::Nothing;
                let array = batch.column(*from);
                coerce_column(array, column, nullable, &self.def.name, self.zone).map_err(|error| Misfit {
                    error,
                    column: ordinal,
                    row: None,
                    value: None,
                })
            })
            .collect()
    }
}

/// A value that a table does not take.
#[derive(Debug)]
pub struct Misfit {
    pub error: Error,
    /// Ordinal of the table's column.
    pub column: usize,
    /// Counted from 0, over the batch or the stream that the row came in; `None` where no value of the column would do.
    pub row: Option<u64>,
    /// As text, where the row is known.
    pub value: Option<String>,
}

/// Why rows are not taken.
#[derive(Debug)]
pub enum Refused {
    /// For a value, whose place the statement may know.
    Value(Misfit),
    Other(Error),
}

impl Refused {
    /// Of a batch that came after `rows` others of its stream.
    pub fn after(self, rows: u64) -> Self {
        match self {
            Refused::Value(misfit) => Refused::Value(Misfit { row: misfit.row.map(|row| row + rows), ..misfit }),
            other => other,
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused::Other(error)
    }
}

/// Without the place.
impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Value(misfit) => misfit.error,
            Refused::Other(error) => error,
        }
    }
}

/// Whether a value of Arrow type `from` may be assigned to a column of `to`.
fn takes(to: SqlType, from: &DataType) -> bool {
    let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match (to, from) {
        (_, DataType::Dictionary(_, value)) => takes(to, value),
        (SqlType::Super, from) => super_holds(from),
        (SqlType::Varbyte(_), from) => {
            text(from)
                || from.is_null()
                || matches!(from, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
                || matches!(from, DataType::FixedSizeBinary(_))
        }
        (SqlType::Time, from) => {
            text(from) || from.is_null() || matches!(from, DataType::Time32(_) | DataType::Time64(_))
        }
        (to, from) => assignable(from, &to.arrow_type()),
    }
}

/// As [`takes`], for types of numbers, text and dates.
fn assignable(from: &DataType, to: &DataType) -> bool {
    let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match (from, to) {
        (DataType::Null, _) => true,
        (from, to) if from == to => true,
        (DataType::Dictionary(_, value), to) => assignable(value, to),
        (from, _) if text(from) => true,
        // What has one text form may be assigned to text.
        (from, to) if text(to) => from.is_primitive() || *from == DataType::Boolean,
        (DataType::Boolean, _) | (_, DataType::Boolean) => false,
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (DataType::Date32 | DataType::Date64 | DataType::Timestamp(..), DataType::Date32 | DataType::Timestamp(..)) => {
            true
        }
        _ => false,
    }
}

/// Values for a column, as [`Coercion::coerce`] makes them.
pub fn coerce_column(array: &ArrayRef, column: &ColumnDef, nullable: bool, table: &str, zone: Tz) -> Result<ArrayRef> {
    let to = column.sql_type.arrow_type();
    let array = if let Some(special) = cast_specially(array, column, zone)? {
        special
    } else if *array.data_type() == to {
        Arc::clone(array)
    } else {
        let rounded = round_for(array, column.sql_type)?;
        let options = CastOptions { safe: false, format_options: FormatOptions::default() };
        let made = cast_with_options(&rounded, &to, &options);
        let made = made.map_err(|e| misfit(column, &reason(&rounded, &to, e)))?;
        check_finite(&rounded, &made, column)?;
        made
    };
    if !nullable && array.null_count() > 0 {
        return Err(null_refused(column, table));
    }
    if let SqlType::Decimal { precision, .. } = column.sql_type {
        check_precision(&array, precision, column)?;
    }
    match column.sql_type {
        SqlType::Varbyte(bytes) => {
            check_bytes(array.as_binary_view(), bytes, column)?;
            Ok(array)
        }
        SqlType::Time => {
            check_time(&array, column)?;
            Ok(array)
        }
        SqlType::Varchar(bytes) => {
            let array = without_surplus_blanks(array, bytes);
            check_length(array.as_string_view(), bytes, column)?;
            Ok(array)
        }
        SqlType::Char(bytes) => {
            let trimmed: StringViewArray = match array.as_string_view().iter().flatten().any(|v| v.ends_with(' ')) {
                true => array.as_string_view().iter().map(|v| v.map(|v| v.trim_end_matches(' '))).collect(),
                false => array.as_string_view().clone(),
            };
            check_single_byte(&trimmed, column)?;
            check_length(&trimmed, bytes, column)?;
            Ok(Arc::new(trimmed))
        }
        _ => Ok(array),
    }
}

/// The casts that Arrow does otherwise, or not at all; `None` for all others.
fn cast_specially(array: &ArrayRef, column: &ColumnDef, zone: Tz) -> Result<Option<ArrayRef>> {
    let of_column = |e: Error| {
        let reason = e.message().to_string();
        let named = Error::invalid(e.state(), format!("a value does not fit column \"{}\": {reason}", column.name));
        match e.hint() {
            Some(hint) => named.with_hint(hint),
            None => named,
        }
    };
    let zoned = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
    let text = matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    Ok(Some(match column.sql_type {
        SqlType::Timestamp if text => zones::timestamps_of_text(array).map_err(of_column)?,
        SqlType::Date if text => zones::dates_of_text(array).map_err(of_column)?,
        SqlType::Time if text => zones::times_of_text(array).map_err(of_column)?,
        SqlType::TimestampTz => zones::to_instants(array, zone).map_err(of_column)?,
        SqlType::Timestamp if zoned => zones::to_local(array, zone).map_err(of_column)?,
        SqlType::Date if zoned => cast(&zones::to_local(array, zone).map_err(of_column)?, &DataType::Date32)?,
        SqlType::Char(_) | SqlType::Varchar(_) if zoned => zones::to_text(array, zone).map_err(of_column)?,
        // Text is JSON here; what is to become a JSON string was made one by the statement's plan.
        SqlType::Super => Arc::new(to_super(array, true).map_err(of_column)?),
        // By way of a type that every form of text and bytes can be cast to.
        SqlType::Varbyte(_) if *array.data_type() != DataType::BinaryView => {
            cast(&cast(array, &DataType::Binary)?, &DataType::BinaryView)?
        }
        _ => return Ok(None),
    }))
}

/// The error of a NULL where none may be.
pub fn null_refused(column: &ColumnDef, table: &str) -> Error {
    Error::invalid(
        SqlState::NOT_NULL_VIOLATION,
        format!("NULL in column \"{}\" of table \"{table}\", which is NOT NULL", column.name),
    )
    .with_hint("give a value, or leave such rows out")
}

/// Integers take fractions rounded half away from zero, as Redshift's INSERT does; Arrow's casts would cut.
fn round_for(array: &ArrayRef, to: SqlType) -> Result<ArrayRef> {
    let integer = matches!(to, SqlType::SmallInt | SqlType::Integer | SqlType::BigInt);
    Ok(match array.data_type() {
        DataType::Float32 if integer => {
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::round))
        }
        DataType::Float64 if integer => {
            Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::round))
        }
        DataType::Decimal128(_, scale) if integer && *scale > 0 => {
            let options = CastOptions { safe: false, format_options: FormatOptions::default() };
            cast_with_options(array, &DataType::Decimal128(38, 0), &options)?
        }
        _ => Arc::clone(array),
    })
}

/// A REAL or DOUBLE is infinite only where the value that was given is; Arrow's casts make others so that are too large.
fn check_finite(given: &ArrayRef, cast: &ArrayRef, column: &ColumnDef) -> Result<()> {
    let infinite: Vec<usize> = match cast.data_type() {
        DataType::Float32 => positions(cast.as_primitive::<Float32Type>().iter(), f32::is_infinite),
        DataType::Float64 => positions(cast.as_primitive::<Float64Type>().iter(), f64::is_infinite),
        _ => return Ok(()),
    };
    if infinite.is_empty() {
        return Ok(());
    }
    let exact = cast_with_options(given, &DataType::Utf8View, &CastOptions::default())?;
    let exact = exact.as_string_view();
    let overflowed = infinite.into_iter().find(|row| !exact.value(*row).to_ascii_lowercase().contains("inf"));
    match overflowed {
        None => Ok(()),
        Some(row) => Err(misfit(column, &format!("{} is out of range", exact.value(row)))),
    }
}

/// Why an array cannot be cast: the first text that is no value of the type, else in Arrow's words.
fn reason(array: &ArrayRef, to: &DataType, error: ArrowError) -> String {
    let no_value = |text: &str| {
        let text: ArrayRef = Arc::new(StringViewArray::from(vec![text]));
        cast_with_options(&text, to, &CastOptions { safe: false, ..Default::default() }).is_err()
    };
    let is_text = matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let texts = is_text.then(|| cast(array, &DataType::Utf8View).ok()).flatten();
    let texts = texts.as_ref().map(|texts| texts.as_string_view());
    match texts.and_then(|texts| texts.iter().flatten().find(|text| no_value(text))) {
        Some(text) => format!("\"{}\" is no such value", shortened(text)),
        None => Error::from(error).message().to_string(),
    }
}

fn positions<T>(values: impl Iterator<Item = Option<T>>, holds: impl Fn(T) -> bool) -> Vec<usize> {
    values.enumerate().filter_map(|(row, value)| value.is_some_and(&holds).then_some(row)).collect()
}

fn misfit(column: &ColumnDef, reason: &str) -> Error {
    let message = format!("a value does not fit column \"{}\" of type {}: {reason}", column.name, column.sql_type);
    Error::invalid(SqlState::NUMERIC_OUT_OF_RANGE, message)
}

fn check_precision(array: &ArrayRef, precision: u8, column: &ColumnDef) -> Result<()> {
    let limit = 10i128.pow(u32::from(precision));
    let decimals = array.as_primitive::<arrow::datatypes::Decimal128Type>();
    match decimals.iter().flatten().find(|v| v.unsigned_abs() >= limit.unsigned_abs()) {
        None => Ok(()),
        Some(_) => Err(Error::invalid(
            SqlState::NUMERIC_OUT_OF_RANGE,
            format!("a value has more digits than column \"{}\" of type {} holds", column.name, column.sql_type),
        )),
    }
}

fn check_bytes(array: &BinaryViewArray, bytes: u32, column: &ColumnDef) -> Result<()> {
    match (0..array.len()).find(|i| array.is_valid(*i) && array.value(*i).len() > bytes as usize) {
        None => Ok(()),
        Some(i) => Err(Error::invalid(
            SqlState::STRING_TOO_LONG,
            format!("value too long for column \"{}\" of type {}", column.name, column.sql_type),
        )
        .with_detail(format!("the value has {} bytes", array.value(i).len()))),
    }
}

/// Arrow's type can hold times that no day has.
fn check_time(array: &ArrayRef, column: &ColumnDef) -> Result<()> {
    const DAY: i64 = 86_400_000_000;
    let times = array.as_primitive::<Time64MicrosecondType>();
    match times.iter().flatten().find(|micros| !(0..DAY).contains(micros)) {
        None => Ok(()),
        Some(micros) => Err(misfit(column, &format!("{micros} microseconds are not within a day"))),
    }
}

fn first_longer(array: &StringViewArray, bytes: u32) -> Option<usize> {
    // A view begins with its length.
    (0..array.len()).find(|i| array.is_valid(*i) && array.views()[*i] as u32 > bytes)
}

/// Text that only blanks make longer than `bytes` is cut ("Character types", significance of trailing blanks).
fn without_surplus_blanks(array: ArrayRef, bytes: u32) -> ArrayRef {
    if first_longer(array.as_string_view(), bytes).is_none() {
        return array;
    }
    let cut = |text: &str| match text.split_at_checked(bytes as usize) {
        Some((kept, rest)) if rest.bytes().all(|b| b == b' ') => kept.to_string(),
        _ => text.to_string(),
    };
    Arc::new(array.as_string_view().iter().map(|text| text.map(cut)).collect::<StringViewArray>())
}

fn check_length(array: &StringViewArray, bytes: u32, column: &ColumnDef) -> Result<()> {
    match first_longer(array, bytes) {
        None => Ok(()),
        Some(i) => Err(Error::invalid(
            SqlState::STRING_TOO_LONG,
            format!("value too long for column \"{}\" of type {}", column.name, column.sql_type),
        )
        .with_detail(format!("the value has {} bytes: {}", array.value(i).len(), shortened(array.value(i))))),
    }
}

/// What to do with text that CHAR does not hold.
pub const USE_VARCHAR: &str = "CHAR holds ASCII only; use VARCHAR";

/// The first value with a character of more than one byte, if the type is CHAR, which holds none (Redshift's Database
/// Developer Guide, "Character types").
pub fn multi_byte_char(values: &StringViewArray, sql_type: SqlType) -> Option<usize> {
    let wide = |i: &usize| values.is_valid(*i) && !values.value(*i).is_ascii();
    if matches!(sql_type, SqlType::Char(_)) { (0..values.len()).find(wide) } else { None }
}

fn check_single_byte(values: &StringViewArray, column: &ColumnDef) -> Result<()> {
    match multi_byte_char(values, column.sql_type) {
        None => Ok(()),
        Some(i) => Err(Error::invalid(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            format!(
                "a value for column \"{}\" of type {} has characters of more than one byte",
                column.name, column.sql_type
            ),
        )
        .with_detail(format!("the value is {}", shortened(values.value(i))))
        .with_hint(USE_VARCHAR)),
    }
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN {
        text.to_string()
    } else {
        text.chars().take(SHOWN).chain("…".chars()).collect()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Float64Array, Int64Array, StringArray};

    use super::*;
    use crate::common::{ColumnId, EncodingName};

    fn column(sql_type: SqlType, nullable: bool) -> ColumnDef {
        ColumnDef {
            id: ColumnId(1),
            name: "c".into(),
            sql_type,
            nullable,
            default_sql: None,
            absent: None,
            encoding: EncodingName::Auto,
            identity: None,
        }
    }

    fn coerced(array: ArrayRef, sql_type: SqlType) -> Result<Vec<String>> {
        let array = coerce_column(&array, &column(sql_type, true), true, "t", zones::utc())?;
        assert_eq!(*array.data_type(), sql_type.arrow_type());
        let options = FormatOptions::default().with_null("NULL");
        let shown = arrow::util::display::ArrayFormatter::try_new(&array, &options).unwrap();
        Ok((0..array.len()).map(|i| shown.value(i).to_string()).collect())
    }

    #[test]
    fn numbers_round_and_do_not_overflow() {
        let decimals: ArrayRef =
            Arc::new(Decimal128Array::from(vec![11, 15, -15, 14]).with_precision_and_scale(4, 1).unwrap());
        assert_eq!(coerced(decimals, SqlType::Integer).unwrap(), ["1", "2", "-2", "1"]);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.1, 2.5, -2.5]));
        assert_eq!(coerced(floats, SqlType::SmallInt).unwrap(), ["1", "3", "-3"]);
        let fine: ArrayRef = Arc::new(Decimal128Array::from(vec![20_259]).with_precision_and_scale(8, 3).unwrap());
        assert_eq!(coerced(fine, SqlType::Decimal { precision: 8, scale: 2 }).unwrap(), ["20.26"]);
        let big: ArrayRef = Arc::new(Int64Array::from(vec![40_000]));
        let error = coerced(Arc::clone(&big), SqlType::SmallInt).unwrap_err();
        assert_eq!(error.state(), SqlState::NUMERIC_OUT_OF_RANGE);
        assert!(coerced(big, SqlType::Decimal { precision: 4, scale: 0 }).is_err());
    }

    #[test]
    fn text_is_measured_in_bytes() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("ab "), None, Some("é")]));
        assert_eq!(coerced(Arc::clone(&text), SqlType::Varchar(3)).unwrap(), ["ab ", "NULL", "é"]);
        // What is too long by blanks alone is cut, other text is refused.
        assert_eq!(coerced(Arc::clone(&text), SqlType::Varchar(2)).unwrap(), ["ab", "NULL", "é"]);
        let error = coerced(text, SqlType::Varchar(1)).unwrap_err();
        assert_eq!(error.state(), SqlState::STRING_TOO_LONG);
        assert!(error.message().contains("\"c\""));
    }

    #[test]
    fn char_holds_single_bytes_only() {
        let text = |values: &[&str]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        assert_eq!(coerced(text(&["ab ", "~"]), SqlType::Char(2)).unwrap(), ["ab", "~"]);
        for sql_type in [SqlType::Char(9), SqlType::Char(1)] {
            let error = coerced(text(&["a", "é"]), sql_type).unwrap_err();
            assert_eq!(error.state(), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
            assert!(error.hint().unwrap().contains("VARCHAR"));
        }
    }

    #[test]
    fn null_is_refused_where_declared() {
        let nulls: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let error = coerce_column(&nulls, &column(SqlType::BigInt, false), false, "t", zones::utc()).unwrap_err();
        assert_eq!(error.state(), SqlState::NOT_NULL_VIOLATION);
    }

    #[test]
    fn only_kindred_types_are_assigned() {
        assert!(assignable(&DataType::Utf8, &DataType::Date32));
        assert!(assignable(&DataType::Int64, &DataType::Float32));
        assert!(!assignable(&DataType::Boolean, &DataType::Int64));
        assert!(!assignable(&DataType::Date32, &DataType::Int32));
        assert!(assignable(&DataType::Int32, &DataType::Utf8View));
        assert!(!assignable(&DataType::Binary, &DataType::Utf8View));
    }
}
