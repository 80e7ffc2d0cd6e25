//! Where the rows of a plan are: by which function of which columns a partition was chosen for them.
//!
//! What is told here follows from scans and exchanges alone, never from a node's claim of `Partitioning::Hash`: DataFusion
//! takes any two such claims for the same function.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::JoinType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::buffer::BufferExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode, SortMergeJoinExec,
};
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::InterleaveExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::abreast::Abreast;
use super::aggregate::aggregation_of;
use super::collocated_join::CollocatedJoinExec;
use super::exchange::Exchange;
use super::key_filter::BuildKeys;
use super::scan::SliceScan;
use super::spool::Spool;
use crate::catalog::model::EffectiveDist;

/// Where the rows of a node's output are.
#[derive(Debug, Clone, PartialEq)]
pub enum Placement {
    /// Each in the partition that the slice hash of its key names.
    By(Key),
    /// They are an ALL table's: any partition may read them all.
    Everywhere,
    Unknown,
}

/// What was hashed, modulo how many partitions.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The hash's inputs in order: for each, the expressions over the output that hold its value.
    pub parts: Vec<Part>,
    pub partitions: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Interchangeable.
    pub exprs: Vec<Arc<dyn PhysicalExpr>>,
    /// The Arrow type that was hashed, as [`hash_form`] gives it.
    pub form: DataType,
}

impl Key {
    /// Whether rows are placed by these expressions, in this order. Casts that keep the hash's input do not count.
    pub fn is(&self, exprs: &[Arc<dyn PhysicalExpr>], schema: &Schema) -> bool {
        self.parts.len() == exprs.len() && self.parts.iter().zip(exprs).all(|(part, expr)| part.is(expr, schema))
    }

    /// The same, where other expressions count that are equal in all rows of `plan`, whose rows these are.
    pub fn is_equal(&self, exprs: &[Arc<dyn PhysicalExpr>], plan: &dyn ExecutionPlan) -> bool {
        let equal = plan.equivalence_properties().eq_group();
        let normal = |expr: &Arc<dyn PhysicalExpr>| equal.normalize_expr(Arc::clone(expr));
        let parts = self.parts.iter().map(|part| Part {
            exprs: part.exprs.iter().flat_map(|expr| [Arc::clone(expr), normal(expr)]).collect(),
            form: part.form.clone(),
        });
        let widened = Key { parts: parts.collect(), partitions: self.partitions };
        let schema = plan.schema();
        widened.is(exprs, &schema) || widened.is(&exprs.iter().map(normal).collect::<Vec<_>>(), &schema)
    }
}

impl Part {
    fn is(&self, expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
        let same = |expr: &Arc<dyn PhysicalExpr>| {
            expr.data_type(schema).is_ok_and(|t| hash_form(&t) == self.form)
                && self.exprs.iter().any(|of| of == expr || &hashed(of, schema) == expr)
        };
        same(expr) || same(&hashed(expr, schema))
    }
}

/// Where the rows of `plan` are, as the plan stands.
pub fn placement(plan: &Arc<dyn ExecutionPlan>) -> Placement {
    Follow { planned: None }.placement(plan)
}

/// Where they will be when DataFusion has put exchanges below joins and groupings that divide rows among
/// `partitions`, and those have none yet.
pub fn planned_placement(plan: &Arc<dyn ExecutionPlan>, partitions: usize) -> Placement {
    Follow { planned: Some(partitions) }.placement(plan)
}

/// Whether each slice could give all of these rows by itself: they are those of ALL tables.
pub fn in_every_slice(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.is::<DataSourceExec>() {
        return placement(plan) == Placement::Everywhere;
    }
    let spreads = plan.downcast_ref::<RepartitionExec>();
    let passes = plan.is::<ProjectionExec>()
        || plan.is::<FilterExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<BuildKeys>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<HashJoinExec>()
        || plan.is::<NestedLoopJoinExec>()
        || plan.is::<CrossJoinExec>()
        || spreads.is_some_and(|spread| !matches!(spread.partitioning(), Partitioning::Hash(..)));
    passes && plan.fetch().is_none() && plan.children().into_iter().all(in_every_slice)
}

