//! COPY … FROM.

use sqlparser::tokenizer::Token;

use crate::common::error::Position;
use crate::common::{Error, Result, SqlState};

use super::ast::{
    CompUpdate, Compression, Copy, CopyFormat, CopyOptions, Credentials, DateFormat, ErrorLimit, FixedField, IamRole,
    Mapping, Statement, TextEncoding, TimeFormat, ValueRules,
};
use super::cursor::{Cursor, invalid, syntax_error, unsupported};

/// Options of Redshift that are not offered, and why.
const UNSUPPORTED: [(&str, &str); 12] = [
    ("AVRO", "convert the files to Parquet or JSON"),
    ("ENCRYPTED", "decrypt the files before"),
    ("KMS_KEY_ID", "the store decrypts by itself"),
    ("LZOP", "compress with GZIP or ZSTD"),
    ("MASTER_SYMMETRIC_KEY", "decrypt the files before"),
    ("ORC", "convert the files to Parquet"),
    ("READRATIO", "it is for DynamoDB"),
    ("SHAPEFILE", "convert the shapes to text"),
    ("SIMPLIFY", "it is for SHAPEFILE"),
    ("SNAPPY", "Parquet files say themselves how they are compressed"),
    ("SSH", "fetch the files before"),
    ("PARALLEL", "it is for UNLOAD"),
];

/// Options that go with files of columns (Redshift manual, "COPY from columnar data formats"); all others are for text.
const COLUMNAR: [&str; 14] = [
    "FORMAT",
    "IAM_ROLE",
    "CREDENTIALS",
    "ACCESS_KEY_ID",
    "SECRET_ACCESS_KEY",
    "SESSION_TOKEN",
    "REGION",
    "STATUPDATE",
    "MANIFEST",
    "ACCEPTINVCHARS",
    "FILLRECORD",
    "EXPLICIT_IDS",
    "NOLOAD",
    "COMPUPDATE",
];

/// Which options do not go with which (Redshift manual, "Data format parameters").
const APART: [(&str, &[&str]); 4] = [
    ("CSV", &["FIXEDWIDTH", "REMOVEQUOTES", "ESCAPE", "JSON"]),
    ("FIXEDWIDTH", &["DELIMITER", "ESCAPE", "JSON", "REMOVEQUOTES"]),
    (
        "JSON",
        &["DELIMITER", "ESCAPE", "FILLRECORD", "IGNOREBLANKLINES", "IGNOREHEADER", "NULL", "QUOTE", "REMOVEQUOTES"],
    ),
    ("IGNOREALLERRORS", &["MAXERROR"]),
];

/// The options that were given, by name and place.
#[derive(Default)]
struct Said {
    names: Vec<(&'static str, Position)>,
}

impl Said {
    fn note(&mut self, name: &'static str, position: Position) -> Result<()> {
        if self.at(name).is_some() {
            return Err(syntax_error(format!("COPY option {name} is given twice"), position).with_hint("give it once"));
        }
        self.names.push((name, position));
        Ok(())
    }

    fn at(&self, name: &str) -> Option<Position> {
        self.names.iter().find(|(n, _)| *n == name).map(|(_, p)| *p)
    }

