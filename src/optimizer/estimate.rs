//! How many rows a plan gives, and what its columns hold.
//!
//! Scans tell what the table's statistics say of their rows and filters; above them the usual assumptions hold (Selinger
//! et al., SIGMOD 1979): values are spread evenly, predicates are independent, the keys of one side of a join are among
//! those of the other. [`logical`] and [`physical`] go through plans of either kind; what both conclude is here, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::{JoinType, ScalarValue, Statistics};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
    TryCastExpr,
};
use datafusion::physical_expr::utils::{collect_columns, split_conjunction};
use datafusion::physical_plan::PhysicalExpr;
use parking_lot::Mutex;

use crate::common::{Bounds, ColumnId};
use crate::physical_plan::estimate::TableView;
use crate::physical_plan::scan::ScanTable;
use crate::physical_plan::statistics::statistics_of;
use crate::statistics::column::distinct_of_part;
use crate::statistics::{ColumnView, TableStatistics, join_selectivity};

pub mod logical;
pub mod physical;

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
#[derive(Debug, Clone)]
pub struct ColumnEstimate {
    /// Distinct values among which the column's are, not capped by the rows: a filter on another column leaves it.
    pub distinct: f64,
    /// The share of rows that are NULL.
    pub nulls: f64,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Bytes of a value.
    pub width: f64,
    /// The values of a table's column, where ANALYZE told which are common.
    pub values: Option<Arc<Values>>,
}

/// What ANALYZE told of a table's column, whatever is left of its rows.
#[derive(Debug)]
pub struct Values {
    bounds: Bounds,
    statistics: Arc<TableStatistics>,
    id: ColumnId,
    /// The share of pairs that are equal, by the other column: the search for an order asks many times.
    equal: Mutex<Vec<(Arc<TableStatistics>, ColumnId, f64)>>,
}

impl Values {
    fn of(table: &ScanTable, view: &TableView<'_>, ordinal: usize) -> Option<Arc<Self>> {
        let (statistics, id) = (table.statistics.as_ref()?, table.def.columns.get(ordinal)?.id);
        let distribution = statistics.columns.get(&id)?.distribution.as_ref()?;
        let common = !distribution.common.is_empty();
        common.then(|| {
            let (bounds, statistics) = (view.bounds(ordinal).clone(), Arc::clone(statistics));
            Arc::new(Values { bounds, statistics, id, equal: Mutex::default() })
        })
    }

    /// The share of pairs with another column's that are equal.
    fn equal(&self, other: &Values) -> f64 {
        let mut known = self.equal.lock();
        let is = |(statistics, id, _): &&(Arc<TableStatistics>, ColumnId, f64)| {
            Arc::ptr_eq(statistics, &other.statistics) && *id == other.id
        };
        if let Some((_, _, equal)) = known.iter().find(is) {
            return *equal;
        }
        let equal = join_selectivity(self.view(), other.view());
        known.push((Arc::clone(&other.statistics), other.id, equal));
        equal
    }

    fn view(&self) -> ColumnView<'_> {
        ColumnView { bounds: &self.bounds, statistics: self.statistics.columns.get(&self.id) }
    }
}

impl Estimate {
    fn of(rows: f64, columns: Vec<ColumnEstimate>) -> Self {
        Estimate { rows, unfiltered: rows, columns }
    }

    /// Of rows that are as many as given, in `columns` columns.
    fn unknown(rows: f64, columns: usize) -> Self {
        Estimate::of(rows, vec![ColumnEstimate::unknown(rows); columns])
    }

    /// Of some of a table's columns, by their ordinals, after filters over all of them.
    fn of_scan(
        table: &ScanTable,
        projection: &[usize],
        filters: &[Arc<dyn PhysicalExpr>],
        fetch: Option<usize>,
    ) -> Option<Self> {
        let view = TableView::new(table);
        let whole = statistics_of(&view, table, projection, filters, fetch);
        let domains = view.domains(filters);
        let domains: Vec<_> = projection.iter().map(|ordinal| domains.get(*ordinal).copied().flatten()).collect();
        let unfiltered = table.segments.iter().map(|segment| f64::from(segment.rows)).sum();
        let mut estimate = Self::of_statistics(&whole, &domains)?;
        for (column, ordinal) in estimate.columns.iter_mut().zip(projection) {
            column.values = Values::of(table, &view, *ordinal);
        }
        Some(Estimate { unfiltered, ..estimate })
    }