/// The expression whose value is hashed where `expr`'s is: without casts that leave the hash's input as it is, which are
/// those of DECIMAL to more digits with the same scale. All others change it: a negative INT hashes other than the same
/// BIGINT.
pub fn hashed(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Arc<dyn PhysicalExpr> {
    let Some(cast) = expr.downcast_ref::<CastExpr>() else { return Arc::clone(expr) };
    match (cast.expr().data_type(schema), cast.cast_type()) {
        (Ok(DataType::Decimal128(from, scale)), DataType::Decimal128(to, same)) if scale == *same && from <= *to => {
            hashed(cast.expr(), schema)
        }
        (Ok(from), to) if from == *to => hashed(cast.expr(), schema),
        _ => Arc::clone(expr),
    }
}

/// One type for all whose equal values hash alike.
pub fn hash_form(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
        DataType::Dictionary(_, value) => hash_form(value),
        other => other.clone(),
    }
}

/// What a join equates of the left side and of the right.
type Equated = (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>);

/// Of which side a join's output holds all placed rows as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Survives {
    Left,
    Right,
    Both,
    None,
}

struct Follow {
    planned: Option<usize>,
}

impl Follow {
    fn placement(&self, plan: &Arc<dyn ExecutionPlan>) -> Placement {
        let placed = self.follow(plan);
        match &placed {
            // An operator that changes how many partitions there are changes where rows are.
            Placement::By(key)
                if self.planned.is_none() && key.partitions != plan.output_partitioning().partition_count() =>
            {
                Placement::Unknown
            }
            _ => placed,
        }
    }

    fn follow(&self, plan: &Arc<dyn ExecutionPlan>) -> Placement {
        if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
            return source.data_source().downcast_ref::<SliceScan>().map_or(Placement::Unknown, of_scan);
        }
        if let Some(exchange) = plan.downcast_ref::<Exchange>() {
            return of_exchange(exchange.partitioning(), exchange.input());
        }
        if let Some(exchange) = plan.downcast_ref::<RepartitionExec>() {
            return of_exchange(exchange.partitioning(), exchange.input());
        }
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let items: Vec<_> = projection.expr().iter().map(|item| Arc::clone(&item.expr)).collect();
            return self.placement(projection.input()).project(&items, &plan.schema());
        }
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            let input = self.placement(filter.input());
            return match filter.projection() {
                Some(kept) => input.project(&columns(kept, &filter.input().schema()), &plan.schema()),
                None => input,
            };
        }
        if let Some(aggregate) = aggregation_of(plan.as_ref()) {
            return self.of_aggregate(aggregate);
        }
        if let Some(join) = plan.downcast_ref::<CollocatedJoinExec>() {
            return self.of_join(join.join(), &[join.key()]);
        }
        if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            return self.of_join(join, &join.on().iter().map(|(l, r)| (l.clone(), r.clone())).collect::<Vec<_>>());
        }
        if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
            let sides = [self.placement(join.left()), self.placement(join.right())];
            return combine(
                sides,
                join.join_type(),
                true,
                join.left().schema().fields().len(),
                join.on(),
                &plan.schema(),
            );
        }
        if let Some(interleave) = plan.downcast_ref::<InterleaveExec>() {
            let mut inputs = interleave.inputs().iter().map(|input| self.placement(input));
            let first = inputs.next().unwrap_or(Placement::Unknown);
            let same = matches!(first, Placement::By(_)) && inputs.all(|other| other == first);
            return if same { first } else { Placement::Unknown };
        }
        if keeps_rows_where_they_are(plan)
            && let [input] = plan.children()[..]
        {
            return self.placement(input);
        }
        Placement::Unknown
    }

    fn of_aggregate(&self, aggregate: &AggregateExec) -> Placement {
        let group = aggregate.group_expr();
        if !group.is_single() || group.expr().is_empty() {
            return Placement::Unknown;
        }
        let items: Vec<_> = group.expr().iter().map(|(expr, _)| Arc::clone(expr)).collect();
        let placed = match self.placement(aggregate.input()) {
            // Each partition groups its own share of the rows.
            Placement::Everywhere => Placement::Unknown,
            placed => placed.project(&items, &aggregate.schema()),
        };
        match (&placed, self.planned, aggregate.mode()) {
            (
                Placement::Unknown,
                Some(partitions),
                AggregateMode::FinalPartitioned | AggregateMode::SinglePartitioned,
            ) => {
                let schema = aggregate.schema();
                let parts = (0..items.len()).map(|at| {
                    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(schema.field(at).name(), at));
                    Part { exprs: vec![column], form: hash_form(schema.field(at).data_type()) }
                });
                Placement::By(Key { parts: parts.collect(), partitions })
            }
            _ => placed,
        }
    }

    fn of_join(&self, join: &HashJoinExec, by: &[Equated]) -> Placement {
        let divided = *join.partition_mode() == PartitionMode::Partitioned;
        let (left, right) = (join.left(), join.right());
        let mut sides = [self.placement(left), self.placement(right)];
        if divided && let Some(partitions) = self.planned {
            let (of_left, of_right): (Vec<_>, Vec<_>) = by.iter().cloned().unzip();
            for (side, plan, exprs) in [(0, left, of_left), (1, right, of_right)] {
                let meets = |placed: &Placement| matches!(placed, Placement::By(key) if key.partitions >= partitions && key.is(&exprs, &plan.schema()));
                if !meets(&sides[side]) {
                    sides[side] = by_expressions(&exprs, &plan.schema(), partitions);
                }
            }
        }
        let schema = join.join_schema();
        let placed = combine(sides, *join.join_type(), divided, left.schema().fields().len(), join.on(), schema);
        // The projection that a join holds is told by its columns alone.
        match join.contains_projection() {
            true => match join_projection(join) {
                Some(kept) => placed.project(&columns(&kept, schema), &join.schema()),
                None => Placement::Unknown,
            },
            false => placed,
        }
    }
}

