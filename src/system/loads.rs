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

type Of<T> = Grid<(QueryRecord, LoadRecord, T)>;

fn each<T: Clone>(context: Option<&SystemContext>, of: impl Fn(&LoadRecord) -> Vec<T>) -> Of<T> {
    let records = context.map_or(&[][..], |context| &context.log).iter();
    let rows =
        records.filter_map(|record| Some((record.as_ref(), record.load.as_ref()?))).flat_map(|(record, load)| {
            of(load).into_iter().map(|item| (record.clone(), load.clone(), item)).collect::<Vec<_>>()
        });
    Grid::of(rows.collect())
}

pub(super) fn stl_load_errors(context: Option<&SystemContext>) -> Of<RefusedRow> {
    each(context, |load| load.errors.clone())
        .int("userid", |(r, ..)| r.user)
        .int("slice", |_| 0)
        .int("tbl", |(_, load, _)| load.table)
        .time("starttime", |(r, ..)| r.start_us)
        .int("session", |(r, ..)| r.process)
        .big("query", |(r, ..)| r.query)
        .word("filename", |(.., e)| e.file.clone())
        .big("line_number", |(.., e)| e.line)
        .word("colname", |(.., e)| e.column.name.clone())
        .word("type", |(.., e)| e.column.type_name.clone())
        .word("col_length", |(.., e)| e.column.length.clone())
        .int("position", |(.., e)| e.position)
        .word("raw_line", |(.., e)| e.raw_line.clone())
        .word("raw_field_value", |(.., e)| e.raw_value.clone())
        .int("err_code", |(.., e)| e.code)
        .word("err_reason", |(.., e)| e.reason.clone())
        .int("is_partial", |_| 0)
        .big("start_offset", |(.., e)| e.offset)
}

/// The fields of rows that were refused.
pub(super) fn stl_loaderror_detail(context: Option<&SystemContext>) -> Of<(RefusedRow, usize)> {
    each(context, |load| {
        load.errors
            .iter()
            .flat_map(|e| (0..e.fields.len()).map(|field| (e.clone(), field)).collect::<Vec<_>>())
            .collect()
    })
    .int("userid", |(r, ..)| r.user)
    .int("slice", |_| 0)
    .int("session", |(r, ..)| r.process)
    .big("query", |(r, ..)| r.query)
    .word("filename", |(.., (e, _))| e.file.clone())
    .big("line_number", |(.., (e, _))| e.line)
    .int("field", |(.., (_, field))| *field as i32)
    .word("colname", |(.., (e, field))| e.fields[*field].column.name.clone())
    .text("value", |(.., (e, field))| e.fields[*field].value.clone())
    .int("is_null", |(.., (e, field))| i32::from(e.fields[*field].value.is_none()))
    .word("type", |(.., (e, field))| e.fields[*field].column.type_name.clone())
    .word("col_length", |(.., (e, field))| e.fields[*field].column.length.clone())
}

pub(super) fn stl_load_commits(context: Option<&SystemContext>) -> Of<LoadedFile> {
    each(context, |load| load.files.clone())
        .int("userid", |(r, ..)| r.user)
        .big("query", |(r, ..)| r.query)
        .int("slice", |_| 0)
        .word("filename", |(.., file)| file.name.clone())
        .big("lines_scanned", |(.., file)| file.lines)
        .big("errors", |(.., file)| file.errors)
        .int("status", |(r, ..)| i32::from(!r.aborted))
        .time("curtime", |(.., file)| file.time_us)
        .word("file_format", |(.., file)| file.format.clone())
}

/// (Redshift manual, "STL_REPLACEMENTS".)
pub(super) fn stl_replacements(context: Option<&SystemContext>) -> Of<ReplacedText> {
    each(context, |load| load.replaced.clone())
        .int("userid", |(r, ..)| r.user)
        .big("query", |(r, ..)| r.query)
        .int("slice", |_| 0)
        .int("tbl", |(_, load, _)| load.table)
        .time("starttime", |(r, ..)| r.start_us)
        .int("session", |(r, ..)| r.process)
        .word("filename", |(.., value)| value.file.clone())
        .big("line_number", |(.., value)| value.line)
        .word("colname", |(.., value)| value.column.clone())
        .word("raw_line", |(.., value)| value.raw_line.clone())
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
