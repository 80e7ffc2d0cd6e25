//! A literal takes the meaning of the value that it stands beside.
//!
//! - Beside REAL or DOUBLE, a decimal literal is DOUBLE. `1.5` is DECIMAL in Redshift's SQL, and so in ours. DataFusion
//!   would compare `d > 1.5` with a DOUBLE column as decimals: casts of large values then fail, and the cast hides the
//!   column from zone maps. Redshift compares as DOUBLE ("Numeric types", mixed arithmetic).
//! - Beside a CHAR value, a text literal is CHAR: its trailing blanks mean nothing ("Character types", significance of
//!   trailing blanks). The value has none. CASE and NULLIF compare, too.
//! - Beside a DATE, TIME or TIMESTAMP, a text literal is one, in any of the forms that Redshift reads ("Date, time, and
//!   timestamp literals"); beside a BOOLEAN, `'t'`, `'yes'` and the like are one ("Boolean type").
//! - In LIKE with an escape character of its own, a pattern is written with the backslash, the one that DataFusion reads.
//!
//! All before types are coerced.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{Between, BinaryExpr, Case, InList, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, Like, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_expressions;
use crate::common::moment::parse_time;
use crate::common::{Moment, SqlType};
use crate::physical_plan::guarded::compares;

/// See the module.
#[derive(Debug, Default)]
pub struct Literals;

impl AnalyzerRule for Literals {
    fn name(&self) -> &str {
        "blueshift_literals"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, rewrite).data()
    }
}

/// What a literal is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Double,
    Char,
    Boolean,
    Date,
    Time,
    Timestamp,
}

impl Reading {
    /// As which a literal beside `expr` is read, unless as itself.
    fn beside(expr: &Expr, schema: &DFSchema) -> Option<Self> {
        // A type that cannot be told here (of an outer query's column) is left to coercion.
        match expr.get_type(schema).ok()? {
            DataType::Float32 | DataType::Float64 => Some(Reading::Double),
            DataType::Utf8View => is_char(expr, schema).then_some(Reading::Char),
            DataType::Boolean => Some(Reading::Boolean),
            DataType::Date32 => Some(Reading::Date),
            DataType::Time64(TimeUnit::Microsecond) => Some(Reading::Time),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Some(Reading::Timestamp),
            _ => None,
        }
    }

    /// `expr` if it is a literal that this reading concerns.
    fn of(self, expr: &Expr) -> Option<Expr> {
        let (value, metadata) = match (self, expr) {
            (_, Expr::Literal(value, metadata)) => (value, metadata),
            // `-1.5` is a negated literal until constants are folded.
            (Reading::Double, Expr::Negative(inner)) => {
                return self.of(inner).map(|literal| Expr::Negative(Box::new(literal)));
            }
            _ => return None,
        };
        let read = match (self, value) {
            (
                Reading::Double,
                ScalarValue::Decimal32(Some(_), ..)
                | ScalarValue::Decimal64(Some(_), ..)
                | ScalarValue::Decimal128(Some(_), ..)
                | ScalarValue::Decimal256(Some(_), ..),
            ) => value.cast_to(&DataType::Float64).ok()?,
            (Reading::Char, ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)))
                if text.ends_with(' ') =>
            {
                ScalarValue::Utf8(Some(text.trim_end_matches(' ').to_string()))
            }
            (_, ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text))) => self.of_text(text)?,
            _ => return None,
        };
        Some(Expr::Literal(read, metadata.clone()))
    }

    /// `None` for text that is not a value of the type, which coercion refuses.
    fn of_text(self, text: &str) -> Option<ScalarValue> {
        Some(match self {
            Reading::Double | Reading::Char => return None,
            Reading::Boolean => ScalarValue::Boolean(Some(truth(text)?)),
            Reading::Date => ScalarValue::Date32(Some(i32::try_from(Moment::parse(text)?.days).ok()?)),
            Reading::Time => ScalarValue::Time64Microsecond(Some(parse_time(text)?)),
            Reading::Timestamp => ScalarValue::TimestampMicrosecond(Some(Moment::parse(text)?.micros()?), None),
        })
    }

    fn or_itself(self, expr: Expr) -> Expr {
        self.of(&expr).unwrap_or(expr)
    }
}

/// What a BOOLEAN's text means ("Boolean type").
fn truth(text: &str) -> Option<bool> {
    let is = |spellings: &[&str]| spellings.iter().any(|spelling| text.trim().eq_ignore_ascii_case(spelling));
    if is(&["t", "true", "y", "yes", "1"]) {
        return Some(true);
    }
    is(&["f", "false", "n", "no", "0"]).then_some(false)
}

/// Whether an expression's values are CHAR: without blanks behind them, and none is meant. Of several values to choose from
/// all are.
fn is_char(expr: &Expr, schema: &DFSchema) -> bool {
    let all = |values: &[&Expr]| {
        let is_null = |value: &Expr| matches!(value, Expr::Literal(value, _) if value.is_null());
        let mut given = values.iter().filter(|value| !is_null(value)).peekable();
        given.peek().is_some() && given.all(|value| is_char(value, schema))
    };
    match expr {
        Expr::Alias(alias) => is_char(&alias.expr, schema),
        Expr::Case(Case { when_then_expr, else_expr, .. }) => {
            let values = when_then_expr.iter().map(|(_, then)| then);
            all(&values.chain(else_expr).map(|value| &**value).collect::<Vec<_>>())
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) => match func.name() {
            "nullif" => args.first().is_some_and(|value| is_char(value, schema)),
            "coalesce" | "nvl" | "greatest" | "least" => all(&args.iter().collect::<Vec<_>>()),
            "nvl2" => all(&args.iter().skip(1).collect::<Vec<_>>()),
            _ => told_char(expr, schema),
        },
        Expr::Column(_) => told_char(expr, schema),
        _ => false,
    }
}

