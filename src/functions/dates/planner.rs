//! Sums and differences of dates, where DataFusion's are others than Redshift's.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF, cast};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::call::timestamp;
use super::difference::timestamp_difference;
use super::scale;

/// - A DATE and an interval are a TIMESTAMP, since DataFusion's DATE would drop the interval's hours. With an interval
///   of whole days alone it stays a DATE: as such it compares with DATE columns, so that plans prune.
/// - The difference of two timestamps is an interval.
/// - An interval is multiplied with a number, and divided by one.
#[derive(Debug)]
pub(super) struct Arithmetic;

impl ExprPlanner for Arithmetic {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expr;
        let arithmetic =
            [BinaryOperator::Plus, BinaryOperator::Minus, BinaryOperator::Multiply, BinaryOperator::Divide];
        if !arithmetic.contains(&op) {
            return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
        }
        // A type that cannot be told here, of a parameter, is left to DataFusion.
        let (Ok(of_left), Ok(of_right)) = (left.get_type(schema), right.get_type(schema)) else {
            return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
        };
        Ok(match op {
            BinaryOperator::Plus
                if of_left == DataType::Date32 && is_interval(&of_right) && has_time(&right, schema) =>
            {
                PlannerResult::Original(RawBinaryExpr { op, left: cast(left, timestamp(false)), right })
            }
            BinaryOperator::Plus
                if of_right == DataType::Date32 && is_interval(&of_left) && has_time(&left, schema) =>
            {
                PlannerResult::Original(RawBinaryExpr { op, left, right: cast(right, timestamp(false)) })
            }
            BinaryOperator::Minus
                if of_left == DataType::Date32 && is_interval(&of_right) && has_time(&right, schema) =>
            {
                PlannerResult::Original(RawBinaryExpr { op, left: cast(left, timestamp(false)), right })
            }
            BinaryOperator::Minus
                if is_point(&of_left)
                    && is_point(&of_right)
                    && !(of_left == DataType::Date32 && of_right == DataType::Date32) =>
            {
                call(timestamp_difference(), left, right)
            }
            BinaryOperator::Multiply if is_interval(&of_left) && is_number(&of_right) => {
                call(scale::times(), left, right)
            }
            BinaryOperator::Multiply if is_number(&of_left) && is_interval(&of_right) => {
                call(scale::times(), right, left)
            }
            BinaryOperator::Divide if is_interval(&of_left) && is_number(&of_right) => call(scale::over(), left, right),
            _ => PlannerResult::Original(RawBinaryExpr { op, left, right }),
        })
    }
}

fn call(function: Arc<ScalarUDF>, first: Expr, second: Expr) -> PlannerResult<RawBinaryExpr> {
    PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![first, second])))
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_))
}

/// NULL is one, too.
fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || data_type.is_null()
}

fn is_point(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(..))
}

/// Whether an interval may have hours and less.
fn has_time(interval: &Expr, schema: &DFSchema) -> bool {
    match interval {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { nanoseconds: 0, .. })), _) => false,
        Expr::Literal(ScalarValue::IntervalYearMonth(_), _) => false,
        Expr::Negative(inner) => has_time(inner, schema),
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == scale::TIMES => match args.as_slice() {
            [interval, factor] => {
                has_time(interval, schema) || !factor.get_type(schema).is_ok_and(|of_factor| of_factor.is_integer())
            }
            _ => true,
        },
        _ => true,
    }
}
