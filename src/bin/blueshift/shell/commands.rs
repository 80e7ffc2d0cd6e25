//! The commands of the shell, which begin with a backslash; most are psql's.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use blueshift::engine::split;

use super::{Shell, Then};
use crate::failure::{Failure, Source, note};
use crate::render::Format;
use crate::render::screen::Expanded;

/// Each command, what follows it, and what it does.
pub const COMMANDS: [(&str, &str, &str); 14] = [
    ("\\d", "[NAME]", "a table's columns, keys and size, a view's definition; without a name all tables and views"),
    ("\\dt", "[PATTERN]", "tables; * and ? stand for any text and any character"),
    ("\\dv", "[PATTERN]", "views"),
    ("\\dn", "", "schemas"),
    ("\\l", "", "catalogs: the warehouse and what is attached"),
    ("\\x", "[on|off|auto]", "a line a value; auto where a table is too wide for the terminal"),
    ("\\maxrows", "[N]", "the most rows shown on a terminal; 0 shows all"),
    ("\\format", "[table|csv|json]", "how results are written"),
    ("\\timing", "[on|off]", "each statement's time"),
    ("\\o", "[FILE]", "results go to a file; without one to the terminal again"),
    ("\\i", "FILE", "runs the statements and commands of a file"),
    ("\\conninfo", "", "which warehouse this is"),
    ("\\?", "", "this list"),
    ("\\q", "", "quits"),
];

/// Files that run files are no deeper than this.
const DEEPEST: usize = 16;

/// Runs one command line.
pub async fn run(shell: &mut Shell, line: &str, source: &Source) -> Result<Then, Failure> {
    let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = argument.trim().trim_end_matches(';').trim_end();
    match command.trim_end_matches(';') {
        "\\q" => return Ok(Then::Quit),
        "\\?" | "\\h" | "\\help" => help(),
        "\\d" if argument.is_empty() => list(shell, "", None).await?,
        "\\d" | "\\d+" => describe(shell, argument).await?,
        "\\dt" => list(shell, argument, Some("('BASE TABLE', 'LOCAL TEMPORARY')")).await?,
        "\\dv" => list(shell, argument, Some("('VIEW')")).await?,
        "\\dn" => {
            let hidden = "('information_schema', 'pg_catalog')";
            query(shell, &format!("SELECT catalog_name AS catalog, schema_name AS schema FROM information_schema.schemata WHERE schema_name NOT IN {hidden} ORDER BY 1, 2")).await?;
        }
        "\\l" => {
            query(shell, "SELECT DISTINCT catalog_name AS catalog FROM information_schema.schemata ORDER BY 1").await?;
        }
        "\\x" => {
            shell.expanded = match argument {
                "on" => Expanded::On,
                "off" => Expanded::Off,
                "auto" => Expanded::Auto,
                "" if shell.expanded == Expanded::On => Expanded::Off,
                "" => Expanded::On,
                _ => return Err(wrong(command, argument)),
            };
            note(match shell.expanded {
                Expanded::On => "Rows are shown as lines of names and values.",
                Expanded::Off => "Rows are shown as tables.",
                Expanded::Auto => "Rows are shown as tables where these fit.",
            });
        }
        "\\timing" => {
            shell.timing = switch(command, argument, shell.timing)?;
            note(if shell.timing { "Timing is on." } else { "Timing is off." });
        }
        "\\maxrows" => {
            if !argument.is_empty() {
                shell.max_rows = argument.parse().map_err(|_| wrong(command, argument))?;
            }
            note(&match shell.max_rows {
                0 => "All rows are shown.".to_string(),
                rows => format!("At most {rows} rows are shown on a terminal."),
            });
        }
        "\\format" => {
            shell.format = match argument {
                "table" => Format::Table,
                "csv" => Format::Csv,
                "json" => Format::Json,
                _ => return Err(wrong(command, argument)),
            }
        }
        "\\o" => {
            shell.flush()?;
            shell.file = if argument.is_empty() { None } else { Some(create(argument)?) };
        }
        "\\i" => return include(shell, argument, source).await,
        "\\conninfo" => {
            let warehouse = shell.session.warehouse();
            note(&format!("{}, {} slices", warehouse.location(), warehouse.info().slices));
        }
        other => {
            return Err(Failure::Message(format!("there is no command {other}; \\? lists the commands")));
        }
    }
    Ok(Then::GoOn)
}

fn help() {
    for (command, argument, what) in COMMANDS {
        note(&format!("  {:<26} {what}", format!("{command} {argument}")));
    }
    note("Everything else is SQL; a statement ends with a semicolon. Tab completes, Ctrl-C cancels.");
}