    /// Of what DataFusion knows of rows. `domains` are the values among which the columns' are, where more is known of
    /// them: a filter on another column leaves fewer, of which nobody knows whether they are a partner's.
    fn of_statistics(whole: &Statistics, domains: &[Option<f64>]) -> Option<Self> {
        let rows = *whole.num_rows.get_value()? as f64;
        let columns = whole.column_statistics.iter().enumerate().map(|(at, column)| {
            let (min, max) =
                (column.min_value.get_value().and_then(number), column.max_value.get_value().and_then(number));
            let range = min.zip(max).map(|(min, max)| (max - min + 1.0).max(1.0));
            let domain = domains.get(at).copied().flatten();
            let distinct = domain.or(column.distinct_count.get_value().map(|n| *n as f64));
            let bytes = column.byte_size.get_value().filter(|_| rows > 0.0);
            ColumnEstimate {
                distinct: distinct.or(range.map(|range| range.min(rows))).unwrap_or(rows).max(1.0),
                nulls: column.null_count.get_value().map_or(0.0, |nulls| (*nulls as f64 / rows.max(1.0)).min(1.0)),
                min,
                max,
                width: bytes.map_or(WIDTH, |bytes| *bytes as f64 / rows),
                values: None,
            }
        });
        Some(Estimate::of(rows, columns.collect()))
    }

    /// Bytes of a row.
    pub fn width(&self) -> f64 {
        self.columns.iter().map(|column| column.width).sum::<f64>().max(1.0)
    }

    /// The rows for which a predicate is true; of parts that cannot be evaluated before the query runs, `others` share.
    fn filtered(&self, predicates: &[Arc<dyn PhysicalExpr>], others: f64) -> Self {
        let mut columns = self.columns.clone();
        for conjunct in predicates.iter().flat_map(split_conjunction) {
            // What one column alone is asked leaves fewer of its values.
            let mut asked = collect_columns(conjunct).into_iter();
            if let (Some(column), None) = (asked.next(), asked.next())
                && let Some(of) = columns.get_mut(column.index())
            {
                of.distinct = (of.distinct * selectivity(conjunct, self)).max(1.0);
            }
        }
        let share: f64 = conjunction(predicates.iter().flat_map(split_conjunction), self) * others;
        Estimate { rows: self.rows * share, columns, ..*self }
    }

    /// The first rows.
    fn limited(&self, fetch: Option<usize>) -> Self {
        Estimate { rows: fetch.map_or(self.rows, |fetch| self.rows.min(fetch as f64)), ..self.clone() }
    }

    /// The groups of rows by `keys`, and as many further columns as make `columns`.
    fn grouped(&self, keys: Vec<ColumnEstimate>, columns: usize) -> Self {
        let rows = if keys.is_empty() { 1.0 } else { distinct_rows(self.rows, &keys) };
        let mut all = keys;
        all.resize(columns, ColumnEstimate::unknown(rows));
        Estimate::of(rows, all)
    }

    /// All rows of several inputs of the same columns.
    fn united(inputs: Vec<Arc<Estimate>>) -> Option<Self> {
        inputs.into_iter().map(Arc::unwrap_or_clone).reduce(|mut whole, input| {
            for (column, other) in whole.columns.iter_mut().zip(&input.columns) {
                *column = column.either(other);
            }
            whole.rows += input.rows;
            whole.unfiltered += input.unfiltered;
            whole
        })
    }

