//! Operators of ours, and the expression that they alone make.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use datafusion::physical_expr::Partitioning;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_common::physical_expr::proto_decode::PhysicalExprDecodeCtx;
use datafusion::physical_expr_common::physical_expr::proto_encode::PhysicalExprEncodeCtx;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, PhysicalExpr, ReplaceChildrenOptions};
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::physical_plan_node::PhysicalPlanType;
use datafusion_proto::protobuf::{PhysicalExprNode, PhysicalPlanNode};
use prost::Message;

use super::functions::{self, Unsettled};
use super::message::{self, Expression, ExpressionKind, Node, Operator, Routed, Scan};
use super::{BlueshiftCodec, carried, check_same, dropped, external};
use crate::catalog::Overlay;
use crate::common::{Error, TableId, Version};
use crate::distribution::SliceMap;
use crate::physical_plan::abreast::Abreast;
use crate::physical_plan::aggregate::IntegerAggregate;
use crate::physical_plan::broadcast::Broadcast;
use crate::physical_plan::collocated_join::CollocatedJoinExec;
use crate::physical_plan::exchange::Exchange;
use crate::physical_plan::filter::BoundsTrust;
use crate::physical_plan::key_filter::BuildKeys;
use crate::physical_plan::load::LoadExec;
use crate::physical_plan::provider::datafusion_hashes_alike;
use crate::physical_plan::routed::RoutedFilter;
use crate::physical_plan::scan::{ScanOptions, SliceScan, WantedFirst, table_schema};
use crate::physical_plan::spool::Spool;

/// More partitions than any session has.
const MAX_PARTITIONS: u32 = 1 << 16;

/// Converts what a message holds of DataFusion's.
struct Parts<'a> {
    codec: &'a BlueshiftCodec,
    converter: &'a dyn PhysicalProtoConverterExtension,
}

impl Parts<'_> {
    fn expression(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Vec<u8>> {
        Ok(self.converter.physical_expr_to_proto(expr, self.codec)?.encode_to_vec())
    }

    /// An expression over columns that `schema` has.
    fn read_expression(&self, bytes: &[u8], schema: &Schema, context: &TaskContext) -> Result<Arc<dyn PhysicalExpr>> {
        let proto =
            PhysicalExprNode::decode(bytes).map_err(|e| damaged(format!("an expression cannot be read: {e}")))?;
        let context = PhysicalPlanDecodeContext::new(context, self.codec);
        let expr = self.converter.proto_to_physical_expr(&proto, schema, &context)?;
        match collect_columns(&expr).iter().find(|column| column.index() >= schema.fields().len()) {
            Some(column) => Err(damaged(format!("an expression is over column {column}, which there is not"))),
            None => Ok(expr),
        }
    }
}

