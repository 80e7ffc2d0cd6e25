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
    /// Which is to blame; empty where none is.
    pub column: RefusedColumn,
    /// Byte of the line.
    pub position: i32,
    pub raw_line: String,
    pub raw_value: String,
    pub code: i32,
    pub reason: String,
    pub fields: Vec<RefusedField>,
}

/// A field of a refused row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RefusedField {
    /// `None` of NULL.
    pub value: Option<String>,
    /// Which it is meant for; empty where it is for none.
    pub column: RefusedColumn,
}

/// A column as the logs of loads tell it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RefusedColumn {
    pub name: String,
    pub type_name: String,
    /// In bytes; empty of types that have none.
    pub length: String,
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

/// A field of a refused row, and where it is.
#[derive(Debug)]
pub(super) struct PlacedField {
    file: String,
    line: i64,
    at: i32,
    field: RefusedField,
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
        .word("colname", |(_, e)| e.column.name.clone())
        .word("type", |(_, e)| e.column.type_name.clone())
        .word("col_length", |(_, e)| e.column.length.clone())
        .int("position", |(_, e)| e.position)
        .word("raw_line", |(_, e)| e.raw_line.clone())
        .word("raw_field_value", |(_, e)| e.raw_value.clone())
        .int("err_code", |(_, e)| e.code)
        .word("err_reason", |(_, e)| e.reason.clone())
        .int("is_partial", |_| 0)
        .big("start_offset", |(_, e)| e.offset)
}

/// The fields of rows that were refused.
pub(super) fn stl_loaderror_detail(context: Option<&SystemContext>) -> Of<PlacedField> {
    each(context, |load| {
        let field = |row: &RefusedRow, (at, field): (i32, &RefusedField)| PlacedField {
            file: row.file.clone(),
            line: row.line,
            at,
            field: field.clone(),
        };
        load.errors.iter().flat_map(|row| (0..).zip(&row.fields).map(move |of| field(row, of))).collect()
    })
    .int("userid", |(r, _)| r.user)
    .int("slice", |_| 0)
    .int("session", |(r, _)| r.process)
    .big("query", |(r, _)| r.query)
    .word("filename", |(_, placed)| placed.file.clone())
    .big("line_number", |(_, placed)| placed.line)
    .int("field", |(_, placed)| placed.at)
    .word("colname", |(_, placed)| placed.field.column.name.clone())
    .text("value", |(_, placed)| placed.field.value.clone())
    .int("is_null", |(_, placed)| i32::from(placed.field.value.is_none()))
    .word("type", |(_, placed)| placed.field.column.type_name.clone())
    .word("col_length", |(_, placed)| placed.field.column.length.clone())
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
