//! What files hold, found out by looking into them: names and types of columns.
//!
//! Types of text are the narrowest of few that all values have which were looked at: BOOLEAN, BIGINT, DECIMAL where all have as
//! many digits after the point, DOUBLE PRECISION, DATE, TIMESTAMP, TIMESTAMPTZ, else VARCHAR with room for longer ones. What does
//! not fit later on is refused by the load, with its place: nothing is cut (our own choice).

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use super::blocks::{Block, Cutter};
use super::formats::Formats;
use super::json;
use super::lines::{Fields, Form, LineReader};
use super::parquet;
use super::text::shown_name;
use super::values::{Rules, Values};
use super::{damaged, input, null_as};
use crate::catalog::ColumnDef;
use crate::common::{ColumnId, EncodingName, Error, Result, SqlState, SqlType};
use crate::engine::files::CopyFiles;
use crate::engine::running::Running;
use crate::functions::zones;
use crate::sql::ast::{ColumnSpec, Compression, CopyFormat, CopyOptions, Ident, Mapping, ValueRules};

/// Files that are looked into for types, spread over all.
const SAMPLED_FILES: usize = 16;
/// Files that are opened at the same time.
const OPEN: usize = 8;
/// Lines of a file that are looked at.
const SAMPLED_LINES: usize = 10_000;

/// A column of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// As the file has it.
    pub name: String,
    pub sql_type: SqlType,
}

/// Says in `options` what the files' names tell of their format, where the statement does not.
///
/// Errors: Invalid where the names tell nothing.
pub fn guess_format(options: &mut CopyOptions, from: &str, groups: &[CopyFiles]) -> Result<()> {
    if !options.format_unsaid {
        return Ok(());
    }
    let first = groups.iter().flat_map(|group| &group.files).next();
    let name = first.map_or(String::new(), |file| file.location.as_ref().to_ascii_lowercase());
    let packed = [(".gz", Compression::Gzip), (".bz2", Compression::Bzip2), (".zst", Compression::Zstd)];
    let ending = packed.iter().find_map(|(ending, compression)| Some((name.strip_suffix(ending)?, *compression)));
    let (name, compression) = ending.unwrap_or((&name, options.compression));
    let delimited = |delimiter| CopyFormat::Delimited { delimiter, escape: false, remove_quotes: false };
    options.format = match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "parquet" => CopyFormat::Parquet,
        "csv" => CopyFormat::Csv { delimiter: b',', quote: b'"' },
        "tsv" => delimited(b'\t'),
        "tbl" | "psv" => delimited(b'|'),
        "json" | "jsonl" | "ndjson" => CopyFormat::Json(Mapping::Auto { ignore_case: true }),
        _ => {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER,
                format!("the name of \"{from}\" does not tell the format of its files"),
            )
            .with_hint("say PARQUET, CSV, JSON 'auto', or DELIMITER"));
        }
    };
    options.compression = compression;
    Ok(())
}

/// The columns of text or JSON files, in their order; and whether their first lines are names.
pub async fn of_text(options: &CopyOptions, groups: &[CopyFiles]) -> Result<(Vec<Found>, bool)> {
    let files: Vec<(&CopyFiles, &ObjectMeta)> =
        groups.iter().flat_map(|group| group.files.iter().map(move |file| (group, file))).collect();
    let step = files.len().div_ceil(SAMPLED_FILES).max(1);
    // Boxed one by one: their lifetimes are not those of a closure's arguments.
    let mut heads = Vec::new();
    for (group, file) in files.into_iter().step_by(step) {
        heads.push(head(options, group, file).boxed());
    }
    let blocks: Vec<Option<Block>> = stream::iter(heads).buffered(OPEN).try_collect().await?;
    let blocks: Vec<Block> = blocks.into_iter().flatten().collect();
    match &options.format {
        CopyFormat::Json(_) => Ok((of_values(options, &blocks)?, false)),
        _ => of_lines(options, &blocks),
    }
}

