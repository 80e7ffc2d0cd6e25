//! Text files as COPY reads them: lines, fields, values, and what is refused.

use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::blocks::{BLOCK_BYTES, MAX_LINE_BYTES};
use super::formats::Formats;
use super::json::{Keys, Shape};
use super::lines::Form;
use super::refused::{LoadError, Refused};
use super::text::TextFiles;
use super::values::Rules;
use super::{form, null_as};
use crate::catalog::ColumnDef;
use crate::common::{ColumnId, EncodingName, ErrorKind, Result, SqlType};
use crate::functions::zones;
use crate::sql::ast::CopyFormat;
use crate::sql::{Statement, parse_one};
use crate::testing::rng::Rng;

/// Hands out a few bytes at a time, so that every place of the text is the end of a read somewhere.
struct Slowly(Cursor<Vec<u8>>, usize);

impl Read for Slowly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.1.min(buffer.len());
        self.0.read(&mut buffer[..n])
    }
}

fn column(name: &str, sql_type: SqlType) -> ColumnDef {
    let (name, encoding) = (name.to_string(), EncodingName::Auto);
    ColumnDef {
        id: ColumnId(1),
        name,
        sql_type,
        nullable: true,
        default_sql: None,
        absent: None,
        encoding,
        identity: None,
    }
}

/// What `COPY t FROM 'f'` with `options` reads of a file, read by `step` bytes.
fn parsed(text: &[u8], step: usize, columns: &[ColumnDef], options: &str) -> Result<Vec<String>> {
    let (rows, refused) = loaded(text, step, columns, options)?;
    assert!(refused.is_empty(), "{refused:?}");
    Ok(rows)
}

/// The same, and what was refused.
fn loaded(text: &[u8], step: usize, columns: &[ColumnDef], options: &str) -> Result<(Vec<String>, Vec<LoadError>)> {
    let Statement::Copy(copy) = parse_one(&format!("copy t from 'f' {options}"))? else { panic!("no COPY") };
    let refused = Arc::new(Refused::new(copy.options.errors));
    let values = copy.options.values.clone();
    let files = TextFiles {
        form: match &copy.options.format {
            CopyFormat::Json(_) => Form::Json(Shape::Keys {
                names: columns.iter().map(|c| c.name.clone()).collect(),
                keys: Keys::AsTheyAre,
            }),
            format => form(format, columns.len())?,
        },
        compression: copy.options.compression,
        rules: Rules {
            formats: Formats::new(&values)?,
            null_as: null_as(&copy.options),
            text: values,
            zone: zones::utc(),
        },
        columns: columns.to_vec(),
        fields: (0..columns.len()).collect(),
        width: columns.len(),
        refused: Arc::clone(&refused),
        progress: None,
    };
    let (mut rows, mut failed) = (Vec::new(), None);
    let input = Slowly(Cursor::new(text.to_vec()), step);
    files.cut(input, &"f".into(), |block| match files.parse(&block) {
        Ok(batch) => {
            rows.extend(shown(&batch));
            true
        }
        Err(e) => {
            failed = Some(e);
            false
        }
    })?;
    failed.map_or(Ok((rows, refused.all())), Err)
}

fn shown(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let cells = |row: usize| {
        let formatted =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap().value(row).to_string());
        formatted.collect::<Vec<String>>().join(",")
    };
    (0..batch.num_rows()).map(cells).collect()
}

