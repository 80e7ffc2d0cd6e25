//! COPY … FROM.

use sqlparser::tokenizer::Token;

use crate::common::Result;
use crate::common::error::Position;

use super::access::{self, Said, one_char, wrong};
use super::ast::{
    CompUpdate, Compression, Copy, CopyFormat, CopyOptions, Credentials, DateFormat, ErrorLimit, FixedField, Ident,
    Mapping, MergeOn, ObjectName, Statement, TextEncoding, TimeFormat, ValueRules, Within,
};
use super::cursor::{Cursor, syntax_error, unsupported};

const KNOWN: &str = "options are CSV, QUOTE, DELIMITER, FIXEDWIDTH, JSON, AVRO, PARQUET, GZIP, BZIP2, ZSTD, MANIFEST, ESCAPE, \
                     REMOVEQUOTES, NULL AS, IGNOREHEADER, IGNOREBLANKLINES, EMPTYASNULL, BLANKSASNULL, TRIMBLANKS, FILLRECORD, TRUNCATECOLUMNS, \
                     ROUNDEC, ACCEPTANYDATE, ACCEPTINVCHARS, DATEFORMAT, TIMEFORMAT, ENCODING, EXPLICIT_IDS, MAXERROR, \
                     IGNOREALLERRORS, NOLOAD, COMPUPDATE, COMPROWS, STATUPDATE, SKIP LOADED, BY NAME, ADD COLUMNS, MERGE ON, IAM_ROLE, \
                     CREDENTIALS, ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN, REGION";

/// Options of Redshift that are not offered, and why.
const UNSUPPORTED: [(&str, &str); 11] = [
    ("ENCRYPTED", "decrypt the files before"),
    ("KMS_KEY_ID", "the store decrypts by itself"),
    ("LZOP", "compress with GZIP or ZSTD"),
    ("MASTER_SYMMETRIC_KEY", "decrypt the files before"),
    (
        "ORC",
        "convert the files to Parquet: a damaged file of ORC could end the whole process, by the readers that there are",
    ),
    ("READRATIO", "it is for DynamoDB"),
    ("SHAPEFILE", "convert the shapes to text"),
    ("SIMPLIFY", "it is for SHAPEFILE"),
    ("SNAPPY", "Parquet files say themselves how they are compressed"),
    ("SSH", "fetch the files before"),
    ("PARALLEL", "it is for UNLOAD"),
];

/// Options that go with files of columns (Redshift manual, "COPY from columnar data formats"); all others are for text.
const COLUMNAR: [&str; 16] = [
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
    "SKIP LOADED",
    "BY NAME",
    "ADD COLUMNS",
    "MERGE",
];

/// Which options do not go with which, and why (Redshift manual, "Data format parameters" and those of each option).
const APART: [(&str, &[&str], &str); 19] = [
    (
        "AVRO",
        &["DELIMITER", "ESCAPE", "QUOTE", "REMOVEQUOTES", "ENCODING", "NULL"],
        "Avro says by itself where values begin and end, and which are NULL",
    ),
    ("AVRO", &["FILLRECORD"], "what a record lacks is NULL"),
    ("AVRO", &["IGNOREBLANKLINES", "IGNOREHEADER"], "Avro has no lines"),
    ("CSV", &["FIXEDWIDTH"], "a delimiter parts the fields of CSV, their widths those of FIXEDWIDTH"),
    ("CSV", &["REMOVEQUOTES"], "CSV takes quotes off by itself"),
    ("CSV", &["ESCAPE"], "CSV has no backslashes: within quotes, a quote is written twice"),
    ("CSV", &["JSON"], "they are two formats"),
    ("FIXEDWIDTH", &["DELIMITER", "ESCAPE", "REMOVEQUOTES"], "widths part the fields, not what stands between them"),
    ("FIXEDWIDTH", &["JSON"], "they are two formats"),
    ("JSON", &["DELIMITER", "ESCAPE", "QUOTE", "REMOVEQUOTES"], "JSON says by itself where values begin and end"),
    ("JSON", &["FILLRECORD"], "what an object lacks is NULL"),
    ("JSON", &["IGNOREBLANKLINES"], "blank lines mean nothing between values of JSON"),
    ("JSON", &["NULL"], "null of JSON means NULL"),
    ("IGNOREALLERRORS", &["MAXERROR"], "one ends the load at so many errors, the other at none"),
    ("NOLOAD", &["ADD COLUMNS", "MERGE"], "files are only read: the table stays as it is"),
    ("MERGE", &["ADD COLUMNS"], "rows are merged into the columns that the table has"),
    ("MERGE", &["EXPLICIT_IDS"], "rows that are there keep their numbers"),
    ("MERGE", &["COMPUPDATE"], "encodings are chosen for an empty table"),
    ("MERGE", &["STATUPDATE"], "run ANALYZE after it"),
];