fn switch(command: &str, argument: &str, is_on: bool) -> Result<bool, Failure> {
    match argument {
        "" => Ok(!is_on),
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(wrong(command, argument)),
    }
}

fn wrong(command: &str, argument: &str) -> Failure {
    let usage = COMMANDS.iter().find(|(name, _, _)| *name == command).map_or("", |(_, usage, _)| usage);
    let given = if argument.is_empty() { "nothing".to_string() } else { format!("\"{argument}\"") };
    Failure::Message(format!("{command} takes {usage}, not {given}"))
}

fn create(name: &str) -> Result<(PathBuf, BufWriter<File>), Failure> {
    let file = File::create(name).map_err(|e| Failure::Message(format!("cannot write {name}: {e}")))?;
    Ok((name.into(), BufWriter::new(file)))
}

async fn include(shell: &mut Shell, name: &str, within: &Source) -> Result<Then, Failure> {
    if name.is_empty() {
        return Err(wrong("\\i", name));
    }
    if within.depth >= DEEPEST {
        return Err(Failure::Message(format!("files run files {DEEPEST} deep; does {name} run itself?")));
    }
    let mut source = crate::sql::read_file(&PathBuf::from(name))?;
    source.depth = within.depth + 1;
    Box::pin(shell.run_text(&source)).await
}

/// Runs a query of a command's and shows it as any other.
async fn query(shell: &mut Shell, sql: &str) -> Result<(), Failure> {
    for statement in split(sql) {
        shell.print(statement).await?;
    }
    Ok(())
}

/// Tables and views whose name is like `pattern`, which may name a schema.
async fn list(shell: &mut Shell, pattern: &str, kind: Option<&str>) -> Result<(), Failure> {
    let (schema, name) = pattern.rsplit_once('.').unwrap_or(("", pattern));
    let mut wanted = vec!["t.table_schema NOT IN ('information_schema', 'pg_catalog')".to_string()];
    for (column, pattern) in [("t.table_schema", schema), ("t.table_name", name)] {
        if !pattern.is_empty() {
            let like = pattern.replace('*', "%").replace('?', "_").replace('\'', "''");
            wanted.push(format!("{column} ILIKE '{like}'"));
        }
    }
    if let Some(kind) = kind {
        wanted.push(format!("t.table_type IN {kind}"));
    }
    let sql = format!(
        "SELECT t.table_schema AS schema, t.table_name AS name, \
         CASE t.table_type WHEN 'BASE TABLE' THEN 'table' WHEN 'LOCAL TEMPORARY' THEN 'temporary table' ELSE lower(t.table_type) END AS type, \
         i.diststyle, i.sortkey1 AS sortkey, i.estimated_visible_rows AS rows, i.size AS \"blocks of 1 MB\" \
         FROM information_schema.tables t LEFT JOIN svv_table_info i ON i.schema = t.table_schema AND i.\"table\" = t.table_name \
         AND i.database = t.table_catalog WHERE {} ORDER BY 1, 2",
        wanted.join(" AND ")
    );
    query(shell, &sql).await
}

/// A table's columns, its size, and what else there is to say of it; a view's columns and the statement that makes it again.
async fn describe(shell: &mut Shell, name: &str) -> Result<(), Failure> {
    let found = shell.session.describe(name).await?;
    match (query(shell, &format!("DESCRIBE {name}")).await, &found.view) {
        // A view that is out of date is told by its definition, and what is wrong with it.
        (Err(failure), Some(_)) => failure.report(),
        (outcome, _) => outcome?,
    }
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let sql = format!(
        "SELECT diststyle, sortkey1 AS \"first sort key\", sortkey_num AS \"sort keys\", \
         estimated_visible_rows AS rows, tbl_rows - estimated_visible_rows AS \"deleted rows\", \
         size AS \"blocks of 1 MB\", skew_rows AS \"skew of rows\", unsorted AS \"unsorted %\" \
         FROM {}.pg_catalog.svv_table_info WHERE schema = {} AND \"table\" = {}",
        quoted(&found.database),
        literal(&found.schema),
        literal(&found.name)
    );
    // A catalog of files has no such table, and nothing to say in it.
    if let Ok(size) = shell.session.sql(&sql).await
        && size.collect().await?.iter().any(|batch| batch.num_rows() > 0)
    {
        query(shell, &sql).await?;
    }
    let mut lines = found.notes;
    if let Some(view) = found.view {
        lines.insert(0, format!("View definition:\n{view}"));
    }
    shell.write_lines(&lines)
}

/// A name as SQL reads it back.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
