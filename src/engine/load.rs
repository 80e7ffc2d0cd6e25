//! Rows into a table: taken from any number of streams, placed, sorted, encoded, committed.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::runtime::JoinSet;
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use parking_lot::Mutex;

use super::coerce::Coercion;
use super::error::from_datafusion;
use super::names::no_such_table;
use super::warehouse::Warehouse;
use crate::catalog::{EffectiveDist, TableDef, TableState, Transaction};
use crate::common::{DistStyle, Error, ErrorKind, Result, TableId, UserId};
use crate::physical_plan::load::RowSink;
use crate::storage::loader::{ObjectNames, choose_run, emptiest_slice, store_rows};
use crate::storage::writer::{LoadLayout, SliceSorter, auto_distribution};

/// How often a load is committed anew when another transaction changed the table's definition under it.
const ATTEMPTS: usize = 5;

/// One load in progress: rows are gathered, then stored and added to a transaction.
#[derive(Debug)]
pub struct Load {
    warehouse: Warehouse,
    table: TableState,
    coercion: Arc<Coercion>,
    sorter: Arc<Mutex<SliceSorter>>,
}

impl Load {
    /// Into `table`; `source[i]` is the streams' column for the table's `i`-th.
    pub fn new(warehouse: &Warehouse, table: &TableState, source: Vec<usize>) -> Result<Self> {
        let layout = layout(warehouse, table, &table.def)?;
        Ok(Load {
            warehouse: warehouse.clone(),
            table: table.clone(),
            coercion: Arc::new(Coercion::new(Arc::clone(&table.def), source)),
            sorter: Arc::new(Mutex::new(SliceSorter::new(layout)?)),
        })
    }

    /// Takes all rows of all streams, each on a task of its own.
    pub async fn take(&self, streams: Vec<SendableRecordBatchStream>) -> Result<()> {
        let mut tasks: JoinSet<Result<()>> = JoinSet::new();
        for mut stream in streams {
            let types: Vec<_> = stream.schema().fields().iter().map(|f| f.data_type().clone()).collect();
            self.coercion.check_types(&types)?;
            let (coercion, sorter) = (Arc::clone(&self.coercion), Arc::clone(&self.sorter));
            tasks.spawn(async move {
                while let Some(batch) = stream.next().await {
                    let rows = coercion.coerce(&batch.map_err(from_datafusion)?)?;
                    sorter.lock().push(rows)?;
                }
                Ok(())
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.map_err(|e| Error::internal(format!("a load's task: {e}")))??;
        }
        Ok(())
    }

    /// Rows taken.
    pub fn rows(&self) -> u64 {
        self.sorter.lock().total_rows()
    }

    /// Stores the rows and adds them to `transaction`. An AUTO table that has outgrown its distribution gets another.
    pub async fn store(self, transaction: &mut Transaction, created: Option<TableDef>) -> Result<Vec<String>> {
        let Load { warehouse, table, sorter, .. } = self;
        let mut sorter =
            Arc::into_inner(sorter).ok_or_else(|| Error::internal("a load's task still holds its rows"))?.into_inner();
        let mut notices = Vec::new();
        let mut def = TableDef::clone(created.as_ref().unwrap_or(&table.def));
        let rows = table.stored_rows() + sorter.total_rows();
        let stored: u64 = table.segments.iter().flat_map(|s| &s.columns).map(|c| c.bytes).sum();
        let now = auto_distribution(&def, rows, stored + sorter.memory_bytes() as u64);
        if now != def.effective_dist && def.dist == DistStyle::Auto && def.effective_dist == EffectiveDist::All {
            notices.push(format!(
                "table \"{}\" has outgrown DISTSTYLE ALL ({rows} rows) and is now distributed {}; name a DISTSTYLE to decide it yourself",
                def.name,
                dist_word(&def, now)
            ));
            def.effective_dist = now;
            if created.is_none() {
                def.definition_version += 1;
                transaction.alter_table(def.clone());
            }
            sorter.replace_layout(layout(&warehouse, &table, &def)?)?;
        }
        let id = match created {
            Some(_) => transaction.create_table(def.clone()),
            None => def.id,
        };
        def.id = id;
        let store = Arc::clone(warehouse.inner.catalog.store().objects());
        let mut names = {
            let (base, txn) = (transaction.base(), transaction.id());
            ObjectNames::new(move |sequence| crate::catalog::ObjectId::Data { start: base, txn, sequence })
        };
        let mut segments = store_rows(sorter, &store, &mut names, warehouse.inner.threads).await?;
        let run = choose_run(&table, &segments);
        segments.iter_mut().for_each(|s| s.run = run);
        if !segments.is_empty() {
            transaction.append(&def, segments);
        }
        Ok(notices)
    }
}

fn layout(warehouse: &Warehouse, table: &TableState, def: &TableDef) -> Result<LoadLayout> {
    let slices = warehouse.info().slices;
    LoadLayout::new(def, warehouse.geometry()?, slices, emptiest_slice(table, slices))
}

/// `EVEN`, `ALL` or `KEY(column)`.
pub fn dist_word(def: &TableDef, dist: EffectiveDist) -> String {
    match dist {
        EffectiveDist::Even => "EVEN".into(),
        EffectiveDist::All => "ALL".into(),
        EffectiveDist::Key(id) => format!("KEY({})", def.column(id).map_or("?", |c| c.name.as_str())),
    }
}

/// Takes rows that a DataFusion plan inserts, in a transaction of their own.
#[derive(Debug)]
pub struct TableSink {
    warehouse: Warehouse,
    table: TableId,
    name: String,
}

impl TableSink {
    pub fn new(warehouse: Warehouse, table: TableId, name: String) -> Self {
        TableSink { warehouse, table, name }
    }

    async fn load_once(&self, streams: Vec<SendableRecordBatchStream>) -> Result<u64> {
        self.warehouse.inner.catalog.refresh().await?;
        let mut transaction = self.warehouse.inner.catalog.begin(self.author());
        let table = transaction
            .snapshot()
            .and_then(|s| s.table(self.table).cloned())
            .ok_or_else(|| no_such_table(&self.name))?;
        let load = Load::new(&self.warehouse, &table, (0..table.def.columns.len()).collect())?;
        load.take(streams).await?;
        let rows = load.rows();
        load.store(&mut transaction, None).await?;
        self.warehouse.inner.catalog.commit(transaction).await?;
        Ok(rows)
    }

    fn author(&self) -> UserId {
        self.warehouse.owner()
    }
}

#[async_trait]
impl RowSink for TableSink {
    fn table(&self) -> String {
        self.name.clone()
    }

    async fn load(&self, streams: Vec<SendableRecordBatchStream>) -> DfResult<u64> {
        self.load_once(streams).await.map_err(|e| DataFusionError::External(Box::new(e)))
    }
}

/// Runs a statement of its own transaction again while it meets conflicts: nobody has seen anything of it.
pub async fn retry_conflicts<T, F: Future<Output = Result<T>>>(mut statement: impl FnMut() -> F) -> Result<T> {
    let mut attempt = 1;
    loop {
        match statement().await {
            Err(e) if e.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => attempt += 1,
            outcome => return outcome,
        }
    }
}
