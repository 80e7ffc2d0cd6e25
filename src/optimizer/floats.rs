//! A floating-point number among decimals makes them floating-point numbers, as in Redshift ("Numeric types": a DOUBLE
//! with a DECIMAL is a DOUBLE). DataFusion makes all DECIMAL(30, 15), which loses small values and fails at large ones.
//!
//! Of comparisons, of values to choose from, and of the columns that a UNION puts together; before types are coerced.
//! Literals beside a floating-point number are [`super::literals`]'s.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Projection, Union, cast};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_node;
use crate::physical_plan::guarded::compares;

/// See the module.
#[derive(Debug, Default)]
pub struct Floats;

impl AnalyzerRule for Floats {
    fn name(&self) -> &str {
        "blueshift_floats"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = |mut expr: Expr, schema: &DFSchema| {
            Ok(if rewrite(&mut expr, schema)? { Transformed::yes(expr) } else { Transformed::no(expr) })
        };
        let mut united = false;
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Union(union) => {
                let union = unite(union)?;
                united |= union.transformed;
                Ok(union)
            }
            // What stands above such a UNION has other types than it was planned with.
            plan if united => rewrite_node(plan.recompute_schema()?, &rewritten),
            plan => rewrite_node(plan, &rewritten),
        })
        .data()
    }
}

/// A UNION whose columns are floating-point numbers in all branches where they are in one.
fn unite(union: Union) -> Result<Transformed<LogicalPlan>> {
    let fields = |wanted: fn(&DataType) -> bool| {
        let branches = union.inputs.iter().flat_map(|input| input.schema().fields().iter().enumerate());
        branches.filter(|(_, field)| wanted(field.data_type())).map(|(i, _)| i).collect::<HashSet<_>>()
    };
    let floats = fields(DataType::is_floating);
    if floats.is_disjoint(&fields(DataType::is_decimal)) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let inputs = union.inputs.into_iter().map(|input| with_floats(input, |i| floats.contains(&i)));
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)))
}

/// A plan with floating-point numbers instead of decimals in the columns that are `wanted`.
fn with_floats(plan: Arc<LogicalPlan>, wanted: impl Fn(usize) -> bool) -> Result<Arc<LogicalPlan>> {
    let is_decimal = |i: usize| wanted(i) && plan.schema().field(i).data_type().is_decimal();
    if !(0..plan.schema().fields().len()).any(&is_decimal) {
        return Ok(plan);
    }
    let columns = plan.schema().iter().enumerate().map(|(i, (table, field))| {
        let column = Expr::Column(Column::new(table.cloned(), field.name()));
        match is_decimal(i) {
            true => cast(column, DataType::Float64).alias_qualified(table.cloned(), field.name()),
            false => column,
        }
    });
    Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(columns.collect(), Arc::clone(&plan))?)))
}

/// Whether something changed.
fn rewrite(expr: &mut Expr, schema: &DFSchema) -> Result<bool> {
    Ok(match expr {
        Expr::InSubquery(InSubquery { expr, subquery, .. }) => {
            let Ok(of) = expr.get_type(schema) else { return Ok(false) };
            match subquery.subquery.schema().fields().first().map(|field| field.data_type()) {
                Some(found) if found.is_floating() => agree_with(expr, &of),
                Some(found) if found.is_decimal() && of.is_floating() => {
                    subquery.subquery = with_floats(Arc::clone(&subquery.subquery), |_| true)?;
                    true
                }
                _ => false,
            }
        }
        Expr::BinaryExpr(binary) if compares(binary.op) => {
            agree([binary.left.as_mut(), binary.right.as_mut()].into(), schema)
        }
        Expr::Between(between) => {
            agree([between.expr.as_mut(), between.low.as_mut(), between.high.as_mut()].into(), schema)
        }
        Expr::InList(list) => agree(std::iter::once(list.expr.as_mut()).chain(&mut list.list).collect(), schema),
        Expr::Case(case) => {
            let mut compared = Vec::new();
            let mut chosen = Vec::new();
            let base = case.expr.as_deref_mut();
            let simple = base.is_some();
            compared.extend(base);
            for (when, then) in &mut case.when_then_expr {
                if simple {
                    compared.push(when.as_mut());
                }
                chosen.push(then.as_mut());
            }
            chosen.extend(case.else_expr.as_deref_mut());
            agree(compared, schema) | agree(chosen, schema)
        }
        Expr::ScalarFunction(call) => match call.func.name() {
            "coalesce" | "nvl" | "ifnull" | "nullif" | "greatest" | "least" => {
                agree(call.args.iter_mut().collect(), schema)
            }
            "nvl2" | "if" => agree(call.args.iter_mut().skip(1).collect(), schema),
            _ => false,
        },
        _ => false,
    })
}

/// Makes values floating-point numbers, where one is and others are decimals. Whether any was changed.
fn agree(values: Vec<&mut Expr>, schema: &DFSchema) -> bool {
    // A type that cannot be told here, of a parameter or an outer query's column, decides nothing.
    let types: Vec<Option<DataType>> = values.iter().map(|value| value.get_type(schema).ok()).collect();
    if !types.iter().flatten().any(DataType::is_floating) {
        return false;
    }
    let mut changed = false;
    for (value, of) in values.into_iter().zip(types) {
        changed |= of.is_some_and(|of| agree_with(value, &of));
    }
    changed
}

/// Makes a value a floating-point number if it is a decimal. Whether it was.
fn agree_with(value: &mut Expr, of: &DataType) -> bool {
    if of.is_decimal() {
        *value = cast(std::mem::take(value), DataType::Float64);
    }
    of.is_decimal()
}
