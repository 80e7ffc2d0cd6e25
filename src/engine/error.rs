//! The one place where DataFusion's errors become ours.

use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::common::{Column, DataFusionError, SchemaError};
use datafusion::parquet::errors::ParquetError;

use super::names::{CATALOG, PATH_SCHEMA, no_such_table};
use super::stores::store_error;
use super::wording::{in_sql, reworded};
use crate::common::{Error, ErrorKind, SqlState};
use crate::sql;

/// Our own error where one was carried through, else the kind that fits.
pub fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(nested) => from_datafusion(*nested),
                Err(other) if other.is::<object_store::Error>() => match other.downcast::<object_store::Error>() {
                    Ok(e) => from_datafusion(DataFusionError::ObjectStore(e)),
                    Err(other) => Error::internal(other.to_string()),
                },
                Err(other) => match reworded(&other.to_string()) {
                    Some(error) => error,
                    None => Error::new(ErrorKind::Unavailable, other.to_string()).with_source(other),
                },
            },
        },
        DataFusionError::Context(context, inner) => match from_datafusion(*inner) {
            // Which rule met a value that cannot be cast is the planner's business, a defect of the rule is not.
            error if of_planner(&context) && error.kind() != ErrorKind::Internal => error,
            error => error.context(context),
        },
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let mut error = from_datafusion(*inner);
            if let Some(span) = diagnostic.span
                && error.position().is_none()
            {
                error = error.with_position(span.start.line, span.start.column);
            }
            match diagnostic.helps.first() {
                Some(help) if error.hint().is_none() => error.with_hint(&help.message),
                _ => error,
            }
        }
        // Of several the first, which stands first in the text.
        DataFusionError::Collection(errors) if !errors.is_empty() => {
            errors.into_iter().next().map_or_else(|| Error::internal("no error"), from_datafusion)
        }
        DataFusionError::Shared(shared) => match std::sync::Arc::try_unwrap(shared) {
            Ok(inner) => from_datafusion(inner),
            Err(shared) => from_shared(&shared),
        },
        DataFusionError::ArrowError(inner, _) => match *inner {
            arrow::error::ArrowError::ExternalError(inner) => from_datafusion(DataFusionError::External(inner)),
            other => Error::from(other),
        },
        DataFusionError::ObjectStore(inner) => match *inner {
            object_store::Error::NotFound { path, .. } => {
                Error::invalid(SqlState::UNDEFINED_FILE, format!("no such file or object: {path}"))
            }
            other => store_error("read", "the file", other),
        },
        DataFusionError::ParquetError(inner) => match *inner {
            ParquetError::External(inner) => from_datafusion(DataFusionError::External(inner)),
            other => Error::new(ErrorKind::Invalid, DataFusionError::from(other).strip_backtrace()),
        },
        DataFusionError::SQL(inner, _) => Error::invalid(SqlState::SYNTAX_ERROR, inner.to_string()),
        DataFusionError::ResourcesExhausted(message) => Error::unavailable(message)
            .with_state(SqlState::OUT_OF_MEMORY)
            .with_hint("give the session more memory, or let the query read less"),
        DataFusionError::NotImplemented(message) => reworded(&message).unwrap_or_else(|| Error::unsupported(message)),
        DataFusionError::SchemaError(inner, _) => of_schema(*inner),
        DataFusionError::Plan(message) if message.contains("not found") && message.starts_with("table") => {
            // The schema that unqualified names lead into is nobody's business.
            let name = message.split('\'').nth(1).unwrap_or_default();
            let name = name.trim_start_matches(&format!("{CATALOG}.")).trim_start_matches(&format!("{PATH_SCHEMA}."));
            no_such_table(name)
        }
        DataFusionError::Plan(message) if coercion(&message).is_some() => {
            let said = coercion(&message).unwrap_or_default();
            reworded(said).unwrap_or_else(|| Error::invalid(SqlState::DATATYPE_MISMATCH, in_sql(said)))
        }
        DataFusionError::Plan(message) => match message.strip_prefix("Invalid function '") {
            Some(rest) => no_such_function(rest),
            None => reworded(&message).unwrap_or_else(|| Error::invalid(SqlState::SYNTAX_ERROR, message)),
        },
        DataFusionError::Execution(message) | DataFusionError::Configuration(message) => {
            reworded(&message).unwrap_or_else(|| Error::invalid(SqlState::INVALID_PARAMETER, message))
        }
        DataFusionError::IoError(inner) => Error::unavailable(inner.to_string()).with_source(inner),
        DataFusionError::Internal(message) => Error::internal(message),
        other => {
            let text = other.strip_backtrace();
            Error::new(ErrorKind::Invalid, text)
        }
    }
}

/// Whether a context says which of the planner's rules found what is wrong, which is the planner's business.
fn of_planner(context: &str) -> bool {
    context.starts_with("Optimizer rule")
        || context.starts_with("Invalid (non-executable) plan")
        || context == "type_coercion"
        || context.starts_with("blueshift_")
}

/// Whether one name may be a slip for the other: a letter in three is wrong at most.
fn is_near(name: &str, meant: &str) -> bool {
    levenshtein(&name.to_lowercase(), &meant.to_lowercase()) <= (name.chars().count() / 3).max(1)
}

