//! Table functions of DataFusion that take timestamps of nanoseconds only, for SQL whose timestamps are microseconds.

use std::sync::Arc;

use datafusion::catalog::{TableFunction, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue, plan_datafusion_err};
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::Expr;

/// GENERATE_SERIES and RANGE, as far as the session has them, take TIMESTAMP as SQL writes it.
pub fn take_microseconds(builder: &mut SessionStateBuilder) {
    let functions = builder.table_functions().get_or_insert_default();
    for name in ["generate_series", "range"] {
        if let Some(function) = functions.get(name) {
            let series = Series(Arc::clone(function));
            functions.insert(name.to_string(), Arc::new(TableFunction::new(name.to_string(), Arc::new(series))));
        }
    }
}

#[derive(Debug)]
struct Series(Arc<TableFunction>);

impl TableFunctionImpl for Series {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let exprs = args.exprs().iter().map(in_nanoseconds).collect::<Result<Vec<_>>>()?;
        self.0.create_table_provider_with_args(TableFunctionArgs::new(&exprs, args.session()))
    }
}

fn in_nanoseconds(expr: &Expr) -> Result<Expr> {
    let Expr::Literal(ScalarValue::TimestampMicrosecond(Some(micros), zone), metadata) = expr else {
        return Ok(expr.clone());
    };
    let nanos = micros.checked_mul(1000).ok_or_else(|| {
        plan_datafusion_err!("a series of timestamps lies between 1677-09-21 and 2262-04-11: use dates, or add to one")
    })?;
    Ok(Expr::Literal(ScalarValue::TimestampNanosecond(Some(nanos), zone.clone()), metadata.clone()))
}
