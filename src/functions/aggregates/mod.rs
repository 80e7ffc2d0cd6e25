//! Aggregates and window functions that DataFusion lacks or defines otherwise.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ColumnarValue;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::Functions;

mod average;
mod listagg;
mod logic;
mod percentile;
mod ratio;
mod sum;

pub(super) fn additions(all: &mut Functions) {
    all.aggregate.push(Arc::new(listagg::listagg()));
    all.aggregate.push(Arc::new(percentile::discrete()));
    all.window.push(Arc::new(ratio::ratio_to_report()));
}

pub(super) fn replacements(all: &mut Functions) {
    all.aggregate.push(Arc::new(percentile::continuous()));
    all.aggregate.push(Arc::new(percentile::median()));
    all.aggregate.push(Arc::new(average::average()));
    all.aggregate.push(Arc::new(sum::sum()));
    all.aggregate.extend(logic::functions());
}

/// An argument that is the same for all rows.
fn constant(args: &AccumulatorArgs, i: usize) -> Result<Option<ScalarValue>> {
    let Some(expr) = args.exprs.get(i) else { return Ok(None) };
    let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
    Ok(match expr.evaluate(&nothing) {
        Ok(ColumnarValue::Scalar(value)) => Some(value),
        _ => None,
    })
}
