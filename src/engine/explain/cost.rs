//! What steps are said to cost, and how wide their rows are: our own choice, over the plan's estimates.
//!
//! One unit is a hundred rows read in turn, as in Redshift's plans. A step's two costs are those until its first row and
//! until its last, what is below it included. Joins and movements have the shares that join orders are chosen by
//! ([`JoinCosts`]). A sort adds a constant, as Redshift's does, so that it stands out.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::stats::Precision;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use crate::common::SqlType;
use crate::optimizer::cost::JoinCosts;
use crate::optimizer::estimate::ColumnEstimate;
use crate::optimizer::estimate::physical::PlanEstimator;

/// Of a row read.
pub const ROW: f64 = 0.01;
/// Of a condition or an aggregate on a row.
pub const EXPRESSION: f64 = 0.0025;
/// Redshift's.
pub const SORT: f64 = 1e12;
/// Bytes of text of which nothing is known, at most.
const TEXT: f64 = 32.0;

/// Costs, rows and bytes of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    pub first: f64,
    pub total: f64,
    pub rows: f64,
    pub width: f64,
}

impl Cost {
    /// Of moving the rows once.
    pub fn moved(&self, costs: &JoinCosts) -> f64 {
        ROW * self.rows * (costs.moved_row + costs.moved_byte * self.width)
    }

    /// The same rows after more work on the whole.
    pub fn after(self, work: f64) -> Self {
        Cost { total: self.total + work, ..self }
    }

    /// The same rows, none of which is there before the work on all is done.
    pub fn after_all(self, work: f64) -> Self {
        Cost { first: self.total + work, total: self.total + work, ..self }
    }

    /// As many rows of these.
    pub fn limited(self, rows: f64) -> Self {
        let share = if self.rows > 0.0 { (rows / self.rows).min(1.0) } else { 1.0 };
        Cost { total: self.first + (self.total - self.first) * share, rows: self.rows.min(rows), ..self }
    }
}

/// Estimates of one plan.
pub struct Estimates {
    plans: RefCell<PlanEstimator>,
    context: StatisticsContext,
    pub joins: JoinCosts,
}

impl Estimates {
    pub fn new(joins: JoinCosts) -> Self {
        Estimates { plans: RefCell::default(), context: StatisticsContext::default(), joins }
    }

    /// Rows and bytes of a row of a node's output; as many rows as its largest input has, where nothing is known.
    pub fn of(&self, plan: &Arc<dyn ExecutionPlan>) -> (f64, f64) {
        let known = self.plans.borrow_mut().estimate(plan);
        let rows = match &known {
            Some(known) => known.rows.ceil(),
            None => plan.children().into_iter().map(|child| self.of(child).0).fold(0.0, f64::max),
        };
        let schema = plan.schema();
        let width = |(at, field)| column_width(field, known.as_ref().and_then(|known| known.columns.get(at)));
        (rows, schema.fields().iter().map(|f| f.as_ref()).enumerate().map(width).sum())
    }

    /// Whether a node is known to give a row at most.
    pub fn single(&self, plan: &dyn ExecutionPlan) -> bool {
        let statistics = self.context.compute(plan, &StatisticsArgs::new());
        statistics.is_ok_and(|s| matches!(s.num_rows, Precision::Exact(0 | 1)))
    }
}

fn column_width(field: &Field, known: Option<&ColumnEstimate>) -> f64 {
    match field.data_type() {
        DataType::Boolean => return 1.0,
        DataType::Null => return 0.0,
        t => {
            if let Some(bytes) = t.primitive_width() {
                return bytes as f64;
            }
        }
    }
    let most = SqlType::from_field(field).and_then(SqlType::max_bytes).map_or(f64::INFINITY, f64::from);
    known.map_or(TEXT, |known| known.width).min(most)
}
