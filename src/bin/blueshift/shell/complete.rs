//! Completion of keywords, names and commands, and when a statement is complete.

use datafusion::catalog::CatalogProvider;
use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Result};
use std::sync::Arc;

use super::commands::COMMANDS;

/// Words that statements begin with or hold, beside names and functions.
const KEYWORDS: &str = "ALL ANALYZE AND AS ASC ATTACH BACKUP BETWEEN BIGINT BOOLEAN BY CASE CAST COMMENT COMPOUND COMPRESSION COPY CREATE CROSS \
    CSV DATE DECIMAL DEFAULT DELETE DELIMITER DESC DESCRIBE DETACH DISTINCT DISTKEY DISTSTYLE DOUBLE DROP ELSE ENCODE END \
    EVEN EXCEPT EXISTS EXPLAIN EXTERNAL FALSE FORMAT FROM FULL GROUP HAVING IDENTITY IF IGNOREHEADER ILIKE IN INNER INSERT \
    INTEGER INTERLEAVED INTERSECT INTERVAL INTO IS JOIN KEY LEFT LIKE LIMIT LOCATION NATURAL NOT NULL OFFSET ON OR ORDER \
    OUTER OVER PARQUET PARTITION PREPARE PRIMARY REAL REFERENCES RESET RIGHT SCHEMA SEARCH_PATH SELECT SET SHOW SIMILAR \
    SMALLINT SORTKEY STORED SUMMARIZE TABLE TEMP THEN TIMESTAMP TO TRUE UNION UNIQUE USING VALUES VARCHAR VIEW WHEN WHERE \
    WINDOW WITH";

/// What SHOW shows beside settings.
const SHOWN: [&str; 8] = [
    "ALL",
    "COLUMNS FROM TABLE",
    "DATABASES",
    "FUNCTIONS",
    "SCHEMAS FROM DATABASE",
    "TABLE",
    "TABLES FROM SCHEMA",
    "VIEW",
];

/// Words after which a table's name stands.
const BEFORE_TABLES: [&str; 12] =
    ["FROM", "JOIN", "INTO", "TABLE", "VIEW", "COPY", "COMPRESSION", "DESCRIBE", "DESC", "SUMMARIZE", "UPDATE", "ON"];

/// Helps whoever types.
pub struct Assistant {
    context: SessionContext,
    files: FilenameCompleter,
}

impl Assistant {
    pub fn of(context: SessionContext) -> Self {
        Assistant { context, files: FilenameCompleter::new() }
    }

    /// What may stand for `word`, which begins at `start` of `text`; `text` goes on behind it.
    fn candidates(&self, text: &str, start: usize, word: &str) -> Vec<String> {
        let before = &text[..start];
        let last = before.split_whitespace().next_back().unwrap_or("").to_ascii_uppercase();
        if let Some((qualifier, _)) = word.rsplit_once('.') {
            let mut names: Vec<String> = self.columns(&table_of_alias(text, qualifier));
            names.extend(self.tables_in(qualifier));
            return names.into_iter().map(|name| format!("{qualifier}.{name}")).collect();
        }
        if matches!(last.as_str(), "SET" | "SHOW" | "RESET") {
            let mut found = self.settings();
            if last == "SHOW" {
                let lower = word.chars().any(char::is_lowercase);
                let cased = |word: &&str| if lower { word.to_ascii_lowercase() } else { word.to_string() };
                found.extend(SHOWN.iter().map(cased));
            }
            return found;
        }
        let mut found = self.tables();
        if BEFORE_TABLES.contains(&last.as_str()) || last.ends_with(',') {
            found.extend(self.schemas());
        }
        if !BEFORE_TABLES[..9].contains(&last.as_str()) {
            for table in mentioned(text, &found) {
                found.extend(self.columns(&table));
            }
            let state = self.context.state();
            found.extend(state.scalar_functions().keys().map(|name| format!("{name}(")));
            found.extend(state.aggregate_functions().keys().map(|name| format!("{name}(")));
            let lower = word.chars().any(char::is_lowercase);
            let cased = |word: &str| if lower { word.to_ascii_lowercase() } else { word.to_string() };
            found.extend(KEYWORDS.split_whitespace().map(cased));
        }
        found
    }

    fn catalog(&self) -> Option<Arc<dyn CatalogProvider>> {
        let state = self.context.state();
        self.context.catalog(&state.config_options().catalog.default_catalog)
    }

    fn schemas(&self) -> Vec<String> {
        self.catalog().map(|catalog| catalog.schema_names()).unwrap_or_default()
    }

