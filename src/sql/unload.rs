//! UNLOAD ('query') TO 'where'.

use sqlparser::ast::{Query, Statement as SqlStatement};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::common::error::Position;
use crate::common::{Error, Result};

use super::access::{self, Said, one_char, text, wrong};
use super::ast::{
    Credentials, Existing, PartitionBy, Statement, Unload, UnloadCompression, UnloadFormat, UnloadManifest,
    UnloadOptions,
};
use super::cursor::{Cursor, checked_tokens, syntax_error, unsupported};
use super::parser;

/// What an unknown option is told.
const KNOWN: &str = "options are [FORMAT [AS]] CSV, JSON or PARQUET, DELIMITER, FIXEDWIDTH, ADDQUOTES, ESCAPE, NULL AS, HEADER, \
                     GZIP, BZIP2, ZSTD, EXTENSION, PARALLEL, MAXFILESIZE, ROWGROUPSIZE, PARTITION BY, MANIFEST, \
                     ALLOWOVERWRITE, CLEANPATH, REGION, IAM_ROLE, CREDENTIALS, ACCESS_KEY_ID, SECRET_ACCESS_KEY, \
                     SESSION_TOKEN";

/// Formats and the options that they exclude (Redshift manual, "UNLOAD"), with why.
const EXCLUDED: [(&str, &[&str], &str); 4] = [
    (
        "PARQUET",
        &["DELIMITER", "FIXEDWIDTH", "ADDQUOTES", "ESCAPE", "NULL", "HEADER", "GZIP", "BZIP2", "ZSTD"],
        "Parquet files hold their columns' names and types, and are compressed within; leave it out",
    ),
    (
        "JSON",
        &["DELIMITER", "FIXEDWIDTH", "ADDQUOTES", "ESCAPE", "NULL", "HEADER"],
        "JSON names, quotes and escapes values by its own rules; leave it out",
    ),
    ("CSV", &["FIXEDWIDTH", "ADDQUOTES", "ESCAPE"], "CSV quotes what needs it, and doubles quotes; leave it out"),
    (
        "FIXEDWIDTH",
        &["DELIMITER", "HEADER", "ADDQUOTES", "ESCAPE"],
        "a column is the characters at its place, with nothing between; leave it out",
    ),
];

pub(super) fn unload(c: &mut Cursor) -> Result<Statement> {
    c.expect("UNLOAD")?;
    c.expect_token(&Token::LParen)?;
    let query = query(c)?;
    c.expect_token(&Token::RParen)?;
    c.expect("TO")?;
    let to_position = c.position();
    let to = c.string("the files' prefix as a string")?;
    if to.is_empty() {
        return Err(wrong("the files' prefix is empty", to_position)
            .with_hint("write 's3://bucket/prefix', 'file:///folder/prefix' or a path"));
    }
    let options = options(c)?;
    Ok(Statement::Unload(Box::new(Unload { query, to, to_position, options })))
}

/// The query that a string holds.
fn query(c: &mut Cursor) -> Result<Box<Query>> {
    let position = c.position();
    let doubled = matches!(c.token(0), Token::SingleQuotedString(_));
    let opening = match c.token(0) {
        Token::DollarQuotedString(s) => 2 + s.tag.as_ref().map_or(0, |tag| tag.chars().count() as u64),
        _ => 1,
    };
    let text = c.string("a query as a string")?;
    let origin = Position { line: position.line, column: position.column + opening };
    let (mut tokens, brackets) = checked_tokens(&text, origin)?;
    if doubled {
        place_doubled(&text, origin, &mut tokens);
    }
    let limit = outermost_limit(&tokens);
    let mut statements = parser::statements_of(tokens, brackets, &text, origin)?;
    let query = match (statements.pop(), statements.is_empty()) {
        (Some(Statement::Query(statement)), true) => match *statement {
            SqlStatement::Query(query) => query,
            _ => return Err(no_query(position)),
        },
        _ => return Err(no_query(position)),
    };
    if query.limit_clause.as_ref().is_some_and(|_| limit.is_some()) || query.fetch.is_some() {
        return Err(syntax_error("UNLOAD takes no LIMIT at the query's outer level", limit.unwrap_or(origin))
            .with_hint("put it into a subquery: SELECT * FROM (SELECT … LIMIT n) AS t"));
    }
    Ok(query)
}

