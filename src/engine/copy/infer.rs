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
use super::by_name::Names;
use super::formats::Formats;
use super::json;
use super::lines::{Fields, Form, LineReader};
use super::order::{Order, compare};
use super::parquet;
use super::text::shown_name;
use super::values::{Rules, Values};
use super::{avro, damaged, input, null_as};
use crate::catalog::ColumnDef;
use crate::common::{ColumnId, EncodingName, Error, Result, SqlState, SqlType};
use crate::engine::files::CopyFiles;
use crate::engine::files::shown;
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
    /// Whether rows are in the order of this column, as far as they were looked at.
    pub in_order: bool,
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
        "avro" => CopyFormat::Avro(Mapping::Auto { ignore_case: true }),
        "csv" => CopyFormat::Csv { delimiter: b',', quote: b'"' },
        "tsv" => delimited(b'\t'),
        "tbl" | "psv" => delimited(b'|'),
        "json" | "jsonl" | "ndjson" => CopyFormat::Json(Mapping::Auto { ignore_case: true }),
        _ => {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER,
                format!("the name of \"{}\" does not tell the format of its files", shown(from)),
            )
            .with_hint("say PARQUET, AVRO, CSV, JSON 'auto', or DELIMITER"));
        }
    };
    options.compression = compression;
    Ok(())
}

/// The columns of text or JSON files, in their order; and whether their first lines are names, which [`of_named`] is for.
pub async fn of_text(options: &CopyOptions, groups: &[CopyFiles]) -> Result<(Vec<Found>, bool)> {
    let skip = if matches!(options.format, CopyFormat::Json(_)) { options.values.ignore_header } else { 0 };
    let blocks = heads(options, groups, &[], skip).await?;
    match &options.format {
        CopyFormat::Json(mapping) => Ok((of_values(mapping, &blocks)?, false)),
        _ => of_lines(options, &blocks),
    }
}

/// The columns of text files whose names are known, of each name one.
pub async fn of_named(options: &CopyOptions, groups: &[CopyFiles], names: &Names) -> Result<Vec<Found>> {
    let mut kinds: Vec<&[String]> = Vec::new();
    let mut wanted: Vec<&str> = Vec::new();
    let mut columns: Vec<(String, Guess)> = Vec::new();
    for (_, file, names) in names.iter().flatten() {
        if !kinds.contains(&names.as_slice()) {
            kinds.push(names);
            wanted.push(file);
        }
        for name in names {
            if columns.iter().all(|(known, _)| column_name(known) != column_name(name)) {
                columns.push((name.clone(), Guess::new()));
            }
        }
    }
    for block in heads(options, groups, &wanted, header_line(options)).await? {
        let of_file = names.iter().flatten().find(|(_, file, _)| **file == *block.file);
        let Some((_, _, names)) = of_file else { continue };
        columns.iter_mut().for_each(|(_, guess)| guess.next_file());
        for row in lines(options, &block, SAMPLED_LINES) {
            for (name, field) in names.iter().zip(row) {
                let column = columns.iter_mut().find(|(known, _)| column_name(known) == column_name(name));
                if let (Some((_, guess)), Some(text)) = (column, field) {
                    guess.see(&text);
                }
            }
        }
    }
    Ok(columns.into_iter().map(|(name, guess)| guess.found(name)).collect())
}

/// The columns of files that say their types.
pub async fn of_typed(running: &Running<'_>, options: &CopyOptions, groups: &[CopyFiles]) -> Result<Vec<Found>> {
    let mut files: Vec<(String, Vec<Found>)> = Vec::new();
    for group in groups {
        if let CopyFormat::Avro(mapping) = &options.format {
            check_auto(mapping)?;
            files.extend(avro_columns(options, group).await?);
            continue;
        }
        for (file, schema) in parquet::schemas(running, group).await.map_err(|unread| unread.error)? {
            let columns = columns_of(&schema, &file)?;
            files.push((file, columns));
        }
    }
    let mut found = together(files)?;
    if let (CopyFormat::Parquet, Some(group)) = (&options.format, groups.first()) {
        let ordered = parquet::ordered(running, group, SAMPLED_LINES).await?;
        found.iter_mut().for_each(|column| column.in_order = ordered.contains(&column.name));
    }
    Ok(found)
}

