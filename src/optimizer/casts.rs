//! Casts that mean more than Arrow's.
//!
//! - To CHAR(n), VARCHAR(n) and VARBYTE(n): they cut, as Redshift's do. Arrow's types have no length, so the cast's
//!   target carries the declared type ([`cast_target`]) until this rule puts [`Declared`] in its place.
//! - Of text to TIMESTAMP: it reads what Redshift's does, such as times without seconds.
//! - Of TIMESTAMP to TIME: it starts anew each day, which DataFusion's planner does not know of Arrow's cast.
//! - To and from TIMESTAMPTZ: local times are those of the session's zone (`datafusion.execution.time_zone`).
//! - To and from SUPER: a value becomes JSON, a JSON scalar the value that it stands for.
//!
//! Names of columns stay those of the cast. Run again, the rule changes nothing.
//!
//! [`cast_target`]: crate::physical_plan::declared::cast_target

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, ScalarUDF, lit};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_expressions;
use crate::common::SqlType;
use crate::functions::semistructured::{assign_to_super, is_super, super_as_text};
use crate::functions::zones::{Zoned, in_zone};
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

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let zone = config.execution.time_zone.as_deref();
        rewrite_expressions(plan, |expr, schema| Ok(self.rewrite(expr, schema, zone))).data()
    }
}

/// CAST or TRY_CAST.
#[derive(Debug, Clone, Copy)]
enum How {
    Cast,
    TryCast,
}

impl How {
    fn cast(self, expr: Expr, to: DataType) -> Expr {
        match self {
            How::Cast => Expr::Cast(Cast::new(Box::new(expr), to)),
            How::TryCast => Expr::TryCast(TryCast::new(Box::new(expr), to)),
        }
    }
}

impl DeclaredCasts {
    fn rewrite(&self, expr: Expr, schema: &DFSchema, zone: Option<&str>) -> Transformed<Expr> {
        let (how, value, target) = match expr {
            Expr::Cast(Cast { expr, field }) => (How::Cast, expr, field),
            Expr::TryCast(TryCast { expr, field }) => (How::TryCast, expr, field),
            other => return Transformed::no(other),
        };
        // A type that cannot be told here (of an outer query's column, of a parameter) is cast as Arrow does.
        let from = value.to_field(schema).ok().map(|(_, field)| field);
        let from_super = from.as_deref().is_some_and(is_super);
        let from_zoned = matches!(from.as_deref().map(Field::data_type), Some(DataType::Timestamp(_, Some(_))));
        let declared = declared::of_cast_target(&target);
        let is_text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let of_text = match target.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, None) => Some(Zoned::TimestampOfText),
            DataType::Date32 => Some(Zoned::DateOfText),
            DataType::Time64(TimeUnit::Microsecond) => Some(Zoned::TimeOfText),
            _ => None,
        };
        let from_text = from.as_deref().is_some_and(|from| is_text(from.data_type())) && !from_super;
        let is_local = |t: &DataType| matches!(t, DataType::Timestamp(_, None));
        if matches!(target.data_type(), DataType::Time32(_) | DataType::Time64(_))
            && from.as_deref().is_some_and(|from| is_local(from.data_type()))
        {
            let time = in_zone(Zoned::TimeOfDay, *value, zone);
            return Transformed::yes(match target.data_type() {
                DataType::Time64(TimeUnit::Microsecond) => time,
                other => how.cast(time, other.clone()),
            });
        }
        // Literals of days were read before.
        let was_read = matches!(*value, Expr::Literal(..)) && of_text != Some(Zoned::TimeOfText);
        if let Some(of_text) = of_text.filter(|_| matches!(how, How::Cast) && from_text && !was_read) {
            return Transformed::yes(in_zone(of_text, *value, zone));
        }
        if declared.is_none() && !from_super && !from_zoned {
            return Transformed::no(match how {
                How::Cast => Expr::Cast(Cast { expr: value, field: target }),
                How::TryCast => Expr::TryCast(TryCast { expr: value, field: target }),
            });
        }
        if declared == Some(SqlType::Super) {
            return Transformed::yes(if from_super { *value } else { assign_to_super(*value) });
        }
        let value = if from_super { super_as_text(*value) } else { *value };
        let from = if from_super { Some(DataType::Utf8View) } else { from.map(|field| field.data_type().clone()) };
        Transformed::yes(match declared {
            Some(SqlType::TimestampTz) if from_zoned => how.cast(value, SqlType::TimestampTz.arrow_type()),
            Some(SqlType::TimestampTz) => match how {
                How::Cast => in_zone(Zoned::Instants, value, zone),
                How::TryCast => in_zone(Zoned::InstantsOrNull, value, zone),
            },
            // Integers become their bytes, which no cast of Arrow's does.
            Some(to @ SqlType::Varbyte(_)) => self.declare(value, to),
            Some(to) if from_zoned => self.declare(in_zone(Zoned::Text, value, zone), to),
            Some(to) => self.declare(how.cast(value, DataType::Utf8View), to),
            None if from_super && from.as_ref() == Some(target.data_type()) => value,
            None if from_super => how.cast(value, target.data_type().clone()),
            None if is_text(target.data_type()) => {
                how.cast(in_zone(Zoned::Text, value, zone), target.data_type().clone())
            }
            None if matches!(target.data_type(), DataType::Timestamp(_, Some(_))) => {
                how.cast(value, target.data_type().clone())
            }
            None => how.cast(in_zone(Zoned::Local, value, zone), target.data_type().clone()),
        })
    }

    fn declare(&self, value: Expr, to: SqlType) -> Expr {
        let to = lit(ScalarValue::Utf8(Some(to.to_string())));
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&self.declared), vec![value, to]))
    }
}
