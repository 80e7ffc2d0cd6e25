//! `+`, `-` and `*` of whole numbers that fail where the type of the result does not hold it, as in Redshift.
//!
//! DataFusion's operators wrap around: `2147483647::int + 1::int` is -2147483648 there.

use std::sync::Arc;

use arrow::array::{ArrayRef, Datum};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result as DfResult, internal_err};
use datafusion::logical_expr::expr::{BinaryExpr, ScalarFunction};
use datafusion::logical_expr::interval_arithmetic::{Interval, apply_operator};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;

use crate::common::{Error, SqlState};

/// `left op right`, of whole numbers of one type, as a function of the operator's name; any other operator as it is.
pub fn checked(expr: BinaryExpr) -> Expr {
    let kind = match expr.op {
        Operator::Plus => Kind::Plus,
        Operator::Minus => Kind::Minus,
        Operator::Multiply => Kind::Times,
        _ => return Expr::BinaryExpr(expr),
    };
    call(kind, vec![*expr.left, *expr.right])
}

/// `-x` of a whole number.
pub fn checked_negative(x: Expr) -> Expr {
    call(Kind::Negative, vec![x])
}

/// All of these functions, which no name in SQL leads to.
pub fn functions() -> [Arc<ScalarUDF>; 4] {
    [Kind::Plus, Kind::Minus, Kind::Times, Kind::Negative].map(|kind| {
        let arguments = if kind == Kind::Negative { 1 } else { 2 };
        Arc::new(udf(kind, arguments))
    })
}

/// An operand of one of these functions: its type is that of the result, and quickly told in a long sum.
pub fn operand(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.inner().is::<Checked>() => args.last(),
        _ => None,
    }
}

/// The operator that one of these functions of two values stands for.
pub fn operation(function: &ScalarUDF) -> Option<Operator> {
    function.inner().downcast_ref::<Checked>().filter(|checked| checked.kind != Kind::Negative).map(Checked::operator)
}

fn call(kind: Kind, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(udf(kind, args.len())), args))
}

fn udf(kind: Kind, arguments: usize) -> ScalarUDF {
    Checked { kind, signature: Signature::any(arguments, Volatility::Immutable) }.into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Plus,
    Minus,
    Times,
    Negative,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    kind: Kind,
    signature: Signature,
}

impl Checked {
    fn operator(&self) -> Operator {
        match self.kind {
            Kind::Plus => Operator::Plus,
            Kind::Times => Operator::Multiply,
            Kind::Minus | Kind::Negative => Operator::Minus,
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Plus => "int_plus",
            Kind::Minus => "int_minus",
            Kind::Times => "int_times",
            Kind::Negative => "int_negative",
        }
    }

