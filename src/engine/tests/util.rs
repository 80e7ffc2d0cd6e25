use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::{self, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use object_store::ObjectStoreExt;
use roaring::RoaringBitmap;

use crate::catalog::delete_vector;
use crate::catalog::{Blob, Extent, NewDeleteVector, PinnedSnapshot, SegmentRef, TableState, paths};
use crate::common::{Error, Result};
use crate::engine::catalog_provider::scan_table;
use crate::engine::names::DEFAULT_SCHEMA;
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::load::RowSink;
use crate::physical_plan::provider::{BlueshiftTable, TableSource};
use crate::physical_plan::scan::ScanTable;

pub async fn warehouse(slices: u32, threads: usize, geometry: Geometry) -> Warehouse {
    Warehouse::builder().slices(slices).threads(threads).geometry(geometry).open("memory://").await.unwrap()
}

/// An answer as comparable text: its rows, sorted.
pub fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let mut lines: Vec<String> = text.lines().filter(|l| l.starts_with('|')).map(str::to_string).collect();
    lines.sort();
    lines
}

/// The session's context with other settings, and so many bytes for queries.
pub fn context_with(
    session: &Session,
    memory: Option<usize>,
    set: impl FnOnce(&mut BlueshiftOptions),
) -> SessionContext {
    let mut context = session.context().clone();
    if let Some(memory) = memory {
        let pool = Arc::new(GreedyMemoryPool::new(memory));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
        let state = SessionStateBuilder::new_from_existing(context.state()).with_runtime_env(runtime);
        context = SessionContext::new_with_state(state.build());
    }
    let state = context.state_ref();
    set(state.write().config_mut().options_mut().extensions.get_mut::<BlueshiftOptions>().unwrap());
    context
}

pub async fn batches(session: &Session, sql: &str) -> Vec<RecordBatch> {
    let output = session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e:?}"));
    output.collect().await.unwrap_or_else(|e| panic!("{sql}\n{e:?}"))
}

pub async fn ours(session: &Session, sql: &str) -> Vec<String> {
    lines(&batches(session, sql).await)
}

/// Runs statements to their ends, all of which succeed.
pub async fn all(session: &Session, statements: &[&str]) {
    for sql in statements {
        let output = session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        output.collect().await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }
}

/// The error that a query ends with.
pub async fn error(session: &Session, sql: &str) -> Error {
    match session.sql(sql).await {
        Ok(output) => output.collect().await.expect_err(sql),
        Err(e) => e,
    }
}

/// DataFusion with the settings of our sessions that change what SQL means.
pub fn plain(partitions: usize) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(partitions);
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    SessionContext::new_with_config(config)
}

pub async fn theirs(context: &SessionContext, sql: &str) -> Vec<String> {
    let frame = context.sql(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    lines(&frame.collect().await.unwrap_or_else(|e| panic!("{sql}\n{e}")))
}

/// Registers what a query of ours returns as a table of plain DataFusion.
pub async fn copy_to(session: &Session, sql: &str, context: &SessionContext, name: &str) {
    let output = session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e:?}"));
    let schema = output.schema();
    let rows = output.collect().await.unwrap_or_else(|e| panic!("{sql}\n{e:?}"));
    context.register_table(name, Arc::new(MemTable::try_new(schema, vec![rows]).unwrap())).unwrap();
}

/// The newest state of `public.name`, pinned.
pub async fn state(warehouse: &Warehouse, name: &str) -> (PinnedSnapshot, Arc<TableState>) {
    let pin = warehouse.pin_newest().await.unwrap();
    let schema = pin.schema_named(DEFAULT_SCHEMA).unwrap().id;
    let state = pin.table_named(schema, name).unwrap_or_else(|| panic!("no table {name}")).clone();
    (pin, state)
}

/// A table whose rows a test has put together by hand.
#[derive(Debug)]
pub struct HandMade {
    table: Arc<ScanTable>,
    slices: u32,
}

impl HandMade {
    /// `public.name` as it is; what `alter` changes is a lie.
    pub async fn of(warehouse: &Warehouse, name: &str, alter: impl FnOnce(&mut ScanTable)) -> Arc<dyn TableProvider> {
        let (pin, state) = state(warehouse, name).await;
        let mut table = scan_table(warehouse, pin, &state).unwrap();
        alter(&mut table);
        Self::provider(table, warehouse.info().slices)
    }

    pub fn provider(table: ScanTable, slices: u32) -> Arc<dyn TableProvider> {
        let def = Arc::clone(&table.def);
        Arc::new(BlueshiftTable::new(&def, Arc::new(HandMade { table: Arc::new(table), slices })))
    }
}

