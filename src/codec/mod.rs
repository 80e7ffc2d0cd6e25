//! Plans as bytes, for another process that has the same warehouses open.
//!
//! A logical plan travels with its tables' ids, and reads the version of whichever statement runs it, as a prepared plan
//! does. A physical plan travels with its scans: the version that they read, which the reader pins, the slices, columns
//! and filters.
//!
//! Everything is as in the plan that was encoded, or decoding fails. Dynamic filters travel as they stand at that time,
//! and go on being filled by their producers; what a join has built does not travel.
//!
//! Processes that share one plan, each running some of its partitions, switch
//! `datafusion.execution.enable_file_stream_work_stealing` off: partitions of one process share what they read.

mod converter;
mod functions;
mod logical;
mod message;
mod physical;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::logical_plan::AsLogicalPlan;
use datafusion_proto::physical_plan::{PhysicalPlanDecodeContext, PhysicalProtoConverterExtension};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use parking_lot::Mutex;
use prost::Message;
use tokio::runtime::{Builder, Handle, RuntimeFlavor};

pub use converter::BlueshiftConverter;

use crate::catalog::{PinnedSnapshot, TableDef, TableState};
use crate::common::{Error, ErrorKind, Result, SqlState, TableId, Version};
use crate::engine::{Warehouse, from_datafusion};
use crate::optimizer::key_filters::KeyFilters;
use message::{Plan, PlanKind, Table, TableColumn};

/// Writes plans over warehouses, and reads them where the same warehouses are open.
///
/// It is DataFusion's `LogicalExtensionCodec` and `PhysicalExtensionCodec`. Where those are asked for alone, physical plans
/// also need [`BlueshiftConverter`]: with DataFusion's own they fail when they are read or run.
#[derive(Debug, Clone)]
pub struct BlueshiftCodec {
    warehouses: Arc<BTreeMap<String, Warehouse>>,
    call: Option<Arc<Call>>,
}

/// What belongs to the plan at hand.
#[derive(Debug, Default)]
struct Call {
    /// The versions that its scans read.
    pins: Mutex<Vec<(String, PinnedSnapshot)>>,
    /// Why it cannot be encoded: DataFusion keeps an error's text alone.
    failure: Mutex<Option<Error>>,
}

impl BlueshiftCodec {
    /// Of plans over one warehouse.
    pub fn new(warehouse: &Warehouse) -> Self {
        BlueshiftCodec::of([(String::new(), warehouse.clone())])
    }

    /// Of plans over several, each by a name that writer and reader call it by.
    pub fn of(warehouses: impl IntoIterator<Item = (String, Warehouse)>) -> Self {
        BlueshiftCodec { warehouses: Arc::new(warehouses.into_iter().collect()), call: None }
    }

    /// A logical plan as bytes. DataFusion cannot write EXISTS, IN with a subquery and what a subquery takes from outside:
    /// plans are to be optimized first (`SessionState::optimize`).
    ///
    /// Errors: Unsupported for what cannot travel, such as a table that is no warehouse's.
    pub fn encode(&self, plan: &LogicalPlan) -> Result<Bytes> {
        let codec = self.for_one();
        let proto = LogicalPlanNode::try_from_logical_plan(plan, &codec).map_err(|e| codec.failure(e))?;
        let plan = proto.encode_to_vec();
        // A reader refuses what is nested too deep.
        LogicalPlanNode::decode(plan.as_slice()).map_err(too_deep)?;
        Ok(message::seal(PlanKind::Logical, &Plan { time_zone: None, plan }))
    }

    /// What [`BlueshiftCodec::encode`] gave, with the functions of `context`.
    ///
    /// Errors: Corrupt for damaged bytes; Unsupported for those of another version; Conflict when a table was altered;
    /// Invalid when a warehouse, a table or a function is not known here.
    pub fn decode(&self, bytes: &[u8], context: &TaskContext) -> Result<LogicalPlan> {
        let plan = message::open(PlanKind::Logical, bytes)?;
        let codec = self.for_one();
        read(|| {
            let proto = LogicalPlanNode::decode(plan.plan.as_slice()).map_err(unreadable)?;
            proto.try_into_logical_plan(context, &codec).map_err(decoding)
        })
    }

