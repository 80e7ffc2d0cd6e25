//! DataFusion's complaints about a query in our words: with SQL's names of types, an SQLSTATE and what to do.
//!
//! PostgreSQL's words where it has the same complaint, which Redshift uses.

use crate::common::{Error, SqlState};

/// The error that a message of DataFusion's planner stands for, if it is one that is known here.
pub(super) fn reworded(message: &str) -> Option<Error> {
    let message = message.strip_prefix("Execution error: ").unwrap_or(message);
    grouping(message)
        .or_else(|| operands(message))
        .or_else(|| arguments(message))
        .or_else(|| columns(message))
        .or_else(|| subqueries(message))
        .or_else(|| clauses(message))
}

fn error(state: SqlState, message: impl Into<String>, hint: impl Into<String>) -> Option<Error> {
    Some(Error::invalid(state, message).with_hint(hint))
}

/// What stands between two texts.
fn between<'a>(message: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// What stands behind a text, to the message's end.
fn behind<'a>(message: &'a str, before: &str) -> Option<&'a str> {
    message.split_once(before).map(|(_, rest)| rest)
}

fn grouping(message: &str) -> Option<Error> {
    if message.contains("must be in GROUP BY or an aggregate function") {
        let column = between(message, "column \"", "\" must appear")?;
        let text =
            format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function");
        return Some(Error::invalid(SqlState::GROUPING_ERROR, text));
    }
    if message.starts_with("HAVING clause references") {
        let text = "HAVING without GROUP BY takes nothing but aggregate functions";
        return error(SqlState::GROUPING_ERROR, text, "filter rows in WHERE, or group them");
    }
    if message.starts_with("Aggregate functions are not allowed in the WHERE clause") {
        let text = "aggregate functions are not allowed in WHERE";
        return error(SqlState::GROUPING_ERROR, text, "filter groups in HAVING, rows in WHERE");
    }
    if message.starts_with("Aggregate function calls cannot be nested") {
        return Some(Error::invalid(SqlState::GROUPING_ERROR, "aggregate function calls cannot be nested"));
    }
    None
}

/// Calls that fit no function.
fn arguments(message: &str) -> Option<Error> {
    if let Some(call) = between(message, "No function matches the given name and argument types '", "'.") {
        let text = format!("function {} does not exist", in_sql(call));
        let mut error = Error::invalid(SqlState::UNDEFINED_FUNCTION, text);
        // What a function says itself tells more than the kinds of arguments that it takes.
        let (said, _) = message.split_once(". No function matches")?;
        if let Some(said) = behind(said, "user-defined coercion failed with: ") {
            let said = said.trim_start_matches("Execution error: ").trim_start_matches("Error during planning: ");
            error = error.with_detail(in_sql(said.trim_end_matches('.')));
        }
        let candidates = behind(message, "Candidate functions:").unwrap_or_default();
        let takes: Vec<String> = candidates
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.contains("UserDefined") && line.len() < 120)
            .map(in_sql)
            .collect();
        return Some(match takes.is_empty() {
            true => error.with_hint("check the number and the types of its arguments"),
            false => error.with_hint(format!("it is called as {}; cast the arguments to that", takes.join(" or "))),
        });
    }
    if message.contains("There is only support Literal types for field at idx") {
        let text = "the further arguments of a window function must be constants";
        return error(SqlState::WINDOWING_ERROR, text, "write a number, as in lag(a, 1)");
    }
    if let Some(argument) = between(message, "Argument #", " must be an INTEGER or NULL") {
        let text = format!("argument {argument} of the series must be a whole number");
        return error(SqlState::UNDEFINED_FUNCTION, text, "write numbers, or cast them, as in x::integer");
    }
    if message.contains("regex parse error") {
        let fault = message.lines().rev().find_map(|line| line.trim().strip_prefix("error: "))?;
        let text = format!("the pattern cannot be used: {fault}");
        return error(SqlState::INVALID_REGULAR_EXPRESSION, text, "a backslash before a character means the character");
    }
    for function in ["sum", "avg", "ratio_to_report"] {
        if let Some(found) = between(message, &format!("{function} of "), " is not supported") {
            let text = format!("function {function}({}) does not exist", in_sql(found));
            return error(SqlState::UNDEFINED_FUNCTION, text, "it takes a number: cast the argument to one");
        }
    }
    None
}