#[test]
fn an_empty_line_is_a_row_of_one_column() {
    let (number, word) = ([column("a", SqlType::Integer)], [column("a", SqlType::Varchar(9))]);
    for (text, expected) in [
        ("", &[][..]),
        ("1", &["1"]),
        ("1\n", &["1"]),
        ("\n", &["NULL"]),
        ("1\n\n", &["1", "NULL"]),
        ("\n\n1\n\n\n2", &["NULL", "NULL", "1", "NULL", "NULL", "2"]),
        ("\u{feff}\n1\n", &["NULL", "1"]),
        ("\u{feff}1\n\n", &["1", "NULL"]),
    ] {
        for end in ["\n", "\r\n", "\r"] {
            let text = text.replace('\n', end);
            for step in [3, 4, 5, 100] {
                for options in ["csv", "delimiter ','"] {
                    assert_eq!(
                        parsed(text.as_bytes(), step, &number, options).unwrap(),
                        expected,
                        "{text:?} by {step}"
                    );
                    let skipping =
                        parsed(text.as_bytes(), step, &number, &format!("{options} ignoreblanklines")).unwrap();
                    let kept: Vec<&str> = expected.iter().copied().filter(|row| *row != "NULL").collect();
                    assert_eq!(skipping, kept, "{text:?} by {step}");
                }
            }
        }
    }
    assert_eq!(parsed("a\n\n".as_bytes(), 3, &word, "csv").unwrap(), ["a", ""]);
    assert_eq!(parsed("a\n\n".as_bytes(), 3, &word, "csv emptyasnull").unwrap(), ["a", "NULL"]);
    // Header lines are lines, whatever stands in them.
    assert_eq!(parsed("\n\na\n\n".as_bytes(), 3, &word, "csv ignoreheader 1").unwrap(), ["", "a", ""]);
    assert_eq!(parsed("head\n\na\n\n".as_bytes(), 3, &word, "csv ignoreheader 2").unwrap(), ["a", ""]);
}

#[test]
fn quoted_lines_are_of_the_value() {
    let word = [column("a", SqlType::Varchar(99))];
    for step in 3..9 {
        for options in ["csv", "csv ignoreblanklines"] {
            let rows = parsed("\"\n\nx\n\"\n\"\"\n\"a\r\n\r\nb\"\r\n".as_bytes(), step, &word, options).unwrap();
            assert_eq!(rows, ["\n\nx\n", "", "a\r\n\r\nb"]);
        }
    }
}

#[test]
fn lines_are_counted_with_the_empty_ones() {
    let one = [column("a", SqlType::Integer)];
    let two = [column("a", SqlType::Integer), column("b", SqlType::Integer)];
    for end in ["\n", "\r\n"] {
        let fails = |text: &str, columns: &[ColumnDef], options: &str, message: &str| {
            let text = text.replace('\n', end);
            for step in 3..9 {
                let Err(error) = parsed(text.as_bytes(), step, columns, options) else { panic!("{text:?} by {step}") };
                assert!(error.message().starts_with(message), "{text:?} by {step}: {error}");
            }
        };
        fails("1\n2\nx\n", &one, "csv", "f, line 3, ");
        fails("1\n\n\nx\n", &one, "csv", "f, line 4, ");
        fails("\n1\n\nx\n", &one, "csv ignoreblanklines", "f, line 4, ");
        fails("1,2\n\n3,4\n", &two, "csv", "f, line 2: 1 field where 2 columns are loaded");
        fails("1,2\n3,4\n\n", &two, "csv", "f, line 3: 1 field where 2 columns are loaded");
        fails("\"x\n\n\",2\n", &two, "csv", "f, line 1, column \"a\"");
        fails("1,\"\n\n3\"\n\n", &two, "csv", "f, line 4: 1 field");
        assert_eq!(parsed("\n1,2\n\n3,4\n\n".as_bytes(), 3, &two, "csv ignoreblanklines").unwrap(), ["1,2", "3,4"]);
    }
    let error = parsed("1,2\n\n".as_bytes(), 3, &two, "csv").unwrap_err();
    assert!(error.hint().unwrap().contains("IGNOREBLANKLINES"));
}

