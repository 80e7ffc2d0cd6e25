//! Which columns queries filter, join and group by, noticed while they are planned: best effort, in memory, until ANALYZE
//! keeps it with a table's statistics.

use std::collections::{BTreeMap, HashMap};

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan};
use parking_lot::Mutex;

use crate::common::{ColumnId, TableId};
use crate::physical_plan::provider::BlueshiftTable;
use crate::statistics::Use;

/// Tables that are remembered, at most.
const MOST_TABLES: usize = 10_000;

/// What was noticed in this process.
#[derive(Debug, Default)]
pub(super) struct Uses {
    tables: Mutex<HashMap<TableId, BTreeMap<ColumnId, Use>>>,
}

impl Uses {
    pub fn note(&self, table: TableId, column: ColumnId, how: u8, now_us: i64) {
        let mut tables = self.tables.lock();
        if tables.len() >= MOST_TABLES && !tables.contains_key(&table) {
            return;
        }
        let new = Use { first_us: now_us, last_us: now_us, how };
        tables.entry(table).or_default().entry(column).and_modify(|old| *old = old.merge(new)).or_insert(new);
    }

    /// A table's columns that queries used.
    pub fn of(&self, table: TableId) -> BTreeMap<ColumnId, Use> {
        self.tables.lock().get(&table).cloned().unwrap_or_default()
    }
}

/// Notes what a query's plan uses of Blueshift's tables; what cannot be followed to a table is left out.
pub(super) fn note(plan: &LogicalPlan) {
    let noted = plan.apply_with_subqueries(|plan| {
        match plan {
            LogicalPlan::Filter(filter) => note_columns(&filter.predicate, plan, Use::FILTER)?,
            LogicalPlan::Join(join) => {
                for (left, right) in &join.on {
                    note_columns(left, plan, Use::JOIN)?;
                    note_columns(right, plan, Use::JOIN)?;
                }
                if let Some(filter) = &join.filter {
                    note_columns(filter, plan, Use::JOIN)?;
                }
            }
            LogicalPlan::Aggregate(aggregate) => {
                for expr in &aggregate.group_expr {
                    note_columns(expr, plan, Use::GROUP)?;
                }
            }
            LogicalPlan::TableScan(scan) => {
                for expr in &scan.filters {
                    note_columns(expr, plan, Use::FILTER)?;
                }
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if let Err(e) = noted {
        tracing::debug!(error = %e, "a plan's uses of columns were not noted");
    }
}

/// Notes the columns of an expression of `plan`.
fn note_columns(expr: &Expr, plan: &LogicalPlan, how: u8) -> Result<()> {
    expr.apply(|e| {
        if let Expr::Column(column) = e {
            match plan {
                LogicalPlan::TableScan(_) => note_column(plan, column, how),
                _ => plan.inputs().into_iter().for_each(|input| note_column(input, column, how)),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Follows a column of the plan's output down to the table that it comes from.
fn note_column(plan: &LogicalPlan, column: &Column, how: u8) {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let of_scan = column.relation.as_ref().is_none_or(|relation| relation.resolved_eq(&scan.table_name));
            let Ok(provider) = source_as_provider(&scan.source) else { return };
            if let (true, Some(table)) = (of_scan, provider.downcast_ref::<BlueshiftTable>())
                && let Some(ordinal) = table.def().columns.iter().position(|c| c.name == column.name)
            {
                table.note_use(ordinal, how);
            }
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(at) = alias.schema.maybe_index_of_column(column) else { return };
            let (relation, field) = alias.input.schema().qualified_field(at);
            note_column(&alias.input, &Column::new(relation.cloned(), field.name()), how);
        }
        LogicalPlan::Projection(projection) => {
            let Some(at) = projection.schema.maybe_index_of_column(column) else { return };
            let mut expr = &projection.expr[at];
            while let Expr::Alias(alias) = expr {
                expr = &alias.expr;
            }
            if let Expr::Column(column) = expr {
                note_column(&projection.input, column, how);
            }
        }
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Join(_) => {
            for input in plan.inputs() {
                if input.schema().maybe_index_of_column(column).is_some() {
                    note_column(input, column, how);
                }
            }
        }
        _ => {}
    }
}
