//! Whether rows keep a constraint: queries over rows that no version need hold yet.
//!
//! They believe no constraint, and spill where there are many rows.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::Session;
use datafusion::common::{Column, JoinType, Result as DfResult, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::execution::context::SessionContext;
use datafusion::execution::{FunctionRegistry, SessionStateBuilder};
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::logical_expr::{Expr, cast, lit};
use futures::future::{BoxFuture, ready};
use futures::{FutureExt, StreamExt};

use super::error::from_datafusion;
use super::extension::planning_state;
use super::statement::StatementState;
use super::warehouse::Warehouse;
use crate::catalog::{ColumnDef, ConstraintDef, PinnedSnapshot, SegmentRef, TableDef};
use crate::common::{ColumnId, Error, Result, SqlType};
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::load::RowSink;
use crate::physical_plan::provider::{BlueshiftTable, TableSource};
use crate::physical_plan::scan::ScanTable;

/// New rows that are held in memory while they are looked up in a table; more are grouped with the table's, which spills.
const MOST_JOINED: u64 = 1 << 20;
/// Keys that break a constraint, of which an error tells how many rows there are at least.
const EXAMPLES: usize = 100;

/// Rows of a table, and columns of it in the order of a key.
#[derive(Clone)]
pub(super) struct Keyed {
    pub def: Arc<TableDef>,
    pub segments: Vec<Arc<SegmentRef>>,
    pub columns: Vec<ColumnId>,
}

/// What breaks a constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// `(a, b)=(1, x)`
    pub key: String,
    /// Rows of that key.
    pub times: u64,
    /// Rows that break it, at least.
    pub rows: u64,
}

/// Runs the queries.
pub(super) struct Checker {
    warehouse: Warehouse,
    pin: PinnedSnapshot,
    context: SessionContext,
    statement: Option<StatementState>,
    most_joined: u64,
}

impl Checker {
    /// Reads objects that `pin` keeps, and those of transactions that are open.
    pub fn new(warehouse: &Warehouse, pin: PinnedSnapshot, statement: Option<StatementState>, pruning: bool) -> Self {
        let mut state = planning_state(warehouse, 0, None);
        if let Some(options) = state.config_mut().options_mut().extensions.get_mut::<BlueshiftOptions>() {
            options.pruning = pruning;
        }
        let mut builder = SessionStateBuilder::new_from_existing(state);
        if let Some(statement) = &statement {
            builder = builder.with_runtime_env(Arc::clone(&statement.runtime));
        }
        let context = SessionContext::new_with_state(builder.build());
        Checker { warehouse: warehouse.clone(), pin, context, statement, most_joined: MOST_JOINED }
    }

    /// With both sides grouped however few rows there are.
    pub fn grouping(self) -> Self {
        Checker { most_joined: 0, ..self }
    }

    /// A key that two rows have, none of its columns being NULL.
    pub async fn repeated(&self, rows: &Keyed) -> Result<Option<Broken>> {
        let grouped = || {
            let (keys, names) = (self.keys(rows, "k", None)?, named("k", rows.columns.len()));
            let counted = keys.aggregate(names, vec![count(lit(1_i64)).alias("n")])?;
            counted.filter(bare("n").gt(lit(1_i64)))?.limit(0, Some(EXAMPLES))
        };
        self.first(rows, grouped().map_err(from_datafusion)?).await
    }

    /// A key of `new` that `old` has, too. A key that `new` repeats is none.
    pub async fn in_both(&self, new: &Keyed, old: &Keyed) -> Result<Option<Broken>> {
        let Some(bounds) = self.bounds(new).await? else { return Ok(None) };
        let found = || {
            let (ours, theirs) = (self.keys(new, "k", None)?, self.keys(old, "r", Some(&bounds))?);
            if self.joins(new) {
                return joined(ours, theirs, JoinType::Inner, new.columns.len());
            }
            together(ours, theirs, new.columns.len())?
                .filter(bare("n").gt(lit(0_i64)).and(bare("m").gt(lit(0_i64))))?
                .limit(0, Some(EXAMPLES))
        };
        self.first(new, found().map_err(from_datafusion)?).await
    }

    /// A key of `child`, none of its columns being NULL, that `parent` lacks.
    pub async fn missing(&self, child: &Keyed, parent: &Keyed) -> Result<Option<Broken>> {
        let Some(bounds) = self.bounds(child).await? else { return Ok(None) };
        let found = || {
            let (ours, theirs) = (self.keys(child, "k", None)?, self.keys(parent, "r", Some(&bounds))?);
            if self.joins(child) {
                return joined(ours, theirs, JoinType::LeftAnti, child.columns.len());
            }
            together(ours, theirs, child.columns.len())?
                .filter(bare("n").gt(lit(0_i64)).and(bare("m").eq(lit(0_i64))))?
                .limit(0, Some(EXAMPLES))
        };
        self.first(child, found().map_err(from_datafusion)?).await
    }

