//! Joins on a part of a foreign key equate its distribution keys, too, so that no row need move.
//!
//! Where each row of `child` has a row of `parent` with its `(id, user_id)`, and no two rows of `parent` have one `id`, rows
//! that agree in `id` agree in `user_id`. Both are proven by VERIFIED constraints alone: a wrong word of RELY would lose
//! rows here. Where `id` alone is no VERIFIED key, one `id` may have several `user_id`s, and nothing is inferred.

use std::sync::Arc;

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, JoinType, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

use crate::catalog::{ConstraintKind, EffectiveDist, TableDef};
use crate::common::ColumnId;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::provider::BlueshiftTable;

/// Adds the equality of distribution keys to joins, and to filters over them. Results are the same.
#[derive(Debug)]
pub struct ForeignKeys;

impl AnalyzerRule for ForeignKeys {
    fn name(&self) -> &str {
        "blueshift_foreign_keys"
    }

    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        if !options.extensions.get::<BlueshiftOptions>().is_some_and(|o| o.constraints) {
            return Ok(plan);
        }
        plan.transform_up_with_subqueries(|node| add(node, options)).data()
    }
}

fn add(node: LogicalPlan, options: &ConfigOptions) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Filter(filter) => {
            let parts = split_conjunction(&filter.predicate);
            let equated = parts.iter().copied().filter_map(equality).collect::<Vec<_>>();
            let more = implied(&equated, &filter.input, &filter.input, options);
            if more.is_empty() {
                return Ok(Transformed::no(LogicalPlan::Filter(filter)));
            }
            let more = more.into_iter().map(|(left, right)| left.eq(right));
            let predicate = conjunction(parts.into_iter().cloned().chain(more));
            let predicate = predicate.unwrap_or_else(|| filter.predicate.clone());
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
        }
        // Where NULLs count as equal, they agree in nothing else.
        LogicalPlan::Join(mut join) if join.null_equality == NullEquality::NullEqualsNothing => {
            let mut equated: Vec<(&Expr, &Expr)> = join.on.iter().map(|(left, right)| (left, right)).collect();
            // What ON says is not split yet when it comes from SQL.
            let held = |plan: &LogicalPlan, expr: &Expr| match expr {
                Expr::Column(column) => plan.schema().has_column(column),
                _ => false,
            };
            for (a, b) in join.filter.iter().flat_map(split_conjunction).filter_map(equality) {
                match () {
                    _ if held(&join.left, a) && held(&join.right, b) => equated.push((a, b)),
                    _ if held(&join.left, b) && held(&join.right, a) => equated.push((b, a)),
                    _ => {}
                }
            }
            let more = implied(&equated, &join.left, &join.right, options);
            if more.is_empty() {
                return Ok(Transformed::no(LogicalPlan::Join(join)));
            }
            join.on.extend(more);
            Ok(Transformed::yes(LogicalPlan::Join(join)))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn equality(expr: &Expr) -> Option<(&Expr, &Expr)> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => Some((left, right)),
        _ => None,
    }
}

/// A column of a table that a plan hands on as it is.
#[derive(Debug, Clone, PartialEq)]
struct Origin {
    /// The way from the plan to the scan: which input at each join.
    path: Vec<u8>,
    column: ColumnId,
}

/// A scan's table as the statement sees it.
#[derive(Clone)]
struct Table {
    warehouse: u128,
    def: Arc<TableDef>,
}

/// The equalities that follow from `equated`, pairs of columns of `left` and `right`, which may be the same plan.
fn implied(
    equated: &[(&Expr, &Expr)],
    left: &LogicalPlan,
    right: &LogicalPlan,
    options: &ConfigOptions,
) -> Vec<(Expr, Expr)> {
    let mut known = Vec::new();
    for (a, b) in equated {
        if let (Expr::Column(a), Expr::Column(b)) = (a, b)
            && let (Some(a), Some(b)) = (origin_of(left, a, options), origin_of(right, b, options))
        {
            known.push((a, b));
        }
    }
    let mut more: Vec<(Expr, Expr)> = Vec::new();
    for ((a, a_table), (b, b_table)) in &known {
        let same_path = std::ptr::eq(left, right) && a.path == b.path;
        if same_path || a_table.warehouse != b_table.warehouse {
            continue;
        }
        // The columns that are equated of these two scans.
        let mut pairs = Vec::new();
        for ((x, _), (y, _)) in &known {
            match () {
                _ if x.path == a.path && y.path == b.path => pairs.push((x.column, y.column)),
                _ if std::ptr::eq(left, right) && x.path == b.path && y.path == a.path => {
                    pairs.push((y.column, x.column));
                }
                _ => {}
            }
        }
        let swapped: Vec<(ColumnId, ColumnId)> = pairs.iter().map(|(x, y)| (*y, *x)).collect();
        let keys = distribution(&a_table.def, &b_table.def, &pairs)
            .or_else(|| distribution(&b_table.def, &a_table.def, &swapped).map(|(child, parent)| (parent, child)));
        let Some((of_a, of_b)) = keys else { continue };
        let column = |plan, path: &[u8], column| column_from(plan, &Origin { path: path.to_vec(), column }, options);
        if let (Some(x), Some(y)) = (column(left, &a.path, of_a), column(right, &b.path, of_b)) {
            let pair = (Expr::Column(x), Expr::Column(y));
            if !more.contains(&pair) {
                more.push(pair);
            }
        }
    }
    more
}

