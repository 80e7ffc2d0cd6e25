//! Sums and differences of dates, where DataFusion's are others than Redshift's.

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, cast};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::call::timestamp;
use super::difference::timestamp_difference;

/// - A DATE and an interval are a TIMESTAMP, since DataFusion's DATE would drop the interval's hours. With an interval
///   of whole days alone it stays a DATE: as such it compares with DATE columns, so that plans prune.
/// - The difference of two timestamps is an interval.
#[derive(Debug)]
pub(super) struct Arithmetic;

impl ExprPlanner for Arithmetic {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let minus = match expr.op {
            BinaryOperator::Plus => false,
            BinaryOperator::Minus => true,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let RawBinaryExpr { op, mut left, mut right } = expr;
        // A type that cannot be told here, of a parameter, is left to DataFusion.
        let (Ok(of_left), Ok(of_right)) = (left.get_type(schema), right.get_type(schema)) else {
            return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
        };
        let is_interval = |data_type: &DataType| matches!(data_type, DataType::Interval(_));
        if of_left == DataType::Date32 && is_interval(&of_right) && has_time(&right) {
            left = cast(left, timestamp(false));
        } else if !minus && of_right == DataType::Date32 && is_interval(&of_left) && has_time(&left) {
            right = cast(right, timestamp(false));
        } else if minus
            && is_point(&of_left)
            && is_point(&of_right)
            && !(of_left == DataType::Date32 && of_right == DataType::Date32)
        {
            let call = ScalarFunction::new_udf(timestamp_difference(), vec![left, right]);
            return Ok(PlannerResult::Planned(Expr::ScalarFunction(call)));
        }
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}

fn is_point(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(..))
}

/// Whether an interval may have hours and less.
fn has_time(interval: &Expr) -> bool {
    match interval {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { nanoseconds: 0, .. })), _) => false,
        Expr::Literal(ScalarValue::IntervalYearMonth(_), _) => false,
        Expr::Negative(inner) => has_time(inner),
        _ => true,
    }
}