fn no_query(position: Position) -> Error {
    syntax_error("UNLOAD takes one query", position).with_hint("write UNLOAD ('SELECT …') TO 'prefix'")
}

/// Moves tokens to their columns in a string that writes each quote of `text` twice.
fn place_doubled(text: &str, origin: Position, tokens: &mut [TokenWithSpan]) {
    let quotes: Vec<Vec<u64>> = text
        .split('\n')
        .map(|line| (1..).zip(line.chars()).filter(|(_, c)| *c == '\'').map(|(column, _)| column).collect())
        .collect();
    let moved = |at: Location| {
        let Some(line) = at.line.checked_sub(origin.line).and_then(|line| quotes.get(line as usize)) else { return at };
        let before = if at.line == origin.line { origin.column - 1 } else { 0 };
        let doubled = line.partition_point(|column| column + before < at.column);
        Location::new(at.line, at.column + doubled as u64)
    };
    for token in tokens {
        token.span.start = moved(token.span.start);
        token.span.end = moved(token.span.end);
    }
}

/// Where the last LIMIT or FETCH outside of brackets stands.
fn outermost_limit(tokens: &[TokenWithSpan]) -> Option<Position> {
    let is_limit = |word: &str| ["limit", "fetch"].iter().any(|limit| word.eq_ignore_ascii_case(limit));
    let (mut depth, mut found) = (0_i64, None);
    for token in tokens {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::Word(word) if depth == 0 && word.quote_style.is_none() && is_limit(&word.value) => {
                found = Some(super::cursor::at(token.span.start));
            }
            _ => {}
        }
    }
    found
}

