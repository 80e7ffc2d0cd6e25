//! BOOL_AND and BOOL_OR, of integers too: every one but 0 is true (Redshift's manual, "BOOL_AND function").

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::bool_and_or::{bool_and_udaf, bool_or_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

pub(super) fn functions() -> [Arc<AggregateUDF>; 2] {
    [bool_and_udaf(), bool_or_udaf()].map(|of_booleans| {
        Arc::new(Logic { signature: Signature::user_defined(Volatility::Immutable), of_booleans }.into())
    })
}

/// DataFusion's function, whose argument becomes BOOLEAN.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Logic {
    signature: Signature,
    of_booleans: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Logic {
    fn name(&self) -> &str {
        self.of_booleans.name()
    }

    fn aliases(&self) -> &[String] {
        self.of_booleans.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [value] if value.is_integer() || value.is_null() || *value == DataType::Boolean => {
                Ok(vec![DataType::Boolean])
            }
            [value] => {
                plan_err!("{} of {value} is not supported; it takes a BOOLEAN or an integer", self.name())
            }
            _ => plan_err!("{} takes one argument", self.name()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.of_booleans.return_type(types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.of_booleans.state_fields(args)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.of_booleans.default_value(data_type)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.of_booleans.accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.of_booleans.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.of_booleans.create_groups_accumulator(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}