/// The columns of all files; those of one name are of one type.
fn together(files: Vec<(String, Vec<Found>)>) -> Result<Vec<Found>> {
    let mut found: Vec<Found> = Vec::new();
    for (file, columns) in files {
        for column in columns {
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
    Ok(found)
}

/// The names in the first line of a text file, or in the last that IGNOREHEADER leaves out.
pub async fn header(options: &CopyOptions, group: &CopyFiles, file: &ObjectMeta) -> Result<Vec<String>> {
    let name = shown_name(&group.base, file);
    let block = head(options, group, file, header_line(options) - 1).await?;
    let first = block.as_ref().and_then(|block| first_line(options, block));
    let names: Vec<String> = first.into_iter().flatten().map(Option::unwrap_or_default).collect();
    let wrong = |message: &str| {
        Err(Error::invalid(SqlState::BAD_COPY_FILE, format!("{name} {message}")).with_hint(
            "BY NAME needs a header line, the last of those that IGNOREHEADER counts; leave it out to load by position",
        ))
    };
    match () {
        _ if names.iter().all(|name| name.trim().is_empty()) => wrong("has no names of columns in its first line"),
        _ if names.iter().any(|name| name.contains(['\n', '\r'])) => wrong("has a line end in a name of a column"),
        _ => Ok(names),
    }
}

/// The number of the line that has the names.
fn header_line(options: &CopyOptions) -> u64 {
    options.values.ignore_header.max(1)
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
        Ok(Found { name: field.name().clone(), sql_type: sql_type.ok_or_else(refused)?, in_order: false })
    };
    schema.fields().iter().map(column).collect()
}

/// A column of which nothing is said but its type.
pub fn spec(name: Ident, sql_type: SqlType) -> ColumnSpec {
    let (not_null, default, identity, encode) = (None, None, None, None);
    ColumnSpec { name, sql_type, not_null, default, identity, encode, distkey: false, sortkey: false }
}

/// A name of a file as a column's: in lower case, with underscores for blanks, cut as all names are.
pub fn column_name(name: &str) -> String {
    let mut name = name.trim().to_lowercase().split_whitespace().collect::<Vec<_>>().join("_");
    name.truncate(name.floor_char_boundary(Ident::MAX_BYTES));
    name
}

/// The first lines of some files, spread over all, and of those that are `wanted`; `skip` lines are left out.
async fn heads(options: &CopyOptions, groups: &[CopyFiles], wanted: &[&str], skip: u64) -> Result<Vec<Block>> {
    let files: Vec<(&CopyFiles, &ObjectMeta)> =
        groups.iter().flat_map(|group| group.files.iter().map(move |file| (group, file))).collect();
    let step = files.len().div_ceil(SAMPLED_FILES).max(1);
    // Boxed one by one: their lifetimes are not those of a closure's arguments.
    let mut heads = Vec::new();
    for (at, (group, file)) in files.into_iter().enumerate() {
        if at % step == 0 || wanted.contains(&shown_name(&group.base, file).as_str()) {
            heads.push(head(options, group, file, skip).boxed());
        }
    }
    let blocks: Vec<Option<Block>> = stream::iter(heads).buffered(OPEN).try_collect().await?;
    Ok(blocks.into_iter().flatten().collect())
}

/// The first lines of a file behind `skip`, all of them where there are few.
async fn head(options: &CopyOptions, group: &CopyFiles, file: &ObjectMeta, skip: u64) -> Result<Option<Block>> {
    let name: Arc<str> = shown_name(&group.base, file).into();
    let fetched = input::fetch(Arc::clone(&group.store), file.location.clone());
    let (compression, encoding) = (options.compression, options.values.encoding);
    let lines = form(options).lines();
    let read = move || {
        let text = input::text(fetched, compression, encoding).map_err(|e| damaged(&name, &e.to_string()))?;
        Cutter::new(text, name, lines, skip).next().map_err(|broken| broken.error)
    };
    look(read).await
}

/// How the files' lines are parted, whatever their columns.
fn form(options: &CopyOptions) -> Form {
    match &options.format {
        CopyFormat::Delimited { delimiter, escape, remove_quotes } => {
            Form::Delimited { delimiter: *delimiter, escape: *escape, remove_quotes: *remove_quotes }
        }
        CopyFormat::FixedWidth(fields) => Form::Fixed(fields.iter().map(|field| field.width).collect()),
        CopyFormat::Csv { delimiter, quote } => Form::Csv { delimiter: *delimiter, quote: *quote },
        CopyFormat::Json(_) | CopyFormat::Avro(_) | CopyFormat::Parquet => Form::Json(json::Shape::Whole),
    }
}

/// The fields of a block's lines, so many at most, `None` of NULL. What cannot be read is left to the load, which tells its place.
fn lines(options: &CopyOptions, block: &Block, most: usize) -> Vec<Vec<Option<String>>> {
    let (form, null) = (form(options), null_as(options));
    let mut reader = LineReader::new(block, &form, null.as_deref());
    let mut fields = Fields::default();
    let mut rows = Vec::new();
    while rows.len() < most
        && let Some((line, read)) = reader.next(&mut fields)
    {
        if read.is_ok() && !(line.text.is_empty() && options.values.ignore_blank_lines) {
            rows.push(row(&mut fields, &form));
        }
    }
    rows
}

/// The fields of a block's first line, whatever stands in it; `None` where it cannot be read.
fn first_line(options: &CopyOptions, block: &Block) -> Option<Vec<Option<String>>> {
    let (form, null) = (form(options), null_as(options));
    let mut fields = Fields::default();
    let (_, read) = LineReader::new(block, &form, null.as_deref()).next(&mut fields)?;
    read.is_ok().then(|| row(&mut fields, &form))
}

fn row(fields: &mut Fields<'_>, form: &Form) -> Vec<Option<String>> {
    // A delimiter may end a line as well as separate fields.
    if fields.len() > 1 && matches!(form, Form::Delimited { .. }) {
        fields.drop_last_if_empty();
    }
    let text = |at| fields.get(at).map(|field| String::from_utf8_lossy(field).into_owned());
    (0..fields.len()).map(text).collect()
}

/// Columns by their places, and whether the first line is of names.
fn of_lines(options: &CopyOptions, blocks: &[Block]) -> Result<(Vec<Found>, bool)> {
    let Some(first) = blocks.iter().find_map(|block| first_line(options, block)) else {
        return Err(Error::invalid(
            SqlState::BAD_COPY_FILE,
            "the files are empty: there is nothing to tell their columns by",
        )
        .with_hint("create the table with its columns, and COPY into it"));
    };
    let files: Vec<Vec<Vec<Option<String>>>> =
        blocks.iter().map(|block| lines(options, block, SAMPLED_LINES)).collect();
    let width = files.iter().flatten().map(Vec::len).max().unwrap_or(first.len()).max(first.len());
    let guess = |skip: usize, at: usize| {
        let (mut guess, mut skip) = (Guess::new(), skip);
        for rows in &files {
            guess.next_file();
            rows.iter().skip(skip).filter_map(|row| row.get(at)?.as_deref()).for_each(|text| guess.see(text));
            skip = skip.saturating_sub(rows.len());
        }
        guess
    };
    let guesses = |skip: usize| (0..width).map(|at| guess(skip, at)).collect::<Vec<_>>();
    let is_header = match options.header_said {
        true => options.values.ignore_header > 0,
        false => looks_like_names(&first, &guesses(1)),
    };
    let found = |(at, guess): (usize, Guess)| guess.found(format!("column{}", at + 1));
    Ok((guesses(0).into_iter().enumerate().map(found).collect(), is_header))
}

/// Whether a first line is of names: they differ, and either a column below is of another type than text, or all look like names.
fn looks_like_names(first: &[Option<String>], guesses: &[Guess]) -> bool {
    let names: Option<Vec<&str>> = first.iter().map(|name| name.as_deref().map(str::trim)).collect();
    let Some(names) = names.filter(|names| names.iter().all(|name| !name.is_empty())) else { return false };
    let distinct: BTreeSet<String> = names.iter().map(|name| column_name(name)).collect();
    if distinct.len() < names.len() {
        return false;
    }
    let typed = |guess: &Guess| !matches!(guess.sql_type(), SqlType::Varchar(_));
    let unlike = |(name, guess): (&&str, &Guess)| {
        let mut with = guess.clone();
        with.see(name);
        !typed(&with)
    };
    let is_name = |name: &&str| {
        let begins = |c: char| c.is_alphabetic() || c == '_';
        name.starts_with(begins) && name.chars().all(|c| begins(c) || c.is_ascii_digit() || c == ' ')
    };
    match guesses.iter().any(typed) {
        true => names.iter().zip(guesses).filter(|(_, guess)| typed(guess)).all(unlike),
        false => names.iter().all(is_name),
    }
}

/// Errors: Invalid where it is not keys that tell the columns.
fn check_auto(mapping: &Mapping) -> Result<()> {
    match mapping {
        Mapping::Auto { .. } => Ok(()),
        Mapping::Paths { .. } | Mapping::Whole => {
            Err(Error::invalid(SqlState::INVALID_PARAMETER, "columns are told by the keys of 'auto'")
                .with_hint("create the table with its columns for JSONPaths and 'noshred'"))
        }
    }
}

/// The columns of each file of Avro, whose header has them.
async fn avro_columns(options: &CopyOptions, group: &CopyFiles) -> Result<Vec<(String, Vec<Found>)>> {
    // Boxed one by one: their lifetimes are not those of a closure's arguments.
    let mut reads = Vec::with_capacity(group.files.len());
    for file in &group.files {
        let (name, compression): (Arc<str>, _) = (shown_name(&group.base, file).into(), options.compression);
        let columns = async move {
            let fetched = input::fetch(Arc::clone(&group.store), file.location.clone());
            look(move || {
                let plain = input::plain(fetched, compression).map_err(|e| damaged(&name, &e.to_string()))?;
                Ok((name.to_string(), avro::columns(plain, &name)?))
            })
            .await
        };
        reads.push(columns.boxed());
    }
    stream::iter(reads).buffered(OPEN).try_collect().await
}

/// Looks into a file where blocking is allowed.
async fn look<T: Send + 'static>(read: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(read).await.map_err(|e| Error::internal(format!("looking into a file: {e}")))?
}

