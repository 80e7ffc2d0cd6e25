//! A Blueshift table as DataFusion sees it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::hash_utils::create_hashes;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Constraint, Constraints, DFSchema, DataFusionError, Result};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_plan::repartition::REPARTITION_RANDOM_STATE;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use futures::future::BoxFuture;

use super::config::BlueshiftOptions;
use super::estimate::{Estimate, TableView};
use super::filter::{BoundsTrust, CompiledFilter, FilterCompiler, Routing};
use super::load::{LoadExec, RowSink};
use super::scan::{ScanOptions, ScanTable, SliceScan, table_schema};
use crate::catalog::{ConstraintDef, SegmentRef, TableDef};
use crate::common::{ColumnId, Version};
use crate::distribution::SliceMap;
use crate::distribution::slice_hash::golden_arrays;

/// Gives a table's rows at the version that a scan is to read, and takes new ones.
pub trait TableSource: fmt::Debug + Send + Sync {
    /// The rows at the version that `session` reads, and into how many slices the warehouse spreads them.
    fn read<'a>(&'a self, session: &'a dyn Session) -> BoxFuture<'a, Result<(Arc<ScanTable>, u32)>>;

    /// The same, as far as it is known while planning: at the version that the statement of `options` reads. `None` where
    /// there is no statement, it has not come across the warehouse, or the table has other columns by now.
    fn planned(&self, _options: &ConfigOptions) -> Option<Arc<ScanTable>> {
        None
    }

    /// Rows to estimate by: those of [`TableSource::planned`], else those of the newest version known.
    fn estimated(&self, options: &ConfigOptions) -> Option<Arc<ScanTable>> {
        self.planned(options)
    }

    /// The definition at that version, with the warehouse's identity; `None` as for [`TableSource::planned`].
    fn definition(&self, _options: &ConfigOptions) -> Option<(u128, Arc<TableDef>)> {
        None
    }

    /// The warehouse, by which another process finds it; `None` for rows that no other process can read.
    fn warehouse(&self) -> Option<u128> {
        None
    }

    /// The version that it gives to whoever reads it; `None` where each statement has its own.
    fn version(&self) -> Option<Version> {
        None
    }

    /// Notes that a query uses a column, by its ordinal; `how` are bits of [`Use`](crate::statistics::Use).
    fn note_use(&self, _ordinal: usize, _how: u8) {}

    /// Whether the statement of `options` is to be told what it reads.
    fn watches_reads(&self, _options: &ConfigOptions) -> bool {
        false
    }

    /// Notes that the statement of `options` reads the rows that `filter` does not disprove.
    fn note_read(&self, _options: &ConfigOptions, _filter: Disproof) {}

    /// Where inserted rows go; `None` when the table only reads.
    fn sink(&self) -> Option<Arc<dyn RowSink>>;
}

/// A `TableProvider` over a [`TableSource`]. It is right in any `SessionContext`, with or without Blueshift's rules.
#[derive(Debug, Clone)]
pub struct BlueshiftTable {
    schema: SchemaRef,
    def: Arc<TableDef>,
    source: Arc<dyn TableSource>,
    alias: Option<Arc<str>>,
    keys: Option<Constraints>,
}

/// Filters, by which the catalog's bounds may show that a table holds no row that passes.
#[derive(Debug)]
pub struct Disproof {
    filter: CompiledFilter,
}

impl Disproof {
    /// Whether it is proven that no row of `table` passes. `table` has the columns of the table that it was made for.
    pub fn holds(&self, table: &ScanTable) -> bool {
        table.segments.iter().all(|segment| self.holds_of(&table.def, segment))
    }

    /// The same of a segment of such a table.
    pub fn holds_of(&self, def: &TableDef, segment: &SegmentRef) -> bool {
        self.filter.never || self.filter.refutes_segment(def, segment)
    }
}

impl BlueshiftTable {
    /// The columns are those of `def` for the provider's life.
    pub fn new(def: &Arc<TableDef>, source: Arc<dyn TableSource>) -> Self {
        BlueshiftTable { schema: Arc::new(table_schema(def)), def: Arc::clone(def), source, alias: None, keys: None }
    }

    /// The table where a query calls it by another name, which its scans then tell.
    pub fn called(&self, alias: &str) -> Self {
        BlueshiftTable { alias: Some(alias.into()), ..self.clone() }
    }

    /// What a query calls it, where that is not its name.
    pub fn alias(&self) -> Option<&str> {
        self.alias.as_deref()
    }

