//! How many rows a logical plan gives, and what its columns hold.
//!
//! Scans tell what the table's statistics say of their rows and filters; above them the usual assumptions hold (Selinger
//! et al., SIGMOD 1979): values are spread evenly, predicates are independent, the keys of one side of a join are among
//! those of the other.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, DFSchema, Result, ScalarValue, Statistics};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::expr::{Between, BinaryExpr, InList};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan, Operator, TableScan};
use datafusion::physical_expr::create_physical_expr;

use crate::physical_plan::estimate::TableView;
use crate::physical_plan::provider::BlueshiftTable;
use crate::physical_plan::statistics::scan_statistics;

/// Rows that pass a predicate of which nothing is known.
pub const UNKNOWN: f64 = 0.2;
/// Rows that pass `<` and its kin of two columns.
const INEQUALITY: f64 = 1.0 / 3.0;
/// Bytes of a value of which nothing is known.
const WIDTH: f64 = 16.0;

/// What a plan gives.
#[derive(Debug, Clone)]
pub struct Estimate {
    pub rows: f64,
    /// Rows without filters: as many values as a key of several columns can have.
    pub unfiltered: f64,
    /// By position in the plan's schema.
    pub columns: Vec<ColumnEstimate>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColumnEstimate {
    /// Distinct values among which the column's are, not capped by the rows: a filter on another column leaves it.
    pub distinct: f64,
    /// The share of rows that are NULL.
    pub nulls: f64,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Bytes of a value.
    pub width: f64,
}

impl Estimate {
    fn of(rows: f64, columns: Vec<ColumnEstimate>) -> Self {
        Estimate { rows, unfiltered: rows, columns }
    }

    /// Bytes of a row.
    pub fn width(&self) -> f64 {
        self.columns.iter().map(|column| column.width).sum::<f64>().max(1.0)
    }
}

/// Estimates plans, each part of them once.
#[derive(Debug)]
pub struct Estimator<'a> {
    options: &'a ConfigOptions,
    /// By the address of a node that outlives the estimator.
    known: HashMap<usize, Option<Arc<Estimate>>>,
}

impl<'a> Estimator<'a> {
    pub fn new(options: &'a ConfigOptions) -> Self {
        Estimator { options, known: HashMap::new() }
    }

    /// `None` where a table below tells nothing.
    pub fn estimate(&mut self, plan: &'a LogicalPlan) -> Option<Arc<Estimate>> {
        let at = std::ptr::from_ref(plan) as usize;
        if let Some(known) = self.known.get(&at) {
            return known.clone();
        }
        let estimate = self.compute(plan).map(Arc::new);
        self.known.insert(at, estimate.clone());
        estimate
    }