fn of_values(mapping: &Mapping, blocks: &[Block]) -> Result<Vec<Found>> {
    check_auto(mapping)?;
    let mut columns: Vec<(String, Guess)> = Vec::new();
    for block in blocks {
        columns.iter_mut().for_each(|(_, guess)| guess.next_file());
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
        false => Ok(columns.into_iter().map(|(name, guess)| guess.found(name)).collect()),
    }
}

/// What the values of a column have in common.
#[derive(Clone)]
struct Guess {
    /// Types that all values have, the narrowest first.
    left: Vec<SqlType>,
    /// Whether all are numbers without exponent: their digits before and after the point.
    plain: bool,
    whole: usize,
    fewest_after: usize,
    most_after: usize,
    longest: usize,
    seen: bool,
    nested: bool,
    /// The value before, of the same file.
    last: Option<String>,
    order: Order,
}

impl Guess {
    /// Digits that a DOUBLE keeps of any number, and those that are left to grow of a DECIMAL before the point.
    const EXACT_DIGITS: usize = 15;
    const MOST_WHOLE: usize = 12;

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
        let (whole, fewest_after, most_after, longest) = (0, usize::MAX, 0, 0);
        let (last, order) = (None, Order::default());
        Guess { left, plain: true, whole, fewest_after, most_after, longest, seen: false, nested: false, last, order }
    }

    /// What follows are values of another file.
    fn next_file(&mut self) {
        self.last = None;
    }

    fn found(self, name: String) -> Found {
        Found { name, sql_type: self.sql_type(), in_order: self.order.is_told() }
    }

    fn see(&mut self, text: &str) {
        self.longest = self.longest.max(text.len());
        let text = text.trim();
        // Empty fields of other types than text are NULL.
        if text.is_empty() {
            return;
        }
        self.seen = true;
        self.order.see(self.last.as_deref().map(|last| compare(last, text)));
        self.last = Some(text.to_string());
        self.left.retain(|sql_type| is_plain(text, *sql_type) && takes(text, *sql_type));
        let number = text.strip_prefix('-').unwrap_or(text);
        let (whole, after) = number.split_once('.').unwrap_or((number, ""));
        self.plain &= is_plain(text, SqlType::Double) && !number.contains(['e', 'E']);
        self.whole = self.whole.max(whole.len());
        self.fewest_after = self.fewest_after.min(after.len());
        self.most_after = self.most_after.max(after.len());
    }

    fn see_json(&mut self, value: &[u8]) {
        match (value.first(), json::scalar(value)) {
            (_, Ok(None)) => {}
            (Some(b'{' | b'['), _) | (_, Err(_)) => self.nested = true,
            (Some(b'"'), Ok(Some(text))) => {
                // A number in quotes is text.
                self.left.retain(|t| !matches!(t, SqlType::Boolean | SqlType::BigInt | SqlType::Double));
                self.plain = false;
                self.see(&String::from_utf8_lossy(&text));
            }
            (_, Ok(Some(text))) => self.see(&String::from_utf8_lossy(&text)),
        }
    }

    fn sql_type(&self) -> SqlType {
        let decimal = |precision, scale: usize| SqlType::Decimal { precision, scale: scale as u8 };
        let digits = self.whole + self.most_after;
        match self.left.first() {
            _ if self.nested => SqlType::Super,
            _ if !self.seen => SqlType::Varchar(256),
            Some(SqlType::Double) | None if self.plain => match self.fewest_after == self.most_after {
                true if (1..=6).contains(&self.most_after) && self.whole <= Self::MOST_WHOLE => {
                    decimal(18, self.most_after)
                }
                _ if digits <= Self::EXACT_DIGITS => SqlType::Double,
                _ if digits <= 38 && self.most_after <= 37 => decimal(38, self.most_after),
                _ => self.text(),
            },
            Some(narrowest) => *narrowest,
            None => self.text(),
        }
    }

    fn text(&self) -> SqlType {
        let room = [256, 1024, 4096, 16384].into_iter().find(|room| self.longest * 4 <= *room as usize);
        SqlType::Varchar(room.unwrap_or(SqlType::MAX_VARCHAR_BYTES))
    }
}