/// Errors for options that do not go together, at the later of two.
fn check_apart(said: &Said) -> Result<()> {
    for (one, others, why) in APART {
        let Some(first) = said.at(one) else { continue };
        if let Some((name, second)) = said.names.iter().find(|(name, _)| others.contains(name)) {
            let (with, name, position) = match (first.line, first.column) < (second.line, second.column) {
                true => (one, *name, *second),
                false => (*name, one, first),
            };
            let error = syntax_error(format!("{name} does not go with {with}"), position);
            return Err(error.with_hint(format!("{why}; leave one of them out")));
        }
    }
    Ok(())
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
    Ok(Statement::Copy(Box::new(files(c, table, columns)?)))
}

/// From behind FROM.
pub(super) fn files(c: &mut Cursor, table: ObjectName, columns: Vec<Ident>) -> Result<Copy> {
    let from_position = c.position();
    if c.is("STDIN") {
        return Err(unsupported("COPY FROM STDIN", from_position));
    }
    let from = c.string("the files' address as a string")?;
    let options = options(c)?;
    if options.add_columns && !columns.is_empty() {
        return Err(syntax_error("ADD COLUMNS does not go with a list of columns", columns[0].position)
            .with_hint("the list says which columns are loaded, of those that the table has"));
    }
    Ok(Copy { table, columns, from, from_position, options })
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
    let mut said = Said::of("COPY");
    let mut form = Form::default();
    let mut options = CopyOptions {
        format: CopyFormat::Delimited { delimiter: b'|', escape: false, remove_quotes: false },
        format_unsaid: true,
        header_said: false,
        by_name: false,
        add_columns: false,
        merge: None,
        compression: Compression::None,
        manifest: false,
        values: ValueRules::default(),
        explicit_ids: None,
        errors: ErrorLimit::At(1),
        no_load: false,
        compupdate: CompUpdate::Unsaid,
        comprows: None,
        statupdate: None,
        skip_loaded: false,
        credentials: Credentials::default(),
        region: None,
    };
    while !c.at_end() {
        let position = c.position();
        let Some(word) = c.upper_word(0) else {
            // What stands here may be a secret without its keyword.
            return Err(syntax_error("expected a COPY option", position).with_hint(KNOWN));
        };
        check_offered(&word, "option", position)?;
        c.skip();
        if !format_option(c, &word, position, &mut said, &mut form)?
            && !value_option(c, &word, position, &mut said, &mut options.values)?
            && !load_option(c, &word, position, &mut said, &mut options)?
            && !access::option(c, &word, position, &mut said, &mut options.credentials, &mut options.region)?
        {
            return Err(syntax_error(format!("unknown COPY option \"{}\"", word.to_ascii_lowercase()), position)
                .with_hint(KNOWN));
        }
    }
    check_apart(&said)?;
    said.check_credentials()?;
    check_names(&said)?;
    options.header_said = said.has("IGNOREHEADER");
    options.format_unsaid =
        !["FORMAT", "DELIMITER", "ESCAPE", "REMOVEQUOTES", "QUOTE"].iter().any(|name| said.has(name));
    options.format = chosen(form, &said)?;
    Ok(options)
}