    /// See [`TableSource::warehouse`].
    pub fn warehouse(&self) -> Option<u128> {
        self.source.warehouse()
    }

    /// See [`TableSource::version`].
    pub fn version(&self) -> Option<Version> {
        self.source.version()
    }

    /// The table as it was when it was looked up.
    pub fn def(&self) -> &TableDef {
        &self.def
    }

    /// The table as a plan of one statement sees it that may believe its keys: those whose columns are NOT NULL, of
    /// constraints of `def` that are RELY or VERIFIED. Without `def`, it believes none.
    ///
    /// DataFusion takes a UNIQUE for true of rows with NULL, too, when it groups and sorts by it, so that one whose columns
    /// may be NULL is not told. What it makes of a key beyond joins is not always right either: see
    /// `optimizer/keys.rs`, which calls this.
    pub fn believing(&self, def: Option<&TableDef>) -> Self {
        let keys = def.map_or_else(Vec::new, |def| {
            let trusted = def.constraints.iter().filter(|c| c.is_key() && c.is_trusted());
            let plain = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
            let ordinals = |c: &ConstraintDef| -> Option<Vec<usize>> {
                let column = |id: &ColumnId| {
                    let ordinal = def.columns.iter().position(|c| c.id == *id)?;
                    let column = &def.columns[ordinal];
                    // DataFusion follows columns by what expressions are called.
                    (!column.nullable && plain(&column.name)).then_some(ordinal)
                };
                c.columns.iter().map(column).collect()
            };
            trusted.filter_map(ordinals).map(Constraint::PrimaryKey).collect()
        });
        let keys = (!keys.is_empty()).then(|| Constraints::new_unverified(keys));
        BlueshiftTable { keys, ..self.clone() }
    }

    /// Whether it believes any key.
    pub fn believes(&self) -> bool {
        self.keys.is_some()
    }

    /// The definition at the version that a statement reads, with the warehouse's identity: see
    /// [`TableSource::definition`].
    pub fn definition(&self, options: &ConfigOptions) -> Option<(u128, Arc<TableDef>)> {
        self.source.definition(options)
    }

    /// The rows that a statement reads, if that is known already.
    pub fn planned(&self, options: &ConfigOptions) -> Option<Arc<ScanTable>> {
        self.source.planned(options)
    }

    /// Rows to estimate by, of which nothing may be taken for true of those that are read.
    pub fn estimated(&self, options: &ConfigOptions) -> Option<Arc<ScanTable>> {
        self.source.estimated(options)
    }

    /// Notes that a query uses a column: see [`TableSource::note_use`].
    pub fn note_use(&self, ordinal: usize, how: u8) {
        self.source.note_use(ordinal, how);
    }

    /// For rules that choose among plans: what is left of the table's rows, at the version that the statement of `options`
    /// reads or at the newest known, after `filters`, which name its columns with any qualifier or none. `None` where
    /// neither is known.
    ///
    /// Errors: those of an expression that is none over the table's columns.
    pub fn estimate(&self, options: &ConfigOptions, filters: &[Expr]) -> Result<Option<Estimate>> {
        let Some(table) = self.estimated(options) else { return Ok(None) };
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let physical = |filter: &Expr| {
            let bare = filter.clone().transform(|e| match e {
                Expr::Column(column) => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))),
                other => Ok(Transformed::no(other)),
            });
            create_physical_expr(&bare.data()?, &schema, &ExecutionProps::new(), &Default::default())
        };
        let filters = filters.iter().map(physical).collect::<Result<Vec<_>>>()?;
        Ok(Some(TableView::new(&table).estimate(&filters)))
    }

    /// Whether the statement of `options` is to be told what it reads.
    pub fn watches_reads(&self, options: &ConfigOptions) -> bool {
        self.source.watches_reads(options)
    }

    /// Notes that a statement reads the table's rows that make all `filters` true, where it is to be told: be it that they are
    /// known not to be there.
    pub fn note_read(&self, options: &ConfigOptions, filters: &[Arc<dyn PhysicalExpr>]) -> Result<()> {
        if self.watches_reads(options) {
            self.source.note_read(options, self.disproof(filters.to_vec())?);
        }
        Ok(())
    }

    /// What can show that no row makes all `filters` true, which are over the table's columns by their ordinals.
    pub fn disproof(&self, filters: Vec<Arc<dyn PhysicalExpr>>) -> Result<Disproof> {
        let routing = Routing { partition: 0, partitions: 1, key: None };
        let types = self.def.columns.iter().map(|c| c.sql_type).collect();
        let compiler = FilterCompiler::new(filters, types, routing, BoundsTrust::All);
        Ok(Disproof { filter: compiler.compile()? })
    }
}

