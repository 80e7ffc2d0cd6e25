//! SQL text from statements: DDL that recreates a table.

use std::fmt::Write;

use crate::common::SortStyle;

use super::ast::{
    ColumnSpec, Constraint, ConstraintKind, ConstraintState, CreateTable, DistClause, Ident, KeyColumn, SortClause,
};

/// Words that no query could use as a name without quotes; the parser refuses them as names.
const NEVER_NAMES: [&str; 46] = [
    "all",
    "and",
    "any",
    "as",
    "between",
    "case",
    "cast",
    "check",
    "constraint",
    "create",
    "cross",
    "default",
    "distinct",
    "else",
    "end",
    "except",
    "false",
    "for",
    "foreign",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "into",
    "is",
    "join",
    "left",
    "like",
    "limit",
    "not",
    "null",
    "on",
    "or",
    "order",
    "outer",
    "primary",
    "right",
    "select",
    "then",
    "true",
    "union",
    "when",
    "where",
];

/// Redshift's other reserved words: accepted as names, but written with quotes.
const RESERVED: [&str; 105] = [
    "aes128",
    "aes256",
    "allowoverwrite",
    "analyse",
    "analyze",
    "array",
    "asc",
    "authorization",
    "az64",
    "backup",
    "binary",
    "blanksasnull",
    "both",
    "bytedict",
    "bzip2",
    "collate",
    "column",
    "connect",
    "credentials",
    "current_date",
    "current_time",
    "current_timestamp",
    "current_user",
    "current_user_id",
    "deferrable",
    "deflate",
    "defrag",
    "delta",
    "delta32k",
    "desc",
    "disable",
    "do",
    "emptyasnull",
    "enable",
    "encode",
    "encrypt",
    "encryption",
    "explicit",
    "freeze",
    "globaldict256",
    "globaldict64k",
    "grant",
    "gzip",
    "identity",
    "ignore",
    "ilike",
    "initially",
    "interval",
    "isnull",
    "language",
    "lateral",
    "leading",
    "localtime",
    "localtimestamp",
    "lun",
    "luns",
    "lzo",
    "lzop",
    "minus",
    "mostly16",
    "mostly32",
    "mostly8",
    "natural",
    "new",
    "notnull",
    "nulls",
    "off",
    "offline",
    "offset",
    "oid",
    "old",
    "only",
    "open",
    "overlaps",
    "parallel",
    "partition",
    "percent",
    "permissions",
    "pivot",
    "placing",
    "qualify",
    "raw",
    "readratio",
    "recover",
    "references",
    "rejectlog",
    "resort",
    "respect",
    "restore",
    "session_user",
    "similar",
    "snapshot",
    "some",
    "sysdate",
    "system",
    "table",
    "tag",
    "tdes",
    "text255",
    "text32k",
    "timestamp",
    "to",
    "top",
    "trailing",
    "truncatecolumns",
];

const MORE_RESERVED: [&str; 11] =
    ["union", "unique", "unnest", "unpivot", "user", "using", "values", "verbose", "wallet", "with", "without"];

pub(super) fn never_a_name(word: &str) -> bool {
    NEVER_NAMES.iter().any(|w| word.eq_ignore_ascii_case(w))
}

