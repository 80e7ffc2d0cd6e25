//! The time: one per statement, known when the statement is planned, so that plans prune by it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::call::{external, timestamp};
use super::format::Format;
use super::write::{Shown, Written, write};
use crate::common::calendar::SECOND_US;
use crate::common::sql_type::UTC;
use crate::common::{Error, Result};

pub(super) fn additions() -> Vec<Arc<ScalarUDF>> {
    [
        Now { name: "getdate", aliases: vec![], returns: timestamp(false), value: getdate },
        Now { name: "sysdate", aliases: vec![], returns: timestamp(false), value: sysdate },
        Now { name: "timeofday", aliases: vec![], returns: DataType::Utf8View, value: timeofday },
    ]
    .map(Now::function)
    .into()
}

/// DataFusion's are of nanoseconds and have no zone.
pub(super) fn replacements() -> Vec<Arc<ScalarUDF>> {
    let aliases = vec!["current_timestamp".to_string()];
    vec![Now { name: "now", aliases, returns: timestamp(true), value: now }.function()]
}

struct Now {
    name: &'static str,
    aliases: Vec<String>,
    returns: DataType,
    /// The result, of the statement's time in microseconds.
    value: fn(i64) -> Result<ScalarValue>,
}

/// Whole seconds, as in the manual's example.
fn getdate(now: i64) -> Result<ScalarValue> {
    Ok(ScalarValue::TimestampMicrosecond(Some(now - now.rem_euclid(SECOND_US)), None))
}

fn sysdate(now: i64) -> Result<ScalarValue> {
    Ok(ScalarValue::TimestampMicrosecond(Some(now), None))
}

fn now(now: i64) -> Result<ScalarValue> {
    Ok(ScalarValue::TimestampMicrosecond(Some(now), Some(UTC.into())))
}

/// As in the manual's example: `Thu Sep 19 22:53:50.333525 2013 UTC`.
fn timeofday(now: i64) -> Result<ScalarValue> {
    let format = Format::compile("Dy Mon DD HH24:MI:SS.US YYYY TZ")?;
    let mut text = String::new();
    write(
        &format,
        Written { micros: now, zone: Some(Shown { name: UTC, east: 0 }), is_time: false },
        "timeofday",
        &mut text,
    )?;
    Ok(ScalarValue::Utf8View(Some(text)))
}

impl Now {
    fn function(self) -> Arc<ScalarUDF> {
        let signature = Signature::nullary(Volatility::Stable);
        Arc::new(ScalarUDF::from(Statement { now: self, signature }))
    }
}

struct Statement {
    now: Now,
    signature: Signature,
}

impl std::fmt::Debug for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statement").field("name", &self.now.name).finish_non_exhaustive()
    }
}

impl PartialEq for Statement {
    fn eq(&self, other: &Self) -> bool {
        self.now.name == other.now.name
    }
}

impl Eq for Statement {}

impl Hash for Statement {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.now.name.hash(state);
    }
}

impl ScalarUDFImpl for Statement {
    fn name(&self) -> &str {
        self.now.name
    }

    fn aliases(&self) -> &[String] {
        &self.now.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(self.now.returns.clone())
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> DfResult<ExprSimplifyResult> {
        let Some(start) = info.query_execution_start_time() else { return Ok(ExprSimplifyResult::Original(args)) };
        let value = (self.now.value)(start.timestamp_micros()).map_err(external)?;
        Ok(ExprSimplifyResult::Simplified(Expr::Literal(value, None)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        Err(external(Error::internal(format!("{} is called in a plan that was not simplified", self.now.name))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_shown_as_in_the_manual() {
        assert_eq!(timeofday(1_379_631_230_333_525).unwrap().to_string(), "Thu Sep 19 22:53:50.333525 2013 UTC");
        let whole = ScalarValue::TimestampMicrosecond(Some(1_379_631_230_000_000), None);
        assert_eq!(getdate(1_379_631_230_333_525).unwrap(), whole);
    }
}
