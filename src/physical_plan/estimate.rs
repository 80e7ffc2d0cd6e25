//! How many rows of a table pass a filter, and how many distinct values its columns then hold: for the statistics of scans,
//! and for rules that choose among plans.

use std::sync::Arc;

use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, DynamicFilterPhysicalExpr, NotExpr};
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_plan::PhysicalExpr;

use super::filter::{Translated, translate};
use super::routed::RoutedFilter;
use super::scan::ScanTable;
use crate::common::{Bounds, SqlType, Stored};
use crate::statistics::{ColumnView, Condition, join_selectivity};

/// The share of rows for which a comparison holds that nothing is known of (PostgreSQL's guess).
const COMPARED: f64 = 1.0 / 3.0;

/// A table as estimates see it: what the catalog knows of its columns, and its statistics.
#[derive(Debug)]
pub struct TableView<'a> {
    table: &'a ScanTable,
    /// Of each column; dead rows are among them.
    bounds: Vec<Bounds>,
    live_rows: u64,
}

/// What is left of a table after filters.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    pub rows: f64,
    /// Per column of the table, distinct values among these rows, NULL not counted.
    pub distinct: Vec<f64>,
    /// Per column, bytes of a row in Arrow's form.
    pub row_bytes: Vec<f64>,
}

/// Distinct values of a column, where statistics tell.
pub fn known_distinct(table: &ScanTable, ordinal: usize) -> Option<f64> {
    let statistics = table.statistics.as_ref()?.columns.get(&table.def.columns.get(ordinal)?.id);
    ColumnView { bounds: &bounds_of(table, ordinal), statistics }.known_distinct()
}

impl<'a> TableView<'a> {
    pub fn new(table: &'a ScanTable) -> Self {
        let bounds = (0..table.def.columns.len()).map(|ordinal| bounds_of(table, ordinal)).collect();
        let live = table.segments.iter().map(|s| u64::from(s.rows - s.deleted.map_or(0, |d| d.rows))).sum();
        TableView { table, bounds, live_rows: live }
    }

    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.live_rows
    }

    pub fn bounds(&self, ordinal: usize) -> &Bounds {
        &self.bounds[ordinal]
    }

    /// A column by its ordinal.
    pub fn column(&self, ordinal: usize) -> ColumnView<'_> {
        let statistics = self.table.statistics.as_ref();
        let id = self.table.def.columns[ordinal].id;
        ColumnView { bounds: &self.bounds[ordinal], statistics: statistics.and_then(|s| s.columns.get(&id)) }
    }

    /// The share of rows that pass `filters`, which are over the table's columns by their ordinals. What only becomes known
    /// while the query runs is taken to let everything pass.
    pub fn selectivity(&self, filters: &[Arc<dyn PhysicalExpr>]) -> f64 {
        self.condition(filters).selectivity(&|ordinal| self.column(ordinal))
    }

    /// What is left after `filters`.
    pub fn estimate(&self, filters: &[Arc<dyn PhysicalExpr>]) -> Estimate {
        let condition = self.condition(filters);
        let column = |ordinal: usize| self.column(ordinal);
        let share = condition.selectivity(&column);
        let columns = 0..self.bounds.len();
        Estimate {
            rows: self.live_rows as f64 * share,
            distinct: columns.clone().map(|ordinal| condition.distinct_left(ordinal, share, &column)).collect(),
            row_bytes: columns.map(|ordinal| self.row_bytes(ordinal)).collect(),
        }
    }

    /// Per column, the distinct values among which those are that `filters` leave: as many as without the filters, but for
    /// those on the column itself. `None` where nothing tells.
    pub fn domains(&self, filters: &[Arc<dyn PhysicalExpr>]) -> Vec<Option<f64>> {
        let condition = self.condition(filters);
        let column = |ordinal: usize| self.column(ordinal);
        let of = |ordinal| column(ordinal).known_distinct().map(|_| condition.values_left(ordinal, &column).0);
        (0..self.bounds.len()).map(of).collect()
    }

    /// The share of the pairs of rows of two tables whose columns are equal.
    pub fn join_selectivity(&self, ordinal: usize, other: &TableView<'_>, other_ordinal: usize) -> f64 {
        join_selectivity(self.column(ordinal), other.column(other_ordinal))
    }

    /// Bytes of a column's row in Arrow's form; of text beyond its view by what loads have seen, else by a guess from its
    /// declared length.
    pub fn row_bytes(&self, ordinal: usize) -> f64 {
        let sql_type = self.table.def.columns[ordinal].sql_type;
        match (sql_type, sql_type.stored()) {
            (SqlType::Decimal { .. }, _) => 16.0,
            (_, Stored::Bytes | Stored::Binary) => {
                let guess = || match sql_type {
                    SqlType::Char(n) | SqlType::Varchar(n) if n <= 12 => 0.0,
                    SqlType::Char(n) | SqlType::Varchar(n) => f64::from(n / 2).min(32.0),
                    // Long values are seldom declared as long as they are.
                    _ => 64.0,
                };
                16.0 + self.column(ordinal).payload_per_row().unwrap_or_else(guess)
            }
            (_, Stored::Bool) => 1.0,
            (_, stored) => stored.width().unwrap_or(16) as f64,
        }
    }

    pub(super) fn condition(&self, filters: &[Arc<dyn PhysicalExpr>]) -> Condition {
        let types: Vec<SqlType> = self.table.def.columns.iter().map(|c| c.sql_type).collect();
        let conjuncts = filters.iter().flat_map(split_conjunction);
        Condition::All(conjuncts.map(|conjunct| condition(conjunct, &types)).collect())
    }
}

