//! stl_load_errors and its kin: what COPY loaded, and what it refused (Redshift manual, "STL views for logging").

use super::context::SystemContext;
use super::grid::Grid;
use super::log::QueryRecord;
use crate::catalog::Source;

/// A COPY that has ended, whatever became of its transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadRecord {
    pub table: i32,
    pub files: Vec<LoadedFile>,
    pub errors: Vec<RefusedRow>,
    pub replaced: Vec<ReplacedText>,
}

/// A COPY that goes on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadState {
    pub user: i32,
    pub process: i32,
    pub query: i64,
    pub table: String,
    pub started_us: i64,
    /// As they are stored, of all files.
    pub bytes: i64,
    pub bytes_read: i64,
    pub rows: i64,
    pub files: i64,
    /// That were read to their ends.
    pub files_read: i64,
    /// The file that was begun last.
    pub current: String,
}

impl LoadState {
    /// How much of the files is read.
    pub fn percent(&self) -> i32 {
        let percent = i128::from(self.bytes_read) * 100 / i128::from(self.bytes.max(1));
        percent.clamp(0, 100) as i32
    }

    /// So far; `None` before time has passed.
    pub fn rows_per_second(&self, now_us: i64) -> Option<i64> {
        let elapsed = now_us.checked_sub(self.started_us).filter(|elapsed| *elapsed > 0)?;
        i64::try_from(i128::from(self.rows) * 1_000_000 / i128::from(elapsed)).ok()
    }

    /// If it goes on as until now; `None` before anything is read. What follows reading, sorting what memory did not hold, is not
    /// in it.
    pub fn seconds_left(&self, now_us: i64) -> Option<i64> {
        let elapsed = now_us.checked_sub(self.started_us).filter(|_| self.bytes_read > 0)?;
        let left = i128::from((self.bytes - self.bytes_read).max(0));
        i64::try_from(i128::from(elapsed) * left / i128::from(self.bytes_read) / 1_000_000).ok()
    }
}

/// A file that was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadedFile {
    pub name: String,
    /// Lines, or rows of files that have no lines.
    pub lines: i64,
    pub errors: i64,
    pub format: String,
    /// When it was read to its end.
    pub time_us: i64,
}

/// A row that was refused.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RefusedRow {
    pub file: String,
    pub line: i64,
    /// Of the line in the file.
    pub offset: i64,
    /// Empty where no column is to blame, as are the next two.
    pub column: String,
    pub type_name: String,
    pub length: String,
    /// Byte of the line.
    pub position: i32,
    pub raw_line: String,
    pub raw_value: String,
    pub code: i32,
    pub reason: String,
    /// All fields of the row, `None` of NULL.
    pub fields: Vec<Option<String>>,
}

/// A value of which ACCEPTINVCHARS has replaced bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReplacedText {
    pub file: String,
    pub line: i64,
    pub column: String,
    pub raw_line: String,
}

/// The load that a row is of. Each of thousands has its own: nothing of the rows is in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    user: i32,
    process: i32,
    query: i64,
    start_us: i64,
    aborted: bool,
    table: i32,
}

type Of<T> = Grid<(Load, T)>;

fn each<T>(context: Option<&SystemContext>, of: impl Fn(&LoadRecord) -> Vec<T>) -> Of<T> {
    let mut rows = Vec::new();
    for record in context.map_or(&[][..], |context| &context.log) {
        let Some(found) = &record.load else { continue };
        let QueryRecord { user, process, query, start_us, aborted, .. } = **record;
        let load = Load { user, process, query, start_us, aborted, table: found.table };
        rows.extend(of(found).into_iter().map(|item| (load, item)));
    }
    Grid::of(rows)
}

/// A field of a row that was refused, `None` of NULL.
#[derive(Debug)]
pub(super) struct RefusedField {
    file: String,
    line: i64,
    field: i32,
    value: Option<String>,
}

pub(super) fn stl_load_errors(context: Option<&SystemContext>) -> Of<RefusedRow> {
    each(context, |load| load.errors.clone())
        .int("userid", |(r, _)| r.user)
        .int("slice", |_| 0)
        .int("tbl", |(r, _)| r.table)
        .time("starttime", |(r, _)| r.start_us)
        .int("session", |(r, _)| r.process)
        .big("query", |(r, _)| r.query)
        .word("filename", |(_, e)| e.file.clone())
        .big("line_number", |(_, e)| e.line)
        .word("colname", |(_, e)| e.column.clone())
        .word("type", |(_, e)| e.type_name.clone())
        .word("col_length", |(_, e)| e.length.clone())
        .int("position", |(_, e)| e.position)
        .word("raw_line", |(_, e)| e.raw_line.clone())
        .word("raw_field_value", |(_, e)| e.raw_value.clone())
        .int("err_code", |(_, e)| e.code)
        .word("err_reason", |(_, e)| e.reason.clone())
        .int("is_partial", |_| 0)
        .big("start_offset", |(_, e)| e.offset)
}