/// The columns of Parquet files; those of one name are of one type.
pub async fn of_parquet(running: &Running<'_>, groups: &[CopyFiles]) -> Result<Vec<Found>> {
    let mut found: Vec<Found> = Vec::new();
    for group in groups {
        for (file, schema) in parquet::schemas(running, group).await? {
            for column in columns_of(&schema, &file)? {
                match found.iter().find(|known| known.name == column.name) {
                    None => found.push(column),
                    Some(known) if known.sql_type == column.sql_type => {}
                    Some(known) => {
                        let message = format!(
                            "{file}: column \"{}\" is {} here and {} in another file",
                            column.name, column.sql_type, known.sql_type
                        );
                        return Err(Error::invalid(SqlState::BAD_COPY_FILE, message)
                            .with_hint("create the table with the type that you want, then COPY … BY NAME"));
                    }
                }
            }
        }
    }
    Ok(found)
}

/// The names in the first line of a text file.
pub async fn header(options: &CopyOptions, group: &CopyFiles, file: &ObjectMeta) -> Result<Vec<String>> {
    let name = shown_name(&group.base, file);
    let block = head(options, group, file).await?;
    let mut names = match &block {
        Some(block) => lines(options, block)?.into_iter().take(1).next().unwrap_or_default(),
        None => Vec::new(),
    };
    let names: Vec<String> = names.iter_mut().map(|name| name.take().unwrap_or_default()).collect();
    match names.iter().all(|name| name.is_empty()) {
        true => {
            Err(Error::invalid(SqlState::BAD_COPY_FILE, format!("{name} has no names of columns in its first line"))
                .with_hint("BY NAME needs a header line; leave it out to load by position"))
        }
        false => Ok(names),
    }
}

/// The columns of a Parquet file that tables can hold.
pub fn columns_of(schema: &SchemaRef, file: &str) -> Result<Vec<Found>> {
    let column = |field: &Arc<arrow::datatypes::Field>| {
        let sql_type = match field.data_type().is_nested() {
            true => Some(SqlType::Super),
            false => SqlType::from_field(field),
        };
        let message = || format!("{file}: column \"{}\" has type {}", field.name(), field.data_type());
        let refused = || Error::unsupported(message()).with_hint("tables cannot hold it: convert the file");
        Ok(Found { name: field.name().clone(), sql_type: sql_type.ok_or_else(refused)? })
    };
    schema.fields().iter().map(column).collect()
}

/// A column of which nothing is said but its type.
pub fn spec(name: Ident, sql_type: SqlType) -> ColumnSpec {
    let (not_null, default, identity, encode) = (None, None, None, None);
    ColumnSpec { name, sql_type, not_null, default, identity, encode, distkey: false, sortkey: false }
}

/// A name of a file as a column's: in lower case, with underscores for blanks.
pub fn column_name(name: &str) -> String {
    name.trim().to_lowercase().split_whitespace().collect::<Vec<_>>().join("_")
}

/// The first lines of a file, all of them where there are few.
async fn head(options: &CopyOptions, group: &CopyFiles, file: &ObjectMeta) -> Result<Option<Block>> {
    let name: Arc<str> = shown_name(&group.base, file).into();
    let fetched = input::fetch(Arc::clone(&group.store), file.location.clone());
    let (compression, encoding) = (options.compression, options.values.encoding);
    let lines = form(options).lines();
    let read = move || {
        let text = input::text(fetched, compression, encoding).map_err(|e| damaged(&name, &e.to_string()))?;
        Cutter::new(text, name, lines, 0).next()
    };
    tokio::task::spawn_blocking(read).await.map_err(|e| Error::internal(format!("looking into a file: {e}")))?
}

/// How the files' lines are parted, whatever their columns.
fn form(options: &CopyOptions) -> Form {
    match &options.format {
        CopyFormat::Delimited { delimiter, escape, remove_quotes } => {
            Form::Delimited { delimiter: *delimiter, escape: *escape, remove_quotes: *remove_quotes }
        }
        CopyFormat::FixedWidth(fields) => Form::Fixed(fields.iter().map(|field| field.width).collect()),
        CopyFormat::Csv { delimiter, quote } => Form::Csv { delimiter: *delimiter, quote: *quote },
        CopyFormat::Json(_) | CopyFormat::Parquet => Form::Json(json::Shape::Whole),
    }
}

