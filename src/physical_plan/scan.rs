//! The scan: a `DataSource` that reads slices.

use std::any::Any;
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::datasource::source::{DataSource, OpenArgs};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, Partitioning, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr, SortOrderPushdownResult};

use super::aggregate::Aggregation;
use super::filter::{BoundsTrust, FilterCompiler, Routing};
use super::metrics::ScanMetrics;
use super::scan_stream::ScanStream;
use super::statistics;
use super::work::{self, SharedUnits, Unit, zones_of};
use crate::catalog::model::{EffectiveDist, SegmentRef, TableDef};
use crate::common::{SqlType, Version};
use crate::distribution::SliceMap;
use crate::format::Geometry;
use crate::statistics::TableStatistics;
use crate::storage::segment::SegmentStore;

/// A table's rows at one version, as a scan sees them.
#[derive(Debug, Clone)]
pub struct ScanTable {
    pub def: Arc<TableDef>,
    /// By slice, run, position within the run.
    pub segments: Arc<Vec<Arc<SegmentRef>>>,
    /// The version, where the query names it.
    pub as_of: Option<Version>,
    /// Reads that version, and keeps its objects from being collected.
    pub store: SegmentStore,
    pub geometry: Geometry,
    /// What is known of its values beside their bounds.
    pub statistics: Option<Arc<TableStatistics>>,
    /// How far they are out of date, in hundredths of a percent.
    pub statistics_off: u32,
}

/// How a session wants its scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanOptions {
    pub slices: SliceMap,
    /// Whether the running DataFusion hashes as we do, so that a KEY table may claim `Partitioning::Hash`.
    pub claim_hash: bool,
    /// Whether filters prune; off only to test that this changes nothing.
    pub prune: bool,
}

/// Reads some columns of a table's rows that satisfy all filters.
///
/// Guarantees:
/// 1. every partition is there, also one that all was pruned of: there are always `slices.partitions()`;
/// 2. rows of a KEY table leave through the partition that its slice belongs to; those of other tables through any, as
///    partitions share the work zone by zone, but with `datafusion.execution.enable_file_stream_work_stealing` off,
///    those, too, through the partition of their slice. A partition gives the same rows each time it is executed;
/// 3. filters are answered exactly, except dynamic ones, which only ever drop rows that their producer would drop.
#[derive(Debug, Clone)]
pub struct SliceScan {
    table: Arc<ScanTable>,
    options: ScanOptions,
    /// Ordinals of the table's columns, in output order.
    projection: Vec<usize>,
    schema: SchemaRef,
    /// Conjuncts over the table's ordinals.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    /// More of them, which say of joins what `filters` say already, at less cost. They do not travel to other processes.
    key_filters: Vec<Arc<dyn PhysicalExpr>>,
    trust: BoundsTrust,
    fetch: Option<usize>,
    wanted_first: Option<WantedFirst>,
    alias: Option<Arc<str>>,
    metrics: ExecutionPlanMetricsSet,
}

/// The end of a column that the reader wants first: a TopK's filter then excludes the rest sooner. It gives no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedFirst {
    /// Ordinal in the table.
    pub column: usize,
    pub descending: bool,
}

impl SliceScan {
    /// `filters` refer to the table's columns by their ordinals, whatever is projected.
    pub fn new(
        table: Arc<ScanTable>,
        options: ScanOptions,
        projection: Vec<usize>,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        fetch: Option<usize>,
    ) -> Self {
        let schema = Arc::new(table_schema(&table.def).project(&projection).unwrap_or_else(|_| Schema::empty()));
        let metrics = ExecutionPlanMetricsSet::new();
        // As long as no dynamic filter was taken there is none to mistrust.
        let trust = BoundsTrust::All;
        let (wanted_first, alias) = (None, None);
        let key_filters = Vec::new();
        SliceScan {
            table,
            options,
            projection,
            schema,
            filters,
            key_filters,
            trust,
            fetch,
            wanted_first,
            alias,
            metrics,
        }
    }

    /// The scan of a table that the query calls by another name, if it does.
    pub fn called(self, alias: Option<Arc<str>>) -> Self {
        SliceScan { alias, ..self }
    }

    /// What the query calls the table, where that is not its name.
    pub fn alias(&self) -> Option<&Arc<str>> {
        self.alias.as_ref()
    }

    pub fn table(&self) -> &Arc<ScanTable> {
        &self.table
    }

    pub fn options(&self) -> ScanOptions {
        self.options
    }

    pub fn projection(&self) -> &[usize] {
        &self.projection
    }

    pub fn filters(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.filters
    }