/// A name as SQL text: in double quotes unless it reads the same without them.
pub fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_' || c == '#')
        && name.chars().skip(1).all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$')
        && name != "#"
        && ![&NEVER_NAMES[..], &RESERVED, &MORE_RESERVED].iter().any(|words| words.contains(&name));
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A string as SQL text.
pub fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// DDL that makes the same table, one column a line, without a semicolon.
pub fn create_table_ddl(table: &CreateTable) -> String {
    let mut ddl = String::from("CREATE ");
    if table.temporary {
        ddl.push_str("TEMPORARY ");
    }
    ddl.push_str("TABLE ");
    if table.if_not_exists {
        ddl.push_str("IF NOT EXISTS ");
    }
    // Writing to a String cannot fail.
    let _ = write!(ddl, "{}", table.name);
    let items: Vec<String> = match &table.like {
        Some(like) => {
            let defaults = if like.including_defaults { " INCLUDING DEFAULTS" } else { "" };
            let mut items: Vec<String> = table.columns.iter().map(column).collect();
            items.insert(like.at.min(items.len()), format!("LIKE {}{defaults}", like.parent));
            items
        }
        None if table.as_query.is_some() => table.column_names.iter().map(|n| quote_ident(&n.value)).collect(),
        None => table.columns.iter().map(column).chain(table.constraints.iter().map(constraint)).collect(),
    };
    if !items.is_empty() {
        let _ = write!(ddl, "\n(\n    {}\n)", items.join(",\n    "));
    }
    if let Some(backup) = table.backup {
        ddl.push_str(if backup { "\nBACKUP YES" } else { "\nBACKUP NO" });
    }
    match &table.dist {
        None => {}
        Some(DistClause::Auto) => ddl.push_str("\nDISTSTYLE AUTO"),
        Some(DistClause::Even) => ddl.push_str("\nDISTSTYLE EVEN"),
        Some(DistClause::All) => ddl.push_str("\nDISTSTYLE ALL"),
        Some(DistClause::Key(key)) => {
            let _ = write!(ddl, "\nDISTSTYLE KEY\nDISTKEY ({})", key_column(key));
        }
    }
    match &table.sort {
        None => {}
        Some(SortClause::Auto) => ddl.push_str("\nSORTKEY AUTO"),
        Some(SortClause::None) => ddl.push_str("\nSORTKEY NONE"),
        Some(SortClause::Columns { style, columns }) => {
            let style = match style {
                SortStyle::Compound => "COMPOUND",
                SortStyle::Interleaved => "INTERLEAVED",
            };
            let columns: Vec<String> = columns.iter().map(key_column).collect();
            let _ = write!(ddl, "\n{style} SORTKEY ({})", columns.join(", "));
        }
    }
    if table.encode_auto {
        ddl.push_str("\nENCODE AUTO");
    }
    if let Some(query) = &table.as_query {
        let _ = write!(ddl, "\nAS {query}");
    }
    ddl
}

fn key_column(key: &KeyColumn) -> String {
    match key {
        KeyColumn::Name(name) => quote_ident(&name.value),
        KeyColumn::Position { ordinal, .. } => ordinal.to_string(),
    }
}

fn column(column: &ColumnSpec) -> String {
    let mut text = format!("{} {}", quote_ident(&column.name.value), column.sql_type);
    if let Some(default) = &column.default {
        let _ = write!(text, " DEFAULT {default}");
    }
    if let Some(identity) = column.identity {
        let words = if identity.by_default { "GENERATED BY DEFAULT AS IDENTITY" } else { "IDENTITY" };
        let _ = write!(text, " {words}({},{})", identity.seed, identity.step);
    }
    if let Some(encode) = column.encode {
        let _ = write!(text, " ENCODE {encode}");
    }
    match column.not_null {
        Some(true) => text.push_str(" NOT NULL"),
        Some(false) => text.push_str(" NULL"),
        None => {}
    }
    text
}

fn names(names: &[Ident]) -> String {
    names.iter().map(|n| quote_ident(&n.value)).collect::<Vec<_>>().join(", ")
}

fn constraint(constraint: &Constraint) -> String {
    let name = constraint.name.as_ref().map(|n| format!("CONSTRAINT {} ", quote_ident(&n.value))).unwrap_or_default();
    let state = match constraint.state {
        ConstraintState::NoRely => "",
        ConstraintState::Rely => " RELY",
        ConstraintState::Verified => " VERIFIED",
    };
    match &constraint.kind {
        ConstraintKind::PrimaryKey(columns) => format!("{name}PRIMARY KEY ({}){state}", names(columns)),
        ConstraintKind::Unique(columns) => format!("{name}UNIQUE ({}){state}", names(columns)),
        ConstraintKind::ForeignKey { columns, table, referenced } => {
            let mut text = format!("{name}FOREIGN KEY ({}) REFERENCES {table}", names(columns));
            if !referenced.is_empty() {
                let _ = write!(text, " ({})", names(referenced));
            }
            text + state
        }
    }
}