/// The fields of a block's lines, `None` of NULL. What cannot be read is left to the load, which tells its place.
fn lines(options: &CopyOptions, block: &Block) -> Result<Vec<Vec<Option<String>>>> {
    let (form, null) = (form(options), null_as(options));
    let mut reader = LineReader::new(block, &form, null.as_deref());
    let mut fields = Fields::default();
    let mut rows = Vec::new();
    while rows.len() < SAMPLED_LINES
        && let Some((line, read)) = reader.next(&mut fields)
    {
        if read.is_err() || (line.text.is_empty() && options.values.ignore_blank_lines) {
            continue;
        }
        let text = |at| {
            let field = fields.get(at).filter(|field| Some(*field) != null.as_deref())?;
            Some(String::from_utf8_lossy(field).into_owned())
        };
        rows.push((0..fields.len()).map(text).collect::<Vec<_>>());
        // A delimiter may end a line as well as separate fields.
        if matches!(form, Form::Delimited { .. })
            && let Some(row) = rows.last_mut()
            && row.len() > 1
            && row.last().is_some_and(|last| last.as_deref() == Some(""))
        {
            row.pop();
        }
    }
    Ok(rows)
}

fn of_lines(options: &CopyOptions, blocks: &[Block]) -> Result<(Vec<Found>, bool)> {
    let mut first: Option<Vec<Option<String>>> = None;
    let mut rows: Vec<Vec<Option<String>>> = Vec::new();
    let skip = options.values.ignore_header as usize;
    for block in blocks {
        let mut of_block = lines(options, block)?.into_iter();
        let names = of_block.nth(skip.saturating_sub(1));
        first = first.or(names);
        rows.extend(of_block);
    }
    let Some(first) = first else {
        return Err(Error::invalid(
            SqlState::BAD_COPY_FILE,
            "the files are empty: there is nothing to tell their columns by",
        )
        .with_hint("create the table with its columns, and COPY into it"));
    };
    let width = rows.iter().map(Vec::len).max().unwrap_or(first.len()).max(first.len());
    let column = |rows: &[Vec<Option<String>>], at: usize| {
        let mut guess = Guess::new();
        rows.iter().filter_map(|row| row.get(at)?.as_deref()).for_each(|text| guess.see(text));
        guess
    };
    let guesses: Vec<Guess> = (0..width).map(|at| column(&rows, at)).collect();
    let is_header = match options.header_said {
        true => skip > 0,
        false => !rows.is_empty() && looks_like_names(&first, &guesses),
    };
    let mut found = Vec::with_capacity(width);
    for (at, mut guess) in guesses.into_iter().enumerate() {
        let cell = first.get(at).cloned().flatten();
        let name = match is_header {
            true => cell.filter(|name| !name.trim().is_empty()),
            false => {
                cell.iter().for_each(|text| guess.see(text));
                None
            }
        };
        let name = name.unwrap_or_else(|| format!("column{}", at + 1));
        found.push(Found { name, sql_type: guess.sql_type() });
    }
    // The first line is no row then, and is counted where the statement says so already.
    Ok((found, is_header && !options.header_said))
}

/// Whether a first line is of names: they differ, and either a column below is of another type than text, or all look like names.
fn looks_like_names(first: &[Option<String>], guesses: &[Guess]) -> bool {
    let names: Option<Vec<&str>> = first.iter().map(|name| name.as_deref().map(str::trim)).collect();
    let Some(names) = names.filter(|names| names.iter().all(|name| !name.is_empty())) else { return false };
    let distinct: BTreeSet<String> = names.iter().map(|name| column_name(name)).collect();
    if distinct.len() < names.len() {
        return false;
    }
    let unlike = |(name, guess): (&&str, &Guess)| {
        let mut with = guess.clone();
        with.see(name);
        !matches!(guess.sql_type(), SqlType::Varchar(_)) && matches!(with.sql_type(), SqlType::Varchar(_))
    };
    let typed = |guess: &Guess| !matches!(guess.sql_type(), SqlType::Varchar(_));
    let is_name = |name: &&str| {
        let begins = |c: char| c.is_alphabetic() || c == '_';
        name.starts_with(begins) && name.chars().all(|c| begins(c) || c.is_ascii_digit() || c == ' ')
    };
    match guesses.iter().any(typed) {
        true => names.iter().zip(guesses).filter(|(_, guess)| typed(guess)).all(unlike),
        false => names.iter().all(is_name),
    }
}