    /// Errors for options that do not go together, at the later of two.
    fn check(&self) -> Result<()> {
        for (one, others) in APART {
            let Some(first) = self.at(one) else { continue };
            if let Some((name, second)) = self.names.iter().find(|(name, _)| others.contains(name)) {
                let (first, second, one, name) = match (first.line, first.column) < (second.line, second.column) {
                    true => (first, *second, one, *name),
                    false => (*second, first, *name, one),
                };
                debug_assert_ne!((first.line, first.column), (second.line, second.column));
                return Err(
                    syntax_error(format!("{name} does not go with {one}"), second).with_hint("leave one of them out")
                );
            }
        }
        Ok(())
    }
}

/// `COPY table FROM …` of ours; `COPY … TO` is DataFusion's, which writes files.
pub(super) fn copy(c: &mut Cursor) -> Result<Statement> {
    let start = c.position();
    let before = c.mark();
    c.expect("COPY")?;
    if *c.token(0) == Token::LParen {
        c.back_to(before);
        return Ok(Statement::DataFusion { sql: c.rest_of_statement(start), position: start });
    }
    let table = c.object_name("a table name")?;
    if c.is("TO") {
        c.back_to(before);
        return Ok(Statement::DataFusion { sql: c.rest_of_statement(start), position: start });
    }
    let columns = if *c.token(0) == Token::LParen { c.column_names()? } else { Vec::new() };
    c.expect("FROM")?;
    let from_position = c.position();
    if c.is("STDIN") {
        return Err(unsupported("COPY FROM STDIN", from_position));
    }
    let from = c.string("the files' address as a string")?;
    let options = options(c)?;
    Ok(Statement::Copy(Box::new(Copy { table, columns, from, from_position, options })))
}

/// The words of a format, until it is known which it is.
#[derive(Default)]
struct Form {
    name: Option<&'static str>,
    delimiter: Option<u8>,
    quote: Option<u8>,
    fields: Vec<FixedField>,
    mapping: Option<Mapping>,
}

fn options(c: &mut Cursor) -> Result<CopyOptions> {
    let mut said = Said::default();
    let mut form = Form::default();
    let mut options = CopyOptions {
        format: CopyFormat::Delimited { delimiter: b'|', escape: false, remove_quotes: false },
        compression: Compression::None,
        manifest: false,
        values: ValueRules::default(),
        explicit_ids: None,
        errors: ErrorLimit::At(1),
        no_load: false,
        compupdate: CompUpdate::Unsaid,
        comprows: None,
        statupdate: None,
        credentials: Credentials::default(),
        region: None,
    };
    while !c.at_end() {
        let position = c.position();
        let Some(word) = c.upper_word(0) else { return Err(c.expected("a COPY option")) };
        check_offered(&word, "option", position)?;
        c.skip();
        if !format_option(c, &word, position, &mut said, &mut form)?
            && !value_option(c, &word, position, &mut said, &mut options.values)?
            && !load_option(c, &word, position, &mut said, &mut options)?
            && !access_option(c, &word, position, &mut said, &mut options)?
        {
            return Err(syntax_error(format!("unknown COPY option \"{}\"", word.to_ascii_lowercase()), position)
                .with_hint(
                    "options are CSV, QUOTE, DELIMITER, FIXEDWIDTH, JSON, PARQUET, GZIP, BZIP2, ZSTD, MANIFEST, ESCAPE, \
                     REMOVEQUOTES, NULL AS, IGNOREHEADER, IGNOREBLANKLINES, EMPTYASNULL, BLANKSASNULL, TRIMBLANKS, \
                     FILLRECORD, TRUNCATECOLUMNS, ROUNDEC, ACCEPTANYDATE, ACCEPTINVCHARS, DATEFORMAT, TIMEFORMAT, ENCODING, \
                     EXPLICIT_IDS, MAXERROR, IGNOREALLERRORS, NOLOAD, COMPUPDATE, COMPROWS, STATUPDATE, IAM_ROLE, CREDENTIALS, \
                     ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN, REGION",
                ));
        }
    }
    said.check()?;
    check_credentials(&said)?;
    options.format = chosen(form, &said)?;
    Ok(options)
}

fn check_offered(word: &str, what: &str, position: Position) -> Result<()> {
    match UNSUPPORTED.iter().find(|(name, _)| *name == word) {
        Some((name, hint)) => Err(unsupported(format!("COPY {what} {name}"), position).with_hint(*hint)),
        None => Ok(()),
    }
}

/// Whether it is one of the words that say what the files are.
fn format_option(c: &mut Cursor, word: &str, position: Position, said: &mut Said, form: &mut Form) -> Result<bool> {
    let (word, position) = match word {
        "FORMAT" => {
            c.take("AS");
            let place = c.position();
            let known = c.upper_word(0).unwrap_or_default();
            check_offered(&known, "format", place)?;
            if !["PARQUET", "CSV", "JSON", "FIXEDWIDTH", "TEXT"].contains(&known.as_str()) {
                return Err(c.expected("PARQUET, CSV, JSON or FIXEDWIDTH"));
            }
            c.skip();
            (known, position)
        }
        word => (word.to_string(), position),
    };
    match word.as_str() {
        "TEXT" => said.note("FORMAT", position)?,
        "PARQUET" => {
            said.note("FORMAT", position)?;
            form.name = Some("PARQUET");
        }
        "CSV" => {
            said.note("FORMAT", position)?;
            said.note("CSV", position)?;
            form.name = Some("CSV");
        }
        "FIXEDWIDTH" => {
            said.note("FORMAT", position)?;
            said.note("FIXEDWIDTH", position)?;
            form.name = Some("FIXEDWIDTH");
            c.take("AS");
            let place = c.position();
            form.fields = fixed_fields(&c.string("label:width, … as a string")?, place)?;
        }
        "JSON" => {
            said.note("FORMAT", position)?;
            said.note("JSON", position)?;
            form.name = Some("JSON");
            c.take("AS");
            let place = c.position();
            form.mapping = Some(match c.token(0) {
                Token::SingleQuotedString(_) => mapping(c.string("a string")?, place),
                _ => Mapping::Auto { ignore_case: false },
            });
        }
        "QUOTE" => {
            said.note("QUOTE", position)?;
            form.quote = Some(one_char(c, "QUOTE")?);
        }
        "DELIMITER" => {
            said.note("DELIMITER", position)?;
            form.delimiter = Some(one_char(c, "DELIMITER")?);
        }
        "ESCAPE" => said.note("ESCAPE", position)?,
        "REMOVEQUOTES" => said.note("REMOVEQUOTES", position)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn mapping(text: String, position: Position) -> Mapping {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Mapping::Auto { ignore_case: false },
        "auto ignorecase" => Mapping::Auto { ignore_case: true },
        "noshred" => Mapping::Whole,
        _ => Mapping::Paths { at: text, position },
    }
}

/// `label:width, …`
fn fixed_fields(text: &str, position: Position) -> Result<Vec<FixedField>> {
    let field = |part: &str| {
        let (label, width) = part.rsplit_once(':')?;
        let width = width.trim().parse().ok().filter(|width| *width > 0)?;
        Some(FixedField { label: label.trim().to_string(), width })
    };
    let fields: Option<Vec<_>> = text.split(',').map(field).collect();
    fields.ok_or_else(|| {
        wrong("FIXEDWIDTH needs a width for each field", position)
            .with_hint("write 'label:width, …', for example 'id:10, name:40'; widths are characters")
    })
}

/// Whether it is one of the words that say how fields become values.
fn value_option(
    c: &mut Cursor,
    word: &str,
    position: Position,
    said: &mut Said,
    rules: &mut ValueRules,
) -> Result<bool> {
    let mut flag = |name: &'static str, flag: &mut bool| {
        *flag = true;
        said.note(name, position)
    };
    match word {
        "IGNOREBLANKLINES" => flag("IGNOREBLANKLINES", &mut rules.ignore_blank_lines)?,
        "EMPTYASNULL" => flag("EMPTYASNULL", &mut rules.empty_as_null)?,
        "BLANKSASNULL" => flag("BLANKSASNULL", &mut rules.blanks_as_null)?,
        "TRIMBLANKS" => flag("TRIMBLANKS", &mut rules.trim_blanks)?,
        "FILLRECORD" => flag("FILLRECORD", &mut rules.fill_record)?,
        "TRUNCATECOLUMNS" => flag("TRUNCATECOLUMNS", &mut rules.truncate)?,
        "ROUNDEC" => flag("ROUNDEC", &mut rules.round)?,
        "ACCEPTANYDATE" => flag("ACCEPTANYDATE", &mut rules.accept_any_date)?,
        "NULL" => {
            said.note("NULL", position)?;
            rules.null_as = null_as(c)?;
        }
        "IGNOREHEADER" => {
            said.note("IGNOREHEADER", position)?;
            c.take("AS");
            rules.ignore_header = c.number("a number of lines")?;
        }
        "ACCEPTINVCHARS" => {
            said.note("ACCEPTINVCHARS", position)?;
            let said_as = c.take("AS");
            rules.replace_invalid = Some(match c.token(0) {
                Token::SingleQuotedString(_) => one_char(c, "ACCEPTINVCHARS")?,
                _ if said_as => return Err(c.expected("one character as a string")),
                _ => b'?',
            });
        }
        "DATEFORMAT" => {
            said.note("DATEFORMAT", position)?;
            c.take("AS");
            let text = c.string("a format as a string, or 'auto'")?;
            rules.dates = match text.eq_ignore_ascii_case("auto") {
                true => DateFormat::Auto,
                false => DateFormat::Pattern(text),
            };
        }
        "TIMEFORMAT" => {
            said.note("TIMEFORMAT", position)?;
            c.take("AS");
            let text = c.string("a format as a string, or 'auto', 'epochsecs' or 'epochmillisecs'")?;
            rules.times = match text.to_ascii_lowercase().as_str() {
                "auto" => TimeFormat::Auto,
                "epochsecs" => TimeFormat::EpochSeconds,
                "epochmillisecs" => TimeFormat::EpochMilliseconds,
                _ => TimeFormat::Pattern(text),
            };
        }
        "ENCODING" => {
            said.note("ENCODING", position)?;
            c.take("AS");
            rules.encoding = match () {
                _ if c.take("UTF8") => TextEncoding::Utf8,
                _ if c.take("UTF16") => TextEncoding::Utf16,
                _ if c.take("UTF16LE") => TextEncoding::Utf16Le,
                _ if c.take("UTF16BE") => TextEncoding::Utf16Be,
                _ => return Err(c.expected("UTF8, UTF16, UTF16LE or UTF16BE")),
            };
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Whether it is one of the words that say how rows are loaded.
fn load_option(c: &mut Cursor, word: &str, position: Position, said: &mut Said, to: &mut CopyOptions) -> Result<bool> {
    match word {
        "GZIP" | "BZIP2" | "ZSTD" => {
            if said.at("compression").is_some() {
                return Err(syntax_error(format!("{word} is a second compression"), position).with_hint("give one"));
            }
            said.note("compression", position)?;
            to.compression = match word {
                "GZIP" => Compression::Gzip,
                "BZIP2" => Compression::Bzip2,
                _ => Compression::Zstd,
            };
        }
        "MANIFEST" => {
            said.note("MANIFEST", position)?;
            to.manifest = true;
        }
        "EXPLICIT_IDS" => {
            said.note("EXPLICIT_IDS", position)?;
            to.explicit_ids = Some(position);
        }
        "MAXERROR" | "MAXERRORS" => {
            said.note("MAXERROR", position)?;
            c.take("AS");
            let place = c.position();
            let limit = c.number("a number of errors")?;
            if limit > 100_000 {
                return Err(wrong("MAXERROR is at most 100000", place).with_hint("IGNOREALLERRORS ends by no error"));
            }
            // At 0 as at 1, the first error ends the load.
            to.errors = ErrorLimit::At(limit.max(1));
        }
        "IGNOREALLERRORS" => {
            said.note("IGNOREALLERRORS", position)?;
            to.errors = ErrorLimit::Never;
        }
        "NOLOAD" => {
            said.note("NOLOAD", position)?;
            to.no_load = true;
        }
        "COMPUPDATE" => {
            said.note("COMPUPDATE", position)?;
            to.compupdate = match () {
                _ if c.take("PRESET") => CompUpdate::Preset,
                _ if c.take("OFF") || c.take("FALSE") => CompUpdate::Off,
                _ => {
                    let _ = c.take("ON") || c.take("TRUE");
                    CompUpdate::On
                }
            };
        }
        "COMPROWS" => {
            said.note("COMPROWS", position)?;
            c.take("AS");
            let place = c.position();
            let rows = c.number("a number of rows")?;
            if !CopyOptions::COMPROWS.contains(&rows) {
                return Err(
                    wrong("COMPROWS is from 1000 to 2147483647", place).with_hint("leave it out for 100000 a slice")
                );
            }
            to.comprows = Some(rows);
        }
        "STATUPDATE" => {
            said.note("STATUPDATE", position)?;
            to.statupdate = Some(match () {
                _ if c.take("OFF") || c.take("FALSE") => false,
                _ => {
                    let _ = c.take("ON") || c.take("TRUE");
                    true
                }
            });
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Whether it is one of the words that say who reads the files.
fn access_option(
    c: &mut Cursor,
    word: &str,
    position: Position,
    said: &mut Said,
    to: &mut CopyOptions,
) -> Result<bool> {
    match word {
        "WITH" if c.is("CREDENTIALS") => {}
        "IAM_ROLE" => {
            said.note("IAM_ROLE", position)?;
            c.take("AS");
            to.credentials.iam_role = Some(if c.take("DEFAULT") {
                IamRole::Default
            } else {
                iam_role(c.string("default or the role's name as a string")?)
            });
        }
        "CREDENTIALS" => {
            said.note("CREDENTIALS", position)?;
            c.take("AS");
            let place = c.position();
            to.credentials = credentials(&c.string("the credentials as a string")?, place)?;
        }
        "ACCESS_KEY_ID" => to.credentials.access_key_id = Some(text(c, said, "ACCESS_KEY_ID", position)?),
        "SECRET_ACCESS_KEY" => {
            to.credentials.secret_access_key = Some(text(c, said, "SECRET_ACCESS_KEY", position)?);
        }
        "SESSION_TOKEN" => to.credentials.session_token = Some(text(c, said, "SESSION_TOKEN", position)?),
        "REGION" => to.region = Some(text(c, said, "REGION", position)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn chosen(form: Form, said: &Said) -> Result<CopyFormat> {
    let of = |name: &'static str| said.at(name).is_some();
    if form.name == Some("PARQUET") {
        return match said.names.iter().find(|(name, _)| !COLUMNAR.contains(name)) {
            Some((name, position)) => Err(syntax_error(format!("{name} does not go with PARQUET"), *position)
                .with_hint("it is for text files; leave it out")),
            None => Ok(CopyFormat::Parquet),
        };
    }
    if let (Some(position), true) = (said.at("QUOTE"), form.name != Some("CSV")) {
        return Err(syntax_error("QUOTE needs CSV", position).with_hint("write CSV QUOTE AS 'character'"));
    }
    Ok(match form.name {
        Some("CSV") => {
            let (delimiter, quote) = (form.delimiter.unwrap_or(b','), form.quote.unwrap_or(b'"'));
            if let (Some(position), true) = (said.at("QUOTE").or(said.at("DELIMITER")), delimiter == quote) {
                return Err(
                    syntax_error("delimiter and quote are the same", position).with_hint("choose another QUOTE")
                );
            }
            CopyFormat::Csv { delimiter, quote }
        }
        Some("FIXEDWIDTH") => CopyFormat::FixedWidth(form.fields),
        Some("JSON") => CopyFormat::Json(form.mapping.unwrap_or(Mapping::Auto { ignore_case: false })),
        _ => CopyFormat::Delimited {
            delimiter: form.delimiter.unwrap_or(b'|'),
            escape: of("ESCAPE"),
            remove_quotes: of("REMOVEQUOTES"),
        },
    })
}

fn check_credentials(said: &Said) -> Result<()> {
    let ways: Vec<_> = ["IAM_ROLE", "CREDENTIALS", "ACCESS_KEY_ID"]
        .into_iter()
        .filter_map(|name| said.at(name).map(|position| (name, position)))
        .collect();
    if let [(first, _), (second, position), ..] = ways[..] {
        return Err(syntax_error(format!("{second} does not go with {first}"), position)
            .with_hint("give credentials in one way"));
    }
    for (name, needs) in [
        ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"),
        ("SECRET_ACCESS_KEY", "ACCESS_KEY_ID"),
        ("SESSION_TOKEN", "ACCESS_KEY_ID"),
    ] {
        if let (Some(position), None) = (said.at(name), said.at(needs)) {
            return Err(syntax_error(format!("{name} needs {needs}"), position).with_hint("give both"));
        }
    }
    Ok(())
}

/// `[AS] 'text'`
fn text(c: &mut Cursor, said: &mut Said, name: &'static str, position: Position) -> Result<String> {
    said.note(name, position)?;
    c.take("AS");
    c.string("a string")
}

fn wrong(message: impl Into<String>, position: Position) -> Error {
    invalid(SqlState::INVALID_PARAMETER, message, position)
}

/// `[AS] 'c'`: an ASCII character, also as `\t` or in octal as `\ddd`.
pub(super) fn one_char(c: &mut Cursor, name: &str) -> Result<u8> {
    c.take("AS");
    let position = c.position();
    let text = c.string("one character as a string")?;
    let byte = match text.as_bytes() {
        [byte] => Some(*byte),
        b"\\t" => Some(b'\t'),
        [b'\\', digits @ ..] if (1..=3).contains(&digits.len()) && digits.iter().all(|d| (b'0'..=b'7').contains(d)) => {
            u8::from_str_radix(&text[1..], 8).ok()
        }
        _ => None,
    };
    match byte {
        Some(byte) if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Ok(byte),
        _ => Err(wrong(format!("{name} must be one ASCII character, and no newline"), position)
            .with_hint("write for example '|', '\\t' or, in octal, '\\001'")),
    }
}

/// `[AS] 'text'`
fn null_as(c: &mut Cursor) -> Result<String> {
    c.take("AS");
    let position = c.position();
    let text = c.string("a string")?;
    match text.as_str() {
        "\\0" | "\\000" => Ok("\0".to_string()),
        _ if text.contains(['\n', '\r']) || text == "\\n" => {
            Err(wrong("NULL AS must not contain a newline", position)
                .with_hint("newlines end rows; choose another text"))
        }
        _ => Ok(text),
    }
}

fn iam_role(text: String) -> IamRole {
    if text.eq_ignore_ascii_case("default") { IamRole::Default } else { IamRole::Arn(text) }
}

/// `name=value;…`. The text is not repeated in errors: it holds secrets.
pub(super) fn credentials(text: &str, position: Position) -> Result<Credentials> {
    let error = |message: &str| {
        wrong(message, position)
            .with_hint("write 'aws_iam_role=…', 'aws_access_key_id=…;aws_secret_access_key=…[;token=…]' or 'profile=…'")
    };
    let mut found = Credentials::default();
    for part in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| error("CREDENTIALS must be name=value pairs"))?;
        let value = value.trim().to_string();
        match name.trim().to_ascii_lowercase().as_str() {
            "aws_iam_role" => found.iam_role = Some(iam_role(value)),
            "aws_access_key_id" => found.access_key_id = Some(value),
            "aws_secret_access_key" => found.secret_access_key = Some(value),
            "token" => found.session_token = Some(value),
            // Ours: AWS's own tools have profiles, and other providers are none of Redshift's.
            "profile" if !value.is_empty() => found.profile = Some(value),
            name if name.starts_with("google_") || name.starts_with("azure_") => {
                found.settings.push((name.to_string(), value));
            }
            _ => return Err(error("CREDENTIALS has an unknown name")),
        }
    }
    let keys = match (&found.access_key_id, &found.secret_access_key, &found.session_token) {
        (Some(_), Some(_), _) => Some(true),
        (None, None, None) => Some(false),
        _ => None,
    };
    let ways = [Some(found.iam_role.is_some()), keys, Some(found.profile.is_some()), Some(!found.settings.is_empty())];
    match ways.iter().all(Option::is_some) && ways.iter().filter(|way| **way == Some(true)).count() == 1 {
        true => Ok(found),
        false => Err(error("CREDENTIALS needs a role, or a key id and its secret, or a profile: one of them")),
    }
}