    /// Tables that need no schema before their names.
    fn tables(&self) -> Vec<String> {
        let mut tables = self.tables_in("public");
        tables.extend(self.tables_in("pg_catalog"));
        tables
    }

    fn tables_in(&self, schema: &str) -> Vec<String> {
        let (catalog, schema) = match schema.split_once('.') {
            Some((catalog, schema)) => (self.context.catalog(catalog), schema),
            None => (self.catalog(), schema),
        };
        catalog.and_then(|c| c.schema(schema)).map(|s| s.table_names()).unwrap_or_default()
    }

    /// The line is read on a thread that may wait.
    fn columns(&self, table: &str) -> Vec<String> {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return Vec::new() };
        let Ok(schema) = self.context.state().schema_for_ref(TableReference::parse_str(table)) else {
            return Vec::new();
        };
        let name = TableReference::parse_str(table).table().to_string();
        match runtime.block_on(schema.table(&name)) {
            Ok(Some(table)) => table.schema().fields().iter().map(|f| f.name().clone()).collect(),
            _ => Vec::new(),
        }
    }

    fn settings(&self) -> Vec<String> {
        let state = self.context.state();
        let settings = blueshift::functions::settings::all(state.config_options());
        settings.into_iter().map(|setting| setting.name).chain(["search_path".to_string()]).collect()
    }
}

impl Helper for Assistant {}

impl Highlighter for Assistant {}

impl Hinter for Assistant {
    type Hint = String;
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, context: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let text = &line[..position];
        if let Some((command, _)) = text.trim_start().split_once(' ')
            && matches!(command, "\\i" | "\\o")
        {
            return self.files.complete(line, position, context);
        }
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '\\' | '#');
        let start =
            text.rfind(|c| !is_word(c)).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
        let word = &text[start..];
        let candidates = if word.starts_with('\\') {
            COMMANDS.iter().map(|(name, _, _)| name.to_string()).collect()
        } else if text.trim_start().starts_with('\\') {
            let mut names = self.tables();
            names.extend(self.schemas());
            names
        } else {
            self.candidates(line, start, word)
        };
        Ok((start, matching(candidates, word)))
    }
}

impl Validator for Assistant {
    /// A command is complete; SQL is where its last statement ends with a semicolon.
    fn validate(&self, context: &mut ValidationContext<'_>) -> Result<ValidationResult> {
        let text = context.input().trim();
        let complete = text.is_empty()
            || text.starts_with('\\')
            || matches!(text, "quit" | "exit")
            || blueshift::engine::is_complete(text);
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

fn matching(mut candidates: Vec<String>, word: &str) -> Vec<Pair> {
    let lower = word.to_lowercase();
    candidates.retain(|c| c.to_lowercase().starts_with(&lower) && c.len() > word.len());
    candidates.sort();
    candidates.dedup();
    candidates.into_iter().map(|c| Pair { display: c.clone(), replacement: c }).collect()
}

/// The tables of `known` that the text names.
fn mentioned(text: &str, known: &[String]) -> Vec<String> {
    let words: Vec<&str> = text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '#'))).collect();
    let is_named = |table: &&String| words.iter().any(|word| word.eq_ignore_ascii_case(table));
    let mut tables: Vec<String> = known.iter().filter(is_named).cloned().collect();
    tables.extend(words.iter().filter(|word| word.contains('.')).map(|word| word.to_string()));
    tables
}

/// The table that `alias` stands for in `FROM table [AS] alias`, else the name itself.
fn table_of_alias(text: &str, alias: &str) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '(' | ')' | ';')).collect();
    let words: Vec<&str> = words.into_iter().filter(|w| !w.is_empty() && !w.eq_ignore_ascii_case("as")).collect();
    let stands_for = words.windows(2).find(|pair| {
        let is_word = !KEYWORDS.split_whitespace().any(|keyword| keyword.eq_ignore_ascii_case(pair[0]));
        is_word && pair[1].eq_ignore_ascii_case(alias)
    });
    stands_for.map_or(alias, |pair| pair[0]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_found() {
        assert_eq!(table_of_alias("select e. from event as e join venue v on", "e"), "event");
        assert_eq!(table_of_alias("select v. from event e, venue v where", "v"), "venue");
        assert_eq!(table_of_alias("select x from event", "event"), "event");
    }

    #[test]
    fn what_matches_is_offered_once() {
        let shown = matching(vec!["event".into(), "EVEN".into(), "event".into(), "ev".into()], "ev");
        let shown: Vec<String> = shown.into_iter().map(|pair| pair.replacement).collect();
        assert_eq!(shown, ["EVEN", "event"]);
    }
}
