//! The one place where DataFusion's errors become ours.

use datafusion::common::DataFusionError;
use datafusion::common::SchemaError;

use super::names::{CATALOG, FIND_TABLE, PATH_SCHEMA};
use crate::common::{Error, ErrorKind, SqlState};

/// Our own error where one was carried through, else the kind that fits.
pub fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(nested) => from_datafusion(*nested),
                Err(other) => Error::new(ErrorKind::Unavailable, other.to_string()).with_source(other),
            },
        },
        DataFusionError::Context(context, inner) => match from_datafusion(*inner) {
            // Which rule met a value that cannot be cast is the planner's business, a defect of the rule is not.
            error if context.starts_with("Optimizer rule") && error.kind() != ErrorKind::Internal => error,
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
            other => Error::unavailable(other.to_string()).with_source(other),
        },
        DataFusionError::SQL(inner, _) => Error::invalid(SqlState::SYNTAX_ERROR, inner.to_string()),
        DataFusionError::ResourcesExhausted(message) => Error::unavailable(message)
            .with_state(SqlState::OUT_OF_MEMORY)
            .with_hint("give the session more memory, or let the query read less"),
        DataFusionError::NotImplemented(message) => Error::unsupported(message),
        DataFusionError::SchemaError(inner, _) => {
            let state = match *inner {
                SchemaError::FieldNotFound { .. } => SqlState::UNDEFINED_COLUMN,
                _ => SqlState::DUPLICATE_COLUMN,
            };
            let text = inner.to_string();
            // What could have been meant follows on a line of its own.
            match text.split_once('\n') {
                Some((message, detail)) => Error::invalid(state, message).with_detail(detail),
                None => Error::invalid(state, text),
            }
        }
        DataFusionError::Plan(message) if message.contains("not found") && message.starts_with("table") => {
            // The schema that unqualified names lead into is nobody's business.
            let message = message.replace(&format!("{CATALOG}.{PATH_SCHEMA}."), "");
            Error::invalid(SqlState::UNDEFINED_TABLE, message).with_hint(FIND_TABLE)
        }
        DataFusionError::Plan(message) if coercion(&message).is_some() => {
            Error::invalid(SqlState::DATATYPE_MISMATCH, coercion(&message).unwrap_or_default())
        }
        DataFusionError::Plan(message) => match message.strip_prefix("Invalid function '") {
            Some(rest) => no_such_function(rest),
            None => Error::invalid(SqlState::SYNTAX_ERROR, message),
        },
        DataFusionError::Execution(message) | DataFusionError::Configuration(message) => {
            Error::invalid(SqlState::INVALID_PARAMETER, message)
        }
        DataFusionError::IoError(inner) => Error::unavailable(inner.to_string()).with_source(inner),
        DataFusionError::Internal(message) => Error::internal(message),
        other => {
            let text = other.strip_backtrace();
            Error::new(ErrorKind::Invalid, text)
        }
    }
}

/// The error of a call, from what DataFusion says behind the quote: `name'.` and which name it takes to be meant.
fn no_such_function(rest: &str) -> Error {
    let (name, meant) = rest.split_once('\'').unwrap_or((rest, ""));
    let error = Error::invalid(SqlState::UNDEFINED_FUNCTION, format!("there is no function {name}"));
    match meant.split('\'').nth(1) {
        Some(meant) => error.with_hint(format!("did you mean {meant}?")),
        None => error,
    }
}

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
    Error::new(kind, at.strip_backtrace())
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