/// Whether text that COPY would take for a value of the type says that value and no more: nothing of it would be cut or changed.
pub fn is_plain(text: &str, sql_type: SqlType) -> bool {
    let digits_first = text.starts_with(|c: char| c.is_ascii_digit());
    let of = |text: &str, others: &str| text.chars().all(|c| c.is_ascii_digit() || others.contains(c));
    let fraction = text.split_once('.').map_or(0, |(_, after)| after.chars().take_while(char::is_ascii_digit).count());
    let zoned = text.ends_with('Z') || text.get(11..).is_some_and(|time| time.contains(['+', '-']));
    match sql_type {
        // 0 and 1 are numbers.
        SqlType::Boolean => ["true", "false", "t", "f", "yes", "no"].contains(&text.to_ascii_lowercase().as_str()),
        // A code as 007 would lose its zeros.
        SqlType::BigInt | SqlType::Double | SqlType::Decimal { .. } => {
            let number = text.strip_prefix('-').unwrap_or(text);
            let padded = number.len() > 1 && number.starts_with('0') && !number.starts_with("0.");
            let others = match sql_type {
                SqlType::BigInt => "",
                SqlType::Double => ".eE+-",
                _ => ".",
            };
            !padded && number.starts_with(|c: char| c.is_ascii_digit()) && of(number, others)
        }
        SqlType::Date => text.len() == 10 && of(text, "-"),
        SqlType::Timestamp => text.len() >= 10 && digits_first && !zoned && fraction <= 6 && of(text, "-: T."),
        SqlType::TimestampTz => text.len() >= 10 && digits_first && zoned && fraction <= 6 && of(text, "-: T.+Z"),
        SqlType::Time => text.contains(':') && digits_first && fraction <= 6 && of(text, ":."),
        _ => true,
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
            CopyFormat::Json(mapping) => (of_values(mapping, &[block]).unwrap(), false),
            _ => of_lines(&copy.options, &[block]).unwrap(),
        };
        (found.iter().map(|column| format!("{} {}", column.name, column.sql_type)).collect(), header)
    }

    #[test]
    fn types_are_the_narrowest_that_all_values_have() {
        let (columns, header) = found(
            "csv ignoreheader 0",
            "1,1.50,1e3,2024-01-31,2024-01-31 10:11:12,2024-01-31 10:11:12+02,true,007,a\n\
             2,,2.25,2024-02-01,2024-02-01 00:00:00,2024-01-31 10:11:12Z,false,010,\n",
        );
        let expected = [
            "bigint",
            "numeric(18,2)",
            "double precision",
            "date",
            "timestamp without time zone",
            "timestamp with time zone",
            "boolean",
            "character varying(256)",
            "character varying(256)",
        ];
        let expected: Vec<String> = expected.iter().zip(1..).map(|(t, at)| format!("column{at} {t}")).collect();
        assert_eq!((columns, header), (expected, false));
    }

    #[test]
    fn a_first_line_of_names_is_told_from_rows() {
        let names = |options: &str, text: &str| {
            let (columns, header) = found(options, text);
            (columns.iter().map(|c| c.split(' ').next().unwrap().to_string()).collect::<Vec<_>>().join(","), header)
        };
        let columns = "column1,column2".to_string();
        for (options, text, expected) in [
            ("csv", "a,b\n1,x\n", true),
            ("csv", "a,b\n", true),
            ("csv", "1,x\n2,y\n", false),
            ("csv", "word,other\nx,y\n", true),
            ("csv", "x,x\nx,y\n", false),
            ("csv ignoreheader 0", "a,b\n1,x\n", false),
            ("csv ignoreheader 1", "1,2\n1,x\n", true),
            ("delimiter '|'", "1|x|\n2|y|\n", false),
        ] {
            assert_eq!(names(options, text), (columns.clone(), expected), "{options} {text}");
        }
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
