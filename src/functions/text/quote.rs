//! Text as SQL writes it.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;

use super::super::kernel::{Function, Param};

pub(super) fn additions() -> Vec<Arc<ScalarUDF>> {
    let function = |name, compute| Function {
        name,
        aliases: &[],
        params: &[Param::Text],
        required: 1,
        returns: DataType::Utf8View,
        compute,
    };
    vec![
        function("quote_ident", |args| args.texts(|row| Ok(args.text(0, row).map(quote_ident)))).udf(),
        // A backslash is itself in Blueshift's text literals, so that it is not doubled.
        function("quote_literal", |args| {
            args.texts(|row| Ok(args.text(0, row).map(|text| format!("'{}'", text.replace('\'', "''")))))
        })
        .udf(),
    ]
}

/// A name as it must be written: in double quotes, unless it is a plain one in lower case and no reserved word.
fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$');
    if plain && RESERVED.binary_search(&name).is_err() {
        return name.to_string();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Words that are no names without quotes (Redshift's manual, "Reserved words"), in order.
const RESERVED: &[&str] = &[
    "all",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "authorization",
    "between",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "cross",
    "current_date",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "identity",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "minus",
    "natural",
    "new",
    "not",
    "notnull",
    "null",
    "off",
    "offset",
    "old",
    "on",
    "only",
    "open",
    "or",
    "order",
    "outer",
    "overlaps",
    "pivot",
    "placing",
    "primary",
    "references",
    "right",
    "select",
    "session_user",
    "similar",
    "some",
    "table",
    "then",
    "to",
    "top",
    "trailing",
    "true",
    "union",
    "unique",
    "unpivot",
    "user",
    "using",
    "verbose",
    "when",
    "where",
    "with",
    "without",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_stand_in_order() {
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn a_name_is_quoted_where_it_must_be() {
        for (name, written) in [
            ("plain_1", "plain_1"),
            ("Foo bar", "\"Foo bar\""),
            ("\"CAT\"", "\"\"\"CAT\"\"\""),
            ("select", "\"select\""),
            ("1a", "\"1a\""),
            ("é", "\"é\""),
            ("", "\"\""),
        ] {
            assert_eq!(quote_ident(name), written);
        }
    }
}
