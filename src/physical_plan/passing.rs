//! What operators say alike that hand on the rows of one input and evaluate nothing themselves.

/// Within `impl ExecutionPlan`: the methods about inputs and expressions of an operator whose only input is `self.input`.
/// The argument makes the operator over another input: `Fn(&Self, Arc<dyn ExecutionPlan>) -> Self`.
macro_rules! one_input {
    ($over:expr) => {
        fn children(&self) -> Vec<&std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>> {
            vec![&self.input]
        }

        fn apply_expressions(
            &self,
            _: &mut dyn FnMut(
                &std::sync::Arc<dyn datafusion::physical_plan::PhysicalExpr>,
            ) -> datafusion::common::Result<datafusion::common::tree_node::TreeNodeRecursion>,
        ) -> datafusion::common::Result<datafusion::common::tree_node::TreeNodeRecursion> {
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        }

        fn replace_children(
            self: std::sync::Arc<Self>,
            mut children: Vec<std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>>,
            _: datafusion::physical_plan::ReplaceChildrenOptions,
        ) -> datafusion::common::Result<std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>> {
            let over: fn(&Self, std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>) -> Self = $over;
            match children.pop() {
                Some(input) if children.is_empty() => Ok(std::sync::Arc::new(over(&self, input))),
                _ => datafusion::common::internal_err!("{} has one input", self.name()),
            }
        }

        fn with_new_children(
            self: std::sync::Arc<Self>,
            children: Vec<std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>>,
        ) -> datafusion::common::Result<std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>> {
            use datafusion::physical_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
            self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
        }
    };
}

/// Within `impl ExecutionPlan`: filters from above go on to the only input, as many as there are rows.
macro_rules! filters_and_rows_go_through {
    () => {
        fn cardinality_effect(&self) -> datafusion::physical_plan::execution_plan::CardinalityEffect {
            datafusion::physical_plan::execution_plan::CardinalityEffect::Equal
        }

        fn gather_filters_for_pushdown(
            &self,
            _: datafusion::physical_plan::filter_pushdown::FilterPushdownPhase,
            parent_filters: Vec<std::sync::Arc<dyn datafusion::physical_plan::PhysicalExpr>>,
            _: &datafusion::common::config::ConfigOptions,
        ) -> datafusion::common::Result<datafusion::physical_plan::filter_pushdown::FilterDescription> {
            let inputs = datafusion::physical_plan::ExecutionPlan::children(self);
            datafusion::physical_plan::filter_pushdown::FilterDescription::from_children(parent_filters, &inputs)
        }

        fn handle_child_pushdown_result(
            &self,
            _: datafusion::physical_plan::filter_pushdown::FilterPushdownPhase,
            result: datafusion::physical_plan::filter_pushdown::ChildPushdownResult,
            _: &datafusion::common::config::ConfigOptions,
        ) -> datafusion::common::Result<
            datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation<
                std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>,
            >,
        > {
            Ok(datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation::if_all(result))
        }
    };
}

/// Within `impl ExecutionPlan`: each partition's rows are those of the input's, in its order.
macro_rules! same_rows {
    () => {
        fn properties(&self) -> &std::sync::Arc<datafusion::physical_plan::PlanProperties> {
            self.input.properties()
        }

        fn maintains_input_order(&self) -> Vec<bool> {
            vec![true]
        }

        fn benefits_from_input_partitioning(&self) -> Vec<bool> {
            vec![false]
        }

        fn child_stats_requests(&self, partition: Option<usize>) -> Vec<datafusion::physical_plan::ChildStats> {
            vec![datafusion::physical_plan::ChildStats::At(partition)]
        }

        fn statistics_from_inputs(
            &self,
            inputs: &[std::sync::Arc<datafusion::common::Statistics>],
            _: &datafusion::physical_plan::StatisticsArgs,
        ) -> datafusion::common::Result<std::sync::Arc<datafusion::common::Statistics>> {
            match inputs {
                [input] => Ok(std::sync::Arc::clone(input)),
                _ => datafusion::common::internal_err!("{} has one input", self.name()),
            }
        }
    };
}

pub(crate) use {filters_and_rows_go_through, one_input, same_rows};
