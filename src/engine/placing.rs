//! The place in a query of what an error names, where DataFusion does not tell it.

use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use futures::StreamExt;

use super::error::from_datafusion;
use crate::common::{Error, ErrorKind};
use crate::sql;
use crate::sql::places::{Sought, find};

/// `error`, with its place in `statement` as far as that can be found.
pub(super) fn placed(error: Error, statement: &SqlStatement) -> Error {
    if error.position().is_some() || !matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported) {
        return error;
    }
    let Some(query) = sql::query_in(statement) else { return error };
    let found = sought(error.message()).and_then(|sought| find(query, &sought));
    match found {
        Some(at) => error.with_position(at.line, at.column),
        None => error,
    }
}

/// Rows whose errors have their place.
pub(super) fn placed_stream(stream: SendableRecordBatchStream, statement: &SqlStatement) -> SendableRecordBatchStream {
    let (schema, statement) = (stream.schema(), Box::new(statement.clone()));
    let rows = stream.map(move |batch| {
        batch.map_err(|error| DataFusionError::External(Box::new(placed(from_datafusion(error), &statement))))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

/// What a message of ours is about; see `wording`.
fn sought(message: &str) -> Option<Sought<'_>> {
    let quoted = || message.split('"').nth(1);
    if let Some(operation) = message.strip_prefix("operator does not exist: ") {
        // Types may have blanks in their names, operators have none.
        let operator =
            operation.split(' ').find(|word| *word == "LIKE" || !word.starts_with(|c: char| c.is_alphabetic()));
        return operator.filter(|word| !word.starts_with(|c: char| c.is_ascii_digit())).map(Sought::Operator);
    }
    let of_prefix = [
        ("UNION types", Sought::SetOperation),
        ("the pattern cannot be used", Sought::Operator("~")),
        ("the argument of NOT ", Sought::Operator("NOT")),
        ("the operator - ", Sought::Operator("-")),
        ("aggregate functions are not allowed in WHERE", Sought::Where),
        ("a condition must be", Sought::Where),
        ("window functions are allowed", Sought::WindowInCondition),
        ("for SELECT DISTINCT", Sought::Order),
        ("more than one row returned", Sought::Subquery),
        ("a subquery ", Sought::Subquery),
        ("LIMIT ", Sought::Limit),
        ("OFFSET ", Sought::Offset),
        ("a join needs", Sought::Join),
    ];
    if let Some((_, sought)) = of_prefix.into_iter().find(|(prefix, _)| message.starts_with(prefix)) {
        return Some(sought);
    }
    let number = |prefix: &str| message.strip_prefix(prefix)?.split(' ').next();
    if let Some(number) = number("ORDER BY position ") {
        return Some(Sought::OrderBy(number));
    }
    if let Some(number) = number("GROUP BY position ") {
        return Some(Sought::GroupBy(number));
    }
    if let Some(parameter) = message.strip_prefix("there is no parameter ") {
        return Some(Sought::Parameter(parameter));
    }
    if message.starts_with("view ") || message.starts_with("table \"") {
        return quoted().map(Sought::Relation);
    }
    if message.starts_with("column ") {
        return quoted().map(Sought::Column);
    }
    if message.starts_with("type ") {
        return quoted().map(Sought::Type);
    }
    if message.starts_with("there is no table ") {
        return quoted().map(Sought::Wildcard);
    }
    if message.starts_with("table name ") {
        return quoted().map(Sought::SecondTable);
    }
    // Errors of functions begin with the function's name.
    let message = message.strip_prefix("function ").unwrap_or(message);
    let name = message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next();
    name.filter(|name| !name.is_empty()).map(Sought::Call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_tell_what_to_look_for() {
        for (message, expected) in [
            ("operator does not exist: double precision + date", Some(Sought::Operator("+"))),
            ("operator does not exist: integer LIKE boolean", Some(Sought::Operator("LIKE"))),
            ("column \"t.a\" does not exist", Some(Sought::Column("t.a"))),
            ("function upper(bigint) does not exist", Some(Sought::Call("upper"))),
            ("repeat would make a text of at least 9 bytes", Some(Sought::Call("repeat"))),
            ("ORDER BY position 5 is not in the select list", Some(Sought::OrderBy("5"))),
            ("", None),
        ] {
            assert_eq!(sought(message), expected, "{message}");
        }
    }
}