fn operands(message: &str) -> Option<Error> {
    let no_operator = |operation: &str| {
        let text = format!("operator does not exist: {}", in_sql(operation));
        error(SqlState::UNDEFINED_FUNCTION, text, "cast one side to the other's type, as in x::integer")
    };
    if let Some(operation) = between(message, "Cannot coerce arithmetic expression ", " to valid types") {
        return no_operator(operation);
    }
    if let Some(operation) = behind(message, "Cannot infer common string type for string concat operation ") {
        return no_operator(operation);
    }
    if let Some(operation) = between(message, "Cannot infer common argument type for comparison operation ", "\n") {
        return no_operator(operation);
    }
    if let Some(operation) = behind(message, "Cannot infer common argument type for comparison operation ") {
        return no_operator(operation);
    }
    if let Some(types) = between(message, "There isn't a common type to coerce ", " in LIKE expression") {
        return no_operator(&types.replacen(" and ", " LIKE ", 1));
    }
    if let Some(found) = behind(message, "Cannot create filter with non-boolean predicate ") {
        let found = behind(found, " returning ").unwrap_or(found);
        let text = format!("a condition must be of type boolean, not {}", in_sql(found));
        return error(SqlState::DATATYPE_MISMATCH, text, "compare it with something, as in a <> 0");
    }
    if let Some(found) = behind(message, "Unary operator 'NOT' requires a boolean expression, got ") {
        let text = format!("the argument of NOT must be of type boolean, not {}", in_sql(found));
        return error(SqlState::DATATYPE_MISMATCH, text, "compare it with something, as in NOT a = 0");
    }
    if let Some(operator) = between(message, "Unary operator '", "' only supports") {
        let text = format!("the operator {operator} takes a number or an interval");
        return error(SqlState::UNDEFINED_FUNCTION, text, "cast its argument to a number");
    }
    if message.starts_with("Unsupported CAST from ") {
        let types = in_sql(behind(message, "Unsupported CAST from ")?);
        let text = format!("cannot cast {types}");
        return error(SqlState::CANNOT_COERCE, text, "cast by way of VARCHAR, or compute the value otherwise");
    }
    if message.contains("is not Struct, Map, or Null") {
        let found = between(message, "type ", " is not Struct").map(in_sql).unwrap_or_default();
        let text = format!("a value of type {found} has no parts");
        return error(SqlState::DATATYPE_MISMATCH, text, "only SUPER values are navigated by .name and [number]");
    }
    if let Some(found) = between(message, "array_element does not support type ", ".") {
        let text = format!("a value of type {} has no parts", in_sql(found));
        return error(SqlState::DATATYPE_MISMATCH, text, "only SUPER values are navigated by .name and [number]");
    }
    None
}

