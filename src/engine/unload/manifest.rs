//! The list of an UNLOAD's files that COPY reads (Redshift manual, "UNLOAD", MANIFEST).

use arrow::datatypes::{Field, Schema};

use super::file::Finished;
use super::lines::json_text;
use super::target::Target;
use crate::common::SqlType;
use crate::engine::wording::type_name;

/// What stands behind the prefix in its name.
pub const NAME: &str = "manifest";

/// `files` by name; with `schema` what the verbose form adds.
pub fn text(target: &Target, files: &[Finished], schema: Option<&Schema>) -> String {
    let verbose = schema.is_some();
    let entries: Vec<String> = files
        .iter()
        .map(|file| {
            let rows = if verbose { format!(",\"record_count\":{}", file.rows) } else { String::new() };
            let url = quoted(&target.url(&file.path));
            format!("    {{\"url\":{url},\"meta\":{{\"content_length\":{}{rows}}}}}", file.bytes)
        })
        .collect();
    let mut text = format!("{{\n  \"entries\":[\n{}\n  ]", entries.join(",\n"));
    if let Some(schema) = schema {
        let elements: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| format!("      {{\"name\":{},\"type\":{{{}}}}}", quoted(field.name()), type_of(field)))
            .collect();
        let (bytes, rows) = files.iter().fold((0, 0), |(bytes, rows), file| (bytes + file.bytes, rows + file.rows));
        text.push_str(&format!(",\n  \"schema\":{{\n    \"elements\":[\n{}\n    ]\n  }}", elements.join(",\n")));
        text.push_str(&format!(",\n  \"meta\":{{\"content_length\":{bytes},\"record_count\":{rows}}}"));
        let version = env!("CARGO_PKG_VERSION");
        text.push_str(&format!(",\n  \"author\":{{\"name\":\"Blueshift\",\"version\":\"{version}\"}}"));
    }
    text.push_str("\n}\n");
    text
}

fn type_of(field: &Field) -> String {
    let base = |name: &str| format!("\"base\":{}", quoted(name));
    match SqlType::from_field(field) {
        Some(SqlType::Decimal { precision, scale }) => {
            format!("{},\"precision\":{precision},\"scale\":{scale}", base("numeric"))
        }
        Some(SqlType::Char(n)) => format!("{},\"max_length\":{n}", base("character")),
        Some(SqlType::Varchar(n)) => format!("{},\"max_length\":{n}", base("character varying")),
        Some(SqlType::Varbyte(n)) => format!("{},\"max_length\":{n}", base("binary varying")),
        Some(other) => base(&other.to_string()),
        None => base(&type_name(field.data_type())),
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    json_text(text, &mut quoted);
    quoted
}