/// Whatever the blocks and the reads are, the fields are those that the csv crate finds in the whole text, where that has no blanks
/// beside its quotes.
#[test]
fn blocks_hold_the_lines_of_the_whole() {
    let words = [column("a", SqlType::Varchar(99)), column("b", SqlType::Varchar(99))];
    let mut rng = Rng::new(7);
    for round in 0..300 {
        let (mut text, mut plain) = (String::new(), String::new());
        for _ in 0..1 + rng.below(40) {
            for field in 0..2 {
                let values = [
                    "",
                    "x",
                    "\"q\"",
                    "\"a,b\"",
                    "\"two\nlines\"",
                    "\"\"\"\"",
                    "a\"b",
                    " y ",
                    "\"\r\n\"",
                    "ä",
                    "\" s \"",
                    "5\" ",
                ];
                let value = values[rng.below(values.len())];
                let mut both = |part: &str| {
                    text.push_str(part);
                    plain.push_str(part);
                };
                both(if field == 0 { "" } else { "," });
                let spaced = round % 2 == 0 && value.starts_with('"');
                let mut blanks = || if spaced { ["", " ", "\t ", "   "][rng.below(4)] } else { "" };
                text.push_str(blanks());
                text.push_str(value);
                plain.push_str(value);
                text.push_str(blanks());
            }
            let end = ["\n", "\r\n", "\r"][rng.below(3)];
            text.push_str(end);
            plain.push_str(end);
        }
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(plain.as_bytes());
        let expected: Vec<String> =
            reader.records().map(|record| record.unwrap().iter().collect::<Vec<_>>().join(",")).collect();
        let step = 1 + rng.below(9);
        assert_eq!(parsed(text.as_bytes(), step, &words, "csv").unwrap(), expected, "round {round}: {text:?}");
    }
}

/// Values of JSON are found wherever reads and blocks end.
#[test]
fn values_are_cut_where_they_end() {
    let columns = [column("a", SqlType::BigInt), column("b", SqlType::Varchar(99))];
    let mut rng = Rng::new(11);
    for round in 0..200 {
        let (mut text, mut expected) = (String::new(), Vec::new());
        for row in 0..1 + rng.below(30) {
            let (json, plain) = [
                ("\"x\"", "x"),
                ("\"}{\\\"\"", "}{\""),
                ("null", "NULL"),
                ("[1, {\"a\": 2}]", "[1, {\"a\": 2}]"),
                ("\"\\u00e4\\n\"", "ä\n"),
                ("1.50", "1.50"),
                ("true", "true"),
            ][rng.below(7)];
            let blank = ["", " ", "\n", "\r\n "][rng.below(4)];
            text.push_str(&format!("{{{blank}\"b\"{blank}:{json}, \"c\": {{\"a\": 9}},\"a\":{row}{blank}}}{blank}"));
            expected.push(format!("{row},{plain}"));
        }
        let step = 1 + rng.below(9);
        assert_eq!(parsed(text.as_bytes(), step, &columns, "json 'auto'").unwrap(), expected, "round {round}: {text}");
    }
}

/// A string of one NUL is a value, of JSON; of text, it is NULL where nothing else is said.
#[test]
fn only_null_of_json_is_null() {
    let word = [column("a", SqlType::Varchar(9))];
    let rows = r#"{"a": "\u0000"} {"a": null} {"a": "\\N"} {"a": ""} {}"#;
    assert_eq!(parsed(rows.as_bytes(), 9, &word, "json 'auto'").unwrap(), ["\0", "NULL", "\\N", "", "NULL"]);
}

/// However many rows are refused, what is kept of them stays small, and the rest is counted.
#[test]
fn refused_rows_are_kept_within_bounds() {
    let two = [column("a", SqlType::Integer), column("b", SqlType::Varchar(9000))];
    let line = format!("x|{}\n", "y".repeat(2000));
    let (_, refused) = loaded(line.repeat(3000).as_bytes(), 1 << 20, &two, "maxerror 100000").unwrap();
    let bytes: usize = refused.iter().map(|e| e.raw_line.len()).sum();
    assert!(refused.len() > 1000 && refused.len() < 3000 && bytes < 4 << 20, "{} rows, {bytes} bytes", refused.len());
}

