//! Filters do not take one column for another of the same name.
//!
//! DataFusion 55.2 hands a filter from an operator to the one below by its columns' names (`FilterRemapper::try_remap`):
//! where the lower one gives two columns `id`, as a join of two tables does, a filter on the second becomes one on the first
//! and drops rows. While filters are pushed down, such an operator stands below a guard that hands on what is about
//! columns with a name of their own, and keeps all else back: joins then go without that filter.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::{PhysicalOptimizerContext, PhysicalOptimizerRule};
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr};

use crate::physical_plan::passing::{one_input, same_rows};

/// Puts DataFusion's rules that push filters down behind the guard, as far as they are not.
pub fn guard_filters(rules: &mut [Arc<dyn PhysicalOptimizerRule + Send + Sync>]) {
    for rule in rules {
        if matches!(rule.name(), "FilterPushdown" | "FilterPushdown(Post)") {
            *rule = Arc::new(Guarded {
                name: format!("{} of columns that names tell apart", rule.name()),
                rule: Arc::clone(rule),
            });
        }
    }
}

#[derive(Debug)]
struct Guarded {
    name: String,
    rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl Guarded {
    fn within(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        push: impl FnOnce(Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let guarded = plan.transform_up(|node| match has_same_names(&node.schema()) {
            true => Ok(Transformed::yes(Arc::new(Guard { input: node }) as Arc<dyn ExecutionPlan>)),
            false => Ok(Transformed::no(node)),
        })?;
        let pushed = push(guarded.data)?;
        if !guarded.transformed {
            return Ok(pushed);
        }
        pushed
            .transform_up(|node| match node.downcast_ref::<Guard>() {
                Some(guard) => Ok(Transformed::yes(Arc::clone(&guard.input))),
                None => Ok(Transformed::no(node)),
            })
            .data()
    }
}

impl PhysicalOptimizerRule for Guarded {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        self.within(plan, |plan| self.rule.optimize(plan, config))
    }

    fn optimize_with_context(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: &dyn PhysicalOptimizerContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.within(plan, |plan| self.rule.optimize_with_context(plan, context))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

/// Stands above an operator of which columns share a name, while filters are pushed down.
#[derive(Debug)]
struct Guard {
    input: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for Guard {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Guard")
    }
}

impl ExecutionPlan for Guard {
    fn name(&self) -> &str {
        "Guard"
    }

    one_input!(|_, input| Guard { input });

    same_rows!();

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        internal_err!("a guard is there while plans are made")
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let schema = self.input.schema();
        let child = ChildFilterDescription::from_child_with_allowed_indices(
            &parent_filters,
            with_own_names(&schema),
            &self.input,
        )?;
        Ok(FilterDescription::new().with_child(child))
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(child_pushdown_result))
    }
}

fn has_same_names(schema: &Schema) -> bool {
    let mut seen = HashSet::new();
    !schema.fields().iter().all(|field| seen.insert(field.name()))
}

/// The columns whose names no other has.
fn with_own_names(schema: &Schema) -> HashSet<usize> {
    let once = |i: &usize| schema.fields().iter().filter(|field| field.name() == schema.field(*i).name()).count() == 1;
    (0..schema.fields().len()).filter(once).collect()
}