#[async_trait]
impl TableProvider for BlueshiftTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn constraints(&self) -> Option<&Constraints> {
        self.keys.as_ref()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match filter.is_volatile() || has_subquery(filter) {
                true => TableProviderFilterPushDown::Unsupported,
                false => TableProviderFilterPushDown::Exact,
            })
            .collect())
    }

    fn scan<'s, 'q, 'p, 'e, 'f>(
        &'s self,
        state: &'q dyn Session,
        projection: Option<&'p Vec<usize>>,
        filters: &'e [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>>
    where
        's: 'f,
        'q: 'f,
        'p: 'f,
        'e: 'f,
    {
        self.plan(state, projection, filters, limit)
    }

    async fn insert_into(
        &self,
        _state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        insert_op: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if insert_op != InsertOp::Append {
            return Err(DataFusionError::NotImplemented(format!(
                "{insert_op} into a Blueshift table; use INSERT INTO"
            )));
        }
        let sink = self
            .source
            .sink()
            .ok_or_else(|| DataFusionError::NotImplemented("this Blueshift table can only be read".into()))?;
        Ok(Arc::new(LoadExec::new(input, sink)))
    }
}

impl BlueshiftTable {
    fn plan<'a>(
        &'a self,
        state: &'a dyn Session,
        projection: Option<&'a Vec<usize>>,
        filters: &'a [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'a, Result<Arc<dyn ExecutionPlan>>> {
        Box::pin(async move {
            let read = self.source.read(state).await?;
            self.scan_of(read, state, projection, filters, limit)
        })
    }

    fn scan_of(
        &self,
        (table, slices): (Arc<ScanTable>, u32),
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if table_schema(&table.def) != *self.schema {
            return Err(DataFusionError::Plan(format!(
                "table \"{}\" was altered since it was looked up: look it up again",
                table.def.name
            )));
        }
        let slices = SliceMap::for_target(slices, state.config().target_partitions())
            .map_err(|e| DataFusionError::External(Box::new(e)))?;
        let ours = state.config_options().extensions.get::<BlueshiftOptions>();
        let options = ScanOptions {
            slices,
            // Without Blueshift's rules, joins of rows in place may wait for each other for ever.
            claim_hash: ours.is_some() && table.def.hash_is_known() && datafusion_hashes_alike(),
            prune: ours.is_none_or(|o| o.pruning),
        };
        let df_schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let filters = filters
            .iter()
            .map(|filter| state.create_physical_expr(filter.clone(), &df_schema))
            .collect::<Result<Vec<_>>>()?;
        self.note_read(state.config_options(), &filters)?;
        let projection = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let scan = SliceScan::new(table, options, projection, filters, limit);
        Ok(DataSourceExec::from_data_source(scan.called(self.alias.clone())))
    }
}

/// Whether the running DataFusion partitions by the hash that places our rows. Asked once a process.
///
/// Where it does not (another version, or its feature `force_hash_collisions`), a claim of `Partitioning::Hash` would
/// lose rows, and scans make none.
pub fn datafusion_hashes_alike() -> bool {
    static ALIKE: OnceLock<bool> = OnceLock::new();
    *ALIKE.get_or_init(|| {
        hashes_alike(&|array, hashes| {
            create_hashes([array], REPARTITION_RANDOM_STATE.random_state(), hashes).map(|_| ())
        })
    })
}

/// Whether `hash` gives the golden vectors.
pub fn hashes_alike(hash: &dyn Fn(&arrow::array::ArrayRef, &mut [u64]) -> Result<()>) -> bool {
    golden_arrays().iter().all(|(array, golden)| {
        let mut hashes = vec![0; array.len()];
        hash(array, &mut hashes).is_ok() && hashes == *golden
    })
}

fn has_subquery(expr: &Expr) -> bool {
    let mut found = false;
    let walked = expr.apply(|e| {
        found |= matches!(
            e,
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::OuterReferenceColumn(..)
        );
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || walked.is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_datafusion_hashes_alike() {
        assert!(datafusion_hashes_alike());
    }

    #[test]
    fn another_function_is_noticed() {
        assert!(!hashes_alike(&|array, hashes| {
            create_hashes([array], REPARTITION_RANDOM_STATE.random_state(), hashes)?;
            hashes.iter_mut().for_each(|h| *h ^= 1);
            Ok(())
        }));
        assert!(!hashes_alike(&|_, hashes| {
            hashes.fill(0);
            Ok(())
        }));
    }
}
