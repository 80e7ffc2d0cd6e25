//! What Redshift has and Blueshift does not: an error that names it.

use sqlparser::ast::{Expr, TableFactor};

use super::build::{Call, name_position, place, position};
use crate::common::Result;
use crate::sql::cursor::{START, unsupported};

/// Functions, in order, and what to do instead where there is something.
const REFUSED: &[(&str, &str)] = &[
    ("age", "subtract the timestamps, or use MONTHS_BETWEEN or DATEDIFF"),
    ("checksum", "use fnv_hash or crc32"),
    ("collate", "compare lower(…) or upper(…)"),
    ("from_hex", ""),
    ("from_varbyte", ""),
    ("getbit", ""),
    ("grouping_id", "use grouping(…)"),
    ("has_assumerole_privilege", ""),
    ("has_database_privilege", ""),
    ("has_schema_privilege", ""),
    ("has_table_privilege", ""),
    ("hll", "use approximate count(distinct …)"),
    ("hll_cardinality", ""),
    ("hll_combine", ""),
    ("hll_combine_sketches", ""),
    ("hll_create_sketch", ""),
    ("isfinite", "every date and timestamp is finite"),
    ("json_extract_path", "use json_extract_path_text"),
    ("lower_attribute_names", ""),
    ("pg_cancel_backend", ""),
    ("pg_get_iam_role_by_user", ""),
    ("pg_last_copy_count", ""),
    ("pg_last_copy_id", ""),
    ("pg_last_query_id", ""),
    ("pg_last_unload_count", ""),
    ("pg_last_unload_id", ""),
    ("pg_terminate_backend", ""),
    ("pg_timezone_abbrevs", "zones have the names of the IANA database, such as Europe/Paris"),
    ("pg_timezone_names", "zones have the names of the IANA database, such as Europe/Paris"),
    ("set_config", "use SET"),
    ("slice_num", ""),
    ("to_varbyte", ""),
    ("upper_attribute_names", ""),
];

pub(super) fn check(expr: &Expr) -> Result<()> {
    match expr {
        Expr::Function(function) => {
            let Some(call) = Call::of(function) else { return Ok(()) };
            match REFUSED.binary_search_by_key(&call.name.as_str(), |(name, _)| name) {
                Ok(found) => {
                    let error = unsupported(format!("function {}", call.name), call.position());
                    let hint = REFUSED.get(found).map_or("", |(_, hint)| hint);
                    Err(if hint.is_empty() { error } else { error.with_hint(hint) })
                }
                Err(_) => Ok(()),
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