impl BlueshiftCodec {
    fn told_operator(
        &self,
        node: &Arc<dyn ExecutionPlan>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Operator> {
        let parts = Parts { codec: self, converter };
        if let Some(source) = node.downcast_ref::<DataSourceExec>()
            && let Some(scan) = source.data_source().downcast_ref::<SliceScan>()
        {
            return self.told_scan(scan, &parts).map(Operator::Scan);
        }
        if let Some(exchange) = node.downcast_ref::<Exchange>() {
            let Partitioning::Hash(keys, partitions) = exchange.partitioning() else {
                return self.noted(Err(Error::internal("an exchange is by hash")));
            };
            let keys = keys.iter().map(|key| parts.expression(key)).collect::<Result<_>>()?;
            let (partitions, keeps_order) = (self.count(*partitions)?, exchange.keeps_order());
            return Ok(Operator::Exchange(message::Exchange { keys, partitions, keeps_order }));
        }
        if let Some(broadcast) = node.downcast_ref::<Broadcast>() {
            return Ok(Operator::Broadcast(message::Broadcast { copies: self.count(broadcast.copies())? }));
        }
        if node.is::<Abreast>() {
            return Ok(Operator::Abreast(message::Abreast {}));
        }
        if let Some(spool) = node.downcast_ref::<Spool>() {
            return Ok(Operator::Spool(message::Spool { number: self.count(spool.number())? }));
        }
        if node.is::<BuildKeys>() {
            return Ok(Operator::BuildKeys(message::BuildKeys {}));
        }
        if let Some(aggregate) = node.downcast_ref::<IntegerAggregate>() {
            return self.told_aggregate(aggregate, &parts).map(Operator::IntegerAggregate);
        }
        if let Some(join) = node.downcast_ref::<CollocatedJoinExec>() {
            return self.told_join(join, &parts).map(Operator::CollocatedJoin);
        }
        if let Some(load) = node.downcast_ref::<LoadExec>() {
            let told = match load.sink().target() {
                Some((uuid, def)) => self.told(uuid, &def),
                None => Err(Error::unsupported("a load into what is no warehouse's table cannot travel")),
            };
            return self.noted(told).map(Operator::Load);
        }
        self.noted(Err(Error::unsupported(format!("operator {} cannot travel", node.name()))))
    }

    fn told_scan(&self, scan: &SliceScan, parts: &Parts<'_>) -> Result<Scan> {
        let table = scan.table();
        let pin = table.store.pin().ok_or_else(|| Error::internal("a scan reads a version"));
        let pin = self.noted(pin)?;
        let options = scan.options();
        let filters = scan.filters().iter().map(|filter| parts.expression(filter)).collect::<Result<_>>()?;
        let ordinal = |at: usize| u32::try_from(at).map_err(|_| Error::internal("a table has fewer columns"));
        let wanted_first = match scan.wanted_first() {
            Some(WantedFirst { column, descending }) => {
                Some(message::WantedFirst { column: self.noted(ordinal(column))?, descending })
            }
            None => None,
        };
        let overlay = pin.overlay().map(|overlay| self.noted(overlay.encoded())).transpose()?;
        Ok(Scan {
            table: Some(self.noted(self.told(pin.info.uuid, &table.def))?),
            version: pin.base().version.0,
            overlay: overlay.map(|bytes| bytes.to_vec()),
            slices: options.slices.slices(),
            partitions: self.count(options.slices.partitions())?,
            claim_hash: options.claim_hash,
            prune: options.prune,
            projection: self.noted(scan.projection().iter().map(|at| ordinal(*at)).collect())?,
            filters,
            fetch: scan.limit().map(|rows| rows as u64),
            mistrust_bounds: scan.trust() == BoundsTrust::None,
            wanted_first,
            alias: scan.alias().map(|alias| alias.to_string()),
            past: table.as_of.is_some(),
        })
    }

    /// The join over inputs without rows: the true ones travel beside it.
    fn told_join(&self, join: &CollocatedJoinExec, parts: &Parts<'_>) -> Result<message::CollocatedJoin> {
        let inputs = [join.join().left(), join.join().right()];
        let inputs = inputs.map(|input| Arc::new(EmptyExec::new(input.schema())) as Arc<dyn ExecutionPlan>);
        let alone = join.join().builder().recompute_properties().with_new_children(inputs.to_vec())?.build()?;
        let alone: Arc<dyn ExecutionPlan> = Arc::new(alone);
        let (left, right) = join.key();
        Ok(message::CollocatedJoin {
            join: parts.converter.execution_plan_to_proto(&alone, self)?.encode_to_vec(),
            left_key: parts.expression(&left)?,
            right_key: parts.expression(&right)?,
        })
    }

    /// The aggregation over an input without rows: the true one travels beside it.
    fn told_aggregate(&self, aggregate: &IntegerAggregate, parts: &Parts<'_>) -> Result<message::IntegerAggregate> {
        let input = Arc::new(EmptyExec::new(aggregate.exec().input().schema()));
        let exec: Arc<dyn ExecutionPlan> = Arc::clone(aggregate.exec()) as _;
        let alone = exec.replace_children(vec![input], recomputed())?;
        let aggregate = parts.converter.execution_plan_to_proto(&alone, self)?.encode_to_vec();
        Ok(message::IntegerAggregate { aggregate })
    }

    fn count(&self, partitions: usize) -> Result<u32> {
        let count = u32::try_from(partitions).ok().filter(|count| *count <= MAX_PARTITIONS);
        self.noted(count.ok_or_else(|| Error::unsupported(format!("a plan of {partitions} partitions cannot travel"))))
    }

    fn read_operator(
        &self,
        told: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let node: Node = carried(message::read(told, "operator"))?;
        let operator = node.operator.ok_or_else(|| damaged("an operator of no kind"))?;
        let parts = Parts { codec: self, converter };
        match (operator, inputs) {
            (Operator::Scan(scan), []) => {
                let scan = self.read_scan(scan, &parts, context)?;
                Ok(DataSourceExec::from_data_source(scan))
            }
            (Operator::Exchange(exchange), [input]) => {
                let schema = input.schema();
                let key = |bytes: &Vec<u8>| parts.read_expression(bytes, &schema, context);
                let keys = exchange.keys.iter().map(key).collect::<Result<Vec<_>>>()?;
                let partitioning = Partitioning::Hash(keys, partitions(exchange.partitions)?);
                let mut repartition = RepartitionExec::try_new(Arc::clone(input), partitioning)?;
                if exchange.keeps_order {
                    repartition = repartition.with_preserve_order();
                }
                let made = Exchange::of(&repartition)?;
                Ok(Arc::new(made.ok_or_else(|| damaged("an exchange is by hash"))?))
            }
            (Operator::Broadcast(broadcast), [input]) => {
                Ok(Arc::new(Broadcast::new(Arc::clone(input), partitions(broadcast.copies)?)))
            }
            (Operator::Spool(told), [input]) => Ok(Arc::new(Spool::new(Arc::clone(input), told.number as usize))),
            (Operator::Abreast(_), [input]) => Ok(Arc::new(Abreast::new(Arc::clone(input)))),
            (Operator::BuildKeys(_), [input]) => Ok(Arc::clone(input)),
            (Operator::IntegerAggregate(told), [input]) => self.read_aggregate(&told, input, &parts, context),
            (Operator::CollocatedJoin(join), [left, right]) => self.read_join(&join, [left, right], &parts, context),
            (Operator::Load(table), [input]) => {
                let warehouse = carried(self.warehouse(&table))?;
                let state = carried(self.state(&table))?;
                Ok(Arc::new(LoadExec::new(Arc::clone(input), warehouse.sink_of(Arc::clone(&state.def)))))
            }
            (_, inputs) => Err(damaged(format!("an operator with {} inputs", inputs.len()))),
        }
    }

    fn read_scan(&self, scan: Scan, parts: &Parts<'_>, context: &TaskContext) -> Result<SliceScan> {
        let table = scan.table.ok_or_else(|| damaged("a scan of no table"))?;
        let warehouse = carried(self.warehouse(&table))?;
        let pin = carried(self.pin(&table.warehouse, warehouse, Version(scan.version)))?;
        let pin = match scan.overlay {
            Some(bytes) => pin.overlaid(Arc::new(carried(Overlay::decode(Bytes::from(bytes), &pin))?)),
            None => pin,
        };
        let state = pin.table(TableId(table.table)).ok_or_else(|| external(dropped(&table)))?;
        carried(check_same(&table, &state.def))?;
        let slices = carried(SliceMap::for_target(pin.info.slices, partitions(scan.partitions)?))?;
        if slices.slices() != scan.slices || slices.partitions() != scan.partitions as usize {
            let message = format!("{} slices cannot be {} partitions", pin.info.slices, scan.partitions);
            return Err(damaged(message));
        }
        if scan.claim_hash && !datafusion_hashes_alike() {
            let error = Error::unsupported("DataFusion places rows by another hash here than where the plan was made");
            return Err(external(error.with_hint("run the same version of DataFusion, with the same features")));
        }
        let schema = table_schema(&state.def);
        let ordinal = |at: u32| match at as usize {
            at if at < schema.fields().len() => Ok(at),
            at => Err(damaged(format!("a scan of column {at} of {}", schema.fields().len()))),
        };
        let filter = |bytes: &Vec<u8>| {
            let filter = parts.read_expression(bytes, &schema, context)?;
            match filter.data_type(&schema)? {
                DataType::Boolean => Ok(filter),
                other => Err(damaged(format!("a filter of type {other}"))),
            }
        };
        let filters = scan.filters.iter().map(filter).collect::<Result<Vec<_>>>()?;
        let projection = scan.projection.iter().map(|at| ordinal(*at)).collect::<Result<Vec<_>>>()?;
        let rows = |rows: u64| usize::try_from(rows).map_err(|_| damaged(format!("a limit of {rows} rows")));
        let fetch = scan.fetch.map(rows).transpose()?;
        let wanted = |wanted: message::WantedFirst| {
            Ok::<_, datafusion::common::DataFusionError>(WantedFirst {
                column: ordinal(wanted.column)?,
                descending: wanted.descending,
            })
        };
        let wanted_first = scan.wanted_first.map(wanted).transpose()?;
        let trust = if scan.mistrust_bounds { BoundsTrust::None } else { BoundsTrust::All };
        let state = Arc::clone(state);
        let mut rows = carried(warehouse.rows_of(pin, &state))?;
        rows.as_of = scan.past.then_some(Version(scan.version));
        let options = ScanOptions { slices, claim_hash: scan.claim_hash, prune: scan.prune };
        let made = SliceScan::new(Arc::new(rows), options, projection, filters, fetch);
        Ok(made.planned(wanted_first, trust).called(scan.alias.map(Arc::from)))
    }

    fn read_aggregate(
        &self,
        told: &message::IntegerAggregate,
        input: &Arc<dyn ExecutionPlan>,
        parts: &Parts<'_>,
        context: &TaskContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let proto = PhysicalPlanNode::decode(told.aggregate.as_slice())
            .map_err(|e| damaged(format!("an aggregation cannot be read: {e}")))?;
        match &proto.physical_plan_type {
            Some(PhysicalPlanType::Aggregate(aggregate)) if is_empty(&aggregate.input) => {}
            _ => return Err(damaged("an aggregation within is none")),
        }
        let alone = parts.converter.proto_to_execution_plan(&proto, &PhysicalPlanDecodeContext::new(context, self))?;
        if alone.children().iter().any(|of| of.schema() != input.schema()) {
            return Err(damaged("an aggregation's input has other columns than it says"));
        }
        let aggregate = alone.replace_children(vec![Arc::clone(input)], recomputed())?;
        Ok(match IntegerAggregate::try_new(&aggregate)? {
            Some(made) => Arc::new(made),
            None => aggregate,
        })
    }

    fn read_join(
        &self,
        told: &message::CollocatedJoin,
        [left, right]: [&Arc<dyn ExecutionPlan>; 2],
        parts: &Parts<'_>,
        context: &TaskContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let proto = PhysicalPlanNode::decode(told.join.as_slice())
            .map_err(|e| damaged(format!("a join cannot be read: {e}")))?;
        match &proto.physical_plan_type {
            Some(PhysicalPlanType::HashJoin(join)) if is_empty(&join.left) && is_empty(&join.right) => {}
            _ => return Err(damaged("a join within is none")),
        }
        let alone = parts.converter.proto_to_execution_plan(&proto, &PhysicalPlanDecodeContext::new(context, self))?;
        let alone = alone.downcast_ref::<HashJoinExec>().ok_or_else(|| damaged("a join within is none"))?;
        if alone.left().schema() != left.schema() || alone.right().schema() != right.schema() {
            return Err(damaged("a join's inputs have other columns than it says"));
        }
        let inputs = vec![Arc::clone(left), Arc::clone(right)];
        let join = alone.builder().recompute_properties().with_new_children(inputs)?.build()?;
        let key = (
            parts.read_expression(&told.left_key, &left.schema(), context)?,
            parts.read_expression(&told.right_key, &right.schema(), context)?,
        );
        Ok(Arc::new(CollocatedJoinExec::try_new(&join, key)?))
    }
}

fn partitions(count: u32) -> Result<usize> {
    match count {
        1..=MAX_PARTITIONS => Ok(count as usize),
        _ => Err(damaged(format!("{count} partitions"))),
    }
}

fn damaged(what: impl std::fmt::Display) -> datafusion::common::DataFusionError {
    external(Error::corrupt(1, format!("the plan cannot be read: {what}")))
}

impl PhysicalExtensionCodec for BlueshiftCodec {
    fn try_decode(
        &self,
        told: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.read_operator(told, inputs, context, converter)
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        to: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let operator = self.told_operator(&node, converter)?;
        message::write(&Node { operator: Some(operator) }, to);
        Ok(())
    }

