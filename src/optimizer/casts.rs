//! A cast to CHAR(n) or VARCHAR(n) cuts, as Redshift's does.
//!
//! Arrow's text types have no length, so the cast's target carries the declared type ([`cast_target`]) until this rule
//! puts [`Declared`] around a cast to text. Names of columns stay those of the cast.
//!
//! [`cast_target`]: crate::physical_plan::declared::cast_target

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, ScalarUDF, lit};
use datafusion::optimizer::AnalyzerRule;

use crate::common::SqlType;
use crate::physical_plan::declared::{self, Declared};

/// See the module.
#[derive(Debug)]
pub struct DeclaredCasts {
    declared: Arc<ScalarUDF>,
}

impl Default for DeclaredCasts {
    fn default() -> Self {
        DeclaredCasts { declared: Arc::new(Declared::default().into()) }
    }
}

impl AnalyzerRule for DeclaredCasts {
    fn name(&self) -> &str {
        "blueshift_casts"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_up(|e| Ok(self.rewrite(e)))?.update_data(|e| name.restore(e)))
            })
        })
        .data()
    }
}

impl DeclaredCasts {
    fn rewrite(&self, expr: Expr) -> Transformed<Expr> {
        match expr {
            Expr::Cast(Cast { expr, field }) => match declared::of_cast_target(&field) {
                Some(to) => self.declare(Expr::Cast(Cast::new(expr, DataType::Utf8View)), to),
                None => Transformed::no(Expr::Cast(Cast { expr, field })),
            },
            Expr::TryCast(TryCast { expr, field }) => match declared::of_cast_target(&field) {
                Some(to) => self.declare(Expr::TryCast(TryCast::new(expr, DataType::Utf8View)), to),
                None => Transformed::no(Expr::TryCast(TryCast { expr, field })),
            },
            other => Transformed::no(other),
        }
    }

    fn declare(&self, text: Expr, to: SqlType) -> Transformed<Expr> {
        let to = lit(ScalarValue::Utf8(Some(to.to_string())));
        Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&self.declared), vec![text, to])))
    }
}
