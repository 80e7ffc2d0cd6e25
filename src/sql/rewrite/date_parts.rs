//! What Redshift writes otherwise of dates: parts as bare words (`DATEADD(month, 1, d)`), SYSDATE without brackets,
//! EXTRACT, AT TIME ZONE, and the forms of its date and interval literals.
//!
//! The result is SQL that DataFusion's own parser reads again: a DEFAULT is stored so.

use sqlparser::ast::{
    DataType, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    Ident, Interval as IntervalExpr, ObjectName, ObjectNamePart, Spanned, TimezoneInfo, UnaryOperator, Value,
    ValueWithSpan,
};
use sqlparser::tokenizer::Span;

use crate::common::calendar::Civil;
use crate::common::date_part::DATE_PARTS;
use crate::common::{DatePart, Error, Interval, Moment, Result, SqlState};

use super::super::cursor::{at, invalid};

/// Functions whose first argument is a part.
const OF_PARTS: [&str; 6] = ["dateadd", "datediff", "date_part", "datepart", "date_trunc", "extract"];

/// Those of them that take lengths of time only.
const OF_LENGTHS: [&str; 3] = ["dateadd", "datediff", "date_trunc"];

pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::Function(function) => part_of(function),
        Expr::Identifier(name) if is_sysdate(name) => {
            *expr = call(name.clone(), Vec::new());
            Ok(())
        }
        Expr::Extract { field, expr: of, .. } => {
            if let Some(rewritten) = extract(field, of)? {
                *expr = rewritten;
            }
            Ok(())
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            let null = Expr::Value(ValueWithSpan { value: Value::Null, span: Span::empty() });
            let zone = std::mem::replace(time_zone.as_mut(), null.clone());
            let timestamp = std::mem::replace(timestamp.as_mut(), null);
            *expr = call(Ident::new("timezone"), vec![zone, timestamp]);
            Ok(())
        }
        Expr::Interval(interval) => read_interval(interval),
        Expr::TypedString(typed) => {
            read_date(&typed.data_type, &mut typed.value);
            Ok(())
        }
        Expr::Cast { expr: inner, data_type, .. } => {
            if let Expr::Value(value) = inner.as_mut() {
                read_date(data_type, value);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn is_sysdate(name: &Ident) -> bool {
    name.quote_style.is_none() && name.value.eq_ignore_ascii_case("sysdate")
}

/// The first argument of a function of parts as text, its full name: wrong ones fail here, where their place is known.
fn part_of(function: &mut Function) -> Result<()> {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return Ok(()) };
    let Some(known) = OF_PARTS.iter().find(|known| name.value.eq_ignore_ascii_case(known)) else { return Ok(()) };
    let FunctionArguments::List(FunctionArgumentList { args, .. }) = &mut function.args else { return Ok(()) };
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) = args.first_mut() else { return Ok(()) };
    let (text, span) = match &*first {
        Expr::Identifier(word) => (word.value.clone(), word.span),
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span }) => (text.clone(), *span),
        _ => return Ok(()),
    };
    let name = match DatePart::parse(&text) {
        Some(part) if OF_LENGTHS.contains(known) && !part.is_length() => {
            return Err(invalid(
                SqlState::INVALID_PARAMETER,
                format!("{known} does not take the date part {}", part.name()),
                at(span.start),
            )
            .with_hint("use a length of time: year, quarter, month, week, day, hour, minute, second and so on"));
        }
        Some(part) => part.name().to_string(),
        None if is_datafusions(&text) => text,
        None => return Err(no_such_part(known, &text, span)),
    };
    *first = text_at(name, span);
    Ok(())
}

fn no_such_part(function: &str, name: &str, span: Span) -> Error {
    invalid(SqlState::INVALID_PARAMETER, format!("{function}: \"{name}\" is not a date part"), at(span.start))
        .with_hint(DATE_PARTS)
}