impl Placement {
    /// Of the output of a projection, its items over the input.
    fn project(self, items: &[Arc<dyn PhysicalExpr>], schema: &Schema) -> Placement {
        let Placement::By(key) = self else { return self };
        let parts: Option<Vec<Part>> = key
            .parts
            .iter()
            .map(|part| {
                let exprs: Vec<_> = part.exprs.iter().flat_map(|expr| carried(expr, items, schema)).collect();
                (!exprs.is_empty()).then(|| Part { exprs, form: part.form.clone() })
            })
            .collect();
        parts.map_or(Placement::Unknown, |parts| Placement::By(Key { parts, ..key }))
    }

    fn shifted(self, by: usize) -> Placement {
        let Placement::By(mut key) = self else { return self };
        for expr in key.parts.iter_mut().flat_map(|part| &mut part.exprs) {
            *expr = shift(expr, by);
        }
        Placement::By(key)
    }
}

/// The output of a join of which rows meet within partitions (`divided`), or of which the left side is with each partition
/// of the right.
fn combine(
    sides: [Placement; 2],
    join_type: JoinType,
    divided: bool,
    left_columns: usize,
    on: &[Equated],
    schema: &Schema,
) -> Placement {
    let [left, right] = sides.map(|placed| match placed {
        Placement::Everywhere => Placement::Unknown,
        placed => placed,
    });
    let survives = match join_type {
        JoinType::Inner => Survives::Both,
        // The other side's columns are NULL where nothing matches, and NULL is hashed to another place.
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => Survives::Left,
        JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Survives::Right,
        JoinType::Full => Survives::None,
    };
    let right_at = match join_type {
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => 0,
        _ => left_columns,
    };
    let placed = match (survives, divided) {
        (Survives::Left, true) => left,
        (Survives::Right, _) | (Survives::Both, false) => right.shifted(right_at),
        (Survives::Both, true) => match right.shifted(right_at) {
            Placement::Unknown => left,
            placed => placed,
        },
        (Survives::Left, false) | (Survives::None, _) => Placement::Unknown,
    };
    let Placement::By(mut key) = placed else { return Placement::Unknown };
    if survives == Survives::Both {
        // Columns that the join equates hold the same value.
        for part in &mut key.parts {
            for (of_left, of_right) in on {
                let pair = [Arc::clone(of_left), shift(of_right, right_at)];
                for (one, other) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
                    let form = other.data_type(schema).ok().map(|t| hash_form(&t));
                    if part.exprs.contains(one) && !part.exprs.contains(other) && form.as_ref() == Some(&part.form) {
                        part.exprs.push(Arc::clone(other));
                    }
                }
            }
        }
    }
    Placement::By(key)
}