/// Errors for ADD COLUMNS alone, and names of what has none.
fn check_names(said: &Said) -> Result<()> {
    if let (Some(position), None) = (said.at("ADD COLUMNS"), said.at("BY NAME")) {
        return Err(syntax_error("ADD COLUMNS needs BY NAME", position)
            .with_hint("columns of files are told from the table's by their names: say BY NAME ADD COLUMNS"));
    }
    match (said.at("BY NAME"), said.has("FIXEDWIDTH")) {
        (Some(position), true) => Err(syntax_error("BY NAME does not go with FIXEDWIDTH", position)
            .with_hint("such files have no names: give the columns in their order behind the table's name")),
        _ => Ok(()),
    }
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
            if !["PARQUET", "AVRO", "CSV", "JSON", "FIXEDWIDTH"].contains(&known.as_str()) {
                return Err(c.expected("PARQUET, AVRO, CSV, JSON or FIXEDWIDTH"));
            }
            c.skip();
            (known, position)
        }
        word => (word.to_string(), position),
    };
    match word.as_str() {
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
            form.mapping = Some(mapping(c)?);
        }
        "AVRO" => {
            said.note("FORMAT", position)?;
            said.note("AVRO", position)?;
            form.name = Some("AVRO");
            let place = c.position();
            form.mapping = Some(mapping(c)?);
            if form.mapping == Some(Mapping::Whole) {
                return Err(syntax_error("'noshred' does not go with AVRO", place)
                    .with_hint("it is for JSON; name 'auto', 'auto ignorecase' or a file of JSONPaths"));
            }
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

/// `[AS] ['which']`
fn mapping(c: &mut Cursor) -> Result<Mapping> {
    c.take("AS");
    let position = c.position();
    if !matches!(c.token(0), Token::SingleQuotedString(_)) {
        return Ok(Mapping::Auto { ignore_case: false });
    }
    let text = c.string("a string")?;
    Ok(match text.to_ascii_lowercase().as_str() {
        "auto" => Mapping::Auto { ignore_case: false },
        "auto ignorecase" => Mapping::Auto { ignore_case: true },
        "noshred" => Mapping::Whole,
        _ => Mapping::Paths { at: text, position },
    })
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
        "BY" => {
            said.note("BY NAME", position)?;
            c.expect("NAME")?;
            to.by_name = true;
        }
        "ADD" => {
            said.note("ADD COLUMNS", position)?;
            c.expect("COLUMNS")?;
            to.add_columns = true;
        }
        "MERGE" => {
            said.note("MERGE", position)?;
            c.expect("ON")?;
            to.merge = Some(merge_on(c, position)?);
        }
        "SKIP" => {
            said.note("SKIP LOADED", position)?;
            c.expect("LOADED")?;
            to.skip_loaded = true;
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

/// From behind `MERGE ON`.
fn merge_on(c: &mut Cursor, position: Position) -> Result<MergeOn> {
    let keys = c.column_names()?;
    let within = match c.take("WITHIN") {
        false => None,
        true => {
            let distance = c.with(|p| p.parse_expr())?;
            c.expect("ON")?;
            Some(Within { distance, column: c.ident("a column name")? })
        }
    };
    Ok(MergeOn { keys, position, within })
}

fn chosen(form: Form, said: &Said) -> Result<CopyFormat> {
    if form.name == Some("PARQUET") {
        return match said.names.iter().find(|(name, _)| !COLUMNAR.contains(name)) {
            Some((name, position)) => {
                let why = match *name {
                    "MAXERROR" | "IGNOREALLERRORS" => "any error in such a file ends the load",
                    "compression" => "such a file says itself how it is compressed",
                    "COMPUPDATE" | "COMPROWS" => "encodings are chosen without it",
                    "NOLOAD" => "such a file is checked as it is loaded",
                    _ => "it is for text files",
                };
                Err(syntax_error(format!("{name} does not go with PARQUET"), *position)
                    .with_hint(format!("{why}; leave it out")))
            }
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
        Some("AVRO") => CopyFormat::Avro(form.mapping.unwrap_or(Mapping::Auto { ignore_case: false })),
        _ => CopyFormat::Delimited {
            delimiter: form.delimiter.unwrap_or(b'|'),
            escape: said.has("ESCAPE"),
            remove_quotes: said.has("REMOVEQUOTES"),
        },
    })
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