fn of_values(options: &CopyOptions, blocks: &[Block]) -> Result<Vec<Found>> {
    if !matches!(options.format, CopyFormat::Json(Mapping::Auto { .. })) {
        return Err(Error::invalid(SqlState::INVALID_PARAMETER, "columns are told by the keys of JSON 'auto'")
            .with_hint("create the table with its columns for JSONPaths and 'noshred'"));
    }
    let mut columns: Vec<(String, Guess)> = Vec::new();
    for block in blocks {
        for (_, read) in json::values(block).take(SAMPLED_LINES) {
            let Ok(value) = read else { continue };
            for member in json::members(value) {
                let Ok((key, value)) = member else { break };
                let at = columns.iter().position(|(name, _)| *name == *key).unwrap_or_else(|| {
                    columns.push((key.to_string(), Guess::new()));
                    columns.len() - 1
                });
                columns[at].1.see_json(value);
            }
        }
    }
    match columns.is_empty() {
        true => Err(Error::invalid(SqlState::BAD_COPY_FILE, "the files hold no objects of JSON")
            .with_hint("columns are told by the keys of objects")),
        false => Ok(columns.into_iter().map(|(name, guess)| Found { name, sql_type: guess.sql_type() }).collect()),
    }
}

/// What the values of a column have in common.
#[derive(Clone)]
struct Guess {
    /// Types that all values have, the narrowest first.
    left: Vec<SqlType>,
    /// Digits after the point, where all have as many.
    scale: Option<Option<u8>>,
    digits: usize,
    longest: usize,
    seen: bool,
    nested: bool,
}

impl Guess {
    fn new() -> Self {
        let left = vec![
            SqlType::Boolean,
            SqlType::BigInt,
            SqlType::Double,
            SqlType::Date,
            SqlType::Timestamp,
            SqlType::TimestampTz,
            SqlType::Time,
        ];
        Guess { left, scale: None, digits: 0, longest: 0, seen: false, nested: false }
    }

    fn see(&mut self, text: &str) {
        self.longest = self.longest.max(text.len());
        let text = text.trim();
        // Empty fields of other types than text are NULL.
        if text.is_empty() {
            return;
        }
        self.seen = true;
        self.left.retain(|sql_type| is_value(text, *sql_type));
        let number = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let plain = !number.contains(['e', 'E']);
        let scale = plain.then_some(part.len()).and_then(|scale| u8::try_from(scale).ok());
        self.digits = self.digits.max(whole.len());
        self.scale = Some(match self.scale {
            None => scale,
            Some(before) => before.filter(|before| Some(*before) == scale),
        });
    }

    fn see_json(&mut self, value: &[u8]) {
        match (value.first(), json::scalar(value)) {
            (_, Ok(None)) => {}
            (Some(b'{' | b'['), _) | (_, Err(_)) => self.nested = true,
            (Some(b'"'), Ok(Some(text))) => {
                // A number in quotes is text.
                self.left.retain(|t| !matches!(t, SqlType::Boolean | SqlType::BigInt | SqlType::Double));
                self.see(&String::from_utf8_lossy(&text));
            }
            (_, Ok(Some(text))) => self.see(&String::from_utf8_lossy(&text)),
        }
    }

    fn sql_type(&self) -> SqlType {
        const MOST_DIGITS: usize = 12;
        if self.nested {
            return SqlType::Super;
        }
        match (self.left.first(), self.scale.flatten()) {
            _ if !self.seen => SqlType::Varchar(256),
            (Some(SqlType::Double), Some(scale)) if (1..=6).contains(&scale) && self.digits <= MOST_DIGITS => {
                SqlType::Decimal { precision: 18, scale }
            }
            (Some(narrowest), _) => *narrowest,
            (None, _) => {
                let room = [256, 1024, 4096, 16384].into_iter().find(|room| self.longest * 4 <= *room as usize);
                SqlType::Varchar(room.unwrap_or(SqlType::MAX_VARCHAR_BYTES))
            }
        }
    }
}

/// Whether COPY would take the text for a value of the type, as an inferred column.
fn is_value(text: &str, sql_type: SqlType) -> bool {
    let digits_first = text.starts_with(|c: char| c.is_ascii_digit());
    let zoned = text.ends_with('Z') || text.get(11..).is_some_and(|time| time.contains(['+', '-']));
    match sql_type {
        // 0 and 1 are numbers.
        SqlType::Boolean => ["true", "false", "t", "f", "yes", "no"].contains(&text.to_ascii_lowercase().as_str()),
        // A code as 007 would lose its zeros.
        SqlType::BigInt | SqlType::Double => {
            let number = text.strip_prefix('-').unwrap_or(text);
            let padded = number.len() > 1 && number.starts_with('0') && !number.starts_with("0.");
            let words = number.starts_with(|c: char| c.is_ascii_alphabetic() || c == '+');
            !padded && !words && takes(text, sql_type)
        }
        SqlType::Date => text.len() == 10 && takes(text, sql_type),
        SqlType::Timestamp => text.len() >= 10 && digits_first && !zoned && takes(text, sql_type),
        SqlType::TimestampTz => digits_first && zoned && takes(text, sql_type),
        SqlType::Time => text.contains(':') && digits_first && takes(text, sql_type),
        _ => false,
    }
}

