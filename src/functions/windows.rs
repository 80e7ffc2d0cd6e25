//! Window functions that number rows are BIGINT, as in Redshift ("Window functions": ROW_NUMBER, RANK, DENSE_RANK, NTILE).
//!
//! DataFusion's are unsigned: a difference of two would wrap around below zero.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawWindowExpr};
use datafusion::logical_expr::{Expr, WindowFunctionDefinition, cast};

use super::Functions;

const NUMBERING: [&str; 4] = ["dense_rank", "ntile", "rank", "row_number"];

pub(super) fn replacements(functions: &mut Functions) {
    functions.planners.push(Arc::new(Numbering));
}

#[derive(Debug)]
struct Numbering;

impl ExprPlanner for Numbering {
    fn plan_window(&self, expr: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        match &expr.func_def {
            WindowFunctionDefinition::WindowUDF(function) if NUMBERING.contains(&function.name()) => {}
            _ => return Ok(PlannerResult::Original(expr)),
        }
        let RawWindowExpr { func_def, args, partition_by, order_by, window_frame, filter, null_treatment, distinct } =
            expr;
        let params =
            WindowFunctionParams { args, partition_by, order_by, window_frame, filter, null_treatment, distinct };
        let numbering = Expr::from(WindowFunction { fun: func_def, params });
        Ok(PlannerResult::Planned(cast(numbering, DataType::Int64)))
    }
}