/// The distribution keys of `child` and `parent`, if rows that agree in `pairs` are proven to agree in them.
fn distribution(child: &TableDef, parent: &TableDef, pairs: &[(ColumnId, ColumnId)]) -> Option<(ColumnId, ColumnId)> {
    let (EffectiveDist::Key(own), EffectiveDist::Key(other)) = (child.effective_dist, parent.effective_dist) else {
        return None;
    };
    let one_type = child.column(own)?.sql_type == parent.column(other)?.sql_type;
    if !one_type || pairs.contains(&(own, other)) {
        return None;
    }
    child.constraints.iter().filter(|c| c.is_verified()).find_map(|constraint| {
        let ConstraintKind::ForeignKey { table, referenced } = &constraint.kind else { return None };
        let refers: Vec<(ColumnId, ColumnId)> =
            constraint.columns.iter().copied().zip(referenced.iter().copied()).collect();
        if *table != parent.id || !refers.contains(&(own, other)) {
            return None;
        }
        // A key with a NULL refers to no row.
        let is_there = |(own, of): &(ColumnId, ColumnId)| {
            pairs.contains(&(*own, *of)) || child.column(*own).is_some_and(|column| !column.nullable)
        };
        let matched = |id: &ColumnId| refers.iter().any(|pair| pair.1 == *id && pairs.contains(pair));
        let mut keys = parent.constraints.iter().filter(|c| c.is_key() && c.is_verified());
        (refers.iter().all(is_there) && keys.any(|key| key.columns.iter().all(matched))).then_some((own, other))
    })
}

fn origin_of(plan: &LogicalPlan, column: &Column, options: &ConfigOptions) -> Option<(Origin, Table)> {
    follow(plan, plan.schema().maybe_index_of_column(column)?, options)
}

/// The scan and the column that the plan's column of that ordinal is.
fn follow(plan: &LogicalPlan, ordinal: usize, options: &ConfigOptions) -> Option<(Origin, Table)> {
    let (mut plan, mut ordinal, mut path) = (plan, ordinal, Vec::new());
    loop {
        plan = match plan {
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::Sort(sort) => &sort.input,
            LogicalPlan::Limit(limit) => &limit.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::Projection(projection) => {
                let Expr::Column(column) = projection.expr.get(ordinal)?.clone().unalias_nested().data else {
                    return None;
                };
                ordinal = projection.input.schema().maybe_index_of_column(&column)?;
                &projection.input
            }
            LogicalPlan::Join(join) => {
                let before = join.left.schema().fields().len();
                let right = match join.join_type {
                    JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => ordinal >= before,
                    JoinType::LeftSemi | JoinType::LeftAnti => false,
                    JoinType::RightSemi | JoinType::RightAnti => {
                        path.push(1);
                        plan = &join.right;
                        continue;
                    }
                    _ => return None,
                };
                path.push(u8::from(right));
                if right {
                    ordinal -= before;
                }
                if right { &join.right } else { &join.left }
            }
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source).ok()?;
                let table = provider.downcast_ref::<BlueshiftTable>()?;
                let (warehouse, def) = table.definition(options)?;
                let ordinal = match &scan.projection {
                    Some(projection) => *projection.get(ordinal)?,
                    None => ordinal,
                };
                let column = def.columns.get(ordinal)?.id;
                return Some((Origin { path, column }, Table { warehouse, def }));
            }
            _ => return None,
        };
    }
}

/// The plan's column that is that one.
fn column_from(plan: &LogicalPlan, origin: &Origin, options: &ConfigOptions) -> Option<Column> {
    let ordinals = 0..plan.schema().fields().len();
    let found = ordinals.into_iter().find(|i| follow(plan, *i, options).is_some_and(|(of, _)| of == *origin))?;
    Some(Column::from(plan.schema().qualified_field(found)))
}
