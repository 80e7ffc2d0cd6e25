//! What a query says of one side of a join's key, it says of the other.
//!
//! DataFusion infers this where a condition passes a join on its way down, from one side to the other. Here it is inferred
//! from conditions wherever they have come to stand, through any number of joins, and through casts to wider integers: so
//! that zones of all sides are pruned before a row is read.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ExprSchema, JoinType, NullEquality, Result, ScalarValue};
use datafusion::logical_expr::expr::{BinaryExpr, InList};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Between, Expr, Filter, Join, Like, LogicalPlan, Operator};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::physical_plan::config::BlueshiftOptions;

/// How often conditions go from join to join, at most: each time they come through one more.
const ROUNDS: usize = 6;

/// See the module. Stands before the rule that orders joins, which then knows how many rows are left.
#[derive(Debug)]
pub struct Derived;

impl OptimizerRule for Derived {
    fn name(&self) -> &str {
        "blueshift_derived_predicates"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        None
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let options = config.options();
        if !options.extensions.get::<BlueshiftOptions>().is_some_and(|ours| ours.derived_predicates) {
            return Ok(Transformed::no(plan));
        }
        let mut derived = Transformed::no(plan);
        for _ in 0..ROUNDS {
            let round = derived.data.transform_up_with_subqueries(|node| match node {
                LogicalPlan::Join(join) => exchanged(join),
                other => Ok(Transformed::no(other)),
            })?;
            derived = Transformed::new_transformed(round.data, derived.transformed || round.transformed);
            if !round.transformed {
                break;
            }
        }
        Ok(derived)
    }
}

/// A condition on one column that every row of a plan satisfies; with `unless_null`, but for rows where the column is NULL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Fact {
    column: Column,
    condition: Expr,
    unless_null: bool,
}

