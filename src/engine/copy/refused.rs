//! Rows that a load refuses: which, where, why, and how many are too many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::blocks::Broken;
use crate::common::{Error, Result, SqlState, SqlType};
use crate::sql::ast::ErrorLimit;
use crate::system::{LoadRecord, LoadedFile, RefusedColumn, RefusedField, RefusedRow, ReplacedText};

/// What kind of error it is (Redshift manual, "Load error reference").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub i32);

impl Code {
    pub const UNKNOWN: Code = Code(1200);
    pub const NO_DELIMITER: Code = Code(1201);
    pub const EXTRA_COLUMNS: Code = Code(1202);
    pub const MISSING_COLUMNS: Code = Code(1203);
    pub const RANGE: Code = Code(1204);
    pub const DATE: Code = Code(1205);
    pub const TIMESTAMP: Code = Code(1206);
    pub const DIGIT: Code = Code(1207);
    pub const FLOAT: Code = Code(1208);
    pub const DECIMAL: Code = Code(1209);
    pub const BOOLEAN: Code = Code(1210);
    pub const EMPTY_LINE: Code = Code(1211);
    pub const NO_FILE: Code = Code(1212);
    pub const NULL: Code = Code(1213);
    pub const QUOTE: Code = Code(1214);
    pub const CHAR: Code = Code(1215);
    pub const BAD_LINE: Code = Code(1216);
    pub const IDENTITY: Code = Code(1217);
    pub const NUL: Code = Code(1218);
    pub const HEX: Code = Code(1219);
    pub const INVALID_UTF8: Code = Code(1220);
    pub const ENCODING: Code = Code(1221);
    pub const OVERFLOW: Code = Code(1222);
    pub const TYPE: Code = Code(1223);
    pub const SUPER: Code = Code(1224);
    pub const MANIFEST: Code = Code(8001);

    /// What an error of this state is, of a value for a column of this type.
    pub fn of(state: SqlState, value: &str, sql_type: SqlType) -> Self {
        let integer = matches!(sql_type, SqlType::SmallInt | SqlType::Integer | SqlType::BigInt);
        let number = value.trim().parse::<f64>().is_ok();
        match (state, sql_type) {
            (SqlState::STRING_TOO_LONG, _) => Code::RANGE,
            (_, SqlType::SmallInt | SqlType::Integer | SqlType::BigInt) if !number && !value.is_empty() => Code::DIGIT,
            (_, SqlType::Decimal { .. }) if !number && !value.is_empty() => Code::DECIMAL,
            (_, SqlType::Real | SqlType::Double) if !number && !value.is_empty() => Code::FLOAT,
            (SqlState::NUMERIC_OUT_OF_RANGE, _) => {
                if integer {
                    Code::OVERFLOW
                } else {
                    Code::RANGE
                }
            }
            (SqlState::NOT_NULL_VIOLATION, _) => Code::NULL,
            (SqlState::CHARACTER_NOT_IN_REPERTOIRE, _) => Code::CHAR,
            (_, SqlType::Date) => Code::DATE,
            (_, SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz) => Code::TIMESTAMP,
            (_, SqlType::Boolean) => Code::BOOLEAN,
            (_, SqlType::Super) => Code::SUPER,
            _ => Code::TYPE,
        }
    }

    /// Of a value of `sql_type`, if it is of one.
    fn state(self, sql_type: Option<SqlType>) -> SqlState {
        match self {
            Code::RANGE if sql_type.is_some_and(|t| t.max_bytes().is_some()) => SqlState::STRING_TOO_LONG,
            Code::RANGE | Code::OVERFLOW => SqlState::NUMERIC_OUT_OF_RANGE,
            Code::NULL => SqlState::NOT_NULL_VIOLATION,
            Code::CHAR => SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            Code::EXTRA_COLUMNS
            | Code::MISSING_COLUMNS
            | Code::NO_DELIMITER
            | Code::EMPTY_LINE
            | Code::QUOTE
            | Code::BAD_LINE => SqlState::BAD_COPY_FILE,
            _ => SqlState::INVALID_TEXT,
        }
    }

