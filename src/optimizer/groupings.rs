//! Groupings over joins of groupings, so that DataFusion draws no wrong conclusion from them.
//!
//! In version 55.2 a grouping by `a.i` and `b.x` over a join, where `a` is itself grouped by `i`, counts as one in which `i`
//! alone is unique (`aggregate_functional_dependencies`: the key of `a` determines `a`'s columns, but not `b`'s): a DISTINCT
//! of `i` above it is left out, and a further grouping drops `x`. Grouped under names that no input column has, nothing
//! is concluded but what is true: that all of them together are unique.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Aggregate, Distinct, Expr, LogicalPlan, Projection};
use datafusion::optimizer::AnalyzerRule;

pub const NAME: &str = "blueshift_groupings";

/// Renames what such groupings group by, and names it back above them.
#[derive(Debug)]
pub struct Groupings;

impl AnalyzerRule for Groupings {
    fn name(&self) -> &str {
        NAME
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let renamed = plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Aggregate(aggregate)
                if !aggregate.group_expr.is_empty()
                    && !aggregate.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_)))
                    && joins_groups(&aggregate.input) =>
            {
                rename(aggregate).map(Transformed::yes)
            }
            LogicalPlan::Distinct(Distinct::All(input)) if joins_groups(&input) => {
                let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
                rename(Aggregate::try_new(input, columns, Vec::new())?).map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        })?;
        if !renamed.transformed {
            return Ok(renamed.data);
        }
        // What stands above knows its keys from before.
        renamed.data.transform_up_with_subqueries(|node| node.recompute_schema().map(Transformed::yes)).data()
    }
}

fn rename(aggregate: Aggregate) -> Result<LogicalPlan> {
    let old = Arc::clone(&aggregate.schema);
    let groups = aggregate.group_expr.len();
    let name = |i: usize| format!("__grouped_{i}");
    let by = aggregate.group_expr.into_iter().enumerate().map(|(i, expr)| expr.unalias().alias(name(i))).collect();
    let aggregate = Aggregate::try_new(aggregate.input, by, aggregate.aggr_expr)?;
    let shown = old.iter().enumerate().map(|(i, (qualifier, field))| match i < groups {
        true => Expr::Column(Column::new_unqualified(name(i))).alias_qualified(qualifier.cloned(), field.name()),
        false => Expr::Column(Column::new(qualifier.cloned(), field.name())),
    });
    let shown = shown.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(shown, Arc::new(LogicalPlan::Aggregate(aggregate)))?))
}

/// Whether a join below, not below a grouping, joins what is grouped or numbered.
fn joins_groups(plan: &LogicalPlan) -> bool {
    let mut open = vec![(plan, false)];
    while let Some((plan, joined)) = open.pop() {
        let joined = match plan {
            LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) if joined => return true,
            LogicalPlan::Window(_) if joined => return true,
            LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => continue,
            LogicalPlan::Join(_) => true,
            _ => joined,
        };
        open.extend(plan.inputs().into_iter().map(|input| (input, joined)));
    }
    false
}