    /// That of DataFusion's operator, by which plans name columns.
    fn schema_name(&self, args: &[Expr]) -> DfResult<String> {
        match args {
            [x] => Ok(format!("(- {})", x.schema_name())),
            [left, right] => Ok(format!("{} {} {}", left.schema_name(), self.operator(), right.schema_name())),
            _ => internal_err!("{} takes one or two values", self.name()),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> DfResult<DataType> {
        match args {
            [x] if x.is_integer() => Ok(x.clone()),
            [left, right] if left == right && left.is_integer() => Ok(left.clone()),
            _ => internal_err!("{} is of whole numbers of one type, not of {args:?}", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DfResult<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let of = args.return_field.data_type().clone();
        let run = |f: fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>| match args.args.as_slice() {
            [x] => apply(x, x, |x, _| numeric::neg(x.get().0)),
            [left, right] => apply(left, right, f),
            _ => internal_err!("{} takes one or two values", self.name()),
        };
        let result = match self.operator() {
            Operator::Plus => run(numeric::add),
            Operator::Multiply => run(numeric::mul),
            _ => run(numeric::sub),
        };
        result.map_err(|e| match e {
            DataFusionError::ArrowError(inner, _) if matches!(*inner, ArrowError::ArithmeticOverflow(_)) => {
                DataFusionError::External(Box::new(out_of_range(*inner, &of)))
            }
            other => other,
        })
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> DfResult<Interval> {
        match inputs {
            [left, right] => apply_operator(&self.operator(), left, right),
            [x] => x.arithmetic_negate(),
            _ => internal_err!("{} takes one or two values", self.name()),
        }
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> DfResult<SortProperties> {
        Ok(match (self.kind, inputs) {
            (Kind::Plus, [left, right]) => left.sort_properties.add(&right.sort_properties),
            (Kind::Minus, [left, right]) => left.sort_properties.sub(&right.sort_properties),
            (Kind::Negative, [x]) => -x.sort_properties,
            _ => SortProperties::Unordered,
        })
    }
}

fn out_of_range(error: ArrowError, of: &DataType) -> Error {
    let name = match of {
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        other => &other.to_string(),
    };
    let text = error.to_string();
    let what = text.rsplit("Overflow happened on: ").next().unwrap_or_default();
    Error::invalid(SqlState::NUMERIC_OUT_OF_RANGE, format!("{what} is out of range of {name}"))
        .with_hint("cast to a larger type first: x::BIGINT, or x::DECIMAL(38, 0)")
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array};
    use arrow::datatypes::Int32Type;
    use datafusion::common::ScalarValue;
    use datafusion::config::ConfigOptions;
    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn run(kind: Kind, args: Vec<ColumnarValue>) -> Result<ColumnarValue, Error> {
        let field = Arc::new(Field::new("x", args[0].data_type(), true));
        let function = Checked { kind, signature: Signature::any(args.len(), Volatility::Immutable) };
        let args = ScalarFunctionArgs {
            arg_fields: vec![Arc::clone(&field); args.len()],
            args,
            number_rows: 3,
            return_field: field,
            config_options: Arc::new(ConfigOptions::default()),
        };
        function.invoke_with_args(args).map_err(|e| match e {
            DataFusionError::External(ours) => *ours.downcast().unwrap(),
            other => panic!("{other}"),
        })
    }

    fn array(values: [Option<i32>; 3]) -> ColumnarValue {
        ColumnarValue::Array(Arc::new(Int32Array::from(values.to_vec())))
    }

    fn one(value: i32) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::Int32(Some(value)))
    }

    #[test]
    fn what_the_type_holds_is_the_result_and_all_else_an_error() {
        let max = i32::MAX;
        for (kind, left, right, expected) in [
            (Kind::Plus, [Some(1), None, Some(max - 1)], one(1), [Some(2), None, Some(max)]),
            (Kind::Minus, [Some(1), None, Some(i32::MIN + 1)], one(1), [Some(0), None, Some(i32::MIN)]),
            (Kind::Times, [Some(2), None, Some(-3)], array([Some(5), Some(max), Some(7)]), [Some(10), None, Some(-21)]),
        ] {
            let result = run(kind, vec![array(left), right]).unwrap().into_array(3).unwrap();
            assert_eq!(result.as_primitive::<Int32Type>(), &Int32Array::from(expected.to_vec()), "{kind:?}");
        }
        let negative = run(Kind::Negative, vec![array([Some(1), None, Some(-max)])]).unwrap().into_array(3).unwrap();
        assert_eq!(negative.as_primitive::<Int32Type>(), &Int32Array::from(vec![Some(-1), None, Some(max)]));
        for (kind, args, message) in [
            (Kind::Plus, vec![one(max), one(1)], "2147483647 + 1 is out of range of INTEGER"),
            (Kind::Minus, vec![array([None, Some(-2), None]), one(max)], "-2 - 2147483647 is out of range of INTEGER"),
            (Kind::Times, vec![one(1 << 16), one(1 << 15)], "65536 * 32768 is out of range of INTEGER"),
            (Kind::Negative, vec![one(i32::MIN)], "- -2147483648 is out of range of INTEGER"),
        ] {
            let error = run(kind, args).unwrap_err();
            assert_eq!((error.state(), error.message()), (SqlState::NUMERIC_OUT_OF_RANGE, message));
        }
    }

    #[test]
    fn names_are_those_of_the_operators() {
        for written in [col("t.a") + col("b") * lit(2) - lit(1), -col("a") * (col("b") - col("c"))] {
            let name = written.schema_name().to_string();
            let ours = datafusion::common::tree_node::TreeNode::transform_up(written, |e| {
                Ok(datafusion::common::tree_node::Transformed::yes(match e {
                    Expr::BinaryExpr(binary) => checked(binary),
                    Expr::Negative(x) => checked_negative(*x),
                    other => other,
                }))
            });
            assert_eq!(ours.unwrap().data.schema_name().to_string(), name);
        }
    }
}
