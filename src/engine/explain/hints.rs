//! What a plan, and running it, give reason to change: lines below the plan, the first ones Redshift's.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::nodes::{Scan, Step};
use crate::catalog::EffectiveDist;
use crate::physical_plan::collocated_join::CollocatedJoinExec;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::exchange::Exchange;
use crate::physical_plan::placement::hash_form;
use crate::physical_plan::scan::{ScanTable, SliceScan};

/// Lines for a plan that may have run.
pub fn hints(step: &Step, settings: &BlueshiftOptions) -> Vec<String> {
    let mut hints = Vec::new();
    if step.any(&|s| s.cartesian) {
        hints
            .push("Nested Loop Join in the query plan - review the join predicates to avoid Cartesian products".into());
    }
    let tables = |is: &dyn Fn(&Scan) -> bool| -> Option<String> {
        let mut names = BTreeSet::new();
        step.each(&mut |s| names.extend(s.scan.iter().filter(|scan| is(scan)).map(|scan| scan.table.to_string())));
        (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
    };
    let (missing, stale) = (tables(&|scan| scan.unknown), tables(&|scan| scan.stale));
    let any = missing.is_some() || stale.is_some();
    hints.extend(missing.map(|names| format!("Tables missing statistics: {names}")));
    hints.extend(stale.map(|names| format!("Tables that changed much since they were analyzed: {names}")));
    if any {
        hints.push("Update statistics by running the ANALYZE command on these tables".into());
    }
    let mut of_steps = BTreeSet::new();
    step.each(&mut |s| {
        of_steps.extend(missing_key(s));
        of_steps.extend(skewed_movement(s, settings));
        of_steps.extend(s.plans.iter().filter_map(scan_of).filter_map(|scan| skewed_table(scan.table(), settings)));
    });
    hints.extend(of_steps);
    hints.into_iter().map(|hint| format!("----- {hint} -----")).collect()
}

/// Of a join that moves rows of two tables which are distributed by columns of one name: those columns, if the join does not
/// equate them. It cannot be done for the user: rows that agree in the join's keys may differ in these.
fn missing_key(step: &Step) -> Option<String> {
    if step.moved.is_empty() {
        return None;
    }
    let join = step.plans.iter().find_map(|plan| {
        let collocated = plan.downcast_ref::<CollocatedJoinExec>().map(CollocatedJoinExec::join);
        collocated.or(plan.downcast_ref::<HashJoinExec>())
    })?;
    let pairs = join.on().iter().filter_map(|(l, r)| origin_of(join.left(), l).zip(origin_of(join.right(), r)));
    let pairs: Vec<_> = pairs.collect();
    let ((left, _), (right, _)) = *pairs.first()?;
    // A table joined with itself relates rows to others.
    if left.table().def.id == right.table().def.id {
        return None;
    }
    let (of_left, of_right) = (left.key()?, right.key()?);
    let column = |scan: &SliceScan, ordinal: usize| scan.table().def.columns[ordinal].clone();
    let (by_left, by_right) = (column(left, of_left), column(right, of_right));
    let form = |column: &crate::catalog::ColumnDef| hash_form(&column.sql_type.arrow_type());
    let of_both = |l: &SliceScan, r: &SliceScan| std::ptr::eq(l, left) && std::ptr::eq(r, right);
    let equated = pairs.iter().any(|((l, a), (r, b))| of_both(l, r) && (*a, *b) == (of_left, of_right));
    if equated || by_left.name != by_right.name || form(&by_left) != form(&by_right) {
        return None;
    }
    let called =
        |scan: &SliceScan| scan.alias().map_or_else(|| scan.table().def.name.clone(), |alias| alias.to_string());
    let (left, right, name) = (called(left), called(right), &by_left.name);
    Some(format!(
        "\"{left}\" and \"{right}\" are distributed by {name}: if their rows agree in it, a join that says so, too, \
         ({left}.{name} = {right}.{name}) moves none"
    ))
}

/// Of a step that ran and whose rows went mostly to one partition.
fn skewed_movement(step: &Step, settings: &BlueshiftOptions) -> Option<String> {
    let exchanges = step.moved.iter().filter_map(|moved| moved.downcast_ref::<Exchange>());
    exchanges.filter_map(|exchange| skewed_exchange(step, exchange, settings)).next()
}

fn skewed_exchange(step: &Step, exchange: &Exchange, settings: &BlueshiftOptions) -> Option<String> {
    let metrics = exchange.metrics()?;
    let sum = |name: &str| metrics.sum_by_name(name).map_or(0, |value| value.as_usize());
    let (rows, percent) = (sum("rows_exchanged") as u64, sum("skew_percent"));
    let partitions = exchange.partitioning().partition_count();
    let skewed = percent as f64 >= 100.0 * settings.hint_skew && rows >= settings.hint_rows * partitions as u64;
    skewed.then(|| {
        let times = percent as f64 / 100.0;
        format!(
            "Skew: of {partitions} partitions one got {times:.1} times the mean of the rows moved for {}",
            step.operator
        )
    })
}

/// Of a table that has most of its rows on one slice.
fn skewed_table(table: &ScanTable, settings: &BlueshiftOptions) -> Option<String> {
    let EffectiveDist::Key(id) = table.def.effective_dist else { return None };
    let slices = table.store.pin()?.info.slices;
    let mut rows = vec![0u64; slices as usize];
    for segment in table.segments.iter() {
        *rows.get_mut(segment.slice as usize)? += u64::from(segment.rows);
    }
    let (most, all) = (rows.iter().copied().max()?, rows.iter().sum::<u64>());
    let mean = all as f64 / f64::from(slices);
    if slices == 1 || all < settings.hint_rows * u64::from(slices) || (most as f64) < settings.hint_skew * mean {
        return None;
    }
    let by = table.def.columns.iter().find(|column| column.id == id)?;
    Some(format!(
        "Skew: one of {slices} slices has {:.0} % of the rows of \"{}\", by its distribution key {}",
        most as f64 / all as f64 * 100.0,
        table.def.name,
        by.name
    ))
}

/// The scan and the ordinal in its table that an expression's value comes from, if it is a column's.
fn origin_of<'p>(plan: &'p Arc<dyn ExecutionPlan>, expr: &Arc<dyn PhysicalExpr>) -> Option<(&'p SliceScan, usize)> {
    origin(plan, expr.downcast_ref::<Column>()?.index())
}

fn origin(plan: &Arc<dyn ExecutionPlan>, at: usize) -> Option<(&SliceScan, usize)> {
    if let Some(scan) = scan_of(plan) {
        return Some((scan, *scan.projection().get(at)?));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return origin_of(projection.input(), &projection.expr().get(at)?.expr);
    }
    let collocated = plan.downcast_ref::<CollocatedJoinExec>().map(CollocatedJoinExec::join);
    if let Some(join) = collocated.or(plan.downcast_ref::<HashJoinExec>()) {
        let at = join.projection.as_ref().map_or(Some(at), |projection| projection.get(at).copied())?;
        let left = join.left().schema().fields().len();
        return match join.join_type() {
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => origin(join.right(), at),
            _ if at < left => origin(join.left(), at),
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => None,
            _ => origin(join.right(), at - left),
        };
    }
    match plan.children()[..] {
        [input] if input.schema() == plan.schema() => origin(input, at),
        _ => None,
    }
}

fn scan_of(plan: &Arc<dyn ExecutionPlan>) -> Option<&SliceScan> {
    plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<SliceScan>()
}