/// Parts that DataFusion has beyond Redshift's.
fn is_datafusions(name: &str) -> bool {
    ["isodow", "isoyear", "nanosecond", "nanoseconds"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// `extract('part', x)`; nothing for a part that only DataFusion has.
fn extract(field: &DateTimeField, of: &mut Expr) -> Result<Option<Expr>> {
    let written = field.to_string();
    let name = written.trim_matches(['\'', '"']);
    let span = match field {
        DateTimeField::Custom(word) => word.span,
        _ => Span::empty(),
    };
    let Some(part) = DatePart::parse(name) else {
        if is_datafusions(name) {
            return Ok(None);
        }
        let span = if span == Span::empty() { of.span() } else { span };
        return Err(no_such_part("extract", name, span));
    };
    let null = Expr::Value(ValueWithSpan { value: Value::Null, span: Span::empty() });
    let of = std::mem::replace(of, null);
    Ok(Some(call(Ident::new("extract"), vec![text_at(part.name().to_string(), span), of])))
}

/// An interval literal as months, days and microseconds, as both DataFusion and this function read it.
fn read_interval(interval: &mut IntervalExpr) -> Result<()> {
    let Some((text, span)) = literal(&interval.value) else { return Ok(()) };
    let wrong = |what: &str| {
        invalid(SqlState::INVALID_TEXT, format!("'{text}' is not an interval{what}"), at(span.start))
            .with_hint("write it as INTERVAL '1 year 2 months 3 days 4 hours', or INTERVAL '1:30' HOUR TO MINUTE")
    };
    let part = |field: &Option<DateTimeField>| match field {
        Some(field) => {
            let part = DatePart::parse(&field.to_string()).filter(|part| part.is_length());
            part.map(Some).ok_or_else(|| wrong(&format!(" of {field}")))
        }
        None => Ok(None),
    };
    let (from, to) = (part(&interval.leading_field)?, part(&interval.last_field)?);
    let read = match (from, to) {
        (Some(from), Some(to)) if from != to => Interval::parse_qualified(&text, from, to)
            .ok_or_else(|| wrong(&format!(" {} to {}", from.name(), to.name())))?,
        (unit, _) => Interval::parse(&text, unit.unwrap_or(DatePart::Second)).ok_or_else(|| wrong(""))?,
    };
    let fits = read.micros.checked_mul(1000).is_some()
        && i32::try_from(read.months).is_ok()
        && i32::try_from(read.days).is_ok();
    if !fits {
        return Err(wrong(" that fits"));
    }
    let lengths = [(read.months, "months"), (read.days, "days"), (read.micros, "microseconds")];
    let lengths = lengths.into_iter().filter(|(n, _)| *n != 0).map(|(n, unit)| format!("{n} {unit}"));
    let written = lengths.collect::<Vec<_>>().join(" ");
    let written = if written.is_empty() { "0 days".to_string() } else { written };
    *interval = IntervalExpr {
        value: Box::new(text_at(written, span)),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    };
    Ok(())
}

/// The text of a literal, a number or a text, with its sign.
fn literal(expr: &Expr) -> Option<(String, Span)> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span }) => Some((text.clone(), *span)),
        Expr::Value(ValueWithSpan { value: Value::Number(number, _), span }) => Some((number.to_string(), *span)),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match literal(expr)? {
            (number, span) if !number.starts_with('-') => Some((format!("-{number}"), span)),
            _ => None,
        },
        _ => None,
    }
}

/// A date or timestamp as DataFusion reads it, where it is one in another of Redshift's forms. Any other is left for
/// DataFusion to judge.
fn read_date(data_type: &DataType, value: &mut ValueWithSpan) {
    let Value::SingleQuotedString(text) = &value.value else { return };
    let with_time = match data_type {
        DataType::Date | DataType::Date32 => false,
        DataType::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) | DataType::Datetime(_) => true,
        _ => return,
    };
    let Some(moment) = Moment::parse(text) else { return };
    let Civil { year, month, day } = Civil::from_days(moment.days);
    if !(1..=9999).contains(&year) {
        return;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    // As DataFusion reads it. It wants seconds.
    let has_seconds = text.matches(':').count() >= 2;
    if text.starts_with(&date) && (text.len() == date.len() || (with_time && has_seconds)) {
        return;
    }
    value.value = Value::SingleQuotedString(if with_time {
        let Some(micros) = moment.micros() else { return };
        let Civil { year, month, day } = Civil::from_micros(micros);
        let of_day = micros.rem_euclid(crate::common::calendar::DAY_US);
        let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}")
    } else {
        date
    });
}

fn text_at(text: String, span: Span) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span })
}

fn call(name: Ident, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