/// Whether COPY takes the text for a value of the type.
fn takes(text: &str, sql_type: SqlType) -> bool {
    let values = ValueRules::default();
    let Ok(formats) = Formats::new(&values) else { return false };
    let rules = Rules { formats, null_as: None, text: values, zone: zones::utc() };
    let column = ColumnDef {
        id: ColumnId(1),
        name: String::new(),
        sql_type,
        nullable: true,
        default_sql: None,
        absent: None,
        encoding: EncodingName::Auto,
        identity: None,
    };
    Values::new(&column).push(Some(text.as_bytes()), &rules).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Statement, parse_one};

    fn found(options: &str, text: &str) -> (Vec<String>, bool) {
        let Ok(Statement::Copy(copy)) = parse_one(&format!("copy t from 'f' {options}")) else { panic!("{options}") };
        let block = Block { file: "f".into(), line: 1, offset: 0, text: text.as_bytes().to_vec() };
        let (found, header) = match &copy.options.format {
            CopyFormat::Json(_) => (of_values(&copy.options, &[block]).unwrap(), false),
            _ => of_lines(&copy.options, &[block]).unwrap(),
        };
        (found.iter().map(|column| format!("{} {}", column.name, column.sql_type)).collect(), header)
    }

    #[test]
    fn types_are_the_narrowest_that_all_values_have() {
        let (columns, header) = found(
            "csv",
            "id,price,rate,day,at,zoned,ok,code,word\n\
             1,1.50,1e3,2024-01-31,2024-01-31 10:11:12,2024-01-31 10:11:12+02,true,007,a\n\
             2,,2.25,2024-02-01,2024-02-01 00:00:00,2024-01-31 10:11:12Z,false,010,\n",
        );
        let expected = [
            "id bigint",
            "price numeric(18,2)",
            "rate double precision",
            "day date",
            "at timestamp without time zone",
            "zoned timestamp with time zone",
            "ok boolean",
            "code character varying(256)",
            "word character varying(256)",
        ];
        assert_eq!((columns, header), (expected.map(str::to_string).to_vec(), true));
    }

    #[test]
    fn a_first_line_of_names_is_told_from_rows() {
        let names = |options: &str, text: &str| {
            let (columns, header) = found(options, text);
            (columns.iter().map(|c| c.split(' ').next().unwrap().to_string()).collect::<Vec<_>>().join(","), header)
        };
        assert_eq!(names("csv", "a,b\n1,x\n"), ("a,b".into(), true));
        assert_eq!(names("csv", "1,x\n2,y\n"), ("column1,column2".into(), false));
        assert_eq!(names("csv", "word,other\nx,y\n"), ("word,other".into(), true));
        assert_eq!(names("csv", "x,x\nx,y\n"), ("column1,column2".into(), false));
        assert_eq!(names("csv ignoreheader 0", "a,b\n1,x\n"), ("column1,column2".into(), false));
        assert_eq!(names("csv ignoreheader 1", "1,2\n1,x\n"), ("1,2".into(), false));
        assert_eq!(names("delimiter '|'", "1|x|\n2|y|\n"), ("column1,column2".into(), false));
    }

    #[test]
    fn keys_of_json_are_columns() {
        let (columns, _) = found(
            "json 'auto'",
            r#"{"id": 1, "at": "2024-01-31T10:00:00", "n": "5"} {"id": 2, "more": {"x": 1}, "price": 1.5, "none": null}"#,
        );
        let expected = [
            "id bigint",
            "at timestamp without time zone",
            "n character varying(256)",
            "more super",
            "price numeric(18,1)",
            "none character varying(256)",
        ];
        assert_eq!(columns, expected.map(str::to_string).to_vec());
    }
}
