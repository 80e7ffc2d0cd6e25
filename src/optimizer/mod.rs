//! Planner rules, one a file.

pub mod aliases;
pub mod cast_statistics;
pub mod casts;
pub mod common_subplans;
pub mod cost;
pub mod dates;
pub mod derived;
pub mod estimate;
pub mod exchanges;
pub mod floats;
pub mod foreign_keys;
pub mod groupings;
pub mod integer_aggregates;
pub mod join_order;
pub mod key_filters;
pub mod keys;
pub mod literals;
pub mod meeting;
pub mod merge_joins;
pub mod movement;
pub mod orders;
pub mod overflow;
pub mod same_names;
pub mod supers;
pub mod text_casts;
pub mod together;
pub mod union_branches;
pub mod zones;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{AnalyzerRule, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};

/// Puts Blueshift's analyzer rules, as far as they are missing, among others: they see types as they were written, so
/// that they stand before those are coerced.
pub fn add_analyzer_rules(rules: &mut Vec<Arc<dyn AnalyzerRule + Send + Sync>>) {
    type Rule = Arc<dyn AnalyzerRule + Send + Sync>;
    let first: [Rule; 3] =
        [Arc::new(aliases::Aliases), Arc::new(union_branches::UnionBranches), Arc::new(foreign_keys::ForeignKeys)];
    for rule in first.into_iter().chain(meanings()) {
        if rules.iter().all(|other| other.name() != rule.name()) {
            let at = rules.iter().position(|other| other.name() == "type_coercion").unwrap_or(rules.len());
            rules.insert(at, rule);
        }
    }
    // Behind all that looks at types.
    let last: [Rule; 2] = [Arc::new(groupings::Groupings), Arc::new(keys::Keys)];
    for rule in last {
        if rules.iter().all(|other| other.name() != rule.name()) {
            rules.push(rule);
        }
    }
}

/// The rules that say what expressions mean, in their order. A filter means what it says only behind all of them and the
/// coercion of types.
fn meanings() -> [Arc<dyn AnalyzerRule + Send + Sync>; 6] {
    [
        Arc::new(literals::Literals),
        Arc::new(floats::Floats),
        Arc::new(dates::Dates),
        Arc::new(casts::DeclaredCasts::default()),
        Arc::new(zones::ZonedTimes),
        Arc::new(supers::Supers),
    ]
}

/// Puts Blueshift's optimizer rules behind the others, as far as they are missing.
pub fn add_optimizer_rules(rules: &mut Vec<Arc<dyn OptimizerRule + Send + Sync>>) {
    let ours: [Arc<dyn OptimizerRule + Send + Sync>; 2] = [Arc::new(derived::Derived), Arc::new(join_order::JoinOrder)];
    for rule in ours {
        if rules.iter().all(|other| other.name() != rule.name()) {
            rules.push(rule);
        }
    }
}

/// Puts Blueshift's physical rules that are about where rows are among DataFusion's, as far as they are missing and those
/// that they belong beside are there.
pub fn add_physical_rules(rules: &mut Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>) {
    type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;
    let ours: [(Rule, &str, usize); 11] = [
        (Arc::new(common_subplans::CommonSubplans), "OutputRequirements", 0),
        (Arc::new(merge_joins::FilteredMerges), "EnsureRequirements", 0),
        (Arc::new(movement::Movement), "EnsureRequirements", 0),
        // Filters find exchanges of ours as they find DataFusion's.
        (Arc::new(exchanges::Exchanges), "EnsureCooperative", 0),
        (Arc::new(merge_joins::MergeJoins), "SanityCheckPlan", 0),
        (Arc::new(orders::Orders), "SanityCheckPlan", 0),
        // Of those that stand behind the same, the last comes first.
        (Arc::new(common_subplans::SharedSpools), "SanityCheckPlan", 1),
        (Arc::new(integer_aggregates::IntegerAggregates), "SanityCheckPlan", 1),
        (Arc::new(meeting::Meeting), "SanityCheckPlan", 1),
        // Before that, where joins have their filters and nothing is planned anew.
        (Arc::new(together::Together), "SanityCheckPlan", 1),
        (Arc::new(key_filters::KeyFilters), "SanityCheckPlan", 1),
    ];
    for (rule, beside, behind) in ours {
        let at = rules.iter().position(|other| other.name() == beside);
        if let Some(at) = at.filter(|_| rules.iter().all(|other| other.name() != rule.name())) {
            rules.insert(at + behind, rule);
        }
    }
}

/// A plan with those nodes replaced, from the leaves, that `with` has another one for.
fn replaced(
    plan: Arc<dyn ExecutionPlan>,
    mut with: impl FnMut(&Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>>,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    plan.transform_up(|node| {
        Ok(match with(&node)? {
            Some(other) => Transformed::yes(other),
            None => Transformed::no(node),
        })
    })
}

/// A node over other inputs.
fn over(node: &Arc<dyn ExecutionPlan>, inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
    Arc::clone(node).replace_children(inputs, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// Every expression of a plan and its subqueries, from the leaves, as `rewrite` leaves it; `rewrite` is told the columns
/// that it may name. The names of the plan's columns stay.
fn rewrite_expressions(
    plan: LogicalPlan,
    rewrite: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    plan.transform_up_with_subqueries(|plan| rewrite_node(plan, &rewrite))
}

/// As [`rewrite_expressions`], of one node.
fn rewrite_node(
    plan: LogicalPlan,
    rewrite: &impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let schema = input_schema(&plan)?;
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(|e| rewrite(e, &schema))?.update_data(|e| name.restore(e)))
    })
}

/// As [`rewrite_expressions`], of those nodes that hold an expression that `concerns` the rule.
fn rewrite_expressions_where(
    plan: LogicalPlan,
    concerns: fn(&Expr) -> bool,
    rewrite: fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    plan.transform_up_with_subqueries(|plan| {
        let mut any = false;
        plan.apply_expressions(|expr| {
            any |= expr.exists(|e| Ok(concerns(e)))?;
            Ok(if any { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if any { rewrite_node(plan, &rewrite) } else { Ok(Transformed::no(plan)) }
    })
}

/// The columns that a plan's expressions may name.
fn input_schema(plan: &LogicalPlan) -> Result<DFSchema> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    Ok(schema)
}
