//! stl_unload_log: the files that UNLOAD has written (Redshift manual, "STL_UNLOAD_LOG").

use super::context::SystemContext;
use super::grid::Grid;
use super::log::{QueryRecord, each};

/// A file that is complete.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UnloadRecord {
    pub slice: i32,
    /// Its URL.
    pub path: String,
    pub start_us: i64,
    pub end_us: i64,
    pub lines: i64,
    /// As it is stored, compressed where it is.
    pub bytes: i64,
    /// `TEXT`, `CSV`, `JSON` or `PARQUET`.
    pub format: String,
}

pub(super) fn stl_unload_log(context: Option<&SystemContext>) -> Grid<(QueryRecord, UnloadRecord)> {
    Grid::of(each(context, |record| &record.unloads))
        .int("userid", |(r, _)| r.user)
        .big("query", |(r, _)| r.query)
        .int("slice", |(_, u)| u.slice)
        .int("pid", |(r, _)| r.process)
        .word("path", |(_, u)| u.path.clone())
        .time("start_time", |(_, u)| u.start_us)
        .time("end_time", |(_, u)| u.end_us)
        .big("line_count", |(_, u)| u.lines)
        .big("transfer_size", |(_, u)| u.bytes)
        .word("file_format", |(_, u)| u.format.clone())
}