    /// Whether a column of the key is NULL in any row.
    pub async fn has_null(&self, rows: &Keyed) -> Result<bool> {
        let found = || {
            let nulls = columns(rows).into_iter().map(|c| column(c).is_null()).reduce(Expr::or);
            let table = self.context.read_table(self.provider(rows)?)?;
            table.filter(nulls.unwrap_or_else(|| lit(false)))?.limit(0, Some(1))
        };
        let rows = self.collect(found().map_err(from_datafusion)?).await?;
        Ok(rows.iter().any(|batch| batch.num_rows() > 0))
    }

    /// Bytes of the longest value of a column of text.
    pub async fn longest(&self, rows: &Keyed) -> Result<u64> {
        let found = || {
            let length = FunctionRegistry::udf(&self.context, "octet_length")?;
            let lengths = columns(rows).into_iter().map(|c| cast(length.call(vec![column(c)]), DataType::Int64));
            let table = self.context.read_table(self.provider(rows)?)?;
            table.aggregate(Vec::new(), lengths.map(max).collect())
        };
        let rows = self.collect(found().map_err(from_datafusion)?).await?;
        let longest =
            |batch: &RecordBatch| batch.column(0).as_primitive_opt::<Int64Type>().and_then(arrow::compute::max);
        Ok(rows.iter().filter_map(longest).max().map_or(0, |longest| longest as u64))
    }

    fn joins(&self, new: &Keyed) -> bool {
        new.segments.iter().map(|s| u64::from(s.rows)).sum::<u64>() <= self.most_joined
    }

    /// The keys without NULL, as columns `k0`, `k1`, …; integers as BIGINT.
    fn keys(&self, rows: &Keyed, prefix: &str, bounds: Option<&[(ScalarValue, ScalarValue)]>) -> DfResult<DataFrame> {
        let mut table = self.context.read_table(self.provider(rows)?)?;
        for (i, def) in columns(rows).into_iter().enumerate() {
            table = table.filter(column(def).is_not_null())?;
            let typed = |value: &ScalarValue| value.cast_to(&def.sql_type.arrow_type()).ok().filter(|v| !v.is_null());
            if let Some((low, high)) = bounds.and_then(|bounds| bounds.get(i))
                && let (Some(low), Some(high)) = (typed(low), typed(high))
            {
                table = table.filter(column(def).between(lit(low), lit(high)))?;
            }
        }
        let key = |(i, def): (usize, &ColumnDef)| {
            let value = match def.sql_type {
                SqlType::SmallInt | SqlType::Integer => cast(column(def), DataType::Int64),
                _ => column(def),
            };
            value.alias(format!("{prefix}{i}"))
        };
        table.select(columns(rows).into_iter().enumerate().map(key).collect::<Vec<_>>())
    }

    /// The least and greatest value of each column of the key; `None` where there is no key.
    async fn bounds(&self, rows: &Keyed) -> Result<Option<Vec<(ScalarValue, ScalarValue)>>> {
        let asked = || {
            let names = named("k", rows.columns.len());
            let ends = names.into_iter().flat_map(|key| [min(key.clone()), max(key)]).enumerate();
            let ends = ends.map(|(i, end)| end.alias(format!("e{i}"))).collect();
            self.keys(rows, "k", None)?.aggregate(vec![], ends)
        };
        let batches = self.collect(asked().map_err(from_datafusion)?).await?;
        let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
        let value = |i: usize| ScalarValue::try_from_array(batch.column(i), 0).map_err(from_datafusion);
        let ends = (0..batch.num_columns() / 2).map(|i| Ok((value(2 * i)?, value(2 * i + 1)?)));
        let ends: Vec<_> = ends.collect::<Result<_>>()?;
        Ok(ends.iter().all(|(low, high)| !low.is_null() && !high.is_null()).then_some(ends))
    }

    /// What `found`, keys with the number of their rows, tells first.
    async fn first(&self, rows: &Keyed, found: DataFrame) -> Result<Option<Broken>> {
        let batches = self.collect(found).await?;
        let mut broken: Option<Broken> = None;
        for batch in &batches {
            let times = batch.column(rows.columns.len()).as_primitive_opt::<Int64Type>();
            let times = times.ok_or_else(|| Error::internal("rows are counted in BIGINT"))?;
            for row in 0..batch.num_rows() {
                let count = if times.is_null(row) { 0 } else { times.value(row).unsigned_abs() };
                match &mut broken {
                    Some(known) => known.rows += count,
                    None => broken = Some(Broken { key: shown(rows, batch, row)?, times: count, rows: count }),
                }
            }
        }
        Ok(broken)
    }