impl TableSource for HandMade {
    fn read<'a>(
        &'a self,
        _: &'a dyn catalog::Session,
    ) -> BoxFuture<'a, datafusion::common::Result<(Arc<ScanTable>, u32)>> {
        ready(Ok((Arc::clone(&self.table), self.slices))).boxed()
    }

    fn sink(&self) -> Option<Arc<dyn RowSink>> {
        None
    }
}

/// Changes every segment; they are brought into the order that a table's have.
pub fn alter_segments(table: &mut ScanTable, alter: impl Fn(&mut SegmentRef)) {
    let mut segments: Vec<SegmentRef> = table.segments.iter().map(|s| SegmentRef::clone(s)).collect();
    segments.iter_mut().for_each(alter);
    segments.sort_by_key(|s| (s.slice, s.run, s.id));
    table.segments = Arc::new(segments.into_iter().map(Arc::new).collect());
}

/// Where a delete vector is to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    LogEntry,
    Object,
}

/// Deletes the rows of `public.name` for which `condition` is TRUE, in one transaction; returns how many.
pub async fn delete_where(warehouse: &Warehouse, name: &str, condition: &str, place: Place) -> Result<u64> {
    let catalog = &warehouse.inner.catalog;
    catalog.refresh().await?;
    let mut transaction = catalog.begin(warehouse.owner());
    let (pin, state) = state(warehouse, name).await;
    let mut vectors = Vec::new();
    let mut deleted = 0;
    for (sequence, segment) in state.segments.iter().enumerate() {
        let known = warehouse.inner.segments.deleted(segment).await?;
        let mut positions = known.map_or_else(RoaringBitmap::new, |known| RoaringBitmap::clone(&known));
        let before = positions.len();
        positions.extend(positions_of(warehouse, &pin, &state, segment, condition).await);
        if positions.len() == before {
            continue;
        }
        deleted += positions.len() - before;
        let bytes = delete_vector::encode(&positions)?;
        let blob = match place {
            Place::LogEntry => Blob::Inline(bytes.into()),
            Place::Object => {
                let object = transaction.object(sequence as u32);
                let len = bytes.len() as u64;
                catalog.store().objects().put(&paths::object(&object), bytes.into()).await.unwrap();
                Blob::Stored(Extent { object, offset: 0, len })
            }
        };
        vectors.push(NewDeleteVector {
            segment: segment.id,
            expected: segment.deleted,
            blob,
            rows: positions.len() as u32,
            killed: None,
        });
    }
    transaction.set_delete_vectors(&state.def, vectors);
    catalog.commit(transaction).await?;
    Ok(deleted)
}

/// The positions, dead rows included, for which `condition` is TRUE.
async fn positions_of(
    warehouse: &Warehouse,
    pin: &PinnedSnapshot,
    state: &TableState,
    segment: &SegmentRef,
    condition: &str,
) -> RoaringBitmap {
    let mut table = scan_table(warehouse, pin.clone(), state).unwrap();
    table.segments = Arc::new(vec![Arc::new(SegmentRef { deleted: None, ..segment.clone() })]);
    let context = plain(1);
    context.register_table("t", HandMade::provider(table, warehouse.info().slices)).unwrap();
    let sql = format!("select coalesce({condition}, false) from t");
    let rows = context.sql(&sql).await.unwrap().collect().await.unwrap();
    let flags = rows.iter().flat_map(|b| b.column(0).as_boolean().values().iter());
    (0u32..).zip(flags).filter(|(_, dead)| *dead).map(|(position, _)| position).collect()
}

/// Runs a query in the session's own context; its rows, and the plan with what it counted.
pub async fn measured(context: &SessionContext, sql: &str) -> (Vec<RecordBatch>, Arc<dyn ExecutionPlan>) {
    let frame = context.sql(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    let plan = frame.create_physical_plan().await.unwrap();
    let rows = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    (rows, plan)
}

/// A counter of the scan of `table`, over all partitions.
pub fn counted(plan: &Arc<dyn ExecutionPlan>, table: &str, counter: &str) -> usize {
    fn walk(plan: &Arc<dyn ExecutionPlan>, table: &str, counter: &str, sum: &mut usize) {
        let shown = datafusion::physical_plan::displayable(plan.as_ref()).one_line().to_string();
        if shown.contains(&format!("SliceScan: table={table},")) {
            let metrics = plan.metrics().unwrap_or_default();
            *sum += metrics.sum_by_name(counter).map_or(0, |v| v.as_usize());
        }
        plan.children().into_iter().for_each(|child| walk(child, table, counter, sum));
    }
    let mut sum = 0;
    walk(plan, table, counter, &mut sum);
    sum
}
