//! System tables: the warehouse's layout as tables that SQL can read, named and shaped as Redshift's.
//!
//! Columns have Redshift's names, order and types. Where Redshift measures something that has no counterpart here, the
//! column holds the constant or NULL that its table's documentation names. Columns of our own come after Redshift's.
//! Every table shows the version of the warehouse that the statement reads, and is computed when the scan is planned. The
//! session's temporary tables are among the others: their numbers stand above 2^30, and their schema is pg_temp_N.
//!
//! NULL stands only for what does not exist yet: privileges (`*_acl`), loads without a log (`risk_event`), VACUUM REINDEX
//! (`last_reindex`), and for what has no meaning here.

mod blocks;
mod classes;
mod columns;
mod constraints;
mod context;
mod descriptions;
mod grid;
mod information;
mod interleaved;
mod listed;
mod loads;
mod log;
mod slices;
mod source_types;
mod statistics;
mod table_ddl;
mod table_info;
mod transfers;
mod unload_log;
mod zones;

pub use table_ddl::table_ddl;
pub use table_info::diststyle;

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result as DfResult, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;

pub use blocks::count as count_blocks;
pub use loads::{LoadRecord, LoadedFile, RefusedColumn, RefusedField, RefusedRow, ReplacedText};
pub use log::{AlertRecord, QueryRecord, ScanRecord, StepRecord, VacuumProgress, VacuumRecord};
pub use transfers::{TransferKind, TransferState};
pub use unload_log::UnloadRecord;

pub use columns::{ShownColumn, shown_columns};
pub use context::{Database, Home, Listed, Needs, Relation, RelationColumn, RelationKind, SystemContext, SystemSource};

use crate::catalog::{Schema as CatalogSchema, Snapshot, TableState};
use crate::common::Result;

/// The schema that holds the system tables; they are found without naming it, too.
pub const SCHEMA: &str = "pg_catalog";

/// The schema of the standard's tables about what there is.
pub const INFORMATION_SCHEMA: &str = "information_schema";

/// The system tables' names.
pub const TABLES: [&str; 48] = [
    "pg_attrdef",
    "pg_attribute",
    "pg_class",
    "pg_class_info",
    "pg_constraint",
    "pg_description",
    "pg_namespace",
    "pg_statistic_indicator",
    "pg_table_def",
    "pg_tables",
    "pg_type",
    "pg_views",
    "predicate_columns",
    "stl_alert_event_log",
    "stl_explain",
    "stl_load_commits",
    "stl_load_errors",
    "stl_loaderror_detail",
    "stl_query",
    "stl_querytext",
    "stl_replacements",
    "stl_scan",
    "stl_unload_log",
    "stl_vacuum",
    "stv_blocklist",
    "stv_load_state",
    "stv_slices",
    "stv_tbl_perm",
    "stv_unload_state",
    "stv_zonelist",
    "svl_qlog",
    "svl_query_summary",
    "svv_all_columns",
    "svv_all_schemas",
    "svv_all_tables",
    "svv_columns",
    "svv_interleaved_columns",
    "svv_load_history",
    "svv_redshift_columns",
    "svv_redshift_databases",
    "svv_redshift_schemas",
    "svv_redshift_tables",
    "svv_source_types",
    "svv_table_info",
    "svv_tables",
    "svv_vacuum_progress",
    "svv_vacuum_summary",
    "v_generate_tbl_ddl",
];

/// The tables of information_schema that are ours; DataFusion has others.
pub const INFORMATION_TABLES: [&str; 5] = ["columns", "key_column_usage", "table_constraints", "tables", "views"];

/// The tables of some schemas that an unqualified name is looked up in, with their schemas.
pub fn tables_of<'a>(
    snapshot: &'a Snapshot,
    schemas: &'a [String],
) -> impl Iterator<Item = (&'a CatalogSchema, &'a Arc<TableState>)> {
    schemas.iter().filter_map(|name| snapshot.schema_named(name)).flat_map(move |schema| {
        snapshot.table_names(schema.id).filter_map(move |(_, id)| Some((schema, snapshot.table(id)?)))
    })
}

/// The system table of that name, if it is one.
pub fn table(name: &str, source: Arc<dyn SystemSource>) -> Option<Arc<dyn TableProvider>> {
    let kind = Kind::ALL[..TABLES.len()].iter().find(|kind| kind.name() == name)?;
    Some(Arc::new(SystemTable { kind: *kind, schema: Arc::new(kind.schema()), source }))
}