/// The fields of rows that were refused.
pub(super) fn stl_loaderror_detail(context: Option<&SystemContext>) -> Of<RefusedField> {
    each(context, |load| {
        let field = |row: &RefusedRow, (field, value): (i32, &Option<String>)| RefusedField {
            file: row.file.clone(),
            line: row.line,
            field,
            value: value.clone(),
        };
        load.errors.iter().flat_map(|row| (0..).zip(&row.fields).map(move |of| field(row, of))).collect()
    })
    .int("userid", |(r, _)| r.user)
    .int("slice", |_| 0)
    .int("session", |(r, _)| r.process)
    .big("query", |(r, _)| r.query)
    .word("filename", |(_, field)| field.file.clone())
    .big("line_number", |(_, field)| field.line)
    .int("field", |(_, field)| field.field)
    .text("value", |(_, field)| field.value.clone())
    .int("is_null", |(_, field)| i32::from(field.value.is_none()))
}

pub(super) fn stl_load_commits(context: Option<&SystemContext>) -> Of<LoadedFile> {
    each(context, |load| load.files.clone())
        .int("userid", |(r, _)| r.user)
        .big("query", |(r, _)| r.query)
        .int("slice", |_| 0)
        .word("filename", |(_, file)| file.name.clone())
        .big("lines_scanned", |(_, file)| file.lines)
        .big("errors", |(_, file)| file.errors)
        .int("status", |(r, _)| i32::from(!r.aborted))
        .time("curtime", |(_, file)| file.time_us)
        .word("file_format", |(_, file)| file.format.clone())
}

/// (Redshift manual, "STL_REPLACEMENTS".)
pub(super) fn stl_replacements(context: Option<&SystemContext>) -> Of<ReplacedText> {
    each(context, |load| load.replaced.clone())
        .int("userid", |(r, _)| r.user)
        .big("query", |(r, _)| r.query)
        .int("slice", |_| 0)
        .int("tbl", |(r, _)| r.table)
        .time("starttime", |(r, _)| r.start_us)
        .int("session", |(r, _)| r.process)
        .word("filename", |(_, value)| value.file.clone())
        .big("line_number", |(_, value)| value.line)
        .word("colname", |(_, value)| value.column.clone())
        .word("raw_line", |(_, value)| value.raw_line.clone())
}

/// The loads that this process is at (Redshift manual, "STV_LOAD_STATE"). Redshift's two pairs of bytes are one here, as files
/// are stored; of our own are the last three columns.
pub(super) fn stv_load_state(context: Option<&SystemContext>) -> Grid<(LoadState, i64)> {
    let rows =
        context.map_or(Vec::new(), |context| context.loads.iter().map(|load| (load.clone(), context.now_us)).collect());
    Grid::of(rows)
        .int("userid", |(load, _)| load.user)
        .int("session", |(load, _)| load.process)
        .big("query", |(load, _)| load.query)
        .int("slice", |_| 0)
        .int("pid", |(load, _)| load.process)
        .time("recordtime", |(_, now_us)| *now_us)
        .big("bytes_to_load", |(load, _)| load.bytes)
        .big("bytes_loaded", |(load, _)| load.bytes_read)
        .big("bytes_to_load_compressed", |(load, _)| load.bytes)
        .big("bytes_loaded_compressed", |(load, _)| load.bytes_read)
        .big("lines", |(load, _)| load.rows)
        .big("num_files", |(load, _)| load.files)
        .big("num_files_complete", |(load, _)| load.files_read)
        .word("current_file", |(load, _)| load.current.clone())
        .int("pct_complete", |(load, _)| load.percent())
        .word("table_name", |(load, _)| load.table.clone())
        .some_big("lines_per_second", |(load, now_us)| load.rows_per_second(*now_us))
        .some_big("seconds_remaining", |(load, now_us)| load.seconds_left(*now_us))
}

/// What COPY with SKIP LOADED would not load again, and the batches that applications have appended under a key; of our own.
pub(super) fn svv_load_history(context: Option<&SystemContext>) -> Grid<(String, String, Source)> {
    let mut rows = Vec::new();
    for (home, table) in context.iter().flat_map(|context| context.tables()) {
        let schema = home.snapshot.schemas.get(&table.def.schema).map_or("", |schema| schema.name.as_str());
        rows.extend(table.loads.iter().map(|s| (schema.to_string(), table.def.name.clone(), s.clone())));
    }
    Grid::of(rows)
        .word("schemaname", |(schema, ..)| schema.clone())
        .word("tablename", |(_, table, _)| table.clone())
        .word("source", |(.., source)| source.name.to_string())
        .text("identity", |(.., source)| source.identity.as_deref().map(str::to_string))
        .big("lines", |(.., source)| i64::try_from(source.rows).unwrap_or(i64::MAX))
        .time("loaded_at", |(.., source)| source.loaded_us)
}