/// The most columns that an error lists.
const MOST_LISTED: usize = 20;

fn of_schema(error: SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, .. }
            if field.relation.as_ref().is_some_and(|table| table.table() == sql::IN_TABLE) =>
        {
            Error::unsupported(
                "IN (SELECT …) that names columns of the query around it is not supported in a select list",
            )
            .with_hint("write EXISTS (SELECT 1 … WHERE …) there, or IN (SELECT …) in WHERE")
        }
        SchemaError::FieldNotFound { field, valid_fields } => {
            let name = field.flat_name();
            let error = Error::invalid(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"));
            let mut known: Vec<String> = Vec::new();
            for valid in valid_fields.iter().map(Column::flat_name) {
                if !known.contains(&valid) {
                    known.push(valid);
                }
            }
            let distance = |valid: &&Column| levenshtein(&field.name.to_lowercase(), &valid.name.to_lowercase());
            let nearest = valid_fields.iter().min_by_key(distance);
            let error = match nearest.filter(|valid| is_near(&field.name, &valid.name)) {
                Some(meant) => error.with_hint(format!("did you mean {}?", meant.quoted_flat_name())),
                None => error.with_hint("check its name; a text stands in single quotes"),
            };
            match known.len() {
                0 => error,
                n if n > MOST_LISTED => error.with_detail(format!(
                    "there are {}, and {} more",
                    known[..MOST_LISTED].join(", "),
                    n - MOST_LISTED
                )),
                _ => error.with_detail(format!("there are {}", known.join(", "))),
            }
        }
        SchemaError::AmbiguousReference { field } if field.relation.is_none() => {
            let message = format!("column reference \"{}\" is ambiguous", field.name);
            let hint = format!("write its table before it, as in t.{}", field.quoted_flat_name());
            Error::invalid(SqlState::AMBIGUOUS_COLUMN, message).with_hint(hint)
        }
        SchemaError::DuplicateQualifiedField { qualifier, .. } => {
            let message = format!("table name \"{}\" is given more than once", qualifier.table());
            Error::invalid(SqlState::DUPLICATE_ALIAS, message).with_hint("give one of the tables another alias")
        }
        other => Error::invalid(SqlState::DUPLICATE_COLUMN, other.to_string()),
    }
}

/// The error of a call, from what DataFusion says behind the quote: `name'.` and which name it takes to be meant.
fn no_such_function(rest: &str) -> Error {
    let (name, meant) = rest.split_once('\'').unwrap_or((rest, ""));
    if WINDOW_ONLY.contains(&name) {
        let message = format!("window function {name} needs an OVER clause");
        return Error::invalid(SqlState::WRONG_OBJECT_TYPE, message)
            .with_hint(format!("write {name}(…) OVER (ORDER BY …)"));
    }
    let error = Error::invalid(SqlState::UNDEFINED_FUNCTION, format!("there is no function {name}"));
    match meant.split('\'').nth(1) {
        Some(meant) if is_near(name, meant) => error.with_hint(format!("did you mean {meant}?")),
        _ => error.with_hint("check its name: Redshift's functions are there, or are refused by name"),
    }
}

/// Functions that stand before OVER only.
const WINDOW_ONLY: [&str; 8] =
    ["cume_dist", "dense_rank", "lag", "lead", "ntile", "percent_rank", "rank", "row_number"];

/// What a function said of its arguments, without what DataFusion says around it.
fn coercion(message: &str) -> Option<&str> {
    let (_, said) = message.split_once("user-defined coercion failed with: Error during planning: ")?;
    Some(said.split_once(" No function matches").map_or(said, |(said, _)| said).trim_end_matches('.'))
}

/// A copy of an error that others hold too.
fn from_shared(error: &DataFusionError) -> Error {
    let mut at = error;
    loop {
        match at {
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => at = inner,
            DataFusionError::Shared(inner) => at = inner,
            DataFusionError::External(inner) => {
                if let Some(ours) = inner.downcast_ref::<Error>() {
                    return copy(ours);
                }
                break;
            }
            _ => break,
        }
    }
    let kind = match at {
        DataFusionError::Internal(_) => ErrorKind::Internal,
        DataFusionError::NotImplemented(_) => ErrorKind::Unsupported,
        DataFusionError::ResourcesExhausted(_) | DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Invalid,
    };
    let text = at.strip_backtrace();
    if kind == ErrorKind::Invalid
        && let Some(error) = reworded(&text)
    {
        return error;
    }
    Error::new(kind, text)
}

fn copy(error: &Error) -> Error {
    let mut copy = Error::new(error.kind(), error.message()).with_state(error.state());
    if let (Some(object), Some(offset)) = (error.object(), error.offset()) {
        copy = Error::corrupt(offset, error.message()).in_object(object, 0);
    }
    if let Some(detail) = error.detail() {
        copy = copy.with_detail(detail);
    }
    if let Some(hint) = error.hint() {
        copy = copy.with_hint(hint);
    }
    match error.position() {
        Some(at) => copy.with_position(at.line, at.column),
        None => copy,
    }
}