    fn compute(&mut self, plan: &'a LogicalPlan) -> Option<Estimate> {
        Some(match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan)?,
            LogicalPlan::SubqueryAlias(alias) => Estimate::clone(&*self.estimate(&alias.input)?),
            LogicalPlan::Filter(filter) => {
                let input = self.estimate(&filter.input)?;
                filtered(&input, &filter.predicate, filter.input.schema())
            }
            LogicalPlan::Projection(projection) => {
                let input = self.estimate(&projection.input)?;
                let schema = projection.input.schema();
                let columns = projection.expr.iter().map(|expr| column_of(expr, &input, schema)).collect();
                Estimate { columns, ..*input }
            }
            LogicalPlan::Aggregate(aggregate) => {
                let input = self.estimate(&aggregate.input)?;
                let schema = aggregate.input.schema();
                let keys: Vec<ColumnEstimate> =
                    aggregate.group_expr.iter().map(|expr| column_of(expr, &input, schema)).collect();
                let rows = if keys.is_empty() { 1.0 } else { distinct_rows(input.rows, &keys) };
                let columns = (0..aggregate.schema.fields().len())
                    .map(|i| keys.get(i).copied().unwrap_or_else(|| ColumnEstimate::unknown(rows)))
                    .collect();
                Estimate::of(rows, columns)
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.estimate(input)?;
                Estimate::of(distinct_rows(input.rows, &input.columns), input.columns.clone())
            }
            LogicalPlan::Distinct(Distinct::On(on)) => {
                let input = self.estimate(&on.input)?;
                let columns = plan.schema().fields().iter().map(|_| ColumnEstimate::unknown(input.rows)).collect();
                Estimate { columns, ..*input }
            }
            LogicalPlan::Sort(sort) => {
                let mut input = Estimate::clone(&*self.estimate(&sort.input)?);
                if let Some(fetch) = sort.fetch {
                    input.rows = input.rows.min(fetch as f64);
                }
                input
            }
            LogicalPlan::Limit(limit) => {
                let mut input = Estimate::clone(&*self.estimate(&limit.input)?);
                if let Ok(datafusion::logical_expr::FetchType::Literal(Some(fetch))) = limit.get_fetch_type() {
                    input.rows = input.rows.min(fetch as f64);
                }
                input
            }
            LogicalPlan::Repartition(repartition) => Estimate::clone(&*self.estimate(&repartition.input)?),
            LogicalPlan::Window(window) => {
                let mut input = Estimate::clone(&*self.estimate(&window.input)?);
                let rows = input.rows;
                input.columns.resize_with(window.schema.fields().len(), || ColumnEstimate::unknown(rows));
                input
            }
            LogicalPlan::Union(union) => {
                let mut whole: Option<Estimate> = None;
                for input in &union.inputs {
                    let input = self.estimate(input)?;
                    whole = Some(match whole {
                        None => Estimate::clone(&*input),
                        Some(mut whole) => {
                            for (column, other) in whole.columns.iter_mut().zip(&input.columns) {
                                *column = column.either(other);
                            }
                            whole.rows += input.rows;
                            whole.unfiltered += input.unfiltered;
                            whole
                        }
                    });
                }
                whole?
            }
            LogicalPlan::EmptyRelation(empty) => {
                let rows = if empty.produce_one_row { 1.0 } else { 0.0 };
                Estimate::of(rows, empty.schema.fields().iter().map(|_| ColumnEstimate::unknown(1.0)).collect())
            }
            LogicalPlan::Values(values) => {
                let rows = values.values.len() as f64;
                Estimate::of(rows, values.schema.fields().iter().map(|_| ColumnEstimate::unknown(rows)).collect())
            }
            LogicalPlan::Join(join) => {
                let (left, right) = (self.estimate(&join.left)?, self.estimate(&join.right)?);
                let keys: Vec<(ColumnEstimate, ColumnEstimate)> = join
                    .on
                    .iter()
                    .map(|(l, r)| (column_of(l, &left, join.left.schema()), column_of(r, &right, join.right.schema())))
                    .collect();
                let mut both = left.columns.clone();
                both.extend(right.columns.iter().copied());
                let schema = join.left.schema().join(join.right.schema()).ok()?;
                let both = Estimate { columns: both, ..*left };
                let filter = join.filter.as_ref().map_or(1.0, |filter| selectivity(filter, &both, &schema));
                let matched = Matched::of(&keys, &left, &right, filter);
                let rows = match join.join_type {
                    JoinType::Inner => matched.rows,
                    JoinType::Left => matched.rows.max(left.rows),
                    JoinType::Right => matched.rows.max(right.rows),
                    JoinType::Full => matched.rows.max(left.rows + right.rows - matched.rows).max(matched.rows),
                    JoinType::LeftSemi => left.rows * matched.left,
                    JoinType::RightSemi => right.rows * matched.right,
                    JoinType::LeftAnti => left.rows * (1.0 - matched.left),
                    JoinType::RightAnti => right.rows * (1.0 - matched.right),
                    JoinType::LeftMark => left.rows,
                    JoinType::RightMark => right.rows,
                };
                let mut columns = match join.join_type {
                    JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left.columns.clone(),
                    JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right.columns.clone(),
                    _ => both.columns,
                };
                columns.resize_with(join.schema.fields().len(), || ColumnEstimate::unknown(2.0));
                Estimate { rows, unfiltered: rows.max(left.unfiltered).max(right.unfiltered), columns }
            }
            _ => return None,
        })
    }

    fn scan(&self, scan: &TableScan) -> Option<Estimate> {
        let provider = source_as_provider(&scan.source).ok()?;
        let all: Vec<usize> = (0..provider.schema().fields().len()).collect();
        let projection = scan.projection.as_ref().unwrap_or(&all);
        let mut unfiltered = None;
        let mut domains = Vec::new();
        let whole = match provider.downcast_ref::<BlueshiftTable>() {
            Some(table) => {
                let rows = table.planned(self.options)?;
                unfiltered = Some(rows.segments.iter().map(|segment| f64::from(segment.rows)).sum());
                let schema = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &provider.schema()).ok()?;
                let filters = scan
                    .filters
                    .iter()
                    .map(|filter| create_physical_expr(filter, &schema, &ExecutionProps::new(), &Default::default()));
                // A filter that cannot be compiled yet, for a parameter in it, is left to the fallback.
                match filters.collect::<Result<Vec<_>>>() {
                    Ok(filters) => {
                        domains = TableView::new(&rows).domains(&filters);
                        scan_statistics(&rows, projection, &filters, scan.fetch).ok()?
                    }
                    Err(_) => {
                        let mut whole = scan_statistics(&rows, projection, &[], scan.fetch).ok()?;
                        let part = UNKNOWN.powi(scan.filters.len() as i32);
                        whole.num_rows = whole.num_rows.map(|rows| (rows as f64 * part).ceil() as usize);
                        whole
                    }
                }
            }
            None => {
                let whole = provider.statistics()?;
                let Statistics { num_rows, column_statistics, .. } = whole;
                let of = |i: &usize| column_statistics.get(*i).cloned();
                let column_statistics = projection.iter().map(of).collect::<Option<Vec<_>>>()?;
                let part = UNKNOWN.powi(scan.filters.len() as i32);
                let num_rows = num_rows.map(|rows| (rows as f64 * part).ceil() as usize);
                Statistics { num_rows, total_byte_size: Precision::Absent, column_statistics }
            }
        };
        let rows = *whole.num_rows.get_value()? as f64;
        let bytes = whole.total_byte_size.get_value().map(|bytes| *bytes as f64);
        let width = bytes.filter(|_| rows > 0.0 && !projection.is_empty());
        let width = width.map_or(WIDTH, |bytes| bytes / rows / projection.len() as f64);
        let columns = whole.column_statistics.iter().zip(projection).map(|(column, ordinal)| {
            let (min, max) =
                (column.min_value.get_value().and_then(number), column.max_value.get_value().and_then(number));
            let range = min.zip(max).map(|(min, max)| (max - min + 1.0).max(1.0));
            // A filter on another column leaves fewer of the values, of which nobody knows whether they are the partner's.
            let domain = domains.get(*ordinal).copied().flatten();
            let distinct = domain.or(column.distinct_count.get_value().map(|n| *n as f64));
            ColumnEstimate {
                distinct: distinct.or(range.map(|range| range.min(rows))).unwrap_or(rows).max(1.0),
                nulls: column.null_count.get_value().map_or(0.0, |nulls| (*nulls as f64 / rows.max(1.0)).min(1.0)),
                min,
                max,
                width,
            }
        });
        Some(Estimate { rows, unfiltered: unfiltered.unwrap_or(rows), columns: columns.collect() })
    }
}

