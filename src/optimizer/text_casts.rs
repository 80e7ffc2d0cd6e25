//! A cast to text of any length is NULL where its value is, and only there.
//!
//! `CAST(x AS VARCHAR)` names its target's field, so that what the source's says of a length is dropped. DataFusion's
//! physical cast then takes the field's word that it may be NULL, its logical one asks the value, and a plan in which they
//! differ is refused. Last of all rules, since others change what may be NULL. Run again, the rule changes nothing.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::rewrite_expressions_where;

/// See the module.
#[derive(Debug, Default)]
pub struct TextCasts;

impl OptimizerRule for TextCasts {
    fn name(&self) -> &str {
        "blueshift_text_casts"
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        rewrite_expressions_where(plan, concerns, rewrite)
    }
}

/// A cast whose field was named, other than to a type alone.
fn concerns(expr: &Expr) -> bool {
    matches!(expr, Expr::Cast(Cast { field, .. }) if !field.name().is_empty() && *field.data_type() == DataType::Utf8View)
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let nullable = match &expr {
        Expr::Cast(cast) if concerns(&expr) => {
            cast.expr.nullable(schema).ok().filter(|n| *n != cast.field.is_nullable())
        }
        _ => None,
    };
    Ok(match (expr, nullable) {
        (Expr::Cast(Cast { expr, field }), Some(nullable)) => {
            let field = Arc::new(field.as_ref().clone().with_nullable(nullable));
            Transformed::yes(Expr::Cast(Cast { expr, field }))
        }
        (expr, _) => Transformed::no(expr),
    })
}