    /// A physical plan as bytes. The version that it reads stays readable while the plan, or another pin, is held here.
    ///
    /// Errors: as [`BlueshiftCodec::encode`].
    pub fn encode_physical(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<Bytes> {
        let (codec, converter) = (self.for_one(), BlueshiftConverter::default());
        let proto = converter.execution_plan_to_proto(plan, &codec).map_err(|e| codec.failure(e))?;
        let plan = proto.encode_to_vec();
        PhysicalPlanNode::decode(plan.as_slice()).map_err(too_deep)?;
        Ok(message::seal(PlanKind::Physical, &Plan { time_zone: converter.time_zone(), plan }))
    }

    /// What [`BlueshiftCodec::encode_physical`] gave, to be run in `context`. It reads the version that it was planned for.
    ///
    /// A version that this process does not know is read from the store meanwhile. Errors: as
    /// [`BlueshiftCodec::decode`]'s, and Unavailable when the version was collected.
    pub fn decode_physical(&self, bytes: &[u8], context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = message::open(PlanKind::Physical, bytes)?;
        let (codec, converter) = (self.for_one(), BlueshiftConverter::in_zone(plan.time_zone));
        read(|| {
            let proto = PhysicalPlanNode::decode(plan.plan.as_slice()).map_err(unreadable)?;
            let config = context.session_config().options();
            let context = PhysicalPlanDecodeContext::new(context, &codec);
            let plan = converter.proto_to_execution_plan(&proto, &context);
            plan.and_then(|plan| KeyFilters.optimize(plan, config)).map_err(decoding)
        })
    }

    fn for_one(&self) -> Self {
        BlueshiftCodec { call: Some(Arc::default()), ..self.clone() }
    }

    /// Why a plan could not be encoded.
    fn failure(&self, error: DataFusionError) -> Error {
        let own = self.call.as_ref().and_then(|call| call.failure.lock().take());
        own.unwrap_or_else(|| {
            let error = from_datafusion(error);
            match error.kind() {
                ErrorKind::Internal => Error::unsupported(format!("the plan cannot travel: {}", error.message()))
                    .with_hint("of a logical plan, encode the optimized one"),
                _ => error,
            }
        })
    }

    /// Keeps what DataFusion would make a text of.
    fn noted<T>(&self, outcome: Result<T>) -> datafusion::common::Result<T> {
        outcome.map_err(|error| match &self.call {
            Some(call) => {
                let text = DataFusionError::Execution(error.to_string());
                *call.failure.lock() = Some(error);
                text
            }
            None => external(error),
        })
    }

    /// A table by its warehouse and id.
    fn told(&self, uuid: u128, def: &TableDef) -> Result<Table> {
        let known = self.warehouses.iter().find(|(_, warehouse)| warehouse.info().uuid == uuid);
        let Some((name, _)) = known else {
            let message = format!("table \"{}\" is of a warehouse that the codec does not know", def.name);
            return Err(Error::unsupported(message)
                .with_hint("make the codec of all warehouses; temporary tables are seen by their session alone"));
        };
        let columns = def.columns.iter().map(|column| TableColumn {
            id: column.id.0,
            name: column.name.clone(),
            sql_type: column.sql_type.to_string(),
            nullable: column.nullable,
        });
        Ok(Table {
            warehouse: name.clone(),
            uuid: uuid.to_le_bytes().to_vec(),
            table: def.id.0,
            name: def.name.clone(),
            columns: columns.collect(),
        })
    }

    /// The warehouse of a table.
    fn warehouse(&self, table: &Table) -> Result<&Warehouse> {
        let unknown = |message: String| {
            Error::invalid(SqlState::UNDEFINED_DATABASE, message).with_hint(
                "open the same warehouses, under the same names, where plans are made and where they are run",
            )
        };
        let warehouse = self
            .warehouses
            .get(&table.warehouse)
            .ok_or_else(|| unknown(format!("warehouse \"{}\" of the plan is not known here", table.warehouse)))?;
        if warehouse.info().uuid.to_le_bytes() != *table.uuid {
            return Err(unknown(format!("warehouse \"{}\" of the plan is another one than here", table.warehouse)));
        }
        Ok(warehouse)
    }

    /// The newest state of a table, which is as the plan saw it.
    fn state(&self, table: &Table) -> Result<Arc<TableState>> {
        let warehouse = self.warehouse(table)?;
        let of = |pin: PinnedSnapshot| {
            let state = pin.table(TableId(table.table)).cloned().ok_or_else(|| dropped(table))?;
            check_same(table, &state.def).map(|()| state)
        };
        // What this process has not heard of yet may be newer.
        of(warehouse.log().pin()).or_else(|_| {
            wait(warehouse.log().refresh())?;
            of(warehouse.log().pin())
        })
    }

    /// The version that a plan's scans read, pinned once for all of them.
    fn pin(&self, name: &str, warehouse: &Warehouse, version: Version) -> Result<PinnedSnapshot> {
        if let Some(call) = &self.call {
            let pins = call.pins.lock();
            if let Some((_, pin)) = pins.iter().find(|(of, pin)| of == name && pin.version == version) {
                return Ok(pin.clone());
            }
        }
        let known = warehouse.log().pin();
        let pin = if known.version == version { known } else { wait(warehouse.log().pin_at(version))? };
        if let Some(call) = &self.call {
            call.pins.lock().push((name.to_string(), pin.clone()));
        }
        Ok(pin)
    }
}

/// Conflict where a table is not as the plan saw it.
fn check_same(table: &Table, def: &TableDef) -> Result<()> {
    let same = table.columns.len() == def.columns.len()
        && table.columns.iter().zip(&def.columns).all(|(told, column)| {
            told.id == column.id.0
                && told.name == column.name
                && told.nullable == column.nullable
                && told.sql_type == column.sql_type.to_string()
        });
    if same {
        return Ok(());
    }
    Err(Error::conflict(format!("table \"{}\" was altered since the plan was made", table.name))
        .with_hint("plan the statement again"))
}

fn dropped(table: &Table) -> Error {
    Error::conflict(format!("table \"{}\" of the plan is not there", table.name)).with_hint("plan the statement again")
}

/// What a future gives, from where nothing may be awaited.
fn wait<T: Send>(future: impl Future<Output = Result<T>> + Send) -> Result<T> {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(|| handle.block_on(future))
        }
        _ => std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let runtime = Builder::new_current_thread().enable_all().build();
                runtime
                    .map_err(|e| Error::unavailable(format!("no runtime to read the store by: {e}")))?
                    .block_on(future)
            });
            thread.join().unwrap_or_else(|_| Err(Error::internal("reading a version ended in a panic")))
        }),
    }
}

/// What bytes of unknown origin are: DataFusion's own reading of messages is not proof against all of them.
fn read<T>(reading: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(reading))
        .unwrap_or_else(|_| Err(Error::corrupt(0, "the plan cannot be read: DataFusion gave up on it")))
}

fn unreadable(error: prost::DecodeError) -> Error {
    Error::corrupt(0, format!("the plan cannot be read: {error}"))
}

fn too_deep(error: prost::DecodeError) -> Error {
    Error::unsupported(format!("the plan is nested too deep to travel: {error}"))
        .with_hint("write long chains of AND, OR and CASE with IN, or in several statements")
}

/// An error of ours as it is; what DataFusion finds wrong in itself is damage.
fn decoding(error: DataFusionError) -> Error {
    let error = from_datafusion(error);
    match error.kind() {
        ErrorKind::Internal => Error::corrupt(0, format!("the plan cannot be read: {}", error.message())),
        _ => error,
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn carried<T>(outcome: Result<T>) -> datafusion::common::Result<T> {
    outcome.map_err(external)
}
