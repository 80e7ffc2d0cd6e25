//! What DataFusion's own conversion of plans leaves out.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::physical_planning_context::ScalarSubqueryResults;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use datafusion_proto::physical_plan::from_proto::parse_physical_expr_with_converter;
use datafusion_proto::physical_plan::to_proto::serialize_physical_expr_with_converter;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalPlanNodeExt, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::physical_expr_node::ExprType;
use datafusion_proto::protobuf::{PhysicalExprNode, PhysicalPlanNode};

use super::functions::Unsettled;

/// Converts one plan, to DataFusion's messages or from them, beside [`super::BlueshiftCodec`].
///
/// Beyond DataFusion's default:
/// 1. dynamic filters stay those of their producers: what a join has built reaches the scans below it;
/// 2. functions give the fields that they gave, and know the time zone of the session that planned them;
/// 3. scalar subqueries are found by the filters of scans, too.
///
/// It is for one plan: take a new one for each.
#[derive(Debug, Default)]
pub struct BlueshiftConverter {
    /// Shared expressions by their ids.
    shared: RefCell<HashMap<u64, Arc<dyn PhysicalExpr>>>,
    /// What the plans that are being read have around them.
    subqueries: RefCell<Vec<Option<ScalarSubqueryResults>>>,
    /// How many dynamic filters are around what is being read.
    within: Cell<usize>,
    /// Of the session that planned.
    time_zone: RefCell<Option<String>>,
}

impl BlueshiftConverter {
    /// For a plan whose functions know that time zone.
    pub fn in_zone(time_zone: Option<String>) -> Self {
        BlueshiftConverter { time_zone: RefCell::new(time_zone), ..BlueshiftConverter::default() }
    }

    /// The time zone that the functions met so far know.
    pub fn time_zone(&self) -> Option<String> {
        self.time_zone.borrow().clone()
    }

    /// A function as it was.
    fn settled(&self, expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() else { return Ok(None) };
        let function = match call.fun().inner().downcast_ref::<Unsettled>() {
            Some(Unsettled(function)) => Arc::clone(function),
            None => Arc::new(call.fun().clone()),
        };
        let options = Arc::new(self.options(call.config_options()));
        // Some keep the zone in themselves.
        let function = function.inner().with_updated_config(&options).map_or(function, Arc::new);
        let made =
            ScalarFunctionExpr::try_new(Arc::clone(&function), call.args().to_vec(), schema, Arc::clone(&options));
        let made = match made {
            Ok(made) if made.return_type() == call.return_type() => {
                if made.nullable() == call.nullable() {
                    made
                } else {
                    made.with_nullable(call.nullable())
                }
            }
            // Within a dynamic filter columns are those of its producer: what is told of a function there is its type.
            _ if self.within.get() > 0 => {
                let field = call.return_field(schema)?;
                ScalarFunctionExpr::new(call.name(), function, call.args().to_vec(), field, options)
            }
            Ok(made) => {
                let (found, told) = (made.return_type(), call.return_type());
                return exec_err!("{} is of type {found} here, and of type {told} in the plan", call.name());
            }
            Err(e) => return Err(e),
        };
        Ok(Some(Arc::new(made)))
    }

    fn options(&self, options: &ConfigOptions) -> ConfigOptions {
        let mut options = options.clone();
        if let Some(zone) = &*self.time_zone.borrow() {
            options.execution.time_zone = Some(zone.clone());
        }
        options
    }
}

impl PhysicalProtoConverterExtension for BlueshiftConverter {
    fn proto_to_execution_plan(
        &self,
        proto: &PhysicalPlanNode,
        context: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let around = match context.scalar_subquery_results() {
            Some(results) => Some(results.clone()),
            None => self.subqueries.borrow().last().cloned().flatten(),
        };
        self.subqueries.borrow_mut().push(around);
        let plan = proto.try_into_physical_plan_with_context(context, self);
        self.subqueries.borrow_mut().pop();
        plan
    }

    fn execution_plan_to_proto(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalPlanNode> {
        PhysicalPlanNode::try_from_physical_plan_with_converter(Arc::clone(plan), codec, self)
    }

    fn proto_to_physical_expr(
        &self,
        proto: &PhysicalExprNode,
        schema: &Schema,
        context: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let around = self.subqueries.borrow().last().cloned().flatten();
        let dynamic = usize::from(matches!(proto.expr_type, Some(ExprType::DynamicFilter(_))));
        self.within.update(|filters| filters + dynamic);
        let parsed = match (context.scalar_subquery_results(), around) {
            (None, Some(results)) => {
                let context = context.with_scalar_subquery_results(results);
                parse_physical_expr_with_converter(proto, schema, &context, self)
            }
            _ => parse_physical_expr_with_converter(proto, schema, context, self),
        };
        self.within.update(|filters| filters - dynamic);
        let parsed = parsed?;
        let parsed = self.settled(&parsed, schema)?.unwrap_or(parsed);
        let Some(id) = proto.expr_id else { return Ok(parsed) };
        let mut shared = self.shared.borrow_mut();
        match shared.get(&id) {
            Some(first) => {
                let children = parsed.children().into_iter().cloned().collect();
                Arc::clone(first).with_new_children(children)
            }
            None => {
                shared.insert(id, Arc::clone(&parsed));
                Ok(parsed)
            }
        }
    }

    fn physical_expr_to_proto(
        &self,
        expr: &Arc<dyn PhysicalExpr>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalExprNode> {
        if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>()
            && let Some(zone) = &call.config_options().execution.time_zone
        {
            self.time_zone.borrow_mut().get_or_insert_with(|| zone.clone());
        }
        let mut proto = serialize_physical_expr_with_converter(expr, codec, self)?;
        // A reader finds a producer's expressions in the filter by comparing them, which those of functions may not stand:
        // such a filter travels as it is now, and is nobody's.
        if expr.is::<DynamicFilterPhysicalExpr>() && expr.children().into_iter().any(calls) {
            static NEXT: AtomicU64 = AtomicU64::new(1);
            proto.expr_id = Some(u64::MAX - NEXT.fetch_add(1, Ordering::Relaxed));
        }
        Ok(proto)
    }
}

fn calls(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.is::<ScalarFunctionExpr>() || expr.children().into_iter().any(calls)
}
