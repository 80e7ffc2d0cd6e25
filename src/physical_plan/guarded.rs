//! Evaluating a filter so that no row sees an expression that another part of the filter guards it from.
//!
//! `b = 0 OR 100 / b > 5` must not divide by zero. DataFusion evaluates both sides of OR and AND on whole batches, and
//! writes a guarding CASE as such an OR; here the right side runs on those rows only that the left side leaves open.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, not};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_plan::PhysicalExpr;

/// The rows of `batch` of which `expr` is TRUE (not NULL, not FALSE); the answer has no NULL.
pub(super) fn is_true(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>()
        && matches!(binary.op(), Operator::And | Operator::Or)
        && !cannot_fail(binary.right())
    {
        let left = is_true(binary.left(), batch)?;
        let open = if *binary.op() == Operator::And { left.clone() } else { not(&left)? };
        let right = is_true(binary.right(), &filter_record_batch(batch, &open)?)?;
        let mut answers = right.values().iter();
        return Ok((0..batch.num_rows())
            .map(|row| if open.value(row) { answers.next().unwrap_or(false) } else { left.value(row) })
            .map(Some)
            .collect());
    }
    let rows = batch.num_rows();
    if rows == 0 {
        return Ok(BooleanArray::new_null(0));
    }
    let answer = expr.evaluate(batch)?.into_array(rows)?;
    let answer = answer
        .as_boolean_opt()
        .ok_or_else(|| DataFusionError::Internal(format!("filter {expr} is not a condition")))?;
    Ok(match Array::nulls(answer) {
        Some(nulls) => BooleanArray::new(answer.values() & nulls.inner(), None),
        None => answer.clone(),
    })
}

/// Whether an operator compares two values of one type, which none of them can make it fail at.
pub fn compares(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// Whether no value of any row can make `expr` raise.
fn cannot_fail(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let known = match expr.downcast_ref::<BinaryExpr>() {
        Some(binary) => matches!(binary.op(), Operator::And | Operator::Or) || compares(*binary.op()),
        None => {
            expr.is::<Column>()
                || expr.is::<Literal>()
                || expr.is::<InListExpr>()
                || expr.is::<IsNullExpr>()
                || expr.is::<IsNotNullExpr>()
                || expr.is::<LikeExpr>()
                || expr.is::<NotExpr>()
        }
    };
    known && expr.children().into_iter().all(cannot_fail)
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::physical_expr::expressions::{binary, col, is_null, lit};

    use super::*;

    #[test]
    fn a_guarded_row_does_not_raise() {
        let schema = Schema::new(vec![Field::new("b", DataType::Int64, true)]);
        let column = Int64Array::from(vec![Some(0), Some(10), None, Some(50)]);
        let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![Arc::new(column)]).unwrap();
        let b = || col("b", &schema).unwrap();
        let op = |l, op, r| binary(l, op, r, &schema).unwrap();
        let quotient = op(op(lit(100i64), Operator::Divide, b()), Operator::Gt, lit(5i64));
        assert!(is_true(&quotient, &batch).is_err());
        let guarded_or = op(op(b(), Operator::Eq, lit(0i64)), Operator::Or, Arc::clone(&quotient));
        assert_eq!(is_true(&guarded_or, &batch).unwrap(), BooleanArray::from(vec![true, true, false, false]));
        let guarded_and = op(op(b(), Operator::NotEq, lit(0i64)), Operator::And, quotient);
        assert_eq!(is_true(&guarded_and, &batch).unwrap(), BooleanArray::from(vec![false, true, false, false]));
        let nested = op(is_null(b()).unwrap(), Operator::Or, guarded_or);
        assert_eq!(is_true(&nested, &batch).unwrap(), BooleanArray::from(vec![true, true, true, false]));
    }
}