    /// The same, told of a join's keys: over the table's columns by their ordinals, as the join's filter that it has taken.
    pub fn told(&self, filter: Arc<dyn PhysicalExpr>) -> Self {
        let key_filters = self.key_filters.iter().cloned().chain([filter]).collect();
        SliceScan { key_filters, ..self.clone() }
    }

    /// Whether it was told of a join's keys.
    pub(super) fn has_key_filters(&self) -> bool {
        !self.key_filters.is_empty()
    }

    /// The same over other segments of the table.
    pub(super) fn over(&self, table: Arc<ScanTable>) -> Self {
        SliceScan { table, ..self.clone() }
    }

    /// How many rows it gives at most.
    pub fn limit(&self) -> Option<usize> {
        self.fetch
    }

    /// Which end of a column its reader wants first.
    pub fn wanted_first(&self) -> Option<WantedFirst> {
        self.wanted_first
    }

    pub fn trust(&self) -> BoundsTrust {
        self.trust
    }

    /// The scan as another process planned it. `wanted_first` names a column of the table.
    pub fn planned(self, wanted_first: Option<WantedFirst>, trust: BoundsTrust) -> Self {
        SliceScan { wanted_first, trust, ..self }
    }

    /// The ordinal of the distribution key, if rows are placed by one.
    pub fn key(&self) -> Option<usize> {
        match self.table.def.effective_dist {
            EffectiveDist::Key(id) => self.table.def.columns.iter().position(|c| c.id == id),
            EffectiveDist::Even | EffectiveDist::All => None,
        }
    }

    /// The zones of the slices that belong to `partition`, which it reads by itself.
    fn own_units(&self, partition: usize) -> VecDeque<Unit> {
        let own = |s: &&Arc<SegmentRef>| self.options.slices.partition_of(s.slice) == partition;
        self.units(self.table.segments.iter().filter(own), usize::MAX)
    }

    /// All zones in pieces small enough that every partition gets some.
    fn shared_units(&self) -> VecDeque<Unit> {
        let zones: usize = self.table.segments.iter().map(|s| zones_of(s, self.table.geometry)).sum();
        self.units(self.table.segments.iter(), (zones / (self.options.slices.partitions() * 4)).max(1))
    }