/// The same of [`INFORMATION_TABLES`].
pub fn information_table(name: &str, source: Arc<dyn SystemSource>) -> Option<Arc<dyn TableProvider>> {
    let kind = Kind::ALL[TABLES.len()..].iter().find(|kind| kind.name() == name)?;
    Some(Arc::new(SystemTable { kind: *kind, schema: Arc::new(kind.schema()), source }))
}

/// The name of a system table, or of one of [`INFORMATION_TABLES`].
pub fn name_of(provider: &dyn TableProvider) -> Option<&'static str> {
    provider.downcast_ref::<SystemTable>().map(|table| table.kind.name())
}

/// All of them as relations, of one schema each, with or without columns.
pub fn listed(with_columns: bool) -> [(&'static str, Vec<Relation>); 2] {
    let relation = |kind: &Kind| Relation {
        name: kind.name().into(),
        kind: RelationKind::System,
        oid: None,
        query: None,
        definition: None,
        remarks: None,
        columns: match with_columns {
            true => kind.schema().fields().iter().map(|field| RelationColumn::of_field(field)).collect(),
            false => Vec::new(),
        },
    };
    let (catalog, information) = Kind::ALL.split_at(TABLES.len());
    [(SCHEMA, catalog.iter().map(relation).collect()), (INFORMATION_SCHEMA, information.iter().map(relation).collect())]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    PgAttrdef,
    PgAttribute,
    PgClass,
    PgClassInfo,
    PgConstraint,
    PgDescription,
    PgNamespace,
    PgStatisticIndicator,
    PgTableDef,
    PgTables,
    PgType,
    PgViews,
    PredicateColumns,
    StlAlertEventLog,
    StlExplain,
    StlLoadCommits,
    StlLoadErrors,
    StlLoaderrorDetail,
    StlQuery,
    StlQuerytext,
    StlReplacements,
    StlScan,
    StlUnloadLog,
    StlVacuum,
    StvBlocklist,
    StvLoadState,
    StvSlices,
    StvTblPerm,
    StvUnloadState,
    StvZonelist,
    SvlQlog,
    SvlQuerySummary,
    SvvAllColumns,
    SvvAllSchemas,
    SvvAllTables,
    SvvColumns,
    SvvInterleavedColumns,
    SvvLoadHistory,
    SvvRedshiftColumns,
    SvvRedshiftDatabases,
    SvvRedshiftSchemas,
    SvvRedshiftTables,
    SvvSourceTypes,
    SvvTableInfo,
    SvvTables,
    SvvVacuumProgress,
    SvvVacuumSummary,
    VGenerateTblDdl,
    Columns,
    KeyColumnUsage,
    TableConstraints,
    Tables,
    Views,
}

impl Kind {
    /// In the order of [`TABLES`], then of [`INFORMATION_TABLES`].
    const ALL: [Kind; 53] = [
        Kind::PgAttrdef,
        Kind::PgAttribute,
        Kind::PgClass,
        Kind::PgClassInfo,
        Kind::PgConstraint,
        Kind::PgDescription,
        Kind::PgNamespace,
        Kind::PgStatisticIndicator,
        Kind::PgTableDef,
        Kind::PgTables,
        Kind::PgType,
        Kind::PgViews,
        Kind::PredicateColumns,
        Kind::StlAlertEventLog,
        Kind::StlExplain,
        Kind::StlLoadCommits,
        Kind::StlLoadErrors,
        Kind::StlLoaderrorDetail,
        Kind::StlQuery,
        Kind::StlQuerytext,
        Kind::StlReplacements,
        Kind::StlScan,
        Kind::StlUnloadLog,
        Kind::StlVacuum,
        Kind::StvBlocklist,
        Kind::StvLoadState,
        Kind::StvSlices,
        Kind::StvTblPerm,
        Kind::StvUnloadState,
        Kind::StvZonelist,
        Kind::SvlQlog,
        Kind::SvlQuerySummary,
        Kind::SvvAllColumns,
        Kind::SvvAllSchemas,
        Kind::SvvAllTables,
        Kind::SvvColumns,
        Kind::SvvInterleavedColumns,
        Kind::SvvLoadHistory,
        Kind::SvvRedshiftColumns,
        Kind::SvvRedshiftDatabases,
        Kind::SvvRedshiftSchemas,
        Kind::SvvRedshiftTables,
        Kind::SvvSourceTypes,
        Kind::SvvTableInfo,
        Kind::SvvTables,
        Kind::SvvVacuumProgress,
        Kind::SvvVacuumSummary,
        Kind::VGenerateTblDdl,
        Kind::Columns,
        Kind::KeyColumnUsage,
        Kind::TableConstraints,
        Kind::Tables,
        Kind::Views,
    ];

    fn name(self) -> &'static str {
        let at = self as usize;
        if at < TABLES.len() { TABLES[at] } else { INFORMATION_TABLES[at - TABLES.len()] }
    }

    fn schema(self) -> Schema {
        match self {
            Kind::PgAttrdef => classes::pg_attrdef(None).schema(),
            Kind::PgAttribute => classes::pg_attribute(None).schema(),
            Kind::PgClass => classes::pg_class(None).schema(),
            Kind::PgClassInfo => classes::pg_class_info(None).schema(),
            Kind::PgConstraint => constraints::schema(),
            Kind::PgDescription => descriptions::schema(),
            Kind::PgNamespace => classes::pg_namespace(None).schema(),
            Kind::PgStatisticIndicator => statistics::indicator_schema(),
            Kind::PgTableDef => columns::schema(),
            Kind::PgTables => listed::pg_tables(None).schema(),
            Kind::PgType => classes::pg_type().schema(),
            Kind::PgViews => listed::pg_views(None).schema(),
            Kind::PredicateColumns => statistics::predicate_columns_schema(),
            Kind::StlAlertEventLog => log::stl_alert_event_log(None).schema(),
            Kind::StlExplain => log::stl_explain(None).schema(),
            Kind::StlLoadCommits => loads::stl_load_commits(None).schema(),
            Kind::StlLoadErrors => loads::stl_load_errors(None).schema(),
            Kind::StlLoaderrorDetail => loads::stl_loaderror_detail(None).schema(),
            Kind::StlQuery => log::stl_query(None).schema(),
            Kind::StlQuerytext => log::stl_querytext(None).schema(),
            Kind::StlReplacements => loads::stl_replacements(None).schema(),
            Kind::StlScan => log::stl_scan(None).schema(),
            Kind::StlUnloadLog => unload_log::stl_unload_log(None).schema(),
            Kind::StlVacuum => log::stl_vacuum(None).schema(),
            Kind::SvvVacuumProgress => log::svv_vacuum_progress(None).schema(),
            Kind::SvvVacuumSummary => log::svv_vacuum_summary(None).schema(),
            Kind::SvlQlog => log::svl_qlog(None).schema(),
            Kind::SvlQuerySummary => log::svl_query_summary(None).schema(),
            Kind::StvBlocklist => blocks::schema(),
            Kind::StvLoadState => transfers::stv_load_state(None).schema(),
            Kind::StvUnloadState => transfers::stv_unload_state(None).schema(),
            Kind::SvvLoadHistory => loads::svv_load_history(None).schema(),
            Kind::StvSlices => slices::stv_slices_schema(),
            Kind::StvTblPerm => slices::stv_tbl_perm_schema(),
            Kind::StvZonelist => zones::schema(),
            Kind::SvvAllColumns => listed::svv_all_columns(None).schema(),
            Kind::SvvAllSchemas => listed::svv_all_schemas(None).schema(),
            Kind::SvvAllTables => listed::svv_all_tables(None).schema(),
            Kind::SvvColumns => listed::svv_columns(None).schema(),
            Kind::SvvInterleavedColumns => interleaved::schema(),
            Kind::SvvRedshiftColumns => listed::svv_redshift_columns(Vec::new()).schema(),
            Kind::SvvRedshiftDatabases => listed::svv_redshift_databases(None).schema(),
            Kind::SvvRedshiftSchemas => listed::svv_redshift_schemas(None).schema(),
            Kind::SvvRedshiftTables => listed::svv_redshift_tables(None).schema(),
            Kind::SvvSourceTypes => source_types::svv_source_types().schema(),
            Kind::SvvTableInfo => table_info::schema(),
            Kind::SvvTables => listed::svv_tables(None).schema(),
            Kind::VGenerateTblDdl => table_ddl::schema(),
            Kind::Columns => information::columns(None).schema(),
            Kind::KeyColumnUsage => information::key_column_usage(None).schema(),
            Kind::TableConstraints => information::table_constraints(None).schema(),
            Kind::Tables => information::tables(None).schema(),
            Kind::Views => information::views(None).schema(),
        }
    }

    /// What it shows beside the warehouse's tables.
    fn needs(self) -> Needs {
        match self {
            Kind::PgAttrdef
            | Kind::PgAttribute
            | Kind::SvvAllColumns
            | Kind::SvvColumns
            | Kind::SvvRedshiftColumns
            | Kind::Columns => Needs::Columns,
            Kind::PgTables
            | Kind::PgViews
            | Kind::SvvAllSchemas
            | Kind::SvvAllTables
            | Kind::SvvRedshiftDatabases
            | Kind::SvvRedshiftSchemas
            | Kind::SvvRedshiftTables
            | Kind::SvvTables
            | Kind::Tables
            | Kind::Views => Needs::Relations,
            Kind::StlAlertEventLog
            | Kind::StlExplain
            | Kind::StlLoadCommits
            | Kind::StlLoadErrors
            | Kind::StlLoaderrorDetail
            | Kind::StlQuery
            | Kind::StlQuerytext
            | Kind::StlReplacements
            | Kind::StlScan
            | Kind::StlUnloadLog
            | Kind::StlVacuum
            | Kind::StvLoadState
            | Kind::StvUnloadState
            | Kind::SvvVacuumProgress
            | Kind::SvvVacuumSummary
            | Kind::SvlQlog
            | Kind::SvlQuerySummary => Needs::Log,
            _ => Needs::Homes,
        }
    }

    /// The column that holds a table's id.
    fn table_column(self) -> Option<&'static str> {
        match self {
            Kind::StvBlocklist | Kind::StvZonelist | Kind::SvvInterleavedColumns => Some("tbl"),
            Kind::StvTblPerm => Some("id"),
            Kind::SvvTableInfo => Some("table_id"),
            Kind::PgStatisticIndicator => Some("stairelid"),
            _ => None,
        }
    }

    async fn rows(self, context: &SystemContext, schema: SchemaRef) -> Result<RecordBatch> {
        let columns = match self {
            Kind::PgAttrdef => classes::pg_attrdef(Some(context)).columns(),
            Kind::PgAttribute => classes::pg_attribute(Some(context)).columns(),
            Kind::PgClass => classes::pg_class(Some(context)).columns(),
            Kind::PgClassInfo => classes::pg_class_info(Some(context)).columns(),
            Kind::PgConstraint => constraints::columns(context)?,
            Kind::PgDescription => descriptions::columns(context),
            Kind::PgNamespace => classes::pg_namespace(Some(context)).columns(),
            Kind::PgStatisticIndicator => statistics::indicator(context),
            Kind::PgTableDef => columns::columns(context).await?,
            Kind::PgTables => listed::pg_tables(Some(context)).columns(),
            Kind::PgType => classes::pg_type().columns(),
            Kind::PgViews => listed::pg_views(Some(context)).columns(),
            Kind::PredicateColumns => statistics::predicate_columns(context).await?,
            Kind::StlAlertEventLog => log::stl_alert_event_log(Some(context)).columns(),
            Kind::StlExplain => log::stl_explain(Some(context)).columns(),
            Kind::StlLoadCommits => loads::stl_load_commits(Some(context)).columns(),
            Kind::StlLoadErrors => loads::stl_load_errors(Some(context)).columns(),
            Kind::StlLoaderrorDetail => loads::stl_loaderror_detail(Some(context)).columns(),
            Kind::StlQuery => log::stl_query(Some(context)).columns(),
            Kind::StlQuerytext => log::stl_querytext(Some(context)).columns(),
            Kind::StlReplacements => loads::stl_replacements(Some(context)).columns(),
            Kind::StlScan => log::stl_scan(Some(context)).columns(),
            Kind::StlUnloadLog => unload_log::stl_unload_log(Some(context)).columns(),
            Kind::StlVacuum => log::stl_vacuum(Some(context)).columns(),
            Kind::SvvVacuumProgress => log::svv_vacuum_progress(Some(context)).columns(),
            Kind::StvLoadState => transfers::stv_load_state(Some(context)).columns(),
            Kind::StvUnloadState => transfers::stv_unload_state(Some(context)).columns(),
            Kind::SvvSourceTypes => source_types::svv_source_types().columns(),
            Kind::SvvLoadHistory => loads::svv_load_history(Some(context)).columns(),
            Kind::SvvVacuumSummary => log::svv_vacuum_summary(Some(context)).columns(),
            Kind::SvlQlog => log::svl_qlog(Some(context)).columns(),
            Kind::SvlQuerySummary => log::svl_query_summary(Some(context)).columns(),
            Kind::StvBlocklist => blocks::columns(context).await?,
            Kind::StvSlices => slices::stv_slices(context),
            Kind::StvTblPerm => slices::stv_tbl_perm(context).await?,
            Kind::StvZonelist => zones::columns(context).await?,
            Kind::SvvAllColumns => listed::svv_all_columns(Some(context)).columns(),
            Kind::SvvAllSchemas => listed::svv_all_schemas(Some(context)).columns(),
            Kind::SvvAllTables => listed::svv_all_tables(Some(context)).columns(),
            Kind::SvvColumns => listed::svv_columns(Some(context)).columns(),
            Kind::SvvInterleavedColumns => interleaved::columns(context)?,
            Kind::SvvRedshiftColumns => {
                listed::svv_redshift_columns(listed::redshift_column_rows(context).await?).columns()
            }
            Kind::SvvRedshiftDatabases => listed::svv_redshift_databases(Some(context)).columns(),
            Kind::SvvRedshiftSchemas => listed::svv_redshift_schemas(Some(context)).columns(),
            Kind::SvvRedshiftTables => listed::svv_redshift_tables(Some(context)).columns(),
            Kind::SvvTableInfo => table_info::columns(context).await?,
            Kind::SvvTables => listed::svv_tables(Some(context)).columns(),
            Kind::VGenerateTblDdl => table_ddl::columns(context)?,
            Kind::Columns => information::columns(Some(context)).columns(),
            Kind::KeyColumnUsage => information::key_column_usage(Some(context)).columns(),
            Kind::TableConstraints => information::table_constraints(Some(context)).columns(),
            Kind::Tables => information::tables(Some(context)).columns(),
            Kind::Views => information::views(Some(context)).columns(),
        };
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

/// A system table. Filters are left to DataFusion; one that names a table's id also spares reading the others.
struct SystemTable {
    kind: Kind,
    schema: SchemaRef,
    source: Arc<dyn SystemSource>,
}

impl fmt::Debug for SystemTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SystemTable").field(&self.kind.name()).finish()
    }
}

impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn scan<'s, 'q, 'p, 'e, 'f>(
        &'s self,
        state: &'q dyn Session,
        projection: Option<&'p Vec<usize>>,
        filters: &'e [Expr],
        _limit: Option<usize>,
    ) -> BoxFuture<'f, DfResult<Arc<dyn ExecutionPlan>>>
    where
        's: 'f,
        'q: 'f,
        'p: 'f,
        'e: 'f,
    {
        self.plan(state, projection, filters)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

impl SystemTable {
    /// Of a type that tells nothing, as all futures that traits with `async` return: the compiler takes minutes to see
    /// that what they hold may go to other threads where lifetimes of a trait's method are in sight.
    fn plan<'a>(
        &'a self,
        state: &'a dyn Session,
        projection: Option<&'a Vec<usize>>,
        filters: &'a [Expr],
    ) -> BoxFuture<'a, DfResult<Arc<dyn ExecutionPlan>>> {
        Box::pin(async move {
            let mut context = self.source.read(state, self.kind.needs()).await?;
            context.only = filters.iter().find_map(|filter| self.only(filter));
            let rows = self.kind.rows(&context, Arc::clone(&self.schema)).await;
            let rows = rows.map_err(|e| DataFusionError::External(Box::new(e)))?;
            let plan = MemorySourceConfig::try_new_exec(&[vec![rows]], Arc::clone(&self.schema), projection.cloned())?;
            Ok(plan as Arc<dyn ExecutionPlan>)
        })
    }

    /// The table that a filter `id = literal` leaves.
    fn only(&self, filter: &Expr) -> Option<i32> {
        let column = self.kind.table_column()?;
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else { return None };
        let (Expr::Column(named), Expr::Literal(value, _)) = (left.as_ref(), right.as_ref()) else { return None };
        match value {
            ScalarValue::Int32(id) if named.name == column => *id,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_table() {
        for (kind, name) in Kind::ALL.into_iter().zip(TABLES.into_iter().chain(INFORMATION_TABLES)) {
            assert_eq!(kind.name(), name);
            assert!(!kind.schema().fields().is_empty());
        }
    }
}