    /// The rows of a join by keys that are equal in pairs, of which the share `filter` passes what else is asked.
    fn joined(
        join_type: JoinType,
        left: &Estimate,
        right: &Estimate,
        keys: &[(ColumnEstimate, ColumnEstimate)],
        filter: f64,
    ) -> Self {
        let matched = Matched::of(keys, left, right, filter);
        let rows = match join_type {
            JoinType::Inner => matched.rows,
            JoinType::Left => matched.rows.max(left.rows),
            JoinType::Right => matched.rows.max(right.rows),
            JoinType::Full => matched.rows.max(left.rows + right.rows - matched.rows),
            JoinType::LeftSemi => left.rows * matched.left,
            JoinType::RightSemi => right.rows * matched.right,
            JoinType::LeftAnti => left.rows * (1.0 - matched.left),
            JoinType::RightAnti => right.rows * (1.0 - matched.right),
            JoinType::LeftMark => left.rows,
            JoinType::RightMark => right.rows,
        };
        let mut columns = match join_type {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left.columns.clone(),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right.columns.clone(),
            _ => left.beside(right).columns,
        };
        if matches!(join_type, JoinType::LeftMark | JoinType::RightMark) {
            columns.push(ColumnEstimate::unknown(2.0));
        }
        Estimate { rows, unfiltered: rows.max(left.unfiltered).max(right.unfiltered), columns }
    }

    /// The columns of both.
    fn beside(&self, other: &Estimate) -> Self {
        Estimate { columns: [&self.columns[..], &other.columns[..]].concat(), ..*self }
    }
}

impl ColumnEstimate {
    pub fn unknown(rows: f64) -> Self {
        ColumnEstimate { distinct: rows.max(1.0), nulls: 0.0, min: None, max: None, width: WIDTH, values: None }
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
            values: None,
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
        let all = (domain(keys.iter().map(|key| &key.0)), domain(keys.iter().map(|key| &key.1)));
        let whole = (left.unfiltered.max(1.0), right.unfiltered.max(1.0));
        let (of_left, of_right) = (all.0.min(whole.0), all.1.min(whole.1));
        // Several columns together that could have more values than there are rows identify these rows, most likely; what
        // the product of their counts says beyond that is not so on the other side either.
        let common = match keys.len() > 1 && (of_left < all.0 || of_right < all.1) {
            true => of_left.min(of_right),
            false => of_left.max(of_right),
        };
        let (left, right) = (left.rows, right.rows);
        // A few values may have most of both sides' rows.
        let equal = match keys {
            [(ColumnEstimate { values: Some(l), .. }, ColumnEstimate { values: Some(r), .. })] => l.equal(r),
            _ => whole_left * whole_right / common,
        };
        let partners = |of_other: f64, rows_other: f64, all_other: f64| {
            let kept = (rows_other / all_other).min(1.0) * filter;
            (distinct_of_part(of_other.min(common), all_other, kept) / common).clamp(0.0, 1.0)
        };
        Matched {
            rows: left * right * equal * filter,
            left: partners(of_right, right * whole_right, whole.1) * whole_left,
            right: partners(of_left, left * whole_left, whole.0) * whole_right,
        }
    }
}

/// The distinct values of several columns together.
fn domain<'a>(columns: impl Iterator<Item = &'a ColumnEstimate>) -> f64 {
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

/// The value that an expression over the estimate's columns gives.
pub fn column_of(expr: &Arc<dyn PhysicalExpr>, input: &Estimate) -> ColumnEstimate {
    let of = |column: &Column| input.columns.get(column.index()).cloned();
    if let Some(column) = expr.downcast_ref::<Column>() {
        return of(column).unwrap_or_else(|| ColumnEstimate::unknown(input.rows));
    }
    let cast = expr.downcast_ref::<CastExpr>().map(CastExpr::expr);
    if let Some(inner) = cast.or(expr.downcast_ref::<TryCastExpr>().map(TryCastExpr::expr)) {
        return ColumnEstimate { min: None, max: None, ..column_of(inner, input) };
    }
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        let value = literal.value();
        let (nulls, value) = (if value.is_null() { 1.0 } else { 0.0 }, number(value));
        return ColumnEstimate { distinct: 1.0, nulls, min: value, max: value, width: WIDTH, values: None };
    }
    // A function of columns has at most as many values as they.
    let distinct: f64 = collect_columns(expr).iter().filter_map(of).map(|column| column.distinct).product();
    ColumnEstimate::unknown(distinct.min(input.rows))
}