/// A join whose sides know of each other's keys what may be known.
fn exchanged(join: Join) -> Result<Transformed<LogicalPlan>> {
    let (to_left, to_right) = directions(&join);
    if !to_left && !to_right {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let (of_left, of_right) = (facts(&join.left), facts(&join.right));
    let rejects_null = join.null_equality == NullEquality::NullEqualsNothing;
    let mut new = [Vec::new(), Vec::new()];
    for (left, right) in &join.on {
        let (left, right) = ((left, &*join.left), (right, &*join.right));
        let sides = [(to_left, right, left, &of_right, &of_left), (to_right, left, right, &of_left, &of_right)];
        for (side, (allowed, from, to, known, already)) in sides.into_iter().enumerate() {
            for fact in known.iter().filter(|fact| allowed && (rejects_null || !fact.unless_null)) {
                let Some(told) = carried(fact, from, to)?.filter(|told| settles(to.1, &told.column)) else { continue };
                if !already.contains(&told) && !new[side].contains(&told) {
                    new[side].push(told);
                }
            }
        }
    }
    if new.iter().all(Vec::is_empty) {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let [of_left, of_right] = new;
    let left = of_left.into_iter().try_fold(LogicalPlan::clone(&join.left), restricted)?;
    let right = of_right.into_iter().try_fold(LogicalPlan::clone(&join.right), restricted)?;
    let join = Join { left: Arc::new(left), right: Arc::new(right), ..join };
    Ok(Transformed::yes(LogicalPlan::Join(join)))
}

/// Whether rows of the left side, and of the right, that have no partner are of no use.
fn directions(join: &Join) -> (bool, bool) {
    match join.join_type {
        // NOT IN has to see that there is a NULL.
        _ if join.null_aware => (false, false),
        JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => (true, true),
        JoinType::Left | JoinType::LeftAnti => (false, true),
        JoinType::Right | JoinType::RightAnti => (true, false),
        JoinType::Full | JoinType::LeftMark | JoinType::RightMark => (false, false),
    }
}

/// What all rows of a plan satisfy, as far as it is told by conditions that stand in it.
fn facts(plan: &LogicalPlan) -> Vec<Fact> {
    let mut known = match plan {
        LogicalPlan::TableScan(scan) => scan.filters.iter().flat_map(of_condition).collect(),
        LogicalPlan::Filter(filter) => {
            let mut known = facts(&filter.input);
            known.extend(of_condition(&filter.predicate));
            known
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let columns = alias.input.schema().columns().into_iter().zip(alias.schema.columns());
            renamed(facts(&alias.input), &columns.collect::<Vec<_>>())
        }
        LogicalPlan::Projection(projection) => {
            let columns = projection.expr.iter().zip(projection.schema.columns());
            let plain = |(expr, column): (&Expr, Column)| match expr.clone().unalias() {
                Expr::Column(of) => Some((of, column)),
                _ => None,
            };
            renamed(facts(&projection.input), &columns.filter_map(plain).collect::<Vec<_>>())
        }
        LogicalPlan::Aggregate(aggregate) => {
            let grouped = aggregate.group_expr.iter().filter_map(|expr| match expr {
                Expr::Column(column) => Some((column.clone(), column.clone())),
                _ => None,
            });
            renamed(facts(&aggregate.input), &grouped.collect::<Vec<_>>())
        }
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Distinct(_) => {
            plan.inputs().first().map_or_else(Vec::new, |input| facts(input))
        }
        LogicalPlan::Join(join) => {
            // Columns of a side whose rows are made up may be NULL.
            let (of_left, of_right) = match join.join_type {
                JoinType::Left => (false, true),
                JoinType::Right => (true, false),
                JoinType::Full => (true, true),
                _ => (false, false),
            };
            let side = |plan: &LogicalPlan, made_up: bool| {
                facts(plan).into_iter().map(move |fact| Fact { unless_null: fact.unless_null || made_up, ..fact })
            };
            match join.join_type {
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => side(&join.left, of_left).collect(),
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                    side(&join.right, of_right).collect()
                }
                _ => side(&join.left, of_left).chain(side(&join.right, of_right)).collect(),
            }
        }
        _ => Vec::new(),
    };
    // A scan's filters may name columns that it does not give.
    known.retain(|fact| plan.schema().has_column(&fact.column));
    known
}

/// Facts of those columns that have another name now.
fn renamed(known: Vec<Fact>, columns: &[(Column, Column)]) -> Vec<Fact> {
    let named = |fact: &Fact| {
        let others = columns.iter().filter(|(of, _)| *of == fact.column);
        others.filter_map(|(_, to)| fact.called(to)).collect::<Vec<_>>()
    };
    known.iter().flat_map(named).collect()
}

/// What a condition says of single columns.
fn of_condition(condition: &Expr) -> Vec<Fact> {
    let fact = |part: &Expr| {
        let columns = part.column_refs();
        let [column] = columns.iter().collect::<Vec<_>>()[..] else { return None };
        harmless(part).then(|| Fact { column: Column::clone(column), condition: part.clone(), unless_null: false })
    };
    split_conjunction(condition).into_iter().filter_map(fact).collect()
}

/// Whether a condition compares a column with constants, which fails for no value.
fn harmless(condition: &Expr) -> bool {
    let constant = |expr: &Expr| matches!(expr, Expr::Literal(..));
    let column = |expr: &Expr| matches!(expr, Expr::Column(_));
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            harmless(left) && harmless(right)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
            matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
                && ((column(left) && constant(right)) || (constant(left) && column(right)))
        }
        Expr::InList(InList { expr, list, .. }) => column(expr) && list.iter().all(constant),
        Expr::Between(Between { expr, low, high, .. }) => column(expr) && constant(low) && constant(high),
        Expr::Like(Like { expr, pattern, .. }) => column(expr) && constant(pattern),
        _ => false,
    }
}

impl Fact {
    /// The same of another column, which has an equal value and is not NULL where that matters; `None` where a constant has no
    /// value of its type.
    fn of(&self, column: &Column, data_type: &DataType) -> Option<Fact> {
        let cast =
            |value: ScalarValue| if value.data_type() == *data_type { Ok(value) } else { value.cast_to(data_type) };
        Some(Fact { unless_null: false, ..self.rewritten(column, cast)? })
    }

    /// The same, where the column has another name.
    fn called(&self, column: &Column) -> Option<Fact> {
        self.rewritten(column, Ok)
    }

    fn rewritten(&self, column: &Column, constant: impl Fn(ScalarValue) -> Result<ScalarValue>) -> Option<Fact> {
        let condition = self.condition.clone().transform_up(|e| match e {
            Expr::Column(_) => Ok(Transformed::yes(Expr::Column(column.clone()))),
            Expr::Literal(value, metadata) => Ok(Transformed::yes(Expr::Literal(constant(value)?, metadata))),
            e => Ok(Transformed::no(e)),
        });
        Some(Fact { column: column.clone(), condition: condition.ok()?.data, unless_null: self.unless_null })
    }