    fn units<'a>(&self, segments: impl Iterator<Item = &'a Arc<SegmentRef>>, max_zones: usize) -> VecDeque<Unit> {
        let segments: Vec<_> = segments.collect();
        let geometry = self.table.geometry;
        let mut units = work::units(&segments, geometry, max_zones.min(geometry.zones_per_chunk()));
        if let Some(wanted) = self.wanted_first {
            let key = |unit: &Unit| self.reach(unit, wanted).unwrap_or(f64::INFINITY);
            units.make_contiguous().sort_by(|a, b| key(a).total_cmp(&key(b)));
        }
        units
    }

    /// Where in the order wanted a unit begins, by the catalog's bounds: within a segment that is sorted by the
    /// column, values are taken to be spread evenly.
    fn reach(&self, unit: &Unit, wanted: WantedFirst) -> Option<f64> {
        let id = self.table.def.columns[wanted.column].id;
        let bounds = &unit.segment.columns.iter().find(|c| c.id == id)?.bounds;
        let (min, max) = (statistics::number(bounds.min.as_ref()?)?, statistics::number(bounds.max.as_ref()?)?);
        let sorted = self.table.def.sort.as_ref().is_some_and(|sort| sort.ascending().first() == Some(&id));
        let zones = zones_of(&unit.segment, self.table.geometry);
        let at = |zone: usize| min + (max - min) * (zone as f64 / zones as f64);
        Some(match (wanted.descending, sorted) {
            (true, true) => -at(unit.zones.end),
            (true, false) => -max,
            (false, true) => at(unit.zones.start),
            (false, false) => min,
        })
    }

    /// The order that each partition's rows leave in, where one slice and one run make it up: never one of an interleaved
    /// sort key, by none of whose columns they ascend.
    fn ordering(&self) -> Option<LexOrdering> {
        if self.wanted_first.is_some() {
            return None;
        }
        let sort = self.table.def.sort.as_ref()?;
        if self.key().is_none() || self.options.slices.partitions() != self.options.slices.slices() as usize {
            return None;
        }
        let mut seen = std::collections::HashMap::new();
        let one_run = self.table.segments.iter().all(|s| *seen.entry(s.slice).or_insert(s.run) == s.run);
        if !one_run {
            return None;
        }
        let mut order = Vec::new();
        for id in sort.ascending() {
            let ordinal = self.table.def.columns.iter().position(|c| c.id == *id)?;
            // Rows ordered by (a, b) are ordered by what is projected of a prefix.
            let Some(at) = self.projection.iter().position(|p| *p == ordinal) else { break };
            let column = Arc::new(Column::new(&self.table.def.columns[ordinal].name, at));
            let options = arrow::compute::SortOptions { descending: false, nulls_first: false };
            order.push(PhysicalSortExpr::new(column, options));
        }
        LexOrdering::new(order)
    }

    fn stream(&self, partition: usize, work: VecDeque<Unit>, context: &TaskContext) -> Result<ScanStream> {
        let types: Vec<SqlType> = self.table.def.columns.iter().map(|c| c.sql_type).collect();
        let routing = Routing {
            partition,
            partitions: self.options.slices.partitions(),
            key: if self.options.claim_hash { self.key() } else { None },
        };
        let filtered = self.filters.iter().flat_map(collect_columns).map(|c| c.index());
        let used: BTreeSet<usize> = self.projection.iter().copied().chain(filtered).collect();
        let named: Vec<(usize, &str)> =
            used.into_iter().map(|c| (c, self.table.def.columns[c].name.as_str())).collect();
        let metrics = ScanMetrics::new(&self.metrics, partition, &named);
        let filters = self.filters.iter().chain(&self.key_filters).cloned().collect();
        let compiler = FilterCompiler::new(filters, types, routing, self.trust);
        Ok(ScanStream::new(
            Arc::clone(&self.table),
            self.options,
            self.projection.clone(),
            Arc::clone(&self.schema),
            compiler,
            self.key(),
            work,
            metrics,
            context.session_config().batch_size(),
            self.fetch,
            self.wanted_first,
        ))
    }

    fn rows(&self, partition: usize, work: VecDeque<Unit>, context: &TaskContext) -> Result<SendableRecordBatchStream> {
        let stream = self.stream(partition, work, context)?;
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream.into_stream())))
    }

    /// The states of the groups of a partition's rows, of `schema`. `shared` is what all partitions of one execution share.
    pub(super) fn aggregated(
        &self,
        partition: usize,
        shared: Option<&SharedUnits>,
        aggregation: Aggregation,
        schema: SchemaRef,
        context: &TaskContext,
    ) -> Result<SendableRecordBatchStream> {
        let work = match shared {
            Some(units) => self.share(units, partition),
            None => self.own_units(partition),
        };
        let stream = self.stream(partition, work, context)?.aggregating(aggregation);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream.into_stream())))
    }

    /// The zones of all slices, where partitions share them: those of EVEN and ALL tables, unless they may be polled in
    /// separate processes, where each would take all of its own copy.
    pub(super) fn shared_work(&self, config: &ConfigOptions) -> Option<Arc<SharedUnits>> {
        let shared = self.key().is_none() && config.execution.enable_file_stream_work_stealing;
        shared.then(|| Arc::new(self.shared_units()))
    }

    /// A partition's part of the shared units.
    fn share(&self, units: &SharedUnits, partition: usize) -> VecDeque<Unit> {
        units.iter().skip(partition).step_by(self.options.slices.partitions()).cloned().collect()
    }

    /// A conjunct over our output, over the table's ordinals instead.
    fn to_table_ordinals(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        expr.transform_down(|e| {
            let Some(column) = e.downcast_ref::<Column>() else { return Ok(Transformed::no(e)) };
            let ordinal = self.projection.get(column.index()).copied().ok_or_else(|| {
                DataFusionError::Internal(format!("filter on column {column} of a scan of {}", self.schema))
            })?;
            Ok(Transformed::yes(Arc::new(Column::new(column.name(), ordinal)) as _))
        })
        .data()
    }
}

impl DataSource for SliceScan {
    fn open(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.rows(partition, self.own_units(partition), &context)
    }

    fn create_sibling_state(&self, config: &ConfigOptions) -> Option<Arc<dyn Any + Send + Sync>> {
        self.shared_work(config).map(|units| units as _)
    }

