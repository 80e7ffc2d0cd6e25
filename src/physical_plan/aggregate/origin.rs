//! Where an aggregation's input comes from, and what the tables that its columns come from prove of their values.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::JoinType;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;

use super::aggregation_of;
use super::numbers::column_bounds;
use crate::catalog::model::ColumnDef;
use crate::common::Stored;
use crate::physical_plan::abreast::Abreast;
use crate::physical_plan::broadcast::Broadcast;
use crate::physical_plan::collocated_join::CollocatedJoinExec;
use crate::physical_plan::estimate::known_distinct;
use crate::physical_plan::exchange::Exchange;
use crate::physical_plan::key_filter::BuildKeys;
use crate::physical_plan::rows::ROW;
use crate::physical_plan::scan::SliceScan;
use crate::physical_plan::spool::Spool;

/// What is aggregated.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// A scan's rows, taken from its pages. Columns are called by their ordinals in the table.
    Scan(&'a SliceScan),
    /// Rows of any plan. Columns are called by their positions.
    Rows(&'a Arc<dyn ExecutionPlan>),
}

/// What is known of a column of integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Integers {
    /// What the source calls it.
    pub column: usize,
    /// No value is outside, both included.
    pub bounds: (i128, i128),
    pub nullable: bool,
}

impl Source<'_> {
    /// Of a column of the source's plan; `None` where its values are no integers, or nothing is known of them.
    pub fn integers(&self, at: usize) -> Option<Integers> {
        match self {
            Source::Scan(scan) => {
                let column = *scan.projection().get(at)?;
                self::column(scan, column)?;
                let (bounds, nullable) = column_bounds(scan.table(), column)?;
                Some(Integers { column, bounds, nullable })
            }
            Source::Rows(plan) => {
                let Origin { scan, column, nullable } = origin(plan, at)?;
                let (bounds, some) = column_bounds(scan.table(), column)?;
                Some(Integers { column: at, bounds, nullable: nullable || some })
            }
        }
    }

    /// How many values a column has, where statistics tell.
    pub fn distinct(&self, at: usize) -> Option<f64> {
        let (scan, column) = match self {
            Source::Scan(scan) => (*scan, *scan.projection().get(at)?),
            Source::Rows(plan) => origin(plan, at).map(|origin| (origin.scan, origin.column))?,
        };
        self::column(scan, column)?;
        known_distinct(scan.table(), column)
    }

    /// What it calls a column of text.
    pub fn text(&self, at: usize) -> Option<usize> {
        match self {
            Source::Scan(scan) => {
                let column = *scan.projection().get(at)?;
                (self::column(scan, column)?.sql_type.stored() == Stored::Bytes).then_some(column)
            }
            Source::Rows(plan) => {
                let schema = plan.schema();
                (*schema.fields().get(at)?.data_type() == DataType::Utf8View).then_some(at)
            }
        }
    }
}

/// A table's column, but for the one that says which row it is.
fn column(scan: &SliceScan, ordinal: usize) -> Option<&ColumnDef> {
    scan.table().def.columns.get(ordinal).filter(|column| column.id != ROW)
}

/// The table's column whose values, and perhaps NULL, a plan's column has.
struct Origin<'a> {
    scan: &'a SliceScan,
    /// Ordinal in the table.
    column: usize,
    /// Whether there may be NULLs that the table has not.
    nullable: bool,
}

fn origin(plan: &Arc<dyn ExecutionPlan>, at: usize) -> Option<Origin<'_>> {
    if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        let scan = source.data_source().downcast_ref::<SliceScan>()?;
        let ordinal = *scan.projection().get(at)?;
        self::column(scan, ordinal)?;
        return Some(Origin { scan, column: ordinal, nullable: false });
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let column = projection.expr().get(at)?.expr.downcast_ref::<Column>()?;
        return origin(projection.input(), column.index());
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return origin(filter.input(), projected(filter.projection().as_deref(), at)?);
    }
    let hash_join = plan.downcast_ref::<CollocatedJoinExec>().map(CollocatedJoinExec::join);
    if let Some(join) = hash_join.or(plan.downcast_ref::<HashJoinExec>()) {
        let at = projected(join.projection.as_deref(), at)?;
        return of_join(join.left(), join.right(), *join.join_type(), at);
    }
    if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        return of_join(join.left(), join.right(), join.join_type(), at);
    }
    if let Some(aggregate) = aggregation_of(plan.as_ref()) {
        // The groups' keys are values of the input's.
        let group = aggregate.group_expr();
        let column = group.expr().get(at).filter(|_| group.is_single())?.0.downcast_ref::<Column>()?;
        return origin(aggregate.input(), column.index());
    }
    let hands_on = plan.is::<Exchange>()
        || plan.is::<RepartitionExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<SortExec>()
        || plan.is::<Broadcast>()
        || plan.is::<BuildKeys>()
        || plan.is::<Abreast>()
        || plan.is::<Spool>()
        || plan.is::<CooperativeExec>();
    match plan.children()[..] {
        [input] if hands_on => origin(input, at),
        _ => None,
    }
}

fn projected(projection: Option<&[usize]>, at: usize) -> Option<usize> {
    projection.map_or(Some(at), |kept| kept.get(at).copied())
}

fn of_join<'a>(
    left: &'a Arc<dyn ExecutionPlan>,
    right: &'a Arc<dyn ExecutionPlan>,
    join_type: JoinType,
    at: usize,
) -> Option<Origin<'a>> {
    let of_left = left.schema().fields().len();
    let (side, at, nullable) = match join_type {
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => (left, at, false),
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => (right, at, false),
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => match at.checked_sub(of_left) {
            None => (left, at, matches!(join_type, JoinType::Right | JoinType::Full)),
            Some(at) => (right, at, matches!(join_type, JoinType::Left | JoinType::Full)),
        },
    };
    let origin = origin(side, at)?;
    Some(Origin { nullable: origin.nullable || nullable, ..origin })
}
