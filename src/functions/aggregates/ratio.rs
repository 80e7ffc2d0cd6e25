//! RATIO_TO_REPORT (Redshift's manual, "Window functions").

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl};

pub(super) fn ratio_to_report() -> WindowUDF {
    RatioToReport { signature: Signature::user_defined(Volatility::Immutable) }.into()
}

/// A value's share of the sum over its partition, as DOUBLE PRECISION; NULL where the value is, or the sum is 0.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RatioToReport {
    signature: Signature,
}

impl WindowUDFImpl for RatioToReport {
    fn name(&self) -> &str {
        "ratio_to_report"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [value] if value.is_numeric() || value.is_null() => Ok(vec![DataType::Float64]),
            [value] => plan_err!("ratio_to_report of {value} is not supported; it takes a number"),
            _ => plan_err!("ratio_to_report takes one argument"),
        }
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), DataType::Float64, true)))
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Shares))
    }
}

#[derive(Debug)]
struct Shares;

impl PartitionEvaluator for Shares {
    fn evaluate_all(&mut self, values: &[ArrayRef], _: usize) -> Result<ArrayRef> {
        let Some(values) = values.first() else { return exec_err!("ratio_to_report takes one argument") };
        let values = values.as_primitive::<Float64Type>();
        let sum: f64 = values.iter().flatten().sum();
        let shares: Float64Array = values.iter().map(|value| value.filter(|_| sum != 0.0).map(|v| v / sum)).collect();
        Ok(Arc::new(shares))
    }
}