fn columns(message: &str) -> Option<Error> {
    if let Some(rest) = behind(message, "Order by column out of bounds, specified: ") {
        let (number, most) = rest.split_once(", max: ")?;
        return no_position("ORDER BY", number, most);
    }
    if message.starts_with("Order by index starts at 1") {
        let text = "ORDER BY position 0 is not in the select list";
        return error(SqlState::INVALID_COLUMN_REFERENCE, text, "columns are counted from 1");
    }
    if let Some(rest) = behind(message, "Cannot find column with position ") {
        let (number, most) = rest.split_once(" in SELECT clause. Valid columns: 1 to ")?;
        return no_position("GROUP BY", number, most);
    }
    if let Some(expr) = between(message, "For SELECT DISTINCT, ORDER BY expressions ", " must appear in select list") {
        let text = format!("for SELECT DISTINCT, the ORDER BY expression {expr} must appear in the select list");
        return error(SqlState::INVALID_COLUMN_REFERENCE, text, "add it to the select list, or leave DISTINCT out");
    }
    for operation in ["UNION", "INTERSECT", "EXCEPT"] {
        if message.starts_with(operation) && message.contains("different number of columns") {
            let text = format!("each {operation} query must have the same number of columns");
            return error(SqlState::SYNTAX_ERROR, text, "add columns to the shorter one, such as NULL");
        }
    }
    if let Some(rest) = behind(message, "Source table contains ") {
        let (has, rest) = rest.split_once(" columns but only ")?;
        let (given, _) = rest.split_once(' ')?;
        let text = format!("columns and their names differ in number: there are {has} columns, {given} names");
        return error(SqlState::INVALID_COLUMN_REFERENCE, text, "give each column one name, or none any");
    }
    if message.starts_with("Inconsistent data length across values list") {
        let text = "the rows of VALUES must all have the same length";
        return error(SqlState::SYNTAX_ERROR, text, "give every row one value for each column");
    }
    if message.contains("require unique expression names") {
        let text = "two columns have the same name";
        return error(SqlState::DUPLICATE_COLUMN, text, "give one a name of its own, as in a AS b");
    }
    if let Some(table) = behind(message, "Invalid qualifier ") {
        let text = format!("there is no table \"{table}\" in FROM");
        return error(SqlState::UNDEFINED_TABLE, text, "write * behind a name or alias that FROM has");
    }
    if let Some(sql_type) = behind(message, "Unsupported SQL type ") {
        let text = format!("type \"{}\" does not exist", sql_type.to_lowercase());
        return error(
            SqlState::UNDEFINED_TYPE,
            text,
            "the types are those of CREATE TABLE, such as integer or varchar(20)",
        );
    }
    None
}

fn no_position(clause: &str, number: &str, most: &str) -> Option<Error> {
    let text = format!("{clause} position {number} is not in the select list");
    let columns = if most == "1" { "1 column".to_string() } else { format!("{most} columns") };
    error(SqlState::INVALID_COLUMN_REFERENCE, text, format!("it has {columns}"))
}

/// Subqueries, and what DataFusion runs in some places only.
fn subqueries(message: &str) -> Option<Error> {
    if message.starts_with("Too many columns! The subquery should only return one column") {
        let text = "a subquery must return only one column here";
        return error(SqlState::SYNTAX_ERROR, text, "select one column in it, or compare by EXISTS");
    }
    if message.starts_with("Scalar subquery returned more than one row") {
        let text = "more than one row returned by a subquery used as an expression";
        return error(SqlState::CARDINALITY_VIOLATION, text, "let it aggregate, or add LIMIT 1 with an ORDER BY");
    }
    let subquery = |place: &str| {
        let text = format!("a subquery {place} is not supported yet");
        Some(
            Error::unsupported(text)
                .with_hint("compute it in FROM first, as in SELECT sum(x) FROM (SELECT EXISTS (…) AS x FROM t) AS q"),
        )
    };
    if let Some(kind) = behind(message, "Physical plan does not support logical expression ") {
        return match kind {
            _ if kind.starts_with("WindowFunction") => {
                let text = "window functions are allowed in select lists and ORDER BY only";
                error(
                    SqlState::WINDOWING_ERROR,
                    text,
                    "compute it in FROM first, as in SELECT * FROM (SELECT a, row_number() OVER (ORDER BY a) AS n FROM t) AS q WHERE n = 1",
                )
            }
            _ if kind.contains("Subquery") || kind.starts_with("Exists") => {
                subquery("in an aggregate function, GROUP BY or ORDER BY")
            }
            _ if kind.starts_with("OuterReferenceColumn") => subquery("that names such columns of the query around it"),
            _ => None,
        };
    }
    if message.contains("subquery can only be used in Projection, Filter") {
        return subquery("in an aggregate function, GROUP BY or ORDER BY");
    }
    None
}