    /// What to do about it.
    fn hint(self) -> &'static str {
        match self {
            Code::EXTRA_COLUMNS | Code::MISSING_COLUMNS => {
                "check DELIMITER and the number of columns; a column list says which columns the file has, FILLRECORD fills up \
                 short lines"
            }
            Code::NO_DELIMITER => "DELIMITER says what parts the fields, which is | without it, and a comma of CSV",
            Code::IDENTITY => "with EXPLICIT_IDS the file gives the numbers; without it they are generated",
            Code::NUL => "leave NULL AS '\\0' out, or write a field that means NULL as one NUL",
            Code::EMPTY_LINE => "the line is empty; IGNOREBLANKLINES leaves such lines out",
            Code::CHAR => "use VARCHAR, whose characters may have several bytes",
            Code::INVALID_UTF8 => "ACCEPTINVCHARS puts other characters in place of such bytes",
            Code::DATE => "DATEFORMAT says how dates are written; ACCEPTANYDATE makes NULL of what is none",
            Code::TIMESTAMP => {
                "TIMEFORMAT says how times are written, with 'auto' of most kinds and without their offsets from UTC, which a column \
                 of TIMESTAMPTZ keeps; ACCEPTANYDATE makes NULL of what is none"
            }
            Code::RANGE => "TRUNCATECOLUMNS cuts text; or make the column wider",
            Code::NULL => "NULL AS says what means NULL",
            _ => "mend the file, or MAXERROR leaves such rows out",
        }
    }
}

/// A row that is refused, and the value that is to blame, if one is.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadError {
    pub file: Arc<str>,
    /// From 1.
    pub line: u64,
    /// Of the line in the file, as it is decompressed.
    pub offset: u64,
    pub column: Option<(String, SqlType)>,
    /// Byte of the line where the value begins, from 0.
    pub position: usize,
    pub raw_line: String,
    pub raw_value: String,
    pub code: Code,
    pub reason: String,
    /// Of the line.
    pub fields: Vec<FieldText>,
}

/// A field of a refused row.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldText {
    /// `None` of NULL.
    pub value: Option<String>,
    /// Which it is meant for, if for any.
    pub column: Option<(String, SqlType)>,
}

/// A value of which ACCEPTINVCHARS has replaced bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Replaced {
    pub file: Arc<str>,
    /// From 1; of files without lines, the row.
    pub line: u64,
    pub column: String,
    /// The value alone, of files without lines.
    pub raw_line: String,
}

/// Bytes of lines and values that are kept.
const RAW_BYTES: usize = 1024;
/// Rows that are kept of those that are refused, and how large they may be together: the log has room for other statements.
const KEPT: usize = 10_000;
const KEPT_BYTES: usize = 4 << 20;
/// Values that are kept of those that bytes were replaced of (Redshift manual, "STL_REPLACEMENTS": the first 100 of a slice).
const KEPT_REPLACED: usize = 100;

/// What a load refuses, from all of its readers.
#[derive(Debug)]
pub struct Refused {
    limit: ErrorLimit,
    count: AtomicU64,
    /// Whether there are too many.
    full: AtomicBool,
    kept: Mutex<Kept>,
    replaced: Mutex<Vec<Replaced>>,
    files: Mutex<BTreeMap<Arc<str>, FileCounts>>,
}

/// What a file had.
#[derive(Debug, Clone, Copy, Default)]
struct FileCounts {
    lines: u64,
    refused: u64,
    rows: u64,
}

/// File, line, byte of the line, and a number, since several may have one place.
type PlaceOfError = (Arc<str>, u64, usize, u64);

/// The first ones, as many as there is room for, and one at least.
#[derive(Debug, Default)]
struct Kept {
    rows: BTreeMap<PlaceOfError, LoadError>,
    bytes: usize,
}

impl Kept {
    fn add(&mut self, error: LoadError, number: u64) {
        self.bytes += error.bytes();
        self.rows.insert((Arc::clone(&error.file), error.line, error.position, number), error);
        while self.rows.len() > 1 && (self.rows.len() > KEPT || self.bytes > KEPT_BYTES) {
            let Some((_, last)) = self.rows.pop_last() else { break };
            self.bytes -= last.bytes();
        }
    }
}

