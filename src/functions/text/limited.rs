//! Functions of DataFusion's that make long text of short: they give no more than a VARCHAR holds.
//!
//! The limit is that of a column, 65,535 bytes (Redshift manual, "VARCHAR"). It is held before the text is built: a
//! constant call is computed while a statement is planned, where nothing can stop it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::functions::{string, unicode};
use datafusion::logical_expr::{ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use crate::common::{Error, SqlState};

/// The bytes of VARCHAR(MAX).
const MAX_BYTES: u64 = 65_535;

pub(super) fn replacements() -> Vec<Arc<ScalarUDF>> {
    vec![
        Limited::udf(string::repeat(), repeated),
        Limited::udf(unicode::lpad(), padded),
        Limited::udf(unicode::rpad(), padded),
        Limited::udf(string::replace(), replaced),
    ]
}

/// `repeat`, as other functions are made of it.
pub(super) fn repeat() -> Arc<ScalarUDF> {
    Limited::udf(string::repeat(), repeated)
}

/// The bytes of the result of a row at least, where they may be too many.
type AtLeast = fn(&Texts, usize) -> Option<u64>;

#[derive(Debug)]
struct Limited {
    function: Arc<ScalarUDF>,
    at_least: AtLeast,
}

impl PartialEq for Limited {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}

impl Eq for Limited {}

impl std::hash::Hash for Limited {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

impl Limited {
    fn udf(function: Arc<ScalarUDF>, at_least: AtLeast) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(Limited { function, at_least }))
    }
}

impl ScalarUDFImpl for Limited {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
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

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = Texts::of(&args)?;
        for row in 0..texts.rows {
            if let Some(bytes) = (self.at_least)(&texts, row)
                && bytes > MAX_BYTES
            {
                let error = Error::invalid(
                    SqlState::STRING_TOO_LONG,
                    format!("{} would make a text of at least {bytes} bytes, longer than VARCHAR holds", self.name()),
                );
                let hint = format!("a text has at most {MAX_BYTES} bytes");
                return Err(DataFusionError::External(Box::new(error.with_hint(hint))));
            }
        }
        self.function.invoke_with_args(args)
    }
}

/// The arguments by row.
struct Texts {
    columns: Vec<(ArrayRef, bool)>,
    rows: usize,
}

impl Texts {
    fn of(args: &ScalarFunctionArgs) -> Result<Texts> {
        let mut columns = Vec::with_capacity(args.args.len());
        for arg in &args.args {
            let (array, constant) = match arg {
                ColumnarValue::Array(array) => (Arc::clone(array), false),
                ColumnarValue::Scalar(value) => (value.to_array()?, true),
            };
            let to = if array.data_type().is_integer() { DataType::Int64 } else { DataType::Utf8View };
            columns.push((cast(&array, &to)?, constant));
        }
        let rows = if columns.iter().all(|(_, constant)| *constant) { 1 } else { args.number_rows };
        Ok(Texts { columns, rows })
    }

    fn at(&self, i: usize, row: usize) -> Option<(&ArrayRef, usize)> {
        let (column, constant) = self.columns.get(i)?;
        let row = if *constant { 0 } else { row };
        (row < column.len() && column.is_valid(row)).then_some((column, row))
    }

    fn text(&self, i: usize, row: usize) -> Option<&str> {
        let (column, row) = self.at(i, row)?;
        Some(column.as_string_view_opt()?.value(row))
    }

    fn int(&self, i: usize, row: usize) -> Option<i64> {
        let (column, row) = self.at(i, row)?;
        Some(column.as_primitive_opt::<Int64Type>()?.value(row))
    }
}

fn repeated(args: &Texts, row: usize) -> Option<u64> {
    let times = u64::try_from(args.int(1, row)?).ok()?;
    Some((args.text(0, row)?.len() as u64).saturating_mul(times))
}

/// A character has at least one byte. What is not filled is as long as it was.
fn padded(args: &Texts, row: usize) -> Option<u64> {
    let characters = u64::try_from(args.int(1, row)?).ok()?;
    let filled = args.columns.len() < 3 || args.text(2, row).is_some_and(|fill| !fill.is_empty());
    let text = args.text(0, row)?;
    match filled {
        true => Some(characters),
        false => Some((text.len() as u64).min(characters)),
    }
}

fn replaced(args: &Texts, row: usize) -> Option<u64> {
    let (text, from, to) = (args.text(0, row)?, args.text(1, row)?, args.text(2, row)?);
    if from.is_empty() || to.len() <= from.len() {
        return None;
    }
    let found = text.matches(from).count() as u64;
    // What does not grow is as long as its source, whatever that is.
    (found > 0).then(|| (text.len() as u64).saturating_add(found.saturating_mul((to.len() - from.len()) as u64)))
}