impl ColumnEstimate {
    pub fn unknown(rows: f64) -> Self {
        ColumnEstimate { distinct: rows.max(1.0), nulls: 0.0, min: None, max: None, width: WIDTH }
    }

    /// Of a column whose values come from either of two.
    fn either(&self, other: &Self) -> Self {
        let both = |a: Option<f64>, b: Option<f64>, f: fn(f64, f64) -> f64| a.zip(b).map(|(a, b)| f(a, b));
        ColumnEstimate {
            distinct: self.distinct.max(other.distinct),
            nulls: self.nulls.max(other.nulls),
            min: both(self.min, other.min, f64::min),
            max: both(self.max, other.max, f64::max),
            width: self.width.max(other.width),
        }
    }
}

/// What an equality of keys matches.
#[derive(Debug, Clone, Copy)]
pub struct Matched {
    /// Pairs of rows.
    pub rows: f64,
    /// The shares of the sides' rows that have a partner.
    pub left: f64,
    pub right: f64,
}

impl Matched {
    /// `filter` is the share of the pairs that pass what else is asked.
    pub fn of(keys: &[(ColumnEstimate, ColumnEstimate)], left: &Estimate, right: &Estimate, filter: f64) -> Self {
        let nulls = |side: fn(&(ColumnEstimate, ColumnEstimate)) -> f64| -> f64 {
            keys.iter().map(|key| 1.0 - side(key)).product::<f64>().clamp(0.0, 1.0)
        };
        let (whole_left, whole_right) = (nulls(|key| key.0.nulls), nulls(|key| key.1.nulls));
        let all = (domain(keys.iter().map(|key| key.0)), domain(keys.iter().map(|key| key.1)));
        let (of_left, of_right) = (all.0.min(left.unfiltered.max(1.0)), all.1.min(right.unfiltered.max(1.0)));
        // Several columns together that could have more values than there are rows identify these rows, most likely; what
        // the product of their counts says beyond that is not so on the other side either.
        let common = match keys.len() > 1 && (of_left < all.0 || of_right < all.1) {
            true => of_left.min(of_right),
            false => of_left.max(of_right),
        };
        let (left, right) = (left.rows, right.rows);
        let rows = left * whole_left * right * whole_right / common * filter;
        let partners = |of_other: f64, rows_other: f64| {
            let there = drawn(of_other.min(common), rows_other * filter);
            (there / common).clamp(0.0, 1.0)
        };
        Matched {
            rows,
            left: partners(of_right, right * whole_right) * whole_left,
            right: partners(of_left, left * whole_left) * whole_right,
        }
    }
}

