//! COPY … FROM.

use sqlparser::tokenizer::Token;

use crate::common::error::Position;
use crate::common::{Error, Result, SqlState};

use super::ast::{Copy, CopyFormat, CopyOptions, Credentials, IamRole, Statement};
use super::cursor::{Cursor, invalid, syntax_error, unsupported};

/// Options of Redshift that are not offered.
const UNSUPPORTED: [&str; 39] = [
    "ACCEPTANYDATE",
    "ACCEPTINVCHARS",
    "AVRO",
    "BZIP2",
    "COMPROWS",
    "COMPUPDATE",
    "DATEFORMAT",
    "ENCODING",
    "ENCRYPTED",
    "ESCAPE",
    "FILLRECORD",
    "FIXEDWIDTH",
    "GZIP",
    "IGNOREALLERRORS",
    "JSON",
    "KMS_KEY_ID",
    "LZOP",
    "MANIFEST",
    "MASTER_SYMMETRIC_KEY",
    "MAXERROR",
    "MAXERRORS",
    "NOLOAD",
    "ORC",
    "PARALLEL",
    "READRATIO",
    "REMOVEQUOTES",
    "ROUNDEC",
    "SHAPEFILE",
    "SIMPLIFY",
    "SNAPPY",
    "SSH",
    "STATUPDATE",
    "TEXT",
    "TIMEFORMAT",
    "TRIMBLANKS",
    "TRUNCATECOLUMNS",
    "ZSTD",
    "AUTO",
    "DELTA",
];

/// Text options that were given, by name and place: PARQUET takes none of them.
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
}