/// Blocks of a large text are cut at line ends, and their lines are counted on.
#[test]
fn large_texts_are_cut() {
    let columns = [column("a", SqlType::BigInt), column("b", SqlType::Varchar(200))];
    for (options, line) in [("csv", "1,\"a\nb\"\n"), ("", "1|some more text\n"), ("escape", "1|a\\\nb\n")] {
        let lines = 2 * BLOCK_BYTES / line.len();
        let mut text = line.repeat(lines);
        let before = text.matches('\n').count();
        text.push_str("x|x\n");
        let error = loaded(text.as_bytes(), 1 << 20, &columns, options).unwrap_err();
        let expected = format!("f, line {}", before + 1);
        assert!(error.message().starts_with(&expected), "{options}: {error}");
        let (rows, refused) = loaded(text.as_bytes(), 1 << 20, &columns, &format!("{options} maxerror 9")).unwrap();
        assert_eq!((rows.len(), refused.len()), (lines, 1));
        assert_eq!(refused[0].offset, (text.len() - 4) as u64);
    }
    for (bytes, fits) in [(MAX_LINE_BYTES, true), (MAX_LINE_BYTES + 3, false), (MAX_LINE_BYTES + BLOCK_BYTES, false)] {
        let long = format!("1|a\n2|{}\n", "x".repeat(bytes - 2));
        let error = loaded(long.as_bytes(), 1 << 20, &columns, "").unwrap_err();
        assert_eq!(error.message().contains("line 2: a line of more than 4 MB"), !fits, "{bytes}: {error}");
    }
}

