//! Estimates of logical plans, by which the order of joins is chosen.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Result, Statistics};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Distinct, Expr, FetchType, LogicalPlan, TableScan};
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_plan::PhysicalExpr;

use super::{ColumnEstimate, Estimate, UNKNOWN, distinct_rows};
use crate::physical_plan::provider::BlueshiftTable;

/// Estimates plans, each part of them once.
#[derive(Debug)]
pub struct Estimator<'a> {
    options: &'a ConfigOptions,
    /// By the address of a node that outlives the estimator.
    known: HashMap<usize, Option<Arc<Estimate>>>,
}

/// The value that an expression over a plan's columns gives.
pub fn column_of(expr: &Expr, input: &Estimate, schema: &DFSchema) -> ColumnEstimate {
    match compiled(expr, schema) {
        Some(expr) => super::column_of(&expr, input),
        None => ColumnEstimate::unknown(input.rows),
    }
}

/// The share of rows for which a predicate over a plan's columns is true.
pub fn selectivity(predicate: &Expr, input: &Estimate, schema: &DFSchema) -> f64 {
    compiled(predicate, schema).map_or(UNKNOWN, |predicate| super::selectivity(&predicate, input))
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
                let parts = split_conjunction(&filter.predicate);
                let known: Vec<_> = parts.iter().filter_map(|part| compiled(part, filter.input.schema())).collect();
                input.filtered(&known, UNKNOWN.powi((parts.len() - known.len()) as i32))
            }
            LogicalPlan::Projection(projection) => {
                let input = self.estimate(&projection.input)?;
                let schema = projection.input.schema();
                let columns = projection.expr.iter().map(|expr| column_of(expr, &input, schema)).collect();
                Estimate { columns, rows: input.rows, unfiltered: input.unfiltered }
            }
            LogicalPlan::Aggregate(aggregate) => {
                let input = self.estimate(&aggregate.input)?;
                let schema = aggregate.input.schema();
                let keys = aggregate.group_expr.iter().map(|expr| column_of(expr, &input, schema)).collect();
                input.grouped(keys, aggregate.schema.fields().len())
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.estimate(input)?;
                Estimate::of(distinct_rows(input.rows, &input.columns), input.columns.clone())
            }
            LogicalPlan::Distinct(Distinct::On(on)) => {
                let input = self.estimate(&on.input)?;
                let columns = plan.schema().fields().iter().map(|_| ColumnEstimate::unknown(input.rows)).collect();
                Estimate { columns, rows: input.rows, unfiltered: input.unfiltered }
            }
            LogicalPlan::Sort(sort) => self.estimate(&sort.input)?.limited(sort.fetch),
            LogicalPlan::Limit(limit) => {
                let fetch = match limit.get_fetch_type() {
                    Ok(FetchType::Literal(fetch)) => fetch,
                    _ => None,
                };
                self.estimate(&limit.input)?.limited(fetch)
            }
            LogicalPlan::Repartition(repartition) => Estimate::clone(&*self.estimate(&repartition.input)?),
            LogicalPlan::Window(window) => {
                let mut input = Estimate::clone(&*self.estimate(&window.input)?);
                let rows = input.rows;
                input.columns.resize_with(window.schema.fields().len(), || ColumnEstimate::unknown(rows));
                input
            }
            LogicalPlan::Union(union) => {
                Estimate::united(union.inputs.iter().map(|input| self.estimate(input)).collect::<Option<_>>()?)?
            }
            LogicalPlan::EmptyRelation(empty) => {
                Estimate::unknown(f64::from(u8::from(empty.produce_one_row)), empty.schema.fields().len())
            }
            LogicalPlan::Values(values) => Estimate::unknown(values.values.len() as f64, values.schema.fields().len()),
            LogicalPlan::Join(join) => {
                let (left, right) = (self.estimate(&join.left)?, self.estimate(&join.right)?);
                let keys: Vec<(ColumnEstimate, ColumnEstimate)> = join
                    .on
                    .iter()
                    .map(|(l, r)| (column_of(l, &left, join.left.schema()), column_of(r, &right, join.right.schema())))
                    .collect();
                let both = join.left.schema().join(join.right.schema()).ok()?;
                let filter = join.filter.as_ref().map_or(1.0, |f| selectivity(f, &left.beside(&right), &both));
                Estimate::joined(join.join_type, &left, &right, &keys, filter)
            }
            _ => return None,
        })
    }

    fn scan(&self, scan: &TableScan) -> Option<Estimate> {
        let provider = source_as_provider(&scan.source).ok()?;
        let all: Vec<usize> = (0..provider.schema().fields().len()).collect();
        let projection = scan.projection.as_ref().unwrap_or(&all);
        let part = |filters: usize| UNKNOWN.powi(filters as i32);
        match provider.downcast_ref::<BlueshiftTable>() {
            Some(table) => {
                let rows = table.estimated(self.options)?;
                let schema = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &provider.schema()).ok()?;
                let filters: Vec<_> = scan.filters.iter().filter_map(|filter| compiled(filter, &schema)).collect();
                let mut whole = Estimate::of_scan(&rows, projection, &filters, scan.fetch)?;
                whole.rows *= part(scan.filters.len() - filters.len());
                Some(whole)
            }
            None => {
                let Statistics { num_rows, column_statistics, .. } = provider.statistics()?;
                let of = |i: &usize| column_statistics.get(*i).cloned();
                let column_statistics = projection.iter().map(of).collect::<Option<Vec<_>>>()?;
                let num_rows = num_rows.map(|rows| (rows as f64 * part(scan.filters.len())).ceil() as usize);
                Estimate::of_statistics(
                    &Statistics { num_rows, total_byte_size: Precision::Absent, column_statistics },
                    &[],
                )
            }
        }
    }
}

/// `None` of what cannot be evaluated yet, for a parameter or a subquery in it.
fn compiled(expr: &Expr, schema: &DFSchema) -> Option<Arc<dyn PhysicalExpr>> {
    let compiled: Result<_> = create_physical_expr(expr, schema, &ExecutionProps::new(), &Default::default());
    compiled.ok()
}