    fn try_decode_expr(
        &self,
        told: &[u8],
        inputs: &[Arc<dyn PhysicalExpr>],
        _: &PhysicalExprDecodeCtx<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let expression: Expression = carried(message::read(told, "expression"))?;
        match (expression.kind, inputs) {
            (Some(ExpressionKind::Routed(_)), [filter, by]) => {
                let routed = RoutedFilter::of(filter, Arc::clone(by));
                Ok(Arc::new(routed.ok_or_else(|| damaged("a routed filter of none"))?))
            }
            _ => Err(damaged("an expression of no kind")),
        }
    }

    fn try_encode_expr(
        &self,
        expr: &Arc<dyn PhysicalExpr>,
        to: &mut Vec<u8>,
        _: &PhysicalExprEncodeCtx<'_>,
    ) -> Result<()> {
        if !expr.is::<RoutedFilter>() {
            return self.noted(Err(Error::unsupported(format!("expression {expr} cannot travel"))));
        }
        message::write(&Expression { kind: Some(ExpressionKind::Routed(Routed {})) }, to);
        Ok(())
    }

    fn try_decode_udf(&self, name: &str, told: &[u8]) -> Result<Arc<ScalarUDF>> {
        Ok(Arc::new(Unsettled(functions::read(name, told)?).into()))
    }

    fn try_encode_udf(&self, function: &ScalarUDF, to: &mut Vec<u8>) -> Result<()> {
        functions::write(function, to);
        Ok(())
    }

    fn try_decode_udaf(&self, name: &str, told: &[u8]) -> Result<Arc<AggregateUDF>> {
        functions::read(name, told)
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, to: &mut Vec<u8>) -> Result<()> {
        functions::write(function, to);
        Ok(())
    }

    fn try_decode_udwf(&self, name: &str, told: &[u8]) -> Result<Arc<WindowUDF>> {
        functions::read(name, told)
    }

    fn try_encode_udwf(&self, function: &WindowUDF, to: &mut Vec<u8>) -> Result<()> {
        functions::write(function, to);
        Ok(())
    }
}

fn recomputed() -> ReplaceChildrenOptions {
    ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute)
}

/// Nothing may stand within a message but inputs without rows: what nests here would nest without end.
fn is_empty(input: &Option<Box<PhysicalPlanNode>>) -> bool {
    let input = input.as_ref().and_then(|input| input.physical_plan_type.as_ref());
    matches!(input, Some(PhysicalPlanType::Empty(_)))
}