#[test]
fn compressed_and_wide_texts_are_read() {
    let columns = [column("a", SqlType::Integer), column("b", SqlType::Varchar(20))];
    let plain = "1|ärger\n2|𝄞 clef\n3|\n";
    let expected = ["1,ärger", "2,𝄞 clef", "3,"];
    let gzip = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let bzip2 = |text: &[u8]| {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |text: &[u8]| zstd::stream::encode_all(text, 1).unwrap();
    let both = |one: Vec<u8>, two: Vec<u8>| [one, two].concat();
    let (head, tail) = plain.as_bytes().split_at(9);
    for (options, bytes) in [
        ("gzip", gzip(plain.as_bytes())),
        ("gzip", both(gzip(head), gzip(tail))),
        ("bzip2", bzip2(plain.as_bytes())),
        ("bzip2", both(bzip2(head), bzip2(tail))),
        ("zstd", zstd(plain.as_bytes())),
        ("zstd", both(zstd(head), zstd(tail))),
    ] {
        for step in [1, 7, 1000] {
            assert_eq!(parsed(&bytes, step, &columns, options).unwrap(), expected, "{options}");
        }
        let cut = loaded(&bytes[..bytes.len() - 6], 100, &columns, options).unwrap_err();
        assert!(cut.kind() == ErrorKind::Invalid && cut.message().contains("cannot be read"), "{options}: {cut:?}");
        let other = loaded(plain.as_bytes(), 100, &columns, options).unwrap_err();
        assert!(
            other.kind() == ErrorKind::Invalid && other.hint().unwrap().contains("compression"),
            "{options}: {other:?}"
        );
    }
    let wide = |mark: bool, big: bool| -> Vec<u8> {
        let units = mark.then_some(0xfeff).into_iter().chain(plain.encode_utf16());
        units.flat_map(|unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    for (options, bytes) in [
        ("encoding utf16", wide(true, false)),
        ("encoding utf16", wide(true, true)),
        ("encoding as utf16le", wide(false, false)),
        ("encoding utf16le", wide(true, false)),
        ("encoding utf16be", wide(false, true)),
    ] {
        for step in [1, 3, 1000] {
            assert_eq!(parsed(&bytes, step, &columns, options).unwrap(), expected, "{options}");
        }
    }
    for (options, bytes, message) in [
        ("encoding utf16", wide(false, false), "needs a byte-order mark"),
        ("encoding utf16le", wide(true, true), "of the other UTF-16"),
        ("encoding utf16", wide(true, true)[..13].to_vec(), "the last character"),
    ] {
        let error = loaded(&bytes, 100, &columns, options).unwrap_err();
        assert!(error.message().contains(message), "{options}: {error}");
    }
}

/// Bytes that are no UTF-8 are refused, or each replaced.
#[test]
fn bytes_that_are_no_text() {
    let word = [column("a", SqlType::Varchar(9))];
    let bad = b"x\xe6\xb1x\n\xff\xfe\xfd\nok\n";
    let (rows, refused) = loaded(bad, 100, &word, "maxerror 9").unwrap();
    assert_eq!((rows, refused.len()), (vec!["ok".to_string()], 2));
    assert_eq!((refused[0].code.0, refused[0].line), (1220, 1));
    assert_eq!(parsed(bad, 100, &word, "acceptinvchars '^'").unwrap(), ["x^^x", "^^^", "ok"]);
    assert_eq!(parsed(bad, 100, &word, "acceptinvchars").unwrap(), ["x??x", "???", "ok"]);
}

/// Numbers as they are written, and at the ends of their ranges.
#[test]
fn numbers_are_read_exactly() {
    let decimal = |precision, scale| [column("a", SqlType::Decimal { precision, scale })];
    for (text, cut, rounded) in [
        ("20.259", "20.25", "20.26"),
        ("-20.255", "-20.25", "-20.26"),
        (".5", "0.50", "0.50"),
        ("5.", "5.00", "5.00"),
        ("+1.999", "1.99", "2.00"),
        ("-0.001", "0.00", "0.00"),
        ("1e2", "100.00", "100.00"),
    ] {
        assert_eq!(parsed(text.as_bytes(), 9, &decimal(8, 2), "").unwrap(), [cut], "{text}");
        assert_eq!(parsed(text.as_bytes(), 9, &decimal(8, 2), "roundec").unwrap(), [rounded], "{text}");
    }
    let widest = "9".repeat(38);
    assert_eq!(parsed(widest.as_bytes(), 9, &decimal(38, 0), "").unwrap(), [widest.as_str()]);
    for (sql_type, text, code) in [
        (SqlType::Decimal { precision: 4, scale: 2 }, "100", 1204),
        (SqlType::Decimal { precision: 4, scale: 2 }, "99.999", 0),
        (SqlType::Decimal { precision: 4, scale: 2 }, "1.2.3", 1209),
        (SqlType::Decimal { precision: 4, scale: 2 }, "-", 1209),
        (SqlType::SmallInt, "32768", 1222),
        (SqlType::SmallInt, "-32768", 0),
        (SqlType::BigInt, "-9223372036854775808", 0),
        (SqlType::BigInt, "9223372036854775808", 1222),
        (SqlType::Integer, "1.0", 1207),
        (SqlType::Integer, "", 0),
        (SqlType::Integer, " 7 ", 0),
        (SqlType::Integer, "+7", 0),
        (SqlType::Double, "1e308", 0),
        (SqlType::Double, "one", 1208),
        (SqlType::Boolean, "maybe", 1210),
        (SqlType::Varbyte(4), "0af", 1219),
        (SqlType::Time, "25:00", 1206),
        (SqlType::Char(2), "abc", 1204),
        (SqlType::Char(2), "ab   ", 0),
        (SqlType::Char(9), "ä", 1215),
        (SqlType::Super, "{", 1224),
    ] {
        let (_, refused) = loaded(text.as_bytes(), 9, &[column("a", sql_type)], "maxerror 2").unwrap();
        assert_eq!(refused.first().map_or(0, |e| e.code.0), code, "{sql_type} {text}");
    }
}

/// A caret stands under the value, wherever that is in its line.
#[test]
fn the_value_is_pointed_at() {
    let columns: Vec<ColumnDef> = (0..30).map(|i| column(&format!("c{i}"), SqlType::Integer)).collect();
    for bad in [0, 1, 17, 29] {
        for (options, delimiter) in [("csv", ","), ("", "|"), ("removequotes", "|")] {
            let fields: Vec<String> =
                (0..30).map(|i| if i == bad { "oops".into() } else { format!("{}", 1000 + i) }).collect();
            let error = loaded(fields.join(delimiter).as_bytes(), 99, &columns, options).unwrap_err();
            let lines: Vec<&str> = error.detail().unwrap().lines().collect();
            let at = lines[2].find('^').unwrap();
            let shown: String = lines[1].chars().skip(at).take(4).collect();
            assert_eq!((shown.as_str(), lines[2].matches('^').count()), ("oops", 4), "{options}: {lines:?}");
        }
    }
}