/// An expression over columns of `types`, as estimates understand it.
fn condition(expr: &Arc<dyn PhysicalExpr>, types: &[SqlType]) -> Condition {
    if expr.is::<DynamicFilterPhysicalExpr>() || expr.is::<RoutedFilter>() {
        return Condition::Always;
    }
    match translate(expr, types) {
        Translated::Always => return Condition::Always,
        Translated::Never => return Condition::Never,
        Translated::Encoded(column, predicate) => return Condition::Column(column, predicate),
        Translated::Residual => {}
    }
    if let Some(not) = expr.downcast_ref::<NotExpr>() {
        return Condition::Not(Box::new(condition(not.arg(), types)));
    }
    let Some(binary) = expr.downcast_ref::<BinaryExpr>() else { return Condition::Unknown(Condition::UNKNOWN) };
    let ordinal = |e: &Arc<dyn PhysicalExpr>| e.downcast_ref::<Column>().map(Column::index);
    match (binary.op(), ordinal(binary.left()), ordinal(binary.right())) {
        (Operator::And, ..) => Condition::All(vec![condition(binary.left(), types), condition(binary.right(), types)]),
        (Operator::Or, ..) => {
            let mut any = Vec::new();
            disjuncts(expr, types, &mut any);
            Condition::Any(any)
        }
        (Operator::Eq, Some(left), Some(right)) => Condition::Same(left, right),
        (Operator::NotEq, Some(left), Some(right)) => Condition::Not(Box::new(Condition::Same(left, right))),
        (Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq, ..) => Condition::Unknown(COMPARED),
        _ => Condition::Unknown(Condition::UNKNOWN),
    }
}

fn disjuncts(expr: &Arc<dyn PhysicalExpr>, types: &[SqlType], out: &mut Vec<Condition>) {
    match expr.downcast_ref::<BinaryExpr>().filter(|binary| *binary.op() == Operator::Or) {
        Some(or) => {
            disjuncts(or.left(), types, out);
            disjuncts(or.right(), types, out);
        }
        None => out.push(condition(expr, types)),
    }
}

fn bounds_of(table: &ScanTable, ordinal: usize) -> Bounds {
    let column = &table.def.columns[ordinal];
    table.segments.iter().fold(Bounds::empty(), |all, segment| {
        let rows = u64::from(segment.rows);
        let of = match segment.columns.iter().find(|c| c.id == column.id) {
            Some(stored) => stored.bounds.clone(),
            None => match &column.absent {
                Some(value) => Bounds::of_values(value.clone(), value.clone(), 0, rows),
                None => Bounds { exact: true, ..Bounds::unknown(rows, rows) },
            },
        };
        all.merge(&of)
    })
}