    /// Whether all constants are of types like this.
    fn constants(&self, like: &dyn Fn(&DataType) -> bool) -> bool {
        let mut all = true;
        let walked = self.condition.apply(|e| {
            if let Expr::Literal(value, _) = e {
                all &= like(&value.data_type());
            }
            Ok(TreeNodeRecursion::Continue)
        });
        all && walked.is_ok()
    }
}

/// A fact of the column that one side of an equality names, as one of that which the other side names.
fn carried(fact: &Fact, from: (&Expr, &LogicalPlan), to: (&Expr, &LogicalPlan)) -> Result<Option<Fact>> {
    let (Some((from, _)), Some((to, data_type))) = (bare(from)?, bare(to)?) else { return Ok(None) };
    if *from != fact.column {
        return Ok(None);
    }
    let integers = data_type.is_signed_integer() && fact.constants(&|of| of.is_signed_integer());
    // Of floating point numbers, -0.0 and 0.0 are equal to some and not to others.
    let alike = !data_type.is_floating() && fact.constants(&|of| *of == data_type);
    Ok(if alike || integers { fact.of(to, &data_type) } else { None })
}

/// The column of one side of an equality, and its type. It may be an integer that is cast to another integer type, which
/// keeps values apart; of other casts several values are one.
fn bare<'e>((expr, plan): (&'e Expr, &LogicalPlan)) -> Result<Option<(&'e Column, DataType)>> {
    let (column, cast) = match expr {
        Expr::Column(column) => (column, None),
        Expr::Cast(cast) => match &*cast.expr {
            Expr::Column(column) => (column, Some(cast.field.data_type())),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    if !plan.schema().has_column(column) {
        return Ok(None);
    }
    let data_type = plan.schema().field_from_column(column)?.data_type().clone();
    let kept = cast.is_none_or(|cast| cast.is_signed_integer() && data_type.is_signed_integer());
    Ok(kept.then_some((column, data_type)))
}

/// Whether [`facts`] would find a condition on the column again, wherever it is pushed down to.
fn settles(plan: &LogicalPlan, column: &Column) -> bool {
    let at = || plan.schema().maybe_index_of_column(column);
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Filter(filter) => settles(&filter.input, column),
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Distinct(_) => {
            plan.inputs().first().is_some_and(|input| settles(input, column))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            at().is_some_and(|at| settles(&alias.input, &alias.input.schema().columns()[at]))
        }
        LogicalPlan::Projection(projection) => match at().map(|at| projection.expr[at].clone().unalias()) {
            Some(Expr::Column(of)) => settles(&projection.input, &of),
            _ => false,
        },
        LogicalPlan::Aggregate(aggregate) => {
            aggregate.group_expr.contains(&Expr::Column(column.clone())) && settles(&aggregate.input, column)
        }
        LogicalPlan::Join(join) => match join.left.schema().has_column(column) {
            true => settles(&join.left, column),
            false => settles(&join.right, column),
        },
        _ => false,
    }
}

/// The plan without rows of which a fact is not true, as far down as it is known where the column comes from.
fn restricted(plan: LogicalPlan, fact: Fact) -> Result<LogicalPlan> {
    let has = |plan: &LogicalPlan| plan.schema().has_column(&fact.column);
    match plan {
        LogicalPlan::Filter(filter) if has(&filter.input) => {
            let input = Arc::new(restricted(Arc::unwrap_or_clone(filter.input), fact)?);
            Ok(LogicalPlan::Filter(Filter::try_new(filter.predicate, input)?))
        }
        LogicalPlan::Join(join) => {
            let kept = match join.join_type {
                JoinType::Inner => [has(&join.left), has(&join.right)],
                JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => [has(&join.left), false],
                JoinType::Right | JoinType::RightSemi | JoinType::RightAnti => [false, has(&join.right)],
                _ => [false, false],
            };
            match kept {
                [true, false] => {
                    let left = Arc::new(restricted(Arc::unwrap_or_clone(join.left), fact)?);
                    Ok(LogicalPlan::Join(Join { left, ..join }))
                }
                [false, true] => {
                    let right = Arc::new(restricted(Arc::unwrap_or_clone(join.right), fact)?);
                    Ok(LogicalPlan::Join(Join { right, ..join }))
                }
                _ => filtered(LogicalPlan::Join(join), fact),
            }
        }
        other => filtered(other, fact),
    }
}

fn filtered(plan: LogicalPlan, fact: Fact) -> Result<LogicalPlan> {
    let Some(predicate) = conjunction([fact.condition]) else { return Ok(plan) };
    Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?))
}