    async fn collect(&self, found: DataFrame) -> Result<Vec<RecordBatch>> {
        let stream = found.execute_stream().await.map_err(from_datafusion)?;
        let mut stream = match &self.statement {
            Some(statement) => statement.govern(stream),
            None => stream,
        };
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            batches.push(batch.map_err(from_datafusion)?);
        }
        Ok(batches)
    }

    fn provider(&self, rows: &Keyed) -> DfResult<Arc<BlueshiftTable>> {
        let geometry = self.warehouse.geometry().map_err(super::catalog_provider::external)?;
        let mut segments = rows.segments.clone();
        segments.sort_by_key(|s| (s.slice, s.run, s.place));
        let table = ScanTable {
            as_of: None,
            def: Arc::clone(&rows.def),
            segments: Arc::new(segments),
            store: self.warehouse.inner.segments.at(self.pin.clone()),
            geometry,
            statistics: None,
            statistics_off: 0,
        };
        let source = Fixed { table: Arc::new(table), slices: self.pin.info.slices };
        Ok(Arc::new(BlueshiftTable::new(&rows.def, Arc::new(source))))
    }
}

/// Keys of `ours` with a partner among `theirs`, or without, and 1.
fn joined(ours: DataFrame, theirs: DataFrame, kind: JoinType, columns: usize) -> DfResult<DataFrame> {
    let names = |prefix: &str| (0..columns).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
    let (ours_by, theirs_by) = (names("k"), names("r"));
    let (ours_by, theirs_by): (Vec<&str>, Vec<&str>) =
        (ours_by.iter().map(String::as_str).collect(), theirs_by.iter().map(String::as_str).collect());
    let found = ours.join(theirs, kind, &ours_by, &theirs_by, None)?;
    found
        .select(named("k", columns).into_iter().chain([lit(1_i64).alias("n")]).collect::<Vec<_>>())?
        .limit(0, Some(EXAMPLES))
}

/// Each key, and how many rows of `ours` (`n`) and `theirs` (`m`) have it.
fn together(ours: DataFrame, theirs: DataFrame, columns: usize) -> DfResult<DataFrame> {
    let marked = |frame: DataFrame, prefix: &str, ours: i64| {
        let keys = (0..columns).map(|i| bare(&format!("{prefix}{i}")).alias(format!("k{i}")));
        frame.select(keys.chain([lit(ours).alias("n"), lit(1 - ours).alias("m")]).collect::<Vec<_>>())
    };
    let both = marked(ours, "k", 1)?.union(marked(theirs, "r", 0)?)?;
    both.aggregate(named("k", columns), vec![sum(bare("n")).alias("n"), sum(bare("m")).alias("m")])
}

fn bare(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

fn named(prefix: &str, columns: usize) -> Vec<Expr> {
    (0..columns).map(|i| bare(&format!("{prefix}{i}"))).collect()
}

fn column(def: &ColumnDef) -> Expr {
    bare(&def.name)
}

fn columns(rows: &Keyed) -> Vec<&ColumnDef> {
    rows.columns.iter().filter_map(|id| rows.def.column(*id)).collect()
}

/// PostgreSQL's form.
fn shown(rows: &Keyed, batch: &RecordBatch, row: usize) -> Result<String> {
    let options = FormatOptions::default();
    let mut values = Vec::with_capacity(rows.columns.len());
    for i in 0..rows.columns.len() {
        values.push(ArrayFormatter::try_new(batch.column(i).as_ref(), &options)?.value(row).to_string());
    }
    let names: Vec<&str> = columns(rows).into_iter().map(|c| c.name.as_str()).collect();
    Ok(format!("({})=({})", names.join(", "), values.join(", ")))
}

/// Unsupported for a constraint whose columns are compared in ways that these queries do not tell: floating-point
/// numbers, of which -0 and 0 are equal, SUPER, and a foreign key between types that hold equal values otherwise.
pub(super) fn check_types(
    def: &TableDef,
    constraint: &ConstraintDef,
    parent: Option<(&TableDef, &[ColumnId])>,
    name: &str,
) -> Result<()> {
    let whole = |t: SqlType| matches!(t, SqlType::SmallInt | SqlType::Integer | SqlType::BigInt);
    for (i, column) in constraint.columns.iter().filter_map(|id| def.column(*id)).enumerate() {
        let own = column.sql_type;
        let refuse = |why: String| {
            let message = format!("constraint \"{name}\" cannot be VERIFIED: column \"{}\" is {why}", column.name);
            Err(Error::unsupported(message).with_hint("RELY makes plans believe it by your word"))
        };
        if matches!(own, SqlType::Real | SqlType::Double | SqlType::Super) {
            return refuse(format!("of type {own}"));
        }
        if let Some(other) = parent.and_then(|(def, ids)| def.column(*ids.get(i)?)).map(|c| c.sql_type)
            && own.arrow_type() != other.arrow_type()
            && !(whole(own) && whole(other))
        {
            return refuse(format!("of type {own}, what it refers to of type {other}"));
        }
    }
    Ok(())
}

/// A table's rows whatever version a session reads. It tells nothing while planning, so that no constraint is believed.
#[derive(Debug)]
struct Fixed {
    table: Arc<ScanTable>,
    slices: u32,
}

impl TableSource for Fixed {
    fn read<'a>(&'a self, _: &'a dyn Session) -> BoxFuture<'a, DfResult<(Arc<ScanTable>, u32)>> {
        ready(Ok((Arc::clone(&self.table), self.slices))).boxed()
    }

    fn sink(&self) -> Option<Arc<dyn RowSink>> {
        None
    }
}