impl Refused {
    pub fn new(limit: ErrorLimit) -> Self {
        Refused {
            limit,
            count: AtomicU64::new(0),
            full: AtomicBool::new(false),
            kept: Mutex::default(),
            replaced: Mutex::default(),
            files: Mutex::default(),
        }
    }

    /// Forgets all: the load begins again.
    pub fn clear(&self) {
        self.count.store(0, Ordering::Relaxed);
        self.full.store(false, Ordering::Relaxed);
        *self.kept.lock() = Kept::default();
        self.replaced.lock().clear();
        self.files.lock().clear();
    }

    /// Takes a row; an error where there are too many by now, which is to end the load.
    pub fn add(&self, error: LoadError) -> Result<()> {
        let count = self.keep(error);
        match self.limit {
            ErrorLimit::At(limit) if count >= limit => {
                self.full.store(true, Ordering::Relaxed);
                Err(self.error())
            }
            _ => Ok(()),
        }
    }

    /// Whether [`Refused::add`] has told that there are too many.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Takes what ends the load however many errors it may have; how many there are by now.
    pub fn keep(&self, error: LoadError) -> u64 {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.files.lock().entry(Arc::clone(&error.file)).or_default().refused += 1;
        self.kept.lock().add(error, count);
        count
    }

    /// The same of a file that cannot be read on.
    pub fn broken(&self, broken: Broken) -> Error {
        if let Some(line) = broken.line {
            self.keep(*line);
        }
        broken.error
    }

    /// Takes a value that was changed; the first ones are kept.
    pub fn replaced(&self, value: impl FnOnce() -> Replaced) {
        let mut replaced = self.replaced.lock();
        if replaced.len() < KEPT_REPLACED {
            replaced.push(value());
        }
    }

    /// Lines of a file were read, of which so many rows are taken.
    pub fn read(&self, file: &Arc<str>, lines: u64, rows: u64) {
        let mut files = self.files.lock();
        let counts = files.entry(Arc::clone(file)).or_default();
        (counts.lines, counts.rows) = (counts.lines + lines, counts.rows + rows);
    }

    /// The rows of a file that were taken.
    pub fn rows(&self, file: &str) -> u64 {
        self.files.lock().get(file).map_or(0, |counts| counts.rows)
    }

    /// The load as the log has it.
    pub fn record(&self, table: i32, format: &str, now_us: i64) -> LoadRecord {
        let big = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let files = self.files.lock();
        let file = |(name, counts): (&Arc<str>, &FileCounts)| LoadedFile {
            name: name.to_string(),
            lines: big(counts.lines),
            errors: big(counts.refused),
            format: format.to_string(),
            time_us: now_us,
        };
        let column = |column: Option<(String, SqlType)>| {
            column.map_or_else(RefusedColumn::default, |(name, sql_type)| RefusedColumn {
                name,
                type_name: sql_type.to_string(),
                length: sql_type.max_bytes().map_or(String::new(), |max| max.to_string()),
            })
        };
        let field = |field: FieldText| RefusedField { value: field.value, column: column(field.column) };
        let row = |e: LoadError| RefusedRow {
            file: e.file.to_string(),
            line: big(e.line),
            offset: big(e.offset),
            column: column(e.column),
            position: i32::try_from(e.position).unwrap_or(i32::MAX),
            raw_line: e.raw_line,
            raw_value: e.raw_value,
            code: e.code.0,
            reason: e.reason,
            fields: e.fields.into_iter().map(field).collect(),
        };
        let mut replaced = self.replaced.lock().clone();
        replaced.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        let text = |value: Replaced| ReplacedText {
            file: value.file.to_string(),
            line: big(value.line),
            column: value.column,
            raw_line: value.raw_line,
        };
        LoadRecord {
            table,
            files: files.iter().map(file).collect(),
            errors: self.all().into_iter().map(row).collect(),
            replaced: replaced.into_iter().map(text).collect(),
        }
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// What to tell of the rows that were left out, if any were.
    pub fn notice(&self) -> Option<String> {
        let (count, kept) = (self.count(), self.kept.lock().rows.len() as u64);
        let (rows, them) = match count {
            0 => return None,
            1 => ("1 row was".to_string(), "it".to_string()),
            _ if kept < count => (format!("{count} rows were"), format!("{kept} of them")),
            _ => (format!("{count} rows were"), "them".to_string()),
        };
        let list = "SELECT * FROM stl_load_errors WHERE query = pg_last_copy_id()";
        Some(format!("{rows} refused and left out: {list} lists {them}"))
    }

    /// Those that are kept, in the order of files and lines.
    pub fn all(&self) -> Vec<LoadError> {
        self.kept.lock().rows.values().cloned().collect()
    }

    /// The first one, and how to see the others.
    pub fn error(&self) -> Error {
        let all = self.all();
        let Some(first) = all.first() else { return Error::internal("a load ends by no error") };
        first.error(self.count().saturating_sub(1))
    }
}

impl LoadError {
    /// Of a file as a whole.
    pub fn of_file(file: &str, code: Code, reason: &str) -> Self {
        LoadError {
            file: file.into(),
            line: 0,
            offset: 0,
            column: None,
            position: 0,
            raw_line: String::new(),
            raw_value: String::new(),
            code,
            reason: reason.to_string(),
            fields: Vec::new(),
        }
    }