fn of_scan(scan: &SliceScan) -> Placement {
    match scan.table().def.effective_dist {
        EffectiveDist::All => Placement::Everywhere,
        EffectiveDist::Even => Placement::Unknown,
        EffectiveDist::Key(_) => {
            // Our own hash, where it is not known to be DataFusion's, is no place that an exchange brings rows to.
            let options = scan.options();
            match (scan.key(), options.claim_hash) {
                (Some(key), true) => {
                    let Some(at) = scan.projection().iter().position(|p| *p == key) else { return Placement::Unknown };
                    let column = &scan.table().def.columns[key];
                    let expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&column.name, at));
                    let form = hash_form(&column.sql_type.arrow_type());
                    let parts = vec![Part { exprs: vec![expr], form }];
                    Placement::By(Key { parts, partitions: options.slices.partitions() })
                }
                _ => Placement::Unknown,
            }
        }
    }
}

fn of_exchange(partitioning: &Partitioning, input: &Arc<dyn ExecutionPlan>) -> Placement {
    match partitioning {
        Partitioning::Hash(exprs, partitions) => by_expressions(exprs, &input.schema(), *partitions),
        _ => Placement::Unknown,
    }
}

fn by_expressions(exprs: &[Arc<dyn PhysicalExpr>], schema: &Schema, partitions: usize) -> Placement {
    let part = |expr: &Arc<dyn PhysicalExpr>| {
        Some(Part { exprs: vec![Arc::clone(expr)], form: hash_form(&expr.data_type(schema).ok()?) })
    };
    match exprs.iter().map(part).collect() {
        Some(parts) => Placement::By(Key { parts, partitions }),
        None => Placement::Unknown,
    }
}

fn keeps_rows_where_they_are(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<CooperativeExec>()
        || plan.is::<Abreast>()
        || plan.is::<Spool>()
        || plan.is::<BuildKeys>()
        || plan.is::<BufferExec>()
        || plan.is::<LocalLimitExec>()
        || plan.is::<WindowAggExec>()
        || plan.is::<BoundedWindowAggExec>()
        || plan.downcast_ref::<SortExec>().is_some_and(SortExec::preserve_partitioning)
}

/// What holds an expression's value after a projection: the items that are it, or the expression over items that are its
/// columns.
fn carried(
    expr: &Arc<dyn PhysicalExpr>,
    items: &[Arc<dyn PhysicalExpr>],
    schema: &Schema,
) -> Vec<Arc<dyn PhysicalExpr>> {
    let output = |at: usize| Arc::new(Column::new(schema.field(at).name(), at)) as Arc<dyn PhysicalExpr>;
    let mut found: Vec<_> = (0..items.len()).filter(|at| &items[*at] == expr).map(output).collect();
    if expr.is::<Column>() {
        return found;
    }
    let mut complete = true;
    let rewritten = Arc::clone(expr)
        .transform_down(|e| {
            if !e.is::<Column>() {
                return Ok(Transformed::no(e));
            }
            match items.iter().position(|item| item == &e) {
                // A column of the output is none of the input's: not to be looked at again.
                Some(at) => Ok(Transformed::new(output(at), true, TreeNodeRecursion::Jump)),
                None => {
                    complete = false;
                    Ok(Transformed::no(e))
                }
            }
        })
        .data();
    if complete && let Ok(rewritten) = rewritten {
        found.push(rewritten);
    }
    found
}

fn shift(expr: &Arc<dyn PhysicalExpr>, by: usize) -> Arc<dyn PhysicalExpr> {
    let shifted = Arc::clone(expr).transform_up(|e| match e.downcast_ref::<Column>() {
        Some(column) => {
            let moved = Column::new(column.name(), column.index() + by);
            Ok(Transformed::yes(Arc::new(moved) as Arc<dyn PhysicalExpr>))
        }
        None => Ok(Transformed::no(e)),
    });
    shifted.data().unwrap_or_else(|_| Arc::clone(expr))
}

fn columns(kept: &[usize], schema: &Schema) -> Vec<Arc<dyn PhysicalExpr>> {
    kept.iter().map(|at| Arc::new(Column::new(schema.field(*at).name(), *at)) as Arc<dyn PhysicalExpr>).collect()
}

/// The columns of the join's schema that it gives.
fn join_projection(join: &HashJoinExec) -> Option<Vec<usize>> {
    join.projection.as_ref().map(|kept| kept.to_vec())
}

#[cfg(test)]
mod tests;