fn options(c: &mut Cursor) -> Result<UnloadOptions> {
    let mut said = Said::of("UNLOAD");
    let mut format = None;
    let mut delimiter = None;
    let mut widths = Vec::new();
    let mut max_file_bytes = None;
    let mut row_group_bytes = None;
    let mut options = UnloadOptions {
        format: UnloadFormat::Delimited { delimiter: b'|', add_quotes: false, escape: false },
        header: false,
        null_as: None,
        compression: None,
        parallel: true,
        max_file_bytes: UnloadOptions::MAX_FILE_BYTES,
        partition_by: None,
        manifest: None,
        extension: None,
        existing: Existing::Refuse,
        credentials: Credentials::default(),
        region: None,
    };
    while !c.at_end() {
        let position = c.position();
        let Some(word) = c.upper_word(0) else {
            // What stands here may be a secret without its keyword.
            return Err(syntax_error("expected an UNLOAD option", position).with_hint(KNOWN));
        };
        c.skip();
        match word.as_str() {
            "FORMAT" => {
                c.take("AS");
                let place = c.position();
                let name = c.upper_word(0).unwrap_or_default();
                let Some(known) = format_named(&name) else {
                    return Err(match name.as_str() {
                        "TEXT" | "ORC" | "AVRO" => unsupported(format!("UNLOAD format {name}"), place),
                        _ => syntax_error("expected CSV, JSON or PARQUET", place),
                    }
                    .with_hint("formats are CSV, JSON and PARQUET; without FORMAT files are delimited text"));
                };
                c.skip();
                said.note("FORMAT", position)?;
                format = Some(known);
            }
            "CSV" | "JSON" | "PARQUET" => {
                said.note("FORMAT", position)?;
                format = format_named(&word);
            }
            "DELIMITER" => {
                said.note("DELIMITER", position)?;
                delimiter = Some(one_char(c, "DELIMITER")?);
            }
            "FIXEDWIDTH" => {
                said.note("FIXEDWIDTH", position)?;
                c.take("AS");
                let place = c.position();
                widths = fixed_widths(&c.string("the columns' widths as a string")?, place)?;
            }
            "ADDQUOTES" => said.note("ADDQUOTES", position)?,
            "ESCAPE" => said.note("ESCAPE", position)?,
            "HEADER" => said.note("HEADER", position)?,
            "NULL" => {
                said.note("NULL", position)?;
                c.take("AS");
                let place = c.position();
                let text = c.string("a string")?;
                if text.contains(['\n', '\r']) {
                    return Err(wrong("NULL AS must not contain a newline", place)
                        .with_hint("newlines end rows; choose another text"));
                }
                options.null_as = Some(text);
            }
            "GZIP" | "BZIP2" | "ZSTD" => {
                let (name, compression) = match word.as_str() {
                    "GZIP" => ("GZIP", UnloadCompression::Gzip),
                    "BZIP2" => ("BZIP2", UnloadCompression::Bzip2),
                    _ => ("ZSTD", UnloadCompression::Zstd),
                };
                said.note(name, position)?;
                if options.compression.is_some() {
                    return Err(syntax_error(format!("{name} does not go with another compression"), position)
                        .with_hint("choose one of GZIP, BZIP2 and ZSTD"));
                }
                options.compression = Some(compression);
            }
            "EXTENSION" => {
                let text = text(c, &mut said, "EXTENSION", position)?;
                if text.contains(['/', '\n', '\r', '\0']) {
                    return Err(wrong("EXTENSION must not contain a slash or a newline", position)
                        .with_hint("write for example EXTENSION '.csv.gz'"));
                }
                options.extension = Some(text);
            }
            "PARALLEL" => {
                said.note("PARALLEL", position)?;
                options.parallel = if c.take("OFF") || c.take("FALSE") {
                    false
                } else {
                    // PARALLEL alone is ON.
                    let _ = c.take("ON") || c.take("TRUE");
                    true
                };
            }
            "MAXFILESIZE" => {
                said.note("MAXFILESIZE", position)?;
                let range = UnloadOptions::MIN_FILE_BYTES..=UnloadOptions::MAX_FILE_BYTES;
                max_file_bytes = Some(size(c, "MAXFILESIZE", range, "5 MB and 6.2 GB")?);
            }
            "ROWGROUPSIZE" => {
                said.note("ROWGROUPSIZE", position)?;
                let range = UnloadOptions::MIN_ROW_GROUP_BYTES..=UnloadOptions::MAX_ROW_GROUP_BYTES;
                row_group_bytes = Some(size(c, "ROWGROUPSIZE", range, "32 MB and 128 MB")?);
            }
            "PARTITION" => {
                said.note("PARTITION BY", position)?;
                c.expect("BY")?;
                let columns = c.column_names()?;
                options.partition_by = Some(PartitionBy { columns, include: c.take("INCLUDE") });
            }
            "MANIFEST" => {
                said.note("MANIFEST", position)?;
                options.manifest =
                    Some(if c.take("VERBOSE") { UnloadManifest::Verbose } else { UnloadManifest::Brief });
            }
            "ALLOWOVERWRITE" => {
                said.note("ALLOWOVERWRITE", position)?;
                options.existing = Existing::Overwrite;
            }
            "CLEANPATH" => {
                said.note("CLEANPATH", position)?;
                options.existing = Existing::Clean;
            }
            "ENCRYPTED" | "KMS_KEY_ID" | "MASTER_SYMMETRIC_KEY" => {
                return Err(unsupported(format!("UNLOAD option {word}"), position).with_hint(
                    "leave it out, and have the bucket encrypt what it stores by default (SSE-S3 or SSE-KMS)",
                ));
            }
            word if access::option(c, word, position, &mut said, &mut options.credentials, &mut options.region)? => {}
            _ => {
                let message = format!("unknown UNLOAD option \"{}\"", word.to_ascii_lowercase());
                return Err(syntax_error(message, position).with_hint(KNOWN));
            }
        }
    }
    check_pairs(format, &said)?;
    said.check_credentials()?;
    options.header = said.has("HEADER");
    options.format = match (format, said.at("FIXEDWIDTH")) {
        (Some("PARQUET"), _) => {
            let row_group_bytes = row_group_bytes.unwrap_or(UnloadOptions::MIN_ROW_GROUP_BYTES);
            UnloadFormat::Parquet { row_group_bytes }
        }
        (Some("JSON"), _) => UnloadFormat::Json,
        (Some(_), _) => UnloadFormat::Csv { delimiter: delimiter.unwrap_or(b',') },
        (None, Some(position)) => UnloadFormat::FixedWidth { widths, position },
        (None, None) => UnloadFormat::Delimited {
            delimiter: delimiter.unwrap_or(b'|'),
            add_quotes: said.has("ADDQUOTES"),
            escape: said.has("ESCAPE"),
        },
    };
    check_delimiter(&options.format, &said)?;
    options.max_file_bytes = max_file_bytes.unwrap_or(UnloadOptions::MAX_FILE_BYTES);
    if let UnloadFormat::Parquet { row_group_bytes } = options.format {
        options.max_file_bytes -= options.max_file_bytes % UnloadOptions::PARQUET_FILE_STEP_BYTES;
        if options.max_file_bytes < row_group_bytes {
            let position = said.at("MAXFILESIZE").or(said.at("ROWGROUPSIZE"));
            return Err(wrong(
                format!(
                    "MAXFILESIZE, a multiple of 32 MB for PARQUET, is less than a row group of {} MB",
                    row_group_bytes >> 20
                ),
                position.unwrap_or(c.position()),
            )
            .with_hint("let files be as large as a row group at least"));
        }
    }
    Ok(options)
}