    /// Of its texts.
    fn bytes(&self) -> usize {
        let field = |field: &FieldText| {
            let (value, column) = (field.value.as_ref().map_or(0, String::len), &field.column);
            size_of::<FieldText>() + value + column.as_ref().map_or(0, |(name, _)| name.len())
        };
        let fields: usize = self.fields.iter().map(field).sum();
        size_of::<Self>() + self.raw_line.len() + self.raw_value.len() + self.reason.len() + fields
    }

    /// As the statement's error, with `others` beside it.
    pub fn error(&self, others: u64) -> Error {
        let column = self.column.as_ref().map_or(String::new(), |(name, _)| format!(", column \"{name}\""));
        let (shown, at) = self.shown();
        let caret = format!("{}{}", " ".repeat(at), "^".repeat(self.raw_value.chars().count().clamp(1, 60)));
        let more = match others {
            0 => String::new(),
            1 => "1 more row is refused; ".to_string(),
            n => format!("{n} more rows are refused; "),
        };
        let list = "SELECT * FROM stl_load_errors WHERE query = pg_last_copy_id() lists them";
        let sql_type = self.column.as_ref().map(|(_, sql_type)| *sql_type);
        Error::invalid(self.code.state(sql_type), format!("{}, line {}{column}: {}", self.file, self.line, self.reason))
            .with_detail(format!("error {} of\n{shown}\n{caret}", self.code.0))
            .with_hint(format!("{}; {more}{list}", self.hint()))
    }

    fn hint(&self) -> &'static str {
        let ends = |end: &str| self.file.ends_with(end);
        match () {
            _ if self.line > 3 || !self.raw_line.contains(char::REPLACEMENT_CHARACTER) => self.code.hint(),
            _ if ends(".gz") => "the file may be compressed: say GZIP",
            _ if ends(".bz2") => "the file may be compressed: say BZIP2",
            _ if ends(".zst") => "the file may be compressed: say ZSTD",
            _ if ends(".parquet") => "the file may be of Parquet: say FORMAT AS PARQUET",
            _ => self.code.hint(),
        }
    }

    /// What can be shown of the line around the value on one line, and where the value begins there, in characters.
    fn shown(&self) -> (String, usize) {
        const BEFORE: usize = 60;
        const ALL: usize = 120;
        let before: Vec<char> = self.raw_line[..self.raw_line.floor_char_boundary(self.position)].chars().collect();
        let cut = before.len().saturating_sub(BEFORE);
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let text: String = self.raw_line.chars().skip(cut).take(ALL).map(plain).collect();
        let text = if cut > 0 { format!("…{text}") } else { text };
        (text, before.len() - cut + usize::from(cut > 0))
    }
}

/// What is kept of a line or a value.
pub fn raw(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(RAW_BYTES)]).into_owned()
}