fn told_char(expr: &Expr, schema: &DFSchema) -> bool {
    expr.to_field(schema).is_ok_and(|(_, field)| matches!(SqlType::from_field(&field), Some(SqlType::Char(_))))
}

/// Literals among `others` take their reading from `value`, which they are compared with; `value`, where it is a literal,
/// takes its from the others, where they all agree. Whether one changed.
fn side_by_side<'e>(value: &mut Expr, others: impl Iterator<Item = &'e mut Expr>, schema: &DFSchema) -> bool {
    let reading = Reading::beside(value, schema);
    let (mut changed, mut agreed) = (false, Vec::new());
    for other in others {
        agreed.push(Reading::beside(other, schema));
        if let Some(read) = reading.and_then(|reading| reading.of(other)) {
            *other = read;
            changed = true;
        }
    }
    if let [Some(first), rest @ ..] = agreed.as_slice()
        && rest.iter().all(|other| other == &Some(*first))
        && let Some(read) = first.of(value)
    {
        *value = read;
        changed = true;
    }
    changed
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::Case(mut case) => {
            let whens = case.when_then_expr.iter_mut().map(|(when, _)| &mut **when);
            let changed = case.expr.as_deref_mut().is_some_and(|value| side_by_side(value, whens, schema));
            let case = Expr::Case(case);
            if changed { Transformed::yes(case) } else { Transformed::no(case) }
        }
        Expr::ScalarFunction(ScalarFunction { func, mut args }) if func.name() == "nullif" => {
            let changed = match args.split_first_mut() {
                Some((value, others)) => side_by_side(value, others.iter_mut(), schema),
                None => false,
            };
            let call = Expr::ScalarFunction(ScalarFunction { func, args });
            if changed { Transformed::yes(call) } else { Transformed::no(call) }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let literal = |literal: &Expr, beside: &Expr| {
                let reading = Reading::beside(beside, schema)?;
                // What is joined to a CHAR keeps its blanks, and what is added to a DATE is no date.
                let concerns = matches!(reading, Reading::Double) || compares(op);
                concerns.then(|| reading.of(literal).map(Box::new)).flatten()
            };
            match (literal(&left, &right), literal(&right, &left)) {
                (Some(left), None) => Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })),
                (None, Some(right)) => Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })),
                _ => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            }
        }
        Expr::Between(between) => match Reading::beside(&between.expr, schema) {
            Some(reading) => {
                let read = |e: Box<Expr>| Box::new(reading.or_itself(*e));
                Transformed::yes(Expr::Between(Between { low: read(between.low), high: read(between.high), ..between }))
            }
            None => Transformed::no(Expr::Between(between)),
        },
        Expr::InList(list) => match Reading::beside(&list.expr, schema) {
            Some(reading) => {
                let read = list.list.into_iter().map(|e| reading.or_itself(e)).collect();
                Transformed::yes(Expr::InList(InList { list: read, ..list }))
            }
            None => Transformed::no(Expr::InList(list)),
        },
        Expr::Like(like) => match (like.escape_char, &*like.pattern) {
            (Some(escape), Expr::Literal(ScalarValue::Utf8(Some(pattern)), metadata)) if escape != '\\' => {
                let pattern = ScalarValue::Utf8(Some(with_backslashes(pattern, escape)?));
                let pattern = Box::new(Expr::Literal(pattern, metadata.clone()));
                Transformed::yes(Expr::Like(Like { pattern, escape_char: None, ..like }))
            }
            _ => Transformed::no(Expr::Like(like)),
        },
        other => Transformed::no(other),
    })
}

/// A LIKE pattern whose escape character is `escape`, with backslashes instead.
fn with_backslashes(pattern: &str, escape: char) -> Result<String> {
    let mut written = String::with_capacity(pattern.len() + 2);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let (literal, escaped) = match character {
            c if c == escape => match characters.next() {
                Some(next) => (next, true),
                None => return plan_err!("LIKE pattern '{pattern}' must not end with its escape character '{escape}'"),
            },
            c => (c, false),
        };
        if literal == '\\' || (escaped && matches!(literal, '%' | '_')) {
            written.push('\\');
        }
        written.push(literal);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_backslashes() {
        for (pattern, written) in [
            ("%r!_s%", r"%r\_s%"),
            ("100!%", r"100\%"),
            ("a!!b", "a!b"),
            (r"back\slash", r"back\\slash"),
            (r"!\", r"\\"),
            ("!x", "x"),
            ("", ""),
        ] {
            assert_eq!(with_backslashes(pattern, '!').unwrap(), written, "{pattern}");
        }
        assert!(with_backslashes("a!", '!').is_err());
    }
}