fn format_named(name: &str) -> Option<&'static str> {
    ["CSV", "JSON", "PARQUET"].into_iter().find(|known| *known == name)
}

fn check_pairs(format: Option<&'static str>, said: &Said) -> Result<()> {
    for (name, excluded, hint) in EXCLUDED {
        if format != Some(name) && !said.has(name) {
            continue;
        }
        if let Some((option, position)) = said.names.iter().find(|(option, _)| excluded.contains(option)) {
            return Err(syntax_error(format!("{option} does not go with {name}"), *position).with_hint(hint));
        }
    }
    if let (Some(position), true) = (said.at("ROWGROUPSIZE"), format != Some("PARQUET")) {
        return Err(syntax_error("ROWGROUPSIZE needs PARQUET", position).with_hint("write FORMAT AS PARQUET"));
    }
    if let (Some(_), Some(position)) = (said.at("ALLOWOVERWRITE"), said.at("CLEANPATH")) {
        return Err(syntax_error("CLEANPATH does not go with ALLOWOVERWRITE", position)
            .with_hint("choose one: CLEANPATH deletes what is there, ALLOWOVERWRITE replaces what has the same name"));
    }
    Ok(())
}

/// Invalid for a delimiter that quotes or escapes use.
fn check_delimiter(format: &UnloadFormat, said: &Said) -> Result<()> {
    let taken: &[u8] = match format {
        UnloadFormat::Csv { .. } => b"\"",
        UnloadFormat::Delimited { add_quotes, escape, .. } => match (add_quotes, escape) {
            (true, true) => b"\"'\\",
            (true, false) => b"\"",
            (false, true) => b"\\",
            (false, false) => b"",
        },
        _ => b"",
    };
    match (format, said.at("DELIMITER")) {
        (UnloadFormat::Csv { delimiter } | UnloadFormat::Delimited { delimiter, .. }, Some(position))
            if taken.contains(delimiter) =>
        {
            Err(wrong("the delimiter is the character that quotes or escapes", position)
                .with_hint("choose another DELIMITER"))
        }
        _ => Ok(()),
    }
}

/// `[AS] n [MB | GB]` as bytes; MB without a unit.
fn size(c: &mut Cursor, name: &str, range: std::ops::RangeInclusive<u64>, limits: &str) -> Result<u64> {
    c.take("AS");
    let position = c.position();
    let number = match c.token(0) {
        Token::Number(digits, _) => digits.parse::<f64>().ok(),
        _ => None,
    };
    let Some(number) = number else { return Err(c.expected("a number of MB or GB")) };
    c.skip();
    let unit = if c.take("GB") { 1_u64 << 30 } else { 1 << 20 };
    c.take("MB");
    let bytes = (number * unit as f64) as u64;
    if range.contains(&bytes) {
        return Ok(bytes);
    }
    Err(wrong(format!("{name} must be between {limits}"), position)
        .with_hint(format!("write for example {name} {} MB", (range.start() >> 20) * 2)))
}

/// `column:width,…`, in the order of the columns, whose names are of no account.
fn fixed_widths(text: &str, position: Position) -> Result<Vec<usize>> {
    let width = |part: &str| {
        let (_, width) = part.rsplit_once(':')?;
        width.trim().parse().ok().filter(|width| *width > 0)
    };
    text.split(',').map(width).collect::<Option<Vec<usize>>>().ok_or_else(|| {
        wrong("FIXEDWIDTH must be pairs of a column and its width", position).with_hint(
            "write FIXEDWIDTH 'column:width,column:width', of all columns in their order; widths are characters",
        )
    })
}