/// The distinct values of several columns together.
fn domain(columns: impl Iterator<Item = ColumnEstimate>) -> f64 {
    columns.map(|column| column.distinct.max(1.0)).product::<f64>().max(1.0)
}

/// How many of `distinct` values are among `rows` drawn evenly.
fn drawn(distinct: f64, rows: f64) -> f64 {
    if distinct <= 1.0 {
        return distinct.min(rows);
    }
    (distinct * (1.0 - (-rows / distinct).exp())).min(rows).max(if rows >= 1.0 { 1.0 } else { 0.0 })
}

/// How many different rows there are among `rows` of these columns. Each further column counts by a root of its values
/// only, as columns seldom are independent.
fn distinct_rows(rows: f64, columns: &[ColumnEstimate]) -> f64 {
    let mut counts: Vec<f64> =
        columns.iter().map(|column| column.distinct + if column.nulls > 0.0 { 1.0 } else { 0.0 }).collect();
    counts.sort_by(|a, b| b.total_cmp(a));
    let mut power = 1.0;
    let mut all = 1.0;
    for count in counts {
        all *= count.max(1.0).powf(power);
        power /= 2.0;
    }
    drawn(all, rows).max(rows.min(1.0))
}

/// The value that an expression gives.
pub fn column_of(expr: &Expr, input: &Estimate, schema: &DFSchema) -> ColumnEstimate {
    match expr {
        Expr::Column(column) => find(column, input, schema).unwrap_or_else(|| ColumnEstimate::unknown(input.rows)),
        Expr::Alias(alias) => column_of(&alias.expr, input, schema),
        Expr::Cast(cast) => ColumnEstimate { min: None, max: None, ..column_of(&cast.expr, input, schema) },
        Expr::Literal(value, _) => ColumnEstimate {
            distinct: 1.0,
            nulls: if value.is_null() { 1.0 } else { 0.0 },
            min: number(value),
            max: number(value),
            width: WIDTH,
        },
        // A function of columns has at most as many values as they.
        other => {
            let distinct: f64 = other
                .column_refs()
                .into_iter()
                .filter_map(|column| find(column, input, schema))
                .map(|column| column.distinct)
                .product();
            ColumnEstimate::unknown(distinct.min(input.rows))
        }
    }
}

