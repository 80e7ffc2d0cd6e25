//! Which scans tell DataFusion their keys: those of constraints that are RELY or VERIFIED, where it makes the right of them.
//!
//! DataFusion then leaves out a DISTINCT of a key, groups and sorts by the key alone where what depends on it is named, too,
//! and takes a join for a semi-join, or leaves it out, where the other side is only counted on to match once.
//!
//! It is given no key where it would draw the wrong conclusion (in version 55.2):
//! 1. below a join below a grouping: of what groups by a key and a column of the other side, it thinks that the key is unique
//!    in it (`aggregate_functional_dependencies`);
//! 2. below a UNION: pruned of a column, it takes its first input's keys for its own (`LogicalPlan::recompute_schema`);
//! 3. below anything else that is not known to be right.
//!
//! Keys are those of the version that the statement reads. Plans that are kept believe none before they are run.

use std::sync::Arc;

use datafusion::catalog::default_table_source::{DefaultTableSource, source_as_provider};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion, TreeNodeRewriter};
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, TableScan};
use datafusion::optimizer::AnalyzerRule;

use crate::catalog::TableDef;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::provider::BlueshiftTable;

pub const NAME: &str = "blueshift_keys";

/// Gives scans their keys; the plan is the same otherwise.
#[derive(Debug)]
pub struct Keys;

impl AnalyzerRule for Keys {
    fn name(&self) -> &str {
        NAME
    }

    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        let on = options.extensions.get::<BlueshiftOptions>().is_some_and(|o| o.constraints);
        let mut concerned = false;
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(table) = of_scan(scan)
            {
                concerned |= table.believes() || (on && trusted(&table, options).is_some());
            }
            Ok(if concerned { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !concerned {
            return Ok(plan);
        }
        let start = Above { believes: on, groups: false };
        plan.rewrite_with_subqueries(&mut Believe { options, way: vec![(start, false)] }).data()
    }
}

fn of_scan(scan: &TableScan) -> Option<BlueshiftTable> {
    source_as_provider(&scan.source).ok()?.downcast_ref::<BlueshiftTable>().cloned()
}

/// The definition as the statement sees it, if a key of it may be believed.
fn trusted(table: &BlueshiftTable, options: &ConfigOptions) -> Option<Arc<TableDef>> {
    let (_, def) = table.definition(options)?;
    def.constraints.iter().any(|c| c.is_key() && c.is_trusted()).then_some(def)
}

/// What stands above a node.
#[derive(Debug, Clone, Copy)]
struct Above {
    /// Whether a scan here may tell its keys.
    believes: bool,
    /// Whether something groups.
    groups: bool,
}

impl Above {
    fn below(self, node: &LogicalPlan) -> Above {
        let nothing = Above { believes: false, ..self };
        let next = match node {
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_) => self,
            LogicalPlan::Distinct(Distinct::All(_)) | LogicalPlan::Aggregate(_) => Above { groups: true, ..self },
            LogicalPlan::Join(_) if !self.groups => self,
            _ => return nothing,
        };
        // A subquery becomes a join.
        if next.groups && has_subquery(node) { nothing } else { next }
    }
}

fn has_subquery(node: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = node.apply_expressions(|expr| {
        found |= expr.exists(|e| Ok(is_subquery(e)))?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || walked.is_err()
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_))
}

struct Believe<'a> {
    options: &'a ConfigOptions,
    /// Of each node on the way: what stands above its children, and whether a scan below has other keys than before.
    way: Vec<(Above, bool)>,
}

impl Believe<'_> {
    fn note(&mut self) {
        if let Some((_, changed)) = self.way.last_mut() {
            *changed = true;
        }
    }
}

impl TreeNodeRewriter for Believe<'_> {
    type Node = LogicalPlan;

    fn f_down(&mut self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let above = self.way.last().map_or(Above { believes: false, groups: true }, |(above, _)| *above);
        self.way.push((above.below(&node), false));
        Ok(Transformed::no(node))
    }

    fn f_up(&mut self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let changed = self.way.pop().is_some_and(|(_, changed)| changed);
        let LogicalPlan::TableScan(scan) = node else {
            return match changed {
                true => {
                    self.note();
                    Ok(Transformed::yes(node.recompute_schema()?))
                }
                false => Ok(Transformed::no(node)),
            };
        };
        let believes = self.way.last().is_some_and(|(above, _)| above.believes);
        let Some(table) = of_scan(&scan) else { return Ok(Transformed::no(LogicalPlan::TableScan(scan))) };
        let def = if believes { trusted(&table, self.options) } else { None };
        let believing = table.believing(def.as_deref());
        if !believing.believes() && !table.believes() {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        }
        self.note();
        let source = Arc::new(DefaultTableSource::new(Arc::new(believing)));
        let scan = TableScanBuilder::from(TableScan { source, ..scan }).build()?;
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    }
}