fn clauses(message: &str) -> Option<Error> {
    if let Some(window) = between(message, "The window ", " is not defined") {
        let text = format!("window \"{window}\" does not exist");
        return error(
            SqlState::UNDEFINED_OBJECT,
            text,
            "write the window in parentheses: OVER (PARTITION BY … ORDER BY …)",
        );
    }
    if message.starts_with("join condition should not be empty") {
        return error(SqlState::SYNTAX_ERROR, "a join needs a condition", "add ON or USING, or write CROSS JOIN");
    }
    if let Some(found) = behind(message, "Expected LIMIT to be an integer or null, but got ") {
        let text = format!("LIMIT must be a whole number, not {}", in_sql(found));
        return error(SqlState::DATATYPE_MISMATCH, text, "write a number, or leave LIMIT out");
    }
    for clause in ["LIMIT", "OFFSET"] {
        if message.starts_with(&format!("{clause} must be >=")) {
            let text = format!("{clause} must not be negative");
            return error(SqlState::INVALID_PARAMETER, text, format!("write 0 or more, or leave {clause} out"));
        }
    }
    if let Some(parameter) = between(message, "Placeholder '", "' was not provided a value") {
        let text = format!("there is no parameter {parameter}");
        return error(SqlState::UNDEFINED_PARAMETER, text, "PREPARE the statement, and give values to EXECUTE");
    }
    None
}

/// Names of Arrow's and DataFusion's types as SQL's.
pub(super) fn in_sql(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
        if word == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let (name, behind) = rest.split_at(word);
        rest = behind;
        let name = match name {
            "Int8" | "Int16" | "UInt8" => "smallint",
            "Int32" | "UInt16" => "integer",
            "Int64" | "UInt32" | "UInt64" => "bigint",
            "Float16" | "Float32" => "real",
            "Float64" => "double precision",
            "Boolean" => "boolean",
            "Utf8" | "Utf8View" | "LargeUtf8" | "String" => "character varying",
            "Binary" | "BinaryView" | "LargeBinary" => "binary varying",
            "Date32" | "Date64" => "date",
            "Null" => "unknown",
            "Date" => "date",
            "Decimal" => "numeric",
            "Integer" => "integer",
            "Numeric" => {
                rest = rest.strip_prefix("(1)").unwrap_or(rest);
                "number"
            }
            "Decimal128" | "Decimal256" | "Decimal64" | "Decimal32" => "numeric",
            "Timestamp" | "Time64" | "Time32" | "Interval" | "Duration" => {
                // What stands in the parentheses is Arrow's unit.
                let zoned = match parentheses(behind) {
                    Some((inner, after)) => {
                        rest = after;
                        inner.contains(',') && !inner.ends_with("None")
                    }
                    None => false,
                };
                match name {
                    "Timestamp" if zoned => "timestamp with time zone",
                    "Timestamp" => "timestamp",
                    "Time64" | "Time32" => "time",
                    _ => "interval",
                }
            }
            other => other,
        };
        out.push_str(name);
    }
    out
}

/// What stands in the parentheses that a text begins with, and what follows them.
fn parentheses(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return Some((text.get(1..at)?, &text[at + 1..])),
            ')' => depth -= 1,
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The type of a column as SQL names it.
pub(super) fn type_name(data_type: &arrow::datatypes::DataType) -> String {
    in_sql(&data_type.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_in_sql() {
        for (text, expected) in [
            ("Int64 + Utf8", "bigint + character varying"),
            ("Timestamp(µs), Date32", "timestamp, date"),
            (
                "Timestamp(Microsecond, None) < Timestamp(Microsecond, Some(\"UTC\"))",
                "timestamp < timestamp with time zone",
            ),
            ("upper(Decimal128(10, 2))", "upper(numeric(10, 2))"),
            ("Int64er", "Int64er"),
        ] {
            assert_eq!(in_sql(text), expected);
        }
    }

    #[test]
    fn what_is_not_known_is_left() {
        assert!(reworded("something else").is_none());
        assert!(reworded("").is_none());
        let error = reworded("Order by column out of bounds, specified: 5, max: 3").unwrap();
        assert_eq!(error.message(), "ORDER BY position 5 is not in the select list");
        assert_eq!((error.state(), error.hint()), (SqlState::INVALID_COLUMN_REFERENCE, Some("it has 3 columns")));
    }
}