fn find(column: &Column, input: &Estimate, schema: &DFSchema) -> Option<ColumnEstimate> {
    input.columns.get(schema.maybe_index_of_column(column)?).copied()
}

fn filtered(input: &Estimate, predicate: &Expr, schema: &DFSchema) -> Estimate {
    let mut columns = input.columns.clone();
    for conjunct in split_conjunction(predicate) {
        // What one column alone is asked leaves fewer of its values.
        let asked = conjunct.column_refs();
        if let [column] = asked.into_iter().collect::<Vec<_>>().as_slice()
            && let Some(at) = schema.maybe_index_of_column(column)
        {
            columns[at].distinct = (columns[at].distinct * selectivity(conjunct, input, schema)).max(1.0);
        }
    }
    Estimate { rows: input.rows * selectivity(predicate, input, schema), columns, ..*input }
}

/// The share of rows for which a predicate is true.
pub fn selectivity(predicate: &Expr, input: &Estimate, schema: &DFSchema) -> f64 {
    let of = |expr: &Expr| column_of(expr, input, schema);
    let share = match predicate {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            selectivity(left, input, schema) * selectivity(right, input, schema)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (left, right) = (selectivity(left, input, schema), selectivity(right, input, schema));
            left + right - left * right
        }
        Expr::Not(inner) => 1.0 - selectivity(inner, input, schema),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Eq => 1.0 / of(left).distinct.max(of(right).distinct).max(1.0),
            Operator::NotEq => 1.0 - 1.0 / of(left).distinct.max(of(right).distinct).max(1.0),
            Operator::Lt | Operator::LtEq => below(of(left), of(right)),
            Operator::Gt | Operator::GtEq => below(of(right), of(left)),
            _ => UNKNOWN,
        },
        Expr::Between(Between { expr, negated, low, high }) => {
            let (value, low, high) = (of(expr), of(low), of(high));
            let share = (below(value, high) + below(low, value) - 1.0).max(0.0);
            let share = if share > 0.0 { share } else { INEQUALITY * INEQUALITY };
            if *negated { 1.0 - share } else { share }
        }
        Expr::InList(InList { expr, list, negated }) => {
            let share = (list.len() as f64 / of(expr).distinct.max(1.0)).min(1.0);
            if *negated { 1.0 - share } else { share }
        }
        Expr::IsNull(inner) => of(inner).nulls,
        Expr::IsNotNull(inner) => 1.0 - of(inner).nulls,
        Expr::Literal(ScalarValue::Boolean(Some(value)), _) => f64::from(u8::from(*value)),
        _ => UNKNOWN,
    };
    share.clamp(0.0, 1.0)
}

/// The share of pairs in which the one is less than the other.
fn below(left: ColumnEstimate, right: ColumnEstimate) -> f64 {
    let range = |column: ColumnEstimate| column.min.zip(column.max);
    match (range(left), range(right)) {
        (Some((min, max)), Some((value, same))) if value == same && max > min => {
            ((value - min) / (max - min)).clamp(0.0, 1.0)
        }
        (Some((value, same)), Some((min, max))) if value == same && max > min => {
            ((max - value) / (max - min)).clamp(0.0, 1.0)
        }
        _ => INEQUALITY,
    }
}

/// A value on the scale of its type.
fn number(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Decimal128(Some(v), _, scale) => Some(*v as f64 / 10f64.powi(i32::from(*scale))),
        ScalarValue::Date32(Some(v)) => Some(f64::from(*v)),
        ScalarValue::TimestampMicrosecond(Some(v), _) => Some(*v as f64),
        ScalarValue::Float32(Some(v)) => Some(f64::from(*v)),
        ScalarValue::Float64(Some(v)) => Some(*v),
        ScalarValue::Int8(Some(v)) => Some(f64::from(*v)),
        ScalarValue::Int16(Some(v)) => Some(f64::from(*v)),
        ScalarValue::Int32(Some(v)) => Some(f64::from(*v)),
        ScalarValue::Int64(Some(v)) => Some(*v as f64),
        ScalarValue::UInt64(Some(v)) => Some(*v as f64),
        _ => None,
    }
}