    fn open_with_args(&self, args: OpenArgs) -> Result<SendableRecordBatchStream> {
        match args.sibling_state.and_then(|state| state.downcast::<SharedUnits>().ok()) {
            Some(units) => self.rows(args.partition, self.share(&units, args.partition), &args.context),
            None => self.open(args.partition, args.context),
        }
    }

    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let def = &self.table.def;
        let columns: Vec<&str> = self.projection.iter().map(|i| def.columns[*i].name.as_str()).collect();
        let dist = match (self.table.def.effective_dist, self.key()) {
            (EffectiveDist::Even, _) => "EVEN".to_string(),
            (EffectiveDist::All, _) => "ALL".to_string(),
            (EffectiveDist::Key(_), Some(key)) => format!("KEY({})", def.columns[key].name),
            (EffectiveDist::Key(_), None) => "KEY".to_string(),
        };
        let filters: Vec<String> = self.filters.iter().map(|e| e.to_string()).collect();
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                let version = self.table.as_of.map(|version| format!(", version={version}")).unwrap_or_default();
                let slices = self.options.slices.slices();
                write!(f, "SliceScan: table={}{version}, dist={dist}, slices={slices}", def.name)?;
                write!(f, ", segments={}, columns=[{}]", self.table.segments.len(), columns.join(", "))?;
                if !filters.is_empty() {
                    write!(f, ", filters=[{}]", filters.join(", "))?;
                }
                if let Some(fetch) = self.fetch {
                    write!(f, ", fetch={fetch}")?;
                }
                Ok(())
            }
            DisplayFormatType::TreeRender => {
                writeln!(f, "table={}", def.name)?;
                if let Some(version) = self.table.as_of {
                    writeln!(f, "version={version}")?;
                }
                writeln!(f, "dist={dist}")?;
                if !filters.is_empty() {
                    writeln!(f, "filters={}", filters.join(" AND "))?;
                }
                Ok(())
            }
        }
    }

    fn output_partitioning(&self) -> Partitioning {
        let partitions = self.options.slices.partitions();
        let key = self.key().and_then(|key| self.projection.iter().position(|p| *p == key));
        match key {
            Some(at) if self.options.claim_hash => {
                let column = Arc::new(Column::new(self.schema.field(at).name(), at));
                Partitioning::Hash(vec![column], partitions)
            }
            _ => Partitioning::UnknownPartitioning(partitions),
        }
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        EquivalenceProperties::new_with_orderings(Arc::clone(&self.schema), self.ordering())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let whole = statistics::scan_statistics(&self.table, &self.projection, &self.filters, self.fetch)?;
        Ok(Arc::new(match partition {
            None => whole,
            Some(_) => statistics::share(whole, self.options.slices.partitions()),
        }))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        Some(Arc::new(SliceScan { fetch: limit, ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.metrics.clone()
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn DataSource>>> {
        let mut ordinals = Vec::new();
        for item in projection.iter() {
            // Only plain columns under their own names: the rest is computed above us.
            match item.expr.downcast_ref::<Column>() {
                Some(column) if self.schema.field(column.index()).name() == &item.alias => {
                    ordinals.push(self.projection[column.index()]);
                }
                _ => return Ok(None),
            }
        }
        let scan = SliceScan::new(Arc::clone(&self.table), self.options, ordinals, self.filters.clone(), self.fetch);
        let scan = scan.called(self.alias.clone());
        let key_filters = self.key_filters.clone();
        Ok(Some(Arc::new(SliceScan { key_filters, wanted_first: self.wanted_first, trust: self.trust, ..scan })))
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn DataSource>>> {
        // A limit below a filter would change which rows the filter sees.
        if self.fetch.is_some() || filters.is_empty() {
            return Ok(FilterPushdownPropagation::with_parent_pushdown_result(vec![PushedDown::No; filters.len()]));
        }
        let mut taken = self.filters.clone();
        let mut answers = Vec::with_capacity(filters.len());
        for filter in filters {
            if datafusion::physical_expr_common::physical_expr::is_volatile(&filter) {
                answers.push(PushedDown::No);
            } else {
                taken.push(self.to_table_ordinals(filter)?);
                answers.push(PushedDown::Yes);
            }
        }
        let trust = match config.optimizer.enable_aggregate_dynamic_filter_pushdown {
            true => BoundsTrust::None,
            false => self.trust,
        };
        let scan: Arc<dyn DataSource> = Arc::new(SliceScan { filters: taken, trust, ..self.clone() });
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(answers).with_updated_node(scan))
    }

    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn DataSource>>> {
        let first = order.first().and_then(|first| Some((first.expr.downcast_ref::<Column>()?, first.options)));
        let Some((column, options)) = first.filter(|_| self.options.prune) else {
            return Ok(SortOrderPushdownResult::Unsupported);
        };
        let claimed = self
            .ordering()
            .is_some_and(|o| o.first().expr.downcast_ref::<Column>() == Some(column) && !options.descending);
        if claimed {
            return Ok(SortOrderPushdownResult::Unsupported);
        }
        let wanted = WantedFirst { column: self.projection[column.index()], descending: options.descending };
        let scan = SliceScan { wanted_first: Some(wanted), ..self.clone() };
        Ok(SortOrderPushdownResult::Inexact { inner: Arc::new(scan) })
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        // A hash join builds a dynamic filter only if it finds the filter here.
        for filter in self.filters.iter().chain(&self.key_filters) {
            if f(filter)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }
}

/// The table's columns as queries see them.
pub fn table_schema(def: &TableDef) -> Schema {
    Schema::new(def.columns.iter().map(|c| c.sql_type.field(&c.name, c.nullable)).collect::<Vec<_>>())
}