#[derive(PartialEq)]
enum Format {
    Parquet,
    Csv,
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

fn options(c: &mut Cursor) -> Result<CopyOptions> {
    let mut said = Said::default();
    let mut format = None;
    let mut delimiter = None;
    let mut quote = None;
    let mut options = CopyOptions {
        format: CopyFormat::Delimited { delimiter: b'|' },
        ignore_header: 0,
        ignore_blank_lines: false,
        null_as: "\\N".to_string(),
        empty_as_null: false,
        blanks_as_null: false,
        explicit_ids: None,
        credentials: Credentials::default(),
        region: None,
    };
    while !c.at_end() {
        let position = c.position();
        let Some(word) = c.upper_word(0) else { return Err(c.expected("a COPY option")) };
        if UNSUPPORTED.contains(&word.as_str()) {
            return Err(unsupported(format!("COPY option {word}"), position));
        }
        c.skip();
        match word.as_str() {
            "FORMAT" => {
                said.note("FORMAT", position)?;
                c.take("AS");
                let place = c.position();
                let Some(name) = c.upper_word(0) else { return Err(c.expected("PARQUET or CSV")) };
                format = Some(match name.as_str() {
                    "PARQUET" => Format::Parquet,
                    "CSV" => Format::Csv,
                    other if UNSUPPORTED.contains(&other) => {
                        return Err(unsupported(format!("COPY format {other}"), place));
                    }
                    _ => return Err(c.expected("PARQUET or CSV")),
                });
                c.skip();
            }
            "PARQUET" => {
                said.note("FORMAT", position)?;
                format = Some(Format::Parquet);
            }
            "CSV" => {
                said.note("FORMAT", position)?;
                format = Some(Format::Csv);
            }
            "QUOTE" => {
                said.note("QUOTE", position)?;
                quote = Some(one_char(c, "QUOTE")?);
            }
            "DELIMITER" => {
                said.note("DELIMITER", position)?;
                delimiter = Some(one_char(c, "DELIMITER")?);
            }
            "NULL" => {
                said.note("NULL", position)?;
                options.null_as = null_as(c)?;
            }
            "IGNOREHEADER" => {
                said.note("IGNOREHEADER", position)?;
                c.take("AS");
                options.ignore_header = c.number("a number of lines")?;
            }
            "IGNOREBLANKLINES" => {
                said.note("IGNOREBLANKLINES", position)?;
                options.ignore_blank_lines = true;
            }
            "EMPTYASNULL" => {
                said.note("EMPTYASNULL", position)?;
                options.empty_as_null = true;
            }
            "BLANKSASNULL" => {
                said.note("BLANKSASNULL", position)?;
                options.blanks_as_null = true;
            }
            "EXPLICIT_IDS" => {
                said.note("EXPLICIT_IDS", position)?;
                options.explicit_ids = Some(position);
            }
            "WITH" if c.is("CREDENTIALS") => {}
            "IAM_ROLE" => {
                said.note("IAM_ROLE", position)?;
                c.take("AS");
                options.credentials.iam_role = Some(if c.take("DEFAULT") {
                    IamRole::Default
                } else {
                    iam_role(c.string("default or the role's name as a string")?)
                });
            }
            "CREDENTIALS" => {
                said.note("CREDENTIALS", position)?;
                c.take("AS");
                let place = c.position();
                options.credentials = credentials(&c.string("the credentials as a string")?, place)?;
            }
            "ACCESS_KEY_ID" => options.credentials.access_key_id = Some(text(c, &mut said, "ACCESS_KEY_ID", position)?),
            "SECRET_ACCESS_KEY" => {
                options.credentials.secret_access_key = Some(text(c, &mut said, "SECRET_ACCESS_KEY", position)?);
            }
            "SESSION_TOKEN" => options.credentials.session_token = Some(text(c, &mut said, "SESSION_TOKEN", position)?),
            "REGION" => options.region = Some(text(c, &mut said, "REGION", position)?),
            _ => {
                return Err(syntax_error(format!("unknown COPY option \"{}\"", word.to_ascii_lowercase()), position)
                    .with_hint(
                        "options are FORMAT [AS] PARQUET, [FORMAT AS] CSV, QUOTE, DELIMITER, NULL AS, IGNOREHEADER, \
                         IGNOREBLANKLINES, EMPTYASNULL, BLANKSASNULL, EXPLICIT_IDS, IAM_ROLE, CREDENTIALS, ACCESS_KEY_ID, \
                         SECRET_ACCESS_KEY, SESSION_TOKEN, REGION",
                    ));
            }
        }
    }
    check_credentials(&said)?;
    options.format = choose_format(format, delimiter, quote, &said)?;
    Ok(options)
}

fn choose_format(format: Option<Format>, delimiter: Option<u8>, quote: Option<u8>, said: &Said) -> Result<CopyFormat> {
    match format {
        Some(Format::Parquet) => {
            const TEXT_ONLY: [&str; 7] =
                ["QUOTE", "DELIMITER", "NULL", "IGNOREHEADER", "IGNOREBLANKLINES", "EMPTYASNULL", "BLANKSASNULL"];
            match said.names.iter().find(|(name, _)| TEXT_ONLY.contains(name)) {
                Some((name, position)) => Err(syntax_error(format!("{name} does not go with PARQUET"), *position)
                    .with_hint("it is for text files; leave it out")),
                None => Ok(CopyFormat::Parquet),
            }
        }
        Some(Format::Csv) => {
            let (delimiter, quote) = (delimiter.unwrap_or(b','), quote.unwrap_or(b'"'));
            match said.at("QUOTE").or(said.at("DELIMITER")) {
                Some(position) if delimiter == quote => {
                    Err(syntax_error("delimiter and quote are the same", position).with_hint("choose another QUOTE"))
                }
                _ => Ok(CopyFormat::Csv { delimiter, quote }),
            }
        }
        None => match said.at("QUOTE") {
            Some(position) => {
                Err(syntax_error("QUOTE needs CSV", position).with_hint("write CSV QUOTE AS 'character'"))
            }
            None => Ok(CopyFormat::Delimited { delimiter: delimiter.unwrap_or(b'|') }),
        },
    }
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
fn one_char(c: &mut Cursor, name: &str) -> Result<u8> {
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
fn credentials(text: &str, position: Position) -> Result<Credentials> {
    let error = |message: &str| {
        wrong(message, position)
            .with_hint("write 'aws_iam_role=…' or 'aws_access_key_id=…;aws_secret_access_key=…[;token=…]'")
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
            _ => return Err(error("CREDENTIALS has an unknown name")),
        }
    }
    let keys = (&found.access_key_id, &found.secret_access_key);
    match (&found.iam_role, keys) {
        (Some(_), (None, None)) | (None, (Some(_), Some(_))) => Ok(found),
        _ => Err(error("CREDENTIALS needs a role, or a key id and its secret")),
    }
}