/// The share of rows for which a predicate over the estimate's columns is true. What only becomes known while the query
/// runs is taken to let everything pass.
pub fn selectivity(predicate: &Arc<dyn PhysicalExpr>, input: &Estimate) -> f64 {
    let of = |expr: &Arc<dyn PhysicalExpr>| column_of(expr, input);
    let share = if let Some(binary) = predicate.downcast_ref::<BinaryExpr>() {
        let (left, right) = (binary.left(), binary.right());
        match binary.op() {
            Operator::And => conjunction(split_conjunction(predicate).into_iter(), input),
            Operator::Or => {
                let (left, right) = (selectivity(left, input), selectivity(right, input));
                left + right - left * right
            }
            Operator::Eq => 1.0 / of(left).distinct.max(of(right).distinct).max(1.0),
            Operator::NotEq => 1.0 - 1.0 / of(left).distinct.max(of(right).distinct).max(1.0),
            Operator::Lt | Operator::LtEq => below(of(left), of(right)),
            Operator::Gt | Operator::GtEq => below(of(right), of(left)),
            _ => UNKNOWN,
        }
    } else if let Some(not) = predicate.downcast_ref::<NotExpr>() {
        1.0 - selectivity(not.arg(), input)
    } else if let Some(within) = predicate.downcast_ref::<InListExpr>() {
        let share = (within.list().len() as f64 / of(within.expr()).distinct.max(1.0)).min(1.0);
        if within.negated() { 1.0 - share } else { share }
    } else if let Some(is) = predicate.downcast_ref::<IsNullExpr>() {
        of(is.arg()).nulls
    } else if let Some(is) = predicate.downcast_ref::<IsNotNullExpr>() {
        1.0 - of(is.arg()).nulls
    } else if predicate.is::<DynamicFilterPhysicalExpr>() {
        1.0
    } else {
        match predicate.downcast_ref::<Literal>().map(Literal::value) {
            Some(ScalarValue::Boolean(Some(value))) => f64::from(u8::from(*value)),
            _ => UNKNOWN,
        }
    };
    share.clamp(0.0, 1.0)
}

/// The share of rows for which all are true: as if they were independent, but for the two ends of a range.
fn conjunction<'a>(conjuncts: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>, input: &Estimate) -> f64 {
    let mut ranges: BTreeMap<(usize, bool), f64> = BTreeMap::new();
    let mut share = 1.0;
    for conjunct in conjuncts {
        let own = selectivity(conjunct, input);
        match end_of_range(conjunct) {
            // Of two lower ends the higher one counts, and so on.
            Some(end) => {
                let least = ranges.entry(end).or_insert(own);
                *least = least.min(own);
            }
            None => share *= own,
        }
    }
    for ((column, upper), own) in &ranges {
        share *= match (ranges.get(&(*column, !upper)), upper) {
            (None, _) => *own,
            (Some(_), true) => 1.0,
            (Some(other), false) if own + other > 1.0 => own + other - 1.0,
            (Some(other), false) => own * other,
        };
    }
    share
}

/// The column of which a comparison with a literal tells the lower end, or the upper (`true`).
fn end_of_range(conjunct: &Arc<dyn PhysicalExpr>) -> Option<(usize, bool)> {
    let binary = conjunct.downcast_ref::<BinaryExpr>()?;
    let upper = match binary.op() {
        Operator::Lt | Operator::LtEq => true,
        Operator::Gt | Operator::GtEq => false,
        _ => return None,
    };
    let column = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().map(Column::index);
    match (column(binary.left()), column(binary.right())) {
        (Some(column), None) if binary.right().is::<Literal>() => Some((column, upper)),
        (None, Some(column)) if binary.left().is::<Literal>() => Some((column, !upper)),
        _ => None,
    }
}

/// The share of pairs in which the one is less than the other.
fn below(left: ColumnEstimate, right: ColumnEstimate) -> f64 {
    let range = |column: &ColumnEstimate| column.min.zip(column.max);
    match (range(&left), range(&right)) {
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
