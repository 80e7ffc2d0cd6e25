//! A decimal literal beside a REAL or DOUBLE value becomes DOUBLE.
//!
//! `1.5` is DECIMAL in Redshift's SQL, and so in ours. DataFusion would compare `d > 1.5` with a DOUBLE column as
//! decimals: casts of large values then fail, and the cast hides the column from zone maps. Redshift compares as DOUBLE
//! ("Numeric types", mixed arithmetic), which is what this rule makes of it, before types are coerced.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Between, BinaryExpr, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

/// See the module.
#[derive(Debug, Default)]
pub struct FloatLiterals;

impl AnalyzerRule for FloatLiterals {
    fn name(&self) -> &str {
        "float_literals"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let mut schema = merge_schema(&plan.inputs());
            if let LogicalPlan::TableScan(scan) = &plan {
                schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
            }
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_up(|e| rewrite(e, &schema))?.update_data(|e| name.restore(e)))
            })
        })
        .data()
    }
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    // A type that cannot be told here (of an outer query's column) is left to coercion.
    let is_float = |e: &Expr| matches!(e.get_type(schema), Ok(DataType::Float32 | DataType::Float64));
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (to_double(&left), to_double(&right)) {
            (Some(literal), None) if is_float(&right) => {
                Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: Box::new(literal), op, right }))
            }
            (None, Some(literal)) if is_float(&left) => {
                Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right: Box::new(literal) }))
            }
            _ => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
        },
        Expr::Between(between) if is_float(&between.expr) => {
            let double = |e: Box<Expr>| to_double(&e).map(Box::new).unwrap_or(e);
            Transformed::yes(Expr::Between(Between { low: double(between.low), high: double(between.high), ..between }))
        }
        Expr::InList(list) if is_float(&list.expr) => {
            let double = |e: Expr| to_double(&e).unwrap_or(e);
            Transformed::yes(Expr::InList(InList { list: list.list.into_iter().map(double).collect(), ..list }))
        }
        other => Transformed::no(other),
    })
}

/// A decimal literal as DOUBLE.
fn to_double(expr: &Expr) -> Option<Expr> {
    let (value, metadata) = match expr {
        Expr::Literal(value, metadata) => (value, metadata),
        // `-1.5` is a negated literal until constants are folded.
        Expr::Negative(inner) => return to_double(inner).map(|literal| Expr::Negative(Box::new(literal))),
        _ => return None,
    };
    match value {
        ScalarValue::Decimal32(Some(_), ..)
        | ScalarValue::Decimal64(Some(_), ..)
        | ScalarValue::Decimal128(Some(_), ..)
        | ScalarValue::Decimal256(Some(_), ..) => {
            let double = value.cast_to(&DataType::Float64).ok()?;
            Some(Expr::Literal(double, metadata.clone()))
        }
        _ => None,
    }
}

/// DataFusion's analyzer rules with ours where they belong: before types are coerced.
pub fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = datafusion::optimizer::Analyzer::new().rules;
    let at = rules.iter().position(|rule| rule.name() == "type_coercion").unwrap_or(0);
    rules.insert(at, Arc::new(FloatLiterals));
    rules
}
