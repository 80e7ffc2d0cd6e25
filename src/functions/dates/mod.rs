//! Dates and times, by Redshift's manual, "Date and time functions" and "Data type formatting functions".

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

use super::Functions;

mod add;
mod call;
mod compare;
mod convert;
mod difference;
mod format;
mod now;
mod numbers;
mod parts;
mod planner;
mod read;
mod scale;
mod write;
mod zones;

#[cfg(test)]
mod tests;

pub use call::CALENDAR;

pub(super) fn midnight() -> Arc<ScalarUDF> {
    parts::midnight()
}

pub(super) fn additions(functions: &mut Functions) {
    functions.scalar.extend(now::additions());
    functions.scalar.extend(add::functions());
    functions.scalar.extend(difference::functions());
    functions.scalar.extend(scale::functions());
    functions.scalar.extend(compare::functions());
    functions.scalar.extend(parts::additions());
    functions.scalar.push(midnight());
    functions.scalar.extend(zones::functions());
    functions.scalar.push(convert::to_number());
}

pub(super) fn replacements(functions: &mut Functions) {
    functions.scalar.extend(now::replacements());
    functions.scalar.extend(parts::replacements());
    functions.scalar.extend(convert::replacements());
    functions.planners.push(Arc::new(planner::Arithmetic));
}
