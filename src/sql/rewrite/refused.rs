//! What Redshift has and Blueshift does not: an error that names it.

use sqlparser::ast::{Expr, ObjectNamePart, TableFactor};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::build::{Call, name_position, place, position};
use crate::common::Result;
use crate::common::error::Position;
use crate::sql::cursor::{START, at, unsupported};

const SKETCHES: &str = "use approximate count(distinct …)";
const PRIVILEGES: &str = "there are no users and privileges: whoever opens a warehouse may do all";
const NUMBERS_OF_SUPER: &str =
    "SUPER keeps a number as it is written, not its type; cast it, as in c.price::decimal(10,2)";
const ZONES: &str = "zones have the names of the IANA database, such as Europe/Paris";

/// Functions, in order, and what to do instead where there is something.
const REFUSED: &[(&str, &str)] = &[
    ("addbbox", ""),
    ("age", "subtract the timestamps, or use MONTHS_BETWEEN or DATEDIFF"),
    ("change_query_priority", ""),
    ("change_session_priority", ""),
    ("change_user_priority", ""),
    ("checksum", "use fnv_hash or crc32"),
    ("collate", "compare lower(…) or upper(…)"),
    ("current_aws_account", ""),
    ("current_namespace", ""),
    ("current_schemas", "use current_setting('search_path')"),
    ("current_session_arn", ""),
    ("current_user_id", "use current_user"),
    ("decimal_precision", NUMBERS_OF_SUPER),
    ("decimal_scale", NUMBERS_OF_SUPER),
    ("default_iam_role", ""),
    ("dropbbox", ""),
    ("explain_model", ""),
    ("geometrytype", ""),
    ("get_byte", "use from_varbyte(substring(…), 'hex')"),
    ("grouping_id", "use grouping(…)"),
    ("has_assumerole_privilege", PRIVILEGES),
    ("has_database_privilege", PRIVILEGES),
    ("has_schema_privilege", PRIVILEGES),
    ("has_table_privilege", PRIVILEGES),
    ("hll", SKETCHES),
    ("hll_cardinality", SKETCHES),
    ("hll_combine", SKETCHES),
    ("hll_combine_sketches", SKETCHES),
    ("hll_create_sketch", SKETCHES),
    ("is_decimal", NUMBERS_OF_SUPER),
    ("is_float", NUMBERS_OF_SUPER),
    ("isfinite", "every date and timestamp is finite"),
    ("json_extract_path", "use json_extract_path_text"),
    ("last_user_query_id", ""),
    ("localtime", "use SYSDATE"),
    ("localtimestamp", "use SYSDATE"),
    ("mask_get_policy_for_role_on_column", PRIVILEGES),
    ("mask_get_policy_for_user_on_column", PRIVILEGES),
    (OBJECT_TRANSFORM, "take the object's parts and make another one with object(…)"),
    ("pg_cancel_backend", ""),
    ("pg_get_cols", "read pg_table_def"),
    ("pg_get_grantee_by_iam_role", ""),
    ("pg_get_iam_role_by_user", ""),
    ("pg_get_late_binding_view_cols", "read information_schema.columns, or DESCRIBE the view"),
    ("pg_get_session_roles", PRIVILEGES),
    ("pg_terminate_backend", ""),
    ("pg_timezone_abbrevs", ZONES),
    ("pg_timezone_names", ZONES),
    ("reboot_cluster", ""),
    ("role_is_member_of", PRIVILEGES),
    ("set_bit", ""),
    ("set_byte", ""),
    ("set_config", "use SET"),
    ("size", "use json_size(…)"),
    ("slice_num", ""),
    ("supportsbbox", ""),
    ("text_to_int_alt", "use to_number, or a cast"),
    ("text_to_numeric_alt", "use to_number, or a cast"),
    ("to_ascii", ""),
    ("user_is_member_of", PRIVILEGES),
];

/// What functions of GEOMETRY and GEOGRAPHY begin with.
const SPATIAL: [&str; 2] = ["st_", "h3_"];

/// Functions that are called without parentheses.
const BARE: [&str; 5] =
    ["current_aws_account", "current_namespace", "current_session_arn", "current_user_id", "default_iam_role"];

/// Its arguments are no list of expressions, which the parser would trip over.
const OBJECT_TRANSFORM: &str = "object_transform";

/// The error for a function that is refused.
fn refuse(name: &str, at: Position) -> Result<()> {
    let found = REFUSED.binary_search_by_key(&name, |(known, _)| known);
    let hint = found.ok().and_then(|found| REFUSED.get(found)).map(|(_, hint)| *hint);
    let spatial = SPATIAL.iter().any(|prefix| name.starts_with(prefix));
    match hint {
        None if !spatial => Ok(()),
        None | Some("") => Err(unsupported(format!("function {name}"), at)),
        Some(hint) => Err(unsupported(format!("function {name}"), at).with_hint(hint)),
    }
}

/// As [`check`], of what no expression can be made of.
pub(super) fn tokens(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut words = tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).peekable();
    while let Some(token) = words.next() {
        if let Token::Word(word) = &token.token
            && word.quote_style.is_none()
            && word.value.eq_ignore_ascii_case(OBJECT_TRANSFORM)
            && words.peek().is_some_and(|next| next.token == Token::LParen)
        {
            refuse(OBJECT_TRANSFORM, at(token.span.start))?;
        }
    }
    Ok(())
}

pub(super) fn check(expr: &Expr) -> Result<()> {
    match expr {
        Expr::Function(function) => match Call::of(function) {
            Some(call) => refuse(&call.name, call.position()),
            None => Ok(()),
        },
        Expr::Identifier(name) if name.quote_style.is_none() => {
            match BARE.iter().find(|bare| name.value.eq_ignore_ascii_case(bare)) {
                Some(bare) => refuse(bare, place(name.span)),
                None => Ok(()),
            }
        }
        Expr::OuterJoin(column) => {
            Err(unsupported("an outer join by (+)", position(column.as_ref())).with_hint("write LEFT JOIN … ON"))
        }
        _ => Ok(()),
    }
}

pub(super) fn table(table: &TableFactor) -> Result<()> {
    let (what, of) = match table {
        TableFactor::Pivot { table, .. } => ("PIVOT", table),
        TableFactor::Unpivot { table, .. } => ("UNPIVOT", table),
        TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
            return match name.0.as_slice() {
                [ObjectNamePart::Identifier(function)] => {
                    refuse(&function.value.to_ascii_lowercase(), name_position(name))
                }
                _ => Ok(()),
            };
        }
        _ => return Ok(()),
    };
    let at = match of.as_ref() {
        TableFactor::Table { name, .. } => name_position(name),
        TableFactor::Derived { alias: Some(alias), .. } => place(alias.name.span),
        _ => START,
    };
    Err(unsupported(what, at).with_hint("write an aggregate of CASE for each column"))
}

#[cfg(test)]
mod tests {
    use super::REFUSED;

    #[test]
    fn names_stand_in_order() {
        assert!(REFUSED.is_sorted_by_key(|(name, _)| name));
    }
}
